"""Steps replayed as a plan: what makes training fast, and leaves no trace on the tape.

A cell whose steps are all the same (``same_every_step``) is recorded op by op the first time
that it runs on inputs of some shape. From the second time on its step runs as a ``Plan``, and
the whole of it is one record. Whoever reads the tape gets the steps' records back: the step is
recorded again, with the arrays that the plan computed.

Of long runs and large batches the results that no gradient rule reads are dropped. Who reads the
tape gets them computed again, from copies of the weights and of the inputs: an update or the next
batch may have overwritten them since.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.context import current, watched
from ..autograd.numpy_ops import workspace
from ..autograd.replay import Plan, Totals, alike
from ..autograd.tape import reachable
from ..autograd.tensor import Op, made_by, operands_of, reserve_numbers

__all__ = ["Replay", "plan_of"]

# Plans of each cell, the most recent ones: (input shape, dtypes, what needs gradients) -> plan.
KEPT = 16
CHANGED = "the cell was changed since it ran: no tape is left of the run"
OVERWRITTEN = (
    "a state or a weight was overwritten in the middle of a loop over steps: no tape is left of "
    "them; make a new array, as in state = (np.where(mask, h, 0), c) or p.data = p.data * 2"
)
# Up to so many bytes the results that no rule reads are kept: copies would save nothing that one
# could measure, and it is small networks whose tapes are read.
FEW = 1 << 20
_plans: weakref.WeakKeyDictionary[Any, OrderedDict[Any, Held]] = weakref.WeakKeyDictionary()


def plan_of(
    cell: Any, x: Any, state: Sequence[Any], x_needs: bool, one_step: bool = False
) -> Plan | None:
    """The plan of a cell's step, from the second time on that such a step is asked for.

    Args:
        cell: The Cell.
        x: The shape and dtype of one step's input.
        state: The state before it, Tensors.
        x_needs: Whether the gradient of the input is wanted.
        one_step: Whether the outputs are the new state only, or the output y too.
    """
    shape, dtype = x
    if not cell.same_every_step or watched.get() or 0 in shape:
        return None
    plans = _plans.get(cell)
    if plans is None:
        plans = _plans[cell] = OrderedDict()
    kinds = [(s.data.shape, s.data.dtype.char) for s in state]
    key = (shape, dtype.char, x_needs, one_step, *kinds)
    ids = [*map(id, vars(cell).values())]  # the cell's parameters may be replaced
    held = plans.get(key)
    if held is None or held.ids != ids or held.changed():
        # Asked for the first time: it may never be asked for again.
        plans[key] = Held(cell, ids)
        if len(plans) > KEPT:
            plans.popitem(last=False)
        return None
    if not held.made:
        held.made = True
        if all(s.data.dtype == dtype for s in state):

            def step(x: Any, *state: Any) -> Any:
                new = cell.forward(x, state)
                return new if one_step else (*new, cell.output(new))

            shapes = [shape, *(s.data.shape for s in state)]
            plan = Plan.of(step, shapes, dtype, [x_needs, *(True for _ in state)])
            if plan is not None and serves(plan, cell, shapes[1:], one_step):
                held.plan = plan
    return held.plan


def kinds_seen(cell: Any) -> list[tuple[Any, bool]]:
    """For what kinds of inputs a step has run, and whether it would be replayed the next time.

    A replay adds gradients up in another order than the tape. A training that is to go on to
    the last bit in another process has to know what was replayed.
    """
    ids = [*map(id, vars(cell).values())]
    plans: Any = _plans.get(cell, {})
    return [(key, h.ids == ids and h.flags == flags(h.tensors)) for key, h in plans.items()]


def see_kinds(cell: Any, kinds: Sequence[tuple[Any, bool]]) -> None:
    """Let a cell be as if its step had run for these kinds of inputs."""
    ids = [*map(id, vars(cell).values())]
    _plans[cell] = OrderedDict((key, Held(cell, ids if again else [])) for key, again in kinds)


def serves(plan: Plan, cell: Any, states: list[tuple[int, ...]], one_step: bool) -> bool:
    """Whether a plan can stand for the steps of a cell whose states have these shapes."""
    n = len(states)
    own = [value for value in vars(cell).values() if isinstance(value, Tensor)]
    return (
        # Changes are seen of the cell's own attributes, not inside of its lists and modules.
        set(plan.leaves) <= set(own)
        and all("." not in name for name, _ in cell.named_places())
        and len(set(plan.outputs[:n])) == n  # no Tensor that is two states at once
        and (one_step or plan.shapes[:n] == states)  # the next step finds the same shapes
    )


def flags(tensors: Sequence[Tensor]) -> list[Any]:
    """What of a cell's Tensors a plan depends on, besides that they are these."""
    return [(t.requires_grad, t.data.dtype) for t in tensors]


