"""A recurrent language model: the probability of each next token, given all before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...autograd import Parameter, Tensor, scope
from ...cells import LSTM, Cell, Stacked, State, cell_maker, glorot_uniform, register, width_out
from ...checks import check_int
from .layers import Dropout, Embedding, make_layers
from .text_model import Ids, TextModel


@register
class LanguageModel(TextModel):
    """The RNN language model: P(w_{t+1} | w_1 ... w_t) = softmax(V h_t).

    ::

        e_t = E x_t              (x_t one-hot: row w_t of E)
        h_t = cell(e_t, h_{t-1})
        y_t = softmax(V h_t)     tied: V is E itself

    Dropout is applied to embeddings, to outputs between layers, and to h_t.

    Args:
        vocab_size: The number of ids.
        d: The width of embeddings and states.
        cell: The class of a layer, its name ("lstm"), a Cell (d, d) as the one layer, or a function
            of yours that is called as ``cell(d_in, d_h, rng=, dtype=)``.
        layers: The number of stacked layers.
        tied: Whether V is E, the same Parameter, counted once.
        dropout: The probability with which an element is dropped.

    Source: Mikolov et al. (2010); weight tying from Press and Wolf (2017) and Inan et al.
    (2017); where dropout stands from Zaremba et al. (2014).

    Example:
        >>> from unspool.models import LanguageModel
        >>> model = LanguageModel(vocab_size=10, d=8, rng=0)
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
        cell: Callable[..., Any] | Cell | str = LSTM,
        layers: int = 1,
        tied: bool = True,
        dropout: float = 0.0,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        self.vocab_size = check_int("LanguageModel", "vocab_size", vocab_size)
        self.d = check_int("LanguageModel", "d", d)
        self.layers = check_int("LanguageModel", "layers", layers)
        self.tied = bool(tied)
        rng = np.random.default_rng(rng)
        self.embedding = Embedding(vocab_size, d, rng=rng, dtype=dtype)
        members = make_layers("LanguageModel", cell, d, d, layers, rng=rng, dtype=dtype)
        self.cell: Any = members[0] if layers == 1 else Stacked(members, dropout=dropout, rng=rng)
        self.dropout = Dropout(dropout, rng=rng)
        width = width_out(self.cell)
        if tied and width != d:
            raise ValueError(
                f"LanguageModel: tied, V is E (vocab_size, {d}), but the cell's output has width "
                f"{width}; write tied=False"
            )
        V = self.embedding.E if tied else Parameter(glorot_uniform(rng, vocab_size, width, dtype))
        self.V = V

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments; the cell's class and options are read off a layer."""
        layer = self.cell.members[0] if isinstance(self.cell, Stacked) else self.cell
        return {**super().arguments(), "cell": cell_maker(layer)}

    def initial_state(self, batch: int | None = None) -> State:
        """The cell's."""
        return self.cell.initial_state(batch)

    def _outputs(self, ids: Ids, state: State | None, lengths: Any) -> tuple[Any, State]:
        es = self.dropout(self.embedding(ids))
        return self.cell.unroll(es, state, lengths=lengths)

    def _scores(self, h: Any) -> Tensor:
        """V h, for h (..., d)."""
        with scope("scores"):
            scores: Tensor = self.dropout(h) @ self.V.T
        return scores
