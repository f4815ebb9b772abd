"""Pictures for a slide: weights on arrows, a lattice, labels in another language, sizes of text."""

from __future__ import annotations

import ast
import base64
import gzip
import importlib.util
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, draw, scope, unroll, viz
from unspool.cells import GRU, LSTM, Bidirectional, Elman, Stacked
from unspool.models import (
    CRF,
    Embedding,
    EncoderDecoder,
    Labels,
    LanguageModel,
    PairwiseCRF,
    Transducer,
)
from unspool.viz import Drawing, lattice
from unspool.viz.language import PHRASES
from unspool.viz.look import LEAST
from unspool.viz.structure import read
from unspool.viz.style import name_runs

SVG = "{http://www.w3.org/2000/svg}"


def weights(drawing):
    """The names beside the arrows: [(name, x, y)]."""
    nodes = drawing.scene.nodes
    return [(n.label, n.x, n.y) for n in nodes if n.id.startswith("weight")]


def texts_of(drawing):
    root = ET.fromstring(drawing._repr_svg_())
    return ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]


# Weights on the arrows ----------------------------------------------------------------------------


def test_w_stands_at_the_input_and_u_at_the_state():
    drawing = draw(Elman(3, 4), level="cell")
    cells = {n.place[1]: n for n in drawing.scene.nodes if n.kind == "cell"}
    found = weights(drawing)
    assert sorted(name for name, *_ in found) == ["U"] * 3 + ["W"] * 3
    for name, x, y in found:
        t = min(cells, key=lambda t: abs(cells[t].x - cells[t].half - x))
        if name == "W":  # below the cell, beside the arrow that comes up
            assert y < cells[t].y - cells[t].high
            assert 0 < cells[t].x - x < 30
        else:  # at its left, below the state's arrow
            assert x < cells[t].x - cells[t].half
            assert 0 < cells[t].y - y < 20


def test_gates_have_theirs_as_one_name_if_asked_for():
    assert not weights(draw(LSTM(3, 4), level="cell"))
    found = {name for name, *_ in weights(draw(LSTM(3, 4), level="cell", weights=True))}
    assert found == {"W_fiog", "U_fiog"}
    assert not weights(draw(Elman(3, 4), level="cell", weights=False))


@pytest.mark.parametrize("level", ["gate", "op"])
def test_weights_stand_on_arrows_at_the_level_of_cells_alone(level):
    assert not weights(draw(Elman(3, 4), level=level, weights=True))


def test_with_numbers_there_are_no_weights_on_the_arrows():
    tape = Tape(unroll(Elman(3, 4, rng=0), np.ones((3, 3), np.float32))[0].sum())
    assert not weights(draw(tape, level="cell", values=True))
    assert not weights(draw(tape, level="cell", grads=tape.gradients()))


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Elman(3, 4),
        lambda: Stacked([Elman(3, 4), Elman(4, 4)]),
        lambda: Bidirectional(Elman(3, 4), Elman(3, 4)),
        lambda: Bidirectional(LSTM(3, 4), GRU(3, 4)),
    ],
)
def test_a_weight_is_clear_of_nodes_wires_and_frames(make, fold):
    drawing = draw(make(), level="cell", weights=True, fold=fold)
    scene = drawing.scene
    found = [n for n in scene.nodes if n.id.startswith("weight")]
    assert found
    for node in found:
        x1, y1, x2, y2 = (
            node.x - node.half,
            node.y - node.high,
            node.x + node.half,
            node.y + node.high,
        )
        for other in scene.nodes:
            if other is not node:
                apart = abs(other.x - node.x) >= other.half + node.half
                assert apart or abs(other.y - node.y) >= other.high + node.high
        for edge in scene.edges:
            for (ax, ay), (bx, by) in itertools.pairwise(edge.curve.points):
                ax, bx = ax + edge.dx, bx + edge.dx
                outside = max(ax, bx) <= x1 or min(ax, bx) >= x2
                assert outside or max(ay, by) <= y1 or min(ay, by) >= y2
        for box in scene.boxes:
            assert not any(x1 < x < x2 for x in (box.x1, box.x2))


# A lattice ----------------------------------------------------------------------------------------


