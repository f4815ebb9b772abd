"""The vanishing gradient, measured: gradients by time step.

Backpropagation through time computes ∂L/∂h_t for every t, and the gradient of a parameter as the
sum of its steps' contributions. Both are read off the tape of an unrolled network, by the time
steps of its records, so they exist for any cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import Record, Tape, Tensor, split_scope

Array = NDArray[Any]


def gradient_flow(loss: Tensor | Tape, seed: Any = None) -> Flow:
    """How the gradient of a loss flows back through time.

    Args:
        loss: A Tensor computed from an ``unroll``, or the Tape of one.
        seed: The gradient of the loss itself; may be left out for a scalar.

    Returns:
        A Flow: ``norms["h"][t - 1]`` is ‖∂L/∂h_t‖, ``shares(W)[t - 1]`` the contribution of step t
        to the gradient of W.

    Source: the sum over time of Werbos (1990); the norms of Bengio, Simard and Frasconi (1994)
    and of Pascanu, Mikolov and Bengio (2013).

    Example:
        >>> from unspool import unroll
        >>> from unspool.cells import Elman, gradient_flow
        >>> cell = Elman(1, 1, dtype=float)
        >>> cell.W.data[...], cell.U.data[...] = 0, 0.5
        >>> ys, (h,) = unroll(cell, np.ones((4, 1)))
        >>> gradient_flow(h.sum()).norms["h"]  # h = 0 all along: a factor of U at each step
        array([0.125, 0.25 , 0.5  , 1.   ])
    """
    return Flow(loss if isinstance(loss, Tape) else Tape(loss), seed)


class Flow:
    """The gradients on a tape, ordered by time.

    Args:
        tape: The tape of a loss over time.
        seed: The gradient of its output; 1 for a scalar.

    Attributes:
        steps: T, the last time step on the tape.
        states: ∂L/∂s_t by the state's name, (T, batch, d_h), and ∂L/∂x_t under "x". A
            composite's are named like its parameters: "0.h", "forward.c". States that do not lead
            to the loss have 0. A second unroll on the same tape is "h (2)".
    """

    def __init__(self, tape: Tape, seed: Any = None) -> None:
        self.tape = tape
        self.gradients = tape.gradients(seed)
        self.steps = max((record.step or 0 for record in tape), default=0)
        if not self.steps:
            raise ValueError(
                "gradient_flow: no record of this tape stands in a time step; compute the loss "
                "with unroll(cell, xs), or with a loop that uses scope(name, step=t)"
            )
        found: dict[str, dict[int, Array]] = {}
        for record in tape:
            output = record.output
            if record.step is None or output.name is None or output not in self.gradients:
                continue
            label, _, position = output.name.rpartition("_")
            if not label or position != str(record.step):
                continue
            name = base = ".".join((*outside_path(record), label))
            run = 1
            while record.step in found.get(name, {}):
                run += 1
                name = f"{base} ({run})"
            found.setdefault(name, {})[record.step] = self.gradients[output]
        self.states: dict[str, Array] = {name: self._by_step(g) for name, g in found.items()}

    @property
    def norms(self) -> dict[str, Array]:
        """‖∂L/∂s_t‖ for t = 1..T by the state's name, (T,): the root of the sum of squares."""
        return {
            name: np.sqrt(np.square(gradient).reshape(self.steps, -1).sum(axis=1))
            for name, gradient in self.states.items()
        }

    def shares(self, parameter: Tensor) -> Array:
        """The contribution of each time step to the gradient of a parameter, ``(T, *its shape)``.

        That of step t is ∂L/∂s_t times the immediate derivative of step t, with the state before it
        held fixed. All of them and ``outside`` sum to the gradient.
        """
        return self._by_step(self._split(parameter), parameter.data)

    def outside(self, parameter: Tensor) -> Array:
        """The contribution of uses outside of time, such as a projection of all outputs at once.

        It has the parameter's shape, and is 0 for the parameters of a cell.
        """
        return self._split(parameter).get(0, np.zeros_like(parameter.data))

    def _by_step(self, parts: dict[int, Array], like: Array | None = None) -> Array:
        first = next(iter(parts.values())) if like is None else like
        out = np.zeros((self.steps, *first.shape), first.dtype)
        for step, part in parts.items():
            if step:
                out[step - 1] = part
        return out

    def _split(self, parameter: Tensor) -> dict[int, Array]:
        """The gradient of a parameter by the time step of its use, 0 for outside of time."""
        if parameter not in self.gradients:
            raise ValueError(
                f"gradient_flow: {parameter.name or 'this Tensor'} {parameter.shape} does not lead "
                "to the loss on this tape"
            )
        # Tensors computed from the parameter outside of time (embedded words, a matrix with rows
        # dropped) are used in the steps in its place: their gradients are split by step too.
        made = {parameter}
        for record in self.tape:
            if record.step is None and not made.isdisjoint(record.inputs):
                made.add(record.output)
        parts: dict[Tensor, dict[int, Array]] = {x: {} for x in made}
        for output in made.intersection(self.tape.outputs):
            parts[output][0] = self.gradients[output]
        for record in reversed(list(self.tape)):
            if made.isdisjoint(record.inputs) or record.output not in self.gradients:
                continue
            if record.step is None:
                arriving = parts.pop(record.output)
            else:
                arriving = {record.step: self.gradients[record.output]}
            for step, g in arriving.items():
                for x, gx in record.operand_gradients(g).items():
                    if x in made:
                        held = parts[x].get(step)
                        parts[x][step] = gx if held is None else held + gx
        return parts[parameter]


def outside_path(record: Record) -> tuple[str, ...]:
    """The scopes around a record's unroll, without the unroll's own (the cell's name)."""
    around, _, _ = split_scope(record.scope) or (record.scope, 0, ())
    return around[:-1]
