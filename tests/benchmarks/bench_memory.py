"""Peak memory and time of a long backward pass, beside PyTorch's where it is installed.

Each case runs in a process of its own, whose high-water mark the system keeps.
Run: ``make bench``, or ``python bench_memory.py``.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import resource
import subprocess
import sys
import time

STEPS, BATCH, WIDTH = 1000, 32, 128


def high_water() -> float:
    """The process's peak memory so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def run_unspool(recorded: bool) -> None:
    import numpy as np

    from unspool import Tensor, unroll
    from unspool.cells import LSTM

    class Recorded(LSTM):
        same_every_step = False

    cell = (Recorded if recorded else LSTM)(WIDTH, WIDTH, rng=0)
    x = Tensor(np.zeros((BATCH, STEPS, WIDTH), np.float32), requires_grad=True)
    warm = Tensor(np.zeros((BATCH, 2, WIDTH), np.float32), requires_grad=True)
    unroll(cell, warm)
    before, start = high_water(), time.perf_counter()
    ys, _ = unroll(cell, x)
    ys.sum().backward()
    report(high_water() - before, time.perf_counter() - start)


def run_torch() -> None:
    import torch  # noqa: F401  # says by its absence that it is not installed
    from bench_engine import with_torch

    with_torch("LSTM", BATCH, 2, WIDTH)()
    before, start = high_water(), time.perf_counter()
    with_torch("LSTM", BATCH, STEPS, WIDTH)()
    report(high_water() - before, time.perf_counter() - start)


def run_chain(count: int) -> None:
    from unspool import Parameter

    x = y = Parameter([1.0])
    before, start = high_water(), time.perf_counter()
    for _ in range(count):
        y = y * 1.0
    forward = high_water()
    y.backward()
    print(f"{(forward - before) * 1e6 / count:.0f} bytes a record of one number after forward")
    report(high_water() - before, time.perf_counter() - start)
    assert x.grad is not None


def report(megabytes: float, seconds: float) -> None:
    print(f"peak {megabytes:.0f} MB, {seconds:.2f} s")


CASES = {
    "unspool, one fused run": lambda: run_unspool(False),
    "unspool, recorded op by op": lambda: run_unspool(True),
    "torch": run_torch,
    "chain of 1,000,000 records": lambda: run_chain(1_000_000),
}


def main() -> None:
    if len(sys.argv) > 1:
        CASES[sys.argv[1]]()
        return
    print(f"LSTM equations, {STEPS} steps, batch {BATCH}, width {WIDTH}, forward and backward:")
    for name in CASES:
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True)
        if done.returncode and "No module named 'torch'" in done.stderr:
            print(f"{name}: not installed")
        else:
            print(f"{name}: {', '.join(done.stdout.split(chr(10))).strip(', ') or done.stderr}")


if __name__ == "__main__":
    main()
