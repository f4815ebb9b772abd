"""The command line, run as a user runs it: in a folder of its own, in a process of its own."""

from __future__ import annotations

import ast
import csv
import importlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import unspool
from helpers import needs_graphviz, posix
from unspool.__main__ import main, parser
from unspool.cells import load_npz
from unspool.cli.data import split_text
from unspool.cli.options import CELLS, Tokens
from unspool.cli.signature import parse
from unspool.models import load_model, save_model
from unspool.models.text.baselines import NGram

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "90"}


def run(*args, cwd, input=""):
    """The command line in this process, which is faster than in one of its own."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setenv("COLUMNS", ENVIRONMENT["COLUMNS"])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        try:
            code = main([*map(str, args)])
        except SystemExit as end:
            code = end.code
    texts = []
    for stream in streams:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    return subprocess.CompletedProcess(args, code, *texts)


def run_process(*args, cwd):
    return subprocess.run(
        [sys.executable, "-m", "unspool", *map(str, args)],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def here():
    return run


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
    words = {"pos": ["good", "great", "lovely"], "neg": ["bad", "awful", "dull"]}
    reviews = [
        f"{label}\tThe {rng.choice(['film', 'plot'])} was {rng.choice(words[label])}, they said."
        for label in ("pos", "neg") * 60
    ]
    (folder / "reviews.tsv").write_text("\n".join(reviews), encoding="utf-8")
    (folder / "one.tsv").write_text("pos\tgood\n" * 30)
    (folder / "same.tsv").write_text("a\tX\n\n" * 30)
    (folder / "bare.tsv").write_text("pos\tgood\nbad\n")
    kinds = {"the": "DET", "a": "DET", "cat": "NOUN", "dog": "NOUN", "sees": "VERB", "is": "VERB"}
    sentences = [
        [rng.choice(["the", "a"]), rng.choice(["cat", "dog"]), rng.choice(["sees", "is"])]
        for _ in range(80)
    ]
    tagged = [[f"{w}\t{kinds[w]}\t{'I' if w == 'cat' else 'O'}" for w in s] for s in sentences]
    (folder / "tagged.tsv").write_text("\n\n".join(map("\n".join, tagged)))
    spans = [
        "\n".join(f"{w}\t{kinds[w]}\t{t}" for w, t in zip(s, ("B-NP", "I-NP", "O"), strict=True))
        for s in sentences
    ]
    (folder / "spans.tsv").write_text("\n\n".join(spans))
    (folder / "vectors.txt").write_text("good 1 0 0\nbad -1 0 0\nfilm 0 1 0.5\n")
    for label, lines in words.items():
        (folder / "lines").mkdir(exist_ok=True)
        (folder / "lines" / f"{label}.txt").write_text("\n".join(lines * 12))
        (folder / "texts" / label).mkdir(parents=True)
        for i, word in enumerate(lines * 12):
            (folder / "texts" / label / f"{i}.txt").write_text(f"{word}\nindeed")
    return folder


LM = ["train", "lm", "text.txt", "--out", "lm", "--width", 24, "--batch", 8, "--steps", 12]


@pytest.fixture(scope="module")
def trained(folder):
    """What ``train lm`` printed; the model is in the folder lm."""
    return run(*LM, "--epochs", 20, cwd=folder)


NETWORK = ["--width", 12, "--embedding", 8, "--lr", 0.03, "--dropout", 0.1, "--epochs", 12]


@pytest.fixture(scope="module")
def classifier(folder):
    return run("train", "classifier", "reviews.tsv", "--out", "reviews", *NETWORK, cwd=folder)


@pytest.fixture(scope="module")
def tagger(folder):
    files = ["tagged.tsv", "--dev", "tagged.tsv", "--test", "tagged.tsv"]
    return run("train", "tagger", *files, "--out", "upos", *NETWORK, cwd=folder)


# Help and wrong input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["train"],
        ["train", "lm"],
        ["train", "classifier"],
        ["train", "tagger"],
        ["evaluate"],
        ["predict"],
        ["generate"],
        ["draw"],
    ],
)
def test_help_has_examples(command, tmp_path):
    result = run(*command, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr == ""
    assert re.search(r"examples?:\n  unspool ", result.stdout)


def parsers(parser):
    """A parser and all below it."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action.choices, dict):
            found += [each for below in action.choices.values() for each in parsers(below)]
    return found


def options(parser):
    """The arguments of a command: all but --help, --version and the commands below it."""
    return [
        action
        for action in parser._actions
        if action.dest not in ("help", "version") and not isinstance(action.choices, dict)
    ]


COMMANDS_BY_NAME = {each.prog.removeprefix("unspool").strip(): each for each in parsers(parser())}


def test_every_example_of_the_help_is_a_valid_command():
    found = 0
    for each in COMMANDS_BY_NAME.values():
        for line in each.epilog.splitlines():
            if "unspool " in line:
                line = line.partition("| ")[2] or line
                words = re.findall(r'"[^"]*"|\'[^\']*\'|\S+', re.split(r" > ", line)[0])
                parse(parser(), [word.strip("\"'") for word in words[1:]])
                found += 1
    assert found >= 30


QUANTITY = re.compile(
    r"^(Number of|Seconds|Fraction of|Probability (of|mass)|Index of|Indices of|Lengths, in "
    r"letters|Largest norm|Initial learning rate|Seed of|Temperature of)"
)


@pytest.mark.parametrize("name", COMMANDS_BY_NAME)
def test_every_option_has_a_sentence_a_unit_and_a_default(name):
    for action in options(COMMANDS_BY_NAME[name]):
        sentence, *defaults = action.help.split(" (default: ")
        option = f"{name} {action.option_strings or action.dest}"
        assert re.match(r"[A-Z].* ", sentence), option
        assert not sentence.endswith((".", ",", " ")), option
        required = bool(action.required)
        assert len(defaults) == (0 if required else 1), option
        if action.metavar in ("N", "X"):  # a number says of what
            assert QUANTITY.match(sentence), option


