"""The DeepMoji-like network against loops and PyTorch, its size, and chain-thaw tuning."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from helpers import lstm, needs, softmax
from unspool import Parameter, check_grads
from unspool.cells import LSTM, to_torch
from unspool.models import (
    SGD,
    Acceptor,
    Adam,
    AttentionPooling,
    DeepMoji,
    Embedding,
    Labelled,
    chain_thaw,
    evaluate,
    fit,
)

IDS = np.array([[1, 4, 5, 2, 6], [1, 6, 2, 0, 0], [7, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
LENGTHS = np.array([5, 3, 1, 0])


def model64(**options) -> DeepMoji:
    kind = {"vocab_size": 8, "d_out": 3, "d": 4, "cells": 3, "rng": 0, "dtype": np.float64}
    model = DeepMoji(**{**kind, **options})
    model.embedding.E.data *= 8
    return model


def plain_seen(model: DeepMoji, ids) -> np.ndarray:
    """What the head sees at each position, by loops over one sequence."""
    seen = [np.tanh(model.embedding.E.data[list(ids)])]
    for layer in model.layers:
        ahead = lstm(layer.forward, seen[-1])
        back = lstm(layer.backward, seen[-1][::-1])[::-1]
        seen.append(np.concatenate([ahead, back], axis=-1))
    return np.concatenate(seen[::-1], axis=-1)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_the_network_against_loops(pooling, layers):
    model = model64(pooling=pooling, layers=layers)
    (top,) = model.head.layers
    for row, n, logits in zip(IDS, LENGTHS, model.logits(IDS, LENGTHS).data, strict=True):
        v, a = np.zeros(4 + 6 * layers), np.zeros(0)
        if n:
            seen = plain_seen(model, row[:n])
            a = softmax(seen @ model.pool.w.data) if pooling == "attention" else np.full(n, 1 / n)
            v = sum(weight * h for weight, h in zip(a, seen, strict=True))
        expected = v @ top.W.data + top.b.data
        np.testing.assert_allclose(logits, expected, rtol=1e-11)
        np.testing.assert_allclose(model.logits(row[:n]).data, expected, rtol=1e-11)
        if pooling == "attention":
            np.testing.assert_allclose(model.attention(row[:n]), a, rtol=1e-12)


def test_attention_is_0_at_padding_and_sums_to_1():
    a = model64().attention(IDS, LENGTHS)
    assert (a[np.arange(5) >= LENGTHS[:, None]] == 0).all()
    np.testing.assert_allclose(a.sum(-1), [1, 1, 1, 0])
    with pytest.raises(ValueError, match="pooling is 'mean'; make it with pooling="):
        model64(pooling="mean").attention(IDS)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_gradients_against_differences(pooling):
    model = model64(pooling=pooling, cells=2, d=3)
    check_grads(lambda *_: model.loss(IDS[1:], [0, 1, 2], LENGTHS[1:]), model.parameters())


def test_the_layers_are_those_of_pytorch():
    torch = needs("torch")
    model = model64()
    layer = torch.nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)
    state = to_torch(model.layers[0])
    upper = to_torch(model.layers[1])
    state.update({name.replace("_l0", "_l1"): value for name, value in upper.items()})
    layer = layer.double()
    layer.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    vectors = torch.tanh(torch.tensor(model.embedding.E.data[IDS[0]]))
    with torch.no_grad():
        expected = layer(vectors[None])[0][0].numpy()
    np.testing.assert_allclose(plain_seen(model, IDS[0])[:, :6], expected, rtol=1e-10)


@pytest.mark.slow
def test_it_has_the_papers_number_of_parameters():
    model = DeepMoji(50_000, 64, rng=0)
    assert model.size() == 22_395_200
    parts = {name: layer.size() for name, layer in model.chain().items()}
    assert parts == {
        "embedding": 50_000 * 256,
        "layers.0": 2 * 4 * (256 * 512 + 512 * 512 + 512),
        "layers.1": 2 * 4 * (1024 * 512 + 512 * 512 + 512),
        "pool": 2304,
        "head": 2304 * 64 + 64,
    }


def test_attention_pooling_of_one_kind_of_vector_is_their_mean():
    pool = AttentionPooling(2, rng=0, dtype=np.float64)
    hs = np.array([[3.0, 1.0], [3.0, 5.0], [np.nan, 9.0]])
    pool.w.data[...] = [1, 0]
    np.testing.assert_allclose(pool(hs, np.array([True, True, False])).data, [3, 3])
    np.testing.assert_array_equal(pool(hs, np.zeros(3, bool)).data, [0, 0])
    with pytest.raises(ValueError, match="AttentionPooling: d must be an integer >= 1, got 0"):
        AttentionPooling(0)


# A new task -------------------------------------------------------------------------------------


def test_a_new_head_leaves_the_rest():
    model = model64(hidden=[5], activation="relu", dropout=0.25)
    before, below = model.state_dict(), model.logits(IDS, LENGTHS)
    model.new_head(2, rng=1)
    assert model.d_out == 2
    assert [layer.d_out for layer in model.head.layers] == [5, 2]
    assert [layer.activation for layer in model.head.layers] == ["relu", None]
    assert model.head.dropout.p == 0.25
    assert all(p.dtype == np.float64 for p in model.head.parameters())
    assert model.logits(IDS, LENGTHS).shape == (4, 2)
    assert below.shape == (4, 3)
    after = model.state_dict()
    for name in before:
        new = name in ("head.layers.0.W", "head.layers.1.W", "head.layers.1.b")
        assert np.array_equal(before[name], after[name]) != new, name
    with pytest.raises(ValueError, match="DeepMoji: d_out must be an integer >= 1, got 0"):
        model.new_head(0)


class Watched:
    """Makes optimisers, and keeps the model's parameters as they were when each was made."""

    def __init__(self, model):
        self.model, self.states, self.rates = model, [], []

    def __call__(self, parameters, rate):
        self.states.append(self.model.state_dict())
        self.rates.append(rate)
        self.flags = [p.requires_grad for p in self.model.parameters()]
        assert {p for p in self.model.parameters() if p.requires_grad} == set(parameters)
        return SGD(parameters, 0.5)


