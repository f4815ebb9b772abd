"""The tape: what led to a result, in the order in which it was executed, and backwards.

A tape is not kept while ops run; it is read off the graph behind its outputs, sorted by the
running number that every record got. Going back is one loop over the same list reversed, so
its depth is no recursion.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, overload

import numpy as np

from .context import no_grad, path_text, step_of, watched
from .numpy_ops import MANY, Workspace, joined, unbroadcast, workspace
from .tensor import (
    OF_ONE,
    OF_TWO,
    Op,
    Tensor,
    arrays_of,
    check_finite,
    describe,
    operands_of,
    options_text,
)

__all__ = ["Gradients", "Record", "Tape"]

# The uses of a shared operand gather until there are so many rows, or numbers if that is
# later, and are then summed at once: a product or sum over them is as fast as one over more,
# fits the processor's cache, and lets the gradients of earlier steps go. No more than MANY
# numbers wait.
POOL_ROWS = 256
POOL_NUMBERS = 16_384


class Record(NamedTuple):
    """One line of a tape: an op, its operands and its result.

    Attributes:
        op: The name of the op, such as ``"matmul"``; it carries the row of the table.
        inputs: The operands, Tensors; constants of the code are Tensors without a name.
        output: The result.
        params: The metadata, such as ``{"axis": 1}``.
        scope: The path of names around it, such as ``("lstm", "t=3", "forget")``.
        index: Its running number in the order of execution.
    """

    op: Op
    inputs: tuple[Tensor, ...]
    output: Tensor
    params: dict[str, Any]
    scope: tuple[str, ...]
    index: int  # type: ignore[assignment]  # hides tuple.index

    @property
    def step(self) -> int | None:
        """The innermost time step of its scope, counted from 1, or None outside of time."""
        return step_of(self.scope)


class Gradients(dict[Tensor, Any]):
    """Tensor -> gradient; asked for a Tensor that has none, or for what is none, it says so."""

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except TypeError:  # an array is no key at all
            raise TypeError(self._no_tensor(key)) from None

    def __missing__(self, key: Any) -> Any:
        if not isinstance(key, Tensor):
            raise KeyError(self._no_tensor(key))
        raise KeyError(
            f"{describe(key)} has no gradient here: it does not lead to the output of this tape"
        )

    def _no_tensor(self, key: Any) -> str:
        cure = "" if isinstance(key, str) else "; what is to have a gradient is a Parameter(...)"
        if any(x.name == key for x in self if isinstance(key, str)):
            cure = f"; by its name: [g for x, g in grads.items() if x.name == {key!r}]"
        what = describe(key)
        return f"gradients are asked for by a Tensor, as in grads[cell.W], got {what}{cure}"


class Tape:
    """What leads to the given outputs, as records in the order of execution (a Wengert list).

    Args:
        *outputs: The Tensors whose history is wanted; they stand on the tape themselves.

    Raises:
        TypeError: There is no output, or one is not a Tensor.

    Example:
        >>> import numpy as np
        >>> from unspool import Parameter, Tape, Tensor
        >>> W = Parameter([[1.0], [2.0]], name="W")
        >>> y = np.tanh(Tensor([[0.5, 0.25]], name="x") @ W)
        >>> print(Tape(y))
        #  op      operands            result
        1  matmul  x (1, 2), W (2, 1)  v1 (1, 1)
        2  tanh    v1 (1, 1)           v2 (1, 1)
        >>> Tape(y).gradients()[W]
        array([[0.20998717],
               [0.10499359]])
    """

    def __init__(self, *outputs: Tensor) -> None:
        if not outputs:
            raise TypeError("Tape(): give at least one output Tensor, as in Tape(loss)")
        for output in outputs:
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"Tape: outputs are Tensors, got {type(output).__name__}; for a tuple write "
                    "Tape(*outputs)"
                )
        self.outputs = outputs
        order, _ = reachable(outputs, expand=True)
        # Constants of the code (the 1 of ``1 - z``) stand on the tape as Tensors too.
        self._records: list[Record] = []
        for index, output in reversed(order):
            assert output._record is not None
            _, op, params, scope, *_ = output._record
            operands = tuple(
                x if isinstance(x, Tensor) else number(x, output.dtype) for x in operands_of(output)
            )
            self._records.append(Record(op, operands, output, params, scope, index))

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._records[index]

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """The Tensors that no record made, in the order of their first use."""
        made = {record.output for record in self._records}
        operands = (x for record in self._records for x in record.inputs)
        return tuple(dict.fromkeys(x for x in (*operands, *self.outputs) if x not in made))

    def names(self) -> dict[Tensor, str]:
        """What each Tensor is called in print: its own name, or v1, v2, ... by its record."""
        names = {r.output: r.output.name or f"v{i}" for i, r in enumerate(self._records, 1)}
        for leaf in self.leaves:
            plain = leaf.name is None and leaf.size == 1 and not leaf.requires_grad
            names[leaf] = leaf.name or (f"{leaf.item():g}" if plain else "·")
        return names

    def __repr__(self) -> str:
        return f"<Tape of {len(self)} records to {', '.join(map(describe, self.outputs))}>"

    def __str__(self) -> str:
        names = self.names()

        def show(x: Tensor) -> str:
            is_number = x._record is None and x.name is None and x.ndim == 0
            return names[x] if is_number else f"{names[x]} {x.shape}"

        rows = [("#", "t", "scope", "op", "operands", "result")]
        for number, record in enumerate(self._records, 1):
            path = tuple(name for name in record.scope if not hasattr(name, "step"))
            rows.append(
                (
                    str(number),
                    "" if record.step is None else str(record.step),
                    path_text(path),
                    record.op + options_text(record.params),
                    ", ".join(map(show, record.inputs)),
                    show(record.output),
                )
            )
        # A column without an entry (no time, no scope) is left out.
        columns = [c for c in zip(*rows, strict=True) if any(c[1:]) or c[0] == "#"]
        widths = [max(map(len, column)) for column in columns]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in zip(*columns, strict=True)
        )

    def gradients(self, seed: Any = None) -> Gradients:
        """The gradient of the outputs with respect to every Tensor on the tape.

        Args:
            seed: The gradient of the output itself, of its shape; may be left out for a
                scalar. For several outputs a sequence of as many, None for those that do not
                count. A Tensor makes the gradients Tensors that can be differentiated again.

        Returns:
            Tensor -> gradient, of the Tensor's shape and dtype. What does not lead to an
            output, and what is not floating-point, is absent.

        Raises:
            ValueError: An output is not a scalar and has no seed, the shapes differ, or it has
                neither a seed nor a tape.
        """
        if len(self.outputs) == 1:
            seeds = [seed]
        elif seed is None or not isinstance(seed, (tuple, list)) or len(seed) != len(self.outputs):
            raise ValueError(
                f"gradients: this tape has {len(self.outputs)} outputs; give as many seeds, "
                "None for an output that does not count"
            )
        else:
            seeds = list(seed)
        roots = [
            (output, seed_for(output, g))
            for output, g in zip(self.outputs, seeds, strict=True)
            if g is not None or len(self.outputs) == 1
        ]
        first = self.outputs[0]
        if seed is None and first._record is None and not first.requires_grad:
            raise no_way_to(first)
        found = Gradients()
        given: set[int] = set()

        def deliver(x: Tensor, g: Any) -> None:
            # Each array is the reader's own: a copy of what others share or is a view of them.
            if not isinstance(g, Tensor):
                if type(g) is not np.ndarray or g.base is not None or id(g) in given:
                    g = np.array(g)
                given.add(id(g))
            found[x] = g

        backpropagate(roots, deliver, every=True, keep_all=True)
        return found


def number(x: Any, dtype: np.dtype[Any]) -> Tensor:
    """A constant operand of a record as a Tensor; a Python number takes the result's dtype."""
    if isinstance(x, np.ndarray):
        return Tensor(x)
    is_float = dtype.kind in "f" and x is not None
    return Tensor(np.asarray(np.nan if x is None else x, dtype=dtype if is_float else None))


