"""The table, first part: NumPy's functions, each beside its gradient rules.

A row is ``row(function, rule of operand 1, rule of operand 2, ...)``, a rule is
``rule(g, y, *inputs, **params)`` and plain NumPy: run on arrays it is fast, run on Tensors it
is recorded and can be differentiated again. ``g`` is the gradient of the result ``y``.

Conventions where there is no one derivative: equal maxima and minima share the gradient
evenly (np.max, np.maximum, np.fmax and their likes); a NaN that np.max or np.min gives gets
it, and where np.maximum or np.minimum gives one both operands get all of it, as in PyTorch;
|x|, sign, every norm, hypot, arctan2 and the standard deviation have gradient 0 at 0; clip
passes the gradient at its bounds, and beyond them to the bounds; an infinite operand of
logaddexp gets the gradient; equal elements keep their order in sort; steps (floor, round, sign)
have gradient 0.
"""

from __future__ import annotations

import functools
import math
import operator
import string
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .tensor import (
    OUT_PLACES,
    PLAIN,
    TABLE,
    Array,
    Op,
    Rule,
    Tensor,
    apply,
    call_text,
    came,
    operand,
    values,
)

__all__ = ["scatter_add", "unbroadcast"]

inf = np.inf


def row(
    function: Callable[..., Any],
    *rules: Rule | None,
    forward: Callable[..., Any] | None = None,
    name: str | None = None,
    elementwise: bool | None = None,
    **options: Any,
) -> Op:
    """Put a function of NumPy into the table; ufuncs of several operands are elementwise."""
    if elementwise is None:
        elementwise = isinstance(function, np.ufunc) and len(rules) > 1
    op = Op(
        name or function.__name__, forward or function, rules, elementwise=elementwise, **options
    )
    TABLE[function] = op
    return op


def composed(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a function of the same signature, written with other rows, stand for NumPy's.

    Of the names, as in ``"linalg.norm"``, those count that the installed NumPy has.
    """

    def put(stand_in: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            function: Any = np
            for part in name.split("."):
                function = getattr(function, part, None)
            if function is not None:
                TABLE[function] = stand_in
        return stand_in

    return put


# What NumPy has only in place, or not at all, and rules need ------------------------------


def _unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    if g.shape == shape:
        return g
    if g.ndim == 2 and shape == g.shape[1:] and g.dtype.char in "fd":
        return np.ones(len(g), g.dtype).dot(g)  # a bias: BLAS adds rows in a third of sum's time
    extra = g.ndim - len(shape)
    stretched = [extra + i for i, n in enumerate(shape) if n == 1 and g.shape[extra + i] != 1]
    return g.sum((*range(extra), *stretched)).reshape(shape)


UNBROADCAST = Op("unbroadcast", _unbroadcast, (lambda g, y, x, shape: np.broadcast_to(g, x.shape),))


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum ``g`` down to ``shape``, from which it was broadcast: the adjoint of broadcasting."""
    return apply(UNBROADCAST, (g,), {"shape": shape})


BASIC = frozenset({slice, int, type(None), type(Ellipsis)})


def is_basic(index: Any) -> bool:
    """Whether an index selects a view (slices, integers): no place twice."""
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
    """``np.add.at(out, rows, g)`` for whole rows, by sorting: 10 times as fast at 1,000 rows."""
    if not rows.size:
        return
    rows = rows.astype(np.intp, copy=False)  # a uint8 cannot hold the number of rows
    rows = np.where(rows < 0, rows + len(out), rows)
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    out[ordered[starts]] += np.add.reduceat(g[order], starts, axis=0)


SCATTER_ADD = Op(
    "scatter_add",
    _scatter_add,
    lambda g, y, *gs, indices, shape: [g[index] for index in indices],
)


def scatter_add(*gs: Any, indices: list[Any], shape: tuple[int, ...]) -> Any:
    """Zeros of ``shape`` to which each ``gs[k]`` is added at ``indices[k]``, repeats included.

    The adjoint of indexing; many slices of one array cost one array of zeros together.
    """
    return apply(SCATTER_ADD, gs, {"indices": list(indices), "shape": shape})


def _getitem_pool(uses: list[Any], x: Any) -> Any:
    return scatter_add(
        *(g for g, *_ in uses), indices=[p["index"] for _, p, *_ in uses], shape=x.shape
    )


def _getitem(x: Array, index: Any) -> Any:
    return x[index]


TABLE[operator.getitem] = Op(
    "getitem",
    _getitem,
    (lambda g, y, x, index: scatter_add(g, indices=[index], shape=x.shape),),
    pools=(_getitem_pool,),
)

TABLE[np.ndarray.astype] = Op(
    "astype", lambda x, dtype: x.astype(dtype), (lambda g, y, x, dtype: g.astype(x.dtype),)
)


# Arithmetic ---------------------------------------------------------------------------------


def zero(g: Any, y: Any, *inputs: Any, **params: Any) -> Any:
    """The rule of what is constant between its jumps."""
    zeros = np.zeros(g.shape, g.dtype)
    return Tensor(zeros) if isinstance(g, Tensor) else zeros


def _power_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):  # a number: spares the where of arrays
        return g * (b * a ** (b - 1)) if b else zero(g, y)
    return g * (b * a ** np.where(values(b) == 0, 1, b - 1))


