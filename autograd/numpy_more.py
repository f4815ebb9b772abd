"""The table, second part: NumPy's functions that networks seldom use.

Rows as in ``numpy_core``, the call forms of ``np.where`` and ``np.clip``, and the functions with
integer, boolean or shape results, which run on the plain arrays.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..checks import describe_received
from .messages import call_text
from .numpy_calls import OUT_PLACES, PLAIN
from .numpy_core import (
    CLIP,
    composed,
    extreme_left,
    extreme_right,
    extreme_rule,
    power_base,
    power_exponent,
    ratio,
    reduced_axes,
    restore_axes,
    reversed_cumsum,
    row,
    scatter_add,
    zero,
)
from .tensor import TABLE, Array, Rule, apply, operand, values

inf = np.inf


# Arithmetic -------------------------------------------------------------------------------------

row(np.float_power, power_base, power_exponent)
row(np.conjugate, lambda g, y, x: g)
row(np.real, lambda g, y, x: g)
row(np.imag, zero)
row(np.floor_divide, zero, zero)
row(np.remainder, lambda g, y, a, b: g, lambda g, y, a, b: -g * np.floor_divide(a, b))
row(np.fmod, lambda g, y, a, b: g, lambda g, y, a, b: -g * np.trunc(a / b))
for extreme in (np.fmax, np.fmin):
    row(extreme, extreme_left, extreme_right)


# Functions of each element ----------------------------------------------------------------------


def _log_weight(a: Any, y: Any) -> Any:
    """``a - y``, the logarithm of a's weight in the sum: 0 if a is inf, -inf if both are -inf."""
    top = values(a) == inf
    return np.where(top, 0, a) - np.where(top | (values(y) == -inf), 0, y)


def _unit(x: Any, a: Any, b: Any) -> Any:
    """``x / (a² + b²)`` without an overflow, 0 at (0, 0)."""
    size = np.hypot(a, b)
    return ratio(ratio(x, size), size)


row(np.exp2, lambda g, y, x: g * y * float(np.log(2)))
row(np.log2, lambda g, y, x: g / (x * float(np.log(2))))
row(np.log10, lambda g, y, x: g / (x * float(np.log(10))))
row(np.cbrt, lambda g, y, x: g / (3 * y * y))
row(np.fabs, lambda g, y, x: g * np.sign(x))
row(np.spacing, zero)
if hasattr(np, "fix"):  # deprecated from NumPy 2.5 on
    row(np.fix, zero, forward=np.trunc)
row(np.nextafter, lambda g, y, a, b: g, zero)
row(np.ldexp, lambda g, y, x, i: np.ldexp(g, values(i)), None)
row(np.heaviside, zero, lambda g, y, a, b: np.where(values(a) == 0, g, 0))
row(np.copysign, lambda g, y, a, b: g * np.copysign(1, a) * np.copysign(1, b), zero)
row(np.deg2rad, lambda g, y, x: g * float(np.pi / 180))
row(np.radians, lambda g, y, x: g * float(np.pi / 180))
row(np.rad2deg, lambda g, y, x: g * float(180 / np.pi))
row(np.degrees, lambda g, y, x: g * float(180 / np.pi))
row(np.tan, lambda g, y, x: g * (1 + y * y))
row(np.arcsin, lambda g, y, x: g / np.sqrt((1 - x) * (1 + x)))
row(np.arccos, lambda g, y, x: -g / np.sqrt((1 - x) * (1 + x)))
row(np.arctan, lambda g, y, x: g / np.hypot(x, 1) / np.hypot(x, 1))  # x * x would overflow
row(np.sinh, lambda g, y, x: g * np.cosh(x))
row(np.cosh, lambda g, y, x: g * np.sinh(x))
row(np.arcsinh, lambda g, y, x: g / np.hypot(x, 1))
row(np.arccosh, lambda g, y, x: g / np.sqrt((x - 1) * (x + 1)))
row(np.arctanh, lambda g, y, x: g / ((1 - x) * (1 + x)))
row(np.arctan2, lambda g, y, a, b: g * _unit(b, a, b), lambda g, y, a, b: -g * _unit(a, a, b))
row(np.hypot, lambda g, y, a, b: g * ratio(a, y), lambda g, y, a, b: g * ratio(b, y))
row(
    np.logaddexp,
    lambda g, y, a, b: g * np.exp(_log_weight(a, y)),
    lambda g, y, a, b: g * np.exp(_log_weight(b, y)),
)
row(
    np.logaddexp2,
    lambda g, y, a, b: g * np.exp2(_log_weight(a, y)),
    lambda g, y, a, b: g * np.exp2(_log_weight(b, y)),
)

