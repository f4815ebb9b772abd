"""Checks of arguments that functions of ids, masks and scores share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from ..checks import check_choice
from .coercion import RAGGED, WORDS, plain_array
from .messages import describe, here, operands_text
from .tensor import Array, Tensor, values

# What a loss does with its terms: their mean, their sum, or each by itself.
Reduction = Literal["mean", "sum", "none"]


def floats(x: Any, who: str = "", what: str = "an operand") -> Any:
    """A Tensor or array of floats: numbers and lists become arrays, integers floats.

    Args:
        x: The argument.
        who: The function that takes it, in errors.
        what: What it is, in errors.
    """
    if not isinstance(x, Tensor):
        x = plain_array(x)
        if x.dtype.kind not in "fiub":
            words = WORDS if x.dtype.kind in "US" else ""
            start = f"{who}{here()}: " if who else ""
            kind = "None" if x.dtype.hasobject and x.ndim == 0 else x.dtype
            raise TypeError(f"{start}{what} must be real numbers, got {kind} {x.shape}{words}")
    return x if x.dtype.kind == "f" else x.astype(float)


def wide(x: Any) -> Any:
    """A Tensor or array in float32 where it is float16: sums, squares and ε need its range.

    As in the mixed precision of PyTorch: float16 ends at 65,504, and 1e-8 is 0 in it.
    """
    return x.astype(np.float32) if x.dtype == np.float16 else x


def without_gradient(who: str, what: str, x: Any) -> Array:
    """An argument without a gradient rule, as an array; a Tensor may not require a gradient."""
    if requires_gradient(x):
        cure = f"{what}.detach()" if isinstance(x, Tensor) else f"x.detach() for each in {what}"
        raise TypeError(
            f"{who} has no gradient for its {what}, {operands_text([x])}; write {cure}{here()}"
        )
    return plain_array(values(x))


def class_ids(ids: Any, count: int, who: str, what: str, table: Any = None) -> Array:
    """Integer ids from 0 to ``count - 1`` as an array; an error names the first bad one.

    Args:
        ids: The ids, of any shape.
        count: How many ids there are.
        who: The function that takes them, in errors.
        what: What they number: ``"rows"``, ``"classes"``.
        table: The array whose rows or columns they number, for errors.
    """
    array = one_array(who, ids)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{who}{here()}: ids are integers, got {array.dtype} {array.shape}")
    array = array.astype(np.intp, copy=False)
    bad = (array < 0) | (array >= count)
    if bad.any():
        place = np.argwhere(bad)[0].tolist()
        of = "there are" if table is None else f"of {describe(table)}"
        raise ValueError(
            f"{who}{here()}: id {array[tuple(place)]} at {place} is outside of 0..{count - 1}, the "
            f"{count} {what} {of}"
        )
    return array


def check_mask(who: str, mask: Any, shape: tuple[int, ...]) -> Array | None:
    """The mask as booleans of that shape, or None."""
    if mask is None:
        return None
    mask = np.asarray(values(mask))
    if mask.shape != shape or mask.dtype.kind != "b":
        raise ValueError(
            f"{who}{here()}: the mask is booleans of the targets' shape {shape}, got {mask.dtype} "
            f"{mask.shape}"
        )
    return mask


def check_reduction(who: str, reduction: str) -> None:
    """Raise unless it is one of the three reductions."""
    check_choice(f"{who}{here()}", "reduction", reduction, get_args(Reduction))


def one_array(who: str, x: Any, read: Callable[[Any], Any] = values) -> Array:
    """An argument as one array; the error for sequences of different lengths says how to pad."""
    try:
        return plain_array(read(x))
    except ValueError as error:
        if RAGGED not in str(error):
            raise
        raise ValueError(
            f"{who}: the sequences differ in length; fill them up behind, ids by "
            "pad_sequences(ids), vectors by rows of 0, and say where each ends by lengths="
        ) from error


def requires_gradient(x: Any) -> bool:
    """Whether an argument is a Tensor that requires a gradient, or holds one in its lists."""
    if isinstance(x, (tuple, list)):
        return any(map(requires_gradient, x))
    return isinstance(x, Tensor) and x.requires_grad
