"""The command line: ``unspool`` or ``python -m unspool``.

Wrong input is one line on stderr and exit code 2, a training whose loss is not finite exit code
1, Ctrl-C exit code 130. Files are written whole or not at all.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

from . import __version__
from .autograd import freed_memory_kept
from .cli import COMMANDS, Parser, build_parser, call, note, parse, streams


def parser() -> Parser:
    """The parser of all commands."""
    return build_parser("unspool", COMMANDS, __version__)


@freed_memory_kept()
def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    with streams():
        return run(argv)


def run(argv: Sequence[str] | None) -> int:
    """Run a command, with streams that can be written to."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            call(parse(parser(), argv))
        sys.stdout.flush()  # a full disk is an error
    except KeyboardInterrupt:
        note("stopped by Ctrl-C")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in unspool ... | head
        return 0
    except FloatingPointError as error:
        note(error)
        return 1
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        note(error)
        return 2
    return 0


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as one line."""
    note(message)


if __name__ == "__main__":
    sys.exit(main())
