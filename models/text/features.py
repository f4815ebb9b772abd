"""Features of words, such as suffixes, shape and letters, as ids for a ``FeatureEmbedding``."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ...cells import Configured, register
from ...checks import check_int, describe_received
from .vocabulary import Vocabulary

Ids = NDArray[np.int64]


@functools.lru_cache(1 << 16)
def word_shape(word: str) -> str:
    """A word's shape: X for a run of capitals, x of other letters, d of digits; the rest is kept.

    Example:
        >>> [word_shape(word) for word in ["Anna", "McDonald's", "U.S.", "3.14", "well-known"]]
        ['Xx', "XxXx'x", 'X.X.', 'd.d', 'x-x']
    """

    def kind(letter: str) -> str:
        if letter.isalpha():
            return "X" if letter.isupper() else "x"
        return "d" if letter.isdigit() else letter

    return "".join(k for k, _ in groupby(map(kind, word)))


@register
class Features(Configured):
    """Words as rows of ids: the word, its suffixes and prefixes, its shape, its letters.

    Each column has its own vocabulary, in which 0 stands for unseen values. A word shorter than a
    suffix is its own suffix.

    Args:
        vocabularies: One for each column before the letters; one more for all columns of letters.
        suffixes: The lengths of the suffixes of the lowercased word.
        prefixes: The lengths of its prefixes.
        shape: Whether ``word_shape`` is a column.
        letters: The number of columns of letters: the word's last ones, padded with ``</s>``.
        lower: Whether to lowercase the word's own column.

    Attributes:
        extra: The number of further columns after the shape, such as parts of speech.

    Example:
        >>> features = Features.count([["The", "cats"], ["A", "dog"]], suffixes=[2])
        >>> features.names
        ['word', 'suffix2', 'shape']
        >>> features.encode(["The", "bats"])
        array([[6, 4, 5],
               [0, 6, 3]])
    """

    def __init__(
        self,
        vocabularies: Iterable[Vocabulary],
        *,
        suffixes: Sequence[int] = (),
        prefixes: Sequence[int] = (),
        shape: bool = False,
        letters: int = 0,
        lower: bool = True,
    ) -> None:
        self.vocabularies = list(vocabularies)
        for known in self.vocabularies:
            if not isinstance(known, Vocabulary):
                raise TypeError(
                    f"Features: expected a Vocabulary for each column, got "
                    f"{describe_received(known)}"
                )
        self.suffixes = [check_int("Features", "a suffix's length", n) for n in suffixes]
        self.prefixes = [check_int("Features", "a prefix's length", n) for n in prefixes]
        self.shape, self.lower = bool(shape), bool(lower)
        self.letters = check_int("Features", "letters", letters, least=0)
        own = 1 + len(self.suffixes) + len(self.prefixes) + self.shape
        self.extra = len(self.vocabularies) - own - bool(letters)
        if self.extra < 0:
            raise ValueError(
                f"Features: {own + bool(letters)} vocabularies are needed, one for each kind of "
                f"column, got {len(self.vocabularies)}"
            )

    @classmethod
    def count(
        cls,
        words: Iterable[Sequence[str]],
        *extra: Iterable[Sequence[str]],
        suffixes: Sequence[int] = (2, 3),
        prefixes: Sequence[int] = (),
        shape: bool = True,
        letters: int = 0,
        lower: bool = True,
        minimum_count: int = 1,
    ) -> Features:
        """The features of a corpus, with the vocabularies of its columns.

        Args:
            words: The words of each sentence.
            *extra: Further columns: for each sentence a value per word, such as a part of speech.
            suffixes, prefixes, shape, letters, lower: As in the class.
            minimum_count: The least frequency of a value in its column; rarer ones are ``<unk>``,
                for which a vector is learnt.
        """
        kinds = 1 + len(suffixes) + len(prefixes) + bool(shape) + len(extra) + bool(letters)
        make = functools.partial(
            cls, suffixes=suffixes, prefixes=prefixes, shape=shape, letters=letters, lower=lower
        )
        blank = make([Vocabulary(())] * kinds)
        counts = [Counter[str]() for _ in range(kinds)]
        corpora = [list(part) for part in (words, *extra)]
        if len({len(part) for part in corpora}) > 1:
            raise ValueError("Features.count: the columns differ in their number of sentences")
        for sentence in zip(*corpora):
            for count, column in zip(counts, blank.columns(*sentence)):
                count.update(column)
            if letters:
                counts[-1].update("".join(sentence[0]))
        if not counts[0]:
            raise ValueError("Features.count: there is no word to count")
        return make([Vocabulary.count(count, minimum_count) for count in counts])

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [
            "word",
            *(f"suffix{n}" for n in self.suffixes),
            *(f"prefix{n}" for n in self.prefixes),
            *["shape"] * self.shape,
            *(f"extra{n}" for n in range(1, self.extra + 1)),
            *(f"letter{n}" for n in range(1, self.letters + 1)),
        ]

    @property
    def sizes(self) -> list[int]:
        """The number of ids in each column before the letters."""
        known = self.vocabularies[:-1] if self.letters else self.vocabularies
        return [len(vocabulary) for vocabulary in known]

    def __repr__(self) -> str:
        sizes = [*self.sizes, *[len(self.vocabularies[-1])] * self.letters]
        shown = ", ".join(f"{name} {size:,}" for name, size in zip(self.names, sizes))
        return f"Features({shown})"

    def columns(self, words: Sequence[str], *extra: Sequence[str]) -> list[list[str]]:
        """The values in each column before the letters."""
        if isinstance(words, str):
            raise TypeError(f"Features: words must be a list of strings, got {words!r}")
        if len(extra) != self.extra or any(len(column) != len(words) for column in extra):
            raise ValueError(
                f"Features: expected words and {self.extra} further columns of equal length; got "
                f"{len(words)} words and columns of {[len(column) for column in extra]}"
            )
        small = [word.lower() for word in words]
        return [
            small if self.lower else list(words),
            *([word[-n:] for word in small] for n in self.suffixes),
            *([word[:n] for word in small] for n in self.prefixes),
            *([[word_shape(word) for word in words]] if self.shape else []),
            *map(list, extra),
        ]

    def encode(self, words: Sequence[str], *extra: Sequence[str]) -> Ids:
        """The ids of a sentence's words: (time, columns).

        Args:
            words: The words.
            *extra: As many further columns as the features have.
        """
        found = [
            np.array(vocabulary.lookup(column), np.int64)[:, None]
            for vocabulary, column in zip(self.vocabularies, self.columns(words, *extra))
        ]
        if self.letters:
            known, n = self.vocabularies[-1], self.letters
            rows = np.full((len(words), n), known.end)
            for row, word in zip(rows, words):
                row[: len(word)] = known.lookup(word[-n:])
            found.append(rows)
        return np.concatenate(found, axis=1)
