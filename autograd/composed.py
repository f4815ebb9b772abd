"""The table, fourth part: NumPy's functions that are written with others.

Each is plain NumPy, as one would write it for arrays; its calls have rows, so it needs no rule
and differentiates to any order. The first name of a function is the one it has in NumPy.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .linear_algebra import vector_norm
from .messages import call_text
from .numpy_calls import WIDER
from .numpy_core import composed, off_zero, reduced_axes, scatter_add
from .tensor import Op, Tensor, apply, operand, values

inf = np.inf


def before(x: Any, axis: int) -> tuple[slice, ...]:
    """The index of everything along the axes before this one."""
    return (slice(None),) * (axis % x.ndim)


# Several results ----------------------------------------------------------------------------------

FRACTION = Op("fraction", lambda x: np.modf(x)[0], (lambda g, y, x: g,))


@composed("divmod")
def _divmod(a: Any, b: Any) -> Any:
    return np.floor_divide(a, b), np.remainder(a, b)


@composed("modf")
def _modf(x: Any) -> Any:
    return apply(FRACTION, (x,)), np.trunc(x)


@composed("frexp")
def _frexp(x: Any) -> Any:
    _, exponent = np.frexp(values(x))
    return np.ldexp(x, -exponent), exponent


# Joining and splitting ----------------------------------------------------------------------------


def _at_least(ndim: int, x: Any) -> Any:
    """Axes added as NumPy does: in front, the third one behind."""
    x = operand(x)
    n = np.ndim(x)
    if n >= ndim:
        return x
    shape = (1,) * (ndim - n) + np.shape(x) if ndim < 3 or n == 0 else (1, *np.shape(x), 1)[-3:]
    return np.reshape(x, shape)


def _all_at_least(ndim: int, *arys: Any) -> Any:
    out = tuple(_at_least(ndim, x) for x in arys)
    return out[0] if len(out) == 1 else out


for ndim in (1, 2, 3):
    composed(f"atleast_{ndim}d")(functools.partial(_all_at_least, ndim))


composed("vstack")(lambda tup: np.concatenate([_at_least(2, x) for x in tup]))
composed("dstack")(lambda tup: np.concatenate([_at_least(3, x) for x in tup], axis=2))
composed("append")(lambda arr, values, axis=None: np.concatenate([arr, values], axis=axis))


@composed("hstack")
def _hstack(tup: Any) -> Any:
    parts = [_at_least(1, x) for x in tup]
    return np.concatenate(parts, axis=0 if np.ndim(parts[0]) == 1 else 1)


@composed("column_stack")
def _column_stack(tup: Any) -> Any:
    return np.concatenate([np.reshape(x, (-1, 1)) if np.ndim(x) < 2 else x for x in tup], axis=1)


@composed("block")
def _block(arrays: Any) -> Any:
    depth, part = 0, arrays
    while isinstance(part, list):
        depth, part = depth + 1, part[0]

    return _joined(arrays, -depth, max(depth, _widest(arrays)))


def _widest(part: Any) -> int:
    """The most axes that a block has."""
    return max(map(_widest, part)) if isinstance(part, list) else np.ndim(part)


def _joined(part: Any, axis: int, ndim: int) -> Any:
    """The blocks of a list, concatenated; those of the innermost lists along the last axis."""
    if isinstance(part, list):
        return np.concatenate([_joined(inner, axis + 1, ndim) for inner in part], axis=axis)
    return np.reshape(part, (1,) * (ndim - np.ndim(part)) + np.shape(part))


def _pieces(who: str, ary: Any, indices_or_sections: Any, axis: int) -> list[Any]:
    length = ary.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        n = int(indices_or_sections)
        if n < 1:
            raise (ValueError if n or who == "array_split" else ZeroDivisionError)(
                f"{call_text(who, (ary,))}: expected 1 part or more, got {n}"
            )
        if who == "split" and length % n:
            raise ValueError(
                f"{call_text(who, (ary,))}: axis {axis} of length {length} does not divide into "
                f"{n} equal parts; use np.array_split"
            )
        sizes = [length // n + (i < length % n) for i in range(n)]
        ends = np.cumsum(sizes).tolist()
    else:
        ends = [*map(int, indices_or_sections), length]
    return [ary[(*before(ary, axis), slice(a, b))] for a, b in zip([0, *ends], ends, strict=False)]


@composed("array_split")
def _array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    return _pieces("array_split", ary, indices_or_sections, axis)


@composed("split")
def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    return _pieces("split", ary, indices_or_sections, axis)


@composed("hsplit")
def _hsplit(ary: Any, indices_or_sections: Any) -> Any:
    return np.split(ary, indices_or_sections, axis=1 if ary.ndim > 1 else 0)


composed("vsplit")(lambda ary, indices_or_sections: np.split(ary, indices_or_sections, axis=0))
composed("dsplit")(lambda ary, indices_or_sections: np.split(ary, indices_or_sections, axis=2))


@composed("unstack")
def _unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    return tuple(x[(*before(x, axis), i)] for i in range(x.shape[axis]))


@composed("insert")
def _insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    arr, new = operand(arr), _at_least(1, values)
    new = new.astype(arr.dtype) if arr.dtype.kind == "f" else new
    # NumPy inserts positions; the elements are then taken from there.
    own = np.arange(arr.size).reshape(arr.shape)
    others = arr.size + np.arange(new.size).reshape(np.shape(values))
    both = np.concatenate([np.reshape(arr, -1), np.reshape(new, -1)])
    return np.take(both, np.insert(own, obj, others, axis))


composed("compress")(lambda condition, a, axis=None: np.take(a, np.flatnonzero(condition), axis))
composed("extract")(lambda condition, arr: np.compress(np.ravel(condition), np.ravel(arr)))


@composed("bincount")
def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    ids = np.asarray(values(x))
    counts = np.bincount(ids, minlength=minlength)
    if weights is None:
        return counts
    weights = operand(weights).astype(np.float64)  # as NumPy does
    if ids.shape != weights.shape:
        raise ValueError(
            f"{call_text('bincount', (x, weights))}: there must be one weight for each number"
        )
    return scatter_add(weights, indices=[ids], shape=counts.shape)


@composed("full_like")
def _full_like(a: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    if not isinstance(fill_value, Tensor):
        return np.full_like(values(a), fill_value, dtype, shape=shape)
    full = np.broadcast_to(fill_value, np.shape(a) if shape is None else shape)
    return full.astype(np.result_type(values(a)) if dtype is None else dtype)


@composed("ix_")
def _ix(*args: Any) -> tuple[Any, ...]:
    return tuple(
        np.reshape(x, tuple(-1 if i == k else 1 for i in range(len(args))))
        if isinstance(x, Tensor) and x.dtype.kind == "f"
        else np.ix_(*(values(x) if i == k else [0] for i in range(len(args))))[k]
        for k, x in enumerate(args)
    )


@composed("select")
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"select: {len(condlist)} conditions need as many choices, got {len(choicelist)}"
        )
    if not len(condlist):
        raise ValueError("select: expected one condition or more, got none")
    kinds = [np.asarray(values(condition)).dtype for condition in condlist]
    if any(kind.kind != "b" for kind in kinds):
        raise TypeError(
            f"{call_text('select', (condlist, choicelist))}: conditions are booleans, got "
            f"{', '.join(map(str, kinds))}; write x != 0"
        )
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        default = np.where(condition, choice, default)
    return default


# Views --------------------------------------------------------------------------------------------


composed("fliplr")(lambda m: np.flip(m, 1))
composed("flipud")(lambda m: np.flip(m, 0))
composed("diagflat")(lambda v, k=0: np.diag(np.reshape(v, -1), k))
composed("matrix_transpose", "linalg.matrix_transpose")(lambda x: np.swapaxes(x, -1, -2))
composed("linalg.diagonal")(lambda x, /, *, offset=0: np.diagonal(x, offset, -2, -1))
composed("astype")(lambda x, dtype, /: x.astype(dtype))
composed("real_if_close")(lambda a, tol=100: np.real(a))


@composed("broadcast_arrays")
def _broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(x, shape) for x in args)


@composed("meshgrid")
def _meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    if indexing not in ("xy", "ij"):
        raise ValueError(f"{call_text('meshgrid', xi)}: indexing is 'xy' or 'ij', got {indexing!r}")
    axes = list(range(len(xi)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    grids = [
        np.reshape(x, tuple(np.size(x) if k == axis else 1 for k in range(len(xi))))
        for x, axis in zip(xi, axes, strict=True)
    ]
    return tuple(grids) if sparse else tuple(_broadcast_arrays(*grids))


@composed("diag")
def _diag(v: Any, k: int = 0) -> Any:
    if v.ndim == 2:
        return np.diagonal(v, k)
    n = len(v) + abs(k)
    i = np.arange(len(v))
    return scatter_add(v, indices=[(i + max(-k, 0), i + max(k, 0))], shape=(n, n))


def _in_order(function: Any, x: Any, shape: Any = -1, order: str = "C") -> Any:
    """reshape and ravel; in Fortran's order the axes are read backwards."""
    if order not in ("C", "F"):
        raise ValueError(f"{call_text(function, (x,))}: order is 'C' or 'F', got {order!r}")
    if order == "C":
        return np.reshape(x, shape)
    backwards = shape if isinstance(shape, (int, np.integer)) else tuple(shape)[::-1]
    return np.transpose(np.reshape(np.transpose(x), backwards))