def tagger(crf, labels=("D", "N", "V")):
    network = Bidirectional(GRU(4, 3, rng=0), GRU(4, 3, rng=1))
    model = Transducer(network, len(labels), embedding=Embedding(9, 4, rng=2), crf=crf, rng=3)
    model.labels = Labels(labels)
    rng = np.random.default_rng(0)
    for p in crf.parameters():
        p.data = rng.normal(size=p.shape).astype(p.dtype)
    return model


@pytest.mark.parametrize("make", [lambda: CRF(3), lambda: PairwiseCRF(3, 6)])
def test_a_lattice_shows_the_scores_and_the_best_path(make):
    model = tagger(make())
    found = model.lattice([4, 5, 6, 7])
    drawing = lattice(model, [4, 5, 6, 7], targets=["D", "N", "V", "V"])
    # All paths by hand: their scores give the best one and log Z.
    scores = {
        path: sum(found.emissions[t, k] for t, k in enumerate(path))
        + sum(found.transitions[t, a, b] for t, (a, b) in enumerate(itertools.pairwise(path)))
        for path in itertools.product(range(3), repeat=4)
    }
    best = max(scores, key=scores.get)
    assert list(found.best) == list(best)
    total = np.logaddexp.reduce(list(scores.values()))
    np.testing.assert_allclose(found.log_partition.item(), total, rtol=1e-5)
    # The picture: a node for each label and word, an arc for each pair of neighbours.
    bold = [n.id for n in drawing.scene.nodes if n.bold and n.kind == "gate"]
    assert bold == [f"n{t + 1}_{k}" for t, k in enumerate(best)]
    thick = [e for e in drawing.scene.edges if e.state == 0]
    assert {(e.tail.id, e.head.id) for e in thick} == set(itertools.pairwise(bold))
    assert len(drawing.scene.edges) == 3 * 3 * 3
    assert sum(n.kind == "constant" for n in drawing.scene.nodes) == 27
    assert {"words", "best path", "targets"} <= set(texts_of(drawing))


def test_a_crf_by_itself_has_the_lattice_of_the_tagger_that_it_is_in():
    model = tagger(CRF(3))
    scores = model.logits(np.array([4, 5, 6, 7]))
    words, names = ["t=1", "t=2", "t=3", "t=4"], ["D", "N", "V"]
    for x in (scores, scores.data):
        alone = lattice(model.crf, x)
        within = lattice(model, [4, 5, 6, 7], words=words)
        assert [n.id for n in alone.scene.nodes if n.bold] == [
            n.id for n in within.scene.nodes if n.bold
        ]
        scored = [n.detail for n in within.scene.nodes if n.kind == "gate"]
        assert [n.detail for n in alone.scene.nodes if n.kind == "gate"] == scored
        assert set(words) <= set(texts_of(alone)) & set(texts_of(within))
    named = CRF(names)
    drawing = lattice(named, scores.data, words=["the", "old", "cat", "sat"])
    assert {"the", "sat"} <= set(texts_of(drawing))
    assert {n.label for n in drawing.scene.nodes if n.kind == "gate"} == set(names)


def test_scores_of_a_lattice_do_not_cover_each_other():
    labels = ["A", "B", "C", "D", "E"]
    scene = lattice(tagger(CRF(5), labels), [1, 2, 3]).scene
    nodes = scene.nodes
    for a, b in itertools.combinations(nodes, 2):
        assert abs(a.x - b.x) >= a.half + b.half or abs(a.y - b.y) >= a.high + b.high
    many = lattice(tagger(CRF(6), [*labels, "F"]), [1, 2, 3]).scene
    assert sum(n.kind == "constant" for n in many.nodes) == 2  # along the best path


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_a_lattice_is_drawn_in_every_form(theme, tmp_path):
    drawing = lattice(tagger(CRF(3)), [4, 5], title="T & T", caption="<c>", theme=theme)
    ET.fromstring(drawing._repr_svg_())
    assert {"T & T", "<c>"} <= set(texts_of(drawing))
    assert "best path is 4: " in drawing.alt
    assert drawing.source.startswith("digraph")
    assert drawing.save(tmp_path / "l.html").stat().st_size > 10_000  # of the forward algorithm


