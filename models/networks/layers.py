"""Layers outside of time: embeddings, dense layers, dropout, and dense layers put in a row."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from ... import cells
from ...autograd import (
    ACTIVATIONS,
    Parameter,
    Tensor,
    describe,
    dropout,
    embedding,
    no_grad,
    operand,
    scope,
)
from ...cells import (
    Bidirectional,
    Cell,
    GatedCell,
    Module,
    check_member,
    glorot_uniform,
    register,
    width_out,
)
from ...checks import check_choice, check_fraction, check_int, describe_received, wrong_type

Activation = str | Callable[[Any], Any] | None


def activation_function(who: str, activation: Activation) -> Callable[[Any], Any]:
    """The function of an activation: a name in ACTIVATIONS, a function, or None."""
    if activation is None:
        return ACTIVATIONS["identity"]
    if callable(activation):
        return activation
    check_choice(who, "activation", activation, ACTIVATIONS, also="a function or None")
    return ACTIVATIONS[activation]


@register
class Embedding(Module):
    """A vector for each id: row ``id`` of E, the lectures' e = E x with one-hot x.

    E begins normal with standard deviation 0.1, so that a softmax over E h begins nearly even.

    Args:
        n: The number of ids.
        d: The width of a vector.
        padding_idx: An id whose vector begins as 0 and gets no gradient, or None for none.
    """

    def __init__(
        self,
        n: int,
        d: int,
        *,
        padding_idx: int | None = None,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        self.n, self.d = check_int("Embedding", "n", n), check_int("Embedding", "d", d)
        values = np.random.default_rng(rng).standard_normal((self.n, self.d)) * 0.1
        if padding_idx is not None:
            padding_idx = check_int("Embedding", "padding_idx", padding_idx, least=0)
            if padding_idx >= n:
                raise ValueError(
                    f"Embedding: padding_idx must be an id below n={n}, got {padding_idx}"
                )
            values[padding_idx] = 0
        self.padding_idx = padding_idx
        self.E = Parameter(values.astype(dtype))

    def __call__(self, ids: Any) -> Tensor:
        """The vectors of ids of any shape: (*ids.shape, d)."""
        with scope("embedding"):
            return embedding(self.E, ids, self.padding_idx)


@register
class Dense(Module):
    """y = g(x W + b), for x of any number of axes.

    W is Glorot-uniform, b zero.

    Args:
        d_in: The width of x.
        d_out: The width of y.
        activation: g: a name in ``autograd.ACTIVATIONS``, a function, or None for the identity.
        bias: Whether there is a b.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        activation: Activation = None,
        *,
        bias: bool = True,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        self.d_in, self.d_out = check_int("Dense", "d_in", d_in), check_int("Dense", "d_out", d_out)
        activation_function("Dense", activation)
        self.activation = activation
        self.W = Parameter(glorot_uniform(np.random.default_rng(rng), d_in, d_out, dtype))
        if bias:
            self.b = Parameter(np.zeros(d_out, dtype))

    def __call__(self, x: Any) -> Tensor:
        """x (..., d_in) to y (..., d_out)."""
        x = operand(x)
        if not np.shape(x) or np.shape(x)[-1] != self.d_in:
            raise ValueError(f"Dense: expected x of (..., {self.d_in}), got {describe(x)}")
        with scope("dense"):
            y = x @ self.W
            if hasattr(self, "b"):
                y = y + self.b
            return activation_function("Dense", self.activation)(y)


@register
class Dropout(Module):
    """In training each element is 0 with probability p and the others are divided by 1 - p.

    Args:
        p: From 0 to 1.

    Source: Srivastava et al. (2014).
    """

    def __init__(self, p: float = 0.5, *, rng: Any = None) -> None:
        self.p = check_fraction("Dropout", "p", p)
        self.rng = np.random.default_rng(rng)

    @property
    def setting(self) -> float:
        """The argument of which a model's constructor makes a Dropout."""
        return self.p

    def __call__(self, x: Any) -> Any:
        """x of any shape; as it is after ``eval()``."""
        return dropout(x, self.p, training=self.training, rng=self.rng)


