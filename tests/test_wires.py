"""Wires and places: no wire crosses what is not its own, each time has its own columns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, scope, unroll
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    Bidirectional,
    Elman,
    LayerNormLSTM,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
)
from unspool.models import (
    CRF,
    Acceptor,
    DeepMoji,
    Embedding,
    EncoderDecoder,
    HierarchicalAcceptor,
    LanguageModel,
    Transducer,
)
from unspool.viz import draw, look
from unspool.viz.look import text_width
from unspool.viz.scene import name_width
from unspool.viz.structure import read
from unspool.viz.times import times_of


def inputs(steps=3, width=3, batch=None):
    shape = (steps, width) if batch is None else (batch, steps, width)
    return Tensor(np.random.default_rng(0).standard_normal(shape), name="xs")


def unrolled(cell, *, lengths=None, batch=None, steps=3):
    return Tape(unroll(cell, inputs(steps, batch=batch), lengths=lengths)[0])


def both(make, width=3, out=4):
    return Bidirectional(make(width, out, rng=0), make(width, out, rng=1))


def tagger():
    model = Transducer(both(GRU, 4, 3), 3, embedding=Embedding(9, 4, rng=2), crf=CRF(3), rng=3)
    return Tape(model.loss(np.array([[4, 5, 6, 7]]), np.array([[0, 1, 2, 1]])))


def encoder_decoder(**options):
    model = EncoderDecoder(9, 9, d=4, rng=0, **options)
    return Tape(model.loss([3, 4, 5, 6], [1, 5, 4, 2]))


def hierarchical():
    words, spans = both(LSTM, 4, 3), LSTM(6, 3, rng=2)
    model = HierarchicalAcceptor(
        words, spans, 2, punctuation=[3], embedding=Embedding(9, 4, rng=3), rng=4
    )
    return Tape(model.loss(np.array([[4, 5, 3, 6, 7]]), np.array([1])))


NETWORKS = {
    "Elman": lambda: unrolled(Elman(3, 4, rng=0)),
    "LSTM": lambda: unrolled(LSTM(3, 4, rng=0)),
    "peephole": lambda: unrolled(PeepholeLSTM(3, 4, rng=0)),
    "GRU with lengths": lambda: unrolled(GRU(3, 4, rng=0), lengths=[3, 2], batch=2),
    "stacked": lambda: unrolled(Stacked([LSTM(3, 4, rng=0), GRU(4, 4, rng=1)])),
    "bidirectional": lambda: unrolled(both(LSTM)),
    "bidirectional with lengths": lambda: unrolled(both(GRU), lengths=[3, 2], batch=2),
    "sum of directions": lambda: unrolled(
        Bidirectional(GRU(3, 4, rng=0), GRU(3, 4, rng=1), merge="sum")
    ),
    "stacked bidirectional": lambda: unrolled(Stacked([both(LSTM), both(GRU, 8)])),
    "acceptor": lambda: Tape(Acceptor(both(LSTM), 2, rng=0)(inputs())),
    "language model": lambda: Tape(LanguageModel(12, 4, GRU, layers=2, rng=0).loss([1, 4, 5, 2])),
    "tagger": tagger,
    "encoder-decoder": encoder_decoder,
    "attention": lambda: encoder_decoder(attention="dot", cell=GRU),
    "attention of LSTMs": lambda: encoder_decoder(attention="dot"),
    "bidirectional encoder-decoder": lambda: encoder_decoder(bidirectional=True),
    "bidirectional attention": lambda: encoder_decoder(bidirectional=True, attention="bilinear"),
    "DeepMoji": lambda: Tape(
        DeepMoji(30, 4, d=4, cells=3, rng=0).loss(np.array([[3, 4, 5]]), np.array([1]))
    ),
    "hierarchical": hierarchical,
}
networks = pytest.mark.parametrize("name", NETWORKS)
levels = pytest.mark.parametrize("level", ["op", "gate", "cell"])
folds = pytest.mark.parametrize("fold", [False, True])


def all_boxes(boxes):
    for box in boxes:
        yield box
        yield from all_boxes(box.boxes)


def inside(box):
    """The vertices in a box, and in those in it."""
    return {n for b in all_boxes([box]) for n in b.nodes}


def crossed(scene):
    """(wire, what it crosses) for every node, step and gate that is not the wire's own."""
    outlines = [
        (n.id, {n}, n.x - n.half, n.y - n.high, n.x + n.half, n.y + n.high) for n in scene.nodes
    ]
    outlines += [
        (box.title or box.id, inside(box), box.x1, box.y1, box.x2, box.y2)
        for box in all_boxes(scene.boxes)
        if box.kind in ("step", "gate") and inside(box)
    ]
    found = []
    for e in scene.edges:
        if e.kind == "side":
            continue
        ends = {e.tail, e.head}
        points = [(x + e.dx, y) for x, y in e.curve.points]
        for (ax, ay), (bx, by) in itertools.pairwise(points):
            for what, own, x1, y1, x2, y2 in outlines:
                across = min(ax, bx) < x2 - 1 and max(ax, bx) > x1 + 1
                along = min(ay, by) < y2 - 1 and max(ay, by) > y1 + 1
                if across and along and not own & ends:
                    found.append((e.tail.id, e.head.id, what))
    return found


