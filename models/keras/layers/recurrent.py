"""Recurrent layers: a step over time, by ``unroll``, with Keras's settings and states."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....autograd import values
from ....cells import Stacked
from ..base import Layer, adopt, layer
from ..session import plain
from ..symbolic import mapped
from .cells import CellLayer, GRUCell, LSTMCell, OwnCell, SimpleRNNCell, step_of
from .core import Wide, width_of


@layer
class RNN(Wide):
    """A step over time.

    Args:
        cell: LSTMCell(...), GRUCell(...), SimpleRNNCell(...); a list of them, for layers on top
            of each other; or a layer of your own with ``state_size`` and
            ``call(inputs, states) -> (output, states)``.
        return_sequences: Whether to return the outputs of all positions, (batch, time, units), or
            only the one after each sequence's last real position, (batch, units).
        return_state: Whether to return the last states after the output, as a list.
        go_backwards: Whether to read from the end; the outputs are in the order of reading.
        stateful: Whether a batch begins with the states with which the one before ended.
        **options: Those of ``Layer``.
    """

    axes = 3

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.cell = list(cell) if isinstance(cell, (list, tuple)) else cell
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful = bool(go_backwards), bool(stateful)
        self.state: Any = None

    @property
    def cells(self) -> list[Layer]:
        """The cells, lowest first."""
        return self.cell if isinstance(self.cell, list) else [self.cell]

    @property
    def units(self) -> int:
        """The width of the output."""
        top: Any = self.cells[-1]
        size = top.state_size if isinstance(top.state_size, int) else top.state_size[0]
        return int(getattr(top, "output_size", size))

    @property
    def network(self) -> Any:
        """What ``unroll`` runs: the cell, or the cells on top of each other."""
        if not self.built:
            raise ValueError(f"{self.name} has no cell yet; call build((None, None, 20)), or fit")
        steps = [step_of(cell, n) for cell, n in zip(self.cells, self.widths, strict=True)]
        return steps[0] if len(steps) == 1 else Stacked(steps)

    def build(self, input_shape: Any) -> None:
        """Build the cells."""
        width = width_of(self, input_shape)
        self.widths: list[int] = []
        for cell in self.cells:
            adopt(cell, self)
            cell.ensure_built((None, width))
            self.widths.append(width)
            step = step_of(cell, width)
            width = getattr(step, "d_out", step.d_h)

    def call(
        self, inputs: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """The outputs at all positions or the last one, and the last states if asked for."""
        state = None
        if initial_state is not None:
            several = isinstance(initial_state, (list, tuple))
            state = self.unflattened(initial_state if several else [initial_state])
        elif self.stateful and self.state is not None:
            state = self.state
        if isinstance(mask, list):
            mask = mask[0]
        network = self.network
        ys, final = network.unroll(inputs, state, mask=mask, reverse=self.go_backwards)
        if self.stateful:
            self.state = mapped(plain, final)
        if self.return_sequences:
            y = ys[:, ::-1] if self.go_backwards else ys
        else:
            y = last_output(network, final)
        return [y, *self.flattened(final)] if self.return_state else y

    def flattened(self, state: Any) -> list[Any]:
        """A state as Keras lists it, without the output that ``OwnCell`` keeps in it."""
        if isinstance(self.network, Stacked):
            parts = zip(self.network.members, state, strict=True)
            return [s for member, part in parts for s in own_states(member, part)]
        return own_states(self.network, state)

    def unflattened(self, states: Sequence[Any]) -> Any:
        """A state for ``unroll`` from Keras's list."""
        network = self.network
        members = network.members if isinstance(network, Stacked) else [network]
        counts = [len(own_states(member, member.states)) for member in members]
        if sum(counts) != len(states):
            raise ValueError(
                f"{self.name}: expected initial_state to be a list of {sum(counts)}, got "
                f"{len(states)}"
            )
        rest, found = iter(states), []
        for member, count in zip(members, counts, strict=True):
            part = [next(rest) for _ in range(count)]
            if isinstance(member, OwnCell):
                part = [np.zeros((len(values(part[0])), member.d_out), part[0].dtype), *part]
            found.append(tuple(part))
        return tuple(found) if isinstance(network, Stacked) else found[0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs at all positions."""
        mask = mask[0] if isinstance(mask, list) else mask
        if mask is None or not self.return_sequences:
            return None
        return mask[:, ::-1] if self.go_backwards else mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, time, units) or (batch, units), and the states'."""
        batch, time, _ = input_shape
        y = (batch, time, self.units) if self.return_sequences else (batch, self.units)
        if not self.return_state:
            return y
        widths: list[int] = []
        for cell in self.cells:
            size: Any = cell.state_size  # type: ignore[attr-defined]
            widths += [size] if isinstance(size, int) else size
        return [y, *((batch, width) for width in widths)]

    def reset_state(self) -> None:
        """Begin the next batch with zeros."""
        self.state = None

    def reset_states(self, states: Any = None) -> None:
        """Begin the next batch with zeros, or with these states."""
        self.state = None if states is None else self.unflattened([plain(s) for s in states])


def own_states(member: Any, state: Any) -> list[Any]:
    """A cell's state as Keras lists it: without the output that ``OwnCell`` keeps in it."""
    return list(state[1:] if isinstance(member, OwnCell) else state)


def last_output(network: Any, state: Any) -> Any:
    """The output after a state."""
    if isinstance(network, Stacked):
        return network.members[-1].output(state[-1])
    return network.output(state)


class OneCell(RNN):
    """Base of the layers that are one cell over time; the cell is made from the same settings.

    Args:
        units, ...: Those of the cell, which take the same positions.
        return_sequences, return_state, go_backwards, stateful: As in ``RNN``.
        **options: Further ones of the cell, and those of ``Layer``.
    """

    kind: type[CellLayer]

    def __init__(self, units: int, *settings: Any, **options: Any) -> None:
        own = inspect.signature(RNN.__init__).parameters.keys() | {*LAYER_OPTIONS} - {"seed"}
        of_layer = {name: options[name] for name in options if name in own}
        of_cell = {name: value for name, value in options.items() if name not in own}
        try:
            cell = self.kind(units, *settings, **of_cell)
        except TypeError as error:
            raise TypeError(str(error).replace(self.kind.__name__, type(self).__name__)) from None
        super().__init__(cell, **of_layer)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments; a Bidirectional turns ``go_backwards`` round."""
        found = super().arguments()
        return found | {"go_backwards": True} if self.go_backwards else found


# The options of ``Layer`` that are the layer's and not its cell's.
LAYER_OPTIONS = (
    "name",
    "trainable",
    "dtype",
    "rng",
    "input_shape",
    "batch_input_shape",
    "batch_shape",
    "input_dim",
    "input_length",
    "weights",
    "unroll",
    "implementation",
    "use_cudnn",
    "time_major",
    "zero_output_for_mask",
    "activity_regularizer",
)


@layer
class SimpleRNN(OneCell):
    """The simple recurrent network, ``unspool.cells.Elman``; settings of ``SimpleRNNCell``."""

    kind = SimpleRNNCell


@layer
class LSTM(OneCell):
    """Long short-term memory, ``unspool.cells.LSTM``; settings of ``LSTMCell``."""

    kind = LSTMCell


@layer
class GRU(OneCell):
    """Keras's gated recurrent unit, ``unspool.cells.ResetAfterGRU``; settings of ``GRUCell``."""

    kind = GRUCell
