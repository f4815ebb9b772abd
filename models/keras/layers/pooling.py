"""Pooling over time: over windows, or over all real positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....autograd import max_over_time, scope
from ....checks import check_choice, check_int
from ..base import layer
from .core import Wide


def one_number(who: str, name: str, value: Any, least: int = 1) -> int:
    """An integer, also as a tuple or list of this one."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        (value,) = value
    return check_int(who, name, value, least)


def pool_windows(length: int, size: int, stride: int, padding: str) -> tuple[int, int, int]:
    """The number of outputs of a window that moves along ``length``, and the padding of both ends.

    As TensorFlow's "same": the outputs are length / stride, rounded up, and the end gets the
    larger half of the padding.
    """
    if padding == "same":
        count = -(-length // stride)
        missing = max((count - 1) * stride + size - length, 0)
        return count, missing // 2, missing - missing // 2
    return max((length - size) // stride + 1, 0), 0, 0


class Pooling(Wide):
    """Base of the poolings of windows.

    Args:
        pool_size: The number of positions in a window.
        strides: The distance of the windows; None for ``pool_size``.
        padding: "valid" or "same".
        **options: Those of ``Layer``.
    """

    axes = 3

    def __init__(
        self, pool_size: int = 2, strides: int | None = None, padding: str = "valid", **options: Any
    ) -> None:
        who = type(self).__name__
        super().__init__(**options)
        self.pool_size = one_number(who, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else one_number(who, "strides", strides)
        self.padding = check_choice(who, "padding", padding, ("valid", "same"))

    def pooled(self, windows: Any, real: Any) -> Any:
        """Windows (batch, windows, pool_size, features) to (batch, windows, features)."""
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        """The windows, pooled; positions beyond the ends do not count."""
        time = inputs.shape[1]
        count, before, _ = pool_windows(time, self.pool_size, self.strides, self.padding)
        at = np.arange(count)[:, None] * self.strides + np.arange(self.pool_size) - before
        real = (at >= 0) & (at < time)
        return self.pooled(inputs[:, np.clip(at, 0, time - 1)], real[..., None])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """A window is real where one of its positions is."""
        if mask is None:
            return None
        time = mask.shape[1]
        count, before, _ = pool_windows(time, self.pool_size, self.strides, self.padding)
        at = np.arange(count)[:, None] * self.strides + np.arange(self.pool_size) - before
        return (mask[:, np.clip(at, 0, time - 1)] & (at >= 0) & (at < time)).any(-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, windows, features)."""
        batch, time, width = input_shape
        if time is not None:
            time = pool_windows(time, self.pool_size, self.strides, self.padding)[0]
        return (batch, time, width)


@layer
class MaxPooling1D(Pooling):
    """The maximum of each feature in each window."""

    def pooled(self, windows: Any, real: Any) -> Any:
        """The maxima."""
        with scope("max"):
            return np.max(np.where(real, windows, -np.inf), axis=2)


@layer
class AveragePooling1D(Pooling):
    """The mean of each feature in each window."""

    def pooled(self, windows: Any, real: Any) -> Any:
        """The means over the positions that exist."""
        with scope("mean"):
            count = real.sum(1).astype(windows.dtype)
            return np.sum(np.where(real, windows, 0), axis=2) / count


class GlobalPooling(Wide):
    """Base of the poolings over all real positions: (batch, time, features) to (batch, features).

    Args:
        data_format: Features are on the last axis.
        keepdims: Whether a time axis of length 1 stays.
        **options: Those of ``Layer``.
    """

    axes = 3

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **options: Any
    ) -> None:
        if data_format not in (None, "channels_last"):
            options["data_format"] = data_format
        super().__init__(**options)
        self.keepdims = bool(keepdims)

    def pooled(self, x: Any, mask: Any) -> Any:
        """(batch, time, features) to (batch, features)."""
        raise NotImplementedError

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The pooled features."""
        y = self.pooled(inputs, mask)
        return y[:, None] if self.keepdims else y

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: no time axis is left."""
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, features)."""
        batch, _, width = input_shape
        return (batch, 1, width) if self.keepdims else (batch, width)


@layer
class GlobalMaxPooling1D(GlobalPooling):
    """The maximum of each feature over the real positions; 0 if there is none."""

    def pooled(self, x: Any, mask: Any) -> Any:
        """The maxima."""
        with scope("max"):
            return max_over_time(x, mask)


@layer
class GlobalAveragePooling1D(GlobalPooling):
    """The mean of each feature over the real positions; 0 if there is none."""

    def pooled(self, x: Any, mask: Any) -> Any:
        """The means."""
        with scope("mean"):
            if mask is None:
                return np.mean(x, axis=-2)
            total = np.sum(np.where(mask[..., None], x, 0), axis=-2)
            return total / np.maximum(mask.sum(-1, keepdims=True), 1).astype(x.dtype)
