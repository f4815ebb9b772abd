"""The command line: ``unspool`` or ``python -m unspool``.

Wrong input is one line on stderr and exit code 2, a training that goes astray exit code 1, Ctrl-C
exit code 130. Files are written whole or not at all.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import __version__
from .autograd import Tape
from .cells import unroll
from .models import (
    Adam,
    Features,
    Labelled,
    Labels,
    LanguageModel,
    Saved,
    Stream,
    TextModel,
    Vocabulary,
    accuracy,
    bits_of,
    confusion,
    evaluate,
    fit,
    load_model,
    load_text,
    predictions,
    python_manual,
    save_history,
    save_model,
    span_scores,
    tokenize,
)
from .models.runs import (
    CELLS,
    Examples,
    Folder,
    Texts,
    baseline_table,
    compare_parts,
    contents,
    describe_texts,
    held_out_perplexity,
    make_classifier,
    make_tagger,
    mark_spans,
    measures,
    prepare,
    read_columns,
    read_sentences,
    read_texts,
    sentence_task,
    text_ids,
    text_task,
    with_others,
)
from .models.text import level_named, words
from .models.text.baselines import perplexity_of
from .models.training import History, count_targets
from .models.training.metrics import Score
from .models.training.schedules import cosine
from .viz import Drawing, draw

# What is printed -------------------------------------------------------------------------------


def print_table(texts: Texts, rows: Sequence[tuple[str, float]]) -> None:
    """Perplexities below each other."""
    count = count_targets(texts.held_out[None], None, texts.vocabulary.start)
    print(f"perplexity on {count:,} of the tokens held out: the first, and <s>, are only given")
    for name, perplexity in rows:
        print(f"  {name:<36}{perplexity:10.1f}")
    print(compare_parts(texts))


def fit_options(texts: Texts, args: argparse.Namespace) -> dict[str, Any]:
    """How a language model is trained, with early stopping."""
    # <s> is learnt, so that generation can begin a paragraph, but counts in no perplexity.
    development = Stream(texts.development, batch=8, steps=100, ignore=texts.vocabulary.start)
    return {
        "task": Stream(texts.train, args.batch, args.steps, reset=0.05, rng=args.seed),
        "validation": development,
        "epochs": args.epochs,
        "seconds": args.seconds,
        "patience": args.patience,
        "clip": args.clip,
        "schedule": lambda progress: max(1 - progress, 0.02),
    }


def writable(path: Path) -> None:
    """Make a file's folder, and raise now rather than after training if it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: cannot be written; give a file in a folder of yours")


def write(
    model: TextModel,
    vocabulary: Vocabulary,
    prompt: str,
    steps: int,
    temperature: float,
    top_k: int | None,
    rng: Any,
    top_p: float | None = None,
) -> str:
    """A prompt and what the model makes of it; <unk> is left out."""
    ids = vocabulary.encode(prompt, start=True)
    unknown = [vocabulary.unknown]
    new = model.generate(ids, steps, temperature, top_k, rng, top_p=top_p, exclude=unknown)
    return vocabulary.decode(np.concatenate([ids, new]))


def print_texts(title: str, texts: Sequence[str]) -> None:
    """Generated texts, wrapped and indented, a blank line after each."""
    print(f"\n{title}")
    for text in texts:
        for paragraph in text.split("\n\n"):
            print(textwrap.fill(paragraph, 88, initial_indent="    ", subsequent_indent="    "))
        print()


# Commands ---------------------------------------------------------------------------------------


