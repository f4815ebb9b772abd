"""The course of every wire, the names of states beside them, and the gradients' ways back."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

import numpy as np

from ..autograd import Tensor
from .graph import Curve, Edge, Node
from .grid import Grid
from .look import GRADIENT, SMALL, shorten
from .nodes import Nodes
from .notation import with_low_digits
from .numbers import Flows, Norms, magnitude, norm_of, value_text
from .rows import Rows
from .scene import SceneText
from .template import Template, below_class
from .units import Path, shifted, simplify
from .zones import Zones

WEIGHTS = ("copy", "parameter")  # kinds of nodes
BEFORE = 14  # how far from a column a state from elsewhere turns into it


class Courses:
    """Puts wires into a scene.

    Args:
        rows, grid, zones: Where everything is.
        nodes: The nodes that the wires connect.
        norms: The gradients.
        backward: Whether their ways back are drawn.
    """

    def __init__(
        self, rows: Rows, grid: Grid, zones: Zones, nodes: Nodes, norms: Norms, backward: bool
    ) -> None:
        self.rows, self.grid, self.zones, self.nodes = rows, grid, zones, nodes
        self.view, self.loops, self.out = rows.view, rows.loops, nodes.out
        self.norms, self.backward = norms, backward
        self.emit_edges()

    def emit_edges(self) -> None:
        """The course of every edge; names of states; the gradients' ways back."""
        flows = self.find_flows()
        self.grade_nodes(flows)
        labelled: set[Hashable] = set()
        back: list[Edge] = []
        for e in self.view.edges:
            e.curve, e.dx = self.course(e)
            e.state = e.slot.number if e.slot is not None else self.rail_state(e)
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

    def rail_state(self, e: Edge) -> int:
        """The state along whose highway an edge inside of a step runs, or -1."""
        place = e.tail.place
        if place is None or place != e.head.place or place[0] not in self.grid.templates:
            return -1
        template = self.grid.templates[place[0]]
        keys, rail = template.keys, template.rail
        if keys.get(e.tail) in rail and keys.get(e.head) in rail:
            return template.rail_state
        return -1

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
            y = node.y - (32 if self.norms.norm(x) is not None else 18)
            self.out.texts.append(SceneText(f"value_{node.id}", value, at[0], y, SMALL, anchor))

    def show_norm(
        self, x: Tensor, label: str, name: str, at: tuple[int, int], anchor: str = "middle"
    ) -> None:
        """‖∂L/∂h_t‖ beside a state, if there is a gradient."""
        norm = self.norms.norm(x)
        if norm is not None:
            text = f"‖∂L/∂{shorten(with_low_digits(label), 12)}‖ = {magnitude(norm)}"
            colour = GRADIENT[max(self.norms.grade(x), 3)]  # paler letters could not be read
            self.out.texts.append(SceneText(name, text, *at, SMALL, anchor, colour, tensor=x))

    def course(self, e: Edge) -> tuple[Curve, int]:
        """An edge's wire, and how far to the right it is moved."""
        if e.kind == "side":
            return self.nodes.side_curves[e.tail]
        if e.tail.kind == "delay" or e.head.kind == "delay":
            return self.delayed(e), 0
        a, b = e.tail.place, e.head.place
        if a is not None and a == b:
            template = self.grid.templates[a[0]]
            if e.tail in template.keys and e.head in template.keys:
                return self.inner(e, template, a)
        if e.slot is not None:
            found = self.carried(e)
            if found is not None:
                return found
        return self.across(e)

    def cached(self, name: Hashable, make: Callable[[], Path]) -> Curve:
        """One curve for all columns in which a wire is repeated."""
        curve = self.nodes.curves.get(name)
        if curve is None:
            curve = self.nodes.curves[name] = Curve(make())
        return curve

    def inner(self, e: Edge, template: Template, place: tuple[int, int]) -> tuple[Curve, int]:
        """A wire inside of a step."""
        loop = place[0]
        tail, head = template.keys[e.tail], template.keys[e.head]

        def make() -> Path:
            path = template.block.paths.get((("v", tail), head, e.operand))
            return shifted(path or [], 0, self.zones.row_y[loop])

        if (("v", tail), head, e.operand) not in template.block.paths:
            return self.freely(e), 0

        return self.cached(("in", loop, tail, head, e.operand), make), self.grid.origin[place]

    def carried(self, e: Edge) -> tuple[Curve, int] | None:
        """The wire of a state, from one column into the next or from or to a state's node."""
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
        if b.kind == "cut" and a.kind in ("state", "dots"):
            side = 1 if b.x > a.x else -1
            return Curve([(a.x + side * a.half, y), (b.x - side * b.half, y)]), 0
        if before is not None and b.half:
            points = shifted(before, start, row)
            side = 1 if b.x > points[-1][0] else -1
            return Curve(simplify([*points, (b.x - side * b.half, y)])), 0
        if after is not None:
            points = shifted(after, finish, row)
            if a.kind in ("state", "dots", "cut"):
                side = 1 if points[0][0] > a.x else -1
                return Curve(simplify([(a.x + side * a.half, y), *points])), 0
            return Curve(simplify([*self.towards(e), *points])), 0
        return None

    def towards(self, e: Edge) -> Path:
        """The first part of a state's wire that comes from another loop, or from outside."""
        assert e.slot is not None
        assert e.head.place is not None
        loop = e.slot.loop
        y = self.zones.level(loop, e.slot.number)
        if e.tail.place is None:
            points = self.zones.leaving(e)
            return [*points, (points[-1][0], y)]
        x1, x2 = self.grid.column_span[self.rows.block[loop], e.head.place[1]]
        gate = x2 + BEFORE if self.loops[loop].reverse else x1 - BEFORE
        if e.origin is not None:
            before = self.grid.templates[e.origin.loop]
            path = before.leave.get((e.origin.number, before.keys[e.tail]))
            if path is not None:
                points = shifted(
                    path, self.grid.origin[e.tail.place], self.zones.row_y[e.origin.loop]
                )
                return [*points, (gate, points[-1][1]), (gate, y)]
        other = e.tail.place[0]
        template = self.grid.templates[other]
        rise = template.rise[template.keys[e.tail]]
        points = shifted(rise, self.grid.origin[e.tail.place], self.zones.row_y[other])
        high = self.zones.row_y[other] + template.height + 5
        return [*points, (points[-1][0], high), (gate, high), (gate, y)]

    def delayed(self, e: Edge) -> Curve:
        """The way of a state from the end of the one step shown back to its beginning."""
        assert e.slot is not None
        node = e.tail if e.tail.kind == "delay" else e.head
        place = node.place
        assert place is not None
        loop, state = e.slot.loop, e.slot.number
        template, row = self.grid.templates[loop], self.zones.row_y[loop]
        x1, x2 = self.grid.column_span[self.rows.block[loop], place[1]]
        out = self.grid.way_back_x + 14 * self.rows.delays(loop).index(node)
        sign = -1 if self.loops[loop].reverse else 1
        far = {1: x2 + out, -1: x1 - out}
        y, x0 = self.zones.level(loop, state), self.grid.origin[place]
        if e.head is node:
            path = shifted(template.leave[state, template.keys[e.tail]], x0, row)
            turn = far[sign]
            stop = node.x + node.half if turn > node.x else node.x - node.half
            return Curve(simplify([*path, (turn, y), (turn, node.y), (stop, node.y)]))
        entry = template.state_in(state, template.keys[e.head], e.operand)
        assert entry is not None
        turn = far[-sign]
        begin = node.x + node.half if turn > node.x else node.x - node.half
        way = [(begin, node.y), (turn, node.y), (turn, y)]
        return Curve(simplify([*way, *shifted(entry, x0, row)]))

    def across(self, e: Edge) -> tuple[Curve, int]:
        """A wire between a column and the outside, between rows, or outside of time."""
        a, b = e.tail, e.head
        if a.place is None and b.place is None:
            path = self.zone_path(e)
            return (Curve(path) if path else self.freely(e)), 0
        if "dots" in (a.kind, b.kind):
            return Curve(self.dotted(e)), 0
        place = a.place or b.place
        assert place is not None
        both = a.place is not None and b.place is not None
        if both and (a.place[0] == b.place[0] or a.place[1] != b.place[1]):  # type: ignore[index]
            return self.freely(e), 0
        x0 = self.grid.origin[place]
        ends = (a.key if a.place else a.id, b.key if b.place else b.id)
        name = ("across", place[0], b.place and b.place[0], *ends, e.operand)
        return self.cached(name, lambda: shifted(self.way_up(e), -x0, 0)), x0

    def way_up(self, e: Edge) -> Path:
        """A wire from a zone or row to one above it."""
        a, b = e.tail, e.head
        points: Path = []
        if a.place is not None:
            template = self.grid.templates[a.place[0]]
            rise = template.rise.get(template.keys[a], [(0, 0)])
            points += shifted(rise, self.grid.origin[a.place], self.zones.row_y[a.place[0]])
        elif a in self.rows.bars:
            points.append((self.grid.outer_x(e), a.y + a.high))
        else:
            z = self.rows.zone[a]
            points += self.zones.leaving(e)
        passing = self.grid.passing(e)
        for z, x1, x2, early in self.zones.crossings(e):
            turn = (z, passing[0] if passing is not None else None, early)
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
        elif b in self.rows.bars:
            points.append((points[-1][0], b.y - b.high))
        else:
            z = self.rows.zone[b]
            path = self.zones.zone_block[z].paths[("z", a), b, e.operand]
            points += shifted(path, 0, self.zones.zone_y[z])
        return simplify(points)

    def zone_path(self, e: Edge) -> Path:
        """A wire outside of time; from zone to zone it runs up beside the columns.

        Empty for a wire that was left out of a very large diagram.
        """
        a, b = e.tail, e.head
        za, zb = self.rows.zone[a], self.rows.zone[b]
        name = ("z", a)
        path = self.zones.zone_block[zb].paths.get((name, b, e.operand), [])
        last = shifted(path, 0, self.zones.zone_y[zb])
        if za == zb or not path:
            return last
        first = self.zones.leaving(e)
        return simplify([*first, *last])

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
