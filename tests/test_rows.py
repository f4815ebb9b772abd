"""Cells of one's own that split, put together and normalise rows: fused, and compiled, as recorded.

What is expected is what the cell gives without its promise, recorded op by op.
"""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
from test_fused import WAYS, B, D, H, T, gradients_of, run, same_gradients, same_outputs, same_tapes
from test_fused import twin as recorded

from helpers import needs, numbers
from unspool import Parameter, Tape, Tensor, unroll
from unspool.autograd import TABLE, Op, activations, gelu, layer_norm, sigmoid, softmax
from unspool.cells import LSTM, Cell, GatedCell, LayerNormLSTM, fused, jit, kernels


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    """A cache of compiled loops for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSPOOL_CACHE", str(tmp_path_factory.mktemp("compiled")))
        yield


class Packed(Cell):
    """An LSTM whose four gates are the parts of one product."""

    states = ("h", "c")
    same_every_step = True

    def __init__(self, d_in=D, d_h=H, dtype=float):
        self.d_in, self.d_h = d_in, d_h
        shapes = {"W": (d_in, 4 * d_h), "U": (d_h, 4 * d_h), "V": (d_in + d_h, 4 * d_h)}
        shapes |= {"b": (4 * d_h,), "v": (d_h,), "p": (1,), "q": ()}
        for seed, (name, shape) in enumerate(shapes.items()):
            setattr(self, name, Parameter((0.6 * numbers(*shape, seed=seed)).astype(dtype)))

    def forward(self, x, state):
        return self.gates(np.split(x @ self.W + h_of(state) @ self.U + self.b, 4, -1), state)

    def gates(self, parts, state):
        f, i, o, g = parts
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c


def h_of(state):
    return state[0]


class Concatenated(Packed):
    """The textbook's [h, x] W, and gates taken by slices of every form."""

    same_every_step = True

    def forward(self, x, state):
        z = np.concatenate([h_of(state), x], axis=x.ndim - 1) @ self.V + self.b
        k = self.d_h
        return self.gates((z[..., :k], z[..., k : 2 * k], z[..., 2 * k : -k], z[..., -k:]), state)


class Nested(Packed):
    """Parts of parts, of a result that its own rule reads, and columns that nobody reads."""

    same_every_step = True

    def forward(self, x, state):
        z = np.tanh(np.concatenate([h_of(state), x], axis=-1) @ self.V * self.b)
        a, (o, g) = z[..., : 2 * self.d_h], np.split(z[..., 2 * self.d_h :], 2, axis=-1)
        f, i = np.split(a, 2, axis=-1)
        c = f * state[1] + i + g * np.sum(i[..., 1:], axis=-1, keepdims=True)
        return o * c, c


class Overlapping(Packed):
    """Slices that overlap are copies."""

    same_every_step = True

    def forward(self, x, state):
        z = x @ self.W + h_of(state) @ self.U + self.b
        k = self.d_h
        parts = (z[..., a : a + k] for a in (0, 1, 2, 3))
        return self.gates(parts, state)


class Halved(Packed):
    """No gradient comes to one of the parts."""

    same_every_step = True

    def forward(self, x, state):
        f, i, o, g = np.split(x @ self.W + h_of(state) @ self.U + self.b, 4, axis=-1)
        c = np.sign(f) * state[1] + i + np.tanh(g)
        return np.tanh(o) * c, c


class Handed(Packed):
    """A part is a state as it is; the others are not read."""

    same_every_step = True

    def forward(self, x, state):
        h, c, *_ = np.split(x @ self.W + h_of(state) @ self.U + state[1] @ self.U, 4, axis=-1)
        return h, c * state[1]


class Normalised(Packed):
    """Every reduction, a norm by hand, softmax, and results of one column."""

    same_every_step = True

    def forward(self, x, state):
        h, c = state
        f, i, o, g = np.split(np.concatenate([h, x], axis=-1) @ self.V + self.b, 4, axis=-1)
        mean = c.mean(axis=-1, keepdims=True)
        variance = ((c - mean) ** 2).mean(-1, keepdims=True)
        c = np.tanh(f) * c + i * g + self.v * (c - mean) / np.sqrt(variance + 1e-3)
        a = softmax(c)
        scale = np.max(a, axis=-1, keepdims=True) * self.v + self.p * np.sum(
            a * i, -1, keepdims=True
        )
        spread = np.std(c, -1, keepdims=True) + np.var(o, -1, ddof=1, keepdims=True) * self.q
        h = o * scale + layer_norm(o, self.v) + spread - np.min(x, -1, keepdims=True)
        return np.tanh(h), np.tanh(c)


class OfWeights(Packed):
    """Weights that are computed of others: slices, a transpose, a scale, a number."""

    same_every_step = True

    def forward(self, x, state):
        h, c = state
        W, k = np.tanh(self.W) * 2, self.d_h
        scale = np.exp(self.v).sum()

        def gate(n):
            columns = slice(n * k, (n + 1) * k)
            return x @ W[:, columns] + h @ self.U[:, columns] + self.b[columns]

        h, c = self.gates([gate(n) for n in range(4)], state)
        return h + np.tanh(scale * h @ self.U[:, :k].T), c


