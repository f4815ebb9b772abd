"""CRFs against full enumeration, transducers against plain NumPy, and both with padding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from helpers import OneBatch
from unspool import Tape, Tensor, check_grads
from unspool.cells import GRU, LSTM, Bidirectional, Elman, Stacked
from unspool.models import Adam, Dropout, Embedding, fit
from unspool.models.networks.crf import CRF, Constraints, PairwiseCRF, span_constraints
from unspool.models.networks.transducer import Transducer

LABELS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
BIOES = ["O", "B-X", "I-X", "E-X", "S-X"]


def random_crf(kind: str, n: int = 3, constraints=None, labels=None, seed: int = 0):
    crf: CRF | PairwiseCRF
    if kind == "crf":
        crf = CRF(labels or n, constraints, dtype=np.float64)
    else:
        crf = PairwiseCRF(labels or n, 4, constraints, rng=seed, dtype=np.float64)
    rng = np.random.default_rng(seed)
    for p in crf.parameters():
        p.data[...] = rng.standard_normal(p.shape)
    return crf


def inputs(crf, *shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, crf.d_in))


def score_of(crf, x: np.ndarray, tags) -> float:
    """The formula of each class, position by position."""
    total = 0.0
    for t, s in enumerate(tags):
        if isinstance(crf, CRF):
            total += x[t, s] + (crf.T.data[tags[t - 1], s] if t else crf.start.data[s])
        elif t:
            total += crf.W.data[tags[t - 1], s] @ x[t] + crf.b.data[tags[t - 1], s]
        else:
            total += crf.W_start.data[s] @ x[0] + crf.b_start.data[s]
    return total + (crf.end.data[tags[-1]] if isinstance(crf, CRF) and len(tags) else 0.0)


def keeps(crf, tags) -> bool:
    if crf.constraints is None or not len(tags):
        return True
    follows, start, end = crf.constraints
    return bool(
        start[tags[0]] and end[tags[-1]] and all(follows[a, b] for a, b in itertools.pairwise(tags))
    )


def enumerated(crf, x: np.ndarray):
    """All sequences that are allowed, best first, with their scores and probabilities."""
    every = [s for s in itertools.product(range(crf.n_labels), repeat=len(x)) if keeps(crf, s)]
    scores = np.array([score_of(crf, x, s) for s in every])
    order = np.argsort(-scores)
    p = np.exp(scores - scores.max())
    return [every[i] for i in order], scores[order], (p / p.sum())[order]


CASES = [
    ("crf", None, None),
    ("pairwise", None, None),
    ("crf", "BIO", LABELS),
    ("pairwise", "BIO", LABELS),
    ("crf", "BIOES", BIOES),
    ("crf", "BILOU", ["O", "B-X", "I-X", "L-X", "U-X"]),
    ("pairwise", "BMES", ["B", "M", "E", "S"]),
    ("crf", "IOB1", LABELS),
]
KINDS = pytest.mark.parametrize("kind", ["crf", "pairwise"])


@pytest.mark.parametrize(("kind", "constraints", "labels"), CASES)
@pytest.mark.parametrize("time", [1, 2, 4])
def test_crf_equals_full_enumeration(kind, constraints, labels, time):
    crf = random_crf(kind, 3, constraints, labels)
    for seed in range(3):
        x = inputs(crf, time, seed=seed)
        every, scores, p = enumerated(crf, x)
        np.testing.assert_allclose(crf.log_partition(x).item(), np.log(np.exp(scores).sum()))
        marginals = np.zeros((time, crf.n_labels))
        for tags, mass in zip(every, p, strict=True):
            marginals[np.arange(time), tags] += mass
        np.testing.assert_allclose(crf.marginals(x), marginals, atol=1e-12)
        assert tuple(crf.decode(x)) == every[0]
        for i in (0, len(every) // 2, len(every) - 1):
            np.testing.assert_allclose(crf.score(x, every[i]).item(), scores[i])
            np.testing.assert_allclose(crf.loss(x, every[i]).item(), -np.log(p[i]))
        n = len(every) + 2  # more than there are
        tags, values = crf.nbest(x, n)
        assert [tuple(row) for row in tags[:-2]] == every
        np.testing.assert_allclose(values[:-2], scores)
        assert (values[-2:] == -np.inf).all()
        assert (tags[-2:] == -1).all()
        for k in (1, 2, 3):  # a few: what is kept at each step is cut off
            few = min(k, len(every))
            assert [tuple(row) for row in crf.nbest(x, k)[0][:few]] == every[:few]


@pytest.mark.parametrize(("kind", "constraints", "labels"), CASES)
def test_observed_labels_leave_the_sequences_that_have_them(kind, constraints, labels):
    crf = random_crf(kind, 3, constraints, labels)
    x = inputs(crf, 4)
    every, scores, p = enumerated(crf, x)
    last = every[-1]
    for held in ({1: last[1]}, {0: last[0], 3: last[3]}, {}, dict(enumerate(last))):
        observed = np.full(4, -1)
        observed[list(held)] = list(held.values())
        left = [i for i, s in enumerate(every) if all(s[t] == label for t, label in held.items())]
        total = np.log(np.exp(scores[left]).sum())
        np.testing.assert_allclose(crf.log_partition(x, observed=observed).item(), total)
        assert tuple(crf.decode(x, observed=observed)) == every[left[0]]
        marginals = np.zeros((4, crf.n_labels))
        for i in left:
            marginals[np.arange(4), every[i]] += p[i] / p[left].sum()
        np.testing.assert_allclose(crf.marginals(x, observed=observed), marginals, atol=1e-12)
        tags, values = crf.nbest(x, 2, observed=observed)
        assert [tuple(row) for row in tags[: len(left)]] == [every[i] for i in left[:2]]
        np.testing.assert_allclose(values[: len(left)], scores[left[:2]])


@KINDS
def test_observed_labels_of_a_batch_with_holes(kind):
    crf = random_crf(kind)
    x = inputs(crf, 2, 5)
    mask = np.array([[True, False, True, True, False], [False, True, True, False, True]])
    observed = np.array([[2, 9, -1, 0, 9], [9, -1, 1, 9, 2]])  # at padding anything
    best = crf.decode(x, mask=mask, observed=observed)
    for i, here in enumerate(mask):
        alone = crf.decode(x[i, here], observed=observed[i, here])
        assert (best[i, here] == alone).all()
        known = here & (observed[i] >= 0)
        assert (best[i, known] == observed[i, known]).all()
    crf.log_partition(Tensor(x, requires_grad=True), mask=mask, observed=observed).sum().backward()
    assert all(np.isfinite(p.grad).all() for p in crf.parameters() if p.grad is not None)


@KINDS
def test_batches_equal_single_sequences(kind):
    crf = random_crf(kind)
    x = inputs(crf, 4, 5)
    lengths = np.array([5, 0, 3, 1])
    tags = np.random.default_rng(2).integers(3, size=(4, 5))
    z, nats = crf.log_partition(x, lengths), crf.loss(x, tags, lengths, reduction="none")
    best, (paths, values) = crf.decode(x, lengths), crf.nbest(x, 4, lengths)
    marginals = crf.marginals(x, lengths)
    for i, m in enumerate(lengths):
        assert (best[i, m:] == -1).all()
        assert (marginals[i, m:] == 0).all()
        if m == 0:
            assert z[i].item() == nats[i].item() == 0
            assert values[i].tolist() == [0, -np.inf, -np.inf, -np.inf]
            continue
        np.testing.assert_allclose(z[i].item(), crf.log_partition(x[i, :m]).item())
        np.testing.assert_allclose(nats[i].item(), crf.loss(x[i, :m], tags[i, :m]).item())
        np.testing.assert_allclose(marginals[i, :m], crf.marginals(x[i, :m]))
        assert (best[i, :m] == crf.decode(x[i, :m])).all()
        alone, alone_values = crf.nbest(x[i, :m], 4)
        assert (paths[i, :, :m] == alone).all()
        np.testing.assert_allclose(values[i], alone_values)
    np.testing.assert_allclose(crf.loss(x, tags, lengths, reduction="sum").item(), nats.data.sum())
    np.testing.assert_allclose(crf.loss(x, tags, lengths).item(), nats.data.sum() / 3)


@KINDS
def test_batch_of_one_and_no_steps(kind):
    crf = random_crf(kind)
    x = inputs(crf, 1, 4)
    tags = np.array([[0, 2, 1, 1]])
    np.testing.assert_allclose(crf.score(x, tags).item(), score_of(crf, x[0], tags[0]))
    assert crf.log_partition(x[:, :0]).data.tolist() == [0]
    assert crf.loss(x[:, :0], tags[:, :0]).item() == 0
    assert crf.decode(x[:0]).shape == (0, 4)
    assert crf.decode(x[:, :0]).shape == (1, 0)
    assert crf.decode(x[0, :0]).shape == (0,)
    assert crf.nbest(x[:, :0], 2)[0].shape == (1, 2, 0)
    assert crf.marginals(x[:, :0]).shape == (1, 0, crf.n_labels)


@KINDS
def test_holes_of_a_mask_are_left_out(kind):
    crf = random_crf(kind, 5, "BIO", LABELS)
    x = inputs(crf, 2, 5)
    mask = np.array([[True, False, True, True, False], [False, True, True, False, True]])
    tags = np.array([[1, 4, 2, 0, 4], [4, 3, 4, 2, 4]])
    x[~mask] = np.nan
    best, marginals = crf.decode(x, mask=mask), crf.marginals(x, mask=mask)
    nats = crf.loss(x, tags, mask=mask, reduction="none")
    paths, _ = crf.nbest(x, 3, mask=mask)
    for i, here in enumerate(mask):
        assert (best[i, here] == crf.decode(x[i, here])).all()
        assert (best[i, ~here] == -1).all()
        assert (paths[i][:, ~here] == -1).all()
        assert (paths[i][:, here] == crf.nbest(x[i, here], 3)[0]).all()
        np.testing.assert_allclose(marginals[i, here], crf.marginals(x[i, here]), atol=1e-12)
        assert (marginals[i, ~here] == 0).all()
        np.testing.assert_allclose(nats[i].item(), crf.loss(x[i, here], tags[i, here]).item())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "constraints", "labels"), CASES)
def test_crf_gradients(kind, constraints, labels):
    crf = random_crf(kind, 3, constraints, labels)
    x = inputs(crf, 3, 4)
    lengths = [4, 2, 0]
    tags = crf.decode(inputs(crf, 3, 4, seed=5), lengths)
    check_grads(lambda x, *_: crf.loss(x, tags, lengths), [x, *crf.parameters()])
    check_grads(lambda x, *_: crf.log_partition(x, lengths), [x, *crf.parameters()])


def test_gradient_of_the_loss_is_marginals_minus_tags():
    crf = random_crf("crf")
    x = Tensor(inputs(crf, 4), requires_grad=True)
    crf.loss(x, [0, 2, 1, 1]).backward()
    np.testing.assert_allclose(x.grad, crf.marginals(x) - np.eye(3)[[0, 2, 1, 1]], atol=1e-12)


@KINDS
def test_crf_padding_changes_nothing(kind):
    crf = random_crf(kind)
    short = inputs(crf, 2, 3)
    long = np.full((2, 6, crf.d_in), np.nan)
    long[:, :3] = short
    tags = np.array([[0, 1, 2], [2, 2, 1]])
    padded = np.full((2, 6), 99)
    padded[:, :3] = tags
    found = []
    for x, t, lengths in ((short, tags, None), (long, padded, [3, 3])):
        for p in crf.parameters():
            p.grad = None
        x = Tensor(x, requires_grad=True)
        loss = crf.loss(x, t, lengths)
        loss.backward()
        found.append((loss.item(), x.grad[:, :3], [p.grad for p in crf.parameters()]))
        assert (x.grad[:, 3:] == 0).all()
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-14)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-14)
    for a, b in zip(found[0][2], found[1][2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-14)


def test_large_scores_stay_finite():
    crf = CRF(3)
    x = np.random.default_rng(0).choice([-1000.0, 0.0, 1000.0], (4, 50, 3)).astype(np.float32)
    leaf = Tensor(x, requires_grad=True)
    loss = crf.loss(leaf, np.zeros((4, 50), int))
    loss.backward()
    assert np.isfinite(loss.item())
    assert np.isfinite(leaf.grad).all()
    assert loss.dtype == np.float32
    np.testing.assert_allclose(crf.marginals(x).sum(-1), 1, rtol=1e-5)


@KINDS
@pytest.mark.parametrize(("scheme", "labels"), [("BIO", LABELS), ("BIOES", BIOES)])
def test_constraints_are_never_violated(kind, scheme, labels):
    crf = random_crf(kind, 5, scheme, labels)
    lengths = np.random.default_rng(3).integers(0, 9, 20)
    x = 20 * inputs(crf, 20, 8)
    free = random_crf(kind, 5, None, labels)
    free.load_state_dict(crf.state_dict())
    paths, values = crf.nbest(x, 3, lengths)
    assert any(not keeps(crf, row[:m]) for row, m in zip(free.decode(x, lengths), lengths))
    for rows, scores, m in zip(paths, values, lengths, strict=True):
        for row, score in zip(rows, scores, strict=True):
            assert score == -np.inf or keeps(crf, row[:m])
    assert (values[:, 0] > -np.inf).all()


def test_span_constraints():
    def allowed(labels, scheme):
        follows, start, end = span_constraints(labels, scheme)
        pairs = {f"{labels[i]} {labels[j]}" for i, j in np.argwhere(follows)}
        name = np.array(labels)
        return pairs, set(name[start]), set(name[end])

    pairs, start, end = allowed(LABELS, "BIO")
    everywhere = {f"{a} {b}" for a in LABELS for b in ("O", "B-X", "B-Y")}
    assert pairs == everywhere | {"B-X I-X", "I-X I-X", "B-Y I-Y", "I-Y I-Y"}
    assert start == {"O", "B-X", "B-Y"}
    assert end == set(LABELS)

    pairs, start, end = allowed(["O", "B-X", "I-X", "E-X", "S-X", "E-Y"], "BIOES")
    closed = ("O", "E-X", "S-X", "E-Y")
    assert pairs == {f"{a} {b}" for a in closed for b in ("O", "B-X", "S-X")} | {
        "B-X I-X",
        "B-X E-X",
        "I-X I-X",
        "I-X E-X",
    }
    assert start == {"O", "B-X", "S-X"}
    assert end == set(closed)
    bioes = [array.tolist() for array in span_constraints(BIOES, "BIOES")]
    bilou = span_constraints(["O", "B-X", "I-X", "L-X", "U-X"], "BILOU")
    assert [array.tolist() for array in bilou] == bioes
    bmes = span_constraints(["O", "B", "M", "E", "S"], "BMES")
    assert [array.tolist() for array in bmes] == bioes

    pairs, start, end = allowed(LABELS, "IOB1")
    assert pairs == {f"{a} {b}" for a in LABELS for b in ("O", "I-X", "I-Y")} | {
        "I-X B-X", "B-X B-X", "I-Y B-Y", "B-Y B-Y",
    }  # fmt: skip
    assert start == {"O", "I-X", "I-Y"}
    assert end == set(LABELS)


def test_crf_steps_are_scopes():
    crf = CRF(3)
    steps = {
        getattr(part, "step", None)
        for record in Tape(crf.log_partition(np.zeros((2, 4, 3))))
        for part in record.scope
        if "forward_algorithm" in record.scope
    }
    assert steps - {None} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CRF(0), ValueError, "number of labels must be an integer >= 1"),
        (lambda: CRF(2.5), TypeError, "must be a number or names"),
        (lambda: CRF("BIO"), TypeError, "must be a number or names"),
        (lambda: CRF(3, "BIO"), ValueError, "labels' names"),
        (
            lambda: CRF(3).decode(np.zeros((4, 3)), observed=[0, 1]),
            ValueError,
            r"CRF.decode: expected observed \(4,\), one a position, got \(2,\)",
        ),
        (
            lambda: CRF(3).decode(np.zeros((2, 3)), observed=[0, 3]),
            ValueError,
            r"CRF.decode: id 3 at \[0, 1\] is outside of 0..2, the 3 labels",
        ),
        (
            lambda: CRF(LABELS, "BIO").decode(np.zeros((1, 5)), observed=[LABELS.index("I-X")]),
            ValueError,
            "no best labels, .* and for observed labels that the constraints forbid",
        ),
        (
            lambda: span_constraints(["O", "B"], "BILOU"),
            ValueError,
            "a label of BILOU is O, or one of B, I, L, U with a type, as in B-NP; got 'B'",
        ),
        (
            lambda: CRF(LABELS, "IOB"),
            ValueError,
            "scheme must be one of IOB1, BIO, BIOES, BILOU, BMES",
        ),
        (lambda: CRF(["O", "NP"], "BIO"), ValueError, "got 'NP'"),
        (lambda: CRF(["O", "B"], "BIO"), ValueError, "got 'B'"),
        (lambda: CRF(["O-X"], "BIO"), ValueError, "got 'O-X'"),
        (
            lambda: CRF(2, Constraints(np.ones((2, 3), bool), np.ones(2, bool), np.ones(2, bool))),
            ValueError,
            r"transitions must be booleans \(2, 2\)",
        ),
        (lambda: CRF(3).decode(np.zeros((2, 4))), ValueError, r"expected \(batch, time, 3\)"),
        (lambda: CRF(3).loss(np.zeros((2, 3)), [0, 3]), ValueError, "id 3 at"),
        (lambda: CRF(3).loss(np.zeros((2, 3)), [0, -1]), ValueError, "id -1 at"),
        (lambda: CRF(3).loss(np.zeros((2, 3)), [0.0, 1.0]), TypeError, "integers"),
        (lambda: CRF(3).loss(np.zeros((2, 3)), [0, 1, 2]), ValueError, "one a position"),
        (lambda: CRF(3).loss(np.zeros((1, 3)), [0], reduction="all"), ValueError, "reduction"),
        (lambda: CRF(3).nbest(np.zeros((1, 3)), 0), ValueError, "n must be an integer >= 1"),
        (lambda: CRF(3).decode(np.zeros((1, 2, 3)), [3]), ValueError, "from 0 to 2"),
        (
            lambda: CRF(LABELS, "BIO").loss(np.zeros((1, 3, 5)), [[1, 2, 4]]),
            ValueError,
            "sequence 0 at its position 2, I-X then I-Y",
        ),
        (
            lambda: CRF(LABELS, "BIO").loss(np.zeros((2, 5)), [2, 2]),
            ValueError,
            r"position 0, I-X \(begins\)",
        ),
        (
            lambda: CRF(BIOES, "BIOES").loss(np.zeros((2, 5)), [0, 1]),
            ValueError,
            "O then B-X .*ends",
        ),
        (
            lambda: CRF(["B-X", "E-X"], "BIOES").decode(np.zeros((1, 3, 2)), [3]),
            ValueError,
            "no label sequence of length 3",
        ),
        (
            lambda: CRF(3).decode(np.array([[[0.0] * 3], [[np.nan] * 3]])),
            ValueError,
            "sequence 1 has no best labels, its highest score is nan",
        ),
        (lambda: CRF(3).decode(np.full((2, 3), -np.inf)), ValueError, "highest score is -inf"),
        (lambda: PairwiseCRF(3, 0), ValueError, "d_in must be an integer >= 1"),
    ],
)
def test_crf_says_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Transducers ------------------------------------------------------------------------------------


def bidirectional(d_in: int = 3, cell=Elman, d_h: int = 4) -> Bidirectional:
    return Bidirectional(
        cell(d_in, d_h, rng=1, dtype=np.float64), cell(d_in, d_h, rng=2, dtype=np.float64)
    )


def elman_states(cell, xs: np.ndarray) -> np.ndarray:
    h, rows = np.zeros(cell.d_h), []
    for x in xs:
        h = np.tanh(x @ cell.W.data + h @ cell.U.data + cell.b.data)
        rows.append(h)
    return np.array(rows)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


IDS = np.array([[1, 4, 5, 2, 6], [1, 6, 2, 99, -7]])
LENGTHS = np.array([5, 3])
TAGS = np.array([[0, 1, 2, 2, 0], [1, 1, 0, 55, -1]])


def tagger(**options) -> Transducer:
    network = options.pop("network", None) or bidirectional()
    words = Embedding(7, 3, rng=3, dtype=np.float64)
    words.E.data *= 10
    options = {"embedding": words, "rng": 4, "dtype": np.float64, **options}
    return Transducer(network, 3, **options)


@pytest.mark.parametrize("split", [False, True])
def test_transducer_is_its_formula(split):
    model = tagger(split=split)
    for name, q in model.named_parameters():
        if name.endswith("b"):  # 0 at first
            q.data[...] = np.random.default_rng(5).normal(size=q.shape)
    net, p = model.network, {n: q.data for n, q in model.named_parameters()}
    logits = model.logits(IDS, LENGTHS).data
    for i, m in enumerate(LENGTHS):
        xs = p["embedding.E"][IDS[i, :m]]
        f, b = elman_states(net.forward, xs), elman_states(net.backward, xs[::-1])[::-1]
        if split:
            want = f @ p["head.V_f"] + b @ p["head.V_b"] + p["head.b"]
        else:
            want = np.hstack([f, b]) @ p["head.layers.0.W"] + p["head.layers.0.b"]
        np.testing.assert_allclose(logits[i, :m], want, atol=1e-12)
        np.testing.assert_allclose(model.logits(IDS[i, :m]).data, want, atol=1e-12)
        best = model.predict(IDS, LENGTHS)[i]
        assert (best[:m] == want.argmax(-1)).all()
        assert (best[m:] == -1).all()
        np.testing.assert_allclose(
            model.probabilities(IDS, LENGTHS)[i, :m], np.exp(log_softmax(want)), atol=1e-12
        )


def test_the_two_directions_of_a_stack_are_those_on_top():
    below = Bidirectional(Elman(3, 2, rng=0), Elman(3, 2, rng=1))
    above = Bidirectional(Elman(4, 5, rng=2), Elman(4, 3, rng=3))
    model = Transducer(Stacked([below, above]), 4, split=True, rng=4)
    assert model.head.V_f.shape == (5, 4)
    assert model.head.V_b.shape == (3, 4)
    assert model.logits(np.ones((6, 3), np.float32)).shape == (6, 4)


def test_transducer_losses():
    model = tagger(hidden=[5])
    real = np.arange(5) < LENGTHS[:, None]
    logp = log_softmax(model.logits(IDS, LENGTHS).data)
    t = np.where(real, TAGS, 0)
    local = np.where(real, -np.take_along_axis(logp, t[..., None], -1)[..., 0], 0)
    weight = np.random.default_rng(0).random((2, 5))
    weight[1, 4] = np.nan  # at padding
    label_weight = np.array([1.0, 2.0, 0.5])
    both = np.where(real, weight * label_weight[t], 0)

    def loss(**options):
        return model.loss(IDS, TAGS, LENGTHS, **options).data

    np.testing.assert_allclose(loss(reduction="none"), local)
    np.testing.assert_allclose(loss(reduction="sum"), local.sum())
    np.testing.assert_allclose(loss(), local.sum() / 8)
    options = {"weight": weight, "label_weight": label_weight}
    np.testing.assert_allclose(loss(**options), (local * both).sum() / both.sum())
    np.testing.assert_allclose(loss(reduction="sum", **options), (local * both).sum())
    w = label_weight[t] * real
    np.testing.assert_allclose(loss(label_weight=label_weight), (local * w).sum() / w.sum())
    assert model.loss(IDS, TAGS, [0, 0]).item() == 0


CRFS = {
    "none": lambda: None,
    "crf": lambda: random_crf("crf"),
    "pairwise": lambda: PairwiseCRF(3, 8, rng=5, dtype=np.float64),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CRFS)
@pytest.mark.parametrize(
    "network",
    [
        lambda: bidirectional(cell=LSTM),
        lambda: Stacked([GRU(3, 5, rng=0, dtype=np.float64), bidirectional(5)]),
        lambda: LSTM(3, 8, rng=0, dtype=np.float64),
    ],
)
def test_transducer_gradients_and_padding(kind, network):
    model = tagger(network=network(), crf=CRFS[kind]())
    parameters = model.parameters()
    chosen = parameters if kind == "crf" else [parameters[0], *parameters[-2:]]
    check_grads(lambda *_: model.loss(IDS, TAGS, LENGTHS), chosen)
    alone = [model.loss(IDS[i, :m], TAGS[i, :m], reduction="sum") for i, m in enumerate(LENGTHS)]
    together = model.loss(IDS, TAGS, LENGTHS, reduction="sum").item()
    np.testing.assert_allclose(together, sum(a.item() for a in alone))
    for i, m in enumerate(LENGTHS):
        assert (model.predict(IDS, LENGTHS)[i, :m] == model.predict(IDS[i, :m])).all()
        np.testing.assert_allclose(
            model.probabilities(IDS, LENGTHS)[i, :m], model.probabilities(IDS[i, :m])
        )


def test_vectors_with_nan_in_the_padding():
    model = Transducer(bidirectional(), 3, crf=random_crf("crf"), rng=0, dtype=np.float64)
    xs = np.random.default_rng(0).standard_normal((2, 5, 3))
    want = model.loss(xs, TAGS, LENGTHS).item()
    xs[1, 3:] = np.nan
    loss = model.loss(xs, TAGS, LENGTHS)
    loss.backward()
    assert loss.item() == want
    assert all(np.isfinite(p.grad).all() for p in model.parameters())
    hole = np.array([[True, False, True, True, True], [True, True, True, False, False]])
    xs[0, 1] = np.nan
    assert np.isfinite(model.loss(xs, TAGS, mask=hole).item())
    assert model.predict(xs, mask=hole)[0, 1] == -1


@pytest.mark.parametrize("split", [False, True])
def test_a_crf_reads_the_scores(split):
    """BiLSTM-CRF: what the CRF does with the transducer's own scores, and no softmax beside it."""
    crf = random_crf("crf")
    crf.T.data *= 5  # labels are chosen together
    model = tagger(crf=crf, split=split)
    logits = model.logits(IDS, LENGTHS).data
    together = model.predict(IDS, LENGTHS)
    assert (together == crf.decode(logits, LENGTHS)).all()
    assert (together[0] != logits[0].argmax(-1)).any()
    assert (model.probabilities(IDS, LENGTHS) == crf.marginals(logits, LENGTHS)).all()
    for reduction in ("mean", "sum", "none"):
        np.testing.assert_array_equal(
            model.loss(IDS, TAGS, LENGTHS, reduction=reduction).data,
            crf.loss(logits, TAGS, LENGTHS, reduction=reduction).data,
        )


