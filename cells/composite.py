"""Composites of cells: layers stacked on each other, and both directions of reading."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, dropout, one_array, operand, scope, values
from ..checks import check_choice, check_fraction, describe_received
from .cell import Cell, State, not_unrolled
from .config import NAMES, register
from .module import Module


@register
class Stacked(Module):
    """Layers on top of each other: the outputs of one are the inputs of the next.

    A Stacked is a Cell when all its members are. Its state is the tuple of its members'
    states, its parameters are named ``0.W_f``, ``1.W_f``, ...

    Args:
        members: Cells, Bidirectionals or Stackeds, lowest first.
        dropout: The probability with which each output between two layers is dropped in
            training, anew at each step.
        residual: Whether each layer above the first adds its input to its output.
        rng: For dropout: a Generator, a seed, or None.

    Source: Goldberg (2016), multi-layer (stacked) RNNs; residuals from Wu et al. (2016).
    """

    def __new__(cls, members: Sequence[Any] = (), *others: Any, **options: Any) -> Stacked:
        """A StackedCell where all members are Cells."""
        if others or not isinstance(members, (list, tuple)):
            raise TypeError(
                "Stacked: expected the layers in a list, as in Stacked([LSTM(3, 4), GRU(4, 2)]), "
                f"got {' and '.join(map(describe_received, (members, *others)))}"
            )
        cells = members and all(isinstance(member, Cell) for member in members)
        kind = StackedCell if cells and cls is Stacked else cls
        return super().__new__(kind, members, **options)

    def __init__(
        self,
        members: Sequence[Any],
        *,
        dropout: float = 0.0,
        residual: bool = False,
        rng: Any = None,
    ) -> None:
        if not members:
            raise ValueError("Stacked: give at least one layer, as in Stacked([LSTM(3, 4)])")
        for i, member in enumerate(members):
            check_member(f"Stacked: layer {i}", member)
            if i and member.d_in != width_out(members[i - 1]):
                raise ValueError(
                    f"Stacked: layer {i} has d_in = {member.d_in}, the outputs of layer {i - 1} "
                    f"have width {width_out(members[i - 1])}"
                )
            if i and residual and width_out(member) != member.d_in:
                raise ValueError(
                    f"Stacked: layer {i} cannot add its input of width {member.d_in} to its output "
                    f"of width {width_out(member)}; residual layers have equal widths"
                )
            setattr(self, str(i), member)
        self.depth = len(members)
        self.d_in: int = members[0].d_in
        self.d_out: int = width_out(members[-1])
        self.dropout = check_fraction("Stacked", "dropout", dropout)
        self.residual = residual
        self.rng = np.random.default_rng(rng)

    @property
    def members(self) -> tuple[Any, ...]:
        """The layers, lowest first."""
        return tuple(getattr(self, str(i)) for i in range(self.depth))

    def between(self, below: Any) -> Any:
        """The output of a layer as input of the next: dropout in training."""
        return dropout(below, self.dropout, training=self.training, rng=self.rng)

    def initial_state(self, batch: int | None = None) -> State:
        """The initial state of each layer."""
        return tuple(member.initial_state(batch) for member in self.members)

    def checked_states(self, state: Any) -> State:
        """The states of the layers, None for each where there is none."""
        if state is None:
            return (None,) * self.depth
        check_parts("Stacked", state, self.depth, "one state a layer")
        return tuple(state)

    def unroll_layers(
        self, xs: Any, state: State | None = None, **options: Any
    ) -> tuple[list[Tensor], State]:
        """As ``unroll``, with the outputs of every layer, lowest first."""
        layers: list[Tensor] = []
        finals = []
        below = xs
        for i, (member, s) in enumerate(zip(self.members, self.checked_states(state), strict=True)):
            with scope(str(i)):
                ys, final = member.unroll(self.between(below) if i else below, s, **options)
                if i and self.residual:
                    ys = ys + below
            layers.append(ys)
            finals.append(final)
            below = ys
        return layers, tuple(finals)

    def unroll(self, xs: Any, state: State | None = None, **options: Any) -> tuple[Tensor, State]:
        """The layers over time, one after the other; see ``unspool.unroll``."""
        layers, final = self.unroll_layers(xs, state, **options)
        return layers[-1], final


class StackedCell(Stacked, Cell):
    """A Stacked whose layers are all Cells: it runs single steps too."""

    def __init__(self, members: Sequence[Any], **options: Any) -> None:
        super().__init__(members, **options)
        self.d_h = members[-1].d_h
        self.states = tuple(f"{i}" for i in range(self.depth))

    def sampled(self, batch: int | None = None) -> StackedCell:
        """With the per-sequence noise of each layer drawn; see ``Cell``."""
        drawn = copy.copy(self)
        for i, member in enumerate(self.members):
            setattr(drawn, str(i), member.sampled(batch))
        return drawn

    def step(self, x: Any, state: Any) -> tuple[Any, State]:
        """One step of every layer, lowest first: the top's output, and all new states."""
        new = []
        for i, (member, s) in enumerate(zip(self.members, state, strict=True)):
            with scope(str(i)):
                y, s = member(self.between(x) if i else x, s)
                x = y + x if i and self.residual else y
            new.append(s)
        return x, tuple(new)

    def forward(self, x: Any, state: Any) -> State:
        """One step of every layer, lowest first."""
        return self.step(x, state)[1]

    def __call__(self, x: Any, state: State | None = None) -> tuple[Tensor, State]:
        """One step: the top layer's output, and the state; see ``Cell``."""
        batch = np.shape(values(x))[:-1]
        if state is None:
            state = self.initial_state(batch[0] if batch else None)
        return self.step(x, self.checked_state(state, batch))

    def checked_state(self, state: Any, batch: tuple[int, ...]) -> State:
        """The checked state of each layer."""
        states = zip(self.members, self.checked_states(state), strict=True)
        return tuple(member.checked_state(s, batch) for member, s in states)


