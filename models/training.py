"""``fit``: the loop of forward, backward and update, for any model and any task.

A task says what there is to learn: its batches, and the loss of a model on one of them. What a
batch hands to the next one (the state, in a long text) is passed along by ``fit``, cut off from
its tape, and kept nowhere else.
"""

from __future__ import annotations

import csv
import io
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..autograd import Tensor, detect_anomaly
from ..cells import Module, detached
from ..cells.storage import write_atomically
from .baselines import perplexity_of
from .layers import evaluating, whole
from .optim import Adam, Optimizer, clip_by_global_norm
from .text import pad_sequences, stream_batches

__all__ = ["History", "Sequences", "Stream", "Task", "evaluate", "fit", "save_history"]

PathLike = str | os.PathLike[str]
History = list[dict[str, float]]


# Tasks ------------------------------------------------------------------------------------------


class Task(Protocol):
    """What ``fit`` and ``evaluate`` run through."""

    def __len__(self) -> int:
        """How many batches one pass has."""

    def batches(self, epoch: int) -> Iterable[Any]:
        """The batches of a pass; the same ones for the same epoch, counted from 1."""

    def loss(self, model: Any, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """The mean loss of a batch, over how many tokens (0: nothing counts), and what the next
        batch's call gets as its ``carry``; None at the beginning of a pass.
        """


class Stream:
    """A long text, read by truncated backpropagation through time: the state is carried on.

    For models with ``stream_loss(ids, state, lengths, ignore)``, such as LanguageModel.

    Args:
        ids: (time,), at least 2.
        batch: How many parts of the text are read side by side.
        steps: How far the gradient goes back.
        ignore: An id that is given and never predicted, such as that of ``<s>``.
        reset: The probability with which a part forgets its state before a batch. A model that
            never started anew in training is lost when it has to: above 0, it learns how.
        rng: For ``reset``: a Generator, a seed, or None.

    Raises:
        ValueError: A setting is out of its range, or there are fewer than 2 ids.
    """

    def __init__(
        self,
        ids: Any,
        batch: int = 20,
        steps: int = 35,
        *,
        ignore: int | None = None,
        reset: float = 0.0,
        rng: Any = None,
    ) -> None:
        self.ids = np.asarray(ids)
        self.batch = whole("Stream", "batch", batch)
        self.steps = whole("Stream", "steps", steps)
        if not 0 <= reset <= 1:
            raise ValueError(f"Stream: reset is a probability from 0 to 1, got {reset}")
        self.ignore = ignore
        self.reset = reset
        self.seed = int(np.random.default_rng(rng).integers(2**62))
        next(stream_batches(self.ids, batch, steps))  # the ids are checked here, not in training

    def __len__(self) -> int:
        width = -(-(len(self.ids) - 1) // self.batch)
        return -(-width // self.steps)

    def batches(self, epoch: int) -> Iterator[Any]:
        """(ids, lengths, which parts forget their state)."""
        rng = np.random.default_rng((self.seed, epoch))
        for ids, lengths in stream_batches(self.ids, self.batch, self.steps):
            yield ids, lengths, rng.random(len(ids)) < self.reset

    def loss(self, model: Any, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """The mean loss of a piece of the text, and the state after it."""
        ids, lengths, anew = batch
        if carry is not None and anew.any():
            carry = forget(carry, model.cell.initial_state(len(ids)), anew)
        loss, state = model.stream_loss(ids, carry, lengths, self.ignore)
        return loss, count_targets(ids, lengths, self.ignore), detached(state)


class Sequences:
    """Sequences of their own, padded to batches; for models with ``loss(ids, lengths)``.

    Args:
        sequences: Ids (time,) each, at least 2, beginning with ``<s>``.
        batch: How many at a time.
        shuffle: Whether each pass has an order of its own.
        rng: For the order: a Generator, a seed, or None.

    Raises:
        ValueError: There is no sequence, or one is too short.
    """

    def __init__(
        self, sequences: Iterable[Any], batch: int = 32, *, shuffle: bool = True, rng: Any = None
    ) -> None:
        self.sequences = [np.asarray(sequence) for sequence in sequences]
        self.batch = whole("Sequences", "batch", batch)
        if not self.sequences:
            raise ValueError("Sequences: there is no sequence to learn from")
        for i, sequence in enumerate(self.sequences):
            if sequence.ndim != 1 or len(sequence) < 2:
                raise ValueError(
                    f"Sequences: expected ids (time,) of at least 2, <s> and one more; sequence "
                    f"{i} is {sequence.shape}"
                )
        self.shuffle = shuffle
        self.seed = int(np.random.default_rng(rng).integers(2**62))

    def __len__(self) -> int:
        return -(-len(self.sequences) // self.batch)

    def batches(self, epoch: int) -> Iterator[Any]:
        """(ids, lengths)."""
        order = np.arange(len(self.sequences))
        if self.shuffle:
            np.random.default_rng((self.seed, epoch)).shuffle(order)
        for begin in range(0, len(order), self.batch):
            rows = [self.sequences[i] for i in order[begin : begin + self.batch]]
            yield pad_sequences(rows), np.array([len(row) for row in rows])

    def loss(self, model: Any, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """The mean loss of a batch; nothing is carried on."""
        ids, lengths = batch
        return model.loss(ids, lengths), count_targets(ids, lengths), None


def forget(state: Any, initial: Any, anew: NDArray[np.bool_]) -> Any:
    """``state`` with the rows that start anew as in ``initial``; values only, without a tape."""
    if isinstance(state, (tuple, list)):
        return tuple(forget(s, i, anew) for s, i in zip(state, initial, strict=True))
    rows = anew.reshape(-1, *[1] * (state.ndim - 1))
    return Tensor(np.where(rows, initial.data, state.data), name=state.name)


def count_targets(ids: NDArray[Any], lengths: Any, ignore: int | None = None) -> int:
    """How many tokens of (batch, time) are predicted: all but the first of each row."""
    targets = ids[:, 1:]
    counted = np.ones(targets.shape, bool) if ignore is None else targets != ignore
    if lengths is not None:
        counted &= np.arange(1, ids.shape[1]) < np.asarray(lengths)[:, None]
    return int(counted.sum())


# Training ---------------------------------------------------------------------------------------


def evaluate(model: Module, task: Task) -> float:
    """The mean loss a token over one pass, without dropout and without a tape."""
    total, tokens, carry = 0.0, 0, None
    with evaluating(model):
        for batch in task.batches(0):
            loss, count, carry = task.loss(model, batch, carry)
            total += loss.item() * count
            tokens += count
            del loss  # before the next forward: all of it is freed, also where it was recorded
    if not tokens:
        raise ValueError("evaluate: no token is to be predicted in this task")
    return total / tokens


def fit(
    model: Module,
    task: Task,
    optimizer: Optimizer | None = None,
    *,
    epochs: int = 10,
    seconds: float | None = None,
    validation: Task | None = None,
    patience: int | None = None,
    clip: float | None = None,
    schedule: Callable[[float], float] | None = None,
    save: PathLike | Callable[[], Any] | None = None,
    progress: bool = True,
) -> History:
    """Train a model, and leave it with the best parameters that were found.

    Those are the ones with the lowest validation loss; without ``validation`` the last ones.

    Args:
        model: A Module that fits the task.
        task: What to learn: a Stream, Sequences, or a Task of your own.
        optimizer: Over the model's parameters; None for Adam with its defaults.
        epochs: How many passes at most.
        seconds: How long at most, validation included; training stops after the batch at hand.
        validation: A Task that is looked at after each pass and not learnt from.
        patience: After how many passes without a lower validation loss to stop.
        clip: The largest joint norm of the gradients.
        schedule: From progress (0 at the beginning, 1 at the end) to a factor of the rate.
        save: Where to write the parameters, or a function that writes the model: called whenever
            they are the best so far.
        progress: Whether to report on stderr: by a bar where tqdm is installed (extra
            ``train``), else by plain lines.

    Returns:
        A row a pass: epoch, updates, seconds, lr, loss, perplexity, tokens_per_second, and with
        ``validation`` also validation_loss and validation_perplexity. Plain numbers.

    Raises:
        FloatingPointError: The loss or the gradient is not a finite number. The message says
            where; the model has its last good parameters again.
        KeyboardInterrupt: Ctrl-C; before, the model gets its best parameters so far, and if
            nothing was saved yet, it is saved.
        ValueError: A setting is out of its range.

    Example:
        >>> from unspool.models import LanguageModel, Sequences, fit
        >>> model = LanguageModel(vocab_size=5, d=8, rng=0)
        >>> task = Sequences([[1, 3, 4, 3, 4, 2]], rng=0)
        >>> history = fit(model, task, epochs=3, progress=False)
        >>> [sorted(row)[:3] for row in history[:1]], history[2]["loss"] < history[0]["loss"]
        ([['epoch', 'loss', 'lr']], True)
    """
    whole("fit", "epochs", epochs)
    if patience is not None:
        whole("fit", "patience", patience)
        if validation is None:
            raise ValueError("fit: patience waits for a lower validation loss; give validation=")
    if seconds is not None and not seconds > 0:
        raise ValueError(f"fit: seconds is above 0, got {seconds}")
    if optimizer is None:
        optimizer = Adam(model.parameters())
    run = _Run(model, task, optimizer, epochs, seconds, clip, schedule, save, progress)
    return run.train(validation, patience)


class _Run:
    """One call of ``fit``: what its passes share."""

    def __init__(
        self,
        model: Module,
        task: Task,
        optimizer: Optimizer,
        epochs: int,
        seconds: float | None,
        clip: float | None,
        schedule: Callable[[float], float] | None,
        save: PathLike | Callable[[], Any] | None,
        progress: bool,
    ) -> None:
        self.model, self.task, self.optimizer = model, task, optimizer
        self.epochs, self.seconds, self.clip, self.schedule = epochs, seconds, clip, schedule
        self.target = save
        self.report = Report(epochs, len(task)) if progress else Silence()
        self.rate = optimizer.lr
        self.updates = 0
        self.began = time.perf_counter()
        self.good, self.good_from = model.state_dict(), "before training"
        self.saved = False

    def elapsed(self) -> float:
        return time.perf_counter() - self.began

    def out_of_time(self) -> bool:
        return self.seconds is not None and self.elapsed() >= self.seconds

    def progress(self) -> float:
        """How much of the training is over, from 0 to 1."""
        share = self.updates / max(self.epochs * len(self.task), 1)
        if self.seconds is not None:
            share = max(share, self.elapsed() / self.seconds)
        return min(share, 1.0)

    def train(self, validation: Task | None, patience: int | None) -> History:
        history: History = []
        best, waited = math.inf, 0
        was_training = self.model.training
        self.model.train()
        try:
            for epoch in range(1, self.epochs + 1):
                row = self.one_pass(epoch)
                if validation is not None:
                    row["validation_loss"] = loss = evaluate(self.model, validation)
                    if not math.isfinite(loss):
                        raise FloatingPointError(
                            f"fit: the validation loss is {loss} after epoch {epoch}. The model "
                            f"has its parameters {self.good_from} again"
                        )
                    row["validation_perplexity"] = perplexity_of(loss)
                row["seconds"] = self.elapsed()
                history.append(row)
                self.report.row(row)
                if validation is None or loss < best:
                    best, waited = (math.inf if validation is None else loss), 0
                    self.keep(f"of epoch {epoch}")
                else:
                    waited += 1
                if self.out_of_time() or waited == patience:
                    break
        except FloatingPointError:
            self.model.load_state_dict(self.good)
            raise
        except KeyboardInterrupt:
            if self.updates and (validation is None or not history):
                self.keep("of the interrupted epoch")
            raise
        finally:
            self.report.close()
            self.optimizer.lr = self.rate
            self.model.train(was_training)
            if validation is not None and history:
                self.model.load_state_dict(self.good)
        return history

    def one_pass(self, epoch: int) -> dict[str, float]:
        """Learn from every batch once (or until time is over): the pass as a row."""
        total, tokens, carry = 0.0, 0, None
        began = time.perf_counter()
        for number, batch in enumerate(self.task.batches(epoch), 1):
            if self.schedule is not None:
                self.optimizer.lr = self.rate * self.schedule(self.progress())
            with np.errstate(over="ignore", invalid="ignore"):  # reported by name just below
                before = carry
                loss, count, carry = self.task.loss(self.model, batch, carry)
                value = loss.item()
                if not math.isfinite(value):
                    del loss
                    raise self.not_finite("loss", value, epoch, number, batch, before)
                self.optimizer.zero_grad()
                if count:
                    loss.backward()
                del loss  # the graph goes before the next one is made
                if self.clip is not None:
                    norm = clip_by_global_norm(self.optimizer.parameters, self.clip)
                    if not math.isfinite(norm):
                        raise self.not_finite("gradient", norm, epoch, number, batch, before)
            self.optimizer.step()
            self.updates += 1
            total += value * count
            tokens += count
            speed = tokens / max(time.perf_counter() - began, 1e-9)
            self.report.batch(epoch, number, total / max(tokens, 1), speed)
            if self.out_of_time():
                break
        if not tokens:
            raise ValueError("fit: no token is to be predicted in this task")
        return {
            "epoch": epoch,
            "updates": self.updates,
            "seconds": self.elapsed(),
            "lr": self.optimizer.lr,
            "loss": total / tokens,
            "perplexity": perplexity_of(total / tokens),
            "tokens_per_second": speed,
        }

    def keep(self, which: str) -> None:
        """These parameters are good: remember them, and write them where asked for."""
        state = self.model.state_dict()
        if not all(np.isfinite(array).all() for array in state.values()):
            return
        self.good, self.good_from = state, which
        if callable(self.target):
            self.target()
        elif self.target is not None:
            self.model.save(self.target)

    def not_finite(
        self, what: str, value: float, epoch: int, number: int, batch: Any, carry: Any
    ) -> FloatingPointError:
        """The error of a training that went astray, with the place where it began."""
        named = self.model.named_parameters()
        damaged = [name for name, p in named if not np.isfinite(p.data).all()]
        began = ""
        if damaged:
            began = f"; not finite before this batch: {', '.join(damaged)}"
        else:
            try:
                with detect_anomaly():
                    loss, _, _ = self.task.loss(self.model, batch, carry)
                    loss.backward()
            except FloatingPointError as error:
                began = f"; it began at: {error}"
        self.optimizer.zero_grad()
        return FloatingPointError(
            f"fit: the {what} is {value} in epoch {epoch}, batch {number} (update "
            f"{self.updates + 1}){began}. The model has its parameters {self.good_from} again; "
            "lower the learning rate, or clip the gradient (clip=1.0)"
        )


# Reports ----------------------------------------------------------------------------------------


def summary(loss: float, speed: float) -> str:
    return f"loss {loss:.3f}, perplexity {perplexity_of(loss):.1f}, {speed:,.0f} tokens/s"


class Silence:
    """No report."""

    def batch(self, epoch: int, number: int, loss: float, speed: float) -> None:
        """A batch is done."""

    def row(self, row: dict[str, float]) -> None:
        """A pass is done."""

    def close(self) -> None:
        """Training is over."""


class Report(Silence):
    """A bar of tqdm, or a line that rewrites itself on a terminal; and a line for each pass."""

    def __init__(self, epochs: int, batches: int) -> None:
        self.epochs, self.batches = epochs, batches
        self.terminal = sys.stderr.isatty()
        self.bar: Any = None
        self.shown = 0.0
        try:
            from tqdm import tqdm  # type: ignore[import-untyped]
        except ImportError:
            self.tqdm: Any = None
        else:
            self.tqdm = tqdm

    def batch(self, epoch: int, number: int, loss: float, speed: float) -> None:
        """Show where training is, ten times a second at most."""
        title = f"epoch {epoch}/{self.epochs}"
        if self.tqdm is not None:
            if self.bar is None:
                pause = 0.1 if self.terminal else 5.0  # a log wants few lines
                self.bar = self.tqdm(
                    total=self.batches, desc=title, leave=False, file=sys.stderr, mininterval=pause
                )
            self.bar.set_postfix_str(summary(loss, speed), refresh=False)
            self.bar.update()
        elif self.terminal and time.perf_counter() - self.shown > 0.1:
            self.shown = time.perf_counter()
            line = f"{title}, batch {number}/{self.batches}: {summary(loss, speed)}"
            print(f"\r{line:<79}", end="", file=sys.stderr, flush=True)

    def row(self, row: dict[str, float]) -> None:
        """Show what a pass came to."""
        self.close()
        line = f"epoch {row['epoch']}/{self.epochs}: "
        line += summary(row["loss"], row["tokens_per_second"])
        if "validation_loss" in row:
            line += f"; validation perplexity {row['validation_perplexity']:.1f}"
        print(f"{line}; {row['seconds']:.0f} s", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar or the moving line away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        elif self.shown:
            print(f"\r{'':<79}\r", end="", file=sys.stderr, flush=True)
            self.shown = 0.0


def save_history(path: PathLike, history: Sequence[dict[str, float]]) -> None:
    """Write the rows of a history as comma-separated values, atomically."""
    if not history:
        raise ValueError("save_history: the history has no row")
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, fieldnames=list(history[0]))
    table.writeheader()
    table.writerows(history)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
