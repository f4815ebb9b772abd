"""Keras's metrics: a function of targets and outputs gives a number for each position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .losses import absolute_terms, like_output, sparse_ids, squared_terms

__all__ = ["METRICS", "accuracy"]

Array = NDArray[Any]


def accuracy(y: Array, output: Array, loss: Any) -> Array:
    """1 where the output is on the target's side of the threshold, or is highest at its class."""
    if output.shape[-1] == 1 or loss == "binary_crossentropy":
        threshold = 0.0 if loss in ("hinge", "squared_hinge") else 0.5
        y = like_output("accuracy", y, output)
        return np.asarray(((output > threshold) == (y > threshold)).mean(-1))
    if y.shape == output.shape:
        return np.asarray(output.argmax(-1) == y.argmax(-1))
    return np.asarray(output.argmax(-1) == sparse_ids("accuracy", y, output))


METRICS: dict[str, Callable[[Array, Array, Any], Array]] = {
    "accuracy": accuracy,
    "acc": accuracy,
    "mse": lambda y, output, loss: squared_terms(y, output, None),
    "mae": lambda y, output, loss: absolute_terms(y, output, None),
}
