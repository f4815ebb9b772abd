"""``unspool train``: language models, classifiers and taggers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..models import Adam, Labelled, Stream, schedules
from . import options, report
from .data import LARGE, TextParts, check_regular, read_files, size_of, split_blocks, split_files
from .examples import (
    LabelledParts,
    read_parts,
    read_sentences,
    read_texts,
    sentence_task,
    text_task,
    with_unknown,
)
from .folder import Folder, configuration
from .networks import make_classifier, make_language_model, make_tagger
from .signature import Group
from .terminal import as_messages

# Language models --------------------------------------------------------------------------------


@as_messages()
def train_lm(
    files: Sequence[Path],
    *,
    data: options.Data = options.Data(),
    tokens: options.Tokens = options.Tokens(lower=False),
    network: options.LanguageNetwork = options.LanguageNetwork(),
    training: options.StreamTraining = options.StreamTraining(),
    run: options.Run = options.Run(out=Path("lm"), epochs=12, patience=4),
) -> None:
    """Train a language model on text files.

    The end of the text is held out; the model's perplexity on it is printed beside that of n-gram
    models.

    The same command resumes a training that was interrupted or killed, from the checkpoint in its
    folder, and ends with the same model as without the interruption.

    Args:
        files: Text files, which are read as one text.

    Example:
        unspool train lm book.txt --out book --seconds 300
        unspool train lm plays.txt --level character --model gru --layers 2
    """
    parts = None
    check_regular(files)
    if size_of(files) < LARGE:
        parts = split_blocks(read_files(files, data.encoding), tokens, data.held_out)
    with Folder(run, configuration("lm", files, data, tokens, network, training)) as folder:
        if parts is None:
            parts = split_files(files, data.encoding, tokens, data.held_out, folder.path)
        report.print_parts(parts)
        model = make_language_model(network, len(parts.vocabulary), training.seed)
        name = options.CELLS[network.model].__name__
        print(f"model       {name}, {model.size():,} parameters", flush=True)
        history = folder.fit(
            model,
            saved={"vocabulary": parts.vocabulary},
            optimizer=Adam(model.parameters(), training.lr),
            **stream_options(parts, training),
        )
        rows = report.baselines(parts)
        trained = report.held_out_perplexity(model, parts)
        rows.append((f"{name}, after {history[-1]['seconds']:.0f} s of training", trained))
        report.print_perplexities(parts, rows)
        if tokens.level == "character":
            print("bits per character: " + ", ".join(f"{math.log2(p):.3f}" for _, p in rows))
        print(f"the model is {folder.model}")


def stream_options(parts: TextParts, training: options.StreamTraining) -> dict[str, Any]:
    """The arguments of ``fit`` for a language model, with early stopping."""
    # <s> is learnt, so that generation can begin a paragraph, but counts in no perplexity.
    start, seed = parts.vocabulary.start, training.seed
    return {
        "task": Stream(parts.train, training.batch, training.steps, reset=0.05, rng=seed),
        "validation": Stream(parts.development, batch=8, steps=100, ignore=start),
        "clip": training.clip,
        "schedule": lambda progress: max(1 - progress, 0.02),
    }


# Classifiers and taggers ------------------------------------------------------------------------


@as_messages()
def train_classifier(
    files: Sequence[Path],
    *,
    data: options.Texts = options.Texts(),
    tokens: options.Tokens = options.Tokens(lower=True),
    network: options.ClassifierNetwork = options.ClassifierNetwork(),
    training: options.Training = options.Training(lr=0.002),
    run: options.Run = options.Run(out=Path("classifier"), epochs=15),
) -> None:
    """Train a classifier on labelled texts.

    Each line of a file is label<TAB>text; the columns of a .csv file are separated by commas. A
    folder has a subfolder for each class with a text in each file, or a file for each class with
    a text on each line.

    The same command resumes a training that was interrupted or killed, from the checkpoint in its
    folder, and ends with the same model as without the interruption.

    Args:
        files: Files or folders of labelled texts.

    Example:
        unspool train classifier reviews.tsv --model bilstm --out reviews
        unspool train classifier train.tsv --dev dev.tsv --test test.tsv
        unspool train classifier reviews.tsv --vectors glove.txt --embedding 50
        unspool train classifier a.csv --label-column sentiment --text-column review
        unspool train classifier names/ --level character --pooling last
    """
    parts = read_parts(partial(read_texts, columns=data), files, data, training.seed)
    model, vocabulary = make_classifier(network, tokens, parts, training.seed)
    train_on_labels(
        model,
        parts,
        partial(text_task, vocabulary=vocabulary),
        training,
        run,
        configuration("classifier", files, data, tokens, network, training),
        {"vocabulary": vocabulary, "labels": parts.labels, "notes": data.notes()},
    )


@as_messages()
def train_tagger(
    files: Sequence[Path],
    *,
    data: options.Sentences = options.Sentences(),
    words: options.WordFeatures = options.WordFeatures(),
    network: options.TaggerNetwork = options.TaggerNetwork(),
    training: options.Training = options.Training(lr=0.004),
    run: options.Run = options.Run(out=Path("tagger"), epochs=8),
) -> None:
    """Train a tagger on tagged sentences.

    Each line of a file is word<TAB>tag; a blank line ends a sentence. Of a .conllu file words and
    parts of speech are read.

    The same command resumes a training that was interrupted or killed, from the checkpoint in its
    folder, and ends with the same model as without the interruption.

    Args:
        files: Files of tagged sentences.

    Example:
        unspool train tagger train.tsv --dev dev.tsv --test test.tsv --out upos
        unspool train tagger ewt.conllu --label-column XPOS
        unspool train tagger chunks.tsv --label-column -1 --constraints BIO
        unspool train tagger chunks.txt --spaces --label-column 2 --extra-columns 1
    """
    parts = read_parts(partial(read_sentences, how=data), files, data, training.seed)
    model, features = make_tagger(network, words, parts, training.seed)
    train_on_labels(
        model,
        parts,
        partial(sentence_task, features=features),
        training,
        run,
        configuration("tagger", files, data, words, network, training),
        {"features": features, "labels": parts.labels, "notes": data.notes()},
    )


def train_on_labels(
    model: Any,
    parts: LabelledParts,
    task_of: Callable[..., Labelled],
    training: options.Training,
    run: options.Run,
    config: dict[str, Any],
    saved: dict[str, Any],
) -> None:
    """Train a classifier or a tagger, and print how good it is.

    ``task_of`` makes a task of examples, ``labels=``, ``batch=`` and ``rng=``; ``config`` are all
    options, for the folder, ``saved`` the keyword arguments of ``save_model``.
    """
    labels, test = parts.labels, parts.test
    known = labels if test is None else with_unknown(labels, test)
    task = task_of(parts.train, labels=labels, batch=training.batch, rng=training.seed)
    validation = task_of(parts.development, labels=labels)
    tested = None if test is None else task_of(test, labels=known)
    sizes = f"{len(task.sequences):,} to learn from, {len(validation.sequences):,} to develop on"
    with Folder(run, config) as folder:
        print(f"{config['kind']:12}{sizes}; {len(labels)} labels")
        print(f"model       {config['model']}, {model.size():,} parameters", flush=True)
        metrics = report.metrics_for(labels, parts.development.labels)
        folder.fit(
            model,
            task=task,
            saved=saved,
            optimizer=Adam(model.parameters(), training.lr),
            validation=validation,
            metrics=metrics,
            monitor="validation_" + [*metrics][-1],
            mode="max",
            clip=training.clip,
            schedule=schedules.cosine(),
        )
        report.print_scores("development part", model, labels, validation)
        if tested is not None:
            report.print_scores("test part", model, known, tested)
        print(f"the model is {folder.model}")


TRAIN = Group(
    """Train a model on your own data.

    Example:
        unspool train lm book.txt --out book
        unspool train classifier reviews.tsv --out reviews
        unspool train tagger train.tsv --out upos
    """,
    "MODEL",
    {"lm": train_lm, "classifier": train_classifier, "tagger": train_tagger},
)
