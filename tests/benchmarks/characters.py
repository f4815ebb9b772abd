"""Tiny Shakespeare, character by character: an LSTM of width 128 beside counting and a window.

The last tenth of the text is held out and read once, at the end. All settings were chosen on the
last ninth of the rest (``--develop``, which leaves what is held out alone). A figure is in bits
per character: the mean of -log2 P(character | all before it), the state carried on from the first
character held out to the last.

Run: ``python characters.py [input.txt] [--seeds 0 1 2] [--develop] [--peers]`` where unspool is
installed; without a file, ``tinyshakespeare/input.txt`` in the folder that the environment
variable UNSPOOL_DATA names is read. ``--peers`` also trains the same network in PyTorch, once as
equations and once as nn.LSTM, and compares the time an update takes. Times are of the process, on
one thread. It ends with exit code 1 if the LSTMs' mean is above 2.36 bits, or a peer learnt
something else. Some ten minutes.

Source: the text of Karpathy's char-rnn (2015), by its usual split.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unspool.cells import jit, jit_available
from unspool.models import (
    Adam,
    LanguageModel,
    NGram,
    Stream,
    TextModel,
    Vocabulary,
    WindowLanguageModel,
    clip_by_global_norm,
    evaluate,
    fit,
    hold_out,
    load_text,
    schedules,
)

GOAL = 2.36
WIDTH, BATCH, STEPS, EPOCHS = 128, 32, 64, 10
RATE, NORM = 0.01, 1.0
WINDOW, VECTOR, HIDDEN = 8, 32, 256  # of the feedforward model


def texts(path: Path, develop: bool) -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """The vocabulary of what is learnt from, its ids, and those of what is judged."""
    learnt, judged = hold_out(load_text(path), 0.1)
    if develop:
        learnt, judged = hold_out(learnt, 1 / 9)
    vocabulary = Vocabulary.count(learnt, level="character")
    ids, others = vocabulary.encode(learnt), vocabulary.encode(judged)
    print(
        f"{len(ids):,} characters to learn from, {len(others):,} "
        f"{'of the rest' if develop else 'held out'}, {len(vocabulary)} symbols"
    )
    return vocabulary, ids, others


def bits(model: TextModel, ids: np.ndarray) -> float:
    """Bits per character of a text, read from its beginning to its end."""
    return evaluate(model, Stream(ids, batch=1, steps=1000)) / math.log(2)


def recurrent(size: int, seed: int) -> LanguageModel:
    """An untrained LSTM."""
    return LanguageModel(size, WIDTH, tied=False, rng=seed)


def feedforward(size: int, seed: int) -> WindowLanguageModel:
    """An untrained network that sees the last characters only."""
    return WindowLanguageModel(size, VECTOR, WINDOW, [HIDDEN], rng=seed)


def train(
    name: str, model: TextModel, learnt: np.ndarray, judged: np.ndarray, epochs: int
) -> float:
    """Print and return the bits per character that a network comes to."""
    began = time.process_time()
    fit(
        model,
        Stream(learnt, BATCH, STEPS),
        Adam(model.parameters(), RATE),
        epochs=epochs,
        clip=NORM,
        schedule=schedules.cosine(),
        progress=False,
    )
    seconds = time.process_time() - began
    found = bits(model, judged)
    print(f"{name}: {found:.3f} bits, trained in {seconds:.0f} s", flush=True)
    return found


# The same in PyTorch ------------------------------------------------------------------------------


def unspooled(model: LanguageModel) -> Callable[[np.ndarray], float]:
    """An update of the model on a piece of the text, with the state of the piece before it."""
    task, optimizer = Stream([0, 0]), Adam(model.parameters(), RATE)
    carry = None

    def update(ids: np.ndarray) -> float:
        nonlocal carry
        loss, _, carry = task.loss(model, (ids, None, np.zeros(len(ids), bool)), carry)
        optimizer.zero_grad()
        loss.backward()
        clip_by_global_norm(optimizer.parameters, NORM)
        optimizer.step()
        return loss.item()

    return update


def in_torch(model: LanguageModel, layer: bool) -> Callable[[np.ndarray], float]:
    """The same update of the same weights in PyTorch: nn.LSTM, or its equations step by step."""
    import torch
    from torch.nn import functional

    from unspool.cells import to_torch

    torch.set_num_threads(1)
    E = torch.nn.Parameter(torch.tensor(model.embedding.E.data))
    V = torch.nn.Parameter(torch.tensor(model.V.data))
    if layer:
        lstm = torch.nn.LSTM(WIDTH, WIDTH, batch_first=True)
        lstm.load_state_dict({k: torch.tensor(v) for k, v in to_torch(model.cell).items()})
        lstm.bias_hh_l0.requires_grad_(False)  # there is one bias here, as in the lectures
        parameters = [E, V, lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0]
    else:
        p = {k: torch.nn.Parameter(torch.tensor(v)) for k, v in model.cell.state_dict().items()}
        parameters = [E, V, *p.values()]
    optimizer = torch.optim.Adam(parameters, RATE)
    state = None

    def equations(xs, state):
        h, c = state or (torch.zeros(len(xs), WIDTH), torch.zeros(len(xs), WIDTH))
        hs = []
        for x in xs.unbind(1):
            f = torch.sigmoid(x @ p["W_f"] + h @ p["U_f"] + p["b_f"])
            i = torch.sigmoid(x @ p["W_i"] + h @ p["U_i"] + p["b_i"])
            o = torch.sigmoid(x @ p["W_o"] + h @ p["U_o"] + p["b_o"])
            g = torch.tanh(x @ p["W_g"] + h @ p["U_g"] + p["b_g"])
            c = f * c + i * g
            h = o * torch.tanh(c)
            hs.append(h)
        return torch.stack(hs, 1), (h, c)

    def update(ids: np.ndarray) -> float:
        nonlocal state
        tokens = torch.from_numpy(ids)
        run = lstm if layer else equations
        hs, state = run(functional.embedding(tokens[:, :-1], E), state)
        state = tuple(s.detach() for s in state)
        loss = functional.cross_entropy((hs @ V.T).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, NORM)
        optimizer.step()
        return loss.item()

    return update


def compare(vocabulary: Vocabulary, learnt: np.ndarray, updates: int = 60) -> bool:
    """Print what an update takes here and in PyTorch; whether all learn the same.

    The runs alternate, so that a slow moment of the machine strikes all of them.
    """
    model = recurrent(len(vocabulary), seed=0)
    kinds = {  # PyTorch's first, for they copy the weights
        "PyTorch, equations": in_torch(model, layer=False),
        "PyTorch, nn.LSTM": in_torch(model, layer=True),
        "unspool": unspooled(model),
    }
    if jit_available():
        kinds["unspool, compiled"] = unspooled(jit(recurrent(len(vocabulary), seed=0)))
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    losses: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _, (ids, _, _) in zip(range(updates), Stream(learnt, BATCH, STEPS).batches(1)):
        for kind, update in kinds.items():
            began = time.process_time()
            losses[kind].append(update(ids))
            times[kind].append(time.process_time() - began)
    print(f"an update of {BATCH} x {STEPS} characters, the median of {updates}:")
    pieces = len(Stream(learnt, BATCH, STEPS))
    ours = statistics.median(times["unspool"])
    for kind in reversed(kinds):
        took = statistics.median(times[kind])
        print(
            f"    {kind:20} {1000 * took:6.1f} ms, a pass {pieces * took:5.1f} s; unspool takes "
            f"{ours / took:.2f} of it; loss {losses[kind][0]:.4f}, then {losses[kind][-1]:.4f}"
        )
    return all(np.allclose(losses[kind], losses["unspool"], rtol=1e-3) for kind in kinds)


def main() -> int:
    """Count, train, compare; the exit code says whether it came to what it should."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="tiny Shakespeare")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--develop", action="store_true", help="judge on a part of the rest")
    parser.add_argument("--peers", action="store_true", help="compare with PyTorch's time")
    options = parser.parse_args()
    path = options.file
    if path is None:
        if "UNSPOOL_DATA" not in os.environ:
            parser.error("give the text, or set UNSPOOL_DATA to the folder of the data")
        path = Path(os.environ["UNSPOOL_DATA"]) / "tinyshakespeare" / "input.txt"
    vocabulary, learnt, judged = texts(path, options.develop)
    for order in (1, 2, 3, 4, 5, 6):
        counted = NGram(learnt, len(vocabulary), order).loss(judged) / math.log(2)
        print(f"{order}-gram, Witten-Bell: {counted:.3f} bits")
    good = True
    if options.peers:
        good = compare(vocabulary, learnt)
        if not good:
            print("the peers' losses differ")
    print(
        f"batches of {BATCH} x {STEPS}, {options.epochs} passes, Adam from {RATE} along half a "
        f"cosine, gradients clipped to a norm of {NORM}"
    )
    means = {}
    for name, make in ((f"window of {WINDOW}", feedforward), (f"LSTM-{WIDTH}", recurrent)):
        found = []
        for seed in options.seeds:
            model = make(len(vocabulary), seed)
            found.append(train(f"{name}, seed {seed}", model, learnt, judged, options.epochs))
        means[make] = statistics.mean(found)
        print(f"{name}, mean of {len(found)} seeds: {means[make]:.3f} bits per character")
    new = model.generate(vocabulary.encode("\n"), 240, temperature=0.7, rng=0)
    print("    " + vocabulary.decode(new).replace("\n", "\n    "))
    return 0 if good and (options.develop or means[recurrent] <= GOAL) else 1


if __name__ == "__main__":
    raise SystemExit(main())
