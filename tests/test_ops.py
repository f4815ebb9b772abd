"""The table of ops: one row of examples for each, and what all of them must do.

Every example is run forward against NumPy itself or an independent formula, its first and
second gradients against central differences, in float32 and float64, and on arrays that are
strided, Fortran-ordered and read-only. Extremes, ties and kinks have tables of their own.
"""

from __future__ import annotations

import decimal
import gc
import math
import operator
import pathlib
import runpy
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import unspool.autograd as ug
from helpers import needs
from unspool.autograd import Parameter, Tape, Tensor, activations, check_grads, layers, losses
from unspool.autograd.numpy_core import SCATTER_ADD
from unspool.autograd.tensor import TABLE
from unspool.autograd.tracing import operands_read

inf, nan = np.inf, np.nan
DATA = pathlib.Path(__file__).parent / "data"
pytestmark = pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")


class Example(NamedTuple):
    """One use of an op: ``call(*args)``, where args are float64 arrays."""

    function: Callable[..., Any]
    call: Callable[..., Any]
    args: tuple[Any, ...]
    expected: Callable[..., Any]


EXAMPLES: dict[str, Example] = {}


def example(
    function: Callable[..., Any],
    *args: Any,
    call: Callable[..., Any] | None = None,
    expected: Callable[..., Any] | None = None,
    **options: Any,
) -> None:
    """Add a row. Without ``expected`` the same call on arrays, NumPy's own, is the formula."""
    run = call or (lambda *xs: function(*xs, **options))
    count = sum(e.function is function for e in EXAMPLES.values())
    name = getattr(function, "__name__", str(function)) + (f"-{count + 1}" if count else "")
    name = name if name not in EXAMPLES else f"{function.__module__}.{name}"
    arrays = tuple(np.asarray(x, dtype=np.float64) for x in args)
    EXAMPLES[name] = Example(function, run, arrays, expected or run)


def spread(*shape: int, low: float = -1.9, high: float = 1.8, seed: int = 0) -> np.ndarray:
    """Different numbers, evenly spread and shuffled: away from each other, from 0 and from ½."""
    n = math.prod(shape)
    return np.random.default_rng(seed).permutation(np.linspace(low, high, n)).reshape(shape)


# NumPy's functions ------------------------------------------------------------------------------

# ufunc -> where it is defined and smooth
UNARY: dict[Any, tuple[float, float]] = {
    np.negative: (-1.9, 1.8),
    np.positive: (-1.9, 1.8),
    np.exp: (-1.9, 1.8),
    np.exp2: (-1.9, 1.8),
    np.expm1: (-1.9, 1.8),
    np.log: (0.3, 3.0),
    np.log2: (0.3, 3.0),
    np.log10: (0.3, 3.0),
    np.log1p: (-0.6, 2.0),
    np.sqrt: (0.3, 3.0),
    np.cbrt: (-1.9, 1.8),
    np.square: (-1.9, 1.8),
    np.reciprocal: (0.4, 2.0),
    np.absolute: (-1.9, 1.8),
    np.fabs: (-1.9, 1.8),
    np.sign: (-1.9, 1.8),
    np.floor: (-1.9, 1.8),
    np.ceil: (-1.9, 1.8),
    np.trunc: (-1.9, 1.8),
    np.rint: (-1.9, 1.8),
    np.round: (-1.9, 1.8),
    np.around: (-1.9, 1.8),
    np.deg2rad: (-90, 80),
    np.radians: (-90, 80),
    np.rad2deg: (-1.9, 1.8),
    np.degrees: (-1.9, 1.8),
    np.sin: (-1.9, 1.8),
    np.cos: (-1.9, 1.8),
    np.tan: (-1.2, 1.1),
    np.arcsin: (-0.8, 0.85),
    np.arccos: (-0.8, 0.85),
    np.arctan: (-1.9, 1.8),
    np.sinh: (-1.9, 1.8),
    np.cosh: (-1.9, 1.8),
    np.tanh: (-1.9, 1.8),
    np.arcsinh: (-1.9, 1.8),
    np.arccosh: (1.3, 3.0),
    np.arctanh: (-0.8, 0.85),
    np.sinc: (-1.9, 1.8),
    np.nan_to_num: (-1.9, 1.8),
    np.copy: (-1.9, 1.8),
    np.conjugate: (-1.9, 1.8),
    np.real: (-1.9, 1.8),
    np.imag: (-1.9, 1.8),
    np.real_if_close: (-1.9, 1.8),
    getattr(np, "fix", np.trunc): (-1.9, 1.8),
    np.spacing: (-1.9, 1.8),
}
BINARY: dict[Any, tuple[tuple[float, float], tuple[float, float]]] = {
    np.add: ((-1.9, 1.8), (-1.5, 1.7)),
    np.subtract: ((-1.9, 1.8), (-1.5, 1.7)),
    np.multiply: ((-1.9, 1.8), (-1.5, 1.7)),
    np.divide: ((-1.9, 1.8), (0.5, 2.0)),
    np.power: ((0.4, 2.0), (-1.5, 1.7)),
    np.float_power: ((0.4, 2.0), (-1.5, 1.7)),
    np.floor_divide: ((-5.3, 4.9), (1.1, 2.0)),
    np.remainder: ((-5.3, 4.9), (1.1, 2.0)),
    np.fmod: ((-5.3, 4.9), (1.1, 2.0)),
    np.maximum: ((-1.9, 1.8), (-1.5, 1.7)),
    np.minimum: ((-1.9, 1.8), (-1.5, 1.7)),
    np.fmax: ((-1.9, 1.8), (-1.5, 1.7)),
    np.fmin: ((-1.9, 1.8), (-1.5, 1.7)),
    np.heaviside: ((-1.9, 1.8), (0.2, 0.8)),
    np.copysign: ((-1.9, 1.8), (-1.5, 1.7)),
    np.arctan2: ((-1.9, 1.8), (-1.5, 1.7)),
    np.hypot: ((-1.9, 1.8), (-1.5, 1.7)),
    np.logaddexp: ((-1.9, 1.8), (-1.5, 1.7)),
    np.logaddexp2: ((-1.9, 1.8), (-1.5, 1.7)),
    np.nextafter: ((-1.9, 1.8), (2.1, 2.4)),
}
for f, (low, high) in UNARY.items():
    example(f, spread(2, 3, low=low, high=high))
for f, (left, right) in BINARY.items():
    a = spread(2, 3, low=left[0], high=left[1])
    example(f, a, spread(2, 3, low=right[0], high=right[1], seed=1))

# Several results, and operands that are integers.
example(np.divmod, spread(2, 3, low=-5.3, high=4.9), spread(2, 3, low=1.1, high=2.0))
example(np.divmod, spread(2, 3), call=lambda x: divmod(3.7, x))
example(np.modf, spread(2, 3))
example(np.frexp, spread(2, 3), call=lambda x: np.frexp(x)[0])
example(np.ldexp, spread(2, 3), call=lambda x: np.ldexp(x, np.array([1, -2, 0])))
example(np.ldexp, spread(3), call=lambda x: np.ldexp(x, np.array([[1], [3]])))

# Powers whose base is negative or 0, and whose exponent is a number of the code.
example(np.power, [-1.5, 0.0, 2.0], call=lambda x: x**2)
example(np.power, [-1.5, 0.0, 2.0], call=lambda x: x**3)
example(np.power, [-1.5, 0.5, 2.0], call=lambda x: x**-1)
example(np.power, [1.5, 0.5, 2.0], call=lambda x: x**0.5)
example(np.power, [-1.5, 0.0, 2.0], call=lambda x: x**1)
example(np.power, [-1.5, 0.0, 2.0], call=lambda x: x**0)
example(np.power, [-1.5, 0.0, 2.0], call=lambda x: x ** np.array([2.0, 3.0, 0.0]))
example(np.power, [-1.5, 0.0, 2.0], call=lambda x: 2**x)
example(np.power, [0.5, 1.5, 2.0], call=lambda x: 0.0**x)
example(np.round, [1.234, -5.678], decimals=1)
example(np.sinc, [0.0, 1e-3, -0.02, 1.0])
example(np.where, spread(2, 3), spread(2, 3, seed=1), call=lambda a, b: np.where(a.T.T > 0, a, b))
mask = np.array([[True, False, True], [False, False, True]])
example(np.where, spread(2, 3), spread(3, seed=1), call=lambda a, b: np.where(mask, a, b))
example(np.where, spread(2, 3), call=lambda a: np.where(mask, a, 0))
example(np.where, spread(1, 3), call=lambda a: np.where(mask, -1.5, a))
example(np.clip, spread(2, 3), call=lambda x: np.clip(x, -1, 1))
example(np.clip, spread(2, 3), call=lambda x: np.clip(x, None, 0.5))
example(np.clip, spread(2, 3), call=lambda x: np.clip(x, a_min=-0.5, a_max=None))
example(np.clip, spread(3), call=lambda x: np.clip(x, np.array([[-1.0], [0.1]]), 1.5))
example(
    np.clip,
    spread(2, 3),
    spread(3, low=-1, high=-0.5),
    [1.1],
    call=lambda x, a, b: np.clip(x, a, b),
)
example(np.ndarray.astype, spread(2, 3), call=lambda x: x.astype(np.float64))
example(np.ndarray.astype, [1.2, 2.5], call=lambda x: x.astype(np.int64) + 0 * x)

# Products.
RANKS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((2, 2, 3), (3, 2)),
    ((2, 2, 3), (2, 3, 2)),
    ((1, 2, 3), (2, 3, 1)),
    ((2, 3), (2, 3, 2)),
    ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)),
    ((3,), (2, 1, 3, 2)),
    ((2, 1, 1, 3), (3,)),
    ((2, 1, 1, 2), (3, 2, 1)),
    ((1, 1, 2, 2), (2, 2)),
]
for of_a, of_b in RANKS:
    example(np.matmul, spread(*of_a), spread(*of_b, seed=1))
for of_a, of_b in [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 2)), ((3,), (2, 3, 2))]:
    example(np.dot, spread(*of_a), spread(*of_b, seed=1))
