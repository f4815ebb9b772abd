"""Small files that would take all memory or time, and the memory that a text takes."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from reliability.campaigns import TEXT, posix, python, times
from unspool import draw, unroll
from unspool.cells import LSTM
from unspool.models import (
    Features,
    Labels,
    LanguageModel,
    Vocabulary,
    save_model,
    tokenize,
)

pytestmark = [pytest.mark.slow, posix]

LIMITED = """
import resource, sys, time
import numpy as np, unspool.cli
from unspool import models
from unspool.files import load_npz
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 2**30, pages + 2**30))
load = {"npz": load_npz, "model": models.load_model, "vectors": models.load_vectors,
        "text": lambda p: models.tokenize(models.load_text(p)), "tagged": models.load_tagged}
def peak():
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024  # MB
began, before = time.process_time(), peak()
how = "read"
try:
    load[sys.argv[1]](sys.argv[2])
except ValueError as error:
    assert sys.argv[2] in str(error), error
    how = "refused"
print(how, time.process_time() - began, peak() - before)
"""


def npy(shape, data=b""):
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def zeros_in_a_model(path):
    words = Vocabulary([f"w{i}" for i in range(5)])
    save_model(path, LanguageModel(len(words), 4, rng=0), vocabulary=words)
    arrays = dict(np.load(path))
    arrays["embedding.E"] = np.zeros((60_000, 1000), np.float32)
    np.savez_compressed(path, **arrays)


def overlapping(path):
    """Sixty members that are one and the same megabytes of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.npy", npy((25_000_000,), bytes(100_000_000)))
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry, tail = content[directory:end], bytearray(content[end:])
    name = entry.index(b"0.npy")
    entries = b"".join(entry[:name] + f"{i % 10}".encode() + entry[name + 1 :] for i in range(60))
    struct.pack_into("<HHI", tail, 8, 60, 60, len(entries))
    path.write_bytes(content[:directory] + entries + bytes(tail))


def one_long_line(path):
    import gzip

    with gzip.open(path, "wb") as file:
        file.write(b"word")
        for _ in range(100):
            file.write(b" 0.0" * 250_000)


def many_lines(path):
    import gzip

    with gzip.open(path, "wb") as file:
        for _ in range(100):
            file.write(b"a 0\n" * 250_000)


