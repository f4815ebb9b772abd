"""Optimisers against PyTorch, the training loop, and models in files."""

from __future__ import annotations

import csv
import functools
import gc
import io
import json
import math
import os
import re
import sys
import types
import weakref
import zipfile

import numpy as np
import pytest

from helpers import assert_steps_as_pytorch, needs
from unspool import Parameter, Tape
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    Bidirectional,
    Cell,
    Elman,
    LayerNormLSTM,
    Module,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
    load_npz,
    save_npz,
)
from unspool.models import (
    CRF,
    SGD,
    Acceptor,
    Adam,
    AdamW,
    BagClassifier,
    CharacterEncoder,
    Classifier,
    DeepMoji,
    DotAttention,
    Embedding,
    EncoderDecoder,
    FeatureEmbedding,
    Features,
    HierarchicalAcceptor,
    Labels,
    LanguageModel,
    Optimizer,
    Pairs,
    PairwiseCRF,
    RMSprop,
    Sequences,
    Stream,
    TextCNN,
    Transducer,
    Vocabulary,
    WindowLanguageModel,
    clip_by_global_norm,
    evaluate,
    fit,
    load_model,
    save_history,
    save_model,
)
from unspool.models.text import stream_batches
from unspool.models.text.baselines import NGram
from unspool.models.text.batches import Labelled, predictions
from unspool.models.training.metrics import accuracy
from unspool.models.training.report import Report
from unspool.models.training.schedules import Plateau, product

# Optimisers -------------------------------------------------------------------------------------

START = [1.0, -2.0, 0.5]
GRADIENTS = [[0.5 * (-1) ** t + 0.1 * t, 10 * math.sin(t + 1.0), 1e-3 * (t - 2)] for t in range(6)]
# Class, options, and what PyTorch 2.13 makes of START by these gradients, in float64.
RULES = {
    "SGD": (SGD, {"lr": 0.1}, [0.8500000000000001, -1.8967461515234532, 0.4997]),
    "momentum": (
        SGD,
        {"lr": 0.05, "momentum": 0.9},
        [0.78599725, -3.999728624837195, 0.500197814],
    ),
    "nesterov": (
        SGD,
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
        [0.6936777435998096, -2.7407792195411886, 0.455566138957435],
    ),
    "decay": (
        SGD,
        {"lr": 0.1, "weight_decay": 0.2},
        [0.742665627424, -1.5578414980369202, 0.44260217140735997],
    ),
    "Adam": (Adam, {"lr": 0.01}, [0.9714098790353703, -2.0286722322464814, 0.523533444418937]),
    "Adam's settings": (
        Adam,
        {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.3},
        [0.5626172770574485, -2.213847721174735, -0.0323137925752207],
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_rules_against_saved_numbers(name):
    make, options, expected = RULES[name]
    p = Parameter(START)
    data, copy = p.data, p.data.copy()
    optimizer = make([p], **options)
    for gradient in GRADIENTS:
        p.grad = np.array(gradient)
        optimizer.step()
        assert p.grad.tolist() == gradient  # read, not changed
    np.testing.assert_allclose(p.data, expected, rtol=1e-12)
    np.testing.assert_array_equal(data, copy)  # a tape may hold it


@pytest.mark.parametrize("name", RULES)
def test_rules_against_pytorch(name):
    make, options, _ = RULES[name]
    assert_steps_as_pytorch(make, options)


def test_clipping_against_saved_numbers_and_pytorch():
    parts = [Parameter([0.0, 0.0]), Parameter([0.0]), Parameter([1.0])]
    parts[0].grad, parts[1].grad = np.array([3.0, -4.0]), np.array([12.0])
    assert clip_by_global_norm([*parts, parts[0]], 2.0) == 13
    np.testing.assert_allclose(parts[0].grad, [0.46153842603550577, -0.615384568047341], rtol=1e-14)
    np.testing.assert_allclose(parts[1].grad, [1.846153704142023], rtol=1e-14)
    before = parts[0].grad.copy()
    assert clip_by_global_norm(parts, 2.1) == pytest.approx(2, rel=1e-6)
    np.testing.assert_array_equal(parts[0].grad, before)  # below the limit nothing is scaled
    assert clip_by_global_norm([parts[2]], 1.0) == 0

    torch = needs("torch")
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((3, 2)), rng.standard_normal(7)]
    ours = [Parameter(np.zeros_like(g)) for g in arrays]
    theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in arrays]
    for p, q, g in zip(ours, theirs, arrays, strict=True):
        p.grad, q.grad = g.copy(), torch.tensor(g)
    norm = torch.nn.utils.clip_grad_norm_(theirs, 0.7)
    assert clip_by_global_norm(ours, 0.7) == pytest.approx(float(norm), rel=1e-14)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-13)


def test_clipping_of_what_float32_cannot_square():
    p = Parameter(np.zeros(2, np.float32))
    p.grad = np.array([3e25, 4e25], np.float32)
    assert clip_by_global_norm([p], 1.0) == pytest.approx(5e25)
    np.testing.assert_allclose(p.grad, [0.6, 0.8], rtol=1e-5)
    p.grad = np.array([np.nan, 1], np.float32)
    assert math.isnan(clip_by_global_norm([p], 1.0))
    p.grad = np.array([np.inf, 1], np.float32)
    assert clip_by_global_norm([p], 1.0) == math.inf
    with pytest.raises(ValueError, match="max_norm must be a number >= 0, got -1"):
        clip_by_global_norm([p], -1)


@pytest.mark.parametrize("make", [functools.partial(SGD, momentum=0.9), Adam])
def test_tied_once_and_frozen_never(make):
    tied, frozen, unused = Parameter([1.0]), Parameter([1.0]), Parameter([1.0])
    once = Parameter([1.0])
    both, single = make([tied, frozen, tied, unused]), make([once])
    assert len(both.parameters) == 3
    for _ in range(3):
        for p in (tied, frozen, once):
            p.grad = np.array([2.0])
        frozen.requires_grad = False
        both.step()
        single.step()
    assert tied.data[0] == once.data[0] < 1
    assert frozen.data.tolist() == unused.data.tolist() == [1]
    both.zero_grad()
    assert tied.grad is None
    before = tied.data.copy()
    both.step()
    np.testing.assert_array_equal(tied.data, before)


def test_arrays_of_any_layout_are_updated():
    data = np.zeros((3, 4), np.float32)
    p = Parameter(data.T.copy())
    p.data = data.T  # not contiguous
    p.grad = np.ones((4, 3), np.float32)
    Adam([p], lr=0.5).step()
    np.testing.assert_allclose(p.data, -0.5, rtol=1e-6)
    assert p.data.dtype == np.float32
    assert (data == 0).all()


