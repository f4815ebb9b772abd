"""The equations that are read off a tape: each cell's against those of its docstring and paper."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import needs
from unspool import Parameter, Tape, Tensor, no_grad, scope, unroll
from unspool.autograd import cross_entropy, embedding, sigmoid, softmax
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    Bidirectional,
    Cell,
    Elman,
    LayerNormLSTM,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
)
from unspool.models import Dense, LanguageModel
from unspool.viz import equations
from unspool.viz.equations import latex_of
from unspool.viz.formulas import Equations
from unspool.viz.structure import read


def gate(letter, function=r"\sigma", extra=""):
    x, h = rf"x_t \, W_{letter}", rf"h_{{t-1}} \, U_{letter}"
    return rf"{letter}_t = {function}({x} + {h}{extra} + b_{letter})"


def peephole(letter, memory="c_{t-1}"):
    return gate(letter, extra=rf" + p_{letter} \odot {memory}")


def normed(letter, function=r"\sigma"):
    x = rf"\mathrm{{LN}}(x_t \, W_{letter}) \odot v_{letter}"
    h = rf"\mathrm{{LN}}(h_{{t-1}} \, U_{letter}) \odot u_{letter}"
    return rf"{letter}_t = {function}({x} + {h} + b_{letter})"


MEMORY = r"c_t = f_t \odot c_{t-1} + i_t \odot g_t"
OUTPUT = r"h_t = o_t \odot \tanh(c_t)"
EXPECTED = {
    Elman: [r"h_t = \tanh(x_t \, W + h_{t-1} \, U + b)"],
    LSTM: [gate("f"), gate("i"), gate("o"), gate("g", r"\tanh"), MEMORY, OUTPUT],
    GRU: [
        gate("z"),
        gate("r"),
        r"\tilde{h}_t = \tanh(x_t \, W_h + (r_t \odot h_{t-1}) \, U_h + b_h)",
        r"h_t = (1 - z_t) \odot h_{t-1} + z_t \odot \tilde{h}_t",
    ],
    ResetAfterGRU: [
        gate("z"),
        gate("r"),
        r"n_t = \tanh(x_t \, W_n + b_n + r_t \odot (h_{t-1} \, U_n + c_n))",
        r"h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}",
    ],
    PeepholeLSTM: [
        peephole("f"),
        peephole("i"),
        gate("g", r"\tanh"),
        MEMORY,
        peephole("o", "c_t"),
        OUTPUT,
    ],
    LayerNormLSTM: [
        normed("f"),
        normed("i"),
        normed("o"),
        normed("g", r"\tanh"),
        MEMORY,
        r"h_t = o_t \odot \tanh(\mathrm{LN}(c_t) \odot v_c + b_c)",
    ],
    MGU: [
        gate("f"),
        r"\tilde{h}_t = \tanh(x_t \, W_h + (f_t \odot h_{t-1}) \, U_h + b_h)",
        r"h_t = (1 - f_t) \odot h_{t-1} + f_t \odot \tilde{h}_t",
    ],
}


class Leaky(Cell):
    """A cell of one's own: a scope without a letter, a number, a value used twice."""

    def __init__(self, d_in, d_h):
        self.d_in, self.d_h = d_in, d_h
        self.W = Parameter(np.ones((d_in, d_h)))
        self.a = Parameter(np.ones(d_h))

    def forward(self, x, state):
        (h,) = state
        with scope("drive"):
            u = np.tanh(x @ self.W)
        keep = sigmoid(self.a)
        return (keep * h + (1 - keep) * (0.5 * u - h / 2),)


class Reader(Leaky):
    """A cell whose output is not its state."""

    def output(self, state):
        return softmax(state[0] @ self.W.T)


@pytest.mark.parametrize("cell", EXPECTED)
def test_every_cell_shows_its_equations(cell):
    assert equations(cell(3, 4), latex=True) == EXPECTED[cell]


@pytest.mark.parametrize("cell", [LSTM, GRU, PeepholeLSTM])
def test_a_bias_that_is_not_there_is_not_written(cell):
    with_bias, without = equations(cell(3, 4)), equations(cell(3, 4, bias=False))
    assert [line.replace(" + b_", "") for line in without] == without
    for a, b in zip(with_bias, without, strict=True):
        letter = a[0] if a[1] == "_" else "h"
        assert a.replace(f" + b_{letter}", "") == b


