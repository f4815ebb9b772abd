"""Export of models to ONNX, registered with ``unspool.cells.to_onnx``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..cells import (
    Bidirectional,
    OnnxGraph,
    Stacked,
    onnx_merged,
    onnx_over_time,
    output_states,
    write_onnx,
)
from ..checks import wrong_type
from .networks.acceptor import Acceptor
from .networks.attention import (
    AdditiveAttention,
    Attention,
    BilinearAttention,
    DotAttention,
    ScaledDotAttention,
)
from .networks.embeddings import FeatureEmbedding
from .networks.encoder_decoder import EncoderDecoder
from .networks.language_model import LanguageModel
from .networks.layers import Dense, Embedding, FeedForward
from .networks.transducer import SplitHead, Transducer

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
    ys = feed_forward(module, graph, x, "")
    graph.output("ys", ys, ("batch", "time", module.d_out))


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


@write_onnx.register
def write_transducer(module: Transducer, graph: OnnxGraph) -> None:
    """``ids`` or ``xs`` to ``logits`` (batch, time, n_labels), with a CRF its emissions.

    Viterbi is left out: the most probable sequence under a CRF is found from the emissions and the
    CRF's transitions, outside of the graph.
    """
    if module.head is None:
        raise ValueError(
            "to_onnx: a PairwiseCRF reads the states themselves; export tagger.network"
        )
    hs = onnx_over_time(module.network, graph, vectors(module, graph), "network.")
    if isinstance(module.head, SplitHead):
        V = np.concatenate([module.head.V_f.data, module.head.V_b.data])
        scores = graph.node("MatMul", [hs, graph.constant("head.V", V)])
        scores = graph.node("Add", [scores, graph.constant("head.b", module.head.b.data)])
    else:
        scores = feed_forward(module.head, graph, hs, "head.")
    graph.output("logits", scores, ("batch", "time", module.n_labels))


@write_onnx.register
def write_acceptor(module: Acceptor, graph: OnnxGraph) -> None:
    """``ids`` or ``xs`` to ``logits`` (batch, d_out), the scores of the classes."""
    ys = onnx_over_time(module.network, graph, vectors(module, graph), "network.")
    if module.pooling == "last":
        v = last_output(module.network, graph, "network.")
    else:
        v = pooled(module.pooling, graph, ys)
    graph.output("logits", feed_forward(module.head, graph, v, "head."), ("batch", module.d_out))


class OnnxSteps(NamedTuple):
    """An encoder-decoder as two ONNX models; see ``onnx_steps``."""

    encoder: Any
    step: Any


def onnx_steps(model: EncoderDecoder) -> OnnxSteps:
    """An encoder-decoder as two ONNX models: one reads a source, one writes a token.

    ``encoder`` takes ``source`` (batch, time) and ``lengths`` (batch,), and gives the decoder's
    first states, ``0.h``, ``0.c``, ``1.h``, ..., and with attention its memory: ``keys`` and
    ``values`` (batch, time, width). ``step`` takes ``ids`` (batch,), the token before, the states
    as ``0.h_0`` and so on, and with attention ``keys``, ``values`` and ``lengths``; it gives
    ``logits`` (batch, target_size), the new states, and with attention ``attention`` (batch, time),
    0 at padding. Ids are int64, lengths int32, all else float32.

    Returns:
        ``(encoder, step)``, each an ``onnx.ModelProto`` (extra ``onnx``).

    Raises:
        TypeError: It is no EncoderDecoder.
        ValueError: A cell or a kind of attention has no counterpart in ONNX.

    Example:
        The page docs/onnx.md writes targets by greedy search::

            encoder, step = onnx_steps(model)
            onnx.save(encoder, "encoder.onnx")
            onnx.save(step, "step.onnx")
    """
    if not isinstance(model, EncoderDecoder):
        cure = "write unspool.cells.to_onnx(model)"
        raise wrong_type("onnx_steps: expected an EncoderDecoder", model, cure)
    encoder, step = OnnxGraph(lengths=True), OnnxGraph(state=True)
    write_encoder(model, encoder)
    write_step(model, step)
    name = type(model).__name__
    return OnnxSteps(encoder.model(f"{name}.encoder"), step.model(f"{name}.step"))


@write_onnx.register
def write_encoder_decoder(module: EncoderDecoder, graph: OnnxGraph) -> None:
    """An encoder-decoder is no single model."""
    raise ValueError(
        "to_onnx: an EncoderDecoder is two models, the encoder and a step of the decoder; write "
        "unspool.models.onnx_steps(model)"
    )


def write_encoder(model: EncoderDecoder, graph: OnnxGraph) -> None:
    """From a source to the decoder's first states and the memory of its attention."""
    ids = graph.input("source", np.int64, ("batch", "time"))
    E = graph.constant("source_embedding.E", model.source_embedding.E.data)
    hs = onnx_over_time(model.encoder, graph, graph.node("Gather", [E, ids]), "encoder.")
    bridges = iter(enumerate(model.bridges))
    for i, member in enumerate(model.decoder.members):
        for s in member.states:
            if model.bridges:
                ends = [f"encoder.{i}.{direction}.{s}_end" for direction in BOTH]
                k, bridge = next(bridges)
                both = graph.node("Concat", ends, axis=-1)
                first = dense(bridge, graph, both, f"bridges.{k}.")
            else:
                first = f"encoder.{i}.{s}_end"
            graph.output(f"{i}.{s}", first, ("batch", member.d_h))
    if (attention := model.attention) is not None:
        keys = compared(attention, graph, hs)
        graph.output("keys", keys, ("batch", "time", "width"))
        graph.output("values", hs, ("batch", "time", attention.d_key))


