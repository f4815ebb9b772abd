"""Where everything stands: columns of time from left to right, a row for each layer.

One step of each loop is laid out once (``template``), and its positions are repeated in every
column, so that the insides of all columns are placed alike. What lies outside of time stands
in zones below, between and above the rows; what feeds or gathers many columns is a bar as wide
as they are.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Tensor
from .blocks import Block, Diagram, Item, Wire
from .layers import End, Name, Path, Unit, assign_tracks, simplify
from .look import (
    CAPTION,
    FAINT,
    GAP,
    GRADIENT,
    HEADING,
    MOST_LETTERS,
    NAME,
    NOTE,
    PILL,
    SHARE,
    SMALL,
    TITLE,
    TRACK,
    shorten,
    text_width,
    wrap,
)
from .notation import with_low_digits
from .numbers import Flows, Norms, magnitude, shares_by_column
from .scene import (
    BESIDE_TWO,
    BESIDE_WIRE,
    Curve,
    Measure,
    Scene,
    SceneBox,
    SceneEdge,
    SceneNode,
    SceneText,
    name_width,
    shape_text,
)
from .template import Template, below_class, make_template
from .view import CUT, Edge, Shared, Vertex, View, loop_label

ROW_PAD = 14  # between a step's insides and the upper and lower edge of its column
HEADER = 20  # for ``t=1`` at the top of a column
COLUMN_GAP = 46  # between two columns, for the names of states
GRADIENT_GAP = 112  # the same, for ‖∂L/∂h_t‖ too
BEFORE = 14  # how far from a column a state from elsewhere turns into it
DOTS = 84  # the width of the column of steps left out
DELAY = 28  # from one way back of a folded picture to the next
MOST_WAYS = 40  # so many wires between bars and columns are kept clear of other things
WORD = 14  # size of the words below and above the columns
WAY_BACK = 42  # how far beside a folded column the innermost way back runs, at least


def lay_out(
    view: View,
    *,
    values: bool = False,
    gradients: Mapping[Tensor, Any] | None = None,
    backward: bool = False,
    title: str = "",
    caption: str = "",
    words: Words | None = None,
    legend: bool = True,
    scale: tuple[float, float] | None = None,
) -> Scene:
    """Place a view.

    Args:
        view: What to show.
        values: Whether shapes and small values stand beside ops.
        gradients: Tensor -> gradient, for the norms beside the states; None for none.
        backward: Whether the gradients' ways back are drawn.
        title, caption: Text above and below the picture.
        words: What stands below and above the columns.
        legend: Whether the parameters and the gradients' scale are shown.
        scale: The decades of that scale, as powers of ten; None for one that fits.
    """
    layout = _Layout(view, values, gradients, backward)
    layout.title, layout.caption = title, caption
    layout.words, layout.legend = words or Words(), legend
    layout.norms.decades = scale
    return layout.scene()


class Words(NamedTuple):
    """Texts for each time step, a row for each sequence: below the columns and above them."""

    words: Sequence[Sequence[str]] = ()
    targets: Sequence[Sequence[str]] = ()
    predictions: Sequence[Sequence[str]] = ()


class _Layout:
    title = caption = ""
    words = Words()
    legend = True

    def __init__(
        self,
        view: View,
        values: bool,
        gradients: Mapping[Tensor, Any] | None,
        backward: bool,
    ) -> None:
        self.view = view
        self.norms = Norms(gradients, same_in_all_steps(view) if view.generic else None)
        self.backward = backward and gradients is not None
        beside = BESIDE_TWO if self.backward else BESIDE_WIRE
        self.measure = Measure(view.structure, values, gradients is not None, beside)
        self.missing_gradients = backward and gradients is None
        # Wide enough for the names of states, each above its wire.
        names = {slot.name for slots in view.structure.slots for slot in slots if slot.name}
        last = max((t for steps in view.shown for t in steps), default=0)
        index = "t−1" if view.generic else last
        widest = max((name_width(f"{name}_{index}") for name in names), default=0)
        self.gap = max(COLUMN_GAP if gradients is None else GRADIENT_GAP, widest + 12)
        self.way_back_x = max(WAY_BACK, widest + 12)
        self.out = Scene(view, beside=beside)
        if gradients is not None:
            self.out.shares = shares_by_column(view, gradients)
        self.curves: dict[Hashable, Curve] = {}
        self.side_curves: dict[Vertex, tuple[Curve, int]] = {}
        self.at: dict[Vertex, SceneNode] = {}
        self.loops = view.structure.loops
        self.active = [loop.index for loop in self.loops if view.shown[loop.index]]

    def scene(self) -> Scene:
        """The placed picture."""
        self.sort_vertices()
        self.choose_rows()
        self.find_bars()
        self.make_templates()
        self.add_lanes()
        self.place_columns()
        self.place_zones()
        self.stack_rows()
        self.emit_columns()
        self.emit_outside()
        self.emit_edges()
        self.turn_labels_aside()
        self.turn_titles_aside()
        self.emit_texts()
        self.out.outline(10)
        return self.out

    # What stands in which row ---------------------------------------------------------------

    def sort_vertices(self) -> None:
        """Vertices by column, and those outside of time."""
        self.columns: dict[tuple[int, int], list[Vertex]] = {}
        self.outside: list[Vertex] = []
        self.beside: list[Vertex] = []  # states, ends and delays, between the columns
        for v in self.view.vertices:
            if v.place is None:
                self.outside.append(v)
            elif v.kind in ("state", "end", "delay", "cut"):
                self.beside.append(v)
            elif v.kind != "dots":
                self.columns.setdefault(v.place, []).append(v)

    def choose_rows(self) -> None:
        """The row of each loop, its block of columns, and the zone of what is outside."""
        row = dict.fromkeys(self.active, 0)
        block = dict.fromkeys(self.active, 0)
        zone = {v: 0 for v in self.outside if v.kind != "input"}
        links: dict[tuple[int | Vertex, int | Vertex, bool], None] = {}
        for e in self.view.edges:
            a = e.tail.place[0] if e.tail.place else e.tail
            b = e.head.place[0] if e.head.place else e.head
            if a != b and e.kind != "side":
                links[a, b, e.slot is not None and e.head.place is not None] = None
        for _ in range(len(self.active) + 2):
            for a, b, first in links:
                if isinstance(a, int) and isinstance(b, int):
                    if first and a < b:
                        block[b] = max(block[b], block[a] + 1)
                    elif a < b:
                        row[b] = max(row[b], row[a] + 1)
                elif isinstance(a, int) and isinstance(b, Vertex):
                    zone[b] = max(zone[b], row[a] + 1)
                elif isinstance(b, int) and isinstance(a, Vertex):
                    row[b] = max(row[b], zone.get(a, 0))
                elif isinstance(a, Vertex) and isinstance(b, Vertex):
                    zone[b] = max(zone[b], zone.get(a, 0))
            for loop in self.active:
                while any(
                    other < loop and row[other] == row[loop] and block[other] == block[loop]
                    for other in self.active
                ):
                    row[loop] += 1
        # What depends on no step stands right below what uses it.
        dependent: set[int | Vertex] = set(self.active)
        for a, b, _ in sorted(links, key=lambda link: self.moment(link[0])):
            if a in dependent:
                dependent.add(b)
        users: dict[int | Vertex, list[int | Vertex]] = {}
        for a, b, _ in links:
            users.setdefault(a, []).append(b)
        for v in sorted(self.outside, key=self.moment, reverse=True):
            if v not in dependent:
                above = users.get(v, ())
                over = [row[b] if isinstance(b, int) else zone.get(b, 0) for b in above]
                zone[v] = min(over, default=zone.get(v, 0))
        self.row, self.block, self.zone = row, block, zone
        self.top_row = max(row.values(), default=-1)
        self.top_zone = max([self.top_row + 1 if row else 0, *zone.values()])

    def moment(self, what: int | Vertex) -> int:
        """When a loop began, or what is outside of time was computed; inputs come first."""
        if isinstance(what, int):
            return next(iter(self.loops[what].steps.values()))[0]
        return what.records[0] if what.records else -1

    def find_bars(self) -> None:
        """What is connected with several columns."""
        touched: dict[Vertex, set[tuple[int, int]]] = {}
        for e in self.view.edges:
            if e.kind == "side" or e.slot is not None:
                continue
            if e.tail.place is None and e.head.place is not None:
                touched.setdefault(e.tail, set()).add(e.head.place)
            elif e.head.place is None and e.tail.place is not None:
                touched.setdefault(e.head, set()).add(e.tail.place)
        self.bars = {v: places for v, places in touched.items() if len({t for _, t in places}) > 1}
        self.out.bars = {v.id for v in self.bars}
        for v in self.bars:
            made = f"{v.label} → {v.note}" if v.records and v.note else v.label
            v.detail = f"{shorten(made, 60)} {shape_text(v.tensor)}".rstrip()

    def make_templates(self) -> None:
        """One step of each loop."""
        edges: dict[int, list[Edge]] = {index: [] for index in self.active}
        for e in self.view.edges:
            if e.kind == "side":
                continue
            a = e.tail.place[0] if e.tail.place is not None else -1
            b = e.head.place[0] if e.head.place is not None else -1
            if a in edges:
                edges[a].append(e)
            if b in edges and b != a:
                edges[b].append(e)
        self.templates = {
            loop: make_template(self.view, loop, self.columns, edges[loop], self.measure)
            for loop in self.active
        }

    # Rows and columns -----------------------------------------------------------------------

    def passing(self, e: Edge) -> tuple[Hashable, int, int, int] | None:
        """(class, block, first row, last row) of the rows that an edge must pass by."""
        a, b = e.tail.place, e.head.place
        place = a or b
        if place is None or e.kind == "side" or (e.slot is not None and b is not None):
            return None
        if a is not None and b is not None and (a[0] == b[0] or a[1] != b[1]):
            return None
        start = self.row[a[0]] + 1 if a is not None else self.zone[e.tail]
        stop = self.row[b[0]] - 1 if b is not None else self.zone[e.head] - 1
        name: Hashable = e.tail.id
        if a is not None and a[0] in self.templates:
            name = (a[0], self.templates[a[0]].keys.get(e.tail, e.tail.key))
        return name, self.block[place[0]], start, stop

    def passed(self, block: int, start: int, stop: int) -> list[int]:
        """The loops that a wire passes from one row to another."""
        rows = range(start, stop + 1)
        return [self.loop_at[block, row] for row in rows if (block, row) in self.loop_at]

    def add_lanes(self) -> None:
        """Room beside the steps for wires that pass from a row below to one above.

        Each has a lane of its own, the same in all rows.
        """
        self.loop_at = {(self.block[i], self.row[i]): i for i in self.active}
        self.lanes: dict[int, dict[Hashable, int]] = {i: {} for i in self.block.values()}
        if len(self.active) > 1:
            for e in self.view.edges:
                passing = self.passing(e)
                if passing is not None and self.passed(*passing[1:]):
                    name, block = passing[:2]
                    self.lanes[block].setdefault(name, len(self.lanes[block]) + 1)

    def place_columns(self) -> None:
        """x of each column; all columns of a block are equally wide."""
        self.origin: dict[tuple[int, int], int] = {}
        self.column_span: dict[tuple[int, int], tuple[int, int]] = {}
        self.dots_x: dict[int, int] = {}
        self.block_span: dict[int, tuple[int, int]] = {}
        x = 0
        for block in sorted(set(self.block.values())):
            loops = [i for i in self.active if self.block[i] == block]
            templates = [self.templates[i] for i in loops]
            for template in templates:
                cell = template.block.places.get(("cell",))
                template.axis = cell[0] if cell else (template.left + template.right) // 2
            before = max(t.axis - t.left for t in templates)
            after = max(t.right - t.axis for t in templates)
            for v in (v for i in loops for v in self.delays(i)):
                assert v.place is not None
                half = self.measure.size(v)[0] + 12
                x = self.delay_x(v) - self.templates[v.place[0]].axis
                before, after = max(before, half - x), max(after, x + half)
            lanes = self.lanes[block]
            for template in templates:
                edge = template.axis - before
                template.lanes = {name: edge - TRACK * n for name, n in lanes.items()}
            before += TRACK * (len(lanes) + 1) if lanes else 0
            steps = sorted({t for i in loops for t in self.view.shown[i]})
            elided = [i for i in loops if self.view.dots[i] is not None]
            gap = self.first_hidden(elided)
            follows = next((t for t in steps if gap is not None and t > gap), None)
            beside = [self.beside_width(i) for i in loops]
            room = max(width for width, _ in beside)
            if block:  # beside the block before there must be room for the row's name
                titles = [text_width(self.row_title(i), 15) + 24 - self.gap for i in loops]
                room = max(room, *titles)
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

    def first_hidden(self, loops: list[int]) -> int | None:
        """The first step of some loops that has no column."""
        hidden = [set(self.loops[i].steps) - set(self.view.shown[i]) for i in loops]
        return min((t for steps in hidden for t in steps), default=None)

    def place_dots(self, block: int, x: int, loops: list[int]) -> int:
        """The column of the steps that are left out; returns where the next one begins."""
        for loop in loops:
            self.dots_x[loop] = x + DOTS // 2
        self.column_span[block, 0] = (x, x + DOTS)
        return x + DOTS + self.gap

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
        for v in self.beside:
            assert v.place is not None
            if v.place[0] == loop and v.kind in ("state", "end"):
                width = 2 * self.measure.size(v)[0] + COLUMN_GAP // 2 + 10
                if self.measure.norms:
                    width = max(width, GRADIENT_GAP + 24)
                if (v.kind == "end") != self.loops[loop].reverse:
                    after = max(after, width)
                else:
                    before = max(before, width)
        return before, after

    def level(self, loop: int, state: int) -> int:
        """How high a state crosses the boundaries of a loop's steps."""
        return self.row_y[loop] + self.templates[loop].levels.get(state, 0)

    # Zones ----------------------------------------------------------------------------------

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
        passing = self.passing(e)
        if passing is not None and v.place is not None and v.kind != "dots":
            name, *way = passing
            loops = self.passed(*way)
            for loop in reversed(loops) if of_tail else loops:
                if (loop, v.place[1]) in self.origin:
                    return self.origin[loop, v.place[1]] + self.templates[loop].lanes[name]
        return self.column_x(e, of_tail)

    def set_margins(self) -> None:
        """x of the wires that run up beside all columns, from zone to zone or to a first state."""
        spans = list(self.block_span.values()) or [(0, 0)]
        beside = [self.beside_width(i) for i in self.active] or [(0, 0)]
        left = min(a for a, _ in spans) - max(width for width, _ in beside) - 16
        right = max(b for _, b in spans) + max(width for _, width in beside) + 16
        if self.view.generic:  # outside of the ways back
            ways = max((len(self.delays(i)) for i in self.active), default=0)
            left, right = left - self.way_back_x - 14 * ways, right + self.way_back_x + 14 * ways
        self.margin: dict[Vertex, int] = {}
        self.left_margin: dict[Vertex, int] = {}
        for e in self.view.edges:
            if e.kind == "side" or e.tail.place is not None:
                continue
            if e.head.place is None:
                if self.zone[e.head] > self.zone[e.tail]:
                    self.margin.setdefault(e.tail, right + TRACK * len(self.margin))
            elif e.slot is not None:
                self.left_margin.setdefault(e.tail, left - TRACK * len(self.left_margin))

    def place_zones(self) -> None:
        """Arrange what is outside of time, zone by zone."""
        self.set_margins()
        self.find_rising()
        self.zone_block: dict[int, Block] = {}
        self.zone_items: dict[int, dict[Vertex, Item]] = {}
        for z in range(self.top_zone + 1):
            members = [v for v in self.outside if self.zone[v] == z]
            items: dict[Vertex, Item] = {}
            for n, v in enumerate(members):
                item = self.measure.item(v, v, v.records[0] if v.records else n - 10**9)
                item.base = 0
                if v in self.bars:
                    self.widen(v, item)
                items[v] = item
            self.zone_items[z] = items
            if items:
                named: dict[Name, Item] = dict(items.items())
                diagram = Diagram(named, self.zone_wires(items), late=True)
                self.zone_block[z] = diagram.arranged()

    def widen(self, v: Vertex, item: Item) -> None:
        """Make a bar reach over the columns with which it is connected."""
        spans = [self.column_span[self.block[loop], t] for loop, t in self.bars[v]]
        low, high = min(a for a, _ in spans), max(b for _, b in spans)
        middle = (low + high) // 2
        half = max(text_width(v.detail) // 2 + 10, (high - low) // 2)
        item.half, item.round, item.high = half, False, 12
        item.span = (middle - half, middle + half)
        item.right, item.up, item.under = 0, 20 if v.group else 12, 0  # below its frame's title

    def zone_wires(self, items: dict[Vertex, Item]) -> list[Wire]:
        """The nets of a zone."""
        wires: dict[Name, Wire] = {}
        straight: dict[Name, Wire] = {}
        columns = sum(len(self.bars.get(v, ())) for v in items)
        crowded = columns <= MOST_WAYS and any(v not in self.bars for v in items)
        for e in self.view.edges:
            a, b = e.tail, e.head
            name: Name
            if e.kind == "side" or (a not in items and b not in items):
                continue
            if a in self.bars and b.place is not None and e.slot is None:
                if crowded:  # keep the way free, straight up
                    name, x = ("past", b.id, e.operand), self.outer_x(e)
                    straight[name] = Wire(name, a, above=True, above_x=x, straight=x)
                continue
            if b in self.bars and a.place is not None:
                if crowded:
                    name = ("past", a.id, e.operand)
                    x = self.outer_x(e)
                    sinks: list[tuple[Name, int]] = [(b, e.operand)]
                    straight[name] = Wire(name, None, sinks, below=True, below_x=x, straight=x)
                continue
            name = ("z", a) if b in items else self.way_out(e)
            wire = wires.setdefault(name, Wire(name, a if a in items else None))
            if b in items:
                wire.sinks.append((b, e.operand))
                if a not in items:
                    wire.below = True
                    wire.below_x = self.margin[a] if a.place is None else self.outer_x(e)
                continue
            wire.above, wire.above_x = True, self.rising_x(e)
        found = [*wires.values(), *straight.values()]
        known = {wire.below_x for wire in found if wire.below}  # one that branches off is there
        return [*found, *(w for w in self.passing_wires(items) if w.straight not in known)]

    def passing_wires(self, items: dict[Vertex, Item]) -> list[Wire]:
        """The wires from row to row that cross a zone."""
        z = self.zone[next(iter(items))]
        xs: dict[int, None] = {}
        for e in self.view.edges:
            if e.tail in items or e.head in items:
                continue
            for zone, x, _ in self.crossings(e):
                if zone == z:
                    xs[x] = None
        if len(xs) > MOST_WAYS:
            return []
        return [Wire(("by", x), None, [], False, False, True, True, x, x, x) for x in xs]

    def find_rising(self) -> None:
        """Every x at which wires from a vertex leave its zone."""
        self.rising: dict[Vertex, set[int]] = {}
        for e in self.view.edges:
            a, b = e.tail, e.head
            if a.place is not None or a not in self.zone or e.kind == "side":
                continue
            in_zone = b.place is None and self.zone.get(b) == self.zone[a]
            from_bar = a in self.bars and b.place is not None and e.slot is None
            if not in_zone and not from_bar:
                self.rising.setdefault(a, set()).add(self.rising_x(e))

    def rising_x(self, e: Edge) -> int:
        """Where a wire from a vertex outside of time leaves its zone for what is above it."""
        if e.head.place is None:
            return self.margin[e.tail]
        return self.left_margin[e.tail] if e.slot is not None else self.outer_x(e)

    def way_out(self, e: Edge) -> Name:
        """The net by which it leaves its zone: one for each x, that of the zone's for one alone."""
        several = len(self.rising.get(e.tail, ())) > 1
        return ("up", e.tail, self.rising_x(e)) if several else ("z", e.tail)

    # Heights --------------------------------------------------------------------------------

    def stack_rows(self) -> None:
        """y of zones and rows, from below upwards."""
        self.row_y: dict[int, int] = {}
        self.zone_y: dict[int, int] = {}
        self.row_span: dict[int, tuple[int, int]] = {}
        self.jog_y: dict[tuple[int, Hashable], int] = {}
        self.aside: dict[tuple[int, Hashable], int] = {}
        self.aside_y: dict[int, int] = {}
        y = 0
        for z in range(self.top_zone + 1):
            here = [i for i in self.active if self.row[i] == z]
            below = [i for i in self.active if self.row[i] == z - 1]
            block = self.zone_block.get(z)
            if block is not None:
                y += 24 if below else 0
                self.zone_y[z] = y
                y += block.height + (24 if here else 0)
            elif below and here:
                y += 30
            # Turns stand above bars: below them the wires of a row run up into the bars.
            jogs = self.jogs(z) if len(self.active) > 1 else {}
            first = int(any((z, name) in self.aside for name in jogs))  # a track to step aside
            self.aside_y[z] = y
            for name, number in jogs.items():
                self.jog_y[z, name] = y + TRACK * (number + first)
            y += 12 + TRACK * (max(jogs.values()) + first) if jogs else 0
            top = y
            for loop in here:
                self.row_y[loop] = y + ROW_PAD
                head = HEADER if self.is_top(loop) else 4
                height = self.templates[loop].height + self.fold_height(loop)
                top = max(top, y + 2 * ROW_PAD + height + head)
            if here:
                self.row_span[z] = (y, top)
            y = top

    def is_top(self, loop: int) -> bool:
        """Whether no row stands above a loop in its block of columns."""
        return not any(
            self.block[i] == self.block[loop] and self.row[i] > self.row[loop] for i in self.active
        )

    def delays(self, loop: int) -> list[Vertex]:
        """The delays of a folded loop."""
        return [v for v in self.beside if v.kind == "delay" and v.place and v.place[0] == loop]

    def delay_x(self, v: Vertex) -> int:
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
        count = len(self.delays(loop))
        return 12 + DELAY * count if count else 0

    def jogs(self, z: int) -> dict[Hashable, int]:
        """Tracks for wires that change their x between two rows: class -> track."""
        found: dict[Hashable, set[End]] = {}
        done: set[Hashable] = set()
        for e in self.view.edges:
            passing = self.passing(e)
            if passing is None:
                continue
            name = passing[0]
            to = e.head.place[0] if e.head.place is not None else e.head
            if (name, to) in done:
                continue
            done.add((name, to))
            place = e.tail.place or e.head.place
            assert place is not None
            edge, _ = self.column_span[self.block[place[0]], place[1]]
            for zone, x1, x2 in self.crossings(e):
                if zone == z and x1 != x2:  # seen from the column's edge: all columns are alike
                    ends = found.setdefault(name, set())
                    ends.add(End(Unit("below", thin=True, x=x1 - edge), "top", name))
                    ends.add(End(Unit("above", thin=True, x=x2 - edge), "bottom", name))
        tracks = assign_tracks(found) if found else {}
        for name, other in itertools.permutations(tracks, 2):
            if tracks[other] < tracks[name]:  # it must not rise where the other one goes on
                gaps = [
                    below - above
                    for below in (end.x() or 0 for end in found[name] if end.edge == "top")
                    for above in (end.x() or 0 for end in found[other] if end.edge == "bottom")
                ]
                near = min(gaps, key=abs)
                if abs(near) < 7:
                    self.aside[z, name] = TRACK if near > 0 else -TRACK
        return tracks

    def crossings(self, e: Edge) -> list[tuple[int, int, int]]:
        """(zone, x below, x above) wherever a wire between rows crosses a zone."""
        passing = self.passing(e)
        if passing is None:
            return []
        name, block, start, stop = passing
        a, b = e.tail.place, e.head.place
        t = (a or b or (0, 0))[1]
        xs = [self.column_x(e, True)] if a is not None else []
        for loop in self.passed(block, start, stop):
            if (loop, t) in self.origin:
                xs.append(self.origin[loop, t] + self.templates[loop].lanes[name])
        if b is not None:
            xs.append(self.column_x(e, False))
        first = start if a is not None else start + 1
        return [(first + n, x1, x2) for n, (x1, x2) in enumerate(itertools.pairwise(xs))]

    # Nodes ----------------------------------------------------------------------------------

    def node(self, v: Vertex, x: int, y: int, size: tuple[int, int, bool]) -> SceneNode:
        """A node, kept for edges to find."""
        node = SceneNode(v, x, y, *size)
        self.out.nodes.append(node)
        self.at[v] = node
        if (v.note or self.measure.values) and v not in self.bars:
            if lines := self.measure.notes(v):
                self.out.notes[v.id] = lines
            if rows := self.measure.strip(v):
                self.out.strips[v.id] = rows
        return node

    def emit_columns(self) -> None:
        """Every column with its frames and vertices."""
        bands = self.emit_bands()
        several = len(self.active) > 1 and self.view.level != "cell"
        for loop in self.active:
            template = self.templates[loop]
            block = template.block
            y0 = self.row_y[loop]
            for t in self.view.shown[loop]:
                x0 = self.origin[loop, t]
                holder = bands[self.block[loop], t]
                if several:
                    left, right = x0 + template.left + 4, x0 + template.right - 4
                    name = f"{holder.id}_{loop}"
                    top = y0 + template.height + self.fold_height(loop) + 8
                    step = SceneBox(name, "step", "", left, y0 - 8, right, top)
                    holder.boxes.append(step)
                    holder = step
                frames = self.emit_frames(block, x0, y0, f"{holder.id}_g", holder.boxes)
                for box in frames.values():
                    box.mirrored = self.loops[loop].reverse
                for v in self.columns.get((loop, t), ()):
                    key = template.keys[v]
                    x, y = block.places[key]
                    item = template.items[key]
                    node = self.node(v, x0 + x, y0 + y, (item.half, item.high, item.round))
                    box = frames.get(v.group, holder)
                    box.nodes.append(node)
                    if v.sides:
                        hang = "above" if key in template.rail else block.pills[key]
                        box.nodes += self.hang_sides(node, hang, (loop, key), x0)
        self.emit_beside()

    def emit_bands(self) -> dict[tuple[int, int], SceneBox]:
        """The columns' backgrounds."""
        bands: dict[tuple[int, int], SceneBox] = {}
        for (block, t), (x1, x2) in self.column_span.items():
            if t == 0:
                continue
            spans = [self.row_span[self.row[i]] for i in self.active if self.block[i] == block]
            low, high = min(a for a, _ in spans), max(b for _, b in spans)
            name = "t" if self.view.generic else f"t{t}"
            if len(self.block_span) > 1:
                name += f"_block{block}"
            title = "step t" if self.view.generic else f"t={t}"
            bands[block, t] = SceneBox(name, "column", title, x1 - 2, low, x2 + 2, high)
        self.out.boxes += bands.values()
        return bands

    def emit_frames(
        self, block: Block, x0: int, y0: int, name: str, outermost: list[SceneBox]
    ) -> dict[object, SceneBox]:
        """The boxes of gates: group -> box."""
        frames: dict[object, SceneBox] = {}
        for n, f in enumerate(block.frames):
            title = f.group[-1][0]
            corners = (x0 + f.x1, y0 + f.y1, x0 + f.x2, y0 + f.y2)
            colour = self.view.gates.get(title, "")
            title = f"layer {title}" if title.isdigit() else title
            box = frames[f.group] = SceneBox(f"{name}{n}", "gate", title, *corners, colour)
            around = frames.get(f.group[:-1])
            (around.boxes if around is not None else outermost).append(box)
        return frames

    def hang_sides(self, node: SceneNode, hang: str, place: Hashable, x0: int) -> list[SceneNode]:
        """The parameters and constants beside a vertex, and their wires."""
        out = []
        for n, side in enumerate(node.vertex.sides):
            half = self.measure.size(side)[0]
            if hang == "above":
                high = node.high + self.out.note_size(node.vertex.id)[1]
                x, y = node.x + (2 * half + 6) * n, node.y + high + 14 + PILL
                end = (
                    (node.x, node.y + node.high) if not n else (node.x + 9, node.y + node.high - 4)
                )
                path = [(x, y - PILL), end]
            elif hang.startswith("under") and not n:
                sign = -1 if hang == "under left" else 1
                x, y = node.x + sign * (half - 6), node.y - node.high - 6 - PILL
                path = [(node.x + sign * 7, y + PILL), (node.x + sign * 7, node.y - node.high + 2)]
            else:
                sign = -1 if (hang == "left") != (n % 2 == 1) else 1
                x = node.x + sign * (node.half + GAP + half)
                y = node.y - (n // 2) * (2 * PILL + 4)
                path = [(x - sign * half, y), (node.x + sign * node.half, node.y)]
            out.append(self.node(side, x, y, (half, PILL, False)))
            name = ("side", place, n, half)
            curve = self.curves.get(name)
            if curve is None:
                curve = self.curves[name] = Curve(shifted(path, -x0, 0))
            self.side_curves[side] = (curve, x0)
        return out

    def emit_beside(self) -> None:
        """States before and after the loop, delays, and what stands for steps left out."""
        for v in self.beside:
            assert v.place is not None
            assert v.slot is not None
            loop, t = v.place
            size = self.measure.size(v)
            x1, x2 = self.column_span[self.block[loop], t]
            if v.kind == "delay":
                template = self.templates[loop]
                top = self.row_y[loop] + template.height
                rank = self.delays(loop).index(v)
                x = self.origin[v.place] + self.delay_x(v)
                self.node(v, x, top + 14 + DELAY * rank, size)
                continue
            to_right = (v.kind == "end") != self.loops[loop].reverse
            reach = size[0] + (2 if v.kind == "cut" else min(self.gap, COLUMN_GAP) // 2)
            x = x2 + reach if to_right else x1 - reach
            self.node(v, x, self.level(loop, v.slot.number), size)
        for loop, x in self.dots_x.items():
            dots = self.view.dots[loop]
            if dots is not None:
                bottom = self.row_y[loop]
                top = bottom + self.templates[loop].height
                half = DOTS // 2 - 8
                self.node(dots, x, (bottom + top) // 2, (half, (top - bottom) // 2 + 4, False))

    def emit_outside(self) -> None:
        """What stands in the zones."""
        for z, block in self.zone_block.items():
            y0 = self.zone_y[z]
            frames = self.emit_frames(block, 0, y0, f"zone{z}_", self.out.boxes)
            for v, item in self.zone_items[z].items():
                x, y = block.places[v]
                node = self.node(v, x, y0 + y, (item.half, item.high, item.round))
                inside = [node, *self.hang_sides(node, block.pills[v], v.id, 0)]
                if v.group in frames:
                    frames[v.group].nodes += inside

    # Edges ----------------------------------------------------------------------------------

    def emit_edges(self) -> None:
        """The course of every edge; names of states; the gradients' ways back."""
        flows: dict[Edge, float] = {}
        if self.backward:
            known = Flows(self.view, self.norms)
            for e in self.view.edges:
                if self.flows_back(e) and (flow := known.norm(e)) is not None:
                    flows[e] = flow
        self.norms.measure(self.view.edges, flows.values())
        for node in self.out.nodes:
            v = node.vertex
            if v.kind not in ("op", "gate") or v.tensor is None or v in self.bars:
                continue
            if self.norms.norm(v.tensor):  # where it is 0 throughout nothing is to be seen
                self.out.grades[v.id] = self.norms.grade(v.tensor)
        labelled: set[Hashable] = set()
        back: list[SceneEdge] = []
        for e in self.view.edges:
            curve, dx = self.course(e)
            state = e.slot.number if e.slot is not None else self.rail_state(e)
            grade = self.norms.grade(e.tensor) if state >= 0 else -1
            text, at = "", (0, 0)
            if e.slot is not None and e.slot.name:
                text, at = self.name_state(e, labelled)
            out = SceneEdge(e, curve, dx, text, at, state, -1 if self.backward else grade)
            self.out.edges.append(out)
            if e in flows:
                back.append(self.way_back(out, flows[e]))
        self.out.edges += back

    def turn_labels_aside(self) -> None:
        """Let the text of a bar stand at its left or right where wires cross its middle."""
        crossed: dict[Vertex, list[int]] = {}
        for edge in self.out.edges:
            points = edge.curve.points
            for (ax, ay), (bx, by) in itertools.pairwise(points):
                for v in self.bars if ax == bx else ():
                    node = self.at[v]
                    if min(ay, by) < node.y - node.high and max(ay, by) > node.y + node.high:
                        crossed.setdefault(v, []).append(ax + edge.dx)
        for v, xs in crossed.items():
            node = self.at[v]
            half = text_width(v.detail) // 2 + 6
            middles = {"": node.x, "l": node.x - node.half + half, "r": node.x + node.half - half}
            free = {
                side: all(abs(x - middle) > half for x in xs) for side, middle in middles.items()
            }
            self.out.sides[v.id] = next((side for side in middles if free[side]), "")

    def turn_titles_aside(self) -> None:
        """Let the title of a frame stand at its right where a wire crosses it.

        Frames outside of time are looked at one by one; all columns are titled alike.
        """
        frames = [box for box in self.out.boxes if box.kind == "gate"]
        columns = [box for box in self.out.boxes if box.kind == "column"]
        wires = [
            (ax + edge.dx, min(ay, by), max(ay, by))
            for edge in self.out.edges
            for (ax, ay), (bx, by) in itertools.pairwise(edge.curve.points)
            if ax == bx
        ]

        at_height: dict[tuple[int, int], list[int]] = {}  # a thousand columns have one

        def crossed(box: SceneBox, size: int) -> tuple[bool, bool]:
            """Whether a wire crosses the title where it stands at the left, and at the right."""
            top, bottom = box.y2 - 4, box.y2 - 4 - size
            if (top, size) not in at_height:
                at_height[top, size] = sorted(
                    x for x, low, high in wires if low < top and high > bottom
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
        sides = [crossed(box, NAME) for box in columns]
        if any(at_left for at_left, _ in sides) and not any(at_right for _, at_right in sides):
            for box in columns:
                box.mirrored = True

    def flows_back(self, e: Edge) -> bool:
        """Whether a gradient may come along an edge: not past a cut, nor from behind the end."""
        return e.kind != "side" and "cut" not in (e.tail.kind, e.head.kind) and e.head.kind != "end"

    def rail_state(self, e: Edge) -> int:
        """The state along whose highway an edge inside of a step runs, or -1."""
        place = e.tail.place
        if place is None or place != e.head.place or place[0] not in self.templates:
            return -1
        template = self.templates[place[0]]
        keys, rail = template.keys, template.rail
        if keys.get(e.tail) in rail and keys.get(e.head) in rail:
            return template.rail_state
        return -1

    def way_back(self, edge: SceneEdge, flow: float) -> SceneEdge:
        """The same wire the other way round, a little beside: how the gradient flows."""
        curve = self.cached(
            ("back", edge.curve), lambda: [(x + 4, y - 4) for x, y in reversed(edge.curve.points)]
        )
        curve.free = edge.curve.free
        grade = self.norms.grade_of(flow)
        return SceneEdge(edge.edge, curve, edge.dx, grade=grade, back=True)

    def name_state(self, e: Edge, labelled: set[Hashable]) -> tuple[str, tuple[int, int]]:
        """The name of a state, once, above its wire in the gap between two columns."""
        slot = e.origin or e.slot
        assert slot is not None
        loop, state = slot.loop, slot.number
        delayed = e.tail.kind == "delay"
        if e.tail.kind == "cut":
            return "", (0, 0)
        if e.tail.kind == "state" or e.head.kind == "end" or e.tail.place is None:
            beside = e.tail if e.tail.kind == "state" else e.head
            if beside.kind in ("state", "end") and (beside, "norm") not in labelled:
                labelled.add((beside, "norm"))
                node = self.at[beside]
                # It reaches away from the columns.
                sign = 1 if (beside.kind == "end") != self.loops[loop].reverse else -1
                anchor = "left" if sign > 0 else "right"
                x = node.x - sign * node.half
                self.show_norm(
                    e.tensor, f"norm_{beside.id}", (x, node.y - 18), anchor, beside.label
                )
            return "", (0, 0)
        name = (e.tail.place, loop, state, delayed)
        if e.tail.place[0] != loop or name in labelled:
            return "", (0, 0)
        labelled.add(name)
        t = e.tail.place[1]
        x1, x2 = self.column_span[self.block[loop], t]
        y = self.level(loop, state)
        half = (self.way_back_x if self.view.generic else self.gap) // 2
        x = x1 - half if self.loops[loop].reverse != delayed else x2 + half
        text = f"{slot.name}_t" if self.view.generic else e.tensor.name or f"{slot.name}_{t}"
        if delayed:
            text += "+1" if self.loops[loop].reverse else "−1"
        if e.tail.kind == "dots" and not e.tensor.name:
            text = slot.name or ""
        if not self.view.generic:
            self.show_norm(e.tensor, f"norm_{e.tail.id}_{loop}_{state}", (x, y - 14))
        # Where another state crosses right above, the name stands below its wire.
        others = self.templates[loop].levels.values()
        crowded = any(0 < other + self.row_y[loop] - y < 18 for other in others)
        return text, (x, y - 11 if crowded else y + 11)

    def show_norm(
        self, x: Tensor, name: str, at: tuple[int, int], anchor: str = "middle", label: str = ""
    ) -> None:
        """‖∂L/∂h_t‖ beside a state, if there is a gradient."""
        norm = self.norms.norm(x)
        if norm is not None:
            what = label or x.name or "state"
            text = f"‖∂L/∂{shorten(with_low_digits(what), 12)}‖ = {magnitude(norm)}"
            colour = GRADIENT[max(self.norms.grade(x), 3)]  # paler letters could not be read
            self.out.texts.append(SceneText(name, text, *at, SMALL, anchor, colour, tensor=x))

    def course(self, e: Edge) -> tuple[Curve, int]:
        """An edge's wire, and how far to the right it is moved."""
        if e.kind == "side":
            return self.side_curves[e.tail]
        if e.tail.kind == "delay" or e.head.kind == "delay":
            return self.delayed(e), 0
        a, b = e.tail.place, e.head.place
        if a is not None and a == b:
            template = self.templates[a[0]]
            if e.tail in template.keys and e.head in template.keys:
                return self.inner(e, template, a)
        if e.slot is not None:
            found = self.carried(e)
            if found is not None:
                return found
        return self.across(e)

    def cached(self, name: Hashable, make: Callable[[], Path]) -> Curve:
        """One curve for all columns in which a wire is repeated."""
        curve = self.curves.get(name)
        if curve is None:
            curve = self.curves[name] = Curve(make())
        return curve

    def inner(self, e: Edge, template: Template, place: tuple[int, int]) -> tuple[Curve, int]:
        """A wire inside of a step."""
        loop = place[0]
        tail, head = template.keys[e.tail], template.keys[e.head]

        def make() -> Path:
            path = template.block.paths.get((("v", tail), head, e.operand))
            return shifted(path or [], 0, self.row_y[loop])

        if (("v", tail), head, e.operand) not in template.block.paths:
            return self.freely(e), 0

        return self.cached(("in", loop, tail, head, e.operand), make), self.origin[place]

    def carried(self, e: Edge) -> tuple[Curve, int] | None:
        """The wire of a state, from one column into the next or from or to a state's node."""
        assert e.slot is not None
        loop, state = e.slot.loop, e.slot.number
        y, row = self.level(loop, state), self.row_y[loop]
        template = self.templates[loop]
        a, b = e.tail, e.head
        before = after = None
        start = finish = 0
        if a in template.keys and a.place is not None:
            before = template.leave.get((state, template.keys[a]))
            start = self.origin[a.place]
        if b in template.keys and b.place is not None:
            after = template.state_in(state, template.keys[b], e.operand)
            finish = self.origin[b.place]
        if before is not None and after is not None:
            first, second, shift = before, after, finish - start
            name = ("carry", loop, state, template.keys[a], template.keys[b], e.operand, shift)

            def make() -> Path:
                return simplify([*shifted(first, 0, row), *shifted(second, shift, row)])

            return self.cached(name, make), start
        if b.kind == "cut" and a.kind in ("state", "dots"):
            here, there = self.at[a], self.at[b]
            side = 1 if there.x > here.x else -1
            return Curve([(here.x + side * here.half, y), (there.x - side * there.half, y)]), 0
        if before is not None and b in self.at:
            node = self.at[b]
            points = shifted(before, start, row)
            side = 1 if node.x > points[-1][0] else -1
            return Curve(simplify([*points, (node.x - side * node.half, y)])), 0
        if after is not None:
            points = shifted(after, finish, row)
            if a.kind in ("state", "dots", "cut"):
                node = self.at[a]
                side = 1 if points[0][0] > node.x else -1
                return Curve(simplify([(node.x + side * node.half, y), *points])), 0
            return Curve(simplify([*self.towards(e), *points])), 0
        return None

    def towards(self, e: Edge) -> Path:
        """The first part of a state's wire that comes from another loop, or from outside."""
        assert e.slot is not None
        assert e.head.place is not None
        loop = e.slot.loop
        y = self.level(loop, e.slot.number)
        if e.tail.place is None:
            z = self.zone[e.tail]
            points = shifted(self.zone_block[z].ports[self.way_out(e)], 0, self.zone_y[z])
            return [*points, (points[-1][0], y)]
        x1, x2 = self.column_span[self.block[loop], e.head.place[1]]
        gate = x2 + BEFORE if self.loops[loop].reverse else x1 - BEFORE
        if e.origin is not None:
            before = self.templates[e.origin.loop]
            path = before.leave.get((e.origin.number, before.keys[e.tail]))
            if path is not None:
                points = shifted(path, self.origin[e.tail.place], self.row_y[e.origin.loop])
                return [*points, (gate, points[-1][1]), (gate, y)]
        other = e.tail.place[0]
        template = self.templates[other]
        rise = template.rise[template.keys[e.tail]]
        points = shifted(rise, self.origin[e.tail.place], self.row_y[other])
        high = self.row_y[other] + template.height + 5
        return [*points, (points[-1][0], high), (gate, high), (gate, y)]

    def delayed(self, e: Edge) -> Curve:
        """The way of a state from the end of the one step shown back to its beginning."""
        assert e.slot is not None
        node = self.at[e.tail if e.tail.kind == "delay" else e.head]
        place = node.vertex.place
        assert place is not None
        loop, state = e.slot.loop, e.slot.number
        template, row = self.templates[loop], self.row_y[loop]
        x1, x2 = self.column_span[self.block[loop], place[1]]
        out = self.way_back_x + 14 * self.delays(loop).index(node.vertex)
        sign = -1 if self.loops[loop].reverse else 1
        far = {1: x2 + out, -1: x1 - out}
        y, x0 = self.level(loop, state), self.origin[place]
        if e.head is node.vertex:
            path = shifted(template.leave[state, template.keys[e.tail]], x0, row)
            turn = far[sign]
            stop = node.x + node.half if turn > node.x else node.x - node.half
            return Curve(simplify([*path, (turn, y), (turn, node.y), (stop, node.y)]))
        entry = template.state_in(state, template.keys[e.head], e.operand)
        assert entry is not None
        turn = far[-sign]
        begin = node.x + node.half if turn > node.x else node.x - node.half
        way = [(begin, node.y), (turn, node.y), (turn, y)]
        return Curve(simplify([*way, *shifted(entry, x0, row)]))

    def across(self, e: Edge) -> tuple[Curve, int]:
        """A wire between a column and the outside, between rows, or outside of time."""
        a, b = e.tail, e.head
        if a.place is None and b.place is None:
            path = self.zone_path(e)
            return (Curve(path) if path else self.freely(e)), 0
        if "dots" in (a.kind, b.kind):
            return Curve(self.dotted(e)), 0
        place = a.place or b.place
        assert place is not None
        both = a.place is not None and b.place is not None
        if both and (a.place[0] == b.place[0] or a.place[1] != b.place[1]):  # type: ignore[index]
            return self.freely(e), 0
        x0 = self.origin[place]
        ends = (a.key if a.place else a.id, b.key if b.place else b.id)
        name = ("across", place[0], b.place and b.place[0], *ends, e.operand)
        return self.cached(name, lambda: shifted(self.way_up(e), -x0, 0)), x0

    def way_up(self, e: Edge) -> Path:
        """A wire from a zone or row to one above it."""
        a, b = e.tail, e.head
        points: Path = []
        if a.place is not None:
            template = self.templates[a.place[0]]
            rise = template.rise.get(template.keys[a], [(0, 0)])
            points += shifted(rise, self.origin[a.place], self.row_y[a.place[0]])
        elif a in self.bars:
            points.append((self.outer_x(e), self.at[a].y + self.at[a].high))
        else:
            z = self.zone[a]
            points += shifted(self.zone_block[z].ports[self.way_out(e)], 0, self.zone_y[z])
        passing = self.passing(e)
        for z, x1, x2 in self.crossings(e):
            if passing is not None and (z, passing[0]) in self.jog_y:
                y = self.jog_y[z, passing[0]]
                if aside := self.aside.get((z, passing[0])):
                    points += [(x1, self.aside_y[z]), (x1 + aside, self.aside_y[z])]
                    x1 += aside
                points += [(x1, y), (x2, y)]
        if b.place is not None:
            template = self.templates[b.place[0]]
            where = (("below", below_class(e)), template.keys[b], e.operand)
            path = template.block.paths[where]
            points += shifted(path, self.origin[b.place], self.row_y[b.place[0]])
        elif b in self.bars:
            points.append((points[-1][0], self.at[b].y - self.at[b].high))
        else:
            z = self.zone[b]
            path = self.zone_block[z].paths[("z", a), b, e.operand]
            points += shifted(path, 0, self.zone_y[z])
        return simplify(points)

    def zone_path(self, e: Edge) -> Path:
        """A wire outside of time; from zone to zone it runs up beside the columns.

        Empty for a wire that was left out of a very large diagram.
        """
        a, b = e.tail, e.head
        za, zb = self.zone[a], self.zone[b]
        name = ("z", a)
        path = self.zone_block[zb].paths.get((name, b, e.operand), [])
        last = shifted(path, 0, self.zone_y[zb])
        if za == zb or not path:
            return last
        first = shifted(self.zone_block[za].ports[self.way_out(e)], 0, self.zone_y[za])
        return simplify([*first, *last])

    def dotted(self, e: Edge) -> Path:
        """A wire to or from what stands for steps left out."""
        dots, other = (e.tail, e.head) if e.tail.kind == "dots" else (e.head, e.tail)
        node, end = self.at[dots], self.at[other]
        sign = 1 if end.y > node.y else -1
        x = node.x if abs(end.x - node.x) < end.half else end.x
        points = [(node.x, node.y + sign * node.high), (x, end.y - sign * end.high)]
        return points if dots is e.tail else points[::-1]

    def freely(self, e: Edge) -> Curve:
        """A smooth line straight from one vertex to another, where no channel leads."""
        a, b = self.at[e.tail], self.at[e.head]
        if b.y > a.y + 20:
            return Curve([(a.x, a.y + a.high), (b.x, b.y - b.high)], free=True)
        sign = 1 if b.x >= a.x else -1
        return Curve([(a.x + sign * a.half, a.y), (b.x - sign * b.half, b.y)], free=True)

    # Text -----------------------------------------------------------------------------------

    def row_title(self, loop: int) -> str:
        """The name of a row: its layer, its direction, its cell."""
        return shorten(loop_label(self.loops[loop].path, self.view.titles[loop]), 60)

    def emit_texts(self) -> None:
        """The names of the rows, and below the picture the parameters and the gradients' scale."""
        texts = self.out.texts
        for loop in self.active:
            if self.view.level == "cell" and len(self.active) == 1:
                continue
            text = self.row_title(loop)
            x = self.block_span[self.block[loop]][0] - 12
            x -= self.way_back_x if self.view.generic else 0
            y = self.row_span[self.row[loop]][1] - 12
            texts.append(SceneText(f"row{loop}", text, x, y, 13, "right", bold=True))
        self.emit_words()
        self.out.outline(0)
        left, y = self.out.x1, self.out.y1 - 16
        right = min(max(self.out.x2, left + 420), left + 1400)
        if self.view.shared and self.legend:
            y = self.emit_parameters(left, right, y) - 26
        if self.norms.scale and self.legend:
            y = self.emit_scale(left, y) - 26
        if any(v.kind == "cut" for v in self.beside):
            text = f"{CUT} The gradient stops here: backpropagation through time is truncated."
            texts.append(SceneText("cut", text, left, y, SMALL, "left"))
            y -= 26
        if self.out.strips:
            text = "Strips: values below 0 in blue (print: dark), above in orange (light)"
            texts.append(SceneText("strips", text, left, y, SMALL, "left"))
            y -= 26
        if self.view.remark:
            texts.append(SceneText("remark", self.view.remark, left, y, SMALL, "left"))
            y -= 26
        if self.missing_gradients:
            text = "no gradient is drawn: give grads=tape.gradients()"
            texts.append(SceneText("missing", text, left, y, SMALL, "left", FAINT))
            y -= 26
        self.emit_paragraph("caption", self.caption, left, y, CAPTION)
        self.emit_paragraph("title", self.title, left, self.out.y2 + 22, HEADING)

    def emit_words(self) -> None:
        """Words below the columns of the first block, targets and predictions above the last's."""
        self.out.outline(0)
        below, above = self.out.y1 - WORD - 2, self.out.y2 + WORD + 2
        first, last = min(self.block_span, default=0), max(self.block_span, default=0)
        for n, row in enumerate(self.words.words):
            self.emit_row("" if n else "words", row, first, below)
            below -= WORD + 6
        for name in ("predictions", "targets"):
            for n, row in enumerate(getattr(self.words, name)):
                self.emit_row("" if n else name, row, last, above)
                above += WORD + 6

    def emit_row(self, name: str, words: Sequence[str], block: int, y: int) -> None:
        """A row of words, each in the middle of its time step's column; its name at the left."""
        number = len(self.out.texts)
        for (place, t), (x1, x2) in self.column_span.items():
            if place == block and 1 <= t <= len(words):
                text = shorten(words[t - 1], max((x2 - x1 + self.gap // 2) // 8, 6))
                ident, x = f"word{number}_{t}", (x1 + x2) // 2
                self.out.texts.append(SceneText(ident, text, x, y, WORD, "middle"))
        if name:
            x = self.block_span[block][0] - 12
            self.out.texts.append(SceneText(f"word{number}", name, x, y, SMALL, "right", FAINT))

    def emit_paragraph(self, name: str, text: str, left: int, y: int, size: int) -> None:
        """The title or the caption: lines as long as the picture is wide, or can be read."""
        width = max(min(self.out.x2 - left, 64 * size), 320)
        lines = [shorten(line, MOST_LETTERS) for line in wrap(text, width, size)]
        y += (len(lines) - 1) * (size + 4) if size == HEADING else 0
        for n, line in enumerate(lines):
            at = y - n * (size + 4)
            bold = size == HEADING
            self.out.texts.append(SceneText(f"{name}{n}", line, left, at, size, "left", bold=bold))

    def emit_parameters(self, left: int, right: int, y: int) -> int:
        """The shared parameters, each one solid node, in rows; returns the y of the last row."""
        shared = self.view.shared
        groups = [(loop, list(g)) for loop, g in itertools.groupby(shared, key=lambda s: s.loop)]
        title = "Parameters"
        x, top = left, y
        # One bar by itself would compare nothing.
        several = any(len(self.share_columns(x)) > 1 for x in self.out.shares)
        self.share_room = SHARE + 6 if several else 0
        for loop, members in groups:
            uses = {s.uses for s in members}
            common = (
                f", each shared by {members[0].uses}" if loop is not None and len(uses) == 1 else ""
            )
            if len(groups) > 1:
                y -= 28 + self.share_room if x > left else 20
                line = (self.row_title(loop) if loop is not None else "outside of time") + common
                name = f"parameters{len(self.out.texts)}"
                self.out.texts.append(SceneText(name, line, left, y + 2, SMALL, "left"))
                x = left
            else:
                title += common
            if x == left:
                y -= 20 if y != top else 24
            for _, family in itertools.groupby(members, key=lambda s: s.family):
                x, y = self.emit_family(list(family), not common, x, y, left, right)
        if several:
            title += ". Bars: each step's share of ∂L/∂W"
        self.out.texts.append(SceneText("parameters", title, left, top, NOTE, "left", bold=True))
        return y - self.share_room

    def emit_family(
        self, family: list[Shared], count: bool, x: int, y: int, left: int, right: int
    ) -> tuple[int, int]:
        """The parameters of one gate, together as far as a line is long enough."""
        halves = []
        for s in family:
            s.vertex.detail = shape_text(s.vertex.tensor) or "()"
            s.vertex.detail += f"  ×{s.uses}" if count and s.uses != "1 use" else ""
            width = name_width(s.vertex.label) + text_width(f" {s.vertex.detail}", SMALL)
            bars = len(self.share_columns(s.vertex.tensor))
            halves.append(max(width // 2 + 9, bars * 4 + 2))
        together = sum(2 * half + 8 for half in halves)
        for n, (s, half) in enumerate(zip(family, halves, strict=True)):
            needed = together if n == 0 and together < right - left else 2 * half
            if x + needed > right and x > left:
                x, y = left, y - 2 * PILL - 8 - self.share_room
            self.node(s.vertex, x + half, y, (half, PILL + 1, False))
            self.emit_shares(s.vertex, x + half, y - PILL - 3)
            x += 2 * half + 8
        return x, y

    def share_columns(self, x: Tensor | None) -> set[tuple[int, int] | None]:
        """The columns in which a parameter may have a share: all of the loops that it is in."""
        shares = self.out.shares.get(x, {}) if x is not None else {}
        loops = {column[0] for column in shares if column is not None}
        columns: set[tuple[int, int] | None] = set(shares)
        if not self.view.generic:
            columns.update((i, t) for i in loops for t in self.view.shown[i])
        return columns

    def emit_shares(self, parameter: Vertex, x: int, top: int) -> None:
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
            shown = self.view.shown[column[0]]
            return column[0], column[1] or max(shown) - 0.5

        columns = self.share_columns(parameter.tensor)
        if len(columns) < 2:
            return
        for n, column in enumerate(sorted(columns, key=order)):
            if column not in norms:
                continue  # no gradient comes here: its place stays empty
            norm = norms[column]
            high = max(round(SHARE * norm / most) if most and math.isfinite(most) else 0, 2) // 2
            when = "outside of time" if column is None else f"t={column[1]}"
            if column is not None and not column[1]:
                dots = self.view.dots[column[0]]
                when = dots.detail if dots is not None else ""
            text = f"{when}: {magnitude(norm)} of ‖∂L/∂{shorten(parameter.label)}‖"
            v = Vertex(f"{parameter.id}_share{n}", "share", "", detail=text)
            v.colour = GRADIENT[self.norms.grade_of(norm)]
            self.node(v, x - 4 * len(columns) + 8 * n + 4, top - SHARE + high, (3, high, False))

    def emit_scale(self, left: int, y: int) -> int:
        """What the gradients' colours and widths mean."""
        largest = ", the largest of all steps" if self.view.generic else ""
        title = f"Norm of the gradient{largest} (log scale)"
        self.out.texts.append(SceneText("scale", title, left, y, NOTE, "left", bold=True))
        x, y = left, y - 24
        for n, bound in enumerate(self.norms.scale):
            label = f"≥ {magnitude(bound)}"
            if self.norms.decades is not None and not n:
                label = f"< {magnitude(self.norms.scale[1])}"
            v = Vertex(f"scale{n}", "swatch", label, colour=GRADIENT[n])
            half = text_width(v.label, SMALL + 2) // 2 + 10
            self.node(v, x + half, y, (half, PILL, False))
            x += 2 * half + 4
        return y


def same_in_all_steps(view: View) -> dict[Tensor, list[Tensor]]:
    """In a folded picture what a value stands for: those at its place in all steps."""
    s = view.structure
    places: dict[Hashable, list[Tensor]] = {}
    for record, place, key in zip(s.records, s.where, s.key, strict=True):
        if place is not None:
            places.setdefault((place[0], key), []).append(record.output)
    return {x: found for found in places.values() for x in found}


def shifted(path: Path, x: int, y: int) -> Path:
    """A wire moved to the right and upwards."""
    return [(px + x, py + y) for px, py in path]