def test_an_older_tape_differentiates_the_run_that_it_recorded():
    W = Parameter(np.array([2.0, 3.0]))
    loss = np.sum(W * W)
    tape = Tape(loss)
    W.grad = np.ones(2)
    for optimizer in (SGD([W], lr=0.5, momentum=0.9), AdamW([W], lr=0.5), RMSprop([W])):
        optimizer.step()
    np.testing.assert_array_equal(tape.gradients()[W], [4, 6])
    assert (W.data < [2, 3]).all()
    scalar = Parameter(1.0)
    scalar.grad = np.array(1.0)
    AdamW([scalar], lr=0.5).step()
    assert type(scalar.data) is np.ndarray


@pytest.mark.parametrize("name", RULES)
def test_an_optimiser_goes_on_from_its_state(name, tmp_path):
    make, options, expected = RULES[name]
    p = Parameter(START)
    first = make([p, Parameter([0.0])], **options)
    for gradient in GRADIENTS[:3]:
        p.grad = np.array(gradient)
        first.step()
    save_npz(tmp_path / "optimizer.npz", first.state_dict())
    q = Parameter(p.data)
    second = make([q, Parameter([0.0])], **{**options, "lr": 99})
    second.load_state_dict(load_npz(tmp_path / "optimizer.npz"))
    for gradient in GRADIENTS[3:]:
        q.grad = np.array(gradient)
        second.step()
    np.testing.assert_allclose(q.data, expected, rtol=1e-12)
    assert first.state_dict()["0.steps"] == 3


def test_a_state_that_does_not_fit_is_named_whole():
    p = Parameter([1.0, 2.0])
    p.grad = np.array([1.0, 1.0])
    adam = Adam([p])
    adam.step()
    state = adam.state_dict()
    state["0.m"] = np.zeros(3)
    del state["0.v"]
    state["1.steps"] = np.asarray(2)
    other = Adam([Parameter([1.0, 2.0])])
    with pytest.raises(ValueError, match="load_state_dict") as error:
        other.load_state_dict(state)
    for part in ("missing 0.v", "unexpected 1.steps", r"0.m is (3,), expected (2,)"):
        assert part in str(error.value)
    assert other.steps == [0]


def test_bad_settings():
    p = Parameter([1.0])
    with pytest.raises(ValueError, match=r"Adam: lr must be a number >= 0, got -0\.1"):
        Adam([p], lr=-0.1)
    with pytest.raises(ValueError, match="lr must be a number >= 0, got nan"):
        SGD([p], lr=math.nan)
    with pytest.raises(ValueError, match="betas must be a number >= 0 and < 1, got 1"):
        Adam([p], betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="betas must be two numbers"):
        Adam([p], betas=(0.9,))
    with pytest.raises(ValueError, match="momentum must be a number >= 0 and < 1"):
        SGD([p], momentum=1.5)
    with pytest.raises(ValueError, match="nesterov needs a momentum"):
        SGD([p], nesterov=True)
    with pytest.raises(ValueError, match="SGD: there is no parameter to train"):
        SGD([])
    with pytest.raises(TypeError, match=r"pass the parameters as a list, as in \[W, b\]"):
        SGD(p)
    with pytest.raises(TypeError, match="expected Parameters, got 'W'"):
        SGD(["W"])
    with pytest.raises(TypeError, match=r"lr must be a number >= 0, got '0\.1'"):
        SGD([p], lr="0.1")
    p.grad = np.array([1.0])
    with pytest.raises(NotImplementedError, match="Optimizer defines no update"):
        Optimizer([p], 0.1).step()


# Training ---------------------------------------------------------------------------------------

SENTENCES = [[1, 3, 4, 5, 6, 2], [1, 7, 4, 5, 2], [1, 3, 6, 2]]
CYCLE = np.tile([1, 3, 4, 5, 6, 7, 2], 40)


def tiny(**options) -> LanguageModel:
    return LanguageModel(**{"vocab_size": 8, "d": 16, "rng": 0, **options})


@pytest.mark.parametrize("cell", [LSTM, GRU, Elman])
def test_fit_learns_a_tiny_sequence(cell):
    model = tiny(cell=cell, vocab_size=9)
    sentence = [1, 3, 4, 3, 5, 3, 6, 3, 7, 8, 2]  # what follows a 3 depends on what came before
    history = fit(model, Sequences([sentence]), Adam(model.parameters(), 0.02), epochs=150)
    assert history[0]["loss"] == pytest.approx(math.log(9), abs=0.2)
    assert history[-1]["loss"] < 0.05
    assert model.generate([1], 10, temperature=0).tolist() == sentence[1:]


def test_fit_learns_a_long_text_in_pieces():
    model = tiny()
    task = Stream(CYCLE, batch=4, steps=5, rng=0)
    history = fit(model, task, Adam(model.parameters(), 0.02), epochs=15, progress=False)
    assert history[-1]["perplexity"] < 1.1
    assert evaluate(model, Stream(CYCLE, batch=1, steps=9)) < 0.1


