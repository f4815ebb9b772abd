"""Features of words: ids, the vectors made of them, and words read letter by letter."""

from __future__ import annotations

import json

import numpy as np
import pytest

from unspool import check_grads, no_grad
from unspool.cells import GRU, LSTM, Bidirectional, Elman
from unspool.models import (
    Adam,
    CharacterEncoder,
    FeatureEmbedding,
    Features,
    Transducer,
    Vocabulary,
    fit,
)
from unspool.models.text.batches import Labelled, Labels, predictions
from unspool.models.text.features import word_shape

WORDS = [["The", "Cats", "sat"], ["the", "dog", "sat", "3.5"]]
TAGS = [["D", "N", "V"], ["D", "N", "V", "N"]]


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("USA", "X"),
        ("McDonald's", "XxXx'x"),
        ("1,000.5", "d,d.d"),
        ("well-known", "x-x"),
        ("Ünï", "Xx"),
        ("日本", "x"),
        ("--", "-"),
        ("", ""),
    ],
)
def test_shapes(word, shape):
    assert word_shape(word) == shape


def test_columns_of_features():
    features = Features.count(WORDS, TAGS, suffixes=[2, 3], prefixes=[1], letters=4)
    letters = [f"letter{i}" for i in range(1, 5)]
    assert features.names == ["word", "suffix2", "suffix3", "prefix1", "shape", "extra1", *letters]
    values = features.columns(["Chats", "at"], ["N", "V"])
    assert values == [
        ["chats", "at"], ["ts", "at"], ["ats", "at"], ["c", "a"], ["Xx", "x"], ["N", "V"],
    ]  # fmt: skip
    ids = features.encode(["Chats", "at"], ["N", "V"])
    assert ids.shape == (2, 10)
    for i, column in enumerate(values):
        vocabulary = features.vocabularies[i]
        np.testing.assert_array_equal(ids[:, i], vocabulary.encode(column))
    letters = features.vocabularies[-1]
    assert letters.decode([i for i in ids[0, 6:] if i != letters.end]) == "h a t s"
    assert ids[1, 6:].tolist() == [*letters.encode(["a", "t"]), letters.end, letters.end]
    assert features.encode([], []).shape == (0, 10)


def test_rare_values_are_unknown():
    features = Features.count(WORDS, suffixes=[], shape=False, minimum_count=2)
    assert features.vocabularies[0].tokens[3:] == ("sat", "the")
    assert features.encode(["The", "cats"]).tolist() == [[4], [0]]
    cased = Features.count(WORDS, suffixes=[], shape=False, lower=False)
    assert "The" in cased.vocabularies[0]
    assert cased.sizes == [len(cased.vocabularies[0])]
    assert repr(cased) == "Features(word 9)"


def test_features_from_their_configuration():
    features = Features.count(WORDS, TAGS, suffixes=[1, 2], prefixes=[3], letters=3, lower=False)
    again = Features.from_config(json.loads(json.dumps(features.to_config())))
    assert again.to_config() == features.to_config()
    assert again.sizes == features.sizes
    sentence = ["Cats", "bark"], ["N", "?"]
    np.testing.assert_array_equal(again.encode(*sentence), features.encode(*sentence))


