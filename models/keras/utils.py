"""Helpers for data, random numbers and pictures by Keras's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tape, class_ids
from ...checks import check_int
from ...files import PathLike
from .absent import absent
from .models import clone_model
from .preprocessing.sequence import pad_sequences
from .session import clear_session, plain, set_random_seed
from .symbolic import filled, leaves

__all__ = [
    "PyDataset",
    "Sequence",
    "clear_session",
    "clone_model",
    "model_to_dot",
    "normalize",
    "pad_sequences",
    "plot_model",
    "set_random_seed",
    "timeseries_dataset_from_array",
    "to_categorical",
]


def to_categorical(x: Any, num_classes: int | None = None) -> NDArray[np.float32]:
    """Class ids (...) as one-hot vectors, (..., num_classes).

    Args:
        x: Integers.
        num_classes: The number of classes; None for the largest id and 1.

    Example:
        >>> to_categorical([0, 2])
        array([[1., 0., 0.],
               [0., 0., 1.]], dtype=float32)
    """
    ids = np.asarray(x)
    if ids.dtype.kind == "f" and np.array_equal(ids, np.trunc(ids)):
        ids = ids.astype(int)
    if ids.ndim > 1 and ids.shape[-1] == 1:
        ids = ids[..., 0]
    if num_classes is None:
        num_classes = int(ids.max(initial=0)) + 1
    check_int("to_categorical", "num_classes", num_classes)
    return np.eye(num_classes, dtype=np.float32)[
        class_ids(ids, num_classes, "to_categorical", "classes")
    ]


def normalize(x: Any, axis: int = -1, order: int = 2) -> NDArray[Any]:
    """Vectors along an axis divided by their norm."""
    array = plain(x)
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    return np.asarray(array / np.where(norm == 0, 1, norm))


class PyDataset:
    """Base of batches of one's own: ``__len__`` their number, ``__getitem__(i)`` -> (x, y)."""

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, **options: Any) -> None:
        pass

    def __len__(self) -> int:
        raise NotImplementedError(
            f"{type(self).__name__} defines no __len__, the number of batches"
        )

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__(i) -> (x, y)")

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


Sequence = PyDataset


class Windows:
    """Windows of a series in batches, as often as they are iterated over."""

    def __init__(self, data: Any, targets: Any, starts: Any, steps: Any, size: int) -> None:
        self.data, self.targets = data, targets
        self.starts, self.steps, self.size = starts, steps, size

    def __len__(self) -> int:
        return -(-len(self.starts) // self.size)

    def __iter__(self) -> Iterator[Any]:
        for begin in range(0, len(self.starts), self.size):
            starts = self.starts[begin : begin + self.size]
            x = self.data[starts[:, None] + self.steps]
            yield x if self.targets is None else (x, self.targets[starts])


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Windows:
    """Windows of a series as batches, for ``fit``.

    Args:
        data: (time, ...).
        targets: (windows, ...): the target of the window that begins there; None for none.
        sequence_length: The number of positions in a window.
        sequence_stride: The distance of the windows.
        sampling_rate: The distance of a window's positions.
        batch_size: The number of windows in a batch.
        shuffle: Whether the windows are in a random order.
        seed: Of that order.
        start_index, end_index: The positions between which windows lie.
    """
    who = "timeseries_dataset_from_array"
    array = plain(data)[start_index:end_index]
    wanted = None if targets is None else plain(targets)[start_index:end_index]
    length = check_int(who, "sequence_length", sequence_length)
    reach = (length - 1) * check_int(who, "sampling_rate", sampling_rate)
    count = len(array) - reach
    if wanted is not None:
        count = min(count, len(wanted))
    starts = np.arange(0, count, check_int(who, "sequence_stride", sequence_stride))
    if not len(starts):
        raise ValueError(f"{who}: a series of {len(array)} has no window of {length}")
    if shuffle:
        starts = np.random.default_rng(seed).permutation(starts)
    size = check_int(who, "batch_size", batch_size)
    return Windows(array, wanted, starts, np.arange(length) * sampling_rate, size)


def plot_model(model: Any, to_file: PathLike = "model.png", **options: Any) -> Any:
    """Draw a network unrolled over three steps, and write it to a file, ``.svg`` or ``.png``.

    The picture is unspool's: ``unspool.draw`` has its settings. Keras's are ignored.
    """
    drawing = model_to_dot(model)
    drawing.save(to_file)
    return drawing


def model_to_dot(model: Any, **options: Any) -> Any:
    """The drawing of a network unrolled over three steps; ``.source`` is its DOT."""
    from ...viz import draw

    inputs = [filled((1, *t.shape[1:]), 3) for t in model.inputs]
    outputs = model(inputs if len(inputs) > 1 else inputs[0])
    return draw(Tape(*leaves(outputs)))


class np_utils:
    """``to_categorical`` where Keras 1 and 2 have it."""

    to_categorical = staticmethod(to_categorical)
    normalize = staticmethod(normalize)


__getattr__ = absent(__name__)
