"""Does a reviewer praise the film or not? Five ways to read a sentence, side by side.

The corpus is NLTK's sentence polarity: 10,662 sentences, half of them praise, in ten folds drawn
once; the first three are the tests, each with a seed of its own, and figures are their mean. Of
the nine other folds one says when training stops, and eight are learnt from (naive Bayes, which
never stops, learns from all nine). A test fold is read once a network.

The networks: a feedforward net over the mean of the embeddings, the last state of an Elman
network, of an LSTM, and of an LSTM in two directions, and a convolution with the maximum over
time. Each is trained with embeddings of its own, which begin at random, and once more with
embeddings that begin as GloVe's and are tuned. With the sample of GloVe that the tests use, its
2,446 most frequent words, that is a share of the vocabulary only, which is printed.

Run: ``python sentence_polarity.py [vectors.txt] [--folds 0 1 2] [--networks bag Elman LSTM BiLSTM
CNN] [--develop]`` where unspool and nltk are installed, with the corpus where NLTK looks for it
(the environment variable ``NLTK_DATA``); some fifteen minutes. Without a file, GloVe's sample in
the folder that ``UNSPOOL_DATA`` names is read, and without that the table has no second half. It
prints accuracies with the process time of each training, and ends with exit code 1 if the best
mean is below 75.5 %.

Source: the corpus is Pang and Lee's (2005).
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unspool.cells import LSTM, Bidirectional, Elman
from unspool.models import (
    Acceptor,
    Adam,
    BagClassifier,
    Classifier,
    Embedding,
    Labelled,
    Labels,
    TextCNN,
    Vocabulary,
    align_vectors,
    embedding_from,
    fit,
    load_vectors,
    predictions,
)
from unspool.models.text import readers
from unspool.models.training import metrics

FOLDS, SPLIT_SEED = 10, 0
WORD, WIDTH, FILTERS, MINIMUM = 50, 64, 50, 2
BATCH, RATE, NORM, DROPOUT, EPOCHS, PATIENCE = 32, 0.002, 1.0, 0.5, 12, 2
GOAL = 0.755
NETWORKS = ("bag", "Elman", "LSTM", "BiLSTM", "CNN")
SAMPLE = Path("glove_sample", "glove.6B.50d.first2446.txt")


class Data(NamedTuple):
    """Sentences as ids, and their labels, to learn from, for development and for the test."""

    vocabulary: Vocabulary
    parts: list[tuple[list[np.ndarray], np.ndarray]]


def folds() -> tuple[list[list[str]], np.ndarray, list[np.ndarray]]:
    """The sentences, their labels, and which of them each fold has."""
    sentences, names = readers.sentence_polarity()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(sentences))
    return sentences, Labels.count(names).encode(names), np.array_split(order, FOLDS)


def data_of(fold: int, judged: str) -> Data:
    """What is there when this fold is the test; where ``judged`` is "develop", it is left out."""
    sentences, labels, rows = folds()
    after = (fold + 1) % FOLDS
    learnt = np.concatenate([rows[i] for i in range(FOLDS) if i not in (fold, after)])
    words = (word for i in learnt for word in sentences[i])
    vocabulary = Vocabulary.count(words, MINIMUM)
    parts = [learnt, rows[after], rows[after if judged == "develop" else fold]]
    return Data(
        vocabulary, [([vocabulary.encode(sentences[i]) for i in p], labels[p]) for p in parts]
    )


def naive_bayes(data: Data, learnt: int) -> float:
    """The accuracy of multinomial naive Bayes of so many parts, with 1 added to each count."""
    counts, answers = np.ones((len(data.vocabulary), 2)), np.zeros(2)
    for sentences, labels in data.parts[:learnt]:
        for ids, label in zip(sentences, labels, strict=True):
            np.add.at(counts[:, label], ids, 1)
            answers[label] += 1
    logs, prior = np.log(counts / counts.sum(0)), np.log(answers / answers.sum())
    sentences, labels = data.parts[-1]
    return metrics.accuracy(
        labels, np.array([(prior + logs[s].sum(0)).argmax() for s in sentences])
    )


def made(network: str, embedding: Embedding, rng: np.random.Generator) -> Classifier:
    """An untrained classifier."""
    options = {"dropout": DROPOUT, "rng": rng}
    if network == "bag":
        return BagClassifier(embedding, 2, hidden=[WIDTH], **options)
    options["embedding"] = embedding
    if network == "CNN":
        return TextCNN(WORD, 2, filters=FILTERS, **options)
    if network == "Elman":
        return Acceptor(Elman(WORD, WIDTH, rng=rng), 2, **options)
    if network == "LSTM":
        return Acceptor(LSTM(WORD, WIDTH, rng=rng), 2, **options)
    both = Bidirectional(LSTM(WORD, WIDTH, rng=rng), LSTM(WORD, WIDTH, rng=rng))
    return Acceptor(both, 2, **options)


def accuracy(model: Classifier, task: Labelled) -> float:
    """The share of sentences whose label is found."""
    return metrics.accuracy(np.array(task.labels), predictions(model, task))


def train(network: str, data: Data, vectors: dict | None, seed: int) -> tuple[float, float, int]:
    """The accuracy on the test, seconds of process time, and passes."""
    rng = np.random.default_rng(seed)
    learnt, develop, test = [Labelled(*part, BATCH, rng=rng) for part in data.parts]
    started = time.process_time()
    embedding = Embedding(len(data.vocabulary), WORD, rng=rng)
    if vectors is not None:
        embedding = embedding_from(align_vectors(vectors, data.vocabulary, rng=rng)[0])
    model = made(network, embedding, rng)
    history = fit(
        model,
        learnt,
        Adam(model.parameters(), RATE),
        epochs=EPOCHS,
        validation=develop,
        metrics={"accuracy": accuracy},
        monitor="validation_accuracy",
        mode="max",
        patience=PATIENCE,
        clip=NORM,
        progress=False,
    )
    return accuracy(model, test), time.process_time() - started, len(history)


def vectors_from(path: Path | None) -> dict | None:
    """The vectors of a file, or of GloVe's sample where there is one."""
    if path is None and "UNSPOOL_DATA" in os.environ:
        path = Path(os.environ["UNSPOOL_DATA"]) / SAMPLE
    if path is None:
        print("no vectors: give a file, or set UNSPOOL_DATA")
        return None
    found = load_vectors(path)
    widths = {len(vector) for vector in found.values()}
    if widths != {WORD}:
        raise SystemExit(f"{path}: expected vectors of {WORD}, got {widths}")
    print(f"{len(found):,} vectors from {path.name}")
    return found


