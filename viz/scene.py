"""What a placed picture is made of, and how much room its parts take."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..autograd import Tensor
from .graph import Edge, Node, View
from .look import (
    GAP,
    LEAST,
    NAME,
    NOTE,
    PILL,
    RADIUS,
    SMALL,
    SQUARE,
    shorten,
    shorten_names,
    text_width,
)
from .marks import split_mark
from .notation import ADDITIVE, ORDERED, split_name
from .numbers import Shares, is_strip, largest, strip, value_text
from .structure import Structure
from .units import Name, Unit

BESIDE_WIRE, BESIDE_TWO = 5, 10  # from a wire to the text at its right; from two wires
BESIDE = ("state", "end", "cut", "delay", "dots")  # kinds that stand between or above the columns


@dataclass(slots=True, eq=False)
class SceneBox:
    """A frame with a title at its upper left, and what stands in it.

    Its kind is "column", "step" or "gate"; ``mirrored`` puts the title at the right. A "bus" is a
    piece of the line of a bar, a "pause" an interruption of a column, both without a title.
    """

    id: str
    kind: str
    title: str
    x1: int
    y1: int
    x2: int
    y2: int
    colour: str = ""
    mirrored: bool = False
    nodes: list[Node] = field(default_factory=list)
    boxes: list[SceneBox] = field(default_factory=list)


class SceneText(NamedTuple):
    """A line of text by itself; ``anchor`` is "left", "middle" or "right".

    ``tensor`` is that of whose gradient it tells.
    """

    id: str
    text: str
    x: int
    y: int
    size: int
    anchor: str
    colour: str = ""
    bold: bool = False
    tensor: Tensor | None = None


@dataclass(slots=True, eq=False)
class Scene:
    """A picture: what stands where, in points, y upwards.

    Attributes:
        view: What is shown.
        boxes: The outermost frames.
        nodes: All nodes, those in frames too.
        edges: All edges.
        texts: Lines of text by themselves.
        notes: Node id -> the lines beside it.
        bars: Ids of the nodes that reach over many columns.
        x1, y1, x2, y2: The corners.
        strips: Node id -> the numbers, from -1 to 1, of its value, shown as colours below these
            lines, row by row.
        grades: Node id -> how large the gradient of its value is, from 0 to 4.
        beside: How far from a node's middle the text beside it begins.
        title, description: What screen readers say; empty for what the view tells.
        shares: Parameter -> column (loop, step), with step 0 for the steps left out, or None
            for what lies outside of time -> its share in the parameter's gradient.
    """

    view: View
    boxes: list[SceneBox] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    texts: list[SceneText] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    bars: set[str] = field(default_factory=set)
    x1: int = 0
    y1: int = 0
    x2: int = 0
    y2: int = 0
    strips: dict[str, list[list[float]]] = field(default_factory=dict)
    grades: dict[str, int] = field(default_factory=dict)
    beside: int = BESIDE_WIRE
    shares: Shares = field(default_factory=dict)
    title: str = ""
    description: str = ""

    def outline(self, margin: int) -> None:
        """Set the corners, so that nothing is cut off."""
        # What stands in a column is within its frame.
        free = [n for n in self.nodes if n.place is None or n.kind in BESIDE]
        xs = [x for n in free for x in (n.x - n.half, n.x + n.half)]
        ys = [y for n in free for y in (n.y - n.high, n.y + n.high)]
        for b in self.boxes:
            xs += (b.x1, b.x2)
            ys += (b.y1, b.y2)
        for e in self.edges:
            if not e.dx:  # those that are moved stay within their columns
                xs += [x for x, _ in e.curve.points]
                ys += [y for _, y in e.curve.points]
            if e.label:
                xs += (e.label_at[0] - 20, e.label_at[0] + 20)
        for t in self.texts:
            width = text_width(t.text, t.size * (1.15 if t.bold else 1))
            start = t.x - {"left": 0, "middle": width // 2, "right": width}[t.anchor]
            xs += (start, start + width)
            ys += (t.y - t.size, t.y + t.size)
        for n in free:
            width, height = self.note_size(n.id)
            if width:
                xs.append(n.x + self.beside + 3 + width)
                ys.append(n.y + n.high + 4 + height)
        self.x1, self.x2 = min(xs, default=0) - margin, max(xs, default=0) + margin
        self.y1, self.y2 = min(ys, default=0) - margin, max(ys, default=0) + margin

    def note_size(self, name: str) -> tuple[int, int]:
        """How wide and high what stands beside a node is."""
        return note_size(self.notes.get(name, []), self.strips.get(name, []))


# Sizes --------------------------------------------------------------------------------------


def name_width(name: str, size: float = NAME) -> int:
    """How wide a name is, with its subscript set small."""
    name, mark = split_mark(name)
    parts = split_name(name) or (shorten(name), "")
    low = max(LEAST, size * 0.75)
    return text_width(parts[0], size) + text_width(parts[1] + mark, low)


def shape_text(x: Tensor | None) -> str:
    """A Tensor's shape, or nothing for a scalar."""
    return str(x.shape) if x is not None and x.ndim else ""


