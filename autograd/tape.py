"""The tape: the records behind a result in the order of execution, to be read and run backward.

A tape is not kept while ops run; it is read off the graph behind its outputs. It is a list of
records, so that drawings, tests and the printed table read the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, overload

import numpy as np

from .backward import backpropagate, no_path, reachable, seed_for
from .context import origin_of, path_text, step_of, without_steps
from .messages import describe, options_text
from .table import Table
from .tensor import Op, Tensor, operands_of


class Record(NamedTuple):
    """One line of a tape: an op, its operands and its result.

    Attributes:
        op: The name of the op, such as ``"matmul"``; an ``Op``, with its forward and rules.
        inputs: The operands, Tensors; constants in the code are Tensors without a name.
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

    @property
    def origin(self) -> int | None:
        """The index of the forward record that a record of a backward pass comes from.

        Its scope is that record's, after ``backward``. None for a forward record; -1 for a sum of
        what several records give a leaf.
        """
        return origin_of(self.scope)

    def operand_gradients(self, g: Any) -> dict[Tensor, Any]:
        """The contribution of this record alone to the gradient of each operand.

        Args:
            g: The gradient of its result, an array of its shape.
        """
        found: dict[Tensor, Any] = {}
        backpropagate([(self.output, g)], found.__setitem__, every=True, stop=self.inputs)
        return found


class Gradients(dict[Tensor, Any]):
    """Tensor -> gradient; errors explain a missing key, and a key that is no Tensor."""

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except TypeError:  # an array cannot be hashed
            raise TypeError(self._no_tensor(key)) from None

    def __missing__(self, key: Any) -> Any:
        if not isinstance(key, Tensor):
            raise KeyError(self._no_tensor(key))
        raise KeyError(
            f"{describe(key)} has no gradient here: it does not lead to the output of this tape"
        )

    def _no_tensor(self, key: Any) -> str:
        cure = "" if isinstance(key, str) else "; a leaf with a gradient is a Parameter(...)"
        if any(x.name == key for x in self if isinstance(key, str)):
            cure = f"; by its name: [g for x, g in grads.items() if x.name == {key!r}]"
        what = describe(key)
        return f"look gradients up by Tensor, as in grads[cell.W]; got {what}{cure}"


class Tape:
    """The records behind the given outputs, in the order of execution (a Wengert list).

    Args:
        *outputs: The Tensors whose history it holds, they themselves included.

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
        self._records = [record_of(output) for _, output in reversed(order)]

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
        """The name of each Tensor in the printed table: its own, or v1, v2, ... by its record."""
        names = {r.output: r.output.name or f"v{i}" for i, r in enumerate(self._records, 1)}
        for leaf in self.leaves:
            plain = leaf.name is None and leaf.size == 1 and not leaf.requires_grad
            names[leaf] = leaf.name or (f"{leaf.item():g}" if plain else "·")
        return names

    def __repr__(self) -> str:
        return f"<Tape of {len(self)} records to {', '.join(map(describe, self.outputs))}>"

    def table(self, values: bool = False, gradients: Mapping[Tensor, Any] | None = None) -> Table:
        """The records as a table, as textbooks show reverse mode: a line for each.

        Args:
            values: Whether a column shows the numbers of each result; the leaves then have lines
                too, above.
            gradients: What ``gradients()`` returned: a column shows the adjoint of each result,
                and the leaves have lines.

        Returns:
            A table, to be printed; a notebook shows it as HTML.

        Example:
            >>> from unspool import Parameter, Tape
            >>> a, b = Parameter(2.0, name="a"), Parameter(5.0, name="b")
            >>> tape = Tape(a * b + b)
            >>> print(tape.table(values=True, gradients=tape.gradients()))
            #  op        operands     result  value  adjoint
                                      a ()        2        5
                                      b ()        5        3
            1  multiply  a (), b ()   v1 ()      10        1
            2  add       v1 (), b ()  v2 ()      15        1
        """
        names = self.names()

        def show(x: Tensor) -> str:
            is_number = x._record is None and x.name is None and x.ndim == 0
            return names[x] if is_number else f"{names[x]} {x.shape}"

        def numbers(x: Tensor) -> tuple[Any, Any]:
            g = None if gradients is None else gradients.get(x)
            return (x.data if values else None), (g.data if isinstance(g, Tensor) else g)

        rows = []
        for leaf in self.leaves if values or gradients is not None else ():
            if leaf.name or leaf.requires_grad:
                rows.append(("", "", "", "", "", show(leaf), *numbers(leaf)))
        for number, record in enumerate(self._records, 1):
            rows.append(
                (
                    str(number),
                    "" if record.step is None else str(record.step),
                    path_text(without_steps(record.scope)),
                    record.op + options_text(record.params),
                    ", ".join(map(show, record.inputs)),
                    show(record.output),
                    *numbers(record.output),
                )
            )
        heads = ("#", "t", "scope", "op", "operands", "result", "value", "adjoint")
        return Table(heads, rows, self.__repr__()[1:-1])

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        return self.table()._repr_html_()

    def gradients(self, seed: Any = None) -> Gradients:
        """The gradient of the outputs with respect to every Tensor on the tape.

        Args:
            seed: The gradient of the output itself, of its shape; may be left out for a
                scalar. For several outputs a sequence of seeds, None for outputs that do not
                count. A Tensor makes the gradients Tensors that can be differentiated again: their
                tape is that of the pass back, with the scopes of the records that it comes from.

        Returns:
            Tensor -> gradient, of the Tensor's shape and dtype. A Tensor that does not lead to
            an output, or is not floating-point, is absent.

        Raises:
            ValueError: An output is not a scalar and has no seed, the shapes differ, or it has
                neither a seed nor a history.
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
            raise no_path(first)
        found = Gradients()
        delivered: set[int] = set()

        def deliver(x: Tensor, g: Any) -> None:
            # The caller may write into the arrays, so no two share memory.
            if not isinstance(g, Tensor):
                if type(g) is not np.ndarray or g.base is not None or id(g) in delivered:
                    g = np.array(g)
                delivered.add(id(g))
            found[x] = g

        backpropagate(roots, deliver, every=True, keep_all=True)
        return found


def record_of(output: Tensor) -> Record:
    """The record of a result; constants in the code (the 1 of ``1 - z``) are Tensors on it."""
    index, op, params, scope, *_ = output._record  # type: ignore[misc]
    inputs = (
        x if isinstance(x, Tensor) else constant(x, output.dtype) for x in operands_of(output)
    )
    return Record(op, tuple(inputs), output, params, scope, index)


def constant(x: Any, dtype: np.dtype[Any]) -> Tensor:
    """A constant operand as a Tensor; a Python number takes the result's dtype."""
    if isinstance(x, np.ndarray):
        return Tensor(x)
    is_float = dtype.kind in "f" and x is not None
    return Tensor(np.asarray(np.nan if x is None else x, dtype=dtype if is_float else None))
