"""Which row, block of columns or zone everything stands in; what reaches over many columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from .graph import Node, View, loop_label
from .look import NAME, shorten, text_width
from .scene import shape_text
from .times import times_of

# From a loop or node to another; whether a state goes on there.
Link: TypeAlias = tuple[int | Node, int | Node, bool]


class Rows:
    """The loops of a view in rows and blocks, and what is outside of time in zones between them.

    Attributes:
        active: The loops that have columns.
        columns: (loop, step) -> the nodes of that column.
        across: Edges that do not begin and end in columns of one loop.
        outside, beside: Nodes outside of time, and states, ends and delays between columns.
        row, block: Loop -> its row from below, and its block of columns from the left.
        in_block: Block -> its loops.
        zone: Node outside of time -> its zone; zone n lies below row n.
        bars: Node that is connected with several columns -> those columns.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.loops = view.structure.loops
        self.active = [loop.index for loop in self.loops if view.shown[loop.index]]
        self.sort_nodes()
        self.choose_rows()
        self.find_bars()

    def sort_nodes(self) -> None:
        """Nodes by column, and those outside of time; edges between these."""
        self.across = [
            e
            for e in self.view.edges
            if e.kind != "side"
            and not (e.tail.place and e.head.place and e.tail.place[0] == e.head.place[0])
        ]
        self.columns: dict[tuple[int, int], list[Node]] = {}
        self.outside: list[Node] = []
        self.beside: list[Node] = []  # states, ends and delays, between the columns
        for v in self.view.nodes:
            if v.place is None:
                self.outside.append(v)
            elif v.kind in ("state", "end", "delay", "cut"):
                self.beside.append(v)
            elif v.kind != "dots":
                self.columns.setdefault(v.place, []).append(v)

    def choose_rows(self) -> None:
        """The row of each loop, its block of columns, and the zone of what is outside."""
        links: dict[Link, None] = {}
        for e in self.across:
            a = e.tail.place[0] if e.tail.place else e.tail
            b = e.head.place[0] if e.head.place else e.head
            links[a, b, e.slot is not None and e.head.place is not None] = None
        self.block = self.choose_blocks(links)
        self.in_block: dict[int, list[int]] = {n: [] for n in sorted({*self.block.values()})}
        for loop, block in self.block.items():
            self.in_block[block].append(loop)
        # Of a loop its row, of what is outside of time its zone.
        self.height: dict[int | Node, int] = dict.fromkeys(self.active, 0)
        self.height |= {v: 0 for v in self.outside if v.kind != "input"}
        self.climb(links)
        self.lower(links)
        self.row = {loop: self.height[loop] for loop in self.active}
        self.zone = {v: self.height[v] for v in self.outside}
        self.top_row = max(self.row.values(), default=-1)
        self.top_zone = max([self.top_row + 1 if self.row else 0, *self.zone.values()])

    def choose_blocks(self, links: Iterable[Link]) -> dict[int, int]:
        """Columns of its own for each time; a loop that goes on from another is a later time."""
        times = times_of(self.view.structure)
        later = dict.fromkeys(self.active, 0)
        for b in self.active:
            for a, head, goes_on in links:
                if goes_on and head == b and isinstance(a, int) and a < b and times[a] == times[b]:
                    later[b] = max(later[b], later[a] + 1)
        key = {loop: (times[loop], later[loop]) for loop in self.active}
        numbers = {time: n for n, time in enumerate(dict.fromkeys(key.values()))}
        return {loop: numbers[time] for loop, time in key.items()}

    def climb(self, links: Iterable[Link]) -> None:
        """Put everything above what it is computed from."""
        height, block = self.height, self.block
        for _ in range(len(self.active) + 2):
            for a, b, _ in links:
                both = isinstance(a, int) and isinstance(b, int)
                if not both or (a < b and block[a] == block[b]):  # type: ignore[operator, index]
                    height[b] = max(height[b], height.get(a, 0) + isinstance(a, int))
            for loop in self.active:
                below = [other for other in self.in_block[block[loop]] if other < loop]
                while any(height[other] == height[loop] for other in below):
                    height[loop] += 1

    def lower(self, links: Iterable[Link]) -> None:
        """Put what depends on no step right below what uses it."""
        dependent: set[int | Node] = set(self.active)
        for a, b, _ in sorted(links, key=lambda link: self.moment(link[0])):
            if a in dependent:
                dependent.add(b)
        users: dict[int | Node, list[int | Node]] = {}
        for a, b, _ in links:
            users.setdefault(a, []).append(b)
        for v in sorted(self.outside, key=self.moment, reverse=True):
            if v not in dependent:
                above = [self.height.get(user, 0) for user in users.get(v, ())]
                self.height[v] = min(above, default=self.height.get(v, 0))

    def moment(self, what: int | Node) -> int:
        """When a loop began, or what is outside of time was computed; inputs come first."""
        if isinstance(what, int):
            return next(iter(self.loops[what].steps.values()))[0]
        return what.records[0] if what.records else -1

    def find_bars(self) -> None:
        """What is connected with several columns."""
        touched: dict[Node, set[tuple[int, int]]] = {}
        begun: dict[Node, set[tuple[int, int]]] = {}  # columns into which it hands a first state
        for e in self.across:
            if e.tail.place is None and e.head.place is not None:
                found = touched if e.slot is None else begun
                found.setdefault(e.tail, set()).add(e.head.place)
            elif e.slot is None and e.head.place is None and e.tail.place is not None:
                touched.setdefault(e.head, set()).add(e.tail.place)
        self.bars = {
            v: places | begun.get(v, set())
            for v, places in touched.items()
            if len({t for _, t in places}) > 1
        }
        for v in self.bars:
            if v.kind == "gate":
                continue  # it says what it is, and its parameters
            made = f"{v.label} → {v.note}" if v.records and v.note else v.label
            v.detail = f"{shorten(made, 60)} {shape_text(v.tensor)}".rstrip()

    def is_top(self, loop: int) -> bool:
        """Whether no row stands above a loop in its block of columns."""
        return all(self.row[i] <= self.row[loop] for i in self.in_block[self.block[loop]])

    def delays(self, loop: int) -> list[Node]:
        """The delays of a folded loop."""
        return [v for v in self.beside if v.kind == "delay" and v.place and v.place[0] == loop]

    def row_title(self, loop: int) -> str:
        """The name of a row: its layer, its direction, its cell."""
        paths = [one.path for one in self.loops]
        return shorten(loop_label(self.loops[loop].path, self.view.titles[loop], paths), 60)

    def title_lines(self, loop: int) -> list[str]:
        """The same in the lines in which it stands at the left: layer and direction, cell."""
        around, _, cell = self.row_title(loop).rpartition(" · ")
        return [around, cell] if around else [cell]

    def title_width(self, loop: int) -> int:
        """How wide these are."""
        return max(text_width(line, 1.15 * NAME) for line in self.title_lines(loop))