example(np.dot, spread(2, 1, 3), spread(2, 3, 2, seed=1))
example(np.dot, spread(2, 3), 1.5)
example(np.dot, 0.5, spread(2, 3))
example(np.tensordot, spread(2, 2, 3), spread(2, 3, 2, seed=1))
example(np.tensordot, spread(2, 3), spread(2, 3, seed=1), axes=1 - 1)
example(np.tensordot, spread(2, 3), spread(3, 2, seed=1), axes=(1, 0))
example(np.tensordot, spread(2, 3, 2), spread(2, 3, seed=1), axes=([1, -1], [-1, 0]))
example(np.inner, spread(3), spread(3, seed=1))
example(np.inner, spread(2, 3), spread(4, 3, seed=1))
example(np.inner, spread(2, 3), 0.5)
example(np.outer, spread(2), spread(3, seed=1))
example(np.outer, spread(2, 2), spread(3, seed=1))
example(np.vdot, spread(3), spread(3, seed=1))
example(np.vdot, spread(2, 2), spread(2, 2, seed=1))
of = np.linalg
vectors = [((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (2, 3))]
for function in (np.vecdot, of.vecdot):
    for of_a, of_b in vectors:
        example(function, spread(*of_a), spread(*of_b, seed=1))
    example(function, spread(3, 2), spread(3, 1, seed=1), axis=0)
if hasattr(np, "matvec"):  # from NumPy 2.2 on
    for of_a, of_b in [((2, 3), (3,)), ((2, 2, 3), (3,)), ((2, 3), (2, 3))]:
        example(np.matvec, spread(*of_a), spread(*of_b, seed=1))
    for of_a, of_b in [((2,), (2, 3)), ((2,), (2, 2, 3)), ((2, 2), (2, 3))]:
        example(np.vecmat, spread(*of_a), spread(*of_b, seed=1))
example(of.matmul, spread(2, 3), spread(3, 2, seed=1))
example(of.tensordot, spread(2, 3), spread(2, 3, seed=1), axes=([0, 1], [0, 1]))
example(of.outer, spread(2), spread(3, seed=1))
for shapes in [
    [(2, 3), (3, 2)],
    [(2, 3), (3, 1), (1, 2)],
    [(1, 2), (2, 3), (3, 2), (2, 2)],
    [(2,), (2, 3), (3, 2), (2,)],
]:
    arrays = [spread(*shape, seed=i) for i, shape in enumerate(shapes)]
    example(of.multi_dot, *arrays, call=lambda *xs: np.linalg.multi_dot(xs))
for of_a, of_b in [((2,), (3,)), ((2, 1), (1, 3)), ((3,), (2, 2)), ((1, 2, 1), (2, 2)), ((), (2,))]:
    example(np.kron, spread(*of_a), spread(*of_b, seed=1))
for function in (np.cross, of.cross):
    example(function, spread(3), spread(3, seed=1))
    example(function, spread(3, 2), spread(3, 1, seed=1), axis=0)
example(np.cross, spread(2, 3), spread(3, seed=1), axisc=0)
example(np.cross, spread(3, 2), spread(2, 3, seed=1), axisa=0, axisb=1)
for mode in ("full", "same", "valid"):
    for n, m in [(5, 2), (5, 3), (2, 5), (3, 3), (4, 1), (1, 2)]:
        example(np.convolve, spread(n), spread(m, seed=1), mode=mode)
EINSUMS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("ij,jk->ik", [(2, 3), (3, 2)]),
    ("ij,jk", [(2, 3), (3, 2)]),
    ("kj,ji", [(2, 3), (3, 2)]),
    ("ij->ji", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->j", [(2, 3)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("ii->", [(3, 3)]),
    ("iij->ij", [(2, 2, 3)]),
    ("iji->j", [(2, 3, 2)]),
    ("iii->i", [(2, 2, 2)]),
    ("ii,i->i", [(3, 3), (3,)]),
    ("ii,jj->ij", [(2, 2), (3, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i->", [(3,), (3,)]),
    ("i,i,i", [(3,), (3,), (3,)]),
    ("ij,ij->i", [(2, 3), (2, 3)]),
    ("ij,k->k", [(2, 3), (2,)]),
    ("ij,k->", [(2, 3), (2,)]),
    (",ij->ij", [(), (2, 3)]),
    ("bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]),
    ("ijk,il,jm,kn->lmn", [(2, 2, 2), (2, 1), (2, 2), (2, 3)]),
    ("...ij,...jk->...ik", [(2, 1, 2, 3), (2, 3, 2)]),
    ("...i,i", [(2, 3), (3,)]),
    ("i...->...", [(3, 2)]),
    ("...i->i...", [(2, 3)]),
    ("...,...->...", [(2, 3), (3,)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("...ii", [(2, 2, 2)]),
    ("ij,jk->ik", [(2, 1), (3, 2)]),
    ("ij,ij->ij", [(1, 3), (2, 1)]),
    ("ij,ij->", [(1, 3), (2, 3)]),
    (" i j , j k -> i k ", [(2, 3), (3, 2)]),
]
for subscripts, shapes in EINSUMS:
    example(
        np.einsum,
        *(spread(*shape, seed=i) for i, shape in enumerate(shapes)),
        call=lambda *xs, s=subscripts: np.einsum(s, *xs),
    )

# Reductions.
AXES: list[dict[str, Any]] = [
    {},
    {"axis": 0},
    {"axis": -1, "keepdims": True},
    {"axis": (0, 2)},
    {"axis": (-1, 0), "keepdims": True},
    {"axis": None, "keepdims": True},
]
REDUCTIONS: list[Any] = [
    np.sum, np.mean, np.max, np.min, np.amax, np.amin, np.prod, np.var, np.std, np.linalg.norm,
]  # fmt: skip
for f in REDUCTIONS:
    for options in AXES:
        example(f, spread(2, 2, 3), **options)
    example(f, spread(3))
for f in (np.var, np.std):
    example(f, spread(2, 3), ddof=1)
    example(f, spread(2, 3), axis=1, ddof=1, keepdims=True)
example(np.prod, [[0.0, 1.5, -2.0], [1.0, 0.0, 0.0]], axis=1)
example(np.prod, [[0.0, 1.5, -2.0], [1.0, 0.5, 3.0]])
example(np.prod, [[0.0, 1.5], [1.0, 0.0]], axis=(0, 1), keepdims=True)
for f in (np.cumsum, np.cumprod):
    example(f, spread(4))
    example(f, spread(2, 3))
    example(f, spread(2, 3), axis=0)
    example(f, spread(2, 3), axis=-1)
example(np.cumprod, [[2.0, 0.0, 3.0, 0.0], [1.0, 2.0, 0.0, -1.0]], axis=1)
example(np.cumprod, [[2.0, 0.0], [0.0, -1.0]], axis=0)
example(np.cumprod, [2.0, 0.0, 3.0])
for order in (1, 2, 3, 2.5, inf, -inf):
    example(np.linalg.norm, spread(4), ord=order)
    example(of.vector_norm, spread(2, 3), ord=order)
for options in AXES[1:5]:
    example(of.vector_norm, spread(2, 2, 3), **options)
    example(of.vector_norm, spread(2, 2, 3), ord=3, **options)
example(np.cumprod, [[0.0, 2.0, 0.0, 3.0, -1.5]], axis=1)
for order in ("fro", "nuc", 1, -1, 2, -2, inf, -inf):
    example(of.matrix_norm, spread(2, 3, 2), ord=order, keepdims=order == 1)
    example(np.linalg.norm, spread(2, 3), ord=order)
    example(np.linalg.norm, spread(2, 3, 2), ord=order, axis=(2, 0), keepdims=order == "fro")
example(np.linalg.norm, spread(2, 3), ord="fro")
example(np.linalg.norm, spread(2, 2, 3), ord="fro", axis=(0, 2))
example(np.linalg.norm, spread(2, 3), ord=1, axis=1, keepdims=True)
example(np.linalg.norm, spread(2, 3), ord=3, axis=-1)
example(np.trace, spread(3, 3))
example(np.trace, spread(2, 3, 2), offset=1, axis1=2, axis2=1)
example(np.diff, spread(4))
example(np.diff, spread(2, 4), n=2)
example(np.diff, spread(3, 2), axis=0)
example(np.average, spread(2, 3))
example(np.average, spread(2, 3), axis=0)
example(
    np.average, spread(2, 3), spread(2, 3, low=0.2, high=1), call=lambda x, w: np.average(x, 1, w)
)

example(np.average, spread(2, 3), [0.5, 1.0, 2.0], call=lambda x, w: np.average(x, 1, w))
example(
    np.average,
    spread(2, 3, 2),
    spread(2, 2, low=0.2, high=1),
    call=lambda x, w: np.average(x, axis=(2, 0), weights=w, keepdims=True),
)
example(of.trace, spread(2, 3, 3))
example(of.trace, spread(2, 3), offset=1)
example(np.ediff1d, spread(2, 3))
for function in (np.ptp, np.nanmax, np.nanmin, np.nansum, np.nanprod, np.nanmean, np.nanvar):
    for options in AXES:
        example(function, spread(2, 2, 3), **options)
for function in (np.nansum, np.nanprod, np.nanmean, np.nanmax, np.nanmin, np.nanvar, np.nanstd):
    for options in ({}, {"axis": 1}, {"axis": 0, "keepdims": True}):
        example(
            function, spread(2, 3), call=lambda x, f=function, o=options: (
                f(np.where(np.array([[True, False, True], [True, True, True]]), x, nan), **o)
            ),
        )  # fmt: skip
for function in (np.nancumsum, np.nancumprod):
    example(function, spread(2, 3))
    example(function, spread(3), call=lambda x, f=function: (
        f(np.where(np.array([True, False, True]), x, nan), axis=0)
    ))  # fmt: skip
example(np.nanstd, spread(2, 4), axis=1, ddof=1)
some = np.array([[True, True, True], [False, True, True]])
for function in (np.sum, np.mean, np.prod, np.var, np.std):
    for options in ({}, {"axis": 1}, {"axis": (0, -1), "keepdims": True}):
        example(function, spread(2, 2, 3), where=some, **options)
for function in (np.sum, np.prod, np.max, np.min, np.amax, np.amin):
    example(function, spread(2, 3), initial=0.4)
    example(function, spread(2, 3), axis=1, initial=-0.4, where=some)
for function in (np.var, np.std):
    example(function, spread(2, 3), axis=1, correction=1)
    example(function, spread(2, 3), axis=1, where=some, ddof=1, keepdims=True)
    example(function, spread(2, 3), axis=1, mean=np.array([[0.1], [-0.2]]))
example(np.trapezoid, spread(4))
example(np.trapezoid, spread(2, 3), dx=0.5, axis=0)
example(np.trapezoid, spread(2, 3), spread(3, seed=1))
example(np.trapezoid, spread(2, 3), spread(2, 3, seed=1), axis=0)
if hasattr(np, "cumulative_sum"):  # from NumPy 2.1 on
    for function in (np.cumulative_sum, np.cumulative_prod):
        example(function, spread(3))
        example(function, spread(2, 3), axis=-1, include_initial=True)
example(np.interp, [-2.5, -0.3, 0.2, 0.7, 1.9], [-1.0, 0.0, 0.5, 1.5], spread(4, seed=1))
example(np.interp, [[-2.5, 0.3], [0.2, 1.9]], [-1.0, 0.0, 0.5], spread(3), left=7.0, right=-7.0)
example(np.interp, 0.4, [0.0, 1.0], [2.0, 3.0])
example(np.interp, [0.4, 1.4], [1.0], [2.0])

# Shape.
for shape in ((3, 2), (-1, 2), 6, (3, 1, 2)):
    example(np.reshape, spread(2, 3), call=lambda x, s=shape: np.reshape(x, s, order="F"))
example(np.reshape, spread(2, 3), call=lambda x: np.reshape(x, (3, 2), "C"))
example(np.ravel, spread(2, 3), order="F")
example(np.reshape, spread(2, 3), call=lambda x: np.reshape(x, (3, -1)))
example(np.reshape, spread(2, 3), call=lambda x: x.reshape(6))
example(np.ravel, spread(2, 3))
example(np.expand_dims, spread(2, 3), axis=1)
example(np.expand_dims, spread(2, 3), axis=(0, -1))
example(np.squeeze, spread(1, 2, 1, 3))
example(np.squeeze, spread(1, 2, 1), axis=-1)
example(np.transpose, spread(2, 3))
example(np.transpose, spread(1, 2, 3), axes=(1, -1, 0))
example(np.swapaxes, spread(1, 2, 3), axis1=0, axis2=-1)
example(np.moveaxis, spread(1, 2, 3), source=0, destination=-1)
example(np.moveaxis, spread(1, 2, 3), call=lambda x: np.moveaxis(x, (0, 1), (-1, 0)))
example(np.broadcast_to, spread(1, 3), shape=(2, 2, 3))
example(np.broadcast_to, 1.5, shape=(2, 2))
example(np.flip, spread(2, 3))
example(np.flip, spread(2, 3), axis=1)
example(np.flip, spread(2, 1, 3), axis=(0, -1))
example(np.fliplr, spread(2, 3))
example(np.flipud, spread(2, 3))
example(np.roll, spread(2, 3), shift=2)
example(np.roll, spread(2, 3), shift=-1, axis=1)
example(np.roll, spread(2, 3), shift=(1, 2), axis=(0, 1))
example(np.roll, spread(2, 3), shift=[1, 2], axis=[0, 1])
example(np.rot90, spread(2, 3))
example(np.rot90, spread(2, 1, 3), k=-1, axes=(1, 2))
for f in (np.tril, np.triu):
    example(f, spread(3, 3))
    example(f, spread(2, 2, 3), k=1)
    example(f, spread(3, 2), k=-1)
example(
    np.concatenate, spread(2, 3), spread(1, 3, seed=1), call=lambda a, b: np.concatenate([a, b])
)
example(
    np.concatenate, spread(2, 1), spread(2, 3), call=lambda a, b: np.concatenate((a, b, a), axis=-1)
)
example(
    np.concatenate, spread(2, 1), spread(3), call=lambda a, b: np.concatenate([a, b], axis=None)
)
example(
    np.concatenate,
    spread(2, 2),
    call=lambda a: np.concatenate([np.ones((1, 2), a.dtype), a], axis=0),
)
example(np.stack, spread(2, 3), spread(2, 3, seed=1), call=lambda a, b: np.stack([a, b]))
example(np.stack, spread(2, 3), spread(2, 3, seed=1), call=lambda a, b: np.stack([a, b], axis=-1))
example(np.stack, 1.0, 2.0, call=lambda a, b: np.stack([a, b, b]))
example(np.vstack, spread(3), spread(2, 3), call=lambda a, b: np.vstack([a, b]))
example(np.hstack, spread(3), spread(2), call=lambda a, b: np.hstack([a, b]))
example(np.hstack, spread(2, 1), spread(2, 3), call=lambda a, b: np.hstack([a, b]))
example(np.hstack, 1.0, spread(2), call=lambda a, b: np.hstack([a, b]))
example(np.column_stack, spread(2), spread(2, 3), call=lambda a, b: np.column_stack([a, b]))
example(np.append, spread(2), spread(2, 3))
example(np.append, spread(1, 3), spread(2, 3), axis=0)
example(np.split, spread(4, 2), call=lambda x: np.split(x, 2))
example(np.split, spread(2, 5), call=lambda x: np.split(x, [1, 3], axis=-1))
example(np.split, spread(5), call=lambda x: np.split(x, [-2]))
example(np.split, spread(3), call=lambda x: np.split(x, [1, 5]))
example(np.array_split, spread(5), call=lambda x: np.array_split(x, 3))
example(np.array_split, spread(2, 3), call=lambda x: np.array_split(x, 2, axis=1))
example(np.atleast_1d, 1.5)
example(np.atleast_1d, spread(2, 2))
example(np.atleast_2d, 1.5)
example(np.atleast_2d, spread(3))
example(np.atleast_1d, 1.5, spread(2))
example(np.atleast_2d, spread(3), spread(1, 2))
example(np.atleast_2d, spread(2, 1, 2))
example(np.tile, spread(2, 2), call=lambda x: np.tile(x, 2))
example(np.tile, spread(2), call=lambda x: np.tile(x, (2, 3)))
example(np.repeat, spread(2, 2), repeats=2)
example(np.repeat, spread(2, 2), repeats=[1, 3], axis=1)
example(np.repeat, spread(2, 2), call=lambda x: np.repeat(x, np.array([2, 0]), axis=0))
example(np.diag, spread(3))
example(np.diag, spread(2), k=-1)
example(np.diag, spread(3, 2))
example(np.diag, spread(3, 3), k=1)
example(np.diagonal, spread(3, 3))
example(np.diagonal, spread(2, 3, 2), offset=-1, axis1=1, axis2=2)
example(np.pad, spread(2, 3), call=lambda x: np.pad(x, 1))
example(np.pad, spread(3), call=lambda x: np.pad(x, (2, 1), constant_values=7.0))
example(np.pad, spread(2, 3), call=lambda x: np.pad(x, ((0, 1), (2, 0))))
for mode in ("edge", "reflect", "symmetric", "wrap"):
    example(np.pad, spread(3), call=lambda x, m=mode: np.pad(x, 2, mode=m))
    example(np.pad, spread(2, 3), call=lambda x, m=mode: np.pad(x, ((1, 0), (0, 2)), m))

for shapes in [[(3,), (3,)], [(2, 3), (2, 3)], [(), ()], [(2, 1, 2), (2, 1, 1)]]:
    arrays = [spread(*shape, seed=i) for i, shape in enumerate(shapes)]
    example(np.dstack, *arrays, call=lambda *xs: np.dstack(xs))
example(np.block, spread(3), spread(2), call=lambda a, b: np.block([a, b, 7.0]))
example(
    np.block, spread(2, 2), spread(2, 1), spread(3),
    call=lambda a, b, c: np.block([[a, b], [c], [np.zeros((1, 2)), 1.0]]),
)  # fmt: skip
example(np.block, spread(2), call=lambda a: np.block([[[a], [a]], [[a], [2 * a]]]))
example(np.hsplit, spread(4), call=lambda x: np.hsplit(x, 2))
example(np.hsplit, spread(2, 3), call=lambda x: np.hsplit(x, [1]))
example(np.vsplit, spread(4, 2), call=lambda x: np.vsplit(x, 2))
example(np.dsplit, spread(1, 2, 4), call=lambda x: np.dsplit(x, [1, 3]))
if hasattr(np, "unstack"):  # from NumPy 2.1 on
    example(np.unstack, spread(2, 3), call=lambda x: np.unstack(x))
    example(np.unstack, spread(2, 1, 3), call=lambda x: np.unstack(x, axis=-1))
if hasattr(np, "astype"):  # from NumPy 2.1 on
    example(np.astype, spread(2, 3), call=lambda x: np.astype(x, np.float64))
example(np.select, spread(2, 3), spread(3, seed=1), call=lambda a, b: np.select(
    [mask, np.array([[True], [False]])], [a, b * b], -1.5
))  # fmt: skip
example(np.select, spread(3), call=lambda a: np.select([mask], [a]))
example(np.broadcast_arrays, spread(2, 1), spread(3), 1.5)
example(np.meshgrid, spread(2), spread(3))
example(np.meshgrid, spread(2), spread(3), 0.5, indexing="ij")
example(np.meshgrid, spread(2), spread(3), sparse=True)
example(np.meshgrid, spread(2))
for function in (np.matrix_transpose, of.matrix_transpose):
    example(function, spread(2, 3))
    example(function, spread(2, 1, 3))
example(of.diagonal, spread(2, 3, 2))
example(of.diagonal, spread(3, 3), offset=-1)
example(np.diagflat, spread(2, 2), k=1)
example(np.atleast_3d, 1.5)
example(np.atleast_3d, spread(3))
example(np.atleast_3d, spread(2, 3), spread(1, 2, 1, 2))

# What gathers.
example(np.delete, spread(5), obj=[1, -1])
example(np.delete, spread(2, 3), obj=slice(0, 2), axis=1)
example(np.delete, spread(2, 3), obj=2)
example(np.insert, spread(4), 1.5, call=lambda x, v: np.insert(x, 2, v))
example(np.insert, spread(4), [1.5, 2.5], call=lambda x, v: np.insert(x, [0, 3], v))
example(np.insert, spread(2, 3), [1.5, 2.5], call=lambda x, v: np.insert(x, 1, v, axis=1))
example(np.insert, spread(2, 3), spread(3), call=lambda x, v: np.insert(x, [0, 2], v, axis=0))
example(np.insert, spread(2, 3), 1.0, call=lambda x, v: np.insert(x, slice(0, 4, 2), v))
example(np.bincount, spread(4), call=lambda w: np.bincount([1, 3, 1, 0], w, minlength=5))
example(np.full_like, spread(2, 3), call=lambda x: np.full_like(x, x[0]) * x)
example(np.full_like, spread(3), call=lambda a: np.full_like(a, a * a, shape=(2, 3)))
example(np.ix_, spread(2), spread(3, seed=1), call=lambda a, b: np.multiply(*np.ix_(a, b)))
example(np.compress, spread(3, 2), call=lambda x: np.compress([True, False, True], x, axis=0))
example(np.compress, spread(2, 2), call=lambda x: np.compress([True, False, True], x))
example(np.extract, spread(2, 3), call=lambda x: np.extract(mask, x))
example(np.resize, spread(2, 3), new_shape=(2, 4))
example(np.rollaxis, spread(1, 2, 3), axis=2)
example(np.rollaxis, spread(1, 2, 3), axis=0, start=2)
example(np.fft.fftshift, spread(5))
example(np.fft.ifftshift, spread(2, 3), axes=1)
windows = np.lib.stride_tricks.sliding_window_view
example(windows, spread(5), window_shape=3)
example(windows, spread(3, 3), window_shape=(2, 2))
example(windows, spread(4, 2), window_shape=2, axis=0)
example(np.take, spread(2, 3), indices=[0, 0, -1, 4])
example(np.take, spread(2, 3), indices=[[2, 0], [1, 1]], axis=1)
example(np.take, spread(2, 3), indices=np.array([1, 1, 0]), axis=0)
example(np.take, spread(2, 3), indices=-1, axis=-1)
example(
    np.take_along_axis,
    spread(2, 3),
    call=lambda x: np.take_along_axis(x, np.array([[2, 0, 0], [1, 1, 1]]), axis=1),
)
example(
    np.take_along_axis,
    spread(2, 3),
    call=lambda x: np.take_along_axis(x, np.array([[1, 0, 1]]), 0),
)
example(np.sort, spread(5))
example(np.sort, spread(2, 3))
example(np.sort, spread(3, 2), axis=0)
example(np.sort, spread(2, 3), axis=None)
INDICES: list[Any] = [
    1,
    -1,
    np.int64(2),
    slice(None),
    slice(None, None, -1),
    slice(2, 0, -2),
    ...,
    None,
    (),
    (1, 2, 0),
    (slice(1, None), ..., 0),
    (..., None, slice(0, 3, 2), 1),
    (None, 1, None),
    [0, 0, 2],
    np.array([[0, 1], [0, 0]]),
    np.array([2, 2], dtype=np.uint8),
    np.array([-1, 2, -1]),
    np.array(1),
    np.array([], dtype=int),
    np.array([True, False, True]),
    np.zeros(3, bool),
    True,
    np.arange(24).reshape(3, 4, 2) % 3 == 0,
    (slice(None), [0, 0, 1]),
    ([0, 2, 0], [1, 1, 1]),
    ([0, 2, 0], slice(1, 3), [1, 0, 1]),
    (np.array([[0], [1]]), np.array([2, 2, 0]), 1),
    (..., [1, 1]),
    (None, [0, 0], ..., None),
    (np.array([True, False, True]), slice(None), [0, 0]),
    (slice(None), np.array([False, True, True, False])),
    (1, [0, 0, 3]),
]
for index in INDICES:
    example(operator.getitem, spread(3, 4, 2), call=lambda x, i=index: x[i])
example(operator.getitem, 1.5, call=lambda x: x[()])
example(operator.getitem, 1.5, call=lambda x: x[None, ...])

# Small linear algebra.
well = np.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.6], [-0.7, 0.2, 1.8]])
wells = np.stack([well, well.T + 0.5 * np.eye(3)])
example(np.linalg.inv, well)
example(np.linalg.inv, wells)
example(np.linalg.det, well)
example(np.linalg.det, wells)
example(np.linalg.solve, well, spread(3))
example(np.linalg.solve, well, spread(3, 2))
example(np.linalg.solve, wells, spread(2, 3, 1))
example(np.linalg.solve, wells, spread(3))
example(np.linalg.solve, well, spread(2, 3, 1))


example(np.linalg.svdvals, spread(2, 3))
example(np.linalg.svdvals, spread(2, 3, 2))
example(np.linalg.svd, spread(3, 2), compute_uv=False)
for tall in (spread(4, 2), spread(2, 3, 2), spread(2, 4)):  # its vectors have a sign by chance
    example(
        np.linalg.svd,
        tall,
        call=lambda x: [np.abs(part) for part in np.linalg.svd(x, full_matrices=False)],
    )
example(np.linalg.svd, well, call=lambda x: [part * part for part in np.linalg.svd(x)])
example(np.einsum, spread(2, 3), spread(3, 2), call=lambda a, b: np.einsum(a, [0, 1], b, [1, 2]))
example(
    np.einsum,
    spread(2, 2, 3),
    spread(3, 4),
    call=lambda a, b: np.einsum(a, [..., 7], b, [7, 5], [..., 5]),
)
for method in ("linear", "lower", "higher", "midpoint", "nearest"):
    for options in AXES[:5]:
        example(np.quantile, spread(2, 3, 2), q=0.3, method=method, **options)
    example(np.quantile, spread(4), q=[[0.0, 0.5], [0.8, 1.0]], method=method)
example(np.percentile, spread(5, 2), q=[20, 70], axis=0)
for options in AXES:
    example(np.median, spread(2, 2, 3), **options)
example(np.median, spread(5))
for options in ({}, {"num": 4, "endpoint": False}, {"num": 1}, {"num": 3, "axis": -1}):
    example(np.linspace, spread(3), spread(2, 3, seed=1), **options)
example(np.diff, spread(2, 3), n=2, prepend=0.5, append=[[1.5], [-0.5]])
example(np.ediff1d, spread(4), to_begin=0.5, to_end=[1.5, -0.5])
chosen = np.array([[True, False, True], [True, True, False]])
for f in (np.nanmean, np.nanvar, np.nanstd):
    example(f, spread(2, 3), axis=1, where=chosen)


# The functions that NumPy lacks, beside formulas written for this file --------------------------


def each(f: Callable[[float], float]) -> Callable[[Any], Any]:
    return lambda x: np.reshape([f(v) for v in np.ravel(x)], np.shape(x))


def erf_series(x: float) -> float:
    """2/√π Σ (-1)^n x^(2n+1) / (n! (2n+1)), which has converged by n = 60 for |x| < 3."""
    terms = ((-1) ** n * x ** (2 * n + 1) / (math.factorial(n) * (2 * n + 1)) for n in range(60))
    return 2 / math.sqrt(math.pi) * math.fsum(terms)


ACTIVATIONS: dict[Any, Callable[[Any], Any]] = {
    ug.sigmoid: each(lambda v: 1 / (1 + math.exp(-v))),
    ug.relu: each(lambda v: v if v > 0 else 0.0),
    ug.leaky_relu: each(lambda v: v if v > 0 else 0.01 * v),
    ug.elu: each(lambda v: v if v > 0 else math.exp(v) - 1),
    ug.silu: each(lambda v: v / (1 + math.exp(-v))),
    ug.erf: each(erf_series),
    ug.gelu: each(lambda v: v * (1 + erf_series(v / math.sqrt(2))) / 2),
    ug.softplus: each(lambda v: math.log(1 + math.exp(v))),
    ug.log_sigmoid: each(lambda v: -math.log(1 + math.exp(-v))),
    ug.hard_sigmoid: each(lambda v: 0.0 if v < -3 else 1.0 if v > 3 else (v + 3) / 6),
    ug.hardtanh: each(lambda v: min(max(v, -1.0), 1.0)),
    ug.selu: each(
        lambda v: 1.0507009873554805 * (v if v > 0 else 1.6732632423543772 * (math.exp(v) - 1))
    ),
    ug.mish: each(lambda v: v * math.tanh(math.log(1 + math.exp(v)))),
    ug.softsign: each(lambda v: v / (1 + abs(v))),
}
for f, formula in ACTIVATIONS.items():
    example(f, spread(2, 3), expected=formula)
example(ug.leaky_relu, spread(4), slope=0.3, expected=each(lambda v: v if v > 0 else 0.3 * v))
example(
    ug.elu, spread(4), alpha=0.7, expected=each(lambda v: v if v > 0 else 0.7 * (math.exp(v) - 1))
)
example(
    ug.gelu,
    spread(2, 3),
    approximate="tanh",
    expected=each(
        lambda v: v / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
    ),
)
example(ug.hardtanh, spread(4), low=-0.7, high=1.5, expected=lambda x: np.clip(x, -0.7, 1.5))
example(ug.hard_sigmoid, [-5.0, -2.9, 0.5, 2.9, 4.0], expected=ACTIVATIONS[ug.hard_sigmoid])


def softmax_formula(x: Any, axis: Any) -> Any:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


for axis in (-1, 0, 1):
    example(
        ug.softmax, spread(2, 2, 3), axis=axis, expected=lambda x, a=axis: softmax_formula(x, a)
    )
    example(
        ug.log_softmax,
        spread(2, 2, 3),
        axis=axis,
        expected=lambda x, a=axis: np.log(softmax_formula(x, a)),
    )
for options in AXES[1:5]:
    example(
        ug.logsumexp, spread(2, 2, 3), **options, expected=lambda x, o=options: np.log(
            np.exp(x).sum(**o)
        )
    )  # fmt: skip
example(ug.logsumexp, spread(3), expected=lambda x: np.log(np.exp(x).sum()))


def layer_norm_formula(x: Any, gain: Any = 1.0, bias: Any = 0.0, eps: float = 1e-5) -> Any:
    rows = [(r - r.mean()) / math.sqrt(r.var() + eps) for r in x.reshape(-1, x.shape[-1])]
    return np.reshape(rows, x.shape) * gain + bias


example(ug.layer_norm, spread(2, 3), expected=layer_norm_formula)
example(
    ug.layer_norm,
    spread(2, 2, 3),
    spread(3, seed=1),
    spread(3, seed=2),
    eps=0.1,
    expected=lambda x, g, b: layer_norm_formula(x, g, b, 0.1),
)
example(ug.layer_norm, spread(3, 2), axis=0, expected=lambda x: layer_norm_formula(x.T.copy()).T)


def embedding_formula(E: Any, ids: Any) -> Any:
    one_hot = np.asarray(ids)[..., None] == np.arange(len(E))
    return one_hot.astype(float) @ E  # the lectures' E x_t


for ids in ([0, 2, 0, 0], [[3, 3], [1, 3]], 2, np.zeros((0, 2), int)):
    example(
        ug.embedding, spread(4, 3), call=lambda E, i=ids: ug.embedding(E, i),
        expected=lambda E, i=ids: embedding_formula(E, i),
    )  # fmt: skip


def dropout_formula(x: Any, p: float, seed: int) -> Any:
    kept = np.random.default_rng(seed).random(x.shape) >= p
    return np.where(kept, x / (1 - p), 0)


example(
    ug.dropout, spread(3, 4), call=lambda x: ug.dropout(x, 0.4, rng=7),
    expected=lambda x: dropout_formula(x, 0.4, 7),
)  # fmt: skip
example(ug.dropout, spread(3), p=1.0, expected=np.zeros_like)


def conv1d_formula(
    x: Any, W: Any, b: Any = None, padding: str = "valid", stride: int = 1, dilation: int = 1
) -> Any:
    """y[t] = Σ_k x[t·stride + k·dilation] W[k], position by position."""
    width, _, d_out = W.shape
    reach = (width - 1) * dilation
    before = {"valid": 0, "same": reach // 2, "causal": reach}[padding]
    steps = x.shape[-2] - (reach if padding == "valid" else 0)
    out = np.zeros((*x.shape[:-2], len(range(0, steps, stride)), d_out))
    for n, t in enumerate(range(0, steps, stride)):
        for k in range(width):
            at = t + k * dilation - before
            if 0 <= at < x.shape[-2]:
                out[..., n, :] += x[..., at, :] @ W[k]
    return out if b is None else out + b


for x, W, options in [
    ((2, 4, 2), (2, 2, 2), {}),
    ((4, 2), (3, 2, 1), {}),
    ((1, 4, 1), (2, 1, 2), {"padding": "same"}),
    ((1, 4, 1), (3, 1, 2), {"padding": "same"}),
    ((4, 2), (2, 2, 1), {"padding": "causal"}),
    ((1, 6, 1), (2, 1, 2), {"stride": 2, "dilation": 2}),
    ((1, 5, 1), (3, 1, 1), {"padding": "causal", "dilation": 2, "stride": 3}),
]:
    example(
        ug.conv1d, spread(*x), spread(*W, seed=1), **options,
        expected=lambda x, W, o=options: conv1d_formula(x, W, **o),
    )  # fmt: skip
example(ug.conv1d, spread(3, 2), spread(2, 2, 2, seed=1), [0.5, -1.0], expected=conv1d_formula)

example(ug.max_over_time, spread(2, 3, 2), expected=lambda x: np.stack([r.T.max(1) for r in x]))
seen = np.array([[True, False, True], [False, False, False]])
example(
    ug.max_over_time,
    spread(2, 3, 2),
    call=lambda x: ug.max_over_time(x, seen),
    expected=lambda x: np.stack([x[0, [0, 2]].max(0), np.zeros(2)]),
)


# Losses.
def reduced(terms: Any, counts: Any, reduction: str) -> Any:
    total = sum(float(t) for t in np.ravel(terms))
    return {"none": terms, "sum": total, "mean": total / max(float(np.sum(counts)), 1e-300)}[
        reduction
    ]


def cross_entropy_formula(
    logits: Any,
    targets: Any,
    *,
    mask: Any = None,
    weight: Any = None,
    smoothing: float = 0.0,
    ignore: int | None = None,
    reduction: str = "mean",
    normalise: bool = True,
) -> Any:
    """-Σ_c w_c q_c log p_c at each position, q the smoothed one-hot target."""
    classes = logits.shape[-1]
    w = np.ones(classes) if weight is None else np.asarray(weight)
    terms, counts = np.zeros(np.shape(targets)), np.zeros(np.shape(targets))
    for place in np.ndindex(terms.shape):
        target = np.asarray(targets)[place]
        if target == ignore or (mask is not None and not np.asarray(mask)[place]):
            continue
        p = np.exp(logits[place])
        if normalise:
            p = p / p.sum()
        q = (1 - smoothing) * (np.arange(classes) == target) + smoothing / classes
        terms[place] = -(w * q * np.log(p)).sum()
        counts[place] = w[target]
    return reduced(terms, counts, reduction)


CLASS_OPTIONS: list[dict[str, Any]] = [
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"weight": np.array([0.5, 2.0, 1.2])},
    {"ignore": -100},
    {"mask": np.array([True, False, True, True])},
    {"mask": np.zeros(4, bool)},
    {"weight": np.array([0.5, 2.0, 0.0]), "ignore": 1, "reduction": "none"},
    {"mask": np.array([True, False, True, True]), "weight": np.array([0.5, 2.0, 1.2])},
]
for options in [
    *CLASS_OPTIONS,
    {"smoothing": 0.1},
    {"smoothing": 0.2, "weight": np.array([0.5, 2.0, 1.2]), "ignore": -100},
    {"smoothing": 1.0, "reduction": "none"},
]:
    targets = np.array([0, 2, 2, 1])
    if "mask" in options:
        targets[~options["mask"]] = 99  # what stands at a masked position does not matter
    if "ignore" in options:
        targets[1] = options["ignore"]
    example(
        ug.cross_entropy, spread(4, 3), call=lambda x, t=targets, o=options: (
            ug.cross_entropy(x, t, **o)
        ),
        expected=lambda x, t=targets, o=options: cross_entropy_formula(x, t, **o),
    )  # fmt: skip
    if "smoothing" in options:
        continue
    example(
        ug.nll_loss, spread(4, 3, low=-3, high=-0.1), call=lambda x, t=targets, o=options: (
            ug.nll_loss(x, t, **o)
        ),
        expected=lambda x, t=targets, o=options: cross_entropy_formula(x, t, normalise=False, **o),
    )  # fmt: skip
example(
    ug.cross_entropy,
    spread(2, 2, 3),
    call=lambda x: ug.cross_entropy(x, [[0, 2], [1, 1]]),
    expected=lambda x: cross_entropy_formula(x, [[0, 2], [1, 1]]),
)
example(
    ug.cross_entropy,
    spread(3),
    call=lambda x: ug.cross_entropy(x, 2),
    expected=lambda x: cross_entropy_formula(x, np.array(2)),
)

MASK = np.array([[True, True, False], [False, True, True]])


def elementwise_loss(
    term: Callable[[float, float], float], targets: Any, **options: Any
) -> Callable[[Any], Any]:
    """Σ term(x, target) over the positions that count, one by one."""

    def formula(x: Any) -> Any:
        mask = options.get("mask", np.ones(x.shape, bool))
        weight = np.broadcast_to(options.get("weight", 1.0), x.shape)
        terms = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            if mask[place]:
                terms[place] = weight[place] * term(float(x[place]), float(targets[place]))
        return reduced(terms, mask, options.get("reduction", "mean"))

    return formula


def bce_term(positive: float = 1.0) -> Callable[[float, float], float]:
    def term(z: float, y: float) -> float:
        p = 1 / (1 + math.exp(-z))
        return -(positive * y * math.log(p) + (1 - y) * math.log(1 - p))

    return term


def huber_term(delta: float) -> Callable[[float, float], float]:
    return lambda x, y: (
        0.5 * (x - y) ** 2 if abs(x - y) <= delta else delta * (abs(x - y) - 0.5 * delta)
    )


soft = spread(2, 3, low=0.1, high=0.9, seed=3)
hard = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
real = spread(2, 3, low=-1.0, high=2.5, seed=4)
spoiled = np.where(MASK, real, nan)
REDUCED: list[dict[str, Any]] = [{}, {"reduction": "sum"}, {"reduction": "none"}, {"mask": MASK}]
for options in [
    *REDUCED,
    {"weight": np.array([0.5, 2.0, 1.0])},
    {"positive_weight": 3.0},
    {"mask": MASK, "weight": np.array([0.5, 2.0, 1.0]), "reduction": "none"},
]:
    for y in (hard, soft):
        plain = {k: v for k, v in options.items() if k != "positive_weight"}
        example(
            ug.binary_cross_entropy, spread(2, 3), call=lambda x, y=y, o=options: (
                ug.binary_cross_entropy(x, y, **o)
            ),
            expected=elementwise_loss(bce_term(options.get("positive_weight", 1.0)), y, **plain),
        )  # fmt: skip
for options in REDUCED:
    y = spoiled if "mask" in options else real
    for f, term in [
        (ug.mse_loss, lambda x, y: (x - y) ** 2),
        (ug.l1_loss, lambda x, y: abs(x - y)),
        (ug.huber_loss, huber_term(1.0)),
    ]:
        example(
            f, spread(2, 3), call=lambda x, f=f, y=y, o=options: f(x, y, **o),
            expected=elementwise_loss(term, y, **options),
        )  # fmt: skip
    for y in (soft, np.where(hard > 0, soft, 0)):
        example(
            ug.kl_divergence, spread(2, 3, low=-3, high=-0.1),
            call=lambda x, y=y, o=options: ug.kl_divergence(x, y, **o),
            expected=elementwise_loss(
                lambda x, y: y * (math.log(y) - x) if y > 0 else 0.0, y, **options
            ),
        )  # fmt: skip
    example(
        ug.hinge_loss, spread(2, 3), call=lambda x, o=options: ug.hinge_loss(x, 2 * hard - 1, **o),
        expected=elementwise_loss(lambda x, y: max(0.0, 1 - y * x), 2 * hard - 1, **options),
    )  # fmt: skip
example(
    ug.huber_loss, spread(2, 3), call=lambda x: ug.huber_loss(x, real, delta=0.4),
    expected=elementwise_loss(huber_term(0.4), real),
)  # fmt: skip
example(
    ug.mse_loss, spread(2, 3), spread(2, 3, seed=1), expected=lambda x, y: ((x - y) ** 2).mean()
)


def hinge_formula(scores: Any, targets: Any, margin: float = 1.0) -> Any:
    losses = []
    for row, t in zip(scores, targets, strict=True):
        best = max(v for c, v in enumerate(row) if c != t)
        losses.append(max(0.0, margin - (row[t] - best)))
    return sum(losses) / len(losses)


example(
    ug.hinge_loss, spread(3, 4), call=lambda x: ug.hinge_loss(x, [0, 3, 1]),
    expected=lambda x: hinge_formula(x, [0, 3, 1]),
)  # fmt: skip
example(
    ug.hinge_loss, spread(3, 4), call=lambda x: ug.hinge_loss(x, [0, -7, 1], margin=0.5, mask=[
        True, False, True
    ]),
    expected=lambda x: hinge_formula(x[[0, 2]], [0, 1], 0.5),
)  # fmt: skip

example(
    ug.scatter_add, spread(2, 3), spread(2, seed=1),
    call=lambda a, b: ug.scatter_add(a, b, indices=[slice(1, 3), (0, [2, 2])], shape=(4, 3)),
    expected=lambda a, b: np.stack([[0, 0, b.sum()], a[0], a[1], np.zeros(3)]),
)  # fmt: skip
example(
    ug.scatter_add, spread(4, 2), call=lambda g: ug.scatter_add(
        g, indices=[np.array([1, -1, 1, 0])], shape=(3, 2)
    ),
    expected=lambda g: np.stack([g[3], g[0] + g[2], g[1]]),
)  # fmt: skip
example(
    ug.unbroadcast, spread(2, 2, 3), call=lambda g: ug.unbroadcast(g, (2, 1)),
    expected=lambda g: g.sum(axis=(0, 2))[:, None],
)  # fmt: skip


# What every row must do -------------------------------------------------------------------------

every_example = pytest.mark.parametrize("case", EXAMPLES.values(), ids=EXAMPLES.keys())


def as_list(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


def run(case: Example, arrays: Any) -> tuple[list[Any], list[Any]]:
    """The results of a call on Tensors, and the gradients of its operands for a fixed seed."""
    leaves = [Tensor(x, requires_grad=True) for x in arrays]
    outputs = as_list(case.call(*leaves))
    seeds = [np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype) for y in outputs]
    gradients = Tape(*outputs).gradients(seeds[0] if len(seeds) == 1 else seeds)
    return outputs, [gradients.get(x) for x in leaves]


def curved(call: Callable[..., Any]) -> Callable[..., Any]:
    """y + y² of each result: the gradient that a rule gets then depends on the operands too.

    Without it a rule of a linear op could drop the history of its gradient unseen.
    """
    return lambda *xs: [y + y * y for y in as_list(call(*xs))]


def test_every_row_of_the_table_has_an_example():
    covered = {e.function for e in EXAMPLES.values()}
    missing = [f for f in TABLE if f not in covered]
    public = {*activations.__all__, *layers.__all__, *losses.__all__} - {
        "ACTIVATIONS",
        "reduce_loss",
    }
    missing += [f for name in sorted(public) if (f := getattr(ug, name)) not in covered]
    assert not missing, f"no example for {missing}"


@every_example
def test_forward(case: Example):
    expected = as_list(case.expected(*case.args))
    outputs, _ = run(case, case.args)
    assert len(outputs) == len(expected)
    for y, wanted in zip(outputs, expected, strict=True):
        assert isinstance(y, Tensor)
        assert y.shape == np.shape(wanted)
        np.testing.assert_allclose(y.data, wanted, rtol=1e-12, atol=1e-14)


@every_example
def test_first_and_second_gradient(case: Example):
    check_grads(curved(case.call), case.args, order=2)


@every_example
def test_what_rules_do_not_read_is_not_missed(case: Example):
    """A fused run keeps what ``operands_read`` finds in the code of the rules, and no more."""
    outputs, _ = run(case, case.args)
    for record in Tape(*outputs):
        op = record.op
        arrays = [record.output.data, *(x.data for x in record.inputs)]
        g = np.random.default_rng(3).standard_normal(arrays[0].shape)
        rules = (
            [op.rules] if op.variadic else [rule for rule, _ in op.operand_rules[: len(arrays) - 1]]
        )
        for rule in filter(None, rules):
            read = operands_read(rule, len(arrays) - 1)
            left = [a if k in read else None for k, a in enumerate(arrays, start=-1)]
            with np.errstate(all="ignore"):
                found, wanted = (as_list(rule(g, *a, **record.params)) for a in (left, arrays))
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, b)


@every_example
def test_pointwise_ops_are_diagonal(case: Example):
    """A fused run multiplies their rules on ones: factors of g, each at its own element."""
    outputs, _ = run(case, case.args)
    for record in Tape(*outputs):
        op, shape = record.op, record.output.shape
        arrays = [np.broadcast_to(x.data, shape) for x in record.inputs] if op.pointwise else []
        for rule in filter(None, op.rules) if op.pointwise else ():
            with np.errstate(all="ignore"):
                y = op.forward(*arrays, **record.params)
                np.testing.assert_array_equal(y, record.output.data)
                g = np.random.default_rng(3).standard_normal(shape)
                factor = rule(np.ones(shape), y, *arrays, **record.params)
                found = rule(g, y, *arrays, **record.params)
            assert factor.shape == shape
            np.testing.assert_allclose(found, g * factor, rtol=1e-14, equal_nan=True)
            if op.into is not None:
                out = np.empty_like(y)
                op.into(*arrays, out)
                np.testing.assert_array_equal(out, y)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "k"),
    [
        pytest.param(case, k, id=f"{name}-operand-{k + 1}")
        for name, case in EXAMPLES.items()
        if len(case.args) > 1
        for k in range(len(case.args))
    ],
)
def test_gradients_of_one_operand_among_constants(case: Example, k: int):
    """The other operands are plain arrays, also in the pass that is differentiated again."""

    def f(x: Any) -> Any:
        return case.call(*case.args[:k], x, *case.args[k + 1 :])

    check_grads(curved(f), (case.args[k],), order=2)


@pytest.mark.slow
@every_example
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(case: Example, dtype: Any):
    arrays = [x.astype(dtype) for x in case.args]
    outputs, gradients = run(case, arrays)
    is_numpy = case.expected is case.call
    wanted = as_list(case.call(*arrays)) if is_numpy else [np.empty(0, dtype)] * len(outputs)
    assert [y.dtype for y in outputs] == [y.dtype for y in wanted]
    exact = run(case, case.args)[1]
    for x, g, precise in zip(arrays, gradients, exact, strict=True):
        assert g is None or (g.dtype == dtype and g.shape == x.shape)
        if g is not None:
            np.testing.assert_allclose(g, precise, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
@every_example
def test_rules_compute_in_float32(case: Example):
    """A rule that answers float32 in float64 costs twice the time without a word."""
    leaves = [Tensor(x.astype(np.float32), requires_grad=True) for x in case.args]
    for record in Tape(*as_list(case.call(*leaves))):
        y, arrays = record.output.data, [x.data for x in record.inputs]
        if y.dtype != np.float32 or not record.output.requires_grad:
            continue
        g, rules = np.ones_like(y), record.op.rules
        if callable(rules):
            answers = rules(g, y, *arrays, **record.params)
        else:
            answers = [
                rule(g, y, *arrays, **record.params) if rule and x.requires_grad else None
                for rule, x in zip(rules, record.inputs, strict=False)
            ]
        for x, answer in zip(record.inputs, answers, strict=True):
            if x.requires_grad and x.dtype == np.float32:
                assert answer.dtype == np.float32, record.op


def strided(x: np.ndarray) -> np.ndarray:
    return np.repeat(x, 2, axis=-1)[..., ::2]


def flipped(x: np.ndarray) -> np.ndarray:
    return np.flip(np.flip(x).copy())


def by_columns(x: np.ndarray) -> np.ndarray:
    return x.copy(order="F")


@pytest.mark.slow
@every_example
@pytest.mark.parametrize("layout", [strided, flipped, by_columns])
def test_any_layout_and_read_only_arrays(case: Example, layout: Any):
    arrays = [layout(x) if x.ndim else x.copy() for x in case.args]
    for x in arrays:
        x.flags.writeable = False
    outputs, gradients = run(case, arrays)
    wanted, wanted_gradients = run(case, case.args)
    for y, other in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(y.data, other.data, rtol=1e-13, atol=1e-15)
    for g, other in zip(gradients, wanted_gradients, strict=True):
        assert (g is None) == (other is None)
        if g is not None:
            np.testing.assert_allclose(g, other, rtol=1e-12, atol=1e-14)


# Broadcasting, scalars, nothing at all ----------------------------------------------------------

ELEMENTWISE = [*UNARY, *ACTIVATIONS]


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((2,), ()), ((2, 1, 2), (3, 1)), ((1,), (3,))],
    ids=str,
)
@pytest.mark.parametrize("f", BINARY)
def test_broadcasting(f: Any, shapes: Any):
    (low, high), (low_b, high_b) = BINARY[f]
    a = spread(*shapes[0], low=low, high=high)
    b = spread(*shapes[1], low=low_b, high=high_b, seed=1)
    assert f(Tensor(a), Tensor(b)).shape == np.broadcast_shapes(*shapes)
    check_grads(f, (a, b), order=2)


