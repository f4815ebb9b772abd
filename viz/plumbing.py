"""At the levels of cells and gates x_t and y_t stand for taking apart and joining sequences."""

from __future__ import annotations

from collections.abc import Hashable

from ..autograd import Tensor
from .graph import JOIN, Edge, Node
from .structure import Structure, part_taken

MERGED = {"concatenate": "concat", "add": "sum", "multiply": "product"}  # of two directions


class Plumbing:
    """Leaves out what only hands sequences on; ``nodes`` and ``edges`` are what remains.

    Args:
        structure: The tape.
        of_record: Position of a record -> its node.
        fold: Whether the picture is folded.
        nodes, edges: The graph at the level of cells or gates.
    """

    def __init__(
        self,
        structure: Structure,
        of_record: list[Node | None],
        fold: bool,
        nodes: list[Node],
        edges: list[Edge],
    ) -> None:
        self.s, self.of_record, self.fold = structure, of_record, fold
        self.nodes, self.edges = nodes, edges
        self.into: dict[Node, list[Edge]] = {}
        self.out_of: dict[Node, list[Edge]] = {}
        for e in edges:
            self.into.setdefault(e.head, []).append(e)
            self.out_of.setdefault(e.tail, []).append(e)
        self.gone: set[Node] = set()
        self.lost: set[Edge] = set()
        self.added: list[Edge] = []
        self.drop_plumbing()
        self.share_inputs()
        self.name_merges()

    def op_of(self, v: Node) -> str:
        """The op of a node that stands for one record."""
        return str(self.s.records[v.records[0]].op)

    def drop_plumbing(self) -> None:
        """Let steps hand on to steps directly, and show the outputs of the last ones."""
        for v in [v for v in self.nodes if v.place is None and v.kind == "op"]:
            parts = self.parts_of(v)
            if parts is None:
                continue
            uses = self.out_of.get(v, [])
            places = ((e, self.taken(e.head, parts)) for e in uses)
            taken = {e: n for e, n in places if n is not None and n in parts}
            whole = len(taken) < len(uses)
            stacks = [e.tail for e in self.into[v] if e.tail.place is None]
            if not uses and not v.bold:
                continue
            joined = self.hand_on(v, parts, taken)
            self.gone.update(stacks)
            if not uses:
                self.show_outputs(v, parts)
            elif whole and stacks:
                self.gather(v, parts, joined)
            if whole:
                v.label, v.note = v.note or "outputs", ""
            else:
                self.gone.add(v)
        self.gone.update(v for v in self.nodes if self.is_only_taken_apart(v))
        self.nodes = [v for v in self.nodes if v not in self.gone]
        self.edges = self.remaining()

    def hand_on(
        self, v: Node, parts: dict[int, list[Node]], taken: dict[Edge, int]
    ) -> dict[int, list[Node]]:
        """The layer above takes the sequence apart again: step to step."""
        joined: dict[int, list[Node]] = {}
        for e, position in taken.items():
            if position not in joined:
                joined[position] = self.join(v, parts[position])
            heads = self.out_of.get(e.head, []) if e.head.kind != "dots" else [e]
            for h in heads:
                for tail in joined[position]:
                    self.wire(tail, h.head, h.operand, h.tensor)
            self.lost.update(heads)
            if e.head.kind != "dots":
                self.gone.add(e.head)
        return joined

    def gather(self, v: Node, parts: dict[int, list[Node]], joined: dict[int, list[Node]]) -> None:
        """What is used as a whole too is gathered from what was joined step by step."""
        for position, cells in parts.items():
            for tail in joined.get(position) or self.join(v, cells):
                self.wire(tail, v, position, v.tensor)

    def wire(self, tail: Node, head: Node, operand: int, x: Tensor | None) -> None:
        """One more edge; none from steps left out to steps left out."""
        assert x is not None
        dots = (tail.kind, head.kind).count("dots")
        if dots < 2:
            self.added.append(Edge(tail, head, operand, x, None, "hidden" if dots else "data"))

    def is_only_taken_apart(self, v: Node) -> bool:
        """Whether an input is a sequence that only x_1, x_2, ... are taken out of.

        A sequence of one step stands inside of the step.
        """
        uses = self.out_of.get(v, []) if v.kind == "input" else []
        heads = [e.head for e in uses]
        takers = [h for h in heads if h.kind == "dots" or (h.kind == "input" and h.place)]
        return bool(uses) and len(takers) == len(heads)

    def remaining(self) -> list[Edge]:
        """The edges between what is left, none twice."""
        seen: set[Hashable] = set()
        edges = []
        for e in [*self.edges, *self.added]:
            identity = (e.tail, e.head, e.operand if e.kind != "hidden" else -1)
            double = e.kind in ("data", "hidden") and e.slot is None and identity in seen
            if e in self.lost or e.tail in self.gone or e.head in self.gone or double:
                continue
            seen.add(identity)
            edges.append(e)
        return edges

    def name_merges(self) -> None:
        """What joins two directions at each step is called as it is where it joins sequences."""
        for v in self.nodes:
            if v.kind != "op" or v.place is None or not v.records:
                continue
            op = self.op_of(v)
            places = [e.tail.place for e in self.into.get(v, []) if e.kind == "data"]
            ways = {self.s.loops[place[0]].reverse for place in places if place is not None}
            if op in MERGED and len(places) == 2 == len(ways):
                v.label = MERGED[op]

    def share_inputs(self) -> None:
        """One x_t for all that read it, such as both directions."""
        first: dict[Hashable, Node] = {}
        same: dict[Node, Node] = {}
        for v in self.nodes:
            if v.kind != "input" or v.place is None or len(v.records) != 1:
                continue
            record = self.s.records[v.records[0]]
            if record.op == "getitem":
                taken = (v.place[1], record.inputs[0], repr(record.params.get("index")))
                kept = first.setdefault(taken, v)
                if kept is not v:
                    same[v] = kept
        for v, kept in same.items():
            kept.records += v.records
        self.nodes = [v for v in self.nodes if v not in same]
        self.edges = [e for e in self.edges if e.head not in same]
        for e in self.edges:
            e.tail = same.get(e.tail, e.tail)

    def parts_of(self, v: Node) -> dict[int, list[Node]] | None:
        """What a sequence is joined from: position -> the cells that give this part of it.

        None for what is not a stack of steps, nor the concatenation or sum of two such.
        """
        record = self.s.records[v.records[0]]
        if record.op == "stack":
            parts = {}
            for position, x in enumerate(record.inputs):
                j = self.s.made.get(x)
                cell = self.of_record[j] if j is not None else None
                if cell is not None and cell.place is not None:
                    parts[0 if self.fold else position] = [cell]
            return parts or None
        if record.op not in ("concatenate", "add", "multiply") or len(record.inputs) != 2:
            return None
        tails = [self.of_record[j] for x in record.inputs if (j := self.s.made.get(x)) is not None]
        if len(tails) != 2 or any(
            t is None
            or t.place is not None
            or len(self.out_of.get(t, [])) != 1
            or self.s.records[t.records[0]].op != "stack"
            for t in tails
        ):
            return None
        first, second = (self.parts_of(t) for t in tails if t is not None)
        if first is None or second is None or first.keys() != second.keys():
            return None
        return {position: [*first[position], *second[position]] for position in first}

    def taken(self, head: Node, parts: dict[int, list[Node]]) -> int | None:
        """Which position of a sequence an x_t is; for steps left out, one of theirs."""
        if head.kind == "dots":
            return next((n for n, tails in parts.items() if tails[0].kind == "dots"), None)
        if head.kind != "input" or head.place is None or len(head.records) != 1:
            return None
        part = part_taken(self.s.records[head.records[0]])
        if part is None:
            return None
        return 0 if self.fold else part[1]  # one step stands for all

    def join(self, v: Node, parts: list[Node]) -> list[Node]:
        """The nodes that give one position: a cell, or what joins those of two directions."""
        if len(parts) == 1 or any(p.kind == "dots" for p in parts):
            return parts
        last = max(parts, key=lambda p: p.place or (0, 0))
        assert last.place is not None
        ident, label = f"{v.id}_{last.place[1]}", MERGED.get(self.op_of(v), v.label)
        joined = Node(ident, "op", label, last.place, (JOIN, v.id), tensor=v.tensor)
        joined.records = v.records
        self.nodes.append(joined)
        for operand, part in enumerate(parts):
            self.wire(part, joined, operand, v.tensor)
        return [joined]

    def show_outputs(self, v: Node, parts: dict[int, list[Node]]) -> None:
        """An output y_t above each step, for the sequence that would be joined from them."""
        name = v.note[:-1] if v.note.endswith("s") and len(v.note) > 1 else v.note or "y"
        for cells in parts.values():
            last = max(cells, key=lambda p: p.place or (0, 0))
            assert last.place is not None
            loop, t = last.place
            if last.kind == "dots":
                continue
            ident, label = f"y{loop}_{t}", f"{name}_{t}"
            output = Node(ident, "output", label, last.place, ("output",), tensor=v.tensor)
            self.nodes.append(output)
            if len(cells) > 1:
                output.note = MERGED.get(self.op_of(v), "")
            for operand, cell in enumerate(cells):
                self.wire(cell, output, operand, v.tensor)
