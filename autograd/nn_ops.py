"""The table, second part: what networks need and NumPy lacks, and the losses.

Rows as in ``numpy_ops``: a NumPy forward beside its gradient rules. Given arrays only, every
function here returns an array and records nothing. Defaults are PyTorch's where it has the
function; the last axis is the one that is normalised or holds the classes.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from .context import current, scope
from .numpy_ops import scatter_add
from .tensor import (
    Array,
    Op,
    Tensor,
    apply,
    asks_for_gradient,
    describe,
    located,
    one_array,
    operand,
    operands_text,
    values,
)

__all__ = [
    "binary_cross_entropy",
    "conv1d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "erf",
    "gelu",
    "hard_sigmoid",
    "hinge_loss",
    "huber_loss",
    "kl_divergence",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "max_over_time",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]

Reduction = Literal["mean", "sum", "none"]
inf = np.inf


def floats(x: Any) -> Any:
    """A Tensor or an array of floats: numbers and lists become arrays, integers floats."""
    if not isinstance(x, Tensor):
        x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(float)


def constant(who: str, what: str, x: Any) -> Array:
    """An argument without a gradient rule as an array; nothing in it may ask for a gradient."""
    if asks_for_gradient(x):
        cure = f"{what}.detach()" if isinstance(x, Tensor) else f"x.detach() for each in {what}"
        raise TypeError(
            f"{who} has no gradient for its {what}, {operands_text([x])}; write {cure}{here()}"
        )
    return np.asarray(values(x))


def here() -> str:
    """`` in lstm / t=3``, for messages: the scope, or nothing outside of every one."""
    return located(current.get() or ())


# Activations --------------------------------------------------------------------------------


# 0-d arrays of the operands' dtypes: NumPy takes twice as long over a Python number.
_CAP = {c: np.array(11 if c == "e" else 80, c) for c in "efdg"}  # exp(12) is no float16
_ONE = {c: np.array(1, c) for c in "efdg"}


def _sigmoid(x: Array) -> Array:
    # e/(1+e) with e = exp(x) is exact also where the result is tiny; from x = 80 on it is 1.
    x = floats(x)
    char = x.dtype.char
    e = np.minimum(x, _CAP[char])
    if e.ndim == 0:
        e = np.asarray(e)
    np.exp(e, e)
    return np.divide(e, e + _ONE[char], e)


SIGMOID = Op("sigmoid", _sigmoid, (lambda g, y, x: g * (y - y * y),))
RELU = Op("relu", lambda x: np.maximum(x, 0), (lambda g, y, x: g * (values(y) > 0),))
LEAKY_RELU = Op(
    "leaky_relu",
    lambda x, slope: np.where(x > 0, x, x * slope),
    (lambda g, y, x, slope: np.where(values(x) > 0, g, g * slope),),
)
ELU = Op(
    "elu",
    lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    (lambda g, y, x, alpha: np.where(values(x) > 0, g, g * alpha * np.exp(np.minimum(x, 0))),),
)
SOFTPLUS = Op("softplus", lambda x: np.logaddexp(x, 0), (lambda g, y, x: g * sigmoid(x),))
LOG_SIGMOID = Op("log_sigmoid", lambda x: -np.logaddexp(-x, 0), (lambda g, y, x: g * sigmoid(-x),))
SILU = Op(
    "silu",
    lambda x: x * _sigmoid(x),
    (lambda g, y, x: g * sigmoid(x) * (1 + x * sigmoid(-x)),),
)
HARD_SIGMOID = Op(
    "hard_sigmoid",
    lambda x: np.clip(x / 6 + 0.5, 0, 1),
    (lambda g, y, x: np.where(abs(values(x)) < 3, g / 6, 0),),
)
_erf_of_numbers = np.frompyfunc(math.erf, 1, 1)

# Cody 1969: erf(x) / x as a ratio of polynomials of x², and erfc(x) exp(x²) as one of x, highest
# power first.
_ERF_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
     2.84423683343917062e3),
)  # fmt: skip
_ERFC_FAR = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3,
     1.23033935480374942e3),
)  # fmt: skip


def _ratio(x: Array, over: tuple[float, ...], under: tuple[float, ...]) -> Array:
    p, q = over[0] * x + over[1], under[0] * x + under[1]
    for a, b in zip(over[2:], under[2:], strict=True):
        p *= x
        p += a
        q *= x
        q += b
    p /= q
    return p


def _erf(x: Array) -> Array:
    if x.size < 500:  # the calls below take longer than so many of math.erf
        return np.asarray(_erf_of_numbers(x), x.dtype)
    at = np.clip(x, -6, 6).astype(np.float64)  # erf(6) is 1 to the last bit
    size, square = abs(at), at * at
    near = at * _ratio(square, *_ERF_NEAR)
    far = 1 - np.exp(-square) * _ratio(size, *_ERFC_FAR)
    return np.where(size <= 0.46875, near, np.copysign(far, at)).astype(x.dtype)


def _erf_rule(g: Any, y: Any, x: Any) -> Any:
    x = np.clip(x, -40, 40)  # exp(-40²) is 0 already, and larger squares could overflow
    return g * np.exp(-x * x) * (2 / math.sqrt(math.pi))


ERF = Op("erf", _erf, (_erf_rule,))


def sigmoid(x: Any) -> Any:
    """The logistic function 1 / (1 + exp(-x)), to full relative precision at every x."""
    return apply(SIGMOID, (x,))


def relu(x: Any) -> Any:
    """max(x, 0); the gradient at 0 is 0."""
    return apply(RELU, (x,))


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x where x > 0, else ``slope * x``."""
    return apply(LEAKY_RELU, (floats(x),), {"slope": slope})


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2016)."""
    return apply(ELU, (floats(x),), {"alpha": alpha})


def silu(x: Any) -> Any:
    """x * sigmoid(x), also called swish."""
    return apply(SILU, (floats(x),))


def erf(x: Any) -> Any:
    """The error function."""
    return apply(ERF, (floats(x),))


def gelu(x: Any) -> Any:
    """x * Φ(x), with the normal distribution's exact Φ (Hendrycks and Gimpel 2016)."""
    x = floats(x)
    with scope("gelu"):
        return x * (erf(x * math.sqrt(0.5)) * 0.5 + 0.5)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), exact at every x."""
    return apply(SOFTPLUS, (floats(x),))


def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)), exact at every x."""
    return apply(LOG_SIGMOID, (floats(x),))


