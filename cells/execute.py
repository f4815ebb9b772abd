"""Running a plan: arrays made once for a number of steps, and the plan's calls bound to them.

A pass goes block by block through the steps. Bound to its arrays it is kept when its run is over,
and the next run of as many steps fills them anew. In NumPy the loop itself is ``zip``: each call is
a ``map`` of its function over views of its arrays, one a step; ``zip`` takes one step of each in
turn. The compiled loop (``compiled``) takes the arrays as they are.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import math
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..autograd import unbroadcast
from .adjoint import Backward, backward_of
from .calls import (
    MATMUL,
    MULTIPLY,
    ONE,
    SIGMOID,
    TANH,
    Buffer,
    Call,
    Coefficient,
    Constant,
    Leaves,
    Ref,
    side_by_side,
)
from .compiled import CompiledBlock, loop_for
from .kernels import NotCompiled
from .plan import Plan

__all__ = ["Run"]

Array = NDArray[Any]
# A block is of so many numbers a state, or of so many rows: it fits the processor's cache, and its
# products are as fast as longer ones.
BLOCK_NUMBERS = 1 << 15
BLOCK_ROWS = 256
# The sigmoids and tanhs of at most so many numbers at a step are one tanh; exp is faster for more.
TANH_NUMBERS = {"f": 1 << 14, "d": 1 << 10}
# Arrays that are kept for the next run: at most so many bytes, and of so many runs.
IDLE_BYTES = 64 << 20
IDLE_RUNS = 64


@functools.lru_cache(256)
def blocks(steps: int, size: int, truncate: int | None) -> list[tuple[int, int]]:
    """(start, stop) of blocks of at most ``size`` steps, of which none crosses a cut."""
    starts: list[int] = []
    at = 0
    while at < steps:
        starts.append(at)
        at = min(at + size, at + truncate - at % truncate) if truncate else at + size
    return list(zip(starts, [*starts[1:], steps], strict=True))


def block_size(plan: Plan) -> int:
    """The number of steps of a block, by the shapes alone."""
    rows = math.prod(plan.lead)
    numbers = max(math.prod(state.shape) for state in plan.states)
    return max(BLOCK_NUMBERS // numbers, BLOCK_ROWS // rows, 1)


def leaves_in(plan: Plan, operands: Iterable[Any]) -> Iterator[Leaves]:
    """The leaves that coefficients read."""
    for x in operands:
        if type(x) is Coefficient:
            for so_far, k, _ in x.terms:
                yield from leaves_in(plan, [so_far])
                names = () if k is None else plan.lines[k].operands
                yield from (plan.operand(x) for x in names if isinstance(x, str) and x[0] == "l")


# A pass and its blocks --------------------------------------------------------------------------


class Factor(NamedTuple):
    """A coefficient in the arguments of a bound call: its place among the block's factors."""

    place: int


