"""Replay over time: a cell's steps run as a plan, in one fused record.

A cell whose steps are all the same (``same_every_step``) is recorded op by op the first time
that it runs on inputs of some shape. From the second time on its step runs as a ``Plan``, and
the run over time is one record. When the tape is read the record is expanded: the steps are
recorded again, with the arrays that the plan computed.

In long runs and large batches the results that no gradient rule reads are dropped. Expanding
computes them again, from copies of the weights and of the inputs, as an update or the next batch
may have overwritten the originals.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np

from ..autograd import (
    LeafGradients,
    Op,
    Plan,
    Tensor,
    alike,
    anomaly_check,
    current_scope,
    current_workspace,
    made_by,
    operands_of,
    reachable,
    reserve_numbers,
)
from .sequence import expand_mask, masked_step

# How many plans of each cell are cached, the most recent ones.
MOST_PLANS = 16
CHANGED = "the cell was changed since it ran: the tape of the run can no longer be rebuilt"
OVERWRITTEN = (
    "a state or a weight was overwritten in the middle of a loop over steps: their tape can no "
    "longer be rebuilt; make a new array, as in state = (np.where(mask, h, 0), c) or p.data = "
    "p.data * 2"
)
# Up to so many bytes the results that no rule reads are kept: dropping them would save nothing
# measurable, and it is small networks whose tapes are read.
FEW = 1 << 20
# Cell -> signature (input shape, dtypes, required gradients) -> entry.
_plans: weakref.WeakKeyDictionary[Any, OrderedDict[Any, CacheEntry]] = weakref.WeakKeyDictionary()


def plan_of(
    cell: Any, x: Any, state: Sequence[Any], x_needs: bool, one_step: bool = False
) -> Plan | None:
    """The plan of a cell's step, from the second call with the same signature on.

    Args:
        cell: The Cell.
        x: The shape and dtype of one step's input.
        state: The state before it, Tensors.
        x_needs: Whether the gradient of the input is needed.
        one_step: Whether the outputs are the new state only, without the output y.
    """
    shape, dtype = x
    if not cell.same_every_step or anomaly_check.get() or 0 in shape:
        return None
    plans = _plans.get(cell)
    if plans is None:
        plans = _plans[cell] = OrderedDict()
    kinds = [(s.data.shape, s.data.dtype.char) for s in state]
    key = (shape, dtype.char, x_needs, one_step, *kinds)
    ids = [*map(id, vars(cell).values())]  # the cell's parameters may be replaced
    entry = plans.get(key)
    if entry is None or entry.ids != ids or entry.changed():
        # The first call with this signature: it may be the only one.
        plans[key] = CacheEntry(cell, ids)
        if len(plans) > MOST_PLANS:
            plans.popitem(last=False)
        return None
    if not entry.made:
        entry.made = True
        if all(s.data.dtype == dtype for s in state):

            def step(x: Any, *state: Any) -> Any:
                new = cell.forward(x, state)
                return new if one_step else (*new, cell.output(new))

            shapes = [shape, *(s.data.shape for s in state)]
            plan = Plan.of(step, shapes, dtype, [x_needs, *(True for _ in state)])
            if plan is not None and supports(plan, cell, shapes[1:], one_step):
                entry.plan = plan
    return entry.plan


def kinds_seen(cell: Any) -> list[tuple[Any, bool]]:
    """The cached signatures of a cell, each with whether it would be replayed the next time.

    A replay sums gradients in another order than the tape. To resume a training bit for bit in
    another process, its checkpoint has to note which signatures are replayed.
    """
    ids = [*map(id, vars(cell).values())]
    plans: Any = _plans.get(cell, {})
    return [(key, e.ids == ids and e.flags == flags(e.tensors)) for key, e in plans.items()]


def see_kinds(cell: Any, kinds: Sequence[tuple[Any, bool]]) -> None:
    """Restore the cached signatures of a cell."""
    ids = [*map(id, vars(cell).values())]
    _plans[cell] = OrderedDict(
        (key, CacheEntry(cell, ids if again else [])) for key, again in kinds
    )


def supports(plan: Plan, cell: Any, states: list[tuple[int, ...]], one_step: bool) -> bool:
    """Whether a plan can replay the steps of a cell whose states have these shapes."""
    n = len(states)
    own = [value for value in vars(cell).values() if isinstance(value, Tensor)]
    return (
        # Changes are noticed in the cell's own attributes, not inside its lists and modules.
        set(plan.leaves) <= set(own)
        and all("." not in name for name, _ in cell.named_places())
        and len(set(plan.outputs[:n])) == n  # no Tensor is two states at once
        and (one_step or plan.shapes[:n] == states)  # the next step gets the same shapes
    )


def flags(tensors: Sequence[Tensor]) -> list[Any]:
    """The properties of a cell's Tensors that a plan depends on, besides their identity."""
    return [(t.requires_grad, t.data.dtype) for t in tensors]


