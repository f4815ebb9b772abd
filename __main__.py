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
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from . import __version__, cells
from .autograd import Tape
from .cells import unroll
from .models import (
    Adam,
    LanguageModel,
    NGram,
    Stream,
    Vocabulary,
    evaluate,
    fit,
    hold_out,
    load_model,
    load_text,
    python_manual,
    save_history,
    save_model,
    tokenize,
)
from .models.baselines import perplexity_of
from .models.training import History, count_targets
from .viz import Drawing, draw

CELLS = {
    name.lower(): thing
    for name, thing in vars(cells).items()
    if isinstance(thing, type) and issubclass(thing, cells.GatedCell) and thing.gates
}
DEVELOPMENT = 0.06  # of what is not held out: enough to see when to stop


# Training a language model ------------------------------------------------------------------------


class Texts(NamedTuple):
    """A text in three contiguous parts, as ids."""

    vocabulary: Vocabulary
    train: NDArray[np.int64]
    development: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @property
    def before(self) -> NDArray[np.int64]:
        """All that is not held out."""
        return np.concatenate([self.train, self.development])


def prepare(text: str, level: str, minimum_count: int, lower: bool, fraction: float) -> Texts:
    """Hold out the end of a text, and set apart what comes before it to see when to stop.

    The vocabulary is that of what is not held out.
    """
    tokens = tokenize(text, level, lower)
    try:
        before, after = hold_out(tokens, fraction)
        vocabulary = Vocabulary.count(before, minimum_count, level=level, lower=lower)
        train, development = hold_out(vocabulary.encode(before), DEVELOPMENT)
        parts = train, development, vocabulary.encode(after)
        enough = all(count_targets(ids[None], None, vocabulary.start) for ids in parts)
    except ValueError:
        enough = False
    if not enough:
        raise ValueError(
            f"{len(tokens)} tokens are too few to train on, to see when to stop "
            f"({DEVELOPMENT:.0%}), and to hold out ({fraction:.0%}); give a longer text"
        )
    return Texts(vocabulary, *parts)


def describe_texts(texts: Texts) -> str:
    """The sizes of the parts and of the vocabulary."""
    unknown = f"{np.mean(texts.held_out == texts.vocabulary.unknown):.1%}"
    return (
        f"vocabulary  {len(texts.vocabulary):,} tokens; {unknown} of those held out are <unk>\n"
        f"tokens      {len(texts.train):,} to train on, {len(texts.development):,} to see when to "
        f"stop, {len(texts.held_out):,} held out at the end"
    )


def baseline_table(texts: Texts) -> list[tuple[str, float]]:
    """The held-out perplexity of counting, on all that is not held out."""
    size, start = len(texts.vocabulary), texts.vocabulary.start
    return [
        (name, NGram(texts.before, size, order, start).perplexity(texts.held_out))
        for order, name in enumerate(("unigram", "bigram, Witten-Bell"), 1)
    ]


def held_out_perplexity(model: LanguageModel, texts: Texts) -> float:
    """The model's, read from the first token to the last, the state carried on."""
    task = Stream(texts.held_out, batch=1, steps=100, ignore=texts.vocabulary.start)
    return perplexity_of(evaluate(model, task))


def print_table(texts: Texts, rows: Sequence[tuple[str, float]]) -> None:
    """Perplexities below each other."""
    count = count_targets(texts.held_out[None], None, texts.vocabulary.start)
    print(f"perplexity on the {count:,} tokens held out")
    for name, perplexity in rows:
        print(f"  {name:<36}{perplexity:10.1f}")


