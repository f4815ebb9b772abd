"""Attention and encoder-decoder: plain loops, differences, enumeration, padding, and learning."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from helpers import needs, softmax
from unspool import Parameter, Tensor, check_grads
from unspool.autograd import values as arrays_of
from unspool.cells import GRU, LSTM, Bidirectional, Elman, VariationalDropout
from unspool.models import pad_sequences
from unspool.models.networks.attention import (
    ATTENTIONS,
    AdditiveAttention,
    Attention,
    BilinearAttention,
    DotAttention,
)
from unspool.models.networks.encoder_decoder import EncoderDecoder, Pairs
from unspool.models.training import evaluate, fit
from unspool.models.training.optim import Adam

MASK = np.array([[True, True, True, False], [True, False, True, True]])
SOURCE = np.array([[3, 4, 5, 6], [6, 5, 0, 0], [4, 4, 3, 0]])
SOURCE_LENGTHS = [4, 2, 3]
TARGET = np.array([[1, 5, 4, 2, 0], [1, 6, 2, 0, 0], [1, 3, 4, 5, 2]])
TARGET_LENGTHS = [4, 3, 5]


def score(kind: str, attention: Attention, q, k) -> float:
    """The score of one query and one key, from the papers' formulas."""
    p = {name: x.data for name, x in attention.named_parameters()}
    if kind == "dot":
        return sum(a * b for a, b in zip(q, k, strict=True))
    if kind == "scaled_dot":
        return sum(a * b for a, b in zip(q, k, strict=True)) / np.sqrt(len(k))
    if kind == "bilinear":
        return np.einsum("i,ij,j", q, p["W"], k)
    return np.dot(p["v"], np.tanh(p["W"].T @ q + p["U"].T @ k + p["b"]))


def widths(kind: str) -> tuple[int, int]:
    return (3, 3) if "dot" in kind else (3, 5)


def made(kind: str) -> Attention:
    attention = ATTENTIONS[kind](*widths(kind), rng=0, dtype=np.float64)
    for i, p in enumerate(attention.parameters()):
        p.data[...] = np.random.default_rng(i).standard_normal(p.shape)
    return attention


def arrays(kind: str):
    d_query, d_key = widths(kind)
    rng = np.random.default_rng(0)
    shapes = [(2, 6, d_query), (2, 4, d_key), (2, 4, 2)]
    return [rng.standard_normal(shape) for shape in shapes]


def model64(**options) -> EncoderDecoder:
    options = {"source_size": 7, "target_size": 7, "d": 4, "rng": 0, **options}
    model = EncoderDecoder(**options, dtype=np.float64)
    for name, p in model.named_parameters():
        if "embedding" in name or name == "V":
            p.data *= 5  # off the even distribution that it begins with
    return model


# Attention --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_attention_against_its_formula(kind):
    attention, (queries, keys, values) = made(kind), arrays(kind)
    context, weights = attention(queries, keys, values, mask=MASK)
    assert weights.shape == (2, 6, 4)
    assert context.shape == (2, 6, 2)
    for b, t in np.ndindex(2, 6):
        real = np.flatnonzero(MASK[b])
        a = softmax(np.array([score(kind, attention, queries[b, t], keys[b, j]) for j in real]))
        np.testing.assert_allclose(np.asarray(getattr(weights, "data", weights))[b, t, real], a)
        expected = sum(w * values[b, j] for w, j in zip(a, real, strict=True))
        np.testing.assert_allclose(np.asarray(getattr(context, "data", context))[b, t], expected)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_attention_gradients(kind):
    attention, given = made(kind), arrays(kind)
    check_grads(
        lambda q, k, v, *_: attention(q, k, v, mask=MASK), [*given, *attention.parameters()]
    )


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_padding_has_weight_zero_and_does_no_harm(kind):
    attention, given = made(kind), arrays(kind)
    queries, keys, values = (Tensor(x, requires_grad=True) for x in given)
    context, weights = attention(queries, keys, values, mask=MASK)
    assert (weights.data[~np.broadcast_to(MASK[:, None], weights.shape)] == 0).all()
    np.testing.assert_allclose(weights.data.sum(-1), 1)
    damaged = [given[0], given[1].copy(), given[2].copy()]
    damaged[1][~MASK], damaged[2][~MASK] = np.nan, np.inf
    others = [Tensor(x, requires_grad=True) for x in damaged]
    again, weights_again = attention(*others, mask=MASK)
    np.testing.assert_array_equal(again.data, context.data)
    np.testing.assert_array_equal(weights_again.data, weights.data)
    (context.sum() + (weights * weights).sum()).backward()
    (again.sum() + (weights_again * weights_again).sum()).backward()
    for one, other in zip((queries, keys, values), others, strict=True):
        np.testing.assert_array_equal(other.grad, one.grad)
    assert (others[1].grad[~MASK] == 0).all()


