"""A placed picture as DOT, with every position given: Graphviz has nothing left to decide.

The graph names ``nop2`` as its layout, the engine that takes positions as they are, so that
any Graphviz draws the same picture. Without the positions it is still a sensible graph: steps
and gates are clusters, nodes are records, edges are their operands.
"""

from __future__ import annotations

from collections.abc import Hashable

from .graph import Curve, Edge, Node, hover_text
from .look import (
    FAINT,
    FONTS,
    INK,
    MOST_LETTERS,
    NAME,
    NOTE,
    PAPER,
    RADIUS,
    SQUARE,
    STATES,
    THEMES,
    TITLE,
    WIRE,
    Theme,
    shorten,
    text_width,
)
from .notation import printable
from .scene import Scene, SceneBox, SceneText
from .style import (
    SQUARE_KINDS,
    UNFRAMED,
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
    return out.replace("\\", "\\\\") if out.strip() or out == " " else "·"


def runs_html(runs: list[Run], size: float = NAME, colour: str = "") -> str:
    """A line in an HTML-like label; ``size`` and ``colour`` are those of the node."""
    out = []
    for run in runs:
        text = html(run.text)
        font = f' POINT-SIZE="{run.size:g}"' if run.size != size else ""
        font += f' COLOR="{run.colour}"' if run.colour and run.colour != colour else ""
        text = f"<FONT{font}>{text}</FONT>" if font else text
        text = f"<B>{text}</B>" if run.bold else text
        tag = {-1: "SUB", 1: "SUP"}.get(run.rise)
        out.append(f"<{tag}>{text}</{tag}>" if tag else text)
    return "".join(out)


def label(lines: list[list[Run]]) -> str:
    """The attributes of a label: plain text where one font does."""
    if not lines:
        return 'label=""'
    first = lines[0][0]
    size = f" fontsize={first.size:g}" if first.size != NAME else ""
    if len(lines) == len(lines[0]) == 1 and not (first.bold or first.colour):
        return f"label={quote(first.text)}{size}"
    return f"label=<{'<BR/>'.join(runs_html(line, first.size) for line in lines)}>{size}"


def inches(points: int) -> str:
    """A length as Graphviz wants nodes' sizes."""
    return f"{points / 72:.8g}"


MARK = 3  # points, the width of an outline


class Writer:
    """Writes a scene; ``text()`` is the DOT source.

    Attributes:
        shades: Id of a node or edge -> the theme in which it is seen, if that is another.
        marks: Id of a node or edge -> the colour of a thick outline.
        faint: Whether wires are paler than the gradients' ways back.
        canvas: Attributes of the graph.
        caption: A line below the scene.
    """

    def __init__(self, scene: Scene, theme: Theme) -> None:
        self.scene = scene
        self.theme = theme
        self.shades: dict[str, Theme] = {}
        self.marks: dict[str, str] = {}
        self.faint = any(edge.back for edge in scene.edges)
        self.canvas = ""
        self.caption: list[Run] = []
        self.lines: list[str] = []
        self.written: set[str] = set()
        self.looks: dict[Hashable, str] = {}
        self.courses: dict[Curve, tuple[str, list[int]]] = {}

    def text(self) -> str:
        """The source, ending in a newline."""
        scene, out, of = self.scene, self.lines, self.theme.of
        fonts = f'fontname="{FONTS}", fontcolor="{of(INK)}", fontsize={NAME}, '
        size = inches(2 * RADIUS)
        corners = f"{scene.x1},{scene.y1},{scene.x2},{scene.y2}"
        out += [
            "digraph unspool {",
            f"graph [layout=nop2, splines=line, outputorder=edgesfirst, forcelabels=true, {fonts}"
            f'charset="UTF-8", bgcolor="{of(PAPER)}"{self.canvas}]',
            f'node [{fonts}shape=circle, fixedsize=shape, style=filled, color="{of(WIRE)}", '
            f'fillcolor="{of(PAPER)}", width={size}, height={size}, penwidth=1.2]',
            f'edge [{fonts}color="{of(WIRE)}", arrowsize=0.6]',
            # An outermost cluster without a border holds the size: nothing is cut off.
            f'subgraph cluster_picture {{ label=""; peripheries=0; bb="{corners}";',
        ]
        for box in scene.boxes:
            self.cluster(box)
        for node in scene.nodes:
            if node.id not in self.written:
                self.node(node)
        for text in scene.texts:
            self.line_of_text(text)
        if self.caption:
            width = scene.x2 - scene.x1
            inside = runs_html(self.caption, self.caption[0].size)
            self.set_line("below", inside, scene.x1 + width // 2, scene.y1 - 18, width, "LEFT")
        out.append("}")
        self.wires()
        out.append("}")
        return "\n".join(out) + "\n"

    def cluster(self, box: SceneBox) -> None:
        """A frame as a cluster, with what is in it."""
        out = self.lines
        fill, line = box_colours(box, self.theme)
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

    # Nodes ----------------------------------------------------------------------------------

    def looks_of(self, node: Node) -> str:
        """A node's label, colours and size: one text for all that look alike."""
        theme = self.shades.get(node.id, self.theme)
        look = (theme, look_of(self.scene, node))
        found = self.looks.get(look)
        if found is None:
            found = self.looks[look] = self.attributes(node, theme)
        return found

    def attributes(self, v: Node, theme: Theme) -> str:
        """A node's label, colours, shape and size."""
        of = self.theme.of  # what differs from it is said
        bar, grade = v.id in self.scene.bars, self.scene.grades.get(v.id, -1)
        style = node_style(v, grade, theme)
        out = label(label_lines(v, bar, grade, theme))
        if style.stroke and style.stroke != of(WIRE):
            out += f' color="{style.stroke}"'
        if style.fill not in ("", of(PAPER)):
            out += f' fillcolor="{style.fill}"'
        if ink := style.ink or (theme.of(INK) if theme is not self.theme else ""):
            out += f' fontcolor="{ink}"'
        if style.width != 1.2 and v.kind not in UNFRAMED:
            out += f" penwidth={style.width:g}"
        if not v.round:
            rounded = "" if v.kind in SQUARE_KINDS else "rounded,"
            dashed = "dashed," if style.dashed else ""
            out += (
                ' shape=plaintext style=""'
                if v.kind in UNFRAMED
                else f' shape=box style="{rounded}{dashed}filled"'
            )
        if not v.round or v.half != RADIUS:
            out += f" width={inches(2 * v.half)} height={inches(2 * v.high)}"
        return out

    def node(self, v: Node) -> None:
        """One node."""
        self.written.add(v.id)
        text = f'{v.id} [{self.looks_of(v)} pos="{v.x},{v.y}!"'
        width, height = self.scene.note_size(v.id)
        if width:
            x, y = v.x + self.scene.beside + width // 2, v.y + v.high + 3 + height // 2
            text += f' xlabel={self.note(v.id)} xlp="{x},{y}"'
        if v.tensor is not None or v.kind == "share":
            lines = [quote(line)[1:-1] for line in hover_text(v).split("\n")]
            text += f' tooltip="{"&#10;".join(lines)}"'
        if v.id in self.marks and v.kind not in UNFRAMED:
            text += f' color="{self.marks[v.id]}" penwidth={MARK}'
        self.lines.append(text + "]")

    def note(self, name: str) -> str:
        """Small lines of text beside a node, and its value as a strip of colours."""
        lines, rows = self.scene.notes.get(name, []), self.scene.strips.get(name, [])
        font = f'<FONT POINT-SIZE="{NOTE}" COLOR="{self.theme.of(INK)}">'
        text = [runs_html(runs, NOTE) for runs in note_lines(lines)]
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
        x = {"left": text.x + width // 2, "middle": text.x, "right": text.x - width // 2}
        align = {"left": "LEFT", "middle": "CENTER", "right": "RIGHT"}[text.anchor]
        inside = f"<B>{html(shown)}</B>" if text.bold else html(shown)
        colour = self.theme.of(text.colour or INK)
        font = f'<FONT POINT-SIZE="{text.size}" COLOR="{colour}">{inside}</FONT>'
        self.set_line(text.id, font, x[text.anchor], text.y, width, align, text.size + 8)

    def set_line(
        self, name: str, inside: str, x: int, y: int, width: int, align: str, height: int = 22
    ) -> None:
        """A line around a point, at one side of its room, whatever the font."""
        self.lines.append(
            f'{name} [shape=plaintext style="" pos="{x},{y}!" '
            f"width={inches(width)} height={inches(height)} "
            'label=<<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="0"><TR>'
            f'<TD WIDTH="{width}" HEIGHT="{height}" FIXEDSIZE="TRUE" ALIGN="{align}">{inside}</TD>'
            "</TR></TABLE>>]"
        )

    def wires(self) -> None:
        """All edges."""
        styles: dict[Hashable, str] = {}
        for edge in self.scene.edges:
            theme = self.shades.get(edge.id, self.theme)
            key = (theme, wire_key(edge))
            if key not in styles:
                styles[key] = self.wire(edge, theme)
            tail, head = edge.ends
            text = f'{tail.id} -> {head.id} [pos="{self.position(edge)}"{styles[key]}'
            if edge.label:
                x, y = edge.label_at
                text += f' {label([name_runs(edge.label, NAME)])} lp="{x},{y}"'
                if edge.state >= 0:
                    text += f' fontcolor="{theme.letters(STATES[edge.state % len(STATES)])}"'
            if edge.id in self.marks and not edge.back:
                text += f' color="{self.marks[edge.id]}" penwidth={MARK}'
            self.lines.append(text + "]")

    def position(self, edge: Edge) -> str:
        """Where a wire runs; the text of a curve is made once and moved to each column."""
        if edge.curve not in self.courses:
            points, tip = bezier(edge.curve)
            pieces = [f"e,%d,{tip[1]}", *(f"%d,{y}" for _, y in points)]
            self.courses[edge.curve] = " ".join(pieces), [tip[0], *(x for x, _ in points)]
        pattern, xs = self.courses[edge.curve]
        return pattern % tuple([x + edge.dx for x in xs])

    def wire(self, edge: Edge, theme: Theme) -> str:
        """The attributes of a wire."""
        style = wire_style(edge, theme, self.faint)
        out = f' color="{style.stroke}"' if style.stroke != self.theme.of(WIRE) else ""
        out += f" penwidth={style.width:g}" if style.width != 1.2 else ""
        out += " style=dotted" if style.dotted else ""
        out += " arrowsize=0.5" if edge.kind == "side" else ""
        return out + (" constraint=false" if edge.back else "")


def source(scene: Scene, theme: Theme = THEMES["light"]) -> str:
    """The DOT source of a scene, in the colours of a theme."""
    return Writer(scene, theme).text()
