"""Running a plan with NumPy: blocks of steps, each with the loop over its steps.

The loop itself is ``zip``: each call is a ``map`` of its function over views of its arrays, one a
step, which were made beforehand and which it writes into; ``zip`` takes one step of each in turn.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import unbroadcast
from .adjoint import Backward, backward_of
from .calls import MATMUL, MULTIPLY, ONE, Buffer, Call, Coefficient, Leaves, Ref
from .compiled import NotCompiled, loop_for
from .plan import Plan

__all__ = ["Run"]

Array = NDArray[Any]
# A block is of so many numbers a state, or of so many rows: it fits the processor's cache, and its
# products are as fast as longer ones.
BLOCK_NUMBERS = 1 << 15
BLOCK_ROWS = 256


def blocks(plan: Plan, steps: int, truncate: int | None) -> list[tuple[int, int]]:
    """(start, stop) of blocks of steps: by the shapes alone; none crosses a cut."""
    rows = math.prod(plan.lead)
    numbers = max(math.prod(state.shape) for state in plan.states)
    size = max(BLOCK_NUMBERS // numbers, BLOCK_ROWS // rows, 1)
    if truncate:
        size = min(size, truncate)
    starts: list[int] = []
    at = 0
    while at < steps:
        starts.append(at)
        at = min(at + size, at + truncate - at % truncate) if truncate else at + size
    return list(zip(starts, [*starts[1:], steps], strict=True))


class Arrays:
    """The arrays of a pass, and how calls see them in the block of steps that is open.

    Attributes:
        long: Buffer -> an array of all steps.
        short: Buffer -> an array of a block, used again for the next.
    """

    def __init__(self, plan: Plan, leaves: Sequence[Array], dtype: Any, threads: int) -> None:
        self.plan, self.leaves, self.dtype, self.threads = plan, leaves, dtype, threads
        self.long: dict[Buffer, Array] = {}
        self.short: dict[Buffer, Array] = {}
        self.packed: dict[Leaves, Array] = {}
        self.start = self.stop = 0

    def add(self, buffers: Sequence[Buffer], size: int) -> None:
        """Make the arrays of buffers, for a block of ``size`` steps."""
        for b in buffers:
            if b not in self.long and b not in self.short:
                shape = (size + b.extra, *b.shape) if b.timed else b.shape
                self.short[b] = np.empty(shape, self.dtype)

    def open(self, start: int, stop: int) -> None:
        """Go to a block."""
        self.start, self.stop = start, stop
        self.coefficients: dict[Coefficient, Array] = {}
        self.wholes: dict[Ref, Array] = {}
        self.views: dict[Any, list[Array]] = {}

    def whole(self, x: Any) -> Any:
        """An operand for all steps of the block at once."""
        if type(x) is Ref:
            a = self.wholes.get(x)
            if a is None:
                a = self.wholes[x] = self.columns(*x)
            return a
        if type(x) is Leaves:
            return self.leaf(x)
        return self.coefficient(x) if type(x) is Coefficient else x.value

    def columns(self, buffer: Buffer, start: int, stop: int, lag: int) -> Array:
        """Columns of a buffer in the block, (steps, ...) if it is timed."""
        a = self.entries(buffer)
        if buffer.timed:
            a = a[lag : self.stop - self.start + lag]
        return a[..., start:stop] if buffer.shape and stop - start < buffer.shape[-1] else a

    def entries(self, buffer: Buffer) -> Array:
        """The entries of a buffer for the block, with that before it."""
        if buffer in self.long:
            return self.long[buffer][self.start : self.stop + buffer.extra]
        return self.short[buffer]

    def steps(self, x: Any, back: bool) -> Any:
        """An operand step by step: views, the last one first in the pass back."""
        views = self.views.get(x) if type(x) is Ref else None
        if views is None:
            a = self.whole(x)
            if not (type(x) is Coefficient or (type(x) is Ref and x.buffer.timed)):
                return itertools.repeat(a, self.stop - self.start)
            views = self.views[x] = [*(a[::-1] if back else a)]
        return views

    def leaf(self, x: Leaves) -> Array:
        """Leaves side by side; transposed, they are copied, as BLAS is faster so."""
        found = self.packed.get(x)
        if found is None:
            parts = [self.leaves[k] for k in x.places]
            found = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
            if x.transposed:
                found = np.ascontiguousarray(found.T)
            self.packed[x] = found
        return found

    def coefficient(self, c: Coefficient) -> Array:
        """A coefficient for all steps of the block, (steps, ...)."""
        found = self.coefficients.get(c)
        if found is None:
            total: Any = 0
            for n, (so_far, k, j) in enumerate(c.terms):
                g = None if so_far is ONE else self.coefficient(so_far)
                part = self.factor(g, k, j) if k is not None else 1 if g is None else g
                total = total + part if n else part
            found = total
            shape = (self.stop - self.start, *c.shape)
            if np.shape(found) != shape:
                found = np.broadcast_to(np.asarray(found, self.dtype), shape)
            self.coefficients[c] = found
        return found

    def factor(self, g: Array | None, k: int, j: int) -> Any:
        """The rule of operand j of line k on the coefficient so far, None for 1."""
        plan = self.plan
        op, operands, params, *_ = plan.lines[k]
        shape = (self.stop - self.start, *plan.shapes[f"v{k}"])
        if op is MULTIPLY:
            other = self.whole(plan.operand(operands[1 - j]))
            found = other if g is None else g * other
        else:
            if g is None:
                g = np.broadcast_to(np.ones((), self.dtype), shape)
            read = plan.rule_reads(k, j)
            places = enumerate((f"v{k}", *operands), start=-1)
            arrays = [self.whole(plan.operand(x)) if at in read else None for at, x in places]
            found = op.rules[j](g, *arrays, **params)  # type: ignore
        return found

    def at_once(self, calls: Sequence[Call]) -> None:
        """Run calls for all steps of the block at once."""
        for call in calls:
            arrays = [self.whole(x) for x in (*call.operands, *call.outs)]
            if call.op is MATMUL:
                left, weight, out = arrays
                arrays = [flat(left), weight, flat(out)]
            call.function(*arrays)

    def loop(self, calls: Sequence[Call], back: bool = False) -> None:
        """Run calls step by step: compiled, where that is asked for and can be done."""
        if self.threads:
            loops, key = self.plan.loops, id(calls)
            try:
                if key not in loops:
                    loops[key] = loop_for(self.plan, calls, back, self.dtype)
                if loops[key] is not None:
                    loops[key].run(self, self.threads)
                    return
            except NotCompiled:
                loops[key] = None
        steps = [
            map(call.function, *(self.steps(x, back) for x in (*call.operands, *call.outs)))
            for call in calls
        ]
        collections.deque(zip(*steps, strict=False), maxlen=0)


def flat(a: Array) -> Array:
    """(..., n) as (rows, n)."""
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def buffers_of(calls: Sequence[Call]) -> list[Buffer]:
    """The buffers that calls use."""
    refs = (x for call in calls for x in (*call.operands, *call.outs))
    return list(dict.fromkeys(x.buffer for x in refs if type(x) is Ref))


class Run:
    """The arrays of a run over time, from which the pass back starts.

    Args:
        plan: The plan.
        leaves: The arrays of its leaves.
        xs: The input, time first.
        state: The arrays of the state before.
        padded: Whether a sequence has no input at a step, (time, batch, 1) or (time, 1), or None.
        truncate: The number of steps between cuts of the gradient, or None.
        keep: Whether a pass back will follow.
        threads: The number of threads of the compiled loop; 0 for NumPy's.
    """

    def __init__(
        self,
        plan: Plan,
        leaves: Sequence[Array],
        xs: Array,
        state: Sequence[Array],
        padded: Array | None,
        truncate: int | None,
        keep: bool,
        threads: int,
    ) -> None:
        self.plan, self.leaves, self.xs, self.padded = plan, leaves, xs, padded
        self.truncate, self.threads = truncate, threads
        self.state, self.keep = state, keep
        self.blocks = blocks(plan, len(xs), truncate)
        self.size = max(stop - start for start, stop in self.blocks)

    def forward(self, ys: Array) -> list[Array]:
        """Run the steps; returns the final state.

        Args:
            ys: Gets the outputs, time first.
        """
        plan, padded = self.plan, self.padded
        arrays = Arrays(plan, self.leaves, self.xs.dtype, self.threads)
        calls = [call for phase in plan.calls.values() for call in phase]
        buffers = [plan.x, *plan.states, *buffers_of(calls)]
        if self.keep:
            arrays.long = {
                b: np.empty((len(self.xs) + b.extra, *b.shape), self.xs.dtype)
                for b in dict.fromkeys(buffers)
                if b.kept
            }
        arrays.add(buffers, self.size)
        loop = plan.masked if padded is not None else plan.calls["loop"]
        if padded is not None:
            arrays.long[plan.padded] = padded
        states = [(arrays.long if self.keep else arrays.short)[b] for b in plan.states]
        for a, before in zip(states, self.state, strict=True):
            a[0] = before
        for start, stop in self.blocks:
            arrays.open(start, stop)
            arrays.short[plan.x][: stop - start] = self.xs[start:stop]
            arrays.at_once(plan.calls["before"])
            arrays.loop(loop)
            arrays.at_once(plan.calls["after"])
            y = ys[start:stop]
            y[...] = arrays.whole(plan.y)
            if padded is not None:
                zero_at(padded[start:stop], y)
            if not self.keep:
                for a in states:
                    a[0] = a[stop - start]
        self.kept = arrays.long
        return [a[len(self.xs) if self.keep else 0].copy() for a in states]

    def backward(
        self, gys: Array | None, gs: Sequence[Array | None], gxs: Array | None
    ) -> list[Any]:
        """The gradients of the state before and of the leaves, None where there is none.

        Args:
            gys: The gradient of ys, time first, or None.
            gs: The gradients of the final state, or None for each.
            gxs: Gets the gradient of xs, time first, or None.
        """
        plan = self.plan
        back = backward_of(plan, gys is not None, self.padded is not None)
        arrays = self.arrays_back(back)
        specs: list[Any] = [*back.products, *back.sums]
        totals = [Total([self.leaves[leaf].shape for leaf in spec.leaves]) for spec in specs]
        for start, stop in reversed(self.blocks):
            arrays.open(start, stop)
            self.fill(arrays, back, gys, gs)
            arrays.at_once(back.calls["after"])
            arrays.loop(back.calls["loop"], back=True)
            arrays.at_once(back.calls["before"])
            for total, product in zip(totals, back.products, strict=False):
                total.add_product(arrays.whole(product.left), arrays.whole(product.gradient))
            for total, leaf_sum in zip(totals[len(back.products) :], back.sums, strict=True):
                g, c = arrays.whole(leaf_sum.gradient), leaf_sum.coefficient
                total.add_sum(g if c is ONE else g * arrays.coefficient(c))
            if gxs is not None:
                gxs[start:stop] = arrays.whole(back.x) if back.x is not None else 0
            cut = self.truncate is not None and start % self.truncate == 0 and start > 0
            gs = [None if cut else arrays.short[b][0].copy() for b in back.states]
        found: list[Any] = [None] * len(self.leaves)
        for leaf, added in back.added.items():
            found[leaf] = arrays.short[added]
        for total, spec in zip(totals, specs, strict=True):
            for leaf, part in zip(spec.leaves, total.split(), strict=True):
                found[leaf] = part if found[leaf] is None else found[leaf] + part
        wanted = [f"l{k}" in plan.wanted for k in range(len(found))]
        return [*gs, *(g if need else None for g, need in zip(found, wanted, strict=True))]

    def arrays_back(self, back: Backward) -> Arrays:
        """The arrays of a pass back."""
        arrays = Arrays(self.plan, self.leaves, self.xs.dtype, self.threads)
        arrays.long = dict(self.kept)
        arrays.add([self.plan.x, *back.buffers], self.size)
        if self.padded is not None and back.real is not None and back.padded is not None:
            arrays.long[back.real] = (~self.padded).astype(self.xs.dtype)
            arrays.long[back.padded] = self.padded.astype(self.xs.dtype)
        for added in back.added.values():
            arrays.short[added][...] = 0
        return arrays

    def fill(self, arrays: Arrays, back: Backward, gys: Any, gs: Sequence[Array | None]) -> None:
        """Put the input of a block, and the gradients that arrive at it, into its arrays."""
        start, stop = arrays.start, arrays.stop
        arrays.short[self.plan.x][: stop - start] = self.xs[start:stop]
        for b, g in zip(back.states, gs, strict=True):
            arrays.short[b][...] = 0
            if g is not None:
                arrays.short[b][stop - start] = g
        if back.ys is not None:
            g = arrays.short[back.ys][: stop - start]
            g[...] = gys[start:stop]
            if self.padded is not None:
                zero_at(self.padded[start:stop], g)


class Total:
    """The gradient of leaves that stand side by side, summed over the blocks of a pass."""

    __slots__ = ("shapes", "value")

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.value: Any = None

    def add(self, part: Array) -> None:
        """Add the part of a block."""
        self.value = part if self.value is None else np.add(self.value, part, self.value)

    def add_product(self, left: Array, g: Array) -> None:
        """Add left.T @ g, over all rows."""
        self.add(flat(left).T.dot(flat(g)))

    def add_sum(self, g: Array) -> None:
        """Add g, summed to the leaves' shape."""
        if len(self.shapes) > 1 or self.shapes[0] == g.shape[-1:]:
            rows = flat(g)
            self.add(np.ones(len(rows), g.dtype).dot(rows))
        else:
            self.add(np.array(unbroadcast(g, self.shapes[0])))

    def split(self) -> list[Array]:
        """The gradient of each leaf."""
        if len(self.shapes) == 1:
            return [self.value]
        ends = np.cumsum([shape[-1] for shape in self.shapes]).tolist()
        return [self.value[..., a:b] for a, b in zip([0, *ends], ends, strict=False)]


def zero_at(padded: Array, a: Array) -> None:
    """Set an array (steps, batch, ...) to 0 at padding."""
    np.copyto(a, 0, where=padded.reshape(padded.shape + (1,) * (a.ndim - padded.ndim)))
