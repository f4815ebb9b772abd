"""Cells over time: lengths, masks, directions, layers, truncation, and gradients through time.

What is expected is computed sequence by sequence, step by step, over the real positions only, so
that no mask is needed there. The run of a cell that promises ``same_every_step`` is fused:
``both_ways`` runs a test with the promise and without it.
"""

from __future__ import annotations

import gc
import itertools
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import flat, numbers
from unspool import Parameter, Tape, Tensor, check_grads, unroll
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    Bidirectional,
    Cell,
    Elman,
    InputDropout,
    LayerNormLSTM,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
    VariationalDropout,
    Zoneout,
    detached,
    gradient_flow,
)

D = 3
KINDS = [Elman, LSTM, GRU, PeepholeLSTM, LayerNormLSTM, ResetAfterGRU, MGU]


class Leaky(Cell):
    """A cell of one's own: ten lines, and nothing of what is tested here."""

    def __init__(self, d_in, d_h, rng=None, dtype=float):
        self.d_in, self.d_h = d_in, d_h
        self.W = Parameter(np.random.default_rng(rng).standard_normal((d_in, d_h)).astype(dtype))
        self.U = Parameter(np.eye(d_h, dtype=dtype) * 0.5)

    def forward(self, x, state):
        (h,) = state
        return (0.9 * h + 0.1 * np.tanh(x @ self.W + h @ self.U),)


class Memory(Cell):
    """A cell of another shape: a matrix for a state, and an output of its own."""

    states = ("m", "h")

    def __init__(self, d_in, d_h, rng=None):
        self.d_in, self.d_h, self.d_out = d_in, d_h, 2
        self.W = Parameter(np.random.default_rng(rng).standard_normal((d_in, 2 * d_h)))
        self.start = Parameter(np.full((2, d_h), 0.1))

    def initial_state(self, batch=None):
        lead = () if batch is None else (batch,)
        return self.start + np.zeros((*lead, 1, 1)), np.zeros((*lead, self.d_h))

    def forward(self, x, state):
        m, h = state
        m = np.tanh(m + np.reshape(x @ self.W, (*x.shape[:-1], 2, self.d_h)))
        return m, m.sum(axis=-2) + h

    def output(self, state):
        return state[0].sum(axis=-1)


def cell_of(kind, d_in=D, d_h=4, seed=0):
    """A float64 cell with every parameter drawn, biases and peepholes too."""
    cell = kind(d_in, d_h) if kind in (Leaky, Memory) else kind(d_in, d_h, dtype=float)
    rng = np.random.default_rng(seed)
    for parameter in cell.parameters():
        parameter.data = parameter.data.astype(float)
        parameter.data[...] = 0.6 * rng.standard_normal(parameter.shape)
    return cell


COMPOSITES = {
    "stack": lambda: Stacked([cell_of(LSTM), cell_of(GRU, 4, 2, 1)]),
    "residual": lambda: Stacked([cell_of(LSTM), cell_of(GRU, 4, 4, 1)], residual=True),
    "both": lambda: Bidirectional(cell_of(GRU), cell_of(Elman, D, 2, 1)),
    "stack of both": lambda: Stacked(
        [
            Bidirectional(cell_of(LSTM, D, 2), cell_of(LSTM, D, 2, 1)),
            cell_of(Leaky, 4, 4, 2),
            Bidirectional(cell_of(GRU, 4, 4, 3), cell_of(GRU, 4, 4, 4), merge="mul"),
        ]
    ),
    "both of stacks": lambda: Bidirectional(
        Stacked([cell_of(GRU), cell_of(MGU, 4, 2, 1)]),
        Bidirectional(cell_of(Elman, D, 1, 2), cell_of(LSTM, D, 1, 3)),
    ),
}
MODULES = {
    **{kind.__name__: (lambda kind=kind: cell_of(kind)) for kind in (*KINDS, Leaky, Memory)},
    **COMPOSITES,
}
every_module = pytest.mark.parametrize("name", MODULES)
every_cell = pytest.mark.parametrize("kind", [*KINDS, Leaky, Memory])
both_ways = pytest.mark.parametrize("fused", [False, True], ids=["recorded", "fused"])


def made(name, fused=True):
    """A module; its steps are recorded op by op where they are not to be fused."""
    module = MODULES[name]()
    for cell in module.modules() if not fused else ():
        if isinstance(cell, Cell):
            kind = type(cell)
            cell.__class__ = type(kind.__name__, (kind,), {"same_every_step": False})
    return module


def weighted(ys, state, seed=9):
    """A loss that sees every output and every last state."""
    return sum(
        (t * numbers(*t.shape, seed=seed + k)).sum() for k, t in enumerate([ys, *flat(state)])
    )


def by_hand(module, xs, positions, state=None, reverse=False):
    """The outputs at these positions of one sequence (time, d), and the last state.

    Without a mask: what is not in ``positions`` is not there. Composites are put together by
    their definition, cells are stepped through.
    """
    if isinstance(module, Bidirectional):
        ahead, last = by_hand(module.forward, xs, positions, state and state[0], reverse)
        back, first = by_hand(module.backward, xs, positions, state and state[1], not reverse)
        merge = {
            "concat": lambda a, b: np.concatenate([a, b], axis=-1),
            "sum": np.add,
            "mean": lambda a, b: (a + b) / 2,
            "mul": np.multiply,
        }[module.merge]
        return [merge(a, b) for a, b in zip(ahead, back)], (last, first)
    if isinstance(module, Stacked):
        below, final = [xs[t] for t in positions], []
        for i, member in enumerate(module.members):
            rows, last = by_hand(member, below, range(len(below)), state and state[i], reverse)
            below = [y + x for y, x in zip(rows, below)] if i and module.residual else rows
            final.append(last)
        return below, tuple(final)
    state = module.initial_state() if state is None else state
    outputs = {}
    for t in reversed(positions) if reverse else positions:
        y, state = module(xs[t], state)
        outputs[t] = y.data
    return [outputs[t] for t in positions], tuple(np.asarray(Tensor.numpy(s)) for s in state)