def write_step(model: EncoderDecoder, graph: OnnxGraph) -> None:
    """From a token and the states before it to the scores of the next one and the states."""
    ids = graph.input("ids", np.int64, ("batch",))
    E = graph.constant("target_embedding.E", model.target_embedding.E.data)
    axis = graph.constant("axis_1", np.array([1]))
    xs = graph.node("Unsqueeze", [graph.node("Gather", [E, ids]), axis])
    h = graph.node("Squeeze", [onnx_over_time(model.decoder, graph, xs), axis])
    weights = ""
    if model.attention is not None:
        context, weights = attended(model.attention, graph, h)
        h = dense(model.combine, graph, graph.node("Concat", [h, context], axis=-1), "combine.")
    V = graph.constant("V", model.V.data)
    logits = graph.node("MatMul", [h, graph.node("Transpose", [V], perm=[1, 0])])
    graph.output("logits", logits, ("batch", model.target_size))
    output_states(model.decoder, graph)
    if weights:
        graph.output("attention", weights, ("batch", "time"))


def check_attention(attention: Attention) -> None:
    """Raise ValueError for a kind of attention of one's own."""
    kinds = (DotAttention, ScaledDotAttention, BilinearAttention, AdditiveAttention)
    if type(attention) not in kinds:
        raise ValueError(
            f"onnx_steps: {type(attention).__name__} has no exporter; use "
            f"{', '.join(kind.__name__ for kind in kinds)}"
        )


def compared(attention: Attention, graph: OnnxGraph, keys: str) -> str:
    """The precomputed key projection of ``Attention.compared``."""
    check_attention(attention)
    if isinstance(attention, BilinearAttention):
        return graph.node("MatMul", [keys, graph.constant("attention.W", attention.W.data.T)])
    if isinstance(attention, AdditiveAttention):
        keys = graph.node("MatMul", [keys, graph.constant("attention.U", attention.U.data)])
        return graph.node("Add", [keys, graph.constant("attention.b", attention.b.data)])
    return keys


def attended(attention: Attention, graph: OnnxGraph, query: str) -> tuple[str, str]:
    """The context (batch, d_value) and the weights (batch, time) of a query (batch, d_query)."""
    keys = graph.input("keys", np.float32, ("batch", "time", "width"))
    values = graph.input("values", np.float32, ("batch", "time", attention.d_key))
    lengths = graph.node("Cast", [graph.input("lengths", np.int32, ("batch",))], to=7)
    axis, last = (graph.constant(f"axis_{k}", np.array([k])) for k in (1, 2))
    if isinstance(attention, AdditiveAttention):
        query = graph.node("MatMul", [query, graph.constant("attention.W", attention.W.data)])
        hidden = graph.node("Add", [graph.node("Unsqueeze", [query, axis]), keys])
        v = graph.constant("attention.v", attention.v.data[:, None])
        scores = graph.node("MatMul", [graph.node("Tanh", [hidden]), v])
    else:
        scores = graph.node("MatMul", [keys, graph.node("Unsqueeze", [query, last])])
    scale: Any = attention.g.data if attention.scale == "learned" else attention.scale
    if isinstance(attention, ScaledDotAttention):
        scale = scale / attention.d_key**0.5
    scores = graph.node("Squeeze", [scores, last])
    scores = graph.node("Mul", [scores, graph.constant("attention.scale", np.float32(scale))])
    real = real_positions(graph, keys, lengths)
    scores = graph.node("Where", [real, scores, graph.constant("least", LEAST)])
    weights = graph.node("Softmax", [scores], axis=-1)
    nothing = graph.constant("nothing", np.array(0, np.float32))
    weights = graph.node("Where", [real, weights, nothing])
    context = graph.node("MatMul", [graph.node("Unsqueeze", [weights, axis]), values])
    return graph.node("Squeeze", [context, axis]), weights


