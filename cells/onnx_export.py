"""Export to ONNX: cells and composites as the standard RNN, LSTM and GRU operators.

An exported network runs wherever ONNX does (onnxruntime, browsers, phones) and computes the same
numbers, in float32, for any number of sequences of any length. ``write_onnx`` is open: another
module registers its operators with ``@write_onnx.register``, as models do.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import import_extra, wrong_type
from ..files import PathLike, write_atomically
from .cell import Cell
from .composite import Bidirectional, Stacked, width_out
from .exchange import KERAS, System, pack
from .module import Module
from .recurrent import GRU, LSTM, Elman
from .variants import PeepholeLSTM, ResetAfterGRU
from .wrappers import InputDropout, VariationalDropout

Array = NDArray[Any]

OPSET = 17  # read by every onnxruntime since 1.12; its RNN, LSTM and GRU are those of opset 14
LSTM_GATES = ("i", "o", "f", "g")
ONNX = System(
    "ONNX",
    {
        Elman: ("",),
        LSTM: LSTM_GATES,
        PeepholeLSTM: LSTM_GATES,
        GRU: ("z", "r", "h"),
        ResetAfterGRU: ("z", "r", "n"),
    },
    merges=KERAS.merges,
    activations=("tanh", "relu", "sigmoid", "identity"),
)


def to_onnx(module: Module, *, lengths: bool = True, state: bool = False) -> Any:
    """A module as an ONNX model.

    Its inputs are ``xs`` (batch, time, d_in) in float32 (a language model's ``ids`` (batch,
    time) in int64), with ``lengths`` also ``lengths`` (batch,) in int32, from 0 to time, and
    with ``state`` the initial states. Its outputs are ``ys`` (a language model's ``logits``),
    0 at padded positions, and the last states, named as parameters are: ``h``, ``0.c``,
    ``forward.h``; the initial ones are ``h_0``, ``0.c_0``. All states are (batch, d_h).

    With ``state`` a language model runs step by step: feed one token and the states that came
    back. An encoder-decoder is two models, which ``unspool.models.onnx_steps`` writes.

    Args:
        module: A Cell, Stacked, Bidirectional, or a model that is registered with ``write_onnx``.
        lengths: Whether the lengths are an input, or all sequences as long as the time axis.
        state: Whether the initial states are inputs, or 0.

    Returns:
        An ``onnx.ModelProto`` (extra ``onnx``), checked by ``onnx.checker``, without dropout.

    Raises:
        ValueError: A part has no counterpart in ONNX; the message names a substitute.

    Example:
        A network is exported and run::

            save_onnx(lstm, "lstm.onnx")
            session = onnxruntime.InferenceSession("lstm.onnx")
            ys, h, c = session.run(None, {"xs": xs, "lengths": lengths})
    """
    graph = OnnxGraph(lengths=lengths, state=state)
    write_onnx(module, graph)
    return graph.model(type(module).__name__)


def save_onnx(module: Module, path: PathLike, *, lengths: bool = True, state: bool = False) -> None:
    """Write ``to_onnx(module)`` to a file, atomically.

    Args:
        module: The module.
        path: The file; missing folders are created.
        lengths, state: As in ``to_onnx``.
    """
    content = to_onnx(module, lengths=lengths, state=state).SerializeToString()
    write_atomically(path, content)


class OnnxGraph:
    """A builder of an ONNX graph. Tensors are names; float arrays are stored as float32."""

    def __init__(self, *, lengths: bool = False, state: bool = False) -> None:
        modules = ("onnx", "onnx.checker", "onnx.helper", "onnx.numpy_helper")
        self.onnx = import_extra("ONNX export needs the package onnx", "onnx", *modules)
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.constants: list[Any] = []
        self.state = state
        self.lengths = self.input("lengths", np.int32, ("batch",)) if lengths else ""
        # Inputs are listed in the order of their use, lengths last.
        self.inputs_last, self.inputs = self.inputs, []

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> str:
        """Declare an input; a string in the shape is an axis of any length."""
        self.inputs.append(self._value(name, dtype, shape))
        return name

    def output(self, name: str, tensor: str, shape: Sequence[int | str]) -> None:
        """Declare a tensor as an output under this name."""
        self.node("Identity", [tensor], outputs=(name,))
        self.outputs.append(self._value(name, np.float32, shape))

    def constant(self, name: str, array: Any) -> str:
        """Store an array; an equal one of this name is stored once."""
        array = np.asarray(array)
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
        made = self.onnx.numpy_helper.from_array(np.array(array, order="C"), name)
        if not any(held.name == name and held == made for held in self.constants):
            self.constants.append(made)
        return name

    def node(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: Any
    ) -> str:
        """Add an operator and return the name of its first result."""
        outputs = list(outputs) or [f"{op.lower()}_{len(self.nodes) + 1}"]
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), outputs, **attributes))
        return outputs[0]

    def model(self, name: str) -> Any:
        """The finished model, checked."""
        helper = self.onnx.helper
        graph = helper.make_graph(
            self.nodes, name, self.inputs + self.inputs_last, self.outputs, self.constants
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model_gen_version(graph, opset_imports=[opset], producer_name="unspool")
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _value(self, name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, list(shape))


@functools.singledispatch
def write_onnx(module: Any, graph: OnnxGraph) -> None:
    """Write a whole module into a graph, its inputs and outputs included."""
    if not hasattr(module, "unroll"):
        expected = "a Cell, Stacked, Bidirectional or a model with an exporter"
        raise wrong_type(f"to_onnx: expected {expected}", module)
    xs = graph.input("xs", np.float32, ("batch", "time", module.d_in))
    ys = onnx_over_time(module, graph, xs)
    graph.output("ys", ys, ("batch", "time", width_out(module)))
    output_states(module, graph)


def onnx_over_time(module: Module, graph: OnnxGraph, xs: str, path: str = "") -> str:
    """Write ``unroll(module, xs)`` into a graph: (batch, time, d_in) to (batch, time, d_out).

    ``output_states`` declares the last states.
    """
    by_time = graph.node("Transpose", [xs], perm=[1, 0, 2])
    ys = layer(module, graph, by_time, path, reverse=False)
    return graph.node("Transpose", [ys], perm=[1, 0, 2])


def layer(module: Any, graph: OnnxGraph, xs: str, path: str, *, reverse: bool) -> str:
    """Write a cell or composite over (time, batch, features)."""
    if isinstance(module, (InputDropout, VariationalDropout)):  # in eval() they are the cell
        return layer(module.cell, graph, xs, path, reverse=reverse)
    if isinstance(module, Stacked):
        below = xs
        for i, member in enumerate(module.members):
            ys = layer(member, graph, below, f"{path}{i}.", reverse=reverse)
            if i and module.residual:
                ys = graph.node("Add", [ys, below])
            below = ys
        return below
    if isinstance(module, Bidirectional):
        ahead = layer(module.forward, graph, xs, f"{path}forward.", reverse=reverse)
        back = layer(module.backward, graph, xs, f"{path}backward.", reverse=not reverse)
        return onnx_merged(graph, module.merge, ahead, back, path)
    if isinstance(module, Cell):
        return recurrent(module, graph, xs, path, reverse)
    raise TypeError(f"to_onnx: {type(module).__name__} has no exporter")


def onnx_merged(graph: OnnxGraph, merge: str, ahead: str, back: str, path: str) -> str:
    """The merged outputs of a Bidirectional."""
    if merge == "concat":
        return graph.node("Concat", [ahead, back], axis=-1)
    if merge == "mul":
        return graph.node("Mul", [ahead, back])
    total = graph.node("Add", [ahead, back])
    if merge == "sum":
        return total
    return graph.node("Mul", [total, graph.constant(f"{path}half", np.float32(0.5))])


def recurrent(cell: Cell, graph: OnnxGraph, xs: str, path: str, reverse: bool) -> str:
    """Write one cell over time as RNN, LSTM or GRU."""
    who = f"to_onnx({type(cell).__name__})"
    gates = ONNX.order(cell, who)
    if type(cell).initial_state is not Cell.initial_state and not graph.state:
        raise ValueError(
            f"{who}: its initial state is not 0; export with state=True and feed the state"
        )
    packed = pack(cell, gates)
    # The weights get a leading axis of one direction.
    inputs = [
        xs,
        graph.constant(f"{path}W", packed.W.T[None]),
        graph.constant(f"{path}R", packed.U.T[None]),
        graph.constant(f"{path}B", np.concatenate([packed.b, packed.c])[None])
        if packed.b is not None and packed.c is not None
        else "",
        graph.lengths,
    ]
    starts = [""] * len(cell.states)
    if graph.state:
        starts = [graph.input(f"{path}{s}_0", np.float32, ("batch", cell.d_h)) for s in cell.states]
    inputs += [start and graph.node("Unsqueeze", [start, number(graph, 0)]) for start in starts]
    attributes: dict[str, Any] = {
        "hidden_size": cell.d_h,
        "direction": "reverse" if reverse else "forward",
    }
    op = "LSTM" if len(cell.states) == 2 else "GRU"
    if isinstance(cell, PeepholeLSTM):
        peepholes = np.concatenate([cell.p_i.data, cell.p_o.data, cell.p_f.data])
        inputs.append(graph.constant(f"{path}P", peepholes[None]))
    elif isinstance(cell, Elman):
        op = "RNN"
        attributes |= ELMAN_ATTRIBUTES[cell.activation]
    elif op == "GRU":
        attributes["linear_before_reset"] = int(isinstance(cell, ResetAfterGRU))
    last = [f"{path}{s}_last" for s in cell.states]
    ys = graph.node(op, inputs, outputs=(f"{path}directions", *last), **attributes)
    for s, start, tensor in zip(cell.states, starts, last):
        end = graph.node("Squeeze", [tensor, number(graph, 0)])
        if graph.lengths:  # onnxruntime leaves the last state of an empty sequence undefined
            nothing = graph.node("Equal", [graph.lengths, number(graph, 0, np.int32)])
            nothing = graph.node("Unsqueeze", [nothing, number(graph, 1)])
            end = graph.node("Where", [nothing, start or number(graph, 0, np.float32), end])
        graph.node("Identity", [end], outputs=(f"{path}{s}_end",))
    return graph.node("Squeeze", [ys, number(graph, 1)])


ELMAN_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "tanh": {"activations": ["Tanh"]},
    "relu": {"activations": ["Relu"]},
    "sigmoid": {"activations": ["Sigmoid"]},
    "identity": {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]},
}


def number(graph: OnnxGraph, value: int, dtype: Any = np.int64) -> str:
    """A constant (1,)."""
    return graph.constant(f"{np.dtype(dtype).name}_{value}", np.array([value], dtype))


def output_states(module: Any, graph: OnnxGraph, path: str = "") -> None:
    """Declare the last states of a written module as outputs, named as parameters are."""
    if isinstance(module, (InputDropout, VariationalDropout)):
        output_states(module.cell, graph, path)
    elif isinstance(module, (Stacked, Bidirectional)):
        for name, member in module.children(path):
            output_states(member, graph, f"{name}.")
    else:
        for s in module.states:
            graph.output(f"{path}{s}", f"{path}{s}_end", ("batch", module.d_h))
