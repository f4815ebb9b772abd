"""Replay: a step that was traced twice and is the same both times, run without its Python.

Recording costs about a microsecond an op, which is most of the time of a small network. A
``Plan`` is made from the records of one step: two functions, forward and backward, written
out line by line as a person would write backpropagation by hand, which call the same rows of
the table on the same arrays. So the results are the same to the last bit, and the tape can be
had back: whoever reads it (``Tape``, a second derivative) gets the records of the steps.

What no rule reads, for an LSTM 18 of 25 results, need not be kept: that is two thirds of the
memory, and of what passes through the processor's cache.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from .context import recording
from .numpy_ops import unbroadcast
from .tape import pool_size, reachable, sum_broadcast
from .tensor import NO_PARAMS, Op, Tensor, made_by, operands_of, reserve_numbers

__all__ = ["Plan"]

# What a replayed step reads in the place of its weights: one operand and one gradient, which
# is a ``Totals``, for all of them.
LEAVES = Op("leaves", lambda *_: None, lambda g, y, *_: g.finished())


def alike(a: Any, b: Any) -> bool:
    """Whether two pieces of metadata are equal, arrays inside of them too."""
    if isinstance(a, Op) or isinstance(b, Op):  # a name may be that of another op made anew
        return a is b
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return isinstance(a, type(b)) and np.array_equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b)


def _holds_array(x: Any) -> bool:
    """Whether there is an array in a piece of metadata; one of a single number does not count."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, np.ndarray):
        return x.ndim > 0
    return isinstance(x, (tuple, list)) and any(map(_holds_array, x))


class Unread:
    """In the place of an array whose numbers a rule does not read: what it says of itself.

    Whatever asks for more raises, so that a rule can be tried with it.
    """

    __slots__ = ("dtype", "ndim", "shape", "size")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: Any) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self.ndim, self.size = array.ndim, array.size

    def _no_numbers(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the numbers of this array were not kept")

    __array__ = __bool__ = __eq__ = __ne__ = _no_numbers


def numbers_read(
    call: Callable[..., Any], arrays: Sequence[Any], among: Sequence[int]
) -> list[int]:
    """Which of the arrays ``call(*arrays)`` reads, of those whose places ``among`` gives.

    The others are those without whose numbers it answers the same.
    """
    read, wanted = list(among), list[Any]()
    with np.errstate(all="ignore"):
        for at in among:
            try:
                answer = call(*arrays[:at], Unread(arrays[at]), *arrays[at + 1 :])
                wanted = wanted or [call(*arrays)]
                if _agree(answer, wanted[0]):
                    read.remove(at)
            except Exception:  # whatever it is that comes of computing with it
                continue
    return read


def _agree(a: Any, b: Any) -> bool:
    """Whether two answers of a rule are the same to the last bit."""
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_agree, a, b))
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


class _Trace:
    """The records of one run of ``step(*inputs)``, with places in the place of Tensors."""

    def __init__(self, step: Callable[..., Sequence[Any]], shapes: Any, dtype: Any, seed: int):
        rng = np.random.default_rng(seed)
        inputs = [Tensor(rng.uniform(-1, 1, shape).astype(dtype)) for shape in shapes]
        start = reserve_numbers(1)
        with recording(), np.errstate(all="ignore"):  # the numbers are not the user's
            outputs = step(*inputs)
        # What was made before the step (a weight with rows dropped) is a leaf here.
        before = [t for number, t in reachable(outputs)[0] if number < start]
        order, _ = reachable(outputs, stop=before)
        records = [t for _, t in reversed(order)]
        made = set(records)
        operands = dict.fromkeys(_operands(records))
        self.leaves = [t for t in operands if t not in made and t not in set(inputs)]
        self.place = {t: f"i{k}" for k, t in enumerate(inputs)}
        self.place.update({t: f"l{k}" for k, t in enumerate(self.leaves)})
        self.place.update({t: f"v{k}" for k, t in enumerate(records)})
        # An input that is not read would leave steps off the tape of what comes later.
        self.served = (
            all(t in made for t in outputs)
            and all(t in operands for t in inputs)
            and all(t.ndim and t.dtype == dtype for t in self.place)
        )
        self.dtype = dtype
        self.found_read: dict[Any, list[int]] = {}
        self.arrays = {place: t.data for t, place in self.place.items()}
        self.outputs = [self.place.get(t, "") for t in outputs]
        self.shapes = [np.shape(t) for t in outputs]
        self.lines = [
            (r[1], [self.place.get(x, x) if isinstance(x, Tensor) else x for x in xs], r[2])
            for r, xs in ((t._record, operands_of(t)) for t in records)
            if r is not None
        ]

    def read(self, k: int, rule: Any, leaf: Any = None) -> set[str]:
        """Which records' results a rule of record k reads, or for a ``leaf`` the leaf's pool."""
        _, operands, params = self.lines[k]
        places: list[Any] = [f"v{k}", *operands]
        arrays = [self.arrays[x] if isinstance(x, str) else x for x in places]
        g = arrays[0]  # any numbers of the result's shape

        def answer(y: Any, *inputs: Any) -> Any:
            if leaf is not None:
                return rule([(g, params, y, *inputs)] * 2, leaf)
            return rule(g, y, *inputs, **params)

        results = [at for at, x in enumerate(places) if isinstance(x, str) and x[0] == "v"]
        # The gates of a cell ask the same: what is read depends on shapes, options, constants.
        about = [self.arrays[x].shape if isinstance(x, str) else id(x) for x in places]
        key = (rule, id(params), *results, *about, np.shape(leaf))
        if key not in self.found_read:
            self.found_read[key] = numbers_read(answer, arrays, results)
        return {places[at] for at in self.found_read[key]}


