"""Damaged files: read right, or refused in one line that names the file."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest

from reliability.campaigns import times
from reliability.damage import damaged
from unspool import cells, models
from unspool.cells import LSTM, Bidirectional, Stacked
from unspool.files import load_npz
from unspool.models import (
    CRF,
    Acceptor,
    Adam,
    CharacterEncoder,
    Embedding,
    FeatureEmbedding,
    Features,
    Labels,
    LanguageModel,
    Stream,
    TextCNN,
    Transducer,
    Vocabulary,
    fit,
    load_model,
    load_vectors,
    save_model,
)

pytestmark = pytest.mark.slow

WORDS = ["to", "be", "or", "not", "question"]
NAMES = ["B-X", "I-X", "O"]


def language(path):
    words = Vocabulary(WORDS)
    model = LanguageModel(len(words), 8, dropout=0.2, layers=2, rng=0)
    save_model(path, model, vocabulary=words, notes={"a": [1, 2]})


def characters(path):
    letters = Vocabulary("abc", level="character")
    model = LanguageModel(len(letters), 6, cells.GRU, tied=False, rng=0)
    save_model(path, model, vocabulary=letters)


def classifier(path):
    words = Vocabulary(WORDS)
    layers = [Bidirectional(LSTM(4, 3, rng=0), LSTM(4, 3, rng=1)), LSTM(6, 3, rng=2)]
    embedding = Embedding(len(words), 4, rng=0)
    model = Acceptor(Stacked(layers), 3, "max", embedding=embedding, dropout=0.1, rng=0)
    save_model(path, model, vocabulary=words, labels=Labels("abc"))


def convolution(path):
    words = Vocabulary(WORDS)
    model = TextCNN(4, 3, filters=5, embedding=Embedding(len(words), 4, rng=0), rng=0)
    save_model(path, model, vocabulary=words, labels=Labels("abc"))


def tagger(path):
    sentences = [["The", "cats"], ["A", "dog", "ran"]]
    features = Features.count(sentences, suffixes=[2], letters=5)
    letters = CharacterEncoder(len(features.vocabularies[-1]), 2, 2, rng=0)
    widths = [4] + [2] * (len(features.sizes) - 1)
    embedding = FeatureEmbedding(features.sizes, widths, letters=letters, rng=0)
    network = Bidirectional(LSTM(embedding.d, 3, rng=0), LSTM(embedding.d, 3, rng=1))
    model = Transducer(network, 3, embedding=embedding, crf=CRF(NAMES, "BIO"), rng=0)
    save_model(path, model, features=features, labels=Labels(NAMES))


def use(saved):
    """What a loaded model is for; a text that it is not made for may be refused in words."""
    model, words, features, labels, _ = saved
    try:
        if isinstance(model, LanguageModel):
            if words is not None:
                ids = words.encode("to be or not xx", start=True)
                words.decode(model.generate(ids, 3, rng=0))
                model.loss(ids)
        elif features is not None:
            found = model.predict(features.encode(["The", "dog"])[None])
            if labels is not None:
                labels.decode(found[0])
        elif words is not None and len(ids := words.encode("to be or not")):
            model.predict(ids[None])
    except ValueError as error:
        assert "columns" in str(error)  # noqa: PT017


def refused_or_read(call, path, campaign):
    """What a call makes of a file; None if it refuses it, in one line that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = call(path)
    except ValueError as error:
        message = str(error)
        assert path.name in message, message[:300]
        assert len(message) < 2500, message[:300]
        assert "\n" not in message
        campaign["refused"] += 1
        return None
    campaign["read"] += 1
    return found


@pytest.mark.parametrize("make", [language, characters, classifier, convolution, tagger])
def test_damaged_models(make, tmp_path, campaign):
    source, target = tmp_path / "sound.npz", tmp_path / "damaged.npz"
    make(source)
    use(load_model(source))
    sound, rng = load_npz(source), np.random.default_rng(0)
    for _ in range(times(100)):  # of each of five
        done = damaged(sound, target, rng)
        try:
            refused_or_read(lambda path: use(load_model(path)), target, campaign)
        except Exception as error:
            raise AssertionError(f"{done}: {type(error).__name__} {error!s:.300}") from error
    assert campaign["refused"] > campaign["read"] > 0


