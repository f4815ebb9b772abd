"""The pass back through a plan: which gradients the loop computes, and which factors it needs.

Pointwise records are diagonal: the gradient of an operand is that of the result, times a factor at
each element. So the factors along a path are multiplied for all steps at once, and the loop has one
product where paths from one gradient end, and one more for each further gradient that arrives at a
value. The gradient of a weight is one product over many steps.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

from ..autograd import Op
from .calls import (
    ADD,
    COPY,
    MATMUL,
    MULTIPLY,
    ONE,
    PHASES,
    Buffer,
    Call,
    Coefficient,
    Constant,
    Leaves,
    Operand,
    Ref,
    along_row,
    call,
    overlap,
    schedule,
    side_by_side,
    store_gradients,
)
from .plan import Plan

__all__ = ["Backward", "LeafSum", "WeightProduct", "backward_of"]

Form = dict[Ref, Coefficient]  # the gradient of a place: the sum of gradient * coefficient


class WeightProduct(NamedTuple):
    """The gradients of leaves that stand side by side: left.T @ gradient, over many steps."""

    left: Ref
    gradient: Ref
    leaves: tuple[int, ...]


class LeafSum(NamedTuple):
    """The gradients of leaves that pointwise records read: the sum of gradient * factor."""

    gradient: Ref
    factor: Operand
    leaves: tuple[int, ...]


class Backward:
    """The calls of a pass back through a plan's steps, the last one first.

    Args:
        plan: The plan.
        ys: Whether there is a gradient of the outputs.
        masked: Whether there is padding.

    Attributes:
        states: The buffers of the states' gradients.
        ys: The buffer of the outputs' gradients, or None.
        real: The buffer that is 1 at real positions and 0 at padding, or None.
        padded: The buffer that is 0 at real positions and 1 at padding, or None.
        x: The columns of the input's gradient, or None.
        calls: Of each phase.
        phases: Its calls in their order: "after", then "loop" from the last step on, "before".
        products: The gradients of weights, as products.
        sums: The gradients of leaves, as sums.
        added: The buffers that sum up other gradients of a leaf over the whole pass.
        buffers: Those that are filled before the calls run.
        written: The buffers that the calls write.
        specs: The products and the sums.
        shapes: Of the gradients that they give, leaves side by side.
        columns: Each leaf of these, and the index of its columns.
    """

    def __init__(self, plan: Plan, ys: bool, masked: bool) -> None:
        self.plan = plan
        self.forms: dict[str, Form] = {}
        self.calls: dict[str, list[Call]] = {phase: [] for phase in PHASES}
        self.products: list[WeightProduct] = []
        self.sums: list[LeafSum] = []
        self.added: dict[int, Buffer] = {}
        self.mirrors: dict[Buffer, Buffer] = {}
        self.wholes: dict[str, Ref] = {}  # results that are read in parts
        self.taken: set[Ref] = set()  # results whose gradient stands beside others
        self.filled: set[int] = set()  # parts whose gradient is in its place
        self.states = [Buffer(s.shape, extra=1) for s in plan.states]
        mask = plan.padded.shape
        self.real = Buffer(mask) if masked else None
        self.padded = Buffer(mask) if masked else None
        self.ys = Buffer(plan.shapes[plan.y_place]) if ys else None
        if self.ys is not None:
            self._contribute(plan.y_place, self.ys.ref(), ONE)
        for place, k in plan.state_of.items():
            g = self.states[k].ref(1)
            if self.real is not None:
                real = Buffer(g.buffer.shape).ref()
                self._call("loop", MULTIPLY, (g, self.real.ref()), real)
                g = real
            self._contribute(place, g, ONE)
        for k in reversed(plan.members):
            self._propagate(k)
        for k, state in enumerate(self.states):
            self._finish_state(f"i{k + 1}", state)
        form = self._finish("i0")
        self.x = self._materialise("i0", form) if form else None
        self.calls = {p: schedule(found, plan.leaf_shapes) for p, found in self.calls.items()}
        self._merge_sums()
        self.phases = tuple(self.calls[phase] for phase in ("after", "loop", "before"))
        self.written = {x.buffer for c in itertools.chain(*self.calls.values()) for x in c.outs}
        given = [b for b in (self.ys, self.real, self.padded) if b is not None]
        self.buffers = [*self.states, *self.added.values(), *given]
        self.specs: list[WeightProduct | LeafSum] = [*self.products, *self.sums]
        self.columns = [plan.columns(spec.leaves) for spec in self.specs]
        self.shapes = [plan.packed_shape(spec.leaves) for spec in self.specs]

    def _call(self, phase: str, op: Op, operands: tuple[Operand, ...], out: Ref) -> None:
        self.calls[phase].append(call(op, operands, out))

    def _contribute(
        self, place: str, root: Ref, so_far: Coefficient, k: int | None = None, j: int = 0
    ) -> None:
        """Add a path from a gradient to a place."""
        if place in self.plan.wanted:
            found = self.forms.setdefault(place, {})
            new = Coefficient(self.plan.shapes[place])
            found.setdefault(root, new).terms.append((so_far, k, j))

    def _finish(self, place: str) -> Form:
        """Gradient -> coefficient: their sum is the gradient of a place."""
        for (left, phase), group in self.plan.groups.items():
            if left == place:
                self._finish_group(place, phase, group)
        return {root: c.simplified() for root, c in self.forms.pop(place, {}).items()}

    def _propagate(self, k: int) -> None:
        """Carry the gradient of line k's result on to its operands."""
        plan, place = self.plan, f"v{k}"
        self._fill_parts(k)
        form = self._finish(place)
        if not form:
            return
        kind = plan.kinds[k]
        if kind == "part":
            self._put_together(k, form)
        elif kind == "product":
            at = plan.location[place]
            mirror = self._mirror(at.buffer)
            group = self._materialise(place, form, Ref(mirror, at.start, at.stop))
            self.forms[place] = {group: ONE}  # read by _finish_group
        elif kind == "sum":
            products = [x for x in plan.terms[k] if self._is_product(x)]
            wanted = [x for x in plan.terms[k] if isinstance(x, str) and x in plan.wanted]
            if products or len(form) > 1 or (len(wanted) > 2 and ONE not in form.values()):
                form = {self._materialise(place, form, self._columns_for(products)): ONE}
            for x in plan.terms[k]:
                for root, coefficient in form.items():
                    self._pass_on(x, root, coefficient)
        elif kind == "map":
            if len(form) > 1:
                form = {self._materialise(place, form): ONE}
            for j in plan.operands_with_rules(k):
                for root, coefficient in form.items():
                    self._pass_on(plan.lines[k].operands[j], root, coefficient, k, j)
        else:
            self._run_rules(k, self._materialise(place, form))

    def _put_together(self, k: int, form: Form) -> None:
        """Put the gradient of a part into the columns of that of the whole result."""
        (whole,) = self.plan.lines[k].operands
        out = self._columns_of_part(k)
        g = self._materialise(f"v{k}", form, out)
        if g != out:
            self._call(self.plan.phase[f"v{k}"], COPY, (g,), out)
        self.forms[whole] = {self._whole(whole): ONE}
        self.filled.add(k)

    def _fill_parts(self, k: int) -> None:
        """Parts of a result to which no path leads back have a gradient of 0."""
        place = f"v{k}"
        parts = [u for u in self.plan.users[place] if self.plan.kinds[u] == "part"]
        for u in parts if place in self.forms else ():
            if u not in self.filled:
                phase = self.plan.phase[f"v{u}"]
                self._call(phase, COPY, (Constant(0.0),), self._columns_of_part(u))

    def _columns_of_part(self, k: int) -> Ref:
        """The columns for the gradient of a part."""
        columns, whole = self.plan.columns_of(k), self._whole(self.plan.lines[k].operands[0])
        return Ref(whole.buffer, whole.start + columns.start, whole.start + columns.stop)

    def _whole(self, place: str) -> Ref:
        """The columns for the gradient of a result that is read in parts."""
        if place not in self.wholes:
            k = int(place[1:])
            at = self._columns_for([x for x in self.plan.terms[k] if self._is_product(x)])
            self.wholes[place] = at or Buffer(self.plan.shapes[place]).ref()
        return self.wholes[place]

    def _is_product(self, x: Any) -> bool:
        wanted = isinstance(x, str) and x in self.plan.wanted and x[0] == "v"
        return wanted and self.plan.kinds[int(x[1:])] == "product"

    def _columns_for(self, products: list[str]) -> Ref | None:
        """Columns for the gradient of a sum: those of a product in it, so that it stands there."""
        alone = [x for x in products if self.plan.used_up(x)]
        alone.sort(key=lambda x: self.plan.phase[x] != "before")
        if not alone:
            return None
        at = self.plan.location[alone[0]]
        return Ref(self._mirror(at.buffer), at.start, at.stop)

    def _mirror(self, buffer: Buffer) -> Buffer:
        """The buffer for the gradients of a buffer of products."""
        return self.mirrors.setdefault(buffer, Buffer(buffer.shape))

    def _pass_on(
        self, x: Any, root: Ref, so_far: Coefficient, k: int | None = None, j: int = 0
    ) -> None:
        """Add a path to an operand; to a leaf it ends in a sum."""
        if isinstance(x, str) and x[0] == "l" and x in self.plan.wanted:
            coefficient = Coefficient((*root.buffer.shape[:-1], root.stop - root.start))
            coefficient.terms.append((so_far, k, j))
            factor = self._factor(coefficient.simplified())
            self.sums.append(LeafSum(root, factor, (int(x[1:]),)))
        elif isinstance(x, str):
            self._contribute(x, root, so_far, k, j)

    def _materialise(self, place: str, form: Form, out: Ref | None = None) -> Ref:
        """The gradient of a place as columns: ``out``, or new ones, where it has to be computed."""
        if len(form) == 1:
            ((root, coefficient),) = form.items()
            if coefficient is ONE:
                return root
        phase = self.plan.phase.get(place, "loop")
        out = out or self._beside(place) or Buffer(self.plan.shapes[place]).ref()
        # Products first: the sums are added to one of them.
        terms = sorted(form.items(), key=lambda item: item[1] is ONE)
        (first, coefficient), *others = terms
        if coefficient is not ONE:
            self._call(phase, MULTIPLY, (first, self._factor(coefficient)), out)
        elif others:
            second, _ = others.pop(0)
            self._call(phase, ADD, (first, second), out)
        for root, coefficient in others:
            if coefficient is not ONE:
                part = Buffer((*out.buffer.shape[:-1], out.stop - out.start), phase != "loop")
                self._call(phase, MULTIPLY, (root, self._factor(coefficient)), part.ref())
                root = part.ref()
            self._call(phase, ADD, (out, root), out)
        return out

    def _beside(self, place: str) -> Ref | None:
        """The columns that the gradient of a result has beside those of equal ones."""
        at = self.plan.location.get(place)
        if at is None or at.buffer not in self.plan.beside.values() or at in self.taken:
            return None
        self.taken.add(at)
        return Ref(self._mirror(at.buffer), at.start, at.stop)

    def _factor(self, coefficient: Coefficient) -> Operand:
        """A coefficient, or what it is: the other operand of a product."""
        if len(coefficient.terms) == 1:
            ((so_far, k, j),) = coefficient.terms
            if so_far is ONE and k is not None and self.plan.lines[k].op is MULTIPLY:
                return self.plan.operand(self.plan.lines[k].operands[1 - j])
        return coefficient

    def _finish_state(self, place: str, state: Buffer) -> None:
        """The gradient of the state before the step."""
        form, before = self._finish(place), state.ref()
        if len(form) == 1 and next(iter(form.values())) is ONE:
            (root,) = form
            found = [n for n, made in enumerate(self.calls["loop"]) if made.outs == (root,)]
            used = [c for c in self.calls["loop"] if any(overlap(root, x) for x in c.operands)]
            if len(found) == 1 and not used and self.calls["loop"][found[0]].op is MATMUL:
                made = self.calls["loop"][found[0]]
                self.calls["loop"][found[0]] = made._replace(outs=(before,))
            else:
                self._call("loop", COPY, (root,), before)
        elif form:
            self._materialise(place, form, before)
        if self.padded is not None:
            after, padded = state.ref(1), self.padded.ref()
            passed = Buffer(state.shape, timed=False).ref() if form else before
            self._call("loop", MULTIPLY, (after, padded), passed)
            if form:
                self._call("loop", ADD, (before, passed), before)

    def _finish_group(self, left: str, phase: str, group: list[int]) -> None:
        """Products with the same left side: its gradient, and those of the weights.

        One product for each run of neighbouring columns.
        """
        plan = self.plan
        runs: list[tuple[Ref, list[int]]] = []
        for k in group:
            form = self.forms.pop(f"v{k}", None)
            if not form:
                continue
            (g,) = form
            both = side_by_side(runs[-1][0], g, ()) if runs else None
            if both is None:
                runs.append((g, [k]))
            else:
                runs[-1] = both, [*runs[-1][1], k]
        for g, members in runs:
            leaves = tuple(int(plan.lines[k].operands[1][1:]) for k in members)
            if any(f"l{leaf}" in plan.wanted for leaf in leaves):
                self.products.append(WeightProduct(plan.location[left], g, leaves))
            if left in plan.wanted:
                root = Buffer(plan.shapes[left]).ref()
                self._call(phase, MATMUL, (g, Leaves(leaves, transposed=True)), root)
                self._contribute(left, root, ONE)

    def _run_rules(self, k: int, g: Ref) -> None:
        """The rules of a line that is neither pointwise nor a product."""
        plan = self.plan
        op, operands, params, *_ = plan.lines[k]
        wanted = plan.operands_with_rules(k)
        for js in [wanted] if op.variadic else [[j] for j in wanted]:
            read = plan.rule_reads(k, js[0])
            given = [
                plan.operand(x) if at in read else Constant(None)
                for at, x in zip(range(-1, len(operands)), (f"v{k}", *operands))
            ]
            outs = []
            for j in js:
                x = operands[j]
                if x[0] == "l":
                    leaf = int(x[1:])
                    added = self.added.setdefault(leaf, Buffer(plan.leaf_shapes[leaf], timed=False))
                    outs.append(added.ref())
                else:
                    outs.append(self._columns_of_product(x) or Buffer(plan.shapes[x]).ref())
                    self._contribute(x, outs[-1], ONE)
            places = tuple((j, operands[j][0] == "l") for j in js)
            row = plan.row_of(k)
            function = (along_row if row else functools.partial)(
                store_gradients, op, params, places
            )
            made = Call(None, (g, *given), tuple(outs), function, row)
            self.calls[plan.phase[f"v{k}"]].append(made)

    def _columns_of_product(self, x: str) -> Ref | None:
        """The columns for the gradient of a product that one line reads: the product packs them."""
        if not self._is_product(x) or len(self.plan.users[x]) > 1:
            return None
        at = self.plan.location[x]
        return Ref(self._mirror(at.buffer), at.start, at.stop)

    def _merge_sums(self) -> None:
        """Sums over neighbouring columns, with neighbouring factors or none, become one."""
        shapes = self.plan.leaf_shapes
        buffers = [self._buffers_of(s) for s in self.sums]
        order = list(dict.fromkeys(buffers))
        by_buffers = sorted(
            zip(buffers, self.sums, strict=True),
            key=lambda each: (order.index(each[0]), each[1].gradient.start),
        )
        found: list[LeafSum] = []
        for both, s in by_buffers:
            last = found[-1] if found else None
            if last is not None and both is not None and both == self._buffers_of(last):
                gradient = side_by_side(last.gradient, s.gradient, shapes)
                factor = side_by_side(last.factor, s.factor, shapes)
                if gradient is not None and factor is not None:
                    found[-1] = LeafSum(gradient, factor, last.leaves + s.leaves)
                    continue
            found.append(s)
        self.sums = found

    def _buffers_of(self, s: LeafSum) -> tuple[Buffer, Buffer | None] | None:
        """The buffers of a sum's gradient and factor, where the sum is by columns; else None."""
        shape = [self.plan.leaf_shapes[leaf] for leaf in s.leaves]
        width = s.gradient.stop - s.gradient.start
        by_columns = {len(each) for each in shape} == {1} and sum(n for (n,) in shape) == width
        if not by_columns or not (s.factor is ONE or isinstance(s.factor, Ref)):
            return None
        return s.gradient.buffer, s.factor.buffer if isinstance(s.factor, Ref) else None


def backward_of(plan: Plan, ys: bool, masked: bool) -> Backward:
    """The pass back by what is asked for, made once; see ``Backward``."""
    found: Backward | None = plan.adjoints.get((ys, masked))
    if found is None:
        found = plan.adjoints[ys, masked] = Backward(plan, ys, masked)
    return found
