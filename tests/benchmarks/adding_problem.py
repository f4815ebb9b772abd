"""The adding problem: can a cell carry two numbers over 50 steps?

Each step shows a number from 0 to 1 and a mark; two steps of 50 are marked, one in each half, and
the sum of their numbers is asked for at the end. Who always answers 1 has a mean square error of
1/6, the variance of the sum. Trained by Adam on 50 new sequences an update, each network is
tested on 1,000 others.

Run: ``python adding_problem.py [--cells LSTM GRU Elman] [--seeds 0 1 2] [--updates 2000]`` where
unspool is installed. It prints the curve, and says after how many updates the error was below
0.01; it ends with exit code 1 if LSTM or GRU did not get there, or Elman left the baseline.

Source: the task of Hochreiter and Schmidhuber (1997), section 5.4, in the form with numbers from
0 to 1 and a fixed length.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import time

import numpy as np

from unspool import no_grad, unroll
from unspool.autograd import mse_loss
from unspool.cells import GRU, LSTM, Elman
from unspool.models import Adam, Dense, clip_by_global_norm

CELLS = {"LSTM": LSTM, "GRU": GRU, "Elman": Elman}
LENGTH, BATCH, WIDTH = 50, 50, 64
RATE, NORM = 0.005, 1.0
GOAL, BASELINE = 0.01, 1 / 6


def draw(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (count, LENGTH, 2) and their sums (count, 1)."""
    xs = np.zeros((count, LENGTH, 2), np.float32)
    xs[..., 0] = rng.random((count, LENGTH))
    rows, half = np.arange(count), LENGTH // 2
    for start in (0, half):
        xs[rows, rng.integers(start, start + half, count), 1] = 1
    return xs, (xs[..., 0] * xs[..., 1]).sum(axis=1, keepdims=True)


def train(kind: str, seed: int, updates: int, every: int = 100) -> tuple[int | None, list[float]]:
    """The update at which the error was first below GOAL, and the errors every so often."""
    rng = np.random.default_rng(seed)
    cell, dense = CELLS[kind](2, WIDTH, rng=rng), Dense(WIDTH, 1, rng=rng)
    parameters = [*cell.parameters(), *dense.parameters()]
    adam = Adam(parameters, RATE)
    test_xs, test_sums = draw(np.random.default_rng(1000), 1000)

    def answer(xs: np.ndarray) -> object:
        _, (h, *_) = unroll(cell, xs)
        return dense(h)

    def error() -> float:
        with no_grad():
            return mse_loss(answer(test_xs), test_sums).item()

    reached, curve, started = None, [error()], time.perf_counter()
    for update in range(1, updates + 1):
        xs, sums = draw(rng, BATCH)
        adam.zero_grad()
        mse_loss(answer(xs), sums).backward()
        clip_by_global_norm(parameters, NORM)
        adam.step()
        if update % (every // 10) == 0:
            now = error()
            if update % every == 0:
                curve.append(now)
            if now < GOAL:
                reached = update
                break
    seconds = time.perf_counter() - started
    outcome = f"below {GOAL} after {reached} updates" if reached else f"still at {now:.4f}"
    print(f"{kind:5} seed {seed}: {outcome}, {seconds:.0f} s")
    print("      every 100 updates: " + " ".join(f"{value:.3f}" for value in curve), flush=True)
    return reached, curve


def main() -> int:
    """Train all that are asked for; the exit code says whether they did what they should."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=2000)
    options = parser.parse_args()
    print(
        f"length {LENGTH}, batches of {BATCH}, width {WIDTH}, Adam at {RATE}, gradients clipped to "
        f"a norm of {NORM}; the baseline is {BASELINE:.4f}"
    )
    good = True
    for kind in options.cells:
        for seed in options.seeds:
            reached, curve = train(kind, seed, options.updates)
            good &= (
                reached is None and min(curve) > 0.9 * BASELINE
                if kind == "Elman"
                else bool(reached)
            )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
