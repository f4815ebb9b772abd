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
import math
import os
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import TABLE, Op, sigmoid, values
from .adjoint import Backward, LeafSum, WeightProduct
from .calls import (
    ADD,
    MATMUL,
    MULTIPLY,
    ONE,
    Buffer,
    Call,
    Coefficient,
    Constant,
    Leaves,
    Ref,
    hold,
    overlap,
)
from .plan import Plan

__all__ = ["CompiledBlock", "Loop", "NotCompiled", "loop_for", "numba_or_none"]

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
# Of functions that only compiled code calls: without the code for calls from Python.
INNER = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
ZERO, ONE_MORE = "T(0.0)", "T(1.0)"  # what a product's result is added to: nothing, or itself
_made: dict[Any, Any] = {}
lock = threading.Lock()


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
    compiled = functools.partial(numba.njit, fastmath=MATH, **INNER)
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


def numpy_blas(name: str) -> int | None:
    """The address of a function of the OpenBLAS that NumPy's wheels bring along, or None."""
    folder = Path(np.__file__).parent
    for path in [*folder.parent.glob("numpy.libs/*openblas64*"), *folder.glob(".dylibs/*blas64*")]:
        with contextlib.suppress(AttributeError, OSError):
            found = getattr(ctypes.CDLL(str(path)), f"scipy_cblas_{name}64_")
            return ctypes.cast(found, ctypes.c_void_p).value
    return None


def external(name: str, address: int, *kinds: Any) -> Any:
    """A function of C for compiled code."""
    name = f"unspool_{name}"
    importlib.import_module("llvmlite.binding").add_symbol(name, address)
    types = numba_or_none().types
    return types.ExternalFunction(name, types.void(*kinds))


@functools.cache
def product(char: str) -> tuple[str, Any]:
    """The BLAS, and ``gemm(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc)``, on addresses.

    It writes a @ b + beta * c into c, (m, n), with rows of ``ldc`` numbers; a and b are read
    transposed where ``ta`` and ``tb`` say so. By NumPy's BLAS, or where that is not found by
    SciPy's, which is up to twice as slow.
    """
    numba, kind = numba_or_none(), "sd"[char == "d"]
    t, one, itemsize = numba.types, np.dtype(char).type(1), np.dtype(char).itemsize
    at, size, number = t.voidptr, t.int64, (t.float64 if char == "d" else t.float32)
    addresses = [numpy_blas(f"{kind}{name}") for name in ("gemm", "gemv")]
    if addresses[0] is not None and addresses[1] is not None:
        sizes, matrix = [*[t.int32] * 3, *[size] * 3], [at, size]
        given = [number, *matrix, *matrix, number, *matrix]
        matrices = external(f"{kind}gemm", addresses[0], *sizes, *given)
        rows = external(f"{kind}gemv", addresses[1], t.int32, t.int32, size, size, *given)

        @numba.njit(**INNER)
        def gemm(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc):  # type: ignore[no-untyped-def]
            # 101: rows first; 111: as it is, 112: transposed
            if (
                m < 4 and not ta and not tb
            ):  # gemm copies b first, and takes up to six times as long
                for r in range(m):
                    x, y = a + r * lda * itemsize, c + r * ldc * itemsize
                    rows(101, 112, k, n, one, b, ldb, x, 1, beta, y, 1)
            else:
                matrices(101, 111 + ta, 111 + tb, m, n, k, one, a, lda, b, ldb, beta, c, ldc)

        return "NumPy", gemm
    extending = importlib.import_module("numba.extending")
    address = extending.get_cython_function_address("scipy.linalg.cython_blas", f"{kind}gemm")
    fortran = external(f"{kind}gemm_", address, *[at] * 13)

    @numba.njit(**INNER)
    def scipy_gemm(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc):  # type: ignore[no-untyped-def]
        # Columns first: the transposed product, b' a'.
        sizes = np.array([n, m, k, ldb, lda, ldc], np.int32)
        factors = np.array([one, beta])
        kinds = np.array([84 if tb else 78, 84 if ta else 78], np.uint8)  # T and N
        s, f, w = sizes.ctypes.data, factors.ctypes.data, kinds.ctypes.data
        beta_at = f + factors.itemsize
        fortran(w, w + 1, s, s + 4, s + 8, f, b, s + 12, a, s + 16, beta_at, c, s + 20)

    return "SciPy", scipy_gemm


