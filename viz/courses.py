"""The course of every wire, the names of states beside them, and the gradients' ways back."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

import numpy as np

from ..autograd import Tensor
from .graph import Curve, Edge, Node
from .grid import BEFORE
from .look import GRADIENT, SMALL, TRACK, shorten
from .nodes import Nodes
from .notation import with_low_digits
from .numbers import Flows, Norms, magnitude, norm_of, value_text
from .scene import SceneText, name_width
from .template import below_class
from .units import Name, Path, Point, shifted, simplify

WEIGHTS = ("copy", "parameter")  # kinds of nodes
LINE = SMALL + 2  # from one line beside a state to the next


class Courses:
    """Puts wires into a scene.

    Args:
        nodes: Where everything is that the wires connect.
        norms: The gradients.
        backward: Whether their ways back are drawn.
    """

    def __init__(self, nodes: Nodes, norms: Norms, backward: bool) -> None:
        self.rows, self.grid, self.zones, self.nodes = nodes.rows, nodes.grid, nodes.zones, nodes
        self.view, self.loops, self.out = nodes.view, nodes.loops, nodes.out
        self.norms, self.backward = norms, backward
        self.curves: dict[Hashable, Curve] = {}  # by what they connect
        self.inside = {
            loop: {
                where: Curve(shifted(path, 0, self.zones.row_y[loop]))
                for where, path in template.block.paths.items()
            }
            for loop, template in self.grid.templates.items()
        }
        self.emit_edges()

    def emit_edges(self) -> None:
        """The course of every edge; names of states; the gradients' ways back."""
        flows = self.find_flows()
        self.grade_nodes(flows)
        labelled: set[Hashable] = set()
        back: list[Edge] = []
        for e in self.view.edges:
            e.state = e.slot.number if e.slot is not None else -1
            e.curve, e.dx = self.course(e)
            if e.state >= 0 and not self.backward:
                e.grade = self.norms.grade(e.tensor)
            if e.slot is not None and e.slot.name:
                self.name_state(e, labelled)
            if self.backward and flows.get(e):
                back.append(self.way_back(e, flows[e]))
        self.out.edges += [*self.view.edges, *back]

    def find_flows(self) -> dict[Edge, float]:
        """How much of a gradient comes back along each edge; sets the scale of all."""
        flows: dict[Edge, float] = {}
        known = self.flows = Flows(self.view, self.norms)
        for e in self.view.edges if self.norms.gradients is not None else ():
            wanted = e.tail.kind in WEIGHTS if e.kind == "side" else self.backward
            if wanted and self.flows_back(e) and (flow := known.norm(e)) is not None:
                flows[e] = max(flow, self.largest_share(e)) if e.kind == "side" else flow
        shares = [norm_of(share) for parts in self.out.shares.values() for share in parts.values()]
        self.norms.measure(self.view.edges, [*flows.values(), *shares])
        return flows

    def grade_nodes(self, flows: dict[Edge, float]) -> None:
        """Fill nodes by their gradients, and weights by what this use gives to theirs."""
        if self.norms.gradients is None:
            return
        for v in self.out.nodes:
            if v.kind not in ("op", "gate") or v.tensor is None or v in self.rows.bars:
                continue
            part = self.flows.of_column(v)
            norm = self.norms.norm(v.tensor) if part is None else part
            if norm:  # where it is 0 throughout nothing is to be seen
                self.out.grades[v.id] = self.norms.grade_of(norm)
        for e, flow in flows.items():
            if e.kind == "side" and flow:
                self.out.grades[e.tail.id] = self.norms.grade_of(flow)

    def largest_share(self, e: Edge) -> float:
        """In a folded picture the largest share of any step in a weight's gradient."""
        shares = self.out.shares.get(e.tensor, {}) if self.view.generic else {}
        return max(map(norm_of, shares.values()), default=0.0)

    def flows_back(self, e: Edge) -> bool:
        """Whether a gradient may come along an edge: not past a cut, nor from behind the end."""
        return "cut" not in (e.tail.kind, e.head.kind) and e.head.kind != "end"

    def way_back(self, edge: Edge, flow: float) -> Edge:
        """The same wire the other way round, a little beside: how the gradient flows."""
        curve = self.cached(
            ("back", edge.curve), lambda: [(x + 4, y - 4) for x, y in reversed(edge.curve.points)]
        )
        curve.free = edge.curve.free
        grade = self.norms.grade_of(flow)
        return replace(edge, curve=curve, label="", state=-1, grade=grade, back=True)

    def name_state(self, e: Edge, labelled: set[Hashable]) -> None:
        """Name a state, once, above its wire in the gap between two columns."""
        slot = e.origin or e.slot
        assert slot is not None
        loop, state = slot.loop, slot.number
        delayed = e.tail.kind == "delay"
        if e.tail.kind == "cut":
            return
        if e.tail.kind == "state" or e.head.kind == "end" or e.tail.place is None:
            beside = e.tail if e.tail.kind == "state" else e.head
            if beside.kind in ("state", "end") and (beside, "norm") not in labelled:
                labelled.add((beside, "norm"))
                self.show_norm_beside(e.tensor, beside, loop)
            return
        name = (e.tail.place, loop, state, delayed)
        if e.tail.place[0] != loop or name in labelled:
            return
        labelled.add(name)
        t = e.tail.place[1]
        x1, x2 = self.grid.column_span[self.rows.block[loop], t]
        y = self.zones.level(loop, state)
        half = (self.grid.way_back_x if self.view.generic else self.grid.gap) // 2
        x = x1 - half if self.loops[loop].reverse != delayed else x2 + half
        text = f"{slot.name}_t" if self.view.generic else e.tensor.name or f"{slot.name}_{t}"
        if delayed:
            text += "+1" if self.loops[loop].reverse else "−1"
        if e.tail.kind == "dots" and not e.tensor.name:
            text = slot.name or ""
        text = self.view.structure.marks[loop].on(text)
        x = before_cut(e, text, x)
        if not self.view.generic:
            ident = f"norm_{e.tail.id}_{loop}_{state}"
            self.show_norm(e.tensor, text, ident, (x, y - 14))
        # Where another state crosses right above, the name stands below its wire.
        others = self.grid.templates[loop].levels.values()
        crowded = any(0 < other + self.zones.row_y[loop] - y < 18 for other in others)
        e.label, e.label_at = text, (x, y - 11 if crowded else y + 11)

    def show_norm_beside(self, x: Tensor, node: Node, loop: int) -> None:
        """The norm and value below a first or last state; they reach away from the columns."""
        sign = 1 if (node.kind == "end") != self.loops[loop].reverse else -1
        at = (node.x - sign * node.half, node.y - 18)
        anchor = "left" if sign > 0 else "right"
        self.show_norm(x, node.label, f"norm_{node.id}", at, anchor)
        value = value_text(np.asarray(x.data)) if self.grid.measure.values else ""
        if value:
            y = node.y - 18 - (2 * LINE if self.norms.norm(x) is not None else 0)
            self.out.texts.append(SceneText(f"value_{node.id}", value, at[0], y, SMALL, anchor))

    def show_norm(
        self, x: Tensor, label: str, name: str, at: tuple[int, int], anchor: str = "middle"
    ) -> None:
        """‖∂L/∂h_t‖ beside a state, in two lines, if there is a gradient."""
        norm = self.norms.norm(x)
        if norm is not None:
            lines = [f"‖∂L/∂{shorten(with_low_digits(label), 12)}‖", f"= {magnitude(norm)}"]
            colour = GRADIENT[max(self.norms.grade(x), 3)]  # paler letters could not be read
            for n, text in enumerate(lines):
                here = (f"{name}_value" if n else name, text, at[0], at[1] - LINE * n)
                self.out.texts.append(SceneText(*here, SMALL, anchor, colour, tensor=x))

    def course(self, e: Edge) -> tuple[Curve, int]:
        """An edge's wire, and how far to the right it is moved."""
        if e.kind == "side":
            return self.nodes.side_curves[e.tail]
        if e.tail.kind == "delay" or e.head.kind == "delay":
            return self.delayed(e), 0
        place = e.tail.place
        if place is not None and place == e.head.place:
            keys = self.grid.templates[place[0]].keys
            if e.tail in keys and e.head in keys:
                return self.inner(e, keys[e.tail], keys[e.head])
        if e.slot is not None:
            found = self.carried(e)
            if found is not None:
                return found
        return self.across(e)

    def cached(self, name: Hashable, make: Callable[[], Path]) -> Curve:
        """One curve for all columns in which a wire is repeated."""
        if name not in self.curves:
            self.curves[name] = Curve(make())
        return self.curves[name]

    def inner(self, e: Edge, tail: Name, head: Name) -> tuple[Curve, int]:
        """A wire inside of a step; one along the highway is a state's."""
        place = e.tail.place
        assert place is not None
        template = self.grid.templates[place[0]]
        if tail in template.rail and head in template.rail and e.slot is None:
            e.state = template.rail_state
        curve = self.inside[place[0]].get((("v", tail), head, e.operand))
        return (curve, self.grid.origin[place]) if curve is not None else (self.freely(e), 0)

    def carried(self, e: Edge) -> tuple[Curve, int] | None:
        """The wire of a state: out of a step or a node beside the columns, and into one."""
        assert e.slot is not None
        loop, state = e.slot.loop, e.slot.number
        y, row = self.zones.level(loop, state), self.zones.row_y[loop]
        template = self.grid.templates[loop]
        a, b = e.tail, e.head
        before = after = None
        start = finish = 0
        if a in template.keys and a.place is not None:
            before = template.leave.get((state, template.keys[a]))
            start = self.grid.origin[a.place]
        if b in template.keys and b.place is not None:
            after = template.state_in(state, template.keys[b], e.operand)
            finish = self.grid.origin[b.place]
        if before is not None and after is not None:
            first, second, shift = before, after, finish - start
            name = ("carry", loop, state, template.keys[a], template.keys[b], e.operand, shift)

            def make() -> Path:
                return simplify([*shifted(first, 0, row), *shifted(second, shift, row)])

            return self.cached(name, make), start
        entry = shifted(after, finish, row) if after is not None else []
        if before is not None and b.half:
            points = shifted(before, start, row)
        elif (entry or b.kind == "cut") and a.kind in ("state", "dots", "cut") and not e.origin:
            points = [facing(a, entry[0][0] if entry else b.x, y)]
        elif entry:
            points = self.towards(e)
        else:
            return None
        return Curve(simplify([*points, *(entry or [facing(b, points[-1][0], y)])])), 0

    def towards(self, e: Edge) -> Path:
        """The first part of a state's wire that comes from another loop, or from outside."""
        assert e.slot is not None
        assert e.head.place is not None
        loop, place = e.slot.loop, e.tail.place
        y = self.zones.level(loop, e.slot.number)
        if place is None:
            points = self.zones.leaving(e)
            return [*points, (points[-1][0], y)]
        x1, x2 = self.grid.column_span[self.rows.block[loop], e.head.place[1]]
        aside = BEFORE + TRACK * e.slot.number  # states do not share the way up
        gate = x2 + aside if self.loops[loop].reverse else x1 - aside
        if e.tail.kind == "dots" and e.origin is not None:
            points = [facing(e.tail, gate, self.zones.level(place[0], e.origin.number))]
            return [*points, (gate, points[-1][1]), (gate, y)]
        template = self.grid.templates[place[0]]
        key = template.keys[e.tail]
        path = template.leave.get((e.origin.number, key)) if e.origin is not None else None
        if path is None:  # over the top of its step
            path = [*template.rise[key], (template.rise[key][-1][0], template.height + 5)]
        points = shifted(path, self.grid.origin[place], self.zones.row_y[place[0]])
        return [*points, (gate, points[-1][1]), (gate, y)]

    def delayed(self, e: Edge) -> Curve:
        """The way of a state from the end of the one step shown back to its beginning."""
        assert e.slot is not None
        leaves = e.head.kind == "delay"
        node = e.head if leaves else e.tail
        place = node.place
        assert place is not None
        loop, state = e.slot.loop, e.slot.number
        template, row = self.grid.templates[loop], self.zones.row_y[loop]
        x1, x2 = self.grid.column_span[self.rows.block[loop], place[1]]
        out = self.grid.way_back_x + 14 * self.rows.delays(loop).index(node)
        turn = x2 + out if leaves != self.loops[loop].reverse else x1 - out
        way = [(turn, self.zones.level(loop, state)), (turn, node.y), facing(node, turn, node.y)]
        if leaves:
            path = template.leave[state, template.keys[e.tail]]
            return Curve(simplify([*shifted(path, self.grid.origin[place], row), *way]))
        entry = template.state_in(state, template.keys[e.head], e.operand)
        assert entry is not None
        return Curve(simplify([*reversed(way), *shifted(entry, self.grid.origin[place], row)]))

    def across(self, e: Edge) -> tuple[Curve, int]:
        """A wire between a column and the outside, between rows, or outside of time."""
        a, b = e.tail, e.head
        if "dots" in (a.kind, b.kind):
            return Curve(self.dotted(e)), 0
        if a.place and b.place and (a.place[0] == b.place[0] or a.place[1] != b.place[1]):
            return self.freely(e), 0
        place = a.place or b.place
        x0 = self.grid.origin[place] if place else 0
        ends = (a.key if a.place else a.id, b.key if b.place else b.id)
        name = ("across", place and place[0], b.place and b.place[0], *ends, e.operand)
        curve = self.cached(name, lambda: shifted(self.way_up(e), -x0, 0))
        return (curve, x0) if curve.points else (self.freely(e), 0)

    def way_up(self, e: Edge) -> Path:
        """A wire within a zone, or from a zone or row to one above it.

        Empty for a wire that was left out of a very large diagram.
        """
        a, b = e.tail, e.head
        points: Path = []
        if a.place is not None:
            template = self.grid.templates[a.place[0]]
            rise = template.rise.get(template.keys[a], [(0, 0)])
            points += shifted(rise, self.grid.origin[a.place], self.zones.row_y[a.place[0]])
        elif a in self.rows.bars and b.place is not None:
            points.append((self.grid.outer_x(e), a.y + a.high))
        elif b.place is not None or self.rows.zone[a] != self.rows.zone[b]:
            points += self.zones.leaving(e)
        for z, x1, x2, early in self.zones.crossings(e):
            turn = (z, self.grid.ways[e].name, early)
            if turn in self.zones.jog_y:
                y = self.zones.jog_y[turn]
                if aside := self.zones.aside.get(turn):
                    low = self.zones.aside_y[z, early]
                    points += [(x1, low), (x1 + aside, low)]
                    x1 += aside
                points += [(x1, y), (x2, y)]
        if b.place is not None:
            template = self.grid.templates[b.place[0]]
            where = (("below", below_class(e)), template.keys[b], e.operand)
            path = template.block.paths[where]
            points += shifted(path, self.grid.origin[b.place], self.zones.row_y[b.place[0]])
        elif b in self.rows.bars and a.place is not None:
            points.append((points[-1][0], b.y - b.high))
        else:
            z = self.rows.zone[b]
            path = self.zones.zone_block[z].paths.get((("z", a), b, e.operand), [])
            points = [*points, *shifted(path, 0, self.zones.zone_y[z])] if path else []
        return simplify(points)

    def dotted(self, e: Edge) -> Path:
        """A wire to or from what stands for steps left out."""
        dots, end = (e.tail, e.head) if e.tail.kind == "dots" else (e.head, e.tail)
        sign = 1 if end.y > dots.y else -1
        x = dots.x if abs(end.x - dots.x) < end.half else end.x
        points = [(dots.x, dots.y + sign * dots.high), (x, end.y - sign * end.high)]
        return points if dots is e.tail else points[::-1]

    def freely(self, e: Edge) -> Curve:
        """A smooth line straight from one node to another, where no channel leads."""
        a, b = e.tail, e.head
        if b.y > a.y + 20:
            return Curve([(a.x, a.y + a.high), (b.x, b.y - b.high)], free=True)
        sign = 1 if b.x >= a.x else -1
        return Curve([(a.x + sign * a.half, a.y), (b.x - sign * b.half, b.y)], free=True)


def facing(v: Node, x: int, y: int) -> Point:
    """The point at the side of a node that faces another x."""
    return v.x + (v.half if x > v.x else -v.half), y


def before_cut(e: Edge, text: str, x: int) -> int:
    """Where the name of a state stands at x, or beside the cut that its wire leads to."""
    if e.head.kind != "cut":
        return x
    reach = e.head.half + 2 + name_width(text) // 2
    return max(x, e.head.x + reach) if e.tail.x > e.head.x else min(x, e.head.x - reach)
