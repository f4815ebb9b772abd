"""``fit`` and ``evaluate``: the loop of forward, backward and update, for any model and task."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...autograd import detect_anomaly, freed_memory_kept
from ...cells import Module, jit_available
from ...cells import jit as compile_loops
from ...checks import (
    check_bool,
    check_callable,
    check_choice,
    check_float,
    check_int,
    check_path,
    describe_received,
    wrong_type,
)
from ...files import PathLike, locked
from ..networks.layers import evaluating
from ..text import perplexity_of, predictions
from . import schema
from .checkpoint import (
    describe_model,
    describe_optimizer,
    describe_task,
    generators,
    load_checkpoint,
    previous_of,
    random_states,
    save_checkpoint,
    seeded,
    set_random_states,
)
from .metrics import accuracy
from .optim import Adam, Optimizer, clip_by_global_norm, clip_by_value, global_norm, gradients
from .report import History, Report, Silence
from .schedules import plateaus
from .tasks import Task, check_task

Metric = Callable[[Any, Any], float]  # of a model and a task
Row = dict[str, float]
STORED = ("updates", "best", "waited", "good", "good_from", "history")  # of a Run in checkpoints
COLUMNS = ("loss", "perplexity", "validation_loss", "validation_perplexity")


def evaluate(model: Module, task: Task) -> float:
    """The mean loss per token over one epoch of a task, in nats, without dropout or a tape."""
    check_model("evaluate", model)
    check_task("evaluate", task)
    total, tokens, carry = 0.0, 0, None
    with evaluating(model):
        for batch in task.batches(0):
            loss, count, carry = task.loss(model, batch, carry)
            total += loss.item() * count
            tokens += count
            del loss  # free the graph, if there is one, before the next forward pass
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
    metrics: Mapping[str, Metric] | Sequence[str] | None = None,
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
    after_epoch: Callable[[Row], Any] | None = None,
    jit: bool | None = None,
) -> History:
    """Train a model; it ends with the best parameters found.

    The best are those of the epoch with the best ``monitor``; ties are broken by the validation
    loss, then by the earlier epoch. Without ``validation`` they are the last ones.

    With ``checkpoint`` training can be stopped at any moment, also by ``kill -9``; the same call
    resumes it. The resumed run computes bit for bit what an uninterrupted one does, except for
    times and what depends on them (a schedule together with ``seconds``). The random states are
    those of the Generators in the attributes of the model and the tasks. Between the calls
    ``epochs``, ``seconds``, ``patience`` and functions may change, everything else may not.

    Args:
        model: A Module that fits the task.
        task: The training data: a Stream, Sequences, Labelled, or a Task of your own.
        optimizer: Over the model's parameters; None for Adam with its defaults.
        epochs: The maximum number of epochs.
        seconds: The maximum duration, validation included; training stops after a batch.
        validation: A Task that is evaluated after each epoch.
        metrics: Computed after each epoch, without dropout: ``["accuracy"]``, or functions of
            (model, validation) that return a number, by name, as ``{"f1": lambda model, task:
            span_f1(gold, predictions(model, task))}``.
        monitor: The column of the history that decides which epoch is the best.
        mode: "min" or "max", which ``monitor`` is best; may be left out for a loss, a
            perplexity or an accuracy.
        patience: Training stops after this many epochs in a row whose ``monitor`` is no
            improvement.
        clip: The maximum joint norm of the gradients.
        clip_value: The maximum absolute value of a gradient's element, applied before ``clip``.
        schedule: A function from progress (0 at the beginning, 1 at the end) to a factor of the
            learning rate. A Plateau in it sees ``monitor``, without validation the loss.
        save: A path for the best parameters, or a function that saves the model: written or
            called whenever there are new best ones.
        checkpoint: The checkpoint's path. Where writing fails (a full disk), the old file stays,
            a RuntimeWarning is raised, and training goes on. Until training ends the checkpoint
            before it is kept beside it, as ``NAME.previous.npz``, should the last one be damaged.
        every: Seconds between checkpoints, which are also written after each epoch; at 0, after
            each batch.
        resume: Whether to resume from the checkpoint if there is one, instead of starting over.
        progress: Whether to report on stderr, in a notebook on stdout: a bar with tqdm (extra
            ``train``), else lines.
        after_epoch: Called with the row of each epoch; may add columns to it. Training stops when
            it returns a true value.
        jit: Whether the cells' loops over time are compiled, see ``cells.jit``; None for where
            the extra ``fast`` is installed, or as the checkpoint that is resumed says.

    Returns:
        A row per epoch: epoch, updates, seconds, lr, loss, perplexity, tokens_per_second; with
        ``validation`` also validation_loss, validation_perplexity, and validation_NAME for each
        metric; where loops are compiled, jit, 1. Plain numbers.

    Raises:
        FloatingPointError: The loss, the gradient or ``monitor`` is NaN or infinite. The message
            names the first such value's op and scope; the model has its last good parameters.
        KeyboardInterrupt: Ctrl-C; the model has its best parameters, and they are saved.
        ValueError: A setting is out of range, the model has no Parameter, the optimiser is that of
            another model, or the checkpoint is damaged or was written by another training; the
            differences are named.
        OSError: The checkpoint's folder is not writable, or another training uses the file.

    Example:
        >>> from unspool.models import LanguageModel, Sequences, fit
        >>> model = LanguageModel(vocab_size=5, d=8, rng=0)
        >>> task = Sequences([[1, 3, 4, 3, 4, 2]], rng=0)
        >>> history = fit(model, task, epochs=3, progress=False)
        >>> [sorted(row)[:3] for row in history[:1]], history[2]["loss"] < history[0]["loss"]
        ([['epoch', 'loss', 'lr']], True)
    """
    check_model("fit", model)
    check_task("fit", task)
    if validation is not None:
        check_task("fit(validation=...)", validation)
    elif patience is not None or metrics or monitor != "validation_loss":
        raise ValueError("fit: patience, metrics and monitor need a task as validation=")
    if optimizer is None:
        optimizer = Adam(model.parameters())
    elif not isinstance(optimizer, Optimizer):
        expected = "an Optimizer, as Adam(model.parameters(), lr=0.001)"
        raise wrong_type(f"fit: expected {expected}", optimizer)
    check_optimizer(model, optimizer)
    check_int("fit", "epochs", epochs)
    if patience is not None:
        check_int("fit", "patience", patience)
    if seconds is not None:
        check_float("fit", "seconds", seconds, above=0)
    for name, limit in (("clip", clip), ("clip_value", clip_value), ("every", every)):
        if limit is not None:
            check_float("fit", name, limit, least=0)
    metrics = named_metrics(metrics)
    check_functions({"schedule": schedule, "after_epoch": after_epoch}, metrics)
    check_paths({"save": None if callable(save) else save, "checkpoint": checkpoint})
    check_bool("fit", "resume", resume)
    check_bool("fit", "progress", progress)
    if jit is not None:
        check_bool("fit", "jit", jit)
    run = Run(
        model,
        task,
        optimizer,
        validation,
        epochs=epochs,
        seconds=seconds,
        patience=patience,
        metrics=metrics,
        monitor=monitor,
        sign=sign_of(monitor, mode, metrics),
        clip=clip,
        clip_value=clip_value,
        schedule=schedule,
        save=save,
        after_epoch=after_epoch,
        jit=jit,
    )
    unit = getattr(task, "unit", "tokens")
    was_training = model.training
    model.train()
    try:
        report = Report(epochs, len(task), unit) if progress else Silence()
        with contextlib.ExitStack() as used:
            if checkpoint is not None:
                used.enter_context(run.lock_checkpoint(Path(checkpoint)))
                run.open_checkpoint(Path(checkpoint), every, resume)
                if run.updates:
                    report.note(f"resuming from {checkpoint}, after update {run.updates}")
            run.compile()
            # With glibc an update of an LSTM of 128 takes a quarter less.
            used.enter_context(freed_memory_kept())
            return run.train(report)
    finally:
        model.train(was_training)


def check_model(who: str, model: Any) -> None:
    """Raise TypeError unless it is a Module."""
    if not isinstance(model, Module):
        raise wrong_type(f"{who}: expected a model, as Acceptor(...)", model)


def check_optimizer(model: Module, optimizer: Optimizer) -> None:
    """Raise ValueError if an optimiser updates Parameters of another model instead of this one's.

    One over a part of the model, or over Parameters of a loss too, is allowed.
    """
    own, given = {*model.parameters()}, {*optimizer.parameters}
    missed = [name for name, p in model.named_parameters() if p.requires_grad and p not in given]
    if missed and given - own:
        lacks = ", ".join(missed[:3]) + ", ..." * (len(missed) > 3)
        raise ValueError(
            f"fit: the optimizer updates {len(given - own)} Parameters that are not this "
            f"{type(model).__name__}'s, and lacks {lacks}; the model was made anew, or changed, "
            f"after it: write optimizer = {type(optimizer).__name__}(model.parameters()) again"
        )


def task_accuracy(model: Any, task: Any) -> float:
    """The fraction of a Labelled task's labels that a model predicts."""
    if getattr(task, "labels", None) is None:
        raise TypeError(
            f'fit: metrics=["accuracy"] needs a Labelled task with labels as validation=, got '
            f"{describe_received(task)}"
        )
    return accuracy(task.labels, predictions(model, task))


