"""Corpora from files, from NLTK, and from a server."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from helpers import needs, needs_corpus, needs_data
from unspool.models import MostFrequentTag, Vocabulary, load_text
from unspool.models.text import readers
from unspool.models.text.readers import download, load_labelled, load_tagged
from unspool.models.training.metrics import accuracy, span_f1


def written(folder, text, name="corpus.tsv"):
    path = Path(folder, name)
    path.write_bytes(text.encode())
    return path


def test_lines_over_several_blocks(tmp_path):
    text = "a\r\n" + "b c " * 2_500_000 + "\n\n" + "d\n" * 3
    path = written(tmp_path, text)
    assert [*readers.lines_of(path)] == load_text(path).split("\n")


# Tagged text ------------------------------------------------------------------------------------


def test_tagged_text(tmp_path):
    text = "\ufeffThe\tDET\tDT\r\ncat\tNOUN\tNN\r\n\r\n\r\nGo\tVERB\tVB\n\t\n!\tPUNCT\t.\n\n"
    path = written(tmp_path, text)
    words, tags = load_tagged(path)
    assert words == [["The", "cat"], ["Go"], ["!"]]
    assert tags == [["DET", "NOUN"], ["VERB"], ["PUNCT"]]
    assert load_tagged(path, [-1, 0]) == ([["DT", "NN"], ["VB"], ["."]], words)


def test_white_space_and_comments(tmp_path):
    path = written(tmp_path, "# SYM  B-NP\nof\tIN B-PP\n")
    assert load_tagged(path, [0, 2], separator=None) == ([["#", "of"]], [["B-NP", "B-PP"]])
    path = written(tmp_path, "# text = # 1\n1\t#\tSYM\n")
    assert load_tagged(path, [1, 2]) == ([["#"]], [["SYM"]])


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "a\tA\nb\n",
            (0, 1),
            r"corpus.tsv, line 2: there is no column 1; it has 1 sep.*'\\t': 'b'",
        ),
        ("a\tA\n\nb\t\n", (0, 1), "line 3: there is no column 1"),
        ("a\tA\n", (0, -3), "line 1: there is no column -3; it has 2"),
        ("\n \n", (0, 1), "the file is empty"),
        ("# only a comment\n", (0, 1), "there is no token in it"),
        ("a\tA\n", (), "columns must be numbers"),
    ],
)
def test_bad_tagged_text(tmp_path, text, columns, message):
    with pytest.raises(ValueError, match=message):
        load_tagged(written(tmp_path, text), columns)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such text file"):
        load_tagged(tmp_path / "nothing.tsv")
    (tmp_path / "latin.tsv").write_bytes(b"caf\xe9\tNOUN\n")
    with pytest.raises(ValueError, match="not utf-8 text at byte 3"):
        load_tagged(tmp_path / "latin.tsv")
    assert load_tagged(tmp_path / "latin.tsv", encoding="latin-1")[0] == [["café"]]


# Labelled text ----------------------------------------------------------------------------------


def test_labelled_text(tmp_path):
    path = written(tmp_path, 'pos\tso good\n\nneg\tbad,\t"very" bad\n')
    assert load_labelled(path) == (["so good", 'bad,\t"very" bad'], ["pos", "neg"])
    path = written(tmp_path, 'what,class\n"a ""b"", c\nd",1\nx,0\n', "corpus.csv")
    assert load_labelled(path, 1, 0, header=True) == (['a "b", c\nd', "x"], ["1", "0"])
    path = written(tmp_path, "a;1\n", "corpus.CSV")
    assert load_labelled(path, 1, 0, separator=";") == (["a"], ["1"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.tsv", "pos\ta\npos b\n", r"c.tsv, line 2: expected a label in column 0 and .*'pos b'"),
        ("c.tsv", "pos\t \n", "line 1: expected a label"),
        ("c.csv", 'pos,a\n"x\ny",b\nneg\n', "c.csv, line 4: expected a label"),
        ("c.csv", 'pos,a\nneg,"b\n', "c.csv, line 3: unexpected end of data"),
        ("c.tsv", "\n", "the file is empty"),
    ],
)
def test_bad_labelled_text(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        load_labelled(written(tmp_path, text, name))


def test_bad_columns(tmp_path):
    path = written(tmp_path, "pos\ta\n")
    with pytest.raises(ValueError, match="or two columns from 0 on, got 1 and 1"):
        load_labelled(path, 1, 1)
    with pytest.raises(ValueError, match="there is no labelled text"):
        load_labelled(path, header=True)


# Downloads --------------------------------------------------------------------------------------

CONTENT = b"some text\n" * 300_000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


def test_a_download_is_whole(tmp_path):
    source = tmp_path / "source.txt"
    source.write_bytes(CONTENT)
    target = tmp_path / "data" / "target.txt"
    assert download(source.as_uri(), target, CHECKSUM.upper()) == target
    assert target.read_bytes() == CONTENT
    source.unlink()
    assert download(source.as_uri(), target, CHECKSUM) == target  # it is there already
    target.write_bytes(b"else")
    with pytest.raises(ValueError, match=r"has the sha256 .* delete it"):
        download(source.as_uri(), target, CHECKSUM)
    assert target.read_bytes() == b"else"


def test_a_download_that_is_another_is_not_kept(tmp_path):
    source = written(tmp_path, "else", "source.txt")
    with pytest.raises(ValueError, match=r"another version, or damaged"):
        download(source.as_uri(), tmp_path / "data" / "target.txt", CHECKSUM)
    assert os.listdir(tmp_path / "data") == []
    with pytest.raises(OSError, match=r"nothing.txt could not be fetched: "):
        download((tmp_path / "nothing.txt").as_uri(), tmp_path / "data" / "target.txt", CHECKSUM)
    assert os.listdir(tmp_path / "data") == []
    with pytest.raises(ValueError, match="64 hexadecimal digits, got 'abc'"):
        download(source.as_uri(), tmp_path / "target.txt", "abc")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_download_over_http(tmp_path):
    (tmp_path / "source.txt").write_bytes(CONTENT)
    server = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        assert download(f"{url}/source.txt", tmp_path / "a", CHECKSUM).read_bytes() == CONTENT
        with pytest.raises(OSError, match=r"could not be fetched: .*File not found"):
            download(f"{url}/nothing.txt", tmp_path / "b", CHECKSUM)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# Files of real data -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "sentences", "tokens"),
    [("train", 12544, 204577), ("dev", 2001, 25147), ("test", 2077, 25094)],
)
def test_english_web_treebank(part, sentences, tokens):
    path = needs_data(f"ud_english_ewt/{part}.tsv")
    words, upos, xpos = load_tagged(path, [0, 1, 2])
    assert (len(words), sum(map(len, words))) == (sentences, tokens)
    assert len({tag for s in upos for tag in s}) == 17
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = ["\t".join(row) for s in zip(words, upos, xpos) for row in zip(*s)]
    assert rows == [line for line in lines if line]


def test_tiny_shakespeare():
    text = load_text(needs_data("tinyshakespeare/input.txt"))
    assert (len(text), len(set(text))) == (1115394, 65)
    vocabulary = Vocabulary.count(text, level="character")
    assert vocabulary.decode(vocabulary.encode(text)) == text


# NLTK -------------------------------------------------------------------------------------------


def test_names():
    corpus = needs_corpus("names")
    found, labels = readers.names()
    assert sorted(found) == sorted(name.strip() for name in corpus.words())
    assert (len(found), labels.count("male"), labels.count("female")) == (7944, 2943, 5001)
    assert (found[0], labels[0]) == ("Abagael", "female")
    assert all(name == name.strip() for name in found)


def test_sentence_polarity():
    corpus = needs_corpus("sentence_polarity")
    sentences, labels = readers.sentence_polarity()
    assert [w for s in sentences for w in s] == list(corpus.words())
    assert (labels.count("neg"), labels.count("pos"), len(sentences)) == (5331, 5331, 10662)
    assert sentences[0] == ["simplistic", ",", "silly", "and", "tedious", "."]


@pytest.mark.slow
def test_movie_reviews():
    needs_corpus("movie_reviews")
    documents, labels = readers.movie_reviews()
    assert (labels.count("neg"), labels.count("pos"), len(documents)) == (1000, 1000, 2000)
    assert documents[0][:4] == ["plot", ":", "two", "teen"]


def test_conll2000_and_its_own_baseline():
    corpus = needs_corpus("conll2000")
    words, tags, chunks = readers.conll2000("train")
    assert [w for s in words for w in s] == list(corpus.words("train.txt"))
    assert len(chunks) == 8936
    baseline = MostFrequentTag(tags, chunks)
    words, tags, chunks = readers.conll2000("test")
    tagged = [list(zip(*s)) for s in zip(words, tags)]
    assert tagged == [s for s in map(list, corpus.tagged_sents("test.txt")) if s]
    assert (len(chunks), words[0][:2], chunks[0][:2]) == (2012, ["Rockwell", "International"], ["B-NP", "I-NP"])  # noqa: E501  # fmt: skip
    found = [baseline.predict(sentence) for sentence in tags]
    assert round(100 * span_f1(chunks, found), 2) == 77.07
    with pytest.raises(ValueError, match="part must be one of train, test, got 'dev'"):
        readers.conll2000("dev")


def test_treebank():
    corpus = needs_corpus("treebank")
    words, tags = readers.treebank()
    full = [pair for pair in corpus.tagged_words() if pair[1] != "-NONE-"]
    assert [pair for s in zip(words, tags) for pair in zip(*s)] == full
    assert len(words) == 3914
    assert "-NONE-" not in {tag for sentence in tags for tag in sentence}
    baseline = MostFrequentTag(words[:3131], tags[:3131])
    found = [baseline.predict(sentence) for sentence in words[3522:]]
    assert accuracy(tags[3522:], found) == pytest.approx(0.864, abs=0.002)


def test_conll2000_as_columns(tmp_path):
    """The file that NLTK reads, read as tagged text."""
    corpus = needs_corpus("conll2000")
    path = written(tmp_path, corpus.raw("test.txt"))
    assert load_tagged(path, [0, 1, 2], separator=None) == readers.conll2000("test")


def test_what_to_do_without_nltk(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(ImportError, match=r'pip install "unspool\[data\]"'):
        readers.names()


def test_what_to_do_without_the_corpus(monkeypatch, tmp_path):
    nltk = needs("nltk")
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"python -m nltk.downloader brown.*NLTK_DATA.*"):
        readers.nltk_corpus("brown")
    assert nltk.data.path == [str(tmp_path)]


def test_a_column_of_labels_that_all_differ_is_refused(tmp_path):
    """Columns that are exchanged would be trained as thousands of classes."""
    path = tmp_path / "names.csv"
    path.write_text("".join(f"name{i},{'mf'[i % 2]}\n" for i in range(60)))
    with pytest.raises(
        ValueError, match=r"column 0 holds 60 different labels for 60 texts.*label=1"
    ):
        load_labelled(path)
    texts, labels = load_labelled(path, label=1, text=0)
    assert (texts[3], labels[3]) == ("name3", "f")
    path.write_text("".join(f"a{i},b{i}\n" for i in range(60)))
    with pytest.raises(ValueError, match="name the column of labels"):
        load_labelled(path)