class Pass:
    """A pass through the steps of a plan: its arrays, and its blocks bound to them.

    Args:
        plan: The plan; it is not referred to, so that it may be freed.
        phases: The calls at once before the loop, in the loop, and at once after it.
        long: Buffer -> its array of all steps.
        packed: Places of leaves -> their arrays side by side.
        extents: (start, stop) of each block.
        dtype: Of everything.
        back: The pass back, or None for the forward one.
        compiled: Whether its blocks are compiled.

    Attributes:
        short: Buffer -> an array of a block, used again for the next.
        reused: Whether another run will follow on these arrays.
        turned: Leaves -> their transposed arrays, one below the other.
    """

    def __init__(
        self,
        plan: Plan,
        phases: Sequence[Sequence[Call]],
        long: dict[Buffer, Array],
        packed: dict[tuple[int, ...], Array],
        extents: Sequence[tuple[int, int]],
        dtype: Any,
        back: Backward | None,
        compiled: bool,
    ) -> None:
        self.phases, self.long, self.packed, self.dtype = phases, long, packed, dtype
        self.extents, self.back = extents, back
        self.loop: Any = None
        if compiled:
            with contextlib.suppress(NotCompiled):
                self.loop = loop_for(plan, phases, back, dtype.char)
        self.short: dict[Buffer, Array] = {}
        self.turned: dict[Leaves, Array] = {}
        self.bound: list[Any] = [None] * len(extents)
        self.reused = False
        size = max(stop - start for start, stop in extents)
        used = [x for call in itertools.chain(*phases) for x in (*call.operands, *call.outs)]
        own = [plan.x, *plan.states] if back is None else [plan.x, *back.buffers]
        for b in dict.fromkeys([*own, *(x.buffer for x in used if type(x) is Ref)]):
            if b not in long:
                shape = (size + b.extra, *b.shape) if b.timed else b.shape
                self.short[b] = np.empty(shape, dtype)
        factors = [] if back is None else [s.factor for s in back.sums]
        for x in [*used, *leaves_in(plan, [*used, *factors])]:
            if type(x) is Leaves and x.places not in packed:
                packed[x.places] = np.empty(plan.packed_shape(x.places), dtype)
        for call in phases[1]:
            for x in call.operands:
                if type(x) is Leaves and x.transposed:
                    self.turned[x] = np.empty(packed[x.places].shape[::-1], dtype)
        views = 0 if self.loop else extents[-1][1] * sum(len(c.operands) + 1 for c in phases[1])
        self.nbytes = sum(a.nbytes for a in self.short.values()) + 100 * views

    def fill(self, leaves: Sequence[Array]) -> None:
        """Put the leaves side by side."""
        for places, out in self.packed.items():
            parts = [leaves[k] for k in places]
            if len(parts) == 1:
                np.copyto(out, parts[0])
            else:
                np.concatenate(parts, axis=-1, out=out)

    def turn(self) -> None:
        """Transpose the leaves of the loop's products: BLAS is faster so with few rows."""
        for x, out in self.turned.items():
            np.copyto(out, self.packed[x.places].T)

    def block(self, plan: Plan, k: int) -> Any:
        """Block k, bound at its first run; in a long run each time, as views take memory."""
        found = self.bound[k]
        if found is None:
            made = Block if self.loop is None else CompiledBlock
            found = made(self, plan, *self.extents[k])
            if self.reused:
                self.bound[k] = found
        return found

    def entries(self, buffer: Buffer, start: int, stop: int) -> Array:
        """The entries of a buffer for the steps of a block, with the one before them."""
        if buffer in self.long:
            return self.long[buffer][start : stop + buffer.extra]
        a = self.short[buffer]
        return a[: stop - start + buffer.extra] if buffer.timed else a

    def whole(self, x: Ref, start: int, stop: int) -> Array:
        """Columns for all steps of a block at once."""
        a = self.entries(x.buffer, start, stop)
        if x.buffer.timed:
            a = a[x.lag : stop - start + x.lag]
        width = x.buffer.shape[-1] if x.buffer.shape else 1
        return a[..., x.start : x.stop] if x.stop - x.start < width else a


