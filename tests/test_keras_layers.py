"""Every layer of Keras's names: gradients, weights, files, masks; networks in a graph.

Their numbers are compared with Keras's in ``test_keras_idioms.py``.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, check_grads, draw
from unspool.autograd import sigmoid
from unspool.models import Labels, Vocabulary, keras, load_model, save_model
from unspool.models.keras import Model, Sequential, layers, models, notes
from unspool.models.keras.data import Batch
from unspool.models.keras.layers import (
    GRU,
    LSTM,
    RNN,
    AdditiveAttention,
    Attention,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Dense,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GRUCell,
    Input,
    Lambda,
    LayerNormalization,
    LSTMCell,
    Masking,
    MaxPooling1D,
    MultiHeadAttention,
    Permute,
    RepeatVector,
    Reshape,
    SimpleRNN,
    SimpleRNNCell,
    SpatialDropout1D,
    TimeDistributed,
    ZeroPadding1D,
)

X = np.random.default_rng(0).standard_normal((3, 5, 4))
Y = np.random.default_rng(1).standard_normal(3)


def attended(layer):
    """A network that reads its input twice, once as queries."""
    x = Input((5, 4))
    return Model(
        x, Dense(1)(GlobalAveragePooling1D()(layer([LSTM(4, return_sequences=True)(x), x])))
    )


def graph():
    """An encoder-decoder with attention in a graph."""
    x = Input((5, 4))
    ys, h, c = LSTM(3, return_sequences=True, return_state=True)(x)
    zs = LSTM(3, return_sequences=True)(x, initial_state=[h, c])
    weights = layers.Softmax()(Dot(axes=2)([zs, ys]))
    context = Dot(axes=(2, 1))([weights, ys])
    return Model(x, Dense(1)(Flatten()(Concatenate()([zs * 2.0, context - zs]))))


NETWORKS = {
    "dense": lambda: [Dense(3, "softplus"), Flatten(), Dense(1)],
    "simple": lambda: [SimpleRNN(3, activation="gelu"), Dense(1)],
    "lstm": lambda: [LSTM(3, go_backwards=True, return_sequences=True), LSTM(2), Dense(1)],
    "lstm of softsign": lambda: [
        LSTM(3, activation="softsign", recurrent_activation="silu"),
        Dense(1),
    ],
    "gru of softplus": lambda: [GRU(3, activation="softplus"), Dense(1)],
    "gru, reset before": lambda: [GRU(3, reset_after=False), Dense(1)],
    "cells": lambda: [RNN([LSTMCell(3), GRUCell(2), SimpleRNNCell(2)]), Dense(1)],
    "both ways": lambda: [Bidirectional(GRU(2, return_sequences=True)), Flatten(), Dense(1)],
    "different ways": lambda: [
        Bidirectional(LSTM(2), merge_mode="mul", backward_layer=GRU(2, go_backwards=True)),
        Dense(1),
    ],
    "times": lambda: [TimeDistributed(Dense(2, "tanh")), Flatten(), Dense(1)],
    "windows": lambda: [Conv1D(3, 2, strides=2, padding="same"), Flatten(), Dense(1)],
    "dilated": lambda: [Conv1D(3, 2, dilation_rate=2, padding="causal"), Flatten(), Dense(1)],
    "maxima": lambda: [MaxPooling1D(2, padding="same"), Flatten(), Dense(1)],
    "means": lambda: [AveragePooling1D(3, strides=1), Flatten(), Dense(1)],
    "zeros around": lambda: [ZeroPadding1D((1, 2)), Flatten(), Dense(1)],
    "batches": lambda: [BatchNormalization(), Flatten(), Dense(1)],
    "features": lambda: [LayerNormalization(), Flatten(), Dense(1)],
    "shapes": lambda: [
        Permute((2, 1)),
        Reshape((2, 10)),
        Flatten(),
        RepeatVector(2),
        GRU(2),
        Dense(1),
    ],
    "scores": lambda: [layers.Softmax(), layers.LeakyReLU(), layers.ELU(0.5), Flatten(), Dense(1)],
    "regularised": lambda: [
        LSTM(2, kernel_regularizer="l2", recurrent_regularizer="l1", bias_regularizer="l1_l2"),
        Dense(1, kernel_regularizer="l2"),
    ],
    "attention": lambda: attended(Attention(use_scale=True)),
    "attention by sums": lambda: attended(Attention(score_mode="concat", use_scale=True)),
    "additive attention": lambda: attended(AdditiveAttention()),
    "heads": lambda: attended(MultiHeadAttention(2, 3)),
    "graph": graph,
}


def network(name: str) -> Model:
    """One of the networks, in float64, with weights that are not those of the beginning."""
    keras.backend.set_floatx("float64")
    try:
        made = NETWORKS[name]()
        model = Sequential(made, rng=0) if isinstance(made, list) else made
        if not model.built:
            model.build((None, 5, 4))
    finally:
        keras.backend.set_floatx("float32")
    rng = np.random.default_rng(2)
    model.set_weights([0.7 * rng.standard_normal(w.shape) for w in model.get_weights()])
    for part in model.sublayers():
        if isinstance(part, BatchNormalization):
            part.moving_variance.data = abs(part.moving_variance.data) + 0.5
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name):
    model = network(name).train()
    model._prepare(Batch(X, Y, None))
    trained = [p for p in model.parameters() if p.requires_grad]
    statistics = [p for p in model.parameters() if not p.requires_grad]
    kept = [p.data for p in statistics]

    def loss(*_):
        for p, array in zip(statistics, kept, strict=True):
            p.data = array
        return model._batch_loss(Batch(X, Y, None))

    check_grads(loss, trained)
    for p in trained:  # no weight stands aside
        p.grad = None
    loss().backward()
    assert all(p.grad is not None and (p.grad != 0).any() for p in trained)


@pytest.mark.parametrize("name", NETWORKS)
def test_files_hold_whole_networks(name, tmp_path):
    model = network(name)
    save_model(tmp_path / "model.npz", model)
    other = load_model(tmp_path / "model.npz").model
    assert type(other) is type(model)
    assert other is not model
    np.testing.assert_allclose(other.predict(X), model.predict(X), rtol=1e-12)
    clone = models.model_from_json(model.to_json())
    assert [w.shape for w in clone.get_weights()] == [w.shape for w in model.get_weights()]
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone.predict(X), model.predict(X), rtol=1e-12)
    model.save_weights(tmp_path / "weights.npz")
    for path in ("weights.npz", "model.npz"):
        again = models.clone_model(model)
        again.load_weights(tmp_path / path)
        np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_are_known_before_there_are_numbers(name):
    model = network(name)
    assert model.output_shape == (None, 1)
    for layer in model.layers:
        seen = Model(model.inputs, layer.output).predict(X)
        shapes = (
            layer.output_shape if isinstance(layer.output_shape, list) else [layer.output_shape]
        )
        for array, shape in zip(seen if isinstance(seen, list) else [seen], shapes, strict=True):
            assert array.ndim == len(shape)
            assert all(n in (None, m) for n, m in zip(shape, array.shape, strict=True)), layer.name


@pytest.mark.parametrize("name", NETWORKS)
def test_a_frozen_network_is_not_trained(name):
    model = network(name)
    model.layers[0].trainable = False
    frozen = [w.copy() for w in model.layers[0].get_weights()]
    model.fit(X, Y, epochs=2, verbose=0)
    for before, after in zip(frozen, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    model.trainable = False
    assert not model.trainable_weights
    assert not any(layer.trainable for layer in model.layers)
    model.trainable = True
    constants = sum(len(part.constants.weights) for part in model.sublayers())
    assert len(model.non_trainable_weights) == constants


# Graphs -----------------------------------------------------------------------------------------


def test_a_layer_called_twice_has_its_weights_once():
    a, b = Input((5, 4)), Input((5, 4))
    read = LSTM(3)
    model = Model([a, b], read(a) - read(b))
    assert model.count_params() == read.count_params() == 4 * (4 * 3 + 3 * 3 + 3)
    p = model.predict([X, X])
    np.testing.assert_array_equal(p, np.zeros((3, 3)))


def test_models_share_their_layers():
    x = Input((5, 4))
    h = GRU(3, name="reader")(x)
    model, inner = Model(x, Dense(1)(h)), Model(x, h)
    model.compile("sgd", "mse")
    before = inner.predict(X)
    model.fit(X, Y, verbose=0)
    assert (inner.predict(X) != before).any()
    assert model.get_layer("reader") is inner.layers[1]


def test_a_graph_by_the_names_of_its_inputs():
    one, two = Input((2,), name="one"), Input((2,), name="two")
    model = Model({"one": one, "two": two}, {"sum": one + two, "difference": one - two})
    p = model.predict({"one": np.ones((3, 2)), "two": np.full((3, 2), 3.0)})
    np.testing.assert_array_equal(p["sum"], np.full((3, 2), 4.0))
    np.testing.assert_array_equal(p["difference"], np.full((3, 2), -2.0))


def test_masks_follow_the_graph():
    ids = np.array([[3, 4, 0, 0], [5, 0, 0, 0]])
    words = Input((None,))
    vectors = Embedding(9, 3, mask_zero=True)(words)
    both = Concatenate()([vectors, Dropout(0.5)(vectors)])
    model = Model(words, LSTM(4)(both))
    np.testing.assert_allclose(model.predict(ids[:1]), model.predict(ids[:1, :2]), rtol=1e-5)
    np.testing.assert_allclose(model.predict(ids[1:]), model.predict(ids[1:, :1]), rtol=1e-5)


def test_attention_gives_padding_no_weight():
    ids = np.array([[3, 4, 0, 0]])
    words = Input((None,))
    vectors = Embedding(9, 3, mask_zero=True)(words)
    context, weights = Attention()([vectors, vectors], return_attention_scores=True)
    found = Model(words, [context, weights]).predict(ids)
    assert (found[1][0, :, 2:] == 0).all()
    np.testing.assert_allclose(found[1][0, :2].sum(-1), 1, rtol=1e-6)
    causal = Attention()([vectors, vectors], use_causal_mask=True, return_attention_scores=True)[1]
    assert Model(words, causal).predict(ids)[0, 0, 1] == 0


def test_the_tape_of_a_network_knows_its_layers():
    model = Sequential([Input((5, 4)), LSTM(3, name="reader"), Dense(1, name="judge")], rng=0)
    tape = Tape(model(X))
    assert {record.scope[0] for record in tape} == {"reader", "judge"}


def test_a_tape_numbers_layers_within_their_network_whatever_the_process_has_made():
    def scopes(network, x):
        return list(dict.fromkeys(record.scope[0] for record in Tape(network(x))))

    for _ in range(2):  # in the process they are dense, dense_2, ...
        parts = [LSTM(3), Dense(4), Dense(2, name="judge"), Dense(1)]
        assert scopes(Sequential(parts, rng=0), X) == ["lstm", "dense", "judge", "dense_1"]
        whole = Sequential([Sequential([Dense(3)]), Sequential([Dense(3)]), Dense(1)], rng=0)
        x = np.ones((2, 3), np.float32)
        assert scopes(whole, x) == ["sequential", "sequential_1", "dense"]
        assert scopes(Sequential([Dense(1)], name="tagger", rng=0), x) == ["tagger"]
        assert scopes(Dense(1), x) == ["dense"]
    stacked = Sequential([LSTM(3, return_sequences=True), LSTM(2)], rng=0)
    scene = draw(stacked(X), level="cell").scene
    assert [t.text for t in scene.texts if t.text.startswith("lstm") and "," not in t.text] == [
        "lstm",
        "lstm 1",
    ]
    names = {node.label for node in scene.nodes}
    assert {"W_f^(1)", "W_f^(2)", "h_0^(1)", "h_0^(2)"} <= names


def test_a_network_that_was_loaded_has_the_scopes_of_the_one_that_was_saved(tmp_path):
    network = Sequential([Input((5, 4)), LSTM(3, name="reader"), Dense(2)], rng=0)
    copied = copy.deepcopy(network)
    network.save(tmp_path / "network.npz")
    loaded = keras.models.load_model(tmp_path / "network.npz")
    for other in (network, copied, loaded, keras.models.clone_model(network)):
        assert {record.scope[0] for record in Tape(other(X))} == {"reader", "dense"}


# Masks, dropout, states -------------------------------------------------------------------------


def test_masking_hides_positions_of_one_value():
    x = X.copy()
    x[1, 3:] = -1
    model = Sequential([Masking(-1.0), LSTM(3)], rng=0)
    p = model.predict(x)
    short = model.predict(x[1:2, :3])
    np.testing.assert_allclose(p[1:2], short, rtol=1e-5)


def test_dropout_of_whole_features():
    layer = SpatialDropout1D(0.5, seed=0)
    y = layer(np.ones((20, 7, 8)), training=True).data
    assert ((y == y[:, :1]).all(axis=1)).all()
    assert set(np.unique(y)) == {0.0, 2.0}
    np.testing.assert_array_equal(layer(X).data, X.astype(np.float32))


def test_noise_is_for_training_only():
    layer = layers.GaussianNoise(0.5, seed=0)
    noise = layer(np.zeros((100, 50)), training=True).data
    assert abs(noise.std() - 0.5) < 0.02
    np.testing.assert_array_equal(layer(X).data, X.astype(np.float32))


def test_a_stateful_layer_goes_on_where_the_last_batch_ended():
    model = Sequential([LSTM(3, stateful=True, batch_input_shape=(3, 5, 4))], rng=0)
    whole = Sequential([Input((10, 4)), LSTM(3)])
    whole.set_weights(model.get_weights())
    model.predict(X)
    both = np.concatenate([X, X], axis=1)
    np.testing.assert_allclose(model.predict(X), whole.predict(both), rtol=1e-5)
    model.reset_states()
    np.testing.assert_allclose(model.predict(X), whole.predict(X), rtol=1e-5)


def test_batch_normalisation_runs_on():
    layer = BatchNormalization(momentum=0.5)
    y = layer(X, training=True).data
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(layer.moving_mean.data, 0.5 * X.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.data, 0.5 + 0.5 * X.var((0, 1)), rtol=1e-5)
    layer.trainable = False
    moved = layer.moving_mean.data
    layer(X, training=True)
    np.testing.assert_array_equal(layer.moving_mean.data, moved)


def test_batch_normalisation_skips_padding():
    mask = np.array([[True] * 5, [True] * 2 + [False] * 3, [True] * 3 + [False] * 2])
    layer = BatchNormalization(momentum=0.0)
    layer(np.where(mask[..., None], X, 1e6), mask=mask, training=True)
    real = X[mask]
    np.testing.assert_allclose(layer.moving_mean.data, real.mean(0), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance.data, real.var(0), rtol=1e-4)


def test_two_biases_of_a_gru_move_their_sum_twice_as_far():
    model = Sequential([Input((5, 4)), GRU(3), Dense(1)], rng=0, dtype=np.float64)
    cell = model.layers[0].network
    model.compile("sgd", "mse")
    before = {name: p.data for name, p in cell.named_parameters()}
    model.fit(X, Y, verbose=0)
    for name, p in cell.named_parameters():
        step = (before[name] - p.data) / 0.01
        np.testing.assert_allclose(step, p.grad * (2 if name in ("b_z", "b_r") else 1), rtol=1e-6)


# One's own ----------------------------------------------------------------------------------------


class Gate(keras.Layer):
    """x σ(x W), with a weight of its own."""

    def __init__(self, scale=1.0, **options):
        super().__init__(**options)
        self.scale = scale

    def build(self, input_shape):
        self.W = self.add_weight(shape=(input_shape[-1], input_shape[-1]), regularizer="l2")

    def call(self, inputs, training=False):
        seen.append(training)
        return self.scale * inputs * sigmoid(inputs @ self.W)


seen: list[bool] = []


def test_a_layer_of_ones_own(tmp_path):
    seen.clear()
    model = Sequential([Gate(2.0, name="gate"), GRU(3), Dense(1)], rng=0)
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=1, verbose=0)
    assert seen[-1] is True
    loss = model.evaluate(X, Y, verbose=0)
    assert seen[-1] is False
    W = model.layers[0].W
    assert isinstance(W, Parameter)
    p = model.predict(X)[:, 0]
    expected = ((p - Y) ** 2).mean() + 0.01 * (W.data**2).sum()
    assert loss == pytest.approx(expected, rel=1e-4)
    model.save(tmp_path / "model.keras")
    other = models.load_model(tmp_path / "model.keras", custom_objects={"Gate": Gate})
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_a_lambda_cannot_be_saved_and_says_so(tmp_path):
    model = Sequential([Input((5, 4)), Lambda(lambda x: x[:, 0]), Dense(1)], rng=0)
    save_model(tmp_path / "model.npz", model)
    with pytest.raises(
        ValueError, match=r"parts of your own \(.*function.*\); make the model as it"
    ):
        load_model(tmp_path / "model.npz")
    other = Sequential([Input((5, 4)), Lambda(lambda x: x[:, 0]), Dense(1)])
    load_model(tmp_path / "model.npz", other)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_a_functional_model_with_states_is_saved(tmp_path):
    inputs = Input((6,), dtype="int32")
    _, h, _ = LSTM(3, return_state=True)(Embedding(9, 4)(inputs))
    model = Model(inputs, Dense(2, activation="softmax")(h), name="reader")
    ids = np.arange(12).reshape(2, 6) % 9
    save_model(tmp_path / "model.npz", model)
    np.testing.assert_array_equal(
        load_model(tmp_path / "model.npz").model.predict(ids), model.predict(ids)
    )


def test_what_has_no_weights_yet_is_not_saved(tmp_path):
    """A file without them would give another model each time that it is loaded."""
    model = Sequential([Embedding(9, 4), LSTM(3)])
    with pytest.raises(ValueError, match=r"Sequential has no weights yet; call it on a batch, fit"):
        save_model(tmp_path / "model.npz", model)
    model.build((None, 6))
    save_model(tmp_path / "model.npz", model)
    ids = np.arange(12).reshape(2, 6) % 9
    np.testing.assert_array_equal(
        load_model(tmp_path / "model.npz").model.predict(ids), model.predict(ids)
    )


def test_texts_for_a_model_by_keras_names_are_padded_by_whoever_padded_them(tmp_path):
    model = Sequential([Embedding(5, 4, mask_zero=True), LSTM(3), Dense(2)])
    model.build((None, 6))
    words = Vocabulary(["good", "bad"])
    save_model(tmp_path / "model.npz", model, vocabulary=words, labels=Labels(["neg", "pos"]))
    saved = load_model(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"predict takes no lengths.*pad them as in training"):
        saved.predict(["good", "bad bad"])


def test_a_model_that_was_saved_trains_on(tmp_path):
    model = Sequential([Input((5, 4)), LSTM(3), Dense(1)], rng=0)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model.compile(keras.optimizers.SGD(schedule, momentum=0.5), "mse", metrics=["mae"])
    model.save(tmp_path / "model.keras")
    other = models.load_model(tmp_path / "model.keras")
    assert other.metrics_names == ["loss", "mae"]
    for each in (model, other):
        each.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(other.predict(X), model.predict(X), rtol=1e-5)


def test_a_metric_of_ones_own():
    class Largest(keras.Metric):
        def reset_state(self):
            self.largest = 0.0

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.largest = max(self.largest, float(abs(y_true - y_pred[:, 0]).max()))

        def result(self):
            return self.largest

    model = Sequential([Input((5, 4)), LSTM(3), Dense(1)], rng=0)
    model.compile("sgd", "mse", metrics=[Largest(name="largest")])
    _, largest = model.evaluate(X, Y, batch_size=2, verbose=0)
    assert largest == pytest.approx(abs(model.predict(X)[:, 0] - Y).max(), rel=1e-6)


# What is shared -----------------------------------------------------------------------------------


def test_notes_on_tensors_go_with_them():
    noted = notes.Notes()
    tensor, other = Tensor(np.ones(2)), Tensor(np.ones(2))
    noted.put(tensor, "mask")
    assert noted.get(tensor) == "mask"
    assert noted.get(other) is None
    noted.put(tensor, "another")
    assert noted.get(tensor) == "another"
    del tensor
    assert noted.held == {}


def test_training_leaves_no_notes():
    before = len(notes.masks.held) + len(notes.logits.held)
    model = Sequential([Embedding(9, 3, mask_zero=True), LSTM(2), Dense(1, "sigmoid")], rng=0)
    model.compile("sgd", "binary_crossentropy")
    model.fit([[1, 2, 0], [3, 0, 0]], [0, 1], epochs=3, verbose=0)
    model.predict([[1, 2, 0]])
    assert len(notes.masks.held) + len(notes.logits.held) == before


def test_random_numbers_of_a_session():
    def drawn():
        keras.utils.set_random_seed(7)
        model = Sequential([Input((3,)), Dense(2), Dropout(0.5)])
        return model.get_weights()[0], model(np.ones((4, 3)), training=True).data

    for one, other in zip(drawn(), drawn(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (drawn()[0] != Sequential([Input((3,)), Dense(2)]).get_weights()[0]).any()
    keras.backend.clear_session()
    assert [Dense(1).name, Dense(1).name, LSTM(1).name] == ["dense", "dense_1", "lstm"]


@pytest.mark.parametrize("name", sorted(keras.initializers.NAMES))
def test_initialisers_of_files_stay_within_the_bound(name, tmp_path):
    """Loading draws initial weights too, at most twice as many numbers as the file holds."""
    model = Sequential([Input((4,)), Dense(4, kernel_initializer=name)], rng=0)
    save_model(tmp_path / "model.npz", model)
    other = load_model(tmp_path / "model.npz").model
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
