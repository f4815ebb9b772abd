"""Boxes within boxes: the gates of a step, each arranged by itself, then placed as one unit.

A diagram is a set of items in nested groups, and nets between them. Each group is arranged
first, with a port below for every net that comes in and a port above for every one that goes
out; to the group around it, it is then a unit with pins at these places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from .layers import arrange, assign_tiers
from .look import GAP, TITLE, text_width
from .structure import Group
from .units import Arrangement, Name, Net, Path, Point, Rail, Unit, fixed_x, shifted, simplify

MOST_TURNS = 6_000  # turns of wires in a diagram; beyond, long wires run freely
MOST_HOPS = 60_000  # the same, counted for each end of each wire
NEAR = 6  # tiers over which wires then still keep to their channels
PAD = 8  # between a box and what stands in it


SPANNING = Unit("", span=(0, 0))  # what a box counts as that is no item


class Frame(NamedTuple):
    """The box of a group: its corners and its scope."""

    group: Group
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(slots=True, eq=False)
class Block:
    """An arranged diagram, relative to its own middle and bottom.

    Attributes:
        left, right, height: Its outline.
        places: Item -> (x, y).
        pills: Item -> where a parameter beside it hangs: left, right, under left, under right.
        frames: Its own box, if it has one, and those inside, outer ones first.
        paths: (net, item, operand) -> the wire within this block that ends there. It begins
            at the net's source, or at the block's edge.
        ports: Net -> the wire within this block that ends at its upper edge.
        exits: Net -> the wire that ends at the right edge.
        entries: Net -> how high it comes in at the left edge; ``("rail", net)`` on the rail.
        pins_in: Net -> where it crosses the lower edge.
    """

    left: int = 0
    right: int = 0
    height: int = 0
    places: dict[Name, tuple[int, int]] = field(default_factory=dict)
    pills: dict[Name, str] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    paths: dict[tuple[Name, Name, int], Path] = field(default_factory=dict)
    ports: dict[Name, Path] = field(default_factory=dict)
    exits: dict[Name, Path] = field(default_factory=dict)
    entries: dict[Name, int] = field(default_factory=dict)
    pins_in: dict[Name, int] = field(default_factory=dict)

    def moved(self, to: Callable[[int, int], Point]) -> Block:
        """Its places, frames and wires elsewhere, or seen in a mirror; its outline stays."""
        out = replace(self, places={key: to(*at) for key, at in self.places.items()}, frames=[])
        for f in self.frames:
            (x1, y1), (x2, y2) = to(f.x1, f.y1), to(f.x2, f.y2)
            out.frames.append(Frame(f.group, min(x1, x2), y1, max(x1, x2), y2))
        out.paths = {where: [to(*at) for at in path] for where, path in self.paths.items()}
        out.ports = {net: [to(*at) for at in path] for net, path in self.ports.items()}
        return out


@dataclass(eq=False)
class Diagram:
    """Items and wires to be arranged; see ``arranged``."""

    items: dict[Name, Unit]
    wires: list[Net]
    rail: Rail | None = None
    running: dict[Name, Name] = field(default_factory=dict)  # net -> the one item on its own rail
    late: bool = False  # whether what takes parts of an input stands near where they are used

    def arranged(self) -> Block:
        """The whole diagram, its outermost group without a box."""
        self.within: dict[Group, list[Unit]] = {(): []}
        self.touching: dict[Group, list[Net]] = {(): []}
        for item in sorted(self.items.values(), key=lambda item: item.order):
            for depth in range(len(item.group) + 1):
                self.within.setdefault(item.group[:depth], []).append(item)
        for wire in self.wires:
            ends = [key for key, _ in wire.sinks]
            ends += [wire.source] if wire.source is not None else []
            groups = [self.items[key].group for key in ends]
            prefixes = [group[:depth] for group in groups for depth in range(len(group) + 1)]
            for group in dict.fromkeys(prefixes or [()]):
                self.touching.setdefault(group, []).append(wire)
        return self.block(())

    def inside(self, key: Name, group: Group) -> Name | None:
        """What stands for an item in a group: itself, the box around it, or None if outside."""
        own = self.items[key].group
        depth = len(group)
        if own[:depth] != group:
            return None
        return key if len(own) == depth else ("group", own[: depth + 1])

    def block(self, group: Group) -> Block:
        """One group arranged, with the groups inside of it."""
        outermost = not group
        units: dict[Name, Unit] = {}
        blocks: dict[Name, Block] = {}
        for item in self.within[group]:
            name = self.inside(item.name, group)
            assert name is not None
            if name == item.name:
                item.spread_out()
                units[name] = item
            elif name not in units:
                block = blocks[name] = self.block(item.group[: len(group) + 1])
                units[name] = self.box(name, item.order, block)
        nets = self.nets(group)
        rail = self.rail if outermost else None
        hanging = self.set_tiers(units, nets, rail, outermost)
        for net in nets:
            top = (("top", net.name), 0)
            if net.source in hanging and top in net.sinks:
                net.sinks.remove(top)  # it goes round the rail, at the right
                net.right = True
        if outermost:
            for key in self.running.values():
                units[key].tier = max(u.tier for u in units.values()) + 1
        cut_long_ways(units, nets)
        ports = self.add_ports(units, nets, group)
        running, margin = (self.running, 10) if outermost else ({}, 8)
        placed = arrange([*units.values(), *ports], nets, rail, running, margin)
        return self.collect(group, placed, blocks)

    def nets(self, group: Group) -> list[Net]:
        """The nets as this group sees them."""
        nets = []
        for wire in self.touching.get(group, ()):
            source = self.inside(wire.source, group) if wire.source is not None else None
            sinks: dict[tuple[Name, int], None] = {}
            leaves = False
            for key, operand in wire.sinks:
                name = self.inside(key, group)
                if name is None:
                    leaves = True
                elif name != source:
                    # All uses inside of one box enter it at one pin.
                    sinks[name, 0 if name != key else operand] = None
            if not group:
                leaves = wire.above
            elif source is not None:
                leaves = leaves or wire.right or wire.above
            passes = wire.straight is not None and leaves
            if source is None and not sinks and not passes:
                continue
            if source is not None and not sinks and not leaves and not wire.right:
                continue
            net = Net(wire.name, source, list(sinks))
            if not group:
                net.left, net.right, net.straight = wire.left, wire.right, wire.straight
            if (source is not None or passes) and leaves:
                net.sinks.append((("top", wire.name), 0))
            if source is None and not net.left:
                net.source = ("bottom", wire.name)
            nets.append(net)
        return nets

    def box(self, name: Name, order: float, block: Block) -> Unit:
        """The box of a group as a unit of the group around it."""
        return Unit(
            name,
            half=max(-block.left, block.right),
            left=-block.left,
            right=block.right,
            up=block.height,  # boxes of one tier stand on one line
            pins_in=block.pins_in,
            pins_out={net: path[-1][0] for net, path in block.ports.items()},
            order=order,
            is_gate=True,
            fixed=0 if any(self.items[key].span for key in block.places) else None,
        )

    def set_tiers(
        self, units: dict[Name, Unit], nets: list[Net], rail: Rail | None, outermost: bool
    ) -> set[Name]:
        """A tier for each unit; returns those that follow from the rail and hang below it."""
        names = sorted(units, key=lambda name: units[name].order)
        inputs: dict[Name, list[Name]] = {name: [] for name in names}
        for net in nets:
            if net.source in units:
                for sink, _ in net.sinks:
                    if sink in units:
                        inputs[sink].append(net.source)
        lowest = 1 if outermost else 0
        base = {}
        for name in names:
            given = self.items[name].base if name in self.items else None
            base[name] = lowest if given is None else given
        if rail is None:
            tiers = assign_tiers(names, inputs, base)
            if self.late and outermost:
                self.delay(names, inputs, tiers)
            for name, tier in tiers.items():
                units[name].tier = tier
            self.part_bars(units)
            return set()
        return self.tiers_with_rail(units, names, inputs, base, rail)

    def delay(
        self, names: list[Name], inputs: dict[Name, list[Name]], tiers: dict[Name, int]
    ) -> None:
        """Raise what reads nothing but an input to right below what uses it."""
        users: dict[Name, list[Name]] = {}
        for name in names:
            for other in inputs[name]:
                users.setdefault(other, []).append(name)
        for name in reversed(names):
            plain = all(not inputs[other] for other in inputs[name])
            if inputs[name] and plain and name in users and not self.items.get(name, SPANNING).span:
                tiers[name] = max(tiers[name], min(tiers[user] for user in users[name]) - 1)

    def tiers_with_rail(
        self,
        units: dict[Name, Unit],
        names: list[Name],
        inputs: dict[Name, list[Name]],
        base: dict[Name, int],
        rail: Rail,
    ) -> set[Name]:
        """Tiers below the rail, on it, and after it.

        What makes a state out of the rail's result (the tanh and the product of an LSTM) hangs
        below the rail if it is a few ops; the rest that follows stands above.
        """
        on_rail = set(rail.items)
        before, after = around_rail(on_rail, names, inputs)
        hanging = self.hanging(after, inputs)
        low = assign_tiers(before, inputs, base)
        depth: dict[Name, int] = {}
        height = max(low.values(), default=0) + 1
        for name in hanging:
            depth[name] = 1 + max((depth.get(other, 0) for other in inputs[name]), default=0)
            under = max((low.get(other, 0) for other in inputs[name]), default=0)
            height = max(height, depth[name] + under + 1)
        rest = [n for n in after if n not in depth]
        tiers = low | dict.fromkeys(on_rail, height) | {n: height - depth[n] for n in hanging}
        tiers |= assign_tiers(rest, inputs, dict.fromkeys(rest, height + 1))
        for name, tier in tiers.items():
            units[name].tier = tier
        return set(hanging)

    def hanging(self, after: list[Name], inputs: dict[Name, list[Name]]) -> list[Name]:
        """Of what follows the rail: the part that ends in a state of the next step, if small."""
        running = set(self.running.values())
        making = {w.source for w in self.wires if w.right and w.source in after} - running
        for name in reversed(after):
            if name in making:
                making.update(other for other in inputs[name] if other in after)
        found = [n for n in after if n in making]
        plain = all(n in self.items and not self.items[n].is_gate for n in found)
        return found if plain and len(found) <= 6 else []  # gates stand alike at every level

    def part_bars(self, units: dict[Name, Unit]) -> None:
        """Tiers for bars alone, and for boxes around them: they reach over all but each other."""
        if all(u.fixed is None for u in units.values()):
            return
        rows: dict[int, list[Unit]] = {}
        for u in sorted(units.values(), key=lambda u: u.order):
            rows.setdefault(u.tier, []).append(u)
        tier = 0
        for _, row in sorted(rows.items()):
            lines: list[list[Unit]] = []
            for bar in (u for u in row if u.fixed is not None):
                line = next((line for line in lines if all(apart(bar, b) for b in line)), None)
                if line is None:
                    lines.append(line := [])
                line.append(bar)
                bar.tier = tier + lines.index(line)
            tier += len(lines)
            others = [u for u in row if u.fixed is None]
            for u in others:
                u.tier = tier
            tier += bool(others)

    def add_ports(self, units: dict[Name, Unit], nets: list[Net], group: Group) -> list[Unit]:
        """Points at the lower and upper edge for nets that cross it."""
        lowest = min((u.tier for u in units.values()), default=0) - 1
        highest = max((u.tier for u in units.values()), default=0) + 1
        if not group:
            lowest = min(lowest, -1)
        wires = {wire.name: wire for wire in self.touching.get(group, ())}
        ports = []
        for n, net in enumerate(nets):
            wire = wires[net.name]
            if net.source == ("bottom", net.name):
                fixed = wire.below_x if not group else None
                ports.append(Unit(net.source, thin=True, tier=lowest, order=n, fixed=fixed))
            if (("top", net.name), 0) in net.sinks:
                fixed = wire.above_x if not group else None
                ports.append(Unit(("top", net.name), thin=True, tier=highest, order=n, fixed=fixed))
        return ports

    def collect(self, group: Group, placed: Arrangement, blocks: dict[Name, Block]) -> Block:
        """The arranged group as a block, with what stands in its boxes."""
        title = text_width(group[-1][0], TITLE) + 14 if group else 0
        pad = PAD if group else 0
        left, right = placed.left - pad, placed.right + pad
        if group:
            # The title stands at the upper left; a wire that leaves in the middle clears it.
            tops = [round(u.x) for n, u in placed.units.items() if is_port(n, "top")]
            room = min(tops) - 4 if tops else right
            left = min(left, room - title)
            right = max(right, left + title)
        # Above what stands highest there is room for the title.
        highest = max((u.y + u.up for u in placed.units.values() if not u.thin), default=0)
        head = max(4, TITLE + 8 - pad - (placed.height - highest)) if group else 0
        out = Block(left=left, right=right, height=placed.height + 2 * pad + head)
        if group:
            out.frames.append(Frame(group, left, 0, right, out.height))
        inner: dict[Name, Block] = {}
        for name, u in placed.units.items():
            x, y = round(u.x), u.y + pad
            if is_port(name, "bottom"):
                out.pins_in[name[1]] = x  # type: ignore[index]
            elif name in blocks:
                inner[name] = blocks[name].moved(partial(move, x, y - u.down))
            elif name in self.items:
                out.places[name] = (x, y)
                side = "left" if u.pill_left else "right"
                out.pills[name] = f"under {side}" if u.pill_under else side
        for block in inner.values():
            out.frames += block.frames
            out.places |= block.places
            out.pills |= block.pills
        self.join_paths(group, placed, out, inner, pad)
        return out

    def join_paths(
        self, group: Group, placed: Arrangement, out: Block, inner: dict[Name, Block], pad: int
    ) -> None:
        """The wires of a group, each made of its part here and its parts in boxes."""
        nothing = Block()
        for wire in self.touching.get(group, ()):
            source = self.inside(wire.source, group) if wire.source is not None else None
            start = inner.get(source, nothing).ports.get(wire.name, [])
            for key, operand in wire.sinks:
                name = self.inside(key, group)
                where = (wire.name, key, operand)
                stop = inner.get(name, nothing).paths.get(where, [])
                if name == source and name in inner:
                    out.paths[where] = stop
                elif here := placed.paths.get((wire.name, name, 0 if name in inner else operand)):
                    out.paths[where] = simplify([*start, *shifted(here, 0, pad), *stop])
            if top := placed.paths.get((wire.name, ("top", wire.name), 0)):
                here = shifted(top, 0, pad)
                out.ports[wire.name] = simplify([*start, *here, (here[-1][0], out.height)])
            if wire.name in placed.exits:
                here = shifted(placed.exits[wire.name], 0, pad)
                out.exits[wire.name] = simplify([*start, *here])
        if group:
            for where, path in out.paths.items():
                if where[0] in out.pins_in and path[0][1] != 0:
                    out.paths[where] = simplify([(path[0][0], 0), *path])
        out.entries = {net: y + pad for net, y in placed.entries.items()}


def move(dx: int, dy: int, x: int, y: int) -> Point:
    """A point moved to the right and upwards."""
    return x + dx, y + dy


def cut_long_ways(units: dict[Name, Unit], nets: list[Net]) -> None:
    """Of a very large diagram leave the long wires out: a turn in every tier would be too many."""

    def rise(net: Net, sink: Name) -> int:
        source = units.get(net.source)
        return abs(units[sink].tier - source.tier) if source and sink in units else 0

    rises = [[rise(net, sink) for sink, _ in net.sinks] for net in nets]
    turns, hops = sum(max(r, default=0) for r in rises), sum(map(sum, rises))
    if turns > MOST_TURNS or hops > MOST_HOPS:
        for net in nets:
            net.sinks = [(sink, operand) for sink, operand in net.sinks if rise(net, sink) <= NEAR]


def apart(a: Unit, b: Unit) -> bool:
    """Whether two bars can stand side by side."""
    left, right = sorted((a, b), key=fixed_x)
    return fixed_x(left) + left.right + GAP < fixed_x(right) - right.left


def is_port(name: Name, kind: str) -> bool:
    """Whether a unit is a port at the lower ("bottom") or upper ("top") edge."""
    return isinstance(name, tuple) and len(name) == 2 and name[0] == kind


def around_rail(
    on_rail: set[Name], names: list[Name], inputs: dict[Name, list[Name]]
) -> tuple[list[Name], list[Name]]:
    """What stands before the rail or beside it, and what follows from it alone."""
    follows = set(on_rail)
    for name in names:
        if not follows.isdisjoint(inputs[name]):
            follows.add(name)
    leads = set(on_rail)
    for name in reversed(names):
        if name in leads:
            leads.update(inputs[name])
    before = [n for n in names if n not in on_rail and (n not in follows or n in leads)]
    return before, [n for n in names if n in follows and n not in leads]
