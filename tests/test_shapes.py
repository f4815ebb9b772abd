"""The shapes of recurrent networks, each shown by a model that learns a task of that shape.

One to one, one to many, many to one, and many to many, aligned and not.
"""

from __future__ import annotations

import numpy as np
import pytest

from unspool.autograd import cross_entropy
from unspool.cells import GRU, LSTM, Bidirectional, Module
from unspool.models import (
    Acceptor,
    Adam,
    Dense,
    Embedding,
    EncoderDecoder,
    FeedForward,
    Labelled,
    LanguageModel,
    Pairs,
    Transducer,
    Vocabulary,
    evaluating,
    fit,
    pad_sequences,
)

pytestmark = pytest.mark.slow

START, END, FIRST = 1, 2, 3


def learn(model: Module, loss, updates: int, rate: float = 0.01) -> None:
    """Make the loss of the model small, by so many updates."""
    adam = Adam(model.parameters(), rate)
    for _ in range(updates):
        adam.zero_grad()
        loss().backward()
        adam.step()


def test_one_to_one_a_vector_and_its_class():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    model = FeedForward([2, 8, 2], "tanh", rng=0)
    learn(model, lambda: cross_entropy(model(x), [0, 1, 1, 0]), 200)
    assert model(x).shape == (4, 2)
    assert model(x).data.argmax(-1).tolist() == [0, 1, 1, 0]


class Describer(Module):
    """One to many: a text about a vector. The state that the text begins with is made of it."""

    def __init__(self, d_in: int, vocab_size: int, d: int, rng: np.random.Generator) -> None:
        self.begin = Dense(d_in, d, "tanh", rng=rng)
        self.language = LanguageModel(vocab_size, d, cell=GRU, rng=rng)

    def loss(self, vectors, ids, lengths):
        return self.language.stream_loss(ids, (self.begin(vectors),), lengths)[0]

    def describe(self, vectors, steps: int) -> list[list[int]]:
        with evaluating(self):
            state = (self.begin(vectors),)
        prompts = np.full((len(vectors), 1), START)
        new = self.language.generate(prompts, steps, temperature=0, state=state)
        return [row[: row.index(END)] if END in row else row for row in new.tolist()]


def test_one_to_many_a_vector_and_its_text():
    # A number from 1 to 6, as a vector, is counted down to 1.
    texts = [[START, *range(FIRST + n, FIRST, -1), END] for n in range(1, 7)]
    vectors = np.eye(6, dtype=np.float32)
    ids, lengths = pad_sequences(texts), [len(text) for text in texts]
    model = Describer(6, FIRST + 7, 24, np.random.default_rng(0))
    learn(model, lambda: model.loss(vectors, ids, lengths), 150, 0.02)
    assert model.describe(vectors, 8) == [text[1:-1] for text in texts]
    # The vector is all that these texts differ in.
    assert model.describe(vectors[[2, 2, 5]], 8) == [[6, 5, 4], [6, 5, 4], [9, 8, 7, 6, 5, 4]]


def test_many_to_one_a_text_and_its_class():
    rng = np.random.default_rng(0)

    def texts(count: int):
        rows = [rng.integers(FIRST, FIRST + 4, rng.integers(2, 9)) for _ in range(count)]
        return rows, [int(row[0] == row[-1]) for row in rows]

    model = Acceptor(LSTM(8, 24, rng=rng), 2, embedding=Embedding(FIRST + 4, 8, rng=rng), rng=rng)
    task = Labelled(*texts(1500), batch=32, rng=0)
    fit(model, task, Adam(model.parameters(), 0.02), epochs=12, progress=False)
    judged, labels = texts(200)
    assert model.logits(judged[0]).shape == (2,)
    right = [model.predict(row) == label for row, label in zip(judged, labels, strict=True)]
    assert np.mean(right) > 0.95


