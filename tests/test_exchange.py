"""Weights that come and go: PyTorch, Keras, matrices over a concatenation, files, ONNX.

PyTorch's numbers are compared live where it is installed and always with saved ones, made by
``data/make_cell_numbers.py``. Keras's layers are written here in NumPy from its documentation.
"""

from __future__ import annotations

import json
import pickle
import re
import runpy
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import filled, needs, sigmoid
from unspool import Parameter, Tensor, unroll
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    Bidirectional,
    Cell,
    Elman,
    InputDropout,
    LayerNormLSTM,
    Module,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
    VariationalDropout,
    Zoneout,
    load_concatenated,
    load_keras,
    load_safetensors,
    load_torch,
    save_npz,
    save_onnx,
    save_safetensors,
    to_keras,
    to_onnx,
    to_torch,
)
from unspool.models import (
    CRF,
    Acceptor,
    Attention,
    Dense,
    Embedding,
    EncoderDecoder,
    FeatureEmbedding,
    FeedForward,
    LanguageModel,
    PairwiseCRF,
    Transducer,
    onnx_steps,
)

DATA = Path(__file__).parent / "data"
SCRIPT = runpy.run_path(str(DATA / "make_cell_numbers.py"))
SAVED = dict(np.load(DATA / "torch_cells.npz"))
D_IN, D_H, LENGTHS = SCRIPT["D_IN"], SCRIPT["D_H"], SCRIPT["LENGTHS"]
CELLS = {
    "tanh": Elman,
    "relu": lambda *sizes, **options: Elman(*sizes, "relu", **options),
    "LSTM": LSTM,
    "GRU": ResetAfterGRU,
}
cases = pytest.mark.parametrize("case", SCRIPT["CASES"], ids=str)
lecture_cases = pytest.mark.parametrize("case", SCRIPT["LECTURE_CASES"], ids=str)


def module_for(case, dtype=float):
    """What in unspool is the same layer."""
    width, layers = D_IN, []
    for _ in range(case.layers):
        cells = [
            CELLS[case.kind](width, D_H, bias=bool(case.bias), dtype=dtype)
            for _ in range(case.directions)
        ]
        layers.append(Bidirectional(*cells) if case.directions == 2 else cells[0])
        width = case.directions * D_H
    return layers[0] if case.layers == 1 else Stacked(layers)


def leaf_cells(module):
    """The cells of a module in PyTorch's order."""
    return [m for m in module.modules() if isinstance(m, Cell) and not isinstance(m, Stacked)]


def nested(module, parts):
    """A flat sequence of cells' states in the form that the module takes."""
    if isinstance(module, Stacked):
        return tuple(nested(member, parts) for member in module.members)
    if isinstance(module, Bidirectional):
        return nested(module.forward, parts), nested(module.backward, parts)
    return next(parts)


def flat(state):
    if isinstance(state, tuple) and isinstance(state[0], tuple):
        return [cell for part in state for cell in flat(part)]
    return [state]


def gradients_by_torchs_names(module):
    """The gradients in the order of PyTorch's parameters; both of its biases have b's."""
    held = [(p, p.data) for p in module.parameters()]
    try:
        for p, _ in held:
            p.data = p.grad
        state = to_torch(module)
    finally:
        for p, data in held:
            p.data = data
    for name in state:
        if name.startswith("bias_hh"):
            of_c, state[name] = state[name], state[name.replace("_hh", "_ih")].copy()
            if isinstance(leaf_cells(module)[0], ResetAfterGRU):
                state[name][2 * D_H :] = of_c[2 * D_H :]
    return list(state.values())


def run_case(case, module):
    """All numbers of a case in the order of the script."""
    given = SCRIPT["inputs"](case.layers, case.directions)
    cells = leaf_cells(module)
    names = cells[0].states
    start = [
        tuple(Tensor(given[f"{s}_0"][k].copy(), requires_grad=True) for s in names)
        for k in range(len(cells))
    ]
    xs = Tensor(given["xs"].copy(), requires_grad=True)
    lengths = LENGTHS if case.packed else None
    ys, last = unroll(module, xs, nested(module, iter(start)), lengths=lengths)
    last = flat(last)
    loss = (ys * given["to_ys"]).sum()
    for k, state in enumerate(last):
        for s, name in zip(state, names):
            loss = loss + (s * given[f"to_{name}"][k]).sum()
    for parameter in module.parameters():
        parameter.grad = None
    loss.backward()
    states = [np.stack([state[i].data for state in last]) for i in range(len(names))]
    starts = [np.stack([state[i].grad for state in start]) for i in range(len(names))]
    gradients = gradients_by_torchs_names(module)
    return SCRIPT["flat"]([ys.data, *states, xs.grad, *starts, *gradients])


# PyTorch ------------------------------------------------------------------------------------------


@cases
def test_pytorchs_layers_saved(case):
    module = load_torch(module_for(case), SCRIPT["weights"](case))
    np.testing.assert_allclose(run_case(case, module), SAVED[str(case)], rtol=0, atol=1e-10)


@cases
def test_pytorchs_layers_live(case):
    needs("torch")
    module = load_torch(module_for(case), SCRIPT["weights"](case))
    expected = SCRIPT["numbers"](case)
    np.testing.assert_allclose(run_case(case, module), expected, rtol=0, atol=1e-10)


def run_lecture_case(case):
    given = SCRIPT["inputs"](1, 1)
    cell = GRU(D_IN, D_H, bias=bool(case.bias), dtype=float)
    cell.load_state_dict(SCRIPT["lecture_weights"](case))
    xs = Tensor(given["xs"], requires_grad=True)
    h_0 = Tensor(given["h_0"][0], requires_grad=True)
    lengths = LENGTHS if case.packed else None
    ys, (h,) = unroll(cell, xs, (h_0,), lengths=lengths, reverse=bool(case.reverse))
    ((ys * given["to_ys"]).sum() + (h * given["to_h"][0]).sum()).backward()
    gradients = [p.grad for p in cell.parameters()]
    return SCRIPT["flat"]([ys.data, h.data, xs.grad, h_0.grad, *gradients])


