"""Layers by Keras's names: each infers the width of its input from the first data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import cells
from ...autograd import Parameter, conv1d, max_over_time, scope, values
from ...cells import Cell, GatedCell, Module, glorot_uniform, orthogonal
from ...checks import check_choice, check_fraction, check_int, wrong_type
from ..networks import layers
from ..networks.acceptor import final_output
from ..networks.layers import Activation, activation_function

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Conv1D",
    "Dense",
    "Dropout",
    "Embedding",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "Layer",
    "Recurrent",
    "SimpleRNN",
]

Array = NDArray[Any]
Mask = NDArray[np.bool_] | None
Shape = tuple[int | None, ...]  # without the batch; None is a time axis of any length


class Layer(Module):
    """Base of the layers: ``build`` creates the parameters, ``call`` computes the output.

    A subclass defines ``call(x, mask) -> (y, mask)`` and ``output_shape(shape)``, and ``build``
    where it has parameters. Shapes are without the batch axis.

    Attributes:
        axes: The number of axes of the input without the batch, or None for any number.
        built: Whether the parameters exist.
    """

    axes: int | None = None
    built: bool = False

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """Create the parameters for inputs (time, features) or (features,)."""

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """The output and its mask, for an input (batch, ...) with a mask (batch, time)."""
        raise NotImplementedError(f"{type(self).__name__} defines no call(x, mask) -> (y, mask)")

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of the output for an input of a shape."""
        return shape

    def check(self, shape: Shape) -> None:
        """Raise ValueError if the layer cannot read an input of a shape."""
        if self.axes is not None and len(shape) != self.axes:
            wanted = {1: "(batch, features)", 2: "(batch, time, features)"}[self.axes]
            cure = {
                1: "put a pooling layer in front, or return_sequences=False",
                2: "put an Embedding in front, or return_sequences=True in the layer before",
            }[self.axes]
            raise ValueError(
                f"{type(self).__name__}: expected {wanted}, got {shown((None, *shape))}; {cure}"
            )
        width_of(self, shape)


def width_of(layer: Layer, shape: Shape) -> int:
    """The width of a layer's input; raises ValueError where it is unknown."""
    width = shape[-1] if shape else None
    if width is None:
        raise ValueError(
            f"{type(layer).__name__}: expected features of a known width, got "
            f"{shown((None, *shape))}; ids need an Embedding in front"
        )
    return width


def shown(shape: Iterable[int | None]) -> str:
    """A shape as Keras writes it: (None, None, 50)."""
    return str(tuple(shape))


def keras_activation(who: str, activation: Activation) -> Callable[[Any], Any]:
    """The function of an activation, which may be "linear"."""
    return activation_function(who, None if activation == "linear" else activation)


class Embedding(Layer):
    """A vector for each id: (batch, time) to (batch, time, output_dim).

    Args:
        input_dim: The number of ids.
        output_dim: The width of a vector.
        mask_zero: Whether the id 0 is padding, which the layers above ignore.
        weights: Initial vectors, (input_dim, output_dim), or a list of this one array, as in
            Keras; None for random ones.
        trainable: Whether training changes them.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        mask_zero: bool = False,
        weights: Any = None,
        trainable: bool = True,
    ) -> None:
        self.input_dim = check_int("Embedding", "input_dim", input_dim)
        self.output_dim = check_int("Embedding", "output_dim", output_dim)
        self.mask_zero, self.trainable = bool(mask_zero), bool(trainable)
        self.start: Array | None = None
        if weights is not None:
            if isinstance(weights, (list, tuple)) and len(weights) == 1:
                (weights,) = weights
            self.start = np.asarray(values(weights))
            if self.start.shape != (input_dim, output_dim):
                raise ValueError(
                    f"Embedding: weights must be [array] of ({input_dim}, {output_dim}), got "
                    f"{self.start.shape}"
                )

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """E: (input_dim, output_dim), the ``weights``, or uniform in ±0.05."""
        self.inner = layers.Embedding(self.input_dim, self.output_dim, rng=rng, dtype=dtype)
        E = self.inner.E.data
        E[...] = rng.uniform(-0.05, 0.05, E.shape) if self.start is None else self.start
        if not self.trainable:
            self.inner.freeze()

    def check(self, shape: Shape) -> None:
        """Raise ValueError unless the input is ids (batch, time)."""
        if len(shape) != 1:
            raise ValueError(
                f"Embedding: expected ids (batch, time), got {shown((None, *shape))}; pad lists of "
                "different length with pad_sequences"
            )

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """Rows of E; with ``mask_zero`` the mask is True where an id is not 0."""
        return self.inner(x), values(x) != 0 if self.mask_zero else None

    def output_shape(self, shape: Shape) -> Shape:
        """(time, output_dim)."""
        return (*shape, self.output_dim)


class Dense(Layer):
    """y = g(x W + b), also at each position of a sequence; the mask is passed on.

    Args:
        units: The width of the output.
        activation: g: a name in ``ACTIVATIONS``, "linear", a function, or None.
        use_bias: Whether there is a b.
    """

    def __init__(self, units: int, activation: Activation = None, use_bias: bool = True) -> None:
        self.units = check_int("Dense", "units", units)
        self.activation = activation
        self.g = keras_activation("Dense", activation)
        self.use_bias = use_bias

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """W: (features, units), Glorot-uniform; b: (units,), zero."""
        width = width_of(self, shape)
        self.inner = layers.Dense(width, self.units, bias=self.use_bias, rng=rng, dtype=dtype)

    def scores(self, x: Any) -> Any:
        """x W + b, the logits from which losses are computed without rounding."""
        return self.inner(x)

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """g(x W + b)."""
        return self.g(self.scores(x)), mask

    def output_shape(self, shape: Shape) -> Shape:
        """(..., units)."""
        return (*shape[:-1], self.units)


class Dropout(Layer):
    """In training, each element is set to 0 with probability ``rate``; the others are scaled up."""

    def __init__(self, rate: float) -> None:
        self.rate = check_fraction("Dropout", "rate", rate)

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """Draw from the network's Generator."""
        self.inner = layers.Dropout(self.rate, rng=rng)

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """x with dropout in training, else x."""
        return self.inner(x), mask