def _operands(records: Sequence[Tensor]) -> list[Tensor]:
    return [x for t in records for x in operands_of(t) if isinstance(x, Tensor)]


class Plan:
    """A step as two plain functions of arrays.

    Attributes:
        leaves: The Tensors that the step reads besides its inputs: parameters and constants.
        lines: Of each record of the step (op, operands, metadata), an operand as its place
            (``i0`` an input, ``l0`` a leaf, ``v0`` a result) or as the constant that it is.
        kept: Which records' results are needed: the outputs, and those that a rule reads.
        others: The other records.
        forward: ``forward(inputs, leaves)`` gives the results that are needed, and None; the
            others (a sum before an activation) live no longer than it takes to use them.
        whole: ``whole(inputs, leaves)`` gives the results that are needed, and the others.
        saved: The bytes of the others, 0 if they could not be computed again: the code reads
            an array that may be changed.
        weight: The bytes of the leaves.
        outputs: Which of the results that are needed are the step's outputs.
        shapes: The outputs' shapes.
        backward: ``backward(inputs, leaves, results, gradients, uses)`` gives the gradients of
            the inputs, and appends each use of a leaf to the list of its pool in ``uses``.
        pools: (which leaf, its pool, shape of a use's gradient, what it waits for) of each list.
        pool_sizes: How many uses may gather in each, and the smallest of these numbers.
        needs: Whether a leaf or the first input requires a gradient.
        sink: A Tensor that stands for all leaves among the operands of a step.
        source: The text of both functions.
    """

    def __init__(self, trace: _Trace, leaf_needs: Sequence[bool], input_needs: Sequence[bool]):
        self.leaves = trace.leaves
        self.lines = trace.lines
        self.shapes = trace.shapes
        self.needs = any(leaf_needs) or input_needs[0]
        number, nothing = reserve_numbers(1), np.zeros((), trace.dtype)
        self.sink = made_by(
            number, LEAVES, tuple(self.leaves), NO_PARAMS, (), nothing, any(leaf_needs)
        )
        self._names: dict[str, Any] = {}
        calls = [
            f"{self._name('f', op.forward)}({self._arguments(operands, params)})  # {op}"
            for op, operands, params in trace.lines
        ]
        # (leaf, pool, shape of a use's gradient, for how many it waits)
        self.pools: list[tuple[int, Any, tuple[int, ...], str]] = []
        read = set(trace.outputs)
        back = self._backward_lines(trace, leaf_needs, input_needs, read)
        self.kept = sorted(int(place[1:]) for place in read if place[0] == "v")
        self.others = [k for k in range(len(calls)) if k not in self.kept]
        self.outputs = [self.kept.index(int(place[1:])) for place in trace.outputs]
        dropped = [trace.arrays[f"v{k}"] for k in self.others]
        remade = not any(map(_holds_array, trace.lines))
        self.saved = sum(a.nbytes for a in dropped if a.base is None) if remade else 0
        self.weight = sum(leaf.data.nbytes for leaf in self.leaves)
        # In ``backward`` the names of the others mean these.
        self._names.update({f"v{k}": Unread(a) for k, a in zip(self.others, dropped, strict=True)})
        self.forward = self._forward(trace, calls, whole=False)
        self.whole = self._forward(trace, calls, whole=True)
        head = ["def backward(inputs, leaves, results, gradients, uses):", *self._unpack(trace)]
        head.append(f"{', '.join(f'v{k}' for k in self.kept)}, = results")
        self.backward = self._write("backward", [*head, *back])
        self.pool_sizes = [
            pool_size(shape, gather, self.leaves[leaf].shape)
            for leaf, _, shape, gather in self.pools
        ]
        self.smallest_pool = min(self.pool_sizes, default=1)

    @classmethod
    def of(
        cls,
        step: Callable[..., Sequence[Any]],
        shapes: Sequence[tuple[int, ...]],
        dtype: Any,
        input_needs: Sequence[bool],
    ) -> Plan | None:
        """The plan of ``step(*inputs) -> outputs``, or None where two traces differ.

        Args:
            step: Takes and returns Tensors.
            shapes: Of its inputs, of one ``dtype``.
            dtype: Of everything in the step; a step of several dtypes is not served.
            input_needs: Which inputs' gradients are wanted.
        """
        try:
            first, second = (_Trace(step, shapes, dtype, seed) for seed in (1, 2))
        except Exception:  # a step may refuse numbers that are not the user's
            return None
        if not (
            first.served
            and second.served
            and first.outputs == second.outputs
            and len(first.leaves) == len(second.leaves)
            and all(map(operator.is_, first.leaves, second.leaves))
            and alike(first.lines, second.lines)
        ):
            return None
        return cls(first, [leaf.requires_grad for leaf in first.leaves], input_needs)

    # Writing ---------------------------------------------------------------------------------

    def _name(self, prefix: str, value: Any) -> str:
        """A name in the written functions for a function, number or metadata."""
        name = f"{prefix}{len(self._names)}"
        self._names[name] = value
        return name

    def _write(self, name: str, lines: list[str]) -> Callable[..., Any]:
        source = "\n    ".join(lines)
        exec(compile(source, f"<replay {name}>", "exec"), self._names)
        self.source = getattr(self, "source", "") + source + "\n\n"
        # Out of its own globals: there it would be a cycle, and the plan outlive its cell.
        written: Callable[..., Any] = self._names.pop(name)
        return written

    def _unpack(self, trace: _Trace) -> list[str]:
        lines = []
        for letter, source in (("i", "inputs"), ("l", "leaves")):
            places = [p for p in trace.place.values() if p[0] == letter]
            if places:
                lines.append(f"{', '.join(places)}, = {source}")
        return lines

    def _arguments(self, operands: list[Any], params: dict[str, Any]) -> str:
        parts = [x if isinstance(x, str) else self._name("k", x) for x in operands]
        if params:
            parts.append(f"**{self._name('p', params)}")
        return ", ".join(parts)

    def _forward(self, trace: _Trace, calls: list[str], whole: bool) -> Callable[..., Any]:
        """One line for each record, and one wherever results that are not kept are used up."""
        last = {x: k for k, (_, xs, _) in enumerate(trace.lines) for x in xs if isinstance(x, str)}
        done: dict[int, list[str]] = {}
        for j in () if whole else self.others:
            done.setdefault(last[f"v{j}"], []).append(f"v{j}")
        name = "whole" if whole else "forward"
        lines = [f"def {name}(inputs, leaves):", *self._unpack(trace)]
        for k, call in enumerate(calls):
            lines.append(f"v{k} = {call}")
            if k in done:
                lines.append(f"del {', '.join(done[k])}")
        kept, others = (f"({''.join(f'v{k}, ' for k in x)})" for x in (self.kept, self.others))
        return self._write(name, [*lines, f"return {kept}, {others if whole else None}"])

    def _backward_lines(
        self,
        trace: _Trace,
        leaf_needs: Sequence[bool],
        input_needs: Sequence[bool],
        read: set[str],
    ) -> list[str]:
        """One line for each rule that is needed, the gradients named g_ and their place.

        What the rules read is added to ``read``.
        """
        needed = {f"l{k}" for k, need in enumerate(leaf_needs) if need}
        needed |= {f"i{k}" for k, need in enumerate(input_needs) if need}
        for k, (_, operands, _) in enumerate(trace.lines):
            if any(isinstance(x, str) and x in needed for x in operands):
                needed.add(f"v{k}")
        lines = [f"{', '.join(f'o{k}' for k in range(len(trace.outputs)))}, = gradients"]
        shape_of = {place: array.shape for place, array in trace.arrays.items()}
        have: dict[str, int] = {}  # place -> how many parts its gradient has had so far

        def give(place: str, value: str) -> None:
            have[place] = have.get(place, 0) + 1
            if have[place] == 1:
                lines.append(f"g_{place} = {value}")
            elif have[place] == 2:  # the first part may be somebody else's array
                lines.append(f"g_{place} = g_{place} + {value}")
            else:
                lines.append(f"g_{place} += {value}")

        def wait(place: str, pool: Any, use: str, shape: tuple[int, ...], gather: str) -> None:
            leaf = int(place[1:])
            slots = [i for i, entry in enumerate(self.pools) if entry[:2] == (leaf, pool)]
            if not slots:
                self.pools.append((leaf, pool, shape, gather))
            slot = slots[0] if slots else len(self.pools) - 1
            lines.append(f"uses[{slot}].append({use})")

        for k, place in enumerate(trace.outputs):
            if place in needed:
                give(place, f"o{k}")
        for k in reversed(range(len(trace.lines))):
            op, operands, params = trace.lines[k]
            y = f"v{k}"
            if y not in have:
                continue
            arguments = self._arguments(operands, params)
            if op.variadic:
                gs = self._name("g", None)
                lines.append(f"{gs} = {self._name('r', op.rules)}(g_{y}, {y}, {arguments})")
                read |= trace.read(k, op.rules)
            for j, x in enumerate(operands):
                if not isinstance(x, str) or x not in needed:
                    continue
                rule, pool = (None, None) if op.variadic else op.pairs[j]
                if not op.variadic and rule is None:
                    continue
                if pool is not None and x[0] == "l":
                    use = f"g_{y}, {self._name('p', params)}, {y}, {self._arguments(operands, {})}"
                    wait(x, pool, f"({use})", shape_of[y], op.gather)
                    read |= trace.read(k, pool, trace.arrays[x])
                    continue
                if op.variadic:
                    value = f"{gs}[{j}]"
                else:
                    value = f"{self._name('r', rule)}(g_{y}, {y}, {arguments})"
                    read |= trace.read(k, rule)
                if x[0] == "l":
                    # of the result's shape where the leaf is broadcast, else of the leaf's own
                    wait(x, sum_broadcast, value, shape_of[y], "rows")
                elif op.elementwise and shape_of[x] != shape_of[y]:
                    shape = self._name("s", shape_of[x])
                    give(x, f"{self._name('u', unbroadcast)}({value}, {shape})")
                else:
                    give(x, value)
        wanted = [
            f"g_i{k}" if f"i{k}" in have and need else "None" for k, need in enumerate(input_needs)
        ]
        lines.append(f"return ({''.join(f'{w}, ' for w in wanted)})")
        return lines