def test_a_cell_of_ones_own():
    assert equations(Leaky(3, 4)) == [
        "drive_t = tanh(x_t W)",
        "v_{1,t} = σ(a)",
        "h_t = v_{1,t} ⊙ h_{t-1} + (1 - v_{1,t}) ⊙ (0.5 drive_t - h_{t-1} / 2)",
    ]
    assert equations(Leaky(3, 4), latex=True)[-1] == (
        r"h_t = v_{1,t} \odot h_{t-1} + (1 - v_{1,t}) \odot "
        r"(0.5 \, \mathrm{drive}_t - \frac{h_{t-1}}{2})"
    )
    assert equations(Reader(3, 4))[-1] == "y_t = softmax(h_t Wᵀ)"


def test_the_lectures_names_of_the_inner_quantities():
    lines = equations(LSTM(3, 4), inner=True)
    assert lines[4:] == [
        "k_t = f_t ⊙ c_{t-1}",
        "j_t = i_t ⊙ g_t",
        "c_t = k_t + j_t",
        "h_t = o_t ⊙ tanh(c_t)",
    ]


def test_a_reversed_pass_comes_from_the_step_after():
    ys, _ = unroll(GRU(3, 4), np.ones((5, 3), np.float32), reverse=True)
    lines = equations(ys)
    assert lines[0] == "z_t = σ(x_t W_z + h_{t+1} U_z + b_z)"
    assert lines[-1] == "ys = [h_1; …; h_5]"


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_matrices_stand_one_below_the_other_or_side_by_side(axis):
    U, W = (Parameter(np.full((2, 2), float(n)), name=name) for n, name in enumerate("UW"))
    y = np.concatenate([U, W], axis=axis)
    (line,) = equations(y)
    rows = [row.split(", ") for row in line.removeprefix("y = [").removesuffix("]").split("; ")]
    drawn = np.block([[{"U": U, "W": W}[name].data for name in row] for row in rows])
    np.testing.assert_array_equal(drawn, y.data)
    sign = r"\\" if axis == 0 else "&"
    wanted = rf"y = \begin{{bmatrix}} U {sign} W \end{{bmatrix}}"
    assert equations(y, latex=True) == [wanted]
    # In columns U and W stand for the transposes of the code's.
    assert equations(y, columns=True) == ["y = [U, W]" if axis == 0 else "y = [U; W]"]


def test_the_rows_or_columns_of_a_matrix_are_vectors():
    u, w = (Parameter(np.full(2, float(n)), name=name) for n, name in enumerate("uw"))
    assert equations(np.stack([u, w])) == ["y = [u; w]"]
    assert equations(np.stack([u, w], axis=1)) == ["y = [u, w]"]
    assert equations(np.concatenate([u, w])) == ["y = [u; w]"]  # a long vector


class Joined(Cell):
    """h' = tanh([h; x] [U; W]), for a single sequence and for a batch."""

    states = ("h",)

    def __init__(self, d_in, d_h):
        self.d_in, self.d_h = d_in, d_h
        rng = np.random.default_rng(0)
        self.U, self.W = (Parameter(rng.normal(size=(n, d_h))) for n in (d_h, d_in))

    def forward(self, x, state):
        (h,) = state
        weights = np.concatenate([self.U, self.W])
        return (np.tanh(np.concatenate([h, x], axis=-1) @ weights),)


@pytest.mark.parametrize("shape", [(3, 2), (4, 3, 2)])
def test_vectors_are_joined_as_in_the_textbook(shape):
    ys, _ = unroll(Joined(2, 3), np.ones(shape))
    assert equations(ys)[0] == "h_t = tanh([h_{t-1}; x_t] [U; W])"
    assert equations(ys, columns=True)[0] == "h_t = tanh([U, W] [h_{t-1}; x_t])"