IDS = np.random.default_rng(0).integers(1, 6, 120)


def train(path, stop=None):
    """Three epochs of a small training with all that a checkpoint can hold."""
    model = LanguageModel(6, 5, dropout=0.1, rng=0)
    done = 0

    def count(progress):
        nonlocal done
        done += 1
        if done == stop:
            raise KeyboardInterrupt
        return 1.0

    plateau = models.schedules.Plateau()
    schedule = models.schedules.product(count, plateau)
    options = {"validation": Stream(IDS[:40], 2, 7), "schedule": schedule, "clip": 1.0}
    task = Stream(IDS, 4, 7, reset=0.1, rng=0)
    fit(
        model, task, Adam(model.parameters()), epochs=3, checkpoint=path, every=0,
        progress=False, **options,
    )  # fmt: skip
    return model.state_dict()


def test_damaged_checkpoints(tmp_path, campaign):
    """Refused, or resumed to the same numbers: nothing else is silent."""
    source = tmp_path / "training.npz"
    with pytest.raises(KeyboardInterrupt):
        train(source, stop=8)
    whole = source.read_bytes()
    wanted = train(source)
    source.write_bytes(whole)
    sound, rng = load_npz(source), np.random.default_rng(1)
    for i in range(times(500)):
        folder = tmp_path / str(i)
        folder.mkdir()
        target = folder / "damaged.npz"
        done = damaged(sound, target, rng)
        try:
            if found := refused_or_read(train, target, campaign):
                for name, array in found.items():
                    np.testing.assert_array_equal(array, wanted[name])
        except Exception as error:
            raise AssertionError(f"{done}: {type(error).__name__} {error!s:.300}") from error
        shutil.rmtree(folder)
    assert campaign["refused"] > times(400)


def test_the_checkpoint_before_is_offered(tmp_path):
    path = tmp_path / "training.npz"
    with pytest.raises(KeyboardInterrupt):
        train(path, stop=8)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"is sound: rename training\.previous\.npz to training"):
        train(path)
    (tmp_path / "training.previous.npz").replace(path)
    resumed = train(path)
    for name, array in train(tmp_path / "other.npz").items():
        np.testing.assert_array_equal(array, resumed[name])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.npz", "training.npz"]


def test_damaged_vectors(tmp_path, campaign):
    path = tmp_path / "damaged.txt"
    lines = [f"w{i} {i / 7} {i / 3} 1e-3" for i in range(6)]
    rng = np.random.default_rng(2)
    fields = ["", "x", "nan", "1e999", "-inf", "0x1", "1_0", "\x00", "\u2028", "9" * 400, " ", "\t"]
    for _ in range(times(500)):
        found = [line.split(" ") for line in lines]
        for _ in range(rng.integers(1, 3)):
            row = found[rng.integers(len(found))]
            row[rng.integers(len(row))] = fields[rng.integers(len(fields))]
        path.write_text("\n".join(" ".join(row) for row in found), encoding="utf-8")
        vectors = refused_or_read(load_vectors, path, campaign) or {}
        assert all(np.isfinite(v).all() and v.shape == (3,) for v in vectors.values())


def test_a_weight_too_large_for_its_type_is_refused(tmp_path):
    path = tmp_path / "cell.npz"
    cell = LSTM(2, 3, rng=0)
    state = cell.state_dict()
    np.savez(path, **state | {"W_f": np.full((2, 3), 1e308)})
    with pytest.raises(ValueError, match="W_f holds numbers too large for float32"):
        cell.load(path)
    np.testing.assert_array_equal(cell.W_f.data, state["W_f"])


def test_what_no_folder_configuration_may_be(tmp_path, campaign):
    from unspool.cli.folder import read_config

    path = tmp_path / "config.json"
    sound = {"format": "unspool training", "version": 2, "kind": "lm"}
    for value in (None, 1, "x", [], {}, {"format": []}, sound | {"version": {}}, "[" * 2000):
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        assert refused_or_read(read_config, path, campaign) is None
    assert campaign == {"refused": 8}
