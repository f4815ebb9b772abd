"""A walk through backpropagation through time: a drawing that lights up in the order of its tape.

What is computed appears in the order of execution, and then the gradient takes the same way back,
record by record or step by step. Gradients that are drawn come with the backward pass. As SVG it
moves by style sheet alone: one file, no script, and it stands still, complete, for readers who
want no motion. As GIF it goes onto any slide.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..autograd import path_text
from ..files import write_atomically
from . import dot, render
from .formulas import Equations
from .graph import Edge, Node
from .look import FONTS, GRADIENT, INK, ORANGE, PAPER, Theme, mix, shorten, text_width
from .notation import pieces, printable
from .paint import PADDING, Painter, text_element
from .scene import BESIDE, Scene, SceneBox, SceneText
from .style import Run, bezier
from .units import Path as Points

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Frame", "animate", "frames"]

FORMATS = (".svg", ".gif")
RECORDS = 120  # with more records shown, a frame is a time step unless asked otherwise
MOST = 600  # frames
ROUND = 20.0  # seconds that a round takes if frames can be neither slow nor fast
SLOWEST, FASTEST = 0.8, 0.1  # seconds a frame
PAUSE = 1.5  # seconds at the turn and at the end
WAITING = 0.13  # how much of what is not yet computed is seen
WIRES = 0.05  # and of its wires, several of which may lie on each other
BEEN = 0.45  # how bright the trace of the gradient stays
FORWARD, BACKWARD = ORANGE, GRADIENT[2]
STRIP = 30  # points below the picture, for the caption
GIF_WIDTH = 1400  # pixels
CAPTION = 14  # size of its letters


class Frame(NamedTuple):
    """What lights up at once.

    Attributes:
        back: Whether it is on the way back.
        ids: The nodes that are computed, or whose gradient is passed on.
        caption: What happens, in a line.
    """

    back: bool
    ids: tuple[str, ...]
    caption: str


# What happens when --------------------------------------------------------------------------------


def frames(scene: Scene, by: str | None = None) -> list[Frame]:
    """The forward pass in the order of the tape, and the backward pass in the reverse order.

    Args:
        scene: What is drawn.
        by: "record", or "step": all of a time step at once. By default records, but steps for
            cells and where more than 120 records are shown.

    Raises:
        ValueError: ``by`` is neither, nothing was computed, or there are too many frames.
    """
    if by not in (None, "record", "step"):
        raise ValueError(f'animate: by is "record" or "step", got {by!r}')
    computed = [node for node in scene.nodes if node.records]
    if by is None:
        by = "step" if scene.view.level == "cell" or len(computed) > RECORDS else "record"

    def done(v: Node) -> int:
        """When it is there: a box with its last record, an input where it is first taken."""
        return v.records[0] if v.kind == "input" else max(v.records)

    moments: dict[Any, list[Node]] = {}
    for v in sorted(computed, key=done):
        moments.setdefault(v.place if by == "step" and v.place else v.id, []).append(v)
    ordered = sorted(moments.values(), key=lambda vs: max(map(done, vs)))
    if not ordered:
        raise ValueError("animate: nothing in this drawing was computed")
    if 2 * len(ordered) > MOST:
        raise ValueError(
            f"animate: {2 * len(ordered):,} frames, and more than {MOST} are watched by nobody; "
            'write by="step", or draw fewer steps (steps=)'
        )
    lines = Equations(scene.view.structure)
    there = [Frame(False, tuple(v.id for v in vs), caption(scene, vs, by, lines)) for vs in ordered]
    back = [
        Frame(True, tuple(v.id for v in vs), caption(scene, vs, by, lines, True)) for vs in ordered
    ]
    return [
        *(f._replace(caption=f"forward · {f.caption}") for f in there),
        *(f._replace(caption=f"backward · {f.caption}") for f in reversed(back)),
    ]


def caption(
    scene: Scene, nodes: Sequence[Node], by: str, lines: Equations, back: bool = False
) -> str:
    """What a frame is about: a time step, or the equation of a record or of a gate.

    On the way ``back`` it is where the gradient comes from and goes to.
    """
    structure = scene.view.structure
    last = nodes[-1]
    if by == "step" and last.place is not None:
        loop, step = last.place
        around = [*structure.loops[loop].path[:-1], scene.view.titles[loop]]
        return f"{' · '.join(around)} · t = {step}"
    i = max(last.records)
    where = path_text(structure.records[i].scope)
    said = lines.way_back(last.records) if back else lines.statement(i)
    return " · ".join(filter(None, (where, said)))


class Moments(NamedTuple):
    """When each node and each edge lights up: numbers of frames.

    Attributes:
        nodes: Node id -> (forward, backward), None where it is there from the beginning, or
            where no gradient arrives.
        edges: (tail, head) -> the same; forward is None for the gradient's own arrows.
        norms: Id of a text that tells a gradient's norm -> when that is known.
    """

    nodes: dict[str, tuple[int | None, int | None]]
    edges: dict[tuple[str, str], tuple[int | None, int | None]]
    norms: dict[str, int]


def moments_of(scene: Scene, sequence: Sequence[Frame]) -> Moments:
    """When what lights up.

    What no record made (inputs, parameters, first states) is there from the beginning, and has
    its gradient when all that read it have passed theirs on. What only stands for a result (a
    last state, an output, the dots for steps left out) comes with what it stands for.
    """
    forward: dict[str, int] = {}
    backward: dict[str, int] = {}
    for number, frame in enumerate(sequence):
        for name in frame.ids:
            (backward if frame.back else forward)[name] = number
    wires = [(e.tail.id, e.head.id) for e in scene.edges if not e.back]
    makers: dict[str, list[str]] = {}
    readers: dict[str, list[str]] = {}
    for tail, head in wires:
        makers.setdefault(head, []).append(tail)
        readers.setdefault(tail, []).append(head)
    for _ in range(3):  # a result, the dots behind it, an end behind those
        for node in scene.nodes:
            follow(node.id, forward, makers)
            follow(node.id, backward, readers)
    for node in scene.nodes:
        # One in the legend has its gradient when all that use it have passed theirs on.
        if node.kind == "parameter" and (times := users_of(node, scene, backward)):
            backward.setdefault(node.id, max(times))
    nodes = {n.id: (forward.get(n.id), backward.get(n.id)) for n in scene.nodes}
    edges = edge_moments(scene, forward, backward)
    norms = {}
    for text in scene.texts:
        if text.id.startswith("norm_"):
            of = max((v for v in nodes if f"{text.id}_".startswith(f"norm_{v}_")), key=len)
            read = [backward[v] for v in readers.get(of, ()) if v in backward]
            made = [backward[v] for v in (of, *makers.get(of, ())) if v in backward]
            # A gradient is whole when it has come from all that read the value.
            norms[text.id] = max(read) if read else made[0] if made else len(sequence) - 1
    return Moments(nodes, edges, norms)


def follow(name: str, times: dict[str, int], sources: dict[str, list[str]]) -> None:
    """What lights up by itself at no time does so with the last of what it stands for."""
    known = [times[other] for other in sources.get(name, ()) if other in times]
    if known:
        times.setdefault(name, max(known))


def users_of(parameter: Node, scene: Scene, backward: dict[str, int]) -> list[int]:
    """When each box that uses a parameter passes its gradient on."""
    records = scene.view.structure.records
    return [
        backward[n.id]
        for n in scene.nodes
        if n.id in backward
        and any(parameter.tensor is x for i in n.records for x in records[i].inputs)
    ]


def edge_moments(
    scene: Scene, forward: dict[str, int], backward: dict[str, int]
) -> dict[tuple[str, str], tuple[int | None, int | None]]:
    """When each wire lights up, from when its ends do."""
    arrows = any(e.back for e in scene.edges)  # then the gradient does not light up the wires
    edges: dict[tuple[str, str], tuple[int | None, int | None]] = {}
    for e in scene.edges:
        tail, head = (node.id for node in e.ends)
        if e.back:
            edges[tail, head] = (None, backward.get(tail, backward.get(head)))
        else:
            edges[tail, head] = (forward.get(head), None if arrows else backward.get(head))
    return edges


def clock(sequence: Sequence[Frame], seconds: float | None) -> list[float]:
    """When each frame begins, in seconds, and behind the last when the round is over."""
    if seconds is None:
        seconds = min(max(ROUND / len(sequence), FASTEST), SLOWEST)
    elif not 0.01 <= seconds <= 60:
        raise ValueError(f"animate: a frame lasts from 0.01 to 60 seconds, got {seconds!r}")
    begins = []
    now = seconds
    for number, frame in enumerate(sequence):
        if number and frame.back and not sequence[number - 1].back:
            now += PAUSE
        begins.append(now)
        now += seconds
    return [*begins, now + PAUSE]


# The animation ------------------------------------------------------------------------------------


def animate(
    scene: Scene,
    theme: Theme,
    path: str | os.PathLike[str],
    *,
    by: str | None = None,
    seconds: float | None = None,
) -> Path:
    """Write a walk through a scene; see ``Drawing.animate``."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(
            f"animate({str(path)!r}): the suffix chooses the format: {', '.join(FORMATS)}"
        )
    sequence = frames(scene, by)
    begins = clock(sequence, seconds)
    write = animated_svg if path.suffix.lower() == ".svg" else animated_gif
    write_atomically(path, write(scene, theme, sequence, begins))
    return path


