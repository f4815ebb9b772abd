"""Metrics: accuracy, bits, confusion matrix, and precision, recall and F1 of spans."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd import class_ids
from ...checks import check_int, check_items, printable


def bits_of(loss: float) -> float:
    """A mean loss in nats as bits, such as bits per character.

    Example:
        >>> bits_of(math.log(2))
        1.0
    """
    return loss / math.log(2)


def flat(who: str, gold: Any, predicted: Any) -> tuple[list[Any], list[Any]]:
    """The labels of a corpus as two flat lists of equal length."""
    pair: list[list[Any]] = []
    counts = []
    for name, given in (("gold", gold), ("predicted", predicted)):
        check_items(who, name, given, "a list of labels")
        items = [np.asarray(item) for item in given]
        counts.append([item.size for item in items])
        pair.append([label for item in items for label in item.ravel().tolist()])
    if counts[0] != counts[1]:
        if len(counts[0]) != len(counts[1]):
            found = f"{len(counts[0])} and {len(counts[1])} sequences"
        else:
            i = next(i for i, (a, b) in enumerate(zip(*counts)) if a != b)
            found = f"{counts[0][i]} and {counts[1][i]} labels in sequence {i}"
        raise ValueError(f"{who}: gold and predicted labels differ in number: {found}")
    if not pair[0]:
        raise ValueError(f"{who}: there is no label to compare")
    return pair[0], pair[1]


def accuracy(gold: Any, predicted: Any) -> float:
    """The fraction of correct labels.

    Args:
        gold: Labels, ids or names: (n,), or a list of (time,), one per sequence.
        predicted: The same, in the same order.

    Example:
        >>> accuracy([["DET", "NOUN"], ["VERB"]], [["DET", "VERB"], ["VERB"]])
        0.6666666666666666
    """
    right, found = flat("accuracy", gold, predicted)
    return sum(a == b for a, b in zip(right, found, strict=True)) / len(right)


def confusion(gold: Any, predicted: Any, n_labels: int) -> NDArray[np.int64]:
    """The confusion matrix of counts: (n_labels, n_labels), ``[gold, predicted]``.

    Args:
        gold: Label ids: (n,), or a list of (time,).
        predicted: The same.
        n_labels: The number of labels.

    Example:
        >>> confusion([0, 0, 1], [0, 1, 1], 2)
        array([[1, 1],
               [0, 1]])
    """
    n = check_int("confusion", "n_labels", n_labels)
    pair = [np.array(labels) for labels in flat("confusion", gold, predicted)]
    for labels in pair:
        if labels.dtype.kind not in "iu":
            raise TypeError(
                f"confusion: labels must be ids, got {labels.tolist()[0]!r}; use Labels.encode"
            )
        class_ids(labels, n, "confusion", "labels")
    return np.bincount(pair[0] * n + pair[1], minlength=n * n).reshape(n, n)


# Spans ------------------------------------------------------------------------------------------


# The letter of BIOES for each letter of BILOU and BMES.
BIOES_LETTERS = {letter: letter for letter in "BIEOS"} | {"L": "E", "M": "I", "U": "S"}


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans of tags, (type, first, last), in any of IOB1, IOB2, BIOES, BILOU and BMES.

    A tag is ``O``, or a letter B, I, E or S and a type, as in ``B-NP``; BILOU's L and U are E and
    S, and BMES's M is I. A span ends between two
    tags if the former is O, E or S, the latter O, B or S, or their types differ. Any sequence of
    tags has spans, also one that violates the scheme: an I after an O begins a span.

    Source: the rules of conlleval, the scorer of the CoNLL-2000 shared task (Tjong Kim Sang and
    Buchholz 2000), with S as in IOBES.

    Example:
        >>> spans(["B-NP", "I-NP", "B-NP", "O", "I-VP", "I-PP"])
        [('NP', 0, 1), ('NP', 2, 2), ('VP', 4, 4), ('PP', 5, 5)]
    """
    found = []
    letter, kind, first = "O", "", 0
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, new_kind = tag.partition("-")
        after = BIOES_LETTERS.get(prefix)
        if after is None or (after == "O" and new_kind):
            raise ValueError(
                "spans: a tag must be O, or one of B, I, E, S (or L, M, U) with a type, as in "
                f"B-NP; tag {i} is {tag!r}"
            )
        if letter in "OES" or after in "OBS" or kind != new_kind:
            if letter != "O":
                found.append((kind, first, i - 1))
            first = i
        letter, kind = after, new_kind
    return found