def shown_text(v: Node) -> str:
    """What stands in a node, as one line."""
    if v.kind == "input" and v.place is None:
        return f"{shorten(v.label)} {shape_text(v.tensor)}".rstrip()
    if v.kind == "parameter":
        return f"{shorten(v.label)} {v.detail}".rstrip()
    if v.kind == "delay" and v.detail:
        return f"{v.label}, {v.detail}"
    return v.label


def note_size(lines: list[str], rows: list[list[float]]) -> tuple[int, int]:
    """How wide and high lines of text are, with a strip of colours below them."""
    width = max((text_width(line, NOTE) for line in lines), default=0)
    height = (NOTE + 1) * len(lines)
    if rows:
        width = max(width, len(rows[0]) * SQUARE + 4)
        height += len(rows) * SQUARE + 4
    return width, height


def node_size(v: Node) -> tuple[int, int, bool]:
    """Half the width, half the height, and whether it is a circle."""
    text = shown_text(v)
    if v.kind == "op":
        if len(text) <= 2 and text_width(text, NAME) <= 2 * RADIUS - 6:
            return RADIUS, RADIUS, True
        return max(RADIUS, text_width(shorten(text), NAME) // 2 + 7), RADIUS, False
    if v.kind in ("input", "output"):
        if v.place is None:
            return max(18, text_width(text, NAME) // 2 + 9), 12, False
        half = max(15, name_width(text) // 2 + 6)
        return half, 15, half == 15
    if v.kind == "gate":
        wide = max(
            text_width(shorten(v.label), NAME * 1.15), text_width(shorten_names(v.detail), SMALL)
        )
        return max(30, wide // 2 + 5), 20 if v.detail else 15, False
    if v.kind == "cell":
        return max(36, text_width(shorten(v.label), 20) // 2 + 8), 34, False
    if v.kind == "parameter":
        wide = name_width(v.label) + text_width(f" {v.detail}", SMALL)
        return wide // 2 + 9, PILL, False
    if v.kind == "delay":
        return text_width(text, SMALL + 2) // 2 + 9, PILL, False
    if v.kind == "cut":
        return 6, PILL, False
    return name_width(v.label) // 2 + 7, PILL, False


class Measure:
    """How much room nodes take, with what stands beside them.

    Args:
        structure: The tape.
        values: Whether shapes and small values stand beside ops.
        norms: Whether the norms of gradients stand beside states.
        beside: How far from the middle of a node that begins which stands beside it.
    """

    def __init__(
        self, structure: Structure, values: bool, norms: bool, beside: int = BESIDE_WIRE
    ) -> None:
        self.structure = structure
        self.values = values
        self.norms = norms
        self.beside = beside
        self.most = 0.0  # the largest number of all strips
        self.sizes: dict[Hashable, tuple[int, int, bool]] = {}

    def scale_strips(self, nodes: Iterable[Node]) -> None:
        """Give all strips of a picture one scale, so that they can be compared."""
        arrays = (np.asarray(v.tensor.data) for v in nodes if v.tensor is not None)
        if self.values:
            self.most = max((largest(array) for array in arrays if is_strip(array)), default=0.0)

    def size(self, v: Node) -> tuple[int, int, bool]:
        """A node's size; the same for all that look alike."""
        look = (v.kind, v.label, v.detail, v.place is None and shape_text(v.tensor))
        found = self.sizes.get(look)
        if found is None:
            found = self.sizes[look] = node_size(v)
        return found

    def notes(self, v: Node) -> list[str]:
        """What stands beside a node: its name, and its shape and values if asked for."""
        lines = [shorten(v.note)] if v.note else []
        if self.values and v.tensor is not None and v.kind in ("op", "input", "gate", "cell"):
            shape = shape_text(v.tensor)
            if shape and not (v.kind == "input" and v.place is None):
                lines.append(shape)
            values = value_text(np.asarray(v.tensor.data))
            if values:
                lines.append(values)
        return lines

    def strip(self, v: Node) -> list[list[float]]:
        """The colours of a node's value, if values are asked for and it is of some dozens."""
        if self.values and v.tensor is not None and v.kind in ("op", "input", "gate", "cell"):
            array = np.asarray(v.tensor.data)
            if is_strip(array):
                return strip(array, self.most)
        return []

    def item(self, v: Node, key: Name, order: int) -> Unit:
        """A node as something to be placed."""
        half, high, is_round = self.size(v)
        item = Unit(key, half, high, round=is_round, group=v.group, order=order)
        item.is_gate = v.kind == "gate"
        pill = max((self.size(side)[0] * 2 + GAP for side in v.sides), default=0)
        if len(v.sides) > 1:
            item.left = item.right = half + pill
        elif pill:
            item.pill = pill
            item.under = high + 6 + 2 * PILL if v.kind == "op" else 0
        width, height = note_size(self.notes(v), self.strip(v))
        if width:
            item.note, item.note_high = self.beside + 3 + width, height
            item.up = high + 4 + height
        if v.kind == "op":
            op = self.structure.records[v.records[0]].op
            item.ordered = int(op in ORDERED)
            if item.ordered and len(v.sides) == 1:
                inputs = self.structure.records[v.records[0]].inputs
                item.pill_side = -1 if inputs[0] is v.sides[0].tensor else 1
            item.may_ride = op in ADDITIVE and not v.group
        return item
