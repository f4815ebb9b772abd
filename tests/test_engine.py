"""The engine: tape, backward, memory, scopes, threads, and errors that say where."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import operator
import os
import pickle
import platform
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, no_grad, scope, unroll
from unspool.autograd import (
    ACTIVATIONS,
    Op,
    apply,
    check_grads,
    cross_entropy,
    detect_anomaly,
    embedding,
    grad,
    numpy_core,
    sigmoid,
)
from unspool.cells import Elman


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def measured() -> Iterator[Callable[[], tuple[int, int]]]:
    """Yields a function that gives (bytes now, bytes at the peak) since the block began."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tuple(n - before for n in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()


# Long chains ------------------------------------------------------------------------------------


def chain(x: Tensor, length: int) -> Tensor:
    for _ in range(length):
        x = x + 1.0
    return x


@pytest.mark.slow
def test_a_chain_of_100_000_records_runs_and_dies_without_recursion():
    """In a thread with 4 MB of stack, which a recursion over 100,000 objects would overrun."""
    done = []

    def work() -> None:
        x = Parameter(1.0)
        y = chain(x, 100_000)
        y.backward()
        tape = Tape(y)
        done.extend([len(tape), float(x.grad), y.item()])
        first = weakref.ref(tape[0].output)
        del tape, y
        done.append(first())

    previous = threading.stack_size(4 * 2**20)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(previous)
    assert done == [100_000, 1.0, 100_001.0, None]


@pytest.mark.slow
def test_a_chain_of_1_000_000_records():
    x = Parameter(0.0)
    with without_collector():  # it would walk over the growing graph again and again
        y = chain(x, 1_000_000)
        y.backward()
    assert y.item() == 1e6
    assert x.grad == 1.0


# Memory -----------------------------------------------------------------------------------------


def test_a_finished_graph_is_freed_by_reference_counts_alone():
    x = Parameter(np.ones((3, 2)), name="x")
    with without_collector(), scope("block"):
        h = np.tanh(x @ np.ones((2, 2)))
        parts = np.split(np.concatenate([h, h[:1]]), 2)
        loss = sum(sigmoid(p).sum() for p in parts)
        inside = [weakref.ref(h), weakref.ref(parts[0]), weakref.ref(h.data)]
        tape = Tape(loss)
        tape.gradients()
        loss.backward()
        del h, parts, tape
        assert all(r() is not None for r in inside)  # the output holds what it came from
        del loss
        assert [r() for r in inside] == [None, None, None]


def test_a_tape_lives_as_long_as_it_is_held():
    y = np.exp(Parameter(2.0, name="x") * 3.0)
    tape = Tape(y)
    del y
    gradients = tape.gradients()
    assert [g.item() for t, g in gradients.items() if t.name == "x"] == pytest.approx(
        [3 * np.exp(6)]
    )


@pytest.mark.slow
def test_no_growth_over_1_000_training_steps():
    rng = np.random.default_rng(0)
    W, U, b = (Parameter(rng.normal(size=s) * 0.1) for s in [(3, 8), (8, 8), (8,)])
    xs = rng.normal(size=(5, 4, 3))

    def step() -> None:
        h: Any = np.zeros((4, 8))
        for t, x in enumerate(xs, 1):
            with scope("t", step=t):
                h = np.tanh(x @ W + h @ U + b)
        loss = cross_entropy(h, [0, 1, 2, 3])
        loss.backward()
        for p in (W, U, b):
            p.data -= 0.1 * p.grad
            p.grad = None

    with without_collector(), measured() as memory:
        for _ in range(2):  # what Python had kept for use again is emptied, and filled anew
            for _ in range(1_000):
                step()
            gc.collect()
        warm = memory()[0]
        for _ in range(1_000):
            step()
        # The collector finds nothing to do. It is asked because it also empties the free lists
        # that Python keeps, of up to 2,000 tuples, which look like growth.
        assert gc.collect() == 0
        grown = memory()[0] - warm
        assert grown < 8_000, f"{grown} bytes more after 1,000 steps"  # a float a step: 24,000


