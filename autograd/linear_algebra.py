"""The table, third part: products and norms, from ``np.einsum`` and ``np.dot`` to ``np.linalg``."""

from __future__ import annotations

import functools
import math
import string
from typing import Any

import numpy as np

from ..checks import describe_received
from .messages import call_text
from .numpy_calls import UNRULED
from .numpy_core import composed, ratio, restore_axes, row
from .tensor import TABLE, Array, Op, apply, operand, values

inf = np.inf


# einsum -----------------------------------------------------------------------------------------


def _run_einsum(*arrays: Array, subscripts: str) -> Array:
    big = max(x.size for x in arrays) > 4096  # then searching a BLAS path pays
    return np.einsum(subscripts, *arrays, optimize=big)


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
def _einsum(subscripts: Any, *operands: Any, optimize: Any = None) -> Any:
    if not isinstance(subscripts, str):
        subscripts, operands = _written_as_string(subscripts, *operands)
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


def _written_as_string(*pairs: Any) -> tuple[str, tuple[Any, ...]]:
    """np.einsum(a, [0, 1], b, [1, 2], [0, 2]) as "ab,bc->ac", a, b."""
    arrays, terms = pairs[: len(pairs) // 2 * 2 : 2], pairs[1::2]
    places = [*terms, pairs[-1]] if len(pairs) % 2 else terms
    if not all(isinstance(term, (list, tuple)) for term in places):
        raise TypeError(
            'np.einsum takes "ij,jk->ik" and the operands, or each operand followed by the list '
            "of its axes, a, [0, 1], b, [1, 2], [0, 2]; got "
            f"{', '.join(map(describe_received, pairs))}"
        )
    numbers = {n for term in places for n in term if n is not Ellipsis}
    if not all(isinstance(n, (int, np.integer)) and 0 <= n < 52 for n in numbers):
        raise ValueError(
            "np.einsum: an axis in a list is an integer from 0 to 51 or Ellipsis, got "
            f"{', '.join(map(repr, numbers))}"
        )
    written = [
        "".join("..." if n is Ellipsis else string.ascii_letters[n] for n in term)
        for term in places
    ]
    out = f"->{written.pop()}" if len(pairs) % 2 else ""
    return ",".join(written) + out, arrays


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


# Singular values ----------------------------------------------------------------------------------


def _singular_gaps(s: Any) -> Any:
    """F of the rules below, (..., k, k): 1 / (s_j² - s_i²), and 0 on the diagonal."""
    squares, diagonal = s * s, np.eye(s.shape[-1], dtype=bool)
    gaps = np.where(diagonal, 1, squares[..., None, :] - squares[..., :, None])
    return np.where(diagonal, 0, 1 / gaps)


def _rotated(g: Any, u: Any, s: Any, other: Any) -> Any:
    """The gradient of x by one side's singular vectors u, (..., m, k); ``other`` is the other's.

    u (F ∘ (uᵀg - gᵀu)) diag(s) otherᵀ + (I - u uᵀ) g diag(1/s) otherᵀ (Townsend 2016).
    """
    inside = np.matmul(_swap(u), g)
    turn = _singular_gaps(s) * (inside - _swap(inside)) * s[..., None, :]
    outside = (g - np.matmul(u, inside)) / s[..., None, :]
    return np.matmul(np.matmul(u, turn) + outside, _swap(other))


def _svd_rule(g: Any, y: Any, x: Any, part: int) -> Any:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    if part == 0:
        return _rotated(g, u, s, _swap(vh))
    if part == 1:
        return np.matmul(u * g[..., None, :], vh)
    return _swap(_rotated(_swap(g), _swap(vh), s, u))


SVD = Op("svd", lambda x, part: np.linalg.svd(x, full_matrices=False)[part], (_svd_rule,))


@composed("linalg.svd")
def _svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    if not compute_uv:
        return np.linalg.svdvals(a)
    if full_matrices and a.shape[-1] != a.shape[-2]:
        raise TypeError(
            f"{call_text('np.linalg.svd', (a,))}: the vectors that full_matrices=True adds have no "
            "gradient rule; write full_matrices=False"
        )
    u, s, vh = (apply(SVD, (a,), {"part": part}) for part in range(3))
    return np.linalg.svd(np.eye(1))._replace(U=u, S=s, Vh=vh)  # NumPy's SVDResult


@composed("linalg.svdvals")
def _svdvals(x: Any, /) -> Any:
    return apply(SVD, (x,), {"part": 1})


# Norms ------------------------------------------------------------------------------------------


def _norm_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return restore_axes(g, x, axis) * ratio(x, restore_axes(y, x, axis))


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
        return _pair_norm(x, ord, axis or (0, 1), keepdims)
    if isinstance(ord, str):
        raise ValueError(f"{call_text('norm', (x,))}: {ord!r} is no norm of vectors")
    return vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def _pair_norm(x: Any, ord: Any, axis: tuple[int, int], keepdims: bool) -> Any:
    """A norm of matrices: by sums of columns (1, -1) or rows (inf, -inf), or by singular values.

    These are the largest (2), the smallest (-2) and their sum ("nuc").
    """
    rows, columns = (i % x.ndim for i in axis)
    if ord in (2, -2, "nuc"):
        s = np.linalg.svdvals(np.moveaxis(x, (rows, columns), (-2, -1)))
        reduce: Any = {2: np.max, -2: np.min, "nuc": np.sum}[ord]
        out = reduce(s, axis=-1)
        return np.expand_dims(out, axis) if keepdims else out
    if ord not in (1, -1, inf, -inf):
        raise TypeError(
            f"{call_text('norm', (x,))}: expected a norm of matrices, 'fro', 'nuc', 1, -1, 2, -2, "
            f"inf or -inf, got {ord!r}"
        )
    summed, chosen = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = np.sum(np.abs(x), axis=summed, keepdims=True)
    extreme = (np.max if ord > 0 else np.min)(sums, axis=chosen, keepdims=True)
    return extreme if keepdims else np.squeeze(extreme, (rows, columns))


# Without a rule: these run on the arrays where no gradient is asked for.
UNRULED.update(
    {np.linalg.eig, np.linalg.eigh, np.linalg.eigvals, np.linalg.eigvalsh, np.linalg.cond}
)
