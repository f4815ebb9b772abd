"""A run over time as one record, which expands into the steps' records when its tape is read.

A cell whose steps are all the same (``same_every_step``) is traced, and its steps run as a plan
(``plan``, ``execute``). What runs depends on the cell, the shapes and what is asked for alone. When
the tape is read, by ``Tape`` or a second derivative, the steps are recorded again from the arrays
that the run began with. An update gives a Parameter a new array, so these are what they were.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import (
    Op,
    Tensor,
    Untraceable,
    anomaly_check,
    current_scope,
    made_by,
    operands_of,
    reachable,
    reserve_numbers,
    trace,
)
from .execute import Run
from .module import Module
from .plan import Plan

__all__ = ["FusedRun", "plan_of"]

# How many plans of each class of cells are cached, the most recent ones.
MOST_PLANS = 64
PLAIN = (bool, int, float, str, type(None))
# Class -> signature (its attributes, shapes, what is asked for) -> the plan, or why there is none.
_plans: weakref.WeakKeyDictionary[type, OrderedDict[Any, Plan | str]] = weakref.WeakKeyDictionary()


def plan_of(cell: Any, xs: Tensor, state: Sequence[Tensor]) -> tuple[Plan | str, list[Tensor]]:
    """The plan of a cell's step, or why there is none; and the Tensors that are its leaves.

    Args:
        cell: The Cell.
        xs: The input of all steps.
        state: The state before them.
    """
    if not cell.same_every_step:
        return f"{type(cell).__name__} does not promise that it is the same_every_step", []
    if 0 in xs.data.shape:
        return "the input is empty", []
    if anomaly_check.get():
        return "detect_anomaly looks at every record", []
    tensors: dict[Tensor, int] = {}
    kinds = [(s.data.shape, s.data.dtype.char) for s in state]
    shape = xs.data.shape[:-2] + xs.data.shape[-1:]
    key = (shape, xs.data.dtype.char, xs.requires_grad, *kinds, signature(vars(cell), tensors))
    plans = _plans.get(type(cell))
    if plans is None:
        plans = _plans[type(cell)] = OrderedDict()
    plan = plans.get(key)
    if plan is None:
        plan = plans[key] = make_plan(cell, shape, xs, state, tensors)
        if len(plans) > MOST_PLANS:
            plans.popitem(last=False)
    if isinstance(plan, str):
        return plan, []
    found = list(tensors)
    return plan, [found[k] for k in plan.attributes]


class Same:
    """An attribute of no plain value in a signature: equal only to itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def signature(value: Any, tensors: dict[Tensor, int]) -> Any:
    """What a plan depends on in an attribute, or in a container of them.

    Args:
        value: Of the attribute.
        tensors: Gets the Tensors in it, each with its position.
    """
    if isinstance(value, Tensor):
        first = tensors.setdefault(value, len(tensors))
        return first, value.data.shape, value.data.dtype.char, value.requires_grad
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, dict):
        return tuple([(name, signature(item, tensors)) for name, item in value.items()])
    if isinstance(value, (list, tuple)):
        return tuple([signature(item, tensors) for item in value])
    if isinstance(value, Module):
        return type(value), signature(vars(value), tensors)
    return Same(value)


def make_plan(
    cell: Any,
    shape: tuple[int, ...],
    xs: Tensor,
    state: Sequence[Tensor],
    tensors: dict[Tensor, int],
) -> Plan | str:
    """The plan of a step, or the reason why it cannot have one."""
    dtype = xs.data.dtype
    if dtype.char not in "fd" or any(s.data.dtype != dtype for s in state):
        return "the input and the state are not both of float32, or both of float64"

    def step(x: Any, *state: Any) -> Any:
        new = cell.next_state(x, state)
        return (*new, cell.output(new))

    try:
        traced = trace(step, [shape, *(s.data.shape for s in state)], dtype)
        if not tensors.keys() >= set(traced.leaves):
            raise Untraceable("a step reads a Tensor that is no attribute of the cell")
        needs = [leaf.requires_grad for leaf in traced.leaves]
        attributes = [tensors[leaf] for leaf in traced.leaves]
        return Plan(traced._replace(leaves=[]), xs.requires_grad, needs, attributes)
    except Untraceable as reason:
        return str(reason)