def hard_sigmoid(x: Any) -> Any:
    """clip(x / 6 + 1/2, 0, 1)."""
    return apply(HARD_SIGMOID, (floats(x),))


# Normalised over an axis ----------------------------------------------------------------------


def _shifted(x: Array, axis: int | tuple[int, ...]) -> tuple[Array, Array]:
    top = x.max(axis, keepdims=True, initial=-inf)
    top = np.where(np.isfinite(top), top, 0)  # a row of -inf has no maximum to take off
    return np.asarray(x - top), top  # a 0-d array's difference is a number, which takes no out=


def _softmax(x: Array, axis: int) -> Array:
    e, _ = _shifted(x, axis)
    np.exp(e, out=e)
    e /= e.sum(axis, keepdims=True)
    return e


def _logsumexp(x: Array, axis: int | tuple[int, ...], keepdims: bool) -> Array:
    e, top = _shifted(x, axis)
    total = np.exp(e, out=e).sum(axis, keepdims=True)
    empty = total == 0  # the sum of nothing: its logarithm is -inf, and no warning's matter
    out = np.where(empty, -inf, np.log(np.where(empty, 1, total))) + top
    return out if keepdims else out.squeeze(axis)


def _log_softmax(x: Array, axis: int) -> Array:
    e, _ = _shifted(x, axis)
    if e.size:  # else the logarithm of an empty sum
        e -= np.log(np.exp(e).sum(axis, keepdims=True))
    return e