def describe(data: Data, vectors: dict | None) -> None:
    """Print what there is in a fold, and how much of it has a vector."""
    line = ", ".join(
        f"{len(ids):,} {what}"
        for (ids, _), what in zip(
            data.parts, ("to learn from", "development", "judged"), strict=True
        )
    )
    line += f"; {len(data.vocabulary):,} words"
    if vectors is not None:
        known = align_vectors(vectors, data.vocabulary, rng=0)[1]
        tokens = np.concatenate(data.parts[0][0])
        line += f", {known.mean():.0%} of them with a vector, {known[tokens].mean():.0%} of tokens"
    print(line, flush=True)


def main() -> int:
    """Print the table; the exit code says whether the best network did what it should."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("vectors", nargs="?", type=Path, help=f"GloVe's text form, {WORD} wide")
    parser.add_argument("--folds", nargs="+", type=int, choices=range(FOLDS), default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--develop", action="store_true", help="judge on the development part")
    options = parser.parse_args()
    print(
        f"embeddings of {WORD}, width {WIDTH}, 3 x {FILTERS} filters, Adam at {RATE}, batches of "
        f"{BATCH}, dropout {DROPOUT}, at most {EPOCHS} passes, patience {PATIENCE}"
    )
    vectors = vectors_from(options.vectors)
    kinds = {"random": None} if vectors is None else {"random": None, "GloVe": vectors}
    found: dict[tuple[str, str], list[float]] = {}
    for fold in options.folds:
        data = data_of(fold, "develop" if options.develop else "test")
        print(f"\nfold {fold}, seed {fold}: ", end="")
        describe(data, vectors)
        found.setdefault(("naive Bayes", ""), []).append(
            naive_bayes(data, 1 if options.develop else 2)
        )
        print(f"  {'naive Bayes':11} {found['naive Bayes', ''][-1]:21.1%}", flush=True)
        for network in options.networks:
            for kind, start in kinds.items():
                right, seconds, passes = train(network, data, start, seed=fold)
                found.setdefault((network, kind), []).append(right)
                print(
                    f"  {network:11} {kind:6} embeddings {right:.1%}, {passes} passes, "
                    f"{seconds:.0f} s",
                    flush=True,
                )
    print(f"\nmean of {len(options.folds)} folds " + "".join(f"{kind:>8}" for kind in kinds))
    print(f"{'naive Bayes':15}{np.mean(found['naive Bayes', '']):8.1%}")
    for network in options.networks:
        means = (np.mean(found[network, kind]) for kind in kinds)
        print(f"{network:15}" + "".join(f"{mean:8.1%}" for mean in means))
    best = max(np.mean(rights) for (name, _), rights in found.items() if name != "naive Bayes")
    return 0 if best >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
