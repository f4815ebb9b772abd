"""The eager engine beside its peers: one thread, float32, forward and backward of one LSTM,
GRU or Elman layer written as its equations, every gradient asked for.

Run: ``make bench``, or ``python bench_engine.py`` where unspool is installed; with names of
cells only these, with ``overhead`` only what a record costs (``python bench_engine.py LSTM``).
Peers that are not installed are left out. Each ratio is of medians of runs that alternate, so
that a slow moment of the machine strikes both; times are those of the thread, which leave out
what other processes take.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import gc
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from unspool import Tape, Tensor, unroll
from unspool.autograd.replay import Plan
from unspool.cells import GRU, LSTM, Elman

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None
try:  # from this folder: in the repository's root ``autograd`` would be ours
    import autograd.numpy as hips_numpy

    import autograd as hips
except ImportError:
    hips = None
try:
    import mygrad
except ImportError:
    mygrad = None

CELLS = {"LSTM": LSTM, "GRU": GRU, "Elman": Elman}
STATES = {"LSTM": 2, "GRU": 1, "Elman": 1}
CASES = [(1, 25, 16), (1, 25, 128), (32, 50, 16), (32, 50, 128), (20, 35, 650)]


def equations(kind: str, p: dict, sigmoid: Callable, tanh: Callable) -> Callable:
    """One step of each cell, in any library whose arrays know @, + and *."""

    def lstm(x, state):
        h, c = state
        f = sigmoid(x @ p["W_f"] + h @ p["U_f"] + p["b_f"])
        i = sigmoid(x @ p["W_i"] + h @ p["U_i"] + p["b_i"])
        o = sigmoid(x @ p["W_o"] + h @ p["U_o"] + p["b_o"])
        g = tanh(x @ p["W_g"] + h @ p["U_g"] + p["b_g"])
        c = f * c + i * g
        return o * tanh(c), c

    def gru(x, state):
        (h,) = state
        z = sigmoid(x @ p["W_z"] + h @ p["U_z"] + p["b_z"])
        r = sigmoid(x @ p["W_r"] + h @ p["U_r"] + p["b_r"])
        n = tanh(x @ p["W_h"] + (r * h) @ p["U_h"] + p["b_h"])
        return ((1 - z) * h + z * n,)

    def elman(x, state):
        (h,) = state
        return (tanh(x @ p["W"] + h @ p["U"] + p["b"]),)

    return {"LSTM": lstm, "GRU": gru, "Elman": elman}[kind]


def ours(kind: str, batch: int, steps: int, width: int, loop: bool) -> Callable[[], None]:
    cell = CELLS[kind](width, width, rng=0)
    xs = np.random.default_rng(1).standard_normal((batch, steps, width)).astype(np.float32)
    parameters = cell.parameters()

    def run() -> None:
        x = Tensor(xs, requires_grad=True)
        if loop:
            state = cell.initial_state(batch)
            outputs = []
            for t in range(steps):
                y, state = cell(x[:, t], state)
                outputs.append(y)
            loss = np.stack(outputs, axis=1).sum()
        else:
            ys, _ = unroll(cell, x)
            loss = ys.sum()
        for p in parameters:
            p.grad = None
        loss.backward()

    return run


def with_torch(kind: str, batch: int, steps: int, width: int) -> Callable[[], None]:
    cell = CELLS[kind](width, width, rng=0)
    p = {n: torch.tensor(v, requires_grad=True) for n, v in cell.state_dict().items()}
    xs = np.random.default_rng(1).standard_normal((batch, steps, width)).astype(np.float32)
    data = torch.from_numpy(xs)
    step = equations(kind, p, torch.sigmoid, torch.tanh)

    def run() -> None:
        x = data.clone().requires_grad_()
        state = tuple(torch.zeros(batch, width) for _ in range(STATES[kind]))
        outputs = []
        for t in range(steps):
            state = step(x[:, t], state)
            outputs.append(state[0])
        loss = torch.stack(outputs, 1).sum()
        for v in p.values():
            v.grad = None
        loss.backward()

    return run


def with_hips(kind: str, batch: int, steps: int, width: int) -> Callable[[], None]:
    np_ = hips_numpy
    cell = CELLS[kind](width, width, rng=0)
    names = list(cell.state_dict())
    values = list(cell.state_dict().values())
    xs = np.random.default_rng(1).standard_normal((batch, steps, width)).astype(np.float32)

    def sigmoid(x):
        return 0.5 * (np_.tanh(0.5 * x) + 1)

    def loss(values, xs):
        p = dict(zip(names, values))
        step = equations(kind, p, sigmoid, np_.tanh)
        state = tuple(np.zeros((batch, width), np.float32) for _ in range(STATES[kind]))
        outputs = []
        for t in range(steps):
            state = step(xs[:, t], state)
            outputs.append(state[0])
        return np_.sum(np_.stack(outputs, 1))

    gradient = hips.grad(loss, (0, 1))
    return lambda: gradient(values, xs)


def with_mygrad(kind: str, batch: int, steps: int, width: int) -> Callable[[], None]:
    from mygrad.nnet.activations import sigmoid

    cell = CELLS[kind](width, width, rng=0)
    p = {n: mygrad.tensor(v) for n, v in cell.state_dict().items()}
    step = equations(kind, p, sigmoid, mygrad.tanh)
    xs = np.random.default_rng(1).standard_normal((batch, steps, width)).astype(np.float32)

    def run() -> None:
        x = mygrad.tensor(xs)
        state = tuple(mygrad.zeros((batch, width), np.float32) for _ in range(STATES[kind]))
        outputs = []
        for t in range(steps):
            state = step(x[:, t], state)
            outputs.append(state[0])
        loss = mygrad.stack(outputs, 1).sum()
        for v in p.values():
            v.null_grad()
        loss.backward()

    return run


def medians(runs: dict[str, Callable[[], None]], seconds: float = 1.5) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    gc.collect()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name, run in runs.items():
            start = time.thread_time()
            run()
            times[name].append(time.thread_time() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def overhead() -> None:
    """Microseconds a record beyond NumPy: forward and backward of an LSTM, less the same NumPy
    calls made by a written-out plan."""
    batch, steps, width = 1, 25, 16

    class Recorded(LSTM):
        """The same equations without the promise that lets them be fused."""

        same_every_step = False

    xs = np.random.default_rng(1).standard_normal((batch, steps, width)).astype(np.float32)
    x = Tensor(xs)

    def unrolled(cell):
        def run() -> None:
            ys, _ = unroll(cell, x)
            ys.sum().backward()

        return run

    def looped(cell):
        def run() -> None:
            state = cell.initial_state(batch)
            outputs = []
            for t in range(steps):
                y, state = cell(x[:, t], state)
                outputs.append(y)
            np.stack(outputs, axis=1).sum().backward()

        return run

    cell, recorded = LSTM(width, width, rng=0), Recorded(width, width, rng=0)
    shape = (batch, width)

    def step(x, h, c):
        return cell.forward(x, (h, c))

    plan = Plan.of(step, [shape] * 3, np.dtype(np.float32), [False, True, True])
    arrays = [leaf.data for leaf in plan.leaves]

    def bare() -> None:
        state = [np.zeros(shape, np.float32)] * 2
        kept, outputs = [], []
        for t in range(steps):
            inputs = (xs[:, t], *state)
            results, _ = plan.forward(inputs, arrays)
            kept.append((inputs, results))
            state = [results[k] for k in plan.outputs]
            outputs.append(state[0])
        ys = np.stack(outputs, axis=1)
        loss = np.asarray(ys.sum())
        g = np.broadcast_to(np.ones(loss.shape, loss.dtype), ys.shape)
        buffers = [[] for _ in plan.buffers]
        gh, gc = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for t, (inputs, results) in zip(reversed(range(steps)), reversed(kept)):
            _, gh, gc = plan.backward(inputs, arrays, results, [gh + g[:, t], gc], buffers)
        for (leaf, batch_rule, _), buffered in zip(plan.buffers, buffers):
            batch_rule(buffered, arrays[leaf])

    runs = {
        "replayed through unroll": unrolled(cell),
        "replayed in a loop over cell(x, state)": looped(cell),
        "recorded op by op": unrolled(recorded),
        "bare": bare,
    }
    unrolled(recorded)()
    records = len(Tape(unroll(recorded, x)[0].sum()))
    m = medians(runs)
    print(f"microseconds a record beyond the NumPy calls themselves ({records} records):")
    for name in list(runs)[:3]:
        print(f"  {name}: {(m[name] - m['bare']) / records * 1e6:.2f}")


def main() -> None:
    only = set(sys.argv[1:])
    if unknown := only - {*CELLS, "overhead"}:
        sys.exit(f"bench_engine.py: no cell {', '.join(unknown)}; there are {', '.join(CELLS)}")
    if only == {"overhead"}:
        overhead()
        return
    peers = {
        name: make
        for name, make, there in (
            ("torch", with_torch, torch),
            ("HIPS", with_hips, hips),
            ("MyGrad", with_mygrad, mygrad),
        )
        if there
    }
    print("milliseconds for forward and backward, every gradient asked for")
    head = f"{'cell':6} {'batch':>5} {'steps':>5} {'width':>5} {'unroll':>8} {'loop':>8}"
    head += "".join(f" {name:>8}" for name in peers)
    print(head + (f" {'unroll/torch':>13} {'loop/torch':>11}" if torch else ""))
    for kind in CELLS:
        if only and kind not in only:
            continue
        for case in CASES:
            runs = {"unroll": ours(kind, *case, loop=False), "loop": ours(kind, *case, loop=True)}
            runs.update({name: make(kind, *case) for name, make in peers.items()})
            m = medians(runs)
            batch, steps, width = case
            line = f"{kind:6} {batch:5} {steps:5} {width:5}"
            line += "".join(f" {m[name] * 1e3:8.2f}" for name in runs)
            if torch:
                line += f" {m['unroll'] / m['torch']:13.2f} {m['loop'] / m['torch']:11.2f}"
            print(line, flush=True)
    overhead()


if __name__ == "__main__":
    main()
