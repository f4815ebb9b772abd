"""One training step of one recurrent layer beside its peers: one thread, float32, forward and
backward, with the gradients of the input and of all parameters.

Run: ``make bench``, or ``python bench_engine.py`` where unspool is installed; with names of cells
or cases only these (``python bench_engine.py LSTM 16,25,32``), with ``overhead`` only what a record
costs, with ``threads`` only the compiled loop on two threads. Peers that are not installed are left
out. All runs of a case alternate, and the least time of each counts, so that a slow moment of the
machine strikes none of them alone. Times are of the process, not of the clock.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from unspool import Parameter, Tape, Tensor, unroll
from unspool.autograd import sigmoid as our_sigmoid
from unspool.cells import GRU, LSTM, Cell, Elman, PeepholeLSTM, ResetAfterGRU, jit, jit_available

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
try:
    import jax
except ImportError:
    jax = None

CASES = [(1, 25, 16), (16, 25, 32), (32, 50, 128), (8, 500, 64), (64, 35, 256), (20, 35, 650)]
Run = Callable[[], Any]


class CoupledLSTM(Cell):
    """A cell that no library has a kernel for: what is not forgotten is written."""

    states = ("h", "c")
    same_every_step = True

    def __init__(self, d_in: int, d_h: int, rng: Any = None) -> None:
        self.d_in, self.d_h = d_in, d_h
        rng = np.random.default_rng(rng)
        for gate in "fog":
            for name, rows in ((f"W_{gate}", d_in), (f"U_{gate}", d_h)):
                weights = rng.standard_normal((rows, d_h)) / rows**0.5
                setattr(self, name, Parameter(weights.astype(np.float32)))
            setattr(self, f"b_{gate}", Parameter(np.zeros(d_h, np.float32)))

    def forward(self, x: Any, state: Any) -> Any:
        p = {name: getattr(self, name) for name in vars(self) if name[1] == "_"}
        return equations("CoupledLSTM", p, our_sigmoid, np.tanh)(x, state)


CELLS = {
    "LSTM": LSTM,
    "GRU": GRU,
    "ResetAfterGRU": ResetAfterGRU,
    "Elman": Elman,
    "PeepholeLSTM": PeepholeLSTM,
    "CoupledLSTM": CoupledLSTM,
}


def equations(kind: str, p: dict, sigmoid: Callable, tanh: Callable) -> Callable:
    """One step of each cell, in any library whose arrays know @, + and *."""

    def gate(name: str, x: Any, h: Any) -> Any:
        return x @ p[f"W_{name}"] + h @ p[f"U_{name}"] + p[f"b_{name}"]

    def lstm(x, state):
        h, c = state
        f, i, o = (sigmoid(gate(name, x, h)) for name in "fio")
        c = f * c + i * tanh(gate("g", x, h))
        return o * tanh(c), c

    def peephole(x, state):
        h, c = state
        f, i = (sigmoid(gate(name, x, h) + p[f"p_{name}"] * c) for name in "fi")
        c = f * c + i * tanh(gate("g", x, h))
        return sigmoid(gate("o", x, h) + p["p_o"] * c) * tanh(c), c

    def coupled(x, state):
        h, c = state
        f, o = (sigmoid(gate(name, x, h)) for name in "fo")
        c = f * c + (1 - f) * tanh(gate("g", x, h))
        return o * tanh(c), c

    def gru(x, state):
        (h,) = state
        z, r = (sigmoid(gate(name, x, h)) for name in "zr")
        return ((1 - z) * h + z * tanh(gate("h", x, r * h)),)

    def reset_after(x, state):
        (h,) = state
        z, r = (sigmoid(gate(name, x, h)) for name in "zr")
        n = tanh(x @ p["W_n"] + p["b_n"] + r * (h @ p["U_n"] + p["c_n"]))
        return ((1 - z) * n + z * h,)

    def elman(x, state):
        (h,) = state
        return (tanh(x @ p["W"] + h @ p["U"] + p["b"]),)

    return {
        "LSTM": lstm,
        "GRU": gru,
        "ResetAfterGRU": reset_after,
        "Elman": elman,
        "PeepholeLSTM": peephole,
        "CoupledLSTM": coupled,
    }[kind]


def inputs(batch: int, steps: int, width: int) -> Any:
    return np.random.default_rng(1).standard_normal((batch, steps, width)).astype(np.float32)


def ours(kind: str, *case: int, loop: bool = False, compiled: int = 0) -> Run:
    batch, steps, width = case
    cell = CELLS[kind](width, width, rng=0)
    if compiled:
        jit(cell, threads=compiled)
    xs, parameters = inputs(*case), cell.parameters()

    def run() -> None:
        x = Tensor(xs, requires_grad=True)
        if loop:
            state, outputs = cell.initial_state(batch), []
            for t in range(steps):
                y, state = cell(x[:, t], state)
                outputs.append(y)
            loss = np.stack(outputs, axis=1).sum()
        else:
            loss = unroll(cell, x)[0].sum()
        for p in parameters:
            p.grad = None
        loss.backward()

    return run


def with_kernel(kind: str, *case: int) -> Run | None:
    """PyTorch's own layer, written for this cell."""
    kinds = {"LSTM": "LSTM", "ResetAfterGRU": "GRU", "GRU": "GRU", "Elman": "RNN"}
    if kind not in kinds:
        return None
    layer = getattr(torch.nn, kinds[kind])(case[2], case[2], batch_first=True)
    data = torch.from_numpy(inputs(*case))

    def run() -> None:
        x = data.clone().requires_grad_()
        layer.zero_grad()
        layer(x)[0].sum().backward()

    return run


