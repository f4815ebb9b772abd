"""Attention: a mean of values, weighted by how well their keys match a query.

Every kind computes context = softmax(scores) V, with another score of a query and a key; a kind
of one's own is a subclass with ``scores``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...autograd import Parameter, describe, operand, scope, softmax
from ...cells import Module, glorot_uniform, real_positions, register
from ...checks import check_choice, check_float, check_int


class Memory(NamedTuple):
    """Keys and values of attention, prepared once for any number of queries."""

    keys: Any  # (..., time, width), projected as the kind of attention compares them
    values: Any  # (..., time, d_value), 0 at padded positions
    mask: NDArray[np.bool_] | None  # (..., time), True at real positions; None where all are


class Attention(Module):
    """Base of the kinds of attention.

    ::

        a_ij = softmax_j(score(q_i, k_j))     0 where j is padding
        c_i = Σ_j a_ij v_j

    Args:
        d_query: The width of a query.
        d_key: The width of a key.
        scale: A factor of the scores; "learned" for a parameter ``g`` that begins at 1.

    Source: Bahdanau, Cho and Bengio (2015); Luong, Pham and Manning (2015).

    Example:
        >>> from unspool.models.networks.attention import DotAttention
        >>> keys = np.array([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]])
        >>> mask = np.array([True, True, False])
        >>> context, weights = DotAttention(2, 2)(np.array([2.0, 0.0]), keys, mask=mask)
        >>> weights.round(2), context.round(2)
        (array([0.88, 0.12, 0.  ]), array([0.88, 0.12]))
    """

    def __init__(
        self,
        d_query: int,
        d_key: int,
        *,
        scale: float | str = 1.0,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        name = type(self).__name__
        if isinstance(scale, str):
            check_choice(name, "scale", scale, ["learned"], also="a number")
            self.g = Parameter(np.ones((), dtype))
        self.scale = scale if isinstance(scale, str) else check_float(name, "scale", scale)
        self.d_query, self.d_key = (
            check_int(name, "d_query", d_query),
            check_int(name, "d_key", d_key),
        )
        self.prepare(np.random.default_rng(rng), dtype)

    def prepare(self, rng: np.random.Generator, dtype: Any) -> None:
        """Make the parameters, and check the widths; by default there are none."""

    def compared(self, keys: Any) -> Any:
        """The precomputed key projection, (..., time, width), which no query changes."""
        return keys

    def scores(self, queries: Any, keys: Any) -> Any:
        """(..., steps, d_query) and compared keys (..., time, width) to (..., steps, time)."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no scores(queries, keys), the score of each key for "
            "each query"
        )

    def memory(self, keys: Any, values: Any = None, *, mask: Any = None) -> Memory:
        """Prepare keys and values for any number of queries.

        Args:
            keys: (..., time, d_key).
            values: (..., time, d_value); None for the keys.
            mask: (..., time), booleans: False at padding, whose keys and values are not used.
        """
        name = type(self).__name__
        keys = operand(keys)
        if np.ndim(keys) < 2 or keys.shape[-1] != self.d_key:
            raise ValueError(
                f"{name}: expected keys (..., time, {self.d_key}), got {describe(keys)}"
            )
        values = keys if values is None else operand(values)
        if np.shape(values)[:-1] != keys.shape[:-1]:
            raise ValueError(
                f"{name}: expected values {keys.shape[:-1]} and a width, one for each key, got "
                f"{describe(values)}"
            )
        real = real_positions(name, keys.shape[:-1], None, mask)
        if real is not None and real.all():
            real = None
        if real is not None:
            same = values is keys
            keys = np.where(real[..., None], keys, 0)
            values = keys if same else np.where(real[..., None], values, 0)
        with scope("keys"):
            return Memory(self.compared(keys), values, real)

    def read(
        self, queries: Any, memory: Memory, *, query_mask: Any = None, bias: Any = None
    ) -> tuple[Any, Any]:
        """``(context, weights)`` of queries in a prepared memory; see calling."""
        queries = operand(queries)
        keys, values, real = memory
        one = np.ndim(queries) == np.ndim(keys) - 1
        shape = np.shape(queries)
        if (
            shape[-1:] != (self.d_query,)
            or shape[: -1 if one else -2] != keys.shape[:-2]
            or not (one or len(shape) == np.ndim(keys))
        ):
            batch = "".join(f"{n}, " for n in keys.shape[:-2])
            raise ValueError(
                f"{type(self).__name__}: expected queries ({batch}steps, {self.d_query}), or "
                f"({batch}{self.d_query}) for one each, got {describe(queries)}"
            )
        asked = real_positions(type(self).__name__, shape[:-1], None, query_mask)
        seen = None if real is None else real[..., None, :]
        if asked is not None:
            rows = asked[..., None, None] if one else asked[..., None]
            seen = rows & np.ones(keys.shape[-2], bool) if seen is None else rows & seen
            queries = np.where(asked[..., None], queries, 0)
        with scope("attention"):
            scores = self.scores(queries[..., None, :] if one else queries, keys)
            if self.scale == "learned":
                scores = scores * self.g
            elif self.scale != 1:
                scores = scores * self.scale
            if bias is not None:
                scores = self._biased(scores, bias, one)
            weights = masked_softmax(scores, seen)
            context = weights @ values
        if one:
            context, weights = context[..., 0, :], weights[..., 0, :]
        return context, weights

    def __call__(
        self,
        queries: Any,
        keys: Any,
        values: Any = None,
        *,
        mask: Any = None,
        query_mask: Any = None,
        bias: Any = None,
    ) -> tuple[Any, Any]:
        """``(context, weights)``.

        Args:
            queries: (..., steps, d_query), or (..., d_query) for one query each.
            keys, values, mask: As in ``memory``. The weight of padding is exactly 0; where all is
                padding, weights and context are 0.
            query_mask: (..., steps), or (...) for one query each, booleans: False at padding,
                whose weights and context are 0.
            bias: Added to the scores before the softmax, (..., steps, time) or broadcast to it;
                (..., time) for one query each.

        Returns:
            The context (..., steps, d_value), and the attention matrix (..., steps, time), whose
            rows sum to 1; without the axis of steps for one query each.
        """
        memory = self.memory(keys, values, mask=mask)
        return self.read(queries, memory, query_mask=query_mask, bias=bias)

    def _biased(self, scores: Any, bias: Any, one: bool) -> Any:
        bias = operand(bias)
        if one and np.ndim(bias):
            bias = bias[..., None, :]
        try:
            fits = np.broadcast_shapes(np.shape(bias), scores.shape) == scores.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                f"{type(self).__name__}: expected a bias that broadcasts to the scores "
                f"{scores.shape}, got {describe(bias)}"
            )
        return scores + bias


