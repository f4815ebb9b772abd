"""What a tagger reads of a word besides the word: its ends, its shape, its letters.

``Features`` makes numbers of words, a row of ids each; ``FeatureEmbedding`` makes vectors of the
rows, inside of the network.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import cells
from ...autograd import Tensor, embedding, scope
from ...autograd.tensor import one_array, values
from ...cells import LSTM, Bidirectional, Cell, Module
from ..networks.acceptor import final_output
from ..networks.layers import Embedding, whole
from .text import Vocabulary

__all__ = ["CharacterEncoder", "FeatureEmbedding", "Features", "word_shape"]

Ids = NDArray[np.int64]


@functools.lru_cache(1 << 16)
def word_shape(word: str) -> str:
    """A word with X for runs of capitals, x of other letters, d of digits; the rest as it is.

    Example:
        >>> [word_shape(word) for word in ["Anna", "McDonald's", "U.S.", "3.14", "well-known"]]
        ['Xx', "XxXx'x", 'X.X.', 'd.d', 'x-x']
    """

    def kind(letter: str) -> str:
        if letter.isalpha():
            return "X" if letter.isupper() else "x"
        return "d" if letter.isdigit() else letter

    return "".join(k for k, _ in groupby(map(kind, word)))


class Features:
    """Words as rows of ids: the word, its suffixes and prefixes, its shape, its letters.

    Each column has a vocabulary of its own, in which 0 is what was not seen. Where a word is
    shorter than a suffix is long, the whole word is the suffix.

    Args:
        vocabularies: One for each column up to the letters, whose columns share the last one.
        suffixes: The lengths of the suffixes, of the word in small letters.
        prefixes: The lengths of the prefixes, likewise.
        shape: Whether ``word_shape`` is a column.
        letters: How many columns of letters there are: the word's last ones, as they are,
            filled up with ``</s>``.
        lower: Whether the word's column has it in small letters.

    Attributes:
        extra: How many columns of your own follow the shape, such as the parts of speech.

    Raises:
        ValueError: There are too few vocabularies, or a length is below 1.
        TypeError: A length is no whole number.

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
        self.suffixes = [whole("Features", "a suffix's length", n) for n in suffixes]
        self.prefixes = [whole("Features", "a prefix's length", n) for n in prefixes]
        self.shape, self.lower = bool(shape), bool(lower)
        self.letters = whole("Features", "letters", letters, least=0)
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
        """The features of a corpus, with everything that occurs often enough.

        Args:
            words: The words of each sentence.
            *extra: Further columns: for each sentence a value a word, such as a part of speech.
            suffixes, prefixes, shape, letters, lower: As in the class.
            minimum_count: How often a value must occur in its column; rarer ones are ``<unk>``,
                so that it is learnt what to do with unseen ones.

        Raises:
            ValueError: There is no word, the columns differ in length, or a setting is out of
                its range.
        """
        kinds = 1 + len(suffixes) + len(prefixes) + bool(shape) + len(extra) + bool(letters)
        blank = cls(
            [Vocabulary(())] * kinds,
            suffixes=suffixes,
            prefixes=prefixes,
            shape=shape,
            letters=letters,
            lower=lower,
        )
        columns: list[list[str]] = [[] for _ in range(kinds)]
        corpora = [list(part) for part in (words, *extra)]
        if len({len(part) for part in corpora}) > 1:
            raise ValueError("Features.count: the columns differ in their number of sentences")
        for sentence in zip(*corpora):
            for column, new in zip(columns, blank.columns(*sentence)):
                column += new
            if letters:
                columns[-1] += "".join(sentence[0])
        if not columns[0]:
            raise ValueError("Features.count: there is no word to count")
        return cls(
            [Vocabulary.count(column, minimum_count) for column in columns],
            suffixes=suffixes,
            prefixes=prefixes,
            shape=shape,
            letters=letters,
            lower=lower,
        )

    @property
    def names(self) -> list[str]:
        """The columns' names."""
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
        """How many ids there are in each column up to the letters."""
        known = self.vocabularies[:-1] if self.letters else self.vocabularies
        return [len(vocabulary) for vocabulary in known]

    def __repr__(self) -> str:
        sizes = [*self.sizes, *[len(self.vocabularies[-1])] * self.letters]
        shown = ", ".join(f"{name} {size:,}" for name, size in zip(self.names, sizes))
        return f"Features({shown})"

    def columns(self, words: Sequence[str], *extra: Sequence[str]) -> list[list[str]]:
        """The values of each column up to the letters.

        Raises:
            ValueError: There are more or fewer columns than there were, or they differ in length.
            TypeError: ``words`` is one string.
        """
        if isinstance(words, str):
            raise TypeError(f"Features: words are a list of strings, got {words!r}")
        if len(extra) != self.extra or any(len(column) != len(words) for column in extra):
            raise ValueError(
                f"Features: expected words and {self.extra} columns more of the same length; got "
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
            *extra: The further columns with which the features were made.

        Raises:
            ValueError, TypeError: As in ``columns``.
        """
        found = [
            vocabulary.encode(column)[:, None]
            for vocabulary, column in zip(self.vocabularies, self.columns(words, *extra))
        ]
        if self.letters:
            known, n = self.vocabularies[-1], self.letters
            rows = np.full((len(words), n), known.end)
            for row, word in zip(rows, words):
                row[: len(word)] = known.encode(list(word[-n:]))
            found.append(rows)
        return np.concatenate(found, axis=1)

    def config(self) -> dict[str, Any]:
        """All of it as plain data, for JSON."""
        return {
            "suffixes": self.suffixes,
            "prefixes": self.prefixes,
            "shape": self.shape,
            "letters": self.letters,
            "lower": self.lower,
            "vocabularies": [list(vocabulary.tokens) for vocabulary in self.vocabularies],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Features:
        """The features that ``config`` described.

        Raises:
            ValueError: It is no such description.
        """
        settings = dict(config)
        try:
            columns = [list(column) for column in settings.pop("vocabularies", ())]
            if not all(isinstance(token, str) for column in columns for token in column):
                raise TypeError("a vocabulary is a list of strings")
            return cls(map(Vocabulary, columns), **settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"this is no configuration of Features: {error}") from error


class CharacterEncoder(Module):
    """A word from its letters: the last states of an RNN forwards and one backwards.

    ::

        v = [RNN_f(c_1 ... c_n); RNN_b(c_n ... c_1)]

    Each word that is in a batch several times is read once.

    Args:
        n: How many letters there are.
        d: The width of a letter's vector.
        d_h: The width of each direction's state.
        cell: ``cell(d_in, d_h, rng=, dtype=)`` makes one.
        rng: A Generator, a seed, or None.
        dtype: Of the parameters.

    Attributes:
        d_out: The width of what it gives, 2 d_h.

    Source: Ling et al. (2015), Lample et al. (2016).
    """

    # The number of different words in a batch is filled up to a multiple of this: a step's plan
    # serves one number of rows.
    ROWS = 64

    def __init__(
        self,
        n: int,
        d: int = 25,
        d_h: int = 25,
        *,
        cell: Any = LSTM,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)
        self.embedding = Embedding(n, d, rng=rng, dtype=dtype)
        self.network = Bidirectional(*(cell(d, d_h, rng=rng, dtype=dtype) for _ in range(2)))
        self.cell = cell
        self.d_out = 2 * whole("CharacterEncoder", "d_h", d_h)

    def __call__(self, ids: Any) -> Tensor:
        """Letters (..., letters), each word's followed by ``</s>``, to (..., d_out).

        A word of no letter gives the initial states' output.

        Raises:
            ValueError: An id is outside of 0..n-1.
            TypeError: The ids are not integers.
        """
        array = np.asarray(values(ids))
        words, which = np.unique(array.reshape(-1, array.shape[-1]), axis=0, return_inverse=True)
        filled = -(-len(words) // self.ROWS) * self.ROWS
        words = np.pad(words, ((0, filled - len(words)), (0, 0)), constant_values=Vocabulary.end)
        real = np.logical_and.accumulate(words != Vocabulary.end, axis=1)
        longest = max(int(real.sum(1).max(initial=0)), 1)
        with scope("letters"):
            letters = self.embedding(words[:, :longest])
            _, state = self.network.unroll(letters, mask=real[:, :longest])
            vectors: Tensor = embedding(
                final_output(self.network, state), which.reshape(array.shape[:-1])
            )
        return vectors

    def config(self) -> dict[str, Any]:
        """The widths as plain data, and the cell by its name.

        Raises:
            ValueError: The cell is none of ``unspool.cells``.
        """
        name = getattr(self.cell, "__name__", repr(self.cell))
        if cell_named(name) is not self.cell:
            raise ValueError(f"CharacterEncoder: {name} is no cell that unspool.cells has by name")
        return {"n": self.embedding.n, "d": self.embedding.d, "d_h": self.d_out // 2, "cell": name}


def cell_named(name: str) -> Any:
    """The class of a cell of ``unspool.cells``; None where there is none of this name."""
    found = getattr(cells, name, None)
    return found if isinstance(found, type) and issubclass(found, Cell) else None


class FeatureEmbedding(Module):
    """The vectors of words from rows of ids, each column's vector beside the others'.

    ::

        x_t = [E_1 w_t; E_2 suffix_t; ...; letters(c_1 ... c_n)]

    It is an ``embedding=`` of a Transducer or an Acceptor.

    Args:
        sizes: How many ids each column has, ``Features.sizes``.
        widths: How wide the vectors of each column are.
        letters: A CharacterEncoder, which reads all columns that follow.
        word_dropout: The probability with which a word's id, the first column, is 0 in training,
            so that the network learns to read words that it does not know.
        rng: A Generator, a seed, or None.
        dtype: Of the parameters.

    Attributes:
        d: The width of all vectors together.

    Raises:
        ValueError: There are more sizes than widths, or fewer; or a setting is out of its range.
        TypeError: A size or a width is no whole number.

    Example:
        >>> from unspool.cells import LSTM
        >>> from unspool.models import Transducer
        >>> features = Features.count([["The", "cats"], ["A", "dog"]], suffixes=[2], letters=5)
        >>> letters = CharacterEncoder(len(features.vocabularies[-1]), d=4, d_h=3, rng=0)
        >>> words = FeatureEmbedding(features.sizes, [8, 4, 2], letters=letters, rng=0)
        >>> tagger = Transducer(LSTM(words.d, 6, rng=0), 3, embedding=words, rng=0)
        >>> words.d, tagger.predict(features.encode(["The", "bats"])).shape
        (20, (2,))
    """

    def __init__(
        self,
        sizes: Sequence[int],
        widths: Sequence[int],
        *,
        letters: CharacterEncoder | None = None,
        word_dropout: float = 0.0,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        if len(sizes) != len(widths) or not len(sizes):
            raise ValueError(
                f"FeatureEmbedding: a width is wanted for each of {len(sizes)} columns, got "
                f"{len(widths)}"
            )
        if not 0 <= word_dropout <= 1:
            raise ValueError(
                f"FeatureEmbedding: word_dropout is a probability from 0 to 1, got {word_dropout}"
            )
        self.rng = np.random.default_rng(rng)
        self.columns = [Embedding(n, d, rng=self.rng, dtype=dtype) for n, d in zip(sizes, widths)]
        self.letters = letters
        self.word_dropout = word_dropout
        self.d = sum(column.d for column in self.columns)
        if letters is not None:
            self.d += letters.d_out

    def __call__(self, ids: Any) -> Tensor:
        """Ids (batch, time, columns) or (time, columns) to vectors (..., d).

        Raises:
            ValueError: There are too few or too many columns, or an id is out of its range.
            TypeError: The ids are not integers.
        """
        array = one_array("FeatureEmbedding", ids)
        known = len(self.columns)
        fits = array.ndim and (
            array.shape[-1] == known if self.letters is None else array.shape[-1] > known
        )
        if array.ndim not in (2, 3) or not fits:
            more = "" if self.letters is None else " and more of letters"
            raise ValueError(
                f"FeatureEmbedding: expected ids (batch, time, columns) or (time, columns) with "
                f"{known} columns{more}, got {array.shape}; Features.encode makes them"
            )
        words = array[..., 0]
        if self.training and self.word_dropout:
            words = np.where(self.rng.random(words.shape) < self.word_dropout, 0, words)
        with scope("features"):
            parts = [self.columns[0](words)]
            parts += [E(array[..., i]) for i, E in enumerate(self.columns[1:], 1)]
            if self.letters is not None:
                parts.append(self.letters(array[..., known:]))
            return np.concatenate(parts, axis=-1)  # type: ignore[return-value]

    def config(self) -> dict[str, Any]:
        """Sizes, widths and settings as plain data, for JSON."""
        return {
            "sizes": [column.n for column in self.columns],
            "widths": [column.d for column in self.columns],
            "letters": None if self.letters is None else self.letters.config(),
            "word_dropout": self.word_dropout,
            "dtype": self.columns[0].E.dtype.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, rng: Any = None) -> FeatureEmbedding:
        """A new one of the sizes and settings that ``config`` described.

        Raises:
            ValueError: It is no such description.
        """
        settings = dict(config)
        try:
            letters, dtype = settings.pop("letters"), np.dtype(settings.pop("dtype"))
            if letters is not None:
                letters = dict(letters)
                cell = cell_named(letters.pop("cell"))
                letters = CharacterEncoder(cell=cell, rng=rng, dtype=dtype, **letters)
            return cls(letters=letters, rng=rng, dtype=dtype, **settings)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no configuration of FeatureEmbedding: {error!r}") from error
