"""Keras's losses: of targets and outputs, by name, as functions and as objects.

Where the outputs come straight from a sigmoid or a softmax, the cross-entropies are computed from
its argument, the logits, so that they are exact also where a probability rounds to 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import (
    Tensor,
    binary_cross_entropy,
    class_ids,
    huber_loss,
    log_softmax,
    mse_loss,
    relu,
    sigmoid,
    softmax,
    softplus,
    values,
)
from ...checks import check_choice, check_fraction
from .absent import absent
from .activations import logits_of
from .session import plain

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "binary_crossentropy",
    "categorical_crossentropy",
    "cosine_similarity",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]

Array = NDArray[Any]
Terms = Callable[..., Any]

# Functions of targets and outputs: a term for each position --------------------------------------


def clipped(p: Any) -> Any:
    """Probabilities clipped to Keras's distance from 0 and 1, where logarithms are infinite."""
    return np.clip(p, 1e-7, 1 - 1e-7)


def numbers(x: Any) -> Any:
    """Outputs as a Tensor or an array of floats."""
    if isinstance(x, Tensor):
        return x
    array = np.asarray(values(x))
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def like_output(who: str, y_true: Any, y_pred: Any) -> Array:
    """Targets in the output's shape and dtype; (batch,) fits an output of width 1."""
    y = plain(y_true)
    if y.shape == y_pred.shape[:-1] and y_pred.shape[-1:] == (1,):
        y = y[..., None]
    if y.shape != y_pred.shape:
        raise ValueError(f"{who}: expected targets {y_pred.shape}, as the output, got {y.shape}")
    return y.astype(y_pred.dtype)


def sparse_ids(who: str, y_true: Any, y_pred: Any) -> Array:
    """Class ids (...), also from (..., 1), or from integers stored as floats."""
    y = plain(y_true)
    if y.shape == (*y_pred.shape[:-1], 1):
        y = y[..., 0]
    if y.shape != y_pred.shape[:-1]:
        raise ValueError(f"{who}: expected class ids {y_pred.shape[:-1]}, got {y.shape}")
    if y.dtype.kind == "f" and np.array_equal(y, np.trunc(y)):
        y = y.astype(np.intp)
    return class_ids(y, y_pred.shape[-1], who, "classes")


