"""Vectors of words: from pretrained matrices, from features, and from letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd import Tensor, embedding, one_array, scope, values
from ...cells import LSTM, Bidirectional, Module, cell_maker, register
from ...checks import check_fraction, check_int
from ..text.vocabulary import Vocabulary
from .acceptor import final_output
from .layers import Embedding, make_cell


@register
class CharacterEncoder(Module):
    """A word's vector from its letters: the last outputs of an RNN in both directions.

    ::

        v = [RNN_f(c_1 ... c_n); RNN_b(c_n ... c_1)]

    A word that occurs several times in a batch is read once.

    Args:
        n: The number of letters.
        d: The width of a letter's vector.
        d_h: The width of each direction's state.
        cell: A cell's class, its name ("lstm"), or ``cell(d_in, d_h, rng=, dtype=)`` that returns
            one.

    Attributes:
        d_out: The width of its output, 2 d_h.

    Source: Ling et al. (2015), Lample et al. (2016).
    """

    # The number of different words in a batch is padded to a multiple of this, so that a recorded
    # plan of a step, which fits one number of rows, is reused.
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
        there, back = (
            make_cell("CharacterEncoder", cell, d, d_h, rng=rng, dtype=dtype) for _ in range(2)
        )
        self.network = Bidirectional(there, back)
        self.n, self.d, self.d_h = n, d, d_h
        self.d_out = 2 * check_int("CharacterEncoder", "d_h", d_h)

    def __call__(self, ids: Any) -> Tensor:
        """Letters (..., letters), each word's followed by ``</s>``, to (..., d_out).

        A word without letters gets the output of the initial states.
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
            return embedding(final_output(self.network, state), which.reshape(array.shape[:-1]))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments; the cell's class and options are read off a cell."""
        return {**super().arguments(), "cell": cell_maker(self.network.forward)}


@register
class FeatureEmbedding(Module):
    """The vectors of words from rows of ids: the columns' vectors, concatenated.

    ::

        x_t = [E_1 w_t; E_2 suffix_t; ...; letters(c_1 ... c_n)]

    It serves as ``embedding=`` of a Transducer or an Acceptor.

    Args:
        sizes: The number of ids in each column, ``Features.sizes``.
        widths: The width of each column's vectors.
        letters: A CharacterEncoder for all further columns.
        word_dropout: The probability with which a word's id, the first column, is set to 0 in
            training, so that the network learns to read unknown words.

    Attributes:
        d: The sum of the widths.

    Example:
        >>> from unspool.cells import LSTM
        >>> from unspool.models import Features, Transducer
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
                f"FeatureEmbedding: expected a width for each of {len(sizes)} columns, got "
                f"{len(widths)}"
            )
        self.rng = np.random.default_rng(rng)
        self.columns = [Embedding(n, d, rng=self.rng, dtype=dtype) for n, d in zip(sizes, widths)]
        self.letters = letters
        self.word_dropout = check_fraction("FeatureEmbedding", "word_dropout", word_dropout)
        self.d = sum(column.d for column in self.columns)
        if letters is not None:
            self.d += letters.d_out

    def __call__(self, ids: Any) -> Tensor:
        """Ids (batch, time, columns) or (time, columns) to vectors (..., d)."""
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


def embedding_from(matrix: Any, *, frozen: bool = False) -> Embedding:
    """An Embedding with given initial vectors.

    Args:
        matrix: (n, d), such as ``align_vectors`` returns; copied.
        frozen: Whether they are not trained; ``unfreeze()`` undoes it.
    """
    array = np.asarray(matrix)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"embedding_from: expected a matrix (n, d), got {array.shape}")
    if array.dtype.kind != "f":
        raise TypeError(f"embedding_from: expected floats, got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("embedding_from: the matrix holds NaN or infinity")
    made = Embedding(*array.shape, rng=0, dtype=array.dtype)
    made.E.data[...] = array
    return made.freeze() if frozen else made