def assert_as_by_hand(module, ys, state, xs, real, reverse):
    """Each sequence of a padded batch is what it is by itself."""
    for b, row in enumerate(real):
        positions = np.flatnonzero(row).tolist()
        outputs, last = by_hand(module, xs[b], positions, reverse=reverse)
        expected = np.zeros(ys.shape[1:])
        if positions:
            expected[positions] = outputs
        np.testing.assert_allclose(ys.data[b], expected, rtol=0, atol=1e-12)
        for mine, theirs in zip(flat(state), flat(last), strict=True):
            theirs = theirs.data if isinstance(theirs, Tensor) else theirs
            np.testing.assert_allclose(mine.data[b], theirs, rtol=0, atol=1e-12)


# Lengths and masks ------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("reverse", [False, True])
@every_module
def test_each_sequence_of_a_padded_batch_is_what_it_is_alone(name, reverse, fused):
    xs = numbers(4, 5, D)
    module = made(name, fused)
    lengths = np.array([5, 2, 0, 3])
    real = np.arange(5) < lengths[:, None]
    garbage = np.where(real[..., None], xs, np.nan)
    ys, state = unroll(module, garbage, lengths=lengths, reverse=reverse)
    assert_as_by_hand(module, ys, state, xs, real, reverse)


@both_ways
@pytest.mark.parametrize("reverse", [False, True])
@every_module
def test_masks_may_have_holes(name, reverse, fused):
    xs = numbers(3, 5, D)
    module = made(name, fused)
    real = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], bool)
    garbage = np.where(real[..., None], xs, np.inf)
    ys, state = unroll(module, garbage, mask=real, reverse=reverse)
    assert_as_by_hand(module, ys, state, xs, real, reverse)


@both_ways
@every_module
def test_no_gradient_at_padding(name, fused):
    module = made(name, fused)
    xs = numbers(3, 4, D)
    lengths = [4, 0, 2]
    xs[1], xs[2, 2:] = np.nan, np.inf
    xs = Tensor(xs, requires_grad=True)
    ys, state = unroll(module, xs, lengths=lengths)
    weighted(ys, state).backward()
    assert (xs.grad[1] == 0).all()
    assert (xs.grad[2, 2:] == 0).all()
    assert (xs.grad[2, :2] != 0).all()
    assert all(np.isfinite(p.grad).all() for p in module.parameters())


@pytest.mark.slow
@both_ways
@pytest.mark.parametrize("reverse", [False, True])
@every_module
def test_gradients_with_lengths(name, reverse, fused):
    module = made(name, fused)
    leaves = [numbers(2, 3, D), *module.parameters()]
    check_grads(lambda xs, *_: unroll(module, xs, lengths=[3, 1], reverse=reverse), leaves)


@both_ways
@every_module
def test_gradients_of_the_initial_state(name, fused):
    module = made(name, fused)
    start = [numbers(*s.shape, seed=k) for k, s in enumerate(flat(module.initial_state(2)))]

    def nested(state, tensors):
        if isinstance(state, tuple):
            return tuple(nested(part, tensors) for part in state)
        return next(tensors)

    def run(*tensors):
        state = nested(module.initial_state(2), iter(tensors))
        return unroll(module, numbers(2, 3, D), state, mask=[[True] * 3, [False, True, False]])

    check_grads(run, start)


@every_module
def test_full_lengths_and_a_full_mask_change_nothing(name):
    module, xs = made(name), numbers(2, 4, D)
    plain, last = unroll(module, xs)
    for options in ({"lengths": [4, 4]}, {"mask": np.ones((2, 4), bool)}):
        ys, state = unroll(module, xs, **options)
        np.testing.assert_array_equal(ys.data, plain.data)
        for a, b in zip(flat(state), flat(last)):
            np.testing.assert_array_equal(a.data, b.data)


@both_ways
@every_module
def test_a_single_sequence_needs_no_batch(name, fused):
    module, xs = made(name, fused), numbers(4, D)
    ys, state = unroll(module, xs)
    many, last = unroll(module, xs[None])
    np.testing.assert_allclose(ys.data, many.data[0], atol=1e-13)
    for a, b in zip(flat(state), flat(last)):
        np.testing.assert_allclose(a.data, b.data[0], atol=1e-13)
    ys, _ = unroll(module, xs, state, mask=[True, False, True, True])
    many, _ = unroll(module, xs[None], last, mask=[[True, False, True, True]])
    np.testing.assert_allclose(ys.data, many.data[0], atol=1e-13)


@both_ways
@every_module
def test_no_step_one_step_and_no_sequence(name, fused):
    module = made(name, fused)
    width = unroll(module, np.ones((1, 1, D)))[0].shape[-1]
    for shape in ((2, 0, D), (0, D), (2, 1, D), (1, D), (0, 3, D), (0, 0, D)):
        ys, state = unroll(module, np.ones(shape))
        assert ys.shape == (*shape[:-1], width)
        assert ys.dtype == np.float64
        if 0 in shape[-2:]:
            batch = shape[0] if len(shape) == 3 else None
            for a, b in zip(flat(state), flat(module.initial_state(batch))):
                np.testing.assert_array_equal(a.data, b.data if isinstance(b, Tensor) else b)
    ys, _ = unroll(module, np.ones((2, 0, D)), lengths=[0, 0])
    assert ys.shape == (2, 0, width)
    ys, state = unroll(module, np.full((2, 3, D), np.nan), lengths=[0, 0])
    assert (ys.data == 0).all()
    for a, b in zip(flat(state), flat(module.initial_state(2))):
        np.testing.assert_array_equal(a.data, b.data if isinstance(b, Tensor) else b)


def test_reverse_reads_what_forward_reads_backwards():
    module, xs = made("LSTM"), numbers(2, 5, D)
    ahead, last = unroll(module, xs[:, ::-1])
    back, first = unroll(module, xs, reverse=True)
    np.testing.assert_array_equal(back.data, ahead.data[:, ::-1])
    for a, b in zip(last, first):
        np.testing.assert_array_equal(a.data, b.data)


def test_steps_are_positions_also_in_a_reversed_pass():
    _, (h,) = unroll(Elman(1, 1), np.ones((3, 1), np.float32), reverse=True)
    steps = [record.step for record in Tape(h)]
    assert list(dict.fromkeys(steps)) == [3, 2, 1]
    assert h.name == "h_1"