number_of = operator.itemgetter(0)


def reachable(
    outputs: Iterable[Tensor],
    gradients_only: bool = False,
    stop: Iterable[Tensor] = (),
    expand: bool = False,
) -> tuple[list[tuple[int, Tensor]], list[Tensor]]:
    """The Tensors behind the outputs: (running number, Tensor), the last one first, and leaves.

    With ``gradients_only`` only those that require a gradient; ``stop`` count as leaves. With
    ``expand`` records that stand for others make way for them.
    """
    order: list[tuple[int, Tensor]] = []
    leaves: list[Tensor] = []
    stack = [t for t in dict.fromkeys(outputs) if t.requires_grad or not gradients_only]
    seen = set(stack)
    stops = set(stop)
    while stack:
        t = stack.pop()
        record = t._record
        if record is None or (stops and t in stops):
            leaves.append(t)
            continue
        if expand and record[1].expand is not None:
            record[1].expand(t)
            record = t._record
            assert record is not None
        order.append((record[0], t))
        # The loop below written out for two operands and for one, as most records have; a
        # record's only operand is a Tensor.
        if gradients_only and len(record) == OF_TWO:
            a, b = record[4], record[5]
            if isinstance(a, Tensor) and a.requires_grad and a not in seen:
                seen.add(a)
                stack.append(a)
            if isinstance(b, Tensor) and b.requires_grad and b not in seen:
                seen.add(b)
                stack.append(b)
        elif gradients_only and len(record) == OF_ONE:
            a = record[4]
            if a.requires_grad and a not in seen:
                seen.add(a)
                stack.append(a)
        else:
            for x in operands_of(t):
                wanted = isinstance(x, Tensor) and (x.requires_grad or not gradients_only)
                if wanted and x not in seen:
                    seen.add(x)
                    stack.append(x)
    order.sort(key=number_of, reverse=True)
    return order, leaves


