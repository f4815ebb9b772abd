"""``unspool evaluate``, ``predict`` and ``generate``: what a trained model is used for."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..models import (
    Features,
    Labelled,
    Labels,
    Saved,
    Stream,
    TextModel,
    Vocabulary,
    bits_of,
    evaluate,
    load_model,
    load_text,
    perplexity_of,
    predictions,
    token_blocks,
    tokenize,
)
from .data import predicted, read_files
from .examples import (
    lines_of,
    read_columns,
    read_sentences,
    read_texts,
    sentence_task,
    text_ids,
    text_task,
    with_unknown,
)
from .options import Count, CountOrZero, FractionOrOne, NotNegative, Reading, Seed, Sentences, Texts
from .report import print_scores
from .terminal import note


def load_trained(path: Path) -> Saved:
    """The model in a file, or in the folder of a training."""
    file = path / "model.npz" if path.is_dir() else path
    if path.is_dir() and not file.exists() and (path / "config.json").exists():
        raise ValueError(
            f"{path}: its training was stopped before its first model; the same command again "
            "goes on with it"
        )
    return load_model(file)


# Evaluation -------------------------------------------------------------------------------------


def evaluate_model(model: Path, files: Sequence[Path], *, reading: Reading = Reading()) -> None:
    """Print how good a trained model is on files.

    The files have the same form as those that the model was trained on. For a language model the
    loss and the perplexity are printed; for a classifier or a tagger the loss, the accuracy, and
    the precision, recall and F1 of each label or type of span.

    Args:
        model: Folder of a training, or a saved model's file.
        files: Files to evaluate the model on.

    Example:
        unspool evaluate upos test.tsv
        unspool evaluate book/model.npz other.txt
    """
    net, vocabulary, features, labels, notes = load_trained(model)
    if isinstance(net, TextModel) and vocabulary is not None:
        evaluate_text(net, vocabulary, read_files(files, reading.encoding))
    elif features is not None and labels is not None:
        sentences = read_sentences(files, Sentences.from_notes(notes, reading))
        labels = with_unknown(labels, sentences)
        print_scores("tagger", net, labels, sentence_task(sentences, features, labels))
    elif vocabulary is not None and labels is not None:
        texts = read_texts(files, Texts.from_notes(notes, reading))
        labels = with_unknown(labels, texts)
        print_scores("classifier", net, labels, text_task(texts, vocabulary, labels))
    else:
        raise ValueError(
            f"{model}: the file has no vocabulary, features or labels that say what the ids mean"
        )


def evaluate_text(model: Any, vocabulary: Vocabulary, blocks: Iterable[str]) -> None:
    """Print the loss and the perplexity of a language model on a text that comes in blocks."""
    tokens = token_blocks(blocks, vocabulary.level, vocabulary.lower)
    ids = np.concatenate([np.zeros(0, np.int64), *map(vocabulary.encode, tokens)])
    if not len(ids):
        raise ValueError("the text is empty: there is no token in it")
    loss = evaluate(model, Stream(ids, batch=1, steps=100, ignore=vocabulary.start))
    print(
        f"loss {loss:.4f} nats a token, perplexity {perplexity_of(loss):.2f}, "
        f"{predicted(ids, vocabulary):,} tokens"
    )
    print(f"{np.mean(ids == vocabulary.unknown):.1%} of them are <unk>")
    if vocabulary.level == "character":
        print(f"{bits_of(loss):.4f} bits per character")


# Labels -----------------------------------------------------------------------------------------


def predict(
    model: Path,
    files: Sequence[Path] = (),
    *,
    whole: bool = False,
    tokenize: bool = False,
    reading: Reading = Reading(),
) -> None:
    """Label texts with a trained classifier, or words with a trained tagger.

    A classifier reads a text on each line and prints label<TAB>text; with --whole it reads a text
    in each file and prints label<TAB>FILE.

    A tagger reads a word on each line and a blank line after each sentence, or with --tokenize a
    sentence on each line. It prints word<TAB>tag.

    Args:
        model: Folder of a training, or a saved model's file.
        files: Files of texts or words (default: standard input).
        whole: Read each file as one text (classifiers only).
        tokenize: Split lines of plain text into words (taggers only).

    Example:
        unspool predict reviews new.txt
        unspool predict reviews --whole texts/*.txt
        echo 'They can fish.' | unspool predict upos --tokenize
    """
    saved = load_trained(model)
    if saved.labels is None or (saved.features is None and saved.vocabulary is None):
        raise ValueError(
            f"{model}: it predicts no labels; a language model writes text with unspool generate"
        )
    names = [*map(str, files)] or ["standard input"]
    with tempfile.TemporaryDirectory() as folder, without_path(folder):
        if not files:
            files = [Path(folder, names[0])]
            if sys.stdin is None:
                raise ValueError("standard input is closed; give files")
            files[0].write_bytes(sys.stdin.buffer.read())
        if saved.features is not None:
            columns = Sentences.from_notes(saved.notes, reading)
            if tokenize and columns.extra_columns:
                raise ValueError(
                    f"{model}: it reads extra columns, which plain text lacks; leave --tokenize out"
                )
            found = plain_sentences(files, reading) if tokenize else sentences_of(files, columns)
            label_words(saved.model, saved.features, saved.labels, found)
        elif saved.vocabulary is not None:
            texts = [load_text(path, reading.encoding).strip() for path in files]
            if not whole:
                texts = names = [line for text in texts for line in lines_of(text)]
            label_texts(saved.model, saved.vocabulary, saved.labels, texts, names)


@contextmanager
def without_path(folder: str) -> Iterator[None]:
    """Inside of the block a ValueError names the files of a temporary folder without its path."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace(folder + os.sep, "")) from error


def label_texts(
    model: Any, vocabulary: Vocabulary, labels: Labels, texts: Sequence[str], names: Sequence[str]
) -> None:
    """Print the label of each text, and its name."""
    task = Labelled(text_ids(texts, vocabulary), batch=64)
    for label, name in zip(labels.decode(predictions(model, task)), names, strict=True):
        print(f"{label}\t{name}")


def plain_sentences(files: Sequence[Path], reading: Reading) -> list[tuple[list[str], ...]]:
    """The words of each line of text, as the one column of a tagger."""
    lines = [line for path in files for line in lines_of(load_text(path, reading.encoding))]
    return [(tokenize(line)[1:-1],) for line in lines]


def sentences_of(files: Sequence[Path], columns: Sentences) -> list[tuple[list[str], ...]]:
    """The columns of sentences that stand a word a line."""
    found = [
        sentence
        for path in files
        for sentence in zip(*read_columns(path, columns.columns(path)[:-1], columns), strict=True)
    ]
    spaced = (word for words, *_ in found for word in words if " " in word)
    if not columns.extra_columns and (word := next(spaced, None)):
        note(
            f"the line {word[:60]!r} has spaces and is read as one word; give --tokenize for plain "
            "text"
        )
    return found


def label_words(
    model: Any, features: Features, labels: Labels, sentences: Sequence[tuple[list[str], ...]]
) -> None:
    """Print words and their tags, a word a line, a blank line after each sentence."""
    task = Labelled([features.encode(*columns) for columns in sentences], batch=64)
    for (words, *_), ids in zip(sentences, predictions(model, task), strict=True):
        for word, tag in zip(words, labels.decode(ids), strict=True):
            print(f"{word}\t{tag}")
        print()


# Generation -------------------------------------------------------------------------------------


def generate(
    model: Path,
    *,
    prompt: str = "",
    steps: CountOrZero = 60,
    temperature: NotNegative = 0.8,
    top_k: Count | None = None,
    top_p: FractionOrOne | None = None,
    count: Count = 1,
    seed: Seed | None = None,
) -> None:
    """Write text with a trained language model.

    The model is that of unspool train lm or of unspool demo.

    Args:
        model: Folder of a training, or a saved model's file.
        prompt: Beginning of the text, which the model continues (default: none).
        steps: Number of tokens to generate.
        temperature: Temperature of sampling: 1 samples from the model's distribution, less makes
            probable tokens more probable, 0 takes the most probable one.
        top_k: Number of most probable tokens to sample from (default: all tokens).
        top_p: Probability mass of the most probable tokens to sample from, from 0 to 1 (default:
            1, all tokens).
        count: Number of texts to generate.
        seed: Seed of the random number generator (default: a different one each time).

    Example:
        unspool generate demo --prompt 'If the' --temperature 0.7
        unspool generate book --temperature 0 --steps 20
    """
    net, vocabulary, *_ = load_trained(model)
    if vocabulary is None or not isinstance(net, TextModel):
        raise ValueError(
            f"{model}: {type(net).__name__} is no language model; unspool predict labels texts"
        )
    if (vocabulary.encode(prompt) == vocabulary.unknown).any():
        note("a part of the prompt is not in the vocabulary (<unk>)")
    rng = np.random.default_rng(seed)
    how = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "rng": rng}
    for i in range(count):
        if i:
            print("\n---\n")
        print(net.write(prompt, steps, **how))