class Held:
    """What is kept of a cell for inputs of one kind: its plan, and for what it was made."""

    __slots__ = ("flags", "ids", "made", "plan", "tensors", "things")

    def __init__(self, cell: Any, ids: list[int]) -> None:
        self.ids, self.things = ids, list(vars(cell).values())  # alive, so the ids stay theirs
        self.tensors = [t for t in self.things if isinstance(t, Tensor)]
        self.flags = flags(self.tensors)
        self.made = False
        self.plan: Plan | None = None

    def changed(self) -> bool:
        """Whether the flags of the tensors are no longer the ones that were noted."""
        for t, (needs, dtype) in zip(self.tensors, self.flags):
            own = t.data.dtype
            if t.requires_grad is not needs or (own is not dtype and own != dtype):
                return True
        return False


def copies_pay(dropped: int, weight: int) -> bool:
    """Whether copies of weights of so many bytes cost less than results of so many, kept."""
    return dropped >= max(FEW, 2 * weight)


class Copies:
    """The weights of a run as they were, for who reads its tape when they have been changed.

    Attributes:
        arrays: Of the plan's leaves.
        closed: Whether a backward pass has been through the run: an update may follow, so that
            a step that comes later takes copies of its own.
    """

    __slots__ = ("arrays", "closed")

    def __init__(self, arrays: list[Any]) -> None:
        self.arrays, self.closed = arrays, False


class Replay:
    """A plan run over time, or for one step, with what its gradient and its records need.

    Args:
        plan: Of one step.
        x: The input: (batch, time, d_in) or (time, d_in); of one step without time.
        state: The state before the first step.
        eager: Records the same op by op, and returns the same outputs.
        order: The positions in the order in which they are read; None for one step.
        masks: For each position which sequences are real, (batch, 1), or None for all.
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
        self.kept: list[Any] = []  # of each step (inputs, results that are needed, others)

    def run(self) -> list[Tensor]:
        """The outputs, on the tape as one record: the final state, and over time also ys."""
        self.path = path = current.get()
        self.copies = self.copied()
        read = self.array_of(self.x), *map(self.array_of, self.state)
        arrays = self.step(read) if self.order is None else self.all_steps(*read)
        if path is None:
            return [Tensor(array) for array in arrays]
        inputs = (self.x, *self.state, self.plan.sink)
        needs = self.plan.needs or any(s.requires_grad for s in self.state)
        # Per step: the plan's records, the slice of the input, the masks of states and of y.
        steps = 1 if self.order is None else len(self.order)
        count = steps * (len(self.plan.lines) + len(self.state) + 2) + 2
        self.first = first = reserve_numbers(count + len(arrays))
        params = {"run": self}
        if len(arrays) == 1:
            outputs = [made_by(first, REPLAY, inputs, params, path, arrays[0], needs)]
        else:
            hub = made_by(first, REPLAY, inputs, params, path, arrays[0], needs)
            outputs = [
                made_by(first + count + k, OUTPUT, (hub,), {"output": k}, path, array, needs)
                for k, array in enumerate(arrays)
            ]
        self.alive = [weakref.ref(output) for output in outputs]
        return outputs

    def copied(self) -> Copies | None:
        """Copies of the weights if results are to be dropped, None if all of them are kept.

        They are kept until copies are the cheaper way: in a loop that is known when the steps
        so far have kept as much.
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
            return None  # NumPy may multiply by a compact copy in another way
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
        """What a step reads; with results dropped a copy of what may be overwritten later."""
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
            here = self.masks[t]
            if here is not None:
                new = [np.where(fit(here, a), a, b) for a, b in zip(new, state, strict=True)]
                y = np.where(fit(here, y), y, 0)
            state = tuple(new)
            ys[t] = y
        return [*state, np.stack(ys, axis=xs.ndim - 2)]

    def gradients(self, parts: list[Any]) -> list[Any]:
        """The gradients of x, of the state before, and of the plan's leaves, from the outputs'."""
        plan, leaves = self.plan, self.leaves
        if self.copies is not None:
            self.copies.closed = True
        # A loop over steps uses the same weights again: one sum in the whole pass.
        shared: Any = workspace.get()
        totals = shared.totals.get(plan)
        of_leaves = None  # the sink has it already
        if totals is None:
            of_leaves = totals = shared.totals[plan] = Totals(plan, leaves)
        if self.order is None:
            inputs, results, _ = self.kept[0]
            for k, place in enumerate(plan.outputs):
                if parts[k] is None:
                    parts[k] = np.zeros_like(results[place])
            given = plan.backward(inputs, leaves, results, parts, totals.uses)
            totals.stepped()
            return [*given, of_leaves]
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
                gy = np.where(fit(here, gy), gy, 0)
                passed = [np.where(fit(here, g), 0, g) for g in gs]
                gs = [np.where(fit(here, g), g, 0) for g in gs]
            gx, *gs = plan.backward(inputs, leaves, results, (*gs, gy), totals.uses)
            gs = [np.zeros_like(a) if g is None else g for g, a in zip(gs, inputs[1:], strict=True)]
            if here is not None:
                gs = [g + p for g, p in zip(gs, passed, strict=True)]
            if gxs is not None and gx is not None:
                gxs[..., t, :] = gx
            totals.stepped()
        return [gxs, *gs, of_leaves]

    def record(self) -> list[Tensor]:
        """Put the steps' records behind the outputs, with the arrays that the plan computed.

        Returns:
            Tensors with these records: the outputs, or what stands for one that nobody has.

        Raises:
            RuntimeError: The cell is another than the one that ran, or what a step read was
                overwritten and is not there any more.
        """
        path, watch = current.set(self.path), watched.set(False)
        try:
            with np.errstate(all="ignore"):  # the run has said what there was to say
                again = self.eager()
        except Exception as error:  # weights of another shape, say
            raise RuntimeError(f"{CHANGED} ({error})") from error
        finally:
            watched.reset(watch)
            current.reset(path)
        given = {self.x, *self.state, *self.plan.leaves}
        order, leaves = reachable(again, stop=given)
        if not given.issuperset(leaves):
            raise RuntimeError(CHANGED)
        # The outputs that are still in use take the places of the new ones.
        outputs = {
            new: output
            for new, ref in zip(again, self.alive, strict=True)
            if (output := ref()) is not None
        }
        made = [t for _, t in reversed(order)]
        computed = self.results_of(made)
        held = dict(zip(self.plan.leaves, self.leaves, strict=True))
        for number, t in enumerate(made, self.first):
            _, op, params, where, *_ = t._record  # type: ignore[misc]
            inputs = [outputs.get(x, x) if isinstance(x, Tensor) else x for x in operands_of(t)]
            arrays = [held.get(x, x.data) if isinstance(x, Tensor) else x for x in inputs]
            # What stands around a step is computed again: masks, the stack.
            t.data = computed[t] if t in computed else op.forward(*arrays, **params)
            for same in {t, outputs.get(t, t)}:
                same._record = (number, op, params, where, *inputs, *arrays)
                same.name = same.name or t.name
        return [outputs.get(t, t) for t in again]

    def results_of(self, made: list[Tensor]) -> dict[Tensor, Any]:
        """Of the steps' records, made anew, the results of the run, and what the steps read."""
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
        """Whether a step's records are those of the plan, with the same constants."""
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
        """Record -> its result, of one step.

        Args:
            inputs: What the step read.
            results: Those of its results that were needed.
            others: The others, or None if they were dropped and are to be computed again.
        """
        plan = self.plan
        if others is None:
            assert self.copies is not None
            again, others = plan.whole(inputs, self.copies.arrays)
            # In a loop states are in the user's hands, and may have been overwritten since: this
            # step's, which is no matter, or those that it read.
            inner = {*range(len(results))} - {*plan.outputs}
            for k in inner if self.order is None else ():
                near = 64 * float(np.finfo(results[k].dtype).eps)
                if not np.allclose(again[k], results[k], near, near, equal_nan=True):
                    raise RuntimeError(OVERWRITTEN)
        return dict(zip((*plan.kept, *plan.others), (*results, *others), strict=True))


