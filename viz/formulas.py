r"""The mathematics of a tape: what every record computes, as text or as LaTeX.

Nothing is written twice. Ops that are used once are written into each other, so that what has
a name has an equation: states, gates, and what is used more than once. A state is called as
on the tape; a gate by the letter that its parameters share (``W_f U_f b_f`` make ``f``, or
``h̃`` where the letter is a state's), or else by its scope.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..autograd import Parameter, Record, Tensor
from .marks import ARROWS
from .notation import (
    GREEK,
    OVER,
    SYMBOLS,
    index_text,
    is_number,
    number_text,
    printable,
    split_name,
)
from .structure import Group, Structure, part_taken, stem

__all__ = ["Equations", "Formula", "Name", "formula"]

# How closely an op binds; an operand that binds less stands in parentheses.
PLUS, TIMES, PRODUCT, POWER, ATOM = range(1, 6)
LONGEST = 160  # letters of an operand that is still written into an equation
# What changes an array's form alone, and the cut, which changes nothing.
_FORMS = "expand_dims squeeze broadcast_to unbroadcast astype copy positive reshape ravel"
SEEN_THROUGH = frozenset(["cut", *re.split(" ", _FORMS)])
MATRICES = frozenset(["transpose", "concatenate"])  # ops that put matrices together
# Functions for which LaTeX has a command.
COMMANDS = frozenset(
    re.split(" ", "tanh sinh cosh sin cos tan arcsin arccos arctan exp log min max det")
)
# Functions by other names than their ops': those of pictures that are words, and others.
NAMES = {op: sign for op, sign in SYMBOLS.items() if sign.replace(" ", "").isalpha()}
NAMES |= {"arctan2": "atan2", "layer_norm": "LN", "prod": "∏", "relu": "ReLU"}
SIGNS = {"σ": r"\sigma", "Σ": r"\sum", "∏": r"\prod"}


class Formula(NamedTuple):
    """A piece of mathematics, and how closely its outermost op binds."""

    text: str
    rank: int = ATOM


SIGMOIDS = ("sigmoid", "hard_sigmoid")  # what gates are made of


class Name(NamedTuple):
    """What a value is called: ``h`` at ``t-1``, of the layer ``1``; ``bar`` for ``h̃``.

    A layer may begin with an arrow, which stands over the letter.
    """

    base: str
    when: str = ""
    layer: str = ""
    bar: bool = False


# Writing ------------------------------------------------------------------------------------

# Signs of LaTeX and HTML stand as their wide twins, which no reader of either takes for one.
_ESCAPES = {c: chr(ord(c) + 0xFEE0) for c in '"#&<>\\^`~'}
_ESCAPES.update({c: f"\\{c}" for c in "{}_$% "}, **{"…": r"\ldots "})


def escape(text: str) -> str:
    """Any text as it stands inside of ``\\mathrm{}``."""
    return "".join(_ESCAPES.get(c, c) for c in printable(text))


def roman(text: str) -> str:
    """A word in LaTeX's mathematics; a single letter stays italic."""
    if len(text) == 1 and text.isalpha():
        return text
    return text if text.isdigit() else f"\\mathrm{{{escape(text)}}}"


def word(text: str, latex: bool) -> str:
    """A word in a formula."""
    return roman(text) if latex else text


def write_name(name: Name, latex: bool) -> str:
    """A name with its subscripts: ``h_{t-1}``, ``W_f``, ``f_t^{(1)}``."""
    base, sub = split_name(name.base) or (GREEK.get(name.base, shorten(name.base)), "")
    if latex:
        base, sub = roman(base), roman(sub) if sub else ""
    else:
        base, sub = printable(base), printable(sub)
    base = with_bar(base, latex) if name.bar else base
    return subscripted(base, (sub, name.when), name.layer, latex)


def with_bar(letter: str, latex: bool) -> str:
    """The letter of a candidate: h̃."""
    return f"\\tilde{{{letter}}}" if latex else f"{letter}\u0303"


