"""Word vectors from text files, in the order of a vocabulary."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from helpers import needs_data
from unspool.models import (
    SGD,
    BagClassifier,
    Vocabulary,
    align_vectors,
    embedding_from,
    load_vectors,
)

PLAIN = "cat 0.5 -1 2e-1\n. . . 1 2 3\nthe\u2028end 4 5 6\ncat 9 9 9\n"
CAT = np.array([0.5, -1, 0.2], np.float32)


def written(folder, text, name="vectors.txt"):
    path = Path(folder, name)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz"])
@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_vectors(tmp_path, name, header):
    found = load_vectors(written(tmp_path, header + PLAIN, name))
    assert list(found) == ["cat", ". . .", "the\u2028end"]
    np.testing.assert_array_equal(found["cat"], CAT)
    assert found["cat"].dtype == np.float32
    np.testing.assert_array_equal(found[". . ."], [1, 2, 3])
    some = load_vectors(tmp_path / name, ["cat", "dog"], dtype=np.float64)
    assert list(some) == ["cat"]
    assert some["cat"].tolist() == [0.5, -1, 0.2]


def test_word2vec_ends_its_lines_with_a_space(tmp_path):
    found = load_vectors(written(tmp_path, "2 2\n</s> 0 1 \nin 1 0 \n"))
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "</s>": [0, 1],
        "in": [1, 0],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\nb 1\n", r"vectors.txt, line 2: expected a word and 2 numbers, got 'b 1'"),
        ("a 1 2\nb 1 2 3\n", r"line 2: expected a word and 2 numbers, got 'b 1 2 3'"),
        ("1 2\na 1 2\n\n", "line 3: expected a word and 2 numbers, got ''"),
        ("a\nb 1\n", "line 1: expected a word and its numbers"),
        ("a 1 2\nb 1 x\n", "line 2, 'b': could not convert string to float: 'x'"),
        ("a 1 nan\n", "line 1: the vector of 'a' is not finite"),
        ("3 1\na 1\nb 2\n", "promises 3 words, but there are 2; it is truncated"),
        ("", "there is no vector in it"),
        ("1 2\n", "there is no vector in it"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_vectors(written(tmp_path, text))


def test_what_is_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file of vectors"):
        load_vectors(tmp_path / "nothing.txt")
    (tmp_path / "vectors.bin").write_bytes(b"1 2\ncat \x00\x00\x80\xbf\x00\x00\x80\x3f\n")
    with pytest.raises(ValueError, match=r"not utf-8 text; convert word2vec's binary"):
        load_vectors(tmp_path / "vectors.bin")
    path = written(tmp_path, PLAIN * 100, "vectors.txt.gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=r"not a readable .gz file, or truncated"):
        load_vectors(path)
    path.write_bytes(b"cat 1 2")
    with pytest.raises(ValueError, match=r"not a readable .gz file, or truncated"):
        load_vectors(path)


def test_vectors_stand_where_the_vocabulary_has_their_words():
    vectors = {"cat": CAT, "The": CAT + 1, "the": CAT + 2}
    vocabulary = Vocabulary(["The", "THE", "cat", "dog"])
    matrix, found = align_vectors(vectors, vocabulary, rng=0)
    assert matrix.shape == (7, 3)
    assert matrix.dtype == np.float32
    assert found.tolist() == [False, False, False, True, True, True, False]
    np.testing.assert_array_equal(matrix[3:6], [CAT + 1, CAT + 2, CAT])
    assert 0 < abs(matrix[~found]).max() < 0.5
    np.testing.assert_array_equal(align_vectors(vectors, vocabulary, rng=0)[0], matrix)
    assert (align_vectors(vectors, vocabulary, rng=1)[0][~found] != matrix[~found]).all()


def test_frozen_and_tuned():
    matrix = np.random.default_rng(0).standard_normal((5, 3))
    for frozen in (True, False):
        model = BagClassifier(embedding_from(matrix, frozen=frozen), 2, rng=0, dtype=np.float64)
        np.testing.assert_array_equal(model.embedding([4, 0]).data, matrix[[4, 0]])
        model.loss([[1, 2]], [0]).backward()
        SGD(model.parameters(), 0.1).step()
        changed = (model.embedding.E.data != matrix).any(axis=1)
        assert changed.tolist() == [False, not frozen, not frozen, False, False]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: align_vectors({}, ["a"]), ValueError, "got none"),
        (lambda: align_vectors({"a": CAT, "b": CAT[:2]}, ["a"]), ValueError, r"\(2,\), \(3,\)"),
        (lambda: align_vectors({"a": 1.0}, ["a"]), ValueError, r"the shapes \[\(\)\]"),
        (lambda: embedding_from([1.0]), ValueError, r"a matrix \(n, d\), got \(1,\)"),
        (lambda: embedding_from([[1]]), TypeError, "expected floats, got int"),
        (lambda: embedding_from([[np.nan]]), ValueError, "NaN or infinity"),
    ],
)
def test_bad_vectors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_glove():
    path = needs_data("glove_sample/glove.6B.50d.first2446.txt")
    vectors = load_vectors(path)
    assert len(vectors) == 2446
    assert vectors["the"].shape == (50,)

    def nearness(a, b):
        x, y = vectors[a], vectors[b]
        return x @ y / np.sqrt(x @ x * (y @ y))

    assert nearness("he", "she") > nearness("he", "percent") + 0.3
    _, found = align_vectors(vectors, ["The", "president", "zyzzyva"])
    assert found.tolist() == [True, True, False]