@lecture_cases
def test_the_lectures_gru_saved(case):
    np.testing.assert_allclose(run_lecture_case(case), SAVED[str(case)], rtol=0, atol=1e-10)


@lecture_cases
def test_the_lectures_gru_live(case):
    needs("torch")
    expected = SCRIPT["lecture_numbers"](case)
    np.testing.assert_allclose(run_lecture_case(case), expected, rtol=0, atol=1e-10)


def test_the_saved_numbers_are_those_of_these_cases():
    names = {str(case) for case in (*SCRIPT["CASES"], *SCRIPT["LECTURE_CASES"])}
    assert set(SAVED) == names
    assert len(names) == 4 * 3 * 2 * 2 * 2 + 8


@cases
def test_from_pytorch_and_back(case):
    """Weights equal; of the two biases the sum, and a GRU's c_n."""
    weights = SCRIPT["weights"](case)
    state = to_torch(load_torch(module_for(case), weights))
    assert list(state) == list(weights)
    for name, value in weights.items():
        assert state[name].flags.c_contiguous
        assert state[name].dtype == np.float64
        if name.startswith("weight"):
            np.testing.assert_array_equal(state[name], value)
        elif name.startswith("bias_ih"):
            other = name.replace("_ih", "_hh")
            np.testing.assert_array_equal(state[name] + state[other], value + weights[other])
            n = slice(2 * D_H, None)
            if case.kind == "GRU":
                np.testing.assert_array_equal(state[other][n], weights[other][n])
            rest = state[other][: 2 * D_H] if case.kind == "GRU" else state[other]
            assert not rest.any()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_pytorchs_modules_and_cells(kind, bias):
    torch = needs("torch")
    make = {"RNN": Elman, "LSTM": LSTM, "GRU": ResetAfterGRU}[kind]
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    layer = getattr(torch.nn, kind)(3, 5, bias=bias, batch_first=True)
    cell = make(3, 5, bias=bias)
    for state in (layer, layer.state_dict(), dict(layer.state_dict())):
        assert load_torch(filled(cell), state) is cell
        ys, _ = unroll(cell, x)
        expected = layer(torch.from_numpy(x))[0].detach().numpy()
        np.testing.assert_allclose(ys.data, expected, rtol=0, atol=1e-6)
    again = getattr(torch.nn, kind)(3, 5, bias=bias, batch_first=True)
    again.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(cell).items()})
    np.testing.assert_allclose(again(torch.from_numpy(x))[0].detach(), expected, rtol=0, atol=1e-6)
    one = getattr(torch.nn, f"{kind}Cell")(3, 5, bias=bias)
    one.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(cell, cell=True).items()})
    first = one(torch.from_numpy(x[:, 0]))
    first = first[0] if kind == "LSTM" else first
    np.testing.assert_allclose(first.detach(), ys.data[:, 0], rtol=0, atol=1e-6)
    load_torch(filled(cell, 5), one)
    np.testing.assert_allclose(unroll(cell, x)[0].data, ys.data, rtol=0, atol=1e-6)


def test_a_part_of_a_larger_model_and_half_precision():
    torch = needs("torch")
    model = torch.nn.ModuleDict({"encoder": torch.nn.LSTM(3, 4), "head": torch.nn.Linear(4, 2)})
    cell = load_torch(LSTM(3, 4), model, prefix="encoder.")
    expected = model["encoder"].weight_ih_l0.detach().numpy()
    np.testing.assert_array_equal(to_torch(cell)["weight_ih_l0"], expected)
    half = {k: v.bfloat16() for k, v in model["encoder"].state_dict().items()}
    load_torch(cell, half)
    np.testing.assert_allclose(to_torch(cell)["weight_ih_l0"], expected, rtol=0.01)
    with pytest.raises(ValueError, match=r"unexpected encoder\.weight_ih_l0"):
        load_torch(cell, model)


def test_stacks_in_stacks_and_dropout_are_pytorchs_layers_too():
    plain = Stacked([LSTM(3, 4, rng=0), LSTM(4, 4, rng=1), LSTM(4, 4, rng=2)])
    a, b, c = plain.members
    dressed = Stacked([Stacked([InputDropout(a, 0.5), b]), VariationalDropout(c, 0.5)], dropout=0.5)
    for name, value in to_torch(plain).items():
        np.testing.assert_array_equal(to_torch(dressed)[name], value)


def test_tied_directions():
    cell = filled(GRU(3, 4))
    both = Bidirectional(cell, cell)
    weights = to_keras(both)
    assert len(weights) == 6
    load_keras(both, [w * 2 for w in weights])
    np.testing.assert_array_equal(to_keras(both)[0], weights[0] * 2)
    with pytest.raises(ValueError, match=r"cell 1 differs from cell 0, and both are one Parameter"):
        load_keras(both, [*weights[:3], *(w * 3 for w in weights[3:])])
    np.testing.assert_array_equal(to_keras(both)[0], weights[0] * 2)


LSTM_STATE = to_torch(LSTM(3, 4))


class MyLSTM(LSTM):
    """A subclass whose equations are others."""

    def forward(self, x, state):
        h, c = super().forward(x, state)
        return -h, c


