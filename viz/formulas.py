r"""The mathematics of a tape: what every record computes, as text or as LaTeX.

Nothing is written twice. Ops that are used once are written into each other, so that what has
a name has an equation: states, gates, and what is used more than once. A state is called as
on the tape; a gate by the letter that its parameters share (``W_f U_f b_f`` make ``f``, or
``h̃`` where the letter is a state's), or else by its scope.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..autograd import Parameter, Record, Tensor
from .notation import OVER, index_text, is_number, number_text, split_name
from .structure import Group, Structure, part_taken, stem
from .writing import ATOM, LATEX, PLUS, TEXT, TIMES, Formula, Name, Text, split_arrow

__all__ = ["Equations", "formula"]

LONGEST = 160  # letters of an operand that is still written into an equation
# What changes an array's form alone, and the cut, which changes nothing.
_FORMS = "expand_dims squeeze broadcast_to unbroadcast astype copy positive reshape ravel"
SEEN_THROUGH = frozenset(["cut", *re.split(" ", _FORMS)])
MATRICES = frozenset(["transpose", "concatenate"])  # ops that put matrices together
SIGMOIDS = ("sigmoid", "hard_sigmoid")  # what gates are made of


# Writing ------------------------------------------------------------------------------------


def total(a: Formula, b: Formula) -> Formula:
    """A sum; zeros, as ``sum([...])`` begins with one, are left out."""
    if "0" in (a.text, b.text):
        return b if a.text == "0" else a
    if b.text.startswith("-"):
        return Formula(f"{a.text} - {b.text[1:]}", PLUS)
    return Formula(f"{a.text} + {b.text}", PLUS)


def formula(record: Record, x: list[Formula], script: Text) -> Formula:
    """A record's op applied to its operands."""
    op = str(record.op)
    if op in SEEN_THROUGH:
        return x[0]
    if op == "add":
        return total(*x)
    if op == "subtract":
        return Formula(f"{x[0].text} - {x[1].within(TIMES)}", PLUS)
    if op == "negative":
        return Formula(f"-{x[0].within(TIMES)}", PLUS)
    if op == "multiply":
        first, second = map(is_number, record.inputs)
        if first or second:
            return script.multiple(*(x[::-1] if second else x))
        return script.product(x)
    if op == "reciprocal":
        return script.fraction(Formula("1"), x[0])
    if op in ("power", "square"):
        return script.power(x[0], x[1].text if op == "power" else "2")
    if op == "getitem":
        return script.indexed(x[0], index_text(record.params.get("index"))[1:-1])
    if op == "embedding":
        return script.indexed(x[0], "ids")
    if op == "abs":
        return Formula(f"|{x[0].text}|")
    if op in ("concatenate", "stack"):
        return script.stacked(x)
    own: dict[str, Callable[..., Formula]] = {
        "matmul": script.matmul,
        "divide": script.fraction,
        "transpose": script.transposed,
        "sqrt": script.root,
        "norm": script.norm,
    }
    return own[op](*x) if op in own else script.function(op, x)


def bracketed(text: str) -> str:
    """A formula behind ∂L/∂: in parentheses unless it is one name."""
    one_name = re.fullmatch(rf"[\w{OVER}]+(_\{{[^}}]*\}})?(\^\([\w.]+\))?", text)
    return text if one_name else f"({text})"


# Names --------------------------------------------------------------------------------------


def shared_letter(parameters: Iterable[str | None]) -> str:
    """The subscript that all parameters of a gate with a subscript share, or nothing."""
    found = {parts[1] for name in parameters if name and (parts := split_name(name))}
    letter = found.pop() if len(found) == 1 else ""
    return letter if letter.isalpha() else ""


