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

__all__ = ["FORMATS", "render", "renderers"]

FORMATS = ("svg", "png", "pdf")
TIME_LIMIT = 60.0  # seconds
PNG_DPI = 144
PNG_LIMIT = 32_767  # pixels a side: what cairo's bitmaps can hold

CURES = (
    "install Graphviz (https://graphviz.org/download), so that `dot` is on the PATH, or run "
    'pip install "unspool[render]"; .source and .save("picture.dot") work without either'
)

# Run by the child: argv holds the renderer, the format, the files, and where to import from.
CHILD = """
import json, os, sys
how, form, source, picture, sys.path[:] = json.loads(sys.argv[1])
if how == "dot":
    import graphviz
    graphviz.render("neato", form, source, outfile=picture, neato_no_op=2, quiet=True)
else:
    import pygraphviz
    pygraphviz.AGraph(source).draw(picture, format=form, prog="nop2")
sys.stderr.flush()
os._exit(0)  # without freeing a large graph piece by piece
"""


def renderers() -> list[str]:
    """What there is to render with, the preferred one first: ``dot``, ``pygraphviz``."""
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
    """A picture of a DOT source.

    Args:
        sources: DOT, with positions. Of several each is drawn in a process of its own, and
            they are laid on each other; only for ``svg``.
        form: ``svg``, ``png`` or ``pdf``.
        size: The width and height of the picture in points.
        time_limit: Seconds after which the renderer is stopped.

    Raises:
        RuntimeError: There is no renderer, or each that there is failed.
        TimeoutError: The renderer took longer than ``time_limit``.
    """
    available = renderers()
    if not available:
        raise RuntimeError(f"no Graphviz was found to make the {form.upper()}: {CURES}")
    if form == "png":
        sources = [with_resolution(source, size) for source in sources]
    problems = []
    with tempfile.TemporaryDirectory(prefix="unspool-") as folder:
        texts = [Path(folder, f"{n}.dot") for n in range(len(sources))]
        for text, source in zip(texts, sources, strict=True):
            text.write_text(source, encoding="utf-8")
        for how in available:
            problem = run_children(how, form, texts, time_limit)
            if not problem:
                pictures = [text.with_suffix(f".{form}").read_bytes() for text in texts]
                data = laid_on_each_other(pictures)
                return join_texts(data) if form == "svg" else data
            problems.append(f"{how}: {problem}")
    raise RuntimeError(f"Graphviz could not make the {form.upper()}: {'; '.join(problems)}")


def run_children(how: str, form: str, texts: list[Path], time_limit: float) -> str:
    """Draw each text beside itself; returns what went wrong, or nothing."""
    deadline = time.monotonic() + time_limit
    children = [start(how, form, text) for text in texts]
    try:
        problems = [finish(child, deadline) for child in children]
    except subprocess.TimeoutExpired:
        raise TimeoutError(
            f"{how} took longer than {time_limit:g} s and was stopped; draw fewer steps (steps=), "
            'or a coarser level (level="cell")'
        ) from None
    finally:
        for child in children:
            stop(child)
    for text in texts:
        picture = text.with_suffix(f".{form}")
        if not any(problems) and not (picture.is_file() and picture.stat().st_size):
            return "it wrote nothing"
    return "; ".join(filter(None, problems))


def start(how: str, form: str, text: Path) -> subprocess.Popen[bytes]:
    """A child that draws a text."""
    order = json.dumps([how, form, str(text), str(text.with_suffix(f".{form}")), sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, order],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=os.name == "posix",  # so that `dot` is stopped with it
    )


def finish(child: subprocess.Popen[bytes], deadline: float) -> str:
    """Wait for a child; returns what went wrong, or nothing."""
    _, errors = child.communicate(timeout=max(deadline - time.monotonic(), 0.01))
    if child.returncode == 0:
        return ""
    said = errors.decode("utf-8", "replace").strip().splitlines()
    if child.returncode < 0:
        return f"it crashed ({signal.Signals(-child.returncode).name})"
    return said[-1] if said else f"it ended with code {child.returncode}"


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a child and what it has started, if it still runs."""
    if child.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    child.communicate()


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