def ungraded(scene: Scene) -> Scene:
    """A scene without the colours of gradients, which nothing has before the backward pass."""
    return replace(scene, grades={})


# SVG ----------------------------------------------------------------------------------------------


class Walk(Painter):
    """The painter of a walk: parts have the classes of the frames in which they light up.

    ``v3`` is a node that is there from frame 3 on, ``w3`` a wire, ``r3`` what only the
    gradient brings; ``f3`` and ``b3`` are a node's outlines in frame 3, forward and backward.
    """

    def __init__(self, scene: Scene, theme: Theme, sequence: Sequence[Frame]) -> None:
        super().__init__(ungraded(scene), theme)
        moments = moments_of(scene, sequence)
        self.begins = {ident: f" s r{number}" for ident, number in moments.norms.items()}
        for ident, (forward, backward) in moments.nodes.items():
            if forward is not None:
                self.begins[ident] = f" s v{forward}"
            grade = scene.grades.get(ident)
            own = f' style="--mark:{theme.of(GRADIENT[grade])}"' if grade is not None else ""
            times = (("f", forward), ("b", backward))
            self.marks[ident] = [
                f'class="s h {way}{at}"{own}' for way, at in times if at is not None
            ]
        for (tail, head), (forward, backward) in moments.edges.items():
            if forward is not None:
                self.begins[f"{tail}-{head}"] = f" s w{forward}"
            elif backward is not None:
                self.begins[f"{tail}-{head}"] = f" s r{backward}"  # the gradient's own arrow


