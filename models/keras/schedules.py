"""Keras's schedules of the learning rate: a rate for each update, counted from 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...cells import Configured
from ...checks import check_float
from .absent import absent
from .base import layer

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
]


class LearningRateSchedule(Configured):
    """Base: ``schedule(step)`` is the rate; a subclass defines it."""

    def __call__(self, step: int) -> float:
        """The rate of an update, counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(step)")


class Decay(LearningRateSchedule):
    """Base of the decays by a number of updates.

    Args:
        initial_learning_rate: The first rate.
        decay_steps: A number of updates.
        decay_rate: How much the rate falls in it.
        staircase: Whether it stays the same until the number is reached.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        who = type(self).__name__
        first = check_float(who, "initial_learning_rate", initial_learning_rate, least=0)
        self.initial_learning_rate = first
        self.decay_steps = check_float(who, "decay_steps", decay_steps, above=0)
        self.decay_rate = check_float(who, "decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def progress(self, step: int) -> float:
        """How many times ``decay_steps`` are over."""
        done = step / self.decay_steps
        return math.floor(done) if self.staircase else done


@layer
class ExponentialDecay(Decay):
    """lr r^(t / T)."""

    def __call__(self, step: int) -> float:
        """The rate of an update."""
        return self.initial_learning_rate * float(self.decay_rate ** self.progress(step))


@layer
class InverseTimeDecay(Decay):
    """lr / (1 + r t / T)."""

    def __call__(self, step: int) -> float:
        """The rate of an update."""
        return self.initial_learning_rate / (1 + self.decay_rate * self.progress(step))


@layer
class PolynomialDecay(LearningRateSchedule):
    """From one rate to another along a power of what is left, by default a line.

    Args:
        initial_learning_rate, end_learning_rate: The rates.
        decay_steps: The number of updates.
        power: The power.
        cycle: Whether it begins again, over twice the number of updates, and so on.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = None,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = check_float("PolynomialDecay", "decay_steps", decay_steps, above=0)
        self.end_learning_rate, self.power, self.cycle = end_learning_rate, power, bool(cycle)

    def __call__(self, step: int) -> float:
        """The rate of an update."""
        steps = self.decay_steps
        if self.cycle:
            steps *= max(math.ceil(step / steps), 1)
        left = 1 - min(step, steps) / steps
        span = self.initial_learning_rate - self.end_learning_rate
        return span * float(left**self.power) + self.end_learning_rate


@layer
class CosineDecay(LearningRateSchedule):
    """Half a cosine wave from the first rate down to a part of it, after a linear warm-up.

    Args:
        initial_learning_rate: The first rate.
        decay_steps: The number of updates of the decay.
        alpha: The last rate as a part of the highest.
        warmup_target: The rate to which it rises first; None for no warm-up.
        warmup_steps: The number of updates of the warm-up.

    Source: Loshchilov and Hutter (2017).
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str | None = None,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = check_float("CosineDecay", "decay_steps", decay_steps, above=0)
        self.alpha, self.warmup_target, self.warmup_steps = alpha, warmup_target, warmup_steps

    def __call__(self, step: int) -> float:
        """The rate of an update."""
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step <= self.warmup_steps:
                rise = (self.warmup_target - top) * step / max(self.warmup_steps, 1)
                return top + rise
            top, step = self.warmup_target, step - int(self.warmup_steps)
        wave = (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps)) / 2
        return top * ((1 - self.alpha) * wave + self.alpha)


@layer
class PiecewiseConstantDecay(LearningRateSchedule):
    """Rates that hold up to and with an update each.

    Args:
        boundaries: Updates, in ascending order.
        values: The rates up to each, and the one after the last: one more.
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str | None = None
    ) -> None:
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: expected {len(boundaries) + 1} values, one more than "
                f"boundaries, got {len(values)}"
            )
        self.boundaries, self.values = list(boundaries), list(values)

    def __call__(self, step: int) -> float:
        """The rate of an update."""
        passed = sum(step > boundary for boundary in self.boundaries)
        return float(self.values[passed])


__getattr__ = absent(__name__)
