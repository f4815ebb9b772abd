"""Weights on the arrows into cells, as textbooks have them: W at x, U at the state.

An arrow bears the names of the parameters that its value is multiplied by in the cell. A name
stands where nothing else does, on the same side of the arrow in every column.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from ..autograd import Tensor
from .graph import Edge, Node, View
from .look import NAME, NOTE
from .nodes import Nodes
from .notation import split_name
from .scene import name_width
from .units import Point

PRODUCTS = frozenset(["matmul", "einsum", "tensordot", "embedding"])
APART = 4  # from an arrow to its name
LETTERS = 4  # gates that one subscript names: W_fiog

Rectangle = tuple[int, int, int, int]


class Weights:
    """Puts the names of weights beside the arrows into cells.

    Args:
        nodes: Where everything is; the arrows are there too.
        several: Whether an arrow may bear more than one parameter, as in a cell with gates.
    """

    def __init__(self, nodes: Nodes, several: bool) -> None:
        self.nodes, self.out, self.view = nodes, nodes.out, nodes.view
        found: dict[tuple[object, ...], list[Edge]] = {}
        for e in self.out.edges:
            if e.head.kind != "cell" or e.head.place is None or e.back or e.kind == "hidden":
                continue
            name = name_of(self.view, e.head, e.tensor, several)
            if name:
                outer = e.tail.kind == "state" or e.origin is not None
                found.setdefault((e.head.place[0], name, e.kind, outer), []).append(e)
        taken = list(self.taken()) if found else []
        for look, edges in found.items():
            self.put(str(look[1]), edges, taken)

    def put(self, name: str, edges: list[Edge], taken: list[Rectangle]) -> None:
        """A name beside each of some like arrows, on the first side that is free in all columns."""
        half, high = name_width(name) // 2 + 1, NAME // 2 + 2
        for side, share in itertools.product((-1, 1), (0.5, 0.3, 0.7)):
            spots = (beside(edge, side, share, half, high) for edge in edges)
            places = [place for place in spots if place]
            boxes = [(x - half, y - high, x + half, y + high) for x, y in places]
            # Columns are alike: a few tell of all.
            if any(overlap(box, other) for box in boxes[:4] for other in taken):
                continue
            for x, y in places:
                number = len(self.out.nodes)
                node = Node(f"weight{number}", "label", name)
                self.nodes.node(node, x, y, (half, high, False))
            taken += boxes
            return

    def taken(self) -> Iterator[Rectangle]:
        """What stands somewhere already: nodes, what is beside them, names at wires, wires."""
        out = self.out
        for box in out.boxes:
            for x in (box.x1, box.x2):
                yield x - 2, box.y1, x + 2, box.y2
        for n in out.nodes:
            yield n.x - n.half, n.y - n.high, n.x + n.half, n.y + n.high
            width, height = out.note_size(n.id)
            if width:
                top = n.y + n.high + 4
                yield n.x + out.beside, top, n.x + out.beside + 3 + width, top + height
        for edge in out.edges:
            if edge.label:
                (x, y), half = edge.label_at, name_width(edge.label) // 2 + 2
                yield x - half, y - 8, x + half, y + 8
            points = [(x + edge.dx, y) for x, y in edge.curve.points]
            for (ax, ay), (bx, by) in itertools.pairwise(points):
                yield min(ax, bx) - 1, min(ay, by) - 1, max(ax, bx) + 1, max(ay, by) + 1
        for t in out.texts:
            half = NOTE * len(t.text) // 2
            yield t.x - half, t.y - t.size, t.x + half, t.y + t.size


def name_of(view: View, cell: Node, x: Tensor, several: bool) -> str:
    """The names of the parameters that a cell multiplies a value by, as one, or nothing."""
    s = view.structure
    names = list(
        dict.fromkeys(
            s.labels[y]
            for i in cell.records
            if s.records[i].op in PRODUCTS and any(y is x for y in s.records[i].inputs)
            for y in s.records[i].inputs
            if y in s.parameters
        )
    )
    if len(names) < 2 or not several:
        return names[0] if len(names) == 1 else ""
    parts = [split_name(name) or (name, "") for name in names]
    stems, low = {stem for stem, _ in parts}, "".join(low for _, low in parts)
    return f"{parts[0][0]}_{low}" if len(stems) == 1 and len(low) <= LETTERS else ""


def room_between(view: View, several: bool) -> int:
    """How wide the gap between two columns must be for the names at states."""
    cells = {e.slot: e for e in view.edges if e.slot is not None and e.head.kind == "cell"}
    names = [name_of(view, e.head, e.tensor, several) for e in cells.values()]
    return max(map(name_width, names), default=0) + 3 * APART


def beside(edge: Edge, side: int, share: float, half: int, high: int) -> Point | None:
    """Beside an arrow's longest straight piece: left or below (-1), right or above (1)."""
    pieces = list(itertools.pairwise((x + edge.dx, y) for x, y in edge.curve.points))
    straight = [(a, b) for a, b in pieces if a[0] == b[0] or a[1] == b[1]]
    if not straight:
        return None
    (ax, ay), (bx, by) = max(straight, key=lambda p: math.dist(*p))
    x, y = round(ax + share * (bx - ax)), round(ay + share * (by - ay))
    return (x + side * (half + APART), y) if ax == bx else (x, y + side * (high + APART))


def overlap(a: Rectangle, b: Rectangle) -> bool:
    """Whether two rectangles share more than an edge."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