class Own(Cell):
    """A cell of one's own."""

    def __init__(self):
        self.d_in = self.d_h = 2
        self.A = Parameter(np.eye(2))

    def forward(self, x, state):
        return (x @ self.A + state[0],)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: load_torch(GRU(3, 4), to_torch(ResetAfterGRU(3, 4))),
            ValueError,
            r"GRU resets before the product, PyTorch's GRU after it.*use ResetAfterGRU",
        ),
        (lambda: to_torch(GRU(3, 4)), ValueError, r"use ResetAfterGRU"),
        (lambda: to_torch(PeepholeLSTM(3, 4)), ValueError, r"no peepholes: use LSTM, or export"),
        (lambda: to_torch(MGU(3, 4)), ValueError, r"a GRU whose r and z are the same"),
        (lambda: to_torch(LayerNormLSTM(3, 4)), ValueError, r"write its equations there and fill"),
        (
            lambda: to_torch(Own()),
            ValueError,
            r"Own has no counterpart in PyTorch, which has",
        ),
        (lambda: to_torch(MyLSTM(3, 4)), ValueError, r"MyLSTM has no counterpart in PyTorch"),
        (lambda: to_torch(Zoneout(LSTM(3, 4))), ValueError, r"export its \.cell for the weights"),
        (lambda: to_torch(Elman(3, 4, "sigmoid")), ValueError, r"no recurrent layer with sigmoid"),
        (
            lambda: to_torch(Stacked([LSTM(3, 4), LSTM(4, 4)], residual=True)),
            ValueError,
            r"residual connections have no counterpart",
        ),
        (
            lambda: to_torch(Bidirectional(LSTM(3, 4), LSTM(3, 4), merge="sum")),
            ValueError,
            r"merge='sum' has no counterpart in PyTorch, which has concat",
        ),
        (
            lambda: to_torch(
                Bidirectional(Stacked([LSTM(3, 4), LSTM(4, 4)]), Stacked([LSTM(3, 4), LSTM(4, 4)]))
            ),
            ValueError,
            r"each layer is bidirectional by itself; write Stacked\(\[Bidirectional",
        ),
        (
            lambda: to_torch(Stacked([LSTM(3, 4), ResetAfterGRU(4, 4)])),
            ValueError,
            r"alike, here are LSTM\(d_h=4, bias=True\), ResetAfterGRU\(d_h=4, bias=True\)",
        ),
        (
            lambda: to_torch(Stacked([LSTM(3, 4), Bidirectional(LSTM(4, 4), LSTM(4, 4))])),
            ValueError,
            r"in 1 and 2 direction\(s\)",
        ),
        (
            lambda: to_torch(Stacked([LSTM(3, 4), LSTM(4, 4)]), cell=True),
            ValueError,
            r"cell=True is for a single Cell, got 2",
        ),
        (lambda: to_torch(Dense(3, 4)), TypeError, r"expected a Cell, .*, got Dense"),
        (lambda: load_torch(LSTM(3, 4), 3), TypeError, r"expected a state_dict, .*, got 3"),
        (lambda: load_torch(LSTM(3, 4), "w.pt"), ValueError, r"w\.pt: a pickle can run any code"),
        (
            lambda: load_torch(LSTM(3, 4, bias=False), LSTM_STATE),
            ValueError,
            r"unexpected bias_ih_l0 \(16,\) \(make the module with bias=True\)",
        ),
        (
            lambda: load_torch(LSTM(3, 4), to_torch(LSTM(3, 4, bias=False))),
            ValueError,
            r"missing bias_hh_l0 \(16,\) \(make the module with bias=False\)",
        ),
        (
            lambda: load_torch(LSTM(3, 4), {**LSTM_STATE, "weight_hr_l0": np.ones((2, 4))}),
            ValueError,
            r"unexpected weight_hr_l0 \(2, 4\) \(projections, proj_size, have no counterpart",
        ),
        (
            lambda: load_torch(LSTM(3, 4), {**LSTM_STATE, "bias_ih_l0": np.array(["x"] * 16)}),
            ValueError,
            r"bias_ih_l0 holds <U1, expected numbers",
        ),
    ],
)
def test_what_pytorch_lacks_and_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_every_problem_of_a_foreign_dictionary_is_named_and_nothing_is_changed():
    cell = filled(LSTM(3, 4))
    before = cell.state_dict()
    state = {**LSTM_STATE, "weight_hh_l0": np.ones((12, 4)), "weight_ih_l1": np.ones((16, 4))}
    del state["bias_ih_l0"]
    with pytest.raises(ValueError, match=r"^load_torch\(LSTM\): ") as caught:
        load_torch(cell, state)
    for part in (
        "weight_hh_l0 is (12, 4), expected (16, 4)",
        "missing bias_ih_l0 (16,)",
        "unexpected weight_ih_l1 (16, 4)",
    ):
        assert part in str(caught.value)
    assert all((cell.state_dict()[n] == v).all() for n, v in before.items())


# Keras --------------------------------------------------------------------------------------------


def keras_layer(kind, weights, xs, reset_after=True, backwards=False):
    """A layer of Keras from its weights: gates i, f, c, o and z, r, h side by side."""
    kernel, recurrent, *bias = weights
    d_h = len(recurrent)
    b = bias[0] if bias else 0.0
    h, c = np.zeros((len(xs), d_h)), np.zeros((len(xs), d_h))
    outputs = []
    for x in xs.swapaxes(0, 1)[::-1] if backwards else xs.swapaxes(0, 1):
        if kind == "SimpleRNN":
            h = np.tanh(x @ kernel + h @ recurrent + b)
        elif kind == "LSTM":
            i, f, g, o = np.split(x @ kernel + h @ recurrent + b, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            from_x, from_h = (b[0], b[1]) if np.ndim(b) == 2 else (b, 0.0)
            xz, xr, xh = np.split(x @ kernel + from_x, 3, axis=1)
            hz, hr, hh = np.split(h @ recurrent + from_h, 3, axis=1)
            z, r = sigmoid(xz + hz), sigmoid(xr + hr)
            if reset_after:
                candidate = np.tanh(xh + r * hh)
            else:
                candidate = np.tanh(xh + (r * h) @ recurrent[:, 2 * d_h :])
            h = z * h + (1 - z) * candidate
        outputs.append(h)
    return np.stack(outputs[::-1] if backwards else outputs, axis=1)


def keras_weights(kind, d_in, d_h, bias=True, reset_after=True, seed=0):
    rng = np.random.default_rng(seed)
    columns = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}[kind] * d_h
    shapes = [(d_in, columns), (d_h, columns)]
    if bias:
        shapes.append((2, columns) if kind == "GRU" and reset_after else (columns,))
    return [rng.standard_normal(shape) for shape in shapes]


