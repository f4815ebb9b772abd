"""Texts in spans: the cuts, the network against loops, padding, gradients, and what it learns."""

from __future__ import annotations

import re

import numpy as np
import pytest

from unspool import Tensor, check_grads
from unspool.cells import GRU, LSTM, Bidirectional, Elman
from unspool.models import (
    Acceptor,
    Adam,
    Embedding,
    HierarchicalAcceptor,
    Labelled,
    Vocabulary,
    fit,
    punctuation_ids,
    tokenize,
)
from unspool.models.networks.acceptor import final_output
from unspool.models.networks.hierarchical import spans_of

COMMA, STOP = 2, 3
IDS = np.array(
    [
        [4, 5, COMMA, 6, 7, 8, STOP],
        [STOP, COMMA, 4, 5, COMMA, STOP, 9],
        [6, 5, 4, 0, 0, 0, 0],
        [COMMA, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
)
LENGTHS = np.array([7, 7, 3, 1, 0])
SPANS = [[[0, 1, 2], [3, 4, 5, 6]], [[0, 1], [2, 3, 4, 5], [6]], [[0, 1, 2]], [[0]], []]


def model64(pooling: str = "last", **options) -> HierarchicalAcceptor:
    kind = {"dtype": np.float64}
    words = Bidirectional(Elman(3, 2, rng=0, **kind), Elman(3, 2, rng=1, **kind))
    embedding = Embedding(10, 3, rng=3, **kind)
    embedding.E.data *= 8
    given = {"punctuation": [COMMA, STOP], "embedding": embedding, "hidden": [5], **options}
    return HierarchicalAcceptor(
        words, LSTM(4, 3, rng=2, **kind), 3, pooling=pooling, **given, rng=4, **kind
    )


def test_spans_end_behind_punctuation():
    model = model64()
    found = [[s.tolist() for s in text] for text in model.split(IDS, LENGTHS)]
    assert found == SPANS
    assert [s.tolist() for s in model.split(IDS[1])] == SPANS[1]
    # What is masked stands in no span, and a mark before a hole ends its span.
    mask = np.ones((1, 7), bool)
    mask[0, [1, 3]] = False
    assert [s.tolist() for s in model.split(IDS[:1], mask=mask)[0]] == [[0, 2], [4, 5, 6]]
    assert spans_of(np.zeros(0, bool), np.zeros(0, bool)) == []


def last_states(cell, xs):
    """The last output of an Elman or LSTM cell over (time, d), by its own steps."""
    state = cell.initial_state(None)
    for x in xs:
        _, state = cell(x, state)
    return state[0].data


def plain_logits(model: HierarchicalAcceptor, ids) -> np.ndarray:
    """One text by loops: a vector a span, the spans, the head."""
    texts = re.findall(
        r"[^,.]+[,.]*|[,.]+", "".join({COMMA: ",", STOP: "."}.get(i, "w") for i in ids)
    )
    begin, vectors = 0, []
    for text in texts:
        xs = [model.embedding.E.data[i] for i in ids[begin : begin + len(text)]]
        begin += len(text)
        ahead, back = (
            last_states(model.words.forward, xs),
            last_states(model.words.backward, xs[::-1]),
        )
        vectors.append(np.concatenate([ahead, back]))
    if model.pooling == "last":
        v = last_states(model.spans, vectors)
    else:
        hs = [last_states(model.spans, vectors[: n + 1]) for n in range(len(vectors))]
        v = {"mean": np.mean, "max": np.max}[model.pooling](hs, axis=0) if hs else np.zeros(3)
    first, second = model.head.layers
    return np.tanh(v @ first.W.data + first.b.data) @ second.W.data + second.b.data


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_the_network_against_loops(pooling):
    model = model64(pooling)
    expected = [plain_logits(model, row[:n]) for row, n in zip(IDS, LENGTHS, strict=True)]
    np.testing.assert_allclose(model.logits(IDS, LENGTHS).data, expected, rtol=1e-12)
    for row, n, logits in zip(IDS, LENGTHS, expected, strict=True):
        np.testing.assert_allclose(model.logits(row[:n]).data, logits, rtol=1e-12)
        padded = np.concatenate([row[:n], np.full(4, 99)])[None]
        np.testing.assert_allclose(model.logits(padded, [n]).data[0], logits, rtol=1e-12)
    assert model.predict(IDS, LENGTHS).tolist() == np.argmax(expected, -1).tolist()
    np.testing.assert_allclose(model.probabilities(IDS, LENGTHS).sum(-1), 1)


def test_nothing_but_empty_texts():
    model = model64()
    alone = model.logits(np.zeros((2, 3), int), [0, 0]).data
    np.testing.assert_allclose(alone, [plain_logits(model, [])] * 2)
    np.testing.assert_allclose(model.logits(np.zeros((1, 0), int)).data, alone[:1])


def test_one_span_is_an_acceptor_over_one_vector():
    model = model64(punctuation=[])
    expected = final_output(model.words, model.words.unroll(model.embedding(IDS[0]))[1])
    upper = Acceptor(model.spans, 3, hidden=[5], rng=4, dtype=np.float64)
    upper.head.load_state_dict(model.head.state_dict())
    np.testing.assert_allclose(model.logits(IDS[0]).data, upper.logits(expected[None]).data)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_gradients_against_differences(pooling):
    model = model64(pooling)
    targets = [0, 1, 2, 0, 1]
    check_grads(lambda *_: model.loss(IDS, targets, LENGTHS), model.parameters())


def test_vectors_with_a_function_that_finds_the_marks():
    model = model64()
    xs = model.embedding.E.data[IDS]
    marks = np.isin(IDS, [COMMA, STOP])
    by_vectors = model64(embedding=None, punctuation=lambda x: marks)
    by_vectors.load_state_dict(
        {k: v for k, v in model.state_dict().items() if not k.startswith("embedding")}
    )
    expected = model.logits(IDS, LENGTHS).data
    np.testing.assert_allclose(by_vectors.logits(xs, LENGTHS).data, expected)
    damaged = np.where((np.arange(7) < LENGTHS[:, None])[..., None], xs, np.nan)
    given = Tensor(damaged, requires_grad=True)
    logits = by_vectors.logits(given, LENGTHS)
    np.testing.assert_allclose(logits.data, expected)
    logits.sum().backward()
    gone = np.arange(7) >= LENGTHS[:, None]
    assert (given.grad[gone] == 0).all()
    assert (given.grad[~gone] != 0).any(-1).all()


def test_punctuation_of_a_vocabulary():
    stream = tokenize("Well, he said (twice): no -- 3.5 is not it... Is it?!")
    vocabulary = Vocabulary.count(stream)
    marks = punctuation_ids(vocabulary.tokens)
    assert {vocabulary.tokens[i] for i in marks} == {",", ":", "...", "?", "!"}


def clauses(count: int, rng: np.random.Generator):
    """Clauses of words 4 to 9; the label is whether the last one begins with a small id."""
    texts, labels = [], []
    for _ in range(count):
        parts = [rng.integers(4, 10, rng.integers(2, 7)) for _ in range(rng.integers(1, 5))]
        texts.append(np.concatenate([[*part, COMMA] for part in parts]))
        labels.append(int(parts[-1][0] < 7))
    return texts, labels


@pytest.mark.slow
def test_it_learns_what_depends_on_spans():
    rng = np.random.default_rng(0)
    words = Bidirectional(GRU(8, 12, rng=rng), GRU(8, 12, rng=rng))
    model = HierarchicalAcceptor(
        words, GRU(24, 16, rng=rng), 2, [COMMA], embedding=Embedding(10, 8, rng=rng), rng=rng
    )
    fit(
        model,
        Labelled(*clauses(800, rng), batch=32, rng=0),
        Adam(model.parameters(), 0.01),
        epochs=8,
        progress=False,
    )
    texts, labels = clauses(100, rng)
    right = [model.predict(text) == label for text, label in zip(texts, labels, strict=True)]
    assert np.mean(right) > 0.95


def test_what_is_wrong_is_said():
    def make(punctuation=(2,), d_spans: int = 4, **options):
        words = Bidirectional(Elman(3, 2, rng=0), Elman(3, 2, rng=1))
        return HierarchicalAcceptor(
            words,
            Elman(d_spans, 2, rng=2),
            2,
            punctuation,
            **{"embedding": Embedding(10, 3), **options},
        )

    with pytest.raises(ValueError, match=r"words has outputs of width 4, but spans has d_in = 5"):
        make(d_spans=5)
    with pytest.raises(
        TypeError, match=r"punctuation must be ids, as from punctuation_ids\(voc.* '\.,'"
    ):
        make(".,")
    with pytest.raises(TypeError, match=r"punctuation must be an integer >= 0"):
        make([","])
    with pytest.raises(
        ValueError, match="pooling must be one of last, mean, max, sum, got 'first'"
    ):
        make(pooling="first")
    with pytest.raises(ValueError, match="the embedding has width 4, expected d_in = 3"):
        make(embedding=Embedding(10, 4))
    with pytest.raises(ValueError, match=r"return booleans \(2, 3\), .* got bool \(2,\)"):
        make(lambda x: np.zeros(2, bool)).logits(np.ones((2, 3), int))
    with pytest.raises(ValueError, match=r"got bool \(1, 3, 3\); for vectors pass a function"):
        make(embedding=None).logits(np.ones((1, 3, 3), np.float32))
    with pytest.raises(TypeError, match="HierarchicalAcceptor: words"):
        HierarchicalAcceptor("LSTM", Elman(4, 2), 2, [2])
    with pytest.raises(ValueError, match=r"id 10 at"):
        make().logits([[1, 10]])