def test_scaled_dot_attention_is_that_of_pytorch():
    torch = needs("torch")
    ours = [Tensor(x, requires_grad=True) for x in arrays("scaled_dot")]
    theirs = [torch.tensor(x.data, requires_grad=True) for x in ours]
    context, _ = made("scaled_dot")(*ours, mask=MASK)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *theirs, attn_mask=torch.tensor(MASK)[:, None]
    )
    np.testing.assert_allclose(context.data, expected.detach().numpy())
    np.square(context).sum().backward()
    expected.square().sum().backward()
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.grad, y.grad.numpy(), atol=1e-12)


def test_nothing_to_look_at_gives_zeros():
    keys = Tensor(np.full((2, 3, 2), np.nan), requires_grad=True)
    keys.data[1] = 1
    mask = np.array([[False] * 3, [True] * 3])
    query = Tensor(np.ones((2, 2)), requires_grad=True)
    context, weights = DotAttention(2, 2)(query, keys, mask=mask)
    np.testing.assert_array_equal(weights.data, [[0, 0, 0], [1 / 3] * 3])
    np.testing.assert_array_equal(context.data, [[0, 0], [1, 1]])
    context.sum().backward()
    assert np.isfinite(keys.grad).all()
    assert np.isfinite(query.grad).all()


def test_one_query_each_is_a_step():
    for kind in ATTENTIONS:
        attention, (queries, keys, values) = made(kind), arrays(kind)
        memory = attention.memory(Tensor(keys), values, mask=MASK)
        context, weights = attention.read(queries, memory)
        for t in range(queries.shape[1]):
            one, row = attention.read(queries[:, t], memory)
            np.testing.assert_allclose(one.data, context.data[:, t])
            np.testing.assert_allclose(row.data, weights.data[:, t])


