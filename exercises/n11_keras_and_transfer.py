"""Exercises of notebook 11: the same in Keras's names, and transfer."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..models.keras import LSTM, Bidirectional, Dense, Embedding, Sequential
from .exercise import digest
from .kinds import Choice, Conditions, Function

__all__ = ["EXERCISES"]

Rng = np.random.Generator


def pad(sequences: Any, length: int) -> Any:
    """One array (sequences, length): the last ids of each sequence, zeros before a short one."""
    rows = np.zeros((len(sequences), length), int)
    for row, ids in zip(rows, sequences):
        kept = ids[-length:]
        row[length - len(kept) :] = kept
    return rows


def some_ids(rng: Rng) -> tuple[Any, ...]:
    """Sequences shorter than, as long as, and longer than a length."""
    return [rng.integers(1, 90, n).tolist() for n in rng.permutation([2, 4, 7, 5])], 4


def slides() -> Any:
    """The network of the slides, compiled."""
    model = Sequential()
    model.add(Embedding(input_dim=10000, output_dim=50))
    model.add(Bidirectional(LSTM(units=100)))
    model.add(Dense(100, activation="tanh"))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


IDS = np.array([[0, 0, 3, 9999], [1, 2, 3, 4]])


def is_sequential(model: Any, rng: Rng) -> bool:
    """A network of layers."""
    return isinstance(model, Sequential)


def embeds(model: Any, rng: Rng) -> bool:
    """Begins with an embedding of the size asked for."""
    layers = model.layers
    if not (layers and isinstance(layers[0], Embedding)):
        return False
    model(IDS)
    return bool(layers[0].get_weights()[0].shape == (10000, 50))


def reads_both_ways(model: Any, rng: Rng) -> bool:
    """Has a Bidirectional layer behind it."""
    return len(model.layers) > 1 and isinstance(model.layers[1], Bidirectional)


def one_vector(model: Any, rng: Rng) -> bool:
    """Gives a vector for a sentence, of both directions' last states."""
    embedding, both = model.layers[:2]
    return bool(np.shape(both(embedding(IDS))) == (2, 200))


def two_dense(model: Any, rng: Rng) -> bool:
    """Has the intermediate layer with tanh."""
    middle = model.layers[2:-1]
    return len(middle) == 1 and isinstance(middle[0], Dense) and like(middle[0], "tanh", 100)


def like(layer: Any, activation: str, units: int) -> bool:
    """Whether a layer computes what a Dense of this activation and size does."""
    weights = layer.get_weights()
    if len(weights) != 2:
        return False
    W, b = weights
    x = np.linspace(-1, 1, 3 * len(W)).reshape(3, len(W)).astype(np.float32)
    z = x @ W + b
    expected = np.tanh(z) if activation == "tanh" else 1 / (1 + np.exp(-z))
    return bool(len(b) == units and np.allclose(layer(x).data, expected, atol=1e-5))


def one_probability(model: Any, rng: Rng) -> bool:
    """Ends with one number between 0 and 1."""
    last = model.layers[-1]
    return isinstance(last, Dense) and like(last, "sigmoid", 1)


def compiled(model: Any, rng: Rng) -> bool:
    """Is compiled with the loss: the loss that evaluate gives is that of the probabilities."""
    y = np.array([1, 0])
    p = model.predict(IDS, verbose=0)[:, 0].astype(float)
    try:
        found = model.evaluate(IDS, y, verbose=0)
    except (RuntimeError, ValueError):
        return False
    right = -np.log(np.where(y == 1, p, 1 - p)).mean()
    return np.ndim(found) == 1 and bool(np.isclose(found[0], right, rtol=1e-4))


SEQUENTIAL = "Expected a Sequential: model = Sequential(), then model.add(...)."
EMBEDS = "The first layer must be an Embedding of 10,000 words with vectors of 50 numbers."
BOTH = "The second layer must read both ways: wrap the LSTM in Bidirectional(...)."
VECTOR = (
    "The LSTM has 100 units and gives one vector for a sentence, of 200 numbers for both "
    "directions: leave return_sequences out."
)
MIDDLE = "Between the LSTM and the output stands one Dense layer of 100 with activation='tanh'."
LAST = "The last layer gives one probability: Dense(1, activation='sigmoid')."
COMPILED = (
    "Compile it with loss='binary_crossentropy', an optimizer and metrics=['accuracy']; then "
    "evaluate gives the loss and the accuracy."
)