def test_what_has_no_lattice():
    with pytest.raises(TypeError, match="expected a CRF, or a Transducer with one, got LSTM"):
        lattice(LSTM(3, 4), [1])
    plain = Transducer(GRU(4, 3), 3, embedding=Embedding(9, 4))
    with pytest.raises(ValueError, match="has no CRF"):
        lattice(plain, [1, 2])
    with pytest.raises(ValueError, match="there are 2 words, but 1 targets"):
        lattice(tagger(CRF(3)), [1, 2], targets=["D"])
    with pytest.raises(ValueError, match="up to 30 labels over 40 words"):
        lattice(tagger(CRF(3)), [1] * 41)
    with pytest.raises(ValueError, match=r"one sequence of scores \(time, 3\), got \(3,\)"):
        lattice(CRF(3), np.zeros(3))
    with pytest.raises(ValueError, match="a word for each of 2 positions, got 1"):
        lattice(CRF(3), np.zeros((2, 3)), words=["a"])


# Words of one's own -------------------------------------------------------------------------------

FRENCH = {
    "forget": "oubli",
    "input": "entrée",
    "Parameters": "Paramètres",
    "each shared by {uses}": "chacun partagé par {uses}",
    "{n} steps": "{n} pas",
    "words": "mots",
    "layer {n}": "couche {n}",
    "step t": "pas t",
    "delay": "retard",
    "first {state}": "d'abord {state}",
    "LSTM": "cellule LSTM",
}


def test_labels_in_another_language():
    xs = np.ones((3, 3), np.float32)
    ys, _ = unroll(LSTM(3, 4, rng=0), xs)
    texts = texts_of(draw(ys, level="gate", words=list("abc"), labels=FRENCH))
    assert {"oubli", "entrée", "mots", "Paramètres, chacun partagé par 3 pas"} <= set(texts)
    assert not {"forget", "input", "words"} & set(texts)
    folded = texts_of(draw(ys, level="cell", fold=True, labels=FRENCH))
    assert {"pas t", "cellule LSTM"} <= set(folded)
    assert any("retard, d'abord h" in text for text in folded)
    frames = texts_of(draw(ys, level="op", labels=FRENCH))
    assert "oubli" in frames
    stacked = unroll(Stacked([LSTM(3, 4), LSTM(4, 4)]), xs)[0]
    assert any("couche 1" in text for text in texts_of(draw(stacked, level="cell", labels=FRENCH)))
    assert "forget" in texts_of(draw(ys, level="gate"))  # the next picture is English again


def test_longer_labels_have_room():
    ys, _ = unroll(LSTM(3, 4, rng=0), np.ones((2, 3), np.float32))
    long = {"forget": "Vergessenstor der Zelle"}
    for n in draw(ys, level="gate", labels=long).scene.nodes:
        if n.label == long["forget"]:
            assert 2 * n.half > 7 * len(n.label)


def test_wrong_labels_are_refused():
    cell = Elman(3, 4)
    with pytest.raises(TypeError, match="labels is a dictionary of texts"):
        draw(cell, labels=["forget"])
    with pytest.raises(TypeError, match="labels is a dictionary of texts"):
        draw(cell, labels={"forget": 3})
    with pytest.raises(ValueError, match=r"expected a text with \{n\} in it"):
        draw(cell, labels={"{n} steps": "pas"})


def test_every_phrase_is_said_by_some_picture():
    """No phrase is out of date: each stands in the code of a picture."""
    files = [p for p in Path(viz.__file__).parent.glob("*.py") if p.stem != "language"]
    texts = {
        node.value
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    }
    assert not PHRASES - texts


class Bracketed(Mapping):
    """A language in which every word of ours stands in brackets."""

    def __getitem__(self, english):
        return f"⟦{english}⟧"

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 1


def words_outside_of_brackets(text):
    before = None
    while text != before:
        before, text = text, re.sub("⟦[^⟦⟧]*⟧", "", text)
    return re.findall("[A-Za-z]{3,}", text)


def own_loop():
    W, h = Parameter(np.eye(3), name="W"), np.zeros(3)
    with scope("my_net"):
        for t in range(1, 4):
            with scope("pass", step=t):
                h = np.tanh(np.ones(3) @ W + h)
    return h.sum()


