"""Export of models to ONNX, registered with ``unspool.cells.to_onnx``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..cells import OnnxGraph, onnx_over_time, output_states, write_onnx
from .networks.language_model import LanguageModel
from .networks.layers import Dense, Embedding, FeedForward

# An activation of Dense as operators, by its name.
OPERATORS: dict[str, Callable[[OnnxGraph, str], str]] = {
    "elu": lambda graph, x: graph.node("Elu", [x]),
    "identity": lambda graph, x: x,
    "leaky_relu": lambda graph, x: graph.node("LeakyRelu", [x], alpha=0.01),
    "log_softmax": lambda graph, x: graph.node("LogSoftmax", [x], axis=-1),
    "relu": lambda graph, x: graph.node("Relu", [x]),
    "sigmoid": lambda graph, x: graph.node("Sigmoid", [x]),
    "silu": lambda graph, x: graph.node("Mul", [x, graph.node("Sigmoid", [x])]),
    "softmax": lambda graph, x: graph.node("Softmax", [x], axis=-1),
    "softplus": lambda graph, x: graph.node("Softplus", [x]),
    "tanh": lambda graph, x: graph.node("Tanh", [x]),
}


@write_onnx.register
def write_embedding(module: Embedding, graph: OnnxGraph) -> None:
    """``ids`` (batch, time) to ``ys`` (batch, time, d)."""
    ids = graph.input("ids", np.int64, ("batch", "time"))
    ys = graph.node("Gather", [graph.constant("E", module.E.data), ids])
    graph.output("ys", ys, ("batch", "time", module.d))


@write_onnx.register
def write_dense(module: Dense, graph: OnnxGraph) -> None:
    """``xs`` (batch, time, d_in) to ``ys`` (batch, time, d_out)."""
    xs = graph.input("xs", np.float32, ("batch", "time", module.d_in))
    graph.output("ys", dense(module, graph, xs, ""), ("batch", "time", module.d_out))


@write_onnx.register
def write_feed_forward(module: FeedForward, graph: OnnxGraph) -> None:
    """``xs`` (batch, time, d_in) to ``ys`` (batch, time, d_out), without dropout."""
    x = graph.input("xs", np.float32, ("batch", "time", module.d_in))
    for i, layer in enumerate(module.layers):
        x = dense(layer, graph, x, f"layers.{i}.")
    graph.output("ys", x, ("batch", "time", module.d_out))


@write_onnx.register
def write_language_model(module: LanguageModel, graph: OnnxGraph) -> None:
    """``ids`` (batch, time) to ``logits`` (batch, time, vocabulary) and the last states.

    The ids behind a sequence's length are not read, but must be in the vocabulary.
    """
    ids = graph.input("ids", np.int64, ("batch", "time"))
    E = graph.constant("embedding.E", module.embedding.E.data)
    V = E if module.V is module.embedding.E else graph.constant("V", module.V.data)
    hs = onnx_over_time(module.cell, graph, graph.node("Gather", [E, ids]), "cell.")
    logits = graph.node("MatMul", [hs, graph.node("Transpose", [V], perm=[1, 0])])
    graph.output("logits", logits, ("batch", "time", module.vocab_size))
    output_states(module.cell, graph, "cell.")


def dense(module: Dense, graph: OnnxGraph, x: str, path: str) -> str:
    """g(x W + b)."""
    g: Any = module.activation or "identity"
    if g not in OPERATORS:
        raise ValueError(
            f"to_onnx: Dense's activation must be one of {', '.join(OPERATORS)}, got "
            f"{g if isinstance(g, str) else getattr(g, '__name__', g)!r}"
        )
    y = graph.node("MatMul", [x, graph.constant(f"{path}W", module.W.data)])
    if hasattr(module, "b"):
        y = graph.node("Add", [y, graph.constant(f"{path}b", module.b.data)])
    return OPERATORS[g](graph, y)
