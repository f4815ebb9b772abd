"""``fit``: the loop of forward, backward and update, for any model and any task.

A task says what there is to learn: its batches, and the loss of a model on one of them. What a
batch hands to the next one (the state, in a long text) is passed along by ``fit``, cut off from
its tape, and kept nowhere else.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor, detect_anomaly
from ...autograd.tensor import came
from ...cells import Cell, Module, detached
from ...cells.fused import kinds_seen, see_kinds
from ...files import PathLike, write_atomically
from ..networks.layers import evaluating, whole
from ..text.baselines import perplexity_of
from ..text.text import one_text, pad_sequences, stream_batches
from .checkpoint import (
    describe_model,
    describe_optimizer,
    describe_task,
    generators,
    load_checkpoint,
    random_states,
    save_checkpoint,
    seeded,
    set_random_states,
)
from .optim import (
    Adam,
    Optimizer,
    clip_by_global_norm,
    clip_by_value,
    global_norm,
    gradients,
    number,
)
from .schedules import plateaus

__all__ = ["History", "Sequences", "Stream", "Task", "evaluate", "fit", "save_history"]

History = list[dict[str, float]]
Metric = Callable[[Any, Any], float]  # of a model and a task


# Tasks ------------------------------------------------------------------------------------------


class Task(Protocol):
    """What ``fit`` and ``evaluate`` run through.

    What is drawn at random comes of an int attribute ``seed``, or of Generators in attributes or
    batches: these are kept in checkpoints. An attribute ``unit`` may say what the loss is a mean
    over, where that is not tokens: reports then show no perplexity.
    """

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
        self.ids = one_text("Stream", ids)
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
            carry = forget(carry, model.initial_state(len(ids)), anew)
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
    """The mean loss a token over one pass, without dropout and without a tape.

    Raises:
        TypeError: ``model`` is no Module, or ``task`` no Task.
        ValueError: No token is to be predicted.
    """
    see_model("evaluate", model)
    see_task("evaluate", task)
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
    metrics: Mapping[str, Metric] | None = None,
    monitor: str = "validation_loss",
    mode: str | None = None,
    patience: int | None = None,
    clip: float | None = None,
    clip_value: float | None = None,
    schedule: Callable[[float], float] | None = None,
    save: PathLike | Callable[[], Any] | None = None,
    checkpoint: PathLike | None = None,
    every: float = 60.0,
    resume: bool = True,
    progress: bool = True,
) -> History:
    """Train a model, and leave it with the best parameters that were found.

    Those are the ones with the best ``monitor``, among equals those with the least validation
    loss, among these the first; without ``validation`` the last ones.

    With ``checkpoint`` the training can be stopped at any moment, also by ``kill -9``, and goes
    on by the same call: number for number as if it had not been stopped, times excepted (and
    what follows them: the schedule of a training with ``seconds``). The random states are those
    of the Generators in the attributes of model and tasks; ``epochs``, ``seconds``, ``patience``
    and what is done by functions may differ from call to call, all else may not.

    Args:
        model: A Module that fits the task.
        task: What to learn: a Stream, Sequences, Labelled, or a Task of your own.
        optimizer: Over the model's parameters; None for Adam with its defaults.
        epochs: How many passes at most.
        seconds: How long at most, validation included; training stops after the batch at hand.
        validation: A Task that is looked at after each pass and not learnt from.
        metrics: By name, functions of (model, validation) that give a number, as ``lambda model,
            task: accuracy(task.labels, predictions(model, task))``: computed after each pass,
            without dropout.
        monitor: The column of the history that says which pass was the best; where it is the
            same, as an accuracy often is, the validation loss decides.
        mode: "min" or "max", what is best of ``monitor``; may be left out for a loss or
            perplexity.
        patience: After how many passes without a better ``monitor`` to stop; the same is not
            better.
        clip: The largest joint norm of the gradients.
        clip_value: The largest absolute value of an element of a gradient, before ``clip``.
        schedule: From progress (0 at the beginning, 1 at the end) to a factor of the rate. A
            Plateau among it is shown ``monitor``, without validation the loss.
        save: Where to write the parameters, or a function that writes the model: called whenever
            they are the best so far.
        checkpoint: The file of the training itself: written from time to time, and read by the
            next call. Where it cannot be written (a full disk), the old one stays, a
            RuntimeWarning says so, and training goes on.
        every: How many seconds lie between checkpoints; one is also written after each pass. At
            0 it is written after each batch.
        resume: Whether to go on from the checkpoint if there is one; else it begins anew.
        progress: Whether to report on stderr: by a bar where tqdm is installed (extra
            ``train``), else by plain lines.

    Returns:
        A row a pass: epoch, updates, seconds, lr, loss, perplexity, tokens_per_second, and with
        ``validation`` also validation_loss, validation_perplexity, and validation_NAME of each
        metric. Plain numbers.

    Raises:
        FloatingPointError: The loss, the gradient or what is monitored is not a finite number.
            The message says where it began; the model has its last good parameters again.
        KeyboardInterrupt: Ctrl-C; before, the model gets its best parameters so far, and if
            nothing was saved yet, it is saved.
        ValueError: A setting is out of its range, or the checkpoint is damaged or that of
            another training; what differs is named. Or the model has no Parameter.
        TypeError: ``model`` is no Module, ``task`` or ``validation`` no Task, or ``optimizer`` no
            Optimizer.
        OSError: The folder of the checkpoint is none, or not to be written in.

    Example:
        >>> from unspool.models import LanguageModel, Sequences, fit
        >>> model = LanguageModel(vocab_size=5, d=8, rng=0)
        >>> task = Sequences([[1, 3, 4, 3, 4, 2]], rng=0)
        >>> history = fit(model, task, epochs=3, progress=False)
        >>> [sorted(row)[:3] for row in history[:1]], history[2]["loss"] < history[0]["loss"]
        ([['epoch', 'loss', 'lr']], True)
    """
    see_model("fit", model)
    see_task("fit", task)
    if validation is not None:
        see_task("fit(validation=...)", validation)
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(
            "fit: expected an Optimizer, as Adam(model.parameters(), lr=0.001), got "
            f"{came(optimizer)}"
        )
    whole("fit", "epochs", epochs)
    if patience is not None:
        whole("fit", "patience", patience)
    if validation is None and (patience is not None or metrics or monitor != "validation_loss"):
        raise ValueError(
            "fit: patience, metrics and monitor look at what is not learnt from; give validation="
        )
    if seconds is not None and not seconds > 0:
        raise ValueError(f"fit: seconds is above 0, got {seconds}")
    for name, limit in (("clip", clip), ("clip_value", clip_value), ("every", every)):
        if limit is not None:
            number("fit", name, limit)
    if optimizer is None:
        optimizer = Adam(model.parameters())
    run = _Run(model, task, optimizer, validation)
    run.epochs, run.seconds, run.patience = epochs, seconds, patience
    run.metrics, run.monitor = metrics or {}, monitor
    run.sign = direction(monitor, mode, run.metrics)
    run.clip, run.clip_value, run.schedule, run.target = clip, clip_value, schedule, save
    was_training = model.training
    model.train()
    try:
        unit = getattr(task, "unit", "tokens")
        report = Report(epochs, len(task), unit) if progress else Silence()
        if checkpoint is not None:
            run.attach(Path(checkpoint), every, resume)
            if run.updates:
                report.note(f"going on from {checkpoint}, after update {run.updates}")
        return run.train(report)
    finally:
        model.train(was_training)


def see_model(who: str, model: Any) -> None:
    """Raise TypeError unless it is a Module."""
    if not isinstance(model, Module):
        raise TypeError(f"{who}: expected a model, as Acceptor(...), got {came(model)}")


def see_task(who: str, task: Any) -> None:
    """Raise TypeError unless it has what a Task has."""
    fits = all(hasattr(task, name) for name in ("__len__", "batches", "loss"))
    if isinstance(task, type) or not fits:
        raise TypeError(
            f"{who}: expected a Task, as Labelled(x, y, batch=32), Sequences(ids) or Stream(ids), "
            f"got {came(task)}"
        )


def direction(monitor: str, mode: str | None, metrics: Iterable[str]) -> int:
    """1 where less of what is monitored is better, -1 where more is; or an error."""
    columns = ["loss", "perplexity", "validation_loss", "validation_perplexity"]
    known = [*columns, *(f"validation_{name}" for name in metrics)]
    if monitor not in known:
        raise ValueError(f"fit: monitor is one of {', '.join(known)}, got {monitor!r}")
    if mode is None and monitor in columns:
        mode = "min"
    if mode not in ("min", "max"):
        raise ValueError(f'fit: mode is "min" or "max", what is best of {monitor}; got {mode!r}')
    return 1 if mode == "min" else -1


class Pass:
    """Where a pass over the data has come to.

    Attributes:
        epoch: Its number, from 1.
        batches: How many it has learnt from.
        total: The sum of the losses of its tokens.
        tokens: How many they are.
        seconds: How long it took.
        carry: What the next batch is given.
        rngs: The random states of the last batch, where it brought Generators.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch, self.batches, self.total, self.tokens = epoch, 0, 0.0, 0
        self.seconds = 0.0
        self.carry: Any = None
        self.rngs: list[Any] = []