@pytest.mark.parametrize("name", COMMANDS_BY_NAME)
def test_a_default_stands_once(name):
    """In the signature; the docstring says what no value means, and nothing else."""
    for action in options(COMMANDS_BY_NAME[name]):
        if action.required:
            continue
        *_, text = action.help.split(" (default: ")
        if action.default not in (None, "", ()):
            shown = action.default
            if isinstance(shown, bool):
                shown = action.option_strings[0 if shown else 1]
            elif isinstance(shown, (list, tuple)):
                shown = " ".join(map(str, shown))
            elif isinstance(shown, float):
                shown = f"{shown:g}"
            assert text == f"{shown})", action.dest


def test_an_option_takes_the_same_form_in_every_command():
    forms = {}
    for each in COMMANDS_BY_NAME.values():
        for action in options(each):
            for flag in action.option_strings:
                forms.setdefault(flag, set()).add((type(action), action.nargs, action.metavar))
    several = [flag for flag, form in forms.items() if len(form) > 1]
    assert several == ["--level"]  # of tokens; of draw, the level of detail
    assert [
        f for f in forms if f.startswith("--no-") and f.replace("no-", "", 1) not in forms
    ] == []


@pytest.mark.parametrize("name", COMMANDS_BY_NAME)
def test_the_help_fits_a_terminal(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for line in COMMANDS_BY_NAME[name].format_help().splitlines():
        assert len(line) <= 80, line


def test_version(tmp_path):
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert 'version = { attr = "unspool.__version__" }' in project
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
    "folder": (["train", "lm", "."], "is a folder, expected a text file"),
    "width": (["train", "lm", "text.txt", "--width", "0"], "an integer >= 1, got '0'"),
    "dropout": (["train", "lm", "text.txt", "--dropout", "1"], "a number >= 0 and < 1, got '1'"),
    "rate": (["train", "lm", "text.txt", "--lr", "nan"], "a number > 0, got 'nan'"),
    "held out": (["train", "lm", "text.txt", "--held-out", "1.5"], "a number > 0 and < 1, got"),
    "seconds": (["train", "lm", "text.txt", "--seconds", "-1"], "a number > 0, got '-1'"),
    "cell": (["train", "lm", "text.txt", "--model", "rnn"], "expected one of"),
    "network": (
        ["train", "tagger", "tagged.tsv", "--model", "bag"],
        "or bi and a cell as in bilstm",
    ),
    "out": (["train", "lm", "text.txt", "--out", "text.txt"], "text.txt: cannot be written"),
    "out below a file": (["train", "lm", "text.txt", "--out", "text.txt/a"], "cannot be written"),
    "one class": (["train", "classifier", "one.tsv"], "two labels or more, got only"),
    "no label": (["train", "classifier", "bare.tsv"], "bare.tsv, line 2: expected a label"),
    "no folder": (["train", "classifier", "nowhere/"], "no such text file"),
    "no tags": (["train", "tagger", "text.txt"], "text.txt, line 1: there is no column 1"),
    "no column": (["train", "tagger", "tagged.tsv", "--label-column", "7"], "there is no column 7"),
    "one tag": (["train", "tagger", "same.tsv"], "two labels or more, got only"),
    "constraints": (
        ["train", "tagger", "tagged.tsv", "--constraints", "BIO"],
        "a label of BIO is O, or one of",
    ),
    "other labels": (
        ["train", "classifier", "reviews.tsv", "--test", "tagged.tsv"],
        "label must be one of",
    ),
    "vectors": (["train", "classifier", "reviews.tsv", "--vectors", "none.txt"], "no such file"),
    "vectors' width": (
        ["train", "classifier", "reviews.tsv", "--vectors", "vectors.txt"],
        "its vectors are 3 wide, the embedding 100; give --embedding 3",
    ),
    "foreign vectors": (
        ["train", "classifier", "reviews.tsv", "--vectors", "reviews.tsv"],
        "reviews.tsv: it has no vector for any word of the texts",
    ),
    "option": (["train", "lm", "text.txt", "--wide", "3"], "unrecognized arguments: --wide"),
    "model": (["generate", "nofile.npz"], "nofile.npz: no such file"),
    "foreign model": (["generate", "text.txt"], "is no readable model"),
    "empty folder": (["generate", "lines"], "lines/model.npz: no such file"),
    "evaluate what": (["evaluate", "lm"], "arguments are required: FILE"),
    "predict by what": (["predict"], "arguments are required: MODEL"),
    "top p": (["generate", "model.npz", "--top-p", "2"], "a number > 0 and <= 1, got"),
    "temperature": (["generate", "model.npz", "--temperature", "-1"], "a number >= 0, got '-1'"),
    "top k": (["generate", "model.npz", "--top-k", "0"], "an integer >= 1, got '0'"),
    "steps": (["generate", "model.npz", "--steps", "1.5"], "an integer >= 0, got '1.5'"),
    "unknown cell": (["draw", "lstn"], "expected one of gru, lstm"),
    "tokens": (
        ["train", "lm", "a", "--level", "re:["],
        "level 're:[' is no valid regular expression",
    ),
    "no level": (
        ["train", "lm", "a", "--level", "syllable"],
        "level must be one of word, character",
    ),
    "share": (["generate", "m", "--top-p", 1.5], "expected a number > 0 and <= 1, got '1.5'"),
    "no share": (["generate", "m", "--top-p", 0], "expected a number > 0 and <= 1, got '0'"),
    "level": (["draw", "lstm", "--level", "gates"], "invalid choice: 'gates'"),
    "step": (["draw", "lstm", "--steps", "0"], "an integer >= 1, got '0'"),
    "demo's text": (["demo", "--text", "nofile.txt"], "nofile.txt: no such text file"),
    "demo's folder": (["demo", "--out", "text.txt"], "text.txt"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line_and_code_2(name, folder, here):
    args, message = WRONG[name]
    assert message in refused(here(*args, cwd=folder))


def test_wrong_input_of_a_process(folder):
    assert "nofile.txt: no such text file" in refused(
        run_process("train", "lm", "nofile.txt", cwd=folder)
    )
    assert "invalid choice: 'paint'" in refused(run_process("paint", cwd=folder))


def test_files_on_both_sides_of_an_option():
    args = parse(parser(), ["train", "lm", "a.txt", "--out", "x", "b.txt", "c.txt"])
    assert args.files == [Path("a.txt"), Path("b.txt"), Path("c.txt")]
    args = parse(parser(), ["predict", "upos", "--tokenize", "a.txt"])
    assert args.files == [Path("a.txt")]


@pytest.mark.parametrize("command", [["draw", "lstm", "x"], ["predict", "m", "a", "--x"]])
def test_what_is_no_file(command, capsys):
    with pytest.raises(SystemExit) as end:
        parse(parser(), command)
    assert end.value.code == 2
    assert f"unrecognized arguments: {command[-1]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train lm a.txt --cell gru", ["train lm: unrecognized", "did you mean --model?"]),
        ("train lm a.txt --batch-size=3", ["did you mean --batch?"]),
        ("train classifier a.tsv --epoch-s 3", ["did you mean --epochs?"]),
        ("generate lm --learning-rate 3", ["generate: unrecognized arguments: --learning-rate 3;"]),
    ],
)
def test_the_option_that_was_meant(command, words, capsys):
    with pytest.raises(SystemExit):
        main(command.split())
    error = capsys.readouterr().err
    for word in words:
        assert word in error, error