@networks
@levels
@folds
def test_no_wire_crosses_a_box_that_is_not_its_own(name, level, fold):
    assert crossed(draw(NETWORKS[name](), level=level, fold=fold).scene) == []


@networks
@levels
def test_with_gradients_and_values_neither(name, level):
    tape = NETWORKS[name]()
    (result,) = tape.outputs
    grads = tape.gradients(np.ones(result.shape, result.dtype))
    scene = draw(tape, level=level, backward=True, values=True, grads=grads).scene
    assert [c for c in crossed(scene) if "share" not in c[2]] == []


def pieces_of_text(scene):
    """(id, text, left, low, right, high) of all that is written; text is measured as wide."""

    def line(name, text, x, y, size, anchor="middle", width=None):
        wide = 0.8 * (text_width(text, size) if width is None else width)
        left = x - {"left": 0, "middle": wide / 2, "right": wide}[anchor]
        return name, text, left, y - size / 2, left + wide, y + size / 2

    for t in scene.texts:
        yield line(t.id, t.text, t.x, t.y, t.size, t.anchor)
    for e in scene.edges:
        if e.label:
            yield line(e.id, e.label, *e.label_at, look.NAME, width=name_width(e.label))
    for n in scene.nodes:
        if n.kind in ("state", "end", "label"):
            yield line(n.id, n.label, n.x, n.y, look.NAME, width=name_width(n.label))
        for row, text in enumerate(reversed(scene.notes.get(n.id, []))):
            low = n.y + n.high + 9 + (look.NOTE + 1) * row
            yield line(n.id, text, n.x + scene.beside + 3, low, look.NOTE, "left")
    for box in all_boxes(scene.boxes):
        size = look.TITLE if box.kind == "gate" else look.NAME
        x, anchor = (box.x2 - 9, "right") if box.mirrored else (box.x1 + 9, "left")
        if box.title:
            yield line(box.id, box.title, x, box.y2 - 4 - size / 2, size, anchor)


def meeting(place, others):
    """The numbers of the rectangles with which one shares more than an edge."""
    low, high, others = np.array(place[:2]), np.array(place[2:]), np.reshape(others, (-1, 4))
    common = (low + 1 < others[:, 2:]) & (others[:, :2] + 1 < high)
    return np.flatnonzero(common.all(1))


@networks
@levels
def test_nothing_is_written_over(name, level):
    tape = NETWORKS[name]()
    grads = tape.gradients(np.ones(tape.outputs[0].shape, tape.outputs[0].dtype))
    for options in ({}, {"grads": grads, "backward": True}):
        scene = draw(tape, level=level, **options).scene
        texts = [(ident, words, *place) for ident, words, *place in pieces_of_text(scene)]
        others = list(texts)
        for n in scene.nodes:
            if n.kind not in ("state", "end", "label", "dots"):
                place = n.x - n.half, n.y - n.high, n.x + n.half, n.y + n.high
                others.append((n.id, n.label, *place))
        for e in scene.edges:
            corners = [(x + e.dx, y) for x, y in e.curve.points]
            for a, b in itertools.pairwise(corners):
                others.append((e.id, "wire", *map(min, a, b), *map(max, a, b)))
        places = [place for _, _, *place in others]
        for number, (ident, words, *place) in enumerate(texts):
            for k in meeting(place, places):
                assert k == number or others[k][0] == ident, (words, others[k][:2])


