"""Streams that are closed, full or without a reader; containers that hold themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from reliability.campaigns import TEXT, command, posix, python
from unspool import Parameter, Tape, Tensor, grad, no_grad
from unspool.cells import LSTM, Module
from unspool.models import (
    Acceptor,
    Embedding,
    Labels,
    LanguageModel,
    Vocabulary,
    load_labelled,
    load_model,
    save_model,
)

pytestmark = pytest.mark.slow

TRAIN = ["train", "lm", "text.txt", "--out", "run", "--width", "8", "--epochs", "1"]
# A shell's redirections, and the exit codes of training and of generation.
STREAMS = {
    ">&-": (0, 0), "2>&-": (0, 0), ">&- 2>&-": (0, 0), "<&-": (0, 0), ">/dev/full": (2, 2),
    "2>/dev/full": (0, 0), ">/dev/full 2>&-": (2, 2), "| true": (0, 0), "2>&1 >out | true": (0, 0),
}  # fmt: skip


@posix
@pytest.mark.parametrize("streams", STREAMS)
def test_streams(streams, tmp_path, campaign):
    (tmp_path / "text.txt").write_text(TEXT)
    words = [[sys.executable, "-m", "unspool", *TRAIN, "--minimum-count", "1"]]
    words.append([sys.executable, "-m", "unspool", "generate", "run", "--steps", "4"])
    for args, wanted in zip(words, STREAMS[streams], strict=True):
        line = " ".join(args)
        before, _, after = streams.partition("|")
        if after:  # the exit code of the first in a pipe
            line = f"({{ {line} {before}; echo $? >code; }}) |{after}; sleep 0; "
            line += "while [ ! -s code ]; do sleep 0.1; done; (exit $(cat code))"
        else:
            line = f"{line} {streams}"
        (tmp_path / "code").unlink(missing_ok=True)
        run = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=100
        )
        assert run.returncode == wanted, (line, run.stderr)
        assert "Traceback" not in run.stderr
        assert "Exception ignored" not in run.stderr
        campaign["runs"] += 1
    load_model(tmp_path / "run" / "model.npz")


def test_without_a_console(tmp_path):
    code = """
