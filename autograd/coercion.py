"""Coercion: operands that are not Tensors become scalars or arrays, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SCALARS = frozenset({float, int, bool})
WORDS = "; turn words into ids first (unspool.models.Vocabulary)"
RAGGED = "lists that differ in length"  # in the message of plain_array


def as_constant(x: Any) -> Any:
    """An operand that is not a Tensor: Python scalars keep weak promotion, others are arrays."""
    if type(x) in SCALARS or x is None:
        return x
    if type(x) is np.ndarray:
        array = x
    elif isinstance(x, np.matrix):
        raise TypeError("an operand is an np.matrix, whose * is another; write np.asarray(m)")
    else:
        array = plain_array(x)
    if array.dtype.kind == "c":
        raise TypeError("complex numbers have no gradients; compute with their two real parts")
    if array.dtype.kind not in "fiub":
        kind = array.dtype if isinstance(x, (np.ndarray, list, tuple)) else type(x).__name__
        words = array.dtype.kind in "US"
        raise TypeError(f"an operand: expected real numbers, got {kind}{WORDS if words else ''}")
    return array


def plain_array(x: Any) -> NDArray[Any]:
    """``np.asarray``, which refuses lists of unequal length, and a masked array.

    The mask would be lost.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            "a masked array would lose its mask; write x.filled(0) and np.where(x.mask, 0, ...)"
        )
    try:
        return np.asarray(x)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(
            f"{RAGGED} are no array; fill the shorter ones up, ids by pad_sequences(ids)"
        ) from error
