"""A scene as SVG: the one painter, for files, notebooks, the page and the walk.

The picture needs no style sheet and no script: colours are attributes, so that every program
that reads SVG shows the same, and a style sheet may still override them. Groups have classes
and the ids of what they show (``data-id``). A line of text is one element, centred by its
anchor and never measured, so that it stands right in any font; the same scene gives the same
bytes on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterator
from html import escape
from itertools import chain

from .graph import Curve, Edge, Node, hover_text
from .language import say
from .look import (
    FAINT,
    FONTS,
    INK,
    MOST_LETTERS,
    NAME,
    NOTE,
    PAPER,
    SQUARE,
    STATES,
    THEMES,
    TITLE,
    Theme,
    shorten,
)
from .notation import printable
from .scene import Scene, SceneBox, SceneText
from .style import (
    ROUND,
    SQUARE_KINDS,
    Run,
    bezier,
    box_colours,
    label_lines,
    look_of,
    name_runs,
    node_style,
    note_lines,
    wire_key,
    wire_style,
)
from .view import MOST_NAMED

PADDING = 4  # points around the scene
MIDDLE = 0.35  # of a font's size: from the middle of its letters down to the baseline
STAR = 0.53  # the same for a star, which hangs at the top of its line
DROP, LIFT = 0.2, 0.34  # of a font's size: how far a subscript stands lower, a superscript higher
UNFILLED = ' fill="none"'
ANCHORS = {"left": "start", "middle": "middle", "right": "end"}


class Painter:
    """Writes a scene; ``svg()`` is the picture.

    Attributes:
        begins: Id of a part -> more classes for it, each after a space.
        marks: Id of a node -> the attributes of outlines around it.
    """

    def __init__(self, scene: Scene, theme: Theme = THEMES["light"], name: str = "") -> None:
        self.scene = scene
        self.theme = theme
        self.name = name or title_of(scene)
        self.faint = any(edge.back for edge in scene.edges)
        self.titled = len(scene.nodes) <= MOST_NAMED
        self.begins: dict[str, str] = {}
        self.marks: dict[str, list[str]] = {}
        self.noted = scene.notes.keys() | scene.strips.keys()
        self.looks: dict[Hashable, tuple[str, str, str]] = {}
        self.wires: dict[Hashable, tuple[str, str]] = {}

    def svg(self, body: str = "", *, ident: str = "", extra: str = "", below: int = 0) -> bytes:
        """The picture by itself.

        Args:
            body: What ``body()`` has given.
            ident: The id of the whole.
            extra: What stands beside the body, in ``below`` points more of height.
        """
        width, height = self.size()
        height += below
        # Layer by layer: one letter that is not ASCII makes all of a text twice as long.
        painted = body.encode() if body else b"".join(map(str.encode, self.parts()))
        digest = hashlib.sha256(f"{text(self.name)}{width}".encode())
        digest.update(painted)
        number = digest.hexdigest()[:8]
        paper = f'<rect width="{width}" height="{height}" fill="{self.theme.of(PAPER)}"/>'
        name = f'id="{ident}" ' if ident else ""
        head = (
            f'<svg {name}xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt" '
            f'viewBox="0 0 {width} {height}" role="img" '
            f'aria-labelledby="t{number} d{number}">\n'
            f'<title id="t{number}">{text(self.name)}</title>\n'
            f'<desc id="d{number}">{text(description_of(self.scene))}</desc>\n'
            f"{paper}\n{extra}"
        )
        return b"".join((head.encode(), painted, b"</svg>\n"))

    def size(self) -> tuple[int, int]:
        """Width and height in points."""
        scene = self.scene
        return scene.x2 - scene.x1 + 2 * PADDING, scene.y2 - scene.y1 + 2 * PADDING

    def origin(self) -> tuple[int, int]:
        """Where the scene's 0, 0 is."""
        return PADDING - self.scene.x1, PADDING + self.scene.y2

    def body(self) -> str:
        """All that is seen, in one group."""
        return "".join(self.parts())

    def parts(self) -> Iterator[str]:
        """The body piece by piece: frames, above them wires, nodes, lines of text."""
        scene = self.scene
        x, y = self.origin()
        yield (
            f'<g class="scene" transform="translate({x} {y})" fill="{self.theme.of(INK)}" '
            f'text-anchor="middle" font-family="{escape(FONTS)}" font-size="{NAME}">\n'
        )
        labelled = (edge for edge in scene.edges if edge.label)
        layers: dict[str, Iterator[str]] = {
            "boxes": chain.from_iterable(map(self.box, scene.boxes)),
            "edges": map(self.edge, scene.edges),
            "nodes": map(self.node, scene.nodes),
            "texts": chain(map(self.text, scene.texts), map(self.edge_label, labelled)),
        }
        for name, lines in layers.items():
            if written := "".join(lines):
                yield f'<g class="{name}"{UNFILLED if name == "edges" else ""}>\n'
                yield written
                yield "</g>\n"
        yield "</g>\n"

    # Frames and text --------------------------------------------------------------------------

    def box(self, box: SceneBox) -> list[str]:
        """A frame with its title, and those in it."""
        fill, line = box_colours(box, self.theme)
        size = TITLE if box.kind == "gate" else NAME
        title = ""
        if box.title:
            x = box.x2 - 9 if box.mirrored else box.x1 + 9
            anchor = "end" if box.mirrored else "start"
            y = round(-(box.y2 - 4 - size / 2) + MIDDLE * size, 1)
            words = text(shorten(box.title))
            title = (
                f'<text x="{x}" y="{y:g}" font-size="{size}" text-anchor="{anchor}">{words}</text>'
            )
        out = [
            f'<g class="box {box.kind}{self.begins.get(box.id, "")}" data-id="{box.id}">'
            f'<rect x="{box.x1}" y="{-box.y2}" width="{box.x2 - box.x1}" '
            f'height="{box.y2 - box.y1}" rx="8" fill="{fill}" stroke="{line}"/>{title}</g>\n'
        ]
        for inner in box.boxes:
            out += self.box(inner)
        return out

    def text(self, line: SceneText) -> str:
        """A line of text by itself."""
        y = round(-line.y + MIDDLE * line.size, 1)
        colour = f' fill="{self.theme.of(line.colour)}"' if line.colour else ""
        bold = ' font-weight="bold"' if line.bold else ""
        more = self.begins.get(line.id, "")
        return (
            f'<text class="line{more}" data-id="{line.id}" x="{line.x}" y="{y:g}" '
            f'font-size="{line.size}" text-anchor="{ANCHORS[line.anchor]}"{bold}{colour}>'
            f"{text(shorten(line.text, MOST_LETTERS))}</text>\n"
        )

    # Nodes --------------------------------------------------------------------------------------

    def node(self, v: Node) -> str:
        """A node with its label and what stands beside it."""
        look = look_of(self.scene, v)
        found = self.looks.get(look)
        if found is None:
            found = self.looks[look] = self.look(v)
        kind, shape, label = found
        more, name = self.begins.get(v.id, ""), v.id
        title = note = ""
        if self.titled and (v.tensor is not None or v.kind == "share"):
            title = f"<title>{text(hover_text(v))}</title>"
        if name in self.marks:
            outline = shape[: shape.index(" fill=")]
            shape += "".join(f"{outline} {mark}/>" for mark in self.marks[name])
        if name in self.noted:
            note = self.note(v)
        return (
            f'<g class="node {kind}{more}" data-id="{name}" '
            f'transform="translate({v.x} {-v.y})">{title}{shape}{label}{note}</g>\n'
        )

    def look(self, v: Node) -> tuple[str, str, str]:
        """The class, the shape and the label of all nodes that look like this one."""
        scene = self.scene
        bar, grade = v.id in scene.bars, scene.grades.get(v.id, -1)
        style = node_style(v, grade, self.theme)
        half, high = v.half, v.high
        ground = f'fill="{style.fill}"' if style.fill else 'fill="none"'
        if style.stroke:
            ground += f' stroke="{style.stroke}" stroke-width="{style.width:g}"'
        if style.dashed:
            ground += ' stroke-dasharray="4 3"'
        if v.round:
            shape = f'<circle r="{half}" {ground}/>'
        else:
            corner = 0 if v.kind in SQUARE_KINDS else min(ROUND.get(v.kind, 10), half, high)
            shape = (
                f'<rect x="{-half}" y="{-high}" width="{2 * half}" height="{2 * high}" '
                f'rx="{corner}" {ground}/>'
            )
        if not (style.fill or style.stroke):
            shape = shape.replace("/>", ' class="unframed"/>')
        lines = label_lines(v, bar, grade, self.theme)
        label = text_lines(lines, style.ink)
        return v.kind + (" bar" if bar else ""), shape, label

    def note(self, node: Node) -> str:
        """Small lines of text beside a node, and its value as a strip of colours."""
        lines = self.scene.notes.get(node.id, [])
        rows = self.scene.strips.get(node.id, [])
        x, y = self.scene.beside + 3, -node.high - 4
        out = []
        if rows:
            wide, tall = SQUARE * len(rows[0]), SQUARE * len(rows)
            y -= tall + 2
            for r, row in enumerate(rows):
                out += [
                    f'<rect x="{x + SQUARE * c}" y="{y + SQUARE * r}" width="{SQUARE}" '
                    f'height="{SQUARE}" fill="{self.theme.diverging(share)}"/>'
                    for c, share in enumerate(row)
                ]
            out.append(
                f'<rect x="{x}" y="{y}" width="{wide}" height="{tall}" fill="none" '
                f'stroke="{self.theme.of(FAINT)}" stroke-width="0.8"/>'
            )
            y -= 3
        for n, runs in enumerate(reversed(note_lines(lines))):
            out.append(text_element(runs, (x, y - (NOTE + 1) * n), ' text-anchor="start"'))
        return f'<g class="note">{"".join(out)}</g>'

    # Edges --------------------------------------------------------------------------------------

    def edge(self, edge: Edge) -> str:
        """A wire with its arrowhead; one curve is written once and moved to each column."""
        key = (edge.curve, wire_key(edge))
        found = self.wires.get(key)
        if found is None:
            found = self.wires[key] = self.wire(edge)
        kind, drawn = found
        ident = edge.id
        moved = f' transform="translate({edge.dx} 0)"' if edge.dx else ""
        more = self.begins.get(ident, "")
        return f'<g class="edge {kind}{more}" data-id="{ident}"{moved}>{drawn}</g>\n'

    def wire(self, edge: Edge) -> tuple[str, str]:
        """The class of all wires that look like this one, and the paths of line and arrowhead."""
        style = wire_style(edge, self.theme, self.faint)
        dots = ' stroke-dasharray="2 4"' if style.dotted else ""
        kind = "back" if edge.back else edge.kind
        slot = f" s{edge.state % len(STATES)}" if edge.state >= 0 else ""
        line, tip = course_of(edge.curve, style.arrow + max(style.width - 1.2, 0))
        return f"{kind}{slot}", (
            f'<path d="{line}" stroke="{style.stroke}" stroke-width="{style.width:g}"{dots}/>'
            f'<path class="tip" fill="{style.stroke}" d="{tip}"/>'
        )

    def edge_label(self, edge: Edge) -> str:
        """The name beside a wire."""
        x, y = edge.label_at
        ink = self.theme.letters(STATES[edge.state % len(STATES)]) if edge.state >= 0 else ""
        line = text_element(name_runs(edge.label, NAME), (x, -y + MIDDLE * NAME), ink=ink)
        ident = edge.id
        more = self.begins.get(ident, "")
        return f'<g class="name{more}" data-id="{ident}">{line}</g>\n'


