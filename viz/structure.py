"""What a tape says about time: loops, steps, gates, and the states carried between steps.

A loop is a scope that holds numbered steps. Nothing is guessed from the graph's shape: a
record belongs to a step because its scope says so. Two things are read off besides, and
serve the placing alone: which record of a step corresponds to which of another (its gate, its
op, and its ordinal among these), and which values cross from one step into another.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ..autograd import (
    ClassName,
    Parameter,
    Record,
    Tape,
    Tensor,
    path_text,
    split_scope,
    without_steps,
)
from .marks import Mark, marks_of

Group = tuple[tuple[str, int], ...]  # scopes inside a step; the number tells namesakes apart
Place: TypeAlias = tuple[int, int]  # a column: (loop, step)
Key = Hashable  # a place in a step; of a record a number, which stands for group, op and count

_NUMBERED = re.compile(r"(.+)_(\d+)")


def stem(name: str | None) -> str | None:
    """``h`` of ``h_12``; None for a name that does not end in a number."""
    match = _NUMBERED.fullmatch(name) if name else None
    return match[1] if match else None


@dataclass(slots=True)
class Loop:
    """Steps that stand in one scope, in the order in which they ran.

    Attributes:
        index: Its number on the tape.
        path: The scopes around its steps, such as ``("0", "forward", "lstm")``.
        steps: Step -> positions of its records on the tape.
        name: What its steps are called, if all are called the same.
    """

    index: int
    path: tuple[str, ...]
    steps: dict[int, list[int]] = field(default_factory=dict)
    name: str = ""

    @property
    def order(self) -> list[int]:
        """The steps as they ran."""
        return list(self.steps)

    @property
    def reverse(self) -> bool:
        """Whether it ran from the end to the beginning."""
        return next(iter(self.steps)) > next(reversed(self.steps))  # a list would take O(steps)


@dataclass(slots=True, eq=False)
class Slot:
    """A state: what a step hands to the next.

    Attributes:
        loop: The loop's index.
        number: Its number among the loop's states.
        name: ``h`` where the values are called ``h_1``, ``h_2``, ..., else ``s``, or ``s1``, ...
        end: The position of the record that makes its last value, or None.
        keys: The places in a step of the records that make it.
    """

    loop: int
    number: int
    name: str
    end: int | None = None
    keys: set[Key] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Structure:
    """A tape, read.

    Attributes:
        tape: The tape.
        records: Its records.
        made: Tensor -> position of the record that made it.
        uses: Tensor -> (record, operand) of each use.
        where: For each record its (loop, step), or None outside of time.
        group: For each record the scopes around it, inside of its step.
        key: For each record its place in its step.
        loops: The loops, in the order in which they began.
        beside: Records that stand in a column, but in no step's scope.
        closed: Whether the steps of a module's own algorithm count as none.
        entering: (record, operand) -> the state that comes in there.
        slots: Each loop's states.
        parameters: Parameter -> what it is called, and its number among those called so.
        labels: Parameter -> the same as one name, with the mark of the loop that uses it: W^(2).
        marks: For each loop what its names bear where there are several.
        sequences: Data without a name of which steps take x_1, x_2, ... -> what it is called, xs.
    """

    tape: Tape
    records: list[Record]
    made: dict[Tensor, int] = field(default_factory=dict)
    uses: dict[Tensor, list[tuple[int, int]]] = field(default_factory=dict)
    where: list[Place | None] = field(default_factory=list)
    group: list[Group] = field(default_factory=list)
    key: list[Key] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    beside: set[int] = field(default_factory=set)
    closed: bool = False
    entering: dict[tuple[int, int], Slot] = field(default_factory=dict)
    slots: list[list[Slot]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    sequences: dict[Tensor, str] = field(default_factory=dict)
    parameters: dict[Tensor, tuple[str, str]] = field(default_factory=dict)
    labels: dict[Tensor, str] = field(default_factory=dict)

    def place_of(self, x: Tensor) -> Place | None:
        """The loop and step that made a Tensor."""
        j = self.made.get(x)
        return self.where[j] if j is not None else None

    def own_place(self, i: int) -> Place | None:
        """The loop and step in whose scope a record stands."""
        return None if i in self.beside else self.where[i]

    def put(self, i: int, place: Place) -> None:
        """Give a record a place that it has not by its scope."""
        self.beside.add(i)
        self.where[i] = place
        bisect.insort(self.loops[place[0]].steps[place[1]], i)

    def parameter_uses(self) -> Iterator[tuple[Tensor, list[int]]]:
        """Every leaf that wants a gradient, and the records that read it not as a first state."""
        for x, uses in self.uses.items():
            if is_parameter(x) and (found := [i for i, k in uses if (i, k) not in self.entering]):
                yield x, found


def is_parameter(x: Tensor) -> bool:
    """Whether an operand is a parameter, or another leaf that wants a gradient."""
    return x._record is None and (isinstance(x, Parameter) or x.requires_grad)


def read(tape: Tape, closed: bool = False) -> Structure:
    """Find loops, steps, gates and states on a tape.

    Args:
        tape: The tape.
        closed: Whether steps that a module takes inside of itself are none, as those of a CRF's
            forward algorithm, where a cell's own are.
    """
    s = Structure(tape, list(tape), closed=closed)
    for i, record in enumerate(s.records):
        s.made[record.output] = i
        for k, x in enumerate(record.inputs):
            s.uses.setdefault(x, []).append((i, k))
    inner = find_loops(s)
    for x, within in getattr(tape, "columns", {}).items():
        if x in s.made and (place := s.place_of(within)) is not None:
            s.put(s.made[x], place)
    adopt(s)
    find_groups(s, inner)
    s.marks = marks_of([loop.path for loop in s.loops])
    States(s).find()
    name_parameters(s)
    for record, place in zip(s.records, s.where, strict=True):
        if record.op == "getitem" and place is not None:
            x, part = record.inputs[0], stem(record.output.name)
            if part and x._record is None and not x.name:
                s.sequences[x] = f"{part}s"
    return s


ROLES = {"matmul": "W", "add": "b", "embedding": "E", "einsum": "W"}  # by first use


def name_parameters(s: Structure) -> None:
    """A name for each parameter: its own, or a letter by its use; numbers tell namesakes apart.

    Parameters of different loops' cells are no namesakes: the loops are told apart already.
    """
    namesakes: dict[tuple[int | None, str], list[Tensor]] = {}
    for x, uses in s.parameter_uses():
        loops = {place[0] if place is not None else None for place in map(s.own_place, uses)}
        name = x.name or ROLES.get(str(s.records[uses[0]].op), "θ")
        namesakes.setdefault((loops.pop() if len(loops) == 1 else None, name), []).append(x)
    for (loop, name), found in namesakes.items():
        mark = s.marks[loop] if loop is not None else Mark()
        for n, x in enumerate(found, 1):
            number = str(n) if len(found) > 1 else ""
            s.parameters[x] = (name, number)
            s.labels[x] = mark.numbered(number).on(name)


def is_inner(path: tuple[str, ...]) -> bool:
    """Whether steps with this path around them are a module's own affair: they are no cell's."""
    return any(isinstance(name, ClassName) for name in path[:-1])


def find_loops(s: Structure) -> list[tuple[str, ...]]:
    """Find the loops, and each record's place; returns the scopes that remain inside of these.

    One scope may be entered for several loops (one cell run twice). A new loop begins where a
    step comes back, unless the scope of this step is merely entered again with what the step
    itself has made; and after the outputs were stacked, where a step needs nothing of them.
    """
    s.where = [None] * len(s.records)
    inner: list[tuple[str, ...]] = []
    open_loops: dict[tuple[str, ...], Loop] = {}
    gathered: set[int] = set()  # loops whose outputs were stacked
    # By identity: the paths of two steps of one name are equal, as a name is a text.
    cache: dict[int, tuple[tuple[str, ...], int, tuple[str, ...]] | None] = {}
    run: tuple[Loop, int] | None = None  # of the record before
    place, here = (0, 0), list[int]()  # its column, and the records there
    for i, record in enumerate(s.records):
        path = record.scope
        if id(path) not in cache:
            found_parts = split_scope(path)
            inside = s.closed and found_parts is not None and is_inner(found_parts[0])
            cache[id(path)] = None if inside else found_parts
        parts = cache[id(path)]
        if parts is None:
            inner.append(without_steps(path) if s.closed else path)
            run = None
            loop = open_loops.get(path)
            if loop is not None and record.op in ("stack", "concatenate"):
                gathered.add(loop.index)
            continue
        prefix, step, rest = parts
        inner.append(rest)
        loop = open_loops.get(prefix)
        if loop is None or run is None or run[0] is not loop or run[1] != step:
            if loop is None or not goes_on(s, i, step, loop, loop.index in gathered):
                name = str(path[len(prefix)])
                name = "" if str(step) in name else name
                loop = open_loops[prefix] = Loop(len(s.loops), prefix, name=name)
                s.loops.append(loop)
            elif loop.name != path[len(prefix)]:
                loop.name = ""  # t=1, t=2, ...
            run, place = (loop, step), (loop.index, step)
            here = loop.steps.setdefault(step, [])
        here.append(i)
        s.where[i] = place
    return inner


def goes_on(s: Structure, i: int, step: int, loop: Loop, gathered: bool) -> bool:
    """Whether a record that enters a step goes on with a loop, or begins another."""
    last = next(reversed(loop.steps))
    if not gathered:
        return step not in loop.steps or (step == last and depends(s, i, loop))
    return step not in loop.steps and depends(s, i, loop)


def depends(s: Structure, i: int, loop: Loop) -> bool:
    """Whether a stretch of a step uses what a loop, or a record outside since, has made."""
    begin = next(iter(loop.steps.values()))[0]
    here = split_scope(s.records[i].scope)
    for record in s.records[i:]:
        there = split_scope(record.scope)
        if there is None or here is None or there[:2] != here[:2]:
            break
        for x in record.inputs:
            j = s.made.get(x)
            if j is not None and begin <= j < i:
                place = s.where[j]
                if place is None or place[0] == loop.index:
                    return True
    return False


def adopt(s: Structure) -> None:
    """Give records that lie between two steps of a loop, without a step of their own, a place.

    Such a record (a dropout between steps, a sum of losses that runs along) is drawn in the
    column that it depends on last.
    """
    outside = [i for i, place in enumerate(s.where) if place is None]
    if not s.loops or not outside:
        return
    ordinal = {(loop.index, t): n for loop in s.loops for n, t in enumerate(loop.steps)}
    leads = what_follows(s, outside, ordinal)
    behind: dict[int, dict[int, tuple[int, int]]] = {}
    for i in outside:
        # The last step of each loop that it depends on: loop -> (ordinal, step).
        after: dict[int, tuple[int, int]] = {}
        columns = []
        for x in s.records[i].inputs:
            j = s.made.get(x)
            if j is None:
                continue
            place = s.where[j]
            if place is not None:
                columns.append(place)
            past = {place[0]: (ordinal[place], place[1])} if place else behind[j]
            for loop, reached_step in past.items():
                after[loop] = max(reached_step, after.get(loop, reached_step))
        behind[i] = after
        between = [
            loop for loop, (n, _) in after.items() if leads[i].get(loop, -1) >= n
        ] or running_sum(s, i, columns)
        if between:
            s.put(i, (between[0], after[between[0]][1]))


def what_follows(
    s: Structure, outside: list[int], ordinal: dict[Place, int]
) -> dict[int, dict[int, int]]:
    """For each record outside of time: the first step of each loop that it leads to, through
    records outside.
    """
    leads: dict[int, dict[int, int]] = {i: {} for i in outside}
    for j in reversed(outside):
        for i, _ in s.uses.get(s.records[j].output, ()):
            place = s.where[i]
            reached = {place[0]: ordinal[place]} if place else leads[i]
            for loop, n in reached.items():
                leads[j][loop] = min(n, leads[j].get(loop, n))
    return leads


def running_sum(s: Structure, i: int, columns: list[Place]) -> list[int]:
    """The loop along which an addition outside of it runs, as in ``loss = loss + loss_t``."""
    record = s.records[i]
    if record.op != "add" or not columns or len({loop for loop, _ in columns}) > 1:
        return []
    loop = columns[0][0]
    if len(columns) == 2:
        return [loop] if columns[0] != columns[1] else []
    # ``sum(losses)`` begins with 0 + losses[0].
    made_here = [x for x in record.inputs if x in s.made]
    following = s.uses.get(record.output, [])
    alone = len(made_here) == 1 and len(record.inputs) == 2 and len(following) == 1
    onwards = all(s.where[j] is None and s.records[j].op == "add" for j, _ in following)
    return [loop] if alone and onwards else []


def first_state_candidates(s: Structure) -> set[Tensor]:
    """Leaves that want a gradient and that one step alone reads: it may begin with them."""
    several = {place[0] for place in s.where if place is not None and place[1] != 1}
    found = set()
    for x, uses in s.uses.items():
        if x._record is None and x.requires_grad:
            places = {s.where[i] for i, _ in uses}
            place = places.pop()
            if not places and place is not None and place[0] in several:
                found.add(x)
    return found


def find_groups(s: Structure, inner: list[tuple[str, ...]]) -> None:
    """Each record's scopes inside of its step, and its place there.

    A scope that is left and entered again is another group of the same name, and so is what
    follows upon steps that ran in it, so that a group is one stretch of the tape and groups
    never depend on each other in a circle. Two records
    have the same place in their steps if they agree in group, op, the kinds of their operands,
    and their ordinal among such records.
    """
    lone = first_state_candidates(s)
    made, where = s.made, s.where
    looks: dict[Hashable, int] = {}
    numbers: dict[tuple[int, int], int] = {}
    seen: dict[Place | None, tuple[tuple[str, ...], Group]] = {}
    counts: dict[Hashable, int] = {}
    for i, (record, place, path) in enumerate(zip(s.records, s.where, inner, strict=True)):
        if place is None and i and s.where[i - 1] is not None:
            seen.pop(None, None)
        before, group = seen.get(place, ((), ()))
        if path is not before:
            common = 0
            for a, b in zip(path, before, strict=False):
                if a != b or getattr(a, "step", 0) != getattr(b, "step", 0):  # names are texts
                    break
                common += 1
            group = group[:common]
            for name in path[common:]:
                named = name if isinstance(name, ClassName) else path_text((name,))
                counter = (place, group, named)
                counts[counter] = number = counts.get(counter, 0) + 1
                group = (*group, (named, number))
            seen[place] = (path, group)
        s.group.append(group)
        kinds = []
        for x in record.inputs:
            j = made.get(x)
            if j is None:
                kinds.append(x.name if x.requires_grad and x not in lone else None)
            else:  # a cut state is as good as a state
                op = s.records[j].op if where[j] == place else "cut"
                kinds.append(op if op != "cut" else None)
        look = looks.setdefault((group, record.op, *kinds[:4]), len(looks))
        counts[place, look] = number = counts.get((place, look), 0) + 1
        s.key.append(numbers.setdefault((look, number), len(numbers)))


class States:
    """Finds what is carried from step to step, where it enters, and where it ends."""

    def __init__(self, structure: Structure) -> None:
        self.s = structure
        structure.slots = [[] for _ in structure.loops]
        self.by_name: dict[Hashable, Slot] = {}
        self.owner: dict[Hashable, Tensor] = {}
        self.readers: dict[Hashable, Slot] = {}  # (loop, key, operand) -> the state read there

    def find(self) -> None:
        """Fill in the structure's ``slots`` and ``entering``."""
        s = self.s
        for i, k in self.find_carried():
            self.find_entering(i, k)
        for loop in s.loops:
            slots = s.slots[loop.index]
            unnamed = [slot for slot in slots if not slot.name]
            for n, slot in enumerate(unnamed, 1):
                slot.name = f"s{n}" if len(unnamed) > 1 else "s"
            last = loop.order[-1]
            final = {s.key[i]: i for i in loop.steps[last]}
            for slot in slots:
                ends = [final[place] for place in slot.keys if place in final]
                named = self.named(loop, last, slot.name)
                slot.end = min(ends, default=None) if named is None else named

    def named(self, loop: Loop, t: int, part: str) -> int | None:
        """The record of a step that makes ``h_t``."""
        name, records = f"{part}_{t}", self.s.records
        return next((i for i in reversed(loop.steps[t]) if records[i].output.name == name), None)

    def begins(self, loop: int, x: Tensor, part: str, made: int | None) -> bool:
        """Whether a value is a loop's first state: h_0, or the last one of another loop.

        The last one only where a loop of one step reads no h_0 of its own: else it is an input, as
        in a second layer.
        """
        first = f"{part}_0"
        if made is None:
            return x.name == first
        place, order = self.s.where[made], self.s.loops[loop].order
        if place is None or len(order) > 1:
            return False
        records = (self.s.records[i] for i in self.s.loops[loop].steps[order[0]])
        if any(y.name == first for record in records for y in record.inputs):
            return False
        return x.name == f"{part}_{self.s.loops[place[0]].order[-1]}"

    def slot_for(self, loop: int, step: int, x: Tensor, place: Key) -> Slot:
        """The state that a value is, made at a place of a step."""
        label = stem(x.name)
        identity: Hashable = (loop, label) if label else (loop, None, place)
        if label and self.owner.setdefault((identity, step), x) is not x:
            identity = (loop, label, place)  # two states of one name in one step
        slots = self.s.slots[loop]
        slot = self.by_name.get(identity)
        if slot is None:
            slot = self.by_name[identity] = Slot(loop, len(slots), label or "")
            slots.append(slot)
        slot.keys.add(place)
        return slot

    def find_carried(self) -> list[tuple[int, int]]:
        """What one step makes and another reads; returns the operands from outside of the loop."""
        s = self.s
        others = []
        for i, (record, here) in enumerate(zip(s.records, s.where, strict=True)):
            for k, x in enumerate(record.inputs) if here is not None else ():
                j = s.made.get(x)
                there = s.where[j] if j is not None else None
                if here is None or there == here:
                    continue
                if j is None or there is None or there[0] != here[0]:
                    others.append((i, k))
                    continue
                slot = self.slot_for(here[0], there[1], x, s.key[j])
                s.entering[i, k] = self.readers[here[0], s.key[i], k] = slot
        return others

    def find_entering(self, i: int, k: int) -> None:
        """What comes into a step from outside of the loop where others read a state."""
        s = self.s
        x, place = s.records[i].inputs[k], s.where[i]
        assert place is not None
        loop, t = place
        known = self.readers.get((loop, s.key[i], k))
        part = stem(x.name)
        if known is None and part and self.begins(loop, x, part, s.made.get(x)):
            # The one step of a loop: its state is known by its name alone.
            made_at = self.named(s.loops[loop], t, part)
            if made_at is not None and i <= made_at:  # not read behind the cell
                known = self.slot_for(loop, t, s.records[made_at].output, s.key[made_at])
        if known is not None:
            s.entering[i, k] = known
            known.name = known.name or part or ""


def part_taken(record: Record) -> tuple[int, int] | None:
    """(axis, number) of the one part that a getitem takes: (1, 2) of ``x[:, 2]``."""
    if record.op != "getitem":
        return None
    index = record.params.get("index")
    *before, last = index if isinstance(index, tuple) else (index,)
    is_number = isinstance(last, (int, np.integer)) and not isinstance(last, bool)
    whole = all(isinstance(part, slice) and part == slice(None) for part in before)
    return (len(before), int(last)) if is_number and whole else None
