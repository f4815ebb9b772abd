"""What a compiled loop calls (extra ``fast``): functions of numbers and of rows, and products.

The table's own forwards and rules of pointwise ops are compiled by numba as they stand, on single
numbers. Those of ops along a row are written here. Products are by NumPy's BLAS.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import math
import types
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import LAYER_NORM, SOFTMAX, TABLE, Op, sigmoid, values, zero

__all__ = [
    "MATH",
    "NotCompiled",
    "fast_functions",
    "forward_of",
    "numba_or_none",
    "product",
    "row_functions",
    "scalar",
]

# Contraction to fused multiply-adds and reciprocals, but NaN and infinities stay what they are.
MATH = {"contract", "arcp", "nsz", "afn"}
# Of functions that only compiled code calls: without the code for calls from Python.
INNER = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


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
    """Forwards by name: tanh, sigmoid and relu as LLVM vectorises them, and those that the table
    writes for arrays only.
    """
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

    nothing = T(0)

    @compiled
    def relu(x):  # type: ignore[no-untyped-def]
        return x if x != x else max(x, nothing)

    @compiled
    def silu(x):  # type: ignore[no-untyped-def]
        return x * logistic(x)

    @compiled
    def erf(x):  # type: ignore[no-untyped-def]
        return T(math.erf(x))

    @compiled
    def power(a, b):  # type: ignore[no-untyped-def]
        return a**b

    found = {"tanh": tanh, "sigmoid": logistic, "relu": relu}
    return found | {"silu": silu, "erf": erf, "power": power}


@functools.cache
def numpy_of_numbers(char: str) -> types.ModuleType:
    """NumPy, as forwards and rules read it, with a ``clip`` that takes single numbers."""
    found = types.ModuleType("numpy_of_numbers")
    vars(found).update(vars(np))
    T = np.dtype(char).type

    def clip(x, low, high):  # type: ignore[no-untyped-def]
        return x if x != x else min(max(x, T(low)), T(high))

    found.clip = numba_or_none().njit(clip, fastmath=MATH, **INNER)  # type: ignore[attr-defined]
    return found


@functools.cache
def no_gradient(char: str) -> Any:
    """The rule of step functions."""
    nothing = np.dtype(char).type(0)
    return numba_or_none().njit(lambda *given: nothing, **INNER)


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
    if function is zero:
        return no_gradient(char)
    if not isinstance(function, types.FunctionType):
        raise NotCompiled(f"{function!r} is not written in Python")
    names = dict(function.__globals__, np=numpy_of_numbers(char))
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


# Functions of rows ------------------------------------------------------------------------------


@functools.cache
def row_functions(char: str) -> dict[Op, tuple[Any, Any]]:
    """Op -> ``forward(x, out, option)`` and ``rule(g, y, x, gx, option)`` on the rows of a step.

    The option is layer_norm's eps, and of a variance what is taken off the number of elements. A
    reduction's result has length 1.
    """
    # Sums in any order, so that they are vectorised.
    options = {**INNER, "forceinline": False}  # a call takes less than a loop to be compiled anew
    compiled = functools.partial(numba_or_none().njit, fastmath={*MATH, "reassoc"}, **options)
    T = np.dtype(char).type
    nothing, one, two = T(0), T(1), T(2)

    @compiled
    def total(x):  # type: ignore[no-untyped-def]
        found = nothing
        for j in range(len(x)):
            found += x[j]
        return found

    @compiled
    def squares(x, mean):  # type: ignore[no-untyped-def]
        found = nothing
        for j in range(len(x)):
            found += (x[j] - mean) * (x[j] - mean)
        return found

    @compiled
    def dot(x, y):  # type: ignore[no-untyped-def]
        found = nothing
        for j in range(len(x)):
            found += x[j] * y[j]
        return found

    @compiled
    def largest(x, sign):  # type: ignore[no-untyped-def]
        found = x[0]
        for j in range(len(x)):
            if sign * x[j] > sign * found or x[j] != x[j]:
                found = x[j]
        return found

    @compiled
    def sum_forward(x, out, option):  # type: ignore[no-untyped-def]
        out[0] = total(x)

    @compiled
    def sum_rule(g, y, x, gx, option):  # type: ignore[no-untyped-def]
        gx[:] = g[0]

    @compiled
    def mean_forward(x, out, option):  # type: ignore[no-untyped-def]
        out[0] = total(x) / T(len(x))

    @compiled
    def mean_rule(g, y, x, gx, option):  # type: ignore[no-untyped-def]
        gx[:] = g[0] / T(len(x))

    @compiled
    def var_forward(x, out, option):  # type: ignore[no-untyped-def]
        out[0] = squares(x, total(x) / T(len(x))) / max(T(len(x)) - option, nothing)

    @compiled
    def var_rule(g, y, x, gx, option):  # type: ignore[no-untyped-def]
        mean, factor = total(x) / T(len(x)), two * g[0] / max(T(len(x)) - option, nothing)
        for j in range(len(x)):
            gx[j] = factor * (x[j] - mean)

    @compiled
    def std_forward(x, out, option):  # type: ignore[no-untyped-def]
        var_forward(x, out, option)
        out[0] = np.sqrt(out[0])

    @compiled
    def std_rule(g, y, x, gx, option):  # type: ignore[no-untyped-def]
        mean, factor = total(x) / T(len(x)), g[0] / max(T(len(x)) - option, nothing)
        for j in range(len(x)):
            gx[j] = factor * (x[j] - mean) / y[0] if y[0] != nothing else nothing

    @compiled
    def max_forward(x, out, option):  # type: ignore[no-untyped-def]
        out[0] = largest(x, one)

    @compiled
    def min_forward(x, out, option):  # type: ignore[no-untyped-def]
        out[0] = largest(x, -one)

    @compiled
    def extreme_rule(g, y, x, gx, option):  # type: ignore[no-untyped-def]
        ties = 0
        for j in range(len(x)):
            chosen = x[j] == y[0] or (x[j] != x[j] and y[0] != y[0])
            ties += chosen
            gx[j] = one if chosen else nothing
        for j in range(len(x)):
            gx[j] *= g[0] / T(max(ties, 1))

    @compiled
    def softmax_forward(x, out, option):  # type: ignore[no-untyped-def]
        top = largest(x, one)
        if np.isinf(top):  # a row of -inf has no maximum to subtract
            top = nothing
        for j in range(len(x)):
            out[j] = np.exp(x[j] - top)
        whole = total(out)
        for j in range(len(x)):
            out[j] /= whole

    @compiled
    def softmax_rule(g, y, x, gx, option):  # type: ignore[no-untyped-def]
        inner = dot(g, y)
        for j in range(len(x)):
            gx[j] = y[j] * (g[j] - inner)

    @compiled
    def norm_forward(x, out, option):  # type: ignore[no-untyped-def]
        n = T(len(x))
        mean = total(x) / n
        deviation = np.sqrt(squares(x, mean) / n + option)
        for j in range(len(x)):
            out[j] = (x[j] - mean) / deviation

    @compiled
    def norm_rule(g, y, x, gx, option):  # type: ignore[no-untyped-def]
        n = T(len(x))
        deviation = np.sqrt(squares(x, total(x) / n) / n + option)
        of_g, of_product = total(g) / n, dot(g, y) / n
        for j in range(len(x)):
            gx[j] = (g[j] - of_g - y[j] * of_product) / deviation

    return {
        TABLE[np.sum]: (sum_forward, sum_rule),
        TABLE[np.mean]: (mean_forward, mean_rule),
        TABLE[np.var]: (var_forward, var_rule),
        TABLE[np.std]: (std_forward, std_rule),
        TABLE[np.max]: (max_forward, extreme_rule),
        TABLE[np.min]: (min_forward, extreme_rule),
        SOFTMAX: (softmax_forward, softmax_rule),
        LAYER_NORM: (norm_forward, norm_rule),
    }
