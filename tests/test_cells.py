"""Cells step by step: each against a formula of its own, and what every Module can do.

The formulas are plain NumPy, written apart from the package: the sigmoid by tanh, sums
by ``einsum``, the gates as one matrix where the package has four.
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from helpers import filled, needs, sigmoid
from unspool import Parameter, Tape, Tensor, check_grads, no_grad, unroll
from unspool.cells import (
    GRU,
    INITIALISERS,
    LSTM,
    MGU,
    ActivatedGRU,
    ActivatedLSTM,
    Bidirectional,
    Cell,
    Elman,
    GatedCell,
    InputDropout,
    LayerNormLSTM,
    Module,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
    VariationalDropout,
    Wrapper,
    Zoneout,
    calculate_gain,
    glorot_uniform,
    identity,
    load_npz,
    orthogonal,
    save_npz,
    uniform,
    zeros,
)

D_IN, D_H = 3, 4


def arrays(module):
    """The values of all attributes that equations read, constants in place of biases too."""
    return {name: x.data for name, x in vars(module).items() if isinstance(x, Tensor)}


# Formulas ---------------------------------------------------------------------------------------


def affine(p, gate, x, h):
    return (
        np.einsum("...i,ij->...j", x, p[f"W{gate}"])
        + np.einsum("...i,ij->...j", h, p[f"U{gate}"])
        + p[f"b{gate}"]
    )


def elman_formula(activation):
    functions = {
        "tanh": np.tanh,
        "relu": lambda a: a * (a > 0),
        "sigmoid": sigmoid,
        "identity": lambda a: a,
        "softplus": lambda a: np.logaddexp(a, 0),
    }
    return lambda p, x, s: (functions[activation](affine(p, "", x, s[0])),)


def lstm_formula(p, x, s):
    h, c = s
    xh = np.concatenate([x, h], axis=-1)
    K = np.block([[p[f"W_{g}"] for g in "fiog"], [p[f"U_{g}"] for g in "fiog"]])
    f, i, o, g = np.split(xh @ K + np.concatenate([p[f"b_{g}"] for g in "fiog"]), 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def peephole_formula(p, x, s):
    h, c = s
    f = sigmoid(affine(p, "_f", x, h) + c * p["p_f"])
    i = sigmoid(affine(p, "_i", x, h) + c * p["p_i"])
    new = f * c + i * np.tanh(affine(p, "_g", x, h))
    return sigmoid(affine(p, "_o", x, h) + new * p["p_o"]) * np.tanh(new), new


def normalised(a, gain):
    deviation = a - np.average(a, axis=-1)[..., None]
    return gain * deviation / np.sqrt((deviation**2).sum(-1, keepdims=True) / a.shape[-1] + 1e-5)


def layer_norm_formula(p, x, s):
    h, c = s
    a = {
        g: normalised(x @ p[f"W_{g}"], p[f"v_{g}"])
        + normalised(h @ p[f"U_{g}"], p[f"u_{g}"])
        + p[f"b_{g}"]
        for g in "fiog"
    }
    c = sigmoid(a["f"]) * c + sigmoid(a["i"]) * np.tanh(a["g"])
    return sigmoid(a["o"]) * np.tanh(normalised(c, p["v_c"]) + p["b_c"]), c


def gru_formula(p, x, s):
    (h,) = s
    z, r = (sigmoid(affine(p, gate, x, h)) for gate in ("_z", "_r"))
    candidate = np.tanh(affine(p, "_h", x, r * h))
    return (h + z * (candidate - h),)


def reset_after_formula(p, x, s):
    (h,) = s
    z, r = (sigmoid(affine(p, gate, x, h)) for gate in ("_z", "_r"))
    n = np.tanh(x @ p["W_n"] + p["b_n"] + r * (h @ p["U_n"] + p["c_n"]))
    return (n + z * (h - n),)


def mgu_formula(p, x, s):
    (h,) = s
    f = sigmoid(affine(p, "_f", x, h))
    return (h + f * (np.tanh(affine(p, "_h", x, f * h)) - h),)


def softsign(a):
    return a / (1 + abs(a))


def relu(a):
    return a * (a > 0)


def activated_lstm_formula(p, x, s):
    h, c = s
    f, i, o, g = (affine(p, f"_{gate}", x, h) for gate in "fiog")
    c = softsign(f) * c + softsign(i) * relu(g)
    return softsign(o) * relu(c), c


def activated_gru_formula(p, x, s):
    (h,) = s
    z, r = (softsign(affine(p, gate, x, h)) for gate in ("_z", "_r"))
    n = relu(x @ p["W_n"] + p["b_n"] + r * (h @ p["U_n"] + p["c_n"]))
    return (n + z * (h - n),)


class RectifiedLSTM(ActivatedLSTM):
    """The one that is tested: relu, and softsign for the gates."""

    def __init__(self, d_in, d_h, **options):
        super().__init__(d_in, d_h, "relu", "softsign", **options)


class RectifiedGRU(ActivatedGRU):
    """The one that is tested: relu, and softsign for the gates."""

    def __init__(self, d_in, d_h, **options):
        super().__init__(d_in, d_h, "relu", "softsign", **options)


FORMULAS = {
    LSTM: lstm_formula,
    GRU: gru_formula,
    PeepholeLSTM: peephole_formula,
    LayerNormLSTM: layer_norm_formula,
    ResetAfterGRU: reset_after_formula,
    MGU: mgu_formula,
    RectifiedLSTM: activated_lstm_formula,
    RectifiedGRU: activated_gru_formula,
}
ROWS = [
    *(
        pytest.param(lambda bias, a=a: Elman(D_IN, D_H, a, bias=bias, dtype=float),
                     elman_formula(a), id=f"Elman-{a}")
        for a in ("tanh", "relu", "sigmoid", "identity", "softplus")
    ),
    *(
        pytest.param(lambda bias, c=c: c(D_IN, D_H, bias=bias, dtype=float), f, id=c.__name__)
        for c, f in FORMULAS.items()
    ),
]  # fmt: skip
every_cell = pytest.mark.parametrize(("make", "formula"), ROWS)


def test_every_cell_has_a_formula():
    kinds, todo = set(), [GatedCell]
    while todo:
        found = todo.pop().__subclasses__()
        kinds.update(kind for kind in found if kind.__module__.startswith("unspool.cells."))
        todo += found
    own = {RectifiedLSTM: ActivatedLSTM, RectifiedGRU: ActivatedGRU}
    assert kinds == {Elman, *(own.get(kind, kind) for kind in FORMULAS)}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (1,), (5,)])
@every_cell
def test_one_step_is_the_formula(make, formula, batch, bias):
    cell = filled(make(bias))
    rng = np.random.default_rng(1)
    x = rng.standard_normal((*batch, D_IN))
    state = tuple(rng.standard_normal((*batch, D_H)) for _ in cell.states)
    y, new = cell(x, state)
    expected = formula(arrays(cell), x, state)
    assert len(new) == len(expected) == len(cell.states)
    for mine, theirs in zip(new, expected):
        np.testing.assert_allclose(mine.data, theirs, rtol=0, atol=1e-14)
    assert y is new[0]


@pytest.mark.parametrize("size", [30.0, 1000.0])
@every_cell
def test_saturated_cells_stay_finite_and_right(make, formula, size):
    cell = filled(make(True))
    rng = np.random.default_rng(2)
    x = size * rng.choice([-1.0, 1.0], (6, D_IN))
    state = tuple(rng.standard_normal((6, D_H)) for _ in cell.states)
    xs = Tensor(x, requires_grad=True)
    y, new = cell(xs, state)
    for mine, theirs in zip(new, formula(arrays(cell), x, state)):
        np.testing.assert_allclose(mine.data, theirs, rtol=1e-12, atol=1e-12)
    y.sum().backward()
    assert np.isfinite(xs.grad).all()
    assert all(np.isfinite(p.grad).all() for p in cell.parameters())


@every_cell
def test_gradients_of_three_steps(make, formula):
    cell = filled(make(True), scale=0.5)
    rng = np.random.default_rng(3)
    xs = rng.standard_normal((2, 3, D_IN))
    state = [rng.standard_normal((2, D_H)) for _ in cell.states]

    def run(xs, state, *parameters):
        return unroll(cell, xs, tuple(state), lengths=[3, 2])

    check_grads(run, [xs, state, *cell.parameters()])


@every_cell
def test_second_gradients_of_one_step(make, formula):
    cell = filled(make(True), scale=0.5)
    rng = np.random.default_rng(4)
    state = [rng.standard_normal((1, D_H)) for _ in cell.states]
    check_grads(lambda x, s: cell(x, tuple(s)), [rng.standard_normal((1, D_IN)), state], order=2)


@every_cell
def test_float32_is_kept(make, formula):
    cell = make(True)
    small = type(cell)(D_IN, D_H, rng=0)
    assert {p.dtype for p in small.parameters()} == {np.dtype(np.float32)}
    ys, state = unroll(small, np.ones((2, 3, D_IN), np.float32), lengths=[3, 1])
    ys.sum().backward()
    assert {ys.dtype, *(s.dtype for s in state)} == {np.dtype(np.float32)}
    assert {p.grad.dtype for p in small.parameters()} == {np.dtype(np.float32)}


SCOPES = {
    Elman: set(),
    LSTM: {"forget", "input", "output", "candidate"},
    PeepholeLSTM: {"forget", "input", "output", "candidate"},
    LayerNormLSTM: {"forget", "input", "output", "candidate"},
    GRU: {"update", "reset", "candidate"},
    ResetAfterGRU: {"update", "reset", "candidate"},
    MGU: {"forget", "candidate"},
    ActivatedLSTM: {"forget", "input", "output", "candidate"},
    ActivatedGRU: {"update", "reset", "candidate"},
}


def test_other_activations_by_default_are_the_usual_ones():
    x = np.random.default_rng(0).standard_normal((3, 2, D_IN))
    for kind, other in ((ActivatedLSTM, LSTM), (ActivatedGRU, ResetAfterGRU)):
        one, two = filled(kind(D_IN, D_H, dtype=float)), filled(other(D_IN, D_H, dtype=float))
        np.testing.assert_allclose(unroll(one, x)[0].data, unroll(two, x)[0].data, rtol=1e-13)
    with pytest.raises(ValueError, match=r"ActivatedLSTM: gate must be one of .*, got 'step'"):
        ActivatedLSTM(D_IN, D_H, gate="step")
    own = ActivatedLSTM(D_IN, D_H, lambda a: a * 0.5, dtype=float)
    assert unroll(own, x)[0].shape == (3, 2, D_H)


@pytest.mark.parametrize("kind", SCOPES)
def test_gates_are_scopes_inside_the_steps(kind):
    ys, _ = unroll(kind(D_IN, D_H), np.zeros((1, 2, D_IN), np.float32))
    paths = {record.scope for record in Tape(ys)}
    name = kind.__name__.lower()
    assert {p[2] for p in paths if len(p) > 2} == SCOPES[kind]
    assert {p[:2] for p in paths if len(p) > 1} == {(name, "t=1"), (name, "t=2")}


def test_parameters_and_their_first_values():
    cell = LSTM(D_IN, D_H, rng=0)
    names = [name for name, _ in cell.named_parameters()]
    assert names == [f"{letter}_{gate}" for gate in "fiog" for letter in "WUb"]
    assert (cell.b_f.data == 1).all()
    assert all((b.data == 0).all() for b in (cell.b_i, cell.b_o, cell.b_g))
    for U in (cell.U_f, cell.U_g):
        np.testing.assert_allclose(U.data.T @ U.data, np.eye(D_H), atol=1e-6)
    assert abs(cell.W_f.data).max() <= np.sqrt(6 / (D_IN + D_H))
    assert [n for n, _ in ResetAfterGRU(1, 1).named_parameters()][-1] == "c_n"
    assert (MGU(D_IN, D_H).b_f.data == 1).all()
    assert (PeepholeLSTM(D_IN, D_H).b_f.data == 1).all()


def test_without_peepholes_a_peephole_lstm_is_an_lstm():
    plain, peephole = filled(LSTM(D_IN, D_H, dtype=float)), PeepholeLSTM(D_IN, D_H, dtype=float)
    peephole.load_state_dict({**peephole.state_dict(), **plain.state_dict()})
    x, state = np.ones((2, D_IN)), tuple(np.full((2, D_H), 0.3) for _ in "hc")
    for a, b in zip(plain(x, state)[1], peephole(x, state)[1]):
        np.testing.assert_array_equal(a.data, b.data)


def test_the_two_grus_are_different_functions():
    x, state = np.ones((1, D_IN)), (np.ones((1, D_H)),)
    cell, other = filled(GRU(D_IN, D_H, dtype=float)), ResetAfterGRU(D_IN, D_H, dtype=float)
    renamed = {name.replace("_h", "_n"): value for name, value in cell.state_dict().items()}
    other.load_state_dict({**renamed, "c_n": np.zeros(D_H)})
    # With z mirrored the update is the same; the reset is still before or after the product.
    other.W_z.data *= -1
    other.U_z.data *= -1
    other.b_z.data *= -1
    difference = cell(x, state)[0].data - other(x, state)[0].data
    assert abs(difference).max() > 1e-3
    cell.b_r.data[...] = other.b_r.data[...] = 1000  # r = 1: there is no difference left
    np.testing.assert_allclose(cell(x, state)[0].data, other(x, state)[0].data, atol=1e-12)


def test_the_same_seed_gives_the_same_cell():
    for kind in (Elman, *FORMULAS):
        one, two, other = (kind(D_IN, D_H, rng=seed).state_dict() for seed in (7, 7, 8))
        assert all((one[name] == two[name]).all() for name in one)
        assert any((one[name] != other[name]).any() for name in one)
    rng = np.random.default_rng(7)
    first, second = Elman(D_IN, D_H, rng=rng), Elman(D_IN, D_H, rng=rng)
    assert (first.W.data != second.W.data).any()


# The lectures' numbers --------------------------------------------------------------------------


def test_lstm_practice_of_the_lecture():
    """Gated RNNs, practice: W_f x + U_f h = [2, 24] for column vectors; rows here."""
    cell = LSTM(2, 2, dtype=float)
    cell.W_f.data[...] = np.array([[1, 1], [0, 1]]).T
    cell.U_f.data[...] = np.array([[0, 0], [2, 3]]).T
    cell.b_f.data[...] = 0
    _, (h, _) = cell(np.array([1.0, 1.0]), (np.array([4.0, 5.0]), np.zeros(2)))
    forget = [r.output for r in Tape(h) if "forget" in r.scope]
    np.testing.assert_array_equal(forget[-2].data, [2, 24])
    np.testing.assert_allclose(forget[-1].data, [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-24))])


def test_classwork_of_the_lecture_on_rnns():
    """h = U h + W x, o = softmax(V h): predicts ADJ, then NOUN."""
    cell = Elman(3, 2, "identity", dtype=float)
    cell.W.data[...] = np.array([[2, 0, -1], [1, -1, 1]]).T
    cell.U.data[...] = np.array([[2, 0], [1, 2]]).T
    V = np.array([[1, 0], [-1, 1], [0, 3]])
    ys, _ = unroll(cell, [[1.0, 0, 0], [0, 0, 1]], (np.array([1.0, -1]),))
    scores = ys.data @ V.T
    np.testing.assert_array_equal(scores, [[4, -4, 0], [7, -2, 15]])
    assert [("ADJ", "VERB", "NOUN")[k] for k in scores.argmax(axis=1)] == ["ADJ", "NOUN"]


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LSTM(0, 4), r"LSTM: d_in must be an integer >= 1, got 0"),
        (lambda: Elman(3, 4, "softmax"), r"activation must be one of tanh, relu, .*got 'softmax'"),
        (lambda: LSTM(3, 4, W_init="he"), r"one of glorot_uniform, .*orthogonal.*got 'he'"),
        (lambda: LSTM(3, 4)(np.ones((2, 5))), r"LSTM: expected x of \(batch, 3\) or \(3,\).*5"),
        (lambda: LSTM(3, 4)(np.ones((2, 5, 3))), r"unroll\(cell, xs\) runs over time"),
        (lambda: LSTM(3, 4)(1.0), r"LSTM: expected x of \(batch, 3\)"),
        (lambda: LSTM(3, 4)(np.ones((2, 3)), np.ones((2, 4))), r"the state \(h, c\), a tuple, got"),
        (
            lambda: GRU(3, 4)(np.ones((2, 3)), (1, 2)),
            r"the state \(h,\), a tuple, got a tuple of 2",
        ),
        (
            lambda: LSTM(3, 4)(np.ones((2, 3)), (np.ones((2, 4)), np.ones((2, 5)))),
            r"LSTM: expected the state c of \(2, 4\), got c_0 \(2, 5\)",
        ),
        (
            lambda: LSTM(3, 4)(np.ones(3), (np.ones((1, 4)), np.ones((1, 4)))),
            r"LSTM: expected the state h of \(4,\), got h_0 \(1, 4\)",
        ),
    ],
)
def test_bad_input_to_cells(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GRU(3, 2.5), r"GRU: d_h must be an integer >= 1, got 2\.5"),
        (lambda: Elman("3", 4), r"Elman: d_in must be an integer >= 1, got '3'"),
    ],
)
def test_widths_that_are_no_integers(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_cell_that_forgets_its_equations_or_its_tuple():
    class Empty(Cell):
        def __init__(self):
            self.d_in = self.d_h = 2

    class NoTuple(Empty):
        def forward(self, x, state):
            return x

    class TwoStates(Empty):
        def forward(self, x, state):
            return x, x

    with pytest.raises(NotImplementedError, match=r"Empty defines no forward\(x, state\)"):
        Empty()(np.ones(2))
    for kind, got in ((NoTuple, r".* \(2,\) float64"), (TwoStates, "a tuple of 2")):
        message = (
            rf"{kind.__name__}.forward must return the new state as a tuple, \(h,\), got {got}"
        )
        with pytest.raises(TypeError, match=message):
            kind()(np.ones(2))
        with pytest.raises(TypeError, match=message):
            unroll(kind(), np.ones((3, 2)))


# Initialisers -----------------------------------------------------------------------------------


# Printed ----------------------------------------------------------------------------------------


def test_a_module_prints_its_structure():
    net = Stacked([LSTM(3, 4), Bidirectional(Elman(4, 2, "relu"), Elman(4, 2), merge="sum")])
    lines = str(net).splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["Stacked"], ["0", "LSTM(3,"], ["1", "Bidirectional(merge='sum')"],
        ["forward", "Elman(4,"], ["backward", "Elman(4,"],
    ]  # fmt: skip
    assert "W_f W_i W_o W_g (3, 4)   U_f U_i U_o U_g (4, 4)   b_f b_i b_o b_g (4,)" in lines[1]
    assert "activation='relu'" in lines[3]
    counts = [int(line.split()[-1]) for line in lines if line.split()[-1].isdigit()]
    assert counts == [4 * (3 * 4 + 4 * 4 + 4), 4 * 2 + 2 * 2 + 2, 4 * 2 + 2 * 2 + 2]
    assert lines[-1] == f"{sum(counts)} parameters"
    assert repr(net) == f"Stacked({sum(counts)} parameters)"


def test_ties_frozen_parameters_and_shared_modules_are_said_when_printed():
    class Net(Module):
        def __init__(self) -> None:
            self.E = Parameter(np.zeros((7, 2)))
            self.layers = [Elman(2, 2), Elman(2, 2)]
            self.again = self.layers[0]
            self.V = self.E
            self.scalar = Parameter(0.5)

    net = Net()
    net.layers[1].freeze()
    lines = str(net).splitlines()
    assert " ".join(lines[0].split()) == "Net E (7, 2) V = E scalar () 15"
    assert [line.split()[0] for line in lines[1:4]] == ["layers.0", "layers.1", "again"]
    assert lines[3].rstrip().endswith("above")
    assert lines[-1] == "35 parameters, 10 of them frozen"
    assert net.size() == 35


GAINS = {"identity": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": 2**0.5, "selu": 0.75}


def test_gains():
    for name, gain in GAINS.items():
        assert calculate_gain(name) == pytest.approx(gain, rel=1e-15)
    assert calculate_gain("leaky_relu", 0.2) == pytest.approx((2 / 1.04) ** 0.5, rel=1e-15)
    with pytest.raises(ValueError, match=r"calculate_gain: the nonlinearity .* got 'gelu'"):
        calculate_gain("gelu")
    torch = needs("torch")
    for name in [*GAINS, "linear", "leaky_relu"]:
        theirs = torch.nn.init.calculate_gain("linear" if name == "identity" else name)
        assert calculate_gain(name) == pytest.approx(theirs, rel=1e-15)


def test_initialisers():
    rng = np.random.default_rng(0)
    wide = glorot_uniform(rng, 300, 500)
    assert abs(wide).max() <= np.sqrt(6 / 800) < abs(wide).max() * 1.001
    assert abs(wide.mean()) < 1e-3
    narrow = uniform(rng, 300, 400)
    assert 0.99 / 20 < abs(narrow).max() <= 1 / 20
    for shape in ((5, 5), (3, 7), (7, 3)):
        q = orthogonal(rng, *shape, dtype=float)
        short = q @ q.T if shape[0] <= shape[1] else q.T @ q
        np.testing.assert_allclose(short, np.eye(min(shape)), atol=1e-12)
    assert (identity(rng, 2, 3) == [[1, 0, 0], [0, 1, 0]]).all()
    assert zeros(rng, 2, 3, np.float16).dtype == np.float16


VARIANCES = {
    "glorot_uniform": lambda d_in, d_out: 2 / (d_in + d_out),
    "glorot_normal": lambda d_in, d_out: 2 / (d_in + d_out),
    "he_uniform": lambda d_in, d_out: 2 / d_in,
    "he_normal": lambda d_in, d_out: 2 / d_in,
    "lecun_uniform": lambda d_in, d_out: 1 / d_in,
    "lecun_normal": lambda d_in, d_out: 1 / d_in,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_initialisers_have_the_variance_of_their_paper(name):
    make = INITIALISERS[name]
    W = make(np.random.default_rng(0), 300, 700, np.float64)
    assert W.shape == (300, 700)
    variance = VARIANCES[name](300, 700)
    assert W.var() == pytest.approx(variance, rel=0.01)
    assert abs(W.mean()) < 0.005 * np.sqrt(variance)
    limit = np.sqrt(3) if "uniform" in name else 2 / 0.8796256610342398
    assert 0.99 * limit < abs(W).max() / np.sqrt(variance) <= limit
    tall = make(np.random.default_rng(0), 300, 700, np.float64, (3, 100, 7))
    assert tall.shape == (3, 100, 7)
    assert abs(tall).max() / np.sqrt(variance) <= limit
    assert LSTM(3, 4, W_init=name).W_f.shape == (3, 4)


def test_orthogonal_matrices_are_drawn_evenly():
    """The mean of a uniform orthogonal matrix is 0; bare QR keeps signs of its diagonal."""
    rng = np.random.default_rng(0)
    mean = np.mean([orthogonal(rng, 2, 2, float) for _ in range(4000)], axis=0)
    assert abs(mean).max() < 0.05


def test_cells_take_initialisers_by_name_and_by_function():
    cell = Elman(3, 3, "relu", W_init="zeros", U_init="identity")
    assert not cell.W.data.any()
    assert (cell.U.data == np.eye(3)).all()
    cell = GRU(3, 4, U_init="uniform", W_init=lambda rng, n, m, dtype: np.full((n, m), 2, dtype))
    assert all((W.data == 2).all() for W in (cell.W_z, cell.W_r, cell.W_h))
    assert abs(cell.U_h.data).max() <= 0.5


# Dropout and zoneout ----------------------------------------------------------------------------


def wrapped(kind, cell, **options):
    return {
        InputDropout: lambda: InputDropout(cell, 0.5, **options),
        VariationalDropout: lambda: VariationalDropout(cell, 0.5, 0.5, **options),
        Zoneout: lambda: Zoneout(cell, 0.5, **options),
    }[kind]()


every_wrapper = pytest.mark.parametrize("kind", [InputDropout, VariationalDropout, Zoneout])
every_kind = pytest.mark.parametrize("inner", [Elman, *FORMULAS])


@every_kind
@every_wrapper
def test_wrappers_go_around_every_cell(kind, inner):
    cell = wrapped(kind, filled(inner(D_IN, D_H, dtype=float)), rng=0)
    xs = np.random.default_rng(1).standard_normal((2, 5, D_IN))
    ys, state = unroll(cell, xs, lengths=[5, 2])
    assert [s.shape for s in state] == [(2, D_H)] * len(inner.states)
    (ys.sum() + sum(s.sum() for s in state)).backward()
    assert all(np.isfinite(p.grad).all() for p in cell.parameters())
    assert next(n for n, _ in cell.named_parameters()).startswith("cell.W")
    again = wrapped(kind, filled(inner(D_IN, D_H, dtype=float)), rng=0)
    np.testing.assert_array_equal(unroll(again, xs, lengths=[5, 2])[0].data, ys.data)
    assert (unroll(again, xs, lengths=[5, 2])[0].data != ys.data).any()


@pytest.mark.parametrize("kind", [InputDropout, VariationalDropout])
def test_dropout_is_the_cell_itself_in_eval(kind):
    inner = filled(LSTM(D_IN, D_H, dtype=float))
    cell = wrapped(kind, inner).eval()
    xs = np.random.default_rng(1).standard_normal((2, 5, D_IN))
    np.testing.assert_array_equal(unroll(cell, xs)[0].data, unroll(inner, xs)[0].data)
    np.testing.assert_array_equal(cell(xs[:, 0])[0].data, inner(xs[:, 0])[0].data)


def test_input_dropout_is_drawn_for_every_element():
    cell = InputDropout(Elman(1000, 1, "identity", W_init="zeros", dtype=float), 0.25, rng=0)
    cell.cell.W.data[...] = 1.0
    cell.cell.U.data[...] = 0.0
    ys, _ = unroll(cell, np.ones((3, 4, 1000)))
    kept = ys.data.ravel() * 0.75  # how many of 1000 are there
    assert len(set(kept.round())) > 6
    assert abs(kept.mean() - 750) < 15


def test_variational_dropout_has_the_same_masks_at_every_step():
    inner = filled(GRU(D_IN, D_H, dtype=float))
    cell = VariationalDropout(inner, 0.5, 0.5, rng=3)
    xs = np.random.default_rng(1).standard_normal((2, 6, D_IN))
    ys, _ = unroll(cell, xs)
    # The same by hand: the masks of that seed on x and on the h that the gates read.
    rng = np.random.default_rng(3)
    m_x = 2.0 * (rng.random((D_IN, 1)) >= 0.5)[:, 0]
    m_h = 2.0 * (rng.random((D_H, 1)) >= 0.5)[:, 0]
    assert 0 < m_x.sum() < 2 * D_IN
    assert 0 < m_h.sum() < 2 * D_H
    p, h = arrays(inner), np.zeros((2, D_H))
    for t in range(6):
        x, seen = xs[:, t] * m_x, h * m_h
        z, r = (sigmoid(affine(p, gate, x, seen)) for gate in ("_z", "_r"))
        candidate = np.tanh(affine(p, "_h", x, (r * h) * m_h))
        h = (1 - z) * h + z * candidate  # what carries h past the gates is not dropped
        np.testing.assert_allclose(ys.data[:, t], h, atol=1e-12)


def test_variational_dropout_over_a_loop_of_single_steps():
    xs = np.random.default_rng(1).standard_normal((2, 6, D_IN))
    cell = VariationalDropout(filled(LSTM(D_IN, D_H, dtype=float)), 0.5, 0.5, rng=3)
    ys, _ = unroll(cell, xs)
    cell.rng = np.random.default_rng(3)
    step, state = cell.sampled(), None
    for t in range(6):
        y, state = step(xs[:, t], state)
        np.testing.assert_allclose(y.data, ys.data[:, t], rtol=1e-13)
    inner = filled(GRU(D_H, D_H, dtype=float))
    stack = Stacked([cell, VariationalDropout(inner, recurrent=0.5)])

    def seeded():
        cell.rng, stack.members[1].rng = (np.random.default_rng(seed) for seed in (3, 4))
        return stack

    ys, _ = unroll(seeded(), xs)
    step, state = seeded().sampled(), None
    for t in range(6):
        y, state = step(xs[:, t], state)
        np.testing.assert_allclose(y.data, ys.data[:, t], rtol=1e-13)


def test_variational_dropout_reaches_the_cell_inside_of_another_wrapper():
    inner = filled(LSTM(D_IN, D_H, dtype=float))
    cell = VariationalDropout(Zoneout(inner, 0.0), recurrent=1.0, rng=0)
    state = tuple(np.ones((1, D_H)) for _ in "hc")
    plain = inner(np.ones((1, D_IN)), (np.zeros((1, D_H)), np.ones((1, D_H))))[0]
    np.testing.assert_array_equal(cell(np.ones((1, D_IN)), state)[0].data, plain.data)
    outside = Zoneout(VariationalDropout(inner, recurrent=1.0), 0.0)
    np.testing.assert_array_equal(outside(np.ones((1, D_IN)), state)[0].data, plain.data)


def test_the_mean_of_variational_dropout_is_the_cell():
    inner = Elman(D_IN, D_H, "identity", rng=0, dtype=float)
    cell = VariationalDropout(inner, 0.5, 0.5, rng=0)
    x, h = np.ones(D_IN), (np.ones(D_H),)
    mean = np.mean([cell(x, h)[0].data for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, inner(x, h)[0].data, atol=0.1)


def test_zoneout_keeps_old_values():
    inner = filled(LSTM(D_IN, 500, dtype=float), scale=0.1)
    cell = Zoneout(inner, (0.25, 1.0), rng=0)
    x, state = np.ones((2, D_IN)), (np.full((2, 500), 0.5), np.full((2, 500), 0.25))
    _, (h, c) = cell(x, state)
    _, (new_h, new_c) = inner(x, state)
    kept = h.data == 0.5
    np.testing.assert_array_equal(h.data, np.where(kept, 0.5, new_h.data))
    assert abs(kept.mean() - 0.25) < 0.05
    assert (c.data == 0.25).all()
    _, (h, c) = cell.eval()(x, state)
    np.testing.assert_allclose(h.data, 0.25 * 0.5 + 0.75 * new_h.data, atol=1e-15)
    assert (c.data == 0.25).all()
    _, (h, c) = Zoneout(inner, 0.0)(x, state)
    np.testing.assert_array_equal(h.data, new_h.data)
    np.testing.assert_array_equal(c.data, new_c.data)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Zoneout(LSTM(3, 4), 1.5), ValueError, r"probability from 0 to 1, got 1\.5"),
        (lambda: Zoneout(LSTM(3, 4), (0.1,)), ValueError, r"2, one for each of \(h, c\), got 1"),
        (
            lambda: InputDropout(LSTM(3, 4), -0.1),
            ValueError,
            r"InputDropout: p must be a probability",
        ),
        (lambda: VariationalDropout(LSTM(3, 4), "x"), TypeError, r"inputs must be a probability"),
        (lambda: Zoneout(Stacked([LSTM(3, 4)])), TypeError, r"wraps one Cell, got Stacked"),
        (lambda: InputDropout(3), TypeError, r"InputDropout wraps one Cell, got 3"),
        (
            lambda: VariationalDropout(LSTM(3, 4), 0.1, names=("A", "U")),
            ValueError,
            r"LSTM has no matrix A\.\.\. of 3 rows; its parameters are W_f, U_f, b_f",
        ),
    ],
)
def test_bad_input_to_wrappers(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Module -----------------------------------------------------------------------------------------


class Net(Module):
    """Parameters everywhere where a Module finds them, one of them tied."""

    def __init__(self):
        self.E = Parameter(np.arange(6.0).reshape(3, 2))
        self.cell = Elman(2, 2, rng=0)
        self.more = [Parameter([1.0]), {"a": Parameter([2.0]), "b": (Elman(1, 1, rng=1),)}]
        self.V = self.E
        self.constant = np.ones(3)


def test_parameters_are_found_in_order_and_once():
    net = Net()
    names = [name for name, _ in net.named_parameters()]
    inner = [f"more.1.b.0.{n}" for n in "WUb"]
    assert names == ["E", "cell.W", "cell.U", "cell.b", "more.0", "more.1.a", *inner]
    assert len(net.parameters()) == len(set(net.parameters())) == len(names)
    assert net.size() == 6 + 4 + 4 + 2 + 1 + 1 + 3
    assert net.E.name == "E"
    assert [type(m).__name__ for m in net.modules()] == ["Net", "Elman", "Elman"]
    assert repr(net) == "Net(21 parameters)"


def test_the_order_does_not_depend_on_the_hash_seed():
    code = (
        "from unspool.cells import *\n"
        "s = Stacked([Bidirectional(LSTM(1, 1), GRU(1, 1)), PeepholeLSTM(2, 1)])\n"
        "print([n for n, _ in s.named_parameters()])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "0.forward.W_f" in outputs.pop()


def test_a_state_dict_is_a_copy_and_comes_back():
    net, other = Net(), Net()
    state = net.state_dict()
    state["E"] += 1
    assert net.E.data[0, 0] == 0
    before = other.E, other.E.data
    values = before[1].copy()
    other.load_state_dict(state)
    assert other.E is before[0]
    assert other.E.data is not before[1]  # a new array: tapes hold the old one
    assert (before[1] == values).all()
    assert (other.E.data == state["E"]).all()
    assert other.V is other.E
    other.load_state_dict({name: value.astype(np.float64) for name, value in state.items()})
    assert other.cell.W.dtype == np.float32


def test_loading_takes_an_alias_with_equal_values():
    net = Net()
    state = net.state_dict()
    net.load_state_dict({**state, "V": state["E"]})
    without = {name: value for name, value in state.items() if name != "E"}
    net.load_state_dict({**without, "V": state["E"] + 5})
    assert net.E.data[0, 0] == 5
    with pytest.raises(ValueError, match="V differs from E, to which it is tied"):
        net.load_state_dict({**state, "V": state["E"] + 1})


def test_loading_names_every_problem_and_changes_nothing():
    net = Net()
    before, state = net.state_dict(), net.state_dict()
    state["E"] = state["E"] + 1
    state["cell.W"] = np.ones((3, 2))
    state["cell.U"] = np.array([["a", "b"], ["c", "d"]])
    state["wrong"] = np.ones(2)
    del state["more.0"]
    with pytest.raises(ValueError, match=r"Net\.load_state_dict: ") as caught:
        net.load_state_dict(state)
    for part in (
        "cell.W is (3, 2), expected (2, 2)",
        "cell.U holds <U1, expected numbers",
        "unexpected wrong (2,)",
        "missing more.0 (1,)",
    ):
        assert part in str(caught.value)
    assert all((net.state_dict()[name] == value).all() for name, value in before.items())
    with pytest.raises(TypeError, match=r"expected a dict of arrays by name, got a list"):
        net.load_state_dict([1, 2])


def test_a_tape_keeps_the_values_that_it_recorded():
    cell = filled(LSTM(2, 3), 1)
    ys, _ = unroll(cell, np.ones((1, 4, 2)))
    before = Tape(ys.sum()).gradients()[cell.W_f]
    cell.load_state_dict(filled(LSTM(2, 3), 2).state_dict())
    np.testing.assert_array_equal(Tape(ys.sum()).gradients()[cell.W_f], before)


@pytest.mark.parametrize("kind", [lambda p: p.data * 2, lambda p: p * 2], ids=["array", "Tensor"])
def test_nothing_but_a_parameter_takes_a_parameters_place(kind):
    cell = GRU(2, 3)
    with pytest.raises(TypeError, match=r"GRU\.W_z is a Parameter, got .*net\.W_z\.data = "):
        cell.W_z = kind(cell.W_z)
    cell.W_z = new = Parameter(np.ones((2, 3)))
    assert cell.W_z is new
    assert new.name == "W_z"
    plain = GRU(2, 3, bias=False)  # a bias that is no Parameter may be replaced
    plain.b_z = plain.b_z + 1


def test_train_and_eval_and_freeze():
    net = Stacked([Zoneout(LSTM(2, 2)), GRU(2, 2)], dropout=0.5)
    assert net.training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train() is net
    assert all(m.training for m in net.modules())
    assert net.freeze() is net
    ys, _ = unroll(net, np.ones((1, 2, 2), np.float32))
    assert not ys.requires_grad
    net.unfreeze()
    ys, _ = unroll(net, np.ones((1, 2, 2), np.float32))
    ys.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_modules_are_copied_and_pickled_whole():
    net = Stacked([LSTM(2, 3, rng=0), GRU(3, 3, rng=1)])
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(other) is type(net)
        other.members[0].W_f.data += 1
        assert (other.members[0].W_f.data != net.members[0].W_f.data).all()
        assert unroll(other, np.ones((1, 2, 2), np.float32))[0].shape == (1, 2, 3)


# Files ------------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    path = tmp_path / "new" / "net.npz"
    net, other = filled(Net(), 1), filled(Net(), 2)
    net.save(path)
    assert other.load(path) is other
    assert all((other.state_dict()[n] == v).all() for n, v in net.state_dict().items())
    with np.load(path) as archive:  # NumPy reads it too
        assert set(archive.files) == set(net.state_dict())
        assert (archive["cell.W"] == net.cell.W.data).all()
    assert [p.name for p in path.parent.iterdir()] == ["net.npz"]
    np.savez_compressed(tmp_path / "numpys.npz", **net.state_dict())
    assert (filled(Net(), 3).load(tmp_path / "numpys.npz").E.data == net.E.data).all()


def test_arrays_of_every_kind_come_back(tmp_path):
    given = {
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "strided": np.arange(10)[::2],
        "bool": np.array([True, False]),
        "ümlaut/name": np.arange(3, dtype=">i2"),
        "half": np.ones(2, np.float16),
    }
    save_npz(tmp_path / "a.npz", given)
    found = load_npz(tmp_path / "a.npz")
    assert list(found) == list(given)
    for name, value in given.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    Net().save(path)
    old = path.read_bytes()
    with pytest.raises(TypeError, match="'bad' holds objects"):
        save_npz(path, {"bad": np.array([object()])})

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        Net().save(path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.npz: no such file"):
        Net().load(tmp_path / "gone.npz")


def test_a_truncated_file_raises_at_every_length_and_changes_nothing(tmp_path):
    path = tmp_path / "net.npz"
    net = filled(Net(), 1)
    net.save(path)
    whole, before = path.read_bytes(), net.state_dict()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"net\.npz: not a readable \.npz file, or truncated"):
            net.load(path)
    assert all((net.state_dict()[name] == value).all() for name, value in before.items())


def test_damaged_bytes_raise_or_are_noticed_by_their_checksum(tmp_path):
    path = tmp_path / "net.npz"
    net = filled(Net(), 1)
    net.save(path)
    whole = bytearray(path.read_bytes())
    expected = net.state_dict()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(whole), 150):
        damaged = whole.copy()
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                net.load(path)
            except ValueError:
                refused += 1
        # Either it was refused or the byte was one that says nothing (a date, say).
        assert all((net.state_dict()[n] == v).all() for n, v in expected.items())
    assert refused > 75


class Trap:
    """Unpickled, it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(header, data=b""):
    header = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def test_hostile_files_raise_and_run_nothing(tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / "net.npz"
    trap = np.empty(1, object)
    trap[0] = Trap(sprung)
    pickled = pickle.dumps(Trap(sprung))
    as_npy = io.BytesIO()
    np.save(as_npy, trap, allow_pickle=True)
    huge = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }")
    negative = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8), }", b"0" * 64)
    code = npy("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (1,), }")
    nested = npy("(" * 110)
    for content in (pickled, as_npy.getvalue(), b"", b"PK\x03\x04", b"\x00" * 1000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"not a readable \.npz file"):
            load_npz(path)
    for content in (as_npy.getvalue(), pickled, huge, negative, code, nested, b"", b"x" * 300):
        zipped(path, {"E.npy": content})
        with pytest.raises(ValueError, match=r"not a readable \.npz file"):
            load_npz(path)
    bomb = npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**27},), }}")
    zipped(path, {"E.npy": bomb + bytes(2**20)})
    with pytest.raises(ValueError, match=r"claims float64 \(134217728,\)"):
        load_npz(path)
    size = 3 * 10**9  # in the header and in the archive's directory; there are 100 bytes
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size - 128},), }}"
    zipped(path, {"E.npy": npy(header) + bytes(100)})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, size)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"claims uint8 \(2999999872,\)"):
        load_npz(path)
    for suffix in (".pt", ".pkl"):
        path = tmp_path / f"net{suffix}"
        path.write_bytes(pickled)
        with pytest.raises(ValueError, match="a pickle can run any code"):
            Net().load(path)
    assert not sprung.exists()
    assert not Path("E.npy").exists()


def test_nothing_is_recorded_without_gradients():
    with no_grad():
        ys, _ = unroll(LSTM(2, 2), np.ones((1, 3, 2), np.float32))
    assert len(Tape(ys)) == 0


def test_a_wrapper_by_itself_does_nothing():
    inner = filled(LSTM(D_IN, D_H, dtype=float))
    x = np.ones((2, D_IN))
    np.testing.assert_array_equal(Wrapper(inner)(x)[0].data, inner(x)[0].data)
