"""The steps of the recurrent layers: ``unspool.cells`` with Keras's names, settings and weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .... import cells
from ....autograd import ACTIVATIONS, Parameter
from ....cells import Cell, load_keras, to_keras
from ....checks import check_fraction, check_int, describe_received
from .. import activations, initializers
from ..base import Layer, layer
from .core import width_of

Array = NDArray[Any]


class CellLayer(Layer):
    """Base of the steps: a cell of ``unspool.cells``.

    Args:
        units: The width of the state.
        activation: Of the state.
        use_bias: Whether there are biases.
        kernel_initializer, recurrent_initializer, bias_initializer: Of the matrices of all gates
            side by side, and of the biases.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Terms added to the loss.
        dropout: The probability of dropping a feature of the input in training, with one mask for
            all time steps.
        recurrent_dropout: The same for the state.
        seed: Of the dropout; None for the network's random numbers.
        **options: Those of ``Layer``.
    """

    defaults = ("tanh",)  # the activations with which ``plain`` is the cell
    count = 1  # of gates

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        *,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        who = type(self).__name__.removesuffix("Cell")
        self.units = check_int(who, "units", units)
        self.state_size: int | list[int] = self.units
        self.activation = activation
        self.use_bias = bool(use_bias)
        self.kernel_initializer = kernel_initializer
        self.recurrent_initializer = recurrent_initializer
        self.bias_initializer = bias_initializer
        self.regularizers = kernel_regularizer, recurrent_regularizer, bias_regularizer
        self.dropout = check_fraction(who, "dropout", dropout)
        self.recurrent_dropout = check_fraction(who, "recurrent_dropout", recurrent_dropout)
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.check_activations(who)

    def check_activations(self, who: str) -> None:
        """Raise for an activation that the cell cannot have."""
        self.names = [cell_activation(who, self.activation)]

    def make(self, d_in: int, **options: Any) -> Cell:
        """The cell for inputs of a width."""
        raise NotImplementedError(f"{type(self).__name__} makes no cell")

    def biases(self) -> Array:
        """The initial bias of all gates side by side."""
        make = initializers.get(self.bias_initializer)
        return make((self.count * self.units,), self.compute_dtype, rng=self.generator)

    def build(self, input_shape: Any) -> None:
        """Create the cell; the matrices of all gates are drawn at once, as in Keras."""
        d_in, n, dtype = width_of(self, input_shape), self.units, self.compute_dtype
        cell = self.make(
            d_in, bias=self.use_bias, W_init="zeros", U_init="zeros", rng=0, dtype=dtype
        )
        width = self.count * n
        made = [
            initializers.get(self.kernel_initializer)((d_in, width), dtype, rng=self.generator),
            initializers.get(self.recurrent_initializer)((n, width), dtype, rng=self.generator),
        ]
        load_keras(cell, [*made, self.biases()] if self.use_bias else made)
        for letter, regularizer in zip(("W", "U", "bc"), self.regularizers, strict=True):
            found = [p for name, p in cell.named_parameters() if name[0] in letter]
            self.penalise(regularizer, *found)
        self.network: Cell = cell
        if self.dropout or self.recurrent_dropout:
            self.network = cells.VariationalDropout(
                cell, self.dropout, self.recurrent_dropout, rng=self.generator
            )

    def own_arrays(self) -> list[Array]:
        """kernel, recurrent_kernel and bias."""
        return to_keras(self.network) if self.built else []

    def set_own_arrays(self, arrays: Sequence[Array]) -> None:
        """Unpack kernel, recurrent_kernel and bias."""
        load_keras(self.network, arrays)

    def call(self, inputs: Any, states: Any) -> Any:
        """One step: the output, and the list of the new states."""
        y, new = self.network(inputs, tuple(states))
        return y, list(new)


def cell_activation(who: str, activation: Any) -> Any:
    """An activation as the cells name it; a function that they do not name stays itself."""
    function = activations.get(activation, who)
    if function is activations.linear:
        return "identity"
    return next((name for name, known in ACTIVATIONS.items() if known is function), function)


@layer
class SimpleRNNCell(CellLayer):
    """A step of the simple recurrent network, ``unspool.cells.Elman``."""

    def check_activations(self, who: str) -> None:
        """An Elman cell has activations with names."""
        super().check_activations(who)
        if self.names[0] not in cells.Elman.activations:
            raise ValueError(
                f"{who}: activation must be tanh, relu, sigmoid, linear or another elementwise "
                f"one of unspool.autograd.ACTIVATIONS, got {self.activation!r}; for a function of "
                "your own write a cell, and RNN(cell)"
            )

    def make(self, d_in: int, **options: Any) -> Cell:
        """An Elman cell."""
        return cells.Elman(d_in, self.units, self.names[0], **options)


class Gated(CellLayer):
    """Base of the steps with gates; ``recurrent_activation`` is theirs."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        self.recurrent_activation = recurrent_activation
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **options,
        )

    def check_activations(self, who: str) -> None:
        """Both may be any function."""
        pair = self.activation, self.recurrent_activation
        self.names = [cell_activation(who, activation) for activation in pair]

    def chosen(
        self, plain: Callable[..., Cell], activated: Callable[..., Cell], d_in: int, **options: Any
    ) -> Cell:
        """The plain cell where the activations are its own, else its relative with others."""
        if self.names == ["tanh", "sigmoid"]:
            return plain(d_in, self.units, **options)
        return activated(d_in, self.units, *self.names, **options)