import sys
sys.stdout = sys.stderr = sys.stdin = None
from unspool.models import LanguageModel, Sequences, fit
model = LanguageModel(5, 4, rng=0)
fit(model, Sequences([[1, 3, 4, 2]]), epochs=2)
from unspool.__main__ import main
assert main(["generate", "none"]) == 2
"""
    run = python(code, tmp_path)
    assert run.returncode == 0, run.stderr


def test_other_environments(tmp_path, campaign):
    save_model(
        tmp_path / "m.npz", LanguageModel(5, 4, rng=0), vocabulary=Vocabulary(["“a”", "b\x1b[2J"])
    )
    for changes in (
        {"LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
        {"HOME": "/none"},
        {"TERM": ""},
    ):
        environment = {**os.environ, **changes}
        run = command(tmp_path, "generate", "m.npz", "--seed", 1, "--steps", 30, env=environment)
        assert run.returncode == 0, run.stderr
        assert "\x1b" not in run.stdout
        campaign["environments"] += 1


def test_without_docstrings_there_are_no_options(tmp_path):
    run = command(tmp_path, "--help", env={**os.environ, "PYTHONOPTIMIZE": "2"})
    assert run.returncode == 2
    assert run.stderr.startswith("unspool: the options are read from docstrings")
    code = "import unspool; unspool.draw(unspool.cells.LSTM(2, 3)).save('lstm.svg')"
    assert python(code, tmp_path, env={**os.environ, "PYTHONOPTIMIZE": "2"}).returncode == 0


@posix
def test_a_pipe_is_read_once(tmp_path):
    """A training would read it again, and wait for ever; a reader may have it."""
    pipe = tmp_path / "pipe.tsv"
    os.mkfifo(pipe)
    for kind in ("lm", "classifier", "tagger"):
        run = command(tmp_path, "train", kind, "pipe.tsv", timeout=20)
        assert run.returncode == 2
        assert "pipe.tsv: it is a pipe or a device, and a training reads" in run.stderr
    text = "a\tto be\nb\tor\tnot\n\na\tto be\n"
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    assert load_labelled(pipe) == (["to be", "or\tnot", "to be"], ["a", "b", "a"])
    writer.join()


def test_an_empty_path_is_refused(tmp_path):
    for option in (["text.txt", "--out", ""], [""], ["--", ""]):
        run = command(tmp_path, "train", "lm", *option)
        assert run.returncode == 2
        assert "expected a path, got ''" in run.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no text")
def test_names_that_are_no_text(tmp_path):
    """Those of files, and so the labels of a folder, may be bytes that no encoding has."""
    name = os.fsdecode(b"a\xff\n.txt")
    (tmp_path / name).write_text(TEXT)
    for _ in range(2):
        out = os.fsdecode(b"run\xff")
        run = command(tmp_path, "train", "lm", name, "--out", out, *TRAIN[5:])
        assert run.returncode == 0, run.stderr
    labels = Labels([name, "b"])
    model = Acceptor(LSTM(2, 3, rng=0), 2, embedding=Embedding(5, 2, rng=0), rng=0)
    words = Vocabulary(["to", "be"])
    save_model(tmp_path / name, model, vocabulary=words, labels=labels)
    assert load_model(tmp_path / name).labels.names == labels.names


def test_no_escape_reaches_the_terminal(tmp_path):
    name = "a\x1b]0;title\x07.npz"
    for args in (
        ["generate", name],
        ["evaluate", name, name],
        ["train", "lm", name, "--out", name],
    ):
        run = command(tmp_path, *args)
        assert run.returncode == 2
        assert "\x1b" not in run.stdout + run.stderr
        assert "\\x1b]0;title" in run.stderr


class Node(Module):
    def __init__(self, child=None):
        self.W = Parameter([1.0])
        self.child = child


def test_deep_modules_are_walked():
    module = Node()
    for _ in range(3000):
        module = Node(module)
    assert len(module.parameters()) == 3001
    deep = [LSTM(1, 1)]
    for _ in range(3000):
        deep = [deep]
    assert len(Node(deep).parameters()) == 13
    module.load_state_dict(module.state_dict())


def test_what_holds_itself_is_named():
    parent = Node()
    parent.child = Node(parent)
    with pytest.raises(
        TypeError, match=r"child\.child is the Node that this is a part of.*weakref"
    ):
        parent.parameters()
    parent.child.child = weakref.ref(parent)
    assert len(parent.parameters()) == 2
    circle = []
    circle.append(circle)
    with pytest.raises(TypeError, match=r"child\.0 is a list that holds itself"):
        Node(circle).parameters()
    with pytest.raises(ValueError, match="an argument holds itself, or is nested too deep"):
        grad(lambda x: x[0])(circle)
    with pytest.raises(TypeError, match="child is a set of Parameters or Modules; make it a list"):
        Node({LSTM(1, 1)}).parameters()


def test_no_grad_holds_inside_of_a_generator():
    W = Parameter([2.0])

    @no_grad()
    def updates():
        while True:
            got = yield W * 1
            if got == "raise":
                raise KeyError("end")
            W.data = W.data + 1

    running = updates()
    assert next(running)._record is None
    assert len(Tape(W * 2)) == 1  # recorded outside, between two items
    assert running.send(None)._record is None
    with pytest.raises(KeyError, match="end"):
        running.send("raise")
    assert (W * 2).requires_grad


def test_an_error_inside_of_a_pass_leaves_a_clean_state():
    W = Parameter([2.0])
    for fail in ("raise", "return"):

        @no_grad()
        def inside(fail=fail):
            if fail == "raise":
                raise ZeroDivisionError
            return W * 2

        if fail == "raise":
            with pytest.raises(ZeroDivisionError):
                inside()
        assert (W * 2).requires_grad
    with pytest.raises(ValueError, match="shape"):
        (W * 2).backward(np.ones(3))
    (W * Tensor([3.0])).sum().backward()
    np.testing.assert_array_equal(W.grad, [3.0])