def test_a_pairwise_crf_reads_the_states():
    crf = PairwiseCRF(3, 8, rng=5, dtype=np.float64)
    model = tagger(crf=crf)
    hs, _ = model.network.unroll(model.embedding(np.clip(IDS, 0, 6)), lengths=LENGTHS)
    assert (model.predict(IDS, LENGTHS) == crf.decode(hs, LENGTHS)).all()
    np.testing.assert_allclose(
        model.loss(IDS, TAGS, LENGTHS).item(), crf.loss(hs, TAGS, LENGTHS).item()
    )


def test_embedding_of_ones_own():
    """Words beside a feature of each: what ``embedding`` reads is the caller's."""
    words, suffixes = Embedding(7, 2, rng=0), Embedding(4, 1, rng=1)

    def both(x):
        return np.concatenate([words(x[0]), suffixes(x[1])], axis=-1)

    model = Transducer(Elman(3, 4, rng=0), 3, embedding=both, rng=0)
    ids, ends = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[0, 1, 2], [3, 0, 0]])
    assert model.logits((ids, ends), lengths=[3, 1]).shape == (2, 3, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CRFS)
def test_a_tagger_learns(kind):
    """Each position's label is the next token's parity: it needs the backward direction."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 6, (24, 7))
    lengths = rng.integers(2, 8, 24)
    tags = np.zeros_like(ids)
    tags[:, :-1] = ids[:, 1:] % 2
    real = np.arange(7) < lengths[:, None]
    tags[np.arange(24), lengths - 1] = 2  # the last one
    tags[~real] = -1
    crf = {"none": None, "crf": CRF(3), "pairwise": PairwiseCRF(3, 16, rng=0)}[kind]
    network = Bidirectional(LSTM(6, 8, rng=1), LSTM(6, 8, rng=2))
    model = Transducer(network, 3, embedding=Embedding(6, 6, rng=3), crf=crf, rng=4)
    before = (model.predict(ids, lengths) == tags)[real].mean()
    fit(
        model,
        OneBatch(ids, tags, lengths),
        Adam(model.parameters(), 0.03),
        epochs=60,
        progress=False,
    )
    assert before < 0.7
    assert (model.predict(ids, lengths) == tags).all()


def test_dropout_is_off_in_predictions():
    model = tagger(dropout=0.5, crf=random_crf("crf"))
    assert model.loss(IDS, TAGS, LENGTHS).item() != model.loss(IDS, TAGS, LENGTHS).item()
    np.testing.assert_array_equal(
        model.probabilities(IDS, LENGTHS), model.probabilities(IDS, LENGTHS)
    )
    assert model.training


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tagger(network=Dropout(0.1)), TypeError, "network must be a Cell"),
        (lambda: tagger(embedding=Embedding(7, 4)), ValueError, "embedding has width 4"),
        (lambda: tagger(crf=Dropout(0.1)), TypeError, "crf must be a CRF"),
        (lambda: tagger(crf=CRF(4)), ValueError, "3 labels, but the crf has 4"),
        (lambda: tagger(crf=PairwiseCRF(3, 9)), ValueError, "the crf has d_in = 9, expected 8"),
        (lambda: tagger(crf=PairwiseCRF(3, 8), hidden=[4]), ValueError, "hidden"),
        (lambda: tagger(crf=PairwiseCRF(3, 8), split=True), ValueError, "split=False"),
        (lambda: tagger(split=True, network=Elman(3, 4)), ValueError, "Bidirectional"),
        (
            lambda: tagger(split=True, network=Bidirectional(Elman(3, 4), Elman(3, 4), "sum")),
            ValueError,
            "merge='sum'",
        ),
        (lambda: tagger().loss(IDS, TAGS), ValueError, "id 99"),
        (lambda: tagger().loss(IDS[:1], TAGS[:1, :4]), ValueError, "one a position"),
        (lambda: tagger().loss(IDS[:1], TAGS[:1] + 1), ValueError, "id 3 at"),
        (lambda: tagger().loss(IDS[:1], TAGS[:1] + 0.0), TypeError, "integers"),
        (lambda: tagger().loss(IDS[:1], TAGS[:1], weight=[1.0]), ValueError, "weight must have"),
        (
            lambda: tagger().loss(IDS[:1], TAGS[:1], weight=-np.ones((1, 5))),
            ValueError,
            "0 or more",
        ),
        (
            lambda: tagger(crf=CRF(3)).loss(IDS[:1], TAGS[:1], label_weight=np.ones(3)),
            ValueError,
            "no weights",
        ),
        (lambda: tagger().logits(IDS[None]), ValueError, r"expected ids \(batch, time\)"),
        (lambda: tagger().logits(IDS[:1] + 0.5), TypeError, "integers"),
        (lambda: tagger(embedding=None).logits(IDS), ValueError, "ids want an embedding="),
        (lambda: tagger().predict(IDS[:1], [6]), ValueError, "from 0 to 5"),
    ],
)
def test_transducer_says_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
