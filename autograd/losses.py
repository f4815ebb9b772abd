"""Losses of scores and targets.

A ``mask`` is booleans of the targets' shape: a position where it is False may hold any number,
which changes neither the loss nor a gradient. ``reduction`` is "mean" (over the positions that
count), "sum" or "none". Defaults are PyTorch's where it has the function; classes stand on the last
axis.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..checks import check_float, check_fraction, check_int
from .activations import SIGMOID, SOFTMAX, log_softmax_forward, relu, sigmoid, softmax
from .arguments import (
    Reduction,
    check_mask,
    check_reduction,
    class_ids,
    floats,
    one_array,
    wide,
    without_gradient,
)
from .coercion import WORDS
from .context import scope
from .messages import describe, here
from .tensor import Array, Op, Tensor, apply, values

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "hinge_loss",
    "huber_loss",
    "kl_divergence",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "reduce_loss",
]

inf = np.inf


def reduce_loss(loss: Any, mask: Any, reduction: Reduction) -> Any:
    """The mean over the positions that count, their sum, or all losses (0 where masked)."""
    if mask is not None:
        loss = np.where(mask, loss, 0)
    if reduction == "none":
        return loss
    total = np.sum(loss)
    if reduction == "sum":
        return total
    return total / max(int(loss.size if mask is None else mask.sum()), 1)


def _counted(x: Any, share: Array) -> Any:
    """The scores, with 0 at the positions that do not count."""
    return x if share.all() else np.where(share[..., None] != 0, x, 0)


# The metadata of both class losses: targets, weight and smoothing, which say what a position's
# loss is; share, by which it counts (0: not at all); total, whether all are summed.


def _class_terms(
    logp: Array, share: Array, total: bool, targets: Array, weight: Array | None, smoothing: float
) -> Array:
    """The loss at each position, times its share, or their sum."""
    chosen = np.take_along_axis(logp, targets[..., None], -1)[..., 0]
    w = 1.0 if weight is None else weight[targets]
    loss = np.asarray((smoothing - 1.0) * w * chosen)
    if smoothing:
        every = logp if weight is None else logp * weight
        loss = loss - (smoothing / logp.shape[-1]) * every.sum(-1)
    terms = np.where(share != 0, loss * share, 0).astype(logp.dtype)
    return np.asarray(terms.sum()) if total else terms


def _target_weights(
    x: Any, targets: Array, weight: Array | None, smoothing: float
) -> tuple[Array, Array]:
    """The weight of each class's log-probability, and their sum at each position."""
    width = x.shape[-1]
    q = np.zeros((*targets.shape, width), x.dtype)
    w = np.ones(width, x.dtype) if weight is None else weight.astype(x.dtype)
    np.put_along_axis(q, targets[..., None], ((1 - smoothing) * w[targets])[..., None], -1)
    if smoothing:
        q += w * (smoothing / width)
    return q, q.sum(-1, keepdims=True)


def _cross_entropy(x: Array, share: Array, **how: Any) -> Array:
    return _class_terms(log_softmax_forward(_counted(x, share), -1), share, **how)


def _cross_entropy_rule(g: Any, y: Any, x: Any, share: Array, total: bool, **how: Any) -> Any:
    p = softmax(_counted(x, share))
    scale = (g if total else g[..., None]) * share[..., None]
    if how["weight"] is None and not how["smoothing"] and isinstance(p, np.ndarray):
        # p - y in place: the logits of a vocabulary are the largest arrays there are.
        right = how["targets"][..., None]
        np.put_along_axis(p, right, np.take_along_axis(p, right, -1) - 1, -1)
        p *= scale
        return p
    q, mass = _target_weights(x, **how)
    return np.where(share[..., None] != 0, (p * mass - q) * scale, 0)


def _nll(x: Array, share: Array, **how: Any) -> Array:
    return _class_terms(_counted(x, share), share, **how)


