"""The hops of every net from tier to tier, and what stands in each tier because of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from .units import End, Hop, Name, Neighbours, Net, Rail, Rows, Unit


class Routes:
    """Units, and the way of each net between them, without positions.

    Args:
        units: With their tiers.
        nets: What connects them.
        rail: The highway, all of whose units are of one tier; wires may run past the places of
            those that not all steps have.
        running: Net -> a unit, alone in its tier, that it enters straight from the left.

    Attributes:
        units: Name -> unit, with turns and taps of wires.
        hops: (net, sink, operand) -> its hops, from the source on.
        once: All of these hops, one for what several ways have in common.
        rail_steps: The same for what runs straight along the rail: the sink.
        exit_hops: Net -> its hop to the right edge.
        ends: All places where wires meet units.
        rows: Tier -> its units from left to right.
    """

    def __init__(
        self, units: Iterable[Unit], nets: list[Net], rail: Rail | None, running: dict[Name, Name]
    ) -> None:
        self.units = {u.name: u for u in units}
        self.nets = nets
        self.source_of = {net.name: net.source for net in nets}
        self.rail = rail.items if rail else []
        self.rail_net = rail.net if rail else None
        self.optional = rail.optional if rail else frozenset()
        self.running = running
        self.straight = {net.name: net.straight for net in nets if net.straight is not None}
        self.hops: dict[tuple[Name, Name, int], list[Hop]] = {}
        self.rail_steps: dict[tuple[Name, Name, int], Unit] = {}
        self.exit_hops: dict[Name, Hop] = {}
        self.ends: dict[tuple[Any, ...], End] = {}
        self.taps: dict[Name, Unit] = {}
        self.tap_source: dict[Name, Unit] = {}
        self.last: dict[int, float] = {}  # the last place in each tier's first order
        for u in self.units.values():
            self.last[u.tier] = max(u.order, self.last.get(u.tier, 0.0))
        for net in nets:
            self.route(net)
        hops = itertools.chain.from_iterable(self.hops.values())
        self.once = list({(hop.a, hop.b): hop for hop in hops}.values())
        self.rows = self.make_rows()

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

    def turn(self, net: Name, tier: int) -> Unit:
        """The point where a net passes a tier."""
        name = ("turn", net, tier)
        if name not in self.units:
            self.last[tier] = order = self.last.get(tier, 0.0) + 1
            fixed = self.straight.get(net)
            turn = self.units[name] = Unit(name, thin=True, tier=tier, order=order, fixed=fixed)
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
            if source is None and self.running.get(net.name) == sink_name:
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
        begin = self.end(None, "left", net.name, "in")
        tiers = range(min(1, sink.tier), sink.tier)
        return self.hop_by(tiers, begin, self.end(sink, "bottom", net.name, operand))

    def connect(self, net: Net, source: Unit, sink: Unit, operand: int) -> list[Hop]:
        """From one unit to another: into its lower edge, or from above if it is a lower op."""
        rises = sink.tier > source.tier
        from_above = sink.tier < source.tier and sink.pins_in is None
        step = 1 if rises else -1
        tiers = range(source.tier + step, sink.tier - (not rises and not from_above), step)
        last = self.end(source, "top" if rises else "bottom", net.name, "out")
        edge = "top" if from_above else "bottom"
        return self.hop_by(tiers, last, self.end(sink, edge, net.name, operand))

    def hop_by(self, tiers: range, last: End, stop: End) -> list[Hop]:
        """From one end to another, with a turn in each of the tiers between."""
        assert stop.unit is not None
        hops = []
        near, far = ("bottom", "top") if tiers.step > 0 else ("top", "bottom")
        for tier in tiers:
            turn = self.turn(last.net, tier)
            channel = tier - (near == "bottom")
            hops.append(Hop(channel, last, self.end(turn, near, last.net, "in")))
            last = self.end(turn, far, last.net, "out")
        return [*hops, Hop(stop.unit.tier - (stop.edge == "bottom"), last, stop)]

    def make_rows(self) -> Rows:
        """The units of each tier, in their first order."""
        rows: Rows = {}
        on_rail = set(self.rail)
        barred = {u.tier for u in self.units.values() if u.span is not None}
        for u in sorted(self.units.values(), key=lambda u: u.order):
            if u.thin and u.fixed is not None and u.tier in barred:
                continue  # it crosses the bar
            if u.name not in on_rail and not (u.thin and u in self.taps.values()):
                rows.setdefault(u.tier, []).append(u)
        if self.rail:
            line: list[Unit] = []
            for name in self.rail:
                line.append(self.units[name])
                line[-1].on_rail = True
                line += [t for net, t in self.taps.items() if self.source_of[net] == name]
            tier = line[0].tier
            rows[tier] = line + rows.get(tier, [])
        for hop in self.once:
            rows.setdefault(hop.channel, [])
            rows.setdefault(hop.channel + 1, [])
        for row in rows.values():
            if all(u.fixed is not None for u in row):
                row.sort(key=lambda u: u.fixed or 0)
        return dict(sorted(rows.items()))

    def find_neighbours(self) -> Neighbours:
        """For each unit: (other unit, own pin, the other's pin) of each hop."""
        near: Neighbours = {name: [] for name in self.units}
        for hop in self.once:
            a, b = hop.a, hop.b
            if a.unit is not None and b.unit is not None:
                near[a.unit.name].append((b.unit, a.offset, b.offset))
                near[b.unit.name].append((a.unit, b.offset, a.offset))
        return near