def test_a_training_that_has_no_model_yet_says_so(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert main(["predict", str(tmp_path), "a"]) == 2
    assert "stopped before its first model; the same command" in capsys.readouterr().err


def test_a_truncated_model_file(trained, folder):
    whole = (folder / "lm" / "model.npz").read_bytes()
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
    model, vocabulary, *_ = load_model(folder / "lm" / "model.npz")
    assert model.vocab_size == len(vocabulary) == 18
    names = {path.name for path in (folder / "lm").iterdir()}
    assert names == {"config.json", "checkpoint.npz", "model.npz", "history.csv"}
    with open(folder / "lm" / "history.csv", newline="") as file:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]
    for part in ("loss", "perplexity", "tokens/s", "epoch 1/20"):
        assert part in trained.stderr


def test_the_printed_perplexities_are_those_of_the_models(trained, folder):
    texts = split_text((folder / "text.txt").read_text(), Tokens(lower=False), 0.1)
    model, vocabulary, *_ = load_model(folder / "lm" / "model.npz")
    assert vocabulary.tokens == texts.vocabulary.tokens
    ids = texts.held_out
    loss = model.stream_loss(ids, ignore=vocabulary.start)[0].item()
    printed = re.search(r"LSTM, after .* ([\d.]+)$", trained.stdout, re.M)[1]
    assert float(printed) == pytest.approx(np.exp(loss), abs=0.06)
    predicted = len(ids) - 1 - int((ids[1:] == vocabulary.start).sum())
    assert f"perplexity on {predicted} of the tokens held out: the first, and <s>" in trained.stdout
    bigram = NGram(texts.train, len(vocabulary), 2, vocabulary.start)
    figures = re.search(r"on has ([\d.]+) there and ([\d.]+) here$", trained.stdout, re.M).groups()
    wanted = [bigram.perplexity(part) for part in (texts.development, ids)]
    assert list(map(float, figures)) == pytest.approx(wanted, abs=0.06)
    joined = np.concatenate([texts.train, texts.development, ids])
    everything = (folder / "text.txt").read_text()
    assert vocabulary.decode(joined) == everything


def test_generate(trained, folder):
    options = ["--prompt", "All the cats", "--steps", 12, "--seed", 3]
    first = run("generate", "lm", *options, cwd=folder)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("All the cats ")
    assert first.stderr == ""
    assert run("generate", "lm", *options, cwd=folder).stdout == first.stdout
    greedy = ["--prompt", "All the cats", "--steps", 1, "--temperature", 0]
    assert run("generate", "lm", *greedy, cwd=folder).stdout == "All the cats purr\n"
    several = run("generate", "lm", "--count", 3, "--steps", 5, cwd=folder)
    assert several.stdout.count("\n---\n") == 2
    unknown = run("generate", "lm", "--prompt", "All unicorns", cwd=folder)
    assert unknown.returncode == 0
    assert "not in the vocabulary" in unknown.stderr


def test_characters_and_stacks(folder):
    options = ["--level", "character", "--minimum-count", 1, "--model", "GRU", "--layers", 2]
    options += ["--no-tied", "--width", 12, "--epochs", 1, "--out", "folder/c"]
    result = run("train", "lm", "text.txt", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "bits per character" in result.stdout
    written = run("generate", "folder/c", "--prompt", "All", "--steps", 20, cwd=folder)
    assert written.returncode == 0
    assert written.stdout.startswith("All")


# Classifiers and taggers ------------------------------------------------------------------------


def test_train_classifier(classifier, folder):
    assert classifier.returncode == 0, classifier.stderr
    assert "classifier  108 to learn from, 12 to develop on; 2 labels" in classifier.stdout
    assert re.search(r"development part: loss 0\.\d+, accuracy 1\.0000", classifier.stdout)
    assert re.search(r"^mean +100\.00  100\.00  100\.00 +12$", classifier.stdout, re.M)
    saved = load_model(folder / "reviews" / "model.npz")
    assert saved.labels.names == ("neg", "pos")
    assert saved.vocabulary.lower
    (folder / "new.txt").write_text("A lovely film!\n\nawful, they said\n")
    result = run("predict", "reviews", "new.txt", cwd=folder)
    assert result.stdout == "pos\tA lovely film!\nneg\tawful, they said\n"
    piped = run("predict", "reviews/model.npz", cwd=folder, input="A lovely film!\n")
    assert piped.stdout == "pos\tA lovely film!\n"
    result = run("evaluate", "reviews", "reviews.tsv", cwd=folder)
    assert "accuracy 1.0000" in result.stdout
    (folder / "again.tsv").write_text("pos\tgood\npos\tawful\nneg\tbad\nneg\tdull\n")
    result = run("evaluate", "reviews", "again.tsv", cwd=folder)
    assert "accuracy 0.7500" in result.stdout
    assert re.search(r"^neg +66\.67  100\.00 +80\.00 +2$", result.stdout, re.M)
    assert re.search(r"^pos +100\.00 +50\.00 +66\.67 +2$", result.stdout, re.M)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["bag", "cnn", "elman", "gru", "bigru"])