@layer
class LSTMCell(Gated):
    """A step of long short-term memory, ``unspool.cells.LSTM``.

    Args:
        units, ...: Those of ``CellLayer``.
        recurrent_activation: Of the gates.
        unit_forget_bias: Whether the forget gate's bias begins at 1.
    """

    count = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **options,
        )
        self.unit_forget_bias = bool(unit_forget_bias)
        self.state_size = [self.units, self.units]

    def make(self, d_in: int, **options: Any) -> Cell:
        """An LSTM."""
        return self.chosen(cells.LSTM, cells.ActivatedLSTM, d_in, **options)

    def biases(self) -> Array:
        """Of the input gate, forget gate, candidate and output gate."""
        b = super().biases()
        if self.unit_forget_bias:
            b[self.units : 2 * self.units] = 1
        return b


@layer
class GRUCell(Gated):
    """A step of the gated recurrent unit.

    Args:
        units, ...: Those of ``CellLayer``.
        recurrent_activation: Of the gates.
        reset_after: Whether the reset comes after the product (``unspool.cells.ResetAfterGRU``)
            or before it (``unspool.cells.GRU``).
    """

    count = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        *,
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        self.reset_after = bool(reset_after)
        super().__init__(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **options,
        )

    def check_activations(self, who: str) -> None:
        """With ``reset_after=False`` they are tanh and sigmoid."""
        super().check_activations(who)
        if not self.reset_after and self.names != ["tanh", "sigmoid"]:
            raise ValueError(
                f"{who}: with reset_after=False the activations are tanh and sigmoid, got "
                f"{self.activation!r} and {self.recurrent_activation!r}; write reset_after=True"
            )

    def make(self, d_in: int, **options: Any) -> Cell:
        """A GRU of either form."""
        if not self.reset_after:
            return cells.GRU(d_in, self.units, **options)
        return self.chosen(cells.ResetAfterGRU, cells.ActivatedGRU, d_in, **options)

    def biases(self) -> Array:
        """Of update, reset and candidate; with ``reset_after`` two of each, beside W and U."""
        if not self.reset_after:
            return super().biases()
        make = initializers.get(self.bias_initializer)
        return make((2, self.count * self.units), self.compute_dtype, rng=self.generator)

    def doubled(self) -> list[Parameter]:
        """b_z and b_r stand for the sums of two biases in Keras."""
        if not (self.built and self.reset_after and self.use_bias):
            return []
        return [p for name, p in self.network.named_parameters() if name[-3:] in ("b_z", "b_r")]


class OwnCell(Cell):
    """A layer with Keras's ``call(inputs, states) -> (output, states)`` as a cell.

    The state is the output, and then the layer's own states.

    Args:
        step: The layer; ``state_size`` is a width or a list of widths, and ``output_size`` that
            of the output, by default that of the first state.
        d_in: The width of the input.
    """

    def __init__(self, step: Layer, d_in: int) -> None:
        sizes: Any = getattr(step, "state_size", None)
        if sizes is None:
            raise TypeError(
                f"RNN: the cell {type(step).__name__} needs state_size, the width of its state, "
                "set in __init__ as in self.state_size = units"
            )
        self.sizes = [sizes] if isinstance(sizes, int) else list(sizes)
        self.step = step
        self.d_in, self.d_h = d_in, self.sizes[0]
        self.d_out = getattr(step, "output_size", self.d_h)
        self.states = ("y", *(f"s{i}" for i in range(len(self.sizes))))

    def initial_state(self, batch: int | None = None) -> Any:
        """Zeros."""
        lead = () if batch is None else (batch,)
        dtype = self.step.compute_dtype
        widths = [self.d_out, *self.sizes]
        return tuple(np.zeros((*lead, width), dtype) for width in widths)

    def forward(self, x: Any, state: Any) -> Any:
        """The layer's step."""
        y, new = self.step(x, list(state[1:]))
        return (y, *(new if isinstance(new, (list, tuple)) else [new]))


def step_of(cell: Layer, d_in: int) -> Cell:
    """What ``unroll`` runs for a built cell of Keras's kind."""
    if isinstance(cell, CellLayer):
        return cell.network
    if not isinstance(cell, Layer):
        raise TypeError(
            "RNN: expected a cell, as LSTMCell(4), a list of cells, or a layer with "
            f"call(inputs, states), got {describe_received(cell)}"
        )
    return OwnCell(cell, d_in)