def subscripted(letter: str, subscripts: Iterable[str], layer: str, latex: bool) -> str:
    """A letter with an arrow over it, what stands low behind it, and its layer."""
    arrow, index = split_arrow(layer)
    if arrow:
        letter = f"{LATEX_ARROWS[arrow]}{{{letter}}}" if latex else letter + arrow
    low = ",".join(filter(None, subscripts))
    if low:
        letter += f"_{{{low}}}" if len(low) > 1 and (latex or not low.isalnum()) else f"_{low}"
    if index:
        letter += f"^{{({roman(index)})}}" if latex else f"^({index})"
    return letter


LATEX_ARROWS = {ARROWS["forward"]: r"\overrightarrow", ARROWS["backward"]: r"\overleftarrow"}


def split_arrow(layer: str) -> tuple[str, str]:
    """The arrow over a letter that tells its direction, and its layer."""
    arrow = layer[:1] if layer[:1] in LATEX_ARROWS else ""
    return arrow, layer[len(arrow) :].lstrip(".")


def shorten(text: str) -> str:
    """A name of the user's, cut where it is endless."""
    return text if len(text) <= 28 else text[:27] + "…"


def wrapped(formula: Formula, rank: int) -> str:
    """An operand, in parentheses where it binds less than ``rank``."""
    return formula.text if formula.rank >= rank else f"({formula.text})"


def function(op: str, operands: Iterable[Formula], latex: bool) -> Formula:
    """An op as a function of its operands."""
    name = NAMES.get(op, op.replace("_", " "))
    if latex:
        name = SIGNS.get(name) or (f"\\{name}" if name in COMMANDS else roman(name))
    return Formula(f"{name}({', '.join(operand.text for operand in operands)})")


def matmul(a: Formula, b: Formula, latex: bool) -> Formula:
    """A product of matrices."""
    space = r" \, " if latex else " "
    return Formula(f"{wrapped(a, PRODUCT)}{space}{wrapped(b, PRODUCT)}", PRODUCT)


TOP = {False: "ᵀ", True: r"^\top"}


def transposed(x: Formula, latex: bool) -> Formula:
    """The transpose of a matrix; of a transpose the matrix."""
    if x.rank == POWER and x.text.endswith(TOP[latex]):
        return Formula(x.text.removesuffix(TOP[latex]))
    base = wrapped(x, ATOM)
    if latex and "^" in base:
        base = f"{{{base}}}"
    return Formula(base + TOP[latex], POWER)


def stacked(parts: Sequence[Formula], latex: bool) -> Formula:
    """Vectors one below the other, ``[h; x]``; of many the first and the last."""
    return Formula(f"[{'; '.join(x.text for x in few(parts, latex))}]")


def block(parts: Sequence[Formula], latex: bool, *, beside: bool) -> Formula:
    """A matrix of matrices one below the other, ``[U; W]``, or side by side, ``[U, W]``."""
    if not latex:
        return Formula(f"[{(', ' if beside else '; ').join(x.text for x in few(parts, latex))}]")
    inside = (" & " if beside else r" \\ ").join(x.text for x in few(parts, latex))
    return Formula(rf"\begin{{bmatrix}} {inside} \end{{bmatrix}}")


def few(parts: Sequence[Formula], latex: bool) -> list[Formula]:
    """Up to four parts, or the first and the last with dots between."""
    dots = Formula(r"\ldots" if latex else "…")
    return list(parts) if len(parts) <= 4 else [parts[0], dots, parts[-1]]


def product(record: Record, a: Formula, b: Formula, latex: bool) -> Formula:
    """A product of numbers one by one; a plain number stands in front without a sign."""
    if is_number(record.inputs[1]):
        a, b = b, a
    if is_number(record.inputs[0]) or is_number(record.inputs[1]):
        space = r" \, " if latex else " "
        return Formula(f"{wrapped(a, PRODUCT)}{space}{wrapped(b, TIMES)}", TIMES)
    sign = r" \odot " if latex else " ⊙ "
    return Formula(f"{wrapped(a, TIMES)}{sign}{wrapped(b, TIMES)}", TIMES)


