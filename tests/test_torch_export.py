"""Whole models to PyTorch and back: the text of a module runs there and gives the same numbers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import filled, needs
from unspool import Parameter
from unspool.autograd import scope, silu
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    ActivatedGRU,
    ActivatedLSTM,
    Bidirectional,
    Cell,
    Elman,
    InputDropout,
    LayerNormLSTM,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
    Zoneout,
    save_npz,
)
from unspool.models import (
    CRF,
    Acceptor,
    Attention,
    BagClassifier,
    CharacterEncoder,
    Embedding,
    EncoderDecoder,
    FeatureEmbedding,
    LanguageModel,
    PairwiseCRF,
    Transducer,
    load_torch,
    to_torch,
)
from unspool.models.torch_cells import TAKEN

IDS = np.array([[1, 4, 5, 6, 2], [1, 7, 2, 0, 0], [1, 3, 3, 0, 0], [0, 0, 0, 0, 0]])
LENGTHS = np.array([5, 3, 1, 0])


class Own(Cell):
    """A cell of one's own: two states, an output, slices, functions, and a scope."""

    states = ("h", "m")

    def __init__(self, d_in, d_h, *, rng=None, dtype=np.float32):
        self.d_in, self.d_h, self.d_out = d_in, d_h, d_h
        self.W = Parameter(np.zeros((d_in, 2 * d_h), dtype))
        self.U = Parameter(np.zeros((d_h, d_h), dtype))
        self.half = Parameter(np.zeros((), dtype))

    def forward(self, x, state):
        h, m = state
        both = x @ self.W
        with scope("keep"):
            a = np.maximum(np.tanh(both[:, : self.d_h]), -0.5) - (1 - h**2) / 2
        m = silu(-(a - m))
        h = np.concatenate([a[:, :1] * self.half, m[:, 1:]], axis=-1) @ self.U.T
        return h, 0.5 * m - (h - m) * 0.2

    def output(self, state):
        h, m = state
        return np.mean(m, axis=-1, keepdims=True) * h


def gelu_elman(d_in, d_h, **options):
    return Elman(d_in, d_h, "gelu", **options)


def relu_lstm(d_in, d_h, **options):
    return ActivatedLSTM(d_in, d_h, "relu", "hard_sigmoid", **options)


def selu_gru(d_in, d_h, **options):
    return ActivatedGRU(d_in, d_h, "selu", **options)


def unbiased_gru(d_in, d_h, **options):
    return GRU(d_in, d_h, bias=False, **options)


def unbiased_lstm(d_in, d_h, **options):
    return LSTM(d_in, d_h, bias=False, **options)


CELLS = [
    *(LSTM, ResetAfterGRU, Elman, GRU, PeepholeLSTM, LayerNormLSTM, MGU, Own),
    *(gelu_elman, relu_lstm, selu_gru, unbiased_gru, unbiased_lstm),
]


def both(cell=LSTM, merge="concat"):
    return Bidirectional(cell(6, 4), cell(6, 4), merge=merge)


def letters():
    return FeatureEmbedding([8, 8], [3, 2], letters=CharacterEncoder(8, 3, 2, cell=GRU))


def language_model(**options):
    return LanguageModel(8, 6, **options)


def acceptor(network=None, pooling="last", **options):
    options = {"embedding": Embedding(8, 6)} | options
    return Acceptor(network or both(), 3, pooling, **options)


def tagger(network=None, **options):
    options = {"embedding": Embedding(8, 6)} | options
    return Transducer(network or both(), 3, **options)