@pytest.mark.parametrize("f", ELEMENTWISE)
def test_zero_dimensional(f: Any):
    low, high = UNARY.get(f, (-1.9, 1.8))
    x = Tensor(0.3 * low + 0.7 * high, requires_grad=True)
    y = f(x)
    assert isinstance(y.data, np.ndarray)
    assert y.shape == ()
    y.backward()
    assert isinstance(x.grad, np.ndarray)
    assert x.grad.shape == ()
    check_grads(f, (x.data,), order=2)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
@pytest.mark.parametrize("f", [*ELEMENTWISE, *BINARY, np.sort, np.cumsum, np.cumprod])
def test_elementwise_on_zero_size(f: Any, shape: Any):
    x = Tensor(np.zeros(shape, np.float32), requires_grad=True)
    args = (x, Tensor(np.ones(shape[-1:], np.float32))) if f in BINARY else (x,)
    y = f(*args)
    assert y.shape == f(*(np.asarray(a.data) for a in args)).shape
    y.sum().backward()
    assert x.grad.shape == shape
    assert x.grad.dtype == np.float32


ZERO_SIZE: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "sum": ((0, 3), lambda x: np.sum(x)),
    "sum-axis": ((0, 3), lambda x: np.sum(x, axis=0)),
    "sum-other": ((0, 3), lambda x: np.sum(x, axis=1)),
    "mean-other": ((0, 3), lambda x: np.mean(x, axis=1)),
    "var-other": ((0, 3), lambda x: np.var(x, axis=1)),
    "std-other": ((0, 3), lambda x: np.std(x, axis=1)),
    "max-other": ((0, 3), lambda x: np.max(x, axis=1)),
    "prod": ((2, 0), lambda x: np.prod(x, axis=1)),
    "norm": ((2, 0), lambda x: np.linalg.norm(x, axis=1)),
    "reshape": ((2, 0), lambda x: np.reshape(x, (0, 5))),
    "transpose": ((2, 0), np.transpose),
    "concatenate": ((0, 2), lambda x: np.concatenate([x, np.ones((1, 2)), x])),
    "stack": ((0,), lambda x: np.stack([x, x])),
    "split": ((0, 2), lambda x: np.split(x, 2, axis=1)[0]),
    "getitem": ((2, 0), lambda x: x[[0, 0, 1]]),
    "getitem-empty": ((3, 2), lambda x: x[3:]),
    "getitem-ints": ((3, 2), lambda x: x[np.zeros((0, 2), int)]),
    "getitem-mask": ((3, 2), lambda x: x[np.zeros((3, 2), bool)]),
    "take": ((3, 2), lambda x: np.take(x, np.zeros(0, int), axis=1)),
    "pad": ((0,), lambda x: np.pad(x, 1)),
    "tile": ((2, 0), lambda x: np.tile(x, (2, 2))),
    "repeat": ((2, 1), lambda x: np.repeat(x, 0, axis=0)),
    "diagonal": ((0, 0), np.diagonal),
    "where": ((2, 0), lambda x: np.where(np.ones((2, 1), bool), x, 0)),
    "einsum": ((2, 0), lambda x: np.einsum("ij,ij->i", x, x)),
    "matmul": ((2, 0), lambda x: x @ np.ones((0, 4))),
    "matmul-batch": ((2, 3, 0), lambda x: x @ np.ones((0, 4))),
    "matmul-no-rows": ((2, 0, 3), lambda x: x @ np.ones((3, 4))),
    "matmul-no-columns": ((2, 2, 3), lambda x: x @ np.ones((3, 0))),
    "matmul-right": ((0, 4), lambda x: np.ones((2, 3, 0)) @ x),
    "matmul-right-no-columns": ((3, 0), lambda x: np.ones((2, 2, 3)) @ x),
    "matmul-vector": ((0,), lambda x: x @ np.ones(0)),
}  # fmt: skip


