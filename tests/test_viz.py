"""Pictures: that they show the tape and nothing else, that they are legible, and that they render.

What a picture must contain is computed here from the tape alone; what it does contain is read
from its DOT text.
"""

from __future__ import annotations

import base64
import collections
import gc
import gzip
import itertools
import json
import os
import re
import stat
import struct
import subprocess
import sys
import time
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import unspool
from helpers import needs_graphviz, needs_pygraphviz, posix
from unspool import Parameter, Tape, Tensor, no_grad, scope, unroll
from unspool.autograd import cross_entropy, embedding, logsumexp, sigmoid, softmax
from unspool.cells import GRU, LSTM, Bidirectional, Cell, Elman, PeepholeLSTM, Stacked
from unspool.models import (
    CRF,
    Acceptor,
    Embedding,
    EncoderDecoder,
    FeedForward,
    LanguageModel,
    Transducer,
)
from unspool.viz import Drawing, draw, equations, extent, look, render
from unspool.viz.dot import html, quote
from unspool.viz.isotonic import isotonic
from unspool.viz.layers import assign_tiers
from unspool.viz.look import gate_colours, parameter_colour, shorten
from unspool.viz.notation import GREEK, printable, split_name, symbol, with_low_digits
from unspool.viz.numbers import Flows, Norms, is_strip, magnitude, strip, value_text
from unspool.viz.scene import name_width
from unspool.viz.structure import read

# Reading DOT -----------------------------------------------------------------------------------

NODE = re.compile(r"^(\w+) \[(.*)\]$")
EDGE = re.compile(r"^(\w+) -> (\w+) \[(.*)\]$")
CLUSTER = re.compile(r"^subgraph (\w+) \{ (.*)$")
ATTRIBUTE = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|<(?:[^<>]|<[^<>]*>)*>|[^\s;\]]+)')


@pytest.fixture(autouse=True)
def seeded(monkeypatch):
    """The numbers of networks without a seed are the same in every run, and so their widths."""
    make = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed=0: make(0 if seed is None else seed))


class Dot:
    """What a DOT source says: nodes, edges and clusters with their attributes."""

    def __init__(self, drawing):
        self.nodes, self.edges, self.clusters = {}, [], {}
        for line in drawing.source.splitlines():
            if match := EDGE.match(line):
                self.edges.append((match[1], match[2], attributes(match[3])))
            elif (match := NODE.match(line)) and match[1] not in ("graph", "node", "edge"):
                assert match[1] not in self.nodes, f"{match[1]} stands twice"
                self.nodes[match[1]] = attributes(match[2])
            elif match := CLUSTER.match(line):
                self.clusters[match[1]] = attributes(match[2])

    def pos(self, name):
        return tuple(float(x) for x in self.nodes[name]["pos"].rstrip("!").split(","))

    def pairs(self):
        return collections.Counter((a, b) for a, b, _ in self.edges)

    def ids(self, prefix):
        return [n for n in self.nodes if re.fullmatch(prefix, n)]

    def column(self, t):
        """x1, y1, x2, y2 of a time step's column."""
        return tuple(float(x) for x in self.clusters[f"cluster_t{t}"]["bb"].split(","))


def attributes(text):
    return {k: v[1:-1] if v[0] in '"<' else v for k, v in ATTRIBUTE.findall(text)}


def shown(label):
    """A label as it is read: without the tags of an HTML-like one."""
    return re.sub(r"<[^>]*>", "", label)


def is_plain_number(x):
    return x._record is None and x.name is None and x.size == 1 and not x.requires_grad


def expected_edges(tape):
    """(record, record) for every operand that a record made, and each record's other operands.

    A plain number in an infix op is written into the op, as in ``1 −``.
    """
    made = {r.output: i for i, r in enumerate(tape, 1)}
    pairs, others = collections.Counter(), collections.Counter()
    for i, r in enumerate(tape, 1):
        infix = r.op in ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum")
        for x in r.inputs:
            if x in made:
                pairs[f"r{made[x]}", f"r{i}"] += 1
            elif not (infix and is_plain_number(x)):
                others[f"r{i}"] += 1
    return pairs, others


def check_structure(tape, **options):
    """Each record once, its edges its inputs."""
    drawing = draw(tape, **options)
    dot = Dot(drawing)
    assert sorted(dot.ids(r"r\d+")) == sorted(f"r{i}" for i in range(1, len(tape) + 1))
    pairs, others = expected_edges(tape)
    record = re.compile(r"r\d+")
    found, rest = collections.Counter(), collections.Counter()
    for (a, b), n in dot.pairs().items():
        if record.fullmatch(b):
            if record.fullmatch(a):
                found[a, b] += n
            else:
                rest[b] += n
    assert found == pairs
    assert rest == others
    return dot


# Networks --------------------------------------------------------------------------------------


def inputs(steps, width=3, batch=None, seed=0):
    shape = (steps, width) if batch is None else (batch, steps, width)
    return Tensor(np.random.default_rng(seed).standard_normal(shape), name="xs")


def tape_of(cell, steps=3, **options):
    ys, _ = unroll(cell, inputs(steps), **options)
    return Tape(ys)


class Leaky(Cell):
    """A cell of one's own, with scopes of its own."""

    def __init__(self, d_in, d_h):
        self.d_in, self.d_h = d_in, d_h
        self.W = Parameter(np.full((d_in, d_h), 0.5))
        self.a = Parameter(np.full(d_h, 0.9))

    def forward(self, x, state):
        (h,) = state
        with scope("drive"):
            u = np.tanh(x @ self.W)
        return (self.a * h + 0.1 * u,)


def language_model():
    rng = np.random.default_rng(0)
    E = Parameter(rng.standard_normal((7, 3)), name="E")
    ys, _ = unroll(LSTM(3, 3, rng=0, dtype=float), embedding(E, np.array([[1, 2, 3], [2, 3, 4]])))
    return cross_entropy(ys @ E.T, np.array([[2, 3, 4], [3, 4, 5]]))


def feedforward():
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((5, 3)), name="x")
    W, b = Parameter(rng.standard_normal((3, 2)), name="W_1"), Parameter(np.zeros(2), name="b_1")
    with scope("dense"):
        h = np.tanh(x @ W + b)
    return cross_entropy(h, np.array([0, 1, 0, 1, 1]))


def own_loop(steps=3):
    rng = np.random.default_rng(0)
    cell, V = GRU(3, 4, rng=0, dtype=float), Parameter(rng.standard_normal((4, 5)), name="V")
    state, losses = None, []
    for t in range(1, steps + 1):
        with scope(f"t={t}", step=t):
            y, state = cell(Tensor(rng.standard_normal(3), name=f"x_{t}"), state)
            losses.append(cross_entropy(y @ V, t % 5))
    return sum(losses)


def encoder_decoder():
    rng = np.random.default_rng(0)
    _, state = unroll(LSTM(3, 4, dtype=float), Tensor(rng.standard_normal((3, 3)), name="source"))
    target = Tensor(rng.standard_normal((2, 3)), name="target")
    return unroll(LSTM(3, 4, dtype=float), target, state)[0]


def attention():
    rng = np.random.default_rng(0)
    hs, (h,) = unroll(GRU(3, 4, dtype=float), Tensor(rng.standard_normal((3, 3)), name="source"))
    decoder, state, ys = GRU(7, 4, dtype=float), (h,), []
    for t in range(1, 4):
        with scope("decoder"), scope(f"t={t}", step=t):
            with scope("attention"):
                context = softmax(hs @ state[0]) @ hs
            word = Tensor(rng.standard_normal(3), name=f"y_{t}")
            y, state = decoder(np.concatenate([word, context]), state)
            ys.append(y)
    return np.stack(ys)


def lattice():
    emissions, A = inputs(4), Parameter(np.zeros((3, 3)), name="A")
    alpha = emissions[0]
    for t in range(2, 5):
        with scope("crf"), scope(f"t={t}", step=t):
            alpha = logsumexp(alpha[:, None] + A + emissions[t - 1], axis=0)
    return logsumexp(alpha)


def attending_encoder_decoder():
    network = EncoderDecoder(9, 9, d=4, attention="bilinear", bidirectional=True, rng=0)
    return network.loss([3, 4, 5, 6], [1, 5, 4, 2])


def tagger():
    network = Bidirectional(LSTM(4, 3, rng=0), LSTM(4, 3, rng=1))
    model = Transducer(network, 3, embedding=Embedding(9, 4, rng=2), crf=CRF(3), rng=3)
    return model.loss(np.array([[4, 5, 6, 7]]), np.array([[0, 1, 2, 1]]))


def twice_in_both_directions():
    layers = [Bidirectional(LSTM(3, 4), LSTM(3, 4)), Bidirectional(GRU(8, 4), GRU(8, 4))]
    return tape_of(Stacked(layers))


NETWORKS = {
    "elman": lambda: tape_of(Elman(3, 4)),
    "lstm": lambda: tape_of(LSTM(3, 4)),
    "gru": lambda: tape_of(GRU(3, 4)),
    "peephole": lambda: tape_of(PeepholeLSTM(3, 4)),
    "own cell": lambda: tape_of(Leaky(3, 4)),
    "reversed": lambda: tape_of(GRU(3, 4), reverse=True),
    "truncated": lambda: tape_of(LSTM(3, 4), 4, truncate=2),
    "padded": lambda: Tape(unroll(LSTM(3, 4), inputs(3, batch=2), lengths=[3, 1])[0]),
    "stacked": lambda: tape_of(Stacked([LSTM(3, 4), GRU(4, 4)])),
    "bidirectional": lambda: tape_of(Bidirectional(Elman(3, 4), GRU(3, 4))),
    "deep bidirectional": lambda: tape_of(
        Stacked([Bidirectional(LSTM(3, 4), LSTM(3, 4)), Elman(8, 2)])
    ),
    "tied language model": lambda: Tape(language_model()),
    "loop of one's own": lambda: Tape(own_loop()),
    "encoder-decoder": lambda: Tape(encoder_decoder()),
    "attention": lambda: Tape(attention()),
    "lattice": lambda: Tape(lattice()),
    "feedforward": lambda: Tape(feedforward()),
    "layers": lambda: Tape(FeedForward([4, 8, 3], rng=0)(Tensor(np.ones((2, 4)), name="x"))),
    "language model": lambda: Tape(LanguageModel(12, 4, layers=2, rng=0).loss([1, 4, 5, 2])),
    "attending encoder-decoder": lambda: Tape(attending_encoder_decoder()),
    "tagger": lambda: Tape(tagger()),
    "twice bidirectional": twice_in_both_directions,
    "no bias": lambda: tape_of(LSTM(3, 4, bias=False)),
    "acceptor": lambda: Tape(
        Acceptor(Bidirectional(LSTM(3, 4, rng=0), LSTM(3, 4, rng=1)), 2, rng=0)(inputs(3))
    ),
}
networks = pytest.mark.parametrize("name", NETWORKS)
levels = pytest.mark.parametrize("level", ["op", "gate", "cell"])
cells = pytest.mark.parametrize("make", [Elman, LSTM, GRU])


# What is in the picture ------------------------------------------------------------------------


@networks
def test_each_record_stands_once_and_its_edges_are_its_inputs(name):
    check_structure(NETWORKS[name]())


# Per step: records, parameters, boxes at level "gate" with the loose ops, states.
COUNTS = {Elman: (6, 3, 6, 1), LSTM: (26, 12, 10, 2), GRU: (21, 9, 8, 1)}


@cells
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_counts_are_exact(make, steps):
    records, parameters, boxes, states = COUNTS[make]
    tape = tape_of(make(3, 4), steps)
    dot = check_structure(tape)
    assert len(tape) == steps * records + 1
    copies = dot.ids(r"p\d+_\d+")
    solid = [n for n in dot.ids(r"p\d+") if n not in copies]
    assert len(copies) == steps * parameters
    assert len(solid) == parameters
    assert len(dot.ids(r"state\d+_\d+_\d+")) == len(dot.ids(r"end\d+_\d+")) == states
    assert len(dot.ids(r"x\d+")) == 1
    assert [c for c in dot.clusters if re.fullmatch(r"cluster_t\d+", c)] == [
        f"cluster_t{t}" for t in range(1, steps + 1)
    ]
    gates = [c for c in dot.clusters if re.fullmatch(r"cluster_t\d+_g\d+", c)]
    assert len(gates) == steps * {Elman: 0, LSTM: 4, GRU: 3}[make]

    dot = Dot(draw(tape, level="gate"))
    assert len(dot.ids(r"(r|gate)\d+")) == steps * boxes
    assert len(dot.ids(r"y\d+_\d+")) == steps
    assert len(dot.ids(r"gate\d+")) == steps * {Elman: 0, LSTM: 4, GRU: 3}[make]

    dot = Dot(draw(tape, level="cell"))
    assert len(dot.ids(r"cell\d+")) == len(dot.ids(r"y\d+_\d+")) == steps
    assert len(dot.ids(r"r\d+")) == steps  # x_t
    carried = [(a, b) for a, b, _ in dot.edges if a.startswith("cell") and b.startswith("cell")]
    assert len(carried) == states * (steps - 1)


@cells
@levels
def test_states_are_named_on_the_boundaries_and_the_first_ones_stay(make, level):
    dot = Dot(draw(tape_of(make(3, 4), 3), level=level))
    labels = [shown(a["label"]) for *_, a in dot.edges if "label" in a]
    states = ["h", "c"][: COUNTS[make][3]]
    assert sorted(labels) == sorted(f"{s}{t}" for s in states for t in (1, 2))
    tips = [a["tooltip"].split()[0] for n, a in dot.nodes.items() if re.match("state|end", n)]
    assert sorted(tips) == sorted(f"{s}_{t}" for s in states for t in (0, 3))
    # The names stand between the columns.
    for *_, a in dot.edges:
        if "label" in a:
            t = int(shown(a["label"])[1:])
            x = float(a["lp"].split(",")[0])
            assert dot.column(t)[2] < x < dot.column(t + 1)[0]


def test_ops_are_written_as_mathematics():
    dot = Dot(draw(GRU(3, 4)))
    labels = {shown(dot.nodes[n]["label"]) for n in dot.ids(r"r\d+")}
    assert labels == {"[0]", "[1]", "[2]", "@", "+", "*", "σ", "tanh", "1 −", "stack → ys (3, 4)"}
    x = Tensor([[1.0, 2.0]], name="x")
    made = [
        (x**2, "²"), (2 - x, "2 −"), (x / 4, "/ 4"), (x.T, "T"), (np.exp(x), "exp"),
        (x[:, 0], "[:, 0]"), (x[..., None], "[…, new]"), (x[x.data > 1], "[mask]"),
        (softmax(x), "softmax"), (cross_entropy(x, [1]), "CE"), (np.sqrt(x), "√"),
        (np.einsum("ij,kj->ik", x, x), "ij,kj→ik"), (-x, "−"), (np.maximum(x, 0.5), "max 0.5"),
        (x.sum(), "Σ"), (np.where(x.data > 1, x, 0.0), "where"), (x**-1.5, "^ −1.5"),
    ]  # fmt: skip
    for y, sign in made:
        assert symbol(Tape(y)[-1]).replace("^−", "^ −") == sign