def test_scores_of_any_size_are_safe():
    keys = np.array([[1e4, 0.0], [0.0, 1e4]])
    context, weights = DotAttention(2, 2)(np.array([[1e4, 0.0], [-1e4, 0.0]]), keys)
    np.testing.assert_array_equal(weights, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(context, keys)


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("scale", [0.3, "learned"])
def test_scale_and_bias_of_the_scores(kind, scale):
    plain, (queries, keys, values) = made(kind), arrays(kind)
    attention = ATTENTIONS[kind](*widths(kind), scale=scale, dtype=np.float64)
    attention.load_state_dict(plain.state_dict() | ({"g": 0.3} if scale == "learned" else {}))
    bias = np.random.default_rng(1).standard_normal((2, 6, 4))
    context, weights = attention(queries, keys, values, mask=MASK, bias=bias)
    for b, t in np.ndindex(2, 6):
        real = np.flatnonzero(MASK[b])
        scores = [score(kind, plain, queries[b, t], keys[b, j]) for j in real]
        a = softmax(0.3 * np.array(scores) + bias[b, t, real])
        np.testing.assert_allclose(arrays_of(weights)[b, t, real], a)
    one, _ = attention(queries[:, 2], keys, values, mask=MASK, bias=bias[:, 2])
    np.testing.assert_allclose(*map(arrays_of, (one, context[:, 2])))
    check_grads(
        lambda q, k, v, bias, *_: attention(q, k, v, mask=MASK, bias=bias),
        [queries, keys, values, bias, *attention.parameters()],
    )


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_padded_queries_read_nothing_and_do_no_harm(kind):
    attention, (queries, keys, values) = made(kind), arrays(kind)
    asked = np.arange(6) < np.array([[4], [6]])
    context, weights = attention(queries, keys, values, mask=MASK)
    damaged = Tensor(np.where(asked[..., None], queries, np.nan), requires_grad=True)
    again, rows = attention(damaged, keys, values, mask=MASK, query_mask=asked)
    wanted = [np.where(asked[..., None], arrays_of(x), 0) for x in (context, weights)]
    np.testing.assert_allclose(again.data, wanted[0])
    np.testing.assert_allclose(rows.data, wanted[1])
    np.square(again).sum().backward()
    assert np.isfinite(damaged.grad).all()
    assert not damaged.grad[~asked].any()
    one, _ = attention(queries[:, 4], keys, values, mask=MASK, query_mask=asked[:, 4])
    np.testing.assert_allclose(arrays_of(one), wanted[0][:, 4])
    alone, _ = attention(queries, keys, values, query_mask=asked)  # without a mask of keys
    assert not arrays_of(alone)[~asked].any()


def test_scaled_and_biased_attention_is_that_of_pytorch():
    torch = needs("torch")
    queries, keys, values = arrays("dot")
    bias = np.random.default_rng(1).standard_normal((2, 6, 4))
    attention = DotAttention(3, 3, scale=0.7)
    expected = torch.nn.functional.scaled_dot_product_attention(
        *map(torch.tensor, (queries, keys, values)), attn_mask=torch.tensor(bias), scale=0.7
    )
    np.testing.assert_allclose(attention(queries, keys, values, bias=bias)[0], expected.numpy())


def test_attention_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"DotAttention: scale must be one of learned, a number"):
        DotAttention(3, 3, scale="big")
    with pytest.raises(ValueError, match=r"a bias that broadcasts to the scores \(2, 6, 4\), got"):
        DotAttention(3, 3)(np.ones((2, 6, 3)), np.ones((2, 4, 3)), bias=np.ones((6, 5)))
    with pytest.raises(ValueError, match=r"mask must be booleans \(2, 6\)"):
        DotAttention(3, 3)(np.ones((2, 6, 3)), np.ones((2, 4, 3)), query_mask=np.ones((2, 6)))
    with pytest.raises(
        ValueError, match=r"DotAttention: queries and keys must have one width, got 3"
    ):
        DotAttention(3, 4)
    with pytest.raises(ValueError, match="AdditiveAttention: d_key must be an integer >= 1, got 0"):
        AdditiveAttention(3, 0)
    attention = BilinearAttention(3, 5)
    with pytest.raises(ValueError, match=r"expected keys \(\.\.\., time, 5\), got"):
        attention(np.zeros((2, 3)), np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match=r"expected queries \(2, steps, 3\), or \(2, 3\)"):
        attention(np.zeros((3, 3)), np.zeros((2, 4, 5)))
    with pytest.raises(ValueError, match=r"expected values \(2, 4\) and a width"):
        attention(np.zeros((2, 3)), np.zeros((2, 4, 5)), np.zeros((2, 3, 5)))
    with pytest.raises(
        ValueError, match=r"mask must be booleans \(2, 4\), got an array \(2, 4\) int"
    ):
        attention(np.zeros((2, 3)), np.zeros((2, 4, 5)), mask=np.ones((2, 4), int))
    with pytest.raises(NotImplementedError, match="Attention defines no scores"):
        Attention(2, 2)(np.zeros((1, 2)), np.zeros((3, 2)))


# The network ------------------------------------------------------------------------------------


def elman(x, h, p, name):
    return np.tanh(x @ p[f"{name}.W"] + h @ p[f"{name}.U"] + p[f"{name}.b"])