where_row = TABLE[np.where]


@composed("where")
def _where(condition: Any, *branches: Any) -> Any:
    if not branches:
        return np.where(values(condition))
    if len(branches) != 2 or any(x is None for x in branches):
        raise (ValueError if len(branches) != 2 else TypeError)(
            f"{call_text('np.where', (condition, *branches))}: expected a condition and two "
            "branches of numbers, or the condition alone, got "
            f"{', '.join(map(describe_received, branches))} as branches"
        )
    return apply(where_row, (np.asarray(values(condition)), *map(operand, branches)))


@composed("clip")
def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    if (min is not None or max is not None) and (a_min is not None or a_max is not None):
        raise ValueError(
            f"{call_text('np.clip', (a, a_min, a_max))}: the bounds come as a_min and a_max or as "
            "min= and max=, got both"
        )
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    a = operand(a)
    dtype = np.asarray(values(a)).dtype
    whole = np.iinfo(dtype) if dtype.kind in "iu" else None  # infinity would turn them into floats
    if low is None:
        low = whole.min if whole else -inf
    if high is None:
        high = whole.max if whole else inf
    return apply(CLIP, (a, operand(low), operand(high)))


row(np.round, zero, names="decimals")
TABLE[np.around] = TABLE[np.round]
row(
    np.nan_to_num,
    lambda g, y, x, **_: np.where(np.isfinite(values(x)), g, 0),
    names="nan posinf neginf",
)


def _sinc_rule(g: Any, y: Any, x: Any) -> Any:
    """(cos πx - sinc x) / x, or near 0 the series Σ (-1)^n 2n π (πx)^(2n-1) / (2n+1)!."""
    near = np.abs(values(x)) < 0.5
    z = np.where(near, x, 0) * math.pi
    zz = z * z
    series = 0.0
    for n in range(12, 0, -1):
        series = series * zz + (-1) ** n * 2 * n * math.pi / math.factorial(2 * n + 1)
    return g * np.where(near, series * z, (np.cos(math.pi * x) - y) / np.where(near, 1, x))


row(np.sinc, _sinc_rule)

# Reductions -------------------------------------------------------------------------------------


def _prod_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if np.all(values(x) != 0):
        return restore_axes(g, x, axis) * restore_axes(y, x, axis) / x
    # The product of all others, without a division by the zeros: of those before times after.
    axes = reduced_axes(x, axis)
    rest = [i for i in range(x.ndim) if i not in axes]
    order = (*rest, *axes)
    moved = np.transpose(x, order)
    flat = moved.reshape((*(x.shape[i] for i in rest), -1))
    others = _product_before(flat) * np.flip(_product_before(np.flip(flat, -1)), -1)
    others = np.transpose(others.reshape(moved.shape), tuple(np.argsort(order)))
    return restore_axes(g, x, axis) * others


def _product_before(x: Any) -> Any:
    """The product of all elements before each one along the last axis."""
    return np.concatenate([np.ones_like(x[..., :1]), np.cumprod(x[..., :-1], axis=-1)], axis=-1)


