"""Keras's metrics: numbers of targets and outputs that are accumulated batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import check_choice, check_float, check_int
from . import losses
from .absent import absent
from .losses import like_output, sparse_ids
from .session import plain, snake_case

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CosineSimilarity",
    "F1Score",
    "KLDivergence",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "Sum",
    "TopKCategoricalAccuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "get",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

Array = NDArray[Any]
Terms = Callable[..., Any]

# Functions: a number for each position -----------------------------------------------------------


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Array:
    """The fraction of elements that are on the target's side of a threshold."""
    p = losses.numbers(plain(y_pred))
    return np.asarray((like_output("accuracy", y_true, p) == (p > threshold)).mean(-1))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """1 where the output is highest at the class of a one-hot target."""
    y, p = plain(y_true), plain(y_pred)
    if y.shape != p.shape:
        raise ValueError(
            f"categorical_accuracy: expected one-hot targets {p.shape}, got {y.shape}; for class "
            "ids use sparse_categorical_accuracy"
        )
    return np.asarray(p.argmax(-1) == y.argmax(-1))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """1 where the output is highest at the target's class."""
    p = plain(y_pred)
    return np.asarray(p.argmax(-1) == sparse_ids("accuracy", y_true, p))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Array:
    """1 where fewer than k outputs are higher than that of a one-hot target's class."""
    return sparse_top_k_categorical_accuracy(plain(y_true).argmax(-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Array:
    """1 where fewer than k outputs are higher than that of the target's class."""
    p = plain(y_pred)
    ids = sparse_ids("top_k_accuracy", y_true, p)
    own = np.take_along_axis(p, ids[..., None], -1)
    return np.asarray((p > own).sum(-1) < k)


def sign_accuracy(y_true: Any, y_pred: Any) -> Array:
    """The fraction of elements with the target's sign, after a hinge loss."""
    p = losses.numbers(plain(y_pred))
    return np.asarray(((like_output("accuracy", y_true, p) > 0) == (p > 0)).mean(-1))


# Objects -----------------------------------------------------------------------------------------


class Metric:
    """Base: a subclass defines ``update_state``, ``result`` and ``reset_state``.

    Args:
        name: Its name in the history; None for that of the class.
        dtype: Not used: all is computed in float64.
    """

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.reset_state()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch."""
        raise NotImplementedError(f"{type(self).__name__} defines no update_state")

    def result(self) -> Any:
        """The number over all batches since ``reset_state``."""
        raise NotImplementedError(f"{type(self).__name__} defines no result")

    def reset_state(self) -> None:
        """Forget all batches."""

    def reset_states(self) -> None:
        """``reset_state`` by its name in Keras 2."""
        self.reset_state()

    def add_weight(
        self, shape: Any = (), initializer: Any = None, name: str | None = None, **options: Any
    ) -> Any:
        """A variable of a metric of one's own: an array with ``assign`` and ``assign_add``."""
        return Variable(np.zeros(shape))

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add a batch, and return the number so far."""
        self.update_state(y_true, y_pred, sample_weight=sample_weight)
        return self.result()


class Variable(np.ndarray[Any, Any]):
    """An array with Keras's ways to change a variable."""

    def __new__(cls, values: Any) -> Variable:
        """A copy of an array."""
        return np.array(values, float).view(cls)

    def assign(self, value: Any) -> None:
        """Set it."""
        self[...] = plain(value)

    def assign_add(self, value: Any) -> None:
        """Add to it."""
        self[...] += plain(value)


class Sum(Metric):
    """The sum of what was given."""

    def reset_state(self) -> None:
        """Forget all batches."""
        self.total, self.count = 0.0, 0.0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Add numbers, each with its weight."""
        terms = plain(values).astype(float)
        weight = np.ones(terms.shape) if sample_weight is None else plain(sample_weight)
        if weight.ndim == terms.ndim + 1 and weight.shape[-1] == 1:
            weight = weight[..., 0]
        weight = weight.reshape(weight.shape + (1,) * (terms.ndim - weight.ndim))
        weight = np.broadcast_to(weight, terms.shape)
        self.total += float((terms * weight).sum())
        self.count += float(weight.sum())

    def result(self) -> float:
        """The sum."""
        return self.total


class Mean(Sum):
    """The mean of what was given."""

    def result(self) -> float:
        """The mean; 0 of nothing."""
        return self.total / self.count if self.count else 0.0


class MeanMetric(Mean):
    """The mean of a function of targets and outputs.

    Args:
        function: A number for each position.
        name: As in ``Metric``.
        **options: Further arguments of the function.
    """

    def __init__(self, function: Terms, name: str | None = None, **options: Any) -> None:
        super().__init__(name or getattr(function, "__name__", "metric"))
        self.function, self.options = function, options

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Add a batch."""
        terms = plain(self.function(y_true, y_pred, **self.options))
        super().update_state(terms, sample_weight)


def mean_of(function: Terms, kind: str, documented: str) -> type[MeanMetric]:
    """The class of a metric that is a mean of a function without options."""

    def __init__(self: Any, name: str | None = None, dtype: Any = None) -> None:
        MeanMetric.__init__(self, function, name or snake_case(kind))

    made = type(kind, (MeanMetric,), {"__init__": __init__, "__doc__": documented})
    made.__module__ = __name__
    return made


CategoricalAccuracy = mean_of(
    categorical_accuracy, "CategoricalAccuracy", "How often the highest output is the target's."
)
SparseCategoricalAccuracy = mean_of(
    sparse_categorical_accuracy, "SparseCategoricalAccuracy", "The same, of targets as class ids."
)
MeanSquaredError = mean_of(losses.mean_squared_error, "MeanSquaredError", "The mean of (y - p)².")
MeanAbsoluteError = mean_of(
    losses.mean_absolute_error, "MeanAbsoluteError", "The mean of ``|y - p|``."
)
KLDivergence = mean_of(losses.kl_divergence, "KLDivergence", "The mean of Σ y log(y / p).")
CosineSimilarity = mean_of(losses.cosine_similarity, "CosineSimilarity", "The mean cosine.")
Accuracy = mean_of(
    lambda y_true, y_pred: plain(y_true) == plain(y_pred), "Accuracy", "How often both are equal."
)


class BinaryAccuracy(MeanMetric):
    """How often an output is on the target's side of a threshold."""

    def __init__(
        self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5
    ) -> None:
        threshold = check_float("BinaryAccuracy", "threshold", threshold)
        super().__init__(binary_accuracy, name, threshold=threshold)


class TopKCategoricalAccuracy(MeanMetric):
    """How often the target's class is among the k highest outputs."""

    def __init__(
        self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        k = check_int("TopKCategoricalAccuracy", "k", k)
        super().__init__(top_k_categorical_accuracy, name, k=k)


class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the target's class, an id, is among the k highest outputs."""

    def __init__(
        self, k: int = 5, name: str | None = "sparse_top_k_categorical_accuracy", dtype: Any = None
    ) -> None:
        k = check_int("SparseTopKCategoricalAccuracy", "k", k)
        super().__init__(sparse_top_k_categorical_accuracy, name, k=k)


class BinaryCrossentropy(MeanMetric):
    """The mean ``losses.binary_crossentropy``."""

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(losses.binary_crossentropy, name, **options)


class CategoricalCrossentropy(MeanMetric):
    """The mean ``losses.categorical_crossentropy``."""

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(losses.categorical_crossentropy, name, **options)


class SparseCategoricalCrossentropy(MeanMetric):
    """The mean ``losses.sparse_categorical_crossentropy``."""

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(losses.sparse_categorical_crossentropy, name, from_logits=from_logits)


class RootMeanSquaredError(MeanMetric):
    """The root of the mean of (y - p)²."""

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(losses.mean_squared_error, name)

    def result(self) -> float:
        """The root."""
        return float(np.sqrt(super().result()))


class Counts(Metric):
    """Base of the metrics of true and false positives at a threshold."""

    def __init__(
        self,
        thresholds: float | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        who = type(self).__name__
        if top_k is not None:
            raise ValueError(f"{who}: there is no top_k; use TopKCategoricalAccuracy")
        default = 0.5 if thresholds is None else thresholds
        self.threshold = check_float(who, "thresholds", default)
        self.class_id = class_id
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self.true_positives = self.predicted = self.positives = 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch."""
        p = losses.numbers(plain(y_pred))
        y = like_output(type(self).__name__, y_true, p)
        if self.class_id is not None:
            y, p = y[..., self.class_id], p[..., self.class_id]
        weight = np.ones(p.shape) if sample_weight is None else spread(sample_weight, p.shape)
        found = p > self.threshold
        self.true_positives += float((weight * found * y).sum())
        self.predicted += float((weight * found).sum())
        self.positives += float((weight * y).sum())


class Precision(Counts):
    """The fraction of the positives found that are positives."""

    def result(self) -> float:
        """The fraction; 0 of nothing."""
        return self.true_positives / self.predicted if self.predicted else 0.0


class Recall(Counts):
    """The fraction of the positives that were found."""

    def result(self) -> float:
        """The fraction; 0 of nothing."""
        return self.true_positives / self.positives if self.positives else 0.0


class F1Score(Metric):
    """2 P R / (P + R) of each class.

    Args:
        average: None for one number a class, "micro" over all elements, "macro" for their mean,
            "weighted" by the number of targets.
        threshold: Where an output counts as positive; None for the highest output only.
        name, dtype: As in ``Metric``.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        kinds = (None, "micro", "macro", "weighted")
        self.average = check_choice("F1Score", "average", average, kinds)
        self.threshold = threshold
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self.counts: Any = 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch."""
        p = losses.numbers(plain(y_pred))
        y = like_output("F1Score", y_true, p)
        if self.threshold is None:
            found = np.eye(p.shape[-1])[p.argmax(-1)]
        else:
            found = (p > self.threshold).astype(float)
        weight = np.ones(p.shape) if sample_weight is None else spread(sample_weight, p.shape)
        axes = tuple(range(p.ndim - 1))
        each = (weight * found * y, weight * found, weight * y)
        self.counts = self.counts + np.stack([c.sum(axes) for c in each])

    def result(self) -> Any:
        """One number, or one for each class."""
        counts = np.asarray(self.counts)
        if self.average == "micro":
            counts = counts.sum(-1, keepdims=True)
        both, found, real = counts
        f1 = 2 * both / np.maximum(found + real, 1e-7)
        if self.average is None:
            return f1
        if self.average == "weighted":
            return float((f1 * real).sum() / max(real.sum(), 1e-7))
        return float(f1.mean())


class AUC(Metric):
    """The area under the ROC curve, or under that of precision and recall.

    Args:
        num_thresholds: The number of thresholds at which the curve is computed.
        curve: "ROC" or "PR".
        summation_method: "interpolation".
        name, dtype: As in ``Metric``.

    Source: for "PR" the interpolation of Davis and Goadrich (2006).
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = "auc",
        dtype: Any = None,
    ) -> None:
        n = check_int("AUC", "num_thresholds", num_thresholds, 3)
        self.curve = check_choice("AUC", "curve", curve, ("ROC", "PR"))
        check_choice("AUC", "summation_method", summation_method, ("interpolation",))
        inner = np.arange(1, n - 1) / (n - 1)
        self.thresholds = np.array([-1e-7, *inner, 1 + 1e-7])
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self.true = np.zeros(len(self.thresholds))
        self.false = np.zeros(len(self.thresholds))
        self.totals = np.zeros(2)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch at every threshold."""
        p = losses.numbers(plain(y_pred))
        y = like_output("AUC", y_true, p).ravel()
        weight = np.ones(p.shape) if sample_weight is None else spread(sample_weight, p.shape)
        w = weight.ravel()
        found = p.ravel() > self.thresholds[:, None]
        self.true += (found * (y * w)).sum(1)
        self.false += (found * ((1 - y) * w)).sum(1)
        self.totals += (y * w).sum(), ((1 - y) * w).sum()

    def result(self) -> float:
        """The area."""
        positives, negatives = np.maximum(self.totals, 1e-7)
        if self.curve == "ROC":
            x, y = self.false / negatives, self.true / positives
            return float(np.sum((x[:-1] - x[1:]) * (y[:-1] + y[1:]) / 2))
        found = self.true + self.false
        tp, fp = self.true[:-1] - self.true[1:], found[:-1] - found[1:]
        slope = np.divide(tp, np.maximum(fp, 0), out=np.zeros_like(tp), where=fp > 0)
        intercept = self.true[1:] - slope * found[1:]
        ratio = np.ones_like(tp)
        ok = (found[:-1] > 0) & (found[1:] > 0)
        np.divide(found[:-1], np.maximum(found[1:], 0), out=ratio, where=ok)
        return float(np.sum(slope * (tp + intercept * np.log(ratio)) / positives))


def spread(sample_weight: Any, shape: tuple[int, ...]) -> Array:
    """Weights of instances or positions, for every element."""
    weight = plain(sample_weight).astype(float)
    weight = weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim))
    return np.broadcast_to(weight, shape)


# By name -----------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Terms] = {
    "binary_accuracy": binary_accuracy,
    "categorical_accuracy": categorical_accuracy,
    "sparse_categorical_accuracy": sparse_categorical_accuracy,
    "top_k_categorical_accuracy": top_k_categorical_accuracy,
    "sparse_top_k_categorical_accuracy": sparse_top_k_categorical_accuracy,
    "mse": losses.mean_squared_error,
    "mean_squared_error": losses.mean_squared_error,
    "mae": losses.mean_absolute_error,
    "mean_absolute_error": losses.mean_absolute_error,
    "mape": losses.mean_absolute_percentage_error,
    "msle": losses.mean_squared_logarithmic_error,
    "binary_crossentropy": losses.binary_crossentropy,
    "categorical_crossentropy": losses.categorical_crossentropy,
    "sparse_categorical_crossentropy": losses.sparse_categorical_crossentropy,
    "cosine_similarity": losses.cosine_similarity,
    "hinge": losses.hinge,
    "kl_divergence": losses.kl_divergence,
}
OBJECTS: dict[str, Callable[[], Metric]] = {
    "auc": AUC,
    "AUC": AUC,
    "f1_score": F1Score,
    "precision": Precision,
    "Precision": Precision,
    "recall": Recall,
    "Recall": Recall,
}


class ShapeAccuracy(MeanMetric):
    """The accuracy that fits the shapes of targets and outputs, as "accuracy" means it.

    Args:
        name: In the history.
        signs: Whether the loss is one of margins, whose outputs are compared by their signs.
    """

    def __init__(self, name: str, signs: bool) -> None:
        self.signs = signs
        super().__init__(self.at_positions, name)

    def at_positions(self, y_true: Any, y_pred: Any) -> Array:
        """The accuracy at each position."""
        y, p = np.shape(plain(y_true)), np.shape(plain(y_pred))
        if self.signs:
            return sign_accuracy(y_true, y_pred)
        if p[-1:] == (1,):
            return binary_accuracy(y_true, y_pred)
        if len(y) < len(p) or y[-1:] == (1,):
            return sparse_categorical_accuracy(y_true, y_pred)
        return categorical_accuracy(y_true, y_pred)


def get(identifier: Any, loss: Any = None, who: str = "compile") -> Metric:
    """The metric of a name, a Metric itself, or a function of targets and outputs as a Metric.

    Args:
        identifier: Which.
        loss: The loss of the same output, which decides what "accuracy" compares.
        who: For messages.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if callable(identifier):
        return MeanMetric(identifier)
    known = ["accuracy", "acc", *FUNCTIONS, *OBJECTS]
    name = check_choice(who, "a metric", identifier, known, "a function")
    if name in ("accuracy", "acc"):
        return ShapeAccuracy(name, isinstance(loss, (losses.Hinge, losses.SquaredHinge)))
    return OBJECTS[name]() if name in OBJECTS else MeanMetric(FUNCTIONS[name], name)


__getattr__ = absent(__name__)