def _power_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    # 0 where the logarithm is not real: 0**b has derivative 0 for b > 0.
    return g * (y * np.log(np.where(values(a) > 0, a, 1)))


def _extreme_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    """To the operand that the result is equal to; half each where both are."""
    y, a, b = values(y), values(a), values(b)
    # A NaN that is the result comes from either: as in PyTorch both get the whole gradient.
    return np.where(a == b, g * 0.5, np.where((a == y) | np.isnan(y), g, 0))


def _extreme_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    return _extreme_left(g, y, b, a)


row(np.add, lambda g, y, a, b: g, lambda g, y, a, b: g)
row(np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g)
row(np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
row(np.divide, lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
row(np.power, _power_base, _power_exponent, forward=operator.pow)
row(np.float_power, _power_base, _power_exponent)
row(np.negative, lambda g, y, x: -g)
row(np.positive, lambda g, y, x: g)
row(np.conjugate, lambda g, y, x: g)
row(np.real, lambda g, y, x: g)
row(np.imag, zero)
row(np.floor_divide, zero, zero)
row(np.remainder, lambda g, y, a, b: g, lambda g, y, a, b: -g * np.floor_divide(a, b))
row(np.fmod, lambda g, y, a, b: g, lambda g, y, a, b: -g * np.trunc(a / b))
for extreme in (np.maximum, np.minimum, np.fmax, np.fmin):
    row(extreme, _extreme_left, _extreme_right)


# Functions of each element ------------------------------------------------------------------


def off_zero(y: Any) -> Any:
    """``y`` with 1 in place of 0, to divide by where the gradient at 0 is 0."""
    return np.where(values(y) == 0, 1, y)


def _log_share(a: Any, y: Any) -> Any:
    """``a - y``, the logarithm of the part of a; it is 0 if a is inf, and -inf if both are -inf."""
    top = values(a) == inf
    return np.where(top, 0, a) - np.where(top | (values(y) == -inf), 0, y)


def _unit(x: Any, a: Any, b: Any) -> Any:
    """``x / (a² + b²)`` without an overflow, 0 at (0, 0)."""
    size = off_zero(np.hypot(a, b))
    return x / size / size


row(np.exp, lambda g, y, x: g * y)
row(np.exp2, lambda g, y, x: g * y * float(np.log(2)))
row(np.expm1, lambda g, y, x: g * np.exp(x))
row(np.log, lambda g, y, x: g / x)
row(np.log2, lambda g, y, x: g / (x * float(np.log(2))))
row(np.log10, lambda g, y, x: g / (x * float(np.log(10))))
row(np.log1p, lambda g, y, x: g / (1 + x))
row(np.sqrt, lambda g, y, x: g * 0.5 / y)
row(np.cbrt, lambda g, y, x: g / (3 * y * y))
row(np.square, lambda g, y, x: g * 2 * x)
row(np.reciprocal, lambda g, y, x: -g * y * y)
row(np.absolute, lambda g, y, x: g * np.sign(x), name="abs")
row(np.fabs, lambda g, y, x: g * np.sign(x))
for step in (np.sign, np.floor, np.ceil, np.trunc, np.rint, np.spacing):
    row(step, zero)
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
row(np.sin, lambda g, y, x: g * np.cos(x))
row(np.cos, lambda g, y, x: -g * np.sin(x))
row(np.tan, lambda g, y, x: g * (1 + y * y))
row(np.arcsin, lambda g, y, x: g / np.sqrt((1 - x) * (1 + x)))
row(np.arccos, lambda g, y, x: -g / np.sqrt((1 - x) * (1 + x)))
row(np.arctan, lambda g, y, x: g / np.hypot(x, 1) / np.hypot(x, 1))  # x * x would overflow
row(np.sinh, lambda g, y, x: g * np.cosh(x))
row(np.cosh, lambda g, y, x: g * np.sinh(x))
row(np.tanh, lambda g, y, x: g - g * y * y)
row(np.arcsinh, lambda g, y, x: g / np.hypot(x, 1))
row(np.arccosh, lambda g, y, x: g / np.sqrt((x - 1) * (x + 1)))
row(np.arctanh, lambda g, y, x: g / ((1 - x) * (1 + x)))
row(
    np.arctan2,
    lambda g, y, a, b: g * _unit(b, a, b),
    lambda g, y, a, b: -g * _unit(a, a, b),
)
row(
    np.hypot,
    lambda g, y, a, b: g * (a / off_zero(y)),
    lambda g, y, a, b: g * (b / off_zero(y)),
)
row(
    np.logaddexp,
    lambda g, y, a, b: g * np.exp(_log_share(a, y)),
    lambda g, y, a, b: g * np.exp(_log_share(b, y)),
)
row(
    np.logaddexp2,
    lambda g, y, a, b: g * np.exp2(_log_share(a, y)),
    lambda g, y, a, b: g * np.exp2(_log_share(b, y)),
)
row(
    np.where,
    None,
    lambda g, y, c, a, b: np.where(values(c), g, 0),
    lambda g, y, c, a, b: np.where(values(c), 0, g),
    elementwise=True,
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
            f"{', '.join(map(came, branches))} as branches"
        )
    return apply(where_row, (np.asarray(values(condition)), *map(operand, branches)))


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
)


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
    whole = np.iinfo(dtype) if dtype.kind in "iu" else None  # infinity would make floats of them
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
row(np.copy, lambda g, y, x: g, forward=lambda x: x.copy())


# Products -----------------------------------------------------------------------------------


def _rows(x: Any) -> Any:
    """(..., n) as (rows, n); the number of rows is counted, as -1 cannot stand for it at n = 0."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _matmul(a: Any, b: Any) -> Any:
    try:
        if a.ndim == 2 == b.ndim:
            return a.dot(b)  # the same product for a third of matmul's overhead
        if b.ndim == 2 < a.ndim:  # one product over all rows, not one for each matrix
            return _rows(a).dot(b).reshape(*a.shape[:-1], b.shape[-1])
    except AttributeError:  # a number has no ndim; NumPy says that it cannot be
        pass
    return np.matmul(a, b)


MANY = 1 << 18  # numbers: gradients of more are not gathered, or remembered when joined


class Workspace:
    """What the products of one pass back share.

    BLAS takes g @ Wᵀ for 16 to 128 rows in half the time when the transpose is contiguous, and
    a recurrent weight is used at every step. The gates of a cell read the same inputs, and a
    gate's three weights have the same gradients, so rows joined for one serve the others.
    """

    def __init__(self) -> None:
        self.transposes: dict[int, list[Any]] = {}  # id -> [array, its transpose or None]
        self.joins: dict[tuple[int, ...], tuple[Any, Any]] = {}  # ids -> (arrays, their rows)
        self.totals: dict[Any, Any] = {}  # a replayed step's plan -> its leaves' gradients

    def joined(self, arrays: list[Array]) -> Array:
        """``np.concatenate(arrays)``, remembered for the next few."""
        key = tuple(map(id, arrays))
        held = self.joins.get(key)
        if held is None and sum(a.size for a in arrays) > MANY:
            return np.concatenate(arrays)
        if held is None:
            if len(self.joins) == 8:  # a cell's gates ask within a few calls of each other
                del self.joins[next(iter(self.joins))]
            # The arrays are held, so that no other array can get the id of one of them.
            self.joins[key] = held = tuple(arrays), np.concatenate(arrays)
        return held[1]


workspace: ContextVar[Workspace | None] = ContextVar("unspool_workspace", default=None)


def transposed(b: Any) -> Any:
    """``b.T`` for a product with a gradient, from its second use in a pass on contiguous."""
    space = workspace.get()
    if space is None or isinstance(b, Tensor):
        return b.T
    held = space.transposes.get(id(b))
    if held is None:
        space.transposes[id(b)] = [b, None]
        return b.T
    if held[1] is None:
        held[1] = np.ascontiguousarray(b.T)
    return held[1]


def joined(arrays: list[Any]) -> Any:
    """The rows of all arrays below each other."""
    if len(arrays) == 1:
        return arrays[0]
    space = workspace.get()
    if space is None or isinstance(arrays[0], Tensor):
        return np.concatenate(arrays)
    return space.joined(arrays)


def _matmul_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 2 == b.ndim:
        return g.dot(transposed(b) if len(g) > 4 else b.T)
    if b.ndim == 1:
        return g[..., None] * b if a.ndim > 1 else g * b
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


def _matmul_right_pool(uses: list[Any], b: Any) -> Any:
    """A weight used at T steps: [x_1; ...; x_T]ᵀ [g_1; ...; g_T], one product for all."""
    if b.ndim != 2:
        parts = (unbroadcast(_matmul_right(g, y, *ab), shape=b.shape) for g, _, y, *ab in uses)
        return functools.reduce(operator.add, parts)
    rows = [_rows(a) for _, _, _, a, _ in uses]
    gs = [_rows(g) for g, *_ in uses]
    return np.dot(joined(rows).T, joined(gs))  # one may be an array and the other a Tensor


row(
    np.matmul,
    _matmul_left,
    _matmul_right,
    forward=_matmul,
    pools=(None, _matmul_right_pool),
    gather="rows",
)


def _run_einsum(*arrays: Array, subscripts: str) -> Array:
    big = max(x.size for x in arrays) > 4096  # then searching a BLAS path pays
    out: Array = np.einsum(subscripts, *arrays, optimize=big)
    return out


def _einsum_rule(k: int, g: Any, y: Any, *inputs: Any, subscripts: str) -> Any:
    left, out = subscripts.split("->")
    terms = left.split(",")
    others = [(t, x) for i, (t, x) in enumerate(zip(terms, inputs, strict=True)) if i != k]
    here = [c for c in terms[k] if c in out or any(c in t for t, _ in others)]
    equation = f"{','.join([out, *(t for t, _ in others)])}->{''.join(here)}"
    grad = np.einsum(equation, g, *(x for _, x in others))
    if grad.shape == inputs[k].shape:
        return grad
    # Along a letter that only this operand has, or has in full, the gradient is the same.
    kept = iter(grad.shape)
    grad = grad.reshape(tuple(next(kept) if c in here else 1 for c in terms[k]))
    return np.broadcast_to(grad, np.broadcast_shapes(grad.shape, inputs[k].shape))


EINSUM = Op(
    "einsum",
    _run_einsum,
    tuple(functools.partial(_einsum_rule, k) for k in range(63)),  # as many as NumPy takes
    elementwise=True,
)


@composed("einsum")
def _einsum(subscripts: str, *operands: Any, optimize: Any = None) -> Any:
    if not isinstance(subscripts, str):
        raise TypeError('np.einsum on Tensors takes its subscripts as a string, "ij,jk->ik"')
    arrays = [operand(x) for x in operands]
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(arrays) or len(arrays) > len(EINSUM.pairs):
        raise ValueError(
            f"{call_text('einsum', arrays)}: {subscripts!r} is for {len(terms)} operands, got "
            f"{len(arrays)}; each has one term, and {len(EINSUM.pairs)} is the most"
        )
    spare = [c for c in string.ascii_letters if c not in subscripts]
    widest = max(
        (x.ndim - len(t) + 3 for t, x in zip(terms, arrays, strict=True) if "..." in t), default=0
    )
    dots = "".join(spare[:widest])
    for i, (t, x) in enumerate(zip(terms, arrays, strict=True)):
        if "..." in t:
            n = x.ndim - len(t) + 3
            terms[i] = t.replace("...", dots[len(dots) - n :])
    if not arrow:
        used = [c for c in left if c.isalpha()]
        out = dots + "".join(sorted(c for c in set(used) if used.count(c) == 1))
    elif dots and "..." not in out:
        raise ValueError(f"einsum {subscripts!r}: the axes of ... must stand in the result too")
    out = out.replace("...", dots)
    for i, t in enumerate(terms):  # a letter twice in one term is a diagonal
        while len(set(t)) < len(t):
            c = next(c for c in t if t.count(c) > 1)
            first, second = t.index(c), t.index(c, t.index(c) + 1)
            arrays[i] = np.diagonal(arrays[i], 0, first, second)
            t = "".join(d for j, d in enumerate(t) if j not in (first, second)) + c
        terms[i] = t
    return apply(EINSUM, tuple(arrays), {"subscripts": f"{','.join(terms)}->{out}"})


# Reductions ---------------------------------------------------------------------------------


def _axes(x: Any, axis: Any) -> tuple[int, ...]:
    if axis is None or not x.ndim:  # NumPy takes axis 0 and -1 of a number too
        return tuple(range(x.ndim))
    return tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _kept(r: Any, x: Any, axis: Any) -> Any:
    """A reduction's result (or gradient) with the reduced axes put back as length 1."""
    axes = _axes(x, axis)
    return r.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x: Any, axis: Any, ddof: int = 0) -> int:
    """How many elements each result is of, less ddof; at least 1, to divide by."""
    return max(math.prod([x.shape[a] for a in _axes(x, axis)]) - ddof, 1)