def test_layers_and_directions_are_told_apart():
    deep = Stacked([Bidirectional(Elman(3, 4), Elman(3, 4)), Elman(8, 2)])
    assert equations(deep, latex=True) == [
        rf"{over}{{h}}_t^{{(1)}} = \tanh(x_t^{{(1)}} \, {over}{{W}}^{{(1)}} "
        rf"+ {over}{{h}}_{{t{sign}1}}^{{(1)}} \, {over}{{U}}^{{(1)}} + {over}{{b}}^{{(1)}})"
        for over, sign in ((r"\overrightarrow", "-"), (r"\overleftarrow", "+"))
    ] + [
        r"x_t^{(2)} = [\overrightarrow{h}_t^{(1)}; \overleftarrow{h}_t^{(1)}]",
        r"h_t^{(2)} = \tanh(x_t^{(2)} \, W^{(2)} + h_{t-1}^{(2)} \, U^{(2)} + b^{(2)})",
    ]


def test_a_parameter_of_two_loops_is_one():
    cell = Elman(3, 3)
    ys, state = unroll(cell, np.ones((2, 3), np.float32))
    again, _ = unroll(cell, ys, state)
    lines = equations(again)
    assert lines[0] == "h_t^(1) = tanh(x_t^(1) W + h_{t-1}^(1) U + b)"
    assert lines[-2] == "h_t^(2) = tanh(x_t^(2) W + h_{t-1}^(2) U + b)"


def test_a_tied_language_model():
    rng = np.random.default_rng(0)
    E = Parameter(rng.standard_normal((7, 3)), name="E")
    ys, _ = unroll(Elman(3, 3, dtype=float), embedding(E, np.array([1, 2, 3])))
    assert equations(cross_entropy(ys @ E.T, np.array([2, 3, 4]))) == [
        "x_t = E[ids_t]",
        "h_t = tanh(x_t W + h_{t-1} U + b)",
        "ys = [h_1; h_2; h_3]",
        "L = CE(ys Eᵀ)",
    ]


def test_without_time():
    x = Tensor(np.ones((2, 3)), name="x")
    with scope("hidden"):
        h = Dense(3, 4, "tanh", rng=0, dtype=float)(x)
    assert equations(np.sqrt((h * h).sum()), latex=True) == [
        r"\mathrm{hidden} = \tanh(x \, W + b)",
        r"L = \sqrt{\sum(\mathrm{hidden} \odot \mathrm{hidden})}",
    ]


def test_every_record_has_a_statement():
    tape = Tape(unroll(LSTM(2, 3), np.ones((2, 2), np.float32))[0])
    lines = Equations(read(tape))
    said = [lines.statement(i) for i in range(len(tape))]
    assert said[0] == "x_1 = xs_1"
    for t in (1, 2):
        assert f"f_{t} = σ(x_{t} W_f + h_{t - 1} U_f + b_f)" in said
        assert f"k_{t} = f_{t} ⊙ c_{t - 1}" in said
        assert f"tanh(c_{t})" in said
    assert said[-1] == "ys = [h_1; h_2]"


def test_an_endless_chain_is_broken_into_lines():
    x = y = Tensor(np.ones(2), name="x")
    for _ in range(5_000):
        y = np.tanh(y) + x
    lines = equations(y)
    assert max(map(len, lines)) < 400
    assert lines[-1].startswith("y = tanh(")
    assert len(lines) > 100


# Against the values ----------------------------------------------------------------------------

OPS = {
    "+": np.add,
    "-": np.subtract,
    "⊙": np.multiply,
    "/": np.divide,
    "neg": np.negative,
    "tanh": np.tanh,
    "square": np.square,
}


@st.composite
def programs(draw):
    return draw(
        st.recursive(
            st.sampled_from("abc"),
            lambda inner: st.one_of(
                st.tuples(st.sampled_from(["+", "-", "⊙", "/"]), inner, inner),
                st.tuples(st.sampled_from(["neg", "tanh", "square"]), inner),
            ),
            max_leaves=8,
        )
    )


@given(programs())
@settings(max_examples=300)
def test_parentheses_stand_where_they_must(program):
    """The text of an equation, computed, gives what the tape gave."""
    values = {"a": 0.7, "b": -1.3, "c": 2.1}
    leaves = {name: Tensor(np.full(2, value), name=name) for name, value in values.items()}

    def run(node):
        if isinstance(node, str):
            return leaves[node]
        op, *parts = node
        return OPS[op](*map(run, parts))

    with np.errstate(all="ignore"):
        y = run(program)
        if y._record is None:
            return
        lines = Equations(read(Tape(y)), inner=False)
        lines.write()
        text = lines.formulas[-1].text.replace("⊙", "*").replace("^", "**")
        names = {name: np.float64(value) for name, value in values.items()}
        for i, name in lines.names.items():
            names[name.base] = lines.s.records[i].output.data[0]
        names["tanh"] = np.tanh
        np.testing.assert_allclose(eval(text, {}, names), y.data[0], rtol=1e-9)


