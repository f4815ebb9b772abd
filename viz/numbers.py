"""The numbers on a picture: values as text or as coloured strips, gradients and their shares.

A value of a few numbers is written out, one of some dozens is a strip of colours, and a large
one is summed up. The gradient of a parameter is the sum of what its uses give: each step has a
share in it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..autograd import Record, Tensor, backpropagate
from .graph import JOIN, Edge, Node, View
from .look import GRADIENT
from .structure import Place, is_parameter

MOST_NUMBERS = 6  # of a value that is written out
STRIP = (8, 24)  # rows and columns of a strip, at most
MOST_SHARES = 24  # columns whose shares in a gradient can be compared

Shares: TypeAlias = dict[Tensor, dict[tuple[int, int] | None, NDArray[Any]]]


def short(value: Any, digits: int = 3) -> str:
    """A number in a few digits: 0.0312, 4.1e−07."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value)).replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def magnitude(value: float) -> str:
    """A norm in three digits: 0.0312, 4.1e−07."""
    return f"{value:.2e}".replace("-", "−") if value and not 1e-3 <= value < 1e4 else f"{value:.3g}"


def is_strip(array: NDArray[Any]) -> bool:
    """Whether an array is shown as a strip of colours: too large for text, and not too large."""
    if array.size <= MOST_NUMBERS or array.ndim == 0:
        return False
    return array.shape[-1] <= STRIP[1] and array.size // array.shape[-1] <= STRIP[0]


def value_text(array: NDArray[Any]) -> str:
    """A few values as text, a large array summed up, or nothing for a strip."""
    if array.size == 0 or is_strip(array):
        return ""
    if array.size <= MOST_NUMBERS:
        digits = 3 if array.size <= 2 else 2
        shown = " ".join(short(v, digits) for v in array.ravel().tolist())
        return shown if array.ndim == 0 else f"[{shown}]"
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    low, high = (short(v) for v in (array.min(), array.max()))
    if array.dtype.kind != "f" or not finite.size:
        return f"{low} … {high}"
    values = finite.astype(float)
    return f"{short(values.mean())} ± {short(values.std())}, {low} … {high}"


def largest(array: NDArray[Any]) -> float:
    """The largest finite number of an array, without its sign."""
    numbers = np.asarray(array, dtype=float)
    finite = np.abs(numbers[np.isfinite(numbers)])
    return float(finite.max()) if finite.size else 0.0


def strip(array: NDArray[Any], most: float | None = None) -> list[list[float]]:
    """The numbers of a strip row by row, from -1 to 1: ``most``, by default its own largest."""
    rows = np.atleast_2d(array.reshape(-1, array.shape[-1])).astype(float)
    most = largest(rows) if most is None else most
    scaled: list[list[float]] = np.clip(rows / most if most else rows, -1, 1).tolist()
    return scaled


class Norms:
    """The norms of gradients, and how large each is beside the others, on a log scale.

    Args:
        gradients: Tensor -> gradient; None for none.
        peers: In a folded picture: Tensor -> what it stands for, the values of all steps.
        decades: The powers of ten between which the scale lies; None for one that fits.
    """

    def __init__(
        self,
        gradients: Mapping[Tensor, Any] | None,
        peers: Mapping[Tensor, Sequence[Tensor]] | None = None,
        decades: tuple[float, float] | None = None,
    ) -> None:
        self.gradients = gradients
        self.peers = peers or {}
        self.known: dict[Tensor, float | None] = {}
        self.scale: list[float] = []  # the lower bound of each grade
        self.decades = decades

    def norm(self, x: Tensor) -> float | None:
        """The norm of a Tensor's gradient, the largest of all steps', or None if it has none."""
        if x not in self.peers:
            return self.own(x)
        norms = (self.own(y) for y in self.peers[x])
        return max((norm for norm in norms if norm is not None), default=None)

    def own(self, x: Tensor) -> float | None:
        """The norm of a Tensor's own gradient, or None if it has none."""
        if x not in self.known:
            g = self.data(x)
            self.known[x] = None if g is None else norm_of(g)
        return self.known[x]

    def data(self, x: Tensor) -> Any:
        """A Tensor's own gradient as an array, or None if it has none."""
        g = self.gradients.get(x) if self.gradients is not None else None
        return g.data if isinstance(g, Tensor) else g

    def measure(self, edges: list[Edge], flows: Iterable[float] = ()) -> None:
        """Set the scale by the norms of what is shown, and of what flows along its edges."""
        if self.gradients is None:
            return
        if self.decades is not None:
            low, high = self.decades
            width = (high - low) / len(GRADIENT)
            self.scale = [10 ** (low + width * n) for n in range(len(GRADIENT))]
            return
        norms = [n for e in edges if e.kind != "side" and (n := self.norm(e.tensor)) is not None]
        finite = [n for n in (*norms, *flows) if n > 0 and math.isfinite(n)]
        if not finite:
            return
        low, high = min(finite), max(finite)
        if high < 1.01 * low:
            self.scale = [low]
            return
        steps = len(GRADIENT)
        self.scale = [low * (high / low) ** (n / steps) for n in range(steps)]

    def grade(self, x: Tensor) -> int:
        """From 0 for the smallest norms to 4 for the largest, -1 without a gradient."""
        norm = self.norm(x)
        return -1 if norm is None else self.grade_of(norm)

    def grade_of(self, norm: float) -> int:
        """From 0 for the smallest norms to 4 for the largest."""
        return max(sum(norm >= bound for bound in self.scale) - 1, 0)


