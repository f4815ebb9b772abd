"""Keras's losses: a function of targets and outputs gives a term for each position.

After a last layer with the matching activation, the cross-entropies are computed from the logits,
so that they are exact also where a probability rounds to 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import binary_cross_entropy, class_ids, log_softmax, mse_loss, relu

__all__ = ["FROM_LOGITS", "LOSSES"]

Array = NDArray[Any]

# A loss reads logits, with the name of the activation that turns them into probabilities
# ("sigmoid" or "softmax"), or the network's outputs, with None.
Ending = str | None


def clipped(p: Any) -> Any:
    """Probabilities clipped to Keras's distance from 0 and 1, where logarithms are infinite."""
    return np.clip(p, 1e-7, 1 - 1e-7)


def log_probabilities(scores: Any, ending: Ending) -> Any:
    """log P of each class, from the logits of a softmax, or from outputs that are normalised."""
    if ending == "softmax":
        return log_softmax(scores)
    p = clipped(scores / np.sum(scores, axis=-1, keepdims=True))
    return np.log(p)


def binary_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """-[y log p + (1-y) log(1-p)], the mean over the last axis."""
    y = like_output("binary_crossentropy", y, scores)
    if ((y < 0) | (y > 1)).any():
        raise ValueError("binary_crossentropy: targets must be from 0 to 1")
    if ending == "sigmoid":
        terms = binary_cross_entropy(scores, y, reduction="none")
    else:
        p = clipped(scores)
        terms = -(np.log(p) * y + np.log(1 - p) * (1 - y))
    return np.mean(terms, axis=-1)


def categorical_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """-Σ y log p, for one-hot y."""
    if y.shape != scores.shape:
        raise ValueError(
            f"categorical_crossentropy: expected one-hot targets {scores.shape}, got {y.shape}; "
            "for class ids use sparse_categorical_crossentropy"
        )
    return -np.sum(log_probabilities(scores, ending) * y.astype(scores.dtype), axis=-1)


def sparse_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """-log p of the class."""
    ids = sparse_ids("sparse_categorical_crossentropy", y, scores)
    logp = log_probabilities(scores, ending)
    return -np.take_along_axis(logp, ids[..., None], -1)[..., 0]


def squared_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """(y - output)², the mean over the last axis."""
    return np.mean(mse_loss(scores, like_output("mse", y, scores), reduction="none"), axis=-1)


def absolute_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """|y - output|, the mean over the last axis."""
    return np.mean(np.abs(scores - like_output("mae", y, scores)), axis=-1)


def hinge_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """max(0, 1 - y output), the mean over the last axis; y is -1 or 1, or 0 or 1."""
    return np.mean(margin_deficit("hinge", y, scores), axis=-1)


def squared_hinge_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """max(0, 1 - y output)², the mean over the last axis; y is -1 or 1, or 0 or 1."""
    return np.mean(margin_deficit("squared_hinge", y, scores) ** 2, axis=-1)


def margin_deficit(who: str, y: Array, scores: Any) -> Any:
    """max(0, 1 - y output) of each element."""
    y = like_output(who, y, scores)
    if not np.isin(y, (-1, 0, 1)).all():
        raise ValueError(f"{who}: targets must be -1 and 1, or 0 and 1")
    sign = np.where(y > 0, 1, -1).astype(y.dtype)
    return relu(1 - scores * sign)


def like_output(who: str, y: Array, scores: Any) -> Array:
    """Targets in the output's shape and dtype; (batch,) fits an output of width 1."""
    if y.shape == scores.shape[:-1] and scores.shape[-1] == 1:
        y = y[..., None]
    if y.shape != scores.shape:
        raise ValueError(f"{who}: expected targets {scores.shape}, as the output, got {y.shape}")
    return y.astype(scores.dtype)


def sparse_ids(who: str, y: Array, scores: Any) -> Array:
    """Class ids (...), also from (..., 1), or from integers stored as floats."""
    if y.shape == (*scores.shape[:-1], 1):
        y = y[..., 0]
    if y.shape != scores.shape[:-1]:
        raise ValueError(f"{who}: expected class ids {scores.shape[:-1]}, got {y.shape}")
    if y.dtype.kind == "f" and np.array_equal(y, np.trunc(y)):
        y = y.astype(np.intp)
    return class_ids(y, scores.shape[-1], who, "classes")


Terms = Callable[[Array, Any, Ending], Any]
LOSSES: dict[str, Terms] = {
    "binary_crossentropy": binary_terms,
    "categorical_crossentropy": categorical_terms,
    "sparse_categorical_crossentropy": sparse_terms,
    "mse": squared_terms,
    "mean_squared_error": squared_terms,
    "mae": absolute_terms,
    "mean_absolute_error": absolute_terms,
    "hinge": hinge_terms,
    "squared_hinge": squared_hinge_terms,
}
# The losses that read the logits before this activation.
FROM_LOGITS: dict[Terms, str] = {
    binary_terms: "sigmoid",
    categorical_terms: "softmax",
    sparse_terms: "softmax",
}
