"""One step of each loop laid out once, and where its columns stand from left to right."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from .graph import Edge, Node
from .look import SMALL, TRACK, shorten, text_width
from .notation import with_low_digits
from .numbers import value_text
from .rows import Rows
from .scene import Measure, name_width
from .template import TemplateMaker, below_class

COLUMN_GAP = 36  # between two columns, for the names of states
GRADIENT_GAP = 66  # the same, for ‖∂L/∂h_10‖ too
BEFORE = 14  # how far from a column a state from elsewhere turns into it
BESIDE_DOTS = 6  # from a column's edge to the ends of its wires, and from there to its text
WAY_BACK = 42  # how far beside a folded column the innermost way back runs, at least
DELAY = 28  # from one way back of a folded picture to the next


class Way(NamedTuple):
    """How an edge goes from a row or zone to one above.

    Attributes:
        name: What is the same of it in all columns.
        block: The block of columns in which it rises.
        first: The zone in which it leaves its own row or zone.
        loops: Those whose rows it passes.
    """

    name: Hashable
    block: int
    first: int
    loops: list[int]


class Grid:
    """The columns of a view.

    Attributes:
        measure: The sizes of nodes.
        gap: The room between two columns, wide enough for the names of states.
        templates: Loop -> one step of it, laid out.
        origin: (loop, step) -> x of that step's own 0.
        column_span, block_span: From where to where a column and a block of columns reach.
        dots_x: Loop -> the middle of what stands for the steps left out.
        ways: Edge -> how it passes the rows between its ends.
        lanes: Block -> the ways beside its steps for wires that pass to a row above.
        way_back_x: How far beside a folded column the innermost way back runs.
        ways_back: The room that all of these take up beside a column.
    """

    def __init__(self, rows: Rows, measure: Measure, between: int = 0) -> None:
        self.rows, self.measure = rows, measure
        self.view, self.loops = rows.view, rows.loops
        s = self.view.structure
        slots = [(slot.name, s.marks[slot.loop]) for slots in s.slots for slot in slots]
        last = max((t for steps in self.view.shown for t in steps), default=0)
        index = "t−1" if self.view.generic else last
        names = [mark.on(f"{name}_{index}") for name, mark in slots]
        widest = max(map(name_width, names), default=0)
        self.gap = max(COLUMN_GAP, widest + 12, between)
        if measure.norms:
            inside = [text_width(shorten(with_low_digits(name), 12), SMALL) for name in names]
            longer = max(inside, default=0) - text_width("h₁₀", SMALL)
            self.gap = max(self.gap, GRADIENT_GAP + max(longer, 0))
        self.way_back_x = max(WAY_BACK, widest + 12)
        ways = max((len(rows.delays(i)) for i in rows.active), default=0)
        self.ways_back = self.way_back_x + 14 * ways if self.view.generic else 0
        self.make_templates()
        self.find_ways()
        self.place_columns()

    def make_templates(self) -> None:
        """One step of each loop."""
        edges: dict[int, list[Edge]] = {index: [] for index in self.rows.active}
        for e in self.view.edges:
            if e.kind == "side":
                continue
            a = e.tail.place[0] if e.tail.place is not None else -1
            b = e.head.place[0] if e.head.place is not None else -1
            if a in edges:
                edges[a].append(e)
            if b in edges and b != a:
                edges[b].append(e)
        measure = self.measure
        self.templates = {
            loop: TemplateMaker(self.view, loop, measure).template(self.rows.columns, edges[loop])
            for loop in self.rows.active
        }

    def find_ways(self) -> None:
        """How edges between rows and zones pass the rows between.

        There they have room beside the steps: each has a lane of its own, the same in all rows.
        """
        rows = self.rows
        loop_at = {(rows.block[i], rows.row[i]): i for i in rows.active}
        self.ways: dict[Edge, Way] = {}
        self.lanes: dict[int, dict[Hashable, int]] = {block: {} for block in rows.in_block}
        for e in rows.across:
            a, b = e.tail.place, e.head.place
            place = a or b
            if place is None or (e.slot is not None and b is not None):
                continue
            if a is not None and b is not None and (a[0] == b[0] or a[1] != b[1]):
                continue
            first = rows.row[a[0]] + 1 if a is not None else rows.zone[e.tail]
            stop = rows.row[b[0]] if b is not None else rows.zone[e.head]
            name: Hashable = e.tail.id
            if a is not None and a[0] in self.templates:
                name = (a[0], self.templates[a[0]].keys.get(e.tail, e.tail.key))
            block = rows.block[place[0]]
            loops = [loop_at[block, n] for n in range(first, stop) if (block, n) in loop_at]
            self.ways[e] = Way(name, block, first, loops)
            if loops:
                self.lanes[block].setdefault(name, len(self.lanes[block]) + 1)

    def place_columns(self) -> None:
        """x of each column; all columns of a block are equally wide."""
        self.origin: dict[tuple[int, int], int] = {}
        self.column_span: dict[tuple[int, int], tuple[int, int]] = {}
        self.dots_x: dict[int, int] = {}
        self.block_span: dict[int, tuple[int, int]] = {}
        x = 0
        for block, loops in self.rows.in_block.items():
            before, after = self.reach(block, loops)
            steps = sorted({t for i in loops for t in self.view.shown[i]})
            elided = [i for i in loops if self.view.dots[i] is not None]
            gap = self.first_hidden(elided)
            follows = next((t for t in steps if gap is not None and t > gap), None)
            beside = [self.beside_width(i) for i in loops]
            room = max(width for width, _ in beside)
            if block:  # beside the block before there must be room for the row's name
                titles = [self.rows.title_width(i) + 24 - self.gap for i in loops]
                room = max(room, self.room_for_last_states(block), *titles)
                room += self.room_for_first_states(block) + 2 * self.ways_back
            x += room
            first = x
            for t in steps:
                if elided and t == follows:
                    x = self.place_dots(block, x, elided)
                self.column_span[block, t] = (x, x + before + after)
                for i in loops:
                    self.origin[i, t] = x + before - self.templates[i].axis
                x += before + after + self.gap
            if elided and follows is None:
                x = self.place_dots(block, x, elided)
            self.block_span[block] = (first, x - self.gap)
            x += max(width for _, width in beside)
        self.centre()

    def reach(self, block: int, loops: list[int]) -> tuple[int, int]:
        """How far a column reaches to the left and right of its steps' common axis, with lanes."""
        templates = [self.templates[i] for i in loops]
        for template in templates:
            cell = template.block.places.get(("cell",))
            template.axis = cell[0] if cell else (template.left + template.right) // 2
        before = max(t.axis - t.left for t in templates)
        after = max(t.right - t.axis for t in templates)
        for v in (v for i in loops for v in self.rows.delays(i)):
            assert v.place is not None
            half = self.measure.size(v)[0] + 12
            x = self.delay_x(v) - self.templates[v.place[0]].axis
            before, after = max(before, half - x), max(after, x + half)
        lanes = self.lanes[block]
        for template in templates:
            edge = template.axis - before
            template.lanes = {name: edge - TRACK * n for name, n in lanes.items()}
        return before + (TRACK * (len(lanes) + 1) if lanes else 0), after

    def first_hidden(self, loops: list[int]) -> int | None:
        """The first step of some loops that has no column."""
        hidden = [set(self.loops[i].steps) - set(self.view.shown[i]) for i in loops]
        return min((t for steps in hidden for t in steps), default=None)

    def place_dots(self, block: int, x: int, loops: list[int]) -> int:
        """The column of the steps that are left out; returns where the next one begins."""
        hidden = (v for loop in loops if (v := self.view.dots[loop]) is not None)
        wide = max(text_width(v.detail, SMALL) for v in hidden) + 4 * BESIDE_DOTS
        for loop in loops:
            self.dots_x[loop] = x + wide // 2
        self.column_span[block, 0] = (x, x + wide)
        return x + wide + self.gap

    def centre(self) -> None:
        """Let the middle of all columns be at 0."""
        if not self.block_span:
            return
        spans = self.block_span.values()
        middle = (min(a for a, _ in spans) + max(b for _, b in spans)) // 2
        moved = {key: (a - middle, b - middle) for key, (a, b) in self.column_span.items()}
        self.column_span = moved
        self.block_span = {key: (a - middle, b - middle) for key, (a, b) in self.block_span.items()}
        self.origin = {key: x - middle for key, x in self.origin.items()}
        self.dots_x = {key: x - middle for key, x in self.dots_x.items()}

    def beside_width(self, loop: int) -> tuple[int, int]:
        """How much room states take up before the first and after the last column."""
        before = after = 0
        for v in self.rows.beside:
            assert v.place is not None
            if v.place[0] == loop and v.kind in ("state", "end"):
                width = 2 * self.measure.size(v)[0] + COLUMN_GAP // 2 + 10
                if self.measure.norms:
                    width = max(width, GRADIENT_GAP + 24)
                if self.measure.values and v.tensor is not None:
                    value = value_text(np.asarray(v.tensor.data))
                    width = max(width, text_width(value, SMALL) + COLUMN_GAP // 2 + 10)
                if (v.kind == "end") != self.loops[loop].reverse:
                    after = max(after, width)
                else:
                    before = max(before, width)
        return before, after

    def room_for_first_states(self, block: int) -> int:
        """Room at the left of a block for the wires of states that were made outside of time."""
        makers = {
            e.tail
            for e in self.rows.across
            if e.slot is not None
            and e.tail.place is None
            and self.rows.block[e.slot.loop] == block
            and not self.loops[e.slot.loop].reverse
        }
        return 8 + TRACK * len(makers) if makers else 0

    def room_for_last_states(self, block: int) -> int:
        """Room for the wires of states that come up from the last step of another row."""
        rows = self.rows.row
        states = {
            e.slot.number
            for e in self.view.edges
            if e.slot is not None
            and e.origin is not None
            and self.rows.block[e.slot.loop] == block
            and rows[e.slot.loop] != rows[e.origin.loop]
        }
        return BEFORE + TRACK * max(states) if states else 0

    def delay_x(self, v: Node) -> int:
        """Where a delay stands in its step: where the state comes back, clear of what rises."""
        assert v.place is not None
        template = self.templates[v.place[0]]
        half = self.measure.size(v)[0]
        rises = [path[-1][0] for path in template.rise.values()]
        if self.loops[v.place[0]].reverse:
            return max(template.right - 12, *(x + 2 * half + 16 for x in rises), -(10**6)) - half
        return min(template.left + 12, *(x - 2 * half - 16 for x in rises), 10**6) + half

    def fold_height(self, loop: int) -> int:
        """Room above a step for the ways back of its states."""
        count = len(self.rows.delays(loop))
        return 12 + DELAY * count if count else 0

    def column_x(self, e: Edge, of_tail: bool) -> int:
        """Where an edge between a column and the outside crosses the column's edge."""
        v = e.tail if of_tail else e.head
        assert v.place is not None
        loop = v.place[0]
        if v.kind == "dots":
            return self.dots_x[loop]
        template = self.templates[loop]
        origin = self.origin[v.place]
        if of_tail:
            path = template.rise.get(template.keys[v])
            return origin + (path[-1][0] if path else 0)
        return origin + template.bottom.get(below_class(e), 0)

    def outer_x(self, e: Edge) -> int:
        """Where an edge between a column and a zone meets the zone, past the rows between."""
        of_tail = e.tail.place is not None
        v = e.tail if of_tail else e.head
        way = self.ways.get(e)
        if way is not None and v.place is not None and v.kind != "dots":
            for loop in reversed(way.loops) if of_tail else way.loops:
                if (loop, v.place[1]) in self.origin:
                    return self.origin[loop, v.place[1]] + self.templates[loop].lanes[way.name]
        return self.column_x(e, of_tail)