WORDY = {
    "own loop": own_loop,
    "lstm": lambda: unroll(LSTM(3, 4, rng=0), np.ones((9, 3), np.float32))[0].sum(),
    "stacked": lambda: unroll(
        Stacked([Bidirectional(LSTM(3, 4, rng=0), GRU(3, 4, rng=0)), Elman(8, 2, rng=0)]),
        np.ones((3, 3), np.float32),
    )[0].sum(),
    "language model": lambda: LanguageModel(12, 4, rng=0).loss([1, 4, 5, 2]),
    "truncated": lambda: unroll(GRU(3, 4, rng=0), np.ones((4, 3), np.float32), truncate=2)[0].sum(),
    "without steps": lambda: np.tanh(Tensor(np.ones(2), requires_grad=True, name="x")).sum(),
}


@pytest.mark.parametrize("name", WORDY)
@pytest.mark.parametrize("level", ["op", "gate", "cell", "layer"])
def test_every_word_of_ours_can_be_another(name, level):
    tape = Tape(WORDY[name]())
    grads = tape.gradients()
    ways = [{}, {"values": True, "backward": True, "grads": grads}]
    if level != "layer" and name != "without steps":
        ways.append({"fold": True})
    for options in ways:
        drawing = draw(tape, level=level, labels=Bracketed(), **options)
        said = [*texts_of(drawing), drawing.alt]  # a long one in lines
        said += [text for n in drawing.scene.nodes for text in (n.label, n.note, n.detail)]
        assert words_outside_of_brackets(" ".join(said)) == []


def test_page_walk_and_animation_speak_it_too(tmp_path):
    tape = Tape(WORDY["lstm"]())
    drawing = draw(tape, level="cell", labels=FRENCH, grads=tape.gradients())
    for page in (drawing.page(), drawing.walk().page):
        found = re.search(r'id="data">(.*?)</script>', page)[1]
        data = json.loads(gzip.decompress(base64.b64decode(found)))
        assert data["page"]["title"] == "cellule LSTM: 9 pas"
        assert "oubli" in data["scenes"]["gate"]
        assert "forget" not in data["scenes"]["gate"]
        assert any("oubli" in record.get("p", "") for record in data["page"]["records"])
    moving = drawing.animate(tmp_path / "walk.svg").read_text("utf-8")
    assert "cellule LSTM · t = 9" in moving
    crf = lattice(CRF(2), np.zeros((2, 2)), labels={"best path": "chemin", "words": "mots"})
    assert {"chemin", "mots"} <= set(texts_of(crf))


@pytest.mark.parametrize("key", ["lstm", "LSTM"])
def test_a_cell_is_known_by_its_scope_or_by_what_is_shown(key):
    said = texts_of(draw(LSTM(3, 4), level="cell", labels={key: "Zelle"}))
    assert "Zelle" in said
    assert "LSTM" not in said
    for key in ("my_net", "my net"):
        own = draw(own_loop(), level="cell", labels={key: "mein Netz"})
        assert {"mein Netz"} == {n.label for n in own.scene.nodes if n.kind == "cell"}


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "base", "low", "high"),
    [
        ("W^(2)", "W", "", "(2)"),
        ("W^T", "W", "", "T"),
        ("y_t^*", "y", "t", "*"),
        ("h_3^(1)", "h", "3", "(1)"),
        ("x^2", "x", "", "2"),
        ("omega_f^+", "ω", "f", "+"),
        ("2^n", "2", "", "n"),
        ("a^long", "a^long", "", ""),
    ],
)
def test_superscripts_in_names(name, base, low, high):
    runs = name_runs(name, 13)
    assert runs[0].text == base
    assert [r.text for r in runs if r.rise < 0] == [low] * bool(low)
    assert [r.text for r in runs if r.rise > 0] == [high] * bool(high)
    assert all(r.size >= LEAST for r in runs)


def test_a_transposed_parameter_stands_beside_its_product():
    E = Parameter(np.ones((5, 4)), name="E")
    ys, _ = unroll(GRU(3, 4, rng=0), np.ones((2, 3), np.float32))
    drawing = draw(ys @ E.T, level="cell")
    sides = [side.label for n in drawing.scene.nodes for side in n.sides]
    assert sides == ["E^T"] * 2


# What would help ----------------------------------------------------------------------------------


