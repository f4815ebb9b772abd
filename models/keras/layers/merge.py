"""Layers that make one tensor of several."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..base import Layer, layer
from ..symbolic import shown


class Merge(Layer):
    """Base: the tensors, of shapes that broadcast, are combined from left to right."""

    function: Any = None

    def check(self, input_shape: Any) -> None:
        """Raise ValueError unless there are several inputs."""
        if not isinstance(input_shape, list) or len(input_shape) < 2:
            raise ValueError(
                f"{type(self).__name__}: expected a list of two tensors or more, as in "
                f"{type(self).__name__}()([a, b]), got {shown(input_shape)}"
            )

    def call(self, inputs: Any) -> Any:
        """The combination."""
        return functools.reduce(type(self).function, inputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """A position is real where it is real in all inputs that have a mask."""
        found = [m for m in mask if m is not None] if isinstance(mask, list) else []
        return functools.reduce(np.logical_and, found) if found else None


@layer
class Add(Merge):
    """The sum."""

    function = np.add


@layer
class Subtract(Merge):
    """The first minus the second."""

    function = np.subtract

    def check(self, input_shape: Any) -> None:
        """Raise ValueError unless there are two inputs."""
        super().check(input_shape)
        if len(input_shape) != 2:
            raise ValueError(f"Subtract: expected a list of two tensors, got {len(input_shape)}")


@layer
class Multiply(Merge):
    """The product of the elements."""

    function = np.multiply


@layer
class Average(Merge):
    """The mean."""

    function = np.add

    def call(self, inputs: Any) -> Any:
        """The mean."""
        return super().call(inputs) / len(inputs)


@layer
class Maximum(Merge):
    """The larger element."""

    function = np.maximum


@layer
class Minimum(Merge):
    """The smaller element."""

    function = np.minimum


@layer
class Concatenate(Merge):
    """Side by side along an axis.

    Args:
        axis: The axis, by default the last one.
        **options: Those of ``Layer``.
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        """The concatenation."""
        return np.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Along time the masks side by side, else where all are real."""
        if mask is None or self.axis not in (1, 1 - inputs[0].ndim):
            return super().compute_mask(inputs, mask)
        parts = [
            np.ones(x.shape[:2], bool) if m is None else m
            for x, m in zip(inputs, mask, strict=True)
        ]
        return np.concatenate(parts, axis=1)


@layer
class Dot(Merge):
    """Products summed over an axis of each of two tensors, batch by batch.

    Args:
        axes: The axis of both, or a tuple of one for each.
        normalize: Whether to divide by the norms first, which gives the cosine.
        **options: Those of ``Layer``.
    """

    def __init__(self, axes: Any, normalize: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.axes: Any = axes
        self.normalize = bool(normalize)

    def call(self, inputs: Any) -> Any:
        """(batch, the other axes of the first, those of the second); (batch, 1) where none is."""
        a, b = inputs
        axes: Any = self.axes
        one, other = (axes, axes) if isinstance(axes, int) else axes
        one, other = one % a.ndim, other % b.ndim
        if self.normalize:
            a, b = (
                x / np.maximum(np.sqrt(np.sum(x * x, axis=axis, keepdims=True)), 1e-6)
                for x, axis in ((a, one), (b, other))
            )
        letters = iter("ijklmnopq")
        first = ["z", *(next(letters) for _ in range(a.ndim - 1))]
        second = ["z", *(next(letters) for _ in range(b.ndim - 1))]
        second[other] = first[one]
        left = [c for c in first[1:] if c != first[one]] + [
            c for c in second[1:] if c != first[one]
        ]
        y = np.einsum(f"{''.join(first)},{''.join(second)}->z{''.join(left)}", a, b)
        return y if left else y[:, None]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None."""
        return None


def add(inputs: Any, **options: Any) -> Any:
    """``Add`` as a function."""
    return Add(**options)(inputs)


def subtract(inputs: Any, **options: Any) -> Any:
    """``Subtract`` as a function."""
    return Subtract(**options)(inputs)


def multiply(inputs: Any, **options: Any) -> Any:
    """``Multiply`` as a function."""
    return Multiply(**options)(inputs)


def average(inputs: Any, **options: Any) -> Any:
    """``Average`` as a function."""
    return Average(**options)(inputs)


def maximum(inputs: Any, **options: Any) -> Any:
    """``Maximum`` as a function."""
    return Maximum(**options)(inputs)


def minimum(inputs: Any, **options: Any) -> Any:
    """``Minimum`` as a function."""
    return Minimum(**options)(inputs)


def concatenate(inputs: Any, axis: int = -1, **options: Any) -> Any:
    """``Concatenate`` as a function."""
    return Concatenate(axis, **options)(inputs)


def dot(inputs: Any, axes: Any = -1, **options: Any) -> Any:
    """``Dot`` as a function."""
    return Dot(axes, **options)(inputs)
