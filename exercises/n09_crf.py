"""Exercises of notebook 09: tags that fit together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..models import CRF
from .kinds import Conditions, Function, Value

__all__ = ["EXERCISES"]

Rng = np.random.Generator

# x (words, labels) are the scores of the labels at each word, T[a, b] is the score of b after a.


def scores(rng: Rng) -> tuple[Any, Any]:
    """Scores of 3 labels at 4 words, and of pairs of labels."""
    return rng.normal(size=(4, 3)), 2 * rng.normal(size=(3, 3))


def many_scores(rng: Rng) -> tuple[Any, Any]:
    """Scores of 4 labels at 40 words: no wrong path is the best one by chance."""
    return rng.normal(size=(40, 4)), rng.normal(size=(4, 4))


def scores_and_tags(rng: Rng) -> tuple[Any, ...]:
    """The same, and a sequence of labels."""
    return *scores(rng), rng.permutation([0, 1, 2, 0])


def score(x: Any, T: Any, tags: Any) -> Any:
    """The score of a sequence of labels."""
    total = x[0, tags[0]]
    for t in range(1, len(tags)):
        total = total + T[tags[t - 1], tags[t]] + x[t, tags[t]]
    return total


def log_Z(x: Any, T: Any) -> Any:
    """The logarithm of the sum of exp(score) over all sequences, by the forward algorithm."""
    alpha = x[0]
    for t in range(1, len(x)):
        paths = alpha[:, None] + T + x[t]
        alpha = np.log(np.sum(np.exp(paths), axis=0))
    return np.log(np.sum(np.exp(alpha)))


def with_plain_T(x: Any, T: Any) -> Any:
    """The forward algorithm without logarithms, in which T is not exponentiated."""
    alpha = np.exp(x[0])
    for t in range(1, len(x)):
        alpha = alpha @ T * np.exp(x[t])
    with np.errstate(invalid="ignore"):
        return np.log(np.sum(alpha))


def viterbi(x: Any, T: Any) -> list[int]:
    """The sequence with the highest score."""
    best, back = x[0], []
    for t in range(1, len(x)):
        paths = best[:, None] + T + x[t]
        back.append(np.argmax(paths, axis=0))
        best = np.max(paths, axis=0)
    tags = [int(np.argmax(best))]
    for before in reversed(back):
        tags.append(int(before[tags[-1]]))
    return tags[::-1]


def best_ends(x: Any, T: Any) -> list[int]:
    """The label in which the best path up to each word ends."""
    best, tags = x[0], [int(np.argmax(x[0]))]
    for t in range(1, len(x)):
        best = np.max(best[:, None] + T + x[t], axis=0)
        tags.append(int(np.argmax(best)))
    return tags


def greedy(x: Any, T: Any) -> list[int]:
    """The best label at each word, given the one chosen before it."""
    tags = [int(np.argmax(x[0]))]
    for t in range(1, len(x)):
        tags.append(int(np.argmax(T[tags[-1]] + x[t])))
    return tags


def small_scores(rng: Rng) -> tuple[Any, ...]:
    """Scores to be added by hand: whole numbers, one best path, which is not the greedy one."""
    while True:
        x, T = rng.integers(0, 7, (3, 3)), rng.integers(-4, 5, (3, 3))
        right = viterbi(x, T)
        others = [greedy(x, T), [int(k) for k in np.argmax(x, axis=1)]]
        totals = sorted(
            score(x, T, (a, b, c)) for a in range(3) for b in range(3) for c in range(3)
        )
        if totals[-1] > totals[-2] and right not in others and others[0] != others[1]:
            return x, T


def best_by_hand(x: Any, T: Any) -> tuple[Any, Any]:
    """The best path and its score."""
    path = viterbi(x, T)
    return np.array(path), score(x, T, path)


def greedy_by_hand(x: Any, T: Any) -> tuple[Any, Any]:
    """The greedy path and its score."""
    path = greedy(x, T)
    return np.array(path), score(x, T, path)


def each_by_itself(x: Any, T: Any) -> tuple[Any, Any]:
    """The best label of each word without T, and the path's score."""
    path = np.argmax(x, axis=1)
    return path, score(x, T, path)