# Backpropagation through time -----------------------------------------------------------------


def of_gate(letter, left="x_t", right="h_{t-1}"):
    """The gradients of a gate's parameters: what they multiplied, times the gate's δ."""
    delta = f"δ_{{{letter},t}}"
    letter = letter[0]
    return [
        f"∂L/∂W_{letter} = Σ_t {left}ᵀ {delta}",
        f"∂L/∂U_{letter} = Σ_t {right}ᵀ {delta}",
        f"∂L/∂b_{letter} = Σ_t {delta}",
    ]


def through(matrix, gates):
    """What comes back through the matrices of several gates."""
    return " + ".join(f"δ_{{{letter},t}} {matrix}_{letter[0]}ᵀ" for letter in gates)


# Derived by hand: the chain rule through the cells' equations, with σ' = σ (1 - σ) and
# tanh' = 1 - tanh². As in Greff et al. (2017) for the LSTM, without peepholes.
BY_HAND = {
    Elman: [
        "δ_t = ∂L/∂h_t ⊙ (1 - h_t^2)",
        "∂L/∂h_{t-1} = δ_t Uᵀ + ∂L/∂y_{t-1}",
        "∂L/∂x_t = δ_t Wᵀ",
        "∂L/∂W = Σ_t x_tᵀ δ_t",
        "∂L/∂U = Σ_t h_{t-1}ᵀ δ_t",
        "∂L/∂b = Σ_t δ_t",
    ],
    LSTM: [
        "∂L/∂c_t = ∂L/∂h_t ⊙ o_t ⊙ (1 - tanh(c_t)^2) + ∂L/∂c_{t+1} ⊙ f_{t+1}",
        "δ_{o,t} = ∂L/∂h_t ⊙ tanh(c_t) ⊙ o_t ⊙ (1 - o_t)",
        "δ_{g,t} = ∂L/∂c_t ⊙ i_t ⊙ (1 - g_t^2)",
        "δ_{i,t} = ∂L/∂c_t ⊙ g_t ⊙ i_t ⊙ (1 - i_t)",
        "δ_{f,t} = ∂L/∂c_t ⊙ c_{t-1} ⊙ f_t ⊙ (1 - f_t)",
        f"∂L/∂h_{{t-1}} = {through('U', 'fiog')} + ∂L/∂y_{{t-1}}",
        f"∂L/∂x_t = {through('W', 'fiog')}",
        *of_gate("f"),
        *of_gate("i"),
        *of_gate("o"),
        *of_gate("g"),
    ],
    GRU: [
        "δ_{h̃,t} = ∂L/∂h_t ⊙ z_t ⊙ (1 - h̃_t^2)",
        "δ_{r,t} = δ_{h̃,t} U_hᵀ ⊙ h_{t-1} ⊙ r_t ⊙ (1 - r_t)",
        "δ_{z,t} = ∂L/∂h_t ⊙ (h̃_t - h_{t-1}) ⊙ z_t ⊙ (1 - z_t)",
        f"∂L/∂h_{{t-1}} = {through('U', 'zr')} + δ_{{h̃,t}} U_hᵀ ⊙ r_t + ∂L/∂h_t ⊙ (1 - z_t)"
        " + ∂L/∂y_{t-1}",
        f"∂L/∂x_t = {through('W', ['z', 'r', 'h̃'])}",
        *of_gate("z"),
        *of_gate("r"),
        *of_gate("h̃", right="(r_t ⊙ h_{t-1})"),
    ],
    ResetAfterGRU: [
        "δ_{n,t} = ∂L/∂h_t ⊙ (1 - z_t) ⊙ (1 - n_t^2)",
        "δ_{r,t} = δ_{n,t} ⊙ (h_{t-1} U_n + c_n) ⊙ r_t ⊙ (1 - r_t)",
        "δ_{z,t} = ∂L/∂h_t ⊙ (h_{t-1} - n_t) ⊙ z_t ⊙ (1 - z_t)",
        f"∂L/∂h_{{t-1}} = {through('U', 'zr')} + (δ_{{n,t}} ⊙ r_t) U_nᵀ + ∂L/∂h_t ⊙ z_t"
        " + ∂L/∂y_{t-1}",
        f"∂L/∂x_t = {through('W', 'zrn')}",
        *of_gate("z"),
        *of_gate("r"),
        "∂L/∂W_n = Σ_t x_tᵀ δ_{n,t}",
        "∂L/∂U_n = Σ_t h_{t-1}ᵀ (δ_{n,t} ⊙ r_t)",
        "∂L/∂b_n = Σ_t δ_{n,t}",
        "∂L/∂c_n = Σ_t δ_{n,t} ⊙ r_t",
    ],
}