@pytest.mark.parametrize("data", ["lines", "texts"])
def test_every_model_and_form_of_data(model, data, folder, here):
    options = ["--model", model, "--out", f"{data}_{model}", "--minimum-count", 1, *NETWORK]
    result = here("train", "classifier", data, *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "classifier  65 to learn from, 7 to develop on" in result.stdout
    assert here("predict", f"{data}_{model}", cwd=folder, input="lovely").stdout == "pos\tlovely\n"


def test_tokens_of_a_regular_expression(folder, here):
    options = ["--level", "re:[a-z]+", "--minimum-count", 1, "--epochs", 1, "--out", "matches"]
    result = here("train", "classifier", "reviews.tsv", *options, *NETWORK[:4], cwd=folder)
    assert result.returncode == 0, result.stderr
    saved = load_model(folder / "matches" / "model.npz")
    assert saved.vocabulary.level == "re:[a-z]+"
    assert len(here("predict", "matches", cwd=folder, input="good\nbad!").stdout.splitlines()) == 2
    message = refused(here("predict", "matches", cwd=folder, input="good\n12 !\n"))
    assert "there is no token (--level re:[a-z]+) in the text '12 !'; leave it out" in message


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_label_may_be_held_out(seed, tmp_path, here):
    rare = [f"{name}\tword" for name in "cdefgh"]
    (tmp_path / "r.tsv").write_text("\n".join(["a\tgood", "b\tbad"] * 5 + rare))
    options = ["--held-out", 0.5, "--epochs", 1, "--seed", seed, "--model", "bag", "--out", "r"]
    result = here("train", "classifier", "r.tsv", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "8 to learn from, 8 to develop on; 8 labels" in result.stdout
    assert load_model(tmp_path / "r" / "model.npz").labels.names == tuple("abcdefgh")


def test_a_file_is_one_text(classifier, folder, here):
    (folder / "long.txt").write_text("A lovely\n\nplot,\nindeed lovely.\n")
    (folder / "short.txt").write_text("dull")
    for files in (["--whole", "long.txt", "short.txt"], ["long.txt", "--whole", "short.txt"]):
        result = here("predict", "reviews", *files, cwd=folder)
        assert result.stdout == "pos\tlong.txt\nneg\tshort.txt\n"
    result = here("predict", "reviews", "--whole", cwd=folder, input="A dull\nfilm.")
    assert result.stdout == "neg\tstandard input\n"


def test_columns_of_a_table(folder, here):
    """Text and label in another order, below a line of names."""
    rows = [line.split("\t") for line in (folder / "reviews.tsv").read_text().splitlines()]
    table = [
        ["id", "review", "opinion"],
        *([i, text, label] for i, (label, text) in enumerate(rows)),
    ]
    with open(folder / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows(table)
    options = [*NETWORK, "--model", "bag", "--epochs", 2, "--out"]
    plain = here("train", "classifier", "reviews.tsv", *options, "plain", cwd=folder)
    options = ["--label-column", 2, "--text-column", 1, "--header", *options]
    result = here("train", "classifier", "table.csv", *options, "table", cwd=folder)
    assert result.stdout.replace("table", "plain") == plain.stdout
    assert load_model(folder / "table" / "model.npz").notes == {
        "label": 2,
        "text": 1,
        "header": True,
    }
    figures = here("evaluate", "table", "table.csv", cwd=folder).stdout
    assert figures == here("evaluate", "plain", "reviews.tsv", cwd=folder).stdout
    message = refused(here("train", "classifier", "table.csv", "--label-column", 1, cwd=folder))
    assert "or two columns from 0 on" in message


def test_the_wrong_column_is_noticed(tmp_path, here):
    """Where each label stands once they are texts."""
    lines = [f"text number {i}\tgood" for i in range(30)]
    (tmp_path / "swapped.tsv").write_text("\n".join(lines))
    options = ["--epochs", 1, "--width", 2, "--embedding", 2]
    result = here("train", "classifier", "swapped.tsv", *options, cwd=tmp_path)
    assert (
        "30 different labels among 27: are they in another column? (--label-column)\n"
        in result.stderr
    )


def test_vectors_letters_and_last_states(folder, here):
    options = ["--vectors", "vectors.txt", "--embedding", 3, "--frozen", "--epochs", 1]
    options += ["--model", "lstm", "--pooling", "last", "--layers", 2, "--out", "frozen"]
    result = here("train", "classifier", "reviews.tsv", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    saved = load_model(folder / "frozen" / "model.npz")
    E = saved.model.embedding.E.data
    np.testing.assert_array_equal(E[saved.vocabulary.ids["good"]], [1, 0, 0])
    share = len({"good", "bad", "film"} & {*saved.vocabulary.tokens}) / len(saved.vocabulary)
    assert f"\nvectors     for {share:.1%} of the vocabulary\n" in f"\n{result.stdout}"
    options = ["--level", "character", "--minimum-count", 1, "--epochs", 1, "--out", "letters"]
    assert here("train", "classifier", "lines", *options, cwd=folder).returncode == 0
    assert len(load_model(folder / "letters" / "model.npz").vocabulary) < 30


def test_train_tagger(tagger, folder):
    assert tagger.returncode == 0, tagger.stderr
    assert "tagger      80 to learn from, 80 to develop on; 3 labels" in tagger.stdout
    for part in ("development part", "test part"):
        assert re.search(rf"{part}: loss 0\.\d+, accuracy 1\.0000", tagger.stdout)
    result = run("predict", "upos", "tagged.tsv", cwd=folder)
    expected = [line.split("\t")[:2] for line in (folder / "tagged.tsv").read_text().split("\n")]
    assert [line.split("\t") for line in result.stdout.split("\n")][:240] == expected[:240]
    result = run("predict", "upos", "--tokenize", cwd=folder, input="the dog is\n\na cat\n")
    assert result.stdout == "the\tDET\ndog\tNOUN\nis\tVERB\n\na\tDET\ncat\tNOUN\n\n"
    assert result.stderr == ""
    result = run("predict", "upos", cwd=folder, input="the dog is\n\na cat\n")
    assert len(result.stdout.split("\n")) == 5
    wanted = "unspool: the line 'the dog is' has spaces and is read as one word; give --tokenize"
    assert result.stderr == f"{wanted} for plain text\n"
    assert "accuracy 1.0000" in run("evaluate", "upos", "tagged.tsv", cwd=folder).stdout
    assert re.search(r"the model has its parameters of epoch \d+, the best by val", tagger.stderr)


def test_labels_that_were_not_learnt_are_errors(classifier, folder):
    """Named once, counted as wrong; where nothing else is there it is the wrong file."""
    (folder / "more.tsv").write_text("pos\tlovely\nneg\tdull\nfair\tplain\nsad\tplain\n")
    result = run_process("evaluate", "reviews", "more.tsv", cwd=folder)
    assert result.returncode == 0
    assert (
        result.stderr == "unspool: 'fair', 'sad': not in the training data, and counted as errors\n"
    )
    assert "classifier: loss inf, accuracy 0.5000" in result.stdout
    assert re.search(r"^fair +0\.00 +0\.00 +0\.00 +1$", result.stdout, re.M)
    assert re.search(r"^pos .* 100\.00 .* 1$", result.stdout, re.M)
    (folder / "new.tsv").write_text("the\tDET\ncat\tNOUN\nhm\tINTJ\n")
    options = ["--test", "new.tsv", *NETWORK[:4], "--epochs", 1, "--out", "new"]
    result = run_process("train", "tagger", "tagged.tsv", *options, cwd=folder)
    assert "unspool: 'INTJ': not in the training data, and counted as errors\n" in result.stderr
    assert re.search(r"^test part: loss inf, ", result.stdout, re.M)
    assert "INTJ" not in load_model(folder / "new" / "model.npz").labels.names
    # The development part's labels are known, so that there is a loss to choose the best pass by.
    options = ["--dev", "new.tsv", *NETWORK[:4], "--epochs", 1, "--out", "known"]
    result = run_process("train", "tagger", "tagged.tsv", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "INTJ" in load_model(folder / "known" / "model.npz").labels.names


def test_columns_between_spaces(folder, here):
    text = (folder / "spans.tsv").read_text()
    (folder / "spans.txt").write_text(text.replace("\t", " "))
    options = [
        "--label-column",
        -1,
        "--extra-columns",
        1,
        *NETWORK,
        "--epochs",
        1,
        "--model",
        "elman",
    ]
    tabs = here("train", "tagger", "spans.tsv", *options, "--out", "tabs", cwd=folder)
    options += ["--spaces", "--out", "spaces"]
    spaces = here("train", "tagger", "spans.txt", *options, cwd=folder)
    assert spaces.stdout.replace("spaces", "tabs") == tabs.stdout
    assert (folder / "spaces" / "history.csv").exists()
    figures = [
        here("evaluate", name, f"spans.{suffix}", cwd=folder).stdout
        for name, suffix in (("tabs", "tsv"), ("spaces", "txt"))
    ]
    assert figures[0] == figures[1]
    assert "accuracy" in figures[0]
    lines = "the DET\ndog NOUN\n"
    assert here("predict", "spaces", cwd=folder, input=lines).stdout.startswith("the\tB-NP\ndog\t")
    message = refused(here("evaluate", "tabs", "spans.txt", cwd=folder))
    assert "it has 1 separated by '\\t', and 3 by white space (--spaces): 'the DET" in message


def test_a_tagger_saved_in_python(folder, tagger, here):
    """Its notes may be others than those of the command line."""
    model, _, features, labels, _ = load_model(folder / "upos" / "model.npz")
    for name, notes in (("bare", None), ("noted", {"language": "English"})):
        path = folder / f"{name}.npz"
        save_model(path, model, features=features, labels=labels, notes=notes)
        assert here("evaluate", path, "tagged.tsv", cwd=folder).stdout.startswith("\ntagger: loss")
        assert here("predict", path, cwd=folder, input="the\n").stdout == "the\tDET\n\n"


def test_a_tagger_of_spans_with_a_crf_and_a_further_column(folder):
    options = [
        "--label-column",
        -1,
        "--extra-columns",
        1,
        "--constraints",
        "BIO",
        "--letters",
        4,
        *NETWORK,
    ]
    options += ["--suffixes", "--no-shape", "--model", "gru", "--out", "chunks"]
    result = run("train", "tagger", "spans.tsv", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^NP +100\.00 +100\.00 +100\.00", result.stdout, re.M)
    assert re.search(r"loss \d\.\d{3}, [\d,]+ labels/s; validation loss \d\.\d{3}, ", result.stderr)
    assert "perplexity" not in result.stderr
    assert "f1 1.0000" in result.stderr
    saved = load_model(folder / "chunks" / "model.npz")
    assert saved.notes == {"word": None, "tag": -1, "extra": [1], "separator": "\t"}
    assert saved.features.names == ["word", "extra1", "letter1", "letter2", "letter3", "letter4"]
    result = run("predict", "chunks", cwd=folder, input="a\tDET\ncat\tNOUN\n")
    assert result.stdout == "a\tB-NP\ncat\tI-NP\n\n"
    assert "there is no column 1" in refused(run("predict", "chunks", cwd=folder, input="a\n"))
    message = refused(run("predict", "chunks", "--tokenize", cwd=folder, input="a\n"))
    assert "leave --tokenize out" in message


def test_a_model_for_something_else(trained, classifier, tagger, folder, here):
    message = refused(here("generate", "reviews", cwd=folder))
    assert "reviews: Acceptor is no language model; unspool predict labels texts" in message
    message = refused(here("predict", "lm", "text.txt", cwd=folder))
    assert "it predicts no labels; a language model writes text with unspool generate" in message
    message = refused(here("evaluate", "reviews", "tagged.tsv", cwd=folder))
    assert "label must be one of neg, pos; got 'a'" in message
    message = refused(here("evaluate", "upos", "spans.tsv", "--x", cwd=folder))
    assert "unrecognized arguments: --x" in message
    assert "no column 1" in refused(here("evaluate", "upos", "text.txt", cwd=folder))
    result = here("evaluate", "lm", "text.txt", cwd=folder)
    assert re.search(
        r"loss \d\.\d{4} nats a token, perplexity \d\.\d\d, [\d,]+ tokens", result.stdout
    )


# Going on -----------------------------------------------------------------------------------------


def rows_of(path):
    with open(path, newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")}
            for row in csv.DictReader(file)
        ]


COMMANDS = {
    "lm": ["lm", "text.txt", "--width", 24, "--epochs", 6],
    "classifier": ["classifier", "reviews.tsv", "--batch", 2, *NETWORK, "--epochs", 5],
    "tagger": ["tagger", "tagged.tsv", "--batch", 2, "--crf", *NETWORK, "--epochs", 5],
}


@pytest.mark.slow
@posix
@pytest.mark.parametrize("kind", COMMANDS)
def test_killed_and_begun_again_it_comes_to_the_same_model(kind, folder):
    command = ["train", *COMMANDS[kind], "--every", "0"]
    whole = run(*command, "--out", f"{kind}_whole", cwd=folder)
    assert whole.returncode == 0, whole.stderr
    out = folder / f"{kind}_killed"
    for wait in (0.2, 0.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "unspool", *map(str, command), "--out", out.name],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            limit = time.monotonic() + 60
            while not (out / "checkpoint.npz").exists() and time.monotonic() < limit:
                time.sleep(0.01)
            time.sleep(wait)
        finally:
            process.kill()
            process.wait()
    again = run(*command, "--out", out.name, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "resuming from" in again.stderr
    a, b = load_npz(out / "model.npz"), load_npz(folder / f"{kind}_whole" / "model.npz")
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert rows_of(out / "history.csv") == rows_of(folder / f"{kind}_whole" / "history.csv")
    assert not list(out.glob(".*"))

    def figures(result):
        return [line for line in result.stdout.split("\n") if "s of training" not in line][:-2]

    assert figures(again) == figures(whole)


# The commands of the folders in data/trainings_version_1.zip, with today's names of the options:
# then they were --untied, --columns 1 0, --keep-case, --column, --extra, --no-shape, --other.
VERSION_1 = {
    "lm": "text.txt --no-tied --width 4 --batch 4 --steps 6 --minimum-count 1",
    "classifier": "reviews.tsv --label-column 1 --text-column 0 --no-lower --model bigru "
    "--embedding 4 --width 4 --minimum-count 1 --batch 8",
    "tagger": "spans.tsv --label-column -1 --extra-columns 1 --no-lower --no-shape --suffixes 2 "
    "--feature-embedding 3 --model gru --embedding 4 --width 4 --crf --batch 8",
}


@pytest.mark.parametrize("kind", VERSION_1)
def test_a_folder_of_version_1_is_resumed(kind, tmp_path):
    """Killed after two of four epochs with the first version, whose whole run is beside it."""
    shutil.unpack_archive(Path(__file__).parent / "data" / "trainings_version_1.zip", tmp_path)
    options = VERSION_1[kind].split()
    refusal = refused(run("train", kind, *options, "--seed", 1, "--out", kind, cwd=tmp_path))
    assert f"{kind}: another training is in this folder: seed was 0, now 1. Give" in refusal
    result = run("train", kind, *options, "--epochs", 4, "--out", kind, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "resuming from" in result.stderr
    found, wanted = (
        rows_of(tmp_path / kind / "history.csv"),
        rows_of(tmp_path / f"{kind}_whole.csv"),
    )
    assert len(found) == len(wanted) == 4
    for row, other in zip(found, wanted, strict=True):
        assert row.keys() == other.keys()
        for name, value in row.items():
            assert float(value) == pytest.approx(float(other[name]), rel=1e-3), name
    assert '"version": 2' in (tmp_path / kind / "config.json").read_text()
    assert run("evaluate", kind, options[0], cwd=tmp_path).returncode == 0


def test_what_a_killed_training_left_is_removed(folder, classifier):
    """Also what it left of its first model, when there is no model yet."""
    shutil.copytree(folder / "reviews", folder / "left")
    (folder / "left" / "model.npz").rename(folder / "left" / ".model.npz.abc.part")
    command = ["train", "classifier", "reviews.tsv", "--out", "left", *NETWORK]
    assert run(*command, cwd=folder).returncode == 0
    names = {path.name for path in (folder / "left").iterdir()}
    assert names == {"config.json", "checkpoint.npz", "model.npz", "history.csv"}


def test_a_folder_of_a_later_version(folder, classifier):
    shutil.copytree(folder / "reviews", folder / "later")
    config = folder / "later" / "config.json"
    config.write_text(config.read_text().replace('"version": 2', '"version": 3'))
    command = ["train", "classifier", "reviews.tsv", "--out", "later", *NETWORK]
    message = refused(run(*command, cwd=folder))
    assert "config.json: version 3 of the format, and this unspool reads up to 2" in message


def test_another_configuration_is_refused_and_restart_begins_anew(folder, classifier):
    assert classifier.returncode == 0
    shutil.copytree(folder / "reviews", folder / "mine")
    before = (folder / "mine" / "checkpoint.npz").read_bytes()
    command = ["train", "classifier", "reviews.tsv", "--out", "mine", *NETWORK]
    message = refused(run(*command, "--lr", 0.5, "--model", "bag", cwd=folder))
    for part in (
        "mine: another training is in this folder: ",
        "lr was 0.03, now 0.5",
        "model was bilstm, now bag",
        "--restart to begin anew",
    ):
        assert part in message
    message = refused(run("train", "lm", "text.txt", "--out", "mine", cwd=folder))
    assert "kind was classifier, now lm" in message
    assert re.search(r"; and \d+ more\. Give the options", message)
    data = (folder / "reviews.tsv").read_text()
    (folder / "longer").mkdir()
    (folder / "longer" / "reviews.tsv").write_text(data + "\npos\tgood\n")
    message = refused(run(*[*command[:2], "longer/reviews.tsv", *command[3:]], cwd=folder))
    assert re.search(r"files was \['reviews.tsv \(.*\)'\], now \['reviews.tsv", message)
    assert (folder / "mine" / "checkpoint.npz").read_bytes() == before
    longer = run(*command[:-1], 13, "--patience", 30, cwd=folder)
    assert "resuming from" in longer.stderr
    assert "epoch 13/13" in longer.stderr
    anew = run(*command, "--lr", 0.5, "--restart", "--epochs", 1, cwd=folder)
    assert anew.returncode == 0, anew.stderr
    assert "going on" not in anew.stderr
    assert len(rows_of(folder / "mine" / "history.csv")) == 1


def test_a_folder_of_something_else(folder, classifier, here):
    command = ["train", "classifier", "reviews.tsv", *NETWORK, "--epochs", 1, "--out"]
    for name, content, message in [
        ("a", "{", "config.json: damaged"),
        ("b", "[1]", "config.json: not the configuration of a training; give another --out"),
    ]:
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(content)
        assert message in refused(here(*command, name, cwd=folder))
        assert (folder / name / "config.json").read_text() == content
    (folder / "c").mkdir()
    (folder / "c" / "model.npz").write_text("mine")
    assert "model.npz exists, but no config.json that says of which training" in refused(
        here(*command, "c", cwd=folder)
    )
    assert (folder / "c" / "model.npz").read_text() == "mine"
    shutil.copytree(folder / "reviews", folder / "d")
    (folder / "d" / "checkpoint.npz").write_bytes(b"PK nonsense")
    message = refused(here(*command, "d", cwd=folder))
    assert "checkpoint.npz" in message
    assert "Give another --out, or --restart to begin anew" in message


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from unspool.__main__ import main
sys.exit(main())
"""


@pytest.mark.slow
@posix
def test_a_full_disk(folder):
    """Checkpoints fail and training goes on; a model that cannot be written is an error."""
    command = ["train", "classifier", "reviews.tsv", *NETWORK, "--epochs", 2, "--out"]
    size = 20_000  # the model fits in, the checkpoint, four times as much, does not
    results = [
        subprocess.run(
            [sys.executable, "-c", LIMITED, *map(str, [limit, *command, f"full_{limit}"])],
            cwd=folder,
            env=ENVIRONMENT,
            capture_output=True,
            encoding="utf-8",
            timeout=100,
        )
        for limit in (size, 2000)
    ]
    assert results[0].returncode == 0, results[0].stderr
    assert "unspool: fit: the checkpoint full_20000/checkpoint.npz was not written" in (
        results[0].stderr
    )
    names = {path.name for path in (folder / "full_20000").iterdir()}
    assert names == {"config.json", "model.npz", "history.csv"}
    assert results[1].returncode == 2
    assert "full_2000/model.npz was not written" in results[1].stderr
    last = results[1].stderr.splitlines()[-1]
    assert last == f"unspool: [Errno 27] File too large: '{Path('full_2000', 'model.npz')}'"
    assert {path.name for path in (folder / "full_2000").iterdir()} == {"config.json"}


@posix
def test_ctrl_c_exits_130_and_says_how_to_go_on(folder):
    options = ["--width", "24", "--epochs", "100000", "--out", "stopped"]
    process = subprocess.Popen(
        [sys.executable, "-m", "unspool", "train", "lm", "text.txt", *options],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # A shell lets its background jobs, and all that they start, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        limit = time.monotonic() + 60
        while not (folder / "stopped" / "model.npz").exists() and time.monotonic() < limit:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted; the same command resumes the training in stopped" in err
    model, *_ = load_model(folder / "stopped" / "model.npz")
    assert model.generate([1], 3, rng=0).shape == (3,)
    assert not list((folder / "stopped").glob(".*"))


def test_a_loss_that_is_not_finite(folder):
    options = ["--lr", "1e38", "--clip", "1e38", "--out", "astray"]
    result = run_process("train", "lm", "text.txt", "--width", 8, *options, cwd=folder)
    assert result.returncode == 1
    assert "unspool: fit: the " in result.stderr
    assert re.search(r"is (nan|inf) in epoch 1, batch \d+", result.stderr)
    assert "Traceback" not in result.stderr


# Files that are not what they should be -----------------------------------------------------------

ODD = {
    "binary": (bytes(range(256)) * 40, "not utf-8 text at byte 128"),
    "UTF-16": ("\ufeffpos\tgood".encode("utf-16-le"), "not utf-8 text at byte 0"),
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\t\n\r\n", "the file is empty"),
    "BOM alone": (b"\xef\xbb\xbf", "the file is empty"),
}


@pytest.mark.parametrize("kind", ["lm", "classifier", "tagger"])
@pytest.mark.parametrize("name", ODD)
def test_files_that_are_no_text(name, kind, tmp_path, here):
    content, message = ODD[name]
    (tmp_path / "odd.tsv").write_bytes(content)
    assert f"odd.tsv: {message}" in refused(here("train", kind, "odd.tsv", cwd=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["odd.tsv"]


@pytest.mark.parametrize("kind", ["lm", "tagger"])
def test_a_folder_in_place_of_a_file(kind, tmp_path, here):
    assert "is a folder, expected a text file" in refused(here("train", kind, ".", cwd=tmp_path))


def test_folders_of_classes_that_are_none(tmp_path, here):
    assert "the folder is empty" in refused(here("train", "classifier", ".", cwd=tmp_path))
    (tmp_path / "pos").mkdir()
    assert "there is no text in its folders" in refused(
        here("train", "classifier", ".", cwd=tmp_path)
    )
    (tmp_path / "README.txt").write_text("Not a class.")
    (tmp_path / "pos" / "a.txt").write_bytes(b"\x00\xff")
    message = refused(here("train", "classifier", ".", cwd=tmp_path))
    assert "a.txt: not utf-8 text at byte 1" in message


def test_a_readme_is_no_class_and_suffixes_tell_classes_apart(tmp_path, here):
    """The folder of the corpus sentence_polarity, as NLTK has it."""
    for name in ("README.txt", "rt-polarity.pos", "rt-polarity.neg"):
        (tmp_path / name).write_text(f"of {name}\n" * 10)
    options = ["--model", "bag", "--epochs", 1, "--out", "r"]
    result = here("train", "classifier", ".", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    labels = load_model(tmp_path / "r" / "model.npz").labels
    assert labels.names == ("rt-polarity.neg", "rt-polarity.pos")


def test_lines_of_any_kind_are_read_alike(folder, classifier, here):
    """Other line ends, a byte order mark, NUL bytes and a very long line."""
    plain = "pos\tA good film.\nneg\tA dull plot.\n"
    forms = {
        "plain": plain.encode(),
        "CRLF": plain.replace("\n", "\r\n").encode(),
        "CR": plain.replace("\n", "\r").encode(),
        "BOM": b"\xef\xbb\xbf" + plain.encode(),
    }
    found = set()
    for name, content in forms.items():
        (folder / f"{name}.tsv").write_bytes(content)
        found.add(here("evaluate", "reviews", f"{name}.tsv", cwd=folder).stdout)
    assert len(found) == 1
    (folder / "odd.txt").write_bytes(b"good\x00 film\n" + b"dull " * 3_000 + b"\n")
    result = here("predict", "reviews", "odd.txt", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["pos", "neg"]
    assert len(result.stdout) > 15_000


def test_nothing_to_predict_and_too_little_to_learn_from(folder, classifier, here):
    assert "the file is empty" in refused(here("predict", "reviews", cwd=folder, input=" \n"))
    (folder / "few.tsv").write_text("pos\tgood\nneg\tbad\n")
    message = refused(here("train", "classifier", "few.tsv", "--out", "few", cwd=folder))
    assert "2 examples are too few to hold 0.1 of them out; give more" in message
    assert not (folder / "few").exists()


@pytest.mark.parametrize("kind", ["lm", "classifier", "tagger"])
def test_files_in_another_encoding(kind, folder, here):
    """Read as the same text in UTF-8, also when the model is used."""
    name = {"lm": "text.txt", "classifier": "reviews.tsv", "tagger": "tagged.tsv"}[kind]
    text = (folder / name).read_text().replace("a", "é")
    (folder / f"utf8_{name}").write_text(text, encoding="utf-8")
    (folder / f"latin_{name}").write_text(text, encoding="latin-1")
    tiny = ["--width", 4, "--epochs", 1]
    message = refused(here("train", kind, f"latin_{name}", cwd=folder))
    assert f"latin_{name}" in message
    assert "not utf-8 text at byte" in message
    results = []
    for code, options in (("utf8", []), ("latin", ["--encoding", "latin-1"])):
        file, out = f"{code}_{name}", f"{code}_{kind}"
        result = here("train", kind, file, *tiny, *options, "--out", out, cwd=folder)
        assert result.returncode == 0, result.stderr
        uses = ["evaluate"] if kind == "lm" else ["evaluate", "predict"]
        results.append([here(use, out, file, *options, cwd=folder).stdout for use in uses])
    assert results[0] == results[1]
    message = refused(
        here("evaluate", f"utf8_{kind}", f"utf8_{name}", "--encoding", "x", cwd=folder)
    )
    assert "unknown encoding: x" in message


def test_a_text_in_one_line_with_bytes_that_are_no_characters(folder, here):
    (folder / "line.txt").write_bytes(b"the cat\x00 sees a dog\x0c\xe2\x80\xa8" * 800)
    options = ["--width", 8, "--epochs", 1, "--out", "line"]
    result = here("train", "lm", "line.txt", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    vocabulary = load_model(folder / "line" / "model.npz").vocabulary
    assert set(vocabulary.tokens[3:]) == {"the", "cat", "\x00", "sees", "a", "dog"}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_where_nobody_may_write(folder, here):
    message = refused(here("train", "lm", "text.txt", "--out", "/proc/x", cwd=folder))
    assert re.search(r"/proc/x: cannot be written \(.*\); give a folder that you", message)


@posix
@pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="needs a user who is not root"
)
def test_a_folder_that_cannot_be_written(folder):
    (folder / "closed").mkdir(mode=0o500)
    message = refused(run("train", "lm", "text.txt", "--out", "closed/x", cwd=folder))
    assert "closed/x: cannot be written (Permission denied); give a folder that you" in message


@posix
def test_a_reader_that_leaves_is_no_error(folder, trained):
    command = f"{sys.executable} -m unspool generate lm --count 400 | head -n 1"
    result = subprocess.run(
        command, shell=True, cwd=folder, env=ENVIRONMENT, capture_output=True, encoding="utf-8"
    )
    assert result.stderr == ""


def test_a_terminal_without_curly_quotes(folder, trained):
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "unspool"]
    options = {"cwd": folder, "env": environment, "capture_output": True}
    prompt = ["--prompt", '"All', "--steps", "2", "--temperature", "0"]
    result = subprocess.run([*command, "generate", "lm", *prompt], **options)
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


@needs_graphviz
@pytest.mark.parametrize("fold", [[], ["--fold"]])
def test_draw_writes_a_picture(fold, tmp_path):
    result = run("draw", "gru", "--level", "gate", *fold, "--out", "gru.svg", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "<svg" in (tmp_path / "gru.svg").read_text(encoding="utf-8")


def test_draw_has_a_title_and_a_caption(tmp_path):
    options = ["--steps", 2, "--title", "Gates of an LSTM", "--caption", "After training"]
    result = run("draw", "lstm", *options, "--out", "lstm.svg", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    text = " ".join(svg_texts(tmp_path / "lstm.svg"))
    assert "Gates of an LSTM" in text
    assert "After training" in text


def svg_texts(path):
    root = ET.parse(path).getroot()
    return ["".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text")]


def test_draw_shows_a_trained_model_over_words(trained, classifier, tagger, folder, here):
    for model, args, wanted in (
        ("lm", ["--words", "All the cats", "--generate", 2], ["<s>", "cats", "purr", "softmax"]),
        ("lm", ["--words", "All the cats purr", "--width", 978], ["cats", "L"]),
        ("reviews", ["--words", "good film"], ["good", "film", "predictions"]),
        ("upos", ["--words", "the cat sees"], ["sees", "DET", "head"]),
    ):
        out = folder / "drawn.svg"
        result = here("draw", model, *args, "--out", out, cwd=folder)
        assert result.returncode == 0, result.stderr
        shown = " ".join(svg_texts(out))
        assert all(word in shown for word in wanted), (model, shown)


def test_draw_says_what_a_model_needs(trained, folder, here):
    assert "--words, --targets and --generate are for" in refused(
        here("draw", "lstm", "--words", "a b", cwd=folder)
    )
    assert "predicts the next word" in refused(here("draw", "lm", cwd=folder))
    assert "targets" in refused(here("draw", "lm", "--words", "the", "--targets", "x", cwd=folder))


def test_draw_refuses_an_unknown_kind_of_file(tmp_path):
    assert "lstm.xyz" in refused(run("draw", "lstm", "--out", "lstm.xyz", cwd=tmp_path))


def test_the_command_line_imports_public_names_only():
    for path in (Path(__file__).parent.parent / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 2 and node.module:
                public = importlib.import_module(f"unspool.{node.module}").__all__
                assert {alias.name for alias in node.names} <= {*public}, path.name


def test_every_cell_of_the_command_line_is_one_of_the_package():
    assert {"elman", "lstm", "gru"} <= set(CELLS)


@pytest.mark.slow
@needs_graphviz
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
