"""Fused runs against recorded ones: the same numbers, gradients, tapes and memory.

A cell promises with ``same_every_step`` that its step is the same whatever it reads. Its twin here
is the same cell, the same Parameters, under a class that promises nothing: its steps are recorded
op by op. What is expected is always what the twin gives.
"""

from __future__ import annotations

import copy
import gc
import threading
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import flat, numbers
from unspool import Parameter, Tape, Tensor, check_grads, grad, no_grad, unroll
from unspool.autograd import (
    checkpoint,
    detect_anomaly,
    dropout,
    hessian,
    layer_norm,
    leaky_relu,
    relu,
    sigmoid,
    softmax,
    softplus,
)
from unspool.autograd.tensor import Op, apply, operands_of
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    ActivatedGRU,
    ActivatedLSTM,
    Bidirectional,
    Cell,
    Elman,
    LayerNormLSTM,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
    VariationalDropout,
    adjoint,
    execute,
    fused,
)

B, T, D, H = 3, 4, 2, 3
KINDS = [
    Elman, LSTM, GRU, PeepholeLSTM, LayerNormLSTM, ResetAfterGRU, MGU, ActivatedLSTM, ActivatedGRU,
]  # fmt: skip
every_kind = pytest.mark.parametrize("kind", KINDS)

MASK = np.array([[True, False, True, True], [False, True, False, True], [False] * 4])
WAYS = {
    "full": (True, {}),
    "lengths": (True, {"lengths": [4, 2, 0]}),
    "holes": (True, {"mask": MASK}),
    "reverse": (True, {"reverse": True}),
    "reverse lengths": (True, {"lengths": [3, 0, 2], "reverse": True}),
    "unbatched": (False, {}),
    "unbatched mask": (False, {"mask": np.array([True, False, True, False])}),
    "truncated": (True, {"truncate": 2}),
    "truncated lengths": (True, {"truncate": 3, "lengths": [4, 1, 2], "reverse": True}),
}
every_way = pytest.mark.parametrize("way", WAYS)


def cell_of(kind, d_in=D, seed=0, **options):
    """A float64 cell with every parameter drawn."""
    cell = kind(d_in, H, **{"dtype": float, **options})
    rng = np.random.default_rng(seed)
    for p in cell.parameters():
        p.data[...] = 0.6 * rng.standard_normal(p.shape)
    return cell


def twin(cell):
    """The same cell with the same Parameters, without the promise."""
    promising = type(cell)
    silent = type(promising.__name__, (promising,), {"same_every_step": False})
    other = copy.copy(cell)
    other.__class__ = silent
    return other


def inputs_of(cell, batched=True):
    """Fresh leaves: xs and the state before."""
    lead = (B,) if batched else ()
    xs = Tensor(numbers(*lead, T, cell.d_in, seed=5), requires_grad=True, name="xs")
    state = tuple(
        Tensor(numbers(*lead, H, seed=6 + k), requires_grad=True, name=f"{name}_0")
        for k, name in enumerate(cell.states)
    )
    return xs, state


def run(cell, way="full"):
    """One run on fresh inputs: (xs, state before, ys, state after)."""
    batched, options = WAYS[way]
    xs, state = inputs_of(cell, batched)
    ys, final = unroll(cell, xs, state, **options)
    return xs, state, ys, final


def is_fused(*outputs):
    """Whether a fused run stands behind the outputs, before anyone reads their tape."""
    stack, seen = list(outputs), set()
    while stack:
        t = stack.pop()
        if t in seen or t._record is None:
            continue
        seen.add(t)
        if t._record[1] == "fused":
            return True
        stack.extend(x for x in operands_of(t) if isinstance(x, Tensor))
    return False


def loss_of(ys, final, use=("ys", "final")):
    """A loss that weighs every number it uses differently."""
    parts = [ys] if "ys" in use else []
    parts += list(final) if "final" in use else []
    return sum(np.sum(np.sin(y) * numbers(*y.shape, seed=k)) for k, y in enumerate(parts))


def gradients_of(cell, result, use=("ys", "final")):
    """By name, after one backward pass."""
    xs, state, ys, final = result
    for p in cell.parameters():
        p.grad = None
    loss_of(ys, final, use).backward()
    leaves = {"xs": xs, **{s.name: s for s in state}, **dict(cell.named_parameters())}
    return {name: None if t.grad is None else t.grad.copy() for name, t in leaves.items()}


def same_gradients(a, b, tolerance=1e-12):
    assert a.keys() == b.keys()
    for name in a:
        assert (a[name] is None) == (b[name] is None), name
        if a[name] is not None:
            assert a[name].dtype == b[name].dtype
            np.testing.assert_allclose(
                a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=name
            )


