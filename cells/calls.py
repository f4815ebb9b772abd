"""The calls that a plan is made of: functions on columns of buffers, and their order.

A plan is written in terms of these, and holds no arrays: ``execute`` runs it with NumPy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import SIGMOID, TABLE, Op, unbroadcast

__all__ = [
    "ADD",
    "COPY",
    "MATMUL",
    "MULTIPLY",
    "ONE",
    "PHASES",
    "SIGMOID",
    "TANH",
    "Buffer",
    "Call",
    "Coefficient",
    "Constant",
    "Leaves",
    "Operand",
    "Ref",
    "along_row",
    "call",
    "hold",
    "overlap",
    "schedule",
    "side_by_side",
    "store",
    "store_gradients",
]

MATMUL, ADD, MULTIPLY = TABLE[np.matmul], TABLE[np.add], TABLE[np.multiply]
COPY, TANH = TABLE[np.positive], TABLE[np.tanh]
PHASES = ("before", "loop", "after")


class Buffer:
    """An array of a plan, made anew for each run.

    Attributes:
        shape: At one step.
        timed: Whether there is an entry for each step.
        kept: Whether the pass back reads it.
        extra: 1 for a state: one entry more, that before the first step.
    """

    __slots__ = ("extra", "kept", "shape", "timed")

    def __init__(self, shape: tuple[int, ...], timed: bool = True, extra: int = 0) -> None:
        self.shape, self.timed, self.extra = shape, timed, extra
        self.kept = False

    def ref(self, lag: int = 0) -> Ref:
        """All of its columns."""
        return Ref(self, 0, self.shape[-1] if self.shape else 1, lag)


class Ref(NamedTuple):
    """Columns of a buffer, at a step or (``lag`` 1, of a state) after it."""

    buffer: Buffer
    start: int
    stop: int
    lag: int = 0


class Leaves(NamedTuple):
    """Leaves side by side, concatenated along their last axis."""

    places: tuple[int, ...]
    transposed: bool = False


class Constant(NamedTuple):
    """A number or an array in the code."""

    value: Any


class Coefficient:
    """The factor between two gradients, at each element: a sum over the paths between them.

    Attributes:
        shape: Of the value, at one step.
        terms: (coefficient so far, line, operand) of each path: the line's rule carries it on to
            the operand. A line of None hands it on as it is. Without terms it is 1.
    """

    __slots__ = ("shape", "terms")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.terms: list[tuple[Coefficient, int | None, int]] = []

    def simplified(self) -> Coefficient:
        """The coefficient that it hands on as it is, or itself."""
        if len(self.terms) == 1 and self.terms[0][1] is None:
            return self.terms[0][0].simplified()
        return self


ONE = Coefficient(())
Operand = Any  # Ref, Leaves, Constant or Coefficient


class Call(NamedTuple):
    """One function on arrays: ``function(*operands, *outs)``.

    Attributes:
        op: The op that it computes, None for a rule or another function.
        outs: Columns of the buffers that get the results.
        row: Of an op along a row the number of columns that are one row; there may be several rows
            side by side. 0 for all columns.
    """

    op: Op | None
    operands: tuple[Operand, ...]
    outs: tuple[Ref, ...]
    function: Callable[..., Any]
    row: int = 0


# Functions that write into arrays ---------------------------------------------------------------


def store(forward: Callable[..., Any], params: dict[str, Any], *arrays: Any) -> None:
    """Write what a forward returns into the last array."""
    *operands, out = arrays
    np.copyto(out, forward(*operands, **params))


def store_gradients(
    op: Op, params: dict[str, Any], places: Sequence[tuple[int, bool]], *arrays: Any
) -> None:
    """Run a rule on (g, y, *inputs), and write, or add, what it returns into the other arrays.

    Args:
        op: The op. Its rule is that of one operand, or of all.
        params: Its metadata.
        places: For each out array the operand, and whether it is added: the sum of a leaf.
        arrays: The rule's arguments, then the out arrays.
    """
    given, outs = arrays[: -len(places)], arrays[-len(places) :]
    rule: Any = op.rules if op.variadic else op.rules[places[0][0]]  # type: ignore[index]
    found = rule(*given, **params)
    for out, (j, added) in zip(outs, places, strict=True):
        g = found[j] if isinstance(found, (list, tuple)) else found
        if g is None:
            continue
        if g.shape != out.shape:
            g = unbroadcast(g, out.shape)
        np.copyto(out, out + g if added else g)


_along_row: dict[Any, Callable[..., Any]] = {}


def along_row(function: Callable[..., Any], op: Op, params: dict[str, Any], *given: Any) -> Any:
    """``store`` or ``store_gradients`` of an op: one function for equal calls, which may be one."""
    key = function, id(op), repr(params), given
    what = op.forward if function is store else op
    return _along_row.setdefault(key, functools.partial(function, what, params, *given))


def hold(old: Any, padded: Any, new: Any) -> None:
    """At padding the state stays."""
    np.copyto(new, old, where=padded)


@functools.cache
def into(op: Op) -> Callable[..., Any]:
    """An op without metadata as a function that writes into its last argument."""
    if op is MATMUL:
        return np.dot
    return op.into or functools.partial(store, op.forward, {})


def call(op: Op, operands: tuple[Operand, ...], out: Ref) -> Call:
    """The call of an op without metadata."""
    return Call(op, operands, (out,), into(op))


# Scheduling -------------------------------------------------------------------------------------


def overlap(a: Operand, b: Operand) -> bool:
    """Whether two operands share elements."""
    if not (isinstance(a, Ref) and isinstance(b, Ref)):
        return False
    same = a.buffer is b.buffer and a.lag == b.lag
    return same and a.start < b.stop and b.start < a.stop


def depends(call: Call, earlier: Call) -> bool:
    """Whether a call has to come after an earlier one."""
    return any(
        overlap(a, b)
        for wrote, others in (
            (earlier.outs, (*call.operands, *call.outs)),
            (earlier.operands, call.outs),
        )
        for a in wrote
        for b in others
    )


def side_by_side(a: Operand, b: Operand, shapes: Sequence[tuple[int, ...]]) -> Operand | None:
    """Two operands as one, if b's columns follow those of a; else None."""
    if a is ONE and b is ONE:
        return ONE
    if isinstance(a, Ref) and isinstance(b, Ref):
        same = a.buffer is b.buffer and a.lag == b.lag and a.stop == b.start
        return a._replace(stop=b.stop) if same else None
    if isinstance(a, Leaves) and isinstance(b, Leaves):
        rows = {len(shapes[leaf]) for leaf in (*a.places, *b.places)}
        return Leaves(a.places + b.places) if rows == {1} and not a.transposed else None
    if isinstance(a, Constant) and isinstance(b, Constant) and np.ndim(a.value) == 0:
        return a if type(a.value) is type(b.value) and a.value == b.value else None
    return None


