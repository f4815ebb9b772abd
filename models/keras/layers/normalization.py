"""Layers that normalise: over the batch, or over the features of each position."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....autograd import layer_norm, values
from ..base import layer
from .core import Wide, width_of


class Normalization(Wide):
    """Base: γ (x - μ) / sqrt(σ² + ε) + β, over the features on the last axis."""

    def __init__(
        self,
        axis: int,
        epsilon: float,
        center: bool,
        scale: bool,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if axis != -1:
            raise ValueError(
                f"{type(self).__name__}: axis must be -1, the features, got {axis}; put Permute "
                "in front and behind for another one"
            )
        self.axis, self.epsilon = axis, epsilon
        self.center, self.scale = bool(center), bool(scale)

    def build(self, input_shape: Any) -> None:
        """γ and β: (features,), 1 and 0."""
        width = width_of(self, input_shape)
        self.gamma = self.add_weight((width,), "ones") if self.scale else None
        self.beta = self.add_weight((width,), "zeros") if self.center else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape


@layer
class BatchNormalization(Normalization):
    """Each feature with mean 0 and variance 1 over the batch (and the real positions).

    In training with the batch's own mean and variance; else, and where it is not ``trainable``,
    with their running means.

    Args:
        axis: -1.
        momentum: The decay of the running means.
        epsilon: ε.
        center, scale: Whether there are β and γ.
        **options: Those of ``Layer``.

    Source: Ioffe and Szegedy (2015).
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(axis, epsilon, center, scale, **options)
        self.momentum = momentum

    def build(self, input_shape: Any) -> None:
        """γ, β, and the running means and variances: (features,)."""
        super().build(input_shape)
        width = width_of(self, input_shape)
        self.moving_mean = self.add_weight((width,), "zeros", trainable=False)
        self.moving_variance = self.add_weight((width,), "ones", trainable=False)

    def call(self, inputs: Any, mask: Any = None, training: bool = False) -> Any:
        """γ (x - μ) / sqrt(σ² + ε) + β."""
        x = inputs
        mean: Any = self.moving_mean.data
        variance: Any = self.moving_variance.data
        if training and self.trainable:
            mean, variance = self.moments(x, mask)
            for weight, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                old = weight.data * self.momentum
                weight.data = (old + values(new) * (1 - self.momentum)).astype(weight.dtype)
        y = (x - mean) / np.sqrt(variance + np.asarray(self.epsilon, x.dtype))
        if self.gamma is not None:
            y = y * self.gamma
        return y if self.beta is None else y + self.beta

    def moments(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """The mean and variance of each feature over the real positions."""
        axes = tuple(range(x.ndim - 1))
        if mask is None:
            return np.mean(x, axis=axes), np.var(x, axis=axes)
        real, count = mask[..., None], np.asarray(max(mask.sum(), 1), x.dtype)
        mean = np.sum(np.where(real, x, 0), axis=axes) / count
        return mean, np.sum(np.where(real, (x - mean) ** 2, 0), axis=axes) / count


@layer
class LayerNormalization(Normalization):
    """The features of each position with mean 0 and variance 1.

    Args:
        axis: -1.
        epsilon: ε.
        center, scale: Whether there are β and γ.
        **options: Those of ``Layer``.

    Source: Ba, Kiros and Hinton (2016).
    """

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(axis, epsilon, center, scale, **options)

    def call(self, inputs: Any) -> Any:
        """γ (x - μ) / sqrt(σ² + ε) + β."""
        return layer_norm(inputs, self.gamma, self.beta, eps=self.epsilon)
