"""Trace and replay: one step of a cell as two generated functions, forward and backward.

Recording costs about a microsecond an op, which is most of the time of a small network. A
``Plan`` is made from the records of one step that was traced twice, with the same records both
times: two functions written out line by line, as a person would write backpropagation by hand,
which call the same forwards and rules on the same arrays. So the results are equal to the last
bit, and when the tape is read (by ``Tape``, by a second derivative) the steps' records are
expanded.

Results that no rule reads, 18 of an LSTM's 25, need not be kept: that is two thirds of the
memory and of the traffic through the processor's cache.
"""

from __future__ import annotations

import collections
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from .backward import reachable
from .buffers import Accumulator, Buffer, buffer_limit, sum_broadcast
from .context import recording
from .numpy_core import unbroadcast
from .tensor import NO_PARAMS, Array, Op, Params, Tensor, operands_of, running_number

# The op of the placeholder that stands for all weights among a replayed step's operands; its
# gradient is a ``LeafGradients``.
LEAVES = Op("leaves", lambda *_: None, lambda g, y, *_: g.finish())


def made_by(
    number: int,
    op: Op,
    inputs: tuple[Any, ...],
    params: Params,
    path: tuple[str, ...],
    data: Array,
    requires_grad: bool,
) -> Tensor:
    """A Tensor with a record that ``apply`` did not make and that has no operands' arrays."""
    out: Tensor = object.__new__(Tensor)
    out.data, out.grad, out.name = data, None, None
    out.requires_grad = requires_grad
    out._record = (number, op, params, path, *inputs, *(None for _ in inputs))
    return out


def reserve_numbers(count: int) -> int:
    """Take the next ``count`` running numbers; returns the first of them."""
    first = next(running_number)
    collections.deque(itertools.islice(running_number, count - 1), maxlen=0)
    return first


def alike(a: Any, b: Any) -> bool:
    """Whether two metadata values are equal, arrays inside of them too."""
    if isinstance(a, Op) or isinstance(b, Op):  # ops of the same name may differ
        return a is b
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return isinstance(a, type(b)) and np.array_equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b)


def _holds_array(x: Any) -> bool:
    """Whether a metadata value holds an array; a 0-d array does not count."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, np.ndarray):
        return x.ndim > 0
    return isinstance(x, (tuple, list)) and any(map(_holds_array, x))


class MetadataOnly:
    """A metadata-only array: shape and dtype without numbers, for a rule that reads no more.

    Reading a number raises, so that a rule can be tried with it.
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
    """The positions, of those in ``among``, of the arrays whose numbers ``call(*arrays)`` reads.

    Without the numbers of the others its result is the same.
    """
    read, expected = list(among), list[Any]()
    with np.errstate(all="ignore"):
        for at in among:
            try:
                answer = call(*arrays[:at], MetadataOnly(arrays[at]), *arrays[at + 1 :])
                expected = expected or [call(*arrays)]
                if _same_bits(answer, expected[0]):
                    read.remove(at)
            except Exception:  # computing without the numbers may raise anything
                continue
    return read


def _same_bits(a: Any, b: Any) -> bool:
    """Whether two results of a rule are equal to the last bit."""
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same_bits, a, b))
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


