"""The source of a compiled loop, written from a plan's calls: one simple loop for each of them.

LLVM vectorises a simple loop; one long loop body it does not.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import CONCATENATE, TABLE, Op
from .adjoint import Backward, LeafSum, WeightProduct
from .calls import (
    ADD,
    MATMUL,
    MULTIPLY,
    ONE,
    Buffer,
    Call,
    Coefficient,
    Constant,
    Leaves,
    Ref,
    hold,
    overlap,
    store_gradients,
)
from .kernels import NotCompiled, forward_of, numba_or_none, product, row_functions, scalar
from .plan import Plan, is_slice

__all__ = ["Source"]

# Written as they are, as calls of functions take longer to compile.
SIGNS = {
    TABLE[np.add]: " + ",
    TABLE[np.subtract]: " - ",
    TABLE[np.multiply]: " * ",
    TABLE[np.divide]: " / ",
}
OPTIONS = ("eps", "ddof")  # of ops along a row
ZERO, ONE_MORE = "T(0.0)", "T(1.0)"  # what a product's result is added to: nothing, or itself


class Source:
    """The source of a pass through the steps of a block, while it is written.

    Args:
        plan: The plan.
        phases: The calls at once before the loop, in the loop, and at once after it.
        back: The pass back, or None for the forward one.
        char: The dtype's.

    Attributes:
        text: The source of ``loop(steps, rows, first, ...)``: ``rows`` are those of the batch,
            ``first`` is 1 where the gradients of leaves are empty, else 0.
        names: What it reads: compiled functions.
        operands: What it takes besides: buffers and leaves side by side, in order; then come the
            gradients of leaves.
    """

    def __init__(
        self, plan: Plan, phases: Sequence[Sequence[Call]], back: Backward | None, char: str
    ) -> None:
        self.plan, self.char = plan, char
        self.lead = len(plan.lead)
        self.names: dict[str, Any] = {"np": np, "T": np.dtype(char).type}
        self.operands: dict[Any, str] = {}
        self.views: dict[str, str] = {}
        self.added = {*back.added.values()} if back else set()
        blas, self.names["gemm"] = product(char)
        self.keys: list[Any] = [char, blas]
        before, loop, after = phases
        lines = self.at_once(before)
        lines += [f"for t in {'range(steps - 1, -1, -1)' if back else 'range(steps)'}:"]
        lines += indented(self.loop(loop))
        lines += self.at_once(after)
        totals = [f"g{n}" for n in range(len(back.specs))] if back else []
        if back is not None:
            products = len(back.products)
            lines += map(self.weights, back.products, totals)
            lines += self.sums(back.sums, back.shapes[products:], totals[products:])
        given = ", ".join(["steps", "rows", "first", *self.operands.values(), *totals])
        self.text = "\n".join([f"def loop({given}):", *indented(lines or ["pass"]), ""])

    def signature(self, shapes: Sequence[tuple[int, ...]]) -> tuple[Any, ...]:
        """numba's types of its arguments; ``shapes`` are those of the gradients of leaves."""
        t = numba_or_none().types
        number = t.float64 if self.char == "d" else t.float32
        found = [
            t.Array(t.boolean, 3, "C")
            if x is self.plan.padded
            else t.Array(number, 3 if x.timed else 2, "C")
            if type(x) is Buffer
            else t.Array(number, 2 if len(self.plan.leaf_shapes[x.places[0]]) > 1 else 1, "C")
            for x in self.operands
        ]
        totals = [t.Array(number, 2 if len(shape) > 1 else 1, "C") for shape in shapes]
        return (t.int64, t.int64, t.int64, *found, *totals)

    def function(self, make: Callable[..., Any], *key: Any) -> str:
        """The name of a compiled function."""
        if key not in self.keys:
            self.keys.append(key)
            self.names[f"f{len(self.keys) - 1}"] = make(*key, self.char)
        return f"f{self.keys.index(key)}"

    def argument(self, x: Any) -> str:
        """The name of a buffer or of leaves side by side."""
        return self.operands.setdefault(x, f"{'bl'[type(x) is Leaves]}{len(self.operands)}")

    # Calls

    def at_once(self, calls: Sequence[Call]) -> list[str]:
        """The lines of calls for all steps at once."""
        lines: list[str] = []
        for are_products, group in itertools.groupby(calls, lambda call: call.op is MATMUL):
            if are_products:
                lines += [self.product(call, at_once=True) for call in group]
            else:
                lines += ["for t in range(steps):", *indented(self.rows(map(self.call, group)))]
        return lines

    def loop(self, calls: Sequence[Call]) -> list[str]:
        """The lines of the calls of a step: its products, and the rows between them."""
        lines: list[str] = []
        added = added_products(calls)
        products = {total: calls[n]._replace(outs=calls[total].outs) for n, total in added.items()}
        products |= {
            n: call for n, call in enumerate(calls) if call.op is MATMUL and n not in added
        }
        others = [n for n in range(len(calls)) if n not in added]
        for are_products, group in itertools.groupby(others, products.__contains__):
            if are_products:
                sums = added.values()
                lines += [self.product(products[n], ONE_MORE if n in sums else ZERO) for n in group]
            else:
                lines += self.rows(self.call(calls[n]) for n in group)
        return lines

    def call(self, call: Call) -> list[str]:
        """What a call does in row r at step t: a loop over its elements j, or several."""
        (out,) = call.outs[:1]
        partial = call.function if isinstance(call.function, functools.partial) else None
        if partial is not None and partial.func is store_gradients:
            return self.gradients(call, *partial.args)
        if call.function is hold:
            old, padded = (self.element(x, out) for x in call.operands)
            value = f"{old} if {padded} else {self.element(out, out)}"
        elif call.op is None or not call.op.pointwise:
            return self.along(call, partial.args[1] if partial else {})
        elif call.op in SIGNS:
            value = SIGNS[call.op].join(self.element(x, out) for x in call.operands)
        else:
            given = [self.element(x, out) for x in call.operands]
            given += map(self.number, partial.args[1].values() if partial else ())
            value = f"{self.function(forward_of, call.op)}({', '.join(given)})"
        return each(out, f"{self.element(out, out)} = {value}")

    def along(self, call: Call, params: dict[str, Any]) -> list[str]:
        """A call of an op along a row."""
        (out,) = call.outs
        if any(type(x) is not Ref for x in call.operands):
            raise NotCompiled(f"{call.op} in the step is not of rows of the batch")
        if call.op is CONCATENATE:
            return [
                line
                for x, columns in zip(call.operands, beside(out, call.operands), strict=True)
                for line in each(x, f"{self.element(columns, columns)} = {self.element(x, x)}")
            ]
        if call.op is not None and is_slice(call.op, params):
            x = taken(call.operands[0], params)
            return each(out, f"{self.element(out, out)} = {self.element(x, x)}")
        return self.by_rows(call.op, params, 0, (call.operands[0], out), call.row)

    def gradients(self, call: Call, op: Op, params: Any, places: Sequence[Any]) -> list[str]:
        """A rule of an op that broadcasts, or that goes along a row."""
        g, *given = call.operands
        out, (j, added) = call.outs[0], places[0]
        if op is CONCATENATE:
            parts = beside(g, given[1:])
            return [
                line
                for x, (k, _) in zip(call.outs, places, strict=True)
                for line in each(x, f"{self.element(x, x)} = {self.element(parts[k], x)}")
            ]
        if is_slice(op, params):
            columns = taken(out, params)
            value = f"{self.element(columns, columns)} = {self.element(g, g)}"
            return each(out, f"{self.element(out, out)} = T(0.0)") + each(g, value)
        if not op.pointwise:
            rows = [x if type(x) is Ref else g for x in (g, *given)]  # g for what is not read
            return self.by_rows(op, params, 1, (*rows, out), call.row)
        elements = [self.element(x, g) for x in (g, *given)]
        options = [self.number(value) for value in params.values()]
        name = self.function(scalar, op.rules[j])  # type: ignore[index]
        value = f"{name}({', '.join([*elements, *options])})"
        into = self.element(out, g)
        if out.stop - out.start == g.stop - g.start:
            return each(g, f"{into} {'+=' if added else '='} {value}")
        start = [] if added else [f"{into} = T(0.0)"]
        return start + each(g, f"{into} += {value}")

    def by_rows(
        self, op: Op | None, params: dict[str, Any], which: int, given: Sequence[Ref], row: int
    ) -> list[str]:
        """The call of a forward (0) or rule (1) on rows; on rows side by side, of each in turn."""
        if op not in row_functions(self.char) or not params.keys() <= {
            "axis",
            "keepdims",
            *OPTIONS,
        }:
            raise NotCompiled(f"a loop of machine code has no {op or 'such record'} in a step")
        name = self.function(row_function, op, which)
        option = self.number(next((params[o] for o in OPTIONS if o in params), 0))
        count = (given[-1].stop - given[-1].start) // row if row else 1
        if count == 1:
            return [f"{name}({', '.join([*map(self.columns, given), option])})"]
        parts = [self.columns(x, f"{x.start} + k", f"{x.start + row} + k") for x in given]
        call = f"{name}({', '.join([*parts, option])})"
        return [f"for k in range(0, {count * row}, {row}):", f" {call}"]

    def columns(self, x: Ref, start: str = "", stop: str = "") -> str:
        """Columns of row r."""
        name = self.views.setdefault(self.row(x), f"v{len(self.views)}")
        return f"{name}[{start or x.start}:{stop or x.stop}]"

    def rows(self, calls: Iterable[Sequence[str]]) -> list[str]:
        """A loop over the rows at step t; in it one loop over the elements for each call.

        Simple loops are vectorised by LLVM, a long one is not. The rows' views are made once.
        """
        self.views = {}
        lines = [line for call in calls for line in call]
        views = [f" {name} = {text}" for text, name in self.views.items()]
        return ["for r in range(rows):", *views, *indented(lines)]

    # Products

    def matrix(self, x: Ref, at_once: bool) -> str:
        """The address of columns, at step t or at the first step, and the length of a row."""
        name, width = self.argument(x.buffer), x.buffer.shape[-1]
        step = str(x.lag) if at_once else f"t + {x.lag}" if x.lag else "t"
        at = f"({step}) * rows * {width} + {x.start}" if x.buffer.timed else str(x.start)
        return f"{name}.ctypes.data + ({at}) * {np.dtype(self.char).itemsize}, {width}"

    def row(self, x: Ref) -> str:
        """Row r of a buffer at step t."""
        if x.buffer in self.added:
            return f"{self.argument(x.buffer)}[0]"
        if len(x.buffer.shape) != self.lead + 1:
            raise NotCompiled("a value in the step has more axes than the batch and its width")
        step = f"t + {x.lag}, " if x.lag else "t, "
        return f"{self.argument(x.buffer)}[{step if x.buffer.timed else ''}r]"

    def product(self, call: Call, beta: str = ZERO, at_once: bool = False) -> str:
        """A product by leaves side by side; in the loop they were transposed before."""
        (left, weight), (out,) = call.operands, call.outs
        name, width = self.argument(weight), out.stop - out.start
        turned = int(at_once and weight.transposed)
        sizes = f"{'steps * rows' if at_once else 'rows'}, {width}, {left.stop - left.start}"
        a, c = self.matrix(left, at_once), self.matrix(out, at_once)
        b = f"{name}.ctypes.data, {left.stop - left.start if turned else width}"
        return f"gemm(0, {turned}, {sizes}, {a}, {b}, {beta}, {c})"

    def weights(self, spec: WeightProduct, total: str) -> str:
        """The gradients of weights, by a product over the steps of the block."""
        a, b = self.matrix(spec.left, True), self.matrix(spec.gradient, True)
        inner, width = (x.stop - x.start for x in (spec.left, spec.gradient))
        sizes = f"{inner}, {width}, steps * rows"
        return f"gemm(1, 0, {sizes}, {a}, {b}, T(1 - first), {total}.ctypes.data, {width})"

    def sums(
        self, specs: Sequence[LeafSum], shapes: Sequence[tuple[int, ...]], totals: Sequence[str]
    ) -> list[str]:
        """The gradients of leaves, by sums over the steps of the block, each summed by itself."""
        if not specs:
            return []
        widths = [spec.gradient.stop - spec.gradient.start for spec in specs]
        before, empty, added = [], [], []
        for shape, total, width in zip(shapes, totals, widths, strict=True):
            if len(shape) > 1 or (shape and shape[0] not in (1, width)):
                raise NotCompiled("a pointwise record in the step reads a matrix")
            before.append(f"s{total} = np.empty({width}, {total}.dtype)")
            before.append(f"for j in range({total}.size * first): {total}[j] = 0")
            empty.append(f"for j in range({width}): s{total}[j] = 0")
            at = "j" if shape == (width,) else "0"
            added.append(f"for j in range({width}): {total}[{at}] += s{total}[j]")

        def parts() -> Iterator[list[str]]:
            for (g, factor, _), total in zip(specs, totals, strict=True):
                value = self.element(g, g)
                if factor is not ONE:
                    value += f" * {self.element(factor, g)}"
                yield each(g, f"s{total}[j] += {value}")

        steps = [*empty, *self.rows(parts()), *added]
        return [*before, "for t in range(steps):", *indented(steps)]

    # Elements

    def number(self, value: Any) -> str:
        """A constant, in the loop's dtype."""
        if value is None:  # an array that a rule does not read
            return "T(0.0)"
        if isinstance(value, (bool, int, float)) or np.ndim(value) == 0:
            return f"T({float(value)!r})" if np.isfinite(value) else f"T(np.{float(value)!r})"
        raise NotCompiled("a record in the step has an array in its code")

    def element(self, x: Any, out: Ref) -> str:
        """Element j of an operand, in row r at step t."""
        if type(x) is Constant:
            return self.number(x.value)
        if type(x) is Coefficient:
            return self.coefficient(x, out)
        if type(x) is Leaves:
            shape = self.plan.leaf_shapes[x.places[0]]
            if len(shape) > 1:
                raise NotCompiled("a pointwise record in the step reads a matrix")
            wide = len(x.places) > 1 or shape == (out.stop - out.start,)
            return f"{self.argument(x)}[{'j' if wide else '0'}]"
        name = self.views.setdefault(self.row(x), f"v{len(self.views)}")
        wide = x.stop - x.start == out.stop - out.start
        return f"{name}[{f'j + {x.start}' if wide and x.start else 'j' if wide else x.start}]"

    def coefficient(self, c: Coefficient, out: Ref) -> str:
        """A coefficient: the rules along its paths, one inside of the other."""
        if c is ONE:
            return "T(1.0)"
        parts = []
        for so_far, k, j in c.terms:
            g = self.coefficient(so_far, out)
            parts.append(g if k is None else self.factor(g, k, j, out))
        return f"({' + '.join(parts)})" if len(parts) > 1 else parts[0]

    def factor(self, g: str, k: int, j: int, out: Ref) -> str:
        """The rule of operand j of line k on the coefficient so far."""
        op, operands, params, *_ = self.plan.lines[k]
        if op is MULTIPLY:
            other = self.element(self.plan.operand(operands[1 - j]), out)
            return other if g == "T(1.0)" else f"{g} * {other}"
        read = self.plan.rule_reads(k, j)
        places = enumerate((f"v{k}", *operands), start=-1)
        given = [
            self.element(self.plan.operand(x), out) if at in read else "T(0.0)" for at, x in places
        ]
        options = [self.number(value) for value in params.values()]
        name = self.function(scalar, op.rules[j])  # type: ignore[index]
        return f"{name}({', '.join([g, *given, *options])})"


