"""What ``fit``, ``evaluate`` and ``predict`` take: arrays, or batches from a generator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd import values
from ...checks import check_int, describe_received
from .symbolic import leaves, mapped

Array = NDArray[Any]


class Batch(NamedTuple):
    """Inputs, targets and weights: an array each, or a list or dict of arrays; None for none."""

    x: Any
    y: Any
    weight: Any

    @property
    def size(self) -> int:
        """The number of instances."""
        return len(next(leaves(self.x)))


def as_array(who: str, name: str, x: Any) -> Array:
    """Data as an array; a ragged list raises a ValueError that names the cure."""
    try:
        array = np.asarray(values(x))
    except ValueError as error:
        raise ValueError(
            f"{who}: {name} is no array: {error}; pad lists of different length with pad_sequences"
        ) from None
    if array.dtype == object:
        raise ValueError(
            f"{who}: {name} holds objects, such as lists of different length; pad them with "
            "pad_sequences"
        )
    return array


class ArrayData:
    """Arrays that are cut into batches.

    Args:
        batch: All of the data.
        size: The number of instances in a batch.
        shuffle: Whether each epoch has its own random order.
        rng: Of that order.
    """

    def __init__(self, batch: Batch, size: int, shuffle: bool, rng: np.random.Generator) -> None:
        self.all, self.size, self.shuffle, self.rng = batch, size, shuffle, rng

    def __len__(self) -> int:
        return -(-self.all.size // self.size)

    def __iter__(self) -> Iterator[Batch]:
        n = self.all.size
        order = self.rng.permutation(n) if self.shuffle else np.arange(n)
        for begin in range(0, n, self.size):
            rows = order[begin : begin + self.size]
            yield Batch(*(mapped(taken(rows), part) for part in self.all))


def taken(rows: Any) -> Callable[[Any], Any]:
    """A function from an array, or None, to some of its instances."""
    return lambda a: None if a is None else a[rows]


class BatchData:
    """Batches from a generator, a ``keras.utils.Sequence`` or another iterable.

    Args:
        who: For messages.
        source: Of tuples (x, y) or (x, y, weights).
        steps: The number of batches in an epoch; needed for a generator without end.
        check: From such a tuple to a Batch.
    """

    def __init__(self, who: str, source: Any, steps: int | None, check: Any) -> None:
        self.who, self.source, self.check = who, source, check
        endless = hasattr(source, "__next__")
        if steps is None and endless:
            raise ValueError(
                f"{who}: how long is an epoch of this generator? give steps_per_epoch=, the number "
                "of batches (steps= in evaluate and predict)"
            )
        if steps is None and not hasattr(source, "__len__"):
            source = self.source = list(source)
        self.steps = len(source) if steps is None else check_int(who, "steps", steps)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        if hasattr(self.source, "__next__"):
            batches: Iterable[Any] = self.source
        elif hasattr(self.source, "__getitem__"):
            batches = (self.source[i % len(self.source)] for i in range(self.steps))
        else:
            batches = iter(self.source)
        for count, batch in enumerate(batches):
            yield self.check(self.who, batch)
            if count + 1 == self.steps:
                break
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()


def is_batches(x: Any) -> bool:
    """Whether data come batch by batch."""
    if isinstance(x, (np.ndarray, list, tuple, dict)) or hasattr(x, "__array__"):
        return False
    return hasattr(x, "__next__") or hasattr(x, "__getitem__") or hasattr(x, "__iter__")


def class_weights(who: str, y: Any, given: Mapping[int, float]) -> Array:
    """The weight of each instance by its class, for class ids or one-hot targets."""
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{who}: class_weight must be a dict from classes to weights, as in {{0: 1.0, 1: 5.0}},"
            f" got {describe_received(given)}"
        )
    array = np.asarray(y)
    if array.ndim > 1 and array.shape[-1] > 1:
        array = array.argmax(-1)
    elif array.ndim > 1:
        array = array[..., 0]
    ids = array.astype(int)
    table = {int(key): float(weight) for key, weight in given.items()}
    return np.array([table.get(int(i), 1.0) for i in ids.ravel()]).reshape(ids.shape)


def split(who: str, batch: Batch, part: float) -> tuple[Batch, Batch]:
    """The first instances, and the last ones for validation."""
    n = batch.size
    cut = int(n * (1 - part))
    if not 0 < cut < n:
        raise ValueError(
            f"{who}: validation_split must be a fraction of the {n} instances that leaves some "
            f"for training and for validation, got {part}"
        )
    first, last = (
        Batch(*(mapped(taken(rows), part) for part in batch))
        for rows in (slice(None, cut), slice(cut, None))
    )
    return first, last
