"""Layers and language models: forward against plain NumPy, gradients against differences."""

from __future__ import annotations

import functools
import gc
import itertools
import math

import numpy as np
import pytest

from helpers import lstm, sigmoid, softmax
from unspool import Parameter, Tape, Tensor, check_grads, no_grad
from unspool.autograd import embedding
from unspool.cells import GRU, LSTM, Bidirectional, Cell, Elman, Stacked, detached
from unspool.models import (
    Dense,
    Dropout,
    Embedding,
    FeedForward,
    LanguageModel,
    evaluating,
    next_distribution,
)
from unspool.models.networks.generation import choose

IDS = np.array([[1, 4, 5, 2, 6], [1, 6, 2, 2, 3], [1, 0, 3, 5, 4]])
LENGTHS = np.array([5, 3, 4])


def lstm_logits(model: LanguageModel, ids: np.ndarray) -> np.ndarray:
    """The network again for one sequence and one layer, by a plain loop."""
    E = model.embedding.E.data
    V = dict(model.named_parameters()).get("V", model.embedding.E).data
    return lstm(model.cell, E[ids]) @ V.T


def model64(**options) -> LanguageModel:
    model = LanguageModel(**{"vocab_size": 7, "d": 4, "rng": 0, "dtype": np.float64, **options})
    model.embedding.E.data *= 8  # off the even distribution that it begins with
    return model


# Layers -----------------------------------------------------------------------------------------


def test_embedding_gives_rows():
    layer = Embedding(5, 3, rng=0)
    assert layer.E.dtype == np.float32
    np.testing.assert_array_equal(layer(IDS % 5).data, np.take(layer.E.data, IDS % 5, axis=0))
    assert layer(2).shape == (3,)
    one_hot = np.eye(5, dtype=np.float32)[[4, 0]]
    np.testing.assert_allclose(layer([4, 0]).data, one_hot @ layer.E.data)
    with pytest.raises(ValueError, match=r"id 5 at \[1\] is outside of 0\.\.4"):
        layer([0, 5])
    with pytest.raises(TypeError, match="ids are integers, got float64"):
        layer([0.5])
    with pytest.raises(ValueError, match="Embedding: n must be an integer >= 1, got 0"):
        Embedding(0, 3)
    with pytest.raises(TypeError, match=r"Embedding: d must be an integer >= 1, got 2\.5"):
        Embedding(3, 2.5)


def test_the_vector_of_padding_is_0_and_stays():
    layer = Embedding(5, 3, padding_idx=2, rng=0, dtype=np.float64)
    same = Embedding(5, 3, rng=0, dtype=np.float64)
    assert not layer.E.data[2].any()
    np.testing.assert_array_equal(np.delete(layer.E.data, 2, 0), np.delete(same.E.data, 2, 0))
    ids = np.array([[0, 2, 2], [4, 0, 2]])
    np.square(layer(ids) + 1).sum().backward()
    np.square(same(ids) + 1).sum().backward()
    assert not layer.E.grad[2].any()
    np.testing.assert_allclose(np.delete(layer.E.grad, 2, 0), np.delete(same.E.grad, 2, 0))
    twice = [layer(ids)[:, t] for t in range(3)] + [layer([2, 1])]  # contributions in one batch
    layer.E.grad = None
    sum(np.square(x + 1).sum() for x in twice).backward()
    assert not layer.E.grad[2].any()
    check_grads(lambda E: embedding(E, ids, padding_idx=1) ** 2, (same.E.data,), order=2)
    with pytest.raises(ValueError, match="padding_idx must be an id below n=5, got 5"):
        Embedding(5, 3, padding_idx=5)


@pytest.mark.parametrize(
    ("activation", "g"),
    [
        (None, lambda x: x),
        ("tanh", np.tanh),
        ("sigmoid", sigmoid),
        ("softmax", softmax),
        ("relu", lambda x: np.where(x > 0, x, 0)),
        (np.sin, np.sin),
    ],
)
def test_dense_against_its_formula(activation, g):
    layer = Dense(3, 2, activation, rng=1, dtype=np.float64)
    layer.b.data[...] = [0.5, -1]
    x = np.random.default_rng(0).standard_normal((4, 5, 3))
    expected = g(np.einsum("bti,ij->btj", x, layer.W.data) + layer.b.data)
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-12)
    assert layer(x[0, 0]).shape == (2,)
    check_grads(lambda *_: layer(x[0]), [layer.W, layer.b])