def two_states():
    """A box that reads two states and makes both, and one above it that does so too."""
    W = Parameter(np.ones((2, 2)), name="W")
    h, c, s, d = (Tensor(np.ones(2), name=f"{letter}_0") for letter in "hcsd")
    for t in (1, 2, 3):
        with scope("net"), scope(f"t={t}", step=t):
            with scope("lower"):
                h, c = np.tanh(h @ W + c), np.sin(h + c)
            with scope("upper"):
                s, d = np.tanh(h + s @ W + d), np.sin(c + s + d)
        for x, letter in zip((h, c, s, d), "hcsd", strict=True):
            x.name = f"{letter}_{t}"
    return Tape(s.sum() + d.sum())


@pytest.mark.parametrize("name", [*NETWORKS, "two states"])
@levels
def test_no_two_states_share_a_wire(name, level):
    tape = NETWORKS[name]() if name in NETWORKS else two_states()
    pieces = []
    for e in draw(tape, level=level).scene.edges:
        points = [(x + e.dx, y) for x, y in e.curve.points]
        if e.slot and not e.slot.name.startswith("L"):
            pieces += [(e.slot, e.tail, a, b) for a, b in itertools.pairwise(points)]
    for (one, tail, a, b), (other, end, c, d) in itertools.combinations(pieces, 2):
        if one is other or (tail is end and tail.kind == "op"):  # one value, two states
            continue
        for k in (0, 1):
            if a[1 - k] == b[1 - k] == c[1 - k] == d[1 - k]:
                low, high = (
                    max(min(a[k], b[k]), min(c[k], d[k])),
                    min(max(a[k], b[k]), max(c[k], d[k])),
                )
                assert high - low <= 2, (one.name, other.name, a, b, c, d)


@levels
def test_the_line_of_a_bus_has_gaps_where_others_pass(level):
    scene = draw(NETWORKS["DeepMoji"](), level=level).scene
    lines = [box for box in scene.boxes if box.kind == "bus"]
    assert lines
    for box in lines:
        name = box.id.split("_")[1]
        for e in scene.edges:
            if name in (e.tail.id, e.head.id):
                continue
            for (ax, ay), (bx, by) in itertools.pairwise(e.curve.points):
                if ax == bx and min(ay, by) < box.y1 and max(ay, by) > box.y2:
                    assert not box.x1 - 3 < ax + e.dx < box.x2 + 3
    # Its own wires end at the line, or at the box in which its name stands.
    nodes = {n.id: n for n in scene.nodes}
    for e in scene.edges:
        for node, (x, y) in ((nodes[e.head.id], e.curve.points[-1]),):
            own = [box for box in lines if box.id.startswith(f"bus_{node.id}_")]
            if own and e.kind != "side" and abs(x + e.dx - node.x) > node.half:
                assert any(b.x1 <= x + e.dx <= b.x2 and abs(y - node.y) == 2 for b in own)


TIMES = {
    "stacked": [0, 0],
    "bidirectional": [0, 0],
    "stacked bidirectional": [0, 0, 0, 0],
    "tagger": [0, 0, 0],  # the CRF runs along the words
    "encoder-decoder": [0, 1],
    "attention": [0, 1],
    "bidirectional attention": [0, 0, 1],
    "DeepMoji": [0, 0, 0, 0],
    "hierarchical": [0, 0, 1],  # words, and spans of words
}


@pytest.mark.parametrize("name", TIMES)
def test_loops_of_one_time_are_known(name):
    assert times_of(read(NETWORKS[name]())) == TIMES[name]