def test_the_history_is_plain_numbers(tmp_path):
    model = tiny()
    task, other = Sequences(SENTENCES, 2, rng=0), Sequences(SENTENCES[:1])
    history = fit(model, task, epochs=3, validation=other, progress=False)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert [row["updates"] for row in history] == [2, 4, 6]
    for row in history:
        assert all(type(value) in (int, float) for value in row.values())
        assert row["perplexity"] == pytest.approx(math.exp(row["loss"]))
        assert row["validation_perplexity"] == pytest.approx(math.exp(row["validation_loss"]))
        assert row["tokens_per_second"] > 0
    assert history[-1]["validation_loss"] == pytest.approx(model.loss([SENTENCES[0]]).item())
    save_history(tmp_path / "sub" / "loss.csv", history)
    with open(tmp_path / "sub" / "loss.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in history]
    with pytest.raises(ValueError, match="the history has no row"):
        save_history(tmp_path / "x.csv", [])


def test_the_loss_of_a_pass_is_the_mean_over_its_tokens():
    model = tiny(dtype=np.float64)
    task = Sequences(SENTENCES, 2, shuffle=False)
    history = fit(model, task, SGD(model.parameters(), 0.0), epochs=1, progress=False)
    nats = -sum(model.score(row).item() for row in SENTENCES)
    count = sum(len(row) - 1 for row in SENTENCES)
    assert history[0]["loss"] == pytest.approx(nats / count, rel=1e-12)
    assert evaluate(model, task) == pytest.approx(nats / count, rel=1e-12)
    every = Stream(CYCLE, batch=1, steps=10_000)
    assert evaluate(model, every) == pytest.approx(model.loss(CYCLE).item(), rel=1e-12)
    pieces = Stream(CYCLE, batch=1, steps=7)
    assert evaluate(model, pieces) == pytest.approx(model.loss(CYCLE).item(), rel=1e-12)
    without = Stream(CYCLE, batch=1, steps=7, ignore=1)
    assert evaluate(model, without) == pytest.approx(
        model.stream_loss(CYCLE, ignore=1)[0].item(), rel=1e-12
    )


def test_the_same_seeds_train_the_same_model():
    def run():
        model = tiny(dropout=0.3)
        task = Stream(CYCLE, batch=4, steps=5, reset=0.3, rng=1)
        fit(model, task, epochs=2, clip=1.0, progress=False)
        return model.state_dict()

    a, b = run(), run()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_stream_forgets_where_it_is_told_to():
    model = tiny(layers=2, dtype=np.float64)
    task = Stream(CYCLE, batch=3, steps=4, reset=1.0, rng=0)
    first, second = list(task.batches(1))[:2]
    assert second[2].all()
    _, _, carry = task.loss(model, first, None)
    assert not any(s.requires_grad or Tape(s) for layer in carry for s in layer)  # cut off
    loss, _, _ = task.loss(model, second, carry)
    assert loss.item() == pytest.approx(model.loss(second[0]).item(), rel=1e-12)
    keep = Stream(CYCLE, batch=3, steps=4)
    loss, count, _ = keep.loss(model, next(iter(keep.batches(1))), carry)
    assert count == 12
    assert loss.item() != pytest.approx(model.loss(first[0]).item(), rel=1e-9)
    some = (second[0], None, np.array([True, False, True]))
    loss, _, _ = task.loss(model, some, carry)
    fresh = [model.stream_loss(second[0][i])[0].item() for i in (0, 2)]
    rows = [tuple(type(s)(s.data[1]) for s in layer) for layer in carry]
    kept = model.stream_loss(second[0][1], tuple(rows))[0].item()
    assert loss.item() == pytest.approx((sum(fresh) + kept) / 3, rel=1e-12)


def test_a_task_has_as_many_batches_as_it_says():
    for task in (
        Stream(CYCLE, 4, 5),
        Stream(CYCLE, 1, 1000),
        Stream([1, 2], 9, 9),
        Sequences(SENTENCES, 2),
        Sequences(SENTENCES, 3),
    ):
        assert len(list(task.batches(1))) == len(task)
        assert sum(task.loss(tiny(), batch, None)[1] for batch in task.batches(1)) > 0
    order = Sequences([[1, i] for i in range(2, 8)], 1, rng=0)
    passes = [[ids[0, 1] for ids, _ in order.batches(epoch)] for epoch in (1, 1, 2)]
    assert passes[0] == passes[1] != passes[2]
    assert sorted(passes[0]) == sorted(passes[2]) == [2, 3, 4, 5, 6, 7]


class Watched:
    """A task that looks at what is still alive when the next forward begins."""

    def __init__(self):
        self.last = None
        self.alive = []

    def __len__(self):
        return 4

    def batches(self, epoch):
        return iter([np.array(row) for row in SENTENCES])

    def loss(self, model, batch, carry):
        if self.last is not None:
            self.alive.append(self.last() is not None)
        loss = model.loss(batch)
        self.last = weakref.ref(loss)
        return loss, len(batch) - 1, None


def test_the_graph_is_gone_before_the_next_forward():
    task = Watched()
    gc.collect()
    gc.disable()  # by reference counts alone
    try:
        fit(tiny(), task, epochs=3, validation=task, clip=1.0, progress=False)
    finally:
        gc.enable()
    assert len(task.alive) == 3 * 6 - 1
    assert not any(task.alive)


class Scripted:
    """Validation losses as they are told."""

    def __init__(self, losses):
        self.losses = iter(losses)

    def __len__(self):
        return 1

    def batches(self, epoch):
        return [None]

    def loss(self, model, batch, carry):
        return model.loss(SENTENCES[0]) * 0 + next(self.losses), 1, None


def test_the_best_parameters_are_kept_and_patience_ends():
    model = tiny()
    saved = []
    history = fit(
        model,
        Sequences(SENTENCES),
        epochs=20,
        validation=Scripted([3.0, 2.0, 2.5, 2.2, 2.1, 1.0]),
        patience=3,
        save=lambda: saved.append(model.state_dict()),
        progress=False,
    )
    assert [round(row["validation_loss"], 3) for row in history] == [3.0, 2.0, 2.5, 2.2, 2.1]
    assert len(saved) == 2
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, saved[1][name])
        assert (array != saved[0][name]).any()


def test_a_validation_loss_that_is_not_finite_stops():
    model = tiny()
    saved = []
    with pytest.raises(FloatingPointError, match="validation loss is nan after epoch 2") as error:
        fit(
            model,
            Sequences(SENTENCES),
            epochs=5,
            validation=Scripted([1.0, math.nan]),
            save=lambda: saved.append(model.state_dict()),
            progress=False,
        )
    assert "its parameters of epoch 1 again" in str(error.value)
    np.testing.assert_array_equal(model.V.data, saved[0]["embedding.E"])


def test_time_ends_a_training():
    model = tiny()
    history = fit(model, Stream(CYCLE, 2, 5), epochs=100_000, seconds=0.3, progress=False)
    assert 0.3 <= history[-1]["seconds"] < 3
    assert len(history) < 1000


def test_the_schedule_sets_the_rate_and_gives_it_back():
    model = tiny()
    optimizer = SGD(model.parameters(), 0.5)
    asked = []

    def schedule(progress):
        asked.append(progress)
        return 1 - progress

    history = fit(
        model, Sequences(SENTENCES, 1), optimizer, epochs=2, schedule=schedule, progress=False
    )
    assert asked == [i / 6 for i in range(6)]
    assert [row["lr"] for row in history] == [pytest.approx(0.5 * 4 / 6), pytest.approx(0.5 / 6)]
    assert optimizer.lr == 0.5


def test_the_rate_falls_on_a_plateau():
    model = tiny()
    optimizer = SGD(model.parameters(), 0.5)
    plateau = Plateau(0.1, patience=1)
    history = fit(
        model,
        Sequences(SENTENCES),
        optimizer,
        epochs=6,
        validation=Scripted([3.0, 2.0, 2.5, 2.2, 2.1, 2.3]),
        schedule=product(plateau, lambda progress: 1.0),
        progress=False,
    )
    assert [row["lr"] for row in history] == pytest.approx([0.5] * 4 + [0.05] * 2)
    assert plateau(1) == pytest.approx(0.01)
    assert optimizer.lr == 0.5
    model, plateau = tiny(), Plateau(0.1, patience=0)
    optimizer = SGD(model.parameters(), 0.0)  # without validation it is the loss that stays
    fit(model, Sequences(SENTENCES), optimizer, epochs=3, schedule=plateau, progress=False)
    assert plateau(1) == pytest.approx(0.01)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_metrics_say_which_pass_was_the_best(mode):
    model = tiny()
    found, states = iter([0.2, 0.9, 0.5, 0.6, 0.7, 0.95]), []

    def share(given, task):
        assert given is model
        assert not given.training
        states.append(model.state_dict())
        return np.float32(next(found) if mode == "max" else 1 - next(found))

    history = fit(
        model,
        Sequences(SENTENCES),
        epochs=9,
        validation=Scripted([5.0, 4.0, 3.0, 2.0, 1.0]),
        metrics={"share": share},
        monitor="validation_share",
        mode=mode,
        patience=3,
        progress=False,
    )
    assert len(history) == 5  # the losses fell all the time
    assert all(type(row["validation_share"]) is float for row in history)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, states[1][name])


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_validation_loss_decides_where_the_monitor_is_the_same(mode, capsys):
    model = tiny()
    shares, states = iter([0.5, 0.9, 0.9, 0.9, 0.9, 0.1]), []

    def share(given, task):
        states.append(model.state_dict())
        return next(shares) if mode == "max" else -next(shares)

    history = fit(
        model,
        Sequences(SENTENCES),
        epochs=9,
        validation=Scripted([1.0, 5.0, 4.0, 3.0, 3.5, 0.5]),
        metrics={"share": share},
        monitor="validation_share",
        mode=mode,
        patience=3,
    )
    assert len(history) == 5  # three more of the same are not better
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, states[3][name])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "the model has its parameters of epoch 4, the best by validation share"


