"""Acceptors: one label for a whole sequence.

Each encodes a sequence as one vector and classifies it with the same head, an MLP; the encoders
are a recurrent network, a bag of embeddings, or a convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import (
    Parameter,
    Reduction,
    Tensor,
    binary_cross_entropy,
    conv1d,
    cross_entropy,
    describe,
    floats,
    hinge_loss,
    max_over_time,
    one_array,
    operand,
    recording,
    relu,
    scope,
    sigmoid,
    softmax,
    values,
)
from ...cells import (
    MERGES,
    Bidirectional,
    Cell,
    Stacked,
    glorot_uniform,
    real_positions,
    register,
    width_out,
)
from ...checks import check_choice, check_int
from .illustration import Illustrated, Illustration, probabilities
from .layers import Activation, Dropout, Embedding, FeedForward, evaluating, made_network

Bools = NDArray[np.bool_]


def check_embedding(who: str, embedding: Any, d_in: int) -> None:
    """Raise ValueError if an Embedding has another width than the network reads."""
    if isinstance(embedding, Embedding) and embedding.d != d_in:
        raise ValueError(f"{who}: the embedding has width {embedding.d}, expected d_in = {d_in}")


def vectors_of(
    who: str, x: Any, embedding: Callable[[Any], Any] | None, d_in: int, lengths: Any, mask: Any
) -> tuple[Any, Bools]:
    """The vectors of a sequence, 0 at padding, and where there are real ones.

    x is (batch, time, d_in) or (time, d_in); with an Embedding ids, any at padding; with another
    ``embedding`` its argument.
    """
    if isinstance(embedding, Embedding):
        ids = one_array(who, x)
        if ids.ndim not in (1, 2):
            raise ValueError(f"{who}: expected ids (batch, time) or (time,), got {describe(ids)}")
        real = real_positions(who, ids.shape, lengths, mask)
        xs = embedding(ids if real is None else np.where(real, ids, 0))
    else:
        xs = embedding(x) if embedding is not None else x
        xs = floats(xs if isinstance(xs, Tensor) else one_array(who, xs, operand))
        real = None
    shape = np.shape(xs)
    if len(shape) not in (2, 3) or shape[-1] != d_in:
        raise ValueError(
            f"{who}: expected vectors (batch, time, {d_in}) or (time, {d_in}), got {describe(xs)}"
            + ("; ids want an embedding=" if embedding is None else " from the embedding")
        )
    if real is None:
        real = real_positions(who, shape[:-1], lengths, mask)
    if real is None:
        return xs, np.ones(shape[:-1], bool)
    return (xs if real.all() else np.where(real[..., None], xs, 0)), real


def final_output(network: Any, state: Any) -> Any:
    """The output that belongs to the last state of an unroll, (batch, d_out), not ``ys[:, -1]``.

    A Bidirectional merges forward's, after the last position, with backward's, after the first;
    a residual Stacked adds its layers' up.
    """
    if isinstance(network, Stacked):
        outputs = [final_output(m, s) for m, s in zip(network.members, state, strict=True)]
        return sum(outputs[1:], outputs[0]) if network.residual else outputs[-1]
    if isinstance(network, Bidirectional):
        ends = zip((network.forward, network.backward), state, strict=True)
        return MERGES[network.merge](*(final_output(member, s) for member, s in ends))
    if isinstance(network, Cell):
        return network.output(state)
    raise TypeError(
        f"final_output: expected a Cell, Stacked or Bidirectional, got {type(network).__name__}"
    )


def mean_over_time(ys: Any, real: Bools) -> Any:
    """The mean over the real positions; without any, 0."""
    count = np.maximum(real.sum(-1, keepdims=True), 1).astype(ys.dtype)
    return np.sum(np.where(real[..., None], ys, 0), axis=-2) / count


def sum_over_time(ys: Any, real: Bools) -> Any:
    """The sum over the real positions."""
    return np.sum(np.where(real[..., None], ys, 0), axis=-2)


# How the vectors of all positions become one; "last" is no function of them.
POOLINGS: dict[str, Callable[[Any, Bools], Any]] = {
    "mean": mean_over_time,
    "max": max_over_time,
    "sum": sum_over_time,
}


def read_by(network: Any, pooling: str, xs: Any, real: Bools) -> Any:
    """A network's last output, or its outputs pooled: (batch, time, d_in) to (batch, d_out)."""
    ys, state = network.unroll(xs, mask=real)
    with scope(pooling):
        if pooling == "last":
            return final_output(network, state)
        return POOLINGS[pooling](ys, real)