NAMES[StackedCell] = NAMES[Stacked]


@register
class Bidirectional(Module):
    """Two networks over one sequence, one from each end; the outputs are merged.

    The state is (forward's last state, backward's state after position 1). The parameters are
    named ``forward.W_f``, ``backward.W_f``, ...

    Args:
        forward: Reads from the beginning.
        backward: Reads from each sequence's end.
        merge: "concat", "sum", "mean" or "mul".

    Source: Schuster and Paliwal (1997); y_i = [y_i^f; y_i^b] in Goldberg (2016).
    """

    def __init__(self, forward: Any, backward: Any, merge: str = "concat") -> None:
        for name, member in (("forward", forward), ("backward", backward)):
            check_member(f"Bidirectional: {name}", member)
        check_choice("Bidirectional", "merge", merge, MERGES)
        if forward.d_in != backward.d_in:
            raise ValueError(
                f"Bidirectional: forward has d_in = {forward.d_in}, backward {backward.d_in}"
            )
        if merge != "concat" and width_out(forward) != width_out(backward):
            raise ValueError(
                f"Bidirectional: merge={merge!r} needs equal widths, got {width_out(forward)} and "
                f"{width_out(backward)}"
            )
        self.forward = forward
        self.backward = backward
        self.merge = merge
        self.d_in: int = forward.d_in
        widths = width_out(forward), width_out(backward)
        self.d_out = sum(widths) if merge == "concat" else widths[0]

    def initial_state(self, batch: int | None = None) -> State:
        """The initial states of both directions."""
        return self.forward.initial_state(batch), self.backward.initial_state(batch)

    def unroll(
        self, xs: Any, state: State | None = None, *, reverse: bool = False, **options: Any
    ) -> tuple[Tensor, State]:
        """Both directions over time; see ``unspool.unroll``."""
        if state is not None:
            check_parts("Bidirectional", state, 2, "(forward's state, backward's state)")
        ahead, back = state or (None, None)
        if not isinstance(xs, Tensor):  # one input, read twice
            xs = Tensor(one_array("unroll(Bidirectional)", xs, operand), name="xs")
        with scope("forward"):
            ys_f, final_f = self.forward.unroll(xs, ahead, reverse=reverse, **options)
        with scope("backward"):
            ys_b, final_b = self.backward.unroll(xs, back, reverse=not reverse, **options)
        return MERGES[self.merge](ys_f, ys_b), (final_f, final_b)


# How the outputs of two directions become one, by name: what Bidirectional takes as merge.
MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda f, b: np.concatenate([f, b], axis=-1),
    "sum": lambda f, b: f + b,
    "mean": lambda f, b: (f + b) * 0.5,
    "mul": lambda f, b: f * b,
}


def check_parts(who: str, state: Any, count: int, expected: str) -> None:
    """Raise ValueError unless a composite's state is a tuple of this length."""
    if not isinstance(state, (tuple, list)) or len(state) != count:
        raise ValueError(
            f"{who}: the state must be a tuple of {count}, {expected}, got "
            f"{describe_received(state)}"
        )


def check_member(who: str, member: Any) -> None:
    """Raise TypeError if a member cannot be unrolled."""
    if not isinstance(member, Module) or not hasattr(member, "unroll"):
        raise not_unrolled(f"{who} must be", member)


def width_out(member: Any) -> int:
    """The width of the output of a cell or composite."""
    return getattr(member, "d_out", None) or member.d_h