def test_many_to_many_aligned_a_label_for_each_token():
    rng = np.random.default_rng(0)

    def texts(count: int):
        rows = [rng.integers(FIRST, FIRST + 4, rng.integers(2, 9)) for _ in range(count)]
        labels = [[int(i in (a, b)) for a, i, b in triples(row)] for row in rows]
        return rows, labels

    def triples(row):
        """Each token between its neighbours; the label says whether it is like one of them."""
        return zip([0, *row[:-1]], row, [*row[1:], 0], strict=True)

    network = Bidirectional(GRU(8, 16, rng=rng), GRU(8, 16, rng=rng))
    model = Transducer(network, 2, embedding=Embedding(FIRST + 4, 8, rng=rng), rng=rng)
    task = Labelled(*texts(600), batch=32, rng=0)
    fit(model, task, Adam(model.parameters(), 0.02), epochs=8, progress=False)
    judged, labels = texts(100)
    assert model.logits(judged[0]).shape == (len(judged[0]), 2)
    right = [model.predict(row).tolist() == y for row, y in zip(judged, labels, strict=True)]
    assert np.mean(right) > 0.95


def test_many_to_many_not_aligned_a_text_and_another():
    rng = np.random.default_rng(0)

    def texts(count: int):
        """What is repeated in a row is written once: targets are shorter than their sources."""
        sources = [rng.integers(FIRST, FIRST + 3, rng.integers(1, 7)) for _ in range(count)]
        kept = [row[np.append(True, row[1:] != row[:-1])] for row in sources]
        return sources, [np.array([START, *row, END]) for row in kept]

    model = EncoderDecoder(FIRST + 3, FIRST + 3, 32, GRU, attention="bilinear", rng=rng)
    task = Pairs(*texts(1200), batch=32, rng=0)
    fit(model, task, Adam(model.parameters(), 0.01), epochs=8, clip=1.0, progress=False)
    judged, targets = texts(100)
    written = [model.greedy(row, 9).tolist() for row in judged]
    right = [row == target[1:-1].tolist() for row, target in zip(written, targets, strict=True)]
    assert np.mean(right) > 0.95
    assert any(len(row) + 2 < len(source) for row, source in zip(written, judged, strict=True))


# Many to one, by characters ---------------------------------------------------------------------


@pytest.mark.parametrize("both", [False, True])
def test_the_part_of_speech_of_a_word_from_its_characters(both):
    endings = {"NOUN": ["ness", "tion", "ity"], "VERB": ["ing", "ized", "ates"], "ADV": ["ly"]}
    endings["ADJ"] = ["ous", "ible", "ful"]
    tags = list(endings)
    rng = np.random.default_rng(0)

    def words(count: int) -> tuple[list[str], np.ndarray]:
        labels = rng.integers(0, 4, count)
        letters = list("abdegiklmnoprstu")
        stems = ["".join(rng.choice(letters, rng.integers(2, 6))) for _ in range(count)]
        ends = [rng.choice(endings[tags[label]]) for label in labels]
        return [stem + end for stem, end in zip(stems, ends, strict=True)], labels

    learnt, labels = words(800)
    vocabulary = Vocabulary.count("".join(learnt), level="character")
    network = LSTM(12, 24, rng=rng)
    if both:
        network = Bidirectional(network, LSTM(12, 24, rng=rng))
    vectors = Embedding(len(vocabulary), 12, rng=rng)
    model = Acceptor(network, len(tags), embedding=vectors, rng=rng)
    task = Labelled([vocabulary.encode(word) for word in learnt], labels, batch=32, rng=0)
    fit(model, task, Adam(model.parameters(), 0.02), epochs=6, progress=False)
    unseen, expected = words(200)
    guesses = [int(model.predict(vocabulary.encode(word))) for word in unseen]
    assert np.mean(np.array(guesses) == expected) > 0.97
    assert tags[int(model.predict(vocabulary.encode("slowly")))] == "ADV"
    assert tags[int(model.predict(vocabulary.encode("kindness")))] == "NOUN"
