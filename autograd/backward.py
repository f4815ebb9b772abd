"""The backward pass: from the gradient of the outputs to that of everything behind them.

The results behind the outputs are sorted by the running numbers of their records. The pass is
one loop over this list, the last record first. A use has a larger number than what it uses, so
when the loop comes to a result all its uses have been visited: its gradient is finished, and the
rules of its op carry it on to its operands. No recursion, so a graph may be as deep as it likes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .buffers import Accumulator
from .context import (
    anomaly_check,
    backward_scope,
    current_scope,
    no_grad,
    scope_of_sum,
    split_scope,
)
from .messages import describe
from .tensor import BINARY, UNARY, Op, Tensor, apply, arrays_of, operands_of, provides
from .workspace import Workspace, current_workspace

Deliver = Callable[[Tensor, Any], None]
number_of = operator.itemgetter(0)
set_grad = Tensor.grad.__set__  # type: ignore[union-attr, misc]  # of a shape that is right


def reachable(
    outputs: Iterable[Tensor],
    gradients_only: bool = False,
    stop: Iterable[Tensor] = (),
    expand: bool = False,
) -> tuple[list[tuple[int, Tensor]], list[Tensor]]:
    """The graph behind the outputs: its results, the last one first, and its leaves.

    Args:
        outputs: Where the search begins.
        gradients_only: Only what requires a gradient.
        stop: Tensors that count as leaves.
        expand: Whether fused records are expanded.

    Returns:
        (running number, Tensor) of each result, and the leaves.
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
        for x in record[4 : len(record) // 2 + 2]:
            if isinstance(x, Tensor) and x not in seen and (x.requires_grad or not gradients_only):
                seen.add(x)
                stack.append(x)
    order.sort(key=number_of, reverse=True)
    return order, leaves


class BackwardPass:
    """One pass over the graph behind the roots.

    Args:
        deliver: Called with each leaf and its gradient.
        every: Whether Tensors that require no gradient get one too.
        keep_all: Whether results are delivered as well as leaves.
        recorded: Whether the pass is recorded, so that rules run on Tensors. Its records then
            have the scopes of those that they come from, after ``backward``, and the gradient of
            ``h_2`` is called ``∂L/∂h_2``.
    """

    __slots__ = ("check", "deliver", "every", "keep_all", "recorded", "sums", "uses")

    def __init__(self, deliver: Deliver, every: bool, keep_all: bool, recorded: bool) -> None:
        self.deliver, self.every, self.keep_all = deliver, every, keep_all
        self.recorded = recorded
        self.uses: dict[Tensor, tuple[str, ...]] = {}  # leaf -> the scope around all its uses
        self.check = anomaly_check.get()
        self.sums = Accumulator(recorded, self.check)

    def run(self, roots: Sequence[tuple[Tensor, Any]], stop: Iterable[Tensor]) -> None:
        """Carry the roots' gradients back to the leaves."""
        # A fused record has the gradients that were asked for when it ran.
        expand = self.recorded or self.every or self.check is not None
        order, leaves = reachable((t for t, _ in roots), not self.every, stop, expand)
        for t, g in roots:
            if t.requires_grad or self.every:
                self.sums.add(t, g)
        if self.recorded:
            self.walk_recorded(order)
        else:
            self.walk(order)
        for leaf in leaves:
            if self.recorded:
                self.enter(self.uses.get(leaf, ()), -1)
            g = self.sums.finish(leaf)
            if g is not None:
                self.deliver(leaf, named(leaf, g) if self.recorded else g)

    def walk_recorded(self, order: Iterable[tuple[int, Tensor]]) -> None:
        """``walk`` with the scopes of the records that it visits."""
        for entry in order:
            t = entry[1]
            self.enter(t._record[3], entry[0])  # type: ignore[index]
            g = self.sums.finish(t)
            if g is not None:
                named(t, g)
                if self.keep_all:
                    self.deliver(t, g)
                self.propagate(t, g)

    def walk(self, order: Iterable[tuple[int, Tensor]]) -> None:
        """Finish the gradient of each result, the last one first, and propagate it.

        The branches by ``len(record)`` are the fast path: ``propagate`` written out for records
        of two operands and of one, in passes that neither record nor check. Most records are of
        this kind, and it takes half the time.
        """
        sums, keep_all = self.sums, self.keep_all
        buffers, take = sums.buffers, sums.gradients.pop
        accumulate, buffer = sums.accumulate, sums.buffer
        fast = not (self.every or self.check or self.recorded)
        for _, t in order:
            g = sums.finish(t) if t in buffers else take(t, None)
            if g is None:  # only used where there is no rule, as the condition of np.where
                continue
            y: Any = t.data
            if g.dtype is not y.dtype:  # an operand of a wider dtype has widened it
                g = g.astype(y.dtype)
            if keep_all:
                self.deliver(t, g)
            record: Any = t._record
            op, params = record[1], record[2]
            if params or op.variadic or not fast:
                self.propagate(t, g)
            elif len(record) == BINARY:
                _, _, _, _, a, b, x, z = record
                rule_a, batch_rule_a, rule_b, batch_rule_b, until, elementwise = op.binary
                if isinstance(a, Tensor) and a.requires_grad:
                    if batch_rule_a is not None:
                        buffer(a, batch_rule_a, (g, params, y, x, z), g, until)
                    elif rule_a is not None:
                        accumulate(a, rule_a(g, y, x, z), elementwise)
                if isinstance(b, Tensor) and b.requires_grad:
                    if batch_rule_b is not None:
                        buffer(b, batch_rule_b, (g, params, y, x, z), g, until)
                    elif rule_b is not None:
                        accumulate(b, rule_b(g, y, x, z), elementwise)
            elif len(record) == UNARY and op.binary[1] is None:
                rule, a = op.binary[0], record[4]
                if rule is not None and a.requires_grad:
                    accumulate(a, rule(g, y, record[5]), op.elementwise)
            else:
                self.propagate(t, g)

    def enter(self, path: tuple[str, ...], origin: int, end: int | None = None) -> None:
        """Record what follows as backward from the record of this scope and number."""
        if current_scope.get() is not None:  # outside of no_grad()
            current_scope.set(backward_scope(path, origin, end))

    def enter_sum(self, x: Tensor, path: tuple[str, ...], origin: int) -> None:
        """Enter the scope in which a contribution to an operand is added to the others."""
        self.enter(path, origin, scope_of_sum(path, () if x._record is None else x._record[3]))
        if x._record is None:
            around = (split_scope(path) or (path,))[0]
            shared = scope_of_sum(around, self.uses.get(x, around))
            self.uses[x] = around[:shared]

    def propagate(self, t: Tensor, g: Any) -> None:
        """Carry the gradient of a result on to the operands of its record."""
        record: Any = t._record
        op, params, path = record[1:4]
        inputs, arrays, y = operands_of(t), arrays_of(t), t.data
        if self.recorded:
            y, arrays = t, tuple(map(as_recorded, inputs, arrays))  # type: ignore[assignment]
        if op.variadic:
            for x, gx in zip(inputs, op.rules(g, y, *arrays, **params)):
                if gx is not None and self.wants(x):
                    if self.recorded:
                        self.enter_sum(x, path, record[0])
                    self.sums.add(x, gx)
            return
        for x, (rule, batch_rule) in zip(inputs, op.operand_rules):
            if rule is None or not self.wants(x):
                continue
            if batch_rule is not None:
                contribution = (g, params, y, *arrays)
                if self.recorded:
                    self.enter_sum(x, path, record[0])
                self.sums.buffer(x, batch_rule, contribution, g, op.buffer_until)
                continue
            gx = rule(g, y, *arrays, **params)
            if self.check:
                self.check(op, (*inputs, g), gx, path, f"gradients of {describe(x)}")
            if self.recorded:
                self.enter_sum(x, path, record[0])
            self.sums.accumulate(x, gx, op.elementwise)
            if self.recorded:
                self.enter(path, record[0])

    def wants(self, x: Any) -> bool:
        """Whether an operand gets a gradient."""
        if not isinstance(x, Tensor):
            return False
        return x.requires_grad or (self.every and x.data.dtype.kind == "f")


def named(x: Tensor, g: Any) -> Any:
    """A recorded gradient under the name of its Tensor, ``∂L/∂h_2``, unless it has a name."""
    if x.name and g._record is not None and not g.name:
        g.name = f"∂L/∂{x.name}"
    return g


OF_THE_RECORD = Op("recorded", lambda x: x, (lambda g, y, x: g,))


def as_recorded(x: Any, array: Any) -> Any:
    """An operand with the array that the op ran on, which an update may have replaced since."""
    if not isinstance(x, Tensor) or array is None or x.data is array:
        return x
    out = apply(OF_THE_RECORD, (x,))
    out.data = array
    return out


def backpropagate(
    roots: Sequence[tuple[Tensor, Any]],
    deliver: Deliver,
    *,
    every: bool = False,
    keep_all: bool = False,
    stop: Iterable[Tensor] = (),
) -> None:
    """Carry gradients from the roots back, calling ``deliver(tensor, gradient)``.

    Args:
        roots: Outputs and the gradients they begin with. If one of these is a Tensor, the
            whole pass runs on Tensors and is recorded, to be differentiated again.
        deliver: Called once for each leaf; with ``keep_all`` once for every Tensor.
        every: Whether Tensors that require no gradient get one too.
        keep_all: Whether the gradients of results are delivered, or dropped once used.
        stop: Tensors that count as leaves here.
    """
    if any(isinstance(g, Tensor) for _, g in roots):
        roots = [(y, g if isinstance(g, Tensor) else Tensor(g)) for y, g in roots]
        scope = current_scope.set(current_scope.get())
        try:
            BackwardPass(deliver, every, keep_all, recorded=True).run(roots, stop)
        finally:
            current_scope.reset(scope)
        return
    token = current_workspace.set(Workspace())  # products of this pass share copies of operands
    try:
        with no_grad():
            BackwardPass(deliver, every, keep_all, recorded=False).run(roots, stop)
    finally:
        current_workspace.reset(token)


@provides
def backward(output: Tensor, gradient: Any = None) -> None:
    """``Tensor.backward``: the pass that ends in the leaves' ``.grad``, arrays without a tape.

    Second derivatives come from ``grad`` or ``Tape.gradients``, with a Tensor as the seed.
    """
    seed = seed_for(output, gradient)
    if isinstance(seed, Tensor):
        seed = np.array(seed.data)
    if not output.requires_grad:
        raise no_path(output)
    backpropagate([(output, seed)], add_to_grad)


def add_to_grad(leaf: Tensor, g: Any) -> None:
    """Add a gradient to a leaf's ``.grad``."""
    if leaf.data.dtype.kind != "f":
        raise TypeError(
            f"{describe(leaf)} requires a gradient, which needs floating-point data; write the "
            "numbers as floats"
        )
    if leaf.grad is None:
        set_grad(leaf, np.array(g))  # a copy: g may be a view that others share
    else:
        leaf.grad += g


def seed_for(output: Tensor, gradient: Any) -> Any:
    """The gradient that a pass begins with: 1 for a scalar, or the given one, checked."""
    data = output.data
    if data.dtype.kind != "f":
        raise ValueError(f"{describe(output)} is not floating-point and has no gradient")
    if gradient is None:
        if data.size != 1:
            raise ValueError(
                f"backward from {describe(output)}: only a scalar has a gradient of 1; reduce it "
                "with .sum() or .mean(), or give the gradient of its shape"
            )
        return np.array(1, data.dtype).reshape(data.shape)
    shape = gradient.shape if isinstance(gradient, Tensor) else np.shape(gradient)
    if shape != output.shape:
        raise ValueError(
            f"backward from {describe(output)}: the gradient must have its shape, got {shape}"
        )
    return gradient if isinstance(gradient, Tensor) else np.array(gradient, dtype=output.dtype)


def no_path(output: Tensor) -> ValueError:
    """The error for a result to which no path leads from a leaf that requires a gradient."""
    return ValueError(
        f"backward from {describe(output)}: nothing that requires a gradient leads to it; make "
        "a leaf with Parameter(...) or requires_grad=True, outside of no_grad()"
    )