MODELS = {
    **{f"cell {cell.__name__}": lambda cell=cell: language_model(cell=cell) for cell in CELLS},
    "untied, stacked": lambda: language_model(tied=False, layers=3, dropout=0.2),
    "float64": lambda: language_model(cell=GRU, dtype=np.float64),
    **{f"acceptor {p}": lambda p=p: acceptor(pooling=p) for p in ["last", "mean", "max", "sum"]},
    "hidden": lambda: acceptor(hidden=[5, 4], activation="relu", dropout=0.3),
    "one score": lambda: Acceptor(LSTM(6, 4), 1, embedding=Embedding(8, 6, padding_idx=0)),
    "merge sum": lambda: acceptor(both(GRU, "sum"), "max"),
    "merge mean": lambda: acceptor(both(LSTM, "mean")),
    "merge mul": lambda: acceptor(both(PeepholeLSTM, "mul")),
    "directions of stacks": lambda: acceptor(
        Bidirectional(Stacked([LSTM(6, 4), GRU(4, 3)]), Stacked([GRU(6, 3)]))
    ),
    "residual": lambda: acceptor(Stacked([LSTM(6, 4), both_of(4, 2)], residual=True)),
    "input dropout": lambda: acceptor(InputDropout(LSTM(6, 4), 0.5)),
    "tagger": tagger,
    "split": lambda: tagger(split=True),
    "CRF": lambda: tagger(crf=CRF(3), hidden=[4]),
    "PairwiseCRF": lambda: tagger(crf=PairwiseCRF(3, 8)),
    "letters": lambda: tagger(LSTM(9, 4), embedding=letters()),
    "features": lambda: acceptor(LSTM(5, 4), embedding=FeatureEmbedding([8, 8], [3, 2])),
    "one cell twice": lambda: acceptor(Bidirectional(*[LSTM(6, 4)] * 2)),
    "one own cell twice": lambda: acceptor(Bidirectional(*[MGU(6, 4)] * 2)),
}


def both_of(d_in, d_h):
    return Bidirectional(LSTM(d_in, d_h), LSTM(d_in, d_h))


def inputs(model):
    """What a model reads: ids, or rows of ids."""
    columns = {"letters": 5, "features": 2}
    embedding = getattr(model, "embedding", None)
    if not isinstance(embedding, FeatureEmbedding):
        return IDS
    count = columns["letters" if embedding.letters else "features"]
    ids = np.random.default_rng(3).integers(0, 8, (*IDS.shape, count))
    ids[0, 0, 2:] = 2  # a word without letters
    return ids


def ours(model, x, lengths):
    return np.asarray(model.eval().logits(x, lengths).data)


def theirs(module, x, lengths):
    torch = needs("torch")
    with torch.no_grad():
        given = None if lengths is None else torch.tensor(lengths)
        result = module.eval()(torch.tensor(x), given)
    return (result[0] if isinstance(result, tuple) else result).numpy()


def tolerance(model):
    return {"rtol": 1e-4, "atol": 2e-6} if model.parameters()[0].dtype == np.float32 else {}


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("name", MODELS)
def test_the_same_numbers_in_pytorch(name, lengths):
    needs("torch")
    model = filled(MODELS[name](), seed=1)
    module = to_torch(model).load()
    x = inputs(model)
    a, b = ours(model, x, lengths), theirs(module, x, lengths)
    if a.ndim == 3 and lengths is not None:  # what stands at padding is nobody's
        real = np.arange(x.shape[1]) < lengths[:, None]
        a, b = a[real], b[real]
    assert np.abs(a).max() > 1e-3
    np.testing.assert_allclose(b, a, **tolerance(model))


@pytest.mark.parametrize("name", MODELS)
def test_what_is_trained_in_pytorch_comes_back(name):
    """Three steps of SGD there; the state comes back into a model that was made anew."""
    torch = needs("torch")
    model = filled(MODELS[name](), seed=1)
    module, x = to_torch(model).load().eval(), inputs(model)
    sgd = torch.optim.SGD(module.parameters(), 0.05)
    for _ in range(3):
        sgd.zero_grad()
        result = module(torch.tensor(x), torch.tensor(LENGTHS))
        result = result[0] if isinstance(result, tuple) else result
        (result**2).mean().backward()
        sgd.step()
    fresh = load_torch(MODELS[name](), module)
    before, after = ours(model, x, None), ours(fresh, x, None)
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(theirs(module, x, None), after, **tolerance(model))
    again = to_torch(fresh).state
    for key, value in module.state_dict().items():
        if "bias_hh" not in key and "bias_ih" not in key:  # two biases there, their sum here
            np.testing.assert_array_equal(again[key], value.numpy(), key)


