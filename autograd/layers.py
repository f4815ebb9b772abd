"""Ops that layers are made of: embedding, dropout, layer norm, convolution, pooling over time."""

from __future__ import annotations

import functools
from typing import Any, Literal, get_args

import numpy as np

from ..checks import check_bool, check_choice, check_float, check_fraction, check_int, check_rng
from .arguments import class_ids, floats, wide
from .context import scope
from .messages import describe, here
from .numpy_core import gather_op
from .tensor import Array, Op, apply, operand, values

__all__ = ["conv1d", "dropout", "embedding", "layer_norm", "max_over_time"]

Padding = Literal["valid", "same", "causal"]
inf = np.inf


EMBEDDING = gather_op("embedding", "ids", lambda E, ids: E[ids])


def embedding(E: Any, ids: Any, padding_idx: int | None = None) -> Any:
    """Rows of a matrix by number: ``E[ids]``, the lectures' e_t = E x_t with one-hot x_t.

    Args:
        E: (vocabulary, d).
        ids: Integers of any shape, from 0 up to the vocabulary's size.
        padding_idx: A row that gets no gradient, so that it stays as it is.

    Returns:
        ``(*ids.shape, d)``.
    """
    E = operand(E)
    rows = len(values(E))
    ids = class_ids(ids, rows, "embedding", "rows", E)
    vectors = apply(EMBEDDING, (E,), {"ids": ids})
    if padding_idx is None:
        return vectors
    padding = int(class_ids(padding_idx, rows, "embedding", "rows", E))
    return np.where((ids == padding)[..., None], values(E)[padding], vectors)


DROPOUT = Op("dropout", lambda x, keep: x * keep, (lambda g, y, x, keep: g * keep,))


def dropout(x: Any, p: float = 0.5, *, training: bool = True, rng: Any = None) -> Any:
    """Set each element to 0 with probability ``p`` and divide the others by ``1 - p``.

    Args:
        x: Any shape.
        p: A probability from 0 to 1.
        training: False returns ``x`` as it is.
        rng: A ``numpy.random.Generator``, a seed, or None.
    """
    who = f"dropout of {describe(x)}{here()}"
    check_fraction(who, "p", p)
    if not check_bool(who, "training", training) or p == 0:
        return x
    x = floats(x)
    kept = check_rng(who, rng).random(x.shape) >= p
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return apply(DROPOUT, (x,), {"keep": (kept * scale).astype(x.dtype)})


def _layer_norm(x: Array, axis: Any, eps: float) -> Array:
    # np.mean's checks take longer than a row.
    total = functools.partial(np.add.reduce, axis=axis, keepdims=True)
    centred = x - total(x) / x.shape[axis]
    variance = total(np.square(centred)) / x.shape[axis]
    return centred / np.sqrt(variance + eps)


def _layer_norm_rule(g: Any, y: Any, x: Any, axis: Any, eps: float) -> Any:
    total, count = functools.partial(np.sum, axis=axis, keepdims=True), x.shape[axis]
    centred = x - total(x) / count
    deviation = np.sqrt(total(centred * centred) / count + eps)
    inner = g - total(g) / count
    return (inner - y * (total(g * y) / count)) / deviation


# The op that ``layer_norm`` records, before gain and bias.
LAYER_NORM = Op("layer_norm", _layer_norm, (_layer_norm_rule,))


def layer_norm(
    x: Any, gain: Any = None, bias: Any = None, eps: float = 1e-5, axis: int = -1
) -> Any:
    """(x - mean) / sqrt(variance + eps) * gain + bias (Ba, Kiros and Hinton 2016).

    Args:
        x: (..., d).
        gain: (d,), or None for 1.
        bias: (d,), or None for 0.
        eps: Added to the variance.
        axis: The axis that is normalised.
    """
    check_float("layer_norm", "eps", eps, least=0)
    x = floats(x)
    y = apply(LAYER_NORM, (wide(x),), {"axis": axis, "eps": eps})
    y = y if x.dtype == y.dtype else y.astype(x.dtype)
    if gain is not None:
        y = y * gain
    return y if bias is None else y + bias


def conv1d(
    x: Any, W: Any, b: Any = None, *, padding: Padding = "valid", stride: int = 1, dilation: int = 1
) -> Any:
    """A convolution over time (as in all neural networks, without flipping the filter).

    Args:
        x: (batch, time, d_in) or (time, d_in).
        W: (width, d_in, d_out).
        b: (d_out,) or None.
        padding: ``"same"`` keeps the length, ``"causal"`` too but sees only the past.
        stride: The distance of the outputs, in positions.
        dilation: The distance of the filter's taps, in positions.

    Returns:
        (batch, time', d_out); ``time' = (time - (width-1) * dilation - 1) // stride + 1`` for
        ``"valid"``.
    """
    x, W = operand(x), operand(W)
    if W.ndim != 3 or x.ndim not in (2, 3) or x.shape[-1] != W.shape[1]:
        raise ValueError(
            f"conv1d{here()}: expected x (batch, time, d_in) and W (width, d_in, d_out), got "
            f"{describe(x)} and {describe(W)}"
        )
    who = f"conv1d of {describe(x)}{here()}"
    check_choice(who, "padding", padding, get_args(Padding))
    check_int(who, "stride", stride)
    check_int(who, "dilation", dilation)
    reach = (W.shape[0] - 1) * dilation
    if padding != "valid":
        left = reach if padding == "causal" else reach // 2
        widths = [(0, 0)] * (x.ndim - 2) + [(left, reach - left), (0, 0)]
        x = np.pad(x, widths)
    last = x.shape[-2] - reach  # positions that the filter can start at
    if last < 1:
        raise ValueError(
            f"conv1d of {describe(x)} and {describe(W)}{here()}: {x.shape[-2]} steps are fewer "
            f"than the filter's {reach + 1}"
        )
    with scope("conv1d"):
        taps = [x[..., k * dilation : k * dilation + last : stride, :] for k in range(W.shape[0])]
        flat = np.reshape(W, (-1, W.shape[2]))
        y = np.matmul(np.concatenate(taps, axis=-1), flat)
        return y if b is None else y + b


def max_over_time(x: Any, mask: Any = None) -> Any:
    """The maximum of each feature over the positions: (batch, time, d) -> (batch, d).

    Args:
        x: (batch, time, d) or (time, d).
        mask: (batch, time), booleans; False positions do not count. A sequence without any
            position that counts gives 0.
    """
    if mask is None:
        return np.max(x, axis=-2)
    x, real = floats(x), np.asarray(values(mask), bool)[..., None]
    if not x.shape[-2]:
        return np.sum(x, axis=-2)
    top = np.max(np.where(real, x, -inf), axis=-2)
    return np.where(real.any(axis=-2), top, 0)