@pytest.mark.parametrize("cell", BY_HAND)
def test_the_equations_of_the_pass_back_are_those_derived_by_hand(cell):
    assert sorted(equations(cell(3, 4), backward=True)) == sorted(BY_HAND[cell])


def test_vectors_of_the_pass_back_may_be_columns():
    lines = equations(Elman(3, 4), backward=True, columns=True)
    assert lines[1:5] == [
        "∂L/∂h_{t-1} = Uᵀ δ_t + ∂L/∂y_{t-1}",
        "∂L/∂x_t = Wᵀ δ_t",
        "∂L/∂W = Σ_t δ_t x_tᵀ",
        "∂L/∂U = Σ_t δ_t h_{t-1}ᵀ",
    ]
    latex = equations(Elman(3, 4), backward=True, columns=True, latex=True)
    assert latex[0] == (r"\delta_t = \frac{\partial L}{\partial h_t} \odot (1 - {h_t}^{2})")
    assert latex[4] == r"\frac{\partial L}{\partial U} = \sum_t \delta_t \, h_{t-1}^\top"


def test_the_pass_back_is_read_within_no_grad_too():
    with no_grad():
        assert sorted(equations(Elman(3, 4), backward=True)) == sorted(BY_HAND[Elman])


def test_a_parameter_that_was_updated_since_keeps_its_name():
    cell = Elman(3, 4, rng=0, dtype=float)
    ys, _ = unroll(cell, np.ones((3, 3)))
    lines = equations(ys.sum(), backward=True)
    cell.U.data = cell.U.data * 2
    assert equations(ys.sum(), backward=True) == lines
    assert "∂L/∂x_t = δ_t Wᵀ" in lines


def test_inner_gradients_have_lines_of_their_own():
    lines = equations(LSTM(3, 4), backward=True, inner=True)
    assert "∂L/∂o_t = ∂L/∂h_t ⊙ tanh(c_t)" in lines
    assert "δ_{o,t} = ∂L/∂o_t ⊙ o_t ⊙ (1 - o_t)" in lines


def test_the_pass_back_of_layers_and_of_a_reversed_pass():
    lines = equations(Stacked([Elman(3, 4), Elman(4, 3)]), backward=True)
    assert "∂L/∂h_{t-1}^(1) = δ_t^(1) U^(1)ᵀ + ∂L/∂x_{t-1}^(2)" in lines
    assert "∂L/∂h_{t-1}^(2) = δ_t^(2) U^(2)ᵀ + ∂L/∂y_{t-1}^(2)" in lines
    both = equations(Bidirectional(Elman(3, 4), Elman(3, 4)), backward=True)
    assert "∂L/∂U\u20d6 = Σ_t h\u20d6_{t+1}ᵀ δ\u20d6_t" in both
    assert "∂L/∂U\u20d7 = Σ_t h\u20d7_{t-1}ᵀ δ\u20d7_t" in both


def test_the_pass_back_from_a_loss():
    model = LanguageModel(9, 4, cell=Elman, rng=0)
    lines = equations(model.loss([3, 4, 5, 6]), backward=True)
    assert lines[:2] == [
        "∂L/∂scores = (softmax(scores) - onehot(target)) / 3",
        "∂L/∂ys = ∂L/∂scores E",
    ]
    assert "∂L/∂E = onehot(ids)ᵀ ∂L/∂embedding + ∂L/∂scoresᵀ ys" in lines