def parameters(n: int, d: int, units: int, frozen: bool) -> Any:
    """All parameters of Embedding(n, d), LSTM(units), Dense(1), and those that are trained."""
    embedding = n * d
    lstm = 4 * (d * units + units * units + units)
    dense = units + 1
    total = embedding + lstm + dense
    return total, total - embedding if frozen else total


def sizes(rng: Rng) -> tuple[Any, ...]:
    """Words, widths, and frozen vectors."""
    return int(rng.integers(500, 9000)), int(rng.integers(20, 90)), int(rng.integers(8, 60)), True


def stages(n: int) -> Any:
    """A row for each stage of chain-thaw: 1 for the layers that are trained, lowest first."""
    alone = np.eye(n, dtype=int)
    every = np.ones((1, n), int)
    return np.concatenate([alone[-1:], alone[:-1], every])


def how_many(rng: Rng) -> tuple[Any, ...]:
    """A number of layers."""
    return (int(rng.integers(4, 7)),)


def gradually(n: int) -> Any:
    """One more layer in each stage, from the top."""
    return np.array([[int(i >= n - stage) for i in range(n)] for stage in range(1, n + 1)])


def never_frozen_again(n: int) -> Any:
    """Chain-thaw's order, but what was thawed stays so."""
    return np.minimum(np.cumsum(stages(n), axis=0), 1)


VECTOR_ALONE, LABEL, NEXT, LAYER = "one vector", "a label each", "the next word each", "a layer"
FIXED, TUNED, RANDOM, ONE_HOT = "fixed", "tuned", "random", "one-hot"

