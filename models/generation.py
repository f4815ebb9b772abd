"""From scores to the next token: the most probable one, or a draw from the distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_sampling", "choose", "next_distribution"]


def check_sampling(temperature: float, top_k: int | None) -> None:
    """Raise what is wrong with the settings, before anything is computed."""
    if not temperature >= 0:
        raise ValueError(f"temperature is 0 (the most probable token) or more, got {temperature}")
    if top_k is None:
        return
    if isinstance(top_k, (bool, np.bool_)) or not isinstance(top_k, (int, np.integer)):
        raise TypeError(f"top_k is a whole number or None, got {top_k!r}")
    if top_k < 1:
        raise ValueError(f"top_k is 1 or more, or None for all tokens, got {top_k}")


def next_distribution(
    logits: Any,
    temperature: float = 1.0,
    top_k: int | None = None,
    exclude: Sequence[int] = (),
) -> NDArray[np.float64]:
    """softmax(logits / temperature) over the tokens that may come.

    Args:
        logits: (..., vocab), scores.
        temperature: Below 1 the probable becomes more so; 0 leaves the most probable token.
        top_k: How many of the most probable tokens remain; of equal ones the lower ids.
        exclude: Ids that may not come.

    Returns:
        (..., vocab), probabilities in float64.

    Raises:
        ValueError: ``temperature`` is negative, ``top_k`` below 1, a score is not a number, an
            id is outside of the vocabulary, or no token is left.

    Source: top-k from Fan, Lewis and Dauphin (2018).

    Example:
        >>> import numpy as np
        >>> next_distribution(np.log([0.1, 0.2, 0.3, 0.4]), top_k=2).round(3)
        array([0.   , 0.   , 0.429, 0.571])
    """
    check_sampling(temperature, top_k)
    scores = np.array(logits, np.float64)
    size = scores.shape[-1]
    if np.isnan(scores).any() or (scores == np.inf).any():
        raise ValueError("the model's scores are not finite: its parameters are damaged")
    for i in exclude:
        if not 0 <= i < size:
            raise ValueError(f"exclude: id {i} is outside of 0..{size - 1}")
        scores[..., i] = -np.inf
    if (scores.max(-1) == -np.inf).any():
        raise ValueError("no token is left to come next")
    keep = 1 if temperature == 0 else top_k
    if keep is not None and keep < size:
        order = np.argsort(-scores, axis=-1, kind="stable")
        np.put_along_axis(scores, order[..., keep:], -np.inf, -1)
    scores -= scores.max(-1, keepdims=True)
    with np.errstate(over="ignore"):  # a tiny temperature: what is below the top goes to -inf
        scores /= temperature or 1.0
    p = np.exp(scores)
    p /= p.sum(-1, keepdims=True)
    return p


def choose(p: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A draw from each distribution, (..., vocab) to (...)."""
    cumulated = p.cumsum(-1)
    u = rng.random(p.shape[:-1]) * cumulated[..., -1]
    return (cumulated <= u[..., None]).sum(-1)