@pytest.mark.parametrize("name", ZERO_SIZE)
def test_zero_size(name: str):
    shape, f = ZERO_SIZE[name]
    plain = f(np.zeros(shape))
    x = Tensor(np.zeros(shape), requires_grad=True)
    y = f(x)
    assert y.shape == np.shape(plain)
    np.testing.assert_array_equal(y.data, plain)
    y.sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("softmax", lambda x: ug.softmax(x)),
        ("log_softmax", lambda x: ug.log_softmax(x)),
        ("layer_norm-rows", lambda x: ug.layer_norm(x.swapaxes(0, 1))),
        ("embedding", lambda x: ug.embedding(x.swapaxes(0, 1).reshape(0, 2), np.zeros(0, int))),
        ("cross_entropy", lambda x: ug.cross_entropy(x.reshape(0, 2), np.zeros(0, int))),
        ("cross_entropy-none", lambda x: ug.cross_entropy(
            x.reshape(0, 2), np.zeros(0, int), reduction="none"
        )),
        ("binary_cross_entropy", lambda x: ug.binary_cross_entropy(x, np.zeros((2, 0)))),
        ("mse_loss", lambda x: ug.mse_loss(x, np.zeros((2, 0)))),
        ("dropout", lambda x: ug.dropout(x, 0.5, rng=1)),
        ("conv1d-no-batch", lambda x: ug.conv1d(x.reshape(0, 3, 2), np.ones((2, 2, 3)))),
    ],
)  # fmt: skip
def test_network_functions_on_zero_size(name: str, call: Any):
    x = Tensor(np.zeros((2, 0)), requires_grad=True)
    y = call(x)
    assert y.size == 0 or y.data == 0  # the mean of no loss is no loss
    y.sum().backward()
    assert x.grad.shape == (2, 0)


