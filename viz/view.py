"""What of a tape is shown: at which level of detail, which steps, which parameters apart.

A view is a graph: nodes (ops, gates, cells, inputs, states, copies of parameters) and
edges (the operands of records). It knows nothing of positions.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable

from ..autograd import Record, Tensor
from .extent import LAYER, bearable, choose_steps, unlike_steps, without_scopes
from .formulas import Equations
from .graph import Edge, Node, View, cell_title, scope_title
from .language import say
from .look import gate_colours
from .marks import split_mark
from .notation import holds_number, is_number, number_text, symbol, with_low_digits
from .parameters import shared_parameters
from .plumbing import Plumbing
from .scopes import Scopes, without_time
from .structure import Group, Key, Loop, Place, Slot, Structure, is_parameter, stem
from .writing import TEXT

CUT = "//"  # where truncated backpropagation stops
MOST_NAMED = 3_000  # nodes that are asked for their equations, records with gates' letters


def make_view(
    structure: Structure,
    *,
    level: str = "op",
    fold: bool = False,
    steps: int | None = None,
    at: int | None = None,
    keep: str = "first",
) -> View:
    """The graph of a tape at a level of detail.

    Args:
        structure: The tape, read.
        level: ``op``, ``gate``, ``cell`` or ``layer``, one box for all steps of a loop.
        fold: One step that stands for all, with its states delayed.
        steps: How many steps are shown; None for all of a short loop.
        at: The one step to be shown.
        keep: Whether a long loop's first or last steps are shown.
    """
    if level == LAYER:
        view = make_view(without_time(structure), level="cell")
        view.level = level
        view.remark = say("A box stands for all time steps.") if structure.loops else view.remark
        return view
    structure, level, steps, remark = bearable(structure, level, fold, steps, at)
    if remark:
        warnings.warn(f"draw: {remark}", stacklevel=4)
    view = _Maker(structure, level, fold, steps, at, keep).view()
    view.remark = remark or (unlike_steps(structure) if fold else "")
    view.remark = view.remark or without_scopes(structure, level)
    return view


class _Maker:
    """Makes one view; an object because its parts share a dozen tables."""

    def __init__(
        self,
        structure: Structure,
        level: str,
        fold: bool,
        steps: int | None,
        at: int | None,
        keep: str,
    ) -> None:
        self.s = structure
        self.level = level
        self.fold = fold
        self.at = at
        self.shown = [choose_steps(loop, steps, at, fold, keep) for loop in structure.loops]
        self.visible = {(loop, t) for loop, chosen in enumerate(self.shown) for t in chosen}
        self.titles = [cell_title(loop.path, loop.name) for loop in structure.loops]
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.gates = gate_colours(name for group in structure.group for name, _ in group)
        self.outputs = set(structure.tape.outputs)
        self.merged = self.find_merged() if level != "op" else {}
        self.scopes = Scopes(structure)
        self.dots: list[Node | None] = [None] * len(structure.loops)
        self.of_record: list[Node | None] = [None] * len(structure.records)
        self.stand_ins: dict[tuple[int, Key], Node] = {}
        self.by_unit: dict[Hashable, Node] = {}
        self.members: dict[Node, list[int]] = {}  # of the nodes that stand for several
        self.input_nodes: dict[Tensor, Node] = {}
        self.state_nodes: dict[str, Node] = {}
        self.inputs: dict[Tensor, Tensor] = {}  # leaf -> the first one of its name and array
        self.input_places: dict[Tensor, set[Place | None]] = {}  # where that one is used
        self.find_inputs()
        self.seen_edges: set[Hashable] = set()
        self.arrivals: dict[str, int] = {}
        shown = sum(len(structure.loops[loop].steps[t]) for loop, t in self.visible)
        self.timeless = not structure.loops and bool(structure.entering)
        few = shown <= MOST_NAMED and not self.timeless
        self.equations = Equations(structure, generic=fold) if few else None
        self.final_states = {
            structure.records[slot.end].output: slot
            for slots in structure.slots
            for slot in slots
            if slot.end is not None
        }

    def view(self) -> View:
        """The whole view."""
        self.make_dots()
        for i in range(len(self.s.records)):
            self.of_record[i] = self.node_of(i)
        for node, members in self.members.items():
            node.records = tuple(members)
        for i, record in enumerate(self.s.records):
            head = self.of_record[i]
            if head is not None:
                self.connect(i, record, head)
        if self.at is not None:
            self.keep_neighbours()
        self.make_ends()
        if self.level != "op":
            plumbing = Plumbing(self.s, self.of_record, self.fold, self.nodes, self.edges)
            self.nodes, self.edges = plumbing.nodes, plumbing.edges
        self.finish_details()
        if self.fold:
            self.join_columns()
        return View(
            self.s,
            self.level,
            self.nodes,
            self.edges,
            self.shown,
            self.dots,
            shared_parameters(self.s, self.gates, self.nodes),
            self.fold,
            self.titles,
            self.gates,
        )

    def join_columns(self) -> None:
        """One column for all loops, whichever of its steps stands for the others, named t."""
        for node in self.nodes:
            if node.place is not None:
                loop, t = node.place
                node.place = (loop, 1)
                generic = generic_index if node.kind == "op" else generic_name
                if node.kind in ("op", "input", "output"):
                    node.label = generic(node.label, t)
                node.note = generic_name(node.note, t)
        self.shown = [[1] if chosen else [] for chosen in self.shown]

    # Records --------------------------------------------------------------------------------

    def add(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def make_dots(self) -> None:
        """One node for all steps of a loop that are left out."""
        if self.fold or self.at is not None:
            return
        for loop in self.s.loops:
            hidden = sorted(set(loop.steps) - set(self.shown[loop.index]))
            if hidden:
                span = f"t={hidden[0]}"
                if len(hidden) > 1:
                    span = say("{n} to {m}", n=span, m=hidden[-1])
                self.dots[loop.index] = self.add(
                    Node(f"dots{loop.index}", "dots", "…", (loop.index, 0), ("dots",), detail=span)
                )

    def node_of(self, i: int) -> Node | None:
        """The node that shows a record at this level; None if it is not shown at all."""
        s = self.s
        place = s.where[i]
        if place is not None and place not in self.visible:
            return self.dots[place[0]]
        slot = s.entering.get((i, 0))
        if s.records[i].op == "cut" and slot is not None and place is not None and not self.fold:
            x = s.records[i].output
            return self.add(Node(f"r{i + 1}", "cut", CUT, place, tensor=x, records=(i,), slot=slot))
        if self.level == "cell":
            inside = self.s.own_place(i) is not None
            if inside and not self.is_input(i):
                assert place is not None
                return self.unit(i, ("cell", place), "cell", self.titles[place[0]], (), ("cell",))
            if place is not None and not inside and s.group[i]:
                outer = s.group[i][:1]
                return self.unit(i, (place, outer), "gate", outer[0][0], (), (outer,))
            outer = s.group[i][: self.scopes.around(s.group[i]) + 1]
            if place is None and not self.scopes.is_loops_own(i) and outer:
                return self.unit(i, ("box", outer), "gate", outer[-1][0], (), (outer,))
        j = self.merged.get(i, i)
        if j in self.by_unit:
            return self.by_unit[j]
        gated = self.level == "gate"
        depth = self.scopes.depths.get((place is None, s.group[i]), 0) if gated else 0
        if depth and not (place is None and self.scopes.is_loops_own(i)):
            outer = s.group[i][:depth]
            name = outer[-1][0]
            group = outer[:-1] if place is not None else self.scopes.beside_loops(outer)[:-1]
            return self.unit(i, (place, outer), "gate", name, group, (outer,))
        return self.op_node(j)

    def find_merged(self) -> dict[int, int]:
        """Records that are shown in the op that alone uses them: record -> that op.

        What is stacked to be summed, and a parameter that is transposed for a product.
        """
        merged: dict[int, int] = {}
        for i, record in enumerate(self.s.records):
            uses = self.s.uses.get(record.output, ())
            if len(uses) != 1 or record.output in self.outputs:
                continue
            ((j, _),) = uses
            user = self.s.records[j]
            summed = user.op in ("sum", "mean") and not user.output.ndim
            if record.op == "stack" and summed and self.s.where[j] is None:
                merged[i] = j
            product = record.op == "transpose" and user.op == "matmul"
            if product and self.s.where[i] is not None and record.inputs[0] in self.s.parameters:
                merged[i] = j
        return merged

    def is_input(self, i: int) -> bool:
        """Whether a record takes x_t out of the inputs."""
        record, place = self.s.records[i], self.s.where[i]
        if record.op != "getitem" or (i, 0) in self.s.entering:
            return False
        j = self.s.made.get(record.inputs[0])
        return j is None or self.s.where[j] != place

    def unit(
        self, i: int, identity: Hashable, kind: str, label: str, group: Group, key: Key
    ) -> Node:
        """A node that stands for several records."""
        node = self.by_unit.get(identity)
        if node is None:
            place, colour = self.s.where[i], self.gates.get(label, "")
            node = self.add(Node(f"{kind}{i + 1}", kind, label, place, key, group, colour=colour))
            self.by_unit[identity] = node
        self.members.setdefault(node, []).append(i)
        node.tensor = self.s.records[i].output
        if kind == "gate" and self.s.where[i] is not None:
            node.note = self.note_of(i)
        node.bold = node.bold or node.tensor in self.outputs
        return node

    def op_node(self, i: int) -> Node:
        """A node for one record."""
        s = self.s
        record = s.records[i]
        place = s.where[i]
        out = record.output
        label = symbol(record)
        note = self.note_of(i)
        kind = "op"
        taken = self.level == "cell" or (self.level == "gate" and self.is_input(i))
        if taken and place is not None and self.s.own_place(i) is not None:
            kind, label, note = "input", note or f"x_{place[1]}", ""
        group = s.group[i] if place is not None else self.scopes.beside_loops(s.group[i])
        if self.level == "cell" and kind == "input":
            group = ()  # nothing else of its scope is shown
        colour = self.gates.get(group[-1][0], "") if group else ""
        key = s.key[i] if place is not None else ("r", i)
        node = Node(f"r{i + 1}", kind, label, place, key, group, out, note)
        node.colour, node.records, node.bold = colour, (i,), out in self.outputs
        self.by_unit[i] = self.add(node)
        return node

    def note_of(self, i: int) -> str:
        """What a result is called beside its op: its own name, or the letter of its gate."""
        own, place = self.s.records[i].output.name or "", self.s.where[i]
        if own:
            return f"{own}_{place[1]}" if place is not None and own.isalpha() else own
        name = self.equations.names.get(i) if self.equations is not None else None
        if name is None or place is None or len(name.base) > 1:
            return ""
        return TEXT.name(name._replace(layer="", when=str(place[1])))

    # Operands -------------------------------------------------------------------------------

    def find_inputs(self) -> None:
        """Data, and where it is used; one array given to two networks under a name is one input."""
        first: dict[Hashable, Tensor] = {}
        for x, uses in self.s.uses.items():
            if x._record is None and not is_parameter(x):
                same = first.setdefault((x.name, id(x.data)), x) if x.name else x
                self.inputs[x] = same
                places = self.input_places.setdefault(same, set())
                places.update(self.s.where[i] for i, _ in uses)

    def connect(self, i: int, record: Record, head: Node) -> None:
        """The edges into one record."""
        s = self.s
        if i in self.merged and record.op == "transpose" and head.kind == "op":
            ((used, k),) = s.uses[record.output]
            x = record.inputs[0]
            self.side(used, k, x, head, "copy", f"{self.s.labels[x]}^T")
            return
        folded: dict[Node, tuple[int, Tensor]] = {}  # what stands for makers that are not shown
        for k, x in enumerate(record.inputs):
            slot = s.entering.get((i, k))
            j = s.made.get(x)
            if slot is not None and s.where[i] is None:  # in a box for all steps
                if j is None:
                    continue
                slot = None
            if j is None:
                self.connect_leaf(i, k, self.inputs.get(x, x), head, slot)
                continue
            tail = self.of_record[j]
            if tail is head:
                continue
            if tail is None:
                if slot is None or self.s.where[i] is None:
                    stand_in = self.stand_in(j)
                    if stand_in is not None:
                        folded.setdefault(stand_in, (k, x))
                    continue
                tail = self.state_before(slot, x)
            self.edge(tail, head, k, x, tail.slot if tail.kind == "cut" else slot)
        if folded:
            made = [s.made.get(x) for x in record.inputs]
            joined = {self.of_record[j] for j in made if j is not None} | {head}
            for tail, (k, x) in folded.items():
                if tail not in joined:
                    self.edge(tail, head, k, x, None)

    def stand_in(self, j: int) -> Node | None:
        """What shows, in the one step of a folded picture, a record of another step."""
        place = self.s.where[j]
        if not self.fold or place is None:
            return None
        if not self.stand_ins:
            for i, node in enumerate(self.of_record):
                where = self.s.where[i]
                if node is not None and where is not None:
                    self.stand_ins[where[0], self.s.key[i]] = node
        return self.stand_ins.get((place[0], self.s.key[j]))

    def edge(self, tail: Node, head: Node, k: int, x: Tensor, slot: Slot | None) -> None:
        """One edge; at the coarser levels one for all uses of a value in a box."""
        hidden = tail.kind == "dots" or head.kind == "dots"
        if hidden or head.kind in ("cell", "gate"):
            identity = (tail.id, head.id, slot if slot is not None else None if hidden else x)
            if identity in self.seen_edges:
                return
            self.seen_edges.add(identity)
            k = self.arrivals[head.id] = self.arrivals.get(head.id, -1) + 1  # a box's own operands
        kind = "delay" if tail.kind == "delay" else "hidden" if hidden else "data"
        if slot is not None and kind == "data":
            kind = "state"
        origin = None
        if slot is not None and tail.place is not None and tail.place[0] != slot.loop:
            origin = self.final_states.get(x)
        self.edges.append(Edge(tail, head, k, x, slot, kind, origin))

    def state_before(self, slot: Slot, x: Tensor) -> Node:
        """What hands a state to the one step shown: the delay, or the value from before."""
        place = (slot.loop, self.shown[slot.loop][0])
        if self.fold:
            return self.state_node("delay", slot, x, say("delay"), place)
        return self.state_node("state", slot, x, self.marked(x.name or slot.name, slot), place)

    def state_node(
        self, kind: str, slot: Slot, x: Tensor, label: str, place: Place, when: str = ""
    ) -> Node:
        """The one node of a state before, after or between the steps."""
        ident = f"{kind}{slot.loop}_{slot.number}{when}"
        if ident not in self.state_nodes:
            node = Node(ident, kind, label, place, tensor=x, slot=slot)
            self.state_nodes[ident] = self.add(node)
        return self.state_nodes[ident]

    def connect_leaf(self, i: int, k: int, x: Tensor, head: Node, slot: Slot | None) -> None:
        """An operand that no record made: a number, a parameter, a state, an input."""
        if x._record is not None:  # its record is left out
            if head.kind == "op":
                self.side(i, k, x, head, "constant", x.name or "…")
            return
        if head.kind == "dots":
            places = self.input_places.get(x, ())
            shared = len(places) - (None in places) > 1 and self.is_input_leaf(x)
            if slot is None and shared:
                self.edge(self.input_node(x), head, k, x, None)
            return
        if slot is not None and not (is_number(x) and holds_number(self.s.records[i])):
            self.connect_first_state(i, k, x, head, slot)
        elif is_number(x):
            if head.kind != "op" or holds_number(self.s.records[i]):
                return
            self.side(i, k, x, head, "constant", number_text(x))
        elif is_parameter(x):
            if head.kind == "op":
                single = len(self.s.uses[x]) == 1 and not self.s.loops
                kind = "parameter" if single else "copy"
                self.side(i, k, x, head, kind, self.s.labels[x])
        elif self.is_input_leaf(x):
            self.edge(self.input_node(x), head, k, x, None)
        elif head.kind == "op":
            label = x.name or f"{say('mask' if x.dtype == bool else 'const')} {x.shape}"
            self.side(i, k, x, head, "constant", label)

    def is_input_leaf(self, x: Tensor) -> bool:
        """Whether a Tensor that no record made is data, by its name or by its parts' names."""
        named = x.name and not re.fullmatch(r"[-+.\d]+", x.name)
        return bool(named) or x in self.s.sequences

    def connect_first_state(self, i: int, k: int, x: Tensor, head: Node, slot: Slot) -> None:
        """A state that enters from outside: h_0, or the state that truncation cut off."""
        place = self.s.where[i]
        assert place is not None
        first = place[1] == self.s.loops[slot.loop].order[0]
        label = self.first_name(x, slot) if first else x.name or "0"
        node = self.state_node("state", slot, x, label, place, f"_{place[1]}")
        self.edge(node, head, k, x, slot)

    def first_name(self, x: Tensor, slot: Slot) -> str:
        """What a state begins with: h_0, or h_{T+1} where time runs from the end."""
        loop = self.s.loops[slot.loop]
        zero = f"{slot.name}_0"
        name = x.name or zero
        if loop.reverse and name == zero:
            name = f"{slot.name}_{loop.order[0] + 1}"
        return self.marked(name, slot)

    def marked(self, name: str, slot: Slot) -> str:
        """A state's name with the mark of its layer."""
        return self.s.marks[slot.loop].on(name)

    def side(self, i: int, k: int, x: Tensor, head: Node, kind: str, label: str) -> None:
        """A parameter or constant drawn right beside the op that uses it."""
        ident, key = f"{'c' if kind == 'constant' else 'p'}{i + 1}_{k}", (head.key, "side", k)
        node = Node(ident, kind, label, head.place, key, tensor=x)
        if kind == "parameter" and x.ndim:
            node.detail = str(x.shape)
        head.sides += (node,)
        self.edges.append(Edge(node, head, k, x, None, "side"))

    def input_node(self, x: Tensor) -> Node:
        """The node of an input: in its column if it is used in one only, else by itself."""
        if x not in self.input_nodes:
            number = len(self.input_nodes) + 1
            places = self.input_places[x]
            place = next(iter(places)) if len(places) == 1 else None
            label = x.name or self.s.sequences.get(x, "input")
            key = ("leaf", stem(x.name) or x.name or number)
            bold = x in self.outputs
            node = Node(f"x{number}", "input", label, place, key, tensor=x, bold=bold)
            self.input_nodes[x] = self.add(node)
        return self.input_nodes[x]

    # What is left ---------------------------------------------------------------------------

    def keep_neighbours(self) -> None:
        """For one step in detail: drop what it neither reads nor feeds."""
        self.edges = [e for e in self.edges if e.tail.place or e.head.place]
        touched = {v for e in self.edges for v in e.ends}
        self.nodes = [v for v in self.nodes if v.place or v in touched]
        for node in self.nodes:
            if node.place is None:
                node.sides = ()

    def make_ends(self) -> None:
        """The last value of each state, on the far side of the last step shown."""
        going_on = {e.origin for e in self.edges if e.origin is not None}
        for loop in self.s.loops:
            for slot in self.s.slots[loop.index]:
                end = slot.end
                if self.fold:
                    self.close_delay(loop, slot)
                    continue
                if self.at is not None:
                    chosen = loop.steps.get(self.at, [])
                    end = next((i for i in chosen if self.s.key[i] in slot.keys), None)
                if end is None or slot in going_on:
                    continue
                tail = self.of_record[end]
                if tail is None or tail.kind == "dots":
                    continue
                x = self.s.records[end].output
                assert tail.place is not None
                label = self.marked(x.name or f"{slot.name}_{tail.place[1]}", slot)
                node = self.state_node("end", slot, x, label, tail.place)
                self.edges.append(Edge(tail, node, 0, x, slot, "state"))

    def close_delay(self, loop: Loop, slot: Slot) -> None:
        """The edge from the step that stands for all into the delay of its state."""
        delay = self.state_nodes.get(f"delay{slot.loop}_{slot.number}")
        if delay is None or delay.place is None:
            return
        end = next((i for i in loop.steps[delay.place[1]] if self.s.key[i] in slot.keys), None)
        tail = self.of_record[end] if end is not None else None
        if end is not None and tail is not None:
            self.edges.append(Edge(tail, delay, 0, self.s.records[end].output, slot, "delay"))
        first = self.first_value(loop, slot)
        name, mark = split_mark(first)
        state = f"{with_low_digits(name)} {mark}".rstrip()
        delay.detail = say("first {state}", state=state) if first else ""

    def first_value(self, loop: Loop, slot: Slot) -> str:
        """What a state begins with, as far as it has a name."""
        for i in loop.steps[loop.order[0]]:
            for k, x in enumerate(self.s.records[i].inputs):
                if self.s.entering.get((i, k)) is slot:
                    return self.first_name(x, slot)
        return ""

    def write_equations(self, equations: Equations) -> None:
        """What each op, gate and cell computes; of a cell what has a name in it."""
        for node in self.nodes:
            lines = [equations.statement(i) for i in node.records]
            if node.kind == "cell":
                lines = [line for line in lines if " = " in line]
            elif node.kind == "gate":
                lines = lines[-1:]
            node.equation = "\n".join(lines)

    def finish_details(self) -> None:
        """The second line of gates: the parameters inside."""
        count = sum(1 + len(node.sides) for node in self.nodes)
        if self.equations is not None and count <= MOST_NAMED:
            self.write_equations(self.equations)
        for node in self.nodes:
            if node.kind == "gate":
                operands = (x for i in node.records for x in self.s.records[i].inputs)
                inside = (self.s.labels[x] for x in operands if x in self.s.labels)
                node.detail = " ".join(dict.fromkeys(inside))
                around, dot, cell = node.label.rpartition(" · ")
                if dot and self.timeless:  # the box of a loop: where it stands, below what it is
                    node.label, node.detail = cell, around
        # A state's name stands at the step's boundary, not beside the op as well.
        carried = {e.tail for e in self.edges if e.slot is not None and e.slot.name}
        used = {e.tail for e in self.edges}
        for node in self.nodes:
            if node in carried:
                node.note = ""
            node.bold = node.bold and node not in used  # results, not ways to them
            if node.kind == "gate":
                node.label = scope_title(node.label)
            elif node.kind == "op":
                node.label = say(node.label)
            elif node.kind == "output":
                node.note = say(node.note)


def generic_name(name: str, step: int) -> str:
    """``h_2`` as ``h_t`` in the one step of a folded picture."""
    return f"{stem(name)}_t" if name and stem(name) and name.endswith(f"_{step}") else name


def generic_index(label: str, step: int) -> str:
    """``[:, 2]`` of the third step as ``[:, t]``."""
    return re.sub(rf"\b{step - 1}\b", "t", label) if label.startswith("[") else label