class Block:
    """A block of steps in NumPy.

    Args:
        arrays: The pass.
        plan: The plan.
        start, stop: Its steps.
    """

    def __init__(self, arrays: Pass, plan: Plan, start: int, stop: int) -> None:
        self.arrays, self.plan, self.start, self.stop = arrays, plan, start, stop
        self.steps = stop - start
        self.backwards = arrays.back is not None
        self.places: dict[Coefficient, Factor] = {}
        self.factors: list[tuple[Array, list[Any]]] = []
        self.seen: dict[Ref, list[Array]] = {}
        first, loop, last = arrays.phases
        self.first, self.last = self.at_once(first), self.at_once(last)
        self.loop = self.step_by_step(loop)
        self.products: list[tuple[Array, Array]] = []
        self.sums: list[tuple[Any, Any]] = []
        if arrays.back is not None:
            for left, g, _ in arrays.back.products:
                self.products.append((flat(self.whole(left)).T, flat(self.whole(g))))
            self.sums = [(self.whole(s.gradient), self.whole(s.factor)) for s in arrays.back.sums]
        del self.arrays, self.plan, self.places, self.seen

    # Binding

    def whole(self, x: Any) -> Any:
        """An operand for all steps of the block at once."""
        if type(x) is Ref:
            return self.arrays.whole(x, self.start, self.stop)
        if type(x) is Leaves:
            packed = self.arrays.packed[x.places]
            return packed.T if x.transposed else packed
        if type(x) is Coefficient:
            return None if x is ONE else self.factor(x)
        return x.value

    def each(self, x: Any) -> Any:
        """An operand step by step: views, the last one first in the pass back."""
        if type(x) is Ref and x.buffer.timed:
            if x not in self.seen:
                a = self.whole(x)
                self.seen[x] = [*(a[::-1] if self.backwards else a)]
            return self.seen[x]
        if type(x) is Leaves and x.transposed:
            return [self.arrays.turned[x]] * self.steps
        a = self.whole(x)
        return a if type(a) is Factor else [a] * self.steps

    def at_once(self, calls: Sequence[Call]) -> list[tuple[Callable[..., Any], list[Any]]]:
        """Calls for all steps of the block at once."""
        bound = []
        for call in calls:
            given = [self.whole(x) for x in (*call.operands, *call.outs)]
            if call.op is MATMUL:
                given = [flat(given[0]), given[1], flat(given[2])]
            elif call.row:
                given = [in_rows(a, call.row) for a in given]
            bound.append((call.function, given))
        return bound

    def step_by_step(self, calls: Sequence[Call]) -> list[tuple[Callable[..., Any], list[Any]]]:
        """Calls of the loop, with their operands step by step."""
        bound = []
        waiting = collections.deque(calls)
        while waiting:
            call = waiting.popleft()
            both = whole_activation(call, waiting[0], self.arrays.dtype) if waiting else None
            if both is not None:
                waiting.popleft()
                bound += self.scaled_tanh(*both)
            else:
                given = [self.each(x) for x in (*call.operands, *call.outs)]
                if call.row:
                    given = [[in_rows(a, call.row) for a in each] for each in given]
                bound.append((call.function, given))
        return bound

    def scaled_tanh(self, x: Ref, out: Ref, half: slice) -> list[tuple[Callable[..., Any], Any]]:
        """A buffer's sigmoids, in the columns ``half``, and its tanhs: s tanh(s x) + 1 - s.

        A sigmoid is tanh(x / 2) / 2 + 1/2.
        """
        scale = np.ones(out.buffer.shape, self.arrays.dtype)
        scale[..., half] = 0.5
        z, y, s, rest = map(self.each, (x, out, Constant(scale), Constant(1 - scale)))
        return [
            (np.multiply, [z, s, y]),
            (np.tanh, [y, y]),
            (np.multiply, [y, s, y]),
            (np.add, [y, rest, y]),
        ]

    def factor(self, c: Coefficient) -> Factor:
        """The place of a coefficient."""
        if c not in self.places:
            terms = [self.term(*term) for term in c.terms]
            self.places[c] = Factor(len(self.factors))
            ones = np.broadcast_to(np.ones((), self.arrays.dtype), (self.steps, *c.shape))
            self.factors.append((ones, terms))
        return self.places[c]

    def term(self, so_far: Coefficient, k: int | None, j: int) -> Any:
        """(place of the coefficient so far or None, rule or None, its arrays, metadata)."""
        place = None if so_far is ONE else self.factor(so_far).place
        if k is None:
            return place, None, (), {}
        plan = self.plan
        op, operands, params, *_ = plan.lines[k]
        if op is MULTIPLY:
            return place, times, (self.whole(plan.operand(operands[1 - j])),), {}
        read = plan.rule_reads(k, j)
        places = enumerate((f"v{k}", *operands), start=-1)
        given = [self.whole(plan.operand(x)) if at in read else None for at, x in places]
        ones = np.broadcast_to(np.ones((), self.arrays.dtype), (self.steps, *plan.shapes[f"v{k}"]))
        return place, op.rules[j], (ones, *given), params  # type: ignore[index]

    # Running

    def run(self, totals: Sequence[Array], first: bool) -> None:
        """Run its calls, and add to the gradients of leaves.

        Args:
            totals: The gradients, of the products and of the sums.
            first: Whether they are empty.
        """
        factors: list[Any] = []
        for ones, terms in self.factors:
            factors.append(evaluated(ones, terms, factors))

        def filled(given: list[Any]) -> list[Any]:
            return [factors[x.place] if type(x) is Factor else x for x in given]

        for function, given in self.first:
            function(*filled(given))
        turned = [f[::-1] for f in factors] if self.backwards else factors
        steps = [
            map(function, *[turned[x.place] if type(x) is Factor else x for x in given])
            for function, given in self.loop
        ]
        collections.deque(zip(*steps, strict=False), maxlen=0)
        for function, given in self.last:
            function(*filled(given))
        for total, (left, g) in zip(totals, self.products, strict=False):
            if first:
                np.dot(left, g, total)
            else:
                total += left.dot(g)
        for total, (g, c) in zip(totals[len(self.products) :], self.sums, strict=True):
            (factor,) = filled([c])
            part = summed(g if factor is None else g * factor, total.shape)
            if first:
                np.copyto(total, part)
            else:
                total += part


