"""One step of a loop, laid out once for all its steps.

The template is the union of the steps shown: what is in any of them has its place in all of
them. Its edges are states that come in at one side and go out at the other, inputs from below
and outputs above.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from .blocks import Block, Diagram
from .graph import Edge, Node, View
from .look import PILL, TRACK
from .notation import TAKING
from .scene import Measure
from .structure import Key
from .units import Name, Net, Path, Rail, Unit, simplify

CROWN = 8  # from a step's insides to its output above
NAMES_APART = 2 * PILL + 2  # from one state's wire to another's, where they enter
GUTTER = 10  # between a step's insides and the wires beside them
CELL: Name = ("cell",)  # the key of a cell's box
LAST = 10**9
STATE_GAP = 26  # between the states that run through a cell's box
BESIDE_GAP = 14  # more of it for each line beside it: two of ‖∂L/∂h_t‖, and its value
ABOVE_STATES = 13  # from the uppermost state to the cell's edge


@dataclass(slots=True, eq=False)
class Template:
    """A step; x from its own middle, y from its lower edge.

    Attributes:
        block: Its insides.
        keys: Node -> item, for the nodes of all steps.
        items: Item -> its size.
        left, right, height: Its outline, with the wires beside its insides.
        axis: The x that stands in the middle of a column.
        levels: State -> how high it crosses the boundaries of the step.
        enter: (state, item, operand) -> the wire from the edge where the state comes in.
        leave: (state, item) -> the wire to the edge where it goes out.
        rise: Item -> the wire to the upper edge.
        bottom: Class of what comes from below -> x at the lower edge.
        lanes: What passes by from below to above -> x.
        rail: What stands on the rail.
        rail_state: The state that runs along the rail, or -1.
    """

    block: Block
    keys: dict[Node, Name]
    items: dict[Name, Unit]
    left: int
    right: int
    height: int
    axis: int = 0
    levels: dict[int, int] = field(default_factory=dict)
    enter: dict[tuple[int, Name, int], Path] = field(default_factory=dict)
    leave: dict[tuple[int, Name], Path] = field(default_factory=dict)
    rise: dict[Name, Path] = field(default_factory=dict)
    bottom: dict[Hashable, int] = field(default_factory=dict)
    lanes: dict[Hashable, int] = field(default_factory=dict)
    rail: frozenset[Name] = frozenset()
    rail_state: int = -1

    def mirror(self) -> None:
        """Turn it round: states run from right to left."""
        block = self.block
        turned = {"left": "right", "right": "left"}
        block.pills = {
            key: " ".join(turned.get(word, word) for word in side.split())
            for key, side in block.pills.items()
        }
        self.block = block.moved(lambda x, y: (-x, y))
        self.enter = {where: flip(path) for where, path in self.enter.items()}
        self.leave = {where: flip(path) for where, path in self.leave.items()}
        self.rise = {key: flip(path) for key, path in self.rise.items()}
        self.bottom = {name: -x for name, x in self.bottom.items()}
        self.left, self.right = -self.right, -self.left

    def state_in(self, state: int, key: Name, operand: int) -> Path | None:
        """The wire from the edge where a state comes in to where it is used."""
        return self.enter.get((state, key, operand)) or self.enter.get((state, key, 0))


def flip(path: Path) -> Path:
    """A wire seen in a mirror."""
    return [(-x, y) for x, y in path]


def below_class(e: Edge) -> Hashable:
    """What is the same in each column about an edge that comes from outside of it."""
    if e.tail.place is None:
        return e.tail.id
    assert e.head.place is not None
    return (e.tail.place[0], e.tail.key, e.head.place[1] - e.tail.place[1])


class TemplateMaker:
    """Lays out one step of a loop.

    Args:
        view: What is shown.
        loop: The loop's index.
        measure: Knows the sizes.
    """

    def __init__(self, view: View, loop: int, measure: Measure) -> None:
        self.view = view
        self.loop = loop
        self.reverse = view.structure.loops[loop].reverse
        self.measure = measure
        self.items: dict[Name, Unit] = {}
        self.keys: dict[Node, Name] = {}
        self.wires: dict[Name, Net] = {}
        self.leaving: dict[int, list[Name]] = {}  # state -> the items that make it
        self.outputs: dict[Name, tuple[Unit, int]] = {}  # maker -> the output y_t above, operand

    def template(
        self, columns: dict[tuple[int, int], list[Node]], edges: Iterable[Edge]
    ) -> Template:
        """The whole template.

        Args:
            columns: (loop, step) -> the nodes in that column.
            edges: Those that begin or end in the loop's columns, without parameters.
        """
        self.collect_items(columns)
        touched = self.collect_wires(edges)
        self.take_outputs_out()
        self.lower_inputs()
        through = self.states_through_cell(touched)
        for state in through:
            self.wires.pop(("slot", state), None)
        for state, makers in self.leaving.items():
            for key in makers if state not in through else ():
                self.wires["v", key].right = True
        diagram = Diagram(self.items, list(self.wires.values()))
        diagram.running = self.running_sums()
        rail = self.find_rail()
        if rail is not None and rail.net in diagram.running:
            rail = None
        diagram.rail = rail
        if rail is not None:
            for key in rail.items:
                wire = self.wires["v", key]
                beyond = any(sink not in rail.items for sink, _ in wire.sinks)
                self.items[key].hang_above(rises=wire.above or beyond)
        out = self.with_gutters(diagram.arranged())
        self.crown(out)
        if rail is not None:
            out.rail = frozenset(rail.items)
            out.rail_state = rail.net[1]  # type: ignore[index]
        self.add_cell_states(out, through)
        if self.reverse:
            out.mirror()
        return out

    # What is in it --------------------------------------------------------------------------

    def collect_items(self, columns: dict[tuple[int, int], list[Node]]) -> None:
        """An item for each place of a step, large enough for what stands there in any step."""
        looks: dict[Name, Hashable] = {}
        for t in self.view.shown[self.loop]:
            counts: dict[Key, int] = {}
            here = columns.get((self.loop, t), ())
            first = min((v.records[0] for v in here if v.records), default=0)
            for v in here:
                counts[v.key] = n = counts.get(v.key, 0) + 1
                key: Name = v.key if n == 1 else (v.key, n)
                self.keys[v] = key
                known = self.items.get(key)
                look = (v.kind, v.label, v.note, v.detail, len(v.sides))
                if known is not None and looks.get(key) == look and not self.measure.values:
                    known.count += 1
                    continue
                looks[key] = look
                order = v.records[-1] - first if v.records else LAST if v.kind == "output" else -1
                item = self.measure.item(v, key, order)
                if self.reverse:  # it is turned round later
                    item.note, item.ordered = -item.note, -item.ordered
                    item.pill_side = -item.pill_side
                if known is None:
                    self.items[key] = item
                else:
                    known.grow(item)
                    known.count += 1

    def collect_wires(self, edges: Iterable[Edge]) -> dict[int, set[Name]]:
        """The nets: made in the step, carried into it, or from below. Returns what states touch."""
        for key in self.items:
            self.wires["v", key] = Net(("v", key), key)
        touched: dict[int, set[Name]] = {}
        seen: set[Hashable] = set()
        keys = self.keys
        for e in edges:
            tail, head = keys.get(e.tail), keys.get(e.head)
            inside = tail is not None and head is not None and e.tail.place == e.head.place
            state = e.slot.number if e.slot is not None and e.slot.loop == self.loop else -1
            if e.origin is not None and e.origin.loop == self.loop:
                state, head = e.origin.number, None  # it goes on as a state of another loop
            origin = below_class(e) if head is not None and not inside and state < 0 else None
            what = (tail, head, e.operand, inside, state, origin)
            if what in seen:
                continue
            seen.add(what)
            if inside:
                self.wires["v", tail].sinks.append((head, e.operand))
                continue
            if state >= 0:
                touched.setdefault(state, set()).update({tail, head} - {None})
                if tail is not None:
                    makers = self.leaving.setdefault(state, [])
                    makers += [tail] if tail not in makers else []
            elif tail is not None:
                self.wires["v", tail].above = True
            if head is not None:
                name: Name = ("slot", state) if state >= 0 else ("below", origin)
                wire = self.wires.setdefault(name, Net(name, None))
                wire.left, wire.below = state >= 0, state < 0
                if (head, e.operand) not in wire.sinks:
                    wire.sinks.append((head, e.operand))
        return touched

    def take_outputs_out(self) -> None:
        """An output of one maker stands on top of all, where that one's wire leaves the step."""
        makers: dict[Name, list[tuple[Name, int]]] = {}
        for wire in self.wires.values():
            for key, operand in wire.sinks:
                makers.setdefault(key, []).append((wire.name, operand))
        for key, item in list(self.items.items()):
            found = makers.get(key, [])
            if item.order != LAST or len(found) != 1 or self.wires["v", key].sinks:
                continue
            name, operand = found[0]
            wire = self.wires[name]
            if wire.source is None or wire.above or wire.source in self.outputs:
                continue
            wire.sinks.remove((key, operand))
            wire.above = True
            del self.items[key], self.wires["v", key]
            self.outputs[wire.source] = item, operand

    def crown(self, out: Template) -> None:
        """Put the outputs above the step."""
        top = out.height
        for source, (item, operand) in self.outputs.items():
            path = out.rise.pop(source)
            x = path[-1][0]
            y = top + CROWN + item.high
            out.block.places[item.name] = (x, y)
            out.block.pills[item.name] = "right"
            where = (("v", source), item.name, operand)
            out.block.paths[where] = simplify([*path[:-1], (x, y - item.high)])
            out.items[item.name] = item
            out.height = max(out.height, y + item.high + 4, y + item.up)

    def lower_inputs(self) -> None:
        """What takes the inputs in stands in the lowest tier."""
        fed = {key for w in self.wires.values() if not w.below for key, _ in w.sinks}
        records = self.view.structure.records
        for v, key in self.keys.items():
            takes = v.kind == "input" or (v.kind == "op" and records[v.records[0]].op in TAKING)
            if takes and key not in fed:
                self.items[key].base = 0

    # Where states run -----------------------------------------------------------------------

    def states_through_cell(self, touched: dict[int, set[Name]]) -> dict[int, int]:
        """The states that run straight through a cell's box: state -> how far above its middle."""
        through = [state for state, ends in sorted(touched.items()) if ends == {CELL}]
        middle = (len(through) - 1) / 2
        gap = STATE_GAP + BESIDE_GAP * (2 * self.measure.norms + self.measure.values)
        if through:
            cell = self.items[CELL]
            more = max(round(middle * gap) + ABOVE_STATES - cell.high, 0)
            cell.high, cell.up = cell.high + more, cell.up + more
        return {state: round((n - middle) * gap) for n, state in enumerate(through)}

    def add_cell_states(self, out: Template, through: dict[int, int]) -> None:
        """Wires of the states into and out of a cell's box."""
        for state, rise in through.items():
            x, y = out.block.places[CELL]
            half = self.items[CELL].half
            out.levels[state] = level = y + rise
            out.enter[state, CELL, 0] = [(out.left, level), (x - half, level)]
            out.leave[state, CELL] = [(x + half, level), (out.right, level)]

    def running_sums(self) -> dict[Name, Name]:
        """States that one op alone reads and makes anew, such as a sum of losses."""
        found: dict[Name, Name] = {}
        for state, (key, *others) in self.leaving.items():
            wire = self.wires.get(("slot", state))
            if wire is not None and not others and {sink for sink, _ in wire.sinks} == {key}:
                item, single = self.items[key], key not in found.values()
                beside = self.wires["v", key].sinks or item.group or item.pill or item.left
                if single and not beside:
                    found[wire.name] = key
        return found

    def find_rail(self) -> Rail | None:
        """The state that runs through a step by ops on single numbers alone, if there is one."""
        best: Rail | None = None
        steps = len(self.view.shown[self.loop])
        for state, ends in self.leaving.items():
            found = self.path_along(("slot", state), ends)
            if found and (best is None or len(found) >= len(best.items)):
                sometimes = frozenset(key for key in found if self.items[key].count < steps)
                best = Rail(("slot", state), found, sometimes)
        return best

    def path_along(self, net: Name, ends: list[Name]) -> list[Name] | None:
        """The longest way from a state's net to where the state is made anew."""
        wire = self.wires.get(net)
        if wire is None:
            return None
        before: dict[Name, list[Name]] = {
            key: [key] for key, _ in wire.sinks if self.items[key].may_ride
        }
        found: list[Name] | None = None
        for key in sorted(self.items, key=lambda key: self.items[key].order):
            path = before.get(key)
            if path is None:
                continue
            if key in ends and (found is None or len(path) > len(found)):
                found = path
            for sink, _ in self.wires["v", key].sinks:
                longer = len(path) >= len(before.get(sink, ()))
                if self.items[sink].may_ride and longer and sink not in path:
                    before[sink] = [*path, sink]
        return found

    def with_gutters(self, block: Block) -> Template:
        """The wires beside the insides, where states go up or down to cross the boundary."""
        for source, (item, _) in self.outputs.items():
            if ("v", source) in block.ports:
                x = block.ports["v", source][-1][0]
                block.left = min(block.left, x - item.half)
                block.right = max(block.right, x + item.half)
        out = Template(block, self.keys, self.items, block.left, block.right, block.height)
        out.rise = {name[1]: path for name, path in block.ports.items()}  # type: ignore[index]
        out.bottom = {name[1]: x for name, x in block.pins_in.items()}  # type: ignore[index]
        self.let_in(out)
        self.let_out(out)
        return out

    def let_in(self, out: Template) -> None:
        """States come in on the rail or in the lowest channel; one that is on both branches."""
        block = out.block
        branches: dict[int, Path] = {}
        incoming = [(w, w.name[1]) for w in self.wires.values() if w.left]  # type: ignore[index]
        for wire, state in incoming:
            on_rail = block.entries.get(("rail", wire.name))
            below = block.entries.get(wire.name)
            out.levels[state] = on_rail if on_rail is not None else below or 0
            if on_rail is not None and below is not None:
                lane = block.left - GUTTER - TRACK * len(branches)
                branches[state] = [(lane, on_rail), (lane, below)]
        self.keep_apart(out, branches)
        out.left = block.left - GUTTER - TRACK * len(branches)
        for wire, state in incoming:
            level = out.levels[state]
            for key, operand in wire.sinks:
                path = block.paths[wire.name, key, operand]
                bend = branches.get(state, []) if path[0][1] != level else []
                out.enter[state, key, operand] = simplify([(out.left, level), *bend, *path])

    def keep_apart(self, out: Template, branches: dict[int, Path]) -> None:
        """Let states that come in close to each other begin with room for their names.

        Of two wires the higher one is raised, farther inside, so that they do not cross.
        """
        before: int | None = None
        raised: list[int] = []
        for state, y in sorted(out.levels.items(), key=lambda item: item[1]):
            out.levels[state] = level = y if before is None else max(y, before + NAMES_APART)
            before = level
            if level != y:
                raised.append(state)
                branches.setdefault(state, [(0, level), (0, y)])
        for place, state in enumerate(reversed(raised)):
            lane = out.block.left - GUTTER - TRACK * (len(branches) - len(raised) + place)
            branches[state] = [(lane, out.levels[state]), (lane, branches[state][-1][1])]

    def let_out(self, out: Template) -> None:
        """States leave at the height at which they come in; outputs that cannot rise go beside."""
        block = out.block
        lanes: dict[Hashable, int] = {}  # of a wire that rises, or of its state
        exits: dict[tuple[int, Name], Path] = {}
        leaving = [w for w in self.wires.values() if w.name in block.exits]
        for wire in leaving:
            y = block.exits[wire.name][-1][1]
            states = [state for state, keys in self.leaving.items() if wire.source in keys]
            states.sort(key=lambda state: out.levels.setdefault(state, y))
            apart = self.side_by_side(wire, block.exits[wire.name], [out.levels[s] for s in states])
            exits |= {(s, wire.source): path for s, path in zip(states, apart, strict=True)}
            shared = len({path[0] for path in apart}) == 1
            rising = [s for s in reversed(states) if out.levels[s] > y]
            for state in [s for s in states if out.levels[s] < y] + rising:
                name = wire.name if shared else (wire.name, state)
                lanes.setdefault(name, block.right + GUTTER + TRACK * len(lanes))
            if wire.above and wire.name not in block.ports:
                lanes.setdefault(wire.name, block.right + GUTTER + TRACK * len(lanes))
        out.right = block.right + GUTTER + TRACK * len(lanes)
        for wire in leaving:
            if wire.source in self.outputs and wire.name in lanes:
                out.right = max(out.right, lanes[wire.name] + self.outputs[wire.source][0].half + 4)
        for wire in leaving:
            path = block.exits[wire.name]
            if wire.above and wire.name not in block.ports:
                lane = lanes[wire.name]
                out.rise[wire.source] = simplify([*path, (lane, path[-1][1]), (lane, out.height)])
        for (state, key), path in exits.items():
            level, y = out.levels[state], path[-1][1]
            lane = lanes.get((("v", key), state), lanes.get(("v", key), 0))
            bend = [(lane, y), (lane, level)] if level != y else []
            out.leave[state, key] = simplify([*path, *bend, (out.right, level)])

    def side_by_side(self, wire: Net, path: Path, levels: list[int]) -> list[Path]:
        """The ways out of a box of several states, side by side; one for all where it bends.

        Args:
            wire: What makes them.
            path: The way out of one.
            levels: The heights to which they lead, from below.
        """
        count, y = len(levels), path[-1][1]
        if count < 2 or len(path) > 2:
            return [path] * count
        assert wire.source is not None
        step = min(TRACK, 2 * (self.items[wire.source].high - 5) // (count - 1))
        straight = levels.index(y) if y in levels else (count - 1) / 2
        shifts = [round((n - straight) * step) for n in range(count)]
        return [[(px, py + shift) for px, py in path] for shift in shifts]
