"""Exercises of notebook 07: praise or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cells import LSTM
from ..models import Acceptor, Adam, Embedding, Labelled, fit, predictions
from .exercise import digest
from .kinds import Choice, Conditions, Function

__all__ = ["EXERCISES"]

Rng = np.random.Generator


# Two texts that are one bag of words: praise if the last verdict is good.


def one_bag() -> tuple[str, str]:
    """Praise and blame in the same words."""
    return "it was bad and then very good", "it was good and then very bad"


def are_texts(answer: Any, rng: Rng) -> bool:
    """Whether it is a pair of texts."""
    pair = isinstance(answer, (tuple, list)) and len(answer) == 2
    return pair and all(isinstance(text, str) for text in answer)


def have_both(answer: Any, rng: Rng) -> bool:
    """Whether good and bad are in both."""
    return all({"good", "bad"} <= set(text.lower().split()) for text in answer)


def are_one_bag(answer: Any, rng: Rng) -> bool:
    """Whether they have the same words, each as often."""
    praise, blame = (sorted(text.lower().split()) for text in answer)
    return praise == blame


def ends_with(text: str, verdict: str) -> bool:
    """Whether the last of the words good and bad is this one."""
    return [word for word in text.lower().split() if word in ("good", "bad")][-1] == verdict


TEXTS = "Expected two texts, first the praise and then the blame."
WORDS = "Both texts need both words, good and bad, with spaces around them."
BAG = "The two are different bags: compare sorted(text.split()) of both."
PRAISE = "The first text is to be praise: its last verdict should be good."
BLAME = "The second text is to be blame: its last verdict should be bad."


# Poolings.


def masked_mean(hs: Any, lengths: Any) -> Any:
    """The mean of the states at each sequence's words, without its padding."""
    real = np.arange(hs.shape[1]) < lengths[:, None]
    total = np.sum(hs * real[:, :, None], axis=1)
    return total / lengths[:, None]


def states_of_batch(rng: Rng) -> tuple[Any, ...]:
    """States (batch, time, d) with something at padding, and lengths."""
    return rng.normal(size=(4, 6, 3)), rng.permutation([6, 4, 2, 1])


def attend(hs: Any, w: Any) -> Any:
    """The weighted mean of the states; their weights are a softmax over time of h · w."""
    scores = hs @ w
    weights = np.exp(scores) / np.sum(np.exp(scores))
    return np.sum(weights[:, None] * hs, axis=0)


def states_and_query(rng: Rng) -> tuple[Any, ...]:
    """States (time, d) and a vector (d,)."""
    return rng.normal(size=(5, 5)), rng.normal(size=5)


# Twenty sentences learnt by heart.


def by_heart() -> tuple[Any, Any]:
    """A model that is right on all twenty sequences of a task, and the task."""
    rng = np.random.default_rng(0)
    sequences = [rng.integers(3, 40, rng.integers(4, 12)) for _ in range(20)]
    task = Labelled(sequences, rng.permutation([0, 1] * 10), batch=20, rng=0)
    model = Acceptor(LSTM(8, 8, rng=0), 2, embedding=Embedding(40, 8, rng=0), rng=0)
    optimizer = Adam(model.parameters(), 0.05)
    fit(model, task, optimizer, epochs=40, progress=False, jit=False)
    return model, task


def is_pair(answer: Any, rng: Rng) -> bool:
    """Whether it is a model and a task with labels."""
    pair = isinstance(answer, (tuple, list)) and len(answer) == 2
    return pair and hasattr(answer[0], "predict") and isinstance(answer[1], Labelled)


def has_twenty(answer: Any, rng: Rng) -> bool:
    """Whether the task has twenty sequences, each with one label."""
    task = answer[1]
    return len(task.sequences) == 20 and task.labels is not None and not task.per_token


def has_both(answer: Any, rng: Rng) -> bool:
    """Whether both labels occur in the task."""
    return len(np.unique(answer[1].labels)) > 1


def is_right(answer: Any, rng: Rng) -> bool:
    """Whether the model is right on all of them."""
    model, task = answer
    return np.array_equal(predictions(model, task), task.labels)


PAIR = "Expected a pair (model, task), a classifier and a Labelled."
TWENTY = "Expected a task of 20 sentences, each with one label."
BOTH = "All labels are the same: a model need not read to be right."
RIGHT = "The model is not yet right on all 20: more epochs, a larger rate, or more units."


def untrained() -> tuple[Any, Any]:
    """The same model before it was trained."""
    _, task = by_heart()
    return Acceptor(LSTM(8, 8, rng=0), 2, embedding=Embedding(40, 8, rng=0), rng=0), task


NEGATION, CONTRAST, WISH, IRONY, UNKNOWN = "negation", "contrast", "wish", "irony", "unknown word"

