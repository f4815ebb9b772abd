"""Schedules: what training's progress does to the learning rate.

A schedule is a function from progress (0 at the first update, below 1 at the last) to a factor of
the optimiser's rate, as ``fit(schedule=)`` takes it. The functions here make such functions, and
put them together; ``Plateau`` is one that also looks at what the training came to. In a loop of
your own, progress is ``update / updates``.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..networks.layers import whole
from .optim import number

__all__ = [
    "Plateau",
    "Schedule",
    "cosine",
    "exponential",
    "in_turn",
    "linear",
    "plateaus",
    "product",
    "step",
    "warm_up",
]

Schedule = Callable[[float], float]


def share(who: str, name: str, value: float) -> float:
    """A part of the training, from 0 to 1, or an error that names it."""
    value = number(who, name, value)
    if value > 1:
        raise ValueError(f"{who}: {name} is a part of the training, from 0 to 1, got {value}")
    return value


def shares(who: str, at: Sequence[float]) -> list[float]:
    """Rising parts of the training, or an error that names them."""
    if isinstance(at, (int, float)):
        raise TypeError(f"{who}: at is a list of parts of the training, as in [0.5, 0.75]")
    times = [share(who, "at", time) for time in at]
    if any(late <= early for early, late in itertools.pairwise(times)):
        raise ValueError(f"{who}: at is in rising order, got {list(at)}")
    return times


def step(at: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> Schedule:
    """Times ``factor`` at each time in ``at``, and even between.

    Args:
        at: When, as parts of the training in rising order.
        factor: What the rate is multiplied with each time, 0 or more.

    Raises:
        ValueError: A setting is out of its range.
        TypeError: ``at`` is one number.

    Example:
        >>> from unspool.models.training.schedules import step
        >>> rate = step(at=[0.5, 0.75], factor=0.5)
        >>> [rate(progress) for progress in (0, 0.49, 0.5, 0.75, 1)]
        [1.0, 1.0, 0.5, 0.25, 0.25]
    """
    times, factor = shares("step", at), number("step", "factor", factor)
    return lambda progress: factor ** bisect.bisect(times, share("step", "progress", progress))


def exponential(end: float = 0.01) -> Schedule:
    """Falls by the same factor over equal times: end^progress, from 1 to ``end``.

    Raises:
        ValueError: ``end`` is not above 0.
    """
    end = number("exponential", "end", end)
    if not end:
        raise ValueError("exponential: end is above 0, which is never reached; linear(1, 0) is")
    return lambda progress: end ** share("exponential", "progress", progress)


def cosine(end: float = 0.0) -> Schedule:
    """From 1 to ``end`` along half a cosine: slowly, fast, slowly.

    end + (1 - end) (1 + cos(π progress)) / 2

    Raises:
        ValueError: ``end`` is negative.

    Source: Loshchilov and Hutter (2017), without restarts.
    """
    end = number("cosine", "end", end)

    def factor(progress: float) -> float:
        progress = share("cosine", "progress", progress)
        return end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2

    return factor


def linear(start: float = 1.0, end: float = 0.0) -> Schedule:
    """Along a straight line from ``start`` to ``end``.

    Raises:
        ValueError: One of them is negative.
    """
    start, end = number("linear", "start", start), number("linear", "end", end)

    def factor(progress: float) -> float:
        progress = share("linear", "progress", progress)
        return (1 - progress) * start + progress * end

    return factor


def warm_up(part: float = 0.1, then: Schedule | None = None, *, start: float = 0.0) -> Schedule:
    """Rises along a line from ``start`` to 1 over the first ``part``; then comes ``then``.

    Args:
        part: How much of the training is for warming up, from 0 to 1.
        then: A schedule for the rest, with its own progress from 0 to 1; None stays at 1.
        start: The first factor; at 0 the first update changes nothing.

    Raises:
        ValueError: A setting is out of its range.

    Source: Goyal et al. (2017).

    Example:
        >>> from unspool.models.training.schedules import cosine, warm_up
        >>> rate = warm_up(0.2, cosine())
        >>> [round(rate(progress), 3) for progress in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    part, rise = share("warm_up", "part", part), linear(number("warm_up", "start", start), 1)
    return in_turn(rise, linear(1, 1) if then is None else then, at=[part])


def in_turn(*schedules: Schedule, at: Sequence[float]) -> Schedule:
    """One schedule after the other; each sees its own progress, from 0 to 1.

    Args:
        *schedules: What comes after what.
        at: When the second, the third, ... begins, as parts of the training in rising order.

    Raises:
        ValueError: There is not one time fewer than there are schedules, or they do not rise.
    """
    times = shares("in_turn", at)
    if len(times) != len(schedules) - 1:
        raise ValueError(
            f"in_turn: {len(schedules)} schedules change {len(schedules) - 1} times, and at has "
            f"{len(times)}"
        )
    begins, ends = [0.0, *times], [*times, 1.0]

    def factor(progress: float) -> float:
        i = bisect.bisect(times, share("in_turn", "progress", progress))
        length = ends[i] - begins[i]  # 0 for one that begins at the very end
        own = (progress - begins[i]) / length if length else 0.0
        return schedules[i](min(own, 1.0))

    return Combined(schedules, factor)


def product(*schedules: Schedule) -> Schedule:
    """All at the same time, their factors multiplied."""
    return Combined(schedules, lambda p: math.prod(schedule(p) for schedule in schedules))


class Combined:
    """A schedule made of others, which can still be seen."""

    def __init__(self, members: Sequence[Schedule], factor: Schedule) -> None:
        self.members, self.factor = members, factor

    def __call__(self, progress: float) -> float:
        """The factor at this progress."""
        return self.factor(progress)


class Plateau:
    """Times ``factor`` whenever the training stops getting better: a schedule with a memory.

    ``fit`` shows it after each pass what is monitored. A value is better than the best so far if
    it is lower by more than ``threshold`` times the best one's size; after more than ``patience``
    values in a row that are not, the rate falls, and the count begins anew.

    Args:
        factor: What the rate is multiplied with each time, from 0 and below 1.
        patience: How many values that are no better are waited through.
        threshold: How much better, as a part of the best, counts.
        cooldown: How many values after a fall are not counted.
        least: The smallest factor in the end.

    Raises:
        ValueError: A setting is out of its range.
        TypeError: A count is no whole number.

    Source: PyTorch's ReduceLROnPlateau, with a relative threshold.

    Example:
        >>> from unspool.models.training.schedules import Plateau
        >>> schedule = Plateau(factor=0.5, patience=1)
        >>> for loss in [3.0, 2.0, 2.1, 2.2]:
        ...     schedule.see(loss)
        >>> schedule(0.4)
        0.5
    """

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        *,
        threshold: float = 1e-4,
        cooldown: int = 0,
        least: float = 0.0,
    ) -> None:
        self.factor = number("Plateau", "factor", factor, below=1)
        self.patience = whole("Plateau", "patience", patience, least=0)
        self.threshold = number("Plateau", "threshold", threshold)
        self.cooldown = whole("Plateau", "cooldown", cooldown, least=0)
        self.least = number("Plateau", "least", least)
        self.now, self.best, self.waited, self.resting = 1.0, math.inf, 0, 0

    def __call__(self, progress: float) -> float:
        """The factor now, whatever the progress."""
        return self.now

    def see(self, value: float) -> None:
        """Look at a value, of which lower is better: after each pass."""
        if math.isinf(self.best) or value < self.best - self.threshold * abs(self.best):
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        if self.resting:
            self.resting -= 1
            self.waited = 0
        if self.waited > self.patience:
            self.now = max(self.now * self.factor, self.least)
            self.waited, self.resting = 0, self.cooldown

    def settings(self) -> list[float]:
        """The arguments that it was made with."""
        return [self.factor, self.patience, self.threshold, self.cooldown, self.least]

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, as plain numbers."""
        return {name: getattr(self, name) for name in ("now", "best", "waited", "resting")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        self.now, self.best = float(state["now"]), float(state["best"])
        self.waited, self.resting = int(state["waited"]), int(state["resting"])


def plateaus(schedule: Any) -> Iterator[Plateau]:
    """The Plateau that a schedule is, or those that it was put together from."""
    if isinstance(schedule, Plateau):
        yield schedule
    for member in getattr(schedule, "members", ()):
        yield from plateaus(member)
