"""A corpus ready to train on: from texts and labels in lists to tasks of three parts.

It does what each small project begins with: hold examples out, count a vocabulary on the rest, and
turn both into ids. What it holds is what ``save_model`` keeps beside the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..checks import check_float, check_items, check_rng, describe_received
from .text import (
    Features,
    Labelled,
    Labels,
    Vocabulary,
    hold_out,
    list_of_texts,
    tokenize,
)
from .training import Stream, Task


class Parts(NamedTuple):
    """The places of the examples to train on, to choose the best epoch by, and to test with."""

    train: list[int]
    development: list[int]
    test: list[int]


@dataclass(frozen=True)
class Corpus:
    """Texts as tasks for ``fit``, and what their ids mean.

    Attributes:
        train: The task to train on.
        development: A task for ``validation=``.
        test: A task to evaluate the trained model on, once.
        vocabulary: Of the tokens, counted on ``train``; of a tagged corpus None.
        features: Of the words of a tagged corpus, counted on ``train``.
        labels: The names of classes or tags.

    Example:
        >>> from unspool.cells import LSTM
        >>> from unspool.models import Acceptor, Corpus, Embedding, fit
        >>> texts, labels = ["a good film", "what a bore"] * 10, ["pos", "neg"] * 10
        >>> corpus = Corpus.labelled(texts, labels, rng=0)
        >>> E = Embedding(len(corpus.vocabulary), 8, rng=0)
        >>> model = Acceptor(LSTM(8, 8, rng=0), len(corpus.labels), embedding=E, rng=0)
        >>> history = fit(model, corpus.train, validation=corpus.development, progress=False)
        >>> corpus
        Corpus(16 to train on, 2 to develop on, 2 to test; 8 tokens, 2 labels)
    """

    train: Any
    development: Any
    test: Any
    vocabulary: Vocabulary | None = None
    features: Features | None = None
    labels: Labels | None = None

    @classmethod
    def labelled(
        cls,
        texts: Iterable[str | Sequence[str]],
        labels: Iterable[str],
        *,
        held_out: float = 0.2,
        level: str = "word",
        lower: bool = True,
        minimum_count: int = 1,
        batch: int = 32,
        rng: Any = None,
    ) -> Corpus:
        """Texts with a label each, for an Acceptor, BagClassifier or TextCNN.

        Args:
            texts: A list of texts, or of lists of tokens; or a column of a pandas frame or a
                Hugging Face dataset.
            labels: Their labels, names.
            held_out: The fraction drawn at random for development and test, half each.
            level, lower: As in ``tokenize``.
            minimum_count: The least frequency of a token; rarer ones are ``<unk>``.
            batch: The number of texts in a batch.
            rng: For the split and the order: a Generator, a seed, or None.
        """
        texts = texts_or_tokens("Corpus.labelled", texts)
        names = list_of_texts("Corpus.labelled", "labels", labels)
        parts = split("Corpus.labelled", texts, names, held_out, rng)
        tokens = [tokens_of("Corpus.labelled", i, t, level, lower) for i, t in enumerate(texts)]
        counted = (token for i in parts.train for token in tokens[i])
        vocabulary = Vocabulary.count(counted, minimum_count, level=level, lower=lower)
        known = Labels.count(names)
        ids = [vocabulary.encode(text) for text in tokens]
        train, development, test = tasks_of(parts, ids, known.encode(names), batch, rng)
        return cls(train, development, test, vocabulary=vocabulary, labels=known)

    @classmethod
    def tagged(
        cls,
        sentences: Iterable[Sequence[str]],
        tags: Iterable[Sequence[str]],
        *,
        held_out: float = 0.2,
        batch: int = 32,
        rng: Any = None,
        **features: Any,
    ) -> Corpus:
        """Sentences with a tag for each word, for a Transducer over a FeatureEmbedding.

        Args:
            sentences: A list of words for each sentence.
            tags: A list of tags for each sentence.
            held_out, batch, rng: As in ``labelled``.
            **features: Those of ``Features.count``, as ``suffixes=(2, 3)`` and ``lower=True``.
        """
        words, names = (
            lists_of_words("Corpus.tagged", name, given)
            for name, given in (("sentences", sentences), ("tags", tags))
        )
        parts = split("Corpus.tagged", words, names, held_out, rng)
        for i, (sentence, given) in enumerate(zip(words, names, strict=True)):
            if len(sentence) != len(given) or not sentence:
                raise ValueError(
                    f"Corpus.tagged: expected a tag for each word, got {len(sentence)} words and "
                    f"{len(given)} tags in sentence {i}"
                )
        known = Features.count([words[i] for i in parts.train], **features)
        labels = Labels.count(names)
        ids = [known.encode(sentence) for sentence in words]
        encoded = [labels.encode(given) for given in names]
        train, development, test = tasks_of(parts, ids, encoded, batch, rng)
        return cls(train, development, test, features=known, labels=labels)

    @classmethod
    def text(
        cls,
        text: str | Iterable[str],
        *,
        held_out: float = 0.2,
        level: str = "word",
        lower: bool = False,
        minimum_count: int = 1,
        batch: int = 20,
        steps: int = 35,
        rng: Any = None,
    ) -> Corpus:
        """A running text, or several as one, for a LanguageModel.

        Args:
            text: A text, in which a blank line ends a paragraph; or a list of texts.
            held_out: The fraction at the end for development and test, half each.
            level, lower: As in ``tokenize``.
            minimum_count: The least frequency of a token; rarer ones are ``<unk>``.
            batch: The number of parts of the text that are read side by side.
            steps: The number of time steps that a gradient flows back.
            rng: A Generator, a seed, or None.
        """
        check_float("Corpus.text", "held_out", held_out, above=0, below=1)
        if not isinstance(text, str):
            text = "\n\n".join(list_of_texts("Corpus.text", "text", text))
        stream = tokenize(text, level, lower)
        try:
            train, rest = hold_out(stream, held_out)
            development, test = hold_out(rest, 0.5)
            vocabulary = Vocabulary.count(train, minimum_count, level=level, lower=lower)
            start, ids = vocabulary.start, map(vocabulary.encode, (train, development, test))
            seed = check_rng("Corpus.text", rng)
            return cls(
                Stream(next(ids), batch, steps, reset=0.05, rng=seed),
                Stream(next(ids), 1, 100, ignore=start),
                Stream(next(ids), 1, 100, ignore=start),
                vocabulary=vocabulary,
            )
        except ValueError as error:
            raise ValueError(
                f"Corpus.text: a text of {len(stream)} tokens is too short to hold {held_out:g} "
                f"of it out for development and test; give a longer one ({error})"
            ) from error

    def __repr__(self) -> str:
        sizes = [size_of(task) for task in (self.train, self.development, self.test)]
        about = [f"{len(self.vocabulary):,} tokens"] if self.vocabulary is not None else []
        about += [f"{self.features.sizes[0]:,} words"] if self.features is not None else []
        about += [f"{len(self.labels)} labels"] if self.labels is not None else []
        return (
            f"Corpus({sizes[0]:,} to train on, {sizes[1]:,} to develop on, {sizes[2]:,} to test; "
            f"{', '.join(about)})"
        )


def size_of(task: Any) -> int:
    """The number of sequences of a task, of a running text of tokens."""
    return len(task.ids if isinstance(task, Stream) else task.sequences)


def split(
    who: str, items: Sequence[Any], labels: Sequence[Any], held_out: float, rng: Any
) -> Parts:
    """Places drawn at random for the three parts, in order; a ValueError if there are too few."""
    check_float(who, "held_out", held_out, above=0, below=1)
    if len(items) != len(labels):
        raise ValueError(f"{who}: expected a label for each, got {len(items)} and {len(labels)}")
    order = check_rng(who, rng).permutation(len(items)).tolist()
    count = max(round(len(items) * held_out / 2), 1)
    if len(items) - 2 * count < 1:
        raise ValueError(
            f"{who}: {len(items)} examples are too few to hold {held_out:g} of them out for "
            "development and test; give more"
        )
    test, development, train = order[:count], order[count : 2 * count], order[2 * count :]
    return Parts(sorted(train), sorted(development), sorted(test))


def tasks_of(parts: Parts, ids: Sequence[Any], labels: Any, batch: int, rng: Any) -> list[Task]:
    """A task for each part; those that are evaluated are not shuffled."""
    seed = np.random.default_rng(rng)
    return [
        Labelled(
            [ids[i] for i in places],
            [labels[i] for i in places],
            batch,
            shuffle=places is parts.train,
            rng=seed,
        )
        for places in parts
    ]


def texts_or_tokens(who: str, texts: Any) -> list[Any]:
    """Texts, or lists of tokens, as a list."""
    given = texts if isinstance(texts, (str, dict)) or hasattr(texts, "columns") else [*texts]
    if isinstance(given, list) and given and isinstance(given[0], (list, tuple)):
        return lists_of_words(who, "texts", given)
    return list_of_texts(who, "texts", given)


def tokens_of(
    who: str, i: int, text: str | Sequence[str], level: str, lower: bool
) -> Sequence[str]:
    """The tokens of one text, or an error that names it."""
    if not isinstance(text, str):
        if not text:
            raise ValueError(f"{who}: there is no token in text {i}")
        return [token.lower() for token in text] if lower else text
    try:
        return tokenize(text, level, lower)[1:-1]
    except ValueError as error:
        raise ValueError(f"{who}: there is no token in text {i}, {text[:60]!r}") from error


def lists_of_words(who: str, name: str, given: Any) -> list[list[str]]:
    """Sentences as lists of strings."""
    found = []
    for i, sentence in enumerate(check_items(who, name, given, "a list of lists of words")):
        words = sentence if isinstance(sentence, str) else [*sentence]
        if isinstance(words, str) or not all(isinstance(word, str) for word in words):
            raise TypeError(
                f"{who}: {name} must be a list of lists of strings, got "
                f"{describe_received(sentence)} at {i}; write sentence.split()"
            )
        found.append(words)
    return found
