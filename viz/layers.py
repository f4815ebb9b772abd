"""A layered arrangement: units in tiers from below upwards, wires in the channels between.

The layout of Sugiyama et al. (1981) for the small graphs that a time step is made of: tiers by
longest paths, an order within each tier that keeps wires short, positions by least squares,
and wires that run straight up or turn twice, each net on a track of its own. One tier may be a
rail: the highway along which a state runs from left to right.

``routes`` takes the wires from tier to tier, ``order`` and ``positions`` place the units, and
``tracks`` the wires. All lengths are in points, y grows upwards, all results are whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .order import Order
from .positions import Positions
from .routes import Routes
from .tracks import Channels
from .units import Arrangement, Name, Net, Rail, Unit


def arrange(
    units: Iterable[Unit],
    nets: list[Net],
    rail: Rail | None = None,
    running: dict[Name, Name] | None = None,
    margin: int = 10,
) -> Arrangement:
    """Place units and route nets.

    Args:
        units: With their tiers; see ``assign_tiers``.
        nets: What connects them.
        rail: The highway, all of whose units are of one tier.
        running: Net -> a unit, alone in its tier, that it enters straight from the left.
        margin: Free space above and below the tracks of a channel.
    """
    routes = Routes(units, nets, rail, running or {})
    order = Order(routes)
    order.improve_order()
    order.turn_pills()
    positions = Positions(routes)
    positions.place()
    positions.settle_exits()
    positions.spread_pins()
    return Channels(routes, margin).result()


def assign_tiers(
    names: list[Name], inputs: Mapping[Name, Iterable[Name]], base: Mapping[Name, int]
) -> dict[Name, int]:
    """Tiers by longest paths.

    Args:
        names: The units in the order of execution.
        inputs: Unit -> those that it reads from; of others than ``names`` nothing is known.
        base: The lowest tier for a unit.

    A circle, which only the union of unlike steps can have, is cut at the unit that comes
    first in the order.
    """
    tiers = {name: base.get(name, 0) for name in names}
    order = {name: i for i, name in enumerate(names)}
    for _ in range(len(names)):
        changed = False
        for name in names:
            for other in inputs.get(name, ()):
                before = other in order and order[other] < order[name]
                if before and tiers[other] >= tiers[name]:
                    tiers[name] = tiers[other] + 1
                    changed = True
        if not changed:
            break
    return tiers
