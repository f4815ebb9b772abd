"""All that is written beside the network: rows' names, words, the legend, title and caption."""

from __future__ import annotations

import bisect
import itertools
import math

import numpy as np

from ..autograd import Tensor
from .graph import Curve, Node, Shared
from .language import say
from .look import (
    CAPTION,
    FAINT,
    GRADIENT,
    HEADING,
    LEAST,
    MOST_LETTERS,
    NAME,
    NOTE,
    PAPER,
    PILL,
    SHARE,
    SMALL,
    SQUARE,
    TITLE,
    WIRE,
    shorten,
    text_width,
    wrap,
)
from .nodes import Nodes
from .numbers import Norms, magnitude, short
from .scene import SceneBox, SceneText, name_width, shape_text
from .view import CUT
from .words import WordRows, Words

ABOVE_STATE = 23  # from a state's name up to the name of its row
MOST_IN_MATRIX = 48  # numbers of a parameter that is written out
STEPS = 6  # of a strip's scale, from 0 up and down
BAR = 10  # from one bar of the shares to the next
LINE = 14  # from one row of a matrix to the next
BARS = "Bars: each step's share of ∂L/∂W"
NORM = "Norm of the gradient (log scale)"
LARGEST = "Norm of the gradient, the largest of all steps (log scale)"