@register
class FeedForward(Module):
    """Dense layers in a row: a multi-layer perceptron of any depth.

    Args:
        widths: The widths of the input, of each hidden layer, and of the output.
        activation: Of the hidden layers; as in Dense.
        final: The activation of the last layer; None leaves scores, as losses want them.
        dropout: The probability of dropping a hidden element in training.
        bias: Whether the layers have biases.

    Example:
        >>> from unspool.models import FeedForward
        >>> mlp = FeedForward([4, 8, 8, 3], activation="tanh", rng=0)
        >>> mlp(np.zeros((5, 4), np.float32)).shape, mlp.size()
        ((5, 3), 139)
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Activation = "relu",
        *,
        final: Activation = None,
        dropout: float = 0.0,
        bias: bool = True,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        activation_function("FeedForward", activation)
        listed = isinstance(widths, (list, tuple))
        if not listed or len(widths) < 2:
            received = list(widths) if listed else describe_received(widths)
            raise ValueError(
                "FeedForward: widths must be those of the input, the hidden layers and the output, "
                f"as in [300, 100, 2]; got {received}"
            )
        rng = np.random.default_rng(rng)
        last = len(widths) - 2
        self.layers = [
            Dense(a, b, final if i == last else activation, bias=bias, rng=rng, dtype=dtype)
            for i, (a, b) in enumerate(pairwise(widths))
        ]
        self.dropout = Dropout(dropout, rng=rng)
        self.d_in, self.d_out = self.layers[0].d_in, self.layers[-1].d_out

    def __call__(self, x: Any) -> Tensor:
        """x (..., widths[0]) to (..., widths[-1])."""
        *hidden, top = self.layers
        for i, layer in enumerate(hidden):
            with scope(str(i)):
                x = self.dropout(layer(x))
        with scope(str(len(hidden))):
            return top(x)


CALL = "cell(d_in, d_h, rng=, dtype=)"
# The cells that can be given by their name in small letters.
NAMED_CELLS: dict[str, Any] = {
    name.lower(): kind
    for name, kind in vars(cells).items()
    if isinstance(kind, type) and issubclass(kind, GatedCell) and kind.gates
}


def make_cell(who: str, cell: Any, d_in: int, d_h: int, **options: Any) -> Cell:
    """A layer of a model's own, checked.

    Args:
        who: The model, for messages.
        cell: A class, a function that is called as ``cell(d_in, d_h, rng=, dtype=)``, the name of
            a class in small letters, or a Cell, which is used as it is.
        d_in, d_h: The widths.
        **options: ``rng`` and ``dtype``.
    """
    if isinstance(cell, Cell):
        if (cell.d_in, cell.d_h) != (d_in, d_h):
            name = type(cell).__name__
            raise ValueError(
                f"{who}: cell is {name}({cell.d_in}, {cell.d_h}), expected {name}({d_in}, {d_h}); "
                f"write cell={name}, and it is made to fit"
            )
        return cell
    if isinstance(cell, str):
        cell = NAMED_CELLS[check_choice(who, "cell", cell, NAMED_CELLS)]
    if not callable(cell) or isinstance(cell, Module):
        cure = "write cell=LSTM, or functools.partial(Elman, activation='relu')"
        raise wrong_type(f"{who}: cell must be a class, a name, a Cell or a function", cell, cure)
    check_signature(who, cell, options)
    made = cell(d_in, d_h, **options)
    if not isinstance(made, Cell):
        raise wrong_type(f"{who}: {CALL} must make a Cell, which reads from left to right", made)
    return made


def check_signature(who: str, cell: Any, options: Mapping[str, Any]) -> None:
    """Raise TypeError if a class or function cannot be called as a cell is made."""
    try:
        signature = inspect.signature(cell)
    except ValueError:  # of a builtin
        return
    taken = signature.parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in taken):
        return
    missing = [name for name in options if name not in signature.parameters]
    if missing:
        name = getattr(cell, "__name__", type(cell).__name__)
        raise TypeError(
            f"{who}: a cell is made by {CALL}, but {name} takes no {' and no '.join(missing)}; "
            f"add them to its arguments, or write cell=lambda d_in, d_h, rng, dtype: "
            f"{name}(d_in, d_h)"
        )


def made_network(who: str, network: Any, embedding: Any, **options: Any) -> Any:
    """The network of a model: as it is, or of a cell's class or name, as wide as the embedding."""
    made_of = isinstance(network, str) or (isinstance(network, type) and issubclass(network, Cell))
    width = getattr(embedding, "d", None)
    if not made_of:
        check_member(f"{who}: network", network)
        return network
    if width is None:
        raise TypeError(
            f"{who}: network must be a Cell, Stacked or Bidirectional, got "
            f"{describe_received(network)}; make one, as in LSTM(3, 4), or give embedding=, which "
            "says how wide it is"
        )
    return make_cell(who, network, width, width, **options)


def make_layers(
    who: str, cell: Any, d_in: int, d_h: int, layers: int, *, both: bool = False, **options: Any
) -> list[Any]:
    """Layers of a cell, each above the one before; with ``both`` in both directions.

    Args:
        who: What makes them, for errors.
        cell: A class of cells, a name such as "lstm", a function of (d_in, d_h), or a Cell.
        d_in: The width of the first layer's input.
        d_h: The width of each state.
        layers: How many.
        both: Whether each layer is a ``Bidirectional``.
        **options: What the cells are made with, such as ``rng`` and ``dtype``.
    """
    if isinstance(cell, Cell) and (layers > 1 or both):
        raise one_layer_only(who, cell)
    members: list[Any] = []
    for _ in range(layers):
        made: list[Any] = [make_cell(who, cell, d_in, d_h, **options) for _ in range(1 + both)]
        members.append(Bidirectional(*made) if both else made[0])
        d_in = width_out(members[-1])
    return members


def one_layer_only(who: str, cell: Cell) -> ValueError:
    """The error for a Cell that would have to be several layers."""
    name = type(cell).__name__
    return ValueError(f"{who}: a Cell can be one layer only; write cell={name}, to make several")


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """A block without dropout and without recording; the modes are restored afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
