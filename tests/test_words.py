"""Pictures of models over words: a loss at each step, words at their steps, generation."""

from __future__ import annotations

import base64
import gzip
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, draw, scope, unroll
from unspool.autograd import cross_entropy, embedding, softmax
from unspool.cells import GRU, LSTM, Bidirectional, Elman, Stacked
from unspool.models import (
    CRF,
    Acceptor,
    BagClassifier,
    Embedding,
    EncoderDecoder,
    FeatureEmbedding,
    Features,
    Labels,
    LanguageModel,
    Transducer,
    Vocabulary,
    WindowLanguageModel,
    load_model,
    save_model,
)
from unspool.viz.stepwise import by_steps
from unspool.viz.structure import read

SVG = "{http://www.w3.org/2000/svg}"
WORDS = Vocabulary(["the", "cat", "sat", "down", "on", "mat"])
LOWER = np.array([[1, 3, 4, 5, 2], [1, 6, 7, 2, 0]])


def language_model(**options):
    model = LanguageModel(len(WORDS), 4, GRU, rng=0, dtype=float, **options)
    model.vocabulary = WORDS
    return model


def tagger(crf=None, **options):
    network = Bidirectional(GRU(4, 3, rng=0, dtype=float), Elman(4, 3, rng=1, dtype=float))
    words = Embedding(len(WORDS), 4, rng=2, dtype=float)
    model = Transducer(network, 3, embedding=words, crf=crf, rng=3, dtype=float, **options)
    model.vocabulary, model.labels = WORDS, Labels(["D", "N", "V"])
    return model


def encoder_decoder(**options):
    model = EncoderDecoder(len(WORDS), len(WORDS), 4, LSTM, rng=3, dtype=float, **options)
    model.vocabulary = WORDS
    return model


def acceptor():
    model = Acceptor(LSTM(4, 3, rng=0), 2, embedding=Embedding(len(WORDS), 4, rng=2), rng=3)
    model.vocabulary, model.labels = WORDS, Labels(["neg", "pos"])
    return model


def dropped(model):
    model.dropout.p = 0.5
    model.train()
    return model


def own():
    """A language model of one's own, in NumPy."""
    rng = np.random.default_rng(0)
    E, V = Parameter(rng.normal(size=(9, 4)), name="E"), Parameter(rng.normal(size=(4, 9)))
    ys, _ = unroll(Elman(4, 4, rng=0, dtype=float), embedding(E, [1, 3, 4]))
    return cross_entropy(np.tanh(ys) @ V, [3, 4, 2], reduction="sum")


# Name -> (a loss over a sequence, how many steps have a loss of their own).
LOSSES = {
    "language model": lambda: (language_model().loss([1, 3, 4, 5]), 3),
    "untied": lambda: (language_model(tied=False).loss([1, 3, 4, 5]), 3),
    "batch": lambda: (language_model().loss(LOWER), 4),
    "lengths": lambda: (language_model().loss(LOWER, lengths=[5, 4]), 4),
    "two layers": lambda: (language_model(layers=2).loss(LOWER, lengths=[5, 4]), 4),
    "dropout": lambda: (dropped(language_model()).loss(LOWER), 4),
    "tagger": lambda: (tagger().loss([3, 4, 5], [0, 1, 2]), 3),
    "tagger's sum": lambda: (tagger().loss([3, 4, 5], [0, 1, 2], reduction="sum"), 3),
    "weighted tagger": lambda: (
        tagger().loss([3, 4, 5], [0, 1, 2], label_weight=np.array([1.0, 2.0, 3.0])),
        3,
    ),
    "split tagger": lambda: (tagger(split=True).loss([[3, 4, 5]], [[0, 1, 2]]), 3),
    "encoder-decoder": lambda: (encoder_decoder().loss([3, 4], [1, 5, 6, 2]), 3),
    "attention": lambda: (encoder_decoder(attention="dot").loss([3, 4], [1, 5, 6, 2]), 3),
    "additive": lambda: (encoder_decoder(attention="additive").loss([3, 4], [1, 5, 6, 2]), 3),
    "attention in a batch": lambda: (
        encoder_decoder(attention="bilinear", bidirectional=True).loss(
            [[3, 4], [5, 0]], [[1, 5, 6, 2], [1, 6, 2, 0]], [2, 1], [4, 3]
        ),
        3,
    ),
    "of one's own": lambda: (own(), 3),
    "classifier": lambda: (acceptor().loss([3, 4, 5], 1), 1),
}
losses = pytest.mark.parametrize("name", LOSSES)


# The tape, step by step --------------------------------------------------------------------------