EXERCISES = [
    Conditions(
        id="07.bag",
        title="Two texts, one bag",
        question="Write a praise and a blame in the same words, each word as often.",
        hints=(
            "Take good and bad in both texts. What tells which one is meant in the end?",
            "A bag forgets the order: swap the two words.",
            'Such as "it was bad and then good" and the other way round.',
        ),
        solution=one_bag,
        conditions={
            TEXTS: are_texts,
            WORDS: have_both,
            BAG: are_one_bag,
            PRAISE: lambda answer, rng: ends_with(answer[0], "good"),
            BLAME: lambda answer, rng: ends_with(answer[1], "bad"),
        },
        mistakes={
            TEXTS: lambda: "good bad",
            WORDS: lambda: ("it was good", "it was bad"),
            BAG: lambda: ("it was bad and then very good", "it was good and then bad"),
            PRAISE: lambda: ("good and then bad", "good and then bad"),
            BLAME: lambda: ("bad and then good", "and then bad good"),
        },
    ),
    Function(
        id="07.mean",
        title="A mean without the padding",
        question="Write the mean of the states over each sequence's own words.",
        hints=(
            "Which rows of hs belong to words? np.arange(time) < lengths[:, None] says where.",
            "Multiply the states by that mask, with a last axis of 1, and sum over axis 1.",
            "Divide by the lengths, as a column: lengths[:, None].",
        ),
        solution=masked_mean,
        inputs=states_of_batch,
        cases={"all sequences of full length": lambda hs, n: (hs, np.full(len(n), hs.shape[1]))},
        mistakes={
            "The padding is in the mean: set it to 0, and divide by the lengths.": (
                ("hs * real[:, :, None]", "hs"),
                ("total / lengths[:, None]", "total / hs.shape[1]"),
            ),
            "The padding is in the sum, though you divide by the lengths.": (
                "hs * real[:, :, None]",
                "hs",
            ),
            "The sum is right; divide by each sequence's length, not by the longest.": (
                "total / lengths[:, None]",
                "total / hs.shape[1]",
            ),
            "This is the sum; divide by the lengths.": ("total / lengths[:, None]", "total"),
            "One word too many is in the mean: positions count from 0.": (
                "< lengths[:, None]\n",
                "<= lengths[:, None]\n",
            ),
            "This is the state at the last word, not the mean.": (
                "total / lengths[:, None]",
                "hs[np.arange(len(hs)), lengths - 1]",
            ),
        },
    ),
    Function(
        id="07.attention",
        title="Attention",
        question="Write the weighted mean of the states, with weights softmax over time of h · w.",
        hints=(
            "One score for each position, hs @ w, then a softmax over these scores.",
            "The weights (time,) multiply the rows of hs: give them a second axis.",
            "np.sum(weights[:, None] * hs, axis=0).",
        ),
        solution=attend,
        inputs=states_and_query,
        cases={"w at 0": lambda hs, w: (hs, 0 * w)},
        mistakes={
            "The scores have no softmax: the weights should be positive and sum to 1.": (
                "np.exp(scores) / np.sum(np.exp(scores))",
                "scores",
            ),
            "The weights do not sum to 1: divide by the sum of the exponentials.": (
                " / np.sum(np.exp(scores))",
                "",
            ),
            "The weights go through σ; a softmax over time makes them sum to 1.": (
                "np.exp(scores) / np.sum(np.exp(scores))",
                "1 / (1 + np.exp(-scores))",
            ),
            "The weights stand along the features; they belong to positions: weights[:, None].": (
                "weights[:, None] * hs",
                "weights * hs",
            ),
            "This is the plain mean: w is not used.": (
                "np.exp(scores) / np.sum(np.exp(scores))",
                "np.ones(len(hs)) / len(hs)",
            ),
            "This is the state with the largest score alone; take all, weighted.": (
                "np.sum(weights[:, None] * hs, axis=0)",
                "hs[np.argmax(scores)]",
            ),
            "The weighted sum is divided by the number of words; the weights sum to 1 already.": (
                "np.sum(weights[:, None] * hs, axis=0)",
                "np.mean(weights[:, None] * hs, axis=0)",
            ),
        },
    ),
    Conditions(
        id="07.overfit",
        title="Twenty sentences by heart",
        question="Train a model until it is right on all of 20 sentences.",
        hints=(
            "The first thing to try with a new network: a few examples, many epochs.",
            "fit(model, task, Adam(model.parameters(), 0.02), epochs=40, progress=False)",
            "If some are still wrong, take more epochs or more units.",
        ),
        solution=by_heart,
        conditions={PAIR: is_pair, TWENTY: has_twenty, BOTH: has_both, RIGHT: is_right},
        mistakes={
            PAIR: lambda: (Acceptor, "task"),
            TWENTY: lambda: (by_heart()[0], Labelled([[3, 4]] * 5, [0, 1, 0, 1, 0])),
            BOTH: lambda: (by_heart()[0], Labelled([[3, 4]] * 20, [1] * 20)),
            RIGHT: untrained,
        },
    ),
    Choice(
        id="07.errors",
        title="Read five errors",
        question="What makes each of the five sentences hard?",
        hints=(
            "Ask of each: which words would a bag count as praise or blame, and are they meant?",
            "Words to look for: but, never, wish. One has none of these, but a word of its own.",
            "The order is wish, contrast, negation, and then two that are left.",
        ),
        right=(
            digest("07.errors", WISH),
            digest("07.errors", CONTRAST),
            digest("07.errors", NEGATION),
            digest("07.errors", UNKNOWN),
            digest("07.errors", IRONY),
        ),
        options={
            NEGATION: "Is anything negated here, by not or never?",
            CONTRAST: "Are there two halves that say opposite things, with a but between them?",
            WISH: "Does somebody wish for something that was not so?",
            IRONY: "Does it say the opposite of what is meant?",
            UNKNOWN: "Does the verdict hang on a word that you have never seen before?",
        },
        because=(
            "it wishes for more; it praises, and takes it back after but; it denies a fault; "
            "gunfest is in no list of words; the comparison makes exciting mean dull."
        ),
    ),
]
