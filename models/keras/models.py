"""``Sequential`` and ``Model``: networks of layers, in a row or in a graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...autograd import no_grad
from ...cells import Configured, Module, register
from ...checks import describe_received
from ...files import PathLike, load_arrays
from .. import persist
from . import optimizers
from .base import Layer, Operation, adopt, layer, shape_of
from .graph import Graph, output_shapes
from .inputs import checked_input, checked_inputs
from .layers.core import InputLayer
from .layers.embeddings import Embedding
from .session import CountedName, plain
from .symbolic import KerasTensor, Shape, filled, leaves, shown
from .training import Trainer

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json"]


class LayersWithin:
    """The layers of a network without a graph: those in its attributes."""

    def __get__(self, model: Any, kind: type) -> Any:
        return self if model is None else model.within()


@layer
class Model(Trainer):
    """A network: a graph of layers, or a class of your own with ``call``.

    Args:
        inputs: Symbolic tensors of ``Input``: one, or a list or dict of them.
        outputs: What layers made of them.
        name: A name.
        rng: A Generator, a seed, or None for the session's (``set_random_seed``): for the order of
            the data, and for layers that were given none.
        **options: Those of ``Layer``.

    Attributes:
        layers: The layers, in the order of their calls.

    Example:
        >>> import numpy as np
        >>> from unspool.models.keras import LSTM, Dense, Input, Model
        >>> words = Input((6, 3))
        >>> y, h, c = LSTM(4, return_state=True)(words)
        >>> model = Model(words, Dense(2)(h))
        >>> model.predict(np.ones((5, 6, 3))).shape
        (5, 2)
    """

    converts = False
    layers: Any = LayersWithin()

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        name: str | None = None,
        rng: Any = None,
        graph: list[Any] | None = None,
        **options: Any,
    ) -> None:
        if (inputs is None) != (outputs is None):
            raise TypeError("Model: give inputs and outputs, or neither in a class with call()")
        super().__init__(name=name, rng=rng, **options)
        self.graph: Graph | None = None
        if graph is not None:
            self.draw_graph(Graph.of(graph))
        elif inputs is not None:
            self.draw_graph(Graph(inputs, outputs))

    def draw_graph(self, graph: Graph) -> None:
        """Become the network of a graph."""
        self.graph = graph
        self.layers = [inner for inner in graph.layers if not isinstance(inner, Operation)]
        for inner in self.layers:
            adopt(inner, self)
        self.built = True

    def arguments(self) -> dict[str, Any]:
        """The graph, or the constructor's arguments of a class of your own."""
        if self.graph is None or type(self) is not Model:
            return super().arguments()
        return {"graph": self.graph.described(), "name": self.given_name}

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of a shape, by a run on zeros."""
        several = isinstance(input_shape, list)
        zeros = [filled(s, 1) for s in input_shape] if several else filled(input_shape, 1)
        self.built = True
        with no_grad():
            self(zeros)

    def call(self, inputs: Any) -> Any:
        """The outputs of inputs (batch, ...)."""
        if self.graph is None:
            raise NotImplementedError(
                f"{type(self).__name__} defines no call(inputs); write one, or "
                "Model(inputs, outputs) of symbolic tensors"
            )
        return self.graph.run(inputs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for inputs (batch, ...), without dropout unless ``training=True``."""
        numbers = not any(isinstance(leaf, KerasTensor) for leaf in leaves((args, kwargs)))
        if numbers and args and self.graph is None and not self.built:
            self.built = True  # layers create their weights as they are called
            try:
                return super().__call__(*args, **kwargs)
            finally:
                self._freeze()
        return super().__call__(*args, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shapes of the graph's outputs."""
        if self.graph is None:
            return super().compute_output_shape(input_shape)
        return output_shapes(self.graph)

    def _name_within(self, network: Layer | None) -> str:
        """As of a layer; a network by itself needs no name."""
        alone = network is None and isinstance(self.name, CountedName)
        return "" if alone else super()._name_within(network)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The outputs' masks are noted by the layers that made them."""
        return None

    def outputs_count(self) -> int:
        """The number of outputs; 1 where it is not known before a run."""
        return 1 if self.graph is None else len(list(leaves(self.graph.outputs)))

    def output_names(self, outputs: list[Any]) -> list[str]:
        """The names of the layers that made the outputs."""
        return super().output_names(outputs) if self.graph is None else self.graph.output_names

    # The graph ------------------------------------------------------------------------------------

    def _graph(self, what: str) -> Graph:
        if self.graph is None:
            raise AttributeError(
                f"{self.name} has no {what} yet: the shape of its input is not known; begin with "
                "Input(shape), or call build((None, 20))"
            )
        return self.graph

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs."""
        return list(leaves(self._graph("inputs").inputs))

    @property
    def outputs(self) -> list[Any]:
        """The symbolic outputs."""
        return list(leaves(self._graph("outputs").outputs))

    @property
    def input(self) -> Any:
        """The symbolic input; a list if there are several."""
        return self._graph("input").inputs

    @property
    def output(self) -> Any:
        """The symbolic output; a list if there are several."""
        return self._graph("output").outputs

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name, or the one at a place in ``layers``."""
        if (name is None) == (index is None):
            raise ValueError("get_layer: give a name or an index")
        if index is not None:
            found: Layer = self.layers[index]
            return found
        for found in self.layers:
            if found.name == name:
                return found
        names = ", ".join(repr(inner.name) for inner in self.layers)
        raise ValueError(f"get_layer: there is no layer {name!r}; the layers are {names}")

    def reset_states(self) -> None:
        """Let the recurrent layers that are ``stateful`` begin with zeros."""
        for inner in self.sublayers():
            if inner is not self and hasattr(inner, "reset_state"):
                inner.reset_state()

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        """Print the layers, the shapes of their outputs, and their numbers of parameters.

        The numbers are those of the weights in Keras's shapes, ``count_params()``.

        Args:
            line_length, positions: Not used.
            print_fn: Called with each line instead of ``print``.
            **options: Not used.
        """
        if not self.built and self.layers and isinstance(self.layers[0], Embedding):
            self.build((None, None))
        if not self.built:
            raise ValueError(
                "summary: the widths are not known yet; call build((None, 20)) with the shape of "
                "the inputs, or fit"
            )
        rows = [("Layer (type)", "Output Shape", "Param #")]
        for inner in self.layers:
            shape = shown(inner.output_shape) if inner.nodes else "?"
            rows.append((f"{inner.name} ({type(inner).__name__})", shape, f"{size_of(inner):,}"))
        first, second, third = (max(map(len, column)) for column in zip(*rows, strict=True))
        write = print if print_fn is None else print_fn
        for a, b, c in rows:
            write(f"{a:<{first}}  {b:<{second}}  {c:>{third}}")
        total, trained = size_of(self), size_of(self, trained=True)
        write(f"Total params: {total:,}")
        write(f"Trainable params: {trained:,}")
        write(f"Non-trainable params: {total - trained:,}")

    # Files ----------------------------------------------------------------------------------------

    def save(  # type: ignore[override]
        self, filepath: PathLike, overwrite: bool = True, **options: Any
    ) -> None:
        """Write the network, with what ``compile`` was given by name, for ``load_model``.

        The file is unspool's own, whatever its name ends in; Keras does not read it.
        """
        for kind in {type(part) for part in self.sublayers()}:
            if "registered" not in vars(kind):
                register(kind)  # a class of your own, by its name
        persist.save_model(filepath, self, notes={"keras": compile_notes(self)})

    def save_weights(self, filepath: PathLike, overwrite: bool = True) -> None:
        """Write the weights, for ``load_weights``; the file is unspool's own."""
        super().save(filepath)

    def load_weights(self, filepath: PathLike, **options: Any) -> Model:
        """Read the weights of a file of ``save_weights`` or ``save``."""
        arrays = load_arrays(filepath)
        arrays.pop("header", None)
        try:
            self.load_state_dict(arrays)
        except ValueError as error:
            raise ValueError(f"{filepath}: {error}") from error
        return self

    load = load_weights  # type: ignore[assignment]

    def to_json(self, **options: Any) -> str:
        """The structure as JSON, without weights, for ``model_from_json``."""
        return json.dumps(self.to_config(), **options)

    def _inputs(self, who: str, x: Any) -> Any:
        """Inputs as arrays that fit."""
        return checked_inputs(who, self.graph, x)


def size_of(inner: Layer, trained: bool = False) -> int:
    """The number of numbers in a layer's weights, those of Keras; or of the trained ones."""
    if not trained:
        return sum(array.size for array in inner.get_weights())
    own = inner.own()
    arrays = inner.own_arrays()
    if len(own) == len(arrays):
        found = sum(weight.size for weight in own if weight.requires_grad)
    else:  # packed for Keras, and frozen together
        kept = all(weight.requires_grad for weight in own)
        found = sum(array.size for array in arrays) if kept else 0
    return found + sum(size_of(part, trained=True) for part in inner.within())


@layer
class Sequential(Model):
    """A stack of layers, each reading the output of the one before.

    Args:
        layers: The layers, or None to ``add`` them.
        name: A name.
        trainable: Whether training changes the weights.
        rng: A Generator, a seed, or None for the session's: for weights, dropout, and the order of
            the data.
        dtype: Of the parameters and the results; None for ``floatx()``.

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
        self,
        layers: Iterable[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        rng: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable, rng=rng, dtype=dtype)
        self.layers: list[Layer] = []
        self.head: KerasTensor | None = None
        if isinstance(layers, Layer):
            raise TypeError(f"Sequential: expected a list of layers, as [{layers.name}]")
        for inner in layers or ():
            self.add(inner)

    def arguments(self) -> dict[str, Any]:
        """The layers, with the input in front where its shape is known."""
        if type(self) is not Sequential:
            return super().arguments()
        first = [] if self.head is None else [InputLayer(batch_shape=self.head.shape)]
        found = {"layers": [*first, *self.layers], "name": self.given_name}
        if self.dtype is not None:
            found["dtype"] = np.dtype(self.dtype).name
        return found if self._trainable else found | {"trainable": False}

    def add(self, layer: Any) -> None:
        """Append a layer; with a known input it gets its weights at once."""
        if isinstance(layer, KerasTensor) and layer.node is not None:
            layer = layer.node.layer  # that of Input(...)
        if not isinstance(layer, Layer):
            raise TypeError(
                "Sequential.add: expected a layer of unspool.models.keras, as in Dense(10), got "
                f"{describe_received(layer)}"
            )
        if isinstance(layer, InputLayer):
            if self.layers or self.head is not None:
                raise ValueError("Sequential.add: an Input is the first of the layers")
            self.begin(layer.batch_shape)
            return
        if any(layer is other for other in self.layers):
            raise ValueError(
                f"Sequential.add: this {type(layer).__name__} is part of the network already; "
                "create another one"
            )
        if not self.layers and self.head is None:
            shape = layer.input_spec
            if shape is None and isinstance(layer, Model) and layer.graph is not None:
                shape = layer.inputs[0].shape
            if shape is not None:
                self.begin(shape)
        adopt(layer, self)
        self.layers.append(layer)
        if not self._trainable:
            self.trainable = False
        if self.head is not None:
            self.extend([layer])

    def pop(self) -> None:
        """Remove the last layer."""
        if not self.layers:
            raise ValueError("Sequential.pop: there is no layer")
        self.layers.pop()
        if self.head is not None:
            self.begin(self.head.shape)
            self.extend(self.layers)

    def begin(self, shape: Shape) -> None:
        """Know the shape of the input."""
        inner = InputLayer(batch_shape=shape)
        self.head = self.tail = inner(KerasTensor(shape, inner.name))

    def extend(self, layers: Sequence[Layer]) -> None:
        """Call further layers with the last output."""
        for inner in layers:
            self.tail = inner(self.tail)
            self.graph = Graph(self.head, self.tail)
            self.built = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights for inputs of a shape; otherwise the first data do it.

        Args:
            input_shape: With the batch axis, None for axes of any length: (None, None) for ids,
                (None, 20) for features, (None, None, 20) for sequences of features.
        """
        if not self.layers:
            raise ValueError("Sequential: there is no layer; add one, as in add(Dense(10))")
        if self.built:
            wanted = None if self.head is None else self.head.shape[1:]
            if wanted != tuple(input_shape)[1:]:
                raise ValueError(
                    "Sequential.build: the network has its parameters already, for inputs "
                    f"{shown((None, *(wanted or ())))}"
                )
            return
        self.begin(tuple(input_shape))
        self.extend(self.layers)

    def ensure_built(self, input_shape: Any) -> None:
        """Create the weights if they are not there."""
        if not self.built:
            self.build(input_shape)

    def check(self, input_shape: Any) -> None:
        """As the first layer does."""
        if not self.layers:
            raise ValueError("Sequential: there is no layer; add one, as in add(Dense(10))")
        self.layers[0].check(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shapes of the layers, one after the other."""
        for inner in self.layers:
            input_shape = inner.compute_output_shape(input_shape)
        return input_shape

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The outputs' masks are noted by the layers that made them."""
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for inputs (batch, ...), without dropout unless ``training=True``."""
        if not self.built and args:
            self.ensure_built(built_shape(self, args[0]))
        return super().__call__(*args, **kwargs)

    def _inputs(self, who: str, x: Any) -> Any:
        """Inputs as arrays that fit; the first ones build the network."""
        if not self.built:
            if not self.layers:
                raise ValueError("Sequential: there is no layer; add one, as in add(Dense(10))")
            x = x[0] if isinstance(x, list) and len(x) == 1 and np.ndim(x[0]) > 1 else x
            texts = getattr(self.layers[0], "reads_texts", False)
            self.build(built_shape(self, checked_input(who, x, texts)))
        return super()._inputs(who, x)


def built_shape(model: Sequential, x: Any) -> Shape:
    """The shape that data build a network for; ids may have any length."""
    shape = shape_of(x) if hasattr(x, "shape") else np.shape(plain(x))
    first = model.layers[0] if model.layers else None
    if isinstance(first, Embedding) and len(shape) == 2:
        needs_length = any(type(inner).__name__ in ("Flatten", "Reshape") for inner in model.layers)
        return (None, shape[1]) if needs_length else (None, None)
    return (None, *shape[1:])


# Files -------------------------------------------------------------------------------------------


def compile_notes(model: Model) -> dict[str, Any]:
    """What ``compile`` was given, as far as it has names and settings."""
    found: dict[str, Any] = {}
    for name, given in getattr(model, "compile_arguments", {}).items():
        if name == "optimizer" and hasattr(given, "get_config"):
            found[name] = [type(given).__name__, given.get_config()]
        elif all(isinstance(leaf, (str, type(None))) for leaf in leaves(given)):
            found[name] = given
    return found


def load_model(filepath: PathLike, custom_objects: Any = None, compile: bool = True) -> Any:
    """The network of a file of ``Model.save`` or ``unspool.models.save_model``.

    It is compiled again with the optimiser, loss and metrics where they were given by name; the
    optimiser's memories are not in the file.

    Args:
        filepath: The file.
        custom_objects: Classes of your own by name, where they are not registered in this process.
        compile: Whether to compile it.
    """
    for name, kind in (custom_objects or {}).items():
        if isinstance(kind, type) and issubclass(kind, Configured):
            register(kind, name)
    saved = persist.load_model(filepath)
    model = saved.model
    if not isinstance(model, Model):
        raise TypeError(
            f"load_model: {filepath} holds a {type(model).__name__}; read it with "
            "unspool.models.load_model"
        )
    notes = saved.notes.get("keras", {})
    if compile and notes.get("loss") is not None and "optimizer" in notes:
        optimizer = notes["optimizer"]
        if isinstance(optimizer, list):
            optimizer = optimizers.from_config(*optimizer)
        model.compile(optimizer, notes["loss"], metrics=notes.get("metrics"))
    return model


def model_from_json(text: str, custom_objects: Any = None) -> Any:
    """A new network of a structure from ``Model.to_json``."""
    return Module.from_config(json.loads(text))


def clone_model(model: Any) -> Any:
    """A new network of the same structure, with new weights."""
    return Module.from_config(model.to_config())
