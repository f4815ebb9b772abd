"""The plan of a loop over time: the records of one step, sorted into calls of three phases.

What depends on the input alone runs for all steps at once, before the loop; what no later step
needs runs for all steps at once after it. Between them stands the loop itself, as short as the
equations allow:

- Products are packed by their left side: x W_f, x W_i, ... are one product.
- A sum of several terms is one sum; its terms that are known before the loop are summed there.
- Equal calls on neighbouring columns are one call: the sigmoids of three gates.

A plan holds no arrays: ``execute`` runs it, and ``adjoint`` has its pass back.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd import (
    CONCATENATE,
    LAYER_NORM,
    SOFTMAX,
    TABLE,
    Line,
    Op,
    Trace,
    Untraceable,
    operands_read,
    split_off_weights,
)
from .calls import (
    ADD,
    COPY,
    MATMUL,
    PHASES,
    Buffer,
    Call,
    Constant,
    Leaves,
    Operand,
    Ref,
    along_row,
    call,
    hold,
    schedule,
    store,
)

__all__ = ["ALONG_AXIS", "GETITEM", "Plan"]

GETITEM = TABLE[operator.getitem]
# Ops along an axis, which serve one step and all steps at once if the axis is the last one.
ALONG_AXIS = {
    *(TABLE[f] for f in (np.sum, np.mean, np.var, np.std, np.max, np.min)),
    CONCATENATE,
    LAYER_NORM,
    SOFTMAX,
}


class Plan:
    """A step sorted into calls.

    Args:
        whole: The trace of the step: its inputs are x and the states, its outputs the new states
            and y.
        x_needs: Whether the gradient of the input is wanted.
        leaf_needs: Whether that of each leaf is.
        attributes: The positions of the leaves among the Tensors in the cell's attributes.

    Attributes:
        of_weights: What is computed from the leaves alone: once, as further leaves.
        outputs: The places of the new states and y.
        lines: The other lines.
        kinds: Of each line: "product" with a leaf, "sum", pointwise "map", "part" of a result that
            is split into columns, another op along each "row", or another "call".
        terms: The operands of each line; those of a sum are all its terms.
        leaf_wanted: Whether the gradient of each leaf is wanted.
        rowwise: Whether each sequence of a batch runs by itself, so that a batch may be split.
        phase: Of each place.
        location: The columns of each place.
        x: The buffer of the input.
        states: The buffers of the states.
        state_names: The names that the step gives to its states, or None for each.
        y: The columns of the output.
        calls: Of each phase.
        masked: The calls of the loop, and then those that hold the states at padding.
        padded: The buffer of booleans that are true at padding.
        adjoints: What was asked of it -> its pass back; see ``adjoint``.
        loops: The id of a list of calls -> their compiled loop.
        beside: (Buffer, op) -> that of results which stand in the same columns.
        groups: Packed products by (left side, phase): the lines, in the order of their columns.
    """

    def __init__(
        self, whole: Trace, x_needs: bool, leaf_needs: Sequence[bool], attributes: Sequence[int]
    ) -> None:
        self.attributes, self.whole = attributes, whole
        self.of_weights, trace = split_off_weights(whole, len(attributes))
        self.outputs, self.shapes = trace.outputs, trace.shapes
        self.lead = trace.shapes["i0"][:-1]
        self.lines = [self._along_last_axis(line) for line in trace.lines]
        leaves = len(attributes) + len(self.of_weights.lines)
        self.leaf_shapes = [trace.shapes[f"l{k}"] for k in range(leaves)]
        *new, self.y_place = trace.outputs
        self._check_states(new)
        self.state_of = {place: k for k, place in enumerate(new)}
        self.state_names = [self.lines[int(place[1:])].name for place in new]
        self._find_wanted(x_needs, leaf_needs)
        self.adjoints: dict[Any, Any] = {}
        self.loops: dict[int, Any] = {}
        self._sort_lines()
        self._sort_phases()
        self.leaf_wanted = [f"l{k}" in self.wanted for k in range(leaves)]
        self.rowwise = "call" not in self.kinds
        self.read = {x for k in self.members for x in self._reads(k)}
        self._make_calls(len(new))

    def _check_states(self, new: Sequence[str]) -> None:
        """Whether the shapes and states of the step can be those of a loop."""
        if any(not shape for x, shape in self.shapes.items() if x[0] != "l"):
            raise Untraceable("a result in the step is a single number, without an axis")
        if len(set(new)) != len(new):
            raise Untraceable("one result is two states at once")
        before = [self.shapes[f"i{k + 1}"] for k in range(len(new))]
        if [self.shapes[place] for place in new] != before:
            raise Untraceable("a step gives its states other shapes")
        if any(len(shape) != len(self.lead) + 1 for shape in before):
            raise Untraceable("a state has more axes than the batch and its width")

    def _find_wanted(self, x_needs: bool, leaf_needs: Sequence[bool]) -> None:
        """The places whose gradient is wanted: those behind which something needs one."""
        count, needs = len(leaf_needs), [*leaf_needs]
        for line in self.of_weights.lines:
            places = [x for x in line.operands if isinstance(x, str)]
            needs.append(any(needs[int(x[1:]) + (count if x[0] == "v" else 0)] for x in places))
        self.wanted = {f"l{k}" for k, need in enumerate(needs) if need}
        self.wanted |= {f"i{k + 1}" for k in range(len(self.state_of))}
        self.wanted |= {"i0"} if x_needs else set()
        for k, line in enumerate(self.lines):
            if not self.wanted.isdisjoint(x for x in line.operands if isinstance(x, str)):
                self.wanted.add(f"v{k}")

    # Sorting -------------------------------------------------------------------------------------

    def _sort_lines(self) -> None:
        """Kinds, and sums with all their terms; the sums inside of others are left out."""
        uses: dict[str, list[int]] = {}
        for k, line in enumerate(self.lines):
            for x in line.operands:
                if isinstance(x, str):
                    uses.setdefault(x, []).append(k)
        self.kinds = [self._kind(k) for k in range(len(self.lines))]
        for place, users in uses.items():
            if self._is_split(place, users):
                for k in users:
                    self.kinds[k] = "part"
        self.terms: list[tuple[Any, ...]] = []
        inside: set[int] = set()
        for k, line in enumerate(self.lines):
            terms: list[Any] = []
            for x in line.operands:
                inner = int(x[1:]) if isinstance(x, str) and x[0] == "v" else -1
                if (
                    self.kinds[k] == "sum" == (self.kinds[inner] if inner >= 0 else None)
                    and len(uses[x]) == 1
                    and x not in self.outputs
                    and self.shapes[x] == self.shapes[f"v{k}"]
                ):
                    inside.add(inner)
                    terms += self.terms[inner]
                else:
                    terms.append(x)
            self.terms.append(tuple(terms))
        self.members = [k for k in range(len(self.lines)) if k not in inside]
        self.users: dict[str, list[int]] = {f"v{k}": [] for k in range(len(self.lines))}
        for k in self.members:
            for x in self.terms[k]:
                if isinstance(x, str):
                    self.users.setdefault(x, []).append(k)

    def _kind(self, k: int) -> str:
        op, operands, params, *_ = self.lines[k]
        shape = self.shapes[f"v{k}"]
        if op is MATMUL:
            left, right = operands
            packed = (
                isinstance(left, str)
                and isinstance(right, str)
                and left[0] != "l" == right[0]
                and self.shapes[left][:-1] == self.lead
                and len(self.shapes[right]) == 2
            )
            return "product" if packed else "call"
        timed = [self.shapes[x] for x in operands if isinstance(x, str) and x[0] != "l"]
        if not timed or any(isinstance(value, np.ndarray) for value in params.values()):
            return "call"
        if op.pointwise and all(each == shape for each in timed):
            return "sum" if op is ADD else "map"
        return "row" if self._is_row(k, timed) else "call"

    def _is_row(self, k: int, timed: Sequence[tuple[int, ...]]) -> bool:
        """Whether each row of a line's result depends on the same row of its operands alone.

        Args:
            k: The line.
            timed: The shapes of the operands that are not leaves.
        """
        op, operands, params, *_ = self.lines[k]
        if any(shape[:-1] != self.lead for shape in (self.shapes[f"v{k}"], *timed)):
            return False
        if not op.pointwise:
            along = op in ALONG_AXIS and params.get("axis") == -1
            return len(timed) == len(operands) and (along or is_slice(op, params))
        others = [self.shapes[x] if isinstance(x, str) else np.shape(x) for x in operands]
        return all(shape in timed or len(shape) < 2 for shape in others)

    def _along_last_axis(self, line: Line) -> Line:
        """A line whose axis, or slice, counts from the end: it serves all steps at once too."""
        op, operands, params, *_ = line
        shape = self.shapes.get(operands[0], ()) if isinstance(operands[0], str) else ()
        if op in ALONG_AXIS and params.get("axis") == len(shape) - 1:
            return line._replace(params={**params, "axis": -1})
        if op is GETITEM and shape:
            index = params["index"]
            *before, last = (index or (...,)) if isinstance(index, tuple) else (index,)
            plain = all(i is ... or (isinstance(i, slice) and i == slice(None)) for i in before)
            every = any(i is ... for i in before) or len(before) == len(shape) - 1
            if plain and every and isinstance(last, slice) and last.step in (None, 1):
                columns = slice(*last.indices(shape[-1])[:2])
                return line._replace(params={"index": (..., columns)})
        return line

    def _is_split(self, place: str, users: Sequence[int]) -> bool:
        """Whether a result is only read in parts, which are all of its columns."""
        if place[0] != "v" or place in self.outputs:
            return False
        if any(self.kinds[k] != "row" or self.lines[k].op is not GETITEM for k in users):
            return False
        parts = sorted((at.start, at.stop) for at in map(self.columns_of, users))
        ends = [0, *(stop for _, stop in parts)]
        return [start for start, _ in parts] == ends[:-1] and ends[-1] == self.shapes[place][-1]

    def columns_of(self, k: int) -> slice:
        """The columns that a line takes from its operand."""
        found: slice = self.lines[k].params["index"][-1]
        return found

    def _sort_phases(self) -> None:
        self.phase: dict[str, str] = {"i0": "before"}
        for k, kind in enumerate(self.kinds):
            places = [x for x in self.terms[k] if isinstance(x, str) and x[0] != "l"]
            early = kind != "call" and all(self.phase.get(x) == "before" for x in places)
            self.phase[f"v{k}"] = "before" if early else "loop"
        for k in reversed(self.members):
            place = f"v{k}"
            if self.phase[place] == "loop" and self.kinds[k] != "call":
                late = all(self.phase[f"v{u}"] == "after" for u in self.users[place])
                if late and place not in self.state_of:
                    self.phase[place] = "after"

    def operands_with_rules(self, k: int) -> list[int]:
        """The operands of a line whose gradient is wanted, and that have a rule."""
        op, operands, *_ = self.lines[k]
        return [
            j
            for j, x in enumerate(operands)
            if isinstance(x, str) and x in self.wanted and (op.variadic or op.rules[j] is not None)  # type: ignore[index]
        ]

    def rule_reads(self, k: int, j: int) -> frozenset[int]:
        """The arrays that the rule of an operand reads: -1 for the result, or an operand."""
        op, operands, *_ = self.lines[k]
        return operands_read(op.rules if op.variadic else op.rules[j], len(operands))  # type: ignore

    def _reads(self, k: int) -> set[str]:
        """The places that the rules of a line read."""
        operands = self.lines[k].operands
        if self.kinds[k] == "product":
            return {operands[0]} if operands[1] in self.wanted else set()
        found = set()
        for j in self.operands_with_rules(k) if self.kinds[k] not in ("sum", "part") else ():
            for at in self.rule_reads(k, j):
                found.add(f"v{k}" if at < 0 else operands[at])
        return {x for x in found if isinstance(x, str)}

    def _chain(self, place: str) -> tuple[Op, ...]:
        """The ops that follow a product until its value is used more than once."""
        ops: list[Op] = []
        while len(self.users[place]) == 1 and place not in self.outputs:
            (k,) = self.users[place]
            ops.append(self.lines[k].op)
            place = f"v{k}"
        return tuple(ops)

    # Calls ---------------------------------------------------------------------------------------

    def _make_calls(self, states: int) -> None:
        self.x = Buffer(self.shapes["i0"])
        self.states = [Buffer(self.shapes[f"i{k + 1}"], extra=1) for k in range(states)]
        self.padded = Buffer((*self.lead, 1) if self.lead else (1,))
        self.location = {"i0": self.x.ref()}
        for k, state in enumerate(self.states):
            self.location[f"i{k + 1}"] = state.ref()
            state.kept = True
        self.beside: dict[tuple[Buffer, Op], Buffer] = {}
        self.taken: set[tuple[Buffer, int]] = set()
        self.groups: dict[tuple[str, str], list[int]] = {}
        for k in self.members:
            if self.kinds[k] == "product":
                key = self.lines[k].operands[0], self.phase[f"v{k}"]
                self.groups.setdefault(key, []).append(k)
        for group in self.groups.values():
            chains = [self._chain(f"v{k}") for k in group]
            group.sort(key=lambda k: chains.index(self._chain(f"v{k}")))
        calls: dict[str, list[Call]] = {phase: [] for phase in PHASES}
        for k in self.members:
            place = f"v{k}"
            {
                "product": self._add_product,
                "sum": self._add_sum,
                "map": self._add_map,
                "part": self._add_part,
                "row": self._add_map,
                "call": self._add_map,
            }[self.kinds[k]](k, calls)
            at = self.location[place]
            if place in self.state_of and at.buffer is not self.states[self.state_of[place]]:
                new = self.location[place] = self.states[self.state_of[place]].ref(1)
                calls["loop"].append(call(COPY, (at,), new))
            if place in self.read:
                self.location[place].buffer.kept = True
        self.y = self.location[self.y_place]
        self.calls = {phase: schedule(found, self.leaf_shapes) for phase, found in calls.items()}
        self.masked = self.calls["loop"] + [
            Call(None, (state.ref(), self.padded.ref()), (state.ref(1),), hold)
            for state in self.states
        ]

    def packed_shape(self, leaves: Sequence[int]) -> tuple[int, ...]:
        """The shape of leaves side by side."""
        first, *others = (self.leaf_shapes[leaf] for leaf in leaves)
        return (*first[:-1], sum(shape[-1] for shape in (first, *others))) if others else first

    def columns(self, leaves: Sequence[int]) -> list[tuple[int, Any]]:
        """Each of the leaves that stand side by side, and the index of its columns."""
        if len(leaves) == 1:
            return [(leaves[0], ...)]
        ends = [*itertools.accumulate(self.leaf_shapes[leaf][-1] for leaf in leaves)]
        places = [(..., slice(a, b)) for a, b in zip([0, *ends], ends, strict=False)]
        return list(zip(leaves, places, strict=True))

    def phases(self, masked: bool) -> tuple[list[Call], list[Call], list[Call]]:
        """The calls before the loop, in it, and after it."""
        loop = self.masked if masked else self.calls["loop"]
        return self.calls["before"], loop, self.calls["after"]

    def operand(self, x: Any) -> Operand:
        """An operand of a line, as calls have it."""
        if not isinstance(x, str):
            return Constant(x)
        return Leaves((int(x[1:]),)) if x[0] == "l" else self.location[x]

    def _add_product(self, k: int, calls: dict[str, list[Call]]) -> None:
        left, phase = self.lines[k].operands[0], self.phase[f"v{k}"]
        group = self.groups[left, phase]
        if k != min(group):
            return
        widths = [self.shapes[f"v{m}"][-1] for m in group]
        timed = phase != "loop" or any(self._is_timed(f"v{m}") for m in group)
        out = Buffer((*self.lead, sum(widths)), timed)
        leaves = Leaves(tuple(int(self.lines[m].operands[1][1:]) for m in group))
        calls[phase].append(call(MATMUL, (self.location[left], leaves), out.ref()))
        at = 0
        for m, width in zip(group, widths, strict=True):
            self.location[f"v{m}"] = Ref(out, at, at + width)
            at += width

    def _is_timed(self, place: str) -> bool:
        """Whether the value of every step is needed at once."""
        phase = self.phase[place]
        crosses = any(self.phase[f"v{u}"] != phase for u in self.users[place])
        parts = any(self.kinds[u] == "part" and self._is_timed(f"v{u}") for u in self.users[place])
        wanted = place in self.read or place == self.y_place
        return phase != "loop" or wanted or crosses or parts

    def _target(self, k: int, candidates: Iterable[Any], shape: tuple[int, ...]) -> Ref:
        """Columns for the result of line k: a state's, or those of an operand used up, or new."""
        place = f"v{k}"
        if place in self.state_of:
            return self.states[self.state_of[place]].ref(1)
        timed = self._is_timed(place)
        for x in candidates:
            if self.used_up(x) and self.shapes[x] == shape:
                at = self.location[x]
                if at.buffer.timed or not timed:
                    return at
        return self._beside(k) or Buffer(shape, timed).ref()

    def row_of(self, k: int) -> int:
        """The length of a row, of an op whose result has as many columns as its operand; else 0."""
        op, operands, *_ = self.lines[k]
        width = self.shapes[f"v{k}"][-1:]
        along = self.kinds[k] == "row" and op in ALONG_AXIS and len(operands) == 1
        return width[0] if along and self.shapes[operands[0]][-1:] == width else 0

    def _beside(self, k: int) -> Ref | None:
        """The columns in a buffer like the operand's, so that equal calls stand side by side.

        For what is normalised gate by gate: a row of a packed product, and what is computed of it.
        """
        timed = [self.location[x] for x in self.terms[k] if isinstance(x, str) and x[0] != "l"]
        if len(timed) != 1 or not (self.row_of(k) or timed[0].buffer in self.beside.values()):
            return None
        at = timed[0]
        buffer = self.beside.setdefault((at.buffer, self.lines[k].op), Buffer(at.buffer.shape))
        if at.stop - at.start == at.buffer.shape[-1] or (buffer, at.start) in self.taken:
            return None
        self.taken.add((buffer, at.start))
        return Ref(buffer, at.start, at.stop)

    def used_up(self, x: Any) -> bool:
        """Whether a result is read by one line only, and not by the pass back."""
        result = isinstance(x, str) and x[0] == "v" and x not in self.outputs
        if not result or len(self.users[x]) != 1 or x in self.read:
            return False
        whole = x
        while self.kinds[int(whole[1:])] == "part":
            whole = self.lines[int(whole[1:])].operands[0]
        return whole not in self.read

    def _add_part(self, k: int, calls: dict[str, list[Call]]) -> None:
        (x,), columns = self.lines[k].operands, self.columns_of(k)
        at = self.location[x]
        part = at._replace(start=at.start + columns.start, stop=at.start + columns.stop)
        self.location[f"v{k}"] = part

    def _add_map(self, k: int, calls: dict[str, list[Call]]) -> None:
        op, operands, params, *_ = self.lines[k]
        given = tuple(map(self.operand, operands))
        place = f"v{k}"
        candidates = operands if self.kinds[k] == "map" else ()
        out = self._target(k, candidates, self.shapes[place])
        if op.pointwise and not params:
            made = call(op, given, out)
        elif row := self.row_of(k):
            made = Call(op, given, (out,), along_row(store, op, params), row)
        else:
            made = Call(op, given, (out,), functools.partial(store, op.forward, params))
        calls[self.phase[place]].append(made)
        self.location[place] = out

    def _add_sum(self, k: int, calls: dict[str, list[Call]]) -> None:
        """Terms that are known before the loop are summed there."""
        place, terms = f"v{k}", self.terms[k]
        phase, shape = self.phase[place], self.shapes[place]
        early = [x for x in terms if self.phase.get(x if isinstance(x, str) else "") == "before"]
        fixed = [x for x in terms if not isinstance(x, str) or x[0] == "l"]
        others = (x for x in terms if isinstance(x, str) and x[0] != "l" and x not in early)
        rest = [*others] if phase != "before" else []
        out = self._target(k, terms, shape)
        # Results come first: leaves and numbers are added to something with a time axis.
        first = [*early, *fixed] if early else []
        if first and rest:
            base = self.operand(first[0])
            if len(first) > 1:
                spare = [self.location[x] for x in early if self.used_up(x)]
                base = spare[0] if spare else Buffer(shape).ref()
                self._chain_adds(list(map(self.operand, first)), base, calls["before"])
            self._chain_adds([base, *map(self.operand, rest)], out, calls[phase])
        else:
            both = [*map(self.operand, first or rest), *map(self.operand, () if first else fixed)]
            self._chain_adds(both, out, calls[phase])
        self.location[place] = out

    def _chain_adds(self, terms: list[Operand], out: Ref, calls: list[Call]) -> None:
        terms.sort(key=lambda x: not (type(x) is Ref and x == out))  # it is overwritten first
        first, second, *others = terms
        calls.append(call(ADD, (first, second), out))
        calls.extend(call(ADD, (out, x), out) for x in others)


def is_slice(op: Op, params: dict[str, Any]) -> bool:
    """Whether an op takes neighbouring columns, by an index (..., slice(start, stop))."""
    index = params["index"] if op is GETITEM else None
    if not isinstance(index, tuple) or len(index) != 2 or index[0] is not ...:
        return False
    return isinstance(index[1], slice) and index[1].step is None