def with_torch(kind: str, *case: int, script: bool = False) -> Run | None:
    batch, steps, width = case
    cell = CELLS[kind](width, width, rng=0)
    p = {n: torch.tensor(v, requires_grad=True) for n, v in cell.state_dict().items()}
    data, states = torch.from_numpy(inputs(*case)), len(cell.states)
    step = equations(kind, p, torch.sigmoid, torch.tanh)
    if script:
        names, zero = list(p), torch.zeros(batch, width)

        def traced(x, *rest):
            given = dict(zip(names, rest[states:]))
            return equations(kind, given, torch.sigmoid, torch.tanh)(x, rest[:states])

        jitted = torch.jit.trace(traced, (data[:, 0], *[zero] * states, *p.values()))

        def step(x, state):
            return jitted(x, *state, *p.values())

    def run() -> None:
        x = data.clone().requires_grad_()
        state = tuple(torch.zeros(batch, width) for _ in range(states))
        outputs = []
        for t in range(steps):
            state = step(x[:, t], state)
            outputs.append(state[0])
        for v in p.values():
            v.grad = None
        torch.stack(outputs, 1).sum().backward()

    return run


def with_jax(kind: str, *case: int) -> Run:
    batch, _, width = case
    cell = CELLS[kind](width, width, rng=0)
    p = {n: jax.numpy.asarray(v) for n, v in cell.state_dict().items()}
    xs = jax.numpy.asarray(inputs(*case).swapaxes(0, 1))
    zeros = tuple(jax.numpy.zeros((batch, width)) for _ in cell.states)

    def loss(p, xs):
        step = equations(kind, p, jax.nn.sigmoid, jax.numpy.tanh)

        def body(state, x):
            state = step(x, state)
            return state, state[0]

        return jax.lax.scan(body, zeros, xs)[1].sum()

    gradient = jax.jit(jax.value_and_grad(loss, (0, 1)))
    return lambda: jax.block_until_ready(gradient(p, xs))


def with_hips(kind: str, *case: int) -> Run:
    batch, steps, width = case
    cell = CELLS[kind](width, width, rng=0)
    names, weights = list(cell.state_dict()), list(cell.state_dict().values())
    xs, states = inputs(*case), len(cell.states)

    def loss(weights, xs):
        step = equations(
            kind,
            dict(zip(names, weights)),
            lambda x: 0.5 * (hips_numpy.tanh(0.5 * x) + 1),
            hips_numpy.tanh,
        )
        state = tuple(np.zeros((batch, width), np.float32) for _ in range(states))
        outputs = []
        for t in range(steps):
            state = step(xs[:, t], state)
            outputs.append(state[0])
        return hips_numpy.sum(hips_numpy.stack(outputs, 1))

    gradient = hips.grad(loss, (0, 1))
    return lambda: gradient(weights, xs)