def test_a_sum_of_exponentials_of_nothing():
    x = Tensor(np.zeros((2, 0)), requires_grad=True)
    y = ug.logsumexp(x)
    assert y.data.tolist() == [-inf, -inf]
    y.backward(np.ones(2))
    assert x.grad.shape == (2, 0)


@pytest.mark.parametrize("f", [ug.softmax, ug.log_softmax, ug.logsumexp, *ACTIVATIONS])
def test_arrays_numbers_and_lists_give_arrays(f: Any):
    """Without a Tensor there is no record, and what is no array yet is made one."""
    row = [0.5, -1.0, 2.0]
    wanted = f(Tensor(row)).data
    for given in (np.array(row), row):
        y = f(given)
        assert not isinstance(y, Tensor)
        np.testing.assert_array_equal(y, wanted)
    np.testing.assert_allclose(f(np.array([1, 2])), f(np.array([1.0, 2.0])), rtol=1e-15)
    np.testing.assert_allclose(f(Tensor([1, 2])).data, f(np.array([1.0, 2.0])), rtol=1e-15)
    if f in ACTIVATIONS:
        assert float(f(0.5)) == float(f(Tensor(0.5)).data)


def test_einsum_of_large_operands_takes_another_path_and_agrees():
    rng = np.random.default_rng(0)
    for subscripts, shapes in [
        ("bik,bkj->bij", [(4, 40, 30), (4, 30, 40)]),
        ("ij,jk,kl->il", [(70, 70), (70, 70), (70, 5)]),
        ("ij,jk->ik", [(80, 1), (70, 80)]),
        ("...ij,...jk->...ik", [(3, 1, 40, 40), (2, 40, 40)]),
    ]:
        arrays = [rng.normal(size=shape) for shape in shapes]
        leaves = [Tensor(x, requires_grad=True) for x in arrays]
        y = np.einsum(subscripts, *leaves)
        np.testing.assert_allclose(y.data, np.einsum(subscripts, *arrays), rtol=1e-10, atol=1e-10)
        seed = rng.normal(size=y.shape)
        y.backward(seed)
        for k, x in enumerate(arrays):  # the derivative in one direction, which einsum is linear in
            direction = rng.normal(size=x.shape)
            moved = np.einsum(subscripts, *arrays[:k], direction, *arrays[k + 1 :])
            wanted = (moved * seed).sum()
            assert (leaves[k].grad * direction).sum() == pytest.approx(wanted, rel=1e-9)