def svg(scene: Scene, theme: Theme = THEMES["light"], name: str = "") -> bytes:
    """The picture of a scene; ``name`` is what screen readers say."""
    return Painter(scene, theme, name).svg()


# Parts ----------------------------------------------------------------------------------------


def text(words: str) -> str:
    """A text inside of an element, whatever it contains."""
    lines = "\n".join(map(printable, words.split("\n"))) if "\n" in words else printable(words)
    return escape(lines, quote=False)


def course_of(curve: Curve, size: float) -> tuple[str, str]:
    """The path of a wire and of its arrowhead of a length."""
    points, (x, y) = bezier(curve)
    out = [f"M{points[0][0]} {-points[0][1]}"]
    here = points[0]
    for n in range(1, len(points) - 2, 3):
        a, b, c = points[n : n + 3]
        if a == here and b == c:
            if c != here:
                out.append(f"L{c[0]} {-c[1]}")
        else:
            out.append(f"C{a[0]} {-a[1]} {b[0]} {-b[1]} {c[0]} {-c[1]}")
        here = c
    dx, dy = x - here[0], y - here[1]
    long = math.hypot(dx, dy)
    if not long:
        return "".join(out), ""
    ux, uy = dx / long, dy / long
    back_x, back_y, side = x - size * ux, y - size * uy, 0.42 * size
    corners = (
        (x, y),
        (back_x - side * uy, back_y + side * ux),
        (back_x + side * uy, back_y - side * ux),
    )
    tip = "L".join(f"{round(cx, 1):g} {round(-cy, 1):g}" for cx, cy in corners)
    return "".join(out), f"M{tip}Z"