FAULTS = """
import resource, sys
import numpy as np
from unspool import Tensor, autograd, unroll
from unspool.cells import LSTM

class Recorded(LSTM):  # op by op: every intermediate result is kept
    same_every_step = False

if sys.argv[1] == "asked":
    autograd.keep_freed_memory()
cell = Recorded(128, 128, rng=0)
xs = Tensor(np.ones((32, 50, 128), np.float32))
faults = []
for _ in range(6):
    unroll(cell, xs)[0].sum().backward()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[-4])
"""
FREED = """
import gc, sys
import numpy as np
import unspool.models  # and all that it imports
from unspool.autograd import freed_memory_kept

def use():
    # Small arrays keep the heap's end in use while the larger ones below it are freed.
    arrays = [np.ones(170_000) for _ in range(150)]
    return [np.ones(10) for _ in arrays]

if sys.argv[1] == "block":
    with freed_memory_kept():
        rest = use()
else:
    rest = use()
del rest
gc.collect()
pages = int(open("/proc/self/statm").read().split()[1])
print(pages * 4096)
"""
CHOICES = {
    "asked": {},
    "not asked": {},
    "set in the environment": {"MALLOC_TRIM_THRESHOLD_": "131072"},
    "tunables": {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"},
}
needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")


def number_printed(code: str, argument: str, **variables: str) -> int:
    """What a program prints in a process of its own, with malloc's usual thresholds."""
    malloc = ("MALLOC_", "GLIBC_TUNABLES")
    env = {name: value for name, value in os.environ.items() if not name.startswith(malloc)}
    command = [sys.executable, "-c", code, argument]
    run = subprocess.run(command, env=env | variables, capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.slow
@needs_glibc
@pytest.mark.parametrize("choice", CHOICES)
def test_the_memory_of_a_tape_serves_the_next_one_where_asked(choice: str):
    asked = "not" if choice == "not asked" else "asked"
    # A page is 4,096 bytes or more; the tape of an update has 24 MB.
    assert (number_printed(FAULTS, asked, **CHOICES[choice]) < 300) == (choice == "asked")


@needs_glibc
@pytest.mark.parametrize("way", ["import", "block"])
def test_freed_memory_returns_to_the_system(way: str):
    assert number_printed(FREED, way) < 110e6  # of 204 MB of arrays and some 60 of imports


@pytest.mark.parametrize("update", ["assigned", "in place"])
def test_an_update_leaves_the_tape_of_an_older_result_as_it_was(update: str):
    """First and second derivatives of w³ at 2, after w has become 5."""
    w = Parameter([2.0], name="w")
    tape = Tape((w * w * w).sum())
    if update == "assigned":
        w.data = np.array([5.0])
    else:
        with no_grad():
            w += 3.0
    np.testing.assert_allclose(tape.gradients()[w], [12.0])
    first = tape.gradients(Tensor(1.0))[w]
    np.testing.assert_allclose(first.data, [12.0])
    np.testing.assert_allclose(Tape(first.sum()).gradients()[w], [12.0])  # 6 w


def test_new_values_of_a_parameter_have_its_shape():
    w = Parameter(np.zeros((2, 3), np.float32), name="w")
    for value in (np.ones((2, 3), int), np.ones((2, 3), bool), [[1.0] * 3] * 2):
        w.data = value
        assert w.data.dtype == np.float32
        np.testing.assert_array_equal(w.data, np.ones((2, 3)))
    w.data = np.ones((2, 3))
    assert w.dtype == np.float64
    for wrong in (np.ones((3, 2)), np.ones(3), np.ones((2, 3, 1)), [1.0], 5.0, np.zeros((0, 3))):
        with pytest.raises(ValueError, match=r"w \(2, 3\).*must be an array \(2, 3\), got"):
            w.data = wrong
    for kind in (np.ones((2, 3), complex), np.full((2, 3), "x"), [["a"] * 3] * 2):
        with pytest.raises(TypeError, match=r"its \.data must be real numbers, got"):
            w.data = kind
    np.testing.assert_array_equal(w.data, np.ones((2, 3)))


def test_a_weight_used_at_many_steps_takes_no_copies_of_its_size():
    steps, width = 300, 200
    rng = np.random.default_rng(0)
    W = Parameter(rng.normal(size=(width, width)))
    scale = Parameter(rng.normal(size=(width, width)))
    xs = rng.normal(size=(steps, 1, width))
    uses: dict[str, Callable[[Any], Any]] = {
        "matmul": lambda x: x @ W,
        "vector": lambda x: x[0] @ W,
        "from the left": lambda x: W @ x[0],
        "elementwise": lambda x: (scale * x[0, 0]).sum(),
        "added": lambda x: (scale + x[0, 0]).sum(),
        "batched": lambda x: (x[None] @ scale[None]).sum(),
    }
    for name, use in uses.items():
        loss = sum(use(x).sum() for x in xs)
        with measured() as memory:
            loss.backward()
            peak = memory()[1]
        copies = peak / W.data.nbytes
        assert copies < 12, f"{name}: {copies:.0f} arrays of the weight's size for {steps} uses"
        del loss


def test_a_bias_used_at_many_steps_sums_as_it_goes():
    steps, batch, width = 400, 16, 500
    b = Parameter(np.zeros(width))
    x = np.ones((batch, width))
    loss = sum((x + b).sum() for _ in range(steps))
    with measured() as memory:
        loss.backward()
        peak = memory()[1]
    assert b.grad.tolist() == [steps * batch] * width
    assert peak < 0.5 * steps * x.nbytes, f"{peak / x.nbytes:.0f} arrays of a step's size"


@pytest.fixture
def scattered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all arrays of zeros that gradients were scattered into."""
    sizes: list[int] = []
    forward = numpy_core.SCATTER_ADD.forward

    def counting(*gs: Any, **params: Any) -> Any:
        out = forward(*gs, **params)
        sizes.append(out.size)
        return out

    monkeypatch.setattr(numpy_core.SCATTER_ADD, "forward", counting)
    return sizes


@pytest.mark.parametrize(
    "slices",
    [
        lambda x: [x[t] for t in range(len(x))],
        lambda x: [x[:, t % 3] for t in range(len(x))],
        lambda x: list(x),
        lambda x: np.split(x, len(x)),
        lambda x: [x[[t, 0]] for t in range(len(x))],
        lambda x: [embedding(x, [t, t]) for t in range(len(x))],
    ],
    ids=["rows", "columns", "iteration", "split", "integer arrays", "embedding"],
)
def test_the_gradients_of_many_slices_cost_one_array(slices: Any, scattered: list[int]):
    """Work that is linear in the slices: an array of zeros for each would be quadratic."""
    x = Parameter(np.arange(1200.0).reshape(400, 3))
    parts = slices(x)
    loss = sum((s * (t + 1.0)).sum() for t, s in enumerate(parts))
    loss.backward()
    assert sum(scattered) <= 2 * (x.size + sum(s.size for s in parts))
    small = np.arange(9.0).reshape(3, 3)
    check_grads(
        lambda x: sum((s * s * (t + 1.0)).sum() for t, s in enumerate(slices(x))), (small,), order=2
    )


# The pass back ----------------------------------------------------------------------------------


def test_the_tape_is_not_consumed():
    x = Parameter([1.0, 2.0], name="x")
    y = (x * x * x).sum()
    tape = Tape(y)
    first, second = tape.gradients(), tape.gradients()
    assert first.keys() == second.keys()
    for t in first:
        np.testing.assert_array_equal(first[t], second[t])
    y.backward()
    assert x.grad.tolist() == [3.0, 12.0]
    y.backward()
    assert x.grad.tolist() == [6.0, 24.0]  # added up, and every pass begins anew
    assert str(tape) == str(Tape(y))


def test_a_tensor_used_twice():
    """Where engines that keep gradients on the nodes go wrong: reuse, and a second backward."""
    a = Parameter(-2.0)
    f = a * a
    d = f + f
    d.backward()
    assert a.grad == -8.0
    a.grad = None
    e = f * d + f  # f also reached through d: 2 a⁴ + a²
    e.backward()
    assert a.grad == 8 * (-2.0) ** 3 + 2 * (-2.0)
    a.grad = None
    d.backward()
    d.backward()
    assert a.grad == -16.0
    check_grads(lambda x: x * x + x * (x + x) - x, (np.array(1.5),), order=3)


def test_gradients_of_every_tensor_on_the_tape():
    x, c = Parameter([1.0, 2.0], name="x"), Tensor([3.0, 4.0], name="c")
    unused = Parameter([1.0], name="unused")
    n = Tensor([1, 2], name="n")
    h = x * c
    y = (h * n).sum()
    found = Tape(y).gradients()
    assert found[y] == 1.0
    assert found[h].tolist() == [1.0, 2.0]
    assert found[x].tolist() == [3.0, 8.0]
    assert found[c].tolist() == [1.0, 4.0]  # also what asks for no gradient
    assert n not in found  # integers have none
    assert unused not in found
    assert x.grad is None  # nothing was added up
    with pytest.raises(KeyError, match=r"unused \(1,\) float64 has no gradient here"):
        found[unused]
    for key, kind, words in (
        ("x", KeyError, r"by Tensor, as in grads\[cell.W\]; got 'x'; by its name: .*=="),
        ("x_1", KeyError, r"look gradients up by Tensor, .* got 'x_1'\W*$"),
        (3, KeyError, "look gradients up by Tensor, .* got 3; .* is a Parameter"),
        (
            x.data,
            TypeError,
            r"look gradients up by Tensor, .* an array \(2,\) float64; .* a Parameter",
        ),
    ):
        with pytest.raises(kind, match=words):
            found[key]
    assert "x" not in found
    assert found.get("x") is None
    step = np.floor(x)
    assert found.get(step) is None


def test_backward_fills_leaves_only():
    x, c = Parameter([1.0, 2.0]), Tensor([3.0, 4.0])
    h = x * c
    y = h.sum()
    y.backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert c.grad is None
    for result in (h, y):
        with pytest.warns(UserWarning, match="of a result is None"):
            assert result.grad is None


def test_several_outputs():
    x = Parameter([1.0, 2.0])
    a, b = x * 2, np.exp(x)
    tape = Tape(a, b)
    assert [r.op for r in tape] == ["multiply", "exp"]
    both = tape.gradients([np.ones(2), np.array([1.0, 0.0])])
    np.testing.assert_allclose(both[x], [2 + np.e, 2])
    only_b = tape.gradients([None, np.ones(2)])
    np.testing.assert_allclose(only_b[x], np.exp([1, 2]))
    assert a not in only_b
    with pytest.raises(ValueError, match="2 outputs"):
        tape.gradients()
    twice = Tape(a, a).gradients([np.ones(2), np.ones(2)])
    assert twice[x].tolist() == [4.0, 4.0]


def test_seeds_of_which_some_are_tensors():
    """One Tensor makes the pass a recorded one, whatever the other seeds are."""
    x = Parameter(np.ones((2, 2)))
    W = Parameter(np.eye(2))
    tape = Tape(x @ W, np.tanh(W @ x))
    array = np.array([[1.0, 2.0], [0.5, -1.0]])
    plain = tape.gradients([array, array])
    for seeds in ([Tensor(array), array], [array, Tensor(array)]):
        found = tape.gradients(seeds)
        for leaf in (x, W):
            assert isinstance(found[leaf], Tensor)
            np.testing.assert_allclose(found[leaf].data, plain[leaf], rtol=1e-14)


def test_an_output_that_another_output_came_from():
    x = Parameter(2.0)
    h = x * x
    y = h * 3
    assert Tape(y, h).gradients([np.array(1.0), np.array(10.0)])[x] == 3 * 4 + 10 * 4


def test_gradients_do_not_share_memory():
    a, b = Parameter([1.0, 2.0]), Parameter([3.0, 4.0])
    seed = np.array([1.0, 1.0])
    for y in (a + b, np.concatenate([a, b])[1:3], np.stack([a, b]).sum(axis=0), (a + b).reshape(2)):
        a.grad = b.grad = None
        y.backward(seed)
        assert not np.shares_memory(a.grad, b.grad)
        assert not np.shares_memory(a.grad, seed)
        kept = b.grad.copy()
        a.grad += 100.0
        np.testing.assert_array_equal(b.grad, kept)
    a.backward(seed)
    assert not np.shares_memory(a.grad, seed)


def test_backward_changes_no_array_of_the_user():
    arrays = {
        "x": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "w": np.array([[0.5, -1.0], [2.0, 0.1]]),
        "b": np.array([0.1, 0.2]),
        "seed": np.array([[1.0, 2.0], [3.0, 4.0]]),
    }
    before = {k: v.copy() for k, v in arrays.items()}
    x, w, b = (Tensor(arrays[k], requires_grad=True) for k in "xwb")
    assert x.data is arrays["x"]  # shared, not copied
    y = x @ w + b + x
    y = y + y + x * 2 + x.T
    y.backward(arrays["seed"])
    y.backward(arrays["seed"])
    Tape(y).gradients(arrays["seed"])
    for k, v in arrays.items():
        np.testing.assert_array_equal(v, before[k])


def test_a_gradient_of_many_kinds_of_use_is_their_sum():
    """Pooled uses, broadcast ones and plain ones of one Tensor, also under a second derivative."""
    table = np.linspace(-1, 1, 6).reshape(3, 2)

    def f(E: Any) -> Any:
        rows = embedding(E, [0, 2, 2])
        return (
            (rows @ E.T).sum()
            + (E[0] * E[1:]).sum()
            + np.tanh(E * np.ones((4, 3, 2))).sum()
            + (E[:1] + rows).prod()
            + (E * E).sum()
        )

    check_grads(f, (table,), order=2)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_rules_that_give_plain_zeros_mix_with_recorded_ones(order: int):
    check_grads(
        lambda x: (x * x * x + (np.floor(x) + np.ceil(x) + np.sign(x))).sum(),
        (np.array([0.3, 1.7]),),
        order=order,
    )


def test_batches_with_a_weight_of_three_axes():
    rng = np.random.default_rng(0)
    W, x = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 2, 3))
    check_grads(lambda W, x: ((x @ W) @ (x @ W).swapaxes(-1, -2)).sum(), (W, x), order=2)


def test_more_uses_than_are_summed_at_once(monkeypatch: pytest.MonkeyPatch):
    """Sums in portions, here of 32 uses, give what a sum of all gives."""
    monkeypatch.setattr("unspool.autograd.buffers.BUFFER_ROWS", 64)
    monkeypatch.setattr("unspool.autograd.buffers.BUFFER_NUMBERS", 1)
    rng = np.random.default_rng(0)
    for uses in (1, 63, 64, 65, 130, 1030):
        xs = rng.normal(size=(uses, 2, 3))
        W, b = Parameter(rng.normal(size=(3, 2))), Parameter(rng.normal(size=2))
        seed = rng.normal(size=(uses, 2, 2))
        y = np.stack([x @ W + b for x in xs])
        y.backward(seed)
        np.testing.assert_allclose(
            W.grad, np.einsum("tbi,tbj->ij", xs, seed), rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(b.grad, seed.sum((0, 1)), rtol=1e-10, atol=1e-12)


def test_uses_of_different_shapes_are_summed():
    b = Parameter([1.0, 2.0])
    y = (b * np.ones((3, 2))).sum() + (np.ones((2, 1)) * b).sum() + (b + np.ones((2, 3, 2))).sum()
    y = y + b.sum() + (b[None] * np.ones((1, 1))).sum()
    y.backward()
    assert b.grad.tolist() == [3 + 2 + 6 + 1 + 1] * 2
    one = Parameter([[2.0]])
    (
        (one * np.ones((3, 4))).sum() + (one * np.ones(5)).sum() + (one + np.ones((2, 1, 1))).sum()
    ).backward()
    assert one.grad.tolist() == [[12.0 + 5 + 2]]


# What a Tensor is -------------------------------------------------------------------------------


def test_grad_and_requires_grad():
    x = Tensor([1.0, 2.0])
    assert not x.requires_grad
    y = x * 2
    assert not y.requires_grad
    assert len(Tape(y)) == 1  # recorded all the same, so that a picture is whole
    p = Parameter([1.0], name="p")
    assert p.requires_grad
    assert (p + x).requires_grad
    assert not (p + x).detach().requires_grad
    assert (p > 0).dtype == bool
    assert not p.astype(int).requires_grad
    p.grad = None
    assert p.grad is None


def test_parameter_owns_its_data_and_a_tensor_shares_it():
    data = np.array([1.0, 2.0])
    p, t = Parameter(data), Tensor(data)
    data[0] = 5.0
    assert p.data.tolist() == [1.0, 2.0]
    assert t.data.tolist() == [5.0, 2.0]
    assert t.numpy() is t.data
    assert t.detach().data is t.data


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (lambda p: operator.iadd(p, 0.5), [1.5, 2.5]),
        (lambda p: operator.isub(p, [0.5, 1.0]), [0.5, 1.0]),
        (lambda p: operator.imul(p, Tensor([2.0, 3.0])), [2.0, 6.0]),
        (lambda p: operator.itruediv(p, np.float64(2)), [0.5, 1.0]),
    ],
)
def test_a_parameter_is_updated_within_no_grad(update: Any, expected: list[float]):
    p = Parameter(np.array([1.0, 2.0], np.float32), name="p")
    before, loss = p.data, (p * p).sum()
    with no_grad():
        assert update(p) is p
    assert p.data.tolist() == expected
    assert p.dtype == np.float32
    assert p.requires_grad
    assert Tape(p).leaves == (p,)
    # The tape holds the old array, and differentiates the run that it recorded.
    assert p.data is not before
    assert before.tolist() == [1.0, 2.0]
    loss.backward()
    assert p.grad is not None
    assert p.grad.tolist() == [2.0, 4.0]


def test_an_update_of_a_module_keeps_its_parameter():
    cell = Elman(2, 3, rng=0)
    W = cell.W
    with no_grad():
        cell.W -= 0.1 * np.ones((2, 3))
    assert cell.W is W
    assert cell.W.dtype == np.float32
    b = Parameter(1.0)
    with no_grad():
        b -= 0.25
    assert isinstance(b.data, np.ndarray)
    assert b.item() == 0.75


def test_an_update_outside_of_no_grad_raises_with_the_cure():
    p = Parameter([1.0, 2.0], name="W")
    for update, sign in [
        (operator.iadd, "+"),
        (operator.isub, "-"),
        (operator.imul, "*"),
        (operator.itruediv, "/"),
    ]:
        with pytest.raises(TypeError) as raised:
            update(p, 1.0)
        message = str(raised.value)
        assert message.startswith(f"W (2,) float64 {sign}= outside of no_grad()")
        assert "with no_grad():" in message
        assert f"x = x {sign}" in message
    with no_grad(), pytest.raises(ValueError, match=r"keeps the shape, got \(2, 2\)"):
        p += np.ones((2, 2))
    assert p.data.tolist() == [1.0, 2.0]
    total = Tensor([1.0])  # a result is a new Tensor, as in a sum over a loop
    total += p[0]
    assert total.requires_grad


# Ops of one's own -------------------------------------------------------------------------------

CLIPPED_EXP = Op("clipped_exp", np.exp, (lambda g, y, x: np.clip(g * y, -5, 5),))
SIGN = Op("straight_through_sign", np.sign, (lambda g, y, x: g,))
SCALED = Op(
    "scaled_sum",
    lambda a, b, *, scale: scale * (a + b),
    (lambda g, y, a, b, scale: g * scale, lambda g, y, a, b, scale: g * scale),
    elementwise=True,
)


def test_an_op_of_ones_own_has_its_own_gradient():
    x = Parameter([0.0, 1.0, 3.0], name="x")
    y = apply(CLIPPED_EXP, (x,))
    np.testing.assert_allclose(y.data, np.exp([0.0, 1.0, 3.0]))
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, [1.0, np.e, 5.0])
    assert Tape(y)[0].op == "clipped_exp"
    assert "clipped_exp" in str(Tape(y))
    # Of a plain array it is the forward; under no_grad nothing is recorded.
    assert isinstance(apply(CLIPPED_EXP, (x.data,)), np.ndarray)
    with no_grad():
        assert not apply(CLIPPED_EXP, (x,)).requires_grad


def test_an_op_of_ones_own_differentiates_to_any_order():
    """Where nothing is clipped, its derivatives are those of exp."""
    x = np.array([-0.5, 0.3])
    check_grads(lambda x: apply(CLIPPED_EXP, (x,)) * x, [x], order=3)
    # s(x) x² with s'(x) = 1: x² + 2 x s(x), then 4 x + 2 s(x).
    f = lambda x: apply(SIGN, (x,)) * x**2  # noqa: E731
    assert grad(f)(-3.0) == 9 + 6
    assert grad(grad(f))(-3.0) == -12 - 2


def test_an_op_of_two_operands_broadcasts_and_has_metadata():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=3)
    check_grads(lambda a, b: apply(SCALED, (a, b), {"scale": 2.0}), [a, b], order=2)
    y = apply(SCALED, (Parameter(a, name="a"), b), {"scale": 2.0})
    assert Tape(y)[0].params == {"scale": 2.0}
    with pytest.raises(ValueError, match=r"scaled_sum of a \(2, 3\) float64 and an array \(4,\)"):
        apply(SCALED, (Parameter(a, name="a"), np.ones(4)), {"scale": 2.0})


def test_an_op_with_one_rule_for_all_operands():
    total = Op(
        "total", lambda *xs: sum(x.sum() for x in xs), lambda g, y, *xs: [g + 0 * x for x in xs]
    )
    xs = [Parameter(np.ones(k)) for k in (1, 2, 3)]
    apply(total, tuple(xs)).backward()
    assert [x.grad.tolist() for x in xs if x.grad is not None] == [[1.0], [1.0] * 2, [1.0] * 3]


def test_a_batch_rule_sums_the_uses_of_a_weight():
    calls = []

    def batch_rule(contributions: list[Any], w: Any) -> Any:
        calls.append(len(contributions))
        return sum(g * x for g, _, _, _, x in contributions)

    times = Op(
        "times",
        np.multiply,
        (lambda g, y, w, x: g * x, lambda g, y, w, x: g * w),
        batch_rules=(batch_rule, None),
        buffer_until="all",
    )
    w = Parameter([1.0, 2.0])
    sum(apply(times, (w, np.full(2, float(k)))) for k in range(5)).sum().backward()
    assert calls == [5]
    assert w.grad is not None
    assert w.grad.tolist() == [10.0, 10.0]


def test_activations_by_name():
    assert list(ACTIVATIONS) == sorted(ACTIVATIONS)
    x = np.linspace(-2, 2, 5)
    for name, function in ACTIVATIONS.items():
        y = function(x)
        assert isinstance(y, np.ndarray), name
        assert y.shape == x.shape
        np.testing.assert_array_equal(function(Tensor(x)).data, y)
        check_grads(function, [x + 0.1])
    assert ACTIVATIONS["sigmoid"] is sigmoid
    assert ACTIVATIONS["identity"](x) is x


def test_shape_and_conversions():
    x = Tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3), name="x")
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 3), 2, 6, np.float32, 2)
    assert x.T.shape == (3, 2)
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert [row.shape for row in x] == [(3,), (3,)]
    assert isinstance(Tensor(2.5).data, np.ndarray)
    assert isinstance(x.sum().data, np.ndarray)
    assert Tensor(2.5).item() == 2.5
    assert bool(Tensor(1.0) > 0)
    assert hash(x) != hash(Tensor(x.data))
    assert {x: 1}[x] == 1


def test_copies_and_pickles():
    p = Parameter([1.0, 2.0], name="p")
    for other in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(other) is Parameter
        assert other.name == "p"
        assert other.requires_grad
        assert other.data.tolist() == [1.0, 2.0]
        assert not np.shares_memory(other.data, p.data)
    with pytest.raises(TypeError, match=r"\.data"):
        pickle.dumps(p * 2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Tensor(Tensor([1.0], name="x")), ["x (1,)", "already"]),
        (lambda: Tensor(["a"]), ["numbers", "Vocabulary"]),
        (lambda: Tensor([1, 2], requires_grad=True), ["int", "floating-point", "astype(float)"]),
        (lambda: Parameter([1, 2], name="W"), ["W", "floating-point"]),
        (lambda: Tensor(1j), ["real numbers", "complex128"]),
    ],
)
def test_what_is_no_tensor(make: Any, words: list[str]):
    with pytest.raises(TypeError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


# Scopes -----------------------------------------------------------------------------------------


def test_records_carry_their_scope_and_step():
    x = Tensor([1.0], name="x")
    with scope("lstm"):
        a = x + 1
        with scope("t=3", step=3), scope("forget"):
            b = a * 2
        with scope("t=4", step=np.int64(4)):
            c = b - a
    d = c / 2
    tape = Tape(d)
    assert [r.op for r in tape] == ["add", "multiply", "subtract", "divide"]
    assert [r.scope for r in tape] == [("lstm",), ("lstm", "t=3", "forget"), ("lstm", "t=4"), ()]
    assert [r.step for r in tape] == [None, 3, 4, None]
    assert [r.index for r in tape] == sorted(r.index for r in tape)
    assert tape[1].inputs[0] is a
    assert tape[1].output is b
    assert tape[1].inputs[1].data == 2.0  # a number of the code stands on the tape too
    assert [r.op for r in tape[1:3]] == ["multiply", "subtract"]


def test_the_innermost_step_counts():
    with scope("sentence", step=2), scope("word", step=5), scope("gate"):
        y = Tensor(1.0) * 2
    assert Tape(y)[0].step == 5


@pytest.mark.parametrize("kind", [scope, no_grad, detect_anomaly])
def test_an_exception_inside_a_scope_restores_what_was_before(kind: Any):
    def enter() -> Any:
        return scope("inner", step=2) if kind is scope else kind()

    with scope("outer"):
        with pytest.raises(ZeroDivisionError), enter():
            raise ZeroDivisionError
        y = Tensor([0.0]) + 1
        with np.errstate(divide="ignore"):
            np.log(Tensor([0.0]))
    assert Tape(y)[0].scope == ("outer",)
    assert Tape(Tensor(1.0) + 1)[0].scope == ()


@pytest.mark.parametrize("make", [lambda: scope("s"), no_grad, detect_anomaly])
def test_a_scope_object_may_be_entered_again_inside_itself(make: Any):
    def nested() -> None:
        context = make()
        with context, context:
            pass
        y = Parameter([0.0]) + 1
        assert y.requires_grad
        assert Tape(y)[0].scope == ()
        with np.errstate(divide="ignore"):
            assert np.log(Tensor(0.0)).item() == -np.inf

    contextvars.copy_context().run(nested)  # what it leaves behind reaches no other test


def test_no_grad_records_nothing():
    p = Parameter([1.0])
    with no_grad():
        with scope("quiet", step=1):
            y = p * 2
        z = y + p
    assert not y.requires_grad
    assert len(Tape(y)) == 0
    assert Tape(z).gradients([1.0]).keys() == {z}
    for gradients in (Tape(z).gradients, z.backward):
        with pytest.raises(ValueError, match=r"nothing that .* leads to it; .* outside of no_grad"):
            gradients()
    assert (p * 2).requires_grad

    @no_grad()
    def frozen(x: Any) -> Any:
        """Doubles."""
        return x * 2

    assert not frozen(p).requires_grad
    assert frozen.__doc__ == "Doubles."
    with no_grad():
        frozen(p)
        assert not (p * 2).requires_grad  # the inner one left the outer in place
    with pytest.raises(ValueError, match="nothing that requires a gradient"):
        frozen(p).backward(np.ones(1))


def test_a_scope_decorates_functions_generators_and_coroutines():
    p = Parameter([0.5], name="p")

    @scope("power")
    def power(x: Any, n: int) -> Any:
        """x to the n."""
        return x if n == 1 else x * power(x, n - 1)

    @scope("parts", step=2)
    def parts(x: Any) -> Any:
        yield x + 1
        yield x + 2

    @scope("later")
    async def later(x: Any) -> Any:
        return x * 2

    assert power.__doc__ == "x to the n."
    with scope("around"):
        found = [r.scope for r in Tape(power(p, 3))]
    assert found == [("around", "power", "power"), ("around", "power")]
    sums = [Tape(part * 3) for part in parts(p)]  # the consumer's product is outside
    assert [[(r.scope, r.step) for r in tape] for tape in sums] == 2 * [
        [(("parts",), 2), ((), None)]
    ]
    assert [r.scope for r in Tape(asyncio.run(later(p)))] == [("later",)]
    assert Tape(p * 2)[0].scope == ()


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: scope(3), TypeError, ["name", "string", "int"]),
        (lambda: scope("t", step=0), ValueError, ["'t'", "counted from 1", "0"]),
        (lambda: scope("t", step=1.5), TypeError, ["float"]),
    ],
)
def test_scopes_that_are_none(make: Any, kind: Any, words: list[str]):
    with pytest.raises(kind) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_threads_do_not_disturb_each_other():
    """Two threads in step: one records inside scopes, one is under no_grad and a scope."""
    turns = threading.Barrier(2, timeout=20)
    found: dict[str, Any] = {}

    def recording() -> None:
        p = Parameter(np.ones(3), name="p")
        y: Any = p
        for t in range(1, 51):
            turns.wait()
            with scope("mine", step=t):
                turns.wait()
                y = np.tanh(y * 1.5)
        y.sum().backward()
        found["steps"] = [r.step for r in Tape(y)]
        found["names"] = {r.scope for r in Tape(y)}
        found["grad"] = p.grad

    def quiet() -> None:
        p = Parameter(np.ones(3), name="q")
        y: Any = p
        with no_grad(), scope("other"):
            for _ in range(50):
                turns.wait()
                y = np.tanh(y * 1.5)
                turns.wait()
        found["quiet"] = y.requires_grad, len(Tape(y))
        z = (p * 2).sum()
        z.backward()
        found["after"] = p.grad.tolist(), Tape(z)[0].scope

    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
            turns.abort()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (recording, quiet)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert found["steps"] == [t for t in range(1, 51) for _ in range(2)]
    assert found["names"] == {("mine",)}
    alone = Parameter(np.ones(3))
    y: Any = alone
    for _ in range(50):
        y = np.tanh(y * 1.5)
    y.sum().backward()
    np.testing.assert_array_equal(found["grad"], alone.grad)
    assert found["quiet"] == (False, 0)
    assert found["after"] == ([2.0, 2.0, 2.0], ())


def test_anomalies_are_watched_in_one_thread_only():
    found: dict[str, Any] = {}

    def work() -> None:
        with np.errstate(divide="ignore"):
            found["other"] = np.log(Parameter([0.0])).item()

    with detect_anomaly(), np.errstate(divide="ignore"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        for watched in (lambda p: np.log(p), lambda p: 1 / p, lambda p: p**-1):
            with pytest.raises(FloatingPointError), detect_anomaly():
                watched(Parameter([0.0]))
        with pytest.raises(FloatingPointError):
            np.log(Parameter([0.0]))
    assert found["other"] == -np.inf
    with np.errstate(divide="ignore"):
        np.log(Parameter([0.0]))


def test_many_threads_run_back_at_the_same_time():
    W = np.random.default_rng(0).normal(size=(20, 20)) * 0.2
    results: list[Any] = [None] * 4

    def work(k: int) -> None:
        p = Parameter(W)
        for _ in range(20):
            h: Any = np.full((2, 20), 0.1 * (k + 1))
            for _ in range(10):
                h = np.tanh(h @ p)
            p.grad = None
            h.sum().backward()
        results[k] = p.grad

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = list(results)
    for k in range(4):
        work(k)
        np.testing.assert_array_equal(together[k], results[k])


# The printed tape -------------------------------------------------------------------------------


def test_print_tape_is_a_table():
    x = Tensor([[1.0, 2.0]], name="x")
    W = Parameter(np.ones((2, 3)), name="W")
    h: Any = Tensor(np.zeros((1, 3)), name="h_0")
    with scope("rnn"):
        for t in (1, 2):
            with scope(f"t={t}", step=t):
                with scope("gate"):
                    g = sigmoid(x @ W)
                h = (1 - g) * h
                h.name = f"h_{t}"
    y = h.sum(axis=-1)[0]
    assert str(Tape(y)).splitlines() == [
        "#   t  scope       op           operands               result",
        "1   1  rnn / gate  matmul       x (1, 2), W (2, 3)     v1 (1, 3)",
        "2   1  rnn / gate  sigmoid      v1 (1, 3)              v2 (1, 3)",
        "3   1  rnn         subtract     1, v2 (1, 3)           v3 (1, 3)",
        "4   1  rnn         multiply     v3 (1, 3), h_0 (1, 3)  h_1 (1, 3)",
        "5   2  rnn / gate  matmul       x (1, 2), W (2, 3)     v5 (1, 3)",
        "6   2  rnn / gate  sigmoid      v5 (1, 3)              v6 (1, 3)",
        "7   2  rnn         subtract     1, v6 (1, 3)           v7 (1, 3)",
        "8   2  rnn         multiply     v7 (1, 3), h_1 (1, 3)  h_2 (1, 3)",
        "9                  sum axis=-1  h_2 (1, 3)             v9 (1,)",
        "10                 getitem [0]  v9 (1,)                v10 ()",
    ]


def test_print_of_tapes_without_time_and_of_nothing():
    text = str(Tape(Tensor([4.0], name="x") / 2))
    assert text.splitlines() == [
        "#  op      operands   result",
        "1  divide  x (1,), 2  v1 (1,)",
    ]
    leaf = Tensor([1.0], name="x")
    assert len(Tape(leaf)) == 0
    assert Tape(leaf).gradients([1.0])[leaf].tolist() == [1.0]
    assert repr(Tape(leaf)) == "<Tape of 0 records to x (1,) float64>"


def test_leaves_of_a_tape():
    x, W = Tensor([1.0], name="x"), Parameter([2.0], name="W")
    assert [t.name for t in Tape(x * W + x).leaves] == ["x", "W"]


# Errors that teach ------------------------------------------------------------------------------


def raised(call: Callable[[], Any]) -> str:
    with pytest.raises((ValueError, TypeError, IndexError)) as caught:
        call()
    return str(caught.value)


def test_the_error_of_an_op_names_it_its_operands_and_the_scope():
    x = Tensor(np.ones((2, 3), np.float32), name="x")
    W = Parameter(np.ones((4, 5)), name="W_f")
    with scope("lstm"), scope("t=3", step=3), scope("forget"):
        message = raised(lambda: x @ W)
        add = raised(lambda: x + W)
        result = raised(lambda: np.tanh(x) * W)
    assert message.startswith(
        "matmul of x (2, 3) float32 and W_f (4, 5) float64 in lstm / t=3 / forget: "
    )
    assert "3 columns" in message
    assert "4 rows" in message
    assert add.startswith("add of x (2, 3) float32 and W_f (4, 5) float64 in lstm / t=3 / forget: ")
    assert "the result of tanh (2, 3)" in result
    assert "in lstm" not in raised(lambda: x @ W)  # out of the scope again
    assert "x (2, 3)" in raised(lambda: np.concatenate([x, np.ones((2, 2))]))
    assert "axis=5" in raised(lambda: np.sum(x, axis=5))
    assert "x (2, 3)" in raised(lambda: x[7])


@pytest.mark.parametrize("other", [2, 2.0, True])
def test_matmul_with_a_number(other: Any):
    x = Tensor([1.0, 2.0], name="x")
    assert "matmul" in raised(lambda: x @ other)
    assert "matmul" in raised(lambda: other @ x)


def test_backward_that_cannot_be():
    x = Parameter([1.0, 2.0], name="x")
    message = raised(lambda: (x * 2).backward())
    assert "multiply (2,)" in message
    assert ".sum()" in message
    assert "(2,)" in raised(lambda: (x * 2).backward(np.ones(3)))
    assert "(3,)" in raised(lambda: (x * 2).backward(np.ones(3)))
    assert "floating-point" in raised(lambda: Tensor(3, name="n").backward())
    assert "floating-point" in raised(lambda: x.astype(int).sum().backward())
    message = raised(lambda: (Tensor([1.0], name="c") * 2).backward())
    assert "nothing that requires a gradient" in message
    assert "Parameter" in message
    assert "(3,)" in raised(lambda: Tape(x * 2).gradients(np.ones(3)))
    assert "scalar" in raised(lambda: Tape(x * 2).gradients())
    assert "at least one output" in raised(Tape)
    assert "Tape(*outputs)" in raised(lambda: Tape((x, x)))


def test_a_scalar_of_one_element_needs_no_gradient_given():
    x = Parameter([[2.0]])
    (x * x).backward()
    assert x.grad.tolist() == [[4.0]]


def test_anomaly_names_the_op_and_the_scope():
    x = Parameter([1.0, 0.0], name="p")
    with (
        detect_anomaly(),
        np.errstate(all="ignore"),
        scope("lstm"),
        scope("t=2", step=2),
        pytest.raises(FloatingPointError) as caught,
    ):
        np.log(x)
    assert "log of p (2,) float64 in lstm / t=2" in str(caught.value)
    assert "-inf at [1]" in str(caught.value)
    with np.errstate(all="ignore"):
        np.log(x)  # outside, NumPy's own settings hold


def test_a_bad_id_is_named_with_its_table_and_scope():
    E = Parameter(np.ones((4, 2)), name="E")
    scores = Parameter(np.ones((2, 3)), name="logits")
    for call, words in [
        (lambda: embedding(E, [[1, 2], [0, 7]]), "embedding in lm / t=2: id 7 at [1, 1] is outside "
         "of 0..3, the 4 rows of E (4, 2) float64"),
        (lambda: cross_entropy(scores, [2, -1]), "cross_entropy in lm / t=2: id -1 at [1] is "
         "outside of 0..2, the 3 classes of logits (2, 3) float64"),
        (lambda: cross_entropy(scores, [0.0, 1.0]), "cross_entropy in lm / t=2: ids are integers"),
    ]:  # fmt: skip
        with scope("lm"), scope("t=2", step=2), pytest.raises((ValueError, TypeError)) as caught:
            call()
        assert words in str(caught.value)


def test_errors_of_numpys_functions_name_operand_and_scope():
    W, b = Parameter(np.ones((2, 3)), name="W"), Parameter(np.ones(2), name="b")
    a = np.ones((3, 3))

    def in_place() -> None:
        array = a
        array @= W.T @ W

    with scope("lstm"), scope("forget"):
        for call, kind, words in [
            (lambda: np.unwrap(W), TypeError, "np.unwrap of W (2, 3) float64 in lstm / forget: it "
             "has no gradient rule"),
            (lambda: np.sum(W, dtype=float), TypeError, "np.sum of W (2, 3) float64 in lstm / "
             "forget takes no dtype= for Tensors: write x.astype(dtype)"),
            (lambda: np.dot(W, W), ValueError, "dot of W (2, 3) float64 and W (2, 3) float64 in "
             "lstm / forget: shapes (2,3) and (2,3) not aligned"),
            (lambda: np.tensordot(W, b, 1), ValueError, "tensordot of W (2, 3) float64 and b (2,) "
             "float64 in lstm / forget: the axes [1] of the left and [0] of the right"),
            (lambda: np.vstack([W, b]), ValueError, "vstack of W (2, 3) float64 and b (2,) float64 "
             "in lstm / forget: all the input array"),
            (in_place, TypeError, "np.matmul of an array (3, 3) float64 and the result of matmul "
             "(3, 3) float64 in lstm / forget takes no out= for Tensors: a Tensor is never "
             "overwritten; use the result, and a = a + t in place of a += t"),
            (lambda: W + b, ValueError, "lengths must be equal or 1"),
        ]:  # fmt: skip
            with pytest.raises(kind) as caught:
                call()
            assert words in str(caught.value)
        for wrong in (lambda: W + np.array(["a"]), lambda: np.einsum("ij,jk", W, W)):
            with pytest.raises((TypeError, ValueError)) as caught:
                wrong()
            assert "equal or 1" not in str(caught.value)


def test_a_parameter_of_integers_is_named():
    with pytest.raises(TypeError, match=r"^Parameter W: a gradient needs floating-point .* int64"):
        Parameter([1, 2], name="W")
    with pytest.raises(TypeError, match=r"^Tensor: a gradient needs floating-point"):
        Tensor([1, 2], requires_grad=True)


def test_anomaly_in_a_gradient():
    """The square root's value at 0 is finite, its derivative is not."""
    x = Parameter([4.0, 0.0], name="p")
    with scope("norm"):
        y = np.sqrt(x).sum()
    with np.errstate(all="ignore"):
        y.backward()
        assert x.grad.tolist() == [0.25, np.inf]
        with detect_anomaly(), pytest.raises(FloatingPointError) as caught:
            y.backward()
        assert "sqrt" in str(caught.value)
        assert "norm" in str(caught.value)
        assert "gradient" in str(caught.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: np.sqrt(x * np.ones((2, 1))),
        lambda x: np.power(x, np.full((2, 1), 0.5)),
        lambda x: np.array([[1e200, 1.0]]) @ x[:, None],
        lambda x: np.sqrt(np.stack([x, x])),
        lambda x: np.cbrt(x * np.ones((2, 1))),
    ],
    ids=["before a sum", "broadcast", "matmul", "stacked", "cube root"],
)
def test_anomaly_is_found_where_gradients_are_summed(use: Any):
    x = Parameter([0.0, 1.0], name="p")
    with np.errstate(all="ignore"):
        y = use(x)
        y.backward(np.full(y.shape, 1e200))
        if np.isfinite(x.grad).all():
            pytest.fail("the example has no anomaly")
        with detect_anomaly(), pytest.raises(FloatingPointError):
            y.backward(np.full(y.shape, 1e200))


def test_infinities_that_were_there_before_are_no_anomaly():
    mask = np.array([0.0, -np.inf])
    x = Parameter([1.0, 2.0])
    with detect_anomaly():
        y = np.exp(x + mask).sum()
        y.backward()
    np.testing.assert_allclose(x.grad, [np.e, 0.0])


def test_a_nan_that_was_there_before_is_traced_to_its_leaf():
    W = Parameter([[1.0, np.nan], [2.0, 3.0]], name="W")
    xs = Tensor([[[0.5, 1.0], [np.nan, 1.0]]], name="xs")
    with detect_anomaly(), scope("lstm"), scope("t=2", step=2):
        with pytest.raises(FloatingPointError) as caught:
            Tensor(np.ones((1, 2)), name="x") @ W
        assert "matmul of x (1, 2) float64 and W (2, 2) float64 in lstm / t=2" in str(caught.value)
        assert "comes from W (2, 2) float64, where one stands at [0, 1]" in str(caught.value)
        x = xs[:, 1].reshape(2)  # only moved, and named when it is computed with
        with pytest.raises(FloatingPointError) as caught:
            np.tanh(x)
        assert "comes from xs (1, 2, 2) float64, where one stands at [0, 1, 0]" in str(caught.value)
        with pytest.raises(FloatingPointError, match=r"an array \(2,\) float64, where .* \[1\]"):
            Tensor([1.0, 2.0]) * np.array([1.0, np.nan])
        assert np.isfinite((np.where(np.isnan(x.data), 0, x) * 2).data).all()
        np.nan_to_num(x)
    with np.errstate(invalid="ignore"):
        made = np.log(Tensor([-1.0], name="p"))
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"the result of log \(1,\)"):
        made + 1.0