def masked_softmax(scores: Any, mask: NDArray[np.bool_] | None) -> Any:
    """softmax over the last axis, with exactly 0 where the mask is False."""
    if mask is None:
        return softmax(scores)
    nothing = ~mask.any(-1, keepdims=True)
    weights = softmax(np.where(mask | nothing, scores, -np.inf))
    return np.where(mask, weights, 0) if nothing.any() else weights


@register
class DotAttention(Attention):
    """score = q · k, for queries and keys of one width.

    Args: those of ``Attention``.

    Source: Luong, Pham and Manning (2015), "dot".
    """

    def prepare(self, rng: np.random.Generator, dtype: Any) -> None:
        """Check that the widths are equal."""
        if self.d_query != self.d_key:
            raise ValueError(
                f"{type(self).__name__}: queries and keys must have one width, got {self.d_query} "
                f"and {self.d_key}; BilinearAttention and AdditiveAttention take any two"
            )

    def scores(self, queries: Any, keys: Any) -> Any:
        """Q Kᵀ."""
        return queries @ np.swapaxes(keys, -1, -2)


@register
class ScaledDotAttention(DotAttention):
    """score = q · k / √d: of variance 1 where the elements of q and k have it.

    Args: those of ``Attention``.

    Source: Vaswani et al. (2017).
    """

    def scores(self, queries: Any, keys: Any) -> Any:
        """Q Kᵀ / √d."""
        return super().scores(queries, keys) * (1 / self.d_key**0.5)


