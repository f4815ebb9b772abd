"""Acceptors and their like: against plain NumPy, with padding, and learning a small task."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import OneBatch, softmax
from unspool import Tape, Tensor, check_grads
from unspool.cells import GRU, LSTM, Bidirectional, Elman, Stacked
from unspool.models import Adam, Dropout, Embedding, fit
from unspool.models.networks.acceptor import Acceptor, BagClassifier, TextCNN, final_output

IDS = np.array([[1, 4, 5, 2, 6], [1, 6, 2, 99, -7], [3, 99, 99, 99, 99]])
LENGTHS = np.array([5, 3, 1])
TARGETS = np.array([2, 0, 1])
F64 = {"dtype": np.float64}


def words() -> Embedding:
    embedding = Embedding(7, 3, rng=3, **F64)
    embedding.E.data *= 10
    return embedding


def bidirectional(cell=Elman, d_in: int = 3, merge: str = "concat") -> Bidirectional:
    return Bidirectional(cell(d_in, 4, rng=1, **F64), cell(d_in, 4, rng=2, **F64), merge)


NETWORKS = {
    "elman": lambda: Elman(3, 4, rng=0, **F64),
    "lstm": lambda: LSTM(3, 4, rng=0, **F64),
    "bilstm": lambda: bidirectional(LSTM),
    "bigru_sum": lambda: bidirectional(GRU, merge="sum"),
    "stacked": lambda: Stacked([LSTM(3, 5, rng=0, **F64), GRU(5, 4, rng=1, **F64)]),
    "residual": lambda: Stacked(
        [LSTM(3, 4, rng=0, **F64), Elman(4, 4, rng=1, **F64)], residual=True
    ),
    "bi_in_stack": lambda: Stacked([bidirectional(), bidirectional(LSTM, 8)]),
}
MODELS = {
    **{
        f"{name}_{pooling}": lambda make=make, pooling=pooling, **options: Acceptor(
            make(), 3, pooling, **options
        )
        for name, make in NETWORKS.items()
        for pooling in ("last", "mean", "max", "sum")
        if pooling == "last" or name in ("elman", "bilstm")
    },
    "bag_mean": lambda **options: BagClassifier(options.pop("embedding"), 3, **options),
    "bag_max": lambda **options: BagClassifier(options.pop("embedding"), 3, "max", **options),
    "cnn": lambda **options: TextCNN(3, 3, (2, 3), 4, **options),
}
ALL = pytest.mark.parametrize("name", MODELS)


def build(name: str, **options):
    return MODELS[name](**{"embedding": words(), "hidden": [4], "rng": 4, **F64, **options})


def states(cell, xs: np.ndarray) -> np.ndarray:
    h, rows = np.zeros(cell.d_h), []
    for x in xs:
        h = np.tanh(x @ cell.W.data + h @ cell.U.data + cell.b.data)
        rows.append(h)
    return np.array(rows)


def pooled(model, xs: np.ndarray) -> np.ndarray:
    """What the model reads out of the vectors of one sequence, without padding."""
    if isinstance(model, TextCNN):
        tops = []
        for k, W in model.W.items():
            left = (int(k) - 1) // 2
            zeros = np.zeros((int(k), 3))
            wide = np.vstack([zeros[:left], xs, zeros[: int(k) - 1 - left]])
            rows = [
                [np.sum(wide[t : t + int(k)] * W.data[:, :, j]) for j in range(W.shape[2])]
                for t in range(len(xs))
            ]
            tops.append(np.maximum(np.array(rows) + model.b[k].data, 0).max(0))
        return np.concatenate(tops)
    if isinstance(model, BagClassifier):
        ys = xs
    elif isinstance(model.network, Bidirectional):
        f = states(model.network.forward, xs)
        b = states(model.network.backward, xs[::-1])[::-1]
        if model.pooling == "last":
            return np.concatenate([f[-1], b[0]])
        ys = np.hstack([f, b])
    else:
        ys = states(model.network, xs)
        if model.pooling == "last":
            return ys[-1]
    return {"mean": ys.mean(0), "max": ys.max(0), "sum": ys.sum(0)}[model.pooling]


@pytest.mark.parametrize(
    "make",
    [
        *[
            lambda p=p, net=net, **o: Acceptor(net(), 3, p, **o)
            for p in ("last", "mean", "max", "sum")
            for net in (NETWORKS["elman"], bidirectional)
        ],
        *[
            lambda p=p, **o: BagClassifier(o.pop("embedding"), 3, p, **o)
            for p in ("mean", "max", "sum")
        ],
        lambda **o: TextCNN(3, 3, (1, 2, 3, 4), 5, **o),
    ],
)
def test_models_are_their_formulas(make):
    model = make(embedding=words(), hidden=[6, 5], rng=4, **F64)
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.data += 0.3 * rng.standard_normal(p.shape)
    first, second, third = model.head.layers
    E = model.embedding.E.data
    want = []
    for ids, m in zip(IDS, LENGTHS, strict=True):
        v = pooled(model, E[ids[:m]])
        v = np.tanh(np.tanh(v @ first.W.data + first.b.data) @ second.W.data + second.b.data)
        want.append(v @ third.W.data + third.b.data)
    want = np.array(want)
    np.testing.assert_allclose(model.logits(IDS, LENGTHS).data, want, atol=1e-12)
    p = softmax(want)
    np.testing.assert_allclose(model.probabilities(IDS, LENGTHS), p, atol=1e-12)
    assert (model.predict(IDS, LENGTHS) == want.argmax(-1)).all()
    nats = -np.log(p[np.arange(3), TARGETS])
    np.testing.assert_allclose(model.loss(IDS, TARGETS, LENGTHS).item(), nats.mean())
    np.testing.assert_allclose(
        model.loss(IDS, TARGETS, LENGTHS, reduction="none").data, nats, atol=1e-12
    )
    w = np.array([1.0, 2.0, 0.5])
    np.testing.assert_allclose(
        model.loss(IDS, TARGETS, LENGTHS, weight=w).item(),
        (nats * w[TARGETS]).sum() / w[TARGETS].sum(),
    )


@ALL
def test_batches_equal_single_sequences(name):
    model = build(name)
    logits = model.logits(IDS, LENGTHS).data
    for i, m in enumerate(LENGTHS):
        one = model.logits(IDS[i, :m])
        assert one.shape == (3,)
        np.testing.assert_allclose(logits[i], one.data, atol=1e-12)
        assert model.predict(IDS[i, :m]) == model.predict(IDS, LENGTHS)[i]
        assert model.predict(IDS[i, :m]).shape == ()
    alone = [model.loss(IDS[i, :m], TARGETS[i]).item() for i, m in enumerate(LENGTHS)]
    np.testing.assert_allclose(model.loss(IDS, TARGETS, LENGTHS).item(), np.mean(alone))


@pytest.mark.slow
@ALL
def test_gradients(name):
    model = build(name)
    check_grads(lambda *_: model.loss(IDS, TARGETS, LENGTHS), model.parameters()[-6:])


@pytest.mark.slow
@ALL
def test_gradients_reach_the_vectors_and_no_padding(name):
    model = build(name, embedding=None, **({"d_in": 3} if name.startswith("bag") else {}))
    xs = np.random.default_rng(0).standard_normal((3, 5, 3))
    check_grads(lambda x: model.loss(x, TARGETS, LENGTHS), [xs])
    xs[np.arange(5) >= LENGTHS[:, None]] = np.nan
    x = Tensor(xs, requires_grad=True)
    model.loss(x, TARGETS, LENGTHS).backward()
    real = np.arange(5) < LENGTHS[:, None]
    assert (x.grad[~real] == 0).all()
    assert np.isfinite(x.grad).all()
    assert (x.grad[0] != 0).any()
    assert all(np.isfinite(p.grad).all() for p in model.parameters())


@ALL
def test_sequences_of_no_length(name):
    model = build(name)
    logits = model.logits(IDS, [5, 0, 0]).data
    np.testing.assert_array_equal(logits[1], logits[2])
    np.testing.assert_allclose(logits[0], model.logits(IDS[0]).data, atol=1e-12)
    np.testing.assert_allclose(model.logits(np.zeros((2, 0), int)).data, logits[1:], atol=1e-12)
    model.loss(IDS, TARGETS, [0, 0, 0]).backward()
    assert all(np.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model.logits(np.zeros((0, 4), int)).shape == (0, 3)


def test_a_mask_with_holes():
    model = build("bilstm_last")
    mask = np.array([True, False, True, True, False])
    np.testing.assert_allclose(
        model.logits(IDS[:1], mask=mask[None]).data[0], model.logits(IDS[0, mask]).data
    )


def test_final_output_of_every_network():
    """For a whole sequence: where the outputs stand that belong to the last states."""
    xs = np.random.default_rng(0).standard_normal((2, 4, 3))
    for name, make in NETWORKS.items():
        network = make()
        ys, state = network.unroll(xs)
        found, ys = final_output(network, state).data, ys.data
        if name in ("bilstm", "bi_in_stack"):
            want = np.concatenate([ys[:, -1, :4], ys[:, 0, 4:]], axis=-1)
        elif name == "bigru_sum":
            f, b = (
                n.unroll(xs, reverse=r) for n, r in ((network.forward, 0), (network.backward, 1))
            )
            want = f[0].data[:, -1] + b[0].data[:, 0]
        else:
            want = ys[:, -1]
        np.testing.assert_allclose(found, want, atol=1e-12, err_msg=name)
    with pytest.raises(TypeError, match="expected a Cell"):
        final_output(Dropout(0.1), ())


def test_two_classes_with_one_score():
    model = Acceptor(Elman(3, 4, rng=0, **F64), 1, embedding=words(), rng=1, **F64)
    z = model.logits(IDS, LENGTHS).data[:, 0]
    p = 1 / (1 + np.exp(-z))
    y = np.array([1, 0, 1])
    nats = -np.log(np.where(y == 1, p, 1 - p))
    np.testing.assert_allclose(model.probabilities(IDS, LENGTHS), p)
    assert (model.predict(IDS, LENGTHS) == (p > 0.5)).all()
    np.testing.assert_allclose(model.loss(IDS, y, LENGTHS).item(), nats.mean())
    np.testing.assert_allclose(model.loss(IDS, y.astype(bool), LENGTHS).item(), nats.mean())
    w = np.array([0.5, 3.0])
    np.testing.assert_allclose(
        model.loss(IDS, y, LENGTHS, weight=w).item(), (nats * w[y]).sum() / w[y].sum()
    )
    check_grads(lambda *_: model.loss(IDS, y, LENGTHS), model.parameters())


def test_hinge_loss():
    y = np.array([1, 0, 1])
    two = Acceptor(Elman(3, 4, rng=0, **F64), 1, embedding=words(), objective="hinge", rng=1, **F64)
    z = two.logits(IDS, LENGTHS).data[:, 0]
    want = np.maximum(0, 1 - (2 * y - 1) * z).mean()
    np.testing.assert_allclose(two.loss(IDS, y, LENGTHS).item(), want)
    many = build("elman_last", objective="hinge")
    z = many.logits(IDS, LENGTHS).data
    others = np.where(np.arange(3) == TARGETS[:, None], -np.inf, z).max(-1)
    want = np.maximum(0, 1 - (z[np.arange(3), TARGETS] - others)).mean()
    np.testing.assert_allclose(many.loss(IDS, TARGETS, LENGTHS).item(), want)
    with pytest.raises(ValueError, match="cross entropy"):
        many.loss(IDS, TARGETS, LENGTHS, weight=np.ones(3))


def test_poolings_and_heads_are_seen_in_the_picture():
    scopes = {r.scope[0] for r in Tape(build("bilstm_last").logits(IDS, LENGTHS)) if r.scope}
    assert {"embedding", "forward", "backward", "last", "head"} <= scopes


def test_names_of_parameters_and_a_file(tmp_path):
    model = build("cnn")
    assert {"W.2", "W.3", "b.2", "b.3", "embedding.E", "head.layers.0.W"} <= {*model.state_dict()}
    model.save(tmp_path / "cnn.npz")
    other = build("cnn", rng=9)
    assert (other.logits(IDS, LENGTHS).data != model.logits(IDS, LENGTHS).data).any()
    other.load(tmp_path / "cnn.npz")
    np.testing.assert_array_equal(other.logits(IDS, LENGTHS).data, model.logits(IDS, LENGTHS).data)


def test_dropout_is_off_in_predictions():
    model = build("elman_last", dropout=0.5)
    assert model.loss(IDS, TARGETS, LENGTHS).item() != model.loss(IDS, TARGETS, LENGTHS).item()
    a, b = (model.probabilities(IDS, LENGTHS) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert model.training


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda e: Acceptor(Bidirectional(LSTM(6, 8, rng=1), LSTM(6, 8, rng=2)), 2, embedding=e),
        lambda e: Acceptor(GRU(6, 8, rng=1), 1, "max", embedding=e, hidden=[6], rng=0),
        lambda e: TextCNN(6, 2, (2, 3), 12, embedding=e, rng=0),
    ],
)
def test_an_order_is_learnt(make):
    """Whether 1 stands directly before 2 anywhere: no bag of words says it."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 8, 60)
    ids = rng.integers(3, 6, (60, 7))
    labels = rng.integers(0, 2, 60)
    for row, label, m in zip(ids, labels, lengths, strict=True):
        at = rng.integers(0, m - 1)
        row[at : at + 2] = (1, 2) if label else (2, 1)
    model = make(Embedding(6, 6, rng=3))
    task = OneBatch(ids, labels, lengths)
    fit(model, task, Adam(model.parameters(), 0.03), epochs=60, progress=False)
    assert (model.predict(ids, lengths) == labels).all()
    bag = BagClassifier(Embedding(6, 6, rng=3), 2, rng=0)
    fit(bag, task, Adam(bag.parameters(), 0.03), epochs=60, progress=False)
    assert (bag.predict(ids, lengths) == labels).mean() < 0.8