def test_metrics_of_tagging_and_classification(capsys):
    sentences = [[3, 4, 5], [6, 3], [4, 4, 6, 5], [5]]
    tags = [[i % 3 for i in sentence] for sentence in sentences]
    tagger = Transducer(Elman(4, 8, rng=0), 3, embedding=Embedding(8, 4, rng=1), rng=2)
    task = Labelled(sentences, tags, 2, rng=0)

    def right(model, task):
        return accuracy(tags, predictions(model, task))

    history = fit(
        tagger,
        task,
        Adam(tagger.parameters(), 0.05),
        epochs=25,
        validation=task,
        metrics={"accuracy": right},
        monitor="validation_accuracy",
        mode="max",
    )
    assert max(row["validation_accuracy"] for row in history) == right(tagger, task) == 1
    err = capsys.readouterr().err
    assert re.search(r"labels/s; validation loss 0\.0\d\d, accuracy 1\.0000; ", err)
    assert "perplexity" not in err  # of a language model
    fit(
        Acceptor(Elman(4, 8, rng=0), 3, embedding=Embedding(8, 4)),
        Labelled(sentences, [0, 1, 1, 2]),
    )
    assert "sequences/s" in capsys.readouterr().err


def test_gradients_are_clipped_by_value():
    class Looking(SGD):
        def step(self):
            sizes.append(max(float(np.abs(p.grad).max()) for p in self.parameters))
            norms.append(math.sqrt(sum(float((p.grad**2).sum()) for p in self.parameters)))
            super().step()

    for options, most, norm in [
        ({}, math.inf, math.inf),
        ({"clip_value": 1e-3}, 1e-3, math.inf),
        ({"clip_value": 1e-3, "clip": 1e-4}, 1e-3, 1e-4),
    ]:
        sizes, norms = [], []
        model = tiny()
        optimizer = Looking(model.parameters(), 0.1)
        fit(model, Sequences(SENTENCES, 1), optimizer, epochs=1, progress=False, **options)
        assert len(sizes) == 3
        assert max(sizes) <= most * (1 + 1e-6)
        assert max(norms) <= norm * (1 + 1e-6)
        assert norm < most or most in (math.inf, pytest.approx(max(sizes)))


def test_groups_have_their_own_rates():
    model = tiny(tied=False)
    before = model.state_dict()
    frozen = [model.embedding.E]
    rest = [p for p in model.parameters() if p is not model.embedding.E]
    optimizer = SGD([{"parameters": frozen, "scale": 0.0}, {"parameters": rest}], 0.5)
    fit(model, Sequences(SENTENCES), optimizer, epochs=2, progress=False)
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]) == (name == "embedding.E")


def test_save_to_a_path(tmp_path):
    model = tiny()
    fit(model, Sequences(SENTENCES), epochs=1, save=tmp_path / "model.npz", progress=False)
    other = tiny(rng=1).load(tmp_path / "model.npz")
    np.testing.assert_array_equal(other.V.data, model.V.data)


class Spoiled:
    """A task that does something at one batch."""

    def __init__(self, at, act):
        self.at, self.act, self.count = at, act, 0

    def __len__(self):
        return 3

    def batches(self, epoch):
        return iter(SENTENCES)

    def loss(self, model, batch, carry):
        self.count += 1
        if self.count == self.at:
            self.act(model)
        return model.loss(batch), len(batch) - 1, None


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_nan_stops_and_says_where(clip):
    model = tiny()
    first = []
    task = Spoiled(5, lambda m: m.cell.U_f.data.fill(np.nan))
    with pytest.raises(FloatingPointError) as error:
        fit(
            model,
            task,
            epochs=9,
            clip=clip,
            save=lambda: first.append(model.state_dict()),
            progress=False,
        )
    message = str(error.value)
    assert "the loss is nan in epoch 2, batch 2 (update 5)" in message
    assert "not finite before this batch: cell.U_f" in message
    assert "its parameters of epoch 1 again" in message
    assert len(first) == 1
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, first[0][name])
    assert model.training


def test_an_overflow_is_traced_to_its_op():
    def spoil(model):  # finite parameters with a product that is not: h is near tanh(1)
        model.V.data[...] = 3e38
        for b in (model.cell.b_i, model.cell.b_o, model.cell.b_g):
            b.data[...] = 20

    model = tiny(tied=False)
    task = Spoiled(2, spoil)
    with pytest.raises(FloatingPointError, match=r"it began at: matmul of .* in scores") as error:
        fit(model, task, epochs=1, progress=False)
    assert "batch 2 (update 2)" in str(error.value)
    assert "its parameters before training again" in str(error.value)
    assert np.isfinite(model.V.data).all()


def test_a_gradient_that_is_not_finite_is_not_applied():
    class Steep(Spoiled):
        def loss(self, model, batch, carry):
            p = model.V
            tail = ((p * 1e-30) ** 0.5).sum() if self.count else 0.0  # NaN of the negative ones
            self.count += 1
            loss = model.loss(batch)
            return loss + np.where(np.isnan(getattr(tail, "data", 0.0)), 0, tail), 3, None

    model = tiny()
    with pytest.raises(FloatingPointError, match="the gradient is nan in epoch 1, batch 2"):
        fit(model, Steep(0, None), epochs=1, clip=1.0, progress=False)
    assert np.isfinite(model.V.data).all()


def stop(model):
    raise KeyboardInterrupt


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize(("at", "files"), [(1, 0), (3, 1), (5, 1)])
def test_ctrl_c_leaves_the_last_good_model_on_disk(tmp_path, at, files, validated):
    path = tmp_path / "model.npz"
    model = tiny()
    validation = Sequences(SENTENCES) if validated else None
    with pytest.raises(KeyboardInterrupt):
        fit(model, Spoiled(at, stop), epochs=5, validation=validation, save=path, progress=False)
    assert len(list(tmp_path.iterdir())) == files
    if files:
        other = tiny(rng=9).load(path)
        for a, b in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_array_equal(a.data, b.data)
        assert not np.array_equal(tiny().V.data, other.V.data)
        assert other.loss(SENTENCES[0]).item() < tiny().loss(SENTENCES[0]).item()


