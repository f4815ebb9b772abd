"""What a compiled loop calls (extra ``fast``): functions of single numbers, and products.

The table's own forwards and rules are compiled by numba as they stand, on single numbers. Products
are by NumPy's BLAS.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import types
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import Op, sigmoid, values

__all__ = [
    "MATH",
    "NotCompiled",
    "fast_functions",
    "forward_of",
    "numba_or_none",
    "product",
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