@functools.cache
def scalar(function: Any, char: str) -> Any:
    """A forward or a rule of the table, compiled for single numbers.

    Raises:
        NotCompiled: It is no function in Python, nor a ufunc.
    """
    numba = numba_or_none()
    fast = fast_functions(char)
    compiled = functools.partial(numba.njit, fastmath=MATH, **INNER)
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
    """The source of a pass through the steps of a block, while it is written.

    Args:
        plan: The plan.
        phases: The calls at once before the loop, in the loop, and at once after it.
        back: The pass back, or None for the forward one.
        char: The dtype's.

    Attributes:
        text: The source of ``loop(steps, rows, first, ...)``: ``rows`` are those of the batch,
            ``first`` is 1 where the gradients of leaves are empty, else 0.
        names: What it reads: compiled functions.
        operands: What it takes besides: buffers and leaves side by side, in order; then come the
            gradients of leaves.
    """

    def __init__(
        self, plan: Plan, phases: Sequence[Sequence[Call]], back: Backward | None, char: str
    ) -> None:
        self.plan, self.char = plan, char
        self.lead = len(plan.lead)
        self.names: dict[str, Any] = {"np": np, "T": np.dtype(char).type}
        self.operands: dict[Any, str] = {}
        self.views: dict[str, str] = {}
        blas, self.names["gemm"] = product(char)
        self.keys: list[Any] = [char, blas]
        before, loop, after = phases
        lines = self.at_once(before)
        lines += [f"for t in {'range(steps - 1, -1, -1)' if back else 'range(steps)'}:"]
        lines += indented(self.loop(loop))
        lines += self.at_once(after)
        totals: list[str] = []
        for n, spec in enumerate(back.specs if back else ()):
            totals.append(f"g{n}")
            if isinstance(spec, LeafSum):
                lines += self.total(spec, back.shapes[n], f"g{n}")  # type: ignore[union-attr]
            else:
                lines.append(self.weights(spec, f"g{n}"))
        given = ", ".join(["steps", "rows", "first", *self.operands.values(), *totals])
        self.text = "\n".join([f"def loop({given}):", *indented(lines or ["pass"]), ""])

    def signature(self, shapes: Sequence[tuple[int, ...]]) -> tuple[Any, ...]:
        """numba's types of its arguments; ``shapes`` are those of the gradients of leaves."""
        t = numba_or_none().types
        number = t.float64 if self.char == "d" else t.float32
        found = [
            t.Array(t.boolean, 3, "C")
            if x is self.plan.padded
            else t.Array(number, 3 if x.timed else 2, "C")
            if type(x) is Buffer
            else t.Array(number, 2 if len(self.plan.leaf_shapes[x.places[0]]) > 1 else 1, "C")
            for x in self.operands
        ]
        totals = [t.Array(number, 2 if len(shape) > 1 else 1, "C") for shape in shapes]
        return (t.int64, t.int64, t.int64, *found, *totals)

    def function(self, make: Callable[..., Any], *key: Any) -> str:
        """The name of a compiled function."""
        if key not in self.keys:
            self.keys.append(key)
            self.names[f"f{len(self.keys) - 1}"] = make(*key, self.char)
        return f"f{self.keys.index(key)}"

    def argument(self, x: Any) -> str:
        """The name of a buffer or of leaves side by side."""
        return self.operands.setdefault(x, f"{'bl'[type(x) is Leaves]}{len(self.operands)}")

    # Calls

    def at_once(self, calls: Sequence[Call]) -> list[str]:
        """The lines of calls for all steps at once."""
        lines: list[str] = []
        for product, group in itertools.groupby(calls, lambda call: call.op is MATMUL):
            if product:
                lines += [self.product(call, at_once=True) for call in group]
            else:
                lines += ["for t in range(steps):", *indented(self.rows(map(self.call, group)))]
        return lines

    def loop(self, calls: Sequence[Call]) -> list[str]:
        """The lines of the calls of a step: its products, and the rows between them."""
        lines: list[str] = []
        added = added_products(calls)
        products = {total: calls[n]._replace(outs=calls[total].outs) for n, total in added.items()}
        products |= {
            n: call for n, call in enumerate(calls) if call.op is MATMUL and n not in added
        }
        others = [n for n in range(len(calls)) if n not in added]
        for product, group in itertools.groupby(others, products.__contains__):
            if product:
                sums = added.values()
                lines += [self.product(products[n], ONE_MORE if n in sums else ZERO) for n in group]
            else:
                lines += self.rows(self.call(calls[n]) for n in group)
        return lines

    def call(self, call: Call) -> tuple[int, str]:
        """The width of a pointwise call, and what it does with element j of row r at step t."""
        (out,) = call.outs[:1]
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
        return out.stop - out.start, f"{self.element(out, out)} = {value}"

    def rows(self, statements: Iterable[tuple[int, str]]) -> list[str]:
        """A loop over the rows at step t; in it one loop over the elements for each statement.

        Simple loops are vectorised by LLVM, a long one is not. The rows' views are made once.
        """
        self.views = {}
        loops = [
            line
            for width, text in statements
            for line in (f" for j in range({width}):", f"  {text}")
        ]
        views = [f" {name} = {text}" for text, name in self.views.items()]
        return ["for r in range(rows):", *views, *loops]

    # Products

    def matrix(self, x: Ref, at_once: bool) -> str:
        """The address of columns, at step t or at the first step, and the length of a row."""
        name, width = self.argument(x.buffer), x.buffer.shape[-1]
        step = str(x.lag) if at_once else f"t + {x.lag}" if x.lag else "t"
        at = f"({step}) * rows * {width} + {x.start}" if x.buffer.timed else str(x.start)
        return f"{name}.ctypes.data + ({at}) * {np.dtype(self.char).itemsize}, {width}"

    def row(self, x: Ref) -> str:
        """Row r of a buffer at step t."""
        if len(x.buffer.shape) != self.lead + 1:
            raise NotCompiled("a value in the step has more axes than the batch and its width")
        step = f"t + {x.lag}, " if x.lag else "t, "
        return f"{self.argument(x.buffer)}[{step if x.buffer.timed else ''}r]"

    def product(self, call: Call, beta: str = ZERO, at_once: bool = False) -> str:
        """A product by leaves side by side; in the loop they were transposed before."""
        (left, weight), (out,) = call.operands, call.outs
        name, width = self.argument(weight), out.stop - out.start
        turned = int(at_once and weight.transposed)
        sizes = f"{'steps * rows' if at_once else 'rows'}, {width}, {left.stop - left.start}"
        a, c = self.matrix(left, at_once), self.matrix(out, at_once)
        b = f"{name}.ctypes.data, {left.stop - left.start if turned else width}"
        return f"gemm(0, {turned}, {sizes}, {a}, {b}, {beta}, {c})"

    def weights(self, spec: WeightProduct, total: str) -> str:
        """The gradients of weights, by a product over the steps of the block."""
        a, b = self.matrix(spec.left, True), self.matrix(spec.gradient, True)
        inner, width = (x.stop - x.start for x in (spec.left, spec.gradient))
        sizes = f"{inner}, {width}, steps * rows"
        return f"gemm(1, 0, {sizes}, {a}, {b}, T(1 - first), {total}.ctypes.data, {width})"

    def total(self, spec: LeafSum, shape: tuple[int, ...], total: str) -> list[str]:
        """The gradients of leaves, by a sum over the steps of the block, each summed by itself."""
        g = spec.gradient
        width = g.stop - g.start
        if len(shape) > 1 or (shape and shape[0] not in (1, width)):
            raise NotCompiled("a pointwise record in the step reads a matrix")
        part = f"s{total}"

        def statements() -> Iterator[tuple[int, str]]:
            value = self.element(g, g)
            if spec.coefficient is not ONE:
                value += f" * {self.coefficient(spec.coefficient, g)}"
            yield width, f"{part}[j] += {value}"

        return [
            f"{part} = np.empty({width}, {total}.dtype)",
            f"for j in range({total}.size * first): {total}[j] = 0",
            "for t in range(steps):",
            f" for j in range({width}): {part}[j] = 0",
            *indented(self.rows(statements())),
            f" for j in range({width}):",
            f"  {total}[{'j' if shape == (width,) else 0}] += {part}[j]",
        ]

    # Elements

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
        name = self.views.setdefault(self.row(x), f"v{len(self.views)}")
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


