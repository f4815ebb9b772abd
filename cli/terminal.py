"""Lines on the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from ..checks import TEXT_CONTROLS, shown
from ..files import MessageStream

LONGEST_NOTE = 4000  # characters
REDIRECTS: dict[str, Any] = {
    "stdout": contextlib.redirect_stdout,
    "stderr": contextlib.redirect_stderr,
}


def note(message: object) -> None:
    """Print an error, a warning or a remark as one line on stderr."""
    text = with_options(" ".join(str(message).split())) or type(message).__name__
    stream: Any = MessageStream(sys.stderr)
    print(f"unspool: {shown(text, LONGEST_NOTE)}", file=stream, flush=True)


# What the library's errors tell a program to write, and what a command line has for it.
OPTIONS = {
    "separator=None": "--spaces",
    "columns=(1, ...)": "--word-column 1",
    "header=True": "--header",
    "header=False": "--no-header",
}


def with_options(message: str) -> str:
    """A message of the library, whose cures are arguments, with options in their place.

    Example:
        >>> with_options("give its encoding, which looks like encoding='cp1252'")
        'give its encoding, which looks like --encoding cp1252'
    """
    for argument, option in OPTIONS.items():
        message = message.replace(argument, option)
    message = re.sub(r"\blabel='?([\w.-]+)'?, text='?([\w.-]+)'?", r"--label \1 --text \2", message)
    return re.sub(r"\bencoding='([\w.-]+)'", r"--encoding \1", message)


@contextlib.contextmanager
def streams() -> Iterator[None]:
    """Inside of the block stdout and stderr can be written to, also where the process has none.

    At its end both are flushed; one that fails leads nowhere from then on.
    """
    with contextlib.ExitStack() as used:
        for name, redirect in REDIRECTS.items():
            stream = getattr(sys, name)
            if stream is None or stream.closed:
                used.enter_context(redirect(used.enter_context(open(os.devnull, "w"))))
        reconfigure(sys.stdout, errors="replace")  # a terminal may lack “ and ”
        escaping: Any = EscapingStream(sys.stdout)
        used.enter_context(contextlib.redirect_stdout(escaping))
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError):
                    drop(stream)


class EscapingStream:
    """A text stream on which control characters are shown, so that none moves the cursor or more.

    A word of a text, the name of a file or a token of somebody's model may hold any character.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text; its line ends and tabs stay."""
        self.stream.write(text.translate(TEXT_CONTROLS))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def as_messages() -> Iterator[None]:
    """Inside of the block what is printed are messages: a reader that has gone ends nothing.

    An error other than that, such as a full disk, is raised at the end.
    """
    stream: Any = MessageStream(sys.stdout)
    with contextlib.redirect_stdout(stream):
        yield
        stream.flush()
    if isinstance(stream.error, BrokenPipeError):
        drop(sys.stdout)
    elif stream.error is not None:
        raise stream.error


def drop(stream: Any) -> None:
    """Let a stream that fails lead nowhere, so that closing it raises no error."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def reconfigure(stream: Any, **options: str) -> None:
    """Change how a text stream encodes, where it is one of the process's own."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(**options)
