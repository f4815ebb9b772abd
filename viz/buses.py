"""Bars that wires of others must cross: a thin line with gaps, and a box for the name alone.

Three columns that read one sequence and feed two others cannot be drawn without a crossing (the
graph K of three and three), so with two directions some wires meet a bar that is not their own.
Such a bar is opened as a bus of a circuit is: its own wires end at the line, the others pass
through gaps, and its name stands in a box where none of them runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from .graph import Curve, Edge, Node
from .look import WIRE, shorten
from .nodes import Nodes
from .scene import SceneBox, shape_text
from .units import simplify

LINE = 2  # half the height of the line
HOLE = 5  # from the middle of a wire that passes to the line at its side
ROOM = 6  # from such a wire to the box
LETTER = 8  # points, about, for a letter of a name that must be cut


def open_bars(nodes: Nodes) -> None:
    """Open every bar that a wire of others crosses."""
    out = nodes.out
    passing = [e for e in out.edges if not within_step(e)]
    for v in nodes.rows.bars:
        others = sorted(crossing(v, passing))
        if not others:
            continue
        out.bars.discard(v.id)
        if v.kind == "op":
            v.label, v.detail = v.detail, ""
        elif v.kind == "gate":
            v.detail = shape_text(v.tensor)
        half, high, is_round = nodes.grid.measure.size(v)
        x, room = place_for(v, half, others)
        if room < half:
            v.label = shorten(v.label, max(2 * room // LETTER, 3))
            half = room
        holes = [(other - HOLE, other + HOLE) for other in others]
        for n, (x1, x2) in enumerate(pieces(v.x - v.half, v.x + v.half, holes)):
            frame = (x1, v.y - LINE, x2, v.y + LINE)
            out.boxes.append(SceneBox(f"bus_{v.id}_{n}", "bus", "", *frame, v.colour or WIRE))
        before = v.high
        v.put(x, v.y, (half, high, is_round))
        meet_line(out.edges, v, before, others)


def within_step(e: Edge) -> bool:
    """Whether a wire stays inside of a column's step, where no bar is."""
    return e.tail.place is not None and e.tail.place == e.head.place


def crossing(bar: Node, edges: Iterable[Edge]) -> set[int]:
    """Where wires of others cross a bar."""
    found = set()
    for edge in edges:
        if bar is edge.tail or bar is edge.head:
            continue
        for (ax, ay), (bx, by) in itertools.pairwise(edge.curve.points):
            upright = ax == bx and min(ay, by) < bar.y < max(ay, by)
            if upright and abs(ax + edge.dx - bar.x) < bar.half:
                found.add(ax + edge.dx)
    return found


def place_for(bar: Node, half: int, others: list[int]) -> tuple[int, int]:
    """Where on a bar a box of this half width is clear of wires, and half the room there."""
    edges = [bar.x - bar.half - ROOM, *others, bar.x + bar.half + ROOM]
    rooms = [((a + b) // 2, (b - a) // 2 - ROOM) for a, b in itertools.pairwise(edges)]
    wide = [room for room in rooms if room[1] >= half] or [max(rooms, key=lambda room: room[1])]

    def nearest(middle: int, room: int) -> int:
        slack = max(room - half, 0)
        return min(max(bar.x, middle - slack), middle + slack)

    middle, room = min(wide, key=lambda one: abs(nearest(*one) - bar.x))
    return nearest(middle, room), room


def pieces(low: int, high: int, holes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What remains of a line between holes."""
    out = []
    for a, b in holes:
        if a > low:
            out.append((low, a))
        low = max(low, b)
    return [*out, (low, high)] if low < high else out


def meet_line(edges: list[Edge], box: Node, high: int, others: list[int]) -> None:
    """Let the bar's own wires end and begin at its line, beside the gaps, or at its box."""
    made: dict[tuple[Curve, int, bool], Curve] = {}
    for edge in edges:
        if edge.kind == "side" or box not in edge.ends:
            continue
        points = edge.curve.points
        starts = edge.ends[0] is box
        x, y = points[0] if starts else points[-1]
        at = x + edge.dx
        if abs(y - box.y) != high or abs(at - box.x) <= box.half:
            continue
        sign = 1 if y > box.y else -1
        aside = HOLE + 3 if any(abs(at - other) < HOLE for other in others) else 0
        where = (edge.curve, aside, starts)
        if where not in made:
            end = [(x, y)] if not aside else [(x, y), (x - aside, y)]
            end.append((x - aside, box.y + sign * LINE))
            path = [*reversed(end), *points[1:]] if starts else [*points[:-1], *end]
            made[where] = Curve(simplify(path), edge.curve.free)
        edge.curve = made[where]
