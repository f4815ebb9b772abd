"""The loop of a plan compiled by numba (extra ``fast``): one simple loop for each call.

The source is written from the plan's calls; the table's own forwards and rules are compiled as they
stand, on single numbers. Each call is a loop of its own, which LLVM vectorises; one long loop body
it does not. Products are by NumPy's BLAS. What was compiled is kept on disk, in a folder of the
user's.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import itertools
import os
import sys
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import TABLE, Op, sigmoid, values
from .calls import MATMUL, MULTIPLY, ONE, Call, Coefficient, Constant, Leaves, Ref, hold
from .plan import Plan

__all__ = ["Loop", "NotCompiled", "loop_for", "numba_or_none"]

Rule = Callable[..., Any]
# Contraction to fused multiply-adds and reciprocals, but NaN and infinities stay what they are.
MATH = {"contract", "arcp", "nsz", "afn"}
# Written as they are, as calls of functions take longer to compile.
SIGNS = {
    TABLE[np.add]: " + ",
    TABLE[np.subtract]: " - ",
    TABLE[np.multiply]: " * ",
    TABLE[np.divide]: " / ",
}
_made: dict[Any, Any] = {}


class NotCompiled(Exception):
    """A loop that numba cannot compile; with the reason."""


@functools.cache
def numba_or_none() -> Any:
    """The numba package, with SciPy's BLAS; None where the extra is not installed."""
    try:
        importlib.import_module("scipy.linalg.cython_blas")  # numba's products
        return importlib.import_module("numba")
    except ImportError:
        return None


# Functions of single numbers --------------------------------------------------------------------


@functools.cache
def fast_functions(char: str) -> dict[str, Any]:
    """tanh, sigmoid and relu as LLVM vectorises them."""
    numba = numba_or_none()
    compiled = functools.partial(numba.njit, fastmath=MATH, inline="always")
    T = np.dtype(char).type
    half, limit = T(0.5), T(7.90531110763549805)
    # A ratio of polynomials, to 2 units in the last place (Eigen's, fitted in float32).
    a = [
        *(4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05),
        *(5.12229709037114e-08, -8.60467152213735e-11, 2.00018790482477e-13),
        -2.76076847742355e-16,
    ]
    b = [4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06]
    a0, a1, a2, a3, a4, a5, a6 = map(T, a)
    b0, b1, b2, b3 = map(T, b)

    if char == "f":

        @compiled
        def tanh(x):  # type: ignore[no-untyped-def]
            v = min(max(x, -limit), limit)
            s = v * v
            p = a0 + s * (a1 + s * (a2 + s * (a3 + s * (a4 + s * (a5 + s * a6)))))
            q = b0 + s * (b1 + s * (b2 + s * b3))
            return x if x != x else v * p / q

        @compiled
        def logistic(x):  # type: ignore[no-untyped-def]
            return half * tanh(half * x) + half

    else:
        one, cap = T(1), T(700)

        @compiled
        def tanh(x):  # type: ignore[no-untyped-def]
            return np.tanh(x)

        @compiled
        def logistic(x):  # type: ignore[no-untyped-def]
            return one / (one + np.exp(min(-x, cap)))

    zero = T(0)

    @compiled
    def relu(x):  # type: ignore[no-untyped-def]
        return x if x != x else max(x, zero)

    return {"tanh": tanh, "sigmoid": logistic, "relu": relu}


def numpy_gemm(char: str) -> int | None:
    """The address of the matrix product in the OpenBLAS that NumPy's wheels bring along."""
    folder = Path(np.__file__).parent
    for path in [*folder.parent.glob("numpy.libs/*openblas64*"), *folder.glob(".dylibs/*blas64*")]:
        with contextlib.suppress(AttributeError, OSError):
            library = ctypes.CDLL(str(path))
            gemm = library.scipy_cblas_dgemm64_ if char == "d" else library.scipy_cblas_sgemm64_
            return ctypes.cast(gemm, ctypes.c_void_p).value
    return None