class CacheEntry:
    """The cache entry of a cell and a signature: the plan, and the attributes that it is for."""

    __slots__ = ("attributes", "flags", "ids", "made", "plan", "tensors")

    def __init__(self, cell: Any, ids: list[int]) -> None:
        self.ids, self.attributes = ids, list(vars(cell).values())  # held, so the ids stay theirs
        self.tensors = [t for t in self.attributes if isinstance(t, Tensor)]
        self.flags = flags(self.tensors)
        self.made = False
        self.plan: Plan | None = None

    def changed(self) -> bool:
        """Whether the flags of the Tensors have changed."""
        for t, (needs, dtype) in zip(self.tensors, self.flags):
            now = t.data.dtype
            if t.requires_grad is not needs or (now is not dtype and now != dtype):
                return True
        return False


def copies_pay(dropped: int, weight: int) -> bool:
    """Whether copying weights of ``weight`` bytes costs less than keeping ``dropped`` bytes."""
    return dropped >= max(FEW, 2 * weight)


class Copies:
    """Copies of the weights of a run, to expand its record after they have changed.

    Attributes:
        arrays: The plan's leaves.
        closed: Whether a backward pass has gone through the run. An update may follow, so later
            steps take copies of their own.
    """

    __slots__ = ("arrays", "closed")

    def __init__(self, arrays: list[Any]) -> None:
        self.arrays, self.closed = arrays, False


