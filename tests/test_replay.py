"""Replayed steps against recorded ones: the same numbers, gradients, tapes and memory.

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

from helpers import flat, numbers
from unspool import Parameter, Tape, Tensor, check_grads, grad, no_grad, scope, unroll
from unspool.autograd import checkpoint, detect_anomaly, dropout, hessian, sigmoid
from unspool.autograd.replay import LeafGradients, Plan, numbers_read
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
    "loop": (True, None),
    "unbatched loop": (False, None),
}
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(autouse=True, params=[False, True], ids=["kept", "dropped"])
def dropping(request, monkeypatch):
    """Whether the results that no rule reads are dropped: both ways, for as few as there are."""
    monkeypatch.setattr(fused, "copies_pay", lambda *_: request.param)
    return request.param


copies_pay = fused.copies_pay  # when they are dropped in earnest


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


def loop(cell, xs, state, order=None):
    """A loop over cell(x, state) as one writes it oneself."""
    ys = []
    for t in order or range(xs.shape[-2]):
        with scope("mine"), scope(f"t={t + 1}", step=t + 1):
            y, state = cell(xs[..., t, :], state)
        ys.append(y)
    return np.stack(ys, axis=xs.ndim - 2), state


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
    if options is None:
        ys, final = loop(cell, xs, state)
    else:
        ys, final = unroll(cell, xs, state, **options)
    return xs, state, ys, final


def replayed(cell, way="full"):
    """The third run on the same shapes."""
    for _ in range(2):
        run(cell, way)
    return run(cell, way)


def is_replayed(*outputs):
    """Whether a replay stands behind the outputs, before anyone reads their tape."""
    stack, seen = list(outputs), set()
    while stack:
        t = stack.pop()
        if t in seen or t._record is None:
            continue
        seen.add(t)
        if t._record[1] == "replay":
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


def same_bits(a, b):
    """Outputs and final states."""
    for x, y in zip((a[2], *a[3]), (b[2], *b[3]), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        assert x.data.tobytes() == y.data.tobytes()


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
            r.output.data.tobytes(),
            [(at.get(x), x.name, x.shape, x.dtype, x.data.tobytes()) for x in r.inputs],
        )
        for r in tape
    ]


def same_tapes(a, b):
    for ours, theirs in zip(lines(a), lines(b), strict=True):
        assert ours == theirs
    assert str(a) == str(b)
    for tape in (a, b):
        indices = [record.index for record in tape]
        assert indices == sorted(set(indices))


# The same as recorded -----------------------------------------------------------------------------


@pytest.mark.slow
@every_way
@every_kind
def test_numbers_gradients_and_tapes_are_the_recorded_ones(kind, way):
    cell = cell_of(kind)
    ours, theirs = replayed(cell, way), run(twin(cell), way)
    assert is_replayed(ours[2])
    assert not is_replayed(theirs[2], *theirs[3])
    same_bits(ours, theirs)
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
    assert not is_replayed(ys)
    same_gradients(gradients_of(cell, (xs, state, ys, final)), _twice(expected, xs, state))


def _twice(expected, xs, state):
    """Leaves that were given to a run keep what the first pass added; parameters were cleared."""
    given = {"xs", *(s.name for s in state)}
    return {name: 2 * g if name in given else g for name, g in expected.items()}


@pytest.mark.parametrize("use", [("ys",), ("final",), ("ys", "final")], ids="+".join)
@pytest.mark.parametrize("way", ["full", "holes", "loop"])
@every_kind
def test_outputs_used_alone(kind, way, use):
    cell = cell_of(kind)
    expected = gradients_of(cell, run(twin(cell), way), use)
    same_gradients(gradients_of(cell, replayed(cell, way), use), expected)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("way", ["full", "lengths", "reverse", "loop"])
def test_one_of_two_final_states_alone(way, which):
    cell = cell_of(LSTM)

    def gradients(result):
        xs, state, _, final = result
        kept = final[which]
        return gradients_of(cell, (xs, state, kept, ()), "ys")

    same_gradients(gradients(replayed(cell, way)), gradients(run(twin(cell), way)))


def test_outputs_that_died_are_not_missed():
    cell = cell_of(LSTM)
    for part in range(3):
        _, _, ys, (h, c) = replayed(cell)
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

    same_gradients(gradients(replayed(cell, way)), gradients(run(twin(cell), way)))


@pytest.mark.parametrize("way", ["full", "holes", "loop"])
@every_kind
def test_backward_twice(kind, way):
    cell = cell_of(kind)
    result = replayed(cell, way)
    once = gradients_of(cell, result)
    xs, state, *_ = result
    same_gradients(gradients_of(cell, result), _twice(once, xs, state))


def test_two_calls_in_a_row_and_the_same_inputs_twice():
    """The state of a replay goes into another, and one xs into two."""

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
    assert is_replayed(ours[2])
    same_bits(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


@every_kind
def test_long_sequences_sum_in_several_goes(kind, monkeypatch):
    """More steps than are buffered: 256 rows, here 6 steps of 20."""
    monkeypatch.setattr("unspool.autograd.buffers.BUFFER_ROWS", 128)
    monkeypatch.setattr("unspool.autograd.buffers.BUFFER_NUMBERS", 1)
    cell = cell_of(kind)
    xs = numbers(20, 45, D)
    flushed = []
    flush = LeafGradients.flush
    monkeypatch.setattr(
        LeafGradients, "flush", lambda self, slot: flushed.append(slot) or flush(self, slot)
    )

    def gradients(cell):
        for p in cell.parameters():
            p.grad = None
        ys, final = unroll(cell, xs)
        loss_of(ys, final).backward()
        return {name: p.grad for name, p in cell.named_parameters()}

    expected = gradients(twin(cell))
    for _ in range(3):
        same_gradients(gradients(cell), expected, 1e-11)
    assert flushed.count(0) >= 45 // 6


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
        assert is_replayed(ours[2])
        assert ours[2].dtype == dtype
        same_bits(ours, theirs)
        tolerance = 1e-12 if dtype is float else 1e-5
        same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs), tolerance)
        same_tapes(Tape(ours[2]), Tape(theirs[2]))


@every_way
def test_no_grad_gives_the_same_numbers(way):
    cell = cell_of(LSTM)
    expected = run(twin(cell), way)
    for _ in range(3):
        with no_grad():
            got = run(cell, way)
        same_bits(got, expected)
        assert got[2]._record is None
        assert not got[2].requires_grad
    same_bits(replayed(cell, way), expected)


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
@pytest.mark.parametrize("way", ["full", "lengths", "loop"])
@every_kind
def test_second_derivatives(kind, way):
    cell = cell_of(kind)
    batched, options = WAYS[way]

    def penalty(cell):
        for p in cell.parameters():
            p.grad = None
        xs, state = inputs_of(cell, batched)

        def loss(xs, state):
            ys, final = (
                loop(cell, xs, state) if options is None else unroll(cell, xs, state, **options)
            )
            return loss_of(ys, final)

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


# What changes between runs ------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["full", "lengths", "loop"])
def test_a_tape_read_after_an_update_shows_the_values_of_the_run(way):
    """The results of the ops; a parameter itself is changed in place, here and when recorded."""
    cell = cell_of(GRU)
    _, _, ys, final = replayed(cell, way)
    _, _, their_ys, their_final = run(twin(cell), way)
    for p in cell.parameters():
        p.data -= 0.25
    same_tapes(Tape(ys, *final), Tape(their_ys, *their_final))
    assert run(cell, way)[2].data.tobytes() == run(twin(cell), way)[2].data.tobytes()


def test_weights_that_are_not_compact():
    """NumPy multiplies by them without BLAS, and by a copy with it: all results are kept."""
    cell = LSTM(40, 30, rng=0)
    for p in cell.parameters():
        p.data = np.repeat(p.data, 2, axis=-1)[..., ::2]
    xs = numbers(T, 40).astype(np.float32)
    for _ in range(3):
        ys, _ = unroll(cell, xs)
    their_ys, _ = unroll(twin(cell), xs)
    assert is_replayed(ys)
    for p in cell.parameters():
        p.data -= 0.25
    same_tapes(Tape(ys), Tape(their_ys))


def test_weights_that_are_replaced_within_a_loop():
    cell = cell_of(LSTM)
    xs, *_ = replayed(cell, "loop")
    before = {p: p.data for p in cell.parameters()}

    def changing(cell):
        state = cell.initial_state(B)
        for t in range(T):
            _, state = cell(xs[:, t], state)
            for p in cell.parameters():
                p.data = p.data * 1.5
        for p, data in before.items():
            p.data = data
        return state

    state, theirs = changing(cell), changing(twin(cell))
    assert is_replayed(*state)
    for r, s in zip(Tape(*state), Tape(*theirs), strict=True):
        assert r.output.data.tobytes() == s.output.data.tobytes()


def values_of(tape):
    """The results on a tape, but for the slices of the input, which are views of it."""
    return [r.output.data.copy() for r in tape if r.op != "getitem"]


def test_an_update_that_the_outputs_do_not_show():
    """Every unit is dead, before and after: only the sums before the activation have changed."""
    cell = cell_of(Elman, activation="relu")
    cell.b.data[...] = -100
    _, _, ys, _ = replayed(cell)
    their_ys = run(twin(cell))[2]
    for p in cell.parameters():
        p.data += 1
    same_tapes(Tape(ys), Tape(their_ys))


@pytest.mark.parametrize("way", ["full", "loop"])
def test_inputs_and_states_that_are_overwritten(way, dropping):
    """As a buffer is for the next batch, or the state of a text that has ended."""
    cell = cell_of(LSTM)
    xs, state, ys, (_, c) = replayed(cell, way)
    wanted = values_of(Tape(*run(twin(cell), way)[2:3]))
    xs.data += 1
    for s in state:
        s.data *= 2
    c.data[0] = 0
    tape = Tape(ys)
    if dropping and way == "full":  # the slices too are those of the run
        x, product = (
            next(r.output.data for r in tape if r.op == op) for op in ("getitem", "matmul")
        )
        np.testing.assert_array_equal(x @ cell.W_f.data, product)
    for found, value in zip(values_of(tape), wanted, strict=True):
        if found.shape != c.shape or not (found[0] == 0).all():  # that is c, as it is now
            np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("what", ["the state", "a weight"])
def test_what_was_overwritten_in_a_loop_is_not_made_up(what, dropping):
    cell = cell_of(LSTM)
    xs, state, _, _ = replayed(cell, "loop")
    states = [state]
    for t in range(3):
        _, state = cell(xs[:, t], state)
        states.append(state)
        if what == "a weight":
            cell.U_o.data += 1
    if what == "the state":
        states[1][0].data[...] = 0
    if dropping:
        with pytest.raises(
            RuntimeError, match=r"overwritten in the middle of a loop.*p\.data \* 2"
        ):
            Tape(*state)
    else:
        assert len(Tape(*state)) > 75


def test_updates_within_a_loop_that_goes_on():
    """Backpropagation through time without a cut: each step sees the weights as they then were."""
    cell = cell_of(LSTM)
    xs, *_ = replayed(cell, "loop")
    before = [p.data.copy() for p in cell.parameters()]

    def values(cell):
        for p, data in zip(cell.parameters(), before, strict=True):
            p.data[...] = data
        state = cell.initial_state(B)
        for t in range(T):
            _, state = cell(xs[:, t], state)
            state[0].sum().backward()
            for p in cell.parameters():
                p.data += 1e-9
                p.grad = None
        return values_of(Tape(*state))

    for found, value in zip(values(cell), values(twin(cell)), strict=True):
        assert found.tobytes() == value.tobytes()


@pytest.mark.parametrize("shape", [(H,), (B, H)])
def test_a_learned_state_before_the_first_step(shape):
    cell, xs = cell_of(GRU), numbers(*shape[:-1], T, D)
    h = Parameter(np.full(shape, 0.5))
    for _ in range(3):
        loss = unroll(cell, xs, (h,))[0].sum()
        loss.backward()
    wanted = values_of(Tape(unroll(twin(cell), xs, (h,))[0].sum()))
    for p in (h, *cell.parameters()):
        p.data -= 0.1 * p.grad
    for found, value in zip(values_of(Tape(loss)), wanted, strict=True):
        np.testing.assert_array_equal(found, value)


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
    _, _, ys, final = replayed(cell, way)
    _, _, their_ys, their_final = run(twin(cell), way)
    assert is_replayed(ys)
    same_tapes(Tape(ys, *final), Tape(their_ys, *their_final))


@pytest.mark.parametrize("name", ["a", "low"])  # an operand, and an option of an op
def test_a_number_that_was_changed_since_the_run(name):
    cell = Scaled()
    _, _, ys, _ = replayed(cell)
    setattr(cell, name, 0.1)
    with pytest.raises(RuntimeError, match="the cell was changed since it ran"):
        Tape(ys)


def test_weights_of_another_shape_since_the_run():
    cell = cell_of(Elman)
    _, _, ys, _ = replayed(cell)
    cell.U.data = numbers(H + 1, H + 1)
    with pytest.raises(RuntimeError, match=r"the cell was changed since it ran.*matmul of"):
        Tape(ys)


def test_reading_a_tape_warns_of_nothing():
    cell = cell_of(Elman, activation="relu")
    _, _, ys, _ = replayed(cell)
    for p in cell.parameters():
        p.data[...] = 1e308
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Tape(ys)) > 20


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_a_copied_output_has_the_same_tape(kind):
    cell = cell_of(kind)
    for way in ("full", "loop"):
        _, _, ys, final = replayed(cell, way)
        y = ys if way == "full" else final[-1]
        other = copy.copy(y)
        for a, b in zip(Tape(other), Tape(y), strict=True):
            assert (a.op, a.scope, a.step) == (b.op, b.scope, b.step)
            assert a.output.data.tobytes() == b.output.data.tobytes()
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
    assert not is_replayed(ys)


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
    assert is_replayed(ys)
    with pytest.raises(NotImplementedError, match="no gradient"):
        ys.sum().backward()


def test_an_array_of_the_code_lets_nothing_be_dropped():
    class Masked(Scaled):
        same_every_step = True

        def __init__(self):
            super().__init__()
            self.mask = np.ones(H)

        def forward(self, x, state):
            return (np.tanh(x @ self.W * self.mask + state[0]),)

    cell = Masked()
    _, _, ys, _ = replayed(cell)
    wanted = values_of(Tape(run(twin(cell))[2]))
    cell.W.data *= 2
    cell.mask[...] = 0
    for found, value in zip(values_of(Tape(ys)), wanted, strict=True):
        np.testing.assert_array_equal(found, value)


def test_gradients_after_new_arrays_are_those_of_the_run():
    """``p.data = ...`` in place of ``p.data[...] = ...``: what ran keeps the old array."""
    for way in ("full", "loop"):
        cell = cell_of(LSTM)
        expected = gradients_of(cell, run(twin(cell), way))
        result, tape_of = replayed(cell, way), replayed(cell, way)[2]
        theirs = run(twin(cell), way)[2]
        before = {p: p.data for p in cell.parameters()}
        for p in cell.parameters():
            p.data = p.data * 2 + 1
        same_gradients(gradients_of(cell, result), expected)
        tape, their_tape = Tape(tape_of), Tape(theirs)
        for r, s in zip(tape, their_tape, strict=True):
            assert r.output.data.tobytes() == s.output.data.tobytes()
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
    result = replayed(cell, way)
    cell.load_state_dict(cell_of(LSTM, seed=1).state_dict())
    same_gradients(gradients_of(cell, result), expected)
    again = run(cell, way)
    assert is_replayed(again[2])
    same_bits(again, run(twin(cell), way))
    same_gradients(gradients_of(cell, again), gradients_of(cell, run(twin(cell), way)))


def test_parameters_that_are_replaced():
    cell = cell_of(LSTM)
    result = replayed(cell)
    cell.W_f = Parameter(numbers(D, H, seed=3))
    for _ in range(3):
        same_bits(run(cell), run(twin(cell)))
        same_gradients(gradients_of(cell, run(cell)), gradients_of(cell, run(twin(cell))))
    assert is_replayed(run(cell)[2])
    # What ran before has its gradient, but its steps cannot be recorded again.
    loss_of(*result[2:]).backward()
    with pytest.raises(RuntimeError, match="cell was changed since it ran"):
        Tape(result[2])


def test_an_attribute_that_is_changed():
    cell = cell_of(Elman)
    result = replayed(cell)
    cell.activation = "relu"
    with pytest.raises(RuntimeError, match="cell was changed since it ran"):
        Tape(result[2])
    for _ in range(3):
        same_bits(run(cell), run(twin(cell)))
    assert (run(cell)[2].data == 0).any()


def test_parameters_that_are_frozen():
    cell = cell_of(LSTM)
    replayed(cell)
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
    assert is_replayed(ys)
    cell.unfreeze()
    for _ in range(3):
        same_gradients(gradients_of(cell, run(cell)), gradients_of(cell, run(twin(cell))))


def test_parameters_that_were_frozen_when_the_plan_was_made():
    for way in ("full", "loop"):
        cell = cell_of(LSTM).freeze()
        assert is_replayed(replayed(cell, way)[2])
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
        assert not is_replayed(ys)  # that plan was made to find gradients


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
    assert is_replayed(result[2])
    cell.U_f.data = cell.U_f.data.astype(np.float64)
    for _ in range(3):
        result, theirs = once(cell), once(twin(cell))
        same_bits(result, theirs)
        assert not is_replayed(result[2])  # a step of two dtypes is recorded
        same_gradients(gradients_of(cell, result), gradients_of(cell, theirs))
    for p in cell.parameters():
        p.data = p.data.astype(np.float64)
    for _ in range(3):
        same_bits(run(cell), run(twin(cell)))
    assert is_replayed(run(cell)[2])


def test_many_shapes():
    """More than are kept, each of them again and again."""
    cell = cell_of(GRU)
    for _ in range(3):
        for batch in range(1, 25):
            xs = numbers(batch, 2, D, seed=batch)
            ys, _ = unroll(cell, xs)
            assert ys.data.tobytes() == unroll(twin(cell), xs)[0].data.tobytes()


def test_anomalies_are_looked_for_op_by_op():
    cell = cell_of(LSTM)
    xs, _, _, _ = replayed(cell)
    with detect_anomaly():
        ys, _ = unroll(cell, xs)
    assert not is_replayed(ys)
    cell.U_g.data[0, 0] = 1e308
    state = tuple(Tensor(np.full((B, H), 10.0)) for _ in "hc")
    with (
        np.errstate(all="ignore"),
        detect_anomaly(),
        pytest.raises(FloatingPointError, match=r"matmul of .*U_g .* in lstm / t=1 / candidate"),
    ):
        unroll(cell, xs, state)


# Who is replayed ----------------------------------------------------------------------------------


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
    """The third run equals the recorded one, and was replayed or not."""
    xs = numbers(B, T, cell.d_in)

    def once(cell):
        x = Tensor(xs, requires_grad=True)
        ys, final = loop(cell, x, None) if way == "loop" else unroll(cell, x, **WAYS[way][1])
        return x, (), ys, final

    for _ in range(3):
        once(cell)
    ours, theirs = once(cell), once(twin(cell))
    assert is_replayed(ours[2]) == served
    same_bits(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


def test_a_cell_that_promises_is_replayed():
    for way in ("full", "holes", "loop"):
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


def test_no_promise_no_replay():
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
    assert not any(map(is_replayed, runs))
    assert len({ys.data.tobytes() for ys in runs}) == 6
    branching = Branching()
    for sign in (1, -1, 1, -1, 1):
        ys, _ = unroll(branching, sign * np.ones((1, 2, D)))
        assert not is_replayed(ys)
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
        assert not is_replayed(ys), kind
    agrees(Reading(), False)


def test_promises_that_are_kept_in_odd_ways():
    class Checkpointed(Own):  # an op made anew in each step
        same_every_step = True

        def forward(self, x, state):
            return (checkpoint(lambda x, h: np.tanh(x @ self.W + h), x, state[0]),)

    class Listed(Own):  # Parameters where nobody looks for a change
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

    agrees(Named(), True, "loop")
    cell = Constants()
    agrees(cell, False)
    cell.constants[0] = Tensor(np.full(D, 0.25))
    agrees(cell, False)
    for way in ("full", "lengths", "reverse", "loop"):
        agrees(Checkpointed(), False, way)
        agrees(Forgetful(), False, way)
        agrees(Twins(), False, way)
        agrees(Kept(), False, way)
        agrees(Logarithm(), True, way)
        if way in ("full", "reverse"):
            agrees(Shown(), True, way)
    cell = Listed()
    agrees(cell, False)
    cell.Ws[0] = Parameter(numbers(D, D, seed=8))
    agrees(cell, False)


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


@pytest.mark.parametrize("way", ["full", "lengths", "loop"])
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
        ys, final = loop(cell, xs, None) if way == "loop" else unroll(cell, xs, **WAYS[way][1])
        return xs, (), ys, final

    for _ in range(3):
        ours, theirs = once(cell), once(twin(cell))
        same_bits(ours, theirs)
        same_gradients(gradients_of(cell, ours), gradients_of(cell, theirs))
    assert is_replayed(*(run(cell) and run(cell))[3])  # with a state of the batch's it is


# Cells together -----------------------------------------------------------------------------------


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
    assert is_replayed(ours[2])
    assert not is_replayed(theirs[2])
    same_bits(ours, theirs)
    same_gradients(gradients_of(module, ours), gradients_of(module, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


def test_one_step_of_a_stack():
    module = COMPOSITES["stack"]()

    def once(module):
        xs, state = Tensor(numbers(B, T, D), requires_grad=True), None
        ys = []
        for t in range(T):
            y, state = module(xs[:, t], state)
            ys.append(y)
        return xs, (), np.stack(ys, axis=1), tuple(flat(state))

    for _ in range(2):
        once(module)
    ours, theirs = once(module), once(without_promise(module))
    assert is_replayed(ours[2])
    same_bits(ours, theirs)
    same_gradients(gradients_of(module, ours), gradients_of(module, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


def test_weights_that_were_made_before_the_step():
    """Rows dropped once per sequence: W * m is made once, and every step reads it."""

    def once(promising):
        cell = VariationalDropout(cell_of(LSTM), 0.3, 0.3, rng=1)
        drawn = cell.sampled()
        assert type(drawn) is LSTM
        xs = Tensor(numbers(B, T, D), requires_grad=True)
        ys, final = loop(drawn if promising else twin(drawn), xs, None)
        return cell, (xs, (), ys, final)

    (cell, ours), (their_cell, theirs) = once(True), once(False)
    assert is_replayed(ours[2])
    same_bits(ours, theirs)
    same_gradients(gradients_of(cell, ours), gradients_of(their_cell, theirs))
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


def test_copies_have_plans_of_their_own():
    cell = cell_of(LSTM)
    before = replayed(cell)
    other = copy.deepcopy(cell)
    for p in other.parameters():
        p.data *= 2
    for _ in range(3):
        same_bits(run(cell), before)
        same_bits(run(other), run(twin(other)))
        same_gradients(gradients_of(other, run(other)), gradients_of(other, run(twin(other))))
    assert all(p.grad is None for p in cell.parameters())
    shallow = copy.copy(cell)  # the same Parameters until one is replaced
    shallow.U_f = Parameter(numbers(H, H, seed=3))
    for _ in range(3):
        same_bits(run(shallow), run(twin(shallow)))
        same_bits(run(cell), before)


# The plan -----------------------------------------------------------------------------------------


def test_the_plan_is_readable():
    cell = cell_of(Elman)

    def step(x, h):
        return cell.forward(x, (h,))

    plan = Plan.of(step, [(B, D), (B, H)], np.dtype(float), [False, True])
    assert plan is not None
    assert plan.source.splitlines() == [
        "def forward(inputs, leaves):",
        "    i0, i1, = inputs",
        "    l0, l1, l2, = leaves",
        "    v0 = f0(i0, l0)  # matmul",
        "    v1 = f1(i1, l1)  # matmul",
        "    v2 = f2(v0, v1)  # add",
        "    del v0, v1",
        "    v3 = f3(v2, l2)  # add",
        "    del v2",
        "    v4 = f4(v3)  # tanh",
        "    del v3",
        "    return (v4, ), None",
        "",
        *plan.source.splitlines()[13:],
    ]
    whole = plan.source[plan.source.index("def whole") : plan.source.index("def backward")]
    assert whole.splitlines() == [
        "def whole(inputs, leaves):",
        *[line for line in plan.source.splitlines()[1:11] if "del " not in line],
        "    return (v4, ), (v0, v1, v2, v3, )",
        "",
    ]
    back = plan.source[plan.source.index("def backward") :].splitlines()
    assert back[0] == "def backward(inputs, leaves, results, gradients, buffers):"
    assert back[1:5] == [
        "    i0, i1, = inputs",
        "    l0, l1, l2, = leaves",
        "    v4, = results",
        "    o0, = gradients",
    ]
    assert [line.split(" = ")[0].strip() for line in back[5:] if " = " in line] == [
        "g_v4",
        "g_v3",
        "g_v2",
        "g_v0",
        "g_v1",
        "g_i1",
    ]
    # The products of W and U wait as they are, to be one product over all steps; b's is a sum.
    waiting = [line.split("(", 1)[1][:6] for line in back if "buffers[" in line]
    assert sorted(waiting) == ["(g_v0,", "(g_v1,", waiting[0]]
    assert waiting[0].startswith("r")
    assert back[-2 if not back[-1] else -1].strip() == "return (None, g_i1, )"
    assert plan.leaves == [cell.W, cell.U, cell.b]
    # It is what it says: NumPy's functions on arrays.
    x, h = numbers(B, D), numbers(B, H)
    results, others = plan.forward((x, h), [p.data for p in plan.leaves])
    assert others is None
    np.testing.assert_array_equal(
        results[plan.outputs[0]], np.tanh(x @ cell.W.data + h @ cell.U.data + cell.b.data)
    )
    (y,), others = plan.whole((x, h), [p.data for p in plan.leaves])
    assert y.tobytes() == results[0].tobytes() == np.tanh(others[-1]).tobytes()


KEPT = {  # the results of the ops that some rule reads
    Elman: ["tanh"],
    LSTM: ["sigmoid", "sigmoid", "sigmoid", "tanh", "add", "tanh", "multiply"],
    # r, r * h for the product with U, h~, 1 - z, the new state
    GRU: ["sigmoid", "sigmoid", "multiply", "tanh", "subtract", "add"],
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_no_rule_reads_is_not_kept(kind):
    cell = cell_of(kind)
    n = len(cell.states)
    plan = Plan.of(
        lambda x, *state: cell.forward(x, state),
        [(B, D), *[(B, H)] * n],
        np.dtype(float),
        [True] * (n + 1),
    )
    assert plan is not None
    assert [str(plan.lines[k][0]) for k in plan.kept] == KEPT[kind]


def copies_of(*outputs):
    """For each output of a replay the copies of its weights, None where it kept all results."""
    runs = []
    for y in outputs:
        record = y._record
        if record[1] == "output":
            record = operands_of(y)[0]._record
        runs.append(record[2]["run"].copies)
    return runs


def test_when_results_are_dropped(monkeypatch):
    """When they take at least a megabyte, and twice as much as the weights."""
    monkeypatch.setattr(fused, "copies_pay", copies_pay)
    cell = LSTM(32, 64, rng=0)  # 25 KB of weights a gate; 18 results of 16 KB at batch 64
    xs = Tensor(np.ones((64, 12, 32), np.float32))
    for steps, dropped in ((3, False), (4, True)):
        for _ in range(3):
            ys, _ = unroll(cell, xs[:, :steps])
        assert (copies_of(ys)[0] is not None) is dropped
    states, state = [], cell.initial_state(64)
    for t in [0, 1, *range(12)]:  # the first two are recorded
        state = cell.initial_state(64) if t == 0 else state
        _, state = cell(xs[:, t], state)
        states.append(state[0])
    *first, fourth, fifth = copies_of(*states[2:7])
    assert first == [None] * 3
    assert fourth is fifth is copies_of(states[-1])[0]
    assert [a.tobytes() for a in fourth.arrays] == [p.data.tobytes() for p in cell.parameters()]
    wide = LSTM(128, 256, rng=0)  # 1.6 MB of weights: results of 100 steps at batch 1 are as much
    for _ in range(3):
        ys, _ = unroll(wide, np.ones((1, 100, 128), np.float32))
    assert copies_of(ys) == [None]


def test_what_a_rule_needs_of_an_array():
    """A rule is tried without the numbers of each array; what it reads, even of one, is kept."""
    x = numbers(2, 3)

    def read(call):
        return numbers_read(call, [x, x + 1], [0, 1])

    assert read(lambda a, b: a * b) == [0, 1]
    assert read(lambda a, b: a * b.size + b.ndim) == [0]
    assert read(lambda a, b: np.zeros(a.shape, b.dtype)) == []
    assert read(lambda a, b: [None, b.sum()]) == [1]
    assert read(lambda a, b: np.where(b > 0, 1, 2)) == [1]
    assert read(lambda a, b: np.where(b == 0, 1, 2)) == [1]
    assert read(lambda a, b: 1 if b is None else np.asarray(a)) == [0]
    assert read(lambda a, b: x if a.__class__ is np.ndarray else x * 2) == [0]
    assert read(lambda a, b: x if len(b) == 2 else None) == [1]
    assert read(lambda a, b: x if all(True for _ in a) else None) == [0]
    assert read(lambda a, b: np.float64(1) * a.shape[0]) == []


def test_no_plan_of_a_step_of_two_dtypes_or_without_records():
    p = Parameter(np.ones(D, np.float32))
    shapes = [(B, D), (B, D)]
    double = np.dtype(float)
    assert Plan.of(lambda x, h: (x + h * p,), shapes, double, [True, True]) is None
    assert Plan.of(lambda x, h: (x,), shapes, double, [True, True]) is None
    assert Plan.of(lambda x, h: (x + h,), shapes, double, [True, True]) is not None


# Memory and threads -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", ["full", "lengths", "loop"])
@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
def test_freed_by_reference_counts_alone(way, read):
    cell = cell_of(LSTM)
    replayed(cell, way)
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
        for way in ("full", "lengths", "loop"):
            loss_of(*replayed(cell, way)[2:]).backward()
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
                p.data -= 0.01 * p.grad
                p.grad = None

    train(50)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(2):  # what Python had kept for use again is emptied, and filled anew
            train(1000)
            assert gc.collect() == 0
        before, _ = tracemalloc.get_traced_memory()
        train(1000)
        assert gc.collect() == 0  # nothing to find; asked, since it empties Python's free lists
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 8_000  # a float a step: 24,000


def test_no_grad_keeps_nothing_of_the_steps(dropping):
    cell, xs = cell_of(LSTM), numbers(50, 60, D)

    def peak():
        tracemalloc.start()
        try:
            unroll(cell, xs)
            return tracemalloc.get_traced_memory()[1] / (50 * H * 8)  # in arrays of the size of h
        finally:
            tracemalloc.stop()

    for _ in range(2):
        unroll(cell, xs)
    recorded = peak()
    with no_grad():
        kept = peak()
    assert 60 * 7 < recorded < 60 * 12 if dropping else recorded > 60 * 25
    assert kept < 60 * 3


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
            p.data -= 0.01 * p.grad
            p.grad = None
    return {name: p.data for name, p in cell.named_parameters()}


def test_two_threads_train_two_models():
    expected = [trained(twin(cell_of(kind))) for kind in (LSTM, GRU)]
    cells = [cell_of(LSTM), cell_of(GRU)]
    together(*(lambda cell=cell: trained(cell) for cell in cells))
    for cell, wanted in zip(cells, expected, strict=True):
        same_gradients({name: p.data for name, p in cell.named_parameters()}, wanted, 1e-9)


@pytest.mark.parametrize("batch", [3, 150])
def test_steps_of_a_loop_share_one_sum_of_their_weights_gradients(batch):
    """Also where every step's contributions are summed at once, in two passes, beside others."""
    cell = cell_of(LSTM)
    xs = Tensor(numbers(batch, 6, D))

    def gradients(cell):
        state, outputs = cell.initial_state(batch), []
        for t in range(6):
            y, state = cell(xs[:, t], state)
            outputs.append(y)
        loss = np.stack(outputs).sum() + (cell.W_f**2).sum()
        found = Tape(loss).gradients()
        for p in cell.parameters():
            p.grad = None
        loss.backward()
        loss.backward()
        return [(p.grad, 2 * found[p]) for p in cell.parameters()]

    for _ in range(3):
        found = gradients(cell)
    plain = gradients(twin(cell))
    for (g, of_tape), (wanted, _) in zip(found, plain, strict=True):
        np.testing.assert_allclose(g, wanted, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(of_tape, wanted, rtol=1e-11, atol=1e-12)


def test_a_checkpoint_around_steps_finds_the_cells_weights():
    """What stands for the weights in a step's record is no operand of the checkpoint's."""
    cell = cell_of(LSTM)
    xs = Tensor(numbers(2, 6, D))

    def steps(xs, state):
        for t in range(3):
            _, state = cell(xs[:, t], state)
        return state

    state = cell.initial_state(2)
    for _ in range(3):
        steps(xs, state)
    sums = []
    for f in (lambda *a: checkpoint(steps, *a), steps):
        h, _ = f(xs[:, 3:], f(xs[:, :3], state))
        if f is not steps:
            assert all(r.op != "leaves" for r in Tape(h))
            assert [r.op for r in Tape(h)].count("checkpoint") == 2
        for p in cell.parameters():
            p.grad = None
        h.sum().backward()
        sums.append([p.grad for p in cell.parameters()])
    for g, wanted in zip(*sums, strict=True):
        np.testing.assert_allclose(g, wanted, rtol=1e-12, atol=1e-14)


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
    xs, (h, c), ys, final = replayed(cell)
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
        np.testing.assert_array_equal(ys.data[:, t], h)
    np.testing.assert_array_equal(final[1].data, c)
