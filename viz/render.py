"""From DOT to PNG or PDF: Graphviz, in a process of its own and with a time limit.

Graphviz runs either as the ``dot`` program, by way of the ``graphviz`` package, or as the
library that ``pygraphviz`` carries. In both cases it runs in a child process, where it can be
stopped and where a crash harms nobody.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from ..checks import shown

__all__ = ["render", "renderers"]

TIME_LIMIT = 60.0  # seconds
PNG_DPI = 144
PNG_LIMIT = 32_767  # pixels a side: what cairo's bitmaps can hold

CURES = (
    "install Graphviz (https://graphviz.org/download), so that `dot` is on the PATH, or run "
    'pip install "unspool[render]"; .svg, .html and .dot need neither'
    if sys.platform != "emscripten"
    else "in a browser no other program runs; save it as .svg, .html or .dot"
)
# What to do about a renderer that is there and fails.
REPAIRS = {
    "dot": "check it with `dot -V`, and reinstall Graphviz (https://graphviz.org/download)",
    "pygraphviz": "replace it with pip install --force-reinstall pygraphviz",
}
FASTER = 'draw fewer steps (steps=), or a coarser level (level="cell")'

# Run by the child: sources on stdin, pictures on stdout; argv holds the renderer, the format, and
# where to import from. pygraphviz is asked for bytes, as not every release can write to a path.
CHILD = """
import json, os, sys
how, form, sys.path[:] = json.loads(sys.argv[1])
sources = json.load(sys.stdin)
if how == "dot":
    from graphviz import pipe
    out = [pipe("neato", form, one.encode(), neato_no_op=2, quiet=True) for one in sources]
else:
    import pygraphviz
    out = [pygraphviz.AGraph(string=one).draw(format=form, prog="nop2") for one in sources]
sys.stdout.buffer.write(b"".join(out))
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
    source: str | Sequence[str],
    form: str,
    size: tuple[int, int],
    time_limit: float = TIME_LIMIT,
    dpi: float = PNG_DPI,
) -> bytes:
    """A picture of a DOT source by the first renderer that succeeds.

    Args:
        source: DOT, with positions; of several of one size the pictures follow each other.
        form: ``png``, ``pdf``, or ``svg``.
        size: The width and height of the picture in points.
        time_limit: Seconds after which a renderer is stopped and the next one tried.
        dpi: The resolution of a PNG.

    Raises:
        RuntimeError: No renderer is installed, or all failed; the message says for each what
            went wrong and what to do.
        TimeoutError: All renderers took longer than ``time_limit``.
    """
    available = renderers()
    if not available:
        raise RuntimeError(f"no Graphviz was found to make the {form.upper()}: {CURES}")
    sources = [source] if isinstance(source, str) else list(source)
    if form == "png":
        resolution = resolution_of(size, dpi)
        sources = [one.replace("\n", f"\ngraph [dpi={resolution:.6g}]\n", 1) for one in sources]
    failures = []
    for how in available:
        picture = run(how, form, sources, time_limit)
        if isinstance(picture, bytes):
            return picture
        failures.append(picture)
    others = [f"{how}: not installed ({CURES})" for how in REPAIRS if how not in available]
    error = TimeoutError if all(failure.late for failure in failures) else RuntimeError
    problems = "; ".join([*map(str, failures), *others])
    raise error(f"Graphviz could not make the {form.upper()}: {problems}")


def run(how: str, form: str, sources: list[str], time_limit: float) -> bytes | Failure:
    """Have one renderer draw sources, in a child process."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(json.dumps(sources).encode())
        files[0].seek(0)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps([how, form, sys.path])],
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            start_new_session=os.name == "posix",  # so that `dot` is stopped with it
        )
        stack.callback(stop, child)
        try:
            child.wait(time_limit)
        except subprocess.TimeoutExpired:
            slow = f"it took longer than {time_limit:g} s and was stopped"
            return Failure(how, slow, FASTER, late=True)
        for file in files:
            file.seek(0)
        picture, errors = (file.read() for file in files[1:])
        problem = problem_of(child.returncode, picture, errors, form)
        return Failure(how, problem, REPAIRS[how]) if problem else picture


def problem_of(code: int, picture: bytes, errors: bytes, form: str) -> str:
    """What went wrong in a child that has ended, or nothing."""
    said = errors.decode("utf-8", "replace").strip().splitlines()
    if code < 0:
        return f"it crashed ({signal.Signals(-code).name})"
    if code:
        return shown(said[-1], 300) if said else f"it ended with code {code}"
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


def resolution_of(size: tuple[int, int], dpi: float) -> float:
    """The resolution of a PNG, lowered where the bitmap would be too large."""
    points = max(*size, 1) + 8
    if points * dpi / 72 > PNG_LIMIT:
        dpi = PNG_LIMIT * 72 / points
        warnings.warn(
            f"the picture is {points:,} points wide or high; a PNG holds {PNG_LIMIT:,} pixels, so "
            f"it is drawn at {dpi:.3g} dots per inch instead of {PNG_DPI}: save it as .svg, or "
            "show fewer steps (steps=)",
            stacklevel=4,
        )
    return dpi