class Conv1D(Layer):
    """A convolution over time, (batch, time, features) to (batch, time', filters).

    Padded positions count as 0. With ``padding="valid"`` an output is masked where its filter
    covers a padded position.

    Args:
        filters: The width of the output.
        kernel_size: The number of positions that a filter covers.
        activation: As in Dense.
        padding: "valid", "same" or "causal".
        use_bias: Whether there is a b.
    """

    axes = 2

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        activation: Activation = None,
        padding: str = "valid",
        use_bias: bool = True,
    ) -> None:
        self.filters = check_int("Conv1D", "filters", filters)
        self.kernel_size = check_int("Conv1D", "kernel_size", kernel_size)
        self.padding: Any = check_choice("Conv1D", "padding", padding, ("valid", "same", "causal"))
        self.g = keras_activation("Conv1D", activation)
        self.use_bias = use_bias

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """W: (kernel_size, features, filters), Glorot-uniform with Keras's fans."""
        width, k = width_of(self, shape), self.kernel_size
        # Keras's fans of a convolution: kernel_size * features, and kernel_size * filters.
        flat = glorot_uniform(rng, k * width, k * self.filters, dtype)
        self.W = Parameter(flat[:, : self.filters].reshape(k, width, self.filters).copy())
        if self.use_bias:
            self.b = Parameter(np.zeros(self.filters, dtype))

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """g(x * W + b)."""
        if mask is not None:
            x = np.where(mask[..., None], x, 0)
        y = self.g(conv1d(x, self.W, getattr(self, "b", None), padding=self.padding))
        if mask is not None and self.padding == "valid":
            windows = np.lib.stride_tricks.sliding_window_view(mask, self.kernel_size, axis=-1)
            mask = np.asarray(windows.all(-1))
        return y, mask

    def output_shape(self, shape: Shape) -> Shape:
        """(time', filters)."""
        time = shape[0]
        if self.padding == "valid" and time is not None:
            time -= self.kernel_size - 1
        return (time, self.filters)


class Pooling(Layer):
    """Base of the poolings: (batch, time, features) to (batch, features), over real positions."""

    axes = 2

    def output_shape(self, shape: Shape) -> Shape:
        """(features,)."""
        return shape[-1:]


class GlobalMaxPooling1D(Pooling):
    """The maximum of each feature over the real positions; 0 if there is none."""

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """The maxima; no mask is left."""
        with scope("max"):
            return max_over_time(x, mask), None


class GlobalAveragePooling1D(Pooling):
    """The mean of each feature over the real positions; 0 if there is none."""

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """The means; no mask is left."""
        with scope("mean"):
            if mask is None:
                return np.mean(x, axis=-2), None
            total = np.sum(np.where(mask[..., None], x, 0), axis=-2)
            return total / np.maximum(mask.sum(-1, keepdims=True), 1).astype(x.dtype), None


