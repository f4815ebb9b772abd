"""Tasks: the batches of a data set, and the loss of a model on a batch.

The carry is passed from one batch to the next, such as the state within a long text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor, one_array
from ...cells import detached
from ...checks import (
    Checked,
    check_bool,
    check_fraction,
    check_int,
    check_items,
    check_rng,
    wrong_type,
)
from ..text import one_text, pad_sequences, stream_batches


class Task(Protocol):
    """Data and a loss, as ``fit`` and ``evaluate`` use them.

    Random numbers come from an int attribute ``seed``, or from Generators in attributes or
    batches: checkpoints hold both. An attribute ``unit`` names what the loss is a mean over
    ("tokens" without one); reports show a perplexity for tokens only.
    """

    def __len__(self) -> int:
        """The number of batches in an epoch."""

    def batches(self, epoch: int) -> Iterable[Any]:
        """The batches of an epoch, counted from 1; the same epoch gives the same batches."""

    def loss(self, model: Any, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """``(loss, count, carry)``: the mean loss of a batch, the number of tokens that it is a
        mean over (0 for none), and the carry for the next batch; an epoch begins with None.
        """


class Stream(Checked):
    """A long text for truncated backpropagation through time; the state is the carry.

    For models with ``stream_loss(ids, state, lengths, ignore)``, such as LanguageModel.

    Args:
        ids: (time,), at least 2.
        batch: The number of parts of the text that are read side by side.
        steps: The number of time steps that a gradient flows back.
        ignore: An id that is an input but never a target, such as that of ``<s>``.
        reset: The probability with which a part's state is set to the initial one before a
            batch. Without resets in training, a model predicts badly from an initial state.
        rng: For ``reset``: a Generator, a seed, or None.
    """

    def __init__(
        self,
        ids: Any,
        batch: int = 20,
        steps: int = 35,
        *,
        ignore: int | None = None,
        reset: float = 0.0,
        rng: Any = None,
    ) -> None:
        self.ids = one_text("Stream", ids)
        self.batch = check_int("Stream", "batch", batch)
        self.steps = check_int("Stream", "steps", steps)
        self.ignore = None if ignore is None else check_int("Stream", "ignore", ignore, None)
        self.reset = check_fraction("Stream", "reset", reset)
        self.seed = int(check_rng("Stream", rng).integers(2**62))
        next(stream_batches(self.ids, batch, steps))  # checks the ids now

    def __len__(self) -> int:
        width = -(-(len(self.ids) - 1) // self.batch)
        return -(-width // self.steps)

    def batches(self, epoch: int) -> Iterator[Any]:
        """(ids, lengths, where the state is reset)."""
        rng = np.random.default_rng((self.seed, epoch))
        for ids, lengths in stream_batches(self.ids, self.batch, self.steps):
            yield ids, lengths, rng.random(len(ids)) < self.reset

    def loss(self, model: Any, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """The mean loss of a chunk of the text, and the state after it."""
        ids, lengths, resets = batch
        if carry is not None and resets.any():
            carry = reset_rows(carry, model.initial_state(len(ids)), resets)
        loss, state = model.stream_loss(ids, carry, lengths, self.ignore)
        return loss, count_targets(ids, lengths, self.ignore), detached(state)


class Sequences(Checked):
    """Separate sequences, padded to batches; for models with ``loss(ids, lengths)``.

    Args:
        sequences: Ids (time,) each, at least 2, beginning with ``<s>``.
        batch: The number of sequences in a batch.
        shuffle: Whether each epoch has its own random order.
        rng: For the order: a Generator, a seed, or None.
    """

    def __init__(
        self, sequences: Iterable[Any], batch: int = 32, *, shuffle: bool = True, rng: Any = None
    ) -> None:
        given = check_items("Sequences", "sequences", sequences, "a list of sequences of ids")
        self.sequences = [one_array("Sequences", sequence) for sequence in given]
        self.batch = check_int("Sequences", "batch", batch)
        if not self.sequences:
            raise ValueError("Sequences: there is no sequence to learn from")
        for i, sequence in enumerate(self.sequences):
            if sequence.ndim != 1 or len(sequence) < 2:
                raise ValueError(
                    f"Sequences: expected ids (time,) of at least 2, <s> and one more; sequence "
                    f"{i} is {sequence.shape}"
                )
            if sequence.dtype.kind not in "iu":
                raise TypeError(
                    f"Sequences: sequence {i} holds {sequence.dtype}, expected ids; a Vocabulary "
                    "makes them of tokens"
                )
        self.shuffle = check_bool("Sequences", "shuffle", shuffle)
        self.seed = int(check_rng("Sequences", rng).integers(2**62))

    def __len__(self) -> int:
        return -(-len(self.sequences) // self.batch)

    def batches(self, epoch: int) -> Iterator[Any]:
        """(ids, lengths)."""
        order = np.arange(len(self.sequences))
        if self.shuffle:
            np.random.default_rng((self.seed, epoch)).shuffle(order)
        for begin in range(0, len(order), self.batch):
            rows = [self.sequences[i] for i in order[begin : begin + self.batch]]
            yield pad_sequences(rows), np.array([len(row) for row in rows])

    def loss(self, model: Any, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """The mean loss of a batch; the carry is None."""
        ids, lengths = batch
        return model.loss(ids, lengths), count_targets(ids, lengths), None


def reset_rows(state: Any, initial: Any, rows: NDArray[np.bool_]) -> Any:
    """A state whose marked rows are those of ``initial``, detached."""
    if isinstance(state, (tuple, list)):
        return tuple(reset_rows(s, i, rows) for s, i in zip(state, initial, strict=True))
    marked = rows.reshape(-1, *[1] * (state.ndim - 1))
    return Tensor(np.where(marked, initial.data, state.data), name=state.name)


def count_targets(ids: NDArray[Any], lengths: Any, ignore: int | None = None) -> int:
    """The number of predicted tokens in (batch, time): all but the first of each row."""
    targets = ids[:, 1:]
    counted = np.ones(targets.shape, bool) if ignore is None else targets != ignore
    if lengths is not None:
        counted &= np.arange(1, ids.shape[1]) < np.asarray(lengths)[:, None]
    return int(counted.sum())


def check_task(who: str, task: Any) -> None:
    """Raise TypeError unless an object has the methods of a Task."""
    complete = all(hasattr(task, name) for name in ("__len__", "batches", "loss"))
    if isinstance(task, type) or not complete:
        expected = "a Task, as Labelled(x, y, batch=32), Sequences(ids) or Stream(ids)"
        raise wrong_type(f"{who}: expected {expected}", task)