class Totals:
    """The gradients of a plan's leaves, summed over all steps of a pass.

    Args:
        plan: The steps' plan.
        leaves: The arrays of its leaves.

    Attributes:
        uses: For each of the plan's pools the uses that wait to be summed.
    """

    __slots__ = ("dtype", "leaves", "plan", "steps", "sums", "uses")

    def __init__(self, plan: Plan, leaves: Sequence[Any]) -> None:
        self.plan, self.leaves, self.dtype = plan, leaves, plan.sink.dtype
        self.uses: list[list[Any]] = [[] for _ in plan.pools]
        self.sums: list[Any] = [None] * len(leaves)
        self.steps = 0

    def stepped(self) -> None:
        """The uses of a step have been appended: sum what has gathered, if it is enough."""
        self.steps += 1
        if self.steps % self.plan.smallest_pool == 0:
            for slot, most in enumerate(self.plan.pool_sizes):
                if len(self.uses[slot]) >= most:
                    self._settle(slot)

    def finished(self) -> list[Any]:
        """The gradient of each leaf, None where there is none."""
        for slot in range(len(self.uses)):
            self._settle(slot)
        return self.sums

    def _settle(self, slot: int) -> None:
        leaf, pool, _, _ = self.plan.pools[slot]
        if self.uses[slot]:
            g = pool(self.uses[slot], self.leaves[leaf])
            if self.sums[leaf] is None:
                self.sums[leaf] = np.array(g)
            else:
                self.sums[leaf] += g
            # A new list: the old one may be kept, by identity, for its sum.
            self.uses[slot] = []