def test_the_pass_back_of_a_long_loop():
    xs = np.ones((1_500, 2))
    lines = equations((unroll(Elman(2, 3, dtype=float), xs)[0] ** 2).sum(), backward=True)
    assert lines[0] == "∂L/∂ys = 2 ys"
    assert lines[-1] == "∂L/∂b = Σ_t δ_t"


class M(np.ndarray):
    """A matrix whose ``**`` is the matrix product, which binds more closely than ``*``."""

    def __pow__(self, other):
        return np.matmul(self, other).view(M)

    @property
    def squared(self):
        return self * self


NAME = r"(?:[A-Za-zδσ]\u0303?|drive)"
SYMBOL = re.compile(rf"(∂L/∂)?(?<![\w.])({NAME})(?:_(\{{[^}}]*\}}|[A-Za-z0-9]))?(?![\w(])")


def solve(cell, xs, seed):
    """Every gradient of ``(ys * seed).sum()`` by the equations that are printed, and no others."""
    ys, _ = unroll(cell, xs)
    tape, steps = Tape(ys), len(xs)
    names = Equations(read(tape))
    values, shapes = {}, {}
    for i, name in names.names.items():
        if name.when:
            value = np.atleast_2d(tape[i].output.data).view(M)
            base = name.base + ("\u0303" if name.bar else "")
            values[base, int(name.when)] = value
            shapes[base] = value.shape
    parameters = {x.name: np.atleast_2d(x.data).view(M) for x in tape.leaves if x.requires_grad}
    for base in ("h", "c"):
        values.setdefault((base, 0), np.zeros((1, cell.d_h)).view(M))
    printed = {}
    for line in equations(cell, backward=True):
        left, right = line.split(" = ", 1)
        kind, letter, low = SYMBOL.fullmatch(left).groups()
        printed[key(kind, letter, low)[0]] = (key(kind, letter, low)[1], right)
    known = {}

    def look_up(kind, letter, low, t):
        name, offset = key(kind, letter, low)
        if offset is None:
            return parameters[name]
        t += offset
        if name == "∂L/∂y":
            return seed[t - 1 : t].view(M) if t <= steps else np.zeros((1, cell.d_h)).view(M)
        if name in printed:
            if t > steps:
                return np.zeros((1, cell.d_h)).view(M)
            if (name, t) not in known:
                ahead, right = printed[name]
                known[name, t] = evaluate(right, t - ahead)
            return known[name, t]
        return values.get((name, t), np.zeros(shapes.get(name, (1, cell.d_h))).view(M))

    def evaluate(text, t):
        if text.startswith("Σ_t "):
            return sum(evaluate(text[4:], t) for t in range(1, steps + 1))
        text = text.replace("ᵀ", ".T").replace("^2", ".squared").replace("⊙", "*")
        text = SYMBOL.sub(lambda m: f"look_up({m[1]!r}, {m[2]!r}, {m[3]!r}, t)", text)
        text = re.sub(r"\[(.*?) > 0\]", r"(\1 > 0)", text)
        text = re.sub(r"(?<=\d) (?=[(l])", " * ", text)
        text = re.sub(r"(?<=[)T]) (?=[(l])", " ** ", text)
        return eval(text, {"look_up": look_up, "t": t, "tanh": np.tanh})

    grads = Tape((ys * seed).sum()).gradients()
    for x in tape.leaves:
        if x.requires_grad:
            found = evaluate(printed[f"∂L/∂{x.name}"][1], None)
            np.testing.assert_allclose(np.squeeze(found), grads[x], rtol=1e-10, atol=1e-12)


def key(kind, letter, low):
    """A name without its time, and how far from t it is: None for a parameter."""
    subs = (low or "").strip("{}").split(",")
    offset = None
    if subs[-1].startswith("t"):
        offset = int(subs.pop()[1:] or 0)
    return (kind or "") + "_".join([letter, *filter(None, subs)]), offset


CELLS = [Elman, LSTM, GRU, ResetAfterGRU, PeepholeLSTM, MGU, Leaky]


