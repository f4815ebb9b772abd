"""A language model begins in unspool, trains on in PyTorch in two processes, and comes back.

Run it by ``python docs/pytorch_training.py``; it takes half a minute. ``docs/pytorch.md`` explains
its steps. The processes of PyTorch import the module text and torch, and not unspool.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

PROCESSES = 2
EPOCHS = 3


def main(folder: Path) -> None:
    """Train here, hand over, and take the trained model back."""
    from unspool.cells import save_npz
    from unspool.models import (
        Adam,
        LanguageModel,
        Sequences,
        Vocabulary,
        evaluating,
        fit,
        load_torch,
        python_manual,
        to_torch,
        tokenize,
    )

    text = python_manual()[:60_000]
    vocabulary = Vocabulary.count(tokenize(text), minimum_count=2)
    ids = vocabulary.encode(text)
    rows = ids[: len(ids) // 32 * 32].reshape(-1, 32)
    rows = rows[: len(rows) // PROCESSES * PROCESSES]  # the same number for each process

    model = LanguageModel(len(vocabulary), 48, dropout=0.1, rng=0)
    fit(model, Sequences(rows, batch=16, rng=0), Adam(model.parameters(), 0.01), epochs=1)
    with evaluating(model):
        print(f"unspool, trained for an epoch  {model.loss(rows).item():.6f}")

    source, state = to_torch(model)
    (folder / "language_model.py").write_text(source, encoding="utf-8")
    save_npz(folder / "begun.npz", state)
    np.save(folder / "rows.npy", rows)
    mp.spawn(train_on, args=(folder,), nprocs=PROCESSES)

    load_torch(model, folder / "trained.npz", prefix="module.")
    with evaluating(model):
        print(f"unspool, taken back            {model.loss(rows).item():.6f}")


def train_on(rank: int, folder: Path) -> None:
    """One process of PyTorch: it trains on its share of the rows."""
    torch.manual_seed(rank)
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    sys.path.insert(0, str(folder))
    from language_model import make  # the text that to_torch wrote

    module = make()
    begun = np.load(folder / "begun.npz")
    module.load_state_dict({name: torch.from_numpy(begun[name]) for name in begun})
    parallel = DistributedDataParallel(module)
    adam = torch.optim.Adam(parallel.parameters(), 0.01)

    rows = torch.from_numpy(np.load(folder / "rows.npy"))
    share = rows[rank::PROCESSES]
    report(rank, "PyTorch, at its arrival       ", module, rows)
    for epoch in range(1, EPOCHS + 1):
        parallel.train()
        for batch in share.split(16):
            adam.zero_grad()
            loss_of(parallel, batch).backward()
            adam.step()
        report(rank, f"PyTorch, after epoch {epoch}        ", module, rows)
    if rank == 0:
        trained = {name: value.numpy() for name, value in parallel.state_dict().items()}
        np.savez(folder / "trained.npz", **trained)
    dist.destroy_process_group()


def loss_of(module: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """The mean nats per predicted token."""
    logits, _ = module(rows)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), rows[:, 1:].flatten())


def report(rank: int, when: str, module: torch.nn.Module, rows: torch.Tensor) -> None:
    """Print the loss of all rows, without dropout."""
    module.eval()
    with torch.no_grad():
        loss = loss_of(module, rows).item()
    if rank == 0:
        print(f"{when} {loss:.6f}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
