"""``Layer``: a Module that creates its weights from the shape of its first input.

A layer is called with numbers and computes, or with symbolic tensors (``symbolic``) and returns
others. A layer of one's own defines ``call(inputs)``, and ``build(input_shape)`` with
``add_weight`` where it has weights; ``call`` may take ``training`` and ``mask`` too.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...autograd import Parameter, Tensor, no_grad, scope
from ...cells import Module, NotConfigurable, register
from . import initializers, notes, regularizers
from .session import CountedName, floatx, generator, new_name, plain
from .symbolic import KerasTensor, Node, Shape, filled, leaves, mapped, shown

Array = NDArray[Any]
L = TypeVar("L", bound=type)

# Whether the outermost call that is running is one of training; None outside of calls.
TRAINING: ContextVar[bool | None] = ContextVar("training", default=None)
# Settings that change no number here.
WITHOUT_EFFECT = {"unroll", "implementation", "use_cudnn", "autocast", "sparse"}
# Settings that exist in Keras and not here, with what to do instead.
ABSENT = {
    "constraint": "there are no constraints; set the weights in a callback's on_train_batch_end",
    "activity_regularizer": "use kernel_regularizer, or a loss of your own with the outputs",
    "time_major": "sequences are (batch, time, features); put Permute in front",
    "zero_output_for_mask": "the outputs at padding are 0 always",
    "data_format": "features are on the last axis",
}


class Constants:
    """The weights of a layer that are never trained; a Module's walk does not look in here.

    Attributes:
        weights: The weights.
    """

    def __init__(self) -> None:
        self.weights: list[Parameter] = []


class Layer(Module):
    """Base of the layers.

    Args:
        name: A name, unique within a network; None for dense, dense_1, ...
        trainable: Whether training changes the weights.
        dtype: Of the weights; None for that of the model, or of ``floatx()``.
        rng: A Generator, a seed, or None for the model's.
        **keras: ``input_shape``, ``batch_input_shape``, ``input_dim`` and ``input_length``, with
            which a first layer tells its network's input.

    Attributes:
        built: Whether the weights exist.
        input_spec: The shape with the batch axis that ``**keras`` told, or None.

    Example:
        >>> import numpy as np
        >>> from unspool.models.keras import Dense, Layer, Sequential
        >>> class Scale(Layer):
        ...     def build(self, input_shape):
        ...         self.s = self.add_weight(shape=(input_shape[-1],), initializer="ones")
        ...     def call(self, inputs):
        ...         return inputs * self.s
        >>> Sequential([Scale(), Dense(2)]).predict(np.ones((3, 4))).shape
        (3, 2)
    """

    registered: str
    building: bool = False
    # The number of axes of the input with the batch, or None for any number.
    axes: int | None = None
    # Whether numbers are converted to the layer's dtype (ids are not).
    converts: bool = True
    training: bool = False

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        rng: Any = None,
        **keras: Any,
    ) -> None:
        self.name = name if name is not None else new_name(type(self).__name__)
        self._trainable = bool(trainable)
        self.dtype: Any = None if dtype is None else np.dtype(dtype)
        self.rng: np.random.Generator | None = None if rng is None else np.random.default_rng(rng)
        self.built = False
        self.constants = Constants()
        self.penalties: list[Callable[[], Any]] = []
        self.nodes: list[Node] = []
        self.input_spec: Shape | None = told_shape(self, keras)
        self.start: Any = keras.pop("weights", None)
        refuse(type(self).__name__, keras)

    # What a subclass defines ----------------------------------------------------------------------

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "build" in vars(cls):
            cls.build = finished(vars(cls)["build"])  # type: ignore[method-assign, assignment]

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of a shape, a tuple with the batch axis first."""
        if not self.building:
            self.finish_build()

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The output of inputs (batch, ...)."""
        raise NotImplementedError(f"{type(self).__name__} defines no call(inputs)")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for inputs of a shape; a list of shapes for several outputs.

        By default the layer is run on zeros.
        """
        several = isinstance(input_shape, list)
        x = [KerasTensor(s) for s in input_shape] if several else KerasTensor(input_shape)
        return traced_shape(self, (x,), {})

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output; by default that of the (first) input."""
        return mask[0] if isinstance(mask, list) else mask

    # Weights --------------------------------------------------------------------------------------

    def add_weight(self, *args: Any, **settings: Any) -> Parameter:
        """A new weight, to be assigned to an attribute.

        Args:
            *args: ``shape``, ``initializer``, ``dtype`` and ``trainable``; or, as in Keras 1 and 2,
                ``name``, ``shape``, ``dtype`` and ``initializer``.
            **settings: Those of ``new_weight``.
        """
        names = ("shape", "initializer", "dtype", "trainable")
        if args and isinstance(args[0], str):
            names = ("name", "shape", "dtype", "initializer")
        return self.new_weight(**dict(zip(names, args)), **settings)

    def new_weight(
        self,
        shape: Any = (),
        initializer: Any = "glorot_uniform",
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        name: str | None = None,
        **absent: Any,
    ) -> Parameter:
        """A new weight; ``add_weight`` by names.

        Args:
            shape: Its shape.
            initializer: A name, an Initializer, or a function of ``(shape, dtype)``.
            dtype: None for the layer's.
            trainable: Whether training changes it.
            regularizer: A term of it that is added to the loss.
            name: Its name; None for the attribute's.
            **absent: Refused, with a cure.
        """
        who = f"{type(self).__name__}.add_weight"
        refuse(who, absent)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        make = initializers.get(initializer or "glorot_uniform", who)
        weight = Parameter(make(shape, dtype or self.compute_dtype, rng=self.generator), name)
        if not trainable:
            self.constants.weights.append(weight)
        self.penalise(regularizer, weight)
        return weight

    def penalise(self, regularizer: Any, *weights: Any) -> None:
        """Add a regulariser's terms of these weights to the loss."""
        penalty = regularizers.get(regularizer, type(self).__name__)
        if penalty is not None:
            self.penalties += [functools.partial(penalty, weight) for weight in weights]

    @property
    def generator(self) -> np.random.Generator:
        """The random numbers of the layer."""
        return generator(self.rng)

    @property
    def compute_dtype(self) -> Any:
        """The dtype of the weights."""
        return np.dtype(self.dtype or floatx())

    def sublayers(self) -> Iterator[Layer]:
        """This layer and those within, each once."""
        return (part for part in self.modules() if isinstance(part, Layer))

    def within(self) -> list[Layer]:
        """The layers that are attributes of this one, also in lists, each once."""
        found = (child for _, child in self.children() if isinstance(child, Layer))
        return list({id(layer): layer for layer in found}.values())

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets that of the layers within too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.sublayers():
            layer._trainable = bool(value)
        self._freeze()

    def _freeze(self) -> None:
        """Let the Parameters require a gradient as each layer's ``trainable`` says."""
        layers = list(self.sublayers())
        frozen = set().union(*(layer.constants.weights for layer in layers))
        frozen.update(*(layer.parameters() for layer in layers if not layer._trainable))
        for weight in self.parameters():
            weight.requires_grad = weight not in frozen

    @property
    def trainable_weights(self) -> list[Parameter]:
        """The Parameters that training changes."""
        return [weight for weight in self.parameters() if weight.requires_grad]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """The others."""
        return [weight for weight in self.parameters() if not weight.requires_grad]

    @property
    def weights(self) -> list[Parameter]:
        """All Parameters, those that training changes first."""
        return [*self.trainable_weights, *self.non_trainable_weights]

    variables, trainable_variables = weights, trainable_weights

    @property
    def losses(self) -> list[Any]:
        """The regularisers' terms of this layer and those within."""
        return [penalty() for layer in self.sublayers() for penalty in layer.penalties]

    def own(self) -> list[Parameter]:
        """The Parameters that belong to no layer within, constants last."""
        found: list[Parameter] = []
        for _, child in self.children():
            if isinstance(child, Parameter):
                found.append(child)
            elif not isinstance(child, Layer):
                found += child.parameters()
        return sorted(
            dict.fromkeys(found), key=lambda weight: weight in set(self.constants.weights)
        )

    def own_arrays(self) -> list[Array]:
        """The values of ``own`` in Keras's order and shapes."""
        return [weight.data.copy() for weight in self.own()]

    def set_own_arrays(self, arrays: Sequence[Array]) -> None:
        """Give the weights of ``own`` new values, checked ones."""
        for weight, array in zip(self.own(), arrays, strict=True):
            weight.data = np.array(array, weight.dtype, order="C")

    def get_weights(self) -> list[Array]:
        """The weights in Keras's order and shapes, copies; those of the layers within last."""
        return [*self.own_arrays(), *(w for layer in self.within() for w in layer.get_weights())]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give the weights new values, in the order of ``get_weights``.

        Raises:
            ValueError: Their number or shapes are others; nothing is changed.
        """
        arrays = [plain(weight) for weight in weights]
        expected = [array.shape for array in self.get_weights()]
        if [array.shape for array in arrays] != expected:
            cure = "" if self.built else "; it has no weights before it is built or called"
            raise ValueError(
                f"{self.name}.set_weights: expected arrays {shown_shapes(expected)}, got "
                f"{shown_shapes(array.shape for array in arrays)}{cure}"
            )
        count = len(self.own_arrays())
        self.set_own_arrays(arrays[:count])
        for layer in self.within():
            more = len(layer.get_weights())
            layer.set_weights(arrays[count : count + more])
            count += more

    def count_params(self) -> int:
        """The number of numbers in ``get_weights``."""
        if not self.built:
            raise ValueError(
                f"count_params: {self.name} has no weights yet; call build((None, 20)) with the "
                "shape of the input, or call it with data"
            )
        return sum(weight.size for weight in self.get_weights())

    def doubled(self) -> list[Parameter]:
        """The Parameters that stand for a sum of two of Keras's, each of which learns there."""
        return [weight for layer in self.within() for weight in layer.doubled()]

    # Configuration --------------------------------------------------------------------------------

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments by name, without initial weights, with the dtype if known."""
        found = {name: v for name, v in super().arguments().items() if name != "weights"}
        return found if self.dtype is None else found | {"dtype": np.dtype(self.dtype).name}

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as plain data where they can be."""
        try:
            config = self.to_config()
        except NotConfigurable:
            return self.arguments()
        return {name: value for name, value in config.items() if name != "class"}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, rng: Any = None) -> Any:
        """A new layer, from ``to_config`` or from what ``get_config`` of its class gave."""
        if "class" in config:
            return super().from_config(config, rng=rng)
        if "registered" in vars(cls):
            return super().from_config({"class": cls.registered, **config}, rng=rng)
        return cls(**config)

    # Calling --------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The output for inputs (batch, ...), or a symbolic one for symbolic inputs.

        Args:
            *args: The input, a list of inputs, and what else ``call`` takes.
            **kwargs: ``training``, by default False outside of ``fit``; ``mask``, (batch, time)
                booleans; and what else ``call`` takes.
        """
        if not args:
            if "inputs" not in kwargs:
                raise TypeError(f"{type(self).__name__}: call it with an input, as in layer(x)")
            args = (kwargs.pop("inputs"),)
        if any(isinstance(leaf, KerasTensor) for leaf in leaves((args, kwargs))):
            return self._symbolic(args, kwargs)
        return self._compute(args, kwargs)

    def ensure_built(self, input_shape: Any) -> None:
        """Create the weights if they are not there."""
        if not self.built:
            self.build(input_shape)

    def finish_build(self) -> None:
        """Called after ``build``: initial weights, the mode, and what is frozen."""
        self.built = True
        self.dtype = self.compute_dtype  # from now on, whatever floatx() becomes
        self.train(self.training)
        if self.start is not None:
            self.set_weights(self.start)
        self._freeze()

    def check(self, input_shape: Any) -> None:
        """Raise ValueError if the layer cannot read an input of a shape."""

    def _symbolic(self, args: Any, kwargs: Any) -> Any:
        """Symbolic outputs for symbolic inputs."""
        shape = shape_of(args[0])
        self.check(shape)
        self.ensure_built(shape)
        if len(args) == 1 and type(self).compute_output_shape is not Layer.compute_output_shape:
            made = self.compute_output_shape(shape)
        else:
            made = traced_shape(self, args, kwargs)
        node = Node(self, args, kwargs)
        several = isinstance(made, list)
        for i, one in enumerate(made if several else [made]):
            node.outputs.append(
                KerasTensor(one, f"{self.name}_{i}" if several else self.name, node)
            )
        self.nodes.append(node)
        return node.outputs if several else node.outputs[0]

    def _compute(self, args: Any, kwargs: Any) -> Any:
        """The outputs of inputs with numbers."""
        x, *others = args
        if isinstance(x, (list, tuple)) and not any(hasattr(leaf, "shape") for leaf in leaves(x)):
            x = np.asarray(x)  # lists of numbers, or of texts
        x = mapped(self._number, x)
        if not self.built:
            self.check(shape_of(x))
            self.ensure_built(shape_of(x))
        mask = kwargs.pop("mask", None)
        if mask is not None:
            mask = mapped(lambda m: None if m is None else plain(m).astype(bool), mask)
        elif isinstance(x, (list, tuple, dict)):
            found = [notes.masks.get(leaf) for leaf in leaves(x)]
            mask = found if any(m is not None for m in found) else None
        else:
            mask = notes.masks.get(x)
        outer, training = TRAINING.get(), kwargs.pop("training", None)
        if training is None:
            training = bool(outer)
        takes = options_of(type(self).call)
        if "mask" in takes:
            kwargs["mask"] = mask
        if "training" in takes:
            kwargs["training"] = training
        with called(self), mode(self, training) if outer != training else nullcontext():
            y = self.call(x, *others, **kwargs)
        made = self.compute_mask(x, mask)
        for output, m in zip(leaves(y), made if isinstance(made, list) else [made], strict=False):
            if m is not None and isinstance(output, Tensor):
                notes.masks.put(output, m)
        return y

    @property
    def given_name(self) -> str | None:
        """The name, unless it was only counted."""
        return None if isinstance(self.name, CountedName) else self.name

    def _name_within(self, network: Layer | None) -> str:
        """What the layer is called on a tape of a network: a number counts the network's alone."""
        if not isinstance(self.name, CountedName):
            return self.name
        kind = self.name.kind
        names = [inner.name for inner in getattr(network, "layers", ())]
        same = [name for name in names if isinstance(name, CountedName) and name.kind == kind]
        return CountedName(kind, same.index(self.name) if self.name in same else 0)

    def _number(self, x: Any) -> Any:
        """An input as a Tensor of the layer's dtype, or as an array of ids."""
        if isinstance(x, Tensor) or x is None:
            return x
        array = plain(x)
        if array.dtype.kind in "USO" or not self.converts:
            return array
        return Tensor(array.astype(self.compute_dtype, copy=False), name="x")

    # The graph ------------------------------------------------------------------------------------

    def _node(self, what: str) -> Node:
        if not self.nodes:
            raise AttributeError(
                f"{self.name} has no {what} yet: it was not called with a symbolic tensor; give "
                "the network an Input, or call it with one, as in layer(Input((6, 3)))"
            )
        return self.nodes[0]

    @property
    def output(self) -> Any:
        """The symbolic output of the first call; a list if there are several."""
        outputs = self._node("output").outputs
        return outputs if len(outputs) > 1 else outputs[0]

    @property
    def input(self) -> Any:
        """The symbolic input of the first call."""
        return self._node("input").args[0]

    @property
    def output_shape(self) -> Any:
        """The shape of ``output``."""
        return shape_of(self.output)

    @property
    def input_shape(self) -> Any:
        """The shape of ``input``."""
        return shape_of(self.input)


