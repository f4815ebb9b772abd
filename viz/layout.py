"""Where everything stands: columns of time from left to right, a row for each layer.

One step of each loop is laid out once (``template``), and its positions are repeated in every
column, so that the insides of all columns are placed alike. What lies outside of time stands
in zones below, between and above the rows; what feeds or gathers many columns is a bar as wide
as they are. The parts follow each other: ``rows`` says in which row and zone everything stands,
``grid`` lays the columns out, ``zones`` what is outside of them and all heights; then ``nodes``,
``courses`` (the wires), ``buses`` (the bars that wires of others cross) and ``captions`` write the
scene.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from ..autograd import Tensor
from .buses import open_bars
from .captions import Captions
from .courses import Courses
from .graph import View
from .grid import Grid
from .nodes import Nodes
from .numbers import Norms, shares_by_column
from .rows import Rows
from .scene import BESIDE_TWO, BESIDE_WIRE, Measure, Scene
from .weights import Weights, room_between
from .words import Words
from .zones import Zones

__all__ = ["lay_out"]


def lay_out(
    view: View,
    *,
    values: bool = False,
    gradients: Mapping[Tensor, Any] | None = None,
    backward: bool = False,
    title: str = "",
    caption: str = "",
    words: Words | None = None,
    legend: bool = True,
    scale: tuple[float, float] | None = None,
    weights: bool | None = None,
) -> Scene:
    """Place a view.

    Args:
        view: What to show.
        values: Whether shapes and small values stand beside ops.
        gradients: Tensor -> gradient, for the norms beside the states; None for none.
        backward: Whether the gradients' ways back are drawn.
        title, caption: Text above and below the picture.
        words: What stands below and above the columns.
        legend: Whether the parameters and the gradients' scale are shown.
        scale: The decades of that scale, as powers of ten; None for one that fits.
        weights: Whether weights stand beside the arrows into cells; None for those of a cell with
            one weight for each arrow.
    """
    known = gradients is not None
    norms = Norms(gradients, same_in_all_steps(view) if view.generic else None, scale)
    beside = BESIDE_TWO if backward and known else BESIDE_WIRE
    out = Scene(view, beside=beside)
    if gradients is not None:
        out.shares = shares_by_column(view, gradients)
    measure = Measure(view.structure, values, known, beside)
    measure.scale_strips(view.nodes)
    named = weights is not False and not (values or known)
    grid = Grid(Rows(view), measure, room_between(view, bool(weights)) if named else 0)
    nodes = Nodes(Zones(grid), out)
    Courses(nodes, norms, backward and known)
    open_bars(nodes)
    if named:
        Weights(nodes, several=bool(weights))
    Captions(
        nodes,
        norms,
        title=title,
        caption=caption,
        words=words or Words(),
        legend=legend,
        missing_gradients=backward and not known,
    )
    out.outline(10)
    return out


def same_in_all_steps(view: View) -> dict[Tensor, list[Tensor]]:
    """In a folded picture what a value stands for: those at its place in all steps."""
    s = view.structure
    places: dict[Hashable, list[Tensor]] = {}
    for record, place, key in zip(s.records, s.where, s.key, strict=True):
        if place is not None:
            places.setdefault((place[0], key), []).append(record.output)
    return {x: found for found in places.values() for x in found}
