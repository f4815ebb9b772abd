"""Keras's names: the lecture's snippets, formulas, masks, losses from probabilities, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from unspool import Parameter, Tensor, check_grads
from unspool.cells import LSTM as LSTMCell
from unspool.cells import ResetAfterGRU
from unspool.models.keras import (
    GRU,
    LSTM,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    History,
    Layer,
    Sequential,
    SimpleRNN,
    pad_sequences,
)
from unspool.models.keras import optimizers as keras_optimizers
from unspool.models.keras.callbacks import Callback, EarlyStopping, ModelCheckpoint
from unspool.models.keras.data import Batch
from unspool.models.keras.optimizers import BY_NAME
from unspool.models.keras.session import clear_session
from unspool.models.keras.utils import to_categorical
from unspool.models.training.optim import SGD, Adam

LISTS = [[5, 6, 7, 3], [8], [4, 4, 9], [9, 2, 6, 1, 7, 8]]
ENDS = np.array([1, 0, 0, 1])


def sigmoid(x):
    return 0.5 + 0.5 * np.tanh(x / 2)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def network(*layers: Layer, seed: int = 0, ids: bool = True) -> Sequential:
    """The layers in float64, built for ids, or for sequences of three features."""
    model = Sequential(layers, rng=seed, dtype=np.float64)
    model.build((None, None) if ids else (None, None, 3))
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.data[...] = rng.standard_normal(p.shape) * 0.7
    return model


def loss_of(model: Sequential, x, y) -> Tensor:
    """The loss of a batch, through which gradients run."""
    return model._batch_loss(Batch(np.asarray(x), np.asarray(y), None))


# The lecture ------------------------------------------------------------------------------------

SENTENCES = [list(np.random.default_rng(i).integers(1, 50, 3 + i % 9)) for i in range(60)]
# Positive is what holds a word above 40.
LABELS = np.array([int(max(s) > 40) for s in SENTENCES])

SNIPPETS = {
    "idea": """
model = Sequential()
model.add(Embedding(input_dim=50, output_dim=8))
model.add(LSTM(units=10))
model.add(Dense(1, activation='sigmoid'))
model.compile(optimizer='sgd',
              loss='binary_crossentropy',
              metrics=['accuracy'])
model.fit(x_train, y_train)
""",
    "pre-trained": """
model = Sequential()
model.add(Embedding(input_dim=50, output_dim=8, \\
                    weights=[word_vectors], trainable=False))
model.add(Bidirectional(LSTM(units=10)))
model.add(Dense(10, activation='tanh'))
model.add(Dense(1, activation='sigmoid'))
model.compile(loss='binary_crossentropy', optimizer='adam', \\
              metrics=['accuracy'])
model.fit(x_train, y_train)
""",
    "two layers": """
model = Sequential()
model.add(Embedding(input_dim=50, output_dim=8))
model.add(LSTM(units=10, return_sequences=True))
model.add(LSTM(units=10))
model.add(Dense(2, activation='softmax'))
model.compile(loss='categorical_crossentropy', optimizer='adam', \\
              metrics=['accuracy'])
y_train, y_dev = np.eye(2)[y_train], np.eye(2)[y_dev]
model.fit(x_train, y_train)
""",
    "convolution": """
model = Sequential()
model.add(Embedding(input_dim=50, output_dim=8))
model.add(Conv1D(filters=50, kernel_size=3, \\
                 activation='relu', padding='same'))
model.add(GlobalMaxPooling1D())
model.add(Dense(1, activation='sigmoid'))
model.compile(loss='binary_crossentropy', optimizer='adam', \\
              metrics=['accuracy'])
