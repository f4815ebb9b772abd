"""From a tape to a picture: an LSTM at the level of ops, every step drawn, as an SVG.

Run: ``make bench``, or ``python bench_draw.py`` where unspool and a Graphviz are installed.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import tempfile
import time
from pathlib import Path

import numpy as np

from unspool import Tape, draw, unroll
from unspool.cells import LSTM
from unspool.viz.render import renderers


def main() -> None:
    if not renderers():
        print("no Graphviz: pip install 'unspool[render]'")
        return
    print(f"LSTM at op level, all steps, by {renderers()[0]}: the fastest of three")
    print(f"{'steps':>6} {'records':>8} {'draw s':>8} {'with SVG s':>11} {'SVG MB':>7}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.svg")
        for steps in (10, 100, 1000):
            ys, _ = unroll(LSTM(3, 4, rng=0), np.zeros((steps, 3), np.float32))
            tape = Tape(ys)
            drawn, saved = [], []
            for _ in range(3):
                start = time.perf_counter()
                drawing = draw(tape, steps=steps)
                drawn.append(time.perf_counter() - start)
                drawing.save(path)
                saved.append(time.perf_counter() - start)
            size = path.stat().st_size / 1e6
            print(f"{steps:6} {len(tape):8} {min(drawn):8.2f} {min(saved):11.2f} {size:7.1f}")


if __name__ == "__main__":
    main()
