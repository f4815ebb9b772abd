"""Labelled sequences, in batches of similar length; label names to ids and back.

There is one label for each sequence (classification), or one for each token (tagging).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor, class_ids, one_array
from ...checks import (
    Checked,
    check_bool,
    check_int,
    check_items,
    check_rng,
    describe_received,
    wrong_type,
)
from .padding import pad_sequences

Ids = NDArray[np.int64]


class Labels:
    """Label names and their ids, from 0.

    Args:
        names: The names by id.

    Attributes:
        names: The same, as a tuple.

    Example:
        >>> labels = Labels.count(["neg", "pos", "neg"])
        >>> labels.names, labels.encode(["pos", "neg"]), labels.decode([1, 1])
        (('neg', 'pos'), array([1, 0]), ['pos', 'pos'])
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(check_items("Labels", "names", names, "a list of names"))
        for name in self.names:
            if not isinstance(name, str):
                raise TypeError(f"Labels: names must be strings, got {describe_received(name)}")
        self.ids = {name: i for i, name in enumerate(self.names)}
        if len(self.ids) < len(self.names):
            twice = next(name for name, n in Counter(self.names).items() if n > 1)
            raise ValueError(f"Labels: the label {describe_received(twice)} occurs twice")
        if len(self.names) < 2:
            found = f"only {self.names[0]!r}" if self.names else "none"
            raise ValueError(f"Labels: expected two labels or more, got {found}")

    @classmethod
    def count(cls, labels: Iterable[str | Iterable[str]]) -> Labels:
        """All labels of a corpus, in alphabetical order.

        Args:
            labels: A label for each sequence, or the labels of its tokens.
        """
        return cls(sorted(names_of(labels)))

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.ids

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:5]) + (", ..." if len(self) > 5 else "")
        return f"Labels({len(self)}: {shown})"

    def encode(self, labels: Iterable[str]) -> Ids:
        """The ids of labels: (n,)."""
        if isinstance(labels, str):
            raise TypeError(f"Labels.encode: labels must be a list of names, got {labels!r}")
        given = list(labels)
        for label in given:
            if label not in self.ids:
                names = ", ".join(self.names[:10]) + (", ..." if len(self) > 10 else "")
                raise ValueError(f"Labels.encode: label must be one of {names}; got {label!r}")
        return np.array([self.ids[label] for label in given], np.int64)

    def decode(self, ids: Any) -> list[str]:
        """The names of ids (n,)."""
        array = class_ids(ids, len(self), "Labels.decode", "labels")
        if array.ndim != 1:
            raise ValueError(f"Labels.decode: ids must be (n,), got {array.shape}")
        return [self.names[i] for i in array.tolist()]


def names_of(labels: Iterable[str | Iterable[str]]) -> set[str]:
    """The set of labels of sequences, or of their tokens."""
    return {name for label in labels for name in ([label] if isinstance(label, str) else label)}