@functools.cache
def product(char: str) -> tuple[str, Any]:
    """The name and the function of ``dot(a, b, out)``, by NumPy's BLAS.

    Where that is not found, by SciPy's, which numba calls for np.dot: up to twice as slow.
    """
    numba, address = numba_or_none(), numpy_gemm(char)
    if address is None:
        return "np.dot", numba.njit(lambda a, b, out: np.dot(a, b, out))
    name, t = f"unspool_gemm_{char}", numba.types
    importlib.import_module("llvmlite.binding").add_symbol(name, address)
    number, size = (t.float64 if char == "d" else t.float32), t.int64
    matrices = [number, t.voidptr, size, t.voidptr, size, number, t.voidptr, size]
    gemm = t.ExternalFunction(name, t.void(*[t.int32] * 3, *[size] * 3, *matrices))
    one, zero = np.dtype(char).type(1), np.dtype(char).type(0)

    @numba.njit
    def dot(a, b, out):  # type: ignore[no-untyped-def]
        rows, inner = a.shape
        width = b.shape[1]
        x, y, z = a.ctypes.data, b.ctypes.data, out.ctypes.data
        # 101: rows first; 111: not transposed
        gemm(101, 111, 111, rows, width, inner, one, x, inner, y, width, zero, z, width)

    return "cblas", dot


@functools.cache
def scalar(function: Any, char: str) -> Any:
    """A forward or a rule of the table, compiled for single numbers.

    Raises:
        NotCompiled: It is no function in Python, nor a ufunc.
    """
    numba = numba_or_none()
    fast = fast_functions(char)
    compiled = functools.partial(numba.njit, fastmath=MATH, inline="always")
    if isinstance(function, np.ufunc):
        if function is np.tanh:
            return fast["tanh"]
        given = ", ".join("abc"[: function.nin])
        made: dict[str, Any] = {"np": np}
        exec(f"def scalar({given}): return np.{function.__name__}({given})", made)
        return compiled(made["scalar"])
    if not isinstance(function, types.FunctionType):
        raise NotCompiled(f"{function!r} is not written in Python")
    names = dict(function.__globals__)
    for name in function.__code__.co_names:
        value = names.get(name)
        if value is values:  # the numbers of a Tensor: here there are no others
            names[name] = compiled(lambda x: x)
        elif value is sigmoid:
            names[name] = fast["sigmoid"]
        elif isinstance(value, types.FunctionType):
            names[name] = scalar(value, char)
    copy = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    return compiled(copy)


def forward_of(op: Op, char: str) -> Any:
    """The forward of a pointwise op on single numbers."""
    fast = fast_functions(char)
    return fast[str(op)] if str(op) in fast else scalar(op.forward, char)


# The source of a loop ---------------------------------------------------------------------------


