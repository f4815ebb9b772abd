"""A drawing as a page: one HTML file, to be opened, walked through, asked for numbers and changed.

The page holds each scene as the painter writes it, and the tape: its leaves in full, and what each
record is. The script computes the tape (``assets/ops.js``), so that a number can be changed and
both passes follow; a tape with an op that it does not know has its numbers in the file, and is a
walk alone. Opening and closing needs no layout there. A closed box covers what is in it, and room
that only covered things need is squeezed out of the x axis and the y axis, in order, so that every
wire stays straight; any mixture of open and closed is one picture.

Nothing leaves the page: its policy allows no request, and only the scripts and styles whose
checksums stand in it. Scenes, JSON and the script are compressed (gzip, base64; ``unpack.js``
undoes it), so no name of the user's stands in the file as it is; labels are escaped where they are
painted, all other text is set as text, so that a name is never markup.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from ..autograd import Tape, Tensor, backpropagate, options_text, path_text
from .adjoints import adjoints_of
from .extent import LAST, Part, choose_steps
from .formulas import Equations
from .graph import Curve, Edge, Node, View, loop_label
from .language import say, say_path
from .layout import lay_out
from .live import differentiable, encoded, leaf_arrays, metadata, reason_against, seeds_of
from .look import DIVERGING, MOST_LETTERS, NEUTRALS, STATES, THEMES, Theme, shorten
from .notation import GREEK, is_number, printable
from .numbers import Flows, Norms, norm_of
from .paint import Painter, course_of
from .scene import Scene, SceneBox, shown_text
from .structure import Structure, read
from .view import make_view
from .words import Words

__all__ = ["make_page"]

WHOLE = 64  # arrays of so many numbers stand in the page number by number
NUMBERS = 120_000  # so many numbers are in a page; beyond them arrays are summarised
MOST_RECORDS = 5_000  # longer tapes are cut to the steps that make so many
MOST_EQUATIONS = 1_500  # records of a tape whose equations of the pass back are read off
MOST_VISITS = 300_000  # records that are gone back through to find what reaches the inputs
MOST_NODES = 15_000  # scenes of more are left out, if there is a coarser one
DIGITS = 4
LETTERS = 40  # in a label, with its shape
SCENES = ("folded", "cell", "gate", "op")  # from coarse to fine
NEUTRAL_NAMES = ("ink", "wire", "faint", "band", "band-edge", "paper", "panel")
# What the page has beside the picture: kinds of nodes, and texts whose ids begin so.
LEGEND = ("swatch", "share")
PARAGRAPHS = ("parameters", "scale", "missing", "title", "caption", "cut", "remark")


def make_page(
    tape: Tape,
    *,
    level: str = "op",
    fold: bool = False,
    steps: int | None = None,
    at: int | None = None,
    backward: bool = False,
    values: bool = False,
    gradients: Mapping[Tensor, Any] | None = None,
    title: str = "",
    caption: str = "",
    words: Words | None = None,
    keep: str | None = None,
    theme: Theme = THEMES["light"],
) -> str:
    """The page of a tape, as HTML.

    Args:
        tape: The network.
        level, fold, steps, at: What the page shows when it is opened; all else is a click away.
        backward: Whether it opens at the end of the backward pass; needs ``gradients``.
        values: Whether shapes and small values stand beside the ops all the time.
        gradients: What ``tape.gradients()`` returned; without it there is no backward pass.
        title, caption: Text above and below.
        words: What stands below and above the columns.
        keep: Whether the "first" or the "last" steps are shown when it is opened; by default the
            last where a loss stands at the end.
        theme: "dark" and "print" are kept to; "light" follows what the reader's system wants.
    """
    structure = read(tape)
    limit = steps_that_fit(structure)
    whole = len(tape)
    if len(records_of(structure, limit)) > 1.2 * MOST_RECORDS:  # it does not lie in the steps
        tape = Part(tape, LAST)
        structure = read(tape)
        limit = steps_that_fit(structure)
    is_part = len(tape) < whole or len(records_of(structure, limit)) < len(tape)
    against = "it holds a part of the tape" if is_part else reason_against(tape, gradients)
    book = Book(tape, structure, gradients, limit, live=not against)
    scenes, painted = {}, {}
    titles: list[str] = []
    ink = Palette(theme.name)
    for name in SCENES if structure.loops else SCENES[2:]:
        if name == "folded":
            view = make_view(structure, level="op", fold=True)
            scene = lay_out(view, values=values, legend=False)
        else:
            view = make_view(structure, level=name, steps=limit)
            scene = lay_out(view, values=values, gradients=gradients, legend=False, words=words)
        titles = view.titles
        if name == "cell":
            book.find_inputs(view)
        book.add_shares(scene)
        book.remarks |= {printable(t.text): None for t in scene.texts if t.id == "cut"}
        scene = without_legend(scene)
        scenes[name] = book.scene(scene)
        painted[name] = PagePainter(scene, ink, name, returns=gradients is not None).body()
    left_out = [name for name, made in scenes.items() if len(made["nodes"]) > MOST_NODES]
    for name in left_out[: len(scenes) - 1]:
        del scenes[name], painted[name]
    wanted = "folded" if fold else level
    at_the_end = any(output.ndim == 0 for output in tape.outputs)
    data = {
        "title": printable(title or heading(structure, titles)),
        "caption": caption,
        "scenes": scenes,
        "scene": wanted if wanted in scenes else next(iter(scenes)),
        "steps": max(
            (len(choose_steps(loop, steps, None, False)) for loop in structure.loops), default=0
        ),
        "at": at or 0,
        "keep": keep or ("last" if at_the_end else "first"),
        "greek": GREEK,
        "notes": [*notes(structure, whole, limit, left_out, gradients, against), *book.remarks],
        "end": backward and gradients is not None,
        "words": words_of(words),
        "bptt": book.way_back,
        **book.tables(titles),
    }
    return assemble(data, painted, ink, theme)


def words_of(words: Words | None) -> dict[str, list[list[str]]]:
    """The texts of the time steps by kind: words, targets, predictions."""
    if words is None:
        return {}
    named = {"words": words.words, "targets": words.targets, "predictions": words.predictions}
    return {name: [list(map(printable, row)) for _, row in rows] for name, rows in named.items()}


def without_legend(scene: Scene) -> Scene:
    """A scene without what the page has beside the picture, and without the ways back."""
    legend = {s.node for s in scene.view.shared}
    nodes = [n for n in scene.nodes if n not in legend and n.kind not in LEGEND]
    there = set(nodes)
    edges = [e for e in scene.edges if not e.back and e.tail in there and e.head in there]
    texts = [t for t in scene.texts if not t.id.startswith(PARAGRAPHS)]
    return replace(scene, nodes=nodes, edges=edges, texts=texts, grades={})


@dataclass(frozen=True)
class Palette(Theme):
    """A theme whose colours are CSS variables, so that the page may change from light to dark."""

    known: dict[tuple[str, tuple[Any, ...]], str] = field(default_factory=dict)

    def variable(self, method: str, *args: Any) -> str:
        return f"var({self.known.setdefault((method, args), f'--c{len(self.known)}')})"

    def of(self, colour: str) -> str:
        return self.variable("of", colour)

    def letters(self, colour: str) -> str:
        return self.variable("letters", colour)

    def tint(self, colour: str, share: float = 0.16) -> str:
        return self.variable("tint", colour, share)

    def diverging(self, share: float) -> str:
        return self.variable("diverging", round(share, 2))

    def values(self, theme: Theme) -> dict[str, str]:
        """What the variables are in another theme, without their dashes."""
        return {
            name[2:]: getattr(theme, method)(*args) for (method, args), name in self.known.items()
        }


class PagePainter(Painter):
    """The painter of the page: no titles, as there is a card, and arrows for the way back."""

    def __init__(self, scene: Scene, theme: Theme, name: str, *, returns: bool) -> None:
        super().__init__(scene, theme, name)
        self.titled, self.returns = False, returns
        self.back: dict[Curve, str] = {}

    def origin(self) -> tuple[int, int]:
        return 0, 0

    def body(self) -> str:
        return super().body().replace("<g ", f'<g data-scene="{self.name}" ', 1)

    def edge(self, edge: Edge) -> str:
        painted = super().edge(edge)
        if not self.returns or edge.kind == "side":
            return painted
        if edge.curve not in self.back:
            turned = Curve(edge.curve.points[::-1], edge.curve.free)
            self.back[edge.curve] = course_of(turned, 9)[1]
        tip = f'<path class="tip return" d="{self.back[edge.curve]}"/>'
        return painted.removesuffix("</g>\n") + tip + "</g>\n"


def heading(structure: Structure, titles: list[str]) -> str:
    """What the page is called if it was not told."""
    longest = max((len(loop.steps) for loop in structure.loops), default=0)
    if not longest:
        return say("{n} records", n=len(structure.records))
    steps = say("{n} steps" if longest > 1 else "{n} step", n=longest)
    return f"{', '.join(dict.fromkeys(titles))}: {steps}"


def steps_that_fit(structure: Structure) -> int:
    """How many steps the page can bear: all, unless their records are too many."""
    longest = max((len(loop.steps) for loop in structure.loops), default=0)
    inside = sum(place is not None for place in structure.where)
    room = MOST_RECORDS - (len(structure.records) - inside)
    return longest if inside <= max(room, 0) else max(min(longest, room * longest // inside), 2)


def records_of(structure: Structure, limit: int) -> list[int]:
    """The records that are in the page, with so many steps of each loop: their positions."""
    visible = {
        (loop.index, t) for loop in structure.loops for t in choose_steps(loop, limit, None, False)
    }
    return [i for i, place in enumerate(structure.where) if place is None or place in visible]


def notes(
    structure: Structure,
    whole: int,
    limit: int,
    left_out: list[str],
    gradients: Mapping[Tensor, Any] | None,
    against: str,
) -> list[str]:
    """What is not in the page, and why."""
    out = []
    longest = max((len(loop.steps) for loop in structure.loops), default=0)
    if len(structure.records) < whole:
        out.append(f"The page holds the last {len(structure.records):,} of {whole:,} records.")
    if limit < longest:
        out.append(
            f"The page holds {limit} of {longest} steps: the first {limit - 1} and the last."
        )
    if left_out:
        out.append(f"Too large to be drawn here: level {', '.join(left_out)}.")
    if gradients is None:
        out.append("No backward pass: draw(..., grads=tape.gradients()) brings it.")
    if against:
        out.append(f"Numbers cannot be changed here: {against}.")
    return out


# Numbers and records -------------------------------------------------------------------------


class Book:
    """The tables of a page: Tensors with their numbers, records, and which node shows which.

    Args:
        tape: The tape.
        structure: The tape, read.
        gradients: Tensor -> gradient, or None.
        limit: How many steps are in the page.
        live: Whether the page computes the numbers itself; else they are written here.
    """

    def __init__(
        self,
        tape: Tape,
        structure: Structure,
        gradients: Mapping[Tensor, Any] | None,
        limit: int,
        live: bool,
    ) -> None:
        self.structure, self.live = structure, live
        self.given = leaf_arrays(tape) if live else {}
        self.floating = differentiable(tape) if live else set()
        self.seeds = seeds_of(tape, gradients) if live else {}
        self.way_back: list[str] = []  # the equations of the pass back
        self.deltas: dict[Tensor, str] = {}
        if self.seeds and structure.loops and len(tape) <= MOST_EQUATIONS:
            adjoints = adjoints_of(tape)
            self.way_back = list(map(printable, adjoints.lines(outside=True)))
            self.deltas = adjoints.deltas()
        self.gradients = gradients or {}
        self.names = tape.names()
        self.equations = Equations(structure)
        # Parameters and first states in equations: two directions have arrows over their letters.
        self.leaves = {x: self.equations.leaf(x, None).text for x in structure.parameters}
        for i, k in structure.entering:
            x = structure.records[i].inputs[k]
            if x not in structure.made:
                self.leaves[x] = self.equations.operand(i, k, x).text
        kept = records_of(structure, limit)
        self.row = {i: n for n, i in enumerate(kept)}  # position on the tape -> row of the page
        self.number: dict[Tensor, int] = {}
        for i in kept:
            for x in (*structure.records[i].inputs, structure.records[i].output):
                self.number.setdefault(x, len(self.number))
        written = list(self.number)
        if gradients is not None:  # the gradients too, and what each record adds to them
            written += [*self.number, *(x for i in kept for x in structure.records[i].inputs)]
        fits = sum(x.size for x in written if x.size <= WHOLE) <= NUMBERS
        self.whole = WHOLE if fits else DIGITS
        self.uses = Counter(x for record in structure.records for x in set(record.inputs))
        self.shares: dict[int, list[list[Any]]] = {}
        self.remarks: dict[str, None] = {}  # what the scenes say in words
        self.inputs: dict[Tensor, tuple[Tensor, Any]] = {}
        self.same_place: dict[Hashable, list[int]] = {}
        for i in kept:
            place = structure.where[i]
            if place is not None:
                self.same_place.setdefault((place[0], structure.key[i]), []).append(i)

    def tables(self, titles: list[str]) -> dict[str, Any]:
        """All but the scenes; the titles are what the loops' cells are called."""
        return {
            "tensors": [self.tensor(x) for x in self.number],
            "records": [self.record(i) for i in self.row],
            "loops": [
                printable(loop_label(loop.path, title))
                for loop, title in zip(self.structure.loops, titles, strict=True)
            ],
            "reach": self.reach(),
            "shares": self.shares,
            "live": self.live,
            "seeds": [[self.number[x], encoded(g)] for x, g in self.seeds.items()],
        }

    def add_shares(self, scene: Scene) -> None:
        """Each step's share in the gradient of each parameter: [loop, step, norm]."""
        if self.live:
            return
        for x, columns in scene.shares.items():
            self.shares[self.number[x]] = [
                [*(place or (-1, 0)), rounded(norm_of(share))] for place, share in columns.items()
            ]

    def tensor(self, x: Tensor) -> dict[str, Any]:
        """A Tensor: its names on the tape and in equations, shape, dtype, numbers, gradient.

        A gradient that is a δ of the equations of the pass back has that name.
        """
        name = self.names.get(x, "·")
        out: dict[str, Any] = {"n": printable(name), "s": list(x.shape), "d": str(x.dtype)}
        if not self.live:
            out["v"] = self.numbers(np.asarray(x.data))
        elif x in self.given:
            out["x"] = encoded(self.given[x])
        if x in self.floating:
            out["f"] = 1
        if x in self.deltas:
            out["q"] = printable(self.deltas[x])
        made = self.structure.made.get(x)
        if made is not None and not x.name:
            left, equals, _ = self.equations.statement(made).partition(" = ")
            out |= {"e": left} if equals and not left.startswith("v_") else {}
        elif x in self.leaves:
            out |= {"e": self.leaves[x]} if self.leaves[x] != x.name else {}
        if x._record is None:
            out["k"] = "number" if is_number(x) else "parameter" if x.requires_grad else "input"
        g = None if self.live else self.gradient(x)
        if g is not None:
            out["g"] = self.numbers(g)
            out["m"] = rounded(norm_of(g))
        return out

    def gradient(self, x: Tensor) -> np.ndarray[Any, Any] | None:
        """A Tensor's gradient, or None if it has none."""
        if x not in self.gradients:
            return None
        g = self.gradients[x]
        return np.asarray(g.data if isinstance(g, Tensor) else g)

    def numbers(self, array: np.ndarray[Any, Any]) -> Any:
        """A small array as a list of its numbers, a large one as what sums it up."""
        if array.size <= self.whole:
            return [rounded(v) for v in array.ravel().tolist()]
        if array.dtype.kind not in "fiu":
            return {"first": [rounded(v) for v in array.ravel()[:DIGITS].tolist()]}
        numbers = array.astype(float)
        sums = {
            "mean": numbers.mean(),
            "std": numbers.std(),
            "min": numbers.min(),
            "max": numbers.max(),
            "norm": norm_of(numbers),
        }
        return {name: rounded(float(value)) for name, value in sums.items()}

    def record(self, i: int) -> dict[str, Any]:
        """A record: op, equation, operands, result, and where it stands."""
        record = self.structure.records[i]
        place = self.structure.where[i]
        out: dict[str, Any] = {
            "i": i + 1,
            "o": str(record.op) + printable(options_text(record.params)),
            "e": self.equations.statement(i),
            "a": [self.number[x] for x in record.inputs],
            "r": self.number[record.output],
        }
        path = path_text(say_path(tuple(name for name, _ in self.structure.group[i])))
        if path:
            out["p"] = printable(path)
        if self.live:
            out["m"] = metadata(record)
        passed_on = {} if self.live else self.passed_on(i)
        if passed_on:
            out["c"] = {  # where it is the whole gradient, it stands there already
                self.number[x]: self.numbers(share) if self.uses[x] > 1 else "all"
                for x, share in passed_on.items()
            }
        if place is not None:
            out["l"], out["t"] = place
        return out

    def passed_on(self, i: int) -> dict[Tensor, Any]:
        """What a record alone adds to the gradients of its operands."""
        record = self.structure.records[i]
        g = self.gradient(record.output)
        if g is None or not g.any():
            return {}
        shares = record.operand_gradients(g).items()
        return {x: np.asarray(share) for x, share in shares if x in self.gradients}

    # The inputs that a step's gradient reaches ------------------------------------------------

    def reach(self) -> dict[str, dict[int, list[Any]]]:
        """How much of the gradient at a step's state arrives at each input.

        Loop -> step -> the row of h_t, and for each input [row of x_s, ‖∂L/∂h_t · ∂h_t/∂x_s‖]:
        the pass back begins at h_t alone, with the gradient that h_t has.
        """
        inputs = {x: part for x, part in self.inputs.items() if x.dtype.kind == "f"}
        sources = {source for source, _ in inputs.values()}
        out: dict[str, dict[int, list[Any]]] = {}
        visits = 0
        for loop, t, i in self.hidden_states() if inputs and self.gradients else ():
            state = self.structure.records[i].output
            seed = self.gradient(state)
            visits += i + 1
            if seed is None or i not in self.row or visits > MOST_VISITS:
                continue
            if self.live:  # the page goes back itself
                places = [self.number[x] for x in inputs]
                out.setdefault(str(loop), {})[t] = [self.number[state], *places]
                continue
            found: dict[Tensor, Any] = {}
            backpropagate([(state, seed)], found.__setitem__, every=True, stop=sources)
            arrived = [
                [self.number[x], rounded(norm_of(found[source][index]))]
                for x, (source, index) in inputs.items()
                if source in found
            ]
            reached: list[Any] = [pair for pair in arrived if pair[1] != 0]
            out.setdefault(str(loop), {})[t] = [self.number[state], *reached]
        return out

    def hidden_states(self) -> Iterator[tuple[int, int, int]]:
        """For each step of each loop where its h is made: (loop, step, position on the tape)."""
        for loop in self.structure.loops:
            slots = self.structure.slots[loop.index]
            h = next((slot for slot in slots if slot.name == "h"), slots[0] if slots else None)
            for t, positions in loop.steps.items():
                made = [i for i in positions if h is not None and self.structure.key[i] in h.keys]
                if made:
                    yield loop.index, t, made[-1]

    def find_inputs(self, view: View) -> None:
        """The x_s of a picture of cells: their Tensors, what they were taken from, and where."""
        for node in view.nodes:
            if node.kind == "input" and node.place is not None:
                for record in map(self.structure.records.__getitem__, node.records):
                    x, taken = record.output, record.op == "getitem"
                    part = (record.inputs[0], record.params["index"]) if taken else (x, ...)
                    self.inputs[x] = part
                if not node.records and node.tensor is not None:
                    self.inputs[node.tensor] = node.tensor, ...

    # Scenes ----------------------------------------------------------------------------------

    def scene(self, scene: Scene) -> dict[str, Any]:
        """What the script looks up of a scene: all in the order in which it is painted."""
        boxes: list[dict[str, Any]] = []
        inside: dict[str, int] = {}  # node -> the innermost box around it
        for box in scene.boxes:
            self.add_box(scene, box, -1, boxes, inside)
        number = {n: k for k, n in enumerate(scene.nodes)}
        flows = Flows(scene.view, Norms(None if self.live else self.gradients))
        edges = [
            [
                number[e.tail],
                number[e.head],
                e.kind,
                e.state,
                self.number.get(e.tensor, -1),
                rounded(flow) if (flow := flows.norm(e)) is not None else None,
            ]
            for e in scene.edges
        ]
        texts = [
            [
                *(printable(shorten(t.text, MOST_LETTERS)), t.x, -t.y, t.size, t.anchor, t.id),
                self.number.get(t.tensor, -1) if t.tensor is not None else -1,
            ]
            for t in scene.texts
        ]
        return {
            "boxes": boxes,
            "nodes": [self.node(scene, n, inside) for n in scene.nodes],
            "edges": edges,
            "texts": texts,
        }

    def add_box(
        self,
        scene: Scene,
        box: SceneBox,
        parent: int,
        boxes: list[dict[str, Any]],
        inside: dict[str, int],
    ) -> None:
        """A frame and those in it."""
        out: dict[str, Any] = {
            "k": box.kind,
            "n": printable(shorten(box.title)),
            "b": [box.x1, -box.y2, box.x2, -box.y1],
            "p": parent,
        }
        if box.colour:
            out["c"] = box.colour
        if box.mirrored:
            out["m"] = True
        here = len(boxes)
        boxes.append(out)
        for inner in box.boxes:
            self.add_box(scene, inner, here, boxes, inside)
        for n in box.nodes:
            inside[n.id] = here
        if box.kind == "column":
            column = re.fullmatch(r"t(\d*)(?:_block(\d+))?", box.id)
            assert column is not None
            out["t"], out["block"] = int(column[1] or 0), int(column[2] or 0)
        rows = any(inner.kind == "step" for inner in box.boxes)
        if scene.view.level != "cell" and box.kind != "gate" and not rows:
            place = next((n.place for b in (box, *box.boxes) for n in b.nodes if n.place), None)
            if place is not None:
                out["cell"] = list(place)
                out["title"] = printable(scene.view.titles[place[0]])

    def node(self, scene: Scene, v: Node, inside: dict[str, int]) -> dict[str, Any]:
        """A node: only what is not the usual is written."""
        bar = v.id in scene.bars
        out: dict[str, Any] = {
            "k": v.kind,
            "l": printable(v.detail if bar else shorten(shown_text(v), LETTERS)),
            "b": [v.x, -v.y, v.half, v.high],
        }
        records = v.records
        if scene.view.generic and v.kind == "op" and v.place is not None:
            same = self.same_place.get((v.place[0], self.structure.key[records[0]]))
            records = tuple(same or records)
        optional: dict[str, Any] = {
            "r": [self.row[i] for i in records if i in self.row],
            "x": self.number.get(v.tensor, -1) if v.tensor is not None else -1,
            "c": v.colour,
            "note": list(scene.note_size(v.id)) if any(scene.note_size(v.id)) else [],
            "i": inside.get(v.id, -1),
            "bar": bar,
            "t": v.place[1] if v.place is not None else 0,
            "loop": v.place[0] if v.place is not None and v.kind == "cell" else 0,
        }
        counts_from_0 = ("i", "x")
        written = {k: x for k, x in optional.items() if (x >= 0 if k in counts_from_0 else x)}
        return out | written