class FusedRun:
    """A run of a cell over time by its plan.

    Args:
        plan: Of one step.
        leaves: The Tensors that are its leaves.
        xs: The input: (batch, time, d_in) or (time, d_in).
        state: The state before the first step.
        real: Booleans (batch, time) or (time,): where there is input; None for everywhere.
        reverse: Whether the last position is read first.
        truncate: The number of steps after which the gradient is cut, or None.
        record: Records the steps, ``record(xs, state, step)``, with ``step(x, state)`` giving the
            new state and the output; returns the final state and ys.
    """

    def __init__(
        self,
        plan: Plan,
        leaves: Sequence[Tensor],
        xs: Tensor,
        state: Sequence[Tensor],
        real: Any,
        reverse: bool,
        truncate: int | None,
        record: Callable[..., Sequence[Tensor]],
        threads: int = 0,
    ) -> None:
        self.plan, self.inputs, self.record = plan, (xs, *state, *leaves), record
        self.arrays = [t.data for t in self.inputs]
        self.needs = [t.requires_grad for t in self.inputs]
        self.reverse, self.truncate = reverse, truncate
        self.path = current_scope.get()
        padded = None if real is None else ~real.T[..., None]
        if padded is not None and reverse:
            padded = padded[::-1]
        self.run = Run(
            plan,
            self.arrays[1 + len(state) :],
            self.time_first(xs.data),
            self.arrays[1 : 1 + len(state)],
            padded,
            truncate,
            keep=self.path is not None and any(self.needs),
            threads=threads,
        )

    def time_first(self, a: Any) -> Any:
        """The view of an array (batch, time, ...) or (time, ...) in the order of the steps."""
        view = a.swapaxes(0, len(self.plan.lead))
        return view[::-1] if self.reverse else view

    def outputs(self) -> list[Tensor]:
        """Run it: the final state and ys, in one record."""
        xs, plan, path = self.inputs[0], self.plan, self.path
        shape, time = plan.shapes[plan.y_place], len(plan.lead)
        steps = xs.data.shape[-2]
        ys = np.empty((*shape[:time], steps, *shape[time:]), xs.data.dtype)
        arrays = [*self.run.forward(self.time_first(ys)), ys]
        if path is None:
            return [Tensor(array) for array in arrays]
        # Per step: the plan's records, the slice of the input, cuts, the masks of states and of y.
        count = steps * (len(plan.lines) + 2 * len(arrays)) + 2
        self.first = first = reserve_numbers(count + len(arrays))
        params, needs = {"run": self}, any(self.needs)
        packed = made_by(first, FUSED, self.inputs, params, path, arrays[0], needs)
        outputs = [
            made_by(first + count + k, OUTPUT, (packed,), {"output": k}, path, array, needs)
            for k, array in enumerate(arrays)
        ]
        self.alive = [weakref.ref(output) for output in outputs]
        return outputs

    def gradients(self, parts: list[Any]) -> list[Any]:
        """The gradients of the inputs, from those of the outputs."""
        parts = parts + [None] * (len(self.plan.states) + 1 - len(parts))
        *gs, gys = parts
        gxs = np.empty_like(self.arrays[0]) if self.needs[0] else None
        given = None if gys is None else self.time_first(gys)
        return [gxs, *self.run.backward(given, gs, None if gxs is None else self.time_first(gxs))]

    def expand(self) -> list[Tensor]:
        """Record the steps behind the outputs, on the arrays that the run began with.

        Returns:
            Tensors with these records: the outputs, or new Tensors for those that were freed.
        """
        # A stand-in has the array and the flag that an input had then.
        stands = [
            Tensor(a, need, t.name) for t, a, need in zip(self.inputs, self.arrays, self.needs)
        ]
        states = 1 + len(self.plan.states)

        def step(x: Tensor, state: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
            *new, y = self.plan.trace.record((x, *state), stands[states:])
            return tuple(new), y

        path, check = current_scope.set(self.path), anomaly_check.set(None)
        try:
            with np.errstate(all="ignore"):  # the run has given its warnings
                again = self.record(stands[0], tuple(stands[1:states]), step)
        finally:
            anomaly_check.reset(check)
            current_scope.reset(path)
        real = dict(zip(stands, self.inputs, strict=True))
        # Outputs that are still in use take the places of the new ones.
        for new, ref in zip(again, self.alive, strict=True):
            if (output := ref()) is not None:
                real[new] = output
        order, _ = reachable(again)
        for number, (_, t) in enumerate(reversed(order), self.first):
            _, op, params, where, *rest = t._record  # type: ignore[misc]
            count = len(rest) // 2
            operands = [real.get(x, x) if isinstance(x, Tensor) else x for x in rest[:count]]
            for same in {t, real.get(t, t)}:
                same._record = (number, op, params, where, *operands, *rest[count:])
                same.name = t.name or same.name
        return [real.get(t, t) for t in again]


class PackedGradients(list[Any]):
    """The gradients of a packed output: one for each output, None where there is none."""

    dtype: Any


def pack(contributions: list[Any], packed: Any) -> PackedGradients:
    """The batch rule of a run's outputs: their gradients side by side."""
    parts = PackedGradients()
    parts.dtype = packed.dtype
    for g, params, *_ in contributions:
        k = params["output"]
        parts += [None] * (k + 1 - len(parts))
        parts[k] = g
    return parts


def unavailable(*_: Any, **__: Any) -> Any:
    """The forward of a run's ops, which are recorded after the run and never applied."""
    raise TypeError("a fused run is recorded, not applied")


def expand(output: Tensor) -> None:
    """Expand the record of a run's output."""
    (packed,), k = operands_of(output), output._record[2]["output"]  # type: ignore[index]
    made = packed._record[2]["run"].expand()[k]
    if output is not made:  # a copy of an output
        output._record = made._record


FUSED = Op("fused", unavailable, lambda g, y, *_, run: run.gradients(g))
OUTPUT = Op(
    "output",
    unavailable,
    (unavailable,),
    batch_rules=(pack,),
    buffer_until="all",
    expand=expand,
)