def _sum_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.broadcast_to(_kept(g, x, axis), x.shape)


def _mean_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.broadcast_to(_kept(g, x, axis) / _count(x, axis), x.shape)


def _extreme_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    top = values(_kept(y, x, axis))
    chosen = values(x) == top
    if np.isnan(top).any():  # a NaN is what the result is, and gets the gradient
        chosen |= np.isnan(values(x)) & np.isnan(top)
    ties = np.maximum(chosen.sum(_axes(x, axis), keepdims=True), 1)  # 0 of no elements
    return np.where(chosen, _kept(g, x, axis) / ties.astype(g.dtype), 0)


def _spread(x: Any, axis: Any) -> Any:
    return x - np.mean(x, axis=axis, keepdims=True)


def _var_rule(
    g: Any, y: Any, x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False
) -> Any:
    return _kept(g, x, axis) * (2 / _count(x, axis, ddof)) * _spread(x, axis)


def _std_rule(
    g: Any, y: Any, x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False
) -> Any:
    scale = _kept(g, x, axis) / (off_zero(_kept(y, x, axis)) * _count(x, axis, ddof))
    return scale * _spread(x, axis)


def _ones_on_diagonal(x: Any) -> Any:
    """``x`` (..., n) as (..., n, n), row i with 1 in place of element i."""
    return np.where(np.eye(x.shape[-1], dtype=bool), 1, x[..., None, :])