def _logsumexp_rule(g: Any, y: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    if not keepdims:
        g, y = np.expand_dims(g, axis), np.expand_dims(y, axis)
    # Divided by its sum: the rounding of y, an error of 6e-5 at 1000 in float32, cancels out.
    p = np.exp(x - np.where(values(y) == -inf, 0, values(y)))
    total = np.sum(p, axis=axis, keepdims=True)
    # No sum to divide by: of a row of -inf it is 0, of one with inf NaN, as that element's p is.
    return g * (p / np.where(values(total) > 0, total, 1))


SOFTMAX = Op(
    "softmax",
    _softmax,
    (lambda g, y, x, axis: y * (g - (g * y).sum(axis, keepdims=True)),),
)
LOG_SOFTMAX = Op(
    "log_softmax",
    _log_softmax,
    (lambda g, y, x, axis: g - np.exp(y) * g.sum(axis, keepdims=True),),
)
LOGSUMEXP = Op("logsumexp", _logsumexp, (_logsumexp_rule,))


def _normalised(op: Op, x: Any, axis: Any, **options: Any) -> Any:
    x = floats(x)
    if not x.ndim and axis in (-1, 0):  # as NumPy's sum and max have it
        axis = ()
    return apply(op, (x,), {"axis": axis, **options})


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / Σ exp(x) along an axis; -inf gives 0. A row of nothing but -inf gives NaN."""
    return _normalised(SOFTMAX, x, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - logsumexp(x) along an axis."""
    return _normalised(LOG_SOFTMAX, x, axis)


def logsumexp(x: Any, axis: int | tuple[int, ...] = -1, keepdims: bool = False) -> Any:
    """log Σ exp(x) along an axis (or several), -inf for a row of nothing but -inf."""
    return _normalised(LOGSUMEXP, x, axis, keepdims=keepdims)


def _layer_norm(x: Array, axis: Any, eps: float) -> Array:
    centred = x - x.mean(axis, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis, keepdims=True) + eps)


def _layer_norm_rule(g: Any, y: Any, x: Any, axis: Any, eps: float) -> Any:
    centred = x - np.mean(x, axis=axis, keepdims=True)
    deviation = np.sqrt(np.mean(centred * centred, axis=axis, keepdims=True) + eps)
    inner = g - np.mean(g, axis=axis, keepdims=True)
    return (inner - y * np.mean(g * y, axis=axis, keepdims=True)) / deviation


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
    y = apply(LAYER_NORM, (floats(x),), {"axis": axis, "eps": eps})
    if gain is not None:
        y = y * gain
    return y if bias is None else y + bias


# Layers -----------------------------------------------------------------------------------------


def _embedding(E: Array, ids: Array) -> Array:
    return E[ids]


def _embedding_pool(uses: list[Any], E: Any) -> Any:
    return scatter_add(
        *(g for g, *_ in uses), indices=[p["ids"] for _, p, *_ in uses], shape=E.shape
    )


EMBEDDING = Op(
    "embedding",
    _embedding,
    (lambda g, y, E, ids: scatter_add(g, indices=[ids], shape=E.shape),),
    pools=(_embedding_pool,),
)


def embedding(E: Any, ids: Any) -> Any:
    """Rows of a matrix by number: ``E[ids]``, the lectures' e_t = E x_t with one-hot x_t.

    Args:
        E: (vocabulary, d).
        ids: Integers of any shape, from 0 up to the vocabulary's size.

    Returns:
        (*ids.shape, d).

    Raises:
        TypeError: The ids are not integers.
        ValueError: An id is outside of the vocabulary.
    """
    E = operand(E)
    ids = class_ids(ids, len(E.data if isinstance(E, Tensor) else E), "embedding", "rows", E)
    return apply(EMBEDDING, (E,), {"ids": ids})


def class_ids(ids: Any, count: int, who: str, what: str, table: Any = None) -> Array:
    """Integer ids from 0 to ``count - 1`` as an array, or an error that names the first bad one.

    ``table`` is what the ids number the rows or columns of, if it is to be named.
    """
    array = one_array(who, ids)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{who}{here()}: ids are integers, got {array.dtype} {array.shape}")
    array = array.astype(np.intp, copy=False)
    bad = (array < 0) | (array >= count)
    if bad.any():
        place = np.argwhere(bad)[0].tolist()
        of = "there are" if table is None else f"of {describe(table)}"
        raise ValueError(
            f"{who}{here()}: id {array[tuple(place)]} at {place} is outside of 0..{count - 1}, the "
            f"{count} {what} {of}"
        )
    return array


DROPOUT = Op("dropout", lambda x, keep: x * keep, (lambda g, y, x, keep: g * keep,))


