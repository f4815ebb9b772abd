"""The page's own engine, assets/ops.js, against Python on the same numbers: ops and networks.

It runs in Node here; tests/test_page.py runs it in Chromium, in the page.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_ops import EXAMPLES

from unspool import Parameter, Tape, Tensor, scope, unroll
from unspool.autograd import Op, apply, cross_entropy, layer_norm
from unspool.cells import GRU, LSTM, Bidirectional, Elman, LayerNormLSTM, ResetAfterGRU, Stacked
from unspool.models import LanguageModel
from unspool.viz import live

SCRIPT = Path(live.__file__).parent / "assets" / "ops.js"
RUN = """
const fs = require("fs");
const names = ";Object.assign(globalThis, { OPS, LiveTape, decoded })";
(0, eval)(fs.readFileSync(process.argv[1], "utf8") + names);
const number = (v) => (Number.isFinite(v) ? v : String(v));
const out = JSON.parse(fs.readFileSync(0, "utf8")).map((tape) => {
  const arrays = tape.arrays.map((x) => x && decoded(x));
  const live = new LiveTape(arrays, tape.records.map((r) => ({ ...r, params: decoded(r.params) })),
    tape.seeds.map(([x, g]) => [x, decoded(g)]), tape.floating);
  live.forward();
  const { gradients, given } = live.backward();
  return {
    values: live.arrays.map((x) => ({ s: x.s, d: Array.from(x.d, number) })),
    gradients: [...gradients].map(([x, g]) => [x, g.s, Array.from(g.d, number)]),
    given: given.map((parts) => [...(parts ?? [])].map(([x, g]) => [x, Array.from(g.d, number)])),
  };
});
console.log(JSON.stringify(out));
"""


@pytest.fixture(scope="module")
def node():
    if shutil.which("node") is None:
        pytest.skip("needs node: apt-get install nodejs")

    def run(tapes):
        found = subprocess.run(
            ["node", "-e", RUN, str(SCRIPT)],
            input=json.dumps(tapes),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert found.returncode == 0, found.stderr[-2000:]
        return json.loads(found.stdout)

    return run


def exported(tape, seeds=None):
    """A tape as the script wants it, and its Tensors in this order."""
    tensors = {x: n for n, x in enumerate(dict.fromkeys((*tape.leaves, *(r.output for r in tape))))}
    leaves = live.leaf_arrays(tape)
    seeds = seeds or {tape.outputs[0]: np.ones(tape.outputs[0].shape)}
    return {
        "arrays": [live.encoded(leaves[x]) if x in leaves else None for x in tensors],
        "records": [
            {
                "op": str(r.op),
                "a": [tensors[x] for x in r.inputs],
                "r": tensors[r.output],
                "params": live.metadata(r),
            }
            for r in tape
        ],
        "seeds": [[tensors[x], live.encoded(g)] for x, g in seeds.items()],
        "floating": [x in live.differentiable(tape) for x in tensors],
    }, list(tensors)


def numbers(values):
    return np.array([float(v) for v in values])


def compare(tape, found, tensors, seed=None, rtol=1e-9):
    """The script's values, gradients and contributions against Python's."""
    seed = np.ones(tape.outputs[0].shape) if seed is None else seed
    for x, got in zip(tensors, found["values"], strict=True):
        assert tuple(got["s"]) == x.shape
        np.testing.assert_allclose(numbers(got["d"]), np.ravel(x.data), rtol=rtol, atol=1e-12)
    wanted = tape.gradients(seed)
    got = {tensors[n]: (tuple(shape), numbers(d)) for n, shape, d in found["gradients"]}
    assert set(got) == set(wanted)
    for x, g in wanted.items():
        assert got[x][0] == x.shape
        np.testing.assert_allclose(got[x][1], np.ravel(g), rtol=rtol, atol=1e-12)
    for record, parts in zip(tape, found["given"], strict=True):
        if record.output not in wanted:
            continue
        for x, g in record.operand_gradients(wanted[record.output]).items():
            mine = {tensors[n]: d for n, d in parts}[x]
            np.testing.assert_allclose(numbers(mine), np.ravel(g), rtol=rtol, atol=1e-12)


def example_tapes():
    for name, case in EXAMPLES.items():
        xs = [Parameter(x, name=f"x{k}") for k, x in enumerate(case.args)]
        with np.errstate(all="ignore"):
            y = case.call(*xs)
        if isinstance(y, Tensor) and y._record is not None and y.dtype.kind == "f":
            tape = Tape(y)
            if all(live.metadata(r) is not None for r in tape):
                yield name, tape


def test_the_tables_in_both_languages_have_the_same_ops():
    text = SCRIPT.read_text(encoding="utf-8")
    table = text[text.index("const OPS = {") : text.index("// The tape ---")]
    assert set(re.findall(r"^  (\w+): ", table, re.M)) == set(live.OPS)
    assert len(live.OPS) >= 25


@pytest.mark.slow
def test_every_op_computes_what_python_computes(node):
    cases = list(example_tapes())
    ops = {str(r.op) for _, tape in cases for r in tape}
    assert set(live.OPS) - ops == {"cut"}  # of cells alone: see below
    assert len(cases) > 100
    made = [exported(tape) for _, tape in cases]
    for (name, tape), (_, tensors), found in zip(
        cases, made, node([m for m, _ in made]), strict=True
    ):
        try:
            compare(tape, found, tensors)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


class Own:
    """A cell as a loop of one's own, with an op of each kind."""

    @staticmethod
    def tape():
        rng = np.random.default_rng(3)
        W, U = (
            Parameter(rng.normal(size=(2, 3)), name="W"),
            Parameter(rng.normal(size=(3, 3)), name="U"),
        )
        xs, h = Tensor(rng.normal(size=(4, 2)), name="xs"), Tensor(np.zeros(3), name="h_0")
        loss = 0.0
        for t in range(1, 5):
            with scope("step", step=t):
                a = xs[t - 1] @ W + h @ U
                h = np.maximum(0.1 * a, a) / (1 + np.exp(-a)) + np.where(np.arange(3) > 1, h, 0)
                h.name = f"h_{t}"
                loss = loss + cross_entropy(layer_norm(h), t % 3)
        return Tape(loss)