def test_ctrl_c_goes_back_to_the_best_model(tmp_path):
    model = tiny()
    saved = []
    validation = Scripted([1.0, 2.0, 3.0])
    with pytest.raises(KeyboardInterrupt):
        fit(
            model,
            Spoiled(11, stop),
            epochs=5,
            validation=validation,
            save=lambda: saved.append(model.state_dict()),
            progress=False,
        )
    assert len(saved) == 1
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, saved[0][name])


def test_after_each_epoch():
    """Its columns are kept, and a true value stops the training."""

    def after(row):
        row["squared"] = row["epoch"] ** 2
        return row["epoch"] == 3

    history = fit(tiny(), Sequences(SENTENCES), epochs=9, progress=False, after_epoch=after)
    assert [row["squared"] for row in history] == [1, 4, 9]


def test_bad_calls_of_fit():
    model, task = tiny(), Sequences(SENTENCES)
    with pytest.raises(ValueError, match="fit: epochs must be an integer >= 1, got 0"):
        fit(model, task, epochs=0)
    with pytest.raises(ValueError, match="need a task as validation="):
        fit(model, task, patience=2)
    for given, came in (("adam", "'adam'"), (Adam, "the class Adam"), (0.1, "0.1")):
        with pytest.raises(TypeError, match=rf"an Optimizer, as Adam\(model\.par.*, got {came}"):
            fit(model, task, given)
    for given, came in (
        ([1, 2], "a list of 2"),
        (np.ones((2, 3)), r"an array \(2, 3\) float64"),
        (Sequences, "the class Sequences"),
    ):
        wanted = rf"expected a Task, as Labelled\(x, y, batch=32\), .* got {came}"
        with pytest.raises(TypeError, match=f"fit: {wanted}"):
            fit(model, given, given)
        with pytest.raises(TypeError, match=rf"fit\(validation=...\): {wanted}"):
            fit(model, task, validation=given)
        with pytest.raises(TypeError, match=f"evaluate: {wanted}"):
            evaluate(model, given)
    for call in (fit, evaluate):
        with pytest.raises(TypeError, match=r"expected a model, .* got the class LanguageModel"):
            call(LanguageModel, task)
    with pytest.raises(ValueError, match="Adam: there is no parameter to train; a Module's are"):
        fit(Module(), task)
    with pytest.raises(TypeError, match=r"task must be a Labelled\(sequences\), got a list"):
        predictions(model, [[1, 2]])
    for name, read in (
        ("Stream", Stream),
        ("stream_batches", lambda ids: next(stream_batches(ids, 1, 2))),
        ("NGram", lambda ids: NGram(ids, 5)),
    ):
        with pytest.raises(ValueError, match=rf"{name}: .* one text, .* np\.concatenate\(ids\)"):
            read([[1, 2, 3], [1, 2]])
    with pytest.raises(ValueError, match="seconds must be a number > 0, got 0"):
        fit(model, task, seconds=0)
    with pytest.raises(ValueError, match="metrics and monitor need a task as validation="):
        fit(model, task, metrics={"accuracy": lambda model, task: 1.0})
    with pytest.raises(ValueError, match=r"monitor must be one of loss, .* got 'accuracy'"):
        fit(model, task, validation=task, monitor="accuracy")
    with pytest.raises(ValueError, match='mode must be "min" or "max", whichever is best for val'):
        fit(
            model,
            task,
            validation=task,
            metrics={"f1": lambda model, task: 1.0},
            monitor="validation_f1",
        )
    with pytest.raises(ValueError, match='mode must be "min" or "max"'):
        fit(model, task, mode="lowest")
    with pytest.raises(ValueError, match="fit: clip must be a number >= 0, got -1"):
        fit(model, task, clip=-1)
    with pytest.raises(ValueError, match="fit: clip_value must be a number >= 0, got nan"):
        fit(model, task, clip_value=math.nan)
    with pytest.raises(FloatingPointError, match="validation f1 is nan after epoch 1"):
        fit(
            model,
            task,
            validation=task,
            metrics={"f1": lambda model, task: math.nan},
            monitor="validation_f1",
            mode="max",
            progress=False,
        )
    with pytest.raises(ValueError, match=r"sequence 1 is \(1,\)"):
        Sequences([[1, 2], [1]])
    with pytest.raises(ValueError, match="there is no sequence"):
        Sequences([])
    with pytest.raises(ValueError, match=r"of at least 2, got \(1,\)"):
        Stream([1])
    with pytest.raises(ValueError, match="reset must be a probability"):
        Stream([1, 2, 3], reset=2)
    with pytest.raises(ValueError, match="Stream: steps must be an integer >= 1, got 0"):
        Stream([1, 2, 3], steps=0)
    with pytest.raises(ValueError, match="no token is to be predicted"):
        evaluate(model, Stream([1, 2, 2], ignore=2))
    with pytest.raises(ValueError, match="no token is to be predicted"):
        fit(model, Stream([1, 2, 2], ignore=2), progress=False)


def small(kind, labels=2):
    """A model of 5 ids."""
    E = Embedding(5, 4, rng=0)
    if kind == "tagger":
        return Transducer(LSTM(4, 3, rng=0), labels, embedding=E, rng=0)
    if kind == "crf":
        return Transducer(LSTM(4, 3, rng=0), labels, embedding=E, crf=CRF(labels), rng=0)
    if kind == "pairs":
        return EncoderDecoder(5, 5, 4, rng=0)
    return BagClassifier(E, labels) if kind == "bag" else LanguageModel(5, 4, rng=0)


