"""Transducers: a label for each position of a sequence, with or without a CRF on top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import (
    Parameter,
    Reduction,
    Tensor,
    check_reduction,
    class_ids,
    cross_entropy,
    one_array,
    operand,
    recording,
    scope,
    softmax,
    values,
)
from ...cells import (
    Bidirectional,
    Module,
    Stacked,
    glorot_uniform,
    register,
    width_out,
)
from ...checks import check_int, wrong_type
from .acceptor import Bools, check_embedding, vectors_of
from .crf import Chain, Lattice, PairwiseCRF
from .illustration import Illustrated, Illustration, probabilities
from .layers import Activation, Dropout, FeedForward, evaluating, made_network

Ids = NDArray[np.intp]


@register
class SplitHead(Module):
    """h_f V_f + h_b V_b + b: the scores of two directions, each with a matrix of its own.

    The same function as one matrix over [h_f; h_b], written as the lecture has it; d_f and d_b are
    the widths of the states, d_out the number of labels.
    """

    def __init__(
        self, d_f: int, d_b: int, d_out: int, *, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        rng = np.random.default_rng(rng)
        self.d_f = d_f
        self.V_f = Parameter(glorot_uniform(rng, d_f, d_out, dtype))
        self.V_b = Parameter(glorot_uniform(rng, d_b, d_out, dtype))
        self.b = Parameter(np.zeros(d_out, dtype))

    def __call__(self, h: Any) -> Tensor:
        """h (..., d_f + d_b) to (..., d_out)."""
        return h[..., : self.d_f] @ self.V_f + h[..., self.d_f :] @ self.V_b + self.b


@register
class Transducer(Illustrated):
    """A recurrent network that labels each position: a tagger.

    ::

        h_1 ... h_n = RNN(x_1 ... x_n)
        ŷ_t = softmax(MLP(h_t))            or, with split, softmax(V_f h_f + V_b h_b + b)
        L = Σ_t -log ŷ_t[label_t]          or their mean, or their weighted mean

    With ``crf=CRF(...)`` the MLP's scores are the CRF's emissions and labels are chosen together
    (BiLSTM-CRF); with ``crf=PairwiseCRF(...)`` it reads h_1 ... h_n itself. All methods take x,
    ``lengths`` and ``mask`` as ``features`` does.

    Args:
        network: Any Cell, Stacked or Bidirectional; or the class or name of a cell, as LSTM or
            "lstm", of which one as wide as the embedding is made.
        n_labels: The number of labels.
        embedding: From x to vectors: an Embedding, which reads ids, a FeatureEmbedding, or a
            function of yours.
        hidden: The widths of hidden layers between h and the scores.
        activation: Of the hidden layers.
        split: Whether the two directions of the (uppermost) Bidirectional, which concatenates,
            have a matrix each.
        crf: A CRF or PairwiseCRF over the labels.
        dropout: The probability of dropping an element of the vectors, of h and of the hidden
            layers in training.

    Source: the transducer of Goldberg (2016); BiLSTM-CRF: Huang, Xu and Yu (2015).

    Example:
        >>> from unspool.cells import LSTM, Bidirectional
        >>> from unspool.models import Embedding
        >>> from unspool.models.networks.crf import CRF
        >>> from unspool.models.networks.transducer import Transducer
        >>> network = Bidirectional(LSTM(8, 5, rng=0), LSTM(8, 5, rng=1))
        >>> words = Embedding(20, 8, rng=2)
        >>> tagger = Transducer(network, 3, embedding=words, crf=CRF(3), rng=3)
        >>> ids = np.array([[4, 5, 6, 7], [8, 9, 0, 0]])
        >>> tags = np.array([[0, 1, 1, 2], [2, 0, -1, -1]])
        >>> tagger.loss(ids, tags, lengths=[4, 2]).backward()
        >>> tagger.predict(ids, lengths=[4, 2])[1, 2:].tolist()
        [-1, -1]
    """

    def __init__(
        self,
        network: Any,
        n_labels: int,
        *,
        embedding: Callable[[Any], Any] | None = None,
        hidden: Sequence[int] = (),
        activation: Activation = "tanh",
        split: bool = False,
        crf: Chain | None = None,
        dropout: float = 0.0,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        rng = np.random.default_rng(rng)
        network = made_network("Transducer", network, embedding, rng=rng, dtype=dtype)
        self.n_labels = check_int("Transducer", "n_labels", n_labels)
        self.d_in: int = network.d_in
        width = width_out(network)
        check_embedding("Transducer", embedding, self.d_in)
        if crf is not None and not isinstance(crf, Chain):
            raise wrong_type("Transducer: crf must be a CRF, a PairwiseCRF or None", crf)
        reads_states = isinstance(crf, PairwiseCRF)
        reads = width if reads_states else n_labels
        if crf is not None and crf.n_labels != n_labels:
            raise ValueError(
                f"Transducer: there are {n_labels} labels, but the crf has {crf.n_labels}"
            )
        if crf is not None and crf.d_in != reads:
            raise ValueError(f"Transducer: the crf has d_in = {crf.d_in}, expected {reads}")
        if hidden and (split or reads_states):
            raise ValueError(
                "Transducer: hidden layers do not go with "
                f"{'split' if split else 'a PairwiseCRF, which reads the states'}; write hidden=()"
            )
        if split and reads_states:
            raise ValueError("Transducer: a PairwiseCRF reads the states; write split=False")
        self.embedding = embedding
        self.network = network
        self.head: FeedForward | SplitHead | None = None
        if split:
            self.head = SplitHead(*directions(network), n_labels, rng=rng, dtype=dtype)
        elif not reads_states:
            self.head = FeedForward(
                [width, *hidden, n_labels], activation, dropout=dropout, rng=rng, dtype=dtype
            )
        self.crf = crf
        self.dropout = Dropout(dropout, rng=rng)

    def features(self, x: Any, lengths: Any = None, mask: Any = None) -> tuple[Tensor, Bools]:
        """``(scores, real)``: the input of the softmax or the CRF, and the real positions.

        Args:
            x: Ids (batch, time) or (time,) where there is an Embedding, else vectors
                (batch, time, d_in) or (time, d_in).
            lengths, mask: As in ``unroll``.

        Returns:
            (batch, time, n_labels), before the softmax (under a PairwiseCRF the states, as wide
            as the network's outputs), and booleans (batch, time).
        """
        xs, real = vectors_of("Transducer", x, self.embedding, self.d_in, lengths, mask)
        hs, _ = self.network.unroll(self.dropout(xs), mask=real)
        hs = self.dropout(hs)
        if self.head is None:
            return hs, real
        with scope("head"):
            return self.head(hs), real

    def logits(self, x: Any, lengths: Any = None, mask: Any = None) -> Tensor:
        """The first of ``features``: the scores of the labels, (batch, time, n_labels)."""
        return self.features(x, lengths, mask)[0]

    __call__ = logits

    def loss(
        self,
        x: Any,
        targets: Any,
        lengths: Any = None,
        mask: Any = None,
        *,
        weight: Any = None,
        label_weight: Any = None,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """The local losses -log ŷ_t[label_t] put together; with a CRF -log P(labels), in nats.

        Args:
            targets: (batch, time) or (time,), label ids; at padding anything.
            weight: (batch, time), how much each position counts.
            label_weight: (n_labels,), how much positions of each label count.
            reduction: "mean" over positions (with weights: the weighted sum by the sum of the
                weights; with a CRF: over sequences), "sum", or "none".
        """
        check_reduction("Transducer.loss", reduction)
        scores, real = self.features(x, lengths, mask)
        if self.crf is not None:
            if weight is not None or label_weight is not None:
                raise ValueError(
                    "Transducer.loss: a CRF's loss is one a sequence and takes no weights of "
                    "positions or labels"
                )
            return self.crf.loss(scores, targets, mask=real, reduction=reduction)
        t = one_array("Transducer.loss", targets)
        if t.shape != real.shape:
            raise ValueError(
                f"Transducer.loss: expected targets {real.shape}, one a position, got {t.shape}"
            )
        t = class_ids(np.where(real, t, 0), self.n_labels, "Transducer.loss", "labels")
        if weight is None and label_weight is None:
            return cross_entropy(scores, t, mask=real, reduction=reduction)
        w = real.astype(scores.dtype)
        if weight is not None:
            w = np.where(real, w * self._weights("weight", weight, real.shape), 0)
        if label_weight is not None:
            w = w * self._weights("label_weight", label_weight, (self.n_labels,))[t]
        if (w < 0).any():
            raise ValueError("Transducer.loss: weights must be 0 or more")
        w = w.astype(scores.dtype)
        terms = cross_entropy(scores, t, mask=real, reduction="none") * w
        if reduction == "none":
            return terms
        total: Tensor = np.sum(terms)
        return total if reduction == "sum" else total / (float(w.sum()) or 1.0)

    @staticmethod
    def _weights(name: str, given: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        array = np.asarray(values(operand(given)))
        if array.shape != shape:
            raise ValueError(f"Transducer.loss: {name} must have shape {shape}, got {array.shape}")
        return array

    def probabilities(self, x: Any, lengths: Any = None, mask: Any = None) -> NDArray[Any]:
        """P(label at t), (batch, time, n_labels), 0 at padding, with a CRF its marginals.

        A plain array, computed without dropout.
        """
        with evaluating(self):
            scores, real = self.features(x, lengths, mask)
            if self.crf is not None:
                return self.crf.marginals(scores, mask=real)
            return np.where(real[..., None], np.asarray(values(softmax(scores))), 0)

    def predict(self, x: Any, lengths: Any = None, mask: Any = None) -> Ids:
        """The most probable label of each position, with a CRF the most probable sequence.

        (batch, time) integers, -1 at padding.
        """
        with evaluating(self):
            scores, real = self.features(x, lengths, mask)
            if self.crf is not None:
                return self.crf.decode(scores, mask=real)
            return np.where(real, np.argmax(np.asarray(values(scores)), axis=-1), -1)

    def illustration(
        self, words: Any = None, targets: Any = None, generate: int | None = None
    ) -> Illustration:
        """The labels of a sentence, with ``targets`` its loss.

        Args:
            words: Its words, or their ids.
            targets: A label for each word, names or ids; without them there is no loss.
            generate: Not given.
        """
        x, shown = self._labelled(words, generate)
        best = self._label_names(self.predict(x))
        with evaluating(self), recording():
            if targets is None:
                scores = self.logits(x)
                output = scores if self.crf is not None else probabilities(scores)
                return Illustration(output, shown, None, best)
            ids = self._label_ids(targets)
            return Illustration(self.loss(x, ids), shown, self._label_names(ids), best)

    def lattice(self, x: Any, words: Sequence[Any] | None = None) -> Lattice:
        """What the CRF scores over a sentence, for ``unspool.viz.lattice``.

        Args:
            x: Its words, or their ids.
            words: What stands below each position; by default its words.

        Raises:
            ValueError: There is no CRF, or as in ``illustration``.
        """
        if self.crf is None:
            raise ValueError("lattice: this Transducer has no CRF; make it with crf=CRF(...)")
        ids, shown = self._labelled(x, None)
        with evaluating(self), recording():
            found = self.crf.lattice(self.logits(ids), shown if words is None else words)
        if self.labels is None:
            return found
        return found._replace(labels=self._label_names(range(self.n_labels)))


def directions(network: Any) -> tuple[int, int]:
    """The widths of the two directions in a network's concatenated outputs."""
    top = network
    while isinstance(top, Stacked):
        top = top.members[-1]
    if not isinstance(top, Bidirectional) or top.merge != "concat":
        raise ValueError(
            'Transducer: split needs a Bidirectional with merge="concat" (on top), got '
            f"{type(top).__name__}"
            + (f" with merge={top.merge!r}" if isinstance(top, Bidirectional) else "")
        )
    return width_out(top.forward), width_out(top.backward)