EXERCISES = [
    Function(
        id="11.pad",
        title="Pad as Keras does",
        question="Write pad_sequences: cut and fill at the beginning.",
        hints=(
            "Begin with an array of zeros, (number of sequences, length), and fill its rows.",
            "ids[-length:] are the last ids, of a short sequence all of them.",
            "The row's place for them begins at length - len(kept).",
        ),
        solution=pad,
        inputs=some_ids,
        mistakes={
            "The zeros stand behind the short sequences; here they stand before them.": (
                "row[length - len(kept) :] = kept",
                "row[: len(kept)] = kept",
            ),
            "Of the long sequences the first ids are kept; keep the last ones.": (
                "ids[-length:]",
                "ids[:length]",
            ),
            "Cut and filled at the end; Keras does both at the beginning, if not told otherwise.": (
                ("ids[-length:]", "ids[:length]"),
                ("row[length - len(kept) :] = kept", "row[: len(kept)] = kept"),
            ),
            "The long sequences are not cut: the array is as wide as the longest.": (
                "    rows = np.zeros",
                "    length = max(map(len, sequences))\n    rows = np.zeros",
            ),
            "The ids are reversed; only zeros are added and ids cut off.": (
                "kept = ids[-length:]",
                "kept = ids[-length:][::-1]",
            ),
        },
    ),
    Conditions(
        id="11.slides",
        title="The code of the slides",
        question="Build and compile the network of the slides.",
        hints=(
            "Four layers: Embedding, Bidirectional(LSTM), Dense with tanh, Dense with sigmoid.",
            "Each is added by model.add(...); give input_dim and output_dim, units, activation.",
            "At last model.compile(loss='binary_crossentropy', optimizer='adam', metrics=[...]).",
        ),
        solution=slides,
        conditions={
            SEQUENTIAL: is_sequential,
            EMBEDS: embeds,
            BOTH: reads_both_ways,
            VECTOR: one_vector,
            MIDDLE: two_dense,
            LAST: one_probability,
            COMPILED: compiled,
        },
        mistakes={
            SEQUENTIAL: lambda: [Embedding(10000, 50)],
            EMBEDS: ("input_dim=10000, output_dim=50", "input_dim=10000, output_dim=100"),
            BOTH: ("Bidirectional(LSTM(units=100))", "LSTM(units=100)"),
            VECTOR: ("units=100", "units=100, return_sequences=True"),
            MIDDLE: ('activation="tanh"', 'activation="relu"'),
            LAST: (', activation="sigmoid"', ""),
            COMPILED: ("binary_crossentropy", "mse"),
        },
    ),
    Choice(
        id="11.positions",
        title="A state at each position?",
        question="Who reads the states in each of the five tasks?",
        hints=(
            "Ask of each task how many predictions a sentence gets.",
            "One prediction can be made from one vector; one for each word needs all states.",
            "Two tasks need one vector. An RNN above another one reads its states too.",
        ),
        right=tuple(
            digest("11.positions", answer)
            for answer in (VECTOR_ALONE, LABEL, LAYER, VECTOR_ALONE, NEXT)
        ),
        options={
            VECTOR_ALONE: "One vector is enough for one prediction; here something is read at "
            "each word.",
            LABEL: "How many labels does one text get here?",
            NEXT: "Only a language model predicts a word after each word.",
            LAYER: "What stands above this network? Another RNN would read a sequence.",
        },
        because=(
            "a tag and a next word are predicted at each position, and a second RNN reads a "
            "sequence: these need return_sequences=True. Praise, or the language of a text, is one "
            "prediction."
        ),
    ),
    Choice(
        id="11.vectors",
        title="Fixed, tuned or random?",
        question="Which word vectors fit each of the four situations?",
        hints=(
            "Fixed vectors are right for words that training never shows, and cannot overfit.",
            "Are there data to tune the vectors? Are there pretrained vectors of these words?",
            "Each of the three is right at least once; little data is a reason to fix them.",
        ),
        right=tuple(digest("11.vectors", answer) for answer in (FIXED, TUNED, RANDOM, TUNED)),
        options={
            FIXED: "Fixed vectors keep what they had: is what the task needs in them at all?",
            TUNED: "Tuning needs pretrained vectors of these words, and data enough for them.",
            ONE_HOT: "A one-hot vector is as wide as the vocabulary, and all words equally far.",
            RANDOM: "There are pretrained vectors here that know something of these words.",
        },
        because=(
            "with few sentences fixed vectors overfit less and cover words that training lacks; "
            "with many, tuning adds what the task needs, as that good and bad are opposites; "
            "symbols that no text has need vectors of their own."
        ),
    ),
    Function(
        id="11.trained",
        title="Count what is trained",
        question="Return the number of all parameters, and of those that are trained.",
        hints=(
            "The summary lists them: a table of vectors, the LSTM, one dense unit.",
            "The LSTM has four of W, U and b; the dense layer a weight a unit, and one bias.",
            "4 (d units + units² + units) + units + 1 are trained if the n d vectors are frozen.",
        ),
        solution=parameters,
        inputs=sizes,
        cases={"frozen = False": lambda n, d, units, frozen: (n, d, units, False)},
        names=("total", "trained"),
        mistakes={
            "Frozen parameters are parameters too: the total does not change.": (
                "return total, ",
                "return total - embedding if frozen else total, ",
            ),
            "frozen makes no difference; frozen vectors are not trained.": (
                " - embedding if frozen else total",
                "",
            ),
            "The biases of the LSTM are missing.": (" + units)", ")"),
            "A gate has one bias a unit here; this counts two, as PyTorch has them.": (
                " + units)",
                " + 2 * units)",
            ),
            "An LSTM has four of these sums, three gates and a candidate.": ("4 * (", "3 * ("),
            "This counts one sum of the LSTM; it has four.": ("4 * (", "1 * ("),
            "The bias of the dense layer is missing.": ("units + 1", "units"),
        },
    ),
    Function(
        id="11.thaw",
        title="The stages of chain-thaw",
        question="Return a matrix with a row for each stage: 1 for the layers that are trained.",
        hints=(
            "What is new is trained first. In which column does it stand?",
            "Then each of the others alone, lowest first; at last all together.",
            "The last row of np.eye(n), then its other rows in order, then a row of ones.",
        ),
        solution=stages,
        inputs=how_many,
        mistakes={
            "The head comes last here; it is the new layer and is trained first.": (
                "alone[-1:], alone[:-1]",
                "alone",
            ),
            "The layers are thawed from the top; after the head begin with the lowest.": (
                "alone[-1:], alone[:-1]",
                "alone[::-1]",
            ),
            "Layers are thawed from the top and stay so (gradual unfreezing); in chain-thaw one "
            "layer is trained at a time.": gradually,
            "A layer is frozen again when the next one is trained.": never_frozen_again,
            "The last stage is missing: all layers together.": (", every]", "]"),
            "The first stage is missing: the new head alone.": ("alone[-1:], ", ""),
            "Each layer alone, lowest first: the new head is tuned first, and at last all.": (
                "return np.concatenate([alone[-1:], alone[:-1], every])",
                "return alone",
            ),
            "0 and 1 are exchanged: 1 is for the layers that are trained.": (
                "return np.concatenate([alone[-1:], alone[:-1], every])",
                "return 1 - np.concatenate([alone[-1:], alone[:-1], every])",
            ),
        },
    ),
]