class Flows:
    """How much of a gradient comes back along each edge.

    A value that is used in several places has from each a part of its gradient: that which the
    records at an edge's head pass on, from the gradients of their results.

    Args:
        view: What is shown.
        norms: The gradients.
    """

    def __init__(self, view: View, norms: Norms) -> None:
        self.s, self.generic, self.norms = view.structure, view.generic, norms
        self.hidden: dict[Node, list[int]] = {v: [] for v in view.dots if v is not None}
        for i, place in enumerate(self.s.where):
            dots = view.dots[place[0]] if place is not None else None
            if dots is not None and place is not None and place[1] not in view.shown[place[0]]:
                self.hidden[dots].append(i)
        self.origins: dict[Node, set[Hashable]] = {}
        self.from_head: dict[Node, dict[Tensor, float]] = {}
        self.from_sequence: dict[Tensor, dict[Tensor, float]] = {}

    def norm(self, e: Edge) -> float | None:
        """The norm of what flows back along an edge, or None if nothing does.

        Of a state it is that of its whole gradient, ‖∂L/∂h_t‖, if any of it comes this way.
        """
        total = self.norms.norm(e.tensor)
        if total is None:
            return None
        if e.tensor is e.tail.tensor and (part := self.of_column(e.tail)) is not None:
            return part or None
        parts = self.parts(e)
        if parts is None:
            return total
        flow = math.hypot(*parts)
        return None if flow == 0 else flow if e.slot is None else total

    def parts(self, e: Edge) -> list[float] | None:
        """The norms of what flows along an edge, one for each value that it stands for.

        None where no record at the head tells it.
        """
        passed_on = self.passed_on(e.head)
        gathers = self.generic and e.head.place is None and e.tail.place is not None
        if (gathers or e.tail.kind == "dots") and e.slot is None:
            used = [x for x in passed_on if self.is_from(e.tail, x)]
        else:
            used = [e.tensor] if e.tensor in passed_on else []
        if used:
            return [passed_on[x] for x in used]
        j = self.s.made.get(e.tensor)
        if j is None or self.s.where[j] is not None:
            return None
        # An output y_t stands for the sequence that is joined from all of them.
        taken = self.taken_apart(e.tensor)
        return [n for x, n in taken.items() if self.is_from(e.tail, x)] or None

    def of_column(self, v: Node) -> float | None:
        """The norm of its column's part of the gradient, of a node that stands for a part.

        What merges two directions at a step shows the record that merges their sequences. In a
        folded picture it is the largest of all columns. None for another node.
        """
        joins = isinstance(v.key, tuple) and v.key[:1] == (JOIN,)
        if not joins or v.tensor is None or v.place is None:
            return None
        gradient = self.norms.data(v.tensor)
        stack = self.s.records[self.s.made[self.s.records[v.records[0]].inputs[0]]]
        steps = [(self.s.where[self.s.made[x]] or v.place)[1] for x in stack.inputs]
        axis = int(stack.params.get("axis", 0) or 0)
        parts = [
            norm_of(np.take(gradient, position, axis))
            for position, t in enumerate(steps)
            if (self.generic or t == v.place[1]) and gradient is not None
        ]
        return max(parts, default=None)

    def members(self, v: Node) -> Iterable[int]:
        """The positions of the records that a node stands for."""
        return self.hidden.get(v, v.records)

    def identity(self, i: int) -> Hashable:
        """A record; in a folded picture the same for all steps."""
        place = self.s.where[i]
        return (place[0], self.s.key[i]) if self.generic and place is not None else i

    def is_from(self, v: Node, x: Tensor) -> bool:
        """Whether a node stands for the record that made a value."""
        if v not in self.origins:
            self.origins[v] = {self.identity(i) for i in self.members(v)}
        return x in self.s.made and self.identity(self.s.made[x]) in self.origins[v]

    def passed_on(self, head: Node) -> dict[Tensor, float]:
        """What the records of a node add to the gradients of their operands: the norms."""
        if head not in self.from_head:
            sums: dict[Tensor, Any] = {}
            records = [self.s.records[i] for i in self.members(head)]
            for record in records:
                if self.norms.own(record.output):
                    shares = record.operand_gradients(self.norms.data(record.output))
                    for x, share in shares.items():
                        sums[x] = sums[x] + share if x in sums else share
            own = {record.output for record in records}
            norms = {x: 0.0 for record in records for x in record.inputs}
            norms |= {x: norm_of(share) for x, share in sums.items() if x not in own}
            self.from_head[head] = norms
        return self.from_head[head]

    def taken_apart(self, x: Tensor) -> dict[Tensor, float]:
        """What a sequence's gradient gives to each value of a step that it is joined from."""
        if x not in self.from_sequence:
            found: dict[Tensor, Any] = {}
            places = zip(self.s.records, self.s.where, strict=True)
            inside = [record.output for record, place in places if place is not None]
            if self.norms.own(x):
                root = (x, self.norms.data(x))
                backpropagate([root], found.__setitem__, every=True, stop=inside)
            self.from_sequence[x] = {y: norm_of(share) for y, share in found.items()}
        return self.from_sequence[x]


