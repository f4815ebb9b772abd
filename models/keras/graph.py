"""The graph of a functional network: the calls of layers from its inputs to its outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...checks import describe_received
from .base import Layer, shape_of
from .symbolic import KerasTensor, Node, leaves, mapped


class Graph:
    """What computes outputs from inputs.

    Args:
        inputs: Symbolic tensors: one, or a list or dict of them.
        outputs: The same.

    Attributes:
        nodes: The calls in between, in the order in which they were made.
        layers: Their layers, each once, those furthest from the outputs first.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        for name, tree in (("inputs", inputs), ("outputs", outputs)):
            for leaf in leaves(tree):
                if not isinstance(leaf, KerasTensor):
                    raise TypeError(
                        f"Model: {name} must be symbolic tensors, which begin with Input(shape), "
                        f"got {describe_received(leaf)}"
                    )
        self.inputs, self.outputs = inputs, outputs
        self.given = {id(leaf) for leaf in leaves(inputs)}
        order = self.walk()
        self.nodes = sorted(order, key=lambda node: node.number)
        self.layers = by_depth(order, self.given)

    def walk(self) -> list[Node]:
        """The calls, each behind those that it needs."""
        order: list[Node] = []
        met: set[int] = set()
        stack = [(leaf, False) for leaf in reversed([*leaves(self.outputs), *leaves(self.inputs)])]
        while stack:
            tensor, finished = stack.pop()
            node = tensor.node
            if finished:
                order.append(node)
                continue
            if node is None or node.number in met:
                continue
            met.add(node.number)
            stack.append((tensor, True))
            if id(tensor) in self.given:
                continue
            below = symbolic_inputs(node)
            if is_input(node.layer):
                raise ValueError(
                    f"Model: the outputs need {tensor!r}, which is not among the inputs "
                    f"({', '.join(self.input_names)})"
                )
            stack += [(other, False) for other in reversed(below)]
        return order

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [leaf.name for leaf in leaves(self.inputs)]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that gave the outputs."""
        return [leaf.node.layer.name for leaf in leaves(self.outputs)]

    def readers(self, tensor: KerasTensor) -> Iterable[Layer]:
        """The layers that read a tensor."""
        return (n.layer for n in self.nodes if any(t is tensor for t in symbolic_inputs(n)))

    def run(self, given: Any) -> Any:
        """The outputs of inputs with numbers."""
        if isinstance(given, dict):
            found = [given[name] for name in self.input_names]
        else:
            found = list(given) if isinstance(given, (list, tuple)) else [given]
        values = {id(t): v for t, v in zip(leaves(self.inputs), found, strict=True)}
        for node in self.nodes:
            if id(node.outputs[0]) in values:
                continue
            args, kwargs = (
                mapped(lambda t: values.get(id(t), t), a) for a in (node.args, node.kwargs)
            )
            made = node.layer(*args, **kwargs)
            outputs = made if len(node.outputs) > 1 else [made]
            values.update({id(t): v for t, v in zip(node.outputs, outputs, strict=True)})
        return mapped(lambda t: values[id(t)], self.outputs)

    # As plain data --------------------------------------------------------------------------------

    def described(self) -> list[Any]:
        """Layers and calls as lists: [layers, calls, inputs, outputs]."""
        places = {id(layer): i for i, layer in enumerate(self.layers)}
        at = {
            id(t): [n, i] for n, node in enumerate(self.nodes) for i, t in enumerate(node.outputs)
        }

        def plain(x: Any) -> Any:
            if isinstance(x, KerasTensor):
                return ["tensor", *at[id(x)]]
            if isinstance(x, (list, tuple)):
                return [type(x).__name__, *map(plain, x)]
            if isinstance(x, dict):
                return ["dict", *([key, plain(item)] for key, item in x.items())]
            if isinstance(x, slice):
                return ["slice", x.start, x.stop, x.step]
            return ["ellipsis"] if x is Ellipsis else ["value", x]

        inputs = {id(t) for t in leaves(self.inputs)}
        calls = [
            [places[id(n.layer)]]
            + ([None, None] if id(n.outputs[0]) in inputs else [plain(n.args), plain(n.kwargs)])
            for n in self.nodes
        ]
        return [self.layers, calls, plain(self.inputs), plain(self.outputs)]

    @classmethod
    def of(cls, described: list[Any]) -> Graph:
        """The graph of a description: its layers are called again."""
        layers, calls, inputs, outputs = described
        made: list[Any] = []

        def read(x: Any) -> Any:
            kind, *parts = x
            if kind == "tensor":
                node, i = parts
                return made[node][i]
            if kind in ("list", "tuple"):
                return (list if kind == "list" else tuple)(read(part) for part in parts)
            if kind == "dict":
                return {key: read(item) for key, item in parts}
            if kind == "slice":
                return slice(*parts)
            return Ellipsis if kind == "ellipsis" else parts[0]

        for place, args, kwargs in calls:
            layer = layers[place]
            if args is None:
                result = layer(KerasTensor(layer.batch_shape, layer.name))
            else:
                result = layer(*read(args), **read(kwargs))
            made.append(result if isinstance(result, list) else [result])
        return cls(read(inputs), read(outputs))


def symbolic_inputs(node: Node) -> list[KerasTensor]:
    """The symbolic tensors among a call's arguments."""
    return [x for x in leaves((node.args, node.kwargs)) if isinstance(x, KerasTensor)]


def by_depth(order: list[Node], given: set[int]) -> list[Layer]:
    """The layers as Keras lists them: those furthest from the outputs first.

    Args:
        order: The calls, each behind those that it needs.
        given: The inputs, by identity.
    """
    depths: dict[int, int] = {}
    of_layer: dict[int, int] = {}
    for node in reversed(order):
        depth = max(depths.get(node.number, 0), of_layer.get(id(node.layer), 0))
        of_layer[id(node.layer)] = depth
        if not any(id(tensor) in given for tensor in node.outputs):
            for tensor in symbolic_inputs(node):
                if tensor.node is not None:
                    number = tensor.node.number
                    depths[number] = max(depths.get(number, 0), depth + 1)
    layers = {id(node.layer): node.layer for node in order}
    return [layers[i] for i in sorted(layers, key=lambda i: -of_layer[i])]


def is_input(layer: Any) -> bool:
    """Whether a layer is the place of an input."""
    return getattr(layer, "registered", "") == "keras.InputLayer"


def open_batch(shapes: Any) -> Any:
    """Shapes with the batch axis open."""
    if isinstance(shapes, list):
        return [open_batch(shape) for shape in shapes]
    return (None, *shapes[1:])


def output_shapes(graph: Graph) -> Any:
    """The shapes of a graph's outputs."""
    return open_batch(shape_of(graph.outputs))
