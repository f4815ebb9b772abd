"""A tape step by step: layers and losses that run once over a whole sequence, once for each step.

Code is fast where it looks all tokens up at once, multiplies all outputs by V at once and has one
loss over all positions; a textbook draws an embedding, scores, a softmax and a loss at each step.
Both compute the same. Here such records are run again, a step at a time, as real records with
real numbers and gradients, so that whatever reads tapes reads this one too. Each stands in the
column of its step, but beside its cell (``StepwiseTape.columns``).

What may be split is read off the ops: one that treats every position alike, so that its result at
position t depends on its operand at t alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import Context
from typing import Any, NamedTuple

import numpy as np

from ..autograd import (
    ClassName,
    Gradients,
    Record,
    Tape,
    Tensor,
    apply,
    cross_entropy,
    log_softmax,
    nll_loss,
    operands_of,
    scope,
    values,
)
from .structure import Structure, part_taken, read

__all__ = ["StepwiseTape", "by_steps"]

# Besides ufuncs and what broadcasts: ops that work number by number.
ELEMENTWISE = frozenset(
    [
        *("sigmoid", "relu", "leaky_relu", "elu", "silu", "gelu", "softplus", "log_sigmoid"),
        *("hard_sigmoid", "dropout", "where", "clip", "cut", "binary_cross_entropy", "astype"),
    ]
)
ALONG_LAST = frozenset(["softmax", "log_softmax", "layer_norm"])  # keep every other axis
TRANSPOSING = frozenset(["transpose", "swapaxes"])
LOSSES = frozenset(["cross_entropy", "nll_loss"])
WORTH_IT = LOSSES | {"embedding", "matmul"}  # what alone would not be run again: merges, squares


class StepwiseTape(Tape):
    """A tape with records that stand in a step's column, beside its cell.

    Attributes:
        columns: Result of such a record -> the result of a record within its step.
    """

    columns: Mapping[Tensor, Tensor]


class Parts(NamedTuple):
    """A sequence, taken apart: a Tensor for each step, and a Tensor made within each step."""

    axis: int  # of time in the whole, from the end
    tensors: list[Tensor]
    anchors: list[Tensor]


def by_steps(
    structure: Structure, gradients: Mapping[Tensor, Any] | None = None
) -> tuple[Structure, Mapping[Tensor, Any] | None]:
    """A tape, and gradients of its Tensors, step by step; both as they are if nothing changes.

    Args:
        structure: The tape, read.
        gradients: What its ``gradients()`` returned, or None.

    Returns:
        A tape whose outputs have the same values, read, and the gradients of its Tensors.
    """
    splitter = Splitter(structure)
    if not splitter.wanted:
        return structure, gradients
    split = Context().run(splitter.tape)  # outside of any scope or no_grad of the caller
    if gradients is None:
        return read(split, structure.closed), None
    if any(isinstance(g, Tensor) for g in gradients.values()):
        gradients = {x: values(g) for x, g in gradients.items()}
    seeds = splitter.seeds(gradients)
    found: Mapping[Tensor, Any] = split.gradients(seeds if len(seeds) > 1 else seeds[0])
    return read(split, structure.closed), Gradients({**gradients, **found})


class Splitter:
    """Finds what can be run step by step, and runs it.

    Attributes:
        axes: Tensor -> the axis of time, from the end, of what can be split.
        wanted: Those that are split: they lead to a loss, an output or another layer's steps.
    """

    def __init__(self, structure: Structure) -> None:
        self.s = structure
        self.records, self.outputs = structure.records, set(structure.tape.outputs)
        self.uses = structure.uses
        self.axes: dict[Tensor, int] = {}
        self.stacks: set[Tensor] = set()
        self.find_outputs()
        self.wanted: set[Tensor] = set()
        self.find_wanted()
        self.find_inputs()
        if not any(map(self.is_split, self.records)):
            self.wanted.clear()
        self.new: dict[Tensor, Tensor] = {}
        self.parts: dict[Tensor, Parts] = {}
        self.columns: dict[Tensor, Tensor] = {}
        self.here: tuple[str, ...] = ()
        self.around = ExitStack()
        self.settled: set[Tensor] = set()  # new ones that are in no column beside a cell

    # What can be split ------------------------------------------------------------------------

    def find_outputs(self) -> None:
        """What is computed position by position from the outputs of a loop's steps."""
        for i, record in enumerate(self.records):
            if self.s.where[i] is not None:
                continue
            if self.is_stack(record):
                axis = int(record.params.get("axis", 0))
                self.axes[record.output] = axis - record.output.ndim if axis >= 0 else axis
                self.stacks.add(record.output)
                continue
            known = {self.axes[x] for x in record.inputs if x in self.axes}
            if len(known) == 1:
                axis_out = axis_after(record, next(iter(known)), self.axes)
                if axis_out is not None:
                    self.axes[record.output] = axis_out

    def is_stack(self, record: Record) -> bool:
        """Whether a record joins what the steps of a loop gave."""
        if record.op != "stack" or len(record.inputs) < 2:
            return False
        places = [self.s.where[j] if (j := self.s.made.get(x)) is not None else None
                  for x in record.inputs]  # fmt: skip
        return None not in places and len(set(places)) == len(places)

    def find_wanted(self) -> None:
        """Of these, what leads to a loss, an output or the steps of another layer."""
        for i in range(len(self.records) - 1, -1, -1):
            record = self.records[i]
            x = record.output
            if x not in self.axes:
                continue
            leads = x in self.outputs and x not in self.stacks
            for j, _ in self.uses.get(x, ()):
                user = self.records[j]
                leads = leads or user.output in self.wanted or self.ends(user, x, j)
            if leads:
                self.wanted.add(x)

    def is_split(self, record: Record) -> bool:
        """Whether a record is run step by step, or has a sequence as the operand of its loss."""
        if record.op not in WORTH_IT:
            return False
        return record.output in self.wanted or any(x in self.wanted for x in record.inputs)

    def ends(self, user: Record, x: Tensor, j: int) -> bool:
        """Whether a sequence ends in a loss, a number, a module, or another layer's steps."""
        if user.op in LOSSES or self.is_closed(j):
            return self.axes[x] < -1
        whole = user.op in ("sum", "mean") and not user.output.ndim
        return (whole and x not in self.stacks) or self.taken(user, j) is not None

    def is_closed(self, i: int) -> bool:
        """Whether a record stands in the box of a module that reads whole sequences."""
        inside = any(isinstance(name, ClassName) for name in self.records[i].scope)
        return self.s.closed and inside and self.s.where[i] is None

    def taken(self, user: Record, j: int) -> tuple[int, int] | None:
        """The axis, from the end, and the position that a step takes out of a sequence."""
        part = part_taken(user) if user.step is not None and self.s.where[j] is not None else None
        if part is None:
            return None
        x, (axis, number) = user.inputs[0], part
        return axis - x.ndim, number % x.shape[axis]

    def find_inputs(self) -> None:
        """Lookups of tokens, and what is computed from them position by position, before steps."""
        axes: dict[Tensor, int] = {}
        for i in range(len(self.records) - 1, -1, -1):
            record = self.records[i]
            x = record.output
            if self.s.where[i] is not None or x in self.axes or x in self.outputs:
                continue
            found: set[int | None] = set()
            for j, _ in self.uses.get(x, ()):
                user = self.records[j]
                if (at := self.taken(user, j)) is not None:
                    found.add(at[0])
                elif user.output in axes:
                    found.add(axis_before(user, x, axes[user.output]))
                else:
                    found.add(None)
            if len(found) == 1 and (axis := next(iter(found))) is not None:
                axes[x] = axis
        # Forward: all that has an axis of time must come of lookups.
        for record in self.records:
            x = record.output
            if x not in axes:
                continue
            if record.op == "embedding":
                ok = -axes[x] <= record.params["ids"].ndim + 1 and axes[x] < -1
            else:
                known = {self.axes[y] for y in record.inputs if y in self.axes}
                ok = known == {axes[x]} and axis_after(record, axes[x], self.axes) == axes[x]
            if ok:
                self.axes[x] = axes[x]
                self.wanted.add(x)

    # Running it -------------------------------------------------------------------------------

    def tape(self) -> StepwiseTape:
        """The tape of the same outputs."""
        for i, record in enumerate(self.records):
            self.run(i, record)
        out = StepwiseTape(*(x for output in self.s.tape.outputs for x in self.parted(output)))
        self.go(())
        out.columns = {x: self.new.get(anchor, anchor) for x, anchor in self.columns.items()}
        return out

    def parted(self, x: Tensor) -> list[Tensor]:
        """An output, or its parts."""
        known = self.parts.get(x)
        return [self.whole(x)] if known is None or x in self.new else known.tensors

    def seeds(self, gradients: Mapping[Tensor, Any]) -> list[Any]:
        """The gradients of the outputs, or of their parts."""
        found: list[Any] = []
        for x in self.s.tape.outputs:
            g, parts = gradients.get(x), self.parted(x)
            axis = self.axes.get(x, 0)
            split = len(parts) > 1 or parts[0] is not self.new.get(x, x)
            cut = split and g is not None
            found += [take(g, axis, t) if cut else g for t in range(len(parts))]
        return found

    def run(self, i: int, record: Record) -> None:
        """Run a record again, or its parts."""
        x = record.output
        sequence = next((y for y in record.inputs if y in self.parts), None)
        if x in self.stacks and x in self.wanted:
            anchors = list(record.inputs)
            self.parts[x] = Parts(self.axes[x], [self.whole(y) for y in anchors], anchors)
        elif record.op == "embedding" and x in self.wanted:
            self.split(record, self.steps_of(x))
        elif sequence is not None and record.op in LOSSES:
            self.run_loss(record, self.parts[sequence])
        elif sequence is not None and x in self.wanted:
            last = max((y for y in record.inputs if y in self.parts), key=self.loop_of)
            self.split(record, self.parts[last].anchors)
        elif sequence is not None and (at := self.taken(record, i)) is not None:
            part = self.parts[sequence].tensors[at[1]]
            self.new[x] = part
            part.name = part.name or x.name
        elif record.op == "cross_entropy" and record.inputs[0].ndim == 1:
            self.run_alone(record)
        else:
            within = record.scope if self.is_closed(i) else None
            operands = tuple(self.whole(y, within) for y in record.inputs)
            self.go(record.scope)
            self.new[x] = apply(record.op, operands, record.params)
            self.settle(x)

    def settle(self, x: Tensor) -> None:
        """Name what stands for a Tensor as it is named."""
        self.new[x].name = x.name
        self.settled.add(self.new[x])

    def go(self, path: tuple[str, ...]) -> None:
        """Record in a scope of this path from now on."""
        if path is not self.here:
            self.around.close()
            for name in path:
                self.around.enter_context(scope(name))
            self.here = path

    def loop_of(self, x: Tensor) -> tuple[int, int]:
        """Where the steps of a sequence's parts stand."""
        return self.s.where[self.s.made[self.parts[x].anchors[0]]] or (-1, 0)

    def steps_of(self, x: Tensor) -> list[Tensor]:
        """A Tensor of each step that takes its part of a sequence."""
        found: dict[int, Tensor] = {}
        waiting = [x]
        while waiting:
            y = waiting.pop()
            for j, _ in self.uses.get(y, ()):
                if (at := self.taken(self.records[j], j)) is not None:
                    for i, _ in self.uses.get(self.records[j].output, ())[:1]:
                        reader, before = self.records[i].output, found.get(at[1])
                        if before is None or i < self.s.made[before]:
                            found[at[1]] = reader
                elif self.records[j].output in self.axes:
                    waiting.append(self.records[j].output)
        return [found[t] for t in range(len(found))]

    def whole(self, x: Tensor, within: tuple[str, ...] | None = None) -> Tensor:
        """What stands for a Tensor in the new tape, its parts joined if they must be.

        They are joined in the scope in which it was made, unless another one is given.
        """
        if x not in self.new and x in self.parts:
            parts = self.parts[x]
            before = self.here
            self.go(within or self.records[self.s.made[x]].scope)
            joined: Any = np.stack(parts.tensors, axis=parts.axis)  # type: ignore[call-overload]
            self.go(before)
            self.new[x] = joined
            self.settle(x)
        return self.new.get(x, x)

    def split(self, record: Record, anchors: list[Tensor]) -> None:
        """Run a record for each step."""
        x, axis = record.output, self.axes[record.output]
        loop = self.s.loops[(self.s.where[self.s.made[anchors[0]]] or (0, 0))[0]]
        path = without_common(record.scope, loop.path)
        parts = []
        for t, anchor in enumerate(anchors):
            self.go(path)
            part = self.run_part(record, t, axis)
            self.columns_below(part, anchor)
            if x.name:
                part.name = f"{x.name.removesuffix('s')}_{self.step_of(anchor)}"
            parts.append(part)
        self.parts[x] = Parts(axis, parts, anchors)

    def step_of(self, anchor: Tensor) -> int:
        """The number of the step that a Tensor was made in."""
        place = self.s.where[self.s.made[anchor]]
        assert place is not None
        return place[1]

    def columns_below(self, part: Tensor, anchor: Tensor) -> None:
        """Put a result, and what was newly made for it, into the column of a step."""
        waiting = [part]
        while waiting:
            x = waiting.pop()
            known = x in self.columns or x in self.settled or x in self.s.made
            if not known and x._record is not None:
                self.columns[x] = anchor
                waiting += [y for y in operands_of(x) if isinstance(y, Tensor)]

    def run_part(self, record: Record, t: int, axis: int) -> Tensor:
        """What a record gives at position t."""
        op, params = record.op, dict(record.params)
        if op == "embedding":
            params["ids"] = take(params["ids"], axis + 1, t)
            return apply(op, record.inputs, params)
        for name in ("keep", "targets", "positive"):
            if isinstance(params.get(name), np.ndarray):
                params[name] = aligned(params[name], axis, t)
        if op == "getitem":
            index = full_index(params["index"], record.inputs[0].ndim)
            position = index_position(index, self.axes[record.inputs[0]])
            del index[position]
            return apply(op, (self.part(record.inputs[0], t),), {"index": tuple(index)})
        if op == "matmul":
            a, b = self.part(record.inputs[0], t), self.weights(record.inputs[1])
            if b.ndim <= 2:
                return apply(op, (a, b), params)
            return apply(op, (a[..., None, :], b), params)[..., 0, :]
        operands = [
            self.part(x, t) if x in self.parts else self.slice_of(x, axis, t) for x in record.inputs
        ]
        return apply(op, tuple(operands), params)

    def weights(self, x: Tensor) -> Any:
        """The right side of a product; what is transposed is transposed beside each."""
        record = self.records[self.s.made[x]] if x in self.s.made else None
        if record is None or record.op not in TRANSPOSING:
            return self.whole(x)
        return apply(record.op, tuple(map(self.whole, record.inputs)), record.params)

    def part(self, x: Tensor, t: int) -> Tensor:
        """Position t of a sequence."""
        return self.parts[x].tensors[t]

    def slice_of(self, x: Tensor, axis: int, t: int) -> Any:
        """Of an operand that is no sequence what meets position t of one."""
        if x.ndim < -axis:
            return self.whole(x)
        if x._record is None and not x.requires_grad:
            return Tensor(aligned(np.asarray(x.data), axis, t), name=x.name)
        here = t if x.shape[axis] > 1 else 0
        return self.whole(x)[(..., here, *[slice(None)] * (-axis - 1))]

    # Losses -----------------------------------------------------------------------------------

    def run_loss(self, record: Record, scores: Parts) -> None:
        """The loss at each step, and their sum or mean."""
        x, axis, params = record.output, scores.axis + 1, record.params
        share = np.asarray(params["share"])
        counts = share != 0
        one = float(share.max(initial=0))  # of each position that counts, in the total
        plain = params["weight"] is None and not params["smoothing"]
        reduction = "none" if not params["total"] else "sum"
        mean = reduction == "sum" and counts.all() and plain and one < 1
        losses = []
        self.go(())
        for t, (part, anchor) in enumerate(zip(scores.tensors, scores.anchors, strict=True)):
            step = self.step_of(anchor)
            part.name = part.name or f"y_{step}"
            here = {"targets": take(params["targets"], axis, t), "mask": take(counts, axis, t)}
            loss = self.loss(record, part, here, "mean" if mean else reduction)
            loss.name = f"L_{step}"
            self.columns_below(loss, anchor)
            losses.append(loss)
        if reduction == "none":
            self.parts[x] = Parts(axis, losses, scores.anchors)
            return
        joined: Any = np.stack(losses)  # type: ignore[call-overload]
        total = np.mean(joined) if mean else np.sum(joined)
        self.new[x] = total if mean or one == 1 else total * one
        self.settle(x)
        self.new[x].name = x.name or "L"

    def run_alone(self, record: Record) -> None:
        """A cross entropy outside of time, as that of a class."""
        x, params = record.output, record.params
        scores = self.whole(record.inputs[0])
        scores.name = scores.name or "y"
        self.go(())
        here = {"targets": params["targets"], "mask": np.asarray(params["share"]) != 0}
        self.new[x] = self.loss(record, scores, here, "sum" if params["total"] else "none")
        self.settle(x)
        self.new[x].name = x.name or "L"

    def loss(self, record: Record, scores: Any, here: dict[str, Any], reduction: Any) -> Any:
        """A loss from scores; a cross entropy as the negative logarithm of a softmax."""
        here |= {"weight": record.params["weight"], "reduction": reduction}
        if record.op == "nll_loss":
            return nll_loss(scores, **here)
        if record.params["smoothing"]:
            return cross_entropy(scores, smoothing=record.params["smoothing"], **here)
        with scope("softmax"):
            scores = log_softmax(scores)
        return nll_loss(scores, **here)