class Source:
    """The source of a loop over the steps of a block, while it is written.

    Args:
        plan: The plan.
        calls: The calls of its loop, forward or back.
        back: Whether the last step comes first.
        char: The dtype's.

    Attributes:
        text: The source of ``loop(steps, first, last, ...)``, for the rows from first to last.
        names: What it reads: compiled functions.
        operands: What it takes besides: buffers and packed leaves, in order.
    """

    def __init__(self, plan: Plan, calls: Sequence[Call], back: bool, char: str) -> None:
        self.plan, self.char = plan, char
        self.lead = len(plan.lead)
        self.names: dict[str, Any] = {"np": np, "T": np.dtype(char).type}
        self.operands: dict[Any, str] = {}
        blas, self.names["dot"] = product(char)
        self.keys: list[Any] = [char, blas]
        order = "range(steps - 1, -1, -1)" if back else "range(steps)"
        lines = [f" for t in {order}:"]
        for call in calls:
            lines += [f"  {line}" for line in self.call(call)]
        given = ", ".join(["steps", "first", "last", *self.operands.values()])
        self.text = "\n".join([f"def loop({given}):", *lines, ""])

    def function(self, make: Callable[..., Any], *key: Any) -> str:
        """The name of a compiled function."""
        if key not in self.keys:
            self.keys.append(key)
            self.names[f"f{len(self.keys) - 1}"] = make(*key, self.char)
        return f"f{self.keys.index(key)}"

    def argument(self, x: Any) -> str:
        """The name of a buffer or of packed leaves."""
        return self.operands.setdefault(x, f"{'bl'[type(x) is Leaves]}{len(self.operands)}")

    def rows(self, x: Ref, rows: str) -> str:
        """Rows of a buffer at this step."""
        if len(x.buffer.shape) != self.lead + 1:
            raise NotCompiled("a value in the step has more axes than the batch and its width")
        name = self.argument(x.buffer)
        step = f"t + {x.lag}, " if x.lag else "t, "
        return f"{name}[{step if x.buffer.timed else ''}{rows}]"

    def call(self, call: Call) -> list[str]:
        """The lines of a call."""
        (out,) = call.outs[:1]
        if call.op is MATMUL:
            return self.product(call.operands[0], call.operands[1], out)
        self.views: dict[str, str] = {}
        if call.function is hold:
            old, padded = (self.element(x, out) for x in call.operands)
            value = f"{old} if {padded} else {self.element(out, out)}"
        elif call.op is None or not call.op.pointwise:
            raise NotCompiled("a record in the step is neither pointwise nor a product by a weight")
        else:
            forward, options = call.op, []
            if isinstance(call.function, functools.partial) and len(call.function.args) == 2:
                options = [self.number(v) for v in call.function.args[1].values()]
            given = [self.element(x, out) for x in call.operands]
            if forward in SIGNS:
                value = SIGNS[forward].join(given)
            else:
                value = f"{self.function(forward_of, forward)}({', '.join([*given, *options])})"
        target = self.element(out, out)
        width = out.stop - out.start
        loops = [f"for j in range({width}):", f" {target} = {value}"]
        views = [f" {name} = {text}" for text, name in self.views.items()]
        return ["for r in range(first, last):", *views, *(f" {line}" for line in loops)]

    def product(self, left: Ref, weight: Leaves, out: Ref) -> list[str]:
        """A product by packed leaves; a part of a buffer's columns is copied, for BLAS."""
        rows, width = "first:last", left.stop - left.start
        into, by = self.rows(out, rows), self.argument(weight)
        if width == left.buffer.shape[-1]:
            return [f"dot({self.rows(left, rows)}, {by}, {into})"]
        return [
            f"part = np.empty((last - first, {width}), {by}.dtype)",
            "for r in range(first, last):",
            f" row = {self.rows(left, 'r')}",
            f" for j in range({width}):",
            f"  part[r - first, j] = row[j + {left.start}]",
            f"dot(part, {by}, {into})",
        ]

    def number(self, value: Any) -> str:
        """A constant, in the loop's dtype."""
        if isinstance(value, (bool, int, float)) or np.ndim(value) == 0:
            return f"T({float(value)!r})" if np.isfinite(value) else f"T(np.{float(value)!r})"
        raise NotCompiled("a record in the step has an array in its code")

    def element(self, x: Any, out: Ref) -> str:
        """Element j of an operand, in row r at step t."""
        if type(x) is Constant:
            return self.number(x.value)
        if type(x) is Coefficient:
            return self.coefficient(x, out)
        if type(x) is Leaves:
            shape = self.plan.leaf_shapes[x.places[0]]
            if len(shape) > 1:
                raise NotCompiled("a pointwise record in the step reads a matrix")
            wide = len(x.places) > 1 or shape == (out.stop - out.start,)
            return f"{self.argument(x)}[{'j' if wide else '0'}]"
        view = self.rows(x, "r")
        name = self.views.setdefault(view, f"v{len(self.views)}")
        wide = x.stop - x.start == out.stop - out.start
        return f"{name}[{f'j + {x.start}' if wide and x.start else 'j' if wide else '0'}]"

    def coefficient(self, c: Coefficient, out: Ref) -> str:
        """A coefficient: the rules along its paths, one inside of the other."""
        if c is ONE:
            return "T(1.0)"
        parts = []
        for so_far, k, j in c.terms:
            g = self.coefficient(so_far, out)
            parts.append(g if k is None else self.factor(g, k, j, out))
        return f"({' + '.join(parts)})" if len(parts) > 1 else parts[0]

    def factor(self, g: str, k: int, j: int, out: Ref) -> str:
        """The rule of operand j of line k on the coefficient so far."""
        op, operands, params, *_ = self.plan.lines[k]
        if op is MULTIPLY:
            other = self.element(self.plan.operand(operands[1 - j]), out)
            return other if g == "T(1.0)" else f"{g} * {other}"
        read = self.plan.rule_reads(k, j)
        places = enumerate((f"v{k}", *operands), start=-1)
        given = [
            self.element(self.plan.operand(x), out) if at in read else "T(0.0)" for at, x in places
        ]
        options = [self.number(value) for value in params.values()]
        name = self.function(scalar, op.rules[j])  # type: ignore[index]
        return f"{name}({', '.join([g, *given, *options])})"