def without_pairs(x: Any, T: Any) -> tuple[Any, Any]:
    """The best path with the score of its labels alone."""
    path = viterbi(x, T)
    return np.array(path), x[np.arange(len(x)), path].sum()


# A CRF over O, B and I in which I never follows O, nor begins.

OUTSIDE, BEGIN, INSIDE = range(3)
LABELS = OUTSIDE, BEGIN, INSIDE
FORBIDDEN = -1e4


def forbidding() -> CRF:
    """A CRF that forbids it, and nothing else."""
    crf = CRF(["O", "B", "I"], dtype=float)
    T, start = np.zeros((3, 3)), np.zeros(3)
    T[OUTSIDE, INSIDE] = FORBIDDEN
    start[INSIDE] = FORBIDDEN
    crf.T.data, crf.start.data = T, start
    return crf


def is_crf(crf: Any, rng: Rng) -> bool:
    """Whether it is a CRF of three labels."""
    return isinstance(crf, CRF) and crf.n_labels == 3


def forbids_i_after_o(crf: CRF, rng: Rng) -> bool:
    """Whether I never follows O, however much the words ask for it."""
    return list(crf.decode(np.array([[9.0, 0, 0], [0, 0, 9.0]]))) != [OUTSIDE, INSIDE]


def forbids_i_first(crf: CRF, rng: Rng) -> bool:
    """Whether no sequence begins with I."""
    return int(crf.decode(np.array([[0, 0, 9.0], [0, 0, 9.0]]))[0]) != INSIDE


def allows_the_rest(crf: CRF, rng: Rng) -> bool:
    """Whether all other pairs can be had."""
    for before in LABELS:
        for after in LABELS:
            x = np.full((3, 3), -9.0)
            x[0, BEGIN if before == INSIDE else before] = x[1, before] = x[2, after] = 9
            if (before, after) != (OUTSIDE, INSIDE) and list(crf.decode(x))[1:] != [before, after]:
                return False
    return True


def prefers_nothing(crf: CRF, rng: Rng) -> bool:
    """Whether sequences that are allowed have equal scores where the words say nothing."""
    allowed = ["OBI", "BII", "OOO", "BBO", "BIO", "OOB"]
    found = [crf.score(np.zeros((3, 3)), ["OBI".index(c) for c in tags]).item() for tags in allowed]
    return bool(np.ptp(found) < 1e-6)


IS_CRF = 'Expected the CRF(["O", "B", "I"]) itself, with its T and start set.'
AFTER_O = "I still follows O where the words ask for it: T[0, 2] has to be very low."
FIRST = "A sequence still begins with I: look at crf.start."
REST = "More is forbidden than should be: I may follow B and I, and O and B may follow all."
NOTHING = "What is allowed should have the score 0, so that nothing is preferred."


# When the best sequence is not the sequence of the best labels.


def two_words() -> Any:
    """Scores of pairs of labels: P is 0.4 for (0, 0), 0.35 for (1, 0) and 0.25 for (1, 1)."""
    return np.log(np.array([[0.40, 0.001], [0.35, 0.25]]))


def is_square(T: Any, rng: Rng) -> bool:
    """Whether it has numbers for two labels after two labels."""
    T = np.asarray(T)
    return T.shape == (2, 2) and T.dtype.kind in "if" and bool(np.isfinite(T).all())


def shares(T: Any) -> Any:
    """The probability of each pair of labels."""
    T = np.asarray(T, float)
    return np.exp(T - T.max()) / np.exp(T - T.max()).sum()


def has_one_best(T: Any, rng: Rng) -> bool:
    """Whether one pair is better than all others."""
    *_, second, first = sorted(shares(T).ravel())
    return bool(first > second + 1e-9)


def has_best_labels(T: Any, rng: Rng) -> bool:
    """Whether one label is better than the other at each of the two words."""
    P = shares(T)
    return bool(abs(P.sum(1) @ [1, -1]) > 1e-9 and abs(P.sum(0) @ [1, -1]) > 1e-9)


