"""A placed picture as DOT, with every position given: Graphviz has nothing left to decide.

The graph names ``nop2`` as its layout, the engine that takes positions as they are, so that
any Graphviz draws the same picture. Without the positions it is still a sensible graph: steps
and gates are clusters, vertices are records, edges are their operands. A picture of very many
nodes, which nobody reads and somebody may want, is written leanly: frames are nodes, corners
are square, labels are plain.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

from .layers import Path, Point
from .look import (
    BAND,
    BAND_EDGE,
    CORNER,
    FAINT,
    FONTS,
    GRADIENT,
    GREY,
    INK,
    MOST_LETTERS,
    NAME,
    NOTE,
    OP,
    PANEL,
    PAPER,
    RADIUS,
    SMALL,
    SQUARE,
    STATES,
    THEMES,
    TITLE,
    VERMILLION,
    WIRE,
    Theme,
    shorten,
    text_width,
)
from .notation import printable as printable
from .notation import split_name, with_low_digits
from .scene import Curve, Scene, SceneBox, SceneEdge, SceneNode, SceneText, shown_text
from .view import Vertex, hover_text

RICH = 12_000  # pictures of more nodes are written leanly
ARROW = 6  # length of an arrowhead
CUT_SIZE = 16  # of the sign of a cut


# Text ---------------------------------------------------------------------------------------


def quote(text: str) -> str:
    r"""A text as a DOT string that shows exactly this text, whatever it contains.

    Backslashes are doubled, as Graphviz reads ``\N`` and its like in labels; so are the
    entities that it reads, such as ``&lt;``.
    """
    out = printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{out}"'


def html(text: str) -> str:
    r"""A text inside of an HTML-like label, where Graphviz reads ``\N`` and its like too."""
    out = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return out.replace("\\", "\\\\") if out.strip() else "·"


def name_html(name: str, size: int) -> str:
    """A name in an HTML-like label: ``W_f`` with its subscript small and low."""
    parts = split_name(name)
    if parts is None:
        return html(shorten(name))
    small = max(7, round(size * 0.72))
    return f'{html(parts[0])}<SUB><FONT POINT-SIZE="{small}">{html(parts[1])}</FONT></SUB>'


def name_label(name: str, size: int, rich: bool) -> str:
    """A name as a label."""
    if rich and split_name(name) is not None:
        return f"<{name_html(name, size)}>"
    return quote(shorten(name))


def inches(points: int) -> str:
    """A length as Graphviz wants nodes' sizes."""
    return f"{points / 72:.8g}"


# Wires --------------------------------------------------------------------------------------


def bezier(curve: Curve, corner: int) -> tuple[Path, Point]:
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
    if not corner and len(points) <= 4:  # one smooth curve: its corners are its handles
        handles = points[1:-1] or [points[0], points[-1]]
        return [points[0], handles[0], handles[-1], points[-1]], tip
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


class _Pen:
    """Writes wires' positions; a curve's text is made once and moved to each column."""

    def __init__(self, corner: int) -> None:
        self.corner = corner
        self.patterns: dict[Curve, tuple[str, list[int]]] = {}

    def position(self, edge: SceneEdge) -> str:
        """The ``pos`` of an edge."""
        found = self.patterns.get(edge.curve)
        if found is None:
            points, tip = bezier(edge.curve, self.corner)
            pieces = [f"e,%d,{tip[1]}", *(f"%d,{y}" for _, y in points)]
            found = self.patterns[edge.curve] = " ".join(pieces), [tip[0], *(x for x, _ in points)]
        pattern, xs = found
        dx = edge.dx
        return pattern % tuple([x + dx for x in xs])


def wire_style(edge: SceneEdge, theme: Theme, faint: bool) -> str:
    """The attributes of an edge; ``faint`` where the gradients' ways back are the subject."""
    kind, state = edge.edge.kind, edge.state
    if edge.back:
        colour, width = theme.of(GRADIENT[edge.grade]), 1.2 + 0.6 * edge.grade
        return f' color="{colour}" penwidth={width:.4g} constraint=false'
    if faint and kind != "side":
        hue = STATES[state % len(STATES)] if state >= 0 else FAINT
        return f' color="{theme.tint(hue, 0.45)}"'
    if kind == "side":
        return f' color="{theme.of(edge.edge.tail.colour or FAINT)}" arrowsize=0.5'
    if state >= 0:
        width = 1.2 + edge.grade if edge.grade >= 0 else 1.9
        return f' color="{theme.of(STATES[state % len(STATES)])}" penwidth={width:.4g}'
    if kind == "hidden":
        return " style=dotted penwidth=1.4"
    return ""