def test_states_and_inputs_have_names():
    ys, (h, c) = unroll(LSTM(1, 1), np.ones((1, 2, 1), np.float32), lengths=[2])
    names = {record.output.name for record in Tape(ys, h, c)}
    assert {"x_1", "x_2", "h_1", "h_2", "c_1", "c_2", "ys"} <= names
    assert (ys.name, h.name, c.name) == ("ys", "h_2", "c_2")
    assert {leaf.name for leaf in Tape(ys).leaves} >= {"xs", "h_0", "c_0"}


# Garbage in the padding: properties ---------------------------------------------------------------


@st.composite
def padded_batches(draw):
    batch, time = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    if draw(st.booleans()):
        lengths = draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch))
        real = np.arange(time) < np.array(lengths)[:, None]
        options = {"lengths": lengths}
    else:
        flags = st.lists(st.booleans(), min_size=batch * time, max_size=batch * time)
        real = np.array(draw(flags)).reshape(batch, time)
        options = {"mask": real}
    options["reverse"] = draw(st.booleans())
    return real, options, draw(st.integers(0, 99))


def run_with_gradients(module, xs, weights, **options):
    """Everything that can be read: outputs, last states, and all gradients of a loss."""
    xs = Tensor(xs, requires_grad=True)
    for parameter in module.parameters():
        parameter.grad = None
    ys, state = unroll(module, xs, **options)
    loss = (ys * weights).sum() + sum((s * s).sum() for s in flat(state))
    loss.backward()
    zero = np.zeros(1)
    return {
        "ys": ys.data,
        "xs": xs.grad if xs.grad is not None else np.zeros_like(xs.data),
        **{f"state {k}": s.data for k, s in enumerate(flat(state))},
        **{n: zero if p.grad is None else p.grad for n, p in module.named_parameters()},
    }


@settings(max_examples=60)
@given(
    batch=padded_batches(),
    name=st.sampled_from(sorted(MODULES)),
    garbage=st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1.0]),
)
def test_garbage_in_the_padding_changes_nothing_to_the_last_bit(batch, name, garbage):
    real, options, seed = batch
    clean, dirty, xs = made(name), made(name), numbers(*real.shape, D, seed=seed)
    one = run_with_gradients(clean, np.where(real[..., None], xs, 0), 0.5, **options)
    two = run_with_gradients(dirty, np.where(real[..., None], xs, garbage), 0.5, **options)
    for key, value in one.items():
        assert value.tobytes() == two[key].tobytes(), key
        assert np.isfinite(value).all(), key
    assert (two["ys"][~real] == 0).all()
    assert (two["xs"][~real] == 0).all()


@settings(max_examples=40)
@given(
    batch=padded_batches(),
    name=st.sampled_from(sorted(MODULES)),
    more=st.integers(1, 3),
    before=st.booleans(),
)
def test_more_padding_changes_nothing(batch, name, more, before):
    real, options, seed = batch
    module, xs = made(name), numbers(*real.shape, D, seed=seed)
    reverse, width = options["reverse"], module.d_out if hasattr(module, "d_out") else module.d_h
    weights = numbers(*real.shape, width, seed=5)
    where = slice(more, None) if before else slice(None, real.shape[1])

    def widened(array, filler):
        wide = np.full((len(xs), real.shape[1] + more, *array.shape[2:]), filler, array.dtype)
        wide[:, where] = array
        return wide

    long = {"mask": widened(real, False), "reverse": reverse}
    if "lengths" in options and not before:
        long = options
    one = run_with_gradients(module, xs, weights, **options)
    two = run_with_gradients(module, widened(xs, np.nan), widened(weights, 0), **long)
    for key, value in one.items():
        read = two[key][:, where] if key in ("ys", "xs") else two[key]
        np.testing.assert_allclose(read, value, rtol=0, atol=1e-12, err_msg=key)


# Truncated backpropagation, and a state that goes on ---------------------------------------------


def gradients_of(loss, leaves):
    for leaf in leaves:
        leaf.grad = None
    loss.backward()
    return [leaf.grad for leaf in leaves]


def in_pieces(module, xs, k, lengths, reverse, weights):
    """The same as ``truncate=k`` by hand: pieces of k steps, the state detached between them."""
    time = xs.shape[1]
    starts = range(0, time, k)
    pieces = [
        (max(time - s - k, 0), time - s) if reverse else (s, min(s + k, time)) for s in starts
    ]
    state, loss = None, 0
    for a, b in pieces:
        state = detached(state)
        piece = np.clip(np.array(lengths) - a, 0, b - a)
        ys, state = unroll(module, xs[:, a:b], state, lengths=piece, reverse=reverse)
        loss = loss + (ys * weights[:, a:b]).sum()
    for s in flat(state):
        loss = loss + (s * s).sum()
    return loss


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 7, 9])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "Leaky", "Memory", "stack"])
def test_truncation_is_what_detached_pieces_give(name, k, reverse):
    module = made(name)
    xs = Tensor(numbers(2, 7, D), requires_grad=True)
    leaves = [xs, *module.parameters()]
    lengths = [7, 4]
    ys, state = unroll(module, xs, lengths=lengths, reverse=reverse, truncate=k)
    weights = numbers(*ys.shape, seed=3)
    loss = (ys * weights).sum() + sum((s * s).sum() for s in flat(state))
    truncated = gradients_of(loss, leaves)
    expected = in_pieces(module, xs, k, lengths, reverse, weights)
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)
    for mine, theirs, leaf in zip(truncated, gradients_of(expected, leaves), leaves):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12, err_msg=leaf.name or "xs")
    full, last = unroll(module, xs, lengths=lengths, reverse=reverse)
    loss = (full * weights).sum() + sum((s * s).sum() for s in flat(last))
    whole = gradients_of(loss, leaves)
    same = all(np.allclose(a, b, atol=1e-9) for a, b in zip(whole, truncated))
    assert same == (k >= 7)


def test_truncation_is_seen_on_the_tape():
    ys, _ = unroll(LSTM(D, 2), np.ones((5, D), np.float32), truncate=2)
    cuts = [(record.step, record.inputs[0].name) for record in Tape(ys) if record.op == "cut"]
    assert cuts == [(3, "h_2"), (3, "c_2"), (5, "h_4"), (5, "c_4")]


