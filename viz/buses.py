"""Bars that wires of others must cross: a thin line with gaps, and a box for the name alone.

Three columns that read one sequence and feed two others cannot be drawn without a crossing (the
graph K of three and three), so with two directions some wires meet a bar that is not their own.
Such a bar is opened as a bus of a circuit is: its own wires end at the line, the others pass
through gaps, and its name stands in a box where none of them runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from .graph import Edge
from .look import WIRE, shorten
from .nodes import Nodes
from .rows import Rows
from .scene import Curve, SceneBox, SceneEdge, SceneNode, shape_text
from .units import simplify

LINE = 2  # half the height of the line
HOLE = 5  # from the middle of a wire that passes to the line at its side
ROOM = 6  # from such a wire to the box
LETTER = 8  # points, about, for a letter of a name that must be cut


def open_bars(rows: Rows, nodes: Nodes) -> None:
    """Open every bar that a wire of others crosses."""
    out = nodes.out
    passing = [e for e in out.edges if not within_step(e.edge)]
    for v in rows.bars:
        node = nodes.at[v]
        others = sorted(crossing(node, passing))
        if not others:
            continue
        out.bars.discard(v.id)
        if v.kind == "op":
            v.label, v.detail = v.detail, ""
        elif v.kind == "gate":
            v.detail = shape_text(v.tensor)
        half, high, is_round = nodes.grid.measure.size(v)
        x, room = place_for(node, half, others)
        if room < half:
            v.label = shorten(v.label, max(2 * room // LETTER, 3))
            half = room
        box = nodes.replace(node, SceneNode(v, x, node.y, half, high, is_round))
        holes = [(other - HOLE, other + HOLE) for other in others]
        for n, (x1, x2) in enumerate(pieces(node.x - node.half, node.x + node.half, holes)):
            frame = (x1, node.y - LINE, x2, node.y + LINE)
            out.boxes.append(SceneBox(f"bus_{v.id}_{n}", "bus", "", *frame, v.colour or WIRE))
        meet_line(out.edges, box, node.high, others)


def within_step(e: Edge) -> bool:
    """Whether a wire stays inside of a column's step, where no bar is."""
    return e.tail.place is not None and e.tail.place == e.head.place


def crossing(bar: SceneNode, edges: Iterable[SceneEdge]) -> set[int]:
    """Where wires of others cross a bar."""
    v, found = bar.vertex, set()
    for edge in edges:
        if v is edge.edge.tail or v is edge.edge.head:
            continue
        for (ax, ay), (bx, by) in itertools.pairwise(edge.curve.points):
            upright = ax == bx and min(ay, by) < bar.y < max(ay, by)
            if upright and abs(ax + edge.dx - bar.x) < bar.half:
                found.add(ax + edge.dx)
    return found


def place_for(bar: SceneNode, half: int, others: list[int]) -> tuple[int, int]:
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


def meet_line(edges: list[SceneEdge], box: SceneNode, high: int, others: list[int]) -> None:
    """Let the bar's own wires end and begin at its line, beside the gaps, or at its box."""
    v = box.vertex
    made: dict[tuple[Curve, int, bool], Curve] = {}
    for n, edge in enumerate(edges):
        ends = (edge.edge.head, edge.edge.tail) if edge.back else (edge.edge.tail, edge.edge.head)
        if edge.edge.kind == "side" or v not in ends:
            continue
        points = edge.curve.points
        starts = ends[0] is v
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
        edges[n] = edge._replace(curve=made[where])