def fit(here: Any, a: Any) -> Any:
    """The mask of a step, (batch, 1), with as many axes as what it masks."""
    return here.reshape(here.shape + (1,) * (a.ndim - here.ndim))


class Bundle(list[Any]):
    """The gradients of several outputs of one record, None for those that have none."""

    dtype: Any


def bundle(uses: list[Any], hub: Any) -> Bundle:
    """The pool of a replay's outputs: their gradients side by side."""
    parts = Bundle()
    parts.dtype = hub.dtype
    for g, params, *_ in uses:
        k = params["output"]
        parts += [None] * (k + 1 - len(parts))
        parts[k] = g
    return parts


def gradients(g: Any, y: Any, *_: Any, run: Replay) -> list[Any]:
    """The rule of a replay; a bundle may end before the last outputs that had no gradient."""
    parts = list(g) if type(g) is Bundle else [g]
    return run.gradients(parts + [None] * (len(run.plan.outputs) - len(parts)))


def unavailable(*_: Any, **__: Any) -> Any:
    """A replay's forward: it is put on the tape when it has run, and never applied."""
    raise TypeError("a replay is recorded, not applied")


def expand(output: Tensor) -> None:
    """Put the records of the steps behind an output of a replay."""
    record: Any = output._record
    k = 0
    if record[1] is OUTPUT:
        k, record = record[2]["output"], record[4]._record
    made = record[2]["run"].record()
    if output is not made[k]:  # a copy of an output
        output._record = made[k]._record


REPLAY = Op("replay", unavailable, gradients, expand=expand)
OUTPUT = Op("output", unavailable, (unavailable,), pools=(bundle,), gather="all", expand=expand)