def demo(args: argparse.Namespace) -> None:
    """Train on Python's own manual, write from it, draw it."""
    began = time.perf_counter()
    out: Path = args.out
    writable(out / "model.npz")
    text = python_manual() if args.text is None else load_text(args.text)
    named = f"the manual of Python {platform.python_version()}" if args.text is None else args.text
    print(f"text        {named}: {len(text):,} characters")
    texts = prepare(text, "word", minimum_count=2, lower=False, fraction=0.1)
    print(describe_texts(texts))
    vocabulary = texts.vocabulary
    model = LanguageModel(len(vocabulary), args.width, dropout=0.4, rng=args.seed)
    print(
        f"model       LSTM of width {args.width}, softmax tied to the embedding: {model.size():,} "
        "parameters\n"
    )
    rows = baseline_table(texts)
    rows.append(("LSTM, before training", held_out_perplexity(model, texts)))
    prompts = ["The", "If the", "This is"]

    def samples() -> list[str]:
        return [write(model, vocabulary, p, 40, 0.7, 20, i) for i, p in enumerate(prompts)]

    before = samples()

    args.batch, args.steps, args.clip, args.patience = 20, 35, 1.0, 4
    optimizer = Adam(model.parameters(), 0.01)

    def save() -> None:
        save_model(out / "model.npz", model, vocabulary=vocabulary)

    history = fit(model, optimizer=optimizer, save=save, **fit_options(texts, args))
    took = history[-1]["seconds"]
    rows.append((f"LSTM, after {took:.0f} s of training", held_out_perplexity(model, texts)))
    print_table(texts, rows)
    print_texts("written before training", before)
    print_texts("written after training", samples())

    save_history(out / "loss.csv", history)
    model.eval()  # drawn as it is used, without dropout
    sentence = vocabulary.encode("If the value is true, the loop ends.", start=True)
    short, long = model.logits(sentence[:3]), model.logits(sentence)
    files = ["model.npz", "loss.csv"]
    for name, drawing in {
        "op": draw(short, level="op", steps=3),
        "cell": draw(long, level="cell"),
        "folded": draw(long, level="gate", fold=True),
    }.items():
        files.append(save_picture(drawing, out / f"{name}.svg").name)
    print(f"written to {out}/: {', '.join(files)}")
    print(f"{time.perf_counter() - began:.0f} s in all; unspool generate {out} writes more")


def save_picture(drawing: Drawing, path: Path) -> Path:
    """Write a picture; without Graphviz its DOT text, and what to install."""
    try:
        return drawing.save(path)
    except (RuntimeError, TimeoutError) as error:
        path = drawing.save(path.with_suffix(".dot"))
        print(f"unspool: {error}; {path} holds its DOT text", file=sys.stderr)
        return path


# What says how long to train, or where to put it; all other options say what is trained.
FREE = {"command", "run", "out", "restart", "epochs", "seconds", "patience", "every"}


def folder_of(args: argparse.Namespace) -> Folder:
    """The folder of a training, with its options in it; or an error that says what differs."""
    config = {name: value for name, value in vars(args).items() if name not in FREE}
    for name in ("files", "dev", "test", "vectors"):
        if config.get(name):
            config[name] = contents(config[name])
    return Folder(args.out or Path(args.kind), config, restart=args.restart)


def train_in(folder: Folder, model: Any, what: dict[str, Any], **options: Any) -> History:
    """Train in a folder; an interruption says how to go on."""
    try:
        return folder.fit(model, what=what, **options)
    except KeyboardInterrupt:
        print(f"unspool: interrupted; the same command goes on in {folder.path}", file=sys.stderr)
        raise


def train_lm(args: argparse.Namespace) -> None:
    """Train a language model on text files."""
    text = "\n\n".join(load_text(path) for path in args.files)
    texts = prepare(text, args.level, args.minimum_count, args.lower, args.held_out)
    folder = folder_of(args)
    print(describe_texts(texts))
    model = LanguageModel(
        len(texts.vocabulary),
        args.width,
        CELLS[args.model],
        args.layers,
        tied=not args.untied,
        dropout=args.dropout,
        rng=args.seed,
    )
    name = CELLS[args.model].__name__
    print(f"model       {name}, {model.size():,} parameters", flush=True)
    history = train_in(
        folder,
        model,
        {"vocabulary": texts.vocabulary},
        optimizer=Adam(model.parameters(), args.lr),
        every=args.every,
        **fit_options(texts, args),
    )
    rows = baseline_table(texts)
    trained = held_out_perplexity(model, texts)
    rows.append((f"{name}, after {history[-1]['seconds']:.0f} s of training", trained))
    print_table(texts, rows)
    if args.level == "character":
        print("bits per character: " + ", ".join(f"{math.log2(p):.3f}" for _, p in rows))
    print(f"the model is {folder.model}")


