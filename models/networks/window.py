"""The feedforward language model: a window over the text, without a memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd import Tensor, scope, values
from ...cells import real_positions, register
from ...checks import check_int
from .layers import Activation, Dense, Dropout, Embedding, FeedForward
from .text_model import Ids, TextModel


@register
class WindowLanguageModel(TextModel):
    """The feedforward language model: it conditions on the last ``window`` tokens only.

    ::

        x_t = [E w_{t-n+1}; ...; E w_t]       n = window
        h_t = tanh(x_t W + b)                 any number of hidden layers
        P(w_{t+1} | w_{t-n+1} ... w_t) = softmax(h_t V + c)

    Positions before the text have an embedding of their own, the last row of E. The state, the
    carry from one piece of a long text to the next, is the window - 1 ids before it.

    Args:
        vocab_size: The number of ids.
        d: The width of an embedding.
        window: The number of tokens in the window; with 3 it is a 4-gram model.
        hidden: The widths of the hidden layers.
        activation: Of the hidden layers; as in Dense.
        dropout: The probability of dropping an element of embeddings and hidden layers in
            training.

    Source: Bengio et al. (2003), without their direct connections from x to the scores.

    Example:
        >>> from unspool.models import WindowLanguageModel
        >>> model = WindowLanguageModel(vocab_size=10, d=8, window=3, hidden=[16], rng=0)
        >>> ids = np.array([[1, 4, 5, 2], [1, 6, 2, 0]])
        >>> model.logits(ids).shape
        (2, 4, 10)
        >>> model.loss(ids, lengths=[4, 3]).backward()
        >>> model.generate([1], steps=5, rng=0).shape
        (5,)
    """

    def __init__(
        self,
        vocab_size: int,
        d: int,
        window: int = 3,
        hidden: Sequence[int] = (100,),
        activation: Activation = "tanh",
        dropout: float = 0.0,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        name = "WindowLanguageModel"
        self.vocab_size = check_int(name, "vocab_size", vocab_size)
        self.d, self.window = check_int(name, "d", d), check_int(name, "window", window)
        if not len(hidden):
            raise ValueError(f"{name}: hidden must be the widths of hidden layers, as in [100]")
        rng = np.random.default_rng(rng)
        self.embedding = Embedding(vocab_size + 1, d, rng=rng, dtype=dtype)
        widths = [window * d, *hidden]
        self.hidden = FeedForward(
            widths, activation, final=activation, dropout=dropout, rng=rng, dtype=dtype
        )
        self.scores = Dense(widths[-1], vocab_size, rng=rng, dtype=dtype)
        self.dropout = Dropout(dropout, rng=rng)

    def initial_state(self, batch: int | None = None) -> tuple[Tensor]:
        """The ids before a text begins: (batch, window - 1) or (window - 1,)."""
        shape = (self.window - 1,) if batch is None else (batch, self.window - 1)
        return (Tensor(np.full(shape, self.vocab_size), name="before"),)

    def _outputs(self, ids: Ids, state: Any, lengths: Any) -> tuple[Any, Any]:
        batch = None if ids.ndim == 1 else len(ids)
        (before,) = self._fitting(state, batch) if state is not None else self.initial_state(batch)
        whole_text = np.concatenate([before.data, ids], axis=-1)
        n, time = self.window, ids.shape[-1]
        windows = np.lib.stride_tricks.sliding_window_view(whole_text, n, axis=-1)
        es = self.dropout(self.embedding(windows))  # (..., time, window, d)
        hs = self.hidden(es.reshape(*ids.shape, n * self.d))
        real = real_positions(type(self).__name__, ids.shape, lengths, None)
        if real is None:
            after = whole_text[..., time:]
        else:
            ends = real.sum(-1)[:, None] + np.arange(n - 1)
            after = np.take_along_axis(whole_text, ends, axis=-1)
        return hs, (Tensor(after, name="before"),)

    def _scores(self, h: Any) -> Any:
        with scope("scores"):
            return self.scores(self.dropout(h))

    def _fitting(self, state: Any, batch: int | None) -> tuple[Tensor]:
        """A given state, checked: the ids before the text."""
        (wanted,) = self.initial_state(batch)
        shapes = [np.shape(values(part)) for part in state]
        if shapes != [wanted.shape]:
            raise ValueError(
                f"WindowLanguageModel: the state must be ids (before,) of {wanted.shape}, got "
                f"{shapes}"
            )
        return (state[0] if isinstance(state[0], Tensor) else Tensor(state[0]),)