def dropout(x: Any, p: float = 0.5, *, training: bool = True, rng: Any = None) -> Any:
    """Set each element to 0 with probability ``p`` and divide the others by ``1 - p``.

    Args:
        x: Any shape.
        p: From 0 to 1.
        training: False returns ``x`` as it is.
        rng: A ``numpy.random.Generator``, a seed, or None.

    Raises:
        ValueError: ``p`` is no number from 0 to 1.
    """
    if not isinstance(p, (int, float, np.number)) or not 0 <= p <= 1:
        raise ValueError(
            f"dropout of {describe(x)}{here()}: p is a probability from 0 to 1, got {p!r}"
        )
    if not training or p == 0:
        return x
    x = floats(x)
    kept = np.random.default_rng(rng).random(x.shape) >= p
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return apply(DROPOUT, (x,), {"keep": (kept * scale).astype(x.dtype)})


def conv1d(
    x: Any,
    W: Any,
    b: Any = None,
    *,
    padding: Literal["valid", "same", "causal"] = "valid",
    stride: int = 1,
    dilation: int = 1,
) -> Any:
    """A convolution over time (as in all neural networks, without flipping the filter).

    Args:
        x: (batch, time, d_in) or (time, d_in).
        W: (width, d_in, d_out).
        b: (d_out,) or None.
        padding: ``"same"`` keeps the length, ``"causal"`` too but sees only the past.
        stride: Every how many positions there is an output.
        dilation: How far the filter's taps stand apart.

    Returns:
        (batch, time', d_out); ``time' = (time - (width-1) * dilation - 1) // stride + 1`` for
        ``"valid"``.

    Raises:
        ValueError: The widths do not fit, or the sequence is shorter than the filter.
    """
    x, W = operand(x), operand(W)
    if W.ndim != 3 or x.ndim not in (2, 3) or x.shape[-1] != W.shape[1]:
        raise ValueError(
            f"conv1d{here()}: expected x (batch, time, d_in) and W (width, d_in, d_out), got "
            f"{describe(x)} and {describe(W)}"
        )
    if padding not in ("valid", "same", "causal"):
        raise ValueError(
            f'conv1d of {describe(x)}{here()}: padding is "valid", "same" or "causal", got '
            f"{padding!r}"
        )
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
    """The maximum of each feature over all positions that count: (batch, time, d) -> (batch, d).

    A sequence without any position gives 0.
    """
    if mask is None:
        return np.max(x, axis=-2)
    x, real = floats(x), np.asarray(values(mask), bool)[..., None]
    if not x.shape[-2]:
        return np.sum(x, axis=-2)
    top = np.max(np.where(real, x, -inf), axis=-2)
    return np.where(real.any(axis=-2), top, 0)


# Losses -------------------------------------------------------------------------------------------


def reduce_loss(loss: Any, mask: Any, reduction: Reduction) -> Any:
    """The mean over the positions that count, their sum, or all of them (0 where masked)."""
    if mask is not None:
        loss = np.where(mask, loss, 0)
    if reduction == "none":
        return loss
    total = np.sum(loss)
    if reduction == "sum":
        return total
    return total / max(int(loss.size if mask is None else mask.sum()), 1)


def checked_mask(who: str, mask: Any, shape: tuple[int, ...]) -> Array | None:
    """The mask as booleans of that shape, or None."""
    if mask is None:
        return None
    mask = np.asarray(values(mask))
    if mask.shape != shape or mask.dtype.kind != "b":
        raise ValueError(
            f"{who}{here()}: the mask is booleans of the targets' shape {shape}, got {mask.dtype} "
            f"{mask.shape}"
        )
    return mask


def check_reduction(who: str, reduction: str) -> None:
    """An error that names the three there are, unless it is one of them."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{who}{here()}: reduction is "mean", "sum" or "none", got {reduction!r}')


def _counted(x: Any, share: Array) -> Any:
    """The scores, with 0 at the positions that count for nothing."""
    return x if share.all() else np.where(share[..., None] != 0, x, 0)


def _class_terms(
    logp: Array, targets: Array, share: Array, weight: Array | None, smoothing: float
) -> Array:
    """The loss at each position, before ``share`` (0 where it does not count) scales it."""
    chosen = np.take_along_axis(logp, targets[..., None], -1)[..., 0]
    w = 1.0 if weight is None else weight[targets]
    loss = np.asarray((smoothing - 1.0) * w * chosen)
    if smoothing:
        every = logp if weight is None else logp * weight
        loss = loss - (smoothing / logp.shape[-1]) * every.sum(-1)
    return np.where(share != 0, loss * share, 0).astype(logp.dtype)


def _cross_entropy(
    x: Array, targets: Array, share: Array, weight: Array | None, smoothing: float, total: bool
) -> Array:
    logp = _log_softmax(_counted(x, share), -1)
    terms = _class_terms(logp, targets, share, weight, smoothing)
    return np.asarray(terms.sum()) if total else terms


def _target_weights(
    targets: Array, width: int, weight: Array | None, smoothing: float, dtype: Any
) -> tuple[Array, Array]:
    """The weight of each class's log-probability, and their sum at each position."""
    q = np.zeros((*targets.shape, width), dtype)
    w = np.ones(width, dtype) if weight is None else weight.astype(dtype)
    np.put_along_axis(q, targets[..., None], ((1 - smoothing) * w[targets])[..., None], -1)
    if smoothing:
        q += w * (smoothing / width)
    return q, q.sum(-1, keepdims=True)