def learn_labels(
    args: argparse.Namespace,
    make: Callable[[Examples, Labels], tuple[Any, dict[str, Any]]],
    read: Callable[..., Examples],
    columns: dict[str, Any],
    task_of: Callable[..., Any],
) -> None:
    """Train a classifier or a tagger, and print how good it is.

    Args:
        args: The options.
        make: From what is to be learnt, and its labels, to a model and what makes ids of texts.
        read: From files and ``columns`` to examples.
        columns: What stands where in a file.
        task_of: From examples, what makes ids of them, and labels to a Task.
    """
    learnt = read(args.files, **columns)
    if args.dev:
        development = read(args.dev, **columns)
    else:
        learnt, development = learnt.parts(args.held_out, args.seed)
    labels = Labels.count([*learnt.labels, *development.labels])
    see_column(labels, learnt, "--columns" if args.kind == "classifier" else "--column")
    test = read(args.test, **columns) if args.test else None
    known = labels if test is None else with_others(labels, test.labels)
    model, ids = make(learnt, labels)
    task = task_of(learnt, **ids, labels=labels, batch=args.batch, rng=args.seed)
    validation = task_of(development, **ids, labels=labels)
    tested = None if test is None else task_of(test, **ids, labels=known)
    folder = folder_of(args)
    sizes = f"{len(task.sequences):,} to learn from, {len(validation.sequences):,} to develop on"
    print(f"{args.kind:12}{sizes}; {len(labels)} labels")
    print(f"model       {args.model}, {model.size():,} parameters", flush=True)
    metrics = measures(labels, development.labels)
    train_in(
        folder,
        model,
        {**ids, "labels": labels, "notes": columns},
        task=task,
        optimizer=Adam(model.parameters(), args.lr),
        validation=validation,
        metrics=metrics,
        monitor="validation_" + [*metrics][-1],
        mode="max",
        epochs=args.epochs,
        seconds=args.seconds,
        patience=args.patience,
        clip=args.clip,
        schedule=cosine(),
        every=args.every,
    )
    print_scores("development part", model, labels, validation)
    if tested is not None:
        print_scores("test part", model, known, tested)
    print(f"the model is {folder.model}")


def see_column(labels: Labels, examples: Examples, option: str) -> None:
    """Say so where hardly a label stands twice: it may be the texts that were read as labels."""
    count = sum(1 if isinstance(given, str) else len(given) for given in examples.labels)
    if len(labels) > max(10, count / 2):
        complain(f"{len(labels):,} labels in {count:,}: are they in another column? ({option})")


def train_classifier(args: argparse.Namespace) -> None:
    """Train a classifier on labelled texts."""

    def make(texts: Examples, labels: Labels) -> tuple[Any, dict[str, Any]]:
        model, vocabulary, share = make_classifier(
            args.model,
            texts,
            labels,
            level=args.level,
            lower=not args.keep_case,
            minimum_count=args.minimum_count,
            pooling=args.pooling,
            **options_of_networks(args),
        )
        print_share(share)
        return model, {"vocabulary": vocabulary}

    label, text = args.columns
    columns = {"label": label, "text": text, "header": args.header}
    learn_labels(args, make, read_texts, columns, text_task)


def train_tagger(args: argparse.Namespace) -> None:
    """Train a tagger on tagged sentences."""

    def make(sentences: Examples, labels: Labels) -> tuple[Any, dict[str, Any]]:
        model, features, share = make_tagger(
            args.model,
            sentences,
            labels,
            lower=not args.keep_case,
            minimum_count=args.minimum_count,
            suffixes=args.suffixes,
            prefixes=args.prefixes,
            shape=not args.no_shape,
            letters=args.letters,
            other=args.other,
            crf=args.crf,
            constraints=args.constraints,
            word_dropout=args.word_dropout,
            **options_of_networks(args),
        )
        print_share(share)
        return model, {"features": features}

    separator = None if args.spaces else "\t"
    columns = {"tag": args.column, "extra": args.extra, "separator": separator}
    learn_labels(args, make, read_sentences, columns, sentence_task)


def print_share(share: float | None) -> None:
    """How much of the vocabulary the pretrained vectors have."""
    if share is not None:
        print(f"vectors     for {share:.1%} of the vocabulary")


def options_of_networks(args: argparse.Namespace) -> dict[str, Any]:
    """What classifiers and taggers are made with alike."""
    names = ("embedding", "width", "layers", "dropout", "frozen", "seed")
    options = {name: getattr(args, name) for name in names}
    return {**options, "vectors": args.vectors[0] if args.vectors else None}


# What is read where a model's notes do not say it, as those of one that was saved in Python.
TAGGED: dict[str, Any] = {"tag": 1, "extra": [], "separator": "\t"}
LABELLED: dict[str, Any] = {"label": 0, "text": 1, "header": False}


