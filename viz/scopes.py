"""Which of the scopes around a record are gates or boxes, and which stay open as containers.

``without_time`` makes each loop one such box.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from .graph import cell_title, loop_label
from .look import GATES
from .structure import Group, Structure


class Scopes:
    """The scopes of a tape's records."""

    def __init__(self, structure: Structure) -> None:
        self.s = structure
        self.numbers: dict[Group, int] = {}

    def around(self, group: Group) -> int:
        """How many scopes of a record outside of time stand around loops too."""
        names = tuple(name for name, _ in group)
        return next(
            depth
            for depth in range(len(names), -1, -1)
            if any(loop.path[:depth] == names[:depth] for loop in self.s.loops) or not depth
        )

    def beside_loops(self, group: Group) -> Group:
        """A group outside of time without the scopes that stand around loops too."""
        depth = self.around(group)
        if not depth or depth == len(group):
            return group[depth:]
        whole = group[: depth + 1]  # its number tells it from namesakes in other scopes
        number = self.numbers.setdefault(whole, len(self.numbers))
        return ((group[depth][0], -number), *group[depth + 1 :])

    @cached_property
    def depths(self) -> dict[tuple[bool, Group], int]:
        """How many scopes deep a record's gate stands: (outside of time, group) -> depth.

        A gate is the outermost scope of a step, unless a scope of a textbook gate's name
        stands inside of it: then the outer one is a container and stays open. Outside of time
        the scopes that stand around loops stay open too.
        """
        containers = {
            group[:depth]
            for group in set(self.s.group)
            for inside in range(1, len(group))
            if group[inside][0] in GATES
            for depth in range(1, inside + 1)
            if not any(name in GATES for name, _ in group[:depth])
        }
        return {
            (outside, group): next(
                (d for d in range(start, len(group) + 1) if group[:d] not in containers), 0
            )
            for outside, group in {
                (p is None, g) for p, g in zip(self.s.where, self.s.group, strict=True)
            }
            for start in [self.around(group) + 1 if outside else 1]
        }

    def is_loops_own(self, i: int) -> bool:
        """Whether a record outside of time stands in the scope of a loop, like its ``stack``."""
        path = self.s.records[i].scope
        return any(loop.path[: len(path)] == path for loop in self.s.loops)


def without_time(s: Structure) -> Structure:
    """A tape whose loops are scopes: what they compute, and how it is joined, stands in one box."""
    scopes, paths = Scopes(s), [loop.path for loop in s.loops]
    names = [loop_label(loop.path, cell_title(loop.path, loop.name), paths) for loop in s.loops]
    groups: list[Group] = []
    for i, (place, group) in enumerate(zip(s.where, s.group, strict=True)):
        loop = place[0] if place is not None else joined_loop(s, i)
        outside = scopes.beside_loops(group) if place is None else ()
        groups.append(((names[loop], loop),) if loop is not None else outside)
    where: list[tuple[int, int] | None] = [None] * len(groups)
    return replace(s, where=where, group=groups, loops=[], slots=[], marks=[])


def joined_loop(s: Structure, i: int) -> int | None:
    """The loop whose steps a record joins, where it stands in that one's own scope."""
    record = s.records[i]
    places = [s.where[s.made[x]] for x in record.inputs if x in s.made]
    loops = {place[0] if place is not None else None for place in places}
    loop = next(iter(loops)) if len(loops) == 1 else None
    return loop if loop is not None and s.loops[loop].path == record.scope else None