def test_gates_are_named_tinted_boxes():
    tape = tape_of(LSTM(3, 4))
    dot = Dot(draw(tape))
    gates = {n: a for n, a in dot.clusters.items() if "_g" in n}
    assert collections.Counter(a["label"] for a in gates.values()) == dict.fromkeys(
        ("forget", "input", "output", "candidate"), 3
    )
    assert len({a["fillcolor"] for a in gates.values()}) == 4
    # Each op of a gate lies within its box.
    records = list(tape)
    for n in dot.ids(r"r\d+"):
        r = records[int(n[1:]) - 1]
        if r.step and len(r.scope) == 3:
            x, y = dot.pos(n)
            boxes = [
                a["label"]
                for a in gates.values()
                for x1, y1, x2, y2 in [map(float, a["bb"].split(","))]
                if x1 < x < x2 and y1 < y < y2
            ]
            assert boxes == [r.scope[2]]


def test_scopes_of_any_name_are_gates():
    dot = Dot(draw(Leaky(3, 4)))
    assert {a["label"] for n, a in dot.clusters.items() if "_g" in n} == {"drive"}
    dot = Dot(draw(Leaky(3, 4), level="gate"))
    assert len(dot.ids(r"gate\d+")) == 3
    colours = gate_colours(["forget", "a", "b", "a", "c"])
    assert len(set(colours.values())) == 4
    assert colours["forget"] == gate_colours(["b", "forget"])["forget"]


def test_parameters_are_seen_to_be_shared():
    dot = Dot(draw(LSTM(3, 4), steps=5))
    solid = {shown(dot.nodes[n]["label"]): dot.nodes[n] for n in dot.ids(r"p\d+")}
    assert "Wf (3, 4)" in solid
    assert "bo (4,)" in solid
    assert len({a["color"] for a in solid.values()}) == 12  # no two alike
    for name in ("Wf", "Ui", "bg"):
        (own,) = (a for label, a in solid.items() if label.startswith(f"{name} "))
        copies = [a for n, a in dot.nodes.items() if re.fullmatch(r"p\d+_\d+", n)]
        copies = [a for a in copies if shown(a["label"]) == name]
        assert len(copies) == 5
        assert {a["color"] for a in copies} == {own["color"]}
        assert all("dashed" in a["style"] for a in copies)
        assert "dashed" not in own["style"]
    assert "Parameters, each shared by 5 steps" in shown(dot.nodes["parameters"]["label"])
    assert len({parameter_colour("#0072B2", name) for name in "WUbVEp"}) == 6
    assert parameter_colour("#0072B2", "W_f") == parameter_colour("#0072B2", "W")  # by its role


def test_a_tied_weight_is_one_parameter_with_two_uses():
    dot = Dot(draw(language_model()))
    solid = [shown(dot.nodes[n]["label"]) for n in dot.ids(r"p\d+")]
    assert [label for label in solid if label.startswith("E")] == ["E (7, 3)  ×2 uses"]
    copies = [n for n in dot.ids(r"p\d+_\d+") if shown(dot.nodes[n]["label"]) == "E"]
    assert len(copies) == 2


def test_a_parameter_of_one_use_is_solid_where_it_is_used():
    dot = Dot(draw(feedforward()))
    labels = {shown(a["label"]): a for n, a in dot.nodes.items() if n[0] == "p"}
    assert {"W1 (3, 2)", "b1 (2,)"} == set(labels)
    assert all("dashed" not in a["style"] for a in labels.values())


def test_loops_come_from_scopes_alone():
    cell, state, x = Elman(3, 4), None, inputs(3)
    ys = []
    for t in range(3):
        y, state = cell(x[t], state)
        ys.append(y)
    dot = check_structure(Tape(np.stack(ys)))
    assert not [c for c in dot.clusters if re.match(r"cluster_t\d", c)]
    # The same cell run twice is two loops, one over 2 steps, one backwards over 3.
    a, _ = unroll(cell, inputs(2))
    b, _ = unroll(cell, inputs(3, seed=1), reverse=True)
    structure = read(Tape(a.sum() + b.sum()))
    assert [loop.order for loop in structure.loops] == [[1, 2], [3, 2, 1]]


def test_a_step_entered_again_is_the_same_step():
    x, h = inputs(3), Tensor(np.zeros(3), name="h_0")
    for t in range(1, 4):
        with scope("net"), scope(f"t={t}", step=t):
            u = np.tanh(x[t - 1] + h)
        v = u * 2.0  # outside of every step, between two of them
        with scope("net"), scope(f"t={t}", step=t):
            h = np.tanh(v)
    tape = Tape(h)
    structure = read(tape)
    assert [loop.order for loop in structure.loops] == [[1, 2, 3]]
    assert [w[1] for w in structure.where] == [1] * 5 + [2] * 5 + [3] * 5
    check_structure(tape)


def test_a_sum_of_losses_runs_along_with_the_steps():
    dot = check_structure(Tape(own_loop()))
    signs = [n for n, a in dot.nodes.items() if shown(a["label"]) in ("0 +", "+")]
    last = max(signs, key=lambda n: int(n[1:]))
    x, _ = dot.pos(last)
    assert dot.column(3)[0] < x < dot.column(3)[2]
    labels = [shown(a["label"]) for *_, a in dot.edges if "label" in a]
    # States are named by the initial state, h_0; the sum that runs along has no name.
    assert labels == ["h1", "h2", "s1", "s2"]


def test_a_number_and_a_repeated_operand():
    x = Tensor([1.0, 2.0], name="x")
    tape = Tape(x * x + 1)
    dot = check_structure(tape)
    assert dot.pairs()["x1", "r1"] == 2


def test_one_input_given_to_two_networks_is_one_node():
    xs = np.random.default_rng(0).standard_normal((3, 3))
    ys, _ = unroll(Bidirectional(Elman(3, 4), Elman(3, 4)), xs)
    assert len(Dot(draw(ys)).ids(r"x\d+")) == 1


# Where it stands -------------------------------------------------------------------------------

PLACED = ("elman", "lstm", "gru", "own cell", "reversed", "stacked", "bidirectional", "attention")


@pytest.mark.parametrize("name", [*PLACED, "loop of one's own", "deep bidirectional"])
@levels
def test_every_step_is_placed_alike(name, level):
    if name == "attention":
        tape = NETWORKS[name]()
    else:
        make = {
            "elman": Elman(3, 4), "lstm": LSTM(3, 4), "gru": GRU(3, 4), "own cell": Leaky(3, 4),
            "reversed": GRU(3, 4), "stacked": Stacked([LSTM(3, 4), GRU(4, 4)]),
            "bidirectional": Bidirectional(LSTM(3, 4), Elman(3, 4)),
            "deep bidirectional": Stacked([Bidirectional(GRU(3, 4), GRU(3, 4)), Elman(8, 2)]),
        }  # fmt: skip
        options = {"reverse": True} if name == "reversed" else {}
        tape = Tape(own_loop(5)) if name not in make else tape_of(make[name], 5, **options)
    drawing = draw(tape, level=level)
    dot = Dot(drawing)
    steps = sorted({n.place[1] for n in drawing.scene.nodes if n.place} - {0})
    blocks = {c.removeprefix("cluster_t1") for c in dot.clusters if c.startswith("cluster_t1")}
    block = "_block1" if "_block1" in blocks else ""
    places = {}
    for t in steps:
        x1, y1, x2, _ = map(float, dot.clusters[f"cluster_t{t}{block}"]["bb"].split(","))
        for node in drawing.scene.nodes:
            beside = node.kind in ("state", "end")
            if node.place and node.place[1] == t and not beside and x1 < node.x < x2:
                key = (node.place[0], node.kind, node.key)
                places.setdefault(key, {})[t] = (node.x - x1, node.y - y1)
    assert places
    for key, found in places.items():
        assert len(found) == len(steps), key
        assert len(set(found.values())) == 1, key
    # The columns are equally wide and equally far apart.
    spans = [
        tuple(map(float, dot.clusters[f"cluster_t{t}{block}"]["bb"].split(","))) for t in steps
    ]
    assert len({x2 - x1 for x1, _, x2, _ in spans}) == 1
    assert len({b[0] - a[0] for a, b in itertools.pairwise(spans)}) == 1


def test_unlike_steps_share_their_places():
    # Padding gives the later steps ops that the first has not.
    drawing = draw(NETWORKS["padded"]())
    places = collections.defaultdict(set)
    for node in drawing.scene.nodes:
        if node.place and node.kind == "op":
            x1 = Dot(drawing).column(node.place[1])[0]
            places[node.key].add((node.x - x1, node.y))
    assert all(len(found) == 1 for found in places.values())
    assert len(places) > 26


def test_time_runs_to_the_right_and_layers_upwards():
    dot = Dot(draw(tape_of(LSTM(3, 4))))
    assert dot.column(1)[2] < dot.column(2)[0] < dot.column(2)[2] < dot.column(3)[0]
    assert [dot.clusters[f"cluster_t{t}"]["label"] for t in (1, 2, 3)] == ["t=1", "t=2", "t=3"]
    x = dot.ids(r"x\d+")[0]
    bar = next(n for n, a in dot.nodes.items() if a["label"].startswith("stack"))
    assert dot.pos(x)[1] < dot.column(1)[1] < dot.column(1)[3] < dot.pos(bar)[1]
    drawing = draw(tape_of(Stacked([Elman(3, 4), Elman(4, 4)])), level="cell")
    heights = {n.place: n.y for n in drawing.scene.nodes if n.kind == "cell"}
    assert heights[0, 1] == heights[0, 3] < heights[1, 1] == heights[1, 3]
    assert "layer 1 · Elman" in drawing.source  # layers count from 1, as time does
    assert "layer 2 · Elman" in drawing.source


def test_the_memory_is_a_highway_along_the_top():
    drawing = draw(tape_of(LSTM(3, 4), 2))
    nodes = {n.id: n for n in drawing.scene.nodes}
    rail = [e for e in drawing.scene.edges if e.state == 1]
    heights = {p[1] for e in rail for p in e.curve.points if e.head.label in ("*", "+")}
    assert len(heights) == 1  # straight through both steps
    ops = [n for n in nodes.values() if n.kind == "op" and n.place]
    assert heights == {max(n.y for n in ops)}


@levels
def test_a_reversed_pass_runs_from_right_to_left(level):
    drawing = draw(tape_of(GRU(3, 4), reverse=True), level=level)
    names = {}
    for e in drawing.scene.edges:
        if e.slot is not None and e.tail.place and e.head.place:
            (ax, _), (bx, _) = e.curve.points[0], e.curve.points[-1]
            if e.tail.place != e.head.place:
                assert ax > bx
                assert e.tail.place[1] == e.head.place[1] + 1
        if e.label:
            names[e.label] = e.label_at[0]
    assert names["h_3"] > names["h_2"]
    dot = Dot(drawing)
    (first,), (last,) = dot.ids(r"state.*"), dot.ids(r"end.*")
    assert dot.pos(first)[0] > dot.column(3)[2]
    assert dot.pos(last)[0] < dot.column(1)[0]
    assert dot.nodes[last]["tooltip"].startswith("h_1 ")


def test_without_steps_it_is_drawn_in_layers():
    dot = check_structure(Tape(feedforward()))
    for a, b, _ in dot.edges:
        if a[0] in "rx":
            assert dot.pos(a)[1] < dot.pos(b)[1]
    assert [a["label"] for n, a in dot.clusters.items() if "zone" in n] == ["dense"]
    assert len(Dot(draw(feedforward(), level="gate")).ids(r"gate\d+")) == 1
    assert len(Dot(draw(feedforward(), level="cell")).ids(r"gate\d+")) == 1


def boxes_of(drawing):
    """Each node's outline, except what reaches over many columns and stands for left-out steps."""
    return [
        (n.id, n.x - n.half, n.y - n.high, n.x + n.half, n.y + n.high)
        for n in drawing.scene.nodes
        if n.kind != "dots"
    ]


def variants(name):
    """How a network is looked at: unrolled, with values, and folded if it has time."""
    options = [{}, {"values": True}, {"fold": True}]
    return options if name not in ("feedforward", "layers") else options[:2]


looked_at = pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name in NETWORKS for options in variants(name)]
)


@pytest.mark.slow
@looked_at
@levels
def test_no_two_nodes_overlap(name, options, level):
    boxes = boxes_of(draw(NETWORKS[name](), level=level, **options))
    boxes.sort(key=lambda b: b[1])
    for i, (a, ax1, ay1, ax2, ay2) in enumerate(boxes):
        for b, bx1, by1, bx2, by2 in boxes[i + 1 :]:
            if bx1 >= ax2:
                break
            assert not (ax1 < bx2 and bx1 < ax2 and ay1 < by2 and by1 < ay2), (a, b)


@pytest.mark.slow
@looked_at
@levels
def test_no_wire_runs_through_a_node(name, options, level):
    drawing = draw(NETWORKS[name](), level=level, **options)
    outlines = {b[0]: b[1:] for b in boxes_of(drawing)}
    for e in drawing.scene.edges:
        ends = {e.tail.id, e.head.id}
        points = [(x + e.dx, y) for x, y in e.curve.points]
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            assert ax == bx or ay == by or e.kind == "side", "wires run straight"
            for n, (x1, y1, x2, y2) in outlines.items():
                through = (
                    min(ax, bx) < x2 - 1 and max(ax, bx) > x1 + 1
                    and min(ay, by) < y2 - 1 and max(ay, by) > y1 + 1
                )  # fmt: skip
                assert not through or n in ends or n in drawing.scene.bars, (ends, n)


def straight_parts(drawing):
    """The straight pieces of all wires by the line on which they lie: (from, to, source)."""
    lines = collections.defaultdict(set)
    for e in drawing.scene.edges:
        if e.kind == "side" or "dots" in (e.tail.kind, e.head.kind):
            continue
        points = [(x + e.dx, y) for x, y in e.curve.points]
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            line, a, b = (("|", ax), ay, by) if ax == bx else (("-", ay), ax, bx)
            lines[line].add((min(a, b), max(a, b), e.tail.id))
    return lines


@pytest.mark.slow
@looked_at
@levels
def test_wires_of_two_values_are_told_apart(name, options, level):
    drawing = draw(NETWORKS[name](), level=level, **options)
    for line, pieces in straight_parts(drawing).items():
        for (_, end, a), (begin, _, b) in itertools.pairwise(sorted(pieces)):
            assert a == b or begin > end - 4, (line, a, b)
    ends = collections.defaultdict(set)
    for e in drawing.scene.edges:
        x, y = e.curve.points[-1]
        if e.kind != "side" and e.head.id not in drawing.scene.bars:
            ends[e.head.id, x + e.dx, y].add(e.tail.id)
    assert all(len(tails) == 1 for tails in ends.values())