@pytest.mark.parametrize("make", CELLS)
def test_the_printed_equations_give_the_gradients(make):
    rng = np.random.default_rng(0)
    cell = make(3, 4)
    for name, x in cell.named_parameters():
        x.data = rng.normal(size=x.shape) * (0.3 if name == "h" else 0.7)
    solve(cell, rng.normal(size=(5, 3)), rng.normal(size=(5, 4)))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "identity"])
def test_the_printed_equations_of_other_functions(activation):
    rng = np.random.default_rng(1)
    cell = Elman(3, 4, activation, rng=1, dtype=float)
    solve(cell, rng.normal(size=(5, 3)), rng.normal(size=(5, 4)))


def test_a_wrong_equation_is_found():
    """The check is checked, with the mistake of a lost derivative of tanh."""
    lines = equations(LSTM(3, 4), backward=True)
    wrong = [line.replace("(1 - tanh(c_t)^2)", "tanh(c_t)") for line in lines]
    rng = np.random.default_rng(0)
    cell = LSTM(3, 4, rng=0, dtype=float)
    patched = mock.patch.dict(globals(), {"equations": lambda *_, **__: wrong})
    with patched, pytest.raises(AssertionError):
        solve(cell, rng.normal(size=(5, 3)), rng.normal(size=(5, 4)))


# LaTeX -----------------------------------------------------------------------------------------


def all_kinds():
    cells = [cell(3, 4) for cell in EXPECTED]
    yield from [*cells, Leaky(3, 4), Reader(3, 4), Stacked([LSTM(3, 4), GRU(4, 2)])]
    x, W = Tensor(np.ones((2, 3)), name="x"), Parameter(np.ones((3, 3)), name="W_ih")
    yield np.abs(x) ** 2 / np.sqrt(x + 1) - np.exp(-x).max()
    yield np.maximum(x, 0)[:, 1] * np.linalg.norm(W)
    yield np.einsum("ij,jk->ik", x, W) + np.stack([x, x, x, x, x, x])[2, ..., :]
    for name in ("<b>&amp;", "$\\frac{", 'a"b', "snow ☃", "%_#~^{}", "x" * 5_000, "a\nb\0c", "é_ü"):
        with scope(name):
            yield np.tanh(Tensor(np.ones(2), name=name) + 1) * 2


@pytest.mark.slow
def test_latex_can_be_set():
    mathtext = needs("matplotlib.mathtext")
    parser = mathtext.MathTextParser("path")
    count = 0
    for what in all_kinds():
        lines = equations(what, latex=True)
        for line in [*lines, *equations(what, latex=True, backward=True)]:
            assert parser.parse(f"${line}$").width > 0, line
            assert "\n" not in line
            assert len(line) < 600
            count += 1
    assert count > 50


def test_a_notebook_shows_a_cells_equations():
    text = LSTM(3, 4)._repr_latex_()
    assert text == latex_of(LSTM(3, 4))
    assert text.startswith("$$\\begin{aligned}\nf_t &= \\sigma(")
    assert text.endswith(
        "c_t &= " + MEMORY[6:] + " \\\\\nh_t &= " + OUTPUT[6:] + "\n\\end{aligned}$$"
    )
    assert "^{(1)}" in Stacked([LSTM(3, 4), GRU(4, 4)])._repr_latex_()
    assert r"\overrightarrow{h}_t" in Bidirectional(LSTM(3, 4), GRU(3, 4))._repr_latex_()
    assert Dense(3, 4)._repr_latex_() is None


def test_to_show_equations_changes_nothing():
    deep = Stacked([LSTM(3, 4, rng=0), LSTM(4, 4, rng=1)], dropout=0.5, rng=3)
    twin = Stacked([LSTM(3, 4, rng=0), LSTM(4, 4, rng=1)], dropout=0.5, rng=3)
    before = {id(m): dict(vars(m)) for m in deep.modules()}
    assert "dropout" not in deep._repr_latex_()
    assert {id(m): dict(vars(m)) for m in deep.modules()} == before
    xs = np.ones((5, 3), np.float32)
    np.testing.assert_array_equal(unroll(deep, xs)[0].data, unroll(twin, xs)[0].data)
    deep.train()._repr_latex_()
    assert all(m.training for m in deep.modules())


