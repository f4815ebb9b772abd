"""Layers that look at each position by itself: dense layers, dropout, functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....autograd import Tensor, dropout, values
from ....checks import check_fraction, check_int
from ...networks import layers
from .. import activations, initializers
from ..base import Layer, layer
from ..symbolic import KerasTensor, Shape, shown

Array = NDArray[Any]
Function = Callable[[Any], Any]


def width_of(layer: Layer, shape: Any) -> int:
    """The width of a layer's input; raises ValueError where it is unknown."""
    if isinstance(shape, list):
        raise ValueError(
            f"{layer.name}: expected one input, got {len(shape)}; put Concatenate()(...) in front"
        )
    width = shape[-1] if len(shape) > 1 else None
    if width is None:
        raise ValueError(
            f"{type(layer).__name__}: expected features of a known width, got {shown(shape)}; ids "
            "need an Embedding in front"
        )
    return int(width)


class Wide(Layer):
    """Base of the layers that read features of a known width."""

    def check(self, input_shape: Any) -> None:
        """Raise ValueError if the layer cannot read an input of a shape."""
        width = width_of(self, input_shape)
        if self.axes is not None and len(input_shape) != self.axes:
            wanted = {2: "(batch, features)", 3: "(batch, time, features)"}[self.axes]
            cure = {
                2: "put a pooling layer in front, or return_sequences=False",
                3: "put an Embedding in front, or return_sequences=True in the layer before",
            }[self.axes]
            raise ValueError(
                f"{type(self).__name__}: expected {wanted}, got {shown(input_shape)}; {cure}"
            )
        built = getattr(self, "width", width)
        if built != width:
            raise ValueError(f"{self.name}: it was built for a width of {built}, got {width}")
        self.width = width


