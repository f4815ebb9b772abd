"""The code of a lecture on recurrent networks with Keras, typed as it stands there.

B. Roth, Recurrent Neural Networks (Centrum für Informations- und Sprachverarbeitung, LMU München).
``keras`` is replaced in the import lines. The lecture's dots stand for what came before: a block
runs in the place of a program that the dots tell.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from unspool.models.keras import layers
from unspool.models.keras.preprocessing.sequence import pad_sequences

SENTENCES = [list(np.random.default_rng(i).integers(1, 9000, 3 + i % 9)) for i in range(40)]
LABELS = np.array([int(max(s) > 8000) for s in SENTENCES])

IDEA = """
from keras.models import Sequential
from keras.layers import SomeLayer, OtherLayer
model = Sequential()
model.add(SomeLayer(...))
model.add(OtherLayer(...))
model.add(...)
model.compile(optimizer='sgd',
              loss='binary_crossentropy',
              metrics=['accuracy'])
model.fit(x_train, y_train)
"""

EMBEDDING = """
from keras.layers import Embedding
...
model.add(Embedding(input_dim=10000, output_dim=50))
...
"""

PRETRAINED = """
from keras.layers import Embedding
...
model.add(Embedding(input_dim=10000, output_dim=50, \\
                    weights=[word_vectors], trainable=False))
...
"""

IMPORTS_OF_RNN = """
from keras.layers import LSTM, Bidirectional
"""

RNN = """
model.add(LSTM(units=100))
"""

SEQUENCES = """
model.add(LSTM(units=100, return_sequences=True))
"""

HIDDEN = """
from keras.layers import Dense
...
model.add(Dense(100, activation='tanh'))
...
"""

OUTPUT = """
...
model.add(Dense(1, activation='sigmoid'))
...
"""

COMPILE = """
model.compile(loss='binary_crossentropy', optimizer='adam',
              metrics=['accuracy'])
"""

CONVOLUTION = """
...
model.add(Conv1D(filters=50, kernel_size=3, \\
                 activation='relu', padding='same'))
model.add(GlobalMaxPooling1D())
...
"""

FIT = """
model.fit(x_train, y_train, batch_size=10, epochs=1, validation_data=(x_dev, y_dev))
y_predicted = model.predict(x_dev)
score, acc = model.evaluate(x_dev, y_dev)
"""

START = """
from keras.models import Sequential
from keras.layers import Conv1D, GlobalMaxPooling1D
from keras.preprocessing.sequence import pad_sequences
model = Sequential()
"""

PROGRAMS = {
    "a network": [START, EMBEDDING, IMPORTS_OF_RNN, RNN, HIDDEN, OUTPUT, COMPILE, FIT],
    "pretrained vectors": [START, PRETRAINED, IMPORTS_OF_RNN, RNN, HIDDEN, OUTPUT, COMPILE, FIT],
    "states at each position": [
        START, EMBEDDING, IMPORTS_OF_RNN, SEQUENCES, RNN, HIDDEN, OUTPUT, COMPILE, FIT,
    ],
    "a convolution": [START, EMBEDDING, CONVOLUTION, HIDDEN, OUTPUT, COMPILE, FIT],
}  # fmt: skip


def typed(blocks: list[str]) -> str:
    return "\n".join(textwrap.dedent(b) for b in blocks).replace("keras.", "unspool.models.keras.")


def data() -> dict[str, object]:
    x = pad_sequences(SENTENCES, 8)
    vectors = np.random.default_rng(0).standard_normal((10000, 50)).astype(np.float32)
    return {
        "x_train": x[:30], "y_train": LABELS[:30], "x_dev": x[30:], "y_dev": LABELS[30:],
        "word_vectors": vectors,
    }  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_blocks_run(name, capsys):
    space = data()
    exec(typed(PROGRAMS[name]), space)
    assert space["y_predicted"].shape == (10, 1)
    p = space["y_predicted"][:, 0]
    assert space["acc"] == pytest.approx(((p > 0.5) == space["y_dev"]).mean())
    y = space["y_dev"]
    expected = -np.log(np.where(y == 1, p, 1 - p).astype(float)).mean()
    assert space["score"] == pytest.approx(expected, rel=1e-5)
    assert "val_accuracy" in capsys.readouterr().out
    if name == "pretrained vectors":
        E = space["model"].layers[0].get_weights()[0]
        np.testing.assert_array_equal(E, space["word_vectors"])


def test_the_idea(monkeypatch):
    """SomeLayer and OtherLayer stand for two layers, and each Ellipsis for what they need."""
    some = lambda dots: layers.Embedding(10000, 50)  # noqa: E731
    other = lambda dots: layers.LSTM(100)  # noqa: E731
    monkeypatch.setattr(layers, "SomeLayer", some, raising=False)
    monkeypatch.setattr(layers, "OtherLayer", other, raising=False)
    space = data()
    last = "model.add(layers.Dense(1, activation='sigmoid'))"
    exec("from keras import layers".replace("keras", "unspool.models.keras"), space)
    exec(typed([IDEA.replace("model.add(...)", last)]), space)
    assert space["model"].predict(space["x_dev"]).shape == (10, 1)
    with pytest.raises(TypeError, match=r"Sequential.add: expected a layer .*, as in Dense\(10\)"):
        exec(typed([IDEA]), data())  # the dots themselves are no layer
