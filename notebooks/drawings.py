"""The ten drawings of docs/drawings.md, each made from a tape.

Run: ``python notebooks/drawings.py`` where unspool is installed (or ``make drawings``); it writes
docs/drawings/*.svg, the same bytes on every machine.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unspool import Parameter, draw, scope, unroll
from unspool.autograd import cross_entropy
from unspool.cells import GRU, LSTM, Bidirectional, Elman, Stacked
from unspool.models import (
    CRF,
    Acceptor,
    Adam,
    Embedding,
    EncoderDecoder,
    Labels,
    LanguageModel,
    Transducer,
    Vocabulary,
)
from unspool.viz import Drawing, lattice

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "drawings"
WORDS = Vocabulary(["the", "cat", "sat", "on", "mat", "die", "Katze", "saß"])
LABELS = Labels(["DET", "NOUN", "VERB"])
# Short words make narrow columns.
SHORT = {"embedding": "lookup", "encoder": "enc", "decoder": "dec", "layer {n}": "{n}"}


def fitted(model: object, loss: Callable[[], object], updates: int = 150) -> None:
    """Train until every prediction is sure, so that words are the same on every machine."""
    optimizer = Adam(model.parameters(), lr=0.05)
    for _ in range(updates):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


@functools.cache
def language_model() -> LanguageModel:
    """A language model that knows one sentence."""
    model = LanguageModel(len(WORDS), 8, Elman, rng=0)
    model.vocabulary = WORDS
    ids = WORDS.encode("the cat sat on the mat", start=True, end=True)
    fitted(model, lambda: model.loss(ids))
    return model


@functools.cache
def encoder_decoder(attention: str | None) -> EncoderDecoder:
    """An encoder-decoder that translates one sentence."""
    model = EncoderDecoder(len(WORDS), len(WORDS), 8, GRU, attention=attention, rng=0)
    model.vocabulary = WORDS
    source, target = WORDS.encode("die Katze"), WORDS.encode("cat", True, True)
    fitted(model, lambda: model.loss(source, target))
    return model


@functools.cache
def tagger() -> Transducer:
    """A tagger that knows one sentence."""
    model = Transducer(GRU(8, 6, rng=0), 3, embedding=Embedding(len(WORDS), 8, rng=1), rng=2)
    model.vocabulary, model.labels = WORDS, LABELS
    ids, tags = WORDS.encode("the cat sat"), LABELS.encode(["DET", "NOUN", "VERB"])
    fitted(model, lambda: model.loss(ids, tags), 40)
    return model


def scored() -> Transducer:
    """A tagger with a CRF whose scores are whole numbers."""
    network = Elman(3, 3, activation="identity", rng=0)
    embedding = Embedding(len(WORDS), 3, rng=0)
    model = Transducer(network, 3, embedding=embedding, crf=CRF(3), rng=0)
    model.vocabulary, model.labels = WORDS, LABELS
    for p in model.parameters():
        p.data = np.zeros_like(p.data)
    network.W.data = np.eye(3, dtype=np.float32)
    model.head.layers[0].W.data = np.array([[3, 1, 0], [1, 2, 2], [0, 1, 2]], np.float32)
    model.crf.T.data = np.array([[-2, 2, 0], [-1, 0, 2], [1, 1, -2]], np.float32)
    for place, word in enumerate(["the", "cat", "sat"]):
        embedding.E.data[WORDS.encode(word), place] = 1
    return model


@functools.cache
def classifier() -> Acceptor:
    """A classifier that knows one sentence."""
    words = Embedding(len(WORDS), 8, rng=1)
    model = Acceptor(LSTM(8, 6, rng=0), 2, embedding=words, rng=2)
    model.vocabulary, model.labels = WORDS, Labels(["dull", "good"])
    fitted(model, lambda: model.loss(WORDS.encode("the cat sat"), 1), 40)
    return model


def unrolled() -> Drawing:
    """An Elman network with U, V and W, and a loss at each step."""
    V = Parameter(np.full((4, 5), 0.1, np.float32), name="V")
    ys, _ = unroll(Elman(3, 4, bias=False, rng=0), np.ones((3, 3), np.float32))
    with scope("output"):
        scores = ys @ V
    return draw(cross_entropy(scores, [0, 1, 2]), level="cell", legend=False)


def losses() -> Drawing:
    """A language model with a loss at each step."""
    return draw(language_model(), words="the cat sat", labels=SHORT, legend=False)


def teacher_forcing() -> Drawing:
    """The decoder reads the right words, whatever it has predicted."""
    model = encoder_decoder(None)
    return draw(model, words="die Katze", targets="cat", labels=SHORT, legend=False)


def generation() -> Drawing:
    """Each word is fed back."""
    return draw(language_model(), words="the", generate=3, labels=SHORT, legend=False)


def tied() -> Drawing:
    """One matrix below and above."""
    model = LanguageModel(9, 4, Elman, rng=0)
    return draw(model.logits([1, 3, 4]), level="cell")


def acceptor() -> Drawing:
    """One output, after the last word."""
    return draw(classifier(), words="the cat sat", targets="good", labels=SHORT, legend=False)


def transducer() -> Drawing:
    """An output at each word."""
    return draw(
        tagger(),
        words="the cat sat",
        targets=["DET", "NOUN", "VERB"],
        labels=SHORT,
        legend=False,
    )


def stacked() -> Drawing:
    """Layers upwards, time to the right."""
    return draw(
        Stacked([Elman(3, 4), Elman(4, 4), Elman(4, 4)]), level="cell", steps=4, legend=False
    )


def directions() -> Drawing:
    """Two passes over the same inputs."""
    return draw(Bidirectional(Elman(3, 4), Elman(3, 4)), level="cell", steps=3, legend=False)


def gates() -> Drawing:
    """What happens in one step of an LSTM."""
    ys, _ = unroll(LSTM(3, 4, rng=0), np.ones((3, 3), np.float32))
    return draw(ys, level="op", at=2, legend=False)


def attention() -> Drawing:
    """The decoder looks back at all that was read."""
    model = encoder_decoder("dot")
    return draw(
        model,
        words="die Katze",
        targets="cat",
        labels=SHORT | {"attention": "attend"},
        legend=False,
    )


def crf() -> Drawing:
    """All paths, and the best one."""
    return lattice(scored(), "the cat sat", targets=["DET", "NOUN", "VERB"])


DRAWINGS: tuple[Callable[[], Drawing], ...] = (
    unrolled,
    losses,
    teacher_forcing,
    generation,
    tied,
    acceptor,
    transducer,
    stacked,
    directions,
    gates,
    attention,
    crf,
)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the drawings")
    out = parser.parse_args().out
    for make in DRAWINGS:
        print(make().save(out / f"{make.__name__}.svg"))


if __name__ == "__main__":
    main()