def plain(steps=3):
    x = Tensor(np.ones(3), name="x")
    W = Parameter(np.eye(3), name="W")
    for _ in range(steps):
        x = np.tanh(x @ W)
    return x


@pytest.mark.parametrize("level", ["cell", "gate"])
def test_a_level_that_joins_nothing_says_so(level):
    said = " ".join(texts_of(draw(plain(), level=level)))
    assert f'Level "{level}" joins what stands in scopes, and there are none' in said
    assert 'with scope("step", step=t)' in said
    assert "scopes" not in " ".join(texts_of(draw(plain(), level="op")))
    with scope("layer"):
        named = plain()
    assert "scopes" not in " ".join(texts_of(draw(named, level=level)))


def test_a_remark_is_no_wider_than_the_picture_needs():
    drawing = draw(plain(2), level="cell")
    assert drawing.scene.x2 - drawing.scene.x1 < 400


def test_the_alternative_text_says_what_is_seen():
    drawing = draw(LSTM(3, 4), level="cell")
    assert drawing.alt.startswith("LSTM unrolled over 3 time steps. ")
    assert "Parameters: W_f" in drawing.alt
    assert isinstance(drawing, Drawing)


# Sizes --------------------------------------------------------------------------------------------


def sizes(svg):
    return {float(size) for size in re.findall(r'font-size="([\d.]+)"', svg)}


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_no_text_is_smaller_than_nine_points(level, theme):
    loss = LanguageModel(12, 4, GRU, layers=2, rng=0).loss([1, 4, 5, 2])
    tape = Tape(loss)
    options = {"values": True, "backward": True, "grads": tape.gradients()}
    svg = draw(tape, level=level, theme=theme, **options)._repr_svg_()
    assert min(sizes(svg)) >= LEAST
    assert "scale(" not in svg


def tapes():
    pair = EncoderDecoder(9, 9, d=4, attention="bilinear", bidirectional=True, rng=0)
    network = Bidirectional(LSTM(4, 3, rng=0), LSTM(4, 3, rng=1))
    tagger = Transducer(network, 3, embedding=Embedding(9, 4, rng=2), crf=CRF(3), rng=3)
    ids, tags = np.array([[4, 5, 6, 7]]), np.array([[0, 1, 2, 1]])
    return {
        "pair": Tape(pair.loss([3, 4, 5, 6], [1, 5, 4, 2])),
        "tagger": Tape(tagger.loss(ids, tags)),
        "stacked": Tape(unroll(Stacked([LSTM(3, 4), GRU(4, 4)]), np.ones((3, 3)))[0].sum()),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["pair", "tagger"])
@pytest.mark.parametrize("width", [978, 736])
def test_every_network_fits_a_notebook_and_a_site(name, width):
    svg = draw(tapes()[name], width=width)._repr_svg_()
    assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) * 4 / 3 <= width
    assert min(sizes(svg)) >= LEAST


@pytest.mark.parametrize("name", ["pair", "tagger", "stacked"])
def test_a_layer_is_one_box_for_all_its_steps(name):
    tape = tapes()[name]
    structure = read(tape)
    drawing = draw(tape, level="layer")
    assert not [box for box in drawing.scene.boxes if box.kind == "column"]
    node_of = {i: n for n in drawing.scene.nodes for i in n.records}
    assert node_of.keys() == set(range(len(tape)))
    boxes = [
        {node_of[i].id for positions in loop.steps.values() for i in positions}
        for loop in structure.loops
    ]
    assert all(len(box) == 1 for box in boxes)
    assert len(set.union(*boxes)) == len(boxes)
    made = {record.output: i for i, record in enumerate(tape)}
    wanted = {
        (node_of[made[x]].id, node_of[i].id)
        for i, record in enumerate(tape)
        for x in record.inputs
        if x in made and node_of[made[x]] is not node_of[i]
    }
    known = {n.id for n in node_of.values()}
    found = {(e.tail.id, e.head.id) for e in drawing.scene.edges if e.kind != "side"}
    assert {(a, b) for a, b in found if a in known} == wanted
    with pytest.raises(ValueError, match="no step by itself"):
        draw(tape, level="layer", at=2)