def test_padding_may_be_nan_while_anomalies_are_watched():
    xs = np.ones((2, 3, 2))
    xs[1, 2] = np.nan
    with detect_anomaly():
        ys, _ = unroll(Elman(2, 2, rng=0, dtype=np.float64), xs, lengths=[3, 2])
        ys.sum().backward()


def test_warnings_of_numpy_are_not_swallowed():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.log(Tensor([0.0]))
    with pytest.warns(RuntimeWarning, match="overflow"):
        np.exp(Tensor([1000.0]))
    y = np.sqrt(Parameter([0.0]))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        y.backward([1.0])


# What a review found ---------------------------------------------------------------------------


@pytest.mark.parametrize("use", [lambda p: p * 1j, lambda p: np.array([1j]) + p, lambda p: p / 2j])
def test_complex_numbers_are_refused_and_not_cast_away(use: Any):
    with pytest.raises(TypeError, match="complex"):
        use(Parameter(np.ones(1)))


def test_rows_may_be_named_by_small_integers():
    E = Parameter(np.ones((300, 2)))
    E[np.array([1, 2, 2], np.uint8)].sum().backward()
    assert E.grad is not None
    np.testing.assert_array_equal(E.grad[:4, 0], [0, 1, 2, 0])


def test_the_gradient_of_a_nan_maximum_goes_to_the_nan():
    x = Parameter([1.0, np.nan, 3.0])
    np.max(x).backward()
    np.testing.assert_array_equal(x.grad, [0, 1, 0])