def differ(T: Any, rng: Rng) -> bool:
    """Whether the best pair is not the pair of the best labels."""
    P = shares(T)
    pair = np.unravel_index(np.argmax(P), P.shape)
    return tuple(pair) != (np.argmax(P.sum(1)), np.argmax(P.sum(0)))


SQUARE = "Expected an array (2, 2) of finite numbers: T[a, b], the score of b after a."
ONE_BEST = "Two pairs are equally good: there is no one best path."
TIES = "At one of the words both labels are equally probable: make one of them more so."
SAME = "The best path has the most probable label at both words: let two weaker paths share one."

EXERCISES = [
    Function(
        id="09.score",
        title="The score of a sequence",
        question="Write the score of a sequence of labels.",
        hints=(
            "At each word the label's score; between two words the pair's.",
            "There are as many terms of x as words, and one fewer of T.",
            "x[t, tags[t]] for all t, and T[tags[t - 1], tags[t]] from the second word on.",
        ),
        solution=score,
        inputs=scores_and_tags,
        cases={
            "T at 0": lambda x, T, tags: (x, 0 * T, tags),
            "x at 0": lambda x, T, tags: (0 * x, T, tags),
        },
        mistakes={
            "The pairs are the wrong way round: T[a, b] is the score of b after a.": (
                "T[tags[t - 1], tags[t]]",
                "T[tags[t], tags[t - 1]]",
            ),
            "The first word's label has no score here: x[0, tags[0]] is missing.": (
                "total = x[0, tags[0]]",
                "total = 0",
            ),
            "The first word has no pair: at t = 0 the index t - 1 is -1, the last word.": (
                "total = x[0, tags[0]]",
                "total = x[0, tags[0]] + T[tags[-1], tags[0]]",
            ),
            "The scores of the labels are added for the first word only.": (" + x[t, tags[t]]", ""),
            "The scores of the pairs are missing.": ("T[tags[t - 1], tags[t]] + ", ""),
            "The label's score at the word before is added in the place of the word's own.": (
                "x[t, tags[t]]",
                "x[t - 1, tags[t]]",
            ),
        },
    ),
    Function(
        id="09.forward",
        title="The forward algorithm",
        question="Write log Z in as many steps as there are words.",
        hints=(
            "alpha[b] is the log of the sum over all sequences that end in b at this word.",
            "paths[a, b] = alpha[a] + T[a, b] + x[t, b]: alpha is a column here.",
            "The new alpha is the log of the sum of exp(paths) over axis 0; log Z likewise.",
        ),
        solution=log_Z,
        inputs=scores,
        cases={"T at 0": lambda x, T: (x, 0 * T)},
        mistakes={
            "The sum is over b: it should be over the label before, axis=0.": ("axis=0", "axis=1"),
            "T stands the wrong way round: T[a, b] is the score of b after a.": (
                "alpha[:, None] + T + x[t]",
                "alpha[:, None] + T.T + x[t]",
            ),
            "This takes the best path, as Viterbi does; log Z sums over all paths.": (
                ("np.log(np.sum(np.exp(paths), axis=0))", "np.max(paths, axis=0)"),
                ("np.log(np.sum(np.exp(alpha)))", "np.max(alpha)"),
            ),
            "The last step is missing: sum over the last label too.": (
                "np.log(np.sum(np.exp(alpha)))",
                "alpha",
            ),
            "The scores of the words after the first are missing.": (" + x[t]", ""),
            "alpha stands along b: it belongs to the label before, alpha[:, None].": (
                "alpha[:, None] + T",
                "alpha + T",
            ),
            "T is not used.": ("alpha[:, None] + T + x[t]", "alpha[:, None] + 0 * T + x[t]"),
            "T holds scores: where products are summed, it is exp(T) that stands in them.": (
                with_plain_T
            ),
            "This is Z; its logarithm was asked for.": (
                "np.log(np.sum(np.exp(alpha)))",
                "np.sum(np.exp(alpha))",
            ),
        },
    ),
    Value(
        id="09.hand",
        title="Viterbi by hand",
        question='In x, T = given("09.hand"): which path is best, and what is its score?',
        hints=(
            "At the second word write for each label the best of the three ways to it.",
            "Keep of each label the best score up to it, and which label came before it.",
            "At the last word take the best label, and go back to where its way came from.",
        ),
        solution=best_by_hand,
        names=("path", "score"),
        given=small_scores,
        mistakes={
            "This chooses from left to right, each label by itself once the one before is chosen; "
            "a label that is worse now can lead to a better path.": greedy_by_hand,
            "This takes the best label of each word, as if T were 0.": each_by_itself,
            "The path is right; its score has the pairs of T too.": without_pairs,
        },
    ),
    Function(
        id="09.viterbi",
        title="Write the Viterbi algorithm",
        question="Return the best sequence of labels, a list of ids.",
        hints=(
            "It is the forward algorithm with a maximum in the place of the sum.",
            "Keep np.argmax(paths, axis=0) of each step: where each label's best way came from.",
            "Begin with argmax(best), follow the kept arrays from last to first, then reverse.",
        ),
        solution=viterbi,
        inputs=many_scores,
        mistakes={
            "This is the best label of each word by itself; T is not used.": (
                "best[:, None] + T + x[t]",
                "best[:, None] + 0 * T + x[t]",
            ),
            "This chooses from left to right and never looks back.": greedy,
            "T stands the wrong way round: T[a, b] is the score of b after a.": (
                "+ T + x[t]",
                "+ T.T + x[t]",
            ),
            "best stands along b: it belongs to the label before, best[:, None].": (
                "best[:, None] + T",
                "best + T",
            ),
            "The path is from last to first: reverse it.": ("return tags[::-1]", "return tags"),
            "These are the best ends at each word. Where a path goes is known at the last word: "
            "begin there, and go back.": best_ends,
            "Follow the kept arrays: the label before is before[tags[-1]].": (
                "tags.append(int(before[tags[-1]]))",
                "tags.append(int(np.argmax(before)))",
            ),
        },
    ),
    Conditions(
        id="09.forbid",
        title="Forbid I after O",
        question="Set T and start of a CRF so that I neither follows O nor begins a sequence.",
        hints=(
            "A score that is very low makes a label impossible there. Which two numbers are that?",
            "T[0, 2] is the score of I after O; start[2] that of beginning with I.",
            "-1e4 at these two places, and 0 everywhere else.",
        ),
        solution=forbidding,
        conditions={
            IS_CRF: is_crf,
            AFTER_O: forbids_i_after_o,
            FIRST: forbids_i_first,
            REST: allows_the_rest,
            NOTHING: prefers_nothing,
        },
        mistakes={
            IS_CRF: lambda: CRF(2),
            AFTER_O: ("T[OUTSIDE, INSIDE] =", "T[INSIDE, OUTSIDE] ="),
            FIRST: ("start[INSIDE] =", "start[OUTSIDE] ="),
            REST: ("T[OUTSIDE, INSIDE] =", "T[:, INSIDE] ="),
            NOTHING: ("np.zeros((3, 3)), ", "0.5 * np.eye(3), "),
        },
    ),
    Conditions(
        id="09.differ",
        title="Best path, best labels",
        question="Give T (2, 2) for which the best path is not that of the most probable labels.",
        hints=(
            "Let the best path begin with one label, and two weaker paths with the other.",
            "Write the four probabilities first, then take their logarithms.",
            "P(0, 0) = 0.40, P(1, 0) = 0.35, P(1, 1) = 0.25, and nearly nothing for (0, 1).",
        ),
        solution=two_words,
        conditions={SQUARE: is_square, ONE_BEST: has_one_best, TIES: has_best_labels, SAME: differ},
        mistakes={
            SQUARE: lambda: np.zeros((3, 3)),
            ONE_BEST: lambda: np.array([[1.0, 0.0], [0.0, 1.0]]),
            TIES: lambda: np.log(np.array([[0.4, 0.1], [0.3, 0.2]])),
            SAME: lambda: np.array([[2.0, 0.0], [0.0, 1.0]]),
        },
    ),
]
