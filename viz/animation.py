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
from typing import Any, NamedTuple

from ..autograd import path_text
from ..checks import import_extra
from ..files import write_atomically
from . import dot, render
from .formulas import Equations
from .graph import Node
from .language import say, say_path
from .look import FONTS, GRADIENT, INK, ORANGE, PAPER, Faint, Theme, mix, shorten
from .notation import pieces, printable
from .paint import PADDING, Painter, text_element
from .scene import Scene
from .style import Run

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
PNG_END = b"IEND\xaeB`\x82"
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
        *(f._replace(caption=f"{say('forward')} · {f.caption}") for f in there),
        *(f._replace(caption=f"{say('backward')} · {f.caption}") for f in reversed(back)),
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
        around = [*say_path(structure.loops[loop].path[:-1]), scene.view.titles[loop]]
        return f"{' · '.join(around)} · t = {step}"
    i = max(last.records)
    where = path_text(say_path(structure.records[i].scope))
    said = lines.way_back(last.records) if back else lines.statement(i)
    return " · ".join(filter(None, (where, said)))


class Moments(NamedTuple):
    """When each node and each edge lights up: numbers of frames.

    Attributes:
        nodes: Node id -> (forward, backward), None where it is there from the beginning, or
            where no gradient arrives.
        edges: Edge id -> the same; forward is None for the gradient's own arrows.
        norms: Id of a text that tells a gradient's norm -> when that is known.
    """

    nodes: dict[str, tuple[int | None, int | None]]
    edges: dict[str, tuple[int | None, int | None]]
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
) -> dict[str, tuple[int | None, int | None]]:
    """When each wire lights up, from when its ends do."""
    arrows = any(e.back for e in scene.edges)  # then the gradient does not light up the wires
    edges: dict[str, tuple[int | None, int | None]] = {}
    for e in scene.edges:
        tail, head = (node.id for node in e.ends)
        if e.back:
            edges[e.id] = (None, backward.get(tail, backward.get(head)))
        else:
            edges[e.id] = (forward.get(head), None if arrows else backward.get(head))
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


# SVG ----------------------------------------------------------------------------------------------


class Walk(Painter):
    """The painter of a walk: parts have the classes of the frames in which they light up.

    ``v3`` is a node that is there from frame 3 on, ``w3`` a wire, ``r3`` what only the
    gradient brings; ``f3`` and ``b3`` are a node's outlines in frame 3, forward and backward.
    """

    def __init__(self, scene: Scene, theme: Theme, sequence: Sequence[Frame]) -> None:
        super().__init__(replace(scene, grades={}), theme)  # nothing has them before
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
        for ident, (forward, backward) in moments.edges.items():
            if forward is not None:
                self.begins[ident] = f" s w{forward}"
            elif backward is not None:
                self.begins[ident] = f" s r{backward}"  # the gradient's own arrow


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
    """The picture as frames, each drawn by Graphviz: what waits is faint, what happens outlined."""
    image = import_extra("animate writes GIFs with Pillow", "plot", "PIL", "PIL.Image").Image
    film = Film(scene, theme, sequence)
    pictures = film.pictures()

    def opened(picture: bytes) -> Any:
        return image.open(io.BytesIO(picture)).convert("RGB")

    # One palette for all: the beginning, the turn and the end have every colour.
    turn = sum(not frame.back for frame in sequence)
    first, *others = (opened(pictures[n]) for n in (0, turn, -1))
    sheet = image.new("RGB", (first.width, 3 * first.height))
    for n, frame in enumerate((first, *others)):
        sheet.paste(frame, (0, n * first.height))
    plain = {"dither": image.Dither.NONE}
    palette = sheet.quantize(255, **plain)
    indexed = (opened(one).quantize(palette=palette, **plain) for one in pictures)
    times = [10 * round(100 * (b - a)) for a, b in pairwise([0.0, *begins])]  # milliseconds
    file = io.BytesIO()
    next(indexed).save(
        file, "GIF", save_all=True, append_images=indexed, duration=times, loop=0, disposal=1
    )
    return file.getvalue()


class Film:
    """The frames of a walk as DOT, the same scene in each."""

    def __init__(self, scene: Scene, theme: Theme, sequence: Sequence[Frame]) -> None:
        self.scene, self.theme, self.sequence = scene, theme, sequence
        self.moments = moments_of(scene, sequence)
        self.nodes, self.wires = (Faint(**vars(theme), share=share) for share in (WAITING, WIRES))

    def pictures(self) -> list[bytes]:
        """All frames as PNG, the beginning first, no wider than a GIF should be."""
        wide, high = self.size()
        sources = list(map(self.source, range(-1, len(self.sequence))))
        dpi = min(render.PNG_DPI, GIF_WIDTH * 72 / wide)
        limit = render.TIME_LIMIT + len(sources)
        data = render.render(sources, "png", (wide, high), limit, dpi)
        return [picture + PNG_END for picture in data.split(PNG_END)[:-1]]

    def size(self) -> tuple[int, int]:
        """Width and height in points, with the caption."""
        scene = self.scene
        return scene.x2 - scene.x1 + 2 * PADDING, scene.y2 - scene.y1 + 2 * PADDING + STRIP

    def source(self, number: int) -> str:
        """The frame of this number; -1 for the beginning."""
        scene, moments = self.scene, self.moments
        there = [e for e in scene.edges if not e.back or self.back_at(e.id) <= number]
        texts = [t for t in scene.texts if moments.norms.get(t.id, -1) <= number]
        writer = dot.Writer(replace(scene, edges=there, texts=texts, grades={}), self.theme)
        writer.faint = any(e.back for e in scene.edges)
        for times, shade in ((moments.nodes, self.nodes), (moments.edges, self.wires)):
            for ident, (forward, backward) in times.items():
                if forward is not None and forward > number:
                    writer.shades[ident] = shade
                if colour := self.mark(ident, number, forward, backward):
                    writer.marks[ident] = colour
        # Graphviz makes room for texts that turn out wider than was reckoned; all frames have one.
        wide, high = self.size()
        middle = f"{(scene.x1 + scene.x2) / 2},{(scene.y1 + scene.y2 - STRIP) / 2}"
        writer.canvas = f', notranslate=true, viewport="{wide},{high},1,{middle}"'
        writer.caption = caption_runs(self.sequence[number].caption, wide) if number >= 0 else []
        return writer.text()

    def back_at(self, ident: str) -> int:
        """When the gradient's own arrow is there."""
        backward = self.moments.edges[ident][1]
        return len(self.sequence) if backward is None else backward

    def mark(self, ident: str, number: int, forward: int | None, backward: int | None) -> str:
        """The outline of a part in a frame: strong where it happens, a trace of the gradient."""
        grade = self.scene.grades.get(ident)
        colour = self.theme.of(BACKWARD if grade is None else GRADIENT[grade])
        if number >= 0 and number == forward:
            return self.theme.of(FORWARD)
        if backward is None or backward > number:
            return ""
        return colour if backward == number else mix(colour, self.theme.of(PAPER), BEEN)
