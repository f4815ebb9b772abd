"""What lectures import as ``K``: the session's settings, and functions of tensors by old names."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import ops
from .ops import FUNCTIONS, op, tensor
from .session import clear_session, epsilon, floatx, set_floatx
from .symbolic import KerasTensor

__all__ = ["clear_session", "epsilon", "floatx", "int_shape", "set_floatx"]


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape of a tensor."""
    return tuple(x.shape) if isinstance(x, KerasTensor) or hasattr(x, "shape") else np.shape(x)


# Names of Keras 1 and 2 that ``keras.ops`` writes otherwise.
OLD: dict[str, Any] = {
    "dot": op("dot", lambda a, b: np.matmul(tensor(a), tensor(b))),
    "pow": FUNCTIONS["power"],
    "permute_dimensions": FUNCTIONS["transpose"],
    "batch_dot": op("batch_dot", lambda a, b: np.matmul(tensor(a), tensor(b))),
    "switch": FUNCTIONS["where"],
    "constant": tensor,
    "variable": tensor,
    "eval": FUNCTIONS["convert_to_numpy"],
    "get_value": FUNCTIONS["convert_to_numpy"],
    "flatten": op("flatten", lambda x: np.reshape(tensor(x), (-1,))),
    "ndim": lambda x: len(int_shape(x)),
}


def __getattr__(name: str) -> Any:
    return OLD[name] if name in OLD else getattr(ops, name)
