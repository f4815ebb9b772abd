"""x of every unit by least squares, and where on a unit each wire meets it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from .isotonic import isotonic, spread
from .look import TRACK
from .routes import Routes
from .units import End, Hop, Name, Unit, distance, middle_of

SWEEPS = 4  # downwards and upwards again, at most


class Positions:
    """Places the rows of some routes."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.units, self.nets, self.rail = routes.units, routes.nets, routes.rail
        self.ends, self.rows = routes.ends, routes.rows
        self.straight, self.exit_hops = routes.straight, routes.exit_hops
        self.neighbours = routes.find_neighbours()
        self.fed = {sink for net in routes.nets for sink, _ in net.sinks}

    def place(self) -> None:
        """x by least squares: each unit as near to what it is connected with as room allows."""
        tiers = list(self.rows)
        before: list[float] = []
        for sweep in range(SWEEPS + 1):
            for tier in tiers:
                self.place_row(tier, -1)
            now = [u.x for u in self.units.values()]
            if sweep == SWEEPS or now == before:
                break
            before = now
            for tier in reversed(tiers):
                self.place_row(tier, 1)
        for tier in reversed(tiers):
            row = self.rows[tier]
            if not any(
                v.tier < u.tier and not (v.thin and v.fixed is None)
                for u in row
                for v, _, _ in self.neighbours[u.name]
            ):
                self.place_row(tier, 1, yielding=True)
        for u in self.units.values():
            if not u.thin:
                u.x = math.floor(u.x + 0.5)  # halves all to one side, or straight wires would bend
        self.straighten()
        for u in self.units.values():
            u.x = math.floor(u.x + 0.5)

    def place_row(self, tier: int, side: int, yielding: bool = False) -> None:
        """One tier by the positions of the tiers below (side -1) or above (side 1) of it.

        ``yielding``: wires make way for things that stand right below what they feed.
        """
        row = self.rows[tier]
        wishes = [self.wish(u, side) for u in row]
        wanted = [x for x, _ in wishes]
        weights = [min(w, 0.01) if yielding and u.thin else w for u, (_, w) in zip(row, wishes)]
        for u, x in zip(row, spread(row, wanted, weights), strict=True):
            u.x = x

    def wish(self, u: Unit, side: int) -> tuple[float, float]:
        """Where a unit would stand, by what it is connected with on a side, and how much so."""
        if u.fixed is not None:
            return float(u.fixed), 1e9
        near = self.neighbours[u.name]
        facing = [n for n in near if (n[0].tier - u.tier) * side > 0]
        chosen = facing or near
        if u.thin and (x := self.off_bar(near)) is not None:
            return x, 1e4
        if not u.thin:  # rather above a thing that has its place than above a wire
            chosen = [n for n in chosen if self.is_placed(n[0], side)] or chosen
        places = [pull(u, *n) for n in chosen]
        source = self.routes.tap_source.get(u.name)
        if source is not None:
            places.append((source.x + distance(source, u), 0.2))
        total = sum(w for _, w in places)
        weight = 1e4 if u.thin and facing else 0.2 if u.thin else max(total, 0.1)
        if side == 1 and len(places) > 2 and not u.thin:
            # Right below the middle one of what it feeds: one wire at least runs straight.
            return median([x for x, _ in places]), weight
        return sum(x * w for x, w in places) / total if places else u.x, weight

    def off_bar(self, near: list[tuple[Unit, int, int]]) -> float | None:
        """Where a wire leaves a bar, which it may anywhere, for what else it is connected with."""
        bars = [v.span for v, _, _ in near if v.span is not None]
        if not bars or len(bars) == len(near):
            return None
        return min(max(middle_of(near), bars[0][0] + 10), bars[0][1] - 10)

    def is_placed(self, u: Unit, side: int) -> bool:
        """Whether a unit is no mere turn of a wire, and its place follows from others."""
        return not u.thin and (side == 1 or u.name in self.fed)

    def straighten(self) -> None:
        """Move turns and ports right above or below what they lead to, where there is room."""
        for tier in [*self.rows, *reversed(self.rows)]:
            row = self.rows[tier]
            for n, u in enumerate(row):
                if not u.thin or u.fixed is not None:
                    continue
                for v, own, theirs in self.neighbours[u.name]:
                    x = v.x + theirs - own
                    low = row[n - 1].x + distance(row[n - 1], u) if n else x
                    high = row[n + 1].x - distance(u, row[n + 1]) if n + 1 < len(row) else x
                    if low <= x <= high:
                        u.x = x
                        break

    def settle_exits(self) -> None:
        """How nets leave to the right: straight out of the last unit of a tier, or by a channel."""
        for net in self.nets:
            if not net.right or net.source is None or net.source in self.rail:
                continue
            u = self.units[net.source]
            row = self.rows[u.tier]
            if row[-1] is u and u.pins_out is None and not (u.pill and not u.pill_left):
                continue
            from_above = u.pins_out is None and any(
                end.edge == "top" and end.net != net.name and end.unit is u
                for end in self.ends.values()
            )
            edge, channel = ("bottom", u.tier - 1) if from_above else ("top", u.tier)
            self.exit_hops[net.name] = Hop(
                channel,
                self.routes.end(u, edge, net.name, "out"),
                self.routes.end(None, "right", net.name, "out"),
            )

    def spread_pins(self) -> None:
        """Wires that meet one side of an op side by side."""
        meeting: dict[tuple[Name, str], dict[End, float]] = {}
        between: set[End] = set()  # ends of wires from op to op: only one of the two gives way
        for hop in [*self.routes.once, *self.exit_hops.values()]:
            for end, other in ((hop.a, hop.b), (hop.b, hop.a)):
                u, v = end.unit, other.unit
                if u is None or u.thin or u.pins_in is not None or u.pins_out is not None:
                    continue
                far = -1e4 if other.edge == "left" else 1e4
                x = v.x + other.offset if v is not None else far
                if u.span is not None:
                    end.offset = round(self.on_bar(u, x, end) - u.x)
                    continue
                meeting.setdefault((u.name, end.edge), {})[end] = x - u.x
                if end.operand == "out" and v is not None and v.pins_in is None and not v.thin:
                    between.add(end)
        for (name, edge), ends in meeting.items():
            self.place_pins(self.units[name], edge, ends, between)

    def place_pins(self, u: Unit, edge: str, ends: dict[End, float], between: set[End]) -> None:
        """Place the wires that meet one side of an op; ``ends`` tells where each would be."""
        reach = 9 if u.round else max(u.half - 8, 4)
        low, high = -reach, reach
        if u.note and edge == "top":
            low, high = (low, 0) if u.note > 0 else (0, high)
        # One operand, of which unlike steps have it from unlike places, has one pin.
        first: dict[int | str, End] = {}
        for e in sorted(ends, key=lambda e: ends[e]):
            first.setdefault(e.operand, e)
        ordered = list(first.values())
        wanted = [min(max(ends[e], low), high) for e in ordered]
        if u.pill_under and edge == "bottom":
            ordered[0].offset = 11 if u.pill_left else -11
        elif len(ordered) == 1:
            near = abs(wanted[0]) <= 3 or (not u.round and low <= ends[ordered[0]] <= high)
            ordered[0].offset = round(wanted[0]) if near and ordered[0] not in between else 0
        else:
            gap = min(8.0, (high - low) / (len(ordered) - 1))
            places = isotonic(wanted, [1.0] * len(wanted), [gap] * (len(wanted) - 1))
            shift = max(0.0, places[-1] - high) or min(0.0, places[0] - low)
            for end, place in zip(ordered, places, strict=True):
                end.offset = round(place - shift)
        share_pins(ends, first)

    def on_bar(self, bar: Unit, x: float, end: End) -> float:
        """Where a wire meets a bar, clear of those that run straight up on that side of it."""
        assert bar.span is not None
        low, high = bar.span[0] + 10, bar.span[1] - 10
        x = min(max(x, low), high)
        if end.net in self.straight:
            return x
        taken = [
            net.straight
            for net in self.nets
            if net.straight is not None
            and not (net.source == bar.name and end.edge == "bottom")
            and not (any(sink == bar.name for sink, _ in net.sinks) and end.edge == "top")
        ]
        aside = (d * s for d in range(0, high - low, TRACK) for s in (-1, 1))
        places = (x + d for d in aside if low <= x + d <= high)
        return next((p for p in places if all(abs(p - q) >= 7 for q in taken)), x)


def share_pins(ends: Iterable[End], first: dict[int | str, End]) -> None:
    """Let all ends of an operand meet the unit where the first does."""
    for end in ends:
        end.offset = first[end.operand].offset


def pull(u: Unit, v: Unit, own: float, theirs: float) -> tuple[float, float]:
    """Where a unit would stand because of another, and with which weight."""
    if v.span is None:
        return v.x + theirs - own, 3.0 if v.thin and u.thin else 1.0
    return min(max(u.x, v.span[0] + 10), v.span[1] - 10) if u.thin else float(v.x), 20.0
