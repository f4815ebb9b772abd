"""Baselines that count: an n-gram language model, and the most frequent tag.

The n-gram model is smoothed by interpolation after Witten and Bell (1991), in the recursive form of
Chen and Goodman (1998)::

    p(w | h) = (c(h, w) + N1+(h) p(w | h')) / (c(h) + N1+(h))

where h is the history, the n - 1 tokens before w, and h' is h without its first token; c counts,
and N1+(h) is the number of different tokens seen after h. With the empty history p is interpolated
with 1/V, V the size of the vocabulary. After an unseen history p(w | h) is p(w | h'); no token has
probability 0.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd import class_ids
from ...checks import check_int
from .padding import one_text

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PIECE = 1 << 20  # tokens of a long text that are counted at once


def perplexity_of(loss: float) -> float:
    """exp of a mean loss in nats per token; infinite where that overflows."""
    return math.exp(loss) if loss < 709 else math.inf


class Counts(NamedTuple):
    """The k-grams of a text: a history of k - 1 tokens, and a word."""

    # The history's number * V + the word, sorted for bisection; the index in this array is the
    # number of the k-gram, which is a history of the (k + 1)-grams.
    keys: Ints
    counts: NDArray[Any]  # c(h, w) of each
    followed: NDArray[Any]  # c(h), by the number of the history
    kinds: NDArray[Any]  # N1+(h), by the number of the history

    def find(self, keys: Ints) -> Ints:
        """The numbers of k-grams, -1 for unseen ones."""
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, -1)


class NGram:
    """An n-gram model with interpolated Witten-Bell smoothing.

    Args:
        ids: The training text, (time,); its first token is not predicted.
        vocab_size: The number of ids.
        order: n: 1 for a unigram, 2 for a bigram, ...
        ignore: An id that is an input but never a target, such as that of ``<s>``.

    Source: see the module.

    Example:
        >>> p = NGram([1, 3, 4, 3, 4, 2], vocab_size=5, order=2).probabilities([4])
        >>> p.round(3), round(float(p.sum()), 12)  # 3 and 2 follow 4, once each
        (array([0.038, 0.038, 0.35 , 0.412, 0.162]), 1.0)
    """

    def __init__(
        self, ids: Any, vocab_size: int, order: int = 3, ignore: int | None = None
    ) -> None:
        self.vocab_size = check_int("NGram", "vocab_size", vocab_size)
        self.order = check_int("NGram", "order", order)
        self.ignore = ignore
        array = self._text(ids)
        self.levels: list[Counts] = []
        count = 1  # of histories; the empty one is number 0
        for k in range(min(order, len(array))):  # a (k + 1)-gram ends at each position from k on
            keys, hits = self._counted(array, k)
            parents = keys // vocab_size
            followed = np.bincount(parents, hits, count)
            kinds = np.bincount(parents, hits > 0, count)
            self.levels.append(Counts(keys, hits, followed, kinds))
            count = len(keys)

    def _counted(self, array: Ints, k: int) -> tuple[Ints, Floats]:
        """The keys of the (k + 1)-grams of a text, sorted, and how often each is predicted."""
        possible = self.vocab_size * (len(self.levels[-1].keys) if k else 1)
        pieces = self._keys(array, k)
        return counted_each(pieces, possible) if possible <= PIECE else counted_sorted(pieces)

    def _keys(self, array: Ints, k: int) -> Iterator[tuple[Ints, NDArray[np.bool_]]]:
        """The keys of the (k + 1)-grams of a text piece by piece, and which are predicted."""
        for begin in range(k, len(array), PIECE):
            piece = array[begin - k : begin + PIECE].astype(np.int64)
            n = len(piece) - k
            history = np.zeros(n, np.int64)
            for j, level in enumerate(self.levels):  # of the tokens before, the first one first
                history = level.find(history * self.vocab_size + piece[j : j + n])
            yield history * self.vocab_size + piece[k:], self._targets(piece[k:], begin)

    def probabilities(self, history: Any = ()) -> Floats:
        """The distribution of the token after a history, (vocab_size,).

        Args:
            history: Ids (time,), of which the last ``order - 1`` are used; () for none.
        """
        before = class_ids(history, self.vocab_size, "NGram", "tokens")
        if before.ndim != 1:
            raise ValueError(f"NGram: a history must be ids (time,), as in [4], got {before.shape}")
        before = before[len(before) - min(self.order - 1, len(before)) :]
        words = np.arange(self.vocab_size)
        texts = np.column_stack([np.tile(before, (self.vocab_size, 1)), words])
        return self._chances(texts)[:, -1]

    def log_probabilities(self, ids: Any) -> Floats:
        """log p of each predicted token of a text, (time - 1,) or fewer with ``ignore``."""
        return np.concatenate([*self._log_pieces(ids)])

    def score(self, ids: Any) -> float:
        """The sum of the log probabilities of a text's predicted tokens."""
        return sum(float(piece.sum()) for piece in self._log_pieces(ids))

    def loss(self, ids: Any) -> float:
        """The mean nats per predicted token."""
        total, count = 0.0, 0
        for piece in self._log_pieces(ids):
            total, count = total + float(piece.sum()), count + len(piece)
        return -total / count

    def perplexity(self, ids: Any) -> float:
        """exp of the loss."""
        return perplexity_of(self.loss(ids))

    def _chances(self, ids: Ints) -> Floats:
        """p of each token of (..., time) after those before it."""
        p = np.full(ids.shape, 1 / self.vocab_size)
        histories = np.zeros(ids.shape, np.int64)
        for level in self.levels:
            known = histories >= 0
            found = np.where(known, level.find(histories * self.vocab_size + ids), -1)
            hits = np.where(found >= 0, level.counts[found], 0)
            seen = np.where(known, level.followed[histories], 0)
            kinds = np.where(known, level.kinds[histories], 0)
            p = np.where(seen > 0, (hits + kinds * p) / np.maximum(seen + kinds, 1), p)
            # The k-gram that ends at a token is the history of the next one.
            histories = np.concatenate([np.full_like(found[..., :1], -1), found[..., :-1]], -1)
        return p

    def _log_pieces(self, ids: Any) -> Iterator[Floats]:
        """log p of each predicted token, in pieces, so that a large text may be in a file."""
        array = self._text(ids)
        for begin in range(0, len(array), PIECE):
            context = min(begin, self.order - 1)
            piece = array[begin - context : begin + PIECE].astype(np.int64)
            p = self._chances(piece)[context:]
            yield np.log(p[self._targets(piece[context:], begin)])

    def _targets(self, ids: Ints, begin: int) -> NDArray[np.bool_]:
        """Which tokens of a piece of a text are targets."""
        counted = np.arange(begin, begin + len(ids)) > 0
        if self.ignore is not None:
            counted &= ids != self.ignore
        return counted

    def _text(self, ids: Any) -> Ints:
        """A checked text: an array, perhaps in a file, with ids in range and a target."""
        array = one_text("NGram", ids)
        if array.ndim != 1 or len(array) < 2 or array.dtype.kind not in "iu":
            raise ValueError(
                "NGram: expected ids (time,), integers and at least 2 of them, got "
                f"{array.dtype} {array.shape}"
            )
        any_target = False
        for begin in range(0, len(array), PIECE):
            piece = class_ids(array[begin : begin + PIECE], self.vocab_size, "NGram", "tokens")
            any_target = any_target or bool(self._targets(piece, begin).any())
        if not any_target:
            raise ValueError("NGram: no token of this text is to be predicted")
        return array