def whole_activation(a: Call, b: Call, dtype: Any) -> tuple[Ref, Ref, slice] | None:
    """The operand and the result of a sigmoid and a tanh that fill a buffer together.

    All at once they are contiguous, and few numbers take less time than the calls themselves.

    Returns:
        Them and the columns of the sigmoid, or None where they are not together, or too large.
    """
    if {a.op, b.op} != {SIGMOID, TANH}:
        return None
    first, second = sorted((a, b), key=lambda call: call.outs[0].start)
    x = side_by_side(first.operands[0], second.operands[0], ())
    out = side_by_side(first.outs[0], second.outs[0], ())
    if x is None or out is None or math.prod(out.buffer.shape) > TANH_NUMBERS[dtype.char]:
        return None
    if x != x.buffer.ref(x.lag) or out != out.buffer.ref(out.lag):
        return None
    at = first.outs[0] if first.op is SIGMOID else second.outs[0]
    return x, out, slice(at.start, at.stop)


def times(g: Any, other: Any) -> Any:
    """The rule of a product; a coefficient of None is 1."""
    return other if g is None else g * other


def evaluated(ones: Array, terms: Iterable[Any], factors: Sequence[Array]) -> Array:
    """A coefficient for all steps of a block: the sum of its terms."""
    total: Any = None
    for place, rule, given, params in terms:
        g = None if place is None else factors[place]
        if rule is None:
            part = 1 if g is None else g
        elif rule is times:
            part = times(g, *given)
        else:
            ones, *arrays = given
            part = rule(ones if g is None else g, *arrays, **params)
        total = part if total is None else total + part
    return total if np.shape(total) == ones.shape else total * ones


def flat(a: Array) -> Array:
    """(..., n) as (rows, n)."""
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def in_rows(a: Any, width: int) -> Any:
    """Rows side by side, (..., k * width), as (..., k, width); a single one as it is."""
    return a if a is None or a.shape[-1] == width else a.reshape(*a.shape[:-1], -1, width)


def summed(g: Array, shape: tuple[int, ...]) -> Any:
    """A gradient (..., n), summed to the shape of a leaf, or of leaves side by side."""
    if shape == g.shape[-1:]:
        rows = flat(g)
        return np.ones(len(rows), g.dtype).dot(rows)
    return unbroadcast(g, shape)


# A run ------------------------------------------------------------------------------------------


