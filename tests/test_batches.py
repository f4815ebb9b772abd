"""Labelled sequences: labels and ids, batches by length, and what a model predicts for them."""

from __future__ import annotations

import numpy as np
import pytest

from unspool.cells import LSTM, Bidirectional
from unspool.models import CRF, Acceptor, Adam, Embedding, Transducer, evaluate, fit
from unspool.models.text.batches import Labelled, Labels, predictions

LENGTHS = [5, 2, 9, 2, 7, 1, 2, 4, 9, 3, 2]


def corpus(seed=0, n=20):
    """Sequences of ids from 1 to n - 1, of LENGTHS."""
    rng = np.random.default_rng(seed)
    return [rng.integers(1, n, length) for length in LENGTHS]


def tagger(crf=None, seed=0, dtype=np.float64):
    def lstm(i):
        return LSTM(6, 5, rng=seed + i, dtype=dtype)

    words = Embedding(20, 6, rng=seed, dtype=dtype)
    network = Bidirectional(lstm(0), lstm(1))
    return Transducer(network, 3, embedding=words, crf=crf, rng=seed, dtype=dtype)


def acceptor(seed=0):
    words = Embedding(20, 6, rng=seed, dtype=np.float64)
    network = LSTM(6, 5, rng=seed, dtype=np.float64)
    return Acceptor(network, 2, embedding=words, rng=seed, dtype=np.float64)


# Labels -----------------------------------------------------------------------------------------


def test_labels():
    labels = Labels.count([["B", "A"], ["C", "A"]])
    assert labels.names == ("A", "B", "C")
    assert len(labels) == 3
    assert "B" in labels
    assert "D" not in labels
    assert labels.decode(labels.encode(["C", "A"])) == ["C", "A"]
    assert Labels.count(["yes", "no"]).names == ("no", "yes")
    assert Labels(["z", "a"]).encode(["a"]).tolist() == [1]
    assert repr(labels) == "Labels(3: A, B, C)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Labels([]), ValueError, "two labels or more, got none"),
        (lambda: Labels.count(["a", "a"]), ValueError, "got only 'a'"),
        (lambda: Labels(["a", "b", "a"]), ValueError, "'a' occurs twice"),
        (lambda: Labels(["a", 1]), TypeError, "names must be strings, got 1"),
        (lambda: Labels("ab").encode(["b", "c"]), ValueError, "label must be one of a, b; got 'c'"),
        (lambda: Labels("ab").encode("a"), TypeError, "a list of names, got 'a'"),
        (lambda: Labels("ab").decode([0, -1]), ValueError, r"id -1 at \[1\] is outside of 0..1"),
        (lambda: Labels("ab").decode([[0]]), ValueError, r"ids must be \(n,\), got \(1, 1\)"),
    ],
)
def test_bad_labels(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bucket", [True, False, 1, 2])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_pass_has_every_sequence_once(bucket, epoch):
    sequences = corpus()
    task = Labelled(sequences, range(len(sequences)), batch=4, bucket=bucket, rng=0)
    seen = []
    for x, labels, lengths in task.batches(epoch):
        assert x.shape == (len(labels), lengths.max())
        for row, i, length in zip(x, labels, lengths, strict=True):
            np.testing.assert_array_equal(row[:length], sequences[i])
            assert not row[length:].any()
            seen.append(i)
    assert sorted(seen) == [*range(len(sequences))]
    assert len(task) == 3 == len(list(task.batches(epoch)))


def test_batches_are_the_same_for_the_same_seed_and_pass():
    def orders(seed):
        task = Labelled(corpus(), [0] * 11, batch=3, rng=seed)
        return [np.concatenate(task.rows(epoch)).tolist() for epoch in range(4)]

    assert orders(0) == orders(0)
    assert orders(0)[1:] != orders(1)[1:]
    assert len({tuple(order) for order in orders(0)}) == 4
    assert orders(0)[0] == orders(1)[0]  # pass 0 is not shuffled
    still = Labelled(corpus(), batch=3, shuffle=False)
    assert [rows.tolist() for rows in still.rows(1)] == [rows.tolist() for rows in still.rows(0)]


def test_buckets_hold_sequences_of_similar_length():
    sequences = [np.ones(n, int) for n in np.random.default_rng(0).integers(1, 50, 640)]

    def padding(bucket):
        task = Labelled(sequences, batch=32, bucket=bucket, rng=0)
        return sum((x == 0).sum() for x, _, _ in task.batches(1))

    assert padding(True) < padding(5) < padding(False)
    assert padding(True) < 0.05 * sum(map(len, sequences))


def test_columns_and_token_labels_are_padded():
    task = Labelled([[[1, 2], [3, 4]], [[5, 6]]], [[0, 1], [2]], bucket=False)
    assert task.per_token
    [(x, labels, lengths)] = task.batches(0)
    assert x.tolist() == [[[1, 2], [3, 4]], [[5, 6], [0, 0]]]
    assert labels.tolist() == [[0, 1], [2, -1]]
    assert lengths.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("sequences", "labels", "options", "error", "message"),
    [
        ([], [], {}, ValueError, "there is no sequence"),
        ([[1], []], [0, 1], {}, ValueError, "sequence 1 is empty"),
        ([[1], [[2]]], [0, 1], {}, ValueError, r"sequence 1 is \(1, 1\), sequence 0 \(1,\)"),
        ([[[1, 2]], [[2]]], [0, 1], {}, ValueError, r"sequence 1 is \(1, 1\), sequence 0 \(1, 2\)"),
        (["ab"], [0], {}, ValueError, r"sequence 0 is \(\)"),
        ([["a", "b"]], [0], {}, TypeError, "sequence 0 holds <U1, expected ids; a Vocabulary"),
        ([[1], [2]], [0], {}, ValueError, "there are 2 sequences, but labels for 1"),
        ([[1], [2, 3]], [[0], [1]], {}, ValueError, r"sequence 1 are \(1,\), expected \(2,\)"),
        ([[1], [2]], [0, [1]], {}, ValueError, r"sequence 1 are \(1,\), expected \(\), one a seq"),
        ([[1], [2]], ["a", "b"], {}, TypeError, "sequence 0 are <U1, expected ids; Labels.encode"),
        ([[1]], [-1], {}, ValueError, "labels are 0 or more, sequence 0 has -1"),
        ([[1]], [0], {"batch": 0}, ValueError, "batch must be an integer >= 1"),
        ([[1]], [0], {"bucket": 0}, ValueError, "bucket must be an integer >= 1"),
    ],
)
def test_bad_corpora(sequences, labels, options, error, message):
    with pytest.raises(error, match=message):
        Labelled(sequences, labels, **options)