class Score(NamedTuple):
    """The numbers of gold, of found, and of correctly found spans."""

    gold: int
    found: int
    right: int

    @property
    def precision(self) -> float:
        """The fraction of found spans that are correct; 0 if none was found."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """The fraction of gold spans that were found; 0 if there are none."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.right / (self.gold + self.found) if self.right else 0.0


class SpanScores(NamedTuple):
    """The scores of all spans and of each type, and the accuracy of the tags.

    ``print`` shows a table, in percent.
    """

    overall: Score
    types: dict[str, Score]
    accuracy: float

    def __str__(self) -> str:
        width = max([7, *map(len, self.types)])
        lines = [f"{'':{width}}  precision  recall      F1   gold  found  right"]
        for name, score in [("overall", self.overall), *self.types.items()]:
            lines.append(
                f"{name:{width}}  {100 * score.precision:9.2f}  {100 * score.recall:6.2f}  "
                f"{100 * score.f1:6.2f}  {score.gold:5}  {score.found:5}  {score.right:5}"
            )
        return printable("\n".join([*lines, f"accuracy of the tags {100 * self.accuracy:.2f}"]))


def span_scores(gold: Any, predicted: Any) -> SpanScores:
    """Precision, recall and F1 of spans, counted as conlleval does.

    A found span is correct if its type and its first and last tokens are those of a gold one.

    Args:
        gold: The tags' names: a list of tags for each sequence.
        predicted: The same, in the same order.

    Source: as in ``spans``.

    Example:
        >>> scores = span_scores([["B-NP", "I-NP", "O", "B-VP"]], [["B-NP", "O", "O", "B-VP"]])
        >>> scores.overall, scores.overall.f1, scores.types["NP"].recall
        (Score(gold=2, found=2, right=1), 0.5, 0.0)
    """
    for sequence in [*gold, *predicted]:
        if isinstance(sequence, str):
            raise TypeError(f"span_scores: expected lists of tags, got the string {sequence!r}")
    right, found = flat("span_scores", gold, predicted)
    there, seen, both = (Counter[str]() for _ in range(3))
    for a, b in zip(gold, predicted, strict=True):
        first, second = set(spans(a)), set(spans(b))
        for counter, which in ((there, first), (seen, second), (both, first & second)):
            counter.update(kind for kind, _, _ in which)
    types = {kind: Score(there[kind], seen[kind], both[kind]) for kind in sorted({*there, *seen})}
    overall = Score(there.total(), seen.total(), both.total())
    same = sum(a == b for a, b in zip(right, found, strict=True))
    return SpanScores(overall, types, same / len(right))


def span_f1(gold: Any, predicted: Any) -> float:
    """The F1 of all spans, ``span_scores(...).overall.f1``; from tags' names as it takes them."""
    return span_scores(gold, predicted).overall.f1


# Labels -----------------------------------------------------------------------------------------


class LabelScores(NamedTuple):
    """The scores of each label of a corpus, by name.

    ``print`` shows them as a table, in percent, with their unweighted mean.
    """

    labels: dict[str, Score]

    def __str__(self) -> str:
        width = max(7, *map(len, self.labels))
        scores = [*self.labels.values()]
        percent = np.array([(s.precision, s.recall, s.f1) for s in scores]) * 100
        rows = zip(self.labels, percent, (score.gold for score in scores), strict=True)
        lines = [f"{'':{width}}  precision  recall      F1    gold"]
        for name, (precision, recall, f1), gold in [
            *rows,
            ("mean", percent.mean(0), sum(score.gold for score in scores)),
        ]:
            lines.append(f"{name:{width}}  {precision:9.2f}  {recall:6.2f}  {f1:6.2f}  {gold:6}")
        return printable("\n".join(lines))


def label_scores(gold: Any, predicted: Any, names: Sequence[str]) -> LabelScores:
    """Precision, recall and F1 of each label.

    Args:
        gold: Label ids: (n,), or a list of (time,).
        predicted: The same, in the same order.
        names: The names of the labels by id.

    Example:
        >>> scores = label_scores([0, 0, 1], [0, 1, 1], ["neg", "pos"])
        >>> scores.labels["neg"], scores.labels["pos"].precision
        (Score(gold=2, found=1, right=1), 0.5)
    """
    table = confusion(gold, predicted, len(names))
    counts = zip(table.sum(1), table.sum(0), table.diagonal(), strict=True)
    return LabelScores(
        {name: Score(*map(int, count)) for name, count in zip(names, counts, strict=True)}
    )