def same_outputs(a, b):
    """Outputs and final states, up to the rounding of sums in another order."""
    for x, y in zip((a[2], *a[3]), (b[2], *b[3]), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        close(x.data, y.data)


def close(a, b):
    tolerance = 1e-13 if a.dtype == float else 2e-6
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def lines(tape):
    """What a tape says, record by record, and which records its operands come from."""
    at = {record.output: k for k, record in enumerate(tape)}
    return [
        (
            str(r.op),
            repr(r.params),
            r.scope,
            r.step,
            r.output.name,
            r.output.shape,
            r.output.requires_grad,
            [(at.get(x), x.name, x.shape, x.dtype) for x in r.inputs],
        )
        for r in tape
    ]


def same_tapes(a, b):
    for ours, theirs in zip(lines(a), lines(b), strict=True):
        assert ours == theirs
    assert str(a) == str(b)
    for r, s in zip(a, b, strict=True):
        for x, y in zip((r.output, *r.inputs), (s.output, *s.inputs), strict=True):
            close(x.data, y.data)
    for tape in (a, b):
        indices = [record.index for record in tape]
        assert indices == sorted(set(indices))


# The same as recorded ---------------------------------------------------------------------------


@pytest.mark.slow
@every_way
@every_kind
def test_mostgradients_and_tapes_are_the_recorded_ones(kind, way):
    cell = cell_of(kind)
    ours, theirs = run(cell, way), run(twin(cell), way)
    assert is_fused(ours[2])
    assert not is_fused(theirs[2], *theirs[3])
    same_outputs(ours, theirs)
    expected = gradients_of(cell, theirs)
    assert all(g is not None and g.any() for g in expected.values())
    same_gradients(gradients_of(cell, ours), expected)
    # the tape, read before and after the state's
    (xs, state, ys, final), (_, _, their_ys, their_final) = ours, theirs
    same_tapes(Tape(ys), Tape(their_ys))
    same_tapes(Tape(*final), Tape(*their_final))
    same_tapes(Tape(ys, *final), Tape(their_ys, *their_final))
    seeds = [numbers(*y.shape, seed=k) for k, y in enumerate((ys, *final))]
    found = Tape(ys, *final).gradients(seeds)
    wanted = Tape(their_ys, *their_final).gradients(seeds)
    for r, s in zip(Tape(ys, *final), Tape(their_ys, *their_final), strict=True):
        assert (r.output in found) == (s.output in wanted)
        if r.output in found:
            np.testing.assert_allclose(found[r.output], wanted[s.output], rtol=1e-12, atol=1e-12)
    # and once the tape was read, backward runs on the records
    assert not is_fused(ys)
    same_gradients(gradients_of(cell, (xs, state, ys, final)), _twice(expected, xs, state))


def _twice(expected, xs, state):
    """Leaves that were given to a run keep what the first pass added; parameters were cleared."""
    given = {"xs", *(s.name for s in state)}
    return {name: 2 * g if name in given else g for name, g in expected.items()}


@pytest.mark.parametrize("use", [("ys",), ("final",), ("ys", "final")], ids="+".join)
@pytest.mark.parametrize("way", ["full", "holes"])
@every_kind
def test_outputs_used_alone(kind, way, use):
    cell = cell_of(kind)
    expected = gradients_of(cell, run(twin(cell), way), use)
    same_gradients(gradients_of(cell, run(cell, way), use), expected)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("way", ["full", "lengths", "reverse"])
def test_one_of_two_final_states_alone(way, which):
    cell = cell_of(LSTM)

    def gradients(result):
        xs, state, _, final = result
        kept = final[which]
        return gradients_of(cell, (xs, state, kept, ()), "ys")

    same_gradients(gradients(run(cell, way)), gradients(run(twin(cell), way)))


def test_outputs_that_died_are_not_missed():
    cell = cell_of(LSTM)
    for part in range(3):
        _, _, ys, (h, c) = run(cell)
        kept = [ys, h, c][part]
        _, _, their_ys, (their_h, their_c) = run(twin(cell))
        theirs = [their_ys, their_h, their_c][part]
        del ys, h, c
        same_tapes(Tape(kept), Tape(theirs))


@pytest.mark.parametrize("way", ["full", "lengths", "reverse", "unbatched"])
def test_slices_of_ys(way):
    cell = cell_of(GRU)

    def gradients(result):
        xs, state, ys, final = result
        last, middle = ys[..., -1, :], ys[..., 1:3, :]
        return gradients_of(cell, (xs, state, last * 2, (middle, final[0], ys[..., 0, :])))

    same_gradients(gradients(run(cell, way)), gradients(run(twin(cell), way)))


@pytest.mark.parametrize("way", ["full", "holes"])
@every_kind
def test_backward_twice(kind, way):
    cell = cell_of(kind)
    result = run(cell, way)
    once = gradients_of(cell, result)
    xs, state, *_ = result
    same_gradients(gradients_of(cell, result), _twice(once, xs, state))


def test_two_calls_in_a_row_and_the_same_inputs_twice():
    """The state of a fused run goes into another, and one xs into two."""

    def chain(cell):
        xs, state = inputs_of(cell)
        ys, middle = unroll(cell, xs, state)
        zs, final = unroll(cell, ys[..., :D] + xs, middle)
        ws, _ = unroll(cell, xs, middle, reverse=True)
        return xs, state, zs * 1, (*final, ys * ws)

    cell = cell_of(LSTM)
    for _ in range(2):
        chain(cell)
    ours, theirs = chain(cell), chain(twin(cell))
    assert is_fused(ours[2])
    same_outputs(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


@every_kind
def test_without_biases_and_in_float32(kind):
    for options in ({"bias": False}, {"dtype": np.float32}, {"bias": False, "dtype": np.float32}):
        cell = cell_of(kind, **options)
        dtype = options.get("dtype", float)

        def f(cell, dtype=dtype):
            xs = Tensor(numbers(B, T, D).astype(dtype), requires_grad=True)
            ys, final = unroll(cell, xs, lengths=[4, 1, 3])
            return xs, (), ys, final

        for _ in range(2):
            f(cell)
        ours, theirs = f(cell), f(twin(cell))
        assert is_fused(ours[2])
        assert ours[2].dtype == dtype
        same_outputs(ours, theirs)
        tolerance = 1e-12 if dtype is float else 1e-5
        same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs), tolerance)
        same_tapes(Tape(ours[2]), Tape(theirs[2]))


@pytest.mark.parametrize("most", [0, B * 4 * H])
@pytest.mark.parametrize("kind", [LSTM, LayerNormLSTM, PeepholeLSTM])
def test_sigmoids_and_tanhs_at_once_and_one_by_one(monkeypatch, kind, most):
    """A buffer's sigmoids and tanhs are one tanh where they are few."""
    monkeypatch.setattr(execute, "TANH_NUMBERS", dict.fromkeys("fd", most))
    monkeypatch.setattr(execute, "idle", execute.Idle())
    at_once, seen = execute.Block.scaled_tanh, []
    monkeypatch.setattr(execute.Block, "scaled_tanh", lambda *a: seen.append(a) or at_once(*a))
    cell = cell_of(kind)
    expected, found = run(twin(cell)), run(cell)
    same_outputs(found, expected)
    same_gradients(gradients_of(cell, found), gradients_of(cell, expected))
    assert bool(seen) is (most > 0 and kind is not PeepholeLSTM)


@every_way
def test_no_grad_gives_the_same_numbers(way):
    cell = cell_of(LSTM)
    expected = run(twin(cell), way)
    for _ in range(3):
        with no_grad():
            got = run(cell, way)
        same_outputs(got, expected)
        assert got[2]._record is None
        assert not got[2].requires_grad
    same_outputs(run(cell, way), expected)


def test_states_have_names_and_steps():
    for reverse, last in ((False, T), (True, 1)):
        cell = cell_of(LSTM)
        for _ in range(3):
            ys, (h, c) = unroll(cell, numbers(B, T, D), reverse=reverse)
            assert (ys.name, h.name, c.name) == ("ys", f"h_{last}", f"c_{last}")
        names = {r.output.name for r in Tape(ys)}
        assert {f"h_{t}" for t in range(1, T + 1)} <= names
        assert {f"x_{t}" for t in range(1, T + 1)} <= names
        assert ["lstm", "t=2", "forget"] in [list(r.scope) for r in Tape(ys)]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["full", "lengths"])
@every_kind
def test_second_derivatives(kind, way):
    cell = cell_of(kind)
    batched, options = WAYS[way]

    def penalty(cell):
        for p in cell.parameters():
            p.grad = None
        xs, state = inputs_of(cell, batched)

        def loss(xs, state):
            return loss_of(*unroll(cell, xs, state, **options))

        gx, gs = grad(loss, (0, 1))(xs, state)
        (np.sum(gx * gx) + sum(np.sum(g * g) for g in gs)).backward()
        return {
            "xs": xs.grad,
            **{s.name: s.grad for s in state},
            **{name: p.grad for name, p in cell.named_parameters()},
        }

    expected = penalty(twin(cell))
    for _ in range(3):
        same_gradients(penalty(cell), expected, 1e-10)