def animated_svg(
    scene: Scene, theme: Theme, sequence: Sequence[Frame], begins: Sequence[float]
) -> bytes:
    """The picture with a style sheet that lights it up, and a caption for each frame."""
    walk = Walk(scene, theme, sequence)
    body = walk.body()
    name = "walk" + hashlib.sha256(body.encode()).hexdigest()[:8]  # two may stand on one page
    width, height = walk.size()
    lines = "".join(
        text_element(
            caption_runs(frame.caption, width),
            (12, height + 18),
            f' class="s t {"b" if frame.back else "f"}c{number}"',
        )
        + "\n"
        for number, frame in enumerate(sequence)
    )
    sheet = style_sheet(name, sequence, begins, theme)
    extra = f"{sheet}{lines}"
    return walk.svg(body, ident=name, extra=extra, below=STRIP)


def caption_runs(line: str, width: float) -> list[Run]:
    """A caption as runs, what stands low in its names set low."""
    out = []
    for base, low in pieces(printable(shorten(line, most_letters(width)))):
        out += [Run(base, CAPTION), *([Run(low, 10, -1)] if low else [])]
    return out


def most_letters(width: float) -> int:
    """How many letters of a caption fit below a picture."""
    return max(24, int(width / 7.5))


def style_sheet(name: str, sequence: Sequence[Frame], begins: Sequence[float], theme: Theme) -> str:
    """When what is seen: a rule for each frame and each kind of change."""
    over = begins[-1]

    def keyframes(label: str, *changes: tuple[float, float]) -> str:
        """Opacities and since when; the last one lasts."""
        points = "".join(f"{100 * at / over:.4g}%{{opacity:{value:g}}}" for at, value in changes)
        ends = f"100%{{opacity:{changes[-1][1]:g}}}"
        rule = f"#{name} .{label}{{animation-name:{name}{label}}}"
        return f"@keyframes {name}{label}{{{points}{ends}}}{rule}\n"

    of = theme.of
    out = [
        f"<style>\n#{name} .s{{animation:{over:g}s step-end infinite}}\n",
        f"#{name} .h{{fill:none;stroke-width:9;stroke-linecap:round;opacity:0}}\n",
        f"#{name} .t{{font:14px {FONTS};fill:{of(INK)};opacity:0}}\n",
    ]
    for number, frame in enumerate(sequence):
        now, later = begins[number], begins[number] + (begins[1] - begins[0])
        letter, colour = ("b", BACKWARD) if frame.back else ("f", FORWARD)
        paint = f"var(--mark,{of(colour)})" if frame.back else of(colour)
        out.append(f"#{name} .{letter}{number}{{stroke:{paint}}}\n")
        out.append(keyframes(f"{letter}c{number}", (0, 0), (now, 1), (begins[number + 1], 0)))
        if frame.back:
            out.append(keyframes(f"b{number}", (0, 0), (now, 1), (later, BEEN)))
            out.append(keyframes(f"r{number}", (0, 0), (now, 1)))
        else:
            out.append(keyframes(f"f{number}", (0, 0), (now, 1), (later, 0)))
            out.append(keyframes(f"v{number}", (0, WAITING), (now, 1)))
            out.append(keyframes(f"w{number}", (0, WIRES), (now, 1)))
    still = f"#{name} .s{{animation:none}}"
    out.append(f"@media (prefers-reduced-motion:reduce){{{still}}}\n</style>\n")
    return "".join(out)


