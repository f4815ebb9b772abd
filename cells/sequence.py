"""Sequences of different length in one batch: ``lengths`` and ``mask``, and steps at padding.

Both become one array of booleans, True at real positions. At padding the input is set to 0 before
it is used, the state stays as it is, and the output is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import Tensor, describe, one_array, operand, values
from ..checks import describe_received

Bools = NDArray[np.bool_]


def real_positions(who: str, shape: tuple[int, ...], lengths: Any, mask: Any) -> Bools | None:
    """``lengths`` or ``mask`` as booleans of ``shape``, (batch, time) or (time,).

    ``lengths`` (batch,), from 0 to time, say where each sequence ends; a ``mask`` may have holes.
    None where neither is given.
    """
    if lengths is None and mask is None:
        return None
    if lengths is not None and mask is not None:
        raise ValueError(f"{who}: give lengths or mask, not both")
    if mask is not None:
        array = np.asarray(values(mask))
        if array.dtype != bool or array.shape != shape:
            raise ValueError(
                f"{who}: mask must be booleans {shape}, got {describe_received(array)}"
            )
        return array
    array = np.asarray(values(lengths))
    if len(shape) != 2:
        raise ValueError(f"{who}: lengths are for a batch; a single sequence is as long as it is")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{who}: lengths must be integers, got {array.dtype}")
    if array.shape != shape[:1]:
        raise ValueError(f"{who}: expected {shape[0]} lengths, one a sequence, got {array.shape}")
    outside = array[(array < 0) | (array > shape[1])]
    if outside.size:
        raise ValueError(
            f"{who}: lengths must be from 0 to {shape[1]}, the time axis, got {outside[0]}"
        )
    return np.arange(shape[1]) < array[:, None]


def prepare(name: str, xs: Any, d_in: int, lengths: Any, mask: Any) -> tuple[Tensor, Bools | None]:
    """The checked inputs of an unroll, 0 at padding, and their real positions (None: all)."""
    who = f"unroll({name})"
    if not isinstance(xs, Tensor):
        xs = Tensor(one_array(who, xs, operand), name="xs")
    if xs.ndim not in (2, 3) or xs.shape[-1] != d_in:
        raise ValueError(
            f"{who}: expected xs of (batch, time, {d_in}) or (time, {d_in}), got {describe(xs)}"
        )
    real = real_positions(who, xs.shape[:-1], lengths, mask)
    if real is not None and not real.all():
        xs = np.where(real[..., None], xs, 0)
    return xs, real


def expand_mask(here: Bools, a: Any) -> Bools:
    """The mask of a step, (batch, 1), with as many axes as what it masks."""
    return here.reshape(here.shape + (1,) * (a.ndim - here.ndim))


def masked_step(
    here: Bools | None, new: Sequence[Any], y: Any, old: Sequence[Any]
) -> tuple[tuple[Any, ...], Any]:
    """``(state, y)`` after a step: at padding the old state and 0.

    ``here`` (batch, 1) says which sequences are real at this step; None for all.
    """
    if here is None:
        return tuple(new), y
    kept = tuple(np.where(expand_mask(here, s), s, o) for s, o in zip(new, old, strict=True))
    y = next((k for s, k in zip(new, kept, strict=True) if s is y), y)
    return kept, np.where(expand_mask(here, y), y, 0)