@layer
class InputLayer(Layer):
    """The place of an input in a network; ``Input`` makes one.

    Args:
        shape: Without the batch axis; None in it where any length will do.
        batch_size: The length of the batch axis, for ``stateful`` layers.
        batch_shape: The shape with the batch axis, in place of ``shape`` and ``batch_size``.
        **options: Those of ``Layer``.
    """

    converts = False

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        batch_shape: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        whole = batch_shape if batch_shape is not None else self.input_spec
        if whole is None:
            if isinstance(shape, int):
                raise TypeError(
                    f"Input: shape must be a tuple without the batch, as in ({shape},), got {shape}"
                )
            if shape is None:
                raise ValueError("Input: give the shape without the batch, as in Input((6, 3))")
            whole = (batch_size, *shape)
        self.input_spec = tuple(whole)
        self.batch_shape = self.input_spec
        self.built = True

    def arguments(self) -> dict[str, Any]:
        """The shape with the batch axis, and the name."""
        return {"batch_shape": list(self.batch_shape), "name": self.name}

    def call(self, inputs: Any) -> Any:
        """The input."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    batch_shape: Any = None,
    name: str | None = None,
    **options: Any,
) -> Any:
    """A symbolic tensor, with which a network begins.

    Args:
        shape: Without the batch axis; None in it where any length will do.
        batch_size: The length of the batch axis, for ``stateful`` layers.
        dtype: Of the input, "int32" too; layers convert numbers to their own.
        batch_shape: The shape with the batch axis, in place of ``shape`` and ``batch_size``.
        name: A name.
        **options: Those of ``Layer``.
    """
    layer = InputLayer(shape, batch_size, batch_shape, name=name, **options)
    return layer(KerasTensor(layer.batch_shape, layer.name))


@layer
class Dense(Wide):
    """y = g(x W + b), also at each position of a sequence; the mask is passed on.

    Args:
        units: The width of the output.
        activation: g: a name, a function, or None.
        use_bias: Whether there is a b.
        kernel_initializer, bias_initializer: Of W and b.
        kernel_regularizer, bias_regularizer: Terms of W and b that are added to the loss.
        **options: Those of ``Layer``.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = check_int("Dense", "units", units)
        self.activation = activation
        self.g = activations.get(activation, "Dense")
        self.use_bias = bool(use_bias)
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer

    def build(self, input_shape: Any) -> None:
        """W: (features, units); b: (units,)."""
        size, dtype = (width_of(self, input_shape), self.units), self.compute_dtype
        self.inner = layers.Dense(*size, bias=self.use_bias, rng=0, dtype=dtype)
        make = initializers.get(self.kernel_initializer, "Dense")
        self.inner.W.data = make(size, dtype, rng=self.generator)
        self.penalise(self.kernel_regularizer, self.inner.W)
        if self.use_bias:
            make = initializers.get(self.bias_initializer, "Dense")
            self.inner.b.data = make(size[1:], dtype, rng=self.generator)
            self.penalise(self.bias_regularizer, self.inner.b)

    @property
    def kernel(self) -> Any:
        """W, a Parameter."""
        return self.inner.W

    @property
    def bias(self) -> Any:
        """The Parameter b, or None."""
        return getattr(self.inner, "b", None)

    def call(self, inputs: Any) -> Any:
        """g(x W + b)."""
        return activations.apply(self.g, self.inner(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(..., units)."""
        return (*input_shape[:-1], self.units)


class Same(Layer):
    """Base of the layers whose output has the shape of the input."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the input."""
        return input_shape


@layer
class Activation(Same):
    """g(x).

    Args:
        activation: A name or a function.
        **options: Those of ``Layer``.
    """

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activation
        self.g = activations.get(activation, "Activation")

    def call(self, inputs: Any) -> Any:
        """g(x)."""
        return activations.apply(self.g, inputs)


@layer
class Softmax(Same):
    """Softmax over an axis.

    Args:
        axis: The axis.
        **options: Those of ``Layer``.
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        """softmax(x)."""
        if self.axis in (-1, inputs.ndim - 1):
            return activations.apply(activations.softmax, inputs)
        return activations.softmax(inputs, self.axis)


@layer
class ReLU(Same):
    """max(0, x), with a slope below 0 and up to a maximum if they are given."""

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.max_value, self.negative_slope = max_value, negative_slope

    def call(self, inputs: Any) -> Any:
        """The function above."""
        slope = self.negative_slope
        y = activations.leaky_relu(inputs, slope) if slope else activations.relu(inputs)
        return y if self.max_value is None else np.minimum(y, self.max_value)


@layer
class LeakyReLU(Same):
    """max(0, x) + slope min(0, x); Keras's slope is 0.3 in this layer."""

    def __init__(self, negative_slope: float = 0.3, **options: Any) -> None:
        negative_slope = options.pop("alpha", negative_slope)  # its name in Keras 2
        super().__init__(**options)
        self.negative_slope = negative_slope

    def call(self, inputs: Any) -> Any:
        """The function above."""
        return activations.leaky_relu(inputs, self.negative_slope)


@layer
class ELU(Same):
    """x where it is positive, else alpha (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, inputs: Any) -> Any:
        """The function above."""
        return activations.elu(inputs, self.alpha)


@layer
class Dropout(Same):
    """In training, each element is set to 0 with probability ``rate``; the others are scaled up.

    Args:
        rate: The probability.
        noise_shape: The shape of the mask, 1 on axes that share it; None for that of x.
        seed: Of the masks; None for the network's random numbers.
        **options: Those of ``Layer``.
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.rate = check_fraction(type(self).__name__, "rate", rate)
        self.noise_shape, self.seed = noise_shape, seed
        if seed is not None:
            self.rng = np.random.default_rng(seed)

    def mask_shape(self, shape: Shape) -> Any:
        """The shape of the mask for an input of a shape."""
        if self.noise_shape is None:
            return shape
        return tuple(n if m is None else m for n, m in zip(shape, self.noise_shape, strict=True))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """x with dropout in training, else x."""
        if not training or not self.rate:
            return inputs
        shape = self.mask_shape(inputs.shape)
        if shape == inputs.shape:
            return dropout(inputs, self.rate, rng=self.generator)
        return inputs * dropout(np.ones(shape, inputs.dtype), self.rate, rng=self.generator)


@layer
class SpatialDropout1D(Dropout):
    """Dropout of whole features, the same at all positions of a sequence."""

    axes = 3

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(rate, seed=seed, **options)

    def mask_shape(self, shape: Shape) -> Any:
        """(batch, 1, features)."""
        return (shape[0], 1, shape[2])


@layer
class GaussianNoise(Same):
    """In training, x plus normal noise of a standard deviation."""

    def __init__(self, stddev: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.stddev, self.seed = stddev, seed
        if seed is not None:
            self.rng = np.random.default_rng(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """x, with noise in training."""
        if not training:
            return inputs
        noise = self.generator.standard_normal(inputs.shape) * self.stddev
        return inputs + noise.astype(inputs.dtype)


@layer
class Masking(Same):
    """Masks the positions all of whose features have one value; the layers above ignore them.

    Args:
        mask_value: The value.
        **options: Those of ``Layer``.
    """

    axes = 3

    def __init__(self, mask_value: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, inputs: Any) -> Any:
        """x, 0 at masked positions."""
        return np.where(self.compute_mask(inputs)[..., None], inputs, 0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where a feature differs from the value."""
        return (values(inputs) != self.mask_value).any(-1)


@layer
class Lambda(Layer):
    """A function as a layer; its mask is passed on if the time axis stays.

    Args:
        function: Of a Tensor; NumPy's functions work on it.
        output_shape: Not needed.
        arguments: Further arguments by name.
        **options: Those of ``Layer``.
    """

    converts = False

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.function, self.extra, self.own_mask = function, arguments or {}, mask

    def _number(self, x: Any) -> Any:
        return x if isinstance(x, Tensor) or x is None else Tensor(np.asarray(values(x)), name="x")

    def call(self, inputs: Any) -> Any:
        """The function's result."""
        return self.function(inputs, **self.extra)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None, or what ``mask`` says."""
        return self.own_mask(inputs, mask) if callable(self.own_mask) else self.own_mask