BOMBS = {
    "zeros.npz model": zeros_in_a_model,
    "zeros.npz npz": lambda path: np.savez_compressed(path, a=np.zeros(6 * 10**7, np.float32)),
    "overlapping.npz npz": overlapping,
    "line.gz vectors": one_long_line,
    "lines.gz vectors": many_lines,
    "signs.txt text": lambda path: path.write_text("|-" * 450_000),
    "angles.txt text": lambda path: path.write_text("<>" * 450_000),
    "spaced.txt text": lambda path: path.write_text("< >" * 300_000),
    "accents.txt text": lambda path: path.write_text("e" + "\u0301\u0327" * 200_000),
    "quotes.txt text": lambda path: path.write_text("' \"" * 300_000),
    "blank.txt text": lambda path: path.write_text("a" + "\n " * 450_000 + "a"),
    "tabs.tsv tagged": lambda path: path.write_text("\t" * 900_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_take_little(name, tmp_path, campaign):
    file, reader = name.split()
    BOMBS[name](tmp_path / file)
    assert (tmp_path / file).stat().st_size < 1_100_000
    run = python(LIMITED, tmp_path, reader, file)
    assert run.returncode == 0, run.stderr
    how, seconds, megabytes = run.stdout.split()
    campaign[how] += 1
    assert float(seconds) < 5, name
    assert int(megabytes) < 200, name


def seconds_of(call):
    """The least processor time of three runs."""
    found = []
    for _ in range(3):
        began = time.process_time()
        call()
        found.append(time.process_time() - began)
    return min(found)


def test_drawing_is_linear_in_the_number_of_steps():
    cell = LSTM(2, 2, rng=0)
    tapes = [unroll(cell, np.ones((n, 2), np.float32))[0] for n in (300, 1200)]
    short, long = (
        seconds_of(lambda ys=ys: draw(ys, level="cell", steps=ys.shape[0])) for ys in tapes
    )
    assert long < 8 * short  # four times the steps


def peak_of(call):
    """The peak of the memory that Python and NumPy take in a call, in bytes."""
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("level", ["word", "character"])
def test_a_text_in_memory_takes_at_most_twelve_times_its_size(level):
    from unspool.cli.data import split_text
    from unspool.cli.options import Tokens

    text = "\n\n".join([TEXT] * 400)
    tokenize("warm up")
    assert peak_of(lambda: split_text(text, Tokens(level=level, lower=False), 0.1)) < 12 * len(text)


@pytest.mark.parametrize("level", ["word", "character"])
def test_labelled_texts_take_at_most_twelve_times_their_size(level, tmp_path):
    from unspool.cli.examples import read_texts, text_task
    from unspool.cli.options import Texts

    path, lines = tmp_path / "texts.tsv", TEXT.split("\n\n")
    path.write_text(
        "\n".join(f"{'ab'[i % 2]}\t{' '.join(lines[i : i + 4])}" for i in range(36)) * 40
    )
    vocabulary = Vocabulary.count(tokenize(TEXT, level), level=level)
    labels = Labels("ab")
    peak = peak_of(lambda: text_task(read_texts([path], Texts()), vocabulary, labels))
    assert peak < 12 * path.stat().st_size


def test_tagged_sentences_take_at_most_twelve_times_their_size(tmp_path):
    from unspool.cli.examples import read_sentences, sentence_task
    from unspool.cli.options import Sentences, WordFeatures

    path = tmp_path / "tagged.tsv"
    words = TEXT.replace("\n\n", " \n ").split(" ") * 200
    lines = (f"{word * 2}\t{('NOUN', 'VERB')[i % 2]}\n" for i, word in enumerate(words))
    path.write_text("".join("\n" if line.startswith("\n") else line for line in lines))

    def read():
        sentences = read_sentences([path], Sentences())
        columns = ([*column] for column in zip(*sentences.inputs, strict=True))
        features = Features.count(*columns, **vars(WordFeatures()))
        sentence_task(sentences, features, Labels(["NOUN", "VERB"]))

    assert peak_of(read) < 12 * path.stat().st_size


@pytest.fixture
def train_large(tmp_path, monkeypatch, capsys):
    """Train on a text whose ids are in a file; what was printed on stderr."""
    import unspool.cli.train as train
    from unspool.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)

    def run(out, large=True, *more, code=0):
        monkeypatch.setattr(train, "LARGE", 100 if large else 1 << 30)
        options = ["--width", "8", "--epochs", "2", "--minimum-count", "1", *more]
        assert main(["train", "lm", "text.txt", "--out", out, *options]) == code
        return capsys.readouterr().err

    return run


def test_a_large_text_has_its_ids_in_a_file_that_is_made_once(train_large, monkeypatch):
    import unspool.cli.data as data

    train_large("small", large=False)
    train_large("large")
    small, large = (dict(np.load(f"{name}/model.npz")) for name in ("small", "large"))
    for name, array in small.items():
        np.testing.assert_array_equal(array, large[name])
    ids = np.load("large/ids.npy", mmap_mode="r")
    assert ids.dtype == np.uint8
    monkeypatch.setattr(data, "count_and_encode", None)  # not called again
    train_large("large")


@pytest.mark.parametrize("file", ["ids.npy", "text.npz"])
def test_damaged_ids_are_made_anew(file, train_large, tmp_path):
    train_large("run")
    path = tmp_path / "run" / file
    sound = path.read_bytes()
    for at in np.linspace(0, len(sound) - 1, times(5)).astype(int).tolist():
        path.write_bytes(sound[:at])
        assert "unspool: the text is prepared anew: " in train_large("run")
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 9]) + sound[at + 1 :])
        train_large("run")
        assert load_arrays_of(path) == load_arrays_of(sound)


def load_arrays_of(file):
    """The arrays of a file, or of its bytes, as bytes: a zip's clock does not count."""
    found = np.load(io.BytesIO(file if isinstance(file, bytes) else file.read_bytes()))
    return found.tobytes() if isinstance(found, np.ndarray) else found["header"].tobytes()


def test_a_text_that_changes(train_large, tmp_path, monkeypatch):
    import unspool.cli.data as data

    text, read = tmp_path / "text.txt", data.read_files

    def changing(files, encoding):
        yield from read(files, encoding)
        text.write_text(TEXT + " the cat")

    with monkeypatch.context() as patch:
        patch.setattr(data, "read_files", changing)
        assert "the text was changed while it was read" in train_large("run", code=2)
    assert not (tmp_path / "run" / "text.npz").exists()
    train_large("run")  # nothing was trained: it begins with the text as it is now
    before = (tmp_path / "run" / "ids.npy").read_bytes()
    text.write_text(TEXT)
    assert "another training is in this folder: files was" in train_large("run", code=2)
    train_large("run", True, "--restart")
    assert (tmp_path / "run" / "ids.npy").read_bytes() != before