def text_lines(lines: list[list[Run]], ink: str) -> str:
    """Lines of text around the middle of a node; a superscript does not touch the line above."""
    lines = [line for line in lines if line]
    sizes = [max(run.size for run in line) for line in lines]
    raised = (n > 0 and any(run.rise > 0 for run in line) for n, line in enumerate(lines))
    above = [LIFT * size * up for size, up in zip(sizes, raised, strict=True)]
    top = -(1.15 * sum(sizes) + sum(above)) / 2
    out = []
    for line, size, gap in zip(lines, sizes, above, strict=True):
        middle = STAR if line[0].text == "*" else MIDDLE
        top += gap
        out.append(text_element(line, (0, top + 1.15 * size / 2 + middle * size), ink=ink))
        top += 1.15 * size
    return "".join(out)


def text_element(runs: list[Run], at: tuple[float, float], look: str = "", ink: str = "") -> str:
    """One line: its runs follow each other as wide as they turn out."""
    first, (x, y) = runs[0], at
    if first.size != NAME:
        look += f' font-size="{first.size:g}"'
    if first.colour or ink:
        look += f' fill="{first.colour or ink}"'
    if first.bold:
        look += ' font-weight="bold"'
    out = [f'<text x="{x:g}" y="{round(y, 1):g}"{look}>{shown(first.text)}']
    low = 0.0
    for run in runs[1:]:
        drop = round(-run.rise * (DROP if run.rise < 0 else LIFT) * first.size, 1)
        down = f' dy="{round(drop - low, 1):g}"' if drop != low else ""
        out.append(f'<tspan font-size="{run.size:g}"{down}>{shown(run.text)}</tspan>')
        low = drop
    return f"{''.join(out)}</text>"