# docs/drawings.md ---------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "drawings.md"
SLIDE = 960  # points


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("drawings", ROOT / "notebooks" / "drawings.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def drawn(script):
    return {make.__name__: make()._repr_svg_() for make in script.DRAWINGS}


def test_the_drawings_of_the_docs_are_what_the_code_draws(drawn):
    kept = {p.stem: p.read_text(encoding="utf-8") for p in (ROOT / "docs" / "drawings").iterdir()}
    assert kept.keys() == drawn.keys()
    for name, svg in drawn.items():
        assert kept[name] == svg, f"{name}: run make drawings"


def test_every_drawing_of_the_docs_is_shown_there_and_fits_a_slide(drawn):
    text = DOCS.read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]{15,}\]\(drawings/(\w+)\.svg\)", text)
    assert sorted(shown) == sorted(drawn)
    assert len(re.findall(r"^## \d+\. ", text, re.MULTILINE)) == 10
    for name, svg in drawn.items():
        width, _ = map(float, re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups())
        assert width <= SLIDE, name
        assert min(sizes(svg)) >= LEAST, name


def test_the_models_of_the_docs_are_sure_of_their_words(script):
    """So sure that another machine's rounding changes no word."""
    model = script.language_model()
    ids = script.WORDS.encode("the cat sat on the mat", start=True)
    two = np.sort(model.logits(ids).data, axis=-1)[:, -2:]
    assert (two[:, 1] - two[:, 0]).min() > 1
    pair = script.WORDS.encode("die Katze"), script.WORDS.encode("cat", True, True)
    for kind in (None, "dot"):
        two = np.sort(script.encoder_decoder(kind).logits(*pair).data, axis=-1)[:, -2:]
        assert (two[:, 1] - two[:, 0]).min() > 1


@pytest.mark.parametrize("language", ["german", "spanish"])
def test_the_dictionaries_of_the_docs_translate_all_that_a_picture_says(language):
    text = DOCS.read_text(encoding="utf-8")
    block = re.search(rf"```python\n({language} = .*?)```", text, re.DOTALL)[1]
    names = {}
    exec(block, names)
    labels = names[language]
    model = LanguageModel(12, 4, LSTM, layers=2, rng=0)
    drawing = draw(model, words=[1, 4, 5, 2], level="gate", labels=labels)
    texts = " ".join(texts_of(drawing))
    for english in labels:
        word = english.partition("{")[0].strip()
        if len(word) > 4 and word not in ("Parameters", "update", "reset"):
            assert not re.search(rf"\b{word}\b", texts), word
    for english in ("forget", "words", "predictions", "embedding", "scores", "mean"):
        assert labels[english] in texts


# Plain programs -----------------------------------------------------------------------------------


def kalman_filter():
    A = Parameter(np.array([[1.0, 0.1], [0.0, 1.0]]), name="A")
    H, R = np.array([[1.0, 0.0]]), np.array([[0.1]])
    x, P = Tensor(np.zeros(2), name="x_0"), Tensor(np.eye(2), name="P_0")
    total = 0.0
    for t, z in enumerate([0.1, 0.25, 0.3], 1):
        with scope("kalman", step=t):
            with scope("predict"):
                x, P = A @ x, A @ P @ A.T + 0.01 * np.eye(2)
            with scope("update"):
                innovation = z - H @ x
                K = P @ H.T @ np.linalg.inv(H @ P @ H.T + R)
                x, P = x + K @ innovation, (np.eye(2) - K @ H) @ P
            total = total + innovation @ innovation
    return total


def nested_loops():
    h, W = Tensor(np.zeros(3), name="h_0"), Parameter(np.eye(3), name="W")
    for i in range(1, 3):
        with scope("sentence", step=i):
            for j in range(1, 4):
                with scope("word", step=j):
                    h = np.tanh(h @ W + 0.1 * i * j)
    return h.sum()


def convolution():
    image = Tensor(np.arange(25.0).reshape(5, 5), name="image")
    kernel = Parameter(np.ones((3, 3)), name="K")
    rows = [
        np.stack([(image[i : i + 3, j : j + 3] * kernel).sum() for j in range(3)]) for i in range(3)
    ]
    return np.maximum(np.stack(rows), 0).sum()


def attention():
    X = Tensor(np.eye(4, 6), name="X")
    Q, K, V = (X @ Parameter(np.ones((6, 6)), name=name) for name in ("W_q", "W_k", "W_v"))
    scores = np.exp(Q @ K.T / np.sqrt(6))
    return scores / scores.sum(axis=1, keepdims=True) @ V