# Nodes --------------------------------------------------------------------------------------

ROUNDED = 'shape=box style="rounded,filled"'
SHAPES = {
    "copy": 'shape=box style="rounded,dashed,filled"',
    "delay": "shape=box",
    "state": 'shape=plaintext style=""',
    "end": 'shape=plaintext style=""',
    "dots": 'shape=plaintext style=""',
    "share": "shape=box style=filled",
    "cut": 'shape=plaintext style="filled"',
}
LEAN_SHAPES = {**SHAPES, "copy": 'shape=box style="dashed"', "op": "shape=box"}


def node_style(v: Vertex, bar: bool, grade: int, theme: Theme) -> str:
    """The colours of a vertex's node; filled by the size of its gradient, if it has one."""
    of, tint = theme.of, theme.tint
    hue = v.colour or WIRE
    colour = of(hue)
    wide = " penwidth=2.2" if v.bold else ""
    if grade >= 0:
        ink = f' fontcolor="{of(PAPER)}"' if grade >= 3 else ""
        return f' color="{colour}" fillcolor="{of(GRADIENT[grade])}"{ink}{wide}'
    if v.kind == "op":
        fill = f' fillcolor="{of(PAPER)}00"' if bar else ""
        return f' color="{of(INK) if v.bold else colour}"{fill}{wide}'
    if v.kind == "gate":
        return f' color="{colour}" fillcolor="{tint(hue)}"{wide}'
    if v.kind == "cell":
        return f' color="{of(INK)}" fillcolor="{tint(STATES[0], 0.10)}" penwidth=1.6'
    if v.kind == "copy":
        return f' color="{colour}" fillcolor="{tint(hue, 0.14)}"'
    if v.kind == "parameter":
        return f' color="{colour}" fillcolor="{tint(hue, 0.26)}" penwidth=1.8'
    if v.kind == "constant":
        return f' color="{of(GREY)}" fontcolor="{of(WIRE)}" penwidth=0.8'
    if v.kind in ("input", "output"):
        return f' fillcolor="{of(PANEL)}{"B0" if bar else ""}"{wide}'
    if v.kind == "cut":
        return f' fontcolor="{of(VERMILLION)}"'
    if v.kind == "share":
        return f' color="{colour}" fillcolor="{colour}" penwidth=0'
    if v.kind == "swatch":
        ink = f' fontcolor="{of(PAPER)}"' if hue in GRADIENT[3:] else ""
        return f' color="{colour}" fillcolor="{colour}"{ink}'
    if v.kind == "delay":
        return f' color="{of(INK)}"'
    return ""


# What is left out of a lean picture: Graphviz copies every attribute to every node.
LEAN = re.compile(r" (penwidth|fontcolor|fontsize)=\S+")


