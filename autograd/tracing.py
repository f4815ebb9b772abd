"""Tracing: the records of one step of a function of Tensors, as lines between named places.

A place is ``i0`` for an input, ``l0`` for a leaf and ``v0`` for the result of line 0. The lines are
what a loop over time needs to run the step without recording it, and to record it later, when its
tape is read.
"""

from __future__ import annotations

import dis
import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .backward import reachable
from .context import current_scope
from .tensor import Array, Op, Params, Tensor, apply, operands_of, reserve_numbers

__all__ = ["Line", "Trace", "Untraceable", "made_by", "operands_read", "split_off_weights", "trace"]


class Untraceable(Exception):
    """A step that is not the same every time, or that no loop over its records can run."""


class Line(NamedTuple):
    """A record of a traced step.

    Attributes:
        op: The op.
        operands: Places, and constants in the code.
        params: The op's metadata.
        path: The scopes inside of the step.
        name: The name of the result, or None.
    """

    op: Op
    operands: tuple[Any, ...]
    params: Params
    path: tuple[str, ...]
    name: str | None


class Trace(NamedTuple):
    """The records of a step.

    Attributes:
        lines: In the order of execution.
        leaves: The Tensors that the step reads besides its inputs, by place.
        outputs: The places of its outputs.
        shapes: The shape of every place.
    """

    lines: list[Line]
    leaves: list[Tensor]
    outputs: list[str]
    shapes: dict[str, tuple[int, ...]]

    def record(self, inputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
        """Record the lines again, in the current scope; returns the outputs."""
        values = {f"i{k}": x for k, x in enumerate(inputs)}
        values.update({f"l{k}": x for k, x in enumerate(leaves)})
        around = current_scope.get()
        for k, (op, operands, params, path, name) in enumerate(self.lines):
            token = current_scope.set(None if around is None else (*around, *path))
            try:
                given = tuple(values[x] if isinstance(x, str) else x for x in operands)
                values[f"v{k}"] = result = apply(op, given, params)
            finally:
                current_scope.reset(token)
            result.name = name
        return [values[place] for place in self.outputs]


def split_off_weights(whole: Trace, leaves: int) -> tuple[Trace, Trace]:
    """What a step computes from its leaves alone, and the step that finds it as further leaves.

    Args:
        whole: The trace of the step.
        leaves: How many leaves it has.

    Returns:
        A trace without inputs; its outputs are the further leaves of the other trace, in order.
    """
    places = {name: name for name in whole.shapes if name[0] != "v"}
    first: dict[str, str] = {}
    parts: tuple[list[Line], list[Line]] = [], []
    for k, line in enumerate(whole.lines):
        read = [x for x in line.operands if isinstance(x, str)]
        alone = bool(read) and all(x[0] == "l" or x in first for x in read)
        if alone and f"v{k}" not in whole.outputs:
            operands = tuple(first.get(x, x) if isinstance(x, str) else x for x in line.operands)
            first[f"v{k}"] = f"v{len(parts[0])}"
            places[f"v{k}"] = f"l{leaves + len(parts[0])}"
            parts[0].append(line._replace(operands=operands))
        else:
            operands = tuple(places[x] if isinstance(x, str) else x for x in line.operands)
            places[f"v{k}"] = f"v{len(parts[1])}"
            parts[1].append(line._replace(operands=operands))
    shapes = [{new[x]: whole.shapes[x] for x in new} for new in (first, places)]
    before = Trace(parts[0], [], [*first.values()], shapes[0])
    return before, Trace(parts[1], [], [places[x] for x in whole.outputs], shapes[1])


def trace(step: Callable[..., Sequence[Any]], shapes: Sequence[Any], dtype: Any) -> Trace:
    """The trace of ``step(*inputs) -> outputs``.

    The step is traced twice, on different numbers; a step whose records depend on the numbers, on
    a random generator or on a counter is noticed.

    Args:
        step: Takes and returns Tensors.
        shapes: The shapes of its inputs.
        dtype: The dtype of everything in the step.

    Raises:
        Untraceable: With the reason.
    """
    try:
        first, second = (trace_once(step, shapes, dtype, seed) for seed in (1, 2))
    except Untraceable:
        raise
    except Exception as error:  # a step may refuse the numbers that it is traced with
        raise Untraceable(f"a step on random numbers raised {error!r}") from error
    same = first.outputs == second.outputs and alike(first.lines, second.lines)
    if not same or not all(map(operator.is_, first.leaves, second.leaves)):
        raise Untraceable("two steps differ in their records")
    return first


def trace_once(step: Callable[..., Sequence[Any]], shapes: Any, dtype: Any, seed: int) -> Trace:
    """The trace of one step on numbers drawn from (-1, 1)."""
    rng = np.random.default_rng(seed)
    inputs = [Tensor(rng.uniform(-1, 1, shape).astype(dtype)) for shape in shapes]
    start = reserve_numbers(1)
    token = current_scope.set(())
    try:
        with np.errstate(all="ignore"):  # the numbers are not the user's
            outputs = step(*inputs)
    finally:
        current_scope.reset(token)
    # A result from before the step (a weight with rows dropped) is a leaf here.
    before = [t for number, t in reachable(outputs)[0] if number < start]
    order, _ = reachable(outputs, stop=before)
    records = [t for _, t in reversed(order)]
    place = {t: f"i{k}" for k, t in enumerate(inputs)}
    made = set(records)
    operands = dict.fromkeys(x for t in records for x in operands_of(t) if isinstance(x, Tensor))
    leaves = [t for t in operands if t not in made and t not in place]
    place.update({t: f"l{k}" for k, t in enumerate(leaves)})
    place.update({t: f"v{k}" for k, t in enumerate(records)})
    if not made.issuperset(outputs):
        raise Untraceable("a state or output is handed on as it is, without an op")
    if other := {str(t.dtype) for t in place} - {str(dtype)}:
        raise Untraceable(f"the step computes in {dtype} and in {', '.join(sorted(other))}")
    lines = []
    for t in records:
        _, op, params, path, *_ = t._record  # type: ignore[misc]
        given = tuple(place[x] if isinstance(x, Tensor) else x for x in operands_of(t))
        lines.append(Line(op, given, params, path, t.name))
    shapes_of = {name: t.data.shape for t, name in place.items()}
    return Trace(lines, leaves, [place[t] for t in outputs], shapes_of)


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


@functools.cache
def operands_read(rule: Callable[..., Any], count: int) -> frozenset[int]:
    """The arrays that a gradient rule reads, derived from its code: those that it loads.

    Args:
        rule: ``rule(g, y, *inputs, **params)``.
        count: How many inputs there are.

    Returns:
        Positions: -1 for the result y, 0, 1, ... for the inputs.
    """
    every = frozenset(range(-1, count))
    code = getattr(rule, "__code__", None)
    if code is None:
        return every
    loaded: set[str] = {*code.co_cellvars}
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith("LOAD_FAST"):
            names = instruction.argval
            loaded |= {names} if isinstance(names, str) else {*names}
    positional = code.co_varnames[: code.co_argcount]
    found = {k - 2 for k, name in enumerate(positional) if k and name in loaded}
    if code.co_flags & 0x04:  # *inputs
        rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
        if rest in loaded:
            found |= {*range(code.co_argcount - 2, count)}
    return every & found


# Records that apply does not make ---------------------------------------------------------------


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
    out.data, out.name = data, None
    out.requires_grad = requires_grad
    out._record = (number, op, params, path, *inputs, *(None for _ in inputs))
    return out
