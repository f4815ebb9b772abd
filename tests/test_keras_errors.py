"""What is not there, or is meant otherwise, says what to write instead."""

from __future__ import annotations

import re

import numpy as np
import pytest

import unspool
from unspool.models import keras
from unspool.models.keras import (
    GRU,
    LSTM,
    Dense,
    Embedding,
    Input,
    Model,
    Sequential,
    SimpleRNN,
    callbacks,
    layers,
    losses,
    metrics,
    optimizers,
    utils,
)
from unspool.models.keras.absent import ABSENT
from unspool.models.keras.layers import (
    Add,
    Attention,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Flatten,
    Permute,
    RepeatVector,
    TextVectorization,
    TimeDistributed,
)
from unspool.models.keras.preprocessing.sequence import TimeseriesGenerator, pad_sequences
from unspool.models.keras.preprocessing.text import Tokenizer

X = np.random.default_rng(0).standard_normal((4, 5, 3))
Y = np.array([0, 1, 1, 0])


def compiled(**options):
    model = Sequential([Input((5, 3)), LSTM(2), Dense(1, "sigmoid")], rng=0)
    model.compile("sgd", "binary_crossentropy", **options)
    return model


def graph():
    one, two = Input((2,), name="one"), Input((3,), name="two")
    outputs = [Dense(1, name="score")(one), Dense(2, "softmax", name="kind")(two)]
    return Model([one, two], outputs)


IMPORTS = {
    "from keras.layers import Conv2D": r"layers has no Conv2D: .*for images use Keras or PyTorch",
    "from keras.layers import PReLU": "use LeakyReLU",
    "from keras.callbacks import TensorBoard": "callbacks has no TensorBoard: use CSVLogger",
    "from keras.datasets import imdb": "no imdb: nothing is downloaded; read files with",
    "from keras.applications import VGG16": "applications has no VGG16",
    "from keras.constraints import max_norm": "no max_norm: there are no constraints",
}


@pytest.mark.parametrize("line", IMPORTS)
def test_imports_of_what_is_not_there(line):
    with pytest.raises(ImportError, match=IMPORTS[line]):
        exec(line.replace("keras", "unspool.models.keras"), {})


def test_unknown_names_stay_attribute_errors():
    for module in (layers, callbacks, keras.datasets, keras.ops, keras.backend):
        assert not hasattr(module, "__wrapped__")
    assert not hasattr(layers, "Nothing")
    with pytest.raises(
        AttributeError, match=r"keras\.ops has no fft; NumPy's function of this name"
    ):
        keras.ops.fft([1.0])


