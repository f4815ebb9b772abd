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
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..autograd import Op, Trace, Untraceable, operands_read
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
    call,
    hold,
    schedule,
    store,
)

__all__ = ["Plan"]


class Plan:
    """A step sorted into calls.

    Args:
        trace: The step's: its inputs are x and the states, its outputs the new states and y.
        x_needs: Whether the gradient of the input is wanted.
        leaf_needs: Whether that of each leaf is.
        attributes: The positions of the leaves among the Tensors in the cell's attributes.

    Attributes:
        lines: The traced lines.
        kinds: Of each line: "product" with a leaf, "sum", pointwise "map", or another "call".
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
        groups: Packed products by (left side, phase): the lines, in the order of their columns.
    """

    def __init__(
        self, trace: Trace, x_needs: bool, leaf_needs: Sequence[bool], attributes: Sequence[int]
    ) -> None:
        self.attributes = attributes
        self.trace, self.lines, self.shapes = trace, trace.lines, trace.shapes
        self.lead = trace.shapes["i0"][:-1]
        self.leaf_shapes = [trace.shapes[f"l{k}"] for k in range(len(leaf_needs))]
        *new, self.y_place = trace.outputs
        if len(set(new)) != len(new):
            raise Untraceable("one result is two states at once")
        before = [trace.shapes[f"i{k + 1}"] for k in range(len(new))]
        if [trace.shapes[place] for place in new] != before:
            raise Untraceable("a step gives its states other shapes")
        if any(len(shape) != len(self.lead) + 1 for shape in before):
            raise Untraceable("a state has more axes than the batch and its width")
        self.state_of = {place: k for k, place in enumerate(new)}
        self.state_names = [self.lines[int(place[1:])].name for place in new]
        self.wanted = {f"l{k}" for k, need in enumerate(leaf_needs) if need}
        self.wanted |= {f"i{k + 1}" for k in range(len(new))} | ({"i0"} if x_needs else set())
        for k, line in enumerate(self.lines):
            if not self.wanted.isdisjoint(x for x in line.operands if isinstance(x, str)):
                self.wanted.add(f"v{k}")
        self.adjoints: dict[Any, Any] = {}
        self.loops: dict[int, Any] = {}
        self._sort_lines()
        self._sort_phases()
        self.leaf_wanted = [f"l{k}" in self.wanted for k in range(len(leaf_needs))]
        self.rowwise = "call" not in self.kinds
        self.read = {x for k in self.members for x in self._reads(k)}
        self._make_calls(len(new))

    # Sorting -------------------------------------------------------------------------------------

    def _sort_lines(self) -> None:
        """Kinds, and sums with all their terms; the sums inside of others are left out."""
        uses: dict[str, list[int]] = {}
        for k, line in enumerate(self.lines):
            for x in line.operands:
                if isinstance(x, str):
                    uses.setdefault(x, []).append(k)
        self.kinds = [self._kind(k) for k in range(len(self.lines))]
        self.terms: list[tuple[Any, ...]] = []
        inside: set[int] = set()
        for k, line in enumerate(self.lines):
            terms: list[Any] = []
            for x in line.operands:
                inner = int(x[1:]) if isinstance(x, str) and x[0] == "v" else -1
                if (
                    self.kinds[k] == "sum" == (self.kinds[inner] if inner >= 0 else None)
                    and len(uses[x]) == 1
                    and x not in self.trace.outputs
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
        timed = [x for x in operands if isinstance(x, str) and x[0] != "l"]
        if (
            not op.pointwise
            or not timed
            or any(self.shapes[x] != shape for x in timed)
            or any(isinstance(value, np.ndarray) for value in params.values())
        ):
            return "call"
        return "sum" if op is ADD else "map"

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

    def rules_of(self, k: int) -> list[tuple[int, Any]]:
        """(operand, rule) of each operand of a line whose gradient is wanted."""
        line = self.lines[k]
        return [
            (j, line.op.rules if line.op.variadic else line.op.rules[j])  # type: ignore[index]
            for j, x in enumerate(line.operands)
            if isinstance(x, str)
            and x in self.wanted
            and (line.op.variadic or line.op.rules[j] is not None)  # type: ignore[index]
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
        for j, _ in self.rules_of(k) if self.kinds[k] != "sum" else ():
            for at in self.rule_reads(k, j):
                found.add(f"v{k}" if at < 0 else operands[at])
        return {x for x in found if isinstance(x, str)}

    def _chain(self, place: str) -> tuple[Op, ...]:
        """The ops that follow a product until its value is used more than once."""
        ops: list[Op] = []
        while len(self.users[place]) == 1 and place not in self.trace.outputs:
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
        return phase != "loop" or place in self.read or crosses or place == self.y_place

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
        return Buffer(shape, timed).ref()

    def used_up(self, x: Any) -> bool:
        """Whether a result is read by one line only, and not by the pass back."""
        result = isinstance(x, str) and x[0] == "v" and x not in self.trace.outputs
        return result and len(self.users[x]) == 1 and x not in self.read

    def _add_map(self, k: int, calls: dict[str, list[Call]]) -> None:
        op, operands, params, *_ = self.lines[k]
        given = tuple(map(self.operand, operands))
        place = f"v{k}"
        candidates = operands if self.kinds[k] == "map" else ()
        out = self._target(k, candidates, self.shapes[place])
        if self.kinds[k] == "map" and not params:
            made = call(op, given, out)
        else:
            function = functools.partial(store, op.forward, params)
            made = Call(op if self.kinds[k] == "map" else None, given, (out,), function)
        calls[self.phase[place]].append(made)
        self.location[place] = out

    def _add_sum(self, k: int, calls: dict[str, list[Call]]) -> None:
        """Terms that are known before the loop are summed there."""
        place, terms = f"v{k}", self.terms[k]
        phase, shape = self.phase[place], self.shapes[place]
        early = [x for x in terms if self.phase.get(x if isinstance(x, str) else "") == "before"]
        fixed = [x for x in terms if not isinstance(x, str) or x[0] == "l"]
        rest = [x for x in terms if x not in early and x not in fixed] if phase != "before" else []
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
        if out in terms:  # it is overwritten first
            terms.remove(out)
            terms.insert(0, out)
        first, second, *others = terms
        calls.append(call(ADD, (first, second), out))
        calls.extend(call(ADD, (out, x), out) for x in others)