def vectors(module: Any, graph: OnnxGraph) -> str:
    """The vectors that a model's network reads, of its input: ids, rows of ids, or vectors."""
    embedding = module.embedding
    if embedding is None:
        return graph.input("xs", np.float32, ("batch", "time", module.d_in))
    if isinstance(embedding, Embedding):
        ids = graph.input("ids", np.int64, ("batch", "time"))
        return graph.node("Gather", [graph.constant("embedding.E", embedding.E.data), ids])
    if not isinstance(embedding, FeatureEmbedding) or embedding.letters is not None:
        raise ValueError(
            f"to_onnx: {type(module).__name__}'s embedding must be an Embedding, a "
            "FeatureEmbedding without letters, or None; export its network, which reads vectors"
        )
    ids = graph.input("ids", np.int64, ("batch", "time", len(embedding.columns)))
    parts = []
    for i, column in enumerate(embedding.columns):
        place = graph.constant(f"column_{i}", np.array(i))
        E = graph.constant(f"embedding.columns.{i}.E", column.E.data)
        parts.append(graph.node("Gather", [E, graph.node("Gather", [ids, place], axis=2)]))
    return graph.node("Concat", parts, axis=-1)


def last_output(network: Any, graph: OnnxGraph, path: str) -> str:
    """``final_output``: the output of a written network's last state, (batch, d_out)."""
    if isinstance(network, Bidirectional):
        ends = [last_output(getattr(network, n), graph, f"{path}{n}.") for n in BOTH]
        return onnx_merged(graph, network.merge, ends[0], ends[1], f"{path}last.")
    if isinstance(network, Stacked):
        if network.residual:
            raise ValueError('to_onnx: of a residual Stacked give pooling="mean", "max" or "sum"')
        top = len(network.members) - 1
        return last_output(network.members[top], graph, f"{path}{top}.")
    cell = getattr(network, "cell", network)  # of a wrapper
    return f"{path}{cell.states[0]}_end"


BOTH = ("forward", "backward")
LEAST = np.array(np.finfo(np.float32).min)


def pooled(pooling: str, graph: OnnxGraph, ys: str) -> str:
    """Outputs (batch, time, d) pooled over the real positions; where there are none, 0."""
    axis = graph.constant("axis_1", np.array([1]))
    if pooling in ("sum", "mean"):  # the outputs at padding are 0
        total = graph.node("ReduceSum", [ys, axis], keepdims=0)
        if pooling == "sum":
            return total
        one = graph.constant("one", np.array(1, np.float32))
        count = graph.node("Max", [graph.node("Cast", [lengths_of(graph, ys)], to=1), one])
        return graph.node("Div", [total, graph.node("Unsqueeze", [count, axis])])
    lengths = lengths_of(graph, ys)
    real = real_positions(graph, ys, lengths)
    real = graph.node("Unsqueeze", [real, graph.constant("axis_2", np.array([2]))])
    least, zero = graph.constant("least", LEAST), graph.constant("zero", np.array(0))
    best = graph.node("ReduceMax", [graph.node("Where", [real, ys, least])], axes=[1], keepdims=0)
    some = graph.node("Unsqueeze", [graph.node("Greater", [lengths, zero]), axis])
    return graph.node("Where", [some, best, graph.constant("nothing", np.array(0, np.float32))])


def real_positions(graph: OnnxGraph, ys: str, lengths: str) -> str:
    """Where sequences (batch, time, ...) have not ended, (batch, time); lengths in int64."""
    zero, step = graph.constant("zero", np.array(0)), graph.constant("step", np.array(1))
    places = graph.node("Range", [zero, length_of(graph, ys, 1), step])
    ends = graph.node("Unsqueeze", [lengths, graph.constant("axis_1", np.array([1]))])
    return graph.node("Less", [places, ends])


def lengths_of(graph: OnnxGraph, ys: str) -> str:
    """The lengths of the sequences as int64, (batch,), or the length of the time axis."""
    if graph.lengths:
        return graph.node("Cast", [graph.lengths], to=7)
    shape = graph.node("Unsqueeze", [length_of(graph, ys, 0), graph.constant("axis_0", [0])])
    return graph.node("Expand", [length_of(graph, ys, 1), shape])


def length_of(graph: OnnxGraph, tensor: str, axis: int) -> str:
    """The length of an axis, a scalar of int64."""
    number = graph.constant(f"axis_number_{axis}", np.array(axis))
    return graph.node("Gather", [graph.node("Shape", [tensor]), number])


def feed_forward(module: FeedForward, graph: OnnxGraph, x: str, path: str) -> str:
    """The layers of a FeedForward, without dropout."""
    for i, layer in enumerate(module.layers):
        x = dense(layer, graph, x, f"{path}layers.{i}.")
    return x


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
