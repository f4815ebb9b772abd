"""Texts as ids within a network."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....checks import check_choice, check_int
from ... import text
from ..base import Layer, layer


@layer
class TextVectorization(Layer):
    """Texts as ids: 0 is padding, 1 an unknown word, 2 the most frequent one.

    Args:
        max_tokens: The number of ids, padding and the unknown word included; None for all.
        standardize: "lower_and_strip_punctuation", "lower", "strip_punctuation", a function of a
            text, or None.
        split: "whitespace", "character", or a function of a text.
        ngrams: None.
        output_mode: "int" for ids (texts, time), "multi_hot" or "count" for (texts, max_tokens).
        output_sequence_length: The number of ids to which a text is padded or cut; None for the
            longest text's.
        vocabulary: The words from id 2 on, instead of ``adapt``.
        **options: Those of ``Layer``.
    """

    converts = False
    reads_texts = True

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        vocabulary: Iterable[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        who = "TextVectorization"
        self.max_tokens = (
            None if max_tokens is None else check_int(who, "max_tokens", max_tokens, 2)
        )
        if ngrams is not None:
            raise TypeError(f"{who}: ngrams is not supported; join the words in standardize=")
        modes = ("int", "multi_hot", "count")
        self.output_mode = check_choice(who, "output_mode", output_mode, modes)
        self.output_sequence_length = output_sequence_length
        kinds = ("lower_and_strip_punctuation", "lower", "strip_punctuation", None)
        if not callable(standardize):
            check_choice(who, "standardize", standardize, kinds, "a function")
        if not callable(split):
            check_choice(who, "split", split, ("whitespace", "character"), "a function")
        self.standardize, self.split = standardize, split
        self.words: list[str] = []
        self.built = True
        if vocabulary is not None:
            self.set_vocabulary(vocabulary)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, with the vocabulary as it is now."""
        return super().arguments() | {"vocabulary": list(self.words)}

    def words_of(self, given: str) -> list[str]:
        """The words of a text."""
        how: Callable[[str], str] | str | None = self.standardize
        if callable(how):
            given = how(given)
        elif how is not None:
            given = given.lower() if "lower" in how else given
            if "strip" in how:
                given = given.translate(str.maketrans("", "", string.punctuation))
        if callable(self.split):
            return list(self.split(given))
        return given.split() if self.split == "whitespace" else list(given)

    def adapt(self, data: Iterable[str], **options: Any) -> None:
        """Count the words of texts: the most frequent ones get the lowest ids, ties by the word."""
        counts = Counter(
            word for given in np.ravel(list(data)) for word in self.words_of(str(given))
        )
        ordered = sorted(counts, key=lambda word: (counts[word], word), reverse=True)
        self.set_vocabulary(ordered[: None if self.max_tokens is None else self.max_tokens - 2])

    def set_vocabulary(self, vocabulary: Iterable[str]) -> None:
        """Give ids to words, from 2 on."""
        words = [str(word) for word in vocabulary if word not in ("", "[UNK]")]
        if self.max_tokens is not None and len(words) > self.max_tokens - 2:
            raise ValueError(
                f"TextVectorization: {len(words)} words are more than max_tokens = "
                f"{self.max_tokens} has room for beside padding and the unknown word"
            )
        self.words = words
        self.ids = {word: i for i, word in enumerate(words, 2)}

    def get_vocabulary(self) -> list[str]:
        """The words by id, with "" for padding and "[UNK]" for unknown words in front."""
        return ["", "[UNK]", *self.words]

    def vocabulary_size(self) -> int:
        """The number of ids."""
        return len(self.words) + 2

    def call(self, inputs: Any) -> NDArray[Any]:
        """Ids of texts."""
        if not self.words:
            raise ValueError("TextVectorization: call adapt(texts) or set_vocabulary(words) first")
        texts = np.asarray(inputs)
        if texts.ndim > 1 and texts.shape[-1] == 1:
            texts = texts[..., 0]
        rows = [[self.ids.get(word, 1) for word in self.words_of(str(t))] for t in texts]
        if self.output_mode == "int":
            return text.pad_sequences(rows, self.output_sequence_length)
        width = self.max_tokens or self.vocabulary_size()
        counts = np.array([np.bincount(row, minlength=width) for row in rows], np.float32)
        return counts if self.output_mode == "count" else (counts > 0).astype(np.float32)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(batch, time) or (batch, max_tokens)."""
        if self.output_mode == "int":
            return (input_shape[0], self.output_sequence_length)
        return (input_shape[0], self.max_tokens or self.vocabulary_size())
