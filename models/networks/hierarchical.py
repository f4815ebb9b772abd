"""Hierarchical classification: words are encoded as spans, and the spans as one vector."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import scope, values
from ...cells import check_member, register, width_out
from ...checks import check_choice, check_int, wrong_type
from ..text import pad_sequences
from .acceptor import POOLINGS, Bools, Classifier, read_by, vectors_of

MARKS = frozenset(".,;:!?…–—")


def punctuation_ids(tokens: Iterable[str]) -> list[int]:
    """The ids of the tokens that end a span: those made of . , ; : ! ? … and dashes alone.

    Example:
        >>> punctuation_ids(["<unk>", "but", ",", "...", "3.5", "(", "?!"])
        [2, 3, 6]
    """
    return [i for i, token in enumerate(tokens) if token and MARKS.issuperset(token)]


def spans_of(marks: Any, real: Any) -> list[NDArray[np.intp]]:
    """The positions of each span of one text, from where its marks and its tokens are, (time,).

    A span ends with a mark, or with several in a row, or with the text.

    Example:
        >>> marks = np.array([0, 0, 1, 0, 1, 1, 0, 0], bool)
        >>> [span.tolist() for span in spans_of(marks, np.arange(8) < 7)]
        [[0, 1, 2], [3, 4, 5], [6]]
    """
    places = np.flatnonzero(real)
    ends = np.asarray(marks)[places]
    cuts = np.flatnonzero(ends[:-1] & ~ends[1:]) + 1
    return np.split(places, cuts) if len(places) else []


@register
class HierarchicalAcceptor(Classifier):
    """Spans between punctuation marks, each read by one network, and then their vectors by another.

    ::

        spans        x_1 ... x_n cut behind its punctuation: s_1 ... s_m
        v_j          = the last output of words(s_j), as a rule a BiRNN
        ŷ            = softmax(MLP(spans(v_1 ... v_m)))

    Args:
        words: Any Cell, Stacked or Bidirectional: reads the words of a span.
        spans: Another one, whose d_in is the output width of ``words``: reads the spans.
        d_out: The number of classes; 1 for two classes and one score.
        punctuation: The ids that end a span, as from ``punctuation_ids``; or a function from x
            to booleans (batch, time), True where a mark stands.
        pooling: How the spans become one vector: "last", "mean", "max" or "sum".
        **options: Those of ``Classifier``.

    Source: the lectures, after Li et al. (2015), "When are tree structures necessary for deep
    learning of representations?"; for documents Tang, Qin and Liu (2015).

    Example:
        >>> from unspool.cells import LSTM, Bidirectional
        >>> from unspool.models import Embedding, HierarchicalAcceptor
        >>> words = Bidirectional(LSTM(8, 5, rng=0), LSTM(8, 5, rng=1))
        >>> spans = LSTM(10, 6, rng=2)
        >>> vectors = Embedding(20, 8, rng=3)
        >>> model = HierarchicalAcceptor(words, spans, 2, punctuation=[3], embedding=vectors)
        >>> ids = np.array([[4, 5, 3, 6, 7], [8, 9, 0, 0, 0]])
        >>> model.loss(ids, [1, 0], lengths=[5, 2]).backward()
        >>> [[span.tolist() for span in text] for text in model.split(ids, lengths=[5, 2])]
        [[[0, 1, 2], [3, 4]], [[0, 1]]]
    """

    def __init__(
        self,
        words: Any,
        spans: Any,
        d_out: int,
        punctuation: Collection[int] | Callable[[Any], Any],
        pooling: str = "last",
        **options: Any,
    ) -> None:
        name = "HierarchicalAcceptor"
        check_member(f"{name}: words", words)
        check_member(f"{name}: spans", spans)
        if spans.d_in != width_out(words):
            raise ValueError(
                f"{name}: words has outputs of width {width_out(words)}, but spans has d_in = "
                f"{spans.d_in}"
            )
        if not callable(punctuation):
            if isinstance(punctuation, str) or not isinstance(punctuation, Collection):
                ids = "ids, as from punctuation_ids(vocabulary.tokens)"
                expected = f"{name}: punctuation must be {ids}, or a function from x to booleans"
                raise wrong_type(expected, punctuation)
            punctuation = [check_int(name, "punctuation", i, least=0) for i in punctuation]
        self.pooling = check_choice(name, "pooling", pooling, ["last", *POOLINGS])
        self.words, self.spans = words, spans
        self.punctuation = punctuation
        super().__init__(words.d_in, width_out(spans), d_out, **options)

    def marks(self, x: Any, shape: tuple[int, ...]) -> Bools:
        """Where punctuation stands in x, booleans of ``shape``."""
        if callable(self.punctuation):
            marks = np.asarray(values(self.punctuation(x)))
        else:
            marks = np.isin(np.asarray(values(x)), self.punctuation)
        if marks.dtype != bool or marks.shape != shape:
            raise ValueError(
                f"HierarchicalAcceptor: punctuation must return booleans {shape}, one a position, "
                f"got {marks.dtype} {marks.shape}"
                + ("" if callable(self.punctuation) else "; for vectors pass a function")
            )
        return marks

    def split(self, x: Any, lengths: Any = None, mask: Any = None) -> list[Any]:
        """The positions of the spans of each text; for a single text one such list."""
        name = type(self).__name__
        _, real = vectors_of(name, x, self.embedding, self.d_in, lengths, mask)
        marks = self.marks(x, real.shape)
        if real.ndim == 1:
            return spans_of(marks, real)
        return [spans_of(*row) for row in zip(marks, real, strict=True)]

    def vector(self, x: Any, lengths: Any = None, mask: Any = None) -> Any:
        """Each text as one vector, the input of the head: (batch, width) or (width,)."""
        name = type(self).__name__
        xs, real = vectors_of(name, x, self.embedding, self.d_in, lengths, mask)
        marks = np.atleast_2d(self.marks(x, real.shape))
        texts = [spans_of(*row) for row in zip(marks, np.atleast_2d(real), strict=True)]
        vectors, here = self._span_vectors(self.dropout(xs), texts)
        with scope("spans"):
            vector = read_by(self.spans, self.pooling, vectors, here)
        return vector if real.ndim == 2 else vector[0]

    def _span_vectors(self, xs: Any, texts: list[list[NDArray[np.intp]]]) -> tuple[Any, Bools]:
        """A vector for each span, (batch, most spans, width), and where there is one.

        The spans of all texts are read side by side, as one batch.
        """
        counts = np.array([len(text) for text in texts])
        here = np.arange(counts.max(initial=0)) < counts[:, None]
        # Of each span the places of its words among those of all texts.
        time = xs.shape[-2]
        spans = [row * time + span for row, text in enumerate(texts) for span in text]
        if not spans:
            return np.zeros((*here.shape, self.spans.d_in), xs.dtype), here
        places = pad_sequences(spans)
        real = np.arange(places.shape[1]) < np.array([len(span) for span in spans])[:, None]
        with scope("words"):
            vectors = read_by(self.words, "last", xs.reshape(-1, xs.shape[-1])[places], real)
        numbers = np.cumsum(here).reshape(here.shape) - 1  # of each text's spans among all
        return vectors[numbers], here
