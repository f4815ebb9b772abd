"""Layers that move numbers: other shapes, other orders of axes, repetition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....checks import check_int
from ..base import Layer, layer
from ..symbolic import shown


class Reshaping(Layer):
    """Base: the axes mean something else afterwards, so no mask is passed on."""

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None."""
        return None


@layer
class Flatten(Reshaping):
    """All axes but the batch as one."""

    def call(self, inputs: Any) -> Any:
        """(batch, n)."""
        return np.reshape(inputs, (len(inputs), -1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, n); n is None where a length is open."""
        batch, *rest = input_shape
        return (batch, None if None in rest else math.prod(rest))


@layer
class Reshape(Reshaping):
    """Another shape without the batch; one -1 in it is what is left.

    Args:
        target_shape: The shape.
        **options: Those of ``Layer``.
    """

    def __init__(self, target_shape: Any, **options: Any) -> None:
        super().__init__(**options)
        shape = (target_shape,) if isinstance(target_shape, int) else target_shape
        self.target_shape = tuple(shape)

    def call(self, inputs: Any) -> Any:
        """``(batch, *target_shape)``."""
        return np.reshape(inputs, (len(inputs), *self.target_shape))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """``(batch, *target_shape)``, -1 filled in where it is known."""
        batch, *rest = input_shape
        target = self.target_shape
        if -1 not in target:
            return (batch, *target)
        known = math.prod(n for n in target if n != -1)
        left = None if None in rest else math.prod(rest) // known
        return (batch, *(left if n == -1 else n for n in target))


@layer
class Permute(Reshaping):
    """Another order of the axes behind the batch, counted from 1, as in ``Permute((2, 1))``."""

    def __init__(self, dims: Any, **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute: dims must be the axes from 1 in another order, as (2, 1), got {dims}"
            )

    def call(self, inputs: Any) -> Any:
        """The axes in their new order."""
        return np.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The lengths in their new order."""
        return (input_shape[0], *(input_shape[i] for i in self.dims))


@layer
class RepeatVector(Reshaping):
    """A vector n times: (batch, features) to (batch, n, features)."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = check_int("RepeatVector", "n", n)

    def check(self, input_shape: Any) -> None:
        """Raise ValueError unless the input is (batch, features)."""
        if len(input_shape) != 2:
            raise ValueError(
                f"RepeatVector: expected (batch, features), got {shown(input_shape)}; the layer "
                "before needs return_sequences=False"
            )

    def call(self, inputs: Any) -> Any:
        """(batch, n, features)."""
        return np.repeat(inputs[:, None], self.n, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, n, features)."""
        return (input_shape[0], self.n, input_shape[1])