model.fit(x_train, y_train, batch_size=10, epochs=2, validation_data=(x_dev, y_dev))
""",
}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_snippets_of_the_lecture_run(snippet, capsys):
    imports = "from unspool.models.keras import *\nimport numpy as np\n"
    data = "x_train, x_dev = pad_sequences(lists, 7)[:40], pad_sequences(lists, 7)[40:]\n"
    data += "y_train, y_dev = labels[:40], labels[40:]\n"
    use = "y_predicted = model.predict(x_dev)\nscore, acc = model.evaluate(x_dev, y_dev)\n"
    vectors = np.random.default_rng(0).standard_normal((50, 8))
    space = {"lists": SENTENCES, "labels": LABELS, "word_vectors": vectors}
    exec(imports + data + SNIPPETS[snippet] + use, space)
    predicted = space["y_predicted"]
    np.testing.assert_allclose(
        space["acc"],
        np.mean(
            (predicted[:, 0] > 0.5) == LABELS[40:]
            if predicted.shape[1] == 1
            else predicted.argmax(-1) == LABELS[40:]
        ),
    )
    assert predicted.shape == (20, 2 if snippet == "two layers" else 1)
    assert ((predicted > 0) & (predicted < 1)).all()
    assert np.isfinite(space["score"])
    printed = capsys.readouterr().out
    assert printed.startswith("Epoch 1/")
    assert ("val_accuracy" in printed) == (snippet == "convolution")
    if snippet == "pre-trained":
        E = space["model"].layers[0].inner.E.data
        np.testing.assert_array_equal(E, vectors.astype(np.float32))


def test_learns_and_keeps_a_history(capsys):
    x = pad_sequences(SENTENCES)
    model = Sequential(
        [Embedding(50, 16, mask_zero=True), GlobalAveragePooling1D(), Dense(1, "sigmoid")], rng=0
    )
    model.compile(lambda p: Adam(p, lr=0.01), "binary_crossentropy", ["accuracy"])
    history = model.fit(x, LABELS, batch_size=8, epochs=40, validation_data=(x, LABELS), verbose=0)
    assert capsys.readouterr().out == ""
    assert isinstance(history, History)
    assert history.epoch == list(range(40))
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert history.history["val_accuracy"][-1] > 0.95
    assert model.metrics_names == ["loss", "accuracy"]
    loss, accuracy = model.evaluate(x, LABELS, batch_size=7)
    np.testing.assert_allclose(loss, history.history["val_loss"][-1], rtol=1e-5)
    np.testing.assert_allclose(accuracy, ((model.predict(x)[:, 0] > 0.5) == LABELS).mean())
    p = model.predict(x)[:, 0].astype(float)
    expected = -np.log(np.where(LABELS == 1, p, 1 - p)).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_same_seed_trains_the_same_network():
    def trained(seed):
        layers = [Embedding(50, 4, mask_zero=True), GRU(5, dropout=0.2), Dropout(0.5), Dense(1)]
        model = Sequential(layers, rng=seed)
        model.compile("sgd", "mse")
        model.fit(pad_sequences(SENTENCES), LABELS, epochs=2, verbose=0)
        return model.predict(pad_sequences(SENTENCES))

    np.testing.assert_array_equal(trained(1), trained(1))
    assert (trained(1) != trained(2)).any()


# Layers -----------------------------------------------------------------------------------------


def test_layers_against_formulas():
    x = np.random.default_rng(1).standard_normal((2, 5, 3))
    dense = network(Dense(4, "relu"), ids=False)
    W, b = (p.data for p in dense.parameters())
    np.testing.assert_allclose(dense(x).data, np.maximum(np.einsum("bti,ij->btj", x, W) + b, 0))
    conv = network(Conv1D(4, 3, activation="tanh", padding="same"), ids=False)
    W, b = (p.data for p in conv.parameters())
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    for t in range(5):
        expected = np.tanh(np.einsum("bki,kij->bj", padded[:, t : t + 3], W) + b)
        np.testing.assert_allclose(conv(x).data[:, t], expected)
    valid = network(Conv1D(4, 3, activation="tanh"), ids=False)
    np.testing.assert_allclose(valid(x).data, conv(x).data[:, 1:-1])
    np.testing.assert_allclose(network(GlobalMaxPooling1D(), ids=False)(x).data, x.max(1))
    np.testing.assert_allclose(network(GlobalAveragePooling1D(), ids=False)(x).data, x.mean(1))
    rnn = network(SimpleRNN(4, activation="relu", return_sequences=True), ids=False)
    p = {name.split(".")[-1]: q.data for name, q in rnn.named_parameters()}
    h = np.zeros((2, 4))
    for t in range(5):
        h = np.maximum(x[:, t] @ p["W"] + h @ p["U"] + p["b"], 0)
        np.testing.assert_allclose(rnn(x).data[:, t], h)


@pytest.mark.parametrize(("layer", "cell"), [(LSTM, LSTMCell), (GRU, ResetAfterGRU)])
def test_recurrent_layers_are_these_cells(layer, cell):
    x = np.random.default_rng(1).standard_normal((2, 5, 3))
    model = network(layer(4), ids=False)
    assert type(model.layers[0].network) is cell
    own = cell(3, 4, dtype=np.float64)
    own.load_state_dict(model.layers[0].network.state_dict())
    ys, (h, *_) = own.unroll(x)
    np.testing.assert_array_equal(model(x).data, h.data)
    sequences = network(layer(4, return_sequences=True), ids=False)
    np.testing.assert_array_equal(sequences(x).data, ys.data)
    both = network(Bidirectional(layer(4), merge_mode="concat"), ids=False)
    ahead, back = both.layers[0].forward_layer.network, both.layers[0].backward_layer.network
    ends = ahead.unroll(x)[1][0].data, back.unroll(x[:, ::-1])[1][0].data
    np.testing.assert_allclose(both(x).data, np.concatenate(ends, -1))
    for mode, merged in {"sum": sum(ends), "ave": sum(ends) / 2, "mul": ends[0] * ends[1]}.items():
        other = network(Bidirectional(layer(4), merge_mode=mode), ids=False)
        np.testing.assert_allclose(other(x).data, merged)


def stacks():
    yield "lstm", [LSTM(3), Dense(1, "sigmoid")]
    yield "gru", [GRU(3, return_sequences=True), Dropout(0.5), GRU(3), Dense(1, "sigmoid")]
    yield "both", [Bidirectional(SimpleRNN(3)), Dense(2, "tanh"), Dense(1, "sigmoid")]
    yield "deep", [Bidirectional(LSTM(2, return_sequences=True)), LSTM(3), Dense(1, "sigmoid")]
    yield "max", [Dense(3, "tanh"), GlobalMaxPooling1D(), Dense(1, "sigmoid")]
    yield "mean of dense", [Dense(3, "tanh"), GlobalAveragePooling1D(), Dense(1, "sigmoid")]
    yield "mean", [LSTM(3, return_sequences=True), GlobalAveragePooling1D(), Dense(1, "sigmoid")]
    for padding in ("same", "valid", "causal"):
        convolution = Conv1D(4, 2, activation="tanh", padding=padding)
        yield f"conv {padding}", [convolution, GlobalMaxPooling1D(), Dense(1, "sigmoid")]
    yield "conv rnn", [Conv1D(4, 3, padding="same"), LSTM(3), Dense(1, "sigmoid")]


NAMES = [name for name, _ in stacks()]


def masked(name: str) -> Sequential:
    layers = dict(stacks())[name]
    model = network(Embedding(10, 3, mask_zero=True), *layers)
    model.compile("sgd", "binary_crossentropy", ["accuracy"])
    return model.eval()


@pytest.mark.parametrize("name", NAMES)
def test_padding_in_front_or_behind_changes_nothing(name):
    model = masked(name)
    long = [row for row in LISTS if len(row) > 1]  # a filter of width 2 wants two
    alone = np.concatenate([model.predict([row]) for row in long])
    for padding in ("pre", "post"):
        for width in (6, 9):
            x = pad_sequences(long, width, padding=padding)
            # A "same" or "causal" filter sees 0 where an unpadded sequence ends: the same.
            np.testing.assert_allclose(model.predict(x), alone, rtol=1e-10)
    x = pad_sequences(long, 9)
    loss = loss_of(model, x, [1, 0, 1])
    loss.backward()
    E = model.layers[0].inner.E
    assert (E.grad[0] == 0).all()
    assert (E.grad[1:] != 0).any()
    before = model.predict(x)
    E.data[0] = np.nan
    np.testing.assert_array_equal(model.predict(x), before)
    E.data[0] = 0


def test_without_mask_zero_padding_counts():
    model = network(Embedding(10, 3), LSTM(3))
    alone = model.predict([LISTS[0]])
    assert (abs(model.predict(pad_sequences([LISTS[0]], 9, padding="post")) - alone) > 1e-3).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_gradients_through_the_layers(name):
    model = masked(name)
    x = pad_sequences(LISTS, 6)
    check_grads(lambda *_: loss_of(model, x, ENDS), model.parameters())


def test_a_tagger_counts_real_positions_only():
    layers = [Bidirectional(GRU(3, return_sequences=True)), Dense(4, "softmax")]
    model = network(Embedding(10, 3, mask_zero=True), *layers)
    model.layers[-1].inner.b.data[...] = [2, 0, 0, 0]  # the tag at padding, where the state is 0
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    x = pad_sequences(LISTS)
    tags = np.where(x != 0, x % 4, -7)  # at padding there is no class at all
    p = model.predict(x)
    assert p.shape == (4, 6, 4)
    real = x != 0
    terms = [[-np.log(p[b, t, tags[b, t]]) for t in np.flatnonzero(real[b])] for b in range(4)]
    loss, accuracy = model.evaluate(x, tags, batch_size=4)
    np.testing.assert_allclose(loss, np.mean(np.concatenate(terms)))
    # As in Keras an epoch's loss is a mean over batches, each with its number of instances.
    by_batch = (3 * np.mean(np.concatenate(terms[:3])) + np.mean(terms[3])) / 4
    np.testing.assert_allclose(model.evaluate(x, tags, batch_size=3), [by_batch, accuracy])
    np.testing.assert_allclose(accuracy, (p.argmax(-1) == tags)[real].mean())
    wide = pad_sequences(LISTS, 10)
    again = model.evaluate(wide, np.where(wide != 0, wide % 4, 0))
    np.testing.assert_allclose(again, [loss, accuracy])
    check_grads(lambda *_: loss_of(model, x, tags), model.parameters())


def test_dropout_is_for_training_only():
    model = Sequential([Dense(50), Dropout(0.5)], rng=0)
    x = np.ones((2, 4))
    np.testing.assert_array_equal(model.predict(x), model.predict(x))
    np.testing.assert_array_equal(model(x).data, model.predict(x))  # as in Keras
    training = model(x, training=True).data
    assert 10 < (training == 0).sum() < 90
    np.testing.assert_allclose(training[training != 0], 2 * model.predict(x)[training != 0])
    model.compile("sgd", "mse")
    assert model.evaluate(x, np.zeros((2, 50))) == model.evaluate(x, np.zeros((2, 50)))


def test_frozen_vectors_stay():
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    for trainable in (False, True):
        layers = [Embedding(50, 4, weights=[vectors], trainable=trainable), LSTM(3), Dense(1)]
        model = Sequential(layers, rng=0)
        model.compile("adam", "mse")
        model.fit(pad_sequences(SENTENCES), LABELS, verbose=0)
        assert np.array_equal(model.layers[0].inner.E.data, vectors) is not trainable


# Losses -----------------------------------------------------------------------------------------

Z = np.array([[0.3, -1.2, 2.0], [1.0, 0.1, -0.4]])


def ending(activation, loss, width=3) -> Sequential:
    """W is the identity: the scores are the inputs."""
    model = Sequential([Dense(width, activation)], rng=0, dtype=np.float64)
    model.build((None, width))
    model.layers[0].inner.W.data[...] = np.eye(width)
    model.compile("sgd", loss)
    return model


def test_losses_against_formulas():
    ids, hot = np.array([2, 0]), np.eye(3)[[2, 0]]
    p, q = softmax(Z), sigmoid(Z)
    cross = -np.log([p[0, 2], p[1, 0]]).mean()
    np.testing.assert_allclose(
        ending("softmax", "categorical_crossentropy").evaluate(Z, hot), cross
    )
    np.testing.assert_allclose(
        ending("softmax", "sparse_categorical_crossentropy").evaluate(Z, ids), cross
    )
    binary = -(hot * np.log(q) + (1 - hot) * np.log(1 - q)).mean()
    np.testing.assert_allclose(ending("sigmoid", "binary_crossentropy").evaluate(Z, hot), binary)
    np.testing.assert_allclose(
        ending("tanh", "mse").evaluate(Z, hot), ((np.tanh(Z) - hot) ** 2).mean()
    )
    sign = 2 * hot - 1
    hinge = np.maximum(0, 1 - sign * Z).mean()
    assert ending(None, "hinge").evaluate(Z, sign) == pytest.approx(hinge)
    assert ending("linear", "hinge").evaluate(Z, hot) == pytest.approx(hinge)
    squared = (np.maximum(0, 1 - sign * Z) ** 2).mean()
    assert ending(None, "squared_hinge").evaluate(Z, hot) == pytest.approx(squared)
    assert ending(None, "mae").evaluate(Z, hot) == pytest.approx(np.abs(Z - hot).mean())
    # What sums to anything is divided by its sum, as Keras does.
    share = -np.log((q / q.sum(-1, keepdims=True))[[0, 1], ids]).mean()
    for loss, targets in (("categorical", hot), ("sparse_categorical", ids)):
        odd = ending("sigmoid", f"{loss}_crossentropy")
        np.testing.assert_allclose(odd.evaluate(Z, targets), share)
    mine = ending(None, lambda y, output: np.abs(output - y))
    assert mine.evaluate(Z, hot) == pytest.approx(np.abs(Z - hot).mean())


def test_probabilities_from_elsewhere_give_the_same_losses():
    # The activation stands in a layer of its own behind Dense, so the loss sees probabilities.
    class Softmax(Layer):
        def call(self, x):
            return Tensor(softmax(x.data))

    class Sigmoid(Layer):
        def call(self, x):
            return Tensor(sigmoid(x.data))

    hot = np.eye(3)[[2, 0]]
    for layer, loss, targets in (
        (Softmax, "categorical_crossentropy", hot),
        (Softmax, "sparse_categorical_crossentropy", np.array([2.0, 0.0])),
        (Sigmoid, "binary_crossentropy", hot),
    ):
        exact = ending(layer.__name__.lower(), loss)
        model = Sequential([Dense(3), layer()], dtype=np.float64)
        model.build((None, 3))
        model.layers[0].inner.W.data[...] = np.eye(3)
        model.compile("sgd", loss)
        np.testing.assert_allclose(model.evaluate(Z, targets), exact.evaluate(Z, targets))
        # Where the probability of the truth is 0 after rounding: clipped here, exact there.
        sure = Z * -1000
        clipped = model.evaluate(sure, targets)
        assert np.isfinite(clipped)
        assert exact.evaluate(sure, targets) > clipped


@pytest.mark.parametrize(
    ("activation", "loss", "targets"),
    [
        ("sigmoid", "binary_crossentropy", [[1, 0, 1], [0, 1, 0]]),
        ("tanh", "mse", [[1, 0, 1], [0, 1, 0]]),
        (None, "hinge", [[1, -1, 1], [-1, 1, -1]]),
        (None, "squared_hinge", [[1, -1, 1], [-1, 1, -1]]),
        ("tanh", "mae", [[0.5, 1, 0], [0, 2, 0.25]]),
        ("softmax", "categorical_crossentropy", [[0, 1, 0], [0.5, 0.2, 0.3]]),
        ("softmax", "sparse_categorical_crossentropy", [1, 2]),
        ("sigmoid", "categorical_crossentropy", [[0, 1, 0], [0, 0, 1]]),
        ("softmax", "binary_crossentropy", [[0, 1, 0], [0, 0, 1]]),
    ],
)
def test_gradients_of_losses(activation, loss, targets):
    model = ending(activation, loss)
    check_grads(lambda *_: loss_of(model, Z, targets), model.parameters())


def test_the_exact_loss_learns_where_probabilities_are_0():
    model = ending("sigmoid", "binary_crossentropy", width=1)
    loss = loss_of(model, [[-2000.0]], [1])
    assert loss.item() == pytest.approx(2000)
    loss.backward()
    assert model.layers[0].inner.b.grad == pytest.approx(-1)


def test_accuracy():
    model = ending("softmax", "categorical_crossentropy")
    model.compile("sgd", "categorical_crossentropy", ["accuracy", "mae", share])
    _, accuracy, mae, part = model.evaluate(Z, np.eye(3)[[2, 1]])
    assert accuracy == 0.5
    assert mae == pytest.approx(np.abs(softmax(Z) - np.eye(3)[[2, 1]]).mean())
    assert part == pytest.approx(2 / 3)
    assert model.metrics_names == ["loss", "accuracy", "mae", "share"]
    hinge = ending(None, "hinge", width=1)
    hinge.compile("sgd", "hinge", ["acc"])
    assert hinge.evaluate([[0.2], [-3.0], [1.0]], [1, -1, -1])[1] == pytest.approx(2 / 3)
    several = ending("sigmoid", "binary_crossentropy")
    several.compile("sgd", "binary_crossentropy", metrics=["binary_accuracy", "accuracy"])
    numbers = several.evaluate(Z, [[1, 0, 0], [1, 1, 0]])
    assert numbers[1] == pytest.approx(5 / 6)
    assert numbers[2] == pytest.approx(1 / 2)  # of the highest output, as in Keras 3


def share(y, output):
    return (output < 0.5).mean(-1)


# Optimisers -------------------------------------------------------------------------------------


def test_optimisers_by_name_and_by_function():
    for name in BY_NAME:
        model = ending(None, "mse")
        model.compile(name, "mse")
        history = model.fit(Z, Z + 1, epochs=5, verbose=0)
        assert history.history["loss"][-1] < history.history["loss"][0]
    by_name, by_hand = ending(None, "mse"), ending(None, "mse")
    by_name.compile("SGD", "mse")
    by_hand.compile(lambda parameters: SGD(parameters, lr=0.01), "mse")
    for model in (by_name, by_hand):
        model.fit(Z, Z + 1, verbose=0)
    np.testing.assert_array_equal(by_name.predict(Z), by_hand.predict(Z))
    # One batch: b goes against the mean gradient, 2 (z - y) / 3 of each of its elements.
    np.testing.assert_allclose(by_name.layers[0].inner.b.data, 0.01 * 2 / 3)
    adam = ending(None, "mse")
    adam.compile(Adam, "mse")
    adam.fit(Z, Z + 1, verbose=0)
    np.testing.assert_allclose(adam.layers[0].inner.b.data, 0.001, rtol=1e-4)


# How far [1, -2, 3] is moved by five gradients, by Keras 3.15 with each optimiser's own settings.
GRADIENTS = [[1, -0.5, 0.01], [0.3, 0.5, -0.02], [-2, 0.1, 0.005], [0.5, -0.1, 0.01], [1, 2, -0.01]]
MOVED = {
    "sgd": [-0.007999999821186154, -0.019999999552965164, 4.999999888255502e-05],
    "rmsprop": [-0.0033775798648381095, -0.0021400432847262785, -0.001083908022937674],
    "adam": [-0.0016654403196347811, 0.0002726556267407254, -0.0005262247018000821],
    "adamw": [-0.0016853839012606064, 0.0003125762114688513, -0.0005861158802145106],
    "adagrad": [-0.0009589980043731572, -0.0007318640243543229, 1.569534697809516e-05],
    "adadelta": [-1.9256937607847746e-06, -2.304390585017302e-06, -2.0339075579300925e-07],
}


@pytest.mark.parametrize("name", MOVED)
def test_optimisers_have_the_settings_of_keras(name):
    parameter = Parameter(np.array([1.0, -2.0, 3.0]))
    optimizer = keras_optimizers.get(name)
    optimizer.build([parameter])
    for gradient in GRADIENTS:
        parameter.grad = np.array(gradient, float)
        optimizer.step()
    moved = parameter.data - [1.0, -2.0, 3.0]
    assert (np.abs(moved / MOVED[name] - 1) < 5e-4).all()  # float32 there


@pytest.mark.parametrize(("layer", "gates"), [(SimpleRNN, 1), (GRU, 3), (LSTM, 4)])
def test_layers_begin_as_in_keras(layer, gates):
    model = Sequential([Embedding(400, 30), Bidirectional(layer(50)), Dense(20)], rng=0)
    model.build((None, None))
    E = model.layers[0].inner.E.data
    assert E.min() < -0.049
    assert E.max() > 0.049
    assert np.abs(E).max() <= 0.05
    for cell in (model.layers[1].forward_layer.network, model.layers[1].backward_layer.network):
        values = {name: p.data for name, p in cell.named_parameters()}
        W, U = (np.hstack([v for n, v in values.items() if n[0] == k]) for k in "WU")
        limit = np.sqrt(6 / (30 + gates * 50))
        assert 0.98 * limit < np.abs(W).max() <= limit
        np.testing.assert_allclose(U @ U.T, np.eye(50), atol=1e-5)
        for name, value in values.items():
            if name[0] in "bc":
                assert (value == (name == "b_f")).all(), name
    W, limit = model.layers[2].inner.W.data, np.sqrt(6 / 120)
    assert 0.98 * limit < np.abs(W).max() <= limit


def test_a_part_of_the_data_for_validation():
    split, given = ending(None, "mse"), ending(None, "mse")
    y = Z + 1
    split.compile("sgd", "mse")
    given.compile("sgd", "mse")
    one = split.fit(Z, y, epochs=2, verbose=0, validation_split=0.4)
    cut = int(len(Z) * 0.6)
    other = given.fit(Z[:cut], y[:cut], epochs=2, verbose=0, validation_data=(Z[cut:], y[cut:]))
    assert one.history == other.history
    assert list(one.history) == ["loss", "val_loss"]
    with pytest.raises(ValueError, match="validation_data or validation_split, not both"):
        split.fit(Z, y, verbose=0, validation_data=(Z, y), validation_split=0.5)
    for part in (-0.1, 1.0, 0.9999):
        with pytest.raises(
            ValueError, match=r"validation_split must be a fraction of the .* instances"
        ):
            split.fit(Z, y, verbose=0, validation_split=part)


def test_numbers_by_their_names():
    model = ending(None, "mse")
    model.compile("sgd", "mse", metrics=["mae"])
    loss, error = model.evaluate(Z, Z + 1)
    assert model.evaluate(Z, Z + 1, return_dict=True) == {"loss": loss, "mae": error}


def test_fit_goes_on_where_it_was():
    at_once, in_parts = ending(None, "mse"), ending(None, "mse")
    for model in (at_once, in_parts):
        model.compile("adam", "mse")
    at_once.fit(Z, Z + 1, epochs=4, verbose=0, shuffle=False)
    for _ in range(4):
        in_parts.fit(Z, Z + 1, verbose=0, shuffle=False)
    np.testing.assert_array_equal(at_once.predict(Z), in_parts.predict(Z))


# Modules and callbacks --------------------------------------------------------------------------


def test_import_lines_of_keras():
    lines = """