def noted(notes: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    """The columns that a model was trained on."""
    return {name: notes.get(name, default) for name, default in usual.items()}


def print_scores(name: str, model: Any, labels: Labels, task: Labelled) -> None:
    """The loss and the metrics on a part, and those of each label, or kind of span."""
    gold, found = task.labels or [], predictions(model, task)
    learnt = getattr(model, "n_labels", None) or max(model.d_out, 2)
    loss = evaluate(model, task) if len(labels) == learnt else math.inf  # of what is not expected
    print(f"\n{name}: loss {loss:.4f}, accuracy {accuracy(gold, found):.4f}")
    if mark_spans(labels):
        print(span_scores([*map(labels.decode, gold)], [*map(labels.decode, found)]))
        return
    table = confusion(gold, found, len(labels))
    width = max(7, *map(len, labels.names))
    print(f"{'':{width}}  precision  recall      F1    gold")
    scores = [
        Score(int(table[i].sum()), int(table[:, i].sum()), int(table[i, i]))
        for i in range(len(labels))
    ]
    rows = np.array([(score.precision, score.recall, score.f1) for score in scores]) * 100
    counts = [score.gold for score in scores]
    for label, (precision, recall, f1), count in zip(
        [*labels.names, "mean"], [*rows, rows.mean(0)], [*counts, sum(counts)], strict=True
    ):
        print(f"{label:{width}}  {precision:9.2f}  {recall:6.2f}  {f1:6.2f}  {count:6}")


def saved_in(path: Path) -> Saved:
    """The model in a file, or in the folder of a training."""
    return load_model(path / "model.npz" if path.is_dir() else path)


def evaluate_model(args: argparse.Namespace) -> None:
    """Print how good a model is on files."""
    saved = saved_in(args.model)
    model, vocabulary, features, labels, notes = saved
    if isinstance(model, TextModel) and vocabulary is not None:
        text = "\n\n".join(load_text(path) for path in args.files)
        ids = vocabulary.encode(tokenize(text, vocabulary.level, vocabulary.lower))
        loss = evaluate(model, Stream(ids, batch=1, steps=100, ignore=vocabulary.start))
        count = count_targets(ids[None], None, vocabulary.start)
        print(
            f"loss {loss:.4f} nats a token, perplexity {perplexity_of(loss):.2f}, {count:,} tokens"
        )
        print(f"{np.mean(ids == vocabulary.unknown):.1%} of them are <unk>")
        if vocabulary.level == "character":
            print(f"{bits_of(loss):.4f} bits per character")
    elif features is not None and labels is not None:
        sentences = read_sentences(args.files, **noted(notes, TAGGED))
        labels = with_others(labels, sentences.labels)
        print_scores("tagger", model, labels, sentence_task(sentences, features, labels))
    elif vocabulary is not None and labels is not None:
        texts = read_texts(args.files, **noted(notes, LABELLED))
        labels = with_others(labels, texts.labels)
        print_scores("classifier", model, labels, text_task(texts, vocabulary, labels))
    else:
        raise ValueError(f"{args.model}: the file does not say what the model's ids mean")


def predict(args: argparse.Namespace) -> None:
    """Write labels of texts, or of words, as tab-separated text."""
    model, vocabulary, features, labels, notes = saved_in(args.model)
    if labels is None or (features is None and vocabulary is None):
        raise ValueError(
            f"{args.model}: it predicts no labels; a language model writes by unspool generate"
        )
    with tempfile.TemporaryDirectory() as folder:
        if not args.files:
            args.files = [Path(folder, "standard input")]
            args.files[0].write_bytes(sys.stdin.buffer.read())
        if features is not None:
            label_words(model, features, labels, args, noted(notes, TAGGED))
        elif vocabulary is not None:
            texts = [load_text(path).strip() for path in args.files]
            names = [str(path).removeprefix(folder + os.sep) for path in args.files]
            if not args.whole:
                lines = [line.strip() for text in texts for line in text.split("\n")]
                texts = names = [line for line in lines if line]
            task = Labelled(text_ids(texts, vocabulary), batch=64)
            for label, name in zip(labels.decode(predictions(model, task)), names, strict=True):
                print(f"{label}\t{name}")


def label_words(
    model: Any,
    features: Features,
    labels: Labels,
    args: argparse.Namespace,
    how: dict[str, Any],
) -> None:
    """Words and their tags, a word a line, a blank line after each sentence."""
    columns = (0, *how["extra"])
    if args.tokenize and len(columns) > 1:
        raise ValueError(f"{args.model}: it reads more columns than words; leave --tokenize out")
    sentences: list[Any] = []
    for path in args.files:
        if args.tokenize:
            sentences += [[words(line)] for line in load_text(path).split("\n") if words(line)]
        else:
            sentences += zip(*read_columns(path, columns, how["separator"]), strict=True)
    spaced = (word for tokens, *_ in sentences for word in tokens if " " in word)
    if len(columns) == 1 and (word := next(spaced, None)):
        complain(f"the line {word[:60]!r} has spaces, and is read as one word; --tokenize?")
    task = Labelled([features.encode(*columns) for columns in sentences], batch=64)
    for (tokens, *_), ids in zip(sentences, predictions(model, task), strict=True):
        for token, tag in zip(tokens, labels.decode(ids), strict=True):
            print(f"{token}\t{tag}")
        print()


def generate(args: argparse.Namespace) -> None:
    """Write text with a trained model."""
    model, vocabulary, *_ = saved_in(args.model)
    if vocabulary is None or not isinstance(model, TextModel):
        raise ValueError(
            f"{args.model}: {type(model).__name__} writes no text; unspool predict labels some"
        )
    ids = vocabulary.encode(args.prompt)
    if (ids == vocabulary.unknown).any():
        print("unspool: a part of the prompt is not in the vocabulary (<unk>)", file=sys.stderr)
    rng = np.random.default_rng(args.seed)
    for i in range(args.count):
        if i:
            print("\n---\n")
        settings = args.steps, args.temperature, args.top_k, rng, args.top_p
        print(write(model, vocabulary, args.prompt, *settings))


def draw_cell(args: argparse.Namespace) -> None:
    """Draw a cell, unrolled or folded."""
    cell = CELLS[args.cell](args.input, args.hidden, rng=0)
    options: dict[str, Any] = {"level": args.level, "fold": args.fold, "at": args.at}
    options |= {"values": args.values, "steps": args.steps}
    if args.backward:
        ys, _ = unroll(cell, np.ones((args.steps, args.input), np.float32))
        grads = Tape(ys).gradients(np.ones(ys.shape))
        picture = draw(ys, backward=True, grads=grads, **options)
    else:
        picture = draw(cell, **options)
    if args.out is None:
        reconfigure(sys.stdout, encoding="utf-8")  # as DOT is
        print(picture.source)
    else:
        picture.save(args.out)


# Options ----------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """argparse, with errors of one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def number(
    kind: type, least: float, below: float = math.inf, above: bool = False, most: float = math.inf
) -> Callable[[str], Any]:
    """A type for argparse: a number from ``least`` (or above it) up to ``most``, or below one."""

    def read(text: str) -> Any:
        wanted = "a whole number" if kind is int else "a number"
        wanted += f" {'above' if above else 'from'} {least:g}"
        wanted += "" if below == math.inf else f" and below {below:g}"
        wanted += "" if most == math.inf else f" to {most:g}"
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (least <= value < below and value <= most) or (above and value == least):
            raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
        return value

    return read