def train_language_model(
    model: LanguageModel, texts: Texts, path: Path, args: argparse.Namespace
) -> History:
    """Fit with early stopping, the best model so far always on disk."""
    start = texts.vocabulary.start
    written: list[Path] = []

    def save() -> None:
        save_model(path, model, vocabulary=texts.vocabulary)
        written.append(path)

    # <s> is learnt, so that generation can begin a paragraph, but counts in no perplexity.
    task = Stream(texts.train, args.batch, args.steps, reset=0.05, rng=args.seed)
    try:
        return fit(
            model,
            task,
            Adam(model.parameters(), args.lr),
            epochs=args.epochs,
            seconds=args.seconds,
            validation=Stream(texts.development, batch=8, steps=100, ignore=start),
            patience=4,
            clip=args.clip,
            schedule=lambda progress: max(1 - progress, 0.02),
            save=save,
        )
    except KeyboardInterrupt:
        if written:
            print(f"unspool: interrupted; the last good model is in {path}", file=sys.stderr)
        raise


def writable(path: Path) -> None:
    """Make a file's folder, and raise now rather than after training if it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: cannot be written; give a file in a folder of yours")


def write(
    model: LanguageModel,
    vocabulary: Vocabulary,
    prompt: str,
    steps: int,
    temperature: float,
    top_k: int | None,
    rng: Any,
) -> str:
    """A prompt and what the model makes of it; <unk> is left out."""
    ids = vocabulary.encode(prompt, start=True)
    unknown = [vocabulary.unknown]
    new = model.generate(ids, steps, temperature, top_k, rng, exclude=unknown)
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

    args.batch, args.steps, args.lr, args.clip = 20, 35, 0.01, 1.0
    history = train_language_model(model, texts, out / "model.npz", args)
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
    print(
        f"{time.perf_counter() - began:.0f} s in all; unspool generate {out}/model.npz writes more"
    )


def save_picture(drawing: Drawing, path: Path) -> Path:
    """Write a picture; without Graphviz its DOT text, and what to install."""
    try:
        return drawing.save(path)
    except (RuntimeError, TimeoutError) as error:
        path = drawing.save(path.with_suffix(".dot"))
        print(f"unspool: {error}; {path} holds its DOT text", file=sys.stderr)
        return path


def train_lm(args: argparse.Namespace) -> None:
    """Train a language model on a text file."""
    writable(args.out)
    texts = prepare(load_text(args.file), args.level, args.minimum_count, args.lower, args.held_out)
    print(describe_texts(texts))
    model = LanguageModel(
        len(texts.vocabulary),
        args.width,
        CELLS[args.cell],
        args.layers,
        tied=not args.untied,
        dropout=args.dropout,
        rng=args.seed,
    )
    print(f"model       {CELLS[args.cell].__name__}, {model.size():,} parameters", flush=True)
    history = train_language_model(model, texts, args.out, args)
    if args.history is not None:
        save_history(args.history, history)
    rows = baseline_table(texts)
    took = history[-1]["seconds"]
    trained = held_out_perplexity(model, texts)
    rows.append((f"{CELLS[args.cell].__name__}, after {took:.0f} s of training", trained))
    print_table(texts, rows)
    if args.level == "character":
        print("bits per character: " + ", ".join(f"{math.log2(p):.3f}" for _, p in rows))
    print(f"the model is in {args.out}")


def generate(args: argparse.Namespace) -> None:
    """Write text with a trained model."""
    model, vocabulary, *_ = load_model(args.model)
    if vocabulary is None:
        raise ValueError(f"{args.model}: the model has no vocabulary to write with")
    ids = vocabulary.encode(args.prompt)
    if (ids == vocabulary.unknown).any():
        print("unspool: a part of the prompt is not in the vocabulary (<unk>)", file=sys.stderr)
    rng = np.random.default_rng(args.seed)
    for i in range(args.count):
        if i:
            print("\n---\n")
        settings = args.steps, args.temperature, args.top_k, rng
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
    kind: type, least: float, below: float = math.inf, above: bool = False
) -> Callable[[str], Any]:
    """A type for argparse: a number from ``least`` (or above it) up to ``below``."""

    def read(text: str) -> Any:
        wanted = "a whole number" if kind is int else "a number"
        wanted += f" {'above' if above else 'from'} {least:g}"
        wanted += "" if below == math.inf else f" and below {below:g}"
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (least < value < below if above else least <= value < below):
            raise argparse.ArgumentTypeError(f"expected {wanted}, got {text!r}")
        return value

    return read


def cell_type(text: str) -> str:
    """A type for argparse: the name of a cell, in any case."""
    if text.lower() not in CELLS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(CELLS)}, got {text!r}")
    return text.lower()


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
  unspool train lm book.txt --out book.npz --seconds 300
  unspool generate book.npz --prompt "Once upon a" --temperature 0.8
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
        epilog="example:\n  unspool train lm book.txt --out book.npz",
        formatter_class=plain,
    )
    kinds = train.add_subparsers(dest="kind", metavar="MODEL", required=True)
    command = kinds.add_parser(
        "lm",
        formatter_class=plain,
        help="a language model on a text file",
        description="Train a language model on a text file (UTF-8). The end of the text is held "
        "out; the\nbest model so far is always in --out, also after Ctrl-C.",
        epilog="examples:\n"
        "  unspool train lm book.txt --out book.npz --seconds 300\n"
        "  unspool train lm plays.txt --level character --minimum-count 1 --cell gru --layers 2",
    )
    command.add_argument("file", metavar="FILE", help="the text")
    command.add_argument("--out", type=Path, default=Path("model.npz"), help="model (model.npz)")
    command.add_argument("--history", type=Path, help="where to write the loss curve, as CSV")
    command.add_argument(
        "--level", choices=("word", "character"), default="word", help="what a token is (word)"
    )
    command.add_argument(
        "--minimum-count", type=count, default=2, help="rarer tokens are <unk> (2)"
    )
    command.add_argument("--lower", action="store_true", help="make capitals small")
    command.add_argument("--held-out", type=number(float, 0, 1, True), default=0.1, help="(0.1)")
    command.add_argument("--cell", type=cell_type, default="lstm", help=f"{', '.join(CELLS)}")
    command.add_argument("--width", type=count, default=128, help="of states and embeddings (128)")
    command.add_argument("--layers", type=count, default=1, help="how many cells are stacked (1)")
    command.add_argument("--untied", action="store_true", help="a softmax matrix of its own")
    command.add_argument("--dropout", type=number(float, 0, 1), default=0.3, help="(0.3)")
    command.add_argument("--epochs", type=count, default=12, help="passes, at most (12)")
    command.add_argument("--seconds", type=rate, help="of training, at most")
    command.add_argument("--batch", type=count, default=20, help="parts read side by side (20)")
    command.add_argument("--steps", type=count, default=35, help="how far gradients go back (35)")
    command.add_argument("--lr", type=rate, default=0.01, help="learning rate (0.01)")
    command.add_argument("--clip", type=rate, default=1.0, help="largest gradient norm (1.0)")
    command.add_argument("--seed", type=seed, default=0, help="of all that is random (0)")
    command.set_defaults(run=train_lm)

    command = commands.add_parser(
        "generate",
        formatter_class=plain,
        help="write text with a trained model",
        description="Write text with a trained model.",
        epilog="examples:\n"
        "  unspool generate demo/model.npz --prompt 'If the' --temperature 0.7\n"
        "  unspool generate book.npz --temperature 0          (the most probable token each time)",
    )
    command.add_argument("model", metavar="MODEL", help="a file that train or demo wrote")
    command.add_argument("--prompt", default="", help="how the text begins")
    command.add_argument("--steps", type=number(int, 0), default=60, help="new tokens (60)")
    command.add_argument(
        "--temperature", type=number(float, 0), default=0.8, help="0 is greedy (0.8)"
    )
    command.add_argument("--top-k", type=count, help="draw from the k most probable tokens")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    reconfigure(sys.stdout, errors="replace")  # a terminal may lack “ and ”
    args = build_parser().parse_args(argv)
    try:
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


def complain(error: Exception, code: int) -> int:
    """An error as one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"unspool: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