def _prod_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if np.all(values(x) != 0):
        return _kept(g, x, axis) * _kept(y, x, axis) / x
    # The product of all others, without a division by the zeros.
    axes = _axes(x, axis)
    rest = [i for i in range(x.ndim) if i not in axes]
    order = (*rest, *axes)
    moved = np.transpose(x, order)
    flat = moved.reshape((*(x.shape[i] for i in rest), -1))
    others = np.prod(_ones_on_diagonal(flat), axis=-1).reshape(moved.shape)
    return _kept(g, x, axis) * np.transpose(others, tuple(np.argsort(order)))


def _reversed_cumsum(g: Any, axis: int) -> Any:
    return np.flip(np.cumsum(np.flip(g, axis), axis=axis), axis)


def _cumsum_rule(g: Any, y: Any, x: Any, axis: int | None = None) -> Any:
    return _reversed_cumsum(g, 0 if axis is None else axis).reshape(x.shape)


def _cumprod_rule(g: Any, y: Any, x: Any, axis: int | None = None) -> Any:
    if axis is None or not x.ndim:
        return _cumprod_rule(g, y, x.reshape(-1), 0).reshape(x.shape)
    if np.all(values(x) != 0):
        return _reversed_cumsum(g * y, axis) / x
    rows = np.cumprod(_ones_on_diagonal(np.swapaxes(x, axis, -1)), axis=-1)  # (..., i, j)
    later = np.triu(np.ones(rows.shape[-2:], bool))
    swapped = np.swapaxes(g, axis, -1)[..., None, :]
    return np.swapaxes((np.where(later, rows, 0) * swapped).sum(-1), axis, -1)