def merged(a: Call, b: Call, shapes: Sequence[tuple[int, ...]]) -> Call | None:
    """Two calls as one on neighbouring columns, or None."""
    if (a.op is None and not a.row) or a.op is not b.op or a.function is not b.function:
        return None
    if a.op is MATMUL:
        return None
    refs = [x for x in (*b.operands, *b.outs) if isinstance(x, Ref)]
    leaves = [shapes[leaf] for x in b.operands if isinstance(x, Leaves) for leaf in x.places]
    width = refs[0].stop - refs[0].start
    if {*leaves, *((x.stop - x.start,) for x in refs)} != {(width,)} or (a.row or width) != width:
        return None
    operands = [side_by_side(x, y, shapes) for x, y in zip(a.operands, b.operands, strict=True)]
    outs = [side_by_side(x, y, shapes) for x, y in zip(a.outs, b.outs, strict=True)]
    if any(x is None for x in (*operands, *outs)):
        return None
    return a._replace(operands=tuple(operands), outs=tuple(outs))  # type: ignore[arg-type]


def schedule(calls: Sequence[Call], shapes: Sequence[tuple[int, ...]]) -> list[Call]:
    """The calls by levels, those of a level on neighbouring columns as one.

    Args:
        calls: In an order in which they may run.
        shapes: The shapes of the leaves.
    """
    levels: list[int] = []
    for call in calls:
        before = (n for n, earlier in zip(levels, calls) if depends(call, earlier))
        levels.append(1 + max(before, default=-1))
    functions = list(dict.fromkeys(call.function for call in calls))

    def key(k: int) -> tuple[int, int, int]:
        return levels[k], functions.index(calls[k].function), calls[k].outs[0].start

    found: list[Call] = []
    level = -1
    for k in sorted(range(len(calls)), key=key):
        call = calls[k]
        both = merged(found[-1], call, shapes) if found and levels[k] == level else None
        if both is None:
            found.append(call)
        else:
            found[-1] = both
        level = levels[k]
    return found
