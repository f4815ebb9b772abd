"""Parameters that are drawn in many places: their names, their uses, their colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..autograd import Tensor
from .graph import Node, Shared
from .language import say
from .look import GREY, UNGATED, parameter_colour
from .structure import Structure


def shared_parameters(
    s: Structure, gates: Mapping[str, str], nodes: Iterable[Node]
) -> list[Shared]:
    """The parameters that are drawn in many places, each once; colours those beside ``nodes``.

    Args:
        s: The tape, read.
        gates: Scope -> colour.
        nodes: What is shown.
    """
    colours: dict[Tensor, str] = {}
    shared = []
    for n, (x, uses) in enumerate(s.parameter_uses(), 1):
        places: dict[int | None, set[int]] = {}
        for i in uses:
            loop, t = s.where[i] or (None, i)
            places.setdefault(loop, set()).add(t)
        inside = (place[0] for place in map(s.own_place, uses) if place is not None)
        family = s.group[uses[0]][-1][0] if s.group[uses[0]] else ""
        colour = parameter_colour(gates.get(family, UNGATED), s.parameters[x][0])
        colours[x] = colour
        if sum(map(len, places.values())) > 1 or None not in places or s.loops:
            node = Node(f"p{n}", "parameter", s.labels[x], tensor=x, colour=colour)
            in_steps = any(loop is not None for loop in places)
            shared.append(Shared(node, uses_text(places), family, next(inside, None), in_steps))
    for node in nodes:
        for side in node.sides:
            side.colour = colours.get(side.tensor, GREY) if side.tensor is not None else GREY
    # Those of the loops come first, in the order of first use.
    order = {loop: n for n, loop in enumerate(dict.fromkeys(one.loop for one in shared))}
    return sorted(shared, key=lambda one: (one.loop is None, order[one.loop]))


def uses_text(places: dict[int | None, set[int]]) -> str:
    """In how many places a parameter is used: ``3 steps``, ``3 steps + 1 use``."""
    parts = []
    in_steps = sum(len(where) for loop, where in places.items() if loop is not None)
    outside = len(places.get(None, ()))
    if in_steps:
        parts.append(say("{n} steps" if in_steps > 1 else "{n} step", n=in_steps))
    if outside:
        times = say("{n} uses" if outside > 1 else "{n} use", n=outside)
        parts.append(say("{n} outside", n=times) if in_steps else times)
    return " + ".join(parts)