WIDER[np.reshape] = functools.partial(_in_order, "reshape")
WIDER[np.ravel] = functools.partial(_in_order, "ravel")


# Sums and differences -----------------------------------------------------------------------------


composed("linalg.trace")(lambda x, /, *, offset=0: np.trace(x, offset, -2, -1))


@composed("trace")
def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


@composed("diff")
def _diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if n < 0 or not a.ndim:
        raise ValueError(
            f"{call_text('diff', (a,))}: expected at least one axis and n of 0 or more, got n={n}"
        )
    a = _extended(a, axis, prepend, append)
    along = before(a, axis)
    for _ in range(n):
        a = a[(*along, slice(1, None))] - a[(*along, slice(None, -1))]
    return a


def _extended(a: Any, axis: int, prepend: Any, append: Any) -> Any:
    """``a`` with arrays in front and behind along an axis; a number is there once."""
    once = tuple(1 if i == axis % a.ndim else n for i, n in enumerate(a.shape))
    parts = [operand(x) for x in (prepend, a, append) if x is not None]
    parts = [x if np.ndim(x) else np.broadcast_to(x, once) for x in parts]
    return np.concatenate(parts, axis=axis) if len(parts) > 1 else a


@composed("ediff1d")
def _ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    y = np.diff(np.reshape(ary, -1))
    ends = [None if x is None else np.reshape(x, -1) for x in (to_begin, to_end)]
    return _extended(y, 0, *(None if x is None else x.astype(y.dtype) for x in ends))