def test_steps_that_read_each_other_directly_share_a_time():
    xs, h, g = inputs(4), np.zeros(3), np.zeros(3)
    lower, upper = [], []
    for t in range(4):
        with scope("lower"), scope("step", step=t + 1):
            lower.append(h := np.tanh(h + xs[t]))
    for t in range(4):
        with scope("upper"), scope("step", step=t + 1):
            upper.append(g := np.tanh(g + lower[t]))
    assert times_of(read(Tape(upper[-1]))) == [0, 0]
    for t in range(4):
        with scope("late"), scope("step", step=t + 1):
            g = np.tanh(g + lower[3 - t])
    assert times_of(read(Tape(g))) == [0, 0, 1]


@pytest.mark.parametrize("name", [name for name, times in TIMES.items() if max(times)])
@levels
def test_two_times_stand_side_by_side(name, level):
    tape = NETWORKS[name]()
    times = times_of(read(tape))
    scene = draw(tape, level=level).scene
    spans = {}
    for n in scene.nodes:
        if n.place is not None and n.kind not in ("state", "end"):
            low, high = spans.get(times[n.place[0]], (n.x, n.x))
            spans[times[n.place[0]]] = min(low, n.x - n.half), max(high, n.x + n.half)
    assert spans[0][1] < spans[1][0]


def test_a_crf_is_one_layer_over_what_scores_each_word():
    scene = draw(tagger(), level="cell").scene
    columns = [box for box in scene.boxes if box.kind == "column"]
    (bar,) = (n for n in scene.nodes if n.label == "CRF")
    assert bar.detail == "start T end"
    assert bar.x - bar.half <= min(box.x1 for box in columns) + 2
    assert bar.x + bar.half >= max(box.x2 for box in columns) - 2
    heads = [n for n in scene.nodes if n.label == "head"]
    assert [n.place[1] for n in heads] == [1, 2, 3, 4]
    assert [e.tail for e in scene.edges if e.head is bar] == heads
    assert not any("α" in n.label or n.label == "score" for n in scene.nodes)
    (box,) = (n for n in draw(tagger(), level="layer").scene.nodes if n.label == "CRF")
    assert box.bold
    alone = draw(CRF(3).log_partition(np.ones((3, 3))), level="cell").scene
    assert [n.place[1] for n in alone.nodes if n.kind == "cell"] == [1, 2, 3]


def test_the_bar_of_a_crf_covers_all_columns_and_its_score_stands_in_none():
    scene = draw(tagger(), level="gate").scene
    columns = [box for box in scene.boxes if box.kind == "column"]
    pauses = [box for box in scene.boxes if box.kind == "pause"]
    (bar,) = (n for n in scene.nodes if n.label == "scores")
    assert bar.x - bar.half <= min(box.x1 for box in columns) + 2
    assert bar.x + bar.half >= max(box.x2 for box in columns) - 2
    for label in ("score", "head"):
        (node,) = (n for n in scene.nodes if n.label == label)
        assert any(b.y1 < node.y - node.high and node.y + node.high < b.y2 for b in pauses), label


@pytest.mark.parametrize(
    ("name", "level"), [("tagger", "gate"), ("bidirectional encoder-decoder", "cell")]
)
def test_a_state_from_outside_enters_beside_its_own_columns(name, level):
    scene = draw(NETWORKS[name](), level=level).scene
    left = {}
    for box in scene.boxes:
        if box.kind == "column":
            block = box.id.partition("_")[2]
            left[block] = min(left.get(block, box.x1), box.x1)
    last = left[max(left)]
    entering = [e for e in scene.edges if e.slot and e.tail.place is None]
    assert entering
    for e in entering:
        *_, before, corner = (x for p, _ in e.curve.points if (x := p + e.dx) < last)
        assert min(before, corner) > last - 60