class Captions:
    """Puts texts into a scene, and turns titles aside that wires cross.

    Args:
        nodes: Where everything is.
        norms: The gradients.
        title, caption: Text above and below the picture.
        words: What stands below and above the columns.
        legend: Whether the parameters and the gradients' scale are shown.
        missing_gradients: Whether gradients were asked for and not given.
    """

    def __init__(
        self,
        nodes: Nodes,
        norms: Norms,
        *,
        title: str,
        caption: str,
        words: Words,
        legend: bool,
        missing_gradients: bool,
    ) -> None:
        self.rows, self.grid, self.zones, self.nodes = nodes.rows, nodes.grid, nodes.zones, nodes
        self.view, self.loops, self.out = nodes.view, nodes.loops, nodes.out
        self.norms = norms
        self.title, self.caption, self.words = title, caption, words
        self.legend, self.missing_gradients = legend, missing_gradients
        self.share_room = 0
        self.turn_titles_aside()
        self.emit_texts()

    def turn_titles_aside(self) -> None:
        """Let the title of a frame stand at its right where a wire crosses it.

        Frames outside of time are looked at one by one; all columns of a block are titled alike,
        as far as one side is free in all of them.
        """
        frames = [box for box in self.out.boxes if box.kind == "gate"]
        columns = [box for box in self.out.boxes if box.kind == "column"]
        moved: dict[Curve, list[int]] = {}
        for edge in self.out.edges:
            moved.setdefault(edge.curve, []).append(edge.dx)
        upright = [
            (ax, min(ay, by), max(ay, by), curve)
            for curve in moved
            for (ax, ay), (bx, by) in itertools.pairwise(curve.points)
            if ax == bx
        ]
        at_height: dict[tuple[int, int], list[int]] = {}  # a thousand columns have one

        def crossed(box: SceneBox, size: int) -> tuple[bool, bool]:
            """Whether a wire crosses the title where it stands at the left, and at the right."""
            top, bottom = box.y2 - 4, box.y2 - 4 - size
            if (top, size) not in at_height:
                at_height[top, size] = sorted(
                    x + dx
                    for x, low, high, curve in upright
                    if low < top and high > bottom
                    for dx in moved[curve]
                )
            xs = at_height[top, size]
            width = text_width(shorten(box.title), size) + 12

            def between(x1: int, x2: int) -> bool:
                return bisect.bisect_right(xs, x1) < bisect.bisect_left(xs, x2)

            return between(box.x1, box.x1 + width), between(box.x2 - width, box.x2)

        for box in frames:
            at_left, at_right = crossed(box, TITLE)
            box.mirrored = at_left and not at_right
            frames += [inner for inner in box.boxes if inner.kind == "gate"]
        blocks: dict[str, list[SceneBox]] = {}
        for box in columns:
            blocks.setdefault(box.id.partition("_")[2], []).append(box)
        for alike in blocks.values():
            sides = [crossed(box, NAME) for box in alike]
            at_left, at_right = (any(side) for side in zip(*sides, strict=True))
            for box, (own_left, own_right) in zip(alike, sides, strict=True):
                box.mirrored = own_left and not own_right if at_right else at_left

    def emit_texts(self) -> None:
        """The names of the rows, and below the picture the parameters and the gradients' scale."""
        texts = self.out.texts
        for loop in self.rows.active:
            if self.view.level == "cell" and len(self.rows.active) == 1:
                continue
            self.emit_row_title(loop)
        WordRows(self.nodes, self.words)
        self.out.outline(0)
        left, y = self.out.x1, self.out.y1 - 16
        right = min(max(self.out.x2, left + 420), left + 1400)
        if self.view.shared and self.legend:
            y = self.emit_parameters(left, right, y) - 26
        if self.grid.measure.values and self.legend:
            y = self.emit_values(left, right, y)
        if self.norms.scale and self.legend:
            y = self.emit_scale(left, y) - 26
        if any(v.kind == "cut" for v in self.rows.beside):
            truncated = "The gradient stops here: backpropagation through time is truncated."
            text = f"{CUT} {say(truncated)}"
            texts.append(SceneText("cut", text, left, y, SMALL, "left"))
            y -= 26
        if self.out.strips:
            text = say("Strips: values below 0 in blue (print: dark), above in orange (light)")
            texts.append(SceneText("strips", text, left, y, SMALL, "left"))
            y = self.emit_strip_scale(left, y - 18) - 20
        if self.view.remark:
            lines = self.emit_paragraph("remark", self.view.remark, left, y, SMALL)
            y -= 12 + (SMALL + 4) * lines
        if self.missing_gradients:
            text = say("no gradient is drawn: give grads=tape.gradients()")
            texts.append(SceneText("missing", text, left, y, SMALL, "left", WIRE))
            y -= 26
        self.emit_paragraph("caption", self.caption, left, y, CAPTION)
        self.emit_paragraph("title", self.title, left, self.out.y2 + 22, HEADING)

    def emit_row_title(self, loop: int) -> None:
        """The name of a row at its upper left, above the names of its first states."""
        x = self.grid.block_span[self.rows.block[loop]][0] - 12
        x -= self.grid.way_back_x if self.view.generic else 0
        y = self.zones.row_span[self.rows.row[loop]][1] - 12
        lines = self.rows.title_lines(loop)
        below = (NAME + 2) * (len(lines) - 1)
        for state in self.grid.templates[loop].levels:
            y = max(y, self.zones.level(loop, state) + ABOVE_STATE + below)
        for n, text in enumerate(lines):
            name = f"row{loop}_{n}" if n else f"row{loop}"
            place = (x, y - (NAME + 2) * n)
            self.out.texts.append(SceneText(name, text, *place, NAME, "right", bold=True))

    def emit_paragraph(self, name: str, text: str, left: int, y: int, size: int) -> int:
        """The title or the caption: lines as long as the picture is wide, or can be read.

        Returns how many.
        """
        width = max(min(self.out.x2 - left, 64 * size), 320)
        lines = [shorten(line, MOST_LETTERS) for line in wrap(text, width, size)]
        y += (len(lines) - 1) * (size + 4) if size == HEADING else 0
        for n, line in enumerate(lines):
            at = y - n * (size + 4)
            bold = size == HEADING
            self.out.texts.append(SceneText(f"{name}{n}", line, left, at, size, "left", bold=bold))
        return len(lines)

    def emit_parameters(self, left: int, right: int, y: int) -> int:
        """The shared parameters, each one solid node, in rows; returns the y of the last row."""
        shared = self.view.shared
        groups = [(loop, list(g)) for loop, g in itertools.groupby(shared, key=lambda s: s.loop)]
        title = say("Parameters")
        x, top = left, y
        # One bar by itself would compare nothing.
        several = any(len(self.share_columns(x)) > 1 for x in self.out.shares)
        self.share_room = SHARE + 6 + LINE if several else 0
        for loop, members in groups:
            uses = {s.uses for s in members}
            alike = loop is not None and len(uses) == 1
            alone = uses == {say("{n} step", n=1)}
            common = ""
            if alike and not alone:
                common = f", {say('each shared by {uses}', uses=members[0].uses)}"
            if len(groups) > 1:
                y -= 28 + self.share_room if x > left else 20
                in_steps = any(s.in_steps for s in members)
                other = say("input and output layers" if in_steps else "outside of time")
                line = (self.rows.row_title(loop) if loop is not None else other) + common
                name = f"parameters{len(self.out.texts)}"
                self.out.texts.append(SceneText(name, line, left, y + 2, SMALL, "left"))
                x = left
            else:
                title += common
            if x == left:
                y -= 20 if y != top else 24
            for _, family in itertools.groupby(members, key=lambda s: s.family):
                x, y = self.emit_family(list(family), not alike, x, y, left, right)
        if several:
            title += f". {say(BARS)}"
        self.out.texts.append(SceneText("parameters", title, left, top, NOTE, "left", bold=True))
        return y - self.share_room

    def emit_family(
        self, family: list[Shared], count: bool, x: int, y: int, left: int, right: int
    ) -> tuple[int, int]:
        """The parameters of one gate, together as far as a line is long enough."""
        halves = []
        for s in family:
            s.node.detail = shape_text(s.node.tensor) or "()"
            once = s.uses == say("{n} use", n=1)
            s.node.detail += f"  ×{s.uses}" if count and not once else ""
            width = name_width(s.node.label) + text_width(f" {s.node.detail}", SMALL)
            bars = len(self.share_columns(s.node.tensor))
            halves.append(max(width // 2 + 9, bars * BAR // 2 + 2))
        together = sum(2 * half + 8 for half in halves)
        for n, (s, half) in enumerate(zip(family, halves, strict=True)):
            needed = together if n == 0 and together < right - left else 2 * half
            if x + needed > right and x > left:
                x, y = left, y - 2 * PILL - 8 - self.share_room
            self.nodes.node(s.node, x + half, y, (half, PILL + 1, False))
            if s.node.tensor is not None and self.norms.norm(s.node.tensor):
                self.out.grades[s.node.id] = self.norms.grade(s.node.tensor)
            self.emit_shares(s.node, x + half, y - PILL - 3)
            x += 2 * half + 8
        return x, y

    def emit_values(self, left: int, right: int, y: int) -> int:
        """The numbers of small parameters, matrices as matrices; returns the y of what follows."""
        x, bottom = left, y
        for n, s in enumerate(self.view.shared):
            array = np.asarray(s.node.tensor.data) if s.node.tensor is not None else None
            if array is None or array.ndim > 2 or not 0 < array.size <= MOST_IN_MATRIX:
                continue
            rows = np.atleast_2d(array).tolist()
            cells = [[short(value, 2) for value in row] for row in rows]
            wide = max(text_width(cell, SMALL) for row in cells for cell in row) + 10
            half = name_width(s.node.label) // 2 + 2
            before = 2 * half + 6
            if x > left and x + before + wide * len(cells[0]) > right:
                x, y = left, bottom - 16
            top, low = y + 8, y + 8 - LINE * len(cells) - 4
            name = Node(f"name{n}", "label", s.node.label)
            self.nodes.node(name, x + half, (top + low) // 2, (half, PILL, False))
            texts = []
            for r, row in enumerate(cells):
                for c, cell in enumerate(row):
                    at = (x + before + wide * (c + 1) - 5, top - 2 - LINE * r - LINE // 2)
                    texts.append(SceneText(f"value{n}_{r}_{c}", cell, *at, SMALL, "right"))
            self.out.texts += texts
            frame = (x + before, low, x + before + wide * len(cells[0]), top)
            self.out.boxes.append(SceneBox(f"value{n}", "step", "", *frame))
            x, bottom = frame[2] + 18, min(bottom, low - 12)
        return bottom - 14 if x > left else y

    def share_columns(self, x: Tensor | None) -> set[tuple[int, int] | None]:
        """The columns in which a parameter may have a share: all of the loops that it is in."""
        shares = self.out.shares.get(x, {}) if x is not None else {}
        loops = {column[0] for column in shares if column is not None}
        columns: set[tuple[int, int] | None] = set(shares)
        if not self.view.generic:
            columns.update((i, t) for i in loops for t in self.view.shown[i])
        return columns

    def emit_shares(self, parameter: Node, x: int, top: int) -> None:
        """Each step's share in a parameter's gradient, as bars that stand below it."""
        if parameter.tensor is None:
            return
        shares = self.out.shares.get(parameter.tensor, {})
        norms = {column: float(np.linalg.norm(share)) for column, share in shares.items()}
        most = max(norms.values(), default=0.0)

        def order(column: tuple[int, int] | None) -> tuple[int, float]:
            """From left to right; what lies outside of time comes last."""
            if column is None:
                return len(self.loops), 0
            return column[0], column[1] or self.grid.first_hidden([column[0]]) or 0

        columns = self.share_columns(parameter.tensor)
        if len(columns) < 2:
            return
        for n, column in enumerate(sorted(columns, key=order)):
            at = x - BAR * len(columns) // 2 + BAR * n + BAR // 2
            if column is not None and (
                len(columns) < 10 or column[1] in (1, 5) or not column[1] % 10
            ):
                step = SceneText(
                    f"{parameter.id}_step{n}",
                    str(column[1]) if column[1] else "…",
                    at,
                    top - SHARE - LINE // 2,
                    LEAST,
                    "middle",
                )
                self.out.texts.append(step)
            if column not in norms:
                continue  # no gradient comes here: its place stays empty
            norm = norms[column]
            # A share of 0 is a faint line, the smallest other one a bar.
            high = max(round(SHARE * norm / most) if most and math.isfinite(most) else 0, 4) // 2
            high = high if norm else 1
            when = say("outside of time") if column is None else f"t={column[1]}"
            if column is not None and not column[1]:
                dots = self.view.dots[column[0]]
                when = dots.detail if dots is not None else ""
            gradient = f"‖∂L/∂{shorten(parameter.label)}‖"
            text = f"{when}: {say('{norm} of {gradient}', norm=magnitude(norm), gradient=gradient)}"
            v = Node(f"{parameter.id}_share{n}", "share", "", detail=text)
            v.colour = GRADIENT[self.norms.grade_of(norm)] if norm else FAINT
            self.nodes.node(v, at, top - SHARE + high, (3, high, False))

    def emit_strip_scale(self, left: int, y: int) -> int:
        """The colours of all strips from the lowest value to the highest, as a strip of its own."""
        most = short(self.grid.measure.most)
        low, high = f"−{most}", most
        x = left + text_width(low, SMALL) + 4
        v = Node("strip_scale", "share", "", colour=PAPER)
        self.nodes.node(v, x - self.out.beside, y - SQUARE // 2 - 6, (0, 0, False))
        self.out.strips[v.id] = [[n / STEPS for n in range(-STEPS, STEPS + 1)]]
        self.out.texts.append(SceneText("strip_low", low, left, y, SMALL, "left"))
        end = x + 3 + SQUARE * (2 * STEPS + 1) + 6
        self.out.texts.append(SceneText("strip_high", high, end, y, SMALL, "left"))
        return y

    def emit_scale(self, left: int, y: int) -> int:
        """What the gradients' colours and widths mean."""
        title = say(LARGEST if self.view.generic else NORM)
        self.out.texts.append(SceneText("scale", title, left, y, NOTE, "left", bold=True))
        x, y = left, y - 24
        for n, bound in enumerate(self.norms.scale):
            label = f"≥ {magnitude(bound)}"
            if self.norms.decades is not None and not n:
                label = f"< {magnitude(self.norms.scale[1])}"
            v = Node(f"scale{n}", "swatch", label, colour=GRADIENT[n])
            half = text_width(v.label, SMALL + 2) // 2 + 10
            self.nodes.node(v, x + half, y, (half, PILL, False))
            x += 2 * half + 4
        return y