def indented(lines: Sequence[str]) -> list[str]:
    """Lines one level deeper."""
    return [f" {line}" for line in lines]


def added_products(calls: Sequence[Call]) -> dict[int, int]:
    """Products that are only added to something else, and where: BLAS adds them itself.

    Returns:
        The position of a product -> that of the sum, ``y = y + product``.
    """
    found = {}
    for n, call in enumerate(calls):
        tmp = call.outs[0]
        if call.op is not MATMUL or tmp.buffer.timed or tmp != tmp.buffer.ref():
            continue
        users = [
            m
            for m, c in enumerate(calls)
            if m != n
            and any(type(x) is Ref and x.buffer is tmp.buffer for x in (*c.operands, *c.outs))
        ]
        if len(users) != 1 or users[0] < n:
            continue
        m, total = users[0], calls[users[0]]
        between = (out for c in calls[n:m] for out in c.outs)
        if (
            total.op is ADD
            and set(total.operands) == {total.outs[0], tmp}
            and not any(overlap(out, call.operands[0]) for out in between)
        ):
            found[n] = m
    return found


# Compiling --------------------------------------------------------------------------------------


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

        def array(x: Any) -> Any:
            if type(x) is Leaves:
                a = arrays.turned[x] if x in arrays.turned else arrays.packed[x.places]
                return a.reshape(-1) if a.ndim < 2 else a
            a = arrays.entries(x, start, stop)
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
        except numba.core.errors.NumbaError as error:
            reason = str(error).strip().splitlines()[-1]
            raise NotCompiled(f"numba does not compile it: {reason}") from error
        except Exception:  # a cache that is damaged, or not readable
            if not cached:
                raise
            continue
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
