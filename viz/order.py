"""The order of units within each tier: short wires, few crossings, operands from left to right."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from .isotonic import spread
from .look import GAP
from .routes import Routes
from .units import Name, Unit, distance, fixed_x, middle_of

WORK = 600_000  # how many hops may be looked at to improve an order: a fraction of a second
ROUNDS = 4  # of swaps, at most
KEPT = 300  # the price of an op on the other side of a gate: they stand alike at every level


class Order:
    """Improves the order of the rows of some routes."""

    def __init__(self, routes: Routes) -> None:
        self.units, self.nets, self.rail = routes.units, routes.nets, routes.rail
        self.hops, self.ends, self.rows = routes.hops, routes.ends, routes.rows
        self.once = routes.once
        self.neighbours = routes.find_neighbours()
        # Below (-1) or above (1): unit -> (other unit, its pin less one's own)
        self.beside: dict[int, dict[Unit, list[tuple[Unit, int]]]] = {
            side: {
                u: [
                    (v, theirs - own)
                    for v, own, theirs in self.neighbours[name]
                    if (v.tier - u.tier) * side > 0
                ]
                for name, u in self.units.items()
            }
            for side in (-1, 1)
        }
        self.loose = [row for row in self.rows.values() if all(u.fixed is None for u in row)]

    def improve_order(self) -> None:
        """Swap units of a tier while wires get shorter."""
        rows = self.rows.values()
        held = {u for row in rows for u in row if u.name in self.rail or u.fixed is not None}
        free = [row for row in rows if len(row) > 1 and held.isdisjoint(row)]
        if free:
            self.try_orders(free)
        self.pack()
        self.give_way()

    def try_orders(self, free: list[list[Unit]]) -> None:
        """Every order of the largest tier, if there are few, the others following; then swaps."""
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
        pairs = list(swaps(free))
        failed = 0  # swaps since the last good one: after a whole round nothing is better
        for row, i, j in itertools.islice(itertools.cycle(pairs), min(trials, ROUNDS * len(pairs))):
            row[i], row[j] = row[j], row[i]
            cost = self.cost()
            if cost < best - 0.5:
                best, failed = cost, 0
                continue
            row[i], row[j] = row[j], row[i]
            failed += 1
            if failed == len(pairs):
                break

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
        for row in self.loose:
            self.settle(row, -1)

    def settle(self, row: list[Unit], side: int) -> None:
        """Move a tier above (side -1) or below (side 1) what its units are connected with."""
        beside = self.beside[side]
        wanted = []
        for u in row:
            near = beside[u]
            wanted.append(sum([v.x + apart for v, apart in near]) / len(near) if near else u.x)
        for u, x in zip(row, spread(row, wanted, [1.0] * len(row)), strict=True):
            u.x = x

    def cost(self) -> float:
        """The length of all wires, sideways, and a price for operands in the wrong order."""
        self.pack()
        far = max((abs(u.x) for u in self.units.values()), default=0.0) + 40
        spans: dict[tuple[int, Name], list[float]] = {}
        for hop in self.once:
            for end in (hop.a, hop.b):
                x = end.unit.x + end.offset if end.unit is not None else -far
                spans.setdefault((hop.channel, end.net), []).append(x)
        total = sum(max(xs) - min(xs) for xs in spans.values())
        for net in self.nets:
            if net.right and net.source is not None and net.source not in self.rail:
                total += 1.5 * (far - self.units[net.source].x)
        return total + 60 * self.crossings() + self.disorder()

    def crossings(self) -> int:
        """How often two wires of a channel must cross: pairs of hops that change sides."""
        channels: dict[int, dict[tuple[float, float, Name], None]] = {}
        for hop in self.once:
            a, b = hop.a, hop.b
            if a.unit is not None and b.unit is not None:
                low, high = a.unit.x + a.offset, b.unit.x + b.offset
                if a.edge == "bottom":
                    low, high = high, low
                channels.setdefault(hop.channel, {})[low, high, a.net] = None
        return sum(
            m != n and (a - c) * (b - d) < 0
            for wires in channels.values()
            for (a, b, m), (c, d, n) in itertools.combinations(wires, 2)
        )

    def disorder(self) -> float:
        """A price for ``a - b`` drawn with b at the left, a low one for any change of order."""
        price = 0.0
        for row in self.rows.values():
            solid = [u for u in row if not u.thin]
            for a, b in itertools.combinations(solid, 2):
                if a.order > b.order:
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
            places = {u: middle_of(self.neighbours[u.name]) for u in others}
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

    def work(self) -> int:
        """How long one judgement of an order takes, about, in hops looked at."""
        channels: dict[int, int] = {}
        for hops in self.hops.values():
            for hop in hops:
                channels[hop.channel] = channels.get(hop.channel, 0) + 1
        return sum(n + n * n // 8 for n in channels.values()) + 2 * len(self.units) + 1

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
                    row.sort(key=lambda u: (means[u.name], u.order))
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


def swaps(rows: list[list[Unit]]) -> Iterator[tuple[list[Unit], int, int]]:
    """Pairs to be swapped: all of a short tier, neighbours of a long one."""
    for row in rows:
        places = range(len(row))
        pairs = itertools.combinations(places, 2) if len(row) <= 9 else itertools.pairwise(places)
        for i, j in pairs:
            yield row, i, j