METRICS: dict[str, Metric] = {"accuracy": task_accuracy}


def named_metrics(metrics: Any) -> Mapping[str, Metric]:
    """Metrics by name: those of METRICS where only names are given."""
    if isinstance(metrics, (list, tuple)) and all(isinstance(name, str) for name in metrics):
        return {check_choice("fit", "metrics", name, METRICS): METRICS[name] for name in metrics}
    if isinstance(metrics, Mapping):
        return {name: METRICS["accuracy"] if m is accuracy else m for name, m in metrics.items()}
    if metrics is None:
        return {}
    raise TypeError(
        'fit: metrics must be a list of names, as ["accuracy"], or a dict of functions of (model, '
        f"task) by name; got {describe_received(metrics)}"
    )


def check_functions(functions: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """Raise TypeError unless those given are functions, and metrics functions of two arguments."""
    for name, function in functions.items():
        if function is not None:
            check_callable("fit", name, function)
    for name, metric in metrics.items():
        example = "lambda model, task: accuracy(task.labels, predictions(model, task))"
        check_callable("fit", f"metrics[{name!r}]", metric, example)


def check_paths(paths: Mapping[str, Any]) -> None:
    """Raise TypeError unless those given are paths."""
    for name, path in paths.items():
        if path is not None:
            check_path("fit", name, path)


def sign_of(monitor: str, mode: str | None, metrics: Iterable[str]) -> int:
    """1 where a lower ``monitor`` is better, -1 where a higher one is."""
    check_choice("fit", "monitor", monitor, [*COLUMNS, *(f"validation_{m}" for m in metrics)])
    if mode is None:
        known = {**dict.fromkeys(COLUMNS, "min"), "validation_accuracy": "max"}
        mode = known.get(monitor)
    if mode not in ("min", "max"):
        raise ValueError(
            f'fit: mode must be "min" or "max", whichever is best for {monitor}; got {mode!r}'
        )
    return 1 if mode == "min" else -1


class Progress:
    """How far an epoch has come.

    Attributes:
        epoch: Its number, from 1.
        batches: The number of batches trained on.
        total: The sum of the tokens' losses.
        tokens: The number of tokens.
        seconds: The time spent.
        carry: The carry for the next batch.
        rngs: The random states of the last batch's Generators, if it holds any.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch, self.batches, self.total, self.tokens = epoch, 0, 0.0, 0
        self.seconds = 0.0
        self.carry: Any = None
        self.rngs: list[Any] = []


@dataclass(eq=False)
class Run:
    """One call of ``fit``: its settings, and the state that a checkpoint holds."""

    model: Module
    task: Task
    optimizer: Optimizer
    validation: Task | None
    epochs: int
    seconds: float | None
    patience: int | None
    metrics: Mapping[str, Metric]
    monitor: str
    sign: int
    clip: float | None
    clip_value: float | None
    schedule: Callable[[float], float] | None
    save: PathLike | Callable[[], Any] | None
    after_epoch: Callable[[Row], Any] | None
    jit: bool | None

    def __post_init__(self) -> None:
        self.rate = self.optimizer.lr
        self.rngs = generators(self.model, self.task, self.validation)
        self.seeded = seeded(self.task, self.validation)
        self.history: History = []
        self.now = Progress(1)
        self.updates = 0
        self.best, self.waited, self.stopped = math.inf, 0, False
        self.good, self.good_from = self.model.state_dict(), "before training"
        self.began = time.perf_counter()
        self.path: Path | None = None
        self.every, self.written = math.inf, 0.0

    def compile(self) -> None:
        """Compile the loops of the model's cells, unless that is not asked for or not possible."""
        self.jit = jit_available() if self.jit is None else self.jit
        if self.jit:
            start = time.perf_counter()
            with warnings.catch_warnings():  # of cells that have no plan
                warnings.simplefilter("ignore", RuntimeWarning)
                compile_loops(self.model, only_promised=True)
            self.began += time.perf_counter() - start

    def elapsed(self) -> float:
        """Seconds since the beginning, those before a resume included."""
        return time.perf_counter() - self.began

    def out_of_time(self) -> bool:
        """Whether ``seconds`` are over; there is one update in any case."""
        return self.seconds is not None and self.updates > 0 and self.elapsed() >= self.seconds

    def finished(self) -> bool:
        """Whether there is no further epoch."""
        impatient = self.patience is not None and self.waited >= self.patience
        return self.now.epoch > self.epochs or self.out_of_time() or impatient or self.stopped

    def fraction_done(self) -> float:
        """The part of the training that is over, from 0 to 1."""
        done = self.updates / max(self.epochs * len(self.task), 1)
        if self.seconds is not None:
            done = max(done, self.elapsed() / self.seconds)
        return min(done, 1.0)

    def train(self, report: Silence) -> History:
        """Run the remaining epochs."""
        try:
            while not self.finished():
                row = self.epoch(report)
                if self.validation is not None:
                    self.validate(row, self.validation)
                row["seconds"] = self.elapsed()
                if self.after_epoch is not None:
                    self.stopped = bool(self.after_epoch(row))
                self.history.append(row)
                report.row(row)
                self.judge(row)
                self.now = Progress(self.now.epoch + 1)
                self.write_checkpoint()
            if self.validation is not None and self.history:
                by = self.monitor.replace("_", " ")
                report.note(f"the model has its parameters {self.good_from}, the best by {by}")
            if self.path is not None:
                previous_of(self.path).unlink(missing_ok=True)
        except FloatingPointError:
            self.model.load_state_dict(self.good)
            raise
        except KeyboardInterrupt:
            if self.updates and (self.validation is None or not self.history):
                self.keep("of the interrupted epoch")
            raise
        finally:
            report.close()
            if self.schedule is not None:
                self.optimizer.lr = self.rate
            if self.validation is not None and self.history:
                self.model.load_state_dict(self.good)
        return self.history

    def epoch(self, report: Silence) -> Row:
        """Train on each remaining batch of the epoch, or until time is over."""
        now = self.now
        began = time.perf_counter() - now.seconds
        for batch in self.remaining_batches():
            if self.schedule is not None:
                self.optimizer.lr = self.rate * self.schedule(self.fraction_done())
            value, count = self.update(batch)
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
                self.write_checkpoint()
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
            **({"jit": 1} if self.jit else {}),
        }

    def remaining_batches(self) -> Iterator[Any]:
        """The batches of this epoch that were not trained on yet."""
        batches, done = iter(self.task.batches(self.now.epoch)), self.now.batches
        for batch in itertools.islice(batches, done):
            done -= 1
            if not done:  # the following batches hold the same Generators
                set_random_states(generators(batch), self.now.rngs)
        yield from batches

    def update(self, batch: Any) -> tuple[float, int]:
        """One update; returns the batch's mean loss before it, and the number of tokens."""
        rngs = [*self.rngs, *generators(batch)]
        states, carry = random_states(rngs), self.now.carry
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            loss, count, self.now.carry = self.task.loss(self.model, batch, carry)
            value = loss.item()
            finite = math.isfinite(value)
            if finite:
                self.optimizer.zero_grad()
                if count:
                    loss.backward()
                finite = math.isfinite(self.clipped_norm())
            del loss  # free the graph before the next one is built
            if finite:
                self.optimizer.step()  # an overflow is found in the next batch
        if not finite:
            set_random_states(rngs, states)  # the anomaly is located by the same forward pass
            raise self.not_finite(value, batch, carry)
        return value, count

    def clipped_norm(self) -> float:
        """Clip the gradients as asked for; returns their norm before clipping by norm."""
        parameters = self.optimizer.parameters
        if self.clip_value is not None:
            clip_by_value(parameters, self.clip_value)
        if self.clip is not None:
            return clip_by_global_norm(parameters, self.clip)
        return global_norm(gradients(parameters))

    def validate(self, row: Row, validation: Task) -> None:
        """Add the validation loss and the metrics to a row."""
        row["validation_loss"] = loss = evaluate(self.model, validation)
        row["validation_perplexity"] = perplexity_of(loss)
        with evaluating(self.model):
            for name, metric in self.metrics.items():
                try:
                    row[f"validation_{name}"] = float(metric(self.model, validation))
                except TypeError as error:
                    raise TypeError(
                        f"fit: metrics[{name!r}] is called with (model, task) and must return a "
                        f"number; it raised: {error}"
                    ) from error
        for column in ("validation_loss", self.monitor):
            if not math.isfinite(row[column]):
                raise FloatingPointError(
                    f"fit: the {column.replace('_', ' ')} is {row[column]} after epoch "
                    f"{row['epoch']}. The model has its parameters {self.good_from} again"
                )

    def judge(self, row: Row) -> None:
        """Show the row to plateaus and patience; keep the parameters if they are the best."""
        value = row["loss"] if self.validation is None else self.sign * row[self.monitor]
        for plateau in plateaus(self.schedule):
            plateau.see(value)
        self.waited += 1
        if value < self.best:
            self.best, self.waited = value, 0
        if self.validation is None or row is min(self.history, key=self.rank):
            self.keep(f"of epoch {row['epoch']}")

    def rank(self, row: Row) -> tuple[float, float]:
        """A key by which the best row is the least one."""
        return self.sign * row[self.monitor], row["validation_loss"]

    def finite(self) -> bool:
        """Whether the parameters are finite."""
        return all(np.isfinite(parameter.data).all() for parameter in self.model.parameters())

    def keep(self, which: str) -> None:
        """Remember the parameters as good ones, if they are finite, and save them."""
        state = self.model.state_dict()
        if not self.finite():
            return
        self.good, self.good_from = state, which
        if callable(self.save):
            self.save()
        elif self.save is not None:
            self.model.save(self.save)

    def not_finite(self, value: float, batch: Any, carry: Any) -> FloatingPointError:
        """The error for a NaN or an infinity, with the op where the first one arises."""
        named = self.model.named_parameters()
        damaged = [name for name, p in named if not np.isfinite(p.data).all()]
        what = f"loss is {value}"
        cure = "lower the learning rate, or clip the gradient (clip=1.0)"
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
                if "the NaN in the result comes from" in began:  # from data: parameters are finite
                    cure = "remove or replace the NaN in the data"
        self.optimizer.zero_grad()
        return FloatingPointError(
            f"fit: the {what} in epoch {self.now.epoch}, batch {self.now.batches + 1} (update "
            f"{self.updates + 1}){began}. The model has its parameters {self.good_from} again; "
            f"{cure}"
        )

    # Checkpoints ----------------------------------------------------------------------------------

    def lock_checkpoint(self, path: Path) -> contextlib.AbstractContextManager[None]:
        """Keep other trainings from a checkpoint."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(f"fit: no checkpoint can be written in {path.parent}")
        return locked(path.with_name(f".{path.name}.lock"), str(path))

    def open_checkpoint(self, path: Path, every: float, resume: bool) -> None:
        """Write checkpoints to a file from now on; resume from it if it exists."""
        self.fingerprint = {
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
        if resume and path.exists():
            try:
                self.restore(load_checkpoint(path, self.fingerprint, self.check_state))
            except ValueError as error:
                raise ValueError(
                    f"fit: {error}. Give another checkpoint=, or resume=False to begin anew"
                ) from error
        self.written = self.elapsed()

    def write_checkpoint(self) -> None:
        """Write the checkpoint, if there is to be one; an OSError becomes a warning.

        Parameters that are not finite are not written: the next batch raises and says why.
        """
        if self.path is None or not self.finite():
            return
        state = {
            "pass": vars(self.now),
            "seconds": self.elapsed(),
            "plateaus": [plateau.state_dict() for plateau in plateaus(self.schedule)],
            "rngs": random_states(self.rngs),
            "seeds": [owner.seed for owner in self.seeded],
            "jit": self.jit,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        state |= {name: getattr(self, name) for name in STORED}
        try:
            save_checkpoint(self.path, self.fingerprint, state)
        except OSError as error:
            warnings.warn(
                f"fit: the checkpoint {self.path} was not written, the one before stays: "
                f"{error.strerror or error}",
                RuntimeWarning,
                stacklevel=2,
            )
        self.written = self.elapsed()

    def check_state(self, state: Any, place: str) -> None:
        """Raise ValueError unless this is a state of this run; see ``write_checkpoint``."""
        columns = ["seconds", "loss"]
        if self.validation is not None:
            columns += ["validation_loss", self.monitor]
        parameters = schema.arrays_like(self.model.state_dict())
        of_pass = {
            **dict.fromkeys(("epoch", "batches", "tokens"), schema.count),
            **dict.fromkeys(("total", "seconds"), schema.finite),
            "carry": schema.carry,
            "rngs": schema.each(schema.random_state),
        }
        of_plateau = {"now": schema.finite, "best": schema.number}
        of_plateau |= {"waited": schema.count, "resting": schema.count}
        whole = {
            "pass": schema.fields(of_pass),
            **dict.fromkeys(("updates", "waited"), schema.count),
            "seconds": schema.finite,
            "best": schema.number,
            "good_from": schema.text,
            "history": schema.rows(columns),
            "plateaus": schema.parts([schema.fields(of_plateau) for _ in plateaus(self.schedule)]),
            "rngs": schema.parts([schema.random_state for _ in self.rngs]),
            "seeds": schema.parts([schema.count for _ in self.seeded]),
            "jit": schema.flag,
            "model": parameters,
            "good": parameters,
            "optimizer": lambda value, _: self.optimizer.check_state(value),
        }
        if isinstance(state, dict):
            state.pop("replayed", None)  # in checkpoints of before: which cells had run
            state.setdefault("jit", False)
        schema.fields(whole)(state, place)
        now, epochs = state["pass"], len(state["history"])
        if now["epoch"] != epochs + 1 or now["batches"] > len(self.task):
            raise ValueError(
                f"its state: {place}.pass is at batch {now['batches']} of {len(self.task)}, epoch "
                f"{now['epoch']}, after {epochs} epochs"
            )

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint's state."""
        compiled: bool = state["jit"]
        if self.jit is not None and self.jit is not compiled:
            raise ValueError(f"jit was {compiled}, now {self.jit}: the numbers would differ")
        if compiled and not jit_available():
            raise ValueError(
                "the loops over time were compiled, which needs the extra fast: "
                'pip install "unspool[fast]"'
            )
        self.jit = compiled
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name in STORED:
            setattr(self, name, state[name])
        self.began -= state["seconds"]
        vars(self.now).update(state["pass"])
        set_random_states(self.rngs, state["rngs"])
        for owner, seed in zip(self.seeded, state["seeds"], strict=True):
            owner.seed = seed
        for plateau, memory in zip(plateaus(self.schedule), state["plateaus"], strict=True):
            plateau.load_state_dict(memory)
