"""Keras's names and habits over this package's layers: a network as a list, widths inferred.

A layer says how wide its output is, and finds out the width of its input when the first data
come. ``Sequential`` carries the mask of ``Embedding(mask_zero=True)`` from layer to layer, so that
padding, in front or behind, changes no result. Sequences are (batch, time, features).

What differs from Keras 3: padded positions of an RNN's sequence output are 0, and not a
repetition; Conv1D sees 0 at padded positions and hands the mask on, the max pooling heeds it; a
GRU has one bias where Keras has two of which only the sum counts; ε stands where the rules of
``unspool.models.training.optim`` have it, for RMSprop outside of the root; random numbers come from
``Sequential(rng=)``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import cells
from ...autograd import (
    Parameter,
    Tensor,
    binary_cross_entropy,
    conv1d,
    log_softmax,
    mse_loss,
    relu,
    scope,
)
from ...autograd.nn_ops import class_ids, max_over_time, reduce_loss
from ...autograd.tensor import values
from ...cells import Cell, GatedCell, Module, glorot_uniform
from ...cells.composite import MERGES
from ...cells.initial import orthogonal
from ..networks import layers
from ..networks.layers import ACTIVATIONS, Activation, evaluating, whole
from ..text import text
from ..training import optim
from ..training.optim import Optimizer, global_norm, gradients

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Conv1D",
    "Dense",
    "Dropout",
    "Embedding",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "History",
    "Layer",
    "Recurrent",
    "Sequential",
    "SimpleRNN",
    "pad_sequences",
]

Array = NDArray[Any]
Mask = NDArray[np.bool_] | None
Shape = tuple[int | None, ...]  # without the batch; None is a time of any length


# Layers -----------------------------------------------------------------------------------------


class Layer(Module):
    """Base of the layers: ``build`` makes the parameters, ``call`` is the layer itself.

    A subclass defines ``call(x, mask) -> (y, mask)`` and ``output_shape(shape)``, and ``build``
    where it has parameters.

    Attributes:
        axes: How many axes the input has without the batch, or None for any number.
        built: Whether the parameters are made.
    """

    axes: int | None = None
    built: bool = False

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """Make the parameters for inputs of a shape, (time, features) or (features,)."""

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """The output and its mask, for an input (batch, ...) and its mask (batch, time)."""
        raise NotImplementedError(f"{type(self).__name__} defines no call(x, mask) -> (y, mask)")

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of the output, without the batch, for an input of a shape."""
        return shape

    def check(self, shape: Shape) -> None:
        """Raise ValueError if the layer cannot stand behind an output of that shape."""
        if self.axes is not None and len(shape) != self.axes:
            wanted = {1: "(batch, features)", 2: "(batch, time, features)"}[self.axes]
            cure = {
                1: "put a pooling layer in front, or return_sequences=False",
                2: "put an Embedding in front, or return_sequences=True in the layer before",
            }[self.axes]
            raise ValueError(
                f"{type(self).__name__}: expected {wanted}, got {shown((None, *shape))}; {cure}"
            )
        known(self, shape)


def known(layer: Layer, shape: Shape) -> int:
    """The width of a layer's input, or an error that says that it is not known."""
    width = shape[-1] if shape else None
    if width is None:
        raise ValueError(
            f"{type(layer).__name__}: expected features of a known width, got "
            f"{shown((None, *shape))}; ids want an Embedding in front"
        )
    return width


def shown(shape: Iterable[int | None]) -> str:
    """A shape as Keras writes it: (None, None, 50)."""
    return str(tuple(shape))


def activation_named(who: str, activation: Activation) -> Callable[[Any], Any]:
    """The function of an activation: its name, "linear" or None, or the function itself."""
    if activation is None or activation == "linear":
        return ACTIVATIONS["identity"]
    if isinstance(activation, str):
        return ACTIVATIONS[named(f"{who}: activation", activation, ACTIVATIONS)]
    return activation


def named(what: str, name: Any, table: Iterable[str]) -> str:
    """A name of a table, or an error that lists those there are."""
    names = list(table)
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"{what} is one of {', '.join(names)}, got {name!r}")
    return name


