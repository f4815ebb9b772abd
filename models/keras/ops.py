"""Functions of tensors by the names of ``keras.ops``: NumPy's and those of ``unspool.autograd``.

On numbers they are these functions themselves, with gradients; on symbolic tensors they are layers
of the network. ``keras.backend`` has them too, as old lectures write ``K.mean``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import autograd
from ...autograd import Tensor, operand, values
from . import activations
from .base import OPERATIONS, Operation
from .session import plain
from .symbolic import KerasTensor, leaves

__all__ = ["FUNCTIONS"]

Function = Callable[..., Any]


def op(name: str, function: Function) -> Function:
    """A function that is a layer of the network where it is called with symbolic tensors."""
    place = f"ops.{name}"
    OPERATIONS[place] = function

    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(leaf, KerasTensor) for leaf in leaves((args, kwargs))):
            return Operation(place)(*args, **kwargs)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}`` of tensors: see ``keras.ops``."
    return call


def tensor(x: Any) -> Any:
    """A Tensor, or an array of what is not one."""
    return x if isinstance(x, Tensor) else np.asarray(values(x))


def cast(x: Any, dtype: Any) -> Any:
    """In another dtype; a Tensor keeps its gradient."""
    return x.astype(dtype) if isinstance(x, Tensor) else np.asarray(values(x)).astype(dtype)


def one_hot(x: Any, num_classes: int, axis: int = -1) -> Any:
    """Ids as vectors of 0 and a 1."""
    ids = plain(x).astype(int)
    return np.moveaxis(np.eye(num_classes, dtype=np.float32)[ids], -1, axis)


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """np.take_along_axis, with indices from anywhere."""
    return np.take_along_axis(x, plain(indices).astype(int), axis)


def reduced(function: Function) -> Function:
    """A sum or mean or maximum that takes lists too."""
    return lambda x, axis=None, keepdims=False: function(tensor(x), axis=axis, keepdims=keepdims)


def of_one(function: Function) -> Function:
    """A function of one tensor that takes lists too."""
    return lambda x, *args, **kwargs: function(tensor(x), *args, **kwargs)


def of_two(function: Function) -> Function:
    """A function of two tensors that takes lists too."""
    return lambda a, b: function(tensor(a), tensor(b))


# Name -> function on Tensors: what keras.ops offers here.
FUNCTIONS: dict[str, Function] = {
    **{
        name: op(name, reduced(getattr(np, name))) for name in ("sum", "mean", "max", "min", "prod")
    },
    **{name: op(name, reduced(getattr(np, name))) for name in ("var", "std")},
    **{
        name: op(name, of_one(getattr(np, name)))
        for name in ("abs", "exp", "log", "sqrt", "square", "sign", "tanh", "sin", "cos", "round")
    },
    **{
        name: op(name, of_two(getattr(np, name)))
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "dot")
    },
    **{
        name: op(name, of_two(getattr(np, name)))
        for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
    },
    "matmul": op("matmul", of_two(np.matmul)),
    "clip": op("clip", lambda x, x_min, x_max: np.clip(tensor(x), x_min, x_max)),
    "reshape": op("reshape", lambda x, shape: np.reshape(tensor(x), shape)),
    "transpose": op("transpose", lambda x, axes=None: np.transpose(tensor(x), axes)),
    "expand_dims": op("expand_dims", lambda x, axis: np.expand_dims(tensor(x), axis)),
    "squeeze": op("squeeze", lambda x, axis=None: np.squeeze(tensor(x), axis)),
    "concatenate": op("concatenate", lambda xs, axis=0: np.concatenate(list(xs), axis)),
    "stack": op("stack", lambda xs, axis=0: np.stack(list(xs), axis)),
    "repeat": op("repeat", lambda x, repeats, axis=None: np.repeat(tensor(x), repeats, axis)),
    "flip": op("flip", lambda x, axis=None: np.flip(tensor(x), axis)),
    "einsum": op("einsum", lambda equation, *xs: np.einsum(equation, *map(operand, xs))),
    "where": op("where", lambda condition, a, b: np.where(plain(condition), a, b)),
    "argmax": op("argmax", lambda x, axis=None: np.argmax(plain(x), axis)),
    "argmin": op("argmin", lambda x, axis=None: np.argmin(plain(x), axis)),
    "cast": op("cast", cast),
    "one_hot": op("one_hot", one_hot),
    "take_along_axis": op("take_along_axis", take_along_axis),
    "shape": lambda x: tuple(x.shape),
    "zeros": lambda shape, dtype="float32": np.zeros(shape, dtype),
    "ones": lambda shape, dtype="float32": np.ones(shape, dtype),
    "zeros_like": op("zeros_like", lambda x: np.zeros_like(plain(x))),
    "ones_like": op("ones_like", lambda x: np.ones_like(plain(x))),
    "arange": np.arange,
    "convert_to_tensor": tensor,
    "convert_to_numpy": plain,
    "stop_gradient": op("stop_gradient", lambda x: values(x)),
    "logsumexp": op("logsumexp", lambda x, axis=-1: autograd.logsumexp(operand(x), axis)),
    "softmax": op("softmax", lambda x, axis=-1: autograd.softmax(operand(x), axis)),
    "log_softmax": op("log_softmax", lambda x, axis=-1: autograd.log_softmax(operand(x), axis)),
    **{
        name: op(name, of_one(activations.NAMES[name]))
        for name in ("relu", "sigmoid", "softplus", "elu", "selu", "gelu", "silu", "leaky_relu")
    },
}


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(
        f"unspool.models.keras.ops has no {name}; NumPy's function of this name works on tensors "
        f"with numbers, also inside of a Lambda layer. There are {', '.join(FUNCTIONS)}"
    )


def __dir__() -> list[str]:
    return sorted([*FUNCTIONS, *__all__])
