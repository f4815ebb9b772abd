"""A network that is trained on one task and tuned to another, a layer at a time.

``DeepMoji`` is the network, ``chain_thaw`` the tuning, which serves any model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Parameter, scope
from ...autograd.tensor import values
from ...cells import LSTM, Bidirectional, Module
from ..training.optim import Adam, Optimizer
from ..training.training import History, Task, fit
from .acceptor import POOLINGS, Bools, Classifier, check_pooling, vectors_of
from .attention import AttentionPooling
from .layers import Embedding, evaluating, whole

__all__ = ["DeepMoji", "chain_thaw"]


class DeepMoji(Classifier):
    """Bidirectional LSTMs, each layer of which is seen by the head too, by skip connections.

    ::

        e_t = tanh(E x_t)
        h_t = BiLSTM(e_t), h'_t = BiLSTM(h_t)
        v = Σ_t a_t [h'_t; h_t; e_t]      a_t = softmax_t([h'_t; h_t; e_t] · w), or 1 / time
        ŷ = softmax(V v + b)

    Args:
        vocab_size: How many ids there are.
        d_out: How many classes there are.
        d: The width of an embedding.
        cells: The width of each LSTM, of which a layer has two.
        layers: How many bidirectional layers there are.
        pooling: "attention" as the paper has it, or "mean", the average over time of the
            lectures' drawing.
        rng: A Generator, a seed, or None.
        dtype: Of the parameters.
        **options: ``hidden``, ``activation``, ``dropout`` and ``objective`` of ``Classifier``.

    Raises:
        ValueError, TypeError: As in ``Classifier``, or there is no such pooling.

    Source: Felbo et al. (2017), "Using millions of emoji occurrences to learn any-domain
    representations for detecting sentiment, emotion and sarcasm". With the defaults and a
    vocabulary of 50,000 it has the paper's 22,395,200 parameters for 64 emojis.

    Example:
        >>> import numpy as np
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
        d, cells = whole(name, "d", d), whole(name, "cells", cells)
        layers = whole(name, "layers", layers)
        self.pooling = check_pooling(name, pooling, ["attention", "mean"])
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
        """What the layers give, the uppermost first, side by side: (batch, time, width)."""
        seen = [np.tanh(xs)]
        for i, layer in enumerate(self.layers):
            with scope(str(i)):
                seen.insert(0, layer.unroll(seen[0], mask=real)[0])
        return np.concatenate(seen, axis=-1)

    def read(self, xs: Any, real: Bools) -> Any:
        """What the layers give, pooled over time."""
        seen = self._seen(xs, real)
        with scope(self.pooling):
            pool = self.pool if self.pooling == "attention" else POOLINGS[self.pooling]
            return pool(seen, real)

    def attention(self, x: Any, lengths: Any = None, mask: Any = None) -> NDArray[Any]:
        """How much each position counts, (batch, time), rows that sum to 1: a plain array.

        Args and errors are those of ``logits``.

        Raises:
            ValueError: The model has no attention.
        """
        if self.pooling != "attention":
            raise ValueError('DeepMoji.attention: this one averages; make it with "attention"')
        with evaluating(self):
            xs, real = vectors_of("DeepMoji", x, self.embedding, self.d_in, lengths, mask)
            return np.asarray(values(self.pool.weights(self._seen(xs, real), real)))

    def chain(self) -> dict[str, Module]:
        """The layers by name, the lowest first and the head last, as ``chain_thaw`` wants them."""
        assert isinstance(self.embedding, Embedding)
        chain: dict[str, Module] = {"embedding": self.embedding}
        chain.update({f"layers.{i}": layer for i, layer in enumerate(self.layers)})
        if self.pooling == "attention":
            chain["pool"] = self.pool
        return {**chain, "head": self.head}


def chain_thaw(
    model: Module,
    layers: Mapping[str, Module],
    task: Task,
    *,
    rate: float = 1e-3,
    next_rate: float = 1e-4,
    optimizer: Callable[[list[Parameter], float], Optimizer] = Adam,
    **options: Any,
) -> dict[str, History]:
    """Tune a trained model to a new task: its new head first, then a layer at a time, then all.

    In each stage the parameters of the other layers are frozen. What was frozen before the call
    stays so in every stage, and at the end all is frozen or not as it was.

    Args:
        model: A Module that fits the task.
        layers: Its layers by name, the lowest first, the new head last.
        task: What to learn.
        rate: The learning rate of the first stage, that of the head.
        next_rate: The learning rate of the later ones.
        optimizer: Makes one from parameters and a rate; one for each stage.
        **options: Those of ``fit`` but ``checkpoint``, which is of one training. With
            ``validation`` each stage ends with the best parameters that it found.

    Returns:
        The history of each stage by name, in their order; the last one is "all".

    Raises:
        ValueError: There is no layer, one is named "all", or one holds parameters that are not
            the model's; there is a ``checkpoint``; or as in ``fit``.

    Source: Felbo et al. (2017), section 3.3.

    Example:
        >>> from unspool.models import DeepMoji, Labelled, chain_thaw
        >>> model = DeepMoji(20, 2, d=4, cells=3, rng=0)
        >>> task = Labelled([[4, 5, 6], [7, 8]], [0, 1], rng=0)
        >>> list(chain_thaw(model, model.chain(), task, epochs=1, progress=False))
        ['head', 'embedding', 'layers.0', 'layers.1', 'pool', 'all']
    """
    if not layers or "all" in layers:
        raise ValueError(
            "chain_thaw: layers are the model's by name, the head last, none of them named "
            f'"all", got {", ".join(layers) or "none"}'
        )
    if "checkpoint" in options:
        raise ValueError("chain_thaw: a checkpoint is of one training, and these are several")
    trained = [p for p in model.parameters() if p.requires_grad]
    stages: dict[str, list[Parameter]] = {}
    *below, head = layers
    for name in (head, *below):
        own = layers[name].parameters()
        if not set(own) <= set(model.parameters()):
            raise ValueError(f"chain_thaw: {name} holds parameters that are not the model's")
        stages[name] = [p for p in trained if p in set(own)]
    stages["all"] = trained
    histories = {}
    try:
        for stage, (name, parameters) in enumerate(stages.items()):
            if not parameters:
                continue  # nothing of this layer was to be trained
            model.freeze()
            for parameter in parameters:
                parameter.requires_grad = True
            learner = optimizer(parameters, next_rate if stage else rate)
            histories[name] = fit(model, task, learner, **options)
    finally:
        model.freeze()
        for parameter in trained:
            parameter.requires_grad = True
    return histories