@losses
def test_step_by_step_is_the_same_loss_with_the_same_gradients(name):
    loss, _ = LOSSES[name]()
    tape = Tape(loss)
    grads = tape.gradients()
    structure, found = by_steps(read(tape), grads)
    split = structure.tape
    assert split is not tape
    (result,) = split.outputs
    np.testing.assert_allclose(result.data, loss.data, rtol=1e-6)
    for x in tape.leaves:
        if x.requires_grad:
            np.testing.assert_allclose(found[x], grads[x], rtol=1e-5, atol=1e-9)
    for record in split:  # real records: what they hold is what their ops give
        arrays = [np.asarray(x.data) for x in record.inputs]
        again = record.op.forward(*arrays, **record.params)
        np.testing.assert_allclose(record.output.data, again)


@losses
def test_each_step_has_its_own_loss(name):
    loss, steps = LOSSES[name]()
    structure, _ = by_steps(read(Tape(loss)))
    split = structure.tape
    places = [
        structure.where[i] for i, r in enumerate(split) if r.op in ("nll_loss", "cross_entropy")
    ]
    if steps == 1:  # a class: one loss at the end
        assert places == [None]
    else:
        assert [t for _, t in places] == list(range(1, steps + 1))
        assert len({loop for loop, _ in places}) == 1
    names = [x.name for r in split if r.op == "nll_loss" for x in [r.output]]
    assert names == ([f"L_{t}" for t in range(1, steps + 1)] if steps > 1 else ["L"])


def test_the_losses_of_the_steps_are_those_of_each_prediction():
    model = language_model()
    ids = np.array([1, 3, 4, 5])
    split = by_steps(read(Tape(model.loss(ids))))[0].tape
    nats = [r.output.item() for r in split if r.op == "nll_loss"]
    logits = np.asarray(model.logits(ids[:-1]).data)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(nats, -np.log(p[[0, 1, 2], ids[1:]]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: unroll(Stacked([LSTM(3, 4), GRU(4, 4)]), np.ones((3, 3), np.float32))[0],
        lambda: unroll(Bidirectional(LSTM(3, 4), GRU(3, 4)), np.ones((3, 3), np.float32))[0],
        lambda: (lambda h: (h * h).sum())(unroll(Elman(3, 4), np.ones((3, 3), np.float32))[0]),
        lambda: np.tanh(Parameter(np.ones((2, 2))) @ np.ones(2)),
    ],
)
def test_what_has_nothing_over_a_whole_sequence_stays_as_it_is(make):
    structure = read(Tape(make()))
    assert by_steps(structure)[0] is structure


def test_pooling_and_what_looks_at_several_positions_is_not_split():
    network = LSTM(4, 3, rng=0)
    model = Acceptor(network, 2, "max", embedding=Embedding(9, 4, rng=2), rng=3)
    split = by_steps(read(Tape(model.loss([3, 4, 5], 1))))[0].tape
    tops = [r for r in split if "max" in r.scope]
    assert tops
    assert all(r.output not in split.columns for r in tops)


def test_a_long_sequence_is_split_in_a_moment():
    model = LanguageModel(20, 4, Elman, rng=0)
    split = by_steps(read(Tape(model.loss(np.arange(401) % 20))))[0].tape
    assert sum(r.op == "nll_loss" for r in split) == 400


# The pictures ------------------------------------------------------------------------------------


def titles(drawing):
    """What stands in each column's boxes and nodes beside its cell: (step, label)."""
    return [
        (n.place[1], n.label)
        for n in drawing.scene.nodes
        if n.place and n.kind in ("gate", "op", "cell")
    ]


@pytest.mark.parametrize("level", ["cell", "gate"])
def test_a_column_holds_embedding_scores_softmax_and_loss(level):
    drawing = draw(language_model().loss([1, 3, 4, 5]), level=level)
    for t in (1, 2, 3):
        labels = {label for place, label in titles(drawing) if place == t}
        assert {"embedding", "scores", "softmax", "NLL"} <= labels
    outside = [n for n in drawing.scene.nodes if n.place is None and n.records]
    assert [(v.label, v.note) for v in outside] == [("mean", "L")]
    assert "stack" not in drawing._repr_svg_()


def test_at_the_level_of_ops_the_tape_is_shown_as_it_is():
    tape = Tape(language_model().loss([1, 3, 4, 5]))
    shown = [n.records for n in draw(tape, level="op").scene.nodes if n.records]
    assert sorted(i for records in shown for i in records) == list(range(len(tape)))


def test_a_tied_embedding_stands_at_both_ends_of_each_step():
    loss = language_model().loss([1, 3, 4, 5])
    details = {n.label: n.detail for n in draw(loss, level="cell").scene.nodes}
    assert details["embedding"] == details["scores"] == "E"


def at(drawing, text):
    """Where a word stands: [(x, y)]."""
    return [(t.x, t.y) for t in drawing.scene.texts if t.text == text]


