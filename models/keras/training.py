"""``compile``, ``fit``, ``evaluate``, ``predict``; the loop is that of ``unspool.models.fit``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor
from ...checks import check_int
from ..networks.layers import evaluating
from ..training import loop, optim
from . import data, optimizers
from .base import Layer
from .callbacks import Callback, CallbackList, History
from .data import ArrayData, Batch, BatchData, as_array
from .objective import Objective
from .session import generator, plain
from .symbolic import leaves, mapped

Array = NDArray[Any]


class Trainer(Layer):
    """Base of the networks: a layer with a loss, an optimiser and metrics.

    Attributes:
        optimizer: What ``compile`` was given, built by the first ``fit``.
        stop_training: Set to True by a callback, it ends the training.
    """

    compiled: bool = False
    stop_training: bool = False
    optimizer: Any = None
    # The regularisers' terms, each a function without arguments.
    regularisers: Sequence[Callable[[], Any]] = ()

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Choose the optimiser, the loss and the metrics.

        ``run_eagerly`` and what stands behind it change nothing here. For several outputs ``loss``,
        ``loss_weights`` and ``metrics`` are lists, or dicts by the names of the output layers.

        Args:
            optimizer: A name, such as "adam"; an optimiser of ``keras.optimizers``, as
                ``Adam(learning_rate=0.01)``; or a function from the parameters to an Optimizer.
            loss: A name, such as "binary_crossentropy", "categorical_crossentropy" (one-hot
                targets), "sparse_categorical_crossentropy" (class ids), "mse"; a Loss; or a
                function from targets and outputs, a Tensor, to the terms at each position.
            loss_weights: The factor of each output's loss.
            metrics: "accuracy", "mae", ..., Metrics, or functions from targets and outputs,
                arrays, to a number at each position.
            weighted_metrics: The same, for those that ``sample_weight`` counts for.
        """
        if metrics is None and holds_no_numbers(loss_weights):
            loss_weights, metrics = None, loss_weights  # their place in Keras 1 and 2
        self.objective = Objective(loss, loss_weights, metrics, weighted_metrics)
        self.compile_arguments = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
        self.optimizer = optimizers.get(optimizer, "compile")
        self.ready = isinstance(self.optimizer, optim.Optimizer) and not isinstance(
            self.optimizer, optimizers.Optimizer
        )
        self.compiled = True

    @property
    def metrics_names(self) -> list[str]:
        """The names of the numbers that ``evaluate`` returns."""
        self._check_compiled("metrics_names")
        return self.objective.columns

    def output_names(self, outputs: list[Any]) -> list[str]:
        """The names of the outputs, by which ``compile`` takes dicts."""
        return [f"output_{i}" for i in range(1, len(outputs) + 1)]

    # Batches --------------------------------------------------------------------------------------

    def _batch_loss(self, batch: Batch) -> Tensor:
        """A batch's loss, which the objective's averages see."""
        outputs = list(leaves(self(batch.x, training=self.training)))
        names = self.output_names(outputs)
        self.objective.bind(names)
        targets = self._for_outputs("y", batch.y, names)
        weights = self._for_outputs("sample_weight", batch.weight, names)
        terms = [penalty() for penalty in self.regularisers]
        loss: Tensor = self.objective(targets, outputs, weights, terms, batch.size)
        self.objective.total.update_state(loss.item(), batch.size)
        return loss

    def _for_outputs(self, name: str, given: Any, names: list[str]) -> list[Any]:
        """One array for each output."""
        if isinstance(given, dict):
            missing = [n for n in names if n not in given]
            if missing and name == "y":
                raise ValueError(
                    f"fit: y has no {', '.join(map(repr, missing))}; the outputs are "
                    f"{', '.join(map(repr, names))}, got {', '.join(map(repr, given))}"
                )
            return [given.get(n) for n in names]
        if isinstance(given, (list, tuple)):
            found = list(given)
        else:
            found = [given] * (len(names) if name == "sample_weight" else 1)
        if len(found) != len(names):
            raise ValueError(
                f"fit: expected {len(names)} of {name}, one for each output ({', '.join(names)}), "
                f"got {len(found)}"
            )
        return found

    def _prepare(self, batch: Batch, training: bool = True) -> None:
        """Create the weights, and for training the optimiser, if they are not there."""
        if not self.built:
            with evaluating(self):
                self(mapped(data.taken(slice(1)), batch.x))
        self.regularisers = [term for layer in self.sublayers() for term in layer.penalties]
        if self.ready or not training:
            return
        trained = [p for p in self.parameters() if p.requires_grad]
        if not isinstance(self.optimizer, optimizers.Optimizer):
            self.optimizer = self.optimizer(trained)
        elif not self.optimizer.built:
            twice = [p for p in self.doubled() if p.requires_grad]
            groups: list[dict[str, Any]] = [
                {"parameters": [p for p in trained if p not in set(twice)]},
                # Two biases that get the same gradient move their sum twice as far.
                {
                    "parameters": twice,
                    "scale": 2.0,
                    "weight_decay": self.optimizer.decay_factor / 2,
                },
            ]
            self.optimizer.build(groups if twice else trained)
        self.ready = True

    # Training -------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Sequence[Callback] | Callback | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train; a further call continues.

        The loop is that of ``unspool.models.fit``: where the loss or the gradient is NaN or
        infinite, it raises FloatingPointError, and the parameters are those before the epoch.

        Args:
            x: (instances, ...): ids (instances, time) for an Embedding; a list or a dict of such
                arrays for several inputs; or a generator or ``keras.utils.Sequence`` of batches
                (x, y) or (x, y, weights).
            y: (instances, ...), as the loss reads them; a list or a dict for several outputs.
            batch_size: The number of instances in a batch, 32 by default.
            epochs: The number of the last epoch.
            verbose: 0 for silence, else a line for each epoch.
            callbacks: Called as the training goes.
            validation_split: Instead of ``validation_data``, the fraction of the instances that
                are held out, from the end.
            validation_data: (x, y) or (x, y, weights), evaluated after each epoch; or batches.
            shuffle: Whether each epoch has its own random order.
            class_weight: A factor of the loss by class, as {0: 1.0, 1: 5.0}.
            sample_weight: A factor of the loss for each instance, (instances,), or for each
                position, (instances, time).
            initial_epoch: The number of epochs that are over.
            steps_per_epoch: The number of batches in an epoch.
            validation_steps, validation_batch_size: The same for validation.
            validation_freq: The number of epochs from one validation to the next.

        Returns:
            The loss and the metrics of each epoch, those of validation named ``val_...``.
        """
        self._check_compiled("fit")
        source = self._source("fit", x, y, batch_size, sample_weight, steps_per_epoch, shuffle)
        if validation_split:
            if validation_data is not None:
                raise ValueError("fit: give validation_data or validation_split, not both")
            if not isinstance(source, ArrayData):
                raise ValueError("fit: validation_split is for arrays, not for batches")
            source.all, held_out = data.split("fit", source.all, validation_split)
            validation_data = tuple(part for part in held_out if part is not None)
        if class_weight is not None:
            source = weighted("fit", source, class_weight)
        validation = None
        if validation_data is not None:
            size = validation_batch_size or batch_size
            validation = self._validation(validation_data, size, validation_steps)
        self._prepare(first_batch(source))
        history = History()
        called = CallbackList([*given_callbacks(callbacks), history], self)
        steps = len(source) if steps_per_epoch is None else min(steps_per_epoch, len(source))
        called.set_params({"epochs": epochs, "steps": steps, "verbose": verbose_level(verbose)})
        task = Task(self, source, called, initial_epoch, steps)

        def after_epoch(row: dict[str, Any]) -> bool:
            epoch = initial_epoch + int(row["epoch"]) - 1
            logs = self.objective.results()
            if validation is not None and (epoch + 1) % validation_freq == 0:
                numbers = self._evaluate(validation)
                logs |= {f"val_{name}": value for name, value in numbers.items()}
            if verbose_level(verbose):
                print(f"Epoch {epoch + 1}/{epochs}: {as_text(logs)}", flush=True)
            called.on_epoch_end(epoch, logs)
            return self.stop_training

        check_int("fit", "epochs", epochs)
        self.stop_training = False
        called.on_train_begin()
        loop.fit(
            self,
            task,
            self.optimizer,
            epochs=check_int("fit", "epochs", epochs - initial_epoch),
            progress=False,
            after_epoch=after_epoch,
        )
        called.on_train_end()
        return history

    def _validation(self, given: Any, size: int | None, steps: int | None) -> Any:
        """The data of ``validation_data``."""
        if data.is_batches(given):
            return self._source("fit: validation_data", given, None, size, None, steps, False)
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise ValueError("fit: validation_data must be a tuple of two, (x_dev, y_dev)")
        x, y, *weight = given
        weights = weight[0] if weight else None
        return self._source("fit: validation_data", x, y, size, weights, steps, False)

    def _evaluate(self, source: Any) -> dict[str, Any]:
        """The loss and the metrics, without dropout and without a tape."""
        self._prepare(first_batch(source), training=False)
        self.objective.reset()
        loop.evaluate(self, Task(self, source, None, 0, len(source)))
        return self.objective.results()

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss, and the metrics if there are any: a number, or a list ``[loss, ...]``.

        The arguments are those of ``fit``; ``verbose`` above 0 prints a line, and ``return_dict``
        returns the numbers by name.
        """
        self._check_compiled("evaluate")
        source = self._source("evaluate", x, y, batch_size, sample_weight, steps, False)
        called = CallbackList(given_callbacks(callbacks), self)
        called.on_test_begin()
        numbers = self._evaluate(source)
        called.on_test_end(numbers)
        if verbose_level(verbose):
            print(as_text(numbers), flush=True)
        if return_dict:
            return numbers
        return list(numbers.values()) if len(numbers) > 1 else numbers["loss"]

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs, (instances, ...), an array, or a list of them; without dropout.

        ``verbose`` is accepted as in Keras; nothing is printed.
        """
        called = CallbackList(given_callbacks(callbacks), self)
        called.on_predict_begin()
        made: list[list[Array]] = []
        several = False
        with evaluating(self):
            for batch in self._source("predict", x, None, batch_size, None, steps, False):
                outputs = self(batch.x, training=False)
                several = isinstance(outputs, (list, tuple, dict))
                made.append([plain(output) for output in leaves(outputs)])
                names = list(outputs) if isinstance(outputs, dict) else None
        called.on_predict_end()
        joined = [joined_batches(parts) for parts in zip(*made, strict=True)]
        if names is not None:
            return dict(zip(names, joined, strict=True))
        return joined if several else joined[0]

    # One batch ------------------------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One update; the loss before it and the metrics, as ``evaluate`` returns them."""
        self._check_compiled("train_on_batch")
        size = len(next(leaves(x)))
        source = self._source("train_on_batch", x, y, size, sample_weight, None, False)
        if class_weight is not None:
            source = weighted("train_on_batch", source, class_weight)
        self._prepare(source.all)
        task = Task(self, source, None, 0, 1)
        self.objective.reset()
        loop.fit(self, task, self.optimizer, epochs=1, progress=False)
        numbers = self.objective.results()
        if return_dict:
            return numbers
        return list(numbers.values()) if len(numbers) > 1 else numbers["loss"]

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The loss and the metrics of one batch."""
        size = len(next(leaves(x)))
        return self.evaluate(x, y, size, 0, sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs of one batch."""
        return self.predict(x, len(next(leaves(x))))

    # Keras 1 and 2 --------------------------------------------------------------------------------

    def fit_generator(
        self, generator: Any, steps_per_epoch: int | None = None, epochs: int = 1, **options: Any
    ) -> History:
        """``fit`` of batches, by its name in Keras 1 and 2."""
        return self.fit(generator, steps_per_epoch=steps_per_epoch, epochs=epochs, **options)

    def evaluate_generator(self, generator: Any, steps: int | None = None, **options: Any) -> Any:
        """``evaluate`` of batches, by its name in Keras 1 and 2."""
        return self.evaluate(generator, steps=steps, **options)

    def predict_generator(self, generator: Any, steps: int | None = None, **options: Any) -> Any:
        """``predict`` of batches, by its name in Keras 1 and 2."""
        return self.predict(generator, steps=steps, **options)

    def predict_classes(self, x: Any, batch_size: int | None = None, verbose: Any = 0) -> Array:
        """The classes of ``predict``: the highest output, or whether one is above 1/2."""
        p = self.predict(x, batch_size)
        return np.asarray(p.argmax(-1) if p.shape[-1] > 1 else (p > 0.5).astype(np.int32))

    predict_proba = predict

    # Checked arguments ----------------------------------------------------------------------------

    def _check_compiled(self, who: str) -> None:
        if not self.compiled:
            raise ValueError(
                f'{who}: the network is not compiled; call compile(optimizer="adam", '
                'loss="binary_crossentropy", metrics=["accuracy"]) first'
            )

    def _source(
        self,
        who: str,
        x: Any,
        y: Any,
        batch_size: int | None,
        weight: Any,
        steps: int | None,
        shuffle: bool,
    ) -> Any:
        """Data as batches."""
        if data.is_batches(x):
            return BatchData(who, x, steps, self._batch)
        size = 32 if batch_size is None else check_int(who, "batch_size", batch_size)
        return ArrayData(self._data(who, x, y, weight), size, bool(shuffle), generator(self.rng))

    def _batch(self, who: str, given: Any) -> Batch:
        """A generator's batch, checked."""
        if not isinstance(given, tuple):
            given = (given,)
        if not 1 <= len(given) <= 3:
            raise ValueError(f"{who}: expected batches (x, y), got a tuple of {len(given)}")
        return self._data(who, *given, *(None,) * (3 - len(given)))

    def _data(self, who: str, x: Any, y: Any, weight: Any) -> Batch:
        """Inputs, targets and weights of equal number."""
        inputs = self._inputs(who, x)
        n = len(next(leaves(inputs)))
        targets: Any = None
        if y is None and who not in ("predict",):
            raise ValueError(f"{who}: give the targets too, as in {who}(x, y)")
        if y is not None:
            targets = self._targets(who, y, n, inputs)
        if weight is not None:
            several = isinstance(weight, (dict, list, tuple)) and np.ndim(next(iter(
                weight.values() if isinstance(weight, dict) else weight
            )))  # fmt: skip
            if not several or not isinstance(targets, (dict, list)):
                weight = as_array(who, "sample_weight", weight)
                if weight.shape[:1] != (n,):
                    raise ValueError(
                        f"{who}: expected {n} of sample_weight, one for each instance, got "
                        f"{weight.shape}"
                    )
        return Batch(inputs, targets, weight)

    def _targets(self, who: str, y: Any, n: int, inputs: Any) -> Any:
        """Targets as arrays of as many instances as the inputs."""
        if isinstance(y, dict):
            return {name: self._targets(who, one, n, inputs) for name, one in y.items()}
        if self.outputs_count() > 1 and isinstance(y, (list, tuple)):
            return [self._targets(who, one, n, inputs) for one in y]
        if isinstance(y, list) and len(y) == 1 and isinstance(y[0], np.ndarray):
            y = y[0] if len(y[0]) == n else y
        targets = as_array(who, "y", y)
        if not targets.ndim or len(targets) != n:
            shapes = ", ".join(str(leaf.shape) for leaf in leaves(inputs))
            raise ValueError(
                f"{who}: expected as many y as x, got x {shapes} and y {targets.shape}"
            )
        if targets.dtype.kind not in "fiub":
            raise TypeError(f"{who}: y must hold numbers, got {targets.dtype}")
        return targets

    def outputs_count(self) -> int:
        """The number of outputs, as far as it is known."""
        return 1

    def _inputs(self, who: str, x: Any) -> Any:
        """Inputs as arrays."""
        raise NotImplementedError