def test_second_derivatives_against_differences():
    cell = cell_of(LSTM)
    check_grads(
        lambda xs, *_: unroll(cell, xs, lengths=[2, 1])[0],
        [numbers(2, 2, D), cell.U_f, cell.W_g, cell.b_o],
        order=2,
    )
    xs = numbers(1, 2, D)
    ours = hessian(lambda xs: loss_of(*unroll(cell, xs)))(xs)
    np.testing.assert_allclose(
        ours, hessian(lambda xs: loss_of(*unroll(twin(cell), xs)))(xs), rtol=1e-10, atol=1e-12
    )


# What changes between runs ----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["full", "lengths"])
def test_a_tape_read_after_an_update_shows_the_values_of_the_run(way):
    """The results of the ops; a parameter itself is changed in place, here and when recorded."""
    cell = cell_of(GRU)
    _, _, ys, final = run(cell, way)
    _, _, their_ys, their_final = run(twin(cell), way)
    for p in cell.parameters():
        p.data = p.data - 0.25
    same_tapes(Tape(ys, *final), Tape(their_ys, *their_final))
    same_outputs(run(cell, way), run(twin(cell), way))


def test_weights_that_are_not_compact():
    """NumPy multiplies by them without BLAS, and by a copy with it: all results are kept."""
    cell = LSTM(40, 30, rng=0)
    for p in cell.parameters():
        p.data = np.repeat(p.data, 2, axis=-1)[..., ::2]
    xs = numbers(T, 40).astype(np.float32)
    for _ in range(3):
        ys, _ = unroll(cell, xs)
    their_ys, _ = unroll(twin(cell), xs)
    assert is_fused(ys)
    for p in cell.parameters():
        p.data = p.data - 0.25
    same_tapes(Tape(ys), Tape(their_ys))


def values_of(tape):
    """The results on a tape, but for the slices of the input, which are views of it."""
    return [r.output.data.copy() for r in tape if r.op != "getitem"]


def test_an_update_that_the_outputs_do_not_show():
    """Every unit is dead, before and after: only the sums before the activation have changed."""
    cell = cell_of(Elman, activation="relu")
    cell.b.data[...] = -100
    _, _, ys, _ = run(cell)
    their_ys = run(twin(cell))[2]
    for p in cell.parameters():
        p.data = p.data + 1
    same_tapes(Tape(ys), Tape(their_ys))


@pytest.mark.parametrize("shape", [(H,), (B, H)])
def test_a_learned_state_before_the_first_step(shape):
    cell, xs = cell_of(GRU), numbers(*shape[:-1], T, D)
    h = Parameter(np.full(shape, 0.5))
    for _ in range(3):
        loss = unroll(cell, xs, (h,))[0].sum()
        loss.backward()
    wanted = values_of(Tape(unroll(twin(cell), xs, (h,))[0].sum()))
    for p in (h, *cell.parameters()):
        p.data = p.data - 0.1 * p.grad
    for found, value in zip(values_of(Tape(loss)), wanted, strict=True):
        close(found, value)


class Scaled(Cell):
    """A cell with numbers of its own, and an output that is not its state."""

    same_every_step = True

    def __init__(self):
        self.d_in, self.d_h = D, H
        self.a, self.low = 0.9, -0.9
        self.W = Parameter(numbers(D, H))

    def forward(self, x, state):
        return (np.tanh(x @ self.W + self.a * state[0]),)

    def output(self, state):
        return np.clip(state[0], self.low, 1) * 2


@pytest.mark.parametrize("way", WAYS)
def test_an_output_of_its_own(way):
    cell = Scaled()
    _, _, ys, final = run(cell, way)
    _, _, their_ys, their_final = run(twin(cell), way)
    assert is_fused(ys)
    same_tapes(Tape(ys, *final), Tape(their_ys, *their_final))


@pytest.mark.parametrize("name", ["a", "low"])  # an operand, and an option of an op
def test_a_number_that_was_changed_since_the_run(name):
    """The tape is that of the run, and the next run has the new number."""
    cell = Scaled()
    _, _, ys, _ = run(cell)
    _, _, theirs, _ = run(twin(cell))
    setattr(cell, name, 0.1)
    same_tapes(Tape(ys), Tape(theirs))
    same_outputs(run(cell), run(twin(cell)))


def test_reading_a_tape_warns_of_nothing():
    cell = cell_of(Elman, activation="relu")
    _, _, ys, _ = run(cell)
    for p in cell.parameters():
        p.data = np.full_like(p.data, 1e308)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Tape(ys)) > 20


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_a_copied_output_has_the_same_tape(kind):
    cell = cell_of(kind)
    for way in ("full", "lengths"):
        _, _, ys, final = run(cell, way)
        y = ys if way == "full" else final[-1]
        other = copy.copy(y)
        for a, b in zip(Tape(other), Tape(y), strict=True):
            assert (a.op, a.scope, a.step) == (b.op, b.scope, b.step)
            close(a.output.data, b.output.data)
        together = Tape((other * y).sum()).gradients()
        np.testing.assert_array_equal(together[other], y.data)


def test_a_step_that_refuses_some_numbers():
    class Wary(Scaled):
        same_every_step = True

        def forward(self, x, state):
            if (x.data < 0).any():
                raise ValueError("negative input")
            return super().forward(x, state)

    cell = Wary()
    for _ in range(3):
        ys, _ = unroll(cell, np.ones((B, T, D)))
    assert not is_fused(ys)


def test_a_rule_that_raises():
    """It is tried when the plan is made, and that is no time to raise."""

    def refuses(g, y, x):
        raise NotImplementedError("no gradient")

    snap = Op("snap", lambda x: np.round(x, 3), (refuses,))

    class Snapping(Scaled):
        same_every_step = True

        def forward(self, x, state):
            return (apply(snap, (x @ self.W + state[0],)),)

    cell = Snapping()
    for _ in range(3):
        ys, _ = unroll(cell, numbers(B, T, D))
    assert is_fused(ys)
    with pytest.raises(NotImplementedError, match="no gradient"):
        ys.sum().backward()


def test_gradients_after_new_arrays_are_those_of_the_run():
    """``p.data = ...`` in place of ``p.data[...] = ...``: what ran keeps the old array."""
    for way in ("full", "lengths"):
        cell = cell_of(LSTM)
        expected = gradients_of(cell, run(twin(cell), way))
        result, tape_of = run(cell, way), run(cell, way)[2]
        theirs = run(twin(cell), way)[2]
        before = {p: p.data for p in cell.parameters()}
        for p in cell.parameters():
            p.data = p.data * 2 + 1
        same_gradients(gradients_of(cell, result), expected)
        tape, their_tape = Tape(tape_of), Tape(theirs)
        for r, s in zip(tape, their_tape, strict=True):
            close(r.output.data, s.output.data)
        seed = numbers(*theirs.shape)
        found, wanted = tape.gradients(seed), their_tape.gradients(seed)
        for p in cell.parameters():
            np.testing.assert_allclose(found[p], wanted[p], rtol=1e-12, atol=1e-12)
        for p, data in before.items():
            p.data = data


