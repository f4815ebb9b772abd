r"""The equations of backpropagation through time, read off the tape of the pass back.

A gradient is a sum of products. Each rule of the pass is a few records, and they are written as
algebra: common factors are taken out, so that ``g - g * y * y`` is g ⊙ (1 - y²), and equal terms
of all time steps are one sum Σ_t. δ is the gradient before a gate's function: δ_{f,t} that of
``x_t W_f + h_{t-1} U_f + b_f``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Record, Tape, Tensor, recording, split_scope
from .formulas import LONGEST, SEEN_THROUGH, Equations, formula
from .notation import is_number
from .structure import read
from .writing import ATOM, PLUS, TIMES, Formula, Name

__all__ = ["Adjoints", "adjoints_of"]

Place = tuple[int, int]  # loop, step
# Functions of each number: the gradient before one is a δ.
FUNCTIONS = frozenset(
    re.split(
        " ",
        "tanh sigmoid relu hard_sigmoid softplus log_sigmoid silu gelu elu leaky_relu exp softmax",
    )
)
FORMS = SEEN_THROUGH | {"recorded"}  # a Parameter that has been updated since is the same
ARITHMETIC = frozenset(["add", "subtract", "multiply", "negative", "divide", "square", "power"])
WHERE = {"relu": "{} > 0", "leaky_relu": "{} > 0", "elu": "{} > 0"}  # a rule's constant mask


class Term(NamedTuple):
    """A product: a number, and factors that are multiplied one by one."""

    number: float
    factors: tuple[Formula, ...]


class Adjoints:
    """What every record of a backward pass computes, in the terms of the forward pass.

    Args:
        tape: The forward tape.
        gradients: What ``tape.gradients(seed)`` returned for a Tensor as seed.
        latex, columns, inner: As in ``Equations``.

    Attributes:
        named: A gradient -> its name, where it has one, and the place of what it is of.
    """

    def __init__(
        self,
        tape: Tape,
        gradients: Mapping[Tensor, Tensor],
        *,
        latex: bool = False,
        columns: bool = False,
        inner: bool = False,
    ) -> None:
        self.s = read(tape)
        self.names = Equations(self.s, latex=latex, generic=True, inner=inner, columns=columns)
        self.names.write()
        self.script, self.columns, self.inner = self.names.script, columns, inner
        self.gradients = gradients
        self.forward = {record.index: i for i, record in enumerate(self.s.records)}
        made = (g for g in gradients.values() if g._record is not None)
        self.records = [r for r in Tape(*made) if r.origin is not None] if gradients else []
        self.made = {record.output: i for i, record in enumerate(self.records)}
        self.whole = set(gradients.values())
        self.loops: dict[tuple[str, ...], int] = {}
        for loop in self.s.loops:
            self.loops.setdefault(loop.path, loop.index)
        self.known: dict[tuple[Tensor, Place | None], list[Term]] = {}
        self.named: dict[Tensor, tuple[str, Name, Place | None]] = {}
        self.products: dict[Formula, tuple[Formula, Formula]] = {}
        self.explained: Tensor | None = None  # whose equation is being written
        self.first_states()
        self.name_gradients()
        self.name_long()

    # Names ------------------------------------------------------------------------------------

    def first_states(self) -> None:
        """States that no record made, such as h_0, with the place before the first step."""
        self.given: dict[Tensor, tuple[Name, Place]] = {}
        self.arrays: dict[int, tuple[Name, Place]] = {}  # those of constants in the code
        for (i, k), slot in self.s.entering.items():
            x, place = self.s.records[i].inputs[k], self.s.where[i]
            if x not in self.s.made and place is not None:
                before = place[1] + (1 if self.s.loops[place[0]].reverse else -1)
                name = Name(slot.name, "", self.names.layers[place[0]])
                self.given[x] = self.arrays[id(x.data)] = (name, (place[0], before))

    def name_gradients(self) -> None:
        """Names for the gradients of states, of what a gate's function is applied to, of leaves."""
        s, names = self.s, self.names.names
        stated = [i for i in range(len(s.records)) if self.names.is_state(i)]
        outside = [i for i in names if s.where[i] is None]
        taken = [i for i in names if s.records[i].op == "getitem" and s.where[i] is not None]
        for i in (*stated, *outside, *taken):
            if i in names:
                self.name(s.records[i].output, "∂", names[i], s.where[i])
        unnamed: dict[Place, int] = {}
        for i, record in enumerate(s.records):
            place = s.where[i]
            if str(record.op) in FUNCTIONS and place is not None and self.is_sum(record.inputs[0]):
                name = names.get(i)
                alone = self.functions_of(place) == 1
                if name is None:
                    unnamed[place] = count = unnamed.get(place, 0) + 1
                    name = Name("" if alone else str(count), "", self.names.layers[place[0]])
                elif alone and self.names.is_state(i) and not name.bar:
                    name = name._replace(base="")
                self.name(record.inputs[0], "δ", name, place)
        if self.inner:
            for i, name in names.items():
                self.name(s.records[i].output, "∂", name, s.where[i])
        for x, (base, number) in s.parameters.items():
            layer = ".".join(filter(None, (self.names.layer_of.get(x, ""), number)))
            self.name(x, "∂", Name(base, "", layer), None)
        for x, (name, place) in self.given.items():
            self.name(x, "∂", name, place)

    def name(self, x: Tensor, kind: str, name: Name, place: Place | None) -> None:
        """Name the gradient of a Tensor, unless it has none, or is another's too."""
        g = self.gradients.get(x)
        if g is not None and not is_number(g):  # that of a scalar loss is 1
            self.named.setdefault(g, (kind, name, place))

    def name_long(self) -> None:
        """Names for parts of a rule that would make a line endless: ε_{1,t}, ε_{2,t}, ..."""
        counts: dict[Place, int] = {}
        for i, record in enumerate(self.records):
            place = self.place_of(i)
            if place is None or record.output in self.named or record.op == "add":
                continue
            if len(self.single(self.terms(record.output, place))[1].text) > LONGEST:
                counts[place] = number = counts.get(place, 0) + 1
                name = Name(f"ε_{number}", "", self.names.layers[place[0]])
                self.named[record.output] = ("", name, place)

    def is_sum(self, x: Tensor) -> bool:
        """Whether a Tensor is a sum or a product, as before a gate's function."""
        j = self.s.made.get(x)
        return j is not None and j not in self.names.names and self.s.where[j] is not None

    def functions_of(self, place: Place) -> int:
        """How many gates' functions there are in a step."""
        here = self.s.loops[place[0]].steps[place[1]]
        records = (self.s.records[i] for i in here)
        return sum(str(r.op) in FUNCTIONS and self.is_sum(r.inputs[0]) for r in records)

    def when(self, place: Place | None, ref: Place | None) -> str:
        """A place as a subscript, seen from another one."""
        if place is None:
            return ""
        if ref is None or (place[0] != ref[0] and abs(place[1] - ref[1]) > 1):
            return str(place[1])
        return f"t{place[1] - ref[1]:+d}" if place[1] != ref[1] else "t"

    def written(self, name: Name, place: Place | None, ref: Place | None) -> Formula:
        """A value's name, as it is called from a place."""
        if place is not None:
            name = name._replace(when=self.when(place, ref))
        return self.names.written(name)

    def gradient_name(self, g: Tensor, ref: Place | None) -> Formula:
        """``∂L/∂h_{t-1}`` or ``δ_{f,t}``."""
        kind, name, place = self.named[g]
        if not kind:
            return self.written(name, place, ref)
        if kind == "∂":
            return self.script.derivative(self.written(name, place, ref))
        low = self.script.word(name.base) if name.base else ""
        low = self.script.with_bar(low) if name.bar else low
        subscripts = (low, self.when(place, ref))
        return Formula(self.script.subscripted(self.script.delta, subscripts, name.layer))

    def deltas(self) -> dict[Tensor, str]:
        """What the gradients that are a δ are called at their time steps: ``δ_{f,3}``."""
        return {
            x: self.gradient_name(g, None).text
            for x, g in self.gradients.items()
            if g in self.named and self.named[g][0] == "δ" and x._record is not None
        }

    # Values of the forward pass -------------------------------------------------------------------

    def value(self, x: Tensor, ref: Place | None, mask: str = "") -> Formula:
        """An operand of a rule that is of the forward pass: its name, or what it is."""
        s = self.s
        first = self.given.get(x) or (self.arrays.get(id(x.data)) if x._record is None else None)
        if first is not None:
            return self.written(*first, ref)
        j = s.made.get(x)
        if j is None:
            if not x.requires_grad and x.name is None and mask and x.size > 1:
                return Formula(f"[{mask}]")
            return self.names.leaf(x, ref)
        if j in self.names.names:
            return self.written(self.names.names[j], s.where[j], ref)
        record = s.records[j]
        return self.names.taken(record) or self.names.applied(
            record, [self.value(y, ref) for y in record.inputs]
        )

    # Gradients ------------------------------------------------------------------------------------

    def place_of(self, i: int) -> Place | None:
        """The loop and step of a backward record."""
        parts = split_scope(self.records[i].scope[1:])
        return None if parts is None else (self.loops.get(parts[0], 0), parts[1])

    def terms(self, x: Tensor, ref: Place | None) -> list[Term]:
        """An operand of a backward record as a sum of products, as it is written from a place."""
        if x in self.named:
            return [Term(1, (self.gradient_name(x, ref),))]
        if x not in self.made:
            if is_number(x):
                return [Term(float(x.item()), ())]
            return [Term(1, (self.value(x, ref),))]
        if (x, ref) not in self.known:
            found = self.rule(self.made[x], ref)
            self.known[x, ref] = [self.factored(found)] if x in self.whole else found
        return self.known[x, ref]

    def rule(self, i: int, ref: Place | None) -> list[Term]:
        """What a backward record computes."""
        record = self.records[i]
        op, (x, *_) = str(record.op), record.inputs
        # What changes the form alone; a broadcast number stays a number.
        if op == "unbroadcast" and self.parts(x):
            return self.gathered(record.output)
        if op in FORMS or (op == "getitem" and x.size == record.output.size):
            return self.terms(x, ref)
        known = None
        if op in ("where", "getitem"):
            known = self.classes(record, ref) if op == "where" else self.part(record, ref)
        elif op == "matmul":
            known = self.product(record, ref)
        elif op in ARITHMETIC and self.is_simple(record):
            known = self.arithmetic(record, ref)
        return [Term(1, (self.other(record, ref),))] if known is None else known

    def is_simple(self, record: Record) -> bool:
        """Whether a quotient or a power is one by a number, of which powers are 1 and 2."""
        if record.op not in ("divide", "power"):
            return True
        n = record.inputs[1]
        return is_number(n) and (record.op == "divide" or n.item() in (1, 2))

    def arithmetic(self, record: Record, ref: Place | None) -> list[Term]:
        """A sum, a product of numbers one by one, or a multiple."""
        op, inputs = str(record.op), record.inputs
        if op == "multiply":
            mask = self.mask(record, ref)
            parts = (
                self.terms(x, ref)
                if x in self.made or x in self.named or is_number(x)
                else [Term(1, (self.value(x, ref, mask),))]
                for x in inputs
            )
            return [times(*map(self.factored, parts))]
        terms = self.terms(inputs[0], ref)
        if op in ("square", "power"):
            one = self.factored(terms)
            return [one] if op == "power" and inputs[1].item() == 1 else [times(one, one)]
        if op in ("negative", "divide"):
            size = -1.0 if op == "negative" else 1 / float(inputs[1].item())
            return [Term(size * n, factors) for n, factors in terms]
        sign = -1 if op == "subtract" else 1
        found = merged([*terms, *(Term(sign * n, f) for n, f in self.terms(inputs[1], ref))])
        one = self.factored(found)  # g - g y y is one product, not two terms of a sum
        return [one] if op == "subtract" and len(one.factors) > 1 else found

    def classes(self, record: Record, ref: Place | None) -> list[Term] | None:
        """The rule of the cross-entropy: what the softmax says, less what is right."""
        i = self.forward.get(record.origin if record.origin is not None else -1)
        if i is None or self.s.records[i].op != "cross_entropy":
            return None
        loss = self.s.records[i]
        scores, share = self.value(loss.inputs[0], ref), loss.params["share"]
        softmax, right, target, weight = map(
            self.script.word, ("softmax", "onehot", "target", "share")
        )
        inside = f"{softmax}({scores.text}) - {right}({target})"
        even = share.size > 0 and (share == share.flat[0]).all()
        mine = Term(float(share.flat[0]) if even else 1, (Formula(inside, PLUS),))
        if not even:
            mine = times(mine, Term(1, (Formula(weight),)))
        g = self.gradients.get(loss.output)
        return [mine if g is None else times(self.factored(self.terms(g, ref)), mine)]

    def mask(self, record: Record, ref: Place | None) -> str:
        """What the constant of a rule such as ReLU's says: where it was greater than 0."""
        i = self.forward.get(record.origin if record.origin is not None else -1)
        if i is None or str(self.s.records[i].op) not in WHERE:
            return ""
        return WHERE[str(self.s.records[i].op)].format(
            self.value(self.s.records[i].output, ref).text
        )

    def part(self, record: Record, ref: Place | None) -> list[Term] | None:
        """A step's part of a sequence's gradient: ∂L/∂y_t of ∂L/∂ys."""
        index, (x,) = record.params["index"], record.inputs
        last = index[-1] if isinstance(index, tuple) else index
        if not isinstance(last, int):
            return None
        j = self.made.get(x)
        if j is not None and self.records[j].op == "scatter_add":
            sources = self.records[j]
            found = [
                part
                for part, at in zip(sources.inputs, sources.params["indices"], strict=True)
                if same_index(at, index)
            ]
            if len(found) == 1:
                return self.terms(found[0], ref)
        if x in self.named and self.named[x][0] == "∂" and self.named[x][2] is None:
            name = self.named[x][1]
            base = name.base[:-1] if name.base.endswith("s") and len(name.base) > 1 else name.base
            # Position k of a sequence is step k + 1, of the loop that made it.
            i = self.forward.get(record.origin if record.origin is not None else -1)
            made = self.s.made.get(self.s.records[i].inputs[last]) if i is not None else None
            place = self.s.where[made] if made is not None else None
            step = (place[0] if place else ref[0] if ref else 0, last + 1)
            of = self.written(name._replace(base=base), step, ref)
            return [Term(1, (self.script.derivative(of),))]
        return None

    def pairs(self, i: int) -> list[tuple[Tensor, Tensor]]:
        """Of a product [x_1; ...; x_T]ᵀ [δ_1; ...; δ_T] the x_t and δ_t, else nothing."""
        left, right = self.records[i].inputs
        turned = self.made.get(left)
        deltas = self.parts(right)
        if turned is None:  # the x_t are constants in the code
            return [(left, delta) for delta in deltas] if left not in self.s.made else []
        xs = self.parts(self.records[turned].inputs[0])
        return list(zip(xs, deltas, strict=True)) if len(xs) == len(deltas) else []

    def product(self, record: Record, ref: Place | None) -> list[Term]:
        """A matrix product; one of two sequences is a sum over their steps."""
        i = self.made[record.output]
        if self.pairs(i):
            return self.gathered(record.output)
        left, right = record.inputs
        turned = self.made.get(left)
        if turned is not None and self.records[turned].op == "transpose":
            at = self.place_within(right) or ref
            inner = self.records[turned].inputs[0]
            return [self.matmul(self.turned(self.terms(inner, at)), self.terms(right, at))]
        return [self.matmul(self.terms(left, ref), self.terms(right, ref))]

    def is_form(self, x: Tensor) -> bool:
        """Whether a Tensor is another one in another form, made in the pass back."""
        return x in self.made and str(self.records[self.made[x]].op) in FORMS

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """What a sequence is joined from."""
        i = self.made.get(x)
        if i is None or self.records[i].op != "concatenate":
            return ()
        return self.records[i].inputs

    def place_within(self, g: Tensor) -> Place | None:
        """The time step of what a gradient is of, or in which it was computed, in any form."""
        while g in self.made:
            of = self.named[g][2] if g in self.named and g is not self.explained else None
            if of is not None:
                return of
            place = self.place_of(self.made[g])
            if place is not None or not self.is_form(g):
                return place
            g = self.records[self.made[g]].inputs[0]
        return None

    def turned(self, terms: list[Term]) -> list[Term]:
        """A transpose; that of a product is one of transposes."""
        n, text = self.single(terms)
        if text in self.products:
            left, right = (self.turned([Term(1, (x,))]) for x in self.products[text])
            if not self.columns:
                left, right = right, left
            return [times(Term(n, ()), self.matmul(left, right))]
        return [Term(n, (self.script.transposed(text),))]

    def matmul(self, left: list[Term], right: list[Term]) -> Term:
        """A product of two matrices, with their numbers in front."""
        (m, a), (n, b) = self.single(left), self.single(right)
        if self.columns:
            a, b = b, a
        text = self.script.matmul(a, b)
        self.products[text] = a, b
        return Term(m * n, (text,))

    def single(self, terms: list[Term]) -> tuple[float, Formula]:
        """A sum of products as a number and one formula."""
        number, factors = self.factored(terms)
        return number, self.joined(factors)

    def contributions(self, x: Tensor) -> Iterator[tuple[Place | None, Term]]:
        """What the gradient of a value that several steps use is a sum of: each from its step."""
        stack = [x]  # no recursion: a sum over time is as deep as it is long
        while stack:
            y = stack.pop()
            at = self.place_within(y)
            if y not in self.made or self.is_named(y):
                yield from ((at, term) for term in self.terms(y, at))
                continue
            i = self.made[y]
            record = self.records[i]
            summed: tuple[Tensor, ...] = record.inputs if record.op == "add" else ()
            if record.op == "unbroadcast":
                summed = self.parts(record.inputs[0])
            stack += reversed(summed)
            pairs = self.pairs(i) if record.op == "matmul" else []
            for x_t, d_t in pairs:
                then = self.place_within(d_t)
                yield then, self.matmul(self.turned(self.terms(x_t, then)), self.terms(d_t, then))
            if not summed and not pairs:
                yield from ((at, term) for term in self.rule(i, at))

    def is_named(self, x: Tensor) -> bool:
        """Whether a gradient has a name that is not the one being explained."""
        return x in self.named and x is not self.explained

    def gathered(self, x: Tensor) -> list[Term]:
        """The gradient of what several steps use, with one Σ_t for what all of them give."""
        places: dict[Term, list[Place | None]] = {}
        for place, term in self.contributions(x):
            places.setdefault(term, []).append(place)
        out = []
        for term, found in places.items():
            if None in found or len(set(found)) == 1:
                out += [term] * len(found)
                continue
            n, text = self.single([term._replace(number=1)])
            summed = Formula(self.script.sum_over_time + text.within(TIMES), TIMES)
            out.append(Term(term.number * n, (summed,)))
        return merged(out)

    def other(self, record: Record, ref: Place | None) -> Formula:
        """An op without algebra of its own, by the same rules as in the forward pass."""
        op = str(record.op)
        if op in ("transpose", "swapaxes"):
            return self.turned(self.terms(record.inputs[0], ref))[0].factors[0]
        if op == "scatter_add" and len(record.inputs) == 1:
            (index,) = record.params["indices"]
            if getattr(index, "ndim", 0):
                onehot, ids = map(self.script.word, ("onehot", "ids"))
                a = [Term(1, (Formula(f"{onehot}({ids})"),))]
                return self.matmul(self.turned(a), self.terms(record.inputs[0], ref)).factors[0]
        if op == "scatter_add":
            indices = record.params["indices"]
            by_place = sorted(
                zip(map(str, indices), record.inputs, strict=True), key=lambda p: p[0]
            )
            texts = [self.joined(self.factored(self.terms(x, None)).factors) for _, x in by_place]
            return self.script.stacked(texts)
        operands = [Formula(*self.plain(self.terms(x, ref))) for x in record.inputs]
        return formula(record, operands, self.script)

    # Algebra ----------------------------------------------------------------------------------

    def factored(self, terms: list[Term]) -> Term:
        """A sum of products as one product: common factors in front of a sum of the rest."""
        if len(terms) == 1:
            return terms[0]
        if not terms:
            return Term(0, ())
        common: list[Formula] = []
        rest = [list(factors) for _, factors in terms]
        for factor in terms[0].factors:
            if all(factor in factors for factors in rest):
                common.append(factor)
                for factors in rest:
                    factors.remove(factor)
        left = [Term(n, tuple(f)) for (n, _), f in zip(terms, rest, strict=True)]
        return Term(1, (*common, Formula(*self.plain(merged(left)))))

    def joined(self, factors: tuple[Formula, ...]) -> Formula:
        """Factors as a product, equal ones as a power."""
        if not factors:
            return Formula("1")
        counts = Counter(factors)
        powers = [x if n == 1 else self.script.power(x, str(n)) for x, n in counts.items()]
        return powers[0] if len(powers) == 1 else self.script.product(powers)

    def plain(self, terms: list[Term]) -> tuple[str, int]:
        """A sum of products as text, and how closely it binds; what is subtracted stands last."""
        if not terms:
            return "0", ATOM
        out = ""
        for number, factors in sorted(terms, key=lambda term: term.number < 0):
            size = abs(number)
            text = self.joined(factors)
            if factors and size != 1:
                over = 1 / size
                if size < 1 and abs(over - round(over)) < 1e-6 * over:
                    text = Formula(f"{text.within(TIMES)} / {round(over)}", TIMES)
                else:
                    text = self.script.multiple(Formula(f"{size:g}"), text)
            elif not factors:
                text = Formula(f"{size:g}")
            sign = " - " if number < 0 else " + "
            one = len(terms) == 1
            piece = text.text if text.rank > PLUS or one else text.within(TIMES)
            out += f"{sign}{piece}" if out else f"-{text.within(TIMES)}" if number < 0 else piece
        if len(terms) == 1 and terms[0].number > 0:
            return out, text.rank
        return out, PLUS

    # Lines ------------------------------------------------------------------------------------

    def lines(self, *, outside: bool) -> list[str]:
        """The equations of one step of each loop, of the leaves, and of what is outside of time."""
        steps = {
            (loop.index, loop.order[len(loop.order) // 2]) for loop in self.s.loops if loop.order
        }
        leaves = {g: x for x, g in self.gradients.items() if x._record is None}
        wanted = {self.gradients[x] for x in self.s.parameters if x in self.gradients}
        out, last = [], {}
        for i, record in enumerate(self.records):
            g = record.output
            if g not in self.named:
                continue
            self.explained = g
            of, place = self.named[g][2], self.place_of(i)
            if g in wanted:
                last[leaves[g]] = self.line(g, self.gathered(g), place)
            elif of is None and outside and g not in leaves:
                out.append(self.line(g, self.gathered(g), None))
            elif of is not None and (place or of) in steps and g not in leaves:
                out.append(self.line(g, self.rule(i, place or of), place or of))
        return [*out, *(last[x] for x in self.s.parameters if x in last)]

    def line(self, g: Tensor, terms: list[Term], ref: Place | None) -> str:
        """An equation; of a sum what came last stands first, as the forward pass has it."""
        one = self.factored(terms)
        kept = [one] if len(terms) > 1 and len(one.factors) > 1 else terms[::-1]
        text, _ = self.plain(kept)
        return f"{self.gradient_name(g, ref).text} = {text}"


def same_index(a: Any, b: Any) -> bool:
    """Whether two indices are one; arrays are not compared."""
    a, b = (x if isinstance(x, tuple) else (x,) for x in (a, b))
    simple = all(isinstance(part, (int, slice, type(None), type(Ellipsis))) for part in (*a, *b))
    return simple and a == b


def times(a: Term, b: Term) -> Term:
    """The product of two products."""
    return Term(a.number * b.number, (*a.factors, *b.factors))


def merged(terms: Iterable[Term]) -> list[Term]:
    """Equal products of a sum as one."""
    sums: dict[tuple[Formula, ...], float] = {}
    for number, factors in terms:
        sums[factors] = sums.get(factors, 0) + number
    return [Term(number, factors) for factors, number in sums.items() if number]


def adjoints_of(
    tape: Tape,
    *,
    latex: bool = False,
    inner: bool = False,
    columns: bool = False,
    outside: bool = True,
) -> Adjoints:
    """The pass back from the outputs of a tape, read; of the first alone if not ``outside``."""
    seeds = []
    for n, output in enumerate(tape.outputs):
        scalar = output.size == 1 and output.ndim == 0
        counts = output.dtype.kind == "f" and (outside or n == 0)
        name = output.name or "y"
        ones = np.ones(output.shape, output.dtype)
        seeds.append(Tensor(ones, name=None if scalar else f"∂L/∂{name}") if counts else None)
    with recording():
        gradients = tape.gradients(seeds if len(seeds) > 1 else seeds[0])
    return Adjoints(tape, gradients, latex=latex, inner=inner, columns=columns)