# Ties and kinks: which derivative is taken ------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        np.linalg.norm,
        np.std,
        lambda x: np.hypot(x[0], x[1]),
        lambda x: np.arctan2(x[0], x[1]),
    ],
)
def test_where_the_gradient_is_0_by_convention_so_is_the_second_derivative(f: Any):
    np.testing.assert_array_equal(ug.grad(f)(np.zeros(2)), 0)
    np.testing.assert_array_equal(ug.hessian(f)(np.zeros(2)), 0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_variance_without_degrees_of_freedom_is_infinite_and_so_is_its_gradient():
    x = Tensor([1.0, 3.0], requires_grad=True)
    y = np.var(x, ddof=2)
    assert y.data == inf
    y.backward()
    assert x.grad.tolist() == [-inf, inf]
    assert np.isnan(ug.grad(lambda x: np.std(x, ddof=2))(np.array([1.0, 3.0]))).all()


def test_an_extreme_of_nothing_is_its_initial_value():
    x = Tensor(np.zeros((2, 0, 4)), requires_grad=True)
    for f, initial in ((np.max, -inf), (np.min, 7.0), (np.prod, 2.0), (np.sum, 3.0)):
        y = f(x, axis=1, initial=initial)
        np.testing.assert_array_equal(y.data, f(x.data, axis=1, initial=initial))
        y.backward(np.ones((2, 4)))
    assert x.grad.shape == (2, 0, 4)


@pytest.mark.parametrize("f", [np.prod, np.cumprod])
def test_a_product_with_a_zero_takes_memory_for_its_elements_only(f: Any):
    x = np.random.default_rng(0).normal(size=20_000)
    x[[7, 12_000]] = 0
    leaf = Parameter(x)
    f(leaf).sum().backward()  # a matrix of 20,000 x 20,000 would be 3.2 GB
    wanted = np.zeros_like(x)
    if f is np.cumprod:  # up to the first zero by the quotient, at it by what follows
        y = np.cumprod(x[:7])
        wanted[:7] = np.cumsum(y[::-1])[::-1] / x[:7]
        wanted[7] = y[-1] * (1 + np.cumprod(x[8:12_000]).sum())
    np.testing.assert_allclose(leaf.grad, wanted, rtol=1e-9)


EIGEN = (np.linalg.eig, np.linalg.eigh, np.linalg.eigvals, np.linalg.eigvalsh, np.linalg.cond)


@pytest.mark.parametrize("f", EIGEN)
def test_functions_without_a_rule_run_where_no_gradient_is_asked_for(f: Any):
    array = well + well.T
    leaf = Parameter(array, name="U")
    with ug.no_grad():
        results = f(leaf), f(Tensor(array))
    for result in (*results, f(Tensor(array))):
        for part, wanted in zip(as_list(result), as_list(f(array)), strict=True):
            assert isinstance(part, (np.ndarray, float))
            np.testing.assert_array_equal(part, wanted)
    with pytest.raises(TypeError, match=rf"{f.__name__} of U \(3, 3\) .* no gradient rule"):
        f(leaf)


def test_probabilities_in_place_of_logits_are_warned_of():
    x = Parameter([[1.0, 2.0]], name="z")
    p = ug.softmax(x)
    p.name = "p"
    with pytest.warns(UserWarning, match="cross_entropy of p .1, 2. .*logits.*softmax"):
        ug.cross_entropy(p, [0])
    with pytest.warns(UserWarning, match="binary_cross_entropy of .*logits.*sigmoid"):
        ug.binary_cross_entropy(ug.sigmoid(x), [[0.0, 1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ug.cross_entropy(x, [0])
        ug.binary_cross_entropy(x, [[0.0, 1.0]])
        ug.cross_entropy(ug.log_softmax(x), [0])  # the same once more


AXIS_OF_A_NUMBER = [
    np.sum, np.max, np.min, np.prod, np.ptp, np.cumsum, np.cumprod, np.nansum, np.nanprod,
    np.nanmax, np.nanmin, np.nanmean, np.nanvar, np.nancumsum, np.nancumprod, np.squeeze,
]  # fmt: skip
if hasattr(np, "cumulative_sum"):  # from NumPy 2.1 on
    AXIS_OF_A_NUMBER += [np.cumulative_sum, np.cumulative_prod]


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("f", AXIS_OF_A_NUMBER)
def test_an_axis_of_a_number(f: Any, axis: int):
    """NumPy takes 0 and -1 for one of some functions."""
    x = Parameter(2.0)
    y = f(x, axis=axis)
    assert y.shape == np.shape(f(np.array(2.0), axis=axis))
    assert y.item() == f(np.array(2.0), axis=axis).item()
    check_grads(lambda x: f(x, axis=axis) * x, (2.0,), order=2)
    y.sum().backward()
    assert x.grad.shape == ()


@pytest.mark.parametrize("k", [-1, 0, 1])
@pytest.mark.parametrize("f", [np.tril, np.triu])
def test_triangles_of_a_vector(f: Any, k: int):
    x = spread(3)
    np.testing.assert_array_equal(f(Tensor(x), k).data, f(x, k))
    check_grads(lambda x: f(x, k) ** 2, (x,), order=2)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_what_is_taken_many_times_costs_one_array_of_zeros(
    axis: int | None, monkeypatch: pytest.MonkeyPatch
):
    made: list[Any] = []
    forward = SCATTER_ADD.forward

    def counting(*gs: Any, **params: Any) -> Any:
        made.append(params["shape"])
        return forward(*gs, **params)

    monkeypatch.setattr(SCATTER_ADD, "forward", counting)
    x = spread(6, 5)
    places = [np.array([i % 5, -1]) for i in range(40)]

    def takes(x: Any) -> Any:
        return sum(np.sin(np.take(x, i, axis=axis) * (k + 1)).sum() for k, i in enumerate(places))

    def takes_along(x: Any) -> Any:
        places = [np.full((6, 1) if axis else (1, 5), i % 5 - 2) for i in range(40)]
        if axis is None:
            places = [p[0] for p in places]
        return sum(np.sin(np.take_along_axis(x, i, axis)).sum() for i in places)

    for f in (takes, takes_along):
        made.clear()
        leaf = Parameter(x)
        f(leaf).backward()
        assert len(made) <= 20  # not one for each of 40
        check_grads(f, (x,), rtol=1e-5)


def test_block_leaves_no_cycle():
    parts = [[Tensor(np.ones((2, 2))), Tensor(np.ones((2, 1)))]]
    np.block(parts)
    gc.collect()
    gc.disable()
    try:
        assert np.block(parts).shape == (2, 3)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("indices", [
    np.array([250, 3], np.uint8), np.array([-1, 100], np.int8), np.array([True, False]), [[-1, 2]]
])  # fmt: skip
@pytest.mark.parametrize(("shape", "axis"), [((300,), None), ((300, 2), 0), ((260, 2), None)])
def test_take_by_indices_of_any_kind(shape: Any, axis: Any, indices: Any):
    x = np.linspace(-1, 1, math.prod(shape)).reshape(shape)
    wanted = np.zeros(shape)
    for i in np.asarray(indices, int).reshape(-1):
        if axis is None:
            wanted.reshape(-1)[i] += 1
        else:
            wanted[i] += 1
    leaf = Parameter(x)
    np.take(leaf, indices, axis).sum().backward()
    np.testing.assert_array_equal(leaf.grad, wanted)
    if axis is None and np.ndim(indices) == 1 and np.asarray(indices).dtype != bool:
        leaf.grad = None
        np.take_along_axis(leaf, np.asarray(indices), None).sum().backward()
        np.testing.assert_array_equal(leaf.grad, wanted)


@pytest.mark.parametrize("width", [{0: (1, 2)}, {-1: 2, 0: (0, 1)}])
def test_pad_by_a_dict_of_axes(width: Any):
    x = spread(2, 3)
    try:
        wanted = np.pad(x, width)
    except TypeError:
        pytest.skip("needs a NumPy whose pad takes a dict")
    np.testing.assert_array_equal(np.pad(Tensor(x), width).data, wanted)
    check_grads(lambda x: np.pad(x, width) ** 2, (x,), order=2)
    check_grads(lambda x: np.pad(x, width, mode="edge") ** 2, (x,), order=2)


@pytest.mark.parametrize("count", [17, 63])  # NumPy takes no more
def test_einsum_of_many_operands(count: int):
    leaves = [Parameter([1.0 + k]) for k in range(count)]
    y = np.einsum(",".join("i" * count) + "->", *leaves)
    y.backward()
    np.testing.assert_allclose(
        [x.grad[0] for x in leaves], [y.item() / x.item() for x in leaves], rtol=1e-12
    )


def gradient(f: Callable[..., Any], *args: Any) -> list[Any]:
    leaves = [Tensor(np.asarray(x, dtype=np.float64), requires_grad=True) for x in args]
    f(*leaves).sum().backward()
    return [x.grad.tolist() for x in leaves]


KINKS: dict[str, tuple[Callable[..., Any], list[Any], list[Any]]] = {
    "max shares": (np.max, [[2.0, 1.0, 2.0, 2.0]], [[1 / 3, 0, 1 / 3, 1 / 3]]),
    "min shares": (np.min, [[1.0, 1.0, 2.0]], [[0.5, 0.5, 0]]),
    "max of rows": (lambda x: x.max(axis=1), [[[3.0, 3.0], [1.0, 2.0]]], [[[0.5, 0.5], [0, 1]]]),
    "maximum shares": (np.maximum, [[1.0, 2.0], [1.0, 3.0]], [[0.5, 0.0], [0.5, 1.0]]),
    "minimum shares": (np.minimum, [[1.0, 2.0], [1.0, 3.0]], [[0.5, 1.0], [0.5, 0.0]]),
    "maximum of a NaN": (np.maximum, [[nan, 1.0, nan], [1.0, nan, nan]], [[1] * 3, [1] * 3]),
    "minimum of a NaN": (np.minimum, [[nan, 1.0, nan], [1.0, nan, nan]], [[1] * 3, [1] * 3]),
    "maximum of a NaN, number": (lambda x: np.maximum(x, 0), [[nan, 1.0]], [[1, 1]]),
    "fmax shares": (np.fmax, [[1.0, nan, 2.0], [1.0, 2.0, nan]], [[0.5, 0, 1], [0.5, 1, 0]]),
    "fmin shares": (np.fmin, [[1.0, nan, 2.0], [1.0, 2.0, nan]], [[0.5, 0, 1], [0.5, 1, 0]]),
    "maximum with number": (lambda x: np.maximum(x, 0), [[-1.0, 0.0, 1.0]], [[0, 0.5, 1]]),
    "max of -inf": (np.max, [[-inf, -inf]], [[0.5, 0.5]]),
    "abs at 0": (np.abs, [[-2.0, 0.0, 2.0]], [[-1, 0, 1]]),
    "fabs at 0": (np.fabs, [[-2.0, 0.0, 2.0]], [[-1, 0, 1]]),
    "abs operator": (abs, [[0.0]], [[0]]),
    "norm at 0": (np.linalg.norm, [[0.0, 0.0]], [[0, 0]]),
    "norm of rows": (
        lambda x: np.linalg.norm(x, axis=1),
        [[[0.0, 0.0], [3.0, 4.0]]],
        [[[0, 0], [0.6, 0.8]]],
    ),
    "norm 1 at 0": (lambda x: np.linalg.norm(x, 1), [[0.0, -2.0]], [[0, -1]]),
    "norm 3 at 0": (lambda x: np.linalg.norm(x, 3), [[0.0, 0.0]], [[0, 0]]),
    "norm inf ties": (lambda x: np.linalg.norm(x, inf), [[2.0, -2.0]], [[0.5, -0.5]]),
    "hypot at 0": (np.hypot, [[0.0], [0.0]], [[0], [0]]),
    "std of equals": (np.std, [[2.0, 2.0]], [[0, 0]]),
    "clip at bounds": (lambda x: np.clip(x, -1, 1), [[-2.0, -1.0, 1.0, 2.0]], [[0, 1, 1, 0]]),
    "clip at bounds that are Tensors": (
        np.clip,
        [[-1.0, 0.0, 0.5, 1.0, 2.0], [0.0] * 5, [1.0] * 5],
        [[0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]],
    ),
    "clip, the low bound above": (np.clip, [[0.0], [2.0], [1.0]], [[0], [0], [1]]),
    "clip at a low bound alone": (
        lambda x, low: np.clip(x, low, None),
        [[0.0, -1.0, nan], [0.0] * 3],
        [[1, 0, 0], [0, 1, 0]],
    ),
    "clip at a high bound alone": (
        lambda x, high: np.clip(x, None, high),
        [[0.0, 1.0], [0.0, 0.0]],
        [[1, 0], [0, 1]],
    ),
    "norm 0.5 at 0": (lambda x: np.linalg.norm(x, 0.5), [[0.0, 2.0]], [[0, 1]]),
    "norm -1 at 0": (lambda x: np.linalg.norm(x, -1), [[0.0, 2.0]], [[0, 0]]),
    "arctan2 at 0": (np.arctan2, [[0.0], [0.0]], [[0], [0]]),
    "logaddexp of infinities": (
        np.logaddexp,
        [[inf, 0.0, -inf], [0.0, inf, 0]],
        [[1, 0, 0], [0, 1, 1]],
    ),
    "logaddexp2 of infinities": (np.logaddexp2, [[inf, 3.0], [0.0, -inf]], [[1, 1], [0, 0]]),
    "resize of nothing": (lambda x: np.resize(x, 2), [[]], [[]]),
    "sign": (np.sign, [[-1.0, 0.0]], [[0, 0]]),
    "round": (np.round, [[0.5, 1.0]], [[0, 0]]),
    "floor": (np.floor, [[0.5, 1.0]], [[0, 0]]),
    "relu at 0": (ug.relu, [[-1.0, 0.0, 1.0]], [[0, 0, 1]]),
    "leaky_relu at 0": (lambda x: ug.leaky_relu(x, 0.1), [[0.0, 1.0]], [[0.1, 1]]),
    "elu at 0": (lambda x: ug.elu(x, 0.5), [[0.0]], [[0.5]]),
    "hard_sigmoid at bounds": (ug.hard_sigmoid, [[-3.0, 0.0, 3.0]], [[0, 1 / 6, 0]]),
    "l1 at 0": (lambda x: ug.l1_loss(x, np.zeros(2)), [[0.0, 2.0]], [[0, 0.5]]),
    "huber at delta": (lambda x: ug.huber_loss(x, [0.0, 0.0]), [[1.0, -1.0]], [[0.5, -0.5]]),
    "hinge at margin": (lambda x: ug.hinge_loss(x, [1, -1]), [[1.0, 0.0]], [[0, 0.5]]),
    "max_over_time ties": (ug.max_over_time, [[[1.0], [1.0]]], [[[0.5], [0.5]]]),
    "sort keeps order": (lambda x: np.sort(x)[:1], [[1.0, 1.0, 2.0]], [[1, 0, 0]]),
    "prod of zeros": (np.prod, [[0.0, 2.0, 0.0]], [[0, 0, 0]]),
    "prod of one zero": (np.prod, [[0.0, 2.0, 3.0]], [[6, 0, 0]]),
    "heaviside at 0": (np.heaviside, [[-1.0, 0.0, 1.0], [0.5, 0.5, 0.5]], [[0, 0, 0], [0, 1, 0]]),
    "power 0**0": (lambda x: x**0, [[0.0, 2.0]], [[0, 0]]),
    "power at 0": (lambda x, p: x**p, [[0.0, 0.0], [2.0, 1.0]], [[0, 1], [0, 0]]),
    "nan_to_num": (np.nan_to_num, [[nan, 1.0, inf]], [[0, 1, 0]]),
    "std of some equals": (
        lambda x: np.std(x, where=np.array([True, True, False])),
        [[2.0, 2.0, 3.0]],
        [[0, 0, 0]],
    ),
    "nanmax of NaNs": (np.nanmax, [[nan, 3.0, 3.0, 1.0]], [[0, 0.5, 0.5, 0]]),
    "max and initial": (lambda x: np.max(x, initial=2.0), [[2.0, 1.0]], [[0.5, 0]]),
    "interp at a knot": (lambda x: np.interp(x, [0, 1, 2], [0, 1, 5]), [[1.0]], [[4]]),
    "modf": (lambda x: np.modf(x)[0], [[2.0, -inf]], [[1, 1]]),
    "max of a NaN": (np.max, [[nan, 1.0]], [[1, 0]]),
}


@pytest.mark.parametrize("name", KINKS)
def test_ties_and_kinks(name: str):
    f, args, wanted = KINKS[name]
    for g, expected in zip(gradient(f, *args), wanted, strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-15)


def test_smooth_functions_are_smooth_at_zero_to_second_order():
    """No kink comes in through the way that a function is computed."""
    zero = np.array([0.0])
    check_grads(lambda x: ug.huber_loss(x, np.zeros(1)), (zero,), order=2)
    check_grads(np.sinc, (zero,), order=2)
    for f in (ug.silu, ug.gelu, ug.softplus, ug.log_sigmoid, ug.sigmoid, np.square):
        check_grads(f, (zero,), order=2)


# Extremes ---------------------------------------------------------------------------------------

D = decimal.Decimal
DIGITS = decimal.Context(prec=950)


def exactly(f: Callable[[decimal.Decimal], decimal.Decimal], x: float) -> float:
    """f(x) computed with 60 digits more than a double can lose at ±1000."""
    with decimal.localcontext(DIGITS):
        return float(f(D(x)))


POINTS = [-1000.0, -700.0, -100.0, -40.0, -20.0, -1.0, -1e-12, 0.0, 1e-12, 1.0, 20.0, 40.0, 1000.0]
SATURATING: dict[Any, tuple[Callable[[D], D], Callable[[D], D]]] = {
    ug.sigmoid: (lambda x: 1 / (1 + (-x).exp()), lambda x: (-x).exp() / (1 + (-x).exp()) ** 2),
    ug.softplus: (lambda x: (1 + x.exp()).ln(), lambda x: 1 / (1 + (-x).exp())),
    ug.log_sigmoid: (lambda x: -(1 + (-x).exp()).ln(), lambda x: 1 / (1 + x.exp())),
    ug.silu: (
        lambda x: x / (1 + (-x).exp()),
        lambda x: (1 + (-x).exp() + x * (-x).exp()) / (1 + (-x).exp()) ** 2,
    ),
    np.tanh: (
        lambda x: ((2 * x).exp() - 1) / ((2 * x).exp() + 1),
        lambda x: 4 / (x.exp() + (-x).exp()) ** 2,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("x", POINTS)
@pytest.mark.parametrize("f", SATURATING)
def test_saturation(f: Any, x: float):
    value, slope = SATURATING[f]
    leaf = Parameter(x)
    y = f(leaf)
    y.backward()
    # Full relative precision, but for what a double cannot hold at all (below 1e-307).
    assert y.item() == pytest.approx(exactly(value, x), rel=1e-15, abs=1e-307)
    assert leaf.grad.item() == pytest.approx(exactly(slope, x), rel=1e-14, abs=3e-16)
    single = f(Tensor(np.float32(x)))
    assert single.dtype == np.float32
    rounded = exactly(value, float(np.float32(x)))
    assert single.item() == pytest.approx(rounded, rel=3e-7, abs=1e-37)


@pytest.mark.parametrize("f", [*ACTIVATIONS, ug.softmax, ug.log_softmax, ug.logsumexp])
@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_the_other_sizes_of_floats(f: Any, dtype: Any):
    x = np.array([-1000.0, -15.0, -0.5, 0.0, 0.5, 15.0, 1000.0], dtype)
    leaf = Parameter(x)
    y = f(leaf)
    assert y.dtype == dtype
    y.backward(np.ones(y.shape, dtype))
    assert leaf.grad.dtype == dtype
    wide = Parameter(x.astype(float))
    wanted = f(wide)
    wanted.backward(np.ones(wanted.shape))
    eps = max(float(np.finfo(dtype).eps), 1e-15)
    np.testing.assert_allclose(y.data.astype(float), wanted.data, rtol=4 * eps, atol=4 * eps)
    np.testing.assert_allclose(leaf.grad.astype(float), wide.grad, rtol=4 * eps, atol=8 * eps)


LIMITS: list[tuple[Any, float, float, float]] = [
    (ug.sigmoid, -inf, 0.0, 0.0),
    (ug.sigmoid, inf, 1.0, 0.0),
    (ug.sigmoid, -1000.0, 0.0, 0.0),
    (ug.sigmoid, 1000.0, 1.0, 0.0),
    (np.tanh, -inf, -1.0, 0.0),
    (np.tanh, inf, 1.0, 0.0),
    (np.tanh, 1000.0, 1.0, 0.0),
    (ug.softplus, -inf, 0.0, 0.0),
    (ug.softplus, inf, inf, 1.0),
    (ug.log_sigmoid, -inf, -inf, 1.0),
    (ug.log_sigmoid, inf, 0.0, 0.0),
    (ug.relu, -inf, 0.0, 0.0),
    (ug.relu, inf, inf, 1.0),
    (ug.leaky_relu, -1000.0, -10.0, 0.01),
    (ug.elu, -1000.0, -1.0, 0.0),
    (ug.elu, -inf, -1.0, 0.0),
    (ug.elu, 1000.0, 1000.0, 1.0),
    (ug.gelu, -1000.0, 0.0, 0.0),
    (ug.gelu, 1000.0, 1000.0, 1.0),
    (ug.erf, -inf, -1.0, 0.0),
    (ug.erf, 1000.0, 1.0, 0.0),
    (ug.erf, 1e200, 1.0, 0.0),
    (ug.hard_sigmoid, -inf, 0.0, 0.0),
    (ug.hard_sigmoid, 1000.0, 1.0, 0.0),
    (np.exp, -1000.0, 0.0, 0.0),
    (np.arctan, 1e200, math.pi / 2, 0.0),
    (np.arcsinh, 1e200, math.asinh(1e200), 1e-200),
    (np.expm1, -1000.0, -1.0, 0.0),
    (np.linalg.norm, 1e200, 1e200, 1.0),
    (np.linalg.norm, -1e-200, 1e-200, -1.0),
]


@pytest.mark.parametrize(("f", "x", "value", "slope"), LIMITS)
def test_limits(f: Any, x: float, value: float, slope: float):
    leaf = Parameter([x])
    y = f(leaf)
    y.backward(np.ones(y.shape))
    assert y.item() == pytest.approx(value, rel=1e-15, abs=0)
    assert leaf.grad.item() == pytest.approx(slope, rel=1e-15, abs=0)


ROWS: list[list[float]] = [
    [1000.0, -1000.0],
    [1000.0, 1000.0, 999.0],
    [-1000.0, -1000.5],
    [-inf, 0.0, 1.0],
    [-inf, -1000.0],
    [-inf, 1000.0, -inf],
    [0.0, 40.0],
    [3.0],
    [-inf, 5.0],
]


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_of_extremes(row: list[float], dtype: Any):
    """softmax, log_softmax, logsumexp and cross_entropy, beside 950 digits."""
    eps = np.finfo(dtype).eps
    close = {"rtol": 4 * eps, "atol": 1e-37}
    log_close = {"rtol": 4 * eps, "atol": eps}  # one rounding of the 1 + e^-40 in the logarithm
    with decimal.localcontext(DIGITS):
        powers = [D(v).exp() for v in row]  # exp(-inf) is 0
        total = sum(powers)
        softmax = [float(p / total) for p in powers]
        logsumexp = float(total.ln())
        log_softmax = [float((p / total).ln()) for p in powers]
    x = np.array(row, dtype)
    np.testing.assert_allclose(ug.softmax(x), softmax, **close)
    np.testing.assert_allclose(ug.logsumexp(x), logsumexp, **close)
    np.testing.assert_allclose(ug.log_softmax(x), log_softmax, **log_close)
    assert {ug.softmax(x).dtype, ug.logsumexp(x).dtype, ug.log_softmax(x).dtype} == {
        np.dtype(dtype)
    }

    for f in (ug.softmax, ug.log_softmax, ug.logsumexp):
        leaf = Parameter(x)
        y = f(leaf)
        y.backward(np.ones(y.shape, dtype))
        ones = softmax if f is ug.logsumexp else np.zeros(len(row))
        if f is ug.log_softmax:
            ones = 1 - len(row) * np.array(softmax)
        np.testing.assert_allclose(leaf.grad, ones, rtol=8 * eps, atol=8 * eps)
    for target in range(len(row)):
        leaf = Parameter(x[None])
        loss = ug.cross_entropy(leaf, [target])
        np.testing.assert_allclose(loss.item(), -log_softmax[target], **log_close)
        loss.backward()
        one_hot = np.arange(len(row)) == target
        np.testing.assert_allclose(leaf.grad[0], softmax - one_hot, rtol=4 * eps, atol=eps)


def test_a_row_of_nothing_but_minus_infinity():
    leaf = Parameter([[-inf, -inf], [0.0, 1.0]])
    y = ug.logsumexp(leaf)
    assert y.data[0] == -inf
    y.backward(np.ones(2))
    assert leaf.grad[0].tolist() == [0.0, 0.0]
    assert np.isfinite(leaf.grad).all()
    both = np.logaddexp(Parameter([-inf]), -inf)
    both.backward([1.0])
    assert both.data.tolist() == [-inf]
    # A masked position may hold such a row.
    leaf = Parameter([[-inf, -inf], [0.0, 1.0]])
    loss = ug.cross_entropy(leaf, [0, 1], mask=[False, True])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert leaf.grad[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("z", "y", "wanted"), [
    (1000.0, 1, 0.0), (1000.0, 0, 1000.0), (-1000.0, 1, 1000.0), (-1000.0, 0, 0.0),
    (40.0, 1, math.exp(-40)), (-40.0, 0, math.exp(-40)),
])  # fmt: skip
def test_binary_cross_entropy_at_extremes(z: float, y: int, wanted: float):
    leaf = Parameter([z])
    loss = ug.binary_cross_entropy(leaf, [y])
    loss.backward()
    assert loss.item() == pytest.approx(wanted, rel=1e-15, abs=0)
    assert leaf.grad.item() == pytest.approx(exactly(SATURATING[ug.sigmoid][0], z) - y, abs=1e-16)


def beside(x: Any, other: float) -> Any:
    """Scores of two classes, the second the same everywhere."""
    return np.stack([x, np.full(x.shape, other)], axis=-1)


LOSSES: dict[str, Callable[..., Any]] = {
    "binary_cross_entropy": lambda x, m: ug.binary_cross_entropy(x, [1, 0, nan], mask=m),
    "mse_loss": lambda x, m: ug.mse_loss(x, [1.0, 0.0, nan], mask=m),
    "l1_loss": lambda x, m: ug.l1_loss(x, [1.0, 0.0, nan], mask=m),
    "huber_loss": lambda x, m: ug.huber_loss(x, [1.0, 0.0, nan], mask=m),
    "kl_divergence": lambda x, m: ug.kl_divergence(x, [0.5, 0.0, nan], mask=m),
    "hinge_loss": lambda x, m: ug.hinge_loss(x, [1, -1, 0], mask=m),
    "hinge_loss-classes": lambda x, m: ug.hinge_loss(beside(x, 1), [1, 0, 9], mask=m),
    "cross_entropy": lambda x, m: ug.cross_entropy(beside(x, 0), [1, 0, 9], mask=m),
    "nll_loss": lambda x, m: ug.nll_loss(beside(x, 0), [1, 0, 9], mask=m),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_stands_at_a_masked_position_does_no_harm(name: str):
    """Neither a NaN among the scores nor any target there; the mean is over the others."""
    mask = np.array([True, True, False])
    clean, spoilt = Parameter([0.3, -0.7, 0.0]), Parameter([0.3, -0.7, nan])
    loss, other = LOSSES[name](clean, mask), LOSSES[name](spoilt, mask)
    assert other.item() == loss.item()
    for x, y in ((clean, loss), (spoilt, other)):
        x.grad = None
        y.backward()
    np.testing.assert_array_equal(spoilt.grad, clean.grad)
    assert spoilt.grad[2] == 0


# What is refused, and how -----------------------------------------------------------------------

x23 = Tensor(np.ones((2, 3)), name="x")
REFUSED: list[tuple[Callable[[], Any], type[Exception], list[str]]] = [
    (lambda: ug.embedding(x23, [0, 2]), ValueError, ["embedding", "2", "0..1"]),
    (lambda: ug.embedding(x23, [0, -1]), ValueError, ["embedding", "-1", "0..1"]),
    (lambda: ug.embedding(x23, [0.5]), TypeError, ["embedding", "integers", "float64"]),
    (lambda: ug.cross_entropy(x23, [0, 3]), ValueError, ["cross_entropy", "3", "0..2"]),
    (lambda: ug.cross_entropy(x23, [0]), ValueError, ["cross_entropy", "(2,)", "(1,)"]),
    (lambda: ug.cross_entropy(x23, [0.0, 1.0]), TypeError, ["cross_entropy", "integers"]),
    (lambda: ug.cross_entropy(x23, [0, 1], smoothing=2), ValueError, ["smoothing", "2"]),
    (lambda: ug.cross_entropy(x23, [0, 1], mask=[1, 0]), ValueError, ["mask", "booleans"]),
    (lambda: ug.cross_entropy(x23, [0, 1], weight=[1.0]), ValueError, ["weight", "(3,)", "(1,)"]),
    (lambda: ug.cross_entropy(x23, [0, 1], reduction="avg"), ValueError, ["mean", "'avg'"]),
    (lambda: ug.mse_loss(x23, np.ones(3)), ValueError, ["mse_loss", "(2, 3)", "(3,)"]),
    (lambda: ug.binary_cross_entropy(x23, 2 * np.ones((2, 3))), ValueError, ["0 to 1"]),
    (lambda: ug.hinge_loss(x23, np.ones((2, 2))), ValueError, ["hinge_loss", "(2, 3)", "(2, 2)"]),
    (lambda: ug.hinge_loss(x23, np.zeros((2, 3))), ValueError, ["hinge_loss", "-1 and 1"]),
    (lambda: ug.huber_loss(x23, np.ones((2, 3)), delta=0), ValueError, ["delta", "0"]),
    (lambda: ug.binary_cross_entropy(x23, Parameter(x23.data, "t")), TypeError, ["t (2, 3)"]),
    (lambda: ug.mse_loss(x23, x23, mask=np.ones(3, bool)), ValueError, ["mask", "(2, 3)", "(3,)"]),
    (lambda: ug.dropout(x23, 1.5), ValueError, ["dropout", "1.5"]),
    (lambda: ug.conv1d(x23, np.ones((2, 2, 1))), ValueError, ["conv1d", "(2, 3)", "(2, 2, 1)"]),
    (lambda: ug.conv1d(x23, np.ones((5, 3, 1))), ValueError, ["conv1d", "2 steps", "5"]),
    (lambda: ug.conv1d(x23, np.ones((1, 3, 1)), padding="full"), ValueError, ["'full'"]),
    (lambda: np.split(x23, 2, axis=1), ValueError, ["split", "3", "2"]),
    (lambda: np.linalg.norm(x23, 3), TypeError, ["norm", "'nuc'", "'fro'", "got 3"]),
    (lambda: np.linalg.norm(x23, 0, axis=1), TypeError, ["norm", "ord=0"]),
    (lambda: np.pad(x23, 1, mode="linear_ramp"), TypeError, ["np.pad", "linear_ramp"]),
    (lambda: np.einsum("ij,jk", x23), ValueError, ["einsum", "2 operands", "got 1", "x (2, 3)"]),
    (lambda: np.einsum(",".join("i" * 65), *[x23[0]] * 65), ValueError, ["einsum", "63"]),
    (lambda: np.einsum("...i->", x23), ValueError, ["einsum"]),
    (lambda: np.einsum(x23, 0), TypeError, ["einsum", "ij,jk->ik", "a, [0, 1]", "x (2, 3)"]),
    (lambda: np.einsum(x23, [0, 99]), ValueError, ["einsum", "0 to 51", "99"]),
    (lambda: np.quantile(x23, 1.5), ValueError, ["quantile", "x (2, 3)", "from 0 to 1", "1.5"]),
    (lambda: np.quantile(x23, 0.5, method="hazen"), TypeError, ["quantile", "hazen", "midpoint"]),
    (lambda: np.median(x23[:, :0], axis=1), ValueError, ["one element or more"]),
    (lambda: np.linalg.svd(x23), TypeError, ["np.linalg.svd", "full_matrices=False"]),
    (lambda: ug.gelu(x23, "sigmoid"), ValueError, ["gelu", "approximate", "tanh", "sigmoid"]),
    (lambda: x23 @ x23, ValueError, ["matmul", "x (2, 3)", "3 columns", "2 rows"]),
    (lambda: x23 + np.ones(2), ValueError, ["add", "x (2, 3)", "(2,)", "equal or 1"]),
    (lambda: x23[5], IndexError, ["getitem", "x (2, 3)", "5"]),
    (lambda: np.reshape(x23, (4, 2)), ValueError, ["reshape", "x (2, 3)", "(4,2)"]),
    (lambda: np.stack([x23, np.ones(2)]), ValueError, ["stack", "(2, 3)", "(2,)"]),
    (lambda: np.linalg.inv(0 * x23[:, :2]), np.linalg.LinAlgError, ["inv", "Singular"]),
    (lambda: np.sum(x23, axis=2), np.exceptions.AxisError, ["sum", "x (2, 3)", "axis"]),
    (lambda: np.sum(x23, out=np.zeros(())), TypeError, ["np.sum", "out"]),
    (lambda: np.mean(x23, dtype=np.float32), TypeError, ["np.mean", "astype"]),
    (lambda: np.tanh(x23, where=x23 > 0), TypeError, ["np.tanh", "x (2, 3)", "np.where"]),
    (lambda: np.max(x23, where=x23 > 0), ValueError, ["max", "x (2, 3)", "initial="]),
    (lambda: np.unwrap(x23), TypeError, ["np.unwrap", "no gradient rule", "x.data"]),
    (lambda: np.add.reduce(x23), TypeError, ["np.add.reduce", "np.sum"]),
    (lambda: np.linalg.norm(x23[None], "fro"), ValueError, ["norm", "(1, 2, 3)", "axis="]),
    (lambda: np.linalg.norm(x23[0], "fro"), ValueError, ["norm", "(3,)", "vectors"]),
    (lambda: np.linalg.multi_dot([x23]), ValueError, ["multi_dot", "x (2, 3)", "two", "got 1"]),
    (lambda: np.split(x23, 0), ZeroDivisionError, ["split", "x (2, 3)", "1 part", "got 0"]),
    (lambda: np.split(x23, -1), ValueError, ["split", "x (2, 3)", "1 part", "got -1"]),
    (lambda: np.array_split(x23, 0), ValueError, ["array_split", "x (2, 3)", "got 0"]),
    (lambda: np.select([[1, 0, 1]], [x23]), TypeError, ["select", "booleans", "int64"]),
    (lambda: np.meshgrid(x23[0], x23[0], indexing="zz"), ValueError, ["meshgrid", "'zz'"]),
    (lambda: np.diff(x23, n=-1), ValueError, ["diff", "x (2, 3)", "n=-1"]),
    (lambda: np.diff(Tensor(1.0)), ValueError, ["diff", "one axis"]),
    (lambda: np.average(x23, weights=0 * x23), ZeroDivisionError, ["average", "x (2, 3)", "0"]),
    (lambda: np.interp(x23, [0, 1, 2], [0, 1]), ValueError, ["interp", "(3,)", "(2,)"]),
    (lambda: np.var(x23, ddof=1, correction=1), ValueError, ["var", "ddof", "correction"]),
    (lambda: np.cross(x23[:, :2], x23), ValueError, ["cross", "getitem (2, 2)", "x (2, 3)"]),
    (lambda: np.concatenate(x for x in [x23, x23]), TypeError, ["concatenate", "generator"]),
    (lambda: np.full_like(np.ones(2), x23[0, 0]), TypeError, ["np.full_like", "np.broadcast_to"]),
    (lambda: np.savez("a", a=x23), TypeError, ["np.savez of x (2, 3)", "x.data"]),
    (lambda: np.where([True], x23, None), TypeError, ["np.where", "x (2, 3)", "None as branches"]),
    (lambda: np.where([True], x23), ValueError, ["np.where", "x (2, 3)", "two branches"]),
    (lambda: np.clip(x23, 1, 3, min=0), ValueError, ["np.clip", "x (2, 3)", "a_min", "both"]),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), REFUSED)
def test_refused(call: Any, kind: Any, words: list[str]):
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


# Beside PyTorch: numbers saved by tests/data/make_torch_numbers.py, and live where it is installed

SCRIPT = runpy.run_path(str(DATA / "make_torch_numbers.py"))
SAVED = dict(np.load(DATA / "torch_ops.npz"))
IDS, POSITIONS = SCRIPT["IDS"], SCRIPT["POSITIONS"]
TARGETS, WEIGHT, IGNORED = SCRIPT["TARGETS"], SCRIPT["WEIGHT"], SCRIPT["IGNORED"]
BELIEFS, POSITIVE = SCRIPT["BELIEFS"], SCRIPT["POSITIVE"]
OURS: dict[str, Callable[..., Any]] = {
    "relu": ug.relu,
    "leaky_relu": lambda x: ug.leaky_relu(x, 0.2),
    "elu": lambda x: ug.elu(x, 0.5),
    "silu": ug.silu,
    "gelu": ug.gelu,
    "gelu_tanh": lambda x: ug.gelu(x, approximate="tanh"),
    "selu": ug.selu,
    "mish": ug.mish,
    "softsign": ug.softsign,
    "hardtanh": ug.hardtanh,
    "softplus": ug.softplus,
    "sigmoid": ug.sigmoid,
    "log_sigmoid": ug.log_sigmoid,
    "hard_sigmoid": ug.hard_sigmoid,
    "erf": ug.erf,
    "softmax": ug.softmax,
    "softmax_0": lambda x: ug.softmax(x, axis=0),
    "log_softmax": ug.log_softmax,
    "logsumexp": lambda x: ug.logsumexp(x, axis=(0, 2)),
    "layer_norm": ug.layer_norm,
    "embedding": lambda E: ug.embedding(E, IDS),
    "conv1d": lambda x, W, b: ug.conv1d(x, W, b),
    "conv1d_stride": lambda x, W, b: ug.conv1d(x, W, b, stride=2, dilation=2),
    "conv1d_same": lambda x, W, b: ug.conv1d(x, W, b, padding="same"),
    "cross_entropy": lambda x: ug.cross_entropy(x, TARGETS),
    "cross_entropy_all": lambda x: ug.cross_entropy(
        x, IGNORED, weight=WEIGHT, smoothing=0.1, ignore=-100
    ),
    "cross_entropy_none": lambda x: ug.cross_entropy(
        x, IGNORED, weight=WEIGHT, smoothing=0.1, ignore=-100, reduction="none"
    ),
    "cross_entropy_sum": lambda x: ug.cross_entropy(x, TARGETS, weight=WEIGHT, reduction="sum"),
    "nll_loss": lambda x: ug.nll_loss(x, IGNORED, weight=WEIGHT, ignore=-100),
    "binary_cross_entropy": lambda x: ug.binary_cross_entropy(x, BELIEFS),
    "binary_cross_entropy_positive": lambda x: ug.binary_cross_entropy(
        x, BELIEFS, positive_weight=POSITIVE, weight=WEIGHT, reduction="sum"
    ),
    "mse_loss": ug.mse_loss,
    "l1_loss": ug.l1_loss,
    "huber_loss": lambda x, y: ug.huber_loss(x, y, delta=0.7),
    "kl_divergence": lambda x: ug.kl_divergence(x, BELIEFS),
    "std": lambda x: np.std(x, axis=1, ddof=1),
    "prod": lambda x: np.prod(x, axis=1),
    "cumprod": lambda x: np.cumprod(x, axis=1),
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "norm": lambda x: np.linalg.norm(x, axis=1),
    "max_ties": lambda x: np.max(x, axis=1),
    "maximum_ties": np.maximum,
    "minimum_ties": np.minimum,
    "clip": lambda x: np.clip(x, -1, 1),
    "abs": np.abs,
    "logaddexp": np.logaddexp,
    "arctan2": np.arctan2,
    "hypot": np.hypot,
    "matmul": np.matmul,
    "einsum": lambda a, b: np.einsum("bij,bkj->bik", a, b),
    "take_along_axis": lambda x: np.take_along_axis(x, POSITIONS, axis=1),
    "sort": lambda x: np.sort(x, axis=1),
    "tril": np.tril,
    "roll": lambda x: np.roll(x, 1, axis=1),
    "pad_reflect": lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1)), mode="reflect"),
    "pad_edge": lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1)), mode="edge"),
    "inv": np.linalg.inv,
    "det": np.linalg.det,
    "solve": np.linalg.solve,
    "svdvals": np.linalg.svdvals,
    "spectral_norm": lambda x: np.linalg.norm(x, 2),
    "nuclear_norm": lambda x: np.linalg.norm(x, "nuc"),
    "svd_u": lambda x: np.abs(np.linalg.svd(x, full_matrices=False).U),
    "svd_v": lambda x: np.abs(np.linalg.svd(x, full_matrices=False).Vh),
    "quantile": lambda x: np.quantile(x, [0.25, 0.6], axis=1),
    "median": lambda x: np.median(x, axis=1),
}