def test_dense_without_bias_and_with_bad_arguments():
    layer = Dense(3, 2, bias=False, rng=0)
    assert [name for name, _ in layer.named_parameters()] == ["W"]
    np.testing.assert_array_equal(layer(np.zeros(3, np.float32)).data, [0, 0])
    with pytest.raises(
        ValueError, match=r"Dense: expected x of \(\.\.\., 3\), got an array \(2,\)"
    ):
        layer(np.zeros(2))
    with pytest.raises(ValueError, match=r"activation must be one of .*tanh.* got 'tan'"):
        Dense(3, 2, "tan")
    with pytest.raises(ValueError, match="Dense: d_out must be an integer >= 1, got -1"):
        Dense(3, -1)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_feed_forward_of_any_depth(depth):
    widths = [3, *[4] * depth, 2]
    net = FeedForward(widths, "tanh", final="softmax", rng=0, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((5, 3))
    y = x
    for i, layer in enumerate(net.layers):
        y = y @ layer.W.data + layer.b.data
        y = softmax(y) if i == depth else np.tanh(y)
    np.testing.assert_allclose(net(x).data, y, rtol=1e-12)
    assert net.size() == sum(a * b + b for a, b in itertools.pairwise(widths))
    check_grads(lambda *_: net(x), net.parameters())


def test_feed_forward_drops_hidden_elements_in_training():
    net = FeedForward([3, 500, 500], "sigmoid", dropout=0.4, rng=0, dtype=np.float64)
    net.layers[1].W.data[...] = np.eye(500)
    x = np.ones((1, 3))
    kept, whole = net(x).data[0], net.eval()(x).data[0]
    np.testing.assert_allclose(kept[kept != 0], whole[kept != 0] / 0.6)
    assert 0.3 < (kept == 0).mean() < 0.5


def test_feed_forward_needs_two_widths():
    with pytest.raises(ValueError, match=r"as in \[300, 100, 2\]; got \[3\]"):
        FeedForward([3])


def test_dropout_thins_out_in_training_only():
    layer = Dropout(0.25, rng=0)
    x = np.ones((200, 100))
    y = layer(x)
    assert set(np.unique(y)) == {0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 0.01
    assert not np.array_equal(y, layer(x))
    np.testing.assert_array_equal(y, Dropout(0.25, rng=0)(x))
    np.testing.assert_array_equal(layer.eval()(x), x)
    with pytest.raises(ValueError, match=r"from 0 to 1, got 1\.5"):
        Dropout(1.5)


def test_evaluating_puts_every_mode_back():
    net = FeedForward([2, 3, 2], dropout=0.5, rng=0)
    net.layers[0].eval()
    modes = [part.training for part in net.modules()]
    seen = []

    def fail():
        seen.append(any(part.training for part in net.modules()))
        seen.append(net(np.ones((1, 2), np.float32)).requires_grad)
        raise RuntimeError

    with pytest.raises(RuntimeError), evaluating(net):
        fail()
    assert seen == [False, False]
    assert [part.training for part in net.modules()] == modes


# The language model: forward --------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_logits_against_plain_numpy(tied):
    model = model64(tied=tied)
    logits = model.logits(IDS)
    assert logits.shape == (3, 5, 7)
    expected = np.stack([lstm_logits(model, row) for row in IDS])
    np.testing.assert_allclose(logits.data, expected, rtol=1e-11, atol=1e-13)


def test_a_stack_of_any_cells_against_their_steps():
    model = model64(cell=functools.partial(Elman, activation="relu"), layers=3)
    below = model.embedding.E.data[IDS[0]]
    for member in model.cell.members:
        h, rows = np.zeros(4), []
        for x in below:
            h = np.maximum(x @ member.W.data + h @ member.U.data + member.b.data, 0)
            rows.append(h)
        below = np.array(rows)
    expected = below @ model.embedding.E.data.T
    np.testing.assert_allclose(model.logits(IDS[0]).data, expected, rtol=1e-11, atol=1e-13)


def test_loss_score_and_perplexity_are_one_thing():
    model = model64()
    logs = np.log(softmax(model.logits(IDS).data))
    each = np.take_along_axis(logs[:, :-1], IDS[:, 1:, None], -1)[..., 0]
    assert model.loss(IDS).shape == ()
    np.testing.assert_allclose(model.loss(IDS).item(), -each.mean(), rtol=1e-12)
    np.testing.assert_allclose(model.score(IDS).data, each.sum(1), rtol=1e-12)
    np.testing.assert_allclose(model.perplexity(IDS), math.exp(-each.mean()), rtol=1e-12)
    mask = np.arange(1, 5) < LENGTHS[:, None]
    np.testing.assert_allclose(model.loss(IDS, LENGTHS).item(), -each[mask].mean(), rtol=1e-12)
    np.testing.assert_allclose(
        model.score(IDS, LENGTHS).data, np.where(mask, each, 0).sum(1), rtol=1e-12
    )
    assert float(model.score(IDS[0])) == pytest.approx(each[0].sum(), rel=1e-12)
    assert model.score(IDS, [5, 1, 0]).data[1:].tolist() == [0, 0]


def test_a_single_sequence_comes_back_without_a_batch():
    model = model64(layers=2)
    np.testing.assert_allclose(model.logits(IDS[1]).data, model.logits(IDS).data[1], rtol=1e-12)
    assert model.logits(IDS[1]).shape == (5, 7)
    assert model.score(IDS[1]).shape == ()
    assert model.loss(IDS[1]).item() == pytest.approx(model.loss(IDS[1:2]).item(), rel=1e-12)
    assert model.generate(IDS[1], 4, rng=0).shape == (4,)
    assert model.generate(IDS, 4, rng=0).shape == (3, 4)
    assert model.logits([1]).shape == (1, 7)


def test_what_comes_later_changes_no_earlier_logit():
    model = model64(layers=2)
    before = model.logits(IDS).data
    for t in range(5):
        changed = IDS.copy()
        changed[:, t] = (changed[:, t] + 1) % 7
        after = model.logits(changed).data
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert (after[:, t] != before[:, t]).any(axis=-1).all()


def test_padding_counts_for_nothing():
    model = model64(layers=2)
    padded = np.where(np.arange(5) < LENGTHS[:, None], IDS, -999)
    model.loss(padded, LENGTHS).backward()
    together = {name: p.grad for name, p in model.named_parameters()}
    losses = []
    for p in model.parameters():
        p.grad = None
    for row, length in zip(IDS, LENGTHS, strict=True):
        loss = model.loss(row[:length])
        (loss * float((length - 1) / (LENGTHS - 1).sum())).backward()
        losses.append(loss.item() * (length - 1))
    assert model.loss(padded, LENGTHS).item() == pytest.approx(sum(losses) / 9, rel=1e-12)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(together[name], p.grad, rtol=1e-9, atol=1e-14)
    alone = [model.score(row[:n]).item() for row, n in zip(IDS, LENGTHS, strict=True)]
    np.testing.assert_allclose(model.score(padded, LENGTHS).data, alone, rtol=1e-12)


def test_a_text_in_pieces_is_the_text_as_a_whole():
    model = model64(layers=2)
    text = np.random.default_rng(0).integers(0, 7, (2, 12))
    whole, final = model(text)
    state, pieces = None, []
    for begin in range(0, 12, 5):
        logits, state = model(text[:, begin : begin + 5], detached(state))
        pieces.append(logits.data)
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole.data, rtol=1e-12)
    for a, b in zip(np.ravel(values(state)), np.ravel(values(final)), strict=True):
        assert a == pytest.approx(b, rel=1e-12)

    state, total = None, 0.0
    for begin in range(0, 11, 4):
        piece = text[:, begin : begin + 5]
        loss, state = model.stream_loss(piece, detached(state))
        total += loss.item() * (piece.shape[1] - 1)
    assert total / 11 == pytest.approx(model.loss(text).item(), rel=1e-12)


def values(state):
    return [values(s) if isinstance(s, tuple) else s.data for s in state]


def test_an_ignored_target_is_read_but_not_predicted():
    model = model64()
    logs = np.log(softmax(model.logits(IDS).data))[:, :-1]
    each = -np.take_along_axis(logs, IDS[:, 1:, None], -1)[..., 0]
    loss, _ = model.stream_loss(IDS, ignore=2)
    assert loss.item() == pytest.approx(each[IDS[:, 1:] != 2].mean(), rel=1e-12)


# The language model: parameters and gradients ---------------------------------------------------


def test_tied_is_one_parameter_counted_once():
    tied, untied = LanguageModel(50, 8, rng=0), LanguageModel(50, 8, tied=False, rng=0)
    cell = 4 * (8 * 8 + 8 * 8 + 8)
    assert tied.V is tied.embedding.E
    assert tied.size() == 50 * 8 + cell
    assert untied.size() == 2 * 50 * 8 + cell
    assert len(tied.parameters()) == 13
    assert set(untied.state_dict()) - set(tied.state_dict()) == {"V"}
    model = model64()
    other = model64()
    other.V = Parameter(model.V.data)  # the same numbers, as two Parameters
    model.loss(IDS).backward()
    other.loss(IDS).backward()
    both = other.V.grad + other.embedding.E.grad
    np.testing.assert_allclose(model.V.grad, both, rtol=1e-12, atol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("cell", [LSTM, GRU, Elman])
@pytest.mark.parametrize("tied", [True, False])
def test_gradients_against_differences(cell, tied):
    model = model64(cell=cell, tied=tied, layers=2 if cell is GRU else 1, d=3)
    check_grads(lambda *_: model.loss(IDS, LENGTHS), model.parameters())


def test_seeds_and_dtypes():
    a, b = LanguageModel(9, 4, rng=5), LanguageModel(9, 4, rng=5)
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x.data, y.data)
    assert a.logits([1, 2]).dtype == np.float32
    assert a.loss([1, 2]).dtype == np.float32
    c = LanguageModel(9, 4, rng=np.random.default_rng(5), dtype=np.float64)
    assert {p.dtype for p in c.parameters()} == {np.dtype(np.float64)}
    np.testing.assert_allclose(c.V.data, a.V.data, rtol=1e-6)
    assert a.cell.W_f.data.tolist() != LanguageModel(9, 4, rng=6).cell.W_f.data.tolist()


def test_an_untrained_model_knows_nothing():
    model = LanguageModel(1000, 64, rng=0)
    ids = np.random.default_rng(0).integers(0, 1000, (4, 30))
    assert model.loss(ids).item() == pytest.approx(math.log(1000), abs=0.05)


def test_dropout_is_off_where_models_are_judged():
    model = LanguageModel(7, 16, layers=2, dropout=0.5, rng=0)
    assert model.loss(IDS).item() != model.loss(IDS).item()
    assert model.score(IDS).data.tolist() == model.score(IDS).data.tolist()
    assert model.perplexity(IDS) == model.perplexity(IDS)
    assert model.generate([1], 9, rng=1).tolist() == model.generate([1], 9, rng=1).tolist()
    assert model.training
    assert model.eval().loss(IDS).item() == pytest.approx(math.log(model.perplexity(IDS)))
    a, b = (LanguageModel(7, 16, dropout=0.5, rng=3).loss(IDS).item() for _ in range(2))
    assert a == b


def test_the_tape_of_a_model_is_whole_and_freed():
    model = model64()
    logits = model.logits(IDS)
    tape = Tape(logits)
    assert {r.step for r in tape} == {None, 1, 2, 3, 4, 5}
    assert model.embedding.E in tape.leaves
    assert sum(r.op == "embedding" for r in tape) == 1
    del tape
    for _ in range(2):  # the cells' plans and the parameters' gradients are made
        model.loss(IDS).backward()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            model.loss(IDS).backward()
        assert len(gc.get_objects()) < before + 20  # reference counts free it all
    finally:
        gc.enable()


class Leaky(Cell):
    """A cell of one's own."""

    def __init__(self, d_in, d_h, *, rng=None, dtype=np.float32):
        self.d_in, self.d_h = d_in, d_h
        self.W = Parameter(np.random.default_rng(rng).standard_normal((d_in, d_h)).astype(dtype))

    def forward(self, x, state):
        (h,) = state
        return (0.5 * h + np.tanh(x @ self.W),)


def test_a_cell_of_ones_own():
    model = model64(cell=Leaky, layers=2)
    check_grads(lambda *_: model.loss(IDS), model.parameters())
    assert model.generate([1], 3, rng=0).shape == (3,)


# Generation -------------------------------------------------------------------------------------


def step_by_step(model, prompt, steps):
    """Greedy, from the whole history each time."""
    ids = list(prompt)
    for _ in range(steps):
        ids.append(int(model.logits(np.array(ids)).data[-1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("layers", [1, 2])
def test_greedy_is_the_argmax_of_each_step(layers):
    model = model64(layers=layers, vocab_size=30, d=8)
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.data += rng.normal(0, 0.7, p.shape)
    prompts = rng.integers(0, 30, (4, 3))
    expected = [step_by_step(model, prompt, 12) for prompt in prompts]
    assert len({tuple(row) for row in expected}) > 1
    assert len({i for row in expected for i in row}) > 4
    assert model.generate(prompts, 12, temperature=0).tolist() == expected
    assert model.generate(prompts[0], 12, temperature=0).tolist() == expected[0]
    assert model.generate(prompts[0], 12, top_k=1, rng=0).tolist() == expected[0]
    assert model.generate(prompts[0], 12, temperature=1e-300, rng=0).tolist() == expected[0]


def test_generation_by_seed():
    model = LanguageModel(40, 8, rng=0)
    first = model.generate([1, 5], 30, rng=7)
    assert first.dtype == np.int64
    assert first.tolist() == model.generate([1, 5], 30, rng=7).tolist()
    assert first.tolist() == model.generate([1, 5], 30, rng=np.random.default_rng(7)).tolist()
    assert first.tolist() != model.generate([1, 5], 30, rng=8).tolist()
    assert model.generate([1, 5], 30).tolist() != model.generate([1, 5], 30).tolist()
    assert model.generate([1, 5], 0).shape == (0,)
    assert not (model.generate([1], 300, rng=0, exclude=[0, 3]) == 3).any()


def test_draws_follow_the_model():
    model = model64(vocab_size=5)
    p = softmax(model.logits([1, 3]).data[-1])
    drawn = model.generate(np.tile([1, 3], (20_000, 1)), 1, rng=0)[:, 0]
    counts = np.bincount(drawn, minlength=5) / 20_000
    np.testing.assert_allclose(counts, p, atol=4 * math.sqrt(0.25 / 20_000))


def test_distributions_by_temperature_and_top_k():
    logits = np.array([[2.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(next_distribution(logits), softmax(logits), rtol=1e-14)
    np.testing.assert_allclose(next_distribution(logits, 0.5), softmax(2 * logits), rtol=1e-14)
    assert next_distribution(logits, 0).tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]
    top = next_distribution(logits, top_k=2)
    assert (top > 0).tolist() == [[True, False, True, False], [True, True, False, False]]
    np.testing.assert_allclose(top.sum(-1), 1)
    np.testing.assert_allclose(top[0, 0] / top[0, 2], math.e)
    np.testing.assert_array_equal(next_distribution(logits, top_k=9), next_distribution(logits))
    assert next_distribution(logits, exclude=[0])[:, 0].tolist() == [0, 0]
    extreme = next_distribution([1000.0, -1000.0, -np.inf], 1e-9)
    assert extreme.tolist() == [1, 0, 0]


def test_a_token_of_probability_0_is_never_drawn():
    class Edges:
        def __init__(self, u):
            self.u = u

        def random(self, shape):
            return np.full(shape, self.u)

    p = np.array([0, 0.5, 0, 0.5, 0])
    assert choose(p, Edges(0.0)) == 1
    assert choose(p, Edges(0.5)) == 3
    assert choose(p, Edges(np.nextafter(1, 0))) == 3


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["logits", "loss", "score", "perplexity"])
def test_bad_ids_and_lengths(method):
    model = LanguageModel(7, 4, rng=0)
    call = getattr(model, method)
    with pytest.raises(ValueError, match=r"id 7 at \[1, 2\] is outside of 0\.\.6, the 7 tokens"):
        call([[1, 2, 3], [1, 2, 7]])
    with pytest.raises(ValueError, match=r"id -1 at \[1\] is outside"):
        call([1, -1])
    with pytest.raises(ValueError, match=r"differ in length; .* pad_sequences\(ids\)"):
        call([[1, 2, 3], [1, 2]])
    with pytest.raises(TypeError, match="ids must be integers, got float64"):
        call([1.0, 2.0])
    with pytest.raises(
        ValueError, match=r"expected ids \(batch, time\) or \(time,\), got \(1, 1, 2\)"
    ):
        call([[[1, 2]]])
    with pytest.raises(ValueError, match="lengths must be from 0 to 3, the time axis, got 4"):
        call([[1, 2, 3]], [4])
    with pytest.raises(ValueError, match="lengths must be from 0 to 3, the time axis, got -1"):
        call([[1, 2, 3]], [-1])
    with pytest.raises(ValueError, match=r"expected 1 lengths, one a sequence, got \(2,\)"):
        call([[1, 2, 3]], [3, 3])
    with pytest.raises(ValueError, match="a single sequence is as long as it is"):
        call([1, 2, 3], [3])
    with pytest.raises(ValueError, match="there are too few ids; expected at least"):
        call(np.zeros((2, 0), int))


def test_too_short_sequences():
    model = LanguageModel(7, 4, rng=0)
    for method in (model.loss, model.score, model.perplexity):
        with pytest.raises(ValueError, match=r"at least 2 tokens a sequence.* got \(1,\)"):
            method([1])
    with pytest.raises(ValueError, match="there is no token to predict"):
        model.loss([[1, 2], [1, 3]], lengths=[1, 0])


def test_bad_states():
    model = LanguageModel(7, 4, rng=0)
    with pytest.raises(ValueError, match=r"expected the state \(h, c\), a tuple, got a tuple of 1"):
        model([1, 2], (np.zeros(4, np.float32),))
    with pytest.raises(ValueError, match=r"expected the state h of \(2, 4\)"):
        model([[1, 2], [1, 3]], (np.zeros((3, 4), np.float32),) * 2)


def test_bad_generation():
    model = LanguageModel(7, 4, rng=0)
    for prompt in ([], np.zeros((2, 0), int)):
        with pytest.raises(ValueError, match=r"LanguageModel\.generate: the prompt is empty"):
            model.generate(prompt, 3)
    with pytest.raises(ValueError, match=r"id 9 at \[0\] is outside of 0\.\.6"):
        model.generate([9], 3)
    with pytest.raises(ValueError, match="steps must be an integer >= 0, got -1"):
        model.generate([1], -1)
    with pytest.raises(ValueError, match=r"generate: temperature must be a number >= 0, got -0\.5"):
        model.generate([1], 3, temperature=-0.5)
    with pytest.raises(ValueError, match="temperature"):
        model.generate([1], 3, temperature=math.nan)
    with pytest.raises(ValueError, match="generate: top_k must be an integer >= 1, got 0"):
        model.generate([1], 3, top_k=0)
    with pytest.raises(TypeError, match=r"generate: top_k must be an integer >= 1, got 2\.5"):
        model.generate([1], 3, top_k=2.5)
    with pytest.raises(ValueError, match=r"exclude: ids must be from 0 to 6, got 7"):
        model.generate([1], 3, exclude=[7])
    with pytest.raises(ValueError, match="no token is left"):
        model.generate([1], 3, exclude=range(7))
    model.V.data[2, 1] = np.nan
    with pytest.raises(ValueError, match="scores are not finite"):
        model.generate([1], 3)


def test_bad_models():
    with pytest.raises(ValueError, match="vocab_size must be an integer >= 1, got 0"):
        LanguageModel(0, 4)
    with pytest.raises(TypeError, match=r"layers must be an integer >= 1, got 1\.0"):
        LanguageModel(5, 4, layers=1.0)
    with pytest.raises(ValueError, match=r"p must be a probability from 0 to 1, got 2"):
        LanguageModel(5, 4, dropout=2)

    def both_ways(d_in, d_h, rng, dtype):
        return Bidirectional(LSTM(d_in, d_h), LSTM(d_in, d_h), merge="sum")

    with pytest.raises(TypeError, match="reads from left to right, got Bidirectional"):
        LanguageModel(5, 4, cell=both_ways)

    def wide(d_in, d_h, rng, dtype):
        return LSTM(d_in, 2 * d_h, rng=rng, dtype=dtype)

    with pytest.raises(ValueError, match=r"the cell's output has width 8; write tied=False"):
        LanguageModel(5, 4, cell=wide)
    assert LanguageModel(5, 4, cell=wide, tied=False).logits([1, 2]).shape == (2, 5)


def test_a_model_inside_no_grad_leaves_no_tape():
    model = LanguageModel(7, 4, rng=0)
    with no_grad():
        assert not model.loss(IDS).requires_grad
    assert isinstance(model.score(IDS), Tensor)
    assert not model.score(IDS).requires_grad
    assert isinstance(LanguageModel(7, 4, layers=2).cell, Stacked)
