"""Anomaly detection: raise at the first record that makes a NaN or an infinity."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from .context import ContextSetting, anomaly_check, open_checks
from .messages import describe, located
from .tensor import Tensor, operands_of, values

# Ops that only move elements: the next op may still leave out a NaN that they pass on.
MOVES = frozenset(
    {
        "getitem", "reshape", "ravel", "expand_dims", "squeeze", "transpose", "swapaxes",
        "moveaxis", "broadcast_to", "flip", "roll", "concatenate", "stack", "where", "take",
        "take_along_axis", "diagonal", "repeat", "tile", "pad", "copy", "astype", "positive",
        "identity", "cut",
    }
)  # fmt: skip


class detect_anomaly(ContextSetting):
    """Raise at the first record that makes a NaN or an infinity out of finite numbers.

    Inside the block the result of every op, and in a backward pass every gradient, is
    checked. The FloatingPointError names the op, its operands and the scope. An infinity among
    the operands (a mask of ``-inf``, say) is no anomaly of the op that reads it. A NaN is
    one as soon as an op computes a NaN from it, and the error names the leaf that holds it;
    ops that only move it may do so, as ``np.where`` may take it out again.

    Example:
        >>> from unspool import Tensor
        >>> from unspool.autograd import detect_anomaly
        >>> with detect_anomaly(), np.errstate(divide="ignore"):
        ...     np.log(Tensor([0.0], name="p"))
        Traceback (most recent call last):
        ...
        FloatingPointError: log of p (1,) float64: 1 of 1 results is not finite (-inf at [0])
    """

    __slots__ = ()
    variable = anomaly_check

    def __enter__(self) -> None:
        open_checks.append(None)
        super().__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        open_checks.pop()

    def value(self, previous: Any) -> Callable[..., None]:
        """The check that ``apply`` and the backward pass call."""
        return check_finite


def check_finite(
    op: str, inputs: tuple[Any, ...], result: Any, path: tuple[str, ...], what: str = "results"
) -> None:
    """Raise FloatingPointError if finite operands gave a result that is not finite.

    Or if a result is NaN because an operand was: then the error names the leaf that holds it.
    """
    array = np.asarray(result)
    if array.dtype.kind not in "f" or np.isfinite(array).all():
        return
    call = f"{op} of {' and '.join(map(describe, inputs))}{located(path)}"
    spoilt = [x for x in inputs if holds_nan(x)]
    if what == "results" and spoilt and op not in MOVES and np.isnan(array).any():
        x = nan_source(spoilt[0])
        place = np.argwhere(np.isnan(values(x)))[0].tolist()
        raise FloatingPointError(
            f"{call}: the NaN in the result comes from {describe(x)}, where one stands at {place}"
        )
    if not all(np.isfinite(x).all() for x in values(inputs) if np.asarray(x).dtype.kind in "fiu"):
        return
    bad = np.argwhere(~np.isfinite(array))
    place = [int(i) for i in bad[0]]
    raise FloatingPointError(
        f"{call}: {len(bad)} of {array.size} {what} {'is' if len(bad) == 1 else 'are'} not finite "
        f"({array[tuple(place)]} at {place})"
    )


def holds_nan(x: Any) -> bool:
    """Whether an operand has a NaN among its elements."""
    array = np.asarray(values(x))
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def nan_source(x: Any) -> Any:
    """The first Tensor or constant behind x that holds a NaN."""
    while isinstance(x, Tensor) and x._record is not None:
        spoilt = [operand for operand in operands_of(x) if holds_nan(operand)]
        if not spoilt:
            break
        x = spoilt[0]
    return x