def plain_logits(model: EncoderDecoder, source, target) -> np.ndarray:
    """Elman nets in two directions with additive attention, for one pair: loops and formulas."""
    p = {name: x.data for name, x in model.named_parameters()}
    xs = p["source_embedding.E"][source]
    zero = np.zeros(model.d)
    ahead, back = [zero], [zero]
    for x in xs:
        ahead.append(elman(x, ahead[-1], p, "encoder.0.forward"))
    for x in xs[::-1]:
        back.append(elman(x, back[-1], p, "encoder.0.backward"))
    hs = np.concatenate([ahead[1:], back[1:][::-1]], axis=1)
    both = np.concatenate([ahead[-1], back[-1]])
    h = both @ p["bridges.0.W"] + p["bridges.0.b"]
    rows = []
    for token in target[:-1]:
        h = elman(p["target_embedding.E"][token], h, p, "decoder.0")
        a = softmax(np.array([score("additive", model.attention, h, k) for k in hs]))
        o = np.tanh(np.concatenate([h, a @ hs]) @ p["combine.W"] + p["combine.b"])
        rows.append(o @ p["V"].T)
    return np.array(rows)


def test_logits_against_plain_loops():
    model = model64(cell=Elman, bidirectional=True, attention="additive")
    logits = model.logits(SOURCE, TARGET, SOURCE_LENGTHS, TARGET_LENGTHS)
    nats = []
    for b, (n, m) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True)):
        expected = plain_logits(model, SOURCE[b, :n], TARGET[b, :m])
        np.testing.assert_allclose(logits.data[b, : m - 1], expected)
        p = softmax(expected)
        nats.append([-np.log(p[t, TARGET[b, t + 1]]) for t in range(m - 1)])
    loss = model.loss(SOURCE, TARGET, SOURCE_LENGTHS, TARGET_LENGTHS)
    np.testing.assert_allclose(loss.item(), np.concatenate(nats).mean())
    scores = model.score(SOURCE, TARGET, SOURCE_LENGTHS, TARGET_LENGTHS)
    np.testing.assert_allclose(scores.data, [-sum(row) for row in nats])


VARIANTS = [
    {"cell": LSTM, "attention": None},
    {"cell": GRU, "attention": "dot", "layers": 2},
    {"cell": LSTM, "attention": "bilinear", "bidirectional": True, "layers": 2},
    {"cell": Elman, "attention": "scaled_dot"},
    {"cell": Elman, "attention": AdditiveAttention, "bidirectional": True},
    {"cell": Elman, "attention": None, "bidirectional": True},
]


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS)
def test_gradients(options):
    model = model64(d=2, **options)

    def loss(*_):
        return model.loss(SOURCE[:2], TARGET[:2], SOURCE_LENGTHS[:2], TARGET_LENGTHS[:2])

    check_grads(loss, model.parameters())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("options", VARIANTS)
def test_padding_changes_nothing(options):
    model = model64(**options)
    args = SOURCE, TARGET, SOURCE_LENGTHS, TARGET_LENGTHS
    model.loss(*args).backward()
    gradients = [p.grad for p in model.parameters()]
    for p in model.parameters():
        p.grad = None
    noisy = [x.copy() for x in (SOURCE, TARGET)]
    for ids, lengths in zip(noisy, (SOURCE_LENGTHS, TARGET_LENGTHS), strict=True):
        ids[np.arange(ids.shape[1]) >= np.array(lengths)[:, None]] = 999  # no id at all
    wide = [np.pad(ids, ((0, 0), (0, 3)), constant_values=-5) for ids in noisy]
    again = model.loss(*wide, *args[2:])
    np.testing.assert_allclose(again.item(), model.loss(*args).item())
    again.backward()
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_allclose(p.grad, gradient, atol=1e-12)
    singles = [
        model.score(SOURCE[b, :n], TARGET[b, :m]).item()
        for b, (n, m) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True))
    ]
    np.testing.assert_allclose(model.score(*args).data, singles)


def test_attention_matrix_is_what_the_steps_looked_at():
    model = model64(attention="bilinear", bidirectional=True)
    args = SOURCE, TARGET, SOURCE_LENGTHS, TARGET_LENGTHS
    matrix = model.attention_matrix(*args)
    assert type(matrix) is np.ndarray
    assert matrix.shape == (3, 4, 4)
    for b, (n, m) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True)):
        np.testing.assert_allclose(matrix[b, : m - 1].sum(-1), 1)
        assert (matrix[b, :, n:] == 0).all()
        assert (matrix[b, m - 1 :] == 0).all()
        single = model.attention_matrix(SOURCE[b, :n], TARGET[b, :m])
        np.testing.assert_allclose(matrix[b, : m - 1, :n], single)
    with pytest.raises(ValueError, match="no attention; make it with attention= one of dot, "):
        model64().attention_matrix(*args)


