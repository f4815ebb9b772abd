"""``Sequential``: a network as a list of layers, with Keras's ``compile``, ``fit``, ``predict``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor, reduce_loss, scope, values
from ...cells import Module
from ...checks import check_choice, check_int, describe_received, wrong_type
from ..networks.layers import evaluating
from ..training import loop
from ..training.optim import Optimizer
from .callbacks import Callback, History
from .layers import Dense, Embedding, Layer, Mask, Shape, shown
from .losses import FROM_LOGITS, LOSSES, Ending, Terms
from .metrics import METRICS
from .optimizers import BY_NAME, Factory

__all__ = ["Sequential"]

Array = NDArray[Any]


class Sequential(Module):
    """A stack of layers, each reading the output of the one before.

    Args:
        layers: The layers, or None to ``add`` them.
        rng: A Generator, a seed, or None: for weights, dropout, and the order of the data.
        dtype: Of the parameters and the results.

    Example:
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
        self.stop_training = False
        self.shapes: list[Shape] = []
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Append a layer, which may not be part of another network."""
        if not isinstance(layer, Layer):
            expected = "a layer of unspool.models.keras, as in Dense(10)"
            raise wrong_type(f"Sequential.add: expected {expected}", layer)
        if self.built:
            raise ValueError("Sequential.add: the network has its parameters; add layers before")
        if layer.built or layer in self.layers:
            raise ValueError(
                f"Sequential.add: this {type(layer).__name__} is part of a network already; create "
                "another one"
            )
        self.layers.append(layer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the parameters for inputs of a shape; otherwise the first data do it.

        Args:
            input_shape: With the batch axis, None for axes of any length: (None, None) for ids,
                (None, 20) for features, (None, None, 20) for sequences of features.
        """
        if not self.layers:
            raise ValueError("Sequential: there is no layer; add one, as in add(Dense(10))")
        if self.built:
            raise ValueError("Sequential.build: the network has its parameters already")
        shapes: list[Shape] = [tuple(input_shape)[1:]]
        for layer in self.layers:  # check all before any is built
            layer.check(shapes[-1])
            shapes.append(layer.output_shape(shapes[-1]))
        for layer, shape in zip(self.layers, shapes, strict=False):
            layer.build(shape, self.rng, self.dtype)
            layer.built = True
        self.shapes = shapes
        self.built = True

    def compile(
        self,
        optimizer: str | Factory = "rmsprop",
        loss: str | Callable[[Array, Any], Any] | None = None,
        metrics: Sequence[str | Callable[[Array, Array], Any]] = (),
    ) -> None:
        """Choose the optimiser, the loss and the metrics.

        Args:
            optimizer: A name, such as "adam"; an optimiser of ``unspool.models.keras.optimizers``,
                as ``Adam(learning_rate=0.01)``; or a function from the parameters to an Optimizer.
            loss: "binary_crossentropy", "categorical_crossentropy" (one-hot targets),
                "sparse_categorical_crossentropy" (class ids), "mse", "mae", "hinge",
                "squared_hinge"; or a function from targets and outputs, a Tensor, to the terms at
                each position, a Tensor.
            metrics: "accuracy", "mse", "mae", or functions from targets and outputs, arrays, to
                a number at each position.
        """
        if isinstance(metrics, str):
            raise TypeError(f"compile: metrics must be a list, as in [{metrics!r}]")
        if callable(loss):
            own = loss  # of targets and outputs, not of logits
            self.terms: Terms = lambda y, output, ending: own(y, output)
        else:
            self.terms = LOSSES[check_choice("compile", "loss", loss, LOSSES, "a function") or ""]
        self.loss_name = loss
        self.metrics = {metric_name(metric): metric_function(metric) for metric in metrics}
        if isinstance(optimizer, str):
            name = check_choice("compile", "optimizer", optimizer.lower(), BY_NAME)
            self.make_optimizer: Factory = BY_NAME[name]()
        elif callable(optimizer):
            self.make_optimizer = optimizer
        else:
            raise TypeError(
                f"compile: optimizer must be one of {', '.join(BY_NAME)}, or a function from the "
                "parameters to an Optimizer, as in lambda parameters: Adam(parameters, lr=0.01); "
                f"got {describe_received(optimizer)}"
            )
        self.optimizer: Optimizer | None = None
        self.compiled = True

    @property
    def metrics_names(self) -> list[str]:
        """The names of the numbers that ``evaluate`` returns."""
        self._check_compiled("metrics_names")
        return ["loss", *self.metrics]

    # The forward pass -----------------------------------------------------------------------------

    def __call__(self, x: Any) -> Any:
        """The output for an input (batch, ...), a Tensor."""
        return self._forward(self._inputs("Sequential", x), None)[0]

    def _forward(self, x: Any, activation: str | None) -> tuple[Any, Any, Ending, Mask]:
        """The output; the loss's inputs, scores and ending; and the mask.

        A last Dense with this ``activation`` passes its logits to the loss.
        """
        mask: Mask = None
        *below, last = self.layers
        for i, layer in enumerate(below):
            with scope(str(i)):
                x, mask = layer.call(x, mask)
        with scope(str(len(below))):
            if activation and isinstance(last, Dense) and last.activation == activation:
                scores = last.scores(x)
                return last.g(scores), scores, activation, mask
            output, mask = last.call(x, mask)
            return output, output, None, mask

    def _batch_loss(self, x: Array, y: Array) -> tuple[Tensor, int, dict[str, float]]:
        """A batch's mean loss, the number of real positions, and the sums of the metrics there."""
        output, scores, ending, mask = self._forward(x, FROM_LOGITS.get(self.terms))
        if mask is not None and y.shape[: mask.ndim] == mask.shape:
            # A target at a padded position may be anything, also no class.
            y = np.where(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)), y, 0)
        terms = self.terms(y, scores, ending)
        if mask is not None and np.shape(terms) != mask.shape:
            mask = None  # a loss of one's own whose terms are not positions
        loss: Tensor = reduce_loss(terms, mask, "mean")
        count = int(np.prod(output.shape[:-1])) if mask is None else int(mask.sum())
        sums = {}
        for name, metric in self.metrics.items():
            at_positions = metric(y, output.data, self.loss_name)
            sums[name] = float((at_positions if mask is None else at_positions[mask]).sum())
        return loss, count, sums

    # Training -------------------------------------------------------------------------------------

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
        callbacks: Sequence[Callback] = (),
    ) -> History:
        """Train; a further call continues.

        The loop is that of ``unspool.models.fit``: where the loss or the gradient is NaN or
        infinite, it raises FloatingPointError, and the parameters are those before the epoch.

        Args:
            x: (instances, ...): ids (instances, time) for an Embedding.
            y: (instances, ...), as the loss reads them.
            batch_size: The number of instances in a batch.
            epochs: The number of epochs.
            validation_data: (x, y) that is evaluated after each epoch.
            verbose: 0 for silence, else a line for each epoch.
            shuffle: Whether each epoch has its own random order.
            validation_split: Instead of ``validation_data``, the fraction of the instances that
                are held out, from the end.
            callbacks: Called after each epoch.

        Returns:
            The loss and the metrics of each epoch, those of validation named ``val_...``.
        """
        self._check_compiled("fit")
        x, y = self._data("fit", x, y)
        if validation_split:
            if validation_data is not None:
                raise ValueError("fit: give validation_data or validation_split, not both")
            cut = int(len(x) * (1 - validation_split))
            if not 0 < cut < len(x):
                raise ValueError(
                    f"fit: validation_split must be a fraction of the {len(x)} instances that "
                    f"leaves some for training and for validation, got {validation_split}"
                )
            validation_data, x, y = (x[cut:], y[cut:]), x[:cut], y[:cut]
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("fit: validation_data must be a tuple of two, (x_dev, y_dev)")
            validation_data = self._data("fit: validation_data", *validation_data)
        if self.optimizer is None:
            self.optimizer = self.make_optimizer([p for p in self.parameters() if p.requires_grad])
        task = Instances(self, x, y, check_int("fit", "batch_size", batch_size), shuffle)
        history = History()
        called = [history, *callbacks]

        def after_epoch(row: dict[str, float]) -> bool:
            epoch = int(row["epoch"])
            logs = {"loss": row["loss"], **task.means()}
            if validation_data is not None:
                numbers = self._evaluate(*validation_data, batch_size)
                logs.update({f"val_{name}": value for name, value in numbers.items()})
            if verbose:
                print(f"Epoch {epoch}/{epochs}: {as_text(logs)}", flush=True)
            for callback in called:
                callback.on_epoch_end(epoch - 1, logs)
            return self.stop_training

        self.stop_training = False
        for callback in called:
            callback.model = self
            callback.on_train_begin()
        loop.fit(self, task, self.optimizer, epochs=epochs, progress=False, after_epoch=after_epoch)
        for callback in called:
            callback.on_train_end()
        return history

    def _evaluate(self, x: Array, y: Array, batch_size: int) -> dict[str, float]:
        """The loss and the metrics, without dropout and without a tape."""
        task = Instances(self, x, y, batch_size, shuffle=False)
        return {"loss": loop.evaluate(self, task), **task.means()}

    def evaluate(
        self, x: Any, y: Any, batch_size: int = 32, verbose: int = 0, return_dict: bool = False
    ) -> Any:
        """The loss, and the metrics if there are any: a number, or a list ``[loss, ...]``.

        The arguments are those of ``fit``; ``verbose`` above 0 prints a line, and ``return_dict``
        returns the numbers by name.
        """
        self._check_compiled("evaluate")
        check_int("evaluate", "batch_size", batch_size)
        numbers = self._evaluate(*self._data("evaluate", x, y), batch_size)
        if verbose:
            print(as_text(numbers), flush=True)
        if return_dict:
            return numbers
        return list(numbers.values()) if self.metrics else numbers["loss"]

    def predict(self, x: Any, batch_size: int = 32, verbose: int = 0) -> Array:
        """The outputs, (instances, ...), an array; without dropout.

        ``verbose`` is accepted as in Keras; nothing is printed.
        """
        check_int("predict", "batch_size", batch_size)
        x = self._inputs("predict", x)
        with evaluating(self):
            outputs = [
                self._forward(x[begin : begin + batch_size], None)[0].data
                for begin in range(0, len(x), batch_size)
            ]
        return np.concatenate(outputs)

    def summary(self) -> None:
        """Print the layers, the shapes of their outputs, and their numbers of parameters."""
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

    def _check_compiled(self, who: str) -> None:
        if not self.compiled:
            raise ValueError(
                f'{who}: the network is not compiled; call compile(optimizer="adam", '
                'loss="binary_crossentropy", metrics=["accuracy"]) first'
            )

    def _inputs(self, who: str, x: Any) -> Array:
        """Inputs as an array that fits; the first ones build the network."""
        array = as_array(who, "x", x)
        if array.ndim < 2 or not len(array):
            raise ValueError(
                f"{who}: expected x (instances, ...) of 1 instance or more, got {array.shape}"
            )
        ids = bool(self.layers) and isinstance(self.layers[0], Embedding)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{who}: x must hold numbers, got {array.dtype}")
        if array.dtype.kind == "f" or (self.layers and not ids):
            array = array.astype(self.dtype, copy=False)
        # The length of sequences may differ from call to call; widths may not.
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
        """Inputs and targets, of equal number."""
        inputs, targets = self._inputs(who, x), as_array(who, "y", y)
        if not targets.ndim or len(targets) != len(inputs):
            raise ValueError(
                f"{who}: expected as many y as x, got x {inputs.shape} and y {targets.shape}"
            )
        if targets.dtype.kind not in "fiub":
            raise TypeError(f"{who}: y must hold numbers, got {targets.dtype}")
        return inputs, targets