# What cannot be on a tape ------------------------------------------------------------------------


class Own:
    """What computes with arrays itself says so with this attribute."""

    __array_ufunc__ = None

    def __rmul__(self, other: Any) -> str:
        return "own"


def test_what_computes_with_tensors_itself_is_asked():
    assert Parameter([1.0]) * Own() == "own"
    with pytest.raises(TypeError, match="unsupported operand"):
        Parameter([1.0]) + Own()
    with pytest.raises(TypeError, match=r"unsupported operand.*NoneType"):
        Parameter([1.0]) + None  # type: ignore[operator]


MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])  # type: ignore[no-untyped-call]
OFF_THE_TAPE: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "complex": (lambda t: t.astype(complex), r"cannot become complex128.*\.data\.astype"),
    "objects": (lambda t: np.astype(t, object), r"cannot become object.*\.data\.astype"),
    "strings": (lambda t: t.astype(str), "a Tensor is of real numbers"),
    "a matrix": (lambda t: t * np.matrix([[1.0, 2.0, 3.0]]), r"write np\.asarray\(m\)"),
    "a matrix, left": (
        lambda t: np.matrix([[1.0, 2.0, 3.0]]) * t,
        r"multiply of .*np\.asarray\(m\)",
    ),
    "a mask": (lambda t: t * MASKED, r"lose its mask; write x\.filled"),
    "a mask, joined": (lambda t: np.concatenate([t, MASKED]), "lose its mask"),
    "a mask, as data": (lambda t: Tensor(MASKED), "lose its mask"),
    "a fraction": (lambda t: t * Fraction(1, 2), "an operand: expected real numbers, got Fraction"),
    "a fraction, left": (lambda t: Fraction(1, 2) * t, r"multiply of .*got Fraction"),
    "a time": (lambda t: t * np.timedelta64(10, "s"), "got timedelta64"),
    "a word": (lambda t: t + "a", "got str; turn words into ids"),
    "an array of words": (lambda t: t + np.array(["a"]), "got <U1; turn words into ids"),
    "a deep copy": (lambda t: copy.deepcopy(t * 2), r"np\.copy\(x\) to stay.*x\.detach\(\)"),
}