def compare(name: str, inputs: list[Any], value: Any, gradients: list[Any], seed: Any) -> None:
    leaves = [Parameter(x) for x in inputs]
    y = OURS[name](*leaves)
    assert y.shape == value.shape
    np.testing.assert_allclose(y.data, value, rtol=1e-10, atol=1e-12)
    y.backward(seed)
    for leaf, g in zip(leaves, gradients, strict=True):
        np.testing.assert_allclose(leaf.grad, g, rtol=1e-10, atol=1e-12)


def test_every_case_of_pytorch_is_compared():
    assert set(OURS) == set(SCRIPT["CASES"])


@pytest.mark.parametrize("name", OURS)
def test_beside_saved_numbers_of_pytorch(name: str):
    count = sum(key.startswith(f"{name}/x") for key in SAVED)
    assert count, f"no saved numbers for {name}; run tests/data/make_torch_numbers.py"
    inputs = [SAVED[f"{name}/x{k}"] for k in range(count)]
    gradients = [SAVED[f"{name}/g{k}"] for k in range(count)]
    compare(name, inputs, SAVED[f"{name}/y"], gradients, SAVED[f"{name}/seed"])


@pytest.mark.parametrize("name", OURS)
def test_beside_pytorch(name: str):
    needs("torch")
    compare(name, *SCRIPT["torch_numbers"](name, np.random.default_rng(1)))


