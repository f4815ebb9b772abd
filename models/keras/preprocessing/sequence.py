"""Padding, and windows of a series, with Keras's names and defaults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....checks import check_int
from ... import text
from ..absent import absent

__all__ = ["TimeseriesGenerator", "pad_sequences"]


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0,
) -> NDArray[Any]:
    """``unspool.models.pad_sequences`` with Keras's defaults: padded and truncated in front.

    Args:
        sequences: Ids or numbers (time,) each, or features (time, width).
        maxlen: The common length; None for that of the longest.
        dtype: Of the result.
        padding: "pre" or "post".
        truncating: "pre" or "post".
        value: The padding.

    Returns:
        (batch, maxlen) or (batch, maxlen, width).
    """
    return text.pad_sequences(
        sequences, maxlen, padding=padding, truncating=truncating, value=value, dtype=dtype
    )


class TimeseriesGenerator:
    """Windows of a series as batches, for ``fit``.

    Args:
        data: (time, ...).
        targets: (time, ...): a window's target is the one after its end.
        length: The number of positions that a window spans.
        sampling_rate: The distance of a window's positions.
        stride: The distance of the windows.
        start_index, end_index: The positions between which windows lie, the end included.
        shuffle: Whether a batch holds windows at random places.
        reverse: Whether windows run backwards.
        batch_size: The number of windows in a batch.
        rng: For ``shuffle``: a Generator, a seed, or None.
    """

    def __init__(
        self,
        data: Any,
        targets: Any,
        length: int,
        sampling_rate: int = 1,
        stride: int = 1,
        start_index: int = 0,
        end_index: int | None = None,
        shuffle: bool = False,
        reverse: bool = False,
        batch_size: int = 128,
        rng: Any = None,
    ) -> None:
        who = "TimeseriesGenerator"
        self.data, self.targets = np.asarray(data), np.asarray(targets)
        if len(self.data) != len(self.targets):
            raise ValueError(
                f"{who}: expected as many targets as data, got {len(self.targets)} and "
                f"{len(self.data)}"
            )
        self.length = check_int(who, "length", length)
        self.sampling_rate = check_int(who, "sampling_rate", sampling_rate)
        self.batch_size = check_int(who, "batch_size", batch_size)
        last = len(self.data) - 1 if end_index is None else end_index
        self.ends = np.arange(start_index + length, last + 1, check_int(who, "stride", stride))
        if not len(self.ends):
            raise ValueError(f"{who}: a series of {len(self.data)} has no window of {length}")
        self.shuffle, self.reverse = shuffle, reverse
        self.rng = np.random.default_rng(rng)

    def __len__(self) -> int:
        return -(-len(self.ends) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.shuffle:
            ends = self.rng.choice(self.ends, min(self.batch_size, len(self.ends)))
        else:
            ends = self.ends[index * self.batch_size : (index + 1) * self.batch_size]
        windows = [self.data[end - self.length : end : self.sampling_rate] for end in ends]
        x = np.stack(windows)
        return (x[:, ::-1] if self.reverse else x), self.targets[ends]


__getattr__ = absent(__name__)