def test_truncation_in_both_directions():
    module = made("both")
    xs = Tensor(numbers(1, 4, D), requires_grad=True)
    ys, _ = unroll(module, xs, truncate=2)
    # Position 1 of forward's outputs does not reach position 3 and 4, nor backward's 4 the first.
    ys[0, 3, :4].sum().backward()
    assert (xs.grad[0, :2] == 0).all()
    assert (xs.grad[0, 2:] != 0).all()
    xs.grad = None
    ys, _ = unroll(module, xs, truncate=2)
    ys[0, 0, 4:].sum().backward()
    assert (xs.grad[0, 2:] == 0).all()
    assert (xs.grad[0, :2] != 0).all()


@both_ways
@every_module
def test_a_state_goes_on_over_calls(name, fused):
    xs = numbers(2, 6, D)
    module = made(name, fused)
    if any(isinstance(m, Bidirectional) for m in module.modules()):
        # Its second half is read first: only the forward part goes on, so states are just taken.
        state = unroll(module, xs)[1]
        assert unroll(module, xs, state)[0].shape[:2] == (2, 6)
        return
    whole, last = unroll(module, xs)
    first, state = unroll(module, xs[:, :3])
    second, state = unroll(module, xs[:, 3:], detached(state))
    pieces = np.concatenate([first.data, second.data], axis=1)
    np.testing.assert_allclose(pieces, whole.data, rtol=0, atol=1e-13)
    for a, b in zip(flat(state), flat(last)):
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=1e-13)
    arrays = tuple(s.data for s in state) if isinstance(state[0], Tensor) else state
    unroll(module, xs, arrays)


@both_ways
@pytest.mark.parametrize("name", ["LSTM", "Leaky", "stack", "both"])
def test_a_detached_state_keeps_no_graph(name, fused):
    module = made(name, fused)
    gc.collect()
    gc.disable()
    try:
        state, old = None, []
        for _ in range(3):
            ys, state = unroll(module, numbers(2, 3, D), state)
            old += [weakref.ref(t) for t in (ys, *flat(state))]
            ys.sum().backward()
            del ys
            state = detached(state)
            assert all(s._record is None and not s.requires_grad for s in flat(state))
            assert [ref() for ref in old] == [None] * len(old)
    finally:
        gc.enable()


# Composites ---------------------------------------------------------------------------------------


def test_all_layers_outputs():
    stack = made("stack of both")
    xs = numbers(3, 4, D)
    layers, state = stack.unroll_layers(xs, lengths=[4, 2, 0])
    below, expected = xs, []
    for member in stack.members:
        below, _ = unroll(member, below, lengths=[4, 2, 0])
        expected.append(below.data)
    assert [y.shape for y in layers] == [(3, 4, 4), (3, 4, 4), (3, 4, 4)]
    for mine, theirs in zip(layers, expected, strict=True):
        np.testing.assert_array_equal(mine.data, theirs)
    ys, last = unroll(stack, xs, lengths=[4, 2, 0])
    np.testing.assert_array_equal(layers[-1].data, ys.data)
    assert len(flat(state)) == len(flat(last)) == 7


@pytest.mark.parametrize("merge", ["concat", "sum", "mean", "mul"])
def test_merges(merge):
    both = Bidirectional(cell_of(GRU), cell_of(LSTM, seed=1), merge=merge)
    xs = numbers(3, 4, D)
    ys, (ahead, back) = unroll(both, xs, lengths=[4, 2, 0])
    f, last = unroll(both.forward, xs, lengths=[4, 2, 0])
    b, first = unroll(both.backward, xs, lengths=[4, 2, 0], reverse=True)
    expected = {
        "concat": np.concatenate([f.data, b.data], axis=2),
        "sum": f.data + b.data,
        "mean": (f.data + b.data) / 2,
        "mul": f.data * b.data,
    }[merge]
    np.testing.assert_array_equal(ys.data, expected)
    np.testing.assert_array_equal(ahead[0].data, last[0].data)
    np.testing.assert_array_equal(back[1].data, first[1].data)
    assert both.d_out == expected.shape[-1]


@pytest.mark.parametrize("name", ["stack", "residual"])
def test_a_stack_of_cells_is_a_cell(name):
    stack, xs = made(name), numbers(2, 4, D)
    assert isinstance(stack, Cell)
    assert not isinstance(made("stack of both"), Cell)
    ys, last = unroll(stack, xs)
    state = None
    for t in range(4):
        y, state = stack(xs[:, t], state)
        np.testing.assert_allclose(y.data, ys.data[:, t], atol=1e-13)
    for a, b in zip(flat(state), flat(last)):
        np.testing.assert_allclose(a.data, b.data, atol=1e-13)
    y, _ = stack(xs[0, 0])
    assert y.shape == (stack.d_out,)
    assert [n for n, _ in stack.named_parameters()][:2] == ["0.W_f", "0.U_f"]


def test_layers_are_scopes():
    ys, _ = unroll(Stacked([GRU(D, 2), Bidirectional(Elman(2, 1), Elman(2, 1))]), np.ones((2, D)))
    tops = {record.scope[:2] for record in Tape(ys) if record.step}
    assert tops == {("0", "gru"), ("1", "forward"), ("1", "backward")}