# Compiling --------------------------------------------------------------------------------------


class Loop:
    """A compiled loop of a plan."""

    def __init__(self, source: Source) -> None:
        self.operands = list(source.operands)
        self.source = source
        self.function: Any = None
        self.lock = threading.Lock()

    def run(self, arrays: Any, threads: int) -> None:
        """Run the steps of a block.

        Args:
            arrays: Its ``Arrays``.
            threads: The number of threads that the rows of the batch are split over.
        """
        rows = int(np.prod(arrays.plan.lead, dtype=int))
        given = [self.array(arrays, x, rows) for x in self.operands]
        steps = arrays.stop - arrays.start
        if self.function is None:
            with self.lock:
                self.function = self.function or compiled(self.source, (steps, 0, rows, *given))
        ends = [rows * k // threads for k in range(threads + 1)]
        parts = [(a, b) for a, b in itertools.pairwise(ends) if a < b]
        if len(parts) == 1:
            self.function(steps, 0, rows, *given)
            return
        workers = [
            threading.Thread(target=self.function, args=(steps, a, b, *given)) for a, b in parts[1:]
        ]
        for worker in workers:
            worker.start()
        self.function(steps, *parts[0], *given)
        for worker in workers:
            worker.join()

    def array(self, arrays: Any, x: Any, rows: int) -> Any:
        """The array of an operand: (steps, rows, width), (rows, width), or leaves."""
        if type(x) is Leaves:
            leaf = arrays.leaf(x)
            return np.ascontiguousarray(leaf.reshape(-1) if leaf.ndim < 2 else leaf)
        a = arrays.entries(x)
        return a.reshape(*a.shape[:1], rows, -1) if x.timed else a.reshape(rows, -1)


def loop_for(plan: Plan, calls: Sequence[Call], back: bool, dtype: Any) -> Loop:
    """The compiled loop of a plan's calls, the same for equal ones.

    Raises:
        NotCompiled: It cannot be compiled.
    """
    source = Source(plan, calls, back, dtype.char)
    return Loop(source)


def compiled(source: Source, arguments: tuple[Any, ...]) -> Any:
    """The compiled function of a source, from memory or disk if it was compiled before."""
    numba = numba_or_none()
    key = (source.text, *source.keys)
    if key in _made:
        return _made[key]
    signature = tuple(map(numba.typeof, arguments))
    path = cached_source(source)
    for cached in (True, False) if path is not None else (False,):
        names = {"__name__": __name__, **source.names}  # a module that numba's cache can import
        code = compile(source.text, str(path) if cached else "<compiled loop>", "exec")
        exec(code, names)
        options = {"nogil": True, "error_model": "numpy", "fastmath": MATH}
        function = numba.njit(names["loop"], cache=cached, **options)
        try:
            with progress(path), np.errstate(all="ignore"):
                function.compile(signature)
        except numba.core.errors.NumbaError as error:
            reason = str(error).strip().splitlines()[-1]
            raise NotCompiled(f"numba does not compile it: {reason}") from error
        except Exception:  # a cache that is damaged, or not readable
            if not cached:
                raise
            continue
        _made[key] = function
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
    (function,) = key
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
