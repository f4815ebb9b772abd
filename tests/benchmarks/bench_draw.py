"""From a tape to a picture: an LSTM at the level of ops, every step drawn, as an SVG.

Beside it, where they and ``dot`` are installed, the pictures that torchviz, torchview and
torchlens make of the same equations in PyTorch; each is stopped after two minutes.

Run: ``make bench``, or ``python bench_draw.py`` where unspool is installed.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from unspool import Tape, draw, unroll
from unspool.cells import LSTM

STEPS = (10, 100, 1000)
PEERS = ("torchviz", "torchview", "torchlens")
TIME_LIMIT = 120  # seconds for a peer's picture


def main() -> None:
    if len(sys.argv) > 1:
        picture_of_peer(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
        return
    print("LSTM at op level, all steps: the fastest of three")
    print(f"{'steps':>6} {'records':>8} {'draw s':>8} {'with SVG s':>11} {'SVG MB':>7}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.svg")
        for steps in STEPS:
            ys, _ = unroll(LSTM(3, 4, rng=0), np.zeros((steps, 3), np.float32))
            tape = Tape(ys)
            drawn, saved = [], []
            for _ in range(3):
                drawing = None  # freed before the clock runs
                start = time.perf_counter()
                drawing = draw(tape, steps=steps)
                drawn.append(time.perf_counter() - start)
                drawing.save(path)
                saved.append(time.perf_counter() - start)
            size = path.stat().st_size / 1e6
            print(f"{steps:6} {len(tape):8} {min(drawn):8.3f} {min(saved):11.3f} {size:7.1f}")
    print(
        f"\nThe same equations in PyTorch, from the finished graph to the SVG, {TIME_LIMIT} s each"
    )
    for peer in PEERS:
        if importlib.util.find_spec(peer) is None or importlib.util.find_spec("torch") is None:
            print(f"{peer:>10}: not installed")
        elif shutil.which("dot") is None:
            print(f"{peer:>10}: needs the program dot, which is not on the PATH")
        else:
            print(f"{peer:>10}:", "  ".join(f"T={t}: {time_of_peer(peer, t)}" for t in STEPS))


def time_of_peer(peer: str, steps: int) -> str:
    """The seconds that a peer's picture takes, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            [sys.executable, __file__, peer, str(steps), folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, errors = child.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            return f"over {TIME_LIMIT} s"
    if child.returncode:
        return (errors.strip().splitlines() or [f"ended with code {child.returncode}"])[-1][:60]
    seconds, nodes = out.splitlines()[-1].split()
    return f"{float(seconds):.2f} s ({nodes} nodes)"


def picture_of_peer(peer: str, steps: int, folder: Path) -> None:
    """Draw the LSTM by a peer, and print how many seconds that took."""
    import torch

    class Net(torch.nn.Module):
        """An LSTM written as its equations."""

        def __init__(self) -> None:
            super().__init__()
            for gate in "fiog":
                setattr(self, f"W_{gate}", torch.nn.Parameter(torch.randn(3, 4)))
                setattr(self, f"U_{gate}", torch.nn.Parameter(torch.randn(4, 4)))
                setattr(self, f"b_{gate}", torch.nn.Parameter(torch.zeros(4)))

        def forward(self, xs: torch.Tensor) -> torch.Tensor:
            h = c = torch.zeros(4)
            ys = []
            for t in range(len(xs)):
                x = xs[t]
                f, i, o, g = (
                    x @ getattr(self, f"W_{gate}")
                    + h @ getattr(self, f"U_{gate}")
                    + getattr(self, f"b_{gate}")
                    for gate in "fiog"
                )
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                ys.append(h)
            return torch.stack(ys)

    net, xs = Net(), torch.zeros(steps, 3)
    if peer == "torchviz":
        import torchviz

        ys = net(xs)
        start = time.perf_counter()
        graph = torchviz.make_dot(ys, params=dict(net.named_parameters()))
        graph.render("picture", folder, format="svg")
    elif peer == "torchview":
        import torchview

        start = time.perf_counter()
        graph = torchview.draw_graph(
            net, input_data=xs, expand_nested=True, hide_module_functions=False
        ).visual_graph
        graph.render("picture", folder, format="svg")
    else:
        import torchlens

        start = time.perf_counter()
        trace = torchlens.trace(net, xs)
        trace.draw(vis_outpath=str(folder / "picture"), vis_fileformat="svg", vis_save_only=True)
    seconds = time.perf_counter() - start
    (svg,) = (file.read_text() for file in folder.iterdir() if file.suffix == ".svg")
    print(seconds, svg.count('class="node"'))


if __name__ == "__main__":
    main()