OUTSIDE = {
    "stream": ("lm", lambda: Stream([1, 3, 9, 2, 1], 2, 2), "id 9 .* outside of 0..4"),
    "sequence": ("lm", lambda: Sequences([[1, 3, -1, 2]]), "id -1 .* outside of 0..4"),
    "text": ("bag", lambda: Labelled([[1, 9]], [0]), "id 9 .* outside of 0..4"),
    "class": ("bag", lambda: Labelled([[1, 2]], [5]), "classes from 0 to 1, got 5"),
    "tag": ("tagger", lambda: Labelled([[1, 2]], [[0, 7]]), "id 7 .* outside of 0..1"),
    "tag of a CRF": ("crf", lambda: Labelled([[1, 2]], [[0, 7]]), "id 7 .* outside of 0..1"),
    "source": ("pairs", lambda: Pairs([[9, 1]], [[1, 3, 2]]), "source: id 9 .* outside of 0..4"),
    "target": ("pairs", lambda: Pairs([[1, 1]], [[1, 8, 2]]), "target: id 8 .* outside of 0..4"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_ids_out_of_range(name):
    kind, task, message = OUTSIDE[name]
    model = small(kind)
    before = model.state_dict()
    with pytest.raises(ValueError, match=message):
        fit(model, task(), epochs=1, progress=False)
    with pytest.raises(ValueError, match=message):
        evaluate(model, task())
    for path, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[path])
    assert model.training


def test_the_history_is_drawn(tmp_path):
    needs("matplotlib")
    from unspool.viz import plots

    task = Labelled([[1, 2], [3, 4]], [0, 1], 1, rng=0)
    history = fit(
        small("bag"),
        task,
        epochs=3,
        validation=task,
        metrics={"accuracy": lambda model, task: 0.5},
        progress=False,
    )
    for what in ("loss", "perplexity", "validation_accuracy"):
        plots.plot_training(history, what=what).savefig(tmp_path / f"{what}.png")
        assert (tmp_path / f"{what}.png").stat().st_size > 5000


# Reports ----------------------------------------------------------------------------------------


def test_plain_lines_without_tqdm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fit(tiny(), Sequences(SENTENCES), epochs=2, validation=Sequences(SENTENCES))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines.pop() == "the model has its parameters of epoch 2, the best by validation loss"
    assert len(lines) == 2
    for number, line in enumerate(lines, 1):
        assert line.startswith(f"epoch {number}/2: loss ")
        for part in ("perplexity", "tokens/s", "validation perplexity"):
            assert part in line


def test_a_moving_line_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", screen)
    fit(tiny(), Stream(CYCLE, 1, 3), epochs=1)
    text = screen.getvalue()
    assert text.startswith("\repoch 1/1, batch 1/93: loss ")
    assert text.endswith(" s\n")


def test_a_bar_that_ctrl_c_left_half_made_ends_without_an_error():
    needs("tqdm")
    bar = Report(epochs=1, batches=1).tqdm
    bar.__new__(bar).close()  # its constructor was interrupted


def test_the_bar_of_tqdm(monkeypatch, capsys):
    bars = []

    class Bar:
        def __init__(self, **options):
            self.options, self.updates, self.closed = options, 0, False
            bars.append(self)

        def set_postfix_str(self, text, refresh):
            self.text = text

        def update(self):
            self.updates += 1

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Bar))
    fit(tiny(), Sequences(SENTENCES, 1), epochs=2)
    assert [bar.updates for bar in bars] == [3, 3]
    assert all(bar.closed and bar.options["total"] == 3 for bar in bars)
    for part in ("loss", "perplexity", "tokens/s"):
        assert part in bars[0].text
    capsys.readouterr()
    fit(tiny(), Sequences(SENTENCES), epochs=1, progress=False)
    assert capsys.readouterr() == ("", "")


def test_training_with_the_real_tqdm(capsys):
    needs("tqdm")
    fit(tiny(), Sequences(SENTENCES, 1), epochs=1)
    assert "epoch 1/1: loss" in capsys.readouterr().err
    assert Report(1, 1).tqdm is not None


# Models in files --------------------------------------------------------------------------------

WORDS = ["the", "“", "naïve", "日本", "don't"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": GRU, "layers": 2, "tied": False, "dropout": 0.25},
        {"cell": functools.partial(Elman, activation="relu", bias=False), "dtype": np.float64},
    ],
)
def test_a_model_comes_back_as_it_was(tmp_path, options):
    path = tmp_path / "folder" / "model.npz"
    model = tiny(**options)
    vocabulary = Vocabulary(WORDS, lower=True)
    save_model(path, model, vocabulary=vocabulary)
    other, words, *_ = load_model(path)
    assert words.tokens == vocabulary.tokens
    assert (words.level, words.lower) == ("word", True)
    assert (other.layers, other.tied, other.dropout.p) == (
        model.layers,
        model.tied,
        model.dropout.p,
    )
    assert not other.training
    ids = vocabulary.encode("the “naïve” don't", start=True)
    np.testing.assert_array_equal(other.logits(ids).data, model.eval().logits(ids).data)
    assert other.generate(ids, 9, rng=0).tolist() == model.generate(ids, 9, rng=0).tolist()
    assert other.logits(ids).dtype == model.V.dtype