def test_a_language_model_reads_words_and_shows_targets_and_predictions():
    model = language_model()
    drawing = draw(model, words=["the", "cat", "sat"])
    assert drawing.scene.view.level == "cell"
    nodes = drawing.scene.nodes
    low, high = min(n.y for n in nodes if n.place), max(n.y for n in nodes)
    assert [y < low for _, y in at(drawing, "<s>")] == [True]
    assert sorted(y < low for _, y in at(drawing, "the")).count(True) == 1  # word, and target
    (down,) = at(drawing, "sat")
    assert down[1] > high  # the last target is no input
    best = np.argmax(model.logits([1, 3, 4]).data, axis=-1)
    shown = [t.text for t in drawing.scene.texts if t.id.startswith("word1_")]
    assert shown == [WORDS.tokens[i] for i in best]


def test_words_may_be_a_text_tokens_or_ids():
    pictures = {
        draw(language_model(), words=words)._repr_svg_()
        for words in ("the cat sat", ["the", "cat", "sat"], [3, 4, 5], np.array([1, 3, 4, 5]))
    }
    assert len(pictures) == 1
    without = language_model()
    without.vocabulary = None
    texts = {t.text for t in draw(without, words=[1, 3, 4]).scene.texts}
    assert {"1", "3", "4"} <= texts


@pytest.mark.parametrize("given", [["the"], ["the", "cat"], []])
def test_each_generated_word_is_fed_back(given):
    model = language_model()
    drawing = draw(model, words=given, generate=3)
    ids = [1, *WORDS.encode(given)]
    new = model.generate(ids, 3, temperature=0)
    read_words = [t.text for t in drawing.scene.texts if t.id.startswith("word0_")]
    assert read_words == [WORDS.tokens[i] for i in [*ids, *new[:-1]]]
    arrows = [e for e in drawing.scene.edges if e.kind == "feedback"]
    texts = {t.id: t for t in drawing.scene.texts}
    assert len(arrows) == 2
    for edge in arrows:
        above, below = texts[edge.tail.id], texts[edge.head.id]
        assert above.text == below.text
        assert above.y > below.y
        assert above.x < below.x
        steps = [int(t.id.rpartition("_")[2]) for t in (above, below)]
        assert steps[1] == steps[0] + 1
    assert drawing._repr_svg_().count("edge feedback") == 2
    assert drawing.source.count("style=dotted") == 2


def test_an_encoder_decoder_is_drawn_with_teacher_forcing_or_writing_itself():
    model = encoder_decoder()
    forced = draw(model, words=["the", "cat"], targets=["on", "mat"])
    source = [t.text for t in forced.scene.texts if t.id.startswith("word0_")]
    inputs = [t.text for t in forced.scene.texts if t.id.startswith("word1_")]
    assert source == ["the", "cat"]
    assert inputs == ["<s>", "on", "mat"]
    targets = [t.text for t in forced.scene.texts if t.id.startswith("word3_")]
    assert targets == ["on", "mat", "</s>"]
    assert not [e for e in forced.scene.edges if e.kind == "feedback"]
    free = draw(model, words=["the", "cat"], generate=3)
    written = [WORDS.tokens[i] for i in model.greedy([3, 4], 3)]
    assert [t.text for t in free.scene.texts if t.id.startswith("word1_")][1:] == written[:2]
    assert sum(e.kind == "feedback" for e in free.scene.edges) == 2


@pytest.mark.parametrize("crf", [None, CRF(3)])
def test_a_tagger_and_a_classifier_show_labels(crf):
    drawing = draw(tagger(crf), words="the cat sat", targets=["D", "N", "V"])
    texts = [t.text for t in drawing.scene.texts]
    assert {"the", "cat", "sat", "D", "N", "V"} <= set(texts)
    drawing = draw(acceptor(), words="the cat sat", targets="pos")
    labels = [t for t in drawing.scene.texts if t.text in ("pos", "neg")]
    assert len(labels) == 2  # one class, predicted and right, at the last step
    assert {t.x for t in labels} == {t.x for t in drawing.scene.texts if t.text == "sat"}


def test_a_loaded_model_reads_words_by_itself(tmp_path):
    model = language_model()
    model.vocabulary = None
    save_model(tmp_path / "lm.npz", model, vocabulary=WORDS)
    loaded = load_model(tmp_path / "lm.npz").model
    assert "cat" in {t.text for t in draw(loaded, words="the cat").scene.texts}
    sentences = [["the", "cat", "sat"], ["the", "mat"]]
    features = Features.count(sentences, suffixes=(2,))
    words = FeatureEmbedding(features.sizes, [3] * len(features.sizes), rng=0)
    network = GRU(words.d, 3, rng=0)
    save_model(
        tmp_path / "tags.npz",
        Transducer(network, 2, embedding=words, rng=0),
        features=features,
        labels=Labels(["A", "B"]),
    )
    drawing = draw(load_model(tmp_path / "tags.npz").model, words="the cat sat")
    assert {"the", "cat", "sat"} <= {t.text for t in drawing.scene.texts}


