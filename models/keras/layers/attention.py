"""Attention by Keras's names, over the kinds of ``unspool.models``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....autograd import dropout
from ....checks import check_choice, check_fraction, check_int
from ...networks.attention import masked_softmax
from .. import initializers
from ..base import Layer, layer
from ..symbolic import shown


@layer
class Attention(Layer):
    """Attention by dot products: called with [query, value] or [query, value, key].

    ::

        a = softmax(query keyᵀ)      0 where the value is padding
        y = a value                  (batch, steps, d_value)

    Args:
        use_scale: Whether the products are scaled by a trained number.
        score_mode: "dot", or "concat" for the sum over tanh(query + key).
        dropout: The probability of dropping a weight in training.
        seed: Of the dropout.
        **options: Those of ``Layer``.

    Source: Luong, Pham and Manning (2015).
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        who = type(self).__name__
        self.use_scale = bool(use_scale)
        self.score_mode = check_choice(who, "score_mode", score_mode, ("dot", "concat"))
        self.dropout = check_fraction(who, "dropout", dropout)
        if seed is not None:
            self.rng = np.random.default_rng(seed)

    def check(self, input_shape: Any) -> None:
        """Raise ValueError unless the input is a list of two or three."""
        if not isinstance(input_shape, list) or len(input_shape) not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: expected a list [query, value] or [query, value, key], "
                f"got {shown(input_shape)}"
            )

    def build(self, input_shape: Any) -> None:
        """The scale, and one of tanh's."""
        self.scale = self.add_weight((), "ones") if self.use_scale else None
        concat = self.score_mode == "concat"
        self.concat_score_weight = self.add_weight((), "ones") if concat else None

    def scores(self, query: Any, key: Any) -> Any:
        """(batch, steps, d) and (batch, time, d) to (batch, steps, time)."""
        if self.concat_score_weight is None:
            scores = query @ np.swapaxes(key, -1, -2)
            return scores if self.scale is None else scores * self.scale
        pairs = query[:, :, None] + key[:, None]
        if self.scale is not None:
            pairs = pairs * self.scale
        return self.concat_score_weight * np.sum(np.tanh(pairs), axis=-1)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The context of each query, and the weights if they are asked for."""
        query, value, *rest = inputs
        scores = self.scores(query, rest[0] if rest else value)
        real = mask[1][:, None] if isinstance(mask, list) and mask[1] is not None else None
        if use_causal_mask:
            past = np.tri(*scores.shape[-2:]).astype(bool)
            real = past[None] if real is None else real & past
        if real is not None:
            real = np.broadcast_to(real, scores.shape)
        weights = masked_softmax(scores, real)
        if training and self.dropout:
            weights = dropout(weights, self.dropout, rng=self.generator)
        y = weights @ value
        if isinstance(mask, list) and mask[0] is not None:
            y = np.where(mask[0][..., None], y, 0)
        return (y, weights) if return_attention_scores else y

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the query."""
        return mask[0] if isinstance(mask, list) else None


@layer
class AdditiveAttention(Attention):
    """Attention by a sum over v * tanh(query + key), with a trained v.

    Args:
        use_scale: Whether there is a v.
        dropout: The probability of dropping a weight in training.
        **options: Those of ``Layer``.

    Source: Bahdanau, Cho and Bengio (2015), whose W and U are Dense layers in front.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(use_scale, dropout=dropout, **options)

    def build(self, input_shape: Any) -> None:
        """v: (d,)."""
        width = input_shape[0][-1]
        self.scale = self.add_weight((width,), "glorot_uniform") if self.use_scale else None

    def scores(self, query: Any, key: Any) -> Any:
        """(batch, steps, d) and (batch, time, d) to (batch, steps, time)."""
        hidden = np.tanh(query[:, :, None] + key[:, None])
        return np.sum(hidden if self.scale is None else hidden * self.scale, axis=-1)


@layer
class MultiHeadAttention(Layer):
    """Scaled dot-product attention several times side by side, each on its own projections.

    Called with (query, value) or (query, value, key).

    Args:
        num_heads: The number of heads.
        key_dim: The width of a head's queries and keys.
        value_dim: The width of a head's values; None for ``key_dim``.
        dropout: The probability of dropping a weight in training.
        use_bias: Whether the projections have biases.
        output_shape: The width of the output; None for that of the query.
        kernel_initializer, bias_initializer: Of the projections.
        **options: Those of ``Layer``.

    Source: Vaswani et al. (2017).
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        who = "MultiHeadAttention"
        self.num_heads = check_int(who, "num_heads", num_heads)
        self.key_dim = check_int(who, "key_dim", key_dim)
        self.value_dim = self.key_dim if value_dim is None else value_dim
        self.dropout = check_fraction(who, "dropout", dropout)
        self.use_bias, self.width_out = bool(use_bias), output_shape
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As any layer, with the tensors as arguments instead of a list."""
        query, *others = args
        given = [kwargs.pop(name) for name in ("value", "key") if name in kwargs]
        if isinstance(query, list):  # a call that a graph repeats
            return super().__call__(query, **kwargs)
        tensors = [query, *others, *given]
        return super().__call__(tensors if len(tensors) > 1 else tensors * 2, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Query, key and value: (d, heads, width) and (heads, width); output: back to d."""
        d_query, d_value = input_shape[0][-1], input_shape[1][-1]
        d_key = input_shape[2][-1] if len(input_shape) > 2 else d_value
        heads, make = self.num_heads, initializers.get(self.kernel_initializer)
        d_out = self.width_out or d_query
        sizes = {
            "query": ((d_query, heads, self.key_dim), (heads, self.key_dim)),
            "key": ((d_key, heads, self.key_dim), (heads, self.key_dim)),
            "value": ((d_value, heads, self.value_dim), (heads, self.value_dim)),
            "output": ((heads, self.value_dim, d_out), (d_out,)),
        }
        for name, (kernel, bias) in sizes.items():
            setattr(self, f"{name}_kernel", self.add_weight(kernel, make))
            b = self.add_weight(bias, self.bias_initializer) if self.use_bias else None
            setattr(self, f"{name}_bias", b)

    def projected(self, name: str, x: Any) -> Any:
        """(batch, time, d) to (batch, heads, time, width)."""
        y = np.einsum("btd,dhk->bhtk", x, getattr(self, f"{name}_kernel"))
        b = getattr(self, f"{name}_bias")
        return y if b is None else y + b[:, None]

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The output (batch, steps, d), and the weights if they are asked for."""
        query, value, *rest = inputs
        q, k, v = (
            self.projected(name, x)
            for name, x in (("query", query), ("key", rest[0] if rest else value), ("value", value))
        )
        scores = (q @ np.swapaxes(k, -1, -2)) * (1 / self.key_dim**0.5)
        real = np.ones(scores.shape, bool)
        if isinstance(mask, list) and mask[1] is not None:
            real &= mask[1][:, None, None]
        if attention_mask is not None:
            real &= np.asarray(attention_mask, bool)[:, None]
        if use_causal_mask:
            real &= np.tri(*scores.shape[-2:]).astype(bool)
        weights = masked_softmax(scores, None if real.all() else real)
        kept = dropout(weights, self.dropout, rng=self.generator) if training else weights
        y = np.einsum("bhtk,hkd->btd", kept @ v, self.output_kernel)
        if self.output_bias is not None:
            y = y + self.output_bias
        return (y, weights) if return_attention_scores else y

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the query."""
        return mask[0] if isinstance(mask, list) else None

    output_kernel: Any
    output_bias: Any