def shown(words: str) -> str:
    """A text that is seen: nothing but white space becomes a dot."""
    return text(words) if words.strip() or words == " " else "·"


# Words for screen readers -----------------------------------------------------------------------


NODES = {
    "op": "A node shows every operation.",
    "gate": "A node shows each gate.",
    "cell": "A node shows each step's cell.",
    "layer": "A node shows all steps of a loop.",
}


def title_of(scene: Scene) -> str:
    """What the picture is, in a line."""
    if scene.title:
        return scene.title
    view = scene.view
    what = ", ".join(dict.fromkeys(view.titles)) or say("Network")
    n = max((len(loop.steps) for loop in view.structure.loops), default=0)
    if not n:
        return say("Computation graph of {n} operations", n=len(view.structure.records))
    if n == 1:
        return say("{what} unrolled over {n} time step", what=what, n=n)
    return say("{what} unrolled over {n} time steps", what=what, n=n)


def description_of(scene: Scene) -> str:
    """What a reader who does not see the picture is told of it."""
    if scene.description:
        return scene.description
    view = scene.view
    parts = []
    columns = sorted({t for steps in view.shown for t in steps})
    if view.generic:
        parts.append(say("One step stands for all; its states come back to it with a delay."))
    elif columns:
        steps = f"t={columns[0]}"
        if len(columns) > 1:
            steps = say("{n} to {m}", n=steps, m=f"t={columns[-1]}")
        if any(view.dots):
            steps = say("{steps} with some steps left out", steps=steps)
        parts.append(say("Time runs from left to right, {steps}; inputs are below.", steps=steps))
    if len(view.structure.loops) > 1:
        parts.append(say("{n} layers or passes.", n=len(view.structure.loops)))
    parts.append(say(NODES[view.level]))
    if view.shared:
        names = ", ".join(shorten(s.node.label) for s in view.shared[:24])
        names += ", …" if len(view.shared) > 24 else ""
        parts.append(say("Parameters: {names}.", names=names))
    if any(edge.back for edge in scene.edges):
        parts.append(say("Arrows against time show the gradient's way back."))
    return " ".join(parts)