def norm_of(array: Any) -> float:
    """The norm of an array, 0 only where all of it is."""
    a = np.asarray(array, dtype=float)
    norm = float(np.sqrt((a * a).sum()))
    if norm == 0 and a.any():  # the squares of what has vanished cannot be told from 0
        most = np.abs(a).max()
        norm = float(most * np.sqrt(((a / most) ** 2).sum()))
    return norm


def shares_by_column(view: View, gradients: Mapping[Tensor, Any]) -> Shares:
    """Each column's share in the gradient of each parameter: together they are the gradient.

    Args:
        view: What is shown. Steps left out are one column, (loop, 0); a folded picture stands
            for all steps, and each has its share.
        gradients: What ``tape.gradients()`` returned.

    Returns:
        Parameter -> column (loop, step), or None for uses outside of time -> share. Nothing
        at all if there are more columns than can be compared.
    """
    s = view.structure
    shown = [set(steps) for steps in view.shown]
    if view.generic:
        shown = [set(loop.steps) for loop in s.loops]
    if sum(map(len, shown)) > MOST_SHARES:
        return {}
    columns: list[tuple[Place | None, Record]] = []
    for place, record in zip(s.where, s.records, strict=True):
        if place is None or place[1] in shown[place[0]]:
            columns.append((place, record))
        elif view.dots[place[0]] is not None:  # else one step is in detail, and no other shown
            columns.append(((place[0], 0), record))
    return shares_of(columns, gradients)


def shares_of(
    columns: Iterable[tuple[Place | None, Record]], gradients: Mapping[Tensor, Any]
) -> Shares:
    """What the records of each column give to the gradients of their parameters."""
    out: Shares = {}
    for column, record in columns:
        g = gradients.get(record.output)
        if g is None or not any(map(is_parameter, record.inputs)):
            continue
        shares = record.operand_gradients(g.data if isinstance(g, Tensor) else g)
        for x in filter(is_parameter, shares):
            so_far = out.setdefault(x, {})
            so_far[column] = so_far[column] + shares[x] if column in so_far else shares[x].copy()
    return out
