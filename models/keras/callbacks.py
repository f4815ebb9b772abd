"""What ``fit(callbacks=)`` calls after each epoch."""

from __future__ import annotations

import math
from typing import Any

from ...cells import Module
from ...checks import check_choice, check_int
from ...files import PathLike

__all__ = ["Callback", "EarlyStopping", "History", "ModelCheckpoint"]

Logs = dict[str, float]


class Callback:
    """Base of the callbacks.

    Attributes:
        model: The network in training; its ``stop_training = True`` ends the training.
    """

    model: Any

    def on_train_begin(self) -> None:
        """Called once, before the first epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Called with the epoch, from 0, and its loss and metrics, those of validation too."""

    def on_train_end(self) -> None:
        """Called once, after the last epoch."""


class History(Callback):
    """The numbers of each epoch; ``fit`` returns one.

    Attributes:
        epoch: The epochs, from 0.
        history: By name ("loss", "accuracy", "val_loss", ...) a number per epoch.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Append the epoch's numbers."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


class Monitor(Callback):
    """Base of the callbacks that look for the best epoch.

    Args:
        monitor: The name of a number, such as "val_loss".
        mode: "min", "max", or "auto": "max" for a name that holds "acc", else "min".
        min_delta: The least change that is an improvement.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        name = type(self).__name__
        check_choice(name, "mode", mode, ("auto", "min", "max"))
        self.monitor, self.min_delta = monitor, abs(min_delta)
        self.sign = -1 if mode == "max" or (mode == "auto" and "acc" in monitor) else 1

    def on_train_begin(self) -> None:
        """Forget the best value of an earlier training."""
        self.best = math.inf

    def improved(self, logs: Logs) -> bool:
        """Whether the monitored number is the best so far."""
        if self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__}: monitor must be one of {', '.join(logs)}, got "
                f"{self.monitor!r}"
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
        restore_best_weights: Whether the network ends with the parameters of its best epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = check_int("EarlyStopping", "patience", patience, least=0)
        self.restore_best_weights = restore_best_weights

    def on_train_begin(self) -> None:
        """Start counting."""
        super().on_train_begin()
        self.waited = 0
        self.weights: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Count the epochs without an improvement."""
        self.waited += 1
        if self.improved(logs):
            self.waited = 0
            if self.restore_best_weights:
                self.weights = self.model.state_dict()
        elif self.waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self) -> None:
        """Restore the best parameters, if asked for."""
        if self.weights is not None:
            self.model.load_state_dict(self.weights)


class ModelCheckpoint(Monitor):
    """Writes the parameters to a file after each epoch.

    Args:
        filepath: The file, ``.npz`` or ``.safetensors``; ``{epoch}`` (from 1) and names of
            numbers in it are filled in, as in "model-{epoch:02d}-{val_loss:.2f}.npz".
        monitor, mode: As in ``Monitor``.
        save_best_only: Whether to write only after an improvement.
    """

    def __init__(
        self,
        filepath: PathLike,
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath, self.save_best_only = filepath, save_best_only

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write the file."""
        if not self.save_best_only or self.improved(logs):
            network: Module = self.model
            network.save(str(self.filepath).format(epoch=epoch + 1, **logs))