KERAS = [
    ("SimpleRNN", True, Elman),
    ("LSTM", True, LSTM),
    ("GRU", True, ResetAfterGRU),
    ("GRU", False, GRU),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "reset_after", "make"), KERAS)
def test_keras_layers(kind, reset_after, make, bias):
    weights = keras_weights(kind, 3, 4, bias, reset_after)
    cell = make(3, 4, bias=bias, dtype=float)
    xs = np.random.default_rng(1).standard_normal((2, 5, 3))
    assert load_keras(cell, weights) is cell
    expected = keras_layer(kind, weights, xs, reset_after)
    np.testing.assert_allclose(unroll(cell, xs)[0].data, expected, rtol=0, atol=1e-12)
    back = to_keras(cell)
    for mine, theirs in zip(back[:2], weights[:2], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(keras_layer(kind, back, xs, reset_after), expected, atol=1e-12)
    if bias:
        total = (lambda b: b.sum(axis=0)) if weights[2].ndim == 2 else (lambda b: b)
        assert back[2].shape == weights[2].shape
        np.testing.assert_allclose(total(back[2]), total(weights[2]), rtol=0, atol=1e-15)
    again = load_keras(make(3, 4, bias=bias, dtype=float), back)
    for name, value in cell.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], value)


def test_keras_by_name():
    weights = keras_weights("LSTM", 3, 4)
    names = ("lstm/lstm_cell/kernel:0", "lstm/lstm_cell/recurrent_kernel:0", "bias")
    cell = load_keras(LSTM(3, 4, dtype=float), dict(zip(names, weights)))
    np.testing.assert_array_equal(to_keras(cell)[2], weights[2])


def test_keras_stacks_and_directions():
    sizes = [(3, 4), (3, 4), (8, 2)]
    parts = [keras_weights("GRU", *size, seed=k) for k, size in enumerate(sizes)]
    cells = [ResetAfterGRU(*size, dtype=float) for size in sizes]
    net = Stacked([Bidirectional(*cells[:2]), cells[2]])
    load_keras(net, [array for part in parts for array in part])
    xs = np.random.default_rng(1).standard_normal((2, 5, 3))
    ahead = keras_layer("GRU", parts[0], xs)
    back = keras_layer("GRU", parts[1], xs, backwards=True)
    expected = keras_layer("GRU", parts[2], np.concatenate([ahead, back], axis=2))
    np.testing.assert_allclose(unroll(net, xs)[0].data, expected, rtol=0, atol=1e-12)
    merged = Bidirectional(*cells[:2], merge="mean")
    assert len(to_keras(merged)) == 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: load_keras(LSTM(3, 4), keras_weights("LSTM", 3, 4, bias=False)),
            r"expected 3 arrays, kernel \(3, 16\), recurrent_kernel \(4, 16\), bias \(16,\); got 2",
        ),
        (lambda: load_keras(LSTM(3, 4), []), r"got 0, none"),
        (
            lambda: load_keras(LSTM(3, 4), keras_weights("LSTM", 2, 4)),
            r"kernel is \(2, 16\), expected \(3, 16\)",
        ),
        (
            lambda: load_keras(GRU(3, 4), keras_weights("GRU", 3, 4)),
            r"bias is \(2, 12\), expected \(12,\) .*reset_after=True: use ResetAfterGRU",
        ),
        (
            lambda: load_keras(ResetAfterGRU(3, 4), keras_weights("GRU", 3, 4, reset_after=False)),
            r"bias is \(12,\), expected \(2, 12\) .*reset_after=False: use GRU",
        ),
        (
            lambda: load_keras(LSTM(3, 4), {"kernel": 1, "W": 2}),
            r"expected kernel, rec.*got kernel",
        ),
        (
            lambda: load_keras(Stacked([LSTM(3, 4), LSTM(4, 4)]), {}),
            r"for 2 cells give the list of get_weights\(\)",
        ),
        (lambda: to_keras(PeepholeLSTM(3, 4)), r"no counterpart in Keras, which has no peepholes"),
        (lambda: to_keras(Own()), r"Own has no counterpart in Keras"),
    ],
)
def test_bad_input_from_keras(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_minimal_gated_unit_is_a_gru_with_one_gate():
    """What the error message says can be done about it."""
    mgu, gru = filled(MGU(3, 4, dtype=float)), GRU(3, 4, dtype=float)
    state = mgu.state_dict()
    copied = {f"{n}_{g}": state[f"{n}_f"] for n in "WUb" for g in "zr"}
    gru.load_state_dict({**copied, **{n: v for n, v in state.items() if n.endswith("_h")}})
    xs = np.random.default_rng(1).standard_normal((2, 5, 3))
    np.testing.assert_allclose(unroll(gru, xs)[0].data, unroll(mgu, xs)[0].data, atol=1e-14)


# Matrices over a concatenation --------------------------------------------------------------------


@pytest.mark.parametrize("first", ["h", "x"])
@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_over_a_concatenation(first, transposed):
    """f = σ(W_f [h; x] + b_f), as lectures write an LSTM with column vectors."""
    rng = np.random.default_rng(0)
    matrices = {f"W_{g}": rng.standard_normal((4, 7)) for g in "fiog"}
    biases = {f"b_{g}": rng.standard_normal(4) for g in "fio"}
    given = {n: W.T if transposed else W for n, W in matrices.items()}
    cell = load_concatenated(LSTM(3, 4, dtype=float), {**given, **biases}, first=first)
    x, h, c = (rng.standard_normal(n) for n in (3, 4, 4))
    joint = np.concatenate([h, x] if first == "h" else [x, h])
    a = {g: matrices[f"W_{g}"] @ joint + biases.get(f"b_{g}", 0) for g in "fiog"}
    c_new = sigmoid(a["f"]) * c + sigmoid(a["i"]) * np.tanh(a["g"])
    h_new = sigmoid(a["o"]) * np.tanh(c_new)
    _, (mine, memory) = cell(x, (h, c))
    np.testing.assert_allclose(mine.data, h_new, atol=1e-14)
    np.testing.assert_allclose(memory.data, c_new, atol=1e-14)


def test_bad_input_over_a_concatenation():
    cell = filled(GRU(3, 4))
    before = cell.state_dict()
    given = {"W_z": np.ones((4, 6)), "W_r": np.ones((4, 7)), "W_C": 1, "b_r": np.ones(3)}
    with pytest.raises(ValueError, match=r"load_concatenated\(GRU\): ") as caught:
        load_concatenated(cell, given)
    for part in (
        "W_z is (4, 6), expected (4, 7)",
        "b_r is (3,), expected (4,)",
        "missing W_h (4, 7)",
        "unexpected W_C ()",
    ):
        assert part in str(caught.value)
    assert all((cell.state_dict()[n] == v).all() for n, v in before.items())
    with pytest.raises(ValueError, match=r"first must be one of h, x, got 'c'"):
        load_concatenated(cell, {}, first="c")
    with pytest.raises(ValueError, match=r"no pairs of matrices named W and U; .* A$"):
        load_concatenated(Own(), {})


# safetensors --------------------------------------------------------------------------------------


def test_safetensors_there_and_back(tmp_path):
    needs("safetensors")
    path = tmp_path / "net.safetensors"
    net = filled(Stacked([Bidirectional(LSTM(3, 4), LSTM(3, 4)), GRU(8, 2)]))
    net.save(path)
    again = Stacked([Bidirectional(LSTM(3, 4), LSTM(3, 4)), GRU(8, 2)]).load(path)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], value)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
    with pytest.raises(ValueError, match=r"net\.safetensors: .*missing W \(2, 2\)"):
        Elman(2, 2).load(path)
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors: no such file"):
        net.load(tmp_path / "gone.safetensors")


