"""What the benchmarks of taggers share: a network, its training, and the lines that they print."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from unspool.cells import LSTM, Bidirectional
from unspool.models import (
    CRF,
    Adam,
    CharacterEncoder,
    FeatureEmbedding,
    Features,
    Labelled,
    Labels,
    Transducer,
    fit,
    predictions,
    schedules,
)

Sentences = list[list[str]]


class Part(NamedTuple):
    """A part of a corpus: what is read, and the tags that are wanted."""

    inputs: tuple[Sentences, ...]
    tags: Sentences

    def __getitem__(self, which: slice) -> Part:
        return Part(tuple(column[which] for column in self.inputs), self.tags[which])


class Settings(NamedTuple):
    """A tagger and how it is trained."""

    word: int = 100
    suffixes: tuple[int, ...] = ()
    prefixes: tuple[int, ...] = ()
    shape: bool = False
    other: int = 25
    letters: int = 0
    lower: bool = True
    minimum_count: int = 1
    hidden: int = 100
    crf: bool = False
    dropout: float = 0.4
    word_dropout: float = 0.1
    batch: int = 32
    epochs: int = 8
    rate: float = 0.004
    clip: float = 5.0


def train(part: Part, settings: Settings, seed: int) -> Callable[[Part], Sentences]:
    """A tagger trained on a part: from a part to its predicted tags."""
    s = settings
    rng = np.random.default_rng(seed)
    features = Features.count(
        *part.inputs,
        suffixes=s.suffixes,
        prefixes=s.prefixes,
        shape=s.shape,
        letters=s.letters,
        lower=s.lower,
        minimum_count=s.minimum_count,
    )
    labels = Labels.count(part.tags)
    letters = None
    if s.letters:
        letters = CharacterEncoder(len(features.vocabularies[-1]), 25, 25, rng=rng)
    widths = [s.word] + [s.other] * (len(features.sizes) - 1)
    words = FeatureEmbedding(
        features.sizes, widths, letters=letters, word_dropout=s.word_dropout, rng=rng
    )
    network = Bidirectional(*(LSTM(words.d, s.hidden, rng=rng) for _ in range(2)))
    crf = CRF(len(labels)) if s.crf else None
    model = Transducer(network, len(labels), embedding=words, crf=crf, dropout=s.dropout, rng=rng)

    def encoded(inputs: tuple[Sentences, ...]) -> list[np.ndarray]:
        return [features.encode(*sentence) for sentence in zip(*inputs, strict=True)]

    task = Labelled(encoded(part.inputs), map(labels.encode, part.tags), s.batch, rng=rng)
    fit(
        model,
        task,
        Adam(model.parameters(), s.rate),
        epochs=s.epochs,
        clip=s.clip,
        schedule=schedules.cosine(),
        progress=os.environ.get("PROGRESS") == "1",
    )

    def predict(part: Part) -> Sentences:
        unlabelled = Labelled(encoded(part.inputs), batch=64)
        return [labels.decode(ids) for ids in predictions(model, unlabelled)]

    return predict


class Model(NamedTuple):
    """A row of a table: a tagger, and the figure that it has to reach, in percent."""

    settings: Settings
    goal: float


def arguments(text: str, folder: str, needed: bool = True) -> argparse.Namespace:
    """The command line of a benchmark whose data are in the folder that a variable names."""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    parser.add_argument("--data", default=os.environ.get(folder), help=f"(${folder})")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", help="which ones (all)")
    parser.add_argument("--no-test", action="store_true", help="for choices: do not read the test")
    given = parser.parse_args()
    if needed and not given.data:
        parser.error(f"give --data, the folder of the corpora, or set {folder}")
    return given


def compare(
    given: argparse.Namespace,
    models: dict[str, Model],
    parts: tuple[Part, Part, Part],
    measure: Callable[[Sentences, Sentences], float],
    what: str,
) -> int:
    """Train each model from each seed, print how good it is, and return the exit code."""
    learnt, development, test = parts
    short = []
    print(f"{what}, percent; seconds are of the process, one thread")
    print(f"{'model':24} {'seed':>5} {'development':>12} {'test':>7} {'seconds':>8}", flush=True)
    for name in given.models or models:
        figures = []
        for seed in given.seeds:
            began = time.process_time()
            predict = train(learnt, models[name].settings, seed)
            figure = 100 * measure(development.tags, predict(development))
            line = f"{name:24} {seed:5} {figure:12.2f}"
            if not given.no_test:
                figures.append(100 * measure(test.tags, predict(test)))
                line += f" {figures[-1]:7.2f}"
            print(f"{line} {time.process_time() - began:8.0f}", flush=True)
        if figures:
            mean = float(np.mean(figures))
            reached = mean >= models[name].goal
            print(f"{name:24}  mean {mean:20.2f}   goal {models[name].goal:.1f}", flush=True)
            short += [] if reached else [name]
    if short:
        print(f"below their goals: {', '.join(short)}")
    return 1 if short else 0