def written(drawing):
    """Where something is written, about: (what, x1, y1, x2, y2), texts somewhat narrower."""
    scene = drawing.scene
    out = []

    def add(what, x, y, width, height):
        out.append((what, x, y, x + int(0.85 * width), y + height))

    for n in scene.nodes:
        width, height = scene.note_size(n.id)
        if width:
            add(f"beside {n.id}", n.x + scene.beside, n.y + n.high + 3, width, height)
    for t in scene.texts:
        width = look.text_width(t.text, t.size)
        x = t.x - {"left": 0, "middle": 0.85 * width // 2, "right": 0.85 * width}[t.anchor]
        add(t.id, int(x), t.y - t.size // 2, width, t.size)
    for e in scene.edges:
        if e.label:
            width, (x, y) = name_width(e.label), e.label_at
            add(e.label, x - int(0.85 * width) // 2, y - 6, width, 12)
    boxes = list(scene.boxes)
    for box in boxes:
        boxes += box.boxes
        if box.title:
            size = look.TITLE if box.kind == "gate" else look.NAME
            width = look.text_width(shorten(box.title), size)
            x = box.x2 - 9 - int(0.85 * width) if box.mirrored else box.x1 + 9
            add(f"title of {box.id}", x, box.y2 - 4 - size, width, size)
            for inner in box.boxes:  # a box is filled
                assert inner.y2 <= box.y2 - size or inner.kind == "gate" != box.kind
    return out


@pytest.mark.slow
@networks
@levels
@pytest.mark.parametrize("numbers", [False, True])
def test_nothing_is_written_over(name, level, numbers):
    tape = NETWORKS[name]()
    (result,) = tape.outputs
    grads = tape.gradients(np.ones(result.shape)) if numbers else None
    drawing = draw(tape, level=level, values=numbers, backward=numbers, grads=grads)
    texts = written(drawing)
    nodes = [b for b in boxes_of(drawing) if b[0] not in drawing.scene.bars]
    inked = sorted([*texts, *nodes], key=lambda r: r[1])
    for i, (a, ax1, ay1, ax2, ay2) in enumerate(inked):
        for b, bx1, by1, bx2, by2 in inked[i + 1 :]:
            if bx1 >= ax2 - 1:
                break
            assert not (ax1 < bx2 - 1 and ay1 < by2 - 1 and by1 < ay2 - 1), (a, b)
    for e in drawing.scene.edges:
        half = 0.6 + 0.3 * e.grade if e.back else 1
        points = [(x + e.dx, y) for x, y in e.curve.points]
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            for what, x1, y1, x2, y2 in texts:
                across = min(ax, bx) - half < x2 - 1 and max(ax, bx) + half > x1 + 1
                along = min(ay, by) - half < y2 - 1 and max(ay, by) + half > y1 + 1
                assert not (across and along), (e.tail.id, e.head.id, what)


# Which part of it ------------------------------------------------------------------------------


def columns(drawing):
    return [int(c[9:]) for c in Dot(drawing).clusters if re.fullmatch(r"cluster_t\d+", c)]


def test_long_sequences_are_elided():
    tape = tape_of(LSTM(3, 4), 20)
    drawing = draw(tape)
    assert columns(drawing) == [1, 2, 20]
    dot = Dot(drawing)
    assert len(dot.ids(r"r\d+")) == 3 * 26 + 1
    assert shown(dot.nodes["dots0"]["label"]) == "…t=3 to 19"
    assert dot.column(2)[2] < dot.pos("dots0")[0] < dot.column(20)[0]
    labels = {shown(a["label"]) for *_, a in dot.edges if "label" in a}
    assert labels == {"h1", "c1", "h2", "c2", "h19", "c19"}
    # What is left out is joined by one dotted line each.
    assert dot.pairs()["x1", "dots0"] == 1
    assert not dot.ids(r"x[2-9]")
    for steps, there in ((1, [1]), (2, [1, 20]), (4, [1, 2, 3, 20]), (20, list(range(1, 21)))):
        assert columns(draw(tape, steps=steps)) == there
    assert columns(draw(tape, steps=99)) == list(range(1, 21))
    assert "dots" not in draw(tape, steps=20).source
    check_structure(tape, steps=20)
    assert columns(draw(tape_of(LSTM(3, 4), 6))) == [1, 2, 3, 4, 5, 6]
    for level in ("gate", "cell"):
        assert columns(draw(tape, level=level)) == [1, 2, 20]
    for name in ("Stacked", "Bidirectional"):
        cell = Stacked([GRU(3, 4)] * 1 + [GRU(4, 4)])
        if name == "Bidirectional":
            cell = Bidirectional(GRU(3, 4), GRU(3, 4))
        for level in ("op", "gate", "cell"):
            drawing = draw(tape_of(cell, 9), level=level)
            assert columns(drawing) == [1, 2, 9]
            assert len(Dot(drawing).ids(r"dots\d")) == 2


@cells
@levels
def test_a_folded_picture_is_one_step_with_delays(make, level):
    drawing = draw(tape_of(make(3, 4), 4), fold=True, level=level)
    dot = Dot(drawing)
    states = ["h", "c"][: COUNTS[make][3]]
    assert [c for c in dot.clusters if re.fullmatch(r"cluster_t\d*", c)] == ["cluster_t"]
    delays = dot.ids(r"delay\d+_\d+")
    assert sorted(dot.nodes[n]["label"] for n in delays) == sorted(
        f"delay, first {s}₀" for s in states
    )
    for n in delays:  # a way in and a way out: the loop
        assert sum(b == n for _, b, _ in dot.edges) == 1
        assert sum(a == n for a, _, _ in dot.edges) >= 1
    labels = {shown(a["label"]) for *_, a in dot.edges if "label" in a}
    assert labels == {f"{s}t" for s in states} | {f"{s}t−1" for s in states}
    if level == "op":
        assert len(dot.ids(r"r\d+")) == COUNTS[make][0] + 1
        assert "[t]" in {a["label"] for a in dot.nodes.values()}
    if level == "cell":
        assert {"xt", "yt"} <= {shown(a["label"]) for a in dot.nodes.values()}
    assert columns(draw(tape_of(Bidirectional(GRU(3, 4), GRU(3, 4))), fold=True)) == []


@pytest.mark.parametrize("steps", [1, 2, 4])
@levels
def test_a_folded_loop_hands_on_what_came_last(level, steps):
    _, (h,) = unroll(Bidirectional(Elman(3, 4), Elman(3, 4)).backward, inputs(steps))
    scene = draw(h.sum(), level=level, fold=True).scene
    (sum_,) = (n for n in scene.nodes if n.label == "Σ")
    (into,) = (e for e in scene.edges if e.head is sum_)
    assert into.tail.kind == "cell" if level == "cell" else into.tail.label == "tanh"
    # Loops that run in two directions have their one step in one column.
    both = draw(tape_of(Bidirectional(GRU(3, 4), GRU(3, 4)), steps), level=level, fold=True)
    assert [box.title for box in both.scene.boxes if box.kind == "column"] == ["step t"]


def test_one_step_in_detail():
    tape = tape_of(LSTM(3, 4), 20)
    drawing = draw(tape, at=7)
    dot = Dot(drawing)
    assert columns(drawing) == [7]
    inside = {f"r{i}" for i, r in enumerate(tape, 1) if r.step == 7}
    assert inside <= set(dot.ids(r"r\d+"))
    assert len(dot.ids(r"r\d+")) == 26 + 1  # and the stack that it feeds
    tips = {a["tooltip"].split()[0] for n, a in dot.nodes.items() if re.match("state|end", n)}
    assert tips == {"h_6", "c_6", "h_7", "c_7"}
    assert "tooltip" in dot.nodes["x1"]
    assert columns(draw(LSTM(3, 4), at=5)) == [5]
    for level in ("gate", "cell"):
        assert columns(draw(tape, at=20, level=level)) == [20]
    tips = {a["tooltip"].split()[0] for n, a in Dot(draw(tape, at=1)).nodes.items() if "state" in n}
    assert tips == {"h_0", "c_0"}


@levels
@pytest.mark.parametrize("reverse", [False, True])
def test_truncation_is_shown_where_it_cuts(level, reverse):
    tape = tape_of(LSTM(3, 4), 5, truncate=2, reverse=reverse)
    drawing = draw(tape, level=level)
    dot = check_structure(tape) if level == "op" else Dot(drawing)
    cuts = {n: i for i, r in enumerate(tape, 1) if r.op == "cut" for n in [f"r{i}"]}
    assert {n for n, a in dot.nodes.items() if shown(a["label"]) == "//"} == set(cuts)
    boundaries = {(3, 4), (1, 2)} if reverse else {(2, 3), (4, 5)}
    for a, b in boundaries:
        inside = [n for n in cuts if dot.column(a)[2] < dot.pos(n)[0] < dot.column(b)[0]]
        assert len(inside) == 2
        assert len({dot.pos(n)[1] for n in inside}) == 2  # h and c
    assert "backpropagation through time is truncated" in drawing.source
    assert "truncated" not in draw(tape_of(LSTM(3, 4)), level=level).source
    # No gradient passes.
    tape = Tape((tape.outputs[0] * tape.outputs[0]).sum())
    grads = tape.gradients()
    for e in draw(tape, level=level, grads=grads, backward=True).scene.edges:
        assert not (e.back and e.head.id in cuts)


def test_one_step_behind_a_cut():
    for level in ("op", "gate", "cell"):
        dot = Dot(draw(NETWORKS["truncated"](), at=3, level=level))
        for name in ("h_2", "c_2"):
            state = next(n for n, a in dot.nodes.items() if a["tooltip"].startswith(f"{name} "))
            cut = next(b for a, b, _ in dot.edges if a == state)
            assert shown(dot.nodes[cut]["label"]) == "//"
            assert dot.pos(state)[0] < dot.pos(cut)[0] < dot.column(3)[0]
    steps = Dot(draw(tape_of(LSTM(3, 4), 9, truncate=2), level="cell", steps=3))
    assert sum(shown(a["label"]) == "//" for a in steps.nodes.values()) == 2  # before the last


def test_at_the_level_of_cells_layers_hand_on_directly():
    dot = Dot(draw(tape_of(Stacked([LSTM(3, 4), GRU(4, 4)])), level="cell"))
    assert len(dot.ids(r"cell\d+")) == 6
    assert len(dot.ids(r"r\d+")) == 3  # x_t of the lower layer
    dot = Dot(draw(NETWORKS["deep bidirectional"](), level="cell"))
    joined = [a for a in dot.nodes.values() if a["label"] == "concat"]
    assert len(joined) == 3
    text = draw(language_model(), level="cell").source
    assert "lookup" in text
    assert "stack" not in text


@pytest.mark.parametrize("steps", [2, 3])
def test_both_directions_read_one_input(steps):
    tape = tape_of(Bidirectional(LSTM(3, 4), GRU(3, 4)), steps)
    scene = draw(tape, level="cell").scene
    read = collections.defaultdict(set)
    for e in scene.edges:
        if e.tail.kind == "input":
            read[e.tail.label].add((e.head.label, e.head.place[1]))
    assert read == {f"x_{t}": {("LSTM", t), ("GRU", t)} for t in range(1, steps + 1)}
    assert sum(n.kind == "input" for n in scene.nodes) == steps


def test_an_encoders_last_state_goes_on_into_the_decoder():
    dot = Dot(draw(encoder_decoder(), level="cell"))
    assert len(dot.ids(r"cell\d+")) == 5
    assert len(dot.ids(r"end\d+_\d+")) == 2  # the decoder's alone
    labels = collections.Counter(shown(a["label"]) for *_, a in dot.edges if "label" in a)
    assert labels["h3(1)"] == labels["c3(1)"] == 1
    right = float(dot.clusters["cluster_t3_block0"]["bb"].split(",")[2])
    assert right < float(dot.clusters["cluster_t1_block1"]["bb"].split(",")[0])


def model_with_attention():
    model = EncoderDecoder(8, 8, d=4, attention="bilinear", rng=0)
    return Tape(model.loss(np.array([[3, 4, 5]]), np.array([[1, 5, 4, 2]])))


@levels
def test_a_scope_around_a_loop_is_no_box_for_what_comes_before_and_after(level):
    drawing = draw(model_with_attention(), level=level)
    dot = Dot(drawing)
    titles = {shown(a["label"]) for n, a in dot.nodes.items() if not n.startswith("row")}
    titles |= {a["label"] for a in dot.clusters.values()}
    assert not titles & {"encoder", "decoder"}
    for name in ("attention", "keys", "scores"):
        assert any(name in title for title in titles)
    heights = {node.id: node.y for node in drawing.scene.nodes}
    for e in drawing.scene.edges:  # nothing leads downwards
        if e.tail.place is None and e.kind == "data":
            assert heights[e.head.id] > heights[e.tail.id]
    cells = [node for node in drawing.scene.nodes if node.kind == "cell"]
    by_loop = [[n.x for n in cells if n.place[0] == loop] for loop in (0, 1)]
    if cells:  # the decoder goes on beside the encoder
        assert max(by_loop[0]) < min(by_loop[1])


def test_values_and_shapes():
    tape = tape_of(Elman(3, 2, rng=0), 2)
    dot = Dot(draw(tape, values=True))
    for i, r in enumerate(tape, 1):
        if r.op != "stack":
            note = dot.nodes[f"r{i}"]["xlabel"]
            assert str(r.output.shape) in note
            digits = 3 if r.output.size <= 2 else 2
            assert f"{r.output.data[0]:.{digits}g}".replace("-", "−") in note
    assert "xlabel" not in Dot(draw(tape)).nodes["r2"]
    assert value_text(np.array([1.0, -2.5])) == "[1 −2.5]"
    assert value_text(np.array(3)) == "3"
    assert value_text(np.array([True])) == "[True]"
    assert value_text(np.zeros((0, 3))) == ""


def test_the_size_of_a_value_decides_how_it_is_shown():
    assert value_text(np.arange(6.0)) == "[0 1 2 3 4 5]"
    assert value_text(np.array([[0.123456, -1e-9, np.nan]])) == "[0.12 −1e−09 nan]"
    medium = np.linspace(-2, 1, 12).reshape(2, 6)
    assert value_text(medium) == ""
    np.testing.assert_allclose(strip(medium), medium / 2)  # 1 for the largest in size
    assert strip(np.array([0.0] * 7)) == [[0.0] * 7]
    odd = strip(np.array([np.nan, np.inf, -np.inf, 2.0, 1, 0, 0]))[0]
    assert np.isnan(odd[0])
    assert odd[1:] == [1, -1, 1, 0.5, 0, 0]
    light, dark = look.THEMES["light"], look.THEMES["dark"]
    assert light.diverging(-1) == look.BLUE
    assert light.diverging(1) == look.VERMILLION
    assert dark.diverging(0) == dark.of(look.PAPER) != light.diverging(0) == look.PAPER
    assert dark.diverging(float("nan")) == dark.of(look.INK)
    large = np.random.default_rng(0).standard_normal((100, 50))
    assert not is_strip(large)
    text = value_text(large)
    assert text.startswith(f"{large.mean():.3g} ± {large.std():.3g}, ".replace("-", "−"))
    assert text.endswith(f"{large.min():.3g} … {large.max():.3g}".replace("-", "−"))
    assert value_text(np.arange(1000)) == "0 … 999"


def test_values_of_every_size_are_drawn():
    for width in (2, 12, 300):
        drawing = draw(tape_of(GRU(3, width, rng=0), 2), values=True, level="gate")
        strips = drawing.scene.strips
        assert bool(strips) == (width == 12)
        for name, rows in strips.items():
            assert drawing.source.count("BGCOLOR") >= len(rows[0])
            assert "BGCOLOR" in Dot(drawing).nodes[name]["xlabel"]
        assert ("±" in drawing.source) == (width == 300)


@levels
def test_the_inner_quantities_have_the_lectures_names(level):
    if level == "cell":
        return
    dot = Dot(draw(tape_of(LSTM(3, 4), 2), level=level))
    beside = {shown(a["xlabel"]) for a in dot.nodes.values() if "xlabel" in a}
    letters = {f"{letter}{t}" for letter in "kjfiog" for t in (1, 2)}
    assert letters <= beside
    xs = beside if level == "op" else {shown(a["label"]) for a in dot.nodes.values()}
    assert {"x1", "x2"} <= xs
    folded = Dot(draw(GRU(3, 4), level=level, fold=True))
    assert {"zt", "rt", "h̃t"} <= {shown(a.get("xlabel", "")) for a in folded.nodes.values()}


# Gradients -------------------------------------------------------------------------------------


def loss_and_tape():
    ys, _ = unroll(LSTM(3, 4, rng=0, dtype=float), inputs(4))
    tape = Tape((ys * ys).sum())
    return tape, tape.gradients()


def test_without_gradients_none_is_drawn():
    tape, _ = loss_and_tape()
    plain = draw(tape).source
    asked = draw(tape, backward=True)
    for text in (plain, asked.source):
        assert "∂" not in text
        assert "scale0" not in text
    assert len(asked.scene.edges) == len(draw(tape).scene.edges)
    assert "no gradient is drawn: give grads=tape.gradients()" in asked.source


@levels
def test_the_norm_of_each_states_gradient_stands_beside_it(level):
    tape, grads = loss_and_tape()
    drawing = draw(tape, level=level, grads=grads)
    assert not any(e.back for e in drawing.scene.edges)
    lines = list(itertools.pairwise(drawing.scene.texts))
    said = {(a.text, b.text): (a, b) for a, b in lines}
    tensors = {x.name: x for x in grads if x.name}
    for t in range(5):
        for name in (f"h_{t}", f"c_{t}"):
            norm = np.linalg.norm(grads[tensors[name]])
            above, below = said[f"‖∂L/∂{with_low_digits(name)}‖", f"= {norm:.3g}"]
            assert above.x == below.x
            assert above.y - below.y >= look.SMALL
    assert "Norm of the gradient" in shown(drawing.source)


def test_a_few_steps_of_each_network_fit_a_page_at_the_level_of_cells():
    """960 pixels are a slide's, 736 those of a site's page."""
    pair = EncoderDecoder(9, 9, d=4, attention="dot", cell=GRU, rng=0)
    both = Bidirectional(GRU(4, 3, rng=0), GRU(4, 3, rng=1))
    network = Transducer(both, 3, embedding=Embedding(9, 4, rng=2), rng=3)
    tape = Tape((unroll(Elman(3, 8, rng=0), inputs(2))[1][0] ** 2).sum())
    pictures = [
        (960, draw(pair.loss([3, 4], [1, 4]), level="cell")),
        (960, draw(network.loss(np.array([[4, 5, 6]]), np.array([[0, 1, 2]])), level="cell")),
        (736, draw(tape, level="cell", backward=True, grads=tape.gradients())),
    ]
    for width, drawing in pictures:
        assert 4 / 3 * (drawing.scene.x2 - drawing.scene.x1 + 8) <= width


def test_a_box_for_all_steps_names_as_many_parameters_as_fit():
    names = [f"W_{letter}^(2)" for letter in "fiogzrh"]
    shown_names = look.shorten_names(" ".join(names)).split()
    assert shown_names == [*names[: len(shown_names) - 1], "…"]
    assert len(" ".join(shown_names)) <= 28 < len(" ".join([*names[: len(shown_names)], "…"]))
    assert look.shorten_names("W U b") == "W U b"


def test_of_an_inputs_scope_a_cell_shows_no_frame():
    E, U, h = Parameter(np.ones((4, 3))), Parameter(np.ones((3, 3))), Tensor(np.ones(3), name="h_0")
    for t in (1, 2):
        with scope("net"), scope(f"t={t}", step=t), scope("beam_1"):
            h = np.tanh(E[t] + h @ U)
            h.name = f"h_{t}"
    scene = draw(h, level="cell").scene
    assert {n.label for n in scene.nodes if n.kind == "input"} == {"x_1", "x_2"}
    assert {box.kind for box in scene.boxes} == {"column"}
    assert not any(box.boxes for box in scene.boxes)
    assert {n.label for n in draw(h, level="gate").scene.nodes if n.kind == "gate"} == {"beam 1"}


@pytest.mark.parametrize(
    ("steps", "keep", "said"),
    [(1, "first", "1 …"), (2, "first", "1 … 5"), (3, "first", "1 2 … 5"), (3, "last", "1 … 4 5")],
)
def test_the_shares_of_steps_left_out_stand_where_these_are(steps, keep, said):
    ys, _ = unroll(LSTM(3, 4, rng=0), inputs(5))
    tape = Tape((ys * ys).sum())
    scene = draw(tape, level="cell", grads=tape.gradients(), steps=steps, keep=keep).scene
    texts = [t for t in scene.texts if t.id.startswith("p1_step")]
    assert " ".join(t.text for t in sorted(texts, key=lambda t: t.x)) == said


@pytest.mark.parametrize("states", [1, 2, 3])
@pytest.mark.parametrize("values", [False, True])
def test_what_stands_beside_the_states_of_a_cell_does_not_overlap(states, values):
    h = [Tensor(np.full(2, 0.1 * k), name=f"{letter}_0") for k, letter in enumerate("hcn"[:states])]
    for t in (1, 2):
        with scope("net"), scope(f"t={t}", step=t):
            h = [np.tanh(x + sum(h)) for x in h]
            for x, letter in zip(h, "hcn", strict=False):
                x.name = f"{letter}_{t}"
    tape = Tape(sum(h).sum())
    scene = draw(tape, level="cell", grads=tape.gradients(), values=values).scene
    beside = [(t.x, t.y, t.size) for t in scene.texts if "norm" in t.id or "value_" in t.id]
    beside += [(*e.label_at, look.NAME) for e in scene.edges if e.label]
    beside += [(n.x, n.y, look.NAME) for n in scene.nodes if n.kind in ("state", "end")]
    assert len(beside) >= 9 * states
    for (x1, y1, high), (x2, y2, other) in itertools.combinations(beside, 2):
        assert abs(x1 - x2) > 60 or abs(y1 - y2) >= (high + other) / 2
    cells = [n for n in scene.nodes if n.kind == "cell"]
    levels = [e.curve.points[0][1] for e in scene.edges if e.slot and e.tail.kind == "state"]
    assert all(abs(y - n.y) < n.high for n in cells for y in levels)


@levels
def test_gradients_flow_back_along_every_edge(level):
    tape, grads = loss_and_tape()
    drawing = draw(tape, level=level, grads=grads, backward=True)
    dot = Dot(drawing)
    forward = [e for e in drawing.scene.edges if not e.back]

    def given(e):
        """Whether the one use of a weight adds anything to its gradient: U of h_0 = 0 does not."""
        record = tape[e.head.records[0]]
        return np.any(record.operand_gradients(grads[record.output])[e.tensor])

    # c_0 = 0 takes from the first forget gate all that it could learn.
    some = {x for x, g in grads.items() if np.any(g)}
    wanted = collections.Counter(
        (e.head.id, e.tail.id)
        for e in forward
        if e.tensor in some and e.head.kind != "end" and (e.kind != "side" or given(e))
        if not e.head.records or any(tape[i].output in some for i in e.head.records)
    )
    found = collections.Counter((a, b) for a, b, at in dot.edges if at.get("constraint") == "false")
    assert found == wanted
    assert found
    for e in drawing.scene.edges:  # right to left where the states run to the right
        if e.back and e.slot is not None:
            assert e.curve.points[0][0] > e.curve.points[-1][0]
    back = [at for *_, at in dot.edges if at.get("constraint") == "false"]
    assert len({at["color"] for at in back}) > 2  # a scale, not one colour


def flows_of(scene, grads):
    """What flows back along each edge that has an arrow back, and along each that has none."""
    flows = Flows(scene.view, Norms(grads))

    def operand(e):
        return e.tail, e.head, e.operand

    back = {operand(e) for e in scene.edges if e.back}
    out = {True: [], False: []}
    for e in scene.edges:
        if not e.back and e.kind != "side":
            out[operand(e) in back].append((e, flows.norm(e)))
    assert not any(n for e, n in out[False] if e.head.kind not in ("end", "cut"))
    return out[True]


@pytest.mark.parametrize("options", [{}, {"steps": 3}])
@levels
def test_where_no_gradient_flows_there_is_no_arrow(level, options):
    xs = inputs(5)
    ys, _ = unroll(Elman(3, 4, rng=0, dtype=float), xs)
    for last_only in (True, False):
        loss = (ys[-1] ** 2).sum() if last_only else (ys**2).sum()
        grads = Tape(loss).gradients()
        drawing = draw(loss, level=level, grads=grads, backward=True, **options)
        rows = {}
        for e, flow in flows_of(drawing.scene, grads):
            if e.head.place is None and e.tail.place is not None:  # from ys to h_t
                rows[e.tail.place[1]] = flow
            elif e.tail.label == "xs" and e.head.kind != "dots":  # each x_t has its own row
                t = e.head.place[1]
                assert flow == pytest.approx(np.linalg.norm(grads[xs][t - 1]))
            elif e.tail.label == "xs":
                assert flow == pytest.approx(np.linalg.norm(grads[xs][2:4]))
            elif e.slot is not None:
                assert flow == pytest.approx(np.linalg.norm(grads[e.tensor]))
        each = np.linalg.norm(2 * ys.data, axis=-1)
        wanted = {t: each[t - 1] for t in ((5,) if last_only else (1, 2, 3, 4, 5))}
        if options and not last_only:  # the steps left out together
            wanted = {1: each[0], 2: each[1], 0: np.linalg.norm(each[2:4]), 5: each[4]}
        assert rows == pytest.approx(wanted)


@pytest.mark.parametrize("merge", ["concat", "sum"])
@pytest.mark.parametrize("level", ["gate", "cell"])
def test_a_merge_at_a_step_has_its_own_part_of_the_gradient(level, merge):
    network = Bidirectional(Elman(3, 4, rng=0), GRU(3, 4, rng=1), merge=merge)
    ys, _ = unroll(network, inputs(4))
    loss = (ys * np.array([[1.0], [10.0], [100.0], [0.0]])).sum()
    grads = Tape(loss).gradients()
    drawing = draw(loss, level=level, grads=grads, backward=True)
    own = {n.place[1]: n.id for n in drawing.scene.nodes if n.place and n.tensor is ys}
    assert own.keys() == {1, 2, 3, 4}
    wanted = np.linalg.norm(grads[ys], axis=-1)
    found = dict.fromkeys(own, 0.0)
    for e, flow in flows_of(drawing.scene, grads):
        if e.tail.id in own.values():
            found[e.tail.place[1]] = flow
    np.testing.assert_allclose([found[t] for t in (1, 2, 3, 4)], wanted, rtol=1e-6)
    grades = [drawing.scene.grades.get(own[t], -1) for t in (4, 1, 2, 3)]
    assert grades == sorted(set(grades))  # more where there is more, and none for 0


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", ["tagger", "attending encoder-decoder", "language model"])
@levels
def test_all_parameters_of_a_network_in_time_are_listed(name, level, fold):
    tape = NETWORKS[name]()
    view = draw(tape, level=level, fold=fold).scene.view
    listed = [s.node.tensor for s in view.shared]
    wanted = {
        x for x in tape.leaves if isinstance(x, Parameter) and x.requires_grad and x in used(tape)
    }
    assert set(listed) == wanted
    assert len(listed) == len(wanted)
    loops = [s.loop for s in view.shared]
    assert loops == sorted(loops, key=lambda loop: loop is None)  # outside of time comes last
    runs = [loop for loop, _ in itertools.groupby(loops)]
    assert len(runs) == len(set(runs))
    assert None in loops


def used(tape):
    return {x for r in tape for x in r.inputs}


def test_the_scale_and_the_bars_say_what_they_are():
    tape, grads = loss_and_tape()
    drawing = draw(tape, level="cell", grads=grads)
    dot = Dot(drawing)
    assert shown(dot.nodes["scale"]["label"]) == "Norm of the gradient (log scale)"
    bounds = [shown(dot.nodes[f"scale{n}"]["label"]) for n in range(5)]
    assert all(re.fullmatch(r"≥ [\d.e−+]+", bound) for bound in bounds)
    assert "Bars: each step's share of ∂L/∂W" in shown(dot.nodes["parameters"]["label"])


@pytest.mark.parametrize("options", [{}, {"fold": True}, {"steps": 3}, {"at": 2}])
@levels
def test_a_sequence_without_a_name_is_drawn_as_one_with_it(level, options):
    xs = np.random.default_rng(0).standard_normal((5, 3))
    for shape in (xs, xs[None]):
        plain, _ = unroll(GRU(3, 4, rng=0), shape)
        unnamed, _ = unroll(GRU(3, 4, rng=0), Tensor(shape))
        wanted = draw(plain, level=level, **options).source
        found = draw(unnamed, level=level, **options).source
        assert "const" not in found
        assert found == wanted.replace('tooltip="xs (', 'tooltip="(')
    # A constant of no name whose parts are not called x_1, x_2, ... stays one.
    table = Tensor(np.eye(3))
    y = Tensor(np.ones(3), name="x")
    for t in (1, 2):
        with scope("loop"), scope(f"t={t}", step=t):
            y = y + table[t]
    assert "const (3, 3)" in draw(y).source


def test_gradients_of_another_loss_are_refused():
    ys, (h,) = unroll(Elman(3, 4, rng=0, dtype=float), inputs(3))
    grads = Tape(ys.sum()).gradients()
    with pytest.raises(ValueError, match=r"no gradient of what is drawn, .*another tape or loss"):
        draw((ys**2).sum(), grads=grads, backward=True)
    # What leads to the loss has its gradients, and one output of several is enough.
    assert "‖∂L/∂h₂‖" in draw(ys, grads=grads).source
    assert "‖∂L/∂h₂‖" in draw(Tape(ys, (h * 2).sum()), grads=grads).source


@levels
def test_what_has_a_gradient_of_0_is_not_filled(level):
    tape, grads = loss_and_tape()
    scene = draw(tape, level=level, grads=grads).scene
    zero = set()
    for node in scene.nodes:
        if node.kind in ("op", "gate") and node.id not in scene.bars:
            assert (node.id in scene.grades) == bool(np.any(grads[node.tensor]))
            if node.id not in scene.grades:
                zero.add(node.place)
    # c_0 = 0: nothing is to be learned of what the first step forgets.
    assert zero == (set() if level == "cell" else {(0, 1)})


@levels
def test_a_gate_passes_on_its_part_of_a_gradient(level):
    cell = LSTM(3, 4, rng=0, dtype=float)
    ys, _ = unroll(cell, inputs(3))
    loss = (ys**2).sum()
    tape = Tape(loss)
    grads = tape.gradients()
    pre = {  # a_f = x W_f + h U_f + b_f of the third step
        r.inputs[1].name[-1]: grads[r.output]
        for r in tape
        if r.op == "matmul" and r.step == 3 and r.inputs[1].name.startswith("W_")
    }
    parts = {k: g @ getattr(cell, f"W_{k}").data.T for k, g in pre.items()}
    flows = {
        e.head.label: flow
        for e, flow in flows_of(draw(tape, level=level, grads=grads, backward=True).scene, grads)
        if e.head.place == (0, 3) and (e.tail.label in ("[2]", "x_3"))
    }
    if level == "cell":
        assert flows == pytest.approx({"LSTM": np.linalg.norm(sum(parts.values()))})
    elif level == "gate":
        names = {"forget": "f", "input": "i", "output": "o", "candidate": "g"}
        assert flows == pytest.approx({n: np.linalg.norm(parts[k]) for n, k in names.items()})
    else:
        assert any(flows["@"] == pytest.approx(np.linalg.norm(p)) for p in parts.values())


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", ["bidirectional", "deep bidirectional", "attention", "lattice"])
@levels
def test_what_flows_along_an_only_edge_is_the_whole_gradient(name, level, fold):
    y = NETWORKS[name]().outputs[0]
    tape = Tape((y * y).sum())
    grads = tape.gradients()
    users = collections.Counter(x for r in tape for x in set(r.inputs))
    scene = draw(tape, level=level, fold=fold, grads=grads, backward=True).scene
    checked = 0
    for e, flow in flows_of(scene, grads):
        assert np.isfinite(flow)
        inside = {x for i in e.head.records for x in tape[i].inputs}
        if users[e.tensor] == 1 and e.tensor in inside and not fold:
            assert flow == pytest.approx(np.linalg.norm(grads[e.tensor]))
            checked += 1
    assert checked or fold


def test_a_gradient_too_small_to_be_squared_is_there():
    x = Tensor(np.ones(2), name="x")
    loss = (np.tanh(x) * 1e-200).sum()
    grads = Tape(loss).gradients()
    scene = draw(loss, grads=grads, backward=True).scene
    assert [n for e, n in flows_of(scene, grads) if e.tail.label == "x"] == pytest.approx(
        [np.sqrt(2) * 1e-200 / np.cosh(1) ** 2], rel=1e-12
    )


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("lstm", {}),
        ("lstm", {"steps": 2}),
        ("gru", {"fold": True}),
        ("truncated", {}),
        ("padded", {}),
        ("deep bidirectional", {}),
        ("tied language model", {}),
        ("encoder-decoder", {"steps": 2}),
        ("attention", {}),
        ("loop of one's own", {}),
        ("lattice", {}),
    ],
)
@levels
def test_the_drawn_shares_of_the_steps_sum_to_the_gradient(what, options, level):
    y = NETWORKS[what]().outputs[0]
    tape = Tape((y * y).sum())
    grads = tape.gradients()
    drawing = draw(tape, level=level, grads=grads, **options)
    shares = drawing.scene.shares
    parameters = {x for x in grads if isinstance(x, Parameter)}
    assert set(shares) == parameters
    for x, parts in shares.items():
        np.testing.assert_allclose(sum(parts.values()), grads[x], rtol=1e-5, atol=1e-7)
    # One bar for each share, its height the share's norm, where there are shares to compare.
    bars = collections.defaultdict(list)
    for node in drawing.scene.nodes:
        if node.kind == "share":
            bars[node.id.split("_")[0]].append(node)
    drawn = {s.node.id: s.node.tensor for s in drawing.scene.view.shared}
    assert set(bars) == {name for name, x in drawn.items() if len(shares[x]) > 1}
    for name, nodes in bars.items():
        norms = [np.linalg.norm(share) for share in shares[drawn[name]].values()]
        assert len(nodes) == len(norms)
        said = collections.Counter(node.detail.split()[-3] for node in nodes)
        assert said == collections.Counter(map(magnitude, norms))
        assert max(node.high for node in nodes) == look.SHARE // 2


def test_the_share_of_a_step_is_the_gradient_of_its_own_weights():
    """Each step with a copy of the weights: the gradient of the copy is the share."""
    rng = np.random.default_rng(0)
    cells = [Elman(2, 3, dtype=float, rng=1) for _ in range(3)]
    xs = rng.standard_normal((3, 2))
    state = None
    for x, cell in zip(xs, cells, strict=True):
        y, state = cell(Tensor(x), state)
    apart = Tape((y * y).sum()).gradients()
    _, (h,) = unroll(Elman(2, 3, dtype=float, rng=1), xs)
    tape = Tape((h * h).sum())
    shares = draw(tape, grads=tape.gradients()).scene.shares
    for x, parts in shares.items():
        for (_, t), share in parts.items():
            np.testing.assert_allclose(share, apart[getattr(cells[t - 1], x.name)])


def test_steps_that_no_gradient_reaches_keep_their_places():
    _, (h,) = unroll(Elman(3, 4, dtype=float), inputs(4), truncate=2)
    tape = Tape(h.sum())
    scene = draw(tape, level="cell", backward=True, grads=tape.gradients()).scene
    at = {n.id: n.x for n in scene.nodes}
    for p in (s.node for s in scene.view.shared):
        bars = {k: at[f"{p.id}_share{k}"] - at[p.id] for k in range(4) if f"{p.id}_share{k}" in at}
        assert bars == {2: 5, 3: 15}  # of four places, the last two
        steps = {t.id: t.text for t in scene.texts if t.id.startswith(f"{p.id}_step")}
        assert list(steps.values()) == ["1", "2", "3", "4"]
    # Where the gradient is cut nothing goes on.
    cut = {e.tail.kind for e in scene.edges if e.back}
    cut |= {e.head.kind for e in scene.edges if e.back}
    assert "cut" not in cut
    # One step in detail has nothing to be compared with.
    one = draw(tape, at=3, grads=tape.gradients())
    assert "_share" not in one.source
    assert "Bars" not in one.source


def test_too_many_steps_to_compare_have_no_bars():
    tape = Tape(tape_of(Elman(3, 2), 30).outputs[0].sum())
    grads = tape.gradients()
    assert not draw(tape, level="cell", steps=30, grads=grads).scene.shares
    assert draw(tape, level="cell", grads=grads).scene.shares


def test_ops_are_filled_by_the_size_of_their_gradients():
    tape, grads = loss_and_tape()
    dot = Dot(draw(tape, grads=grads))
    norms = {f"r{i}": np.linalg.norm(grads[r.output]) for i, r in enumerate(tape, 1)}
    order = [
        look.GRADIENT.index(dot.nodes[n]["fillcolor"])
        for n in sorted(norms, key=norms.get)
        if dot.nodes[n].get("fillcolor") in look.GRADIENT
    ]
    assert order == sorted(order)
    assert len(set(order)) > 3
    assert not any(a.get("fillcolor") in look.GRADIENT for a in Dot(draw(tape)).nodes.values())


def test_a_gradient_of_zero_and_one_that_is_absent():
    x, h = Tensor(np.zeros(3), name="x"), Tensor(np.zeros(3), name="h_0")
    for t in (1, 2):
        with scope("net"), scope(f"t={t}", step=t):
            h = np.tanh(h * 0.0 + x)
            h.name = f"h_{t}"
    tape = Tape(h.sum())
    text = draw(tape, grads=tape.gradients()).source
    assert re.search("‖∂L/∂h₁‖<.*?>= 0<", text, re.DOTALL)
    cut = Tape(h.sum(), x.sum())
    text = draw(cut, grads=cut.gradients((np.array(1.0), None))).source
    assert "‖∂L/∂h₂‖" in text


# Text ------------------------------------------------------------------------------------------

HOSTILE = [
    '"', "\\", '\\"', "\\N", "\\G", "\\n", "\\", "a\nb", "a\r\nb", "\t", "\x00", "\x1b[31m", "\x7f",
    "<script>alert(1)</script>", "<b>", "&lt;", "&amp;amp;", "&", "]]>", "-->", "//", "/*", "#",
    "}",
    "{", "];", "x -> y", "label=1", "W_<b>", "é_1", "漢字", "🙂", "a\u202eb", "\u2028", "\ufffe",
    "\udcff", "x" * 10_000, "h_" + "1" * 50, "<", ">", "'", "`", "%s %d {0}", "$HOME",
    "\\E\\T\\H\\L",
    "strict", "graph", "node", "end", "0", "-1", " ", "\u00a0", "_", "h_1_2", "W_f", "ﬁ", "e\u0301",
]  # fmt: skip


def hostile_tape(names):
    """A tape on which every name is somewhere: tensors, parameters, scopes, states."""
    x = Tensor(np.ones((2, 2)), name=names[0])
    state = Tensor(np.zeros(2), name="h_0")
    for t in (1, 2):
        with scope(names[1 % len(names)]), scope(names[2 % len(names)], step=t):
            for n, name in enumerate(names):
                with scope(name):
                    W = Parameter(np.eye(2), name=name)
                    state = np.tanh(x[t - 1] @ W + state)
                    if n % 2:
                        state.name = name
    return Tape(state * 1.0)


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_labels_are_text_whatever_they_contain(level):
    drawing = draw(hostile_tape(HOSTILE), level=level, values=True)
    drawing.source.encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\ufffe\uffff\ud800-\udfff]", drawing.source)
    if render.renderers():
        root = ET.fromstring(drawing.render("svg"))
        texts = {"".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")}
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
        if level != "cell":
            for name in (
                "<script>alert(1)</script>",
                "\\N",
                '\\"',
                "&amp;amp;",
                "漢字",
                "🙂",
                "\\G",
            ):
                assert any(shorten(name) in text for text in texts), name


def test_the_equation_of_what_is_pointed_at_is_shown():
    tape = tape_of(GRU(3, 4), 2)
    ops = Dot(draw(tape))
    last = next(i for i, r in enumerate(tape, 1) if r.output.name == "h_2")
    said = "h_2 = (1 - z_2) ⊙ h_1 + z_2 ⊙ h̃_2"
    assert ops.nodes[f"r{last}"]["tooltip"].split("&#10;") == ["h_2 (4,) float64", said]
    gates = Dot(draw(tape, level="gate"))
    reset = next(a for a in gates.nodes.values() if shown(a["label"]).startswith("reset"))
    assert reset["tooltip"].endswith("&#10;r_1 = σ(x_1 W_r + h_0 U_r + b_r)")
    (cell,) = Dot(draw(GRU(3, 4), level="cell", fold=True)).ids(r"cell\d+")
    lines = Dot(draw(GRU(3, 4), level="cell", fold=True)).nodes[cell]["tooltip"].split("&#10;")[1:]
    assert lines == equations(GRU(3, 4))


def test_greek_letters_and_short_names_are_set_as_in_print():
    assert split_name("alpha_12") == ("α", "12")
    assert split_name("h̃_t") == ("h̃", "t")
    assert split_name("x") is None
    node = next(n for n in draw(language_model()).scene.nodes if n.label == "CE")
    assert not node.round  # two wide letters do not fit into a circle
    assert node.half * 2 > look.text_width("CE")


def test_quoting():
    assert quote('a"b\\N&lt;\n') == '"a\\"b\\\\N&amp;lt;⏎"'
    assert html("<a> & \x01\\N") == "&lt;a&gt; &amp; ␁\\\\N"
    assert html("  ") == html("") == "·"
    assert printable("\ud800\ufffe\x7f") == "���"
    assert shorten("x" * 100) == "x" * 27 + "…"
    assert shorten("a \n b") == "a b"


hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed (extra: test)")
st = hypothesis.strategies
given, settings = hypothesis.given, hypothesis.settings
few = settings(max_examples=8)
some = settings(max_examples=40)


@needs_graphviz
@few
@given(st.lists(st.text(max_size=12), min_size=8, max_size=8))
def test_graphviz_reads_any_labels(names):
    drawing = draw(hostile_tape([name or "?" for name in names]))
    ET.fromstring(drawing.render("svg"))


@st.composite
def programs(draw_from):
    """Random straight-line programs: ops on earlier results, in random scopes and steps."""
    lines = draw_from(st.integers(1, 25))
    choice = st.tuples(
        st.sampled_from(["add", "mul", "tanh", "sigmoid", "sub", "const", "matmul", "param"]),
        st.integers(0, 100),
        st.integers(0, 100),
        st.sampled_from(["", "a", "b", "forget"]),
        st.integers(0, 4),
    )
    return draw_from(st.lists(choice, min_size=lines, max_size=lines))


def run(program):
    values = [Tensor(np.ones((2, 2)), name="x"), Tensor(np.ones((2, 2)), name="h_0")]
    W = Parameter(np.eye(2), name="W")
    for op, i, j, gate, step in program:
        a, b = values[i % len(values)], values[j % len(values)]
        scopes = [scope("net"), scope(f"t={step}", step=step)] if step else []
        scopes += [scope(gate)] if gate else []
        for s in scopes:
            s.__enter__()
        values.append(
            {
                "add": lambda a, b: a + b, "mul": lambda a, b: a * b, "sub": lambda a, b: a - b,
                "tanh": lambda a, b: np.tanh(a), "sigmoid": lambda a, b: sigmoid(a),
                "const": lambda a, b: 1.0 - a, "matmul": lambda a, b: a @ b,
                "param": lambda a, b: a @ W,
            }[op](a, b)
        )  # fmt: skip
        for s in reversed(scopes):
            s.__exit__(None, None, None)
    return Tape(values[-1], *values[-3:-1]) if len(values) > 4 else Tape(values[-1])


@pytest.mark.slow
@some
@given(programs())
def test_random_tapes_are_drawn_whole(program):
    tape = run(program)
    if not len(tape):
        return
    check_structure(tape, steps=9 if any(r.step for r in tape) else None)
    for level in ("gate", "cell"):
        draw(tape, level=level)
    if any(r.step for r in tape):
        for level in ("op", "gate", "cell"):
            draw(tape, fold=True, level=level)
            draw(tape, at=next(r.step for r in tape if r.step), level=level)


@needs_graphviz
@few
@given(programs())
def test_graphviz_reads_random_tapes(program):
    tape = run(program)
    if len(tape):
        ET.fromstring(draw(tape).render("svg"))


BUILD = """
import sys, hashlib
sys.path[:] = {path!r}
import numpy as np
from unspool import Parameter, Tape, Tensor, unroll
from unspool.cells import GRU, LSTM, Bidirectional, Stacked
from unspool.viz import draw
np.tanh(Tensor([1.0]))
out = []
for cell in (LSTM(3, 4, rng=0), Stacked([Bidirectional(GRU(3, 4, rng=1), GRU(3, 4, rng=2))])):
    ys, _ = unroll(cell, Tensor(np.ones((3, 3), np.float32), name="xs"))
    tape = Tape((ys * ys).sum())
    for level in ("op", "gate", "cell"):
        options = dict(level=level, grads=tape.gradients(), backward=True, values=True)
        text, again = (d.source + d._repr_svg_() for d in (draw(tape, **options) for _ in "ab"))
        assert text == again
        out.append(hashlib.sha256(text.encode()).hexdigest())
print(out)
"""


def test_the_same_tape_gives_the_same_text():
    answers = set()
    for seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        code = BUILD.format(path=sys.path)
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        answers.add(done.stdout)
    assert len(answers) == 1
    a, b = (draw(tape_of(LSTM(3, 4, rng=0))).source for _ in range(2))
    assert a == b


@pytest.mark.parametrize("frozen", [False, True])
def test_drawing_leaves_the_collector_as_it_was(frozen):
    tape = tape_of(LSTM(3, 4, rng=0), 20)
    assert gc.isenabled()
    if frozen:
        gc.freeze()  # as a program does before it forks
    try:
        before = gc.get_freeze_count()
        draw(tape, level="op", steps=20)
        assert gc.isenabled()
        assert bool(gc.get_freeze_count()) == bool(before) == frozen
    finally:
        gc.unfreeze()


# What is easily drawn wrong -----------------------------------------------------------------------


def plain_loop(steps=4, h=None):
    """A loop of one's own whose steps all have one name, of a state without a name."""
    W, h = Parameter(np.eye(2) / 2, name="W"), Tensor(np.ones(2)) if h is None else h
    for t in range(1, steps + 1):
        with scope("step", step=t):
            h = np.tanh(h @ W)
    return Tape(h.sum())


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_a_step_is_known_by_its_number_not_by_its_name(level):
    tape = plain_loop()
    drawing = draw(tape, level=level)
    assert columns(drawing) == [1, 2, 3, 4]
    labels = [shown(a["label"]) for _, _, a in Dot(drawing).edges if "label" in a]
    assert labels == ["s1", "s2", "s3"]
    folded = Dot(draw(tape, level=level, fold=True))
    assert len(folded.ids(r"delay\d_\d")) == 1
    assert equations(tape) == ["s_t = tanh(s_{t-1} W)", "L = Σ(s_4)"]


def test_nested_loops_of_one_name_keep_their_steps():
    h = Tensor(np.ones(2), name="h_0")
    for t in (1, 2):
        with scope("outer", step=t):
            for _ in range(2):
                h = np.tanh(h)
    assert [len(steps) for steps in read(Tape(h)).loops[0].steps.values()] == [2, 2]


def test_a_reversed_pass_begins_behind_the_end():
    tape = tape_of(GRU(3, 4), reverse=True)
    states = [n.label for n in draw(tape).scene.nodes if n.kind in ("state", "end")]
    assert states == ["h_4", "h_1"]
    dot = Dot(draw(tape, fold=True))
    assert "h<SUB>" in "".join(a.get("label", "") for _, _, a in dot.edges)
    labels = {shown(a["label"]) for _, _, a in dot.edges if "label" in a}
    assert labels == {"ht+1", "ht"}
    assert dot.nodes["delay0_0"]["label"] == "delay, first h₄"
    grads = tape.gradients(np.ones((3, 4)))
    texts = [t.text for t in draw(tape, level="cell", grads=grads).scene.texts]
    assert any(text.startswith("‖∂L/∂h₄‖") for text in texts)


def test_steps_of_two_digits_are_subscripts():
    drawing = draw(tape_of(LSTM(3, 4), 12), steps=12)
    notes = [line for lines in drawing.scene.notes.values() for line in lines]
    assert "f_12" in notes
    assert not any("{" in line for line in notes)
    assert "f_{1" not in drawing.source


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", [Elman, LSTM, GRU, Leaky])
def test_operands_stand_in_the_order_of_the_equation(cell, reverse):
    """x @ W: what is multiplied comes in at the left of the parameter."""
    drawing = draw(tape_of(cell(3, 4), reverse=reverse))
    seen = 0
    for edge in drawing.scene.edges:
        head = edge.head
        if head.label == "@" and edge.kind != "side" and len(head.sides) == 1:
            x = edge.curve.points[-1][0] + edge.dx
            assert x < head.sides[0].x
            seen += 1
    assert seen >= 3


@pytest.mark.parametrize(("merge", "said"), [("concat", "concat"), ("sum", "sum")])
def test_how_two_directions_are_merged_is_said(merge, said):
    tape = tape_of(Bidirectional(Elman(3, 4), GRU(3, 4), merge=merge))
    scene = draw(tape, level="cell").scene
    outputs = [n.id for n in scene.nodes if n.kind == "output"]
    assert [scene.notes[v] for v in outputs] == [[said]] * 3


@pytest.mark.parametrize("name", ["h_0", "theta", "start", None])
def test_a_first_state_that_is_learned_is_a_state(name):
    scene = draw(plain_loop(h=Parameter(np.ones(2), name=name))).scene
    assert [n.kind for n in scene.nodes].count("state") == 1
    assert [s.node.label for s in scene.view.shared] == ["W"]
    states = {e.state for e in scene.edges if e.kind == "state"}
    assert states == {0}


def test_namesakes_are_numbered_and_parameters_without_a_name_have_their_uses():
    tape = Tape(FeedForward([3, 4, 2], "tanh", rng=0)(Tensor(np.ones((2, 3)), name="x")))
    drawing = draw(tape)
    sides = [side.label for n in drawing.scene.nodes for side in n.sides]
    assert sorted(sides) == ["W^(1)", "W^(2)", "b^(1)", "b^(2)"]
    assert "<SUP>" in drawing.source
    svg = drawing._repr_svg_()
    assert re.search(r'>W<tspan font-size="9" dy="-4.4">\(2\)</tspan>', svg)
    W, b = Parameter(np.eye(3)), Parameter(np.ones(3))
    plain = draw(np.tanh(Tensor(np.ones(3), name="x") @ W + b))
    assert sorted(v.label for n in plain.scene.nodes for v in n.sides) == ["W", "b"]
    stacked = draw(Stacked([Elman(3, 4), Elman(4, 4)]), level="cell")
    names = {f"{name}^({layer})" for name in "WUb" for layer in (1, 2)}
    assert {s.node.label for s in stacked.scene.view.shared} == names


def test_a_folded_picture_shows_the_largest_gradient_of_all_steps():
    tape, grads = loss_and_tape()
    scenes = [draw(tape, fold=fold, grads=grads, scale=(-1, 1)).scene for fold in (False, True)]
    assert any("the largest of all steps" in text.text for text in scenes[1].texts)
    largest = [
        {name: max(e.grade for e in scene.edges if e.slot and e.slot.name == name) for name in "hc"}
        for scene in scenes
    ]
    assert largest[0] == largest[1]
    nodes = {n.key: n.id for n in scenes[1].nodes if n.place}
    for node in scenes[0].nodes:
        if node.place and node.id in scenes[0].grades:
            assert scenes[0].grades[node.id] <= scenes[1].grades[nodes[node.key]]


def test_weights_take_the_colour_of_their_gradient():
    tape, grads = loss_and_tape()
    drawing = draw(tape, grads=grads, backward=True)
    scene, norms = drawing.scene, Norms(grads)
    norms.measure([], [])
    for s in scene.view.shared:
        assert (s.node.id in scene.grades) == bool(np.any(grads[s.node.tensor]))
    copies = {e.tail.id for e in scene.edges if e.kind == "side" and not e.back}
    reached = {e.tail.id for e in scene.edges if e.kind == "side" and e.back}
    assert reached == {name for name in copies if name in scene.grades}
    h = [v for v in copies if v not in scene.grades]
    assert 0 < len(h) < len(copies)  # U of the first step: h_0 is 0
    fixed = draw(tape, grads=grads, scale=(-30, -20)).scene  # all is far above
    assert set(fixed.grades.values()) == {4}


def test_a_share_of_zero_looks_unlike_a_small_one():
    xs = Tensor(np.eye(3), name="xs")
    _, (h,) = unroll(Elman(3, 2, dtype=float, rng=0), xs)
    tape = Tape((h * h).sum())
    scene = draw(tape, grads=tape.gradients()).scene
    (U,) = (s.node for s in scene.view.shared if s.node.label == "U")
    bars = [n for n in scene.nodes if n.id.startswith(f"{U.id}_share")]
    assert bars[0].colour == look.FAINT  # h_0 is 0
    assert bars[0].high == 1 < 2 <= min(bar.high for bar in bars[1:])
    assert all(bar.colour in look.GRADIENT for bar in bars[1:])


def test_all_strips_have_one_scale_and_it_is_shown():
    tape = tape_of(Elman(3, 8, rng=0))
    scene = draw(tape, values=True).scene
    strips = {name: rows for name, rows in scene.strips.items() if name.startswith("r")}
    of = {f"r{i}": record.output.data for i, record in enumerate(tape, 1)}
    most = max(np.abs(of[name]).max() for name in strips)
    for name, rows in strips.items():
        np.testing.assert_allclose(np.ravel(rows), np.ravel(of[name]) / most)
    assert scene.strips["strip_scale"][0][0] == -1
    assert scene.strips["strip_scale"][0][-1] == 1
    ends = [t.text for t in scene.texts if t.id in ("strip_low", "strip_high")]
    assert ends == [f"−{most:.3g}", f"{most:.3g}"]


def test_a_folded_picture_says_which_steps_differ():
    h = Tensor(np.ones(2), name="h_0")
    for t in range(1, 5):
        with scope("step", step=t):
            h = np.tanh(h) if t < 4 else np.exp(h)
            h.name = f"h_{t}"
    assert "t=2 is shown; other operations are in t=4" in draw(h, fold=True).source
    assert "other operations" not in draw(plain_loop(), fold=True).source


def test_a_long_network_without_steps_says_what_would_help():
    said = "No time steps: with scope"
    assert said in draw(chain(40)).source
    assert said not in draw(chain(10)).source
    assert said not in draw(plain_loop(40)).source


def test_one_step_shares_nothing():
    texts = [t.text for t in draw(tape_of(Elman(3, 4), 1)).scene.texts]
    assert "Parameters" in texts


def test_all_greek_letters_are_set():
    assert split_name("omega_1") == ("ω", "1")
    assert split_name("Phi_t") == ("Φ", "t")
    assert len(GREEK) == 48


# What is asked for --------------------------------------------------------------------------------


def test_the_last_steps_may_be_kept():
    tape = tape_of(Elman(3, 4), 9)
    for level in ("op", "gate", "cell"):
        drawing = draw(tape, level=level, keep="last", steps=4)
        assert columns(drawing) == [1, 7, 8, 9]
        (dots,) = (n for n in drawing.scene.nodes if n.kind == "dots")
        assert dots.detail == "t=2 to 6"
        x = {t: Dot(drawing).column(t) for t in (1, 7)}
        assert x[1][2] < dots.x < x[7][0]
    assert columns(draw(tape, keep="last", steps=1)) == [9]
    assert columns(draw(tape, keep="last")) == [1, 8, 9]
    with pytest.raises(ValueError, match="keep must be one of first, last, got 'end'"):
        draw(tape, keep="end")


def test_with_values_matrices_and_first_states_have_theirs():
    cell = Elman(3, 2, rng=0)
    tape = tape_of(cell)
    scene = draw(tape, values=True).scene
    labels = [n.label for n in scene.nodes if n.kind == "label"]
    assert labels == ["W", "U", "b"]
    texts = {t.id: t for t in scene.texts}
    for n, parameter in enumerate((cell.W, cell.U, cell.b)):
        rows = np.atleast_2d(parameter.data)
        for (r, c), number in np.ndenumerate(rows):
            assert float(texts[f"value{n}_{r}_{c}"].text.replace("−", "-")) == pytest.approx(
                number, rel=0.06
            )
        corner = texts[f"value{n}_0_0"]
        assert all(texts[f"value{n}_{r}_0"].x == corner.x for r in range(len(rows)))
    assert texts["value_state0_0_1"].text == "[0 0]"
    assert texts["value_end0_0"].text.startswith("[")
    plain = draw(tape).scene
    assert not [t for t in plain.texts if t.id.startswith("value")]
    large = draw(tape_of(Elman(3, 40)), values=True).scene
    assert [n.label for n in large.nodes if n.kind == "label"] == ["b"]


def test_the_legend_may_be_left_out():
    tape, grads = loss_and_tape()
    scene = draw(tape, grads=grads, legend=False).scene
    assert not [n for n in scene.nodes if n.kind in ("parameter", "swatch", "share")]
    assert not any(t.id.startswith(("parameters", "scale")) for t in scene.texts)


def test_pictures_of_one_scale_can_be_compared():
    scenes = []
    for factor in (1.0, 0.01):
        tape = Tape((tape_of(Elman(3, 4)).outputs[0] * factor).sum())
        scenes.append(draw(tape, grads=tape.gradients(), scale=(-4, 1)).scene)
    legends = [[n.label for n in scene.nodes if n.kind == "swatch"] for scene in scenes]
    assert legends[0] == legends[1] == ["< 0.001", "≥ 0.001", "≥ 0.01", "≥ 0.1", "≥ 1"]
    first, second = ([scene.grades[v] for v in sorted(scene.grades)] for scene in scenes)
    assert all(a >= b for a, b in zip(first, second, strict=True))
    assert first != second
    for wrong in ((1, 0), (0, 0)):
        with pytest.raises(ValueError, match="two powers of ten, the lower first"):
            draw(tape, scale=wrong)
    for wrong in (3, (1,), ("a", 2)):
        with pytest.raises(TypeError, match="two powers of ten, the lower first"):
            draw(tape, scale=wrong)


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_words_stand_below_and_targets_above_their_steps(level):
    tape = tape_of(LSTM(3, 4), 4)
    words, targets = ["the", "cat", "sat", "down"], ["cat", "sat", "down", "."]
    drawing = draw(tape, level=level, words=words, targets=[targets, words], steps=3)
    texts = {t.text: t for t in drawing.scene.texts}
    assert {"the", "cat", "down", ".", "words", "targets"} <= set(texts)
    columns_of = {t: Dot(drawing).column(t) for t in (1, 2, 4)}
    low = min(y1 for _, y1, _, _ in columns_of.values())
    for t, word in ((1, "the"), (2, "cat"), (4, "down")):
        x1, _, x2, _ = columns_of[t]
        below = [w for w in drawing.scene.texts if w.text == word and w.y < low]
        assert any(x1 < w.x < x2 for w in below)
        column = [n for n in drawing.scene.nodes if n.place == (0, t)]
        lowest = min((n for n in column if n.records), key=lambda n: n.y)
        assert any(w.x == lowest.x for w in below)  # right below what reads it
    assert texts["."].y > max(n.y for n in drawing.scene.nodes)


def test_words_of_an_encoder_decoder_stand_at_their_network():
    model = EncoderDecoder(9, 9, d=4, rng=0)
    loss = model.loss([3, 4, 5, 6], [1, 5, 4, 2])
    scene = draw(loss, level="cell", words=list("abcd"), predictions=list("xyz")).scene
    at = {t.text: t.x for t in scene.texts}
    assert at["a"] < at["d"] < at["x"] < at["z"]


def test_words_that_do_not_fit_are_refused():
    tape = tape_of(Elman(3, 4), 4)
    with pytest.raises(ValueError, match="words has 2 texts, but this tape has 4 time steps"):
        draw(tape, words=["a", "b"])
    with pytest.raises(ValueError, match="targets has 1 texts, but this tape has no time steps"):
        draw(feedforward(), targets=["a"])
    for wrong in ("abcd", 3, [1, 2, 3, 4], [["a", "b", "c", 4]]):
        with pytest.raises(TypeError, match="draw: words"):
            draw(tape, words=wrong)


@pytest.mark.parametrize("what", [LSTM(3, 4), GRU(3, 4), Stacked([Elman(3, 4), LSTM(4, 4)])])
@pytest.mark.parametrize("width", [736, 978, 2200])
def test_a_drawing_fits_a_width_by_showing_less(what, width):
    tape = tape_of(what, 9)
    drawing = draw(tape, width=width)
    assert float(re.search(r'width="([\d.]+)pt"', drawing._repr_svg_())[1]) * 4 / 3 <= width
    sizes = [float(n) for n in re.findall(r'font-size="([\d.]+)"', drawing._repr_svg_())]
    assert min(sizes) >= 7  # as in every picture: it is not scaled down
    wide = draw(tape, level="op").scene
    assert drawing.scene.x2 - drawing.scene.x1 <= wide.x2 - wide.x1
    if width == 2200:
        assert drawing.scene.view.level == "op"


def test_what_fits_no_width_says_how_wide_it_is():
    with pytest.warns(UserWarning, match=r"nothing fits width=100; .* level 'layer', is \d+ pixel"):
        assert draw(tape_of(LSTM(3, 4), 9), width=100).scene.view.level == "layer"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(tape_of(LSTM(3, 4)), level="gate", width=5000).scene.view.level == "gate"
    with pytest.raises(TypeError, match="width must be an integer"):
        draw(LSTM(3, 4), width="978px")


# Titles, captions, colours ----------------------------------------------------------------------


def test_a_title_stands_above_and_a_caption_below():
    words = "Each of these words stands in the picture, in order, however many lines they take. "
    drawing = draw(LSTM(2, 3), level="cell", title="LSTM <&> \\N", caption=3 * words)
    plain = draw(LSTM(2, 3), level="cell")
    texts = {t.id: t for t in drawing.scene.texts}
    lines = [t for name, t in texts.items() if name.startswith("caption")]
    assert " ".join(t.text for t in lines) == (3 * words).strip()
    assert len(lines) > 1
    assert all(t.y < plain.scene.y1 + 10 for t in lines)
    assert texts["title0"].y > plain.scene.y2 - 10
    assert "LSTM &lt;&amp;&gt; \\\\N" in drawing.source
    assert drawing.scene.x2 - drawing.scene.x1 < 3 * (plain.scene.x2 - plain.scene.x1)


@pytest.mark.parametrize("letter", ["i", "m", "x"])
def test_of_a_long_caption_nothing_is_lost(letter):
    caption = " ".join(letter * (n % 9 + 1) for n in range(200))
    scene = draw(LSTM(3, 4), caption=caption).scene
    lines = [t.text for t in scene.texts if t.id.startswith("caption")]
    assert " ".join(lines) == caption
    assert max(map(len, lines)) <= look.MOST_LETTERS  # longer ones would be cut


def test_a_title_of_one_endless_word_is_cut():
    scene = draw(LSTM(2, 3), level="cell", title="x" * 10_000, caption="y" * 10_000).scene
    assert scene.x2 - scene.x1 < 2_000
    assert max(len(t.text) for t in scene.texts) <= 90


def contrast(a, b):
    """The ratio of two colours' brightness by the WCAG's formula, 1 to 21."""

    def brightness(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([brightness(a), brightness(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", look.THEMES)
def test_text_is_readable_on_every_ground(name):
    theme = look.THEMES[name]
    grounds = [look.PAPER, look.BAND, look.PANEL]
    for ground in [*map(theme.of, grounds), *map(theme.tint, look.GATES.values())]:
        assert contrast(theme.of(look.INK), ground) > 7
        assert contrast(theme.of(look.WIRE), ground) > 4.5
        assert all(contrast(theme.of(hue), ground) > 2.5 for hue in look.STATES[:2])
    steps = [contrast(colour, theme.of(look.PAPER)) for colour in theme.gradient]
    assert steps == sorted(steps)
    letters = {2: look.INK, 3: look.PAPER}  # on the grades of a gradient, up to and from there
    for grade, colour in enumerate(theme.gradient):
        assert contrast(theme.of(letters[2 if grade < 3 else 3]), colour) >= 4.5
    tape, grads = loss_and_tape()
    words = ["word"] * len(read(tape).loops[0].steps)
    drawing = draw(tape, level="cell", grads=grads, words=words, predictions=words, backward=True)
    assert {"words", "predictions"} <= {line.text for line in drawing.scene.texts}
    for line in drawing.scene.texts:
        assert contrast(theme.of(line.colour or look.INK), theme.of(look.PAPER)) > 4.5, line.text


@pytest.mark.parametrize("name", look.THEMES)
@levels
def test_a_theme_changes_the_colours_and_nothing_else(name, level):
    tape, grads = loss_and_tape()
    plain = draw(tape, level=level, grads=grads)
    themed = draw(tape, level=level, grads=grads, theme=name)
    colour = re.compile("#[0-9A-F]{6}")
    said = re.compile(' color="#[0-9A-F]{6}"|#[0-9A-F]{6}')  # the usual colour is not said
    assert said.sub("", themed.source) == said.sub("", plain.source)
    assert (themed.source == plain.source) == (name == "light")
    allowed = set(re.findall(colour, themed.source))
    if name == "print":
        assert all(c[1:3] == c[3:5] == c[5:7] for c in allowed)
    else:
        assert look.THEMES[name].of(look.PAPER) in allowed


def test_hues_are_told_apart_by_the_colour_blind():
    """Simulated by the matrices of Machado, Oliveira and Fernandes (2009), severity 1."""
    matrices = {
        "protan": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deutan": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    }
    for matrix in matrices.values():
        seen = []
        for hue in (*look.GATES.values(), *look.STATES[:2]):
            rgb = np.array([int(hue[i : i + 2], 16) / 255 for i in (1, 3, 5)])
            seen.append(np.clip(np.array(matrix) @ rgb**2.2, 0, 1) ** (1 / 2.2))
        gaps = [np.abs(a - b).max() for a, b in itertools.combinations(seen, 2)]
        assert min(gaps) > 0.1


def test_a_colour_has_one_meaning():
    hues = [*look.STATES, *look.GATES.values(), *look.OTHERS, look.UNGATED, *look.GRADIENT]
    assert len(set(hues)) == len(hues)
    drawing = draw(Stacked([LSTM(3, 4), GRU(4, 4)]), level="op")
    colours = {s.node.label: s.node.colour for s in drawing.scene.view.shared}
    assert colours["W_g^(1)"] == colours["W_h^(2)"]  # the candidates of both layers
    assert len({colours[f"{role}_f^(1)"] for role in "WUb"}) == 3
    assert not {colours[name] for name in colours} & set(look.STATES)


# What is accepted ------------------------------------------------------------------------------


def test_what_can_be_drawn():
    ys, _ = unroll(Elman(3, 4), inputs(3))
    assert draw(ys).source == draw(Tape(ys)).source
    for cell in (Elman(3, 4), Stacked([LSTM(3, 4)]), Bidirectional(GRU(3, 4), GRU(3, 4))):
        assert columns(draw(cell)) == [1, 2, 3]
    assert columns(draw(LSTM(3, 4), steps=8)) == list(range(1, 9))
    with no_grad():
        assert columns(draw(Elman(3, 4))) == [1, 2, 3]
    drawing = draw(Elman(3, 4))
    assert isinstance(drawing, Drawing)
    assert repr(drawing) == "<Drawing of 3 steps, level op: 34 nodes, 34 edges>"
    assert "of 4 records" in repr(draw(feedforward()))


def test_a_cells_class_names_its_box():
    for cell in (Leaky(3, 4), LSTM(3, 4), PeepholeLSTM(3, 4)):
        kind = type(cell).__name__
        for what in (cell, tape_of(cell), unroll(cell, inputs(3))[0], unroll(cell, inputs(3))[0]):
            assert kind in draw(what, level="cell").source
            (packed,) = re.findall(r">(H4sI[A-Za-z0-9+/=]+)<", draw(what).page())
            page = json.loads(gzip.decompress(base64.b64decode(packed)))["page"]
            assert page["title"].startswith(kind)
        assert f" {kind.lower()} " in str(tape_of(cell))  # in print as a scope's name
    with scope("mine"):
        ys, _ = unroll(Stacked([Leaky(3, 4), Leaky(4, 4)]), inputs(3))
    assert "mine · layer 1 · Leaky" in draw(ys, level="cell").source


ERRORS = [
    (
        lambda: draw(LSTM(3, 4), level="ops"),
        ValueError,
        "level must be one of op, gate, cell, layer, got 'ops'",
    ),
    (lambda: draw(LSTM(3, 4), steps=0), ValueError, "steps must be an integer >= 1, got 0"),
    (
        lambda: draw(LSTM(3, 4), theme="blue"),
        ValueError,
        "theme must be one of light, dark, print, got 'blue'",
    ),
    (lambda: draw(LSTM(3, 4), theme=["dark"]), ValueError, "theme must be .*, got a list of 1"),
    (lambda: draw(LSTM(3, 4), title=3), TypeError, "title must be a string, got 3"),
    (lambda: draw(LSTM(3, 4), caption=None), TypeError, "caption must be a string, got None"),
    (lambda: draw(LSTM(3, 4), steps=2.5), TypeError, "steps must be an integer >= 1, got 2.5"),
    (lambda: draw(LSTM(3, 4), at=True), TypeError, "at must be an integer >= 1, got True"),
    (lambda: draw(LSTM(3, 4), at=0), ValueError, "at must be an integer >= 1, got 0"),
    (
        lambda: draw(LSTM(3, 4), steps=3, at=4),
        ValueError,
        "at=4, but this tape has the steps 1 to 3",
    ),
    (
        lambda: draw(tape_of(GRU(3, 4)), at=9),
        ValueError,
        "at=9, but this tape has the steps 1 to 3",
    ),
    (lambda: draw(feedforward(), at=1), ValueError, "at=1, but this tape has no time steps"),
    (lambda: draw(feedforward(), fold=True), ValueError, "fold=True, but this tape has no time"),
    (
        lambda: draw(feedforward(), steps=3),
        ValueError,
        r"scope\(name, step=t\) in a loop of your own",
    ),
    (lambda: draw(LSTM(3, 4), fold=True, at=1), ValueError, "fold=True shows one step for all"),
    (lambda: draw(Tensor([1.0], name="x")), ValueError, r"Tensor x \(1,\) has no tape behind it"),
    (lambda: draw(np.zeros(3)), TypeError, "expected a Tensor, a Tape, or a cell, got ndarray"),
    (lambda: draw([feedforward()]), TypeError, r"write draw\(Tape\(\*tensors\)\)"),
    (lambda: draw(feedforward(), grads=[1]), TypeError, "what tape.gradients.. returned, got list"),
    (lambda: draw(feedforward(), grads={}), ValueError, "no gradient of what is drawn"),
    (
        lambda: draw(feedforward(), grads=Tape(feedforward()).gradients()),
        ValueError,
        "no gradient of what is drawn",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors_say_what_to_write(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


# Rendering -------------------------------------------------------------------------------------


SVG = "{http://www.w3.org/2000/svg}"


def parts_of(svg, kind):
    """The groups of a class in an SVG, by the id of what they show."""
    groups = [g for g in ET.fromstring(svg).iter(f"{SVG}g") if kind in g.get("class", "").split()]
    return {g.get("data-id"): g for g in groups}


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
@pytest.mark.parametrize("name", NETWORKS)
def test_svg_shows_the_scene_and_nothing_else(name, level):
    scene = draw(NETWORKS[name](), level=level).scene
    svg = Drawing(scene, "").render("svg").decode()
    nodes = parts_of(svg, "node")
    assert list(nodes) == [n.id for n in scene.nodes]
    for node in scene.nodes:
        assert nodes[node.id].get("transform") == f"translate({node.x} {-node.y})"
        assert nodes[node.id].get("class").split()[0] == "node"
        assert nodes[node.id].get("class").split()[1] == node.kind
    edges = [g for g in ET.fromstring(svg).iter(f"{SVG}g") if g.get("class", "")[:5] == "edge "]
    assert [g.get("data-id") for g in edges] == [f"{e.tail.id}-{e.head.id}" for e in scene.edges]
    boxes = list(scene.boxes)
    for box in boxes:
        boxes += box.boxes
    assert sorted(parts_of(svg, "box")) == sorted(box.id for box in boxes)


@pytest.mark.parametrize("level", ["op", "cell"])
def test_svg_is_whole(level, tmp_path):
    drawing = draw(LSTM(3, 4), level=level)
    path = drawing.save(tmp_path / "new folder" / "lstm.svg")
    svg = path.read_text(encoding="utf-8")
    root = ET.fromstring(svg)
    width, height = (float(root.attrib[k].removesuffix("pt")) for k in ("width", "height"))
    scene = drawing.scene
    assert [float(x) for x in root.attrib["viewBox"].split()] == [0, 0, width, height]
    assert (width, height) == (scene.x2 - scene.x1 + 8, scene.y2 - scene.y1 + 8)
    # Nothing is drawn outside of it, and nothing asks for anything from elsewhere.
    for node in scene.nodes:
        assert scene.x1 <= node.x - node.half
        assert node.x + node.half <= scene.x2
        assert scene.y1 <= node.y - node.high
        assert node.y + node.high <= scene.y2
    assert not re.search(r"(href|src)=|<style|<script|url\(", svg)
    # A name is one element, its subscript small and lower: no guess at widths places it.
    (name,) = [t for t in root.iter(f"{SVG}text") if "".join(t.itertext()) == "Wf (3, 4)"]
    parts = [(p.text, p.get("dy")) for p in name]
    assert (name.text, parts) == ("W", [("f", "2.6"), (" (3, 4)", "-2.6")])
    assert [p.name for p in path.parent.iterdir()] == ["lstm.svg"]
    assert path.stat().st_mode & stat.S_IRUSR
    assert drawing.render("svg") == draw(LSTM(3, 4), level=level).render("svg")


def test_svg_has_a_title_and_a_description():
    root = ET.fromstring(draw(LSTM(3, 4), level="gate").render("svg"))
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title.text == "LSTM unrolled over 3 time steps"
    assert "from left to right, t=1 to t=3" in description.text
    assert "A node shows each gate. Parameters: W_f, U_f, b_f, W_i" in description.text
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), description.get("id")]
    other = ET.fromstring(draw(LSTM(3, 4), level="cell").render("svg"))
    assert other.find(f"{SVG}title").get("id") != title.get("id")  # two stand on one page
    plain = ET.fromstring(draw(feedforward()).render("svg"))
    assert plain.find(f"{SVG}title").text.startswith("Computation graph of ")


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_svg_with_gradients_and_values_is_well_formed(level, theme):
    tape, grads = loss_and_tape()
    for options in ({"fold": True}, {"backward": True}, {"at": 2}, {"values": True}):
        svg = draw(tape, level=level, grads=grads, theme=theme, **options).render("svg")
        assert ET.fromstring(svg).tag == f"{SVG}svg"


@needs_graphviz
@pytest.mark.parametrize("options", [{}, {"level": "cell"}, {"fold": True}, {"values": True}])
def test_graphviz_places_everything_where_the_scene_has_it(options):
    drawing = draw(LSTM(3, 4), **options)
    scene = drawing.scene
    svg = render.render(drawing.source, "svg", (scene.x2 - scene.x1, scene.y2 - scene.y1))
    groups = {g.findtext(f"{SVG}title"): g for g in ET.fromstring(svg).iter(f"{SVG}g")}
    for node in scene.nodes:
        numbers = []
        for shape in groups[node.id]:
            if shape.tag == f"{SVG}ellipse":
                numbers = [(float(shape.get("cx")), float(shape.get("cy")))]
            elif shape.tag in (f"{SVG}polygon", f"{SVG}path") and not numbers:
                text = shape.get("points") or shape.get("d")
                found = re.findall(r"(-?[\d.]+),(-?[\d.]+)", text)
                numbers = [(float(x), float(y)) for x, y in found]
        if not numbers:
            continue  # a name without a frame
        xs, ys = [x for x, _ in numbers], [y for _, y in numbers]
        middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        assert middle == pytest.approx((node.x - scene.x1, scene.y1 - node.y), abs=0.6)


def test_the_graph_goes_on_in_the_package_graphviz():
    drawing = draw(Elman(3, 4), level="cell")
    assert drawing.graph.source == drawing.source
    assert drawing.graph.engine == "neato"


@needs_graphviz
def test_png_and_pdf(tmp_path):
    drawing = draw(Elman(3, 4), level="cell")
    data = drawing.save(tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    scene = drawing.scene
    assert width == pytest.approx((scene.x2 - scene.x1) * render.PNG_DPI / 72, rel=0.05)
    assert height == pytest.approx((scene.y2 - scene.y1) * render.PNG_DPI / 72, rel=0.05)
    assert drawing.save(str(tmp_path / "a.PDF")).read_bytes().startswith(b"%PDF")


@needs_graphviz
def test_a_png_too_wide_is_drawn_smaller_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "PNG_LIMIT", 300)
    with pytest.warns(UserWarning, match=r"dots per inch instead of 144: save it as \.svg"):
        data = draw(Elman(3, 4), level="cell").save(tmp_path / "a.png").read_bytes()
    assert max(struct.unpack(">II", data[16:24])) <= 301
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render.resolution_of((16_000, 10), render.PNG_DPI) == 144
    with pytest.warns(UserWarning, match="a PNG holds 32,767 pixels"):
        assert render.resolution_of((524_000, 10), render.PNG_DPI) == pytest.approx(4.5, abs=0.01)


def test_dot_and_other_suffixes(tmp_path):
    drawing = draw(Elman(3, 4))
    path = drawing.save(tmp_path / "a.dot")
    assert path.read_text(encoding="utf-8") == drawing.source
    for name in ("a.gif", "a.jpg", "a", ".svg"):
        with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf, \.dot, \.html"):
            drawing.save(tmp_path / name)
    with pytest.raises(ValueError, match="the format is svg, png, pdf, got 'gif'"):
        drawing.render("gif")
    assert [p.name for p in tmp_path.iterdir()] == ["a.dot"]


def without_graphviz(monkeypatch, tmp_path, pygraphviz=False):
    empty = tmp_path / "empty"
    empty.mkdir(exist_ok=True)
    monkeypatch.setenv("PATH", str(empty))
    if not pygraphviz:
        find = render.importlib.util.find_spec
        monkeypatch.setattr(
            render.importlib.util, "find_spec", lambda n: None if n == "pygraphviz" else find(n)
        )


def test_without_graphviz_only_png_and_pdf_say_what_to_install(tmp_path, monkeypatch):
    without_graphviz(monkeypatch, tmp_path)
    drawing = draw(LSTM(3, 4))
    assert drawing.save(tmp_path / "a.dot").read_text(encoding="utf-8") == drawing.source
    for name in ("a.svg", "a.html"):
        assert "<svg" in drawing.save(tmp_path / name).read_text(encoding="utf-8")
    drawing.animate(tmp_path / "walk.svg")
    (tmp_path / "a.png").write_text("the old one")
    for name in ("a.png", "a.pdf"):
        with pytest.raises(
            RuntimeError, match=r"install Graphviz .*pip install \"unspool\[render\]\""
        ):
            drawing.save(tmp_path / name)
    assert (tmp_path / "a.png").read_text() == "the old one"
    assert "<svg" in drawing._repr_svg_()


def test_a_notebook_shows_it():
    drawing = draw(Elman(3, 4), level="cell")
    assert drawing._repr_svg_() == drawing.render("svg").decode()


# A program that acts as ``dot``: it notes how it was called and does what the test asks.
FAKE_DOT = """#!{python}
import json, os, signal, sys, time
with open({log!r}, "w") as file:
    json.dump(sys.argv[1:] + [str(os.getpid())], file)
{act}
"""
DRAW = """
sys.path[:] = {path!r}
import pygraphviz
form = next(a[2:] for a in sys.argv if a.startswith("-T"))
source = sys.stdin.buffer.read().decode()
sys.stdout.buffer.write(pygraphviz.AGraph(string=source).draw(format=form, prog="nop2"))
"""
# A module that acts as pygraphviz: its way to draw is what the test asks for.
FAKE_PYGRAPHVIZ = """
import os, signal, sys, time

class AGraph:
    def __init__(self, *, string):
        self.string = string

    def draw(self, *, format, prog):
        assert prog == "nop2"
        {act}
"""
PICTURE = "<svg xmlns='http://www.w3.org/2000/svg'/>"
# Each way in which a renderer can fail, and what is said of it.
FAILURES = {
    "raises": ("raise OSError('the disk is full')", "the disk is full"),
    "ends": ("sys.exit('syntax error in line 1')", "syntax error in line 1"),
    "says nothing": ("os._exit(3)", "code 3|status 3"),
    "writes nothing": ("return b''", "it wrote nothing"),
    "writes something else": ("return b'a picture'", "what it wrote is no SVG"),
    "hangs": ("time.sleep(60)", r"it took longer than [\d.]+ s and was stopped"),
    "dies": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
}


def fake_dot(monkeypatch, tmp_path, act, pygraphviz=True):
    without_graphviz(monkeypatch, tmp_path, pygraphviz)
    log = tmp_path / "called.json"
    program = Path(os.environ["PATH"]) / "dot"
    act = act.format(path=sys.path)
    program.write_text(FAKE_DOT.format(python=sys.executable, log=str(log), act=act))
    program.chmod(0o755)
    return log


def failing_dot(monkeypatch, tmp_path, way, pygraphviz=True):
    act = re.sub(r"return b'(.*)'", r"sys.stdout.write('\1')", FAILURES[way][0])
    return fake_dot(monkeypatch, tmp_path, act, pygraphviz)


def fake_pygraphviz(monkeypatch, tmp_path, act):
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "pygraphviz.py").write_text(FAKE_PYGRAPHVIZ.format(act=act))
    monkeypatch.syspath_prepend(folder)


def render_svg(time_limit=20.0):
    return render.render("digraph { a }\n", "svg", (100, 100), time_limit)


@posix
@needs_pygraphviz
def test_dot_on_the_path_is_used_first(tmp_path, monkeypatch):
    log = fake_dot(monkeypatch, tmp_path, DRAW)
    assert render.renderers() == ["dot", "pygraphviz"]
    assert draw(Elman(3, 4), level="cell").render("png").startswith(b"\x89PNG")
    called = json.loads(log.read_text())
    assert "-Kneato" in called
    assert "-n2" in called
    assert "-Tpng" in called


@pytest.mark.slow
@posix
@pytest.mark.parametrize("way", FAILURES)
def test_a_renderer_that_fails_makes_way_for_the_next(way, tmp_path, monkeypatch):
    log = failing_dot(monkeypatch, tmp_path, way)
    fake_pygraphviz(monkeypatch, tmp_path, f"return {PICTURE.encode()!r}")
    assert render.renderers() == ["dot", "pygraphviz"]
    assert render_svg(2.5 if way == "hangs" else 20.0) == PICTURE.encode()
    assert log.exists()


@pytest.mark.slow
@posix
@pytest.mark.parametrize("way", FAILURES)
def test_when_all_renderers_fail_each_is_named_with_its_problem_and_cure(
    way, tmp_path, monkeypatch
):
    failing_dot(monkeypatch, tmp_path, "ends")
    fake_pygraphviz(monkeypatch, tmp_path, FAILURES[way][0])
    limit = 2.5 if way == "hangs" else 20.0
    with pytest.raises(RuntimeError, match="could not make the SVG: dot: ") as failed:
        render_svg(limit)
    text = str(failed.value)
    assert "(check it with `dot -V`, and reinstall Graphviz" in text
    before, _, after = text.partition("; pygraphviz: ")
    assert FAILURES["ends"][1] in before
    assert re.search(FAILURES[way][1], after)
    assert ("steps=" if way == "hangs" else "pip install") in after


@pytest.mark.slow
@posix
@pytest.mark.parametrize("way", FAILURES)
def test_a_broken_dot_alone_says_what_to_install(way, tmp_path, monkeypatch):
    failing_dot(monkeypatch, tmp_path, way, pygraphviz=False)
    limit = 2.5 if way == "hangs" else 20.0
    kind = TimeoutError if way == "hangs" else RuntimeError
    with pytest.raises(kind, match=r"dot: .*; pygraphviz: not installed .*unspool\[render\]"):
        render_svg(limit)
    assert "<svg" in draw(Elman(3, 4), level="cell")._repr_svg_()  # which needs none


def is_gone(process):
    for _ in range(100):  # it may take a moment to be gone
        try:
            os.kill(process, 0)
            time.sleep(0.05)
        except ProcessLookupError:
            return True
    return False


@pytest.mark.slow
@posix
def test_a_renderer_that_hangs_is_stopped(tmp_path, monkeypatch):
    log = fake_dot(monkeypatch, tmp_path, "time.sleep(60)", pygraphviz=False)
    started = time.perf_counter()
    with pytest.raises(TimeoutError, match=r"dot: it took longer than 1\.5 s .*fewer steps"):
        render.render(draw(Elman(3, 4)).source, "svg", (100, 100), time_limit=1.5)
    assert time.perf_counter() - started < 10
    assert not log.exists() or is_gone(int(json.loads(log.read_text())[-1]))


def test_pygraphviz_is_asked_for_bytes_and_writes_no_file(tmp_path, monkeypatch):
    without_graphviz(monkeypatch, tmp_path)
    fake_pygraphviz(monkeypatch, tmp_path, f"return {PICTURE.encode()!r}")
    monkeypatch.setattr(render, "renderers", lambda: ["pygraphviz"])
    assert render_svg() == PICTURE.encode()


@needs_pygraphviz
def test_what_graphviz_cannot_read_is_an_error_not_a_crash(tmp_path, monkeypatch):
    without_graphviz(monkeypatch, tmp_path, pygraphviz=True)
    with pytest.raises(RuntimeError, match="could not make the SVG: pygraphviz: "):
        render.render("digraph {", "svg", (100, 100))


def chain(length):
    x = y = Tensor(np.ones(2), name="x")
    for _ in range(length):
        y = np.tanh(y) + x
    return Tape(y)


def test_what_a_renderer_cannot_bear_is_shown_simpler_and_says_so(monkeypatch):
    tape = tape_of(LSTM(3, 4), 20)
    monkeypatch.setattr(extent, "MOST_NODES", 300)
    with pytest.warns(UserWarning, match=r'521 nodes are more .* bear; shown at level "gate"'):
        drawing = draw(tape, steps=20)
    assert "level gate" in repr(drawing)
    assert len(Dot(drawing).ids(r"gate\d+")) == 80
    assert "521 nodes are more than a renderer can bear" in drawing.source
    monkeypatch.setattr(extent, "MOST_NODES", 100)
    with pytest.warns(UserWarning, match='shown at level "cell"'):
        assert len(columns(draw(tape, steps=20))) == 20
    monkeypatch.setattr(extent, "MOST_NODES", 15)
    with pytest.warns(UserWarning, match='level "cell", most steps left out'):
        assert columns(draw(tape, steps=20, level="gate")) == [1, 2, 20]
    monkeypatch.setattr(extent, "MOST_NODES", 100)
    monkeypatch.setattr(extent, "LAST", 50)
    with pytest.warns(UserWarning, match="only the last 50 records are shown"):
        dot = Dot(draw(chain(500)))
    assert len(dot.ids(r"r\d+")) == 50
    assert shown(dot.nodes["c1_0"]["label"]) == "…"  # what came before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tape, level="gate", steps=3)


@pytest.mark.slow
def test_long_chains_and_long_wires_are_drawn_in_seconds():
    for length in (300, 1_000, 3_000):
        tape = chain(length)
        begin = time.process_time()
        dot = Dot(draw(tape))
        assert time.process_time() - begin < 20
        assert len(dot.ids(r"r\d+")) == 2 * length


@pytest.mark.slow
def test_very_wide_pictures_are_still_dot(tmp_path):
    """Widths of a million points are written as numbers that Graphviz reads."""
    source = draw(tape_of(Elman(3, 4), 6_000), level="cell", steps=6_000).source
    assert not re.search(r"=[\d.]+e\+", source)


@pytest.mark.slow
def test_a_thousand_steps_are_drawn_in_seconds(tmp_path):
    # Fifty times what a layout that grows with the square of the steps would allow.
    ys, _ = unroll(LSTM(3, 4), np.zeros((1000, 3), np.float32))
    started = time.process_time()
    drawing = draw(ys, steps=1000)
    path = drawing.save(tmp_path / "long.svg")
    assert time.process_time() - started < 20
    root = ET.parse(path).getroot()
    kinds = collections.Counter(e.get("class", "").split(" ")[0] for e in root.iter(f"{SVG}g"))
    assert kinds["edge"] == len(drawing.scene.edges)
    assert kinds["node"] == len(drawing.scene.nodes)
    text = drawing.source
    assert len(re.findall(r"(?m)^r\d+ \[", text)) == 26_001
    assert text.count(" -> r") == 1000 * 46 + 1000  # all operands
    assert columns(drawing) == list(range(1, 1001))


# The placing by itself -------------------------------------------------------------------------


def test_positions_by_least_squares():
    assert isotonic([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [10.0, 10.0]) == [-10.0, 0.0, 10.0]
    assert isotonic([0.0, 100.0], [1.0, 1.0], [10.0]) == [0.0, 100.0]
    assert isotonic([0.0, 0.0], [1e6, 1.0], [10.0]) == pytest.approx([0.0, 10.0], abs=1e-4)
    assert isotonic([], [], []) == []


def test_tiers_are_longest_paths_and_survive_circles():
    inputs_of = {"c": ["a", "b"], "b": ["a"], "a": ["c"]}
    assert assign_tiers(["a", "b", "c"], inputs_of, {"a": 0}) == {"a": 0, "b": 1, "c": 2}


def test_viz_reads_tapes_and_nothing_else():
    folder = Path(unspool.__file__).parent / "viz"
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        # The rest of the package is imported where it is used, if at all.
        for package in re.findall(r"^from \.\.(\w+)", text, re.MULTILINE):
            assert package in ("autograd", "checks", "files"), file
