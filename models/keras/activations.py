"""Activations by Keras's names, with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import autograd
from ...autograd import (
    Tensor,
    elu,
    gelu,
    hard_sigmoid,
    log_softmax,
    mish,
    operand,
    relu,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
)
from ...checks import check_choice
from . import notes

__all__ = [
    "apply",
    "elu",
    "exponential",
    "gelu",
    "get",
    "hard_sigmoid",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]

tanh = np.tanh
exponential = np.exp


def linear(x: Any) -> Any:
    """X itself."""
    return x


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """Max(x, 0) + slope min(x, 0); Keras's slope is 0.2."""
    return autograd.leaky_relu(x, negative_slope)


def relu6(x: Any) -> Any:
    """Relu up to 6."""
    return np.clip(operand(x), 0, 6)


Function = Callable[[Any], Any]
NAMES: dict[str, Function] = {
    "elu": elu,
    "exponential": exponential,
    "gelu": gelu,
    "hard_sigmoid": hard_sigmoid,
    "identity": linear,
    "leaky_relu": leaky_relu,
    "linear": linear,
    "log_softmax": log_softmax,
    "mish": mish,
    "relu": relu,
    "relu6": relu6,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "swish": silu,
    "tanh": tanh,
}


def get(identifier: str | Function | None, who: str = "activations.get") -> Function:
    """The function of a name; a function itself; None is linear."""
    if identifier is None:
        return linear
    if callable(identifier):
        return identifier
    return NAMES[check_choice(who, "activation", identifier, NAMES, "a function or None")]


def apply(function: Function, z: Any) -> Any:
    """g(z); for sigmoid and softmax z is noted, so that losses are computed from logits."""
    y = function(z)
    if (function is sigmoid or function is softmax) and isinstance(y, Tensor):
        notes.logits.put(y, (function, z))
    return y


def logits_of(y: Any, function: Function) -> Any:
    """The logits of probabilities that this activation gave, or None."""
    found = notes.logits.get(y)
    return found[1] if found is not None and found[0] is function else None