class OwnCell(Cell):
    """A cell that no file can name."""

    states = ("h",)

    def __init__(self, d_in, d_h, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.d_in, self.d_h = d_in, d_h
        self.A = Parameter(rng.standard_normal((d_in, d_h)).astype(dtype))

    def forward(self, x, state):
        return (np.tanh(x @ self.A + state[0]),)


def test_a_model_with_parts_of_ones_own_is_filled(tmp_path):
    path = tmp_path / "m.npz"
    model = tiny(cell=OwnCell)
    save_model(path, model, vocabulary=Vocabulary(WORDS), notes={"a": [1, "é"]})
    with pytest.raises(ValueError, match=r"own \(.*cells\.register.*\); .*load_model\(path, model"):
        load_model(path)
    other = tiny(cell=OwnCell, rng=5)
    saved = load_model(path, other)
    assert saved.model is other
    assert not other.training
    assert saved.notes == {"a": [1, "é"]}
    assert saved.vocabulary.tokens[3:] == tuple(WORDS)
    np.testing.assert_array_equal(other.cell.A.data, model.cell.A.data)
    with pytest.raises(ValueError, match=r"unexpected cell\.A"):
        load_model(path, tiny(cell=GRU))


def test_a_function_that_makes_a_known_cell(tmp_path):
    def make(d_in, d_h, rng=None, dtype=np.float32):
        return LSTM(d_in, d_h, bias=False, rng=rng, dtype=dtype)

    model = tiny(cell=make, layers=2, dropout=0.5)
    save_model(tmp_path / "m.npz", model)
    other = load_model(tmp_path / "m.npz").model
    np.testing.assert_array_equal(other.logits([1, 4]).data, model.eval().logits([1, 4]).data)
    assert list(other.state_dict()) == list(model.state_dict())


def both(d_in, d_h, cell=LSTM, **options):
    return Bidirectional(cell(d_in, d_h, rng=0), cell(d_in, d_h, rng=1), **options)


def featured():
    sentences = [["The", "cats", "sleep"], ["A", "dog"]]
    features = Features.count(sentences, suffixes=[2], letters=4)
    letters = CharacterEncoder(len(features.vocabularies[-1]), 3, 2, cell=GRU, rng=0)
    embedding = FeatureEmbedding(features.sizes, [5, 3, 2], letters=letters, rng=0)
    return features, embedding


TAGS = Labels(["B-NP", "I-NP", "O"])
IDS = np.array([[3, 4, 5, 6], [7, 3, 0, 0]])
# Models of every kind that a file can hold: they read IDS.
SAVED = {
    "bag": lambda E: BagClassifier(E, 3, "max", hidden=[4, 5], activation="relu", rng=0),
    "bag of two": lambda E: BagClassifier(E, 1, objective="hinge", rng=0),
    "cnn": lambda E: TextCNN(6, 3, (2, 4), 5, embedding=E, dropout=0.2, rng=0),
    "acceptor": lambda E: Acceptor(Elman(6, 4, "relu", bias=False, rng=0), 3, embedding=E, rng=0),
    "deep": lambda E: Acceptor(
        Stacked([both(6, 4), both(8, 4, GRU, merge="sum")], dropout=0.1, rng=0),
        3,
        "mean",
        embedding=E,
        hidden=[7],
        rng=0,
    ),
    "tagger": lambda E: Transducer(both(6, 4, LayerNormLSTM), 3, embedding=E, hidden=[5], rng=0),
    "split": lambda E: Transducer(both(6, 4, PeepholeLSTM), 3, embedding=E, split=True, rng=0),
    "crf": lambda E: Transducer(MGU(6, 4, rng=0), 3, embedding=E, crf=CRF(TAGS.names, "BIO")),
    "pairwise": lambda E: Transducer(
        both(6, 4), 3, embedding=E, crf=PairwiseCRF(TAGS.names, 8, "BIO", rng=0)
    ),
    "hierarchical": lambda E: HierarchicalAcceptor(
        GRU(6, 4, rng=0), both(4, 3), 3, [4, 7], "mean", embedding=E, hidden=[5], rng=0
    ),
    "deepmoji": lambda E: DeepMoji(8, 3, d=6, cells=4, pooling="mean", dropout=0.2, rng=0),
    "attention": lambda E: DeepMoji(8, 3, d=6, cells=4, layers=1, hidden=[5], rng=0),
    "residual": lambda E: Transducer(
        Stacked([ResetAfterGRU(6, 6, rng=i) for i in range(3)], residual=True), 3, embedding=E
    ),
}


@pytest.mark.parametrize("name", SAVED)
def test_classifiers_and_taggers_come_back(name, tmp_path):
    path = tmp_path / "m.npz"
    model = SAVED[name](Embedding(8, 6, rng=3))
    labels = TAGS if name != "bag of two" else Labels(["a", "b"])
    rng = np.random.default_rng(0)
    for p in model.parameters():  # also what begins at 0
        p.data[...] = rng.uniform(-1, 1, p.shape)
    save_model(path, model, vocabulary=Vocabulary(WORDS), labels=labels)
    saved = load_model(path)
    assert type(saved.model) is type(model)
    assert not saved.model.training
    assert saved.labels.names == labels.names
    assert saved.features is None
    np.testing.assert_array_equal(
        saved.model.probabilities(IDS, [4, 2]), model.probabilities(IDS, [4, 2])
    )
    np.testing.assert_array_equal(saved.model.predict(IDS, [4, 2]), model.predict(IDS, [4, 2]))
    targets = [0, 1] if isinstance(model, Classifier) else np.array([[0, 1, 2, 2], [0, 2, 0, 0]])
    a, b = (m.eval().loss(IDS, targets, [4, 2]).item() for m in (model, saved.model))
    assert a == b


def test_window_models_come_back(tmp_path):
    model = WindowLanguageModel(8, 6, 2, [5, 4], "relu", dropout=0.3, rng=0)
    save_model(tmp_path / "m.npz", model, vocabulary=Vocabulary(WORDS))
    other = load_model(tmp_path / "m.npz").model
    np.testing.assert_array_equal(other.logits(IDS).data, model.eval().logits(IDS).data)


@pytest.mark.parametrize("attention", [None, "dot", "scaled_dot", "bilinear", "additive"])
@pytest.mark.parametrize("cell", [LSTM, functools.partial(Elman, activation="relu")])
def test_encoder_decoders_come_back(attention, cell, tmp_path):
    both_ways = attention in (None, "bilinear", "additive")
    model = EncoderDecoder(
        8,
        7,
        6,
        cell,
        layers=2,
        bidirectional=both_ways,
        attention=attention,
        dropout=0.3,
        start=3,
        end=4,
        rng=0,
    ).eval()
    save_model(tmp_path / "m.npz", model, notes={"language": "digits"})
    saved = load_model(tmp_path / "m.npz")
    assert saved.notes == {"language": "digits"}
    source, target = [[5, 6, 7], [1, 2, 0]], [[3, 5, 6, 4], [3, 1, 4, 0]]
    for other, lengths in ((saved.model, [3, 2]), (saved.model.train().eval(), [1, 2])):
        np.testing.assert_array_equal(
            other.logits(source, target, lengths, [4, 3]).data,
            model.logits(source, target, lengths, [4, 3]).data,
        )
    assert (saved.model.start, saved.model.end, saved.model.dropout.p) == (3, 4, 0.3)
    assert [h.ids.tolist() for h in saved.model.beam([5, 6], 4)] == [
        h.ids.tolist() for h in model.beam([5, 6], 4)
    ]


def test_an_attention_of_ones_own_is_filled(tmp_path):
    class Last(DotAttention):
        pass

    def make(rng):
        return EncoderDecoder(8, 8, 6, attention=Last, rng=rng)

    save_model(tmp_path / "m.npz", make(0))
    with pytest.raises(ValueError, match="it has parts of your own"):
        load_model(tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz", make(1)).model
    np.testing.assert_array_equal(loaded.V.data, make(0).V.data)


def test_features_come_back(tmp_path):
    features, embedding = featured()
    model = Transducer(both(embedding.d, 4), 3, embedding=embedding, rng=0)
    save_model(tmp_path / "m.npz", model, features=features, labels=TAGS)
    saved = load_model(tmp_path / "m.npz")
    words = ["The", "bats", "sleep", "soundly"]
    rows = saved.features.encode(words)
    np.testing.assert_array_equal(rows, features.encode(words))
    np.testing.assert_array_equal(saved.model.probabilities(rows), model.probabilities(rows))
    other = Features.count([["x"]], suffixes=[2], letters=4)
    with pytest.raises(ValueError, match=r"the features are .*, the model's are"):
        save_model(tmp_path / "m.npz", model, features=other)
    with pytest.raises(ValueError, match="there are 2 labels, but the model has 3"):
        save_model(tmp_path / "m.npz", model, labels=Labels(["a", "b"]))


def test_a_loaded_model_learns_on(tmp_path):
    save_model(tmp_path / "m.npz", tiny(dropout=0.4))
    model = load_model(tmp_path / "m.npz").model.train()
    history = fit(model, Sequences(SENTENCES, rng=0), epochs=60, progress=False)
    assert history[-1]["loss"] < history[0]["loss"]


def test_saving_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="the vocabulary has 4 tokens, the model 8"):
        save_model(tmp_path / "m.npz", tiny(), vocabulary=Vocabulary(["a"]))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    save_model(path, tiny(), vocabulary=Vocabulary(WORDS))
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(path, tiny(rng=1), vocabulary=Vocabulary(WORDS))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, tiny(), vocabulary=Vocabulary(WORDS))
    return path


