"""A layered arrangement: units in tiers from below upwards, wires in the channels between.

The layout of Sugiyama et al. (1981) for the small graphs that a time step is made of: tiers by
longest paths, an order within each tier that keeps wires short, positions by least squares,
and wires that run straight up or turn twice, each net on a track of its own. One tier may be a
rail: the highway along which a state runs from left to right.

All lengths are in points, y grows upwards, and all results are whole numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .look import GAP, TRACK

WORK = 600_000  # how many hops may be looked at to improve an order: a fraction of a second
KEPT = 300  # the price of an op on the other side of a gate: they stand alike at every level

Point = tuple[int, int]
Path = list[Point]
Name = Hashable


@dataclass(slots=True, eq=False)
class Unit:
    """Something that stands in a tier: an op, a box with more inside, a port, a turn of a wire.

    Attributes:
        name: Its name.
        half: Half the width of its shape.
        high: Half the height of its shape.
        left, right, up, down: How far it reaches from its middle, with all that hangs on it.
        round: Whether its shape is a circle.
        thin: Whether it is a mere point on a wire.
        pins_in, pins_out: For a box: net -> where it enters below and leaves above.
        span: For a bar: from where to where it reaches; wires meet it anywhere.
        fixed: Where it must stand, if that is given.
        is_gate: Whether it is a gate or the box of one.
        pill: The width of what hangs beside it, on one side or the other.
        under: How far down it would reach with its pill below it, 0 if it may not hang there.
        note: How far what is written above it reaches to the right of its middle, or, below 0,
            to the left: there no wire goes up.
        prefer: Its place in the order before anything is improved.
        pill_side: -1 or 1 if that must hang at the left or the right, as an operand's order
            wants it; else 0.
        ordered: 1 if its operands should come in from left to right, -1 from right to left.
        tier: The tier, from below.
    """

    name: Name
    half: int = 0
    high: int = 0
    left: int = 0
    right: int = 0
    up: int = 0
    down: int = 0
    round: bool = False
    thin: bool = False
    pins_in: dict[Name, int] | None = None
    pins_out: dict[Name, int] | None = None
    span: tuple[int, int] | None = None
    fixed: int | None = None
    is_gate: bool = False
    pill: int = 0
    prefer: float = 0.0
    pill_side: int = 0
    ordered: int = 0
    under: int = 0
    note: int = 0
    tier: int = 0
    x: float = 0.0
    y: int = 0
    pill_left: bool = False
    pill_under: bool = False
    on_rail: bool = False


@dataclass(slots=True, eq=False)
class Net:
    """A value: from where it comes and where it goes.

    Attributes:
        name: Its name.
        source: The unit that makes it; None if it comes from the left edge.
        sinks: (unit, operand) of each use.
        left: Whether it comes in from the left edge.
        right: Whether it goes out to the right edge.
        straight: The x at which it runs straight up: what is in the way gives way, and bars
            are crossed.
    """

    name: Name
    source: Name | None
    sinks: list[tuple[Name, int]]
    left: bool = False
    right: bool = False
    straight: int | None = None


@dataclass(slots=True, eq=False)
class End:
    """Where a wire meets a unit: at its top or its bottom, so far from the middle."""

    unit: Unit | None
    edge: str  # "top", "bottom", "left", "right"
    net: Name
    offset: int = 0
    operand: int | str = 0  # "in" and "out" at a turn and where the wire begins

    def x(self) -> int | None:
        """Where it is, or None for the picture's own edges."""
        return None if self.unit is None else round(self.unit.x) + self.offset

    def y(self) -> int:
        """How high it is."""
        u = self.unit
        assert u is not None
        if u.thin:
            return u.y
        if u.pins_in is not None:
            return u.y + (u.up if self.edge == "top" else -u.down)
        reach = u.high
        if u.round and self.offset:
            reach = int((u.half**2 - min(self.offset**2, u.half**2)) ** 0.5)
        return u.y + (reach if self.edge == "top" else -reach)


@dataclass(slots=True, eq=False)
class Hop:
    """The part of a wire that lies in one channel; channel c is above tier c."""

    channel: int
    a: End
    b: End


@dataclass(slots=True, eq=False)
class Arrangement:
    """Where everything stands, and how the wires run.

    Attributes:
        units: Name -> unit, with its x and y.
        paths: (net, sink, operand) -> the wire from its source to this sink.
        exits: Net -> the wire from its source to the right edge.
        entries: Net -> how high it comes in at the left edge.
        left, right: The outermost x.
        height: From 0 to here.
    """

    units: dict[Name, Unit]
    paths: dict[tuple[Name, Name, int], Path] = field(default_factory=dict)
    exits: dict[Name, Path] = field(default_factory=dict)
    entries: dict[Name, int] = field(default_factory=dict)
    left: int = 0
    right: int = 0
    height: int = 0