def seed_for(output: Tensor, gradient: Any) -> Any:
    """The gradient that a pass begins with, checked."""
    if output.dtype.kind not in "f":
        raise ValueError(f"{describe(output)} is not floating-point and has no gradient")
    if gradient is None:
        if output.size != 1:
            raise ValueError(
                f"backward from {describe(output)}: only a scalar has a gradient of 1; reduce it "
                "with .sum() or .mean(), or give the gradient of its shape"
            )
        return np.ones(output.shape, output.dtype)
    shape = gradient.shape if isinstance(gradient, Tensor) else np.shape(gradient)
    if shape != output.shape:
        raise ValueError(
            f"backward from {describe(output)}: the gradient must have its shape, got {shape}"
        )
    return gradient if isinstance(gradient, Tensor) else np.array(gradient, dtype=output.dtype)


def no_way_to(output: Tensor) -> ValueError:
    """The error for a result without a tape."""
    return ValueError(
        f"backward from {describe(output)}: nothing that requires a gradient leads to it; make "
        "a leaf with Parameter(...) or requires_grad=True, outside of no_grad()"
    )


def accumulate_leaves(output: Tensor, gradient: Any = None) -> None:
    """``Tensor.backward``: the pass that ends in the leaves' ``.grad``."""
    seed = seed_for(output, gradient)
    if isinstance(seed, Tensor):
        seed = np.array(seed.data)
    if not output.requires_grad:
        raise no_way_to(output)

    def deliver(leaf: Tensor, g: Any) -> None:
        if leaf.data.dtype.kind != "f":
            raise TypeError(
                f"{describe(leaf)} requires a gradient, which needs floating-point data; write the "
                "numbers as floats"
            )
        if leaf.grad is None:
            leaf.grad = np.array(g)  # a copy: g may be a view that others share
        else:
            leaf.grad += g

    backpropagate([(output, seed)], deliver)


