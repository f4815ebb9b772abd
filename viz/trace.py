"""The tape of what is to be shown; a cell is run for it, and is afterwards as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd import Tape, Tensor, recording

__all__ = ["tape_of"]


def tape_of(who: str, what: Any, steps: int) -> Tape:
    """The tape of a Tensor, of a Tape itself, or of a cell unrolled over zeros.

    Args:
        who: The function that asks, for its messages.
        what: A Tensor, a Tape, or a cell or composite of cells.
        steps: Over how many steps a cell is unrolled.

    Raises:
        TypeError: ``what`` is none of these.
        ValueError: It is a Tensor without a tape.
    """
    if isinstance(what, Tape):
        return what
    if isinstance(what, Tensor):
        if what._record is None:
            name = f"{what.name} " if what.name else ""
            raise ValueError(
                f"{who}: the Tensor {name}{what.shape} has no tape behind it: it is a leaf, or was "
                "computed inside of no_grad(); give a result, or a cell"
            )
        return Tape(what)
    if isinstance(what, type):
        raise TypeError(
            f"{who}: expected a Tensor, a Tape, or a cell, got the class {what.__name__}; make "
            f"one, as in {what.__name__}(3, 4)"
        )
    if hasattr(what, "unroll"):
        return tape_of_cell(who, what, steps)
    hint, attributes = "", getattr(what, "__dict__", {})
    if isinstance(what, (tuple, list)):
        hint = f"; for several Tensors write {who}(Tape(*tensors))"
    elif parts := [name for name, part in attributes.items() if hasattr(part, "unroll")]:
        hint = (
            f"; give its {parts[0]}, {who}(model.{parts[0]}), or what it computes on an example, "
        )
        hint += f"{who}(model(x))"
    elif callable(what):
        hint = f"; give what it computes on an example, {who}(model(x))"
    raise TypeError(f"{who}: expected a Tensor, a Tape, or a cell, got {type(what).__name__}{hint}")


def tape_of_cell(who: str, cell: Any, steps: int) -> Tape:
    """The tape of a cell, or of a composite of cells, as it is used: without dropout."""
    d_in = getattr(cell, "d_in", None)
    if not isinstance(d_in, (int, np.integer)):
        raise TypeError(
            f"{who}: {type(cell).__name__} has no d_in, the width of its input, to unroll it"
        )
    parameters = cell.parameters() if hasattr(cell, "parameters") else []
    dtype = next((p.dtype for p in parameters if p.dtype.kind == "f"), np.dtype(np.float32))
    xs = Tensor(np.zeros((steps, d_in), dtype), name="xs")
    with recording(), in_use(cell):
        ys, state = cell.unroll(xs)
    return Tape(ys, *tensors_in(state))


@contextlib.contextmanager
def in_use(cell: Any) -> Iterator[None]:
    """Switch off what is random in training, so that a picture takes no random numbers away."""
    modules = cell.modules() if hasattr(cell, "modules") else [cell]
    training = [m for m in modules if getattr(m, "training", False)]
    own = ["training" in vars(m) for m in training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module, had in zip(training, own, strict=True):
            if had:
                module.training = True
            else:
                del module.training


def tensors_in(state: Any) -> Iterator[Tensor]:
    """The Tensors of a state, also one of a composite."""
    if isinstance(state, Tensor):
        if state._record is not None:
            yield state
    elif isinstance(state, (tuple, list)):
        for part in state:
            yield from tensors_in(part)
