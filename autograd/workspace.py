"""Workspace: intermediate arrays that the matrix products of one backward pass share.

For speed only: the results are those of ``b.T`` and ``np.concatenate``.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from .tensor import Array, Tensor

MANY = 1 << 18  # numbers: gradients of more are not buffered, nor cached when joined


class Workspace:
    """Caches of one backward pass.

    BLAS takes g @ Wᵀ for 16 to 128 rows in half the time when the transpose is contiguous, and
    a recurrent weight is used at every step. The gates of a cell read the same inputs, and a
    gate's three weights have the same gradients, so their rows are concatenated once.

    Attributes:
        transposes: id of an array -> [the array, its transpose or None].
        joins: ids of arrays -> (the arrays, their concatenated rows).
    """

    def __init__(self) -> None:
        self.transposes: dict[int, list[Any]] = {}
        self.joins: dict[tuple[int, ...], tuple[Any, Any]] = {}

    def joined(self, arrays: list[Array]) -> Array:
        """``np.concatenate(arrays)``, cached for the next few calls."""
        key = tuple(map(id, arrays))
        cached = self.joins.get(key)
        if cached is None and sum(a.size for a in arrays) > MANY:
            return np.concatenate(arrays)
        if cached is None:
            if len(self.joins) == 8:  # a cell's gates ask within a few calls of each other
                del self.joins[next(iter(self.joins))]
            # The entry holds the arrays, so that no other array can get the id of one of them.
            self.joins[key] = cached = tuple(arrays), np.concatenate(arrays)
        return cached[1]


current_workspace: ContextVar[Workspace | None] = ContextVar("unspool_workspace", default=None)


def transposed(b: Any) -> Any:
    """``b.T`` for a product with a gradient, contiguous from its second use in a pass on."""
    space = current_workspace.get()
    if space is None or isinstance(b, Tensor):
        return b.T
    cached = space.transposes.get(id(b))
    if cached is None:
        space.transposes[id(b)] = [b, None]
        return b.T
    if cached[1] is None:
        cached[1] = np.ascontiguousarray(b.T)
    return cached[1]


def joined(arrays: list[Any]) -> Any:
    """The rows of all arrays, concatenated."""
    if len(arrays) == 1:
        return arrays[0]
    space = current_workspace.get()
    if space is None or isinstance(arrays[0], Tensor):
        return np.concatenate(arrays)
    return space.joined(arrays)