def _norm_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return _kept(g, x, axis) * (x / off_zero(_kept(y, x, axis)))


def _run_norm(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    largest = np.max(np.abs(x), axis=axis, keepdims=True, initial=0)
    scale = np.where((largest == 0) | ~np.isfinite(largest), 1, largest)  # no overflow of squares
    total = np.sqrt(np.square(x / scale).sum(axis=axis, keepdims=True)) * scale
    return total if keepdims else total.squeeze(axis)


row(np.sum, _sum_rule, names="axis keepdims initial where")
row(np.mean, _mean_rule, names="axis keepdims where")
row(np.max, _extreme_rule, names="axis keepdims initial where")
row(np.min, _extreme_rule, names="axis keepdims initial where")
TABLE[np.amax], TABLE[np.amin] = TABLE[np.max], TABLE[np.min]
row(np.nanmax, _extreme_rule, names="axis keepdims")
row(np.nanmin, _extreme_rule, names="axis keepdims")
row(np.prod, _prod_rule, names="axis keepdims initial where")
row(np.var, _var_rule, names="axis ddof keepdims where mean correction")
row(np.std, _std_rule, names="axis ddof keepdims where mean correction")
row(np.cumsum, _cumsum_rule, names="axis")
row(np.cumprod, _cumprod_rule, names="axis")
NORM = Op("norm", _run_norm, (_norm_rule,))


# Shape --------------------------------------------------------------------------------------


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
row(
    np.swapaxes,
    lambda g, y, x, axis1, axis2: np.swapaxes(g, axis1, axis2),
    names="axis1 axis2",
)
row(
    np.moveaxis,
    lambda g, y, x, source, destination: np.moveaxis(g, destination, source),
    names="source destination",
)
row(np.broadcast_to, lambda g, y, x, shape: g, names="shape", elementwise=True)
row(np.flip, lambda g, y, x, axis=None: np.flip(g, axis), names="axis")
row(
    np.roll,
    lambda g, y, x, shift, axis=None: np.roll(
        g, [-s for s in shift] if isinstance(shift, (tuple, list)) else -shift, axis
    ),
    names="shift axis",
)
# A vector is made the rows of a square matrix: hence elementwise.
row(np.tril, lambda g, y, x, k=0: np.tril(g, k), names="k", elementwise=True)
row(np.triu, lambda g, y, x, k=0: np.triu(g, k), names="k", elementwise=True)


def _concatenate_rule(g: Any, y: Any, *xs: Any, axis: int = 0) -> list[Any]:
    before = (slice(None),) * (axis % g.ndim)
    ends = np.cumsum([x.shape[axis] for x in xs]).tolist()
    return [g[(*before, slice(a, b))] for a, b in zip([0, *ends], ends, strict=False)]


def _stack_rule(g: Any, y: Any, *xs: Any, axis: int = 0) -> list[Any]:
    before = (slice(None),) * (axis % g.ndim)
    return [g[(*before, i)] for i in range(len(xs))]


CONCATENATE = Op("concatenate", lambda *xs, axis=0: np.concatenate(xs, axis), _concatenate_rule)
STACK = Op("stack", lambda *xs, axis=0: np.stack(xs, axis), _stack_rule)


@composed("concatenate")
def _concatenate(arrays: Any, axis: int | None = 0) -> Any:
    if not hasattr(arrays, "__getitem__"):  # NumPy has read a generator to its end already
        raise TypeError(f"np.concatenate: expected a list or tuple of arrays, got {came(arrays)}")
    parts = tuple(map(operand, arrays))
    if axis is None:
        parts, axis = tuple(np.reshape(x, -1) for x in parts), 0
    return apply(CONCATENATE, parts, {"axis": axis})


@composed("stack")
def _stack(arrays: Any, axis: int = 0) -> Any:
    return apply(STACK, tuple(map(operand, arrays)), {"axis": axis})


# What gathers: the gradient is a scatter_add at the same places ------------------------------


def _positions(x: Any, gather: Callable[[Array], Array]) -> Array:
    """Where each element of a gathered result came from, as flat positions in x."""
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
    """The index that selects from x what np.take does."""
    indices = np.asarray(indices).astype(np.intp)  # True is 1; a uint8 cannot hold the size
    if axis is None:
        return np.unravel_index(indices % max(x.size, 1), x.shape)
    return (*(slice(None),) * (axis % x.ndim), indices)


def _take_pool(uses: list[Any], x: Any) -> Any:
    if not x.ndim:
        return functools.reduce(operator.add, [np.sum(g) for g, *_ in uses])
    indices = [_taken(x, **params) for _, params, *_ in uses]
    return scatter_add(*(g for g, *_ in uses), indices=indices, shape=x.shape)


def _taken_along(x: Any, indices: Any, axis: int | None = -1) -> Array:
    """The flat positions in x of what np.take_along_axis selects."""
    indices = np.asarray(indices).astype(np.intp)
    if axis is None or not x.size:
        return indices.reshape(-1) % max(x.size, 1)
    grid = list(np.ix_(*map(np.arange, x.shape)))
    grid[axis] = indices
    return np.ravel_multi_index(tuple(grid), x.shape, mode="wrap").reshape(-1)


def _take_along_pool(uses: list[Any], x: Any) -> Any:
    places = [_taken_along(x, **params) for _, params, *_ in uses]
    gs = [g.reshape(-1) for g, *_ in uses]
    return scatter_add(*gs, indices=places, shape=(x.size,)).reshape(x.shape)


row(
    np.take,
    lambda g, y, x, **params: _take_pool([(g, params)], x),
    pools=(_take_pool,),
    names="indices axis",
)
row(
    np.take_along_axis,
    lambda g, y, x, **params: _take_along_pool([(g, params)], x),
    pools=(_take_along_pool,),
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
    padded: Array = np.pad(x, pad_width, mode, **kw)
    return padded


row(np.pad, _pad_rule, forward=_run_pad, names="pad_width mode constant_values")


# Small linear algebra -------------------------------------------------------------------------


def _swap(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _solve_right(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:  # one vector for all the matrices a: g is a stack of vectors
        return np.linalg.solve(_swap(a), g[..., None])[..., 0]
    return np.linalg.solve(_swap(a), g)


def _solve_left(g: Any, y: Any, a: Any, b: Any) -> Any:
    gb = _solve_right(g, y, a, b)
    if b.ndim == 1:
        return -(gb[..., :, None] * y[..., None, :])
    return -np.matmul(gb, _swap(y))


row(np.linalg.inv, lambda g, y, x: -np.matmul(np.matmul(_swap(y), g), _swap(y)))
row(np.linalg.det, lambda g, y, x: (g * y)[..., None, None] * _swap(np.linalg.inv(x)))
row(np.linalg.solve, _solve_left, _solve_right, elementwise=True)


# What has integers, booleans or shapes for a result --------------------------------------------

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