def layer(kind: L) -> L:
    """Register a class of Keras's name for configurations: a decorator."""
    kind.registered = f"keras.{kind.__name__}"  # type: ignore[attr-defined]
    return register(kind, kind.registered)  # type: ignore[attr-defined]


def adopt(inner: Any, outer: Layer) -> None:
    """Give the layers within another one its random numbers and dtype, where they have none."""
    for part in inner.sublayers():
        part.rng = outer.rng if part.rng is None else part.rng
        part.dtype = outer.dtype if part.dtype is None else part.dtype


# The functions of tensors that are layers of a network: operators, and those of ``keras.ops``.
OPERATIONS: dict[str, Callable[..., Any]] = {
    name: getattr(operator, name)
    for name in ("add", "getitem", "matmul", "mul", "neg", "pow", "sub", "truediv")
}


@layer
class Operation(Layer):
    """A function of tensors as a layer: an operator, an index, a function of ``keras.ops``.

    Args:
        function: Its name in ``OPERATIONS``.
        **options: Those of ``Layer``.
    """

    converts = False

    def __init__(self, function: str, **options: Any) -> None:
        super().__init__(
            name=options.pop("name", None) or new_name(function.split(".")[-1]), **options
        )
        self.function = function

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """f(inputs, ...)."""
        return OPERATIONS[self.function](inputs, *args, **kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: what the axes of the result mean is not known."""
        return None


KerasTensor.operation = Operation


def finished(build: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """A ``build`` of a class, after which the layer is built, also if it calls its base's."""

    @functools.wraps(build)
    def whole(self: Layer, input_shape: Any) -> None:
        if self.building:
            build(self, input_shape)
            return
        self.building = True
        try:
            build(self, input_shape)
        finally:
            self.building = False
        self.finish_build()

    return whole


# The layer whose call is running.
CALLED: ContextVar[Layer | None] = ContextVar("called", default=None)


@contextmanager
def called(layer: Layer) -> Iterator[None]:
    """The block in which a layer is called, a scope of its name."""
    name = layer._name_within(CALLED.get())
    token = CALLED.set(layer)
    try:
        with scope(name) if name else nullcontext():
            yield
    finally:
        CALLED.reset(token)


@contextmanager
def mode(layer: Module, training: bool) -> Iterator[None]:
    """A block in which a layer and all within are in training or not."""
    before = []
    if layer.training != training:
        before = [(part, part.training) for part in layer.modules()]
        layer.train(training)
    token = TRAINING.set(training)
    try:
        yield
    finally:
        TRAINING.reset(token)
        for part, was in before:
            part.training = was


@functools.cache
def options_of(call: Callable[..., Any]) -> frozenset[str]:
    """Which of ``mask`` and ``training`` a layer's ``call`` takes."""
    names = set(inspect.signature(call).parameters)
    return frozenset(names & {"mask", "training"})


def shape_of(x: Any) -> Any:
    """The shape of a tensor or array; a list of shapes for several."""
    if isinstance(x, (list, tuple, dict)):
        return [shape_of(leaf) for leaf in leaves(x)]
    return tuple(x.shape) if hasattr(x, "shape") else ()


def shown_shapes(shapes: Any) -> str:
    """Shapes for messages."""
    return ", ".join(map(shown, shapes)) or "none"


def traced_shape(layer: Layer, args: Any, kwargs: Any) -> Any:
    """The shape of a layer's output, seen by running it on zeros of two lengths."""

    def run(length: int) -> Any:
        def zeros(x: Any) -> Any:
            return Tensor(filled(x.shape, length)) if isinstance(x, KerasTensor) else x

        with no_grad():
            y = layer._compute(mapped(zeros, args), mapped(zeros, kwargs))
        return shape_of(y)

    def both(one: Any, other: Any) -> Any:
        if isinstance(one, list):
            return [both(a, b) for a, b in zip(one, other, strict=True)]
        return tuple(a if a == b else None for a, b in zip(one, other, strict=True))

    return both(run(11), run(13))


def told_shape(layer: Layer, keras: dict[str, Any]) -> Shape | None:
    """The shape of a first layer's input, with the batch axis; its arguments are taken out."""
    whole = keras.pop("batch_input_shape", None)
    if whole is None:
        whole = keras.pop("batch_shape", None)
    shape, width = keras.pop("input_shape", None), keras.pop("input_dim", None)
    length = keras.pop("input_length", None)
    if whole is not None:
        return tuple(whole)
    if isinstance(shape, int):
        raise TypeError(
            f"{type(layer).__name__}: input_shape must be a tuple without the batch, as in "
            f"input_shape=({shape},), got {shape}"
        )
    if shape is not None:
        return (None, *shape)
    if width is not None:
        return (None, length, width) if layer.axes == 3 else (None, width)
    return None if length is None else (None, length)


def refuse(who: str, options: Mapping[str, Any]) -> None:
    """Raise TypeError for settings that are not known, with the cure where there is one."""
    for name in options:
        for absent, cure in ABSENT.items():
            if name.endswith(absent) and options[name] is not None:
                raise TypeError(f"{who}: {name} is not supported; {cure}")
        if name not in WITHOUT_EFFECT and not any(name.endswith(absent) for absent in ABSENT):
            raise TypeError(f"{who}: there is no argument {name}; got {name}={options[name]!r}")
