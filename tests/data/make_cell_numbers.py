"""What PyTorch's recurrent layers give, for the tests of ``unspool.cells``.

Run with PyTorch installed, it writes ``torch_cells.npz`` beside itself: for every case one
vector of the outputs, the last states and all gradients, in float64. The tests compare with these
numbers always, and with PyTorch itself where it is installed. Weights, inputs and the gradients
that the backward pass begins with are sines of running numbers, so they need not be saved.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

D_IN, D_H, BATCH, TIME = 3, 2, 3, 4
LENGTHS = [4, 1, 3]
FILE = Path(__file__).parent / "torch_cells.npz"


class Case(NamedTuple):
    """A layer of torch.nn: "tanh" and "relu" are nn.RNN's."""

    kind: str
    layers: int
    directions: int
    packed: bool
    bias: bool

    def __str__(self) -> str:
        return (
            f"{self.kind}-{self.layers}-{self.directions}"
            f"-{'packed' if self.packed else 'full'}-{'bias' if self.bias else 'plain'}"
        )


class LectureCase(NamedTuple):
    """The lectures' GRU, which torch.nn lacks: written in PyTorch's operations."""

    packed: bool
    reverse: bool
    bias: bool

    def __str__(self) -> str:
        return (
            f"lecture-{'packed' if self.packed else 'full'}"
            f"-{'reverse' if self.reverse else 'ahead'}-{'bias' if self.bias else 'plain'}"
        )


KINDS = ("tanh", "relu", "LSTM", "GRU")
CASES = [Case(*row) for row in itertools.product(KINDS, (1, 2, 3), (1, 2), (0, 1), (0, 1))]
LECTURE_CASES = [LectureCase(*row) for row in itertools.product((0, 1), (0, 1), (0, 1))]


def sines(*shape: int, start: float) -> np.ndarray:
    """Numbers within ±0.9 that look irregular."""
    return 0.9 * np.sin(start + 1.7 * np.arange(np.prod(shape, dtype=int))).reshape(shape)


def inputs(layers: int, directions: int) -> dict[str, np.ndarray]:
    """xs, the initial states, and the gradients of the outputs and of the last states."""
    state = (layers * directions, BATCH, D_H)
    return {
        "xs": sines(BATCH, TIME, D_IN, start=0.1),
        "h_0": sines(*state, start=0.2),
        "c_0": sines(*state, start=0.3),
        "to_ys": sines(BATCH, TIME, directions * D_H, start=0.4),
        "to_h": sines(*state, start=0.5),
        "to_c": sines(*state, start=0.6),
    }


def weights(case: Case) -> dict[str, np.ndarray]:
    """The layer's weights under PyTorch's names."""
    rows = {"LSTM": 4, "GRU": 3}.get(case.kind, 1) * D_H
    state = {}
    for k in range(case.layers):
        width = D_IN if k == 0 else case.directions * D_H
        for suffix in [f"_l{k}", f"_l{k}_reverse"][: case.directions]:
            shapes = {"weight_ih": (rows, width), "weight_hh": (rows, D_H)}
            if case.bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for name, shape in shapes.items():
                state[name + suffix] = sines(*shape, start=1.0 + 0.37 * len(state))
    return state


def lecture_weights(case: LectureCase) -> dict[str, np.ndarray]:
    """The weights of the lectures' GRU under the names that they have in unspool."""
    state = {}
    for gate in "zrh":
        for name, shape in (("W", (D_IN, D_H)), ("U", (D_H, D_H)), ("b", (D_H,))):
            if case.bias or name != "b":
                state[f"{name}_{gate}"] = sines(*shape, start=2.0 + 0.41 * len(state))
    return state


def flat(arrays: list[Any]) -> np.ndarray:
    """One vector of many arrays."""
    return np.concatenate([np.asarray(array).ravel() for array in arrays])


def numbers(case: Case) -> np.ndarray:
    """ys, h_n, (c_n,) and the gradients of xs, h_0, (c_0,) and the weights, by PyTorch."""
    import torch

    layer_class = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}.get(case.kind)
    options: dict[str, Any] = {
        "num_layers": case.layers,
        "bidirectional": case.directions == 2,
        "bias": bool(case.bias),
        "batch_first": True,
        "dtype": torch.float64,
    }
    if layer_class is None:
        layer = torch.nn.RNN(D_IN, D_H, nonlinearity=case.kind, **options)
    else:
        layer = layer_class(D_IN, D_H, **options)
    given = {k: torch.from_numpy(v) for k, v in inputs(case.layers, case.directions).items()}
    layer.load_state_dict({k: torch.from_numpy(v) for k, v in weights(case).items()})
    leaves = [given["xs"], given["h_0"]] + [given["c_0"]] * (case.kind == "LSTM")
    for leaf in leaves:
        leaf.requires_grad_()
    xs: Any = given["xs"]
    if case.packed:
        xs = torch.nn.utils.rnn.pack_padded_sequence(
            xs, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False
        )
    start = (given["h_0"], given["c_0"]) if case.kind == "LSTM" else given["h_0"]
    ys, last = layer(xs, start)
    if case.packed:
        ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, batch_first=True, total_length=TIME)
    last = last if case.kind == "LSTM" else (last,)
    loss = (ys * given["to_ys"]).sum()
    for s, name in zip(last, ("to_h", "to_c")):
        loss = loss + (s * given[name]).sum()
    loss.backward()
    gradients = [leaf.grad for leaf in leaves] + [p.grad for p in layer.parameters()]
    return flat([t.detach().numpy() for t in (ys, *last, *gradients)])


def lecture_numbers(case: LectureCase) -> np.ndarray:
    """ys, h_n and the gradients of xs, h_0 and the weights of the lectures' GRU."""
    import torch

    given = {k: torch.from_numpy(v) for k, v in inputs(1, 1).items()}
    p = {k: torch.from_numpy(v).requires_grad_() for k, v in lecture_weights(case).items()}
    xs, h_0 = given["xs"].requires_grad_(), given["h_0"].requires_grad_()
    lengths = torch.tensor(LENGTHS if case.packed else [TIME] * BATCH)
    h = h_0[0]
    outputs = [h] * TIME
    for t in reversed(range(TIME)) if case.reverse else range(TIME):
        x = xs[:, t]
        a = {g: x @ p[f"W_{g}"] + (p[f"b_{g}"] if case.bias else 0) for g in "zrh"}
        z = torch.sigmoid(a["z"] + h @ p["U_z"])
        r = torch.sigmoid(a["r"] + h @ p["U_r"])
        candidate = torch.tanh(a["h"] + (r * h) @ p["U_h"])
        real = (t < lengths)[:, None]
        h = torch.where(real, (1 - z) * h + z * candidate, h)
        outputs[t] = torch.where(real, h, 0.0)
    ys = torch.stack(outputs, dim=1)
    loss = (ys * given["to_ys"]).sum() + (h * given["to_h"][0]).sum()
    loss.backward()
    results = [ys, h, xs.grad, h_0.grad, *(w.grad for w in p.values())]
    return flat([t.detach().numpy() for t in results])


if __name__ == "__main__":
    found = {str(case): numbers(case) for case in CASES}
    found |= {str(case): lecture_numbers(case) for case in LECTURE_CASES}
    np.savez_compressed(FILE, **found)
    print(f"{FILE.name}: {len(found)} cases, {FILE.stat().st_size:,} bytes")