@pytest.mark.parametrize("name", ["cell LSTM", "cell GRU", "acceptor max", "CRF"])
def test_the_same_gradients_in_pytorch(name):
    torch = needs("torch")
    model = filled(MODELS[name](), seed=1).eval()
    module = to_torch(model).load().eval()
    real = (np.arange(5) < LENGTHS[:, None])[..., None] if model.logits(IDS).ndim == 3 else True
    np.sum(np.where(real, model.logits(IDS, LENGTHS), 0) ** 2).backward()
    result = module(torch.tensor(IDS), torch.tensor(LENGTHS))
    result = result[0] if isinstance(result, tuple) else result
    (torch.where(torch.tensor(real), result, 0) ** 2).sum().backward()
    held = [(p, p.data) for p in model.parameters()]
    for p, _ in held:
        p.data = np.zeros_like(p.data) if p.grad is None else p.grad
    gradients = to_torch(model).state
    for key, parameter in module.named_parameters():
        if "bias_hh" not in key and parameter.grad is not None:
            expected = parameter.grad.numpy()
            np.testing.assert_allclose(gradients[key], expected, rtol=1e-3, atol=1e-5, err_msg=key)


ATTENTIONS = [None, "dot", "scaled_dot", "bilinear", "additive", "learned dot", "scaled additive"]
SCALES = {"learned": "learned", "scaled": 0.5}


def encoder_decoder(attention, **options):
    """``attention`` is a name, with a word before it that stands for a scale."""
    scale, _, kind = (attention or "").rpartition(" ")
    model = EncoderDecoder(8, 9, 6, attention=kind or None, **options)
    if scale:
        widths = model.attention.d_query, model.attention.d_key
        model.attention = type(model.attention)(*widths, scale=SCALES[scale])
    return model


SOURCES = np.array([[3, 4, 5, 6], [7, 3, 0, 0], [5, 5, 5, 0]])
TARGETS = np.array([[1, 5, 8, 7, 2], [1, 4, 2, 0, 0], [1, 3, 6, 2, 0]])
PAIRS = (SOURCES, TARGETS, [4, 2, 3], [5, 3, 4])


DIRECTIONS = [
    (attention, both)
    for attention in ATTENTIONS
    for both in (False, True)
    if not (both and attention and "dot" in attention)  # their widths would differ
]


@pytest.mark.parametrize(("attention", "bidirectional"), DIRECTIONS)
@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_encoder_decoders_in_pytorch(cell, attention, bidirectional):
    torch = needs("torch")
    options = {"cell": cell, "layers": 2, "bidirectional": bidirectional, "dropout": 0.1}
    model = filled(encoder_decoder(attention, **options), seed=2).eval()
    module = to_torch(model).load().eval()
    with torch.no_grad():
        logits = module(*[torch.tensor(x) for x in PAIRS]).numpy()
        written = module.greedy(torch.tensor(SOURCES), 6, torch.tensor(PAIRS[2])).numpy()
    real = np.arange(4) < np.array(PAIRS[3])[:, None] - 1
    expected = model.logits(*PAIRS).data
    np.testing.assert_allclose(logits[real], expected[real], rtol=1e-4, atol=2e-6)
    for row, ids in zip(written, model.greedy(SOURCES, 6, PAIRS[2]), strict=True):
        assert row[row != model.end].tolist() == ids.tolist()
    fresh = load_torch(encoder_decoder(attention, **options), module.state_dict())
    np.testing.assert_allclose(fresh.eval().logits(*PAIRS).data, expected, rtol=1e-5, atol=1e-6)