def backpropagate(
    roots: list[tuple[Tensor, Any]],
    deliver: Callable[[Tensor, Any], None],
    *,
    every: bool = False,
    keep_all: bool = False,
    stop: Iterable[Tensor] = (),
) -> None:
    """Carry gradients from the roots back, calling ``deliver(tensor, gradient)``.

    Args:
        roots: Outputs and the gradients they begin with. If one of these is a Tensor, the
            whole pass runs on Tensors and is recorded, to be differentiated again.
        deliver: Called once a leaf; with ``keep_all`` once for every Tensor.
        every: Whether Tensors that require no gradient get one too.
        keep_all: Whether the gradients of results are delivered, or dropped once used.
        stop: Tensors that count as leaves here.
    """
    record = any(isinstance(g, Tensor) for _, g in roots)
    if record:
        roots = [(y, g if isinstance(g, Tensor) else Tensor(g)) for y, g in roots]
        return _run(roots, deliver, every, keep_all, stop, True)
    token = workspace.set(Workspace())
    try:
        with no_grad():
            return _run(roots, deliver, every, keep_all, stop, False)
    finally:
        workspace.reset(token)


def _run(
    roots: list[tuple[Tensor, Any]],
    deliver: Callable[[Tensor, Any], None],
    every: bool,
    keep_all: bool,
    stop: Iterable[Tensor],
    record: bool,
) -> None:
    anomaly = watched.get()
    order, leaves = reachable((t for t, _ in roots), not every, stop, expand=record or anomaly)
    grads: dict[Tensor, Any] = {}
    owned: set[Tensor] = set()  # whose sum so far is an array of our own, to be added to in place
    # Tensor -> pool -> uses not yet summed, behind the number that may gather
    waiting: dict[Tensor, dict[Any, list[Any]]] = {}

    def add(x: Tensor, g: Any) -> None:
        held = grads.get(x)
        if held is None:
            grads[x] = g
            return
        if anomaly:
            what = "sum of the gradients"
            check_finite(what, (x, held, g), held + g, (), f"gradients of {describe(x)}")
        if x in owned:
            held += g
        else:
            grads[x] = held = held + g
            if type(held) is np.ndarray:
                owned.add(x)

    def give(x: Tensor, g: Any, elementwise: bool) -> None:
        """Add what a rule gave for x, which may be of the result's shape."""
        if elementwise and g.shape != x.data.shape:
            put(x, sum_broadcast, g, g, "rows" if is_row(x.data) else "operand")
        elif x in grads:
            add(x, g)
        else:
            grads[x] = g

    def put(x: Tensor, pool: Any, use: Any, g: Any, gather: str) -> None:
        """Let a use of x, with a gradient of the shape of g, wait for others."""
        pools = waiting.get(x)
        if pools is None:
            pools = waiting[x] = {}
        uses = pools.get(pool)
        if uses is None:
            pools[pool] = [pool_size(g.shape, gather, x.data.shape), use]
        else:
            uses.append(use)
            if len(uses) > uses[0]:
                settle(x, pool)

    def settle(x: Tensor, pool: Any) -> None:
        uses = waiting[x].pop(pool)[1:]
        g = pool(uses, x if record else x.data)
        if anomaly and not isinstance(g, list):
            parts = [use[0] if isinstance(use, tuple) else use for use in uses]
            check_finite("sum of the gradients", (x, *parts), g, (), f"gradients of {describe(x)}")
        add(x, g)

    def total(x: Tensor) -> Any:
        """The finished gradient of x, or None."""
        for pool in list(waiting.get(x, ())):
            settle(x, pool)
        g = grads.pop(x, None)
        if g is not None and g.dtype is not x.data.dtype:
            wide, g = g, g.astype(x.data.dtype)
            if anomaly:
                check_finite("cast", (wide,), g, (), f"gradients of {describe(x)}")
        return g

    for t, g in roots:
        if t.requires_grad or every:
            add(t, g)
    pop = grads.pop
    usual = not (every or anomaly or record)
    for _, t in order:
        g = total(t) if t in waiting else pop(t, None)
        if g is None:
            continue
        y: Any = t.data
        if g.dtype is not y.dtype:
            g = g.astype(y.dtype)
        if keep_all:
            deliver(t, g)
        fields: Any = t._record
        op, params = fields[1], fields[2]
        if usual and op.pairs and not params:
            # The loop below written out for two operands and for one, as most records have:
            # it would take twice the time.
            if len(fields) == OF_TWO:
                _, _, _, _, a, b, left, right = fields
                rule, pool, other_rule, other_pool, gather, elementwise = op.two
                if isinstance(a, Tensor) and a.requires_grad:
                    if pool is not None:
                        put(a, pool, (g, params, y, left, right), g, gather)
                    elif rule is not None:
                        give(a, rule(g, y, left, right), elementwise)
                if isinstance(b, Tensor) and b.requires_grad:
                    if other_pool is not None:
                        put(b, other_pool, (g, params, y, left, right), g, gather)
                    elif other_rule is not None:
                        give(b, other_rule(g, y, left, right), elementwise)
                continue
            if len(fields) == OF_ONE:
                _, _, _, _, a, array = fields
                rule, pool = op.pairs[0]
                if a.requires_grad and rule is not None and pool is None:
                    give(a, rule(g, y, array), op.elementwise)
                    continue
        path, inputs, arrays = fields[3], operands_of(t), arrays_of(t)
        if record:
            y, arrays = t, inputs
        if op.variadic:  # one rule gives all the gradients
            for x, gx in zip(inputs, op.rules(g, y, *arrays, **params)):
                if gx is None or not isinstance(x, Tensor):
                    continue
                if x.requires_grad or (every and x.data.dtype.kind == "f"):
                    add(x, gx)
            continue
        for x, (rule, pool) in zip(inputs, op.pairs):
            if not isinstance(x, Tensor) or rule is None:
                continue
            if not x.requires_grad and not (every and x.data.dtype.kind == "f"):
                continue
            if pool is not None:
                put(x, pool, (g, params, y, *arrays), g, op.gather)
                continue
            gx = rule(g, y, *arrays, **params) if params else rule(g, y, *arrays)
            if anomaly:
                check_finite(op, (*inputs, g), gx, path, f"gradients of {describe(x)}")
            give(x, gx, op.elementwise)
    for leaf in leaves:
        g = total(leaf)
        if g is not None:
            deliver(leaf, g)