from keras.models import Sequential
from keras.layers import LSTM, GRU, Bidirectional, Dense, Dropout, Embedding, Conv1D
from keras.layers import GlobalMaxPooling1D, GlobalAveragePooling1D, SimpleRNN
from keras.optimizers import SGD, Adam, RMSprop, AdamW, Adagrad, Adadelta
from keras.callbacks import Callback, EarlyStopping, History, ModelCheckpoint
from keras.preprocessing.sequence import pad_sequences
from keras.preprocessing import sequence
from keras.utils import pad_sequences, to_categorical
from keras import callbacks, layers, losses, metrics, models, optimizers, utils
"""
    exec(lines.replace("from keras", "from unspool.models.keras"), {})


def test_to_categorical():
    np.testing.assert_array_equal(to_categorical([2, 0]), np.eye(3)[[2, 0]])
    np.testing.assert_array_equal(to_categorical([[1], [0]], 4), np.eye(4)[[1, 0]])  # as Keras
    np.testing.assert_array_equal(to_categorical([[1, 0]], 4), np.eye(4)[[[1, 0]]])
    with pytest.raises(ValueError, match=r"id 3 at \[0\] is outside of 0\.\.1"):
        to_categorical([3], 2)


def test_optimisers_with_settings_of_keras():
    model = ending(None, "mse")
    model.compile(keras_optimizers.Adam(learning_rate=0.01, beta_1=0.5), "mse")
    model.fit(Z, Z + 1, verbose=0)
    assert (model.optimizer.lr, model.optimizer.betas) == (0.01, (0.5, 0.999))
    np.testing.assert_allclose(model.layers[0].inner.b.data, 0.01, rtol=1e-4)


def test_early_stopping_and_checkpoints(tmp_path):
    class Spoil(Callback):
        """From the third epoch on the parameters are other ones."""

        def on_epoch_end(self, epoch, logs):
            seen.append((epoch, sorted(logs)))
            if epoch == 1:
                self.good = self.model.state_dict()
                self.model.layers[0].inner.b.data = np.full(3, 50.0)

    seen = []
    spoil = Spoil()
    path = tmp_path / "best.npz"
    called = [
        ModelCheckpoint(tmp_path / "{epoch:02d}.npz"),
        ModelCheckpoint(path, save_best_only=True),
        EarlyStopping(patience=2, restore_best_weights=True),
        spoil,
    ]
    model = ending(None, "mse")
    model.compile("sgd", "mse")
    history = model.fit(Z, Z + 1, epochs=9, validation_data=(Z, Z + 1), callbacks=called, verbose=0)
    assert seen == [(epoch, ["loss", "val_loss"]) for epoch in range(4)]
    assert history.epoch == [0, 1, 2, 3]
    other = ending(None, "mse")
    for state in (model.state_dict(), other.load(path).state_dict()):
        for name, array in state.items():
            np.testing.assert_array_equal(array, spoil.good[name])
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *(f"0{epoch}.npz" for epoch in range(1, 5)),
        "best.npz",
    ]
    model.fit(Z, Z + 1, epochs=2, callbacks=[EarlyStopping("loss")], verbose=0)  # begins anew
    with pytest.raises(ValueError, match="monitor must be one of loss, got 'val_loss'"):
        model.fit(Z, Z + 1, callbacks=[EarlyStopping()], verbose=0)
    assert EarlyStopping("val_acc").sign == EarlyStopping("f1", mode="max").sign == -1


# Summary, saving --------------------------------------------------------------------------------


def test_summary(capsys):
    clear_session()
    model = Sequential([Embedding(100, 8, trainable=False), Bidirectional(LSTM(5))])
    model.add(Dense(1, activation="sigmoid"))
    model.summary()
    lines = capsys.readouterr().out.splitlines()
    lstm = 2 * 4 * (8 * 5 + 5 * 5 + 5)
    assert lines[0].split() == ["Layer", "(type)", "Output", "Shape", "Param", "#"]
    assert lines[1].split() == ["embedding", "(Embedding)", "(None,", "None,", "8)", "800"]
    assert lines[2].split() == ["bidirectional", "(Bidirectional)", "(None,", "10)", str(lstm)]
    assert lines[3].split() == ["dense", "(Dense)", "(None,", "1)", "11"]
    assert lines[4:] == [
        f"Total params: {800 + lstm + 11:,}",
        f"Trainable params: {lstm + 11}",
        "Non-trainable params: 800",
    ]
    features = Sequential([Dense(2)])
    with pytest.raises(ValueError, match="the widths are not known yet; call build"):
        features.summary()
    features.build((None, 3))
    features.summary()
    assert "Total params: 8\nTrainable params: 8\nNon" in capsys.readouterr().out
    timed = Sequential([Conv1D(4, 3), Conv1D(4, 3), GlobalMaxPooling1D()])
    timed.build((None, 20, 5))
    timed.summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["conv1d", "(Conv1D)", "(None,", "18,", "4)", "64"]
    assert lines[2].split() == ["conv1d_1", "(Conv1D)", "(None,", "16,", "4)", "52"]
    assert lines[3].startswith("global_max_pooling1d (GlobalMaxPooling1D)")


def test_saving(tmp_path):
    x = pad_sequences(LISTS)
    model, other = (network(Embedding(10, 3), GRU(4), Dense(1), seed=seed) for seed in (0, 1))
    model.save(tmp_path / "model.npz")
    assert (model.predict(x) != other.predict(x)).any()
    other.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(model.predict(x), other.predict(x))


def test_pad_sequences_is_kerass():
    np.testing.assert_array_equal(pad_sequences([[1, 2, 3], [4]], 2), [[2, 3], [0, 4]])
    np.testing.assert_array_equal(
        pad_sequences([[1, 2, 3], [4]], maxlen=2, padding="post", truncating="post", value=9),
        [[1, 2], [4, 9]],
    )


# Bad input --------------------------------------------------------------------------------------


def test_not_compiled():
    model = Sequential([Dense(1)])
    for call in (
        lambda: model.fit(Z, [1, 0]),
        lambda: model.evaluate(Z, [1, 0]),
        lambda: model.metrics_names,
    ):
        with pytest.raises(ValueError, match=r"the network is not compiled; call compile\("):
            call()


def test_unknown_names_list_those_there_are():
    model = Sequential([Dense(1)])
    with pytest.raises(
        ValueError, match=r"optimizer must be one of .*sgd.*, got 'adamm'; did you mean 'adam'"
    ):
        model.compile("adamm", "mse")
    with pytest.raises(ValueError, match=r"optimizer must be one of .*adam"):
        model.compile("adamm", "mse")
    with pytest.raises(ValueError, match=r"loss must be one of binary_crossentropy, .*, got 'mes'"):
        model.compile("sgd", "mes")
    with pytest.raises(
        ValueError, match=r"loss must be one of binary_crossentropy, .*, a function, got None"
    ):
        model.compile("sgd")
    with pytest.raises(ValueError, match=r"a metric must be one of accuracy, .*, got 'f1'"):
        model.compile("sgd", "mse", ["f1"])
    with pytest.raises(TypeError, match=r"metrics must be a list, as in \['accuracy'\]"):
        model.compile("sgd", "mse", "accuracy")
    with pytest.raises(TypeError, match=r"optimizer must be one of .*; got 3"):
        model.compile(3, "mse")
    with pytest.raises(
        ValueError, match=r"Dense: activation must be one of .*softmax.*, got 'smax'"
    ):
        Dense(3, "smax")
    with pytest.raises(ValueError, match=r"padding must be one of valid, same, causal, got 'full'"):
        Conv1D(3, 2, padding="full")
    with pytest.raises(
        ValueError, match=r"merge_mode must be one of concat, sum, ave, mul, None, got 'max'"
    ):
        Bidirectional(LSTM(3), merge_mode="max")
    with pytest.raises(ValueError, match=r"activation must be tanh, .*, got 'softmax'"):
        SimpleRNN(3, activation="softmax")
    with pytest.raises(TypeError, match=r"expected LSTM\(...\).*, got Dense"):
        Bidirectional(Dense(3))


def test_layers_that_do_not_fit():
    with pytest.raises(TypeError, match=r"expected a layer .*, got the class Dense"):
        Sequential([Dense])
    with pytest.raises(ValueError, match="there is no layer"):
        Sequential().predict(Z)
    layer = Dense(1)
    with pytest.raises(ValueError, match="this Dense is part of the network already"):
        Sequential([layer, layer])
    built = Sequential([Dense(2)])
    assert built.predict(Z).shape == (2, 2)
    built.add(Dense(1))
    assert built.predict(Z).shape == (2, 1)
    with pytest.raises(
        ValueError, match=r"LSTM: expected \(batch, time, features\), got \(None, 3\)"
    ):
        Sequential([Dense(3), LSTM(2)]).predict(Z)
    cure = "return_sequences=True in the layer before"
    with pytest.raises(ValueError, match=cure):
        Sequential([Embedding(9, 2), LSTM(2), LSTM(2)]).predict([[1, 2]])
    with pytest.raises(ValueError, match=r"Embedding: expected ids \(batch, time\)"):
        Sequential([Embedding(9, 2)]).predict(np.zeros((1, 2, 3), int))
    with pytest.raises(ValueError, match=r"weights must be \[array\] of \(9, 2\), got \(2, 9\)"):
        Embedding(9, 2, weights=[np.zeros((2, 9))])
    for make in (lambda: LSTM(0), lambda: Dense(0), lambda: Conv1D(0, 2), lambda: Embedding(0, 2)):
        with pytest.raises(ValueError, match="must be an integer >= 1, got 0"):
            make()
    for make in (lambda: Dropout(1.5), lambda: LSTM(3, dropout=1.5)):
        with pytest.raises(ValueError, match=r"must be a probability from 0 to 1, got 1\.5"):
            make()


def test_data_that_do_not_fit():
    model = ending("softmax", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="as many y as x, got x"):
        model.fit(Z, [1])
    with pytest.raises(ValueError, match=r"the network reads \(None, 3\), got x \(2, 2\)"):
        model.predict(Z[:, :2])
    with pytest.raises(ValueError, match=r"x \(instances, ...\) of 1 instance or more"):
        model.predict(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="pad lists of different length with pad_sequences"):
        model.predict([[1, 2, 3], [1]])
    with pytest.raises(TypeError, match="x must hold numbers, got <U1"):
        model.predict([["a", "b", "c"]])
    with pytest.raises(TypeError, match="y must hold numbers, got <U1"):
        model.fit(Z, ["a", "b"])
    with pytest.raises(ValueError, match=r"id 3 at \[1\] is outside of 0\.\.2"):
        model.fit(Z, [0, 3], shuffle=False)
    with pytest.raises(ValueError, match=r"expected class ids \(2,\), got \(2, 3\)"):
        model.fit(Z, np.eye(3)[:2])
    with pytest.raises(
        ValueError, match=r"one-hot targets \(2, 3\), got \(2,\); for class ids use"
    ):
        ending("softmax", "categorical_crossentropy").fit(Z, [0, 1])
    with pytest.raises(ValueError, match="binary_crossentropy: targets must be from 0 to 1"):
        ending("sigmoid", "binary_crossentropy").fit(Z, 2 * np.ones((2, 3)))
    with pytest.raises(ValueError, match="hinge: targets must be -1 and 1"):
        ending(None, "hinge").fit(Z, 2 * np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"mse: expected targets \(2, 3\), as the output, got"):
        ending(None, "mse").fit(Z, [1, 2])
    with pytest.raises(ValueError, match="validation_data must be a tuple of two"):
        model.fit(Z, [0, 1], validation_data=Z[:1])
    with pytest.raises(ValueError, match="fit: epochs must be an integer >= 1, got 0"):
        model.fit(Z, [0, 1], epochs=0)
    with pytest.raises(TypeError, match="fit: batch_size must be an integer"):
        model.fit(Z, [0, 1], batch_size=1.5)
    ids = Sequential([Embedding(5, 2), LSTM(2)])
    with pytest.raises(ValueError, match=r"id 7 at \[0, 1\] is outside of 0\.\.4"):
        ids.predict([[1, 7]])
    np.testing.assert_array_equal(ids.predict([[1.0, 2.0]]), ids.predict([[1, 2]]))
    with pytest.raises(TypeError, match="ids are integers, got float64"):
        ids.predict([[1.5, 2.0]])


def test_a_loss_that_is_not_finite_stops_and_undoes_the_pass():
    model = ending(None, "mse")
    model.compile(lambda parameters: SGD(parameters, lr=1e200), "mse")
    before = model.state_dict()
    with pytest.raises(FloatingPointError, match=r"the loss is .* in epoch 1, batch 2"):
        model.fit(Z, Z + 1, batch_size=1, verbose=0, shuffle=False)
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


def test_a_gradient_that_is_not_finite_is_not_applied():
    def steep(y, output):  # of value 0, and with a gradient beyond float32
        return (output - output.data) * 1e38 * 1e3

    model = Sequential([Dense(1)], rng=0)
    model.compile("sgd", steep)
    model.build((None, 2))
    before = model.state_dict()
    with pytest.raises(FloatingPointError, match="the gradient is inf in epoch 1, batch 1"):
        model.fit(np.ones((3, 2)), np.ones((3, 1)), verbose=0)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_convolution_begins_glorot_uniform():
    model = Sequential([Conv1D(40, 3)], rng=0)
    model.build((None, None, 20))
    W = model.layers[0].W.data
    limit = np.sqrt(6 / (3 * 20 + 3 * 40))  # Glorot and Bengio's, over all that a filter sees
    assert W.shape == (3, 20, 40)
    assert limit * 0.98 < abs(W).max() <= limit
    np.testing.assert_allclose(W.std(), limit / np.sqrt(3), rtol=0.05)