class Instances:
    """Inputs and targets as a Task; it averages the network's metrics over an epoch."""

    unit = "instances"

    def __init__(self, model: Sequential, x: Array, y: Array, batch: int, shuffle: bool) -> None:
        self.model, self.x, self.y, self.batch, self.shuffle = model, x, y, batch, shuffle

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch)

    def batches(self, epoch: int) -> Iterator[tuple[Array, Array]]:
        """(x, y); a new epoch starts new averages."""
        self.sums, self.count = dict.fromkeys(self.model.metrics, 0.0), 0
        order = np.arange(len(self.x))
        if self.shuffle:
            order = self.model.rng.permutation(len(self.x))
        for begin in range(0, len(order), self.batch):
            rows = order[begin : begin + self.batch]
            yield self.x[rows], self.y[rows]

    def loss(self, model: Any, batch: tuple[Array, Array], carry: Any) -> tuple[Tensor, int, Any]:
        """The mean loss of a batch; its metrics are added to the averages."""
        loss, count, sums = self.model._batch_loss(*batch)
        self.count += count
        for name, value in sums.items():
            self.sums[name] += value
        return loss, count, None

    def means(self) -> dict[str, float]:
        """The metrics' averages over the real positions of the epoch."""
        return {name: total / max(self.count, 1) for name, total in self.sums.items()}


def metric_name(metric: Any) -> str:
    """A metric's column in the history."""
    return metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")


def metric_function(metric: Any) -> Callable[[Array, Array, Any], Array]:
    """A metric as a function of targets, outputs and the loss."""
    if callable(metric):
        return lambda y, output, loss: np.asarray(metric(y, output))
    return METRICS[check_choice("compile", "a metric", metric, METRICS, "a function")]


def as_text(numbers: dict[str, float]) -> str:
    """Named numbers as a line."""
    return ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())


def as_array(who: str, name: str, x: Any) -> Array:
    """Data as an array; a ragged list raises a ValueError that names the cure."""
    try:
        return np.asarray(values(x))
    except ValueError as error:
        raise ValueError(
            f"{who}: {name} is no array: {error}; pad lists of different length with pad_sequences"
        ) from None
