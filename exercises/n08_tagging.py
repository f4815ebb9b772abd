"""Exercises of notebook 08: a label for each word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .exercise import digest
from .kinds import Choice, Function

__all__ = ["EXERCISES"]

Rng = np.random.Generator


def weighted_loss(p: Any, labels: Any, weight: Any) -> Any:
    """The weighted mean of -log p[t, label of t]: each word counts as much as its label does."""
    terms = -np.log(p[np.arange(len(labels)), labels])
    counts = weight[labels]
    return np.sum(counts * terms) / np.sum(counts)


def loss_inputs(rng: Rng) -> tuple[Any, ...]:
    """Probabilities of 4 labels at 5 words, the right labels, a weight for each label."""
    p = rng.dirichlet(np.ones(4), 5)
    return p, rng.permutation([0, 1, 2, 3, 1]), rng.uniform(0.2, 3.0, 4)


def birnn(xs: Any, W_f: Any, U_f: Any, W_b: Any, U_b: Any) -> Any:
    """y_t = [h_t of the forward RNN; h_t of the backward RNN], for every t."""
    forward, backward = [], []
    h = np.zeros(len(U_f))
    for x in xs:
        h = np.tanh(x @ W_f + h @ U_f)
        forward.append(h)
    h = np.zeros(len(U_b))
    for x in xs[::-1]:
        h = np.tanh(x @ W_b + h @ U_b)
        backward.append(h)
    backward = backward[::-1]
    return np.concatenate([np.stack(forward), np.stack(backward)], axis=1)


def birnn_inputs(rng: Rng) -> tuple[Any, ...]:
    """A sequence of 5 vectors and the weights of two directions."""
    return tuple(rng.normal(size=shape) for shape in ((5, 3), (3, 4), (4, 4), (3, 4), (4, 4)))


def reverse(xs: Any, lengths: Any) -> Any:
    """Each sequence of a padded batch reversed; the padding stays behind it."""
    result = np.zeros_like(xs)
    for b, n in enumerate(lengths):
        result[b, :n] = xs[b, :n][::-1]
    return result


def batch_inputs(rng: Rng) -> tuple[Any, ...]:
    """Three sequences of different length, padded with zeros."""
    lengths = rng.permutation([5, 3, 2])
    real = np.arange(5) < lengths[:, None]
    return np.where(real[..., None], rng.normal(size=(3, 5, 2)), 0), lengths


def count(d_in: int, d_h: int, layers: int) -> int:
    """The parameters of a stack of bidirectional LSTMs."""
    total = 0
    for _ in range(layers):
        one = 4 * (d_in * d_h + d_h * d_h + d_h)
        total += 2 * one
        d_in = 2 * d_h
    return total


def sizes(rng: Rng) -> tuple[Any, ...]:
    """The widths of input and state, and a number of layers."""
    return int(rng.integers(5, 60)), int(rng.integers(5, 60)), int(rng.integers(2, 5))


def columns(words: Sequence[str]) -> Any:
    """Of each word: in lower case, its last three letters, whether it begins with a capital."""
    lower = [word.lower() for word in words]
    suffixes = [word[-3:] for word in lower]
    capital = [word[0].isupper() for word in words]
    return lower, suffixes, capital


def some_words(rng: Rng) -> tuple[Any, ...]:
    """Words of different length and case."""
    known = ["Anna", "eBay", "runs", "Slowly", "up", "I", "RUNNING", "walked", "DogS", "tHe"]
    return ([str(word) for word in rng.permutation(known)],)


LEFT, RIGHT, BOTH, NEITHER = "left", "right", "both", "neither"

EXERCISES = [
    Function(
        id="08.loss",
        title="A weighted loss",
        question="Write the weighted mean of the losses at each word.",
        hints=(
            "At word t the loss is -log of the probability of its right label.",
            "p[np.arange(n), labels] picks these probabilities; weight[labels] the weights.",
            "Divide the sum of weight times loss by the sum of the weights, not by n.",
        ),
        solution=weighted_loss,
        inputs=loss_inputs,
        cases={"all weights equal": lambda p, labels, weight: (p, labels, 0 * weight + 0.5)},
        mistakes={
            "The weighted sum is divided by the number of words; divide by the sum of weights.": (
                "/ np.sum(counts)",
                "/ len(labels)",
            ),
            "This is the weighted sum; divide it by the sum of the weights.": (
                " / np.sum(counts)",
                "",
            ),
            "The losses have the wrong sign: the logarithm of a probability is negative.": (
                "-np.log",
                "np.log",
            ),
            "The weights are not used: this is the plain mean.": (
                "weight[labels]",
                "np.ones(len(labels))",
            ),
            "This is the mean of 1 - p; the loss is -log p.": ("-np.log(p", "1 - (p"),
            "The weights are of all labels in turn; a word counts by its own label's.": (
                "weight[labels]",
                "np.resize(weight, len(labels))",
            ),
        },
    ),
    Function(
        id="08.birnn",
        title="Write a bidirectional RNN",
        question="Write both directions of a simple RNN and concatenate their states.",
        hints=(
            "Two loops: one over xs, one over xs[::-1], each with its own weights and h = 0.",
            "The second loop's first state belongs to the last word.",
            "Reverse the list of the second loop's states before you concatenate, axis=1.",
        ),
        solution=birnn,
        inputs=birnn_inputs,
        cases={
            "W_b and U_b at 0": lambda xs, W_f, U_f, W_b, U_b: (xs, W_f, U_f, 0 * W_b, 0 * U_b),
            "W_f and U_f at 0": lambda xs, W_f, U_f, W_b, U_b: (xs, 0 * W_f, 0 * U_f, W_b, U_b),
            "U_f and U_b at 0": lambda xs, W_f, U_f, W_b, U_b: (xs, W_f, 0 * U_f, W_b, 0 * U_b),
        },
        mistakes={
            "The backward states stand in the order in which they were computed; the one that "
            "was computed last belongs to the first word.": ("backward = backward[::-1]", ""),
            "The backward RNN reads from left to right.": (
                ("xs[::-1]", "xs"),
                ("backward = backward[::-1]", ""),
            ),
            "The backward RNN reads from left to right, and its states are turned round.": (
                "xs[::-1]",
                "xs",
            ),
            "Both directions have the forward weights; the backward RNN has its own.": (
                "x @ W_b + h @ U_b",
                "x @ W_f + h @ U_f",
            ),
            "The backward RNN goes on from the forward RNN's last state; it begins at 0.": (
                "h = np.zeros(len(U_b))",
                "",
            ),
            "The two directions are swapped: y_t is [forward; backward].": (
                "np.stack(forward), np.stack(backward)",
                "np.stack(backward), np.stack(forward)",
            ),
            "The tanh is missing.": ("np.tanh(", "("),
            "xs[-t] is xs[0] at first; the last word is xs[-1].": (
                "for x in xs[::-1]:",
                "for x in [xs[-t] for t in range(len(xs))]:",
            ),
            "The backward state at t has read x_n to x_(t+1) only; it reads x_t too.": (
                "backward = backward[::-1]",
                "backward = [*backward[::-1][1:], np.zeros(len(U_b))]",
            ),
        },
    ),
    Function(
        id="08.reverse",
        title="Reverse a padded batch",
        question="Reverse each sequence within its own length.",
        hints=(
            "What would a backward RNN read first if you reversed the whole axis?",
            "A loop over b and n = lengths[b]; only xs[b, :n] is reversed.",
            "result[b, :n] = xs[b, :n][::-1], and zeros behind it.",
        ),
        solution=reverse,
        inputs=batch_inputs,
        mistakes={
            "The whole axis of time is reversed: short sequences now begin with padding.": (
                "result[b, :n] = xs[b, :n][::-1]",
                "result[b] = xs[b][::-1]",
            ),
            "The order of the sequences is reversed, not the order of the words in each.": (
                "result[b, :n] = xs[b, :n][::-1]",
                "result[b, :n] = xs[-1 - b, :n]",
            ),
            "The last word of each sequence is missing.": (
                "result[b, :n] = xs[b, :n][::-1]",
                "result[b, : n - 1] = xs[b, : n - 1][::-1]",
            ),
            "The features of each vector are reversed, not the words.": (
                "xs[b, :n][::-1]",
                "xs[b, :n, ::-1]",
            ),
            "Nothing is reversed: [::-1] turns the order of an axis round.": (
                "xs[b, :n][::-1]",
                "xs[b, :n]",
            ),
        },
    ),
    Choice(
        id="08.context",
        title="Which context decides?",
        question="Of each pair: which context tells the two tags apart?",
        hints=(
            "Cover everything to the right of the word. Can you still tell its tag?",
            "Words before it that are the same in both sentences tell nothing.",
            "One pair is decided from the left, two from the right, one needs no context.",
        ),
        right=(
            digest("08.context", LEFT),
            digest("08.context", RIGHT),
            digest("08.context", NEITHER),
            digest("08.context", RIGHT),
        ),
        options={
            LEFT: "Is anything before the word different in the two sentences?",
            RIGHT: "Is anything after the word needed? Cover it, and read again.",
            BOTH: "One side is enough here: cover the other one.",
            NEITHER: "The word has two different tags in these two sentences.",
        },
        because=(
            "before play stands a determiner or to; that, and to, begin both sentences alike, and "
            "the next word decides; the is a determiner wherever it stands."
        ),
    ),
    Function(
        id="08.stack",
        title="Count a stack's parameters",
        question="Count the parameters of a stack of bidirectional LSTMs.",
        hints=(
            "One LSTM has four gates, each with a W, a U and a b.",
            "A layer has two LSTMs. How wide is what the next layer reads?",
            "A layer has 2 · 4 · (d_in d_h + d_h² + d_h); from the second on d_in is 2 d_h.",
        ),
        solution=count,
        inputs=sizes,
        mistakes={
            "The layers above the first read both directions' states: 2 d_h numbers.": (
                "d_in = 2 * d_h",
                "d_in = d_h",
            ),
            "All layers are counted as if they read d_in numbers; above the first it is 2 d_h.": (
                "d_in = 2 * d_h",
                "",
            ),
            "Only one direction is counted.": ("2 * one", "one"),
            "The biases are missing.": (" + d_h)", ")"),
            "An LSTM has four sums of this form, f, i, o and g; three are counted.": (
                "4 * (",
                "3 * (",
            ),
            "This counts one sum; an LSTM has four of them.": ("4 * (", "1 * ("),
            "This is the first layer alone.": ("range(layers)", "range(1)"),
        },
    ),
    Function(
        id="08.suffix",
        title="Features of words",
        question="Return three lists: words in lower case, their suffixes, whether capitalised.",
        hints=(
            "Three lists as long as words; a list comprehension makes each.",
            "word[-3:] is the suffix, also of a word that is shorter.",
            "Take the suffix of the lowercased word; word[0].isupper() of the word as it is.",
        ),
        solution=columns,
        inputs=some_words,
        names=("lower", "suffixes", "capital"),
        mistakes={
            "The suffixes are of the words as they are; take those of the lowercased words.": (
                "[word[-3:] for word in lower]",
                "[word[-3:] for word in words]",
            ),
            "These are the first letters, prefixes; a suffix is at the end.": (
                "word[-3:]",
                "word[:3]",
            ),
            "The third-last letter alone; a suffix goes on to the end: word[-3:].": (
                "[word[-3:] for word in lower]",
                "[word[max(-3, -len(word))] for word in lower]",
            ),
            "Capitals are looked for in the lowercased words: there are none.": (
                "word[0].isupper() for word in words",
                "word[0].isupper() for word in lower",
            ),
            "word.isupper() is true of words that are all capitals; look at the first letter.": (
                "word[0].isupper()",
                "word.isupper()",
            ),
            "The words are not in lower case.": ("return lower,", "return list(words),"),
        },
    ),
]
