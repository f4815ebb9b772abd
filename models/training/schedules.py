"""Schedules of the learning rate.

A schedule is a function from progress (0 at the first update, below 1 at the last) to a factor of
the optimiser's learning rate, as ``fit(schedule=)`` takes it; in a loop of your own, progress is
``update / updates``. The functions here return schedules; ``Plateau`` is one with a state, which
depends on the monitored values.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...checks import check_float, check_fraction, check_int

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

# From the progress of a training, 0 to 1, to a factor of the learning rate.
Schedule = Callable[[float], float]


def check_part(who: str, name: str, value: Any) -> float:
    """A fraction of the training, from 0 to 1."""
    return check_fraction(who, name, value, what="a fraction of the training")


def check_times(who: str, at: Sequence[float]) -> list[float]:
    """Rising fractions of the training."""
    if isinstance(at, (int, float)):
        raise TypeError(f"{who}: at must be a list of fractions of the training, as in [0.5, 0.75]")
    times = [check_part(who, "at", time) for time in at]
    if any(late <= early for early, late in itertools.pairwise(times)):
        raise ValueError(f"{who}: at must be in rising order, got {list(at)}")
    return times


def checked(who: str, factor: Schedule) -> Schedule:
    """A schedule that checks its progress."""
    return lambda progress: factor(check_part(who, "progress", progress))


def step(at: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> Schedule:
    """Constant between the times in ``at``, multiplied by ``factor`` at each.

    Args:
        at: Rising fractions of the training.
        factor: 0 or more.

    Example:
        >>> from unspool.models.training.schedules import step
        >>> rate = step(at=[0.5, 0.75], factor=0.5)
        >>> [rate(progress) for progress in (0, 0.49, 0.5, 0.75, 1)]
        [1.0, 1.0, 0.5, 0.25, 0.25]
    """
    times, factor = check_times("step", at), check_float("step", "factor", factor, least=0)
    return checked("step", lambda progress: factor ** bisect.bisect(times, progress))


def exponential(end: float = 0.01) -> Schedule:
    """Exponential decay from 1 to ``end``: end^progress."""
    end = check_float("exponential", "end", end, least=0)
    if not end:
        raise ValueError("exponential: end must be above 0; to reach 0, use linear(1, 0)")
    return checked("exponential", lambda progress: end**progress)


def cosine(end: float = 0.0) -> Schedule:
    """Cosine annealing from 1 to ``end``: end + (1 - end) (1 + cos(π progress)) / 2.

    Source: Loshchilov and Hutter (2017), without restarts.
    """
    end = check_float("cosine", "end", end, least=0)
    return checked("cosine", lambda t: end + (1 - end) * (1 + math.cos(math.pi * t)) / 2)


def linear(start: float = 1.0, end: float = 0.0) -> Schedule:
    """Linear from ``start`` to ``end``."""
    start = check_float("linear", "start", start, least=0)
    end = check_float("linear", "end", end, least=0)
    return checked("linear", lambda progress: (1 - progress) * start + progress * end)


def warm_up(part: float = 0.1, then: Schedule | None = None, *, start: float = 0.0) -> Schedule:
    """Linear warm-up from ``start`` to 1 over the first ``part`` of the training.

    Args:
        part: The fraction of the training that is warm-up.
        then: A schedule for the rest, whose progress runs from 0 to 1; None stays at 1.
        start: The first factor; at 0 the first update changes nothing.

    Source: Goyal et al. (2017).

    Example:
        >>> from unspool.models.training.schedules import cosine, warm_up
        >>> rate = warm_up(0.2, cosine())
        >>> [round(rate(progress), 3) for progress in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    part = check_part("warm_up", "part", part)
    rise = linear(check_float("warm_up", "start", start, least=0), 1)
    return in_turn(rise, linear(1, 1) if then is None else then, at=[part])


def in_turn(*schedules: Schedule, at: Sequence[float]) -> Schedule:
    """Schedules in sequence; the progress of each runs from 0 to 1.

    Args:
        *schedules: Two or more.
        at: The rising fractions of the training at which the second, the third, ... begin.
    """
    times = check_times("in_turn", at)
    if len(times) != len(schedules) - 1:
        raise ValueError(
            f"in_turn: at must have {len(schedules) - 1} times for {len(schedules)} schedules, got "
            f"{len(times)}"
        )
    begins, ends = [0.0, *times], [*times, 1.0]

    def factor(progress: float) -> float:
        i = bisect.bisect(times, progress)
        length = ends[i] - begins[i]  # 0 for a schedule that begins at 1
        own = (progress - begins[i]) / length if length else 0.0
        return schedules[i](min(own, 1.0))

    return Combined(schedules, checked("in_turn", factor))


def product(*schedules: Schedule) -> Schedule:
    """The product of the schedules' factors."""
    return Combined(schedules, lambda p: math.prod(schedule(p) for schedule in schedules))


class Combined:
    """A schedule composed of ``members``, in which ``plateaus`` finds the Plateaus."""

    def __init__(self, members: Sequence[Schedule], factor: Schedule) -> None:
        self.members, self.factor = members, factor

    def __call__(self, progress: float) -> float:
        """The factor at this progress."""
        return self.factor(progress)


class Plateau:
    """Reduces the learning rate when the monitored value stops improving.

    ``fit`` calls ``see`` with the monitored value of each epoch. A value is an improvement if it
    is lower than the best so far by more than ``threshold`` times the best one's magnitude. After
    more than ``patience`` values in a row without an improvement the factor is multiplied by
    ``factor``, and the count restarts.

    Args:
        factor: From 0 to below 1.
        patience: The number of values without an improvement that are tolerated.
        threshold: The relative improvement that counts.
        cooldown: The number of values after a reduction that are not counted.
        least: The lower bound of the resulting factor.

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
        self.factor = check_float("Plateau", "factor", factor, least=0, below=1)
        self.patience = check_int("Plateau", "patience", patience, least=0)
        self.threshold = check_float("Plateau", "threshold", threshold, least=0)
        self.cooldown = check_int("Plateau", "cooldown", cooldown, least=0)
        self.least = check_float("Plateau", "least", least, least=0)
        self.now, self.best, self.waited, self.resting = 1.0, math.inf, 0, 0

    def __call__(self, progress: float) -> float:
        """The current factor; the progress is ignored."""
        return self.now

    def see(self, value: float) -> None:
        """Take in an epoch's value; lower is better."""
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
        """The constructor's arguments."""
        return [self.factor, self.patience, self.threshold, self.cooldown, self.least]

    def state_dict(self) -> dict[str, Any]:
        """The state as plain numbers."""
        return {name: getattr(self, name) for name in ("now", "best", "waited", "resting")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.now, self.best = float(state["now"]), float(state["best"])
        self.waited, self.resting = int(state["waited"]), int(state["resting"])


def plateaus(schedule: Any) -> Iterator[Plateau]:
    """The Plateaus in a schedule."""
    if isinstance(schedule, Plateau):
        yield schedule
    for member in getattr(schedule, "members", ()):
        yield from plateaus(member)
