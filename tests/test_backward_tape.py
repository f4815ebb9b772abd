"""The tape of a recorded backward pass: scopes, names and tables; and the table of any tape."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, no_grad, scope, unroll
from unspool.cells import GRU, LSTM, Bidirectional, Elman, ResetAfterGRU, Stacked
from unspool.viz import draw


def nets():
    yield Elman(2, 3, rng=0, dtype=float)
    yield LSTM(2, 3, rng=0, dtype=float)
    yield GRU(2, 3, rng=0, dtype=float)
    yield ResetAfterGRU(2, 3, rng=0, dtype=float)
    yield Stacked([LSTM(2, 3, rng=0, dtype=float), GRU(3, 2, rng=1, dtype=float)])
    yield Bidirectional(Elman(2, 3, rng=0, dtype=float), LSTM(2, 3, rng=1, dtype=float))
    yield Stacked(
        [
            Bidirectional(LSTM(2, 3, rng=0, dtype=float), LSTM(2, 3, rng=1, dtype=float)),
            Elman(6, 2, rng=2, dtype=float),
        ]
    )


def passes(net, batch=()):
    xs = Tensor(np.random.default_rng(0).normal(size=(*batch, 4, 2)), name="xs")
    tape = Tape((unroll(net, xs)[0] ** 2).sum())
    return tape, tape.gradients(Tensor(1.0)), tape.gradients()


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("net", list(nets()), ids=lambda net: type(net).__name__)
def test_a_backward_record_has_the_step_and_gate_of_its_forward_record(net, batch):
    tape, found, _ = passes(net, batch)
    forward = {record.index: record for record in tape}
    backward = [r for r in Tape(*found.values()) if r.origin is not None]
    seen = set()
    for record in backward:
        assert record.scope[0] == "backward"
        if record.origin < 0:  # the gradient of a leaf, from all its uses
            assert record.step is None
            continue
        origin = forward[record.origin]
        own = record.scope[1:]
        assert own == origin.scope[: len(own)]
        assert record.step == origin.step
        seen.add(record.origin)
        if len(own) < len(origin.scope):  # a sum: it stands in the step, outside of the gate
            assert record.op in ("add", "concatenate", "unbroadcast", "scatter_add", "transpose")
    assert seen >= {r.index for r in tape if r.op in ("tanh", "sigmoid", "multiply")}


@pytest.mark.parametrize("net", list(nets()), ids=lambda net: type(net).__name__)
def test_the_recorded_gradients_are_the_gradients(net):
    _, found, wanted = passes(net)
    assert set(found) == set(wanted)
    for x, g in wanted.items():
        np.testing.assert_allclose(found[x].data, g, rtol=1e-12, atol=1e-15)


def test_a_recorded_gradient_is_called_after_what_it_is_of():
    tape, found, _ = passes(LSTM(2, 3, rng=0, dtype=float))
    names = {x.name: g.name for x, g in found.items() if x.name and g._record is not None}
    assert names["h_2"] == "∂L/∂h_2"
    assert names["U_f"] == "∂L/∂U_f"
    assert "∂L/∂h_2" in str(Tape(*found.values()))
    own = Tensor(1.0, name="mine")
    assert Tape(tape.outputs[0]).gradients(own)[tape.outputs[0]].name == "mine"


def test_the_scope_around_a_recorded_pass_stays_as_it_was():
    W = Parameter([[0.5]], name="W")
    with scope("outer"):
        y = (np.tanh(W @ W)).sum()
        g = Tape(y).gradients(Tensor(1.0))[W]
        after = g * 2
    assert Tape(after)[-1].scope == ("outer",)
    assert Tape(g)[-1].origin is not None
    second = Tape(g.sum()).gradients(Tensor(1.0))[W]
    assert Tape(second)[-1].scope[:1] == ("backward",)
    with no_grad():
        assert Tape(y).gradients(Tensor(1.0))[W]._record is None


def test_the_pass_back_can_be_printed_and_drawn():
    _, found, _ = passes(LSTM(2, 3, rng=0, dtype=float))
    tape = Tape(*found.values())
    lines = str(tape).splitlines()
    assert sum("backward / lstm / forget" in line for line in lines) > 12
    for level in ("cell", "gate", "op"):
        text = draw(tape, level=level).render("svg").decode()
        assert "backward" in text


# Tables -----------------------------------------------------------------------------------------


def test_a_table_has_values_and_adjoints():
    a, b = Parameter(2.0, name="a"), Parameter(5.0, name="b")
    tape = Tape(np.log(a) + a * b - np.sin(b))  # the example of Baydin et al. (2018), table 3
    text = str(tape.table(values=True, gradients=tape.gradients())).splitlines()
    rows = {line.split("  ")[0].strip(): line.split() for line in text[1:]}
    assert text[0].split() == ["#", "op", "operands", "result", "value", "adjoint"]
    assert [line.split()[-2:] for line in text[1:3]] == [["2", "5.5"], ["5", "1.716"]]
    assert [rows[n][-1] for n in "12345"] == ["1", "1", "1", "-1", "1"]
    assert rows["5"][-2] == "11.65"


def test_a_table_sums_up_large_arrays_and_leaves_gaps():
    x = Tensor(np.arange(12.0), name="x")
    ids = Tensor(np.array([1, 2]), name="ids")
    tape = Tape(x * 2, ids * 3)
    grads = tape.gradients([np.ones(12), None])
    text = str(tape.table(values=True, gradients=grads))
    assert f"‖·‖ = {np.linalg.norm(2 * np.arange(12.0)):.4g}" in text
    assert "[3 6]" in text
    assert str(tape) == str(tape.table())
    assert "value" not in str(tape)


def test_a_notebook_shows_a_tape_as_a_table_and_names_stay_text():
    W = Parameter(np.ones(2), name="<img src=x onerror=alert(1)>")
    with scope("<b>"):
        y = (W * 2).sum()
    text = Tape(y)._repr_html_()
    assert "<img" not in text
    assert "<b>" not in text
    table = ET.fromstring(text)
    assert [cell.text for cell in table.iterfind("thead/tr/th")] == [
        "#",
        "scope",
        "op",
        "operands",
        "result",
    ]
    assert len(list(table.iterfind("tbody/tr"))) == 2


def test_a_long_table_is_cut_in_a_notebook_alone():
    x = Tensor(np.ones(2), name="x")
    for _ in range(500):
        x = np.tanh(x)
    rows = list(ET.fromstring(Tape(x)._repr_html_()).iterfind("tbody/tr"))
    assert len(rows) == 201
    assert rows[100][0].text == "… 300 more"
    assert len(str(Tape(x)).splitlines()) == 501