class Labelled(Checked):
    """A Task of labelled sequences, in batches of similar length.

    For models with ``loss(x, labels, lengths, reduction=)`` and ``predict(x, lengths)``: an
    Acceptor, BagClassifier or TextCNN for a label per sequence, a Transducer for a label per
    token. The loss is a mean over labels, with a CRF too, so that models can be compared.

    Args:
        sequences: Ids (time,) each, or (time, columns) as a FeatureEmbedding reads them, at
            least 1 long.
        labels: Label ids: (n,), one per sequence, or (time,) for each; None for ``predictions``
            only.
        batch: The number of sequences in a batch.
        shuffle: Whether each epoch from 1 on has its own random order, both of batches and of
            sequences of equal length.
        bucket: True sorts all sequences by length; a number n sorts random pools of n batches
            each; False keeps the order.
        rng: For the order: a Generator, a seed, or None.

    Attributes:
        per_token: Whether there is a label per token.

    Example:
        >>> task = Labelled([[5, 6, 7], [8], [9, 4]], [0, 1, 1], batch=2)
        >>> for x, labels, lengths in task.batches(0):
        ...     print(x.tolist(), labels, lengths)
        [[8, 0], [9, 4]] [1 1] [1 2]
        [[5, 6, 7]] [0] [3]
    """

    def __init__(
        self,
        sequences: Iterable[Any],
        labels: Iterable[Any] | None = None,
        batch: int = 32,
        *,
        shuffle: bool = True,
        bucket: bool | int = True,
        rng: Any = None,
    ) -> None:
        self.sequences = checked_sequences(sequences)
        self.batch = check_int("Labelled", "batch", batch)
        self.bucket = (
            bucket if isinstance(bucket, bool) else check_int("Labelled", "bucket", bucket)
        )
        self.shuffle = check_bool("Labelled", "shuffle", shuffle)
        self.lengths = np.array([len(sequence) for sequence in self.sequences])
        self.labels = None if labels is None else checked_labels(labels, self.lengths)
        self.per_token = self.labels is not None and self.labels[0].ndim == 1
        self.seed = int(check_rng("Labelled", rng).integers(2**62))

    def __len__(self) -> int:
        return -(-len(self.sequences) // self.batch)

    @property
    def unit(self) -> str:
        """The unit of the loss's mean."""
        return "labels" if self.per_token else "sequences"

    def rows(self, epoch: int) -> list[NDArray[np.intp]]:
        """The indices of the sequences in each batch of an epoch; epoch 0 is not shuffled."""
        order = np.arange(len(self.sequences))
        shuffle = self.shuffle and epoch > 0
        rng = np.random.default_rng((self.seed, epoch))
        if shuffle:
            rng.shuffle(order)
        if self.bucket is not False:
            most = len(order) if self.bucket is True else self.bucket * self.batch
            pools = [order[begin : begin + most] for begin in range(0, len(order), most)]
            order = np.concatenate([p[np.argsort(self.lengths[p], kind="stable")] for p in pools])
        found = [order[begin : begin + self.batch] for begin in range(0, len(order), self.batch)]
        if shuffle:
            found = [found[i] for i in rng.permutation(len(found))]
        return found

    def batches(self, epoch: int) -> Iterator[tuple[Ids, Ids | None, Ids]]:
        """(x, labels, lengths): x padded with 0, per-token labels with -1."""
        for rows in self.rows(epoch):
            x = pad_sequences([self.sequences[i] for i in rows])
            labels: Ids | None = None
            if self.labels is not None:
                given = [self.labels[i] for i in rows]
                labels = pad_sequences(given, value=-1) if self.per_token else np.array(given)
            yield x, labels, self.lengths[rows]

    def loss(self, model: Any, batch: Any, carry: Any) -> tuple[Tensor, int, Any]:
        """The mean loss per label of a batch; the carry is None."""
        x, labels, lengths = batch
        if labels is None:
            raise ValueError("Labelled: there are no labels to learn from; give labels=")
        count = int(lengths.sum()) if self.per_token else len(lengths)
        return model.loss(x, labels, lengths, reduction="sum") / count, count, None


def checked_sequences(sequences: Iterable[Any]) -> list[Ids]:
    """The sequences as arrays of integers; an error names a bad one."""
    given = check_items("Labelled", "sequences", sequences, "a list of sequences of ids")
    arrays = [one_array("Labelled", sequence) for sequence in given]
    if not arrays:
        raise ValueError("Labelled: there is no sequence to learn from")
    for i, array in enumerate(arrays):
        if array.ndim not in (1, 2) or array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"Labelled: expected ids (time,), or (time, columns) with equal numbers of "
                f"columns; sequence {i} is {array.shape}, sequence 0 {arrays[0].shape}"
            )
        if not len(array):
            raise ValueError(f"Labelled: sequence {i} is empty; remove it")
        if array.dtype.kind not in "iu":
            raise TypeError(
                f"Labelled: sequence {i} holds {array.dtype}, expected ids; a Vocabulary or "
                "Features makes them of tokens"
            )
    return arrays


def checked_labels(labels: Iterable[Any], lengths: NDArray[Any]) -> list[Ids]:
    """The labels as arrays of integers, () or (time,); an error names a bad one."""
    given = check_items("Labelled", "labels", labels, "a list of label ids")
    arrays = [one_array("Labelled", label) for label in given]
    if len(arrays) != len(lengths):
        raise ValueError(
            f"Labelled: there are {len(lengths)} sequences, but labels for {len(arrays)}"
        )
    for i, (array, length) in enumerate(zip(arrays, lengths.tolist(), strict=True)):
        if array.dtype.kind not in "iu":
            raise TypeError(
                f"Labelled: the labels of sequence {i} are {array.dtype}, expected ids; "
                "Labels.encode makes them of names"
            )
        if array.shape not in ((), (length,)) or array.ndim != arrays[0].ndim:
            wanted = f"({length},), one a token" if arrays[0].ndim else "(), one a sequence"
            raise ValueError(
                f"Labelled: the labels of sequence {i} are {array.shape}, expected {wanted}"
            )
        if (array < 0).any():
            raise ValueError(f"Labelled: labels are 0 or more, sequence {i} has {int(array.min())}")
    return arrays


def predictions(model: Any, task: Labelled) -> list[Ids] | Ids:
    """A model's predictions for the sequences of a task, in their given order.

    Returns:
        Label ids: (time,) for each sequence from a model of tokens, else (n,).
    """
    if isinstance(task, type) or not hasattr(task, "rows"):
        raise wrong_type("predictions: task must be a Labelled(sequences)", task)
    found: list[Any] = [None] * len(task.sequences)
    for rows, (x, _, lengths) in zip(task.rows(0), task.batches(0), strict=True):
        for i, labels, length in zip(rows, model.predict(x, lengths), lengths, strict=True):
            found[i] = labels[:length] if np.ndim(labels) else labels
    return found if np.ndim(found[0]) else np.array(found)
