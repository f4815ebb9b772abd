"""Which loops of a tape run along the same time: a picture gives each time columns of its own.

Two loops share a time if step t of one reads what step t of the other has made, directly or as
part t of a sequence that was joined from all steps, or if both take their inputs x_1, x_2, ...
out of one sequence. An encoder and its decoder do not: what goes over is a last state, or the
sequence as a whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TypeAlias

from ..autograd import Record, Tensor
from .structure import Structure, part_taken

# What a Tensor's axes stand for: loop or sequence -> the axis along which its steps lie, and
# which of them, counted from 0, is the first.
Axes: TypeAlias = dict[Hashable, tuple[int, int]]


def times_of(s: Structure) -> list[int]:
    """For each loop the number of its time, in the order in which these begin."""
    if len(s.loops) < 2:
        return [0] * len(s.loops)
    return Times(s).numbers()


class Times:
    """Follows sequences from where they are joined to where they are taken apart."""

    def __init__(self, structure: Structure) -> None:
        self.s = structure
        self.axes: dict[Tensor, Axes] = {}  # of what no step has made
        self.steps: dict[Tensor, dict[int, int | None]] = {}  # loop -> the one step behind it
        self.takers: dict[Hashable, int] = {}  # sequence -> the first loop that takes it apart
        self.same: list[tuple[int, int]] = []
        self.mixed: set[tuple[int, int]] = set()
        self.direct: dict[tuple[int, int], None] = {}
        for i, record in enumerate(structure.records):
            place = structure.where[i]
            if place is None:
                self.follow(i, record)
            else:
                self.read(i, record, *place)

    def numbers(self) -> list[int]:
        """Loops of one time have one number."""
        first = list(range(len(self.s.loops)))

        def root(loop: int) -> int:
            while first[loop] != loop:
                loop = first[loop]
            return loop

        direct = (pair for pair in self.direct if pair not in self.mixed)
        for a, b in (*self.same, *direct):
            low, high = sorted((root(a), root(b)))
            first[high] = low
        roots = [root(loop) for loop in first]
        order = {loop: n for n, loop in enumerate(sorted(set(roots)))}
        return [order[loop] for loop in roots]

    def follow(self, i: int, record: Record) -> None:
        """What the axes of a result outside of time stand for, and which steps lead to it."""
        joined: dict[int, set[int]] = {}
        steps: dict[int, int | None] = {}
        found: dict[Hashable, set[tuple[int, int]]] = {}
        begin = 0  # of an operand, in a concatenation
        joins = axis_of(record) if record.op == "concatenate" else -1
        for x in record.inputs:
            place = self.s.place_of(x)
            if place is not None:
                joined.setdefault(place[0], set()).add(place[1])
            for loop, step in self.behind(x):
                steps[loop] = step if steps.get(loop, step) == step else None
            for source, (axis, first) in self.axes_of(x).items():
                shift = shift_of(record, x, axis, begin)
                if shift is not None:
                    found.setdefault(source, set()).add((axis, first + shift))
            begin += x.shape[joins] if 0 <= joins < x.ndim else 0
        out = record.output
        axes: Axes = {source: at.pop() for source, at in found.items() if len(at) == 1}
        if record.op in ("stack", "concatenate") and len(joined) == 1:
            (loop,) = joined
            if len(record.inputs) == len(self.s.loops[loop].steps):
                axes[loop] = (axis_of(record), 0)
        self.axes[out] = axes or {("made", i, axis): (axis, 0) for axis in range(out.ndim)}
        self.steps[out] = steps

    def read(self, i: int, record: Record, loop: int, t: int) -> None:
        """Which other loops a step reads from in step, and which sequences it takes apart."""
        for k, x in enumerate(record.inputs):
            if (i, k) in self.s.entering:
                continue
            taken: set[Hashable] = set()
            if (part := part_taken(record)) is not None:
                here = (part[0], t - 1 - part[1])
                taken = {source for source, at in self.axes_of(x).items() if at == here}
            for source in taken:
                other = source if isinstance(source, int) else self.takers.setdefault(source, loop)
                if other != loop:
                    self.same.append((other, loop))
            for other, step in self.behind(x):
                if other != loop and other not in taken:
                    self.direct[other, loop] = None
                    if step != t:
                        self.mixed.add((other, loop))

    def behind(self, x: Tensor) -> Iterator[tuple[int, int | None]]:
        """The steps that lead to a Tensor without other steps between: loop, the step if one."""
        place = self.s.place_of(x)
        if place is not None:
            yield place
        else:
            yield from self.steps.get(x, {}).items()

    def axes_of(self, x: Tensor) -> Axes:
        """What a Tensor's axes stand for; of data without a record, itself."""
        if x not in self.axes:
            data = x._record is None and not x.requires_grad and x.ndim > 0
            name = id(x.data)
            self.axes[x] = {(name, axis): (axis, 0) for axis in range(x.ndim)} if data else {}
        return self.axes[x]


def axis_of(record: Record) -> int:
    """The axis along which a stack or a concatenation joins."""
    return int(record.params.get("axis", 0) or 0) % max(record.output.ndim, 1)


def shift_of(record: Record, x: Tensor, axis: int, begin: int) -> int | None:
    """By how many parts the first of the result lies behind the first of an operand.

    None where the axis does not go on part by part; ``begin`` is where a concatenation has put
    the operand.
    """
    out = record.output
    if record.op == "concatenate" and axis == axis_of(record):
        return -begin
    if record.op == "getitem":
        index = record.params.get("index")
        parts = index if isinstance(index, tuple) else (index,)
        cut = parts[axis] if axis < len(parts) else slice(None)
        if not all(isinstance(part, slice) for part in parts) or cut.step not in (None, 1):
            return None
        return int(cut.indices(x.shape[axis])[0])
    moves = record.op in ("reshape", "transpose", "swapaxes", "einsum", "stack", "flip")
    summed = record.op == "matmul" and axis == x.ndim - 1
    same = x.ndim == out.ndim and x.shape[axis] == out.shape[axis]
    return 0 if same and not (moves or summed) else None