# Scheduled sampling -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS)
def test_sampling_that_never_happens_is_teacher_forcing(options):
    model = model64(**options)
    args = SOURCE, TARGET, SOURCE_LENGTHS, TARGET_LENGTHS
    # So small a probability draws nothing, but takes the way step by step.
    stepped = model.loss(*args, sampling=1e-12, rng=0)
    np.testing.assert_allclose(stepped.item(), model.loss(*args).item())
    stepped.backward()
    stepwise = [p.grad for p in model.parameters()]
    for p in model.parameters():
        p.grad = None
    model.loss(*args).backward()
    for p, gradient in zip(model.parameters(), stepwise, strict=True):
        np.testing.assert_allclose(p.grad, gradient, atol=1e-12)


def test_always_sampling_feeds_the_models_own_tokens():
    source = SOURCE[0]
    for seed in range(100):  # until one goes on for three tokens
        model = model64(attention="dot", d=6, rng=seed)
        model.V.data *= 1e4  # so sure that a draw is the most probable token
        own = model.greedy(source, 3)
        if len(own) == 3:
            break
    assert len(own) == 3
    target = np.array([1, 3, 3, 2])
    sampled = model.loss(source, target, sampling=1.0, rng=0).item()
    logits = model.logits(source, [1, own[0], own[1], 2]).data
    expected = [
        np.log(np.exp(x - x.max()).sum()) + x.max() - x[y] for x, y in zip(logits, [3, 3, 2])
    ]
    np.testing.assert_allclose(sampled, np.mean(expected), rtol=1e-9)
    assert sampled != model.loss(source, target).item()


def test_sampling_is_seeded():
    model = model64(attention="bilinear")
    args = SOURCE, TARGET, SOURCE_LENGTHS, TARGET_LENGTHS
    losses = [model.loss(*args, sampling=0.5, rng=seed).item() for seed in (0, 0, 1, 2, 3)]
    assert losses[0] == losses[1]
    assert len(set(losses)) > 2
    with pytest.raises(ValueError, match=r"sampling must be a probability from 0 to 1, got 1\.5"):
        model.loss(*args, sampling=1.5)


# Decoding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS)
def test_a_beam_of_one_is_greedy(options):
    for seed in range(3):
        model = model64(**{**options, "rng": seed})
        greedy = model.greedy(SOURCE, 6, SOURCE_LENGTHS)
        beams = model.beam(SOURCE, 6, 1, SOURCE_LENGTHS)
        for b, n in enumerate(SOURCE_LENGTHS):
            assert [h.ids.tolist() for h in beams[b]] == [greedy[b].tolist()]
            assert model.greedy(SOURCE[b, :n], 6).tolist() == greedy[b].tolist()
            single = model.beam(SOURCE[b, :n], 6, 1)[0]
            np.testing.assert_allclose(single.score, beams[b][0].score)


def test_a_wide_beam_finds_the_most_probable_of_all():
    model = model64(target_size=4, attention="additive", rng=3)
    source = SOURCE[0]
    every = [
        (*body, 2) for length in range(4) for body in itertools.product([0, 1, 3], repeat=length)
    ]
    scores = {ids: model.score(source, [1, *ids]).item() for ids in every}
    ranked = sorted(every, key=lambda ids: -scores[ids])
    beam = model.beam(source, steps=4, width=400)
    finished = [h for h in beam if h.finished]
    assert [(*h.ids.tolist(), 2) for h in finished] == ranked
    np.testing.assert_allclose([h.score for h in finished], [scores[ids] for ids in ranked])
    assert not any(h.finished for h in beam[len(finished) :])
    open_scores = [h.score for h in beam[len(finished) :]]
    assert len(open_scores) == 3**4
    # All ways to go on for four steps together: a probability of 1.
    np.testing.assert_allclose(np.exp([h.score for h in beam]).sum(), 1)
    by_mean = model.beam(source, 4, 400, length_penalty=1.0)
    first = max(every, key=lambda ids: scores[ids] / len(ids))
    assert (*by_mean[0].ids.tolist(), 2) == first