# Axes -----------------------------------------------------------------------------------------


def is_elementwise(record: Record) -> bool:
    """Whether each number of a record's result comes of one number of each operand."""
    op = record.op
    ufunc = isinstance(op.forward, np.ufunc) and op.forward.signature is None
    return op.elementwise or ufunc or op in ELEMENTWISE


def axis_after(record: Record, axis: int, axes: Mapping[Tensor, int]) -> int | None:
    """Where the axis of time is in a result, or None if positions do not stay apart."""
    op, out = record.op, record.output
    x = next(y for y in record.inputs if y in axes)
    if is_elementwise(record):
        return axis if out.ndim >= -axis and out.shape[axis] == x.shape[axis] else None
    last = record.params.get("axis", -1)
    if op in ALONG_LAST:
        return axis if normal(last, x.ndim) != axis else None
    if op == "concatenate":
        everywhere = all(y.ndim == x.ndim for y in record.inputs)
        return axis if everywhere and normal(last, x.ndim) != axis else None
    if op == "matmul":
        return axis_after_product(record.inputs, axis, axes)
    return axis_after_index(record.params.get("index"), x, axis) if op == "getitem" else None


def axis_after_product(
    operands: tuple[Tensor, ...], axis: int, axes: Mapping[Tensor, int]
) -> int | None:
    """The same for a product from the left with what is no sequence."""
    a, b = operands
    if a not in axes or b in axes or axis > -2:
        return None
    if b.ndim <= 2:
        return axis if b.ndim == 2 else axis + 1
    return axis if axis == -2 and a.ndim == b.ndim else None


