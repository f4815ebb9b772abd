"""Callbacks: what ``fit(callbacks=)`` calls as the training goes."""

from __future__ import annotations

import csv
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...checks import check_choice, check_float, check_int, describe_received
from ...files import PathLike
from .absent import absent

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]

Logs = dict[str, Any]


class Callback:
    """Base of the callbacks: a subclass defines those of the methods that it needs.

    Attributes:
        model: The network in training; its ``stop_training = True`` ends the training.
        params: "epochs", "steps" and "verbose" of the training.
    """

    model: Any = None
    params: dict[str, Any]

    def set_model(self, model: Any) -> None:
        """Called before the training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before the training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, after the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called with the epoch, from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called with the epoch, from 0, and its loss and metrics, those of validation too."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called with the number of a batch, from 0."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after the update, with the loss and the metrics of the epoch so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called by ``evaluate``."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called by ``evaluate``, with its numbers."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called by ``predict``."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called by ``predict``."""

    # Names of Keras 1 and 2.
    on_batch_begin: Any = None
    on_batch_end: Any = None


class CallbackList:
    """Callbacks as one.

    Args:
        callbacks: The callbacks.
        model: The network.
    """

    def __init__(self, callbacks: Sequence[Any], model: Any) -> None:
        for callback in callbacks:
            if isinstance(callback, type) or not hasattr(callback, "on_epoch_end"):
                raise TypeError(
                    "fit: callbacks must be objects of keras.callbacks, as "
                    f"EarlyStopping(patience=3), got {describe_received(callback)}"
                )
            callback.set_model(model)
        self.callbacks = callbacks
        self.by_batch = [callback for callback in callbacks if hears_of_batches(callback)]

    def set_params(self, params: dict[str, Any]) -> None:
        """Hand on what is known of the training."""
        for callback in self.callbacks:
            callback.set_params(params)

    def on_train_batch_begin(self, batch: int) -> None:
        """Tell those that want to know."""
        for callback in self.by_batch:
            (callback.on_batch_begin or callback.on_train_batch_begin)(batch, {})

    def on_train_batch_end(self, batch: int, results: Callable[[], Logs]) -> None:
        """Tell those that want to know."""
        if self.by_batch:
            logs = results()
            for callback in self.by_batch:
                (callback.on_batch_end or callback.on_train_batch_end)(batch, logs)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)

        def tell(*args: Any) -> None:
            args = args if len(args) > ("epoch" in name) else (*args, {})
            for callback in self.callbacks:
                getattr(callback, name)(*args)

        return tell


def hears_of_batches(callback: Any) -> bool:
    """Whether a callback defines what is called for each batch."""
    names = ("on_train_batch_begin", "on_train_batch_end")
    own = any(getattr(type(callback), n, None) is not getattr(Callback, n) for n in names)
    given = any(n in vars(callback) for n in names)
    return own or given or bool(callback.on_batch_begin or callback.on_batch_end)


class History(Callback):
    """The numbers of each epoch; ``fit`` returns one.

    Attributes:
        epoch: The epochs, from 0.
        history: By name ("loss", "accuracy", "val_loss", ...) a number per epoch.
        params: "epochs", "steps" and "verbose" of the training.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the epoch's numbers."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """Functions as a callback: ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for name, function in functions.items():
            if not hasattr(Callback, name) or not name.startswith("on_"):
                known = ", ".join(n for n in vars(Callback) if n.startswith("on_"))
                raise TypeError(f"LambdaCallback: {name} must be one of {known}")
            if function is not None:
                setattr(self, name, function)


class Monitor(Callback):
    """Base of the callbacks that look for the best epoch.

    Args:
        monitor: The name of a number, such as "val_loss".
        mode: "min", "max", or "auto": "max" for accuracies and the like, else "min".
        min_delta: The least change that is an improvement.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        name = type(self).__name__
        check_choice(name, "mode", mode, ("auto", "min", "max"))
        self.monitor, self.min_delta = monitor, abs(min_delta)
        rising = any(part in monitor for part in ("acc", "auc", "precision", "recall", "f1"))
        self.sign = -1 if mode == "max" or (mode == "auto" and rising) else 1
        self.best = math.inf

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget the best value of an earlier training."""
        self.best = math.inf

    def improved(self, logs: Logs | None) -> bool:
        """Whether the monitored number is the best so far."""
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__}: monitor must be one of {', '.join(logs)}, got "
                f"{self.monitor!r}"
                + ("; give fit validation_data" if self.monitor.startswith("val_") else "")
            )
        value = self.sign * logs[self.monitor]
        if not value < self.best - self.min_delta:
            return False
        self.best = value
        return True


