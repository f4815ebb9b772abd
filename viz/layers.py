"""A layered arrangement: units in tiers from below upwards, wires in the channels between.

The layout of Sugiyama et al. (1981) for the small graphs that a time step is made of: tiers by
longest paths, an order within each tier that keeps wires short, positions by least squares,
and wires that run straight up or turn twice, each net on a track of its own. One tier may be a
rail: the highway along which a state runs from left to right.

``routes`` takes the wires from tier to tier, ``order`` and ``positions`` place the units, and
``tracks`` the wires. All lengths are in points, y grows upwards, all results are whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

from .order import Order
from .positions import Positions
from .routes import Routes
from .tracks import Channels
from .units import Arrangement, Name, Net, Unit


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
    routes = Routes(units, list(nets), rail or [], rail_net, optional, side_entries or {})
    order = Order(routes)
    order.improve_order()
    order.turn_pills()
    positions = Positions(routes)
    positions.place()
    positions.settle_exits()
    positions.spread_pins()
    return Channels(routes, margin).result()


def assign_tiers(
    names: list[Name], inputs: dict[Name, list[tuple[Name, int]]], base: dict[Name, int]
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