def cell_type(text: str) -> str:
    """A type for argparse: the name of a cell, in any case."""
    if text.lower() not in CELLS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(CELLS)}, got {text!r}")
    return text.lower()


def level_type(text: str) -> str:
    """A type for argparse: the name of a level of ``tokenize``."""
    try:
        level_named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def model_type(*others: str) -> Callable[[str], str]:
    """A type for argparse: one of these, a cell, or bi and a cell."""

    def read(text: str) -> str:
        name = text.lower()
        if name not in (*others, *CELLS) and name.removeprefix("bi") not in CELLS:
            known = ", ".join([*others, *CELLS])
            raise argparse.ArgumentTypeError(
                f"expected one of {known}, or bi and a cell as in bilstm, got {text!r}"
            )
        return name

    return read


RESUMABLE = """\
The folder --out holds the best model so far, and a checkpoint: the same command again goes on,
also after Ctrl-C or kill -9, to the very numbers of a training that was not stopped."""


def add_training(
    command: argparse.ArgumentParser,
    *,
    epochs: int,
    batch: int,
    lr: float,
    clip: float,
    patience: int,
) -> None:
    """The options of every training."""
    count, rate = number(int, 1), number(float, 0, above=True)
    add = command.add_argument
    kind = command.prog.split()[-1]
    add("--out", type=Path, help=f"folder (the folder {kind} in the current directory)")
    add("--restart", action="store_true", help="begin anew in a folder that has a training")
    add("--every", type=number(float, 0), default=60.0, help="seconds between checkpoints (60)")
    add("--held-out", type=number(float, 0, 1, True), default=0.1, help="a part (0.1)")
    add("--epochs", type=count, default=epochs, help=f"passes, at most ({epochs})")
    add("--seconds", type=rate, help="of training, at most")
    add("--patience", type=count, default=patience, help=f"passes without gain ({patience})")
    add("--batch", type=count, default=batch, help=f"how many side by side ({batch})")
    add("--lr", type=rate, default=lr, help=f"learning rate ({lr})")
    add("--clip", type=rate, default=clip, help=f"largest gradient norm ({clip})")
    add("--seed", type=number(int, 0), default=0, help="of all that is random (0)")