def test_models_without_time_steps_are_drawn_without_words():
    bag = BagClassifier(Embedding(9, 4, rng=0), 2, rng=0)
    window = WindowLanguageModel(9, 2, 4, hidden=[6], rng=0)
    for model, words in ((bag, [3, 4]), (window, [1, 3, 4, 5])):
        drawing = draw(model, words=words)
        assert drawing.scene.nodes
        assert not [t for t in drawing.scene.texts if t.id.startswith("word")]


def test_words_of_each_network_by_its_scope():
    loss = encoder_decoder().loss([3, 4], [1, 5, 6, 2])
    drawing = draw(loss, words={"encoder": ["a", "b"], "decoder": ["c", "d", "e"]}, level="cell")
    xs = [x for word in "abcde" for x, _ in at(drawing, word)]
    assert xs == sorted(xs)
    with pytest.raises(ValueError, match="no time steps stand in a scope of this name"):
        draw(loss, words={"coder": ["a", "b"]})
    with pytest.raises(ValueError, match="words has 3 texts, but encoder has 2 time steps"):
        draw(loss, words={"encoder": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw(language_model(), words=["the"], targets=["cat"]), "targets of Lang"),
        (lambda: draw(language_model()), "predicts the next word"),
        (lambda: draw(tagger(), words=["the"], generate=2), "generates nothing"),
        (lambda: draw(tagger()), "is drawn over words"),
        (lambda: draw(encoder_decoder(), words=["the"]), "with targets=, or with generate="),
        (lambda: draw(tagger(), words=["the"], targets=["X"]), "label must be one of D, N, V"),
        (lambda: draw(Acceptor(LSTM(4, 3), 2), words=["the"]), "has no vocabulary"),
    ],
)
def test_errors_say_what_a_model_needs(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_only_models_generate():
    with pytest.raises(TypeError, match="for a model that writes words, got LSTM"):
        draw(LSTM(3, 4), generate=2)
    with pytest.raises(TypeError, match="words are a text, or a list of tokens or of ids"):
        draw(tagger(), words=[0.5, 1.0])


def test_a_model_is_drawn_without_dropout_and_stays_in_training():
    model = dropped(language_model())
    drawing = draw(model, words=["the", "cat"])
    assert model.training
    assert "dropout" not in drawing._repr_svg_()


def painted(drawing):
    """The scenes in a page, as the painter wrote them."""
    (packed,) = re.findall(r">(H4sI[A-Za-z0-9+/=]+)<", drawing.page())
    return "".join(json.loads(gzip.decompress(base64.b64decode(packed)))["scenes"].values())


STRANGE = ["<b>&", '"\u202e', "a\nb", "ein sehr langes Wort das nicht passt", "", "𝔘"]


def test_words_are_text_whatever_they_contain(tmp_path):
    ys, _ = unroll(LSTM(3, 4), np.ones((6, 3), np.float32))
    drawing = draw(ys, level="cell", words=STRANGE, targets=STRANGE, predictions=STRANGE)
    root = ET.fromstring(drawing._repr_svg_())
    texts = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    assert texts.count("<b>&") == 3
    page = painted(drawing)
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page + drawing.page()
    walk = drawing.animate(tmp_path / "walk.svg").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;" in "".join(re.findall(r"<text.*?</text>", walk))
    ET.fromstring(walk)


def test_the_page_shows_the_words_of_a_model():
    page = painted(draw(language_model(), words="the cat sat"))
    assert page.count(">cat</text>") >= 3  # at each level, not folded


def test_gradients_are_drawn_at_each_step():
    tape = Tape(language_model().loss([1, 3, 4, 5]))
    drawing = draw(tape, level="cell", backward=True, grads=tape.gradients())
    back = {(e.tail.label, e.head.label) for e in drawing.scene.edges if e.back}
    assert {("softmax", "NLL"), ("scores", "softmax"), ("GRU", "scores")} <= back


def test_a_softmax_of_ones_own_over_all_steps_is_split_too():
    V = Parameter(np.ones((4, 5)), name="V")
    ys, _ = unroll(GRU(3, 4, rng=0), np.ones((3, 3), np.float32))
    with scope("scores"):
        p = softmax(ys @ V)
    drawing = draw(p, level="cell")
    assert sorted(titles(drawing)) == [(t, x) for t in (1, 2, 3) for x in ("GRU", "scores")]
    assert isinstance(p, Tensor)