def _cross_entropy_rule(
    g: Any,
    y: Any,
    x: Any,
    targets: Array,
    share: Array,
    weight: Array | None,
    smoothing: float,
    total: bool,
) -> Any:
    p = softmax(_counted(x, share))
    scale = (g if total else g[..., None]) * share[..., None]
    if weight is None and not smoothing and isinstance(p, np.ndarray):
        # p - y in place: the logits of a vocabulary are the largest arrays there are.
        right = targets[..., None]
        np.put_along_axis(p, right, np.take_along_axis(p, right, -1) - 1, -1)
        p *= scale
        return p
    q, mass = _target_weights(targets, x.shape[-1], weight, smoothing, x.dtype)
    return np.where(share[..., None] != 0, (p * mass - q) * scale, 0)


def _nll(
    x: Array, targets: Array, share: Array, weight: Array | None, smoothing: float, total: bool
) -> Array:
    terms = _class_terms(_counted(x, share), targets, share, weight, smoothing)
    return np.asarray(terms.sum()) if total else terms


def _nll_rule(
    g: Any,
    y: Any,
    x: Any,
    targets: Array,
    share: Array,
    weight: Array | None,
    smoothing: float,
    total: bool,
) -> Any:
    q, _ = _target_weights(targets, x.shape[-1], weight, smoothing, x.dtype)
    return -q * ((g if total else g[..., None]) * share[..., None])


CROSS_ENTROPY = Op("cross_entropy", _cross_entropy, (_cross_entropy_rule,))
NLL_LOSS = Op("nll_loss", _nll, (_nll_rule,))


def _class_loss(
    op: Op,
    x: Any,
    targets: Any,
    mask: Any,
    weight: Any,
    smoothing: float,
    ignore: int | None,
    reduction: Reduction,
) -> Any:
    check_reduction(op, reduction)
    x = floats(x)
    targets = one_array(op, targets)
    if x.ndim < 1 or x.shape[:-1] != targets.shape:
        one_hot = "; of one-hot targets give targets.argmax(-1)" * (targets.shape == x.shape)
        raise ValueError(
            f"{op}{here()}: the classes stand on the last axis, so {describe(x)} wants targets of "
            f"shape {x.shape[:-1]}, got {targets.shape}{one_hot}"
        )
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{op}{here()}: smoothing is from 0 to 1, got {smoothing}")
    counts = np.ones(targets.shape, bool)
    if mask is not None:
        counts &= checked_mask(op, mask, targets.shape)
    if ignore is not None:
        counts &= targets != ignore
    # What does not count may hold any number; 0 stands in for it.
    ids = np.where(counts, targets, 0)
    try:
        targets = class_ids(ids, x.shape[-1], op, "classes", x)
    except ValueError as error:
        if ids.min() >= 0:
            raise
        raise ValueError(f"{error}; for what is not to count write ignore={ids.min()}") from None
    if weight is not None:
        weight = constant(op, "weight", weight)
        if weight.shape != x.shape[-1:]:
            raise ValueError(
                f"{op} of {describe(x)}{here()}: weight has one number a class "
                f"{x.shape[-1:]}, got {weight.shape}"
            )
    share = counts.astype(x.dtype)
    if reduction == "mean":
        mass = float((counts if weight is None else counts * weight[targets]).sum())
        share = share / mass if mass else np.zeros_like(share)
    params = {
        "targets": targets,
        "share": share.astype(x.dtype),
        "weight": weight,
        "smoothing": smoothing,
        "total": reduction != "none",
    }
    return apply(op, (x,), params)


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    mask: Any = None,
    weight: Any = None,
    smoothing: float = 0.0,
    ignore: int | None = None,
    reduction: Reduction = "mean",
) -> Any:
    """-log softmax(logits)[target], in nats: the lectures' L_CE for one-hot targets.

    Args:
        logits: (..., classes), scores before the softmax.
        targets: (...), integers from 0 to classes - 1.
        mask: (...), booleans; False positions count for nothing, whatever stands there.
        weight: (classes,), how much each class counts; the mean divides by their sum.
        smoothing: ε of label smoothing: (1-ε) to the target, ε / classes to each class.
        ignore: A target value that counts for nothing.
        reduction: "mean" over what counts (0 where nothing does), "sum", or "none".

    Returns:
        A scalar, or (...) for "none".

    Raises:
        ValueError: Shapes do not fit, or a target is out of range.
        TypeError: The targets are not integers.

    Example:
        >>> import numpy as np
        >>> from unspool.autograd import cross_entropy
        >>> cross_entropy(np.array([[0.0, 0.0]]), [1]).round(4)
        np.float64(0.6931)
    """
    return _class_loss(CROSS_ENTROPY, logits, targets, mask, weight, smoothing, ignore, reduction)