@every_way
def test_loading_gives_new_arrays_to_the_next_run_only(way):
    cell = cell_of(LSTM)
    expected = gradients_of(cell, run(twin(cell), way))
    result = run(cell, way)
    cell.load_state_dict(cell_of(LSTM, seed=1).state_dict())
    same_gradients(gradients_of(cell, result), expected)
    again = run(cell, way)
    assert is_fused(again[2])
    same_outputs(again, run(twin(cell), way))
    same_gradients(gradients_of(cell, again), gradients_of(cell, run(twin(cell), way)))


def test_parameters_that_are_replaced():
    cell = cell_of(LSTM)
    result, theirs = run(cell), run(twin(cell))
    cell.W_f = Parameter(numbers(D, H, seed=3))
    for _ in range(3):
        same_outputs(run(cell), run(twin(cell)))
        same_gradients(gradients_of(cell, run(cell)), gradients_of(cell, run(twin(cell))))
    assert is_fused(run(cell)[2])
    # What ran before has its gradient and its tape.
    loss_of(*result[2:]).backward()
    same_tapes(Tape(result[2]), Tape(theirs[2]))


def test_an_attribute_that_is_changed():
    cell = cell_of(Elman)
    result, theirs = run(cell), run(twin(cell))
    cell.activation = "relu"
    same_tapes(Tape(result[2]), Tape(theirs[2]))
    same_outputs(run(cell), run(twin(cell)))
    assert (run(cell)[2].data == 0).any()


def test_parameters_that_are_frozen():
    cell = cell_of(LSTM)
    run(cell)
    cell.U_f.requires_grad = False
    for _ in range(3):
        expected = gradients_of(cell, run(twin(cell)))
        assert expected["U_f"] is None
        same_gradients(gradients_of(cell, run(cell)), expected)
    cell.freeze()
    for _ in range(3):
        ours = run(cell)
        same_gradients(gradients_of(cell, ours), gradients_of(cell, run(twin(cell))))
        ys, _ = unroll(cell, numbers(B, T, D))
        assert not ys.requires_grad
    assert is_fused(ys)
    cell.unfreeze()
    for _ in range(3):
        same_gradients(gradients_of(cell, run(cell)), gradients_of(cell, run(twin(cell))))


def test_parameters_that_were_frozen_when_the_plan_was_made():
    for way in ("full", "lengths"):
        cell = cell_of(LSTM).freeze()
        assert is_fused(run(cell, way)[2])
        cell.U_g.requires_grad = True
        for _ in range(3):
            ours = gradients_of(cell, run(cell, way))
            assert ours["U_g"] is not None
            same_gradients(ours, gradients_of(cell, run(twin(cell), way)))
        cell.unfreeze()
        for _ in range(3):
            ours = gradients_of(cell, run(cell, way))
            assert all(g is not None for g in ours.values())
            same_gradients(ours, gradients_of(cell, run(twin(cell), way)))
        for _ in range(3):
            ys, _ = unroll(cell, numbers(B, T, D))
            assert ys.requires_grad
        cell.freeze()
        ys, _ = unroll(cell, numbers(B, T, D))
        assert is_fused(ys)


def test_inputs_that_need_no_gradient_and_then_one():
    cell = cell_of(GRU)
    for needs in (False, True, False, True, True, True):
        xs = Tensor(numbers(B, T, D), requires_grad=needs)
        theirs = Tensor(numbers(B, T, D), requires_grad=needs)
        results = [(xs, (), *unroll(cell, xs)), (theirs, (), *unroll(twin(cell), theirs))]
        same_gradients(*(gradients_of(cell, result) for result in results))
        assert (xs.grad is not None) == needs


def test_a_changed_dtype():
    cell = cell_of(LSTM, dtype=np.float32)

    def once(cell):
        xs = Tensor(numbers(B, T, D).astype(np.float32), requires_grad=True)
        return (xs, (), *unroll(cell, xs))

    for _ in range(3):
        result = once(cell)
    assert is_fused(result[2])
    cell.U_f.data = cell.U_f.data.astype(np.float64)
    for _ in range(3):
        result, theirs = once(cell), once(twin(cell))
        same_outputs(result, theirs)
        assert not is_fused(result[2])  # a step of two dtypes is recorded
        same_gradients(gradients_of(cell, result), gradients_of(cell, theirs))
    for p in cell.parameters():
        p.data = p.data.astype(np.float64)
    for _ in range(3):
        same_outputs(run(cell), run(twin(cell)))
    assert is_fused(run(cell)[2])


def test_many_shapes():
    """More than are kept, each of them again and again."""
    cell = cell_of(GRU)
    for _ in range(3):
        for batch in range(1, 25):
            xs = numbers(batch, 2, D, seed=batch)
            ys, _ = unroll(cell, xs)
            close(ys.data, unroll(twin(cell), xs)[0].data)


def test_anomalies_are_looked_for_op_by_op():
    cell = cell_of(LSTM)
    xs, _, _, _ = run(cell)
    with detect_anomaly():
        ys, _ = unroll(cell, xs)
    assert not is_fused(ys)
    cell.U_g.data[0, 0] = 1e308
    state = tuple(Tensor(np.full((B, H), 10.0)) for _ in "hc")
    with (
        np.errstate(all="ignore"),
        detect_anomaly(),
        pytest.raises(FloatingPointError, match=r"matmul of .*U_g .* in lstm / t=1 / candidate"),
    ):
        unroll(cell, xs, state)


# Whose runs are fused ---------------------------------------------------------------------------


class Own(Cell):
    """A cell of one's own with one matrix; a subclass gives the step."""

    same_every_step = True

    def __init__(self, d_in=D, d_h=D):
        self.d_in, self.d_h = d_in, d_h
        self.W = Parameter(numbers(d_in, d_h, seed=1))


class Plain(Own):
    same_every_step = True

    def forward(self, x, state):
        return (np.tanh(x @ self.W + state[0]),)


