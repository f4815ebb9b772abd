"""Sequences of ids as arrays (batch, time)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import one_array
from ...checks import check_choice, check_int, check_items

Ids = NDArray[np.int64]


def pad_sequences(
    sequences: Iterable[Any],
    length: int | None = None,
    *,
    padding: str = "post",
    truncating: str = "post",
    value: float = 0,
    dtype: Any = np.int64,
) -> NDArray[Any]:
    """Sequences of ids as one array; shorter ones are padded.

    Args:
        sequences: (time,) each; or (time, columns) with equal numbers of columns.
        length: The common length; None for that of the longest.
        padding: "post" pads at the end (as ``lengths`` expects), "pre" at the beginning.
        truncating: "post" cuts a longer sequence at the end, "pre" at the beginning.
        value: The padding.
        dtype: Of the array; sequences of other numbers than integers need one, as "float32".

    Returns:
        (batch, length), or (batch, length, columns).

    Example:
        >>> pad_sequences([[5, 6, 7], [8]])
        array([[5, 6, 7],
               [8, 0, 0]])
        >>> pad_sequences([[5, 6, 7], [8]], 2, padding="pre", truncating="pre")
        array([[6, 7],
               [0, 8]])
    """
    check_choice("pad_sequences", "padding", padding, ("pre", "post"))
    check_choice("pad_sequences", "truncating", truncating, ("pre", "post"))
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    if limits is not None:
        check_int("pad_sequences", "value", value, int(limits.min), int(limits.max))
    given = check_items("pad_sequences", "sequences", sequences, "a list of sequences of ids")
    rows = [one_array("pad_sequences", sequence) for sequence in given]
    for i, row in enumerate(rows):
        if row.ndim < 1 or row.shape[1:] != rows[0].shape[1:]:
            raise ValueError(
                "pad_sequences: expected sequences (time,), or (time, columns) with equal numbers "
                f"of columns; sequence {i} is {row.shape}, sequence 0 {rows[0].shape}"
            )
        if row.size and row.dtype.kind not in ("fiub" if limits is None else "iu"):
            cure = '; give dtype="float32" for numbers' if row.dtype.kind == "f" else ""
            raise TypeError(
                f"pad_sequences: sequence {i} holds {row.dtype}, expected integers{cure}"
            )
        if limits is not None and row.size and row.max() > limits.max:
            raise ValueError(
                f"pad_sequences: sequence {i} holds {row.max()}; ids are at most {limits.max}"
            )
    if length is None:
        length = max(map(len, rows), default=0)
    else:
        check_int("pad_sequences", "length", length, least=0)
    columns = rows[0].shape[1:] if rows else ()
    out = np.full((len(rows), length, *columns), value, dtype)
    for i, row in enumerate(rows):
        kept = row[:length] if truncating == "post" else row[max(len(row) - length, 0) :]
        if padding == "post":
            out[i, : len(kept)] = kept
        else:
            out[i, length - len(kept) :] = kept
    return out


def one_text(who: str, ids: Any) -> NDArray[Any]:
    """The ids of one text as an array; a list of sequences raises ValueError."""
    if isinstance(ids, (list, tuple)) and ids and np.ndim(ids[0]):
        raise ValueError(
            f"{who}: expected the ids of one text, (time,), got sequences; join them by "
            "np.concatenate(ids), or train on each with the task Sequences(ids)"
        )
    array = one_array(who, ids)
    if array.dtype.kind in "USO":
        raise TypeError(
            f"{who}: expected ids, integers (time,), got {array.dtype} {array.shape}; a Vocabulary "
            "makes them of text"
        )
    return array


def stream_batches(ids: Any, batch: int, steps: int) -> Iterator[tuple[Ids, Ids | None]]:
    """A long text as batches for truncated backpropagation through time.

    The text is cut into ``batch`` rows of equal length, and these into chunks of ``steps``
    predictions. A chunk begins with the last token of the one before, and so does a row: every
    token but the first is predicted once.

    Args:
        ids: (time,), at least 2.
        batch: The number of rows; fewer for a short text.
        steps: The number of predictions per chunk; the last one may have fewer.

    Yields:
        (ids, lengths): ids (batch, up to steps + 1), and lengths (batch,) where the last row
        is shorter than the others, else None.

    Example:
        >>> for chunk, lengths in stream_batches(range(8), batch=2, steps=3):
        ...     print(chunk.tolist(), lengths)
        [[0, 1, 2, 3], [4, 5, 6, 7]] None
        [[3, 4], [7, 0]] [2 1]
    """
    array = one_text("stream_batches", ids)
    check_int("stream_batches", "batch", batch)
    check_int("stream_batches", "steps", steps)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"stream_batches: expected ids (time,) of at least 2, got {array.shape}")
    predicted = len(array) - 1
    width = -(-predicted // batch)
    count = -(-predicted // width)
    ends = np.full(count, width + 1)
    ends[-1] = predicted - (count - 1) * width + 1
    for begin in range(0, width, steps):  # of a text in a file only this is read
        end = min(begin + steps, width) + 1
        rows = [array[r * width + begin : min(r * width + end, len(array))] for r in range(count)]
        chunk = pad_sequences(rows, end - begin)
        lengths = np.clip(ends - begin, 0, chunk.shape[1])
        yield chunk, (None if (lengths == chunk.shape[1]).all() else lengths)