def log_probabilities(y_pred: Any, from_logits: bool) -> Any:
    """log P of each class: from logits, or from outputs that are divided by their sum."""
    z = y_pred if from_logits else logits_of(y_pred, softmax)
    if z is not None:
        return log_softmax(z)
    return np.log(clipped(y_pred / np.sum(y_pred, axis=-1, keepdims=True)))


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> Any:
    """-[y log p + (1-y) log(1-p)], the mean over the last axis."""
    y_pred = numbers(y_pred)
    y = like_output("binary_crossentropy", y_true, y_pred)
    if ((y < 0) | (y > 1)).any():
        raise ValueError("binary_crossentropy: targets must be from 0 to 1")
    y = y * (1 - label_smoothing) + label_smoothing / 2
    z = y_pred if from_logits else logits_of(y_pred, sigmoid)
    if z is not None:
        terms = binary_cross_entropy(z, y, reduction="none")
    else:
        p = clipped(y_pred)
        terms = -(np.log(p) * y + np.log(1 - p) * (1 - y))
    return np.mean(terms, axis=-1)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0
) -> Any:
    """-Σ y log p, for one-hot y."""
    y_pred, y = numbers(y_pred), plain(y_true)
    if y.shape != y_pred.shape:
        raise ValueError(
            f"categorical_crossentropy: expected one-hot targets {y_pred.shape}, got {y.shape}; "
            "for class ids use sparse_categorical_crossentropy"
        )
    y = y * (1 - label_smoothing) + label_smoothing / y.shape[-1]
    return -np.sum(log_probabilities(y_pred, from_logits) * y.astype(y_pred.dtype), axis=-1)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None
) -> Any:
    """-log p of the class; 0 where it is ``ignore_class``."""
    y_pred, y = numbers(y_pred), plain(y_true)
    ignored = None if ignore_class is None else y == ignore_class
    if ignored is not None:
        y = np.where(ignored, 0, y)
    ids = sparse_ids("sparse_categorical_crossentropy", y, y_pred)
    terms = -np.take_along_axis(log_probabilities(y_pred, from_logits), ids[..., None], -1)[..., 0]
    return terms if ignored is None else np.where(ignored.reshape(ids.shape), 0, terms)


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """(y - output)², the mean over the last axis."""
    y_pred = numbers(y_pred)
    y = like_output("mse", y_true, y_pred)
    return np.mean(mse_loss(y_pred, y, reduction="none"), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """``|y - output|``, the mean over the last axis."""
    y_pred = numbers(y_pred)
    return np.mean(np.abs(y_pred - like_output("mae", y_true, y_pred)), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """``100 |y - output| / |y|``, the mean over the last axis."""
    y_pred = numbers(y_pred)
    y = like_output("mape", y_true, y_pred)
    return 100 * np.mean(np.abs((y_pred - y) / np.maximum(np.abs(y), 1e-7)), axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """(log(1 + y) - log(1 + output))², the mean over the last axis; both are 0 at least."""
    y_pred = numbers(y_pred)
    y = np.maximum(like_output("msle", y_true, y_pred), 1e-7)
    difference = np.log(np.maximum(y_pred, 1e-7) + 1) - np.log(y + 1)
    return np.mean(difference * difference, axis=-1)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Half the square of an error up to ``delta``, linear beyond; the mean over the last axis."""
    y_pred = numbers(y_pred)
    y = like_output("huber", y_true, y_pred)
    return np.mean(huber_loss(y_pred, y, delta=delta, reduction="none"), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """log cosh(output - y), the mean over the last axis."""
    y_pred = numbers(y_pred)
    e = y_pred - like_output("log_cosh", y_true, y_pred)
    log2 = np.asarray(np.log(2), y_pred.dtype)
    return np.mean(e + softplus(e * -2) - log2, axis=-1)


def margin_deficit(who: str, y_true: Any, y_pred: Any) -> Any:
    """max(0, 1 - y output) of each element; y is -1 or 1, or 0 or 1."""
    y_pred = numbers(y_pred)
    y = like_output(who, y_true, y_pred)
    if not np.isin(y, (-1, 0, 1)).all():
        raise ValueError(f"{who}: targets must be -1 and 1, or 0 and 1")
    sign = np.where(y > 0, 1, -1).astype(y.dtype)
    return relu(1 - y_pred * sign)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """max(0, 1 - y output), the mean over the last axis; y is -1 or 1, or 0 or 1."""
    return np.mean(margin_deficit("hinge", y_true, y_pred), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """max(0, 1 - y output)², the mean over the last axis; y is -1 or 1, or 0 or 1."""
    return np.mean(margin_deficit("squared_hinge", y_true, y_pred) ** 2, axis=-1)


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """Σ y log(y / p) over the last axis, of probabilities that are 1e-7 at least."""
    y_pred = numbers(y_pred)
    y = np.clip(like_output("kl_divergence", y_true, y_pred), 1e-7, 1)
    return np.sum((np.log(y) - np.log(np.clip(y_pred, 1e-7, 1))) * y, axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """output - y log(output), the mean over the last axis."""
    y_pred = numbers(y_pred)
    return np.mean(y_pred - np.log(y_pred + 1e-7) * like_output("poisson", y_true, y_pred), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between y and the output, over an axis."""
    y_pred = numbers(y_pred)
    y = like_output("cosine_similarity", y_true, y_pred)

    def unit(x: Any) -> Any:
        squares = np.sum(x * x, axis=axis, keepdims=True)
        return x / np.sqrt(np.maximum(squares, 1e-12))

    return np.sum(unit(y_pred) * unit(y), axis=axis)


# Objects -----------------------------------------------------------------------------------------


class Loss:
    """Base of the losses: ``loss(y_true, y_pred)`` is their mean; a subclass defines ``call``.

    Args:
        reduction: "sum_over_batch_size" for the mean over all positions, "sum", or None for the
            terms.
        name: A name.
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        kinds = ("sum_over_batch_size", "mean", "sum", "none", None)
        self.reduction = check_choice(type(self).__name__, "reduction", reduction, kinds)
        self.name = name

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """A term for each position."""
        raise NotImplementedError(f"{type(self).__name__} defines no call(y_true, y_pred)")

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None
    ) -> Any:
        """The loss.

        Args:
            y_true: Targets.
            y_pred: Outputs.
            sample_weight: A factor of each term, or of those of each instance: (batch,).
            mask: (batch, time); at its False positions a target may be anything.
        """
        shape = np.shape(plain(y_true))
        if mask is not None and shape[: mask.ndim] == mask.shape:
            y = plain(y_true)
            y_true = np.where(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)), y, 0)
        terms = self.call(y_true, y_pred)
        return reduced(terms, self.reduction, sample_weight, mask)


def reduced(terms: Any, reduction: str | None, sample_weight: Any, mask: Any) -> Any:
    """Terms as one number: weighted, and over the real positions."""
    shape = np.shape(values(terms))
    count = max(int(np.prod(shape)), 1)
    if mask is not None and mask.shape == shape:
        terms = np.where(mask, terms, 0)
        count = max(int(mask.sum()), 1)
    if sample_weight is not None:
        weight = plain(sample_weight)
        if weight.ndim and weight.shape[-1:] == (1,) and weight.ndim == len(shape) + 1:
            weight = weight[..., 0]
        if weight.ndim > len(shape) or weight.shape != shape[: weight.ndim]:
            raise ValueError(
                f"sample_weight: expected a number for each instance, {shape[:1]}, or for each "
                f"position, {shape}, got {weight.shape}"
            )
        weight = weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim))
        terms = terms * weight.astype(values(terms).dtype)
    if reduction in (None, "none"):
        return terms
    total = np.sum(terms)
    return total if reduction == "sum" else total / count


class Wrapped(Loss):
    """A function of targets and outputs as a Loss.

    Args:
        function: The function.
        reduction, name: As in ``Loss``.
        **options: Further arguments of the function.
    """

    def __init__(
        self,
        function: Terms,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(reduction, name or getattr(function, "__name__", "loss"))
        self.function, self.options = function, options

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The function."""
        return self.function(y_true, y_pred, **self.options)


class Simple(Wrapped):
    """Base of the losses that have no options."""

    terms: Terms

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ) -> None:
        super().__init__(type(self).terms, reduction, name)


class MeanSquaredError(Simple):
    """``mean_squared_error``."""

    terms = staticmethod(mean_squared_error)


class MeanAbsoluteError(Simple):
    """``mean_absolute_error``."""

    terms = staticmethod(mean_absolute_error)


class MeanAbsolutePercentageError(Simple):
    """``mean_absolute_percentage_error``."""

    terms = staticmethod(mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(Simple):
    """``mean_squared_logarithmic_error``."""

    terms = staticmethod(mean_squared_logarithmic_error)


class Hinge(Simple):
    """``hinge``."""

    terms = staticmethod(hinge)


class SquaredHinge(Simple):
    """``squared_hinge``."""

    terms = staticmethod(squared_hinge)


class KLDivergence(Simple):
    """``kl_divergence``."""

    terms = staticmethod(kl_divergence)


class LogCosh(Simple):
    """``log_cosh``."""

    terms = staticmethod(log_cosh)


class Poisson(Simple):
    """``poisson``."""

    terms = staticmethod(poisson)


class CosineSimilarity(Wrapped):
    """The negative ``cosine_similarity``, to be made small."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(cosine_similarity, reduction, name, axis=axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The negative cosine."""
        return -super().call(y_true, y_pred)


class Huber(Wrapped):
    """``huber``."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(huber, reduction, name, delta=delta)


class BinaryCrossentropy(Wrapped):
    """``binary_crossentropy``.

    Args:
        from_logits: Whether outputs are logits, of a last layer without an activation.
        label_smoothing: How much of a target of 0 or 1 goes to the other one.
        axis: -1.
        reduction, name: As in ``Loss``.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        smoothing = check_fraction("BinaryCrossentropy", "label_smoothing", label_smoothing)
        options = {"from_logits": from_logits, "label_smoothing": smoothing}
        super().__init__(binary_crossentropy, reduction, name, **options)


class CategoricalCrossentropy(Wrapped):
    """``categorical_crossentropy``; the arguments are those of ``BinaryCrossentropy``."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        smoothing = check_fraction("CategoricalCrossentropy", "label_smoothing", label_smoothing)
        options = {"from_logits": from_logits, "label_smoothing": smoothing}
        super().__init__(categorical_crossentropy, reduction, name, **options)


class SparseCategoricalCrossentropy(Wrapped):
    """``sparse_categorical_crossentropy``.

    Args:
        from_logits: Whether outputs are logits, of a last layer without an activation.
        ignore_class: A class whose positions do not count.
        reduction, name: As in ``Loss``.
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        self.ignore_class = ignore_class
        options = {"from_logits": from_logits, "ignore_class": ignore_class}
        super().__init__(sparse_categorical_crossentropy, reduction, name, **options)

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None
    ) -> Any:
        """The loss; positions of the ignored class do not count."""
        if self.ignore_class is not None:
            real = plain(y_true) != self.ignore_class
            real = real[..., 0] if real.ndim == np.ndim(values(y_pred)) else real
            mask = real if mask is None else mask & real
        return super().__call__(y_true, y_pred, sample_weight, mask)


# By name -----------------------------------------------------------------------------------------

KINDS: dict[str, Callable[[], Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "huber": Huber,
    "kl_divergence": KLDivergence,
    "kld": KLDivergence,
    "kullback_leibler_divergence": KLDivergence,
    "log_cosh": LogCosh,
    "logcosh": LogCosh,
    "poisson": Poisson,
    "cosine_similarity": CosineSimilarity,
    "cosine_proximity": CosineSimilarity,
}


def get(identifier: Any, who: str = "losses.get") -> Loss:
    """The loss of a name; a Loss itself; a function of targets and outputs as a Loss."""
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier):
        return Wrapped(identifier)
    known = KINDS | {kind.__name__: kind for kind in KINDS.values()}  # type: ignore[attr-defined]
    return known[check_choice(who, "loss", identifier, known, "a function")]()


__getattr__ = absent(__name__)