class Prepared:
    """The passes of a run, bound to arrays, which the next run uses again.

    Args:
        plan: The plan; it is not referred to.
        key: What they depend on besides: steps, size of a block, truncate, whether there is a mask,
            whether a pass back will follow, whether the blocks are compiled.
        dtype: Of everything.

    Attributes:
        nbytes: The size of the arrays.
    """

    def __init__(self, plan: Plan, key: Any, dtype: Any) -> None:
        self.plan, self.key = weakref.ref(plan), key
        steps, size, truncate, masked, keep, self.compiled = key
        self.extents = blocks(steps, min(size, truncate or size), truncate)
        phases = plan.phases(masked)
        self.long: dict[Buffer, Array] = {}
        if keep:
            used = [x for call in itertools.chain(*phases) for x in call.outs]
            for b in dict.fromkeys([*plan.states, *(x.buffer for x in used)]):
                if b.kept:
                    self.long[b] = np.empty((steps + b.extra, *b.shape), dtype)
        if len(self.extents) == 1:  # the pass back reads it where the forward pass has put it
            self.long[plan.x] = np.empty((steps, *plan.x.shape), dtype)
        if masked:
            self.long[plan.padded] = np.empty((steps, *plan.padded.shape), bool)
        self.packed: dict[tuple[int, ...], Array] = {}
        self.nbytes = sum(a.nbytes for a in self.long.values())
        self.forward = self.bind(plan, phases, dtype)
        self.backs: dict[Backward, list[Pass]] = {}

    def bind(self, plan: Plan, phases: Any, dtype: Any, back: Backward | None = None) -> Pass:
        """A pass on these arrays."""
        given = self.long, self.packed, self.extents, dtype, back, self.compiled
        made = Pass(plan, phases, *given)
        self.nbytes += made.nbytes
        made.reused = self.nbytes <= IDLE_BYTES
        return made


class Idle:
    """Prepared runs that are not in use, the most recent ones last."""

    def __init__(self) -> None:
        self.found: list[Prepared] = []
        self.lock = threading.RLock()  # a run that is freed meanwhile comes in by the same thread

    def take(self, plan: Plan, key: Any) -> Prepared | None:
        """One for a run, or None."""
        with self.lock:
            for n, prepared in enumerate(self.found):
                if prepared.key == key and prepared.plan() is plan:
                    return self.found.pop(n)
        return None

    def give(self, prepared: Prepared) -> None:
        """Keep one, in the place of the oldest ones where there are too many."""
        with self.lock:
            self.found.append(prepared)
            while len(self.found) > IDLE_RUNS or sum(p.nbytes for p in self.found) > IDLE_BYTES:
                del self.found[0]


idle = Idle()