def nll_loss(
    log_probabilities: Any,
    targets: Any,
    *,
    mask: Any = None,
    weight: Any = None,
    ignore: int | None = None,
    reduction: Reduction = "mean",
) -> Any:
    """-log_probabilities[target]: cross_entropy after a log_softmax, with the same arguments."""
    return _class_loss(NLL_LOSS, log_probabilities, targets, mask, weight, 0.0, ignore, reduction)


BINARY_CROSS_ENTROPY = Op(
    "binary_cross_entropy",
    lambda x, targets, positive: (
        (1 - targets) * np.logaddexp(x, 0) + positive * targets * np.logaddexp(-x, 0)
    ),
    (
        lambda g, y, x, targets, positive: (
            g * ((1 - targets) * sigmoid(x) - positive * targets * sigmoid(-x))
        ),
    ),
)


def _pair(
    who: str, x: Any, targets: Any, mask: Any, reduction: Reduction
) -> tuple[Any, Any, Array | None]:
    """Scores and targets of one shape, and the mask; the reduction is one that there is.

    What is masked is 0 in both, so that a NaN there spoils no gradient; targets that are a
    plain array take the dtype of the scores.
    """
    check_reduction(who, reduction)
    x = floats(x)
    if not isinstance(targets, Tensor):
        targets = np.asarray(targets, x.dtype)
    if x.shape != targets.shape:
        raise ValueError(
            f"{who}{here()}: {describe(x)} and {describe(targets)} must have one shape"
        )
    mask = checked_mask(who, mask, x.shape)
    if mask is not None:
        x, targets = np.where(mask, x, 0), np.where(mask, targets, 0)
    return x, targets, mask


def binary_cross_entropy(
    logits: Any,
    targets: Any,
    *,
    mask: Any = None,
    weight: Any = None,
    positive_weight: Any = 1.0,
    reduction: Reduction = "mean",
) -> Any:
    """-[y log σ(z) + (1-y) log(1-σ(z))] from the logits z, whose gradient is σ(z) - y.

    Args:
        logits: Any shape, scores before the sigmoid.
        targets: The same shape, from 0 to 1.
        mask: The same shape, booleans; False positions count for nothing.
        weight: Multiplies each position's loss; broadcast.
        positive_weight: Multiplies the loss of positive targets.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: Shapes differ, or a target is outside of 0 to 1.
    """
    who = "binary_cross_entropy"
    x, t, mask = _pair(who, logits, constant(who, "targets", targets), mask, reduction)
    if not ((t >= 0) & (t <= 1)).all():
        raise ValueError(
            f"{who} of {describe(x)}{here()}: targets are probabilities from 0 to 1, got "
            f"{t.min()} to {t.max()}"
        )
    positive = constant(who, "positive_weight", positive_weight).astype(x.dtype)
    loss = apply(BINARY_CROSS_ENTROPY, (x,), {"targets": t, "positive": positive})
    if weight is not None:
        loss = loss * (weight if isinstance(weight, Tensor) else np.asarray(weight, x.dtype))
    return reduce_loss(loss, mask, reduction)


