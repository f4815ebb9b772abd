"""Accuracy, confusions and spans, held against scorers written another way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import needs
from unspool.models import MostFrequentTag
from unspool.models.training.metrics import (
    accuracy,
    bits_of,
    confusion,
    span_f1,
    span_scores,
    spans,
)

# conlleval's own conditions, as pairs (tag before, tag): a chunk ends before the second, or a new
# one starts with it; types that differ come on top. S is a chunk of its own.
ENDS = {
    "BB",
    "BO",
    "IB",
    "IO",
    "EE",
    "EI",
    "EO",
    "EB",
    "BS",
    "IS",
    "ES",
    "SB",
    "SI",
    "SE",
    "SO",
    "SS",
}
STARTS = {"BB", "IB", "OB", "EB", "SB", "OI", "EE", "EI", "OE", "SI", "SE", "BS", "IS", "ES", "OS", "SS"}  # noqa: E501  # fmt: skip


def counts(gold, predicted):
    """(gold, found, right) by a walk over both sequences at once, as the Perl script goes."""
    totals = [0, 0, 0]
    inside = False
    before = [("O", ""), ("O", "")]
    for pair in itertools.chain(zip(gold, predicted, strict=True), [("O", "O")]):
        now = [(tag.partition("-")[0], tag.partition("-")[2]) for tag in pair]
        ends = [
            a[0] + b[0] in ENDS or (a[0] != "O" and a[1] != b[1])
            for a, b in zip(before, now, strict=True)
        ]
        starts = [
            a[0] + b[0] in STARTS or (b[0] != "O" and a[1] != b[1])
            for a, b in zip(before, now, strict=True)
        ]
        if inside and ends[0] and ends[1] and before[0][1] == before[1][1]:
            totals[2] += 1
            inside = False
        elif inside and (ends[0] != ends[1] or now[0][1] != now[1][1]):
            inside = False
        if starts[0] and starts[1] and now[0][1] == now[1][1]:
            inside = True
        totals[0] += starts[0]
        totals[1] += starts[1]
        before = now
    return tuple(totals)


TAGS = ["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in ("X", "Y"))]


@given(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=12))
def test_spans_are_counted_as_by_conlleval(pairs):
    gold, predicted = (list(column) for column in zip(*pairs, strict=True))
    assert span_scores([gold], [predicted]).overall == counts(gold, predicted)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("", []),
        ("O O", []),
        ("I-A I-A O I-A", [("A", 0, 1), ("A", 3, 3)]),  # IOB1
        ("I-A B-A I-B", [("A", 0, 0), ("A", 1, 1), ("B", 2, 2)]),
        ("B-A I-A B-A O", [("A", 0, 1), ("A", 2, 2)]),  # IOB2
        ("B-A I-A E-A S-A S-B O", [("A", 0, 2), ("A", 3, 3), ("B", 4, 4)]),  # BIOES
        ("B-A I-A L-A U-A U-B O", [("A", 0, 2), ("A", 3, 3), ("B", 4, 4)]),  # BILOU
        ("B M M E S B E", [("", 0, 3), ("", 4, 4), ("", 5, 6)]),  # BMES
        ("B-A-x I-A-x", [("A-x", 0, 1)]),
        ("B I O", [("", 0, 1)]),
        ("E-A E-A", [("A", 0, 0), ("A", 1, 1)]),
    ],
)
def test_spans(tags, found):
    assert spans(tags.split()) == found


def test_span_scores():
    gold = [["B-NP", "I-NP", "O", "B-VP"], ["B-NP"]]
    found = [["B-NP", "O", "O", "B-VP"], ["B-NP"]]
    scores = span_scores(gold, found)
    assert scores.overall == (3, 3, 2)
    assert scores.types == {"NP": (2, 2, 1), "VP": (1, 1, 1)}
    assert scores.types["NP"].precision == scores.types["NP"].recall == 0.5
    assert scores.accuracy == 0.8
    assert span_f1(gold, found) == scores.overall.f1 == pytest.approx(2 / 3)
    assert str(scores).splitlines() == [
        "         precision  recall      F1   gold  found  right",
        "overall      66.67   66.67   66.67      3      3      2",
        "NP           50.00   50.00   50.00      2      2      1",
        "VP          100.00  100.00  100.00      1      1      1",
        "accuracy of the tags 80.00",
    ]


def test_a_span_ends_with_its_sentence():
    assert span_scores([["B-A"], ["I-A"]], [["B-A"], ["I-A"]]).overall == (2, 2, 2)


def test_nothing_found_scores_0():
    nothing = span_scores([["B-A"]], [["O"]]).overall
    assert (nothing.precision, nothing.recall, nothing.f1) == (0, 0, 0)
    assert span_scores([["O"]], [["O"]]).overall.f1 == 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: accuracy([], []), ValueError, "accuracy: there is no label"),
        (lambda: accuracy([1], [1, 2]), ValueError, "1 and 2 sequences"),
        (lambda: accuracy([[1], [2]], [[1], [2, 3]]), ValueError, "1 and 2 labels in sequence 1"),
        (lambda: confusion([0, 2], [0, 1], 2), ValueError, r"id 2 at \[1\] is outside of 0..1"),
        (lambda: confusion([0], [-1], 2), ValueError, r"id -1 at \[0\] is outside of 0..1"),
        (lambda: confusion(["a"], ["a"], 2), TypeError, "labels must be ids, got 'a'"),
        (lambda: spans(["B-NP", "NP"]), ValueError, "tag 1 is 'NP'"),
        (lambda: spans(["O-NP"]), ValueError, "tag 0 is 'O-NP'"),
        (lambda: span_scores([["O"]], [["O", "O"]]), ValueError, "1 and 2 labels in sequence 0"),
        (lambda: span_scores(["OO"], [["O", "O"]]), TypeError, "got the string 'OO'"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_accuracy_and_confusion():
    gold, found = [[0, 1, 2], [1]], [[0, 2, 2], [1]]
    assert accuracy(gold, found) == 0.75
    assert accuracy(np.array(["a", "b"]), ["a", "a"]) == 0.5
    table = confusion(gold, found, 4)
    assert table.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert np.trace(table) / table.sum() == accuracy(gold, found)


def test_confusion_is_scikit_learns():
    sklearn = needs("sklearn.metrics")
    rng = np.random.default_rng(0)
    gold, found = rng.integers(0, 5, (2, 300))
    np.testing.assert_array_equal(confusion(gold, found, 5), sklearn.confusion_matrix(gold, found))


def test_bits():
    assert bits_of(3 * math.log(2)) == pytest.approx(3)


# The baseline -----------------------------------------------------------------------------------


def test_the_most_frequent_tag():
    words = [["the", "run"], ["run", "run"], ["a", "cat"]]
    tags = [["D", "N"], ["V", "V"], ["D", "N"]]
    baseline = MostFrequentTag(words, tags)
    assert baseline.predict(["run", "the", "dog"]) == ["V", "D", "D"]  # D, N and V twice each
    assert MostFrequentTag([["x", "x"]], [["B", "A"]]).predict(["x"]) == ["A"]


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [([], [], "no word"), ([[]], [[]], "no word"), ([["a"]], [["A", "B"]], "differ in number")],
)
def test_bad_input_of_the_baseline(words, tags, message):
    with pytest.raises(ValueError, match=message):
        MostFrequentTag(words, tags)