def pendulum():
    theta, omega = Parameter(0.5, name="theta"), Tensor(0.0, name="omega_0")
    for _ in range(4):
        omega = omega - 0.981 * np.sin(theta)
        theta = theta + 0.1 * omega
    return omega**2 + 1 - np.cos(theta)


def heat_equation():
    u, k = Tensor(np.array([0.0, 0, 1, 0, 0]), name="u_0"), Parameter(0.2, name="kappa")
    for t in range(1, 4):
        with scope("heat", step=t):
            left, right = np.concatenate([u[1:], u[:1]]), np.concatenate([u[-1:], u[:-1]])
            u = u + k * (left - 2 * u + right)
    return (u**2).sum()


def markov_model():
    A, B = (Parameter(np.full((3, 3), 1 / 3), name=name) for name in "AB")
    alpha = Tensor(np.ones(3) / 3, name="pi")
    for t, seen in enumerate([0, 2, 1], 1):
        with scope("forward", step=t):
            alpha = (alpha @ A) * B[:, seen]
    return -np.log(alpha.sum())


def mixture():
    x, mu = Tensor(np.arange(6.0), name="x"), Parameter(np.array([-1.0, 1.0]), name="mu")
    s = Parameter(np.zeros(2), name="sigma")
    d = (x[:, None] - mu) / np.exp(s)
    return -np.mean(np.log(np.sum(np.exp(-0.5 * d**2 - s), axis=1)))


def where_loop():
    y = Parameter(np.array([0.5, 2.0, -1.0]), name="x")
    for _ in range(3):
        y = np.where(y > 1, y / 2, y * 3 + 1)
    return y.sum()


def own_recurrence():
    W, U, V = (Parameter(np.full((3, 3), 0.1), name=name) for name in ("Wxh", "Whh", "Why"))
    h, loss = np.zeros(3), 0.0
    for t in range(1, 5):
        with scope("rnn", step=t):
            h = np.tanh(np.ones(3) * t @ W + h @ U)
            loss = loss + ((h @ V - 1) ** 2).sum()
    return loss


PROGRAMS = [
    kalman_filter,
    nested_loops,
    convolution,
    attention,
    pendulum,
    heat_equation,
    markov_model,
    mixture,
    where_loop,
    own_recurrence,
]
programs = pytest.mark.parametrize("program", PROGRAMS)


@programs
@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_plain_programs_are_drawn_whole(program, level):
    tape = Tape(program())
    drawing = draw(tape, level=level, steps=10 if read(tape).loops else None)
    scene = drawing.scene
    shown = sorted(i for n in scene.nodes for i in n.records if n.kind != "input")
    if level == "op":
        assert shown == list(range(len(tape)))
    for a, b in itertools.combinations(scene.nodes, 2):
        apart = abs(a.x - b.x) >= a.half + b.half or abs(a.y - b.y) >= a.high + b.high
        assert apart or {a.id, b.id} & scene.bars, (a, b)
    ET.fromstring(drawing._repr_svg_())
    assert min(sizes(drawing._repr_svg_())) >= LEAST


@pytest.mark.parametrize(
    ("program", "title"),
    [(kalman_filter, "kalman"), (heat_equation, "heat"), (own_recurrence, "rnn")],
)
def test_a_loop_of_ones_own_is_called_as_its_steps_are(program, title):
    drawing = draw(program(), level="cell")
    assert {n.label for n in drawing.scene.nodes if n.kind == "cell"} == {title}
    assert drawing.alt.startswith(f"{title} unrolled over")


def test_inner_steps_have_frames_of_their_own():
    drawing = draw(nested_loops(), level="op")
    frames = [b.title for column in drawing.scene.boxes for b in column.boxes if b.kind == "gate"]
    assert frames == ["word=1", "word=2", "word=3"] * 2


def test_greek_letters_are_set_without_an_index_too():
    shown = set(texts_of(draw(mixture())))
    assert {"μ (2,)", "σ"} <= shown
    assert {"θ", "ω0"} <= set(texts_of(draw(pendulum())))
    assert "π" in texts_of(draw(markov_model()))
