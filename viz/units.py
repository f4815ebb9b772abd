"""What a layered arrangement is made of: units in tiers, nets between them, and hops of wires.

A step is laid out once for all its repetitions: a unit is the place of a node in every step, a
net the way of a value to all that read it. ``graph.Node`` and ``graph.Edge`` are what is seen.

All lengths are in points, y grows upwards.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from .look import GAP, PILL
from .structure import Group

Point = tuple[int, int]
Path = list[Point]
Name = Hashable
Neighbours = dict[Name, list[tuple["Unit", int, int]]]  # other unit, own pin, the other's pin
Rows = dict[int, list["Unit"]]  # tier -> its units from left to right

FAR = 10**6
ASIDE = 8  # from a rising wire to what hangs at its left


@dataclass(slots=True, eq=False)
class Unit:
    """Something that stands in a tier: an op, a box with more inside, a port, a turn of a wire.

    Attributes:
        name: Its name.
        half: Half the width of its shape.
        high: Half the height of its shape.
        left, right, up, down: How far it reaches from its middle, with all that hangs on it.
        group: The scopes around it inside of the step.
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
        note_high: How high that is.
        order: Its place in the order before anything is improved.
        pill_side: -1 or 1 if that must hang at the left or the right, as an operand's order
            wants it; else 0.
        ordered: 1 if its operands should come in from left to right, -1 from right to left.
        tier: The tier, from below.
        base: The lowest tier in which it may stand.
        count: How many steps have it.
        may_ride: Whether it may stand on a rail; ``on_rail`` says that it does.
        aside: Whether what hangs above it hangs at the left, before the step is turned round.
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
    order: float = 0.0
    pill_side: int = 0
    ordered: int = 0
    under: int = 0
    note: int = 0
    note_high: int = 0
    tier: int = 0
    group: Group = ()
    base: int | None = None
    count: int = 1
    may_ride: bool = False
    aside: bool = False
    x: float = 0.0
    y: int = 0
    pill_left: bool = False
    pill_under: bool = False
    on_rail: bool = False

    def hang_above(self, rises: bool) -> None:
        """Put what hangs beside it above it: at its sides there is the rail.

        Where a wire of its own ``rises`` there, it hangs at the left of that.
        """
        several = self.left > 0
        width = (self.left - self.half if several else self.pill) - GAP
        if width > 0:
            self.pill = self.under = 0
            self.aside = rises
            self.left = max(self.half, width + ASIDE if rises else width // 2)
            self.right = max(self.right, self.left + (width + 6 if several else 0))
            self.up = max(self.up, self.high + self.note_high + 2 * PILL + 16)

    def grow(self, other: Unit) -> None:
        """Make room for another that stands at the same place in another step."""
        for name in ("half", "high", "left", "right", "up", "note_high", "pill", "under"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.note = max(self.note, other.note, key=abs)
        self.round = self.round and other.round
        self.may_ride = self.may_ride and other.may_ride

    def spread_out(self) -> None:
        """Reach as far as its shape and what hangs on it do."""
        self.left = max(self.half, self.left, -self.note)
        self.right = max(self.half + self.pill, self.right, self.note)
        self.up, self.down = max(self.high, self.up), self.high
        if self.span:
            self.fixed = (self.span[0] + self.span[1]) // 2


@dataclass(slots=True, eq=False)
class Net:
    """A value: from where it comes and where it goes.

    Attributes:
        name: Its name.
        source: The unit that makes it; None if it comes from outside.
        sinks: (unit, operand) of each use.
        left, right: Whether it comes in from the left edge, or goes out to the right one.
        below, above: Whether it comes in from below, or leaves above; for outermost diagrams.
        below_x, above_x: Where, if that is given.
        straight: The x at which it runs straight up: what is in the way gives way, and bars
            are crossed.
    """

    name: Name
    source: Name | None
    sinks: list[tuple[Name, int]] = field(default_factory=list)
    left: bool = False
    right: bool = False
    below: bool = False
    above: bool = False
    below_x: int | None = None
    above_x: int | None = None
    straight: int | None = None


class Rail(NamedTuple):
    """A highway: the net that comes in, the items along it from left to right, and those of them
    that not every step has.
    """

    net: Name
    items: list[Name]
    optional: frozenset[Name]


@dataclass(slots=True, eq=False)
class End:
    """Where a wire meets a unit: at its top or its bottom, so far from the middle."""

    unit: Unit | None
    edge: str  # "top", "bottom", "left", "right"
    net: Name
    offset: int = 0
    operand: int | str = 0  # "in" and "out" at a turn and where the wire begins

    def x(self) -> int:
        """Where it is; the picture's own edges are far away."""
        if self.unit is None:
            return -FAR if self.edge == "left" else FAR
        return round(self.unit.x) + self.offset

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


def fixed_x(u: Unit) -> float:
    """Where a unit must stand."""
    return float(u.fixed or 0)


def distance(a: Unit, b: Unit) -> float:
    """How far two neighbours in a tier stand apart at least, from middle to middle."""
    gap = 9 if a.thin and b.thin else 10 if a.thin or b.thin else GAP
    if a.on_rail and b.on_rail:
        gap = 22
    return a.right + gap + b.left


def middle_of(near: list[tuple[Unit, int, int]]) -> float:
    """The mean position of what a unit is connected with; a bar counts if nothing else does."""
    near = [n for n in near if n[0].span is None] or near
    xs = [v.x + theirs - own for v, own, theirs in near]
    return sum(xs) / len(xs) if xs else 0.0


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


def shifted(path: Path, x: int, y: int) -> Path:
    """A wire moved to the right and upwards."""
    return [(px + x, py + y) for px, py in path]