def agrees(cell, served, way="full"):
    """The first run equals the recorded one, and was fused or not."""
    xs = numbers(B, T, cell.d_in)

    def once(cell):
        x = Tensor(xs, requires_grad=True)
        ys, final = unroll(cell, x, **WAYS[way][1])
        return x, (), ys, final

    ours, theirs = once(cell), once(twin(cell))
    assert is_fused(ours[2]) == served
    same_outputs(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


def test_a_cell_that_promises_is_fused():
    for way in ("full", "holes"):
        agrees(Plain(), True, way)


def test_who_has_promised():
    class Changed(LSTM):
        def forward(self, x, state):
            return super().forward(x * 2, state)

    class Shown(LSTM):
        def output(self, state):
            return state[1]

    class Renamed(LSTM):
        pass

    class Again(Changed):
        same_every_step = True

    assert [c.same_every_step for c in (Cell, Changed, Shown, Renamed, Again)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    for kind in (Changed, Shown, Renamed, Again):
        agrees(cell_of(kind), kind.same_every_step)
    assert all(kind.same_every_step for kind in KINDS)


def test_no_promise_no_fused_run():
    """Random and value-dependent cells are right as long as they promise nothing."""

    class Noisy(Cell):
        def __init__(self):
            self.d_in = self.d_h = D
            self.rng = np.random.default_rng(0)

        def forward(self, x, state):
            return (dropout(x, 0.5, rng=self.rng) + state[0],)

    class Branching(Cell):
        def __init__(self):
            self.d_in = self.d_h = D

        def forward(self, x, state):
            return (x + state[0] if x.data.sum() > 0 else state[0] * 1.0,)

    noisy = Noisy()
    runs = [unroll(noisy, np.ones((2, 3, D)))[0] for _ in range(6)]
    assert not any(map(is_fused, runs))
    assert len({ys.data.tobytes() for ys in runs}) == 6
    branching = Branching()
    for sign in (1, -1, 1, -1, 1):
        ys, _ = unroll(branching, sign * np.ones((1, 2, D)))
        assert not is_fused(ys)
        assert ys.data[0, -1].tolist() == [2.0 * (sign > 0)] * D


def test_a_promise_that_two_traces_disprove_gives_no_plan():
    class Noisy(Own):
        same_every_step = True

        def __init__(self):
            super().__init__()
            self.rng = np.random.default_rng(0)

        def forward(self, x, state):
            return (dropout(x @ self.W, 0.5, rng=self.rng) + state[0],)

    class Growing(Own):
        same_every_step = True
        calls = 0

        def forward(self, x, state):
            Growing.calls += 1
            for _ in range(Growing.calls):
                x = x * 0.5
            return (x @ self.W + state[0],)

    class Reading(Own):
        same_every_step = True

        def forward(self, x, state):
            return (x @ self.W + state[0] * np.abs(x.data).max(),)

    for kind in (Noisy, Growing, Reading):
        cell = kind()
        for _ in range(3):
            ys, _ = unroll(cell, numbers(B, T, D))
        assert not is_fused(ys), kind
    agrees(Reading(), False)


def test_promises_that_are_kept_in_odd_ways():
    class Checkpointed(Own):  # an op made anew in each step
        same_every_step = True

        def forward(self, x, state):
            return (checkpoint(lambda x, h: np.tanh(x @ self.W + h), x, state[0]),)

    class Listed(Own):  # Parameters in a list
        same_every_step = True

        def __init__(self):
            super().__init__()
            self.Ws = [self.W]

        def forward(self, x, state):
            return (np.tanh(x @ self.Ws[0] + state[0]),)

    class Forgetful(Own):  # m is handed on and never read
        same_every_step = True
        states = ("h", "m")

        def forward(self, x, state):
            return np.tanh(x @ self.W + state[0]), x * 2.0

    class Twins(Own):  # one Tensor as two states
        same_every_step = True
        states = ("h", "c")

        def forward(self, x, state):
            h = np.tanh(x @ self.W + state[0] - state[1] * 0.5)
            return h, h

    class Kept(Own):  # a state that is handed on as it is
        same_every_step = True
        states = ("h", "k")

        def forward(self, x, state):
            return np.tanh(x @ self.W + state[0] * state[1]), state[1]

    class Shown(Own):  # outputs that are matrices
        same_every_step = True

        def forward(self, x, state):
            return (np.tanh(x @ self.W + state[0]),)

        def output(self, state):
            (h,) = state
            return h[:, :, None] * h[:, None, :]

    class Logarithm(Own):  # not defined for the numbers that it is traced with
        same_every_step = True

        def forward(self, x, state):
            return (np.log(x * x + 0.1) @ self.W + np.sqrt(state[0] + 100.0),)

    class Named(Own):  # an op's name for what the loop has no name for
        same_every_step = True

        def forward(self, x, state):
            h = np.tanh(x @ self.W + state[0])
            h.name = "hidden"
            return (h,)

    class Constants(Own):  # Tensors that are no Parameters, in a list
        same_every_step = True

        def __init__(self):
            super().__init__()
            self.constants = [Tensor(np.full(D, 0.5))]

        def forward(self, x, state):
            return (np.tanh(x @ self.W + state[0] * self.constants[0]),)

    agrees(Named(), True)
    cell = Constants()
    agrees(cell, True)
    cell.constants[0] = Tensor(np.full(D, 0.25))
    agrees(cell, True)
    for way in ("full", "lengths", "reverse"):
        agrees(Checkpointed(), False, way)
        agrees(Forgetful(), True, way)
        agrees(Twins(), False, way)
        agrees(Kept(), False, way)
        agrees(Logarithm(), True, way)
        if way in ("full", "reverse"):
            agrees(Shown(), True, way)
    cell = Listed()
    agrees(cell, True)
    cell.Ws[0] = Parameter(numbers(D, D, seed=8))
    agrees(cell, True)


def test_tracing_warns_of_nothing():
    class Root(Own):
        same_every_step = True

        def forward(self, x, state):
            return (np.sqrt(x @ np.abs(self.W)) + state[0],)

    for _ in range(3):
        unroll(cell := Root(), np.ones((1, 3, D)))
    for _ in range(3):
        unroll(cell, np.ones((1, 3, D)))
    with pytest.warns(RuntimeWarning, match="invalid value"):
        unroll(cell, -np.ones((1, 3, D)))  # the user's own numbers


@pytest.mark.parametrize("way", ["full", "lengths"])
def test_a_learned_initial_state_that_broadcasts(way):
    """The first step's state is (d_h,), the others' are (batch, d_h)."""

    class Learned(LSTM):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.h0, self.c0 = Parameter(np.zeros(H)), Parameter(np.zeros(H))

        def initial_state(self, batch=None):
            return self.h0, self.c0

    assert Learned.same_every_step
    cell = cell_of(Learned)

    def once(cell):
        xs = Tensor(numbers(B, T, D), requires_grad=True)
        ys, final = unroll(cell, xs, **WAYS[way][1])
        return xs, (), ys, final

    for _ in range(3):
        ours, theirs = once(cell), once(twin(cell))
        same_outputs(ours, theirs)
        same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))
    assert is_fused(*(run(cell) and run(cell))[3])  # with a state of the batch's it is


# Cells together ---------------------------------------------------------------------------------


def without_promise(module):
    """The module with twins for its cells."""
    module = copy.copy(module)
    for name, value in vars(module).items():
        if isinstance(value, (Cell, Stacked, Bidirectional)):
            setattr(module, name, without_promise(value))
    return twin(module) if isinstance(module, Cell) and module.same_every_step else module


COMPOSITES = {
    "stack": lambda: Stacked([cell_of(LSTM), cell_of(GRU, H, 1)]),
    "residual": lambda: Stacked([cell_of(LSTM), cell_of(GRU, H, 1)], residual=True),
    "both ways": lambda: Bidirectional(cell_of(LSTM), cell_of(GRU, D, 1)),
    "stack of both": lambda: Stacked(
        [Bidirectional(cell_of(GRU), cell_of(GRU, D, 1)), cell_of(MGU, 2 * H, 2)]
    ),
}