class _Run:
    """One call of ``fit``: what its passes share."""

    epochs: int
    seconds: float | None
    patience: int | None
    metrics: Mapping[str, Metric]
    monitor: str
    sign: int
    clip: float | None
    clip_value: float | None
    schedule: Callable[[float], float] | None
    target: PathLike | Callable[[], Any] | None

    def __init__(
        self, model: Module, task: Task, optimizer: Optimizer, validation: Task | None
    ) -> None:
        self.model, self.task, self.optimizer = model, task, optimizer
        self.validation = validation
        self.rate = optimizer.lr
        self.rngs = generators(model, task, validation)
        self.seeded = seeded(task, validation)
        self.cells = [part for part in model.modules() if isinstance(part, Cell)]
        self.history: History = []
        self.now = Pass(1)
        self.updates = 0
        self.best, self.waited = math.inf, 0
        self.good, self.good_from = model.state_dict(), "before training"
        self.began = time.perf_counter()
        self.path: Path | None = None
        self.every, self.written = math.inf, 0.0

    def elapsed(self) -> float:
        return time.perf_counter() - self.began

    def out_of_time(self) -> bool:
        return self.seconds is not None and self.elapsed() >= self.seconds

    def over(self) -> bool:
        """Whether there is no further pass."""
        waited = self.patience is not None and self.waited >= self.patience
        return self.now.epoch > self.epochs or self.out_of_time() or waited

    def progress(self) -> float:
        """How much of the training is over, from 0 to 1."""
        share = self.updates / max(self.epochs * len(self.task), 1)
        if self.seconds is not None:
            share = max(share, self.elapsed() / self.seconds)
        return min(share, 1.0)

    def train(self, report: Silence) -> History:
        try:
            while not self.over():
                row = self.one_pass(report)
                if self.validation is not None:
                    self.validate(row, self.validation)
                row["seconds"] = self.elapsed()
                self.history.append(row)
                report.row(row)
                self.judge(row)
                self.now = Pass(self.now.epoch + 1)
                self.write()
            if self.validation is not None and self.history:
                by = self.monitor.replace("_", " ")
                report.note(f"the model has its parameters {self.good_from}, the best by {by}")
        except FloatingPointError:
            self.model.load_state_dict(self.good)
            raise
        except KeyboardInterrupt:
            if self.updates and (self.validation is None or not self.history):
                self.keep("of the interrupted epoch")
            raise
        finally:
            report.close()
            self.optimizer.lr = self.rate
            if self.validation is not None and self.history:
                self.model.load_state_dict(self.good)
        return self.history

    def one_pass(self, report: Silence) -> dict[str, float]:
        """Learn from every batch once (or until time is over): the pass as a row."""
        now = self.now
        began = time.perf_counter() - now.seconds
        for batch in self.batches_left():
            if self.schedule is not None:
                self.optimizer.lr = self.rate * self.schedule(self.progress())
            value, count = self.learn(batch)
            self.updates += 1
            now.batches += 1
            now.total += value * count
            now.tokens += count
            now.seconds = time.perf_counter() - began
            speed = now.tokens / max(now.seconds, 1e-9)
            report.batch(now.epoch, now.batches, now.total / max(now.tokens, 1), speed)
            if self.out_of_time():
                break
            if self.elapsed() >= self.written + self.every:
                now.rngs = random_states(generators(batch))
                self.write()
        if not now.tokens:
            raise ValueError("fit: no token is to be predicted in this task")
        loss = now.total / now.tokens
        return {
            "epoch": now.epoch,
            "updates": self.updates,
            "seconds": self.elapsed(),
            "lr": self.optimizer.lr,
            "loss": loss,
            "perplexity": perplexity_of(loss),
            "tokens_per_second": now.tokens / max(now.seconds, 1e-9),
        }

    def batches_left(self) -> Iterator[Any]:
        """The batches of this pass that were not learnt from yet."""
        batches, done = iter(self.task.batches(self.now.epoch)), self.now.batches
        for batch in itertools.islice(batches, done):
            done -= 1
            if not done:  # its Generators are those of the batches that follow
                set_random_states(generators(batch), self.now.rngs)
        yield from batches

    def learn(self, batch: Any) -> tuple[float, int]:
        """One update: the mean loss before it, and of how many tokens."""
        rngs = [*self.rngs, *generators(batch)]
        states, carry = random_states(rngs), self.now.carry
        with np.errstate(over="ignore", invalid="ignore"):  # reported by name just below
            loss, count, self.now.carry = self.task.loss(self.model, batch, carry)
            value = loss.item()
            fine = math.isfinite(value)
            if fine:
                self.optimizer.zero_grad()
                if count:
                    loss.backward()
                fine = math.isfinite(self.clipped())
            del loss  # the graph goes before the next one is made
        if not fine:
            set_random_states(rngs, states)  # to see the same once more
            raise self.not_finite(value, batch, carry)
        self.optimizer.step()
        return value, count

    def clipped(self) -> float:
        """Clip the gradients where it is asked for; their norm, which has to be finite."""
        parameters = self.optimizer.parameters
        if self.clip_value is not None:
            clip_by_value(parameters, self.clip_value)
        if self.clip is not None:
            return clip_by_global_norm(parameters, self.clip)
        return global_norm(gradients(parameters))

    def validate(self, row: dict[str, float], validation: Task) -> None:
        """Add what the model makes of the validation task."""
        row["validation_loss"] = loss = evaluate(self.model, validation)
        row["validation_perplexity"] = perplexity_of(loss)
        with evaluating(self.model):
            for name, metric in self.metrics.items():
                row[f"validation_{name}"] = float(metric(self.model, validation))
        for column in ("validation_loss", self.monitor):
            if not math.isfinite(row[column]):
                raise FloatingPointError(
                    f"fit: the {column.replace('_', ' ')} is {row[column]} after epoch "
                    f"{row['epoch']}. The model has its parameters {self.good_from} again"
                )

    def judge(self, row: dict[str, float]) -> None:
        """See whether this pass was the best so far."""
        value = row["loss"] if self.validation is None else self.sign * row[self.monitor]
        for plateau in plateaus(self.schedule):
            plateau.see(value)
        self.waited += 1
        if value < self.best:
            self.best, self.waited = value, 0
        if self.validation is None or row is min(self.history, key=self.rank):
            self.keep(f"of epoch {row['epoch']}")

    def rank(self, row: dict[str, float]) -> tuple[float, float]:
        """The best pass has the least of it."""
        return self.sign * row[self.monitor], row["validation_loss"]

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

    def not_finite(self, value: float, batch: Any, carry: Any) -> FloatingPointError:
        """The error of a training that went astray, with the place where it began."""
        named = self.model.named_parameters()
        damaged = [name for name, p in named if not np.isfinite(p.data).all()]
        what = f"loss is {value}"
        if math.isfinite(value):
            what = f"gradient is {global_norm(gradients(self.optimizer.parameters))}"
        began = ""
        if damaged:
            began = f"; not finite before this batch: {', '.join(damaged)}"
        else:
            try:
                with detect_anomaly(), np.errstate(over="ignore", invalid="ignore"):
                    loss, _, _ = self.task.loss(self.model, batch, carry)
                    loss.backward()
            except FloatingPointError as error:
                began = f"; it began at: {error}"
        self.optimizer.zero_grad()
        return FloatingPointError(
            f"fit: the {what} in epoch {self.now.epoch}, batch {self.now.batches + 1} (update "
            f"{self.updates + 1}){began}. The model has its parameters {self.good_from} again; "
            "lower the learning rate, or clip the gradient (clip=1.0)"
        )

    # Checkpoints ----------------------------------------------------------------------------------

    def attach(self, path: Path, every: float, resume: bool) -> None:
        """Keep the training in a file, and go on from there."""
        self.training = {
            **describe_model(self.model),
            **describe_optimizer(self.optimizer),
            **describe_task("task", self.task),
            **describe_task("validation", self.validation),
            "monitor": self.monitor,
            "metrics": sorted(self.metrics),
            "mode": "max" if self.sign < 0 else "min",
            "clip": self.clip,
            "clip_value": self.clip_value,
            "schedule, plateaus": [plateau.settings() for plateau in plateaus(self.schedule)],
        }
        self.path, self.every = path, every
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(f"fit: no checkpoint can be written in {path.parent}")
        if resume and path.exists():
            try:
                self.restore(load_checkpoint(path, self.training))
            except ValueError as error:
                raise ValueError(
                    f"fit: {error}. Give another checkpoint=, or resume=False to begin anew"
                ) from error
        self.written = self.elapsed()

    def write(self) -> None:
        """Write the checkpoint; where that fails, say so and go on."""
        if self.path is None:
            return
        state = {
            "pass": vars(self.now),
            "updates": self.updates,
            "seconds": self.elapsed(),
            "best": self.best,
            "waited": self.waited,
            "good_from": self.good_from,
            "history": self.history,
            "plateaus": [plateau.state_dict() for plateau in plateaus(self.schedule)],
            "rngs": random_states(self.rngs),
            "seeds": [owner.seed for owner in self.seeded],
            "replayed": [kinds_seen(cell) for cell in self.cells],
            "model": self.model.state_dict(),
            "good": self.good,
            "optimizer": self.optimizer.state_dict(),
        }
        try:
            save_checkpoint(self.path, self.training, state)
        except OSError as error:
            warnings.warn(
                f"fit: the checkpoint {self.path} was not written, the one before stays: "
                f"{error.strerror or error}",
                RuntimeWarning,
                stacklevel=2,
            )
        self.written = self.elapsed()

    def restore(self, state: dict[str, Any]) -> None:
        """Be where the checkpoint was written."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.good, self.good_from = state["good"], state["good_from"]
        self.history, self.updates = state["history"], state["updates"]
        self.best, self.waited = state["best"], state["waited"]
        self.began -= state["seconds"]
        vars(self.now).update(state["pass"])
        set_random_states(self.rngs, state["rngs"])
        for owner, seed in zip(self.seeded, state["seeds"], strict=True):
            owner.seed = seed
        for plateau, memory in zip(plateaus(self.schedule), state["plateaus"], strict=True):
            plateau.load_state_dict(memory)
        for cell, kinds in zip(self.cells, state["replayed"], strict=True):
            see_kinds(cell, kinds)


# Reports ----------------------------------------------------------------------------------------


def summary(loss: float, speed: float, unit: str) -> str:
    """How a pass goes, in a few words; a perplexity is one of tokens."""
    perplexity = f", perplexity {perplexity_of(loss):.1f}" if unit == "tokens" else ""
    return f"loss {loss:.3f}{perplexity}, {speed:,.0f} {unit}/s"


ROW = ("validation_loss", "validation_perplexity")  # what is no metric of the user's


class Silence:
    """No report."""

    def note(self, text: str) -> None:
        """Something that is to be known."""

    def batch(self, epoch: int, number: int, loss: float, speed: float) -> None:
        """A batch is done."""

    def row(self, row: dict[str, float]) -> None:
        """A pass is done."""

    def close(self) -> None:
        """Training is over."""


class Report(Silence):
    """A bar of tqdm, or a line that rewrites itself on a terminal; and a line for each pass."""

    def __init__(self, epochs: int, batches: int, unit: str = "tokens") -> None:
        self.epochs, self.batches, self.unit = epochs, batches, unit
        self.terminal = sys.stderr.isatty()
        self.bar: Any = None
        self.shown = 0.0
        try:
            from tqdm import tqdm  # type: ignore[import-untyped]
        except ImportError:
            self.tqdm: Any = None
        else:
            self.tqdm = tqdm

    def note(self, text: str) -> None:
        """Show a line."""
        print(text, file=sys.stderr, flush=True)

    def batch(self, epoch: int, number: int, loss: float, speed: float) -> None:
        """Show where training is, ten times a second at most."""
        title = f"epoch {epoch}/{self.epochs}"
        if self.tqdm is not None:
            if self.bar is None:
                pause = 0.1 if self.terminal else 5.0  # a log wants few lines
                self.bar = self.tqdm(
                    total=self.batches,
                    initial=number - 1,  # a training that goes on does so within a pass
                    desc=title,
                    leave=False,
                    file=sys.stderr,
                    mininterval=pause,
                )
            self.bar.set_postfix_str(summary(loss, speed, self.unit), refresh=False)
            self.bar.update()
        elif self.terminal and time.perf_counter() - self.shown > 0.1:
            self.shown = time.perf_counter()
            line = f"{title}, batch {number}/{self.batches}: {summary(loss, speed, self.unit)}"
            print(f"\r{line:<79}", end="", file=sys.stderr, flush=True)

    def row(self, row: dict[str, float]) -> None:
        """Show what a pass came to."""
        self.close()
        line = f"epoch {row['epoch']}/{self.epochs}: "
        line += summary(row["loss"], row["tokens_per_second"], self.unit)
        if "validation_loss" in row and self.unit == "tokens":
            line += f"; validation perplexity {row['validation_perplexity']:.1f}"
        elif "validation_loss" in row:
            line += f"; validation loss {row['validation_loss']:.3f}"
        for name, value in row.items():
            if name.startswith("validation_") and name not in ROW:
                line += f", {name.removeprefix('validation_')} {value:.4f}"
        self.note(f"{line}; {row['seconds']:.0f} s")

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
    write_atomically(path, text.getvalue())