def total(a: Formula, b: Formula) -> Formula:
    """A sum; zeros, as ``sum([...])`` begins with one, are left out."""
    if "0" in (a.text, b.text):
        return b if a.text == "0" else a
    if b.text.startswith("-"):
        return Formula(f"{a.text} - {b.text[1:]}", PLUS)
    return Formula(f"{a.text} + {b.text}", PLUS)


def formula(record: Record, x: list[Formula], latex: bool) -> Formula:
    """A record's op applied to its operands."""
    op = str(record.op)
    if op in SEEN_THROUGH:
        return x[0]
    if op == "add":
        return total(*x)
    if op == "subtract":
        return Formula(f"{x[0].text} - {wrapped(x[1], TIMES)}", PLUS)
    if op == "multiply":
        return product(record, x[0], x[1], latex)
    if op == "matmul":
        return matmul(x[0], x[1], latex)
    if op in ("divide", "reciprocal"):
        a, b = x if op == "divide" else [Formula("1"), *x]
        if latex:
            return Formula(f"\\frac{{{a.text}}}{{{b.text}}}")
        return Formula(f"{wrapped(a, TIMES)} / {wrapped(b, POWER)}", TIMES)
    if op == "negative":
        return Formula(f"-{wrapped(x[0], TIMES)}", PLUS)
    if op in ("power", "square"):
        exponent = x[1].text if op == "power" else "2"
        base = wrapped(x[0], ATOM)
        if not latex:
            return Formula(f"{base}^{exponent if exponent.isalnum() else f'({exponent})'}", POWER)
        return Formula(f"{{{base}}}^{{{exponent}}}", POWER)
    return bracketing(record, x, latex)


def bracketing(record: Record, x: list[Formula], latex: bool) -> Formula:
    """An op whose signs enclose its operands or stand behind them, or a function."""
    op = str(record.op)
    if op == "transpose":
        return transposed(x[0], latex)
    if op == "sqrt":
        return Formula(f"\\sqrt{{{x[0].text}}}" if latex else f"√({x[0].text})")
    if op == "abs":
        return Formula(f"|{x[0].text}|")
    if op == "norm":
        bar = r"\Vert " if latex else "‖"
        return Formula(f"{bar}{x[0].text}{bar}".strip())
    if op == "getitem":
        index = index_text(record.params.get("index"))[1:-1]
        inside = re.sub("[a-z…]+", lambda m: roman(m[0]), index) if latex else index
        return Formula(f"{wrapped(x[0], ATOM)}[{inside}]")
    if op == "embedding":
        return Formula(f"{wrapped(x[0], ATOM)}[{word('ids', latex)}]")
    if op in ("concatenate", "stack"):
        return stacked(x, latex)
    return function(op, x, latex)


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
        self.latex, self.columns = latex, columns
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
        left = write_name(name, self.latex) if name is not None else right
        return right if left == right else f"{left} = {right}"

    def way_back(self, records: Sequence[int]) -> str:
        """From which gradient to which others some records lead, the last of them first."""
        self.write()
        last, inside = max(records), {self.s.records[i].output for i in records}
        name = self.names.get(last)
        result = write_name(name, self.latex) if name is not None else self.formulas[last].text
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
            if matrix.text.endswith(TOP[self.latex]):
                matrix = transposed(matrix, self.latex)
            return matmul(matrix, row, self.latex)
        if op in ("concatenate", "stack") and self.is_block(record):
            # In columns W stands for the transpose of the code's, and so does a block of them.
            beside = (record.params.get("axis", 0) % 2 == 1) != self.columns
            return block(operands, self.latex, beside=beside)
        return formula(record, operands, self.latex)

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
        return Formula(write_name(name, self.latex))

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
                return stacked(list(filter(None, parts)), self.latex)
        elif record.op == "embedding":
            ids = write_name(Name("ids", when), self.latex)
            return Formula(f"{wrapped(self.operand(j, 0, record.inputs[0]), ATOM)}[{ids}]")
        elif j in self.names:
            return self.mention(j, self.names[j]._replace(when=when))
        return None