@pytest.mark.parametrize("options", [{}, {"lengths": [4, 0, 3]}], ids=["full", "lengths"])
@pytest.mark.parametrize("name", COMPOSITES)
def test_composites_use_it(name, options):
    module = COMPOSITES[name]()

    def once(module):
        xs = Tensor(numbers(B, T, D), requires_grad=True, name="xs")
        ys, final = unroll(module, xs, **options)
        return xs, (), ys, tuple(flat(final))

    for _ in range(2):
        once(module)
    ours, theirs = once(module), once(without_promise(module))
    assert is_fused(ours[2])
    assert not is_fused(theirs[2])
    same_outputs(ours, theirs)
    same_gradients(gradients_of(module, ours), gradients_of(module, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


def test_weights_that_were_made_before_the_step():
    """Rows dropped once per sequence: W * m is made once, and every step reads it."""

    def once(promising):
        cell = VariationalDropout(cell_of(LSTM), 0.3, 0.3, rng=1)
        drawn = cell.sampled()
        assert type(drawn) is LSTM
        xs = Tensor(numbers(B, T, D), requires_grad=True)
        ys, final = unroll(drawn if promising else twin(drawn), xs)
        return cell, (xs, (), ys, final)

    (cell, ours), (their_cell, theirs) = once(True), once(False)
    assert is_fused(ours[2])
    same_outputs(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(their_cell, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


def test_copies_have_plans_of_their_own():
    cell = cell_of(LSTM)
    before = run(cell)
    other = copy.deepcopy(cell)
    for p in other.parameters():
        p.data = p.data * 2
    for _ in range(3):
        same_outputs(run(cell), before)
        same_outputs(run(other), run(twin(other)))
        same_gradients(gradients_of(other, run(other)), gradients_of(other, run(twin(other))))
    assert all(p.grad is None for p in cell.parameters())
    shallow = copy.copy(cell)  # the same Parameters until one is replaced
    shallow.U_f = Parameter(numbers(H, H, seed=3))
    for _ in range(3):
        same_outputs(run(shallow), run(twin(shallow)))
        same_outputs(run(cell), before)


# The plan ---------------------------------------------------------------------------------------


def plan_for(cell, batch=B):
    xs = Tensor(np.zeros((batch, 2, cell.d_in), cell.parameters()[0].dtype), requires_grad=True)
    return fused.plan_of(cell, xs, cell.initial_state(batch))[0]


def names_of(calls):
    return [str(call.op) for call in calls]


def test_the_plan_of_an_lstm_is_what_one_writes_by_hand():
    """Products packed by their left side, biases added before the loop, gates side by side."""
    plan = plan_for(cell_of(LSTM))
    assert names_of(plan.calls["before"]) == ["matmul", "add"]
    assert names_of(plan.calls["loop"]) == [
        *("matmul", "add", "sigmoid", "tanh", "multiply", "multiply", "add", "tanh", "multiply"),
    ]
    assert plan.calls["after"] == []
    gates = plan.calls["before"][0].outs[0].buffer
    assert [c.outs[0].buffer is gates for c in plan.calls["loop"][1:4]] == [True] * 3
    assert [c.outs[0][1:3] for c in plan.calls["loop"][2:4]] == [(0, 3 * H), (3 * H, 4 * H)]
    # kept: the gates, tanh(c) and the states
    kept = {out.buffer for call in plan.calls["loop"] for out in call.outs if out.buffer.kept}
    assert kept == {gates, *plan.states, plan.calls["loop"][-2].outs[0].buffer}
    back = adjoint.backward_of(plan, True, False)
    assert names_of(back.calls["loop"]).count("matmul") == 1
    assert len(back.calls["loop"]) == 9
    assert names_of(back.calls["before"]) == ["matmul"]
    assert [len(p.leaves) for p in back.products] == [4, 4]
    assert [len(s.leaves) for s in back.sums] == [4]


def test_what_no_later_step_needs_is_outside_of_the_loop():
    class Projected(Own):
        same_every_step = True

        def __init__(self):
            super().__init__()
            self.V = Parameter(numbers(D, 5))
            self.d_out = 5

        def forward(self, x, state):
            return (np.tanh(np.sin(x) @ self.W + state[0]),)

        def output(self, state):
            return np.exp(state[0] @ self.V * 0.5)

    plan = plan_for(Projected())
    assert names_of(plan.calls["before"]) == ["sin", "matmul"]
    assert names_of(plan.calls["loop"]) == ["add", "tanh"]
    assert names_of(plan.calls["after"]) == ["matmul", "multiply", "exp"]
    for way in WAYS:
        if WAYS[way][0]:
            agrees(Projected(), True, way)


class LayerNormed(Own):
    """A reduction and a slice inside of the step: rules that run step by step."""

    same_every_step = True
    states = ("h", "c")

    def __init__(self):
        super().__init__()
        self.U = Parameter(numbers(D, 2 * D, seed=2))
        self.s = Parameter(0.3)

    def forward(self, x, state):
        h, c = state
        both = layer_norm(np.concatenate([x, h], axis=-1) @ np.concatenate([self.U, self.U]))
        f, g = sigmoid(both[..., :D]), both[..., D:]
        c = f * c + (1 - f) * g - self.s / (2 + c * c)
        return softmax(c) * np.tanh(c).sum(axis=-1, keepdims=True) @ self.W, c


@every_way
def test_records_of_all_kinds(way):
    if WAYS[way][0]:
        agrees(LayerNormed(), True, way)


@pytest.mark.parametrize("most", [1, 2 * B * H])
@every_kind
def test_blocks_of_steps(kind, most, monkeypatch):
    """Long runs go block by block: here of one step, and of a few."""
    cell = cell_of(kind)
    ways = ("full", "reverse lengths", "holes", "truncated", "truncated lengths")
    expected = {way: gradients_of(cell, run(twin(cell), way)) for way in ways}
    monkeypatch.setattr(execute, "BLOCK_NUMBERS", most)
    monkeypatch.setattr(execute, "BLOCK_ROWS", 1)
    for way in ways:
        ours = run(cell, way)
        assert len(ours[2]._record[4]._record[2]["run"].runs[0].blocks) > 1
        same_outputs(ours, run(twin(cell), way))
        same_gradients(gradients_of(cell, ours), expected[way])
        with no_grad():
            same_outputs(run(cell, way), ours)


@every_way
@every_kind
def test_cells_of_width_one(kind, way):
    """Where a row of several leaves could be taken for one that is broadcast."""
    cell = kind(1, 1, rng=0, dtype=float)
    batched, options = WAYS[way]
    found = []
    for each in (cell, twin(cell)):
        xs = Tensor(numbers(*[B] * batched, T, 1), requires_grad=True)
        found.append(gradients_of(cell, (xs, (), *unroll(each, xs, **options))))
    same_gradients(*found)


def test_why_there_is_no_plan():
    class Mixed(Own):
        same_every_step = True

        def forward(self, x, state):
            return ((x @ self.W + state[0]).astype(np.float32).astype(float),)

    class Outside(Own):
        same_every_step = True

        def forward(self, x, state):
            return (x @ OUTSIDE + state[0],)

    class Counting(Own):
        same_every_step = True
        count = 0

        def forward(self, x, state):
            Counting.count += 1
            return (x @ self.W + state[0] * Counting.count,)

    assert "computes in float64 and in float32" in plan_for(Mixed())
    assert "no attribute of the cell" in plan_for(Outside())
    assert "differ in their records" in plan_for(Counting())
    assert "does not promise" in plan_for(twin(cell_of(LSTM)))
    for kind in (Mixed, Outside):
        agrees(kind(), False)


OUTSIDE = Parameter(numbers(D, D, seed=4))


def test_plans_are_shared_by_cells_of_one_kind():
    first, second = cell_of(LSTM), cell_of(LSTM, seed=1)
    assert plan_for(first) is plan_for(second)
    second.b_f.requires_grad = False
    assert plan_for(first) is not plan_for(second)
    second.U_f = second.U_i  # one Parameter in two places
    same_outputs(run(second), run(twin(second)))
    same_gradients(gradients_of(second, run(second)), gradients_of(second, run(twin(second))))


def test_what_runs_does_not_depend_on_what_ran_before():
    """The first run of a process and the last one have the same bits."""
    results = []
    for _ in range(2):
        fused._plans.clear()
        for _ in range(2):
            cell = cell_of(LSTM)
            result = run(cell)
            gradients = gradients_of(cell, result)
            results.append([a.tobytes() for a in (result[2].data, *gradients.values())])
    assert results[1:] == results[:-1]


def test_no_grad_keeps_nothing_of_the_steps(monkeypatch):
    monkeypatch.setattr(execute, "BLOCK_NUMBERS", 3000)
    monkeypatch.setattr(execute, "IDLE_BYTES", 0)
    cell, xs = cell_of(LSTM), Tensor(numbers(50, 600, D))

    def peak():
        tracemalloc.start()
        try:
            unroll(cell, xs)
            return tracemalloc.get_traced_memory()[1] / (50 * H * 8)  # in arrays of the size of h
        finally:
            tracemalloc.stop()

    unroll(cell, xs)
    recorded = peak()
    with no_grad():
        kept = peak()
    assert 600 * 8 < recorded < 600 * 11  # ys, h, c, tanh(c) and four gates
    assert kept < 600 * 3


def test_arrays_serve_one_run_after_the_other():
    """Those of a tape that lives are its own; those of one that is gone are filled anew."""
    cell = cell_of(LSTM)
    execute.idle.found.clear()

    def once(sign):
        xs = Tensor(sign * numbers(B, T, D), requires_grad=True)
        return xs, (), unroll(cell, xs)[0], ()

    def gradients(result):
        result[0].grad = None
        return gradients_of(cell, result, ("ys",))

    def prepared(result):
        return result[2]._record[4]._record[2]["run"].runs[0].prepared

    first = once(1)
    expected = gradients(first)
    second = once(-1)
    assert prepared(second) is not prepared(first)
    same_gradients(gradients(first), expected)
    used = prepared(second)
    del second
    third = once(1)
    assert prepared(third) is used
    same_gradients(gradients(third), expected)
    assert not execute.idle.found


def test_idle_arrays_have_a_limit(monkeypatch):
    execute.idle.found.clear()
    monkeypatch.setattr(execute, "IDLE_RUNS", 3)
    cell = cell_of(LSTM)
    for steps in range(1, 6):
        unroll(cell, numbers(B, steps, D))
    assert [p.extents[-1][1] for p in execute.idle.found] == [3, 4, 5]
    monkeypatch.setattr(execute, "IDLE_BYTES", 0)
    unroll(cell, numbers(B, 6, D))
    assert not execute.idle.found


def test_a_checkpoint_around_a_run():
    cell = cell_of(LSTM)
    xs = Tensor(numbers(2, 6, D), requires_grad=True)
    found = []
    for around in (lambda f, *a: f(*a), checkpoint):
        xs.grad = None
        for p in cell.parameters():
            p.grad = None
        ys = around(lambda xs: unroll(cell, xs)[0], xs)
        (ys * ys).sum().backward()
        found.append([p.grad for p in (xs, *cell.parameters())])
    for g, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(g, wanted, rtol=1e-12, atol=1e-14)


# Cells that hypothesis draws --------------------------------------------------------------------


UNARY = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "sin": np.sin,
    "exp": lambda v: np.exp(-v * v),
    "softplus": softplus,
    "negative": np.negative,
    "leaky": leaky_relu,
    "norm": layer_norm,
}
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": lambda a, b: a / (2 + b * b),
    "maximum": np.maximum,
}


ROWS = {
    "halves": lambda a, b: np.concatenate([np.split(a, 2, -1)[1], np.tanh(b[..., :2])], -1),
    "quarters": lambda a, b: np.concatenate(np.split(np.tanh(a), 4, -1)[::-1], -1) * b,
    "middle": lambda a, b: a + np.concatenate([b[..., 1:3], b[..., :2]], -1),
    "sum": lambda a, b: a * np.sum(b, -1, keepdims=True),
    "mean": lambda a, b: a - np.mean(b, -1, keepdims=True),
    "max": lambda a, b: a + np.max(np.tanh(b), -1, keepdims=True),
    "std": lambda a, b: a / (1 + np.std(b + np.arange(WIDE, dtype=np.float32), -1, keepdims=True)),
    "softmax": lambda a, b: softmax(a) * b,
}
WIDE = 4


class Drawn(Cell):
    """Values are added to a pool one by one; the last of them are the states and the output."""

    same_every_step = True

    def __init__(self, program, states, dtype):
        self.states = ("h", "c")[:states]
        self.d_in, self.d_h = WIDE, WIDE  # so that every value can stand everywhere
        self.program = program
        for k in range(3):
            setattr(self, f"W{k}", Parameter(0.5 * numbers(WIDE, WIDE, seed=k).astype(dtype)))
            setattr(self, f"b{k}", Parameter(numbers(WIDE, seed=9 + k).astype(dtype)))

    def values(self, x, state):
        pool = [x, *state]
        for kind, name, a, b in self.program:
            left, right = pool[a % len(pool)], pool[b % len(pool)]
            if kind == "product":
                value = left @ getattr(self, f"W{b % 3}")
            elif kind == "turned":
                value = left @ np.tanh(getattr(self, f"W{b % 3}")).T
            elif kind == "rows":
                value = ROWS[name](left, right)
            elif kind == "bias":
                value = BINARY[name](left, getattr(self, f"b{b % 3}"))
            elif kind == "unary":
                value = UNARY[name](left)
            else:
                value = BINARY[name](left, right)
            pool.append(value)
        return pool

    def forward(self, x, state):
        pool = self.values(x, state)
        # bounded, and from as many of the values as can be
        return tuple(np.tanh(v + 0.5 * s) for v, s in zip(pool[-len(state) :], state, strict=True))

    def output(self, state):
        return state[0] if len(self.program) % 2 else state[-1] * 2 + state[0]


programs = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["product", "turned"]),
            st.just(""),
            st.integers(0, 20),
            st.integers(0, 2),
        ),
        st.tuples(
            st.just("rows"),
            st.sampled_from(sorted(ROWS)),
            st.integers(0, 20),
            st.integers(0, 20),
        ),
        st.tuples(st.just("unary"), st.sampled_from(sorted(UNARY)), st.integers(0, 20), st.just(0)),
        st.tuples(
            st.sampled_from(["bias", "binary"]),
            st.sampled_from(sorted(BINARY)),
            st.integers(0, 20),
            st.integers(0, 20),
        ),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(
    programs,
    st.integers(1, 2),
    st.sampled_from([float, np.float32]),
    st.sampled_from([way for way in WAYS if WAYS[way][0]]),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.sampled_from(["ys", "final", "both"]),
)
def test_random_cells(program, states, dtype, way, needs, use):
    cell = Drawn(program, states, dtype)
    for p, need in zip(cell.parameters(), needs, strict=False):
        p.requires_grad = need

    def once(cell):
        xs = Tensor(numbers(B, T, WIDE).astype(dtype), requires_grad=needs[6])
        state = tuple(
            Tensor(
                0.5 * numbers(B, WIDE, seed=k).astype(dtype), requires_grad=needs[7], name=f"s{k}"
            )
            for k in range(states)
        )
        ys, final = unroll(cell, xs, state, **WAYS[way][1])
        return xs, state, ys, final

    ours, theirs = once(cell), once(twin(cell))
    assert is_fused(ours[2])
    tolerance = 1e-12 if dtype is float else 2e-6
    for a, b in zip((ours[2], *ours[3]), (theirs[2], *theirs[3]), strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=tolerance, atol=tolerance)
    assert ours[2].requires_grad >= theirs[2].requires_grad
    parts = {"ys": ["ys"], "final": ["final"], "both": ["ys", "final"]}[use]
    if theirs[2].requires_grad and loss_of(*theirs[2:], parts).requires_grad:
        wanted = gradients_of(cell, theirs, parts)
        found = gradients_of(cell, ours, parts)
        for name, g in wanted.items():
            if g is None:  # nothing leads there: a fused run may say 0
                assert found[name] is None or not found[name].any()
                continue
            scale = max(1.0, abs(g).max())
            np.testing.assert_allclose(found[name], g, rtol=0, atol=tolerance * scale * T)