def changed(before, after) -> set[str]:
    """The layers of which something is different."""
    names = {name for name in before if not np.array_equal(before[name], after[name])}
    return {".".join(n.split(".")[: 2 if n.startswith("layers") else 1]) for n in names}


def test_each_stage_moves_its_own_parameters_and_no_other():
    model = model64()
    task = Labelled(list(IDS[:3]), [0, 1, 2], rng=0)
    watched = Watched(model)
    histories = chain_thaw(
        model, model.chain(), task, optimizer=watched, rate=0.01, epochs=2, progress=False
    )
    layers = ["head", "embedding", "layers.0", "layers.1", "pool"]
    assert list(histories) == [*layers, "all"]
    assert all(len(history) == 2 for history in histories.values())
    assert watched.rates == [0.01] + [1e-4] * 5
    states = [*watched.states, model.state_dict()]
    stages = [changed(a, b) for a, b in itertools.pairwise(states)]
    assert stages == [{name} for name in layers] + [set(layers)]
    assert all(p.requires_grad for p in model.parameters())


def test_what_was_frozen_stays_frozen():
    model = model64()
    model.embedding.freeze()
    model.layers[1].backward.freeze()
    before = model.state_dict()
    task = Labelled(list(IDS[:3]), [0, 1, 2], rng=0)
    histories = chain_thaw(
        model, model.chain(), task, optimizer=Watched(model), epochs=1, progress=False
    )
    assert list(histories) == ["head", "layers.0", "layers.1", "pool", "all"]
    moved = {name for name, array in model.state_dict().items() if (array != before[name]).any()}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}
    assert not model.embedding.E.requires_grad
    assert not any(p.requires_grad for p in model.layers[1].backward.parameters())


def test_a_stage_that_fails_leaves_nothing_frozen():
    model = model64()
    model.layers[0].forward.W_f.data[...] = np.nan
    with pytest.raises(FloatingPointError):
        chain_thaw(model, model.chain(), Labelled(list(IDS[:3]), [0, 1, 2], rng=0), progress=False)
    assert all(p.requires_grad for p in model.parameters())


def texts(count: int, classes: int, rng: np.random.Generator):
    """Words 2 to 13 in a random order; the class is that of the word of its own."""
    rows, labels = [], rng.integers(0, classes, count)
    for label in labels:
        row = rng.integers(8, 14, rng.integers(3, 8))
        row[rng.integers(len(row))] = 2 + label * (6 // classes)
        rows.append(row)
    return rows, labels


@pytest.mark.slow
def test_a_trained_network_learns_a_new_task_from_little():
    rng = np.random.default_rng(0)
    many, few = texts(600, 6, rng), texts(40, 2, rng)
    model = DeepMoji(14, 6, d=12, cells=10, rng=0)
    fit(
        model,
        Labelled(*many, batch=30, rng=0),
        Adam(model.parameters(), 0.01),
        epochs=8,
        progress=False,
    )
    model.new_head(2, rng=1)
    validation = Labelled(*texts(100, 2, rng), batch=100, rng=0)
    before = evaluate(model, validation)
    histories = chain_thaw(
        model,
        model.chain(),
        Labelled(*few, batch=10, rng=0),
        rate=0.02,
        next_rate=0.002,
        epochs=5,
        validation=validation,
        progress=False,
    )
    after = evaluate(model, validation)
    assert after == pytest.approx(min(row["validation_loss"] for row in histories["all"]))
    assert after < 0.5 * before
    judged, labels = texts(100, 2, rng)
    right = [model.predict(x) == y for x, y in zip(judged, labels, strict=True)]
    assert np.mean(right) > 0.9


def test_chain_thaw_serves_any_model():
    model = Acceptor(LSTM(4, 3, rng=0), 2, embedding=Embedding(8, 4, rng=1), rng=2)
    layers = {"embedding": model.embedding, "network": model.network, "head": model.head}
    task = Labelled(list(IDS[:3]), [0, 1, 0], rng=0)
    assert list(chain_thaw(model, layers, task, epochs=1, progress=False)) == [
        "head",
        "embedding",
        "network",
        "all",
    ]


def test_what_is_wrong_is_said():
    with pytest.raises(
        ValueError, match="DeepMoji: pooling must be one of attention, mean, got 'max'"
    ):
        DeepMoji(8, 3, 4, 3, pooling="max")
    with pytest.raises(ValueError, match="DeepMoji: cells must be an integer >= 1, got 0"):
        DeepMoji(8, 3, 4, 0)
    with pytest.raises(TypeError, match=r"DeepMoji: layers must be an integer >= 1, got 2\.0"):
        DeepMoji(8, 3, 4, 3, 2.0)
    model, task = model64(), Labelled(list(IDS[:3]), [0, 1, 2], rng=0)
    with pytest.raises(ValueError, match=r"the head last, none of them named .* got none"):
        chain_thaw(model, {}, task)
    with pytest.raises(ValueError, match="chain_thaw: other holds parameters that are not"):
        chain_thaw(model, {"other": Embedding(2, 2), "head": model.head}, task)
    with pytest.raises(ValueError, match="a checkpoint belongs to one training"):
        chain_thaw(model, model.chain(), task, checkpoint="here.npz")
    assert isinstance(model.pool.w, Parameter)