NONE = {"class": "Features"}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Features.count([]), ValueError, "there is no word"),
        (lambda: Features.count([[]]), ValueError, "there is no word"),
        (lambda: Features.count(WORDS, TAGS[:1]), ValueError, "their number of sentences"),
        (lambda: Features.count(WORDS, TAGS[::-1]), ValueError, r"got 3 words and columns of \[4"),
        (lambda: Features.count(["ab"]), TypeError, "words must be a list of strings") ,
        (lambda: Features.count(WORDS, suffixes=[0]), ValueError, "suffix's length must be"),
        (lambda: Features.count(WORDS, letters=-1), ValueError, "letters must be an integer >= 0"),
        (lambda: Features.count(WORDS).encode("ab"), TypeError, "a list of strings, got 'ab'"),
        (lambda: Features.count(WORDS).encode(["a"], ["b"]), ValueError, "and 0 further columns"),
        (lambda: Features.count(WORDS, TAGS).encode(["a"]), ValueError, "and 1 further columns"),
        (lambda: Features([Vocabulary("a")], shape=True), ValueError, "2 vocabularies are needed"),
        (lambda: Features.from_config({**NONE, "vocabularies": []}), ValueError, "1 vocab"),
        (lambda: Features.from_config({"x": 1}), ValueError, "no configuration of Features"),
        (lambda: Features.from_config({"class": "Vocabulary", "tokens": [1]}), ValueError, "got 1"),
        (lambda: Features.from_config({**NONE, "vocabularies": 1}), ValueError, "'int'"),
    ],
)  # fmt: skip
def test_bad_features(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Vectors ----------------------------------------------------------------------------------------


def encoder(cell=LSTM, **options):
    return CharacterEncoder(9, d=4, d_h=3, cell=cell, rng=0, dtype=np.float64, **options)


@pytest.mark.parametrize("cell", [LSTM, GRU, Elman])
def test_a_word_from_its_letters_is_the_two_last_states(cell):
    model, end = encoder(cell), Vocabulary.end
    ids = np.array([[[3, 4, 5, end], [6, end, end, end]], [[3, 4, 5, end], [7, 8, 3, 4]]])
    found = model(ids)
    assert found.shape == (2, 2, 6)
    with no_grad():
        for place in np.ndindex(2, 2):
            word = [i for i in ids[place] if i != end]
            vectors = model.embedding(np.array(word))
            _, forward = model.network.forward.unroll(vectors)
            _, backward = model.network.backward.unroll(vectors, reverse=True)
            both = np.concatenate([forward[0].data, backward[0].data])
            np.testing.assert_allclose(found.data[place], both, rtol=1e-12)
    one = model(ids[0, 1])
    assert one.shape == (6,)
    np.testing.assert_allclose(one.data, found.data[0, 1], rtol=1e-12)
    assert not model([end, 3, 4, end]).data.any()  # no letter


def test_gradients_through_letters():
    end = Vocabulary.end
    ids = np.array([[3, 4, end], [3, 4, end], [5, end, end]])
    seeds = np.random.default_rng(1).standard_normal((3, 6))
    for number in range(2):  # the second time through the plan of a step
        model = encoder()
        for _ in range(number):
            np.sum(model(ids) * seeds).backward()

        def loss(E, U, model=model):
            vars(model.embedding)["E"], vars(model.network.backward)["U_f"] = E, U
            return np.sum(model(ids) * seeds)

        check_grads(loss, [model.embedding.E.data.copy(), model.network.backward.U_f.data.copy()])


def test_many_words_at_once_are_those_one_by_one():
    rng = np.random.default_rng(0)
    ids = rng.integers(3, 9, (150, 5))
    ids[np.arange(5) >= rng.integers(1, 6, 150)[:, None]] = Vocabulary.end
    model = encoder()
    with no_grad():
        together = model(ids).data
        for i in range(0, 150, 30):
            np.testing.assert_allclose(model(ids[i]).data, together[i], rtol=1e-12)


def test_vectors_stand_beside_each_other():
    words = FeatureEmbedding([5, 4, 9], [3, 2, 1], rng=0)
    ids = np.array([[[1, 2, 3], [4, 3, 8]]])
    parts = [E.E.data[ids[..., i]] for i, E in enumerate(words.columns)]
    np.testing.assert_array_equal(words(ids).data, np.concatenate(parts, -1))
    np.testing.assert_array_equal(words(ids[0]).data, words(ids).data[0])
    assert words.d == 6
    with_letters = FeatureEmbedding([5], [3], letters=encoder(), rng=0, dtype=np.float64)
    found = with_letters(ids)
    assert found.shape == (1, 2, with_letters.d) == (1, 2, 9)
    np.testing.assert_array_equal(found.data[..., 3:], with_letters.letters(ids[..., 1:]).data)


def test_words_are_dropped_in_training_alone():
    words = FeatureEmbedding([5, 5], [3, 2], word_dropout=0.3, rng=0)
    ids = np.full((1000, 1, 2), 4)
    kept = (words(ids).data[..., :3] == words.columns[0].E.data[4]).all(-1)
    unknown = (words(ids).data[..., :3] == words.columns[0].E.data[0]).all(-1)
    assert 0.65 < kept.mean() < 0.75
    assert 0.25 < unknown.mean() < 0.35
    assert (words(ids).data[..., 3:] == words.columns[1].E.data[4]).all()
    assert (words.eval()(ids).data[..., :3] == words.columns[0].E.data[4]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: FeatureEmbedding([5], [3, 2]), ValueError, "each of 1 columns, got 2"),
        (lambda: FeatureEmbedding([], []), ValueError, "each of 0 columns, got 0"),
        (lambda: FeatureEmbedding([5], [3], word_dropout=2), ValueError, "from 0 to 1, got 2"),
        (lambda: FeatureEmbedding([5], [3])([[1, 2]]), ValueError, r"with 1 columns, got \(1, 2\)"),
        (lambda: FeatureEmbedding([5], [3])([1]), ValueError, r"got \(1,\); Features.encode"),
        (lambda: FeatureEmbedding([5], [3])(1), ValueError, r"got \(\)"),
        (lambda: FeatureEmbedding([5], [3])([[5]]), ValueError, "id 5 at"),
        (lambda: FeatureEmbedding([5], [3])([[0.5]]), TypeError, "ids are integers"),
        (
            lambda: FeatureEmbedding([5], [3], letters=encoder())([[1]]),
            ValueError,
            r"1 columns and more of letters, got \(1, 1\)",
        ),
        (lambda: FeatureEmbedding.from_config({}), ValueError, "no configuration of FeatureEmb"),
    ],
)
def test_bad_vectors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# In a tagger ------------------------------------------------------------------------------------


def test_a_tagger_of_features_learns_and_is_made_again_from_its_configuration():
    features = Features.count(WORDS, suffixes=[2], letters=5)
    labels = Labels.count(TAGS)

    def tagger(words):
        network = Bidirectional(LSTM(words.d, 8, rng=0), LSTM(words.d, 8, rng=1))
        return Transducer(network, len(labels), embedding=words, rng=2)

    letters = CharacterEncoder(len(features.vocabularies[-1]), 4, 3, cell=GRU, rng=0)
    words = FeatureEmbedding(features.sizes, [6, 4, 2], letters=letters, word_dropout=0.1, rng=0)
    model = tagger(words)
    task = Labelled([features.encode(s) for s in WORDS], [labels.encode(t) for t in TAGS], rng=0)
    fit(model, task, Adam(model.parameters(), 0.03), epochs=30, progress=False)
    assert [labels.decode(ids) for ids in predictions(model, task)] == TAGS
    config = json.loads(json.dumps(words.to_config()))
    again = tagger(FeatureEmbedding.from_config(config, rng=5))
    again.load_state_dict(model.state_dict())
    assert again.embedding.to_config() == words.to_config()
    sentence = features.encode(["The", "bats", "sat"])
    np.testing.assert_array_equal(again.probabilities(sentence), model.probabilities(sentence))