# With models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("crf", [False, True])
def test_the_loss_of_a_tagger_is_a_mean_over_tokens(crf):
    model = tagger(CRF(3, dtype=np.float64) if crf else None)
    sequences = corpus()
    labels = [row % 3 for row in sequences]
    one_by_one = [
        model.loss(x, t, reduction="sum").item() for x, t in zip(sequences, labels, strict=True)
    ]
    task = Labelled(sequences, labels, batch=4)
    assert evaluate(model, task) == pytest.approx(sum(one_by_one) / sum(LENGTHS), rel=1e-12)


def test_the_loss_of_a_classifier_is_a_mean_over_sequences():
    model, sequences = acceptor(), corpus()
    labels = [int(row[0]) % 2 for row in sequences]
    one_by_one = [model.loss(x, t).item() for x, t in zip(sequences, labels, strict=True)]
    task = Labelled(sequences, labels, batch=4)
    assert not task.per_token
    assert evaluate(model, task) == pytest.approx(np.mean(one_by_one), rel=1e-12)


def test_predictions_stand_in_the_order_of_the_sequences():
    sequences = corpus()
    found = predictions(acceptor(), Labelled(sequences, batch=4))
    np.testing.assert_array_equal(found, [acceptor().predict(x) for x in sequences])
    found = predictions(tagger(), Labelled(sequences, batch=4))
    for x, labels in zip(sequences, found, strict=True):
        np.testing.assert_array_equal(labels, tagger().predict(x))
    assert predictions(acceptor(), Labelled(sequences[:1])).shape == (1,)
    assert len(predictions(tagger(), Labelled(sequences[:1]))) == 1


def test_a_tagger_learns_its_labels():
    sequences = corpus()
    labels = [row % 3 for row in sequences]
    model = tagger(dtype=np.float32)
    task = Labelled(sequences, labels, batch=4, rng=0)
    fit(model, task, Adam(model.parameters(), 0.05), epochs=20, progress=False)
    for right, found in zip(labels, predictions(model, task), strict=True):
        np.testing.assert_array_equal(found, right)


def test_without_labels_there_is_nothing_to_learn():
    with pytest.raises(ValueError, match="no labels to learn from; give labels="):
        evaluate(tagger(), Labelled(corpus()))