def test_beams_have_the_score_of_what_they_wrote():
    model = model64(attention="dot", layers=2, rng=1)
    for row, n in zip(model.beam(SOURCE, 5, 3, SOURCE_LENGTHS), SOURCE_LENGTHS, strict=True):
        assert len(row) == 3
        source = SOURCE[list(SOURCE_LENGTHS).index(n), :n]
        for h in row:
            target = [1, *h.ids, *[2] * h.finished]
            np.testing.assert_allclose(model.score(source, target).item(), h.score)


def test_decoding_stops():
    model = model64()
    model.V.data[...] = 0  # all tokens alike: the lowest id is taken
    assert model.greedy(SOURCE[0], 3).tolist() == [0, 0, 0]
    ends = model64(end=0)
    ends.V.data[...] = 0
    assert ends.greedy(SOURCE[0], 3).tolist() == []
    assert ends.beam(SOURCE[0], 3, 1)[0].finished
    assert model.training  # decoding is without dropout, and leaves the mode as it was
    thinned = model64(dropout=0.5)
    assert len({tuple(thinned.greedy(SOURCE[0], 8)) for _ in range(5)}) == 1


def test_an_empty_source_is_read_as_nothing():
    model = model64(attention="dot")
    matrix = model.attention_matrix(SOURCE[:1], TARGET[:1], [0], [4])
    assert (matrix == 0).all()
    assert np.isfinite(model.loss(SOURCE[:1], TARGET[:1], [0], [4]).item())


# Bad input --------------------------------------------------------------------------------------