# GIF ----------------------------------------------------------------------------------------------


def animated_gif(
    scene: Scene, theme: Theme, sequence: Sequence[Frame], begins: Sequence[float]
) -> bytes:
    """The picture as frames: what waits is faint, what happens is outlined."""
    try:
        from PIL import Image  # isort: skip  # without it matplotlib would be left half imported
        import matplotlib  # noqa: F401  # its fonts
    except ImportError as error:
        raise ImportError('animate writes GIFs with Pillow: pip install "unspool[plot]"') from error
    film = Film(scene, theme, sequence)
    first, palette = film.picture(-1, ""), film.palette()

    def indexed(image: Any) -> Any:
        return image.quantize(palette=palette, dither=Image.Dither.NONE)

    others = (indexed(film.picture(n, frame.caption)) for n, frame in enumerate(sequence))
    times = [10 * round(100 * (b - a)) for a, b in pairwise([0.0, *begins])]  # milliseconds
    file = io.BytesIO()
    indexed(first).save(
        file, "GIF", save_all=True, append_images=others, duration=times, loop=0, disposal=1
    )
    return file.getvalue()


class Film:
    """The frames of a walk as bitmaps, each composed of three that Graphviz drew.

    Attributes:
        whole: The picture with all that the backward pass brings.
        ahead: The picture of the forward pass.
        faint: The picture in which everything waits.
        scale: Pixels a point.
        shapes: (region, (frame of the forward pass, frame of the backward pass)) of each part.
    """

    def __init__(self, scene: Scene, theme: Theme, sequence: Sequence[Frame]) -> None:
        import matplotlib
        from PIL import Image, ImageFont

        self.of, self.sequence = theme.of, sequence
        moments = moments_of(scene, sequence)
        self.whole = bitmap(ungraded(scene), theme)
        self.ahead = bitmap(forward_only(scene, moments), theme)
        self.faint = Image.blend(bitmap(bare(scene, moments), theme), self.ahead, WAITING)
        self.scale = self.whole.width / (scene.x2 - scene.x1 + 2 * PADDING)
        fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
        self.size = max(11, round(13 * self.scale))
        self.font, self.small = (
            ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), size)
            for size in (self.size, self.size * 0.7)
        )
        self.shapes = self.placed(scene, moments)

    def placed(self, scene: Scene, moments: Moments) -> list[tuple[Region, Any]]:
        """Where each part of the scene is, and the frames in which something happens there."""
        shapes: list[tuple[Region, Any]] = [
            (place(scene, node, self.scale), moments.nodes[node.id]) for node in scene.nodes
        ]
        for edge in scene.edges:
            tail, head = (node.id for node in edge.ends)
            shapes.append((wire(scene, edge, self.scale), moments.edges[tail, head]))
        for text in scene.texts:
            if text.id in moments.norms:
                region = lettering(scene, text, self.scale)
                shapes.append((region, (None, moments.norms[text.id])))
        return shapes

    def mask(self, ground: int) -> tuple[Any, Any]:
        """A grey bitmap of the picture's size, and a pen for it."""
        from PIL import Image, ImageDraw

        image = Image.new("L", self.whole.size, ground)
        return image, ImageDraw.Draw(image)

    def picture(self, number: int, caption: str) -> Any:
        """The frame of this number; -1 for the beginning."""
        from PIL import Image

        mask, pen = self.mask(255)
        for waits in (True, False):  # what is there lies on top of what waits
            for region, (forward, _) in self.shapes:
                if not region.back and (forward is not None and forward > number) == waits:
                    region.fill(pen, 0 if waits else 255)
        image = Image.composite(self.ahead, self.faint, mask)
        mask, pen = self.mask(0)
        for region, (_, backward) in self.shapes:
            if region.back and backward is not None and backward <= number:
                region.fill(pen, 255)
        image.paste(self.whole, mask=mask)
        self.outline(image, number)
        return self.captioned(image, caption)

    def outline(self, image: Any, number: int) -> None:
        """Outline what happens in a frame, and lightly what the gradient has reached before."""
        from PIL import ImageDraw

        pen = ImageDraw.Draw(image)
        for region, (_, backward) in self.shapes:
            if backward is not None and backward < number and not region.back:
                colour = mix(self.of(region.colour), self.of(PAPER), BEEN)
                region.outline(pen, colour, self.scale)
        for region, times in self.shapes:
            if number in times and number >= 0:
                colour = region.colour if self.sequence[number].back else FORWARD
                region.outline(pen, self.of(colour), self.scale)

    def captioned(self, image: Any, caption: str) -> Any:
        """The picture above a line of text, subscripts set low."""
        from PIL import Image, ImageDraw

        strip = round(STRIP * self.scale)
        sheet = Image.new("RGB", (image.width, image.height + strip), self.of(PAPER))
        sheet.paste(image)
        line = printable(shorten(caption, most_letters(image.width / self.scale)))
        x, y = round(12 * self.scale), round(image.height + STRIP * self.scale / 4)
        for base, low in pieces(line):
            for text, font, drop in ((base, self.font, 0), (low, self.small, self.size // 2)):
                ImageDraw.Draw(sheet).text((x, y + drop), text, self.of(INK), font)
                x += round(font.getlength(text))
        return sheet

    def palette(self) -> Any:
        """One palette for all frames: the colours of the first, of the last, and of the marks."""
        from PIL import Image, ImageDraw

        first = self.picture(-1, "")
        sheet = self.picture(len(self.sequence) - 1, self.sequence[-1].caption)
        pen = ImageDraw.Draw(sheet)
        for number, colour in enumerate(map(self.of, (FORWARD, BACKWARD, *GRADIENT))):
            pen.rectangle((0, 12 * number, sheet.width // 4, 12 * number + 10), colour)
        sheet.paste(first.resize((sheet.width // 4, sheet.height // 4)), (0, 90))
        return sheet.quantize(255, dither=Image.Dither.NONE)


def bitmap(scene: Scene, theme: Theme) -> Image:
    """A scene as pixels, no wider than a GIF should be.

    Graphviz makes room for texts that turn out wider than was reckoned; here the canvas is the
    scene's own, so that drawings of one scene lie on each other whatever they show of it.
    """
    from PIL import Image

    wide, high = scene.x2 - scene.x1 + 2 * PADDING, scene.y2 - scene.y1 + 2 * PADDING
    middle = f"{(scene.x1 + scene.x2) / 2},{(scene.y1 + scene.y2) / 2}"
    first, rest = dot.source(scene, theme).split("\n", 1)
    canvas = f'graph [notranslate=true, viewport="{wide},{high},1,{middle}"]'
    png = render.render(f"{first}\n{canvas}\n{rest}", "png", (wide, high))
    image = Image.open(io.BytesIO(png)).convert("RGB")
    if image.width <= GIF_WIDTH:
        return image
    height = round(image.height * GIF_WIDTH / image.width)
    return image.resize((GIF_WIDTH, height), Image.Resampling.LANCZOS)


def forward_only(scene: Scene, moments: Moments) -> Scene:
    """A scene without what only the backward pass brings."""
    edges = [edge for edge in scene.edges if not edge.back]
    texts = [text for text in scene.texts if text.id not in moments.norms]
    return replace(scene, edges=edges, texts=texts, grades={})


def bare(scene: Scene, moments: Moments) -> Scene:
    """A scene of the same size with its frames and those texts only that are there at once."""

    def emptied(box: SceneBox) -> SceneBox:
        inner = [emptied(b) for b in box.boxes]
        corners = (box.x1, box.y1, box.x2, box.y2)
        return SceneBox(box.id, box.kind, box.title, *corners, box.colour, box.mirrored, [], inner)

    corners = (scene.x1, scene.y1, scene.x2, scene.y2)
    boxes = [emptied(box) for box in scene.boxes]
    texts = [text for text in scene.texts if text.id not in moments.norms]
    return Scene(scene.view, boxes, [], [], texts, {}, set(), *corners)


class Region(NamedTuple):
    """Where a node or a wire is in the bitmap: rectangles, and lines of a width.

    ``round`` is the radius of a frame's corners, 0 where there is no frame, and ``colour`` that of
    its gradient.
    """

    boxes: list[tuple[float, float, float, float]]
    lines: list[list[tuple[float, float]]]
    width: float
    round: float
    back: bool = False
    colour: str = BACKWARD

    def fill(self, pen: Any, value: int) -> None:
        """Cover it."""
        for box in self.boxes:
            pen.rectangle(box, fill=value)
        for line in self.lines:
            pen.line(line, fill=value, width=round(self.width), joint="curve")

    def outline(self, pen: Any, colour: str, scale: float) -> None:
        """Outline a node, or go over a wire."""
        wide = round(3 * scale)
        if self.lines:
            for line in self.lines:
                pen.line(line, fill=colour, width=wide, joint="curve")
        elif self.round:
            pen.rounded_rectangle(self.boxes[0], self.round, outline=colour, width=wide)


def place(scene: Scene, node: Node, scale: float) -> Region:
    """Where a node is, and what stands beside it."""
    name = node.id
    x, y = (node.x - scene.x1 + PADDING) * scale, (scene.y2 - node.y + PADDING) * scale
    half, high = (node.half + 3) * scale, (node.high + 3) * scale
    boxes = [(x - half, y - high, x + half, y + high)]
    width, height = scene.note_size(name)
    if width:
        reach = (scene.beside + 3 + width) * scale
        boxes.append((x, y - high - (4 + height) * scale, x + reach, y - high))
    framed = node.kind not in BESIDE
    colour = GRADIENT[scene.grades[name]] if name in scene.grades else BACKWARD
    corner = framed * (min(half, high) if node.round else 8 * scale)
    return Region(boxes, [], 0, corner, colour=colour)


def lettering(scene: Scene, text: SceneText, scale: float) -> Region:
    """Where a line of text is; it is not outlined, and comes with the gradient."""
    wide = text_width(text.text, text.size * 1.15) + 8
    left = text.x - {"left": 4, "middle": wide // 2, "right": wide - 4}[text.anchor]
    x, y = (left - scene.x1 + PADDING) * scale, (scene.y2 - text.y + PADDING) * scale
    return Region([(x, y - 8 * scale, x + wide * scale, y + 8 * scale)], [], 0, 0, back=True)


def wire(scene: Scene, edge: Edge, scale: float) -> Region:
    """Where a wire runs, and its name."""
    points, tip = bezier(edge.curve)

    def at(x: float, y: float) -> tuple[float, float]:
        return (x - scene.x1 + PADDING) * scale, (scene.y2 - y + PADDING) * scale

    course = [at(x + edge.dx, y) for x, y in [*sampled(points), tip]]
    boxes = []
    if edge.label:
        x, y = at(*edge.label_at)
        boxes.append((x - 14 * scale, y - 9 * scale, x + 14 * scale, y + 9 * scale))
    return Region(boxes, [course], 9 * scale, 0, edge.back)


def sampled(points: Points) -> list[tuple[float, float]]:
    """A chain of cubic Bézier curves as points on it."""
    out: list[tuple[float, float]] = [points[0]]
    for n in range(0, len(points) - 3, 3):
        a, b, c, d = points[n : n + 4]
        for k in range(1, 7):
            t = k / 6
            w = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            corners = list(zip(w, (a, b, c, d), strict=True))
            out.append((sum(u * p[0] for u, p in corners), sum(u * p[1] for u, p in corners)))
    return out