# Memory and threads -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", ["full", "lengths"])
@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
def test_freed_by_reference_counts_alone(way, read):
    cell = cell_of(LSTM)
    run(cell, way)
    gc.collect()
    gc.disable()
    try:
        xs, state, ys, final = run(cell, way)
        loss = loss_of(ys, final)
        loss.backward()
        if read:
            assert len(Tape(loss).gradients()) > 10
        refs = [weakref.ref(t) for t in (xs, *state, ys, *final, loss)]
        refs.append(weakref.ref(ys.data))
        del xs, state, ys, final, loss
        assert [ref() for ref in refs] == [None] * len(refs)
    finally:
        gc.enable()


def test_a_cell_and_its_plans_are_freed_by_reference_counts_alone():
    gc.collect()
    gc.disable()
    try:
        cell = cell_of(LSTM)
        for way in ("full", "lengths"):
            loss_of(*run(cell, way)[2:]).backward()
        refs = [weakref.ref(cell), weakref.ref(cell.W_f), weakref.ref(cell.W_f.data)]
        del cell
        assert [ref() for ref in refs] == [None] * 3
        assert gc.collect() == 0  # the written functions of the plans too
    finally:
        gc.enable()


@pytest.mark.slow
def test_no_growth_over_1_000_training_steps():
    cell = cell_of(LSTM)
    xs = numbers(2, 3, D)

    def train(steps):
        for k in range(steps):
            ys, final = unroll(cell, xs, lengths=[3, 2] if k % 2 else None)
            loss_of(ys, final).backward()
            for p in cell.parameters():
                p.data = p.data - 0.01 * p.grad
                p.grad = None

    train(50)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(2):  # what Python had kept for use again is emptied, and filled anew
            train(1000)
            assert gc.collect() == 0
        sizes = []
        for _ in range(3):
            sizes.append(tracemalloc.get_traced_memory()[0])
            train(1000)
            assert gc.collect() == 0  # nothing to find; asked, as it empties Python's free lists
        sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        gc.enable()
    # A float a step is 24,000 each time; the test runner may receive something once.
    assert min(np.diff(sizes)) < 8_000, sizes


