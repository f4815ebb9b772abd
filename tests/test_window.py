"""The feedforward language model: against loops, against differences, and beside counting."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import softmax
from unspool import check_grads
from unspool.cells import detached
from unspool.models import Adam, NGram, Sequences, Stream, WindowLanguageModel, fit
from unspool.models.training import evaluate

IDS = np.array([[1, 4, 5, 2, 6], [1, 6, 2, 2, 3], [1, 0, 3, 5, 4]])
LENGTHS = np.array([5, 3, 4])


def model64(**options) -> WindowLanguageModel:
    model = WindowLanguageModel(
        **{"vocab_size": 7, "d": 3, "hidden": [4], "rng": 0, "dtype": np.float64, **options}
    )
    model.embedding.E.data *= 8
    return model


def plain_logits(model: WindowLanguageModel, ids) -> np.ndarray:
    """The network by loops over one sequence."""
    E = model.embedding.E.data
    history = [model.vocab_size] * (model.window - 1)
    rows = []
    for w in ids:
        history.append(w)
        h = np.concatenate([E[i] for i in history[-model.window :]])
        for layer in model.hidden.layers:
            h = np.tanh(h @ layer.W.data + layer.b.data)
        rows.append(h @ model.scores.W.data + model.scores.b.data)
    return np.array(rows)


@pytest.mark.parametrize("window", [1, 2, 3, 9])
@pytest.mark.parametrize("hidden", [[4], [5, 4]])
def test_logits_and_losses_against_loops(window, hidden):
    model = model64(window=window, hidden=hidden)
    expected = [plain_logits(model, row) for row in IDS]
    np.testing.assert_allclose(model.logits(IDS).data, expected, rtol=1e-12)
    np.testing.assert_allclose(model.logits(IDS[0]).data, expected[0], rtol=1e-12)
    nats = [
        [-np.log(softmax(logits[t])[row[t + 1]]) for t in range(n - 1)]
        for logits, row, n in zip(expected, IDS, LENGTHS, strict=True)
    ]
    flat = np.concatenate(nats)
    np.testing.assert_allclose(model.loss(IDS, LENGTHS).item(), flat.mean(), rtol=1e-12)
    np.testing.assert_allclose(model.score(IDS, LENGTHS).data, [-sum(n) for n in nats])
    np.testing.assert_allclose(model.perplexity(IDS, LENGTHS), np.exp(flat.mean()))


def test_gradients_against_differences():
    model = model64(window=2, hidden=[4, 3])
    check_grads(lambda *_: model.loss(IDS, LENGTHS), model.parameters())


def test_what_is_outside_of_the_window_changes_nothing():
    model = model64(window=3)
    other = IDS.copy()
    other[:, 0] = 3
    same = model.logits(IDS).data == model.logits(other).data
    assert not same[:, :3].all(-1).any()
    assert same[:, 3:].all()


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_text_in_pieces_is_the_text_as_a_whole(window):
    model = model64(window=window)
    ids = np.random.default_rng(0).integers(0, 7, (2, 13))
    whole = model.logits(ids).data
    state, pieces = None, []
    for begin in (0, 1, 2, 5, 12):
        end = {0: 1, 1: 2, 2: 5, 5: 12, 12: 13}[begin]
        logits, state = model(ids[:, begin:end], detached(state))
        pieces.append(logits.data)
    np.testing.assert_allclose(np.concatenate(pieces, 1), whole, rtol=1e-12)
    # Sequences that end earlier hand on what stands before their end.
    _, state = model(ids[:, :6], lengths=[6, 3])
    after, _ = model(ids[:, 6:8], state)
    np.testing.assert_allclose(after.data[0], whole[0, 6:8], rtol=1e-12)
    joined = model.logits(np.concatenate([ids[1, :3], ids[1, 6:8]])).data
    np.testing.assert_allclose(after.data[1], joined[3:], rtol=1e-12)


def test_it_writes_by_the_window():
    model = model64(window=2)
    greedy = model.generate(IDS[:, :3], 6, temperature=0)
    for row, new in zip(IDS[:, :3], greedy, strict=True):
        text = list(row)
        for i in new:
            assert i == plain_logits(model, text)[-1].argmax()
            text.append(i)
        assert model.beam(row, 6, 1)[0].ids.tolist() == new.tolist()
    found = model.beam([1], 3, 400, end=2)
    scores = [model.score([1, *h.ids, *[2] * h.finished]).item() for h in found]
    np.testing.assert_allclose([h.score for h in found], scores)
    assert np.exp(scores).sum() == pytest.approx(1)


def markov(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """A text in which each token depends on the two before it."""
    table = rng.dirichlet(np.full(size, 0.05), (size, size))
    ids = [0, 1]
    for _ in range(count - 2):
        ids.append(int(rng.choice(size, p=table[ids[-2], ids[-1]])))
    return np.array(ids)


def test_it_learns_what_an_n_gram_counts():
    ids = markov(6, 4000, np.random.default_rng(0))
    learnt, judged = ids[:3000], ids[3000:]
    bigram, trigram = (NGram(learnt, 6, n).loss(judged) for n in (2, 3))
    losses = {}
    for window in (1, 2):
        model = WindowLanguageModel(6, 8, window, [32], rng=0)
        fit(
            model,
            Stream(learnt, 20, 30, reset=0.1, rng=0),
            Adam(model.parameters(), 0.02),
            epochs=40,
            progress=False,
        )
        losses[window] = evaluate(model, Stream(judged, 1, 500))
    assert losses[1] == pytest.approx(bigram, abs=0.05)
    assert losses[2] == pytest.approx(trigram, abs=0.05)
    assert trigram < bigram - 0.5


def test_sequences_are_a_task_for_it_too(tmp_path):
    model = WindowLanguageModel(5, 8, rng=0, dropout=0.1)
    history = fit(model, Sequences([[1, 3, 4, 3, 4, 2], [1, 4, 2]], rng=0), progress=False)
    assert history[-1]["loss"] < history[0]["loss"]
    model.save(tmp_path / "window.npz")
    other = WindowLanguageModel(5, 8, rng=1)
    other.load(tmp_path / "window.npz")
    assert other.score([1, 3, 4]).item() == model.score([1, 3, 4]).item()


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="window must be an integer >= 1, got 0"):
        WindowLanguageModel(5, 3, 0)
    with pytest.raises(TypeError, match=r"WindowLanguageModel: vocab_size must be an integer >= 1"):
        WindowLanguageModel(5.0, 3)
    with pytest.raises(ValueError, match=r"hidden must be the widths .* as in \[100\]"):
        WindowLanguageModel(5, 3, hidden=[])
    model = model64(window=3)
    with pytest.raises(ValueError, match=r"id 7 at \[1\] is outside of 0\.\.6"):
        model.logits([1, 7])
    with pytest.raises(ValueError, match=r"WindowLanguageModel\.generate: the prompt is empty"):
        model.generate([], 3)
    with pytest.raises(ValueError, match=r"WindowLanguageModel\.loss: there are too few ids"):
        model.loss([1])
    with pytest.raises(
        ValueError, match=r"the state must be ids \(before,\) of \(2,\), got \[\(3,\)\]"
    ):
        model([1, 2], (np.zeros(3, int),))