def with_mygrad(kind: str, *case: int) -> Run:
    from mygrad.nnet.activations import sigmoid

    batch, steps, width = case
    cell = CELLS[kind](width, width, rng=0)
    p = {n: mygrad.tensor(v) for n, v in cell.state_dict().items()}
    step = equations(kind, p, sigmoid, mygrad.tanh)
    xs, states = inputs(*case), len(cell.states)

    def run() -> None:
        x = mygrad.tensor(xs)
        state = tuple(mygrad.zeros((batch, width), np.float32) for _ in range(states))
        outputs = []
        for t in range(steps):
            state = step(x[:, t], state)
            outputs.append(state[0])
        loss = mygrad.stack(outputs, 1).sum()
        for v in p.values():
            v.null_grad()
        loss.backward()

    return run


def by_hand(kind: str, *case: int) -> Run | None:
    """An LSTM's forward and backward pass as one writes them in NumPy, gates side by side."""
    if kind != "LSTM":
        return None
    batch, steps, d = case
    xs = inputs(*case)
    state = LSTM(d, d, rng=0).state_dict()
    W, U = (np.concatenate([state[f"{m}_{g}"] for g in "fiog"], axis=1) for m in "WU")
    b = np.concatenate([state[f"b_{g}"] for g in "fiog"])

    def run() -> None:
        x = np.ascontiguousarray(xs.swapaxes(0, 1)).reshape(-1, d)
        Z = (x @ W + b).reshape(steps, batch, 4 * d)
        H, C = (np.zeros((steps + 1, batch, d), np.float32) for _ in "hc")
        tanh_c = np.empty((steps, batch, d), np.float32)
        for t in range(steps):
            z = Z[t]
            z += H[t] @ U
            s, g = z[:, : 3 * d], z[:, 3 * d :]
            np.negative(s, s)
            np.exp(s, s)
            s += 1
            np.reciprocal(s, s)
            np.tanh(g, g)
            C[t + 1] = s[:, :d] * C[t] + s[:, d : 2 * d] * g
            np.tanh(C[t + 1], tanh_c[t])
            np.multiply(s[:, 2 * d :], tanh_c[t], H[t + 1])
        D = np.empty_like(Z)
        gy = np.ones((batch, d), np.float32)
        gh, gc = (np.zeros((batch, d), np.float32) for _ in "hc")
        UT = np.ascontiguousarray(U.T)
        for t in reversed(range(steps)):
            f, i, o, g = (Z[t, :, k * d : (k + 1) * d] for k in range(4))
            gh = gh + gy
            gc = gc + gh * o * (1 - tanh_c[t] ** 2)
            D[t, :, 2 * d : 3 * d] = gh * tanh_c[t] * o * (1 - o)
            D[t, :, :d] = gc * C[t] * f * (1 - f)
            D[t, :, d : 2 * d] = gc * g * i * (1 - i)
            D[t, :, 3 * d :] = gc * i * (1 - g * g)
            gc = gc * f
            gh = D[t] @ UT
        flat = D.reshape(-1, 4 * d)
        x.T @ flat, H[:-1].reshape(-1, d).T @ flat, flat.sum(0), flat @ W.T

    return run


def blas_alone(kind: str, *case: int) -> Run:
    """The step's matrix products and nothing else."""
    batch, steps, d = case
    n = sum(name.startswith("U") for name in CELLS[kind](d, d).state_dict()) * d
    W, U, W_T, U_T = (np.ones(s, np.float32) for s in ((d, n), (d, n), (n, d), (n, d)))
    X, D = np.ones((steps * batch, d), np.float32), np.ones((steps * batch, n), np.float32)
    h, d_t, z, g = X[:batch], D[:batch], np.empty_like(D[:batch]), np.empty_like(X[:batch])

    def run() -> None:
        X @ W
        for _ in range(steps):
            np.dot(h, U, z)
            np.dot(d_t, U_T, g)
        X.T @ D, X.T @ D, D @ W_T

    return run