def test_safetensors_of_every_layout_and_type(tmp_path):
    safetensors = needs("safetensors.numpy")
    path = tmp_path / "a.safetensors"
    shared = np.arange(6.0).reshape(2, 3)
    given = {
        "transposed": shared.T,
        "strided": np.arange(20, dtype=np.float32)[::3],
        "reversed": np.arange(4)[::-1],
        "fortran": np.asfortranarray(shared),
        "shared": shared,
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3)),
        "big": np.arange(3, dtype=">f4"),
        "bool": np.array([True, False]),
        "half": np.ones(2, np.float16),
        **{f"int{n}": np.arange(-2, 2).astype(f"i{n}") for n in (1, 2, 4, 8)},
    }
    save_safetensors(path, given)
    for found in (load_safetensors(path), safetensors.load_file(path)):
        assert set(found) == set(given)
        for name, value in given.items():
            assert found[name].dtype == value.dtype.newbyteorder("="), name
            np.testing.assert_array_equal(found[name], value)
    assert load_safetensors(path)["shared"].flags.writeable
    with pytest.raises(TypeError, match="'x' holds objects"):
        save_safetensors(path, {"x": np.array([None])})


def test_safetensors_with_pytorch(tmp_path):
    torch = needs("torch")
    writer = needs("safetensors.torch")
    path = tmp_path / "w.safetensors"
    layer = torch.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    writer.save_file(layer.state_dict(), path)
    net = Stacked([Bidirectional(LSTM(w, 4), LSTM(w, 4)) for w in (3, 8)])
    load_torch(net, path)
    load_torch(net, str(path))
    save_safetensors(path, to_torch(net))  # tied tensors would be refused: these are copies
    found = writer.load_file(path)
    layer.load_state_dict(found)
    for name, value in to_torch(net).items():
        np.testing.assert_array_equal(found[name].numpy(), value)
    cell = LSTM(3, 4, rng=0)
    save_safetensors(path, to_torch(Bidirectional(cell, cell)))
    torch.nn.LSTM(3, 4, bidirectional=True).load_state_dict(writer.load_file(path))
    half = {k: v.bfloat16() for k, v in layer.state_dict().items()}
    writer.save_file(half, path)
    load_torch(net, path)
    for name, value in half.items():
        if name.startswith("weight"):
            np.testing.assert_array_equal(to_torch(net)[name], value.float().numpy())


def test_npz_of_pytorchs_names(tmp_path):
    save_npz(tmp_path / "w.npz", LSTM_STATE)
    cell = load_torch(LSTM(3, 4), tmp_path / "w.npz")
    np.testing.assert_array_equal(to_torch(cell)["weight_ih_l0"], LSTM_STATE["weight_ih_l0"])


def safetensors_bytes(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_truncated_and_hostile_safetensors_raise_and_run_nothing(tmp_path):
    needs("safetensors")
    path, sprung = tmp_path / "net.safetensors", tmp_path / "sprung"
    net = filled(Elman(3, 4))
    net.save(path)
    whole, before = path.read_bytes(), net.state_dict()

    class Trap:
        def __reduce__(self):
            return (open, (str(sprung), "w"))

    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    hostile = [
        pickle.dumps(Trap()),
        b"",
        struct.pack("<Q", 2**63),
        safetensors_bytes(b"{" * 5000),
        safetensors_bytes(b"\xff\xfe"),
        safetensors_bytes({"W": {**entry, "shape": [10**12]}}, bytes(8)),
        safetensors_bytes({"W": {**entry, "data_offsets": [0, 2**40]}}, bytes(8)),
        safetensors_bytes({"W": {**entry, "data_offsets": [8, 0]}}, bytes(8)),
        safetensors_bytes({"W": entry, "U": entry}, bytes(8)),
        safetensors_bytes({"W": {**entry, "dtype": "object"}}, bytes(8)),
        safetensors_bytes({"W": {**entry, "shape": [-2]}}, bytes(8)),
        safetensors_bytes({"W": entry}, bytes(4)),
        safetensors_bytes({"W": entry}, bytes(99)),
        *(whole[:length] for length in range(0, len(whole), 13)),
    ]
    for content in hostile:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"net\.safetensors: not a readable .* or truncated"):
            net.load(path)
        with pytest.raises(ValueError, match=r"net\.safetensors"):
            load_torch(net, path)
    path.write_bytes(
        safetensors_bytes({"W": {**entry, "dtype": "F8_E4M3", "shape": [8]}}, bytes(8))
    )
    with pytest.raises(ValueError, match=r"W is F8_E4M3, for which NumPy has no type"):
        net.load(path)
    assert all((net.state_dict()[n] == v).all() for n, v in before.items())
    assert not sprung.exists()