class EarlyStopping(Monitor):
    """Stops the training after ``patience`` epochs in a row without an improvement.

    Args:
        monitor, min_delta, mode: As in ``Monitor``.
        patience: The number of these epochs; 0 is as 1.
        verbose: Whether to print when it stops.
        baseline: A value that counts as the best before the first epoch.
        restore_best_weights: Whether the network ends with the parameters of its best epoch.
        start_from_epoch: The number of epochs at the beginning that do not count.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = check_int("EarlyStopping", "patience", patience, least=0)
        self.verbose, self.baseline = verbose, baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.stopped_epoch = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start counting."""
        super().on_train_begin()
        if self.baseline is not None:
            self.best = self.sign * self.baseline
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self.best_weights: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Count the epochs without an improvement."""
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.state_dict()
        self.wait += 1
        if self.improved(logs):
            self.wait, self.best_epoch = 0, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.state_dict()
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best parameters, if asked for."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)


class ModelCheckpoint(Monitor):
    """Writes the network to a file after each epoch.

    Args:
        filepath: The file; ``{epoch}`` (from 1) and names of numbers in it are filled in, as in
            "model-{epoch:02d}-{val_loss:.2f}.keras".
        monitor, mode: As in ``Monitor``.
        verbose: Whether to print when it writes.
        save_best_only: Whether to write only after an improvement.
        save_weights_only: Whether to write the weights only, for ``load_weights``; else the whole
            network, for ``load_model``.
        save_freq: "epoch".
        initial_value_threshold: A value that counts as the best before the first epoch.
    """

    def __init__(
        self,
        filepath: PathLike,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        check_choice("ModelCheckpoint", "save_freq", save_freq, ("epoch",))
        self.filepath, self.save_best_only = filepath, save_best_only
        self.save_weights_only, self.verbose = save_weights_only, verbose
        if initial_value_threshold is not None:
            self.best = self.sign * initial_value_threshold

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """The best value of an earlier training still counts, as in Keras."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the file."""
        if not self.save_best_only or self.improved(logs):
            path = str(self.filepath).format(epoch=epoch + 1, **(logs or {}))
            if self.verbose:
                print(f"Epoch {epoch + 1}: saving model to {path}")
            if self.save_weights_only:
                self.model.save_weights(path)
            else:
                self.model.save(path)


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate after ``patience`` epochs in a row without an improvement.

    Args:
        monitor, mode, min_delta: As in ``Monitor``.
        factor: Of the learning rate.
        patience: The number of these epochs.
        verbose: Whether to print when it does.
        cooldown: The number of epochs after it that do not count.
        min_lr: The least learning rate.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = check_float("ReduceLROnPlateau", "factor", factor, above=0, below=1)
        self.patience = check_int("ReduceLROnPlateau", "patience", patience, least=0)
        self.verbose, self.cooldown, self.min_lr = verbose, cooldown, min_lr

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start counting."""
        super().on_train_begin()
        self.wait = self.cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Count the epochs without an improvement."""
        if self.cooling:
            self.cooling -= 1
            self.wait = 0
        if self.improved(logs):
            self.wait = 0
        elif not self.cooling:
            self.wait += 1
            rate = float(self.model.optimizer.learning_rate)
            if self.wait >= self.patience and rate > self.min_lr:
                self.model.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                if self.verbose:
                    rate = self.model.optimizer.learning_rate
                    print(f"Epoch {epoch + 1}: reducing the learning rate to {rate:g}")
                self.cooling, self.wait = self.cooldown, 0


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Args:
        schedule: From the epoch, from 0, and the present rate to the rate.
        verbose: Whether to print it.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate."""
        rate = float(self.model.optimizer.learning_rate)
        both = len(inspect.signature(self.schedule).parameters) > 1
        rate = self.schedule(epoch, rate) if both else self.schedule(epoch)
        self.model.optimizer.learning_rate = check_float(
            "LearningRateScheduler", "what schedule returns", rate, least=0
        )
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:g}")


class CSVLogger(Callback):
    """Writes a line of numbers for each epoch.

    Args:
        filename: The file.
        separator: Between the numbers.
        append: Whether an existing file is continued.
    """

    def __init__(self, filename: PathLike, separator: str = ",", append: bool = False) -> None:
        self.filename, self.separator, self.append = filename, separator, append

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin the file."""
        self.columns: list[str] | None = None
        if not self.append:
            open(self.filename, "w", encoding="utf-8").close()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a line, the first time below the names."""
        with open(self.filename, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.separator, lineterminator="\n")
            if self.columns is None:
                self.columns = sorted(logs or {})
                if not file.tell():
                    writer.writerow(["epoch", *self.columns])
            writer.writerow([epoch, *((logs or {}).get(name, "NA") for name in self.columns)])


class TerminateOnNaN(Callback):
    """Does what ``fit`` does anyway: where the loss is NaN the training ends, with an error."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Stop the training at a loss that is no number."""
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            self.model.stop_training = True


__getattr__ = absent(__name__)
