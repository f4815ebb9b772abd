"""Layers outside of time: embeddings, dense layers, dropout, and dense layers put in a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from ...autograd import (
    Parameter,
    Tensor,
    dropout,
    elu,
    embedding,
    gelu,
    leaky_relu,
    log_softmax,
    no_grad,
    relu,
    scope,
    sigmoid,
    silu,
    softmax,
    softplus,
)
from ...autograd.tensor import describe, operand
from ...cells import Module, glorot_uniform

__all__ = ["ACTIVATIONS", "Dense", "Dropout", "Embedding", "FeedForward", "evaluating"]

Activation = str | Callable[[Any], Any] | None

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "elu": elu,
    "gelu": gelu,
    "identity": lambda x: x,
    "leaky_relu": leaky_relu,
    "log_softmax": log_softmax,
    "relu": relu,
    "sigmoid": sigmoid,
    "silu": silu,
    "softmax": softmax,
    "softplus": softplus,
    "tanh": np.tanh,
}


def whole(who: str, name: str, value: Any, least: int = 1) -> int:
    """A width or a count as an int, or an error that names it."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{who}: {name} is a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{who}: {name} is {least} or more, got {value}")
    return int(value)


class Embedding(Module):
    """A vector for each id: row ``id`` of E, the lectures' e = E x with one-hot x.

    E begins normal with standard deviation 0.1, so that a softmax over E h begins nearly even.

    Args:
        n: How many ids there are.
        d: The width of a vector.
        rng: A Generator, a seed, or None.
        dtype: Of E.
    """

    def __init__(self, n: int, d: int, *, rng: Any = None, dtype: Any = np.float32) -> None:
        self.n, self.d = whole("Embedding", "n", n), whole("Embedding", "d", d)
        values = np.random.default_rng(rng).standard_normal((self.n, self.d)) * 0.1
        self.E = Parameter(values.astype(dtype))

    def __call__(self, ids: Any) -> Tensor:
        """The vectors of ids of any shape: (*ids.shape, d).

        Raises:
            ValueError: An id is outside of 0..n-1.
            TypeError: The ids are not integers.
        """
        with scope("embedding"):
            vectors: Tensor = embedding(self.E, ids)
        return vectors


class Dense(Module):
    """y = g(x W + b), for x of any number of axes.

    W is Glorot-uniform, b zero.

    Args:
        d_in: The width of x.
        d_out: The width of y.
        activation: g: a name in ``ACTIVATIONS``, a function, or None for the identity.
        bias: Whether there is a b.
        rng: A Generator, a seed, or None.
        dtype: Of W and b.

    Raises:
        ValueError: A width is below 1, or the activation's name is not known.
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
        self.d_in, self.d_out = whole("Dense", "d_in", d_in), whole("Dense", "d_out", d_out)
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise ValueError(
                f"Dense: activation is one of {', '.join(ACTIVATIONS)}, a function or None, got "
                f"{activation!r}"
            )
        self.activation = activation
        self.W = Parameter(glorot_uniform(np.random.default_rng(rng), d_in, d_out, dtype))
        if bias:
            self.b = Parameter(np.zeros(d_out, dtype))

    def __call__(self, x: Any) -> Tensor:
        """x (..., d_in) to y (..., d_out).

        Raises:
            ValueError: x has another width.
        """
        x = operand(x)
        if not np.shape(x) or np.shape(x)[-1] != self.d_in:
            raise ValueError(f"Dense: expected x of (..., {self.d_in}), got {describe(x)}")
        with scope("dense"):
            y = x @ self.W
            if hasattr(self, "b"):
                y = y + self.b
            if self.activation is None:
                return y
            g = (
                ACTIVATIONS[self.activation]
                if isinstance(self.activation, str)
                else self.activation
            )
            out: Tensor = g(y)
            return out


class Dropout(Module):
    """In training each element is 0 with probability p and the others are divided by 1 - p.

    Args:
        p: From 0 to 1.
        rng: A Generator, a seed, or None.

    Source: Srivastava et al. (2014).
    """

    def __init__(self, p: float = 0.5, *, rng: Any = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is a probability from 0 to 1, got {p}")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def __call__(self, x: Any) -> Any:
        """x of any shape; as it is after ``eval()``."""
        return dropout(x, self.p, training=self.training, rng=self.rng)


class FeedForward(Module):
    """Dense layers in a row: a multi-layer perceptron of any depth.

    Args:
        widths: The widths of the input, of each hidden layer, and of the output.
        activation: Of the hidden layers; as in Dense.
        final: The activation of the last layer; None leaves scores, as losses want them.
        dropout: The probability with which each hidden element is dropped in training.
        bias: Whether the layers have biases.
        rng: A Generator, a seed, or None.
        dtype: Of the parameters.

    Raises:
        ValueError: There are fewer than two widths, or one is below 1.

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
        if len(widths) < 2:
            raise ValueError(
                f"FeedForward: widths are those of the input, the hidden layers and the output, as "
                f"in [300, 100, 2]; got {list(widths)}"
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


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """Inside the block dropout is off and nothing is recorded; afterwards all is as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