def test_dropout_between_layers():
    ones = [Elman(2, 500, "identity", W_init="zeros"), Elman(500, 500, "identity")]
    ones[0].b.data[...] = 1  # the first layer gives 1, the second what it reads
    ones[0].U.data[...] = 0
    ones[1].W.data[...], ones[1].U.data[...] = np.eye(500), 0
    stack = Stacked(ones, dropout=0.25, rng=0)
    xs = np.zeros((2, 3, 2), np.float32)
    ys, _ = unroll(stack, xs)
    np.testing.assert_allclose(np.unique(ys.data), [0, 1 / 0.75], rtol=1e-6)
    assert abs((ys.data == 0).mean() - 0.25) < 0.03
    assert (ys.data[:, 0] != ys.data[:, 1]).any()
    y, _ = stack(xs[:, 0])
    np.testing.assert_allclose(np.unique(y.data), [0, 1 / 0.75], rtol=1e-6)
    ys, _ = unroll(stack.eval(), xs)
    np.testing.assert_allclose(ys.data, 1)
    again = [unroll(Stacked(ones, dropout=0.25, rng=7), xs)[0].data for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_dropout_is_between_layers_not_below_them():
    stack = Stacked([cell_of(LSTM), cell_of(GRU, 4, 2)], dropout=0.5, rng=0)
    xs = numbers(2, 3, D)
    layers, _ = stack.unroll_layers(xs)
    np.testing.assert_array_equal(layers[0].data, unroll(stack.members[0], xs)[0].data)
    _, state = stack(xs[:, 0])
    np.testing.assert_allclose(state[0][0].data, layers[0].data[:, 0], rtol=1e-12, atol=1e-15)


def test_residuals_between_layers_of_one_width():
    stack = made("residual")
    xs = numbers(2, 3, D)
    below, _ = unroll(stack.members[0], xs, lengths=[3, 1])
    above, _ = unroll(stack.members[1], below, lengths=[3, 1])
    ys, _ = unroll(stack, xs, lengths=[3, 1])
    np.testing.assert_array_equal(ys.data, below.data + above.data)


def test_one_cell_for_both_directions_is_counted_once():
    cell = cell_of(LSTM)
    both = Bidirectional(cell, cell)
    assert [n for n, _ in both.named_parameters()] == [f"forward.{n}" for n in cell.state_dict()]
    xs = numbers(2, 3, D)
    unroll(both, xs)[0].sum().backward()
    total = [p.grad.copy() for p in cell.parameters()]
    for reverse in (False, True):
        for p in cell.parameters():
            p.grad = None
        unroll(cell, xs, reverse=reverse)[0].sum().backward()
        total = [t - p.grad for t, p in zip(total, cell.parameters())]
    assert all(abs(t).max() < 1e-12 for t in total)


# A cell of one's own ------------------------------------------------------------------------------


def test_a_cell_of_ones_own_gets_everything(tmp_path):
    cell = Leaky(D, 4, rng=0)
    xs = numbers(3, 5, D)
    lengths = [5, 3, 0]
    # unroll, lengths, mask, reverse
    ys, (h,) = unroll(cell, xs, lengths=lengths)
    real = np.arange(5) < np.array(lengths)[:, None]
    assert_as_by_hand(cell, ys, (h,), xs, real, False)
    masked, _ = unroll(cell, xs, mask=real)
    np.testing.assert_array_equal(masked.data, ys.data)
    back, first = unroll(cell, xs, lengths=lengths, reverse=True)
    assert_as_by_hand(cell, back, first, xs, real, True)
    # stack, bidirectional, dropout, zoneout
    net = Stacked(
        [
            Bidirectional(VariationalDropout(cell, 0.2, 0.2), Leaky(D, 2, rng=1)),
            InputDropout(Zoneout(Leaky(6, 6, rng=2), 0.1), 0.1),
            Leaky(6, 6, rng=3),
        ],
        dropout=0.1,
        residual=False,
        rng=0,
    )
    ys, _ = unroll(net, xs, lengths=lengths)
    assert ys.shape == (3, 5, 6)
    ys.sum().backward()
    assert all(p.grad.any() for p in net.parameters())
    # train, truncated
    target = unroll(Leaky(D, 4, rng=9), xs, lengths=lengths)[0].data
    losses = []
    for _ in range(60):
        ys, _ = unroll(cell, xs, lengths=lengths, truncate=2)
        loss = ((ys - target) ** 2).sum()
        losses.append(loss.item())
        gradients = gradients_of(loss, cell.parameters())
        for parameter, gradient in zip(cell.parameters(), gradients, strict=True):
            parameter.data -= 2.0 * gradient
    assert losses[-1] < 0.1 * losses[0]
    # save
    net.save(tmp_path / "net.npz")
    again = Stacked(
        [
            Bidirectional(VariationalDropout(Leaky(D, 4), 0.2, 0.2), Leaky(D, 2)),
            InputDropout(Zoneout(Leaky(6, 6), 0.1), 0.1),
            Leaky(6, 6),
        ]
    ).load(tmp_path / "net.npz")
    again.eval(), net.eval()
    np.testing.assert_array_equal(unroll(again, xs)[0].data, unroll(net, xs)[0].data)
    # and the gradient through time
    ys, _ = unroll(cell, xs, lengths=lengths)
    flow = gradient_flow(ys.sum())
    assert flow.norms["h"].shape == (5,)


# The gradient through time ------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("kind", [*KINDS, Leaky])
def test_what_reaches_each_state(kind, fused):
    """∂L/∂h_t is the gradient of a leaf put in the place of h_t."""
    cell = made(kind.__name__, fused)
    xs = numbers(2, 5, D)
    ys, _ = unroll(cell, xs)
    weights = numbers(*ys.shape, seed=2)
    flow = gradient_flow((ys * weights).sum())
    assert set(flow.norms) == {"x", *cell.states}
    for t in range(5):
        _, state = unroll(cell, xs[:, : t + 1])
        leaves = tuple(Tensor(s.data.copy(), requires_grad=True) for s in state)
        loss = (cell.output(leaves) * weights[:, t]).sum()
        if t < 4:
            later, _ = unroll(cell, xs[:, t + 1 :], leaves)
            loss = loss + (later * weights[:, t + 1 :]).sum()
        expected = dict(zip(cell.states, gradients_of(loss, leaves), strict=True))
        expected = {k: np.zeros(1) if g is None else g for k, g in expected.items()}
        if "c" in cell.states and kind is not LayerNormLSTM:
            # c_t reaches the loss through h_t = o * tanh(c_t) too.
            h, c = (s.data for s in state)
            o = h / np.tanh(c)
            if kind is PeepholeLSTM:
                through_o = (1 - o) * h * cell.p_o.data
            else:
                through_o = 0
            expected["c"] = expected["c"] + expected["h"] * (o * (1 - np.tanh(c) ** 2) + through_o)
            np.testing.assert_allclose(flow.states["c"][t], expected["c"], atol=1e-12)
        found = flow.states["h"][t]
        np.testing.assert_allclose(found, expected["h"] + 0 * found, atol=1e-12)
        np.testing.assert_allclose(flow.norms["h"][t], np.sqrt((found**2).sum()), rtol=1e-12)


@both_ways
@pytest.mark.parametrize("reverse", [False, True])
@every_cell
def test_what_each_step_contributes(kind, reverse, fused):
    """The share of a step is the gradient of a copy of the parameters used in that step only."""
    cell = made(kind.__name__, fused)
    xs, lengths = numbers(3, 4, D), np.array([4, 2, 0])
    ys, state = unroll(cell, xs, lengths=lengths, reverse=reverse)
    weights = numbers(*ys.shape, seed=2)
    loss = (ys * weights).sum() + sum((s * s).sum() for s in state)
    total = [g.copy() for g in gradients_of(loss, cell.parameters())]
    flow = gradient_flow(loss)
    copies = [cell_of(kind) for _ in range(4)]
    state, apart = cell.initial_state(3), 0
    for t in range(4)[::-1] if reverse else range(4):
        y, state = unroll(copies[t], xs[:, t : t + 1], state, lengths=np.clip(lengths - t, 0, 1))
        apart = apart + (y * weights[:, t : t + 1]).sum()
    apart = apart + sum((s * s).sum() for s in state)
    apart.backward()
    np.testing.assert_allclose(apart.item(), loss.item(), rtol=1e-12)
    for (name, parameter), gradient in zip(cell.named_parameters(), total, strict=True):
        shares = flow.shares(parameter)
        assert not flow.outside(parameter).any()
        if name == "start":  # the initial state is used in the first step that is read
            np.testing.assert_allclose(shares[-1 if reverse else 0], gradient, rtol=1e-12)
            continue
        for share, one in zip(shares, copies, strict=True):
            np.testing.assert_allclose(
                share, dict(one.named_parameters())[name].grad, rtol=0, atol=1e-12
            )
        relative = abs(shares.sum(axis=0) - gradient).max() / abs(gradient).max()
        assert relative < 1e-12


@pytest.mark.parametrize("name", COMPOSITES)
def test_shares_in_composites_and_outside_of_time(name):
    from unspool.autograd import embedding

    module = made(name)
    E, V = Parameter(numbers(6, D)), Parameter(numbers(module.d_out, 6))
    ids = np.random.default_rng(0).integers(0, 6, (2, 4))
    ys, _ = unroll(module, embedding(E, ids), lengths=[4, 2])
    loss = np.tanh(ys @ V).sum() + (E * E).sum()
    leaves = [*module.parameters(), E, V]
    total = gradients_of(loss, leaves)
    flow = gradient_flow(loss)
    for leaf, gradient in zip(leaves, total):
        apart = flow.shares(leaf).sum(axis=0) + flow.outside(leaf)
        assert abs(apart - gradient).max() < 1e-12 * abs(gradient).max()
    assert not flow.shares(V).any()
    np.testing.assert_allclose(flow.outside(E), 2 * E.data, atol=1e-12)
    assert all(norms.shape == (4,) for norms in flow.norms.values())
    if name == "stack":
        assert set(flow.norms) == {"0.x", "0.h", "0.c", "1.x", "1.h"}
    if name == "both":
        assert set(flow.norms) == {f"{d}.{s}" for d in ("forward", "backward") for s in "xh"}


def test_shares_of_a_matrix_with_rows_dropped():
    cell = VariationalDropout(cell_of(LSTM), 0.4, 0.4, rng=0)
    ys, _ = unroll(cell, numbers(2, 4, D))
    loss = (ys * ys).sum()
    total = gradients_of(loss, cell.parameters())
    flow = gradient_flow(loss)
    for parameter, gradient in zip(cell.parameters(), total, strict=True):
        shares = flow.shares(parameter)
        assert sum(np.any(share) for share in shares) >= 3
        np.testing.assert_allclose(shares.sum(axis=0), gradient, rtol=0, atol=1e-13)


def test_a_vanishing_gradient_is_seen_to_vanish():
    """Elman with U = a Q, Q orthogonal, and identity: a factor of a at each step back."""
    cell = Elman(D, 4, "identity", rng=0, dtype=float)
    for a in (0.5, 1.0, 2.0):
        cell.U.data[...] = a * np.linalg.qr(numbers(4, 4))[0]
        _, (h,) = unroll(cell, numbers(20, D))
        norms = gradient_flow(h.sum()).norms["h"]
        np.testing.assert_allclose(norms, 2.0 * a ** np.arange(19.0, -1, -1), rtol=1e-9)


def test_what_does_not_lead_to_the_loss_is_zero():
    ys, _ = unroll(cell_of(GRU), numbers(5, D))
    flow = gradient_flow(Tape(ys[1].sum(), ys[4].sum()), seed=(1.0, None))
    assert (flow.norms["h"][2:] == 0).all()
    assert (flow.norms["h"][:2] > 0).all()


def test_other_names_are_not_taken_for_states():
    class Naming(Leaky):
        def forward(self, x, state):
            (h,) = super().forward(x, state)
            h.name = "inner_7"
            h = h * 1.0
            h.name = "inner_gate"
            return (h * 1.0,)

    ys, _ = unroll(Naming(D, 2), numbers(3, D))
    assert set(gradient_flow(ys.sum()).norms) == {"x", "h"}


def test_two_runs_on_one_tape_are_told_apart():
    cell = cell_of(GRU)
    _, state = unroll(cell, numbers(3, D))
    second, _ = unroll(cell, numbers(3, D, seed=1), state)
    flow = gradient_flow(second.sum())
    assert set(flow.norms) == {"x", "h", "x (2)", "h (2)"}
    assert flow.norms["h"][2] > 0


def test_flow_errors():
    x = Parameter(1.0, name="x")
    with pytest.raises(ValueError, match=r"no record of this tape stands in a time step"):
        gradient_flow(x * 2)
    ys, _ = unroll(cell_of(GRU), numbers(3, D))
    with pytest.raises(ValueError, match=r"only a scalar has a gradient of 1"):
        gradient_flow(ys)
    with pytest.raises(ValueError, match=r"x \(\) does not lead to the loss"):
        gradient_flow(ys.sum()).shares(x)


# Bad input ----------------------------------------------------------------------------------------

XS = np.ones((2, 5, D))
RAGGED = [[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]  # of 1 and 2 steps
BAD = [
    ({"xs": np.ones((2, 5, 4))}, ValueError, r"unroll\(LSTM\): expected xs of \(batch, time, 3\)"),
    ({"xs": np.ones(3)}, ValueError, r"\(batch, time, 3\) or \(time, 3\), got xs \(3,\)"),
    ({"xs": np.ones((1, 2, 5, 3))}, ValueError, r"expected xs of \(batch, time, 3\)"),
    ({"xs": 1.0}, ValueError, r"expected xs of \(batch, time, 3\)"),
    ({"xs": [["a"]]}, TypeError, r"expected real numbers, got <U1"),
    ({"lengths": [5, 6]}, ValueError, r"lengths must be from 0 to 5, the time axis, got 6"),
    ({"lengths": [-1, 2]}, ValueError, r"lengths must be from 0 to 5, the time axis, got -1"),
    ({"lengths": [5]}, ValueError, r"expected 2 lengths, one a sequence, got \(1,\)"),
    ({"lengths": 5}, ValueError, r"expected 2 lengths, one a sequence, got \(\)"),
    ({"lengths": [5.0, 2.0]}, TypeError, r"lengths must be integers, got float64"),
    ({"lengths": [True, False]}, TypeError, r"lengths must be integers, got bool"),
    ({"xs": XS[0], "lengths": [5]}, ValueError, r"a single sequence is as long as it is"),
    ({"lengths": [5, 5], "mask": XS[..., 0] > 0}, ValueError, r"give lengths or mask, not both"),
    (
        {"mask": XS[..., 0]},
        ValueError,
        r"mask must be booleans \(2, 5\), got an array \(2, 5\) float64",
    ),
    (
        {"mask": np.ones((2, 4), bool)},
        ValueError,
        r"mask must be booleans \(2, 5\), got an array \(2, 4\) bool",
    ),
    ({"xs": XS[0], "mask": [[True] * 5]}, ValueError, r"mask must be booleans \(5,\)"),
    ({"truncate": 0}, ValueError, r"truncate must be an integer >= 1, got 0"),
    ({"truncate": 2.0}, TypeError, r"truncate must be an integer >= 1, got 2\.0; write 2"),
    ({"state": np.ones((2, 4))}, ValueError, r"expected the state \(h, c\), a tuple, got an array"),
    ({"state": (np.ones((2, 4)),)}, ValueError, r"expected the state \(h, c\).*got a tuple of 1"),
    (
        {"state": (np.ones((2, 4)), np.ones((3, 4)))},
        ValueError,
        r"expected the state c of \(2, 4\), got c_0 \(3, 4\)",
    ),
    (
        {"xs": XS[0], "state": (np.ones((1, 4)), np.ones((1, 4)))},
        ValueError,
        r"expected the state h of \(4,\), got h_0 \(1, 4\)",
    ),
]


@both_ways
@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_bad_input_to_unroll(options, error, message, fused):
    cell = made("LSTM", fused)
    options = {"xs": XS, **options}
    for module in (cell, Stacked([cell]), Bidirectional(cell, cell)):
        given = dict(options)
        if "state" in given and module is not cell:
            given["state"] = (given["state"],) * (1 if isinstance(module, Stacked) else 2)
        with pytest.raises(error, match=message):
            unroll(module, given.pop("xs"), given.pop("state", None), **given)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: unroll(3, XS), TypeError, r"must be a Cell, Stacked or Bidirectional, got 3"),
        (lambda: Stacked([]), ValueError, r"give at least one layer"),
        (lambda: Stacked([3]), TypeError, r"Stacked: layer 0 must be a Cell, .*, got 3"),
        (
            lambda: Stacked([LSTM(3, 4), LSTM(3, 4)]),
            ValueError,
            r"layer 1 has d_in = 3, the outputs of layer 0 have width 4",
        ),
        (
            lambda: Stacked([LSTM(3, 4), LSTM(4, 5)], residual=True),
            ValueError,
            r"layer 1 cannot add its input of width 4 to its output of width 5",
        ),
        (lambda: Stacked([LSTM(3, 4)], dropout=2), ValueError, r"dropout must be a probability"),
        (
            lambda: unroll(Stacked([LSTM(3, 4), LSTM(4, 4)]), XS, (1,)),
            ValueError,
            r"the state must be a tuple of 2, one state a layer, got a tuple of 1",
        ),
        (
            lambda: Stacked([LSTM(3, 4), LSTM(4, 4)])(XS[:, 0], np.ones(4)),
            ValueError,
            r"the state must be a tuple of 2, one state a layer, got an array \(4,\)",
        ),
        (lambda: Bidirectional(LSTM(3, 4), 1), TypeError, r"backward must be a Cell.*, got 1"),
        (
            lambda: Bidirectional(LSTM, LSTM),
            TypeError,
            r"forward must be a Cell.*, got the class LSTM; make one, as in LSTM\(3, 4\)",
        ),
        (
            lambda: unroll(LSTM, XS),
            TypeError,
            r"unroll: module must be .* got the class LSTM; make one",
        ),
        (
            lambda: Stacked([LSTM, LSTM]),
            TypeError,
            "layer 0 must be a Cell.*, got the class LSTM; make",
        ),
        (
            lambda: Stacked(LSTM(3, 4), GRU(4, 2)),
            TypeError,
            r"the layers in a list, as in Stacked\(\[LSTM\(3, 4\), .*, got LSTM and GRU",
        ),
        (lambda: Stacked(LSTM(3, 4)), TypeError, "expected the layers in a list, .*, got LSTM$"),
        (
            lambda: unroll(Stacked([LSTM(3, 4), LSTM(4, 4)]), RAGGED),
            ValueError,
            r"unroll\(LSTM\): the sequences differ in length; .* by lengths=",
        ),
        (
            lambda: unroll(Bidirectional(LSTM(3, 4), LSTM(3, 4)), RAGGED),
            ValueError,
            r"unroll\(Bidirectional\): the sequences differ in length; .* rows of 0",
        ),
        (
            lambda: unroll(LSTM(3, 4), RAGGED),
            ValueError,
            r"ids by pad_sequences\(ids\), vectors by",
        ),
        (lambda: LSTM(3, 4)(RAGGED[1] + [[1.0]]), ValueError, "LSTM: the sequences differ"),
        (
            lambda: Bidirectional(LSTM(3, 4), LSTM(4, 4)),
            ValueError,
            r"forward has d_in = 3, backward 4",
        ),
        (
            lambda: Bidirectional(LSTM(3, 4), LSTM(3, 5), merge="sum"),
            ValueError,
            r"merge='sum' needs equal widths, got 4 and 5",
        ),
        (
            lambda: Bidirectional(LSTM(3, 4), LSTM(3, 4), merge="max"),
            ValueError,
            r"merge must be one of concat, sum, mean, mul, got 'max'",
        ),
        (
            lambda: unroll(Bidirectional(LSTM(3, 4), LSTM(3, 4)), XS, (1, 2, 3)),
            ValueError,
            r"a tuple of 2, \(forward's state, backward's state\), got a tuple of 3",
        ),
    ],
)
def test_bad_input_to_composites(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda cell: unroll(cell, XS),
        lambda cell: cell(XS[:, 0]),
        lambda cell: Stacked([cell]),
        lambda cell: Bidirectional(cell, cell),
        Zoneout,
    ],
)
def test_a_cell_that_sets_no_widths_is_told_what_to_set(call):
    class Bare(Cell):
        def forward(self, x, state):
            return state

    class Narrow(Bare):
        def __init__(self):
            self.d_in = 3

    with pytest.raises(
        AttributeError, match=r"Bare has no d_in, the width of its input; .* self\.d_"
    ):
        call(Bare())
    with pytest.raises(AttributeError, match="Narrow has no d_h, the width of each state; "):
        call(Narrow())
    cell = Narrow()
    assert not hasattr(cell, "d_h")
    cell.d_h = 4
    assert vars(cell) == {"d_in": 3, "d_h": 4}
    assert unroll(cell, XS)[0].shape == (*XS.shape[:-1], 4)