@pytest.mark.parametrize("name", OFF_THE_TAPE)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_what_would_leave_the_tape_in_silence(name: str):
    call, words = OFF_THE_TAPE[name]
    with pytest.raises(TypeError, match=words):
        call(Parameter([1.0, 2.0, 3.0]))


def test_a_result_and_its_copy_in_one_graph():
    p = Parameter([1.0, 2.0])
    y = p * p
    (y + copy.copy(y)).sum().backward()  # of one running number
    assert p.grad is not None
    np.testing.assert_array_equal(p.grad, [4.0, 8.0])


def test_a_gradient_asked_of_integers_afterwards():
    t = Tensor([1, 2, 3])
    t.requires_grad = True
    with pytest.raises(TypeError, match=r"\(3,\) int64 requires a gradient.*floats"):
        (t * 0.5).sum().backward()


def test_an_infinity_made_by_the_leafs_dtype_is_an_anomaly():
    p = Parameter(np.ones(2, np.float32), name="p")
    with detect_anomaly(), np.errstate(over="ignore"):
        y = (p * np.full(2, 1e300)).sum()
        with pytest.raises(FloatingPointError, match=r"cast of .*gradients of p"):
            y.backward()


@pytest.mark.parametrize(
    ("shape", "use"),
    [
        ((50, 50), lambda p: p + np.ones((2, 1, 1))),
        ((60, 60), lambda p: p * np.ones((4, 1, 1))),
        ((4, 60, 60), lambda p: np.ones((4, 2, 60)) @ p),
        ((400_000,), lambda p: p + np.ones((1, 400_000))),
    ],
    ids=["added", "multiplied", "matrices", "a long bias"],
)
def test_many_uses_of_a_broadcast_parameter_take_few_copies(shape: Any, use: Any):
    p = Parameter(np.ones(shape))

    def copies(times: int) -> float:
        loss = sum((use(p).sum() for _ in range(times)), Tensor(0.0))
        p.grad = None
        with measured() as memory:
            loss.backward()
            return float(memory()[1]) / p.data.nbytes

    assert copies(30) < 20
    assert copies(60) < 20
    np.testing.assert_allclose(p.grad, 60 * grad(lambda z: use(z).sum())(p.data))


# The gradient of a result -------------------------------------------------------------------------


def test_the_grad_of_a_result_is_none_and_says_where_its_gradient_is():
    x = Parameter([1.0, 2.0], name="x")
    h = np.tanh(x)
    h.name = "h"
    loss = h.sum() + (h @ h)
    loss.backward()
    for result in (h, loss):
        with pytest.warns(UserWarning, match=r"\.grad of a result is None.*grads = Tape\(loss\)"):
            assert result.grad is None
    assert Tape(loss).gradients()[h].shape == (2,)


def test_the_grad_of_what_has_none_by_right_warns_of_nothing():
    x = Parameter([1.0, 2.0])
    assert x.grad is None
    constant = np.tanh(Tensor([1.0]))  # nothing on its tape requires a gradient
    with no_grad():
        value = np.tanh(x)
    assert constant.grad is value.grad is x.detach().grad is None
    value.requires_grad = True  # a leaf of its own from here on
    (value * 3).sum().backward()
    np.testing.assert_array_equal(value.grad, [3.0, 3.0])