class Replay:
    """A run of a plan, over time or for one step.

    Args:
        plan: Of one step.
        x: The input: (batch, time, d_in) or (time, d_in); of one step without time.
        state: The state before the first step.
        eager: Records the same op by op, and returns the same outputs.
        order: The positions in the order in which they are read; None for one step.
        masks: For each position the sequences that are not padded there, (batch, 1), or None
            for all.
    """

    __slots__ = (
        "alive",
        "bytes",
        "copies",
        "eager",
        "first",
        "kept",
        "leaves",
        "masks",
        "order",
        "path",
        "plan",
        "state",
        "x",
    )

    def __init__(
        self,
        plan: Plan,
        x: Tensor,
        state: tuple[Tensor, ...],
        eager: Callable[[], Sequence[Tensor]],
        order: list[int] | None = None,
        masks: Sequence[Any] = (),
    ) -> None:
        self.plan, self.x, self.state, self.eager = plan, x, state, eager
        self.order, self.masks = order, masks
        self.leaves = [leaf.data for leaf in plan.leaves]  # as they are now
        self.kept: list[Any] = []  # of each step (inputs, kept results, others)

    def run(self) -> list[Tensor]:
        """The outputs, in one record: the final state, and over time also ys."""
        self.path = path = current_scope.get()
        self.copies = self.copied()
        read = self.array_of(self.x), *map(self.array_of, self.state)
        arrays = self.step(read) if self.order is None else self.all_steps(*read)
        if path is None:
            return [Tensor(array) for array in arrays]
        inputs = (self.x, *self.state, self.plan.placeholder)
        needs = self.plan.needs or any(s.requires_grad for s in self.state)
        # Per step: the plan's records, the slice of the input, the masks of states and of y.
        steps = 1 if self.order is None else len(self.order)
        count = steps * (len(self.plan.lines) + len(self.state) + 2) + 2
        self.first = first = reserve_numbers(count + len(arrays))
        params = {"run": self}
        if len(arrays) == 1:
            outputs = [made_by(first, REPLAY, inputs, params, path, arrays[0], needs)]
        else:
            packed = made_by(first, REPLAY, inputs, params, path, arrays[0], needs)
            outputs = [
                made_by(first + count + k, OUTPUT, (packed,), {"output": k}, path, array, needs)
                for k, array in enumerate(arrays)
            ]
        self.alive = [weakref.ref(output) for output in outputs]
        return outputs

    def copied(self) -> Copies | None:
        """Copies of the weights if results are to be dropped, None if all of them are kept.

        Results are kept until copies are cheaper; a loop over single steps counts the bytes
        that its steps have kept so far.
        """
        plan = self.plan
        before = self.step_before() if self.order is None else None
        steps = 1 if self.order is None else len(self.order)
        self.bytes: int = plan.saved * steps + (0 if before is None else before.bytes)
        if self.path is None or not plan.saved or not copies_pay(self.bytes, plan.weight):
            return None
        if before is not None and before.copies is not None and not before.copies.closed:
            return before.copies
        if not all(leaf.flags.forc for leaf in self.leaves):
            return None  # NumPy may multiply by a contiguous copy in another way
        return Copies([leaf.copy("K") for leaf in self.leaves])

    def step_before(self) -> Replay | None:
        """The step before this one in a loop over the same cell with the same weights."""
        for s in self.state:
            record: Any = s._record
            if record is not None and record[1] is OUTPUT:
                record = record[4]._record
            if record is not None and record[1] is REPLAY:
                before: Replay = record[2]["run"]
                if before.plan is self.plan and all(map(is_, before.leaves, self.leaves)):
                    return before
        return None

    def array_of(self, x: Tensor) -> Any:
        """The array that a step reads; a copy if results are dropped and it may be overwritten."""
        given = x._record is None or x.data.base is not None  # data, or a part of it
        first = self.order is not None and x is not self.x  # a state, small beside its run
        return x.data.copy("K") if self.copies is not None and (given or first) else x.data

    def step(self, inputs: tuple[Any, ...]) -> list[Any]:
        """The outputs of a step."""
        plan = self.plan
        drop = self.path is None or self.copies is not None
        results, others = (plan.forward if drop else plan.whole)(inputs, self.leaves)
        if self.path is not None:
            self.kept.append((inputs, results, others))
        return [results[k] for k in plan.outputs]

    def all_steps(self, xs: Any, *state: Any) -> list[Any]:
        """The final state and ys."""
        ys: list[Any] = [None] * len(self.order or ())
        for t in self.order or ():
            *new, y = self.step((xs[..., t, :], *state))
            state, ys[t] = masked_step(self.masks[t], new, y, state)
        return [*state, np.stack(ys, axis=xs.ndim - 2)]

    def gradients(self, parts: list[Any]) -> list[Any]:
        """The gradients of x, of the state before, and of the plan's leaves, from the outputs'."""
        plan, leaves = self.plan, self.leaves
        if self.copies is not None:
            self.copies.closed = True
        # A loop over steps uses the same weights again: one sum for the whole pass.
        shared: Any = current_workspace.get()
        sums = shared.plans.get(plan)
        of_leaves = None  # the placeholder has it already
        if sums is None:
            of_leaves = sums = shared.plans[plan] = LeafGradients(plan, leaves)
        if self.order is None:
            inputs, results, _ = self.kept[0]
            for k, place in enumerate(plan.outputs):
                if parts[k] is None:
                    parts[k] = np.zeros_like(results[place])
            of_inputs = plan.backward(inputs, leaves, results, parts, sums.buffers)
            sums.end_step()
            return [*of_inputs, of_leaves]
        (_, *state), results, _ = self.kept[0]
        *gs, gys = parts
        gs = [np.zeros_like(s) if g is None else g for g, s in zip(gs, state, strict=True)]
        y = results[plan.outputs[-1]]
        gxs = np.zeros_like(self.x.data) if self.x.requires_grad else None
        batch = (slice(None),) * (self.x.ndim - 2)
        for t, (inputs, results, _) in zip(reversed(self.order), reversed(self.kept), strict=True):
            gy = np.zeros_like(y) if gys is None else gys[(*batch, t)]
            here = self.masks[t]
            if here is not None:
                gy = np.where(expand_mask(here, gy), gy, 0)
                passed = [np.where(expand_mask(here, g), 0, g) for g in gs]
                gs = [np.where(expand_mask(here, g), g, 0) for g in gs]
            gx, *gs = plan.backward(inputs, leaves, results, (*gs, gy), sums.buffers)
            gs = [np.zeros_like(a) if g is None else g for g, a in zip(gs, inputs[1:], strict=True)]
            if here is not None:
                gs = [g + p for g, p in zip(gs, passed, strict=True)]
            if gxs is not None and gx is not None:
                gxs[..., t, :] = gx
            sums.end_step()
        return [gxs, *gs, of_leaves]

    def record(self) -> list[Tensor]:
        """Record the steps behind the outputs, with the arrays that the plan computed.

        Returns:
            Tensors with these records: the outputs, or new Tensors for those that were freed.

        Raises:
            RuntimeError: The cell was changed since it ran, or an array that a step read was
                overwritten.
        """
        path, check = current_scope.set(self.path), anomaly_check.set(None)
        try:
            with np.errstate(all="ignore"):  # the run has given its warnings
                again = self.eager()
        except Exception as error:  # weights of another shape, say
            raise RuntimeError(f"{CHANGED} ({error})") from error
        finally:
            anomaly_check.reset(check)
            current_scope.reset(path)
        known = {self.x, *self.state, *self.plan.leaves}
        order, leaves = reachable(again, stop=known)
        if not known.issuperset(leaves):
            raise RuntimeError(CHANGED)
        # Outputs that are still in use take the places of the new ones.
        outputs = {
            new: output
            for new, ref in zip(again, self.alive, strict=True)
            if (output := ref()) is not None
        }
        made = [t for _, t in reversed(order)]
        computed = self.results_of(made)
        weights = dict(zip(self.plan.leaves, self.leaves, strict=True))
        for number, t in enumerate(made, self.first):
            _, op, params, where, *_ = t._record  # type: ignore[misc]
            inputs = [outputs.get(x, x) if isinstance(x, Tensor) else x for x in operands_of(t)]
            arrays = [weights.get(x, x.data) if isinstance(x, Tensor) else x for x in inputs]
            # Results around the steps are computed again: masks, the stack.
            t.data = computed[t] if t in computed else op.forward(*arrays, **params)
            for same in {t, outputs.get(t, t)}:
                same._record = (number, op, params, where, *inputs, *arrays)
                same.name = same.name or t.name
        return [outputs.get(t, t) for t in again]

    def results_of(self, made: list[Tensor]) -> dict[Tensor, Any]:
        """The run's results, and the inputs of its steps, for the new records of the steps."""
        lines, starts = self.plan.lines, [0]
        if self.order is not None:
            starts = [k for k, t in enumerate(made, 1) if operands_of(t)[0] is self.x]
        steps = [made[start : start + len(lines)] for start in starts]
        if len(steps) != len(self.kept) or not all(map(self.is_planned, steps)):
            raise RuntimeError(CHANGED)
        computed: dict[Tensor, Any] = {}
        for start, step, kept in zip(starts, steps, self.kept, strict=True):
            if start:
                computed[made[start - 1]] = kept[0][0]  # the slice of the input
            results = self.every_result(*kept)
            computed.update(zip(step, map(results.get, range(len(lines))), strict=True))
        return computed

    def is_planned(self, step: list[Tensor]) -> bool:
        """Whether a step's records equal the plan's, with the same constants."""
        lines = self.plan.lines
        if len(step) != len(lines):
            return False
        for t, (op, places, params) in zip(step, lines):
            record: Any = t._record
            if record[1] is not op or not (record[2] is params or alike(record[2], params)):
                return False
            for x, place in zip(operands_of(t), places, strict=True):
                if not isinstance(x, Tensor) and not alike(x, place):
                    return False
        return True

    def every_result(self, inputs: Any, results: Any, others: Any) -> dict[int, Any]:
        """Position of a record in the plan -> its result, for one step.

        Args:
            inputs: The step's inputs.
            results: The kept results.
            others: The others, or None if they were dropped and are to be computed again.
        """
        plan = self.plan
        if others is None:
            assert self.copies is not None
            again, others = plan.whole(inputs, self.copies.arrays)
            # In a loop over single steps the user may have overwritten a state since: the one
            # that the step returned, which does not matter here, or one that it read.
            inner = {*range(len(results))} - {*plan.outputs}
            for k in inner if self.order is None else ():
                near = 64 * float(np.finfo(results[k].dtype).eps)
                if not np.allclose(again[k], results[k], near, near, equal_nan=True):
                    raise RuntimeError(OVERWRITTEN)
        return dict(zip((*plan.kept, *plan.others), (*results, *others), strict=True))