def axis_after_index(index: Any, x: Tensor, axis: int) -> int | None:
    """The same for basic indexing that keeps the whole axis."""
    parts = full_index(index, x.ndim)
    position = index_position(parts, axis) if parts else -1
    if position < 0 or parts[position] != slice(None):
        return None
    return -1 - sum(part is None or isinstance(part, slice) for part in parts[position + 1 :])


def axis_before(record: Record, x: Tensor, axis: int) -> int | None:
    """Where the axis of time is in an operand, given that of the result of an elementwise op."""
    if is_elementwise(record) or record.op in ALONG_LAST or record.op == "concatenate":
        return axis if x.ndim >= -axis else None
    return None


def normal(axis: Any, ndim: int) -> int:
    """An axis counted from the end."""
    return int(axis) - ndim if axis >= 0 else int(axis)


def full_index(index: Any, ndim: int) -> list[Any]:
    """A basic index with an entry for each axis and each new one; empty for an advanced one."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(not (p is None or p is Ellipsis or isinstance(p, (int, slice))) for p in parts):
        return []
    missing = ndim - sum(p is not None and p is not Ellipsis for p in parts)
    if Ellipsis not in parts:
        parts.append(Ellipsis)
    at = parts.index(Ellipsis)
    return [*parts[:at], *[slice(None)] * missing, *parts[at + 1 :]]


def index_position(index: list[Any], axis: int) -> int:
    """The place in a full index of an axis counted from the end."""
    places = [n for n, part in enumerate(index) if part is not None]
    return places[axis]


def take(array: Any, axis: int, t: int) -> Any:
    """Position t of an array along an axis."""
    return np.take(np.asarray(array), t, axis=axis)


def aligned(array: Any, axis: int, t: int) -> Any:
    """Position t of an array that is broadcast along the axis of time."""
    if array.ndim < -axis:
        return array
    return take(array, axis, t if array.shape[axis] > 1 else 0)


def without_common(path: tuple[str, ...], around: tuple[str, ...]) -> tuple[str, ...]:
    """A scope's path without what stands around a loop too."""
    depth = 0
    while depth < min(len(path), len(around)) and path[depth] == around[depth]:
        depth += 1
    return path[depth:]