def each(x: Ref, text: str) -> list[str]:
    """A loop over the columns j of an operand."""
    return [f"for j in range({x.stop - x.start}):", f" {text}"]


def beside(x: Ref, parts: Sequence[Ref]) -> list[Ref]:
    """The columns of parts that stand side by side."""
    ends = itertools.accumulate((part.stop - part.start for part in parts), initial=x.start)
    return [x._replace(start=a, stop=b) for a, b in itertools.pairwise(ends)]


def taken(x: Ref, params: dict[str, Any]) -> Ref:
    """The columns that a slice takes."""
    at = params["index"][1]
    return x._replace(start=x.start + at.start, stop=x.start + at.stop)


def row_function(op: Op, which: int, char: str) -> Any:
    """The forward of an op along a row, or its rule."""
    return row_functions(char)[op][which]


def indented(lines: Sequence[str]) -> list[str]:
    """Lines one level deeper."""
    return [f" {line}" for line in lines]


def added_products(calls: Sequence[Call]) -> dict[int, int]:
    """Products that are only added to something else, and where: BLAS adds them itself.

    Returns:
        The position of a product -> that of the sum, ``y = y + product``.
    """
    found = {}
    for n, call in enumerate(calls):
        tmp = call.outs[0]
        if call.op is not MATMUL or tmp.buffer.timed or tmp != tmp.buffer.ref():
            continue
        users = [
            m
            for m, c in enumerate(calls)
            if m != n
            and any(type(x) is Ref and x.buffer is tmp.buffer for x in (*c.operands, *c.outs))
        ]
        if len(users) != 1 or users[0] < n:
            continue
        m, total = users[0], calls[users[0]]
        between = (out for c in calls[n:m] for out in c.outs)
        if (
            total.op is ADD
            and set(total.operands) == {total.outs[0], tmp}
            and not any(overlap(out, call.operands[0]) for out in between)
        ):
            found[n] = m
    return found