class _Trace:
    """The records of one run of ``step(*inputs)``, with place names for Tensors.

    A place is ``i0`` for an input, ``l0`` for a leaf and ``v0`` for a result.
    """

    def __init__(self, step: Callable[..., Sequence[Any]], shapes: Any, dtype: Any, seed: int):
        rng = np.random.default_rng(seed)
        inputs = [Tensor(rng.uniform(-1, 1, shape).astype(dtype)) for shape in shapes]
        start = reserve_numbers(1)
        with recording(), np.errstate(all="ignore"):  # the numbers are not the user's
            outputs = step(*inputs)
        # A result from before the step (a weight with rows dropped) is a leaf here.
        before = [t for number, t in reachable(outputs)[0] if number < start]
        order, _ = reachable(outputs, stop=before)
        records = [t for _, t in reversed(order)]
        made = set(records)
        operands = dict.fromkeys(_operands(records))
        self.leaves = [t for t in operands if t not in made and t not in set(inputs)]
        self.place = {t: f"i{k}" for k, t in enumerate(inputs)}
        self.place.update({t: f"l{k}" for k, t in enumerate(self.leaves)})
        self.place.update({t: f"v{k}" for k, t in enumerate(records)})
        # With an input that no op reads, earlier steps would be missing from a later tape.
        self.supported = (
            made.issuperset(outputs)
            and operands.keys() >= set(inputs)
            and all(t.ndim and t.dtype == dtype for t in self.place)
        )
        self.dtype = dtype
        self.reads: dict[Any, list[int]] = {}
        self.arrays = {place: t.data for t, place in self.place.items()}
        self.outputs = [self.place.get(t, "") for t in outputs]
        self.shapes = [np.shape(t) for t in outputs]
        self.lines = [self.line(t) for t in records]

    def line(self, t: Tensor) -> tuple[Op, list[Any], Params]:
        """The op of a result, its operands (places or constants) and its metadata."""
        operands = [self.place.get(x, x) if isinstance(x, Tensor) else x for x in operands_of(t)]
        _, op, params, *_ = t._record  # type: ignore[misc]
        return op, operands, params

    def read(self, k: int, rule: Any, leaf: Any = None) -> set[str]:
        """The results that a rule of record k reads, or, given a ``leaf``, a batch rule of it."""
        _, operands, params = self.lines[k]
        places: list[Any] = [f"v{k}", *operands]
        arrays = [self.arrays[x] if isinstance(x, str) else x for x in places]
        g = arrays[0]  # any numbers of the result's shape

        def answer(y: Any, *inputs: Any) -> Any:
            if leaf is not None:
                return rule([(g, params, y, *inputs)] * 2, leaf)
            return rule(g, y, *inputs, **params)

        results = [at for at, x in enumerate(places) if isinstance(x, str) and x[0] == "v"]
        # The same for all gates of a cell: it depends on shapes, options and constants.
        signature = [self.arrays[x].shape if isinstance(x, str) else id(x) for x in places]
        key = (rule, id(params), *results, *signature, np.shape(leaf))
        if key not in self.reads:
            self.reads[key] = numbers_read(answer, arrays, results)
        return {places[at] for at in self.reads[key]}


def _operands(records: Sequence[Tensor]) -> list[Tensor]:
    return [x for t in records for x in operands_of(t) if isinstance(x, Tensor)]


