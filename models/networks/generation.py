"""From scores to new tokens: the most probable one, a draw, or the best of several texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor, log_softmax
from ...checks import check_float, check_int


def check_sampling(
    who: str, temperature: float, top_k: int | None, top_p: float | None = None
) -> None:
    """Check the settings before anything is computed; None for all tokens."""
    check_float(who, "temperature", temperature, least=0)
    if top_p is not None:
        check_float(who, "top_p", top_p, above=0, most=1, what="a probability")
    if top_k is not None:
        check_int(who, "top_k", top_k)


def next_distribution(
    logits: Any,
    temperature: float = 1.0,
    top_k: int | None = None,
    exclude: Sequence[int] = (),
    top_p: float | None = None,
) -> NDArray[np.float64]:
    """softmax(logits / temperature) over the allowed tokens.

    Args:
        logits: (..., vocab), scores.
        temperature: Divides the scores; below 1 the distribution is sharper, 0 is greedy.
        top_k: The number of most probable tokens that remain; of equal ones the lower ids.
        exclude: Ids that are never drawn.
        top_p: The nucleus: the fewest most probable of these tokens whose probabilities sum to at
            least this remain; None for all.

    Returns:
        (..., vocab), probabilities in float64.

    Source: top-k from Fan, Lewis and Dauphin (2018); the nucleus from Holtzman et al. (2020).

    Example:
        >>> next_distribution(np.log([0.1, 0.2, 0.3, 0.4]), top_k=2).round(3)
        array([0.   , 0.   , 0.429, 0.571])
        >>> next_distribution(np.log([0.1, 0.2, 0.3, 0.4]), top_p=0.8).round(3)
        array([0.   , 0.222, 0.333, 0.444])
    """
    check_sampling("next_distribution", temperature, top_k, top_p)
    scores = allowed(logits, exclude)
    keep = 1 if temperature == 0 else top_k
    if keep is not None and keep < scores.shape[-1]:
        order = np.argsort(-scores, axis=-1, kind="stable")
        np.put_along_axis(scores, order[..., keep:], -np.inf, -1)
    scores -= scores.max(-1, keepdims=True)
    with np.errstate(over="ignore"):  # a tiny temperature: scores below the top go to -inf
        scores /= temperature or 1.0
    p = np.exp(scores)
    p /= p.sum(-1, keepdims=True)
    if top_p is not None and top_p < 1:
        order = np.argsort(-p, axis=-1, kind="stable")
        falling = np.take_along_axis(p, order, -1)
        outside = falling.cumsum(-1) - falling >= top_p  # the sum before it is enough
        np.put_along_axis(p, order, np.where(outside, 0, falling), -1)
        p /= p.sum(-1, keepdims=True)
    return p


def allowed(logits: Any, exclude: Sequence[int]) -> NDArray[np.float64]:
    """A copy of scores in float64, -inf at the excluded ids."""
    scores = np.array(logits, np.float64)
    size = scores.shape[-1]
    if np.isnan(scores).any() or (scores == np.inf).any():
        raise ValueError("the model's scores are not finite: its parameters are damaged")
    for i in exclude:
        if not 0 <= i < size:
            raise ValueError(f"exclude: ids must be from 0 to {size - 1}, got {i}")
        scores[..., i] = -np.inf
    if (scores.max(-1) == -np.inf).any():
        raise ValueError("no token is left to be drawn: all are excluded")
    return scores


def choose(p: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A draw from each distribution, (..., vocab) to (...)."""
    cumulated = p.cumsum(-1)
    u = rng.random(p.shape[:-1]) * cumulated[..., -1]
    return (cumulated <= u[..., None]).sum(-1)


# Beams ------------------------------------------------------------------------------------------


class Hypothesis(NamedTuple):
    """A result of beam search.

    Attributes:
        ids: The new ids, without ``<s>`` and ``</s>``.
        score: The sum of their log probabilities, that of ``</s>`` included.
        finished: Whether it ended with ``</s>``, and not with the last step.
    """

    ids: NDArray[np.int64]
    score: float
    finished: bool


def beam_search(
    logits: Any,
    state: Any,
    advance: Callable[[NDArray[np.int64], Any], tuple[Any, Any]],
    *,
    steps: int,
    width: int,
    end: int | None,
    length_penalty: float,
    exclude: Sequence[int] = (),
) -> list[Hypothesis]:
    """Beam search for the most probable texts, best first.

    At each step the ``width`` best continuations of all hypotheses are kept, less those that are
    already finished.

    Args:
        logits: (1, vocab), the scores of the first token.
        state: The model's state then, of a batch of 1, batch first.
        advance: From the ids (batch,) and the states of hypotheses to their next scores
            (batch, vocab) and states.
        steps: The maximal number of tokens, ``</s>`` included.
        width: The number of hypotheses.
        end: The id of ``</s>``, with which a hypothesis is finished, or None.
        length_penalty: α: hypotheses are ranked by score / tokens^α. 0 ranks by probability; 1
            by the mean log probability of a token, which favours longer ones.
        exclude: Ids that are never chosen; the others keep their probabilities.

    Returns:
        Up to ``width`` hypotheses, finished ones before the others.

    Source: Graves (2012); the penalty is the one of Wu et al. (2016) without its constant.
    """
    texts, scores = np.zeros((1, 0), np.int64), np.zeros(1)
    finished: list[Hypothesis] = []
    for step in range(steps):
        if step:
            logits, state = advance(texts[:, -1], state)
        logp = allowed(log_softmax(allowed(logits, ())), exclude)
        totals = (scores[:, None] + logp).ravel()
        best = np.argsort(-totals, kind="stable")[: width - len(finished)]
        best = best[totals[best] > -np.inf]
        parents, ids = np.divmod(best, logp.shape[-1])
        ends = ids == end
        finished += [
            Hypothesis(texts[parent], float(totals[place]), True)
            for parent, place in zip(parents[ends], best[ends], strict=True)
        ]
        parents, scores = parents[~ends], totals[best[~ends]]
        texts = np.concatenate([texts[parents], ids[~ends, None]], axis=1)
        if not len(texts):
            break
        state = rows_of(state, parents)
    open_ones = [Hypothesis(t, float(s), False) for t, s in zip(texts, scores, strict=True)]

    def rank(hypothesis: Hypothesis) -> float:
        tokens = len(hypothesis.ids) + hypothesis.finished
        return -hypothesis.score / max(tokens, 1) ** length_penalty

    return sorted(finished, key=rank) + sorted(open_ones, key=rank)


def rows_of(state: Any, rows: NDArray[Any]) -> Any:
    """These rows of a state; values only, without a tape."""
    if isinstance(state, (tuple, list)):
        return tuple(rows_of(s, rows) for s in state)
    return Tensor(state.data[rows], name=state.name)