def together(*functions):
    """Run them in threads that start at once; raises what they raise."""
    errors = []
    start = threading.Barrier(len(functions))

    def guarded(f):
        start.wait()
        try:
            f()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def trained(cell, steps=40):
    xs = numbers(2, 5, D)
    for _ in range(steps):
        ys, final = unroll(cell, xs)
        y, final = cell(xs[:, 0], final)
        (loss_of(ys, final) + np.sum(y * y)).backward()
        for p in cell.parameters():
            p.data = p.data - 0.01 * p.grad
            p.grad = None
    return {name: p.data for name, p in cell.named_parameters()}


def test_two_threads_train_two_models():
    expected = [trained(twin(cell_of(kind))) for kind in (LSTM, GRU)]
    cells = [cell_of(LSTM), cell_of(GRU)]
    together(*(lambda cell=cell: trained(cell) for cell in cells))
    for cell, wanted in zip(cells, expected, strict=True):
        same_gradients({name: p.data for name, p in cell.named_parameters()}, wanted, 1e-9)


def test_two_threads_share_one_cells_plan():
    cell = cell_of(LSTM)
    data = [numbers(2, 5, D, seed=k) for k in range(4)]

    def gradient(cell, xs):
        return grad(lambda xs: loss_of(*unroll(cell, xs)))(xs)

    expected = [gradient(twin(cell), xs) for xs in data]
    found = [[] for _ in data]

    def work(k):
        for _ in range(25):
            found[k].append(gradient(cell, data[k]))

    together(*(lambda k=k: work(k) for k in range(4)))
    for k, gradients in enumerate(found):
        assert len(gradients) == 25
        for g in gradients:
            np.testing.assert_allclose(g, expected[k], rtol=1e-12, atol=1e-12)


def test_a_gate_of_ones_own_stays_what_it_was():
    """The equations of the README's kind of cell, written out, against a promised LSTM's run."""
    cell = cell_of(LSTM)
    xs, (h, c), ys, final = run(cell)
    h, c = h.data, c.data
    for t in range(T):
        f, i, o = (
            sigmoid(xs.data[:, t] @ W.data + h @ U.data + b.data)
            for W, U, b in (
                (cell.W_f, cell.U_f, cell.b_f),
                (cell.W_i, cell.U_i, cell.b_i),
                (cell.W_o, cell.U_o, cell.b_o),
            )
        )
        g = np.tanh(xs.data[:, t] @ cell.W_g.data + h @ cell.U_g.data + cell.b_g.data)
        c = f * c + i * g
        h = o * np.tanh(c)
        close(ys.data[:, t], h)
    close(final[1].data, c)
