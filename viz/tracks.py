"""Channels between the tiers: a track for each net, the height of all, and the wires' corners."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from .look import TRACK
from .routes import Routes
from .units import Arrangement, End, Hop, Name, Path, Unit, simplify

Ends: TypeAlias = Sequence[tuple[int, str]]  # (x, edge) where a net meets a channel


class Channels:
    """Lays tracks between the rows of some routes.

    Args:
        routes: With positions.
        margin: Free space above and below the tracks of a channel.
    """

    def __init__(self, routes: Routes, margin: int) -> None:
        self.routes, self.margin = routes, margin
        self.units, self.nets, self.rows = routes.units, routes.nets, routes.rows
        self.hops, self.exit_hops, self.taps = routes.hops, routes.exit_hops, routes.taps
        self.raise_tiers()

    def raise_tiers(self) -> None:
        """y of tiers and tracks, from below upwards."""
        wires: dict[int, dict[Name, dict[End, None]]] = {}
        for hop in [*self.routes.once, *self.exit_hops.values()]:
            nets = wires.setdefault(hop.channel, {})
            nets.setdefault(hop.a.net, {}).update({hop.a: None, hop.b: None})
        self.track: dict[tuple[int, Name], int] = {}
        in_tier: dict[int, list[Unit]] = {tier: [] for tier in self.rows}
        for u in self.units.values():  # also what crosses a bar
            in_tier[u.tier].append(u)
        tiers = list(self.rows)
        y = 0
        for n, tier in enumerate(tiers):
            row = self.rows[tier]
            if n == 0:
                y += max((u.down for u in row), default=0)
            for u in in_tier[tier]:
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

    def lay_tracks(self, channel: int, nets: Mapping[Name, Iterable[End]], bottom: int) -> int:
        """Give each net of a channel its track; returns how high the channel is."""
        tracks = assign_tracks(
            {net: [(end.x(), end.edge) for end in ends] for net, ends in nets.items()}
        )
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

    def hop_points(self, hop: Hop, left: int, right: int) -> Path:
        """The corners of a hop, its two ends included."""
        y = self.track.get((hop.channel, hop.a.net))
        sides = {"left": (left, y or 0), "right": (right, y or 0)}
        begin, stop = (
            (end.x(), end.y()) if end.unit is not None else sides[end.edge]
            for end in (hop.a, hop.b)
        )
        return [begin, stop] if y is None else [begin, (begin[0], y), (stop[0], y), stop]

    def result(self) -> Arrangement:
        """All places, and the wires as paths."""
        solid = list(self.units.values())
        left = min((round(u.x) - u.left for u in solid), default=0)
        right = max((round(u.x) + u.right for u in solid), default=0)
        out = Arrangement(self.units, left=left, right=right, height=self.height)
        for where, hops in self.hops.items():
            points = [p for hop in hops for p in self.hop_points(hop, left, right)]
            source = hops[0].a.unit
            if source is not None and source in self.taps.values():
                maker = self.units[self.routes.source_of[where[0]]]
                points = [(round(maker.x) + maker.half, maker.y), *points]
            if hops[0].a.edge == "left":
                out.entries[where[0]] = points[0][1]
            out.paths[where] = simplify(points)
        for where, sink in self.routes.rail_steps.items():
            source_name = self.routes.source_of[where[0]]
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


def assign_tracks(nets: Mapping[Name, Ends]) -> dict[Name, int]:
    """A track for each net of a channel that does not run straight; few tracks, few crossings.

    Args:
        nets: Net -> (x, edge) where it meets the "top" of what is below the channel, and the
            "bottom" of what is above.
    """
    spans = {net: span_of(ends) for net, ends in nets.items()}
    span = {net: (first, last) for net, (first, last) in spans.items() if first < last}
    names = sorted(span, key=lambda net: span[net])
    if len(names) > 24:
        return stacked(names, span)
    table = {(a, b): price(nets[a], nets[b]) for a in names for b in names if a != b}

    def total(order: Iterable[Name]) -> float:
        return sum(table[a, b] for a, b in itertools.combinations(order, 2))

    if len(names) <= 6:
        best = list(min(itertools.permutations(names), key=total, default=()))
    else:
        best = sorted(names, key=lambda a: sum(table[b, a] - table[a, b] for b in names if b != a))
    return stacked(best, span)


def span_of(ends: Ends) -> tuple[int, int]:
    """From where to where a net reaches in a channel."""
    xs = [x for x, _ in ends]
    return min(xs), max(xs)


def price(below: Ends, above: Ends) -> float:
    """What it costs to have one net's track below another's."""
    rising = [x for x, edge in above if edge == "top"]  # to the upper track, past the lower one
    leaving = [x for x, edge in below if edge == "bottom"]
    first, last = span_of(below)
    total = sum(1.0 for x in rising if first < x < last)
    first, last = span_of(above)
    total += sum(1.0 for x in leaving if first < x < last)
    # The upper net's leg from below and the lower one's to above would lie on each other.
    return total + sum(100.0 for a in rising for b in leaving if abs(a - b) < 4)


def stacked(names: list[Name], span: Mapping[Name, tuple[int, int]]) -> dict[Name, int]:
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
