"""The loop of a plan compiled by numba (extra ``fast``), and what was compiled before.

The source is written from the plan's calls (``source``) in terms of a few functions (``kernels``).
What was compiled is kept on disk, in a folder of the user's.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Op
from . import kernels
from .adjoint import Backward
from .calls import Leaves
from .kernels import MATH, NotCompiled, numba_or_none
from .plan import Plan
from .source import Source

__all__ = ["CompiledBlock", "Loop", "loop_for"]

_made: dict[Any, Any] = {}
lock = threading.Lock()


class Loop:
    """A compiled pass through the steps of a block.

    Attributes:
        operands: Its buffers, and leaves side by side.
        function: Of machine code.
    """

    def __init__(self, source: Source, shapes: Sequence[tuple[int, ...]]) -> None:
        self.operands = list(source.operands)
        self.function = compiled(source, source.signature(shapes))


class CompiledBlock:
    """A block of steps for a compiled loop.

    Args:
        arrays: The ``Pass``, with its compiled ``loop``.
        plan: The plan.
        start, stop: Its steps.
    """

    def __init__(self, arrays: Any, plan: Plan, start: int, stop: int) -> None:
        rows = math.prod(plan.lead)
        added = {*arrays.back.added.values()} if arrays.back else ()

        def array(x: Any) -> Any:
            if type(x) is Leaves:
                a = arrays.turned[x] if x in arrays.turned else arrays.packed[x.places]
                return a.reshape(-1) if a.ndim < 2 else a
            a = arrays.entries(x, start, stop)
            if x in added:
                return a.reshape(1, -1)
            return a.reshape(*a.shape[:1], rows, -1) if x.timed else a.reshape(rows, -1)

        self.function, self.sizes = arrays.loop.function, (stop - start, rows)
        self.given = [array(x) for x in arrays.loop.operands]

    def run(self, totals: Sequence[Any], first: bool) -> None:
        """Run it; see ``execute.Block.run``."""
        flat = (g.reshape(-1) if g.ndim < 2 else g for g in totals)
        self.function(*self.sizes, int(first), *self.given, *flat)


def loop_for(plan: Plan, phases: Any, back: Backward | None, char: str) -> Loop:
    """The compiled loop of a pass, the same for equal ones.

    Raises:
        NotCompiled: It cannot be compiled.
    """
    key = id(phases[1])  # a list of the plan's own
    found = plan.loops.get(key)
    if found is None:
        try:
            found = Loop(Source(plan, phases, back, char), back.shapes if back else ())
        except NotCompiled as reason:
            found = reason
            warnings.warn(f"a loop over time runs in NumPy: {reason}", RuntimeWarning, stacklevel=2)
        plan.loops[key] = found
    if isinstance(found, NotCompiled):
        raise found
    return found


def compiled(source: Source, signature: tuple[Any, ...]) -> Any:
    """The compiled function of a source, from memory if it was compiled before."""
    key = (source.text, *source.keys)
    with lock:
        if key not in _made:
            _made[key] = compile_source(source, signature)
        return _made[key]


def compile_source(source: Source, signature: tuple[Any, ...]) -> Any:
    """The compiled function of a source, from disk if it was compiled before."""
    numba = numba_or_none()
    path = cached_source(source)
    for cached in (True, False) if path is not None else (False,):
        names = {"__name__": __name__, **source.names}  # a module that numba's cache can import
        code = compile(source.text, str(path) if cached else "<compiled loop>", "exec")
        exec(code, names)
        options = {
            "nogil": True,
            "error_model": "numpy",
            "fastmath": MATH,
            "no_cfunc_wrapper": True,
        }
        function = numba.njit(names["loop"], cache=cached, **options)
        try:
            with progress(path), np.errstate(all="ignore"):
                function.compile(signature)
        except Exception as error:
            if cached:  # it may be the cache that is damaged, or not readable
                continue
            reason = (str(error).strip() or repr(error)).splitlines()[-1]
            raise NotCompiled(f"numba does not compile it: {reason}") from error
        return function
    raise AssertionError("unreachable")


def cache_folder() -> Path | None:
    """The folder of compiled loops: the user's own, closed to others; None if there is none."""
    root = os.environ.get("UNSPOOL_CACHE") or os.environ.get("XDG_CACHE_HOME")
    folder = Path(root) if root else Path.home() / ".cache"
    folder = folder / "unspool" / "compiled"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    return folder if mine and not about.st_mode & 0o022 and os.access(folder, os.W_OK) else None


def cached_source(source: Source) -> Path | None:
    """The file of a source, named by all that the compiled code depends on."""
    folder = cache_folder()
    if folder is None:
        return None
    numba = numba_or_none()
    digest = hashlib.sha256(source.text.encode())
    digest.update(Path(kernels.__file__).read_bytes())
    for part in (numba.__version__, np.__version__, sys.version, *map(code_of, source.keys)):
        digest.update(repr(part).encode())
    path = folder / f"loop_{digest.hexdigest()[:24]}.py"
    try:
        if not path.exists():
            unfinished = path.with_suffix(f".{os.getpid()}")
            unfinished.write_text(source.text, encoding="utf-8")
            os.replace(unfinished, path)
    except OSError:
        return None
    return path


def code_of(key: Any) -> Any:
    """What a compiled function depends on, written out."""
    if not isinstance(key, tuple):
        return key
    function, *rest = key
    if rest:  # of kernels.py
        return str(function), rest
    if isinstance(function, Op):
        return str(function), code_of((function.forward,))
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(function)
    return code.co_code, code.co_names, [c for c in code.co_consts if not hasattr(c, "co_code")]


@contextlib.contextmanager
def progress(path: Path | None) -> Any:
    """A line on a terminal while a person waits."""
    known = path is not None and any((path.parent / "__pycache__").glob(f"{path.stem}*"))
    stream = sys.stderr  # None in a process without a console
    if known or stream is None or stream.closed or not stream.isatty():
        yield
        return
    print("unspool: compiling the loop over time ...", end="", file=stream, flush=True)
    try:
        yield
    finally:
        print("\r\033[K", end="", file=stream, flush=True)
