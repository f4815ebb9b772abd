"""The table, third part: products and norms, from ``np.einsum`` and ``np.dot`` to ``np.linalg``."""

from __future__ import annotations

import functools
import math
import string
from typing import Any

import numpy as np

from .messages import call_text
from .numpy_core import composed, off_zero, restore_axes, row
from .tensor import TABLE, Array, Op, apply, operand, values

inf = np.inf


# einsum -----------------------------------------------------------------------------------------


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
    # Along a letter that only this operand has, or where the others have length 1, the gradient
    # is constant.
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
    if len(terms) != len(arrays) or len(arrays) > len(EINSUM.operand_rules):
        raise ValueError(
            f"{call_text('einsum', arrays)}: {subscripts!r} is for {len(terms)} operands, got "
            f"{len(arrays)}; each has one term, and {len(EINSUM.operand_rules)} is the most"
        )
    dots = _name_ellipses(terms, arrays, subscripts)
    if not arrow:
        used = [c for c in left if c.isalpha()]
        out = dots + "".join(sorted(c for c in set(used) if used.count(c) == 1))
    elif dots and "..." not in out:
        raise ValueError(f"einsum {subscripts!r}: the axes of ... must stand in the result too")
    out = out.replace("...", dots)
    for i, (term, x) in enumerate(zip(terms, arrays, strict=True)):
        terms[i], arrays[i] = _take_diagonals(term, x)
    return apply(EINSUM, tuple(arrays), {"subscripts": f"{','.join(terms)}->{out}"})


def _name_ellipses(terms: list[str], arrays: list[Any], subscripts: str) -> str:
    """Replace each ... of the terms by letters, one for each of its axes; returns the longest."""
    spare = [c for c in string.ascii_letters if c not in subscripts]
    widths = {
        i: x.ndim - len(term) + 3
        for i, (term, x) in enumerate(zip(terms, arrays, strict=True))
        if "..." in term
    }
    dots = "".join(spare[: max(widths.values(), default=0)])
    for i, n in widths.items():
        terms[i] = terms[i].replace("...", dots[len(dots) - n :])
    return dots


def _take_diagonals(term: str, x: Any) -> tuple[str, Any]:
    """A term without repeated letters, and the diagonal of x that it indexes."""
    while len(set(term)) < len(term):
        c = next(c for c in term if term.count(c) > 1)
        first, second = term.index(c), term.index(c, term.index(c) + 1)
        x = np.diagonal(x, 0, first, second)
        term = "".join(d for j, d in enumerate(term) if j not in (first, second)) + c
    return term, x


# Products ---------------------------------------------------------------------------------------


@composed("dot")
def _dot(a: Any, b: Any) -> Any:
    a, b = operand(a), operand(b)
    if np.ndim(values(a)) == 0 or np.ndim(values(b)) == 0:
        return np.multiply(a, b)
    if b.ndim == 1 or (b.ndim == 2 and a.ndim <= 2):
        return np.matmul(a, b)
    return _contracted("dot", a, b, [-1], [-2])


@composed("inner")
def _inner(a: Any, b: Any) -> Any:
    a, b = operand(a), operand(b)
    if np.ndim(values(a)) == 0 or np.ndim(values(b)) == 0:
        return np.multiply(a, b)
    return _contracted("inner", a, b, [-1], [-1])


@composed("tensordot", "linalg.tensordot")
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = operand(a), operand(b)
    if isinstance(axes, (int, np.integer)):
        left, right = list(range(a.ndim - axes, a.ndim)), list(range(axes))
    else:
        left, right = ([x] if isinstance(x, int) else list(x) for x in axes)
    return _contracted("tensordot", a, b, left, right)


def _contracted(who: str, a: Any, b: Any, left: list[int], right: list[int]) -> Any:
    """The sum over axes of a, each paired with one of b."""
    of_left = [a.shape[i] for i in left if -a.ndim <= i < a.ndim]
    of_right = [b.shape[i] for i in right if -b.ndim <= i < b.ndim]
    if of_left != of_right or not len(left) == len(right) == len(of_left):
        raise ValueError(
            f"{call_text(who, (a, b))}: the axes {left} of the left and {right} of "
            f"the right must be there and of equal lengths, got {of_left} and {of_right}"
        )
    letters = string.ascii_letters
    of_a = list(letters[: a.ndim])
    of_b = list(letters[a.ndim : a.ndim + b.ndim])
    for i, j in zip(left, right, strict=True):
        of_b[j] = of_a[i]
    kept = [x for x in of_a + of_b if (x in of_a) != (x in of_b)]
    return np.einsum(f"{''.join(of_a)},{''.join(of_b)}->{''.join(kept)}", a, b)


@composed("outer", "linalg.outer")
def _outer(a: Any, b: Any) -> Any:
    return np.multiply(np.reshape(a, (-1, 1)), np.reshape(b, (1, -1)))


composed("vdot")(lambda a, b: np.matmul(np.reshape(a, -1), np.reshape(b, -1)))


@composed("vecdot", "linalg.vecdot")
def _vecdot(x1: Any, x2: Any, axis: int = -1) -> Any:
    a, b = np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)
    return np.matmul(a[..., None, :], b[..., None])[..., 0, 0]


composed("matvec")(lambda x1, x2: np.matmul(x1, operand(x2)[..., None])[..., 0])
composed("vecmat")(lambda x1, x2: np.matmul(operand(x1)[..., None, :], x2)[..., 0, :])


