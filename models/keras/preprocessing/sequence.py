"""Padding, with Keras's names and defaults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import text

__all__ = ["pad_sequences"]


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    padding: str = "pre",
    truncating: str = "pre",
    value: int = 0,
) -> NDArray[np.int64]:
    """``unspool.models.pad_sequences`` with Keras's defaults: padded and truncated in front.

    Args:
        sequences: Ids (time,) each.
        maxlen: The common length; None for that of the longest.
        padding: "pre" or "post".
        truncating: "pre" or "post".
        value: The padding.

    Returns:
        (batch, maxlen).
    """
    return text.pad_sequences(
        sequences, maxlen, padding=padding, truncating=truncating, value=value
    )