CELLS = [Packed, Concatenated, Nested, Overlapping, Halved, Handed, Normalised, OfWeights]
CELLS += [LayerNormLSTM]


def cell_of(kind, compiled, **options):
    if issubclass(kind, GatedCell):
        options = {"d_in": D, "d_h": H, "dtype": float, **options}
    cell = kind(**options)
    for seed, p in enumerate(cell.parameters()):
        p.data = (0.6 * numbers(*p.shape, seed=seed)).astype(p.dtype)
    if compiled:
        needs("numba")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            jit(cell)
    return cell


both = pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])


COMPILED = [(kind, "full", True) for kind in CELLS]
COMPILED += [(kind, "truncated lengths", True) for kind in (Packed, Normalised)]


@pytest.mark.parametrize(
    ("kind", "way", "compiled"),
    [*((kind, way, False) for kind in CELLS for way in WAYS), *COMPILED],
    ids=lambda x: {False: "numpy", True: "compiled"}.get(x, getattr(x, "__name__", x)),
)
def test_as_recorded(kind, way, compiled):
    cell = cell_of(kind, compiled)
    ours, theirs = run(cell, way), run(recorded(cell), way)
    same_outputs(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


@pytest.mark.parametrize(
    ("kind", "compiled"),
    [*((kind, False) for kind in CELLS), (Normalised, True), (OfWeights, True)],
    ids=lambda x: {False: "numpy", True: "compiled"}.get(x, getattr(x, "__name__", x)),
)
def test_in_float32(kind, compiled):
    """As near to float64 as the recorded run is, or nearly."""
    cell = cell_of(kind, compiled, dtype=np.float32)
    exact = cell_of(kind, False)
    results = []
    for each, dtype in ((cell, "f"), (recorded(cell), "f"), (recorded(exact), "d")):
        xs = Tensor(numbers(3, 5, D).astype(dtype), requires_grad=True)
        result = xs, (), *unroll(each, xs, lengths=[5, 4, 0])
        results.append({"ys": result[2].data, **gradients_of(each, result)})
    ours, theirs, truth = results
    for name, g in truth.items():
        if g is not None:
            errors = [abs(found[name] - g).max() for found in (ours, theirs)]
            assert errors[0] <= 10 * errors[1] + 2e-6 * max(1, abs(g).max()), name


def plan_of(kind, batch=B):
    cell = cell_of(kind, False)
    xs = Tensor(np.zeros((batch, T, D)), requires_grad=True)
    plan, _ = fused.plan_of(cell, xs, cell.initial_state(batch))
    return plan


def test_parts_are_columns():
    """A product that is split by np.split is not copied: its parts are columns of its buffer."""
    plan = plan_of(Packed)
    assert plan.kinds.count("part") == 4
    whole = next(k for k, line in enumerate(plan.lines) if len(plan.users[f"v{k}"]) == 4)
    parts = [plan.location[f"v{k}"] for k in plan.users[f"v{whole}"]]
    assert {part.buffer for part in parts} == {plan.location[f"v{whole}"].buffer}
    assert [(part.start, part.stop) for part in parts] == [(0, 3), (3, 6), (6, 9), (9, 12)]
    assert len(plan.calls["loop"]) == len(plan_of(LSTM).calls["loop"])


def test_what_reads_the_input_alone_runs_before_the_loop():
    plan = plan_of(LayerNormLSTM)
    before = {call.op: call for call in plan.calls["before"]}
    assert before["layer_norm"].row == H  # x W_f, x W_i, x W_o and x W_g are four rows
    assert before["layer_norm"].outs[0].buffer.shape == (B, 4 * H)
    assert plan.rowwise


def test_what_reads_weights_alone_runs_once():
    plan = plan_of(OfWeights)
    assert [line.op for line in plan.of_weights.lines].count("getitem") == 13
    assert {"product", "sum", "map"} == {*plan.kinds}


@both
def test_threads(compiled):
    """A batch of normalised rows is split over threads too."""
    cell = cell_of(LayerNormLSTM, compiled)
    xs = Tensor(numbers(9, T, D), requires_grad=True)
    one = unroll(cell, xs)[0].data
    if compiled:
        jit(cell, threads=2)
        np.testing.assert_allclose(unroll(cell, xs)[0].data, one, rtol=1e-12, atol=1e-12)
    plan = plan_of(LayerNormLSTM, 9)
    assert len(fused.parts_of(cell, plan, xs, cell.initial_state(9), 2)) == 2


# Compiled functions -----------------------------------------------------------------------------


@pytest.mark.parametrize("char", "fd")
@pytest.mark.parametrize(
    "row",
    [
        [0.5, -1.0, 2.0, 2.0],
        [3.0, 3.0, 3.0, 3.0],
        [-np.inf, 1.0, 2.0, -np.inf],
        [-np.inf] * 4,
        [np.nan, 1.0, 2.0, 0.0],
        [1.0, 2.0, np.nan, np.nan],
        [1e4, -1e4, 0.0, 88.0],
    ],
    ids=str,
)
def test_functions_of_rows_are_the_tables(row, char):
    numba = needs("numba")
    x = np.array([row], char)
    tolerance = 1e-5 if char == "f" else 1e-12
    for op, (forward, rule) in kernels.row_functions(char).items():
        params = {"axis": -1}
        if op == "layer_norm":
            params["eps"] = 1e-5
        elif op != "softmax":
            params["keepdims"] = True
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = op.forward(x, **params)
            g = numbers(*y.shape, seed=3).astype(char)
            expected = op.rules[0](g, y, x, **params)
        out, gx = np.empty_like(y), np.empty_like(x)
        option = x.dtype.type(params.get("eps", 0))
        forward_of, rule_of = (numba.njit(f.py_func, error_model="numpy") for f in (forward, rule))
        forward_of(x[0], out[0], option)
        np.testing.assert_allclose(out, y, tolerance, tolerance, err_msg=str(op))
        rule_of(g[0], y[0], x[0], gx[0], option)
        np.testing.assert_allclose(gx, expected, tolerance, tolerance, err_msg=f"rule of {op}")


POINTWISE = {
    str(op): op
    for op in (*TABLE.values(), *vars(activations).values())
    if isinstance(op, Op) and op.pointwise
}
NEVER = {"heaviside", "ldexp"}  # numba has no functions for these


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(POINTWISE.keys() - NEVER))
def test_pointwise_ops_compile(name):
    """Forward and rules on single numbers are what NumPy gives on arrays."""
    numba, op = needs("numba"), POINTWISE[name]
    forward = kernels.forward_of(op, "d")
    extra = [0.3, 0.7] if name == "hardtanh" else [0.2] * 3
    count = len(op.operand_rules)
    names = () if isinstance(op.forward, np.ufunc) else inspect.signature(op.forward).parameters
    options = dict(zip([*names][count:], extra, strict=False))
    arrays = [np.array([0.3, 0.9, 0.55]), np.array([0.5, 0.8, 0.25])][:count]
    if name == "arccosh":
        arrays = [1 + arrays[0]]
    y = op.forward(*arrays, **options)

    def on_numbers(function, *given):
        names = ", ".join("abcdefg"[: len(given)])
        call = numba.njit(eval(f"lambda {names}: function({names})", {"function": function}))
        return [call(*(x[k] if isinstance(x, np.ndarray) else x for x in given)) for k in range(3)]

    np.testing.assert_allclose(on_numbers(forward, *arrays, *options.values()), y, 1e-12)
    g = np.array([1.0, -2.0, 0.5])
    for j, rule in enumerate(op.rules):
        if rule is not None:
            expected = np.broadcast_to(rule(g, y, *arrays, **options), g.shape)
            found = on_numbers(kernels.scalar(rule, "d"), g, y, *arrays, *options.values())
            np.testing.assert_allclose(found, expected, 1e-12, err_msg=f"rule {j}")