def test_missing_extras_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'pip install "unspool\[io\]"'):
        Elman(2, 2).save(tmp_path / "x.safetensors")
    with pytest.raises(ImportError, match=r'pip install "unspool\[io\]"'):
        load_safetensors(tmp_path / "x.safetensors")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "unspool\[onnx\]"'):
        to_onnx(Elman(2, 2))
    assert not list(tmp_path.iterdir())


# ONNX ---------------------------------------------------------------------------------------------


def run_onnx(model, feed):
    """The outputs of a model in onnxruntime, by name."""
    ort = needs("onnxruntime")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


def named_states(module, state, path=""):
    """The last states by the names that they have in ONNX."""
    if isinstance(module, (InputDropout, VariationalDropout)):
        return named_states(module.cell, state, path)
    if isinstance(module, Stacked):
        pairs = [(str(i), member) for i, member in enumerate(module.members)]
    elif isinstance(module, Bidirectional):
        pairs = [("forward", module.forward), ("backward", module.backward)]
    else:
        return {f"{path}{s}": value.data for s, value in zip(module.states, state, strict=True)}
    found = {}
    for (name, member), part in zip(pairs, state, strict=True):
        found |= named_states(member, part, f"{path}{name}.")
    return found


ONNX_MODULES = {
    **{f"Elman {a}": (lambda a=a: Elman(3, 4, a)) for a in ("tanh", "relu", "sigmoid", "identity")},
    **{k.__name__: (lambda k=k: k(3, 4)) for k in (LSTM, GRU, ResetAfterGRU, PeepholeLSTM)},
    **{
        f"{k.__name__} without bias": (lambda k=k: k(3, 4, bias=False))
        for k in (Elman, LSTM, GRU, ResetAfterGRU)
    },
    "stack": lambda: Stacked([LSTM(3, 4), GRU(4, 4), ResetAfterGRU(4, 2)], dropout=0.5),
    "residual": lambda: Stacked([GRU(3, 4), LSTM(4, 4), Elman(4, 4)], residual=True),
    **{
        f"both {m}": (lambda m=m: Bidirectional(LSTM(3, 4), GRU(3, 4), merge=m))
        for m in ("concat", "sum", "mean", "mul")
    },
    "stack of both": lambda: Stacked(
        [Bidirectional(LSTM(3, 4), LSTM(3, 4)), Bidirectional(LSTM(8, 2), LSTM(8, 2))]
    ),
    "both of both": lambda: Bidirectional(
        Stacked([LSTM(3, 2), Bidirectional(GRU(2, 2), Elman(2, 1))]),
        Bidirectional(LSTM(3, 2), PeepholeLSTM(3, 2)),
    ),
    "dropout": lambda: Stacked(
        [VariationalDropout(LSTM(3, 4), 0.5, 0.5), InputDropout(GRU(4, 2), 0.5)]
    ),
}


@pytest.mark.parametrize("lengths", [None, [6, 2, 4], [3, 0, 1]], ids=str)
@pytest.mark.parametrize("name", ONNX_MODULES)
def test_onnx_gives_the_same_numbers(name, lengths):
    needs("onnx")
    module = filled(ONNX_MODULES[name](), scale=0.4).eval()
    xs = np.random.default_rng(1).standard_normal((3, 6, 3)).astype(np.float32)
    feed = {"xs": xs}
    if lengths is not None:
        feed["lengths"] = np.array(lengths, np.int32)
        for row, length in zip(xs, lengths):
            row[length:] = np.nan
    ys, state = unroll(module, xs, lengths=lengths)
    found = run_onnx(to_onnx(module, lengths=lengths is not None), feed)
    expected = {"ys": ys.data, **named_states(module, state)}
    assert set(found) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("lengths", [None, [2, 0, 3]], ids=str)
@pytest.mark.parametrize("name", ["LSTM", "GRU", "stack of both"])
def test_onnx_goes_on_from_a_state(name, lengths):
    needs("onnx")
    module = filled(ONNX_MODULES[name]())
    xs = np.random.default_rng(1).standard_normal((3, 3, 3)).astype(np.float32)
    model = to_onnx(module, lengths=lengths is not None, state=True)
    feed = {"xs": xs} | ({} if lengths is None else {"lengths": np.array(lengths, np.int32)})
    _, before = unroll(module, xs[:, ::-1])
    feed |= {f"{k}_0": v for k, v in named_states(module, before).items()}
    ys, state = unroll(module, xs, before, lengths=lengths)
    found = run_onnx(model, feed)
    for key, value in {"ys": ys.data, **named_states(module, state)}.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-6, err_msg=key)