def test_equations_of_what_has_none():
    with pytest.raises(TypeError, match="equations: expected a Tensor, a Tape, or a cell, got int"):
        equations(3)
    with pytest.raises(ValueError, match=r"equations: the Tensor x .* has no tape behind it"):
        equations(Tensor([1.0], name="x"))


def test_vectors_may_be_columns():
    lines = equations(LSTM(3, 4), columns=True)
    assert lines[0] == "f_t = σ(W_f x_t + U_f h_{t-1} + b_f)"
    assert lines[3] == "g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)"
    tied = equations(LanguageModel(9, 4, cell=Elman, rng=0).loss([3, 4, 5]), columns=True)
    assert any(re.search(r"= E ys", line) for line in tied)  # scores = ys Eᵀ in rows
    x, W = Tensor(np.ones(3), name="x"), Parameter(np.eye(3), name="W")
    V = Parameter(np.eye(3), name="V")
    assert equations(np.tanh(x @ W) @ V, columns=True) == ["y = V tanh(W x)"]
    assert equations(W @ x, columns=True) == ["y = W x"]  # as it stands in the code
    (latex,) = equations(x @ W.T, columns=True, latex=True)
    assert latex == r"y = W \, x"


class GateAndProduct(Cell):
    """An LSTM-like memory whose scopes enclose the products with the gates."""

    def __init__(self, d_in, d_h):
        self.d_in, self.d_h = d_in, d_h
        rng = np.random.default_rng(0)
        self.W_f, self.W_i = (Parameter(rng.standard_normal((d_in, d_h))) for _ in "fi")

    def forward(self, x, state):
        (h,) = state
        with scope("forget"):
            kept = h * sigmoid(x @ self.W_f)
        with scope("input"):
            new = sigmoid(x @ self.W_i) * np.tanh(x @ self.W_i)
        return (kept + new,)


@pytest.mark.parametrize("latex", [False, True])
def test_a_gates_name_is_that_of_the_gate_and_not_of_its_product(latex):
    lines = equations(GateAndProduct(3, 4), latex=latex)
    if latex:
        assert any(line.startswith(r"f_t = \sigma(") for line in lines)
    else:
        assert "f_t = σ(x_t W_f)" in lines
        assert any(line.startswith("h_t = h_{t-1} ⊙ f_t + ") for line in lines)


# Where letters are lacking ------------------------------------------------------------------------

PRINTING = """
import numpy as np
from unspool import Parameter, Tape
from unspool.cells import LSTM, Bidirectional, Elman
from unspool.models import label_scores
from unspool.viz import equations

for backward in (False, True):
    print(equations(LSTM(3, 4), backward=backward))
    print(equations(Bidirectional(Elman(3, 4), Elman(3, 4)), backward=backward))
x = Parameter(np.ones((3, 3)), name="λ")
loss = np.sum(x @ x)
print(Tape(loss).table(values=True, gradients=Tape(loss).gradients()))
g = Tape(loss).gradients(seed=Parameter(1.0))[x]
print(Tape(g))
print(label_scores([0, 1], [0, 1], ["δύο", "é"]))
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_mathematics_can_be_printed_everywhere(encoding, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    run = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", PRINTING], env=environment, capture_output=True
    )
    assert run.returncode == 0, run.stderr.decode()
    printed = run.stdout.decode(encoding)
    lines = printed.splitlines()
    assert ("f_t = σ(x_t W_f + h_{t-1} U_f + b_f)" in lines) == (encoding == "utf-8")
    assert ("f_t = sigmoid(x_t W_f + h_{t-1} U_f + b_f)" in lines) == (encoding != "utf-8")
    assert "?" not in printed


def test_equations_in_ascii():
    for backward in (False, True):
        for cell in (LSTM(3, 4), GRU(3, 4), Bidirectional(LSTM(3, 4), LSTM(3, 4))):
            plain = equations(cell, backward=backward, ascii=True)
            assert "".join(plain).isascii()
            assert "\\" not in "".join(plain)  # every letter has a form of its own
            assert len(set(plain)) == len(set(equations(cell, backward=backward)))
    assert equations(GRU(3, 4), ascii=True)[2] == "h~_t = tanh(x_t W_h + (r_t * h_{t-1}) U_h + b_h)"
    assert equations(GRU(3, 4)) == [*equations(GRU(3, 4))]