class Names:
    """What the results on a tape are called in equations.

    Args:
        structure: The tape, read.
        generic: Whether steps are written with t, or with their numbers.
        inner: Whether what is used once is still called by its name, if it has one.

    Attributes:
        names: Position of a record -> its name, where it has one.
    """

    def __init__(self, structure: Structure, *, generic: bool = False, inner: bool = True) -> None:
        self.s = structure
        self.generic, self.inner = generic, inner
        self.names: dict[int, Name] = {}
        uses = (structure.uses.get(record.output, ()) for record in structure.records)
        self.uses = [[i for i, _ in found] for found in uses]  # of each result
        self.name_layers()
        self.name_states()
        self.name_gates()
        self.name_others()
        self.number_namesakes()

    def name_layers(self) -> None:
        """What tells the loops apart where there are several: an arrow, and a layer's number."""
        self.layers = [mark.arrow + mark.high for mark in self.s.marks]
        self.layer_of: dict[Tensor, str] = {}  # of what one loop alone uses
        for place, record in zip(self.s.where, self.s.records, strict=True):
            layer = self.layers[place[0]] if place is not None else ""
            for x in record.inputs:
                if x._record is None and self.layer_of.setdefault(x, layer) != layer:
                    self.layer_of[x] = ""

    def when(self, place: tuple[int, int], back: int = 0) -> str:
        """A step as a subscript; ``back`` is 1 for the step before."""
        loop, step = place
        sign = -1 if self.s.loops[loop].reverse else 1
        if not self.generic:
            return str(step - sign * back)
        return "t" if not back else f"t{-sign:+d}"

    def place(self, i: int) -> tuple[str, str]:
        """When and in which layer a record stands: the ends of its name."""
        place = self.s.where[i]
        if place is not None:
            return self.when(place), self.layers[place[0]]
        own = [loop.index for loop in self.s.loops if loop.path == self.s.records[i].scope]
        return "", self.layers[own[0]] if len(own) == 1 else ""

    def name_states(self) -> None:
        """States by their names."""
        s = self.s
        for loop in s.loops:
            for slot in s.slots[loop.index]:
                for positions in loop.steps.values():
                    made = [i for i in positions if s.key[i] in slot.keys]
                    named = [i for i in made if stem(s.records[i].output.name)]
                    for i in named[-1:] or made[-1:]:
                        self.names.setdefault(i, Name(slot.name, *self.place(i)))

    def name_gates(self) -> None:
        """The result of every scope that has one."""
        s = self.s
        around = {loop.path[:n] for loop in s.loops for n in range(len(loop.path) + 1)}
        inside: dict[tuple[Any, Group], list[int]] = {}
        for i, group in enumerate(s.group):
            for depth in range(1, len(group) + 1):
                inside.setdefault((s.where[i], group[:depth]), []).append(i)
        letters = self.gate_letters(inside)

        def rank(item: tuple[tuple[Any, Group], list[int]]) -> tuple[bool, int]:
            """Scopes with a letter first, and then the outermost, if several have one result."""
            place, group = item[0]
            return not letters[place[0] if place else None, group[-1][0]], len(group)

        for (place, group), members in sorted(inside.items(), key=rank):
            scope, number = group[-1]
            own = set(members)
            results = [i for i in members if not own.issuperset(self.uses[i]) or not self.uses[i]]
            if len(results) != 1 or results[0] in self.names or scope.isdigit():
                continue
            if place is None and tuple(name for name, _ in group) in around:
                continue  # the stack of a loop's outputs, in the loop's own scope
            loop = place[0] if place else None
            base = (letters[loop, scope] or scope) + (str(number) if number > 1 else "")
            states = [slot.name for slot in s.slots[loop]] if loop is not None else []
            gate = self.gate_in(results[0], own)
            if gate not in self.names:
                self.names[gate] = Name(base, *self.place(gate), base in states)

    def gate_in(self, result: int, own: set[int]) -> int:
        """The gate of a scope that also multiplies it with what it lets through: the σ(...)."""
        record = self.s.records[result]
        if record.op != "multiply":
            return result
        made = [self.s.made.get(x) for x in record.inputs]
        gates = [j for j in made if j in own and self.s.records[j].op in SIGMOIDS]
        others = [
            (result, k) in self.s.entering or (j is not None and j not in own)
            for k, j in enumerate(made)
            if j not in gates
        ]
        return gates[0] if len(gates) == 1 and all(others) else result

    def gate_letters(
        self, inside: dict[tuple[Any, Group], list[int]]
    ) -> dict[tuple[int | None, str], str]:
        """The letter of each scope of a loop: that of its parameters, if no other has it."""
        letters: dict[tuple[int | None, str], str] = {}
        for (place, group), members in inside.items():
            here = (place[0] if place else None, group[-1][0])
            if here not in letters:
                letters[here] = shared_letter(
                    x.name
                    for i in members
                    for x in self.s.records[i].inputs
                    if x._record is None and (isinstance(x, Parameter) or x.requires_grad)
                )
        counts = collections.Counter((loop, letter) for (loop, _), letter in letters.items())
        return {here: c if counts[here[0], c] == 1 else "" for here, c in letters.items()}

    def name_others(self) -> None:
        """Inputs, values with names of their own, and values that are used more than once."""
        s = self.s
        numbers: dict[Any, int] = {}
        results = set(s.tape.outputs)
        for i, record in enumerate(s.records):
            if i in self.names or record.op in SEEN_THROUGH:
                continue
            place, own = s.where[i], record.output.name
            when, layer = self.place(i)
            leaves = place is not None and any(s.where[j] != place for j in self.uses[i])
            if own and place is not None and stem(own) and own.endswith(f"_{place[1]}"):
                if record.op == "getitem":  # x_t, which both directions read
                    layer = split_arrow(layer)[1]
                self.names[i] = Name(str(stem(own)), when, layer)
            elif own and (self.inner or place is None or len(self.uses[i]) > 1):
                self.names[i] = Name(own, when, layer)
            elif place is None and record.output in results:
                self.names[i] = Name("L" if record.output.ndim == 0 else "y")
            elif leaves:
                self.names[i] = Name("y", when, layer)
            elif len(set(self.uses[i])) > 1 and record.op != "getitem":
                numbers[place] = number = numbers.get(place, 0) + 1
                self.names[i] = Name(f"v_{number}", when, layer)

    def number_namesakes(self) -> None:
        """Numbers for results outside of time that bear one name, such as two layers' outputs."""
        namesakes: dict[Name, list[int]] = {}
        for i, name in self.names.items():
            if self.s.where[i] is None:
                namesakes.setdefault(name, []).append(i)
        for name, found in namesakes.items():
            for n, i in enumerate(sorted(found), 1) if len(found) > 1 else ():
                self.names[i] = name._replace(layer=".".join(filter(None, (name.layer, str(n)))))