@composed("ptp")
def _ptp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


@composed("average")
def _average(a: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    if weights is None:
        return np.mean(a, axis=axis, keepdims=keepdims)
    a, weights = operand(a), operand(weights)
    if np.shape(weights) != np.shape(a):  # one weight for each position along the axes
        axes = [i % a.ndim for i in (axis if isinstance(axis, tuple) else (axis,)) if i is not None]
        if np.shape(weights) != tuple(a.shape[i] for i in axes):
            raise ValueError(
                f"{call_text('average', (a,))} with weights {np.shape(weights)}: they have its "
                f"shape, or that of the axes that are averaged, got axis={axis}"
            )
        weights = np.transpose(weights, tuple(np.argsort(axes)))
        weights = np.reshape(weights, tuple(n if i in axes else 1 for i, n in enumerate(a.shape)))
    weighted = np.sum(a * weights, axis=axis, keepdims=keepdims)
    total = np.sum(np.broadcast_to(weights, a.shape), axis=axis, keepdims=keepdims)
    if np.any(values(total) == 0):
        raise ZeroDivisionError(f"{call_text('average', (a, weights))}: the weights sum to 0")
    return weighted / total


@composed("trapezoid")
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    y = np.moveaxis(operand(y), axis, -1)
    if x is not None:
        x = operand(x)
        dx = np.diff(x if x.ndim == 1 else np.moveaxis(x, axis, -1))
    return np.sum(dx * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


@composed("cumulative_sum")
def _cumulative_sum(x: Any, /, *, axis: int | None = None, include_initial: bool = False) -> Any:
    return _cumulative(np.cumsum, np.zeros, x, axis, include_initial)


@composed("cumulative_prod")
def _cumulative_prod(x: Any, /, *, axis: int | None = None, include_initial: bool = False) -> Any:
    return _cumulative(np.cumprod, np.ones, x, axis, include_initial)


def _cumulative(function: Any, start: Any, x: Any, axis: int | None, include: bool) -> Any:
    if axis is None and x.ndim > 1:
        raise ValueError(f"{call_text(function.__name__, (x,))}: say along which axis")
    axis = (axis or 0) % max(x.ndim, 1)
    y = function(x, axis=axis)
    if not include:
        return y
    shape = tuple(1 if i == axis else n for i, n in enumerate(y.shape))
    return np.concatenate([start(shape, y.dtype), y], axis=axis)


@composed("interp")
def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    x, xp, fp = (  # as NumPy's interp in float64 always
        t.astype(float) if isinstance(t, Tensor) else np.asarray(t, float) for t in (x, xp, fp)
    )
    at = values(xp)
    if not at.size or at.ndim > 1 or at.shape != fp.shape:
        raise ValueError(
            f"{call_text('interp', (x, xp, fp))}: xp and fp are one or more points each, as many "
            f"of one as of the other, got {at.shape} and {fp.shape}"
        )
    piece = np.clip(np.searchsorted(at, values(x), side="right") - 1, 0, max(len(at) - 2, 0))
    end = np.minimum(piece + 1, len(at) - 1)
    width = xp[end] - xp[piece]
    slope = (fp[end] - fp[piece]) / off_zero(width)
    y = fp[piece] + slope * (x - xp[piece])
    y = np.where(values(x) < at[0], fp[0] if left is None else left, y)
    return np.where(values(x) > at[-1], fp[-1] if right is None else right, y)


# Order statistics ---------------------------------------------------------------------------------

# method -> where between two elements a quantile lies whose place in the order is no integer
_PLACES: dict[str, Any] = {
    "linear": np.positive,
    "lower": np.floor,
    "higher": np.ceil,
    "midpoint": lambda place: (np.floor(place) + np.ceil(place)) / 2,
    "nearest": np.round,
}


def _quantiles(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Any:
    """Quantiles ``q``, an array of fractions, by sorting; their axes stand in front."""
    a = operand(a)
    axes = reduced_axes(a, axis)
    rest = [i for i in range(a.ndim) if i not in axes]
    flat = np.reshape(np.transpose(a, (*rest, *axes)), (*(a.shape[i] for i in rest), -1))
    if not flat.shape[-1]:
        raise ValueError(f"{call_text('quantile', (a,))}: expected one element or more, got none")
    ordered = np.moveaxis(np.sort(flat, axis=-1), -1, 0)
    place = _PLACES[method](np.asarray(q, float) * (len(ordered) - 1))
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, len(ordered) - 1)
    part = place - below
    if not place.ndim or method not in ("linear", "midpoint"):  # else it is float64, NumPy's too
        part = part.astype(values(ordered).dtype)
    part = np.reshape(part, (*place.shape, *(1,) * len(rest)))
    y = ordered[below] + (ordered[above] - ordered[below]) * part
    y = np.where(np.isnan(values(ordered[-1])), ordered[-1], y)  # a NaN is sorted behind
    if keepdims:
        kept = (1 if i in axes else n for i, n in enumerate(a.shape))
        y = np.reshape(y, (*place.shape, *kept))
    return y


@composed("quantile")
def _quantile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Any:
    q = np.asarray(values(q), float)
    if np.any((q < 0) | (q > 1)):
        raise ValueError(f"{call_text('quantile', (a,))}: q is a fraction from 0 to 1, got {q}")
    if method not in _PLACES:
        raise TypeError(
            f"{call_text('quantile', (a,))} has no gradient rule for method={method!r}; there are "
            f"{', '.join(_PLACES)}"
        )
    return _quantiles(a, q, axis, method=method, keepdims=keepdims)


@composed("percentile")
def _percentile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False
) -> Any:
    return _quantile(a, np.asarray(values(q), float) / 100, axis, method=method, keepdims=keepdims)


@composed("median")
def _median(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return _quantiles(a, 0.5, axis, keepdims=keepdims)


@composed("linspace")
def _linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, axis: int = 0) -> Any:
    start, stop = operand(start), operand(stop)
    steps = max(num - 1 if endpoint else num, 1)
    shape = np.broadcast_shapes(np.shape(start), np.shape(stop))
    dtype = np.result_type(values(start), values(stop), 1.0)
    part = np.reshape(np.arange(num, dtype=dtype) / steps, (num, *(1,) * len(shape)))
    y = start + (stop - start) * part
    return np.moveaxis(y, 0, axis) if axis else y


# Reductions with where= and initial= --------------------------------------------------------------


def _reduced(
    function: Any,
    neutral: float,
    join: Any,
    a: Any,
    axis: Any = None,
    keepdims: bool = False,
    *,
    initial: Any = None,
    where: Any = True,
) -> Any:
    """A reduction with ``initial=`` and ``where=``."""
    if math.isinf(neutral) and where is not True and initial is None:
        raise ValueError(f"{call_text(function.__name__, (a,))}: with where= give initial= too")
    if a.size:
        y = function(_chosen(where, a, neutral), axis=axis, keepdims=keepdims)
    else:  # np.max of no elements raises, but with initial= it is that
        y = np.sum(a, axis=axis, keepdims=keepdims) + neutral
    return y if initial is None else join(y, initial)


def _chosen(where: Any, a: Any, neutral: float) -> Any:
    return a if where is True else np.where(where, a, neutral)


def _counted(a: Any, axis: Any, where: Any) -> Any:
    """The number of elements of each reduction, with the axes kept, as floats of a's dtype."""
    here = np.broadcast_to(values(where), a.shape)
    return np.sum(here, axis=axis, keepdims=True, dtype=a.dtype if a.dtype.kind == "f" else float)


for function, neutral, join in [
    (np.sum, 0, np.add),
    (np.prod, 1, np.multiply),
    (np.max, -inf, np.maximum),
    (np.min, inf, np.minimum),
]:
    WIDER[function] = functools.partial(_reduced, function, neutral, join)
WIDER[np.amax], WIDER[np.amin] = WIDER[np.max], WIDER[np.min]


def _mean(a: Any, axis: Any = None, keepdims: bool = False, *, where: Any = True) -> Any:
    y = np.sum(_chosen(where, a, 0), axis=axis, keepdims=True) / _counted(a, axis, where)
    return y if keepdims else np.squeeze(y, axis)


def _moment(
    root: bool,
    a: Any,
    axis: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """var and std; the norm has the gradient 0 where the deviation is 0."""
    if ddof and correction is not None:
        raise ValueError(
            f"{call_text('std' if root else 'var', (a,))}: ddof and correction are the same, got "
            f"{ddof} and {correction}"
        )
    ddof = ddof if correction is None else correction
    centre = _mean(a, axis, True, where=where) if mean is None else mean
    spread = _chosen(where, a - centre, 0)
    count = _counted(a, axis, where)
    count = np.maximum(count - count.dtype.type(ddof), 0)
    if root:
        y = vector_norm(spread, axis=axis, keepdims=True) / np.sqrt(count)
    else:
        y = np.sum(np.square(spread), axis=axis, keepdims=True) / count
    return y if keepdims else np.squeeze(y, axis)


WIDER[np.mean] = _mean
WIDER[np.var] = functools.partial(_moment, False)
WIDER[np.std] = functools.partial(_moment, True)


def _without_nan(function: Any, neutral: float, a: Any, *args: Any, **options: Any) -> Any:
    return function(np.where(np.isnan(values(a)), neutral, a), *args, **options)


composed("nansum")(functools.partial(_without_nan, np.sum, 0))
composed("nanprod")(functools.partial(_without_nan, np.prod, 1))
composed("nancumsum")(functools.partial(_without_nan, np.cumsum, 0))
composed("nancumprod")(functools.partial(_without_nan, np.cumprod, 1))


@composed("nanmean")
def _nanmean(a: Any, axis: Any = None, *, keepdims: bool = False, where: Any = True) -> Any:
    return _mean(a, axis, keepdims, where=~np.isnan(values(a)) & where)


@composed("nanvar")
def _nanvar(
    a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True
) -> Any:
    return _moment(False, a, axis, ddof, keepdims, where=~np.isnan(values(a)) & where)


@composed("nanstd")
def _nanstd(
    a: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True
) -> Any:
    return _moment(True, a, axis, ddof, keepdims, where=~np.isnan(values(a)) & where)