def test_a_file_cut_off_anywhere_is_one_clear_error(saved):
    whole = saved.read_bytes()
    for size in sorted({0, 1, 3, 30, 100, *range(0, len(whole), len(whole) // 60)}):
        saved.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"m\.npz' is no readable model"):
            load_model(saved)


def test_a_file_with_a_wrong_byte_never_loads_as_something_else(saved):
    whole = saved.read_bytes()
    expected = load_model(saved).model.state_dict()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(whole), 150):
        spoiled = bytearray(whole)
        spoiled[place] ^= 0xFF
        saved.write_bytes(spoiled)
        try:
            model = load_model(saved).model
        except ValueError:
            refused += 1
        else:  # a byte that nothing depends on, such as a date
            for name, array in model.state_dict().items():
                np.testing.assert_array_equal(array, expected[name])
    assert refused > 100


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        load_model(tmp_path / "none.npz")


def rewrite(path, change):
    """Change the configuration or the arrays of a saved model."""
    arrays = load_npz(path)
    config = json.loads(arrays.pop("header").tobytes())
    result = change(config, arrays)
    text = result if isinstance(result, bytes) else json.dumps(config).encode()
    if result is not False:
        arrays["header"] = np.frombuffer(text, np.uint8)
    save_npz(path, arrays)


def put(part, name, value):
    return lambda config, arrays: config[part].__setitem__(name, value)


def cell_as(value):
    return lambda config, arrays: config["model"].__setitem__("cell", value)


HOSTILE = {
    "no header": (lambda c, a: False, "it has no header"),
    "no JSON": (lambda c, a: b"{nonsense", "Expecting property name"),
    "no UTF-8": (lambda c, a: b"\xff\xfe", "utf-8"),
    "deep JSON": (lambda c, a: b"[" * 100_000, "recursion"),
    "other JSON": (lambda c, a: b"[1, 2]", "it has the format 'list'"),
    "other format": (lambda c, a: c.update(format="x"), "it has the format 'x'"),
    "later version": (
        lambda c, a: c.update(version=3),
        "of version 3, this unspool reads",
    ),
    "no model": (lambda c, a: c.pop("model") and None, "it has parts of your own"),
    "model as a text": (
        lambda c, a: c.update(model="os"),
        "no configuration of Module, but of 'os'",
    ),
    "unknown part": (put("model", "class", "os"), "a part of it is unknown here: 'os'"),
    "huge width": (put("model", "d", 10**9), "it asks for 1,000,000,000 of something"),
    "huge vocabulary": (put("model", "vocab_size", 10**12), "it asks for 1,000,000,000,000"),
    "huge depth": (put("model", "layers", 10**9), "it asks for 1,000,000,000 of"),
    "no depth": (put("model", "layers", 0), "layers must be an integer >= 1, got 0"),
    "wrong depth": (put("model", "layers", 2), "numbers more than it has"),
    "width as text": (put("model", "d", "16"), "d must be an integer >= 1, got '16'"),
    "width as truth": (put("model", "layers", True), "layers must be an integer >= 1, got True"),
    "negative width": (put("model", "d", -16), "d must be an integer >= 1, got -16"),
    "dtype": (put("model", "dtype", "object"), "dtype must be one of float16, float32"),
    "dropout": (put("model", "dropout", 7), "probability"),
    "a setting more": (put("model", "os", 7), "LanguageModel takes no os"),
    "unknown cell": (cell_as({"kind": "os"}), "a part of it is unknown here: 'os'"),
    "cell as a path": (cell_as("os.system"), "got 'os.system'"),
    "cell's options": (cell_as({"kind": "LSTM", "x": 1}), "LSTM takes no x"),
    "other cell": (cell_as({"kind": "GRU"}), "unexpected cell"),
    "a model for a cell": (cell_as({"kind": "Transducer"}), "network must be a Cell"),
    "an object for a cell": (cell_as({"class": "LSTM", "d_in": 1, "d_h": 1}), "LanguageModel"),
    "initial values": (cell_as({"kind": "LSTM", "W_init": "identity"}), "W_init is no setting"),
    "tokens": (put("vocabulary", "tokens", ["<unk>", "<s>", "</s>", 5]), "no list of tokens"),
    "specials": (put("vocabulary", "tokens", ["a"] * 8), "does not begin with <unk>"),
    "twice": (put("vocabulary", "tokens", ["<unk>", "<s>", "</s>", "a", "a"]), "twice"),
    "few tokens": (put("vocabulary", "tokens", ["<unk>", "<s>", "</s>"]), "vocabulary has 3"),
    "level": (put("vocabulary", "level", "byte"), "'byte'"),
    "no level": (lambda c, a: c["vocabulary"].pop("level") and None, "level"),
    "labels": (lambda c, a: c.update(labels=[1, 2]), "names must be strings, got 1"),
    "features": (lambda c, a: c.update(features={"x": 1}), "no configuration of Features"),
    "missing array": (lambda c, a: a.pop("cell.b_f") is None, "missing cell.b_f"),
    "NaN": (lambda c, a: a["cell.b_f"].fill(np.nan), "cell.b_f holds something else"),
    "shape": (lambda c, a: a.update({"cell.b_f": np.zeros(3)}), "cell.b_f"),
    "text": (lambda c, a: a.update({"cell.b_f": np.array(["x"])}), "cell.b_f holds something"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_foreign_and_hostile_files(saved, name):
    change, message = HOSTILE[name]

    def apply(config, arrays):
        result = change(config, arrays)
        return result if result is not False or name == "no header" else None

    rewrite(saved, apply)
    with pytest.raises(ValueError, match=r"m\.npz' is no readable model") as error:
        load_model(saved)
    assert message in str(error.value)


def test_a_narrow_embedding_cannot_ask_for_wide_cells(saved):
    """E of (8, 100_000) is small; the cells it claims would be 8 matrices of 40 GB."""
    d = 100_000
    arrays = {"embedding.E": np.zeros((8, d), np.float32)}
    config = json.loads(load_npz(saved)["header"].tobytes())
    config["model"]["d"] = d
    arrays["header"] = np.frombuffer(json.dumps(config).encode(), np.uint8)
    save_npz(saved, arrays)
    with pytest.raises(ValueError, match="asks for 10,000,000,000 numbers more than it has"):
        load_model(saved)


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "m.npz"
    path.write_text("a text")
    with pytest.raises(ValueError, match="no readable model"):
        load_model(path)
    np.save(path.with_suffix(".npy"), np.arange(3))
    with pytest.raises(ValueError, match="no readable model"):
        load_model(path.with_suffix(".npy"))
    np.savez(path, config=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="no readable model"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.npy", b"\x93NUMPY nonsense")
    with pytest.raises(ValueError, match="no readable model"):
        load_model(path)
    tiny().save(path)
    with pytest.raises(ValueError, match="it has no header"):
        load_model(path)
    with pytest.raises((ValueError, FileNotFoundError), match=tmp_path.name):
        load_model(tmp_path)