def _cumprod_rule(g: Any, y: Any, x: Any, axis: int | None = None) -> Any:
    if axis is None or not x.ndim:
        return _cumprod_rule(g, y, x.reshape(-1), 0).reshape(x.shape)
    if np.all(values(x) != 0):
        return reversed_cumsum(g * y, axis) / x
    # Backpropagation through y_i = x_i y_(i-1): what arrives at y_i goes on times x_i.
    g, x = np.swapaxes(g, axis, -1), np.swapaxes(x, axis, -1)
    arrived = [g[..., -1]]
    for i in range(x.shape[-1] - 1, 0, -1):
        arrived.append(g[..., i - 1] + x[..., i] * arrived[-1])
    return np.swapaxes(_product_before(x) * np.stack(arrived[::-1], axis=-1), axis, -1)


row(np.nanmax, extreme_rule, names="axis keepdims")
row(np.nanmin, extreme_rule, names="axis keepdims")
row(np.prod, _prod_rule, names="axis keepdims initial where")
row(np.cumprod, _cumprod_rule, names="axis")

# Shape ------------------------------------------------------------------------------------------

row(
    np.roll,
    lambda g, y, x, shift, axis=None: np.roll(
        g, [-s for s in shift] if isinstance(shift, (tuple, list)) else -shift, axis
    ),
    names="shift axis",
)
# A vector is broadcast to the rows of a square matrix: hence elementwise.
row(np.tril, lambda g, y, x, k=0: np.tril(g, k), names="k", elementwise=True)
row(np.triu, lambda g, y, x, k=0: np.triu(g, k), names="k", elementwise=True)

# Gather ops: the gradient is a scatter_add at the same places -----------------------------------


def _positions(x: Any, gather: Callable[[Array], Array]) -> Array:
    """The flat position in x of each element of a gathered result."""
    return gather(np.arange(x.size).reshape(x.shape))


def _flat_scatter(g: Any, x: Any, places: Array) -> Any:
    if not x.size:  # np.resize fills up with zeros
        return zero(x, x)
    flat = scatter_add(g.reshape(-1), indices=[places.reshape(-1)], shape=(x.size,))
    return flat.reshape(x.shape)


def _gather_rule(function: Callable[..., Any]) -> Rule:
    def rule(g: Any, y: Any, x: Any, *rest: Any, **params: Any) -> Any:
        return _flat_scatter(g, x, _positions(x, lambda p: function(p, *values(rest), **params)))

    return rule


def _taken(x: Any, indices: Any, axis: int | None = None) -> tuple[Any, ...]:
    """The index of x that is equivalent to np.take."""
    indices = np.asarray(indices).astype(np.intp)  # True is 1; a uint8 cannot hold the size
    if axis is None:
        return np.unravel_index(indices % max(x.size, 1), x.shape)
    return (*(slice(None),) * (axis % x.ndim), indices)


def _take_batch(contributions: list[Any], x: Any) -> Any:
    if not x.ndim:
        return functools.reduce(operator.add, [np.sum(g) for g, *_ in contributions])
    indices = [_taken(x, **params) for _, params, *_ in contributions]
    return scatter_add(*(g for g, *_ in contributions), indices=indices, shape=x.shape)


def _taken_along(x: Any, indices: Any, axis: int | None = -1) -> Array:
    """The flat positions in x that np.take_along_axis selects."""
    indices = np.asarray(indices).astype(np.intp)
    if axis is None or not x.size:
        return indices.reshape(-1) % max(x.size, 1)
    grid = list(np.ix_(*map(np.arange, x.shape)))
    grid[axis] = indices
    return np.ravel_multi_index(tuple(grid), x.shape, mode="wrap").reshape(-1)


def _take_along_batch(contributions: list[Any], x: Any) -> Any:
    places = [_taken_along(x, **params) for _, params, *_ in contributions]
    gs = [g.reshape(-1) for g, *_ in contributions]
    return scatter_add(*gs, indices=places, shape=(x.size,)).reshape(x.shape)