def hinge_loss(
    scores: Any,
    targets: Any,
    *,
    margin: float = 1.0,
    mask: Any = None,
    reduction: Reduction = "mean",
) -> Any:
    """The margin loss, binary or of several classes (Crammer and Singer 2001; Goldberg 2016).

    Args:
        scores: (...) for two classes, or (..., classes).
        targets: For two classes -1 or 1, of the scores' shape: max(0, margin - target * score).
            Else integers (...): max(0, margin - (score of the target - best other score)).
        margin: How far the right score should lead.
        mask: (...), booleans; False positions count for nothing.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: Shapes do not fit, or a target is not one of those.
    """
    check_reduction("hinge_loss", reduction)
    scores = floats(scores)
    t = constant("hinge_loss", "targets", targets)
    binary = t.shape == scores.shape
    if not binary and t.shape != scores.shape[:-1]:
        raise ValueError(
            f"hinge_loss{here()}: {describe(scores)} wants targets {scores.shape} of -1 and 1, or "
            f"class ids {scores.shape[:-1]}, got {t.shape}"
        )
    mask = checked_mask("hinge_loss", mask, t.shape)
    with scope("hinge_loss"):
        if mask is not None:  # what stands at a masked position may be anything
            t = np.where(mask, t, 1 if binary else 0)
            scores = np.where(mask if binary else mask[..., None], scores, 0)
        if binary:
            if not np.isin(t, (-1, 1)).all():
                raise ValueError(
                    f"hinge_loss of {describe(scores)}{here()}: targets of two classes are -1 "
                    "and 1; of 0 and 1 make 2 * y - 1"
                )
            lead = scores * t.astype(scores.dtype)
        else:
            t = class_ids(t, scores.shape[-1], "hinge_loss", "classes", scores)[..., None]
            others = np.where(np.arange(scores.shape[-1]) == t, -inf, scores)
            lead = np.take_along_axis(scores, t, -1)[..., 0] - np.max(others, axis=-1)
        return reduce_loss(relu(margin - lead), mask, reduction)


def mse_loss(x: Any, targets: Any, *, mask: Any = None, reduction: Reduction = "mean") -> Any:
    """(x - target)², both of one shape."""
    x, targets, mask = _pair("mse_loss", x, targets, mask, reduction)
    with scope("mse_loss"):
        return reduce_loss(np.square(x - targets), mask, reduction)


def l1_loss(x: Any, targets: Any, *, mask: Any = None, reduction: Reduction = "mean") -> Any:
    """|x - target|, both of one shape; the gradient at 0 is 0."""
    x, targets, mask = _pair("l1_loss", x, targets, mask, reduction)
    with scope("l1_loss"):
        return reduce_loss(np.abs(x - targets), mask, reduction)


def huber_loss(
    x: Any, targets: Any, *, delta: float = 1.0, mask: Any = None, reduction: Reduction = "mean"
) -> Any:
    """½ e² for |e| ≤ delta, else delta (|e| - ½ delta), with e = x - target (Huber 1964)."""
    x, targets, mask = _pair("huber_loss", x, targets, mask, reduction)
    if delta <= 0:
        raise ValueError(f"huber_loss of {describe(x)}{here()}: delta is positive, got {delta}")
    with scope("huber_loss"):
        error = x - targets
        near = np.clip(error, -delta, delta)
        return reduce_loss(near * (error - 0.5 * near), mask, reduction)


def kl_divergence(
    log_probabilities: Any, targets: Any, *, mask: Any = None, reduction: Reduction = "mean"
) -> Any:
    """target * (log target - log_probabilities), 0 where the target is 0.

    Args:
        log_probabilities: The model's, any shape.
        targets: Probabilities of the same shape.
        mask: The same shape, booleans.
        reduction: "mean" is over every element, as in PyTorch; divide the "sum" by the batch
            for the divergence of distributions.
    """
    x, targets, mask = _pair("kl_divergence", log_probabilities, targets, mask, reduction)
    positive = values(targets) > 0
    with scope("kl_divergence"):
        logs = np.log(np.where(positive, targets, 1))
        terms = np.where(positive, targets * (logs - np.where(positive, x, 0)), 0)
        return reduce_loss(terms, mask, reduction)