def add_vocabulary(command: argparse.ArgumentParser, least: int) -> None:
    """The options of a vocabulary."""
    command.add_argument(
        "--level",
        type=level_type,
        default="word",
        help="a token is a word, a character, or with re:PATTERN a match of it (word)",
    )
    command.add_argument(
        "--minimum-count", type=number(int, 1), default=least, help=f"rarer is <unk> ({least})"
    )


def add_network(command: argparse.ArgumentParser, dropout: float) -> None:
    """The options of a classifier's or tagger's network."""
    count, add = number(int, 1), command.add_argument
    add("--embedding", type=count, default=100, help="width of a word's vector (100)")
    add("--width", type=count, default=100, help="of states, or of filters (100)")
    add("--layers", type=count, default=1, help="how many are stacked (1)")
    add("--dropout", type=number(float, 0, 1), default=dropout, help=f"({dropout})")
    add("--vectors", nargs=1, metavar="FILE", help="pretrained ones, as GloVe's")
    add("--frozen", action="store_true", help="leave the words' vectors as they are")
    add("--keep-case", action="store_true", help="capitals are not made small")


def add_parts(command: argparse.ArgumentParser) -> None:
    """The options that name further parts of the data."""
    command.add_argument("--dev", nargs="+", metavar="FILE", help="to choose the best pass by")
    command.add_argument("--test", nargs="+", metavar="FILE", help="looked at in the end")


def build_parser() -> Parser:
    """The commands and their options."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="unspool",
        formatter_class=plain,
        description="Recurrent networks written as their equations: trained, and drawn unrolled.",
        epilog="""\
examples:
  unspool demo
  unspool train lm book.txt --out book --seconds 300
  unspool generate book --prompt "Once upon a" --temperature 0.8
  unspool train tagger train.tsv --out upos
  unspool predict upos words.txt
  unspool draw lstm --steps 3 --level op --out lstm.svg