def networks():
    xs = Tensor(np.random.default_rng(0).normal(size=(4, 2)), name="xs")
    batch = Tensor(np.random.default_rng(1).normal(size=(3, 4, 2)), name="xs")
    for cell in (Elman, LSTM, GRU, ResetAfterGRU, LayerNormLSTM):
        yield cell.__name__, Tape((unroll(cell(2, 3, rng=0, dtype=float), xs)[0] ** 2).sum())
    deep = Stacked(
        [
            Bidirectional(LSTM(2, 3, rng=0, dtype=float), LSTM(2, 3, rng=1, dtype=float)),
            GRU(6, 2, rng=2, dtype=float),
        ]
    )
    yield "stacked", Tape(np.tanh(unroll(deep, batch, lengths=np.array([4, 2, 3]))[0]).sum())
    cut = unroll(LSTM(2, 3, rng=0, dtype=float), xs, truncate=2)[0]
    yield "truncated", Tape(cut[-1].sum())
    model = LanguageModel(7, 4, cell=LSTM, layers=2, rng=0, dtype=float)
    ids = np.array([[1, 4, 2, 6], [3, 3, 5, 0]])
    yield "language model", Tape(model.loss(ids, np.array([4, 3])))
    yield "own", Own.tape()


@pytest.mark.parametrize("name", [name for name, _ in networks()])
def test_whole_networks_compute_what_python_computes(node, name):
    tape = dict(networks())[name]
    assert live.reason_against(tape, tape.gradients()) == ""
    made, tensors = exported(tape)
    (found,) = node([made])
    compare(tape, found, tensors)


def test_an_error_would_be_seen(node):
    tape = dict(networks())["LSTM"]
    made, tensors = exported(tape)
    next(r for r in made["records"] if r["op"] == "tanh")["op"] = "sigmoid"
    (found,) = node([made])
    with pytest.raises(AssertionError):
        compare(tape, found, tensors)


# What the page cannot compute ---------------------------------------------------------------------


def test_an_op_of_ones_own_is_named():
    cube = Op("cube", lambda x: x**3, (lambda g, y, x: 3 * g * x * x,))
    tape = Tape(apply(cube, (Parameter([1.0, 2.0]),)).sum())
    assert live.reason_against(tape, tape.gradients()) == "cube is not among the page's own ops"


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[np.array([0, 1]), np.array([1, 0])],
        lambda x: x[0, np.array([1, 0])],
        lambda x: x[x.data > 1],
        lambda x: cross_entropy(x, np.array([0, 1]), smoothing=0.1),
        lambda x: cross_entropy(x, np.array([0, 1]), weight=np.array([1.0, 2.0])),
    ],
)
def test_metadata_that_the_page_does_not_read_are_refused(make):
    tape = Tape(make(Parameter([[1.0, 2.0], [3.0, 4.0]])))
    assert "not among the page's own ops" in live.reason_against(tape, None)


def test_gradients_of_another_seed_and_outputs_that_lead_to_each_other():
    x = Parameter([1.0, 2.0], name="x")
    y = np.tanh(x)
    z = y.sum()
    tape = Tape(z)
    assert live.reason_against(tape, tape.gradients(3.0)) == ""
    wrong = tape.gradients()
    wrong[x] = wrong[x] * 2
    assert "not those of its outputs alone" in live.reason_against(tape, wrong)
    both = Tape(y, z)
    assert "leads to another" in live.reason_against(both, None)


def test_an_updated_parameter_shows_the_run_that_was_recorded():
    W = Parameter([1.0, 2.0], name="W")
    tape = Tape((W * W).sum())
    W.data = np.array([5.0, 5.0])
    assert live.leaf_arrays(tape)[W].tolist() == [1.0, 2.0]


def test_numbers_come_back_from_base64():
    for array in (np.float32([1.5, -2]), np.array([[0.1]]), np.arange(3), np.array([True, False])):
        found = live.encoded(array)
        ((kind, data),) = [(k, v) for k, v in found.items() if k != "s"]
        back = np.frombuffer(base64.b64decode(data), f"<{kind}").reshape(found["s"])
        np.testing.assert_array_equal(back, array)