TABLE[np.linalg.matmul] = TABLE[np.matmul]


@composed("linalg.multi_dot")
def _multi_dot(arrays: Any) -> Any:
    parts = list(arrays)
    if len(parts) < 2:
        raise ValueError(
            f"{call_text('multi_dot', parts)}: expected two arrays or more, got {len(parts)}"
        )
    while len(parts) > 1:  # the longest inner axis first: the smallest results go on
        k = max(range(len(parts) - 1), key=lambda i: parts[i].shape[-1])
        parts[k : k + 2] = [np.dot(parts[k], parts[k + 1])]
    return parts[0]


@composed("kron")
def _kron(a: Any, b: Any) -> Any:
    n = max(np.ndim(a), np.ndim(b))
    of_a = (1,) * (n - np.ndim(a)) + np.shape(a)
    of_b = (1,) * (n - np.ndim(b)) + np.shape(b)
    a = np.reshape(a, tuple(m for k in of_a for m in (k, 1)))
    b = np.reshape(b, tuple(m for k in of_b for m in (1, k)))
    return np.reshape(a * b, tuple(k * m for k, m in zip(of_a, of_b, strict=True)))


@composed("cross", "linalg.cross")
def _cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    operands = a, b
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(
            f"{call_text('cross', operands)}: vectors have 3 components here, got "
            f"{a.shape[-1]} and {b.shape[-1]}"
        )
    left, right = [1, 2, 0], [2, 0, 1]
    product = a[..., left] * b[..., right] - a[..., right] * b[..., left]
    return np.moveaxis(product, -1, axisc)


@composed("convolve")
def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = np.atleast_1d(a), np.atleast_1d(v)
    if len(v) > len(a):
        a, v = v, a
    n, m = len(a), len(v)
    if not m or mode not in ("full", "same", "valid"):
        raise ValueError(
            f"{call_text('convolve', (a, v))}: neither may be empty, and mode is 'full', 'same' or "
            f"'valid', got {mode!r}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(a, m - 1), m)
    first, last = {
        "full": (0, n + m - 1),
        "same": ((m - 1) // 2, (m - 1) // 2 + n),
        "valid": (m - 1, n),
    }[mode]
    return np.matmul(windows[first:last], np.flip(v))


# Inverses ---------------------------------------------------------------------------------------


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

# Norms ------------------------------------------------------------------------------------------


def _norm_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return restore_axes(g, x, axis) * (x / off_zero(restore_axes(y, x, axis)))


def _run_norm(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    largest = np.max(np.abs(x), axis=axis, keepdims=True, initial=0)
    scale = np.where((largest == 0) | ~np.isfinite(largest), 1, largest)  # no overflow of squares
    total = np.sqrt(np.square(x / scale).sum(axis=axis, keepdims=True)) * scale
    return total if keepdims else total.squeeze(axis)


NORM = Op("norm", _run_norm, (_norm_rule,))


@composed("linalg.vector_norm")
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """np.linalg.vector_norm, (Σ |x|^ord)^(1/ord)."""
    if ord == 2:
        return apply(NORM, (x,), {"axis": axis, "keepdims": keepdims})
    if isinstance(ord, str) or ord == 0:
        raise TypeError(
            f"{call_text('vector_norm', (x,))} with ord={ord!r}: a norm with a gradient has a "
            "number other than 0; for a count of elements use x.data"
        )
    size = np.abs(x)
    if math.isinf(ord):
        return (np.max if ord > 0 else np.min)(size, axis=axis, keepdims=keepdims)
    absent = values(size) == 0  # their powers may have no finite derivative
    powers = np.where(absent, 0 if ord > 0 else inf, np.where(absent, 1, size) ** ord)
    total = np.sum(powers, axis=axis, keepdims=keepdims)
    none = values(total) == 0  # the root has no finite derivative there; the norm's is 0
    return np.where(none, 0, np.where(none, 1, total) ** (1 / ord))


@composed("linalg.matrix_norm")
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return np.linalg.norm(x, ord, axis=(-2, -1), keepdims=keepdims)


@composed("linalg.norm")
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    pair = (axis is None and x.ndim > 1) or (isinstance(axis, tuple) and len(axis) == 2)
    if ord is not None and axis is None and x.ndim not in (1, 2):
        raise ValueError(
            f"{call_text('norm', (x,))}: ord={ord!r} is of a vector or matrix; say which by axis="
        )
    if ord is None or (ord == "fro" and pair):
        return vector_norm(x, axis=axis, keepdims=keepdims)
    if pair:
        return _row_or_column_norm(x, ord, axis or (0, 1), keepdims)
    if isinstance(ord, str):
        raise ValueError(f"{call_text('norm', (x,))}: {ord!r} is no norm of vectors")
    return vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def _row_or_column_norm(x: Any, ord: Any, axis: tuple[int, int], keepdims: bool) -> Any:
    """The largest or smallest sum of a matrix's columns (ord 1, -1) or rows (inf, -inf)."""
    if ord not in (1, -1, inf, -inf):
        raise TypeError(
            f"{call_text('norm', (x,))}: the matrix norm {ord!r} has no gradient rule; there are "
            "'fro', 1, -1, inf and -inf"
        )
    rows, columns = (i % x.ndim for i in axis)
    summed, chosen = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = np.sum(np.abs(x), axis=summed, keepdims=True)
    extreme = (np.max if ord > 0 else np.min)(sums, axis=chosen, keepdims=True)
    return extreme if keepdims else np.squeeze(extreme, (rows, columns))
