"""Data of the trainings: labelled examples from files and folders."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..models import (
    Features,
    Labelled,
    Labels,
    Vocabulary,
    hold_out,
    load_folder,
    load_labelled,
    load_tagged,
)
from .data import check_regular
from .options import LabelledData, Sentences, Texts
from .terminal import note

Ids = NDArray[np.int32]

# Labelled examples ------------------------------------------------------------------------------


class Examples(NamedTuple):
    """Texts, or the columns of tagged sentences, and their labels, or tags."""

    inputs: Sequence[Any]
    labels: Sequence[Any]

    def at(self, places: Iterable[int]) -> Examples:
        """Those at these places."""
        chosen = list(places)
        return Examples([self.inputs[i] for i in chosen], [self.labels[i] for i in chosen])

    def split(self, fraction: float, seed: int) -> tuple[Examples, Examples]:
        """Two parts, drawn at random, each in its old order."""
        order = np.random.default_rng(seed).permutation(len(self.inputs))
        if not 0 < round(fraction * len(order)) < len(order):
            raise ValueError(
                f"{len(order)} examples are too few to hold {fraction:g} of them out; give more, "
                "or others in a file for --dev"
            )
        train, development = hold_out(order, fraction)
        return self.at(sorted(train)), self.at(sorted(development))

    def each_label(self) -> list[str]:
        """The labels one by one, of sentences that of each token."""
        return [
            name for given in self.labels for name in ([given] if isinstance(given, str) else given)
        ]


class LabelledParts(NamedTuple):
    """The examples that are trained on, those that choose the best epoch, and those of a test."""

    train: Examples
    development: Examples
    test: Examples | None
    labels: Labels


def read_parts(
    read: Callable[[Iterable[Path]], Examples], files: Iterable[Path], data: LabelledData, seed: int
) -> LabelledParts:
    """Read labelled examples; the development part is held out where no file is given for it.

    It warns where hardly a label occurs twice: it may be the texts that were read as labels.
    """
    check_regular([*files, *(data.dev or ()), *(data.test or ())])
    train = read(files)
    if data.dev:
        development = read(data.dev)
    else:
        train, development = train.split(data.held_out, seed)
    labels = Labels.count([*train.labels, *development.labels])
    count = len(train.each_label())
    if len(labels) > max(10, count / 2):
        note(
            f"{len(labels):,} different labels among {count:,}: are they in another column? "
            "(--label-column)"
        )
    return LabelledParts(train, development, read(data.test) if data.test else None, labels)


def with_unknown(labels: Labels, examples: Examples) -> Labels:
    """Labels that were learnt, and behind them those that were not, which are named in a warning.

    CoNLL-2000's test part has two I-LST, of which the other part has none. ValueError if none of
    those found was learnt.
    """
    names = {*examples.each_label()}
    others = sorted(names - {*labels.names})
    if not others:
        return labels
    if len(others) == len(names):
        labels.encode(others)  # raises
    warnings.warn(
        f"{', '.join(map(repr, others[:5]))}{', ...' * (len(others) > 5)}: not in the training "
        "data, and counted as errors",
        RuntimeWarning,
        stacklevel=2,
    )
    return Labels([*labels.names, *others])


# Texts with a label -----------------------------------------------------------------------------


def read_texts(paths: Iterable[Path], columns: Texts) -> Examples:
    """Labelled texts from files and folders.

    A file has ``label<TAB>text`` on each line (a ``.csv`` commas and quotes), or the columns that
    are given, perhaps below a line of their names; a folder is that of ``load_folder``.
    """
    texts: list[str] = []
    labels: list[str] = []
    for path in paths:
        if path.is_dir():
            new, names = load_folder(path, columns.encoding)
        else:
            new, names = load_labelled(
                path,
                columns.label_column,
                columns.text_column,
                header=columns.header,
                encoding=columns.encoding,
            )
        texts += new
        labels += names
    return Examples(texts, labels)


def lines_of(text: str) -> list[str]:
    """The lines of a text that are not blank."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def text_ids(texts: Iterable[str], vocabulary: Vocabulary) -> Iterable[Ids]:
    """The ids of each text, or an error that shows the one that has no token."""
    for text in texts:
        ids = vocabulary.encode(text)
        if not len(ids):
            raise ValueError(
                f"there is no token (--level {vocabulary.level}) in the text {text[:60]!r}; leave "
                "it out"
            )
        yield ids.astype(np.int32)  # half the memory


def text_task(
    texts: Examples, vocabulary: Vocabulary, labels: Labels, batch: int = 64, rng: Any = 0
) -> Labelled:
    """The examples as a task of ids."""
    ids = text_ids(texts.inputs, vocabulary)
    return Labelled(ids, labels.encode(texts.labels), batch, rng=rng)


# Sentences with tags ----------------------------------------------------------------------------


def read_sentences(paths: Iterable[Path], how: Sentences) -> Examples:
    """Tagged sentences from files, their columns (words, extra ones) and their tags."""
    inputs: list[tuple[list[str], ...]] = []
    tags: list[list[str]] = []
    for path in paths:
        *found, new = read_columns(path, how.columns(path), how)
        inputs += zip(*found, strict=True)
        tags += new
    return Examples(inputs, tags)


def read_columns(
    path: Path, columns: Sequence[int | str], how: Sentences
) -> tuple[list[list[str]], ...]:
    """``load_tagged`` of some of a file's columns."""
    return load_tagged(path, columns, separator=how.separator, encoding=how.encoding)


def sentence_task(
    sentences: Examples, features: Features, labels: Labels, batch: int = 64, rng: Any = 0
) -> Labelled:
    """The examples as a task of ids."""
    ids = (features.encode(*columns).astype(np.int32) for columns in sentences.inputs)
    tags = (labels.encode(tags).astype(np.int32) for tags in sentences.labels)
    return Labelled(ids, tags, batch, rng=rng)
