"""Exercises of notebook 06: language models."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import softmax
from .kinds import Function

__all__ = ["EXERCISES"]

Array = np.ndarray


def log_probability(ys: Array, ids: Array) -> float:
    """The logarithm of the probability of a sentence."""
    total = 0.0
    for t in range(len(ids) - 1):
        total += np.log(ys[t][ids[t + 1]])
    return total


def draw_sentence(rng: np.random.Generator) -> tuple[Array, Array]:
    """Seven ids, no two neighbours alike, and a distribution after each."""
    ids = np.cumsum(rng.integers(1, 5, 7)) % 6
    return rng.dirichlet(np.ones(6), 7), ids


def tied_step(w: int, h: Array, E: Array, W: Array, U: Array, b: Array) -> tuple[Any, Any]:
    """The distribution after a word, and the new state."""
    e = E[w]
    h = np.tanh(e @ W + h @ U + b)
    return softmax(h @ E.T), h


def draw_step(rng: np.random.Generator) -> tuple[Any, ...]:
    """A word of five, a state and weights of width 5, so that slips give numbers, not errors."""
    shapes = (5,), (5, 5), (5, 5), (5, 5), (5,)
    return int(rng.integers(1, 5)), *(rng.normal(size=shape) for shape in shapes)


def perplexity(p: Array) -> float:
    """The perplexity of a model that gave the words these probabilities."""
    return np.exp(-np.mean(np.log(p)))


def with_temperature(scores: Array, T: float) -> Any:
    """The distribution for a temperature."""
    return softmax(scores / T)


def best_weight(p: Array, q: Array) -> float:
    """The weight of q in the mixture with the least loss."""
    weights = np.arange(101) / 100
    losses = [-np.mean(np.log(w * q + (1 - w) * p)) for w in weights]
    return weights[np.argmin(losses)]


def draw_models(rng: np.random.Generator) -> tuple[Array, Array]:
    """The probabilities of two models, of which the second is somewhat better."""
    return rng.uniform(0.02, 0.9, 40), rng.uniform(0.05, 1.0, 40)


EXERCISES = [
    Function(
        id="06.score",
        title="Score a sentence",
        question="Write the logarithm of the probability of all ids after the first.",
        hints=(
            "Which row of ys predicts ids[1]?",
            "ys[0], the output after ids[0]. So ids[t + 1] is looked up in ys[t].",
            "Add np.log(ys[t][ids[t + 1]]) for t from 0 to len(ids) - 2.",
        ),
        solution=log_probability,
        inputs=draw_sentence,
        cases={"two ids": lambda ys, ids: (ys[:2], ids[:2])},
        names=("the logarithm",),
        mistakes={
            "This scores each id by the output after it; the output before it predicts it.": (
                (" - 1):", "):"),
                ("ids[t + 1]", "ids[t]"),
            ),
            "The output after an id has seen it already; look one row earlier.": (
                "ys[t][ids[t + 1]]",
                "ys[t + 1][ids[t + 1]]",
            ),
            "The index is shifted the wrong way: ys[t] predicts ids[t + 1], not ids[t - 1].": (
                "ys[t][ids[t + 1]]",
                "ys[t + 1][ids[t]]",
            ),
            "The first id is given, not predicted: begin with ids[1].": (
                ("total = 0.0", "total = np.log(ys[-1][ids[0]])"),
            ),
            "The last predicted id is missing: there are len(ids) - 1 of them.": (
                " - 1):",
                " - 2):",
            ),
            "This is the probability; its logarithm is asked for.": (
                "return total",
                "return np.exp(total)",
            ),
            "This is the mean; the sum is asked for.": (
                "return total",
                "return total / (len(ids) - 1)",
            ),
            "The sign is wrong: the logarithm of a probability is at most 0.": (
                "return total",
                "return -total",
            ),
            "Add the logarithms of the probabilities, not the probabilities.": (
                "np.log(ys[t][ids[t + 1]])",
                "ys[t][ids[t + 1]]",
            ),
            "This is the logarithm of the sum; a product becomes a sum of logarithms.": (
                ("np.log(ys[t][ids[t + 1]])", "ys[t][ids[t + 1]]"),
                ("return total", "return np.log(total)"),
            ),
            "The logarithm is the natural one, np.log, not that to the base 2.": (
                "np.log(",
                "np.log2(",
            ),
        },
    ),
    Function(
        id="06.tied",
        title="One step with tied weights",
        question="Write one step of a language model whose V is E transposed.",
        hints=(
            "Three lines: the row of the word, the new state, the distribution.",
            "e = E[w], then np.tanh(e @ W + h @ U + b). The scores compare h with each row of E.",
            "Return softmax(h @ E.T), h, with the new h.",
        ),
        solution=tied_step,
        inputs=draw_step,
        cases={
            "W and U at 0": lambda w, h, E, W, U, b: (w, h, E, 0 * W, 0 * U, b),
            "h at 0": lambda w, h, E, W, U, b: (w, 0 * h, E, W, U, b),
        },
        names=("the distribution", "the state"),
        mistakes={
            "The scores are compared with the columns of E; transpose it: h @ E.T.": (
                "h @ E.T",
                "h @ E",
            ),
            "A word's vector is a row of E, E[w], not a column.": ("E[w]", "E[:, w]"),
            "The scores have no softmax, so they are no distribution.": (
                "softmax(h @ E.T)",
                "h @ E.T",
            ),
            "The new state has no tanh.": ("np.tanh(e @ W + h @ U + b)", "e @ W + h @ U + b"),
            "The scores come from the word's vector; they come from the new state.": (
                "softmax(h @ E.T)",
                "softmax(e @ E.T)",
            ),
            "The distribution comes from the old state; it comes from the new one.": (
                ("h = np.tanh", "new = np.tanh"),
                ("h @ E.T), h", "h @ E.T), new"),
            ),
            "W and U are swapped: W is for the word, U for the state.": (
                "e @ W + h @ U",
                "e @ U + h @ W",
            ),
            "The word's vector is a row of E; W is applied to it.": (
                ("E[w]", "W[w]"),
                ("e @ W", "e @ E"),
            ),
            "Vectors are rows here: e @ W, not W @ e.": ("e @ W + h @ U", "W @ e + U @ h"),
            "The old state is left out: h @ U is missing.": (" + h @ U", ""),
            "The bias is missing.": (" + b)", ")"),
        },
    ),
    Function(
        id="06.perplexity",
        title="Perplexity",
        question="Write the perplexity of a model that gave the words the probabilities p.",
        hints=(
            "It is the exponential of the loss.",
            "The loss is the mean of -log p.",
            "np.exp(-np.mean(np.log(p)))",
        ),
        solution=perplexity,
        inputs=lambda rng: (rng.uniform(0.05, 0.95, 5),),
        cases={"50 equal chances, where it is 50": lambda p: (np.full(4, 1 / 50),)},
        names=("the perplexity",),
        mistakes={
            "This is the loss; the perplexity is its exponential.": (
                "np.exp(-np.mean(np.log(p)))",
                "-np.mean(np.log(p))",
            ),
            "The sign is missing: it is the exponential of the mean of -log p.": (
                "-np.mean",
                "np.mean",
            ),
            "Take the mean of the logarithms, not their sum: else long texts are worse.": (
                "np.mean",
                "np.sum",
            ),
            "The bases differ: a natural logarithm goes with np.exp, log2 with 2 ** ...": (
                "np.exp(-np.mean(np.log(p)))",
                "2 ** -np.mean(np.log(p))",
            ),
            "Take the mean of the logarithms, not the logarithm of the mean.": (
                "np.mean(np.log(p))",
                "np.log(np.mean(p))",
            ),
            "This is the mean of 1 / p; the perplexity averages logarithms.": (
                "np.exp(-np.mean(np.log(p)))",
                "np.mean(1 / p)",
            ),
        },
    ),
    Function(
        id="06.temperature",
        title="Temperature",
        question="Write the distribution for scores and a temperature T.",
        hints=(
            "A low temperature makes differences larger. Where do they have to be changed?",
            "Before the softmax: the scores are divided.",
            "softmax(scores / T)",
        ),
        solution=with_temperature,
        inputs=lambda rng: (2 * rng.normal(size=5), float(rng.uniform(1.5, 3))),
        cases={"T = 1": lambda scores, T: (scores, 1.0)},
        names=("the distribution",),
        mistakes={
            "A low temperature has to make differences larger: divide by T.": (
                "scores / T",
                "scores * T",
            ),
            "Divide the scores, not the probabilities: these do not sum to 1 any more.": (
                "softmax(scores / T)",
                "softmax(scores) / T",
            ),
            "Probabilities to the power 1 / T do not sum to 1: divide by their sum.": (
                "softmax(scores / T)",
                "softmax(scores) ** (1 / T)",
            ),
            "T is not used.": ("scores / T", "scores"),
            "T is subtracted, which changes nothing in a softmax: divide by it.": (
                "softmax(scores / T)",
                "np.exp(scores - T)",
            ),
            "The exponentials have to be divided by their sum.": (
                "softmax(scores / T)",
                "np.exp(scores / T)",
            ),
            "The softmax stands twice.": ("softmax(scores / T)", "softmax(softmax(scores) / T)"),
        },
    ),
    Function(
        id="06.mixture",
        title="The best weight",
        question="Which weight of q, in hundredths, gives the mixture of p and q the least loss?",
        hints=(
            "The loss of a weight w is the mean of -log(w * q + (1 - w) * p).",
            "Compute it for all weights of np.arange(101) / 100.",
            "weights[np.argmin(losses)]",
        ),
        solution=best_weight,
        inputs=draw_models,
        cases={"q never worse": lambda p, q: (np.minimum(p, q), np.maximum(p, q))},
        names=("the weight",),
        mistakes={
            "This is the weight of p; that of q is asked for.": (
                "w * q + (1 - w) * p",
                "w * p + (1 - w) * q",
            ),
            "0 or 1 is never best here: the loss is the mean of -log(w * q + (1 - w) * p).": (
                "-np.mean(np.log(w * q + (1 - w) * p))",
                "-np.mean(w * q + (1 - w) * p)",
            ),
            "This is the loss of the best weight; the weight is asked for.": (
                "weights[np.argmin(losses)]",
                "min(losses)",
            ),
            "This is a place in the list; the weight is asked for.": (
                "weights[np.argmin(losses)]",
                "np.argmin(losses)",
            ),
        },
    ),
]