@both
def test_powers_and_bends(compiled):
    """What is written for arrays has a form for numbers."""

    class Bent(Packed):
        same_every_step = True

        def forward(self, x, state):
            h, c = state
            z = x @ self.W + h @ self.U
            f, i, o, g = np.split(np.clip(z, -1, 1) ** 2 + gelu(z) + abs(z) ** 1.5, 4, axis=-1)
            return np.tanh(f * h + i), np.floor(o) + np.tanh(g * c)

    cell = cell_of(Bent, compiled)
    ours, theirs = run(cell), run(recorded(cell))
    same_outputs(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))


@pytest.mark.parametrize(
    "index", [(), ..., (..., [0, 2, 1]), (..., slice(None, None, -1)), slice(None)], ids=str
)
def test_indices_of_other_forms(index):
    class Indexed(Packed):
        same_every_step = True

        def forward(self, x, state):
            h, c, *_ = np.split(x @ self.W + h_of(state) @ self.U, 4, axis=-1)
            return np.tanh(h[index] + state[0]), c * state[1]

    cell = Indexed()
    ours, theirs = run(cell), run(recorded(cell))
    same_outputs(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))


def test_a_loop_that_numba_refuses_runs_in_numpy_and_says_so():
    needs("numba")

    class Stepped(Packed):
        same_every_step = True

        def forward(self, x, state):
            h, c = state
            f, *_ = np.split(x @ self.W, 4, axis=-1)
            return np.tanh(np.heaviside(f, 0.5) + h), c + h

    cell = Stepped()
    jit(cell)
    with pytest.warns(RuntimeWarning, match="runs in NumPy: numba does not compile it"):
        ys, _ = unroll(cell, numbers(B, T, D))
    np.testing.assert_allclose(ys.data, unroll(recorded(cell), numbers(B, T, D))[0].data, 1e-12)