def test_a_state_goes_on_step_by_step():
    torch = needs("torch")
    model = filled(language_model(layers=2, cell=PeepholeLSTM), seed=4)
    module = to_torch(model).load().eval()
    state, written, ids = None, [], torch.tensor([[1]])
    with torch.no_grad():
        for _ in range(6):
            logits, state = module(ids, None, state)
            ids = logits[:, -1:].argmax(-1)
            written.append(ids.item())
    assert written == model.generate([1], 6, temperature=0).tolist()


def test_vectors_with_nan_at_padding():
    torch = needs("torch")
    model = filled(Acceptor(both(), 3, "mean"), seed=5)
    xs = np.random.default_rng(0).standard_normal((4, 5, 6)).astype(np.float32)
    xs[2, 1:], xs[3] = np.nan, np.nan
    module = to_torch(model).load()
    np.testing.assert_allclose(
        theirs(module, xs, LENGTHS), ours(model, xs, LENGTHS), rtol=1e-4, atol=1e-6
    )
    module(torch.tensor(xs), torch.tensor(LENGTHS)).sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_tied_and_frozen_parameters_stay_so():
    needs("torch")
    model = language_model()
    model.embedding.freeze()
    module = to_torch(model).load()
    assert module.scores.weight is module.embedding.weight
    assert not module.embedding.weight.requires_grad
    assert module.cell.weight_ih_l0.requires_grad
    twice = to_torch(MODELS["one cell twice"]()).load().network
    assert twice.ahead.weight_ih_l0 is twice.back.weight_ih_l0
    assert len(list(twice.parameters())) == 4


