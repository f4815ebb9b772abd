"""Helpers for data by Keras's names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import class_ids
from ...checks import check_int
from .preprocessing.sequence import pad_sequences

__all__ = ["pad_sequences", "to_categorical"]


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
    if num_classes is None:
        num_classes = int(ids.max(initial=0)) + 1
    check_int("to_categorical", "num_classes", num_classes)
    return np.eye(num_classes, dtype=np.float32)[
        class_ids(ids, num_classes, "to_categorical", "classes")
    ]
