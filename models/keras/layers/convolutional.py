"""Convolution over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....autograd import Parameter, conv1d, values
from ....checks import check_choice, check_int
from .. import activations
from ..base import Layer, layer
from ..symbolic import shown
from .core import Wide, width_of
from .pooling import one_number, pool_windows


@layer
class Conv1D(Wide):
    """A convolution over time, (batch, time, features) to (batch, time', filters).

    Padded positions count as 0. With ``padding="valid"`` an output is masked where its filter
    covers a padded position.

    Args:
        filters: The width of the output.
        kernel_size: The number of positions that a filter covers.
        strides: The distance of the outputs, in positions.
        padding: "valid", "same" or "causal".
        data_format: Features are on the last axis.
        dilation_rate: The distance of the filter's taps, in positions.
        groups: 1.
        activation, use_bias, kernel_initializer, ...: As in Dense.
        **options: Those of ``Layer``.
    """

    axes = 3

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        if data_format not in (None, "channels_last"):
            options["data_format"] = data_format
        super().__init__(**options)
        self.filters = check_int("Conv1D", "filters", filters)
        self.kernel_size = one_number("Conv1D", "kernel_size", kernel_size)
        self.strides = one_number("Conv1D", "strides", strides)
        self.dilation_rate = one_number("Conv1D", "dilation_rate", dilation_rate)
        check_int("Conv1D", "groups", groups, 1, 1)
        self.padding = check_choice("Conv1D", "padding", padding, ("valid", "same", "causal"))
        self.activation = activation
        self.g = activations.get(activation, "Conv1D")
        self.use_bias = bool(use_bias)
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer

    def build(self, input_shape: Any) -> None:
        """W: (kernel_size, features, filters); b: (filters,)."""
        size = (self.kernel_size, width_of(self, input_shape), self.filters)
        self.W = self.add_weight(size, self.kernel_initializer, regularizer=self.kernel_regularizer)
        self.b: Parameter | None = None
        if self.use_bias:
            self.b = self.add_weight(
                (self.filters,), self.bias_initializer, regularizer=self.bias_regularizer
            )

    @property
    def reach(self) -> int:
        """The number of positions from a filter's first tap to its last, the last excluded."""
        return (self.kernel_size - 1) * self.dilation_rate

    def ends(self, length: int) -> tuple[int, int]:
        """The padding of both ends."""
        if self.padding == "causal":
            return self.reach, 0
        return pool_windows(length, self.reach + 1, self.strides, self.padding)[1:]

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """g(x * W + b)."""
        x = inputs if mask is None else np.where(mask[..., None], inputs, 0)
        before, after = self.ends(x.shape[1])
        if before or after:
            x = np.pad(x, [(0, 0), (before, after), (0, 0)])
        y = conv1d(x, self.W, self.b, stride=self.strides, dilation=self.dilation_rate)
        return activations.apply(self.g, y)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """An output is real where its filter sees real positions only, or, padded, in its place."""
        if mask is None:
            return None
        if self.padding != "valid":
            return mask[:, :: self.strides]
        windows = np.lib.stride_tricks.sliding_window_view(mask, self.reach + 1, axis=-1)
        return np.asarray(windows.all(-1))[:, :: self.strides]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, time', filters)."""
        batch, time, _ = input_shape
        if time is not None:
            padded = time + sum(self.ends(time))
            if padded <= self.reach:
                raise ValueError(
                    f"{self.name}: {time} positions are fewer than the filter's {self.reach + 1}; "
                    "got the input " + shown(input_shape)
                )
            time = (padded - self.reach - 1) // self.strides + 1
        return (batch, time, self.filters)


@layer
class ZeroPadding1D(Layer):
    """Zeros in front and behind: (batch, time, features) to (batch, time', features).

    Args:
        padding: The number of positions on both sides, or a tuple of both numbers.
        **options: Those of ``Layer``.
    """

    def __init__(self, padding: int | tuple[int, int] = 1, **options: Any) -> None:
        super().__init__(**options)
        self.padding = (padding, padding) if isinstance(padding, int) else tuple(padding)

    def call(self, inputs: Any) -> Any:
        """x with zeros around."""
        return np.pad(inputs, [(0, 0), self.padding, (0, 0)])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The zeros are padding."""
        return None if mask is None else np.pad(values(mask), [(0, 0), self.padding])