# What the losses refuse and what their messages teach ------------------------------------------

w3 = Parameter([0.5, 2.0, 1.0], "w")
v3 = Parameter([1.0, 2.0, 3.0], "v")
inner = ["no gradient for its", "the result of getitem () float64", "x.detach() for each"]
red = {"reduction": "avg"}
TAUGHT: list[tuple[Callable[[], Any], type[Exception], list[str]]] = [
    # A Tensor inside of a list asks for its gradient as it does outside.
    (lambda: ug.cross_entropy(x23, [0, 1], weight=list(w3)), TypeError, ["its weight", *inner]),
    (lambda: ug.nll_loss(x23, [0, 1], weight=tuple(w3)), TypeError, ["its weight", *inner]),
    (lambda: ug.binary_cross_entropy(v3, [w3[0], 1, 0]), TypeError, ["its targets", *inner]),
    (lambda: ug.binary_cross_entropy(v3, [1, 0, 1], positive_weight=[w3[0], 1, 1]), TypeError,
     ["its positive_weight", *inner]),
    (lambda: ug.binary_cross_entropy(v3, [1, 0, 1], weight=list(w3)), TypeError, ["getitem"]),
    (lambda: ug.hinge_loss(v3, Parameter([1.0, -1.0, 1.0], "t")), TypeError,
     ["its targets, t (3,)", "targets.detach()"]),
    (lambda: ug.hinge_loss(v3, [w3[2], w3[2], w3[2]]), TypeError, ["its targets", *inner]),
    (lambda: ug.mse_loss(v3, list(w3)), TypeError, ["getitem"]),
    # Every message names the loss, what it was given and where.
    (lambda: ug.cross_entropy(x23, [0, -100]), ValueError, ["id -100 at [1]", "ignore=-100"]),
    (lambda: ug.cross_entropy(x23, [-1, -2], ignore=-1), ValueError, ["-2 at [1]", "ignore=-2"]),
    (lambda: ug.cross_entropy(x23, np.eye(3)[:2]), ValueError, ["x (2, 3)", ".argmax(-1)"]),
    (lambda: ug.cross_entropy(x23, [0, 1], weight=[1.0]), ValueError, ["x (2, 3)", "weight"]),
    (lambda: ug.cross_entropy(x23, [0, 1], **red), ValueError, ["cross_entropy: reduction"]),
    (lambda: ug.nll_loss(x23, [0, 1], **red), ValueError, ["nll_loss: reduction", "'avg'"]),
    (lambda: ug.binary_cross_entropy(v3, v3.data, **red), ValueError, ["binary_cross_entropy: r"]),
    (lambda: ug.hinge_loss(v3, [1, 1, 1], **red), ValueError, ["hinge_loss: reduction"]),
    (lambda: ug.mse_loss(v3, v3, **red), ValueError, ["mse_loss: reduction"]),
    (lambda: ug.l1_loss(v3, v3, **red), ValueError, ["l1_loss: reduction"]),
    (lambda: ug.huber_loss(v3, v3, **red), ValueError, ["huber_loss: reduction"]),
    (lambda: ug.kl_divergence(v3, v3, **red), ValueError, ["kl_divergence: reduction"]),
    (lambda: ug.binary_cross_entropy(v3, [0, 1, 2]), ValueError, ["v (3,)", "0.0 to 2.0"]),
    (lambda: ug.hinge_loss(v3, [0, 1, 1]), ValueError, ["v (3,)", "2 * y - 1"]),
    (lambda: ug.huber_loss(v3, v3, delta=-1), ValueError, ["v (3,)", "-1"]),
    (lambda: ug.dropout(v3, "x"), TypeError, ["dropout of v (3,) float64", "'x'"]),
    (lambda: ug.dropout(v3, None), TypeError, ["dropout of v (3,) float64", "None"]),
    (lambda: ug.conv1d(x23, np.ones((5, 3, 1))), ValueError, ["x (2, 3)", "(5, 3, 1)"]),
    (lambda: ug.conv1d(x23, np.ones((1, 3, 1)), padding="full"), ValueError, ["x (2, 3)"]),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), TAUGHT)
def test_what_messages_teach(call: Any, kind: Any, words: list[str]):
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("call", [call for call, *_ in TAUGHT])
def test_messages_say_in_which_scope(call: Any):
    with ug.scope("t=3", step=3), pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert "t=3" in str(caught.value) or "getitem" in str(caught.value)


def test_targets_of_different_lengths():
    with pytest.raises(ValueError, match="cross_entropy: the sequences differ in length"):
        ug.cross_entropy(x23, [[0], [1, 2]])


def test_detached_tensors_in_a_list_are_weights():
    detached = [w.detach() for w in w3]
    y = ug.cross_entropy(x23, [0, 1], weight=detached)
    assert y.item() == ug.cross_entropy(x23, [0, 1], weight=[0.5, 2.0, 1.0]).item()


@pytest.mark.parametrize("axis", [-1, 0])
def test_softmax_and_its_kin_of_a_scalar(axis: int):
    for function, value, slope in (
        (ug.softmax, 1, 0), (ug.log_softmax, 0, 0), (ug.logsumexp, 2, 1),
    ):  # fmt: skip
        x = Parameter(2.0)
        y = function(x, axis=axis)
        y.backward()
        assert (y.shape, y.item(), x.grad) == ((), value, slope)
        assert function(2.0, axis=axis) == value
        check_grads(lambda x, f=function: f(x, axis=axis), [np.array(2.0)], order=2)
        with pytest.raises(ValueError, match="axis 1"):
            function(x, axis=1)


def test_logsumexp_of_inf_spoils_no_other_gradient():
    x = Parameter([[inf, 0.0], [1.0, 1.0], [nan, 0.0]])
    with np.errstate(invalid="ignore"):
        y = ug.logsumexp(x)
        y.sum().backward()
    np.testing.assert_array_equal(x.grad, [[nan, 0.0], [0.5, 0.5], [nan, nan]])


def test_erf_of_arrays_long_and_short_is_that_of_the_library_of_c():
    x = np.concatenate(
        [
            np.linspace(-7, 7, 100_001),
            np.geomspace(1e-300, 7, 10_001),
            -np.geomspace(1e-300, 7, 10_001),
            [0.46875, 0.5, 4, 6, np.nextafter(6, 7), 1e300, inf, 0.0],
        ]
    )
    x = np.concatenate([x, -x])
    wanted = np.array([math.erf(number) for number in x])
    y = ug.erf(x)
    np.testing.assert_allclose(y, wanted, rtol=1e-15, atol=0)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(x))
    assert (abs(y[abs(x) >= 6]) == 1).all()
    for part in np.split(x[:200_000], 1000)[::50]:  # one by one
        np.testing.assert_array_equal(ug.erf(part), [math.erf(number) for number in part])
    np.testing.assert_array_equal(np.isnan(ug.erf(np.where(x > 1, nan, x))), x > 1)
    for dtype, rounding in ((np.float16, 5e-4), (np.float32, 1e-7), (np.longdouble, 1e-15)):
        some = np.linspace(-5, 5, 1001).astype(dtype)
        y = ug.erf(some)
        assert y.dtype == dtype
        exact = [math.erf(number) for number in some]
        np.testing.assert_allclose(y.astype(float), exact, rtol=rounding, atol=1e-8)


def test_gradients_of_erf_and_gelu_of_long_arrays():
    x = np.linspace(-3, 3, 600)
    for function in (ug.erf, ug.gelu):
        long, short = Parameter(x), [Parameter(part) for part in np.split(x, 6)]
        function(long).sum().backward()
        for p in short:
            function(p).sum().backward()
        np.testing.assert_allclose(long.grad, np.concatenate([p.grad for p in short]), rtol=1e-13)
        # Second derivatives beside central differences of the first.
        slopes = ug.grad(lambda z, f=function: np.sum(f(z)))
        second = ug.grad(lambda z, slopes=slopes: np.sum(slopes(z)))(x)
        numerical = (slopes(x + 1e-5) - slopes(x - 1e-5)) / 2e-5
        np.testing.assert_allclose(second, numerical, rtol=1e-6, atol=1e-8)