class PackedGradients(list[Any]):
    """The gradients of a packed output: one for each output, None where there is none."""

    dtype: Any


def pack(contributions: list[Any], packed: Any) -> PackedGradients:
    """The batch rule of a replay's outputs: their gradients side by side."""
    parts = PackedGradients()
    parts.dtype = packed.dtype
    for g, params, *_ in contributions:
        k = params["output"]
        parts += [None] * (k + 1 - len(parts))
        parts[k] = g
    return parts


def gradients(g: Any, y: Any, *_: Any, run: Replay) -> list[Any]:
    """The rule of a replay; the last outputs may have had no gradient."""
    parts = list(g) if type(g) is PackedGradients else [g]
    return run.gradients(parts + [None] * (len(run.plan.outputs) - len(parts)))


def unavailable(*_: Any, **__: Any) -> Any:
    """The forward of a replay's ops, which are recorded after the run and never applied."""
    raise TypeError("a replay is recorded, not applied")


def expand(output: Tensor) -> None:
    """Expand the record of a replay's output."""
    record: Any = output._record
    k = 0
    if record[1] is OUTPUT:
        k, record = record[2]["output"], record[4]._record
    made = record[2]["run"].record()
    if output is not made[k]:  # a copy of an output
        output._record = made[k]._record


REPLAY = Op("replay", unavailable, gradients, expand=expand)
OUTPUT = Op(
    "output",
    unavailable,
    (unavailable,),
    batch_rules=(pack,),
    buffer_until="all",
    expand=expand,
)