class Writer:
    """Writes a scene; ``text()`` is the DOT source."""

    def __init__(self, scene: Scene, theme: Theme) -> None:
        self.scene = scene
        self.theme = theme
        self.rich = len(scene.nodes) <= RICH
        self.lines: list[str] = []
        self.written: set[str] = set()
        self.labels: dict[Hashable, str] = {}

    def text(self) -> str:
        """The source, ending in a newline."""
        scene, out, of = self.scene, self.lines, self.theme.of
        fonts, more, order = f'fontname="{FONTS}", ', "", "nodesfirst"
        if self.rich:
            fonts += f'fontcolor="{of(INK)}", fontsize={NAME}, '
            more, order = ", penwidth=1.2", "edgesfirst"
        size = inches(2 * RADIUS)
        corners = f"{scene.x1},{scene.y1},{scene.x2},{scene.y2}"
        out += [
            "digraph unspool {",
            f"graph [layout=nop2, splines=line, outputorder={order}, forcelabels=true, {fonts}"
            f'charset="UTF-8", bgcolor="{of(PAPER)}"]',
            f'node [{fonts}shape=circle, fixedsize=shape, style=filled, color="{of(WIRE)}", '
            f'fillcolor="{of(PAPER)}", width={size}, height={size}{more}]',
            f'edge [{fonts}color="{of(WIRE)}", arrowsize=0.6]'
            if self.rich
            else f'edge [color="{of(WIRE)}", arrowhead=none]',
            # An outermost cluster without a border holds the size: nothing is cut off.
            f'subgraph cluster_picture {{ label=""; peripheries=0; bb="{corners}";',
        ]
        if not self.rich:
            out.append("}")
        for box in scene.boxes:
            if self.rich:
                self.cluster(box)
            else:
                self.frame(box)
        for node in scene.nodes:
            if node.vertex.id not in self.written:
                self.node(node)
        for text in scene.texts:
            self.line_of_text(text)
        if self.rich:
            out.append("}")
        self.wires()
        out.append("}")
        return "\n".join(out) + "\n"

    # Frames ---------------------------------------------------------------------------------

    def colours(self, box: SceneBox) -> tuple[str, str]:
        """The fill and the line of a frame."""
        of, tint = self.theme.of, self.theme.tint
        if box.kind == "gate":
            return tint(box.colour or WIRE), tint(box.colour or WIRE, 0.55)
        return of(PAPER if box.kind == "step" else BAND), of(BAND_EDGE)

    def cluster(self, box: SceneBox) -> None:
        """A frame as a cluster, with what is in it."""
        out = self.lines
        fill, line = self.colours(box)
        size = TITLE if box.kind == "gate" else NAME
        reach = 9 + text_width(shorten(box.title), size) // 2
        x = box.x2 - reach if box.mirrored else box.x1 + reach
        title = f'lp="{x},{box.y2 - 4 - size // 2}"; fontsize={size}; ' if box.title else ""
        out.append(
            f"subgraph cluster_{box.id} {{ label={quote(shorten(box.title))}; {title}"
            f'peripheries=1; bb="{box.x1},{box.y1},{box.x2},{box.y2}"; style="rounded,filled"; '
            f'fillcolor="{fill}"; color="{line}"; penwidth=1;'
        )
        for inner in box.boxes:
            self.cluster(inner)
        for node in box.nodes:
            self.node(node)
        out.append("}")

    def frame(self, box: SceneBox) -> None:
        """A frame as a node behind the others, as thousands of clusters are slow to draw."""
        fill, line = self.colours(box)
        title = quote(shorten(box.title))[1:-1] + ("\\r" if box.mirrored else "\\l")
        self.lines.append(
            f'frame_{box.id} [shape=box label="{title}" labelloc=t '
            f"{self.at((box.x1 + box.x2) // 2, (box.y1 + box.y2) // 2)} "
            f"width={inches(box.x2 - box.x1)} height={inches(box.y2 - box.y1)} "
            f'fillcolor="{fill}" color="{line}"]'
        )
        for inner in box.boxes:
            self.frame(inner)

    def at(self, x: int, y: int) -> str:
        """A node's position, pinned for engines that would move it."""
        return f'pos="{x},{y}!"'

    # Nodes ----------------------------------------------------------------------------------

    def looks(self, node: SceneNode) -> str:
        """A node's label, colours and size: one text for all that look alike."""
        v = node.vertex
        bar = v.id in self.scene.bars
        outside = v.place is None and shown_text(v)
        grade = self.scene.grades.get(v.id, -1)
        size = (node.half, node.high)
        detail = v.detail if v.kind != "share" else ""
        side = self.scene.sides.get(v.id, "")
        look = (v.kind, v.label, detail, v.colour, v.bold, outside, bar, grade, size, side)
        found = self.labels.get(look)
        if found is None:
            label = self.bar_label(v) if bar else self.make_label(v)
            found = label + node_style(v, bar, grade, self.theme)
            if not node.round:
                found += f" {(SHAPES if self.rich else LEAN_SHAPES).get(v.kind, ROUNDED)}"
            if not node.round or node.half != RADIUS:
                found += f" width={inches(2 * node.half)} height={inches(2 * node.high)}"
            if not self.rich:
                found = LEAN.sub("", found)
            self.labels[look] = found
        return found

    def bar_label(self, v: Vertex) -> str:
        """What stands in a bar: in its middle, or at one side of it."""
        side = self.scene.sides.get(v.id, "")
        return f'label="{quote(v.detail)[1:-1]}\\{side}"' if side else f"label={quote(v.detail)}"

    def make_label(self, v: Vertex) -> str:
        """The label of a vertex, with the size of its font where it is another."""
        name = html(shorten(v.label))
        if v.kind == "op":
            size = 20 if v.label == "*" else OP if len(v.label) <= 2 else 0
            return f"label={quote(shorten(v.label))}" + (f" fontsize={size}" if size else "")
        if v.kind == "parameter" and self.rich:
            detail = f'<FONT POINT-SIZE="{SMALL}">{html(v.detail)}</FONT>' if v.detail else ""
            return f"label=<{name_html(v.label, NAME)} {detail}>"
        if v.kind == "gate" and v.detail:
            grade = self.scene.grades.get(v.id, -1)
            ink = WIRE if grade < 0 else INK if grade < 3 else PAPER
            names = " ".join(name_html(word, SMALL) for word in shorten(v.detail).split())
            return (
                'label=<<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="1" CELLSPACING="0">'
                f'<TR><TD><B>{name}</B></TD></TR><TR><TD><FONT POINT-SIZE="{SMALL}" '
                f'COLOR="{self.theme.of(ink)}">{names}</FONT></TD></TR></TABLE>>'
            )
        if v.kind == "cut":
            return f"label=<<B>{name}</B>> fontsize={CUT_SIZE}"
        if v.kind in ("gate", "cell"):
            return f"label=<<B>{name}</B>> fontsize={18 if v.kind == 'cell' else NAME}"
        if v.kind == "dots":
            span = f'<FONT POINT-SIZE="{SMALL}">{html(v.detail)}</FONT>'
            return f'label=<<FONT POINT-SIZE="28">…</FONT><BR/>{span}>'
        if v.kind in ("delay", "swatch"):
            return f"label={quote(shown_text(v))} fontsize={SMALL + 2}"
        if v.kind == "input" and v.place is None:
            return f"label={quote(shown_text(v))}"
        return f"label={name_label(v.label, NAME, self.rich)}"

    def node(self, node: SceneNode) -> None:
        """One node."""
        v = node.vertex
        self.written.add(v.id)
        text = f'{v.id} [{self.looks(node)} pos="{node.x},{node.y}!"'
        width, height = self.scene.note_size(v.id)
        if width:
            x, y = node.x + self.scene.beside + width // 2, node.y + node.high + 3 + height // 2
            text += f' xlabel={self.note(v.id)} xlp="{x},{y}"'
        if self.rich and (v.tensor is not None or v.kind == "share"):
            lines = [quote(line)[1:-1] for line in hover_text(v).split("\n")]
            text += f' tooltip="{"&#10;".join(lines)}"'
        self.lines.append(text + "]")

    def note(self, name: str) -> str:
        """Small lines of text beside a vertex, and its value as a strip of colours."""
        lines, rows = self.scene.notes.get(name, []), self.scene.strips.get(name, [])
        if not self.rich and len(lines) == 1 and not rows:
            return quote(shorten(lines[0]))
        font = f'<FONT POINT-SIZE="{NOTE}" COLOR="{self.theme.of(INK)}">'
        text = [html(with_low_digits(line)) for line in lines]
        if len(lines) == 1:
            text = [name_html(lines[0], NOTE)]
        if not rows:
            left = '<BR ALIGN="LEFT"/>'
            return f"<{font}{text[0] if len(text) == 1 else left.join([*text, ''])}</FONT>>"
        cells = "".join(f"<TR>{''.join(map(self.square, row))}</TR>" for row in rows)
        strip = (
            f'<TABLE BORDER="1" COLOR="{self.theme.of(FAINT)}" CELLBORDER="0" CELLPADDING="0" '
            f'CELLSPACING="0">{cells}</TABLE>'
        )
        parts = [f"{font}{line}</FONT>" for line in text] + [strip]
        body = "".join(f'<TR><TD ALIGN="LEFT">{part}</TD></TR>' for part in parts)
        return f'<<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="0">{body}</TABLE>>'

    def square(self, share: float) -> str:
        """One number of a strip."""
        colour = self.theme.diverging(share)
        return f'<TD BGCOLOR="{colour}" WIDTH="{SQUARE}" HEIGHT="{SQUARE}" FIXEDSIZE="TRUE"></TD>'

    def line_of_text(self, text: SceneText) -> None:
        """Text by itself: a table of one cell keeps it at its side, whatever the font."""
        shown = shorten(text.text, MOST_LETTERS)
        width = text_width(shown, text.size * (1.15 if text.bold else 1)) + 4
        height = text.size + 8
        x = {"left": text.x + width // 2, "middle": text.x, "right": text.x - width // 2}
        align = {"left": "LEFT", "middle": "CENTER", "right": "RIGHT"}[text.anchor]
        inside = f"<B>{html(shown)}</B>" if text.bold else html(shown)
        colour = self.theme.of(text.colour or INK)
        font = f'<FONT POINT-SIZE="{text.size}" COLOR="{colour}">{inside}</FONT>'
        self.lines.append(
            f'{text.id} [shape=plaintext style="" {self.at(x[text.anchor], text.y)} '
            f"width={inches(width)} height={inches(height)} "
            'label=<<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="0"><TR>'
            f'<TD WIDTH="{width}" HEIGHT="{height}" FIXEDSIZE="TRUE" ALIGN="{align}">{font}</TD>'
            "</TR></TABLE>>]"
        )

    # Edges ----------------------------------------------------------------------------------

    def wires(self) -> None:
        """All edges."""
        pen = _Pen(CORNER if self.rich else 0)
        styles: dict[Hashable, str] = {}
        backward = any(edge.back for edge in self.scene.edges)
        for edge in self.scene.edges:
            e = edge.edge
            side = e.tail.colour if e.kind == "side" else ""
            look = (edge.state, e.kind, side, edge.back, edge.grade)
            style = styles.get(look)
            if style is None:
                style = wire_style(edge, self.theme, backward)
                if not self.rich:  # of a thousand arrowheads none would be seen
                    style = style.replace(" arrowsize=0.5", "")
                styles[look] = style
            tail, head = (e.head.id, e.tail.id) if edge.back else (e.tail.id, e.head.id)
            text = f'{tail} -> {head} [pos="{pen.position(edge)}"{style}'
            if edge.label and self.rich:
                x, y = edge.label_at
                text += f' label={name_label(edge.label, NAME, True)} lp="{x},{y}"'
                if edge.state >= 0:
                    text += f' fontcolor="{self.theme.letters(STATES[edge.state % len(STATES)])}"'
            elif edge.label:
                # Labels of edges would cost each edge five attributes more.
                name = f"name{len(self.lines)} [label={quote(edge.label)} {self.at(*edge.label_at)}"
                self.lines.append(f'{name} shape=plaintext style=""]')
            self.lines.append(text + "]")


def source(scene: Scene, theme: Theme = THEMES["light"]) -> str:
    """The DOT source of a scene, in the colours of a theme."""
    return Writer(scene, theme).text()


def layers(scene: Scene, text: str) -> list[str]:
    """A lean picture as two that lie on each other, nodes and wires, to be drawn at one time.

    Args:
        scene: The picture.
        text: Its source, as ``source`` gives it.
    """
    if len(scene.nodes) <= RICH:
        return [text]
    lines = text.splitlines()
    wires = [line for line in lines if " -> " in line[:24]]
    others = [line for line in lines if " -> " not in line[:24]]
    corners = f"{scene.x1},{scene.y1},{scene.x2},{scene.y2}"
    unseen = [
        "digraph wires {",
        lines[1],
        'node [shape=point, style=invis, label="", width=0, height=0, pos="0,0"]',
        lines[3],
        f'subgraph cluster_picture {{ id=wires; label=""; peripheries=0; bb="{corners}"; }}',
        *(node.vertex.id for node in scene.nodes),
    ]
    return ["\n".join(others), "\n".join([*unseen, *wires, "}"])]