class Plan:
    """A step as two plain functions of arrays.

    Attributes:
        leaves: The Tensors that the step reads besides its inputs: parameters and constants.
        lines: (op, operands, metadata) of each record; an operand is its place or a constant.
        kept: The records whose results are kept: the outputs, and those that a rule reads.
        others: The other records.
        forward: ``forward(inputs, leaves)`` returns the kept results, and None; each of the
            others (a sum before an activation) is freed after its last use.
        whole: ``whole(inputs, leaves)`` returns the kept results, and the others.
        saved: The bytes of the others, 0 if they could not be computed again because the code
            reads an array that may be changed.
        weight: The bytes of the leaves.
        outputs: The positions of the step's outputs among the kept results.
        shapes: The outputs' shapes.
        backward: ``backward(inputs, leaves, results, gradients, buffers)`` returns the gradients
            of the inputs, and appends each contribution to a leaf to its buffer.
        buffers: (leaf, batch rule, limit) of each buffer.
        smallest_limit: The smallest of the limits.
        needs: Whether a leaf or the first input requires a gradient.
        placeholder: A Tensor that stands for all leaves among the operands of a step.
        source: The text of the functions.
    """

    def __init__(self, trace: _Trace, leaf_needs: Sequence[bool], input_needs: Sequence[bool]):
        self.leaves = trace.leaves
        self.lines = trace.lines
        self.shapes = trace.shapes
        self.needs = any(leaf_needs) or input_needs[0]
        number, nothing = reserve_numbers(1), np.zeros((), trace.dtype)
        self.placeholder = made_by(
            number, LEAVES, tuple(self.leaves), NO_PARAMS, (), nothing, any(leaf_needs)
        )
        self._names: dict[str, Any] = {}
        calls = [
            f"{self._name('f', op.forward)}({self._arguments(operands, params)})  # {op}"
            for op, operands, params in trace.lines
        ]
        self.buffers: list[tuple[int, Any, int]] = []
        read = set(trace.outputs)
        back = self._backward_lines(trace, leaf_needs, input_needs, read)
        self.kept = sorted(int(place[1:]) for place in read if place[0] == "v")
        self.others = [k for k in range(len(calls)) if k not in self.kept]
        self.outputs = [self.kept.index(int(place[1:])) for place in trace.outputs]
        dropped = [trace.arrays[f"v{k}"] for k in self.others]
        remade = not any(map(_holds_array, trace.lines))
        self.saved = sum(a.nbytes for a in dropped if a.base is None) if remade else 0
        self.weight = sum(leaf.data.nbytes for leaf in self.leaves)
        # In ``backward`` the others have no numbers.
        self._names.update(
            {f"v{k}": MetadataOnly(a) for k, a in zip(self.others, dropped, strict=True)}
        )
        self.forward = self._forward(trace, calls, whole=False)
        self.whole = self._forward(trace, calls, whole=True)
        head = ["def backward(inputs, leaves, results, gradients, buffers):", *self._unpack(trace)]
        head.append(f"{', '.join(f'v{k}' for k in self.kept)}, = results")
        self.backward = self._write("backward", [*head, *back])
        self.smallest_limit = min((limit for *_, limit in self.buffers), default=1)

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
            shapes: The shapes of its inputs.
            dtype: The dtype of everything in the step; several dtypes are not supported.
            input_needs: For each input whether its gradient is needed.
        """
        try:
            first, second = (_Trace(step, shapes, dtype, seed) for seed in (1, 2))
        except Exception:  # a step may refuse random inputs
            return None
        if not (
            first.supported
            and second.supported
            and first.outputs == second.outputs
            and len(first.leaves) == len(second.leaves)
            and all(map(operator.is_, first.leaves, second.leaves))
            and alike(first.lines, second.lines)
        ):
            return None
        return cls(first, [leaf.requires_grad for leaf in first.leaves], input_needs)

    # Generating code -------------------------------------------------------------------------

    def _name(self, prefix: str, value: Any) -> str:
        """A name in the generated functions for a function, number or metadata."""
        name = f"{prefix}{len(self._names)}"
        self._names[name] = value
        return name

    def _write(self, name: str, lines: list[str]) -> Callable[..., Any]:
        source = "\n    ".join(lines)
        exec(compile(source, f"<replay {name}>", "exec"), self._names)
        self.source = getattr(self, "source", "") + source + "\n\n"
        # Not left in its own globals: as a cycle it would keep the plan after its cell.
        function: Callable[..., Any] = self._names.pop(name)
        return function

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
        """One line for each record, and a ``del`` after the last use of a result not kept."""
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
        """One line for each rule that is needed, with ``g_`` and a place as a gradient's name.

        The results that the rules read are added to ``read``.
        """
        needed = {f"l{k}" for k, need in enumerate(leaf_needs) if need}
        needed |= {f"i{k}" for k, need in enumerate(input_needs) if need}
        for k, (_, operands, _) in enumerate(trace.lines):
            if any(isinstance(x, str) and x in needed for x in operands):
                needed.add(f"v{k}")
        back = _BackwardLines(self, trace, needed, read)
        back.lines.append(f"{', '.join(f'o{k}' for k in range(len(trace.outputs)))}, = gradients")
        for k, place in enumerate(trace.outputs):
            if place in needed:
                back.accumulate(place, f"o{k}")
        for k in reversed(range(len(trace.lines))):
            if f"v{k}" in back.parts:
                back.propagate(k)
        gradients = [
            f"g_i{k}" if f"i{k}" in back.parts and need else "None"
            for k, need in enumerate(input_needs)
        ]
        return [*back.lines, f"return ({''.join(f'{g}, ' for g in gradients)})"]


class _BackwardLines:
    """The lines of a plan's ``backward`` while they are written, the last record's first.

    Args:
        plan: Gets the names that the lines use, and the buffers.
        trace: The step.
        needed: The places whose gradients are needed.
        read: Gets the results that the rules read.
    """

    def __init__(self, plan: Plan, trace: _Trace, needed: set[str], read: set[str]) -> None:
        self.plan, self.trace, self.needed, self.read = plan, trace, needed, read
        self.lines: list[str] = []
        self.parts: dict[str, int] = {}  # place -> how many contributions it has had so far
        self.shape_of = {place: array.shape for place, array in trace.arrays.items()}

    def accumulate(self, place: str, value: str) -> None:
        """Add a value to a place's gradient."""
        self.parts[place] = self.parts.get(place, 0) + 1
        if self.parts[place] == 1:
            self.lines.append(f"g_{place} = {value}")
        elif self.parts[place] == 2:  # the first may be an array that others share
            self.lines.append(f"g_{place} = g_{place} + {value}")
        else:
            self.lines.append(f"g_{place} += {value}")

    def buffer(
        self, place: str, rule: Any, contribution: str, shape: tuple[int, ...], until: str
    ) -> None:
        """Append a contribution with a gradient of this shape to the buffer of a leaf's rule."""
        leaf, buffers = int(place[1:]), self.plan.buffers
        slots = [i for i, entry in enumerate(buffers) if entry[:2] == (leaf, rule)]
        if not slots:
            limit = buffer_limit(shape, until, self.plan.leaves[leaf].shape)
            buffers.append((leaf, rule, limit))
        slot = slots[0] if slots else len(buffers) - 1
        self.lines.append(f"buffers[{slot}].append({contribution})")

    def propagate(self, k: int) -> None:
        """Carry the gradient of record k's result on to its operands."""
        op, operands, params = self.trace.lines[k]
        name, y = self.plan._name, f"v{k}"
        arguments = self.plan._arguments(operands, params)
        if op.variadic:
            gs = name("g", None)
            self.lines.append(f"{gs} = {name('r', op.rules)}(g_{y}, {y}, {arguments})")
            self.read |= self.trace.read(k, op.rules)
        for j, x in enumerate(operands):
            if not isinstance(x, str) or x not in self.needed:
                continue
            if op.variadic:
                self.contribute(k, x, f"{gs}[{j}]")
                continue
            rule, batch_rule = op.operand_rules[j]
            if rule is None:
                continue
            if batch_rule is not None and x[0] == "l":
                inputs = self.plan._arguments(operands, {})
                contribution = f"(g_{y}, {name('p', params)}, {y}, {inputs})"
                self.buffer(x, batch_rule, contribution, self.shape_of[y], op.buffer_until)
                self.read |= self.trace.read(k, batch_rule, self.trace.arrays[x])
            else:
                value = f"{name('r', rule)}(g_{y}, {y}, {arguments})"
                self.read |= self.trace.read(k, rule)
                self.contribute(k, x, value)

    def contribute(self, k: int, x: str, value: str) -> None:
        """Add the value of a rule of record k for an operand, un-broadcasting it if needed."""
        shape = self.shape_of[f"v{k}"]
        if x[0] == "l":
            # of the result's shape where the leaf is broadcast, else of the leaf's own
            self.buffer(x, sum_broadcast, value, shape, "rows")
        elif self.trace.lines[k][0].elementwise and self.shape_of[x] != shape:
            wanted = self.plan._name("s", self.shape_of[x])
            self.accumulate(x, f"{self.plan._name('u', unbroadcast)}({value}, {wanted})")
        else:
            self.accumulate(x, value)


