"""The table of ops: the NumPy functions that networks use, each with its gradient rules.

A row is ``row(function, rule of operand 1, rule of operand 2, ...)``, a rule is
``rule(g, y, *inputs, **params)`` and plain NumPy: run on arrays it is fast, run on Tensors it
is recorded and can be differentiated again. ``g`` is the gradient of the result ``y``. Where a
rule reads ``values(x)``, the numbers only select, and selecting has no gradient. The adjoint of a
linear op is the op that carries gradients back through it: summing for broadcasting.

Conventions where the derivative is not unique, here and in ``numpy_more``:

- Equal maxima or minima share the gradient evenly. A NaN that np.max or np.min returns gets it;
  where np.maximum or np.minimum returns one, both operands get all of it, as in PyTorch.
- |x|, sign, norms, hypot, arctan2 and the standard deviation have gradient 0 at 0.
- clip passes the gradient on to x within its bounds and at them, outside to the bound.
- An infinite operand of logaddexp gets the gradient; equal elements keep their order in sort.
- Step functions (floor, round, sign) have gradient 0.

``joined`` concatenates rows and ``transposed`` copies a transpose, once a pass (``workspace``).
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks import wrong_type
from .tensor import TABLE, Array, Op, Rule, Tensor, apply, operand, values
from .workspace import joined, transposed

inf = np.inf


def row(
    function: Callable[..., Any],
    *rules: Rule | None,
    forward: Callable[..., Any] | None = None,
    name: str | None = None,
    elementwise: bool | None = None,
    **options: Any,
) -> Op:
    """Put a function of NumPy into the table; ufuncs of several operands are elementwise.

    np.matmul too, which broadcasts the axes in front of the last two.
    """
    if elementwise is None:
        elementwise = isinstance(function, np.ufunc) and len(rules) > 1
    op = Op(
        name or function.__name__, forward or function, rules, elementwise=elementwise, **options
    )
    TABLE[function] = op
    return op


def composed(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function of the same signature, written with other rows, into the table.

    It stands for NumPy's functions of these names, such as ``"linalg.norm"``; a name that the
    installed NumPy lacks is skipped.
    """

    def register(stand_in: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            function: Any = np
            for part in name.split("."):
                function = getattr(function, part, None)
            if function is not None:
                TABLE[function] = stand_in
        return stand_in

    return register


# Arithmetic -------------------------------------------------------------------------------------


def zero(g: Any, y: Any, *inputs: Any, **params: Any) -> Any:
    """The rule of step functions: zero gradient."""
    zeros = np.zeros(g.shape, g.dtype)
    return Tensor(zeros) if isinstance(g, Tensor) else zeros


def power_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    """b a^(b-1), 0 for b = 0."""
    if isinstance(b, (int, float)):  # a number: no np.where needed
        return g * (b * a ** (b - 1)) if b else zero(g, y)
    return g * (b * a ** np.where(values(b) == 0, 1, b - 1))


def power_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    """a^b log a, 0 where the logarithm is not real: 0^b has derivative 0 for b > 0."""
    return g * (y * np.log(np.where(values(a) > 0, a, 1)))


def extreme_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    """The gradient where a is the result; half of it where both operands are."""
    y, a, b = values(y), values(a), values(b)
    # A result of NaN may come from either operand: as in PyTorch both get the whole gradient.
    return np.where(a == b, g * 0.5, np.where((a == y) | np.isnan(y), g, 0))


def extreme_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    """The gradient where b is the result; half of it where both operands are."""
    return extreme_left(g, y, b, a)


row(np.add, lambda g, y, a, b: g, lambda g, y, a, b: g)
row(np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g)
row(np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
row(np.divide, lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
row(np.power, power_base, power_exponent, forward=operator.pow, pointwise=True)
row(np.negative, lambda g, y, x: -g)
row(np.positive, lambda g, y, x: g)
for extreme in (np.maximum, np.minimum):
    # Their third argument is not always the output: NumPy wants its name.
    row(
        extreme,
        extreme_left,
        extreme_right,
        into=lambda a, b, out, extreme=extreme: extreme(a, b, out=out),
    )


# Functions of each element ----------------------------------------------------------------------

row(np.exp, lambda g, y, x: g * y)
row(np.expm1, lambda g, y, x: g * np.exp(x))
row(np.log, lambda g, y, x: g / x)
row(np.log1p, lambda g, y, x: g / (1 + x))
row(np.sqrt, lambda g, y, x: g * 0.5 / y)
row(np.square, lambda g, y, x: g * 2 * x)
row(np.reciprocal, lambda g, y, x: -g * y * y)
row(np.absolute, lambda g, y, x: g * np.sign(x), name="abs")
row(np.sin, lambda g, y, x: g * np.cos(x))
row(np.cos, lambda g, y, x: -g * np.sin(x))
row(np.tanh, lambda g, y, x: g - g * y * y)
row(np.copy, lambda g, y, x: g, forward=lambda x: x.copy())
for step in (np.sign, np.floor, np.ceil, np.trunc, np.rint):
    row(step, zero)
row(
    np.where,
    None,
    lambda g, y, c, a, b: np.where(values(c), g, 0),
    lambda g, y, c, a, b: np.where(values(c), 0, g),
    elementwise=True,
    pointwise=True,
)


def _inside(x: Any, low: Any, high: Any) -> Any:
    return (values(x) >= values(low)) & (values(x) <= values(high))


def _above(x: Any, low: Any, high: Any) -> Any:
    """Where the result is the high bound, which may lie below the low one."""
    return np.maximum(values(x), values(low)) > values(high)


def _below(x: Any, low: Any, high: Any) -> Any:
    return (values(x) < values(low)) & np.logical_not(_above(x, low, high))


CLIP = Op(
    "clip",
    lambda x, low, high: np.clip(x, low, high),
    (
        lambda g, y, x, low, high: np.where(_inside(x, low, high), g, 0),
        lambda g, y, x, low, high: np.where(_below(x, low, high), g, 0),
        lambda g, y, x, low, high: np.where(_above(x, low, high), g, 0),
    ),
    elementwise=True,
    pointwise=True,
)

# Products ---------------------------------------------------------------------------------------


def _rows(x: Any) -> Any:
    """(..., n) as (rows, n); the rows are counted, as -1 is ambiguous at n = 0."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _matmul(a: Any, b: Any) -> Any:
    try:
        if a.ndim == 2 == b.ndim:
            return a.dot(b)  # the same product for a third of matmul's overhead
        if b.ndim == 2 < a.ndim:  # one product over all rows, not one for each matrix
            return _rows(a).dot(b).reshape(*a.shape[:-1], b.shape[-1])
    except AttributeError:  # a number has no ndim; np.matmul raises
        pass
    return np.matmul(a, b)


def _matmul_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 2 == b.ndim:
        return g.dot(transposed(b) if len(g) > 4 else b.T)  # a copy pays from 5 rows on
    if b.ndim == 1:
        return g[..., None] * b if a.ndim > 1 else g * b
    if a.ndim == 1 and b.ndim == 2:
        return np.matmul(g, b.T)
    if a.ndim == 1:
        g = g[..., None, :]
    out = np.matmul(g, np.swapaxes(b, -1, -2))
    return out[..., 0, :] if a.ndim == 1 else out


def _matmul_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1:
        return a[:, None] * g[..., None, :] if b.ndim > 1 else g * a
    if b.ndim == 1:
        g = g[..., None]
    out = np.matmul(np.swapaxes(a, -1, -2), g)
    return out[..., 0] if b.ndim == 1 else out


def _matmul_right_batch(contributions: list[Any], b: Any) -> Any:
    """A weight used at T steps: [x_1; ...; x_T]ᵀ [g_1; ...; g_T], one product for all."""
    if b.ndim != 2:
        parts = (
            unbroadcast(_matmul_right(g, y, *ab), shape=b.shape) for g, _, y, *ab in contributions
        )
        return functools.reduce(operator.add, parts)
    rows = [_rows(a) for _, _, _, a, _ in contributions]
    gs = [_rows(g) for g, *_ in contributions]
    return np.dot(joined(rows).T, joined(gs))  # one may be an array and the other a Tensor


row(
    np.matmul,
    _matmul_left,
    _matmul_right,
    forward=_matmul,
    batch_rules=(None, _matmul_right_batch),
    buffer_until="rows",
)

# Reductions -------------------------------------------------------------------------------------


def reduced_axes(x: Any, axis: Any) -> tuple[int, ...]:
    """The axes of a reduction, counted from 0."""
    if axis is None or not x.ndim:  # NumPy takes axis 0 and -1 of a number too
        return tuple(range(x.ndim))
    return tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def restore_axes(r: Any, x: Any, axis: Any) -> Any:
    """A reduction's result (or gradient) with the reduced axes restored as length 1."""
    axes = reduced_axes(x, axis)
    return r.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x: Any, axis: Any) -> int:
    """The number of elements of each reduction."""
    return math.prod([x.shape[a] for a in reduced_axes(x, axis)])


def _sum_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None and type(g) is np.ndarray:  # np.broadcast_to takes five times as long
        spread = np.ndarray(x.shape, g.dtype, g, strides=(0,) * x.ndim)
        spread.flags.writeable = False
        return spread
    return np.broadcast_to(restore_axes(g, x, axis), x.shape)


def _mean_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.broadcast_to(restore_axes(g, x, axis) / max(_count(x, axis), 1), x.shape)


def extreme_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The gradient at the maximum (or minimum), shared evenly by equal ones."""
    top = values(restore_axes(y, x, axis))
    chosen = values(x) == top
    if np.isnan(top).any():  # a NaN that is the result gets the gradient
        chosen |= np.isnan(values(x)) & np.isnan(top)
    ties = np.maximum(chosen.sum(reduced_axes(x, axis), keepdims=True), 1)  # 0 if x is empty
    return np.where(chosen, restore_axes(g, x, axis) / ties.astype(g.dtype), 0)


def off_zero(y: Any) -> Any:
    """``y`` with 1 in place of 0: a divisor where the gradient at 0 is 0."""
    return np.where(values(y) == 0, 1, y)


def ratio(a: Any, y: Any) -> Any:
    """``a / y``, and 0 where y is 0, with all derivatives 0 there too."""
    return np.where(values(y) == 0, 0, a / off_zero(y))


def _spread(x: Any, axis: Any) -> Any:
    return x - np.mean(x, axis=axis, keepdims=True)


def _var_rule(
    g: Any, y: Any, x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False
) -> Any:
    freedom = _count(x, axis) - ddof  # from 0 down the variance is infinite, and its gradient
    factor = 2 / freedom if freedom > 0 else inf
    return restore_axes(g, x, axis) * factor * _spread(x, axis)


def _std_rule(
    g: Any, y: Any, x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False
) -> Any:
    freedom = max(_count(x, axis) - ddof, 0)
    return restore_axes(g / freedom, x, axis) * ratio(_spread(x, axis), restore_axes(y, x, axis))


def reversed_cumsum(g: Any, axis: int) -> Any:
    """The cumulative sum from the end: the adjoint of np.cumsum."""
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)


def _cumsum_rule(g: Any, y: Any, x: Any, axis: int | None = None) -> Any:
    return reversed_cumsum(g, 0 if axis is None else axis).reshape(x.shape)


row(np.sum, _sum_rule, names="axis keepdims initial where")
row(np.mean, _mean_rule, names="axis keepdims where")
row(np.max, extreme_rule, names="axis keepdims initial where")
row(np.min, extreme_rule, names="axis keepdims initial where")
TABLE[np.amax], TABLE[np.amin] = TABLE[np.max], TABLE[np.min]
row(np.var, _var_rule, names="axis ddof keepdims where mean correction")
row(np.std, _std_rule, names="axis ddof keepdims where mean correction")
row(np.cumsum, _cumsum_rule, names="axis")

# Shape ------------------------------------------------------------------------------------------


def _reshape_like(g: Any, y: Any, x: Any, **_: Any) -> Any:
    return g.reshape(x.shape)


def _transpose_rule(g: Any, y: Any, x: Any, axes: Any = None) -> Any:
    if axes is None:
        return np.transpose(g)
    return np.transpose(g, tuple(int(i) for i in np.argsort([a % x.ndim for a in axes])))


row(np.reshape, _reshape_like, names="shape order", forward=lambda x, shape: x.reshape(shape))
row(np.ravel, _reshape_like, names="order")
row(np.expand_dims, _reshape_like, names="axis")
row(np.squeeze, _reshape_like, names="axis")
row(np.transpose, _transpose_rule, names="axes", forward=lambda x, axes=None: x.transpose(axes))
row(np.swapaxes, lambda g, y, x, axis1, axis2: np.swapaxes(g, axis1, axis2), names="axis1 axis2")
row(
    np.moveaxis,
    lambda g, y, x, source, destination: np.moveaxis(g, destination, source),
    names="source destination",
)
row(np.broadcast_to, lambda g, y, x, shape: g, names="shape", elementwise=True)
row(np.flip, lambda g, y, x, axis=None: np.flip(g, axis), names="axis")


def _concatenate_rule(g: Any, y: Any, *xs: Any, axis: int = 0) -> list[Any]:
    before = (slice(None),) * (axis % g.ndim)
    ends = np.cumsum([x.shape[axis] for x in xs]).tolist()
    return [g[(*before, slice(a, b))] for a, b in zip([0, *ends], ends, strict=False)]


def _stack_rule(g: Any, y: Any, *xs: Any, axis: int = 0) -> list[Any]:
    before = (slice(None),) * (axis % g.ndim)
    return [g[(*before, i)] for i in range(len(xs))]


# The op that ``np.concatenate`` and its relatives record.
CONCATENATE = Op("concatenate", lambda *xs, axis=0: np.concatenate(xs, axis), _concatenate_rule)
STACK = Op("stack", lambda *xs, axis=0: np.stack(xs, axis), _stack_rule)


@composed("concatenate")
def _concatenate(arrays: Any, axis: int | None = 0) -> Any:
    if not hasattr(arrays, "__getitem__"):  # NumPy has already exhausted a generator
        raise wrong_type("np.concatenate: expected a list or tuple of arrays", arrays)
    parts = tuple(map(operand, arrays))
    if axis is None:
        parts, axis = tuple(np.reshape(x, -1) for x in parts), 0
    return apply(CONCATENATE, parts, {"axis": axis})


composed("stack")(lambda arrays, axis=0: apply(STACK, tuple(map(operand, arrays)), {"axis": axis}))


# Indexing, broadcasting and dtypes: adjoints that NumPy lacks or has only in place -------------


def _unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    if g.shape == shape:
        return g
    if g.ndim == 2 and shape == g.shape[1:] and g.dtype.char in "fd":
        return np.ones(len(g), g.dtype).dot(g)  # a bias: as a product, in a third of sum's time
    extra = g.ndim - len(shape)
    stretched = [extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1]
    return g.sum((*range(extra), *stretched)).reshape(shape)


UNBROADCAST = Op("unbroadcast", _unbroadcast, (lambda g, y, x, shape: np.broadcast_to(g, x.shape),))


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum ``g`` down to ``shape``, from which it was broadcast: the adjoint of broadcasting."""
    return apply(UNBROADCAST, (g,), {"shape": shape})


BASIC = frozenset({slice, int, type(None), type(Ellipsis)})


def is_basic(index: Any) -> bool:
    """Whether an index selects a view (slices, integers), so that no element is selected twice."""
    for part in index if isinstance(index, tuple) else (index,):
        if type(part) not in BASIC and not isinstance(part, np.integer):
            return False
    return True


def _scatter_add(*gs: Array, indices: list[Any], shape: tuple[int, ...]) -> Array:
    out = np.zeros(shape, gs[0].dtype)
    for index, g in zip(indices, gs, strict=True):
        if is_basic(index):
            out[index] += g
        elif isinstance(index, np.ndarray) and index.dtype.kind in "iu" and g.ndim > index.ndim:
            add_rows(out, index.reshape(-1), g.reshape(index.size, *shape[1:]))
        else:
            np.add.at(out, index, g)
    return out


def add_rows(out: Array, rows: Array, g: Array) -> None:
    """``np.add.at(out, rows, g)`` for an integer array of rows: 10 times as fast at 1,000 rows."""
    if not rows.size:
        return
    rows = rows.astype(np.intp, copy=False)  # a uint8 cannot hold the number of rows
    rows = np.where(rows < 0, rows + len(out), rows)
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    out[ordered[starts]] += np.add.reduceat(g[order], starts, axis=0)


SCATTER_ADD = Op(
    "scatter_add", _scatter_add, lambda g, y, *gs, indices, shape: [g[index] for index in indices]
)


def scatter_add(*gs: Any, indices: list[Any], shape: tuple[int, ...]) -> Any:
    """Zeros of ``shape`` to which each ``gs[k]`` is added at ``indices[k]``, repeats included.

    The adjoint of indexing; many slices of one array cost one array of zeros together.
    """
    return apply(SCATTER_ADD, gs, {"indices": list(indices), "shape": shape})


def gather_op(name: str, key: str, forward: Callable[..., Any]) -> Op:
    """An op that indexes its operand by the metadata named ``key``."""

    def batch_rule(contributions: list[Any], x: Any) -> Any:
        indices = [params[key] for _, params, *_ in contributions]
        return scatter_add(*(g for g, *_ in contributions), indices=indices, shape=x.shape)

    return Op(
        name,
        forward,
        (lambda g, y, x, **params: batch_rule([(g, params)], x),),
        batch_rules=(batch_rule,),
    )


TABLE[operator.getitem] = gather_op("getitem", "index", lambda x, index: x[index])
TABLE[np.ndarray.astype] = Op(
    "astype", lambda x, dtype: x.astype(dtype), (lambda g, y, x, dtype: g.astype(x.dtype),)
)
