"""How the parts of a scene look, whoever writes them down: nodes, their lines of text, wires.

``paint`` makes SVG of it and ``dot`` makes DOT of it; colours come as a theme gives them.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from .graph import Curve, Edge, Node
from .look import (
    BAND,
    BAND_EDGE,
    CORNER,
    FAINT,
    GRADIENT,
    GREY,
    INK,
    LEAST,
    NAME,
    NOTE,
    OP,
    PANEL,
    PAPER,
    SMALL,
    STATES,
    WIRE,
    Theme,
    shorten,
    shorten_names,
)
from .marks import split_mark
from .notation import GREEK, split_name, with_low_digits
from .scene import Scene, SceneBox, shape_text, shown_text
from .units import Path, Point

ARROW = 6  # length of an arrowhead
CUT_SIZE = 16  # of the sign of a cut
LOW_SIZE = 0.72  # of a subscript, beside its letter's
ROUND = {"cell": 14, "gate": 9, "op": 8}  # radius of the corners; others are as round as can be
SQUARE_KINDS = ("share", "delay")
UNFRAMED = ("state", "end", "dots", "label")

# Text ---------------------------------------------------------------------------------------


class Run(NamedTuple):
    """A piece of a line in one font; ``rise`` is -1 for a subscript and 1 for a superscript.

    ``colour`` is given where it is another than the node's.
    """

    text: str
    size: float
    rise: int = 0
    bold: bool = False
    colour: str = ""


def name_runs(name: str, size: float, colour: str = "") -> list[Run]:
    """A name with its subscript small and low, and its superscript high: ``W_f^(2)``."""
    base, mark = split_mark(name)
    parts = split_name(base) or (GREEK.get(base) or shorten(base), "")
    small = max(LEAST, round(size * LOW_SIZE))
    runs = [Run(parts[0], size, colour=colour)]
    if parts[1]:
        runs.append(Run(parts[1], small, -1, colour=colour))
    if mark:
        runs.append(Run(mark, small, 1, colour=colour))
    return runs


def note_lines(lines: list[str]) -> list[list[Run]]:
    """What stands beside a node: a name alone is set as one, numbers as they are."""
    if len(lines) == 1:
        return [name_runs(lines[0], NOTE)]
    return [[Run(with_low_digits(line), NOTE)] for line in lines]


def label_lines(v: Node, bar: bool, grade: int, theme: Theme) -> list[list[Run]]:
    """What stands in a node, line by line; ``bar`` and ``grade`` as the scene has them."""
    name = shorten(v.label)
    if bar and v.kind != "gate":
        return [[Run(v.detail, NAME)]]
    if v.kind == "op":
        return [[Run(name, 20 if name == "*" else OP if len(name) <= 2 else NAME)]]
    if v.kind == "parameter":
        return [[*name_runs(v.label, NAME), *([Run(f" {v.detail}", SMALL)] if v.detail else [])]]
    if v.kind == "gate" and v.detail:
        ink = theme.of(WIRE if grade < 0 else INK if grade < 3 else PAPER)
        words = [name_runs(word, SMALL, ink) for word in shorten_names(v.detail).split()]
        spaced = [run for word in words for run in (*word, Run(" ", SMALL, colour=ink))]
        return [[Run(name, NAME, bold=True)], spaced[:-1]]
    if v.kind in ("gate", "cell", "cut"):
        return [[Run(name, {"gate": NAME, "cell": 18, "cut": CUT_SIZE}[v.kind], bold=True)]]
    if v.kind == "dots":
        return [[Run("…", 28)], [Run(v.detail, SMALL)]]
    if v.kind in ("delay", "swatch"):
        return [[Run(shown_text(v), SMALL + 2)]]
    if v.kind == "share":
        return []
    if v.kind == "input" and v.place is None:
        shape = shape_text(v.tensor)
        return [[*name_runs(v.label, NAME), *([Run(f" {shape}", NAME)] if shape else [])]]
    return [name_runs(v.label, NAME)]


# Nodes --------------------------------------------------------------------------------------


class NodeStyle(NamedTuple):
    """A node's colours and line; without a stroke it has no frame, without a fill no ground."""

    fill: str
    stroke: str
    width: float = 1.2
    ink: str = ""
    dashed: bool = False