def test_the_network_says_what_does_not_fit():
    with pytest.raises(
        ValueError, match="attention must be one of dot, scaled_dot, bilinear, additive"
    ):
        EncoderDecoder(7, 7, 4, attention="luong")
    with pytest.raises(ValueError, match=r"end must be an integer from 0 to 6, got 7"):
        EncoderDecoder(7, 7, 4, end=7)
    with pytest.raises(TypeError, match=r"must make a Cell, .*got Bidirectional"):
        EncoderDecoder(
            7, 7, 4, cell=lambda a, b, **o: Bidirectional(Elman(a, b, **o), Elman(a, b, **o))
        )
    with pytest.raises(ValueError, match="queries and keys must have one width, got 4 and 8"):
        EncoderDecoder(7, 7, 4, attention="dot", bidirectional=True)
    model = model64()
    with pytest.raises(ValueError, match="source: id 7 at "):
        model.loss([[7]], [[1, 2]])
    with pytest.raises(TypeError, match="target: ids are integers"):
        model.loss([[3]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="targets begin with <s>, the id 1; that of row 1 begins"):
        model.loss([[3], [3]], [[1, 2], [3, 2]])
    with pytest.raises(ValueError, match="at least 2 tokens, <s> and </s>; that of row 1"):
        model.loss([[3], [3]], [[1, 2], [1, 2]], None, [2, 1])
    with pytest.raises(ValueError, match=r"target: expected ids .* time at least 2, got \(1, 1\)"):
        model.loss([[3]], [[1]])
    with pytest.raises(ValueError, match=r"source: expected ids .* time at least 1, got \(2, 0\)"):
        model.greedy(np.zeros((2, 0), int), 3)
    with pytest.raises(ValueError, match="sources and targets must be of one batch"):
        model.loss([[3]], [[1, 2], [1, 2]])
    with pytest.raises(ValueError, match="greedy: steps must be an integer >= 1, got 0"):
        model.greedy([3], 0)
    with pytest.raises(ValueError, match="beam: width must be an integer >= 1, got 0"):
        model.beam([3], 3, 0)
    with pytest.raises(ValueError, match="length_penalty must be a number >= 0"):
        model.beam([3], 3, length_penalty=-1.0)
    model.V.data[0, 0] = np.nan
    for decode in (model.greedy, model.beam):
        with pytest.raises(ValueError, match="scores are not finite: its parameters are damaged"):
            decode([3], 3)


def test_pairs_say_what_does_not_fit():
    with pytest.raises(ValueError, match="a target for each source, got 2 sources and 1 targets"):
        Pairs([[3], [4]], [[1, 2]])
    with pytest.raises(ValueError, match=r"expected a target .* target 0 is"):
        Pairs([[3]], [[1]])
    with pytest.raises(ValueError, match="got 0 sources"):
        Pairs([], [])


# Learning ---------------------------------------------------------------------------------------


def reversed_digits(count: int, rng: np.random.Generator):
    sources = [rng.integers(3, 13, rng.integers(3, 7)) for _ in range(count)]
    return sources, [np.array([1, *source[::-1], 2]) for source in sources]


@pytest.mark.slow
def test_learns_to_reverse_with_attention():
    rng = np.random.default_rng(0)
    task = Pairs(
        *reversed_digits(1500, rng), batch=50, sampling=lambda epoch: 0.1 * (epoch > 2), rng=0
    )
    model = EncoderDecoder(13, 13, 32, GRU, bidirectional=True, attention="bilinear", rng=0)
    held_out = Pairs(*reversed_digits(100, rng))
    before = evaluate(model, held_out)
    history = fit(
        model, task, Adam(model.parameters(), lr=0.01), epochs=5, clip=5.0, progress=False
    )
    assert before > 2.4  # log 13 is 2.56
    assert history[-1]["loss"] < history[0]["loss"]
    sources = pad_sequences(held_out.sources)
    written = model.greedy(sources, 8, [len(source) for source in held_out.sources])
    exact = np.mean([np.array_equal(w, s[::-1]) for w, s in zip(written, held_out.sources)])
    assert exact >= 0.9
    # The attention matrix shows it: step t looks at the t-th place from the end.
    source = held_out.sources[0]
    matrix = model.attention_matrix(source, held_out.targets[0])
    looked = matrix[: len(source)].argmax(-1)
    assert (looked[1:] <= looked[:-1]).all()
    assert looked[0] > looked[-1]


def test_any_cell_and_dropout_and_saving(tmp_path):
    cell = functools.partial(make_varied, p=0.2)
    model = EncoderDecoder(7, 7, 4, cell, layers=2, bidirectional=True, dropout=0.3, rng=0)
    args = SOURCE, TARGET, SOURCE_LENGTHS, TARGET_LENGTHS
    assert len({model.loss(*args).item() for _ in range(3)}) > 1
    model.loss(*args, sampling=0.5, rng=0).backward()
    assert all(isinstance(p, Parameter) and p.grad is not None for p in model.parameters())
    model.eval()
    model.save(tmp_path / "model.npz")
    other = EncoderDecoder(7, 7, 4, cell, layers=2, bidirectional=True, rng=1).eval()
    assert other.loss(*args).item() != model.loss(*args).item()
    other.load(tmp_path / "model.npz")
    assert other.loss(*args).item() == model.loss(*args).item()


def make_varied(d_in, d_h, *, p, rng, dtype):
    return VariationalDropout(LSTM(d_in, d_h, rng=rng, dtype=dtype), p, p, rng=rng)


def test_evaluation_is_teacher_forced_and_without_dropout():
    rng = np.random.default_rng(0)
    sources, targets = reversed_digits(20, rng)
    model = EncoderDecoder(13, 13, 8, dropout=0.5, rng=0)
    sampled, forced = (Pairs(sources, targets, sampling=p, rng=0) for p in (1.0, 0.0))
    assert evaluate(model, sampled) == evaluate(model, forced)
    batch = next(iter(forced.batches(1)))
    assert len({forced.loss(model, batch, None)[0].item() for _ in range(3)}) == 3


def test_dropout_stands_before_the_scores():
    model = model64(d=40, dropout=0.5)
    encoded = model.encode(SOURCE[0])
    seen = model._written(np.ones(40), encoded.memory)[0].data
    # Half of the elements of V's rows, doubled: another sum than that of all of them.
    assert (seen != model.V.data.sum(-1)).all()
    model.eval()
    np.testing.assert_allclose(model._written(np.ones(40), None)[0].data, model.V.data.sum(-1))
