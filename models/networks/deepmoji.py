"""Transfer learning: a network for one task that ``chain_thaw`` fine-tunes to another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import scope, values
from ...cells import LSTM, Bidirectional, Module, register
from ...checks import check_choice, check_int
from .acceptor import POOLINGS, Bools, Classifier, vectors_of
from .attention import AttentionPooling
from .layers import Embedding, evaluating


@register
class DeepMoji(Classifier):
    """Bidirectional LSTMs whose layers all feed the head, by skip connections.

    ::

        e_t = tanh(E x_t)
        h_t = BiLSTM(e_t), h'_t = BiLSTM(h_t)
        v = Σ_t a_t [h'_t; h_t; e_t]      a_t = softmax_t([h'_t; h_t; e_t] · w), or 1 / time
        ŷ = softmax(V v + b)

    Args:
        vocab_size: The number of ids.
        d_out: The number of classes.
        d: The width of an embedding.
        cells: The width of each LSTM, of which a layer has two.
        layers: The number of bidirectional layers.
        pooling: "attention" as the paper has it, or "mean", the average over time of the
            lectures' drawing.
        **options: Those of ``Classifier``.

    Source: Felbo et al. (2017), "Using millions of emoji occurrences to learn any-domain
    representations for detecting sentiment, emotion and sarcasm". With the defaults and a
    vocabulary of 50,000 it has the paper's 22,395,200 parameters for 64 emojis.

    Example:
        >>> from unspool.models import DeepMoji
        >>> model = DeepMoji(100, 64, d=8, cells=5, rng=0)
        >>> ids = np.array([[4, 5, 6, 7], [8, 9, 0, 0]])
        >>> model.probabilities(ids, lengths=[4, 2]).shape
        (2, 64)
        >>> model.attention(ids, lengths=[4, 2]).round(2)[1, 2:]
        array([0., 0.], dtype=float32)
        >>> model.new_head(2, rng=1)  # and chain_thaw(model, model.chain(), task) tunes it
    """

    def __init__(
        self,
        vocab_size: int,
        d_out: int,
        d: int = 256,
        cells: int = 512,
        layers: int = 2,
        pooling: str = "attention",
        *,
        rng: Any = None,
        dtype: Any = np.float32,
        **options: Any,
    ) -> None:
        name = "DeepMoji"
        d, cells = check_int(name, "d", d), check_int(name, "cells", cells)
        layers = check_int(name, "layers", layers)
        self.pooling = check_choice(name, "pooling", pooling, ["attention", "mean"])
        rng = np.random.default_rng(rng)
        kind: dict[str, Any] = {"rng": rng, "dtype": dtype}
        embedding = Embedding(vocab_size, d, **kind)
        widths = [d] + [2 * cells] * layers
        self.layers = [
            Bidirectional(LSTM(n, cells, **kind), LSTM(n, cells, **kind)) for n in widths[:-1]
        ]
        if pooling == "attention":
            self.pool = AttentionPooling(sum(widths), **kind)
        super().__init__(d, sum(widths), d_out, embedding=embedding, **kind, **options)

    def _seen(self, xs: Any, real: Bools) -> Any:
        """The outputs of all layers, top first, concatenated: (batch, time, width)."""
        seen = [np.tanh(xs)]
        for i, layer in enumerate(self.layers):
            with scope(str(i)):
                seen.insert(0, layer.unroll(seen[0], mask=real)[0])
        return np.concatenate(seen, axis=-1)

    def read(self, xs: Any, real: Bools) -> Any:
        """The outputs of all layers, pooled over time."""
        seen = self._seen(xs, real)
        with scope(self.pooling):
            pool = self.pool if self.pooling == "attention" else POOLINGS[self.pooling]
            return pool(seen, real)

    def attention(self, x: Any, lengths: Any = None, mask: Any = None) -> NDArray[Any]:
        """The attention weights, (batch, time), rows that sum to 1: a plain array."""
        if self.pooling != "attention":
            raise ValueError(
                f'DeepMoji.attention: pooling is {self.pooling!r}; make it with pooling="attention"'
            )
        with evaluating(self):
            xs, real = vectors_of("DeepMoji", x, self.embedding, self.d_in, lengths, mask)
            return np.asarray(values(self.pool.weights(self._seen(xs, real), real)))

    def chain(self) -> dict[str, Module]:
        """The layers by name, lowest first and the head last: the argument of ``chain_thaw``."""
        assert isinstance(self.embedding, Embedding)
        chain: dict[str, Module] = {"embedding": self.embedding}
        chain.update({f"layers.{i}": layer for i, layer in enumerate(self.layers)})
        if self.pooling == "attention":
            chain["pool"] = self.pool
        return {**chain, "head": self.head}