def test_a_decoder_takes_its_state_from_an_encoders_steps_that_are_left_out():
    scene = draw(encoder_decoder(attention="dot"), level="cell", steps=1).scene
    entering = [e for e in scene.edges if e.origin is not None and e.tail.kind == "dots"]
    assert len(entering) == 2
    (frame,) = (box for box in scene.boxes if box.kind == "column" and box.id.endswith("block0"))
    for e in entering:
        x, y = e.curve.points[0]
        assert x + e.dx == e.tail.x + e.tail.half
        assert frame.y1 < y < frame.y2


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("level", ["gate", "cell"])
def test_what_only_hands_on_is_left_out(level, steps):
    for cell in (LSTM(3, 4, rng=0), both(GRU), Stacked([both(LSTM), Elman(8, 4, rng=0)])):
        scene = draw(unrolled(cell, steps=steps), level=level).scene
        labels = {n.label for n in scene.nodes}
        assert {f"x_{t}" for t in range(1, steps + 1)} <= labels
        assert {f"y_{t}" for t in range(1, steps + 1)} <= labels
        assert not any("stack" in label or label.startswith("[") for label in labels)
        texts = " ".join(t.text for t in scene.texts)
        assert "1 step" not in texts


@pytest.mark.parametrize(("merge", "said"), [("concat", "concat"), ("sum", "sum")])
@pytest.mark.parametrize("level", ["gate", "cell"])
def test_a_merge_stays_said(merge, said, level):
    network = Bidirectional(GRU(3, 4, rng=0), GRU(3, 4, rng=1), merge=merge)
    scene = draw(unrolled(network), level=level).scene
    assert sum(lines == [said] for lines in scene.notes.values()) == 3
    head = Tape(unroll(network, inputs())[0] @ np.ones((8 if merge == "concat" else 4, 2)))
    joined = [n.label for n in draw(head, level=level).scene.nodes]
    assert joined.count(said) == 3


CELLS = [Elman, LSTM, GRU, PeepholeLSTM, MGU, ResetAfterGRU, LayerNormLSTM]


def places_of(drawing, step=2):
    """Where the gates of a step, and the ops beside them, stand: name or record -> (x, y)."""
    found = {}
    for n in drawing.scene.nodes:
        if n.place is not None and n.place[1] == step and not n.group:
            if n.kind == "gate":
                found[n.label] = (n.x, n.y)
            elif n.kind in ("op", "input"):
                found[n.records] = (n.x, n.y)
    for box in all_boxes(drawing.scene.boxes):
        if box.kind == "gate" and box.id.startswith(f"t{step}_"):
            found[box.title] = ((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2)
    return found


@pytest.mark.parametrize("make", CELLS)
def test_the_insides_of_a_step_keep_their_places_from_level_to_level(make):
    tape = unrolled(make(3, 4, rng=0))
    op, gate = (places_of(draw(tape, level=level)) for level in ("op", "gate"))
    assert gate.keys() <= op.keys()
    for a, b in itertools.combinations(gate, 2):
        for axis in (0, 1):
            before, after = op[a][axis] - op[b][axis], gate[a][axis] - gate[b][axis]
            assert before * after >= 0 or min(abs(before), abs(after)) <= 20, (a, b, axis)


@pytest.mark.parametrize("encoder", [1, 2])
@pytest.mark.parametrize("level", ["cell", "gate"])
def test_a_decoder_of_one_step_takes_over_the_encoders_state(encoder, level):
    with scope("e"):
        _, state = unroll(GRU(3, 2, rng=0), np.ones((encoder, 3)))
    with scope("d"):
        ys, _ = unroll(GRU(3, 2, rng=1), np.ones((1, 3)), state)
    scene = draw(ys, level=level).scene
    names = {id(e.tensor): e.tensor.name for e in scene.edges if e.kind == "state"}
    assert sorted(names.values()) == sorted([*(f"h_{t}" for t in range(encoder + 1)), "h_1"])
    between = [e for e in scene.edges if e.tail.place and e.head.place and e.tail.place[0] == 0]
    assert all(e.kind == "state" for e in between if e.head.place[0] == 1)
    assert not [node for node in scene.nodes if node.label == "xs"]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_direction_does_not_take_over_the_last_state_of_the_other(steps):
    both = Bidirectional(GRU(3, 2, rng=0), GRU(3, 2, rng=1))
    tagger = Transducer(both, 2, embedding=Embedding(5, 3, rng=0), rng=0)
    scene = draw(tagger(np.arange(steps)), level="cell").scene
    between = [e for e in scene.edges if e.tail.place and e.head.place]
    between = [e for e in between if e.tail.place[0] != e.head.place[0]]
    assert between
    assert not [e for e in between if e.kind == "state"]
