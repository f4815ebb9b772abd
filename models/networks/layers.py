"""Layers outside of time: embeddings, dense layers, dropout, and dense layers put in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

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
from ...cells import Cell, Module, glorot_uniform, register
from ...checks import check_choice, check_fraction, check_int, describe_received

Activation = str | Callable[[Any], Any] | None


@register
class Embedding(Module):
    """A vector for each id: row ``id`` of E, the lectures' e = E x with one-hot x.

    E begins normal with standard deviation 0.1, so that a softmax over E h begins nearly even.

    Args:
        n: The number of ids.
        d: The width of a vector.
        rng: A Generator, a seed, or None.
        dtype: Of E.
    """

    def __init__(self, n: int, d: int, *, rng: Any = None, dtype: Any = np.float32) -> None:
        self.n, self.d = check_int("Embedding", "n", n), check_int("Embedding", "d", d)
        values = np.random.default_rng(rng).standard_normal((self.n, self.d)) * 0.1
        self.E = Parameter(values.astype(dtype))

    def __call__(self, ids: Any) -> Tensor:
        """The vectors of ids of any shape: (*ids.shape, d)."""
        with scope("embedding"):
            vectors: Tensor = embedding(self.E, ids)
        return vectors


@register
class Dense(Module):
    """y = g(x W + b), for x of any number of axes.

    W is Glorot-uniform, b zero.

    Args:
        d_in: The width of x.
        d_out: The width of y.
        activation: g: a name in ``autograd.ACTIVATIONS``, a function, or None for the identity.
        bias: Whether there is a b.
        rng: A Generator, a seed, or None.
        dtype: Of W and b.
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
        if activation is not None and not callable(activation):
            check_choice("Dense", "activation", activation, ACTIVATIONS, also="a function or None")
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
            g = self.activation
            out: Tensor = y if g is None else (ACTIVATIONS[g] if isinstance(g, str) else g)(y)
            return out


@register
class Dropout(Module):
    """In training each element is 0 with probability p and the others are divided by 1 - p.

    Args:
        p: From 0 to 1.
        rng: A Generator, a seed, or None.

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
        rng: A Generator, a seed, or None.
        dtype: Of the parameters.

    Example:
        >>> import numpy as np
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


def make_cell(who: str, cell: Any, d_in: int, d_h: int, **options: Any) -> Cell:
    """A layer of a model's own: ``cell(d_in, d_h, rng=, dtype=)``, checked."""
    if not callable(cell) or isinstance(cell, Module):
        raise TypeError(
            f"{who}: cell must be a class or a function, got {describe_received(cell)}; write "
            "cell=LSTM, or functools.partial(Elman, activation='relu')"
        )
    made = cell(d_in, d_h, **options)
    if not isinstance(made, Cell):
        raise TypeError(
            f"{who}: cell(d_in, d_h, rng=, dtype=) must make a Cell, which reads from left to "
            f"right, got {describe_received(made)}"
        )
    return made


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