""",
    )
    parser.add_argument("--version", action="version", version=f"unspool {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    count, rate = number(int, 1), number(float, 0, above=True)
    seed = number(int, 0)

    command = commands.add_parser(
        "demo",
        formatter_class=plain,
        help="train on Python's manual, write from it, draw it",
        description="Train a language model, its softmax tied to its embedding, on Python's own "
        "manual;\ncompare it with counting; write text before and after; draw three pictures.",
        epilog="examples:\n  unspool demo\n  unspool demo --out d --seconds 30 --text a.txt",
    )
    command.add_argument("--out", type=Path, default=Path("demo"), help="folder (demo)")
    command.add_argument("--text", help="a text file in place of Python's manual")
    command.add_argument("--seconds", type=rate, default=80.0, help="of training, at most (80)")
    command.add_argument("--epochs", type=count, default=12, help="passes, at most (12)")
    command.add_argument("--width", type=count, default=128, help="of states and embeddings (128)")
    command.add_argument("--seed", type=seed, default=0, help="of all that is random (0)")
    command.set_defaults(run=demo)

    train = commands.add_parser(
        "train",
        help="train a model on your own data",
        description="Train a model on your own data.",
        epilog="example:\n  unspool train lm book.txt --out book",
        formatter_class=plain,
    )
    kinds = train.add_subparsers(dest="kind", metavar="MODEL", required=True)
    command = kinds.add_parser(
        "lm",
        formatter_class=plain,
        help="a language model on text files",
        description="Train a language model on text files (UTF-8). The end of the text is held "
        f"out.\n{RESUMABLE}",
        epilog="examples:\n"
        "  unspool train lm book.txt --out book --seconds 300\n"
        "  unspool train lm plays.txt --level character --minimum-count 1 --model gru --layers 2",
    )
    command.add_argument("files", metavar="FILE", nargs="+", help="the text")
    add_training(command, epochs=12, batch=20, lr=0.01, clip=1.0, patience=4)
    add_vocabulary(command, 2)
    command.add_argument("--lower", action="store_true", help="make capitals small")
    command.add_argument("--model", type=cell_type, default="lstm", help=f"{', '.join(CELLS)}")
    command.add_argument("--width", type=count, default=128, help="of states and embeddings (128)")
    command.add_argument("--layers", type=count, default=1, help="how many cells are stacked (1)")
    command.add_argument("--untied", action="store_true", help="a softmax matrix of its own")
    command.add_argument("--dropout", type=number(float, 0, 1), default=0.3, help="(0.3)")
    command.add_argument("--steps", type=count, default=35, help="how far gradients go back (35)")
    command.set_defaults(run=train_lm)

    command = kinds.add_parser(
        "classifier",
        formatter_class=plain,
        help="a label a text",
        description="Train a classifier on labelled texts (UTF-8). A FILE has label<TAB>text on "
        "each line\n(a .csv commas and quotes). A folder has a sub-folder for each class with a "
        "text a file, or\na file for each class with a text a line.\n" + RESUMABLE,
        epilog="examples:\n"
        "  unspool train classifier reviews.tsv --model bilstm --out reviews\n"
        "  unspool train classifier train.tsv --dev dev.tsv --test test.tsv --vectors glove.txt "
        "--embedding 50\n"
        "  unspool train classifier reviews.csv --columns 1 0 --header\n"
        "  unspool train classifier names/ --level character --minimum-count 1 --pooling last",
    )
    command.add_argument("files", metavar="FILE", nargs="+", help="labelled texts")
    add_training(command, epochs=15, batch=32, lr=0.002, clip=5.0, patience=5)
    add_vocabulary(command, 2)
    command.add_argument(
        "--columns",
        type=number(int, 0),
        nargs=2,
        metavar=("LABEL", "TEXT"),
        default=[0, 1],
        help="of a FILE, counted from 0 (0 1)",
    )
    command.add_argument("--header", action="store_true", help="a FILE's first line names them")
    known = "bag, cnn, CELL or biCELL, where CELL is one of " + ", ".join(CELLS)
    command.add_argument("--model", type=model_type("bag", "cnn"), default="bilstm", help=known)
    command.add_argument("--pooling", choices=("last", "mean", "max", "sum"), help="over time")
    add_network(command, dropout=0.5)
    add_parts(command)
    command.set_defaults(run=train_classifier)

    command = kinds.add_parser(
        "tagger",
        formatter_class=plain,
        help="a label a word",
        description="Train a tagger on tagged sentences (UTF-8): word<TAB>tag on each line, a "
        "blank line\nbetween sentences. It reads words, their suffixes and their shapes, and if "
        "asked for their\nletters and further columns.\n" + RESUMABLE,
        epilog="examples:\n"
        "  unspool train tagger train.tsv --dev dev.tsv --test test.tsv --out upos\n"
        "  unspool train tagger chunks.tsv --column 2 --extra 1 --crf --constraints BIO\n"
        "  unspool train tagger conll2000/train.txt --spaces --column -1 --extra 1 --crf",
    )
    command.add_argument("files", metavar="FILE", nargs="+", help="tagged sentences")
    add_training(command, epochs=8, batch=32, lr=0.004, clip=5.0, patience=5)
    command.add_argument("--minimum-count", type=count, default=1, help="rarer is <unk> (1)")
    column = number(int, -99)
    command.add_argument("--column", type=column, default=1, help="the tags', from 0; -1: last (1)")
    command.add_argument(
        "--extra", type=column, nargs="+", default=[], help="columns that are read beside words"
    )
    command.add_argument(
        "--spaces", action="store_true", help="white space stands between columns, not tabs"
    )
    command.add_argument("--model", type=model_type(), default="bilstm", help="CELL or biCELL")
    command.add_argument(
        "--crf", action="store_true", help="choose the tags of a sentence together"
    )
    command.add_argument("--constraints", choices=("BIO", "BIOES"), help="that the CRF keeps to")
    command.add_argument(
        "--suffixes", type=count, nargs="*", default=[2, 3], help="their lengths (2 3)"
    )
    command.add_argument("--prefixes", type=count, nargs="*", default=[], help="their lengths")
    command.add_argument("--no-shape", action="store_true", help="do not read shapes, as Xx of The")
    command.add_argument(
        "--letters", type=number(int, 0), default=0, help="how many letters an RNN reads (0)"
    )
    command.add_argument("--other", type=count, default=25, help="width of what is no word (25)")
    command.add_argument("--word-dropout", type=number(float, 0, 1), default=0.1, help="(0.1)")
    add_network(command, dropout=0.4)
    add_parts(command)
    command.set_defaults(run=train_tagger)

    command = commands.add_parser(
        "evaluate",
        formatter_class=plain,
        help="how good a trained model is on files",
        description="Print the loss, and perplexity, or accuracy and F1, on files of the form "
        "that\nthe model was trained on.",
        epilog="examples:\n  unspool evaluate upos test.tsv\n"
        "  unspool evaluate book/model.npz b.txt",
    )
    command.add_argument("model", metavar="MODEL", type=Path, help="a training's folder, or a file")
    command.add_argument("files", metavar="FILE", nargs="+", help="what to evaluate on")
    command.set_defaults(run=evaluate_model)

    command = commands.add_parser(
        "predict",
        formatter_class=plain,
        help="label texts or words",
        description="Write label<TAB>text for each line (with --whole label<TAB>FILE for each "
        "file), or\nword<TAB>tag for each word. A tagger reads a word a line and blank lines "
        "between\nsentences, or with --tokenize lines of text.",
        epilog="examples:\n  unspool predict reviews new.txt\n"
        "  unspool predict reviews --whole texts/*.txt\n"
        "  echo 'They can fish.' | unspool predict upos --tokenize",
    )
    command.add_argument("model", metavar="MODEL", type=Path, help="a training's folder, or a file")
    command.add_argument("files", metavar="FILE", nargs="*", help="texts; none: standard input")
    command.add_argument("--whole", action="store_true", help="a classifier's FILE is one text")
    command.add_argument("--tokenize", action="store_true", help="a tagger's lines are plain text")
    command.set_defaults(run=predict)

    command = commands.add_parser(
        "generate",
        formatter_class=plain,
        help="write text with a trained model",
        description="Write text with a trained model.",
        epilog="examples:\n"
        "  unspool generate demo --prompt 'If the' --temperature 0.7\n"
        "  unspool generate book --temperature 0          (the most probable token each time)",
    )
    command.add_argument("model", metavar="MODEL", type=Path, help="a training's folder, or a file")
    command.add_argument("--prompt", default="", help="how the text begins")
    command.add_argument("--steps", type=number(int, 0), default=60, help="new tokens (60)")
    command.add_argument(
        "--temperature", type=number(float, 0), default=0.8, help="0 is greedy (0.8)"
    )
    command.add_argument("--top-k", type=count, help="draw from the k most probable tokens")
    command.add_argument(
        "--top-p", type=number(float, 0, above=True, most=1), help="draw from the share p of them"
    )
    command.add_argument("--count", type=count, default=1, help="how many texts (1)")
    command.add_argument("--seed", type=seed, help="the same seed writes the same text")
    command.set_defaults(run=generate)

    command = commands.add_parser(
        "draw",
        formatter_class=plain,
        help="draw a cell, unrolled over time",
        description="Draw a cell, unrolled over time or folded. Without --out the picture's DOT "
        "text is printed.",
        epilog="examples:\n"
        "  unspool draw lstm --steps 3 --level op --out lstm.svg\n"
        "  unspool draw gru --level gate --fold --out gru.pdf\n"
        "  unspool draw elman --steps 20 --level cell > elman.dot",
    )
    command.add_argument("cell", metavar="CELL", type=cell_type, help=f"{', '.join(CELLS)}")
    command.add_argument("--steps", type=count, default=3, help="time steps (3)")
    command.add_argument("--level", choices=("cell", "gate", "op"), default="op", help="(op)")
    command.add_argument("--fold", action="store_true", help="the loop as one step")
    command.add_argument("--at", type=count, help="one step in detail")
    command.add_argument("--backward", action="store_true", help="the gradient's way back")
    command.add_argument("--values", action="store_true", help="the numbers at each node")
    command.add_argument("--input", type=count, default=3, help="width of the input (3)")
    command.add_argument("--hidden", type=count, default=4, help="width of the state (4)")
    command.add_argument("--out", type=Path, help="file.svg, .png, .pdf or .dot")
    command.set_defaults(run=draw_cell)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command. Files may stand on both sides of an option."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    if any(text.startswith("-") for text in rest) or (rest and "files" not in args):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.files += rest
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    reconfigure(sys.stdout, errors="replace")  # a terminal may lack “ and ”
    args = parse(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("unspool: stopped by Ctrl-C", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in unspool ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except FloatingPointError as error:
        return complain(error, 1)
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        return complain(error, 2)
    return 0


def reconfigure(stream: Any, **options: str) -> None:
    """Change how a text stream encodes, where it is one of the process's own."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(**options)


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as one line."""
    complain(message)


def complain(error: Warning | Exception | str, code: int = 0) -> int:
    """An error or a warning as one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"unspool: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