class Equations(Names):
    """What every record of a tape computes.

    Args:
        structure: The tape, read.
        latex: Whether to write LaTeX, without the dollars around it, or plain text.
        generic: Whether steps are written with t, or with their numbers.
        inner: Whether what is used once is still called by its name, if it has one.
        columns: Whether vectors are columns, as in W x.

    Example:
        >>> import numpy as np
        >>> from unspool import Tape, unroll
        >>> from unspool.cells import LSTM
        >>> from unspool.viz.formulas import Equations
        >>> from unspool.viz.structure import read
        >>> tape = Tape(unroll(LSTM(2, 3), np.ones((2, 2), np.float32))[0])
        >>> lines = Equations(read(tape))
        >>> [lines.statement(i) for i, r in enumerate(tape) if r.output.name == "h_2"]
        ['h_2 = o_2 ⊙ tanh(c_2)']
    """

    def __init__(
        self,
        structure: Structure,
        *,
        latex: bool = False,
        generic: bool = False,
        inner: bool = True,
        columns: bool = False,
    ) -> None:
        super().__init__(structure, generic=generic, inner=inner)
        self.script, self.columns = LATEX if latex else TEXT, columns
        self.formulas: list[Formula] = []
        self.mentioned: set[int] = set()

    def write(self) -> None:
        """Write every record's formula, once: a picture may need the names alone."""
        for i in range(len(self.formulas), len(self.s.records)):
            self.formulas.append(self.formula_of(i, self.s.records[i]))

    def statement(self, i: int) -> str:
        """A record's equation, or its right side alone where the result has no name."""
        self.write()
        name = self.names.get(i)
        right = self.formulas[i].text
        left = self.script.name(name) if name is not None else right
        return right if left == right else f"{left} = {right}"

    def way_back(self, records: Sequence[int]) -> str:
        """From which gradient to which others some records lead, the last of them first."""
        self.write()
        last, inside = max(records), {self.s.records[i].output for i in records}
        name = self.names.get(last)
        result = self.script.name(name) if name is not None else self.formulas[last].text
        targets = [
            self.operand(i, k, x).text
            for i in records
            for k, x in enumerate(self.s.records[i].inputs)
            if x not in inside and not is_number(x) and x.dtype.kind == "f"
        ]
        wanted = ", ".join(f"∂L/∂{bracketed(text)}" for text in dict.fromkeys(targets))
        return f"∂L/∂{bracketed(result)} → {wanted}" if wanted else f"∂L/∂{bracketed(result)}"

    def lines(self, *, outside: bool = True) -> list[str]:
        """The equations of one step of each loop, and of what lies ``outside`` of time."""
        self.write()
        steps = {(loop.index, loop.order[min(1, len(loop.order) - 1)]) for loop in self.s.loops}
        results = set(self.s.tape.outputs)
        out = []
        for i, (record, place) in enumerate(zip(self.s.records, self.s.where, strict=True)):
            wanted = i in self.mentioned or record.output in results or self.is_state(i)
            if i in self.names and wanted and (place in steps or (place is None and outside)):
                given = record.op == "getitem" and self.s.made.get(record.inputs[0]) is None
                line = self.statement(i)
                if " = " in line and not given:
                    out.append(line)
        return out

    def is_state(self, i: int) -> bool:
        """Whether a record makes a state."""
        place = self.s.where[i]
        return place is not None and any(self.s.key[i] in t.keys for t in self.s.slots[place[0]])

    def formula_of(self, i: int, record: Record) -> Formula:
        """What a record computes, in terms of what has a name."""
        return self.taken(record) or self.applied(
            record, [self.operand(i, k, x) for k, x in enumerate(record.inputs)]
        )

    def applied(self, record: Record, operands: list[Formula]) -> Formula:
        """A record's op on operands as they are called; in columns W x for x W."""
        op, inputs = str(record.op), record.inputs
        if self.columns and op == "matmul" and self.is_matrix(inputs[1]):
            row, matrix = operands
            if matrix.text.endswith(self.script.top):
                matrix = self.script.transposed(matrix)
            return self.script.matmul(matrix, row)
        if op in ("concatenate", "stack") and self.is_block(record):
            # In columns W stands for the transpose of the code's, and so does a block of them.
            beside = (record.params.get("axis", 0) % 2 == 1) != self.columns
            return self.script.block(operands, beside=beside)
        return formula(record, operands, self.script)

    def is_matrix(self, x: Tensor) -> bool:
        """Whether an operand is a parameter, the transpose of one, or put together of some."""
        if x not in self.s.made:
            return x in self.s.parameters and x.ndim == 2
        record = self.s.records[self.s.made[x]]
        return record.op in MATRICES and x.ndim == 2 and all(map(self.is_matrix, record.inputs))

    def is_block(self, record: Record) -> bool:
        """Whether a matrix is put together of parameters or, outside of time, of given data."""
        outside = self.s.where[self.s.made[record.output]] is None

        def is_given(x: Tensor) -> bool:
            return x._record is None and (outside or x in self.s.parameters)

        return record.output.ndim == 2 and all(
            is_given(x) or self.is_matrix(x) for x in record.inputs
        )

    def written(self, name: Name) -> Formula:
        """A name as an operand."""
        return Formula(self.script.name(name))

    def operand(self, i: int, k: int, x: Tensor) -> Formula:
        """An operand: a name, a number, or the formula that makes it."""
        s = self.s
        slot, place, j = s.entering.get((i, k)), s.where[i], s.made.get(x)
        if slot is not None and place is not None and (self.generic or j is None):
            return self.written(Name(slot.name, self.when(place, 1), self.layers[place[0]]))
        if j is None:
            return self.leaf(x, place)
        if j in self.names:
            there = s.where[j]
            name = self.names[j]
            if place is None and there is not None:
                name = name._replace(when=str(there[1]))  # one of them all, not that of step t
            return self.mention(j, name)
        return self.formulas[j] if len(self.formulas[j].text) <= LONGEST else self.too_long(j)

    def too_long(self, j: int) -> Formula:
        """Give a formula that would not end a name, by its place on the tape."""
        self.names[j] = Name(f"v_{j + 1}", *self.place(j))
        return self.mention(j, self.names[j])

    def mention(self, j: int, name: Name) -> Formula:
        """A record's result by its name, which needs an equation then."""
        self.mentioned.add(j)
        return self.written(name)

    def leaf(self, x: Tensor, place: tuple[int, int] | None) -> Formula:
        """An operand that no record made."""
        if is_number(x) or x.name == "0":
            text = number_text(x).replace("−", "-") if x.size == 1 else "0"
            return Formula(text, PLUS if text.startswith("-") else ATOM)
        layer = self.layer_of.get(x, "")
        if x in self.s.parameters:
            name, number = self.s.parameters[x]
            return self.written(Name(name, "", ".".join(filter(None, (layer, number)))))
        name = x.name or self.s.sequences.get(x) or ("mask" if x.dtype == bool else "const")
        if place is not None and stem(name) and name.endswith(f"_{place[1]}"):
            return self.written(Name(str(stem(name)), self.when(place), layer))
        return self.written(Name(name))

    def taken(self, record: Record) -> Formula | None:
        """What a step takes out of a sequence: what another loop gave at that step, or ``xs_t``."""
        found = part_taken(record) if record.step is not None else None
        if found is None or found[1] + 1 != record.step:
            return None
        return self.part(record.inputs[0], *found)

    def part(self, x: Tensor, axis: int, index: int) -> Formula | None:
        """Position ``index`` of a sequence, in the terms of those who made it."""
        j = self.s.made.get(x)
        when = "t" if self.generic else str(index + 1)
        if j is None:
            name = x.name or self.s.sequences.get(x)
            return self.written(Name(name, when)) if name else None
        record = self.s.records[j]
        along = record.params.get("axis", 0)
        if record.op == "stack" and along == axis and index < len(record.inputs):
            maker = self.s.made.get(record.inputs[index])
            if maker in self.names:
                return self.mention(maker, self.names[maker])
        elif record.op == "concatenate" and along not in (axis, axis - x.ndim):
            parts = [self.part(each, axis, index) for each in record.inputs]
            if all(parts):
                return self.script.stacked(list(filter(None, parts)))
        elif record.op == "embedding":
            ids = self.script.name(Name("ids", when))
            return Formula(f"{self.operand(j, 0, record.inputs[0]).within(ATOM)}[{ids}]")
        elif j in self.names:
            return self.mention(j, self.names[j]._replace(when=when))
        return None