def arrange(
    units: Iterable[Unit],
    nets: Iterable[Net],
    *,
    rail: list[Name] | None = None,
    rail_net: Name | None = None,
    optional: frozenset[Name] = frozenset(),
    side_entries: dict[Name, Name] | None = None,
    margin: int = 10,
) -> Arrangement:
    """Place units and route nets.

    Args:
        units: With their tiers; see ``assign_tiers``.
        nets: What connects them.
        rail: Units of the rail from left to right; all of one tier.
        rail_net: The net that comes in along the rail.
        optional: Units of the rail that not all steps have; wires may run past their places.
        side_entries: Net -> a unit, alone in its tier, that it enters straight from the left.
        margin: Free space above and below the tracks of a channel.
    """
    return _Arranger(
        list(units),
        list(nets),
        rail or [],
        rail_net,
        optional,
        side_entries or {},
        margin,
    ).run()


class _Arranger:
    def __init__(
        self,
        units: list[Unit],
        nets: list[Net],
        rail: list[Name],
        rail_net: Name | None,
        optional: frozenset[Name],
        side_entries: dict[Name, Name],
        margin: int,
    ) -> None:
        self.units = {u.name: u for u in units}
        self.nets = nets
        self.rail = rail
        self.rail_net = rail_net
        self.optional = optional
        self.side_entries = side_entries
        self.margin = margin
        self.straight = {net.name: net.straight for net in nets if net.straight is not None}
        self.hops: dict[tuple[Name, Name, int], list[Hop]] = {}
        self.rail_steps: dict[tuple[Name, Name, int], Unit] = {}  # straight along the rail
        self.exit_hops: dict[Name, Hop] = {}
        self.ends: dict[tuple[Any, ...], End] = {}
        self.taps: dict[Name, Unit] = {}
        self.tap_source: dict[Name, Unit] = {}
        self.fed = {sink for net in nets for sink, _ in net.sinks}
        self.last: dict[int, float] = {}  # the last place in each tier's first order
        for u in units:
            self.last[u.tier] = max(u.prefer, self.last.get(u.tier, 0.0))

    def run(self) -> Arrangement:
        for net in self.nets:
            self.route(net)
        self.rows = self.make_rows()
        self.neighbours = self.find_neighbours()
        self.improve_order()
        self.turn_pills()
        self.neighbours = self.find_neighbours()
        self.place()
        self.settle_exits()
        self.spread_pins()
        self.raise_tiers()
        return self.result()

    # Hops -----------------------------------------------------------------------------------

    def end(self, unit: Unit | None, edge: str, net: Name, operand: int | str) -> End:
        """The End of a net at a unit; one and the same for one operand."""
        identity = (unit.name if unit else None, edge, net, operand)
        if identity not in self.ends:
            offset = 0
            if unit is not None:
                pins = unit.pins_in if edge == "bottom" else unit.pins_out
                offset = pins.get(net, 0) if pins else 0
            self.ends[identity] = End(unit, edge, net, offset, operand)
        return self.ends[identity]

    def dummy(self, net: Name, tier: int) -> Unit:
        """The point where a net passes a tier."""
        name = ("turn", net, tier)
        if name not in self.units:
            self.last[tier] = prefer = self.last.get(tier, 0.0) + 1
            fixed = self.straight.get(net)
            turn = self.units[name] = Unit(name, thin=True, tier=tier, prefer=prefer, fixed=fixed)
            turn.x = fixed or 0
        return self.units[name]

    def route(self, net: Net) -> None:
        """The hops from a net's source to each of its sinks."""
        source = self.units[net.source] if net.source is not None else None
        on_rail = net.name == self.rail_net or (source is not None and source.name in self.rail)
        here = self.rail.index(source.name) if source and source.name in self.rail else -1
        for sink_name, operand in net.sinks:
            sink = self.units[sink_name]
            where = (net.name, sink_name, operand)
            ahead = self.rail.index(sink_name) if on_rail and sink_name in self.rail else -1
            if ahead > here and self.optional.issuperset(self.rail[here + 1 : ahead]):
                self.rail_steps[where] = sink
                continue
            if source is None and self.side_entries.get(net.name) == sink_name:
                self.rail_steps[where] = sink
            elif source is None:
                self.hops[where] = self.enter(net, sink, operand)
            elif on_rail and sink.tier <= source.tier:
                self.hops[where] = self.connect(net, self.tap(net, source), sink, operand)
            else:
                self.hops[where] = self.connect(net, source, sink, operand)

    def tap(self, net: Net, source: Unit) -> Unit:
        """The point on the rail where a wire leaves it."""
        if net.name not in self.taps:
            name = ("tap", net.name)
            tap = Unit(name, thin=True, tier=source.tier)
            self.units[name] = self.taps[net.name] = tap
            self.tap_source[name] = source
        return self.taps[net.name]

    def enter(self, net: Net, sink: Unit, operand: int) -> list[Hop]:
        """From the left edge, through the lowest channel."""
        channel = min(0, sink.tier - 1)
        below = self.end(None, "left", net.name, "in")
        hops = []
        for tier in range(channel + 1, sink.tier):
            turn = self.dummy(net.name, tier)
            hops.append(Hop(tier - 1, below, self.end(turn, "bottom", net.name, "in")))
            below = self.end(turn, "top", net.name, "out")
        hops.append(Hop(sink.tier - 1, below, self.end(sink, "bottom", net.name, operand)))
        return hops

    def connect(self, net: Net, source: Unit, sink: Unit, operand: int) -> list[Hop]:
        """From one unit to another, tier by tier."""
        hops = []
        if sink.tier > source.tier:
            last = self.end(source, "top", net.name, "out")
            for tier in range(source.tier + 1, sink.tier):
                turn = self.dummy(net.name, tier)
                hops.append(Hop(tier - 1, last, self.end(turn, "bottom", net.name, "in")))
                last = self.end(turn, "top", net.name, "out")
            hops.append(Hop(sink.tier - 1, last, self.end(sink, "bottom", net.name, operand)))
            return hops
        around = sink.pins_in is not None or sink.tier == source.tier  # enters from below
        last = self.end(source, "bottom", net.name, "out")
        stop = sink.tier if around else sink.tier + 1
        for tier in range(source.tier - 1, stop - 1, -1):
            turn = self.dummy(net.name, tier)
            hops.append(Hop(tier, last, self.end(turn, "top", net.name, "in")))
            last = self.end(turn, "bottom", net.name, "out")
        edge = "bottom" if around else "top"
        channel = sink.tier - 1 if around else sink.tier
        hops.append(Hop(channel, last, self.end(sink, edge, net.name, operand)))
        return hops

    # Order ----------------------------------------------------------------------------------

    def make_rows(self) -> dict[int, list[Unit]]:
        """The units of each tier, in their first order."""
        rows: dict[int, list[Unit]] = {}
        on_rail = set(self.rail)
        barred = {u.tier for u in self.units.values() if u.span is not None}
        for u in sorted(self.units.values(), key=lambda u: u.prefer):
            if u.thin and u.fixed is not None and u.tier in barred:
                continue  # it crosses the bar
            if u.name not in on_rail and not (u.thin and u in self.taps.values()):
                rows.setdefault(u.tier, []).append(u)
        if self.rail:
            line: list[Unit] = []
            for name in self.rail:
                line.append(self.units[name])
                line[-1].on_rail = True
                line += [t for net, t in self.taps.items() if self.source_of(net) == name]
            tier = line[0].tier
            rows[tier] = line + rows.get(tier, [])
        for hops in self.hops.values():
            for hop in hops:
                rows.setdefault(hop.channel, [])
                rows.setdefault(hop.channel + 1, [])
        for row in rows.values():
            if all(u.fixed is not None for u in row):
                row.sort(key=lambda u: u.fixed or 0)
        return dict(sorted(rows.items()))

    def source_of(self, net_name: Name) -> Name | None:
        return next(n.source for n in self.nets if n.name == net_name)

    def find_neighbours(self) -> dict[Name, list[tuple[Unit, int, int]]]:
        """For each unit: (other unit, own pin, the other's pin) of each hop."""
        near: dict[Name, list[tuple[Unit, int, int]]] = {name: [] for name in self.units}
        seen = set()
        for hops in self.hops.values():
            for hop in hops:
                a, b = hop.a, hop.b
                if a.unit is None or b.unit is None or (a, b) in seen:
                    continue
                seen.add((a, b))
                near[a.unit.name].append((b.unit, a.offset, b.offset))
                near[b.unit.name].append((a.unit, b.offset, a.offset))
        return near

    def pack(self) -> None:
        """Rough positions for judging an order: side by side, above what feeds a unit."""
        for row in self.rows.values():
            x = 0.0
            for left, right in itertools.pairwise(row):
                left.x = x
                x += distance(left, right)
            if row:
                row[-1].x = x
            for u in row:
                u.x = u.x - x / 2 if u.fixed is None else u.fixed
        for row in self.rows.values():
            self.settle(row, -1)

    def settle(self, row: list[Unit], side: int) -> None:
        """Move a tier above (side -1) or below (side 1) what its units are connected with."""
        if any(u.fixed is not None for u in row):
            return
        wanted = []
        for u in row:
            near = self.neighbours[u.name]
            xs = [v.x + t - own for v, own, t in near if (v.tier - u.tier) * side > 0]
            wanted.append(sum(xs) / len(xs) if xs else u.x)
        for u, x in zip(row, spread(row, wanted, [1.0] * len(row)), strict=True):
            u.x = x

    def cost(self) -> float:
        """The length of all wires, sideways, and a price for operands in the wrong order."""
        self.pack()
        far = max((abs(u.x) for u in self.units.values()), default=0.0) + 40
        spans: dict[tuple[int, Name], list[float]] = {}
        for hops in self.hops.values():
            for hop in hops:
                for end in (hop.a, hop.b):
                    x = end.unit.x + end.offset if end.unit is not None else -far
                    spans.setdefault((hop.channel, end.net), []).append(x)
        total = sum(max(xs) - min(xs) for xs in spans.values())
        for net in self.nets:
            if net.right and net.source is not None and net.source not in self.rail:
                total += 1.5 * (far - self.units[net.source].x)
        total += 60 * self.crossings(spans)
        return total + self.disorder()

    def crossings(self, spans: dict[tuple[int, Name], list[float]]) -> int:
        """How often two wires of a channel must cross: pairs of hops that change sides."""
        channels: dict[int, dict[tuple[float, float, Name], None]] = {}
        for hops in self.hops.values():
            for hop in hops:
                if hop.a.unit is None or hop.b.unit is None:
                    continue
                low, high = hop.a, hop.b
                if low.edge == "bottom":
                    low, high = high, low
                assert low.unit is not None
                assert high.unit is not None
                wire = (low.unit.x + low.offset, high.unit.x + high.offset, hop.a.net)
                channels.setdefault(hop.channel, {})[wire] = None
        count = 0
        for wires in channels.values():
            for (a, b, m), (c, d, n) in itertools.combinations(wires, 2):
                if m != n and (a - c) * (b - d) < 0:
                    count += 1
        return count

    def disorder(self) -> float:
        """A price for ``a - b`` drawn with b at the left, a low one for any change of order."""
        price = 0.0
        for row in self.rows.values():
            solid = [u for u in row if not u.thin]
            for a, b in itertools.combinations(solid, 2):
                if a.prefer > b.prefer:
                    price += KEPT if a.is_gate != b.is_gate else 60
        for u in self.units.values():
            if u.ordered:
                sources = [
                    (operand, hops[-1].a.unit.x)
                    for (_, sink, operand), hops in self.hops.items()
                    if sink == u.name and hops[-1].a.unit is not None
                ]
                xs = [u.ordered * x for _, x in sorted(sources)]
                price += 60 * sum(a > b for a, b in itertools.pairwise(xs))
        return price

    def improve_order(self) -> None:
        """Swap units of a tier while wires get shorter."""
        free = [
            row
            for row in self.rows.values()
            if len(row) > 1 and not any(u.name in self.rail or u.fixed is not None for u in row)
        ]
        if not free:
            self.pack()
            self.give_way()
            return
        best, order = math.inf, [list(row) for row in free]
        main = max(free, key=lambda row: sum(not u.thin for u in row))
        trials = max(WORK // self.work(), 1)
        starts: Iterable[Iterable[Unit]] = [list(main)]
        if len(main) <= 5 and trials > 400:
            starts = itertools.permutations(list(main))
        for start in starts:
            main[:] = start
            self.follow(free, main)
            cost = self.cost()
            if cost < best - 0.5:
                best, order = cost, [list(row) for row in free]
        for row, chosen in zip(free, order, strict=True):
            row[:] = chosen
        for row, i, j in self.swaps(free, trials):
            row[i], row[j] = row[j], row[i]
            cost = self.cost()
            if cost < best - 0.5:
                best = cost
            else:
                row[i], row[j] = row[j], row[i]
        self.pack()
        self.give_way()

    def give_way(self) -> None:
        """Let what stands among wires that run straight up stand where there is room for it."""
        for row in self.rows.values():
            wires = sorted((u for u in row if u.thin and u.fixed is not None), key=fixed_x)
            others = [u for u in row if not (u.thin and u.fixed is not None)]
            if not wires or any(u.fixed is not None for u in others):
                row[:] = sorted(row, key=fixed_x) if not others else row
                continue
            edges = [-math.inf, *(fixed_x(u) for u in wires), math.inf]
            groups: list[list[Unit]] = [[] for _ in edges[1:]]
            room = [right - left - 20 for left, right in itertools.pairwise(edges)]
            first = 0
            places = {u: self.middle_of(u) for u in others}
            if any(u.thin and self.leaves_bar(u) for u in others):
                others.sort(key=places.__getitem__)
            for u in others:
                wanted, wide = places[u], u.left + u.right + GAP
                slots = [n for n in range(first, len(room)) if room[n] >= wide]
                first = min(slots, key=lambda n: max(edges[n] - wanted, wanted - edges[n + 1], 0.0))
                groups[first].append(u)
                room[first] -= wide
            line = [u for group, wire in zip(groups, wires, strict=False) for u in (*group, wire)]
            row[:] = [*line, *groups[-1]]

    def leaves_bar(self, u: Unit) -> bool:
        """Whether a unit is connected with a bar, which it may meet anywhere."""
        return any(v.span is not None for v, _, _ in self.neighbours[u.name])

    def middle_of(self, u: Unit) -> float:
        """The mean position of what a unit is connected with; a bar counts if nothing else does."""
        near = self.neighbours[u.name]
        near = [n for n in near if n[0].span is None] or near
        xs = [v.x + theirs - own for v, own, theirs in near]
        return sum(xs) / len(xs) if xs else 0.0

    def work(self) -> int:
        """How long one judgement of an order takes, about, in hops looked at."""
        channels: dict[int, int] = {}
        for hops in self.hops.values():
            for hop in hops:
                channels[hop.channel] = channels.get(hop.channel, 0) + 1
        return sum(n + n * n // 8 for n in channels.values()) + 2 * len(self.units) + 1

    def swaps(self, rows: list[list[Unit]], trials: int) -> Iterator[tuple[list[Unit], int, int]]:
        """Pairs to be swapped: all of a short tier, neighbours of a long one, a few rounds."""
        for _ in range(4):
            for row in rows:
                places = range(len(row))
                short = len(row) <= 9
                for i, j in (
                    itertools.combinations(places, 2) if short else itertools.pairwise(places)
                ):
                    if not trials:
                        return
                    trials -= 1
                    yield row, i, j

    def follow(self, rows: list[list[Unit]], main: list[Unit]) -> None:
        """Order all other tiers by the mean position of what their units are connected with."""
        at = rows.index(main)
        self.pack()
        for _ in range(2):
            for side, tiers in ((-1, rows[at + 1 :]), (1, rows[:at][::-1])):
                for row in tiers:
                    means = {}
                    for u in row:
                        near = self.neighbours[u.name]
                        xs = [v.x + t for v, _, t in near if (v.tier - u.tier) * side > 0]
                        xs = xs or [v.x + t for v, _, t in near]
                        means[u.name] = sum(xs) / len(xs) if xs else u.x
                    row.sort(key=lambda u: (means[u.name], u.prefer))
                    self.settle(row, side)

    def turn_pills(self) -> None:
        """What hangs beside an op hangs on the outer side of its tier, below it if room is dear."""
        for row in self.rows.values():
            solid = [u for u in row if not u.thin]
            crowded = sum(bool(u.under) for u in solid) > 1
            for n, u in enumerate(solid):
                if not u.pill or u.name in self.rail:
                    continue
                u.pill_left = u.pill_side < 0 if u.pill_side else n < (len(solid) - 1) / 2
                plain = max(u.half, -u.note)
                reach = u.half + u.pill
                below = [e for e in self.ends.values() if e.unit is u and e.edge == "bottom"]
                if crowded and u.under and len(below) < 2:  # beside two wires there is no room
                    u.pill_under = True
                    u.down = max(u.down, u.under)
                    reach = max(u.pill - GAP - 6, u.half)
                    for end in below:
                        end.offset = 11 if u.pill_left else -11
                u.left = max(plain, reach if u.pill_left else 0)
                u.right = max(u.half, u.note, 0 if u.pill_left else reach)

    # Positions ------------------------------------------------------------------------------

    def place(self) -> None:
        """x by least squares: each unit as near to what it is connected with as room allows."""
        tiers = list(self.rows)
        for sweep in range(8):
            upwards = sweep % 2 == 0
            for tier in tiers if upwards else reversed(tiers):
                self.place_row(tier, -1 if upwards else 1)
        for tier in tiers:
            self.place_row(tier, -1)
        for tier in reversed(tiers):
            row = self.rows[tier]
            if not any(
                v.tier < u.tier and not (v.thin and v.fixed is None)
                for u in row
                for v, _, _ in self.neighbours[u.name]
            ):
                self.place_row(tier, 1)
        for u in self.units.values():
            if not u.thin:
                u.x = math.floor(u.x + 0.5)  # halves all to one side, or straight wires would bend
        self.straighten()
        for u in self.units.values():
            u.x = math.floor(u.x + 0.5)

    def place_row(self, tier: int, side: int) -> None:
        """One tier by the positions of the tiers below (side -1) or above (side 1) of it."""
        row = self.rows[tier]
        wishes = [self.wish(u, side) for u in row]
        wanted, weights = [x for x, _ in wishes], [weight for _, weight in wishes]
        for u, x in zip(row, spread(row, wanted, weights), strict=True):
            u.x = x

    def wish(self, u: Unit, side: int) -> tuple[float, float]:
        """Where a unit would stand, by what it is connected with on a side, and how much so."""
        if u.fixed is not None:
            return float(u.fixed), 1e9
        near = self.neighbours[u.name]
        facing = [n for n in near if (n[0].tier - u.tier) * side > 0]
        chosen = facing or near
        bars = [v.span for v, _, _ in near if v.span is not None]
        if u.thin and bars and len(bars) < len(near):  # it may leave a bar anywhere
            return min(max(self.middle_of(u), bars[0][0] + 10), bars[0][1] - 10), 1e4
        if not u.thin:  # rather above a thing that has its place than above a wire
            chosen = [n for n in chosen if self.is_placed(n[0], side)] or chosen
        places = [pull(u, *n) for n in chosen]
        source = self.tap_source.get(u.name)
        if source is not None:
            places.append((source.x + distance(source, u), 0.2))
        total = sum(w for _, w in places)
        weight = 1e4 if u.thin and facing else 0.2 if u.thin else max(total, 0.1)
        if side == 1 and len(places) > 2 and not u.thin:
            # Right below the middle one of what it feeds: one wire at least runs straight.
            return median([x for x, _ in places]), weight
        return sum(x * w for x, w in places) / total if places else u.x, weight

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
                self.end(u, edge, net.name, "out"),
                self.end(None, "right", net.name, "out"),
            )

    def spread_pins(self) -> None:
        """Wires that meet one side of an op side by side."""
        meeting: dict[tuple[Name, str], dict[End, float]] = {}
        between: set[End] = set()  # ends of wires from op to op: only one of the two gives way
        for hops in [*self.hops.values(), *([h] for h in self.exit_hops.values())]:
            for hop in hops:
                for end, other in ((hop.a, hop.b), (hop.b, hop.a)):
                    u = end.unit
                    if u is None or u.thin or u.pins_in is not None or u.pins_out is not None:
                        continue
                    x = (
                        other.unit.x + other.offset
                        if other.unit is not None
                        else (-1e4 if other.edge == "left" else 1e4)
                    )
                    if u.span is not None:
                        end.offset = round(self.on_bar(u, x, end) - u.x)
                        continue
                    meeting.setdefault((u.name, end.edge), {})[end] = x - u.x
                    if (
                        end.operand == "out"
                        and other.unit is not None
                        and other.unit.pins_in is None
                    ):
                        between.update([] if other.unit.thin else [end])
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

    # Channels -------------------------------------------------------------------------------

    def raise_tiers(self) -> None:
        """y of tiers and tracks, from below upwards."""
        wires: dict[int, dict[Name, set[End]]] = {}
        for hops in [*self.hops.values(), *([h] for h in self.exit_hops.values())]:
            for hop in hops:
                wires.setdefault(hop.channel, {}).setdefault(hop.a.net, set()).update(
                    (hop.a, hop.b)
                )
        self.track: dict[tuple[int, Name], int] = {}
        tiers = list(self.rows)
        y = 0
        for n, tier in enumerate(tiers):
            row = self.rows[tier]
            if n == 0:
                y += max((u.down for u in row), default=0)
            for u in self.units.values():
                if u.tier == tier:
                    u.y = y
            top = y + max((u.up for u in row), default=0)
            if n + 1 == len(tiers):
                if tier in wires:  # exits above the last tier
                    top += self.lay_tracks(tier, wires[tier], top)
                self.height = top
                break
            # Tiers may be left out between this one and the next: one channel serves for all.
            height = self.lay_tracks(tier, wires.get(tier, {}), top)
            if all(u.thin for u in row) and not self.used(tier):
                height = 6
            below = max((u.down for u in self.rows[tiers[n + 1]]), default=0)
            y = top + height + below

    def used(self, channel: int) -> bool:
        """Whether a channel has tracks."""
        return any(c == channel for c, _ in self.track)

    def lay_tracks(self, channel: int, nets: dict[Name, set[End]], bottom: int) -> int:
        """Give each net of a channel its track; returns how high the channel is."""
        tracks = assign_tracks(nets)
        if not tracks:
            return self.margin + 6
        # States that come in at the left have names, which want room.
        states = {
            tracks[net] for net, ends in nets.items() if any(end.edge == "left" for end in ends)
        }
        y = bottom + self.margin
        heights = []
        for number in range(max(tracks.values()) + 1):
            heights.append(y)
            y += 2 * TRACK if number in states and len(states) > 1 else TRACK
        for net, number in tracks.items():
            self.track[channel, net] = heights[number]
        return heights[-1] + self.margin + 3 - bottom

    # Result ---------------------------------------------------------------------------------

    def hop_points(self, hop: Hop, left: int, right: int) -> Path:
        """The corners of a hop, its two ends included."""
        a, b = hop.a, hop.b
        ends = []
        y = self.track.get((hop.channel, a.net))
        for end in (a, b):
            if end.unit is None:
                assert y is not None
                ends.append((left if end.edge == "left" else right, y))
            else:
                x = end.x()
                assert x is not None
                ends.append((x, end.y()))
        if y is None:
            return ends
        return [ends[0], (ends[0][0], y), (ends[1][0], y), ends[1]]

    def result(self) -> Arrangement:
        solid = list(self.units.values())
        left = min((round(u.x) - u.left for u in solid), default=0)
        right = max((round(u.x) + u.right for u in solid), default=0)
        out = Arrangement(self.units, left=left, right=right, height=self.height)
        for where, hops in self.hops.items():
            points = [p for hop in hops for p in self.hop_points(hop, left, right)]
            source = hops[0].a.unit
            if source is not None and source in self.taps.values():
                maker = self.units[self.source_of(where[0])]
                points = [(round(maker.x) + maker.half, maker.y), *points]
            if hops[0].a.edge == "left":
                out.entries[where[0]] = points[0][1]
            out.paths[where] = simplify(points)
        for where, sink in self.rail_steps.items():
            source_name = self.source_of(where[0])
            start = (left, sink.y)
            if source_name is not None:
                maker = self.units[source_name]
                start = (round(maker.x) + maker.half, maker.y)
            else:
                out.entries[("rail", where[0])] = sink.y
            out.paths[where] = [start, (round(sink.x) - sink.half, sink.y)]
        for net in self.nets:
            if not net.right or net.source is None:
                continue
            u = self.units[net.source]
            if net.name in self.exit_hops:
                out.exits[net.name] = simplify(
                    self.hop_points(self.exit_hops[net.name], left, right)
                )
            else:
                out.exits[net.name] = [(round(u.x) + u.half, u.y), (right, u.y)]
        return out


def fixed_x(u: Unit) -> float:
    """Where a unit must stand."""
    return float(u.fixed or 0)


def share_pins(ends: Iterable[End], first: dict[int | str, End]) -> None:
    """Let all ends of an operand meet the unit where the first does."""
    for end in ends:
        end.offset = first[end.operand].offset


def distance(a: Unit, b: Unit) -> float:
    """How far two neighbours in a tier stand apart at least, from middle to middle."""
    gap = 9 if a.thin and b.thin else 10 if a.thin or b.thin else GAP
    if a.on_rail and b.on_rail:
        gap = 22
    return a.right + gap + b.left


def spread(row: list[Unit], wanted: list[float], weights: list[float]) -> list[float]:
    """Positions as near as can be to the wanted ones that keep order and distance."""
    gaps = [distance(a, b) for a, b in itertools.pairwise(row)]
    return isotonic(wanted, weights, gaps)


def isotonic(wanted: list[float], weights: list[float], gaps: list[float]) -> list[float]:
    """min Σ w (x - wanted)² with x[i+1] - x[i] >= gaps[i], by pooling adjacent violators."""
    shifts = [0.0, *itertools.accumulate(gaps)] if wanted else []
    pools: list[tuple[float, float, int]] = []  # (mean, weight, count)
    for target, weight, shift in zip(wanted, weights, shifts, strict=True):
        mean, total, count = target - shift, weight, 1
        while pools and pools[-1][0] > mean:
            other, more, n = pools.pop()
            mean = (mean * total + other * more) / (total + more)
            total, count = total + more, count + n
        pools.append((mean, total, count))
    flat = [mean for mean, _, count in pools for _ in range(count)]
    return [x + shift for x, shift in zip(flat, shifts, strict=True)]


def assign_tracks(nets: dict[Name, set[End]]) -> dict[Name, int]:
    """A track for each net of a channel that does not run straight; few tracks, few crossings."""
    low: dict[Name, list[float]] = {}
    high: dict[Name, list[float]] = {}
    span: dict[Name, tuple[float, float]] = {}
    for net, ends in nets.items():
        xs = []
        for end in ends:
            x = end.x()
            if x is None:
                xs.append(-1e6 if end.edge == "left" else 1e6)
                continue
            xs.append(float(x))
            (low if end.edge == "top" else high).setdefault(net, []).append(float(x))
        if max(xs) - min(xs) >= 1:
            span[net] = (min(xs), max(xs))

    def price(below: Name, above: Name) -> float:
        """What it costs to have one net's track below another's."""
        first, last = span[below]
        total = sum(1.0 for x in low.get(above, ()) if first < x < last)
        first, last = span[above]
        total += sum(1.0 for x in high.get(below, ()) if first < x < last)
        # The upper net's leg from below and the lower one's to above would lie on each other.
        total += sum(
            100.0 for a in low.get(above, ()) for b in high.get(below, ()) if abs(a - b) < 4
        )
        return total

    names = sorted(span, key=lambda net: span[net])
    if len(names) > 24:
        return stacked(names, span)
    table = {(a, b): price(a, b) for a in names for b in names if a != b}

    def total(order: Iterable[Name]) -> float:
        return sum(table[a, b] for a, b in itertools.combinations(order, 2))

    if len(names) <= 6:
        best = list(min(itertools.permutations(names), key=total, default=()))
    else:
        best = sorted(names, key=lambda a: sum(table[b, a] - table[a, b] for b in names if b != a))
    return stacked(best, span)


def stacked(names: list[Name], span: dict[Name, tuple[float, float]]) -> dict[Name, int]:
    """Tracks in this order from below, each as low as those that it would touch allow."""
    tracks: dict[Name, int] = {}
    for net in names:
        first, last = span[net]
        number = 0
        for other, taken in tracks.items():
            if span[other][0] <= last + 6 and first <= span[other][1] + 6:
                number = max(number, taken + 1)
        tracks[net] = number
    return tracks


def pull(u: Unit, v: Unit, own: float, theirs: float) -> tuple[float, float]:
    """Where a unit would stand because of another, and with which weight."""
    if v.span is None:
        return v.x + theirs - own, 3.0 if v.thin and u.thin else 1.0
    return min(max(u.x, v.span[0] + 10), v.span[1] - 10) if u.thin else float(v.x), 20.0


def simplify(points: Path) -> Path:
    """A path without repeated points and without points on a straight line."""
    out: Path = []
    for p in points:
        if out and out[-1] == p:
            continue
        if len(out) > 1:
            (ax, ay), (bx, by) = out[-2], out[-1]
            if (ax == bx == p[0]) or (ay == by == p[1]):
                out[-1] = p
                continue
        out.append(p)
    return out


def assign_tiers(
    names: list[Name],
    inputs: dict[Name, list[tuple[Name, int]]],
    base: dict[Name, int],
) -> dict[Name, int]:
    """Tiers by longest paths.

    Args:
        names: The units in the order of execution.
        inputs: Unit -> (unit that it reads from, how many tiers it must stand above it).
        base: The lowest tier for a unit.

    A circle, which only the union of unlike steps can have, is cut at the unit that comes
    first in the order.
    """
    tiers: dict[Name, int] = {}
    order = {name: i for i, name in enumerate(names)}
    for name in names:
        tiers[name] = base.get(name, 0)
    for _ in range(len(names)):
        changed = False
        for name in names:
            for other, rise in inputs.get(name, ()):
                if order[other] < order[name] and tiers[other] + rise > tiers[name]:
                    tiers[name] = tiers[other] + rise
                    changed = True
        if not changed:
            break
    return tiers


def shifted(path: Path, x: int, y: int) -> Path:
    """A wire moved to the right and upwards."""
    return [(px + x, py + y) for px, py in path]