def _nll_rule(g: Any, y: Any, x: Any, share: Array, total: bool, **how: Any) -> Any:
    q, _ = _target_weights(x, **how)
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
    x = wide(floats(x, op, "the scores"))
    targets = one_array(op, targets)
    if targets.dtype.kind not in "iufb":  # ids as floats are refused where they count
        raise TypeError(
            f"{op}{here()}: targets must be integers, got {targets.dtype} {targets.shape}"
            + (WORDS if targets.dtype.kind in "US" else "")
        )
    if x.ndim < 1 or x.shape[:-1] != targets.shape:
        one_hot = "; of one-hot targets give targets.argmax(-1)" * (targets.shape == x.shape)
        raise ValueError(
            f"{op}{here()}: the classes stand on the last axis, so {describe(x)} wants targets of "
            f"shape {x.shape[:-1]}, got {targets.shape}{one_hot}"
        )
    check_fraction(f"{op}{here()}", "smoothing", smoothing, "a number")
    counts = np.ones(targets.shape, bool)
    if mask is not None:
        counts &= check_mask(op, mask, targets.shape)
    if ignore is not None:
        counts &= targets != check_int(f"{op}{here()}", "ignore", ignore, least=None)
    # Masked and ignored targets may hold any number; 0 replaces them.
    ids = np.where(counts, targets, 0)
    try:
        targets = class_ids(ids, x.shape[-1], op, "classes", x)
    except ValueError as error:
        if ids.min() >= 0:
            raise
        raise ValueError(f"{error}; to leave such targets out write ignore={ids.min()}") from None
    if weight is not None:
        weight = without_gradient(op, "weight", weight)
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
        mask: (...), booleans; False positions do not count, whatever they hold.
        weight: (classes,), the weight of each class; the mean divides by their sum.
        smoothing: ε of label smoothing: (1-ε) to the target, ε / classes to each class.
        ignore: A target value whose positions do not count.
        reduction: "mean" over the positions that count (0 if none does), "sum", or "none".

    Returns:
        A scalar, or (...) for "none".

    Example:
        >>> from unspool.autograd import cross_entropy
        >>> cross_entropy(np.array([[0.0, 0.0]]), [1]).round(4)
        np.float64(0.6931)
    """
    _check_logits("cross_entropy", logits, SOFTMAX)
    return _class_loss(CROSS_ENTROPY, logits, targets, mask, weight, smoothing, ignore, reduction)


def _check_logits(who: str, logits: Any, squash: Op) -> None:
    """Warn where the scores are probabilities: the loss applies the softmax or sigmoid itself."""
    if isinstance(logits, Tensor) and logits._record and logits._record[1] is squash:
        warnings.warn(
            f"{who} of {describe(logits)}{here()}: it takes logits, the scores before the "
            f"{squash}, and applies {squash} itself; give it what went into {squash}",
            stacklevel=3,
        )


def nll_loss(
    log_probabilities: Any,
    targets: Any,
    *,
    mask: Any = None,
    weight: Any = None,
    ignore: int | None = None,
    reduction: Reduction = "mean",
) -> Any:
    """-log_probabilities[target]: cross_entropy after a log_softmax.

    Args:
        log_probabilities: (..., classes), results of a ``log_softmax``.
        targets, mask, weight, ignore, reduction: As in ``cross_entropy``.
    """
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
    """Checked scores, targets and mask of one shape.

    Masked positions are set to 0 in both, so that a NaN there spoils no gradient; targets that
    are a plain array take the dtype of the scores.
    """
    check_reduction(who, reduction)
    x = wide(floats(x, who, "the scores"))
    if not isinstance(targets, Tensor):
        targets = floats(targets, who, "targets").astype(x.dtype)
    if x.shape != targets.shape:
        raise ValueError(
            f"{who}{here()}: {describe(x)} and {describe(targets)} must have one shape"
        )
    mask = check_mask(who, mask, x.shape)
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
        weight: Multiplies each position's loss; broadcast.
        positive_weight: Multiplies the loss of positive targets.
    """
    who = "binary_cross_entropy"
    _check_logits(who, logits, SIGMOID)
    x, t, mask = _pair(who, logits, without_gradient(who, "targets", targets), mask, reduction)
    if not ((t >= 0) & (t <= 1)).all():
        raise ValueError(
            f"{who} of {describe(x)}{here()}: targets are probabilities from 0 to 1, got "
            f"{t.min()} to {t.max()}"
        )
    positive = without_gradient(who, "positive_weight", positive_weight).astype(x.dtype)
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
        margin: The lead that the right score should have.
    """
    check_reduction("hinge_loss", reduction)
    scores = wide(floats(scores, "hinge_loss", "the scores"))
    check_float(f"hinge_loss of {describe(scores)}{here()}", "margin", margin)
    t = without_gradient("hinge_loss", "targets", targets)
    binary = t.shape == scores.shape
    if not binary and t.shape != scores.shape[:-1]:
        raise ValueError(
            f"hinge_loss{here()}: {describe(scores)} wants targets {scores.shape} of -1 and 1, or "
            f"class ids {scores.shape[:-1]}, got {t.shape}"
        )
    mask = check_mask("hinge_loss", mask, t.shape)
    with scope("hinge_loss"):
        if mask is not None:  # a masked position may hold anything
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
    """(x - target)², both of one shape.

    Args:
        x: Predictions, of any shape.
        targets: The same shape.
        mask: The same shape, booleans; False entries do not count, whatever they hold.
        reduction: "mean" over the entries that count (0 if none does), "sum", or "none".
    """
    x, targets, mask = _pair("mse_loss", x, targets, mask, reduction)
    with scope("mse_loss"):
        return reduce_loss(np.square(x - targets), mask, reduction)


def l1_loss(x: Any, targets: Any, *, mask: Any = None, reduction: Reduction = "mean") -> Any:
    """``|x - target|``, both of one shape; the gradient at 0 is 0.

    Args: those of ``mse_loss``.
    """
    x, targets, mask = _pair("l1_loss", x, targets, mask, reduction)
    with scope("l1_loss"):
        return reduce_loss(np.abs(x - targets), mask, reduction)


def huber_loss(
    x: Any, targets: Any, *, delta: float = 1.0, mask: Any = None, reduction: Reduction = "mean"
) -> Any:
    """``½ e²`` for ``|e| ≤ delta``, else ``delta (|e| - ½ delta)``; e = x - target (Huber 1964).

    Args: those of ``mse_loss``, and ``delta``, from which on the loss grows linearly.
    """
    x, targets, mask = _pair("huber_loss", x, targets, mask, reduction)
    check_float(f"huber_loss of {describe(x)}{here()}", "delta", delta, above=0)
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
        reduction: "mean" is over every element, as in PyTorch; divide the "sum" by the batch
            for the divergence of distributions.
    """
    x, targets, mask = _pair("kl_divergence", log_probabilities, targets, mask, reduction)
    positive = values(targets) > 0
    with scope("kl_divergence"):
        logs = np.log(np.where(positive, targets, 1))
        terms = np.where(positive, targets * (logs - np.where(positive, x, 0)), 0)
        return reduce_loss(terms, mask, reduction)