class LeafGradients:
    """The gradients of a plan's leaves, summed over all steps of a pass.

    Args:
        plan: The steps' plan.
        leaves: The arrays of its leaves.

    Attributes:
        buffers: The plan's buffers, to which its ``backward`` appends.
    """

    __slots__ = ("buffers", "dtype", "plan", "steps", "sums")

    def __init__(self, plan: Plan, leaves: Sequence[Any]) -> None:
        self.plan, self.dtype = plan, plan.placeholder.dtype
        self.buffers = [Buffer(leaves[leaf], rule, limit) for leaf, rule, limit in plan.buffers]
        self.sums = Accumulator()
        self.steps = 0

    def end_step(self) -> None:
        """Flush the buffers that are full, once a step has appended its contributions."""
        self.steps += 1
        if self.steps % self.plan.smallest_limit == 0:
            for slot, buffer in enumerate(self.buffers):
                if len(buffer) >= buffer.limit:
                    self.flush(slot)

    def finish(self) -> list[Any]:
        """The gradient of each leaf, None where there is none."""
        for slot in range(len(self.buffers)):
            self.flush(slot)
        return [self.sums.gradients.get(leaf) for leaf in self.plan.leaves]

    def flush(self, slot: int) -> None:
        """Sum the contributions in a buffer."""
        if self.buffers[slot]:
            leaf = self.plan.leaves[self.plan.buffers[slot][0]]
            self.sums.add(leaf, self.buffers[slot].flush())