class Classifier(Illustrated):
    """Base of the classifiers of sequences: ŷ = softmax(MLP(read(x_1 ... x_n))).

    A subclass defines ``read``. With ``d_out=1`` there are two classes and one score, and ŷ is a
    sigmoid. All methods take x, ``lengths`` and ``mask`` as ``logits`` does.

    Args:
        d_in: The width of the vectors.
        width: The width of the output of ``read``.
        d_out: The number of classes; 1 for two classes and one score.
        embedding: From x to vectors: an Embedding, which reads ids, or a function of yours.
        hidden: The widths of the MLP's hidden layers; none leaves one dense layer.
        activation: Of the hidden layers.
        dropout: The probability of dropping an element of the vectors, of the output of ``read``
            and of the hidden layers in training.
        objective: "cross_entropy" or "hinge".
    """

    def __init__(
        self,
        d_in: int,
        width: int,
        d_out: int,
        *,
        embedding: Callable[[Any], Any] | None = None,
        hidden: Sequence[int] = (),
        activation: Activation = "tanh",
        dropout: float = 0.0,
        objective: str = "cross_entropy",
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        name = type(self).__name__
        check_embedding(name, embedding, d_in)
        rng = np.random.default_rng(rng)
        self.d_in, self.d_out = d_in, check_int(name, "d_out", d_out)
        self.objective = check_choice(name, "objective", objective, ["cross_entropy", "hinge"])
        self.embedding = embedding
        self.head = FeedForward(
            [width, *hidden, d_out], activation, dropout=dropout, rng=rng, dtype=dtype
        )
        self.dropout = Dropout(dropout, rng=rng)

    def new_head(self, d_out: int, *, rng: Any = None) -> None:
        """Replace the head with an untrained one, for a task of ``d_out`` classes.

        The encoder keeps its parameters. Make a new optimiser afterwards.
        """
        self.d_out = check_int(type(self).__name__, "d_out", d_out)
        old = self.head.layers
        self.head = FeedForward(
            [*(layer.d_in for layer in old), d_out],
            old[0].activation,
            dropout=self.head.dropout.p,
            rng=rng,
            dtype=old[0].W.dtype,
        )

    def read(self, xs: Any, real: Bools) -> Any:
        """Vectors (batch, time, d_in) or (time, d_in), 0 at padding, to (batch, width)."""
        raise NotImplementedError(f"{type(self).__name__} defines no read(xs, real)")

    def vector(self, x: Any, lengths: Any = None, mask: Any = None) -> Any:
        """Each sequence as one vector, the input of the head: (batch, width) or (width,)."""
        name = type(self).__name__
        xs, real = vectors_of(name, x, self.embedding, self.d_in, lengths, mask)
        return self.read(self.dropout(xs), real)

    def logits(self, x: Any, lengths: Any = None, mask: Any = None) -> Tensor:
        """The scores of the classes: (batch, d_out), or (d_out,) for a single sequence.

        Args:
            x: Ids (batch, time) or (time,) where there is an Embedding, else vectors
                (batch, time, d_in) or (time, d_in).
            lengths, mask: As in ``unroll``.
        """
        vector = self.vector(x, lengths, mask)
        with scope("head"):
            return self.head(self.dropout(vector))

    __call__ = logits

    def loss(
        self,
        x: Any,
        targets: Any,
        lengths: Any = None,
        mask: Any = None,
        *,
        weight: Any = None,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """The cross entropy (in nats) or hinge loss of the targets.

        Args:
            targets: (batch,) class ids, or one for a single sequence; 0 or 1 for ``d_out=1``.
            weight: (classes,), how much each class counts, for the cross entropy; the mean
                divides by their sum.
            reduction: "mean", "sum" or "none".
        """
        name = f"{type(self).__name__}.loss"
        logits = self.logits(x, lengths, mask)
        t = one_array(name, targets)
        classes = max(self.d_out, 2)
        if t.shape != logits.shape[:-1]:
            raise ValueError(
                f"{name}: expected targets {logits.shape[:-1]}, one a sequence, got {t.shape}"
            )
        if t.dtype.kind not in "iub" and t.size:
            raise TypeError(f"{name}: targets are integers, got {t.dtype}")
        t = t.astype(np.intp)
        if ((t < 0) | (t >= classes)).any():
            bad = int(t[(t < 0) | (t >= classes)][0])
            raise ValueError(f"{name}: targets are classes from 0 to {classes - 1}, got {bad}")
        if self.objective == "hinge":
            if weight is not None:
                raise ValueError(f"{name}: weight is for the cross entropy, not the hinge loss")
            if self.d_out == 1:
                return hinge_loss(logits[..., 0], 2 * t - 1, reduction=reduction)
            return hinge_loss(logits, t, reduction=reduction)
        if self.d_out > 1:
            return cross_entropy(logits, t, weight=weight, reduction=reduction)
        if weight is None:
            return binary_cross_entropy(logits[..., 0], t, reduction=reduction)
        # Two classes with one score z are a softmax over (0, z).
        pair = np.concatenate([np.zeros(logits.shape, logits.dtype), logits], axis=-1)
        return cross_entropy(pair, t, weight=weight, reduction=reduction)

    def probabilities(self, x: Any, lengths: Any = None, mask: Any = None) -> NDArray[Any]:
        """P(class), (batch, d_out), or for ``d_out=1`` P(class 1), (batch,); without dropout."""
        with evaluating(self):
            logits = self.logits(x, lengths, mask)
            p = sigmoid(logits[..., 0]) if self.d_out == 1 else softmax(logits)
        return np.asarray(values(p))

    def predict(self, x: Any, lengths: Any = None, mask: Any = None) -> NDArray[np.intp]:
        """The most probable class, (batch,) integers, or one of no axis for a single sequence."""
        with evaluating(self):
            logits = np.asarray(values(self.logits(x, lengths, mask)))
        if self.d_out == 1:
            return np.asarray(logits[..., 0] > 0).astype(np.intp)
        return np.asarray(np.argmax(logits, axis=-1))

    def illustration(
        self, words: Any = None, targets: Any = None, generate: int | None = None
    ) -> Illustration:
        """The class of a text, with ``targets`` its loss.

        Args:
            words: The words of a text, or their ids.
            targets: The text's class, a name or an id, by itself or as a list of one; without it
                there is no loss.
            generate: Not given.
        """
        x, shown = self._labelled(words, generate)
        last = [""] * (len(shown) - 1)
        best = [*last, *self._label_names(np.atleast_1d(self.predict(x)))]
        with evaluating(self), recording():
            if targets is None:
                scores = self.logits(x)
                output = probabilities(scores) if self.d_out > 1 else sigmoid(scores)
                return Illustration(output, shown, None, best)
            given = targets if isinstance(targets, (list, tuple)) else [targets]
            (target,) = self._label_ids(given)
            return Illustration(
                self.loss(x, target), shown, [*last, *self._label_names([target])], best
            )


@register
class Acceptor(Classifier):
    """A recurrent network that classifies a sequence by its last output, or by pooled outputs.

    ::

        h_1 ... h_n = RNN(x_1 ... x_n)
        v = the last state's output, or the mean or maximum of h_1 ... h_n
        ŷ = softmax(MLP(v))

    With "last", v of a Bidirectional is forward's last output beside backward's, whose last step
    is the first position. For a sequence of length 0 it is the initial state's output; its mean
    and maximum are 0.

    Args:
        network: Any Cell, Stacked or Bidirectional; or the class or name of a cell, as LSTM or
            "lstm", of which one as wide as the embedding is made.
        d_out: The number of classes; 1 for two classes and one score.
        pooling: "last", "mean", "max" or "sum", over real positions.
        **options: Those of ``Classifier``.

    Source: the acceptor of Goldberg (2016), and the sentence-level classifier of the lectures,
    softmax(MLP(RNN(x_{1:n}))).

    Example:
        >>> from unspool.cells import LSTM, Bidirectional
        >>> from unspool.models import Embedding
        >>> from unspool.models.networks.acceptor import Acceptor
        >>> network = Bidirectional(LSTM(8, 5, rng=0), LSTM(8, 5, rng=1))
        >>> model = Acceptor(network, 3, embedding=Embedding(20, 8, rng=2), hidden=[6], rng=3)
        >>> ids = np.array([[4, 5, 6, 7], [8, 9, 0, 0]])
        >>> model.loss(ids, [2, 0], lengths=[4, 2]).backward()
        >>> model.predict(ids, lengths=[4, 2]).shape, model.probabilities(ids).shape
        ((2,), (2, 3))
    """

    def __init__(self, network: Any, d_out: int, pooling: str = "last", **options: Any) -> None:
        self.pooling = check_choice("Acceptor", "pooling", pooling, ["last", *POOLINGS])
        options["rng"] = np.random.default_rng(options.get("rng"))
        made_with = {"rng": options["rng"], "dtype": options.get("dtype", np.float32)}
        network = made_network("Acceptor", network, options.get("embedding"), **made_with)
        self.network = network
        super().__init__(network.d_in, width_out(network), d_out, **options)

    def read(self, xs: Any, real: Bools) -> Any:
        """The network's last output, or its outputs pooled."""
        return read_by(self.network, self.pooling, xs, real)


@register
class BagClassifier(Classifier):
    """A feedforward network over a bag of embeddings: the order of the words does not matter.

    ::

        v = the mean (or maximum, or sum) of E x_1 ... E x_n
        ŷ = softmax(MLP(v))

    Args:
        embedding: An Embedding, or a function from x to vectors of ``d_in``.
        d_out: The number of classes; 1 for two classes and one score.
        pooling: "mean", "max" or "sum".
        d_in: The width of the vectors, where ``embedding`` is no Embedding (None: x is vectors).
        **options: Those of ``Classifier``.

    Source: the deep averaging network of Iyyer et al. (2015).
    """

    def __init__(
        self,
        embedding: Callable[[Any], Any] | None,
        d_out: int,
        pooling: str = "mean",
        *,
        d_in: int | None = None,
        **options: Any,
    ) -> None:
        self.pooling = check_choice("BagClassifier", "pooling", pooling, POOLINGS)
        width = embedding.d if d_in is None and isinstance(embedding, Embedding) else d_in
        width = check_int("BagClassifier", "d_in", width)
        super().__init__(width, width, d_out, embedding=embedding, **options)

    def read(self, xs: Any, real: Bools) -> Any:
        """The vectors pooled."""
        with scope(self.pooling):
            return POOLINGS[self.pooling](xs, real)


@register
class TextCNN(Classifier):
    """Convolutions of several widths over a sequence, and of each filter its maximum over time.

    ::

        c_t = relu(W · [x_t' ... x_t'+k-1] + b)     around each position t, for each width k
        v = [max_t c_t of each width]
        ŷ = softmax(MLP(v))

    Sequences end in zeros ("same" padding), so that one shorter than a filter can be read too.

    Args:
        d_in: The width of the vectors.
        d_out: The number of classes; 1 for two classes and one score.
        widths: The widths of the filters, in positions.
        filters: The number of filters of each width.
        **options: Those of ``Classifier``.

    Source: Kim (2014).
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        widths: Sequence[int] = (3, 4, 5),
        filters: int = 100,
        *,
        rng: Any = None,
        dtype: Any = np.float32,
        **options: Any,
    ) -> None:
        d_in, filters = check_int("TextCNN", "d_in", d_in), check_int("TextCNN", "filters", filters)
        if not len(widths):
            raise ValueError("TextCNN: give at least one width, as in widths=(3, 4, 5)")
        rng = np.random.default_rng(rng)
        self.W, self.b = {}, {}
        for k in widths:
            k = check_int("TextCNN", "a width", k)
            W = glorot_uniform(rng, k * d_in, filters, dtype).reshape(k, d_in, filters)
            self.W[str(k)] = Parameter(W, name=f"W_{k}")
            self.b[str(k)] = Parameter(np.zeros(filters, dtype), name=f"b_{k}")
        super().__init__(d_in, filters * len(self.W), d_out, rng=rng, dtype=dtype, **options)

    def read(self, xs: Any, real: Bools) -> Any:
        """Each filter's maximum over the real positions."""
        if not real.shape[-1]:  # one position of padding: a maximum needs at least one
            shape = (*real.shape[:-1], 1)
            xs, real = np.zeros((*shape, self.d_in), xs.dtype), np.zeros(shape, bool)
        tops = []
        for k, W in self.W.items():
            with scope(f"width_{k}"):
                seen = relu(conv1d(xs, W, self.b[k], padding="same"))
                tops.append(max_over_time(seen, real))
        return np.concatenate(tops, axis=-1)
