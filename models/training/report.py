"""The history of a training, a row per epoch, and reports of progress."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Sequence
from typing import Any

from ...checks import shown
from ...files import MessageStream, PathLike, write_atomically
from ..text import perplexity_of

History = list[dict[str, float]]


def save_history(path: PathLike, history: Sequence[dict[str, float]]) -> None:
    """Write a history as comma-separated values, atomically."""
    if not history:
        raise ValueError("save_history: the history has no row")
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, fieldnames=list(history[0]))
    table.writeheader()
    table.writerows(history)
    write_atomically(path, text.getvalue())


def summary(loss: float, speed: float, unit: str) -> str:
    """The loss, the perplexity where the unit is tokens, and the speed, as text."""
    perplexity = f", perplexity {perplexity_of(loss):.1f}" if unit == "tokens" else ""
    return f"loss {loss:.3f}{perplexity}, {speed:,.0f} {unit}/s"


NOT_METRICS = ("validation_loss", "validation_perplexity")


class Silence:
    """A report that shows nothing; the base of those that do."""

    def note(self, text: str) -> None:
        """A message."""

    def batch(self, epoch: int, number: int, loss: float, speed: float) -> None:
        """After a batch."""

    def row(self, row: dict[str, float]) -> None:
        """After an epoch."""

    def close(self) -> None:
        """At the end of training."""


def in_notebook() -> bool:
    """Whether this is a kernel of Jupyter, where stderr is shown in red as if it were an error."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


class Report(Silence):
    """A tqdm bar, or a line that is rewritten on a terminal; and a line for each epoch.

    On stderr, so that a program's own output stays apart; in a notebook on stdout.
    """

    def __init__(self, epochs: int, batches: int, unit: str = "tokens") -> None:
        self.epochs, self.batches, self.unit = epochs, batches, unit
        self.stream: Any = MessageStream(sys.stdout if in_notebook() else sys.stderr)
        self.terminal = self.stream.isatty()
        self.bar: Any = None
        self.shown = 0.0
        try:
            from tqdm import tqdm  # type: ignore[import-untyped]
        except ImportError:
            self.tqdm: Any = None
        else:
            # Ctrl-C in the constructor leaves an object whose __del__ reads this attribute.
            self.tqdm = type("tqdm", (tqdm,), {"disable": True})

    def note(self, text: str) -> None:
        """Print a message."""
        print(shown(text, 1000), file=self.stream, flush=True)

    def batch(self, epoch: int, number: int, loss: float, speed: float) -> None:
        """Show the progress, at most ten times a second."""
        title = f"epoch {epoch}/{self.epochs}"
        if self.tqdm is not None:
            if self.bar is None:
                pause = 0.1 if self.terminal else 5.0  # seconds; a log file gets few lines
                self.bar = self.tqdm(
                    total=self.batches,
                    initial=number - 1,  # above 0 where training resumes within an epoch
                    desc=title,
                    leave=False,
                    file=self.stream,
                    mininterval=pause,
                )
            self.bar.set_postfix_str(summary(loss, speed, self.unit), refresh=False)
            self.bar.update()
        elif self.terminal and time.perf_counter() - self.shown > 0.1:
            self.shown = time.perf_counter()
            line = f"{title}, batch {number}/{self.batches}: {summary(loss, speed, self.unit)}"
            print(f"\r{line:<79}", end="", file=self.stream, flush=True)

    def row(self, row: dict[str, float]) -> None:
        """Print the results of an epoch."""
        self.close()
        line = f"epoch {row['epoch']}/{self.epochs}: "
        line += summary(row["loss"], row["tokens_per_second"], self.unit)
        if "validation_loss" in row and self.unit == "tokens":
            line += f"; validation perplexity {row['validation_perplexity']:.1f}"
        elif "validation_loss" in row:
            line += f"; validation loss {row['validation_loss']:.3f}"
        for name, value in row.items():
            if name.startswith("validation_") and name not in NOT_METRICS:
                line += f", {name.removeprefix('validation_')} {value:.4f}"
        self.note(f"{line}; {row['seconds']:.0f} s")

    def close(self) -> None:
        """Remove the bar or the rewritten line."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        elif self.shown:
            print(f"\r{'':<79}\r", end="", file=self.stream, flush=True)
            self.shown = 0.0