class Embedding(Layer):
    """A vector for each id: (batch, time) to (batch, time, output_dim).

    Args:
        input_dim: How many ids there are.
        output_dim: The width of a vector.
        mask_zero: Whether the id 0 is padding, which all layers above pass over.
        weights: The vectors to begin with, (input_dim, output_dim), or a list with this array,
            as Keras has it; None for random ones.
        trainable: Whether training changes them.

    Raises:
        ValueError: A size is below 1, or ``weights`` has another shape.
        TypeError: A size is no whole number.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        mask_zero: bool = False,
        weights: Any = None,
        trainable: bool = True,
    ) -> None:
        self.input_dim = whole("Embedding", "input_dim", input_dim)
        self.output_dim = whole("Embedding", "output_dim", output_dim)
        self.mask_zero, self.trainable = bool(mask_zero), bool(trainable)
        self.start: Array | None = None
        if weights is not None:
            if isinstance(weights, (list, tuple)) and len(weights) == 1:
                (weights,) = weights
            self.start = np.asarray(values(weights))
            if self.start.shape != (input_dim, output_dim):
                raise ValueError(
                    f"Embedding: weights are [array] of ({input_dim}, {output_dim}), got "
                    f"{self.start.shape}"
                )

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """E: (input_dim, output_dim), uniform in ±0.05 where no ``weights`` were given."""
        self.inner = layers.Embedding(self.input_dim, self.output_dim, rng=rng, dtype=dtype)
        E = self.inner.E.data
        E[...] = rng.uniform(-0.05, 0.05, E.shape) if self.start is None else self.start
        if not self.trainable:
            self.inner.freeze()

    def check(self, shape: Shape) -> None:
        """The input is ids, (batch, time)."""
        if len(shape) != 1:
            raise ValueError(
                f"Embedding: expected ids (batch, time), got {shown((None, *shape))}; lists of "
                "different length go through pad_sequences"
            )

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """Rows of E; with ``mask_zero`` the mask is where the ids are not 0."""
        return self.inner(x), values(x) != 0 if self.mask_zero else None

    def output_shape(self, shape: Shape) -> Shape:
        """(time, output_dim)."""
        return (*shape, self.output_dim)


class Dense(Layer):
    """y = g(x W + b), also at each position of a sequence; the mask goes through.

    Args:
        units: The width of the output.
        activation: g: a name in ``ACTIVATIONS``, "linear", a function, or None.
        use_bias: Whether there is a b.

    Raises:
        ValueError: ``units`` is below 1, or the activation's name is not known.
        TypeError: ``units`` is no whole number.
    """

    def __init__(self, units: int, activation: Activation = None, use_bias: bool = True) -> None:
        self.units = whole("Dense", "units", units)
        self.activation = activation
        self.g = activation_named("Dense", activation)
        self.use_bias = use_bias

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """W: (features, units), Glorot-uniform; b: (units,), zero."""
        width = known(self, shape)
        self.inner = layers.Dense(width, self.units, bias=self.use_bias, rng=rng, dtype=dtype)

    def scores(self, x: Any) -> Any:
        """x W + b, from which the probability losses are exact."""
        return self.inner(x)

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """g(x W + b)."""
        return self.g(self.scores(x)), mask

    def output_shape(self, shape: Shape) -> Shape:
        """(..., units)."""
        return (*shape[:-1], self.units)


class Dropout(Layer):
    """In training each element is 0 with this probability, and the others are scaled up.

    Args:
        rate: From 0 to 1.
    """

    def __init__(self, rate: float) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"Dropout: rate is a probability from 0 to 1, got {rate}")
        self.rate = rate

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """Take the random numbers of the network."""
        self.inner = layers.Dropout(self.rate, rng=rng)

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """x thinned out; as it is outside of training."""
        return self.inner(x), mask


class Conv1D(Layer):
    """A convolution over time, (batch, time, features) to (batch, time', filters).

    Padded positions count as 0. With ``padding="valid"`` an output is real where all that its
    filter sees is.

    Args:
        filters: The width of the output.
        kernel_size: How many positions a filter sees.
        activation: As in Dense.
        padding: "valid", "same" or "causal".
        use_bias: Whether there is a b.

    Raises:
        ValueError: A size is below 1, or there is no such padding or activation.
        TypeError: A size is no whole number.
    """

    axes = 2

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        activation: Activation = None,
        padding: str = "valid",
        use_bias: bool = True,
    ) -> None:
        self.filters = whole("Conv1D", "filters", filters)
        self.kernel_size = whole("Conv1D", "kernel_size", kernel_size)
        self.padding: Any = named("Conv1D: padding", padding, ("valid", "same", "causal"))
        self.g = activation_named("Conv1D", activation)
        self.use_bias = use_bias

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """W: (kernel_size, features, filters), Glorot-uniform over all that a filter sees."""
        width, k = known(self, shape), self.kernel_size
        # A tap of this matrix serves (kernel_size * features) inputs, (kernel_size * filters)
        # outputs: Keras's fans of a convolution.
        flat = glorot_uniform(rng, k * width, k * self.filters, dtype)
        self.W = Parameter(flat[:, : self.filters].reshape(k, width, self.filters).copy())
        if self.use_bias:
            self.b = Parameter(np.zeros(self.filters, dtype))

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """g(x * W + b)."""
        if mask is not None:
            x = np.where(mask[..., None], x, 0)
        y = self.g(conv1d(x, self.W, getattr(self, "b", None), padding=self.padding))
        if mask is not None and self.padding == "valid":
            windows = np.lib.stride_tricks.sliding_window_view(mask, self.kernel_size, axis=-1)
            mask = np.asarray(windows.all(-1))
        return y, mask

    def output_shape(self, shape: Shape) -> Shape:
        """(time', filters)."""
        time = shape[0]
        if self.padding == "valid" and time is not None:
            time -= self.kernel_size - 1
        return (time, self.filters)


class GlobalMaxPooling1D(Layer):
    """The maximum of each feature over the real positions; 0 where there is none."""

    axes = 2

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """(batch, time, features) to (batch, features)."""
        with scope("max"):
            return max_over_time(x, mask), None

    def output_shape(self, shape: Shape) -> Shape:
        """(features,)."""
        return shape[-1:]


class GlobalAveragePooling1D(GlobalMaxPooling1D):
    """The mean of each feature over the real positions; 0 where there is none."""

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """(batch, time, features) to (batch, features)."""
        with scope("mean"):
            if mask is None:
                return np.mean(x, axis=-2), None
            total = np.sum(np.where(mask[..., None], x, 0), axis=-2)
            return total / np.maximum(mask.sum(-1, keepdims=True), 1).astype(x.dtype), None


class Recurrent(Layer):
    """What the recurrent layers share.

    Args:
        units: The width of the state.
        return_sequences: Whether the output is that of every position, (batch, time, units), and
            not only the one after each sequence's last real position, (batch, units).
        use_bias: Whether there are biases.
        dropout: The probability with which a feature of the input is dropped in training, the
            same ones over a whole batch of sequences.
        recurrent_dropout: The same for the state.

    Raises:
        ValueError: ``units`` is below 1, or a probability is none.
        TypeError: ``units`` is no whole number.
    """

    axes = 2
    cell: Callable[..., GatedCell]

    def __init__(
        self,
        units: int,
        return_sequences: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        name = type(self).__name__
        self.units = whole(name, "units", units)
        self.return_sequences = bool(return_sequences)
        for what, p in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0 <= p <= 1:
                raise ValueError(f"{name}: {what} is a probability from 0 to 1, got {p}")
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.options: dict[str, Any] = {"bias": use_bias}

    def make(self, d_in: int, rng: np.random.Generator, dtype: Any) -> Cell:
        """The cell, for inputs of a width."""
        cell = type(self).cell(d_in, self.units, rng=rng, dtype=dtype, **self.options)
        # Keras draws the matrices of all gates at once: W Glorot-uniform, U orthogonal.
        count = len(cell.gates)
        Ws = np.split(glorot_uniform(rng, d_in, count * self.units), count, axis=1)
        Us = np.split(orthogonal(rng, self.units, count * self.units), count, axis=1)
        for gate, W, U in zip(cell.gates, Ws, Us, strict=True):
            end = f"_{gate}" if gate else ""
            getattr(cell, f"W{end}").data[...] = W
            getattr(cell, f"U{end}").data[...] = U
        if self.dropout or self.recurrent_dropout:
            return cells.VariationalDropout(cell, self.dropout, self.recurrent_dropout, rng=rng)
        return cell

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """The parameters of the cell."""
        self.network = self.make(known(self, shape), rng, dtype)

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """The outputs at every position and the mask, or the last output."""
        ys, state = self.network.unroll(x, mask=mask)
        return (ys, mask) if self.return_sequences else (self.network.output(state), None)

    def output_shape(self, shape: Shape) -> Shape:
        """(time, units) or (units,)."""
        return (shape[0], self.units) if self.return_sequences else (self.units,)


class SimpleRNN(Recurrent):
    """The simple recurrent network, ``unspool.cells.Elman``.

    Args:
        units: The width of the state.
        activation: "tanh", "relu", "sigmoid" or "identity".
        **options: Those of ``Recurrent``.
    """

    cell = cells.Elman

    def __init__(self, units: int, activation: str = "tanh", **options: Any) -> None:
        super().__init__(units, **options)
        self.options["activation"] = named("SimpleRNN: activation", activation, SIMPLE)


SIMPLE = ("tanh", "relu", "sigmoid", "identity")


class LSTM(Recurrent):
    """Long short-term memory, ``unspool.cells.LSTM``. Args: those of ``Recurrent``."""

    cell = cells.LSTM


class GRU(Recurrent):
    """The gated recurrent unit as Keras has it, ``unspool.cells.ResetAfterGRU``.

    Args: those of ``Recurrent``.
    """

    cell = cells.ResetAfterGRU


class Bidirectional(Layer):
    """A recurrent layer once from each end; the outputs are merged.

    Without ``return_sequences`` these are the two end vectors, after the last position and after
    the first.

    Args:
        layer: LSTM(...), GRU(...) or SimpleRNN(...), which says what both directions are.
        merge_mode: "concat", "sum", "ave" or "mul".

    Raises:
        TypeError: ``layer`` is no recurrent layer.
        ValueError: There is no such way to merge.
    """

    axes = 2

    def __init__(self, layer: Recurrent, merge_mode: str = "concat") -> None:
        if not isinstance(layer, Recurrent):
            raise TypeError(
                "Bidirectional: expected LSTM(...), GRU(...) or SimpleRNN(...), got "
                f"{type(layer).__name__}"
            )
        self.layer = layer
        mode = named("Bidirectional: merge_mode", merge_mode, ("concat", "sum", "ave", "mul"))
        self.merge = "mean" if mode == "ave" else mode

    def build(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> None:
        """The parameters of both directions."""
        width = known(self, shape)
        ahead, back = (self.layer.make(width, rng, dtype) for _ in range(2))
        self.network = cells.Bidirectional(ahead, back, self.merge)

    def call(self, x: Any, mask: Mask) -> tuple[Any, Mask]:
        """The merged outputs at every position and the mask, or the merged end vectors."""
        network = self.network
        ys, (ahead, back) = network.unroll(x, mask=mask)
        if self.layer.return_sequences:
            return ys, mask
        ends = network.forward.output(ahead), network.backward.output(back)
        return MERGES[self.merge](*ends), None

    def output_shape(self, shape: Shape) -> Shape:
        """(time, width) or (width,), twice as wide where the two are concatenated."""
        units = self.layer.units
        return (*self.layer.output_shape(shape)[:-1], units * (1 + (self.merge == "concat")))


# Losses and metrics -----------------------------------------------------------------------------

# What a network ends in: scores and the name of the activation that makes them probabilities
# ("sigmoid", "softmax"), or anything else as it is, with None.
Ending = str | None


def clipped(p: Any) -> Any:
    """Probabilities away from 0 and 1, where logarithms are infinite; the distance is Keras's."""
    return np.clip(p, 1e-7, 1 - 1e-7)


def log_probabilities(scores: Any, ending: Ending) -> Any:
    """log P of each class: exact from the scores of a softmax, else of what sums to anything."""
    if ending == "softmax":
        return log_softmax(scores)
    p = clipped(scores / np.sum(scores, axis=-1, keepdims=True))
    return np.log(p)


def binary_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """-[y log p + (1-y) log(1-p)], the mean over the last axis."""
    y = like_output("binary_crossentropy", y, scores)
    if ((y < 0) | (y > 1)).any():
        raise ValueError("binary_crossentropy: targets are from 0 to 1")
    if ending == "sigmoid":
        terms = binary_cross_entropy(scores, y, reduction="none")
    else:
        p = clipped(scores)
        terms = -(np.log(p) * y + np.log(1 - p) * (1 - y))
    return np.mean(terms, axis=-1)


def categorical_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """-Σ y log p, for one-hot y."""
    if y.shape != scores.shape:
        raise ValueError(
            f"categorical_crossentropy: expected one-hot targets {scores.shape}, got {y.shape}; "
            "class ids want sparse_categorical_crossentropy"
        )
    return -np.sum(log_probabilities(scores, ending) * y.astype(scores.dtype), axis=-1)


def sparse_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """-log p of the class."""
    ids = sparse_ids("sparse_categorical_crossentropy", y, scores)
    logp = log_probabilities(scores, ending)
    return -np.take_along_axis(logp, ids[..., None], -1)[..., 0]


def squared_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """(y - output)², the mean over the last axis."""
    return np.mean(mse_loss(scores, like_output("mse", y, scores), reduction="none"), axis=-1)


def absolute_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """|y - output|, the mean over the last axis."""
    return np.mean(np.abs(scores - like_output("mae", y, scores)), axis=-1)


def hinge_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """max(0, 1 - y output), the mean over the last axis; y is -1 or 1, or 0 or 1."""
    return np.mean(below_margin("hinge", y, scores), axis=-1)


def squared_hinge_terms(y: Array, scores: Any, ending: Ending) -> Any:
    """max(0, 1 - y output)², the mean over the last axis; y is -1 or 1, or 0 or 1."""
    return np.mean(below_margin("squared_hinge", y, scores) ** 2, axis=-1)


def below_margin(who: str, y: Array, scores: Any) -> Any:
    """max(0, 1 - y output) of each element."""
    y = like_output(who, y, scores)
    if not np.isin(y, (-1, 0, 1)).all():
        raise ValueError(f"{who}: targets are -1 and 1, or 0 and 1")
    sign = np.where(y > 0, 1, -1).astype(y.dtype)
    return relu(1 - scores * sign)


def like_output(who: str, y: Array, scores: Any) -> Array:
    """Targets with the shape and dtype of the output; (batch,) serves for an output of width 1."""
    if y.shape == scores.shape[:-1] and scores.shape[-1] == 1:
        y = y[..., None]
    if y.shape != scores.shape:
        raise ValueError(f"{who}: expected targets {scores.shape}, as the output, got {y.shape}")
    return y.astype(scores.dtype)


def sparse_ids(who: str, y: Array, scores: Any) -> Array:
    """Class ids (...), also from (..., 1) or from whole numbers held as floats."""
    if y.shape == (*scores.shape[:-1], 1):
        y = y[..., 0]
    if y.shape != scores.shape[:-1]:
        raise ValueError(f"{who}: expected class ids {scores.shape[:-1]}, got {y.shape}")
    if y.dtype.kind == "f" and np.array_equal(y, np.trunc(y)):
        y = y.astype(np.intp)
    return class_ids(y, scores.shape[-1], who, "classes")


Terms = Callable[[Array, Any, Ending], Any]
LOSSES: dict[str, Terms] = {
    "binary_crossentropy": binary_terms,
    "categorical_crossentropy": categorical_terms,
    "sparse_categorical_crossentropy": sparse_terms,
    "mse": squared_terms,
    "mean_squared_error": squared_terms,
    "mae": absolute_terms,
    "mean_absolute_error": absolute_terms,
    "hinge": hinge_terms,
    "squared_hinge": squared_hinge_terms,
}
# Of these the activation is undone: the scores before it are what counts.
EXACT: dict[Terms, str] = {
    binary_terms: "sigmoid",
    categorical_terms: "softmax",
    sparse_terms: "softmax",
}


def accuracy(y: Array, output: Array, loss: Any) -> Array:
    """Where the output is right: its side of the threshold, or its highest class."""
    if output.shape[-1] == 1 or loss == "binary_crossentropy":
        threshold = 0.0 if loss in ("hinge", "squared_hinge") else 0.5
        y = like_output("accuracy", y, output)
        return np.asarray(((output > threshold) == (y > threshold)).mean(-1))
    if y.shape == output.shape:
        return np.asarray(output.argmax(-1) == y.argmax(-1))
    return np.asarray(output.argmax(-1) == sparse_ids("accuracy", y, output))


METRICS: dict[str, Callable[[Array, Array, Any], Array]] = {
    "accuracy": accuracy,
    "acc": accuracy,
    "mse": lambda y, output, loss: squared_terms(y, output, None),
    "mae": lambda y, output, loss: absolute_terms(y, output, None),
}


# Keras's settings, where they differ from those of the optimisers here.
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.01},
    "rmsprop": {"lr": 0.001, "alpha": 0.9, "eps": 1e-7},
    "adam": {"eps": 1e-7},
    "adamw": {"eps": 1e-7, "weight_decay": 0.004},
    "adagrad": {"lr": 0.001, "initial_accumulator_value": 0.1, "eps": 1e-7},
    "adadelta": {"lr": 0.001, "rho": 0.95, "eps": 1e-7},
}


def optimizers() -> dict[str, type[Optimizer]]:
    """The optimisers of ``unspool.models.training.optim`` by their names in small letters."""
    found = {name: getattr(optim, name) for name in optim.__all__}
    return {
        name.lower(): kind
        for name, kind in found.items()
        if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
    }


# The network ------------------------------------------------------------------------------------


class History:
    """What ``fit`` returns.

    Attributes:
        epoch: The numbers of the passes, from 0.
        history: By name ("loss", "accuracy", "val_loss", ...) a number for each pass.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def add(self, row: dict[str, float]) -> None:
        """One more pass."""
        self.epoch.append(len(self.epoch))
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)


class Sequential(Module):
    """Layers in a row, each reading the output of the one before.

    Args:
        layers: The layers, or None to ``add`` them.
        rng: A Generator, a seed, or None: for weights, dropout, and the order of the data.
        dtype: Of the parameters and the results.

    Raises:
        TypeError: Something among the layers is none.

    Example:
        >>> import numpy as np
        >>> from unspool.models.keras import LSTM, Dense, Embedding, Sequential
        >>> model = Sequential([Embedding(10, 4, mask_zero=True), LSTM(8)], rng=0)
        >>> model.add(Dense(1, activation="sigmoid"))
        >>> model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
        >>> x, y = np.array([[5, 6, 7], [8, 9, 0]]), np.array([1, 0])
        >>> history = model.fit(x, y, epochs=2, verbose=0)
        >>> sorted(history.history), model.predict(x).shape
        (['accuracy', 'loss'], (2, 1))
    """

    def __init__(
        self, layers: Iterable[Layer] | None = None, *, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        self.layers: list[Layer] = []
        self.rng = np.random.default_rng(rng)
        self.dtype = np.dtype(dtype)
        self.built = False
        self.compiled = False
        self.shapes: list[Shape] = []
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Put a layer behind the others.

        Raises:
            TypeError: It is no Layer.
            ValueError: It stands in a network already, or this one is built already.
        """
        if not isinstance(layer, Layer):
            raise TypeError(
                "Sequential.add: expected a layer of unspool.models.keras, as in Dense(10), got "
                f"{layer.__name__ if isinstance(layer, type) else type(layer).__name__}"
            )
        if self.built:
            raise ValueError("Sequential.add: the network has its parameters; add layers before")
        if layer.built or layer in self.layers:
            raise ValueError(
                f"Sequential.add: this {type(layer).__name__} stands in a network already; make "
                "another one"
            )
        self.layers.append(layer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the parameters, for inputs of a shape; otherwise the first data do it.

        Args:
            input_shape: With the batch in front, None for what may vary: (None, None) for ids,
                (None, 20) for features, (None, None, 20) for sequences of features.

        Raises:
            ValueError: There is no layer, the network is built already, or a layer cannot stand
                behind the one before.
        """
        if not self.layers:
            raise ValueError("Sequential: there is no layer; add one, as in add(Dense(10))")
        if self.built:
            raise ValueError("Sequential.build: the network has its parameters already")
        shapes: list[Shape] = [tuple(input_shape)[1:]]
        for layer in self.layers:  # all are looked at before one is made
            layer.check(shapes[-1])
            shapes.append(layer.output_shape(shapes[-1]))
        for layer, shape in zip(self.layers, shapes, strict=False):
            layer.build(shape, self.rng, self.dtype)
            layer.built = True
        self.shapes = shapes
        self.built = True

    def compile(
        self,
        optimizer: str | Callable[[list[Parameter]], Optimizer] = "rmsprop",
        loss: str | Callable[[Array, Any], Any] | None = None,
        metrics: Sequence[str | Callable[[Array, Array], Any]] = (),
    ) -> None:
        """Say how to learn, and by what to judge.

        Args:
            optimizer: The name of an optimiser of ``unspool.models``, with Keras's settings: "sgd"
                with a rate of 0.01, the others with 0.001; or a function from the parameters to
                an Optimizer, as in ``lambda parameters: Adam(parameters, lr=0.01)``.
            loss: "binary_crossentropy", "categorical_crossentropy" (one-hot targets),
                "sparse_categorical_crossentropy" (class ids), "mse", "mae", "hinge",
                "squared_hinge"; or a function from targets and outputs, a Tensor, to the terms at
                each position, a Tensor.
            metrics: "accuracy", "mse", "mae", or functions from targets and outputs, arrays, to
                a number at each position.

        Raises:
            ValueError: A name is not known.
            TypeError: Something is neither a name nor a function.
        """
        if loss is None:
            raise ValueError(f"compile: loss is one of {', '.join(LOSSES)}, or a function")
        if isinstance(metrics, str):
            raise TypeError(f"compile: metrics are a list, as in [{metrics!r}]")
        self.terms = self._terms(loss)
        self.loss_name = loss
        self.metrics = {self._metric_name(metric): self._metric(metric) for metric in metrics}
        if isinstance(optimizer, str):
            kinds = optimizers()
            name = named("compile: optimizer", optimizer.lower(), kinds)
            self.make_optimizer: Callable[[list[Parameter]], Optimizer] = functools.partial(
                kinds[name], **SETTINGS.get(name, {})
            )
        elif callable(optimizer):
            self.make_optimizer = optimizer
        else:
            raise TypeError(
                f"compile: optimizer is one of {', '.join(optimizers())}, or a function from the "
                "parameters to an Optimizer, as in lambda parameters: Adam(parameters, lr=0.01); "
                f"got {type(optimizer).__name__}"
            )
        self.optimizer: Optimizer | None = None
        self.compiled = True

    def _terms(self, loss: Any) -> Terms:
        if callable(loss):
            return lambda y, output, ending: loss(y, output)
        return LOSSES[named("compile: loss", loss, LOSSES)]

    def _metric_name(self, metric: Any) -> str:
        return metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")

    def _metric(self, metric: Any) -> Callable[[Array, Array, Any], Array]:
        if callable(metric):
            return lambda y, output, loss: np.asarray(metric(y, output))
        return METRICS[named("compile: a metric", metric, METRICS)]

    @property
    def metrics_names(self) -> list[str]:
        """The names of what ``evaluate`` returns."""
        self._must_be_compiled("metrics_names")
        return ["loss", *self.metrics]

    # The forward pass -----------------------------------------------------------------------------

    def __call__(self, x: Any) -> Any:
        """The output for an input (batch, ...), a Tensor."""
        return self._forward(self._inputs("Sequential", x), None)[0]

    def _forward(self, x: Any, undone: str | None) -> tuple[Any, Any, Ending, Mask]:
        """The output; what the loss wants of it, and what that ends in; and the mask.

        ``undone`` is the activation that a loss undoes: a last Dense with this one gives its
        scores to the loss.
        """
        mask: Mask = None
        *below, last = self.layers
        for i, layer in enumerate(below):
            with scope(str(i)):
                x, mask = layer.call(x, mask)
        with scope(str(len(below))):
            if undone is not None and isinstance(last, Dense) and last.activation == undone:
                scores = last.scores(x)
                return last.g(scores), scores, undone, mask
            output, mask = last.call(x, mask)
            return output, output, None, mask

    def _judge(self, x: Array, y: Array, sums: Sums) -> Tensor:
        """The mean loss of a batch over what counts; it and the metrics are added to the sums."""
        output, scores, ending, mask = self._forward(x, EXACT.get(self.terms))
        if mask is not None and y.shape[: mask.ndim] == mask.shape:
            # What stands at padding may be anything, also no class at all.
            y = np.where(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)), y, 0)
        terms = self.terms(y, scores, ending)
        if mask is not None and np.shape(terms) != mask.shape:
            mask = None  # a loss of one's own, with another view of what counts
        loss: Tensor = reduce_loss(terms, mask, "mean")
        sums.add(loss.item(), y, output.data, mask)
        return loss

    # Learning -------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: tuple[Any, Any] | None = None,
        verbose: int = 1,
        shuffle: bool = True,
        validation_split: float = 0.0,
    ) -> History:
        """Learn; called again, it goes on where it was.

        Args:
            x: (instances, ...): ids (instances, time) in front of an Embedding.
            y: (instances, ...), as the loss wants them.
            batch_size: How many instances an optimisation step uses.
            epochs: How many passes over the data.
            validation_data: (x, y) that is looked at after each pass and not learnt from.
            verbose: 0 for silence, else a line for each pass.
            shuffle: Whether each pass has an order of its own.
            validation_split: In place of ``validation_data``: the part of the instances, from 0
                to 1, that is taken from the end for it.

        Returns:
            The loss and the metrics of each pass, those of validation named ``val_...``.

        Raises:
            ValueError: The network is not compiled, there are no data, or shapes do not fit.
            FloatingPointError: The loss or the gradient is not a finite number; the parameters
                are again those before the pass.
        """
        self._must_be_compiled("fit")
        whole("fit", "batch_size", batch_size)
        whole("fit", "epochs", epochs)
        x, y = self._data("fit", x, y)
        if validation_split:
            if validation_data is not None:
                raise ValueError("fit: give validation_data or validation_split, not both")
            cut = int(len(x) * (1 - validation_split))
            if not 0 < cut < len(x):
                raise ValueError(
                    f"fit: validation_split is a part of the {len(x)} instances, from 0 to 1, that "
                    f"leaves some to learn from, got {validation_split}"
                )
            validation_data, x, y = (x[cut:], y[cut:]), x[:cut], y[:cut]
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("fit: validation_data is a tuple of two, (x_dev, y_dev)")
            self._data("fit: validation_data", *validation_data)
        if self.optimizer is None:
            trained = [p for p in self.parameters() if p.requires_grad]
            self.optimizer = self.make_optimizer(trained)
        history = History()
        was_training = self.training
        self.train()
        try:
            for epoch in range(1, epochs + 1):
                order = self.rng.permutation(len(x)) if shuffle else np.arange(len(x))
                row = self._one_pass(x[order], y[order], batch_size, epoch, self.optimizer)
                if validation_data is not None:
                    numbers = self._judged(*self._data("fit", *validation_data), batch_size)
                    row.update({f"val_{name}": value for name, value in numbers.items()})
                history.add(row)
                if verbose:
                    figures = ", ".join(f"{name} {value:.4f}" for name, value in row.items())
                    print(f"Epoch {epoch}/{epochs}: {figures}", flush=True)
        finally:
            self.train(was_training)
        return history

    def _one_pass(
        self, x: Array, y: Array, batch_size: int, epoch: int, optimizer: Optimizer
    ) -> dict[str, float]:
        """Learn from every batch once."""
        before = self.state_dict()
        sums = Sums(self)
        for begin in range(0, len(x), batch_size):
            targets = y[begin : begin + batch_size]
            with np.errstate(over="ignore", invalid="ignore"):  # reported by name just below
                loss = self._judge(x[begin : begin + batch_size], targets, sums)
                what, value = "loss", loss.item()
                optimizer.zero_grad()
                if np.isfinite(value):
                    loss.backward()
                    what, value = "gradient", global_norm(gradients(optimizer.parameters))
                if not np.isfinite(value):
                    self.load_state_dict(before)
                    optimizer.zero_grad()
                    raise FloatingPointError(
                        f"fit: the {what} is {value} in epoch {epoch}, batch "
                        f"{begin // batch_size + 1}. The network has its parameters from before "
                        "this epoch again; lower the learning rate"
                    )
            optimizer.step()
            del loss  # the graph goes before the next one is made
        return sums.means()

    def _judged(self, x: Array, y: Array, batch_size: int) -> dict[str, float]:
        """The loss and the metrics, without dropout and without a tape."""
        sums = Sums(self)
        with evaluating(self):
            for begin in range(0, len(x), batch_size):
                end = begin + batch_size
                self._judge(x[begin:end], y[begin:end], sums)
        return sums.means()

    def evaluate(
        self, x: Any, y: Any, batch_size: int = 32, verbose: int = 0, return_dict: bool = False
    ) -> Any:
        """The loss, and the metrics if there are any: a number, or a list ``[loss, ...]``.

        Args and errors are those of ``fit``; ``verbose`` above 0 prints a line, and with
        ``return_dict`` the numbers come by their names.
        """
        self._must_be_compiled("evaluate")
        whole("evaluate", "batch_size", batch_size)
        numbers = self._judged(*self._data("evaluate", x, y), batch_size)
        if verbose:
            print(", ".join(f"{name} {value:.4f}" for name, value in numbers.items()), flush=True)
        if return_dict:
            return numbers
        return list(numbers.values()) if self.metrics else numbers["loss"]

    def predict(self, x: Any, batch_size: int = 32, verbose: int = 0) -> Array:
        """The outputs, (instances, ...), an array; without dropout.

        Args:
            x: (instances, ...).
            batch_size: How many instances at a time.
            verbose: Taken for Keras's sake; nothing is printed.

        Raises:
            ValueError: There are no data, or shapes do not fit.
        """
        whole("predict", "batch_size", batch_size)
        x = self._inputs("predict", x)
        with evaluating(self):
            outputs = [
                self._forward(x[begin : begin + batch_size], None)[0].data
                for begin in range(0, len(x), batch_size)
            ]
        return np.concatenate(outputs)

    def summary(self) -> None:
        """Print the layers, the shapes of their outputs, and how many parameters they have.

        Raises:
            ValueError: The widths are not known yet.
        """
        if not self.built:
            if not self.layers or not isinstance(self.layers[0], Embedding):
                raise ValueError(
                    "summary: the widths are not known yet; call build((None, 20)) with the shape "
                    "of the inputs, or fit"
                )
            self.build((None, None))
        rows = [("Layer (type)", "Output Shape", "Param #")]
        kinds: dict[str, int] = {}
        for layer, shape in zip(self.layers, self.shapes[1:], strict=True):
            kind = type(layer).__name__
            number = kinds[kind] = kinds.get(kind, -1) + 1
            name = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind).lower() + (f"_{number}" * (number > 0))
            rows.append((f"{name} ({kind})", shown((None, *shape)), f"{layer.size():,}"))
        first, second, third = (max(map(len, column)) for column in zip(*rows, strict=True))
        for a, b, c in rows:
            print(f"{a:<{first}}  {b:<{second}}  {c:>{third}}")
        trained = sum(p.size for p in self.parameters() if p.requires_grad)
        print(f"Total params: {self.size():,}")
        print(f"Trainable params: {trained:,}")
        print(f"Non-trainable params: {self.size() - trained:,}")

    # Checked arguments ----------------------------------------------------------------------------

    def _must_be_compiled(self, who: str) -> None:
        if not self.compiled:
            raise ValueError(
                f'{who}: the network is not compiled; call compile(optimizer="adam", '
                'loss="binary_crossentropy", metrics=["accuracy"]) first'
            )

    def _inputs(self, who: str, x: Any) -> Array:
        """Inputs as an array that fits; the network is built by the first ones."""
        array = plain(who, "x", x)
        if array.ndim < 2 or not len(array):
            raise ValueError(
                f"{who}: expected x (instances, ...) of 1 instance or more, got {array.shape}"
            )
        if array.dtype.kind == "f":
            array = array.astype(self.dtype, copy=False)
        elif array.dtype.kind not in "iub":
            raise TypeError(f"{who}: x holds numbers, got {array.dtype}")
        elif self.layers and not isinstance(self.layers[0], Embedding):
            array = array.astype(self.dtype)
        # How long sequences are may differ from call to call; widths may not.
        ids = bool(self.layers) and isinstance(self.layers[0], Embedding)
        shape: Shape = array.shape[1:]
        if ids and len(shape) == 1:
            shape = (None,)
        elif len(shape) == 2:
            shape = (None, shape[1])
        if not self.built:
            self.build((None, *shape))
        self.layers[0].check(shape)
        if shape[-1] != self.shapes[0][-1] or len(shape) != len(self.shapes[0]):
            raise ValueError(
                f"{who}: the network reads {shown((None, *self.shapes[0]))}, got x {array.shape}"
            )
        return array

    def _data(self, who: str, x: Any, y: Any) -> tuple[Array, Array]:
        """Inputs and targets, as many of the ones as of the others."""
        inputs, targets = self._inputs(who, x), plain(who, "y", y)
        if not targets.ndim or len(targets) != len(inputs):
            raise ValueError(
                f"{who}: expected as many y as x, got x {inputs.shape} and y {targets.shape}"
            )
        if targets.dtype.kind not in "fiub":
            raise TypeError(f"{who}: y holds numbers, got {targets.dtype}")
        return inputs, targets


class Sums:
    """The loss and the metrics of a pass, each position that counts once."""

    def __init__(self, model: Sequential) -> None:
        self.model = model
        self.totals = dict.fromkeys(model.metrics_names, 0.0)
        self.count = 0

    def add(self, loss: float, y: Array, output: Array, mask: Mask) -> None:
        """One more batch, with its mean loss."""
        count = int(np.prod(output.shape[:-1])) if mask is None else int(mask.sum())
        self.count += count
        self.totals["loss"] += loss * count
        for name, metric in self.model.metrics.items():
            right = metric(y, output, self.model.loss_name)
            self.totals[name] += float((right if mask is None else right[mask]).sum())

    def means(self) -> dict[str, float]:
        """The mean of each."""
        return {name: total / max(self.count, 1) for name, total in self.totals.items()}


def plain(who: str, name: str, x: Any) -> Array:
    """Data as an array, or an error that says how lists of different length become one."""
    try:
        return np.asarray(values(x))
    except ValueError as error:
        raise ValueError(
            f"{who}: {name} is no array: {error}; lists of different length go through "
            "pad_sequences"
        ) from None


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    padding: str = "pre",
    truncating: str = "pre",
    value: int = 0,
) -> NDArray[np.int64]:
    """``unspool.models.pad_sequences`` with Keras's names and defaults: filled and cut in front.

    Args:
        sequences: Ids (time,) each.
        maxlen: The length of all; that of the longest if None.
        padding: "pre" or "post".
        truncating: "pre" or "post".
        value: The filling.

    Returns:
        (batch, maxlen).

    Raises:
        ValueError: As in ``unspool.models.pad_sequences``.
        TypeError: A sequence holds no integers.
    """
    padded: NDArray[np.int64] = text.pad_sequences(
        sequences, maxlen, padding=padding, truncating=truncating, value=value
    )
    return padded