def pool_size(shape: tuple[int, ...], gather: str, operand: tuple[int, ...]) -> int:
    """How many uses may gather in the pool of an operand, with gradients of this shape.

    Of slices or rows of the operand as many as fill it: putting them in their places costs an
    array of its size each time.
    """
    size = max(math.prod(shape), 1)
    if gather == "all":
        return sys.maxsize
    if gather == "operand":
        return max(math.prod(operand) // size, 1)
    rows = shape[0] if len(shape) > 1 else 1
    most = max(MANY // size, 1)
    return min(max(POOL_ROWS // max(rows, 1), POOL_NUMBERS // size, 1), most)


def is_row(x: Any) -> bool:
    """Whether all of an operand lies along its last axis, as a bias does, or it is a number."""
    return not x.ndim or bool(x.size == x.shape[-1])


def sum_broadcast(uses: list[Any], x: Any) -> Any:
    """The pool of broadcast operands: the gradients of all uses, summed to the shape of x."""
    g = uses[0]
    if len(uses) == 1:
        return unbroadcast(g, shape=x.shape)
    first_axis_is_summed = g.ndim > x.ndim or x.shape[0] == 1
    if is_row(x) and first_axis_is_summed and all(u.shape[1:] == g.shape[1:] for u in uses):
        return unbroadcast(joined(uses), shape=x.shape)  # a bias: one sum
    return functools.reduce(operator.add, (unbroadcast(g, shape=x.shape) for g in uses))
