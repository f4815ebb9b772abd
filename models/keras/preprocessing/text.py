"""Texts as ids, by the names of ``keras.preprocessing.text``, which Keras 3 has no more."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....cells import Configured
from ....checks import check_choice, check_int, describe_received

__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence"]

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(
    input_text: str, filters: str = FILTERS, lower: bool = True, split: str = " "
) -> list[str]:
    """The words of a text, without the characters of ``filters``.

    Example:
        >>> text_to_word_sequence("The film, was GOOD!")
        ['the', 'film', 'was', 'good']
    """
    text = input_text.lower() if lower else input_text
    text = "".join(split if letter in filters else letter for letter in text)
    return [word for word in text.split(split) if word]


def hashing_trick(text: str, n: int, **options: Any) -> list[int]:
    """Each word as an id from 1 to n - 1, by a hash that is the same in every process."""
    import zlib

    words = text_to_word_sequence(text, **options)
    return [zlib.crc32(word.encode()) % (n - 1) + 1 for word in words]


one_hot = hashing_trick


class Tokenizer(Configured):
    """Words to ids: 1 is the most frequent word, 0 is padding.

    Args:
        num_words: Ids from this one on are left out; None for none.
        filters: Characters that are left out.
        lower: Whether texts are lowercased.
        split: Between words.
        char_level: Whether characters are counted instead of words.
        oov_token: A word for those that are not known, with the id 1; None to leave them out.

    Attributes:
        word_index: From words to ids, all of them.
        index_word: From ids to words.
        word_counts: From words to how often they occurred.
        document_count: The number of texts.

    Example:
        >>> tokenizer = Tokenizer()
        >>> tokenizer.fit_on_texts(["to be or not to be"])
        >>> tokenizer.word_index, tokenizer.texts_to_sequences(["be not"])
        ({'to': 1, 'be': 2, 'or': 3, 'not': 4}, [[2, 4]])
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        **options: Any,
    ) -> None:
        self.num_words = (
            None if num_words is None else check_int("Tokenizer", "num_words", num_words)
        )
        self.filters, self.lower, self.split = filters, lower, split
        self.char_level, self.oov_token = char_level, oov_token
        self.word_counts: Counter[str] = Counter()
        self.word_docs: Counter[str] = Counter()
        self.document_count = 0
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def words_of(self, text: Any) -> list[str]:
        """The words of a text, or of a list of words."""
        if isinstance(text, (list, tuple)):
            return [word.lower() if self.lower else word for word in text]
        if not isinstance(text, str):
            raise TypeError(
                f"Tokenizer: expected texts, or lists of words, got {describe_received(text)}"
            )
        if self.char_level:
            return list(text.lower() if self.lower else text)
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts: Iterable[Any]) -> None:
        """Count the words of texts; the most frequent ones get the lowest ids."""
        if isinstance(texts, str):
            raise TypeError("Tokenizer.fit_on_texts: expected a list of texts, got one text")
        for text in texts:
            words = self.words_of(text)
            self.document_count += 1
            self.word_counts.update(words)
            self.word_docs.update(set(words))
        ordered = [word for word, _ in self.word_counts.most_common()]
        if self.oov_token is not None:
            ordered = [self.oov_token, *ordered]
        self.word_index = {word: i for i, word in enumerate(ordered, 1)}
        self.index_word = dict(enumerate(ordered, 1))

    def texts_to_sequences(self, texts: Iterable[Any]) -> list[list[int]]:
        """The ids of texts; words that are not known, or rare, are left out or ``oov_token``."""
        if isinstance(texts, str):
            raise TypeError("Tokenizer.texts_to_sequences: expected a list of texts, got one text")
        if not self.word_index:
            raise ValueError("Tokenizer.texts_to_sequences: call fit_on_texts(texts) first")
        unknown = None if self.oov_token is None else self.word_index[self.oov_token]
        found = []
        for text in texts:
            ids = (self.word_index.get(word) for word in self.words_of(text))
            limited = (i if i is not None and self.known(i) else unknown for i in ids)
            found.append([i for i in limited if i is not None])
        return found

    def known(self, i: int) -> bool:
        """Whether an id is below ``num_words``."""
        return self.num_words is None or i < self.num_words

    def sequences_to_texts(self, sequences: Iterable[Any]) -> list[str]:
        """The words of ids, with blanks between them; ids that are not known are left out."""
        unknown = self.oov_token
        texts = []
        for ids in sequences:
            words = [self.index_word.get(int(i)) if self.known(int(i)) else unknown for i in ids]
            texts.append(" ".join(word for word in words if word is not None))
        return texts

    def texts_to_matrix(self, texts: Iterable[Any], mode: str = "binary") -> NDArray[np.float64]:
        """``sequences_to_matrix`` of the ids of texts."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(
        self, sequences: Iterable[Any], mode: str = "binary"
    ) -> NDArray[np.float64]:
        """A row for each text, a column for each id: (texts, num_words).

        Args:
            sequences: Ids.
            mode: "binary", "count", "freq" (the fraction of the text's words), or "tfidf".
        """
        check_choice("Tokenizer", "mode", mode, ("binary", "count", "freq", "tfidf"))
        width = self.num_words or len(self.word_index) + 1
        rows = [np.bincount(np.asarray(ids, int), minlength=width)[:width] for ids in sequences]
        counts = np.array(rows, float).reshape(-1, width)
        if mode == "binary":
            return (counts > 0).astype(float)
        if mode == "freq":
            return counts / np.maximum(counts.sum(1, keepdims=True), 1)
        if mode == "tfidf":
            documents = np.zeros(width)
            for word, n in self.word_docs.items():
                if self.word_index[word] < width:
                    documents[self.word_index[word]] = n
            idf = np.log(1 + self.document_count / (1 + documents))
            tf = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0)
            return np.asarray(tf * idf)
        return counts

    def to_json(self) -> str:
        """The words and settings as JSON, for ``tokenizer_from_json``."""
        config = {
            "num_words": self.num_words,
            "filters": self.filters,
            "lower": self.lower,
            "split": self.split,
            "char_level": self.char_level,
            "oov_token": self.oov_token,
        }
        state = {
            "word_counts": self.word_counts,
            "word_docs": self.word_docs,
            "document_count": self.document_count,
            "word_index": self.word_index,
        }
        return json.dumps({"config": config, "state": state})


def tokenizer_from_json(text: str) -> Tokenizer:
    """The Tokenizer that ``to_json`` wrote."""
    read = json.loads(text)
    tokenizer = Tokenizer(**read["config"])
    state = read["state"]
    tokenizer.word_counts, tokenizer.word_docs = (
        Counter(state["word_counts"]),
        Counter(state["word_docs"]),
    )
    tokenizer.document_count = state["document_count"]
    tokenizer.word_index = state["word_index"]
    tokenizer.index_word = {i: word for word, i in tokenizer.word_index.items()}
    return tokenizer
