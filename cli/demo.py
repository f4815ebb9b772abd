"""``unspool demo``: a language model of Python's own manual, trained, heard and drawn."""

from __future__ import annotations

import os
import platform
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..models import (
    Adam,
    LanguageModel,
    Vocabulary,
    fit,
    load_text,
    python_manual,
    save_history,
    save_model,
)
from ..viz import Drawing, draw
from .data import split_text
from .options import Count, Positive, Seed, StreamTraining, Tokens
from .report import baselines, held_out_perplexity, print_parts, print_perplexities
from .terminal import note
from .train import stream_options

PROMPTS = ("The", "If the", "This is")


def run_demo(
    *,
    out: Path = Path("demo"),
    text: Path | None = None,
    seconds: Positive = 80.0,
    epochs: Count = 12,
    width: Count = 128,
    seed: Seed = 0,
) -> None:
    """Train a language model on Python's manual, write text, draw it.

    The model is an LSTM that shares the weights of its embedding and softmax layer. Its perplexity
    is compared with those of n-gram models, it writes text before and after training, and three
    pictures show it unrolled.

    Args:
        out: Folder for the model, its loss by epoch and the pictures.
        text: Text file to train on (default: Python's manual).
        seconds: Seconds of training, at most.
        epochs: Number of passes over the training data, at most.
        width: Number of units in the embedding and in the hidden state.
        seed: Seed of the random number generator.

    Example:
        unspool demo
        unspool demo --out mine --seconds 30 --text book.txt
    """
    began = time.perf_counter()
    see_writable(out / "model.npz")
    words = python_manual() if text is None else load_text(text)
    named = f"the manual of Python {platform.python_version()}" if text is None else text
    print(f"text        {named}: {len(words):,} characters")
    parts = split_text(words, Tokens(lower=False, minimum_count=2), fraction=0.1)
    print_parts(parts)
    vocabulary = parts.vocabulary
    model = LanguageModel(len(vocabulary), width, dropout=0.4, rng=seed)
    print(
        f"model       LSTM of width {width}, softmax tied to the embedding: {model.size():,} "
        "parameters\n"
    )
    rows = baselines(parts)
    rows.append(("LSTM, before training", held_out_perplexity(model, parts)))
    before = samples(model, vocabulary)

    training = replace(StreamTraining(), seed=seed)
    history = fit(
        model,
        optimizer=Adam(model.parameters(), training.lr),
        save=lambda: save_model(out / "model.npz", model, vocabulary=vocabulary),
        epochs=epochs,
        seconds=seconds,
        patience=4,
        **stream_options(parts, training),
    )
    took = history[-1]["seconds"]
    rows.append((f"LSTM, after {took:.0f} s of training", held_out_perplexity(model, parts)))
    print_perplexities(parts, rows)
    print_texts("written before training", before)
    print_texts("written after training", samples(model, vocabulary))

    save_history(out / "loss.csv", history)
    files = ["model.npz", "loss.csv", *draw_model(model, vocabulary, out)]
    print(f"written to {out}/: {', '.join(files)}")
    print(f"{time.perf_counter() - began:.0f} s in all; unspool generate {out} writes more")


def see_writable(path: Path) -> None:
    """Make a file's folder, and raise now rather than after training if it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: cannot be written; give a folder that you can write to")


def samples(model: LanguageModel, vocabulary: Vocabulary) -> list[str]:
    """A text for each prompt."""
    how = {"temperature": 0.7, "top_k": 20}
    model.vocabulary = vocabulary
    return [model.write(p, 40, rng=i, **how) for i, p in enumerate(PROMPTS)]


def print_texts(title: str, texts: Sequence[str]) -> None:
    """Print generated texts, wrapped and indented, a blank line after each."""
    print(f"\n{title}")
    for text in texts:
        for paragraph in text.split("\n\n"):
            print(textwrap.fill(paragraph, 88, initial_indent="    ", subsequent_indent="    "))
        print()


def draw_model(model: LanguageModel, vocabulary: Vocabulary, out: Path) -> list[str]:
    """Draw the model as it reads a sentence; the names of the files."""
    model.eval()  # drawn as it is used, without dropout
    sentence = vocabulary.encode("If the value is true, the loop ends.", start=True)
    short, long = model.logits(sentence[:3]), model.logits(sentence)
    drawings = {
        "op": draw(short, level="op", steps=3),
        "cell": draw(long, level="cell"),
        "folded": draw(long, level="gate", fold=True),
    }
    return [save_picture(drawing, out / f"{name}.svg") for name, drawing in drawings.items()]


def save_picture(drawing: Drawing, path: Path) -> str:
    """Write a picture, without Graphviz its DOT text; the name of the file."""
    try:
        return drawing.save(path).name
    except (RuntimeError, TimeoutError) as error:
        path = drawing.save(path.with_suffix(".dot"))
        note(f"{error}; {path} holds its DOT text")
        return path.name