WRONG = {
    "a constraint": (
        lambda: Dense(3, kernel_constraint="max_norm"),
        TypeError,
        "Dense: kernel_constraint is not supported; there are no constraints; set the weights",
    ),
    "a misspelt argument": (
        lambda: LSTM(3, return_sequence=True),
        TypeError,
        "LSTM: there is no argument return_sequence",
    ),
    "an activity regulariser": (
        lambda: Dense(3, activity_regularizer="l2"),
        TypeError,
        "Dense: activity_regularizer is not supported; use kernel_regularizer",
    ),
    "features in front": (
        lambda: Conv1D(3, 2, data_format="channels_first"),
        TypeError,
        "Conv1D: data_format is not supported; features are on the last axis",
    ),
    "a batch axis too few": (
        lambda: Dense(3, input_shape=5),
        TypeError,
        r"Dense: input_shape must be a tuple without the batch, as in input_shape=\(5,\)",
    ),
    "Input of a number": (
        lambda: Input(5),
        TypeError,
        r"Input: shape must be a tuple without the batch, as in \(5,\)",
    ),
    "Input of nothing": (
        lambda: Input(),
        ValueError,
        r"give the shape .*, as in Input\(\(6, 3\)\)",
    ),
    "a regulariser": (
        lambda: Dense(3, kernel_regularizer="l3")(np.ones((1, 2))),
        ValueError,
        "Dense: regularizer must be one of L1, .*, got 'l3'",
    ),
    "an initialiser": (
        lambda: Dense(3, kernel_initializer="xavier")(np.ones((1, 2))),
        ValueError,
        "Dense: initializer must be one of Constant, .*, got 'xavier'",
    ),
    "an activation of SimpleRNN": (
        lambda: SimpleRNN(3, activation=lambda x: x * 2),
        ValueError,
        "for a function of your own write a cell, and RNN",
    ),
    "GRU of both": (
        lambda: GRU(3, activation="relu", reset_after=False),
        ValueError,
        "GRU: with reset_after=False the activations are tanh and sigmoid",
    ),
    "Bidirectional of two alike": (
        lambda: Bidirectional(LSTM(3), backward_layer=LSTM(3)),
        ValueError,
        "backward_layer must have go_backwards=True",
    ),
    "one input to add": (
        lambda: Add()(Input((3,))),
        ValueError,
        r"Add: expected a list of two tensors or more, as in Add\(\)\(\[a, b\]\)",
    ),
    "attention of one": (
        lambda: Attention()(Input((5, 3))),
        ValueError,
        r"Attention: expected a list \[query, value\]",
    ),
    "RepeatVector of a sequence": (
        lambda: RepeatVector(2)(Input((5, 3))),
        ValueError,
        r"RepeatVector: expected \(batch, features\), got \(None, 5, 3\)",
    ),
    "TimeDistributed of vectors": (
        lambda: TimeDistributed(Dense(2))(Input((3,))),
        ValueError,
        "put return_sequences=True in the layer before",
    ),
    "Permute from 0": (lambda: Permute((0, 1)), ValueError, "dims must be the axes from 1"),
    "an axis of normalisation": (
        lambda: BatchNormalization(axis=1),
        ValueError,
        "axis must be -1, the features, got 1; put Permute in front",
    ),
    "an open length before Dense": (
        lambda: Sequential([Input((None, 3)), Flatten(), Dense(1)]),
        ValueError,
        "Dense: expected features of a known width",
    ),
    "a filter that is too long": (
        lambda: Sequential([Input((2, 3)), Conv1D(4, 5)]),
        ValueError,
        "2 positions are fewer than the filter's 5",
    ),
    "other features later": (
        lambda: Model(Input((3,)), Dense(2)(np.ones((1, 3)))),
        TypeError,
        r"Model: outputs must be symbolic tensors, which begin with Input\(shape\)",
    ),
    "an input that is missing": (
        lambda: Model(Input((3,)), Dense(2)(Input((3,), name="there"))),
        ValueError,
        "the outputs need .*there.*, which is not among the inputs",
    ),
    "half a graph": (lambda: Model(Input((3,))), TypeError, "Model: give inputs and outputs"),
    "NumPy on a symbolic tensor": (
        lambda: np.sum(np.asarray(Input((3,)))),
        TypeError,
        r"has no numbers yet, so that NumPy's functions do not take it; use those of .*keras\.ops",
    ),
    "a symbolic tensor as a truth": (
        lambda: bool(Input((3,))),
        TypeError,
        "has no numbers yet, so it is neither true nor false",
    ),
    "unpacking an LSTM without states": (
        lambda: list(LSTM(2)(Input((5, 3)))),
        TypeError,
        r"cannot be unpacked; .*LSTM\(4, return_state=True\)",
    ),
    "a layer's output before a call": (
        lambda: Dense(2).output,
        AttributeError,
        "has no output yet: it was not called with a symbolic tensor",
    ),
    "weights before they are there": (
        lambda: Dense(2).set_weights([np.ones((3, 2)), np.ones(2)]),
        ValueError,
        r"expected arrays none, got \(3, 2\), \(2,\); it has no weights before",
    ),
    "weights of other shapes": (
        lambda: compiled().set_weights([np.ones(3)]),
        ValueError,
        r"expected arrays \(3, 8\), \(2, 8\), \(8,\), \(2, 1\), \(1,\), got \(3,\)",
    ),
    "numbers of parameters too early": (
        lambda: Dense(2).count_params(),
        ValueError,
        r"count_params: dense.* has no weights yet; call build",
    ),
    "a layer that is not there": (
        lambda: compiled().get_layer("encoder"),
        ValueError,
        "there is no layer 'encoder'; the layers are 'lstm",
    ),
    "the input of an unbuilt network": (
        lambda: Sequential([Dense(2)]).inputs,
        AttributeError,
        r"has no inputs yet: .*begin with Input\(shape\)",
    ),
    "a class without call": (
        lambda: type("Own", (Model,), {})().predict(X),
        NotImplementedError,
        r"Own defines no call\(inputs\)",
    ),
    "one array for two inputs": (
        lambda: graph().predict(np.ones((4, 2))),
        ValueError,
        "the network reads 2 inputs, one, two; give a list of as many arrays",
    ),
    "inputs of other names": (
        lambda: graph().predict({"one": np.ones((4, 2)), "three": np.ones((4, 3))}),
        ValueError,
        "x has no 'two', got 'one', 'three'",
    ),
    "inputs of different numbers": (
        lambda: graph().predict([np.ones((4, 2)), np.ones((5, 3))]),
        ValueError,
        r"the inputs have different numbers of instances: \(4, 2\), \(5, 3\)",
    ),
    "losses of other outputs": (
        lambda: fit_graph(loss={"score": "mse", "sort": "mse"}),
        ValueError,
        "loss names 'sort', the outputs are 'score', 'kind'",
    ),
    "losses too few": (
        lambda: fit_graph(loss=["mse"]),
        ValueError,
        "expected 2 of loss, one for each output",
    ),
    "targets too few": (
        lambda: fit_graph(loss="mse", y=[np.ones(4)]),
        ValueError,
        "expected 2 of y, one for each output",
    ),
    "no targets": (
        lambda: compiled().fit(X),
        ValueError,
        r"fit: give the targets too, as in fit\(",
    ),
    "weights too few": (
        lambda: compiled().fit(X, Y, sample_weight=[1.0, 2.0]),
        ValueError,
        r"expected 4 of sample_weight, one for each instance, got \(2,\)",
    ),
    "a list of class weights": (
        lambda: compiled().fit(X, Y, class_weight=[1.0, 5.0]),
        TypeError,
        r"class_weight must be a dict .*, as in \{0: 1.0, 1: 5.0\}",
    ),
    "a generator of unknown length": (
        lambda: compiled().fit((X, Y) for _ in range(3)),
        ValueError,
        "give steps_per_epoch=",
    ),
    "a class of callbacks": (
        lambda: compiled().fit(X, Y, callbacks=[callbacks.EarlyStopping], verbose=0),
        TypeError,
        r"callbacks must be objects .*, as EarlyStopping\(patience=3\)",
    ),
    "an unknown number to monitor": (
        lambda: compiled().fit(X, Y, callbacks=callbacks.EarlyStopping(), verbose=0),
        ValueError,
        "monitor must be one of loss, got 'val_loss'; give fit validation_data",
    ),
    "an unknown event": (
        lambda: callbacks.LambdaCallback(on_epoch=print),
        TypeError,
        "on_epoch must be one of .*on_epoch_end",
    ),
    "metrics in a string": (
        lambda: compiled(metrics="accuracy"),
        TypeError,
        r"metrics must be a list, as in \['accuracy'\]",
    ),
    "a metric's name": (
        lambda: compiled(metrics=["acuracy"]),
        ValueError,
        "a metric must be one of accuracy, .*did you mean 'accuracy'",
    ),
    "a reduction": (
        lambda: losses.MeanSquaredError(reduction="avg"),
        ValueError,
        "reduction must be one of sum_over_batch_size, ",
    ),
    "a setting of an optimiser": (
        lambda: optimizers.Adam(learning_rat=0.1),
        TypeError,
        "Adam: there is no argument learning_rat",
    ),
    "two ways to clip": (
        lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0),
        ValueError,
        "give one of clipnorm, clipvalue, global_clipnorm",
    ),
    "precision of several thresholds": (
        lambda: metrics.Precision(thresholds=[0.1, 0.5]),
        TypeError,
        "Precision: thresholds must be a number",
    ),
    "texts before their words": (
        lambda: Tokenizer().texts_to_sequences(["a film"]),
        ValueError,
        r"call fit_on_texts\(texts\) first",
    ),
    "one text": (
        lambda: Tokenizer().fit_on_texts("a film"),
        TypeError,
        "expected a list of texts, got one text",
    ),
    "texts before adapt": (
        lambda: TextVectorization()(["a film"]),
        ValueError,
        r"call adapt\(texts\) or set_vocabulary\(words\) first",
    ),
    "numbers cut to integers": (
        lambda: pad_sequences([[0.5, 1.5]]),
        TypeError,
        'holds float64, expected integers; give dtype="float32"',
    ),
    "a series that is too short": (
        lambda: TimeseriesGenerator([1.0, 2.0], [1.0, 2.0], length=3),
        ValueError,
        "a series of 2 has no window of 3",
    ),
    "windows that are too long": (
        lambda: utils.timeseries_dataset_from_array([1.0, 2.0], None, 3),
        ValueError,
        "a series of 2 has no window of 3",
    ),
}


