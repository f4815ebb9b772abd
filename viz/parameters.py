"""Parameters that are drawn in many places: their names, their uses, their colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..autograd import Parameter, Tensor
from .graph import Node, Shared
from .language import say
from .look import GREY, UNGATED, parameter_colour
from .marks import Mark
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
    first_group: dict[Tensor, str] = {}
    uses: dict[Tensor, dict[int | None, set[int]]] = {}
    inside: dict[Tensor, int] = {}  # the loop whose cell uses it
    for i, x in parameter_uses(s):
        place = s.where[i]
        first_group.setdefault(x, s.group[i][-1][0] if s.group[i] else "")
        loop = place[0] if place else None
        uses.setdefault(x, {}).setdefault(loop, set()).add(place[1] if place else i)
        if place is not None and s.records[i].step is not None:
            inside.setdefault(x, place[0])
    colours: dict[Tensor, str] = {}
    shared = []
    for n, (x, places) in enumerate(uses.items(), 1):
        name = first_group[x]
        loop = inside.get(x)
        role = s.parameters.get(x, (x.name or "", ""))[0]
        colours[x] = colour = parameter_colour(gates.get(name, UNGATED), role)
        total = sum(len(where) for where in places.values())
        if total > 1 or None not in places or s.loops:
            label = parameter_name(s, x)
            node = Node(f"p{n}", "parameter", label, tensor=x, colour=colour)
            in_steps = any(index is not None for index in places)
            shared.append(Shared(node, uses_text(places), name, loop, in_steps))
    for node in nodes:
        for side in node.sides:
            side.colour = colours.get(side.tensor, GREY) if side.tensor is not None else GREY
    # Those of the loops come first, in the order of first use.
    order = {loop: n for n, loop in enumerate(dict.fromkeys(one.loop for one in shared))}
    return sorted(shared, key=lambda one: (one.loop is None, order[one.loop]))


def parameter_uses(s: Structure) -> Iterator[tuple[int, Tensor]]:
    """(record, parameter), for each operand that wants a gradient and is no first state."""
    for i, record in enumerate(s.records):
        for k, x in enumerate(record.inputs):
            wanted = isinstance(x, Parameter) or x.requires_grad
            if x._record is None and wanted and (i, k) not in s.entering:
                yield i, x


def parameter_name(structure: Structure, x: Tensor, marked: bool = True) -> str:
    """A parameter's name, with its layer and its number among its namesakes: ``W^(2)``.

    Where the layer is said beside it, it need not be ``marked``.
    """
    name, number = structure.parameters.get(x, (x.name or "θ", ""))
    mark = structure.marked.get(x, Mark()) if marked else Mark()
    return mark.numbered(number).on(name)


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