def elman(**options) -> Acceptor:
    return Acceptor(Elman(3, 4, rng=0), 3, **{"embedding": Embedding(7, 3, rng=0), **options})


def one_score() -> BagClassifier:
    return BagClassifier(Embedding(7, 3, rng=0), 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: elman(pooling="first"), ValueError, "pooling must be one of last, mean, max, sum"),
        (lambda: BagClassifier(words(), 3, "last"), ValueError, "pooling must be one of mean"),
        (lambda: BagClassifier(None, 3), TypeError, "d_in must be an integer >= 1"),
        (lambda: elman(objective="mse"), ValueError, "objective"),
        (lambda: elman(embedding=Embedding(7, 4)), ValueError, "has width 4, expected d_in = 3"),
        (lambda: elman(hidden=[0]), ValueError, "must be an integer >= 1"),
        (lambda: Acceptor(Elman(3, 4), 0), ValueError, "d_out must be an integer >= 1"),
        (lambda: Acceptor(Dropout(0.5), 2), TypeError, "network must be a Cell"),
        (lambda: TextCNN(3, 2, ()), ValueError, "at least one width"),
        (lambda: TextCNN(3, 2, (0,)), ValueError, "a width must be an integer >= 1"),
        (lambda: elman().logits(IDS), ValueError, "id 99"),
        (lambda: elman().logits(IDS[:1] * 1.0), TypeError, "integers"),
        (
            lambda: elman().logits([[1, 2], [1]]),
            ValueError,
            "Acceptor: .* differ in length; .* by l",
        ),
        (
            lambda: elman(embedding=None).logits([[[0.0] * 3], [[1.0] * 3] * 2]),
            ValueError,
            "Acceptor: the sequences differ in length; .* vectors by rows of 0",
        ),
        (lambda: elman().logits(np.zeros((2, 3, 4), int)), ValueError, "expected ids"),
        (lambda: elman(embedding=None).logits(np.zeros((2, 4))), ValueError, "want an embedding"),
        (lambda: elman().logits(IDS[:1], [6]), ValueError, "from 0 to 5"),
        (lambda: elman().logits(IDS[:1], [5], IDS[:1] > 0), ValueError, "not both"),
        (lambda: elman().loss(IDS[:1], [3]), ValueError, "from 0 to 2, got 3"),
        (lambda: elman().loss(IDS[:1], [-1]), ValueError, "from 0 to 2, got -1"),
        (lambda: one_score().loss(IDS[:1], [2]), ValueError, "from 0 to 1, got 2"),
        (lambda: elman().loss(IDS[:1], [0, 1]), ValueError, "one a sequence"),
        (lambda: elman().loss(IDS[:1], [0.0]), TypeError, "integers"),
        (lambda: elman().loss(IDS[:1], [0], reduction="all"), ValueError, "reduction"),
    ],
)
def test_what_is_wrong_is_said(call, error, message):
    with pytest.raises(error, match=message):
        call()
