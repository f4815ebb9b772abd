"""What a language model has to beat: counting.

Both models here are smoothed by interpolation after Witten and Bell (1991), in the recursive
form of Chen and Goodman (1998)::

    p(w | h) = (c(h, w) + N1+(h) p(w)) / (c(h) + N1+(h))
    p(w)     = (c(w)    + N1+    / V ) / (N    + N1+   )

where c counts, N is the number of counted tokens, N1+(h) the number of different tokens seen
after h (N1+ of all different ones), and V the size of the vocabulary. After a history that was
never seen p(w | h) is p(w); no token has probability 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bigram", "Unigram", "perplexity_of"]

Floats = NDArray[np.float64]


def perplexity_of(loss: float) -> float:
    """exp of a mean loss in nats a token; infinite where it would overflow."""
    return math.exp(loss) if loss < 709 else math.inf


class Unigram:
    """The probability of a token whatever stands before it.

    Args:
        ids: The text that is counted, (time,); its first token is given, not counted.
        vocab_size: How many ids there are.
        ignore: An id that is given and never predicted, such as that of ``<s>``: where it is
            the token to predict, nothing is counted.

    Raises:
        ValueError: There is nothing to count, or an id is outside of the vocabulary.

    Source: see the module.

    Example:
        >>> Unigram([1, 3, 4, 3, 2], vocab_size=5).probabilities()
        array([0.08571429, 0.08571429, 0.22857143, 0.37142857, 0.22857143])
    """

    def __init__(self, ids: Any, vocab_size: int, ignore: int | None = None) -> None:
        self.vocab_size = vocab_size
        self.ignore = ignore
        _, words = self._events(ids)
        counts = np.bincount(words, minlength=vocab_size).astype(np.float64)
        kinds = np.count_nonzero(counts)
        self.p: Floats = (counts + kinds / vocab_size) / (counts.sum() + kinds)

    def probabilities(self, history: int | None = None) -> Floats:
        """The distribution of the next token, (vocab_size,)."""
        return self.p.copy()

    def log_probabilities(self, ids: Any) -> Floats:
        """log p of each predicted token of a text, (time - 1,) or fewer where some are ignored."""
        return np.log(self._chances(*self._events(ids)))

    def score(self, ids: Any) -> float:
        """The sum of the log probabilities of a text's predicted tokens."""
        return float(self.log_probabilities(ids).sum())

    def loss(self, ids: Any) -> float:
        """Mean nats a predicted token."""
        return -float(self.log_probabilities(ids).mean())

    def perplexity(self, ids: Any) -> float:
        """exp of the loss."""
        return perplexity_of(self.loss(ids))

    def _chances(self, histories: NDArray[Any], words: NDArray[Any]) -> Floats:
        return self.p[words]

    def _events(self, ids: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The tokens that are predicted, and each one's history."""
        array = np.asarray(ids)
        name = type(self).__name__
        if array.ndim != 1 or len(array) < 2 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{name}: expected ids (time,), integers and at least 2 of them, got "
                f"{array.dtype} {array.shape}"
            )
        if array.min() < 0 or array.max() >= self.vocab_size:
            bad = int(array.min() if array.min() < 0 else array.max())
            raise ValueError(f"{name}: id {bad} is outside of 0..{self.vocab_size - 1}")
        array = array.astype(np.int64, copy=False)
        histories, words = array[:-1], array[1:]
        if self.ignore is not None:
            counted = words != self.ignore
            histories, words = histories[counted], words[counted]
        if not len(words):
            raise ValueError(f"{name}: no token of this text is to be predicted")
        return histories, words


class Bigram(Unigram):
    """The probability of a token after the one before it: Witten-Bell, interpolated.

    Args and errors are those of Unigram.

    Source: see the module.

    Example:
        >>> p = Bigram([1, 3, 4, 3, 4, 2], vocab_size=5).probabilities(history=4)
        >>> p.round(3), p.sum().round(12)  # 3 and 2 follow 4, once each
        (array([0.038, 0.038, 0.35 , 0.412, 0.162]), np.float64(1.0))
    """

    def __init__(self, ids: Any, vocab_size: int, ignore: int | None = None) -> None:
        super().__init__(ids, vocab_size, ignore)
        histories, words = self._events(ids)
        # A pair of ids as one number, sorted, to be found by bisection.
        self.pairs, self.counts = np.unique(histories * vocab_size + words, return_counts=True)
        self.followed = np.bincount(histories, minlength=vocab_size)
        self.kinds = np.bincount(self.pairs // vocab_size, minlength=vocab_size)

    def probabilities(self, history: int | None = None) -> Floats:
        """The distribution of the token after ``history``, (vocab_size,)."""
        if history is None:
            return super().probabilities()
        if not 0 <= history < self.vocab_size:
            raise ValueError(f"Bigram: id {history} is outside of 0..{self.vocab_size - 1}")
        words = np.arange(self.vocab_size)
        return self._chances(np.full(self.vocab_size, history), words)

    def _chances(self, histories: NDArray[Any], words: NDArray[Any]) -> Floats:
        keys = histories * self.vocab_size + words
        places = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        pair_counts = np.where(self.pairs[places] == keys, self.counts[places], 0)
        seen, kinds = self.followed[histories], self.kinds[histories]
        p: Floats = self.p[words]
        interpolated = (pair_counts + kinds * p) / np.maximum(seen + kinds, 1)
        return np.where(seen > 0, interpolated, p)