def least(runs: dict[str, Run], seconds: float = 1.0) -> dict[str, float]:
    """The least time of each run; they alternate, for so many seconds each, at least five times."""
    for run in runs.values():
        run()
    gc.collect()
    times: dict[str, list[float]] = {name: [] for name in runs}
    while waiting := [n for n, t in times.items() if len(t) < 5 or sum(t) < seconds]:
        for name in waiting:
            start = time.process_time()
            runs[name]()
            times[name].append(time.process_time() - start)
    return {name: min(t) for name, t in times.items()}


def overhead() -> None:
    """Microseconds of a record of an LSTM, recorded op by op, beside those of a fused run."""
    case = (1, 25, 16)

    class Recorded(LSTM):
        """The same equations without the promise that lets them be fused."""

        same_every_step = False

    cell = Recorded(16, 16, rng=0)
    x = Tensor(inputs(*case))
    records = len(Tape(unroll(cell, x)[0].sum()))
    CELLS["Recorded"] = Recorded
    m = least({"fused": ours("LSTM", *case), "recorded": ours("Recorded", *case)})
    print(f"microseconds a record, forward and backward ({records} records):")
    for name, seconds in m.items():
        print(f"  {name}: {seconds / records * 1e6:.2f}")


def two_threads() -> None:
    """The compiled loop of an LSTM on one thread and on two: the clock's time."""
    print("compiled loop, milliseconds by the clock on one thread and on two")
    for case in [(32, 50, 128), (64, 35, 256)]:
        runs = {threads: ours("LSTM", *case, compiled=threads) for threads in (1, 2)}
        found = dict.fromkeys(runs, float("inf"))
        for _ in range(30):
            for threads, run in runs.items():
                start = time.perf_counter()
                run()
                found[threads] = min(found[threads], time.perf_counter() - start)
        one, two = (found[k] * 1e3 for k in (1, 2))
        print(f"  {case}: {one:.1f} {two:.1f}, {one / two:.2f} times as fast")


def makers() -> dict[str, Callable[..., Run | None]]:
    """What is measured, by name."""
    found: dict[str, Callable[..., Run | None]] = {"unroll": ours}
    if jit_available():
        found["jit"] = lambda *a: ours(*a, compiled=1)
    found["loop"] = lambda *a: ours(*a, loop=True)
    if torch:
        found["nn"] = with_kernel
        found["torch"] = with_torch
        found["script"] = lambda *a: with_torch(*a, script=True)
    found |= {"JAX": with_jax} if jax else {}
    found |= {"HIPS": with_hips} if hips else {}
    found |= {"MyGrad": with_mygrad} if mygrad else {}
    return found | {"by hand": by_hand, "BLAS": blas_alone}


def main() -> None:
    only = set(sys.argv[1:])
    cases = {"{},{},{}".format(*case): case for case in CASES}
    if unknown := only - {*CELLS, *cases, "overhead", "threads"}:
        known = ", ".join([*CELLS, *cases])
        sys.exit(f"bench_engine.py: no {', '.join(unknown)}; there are {known}")
    if only <= {"overhead", "threads"} and only:
        for name in only:
            {"overhead": overhead, "threads": two_threads}[name]()
        return
    made = makers()
    print("milliseconds for forward and backward, every gradient asked for")
    print(f"{'cell':13} {'case':>12}" + "".join(f" {name:>8}" for name in made))
    for kind in only & {*CELLS} or CELLS:
        for label in [c for c in cases if c in only] or cases:
            case = cases[label]
            runs = {name: run for name, make in made.items() if (run := make(kind, *case))}
            m = least(runs)
            line = f"{kind:13} {label:>12}"
            line += "".join(f" {m[n] * 1e3:8.2f}" if n in m else f" {'':8}" for n in made)
            print(line, flush=True)
    if not only:
        overhead()


if __name__ == "__main__":
    main()