def rounded(value: Any) -> Any:
    """A number in four digits, as JSON can say it: what is not finite as text."""
    if isinstance(value, float):
        if math.isfinite(value):
            return float(f"{value:.{DIGITS}g}")
        return "NaN" if value != value else "∞" if value > 0 else "−∞"
    return value if isinstance(value, (bool, int)) else printable(str(value))


# The file ------------------------------------------------------------------------------------


@cache
def asset(name: str) -> str:
    """A file of the page's parts."""
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


# The script, in the order in which its parts build on each other.
SCRIPTS = (
    "ops",
    "text",
    "live",
    "scenes",
    "picture",
    "zoom",
    "view",
    "walk",
    "panel",
    "touch",
    "tour",
    "page",
)


def assemble(data: dict[str, Any], scenes: dict[str, str], palette: Palette, theme: Theme) -> str:
    """The parts of the page in one file, with the policy that allows these and nothing else."""
    style, unpack = colours(theme, palette) + asset("page.css"), asset("unpack.js")
    script = "\n".join(asset(f"{name}.js") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    policy = [
        "default-src 'none'",
        f"style-src {checksum(style)}",
        f"script-src {checksum(unpack)} {checksum(script)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    parts = {
        "policy": "; ".join(policy),
        "title": html.escape(data["title"]),
        "style": style,
        "data": packed({"page": data, "scenes": scenes, "script": script}),
        "unpack": unpack,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], asset("page.html"))


def packed(data: Any) -> str:
    """JSON, compressed: letters and digits, that no browser takes for markup."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def checksum(text: str) -> str:
    """A script or style as a content security policy names it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def colours(theme: Theme, palette: Palette) -> str:
    """All colours as CSS variables, for light and for dark."""

    def block(chosen: Theme) -> str:
        pairs = dict(zip(NEUTRAL_NAMES, map(chosen.of, NEUTRALS), strict=True))
        pairs |= {f"g{n}": colour for n, colour in enumerate(chosen.gradient)}
        pairs |= {"below": chosen.of(DIVERGING[0]), "above": chosen.of(DIVERGING[2])}
        pairs |= {f"s{n}": chosen.of(colour) for n, colour in enumerate(STATES)}
        pairs |= palette.values(chosen)
        pairs["keep"] = f"{100 * chosen.keep:g}%"
        lines = "".join(f"--{name}:{value};" for name, value in pairs.items())
        kind = "dark" if chosen.name == "dark" else "light"
        return f":root{{color-scheme:{kind};{lines}}}\n"

    if theme.name != "light":
        return block(theme)
    return f"{block(theme)}@media (prefers-color-scheme: dark){{{block(THEMES['dark'])}}}\n"