class Run:
    """A run over time, from which the pass back starts.

    Args:
        plan: The plan.
        leaves: The arrays of its leaves.
        xs: The input, time first.
        state: The arrays of the state before.
        padded: Whether a sequence has no input at a step, (time, batch, 1) or (time, 1), or None.
        truncate: The number of steps between cuts of the gradient, or None.
        keep: Whether a pass back will follow.
        compiled: Whether its blocks are compiled.
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
        compiled: bool,
    ) -> None:
        self.plan, self.leaves, self.xs, self.padded = plan, leaves, xs, padded
        self.truncate, self.state, self.keep = truncate, state, keep
        key = len(xs), block_size(plan), truncate, padded is not None, keep, compiled
        self.prepared = idle.take(plan, key) or Prepared(plan, key, xs.dtype)
        self.blocks = self.prepared.extents

    def __del__(self) -> None:
        if idle is not None and hasattr(self, "prepared"):  # the module may be gone at exit
            idle.give(self.prepared)

    def forward(self, ys: Array, finals: Sequence[Array]) -> None:
        """Run the steps.

        Args:
            ys: Gets the outputs, time first.
            finals: Get the final state.
        """
        plan, padded, ahead = self.plan, self.padded, self.prepared.forward
        ahead.fill(self.leaves)
        if padded is not None:
            np.copyto(ahead.long[plan.padded], padded)
        states = [(ahead.long if self.keep else ahead.short)[b] for b in plan.states]
        for a, before in zip(states, self.state, strict=True):
            a[0] = before
        at = 0
        for k, (start, stop) in enumerate(self.blocks):
            np.copyto(ahead.entries(plan.x, start, stop), self.xs[start:stop])
            ahead.block(plan, k).run((), True)
            y = ys[start:stop]
            np.copyto(y, ahead.whole(plan.y, start, stop))
            if padded is not None:
                zero_at(padded[start:stop], y)
            at = stop if self.keep else stop - start
            if not self.keep and stop < len(ys):
                for a in states:
                    a[0] = a[at]
        for a, final in zip(states, finals, strict=True):
            np.copyto(final, a[at])

    def backward(
        self, gys: Array | None, gs: Sequence[Array | None], gxs: Array | None
    ) -> tuple[list[Any], list[Any]]:
        """The gradients of the state before and of the leaves, None where there is none.

        Args:
            gys: The gradient of ys, time first, or None.
            gs: The gradients of the final state, or None for each.
            gxs: Gets the gradient of xs, time first, or None.
        """
        plan, dtype = self.plan, self.xs.dtype
        back = backward_of(plan, gys is not None, self.padded is not None)
        spare = self.prepared.backs.setdefault(back, [])  # two threads may go back at once
        try:
            behind = spare.pop()
        except IndexError:
            behind = self.prepared.bind(plan, back.phases, dtype, back)
            behind.fill(self.leaves)  # those that the forward pass does not read
        behind.turn()
        totals = [np.empty(shape, dtype) for shape in back.shapes]
        for added in back.added.values():
            behind.short[added][...] = 0
        for k, (start, stop) in reversed([*enumerate(self.blocks)]):
            self.fill(behind, back, start, stop, gys, gs)
            behind.block(plan, k).run(totals, stop == len(self.xs))
            if gxs is not None:
                gxs[start:stop] = behind.whole(back.x, start, stop) if back.x else 0
            cut = self.truncate is not None and start % self.truncate == 0 and start > 0
            gs = [None if cut else behind.short[b][0].copy() for b in back.states]
        found: list[Any] = [None] * len(self.leaves)
        for leaf, added in back.added.items():
            found[leaf] = behind.short[added].copy()
        for total, columns in zip(totals, back.columns, strict=True):
            for leaf, at in columns:
                g = found[leaf]
                found[leaf] = total[at] if g is None else g + total[at]
        spare.append(behind)
        wanted = zip(found, plan.leaf_wanted, strict=True)
        return list(gs), [g if need else None for g, need in wanted]

    def fill(
        self, behind: Pass, back: Backward, start: int, stop: int, gys: Any, gs: Sequence[Any]
    ) -> None:
        """Put the input of a block, and the gradients that arrive at it, into its arrays."""
        plan, padded, steps = self.plan, self.padded, stop - start
        if plan.x in behind.short:
            behind.short[plan.x][:steps] = self.xs[start:stop]
        for b, g in zip(back.states, gs, strict=True):
            a = behind.short[b]
            a[steps] = 0 if g is None else g
            if b not in back.written:
                a[:steps] = 0
        if back.ys is not None:
            a = behind.short[back.ys][:steps]
            np.copyto(a, gys[start:stop])
            if padded is not None:
                zero_at(padded[start:stop], a)
        if padded is not None and back.real is not None and back.padded is not None:
            behind.short[back.padded][:steps] = padded[start:stop]
            np.subtract(1, behind.short[back.padded], behind.short[back.real])


def zero_at(padded: Array, a: Array) -> None:
    """Set an array (steps, batch, ...) to 0 at padding."""
    np.copyto(a, 0, where=padded.reshape(padded.shape + (1,) * (a.ndim - padded.ndim)))
