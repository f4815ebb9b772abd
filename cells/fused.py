"""A run over time as one record, which expands into the steps' records when its tape is read.

A cell whose steps are all the same (``same_every_step``) is traced, and its steps run as a plan
(``plan``, ``execute``). What runs depends on the cell, the shapes and what is asked for alone. When
the tape is read, by ``Tape`` or a second derivative, the steps are recorded again from the arrays
that the run began with. An update gives a Parameter a new array, so these are what they were.
"""

from __future__ import annotations

import functools
import itertools
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..autograd import (
    Op,
    Parameter,
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

__all__ = ["FusedRun", "parts_of", "plan_of"]

# A thread gets at least so many sequences: products of fewer rows are slow.
ROWS_OF_A_THREAD = 4
# How many plans of each class of cells are cached, the most recent ones.
MOST_PLANS = 64
PLAIN = (bool, int, float, str, type(None))
# Class -> signature (its attributes, shapes, what is asked for) -> the plan, or why there is none.
_plans: weakref.WeakKeyDictionary[type, OrderedDict[Any, Plan | str]] = weakref.WeakKeyDictionary()


def plan_of(
    cell: Any, xs: Tensor, state: Sequence[Tensor], rows: int | None = None
) -> tuple[Plan | str, list[Tensor]]:
    """The plan of a cell's step, or why there is none; and the Tensors that are its leaves.

    Args:
        cell: The Cell.
        xs: The input of all steps.
        state: The state before them.
        rows: The number of sequences, where they are not all of the batch.
    """
    if not cell.same_every_step:
        return f"{type(cell).__name__} does not promise that it is the same_every_step", []
    shape = xs.data.shape[:-2] + xs.data.shape[-1:]
    if 0 in xs.data.shape:
        return "the input is empty", []
    if anomaly_check.get():
        return "detect_anomaly looks at every record", []
    tensors: dict[Tensor, int] = {}
    shapes = [shape, *[s.data.shape for s in state]]
    if rows is not None:
        shapes = [(rows, *each[1:]) for each in shapes]
    dtypes = [xs.data.dtype.char, *[s.data.dtype.char for s in state]]
    found = [*shapes, *dtypes, xs.requires_grad]
    add_signature(vars(cell), tensors, found)
    key = tuple(found)
    plans = _plans.get(type(cell))
    if plans is None:
        plans = _plans[type(cell)] = OrderedDict()
    plan = plans.get(key)
    if plan is None:
        plan = plans[key] = make_plan(cell, shapes, dtypes, xs.requires_grad, tensors)
        if len(plans) > MOST_PLANS:
            plans.popitem(last=False)
    if isinstance(plan, str):
        return plan, []
    leaves = list(tensors)
    return plan, [leaves[k] for k in plan.attributes]


def parts_of(
    cell: Any, plan: Plan, xs: Tensor, state: Sequence[Tensor], threads: int
) -> list[tuple[Plan, slice | None]]:
    """The plans of the parts of a batch, one a thread: each sequence runs by itself."""
    batch = len(xs.data)
    count = min(threads, batch // ROWS_OF_A_THREAD) if plan.lead and plan.rowwise else 1
    if count < 2 or any(s.data.shape[0] != batch for s in state):
        return [(plan, None)]
    ends = [batch * k // count for k in range(count + 1)]
    extents = list(itertools.pairwise(ends))
    plans = {size: plan_of(cell, xs, state, size)[0] for size in {b - a for a, b in extents}}
    if not all(isinstance(each, Plan) for each in plans.values()):
        return [(plan, None)]
    return [(plans[b - a], slice(a, b)) for a, b in extents]  # type: ignore[misc]


class Same:
    """An attribute of no plain value in a signature: equal only to itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def add_signature(value: Any, tensors: dict[Tensor, int], found: list[Any]) -> None:
    """Add to ``found`` what a plan depends on in an attribute, or in a container of them.

    Args:
        value: Of the attribute.
        tensors: Gets the Tensors in it, each with its position.
        found: The signature so far.
    """
    if isinstance(value, Tensor):
        data = value.data
        first = tensors.setdefault(value, len(tensors))
        found += (first, data.shape, data.dtype.char, value.requires_grad)
    elif isinstance(value, PLAIN):
        found += (type(value), value)
    elif isinstance(value, dict):
        found += (dict, len(value))
        for name, item in value.items():
            found.append(name)
            if type(item) is Parameter:  # as above, without the call: most attributes are these
                data = item.data
                first = tensors.setdefault(item, len(tensors))
                found += (first, data.shape, data.dtype.char, item.requires_grad)
            else:
                add_signature(item, tensors, found)
    elif isinstance(value, (list, tuple)):
        found += (list, len(value))
        for item in value:
            add_signature(item, tensors, found)
    elif isinstance(value, Module):
        found.append(type(value))
        add_signature(vars(value), tensors, found)
    else:
        found.append(Same(value))


def make_plan(
    cell: Any,
    shapes: Sequence[Any],
    dtypes: Sequence[str],
    x_needs: bool,
    tensors: dict[Tensor, int],
) -> Plan | str:
    """The plan of a step, or the reason why it cannot have one."""
    if set(dtypes) not in ({"f"}, {"d"}):
        return "the input and the state are not both of float32, or both of float64"

    def step(x: Any, *state: Any) -> Any:
        new = cell.next_state(x, state)
        return (*new, cell.output(new))

    try:
        traced = trace(step, shapes, np.dtype(dtypes[0]))
        if not tensors.keys() >= set(traced.leaves):
            raise Untraceable("a step reads a Tensor that is no attribute of the cell")
        needs = [leaf.requires_grad for leaf in traced.leaves]
        attributes = [tensors[leaf] for leaf in traced.leaves]
        return Plan(traced._replace(leaves=[]), x_needs, needs, attributes)
    except Untraceable as reason:
        return str(reason)


class FusedRun:
    """A run of a cell over time by its plan.

    Args:
        parts: The plan of one step for each part of the batch, and which sequences it has; each
            part runs on a thread of its own.
        leaves: The Tensors that are the plan's leaves.
        xs: The input: (batch, time, d_in) or (time, d_in).
        state: The state before the first step.
        record: Records the steps, ``record(xs, state, step)``, with ``step(x, state)`` giving the
            new state and the output; returns the final state and ys.
        real: Booleans (batch, time) or (time,): where there is input; None for everywhere.
        reverse: Whether the last position is read first.
        truncate: The number of steps after which the gradient is cut, or None.
        compiled: Whether the loop is compiled.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Plan, slice | None]],
        leaves: Sequence[Tensor],
        xs: Tensor,
        state: Sequence[Tensor],
        record: Callable[..., Sequence[Tensor]],
        *,
        real: Any,
        reverse: bool,
        truncate: int | None,
        compiled: bool,
    ) -> None:
        self.plan, self.record = parts[0][0], record
        of_weights = self.plan.of_weights.record((), leaves)
        self.inputs = (xs, *state, *leaves, *of_weights)
        self.arrays = [t.data for t in self.inputs]
        self.needs = [t.requires_grad for t in self.inputs]
        self.reverse = reverse
        self.path = current_scope.get()
        states = 1 + len(state)
        steps, before = self.time_first(self.arrays[0]), self.arrays[1:states]
        padded = None if real is None else ~self.time_first(real)[..., None]
        keep = self.path is not None and any(self.needs)
        self.rows = [rows for _, rows in parts]
        self.runs = [
            Run(
                plan,
                self.arrays[states:],
                part(steps, rows, 1),
                [part(s, rows) for s in before],
                part(padded, rows, 1),
                truncate,
                keep,
                compiled,
            )
            for plan, rows in parts
        ]

    def time_first(self, a: Any) -> Any:
        """The view of an array (batch, time, ...) or (time, ...) in the order of the steps."""
        view = a.swapaxes(0, 1) if self.plan.lead else a
        return view[::-1] if self.reverse else view

    def outputs(self) -> list[Tensor]:
        """Run it: the final state and ys, in one record."""
        plan, path, xs = self.plan, self.path, self.arrays[0]
        ys = np.empty((*xs.shape[:-1], *plan.shapes[plan.y_place][len(plan.lead) :]), xs.dtype)
        finals = [np.empty_like(s) for s in self.arrays[1 : 1 + len(plan.states)]]
        steps = self.time_first(ys)
        together(
            functools.partial(run.forward, part(steps, rows, 1), [part(s, rows) for s in finals])
            for run, rows in zip(self.runs, self.rows, strict=True)
        )
        arrays = [*finals, ys]
        if path is None:
            return [Tensor(array) for array in arrays]
        # Per step: the plan's records, the slice of the input, cuts, the masks of states and of y.
        count = xs.shape[-2] * (len(plan.whole.lines) + 2 * len(arrays)) + 2
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
        steps = None if gys is None else self.time_first(gys)
        gxs = np.empty_like(self.arrays[0]) if self.needs[0] else None
        gx_steps = None if gxs is None else self.time_first(gxs)
        found = together(
            functools.partial(
                run.backward,
                part(steps, rows, 1),
                [part(g, rows) for g in gs],
                part(gx_steps, rows, 1),
            )
            for run, rows in zip(self.runs, self.rows, strict=True)
        )
        if len(found) == 1:
            return [gxs, *found[0][0], *found[0][1]]
        states, leaves = (list(zip(*each, strict=True)) for each in zip(*found, strict=True))
        return [
            gxs,
            *(np.concatenate(g) if g[0] is not None else None for g in states),
            *(functools.reduce(np.add, g) if g[0] is not None else None for g in leaves),
        ]

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
            *new, y = self.plan.whole.record((x, *state), stands[states:])
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


def part(a: Any, rows: slice | None, axis: int = 0) -> Any:
    """The rows of an array that one part of the batch has; None for all."""
    return a if rows is None or a is None else a[:, rows] if axis else a[rows]


def together(tasks: Iterable[Callable[[], Any]]) -> list[Any]:
    """The results of tasks, each on a thread of its own."""
    first, *others = tasks
    running = [workers().submit(task) for task in others]
    return [first(), *(task.result() for task in running)]


@functools.cache
def workers() -> ThreadPoolExecutor:
    """The threads besides the caller's."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="unspool")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.cache_clear)  # a child has none of the threads


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
