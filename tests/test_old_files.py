"""Files of version 1, written by unspool 0.1.0: models of every kind, and a training to resume.

``expected.npz`` holds what the models computed then, and the parameters of the resumed training.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from unspool.cells import load_npz
from unspool.models import Adam, LanguageModel, Stream, fit, load_model

IDS = np.array([[3, 4, 5, 6], [7, 3, 0, 0]])
LENGTHS = [4, 2]
ARCHIVE = Path(__file__).parent / "data" / "files_v1.zip"
with zipfile.ZipFile(ARCHIVE) as archive:
    MODELS = sorted({name.removesuffix(".npz") for name in archive.namelist()})
MODELS = [name for name in MODELS if name not in ("checkpoint", "expected")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("v1")
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(path)
    return path


def computed(name, saved):
    """What a model makes of a small input, as it was computed when the file was written."""
    model = saved.model
    if name.startswith("language_model"):
        return model.logits(IDS, LENGTHS).data
    if name == "window":
        return model.logits(IDS).data
    if name.startswith("encoder_decoder"):
        target = [[model.start, 5, 6, 4], [model.start, 1, 4, 0]]
        return model.logits([[5, 6, 7], [1, 2, 0]], target, [3, 2], [4, 3]).data
    if name == "features":
        return model.probabilities(saved.features.encode(["The", "bats", "sleep"]))
    return model.probabilities(IDS, LENGTHS)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_version_1_computes_the_same(folder, name):
    saved = load_model(folder / f"{name}.npz")
    expected = load_npz(folder / "expected.npz")[name]
    found = computed(name, saved)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    assert not saved.model.training


def test_what_stands_beside_a_model_of_version_1(folder):
    saved = load_model(folder / "tagger.npz")
    assert saved.labels.names == ("B-NP", "I-NP", "O")
    assert saved.vocabulary.tokens == ("<unk>", "<s>", "</s>", *"abcde")
    assert (saved.vocabulary.level, saved.vocabulary.lower) == ("character", True)
    assert load_model(folder / "encoder_decoder.npz").notes == {
        "language": "digits",
        "é": [1, None],
    }
    saved = load_model(folder / "crf.npz")
    assert saved.model.crf.labels == ["B-NP", "I-NP", "O"]
    assert not saved.model.crf.constraints.transitions[2, 1]  # I-NP never follows O
    saved = load_model(folder / "features.npz")
    assert saved.features.names == [
        "word",
        "suffix2",
        "shape",
        *(f"letter{n}" for n in (1, 2, 3, 4)),
    ]
    assert saved.model.embedding.word_dropout == 0.1
    saved = load_model(folder / "language_model.npz")
    assert (saved.model.layers, saved.model.dropout.p, saved.model.cell.dropout) == (2, 0.25, 0.25)


def test_a_training_of_version_1_goes_on(folder):
    model = LanguageModel(9, 3, layers=2, dropout=0.3, rng=0)
    task = Stream(np.tile([1, 3, 4, 5, 6, 7, 2], 6), 2, 5, reset=0.3, rng=1)
    optimizer = Adam(model.parameters(), 0.02)
    fit(
        model,
        task,
        optimizer,
        epochs=2,
        progress=False,
        checkpoint=folder / "checkpoint.npz",
    )
    expected = load_npz(folder / "expected.npz")
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(value, expected[f"checkpoint.{name}"], rtol=1e-4, atol=1e-6)