class Task:
    """Batches and their loss as the loop of ``unspool.models.fit`` wants them.

    Args:
        model: The network.
        source: The data.
        called: The callbacks; None for an evaluation.
        first: The number of epochs before this training.
        steps: The number of batches in an epoch.
    """

    unit = "instances"

    def __init__(
        self, model: Trainer, source: Any, called: CallbackList | None, first: int, steps: int
    ) -> None:
        self.model, self.source, self.called = model, source, called
        self.first, self.steps = first, steps

    def __len__(self) -> int:
        return self.steps

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches; a new epoch starts new averages, and callbacks hear of each batch."""
        called, objective = self.called, self.model.objective
        if called is not None:
            objective.reset()
            called.on_epoch_begin(self.first + epoch - 1)
        for i, batch in enumerate(self.source):
            if called is not None:
                called.on_train_batch_begin(i)
            yield batch
            if called is not None:  # the loop asks for the next one after its update
                called.on_train_batch_end(i, objective.results)
                if self.model.stop_training:
                    return
            if i + 1 == self.steps:
                return

    def loss(self, model: Any, batch: Batch, carry: Any) -> tuple[Tensor, int, Any]:
        """The loss of a batch, which counts by its instances, as in Keras."""
        return self.model._batch_loss(batch), batch.size, None


def holds_no_numbers(weights: Any) -> bool:
    """Whether a list can be no weights of losses, so that it is one of metrics."""
    listed = isinstance(weights, (list, tuple))
    numbers = listed and all(isinstance(weight, (int, float)) for weight in weights)
    return isinstance(weights, str) or (listed and not numbers)


def first_batch(source: Any) -> Batch:
    """The first batch, which stays the first; that of a generator is put back in front."""
    if isinstance(source, ArrayData):
        return source.all
    if not hasattr(source.source, "__next__"):
        return next(iter(source))
    first = next(source.source)

    def again(rest: Any) -> Iterator[Any]:
        yield first
        yield from rest

    source.source = again(source.source)
    batch: Batch = source.check(source.who, first)
    return batch


def weighted(who: str, source: Any, class_weight: Mapping[int, float]) -> Any:
    """The data with weights by class."""
    if not isinstance(source, ArrayData):
        raise ValueError(f"{who}: class_weight is for arrays; let the batches be (x, y, weights)")
    x, y, weight = source.all
    if not isinstance(y, np.ndarray):
        raise ValueError(f"{who}: class_weight is for one output; give sample_weight")
    by_class = data.class_weights(who, y, class_weight)
    source.all = Batch(x, y, by_class if weight is None else weight * by_class)
    return source


def given_callbacks(callbacks: Any) -> list[Callback]:
    """Callbacks as a list; one alone is a list of one."""
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def verbose_level(verbose: Any) -> int:
    """0 for silence, else 1 or 2."""
    return 1 if verbose == "auto" else int(verbose)


def joined_batches(parts: Sequence[Array]) -> Array:
    """The outputs of batches, one after the other."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def as_text(numbers: dict[str, Any]) -> str:
    """Named numbers as a line."""
    return ", ".join(
        f"{name} {value:.4f}" if np.ndim(value) == 0 else f"{name} {value}"
        for name, value in numbers.items()
    )