def test_every_combination_of_two_wraps_and_stacks():
    """Composites and wrappers nest as one likes."""
    xs = np.ones((2, 3, D), np.float32)
    layers = [
        lambda d: Zoneout(LSTM(d, 2, rng=0), 0.1, rng=0),
        lambda d: VariationalDropout(GRU(d, 2, rng=0), 0.1, 0.1, rng=0),
        lambda d: Stacked([Elman(d, 2, rng=0), InputDropout(MGU(2, 2, rng=0), 0.1, rng=0)]),
        lambda d: Bidirectional(LSTM(d, 2, rng=0), GRU(d, 2, rng=0), merge="sum"),
    ]
    for below, above in itertools.product(layers, layers):
        for module in (Stacked([below(D), above(2)]), Bidirectional(below(D), above(D))):
            ys, state = unroll(module, xs, lengths=[3, 1])
            (ys.sum() + sum(s.sum() for s in flat(state))).backward()
            assert all(p.grad is not None for p in module.parameters())


class Broken(Cell):
    """A cell whose forward gives what it is told to."""

    def __init__(self, give):
        self.d_in, self.d_h, self.give = 2, 3, give

    def forward(self, x, state):
        return (self.give(*state),)


@pytest.mark.parametrize(
    ("give", "error", "words"),
    [
        (lambda h: h.data, TypeError, "Broken.*ndarray for h.*not on the tape"),
        (lambda h: h[..., :2], ValueError, "Broken.*h of width d_h = 3"),
    ],
)
def test_what_a_forward_gives_is_checked(give, error, words):
    with pytest.raises(error, match=words):
        Broken(give)(np.ones((1, 2)))
    with pytest.raises(error, match=words):
        unroll(Broken(give), np.ones((1, 4, 2)))