def test_onnx_operators_are_the_standard_ones(tmp_path):
    onnx = needs("onnx")
    net = Stacked([Bidirectional(LSTM(3, 4), GRU(3, 4)), Elman(8, 2)])
    save_onnx(net, tmp_path / "new" / "net.onnx")
    model = onnx.load(tmp_path / "new" / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    found = {node.op_type: node for node in model.graph.node}
    assert {"LSTM", "GRU", "RNN"} <= set(found)
    assert {node.domain for node in model.graph.node} == {""}
    for kind in ("LSTM", "GRU", "RNN"):
        assert found[kind].input[4] == "lengths"  # sequence_lens
    assert [value.name for value in model.graph.input] == ["xs", "lengths"]
    assert model.producer_name == "unspool"
    # Weights of float64 are exported in float32.
    model = to_onnx(LSTM(3, 4, dtype=float))
    kinds = {c.data_type for c in model.graph.initializer}
    assert onnx.TensorProto.FLOAT in kinds
    assert onnx.TensorProto.DOUBLE not in kinds


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("cell", "layers"), [(LSTM, 1), (GRU, 2), (ResetAfterGRU, 1)])
def test_onnx_of_a_language_model(cell, layers, tied):
    needs("onnx")
    model = LanguageModel(11, 6, cell=cell, layers=layers, tied=tied, dropout=0.2, rng=0).eval()
    filled(model, scale=0.4)
    ids = np.random.default_rng(1).integers(0, 11, (3, 5))
    lengths = np.array([5, 2, 4], np.int32)
    exported = to_onnx(model)
    found = run_onnx(exported, {"ids": ids, "lengths": lengths})
    expected, state = model(ids, lengths=lengths)
    np.testing.assert_allclose(found["logits"], expected.data, rtol=0, atol=1e-6)
    for key, value in named_states(model.cell, state, "cell.").items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-6)
    matrices = [c.name for c in exported.graph.initializer if tuple(c.dims) == (11, 6)]
    assert matrices == ["embedding.E"] + ["V"] * (not tied)  # a tied matrix is stored once


def both(cell=LSTM, **options):
    return Bidirectional(cell(3, 4, rng=0), cell(3, 4, rng=1), **options)


@pytest.mark.parametrize("lengths", [None, [5, 0, 3]], ids=str)
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "sum"])
@pytest.mark.parametrize(
    "network",
    [
        lambda: LSTM(3, 4, rng=0),
        lambda: both(GRU, merge="sum"),
        lambda: Stacked([both(), Elman(8, 4, rng=2)]),
        lambda: Stacked([Elman(3, 4, rng=2), Bidirectional(GRU(4, 3, rng=3), LSTM(4, 2, rng=4))]),
    ],
    ids=["LSTM", "both ways", "stack", "both ways above"],
)
def test_onnx_of_an_acceptor(network, pooling, lengths):
    needs("onnx")
    embedding = Embedding(9, 3, rng=5)
    model = Acceptor(network(), 3, pooling, embedding=embedding, hidden=[5], dropout=0.3, rng=6)
    filled(model, scale=0.4).eval()
    ids = np.random.default_rng(1).integers(0, 9, (3, 5))
    feed = {"ids": ids} | ({} if lengths is None else {"lengths": np.array(lengths, np.int32)})
    found = run_onnx(to_onnx(model, lengths=lengths is not None), feed)
    expected = model.logits(ids, lengths).data
    assert found.keys() == {"logits"}
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("lengths", [None, [5, 1, 3]], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"split": True}, {"crf": CRF(4)}, {"hidden": [6]}], ids=str
)
def test_onnx_of_a_tagger(options, lengths):
    """With a CRF its emissions, from which our own Viterbi gives the tagger's labels."""
    needs("onnx")
    embedding = FeatureEmbedding([9, 5], [2, 1], rng=5)
    model = Transducer(both(), 4, embedding=embedding, dropout=0.3, rng=6, **options)
    filled(model, scale=0.4).eval()
    rng = np.random.default_rng(1)
    ids = np.stack([rng.integers(0, 9, (3, 5)), rng.integers(0, 5, (3, 5))], axis=-1)
    feed = {"ids": ids} | ({} if lengths is None else {"lengths": np.array(lengths, np.int32)})
    found = run_onnx(to_onnx(model, lengths=lengths is not None), feed)["logits"]
    expected = model.logits(ids, lengths).data
    real = np.arange(5) < np.array(lengths or [5, 5, 5])[:, None]
    np.testing.assert_allclose(found[real], expected[real], rtol=0, atol=1e-6)
    if model.crf is not None:
        labels = model.crf.decode(found, mask=real)
        np.testing.assert_array_equal(labels, model.predict(ids, lengths))


def test_onnx_of_models_over_vectors():
    needs("onnx")
    xs = np.random.default_rng(1).standard_normal((2, 4, 3)).astype(np.float32)
    model = filled(Acceptor(LSTM(3, 4, rng=0), 2, "max", rng=1))
    found = run_onnx(to_onnx(model, lengths=False), {"xs": xs})["logits"]
    np.testing.assert_allclose(found, model.logits(xs).data, rtol=0, atol=1e-6)
    residual = Stacked([LSTM(3, 3, rng=0), LSTM(3, 3, rng=1)], residual=True)
    with pytest.raises(ValueError, match='give pooling="mean", "max" or "sum"'):
        to_onnx(Acceptor(residual, 2))
    with pytest.raises(ValueError, match="embedding must be an Embedding"):
        to_onnx(Acceptor(LSTM(3, 4), 2, embedding=lambda x: x))
    with pytest.raises(ValueError, match="a PairwiseCRF reads the states"):
        to_onnx(Transducer(LSTM(3, 4), 2, crf=PairwiseCRF(2, 4)))


def encoder_decoder(attention, scale=None, **options):
    model = EncoderDecoder(9, 8, 6, attention=attention, **options)
    if scale is not None:
        read = model.attention
        model.attention = type(read)(read.d_query, read.d_key, scale=scale)
    return filled(model, scale=0.5).eval()