class Recurrent(Layer):
    """Base of the recurrent layers.

    Args:
        units: The width of the state.
        return_sequences: Whether to return the outputs of all positions, (batch, time, units), or
            only the one after each sequence's last real position, (batch, units).
        use_bias: Whether there are biases.
        dropout: The probability of dropping a feature of the input in training, with one mask for
            all time steps.
        recurrent_dropout: The same for the state.
    """

    axes = 2
    cell: Callable[..., GatedCell]

    def __init__(
        self,
        units: int,
        return_sequences: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        name = type(self).__name__
        self.units = check_int(name, "units", units)
        self.return_sequences = bool(return_sequences)
        self.dropout = check_fraction(name, "dropout", dropout)
        self.recurrent_dropout = check_fraction(name, "recurrent_dropout", recurrent_dropout)
        self.options: dict[str, Any] = {"bias": use_bias}

    def make_cell(self, d_in: int, rng: np.random.Generator, dtype: Any) -> Cell:
        """A cell for inputs of width ``d_in``, initialised as in Keras."""
        cell = type(self).cell(d_in, self.units, rng=rng, dtype=dtype, **self.options)
        # Keras draws the matrices of all gates at once: W Glorot-uniform, U orthogonal.
        count = len(cell.gates)
        Ws = np.split(glorot_uniform(rng, d_in, count * self.units), count, axis=1)
        Us = np.split(orthogonal(rng, self.units, count * self.units), count, axis=1)
        for gate, W, U in zip(cell.gates, Ws, Us, strict=True):
            end = f"_{gate}" if gate else ""
            getattr(cell, f"W{end}").data[...] = W
            getattr(cell, f"U{end}").data[...] = U
        if self.dropout or self.recurrent_dropout:
            return cells.VariationalDropout(cell, self.dropout, self.recurrent_dropout, rng=rng)
        return cell

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """Create the cell."""
        self.network = self.make_cell(width_of(self, shape), rng, dtype)

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """The outputs at all positions and the mask, or the last output."""
        ys, state = self.network.unroll(x, mask=mask)
        return (ys, mask) if self.return_sequences else (self.network.output(state), None)

    def output_shape(self, shape: Shape) -> Shape:
        """(time, units) or (units,)."""
        return (shape[0], self.units) if self.return_sequences else (self.units,)


SIMPLE = ("tanh", "relu", "sigmoid", "identity")


class SimpleRNN(Recurrent):
    """The simple recurrent network, ``unspool.cells.Elman``.

    Args:
        units: The width of the state.
        activation: "tanh", "relu", "sigmoid" or "identity".
        **options: Those of ``Recurrent``.
    """

    cell = cells.Elman

    def __init__(self, units: int, activation: str = "tanh", **options: Any) -> None:
        super().__init__(units, **options)
        self.options["activation"] = check_choice("SimpleRNN", "activation", activation, SIMPLE)


class LSTM(Recurrent):
    """Long short-term memory, ``unspool.cells.LSTM``; arguments of ``Recurrent``."""

    cell = cells.LSTM


class GRU(Recurrent):
    """Keras's gated recurrent unit, ``unspool.cells.ResetAfterGRU``; arguments of ``Recurrent``."""

    cell = cells.ResetAfterGRU


class Bidirectional(Layer):
    """A recurrent layer in both directions; the outputs are merged.

    Without ``return_sequences`` the merged outputs are the forward one after the last position
    and the backward one after the first.

    Args:
        layer: LSTM(...), GRU(...) or SimpleRNN(...), the settings of both directions.
        merge_mode: "concat", "sum", "ave" or "mul".
    """

    axes = 2

    def __init__(self, layer: Recurrent, merge_mode: str = "concat") -> None:
        if not isinstance(layer, Recurrent):
            raise wrong_type("Bidirectional: expected LSTM(...), GRU(...) or SimpleRNN(...)", layer)
        self.layer = layer
        check_choice("Bidirectional", "merge_mode", merge_mode, ("concat", "sum", "ave", "mul"))
        self.merge = "mean" if merge_mode == "ave" else merge_mode

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """Create the cells of both directions."""
        width = width_of(self, shape)
        ahead, back = (self.layer.make_cell(width, rng, dtype) for _ in range(2))
        self.network = cells.Bidirectional(ahead, back, self.merge)

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """The merged outputs at all positions and the mask, or the merged last outputs."""
        ys, state = self.network.unroll(x, mask=mask)
        if self.layer.return_sequences:
            return ys, mask
        return final_output(self.network, state), None

    def output_shape(self, shape: Shape) -> Shape:
        """(time, width) or (width,); concatenation doubles the width."""
        units = self.layer.units
        return (*self.layer.output_shape(shape)[:-1], units * (1 + (self.merge == "concat")))
