"""Symbolic tensors: shapes that layers are called with before there are numbers.

``Input((6, 3))`` is the first of them; a layer called with one returns another, and notes the call
as a Node. A network is the Nodes between its inputs and its outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

Shape = tuple[int | None, ...]  # with the batch axis, None where any length will do


def shown(shape: Any) -> str:
    """A shape as Keras writes it: (None, None, 50)."""
    return ", ".join(map(shown, shape)) if isinstance(shape, list) else str(tuple(shape))


def leaves(tree: Any) -> Iterator[Any]:
    """The leaves of nested lists, tuples and dicts."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        for item in tree:
            yield from leaves(item)
    else:
        yield tree


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with a function of each leaf in its place."""
    if isinstance(tree, dict):
        return {key: mapped(function, item) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(mapped(function, item) for item in tree)
    return function(tree)


class Node:
    """One call of a layer with symbolic tensors.

    Attributes:
        layer: The layer.
        args, kwargs: Its arguments, with symbolic tensors in them.
        outputs: The symbolic tensors that it returned.
        number: A running number: a Node's inputs have lower ones.
    """

    numbers = itertools.count()

    def __init__(self, layer: Any, args: Any, kwargs: Any) -> None:
        self.layer, self.args, self.kwargs = layer, args, kwargs
        self.outputs: list[KerasTensor] = []
        self.number = next(Node.numbers)


class KerasTensor:
    """A tensor without numbers.

    Args:
        shape: With the batch axis, None where any length will do.
        name: For messages.
        node: The call that returned it.

    Operators and indices give further ones, as do the functions of ``keras.ops``.
    """

    __array_ufunc__ = None  # array + tensor asks the tensor

    operation: Callable[[str], Any]  # set by ``base``: an operator as a layer

    def __init__(self, shape: Shape, name: str = "", node: Node | None = None) -> None:
        self.shape, self.name, self.node = tuple(shape), name, node
        self.dtype = "float32"

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, name={self.name}>"

    def __array__(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError(
            f"{self!r} has no numbers yet, so that NumPy's functions do not take it; use those of "
            "unspool.models.keras.ops, or put the function into a Lambda layer"
        )

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} has no numbers yet, so it is neither true nor false")

    def __iter__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be unpacked; a layer that returns several tensors is made so, as in "
            "LSTM(4, return_state=True)"
        )

    def __getitem__(self, index: Any) -> Any:
        return KerasTensor.operation("getitem")(self, index)

    def __add__(self, other: Any) -> Any:
        return KerasTensor.operation("add")(self, other)

    def __radd__(self, other: Any) -> Any:
        return KerasTensor.operation("add")(other, self)

    def __sub__(self, other: Any) -> Any:
        return KerasTensor.operation("sub")(self, other)

    def __rsub__(self, other: Any) -> Any:
        return KerasTensor.operation("sub")(other, self)

    def __mul__(self, other: Any) -> Any:
        return KerasTensor.operation("mul")(self, other)

    def __rmul__(self, other: Any) -> Any:
        return KerasTensor.operation("mul")(other, self)

    def __truediv__(self, other: Any) -> Any:
        return KerasTensor.operation("truediv")(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return KerasTensor.operation("truediv")(other, self)

    def __matmul__(self, other: Any) -> Any:
        return KerasTensor.operation("matmul")(self, other)

    def __pow__(self, other: Any) -> Any:
        return KerasTensor.operation("pow")(self, other)

    def __neg__(self) -> Any:
        return KerasTensor.operation("neg")(self)


def filled(shape: Shape, length: int) -> Any:
    """Zeros of a shape whose open axes have a length."""
    return np.zeros([length if n is None else n for n in shape], np.float32)