@pytest.mark.parametrize(
    "options",
    [
        {"attention": None},
        {"attention": None, "cell": GRU, "layers": 2, "bidirectional": True},
        {"attention": "dot"},
        {"attention": "scaled_dot", "cell": ResetAfterGRU, "layers": 2},
        {"attention": "scaled_dot", "scale": "learned"},
        {"attention": "bilinear", "bidirectional": True, "dropout": 0.4},
        {"attention": "bilinear", "scale": 0.5},
        {"attention": "additive", "bidirectional": True, "layers": 2, "cell": GRU},
        {"attention": "additive", "cell": Elman, "scale": "learned"},
    ],
    ids=str,
)
def test_onnx_of_an_encoder_decoder_step_by_step(options):
    """A greedy loop over the two models: the targets, the scores and the attention are ours."""
    needs("onnx")
    model = encoder_decoder(**options)
    source = np.array([[3, 4, 5, 6], [7, 3, 0, 0], [5, 5, 5, 0], [1, 0, 0, 0]])
    lengths = np.array([4, 2, 3, 1], np.int32)
    encoder, step = onnx_steps(model)
    memory: dict[str, np.ndarray] = {}
    found = run_onnx(encoder, {"source": source, "lengths": lengths})
    if model.attention is not None:
        memory = {"keys": found.pop("keys"), "values": found.pop("values"), "lengths": lengths}
    ids, logits, weights, written = np.full(4, model.start), [], [], [np.full(4, model.start)]
    for _ in range(6):
        state = {f"{name}_0": array for name, array in found.items()}
        found = run_onnx(step, {"ids": ids, **state, **memory})
        weights.append(found.pop("attention", None))
        logits.append(found.pop("logits"))
        ids = logits[-1].argmax(-1)
        written.append(ids)
    for row, ours in zip(np.stack(written[1:], 1), model.greedy(source, 6, lengths), strict=True):
        end = np.flatnonzero(row == model.end)
        assert row[: end[0] if len(end) else None].tolist() == ours.tolist()
    target = np.stack(written, axis=1)
    expected = model.logits(source, target, lengths).data
    np.testing.assert_allclose(np.stack(logits, 1), expected, rtol=0, atol=2e-6)
    if model.attention is not None:
        matrix = model.attention_matrix(source, target, lengths)
        np.testing.assert_allclose(np.stack(weights, 1), matrix, rtol=0, atol=2e-6)


class OwnAttention(Attention):
    """Scores of its own."""


def test_an_encoder_decoder_is_no_single_onnx_model():
    needs("onnx")
    with pytest.raises(ValueError, match=r"two models.*unspool\.models\.onnx_steps\(model\)"):
        to_onnx(encoder_decoder(None))
    with pytest.raises(TypeError, match=r"expected an EncoderDecoder, got LSTM.*cells\.to_onnx"):
        onnx_steps(LSTM(3, 4))
    with pytest.raises(ValueError, match="OwnAttention has no exporter; use DotAttention"):
        onnx_steps(encoder_decoder(OwnAttention))


def test_the_page_about_onnx_runs():
    """A language model and an encoder-decoder, step by step in onnxruntime."""
    needs("onnxruntime")
    page = (Path(__file__).parent.parent / "docs" / "onnx.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "onnx.md", "exec"), names)
    model, target = names["model"], names["target"]
    ours = model.greedy(names["source"], 6, names["lengths"])
    for row, ids in zip(target, ours, strict=True):
        end = np.flatnonzero(row == model.end)
        assert row[: end[0] if len(end) else None].tolist() == ids.tolist()
    np.testing.assert_allclose(names["attention"].sum(-1), 1, rtol=1e-5)


def test_onnx_of_layers_outside_of_time():
    needs("onnx")
    xs = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    names = ["elu", "identity", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu"]
    for activation in [*names, "softmax", "softplus", "tanh", None]:
        for bias in (True, False):
            layer = filled(Dense(4, 5, activation, bias=bias))
            found = run_onnx(to_onnx(layer, lengths=False), {"xs": xs})["ys"]
            np.testing.assert_allclose(found, layer(xs).data, rtol=0, atol=2e-6)
    mlp = filled(FeedForward([4, 8, 3], "tanh", final="softmax", dropout=0.5)).eval()
    found = run_onnx(to_onnx(mlp, lengths=False), {"xs": xs})["ys"]
    np.testing.assert_allclose(found, mlp(xs).data, rtol=0, atol=1e-6)
    table = filled(Embedding(7, 4))
    ids = np.array([[0, 6, 3]])
    found = run_onnx(to_onnx(table, lengths=False), {"ids": ids})["ys"]
    np.testing.assert_array_equal(found, table(ids).data)


class Started(LSTM):
    """An initial state of its own."""

    def initial_state(self, batch=None):
        return tuple(s + 1.0 for s in super().initial_state(batch))


class Unknown(Module):
    """Nothing that is known to the export."""


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (Own(), ValueError, r"Own has no counterpart in ONNX, which has Elman, LSTM, PeepholeLSTM"),
        (LayerNormLSTM(3, 4), ValueError, r"LayerNormLSTM has no counterpart in ONNX"),
        (MGU(3, 4), ValueError, r"copy its W_f, U_f, b_f to both of a GRU's gates"),
        (Stacked([LSTM(3, 4), Zoneout(LSTM(4, 4))]), ValueError, r"Zoneout has no counterpart"),
        (Started(3, 4), ValueError, r"its initial state is not 0; export with state=True"),
        (Unknown(), TypeError, r"a model with an exporter, got Unknown"),
        (Dense(3, 4, "gelu"), ValueError, r"Dense's activation must be one of .*, got 'gelu'"),
        (Dense(3, 4, np.sin), ValueError, r"Dense's activation must be one of .*, got 'sin'"),
    ],
)
def test_what_onnx_lacks(module, error, message):
    needs("onnx")
    with pytest.raises(error, match=message):
        to_onnx(module)


def test_a_cell_with_its_own_initial_state_is_fed():
    needs("onnx")
    cell = filled(Started(3, 4))
    xs = np.ones((2, 3, 3), np.float32)
    model = to_onnx(cell, lengths=False, state=True)
    start = {f"{s}_0": value.data for s, value in zip("hc", cell.initial_state(2))}
    np.testing.assert_allclose(
        run_onnx(model, {"xs": xs, **start})["ys"], unroll(cell, xs)[0].data, rtol=0, atol=1e-6
    )