def test_the_text_stands_alone(tmp_path):
    """It imports only torch, holds what it needs and nothing else, and runs in a program of its
    own that does not know unspool."""
    needs("torch")
    model = filled(tagger(crf=CRF(3)), seed=6)
    source, state = to_torch(model)
    tree = ast.parse(source)
    imported = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {getattr(n, "module", None) or n.names[0].name for n in imported}
    assert {name.split(".")[0] for name in names} == {"__future__", "torch"}
    defined = [n.name for n in tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef))]
    assert not {"LanguageModel", "Steps"} & set(defined)
    for name in defined:
        assert name == "make" or len(re.findall(rf"\b{name}\b", source)) > 1, name
    (tmp_path / "tagger.py").write_text(source)
    save_npz(tmp_path / "tagger.npz", state)
    program = (
        "import sys, numpy as np, torch\n"
        "from tagger import make\n"
        "module = make()\n"
        "state = {k: torch.from_numpy(v) for k, v in np.load('tagger.npz').items()}\n"
        "module.load_state_dict(state, strict=True)\n"
        "scores = module.eval()(torch.tensor([[1, 4, 5]]))\n"
        "assert 'unspool' not in sys.modules\n"
        "print(scores.argmax(-1).tolist())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(np.argmax(model.logits([[1, 4, 5]]).data, -1).tolist())


def test_equations_read_as_they_are_written():
    source = to_torch(language_model(cell=GRU)).source
    assert "candidate = torch.tanh(x @ self.W_h + (reset * h) @ self.U_h + self.b_h)" in source
    assert "return ((1.0 - update) * h + update * candidate,)" in source


def test_cells_of_one_name_and_other_equations_have_classes_of_their_own():
    stacked = Stacked([Elman(6, 4, "gelu"), Elman(4, 4, "silu"), Elman(4, 4, "gelu")])
    source = to_torch(acceptor(stacked)).source
    assert re.findall(r"^class (Elman\d*)\(Steps\)", source, re.MULTILINE) == ["Elman", "Elman2"]
    assert len(re.findall(r"^ +Elman\(", source, re.MULTILINE)) == 2


def test_names_that_modules_of_pytorch_have_are_known():
    nn = needs("torch").nn
    public = {name for name in dir(nn.Module()) if not name.startswith("_")}
    assert {n for n in public if not n.startswith("register_")} <= set(TAKEN)


class Branching(Own):
    def forward(self, x, state):
        h, m = state
        return (h * 2, m) if x.data.sum() > 0 else (h * 3, m)

    def output(self, state):
        return state[0]


class Masked(Branching):
    def forward(self, x, state):
        h, m = state
        return np.where(h.data > 0, h, 0), m


class Sorting(Branching):
    def forward(self, x, state):
        h, m = state
        return np.sort(h, axis=-1), m


class Started(LSTM):
    def initial_state(self, batch=None):
        return super().initial_state(batch)


class OwnAttention(Attention):
    def scores(self, queries, keys):
        return queries @ np.swapaxes(keys, -1, -2)


def of(cell):
    return lambda: to_torch(language_model(cell=cell(6, 6)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: to_torch(LSTM(3, 4)),
            TypeError,
            r"expected a LanguageModel.*cells\.to_torch$",
        ),
        (lambda: to_torch(BagClassifier(Embedding(8, 6), 3)), TypeError, "got BagClassifier"),
        (of(Branching), ValueError, "its steps differ with the numbers.*without if"),
        (of(Masked), ValueError, "reads a constant array|steps differ"),
        (of(Sorting), ValueError, "the op .* has no counterpart in the module text"),
        (of(Started), ValueError, "Started's initial state is not 0"),
        (lambda: to_torch(acceptor(Zoneout(LSTM(6, 4)))), ValueError, "Zoneout has no counterpart"),
        (lambda: to_torch(acceptor(embedding=lambda x: x)), ValueError, "embedding=None, and feed"),
        (
            lambda: to_torch(acceptor(hidden=[4], activation=np.tanh)),
            ValueError,
            "activation must be one of elu, gelu.*got 'tanh'",
        ),
        (
            lambda: to_torch(EncoderDecoder(8, 8, 6, attention=OwnAttention)),
            ValueError,
            "OwnAttention has no counterpart in the module text; use DotAttention",
        ),
        (
            lambda: load_torch(language_model(), {"a": np.zeros(3)}),
            ValueError,
            r"missing embedding\.weight \(8, 6\).*missing cell\.weight_ih_l0.*unexpected a \(3,\)",
        ),
        (
            lambda: load_torch(
                language_model(),
                {f"module.{k}": v for k, v in to_torch(language_model()).state.items()},
            ),
            ValueError,
            r'write prefix="module\."',
        ),
        (
            lambda: load_torch(
                language_model(),
                to_torch(language_model()).state | {"scores.weight": np.ones((8, 6))},
            ),
            ValueError,
            r"scores\.weight differs from embedding\.weight",
        ),
    ],
)
def test_what_has_no_counterpart_and_bad_states(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def test_a_prefix_is_taken_off():
    model = filled(language_model(), seed=7)
    state = {f"module.{name}": array for name, array in to_torch(model).state.items()}
    fresh = load_torch(language_model(), state, prefix="module.")
    np.testing.assert_array_equal(ours(fresh, IDS, None), ours(model, IDS, None))


# The documented example ---------------------------------------------------------------------------

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.slow
def test_a_model_trains_on_in_two_processes_of_pytorch_and_comes_back(tmp_path):
    """docs/pytorch_training.py itself: the loss goes on where it was, both ways."""
    needs("torch")
    program = [sys.executable, str(DOCS / "pytorch_training.py")]
    run = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    losses = [float(line.split()[-1]) for line in run.stdout.splitlines()]
    departure, arrival, *epochs, back = losses
    assert len(epochs) == 3
    assert arrival == pytest.approx(departure, abs=2e-5)
    assert epochs[-1] < arrival - 0.1
    assert back == pytest.approx(epochs[-1], abs=2e-5)


def test_the_page_about_pytorch_runs(tmp_path, monkeypatch):
    needs("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "language_model", raising=False)
    names: dict[str, object] = {}
    page = (DOCS / "pytorch.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "pytorch.md", "exec"), names)
    assert names["logits"].shape == (1, 3, 1000)