def fit_graph(loss, y=None):
    model = graph()
    model.compile("sgd", loss)
    y = [np.ones((4, 1)), np.ones((4, 2))] if y is None else y
    model.fit([np.ones((4, 2)), np.ones((4, 3))], y, verbose=0)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    call, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        call()


def test_names_with_the_meaning_that_they_have_in_keras():
    """Arguments by position; what a lecture types means the same here."""
    lstm = LSTM(3, "relu")
    assert lstm.cell.activation == "relu"
    assert Embedding(50, 4, "ones")([[1]]).data.tolist() == [[[1.0] * 4]]
    model = compiled()
    history = model.fit(X, Y, 2, 3, 0)
    assert history.params == {"epochs": 3, "steps": 2, "verbose": 0}
    vectors = Sequential([Embedding(50, 4), LSTM(3)])
    vectors.build((None, 6))
    assert vectors.predict(np.ones((2, 6))).shape == (2, 3)
    for activation in ("linear", None, np.tanh):
        SimpleRNN(4, activation=activation)(X)


def test_progress_is_a_line_for_each_epoch(capsys):
    model = compiled(metrics=["accuracy"])
    model.fit(X, Y, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Epoch 1/2", "Epoch 2/2"]
    model.evaluate(X, Y)
    assert capsys.readouterr().out.startswith("loss ")
    model.fit(X, Y, epochs=1, verbose=0)
    model.evaluate(X, Y, verbose=0)
    model.predict(X)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("module", ABSENT)
def test_what_keras_has_and_this_has_not_says_what_to_write(module):
    found = {"keras": keras, "schedules": keras.optimizers.schedules}.get(module)
    if module == "sequence":
        found = keras.preprocessing.sequence
    found = found or getattr(keras, module)
    for name, cure in ABSENT[module].items():
        assert name not in vars(found), name
        with pytest.raises(ImportError, match=rf"{module} has no {name}: "):
            getattr(found, name)
        for path in re.findall(r"unspool\.((?:models|cells)\.\w+)", cure):
            folder, own = path.split(".")
            assert hasattr(getattr(unspool, folder), own), path


def test_a_name_misspelt_of_keras():
    with pytest.raises(AttributeError, match=r"keras\.layers.*'LTSM'; did you mean LSTM\?"):
        _ = keras.layers.LTSM
    assert not hasattr(keras.layers, "__wrapped__")
