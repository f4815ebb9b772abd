"""The command line, run as a user runs it: in a folder of its own, in a process of its own."""

from __future__ import annotations

import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import unspool
from unspool.__main__ import CELLS, build_parser, prepare
from unspool.models import load_model

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "90"}
HAS_RENDERER = shutil.which("dot") is not None or find_spec("pygraphviz") is not None
renders = pytest.mark.skipif(not HAS_RENDERER, reason="neither dot nor pygraphviz is installed")


def run(*args, cwd, **options):
    return subprocess.run(
        [sys.executable, "-m", "unspool", *map(str, args)],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        **options,
    )


def refused(result):
    """Exit code 2, and one line on stderr that begins with the program's name."""
    assert result.returncode == 2, result.stderr
    assert re.fullmatch(r"unspool[^\n]*: [^\n]+\n", result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a text whose sentences come back to what they began with."""
    folder = tmp_path_factory.mktemp("cli")
    rng = random.Random(0)
    subjects = {"cats": "purr", "dogs": "bark", "birds": "sing", "cows": "moo"}
    lines = []
    for _ in range(150):
        a, b = rng.sample(list(subjects), 2)
        lines.append(f"All the {a} {subjects[a]} near the {b}, and so the {a} {subjects[a]}.")
    (folder / "text.txt").write_text("\n\n".join(lines), encoding="utf-8")
    (folder / "empty.txt").write_text("\n")
    (folder / "short.txt").write_text("Five words are too few.")
    (folder / "latin.txt").write_bytes("d\xe9j\xe0 vu".encode("latin-1"))
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """What ``train lm`` printed; the model is in model.npz."""
    options = ["--width", 24, "--epochs", 20, "--batch", 8, "--steps", 12, "--history", "loss.csv"]
    return run("train", "lm", "text.txt", *options, cwd=folder)


# Help and wrong input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [[], ["demo"], ["train"], ["train", "lm"], ["generate"], ["draw"]]
)
def test_help_has_examples(command, tmp_path):
    result = run(*command, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr == ""
    assert re.search(r"examples?:\n  unspool ", result.stdout)


def test_every_example_of_the_help_is_a_valid_command():
    found = 0
    texts = [build_parser().epilog]
    actions = [build_parser()._subparsers._group_actions[0]]
    while actions:
        for parser in actions.pop().choices.values():
            texts.append(parser.epilog)
            if parser._subparsers:
                actions.append(parser._subparsers._group_actions[0])
    for line in "\n".join(texts).splitlines():
        if line.startswith("  unspool "):
            words = re.findall(r'"[^"]*"|\'[^\']*\'|\S+', re.split(r" > |\s+\(", line)[0])
            build_parser().parse_args([word.strip("\"'") for word in words[1:]])
            found += 1
    assert found >= 12


def test_version(tmp_path):
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{unspool.__version__}"' in project
    result = run("--version", cwd=tmp_path)
    assert result.stdout == f"unspool {unspool.__version__}\n"


WRONG = {
    "no command": ([], "arguments are required: COMMAND"),
    "unknown command": (["paint"], "invalid choice: 'paint'"),
    "no model": (["train"], "arguments are required: MODEL"),
    "no file": (["train", "lm"], "arguments are required: FILE"),
    "missing file": (["train", "lm", "nofile.txt"], "nofile.txt: no such text file"),
    "empty file": (["train", "lm", "empty.txt"], "empty.txt: the file is empty"),
    "short file": (["train", "lm", "short.txt"], "8 tokens are too few"),
    "other encoding": (["train", "lm", "latin.txt"], "latin.txt: not utf-8 text at byte 1"),
    "folder": (["train", "lm", "."], "a folder, where a text file is expected"),
    "width": (["train", "lm", "text.txt", "--width", "0"], "a whole number from 1, got '0'"),
    "dropout": (["train", "lm", "text.txt", "--dropout", "1"], "from 0 and below 1, got '1'"),
    "rate": (["train", "lm", "text.txt", "--lr", "nan"], "a number above 0, got 'nan'"),
    "held out": (["train", "lm", "text.txt", "--held-out", "1.5"], "above 0 and below 1"),
    "seconds": (["train", "lm", "text.txt", "--seconds", "-1"], "a number above 0, got '-1'"),
    "cell": (["train", "lm", "text.txt", "--cell", "rnn"], "expected one of"),
    "out": (["train", "lm", "text.txt", "--out", "."], "cannot be written"),
    "option": (["train", "lm", "text.txt", "--wide", "3"], "unrecognized arguments: --wide"),
    "model": (["generate", "nofile.npz"], "nofile.npz: no such file"),
    "foreign model": (["generate", "text.txt"], "is no readable model"),
    "temperature": (["generate", "model.npz", "--temperature", "-1"], "a number from 0, got '-1'"),
    "top k": (["generate", "model.npz", "--top-k", "0"], "a whole number from 1, got '0'"),
    "steps": (["generate", "model.npz", "--steps", "1.5"], "a whole number from 0, got '1.5'"),
    "unknown cell": (["draw", "lstn"], "expected one of gru, lstm"),
    "level": (["draw", "lstm", "--level", "gates"], "invalid choice: 'gates'"),
    "step": (["draw", "lstm", "--steps", "0"], "a whole number from 1, got '0'"),
    "demo's text": (["demo", "--text", "nofile.txt"], "nofile.txt: no such text file"),
    "demo's folder": (["demo", "--out", "text.txt"], "text.txt"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line_and_code_2(name, folder):
    args, message = WRONG[name]
    assert message in refused(run(*args, cwd=folder))


def test_a_truncated_model_file(trained, folder):
    whole = (folder / "model.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    message = refused(run("generate", "cut.npz", cwd=folder))
    assert "'cut.npz' is no readable model of unspool" in message


# Training and writing -----------------------------------------------------------------------------


def test_train_lm_reports_and_writes(trained, folder):
    assert trained.returncode == 0, trained.stderr
    out = trained.stdout
    assert "vocabulary  18 tokens" in out
    rows = dict(re.findall(r"^  (\S.*?)  +([\d.]+)$", out, re.M))
    unigram, bigram = float(rows["unigram"]), float(rows["bigram, Witten-Bell"])
    (lstm,) = (float(rows[name]) for name in rows if name.startswith("LSTM, after"))
    assert lstm < bigram < unigram
    model, vocabulary, *_ = load_model(folder / "model.npz")
    assert model.vocab_size == len(vocabulary) == 18
    with open(folder / "loss.csv", newline="") as file:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    for part in ("loss", "perplexity", "tokens/s", "epoch 1/20"):
        assert part in trained.stderr


def test_the_printed_perplexities_are_those_of_the_models(trained, folder):
    texts = prepare((folder / "text.txt").read_text(), "word", 2, False, 0.1)
    model, vocabulary, *_ = load_model(folder / "model.npz")
    assert vocabulary.tokens == texts.vocabulary.tokens
    ids = texts.held_out
    loss = model.stream_loss(ids, ignore=vocabulary.start)[0].item()
    printed = re.search(r"LSTM, after .* ([\d.]+)$", trained.stdout, re.M)[1]
    assert float(printed) == pytest.approx(np.exp(loss), abs=0.06)
    joined = np.concatenate([texts.train, texts.development, ids])
    everything = (folder / "text.txt").read_text()
    assert vocabulary.decode(joined) == everything


def test_generate(trained, folder):
    options = ["--prompt", "All the cats", "--steps", 12, "--seed", 3]
    first = run("generate", "model.npz", *options, cwd=folder)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("All the cats ")
    assert first.stderr == ""
    assert run("generate", "model.npz", *options, cwd=folder).stdout == first.stdout
    greedy = ["--prompt", "All the cats", "--steps", 1, "--temperature", 0]
    assert run("generate", "model.npz", *greedy, cwd=folder).stdout == "All the cats purr\n"
    several = run("generate", "model.npz", "--count", 3, "--steps", 5, cwd=folder)
    assert several.stdout.count("\n---\n") == 2
    unknown = run("generate", "model.npz", "--prompt", "All unicorns", cwd=folder)
    assert unknown.returncode == 0
    assert "not in the vocabulary" in unknown.stderr


def test_characters_and_stacks(folder):
    options = ["--level", "character", "--minimum-count", 1, "--cell", "GRU", "--layers", 2]
    options += ["--untied", "--width", 12, "--epochs", 1, "--out", "folder/c.npz"]
    result = run("train", "lm", "text.txt", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "bits per character" in result.stdout
    written = run("generate", "folder/c.npz", "--prompt", "All", "--steps", 20, cwd=folder)
    assert written.returncode == 0
    assert written.stdout.startswith("All")


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_exits_130_with_the_last_good_model_on_disk(folder):
    options = ["--width", "24", "--epochs", "100000", "--out", "stopped.npz"]
    process = subprocess.Popen(
        [sys.executable, "-m", "unspool", "train", "lm", "text.txt", *options],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        limit = time.monotonic() + 60
        while not (folder / "stopped.npz").exists() and time.monotonic() < limit:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the last good model is in stopped.npz" in err
    model, *_ = load_model(folder / "stopped.npz")
    assert model.generate([1], 3, rng=0).shape == (3,)
    assert not list(folder.glob(".stopped*"))


@pytest.mark.skipif(os.name != "posix", reason="pipes as the shell's")
def test_a_reader_that_leaves_is_no_error(folder, trained):
    command = f"{sys.executable} -m unspool generate model.npz --count 400 | head -n 1"
    result = subprocess.run(
        command, shell=True, cwd=folder, env=ENVIRONMENT, capture_output=True, encoding="utf-8"
    )
    assert result.stderr == ""


def test_a_terminal_without_curly_quotes(folder, trained):
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "unspool"]
    options = {"cwd": folder, "env": environment, "capture_output": True}
    prompt = ["--prompt", '"All', "--steps", "2", "--temperature", "0"]
    result = subprocess.run([*command, "generate", "model.npz", *prompt], **options)
    assert result.returncode == 0, result.stderr
    result = subprocess.run([*command, "draw", "lstm"], **options)
    assert "σ" in result.stdout.decode("utf-8")  # DOT is UTF-8 everywhere


# Drawing and the demo -----------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["cell", "gate", "op"])
def test_draw_prints_dot(level, tmp_path):
    result = run("draw", "lstm", "--steps", 2, "--level", level, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("digraph")
    assert result.stdout == run("draw", "LSTM", "--steps", 2, "--level", level, cwd=tmp_path).stdout


@renders
@pytest.mark.parametrize("fold", [[], ["--fold"]])
def test_draw_writes_a_picture(fold, tmp_path):
    result = run("draw", "gru", "--level", "gate", *fold, "--out", "gru.svg", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "<svg" in (tmp_path / "gru.svg").read_text(encoding="utf-8")


def test_draw_refuses_an_unknown_kind_of_file(tmp_path):
    assert "lstm.xyz" in refused(run("draw", "lstm", "--out", "lstm.xyz", cwd=tmp_path))


def test_every_cell_of_the_command_line_is_one_of_the_package():
    assert {"elman", "lstm", "gru"} <= set(CELLS)


@renders
def test_the_demo_in_small(tmp_path):
    """Everything that the demo does, in seconds: a narrow model, one pass over the manual."""
    result = run("demo", "--width", 16, "--epochs", 1, "--seconds", 20, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    out = result.stdout
    rows = dict(re.findall(r"^  (\S.*?)  +([\d.]+)$", out, re.M))
    assert float(rows["bigram, Witten-Bell"]) < float(rows["unigram"])
    before = float(rows["LSTM, before training"])
    (after,) = (float(rows[name]) for name in rows if name.startswith("LSTM, after"))
    assert after < before / 4
    assert out.index("written before training") < out.index("written after training")
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {"model.npz", "loss.csv", "op.svg", "cell.svg", "folded.svg"}
    for name in names:
        if name.endswith(".svg"):
            assert "<svg" in (tmp_path / "demo" / name).read_text(encoding="utf-8")
    load_model(tmp_path / "demo" / "model.npz")