def node_style(v: Node, grade: int, theme: Theme) -> NodeStyle:
    """A node; filled by the size of its gradient, if it has one."""
    of, tint = theme.of, theme.tint
    hue = v.colour or WIRE
    wide = 2.2 if v.bold else 1.2
    if grade >= 0:
        ink = of(PAPER) if grade >= 3 else ""
        return NodeStyle(of(GRADIENT[grade]), of(hue), wide, ink, dashed=v.kind == "copy")
    if v.kind == "op":
        return NodeStyle(of(PAPER), of(INK if v.bold else hue), wide)
    if v.kind == "gate":
        return NodeStyle(tint(hue), of(hue), wide)
    if v.kind == "cell":
        return NodeStyle(tint(WIRE), of(INK), 1.6)
    if v.kind == "copy":
        return NodeStyle(tint(hue, 0.14), theme.letters(hue), dashed=True)
    if v.kind == "parameter":
        return NodeStyle(tint(hue, 0.26), theme.letters(hue), 1.8)
    if v.kind == "constant":
        return NodeStyle(of(PAPER), of(GREY), 0.8, of(WIRE))
    if v.kind in ("input", "output"):
        return NodeStyle(of(PANEL), of(WIRE), wide)
    if v.kind == "cut":
        return NodeStyle(of(PAPER), "", 0, of(INK))
    if v.kind == "share":
        return NodeStyle(of(hue), "", 0)
    if v.kind == "swatch":
        return NodeStyle(of(hue), of(hue), ink=of(PAPER) if hue in GRADIENT[3:] else "")
    if v.kind == "delay":
        return NodeStyle(of(PAPER), of(INK))
    return NodeStyle("", "", 0)


def look_of(scene: Scene, v: Node) -> Hashable:
    """What a node's look depends on: nodes of one look are written alike."""
    outside = v.place is None and shown_text(v)
    detail = v.detail if v.kind != "share" else ""
    shape = (v.half, v.high, v.round, v.id in scene.bars)
    grade = scene.grades.get(v.id, -1)
    return (v.kind, v.label, detail, v.colour, v.bold, outside, grade, *shape)


def box_colours(box: SceneBox, theme: Theme) -> tuple[str, str]:
    """The fill and the line of a frame."""
    if box.kind in ("bus", "pause"):
        colour = theme.of(box.colour or PAPER)
        return colour, colour
    if box.kind == "gate":
        return theme.tint(box.colour or WIRE), theme.tint(box.colour or WIRE, 0.55)
    return theme.of(PAPER if box.kind == "step" else BAND), theme.of(BAND_EDGE)


# Wires --------------------------------------------------------------------------------------


class WireStyle(NamedTuple):
    """A wire's colour, width, and the length of its arrowhead."""

    stroke: str
    width: float = 1.2
    arrow: float = ARROW
    dotted: bool = False


def wire_style(edge: Edge, theme: Theme, faint: bool) -> WireStyle:
    """A wire; ``faint`` where the gradients' ways back are the subject."""
    kind, state = edge.kind, edge.state
    hue = STATES[state % len(STATES)] if state >= 0 else ""
    if kind == "arc":
        return WireStyle(theme.tint(FAINT, 0.7), 1)
    if kind == "feedback":
        return WireStyle(theme.of(FAINT), 1.4, dotted=True)
    if edge.back:
        return WireStyle(theme.of(GRADIENT[edge.grade]), 1.2 + 0.6 * edge.grade)
    if kind == "side":
        return WireStyle(theme.letters(edge.tail.colour or FAINT), arrow=5)
    if faint:
        return WireStyle(theme.tint(hue or FAINT, 0.45))
    if hue:
        return WireStyle(theme.of(hue), 1.2 + edge.grade if edge.grade >= 0 else 1.9)
    return WireStyle(theme.of(WIRE), 1.4 if kind == "hidden" else 1.2, dotted=kind == "hidden")


def wire_key(edge: Edge) -> tuple[Hashable, ...]:
    """What a wire's style depends on."""
    kind = edge.kind
    return edge.state, kind, edge.tail.colour if kind == "side" else "", edge.back, edge.grade


def bezier(curve: Curve, corner: int = CORNER) -> tuple[Path, Point]:
    """The control points of a wire, its corners rounded, and the tip of its arrow."""
    points = curve.points if len(curve.points) > 1 else curve.points * 2
    (ax, ay), tip = points[-2], points[-1]
    points = [*points[:-1], _towards(tip, (ax, ay), min(ARROW, _length((ax, ay), tip)))]
    if curve.free:
        (ax, ay), (bx, by) = points
        if abs(by - ay) > abs(bx - ax) / 3:
            middle = (ay + by) // 2
            return [(ax, ay), (ax, middle), (bx, middle), (bx, by)], tip
        middle = (ax + bx) // 2
        return [(ax, ay), (middle, ay), (middle, by), (bx, by)], tip
    out = [points[0]]
    here = points[0]
    for n in range(1, len(points)):
        target = points[n]
        after = points[n + 1] if n + 1 < len(points) else target
        cut = min(corner, _length(here, target) // 2, _length(target, after) // 2)
        stop = _towards(target, here, cut)
        out += [here, stop, stop]
        here = _towards(target, after, cut)
        if here != stop:
            out += [_towards(target, stop, cut // 2), _towards(target, here, cut // 2), here]
    return out, tip


def _length(a: Point, b: Point) -> int:
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]))


def _towards(a: Point, b: Point, by: int) -> Point:
    length = max(_length(a, b), 1)
    return a[0] + round((b[0] - a[0]) * by / length), a[1] + round((b[1] - a[1]) * by / length)