@register
class BilinearAttention(Attention):
    """score = q W k.

    Args: those of ``Attention``.

    Source: Luong, Pham and Manning (2015), "general".
    """

    def prepare(self, rng: np.random.Generator, dtype: Any) -> None:
        """W: (d_query, d_key), Glorot-uniform."""
        self.W = Parameter(glorot_uniform(rng, self.d_query, self.d_key, dtype))

    def compared(self, keys: Any) -> Any:
        """W k for every key."""
        return keys @ self.W.T

    def scores(self, queries: Any, keys: Any) -> Any:
        """Q (W Kᵀ)."""
        return queries @ np.swapaxes(keys, -1, -2)


@register
class AdditiveAttention(Attention):
    """score = v · tanh(q W + k U + b), a network of one hidden layer, as wide as the query.

    Args: those of ``Attention``.

    Source: Bahdanau, Cho and Bengio (2015).
    """

    def prepare(self, rng: np.random.Generator, dtype: Any) -> None:
        """W: (d_query, d), U: (d_key, d), b and v: (d,), with d = d_query."""
        d = self.d_query
        self.W = Parameter(glorot_uniform(rng, self.d_query, d, dtype))
        self.U = Parameter(glorot_uniform(rng, self.d_key, d, dtype))
        self.b = Parameter(np.zeros(d, dtype))
        self.v = Parameter(glorot_uniform(rng, d, 1, dtype)[:, 0])

    def compared(self, keys: Any) -> Any:
        """K U + b."""
        return keys @ self.U + self.b

    def scores(self, queries: Any, keys: Any) -> Any:
        """v · tanh(q W + k U + b) for every pair, (..., steps, time, d) in between."""
        hidden = np.tanh((queries @ self.W)[..., :, None, :] + keys[..., None, :, :])
        return hidden @ self.v


@register
class AttentionPooling(Module):
    """Self-attentive pooling: the mean of a sequence's vectors, weighted by their own scores.

    ::

        a_t = softmax_t(h_t · w)      0 at padding
        v = Σ_t a_t h_t

    Args:
        d: The width of the vectors.

    Source: Felbo et al. (2017), after Yang et al. (2016).

    Example:
        >>> from unspool.models import AttentionPooling
        >>> pool = AttentionPooling(2, rng=0)
        >>> pool.w.data[...] = [1, 0]
        >>> hs = np.array([[3.0, 1.0], [3.0, 5.0], [9.0, 9.0]])
        >>> pool.weights(hs, np.arange(3) < 2).data
        array([0.5, 0.5, 0. ])
    """

    def __init__(self, d: int, *, rng: Any = None, dtype: Any = np.float32) -> None:
        self.d = check_int("AttentionPooling", "d", d)
        self.w = Parameter(glorot_uniform(np.random.default_rng(rng), d, 1, dtype)[:, 0])

    def weights(self, hs: Any, real: NDArray[np.bool_]) -> Any:
        """The weights of the positions, (..., time), for vectors (..., time, d)."""
        return masked_softmax(operand(hs) @ self.w, real)

    def __call__(self, hs: Any, real: NDArray[np.bool_]) -> Any:
        """Vectors (..., time, d) and where they are real, (..., time), to (..., d)."""
        hs = np.where(real[..., None], hs, 0)
        return np.sum(self.weights(hs, real)[..., None] * hs, axis=-2)


ATTENTIONS: dict[str, type[Attention]] = {
    "dot": DotAttention,
    "scaled_dot": ScaledDotAttention,
    "bilinear": BilinearAttention,
    "additive": AdditiveAttention,
}