row(
    np.take,
    lambda g, y, x, **params: _take_batch([(g, params)], x),
    batch_rules=(_take_batch,),
    names="indices axis",
)
row(
    np.take_along_axis,
    lambda g, y, x, **params: _take_along_batch([(g, params)], x),
    batch_rules=(_take_along_batch,),
    names="indices axis",
)
row(np.diagonal, _gather_rule(np.diagonal), names="offset axis1 axis2")
row(np.repeat, _gather_rule(np.repeat), names="repeats axis")
row(np.tile, _gather_rule(np.tile), names="reps")
row(np.rot90, _gather_rule(np.rot90), names="k axes")
row(np.rollaxis, _gather_rule(np.rollaxis), names="axis start")
row(np.resize, _gather_rule(np.resize), names="new_shape")
row(np.delete, _gather_rule(np.delete), names="obj axis")
row(np.fft.fftshift, _gather_rule(np.fft.fftshift), names="axes")
row(np.fft.ifftshift, _gather_rule(np.fft.ifftshift), names="axes")
row(sliding_window_view, _gather_rule(sliding_window_view), names="window_shape axis")


def _sort_rule(g: Any, y: Any, x: Any, axis: int | None = -1) -> Any:
    if axis is None:
        order = np.argsort(values(x), axis=None, kind="stable")
        return np.take(g, np.argsort(order)).reshape(x.shape)
    order = np.argsort(values(x), axis=axis, kind="stable")
    return np.take_along_axis(g, np.argsort(order, axis=axis), axis=axis)


row(
    np.sort,
    _sort_rule,
    names="axis",
    forward=lambda x, axis=-1: np.sort(x, axis=axis, kind="stable"),
)


def _pad_rule(g: Any, y: Any, x: Any, pad_width: Any, mode: Any = "constant", **kw: Any) -> Any:
    if mode == "constant":
        if isinstance(pad_width, dict):  # of axes
            widths = np.zeros((x.ndim, 2), int)
            for axis, width in pad_width.items():
                widths[axis] = width
            pad_width = widths
        widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
        return g[tuple(slice(a, a + n) for (a, _), n in zip(widths.tolist(), x.shape, strict=True))]
    return _flat_scatter(g, x, _positions(x, lambda p: np.pad(p, pad_width, mode=mode)))


def _run_pad(x: Array, pad_width: Any, mode: Any = "constant", **kw: Any) -> Array:
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise TypeError(
            f"np.pad of Tensors has no gradient rule for mode={mode!r}; there are constant, edge, "
            "reflect, symmetric and wrap"
        )
    return np.pad(x, pad_width, mode, **kw)


row(np.pad, _pad_rule, forward=_run_pad, names="pad_width mode constant_values")

# Integer, boolean and shape results -------------------------------------------------------------

PLAIN.update(
    {
        np.argmax, np.argmin, np.argsort, np.argpartition, np.argwhere, np.nonzero, np.flatnonzero,
        np.nanargmax, np.nanargmin, np.count_nonzero, np.searchsorted, np.lexsort, np.digitize,
        np.bitwise_count,
        np.gcd, np.lcm, np.packbits, np.unpackbits, np.unravel_index, np.ravel_multi_index,
        np.tril_indices_from, np.triu_indices_from, np.diag_indices_from, np.linalg.matrix_rank,
        np.isfinite, np.isnan, np.isnat, np.isreal, np.iscomplex, np.isinf, np.isneginf,
        np.isposinf, np.signbit, np.isclose,
        np.allclose, np.array_equal, np.array_equiv, np.any, np.all, np.isin,
        np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal,
        np.logical_and, np.logical_or, np.logical_not, np.logical_xor,
        np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift,
        np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like,
        np.result_type, np.common_type, np.can_cast, np.min_scalar_type, np.iscomplexobj,
        np.isrealobj,
        np.shares_memory, np.may_share_memory,
        np.array_repr, np.array_str, np.array2string,
    }
)  # fmt: skip
OUT_PLACES.update(dict.fromkeys([np.isneginf, np.isposinf], 1))
OUT_PLACES.update(
    dict.fromkeys([np.any, np.all, np.argmax, np.argmin, np.nanargmax, np.nanargmin], 2)
)