def counted_sorted(pieces: Iterable[tuple[Ints, NDArray[np.bool_]]]) -> tuple[Ints, Floats]:
    """The keys that occur, sorted, and how often each is predicted."""
    keys: Any = np.zeros(0, np.int64)
    hits: Any = np.zeros(0)
    for piece, predicted in pieces:
        found, numbers = np.unique(piece, return_inverse=True)
        counted = np.bincount(numbers, predicted)
        keys, numbers = np.unique(np.concatenate([keys, found]), return_inverse=True)
        hits = np.bincount(numbers, np.concatenate([hits, counted]))
    return keys, hits


def counted_each(
    pieces: Iterable[tuple[Ints, NDArray[np.bool_]]], possible: int
) -> tuple[Ints, Floats]:
    """``counted_sorted`` of keys below ``possible``, few enough to have a place each."""
    seen, hits = np.zeros(possible, np.int64), np.zeros(possible)
    for piece, predicted in pieces:
        seen += np.bincount(piece, minlength=possible)
        hits += np.bincount(piece, predicted, possible)
    keys = np.flatnonzero(seen)
    return keys, hits[keys]


class MostFrequentTag:
    """Each word gets its most frequent tag, independent of the context.

    An unseen word gets the most frequent tag of all. Ties go to the tag that is first in the
    alphabet.

    Args:
        sentences: The words of each sentence, or other inputs, such as the parts of speech in the
            baseline of CoNLL-2000.
        tags: The tags of each sentence.

    Attributes:
        tags: The tag of each word.
        unknown: The tag of all others.

    Example:
        >>> baseline = MostFrequentTag([["the", "cat"], ["cat"]], [["DET", "NOUN"], ["NOUN"]])
        >>> baseline.predict(["the", "dog"])
        ['DET', 'NOUN']
    """

    def __init__(self, sentences: Iterable[Sequence[str]], tags: Iterable[Sequence[str]]) -> None:
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        everything: Counter[str] = Counter()
        sentences, tags = list(sentences), list(tags)
        if [*map(len, sentences)] != [*map(len, tags)]:
            raise ValueError("MostFrequentTag: words and tags differ in number")
        for words, names in zip(sentences, tags):
            everything.update(names)
            for word, tag in zip(words, names):
                counts[word][tag] += 1
        if not everything:
            raise ValueError("MostFrequentTag: there is no word to count")
        self.tags = {word: most_frequent(counter) for word, counter in counts.items()}
        self.unknown = most_frequent(everything)

    def predict(self, words: Iterable[str]) -> list[str]:
        """The tags of a sentence's words."""
        return [self.tags.get(word, self.unknown) for word in words]


def most_frequent(counts: Counter[str]) -> str:
    """The most frequent name, of several the first in the alphabet."""
    return min(counts, key=lambda name: (-counts[name], name))
