"""What is outside of time, arranged in zones, and how high zones and rows lie."""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import NamedTuple

from .blocks import Block, Diagram
from .graph import Edge, Node
from .grid import Grid
from .look import GAP, TRACK, text_width
from .tracks import assign_tracks
from .units import Name, Net, Path, Unit, shifted

ROW_PAD = 14  # between a step's insides and the upper and lower edge of its column
HEADER = 20  # for ``t=1`` at the top of a column
MOST_WAYS = 40  # so many wires between bars and columns are kept clear of other things


class Crossing(NamedTuple):
    """Where a wire crosses a zone: x below and above, and whether it turns below what is there."""

    zone: int
    below: int
    above: int
    early: bool

    @property
    def x(self) -> int:
        """Where it passes what stands in the zone."""
        return self.above if self.early else self.below


class Zones:
    """The zones of a view, and every height.

    Attributes:
        zone_block, zone_items: Zone -> its arrangement, and what is arranged.
        zone_y, row_y: The y of a zone, and of a loop's steps.
        row_span: Row -> from where to where it reaches.
        margin: Node -> x at which its wire runs up beside all columns.
        state_margin: First state, and where it comes in -> x at which its wire runs up there.
        rising: Node -> every x at which its wires leave its zone.
        jog_y, aside, aside_y: Where a wire between two rows changes its x.
    """

    def __init__(self, grid: Grid) -> None:
        self.rows, self.grid = grid.rows, grid
        self.view, self.loops = grid.view, grid.loops
        self.place_zones()
        self.stack_rows()

    def set_margins(self) -> None:
        """x of the wires that run up beside columns: from zone to zone at the right of all, to a
        first state at the side of its own block at which it comes in.
        """
        spans = list(self.grid.block_span.values()) or [(0, 0)]
        beside = [self.grid.beside_width(i) for i in self.rows.active] or [(0, 0)]
        right = max(b for _, b in spans) + max(width for _, width in beside) + 16
        sizes = self.grid.measure
        for v in self.rows.bars:  # what hangs beside a bar
            hanging = max((2 * sizes.size(side)[0] for side in v.sides), default=-GAP)
            right = max(right, self.bar_span(v)[1] + GAP + hanging + 10)
        right += self.grid.ways_back  # outside of these
        self.margin: dict[Node, int] = {}
        self.state_margin: dict[tuple[Node, int, bool], int] = {}
        for e in self.rows.across:
            if e.tail.place is not None:
                continue
            if e.head.place is None:
                if self.rows.zone[e.head] > self.rows.zone[e.tail]:
                    self.margin.setdefault(e.tail, right + TRACK * len(self.margin))
            elif e.slot is not None and (name := self.comes_in(e)) not in self.state_margin:
                self.state_margin[name] = self.margin_of_state(e, *name)

    def margin_of_state(self, e: Edge, tail: Node, block: int, from_right: bool) -> int:
        """x beside a block of columns at which a first state runs up to its row."""
        assert e.slot is not None
        on_way = range(self.rows.zone[tail], self.rows.row[e.slot.loop] + 1)
        loops = [i for i in self.rows.in_block[block] if self.rows.row[i] in on_way]
        number = sum(other[1:] == (block, from_right) for other in self.state_margin)
        out = 16 + self.grid.ways_back + TRACK * number
        out += max(self.grid.beside_width(i)[from_right] for i in loops)
        if not from_right:  # past the names of the rows below
            passed = [i for i in loops if i != e.slot.loop]
            names = [self.rows.title_width(i) for i in passed]
            out += max(names, default=0)
        left, end = self.grid.block_span[block]
        return end + out if from_right else left - out

    def comes_in(self, e: Edge) -> tuple[Node, int, bool]:
        """What outside of time a first state is, in which block it enters, and if at the right."""
        assert e.slot is not None
        loop = e.slot.loop
        return e.tail, self.rows.block[loop], self.loops[loop].reverse

    def place_zones(self) -> None:
        """Arrange what is outside of time, zone by zone."""
        self.occupied = {self.rows.zone[v] for v in self.rows.outside}
        self.set_margins()
        self.find_rising()
        self.zone_block: dict[int, Block] = {}
        self.zone_items: dict[int, dict[Node, Unit]] = {}
        for z in range(self.rows.top_zone + 1):
            members = [v for v in self.rows.outside if self.rows.zone[v] == z]
            items: dict[Node, Unit] = {}
            for n, v in enumerate(members):
                item = self.grid.measure.item(v, v, v.records[0] if v.records else n - 10**9)
                item.base = 0
                if v in self.rows.bars:
                    self.widen(v, item)
                items[v] = item
            self.zone_items[z] = items
            if items:
                named: dict[Name, Unit] = dict(items.items())
                diagram = Diagram(named, self.zone_wires(items), late=True)
                self.zone_block[z] = diagram.arranged()

    def bar_span(self, v: Node) -> tuple[int, int]:
        """From where to where the columns reach with which a bar is connected."""
        spans = [self.grid.column_span[self.rows.block[loop], t] for loop, t in self.rows.bars[v]]
        return min(a for a, _ in spans), max(b for _, b in spans)

    def widen(self, v: Node, item: Unit) -> None:
        """Make a bar reach over the columns with which it is connected."""
        low, high = self.bar_span(v)
        middle = (low + high) // 2
        half = max(text_width(v.detail) // 2 + 10, (high - low) // 2)
        tall = item.high if v.kind == "gate" else 12  # a gate has its name and a line below it
        item.half, item.round, item.high = half, False, tall
        item.span = (middle - half, middle + half)
        item.right, item.up, item.under = 0, tall + 8 * bool(v.group), 0  # below a frame's title

    def zone_wires(self, items: dict[Node, Unit]) -> list[Net]:
        """The nets of a zone."""
        wires: dict[Name, Net] = {}
        straight: dict[Name, Net] = {}
        columns = sum(len(self.rows.bars.get(v, ())) for v in items)
        crowded = columns <= MOST_WAYS and any(v not in self.rows.bars for v in items)
        for e in self.rows.across:
            a, b = e.tail, e.head
            name: Name
            if a not in items and b not in items:
                continue
            if a in self.rows.bars and b.place is not None and e.slot is None:
                if crowded:  # keep the way free, straight up
                    name, x = ("past", b.id, e.operand), self.grid.outer_x(e)
                    straight[name] = Net(name, a, above=True, above_x=x, straight=x)
                continue
            if b in self.rows.bars and a.place is not None:
                if crowded:
                    name = ("past", a.id, e.operand)
                    x = self.grid.outer_x(e)
                    sinks: list[tuple[Name, int]] = [(b, e.operand)]
                    straight[name] = Net(name, None, sinks, below=True, below_x=x, straight=x)
                continue
            name = ("z", a) if b in items else self.way_out(e)
            wire = wires.setdefault(name, Net(name, a if a in items else None))
            if b in items:
                wire.sinks.append((b, e.operand))
                if a not in items:
                    wire.below = True
                    wire.below_x = self.margin[a] if a.place is None else self.grid.outer_x(e)
                continue
            wire.above, wire.above_x = True, self.rising_x(e)
        found = [*wires.values(), *straight.values()]
        known = {wire.below_x for wire in found if wire.below}  # one that branches off is there
        return [*found, *(w for w in self.passing_wires(items) if w.straight not in known)]

    def passing_wires(self, items: dict[Node, Unit]) -> list[Net]:
        """The wires from row to row that cross a zone."""
        z = self.rows.zone[next(iter(items))]
        xs: dict[int, None] = {}
        for e in self.grid.ways:
            if e.tail in items or e.head in items:
                continue
            for crossing in self.crossings(e):
                if crossing.zone == z:
                    xs[crossing.x] = None
        if len(xs) > MOST_WAYS:
            return []
        return [Net(("by", x), None, [], False, False, True, True, x, x, x) for x in xs]

    def find_rising(self) -> None:
        """Every x at which wires from a node leave its zone."""
        self.rising: dict[Node, set[int]] = {}
        for e in self.rows.across:
            a, b = e.tail, e.head
            if b.place is None:
                leaves = a.place is None and self.rows.zone[a] != self.rows.zone[b]
            else:
                leaves = a.place is None and (a not in self.rows.bars or e.slot is not None)
            if leaves:
                self.rising.setdefault(a, set()).add(self.rising_x(e))

    def rising_x(self, e: Edge) -> int:
        """Where a wire from a node outside of time leaves its zone for what is above it."""
        if e.head.place is None:
            return self.margin[e.tail]
        return self.grid.outer_x(e) if e.slot is None else self.state_margin[self.comes_in(e)]

    def way_out(self, e: Edge) -> Name:
        """The net by which it leaves its zone: one for each x, that of the zone's for one alone.

        A first state leaves a bar by itself, near to where it comes in.
        """
        apart = e.tail in self.rows.bars and e.slot is not None
        several = len(self.rising.get(e.tail, ())) > 1
        return ("up", e.tail, self.rising_x(e)) if several or apart else ("z", e.tail)

    def leaving(self, e: Edge) -> Path:
        """The first part of a wire, from a node outside of time to where it leaves its zone."""
        z = self.rows.zone[e.tail]
        return shifted(self.zone_block[z].ports[self.way_out(e)], 0, self.zone_y[z])

    def stack_rows(self) -> None:
        """y of zones and rows, from below upwards."""
        self.row_y: dict[int, int] = {}
        self.zone_y: dict[int, int] = {}
        self.row_span: dict[int, tuple[int, int]] = {}
        self.jog_y: dict[tuple[int, Hashable, bool], int] = {}
        self.aside: dict[tuple[int, Hashable, bool], int] = {}
        self.aside_y: dict[tuple[int, bool], int] = {}
        y = 0
        for z in range(self.rows.top_zone + 1):
            here = [i for i in self.rows.active if self.rows.row[i] == z]
            below = [i for i in self.rows.active if self.rows.row[i] == z - 1]
            block = self.zone_block.get(z)
            several = len(self.rows.active) > 1
            if several:
                y = self.lay_jogs(z, True, y)
            if block is not None:
                y += 24 if below else 0
                self.zone_y[z] = y
                y += block.height + (24 if here else 0)
            elif below and here:
                y += 30
            if several:
                y = self.lay_jogs(z, False, y)
            top = y
            for loop in here:
                self.row_y[loop] = y + ROW_PAD
                head = HEADER if self.rows.is_top(loop) else 4
                height = self.grid.templates[loop].height + self.grid.fold_height(loop)
                top = max(top, y + 2 * ROW_PAD + height + head)
            if here:
                self.row_span[z] = (y, top)
            y = top

    def lay_jogs(self, z: int, early: bool, y: int) -> int:
        """The heights at which wires turn in a zone, from y upwards; returns where they end."""
        jogs = self.jogs(z, early)
        first = int(any((z, name, early) in self.aside for name in jogs))  # a track to step aside
        self.aside_y[z, early] = y
        for name, number in jogs.items():
            self.jog_y[z, name, early] = y + TRACK * (number + first)
        return y + (12 + TRACK * (max(jogs.values()) + first) if jogs else 0)

    def jogs(self, z: int, early: bool) -> dict[Hashable, int]:
        """Tracks for wires that change their x between two rows: class -> track."""
        found: dict[Hashable, list[tuple[int, str]]] = {}
        done: set[Hashable] = set()
        for e, (name, *_) in self.grid.ways.items():
            to = e.head.place[0] if e.head.place is not None else e.head
            if (name, to) in done:
                continue
            done.add((name, to))
            place = e.tail.place or e.head.place
            assert place is not None
            edge, _ = self.grid.column_span[self.rows.block[place[0]], place[1]]
            for zone, x1, x2, turns_early in self.crossings(e):
                here = zone == z and turns_early == early
                if here and x1 != x2:  # seen from the column's edge: all columns are alike
                    found.setdefault(name, []).extend([(x1 - edge, "top"), (x2 - edge, "bottom")])
        tracks = assign_tracks(found) if found else {}
        for name, other in itertools.permutations(tracks, 2):
            if tracks[other] < tracks[name]:  # it must not rise where the other one goes on
                gaps = [
                    below - above
                    for below, _ in found[name][::2]
                    for above, _ in found[other][1::2]
                ]
                near = min(gaps, key=abs)
                if abs(near) < 7:
                    self.aside[z, name, early] = TRACK if near > 0 else -TRACK
        return tracks

    def crossings(self, e: Edge) -> list[Crossing]:
        """Wherever a wire between rows crosses a zone.

        A wire out of a step turns below what stands in the zone, to where it goes on; one that
        has passed a row in its lane turns above. So it crosses bars where no other wire is.
        """
        way = self.grid.ways.get(e)
        if way is None:
            return []
        a, b = e.tail.place, e.head.place
        t = (a or b or (0, 0))[1]
        xs = [self.grid.column_x(e, True)] if a is not None else []
        for loop in way.loops:
            if (loop, t) in self.grid.origin:
                xs.append(self.grid.origin[loop, t] + self.grid.templates[loop].lanes[way.name])
        if b is not None:
            xs.append(self.grid.column_x(e, False))
        first = way.first if a is not None else way.first + 1
        early = a is not None and first in self.occupied
        return [
            Crossing(first + n, x1, x2, early and n == 0 and self.may_rise(first, x2))
            for n, (x1, x2) in enumerate(itertools.pairwise(xs))
        ]

    def may_rise(self, z: int, x: int) -> bool:
        """Whether a wire may run up through a zone: bars are crossed, other nodes are not."""
        block, items = self.zone_block.get(z), self.zone_items.get(z, {})
        return block is None or all(
            v in self.rows.bars or abs(block.places[v][0] - x) > item.half + 4
            for v, item in items.items()
        )

    def level(self, loop: int, state: int) -> int:
        """How high a state crosses the boundaries of a loop's steps."""
        return self.row_y[loop] + self.grid.templates[loop].levels.get(state, 0)
