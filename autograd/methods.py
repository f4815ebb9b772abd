"""NumPy's methods: ``x.sum()`` is ``np.sum(x)``, and so on for every name that an array has.

A base class of Tensor. Each method calls NumPy's function of the same name, which is recorded.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayMethods"]

Array = NDArray[Any]
T = TypeVar("T")
numpy: Any = np  # NumPy's stubs promise arrays; given Tensors its functions return Tensors


class ArrayMethods(Generic[T]):
    """The methods that arrays have, each with a T (the subclass, Tensor) for a result."""

    __slots__ = ()

    data: Array

    # fmt: off
    def sum(self, axis: Any = None, keepdims: bool = False, **options: Any) -> T:
        """``np.sum``."""
        return numpy.sum(self, axis=axis, keepdims=keepdims, **options)
    def mean(self, axis: Any = None, keepdims: bool = False, **options: Any) -> T:
        """``np.mean``."""
        return numpy.mean(self, axis=axis, keepdims=keepdims, **options)
    def max(self, axis: Any = None, keepdims: bool = False, **options: Any) -> T:
        """``np.max``; ties share the gradient evenly."""
        return numpy.max(self, axis=axis, keepdims=keepdims, **options)
    def min(self, axis: Any = None, keepdims: bool = False, **options: Any) -> T:
        """``np.min``; ties share the gradient evenly."""
        return numpy.min(self, axis=axis, keepdims=keepdims, **options)
    def prod(self, axis: Any = None, keepdims: bool = False, **options: Any) -> T:
        """``np.prod``."""
        return numpy.prod(self, axis=axis, keepdims=keepdims, **options)
    def var(
        self, axis: Any = None, ddof: int = 0, keepdims: bool = False, **options: Any
    ) -> T:
        """``np.var``."""
        return numpy.var(self, axis=axis, ddof=ddof, keepdims=keepdims, **options)
    def std(
        self, axis: Any = None, ddof: int = 0, keepdims: bool = False, **options: Any
    ) -> T:
        """``np.std``; its gradient is 0 where the deviation is."""
        return numpy.std(self, axis=axis, ddof=ddof, keepdims=keepdims, **options)
    def cumsum(self, axis: int | None = None) -> T:
        """``np.cumsum``."""
        return numpy.cumsum(self, axis=axis)
    def cumprod(self, axis: int | None = None) -> T:
        """``np.cumprod``."""
        return numpy.cumprod(self, axis=axis)
    def clip(self, min: Any = None, max: Any = None) -> T:
        """``np.clip``; the gradient is 1 at the bounds, as in PyTorch."""
        return numpy.clip(self, min, max)
    def round(self, decimals: int = 0) -> T:
        """``np.round``, with gradient 0."""
        return numpy.round(self, decimals)
    def dot(self, other: Any) -> T:
        """``np.dot``."""
        return numpy.dot(self, other)
    def reshape(self, *shape: Any, order: str | None = None) -> T:
        """``np.reshape``; the lengths singly or as one tuple."""
        return numpy.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)
    def ravel(self, order: str | None = None) -> T:
        """``np.ravel``."""
        return numpy.reshape(self, -1, order=order)
    def flatten(self, order: str | None = None) -> T:
        """``np.ravel``."""
        return numpy.reshape(self, -1, order=order)
    def transpose(self, *axes: Any) -> T:
        """``np.transpose``; the axes singly or as one tuple, none for the reverse order."""
        return numpy.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)
    def swapaxes(self, axis1: int, axis2: int) -> T:
        """``np.swapaxes``."""
        return numpy.swapaxes(self, axis1, axis2)
    def squeeze(self, axis: Any = None) -> T:
        """``np.squeeze``."""
        return numpy.squeeze(self, axis)
    def repeat(self, repeats: Any, axis: int | None = None) -> T:
        """``np.repeat``."""
        return numpy.repeat(self, repeats, axis)
    def take(self, indices: Any, axis: int | None = None) -> T:
        """``np.take``."""
        return numpy.take(self, indices, axis)
    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> T:
        """``np.diagonal``."""
        return numpy.diagonal(self, offset, axis1, axis2)
    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> T:
        """``np.trace``."""
        return numpy.trace(self, offset, axis1, axis2)
    def ptp(self, axis: Any = None, keepdims: bool = False) -> T:
        """``np.ptp``, the maximum less the minimum."""
        return numpy.ptp(self, axis=axis, keepdims=keepdims)
    def copy(self) -> T:
        """``np.copy``."""
        return numpy.copy(self)
    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Array:
        """``np.argmax``, a plain array of integers."""
        return np.asarray(np.argmax(self.data, axis, keepdims=keepdims))
    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Array:
        """``np.argmin``, a plain array of integers."""
        return np.asarray(np.argmin(self.data, axis, keepdims=keepdims))
    def argsort(self, axis: int = -1) -> Array:
        """``np.argsort``, a plain array of integers."""
        return self.data.argsort(axis)
    def nonzero(self) -> tuple[Array, ...]:
        """``np.nonzero``, plain arrays of integers."""
        return self.data.nonzero()
    def any(self, axis: Any = None, keepdims: bool = False) -> Array:
        """``np.any``, a plain array of booleans."""
        return numpy.asarray(self.data.any(axis, keepdims=keepdims))
    def all(self, axis: Any = None, keepdims: bool = False) -> Array:
        """``np.all``, a plain array of booleans."""
        return numpy.asarray(self.data.all(axis, keepdims=keepdims))
    # fmt: on