# No steps -----------------------------------------------------------------------------------------

NO_STEPS = {
    "promised": lambda: LSTM(D, 2, rng=0),
    "own": lambda: Leaky(D, 2),
    "stacked": lambda: Stacked([LSTM(D, 2, rng=0), GRU(2, 2, rng=1)]),
    "both ways": lambda: Bidirectional(LSTM(D, 2, rng=0), Leaky(D, 2)),
    "dropout": lambda: VariationalDropout(LSTM(D, 2, rng=0), 0.5, 0.5),
    "zoneout": lambda: Stacked([Zoneout(GRU(D, 2, rng=0)), InputDropout(Elman(2, 2, rng=1))]),
}


@pytest.mark.parametrize("shape", [(2, 0, D), (0, D), (0, 0, D)], ids=str)
@pytest.mark.parametrize("name", NO_STEPS)
def test_no_steps_have_gradients_of_zero_and_the_initial_state(name, shape):
    """As a loop that is not entered: no outputs, the state as it was, and nothing to learn."""
    module = NO_STEPS[name]()
    xs = Parameter(np.zeros(shape), name="xs")
    ys, state = unroll(module, xs)
    width = 4 if name == "both ways" else 2
    assert ys.shape == (*shape[:-1], width)
    for s, initial in zip(flat(state), flat(module.initial_state(*shape[:-2])), strict=True):
        np.testing.assert_array_equal(s.data, initial.data)
    sum((np.sum(s) for s in flat(state)), np.sum(ys)).backward()
    for parameter in [xs, *module.parameters()]:
        np.testing.assert_array_equal(parameter.grad, np.zeros(parameter.shape))


def test_a_gradient_passes_through_no_steps():
    """A given state comes back, and so does its gradient, also twice differentiated."""
    h, c = (Parameter(numbers(2, 2, seed=k)) for k in range(2))
    cell = LSTM(D, 2, rng=0, dtype=float)
    check_grads(lambda h, c: unroll(cell, np.zeros((2, 0, D)), (h, c))[1][1] ** 2 + h, (h, c), 2)
    _, (final, _) = unroll(cell, np.zeros((2, 0, D)), (h, c))
    np.sum(final * final).backward()
    np.testing.assert_allclose(h.grad, 2 * h.data)
    assert len(Tape(final)) == 1
