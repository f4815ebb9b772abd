"""Accumulation of gradients: the sum of the contributions to each operand in a backward pass.

An operand that several records use gets a contribution from each. Most are added at once. The
contributions to a weight that every time step uses are cheaper together, as one product over
many rows in place of many small ones: they are buffered, and a batch rule sums them when the
buffer is flushed.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .messages import describe
from .numpy_core import unbroadcast
from .tensor import BatchRule, Tensor
from .workspace import MANY, joined

# A buffer of "rows" is flushed at BUFFER_ROWS rows, or at BUFFER_NUMBERS numbers if that is later:
# a product or sum over them is as fast as one over more, fits the processor's cache, and lets the
# gradients of the steps that the pass has visited be freed. It never holds more than MANY numbers.
BUFFER_ROWS = 256
BUFFER_NUMBERS = 16_384


class Buffer(list[Any]):
    """Contributions to one operand that wait to be summed by one batch rule.

    Attributes:
        operand: The operand, as its batch rule reads it.
        rule: ``rule(contributions, operand)`` is the sum of their gradients.
        limit: How many contributions are buffered before they are summed, at least two.
    """

    __slots__ = ("limit", "operand", "rule")

    def __init__(self, operand: Any, rule: BatchRule, limit: int) -> None:
        self.operand, self.rule, self.limit = operand, rule, limit

    def flush(self) -> Any:
        """Sum the contributions and empty the buffer."""
        contributions = list(self)
        self.clear()
        return self.rule(contributions, self.operand)


class Accumulator:
    """The gradients of a backward pass so far, Tensor by Tensor.

    Args:
        recorded: Whether the pass is recorded, so that gradients are Tensors.
        check: The anomaly check, or None.

    Attributes:
        gradients: Tensor -> the sum so far.
        buffers: Tensor -> batch rule -> the contributions that are not yet summed.
    """

    __slots__ = ("buffers", "check", "gradients", "owned", "recorded")

    def __init__(self, recorded: bool = False, check: Callable[..., None] | None = None) -> None:
        self.recorded, self.check = recorded, check
        self.gradients: dict[Tensor, Any] = {}
        self.buffers: dict[Tensor, dict[BatchRule, Buffer]] = {}
        self.owned: set[Tensor] = set()  # whose sum is in an array that nobody else has: += it

    def add(self, x: Tensor, g: Any) -> None:
        """Add a gradient of x's shape."""
        so_far = self.gradients.get(x)
        if so_far is None:
            self.gradients[x] = g
            return
        if self.check:
            self.check_sum(x, (so_far, g), so_far + g)
        if x in self.owned:
            so_far += g
        else:
            self.gradients[x] = so_far = so_far + g
            if type(so_far) is np.ndarray:
                self.owned.add(x)

    def accumulate(self, x: Tensor, g: Any, elementwise: bool) -> None:
        """Add a gradient that a rule returned for x; one that is to be un-broadcast is buffered."""
        if elementwise and g.shape != x.data.shape:
            self.buffer(x, sum_broadcast, g, g, "rows" if is_row(x.data) else "operand")
        elif x in self.gradients:
            self.add(x, g)
        else:
            self.gradients[x] = g

    def buffer(self, x: Tensor, rule: BatchRule, contribution: Any, g: Any, until: str) -> None:
        """Buffer a contribution to x, and flush the buffer once it is full.

        Args:
            x: The operand.
            rule: The batch rule that will sum it.
            contribution: As the batch rule reads it: a tuple that begins with g, or g.
            g: Its gradient.
            until: ``Op.buffer_until``.
        """
        buffers = self.buffers.get(x)
        if buffers is None:
            buffers = self.buffers[x] = {}
        waiting = buffers.get(rule)
        if waiting is None:
            limit = buffer_limit(g.shape, until, x.data.shape)
            waiting = buffers[rule] = Buffer(x if self.recorded else x.data, rule, limit)
            waiting.append(contribution)
            return
        waiting.append(contribution)
        if len(waiting) >= waiting.limit:
            self.flush(x, rule)

    def flush(self, x: Tensor, rule: BatchRule) -> None:
        """Sum the contributions that are buffered for a batch rule."""
        waiting = self.buffers[x].pop(rule)
        parts = [c[0] if isinstance(c, tuple) else c for c in waiting] if self.check else []
        g = waiting.flush()
        if self.check and not isinstance(g, list):
            self.check_sum(x, parts, g)
        self.add(x, g)

    def finish(self, x: Tensor) -> Any:
        """The finished gradient of x, in its dtype; None if nothing was added."""
        if x in self.buffers:
            for rule in list(self.buffers[x]):
                self.flush(x, rule)
        g = self.gradients.pop(x, None)
        if g is not None and g.dtype is not x.data.dtype:
            wide, g = g, g.astype(x.data.dtype)
            if self.check:
                self.check("cast", (wide,), g, (), f"gradients of {describe(x)}")
        return g

    def check_sum(self, x: Tensor, parts: Any, g: Any) -> None:
        """The anomaly check of a sum."""
        assert self.check is not None
        self.check("sum of the gradients", (x, *parts), g, (), f"gradients of {describe(x)}")


def buffer_limit(shape: tuple[int, ...], until: str, operand: tuple[int, ...]) -> int:
    """How many contributions with gradients of this shape are buffered for an operand.

    Slices and rows of the operand are buffered until they have its size together: one array of
    zeros then receives them all.
    """
    size = max(math.prod(shape), 1)
    if until == "all":
        return sys.maxsize
    if until == "operand":
        return max(math.prod(operand) // size, 1)
    rows = shape[0] if len(shape) > 1 else 1  # of a sequence its batch: a step more or less
    most = max(MANY // size, 1)
    return min(max(BUFFER_ROWS // max(rows, 1), BUFFER_NUMBERS // size, 1), most)


def is_row(x: Any) -> bool:
    """Whether an operand is a number, or has length 1 along all axes but the last, as a bias."""
    return not x.ndim or bool(x.size == x.shape[-1])


def sum_broadcast(contributions: list[Any], x: Any) -> Any:
    """The batch rule of a broadcast operand: its gradients, summed to its shape."""
    g = contributions[0]
    if len(contributions) == 1:
        return unbroadcast(g, shape=x.shape)
    first_axis_is_summed = g.ndim > x.ndim or x.shape[0] == 1
    alike = all(other.shape[1:] == g.shape[1:] for other in contributions)
    if is_row(x) and first_axis_is_summed and alike:
        return unbroadcast(joined(contributions), shape=x.shape)  # a bias: one sum
    return functools.reduce(operator.add, (unbroadcast(g, shape=x.shape) for g in contributions))
