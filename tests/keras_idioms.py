# ruff: noqa: E501  (programs as lectures write them)
"""Idioms of courses that teach with Keras: what lecture slides, tutorials and exercises type.

A row is a program in Keras's words that leaves what it computed in ``out``. The prelude's names are
there: data, ``same(model)``, which gives a model weights that depend on their shapes only, and
``path(name)`` in a folder for files. ``instead`` is the same program in the words of Keras 3, where
the idiom is one of Keras 1 or 2, which Keras 3 has no more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Idiom(NamedTuple):
    name: str
    code: str
    instead: str | None = None
    # How far numbers may be from Keras's, relative to the largest of them.
    tolerance: float = 2e-5


def prelude(folder: Any) -> dict[str, Any]:
    """The names that the programs use."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 20, (8, 6))
    for row, length in enumerate([6, 3, 5, 1, 6, 2, 4, 6]):
        ids[row, length:] = 0
    classes = rng.integers(0, 3, 8)

    def same(model: Any) -> Any:
        numbers = np.random.default_rng(1)
        model.set_weights([0.5 * numbers.standard_normal(w.shape) for w in model.get_weights()])
        return model

    return {
        "np": np,
        "ids": ids,
        "seq": rng.standard_normal((8, 6, 3)).astype("float32"),
        "feats": rng.standard_normal((8, 5)).astype("float32"),
        "y": rng.integers(0, 2, 8),
        "target": rng.standard_normal(8).astype("float32"),
        "classes": classes,
        "onehot": np.eye(3, dtype="float32")[classes],
        "tags": rng.integers(0, 4, (8, 6)),
        "vectors": rng.standard_normal((20, 4)).astype("float32"),
        "texts": ["the film was good", "a bad film , bad", "good , good !"],
        "same": same,
        "path": lambda name: str(folder / name),
        "__name__": "__main__",
    }


START = """
from keras.models import Sequential
from keras.layers import *
"""

IDIOMS = [
    # Importing ----------------------------------------------------------------------------------
    Idiom("import keras", "import keras\nfrom keras import layers\nout = layers.Dense(3).units"),
    Idiom("import keras.layers as L", "import keras.layers as L\nout = L.LSTM(3).units"),
    Idiom(
        "from keras import Sequential, Model, Input",
        "from keras import Sequential, Model, Input\nout = Input(shape=(6, 3)).shape",
    ),
    Idiom(
        "import lines of a classifier",
        """
from keras.models import Sequential, Model, load_model
from keras.layers import Dense, LSTM, GRU, SimpleRNN, Embedding, Bidirectional, Dropout
from keras.layers import Input, TimeDistributed, Activation, Flatten, Conv1D, GlobalMaxPooling1D
from keras.optimizers import SGD, Adam, RMSprop
from keras.callbacks import EarlyStopping, ModelCheckpoint, Callback
from keras.utils import to_categorical, pad_sequences
from keras.losses import BinaryCrossentropy
from keras.metrics import Precision, Recall
from keras.regularizers import l2
from keras.initializers import Constant
out = 1
""",
    ),
    Idiom(
        "keras.preprocessing.sequence.pad_sequences",
        "from keras.preprocessing.sequence import pad_sequences\n"
        "out = pad_sequences([[1, 2, 3], [4]], maxlen=2)",
        "from keras.utils import pad_sequences\nout = pad_sequences([[1, 2, 3], [4]], maxlen=2)",
    ),
    Idiom(
        "keras.layers.core, .recurrent, .embeddings",
        "from keras.layers.core import Dense, Activation, Dropout\n"
        "from keras.layers.recurrent import LSTM\nfrom keras.layers.embeddings import Embedding\n"
        "from keras.layers.wrappers import TimeDistributed\nfrom keras.utils import np_utils\n"
        "out = np_utils.to_categorical([0, 2], 3)",
        "from keras.utils import to_categorical\nout = to_categorical([0, 2], 3)",
    ),
    # Sequential ---------------------------------------------------------------------------------
    Idiom(
        "Sequential and add",
        START
        + """
model = Sequential()
model.add(Embedding(20, 4))
model.add(LSTM(5))
model.add(Dense(1, activation='sigmoid'))
model.build((None, 6))
out = same(model).predict(ids, verbose=0)
""",
    ),
    Idiom(
        "Sequential of a list with Input",
        START
        + """
model = Sequential([Input(shape=(6, 3)), LSTM(5), Dense(3, activation='softmax')])
out = same(model).predict(seq)
""",
    ),
    Idiom(
        "Input, batch_shape=",
        START + "model = Sequential([Input(batch_shape=(8, 6, 3)), GRU(4)])\n"
        "out = same(model).predict(seq, batch_size=8)",
    ),
    Idiom(
        "input_shape=",
        START + "model = Sequential()\nmodel.add(SimpleRNN(4, input_shape=(6, 3)))\n"
        "model.add(Dense(1))\nout = same(model).predict(seq)",
    ),
    Idiom(
        "input_shape with None",
        START + "model = Sequential([LSTM(4, input_shape=(None, 3)), Dense(1)])\n"
        "out = [same(model).predict(seq), model.predict(seq[:, :4])]",
    ),
    Idiom(
        "input_dim=",
        START + "model = Sequential([Dense(4, input_dim=5, activation='relu'), Dense(1)])\n"
        "out = same(model).predict(feats)",
        START + "model = Sequential([Input((5,)), Dense(4, activation='relu'), Dense(1)])\n"
        "out = same(model).predict(feats)",
    ),
    Idiom(
        "Embedding, input_length=",
        START + "model = Sequential([Embedding(20, 4, input_length=6), Flatten(), Dense(1)])\n"
        "out = same(model).predict(ids)",
        START + "model = Sequential([Input((6,)), Embedding(20, 4), Flatten(), Dense(1)])\n"
        "out = same(model).predict(ids)",
    ),
    Idiom(
        "batch_input_shape=",
        START + "model = Sequential([LSTM(4, batch_input_shape=(8, 6, 3)), Dense(1)])\n"
        "out = same(model).predict(seq, batch_size=8)",
        START + "model = Sequential([Input(batch_shape=(8, 6, 3)), LSTM(4), Dense(1)])\n"
        "out = same(model).predict(seq, batch_size=8)",
    ),
    Idiom(
        "input_dim= and input_length= of an LSTM",
        START + "model = Sequential([LSTM(4, input_dim=3, input_length=6)])\n"
        "out = same(model).predict(seq)",
        START + "model = Sequential([Input((6, 3)), LSTM(4)])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "name=",
        START + "model = Sequential([Input((5,)), Dense(4, name='hidden'), Dense(1, name='out')],"
        " name='mine')\nout = [model.name, [layer.name for layer in model.layers]]",
    ),
    Idiom(
        "names of layers",
        "import keras\n" + START + "keras.backend.clear_session()\n"
        "model = Sequential([Input((6, 3)), LSTM(4, return_sequences=True), LSTM(4),"
        " Dense(2), Dense(1)])\nout = [layer.name for layer in model.layers]",
    ),
    Idiom(
        "get_layer",
        START + "model = Sequential([Input((5,)), Dense(4, name='hidden'), Dense(1)])\n"
        "out = [model.get_layer('hidden').units, model.get_layer(index=1).units]",
    ),
    Idiom(
        "pop",
        START + "model = Sequential([Input((5,)), Dense(4), Dense(1)])\nmodel.pop()\n"
        "out = same(model).predict(feats)",
    ),
    Idiom(
        "a layer after the shapes are known",
        START + "model = Sequential([Input((5,)), Dense(4)])\nmodel.add(Dense(2))\n"
        "out = same(model).predict(feats)",
    ),
    Idiom(
        "input_shape and output_shape",
        START + "model = Sequential([Input((6, 3)), LSTM(4, return_sequences=True), Dense(2)])\n"
        "out = [model.input_shape, model.output_shape, model.layers[0].output.shape]",
    ),
    Idiom(
        "summary",
        START + "model = Sequential([Embedding(20, 4), GRU(5), Dense(1)])\nmodel.build((None, 6))\n"
        "model.summary()\nout = model.count_params()",
    ),
    Idiom(
        "summary(print_fn=)",
        START + "lines = []\nmodel = Sequential([Input((5,)), Dense(4)])\n"
        "model.summary(print_fn=lambda text, **other: lines.append(text))\n"
        "out = 'Total params: 24' in ' '.join(lines)",
    ),
    Idiom(
        "count_params",
        START + "layers = [SimpleRNN(4), LSTM(4), GRU(4), Bidirectional(LSTM(4)), Conv1D(5, 2)]\n"
        "out = []\nfor layer in layers:\n    model = Sequential([Input((6, 3)), layer])\n"
        "    out.append(layer.count_params())",
    ),
    Idiom(
        "get_weights",
        START + "model = Sequential([Input((6, 3)), LSTM(4), Dense(1)])\nsame(model)\n"
        "out = [model.layers[0].get_weights(), model.layers[1].get_weights()]",
    ),
    Idiom(
        "set_weights of a layer",
        START + "model = Sequential([Input((5,)), Dense(2)])\n"
        "model.layers[0].set_weights([np.ones((5, 2)), np.array([1.0, 2.0])])\n"
        "out = model.predict(feats)",
    ),
    Idiom(
        "get_weights, unpacked",
        START + "layer = Dense(2)\nlayer.build((None, 5))\nW, b = layer.get_weights()\n"
        "out = [W.shape, b]",
    ),
    Idiom(
        "build, set_weights, call",
        START + "layer = Dense(2)\nlayer.build((None, 5))\nsame(layer)\n"
        "out = layer(feats).detach().numpy()",
    ),
    Idiom(
        "weights, trainable_weights",
        START + "model = Sequential([Input((5,)), Dense(2), BatchNormalization()])\n"
        "out = [len(model.weights), len(model.trainable_weights),"
        " len(model.non_trainable_weights)]",
    ),
    Idiom(
        "Embedding(weights=[...], trainable=False)",
        START + "model = Sequential([Embedding(20, 4, weights=[vectors], trainable=False)])\n"
        "out = model.predict(ids)",
        START + "model = Sequential([Input((6,)), Embedding(20, 4)])\n"
        "model.set_weights([vectors])\nout = model.predict(ids)",
    ),
    Idiom(
        "embeddings_initializer=Constant(...)",
        "import keras\n" + START + "model = Sequential([Embedding(20, 4,"
        " embeddings_initializer=keras.initializers.Constant(vectors), trainable=False)])\n"
        "out = model.predict(ids)",
    ),
    Idiom(
        "layer.trainable = False",
        START
        + """
model = Sequential([Input((5,)), Dense(4, activation='tanh'), Dense(1)])
model.layers[0].trainable = False
model.compile('sgd', 'mse')
same(model)
before = model.layers[0].get_weights()[0]
model.fit(feats, target, epochs=3, verbose=0, shuffle=False)
out = [model.layers[0].get_weights()[0] - before, model.predict(feats)]
""",
    ),
    Idiom(
        "model.trainable = False",
        START + "model = Sequential([Input((5,)), Dense(4), Dense(1)])\nmodel.trainable = False\n"
        "out = [len(model.trainable_weights), [l.trainable for l in model.layers]]",
    ),
    # Layers -------------------------------------------------------------------------------------
    Idiom(
        "model(x)",
        START + "model = Sequential([Input((5,)), Dense(4), Dropout(0.5), Dense(2)])\n"
        "out = same(model)(feats).detach().numpy()",
    ),
    Idiom(
        "model(x, training=True)",
        START + "model = Sequential([Input((5,)), Dropout(0.5), Dense(2)])\nsame(model)\n"
        "out = bool((model(feats, training=True) != model(feats, training=False)).any())",
    ),
    Idiom("layer(x)", START + "out = Dense(4)(feats).shape"),
    Idiom(
        "LSTM, positions",
        START + "model = Sequential([Input((6, 3)), LSTM(4, 'tanh', 'sigmoid', False)])\n"
        "out = same(model).predict(seq)",
    ),
    Idiom(
        "Embedding, positions",
        START + "model = Sequential([Input((6,)), Embedding(20, 4, 'uniform')])\n"
        "out = same(model).predict(ids)",
    ),
    Idiom(
        "Dropout, Dense(kernel_initializer=)",
        START + "model = Sequential([Input((5,)), Dense(4, 'relu', kernel_initializer='he_normal'"
        "), Dropout(rate=0.2, seed=1), Dense(1, kernel_initializer='ones',"
        " bias_initializer='zeros')])\nout = [w.shape for w in model.get_weights()]",
    ),
    Idiom(
        "initialisers as objects",
        "import keras\n" + START + "init = keras.initializers.RandomNormal(mean=0.0, stddev=0.05,"
        " seed=1)\nmodel = Sequential([Input((6, 3)), LSTM(4, kernel_initializer=init,"
        " recurrent_initializer=keras.initializers.Orthogonal())])\n"
        "U = model.get_weights()[1]\nout = U @ U.T",
    ),
    Idiom(
        "constant weights",
        START + "model = Sequential([Input((6, 3)), SimpleRNN(4, kernel_initializer='ones',"
        " recurrent_initializer='identity', bias_initializer='zeros')])\nout = model.predict(seq)",
    ),
    Idiom(
        "the forget bias",
        START + "model = Sequential([Input((6, 3)), LSTM(2)])\nout = model.get_weights()[2]",
    ),
    Idiom(
        "SimpleRNN, relu and linear",
        START + "model = Sequential([Input((6, 3)), SimpleRNN(4, activation='relu',"
        " return_sequences=True), SimpleRNN(4, activation='linear', return_sequences=True),"
        " SimpleRNN(2, activation=None)])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "LSTM, activation='relu'",
        START + "model = Sequential([Input((6, 3)), LSTM(4, activation='relu'), Dense(1)])\n"
        "out = same(model).predict(seq)",
    ),
    Idiom(
        "LSTM, recurrent_activation='hard_sigmoid'",
        START + "model = Sequential([Input((6, 3)), LSTM(4, activation='tanh',"
        " recurrent_activation='hard_sigmoid')])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "GRU, activation='relu'",
        START + "model = Sequential([Input((6, 3)), GRU(4, activation='relu')])\n"
        "out = same(model).predict(seq)",
    ),
    Idiom(
        "GRU, reset_after=True",
        START + "model = Sequential([Input((6, 3)), GRU(4, reset_after=True)])\n"
        "out = same(model).predict(seq)",
    ),
    Idiom(
        "GRU, reset_after=False",
        START + "model = Sequential([Input((6, 3)), GRU(4, reset_after=False)])\n"
        "out = [same(model).predict(seq), model.count_params()]",
    ),
    Idiom(
        "use_bias=False, unit_forget_bias=False",
        START + "model = Sequential([Input((6, 3)), LSTM(4, unit_forget_bias=False,"
        " return_sequences=True), GRU(3, use_bias=False)])\n"
        "out = [w.shape for w in model.get_weights()], same(model).predict(seq)",
    ),
    Idiom(
        "return_sequences",
        START + "model = Sequential([Input((6, 3)), LSTM(4, return_sequences=True),"
        " LSTM(3, return_sequences=True)])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "dropout=, recurrent_dropout=",
        START + "model = Sequential([Input((6, 3)), LSTM(4, dropout=0.2, recurrent_dropout=0.2)])\n"
        "out = same(model).predict(seq)",
    ),
    Idiom(
        "go_backwards",
        START + "model = Sequential([Input((6, 3)), GRU(4, go_backwards=True,"
        " return_sequences=True)])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "stateful",
        START + "model = Sequential([Input(batch_shape=(8, 6, 3)), LSTM(4, stateful=True)])\n"
        "same(model)\na = model.predict(seq, batch_size=8)\nb = model.predict(seq, batch_size=8)\n"
        "model.layers[0].reset_states()\nout = [a, b, model.predict(seq, batch_size=8)]",
        START + "model = Sequential([Input(batch_shape=(8, 6, 3)), LSTM(4, stateful=True)])\n"
        "same(model)\na = model.predict(seq, batch_size=8)\nb = model.predict(seq, batch_size=8)\n"
        "model.layers[0].reset_state()\nout = [a, b, model.predict(seq, batch_size=8)]",
    ),
    Idiom(
        "model.reset_states()",
        START + "model = Sequential([Input(batch_shape=(8, 6, 3)), GRU(4, stateful=True)])\n"
        "same(model)\nfor part in range(2):\n    model.predict(seq, batch_size=8)\n"
        "    model.reset_states()\nout = model.predict(seq, batch_size=8)",
        START + "model = Sequential([Input(batch_shape=(8, 6, 3)), GRU(4)])\n"
        "out = same(model).predict(seq)",
    ),
    Idiom(
        "Bidirectional",
        START + "model = Sequential([Input((6, 3)), Bidirectional(LSTM(4, return_sequences=True)),"
        " Bidirectional(GRU(3))])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "merge_mode=",
        START + "out = []\nfor mode in ('concat', 'sum', 'mul', 'ave'):\n"
        "    model = Sequential([Input((6, 3)), Bidirectional(LSTM(4), merge_mode=mode)])\n"
        "    out.append(same(model).predict(seq))",
    ),
    Idiom(
        "merge_mode=None",
        START + "from keras import Model\nx = Input((6, 3))\n"
        "ahead, back = Bidirectional(LSTM(4, return_sequences=True), merge_mode=None)(x)\n"
        "model = Model(x, [ahead, back])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "backward_layer=",
        START + "model = Sequential([Input((6, 3)), Bidirectional(LSTM(4), backward_layer="
        "GRU(4, go_backwards=True))])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "mask_zero=True",
        START + "model = Sequential([Input((6,)), Embedding(20, 4, mask_zero=True), LSTM(5),"
        " Dense(1)])\nout = same(model).predict(ids)",
    ),
    Idiom(
        "mask_zero=True through layers",
        START + "model = Sequential([Input((6,)), Embedding(20, 4, mask_zero=True), Dropout(0.2),"
        " Bidirectional(GRU(3, return_sequences=True)), Dense(4, activation='tanh'), LSTM(3)])\n"
        "out = same(model).predict(ids)",
    ),
    Idiom(
        "Masking",
        START + "x = seq.copy()\nx[1, 3:] = 0\nx[4, 2:] = 0\n"
        "model = Sequential([Input((6, 3)), Masking(mask_value=0.0), LSTM(4), Dense(1)])\n"
        "out = same(model).predict(x)",
    ),
    Idiom(
        "mask=",
        START + "layer = GRU(4)\nlayer.build((None, 6, 3))\nsame(layer)\n"
        "out = layer(seq, mask=ids != 0).detach().numpy()",
    ),
    Idiom(
        "compute_mask",
        START + "layer = Embedding(20, 4, mask_zero=True)\nout = np.array(layer.compute_mask(ids))",
    ),
    Idiom(
        "TimeDistributed(Dense)",
        START + "model = Sequential([Input((6, 3)), LSTM(4, return_sequences=True),"
        " TimeDistributed(Dense(2, activation='softmax'))])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "TimeDistributed of a network",
        START + "inner = Sequential([Input((6, 3)), LSTM(4)])\n"
        "model = Sequential([Input((2, 6, 3)), TimeDistributed(inner), GRU(3)])\n"
        "out = same(model).predict(np.stack([seq, seq[::-1]], 1))",
    ),
    Idiom(
        "Activation",
        START + "model = Sequential([Input((5,)), Dense(4), Activation('relu'), Dense(3),"
        " Activation('softmax')])\nout = same(model).predict(feats)",
    ),
    Idiom(
        "activations by name",
        START + "out = []\nfor name in ('elu', 'selu', 'gelu', 'softplus', 'softsign', 'swish',"
        " 'silu', 'exponential', 'hard_sigmoid', 'leaky_relu', 'relu6', 'log_softmax', 'mish',"
        " 'linear'):\n"
        "    out.append(Activation(name)(feats).numpy())",
    ),
    Idiom(
        "activation=keras.activations.relu",
        "import keras\n" + START + "model = Sequential([Input((5,)), Dense(4, activation="
        "keras.activations.relu), Dense(2, activation=keras.activations.softmax)])\n"
        "out = same(model).predict(feats)",
    ),
    Idiom(
        "LeakyReLU, ReLU, Softmax, ELU",
        START + "out = [layer(feats).numpy() for layer in (LeakyReLU(), LeakyReLU(0.1), ReLU(),"
        " Softmax(), ELU())]",
    ),
    Idiom(
        "Flatten, Reshape, Permute, RepeatVector",
        START + "model = Sequential([Input((6, 3)), Permute((2, 1)), Flatten(), Dense(4),"
        " RepeatVector(3), Reshape((4, 3)), Reshape((2, -1))])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "Lambda",
        START + "model = Sequential([Input((6, 3)), Lambda(lambda x: x[:, -1, :] * 2), Dense(1)])\n"
        "out = same(model).predict(seq)",
    ),
    Idiom(
        "Conv1D",
        START + "model = Sequential([Input((6, 3)), Conv1D(4, 3, activation='relu',"
        " padding='same'), GlobalMaxPooling1D()])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "Conv1D, strides, dilation, causal",
        START + "out = []\nfor options in ({'strides': 2}, {'dilation_rate': 2},"
        " {'padding': 'causal'}, {'padding': 'same', 'strides': 2}, {'padding': 'same', 'dilation_rate': 3}):\n"
        "    model = Sequential([Input((7, 3)), Conv1D(4, 3, **options)])\n"
        "    out.append(same(model).predict(np.concatenate([seq, seq[:, :1]], 1)))",
    ),
    Idiom(
        "MaxPooling1D, AveragePooling1D",
        START + "out = []\nfor layer in (MaxPooling1D(), MaxPooling1D(pool_size=3, strides=1),"
        " AveragePooling1D(2), MaxPooling1D(3, strides=2, padding='same')):\n"
        "    out.append(Sequential([Input((6, 3)), layer]).predict(seq))",
    ),
    Idiom(
        "Conv1D, MaxPooling1D, LSTM",
        START + "model = Sequential([Input((6,)), Embedding(20, 4), Conv1D(5, 3, padding='same',"
        " activation='relu'), MaxPooling1D(2), LSTM(3), Dense(1, activation='sigmoid')])\n"
        "out = same(model).predict(ids)",
    ),
    Idiom(
        "SpatialDropout1D",
        START + "model = Sequential([Input((6,)), Embedding(20, 4), SpatialDropout1D(0.2),"
        " GlobalAveragePooling1D()])\nout = same(model).predict(ids)",
    ),
    Idiom(
        "GlobalAveragePooling1D with a mask",
        START + "model = Sequential([Input((6,)), Embedding(20, 4, mask_zero=True),"
        " GlobalAveragePooling1D(), Dense(1)])\nout = same(model).predict(ids)",
    ),
    Idiom(
        "BatchNormalization",
        START + "model = Sequential([Input((5,)), Dense(4), BatchNormalization(), Dense(1)])\n"
        "same(model)\nw = model.get_weights()\nw[5] = abs(w[5])\nmodel.set_weights(w)\n"
        "model.compile('sgd', 'mse')\n"
        "model.fit(feats, target, epochs=3, shuffle=False, verbose=0)\n"
        "out = [model.predict(feats), *model.layers[1].get_weights()]",
        tolerance=1e-4,
    ),
    Idiom(
        "LayerNormalization",
        START + "model = Sequential([Input((6, 3)), LSTM(4, return_sequences=True),"
        " LayerNormalization()])\nout = same(model).predict(seq)",
        tolerance=1e-4,
    ),
    Idiom(
        "GaussianNoise",
        START + "model = Sequential([Input((5,)), GaussianNoise(0.1), Dense(1)])\n"
        "out = same(model).predict(feats)",
    ),
    Idiom(
        "RNN(cell)",
        START + "model = Sequential([Input((6, 3)), RNN(LSTMCell(4), return_sequences=True),"
        " RNN([GRUCell(3), SimpleRNNCell(2)])])\nout = same(model).predict(seq)",
    ),
    Idiom(
        "RNN of a cell of one's own",
        "import keras\n"
        + START
        + """
class MinimalCell(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units
    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units),
                                      initializer='uniform', name='kernel')
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units),
                                                initializer='uniform', name='recurrent_kernel')
    def call(self, inputs, states):
        h = keras.ops.matmul(inputs, self.kernel)
        output = h + keras.ops.matmul(states[0], self.recurrent_kernel)
        return output, [output]
model = Sequential([Input((6, 3)), RNN(MinimalCell(4))])
out = same(model).predict(seq)
""",
    ),
    # The functional API -------------------------------------------------------------------------
    Idiom(
        "Model(inputs, outputs)",
        START
        + """
from keras import Model
inputs = Input(shape=(6, 3))
x = LSTM(4)(inputs)
outputs = Dense(1, activation='sigmoid')(x)
model = Model(inputs=inputs, outputs=outputs)
out = [same(model).predict(seq), [type(layer).__name__ for layer in model.layers]]
""",
    ),
    Idiom(
        "return_state",
        START + "from keras import Model\nx = Input((6, 3))\n"
        "y, h, c = LSTM(4, return_sequences=True, return_state=True)(x)\n"
        "out = same(Model(x, [y, h, c])).predict(seq)",
    ),
    Idiom(
        "return_state of GRU, SimpleRNN, Bidirectional",
        START + "from keras import Model\nx = Input((6, 3))\ny, h = GRU(4, return_state=True)(x)\n"
        "z, s = SimpleRNN(2, return_state=True)(x)\n"
        "b, fh, fc, bh, bc = Bidirectional(LSTM(2, return_state=True))(x)\n"
        "out = same(Model(x, [y, h, z, s, b, fh, fc, bh, bc])).predict(seq)",
    ),
    Idiom(
        "initial_state=",
        START + "from keras import Model\nx, h, c = Input((6, 3)), Input((4,)), Input((4,))\n"
        "model = Model([x, h, c], LSTM(4)(x, initial_state=[h, c]))\n"
        "out = same(model).predict([seq, feats[:, :4], feats[:, 1:]])",
    ),
    Idiom(
        "an encoder-decoder",
        START
        + """
from keras import Model
encoder_inputs = Input(shape=(None, 3))
encoder = LSTM(4, return_state=True)
encoder_outputs, state_h, state_c = encoder(encoder_inputs)
encoder_states = [state_h, state_c]
decoder_inputs = Input(shape=(None, 3))
decoder_lstm = LSTM(4, return_sequences=True, return_state=True)
decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=encoder_states)
decoder_dense = Dense(3, activation='softmax')
decoder_outputs = decoder_dense(decoder_outputs)
model = Model([encoder_inputs, decoder_inputs], decoder_outputs)
model.compile(optimizer='rmsprop', loss='categorical_crossentropy')
same(model)
onehots = np.eye(3)[tags % 3]
history = model.fit([seq, onehots], onehots, batch_size=4, epochs=2, shuffle=False, verbose=0)
encoder_model = Model(encoder_inputs, encoder_states)
state_inputs = [Input(shape=(4,)), Input(shape=(4,))]
decoder_outputs, state_h, state_c = decoder_lstm(decoder_inputs, initial_state=state_inputs)
decoder_model = Model([decoder_inputs] + state_inputs,
                      [decoder_dense(decoder_outputs), state_h, state_c])
states = encoder_model.predict(seq, verbose=0)
token, h, c = decoder_model.predict([onehots[:, :1]] + states, verbose=0)
out = [history.history['loss'], token, h, c]
""",
        tolerance=1e-4,
    ),
    Idiom(
        "an encoder-decoder with attention",
        START
        + """
from keras import Model
source, target_ = Input((None,)), Input((None,))
keys = LSTM(4, return_sequences=True)(Embedding(20, 3, mask_zero=True)(source))
queries = LSTM(4, return_sequences=True)(Embedding(20, 3, mask_zero=True)(target_))
context = Attention()([queries, keys])
both = Concatenate()([queries, context])
model = Model([source, target_], TimeDistributed(Dense(5, activation='softmax'))(both))
p = same(model).predict([ids, ids])
out = p[ids != 0]
""",
    ),
    Idiom(
        "AdditiveAttention, GlobalAveragePooling1D",
        START + "from keras import Model\nq, v = Input((6, 3)), Input((6, 3))\n"
        "x = GlobalAveragePooling1D()(AdditiveAttention()([q, v]))\n"
        "out = same(Model([q, v], x)).predict([seq, seq[::-1]])",
    ),
    Idiom(
        "Dot and softmax as attention",
        START + "from keras import Model\nx = Input((6, 3))\n"
        "hs = Bidirectional(LSTM(4, return_sequences=True))(x)\n"
        "scores = Flatten()(Dense(1, activation='tanh')(hs))\nweights = Activation('softmax')(scores)\n"
        "context = Dot(axes=1)([weights, hs])\nout = same(Model(x, [context, weights])).predict(seq)",
    ),
    Idiom(
        "attention by RepeatVector, Permute, Multiply, Lambda",
        "import keras\n"
        + START
        + """
from keras import Model
x = Input((6, 3))
activations = LSTM(4, return_sequences=True)(x)
attention = TimeDistributed(Dense(1, activation='tanh'))(activations)
attention = Flatten()(attention)
attention = Activation('softmax')(attention)
attention = RepeatVector(4)(attention)
attention = Permute([2, 1])(attention)
merged = Multiply()([activations, attention])
summed = Lambda(lambda t: keras.ops.sum(t, axis=1))(merged)
out = same(Model(x, Dense(1)(summed))).predict(seq)
""",
    ),
    Idiom(
        "MultiHeadAttention",
        START + "from keras import Model\nx = Input((6, 4))\n"
        "out = same(Model(x, MultiHeadAttention(num_heads=2, key_dim=3)(x, x)))"
        ".predict(np.concatenate([seq, seq[..., :1]], -1))",
    ),
    Idiom(
        "merging layers",
        START + "from keras import Model\na, b = Input((5,)), Input((5,))\n"
        "model = Model([a, b], [layer()([a, b]) for layer in (Add, Subtract, Multiply, Average,"
        " Maximum, Minimum, Concatenate)])\nout = model.predict([feats, feats[::-1]])",
    ),
    Idiom(
        "add, concatenate, multiply, dot as functions",
        START
        + "from keras import Model\nfrom keras.layers import add, concatenate, multiply, dot\n"
        "a, b = Input((5,)), Input((5,))\nmodel = Model([a, b], [add([a, b]), concatenate([a, b]),"
        " multiply([a, b]), dot([a, b], axes=1), dot([a, b], axes=-1, normalize=True)])\n"
        "out = model.predict([feats, feats[::-1]])",
    ),
    Idiom(
        "operators between symbolic tensors",
        START + "from keras import Model\na = Input((5,))\nmodel = Model(a, [a + 1, 2 * a - 1,"
        " a / 2, a[:, 1:3], -a, a * a])\nout = model.predict(feats)",
    ),
    Idiom(
        "keras.ops on symbolic tensors",
        "import keras\nfrom keras import Model, Input, ops\nx = Input((6, 3))\n"
        "model = Model(x, [ops.mean(x, axis=1), ops.softmax(x, axis=1), ops.expand_dims(x, 1),"
        " ops.matmul(x, ops.transpose(x, (0, 2, 1)))])\nout = model.predict(seq)",
    ),
    Idiom(
        "two inputs, two outputs",
        START
        + """
from keras import Model
words, extra = Input((6,), name='words'), Input((5,), name='extra')
x = concatenate([LSTM(4)(Embedding(20, 3)(words)), extra])
model = Model([words, extra], [Dense(1, name='score')(x), Dense(3, activation='softmax', name='kind')(x)])
same(model)
model.compile('sgd', {'score': 'mse', 'kind': 'sparse_categorical_crossentropy'},
              loss_weights={'score': 0.5, 'kind': 2.0})
history = model.fit({'words': ids, 'extra': feats}, {'score': target, 'kind': classes},
                    epochs=2, batch_size=4, shuffle=False, verbose=0)
out = [history.history['loss'], *model.predict([ids, feats])]
""",
    ),
    Idiom(
        "lists of losses and metrics",
        START
        + """
from keras import Model
x = Input((5,))
model = Model(x, [Dense(1)(x), Dense(3, activation='softmax')(x)])
same(model)
model.compile('sgd', ['mse', 'sparse_categorical_crossentropy'], metrics=[['mae'], ['accuracy']])
out = model.evaluate(feats, [target, classes], verbose=0)
""",
    ),
    Idiom(
        "shared layers",
        START + "from keras import Model\na, b = Input((6, 3)), Input((6, 3))\nread = LSTM(4)\n"
        "model = Model([a, b], Dense(1)(concatenate([read(a), read(b)])))\n"
        "out = [same(model).predict([seq, seq[::-1]]), model.count_params()]",
    ),
    Idiom(
        "the order of layers in a graph",
        START
        + """
from keras import Model
a, b = Input((5,), name='a'), Input((5,), name='b')
right, left = Dense(2, name='right')(b), Dense(2, name='left')(a)
deep = Dense(2, name='deep')(Dense(2, name='middle')(left))
both = Concatenate(name='both')([left, right, deep])
model = Model([a, b], [Dense(1, name='one')(right), Dense(1, name='two')(both)])
out = [layer.name for layer in model.layers]
""",
    ),
    Idiom(
        "a model in a model",
        START + "from keras import Model\nencoder = Sequential([Input((6, 3)), LSTM(4)])\n"
        "x = Input((6, 3))\nmodel = Model(x, Dense(1)(encoder(x)))\n"
        "out = same(model).predict(seq)",
    ),
    Idiom(
        "features from a layer within",
        START + "from keras import Model\nmodel = Sequential([Input((6, 3)), LSTM(4, name='rnn'),"
        " Dense(1)])\nsame(model)\ninner = Model(inputs=model.inputs,"
        " outputs=model.get_layer('rnn').output)\nout = inner.predict(seq)",
    ),
    Idiom(
        "model.input, model.output",
        START + "from keras import Model\nmodel = Sequential([Input((6, 3)), LSTM(4), Dense(2)])\n"
        "same(model)\nout = Model(model.input, [layer.output for layer in model.layers])"
        ".predict(seq)",
        START + "from keras import Model\nmodel = Sequential([Input((6, 3)), LSTM(4), Dense(2)])\n"
        "same(model)\nout = Model(model.inputs, [layer.output for layer in model.layers])"
        ".predict(seq)",
    ),
    Idiom(
        "a subclass of Model",
        "import keras\n"
        + START
        + """
class Classifier(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.embedding = Embedding(20, 4, mask_zero=True)
        self.rnn = LSTM(units)
        self.dropout = Dropout(0.5)
        self.dense = Dense(1, activation='sigmoid')
    def call(self, inputs, training=False):
        x = self.rnn(self.embedding(inputs))
        x = self.dropout(x, training=training)
        return self.dense(x)
model = Classifier(5)
model(ids)
same(model)
model.compile(optimizer='sgd', loss='binary_crossentropy', metrics=['accuracy'])
out = [model.predict(ids, verbose=0), *model.evaluate(ids, y, verbose=0)]
""",
    ),
    Idiom(
        "a layer of one's own",
        "import keras\n"
        + START
        + """
class Pool(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
    def build(self, input_shape):
        self.W = self.add_weight(name='att', shape=(input_shape[-1], 1),
                                 initializer='normal', trainable=True)
        self.b = self.add_weight(name='bias', shape=(input_shape[1], 1), initializer='zeros')
        super().build(input_shape)
    def call(self, x):
        e = keras.ops.tanh(keras.ops.matmul(x, self.W) + self.b)
        a = keras.ops.softmax(e, axis=1)
        return keras.ops.sum(x * a, axis=1)
model = Sequential([Input((6, 3)), LSTM(4, return_sequences=True), Pool(), Dense(1)])
same(model)
model.compile('sgd', 'mse')
history = model.fit(seq, target, epochs=3, shuffle=False, verbose=0)
out = [history.history['loss'], model.predict(seq)]
""",
    ),
    # compile ------------------------------------------------------------------------------------
    Idiom(
        "fit",
        START
        + """
model = Sequential([Input((6,)), Embedding(20, 4), LSTM(5), Dense(1, activation='sigmoid')])
same(model)
model.compile(optimizer='adam', loss='binary_crossentropy', metrics=['accuracy'])
history = model.fit(ids, y, batch_size=3, epochs=3, shuffle=False, verbose=0)
out = [history.history['loss'], history.history['accuracy'], model.predict(ids)]
""",
        tolerance=1e-4,
    ),
    Idiom(
        "fit, positions",
        START + "model = Sequential([Input((5,)), Dense(1)])\nsame(model)\n"
        "model.compile('sgd', 'mse')\nhistory = model.fit(feats, target, 8, 2, 0)\n"
        "out = history.history['loss']",
    ),
    Idiom(
        "fit a GRU with padding",
        START
        + """
model = Sequential([Input((6,)), Embedding(20, 4, mask_zero=True), GRU(5), Dense(3, activation='softmax')])
same(model)
model.compile('adam', 'sparse_categorical_crossentropy', metrics=['acc'])
history = model.fit(ids, classes, batch_size=4, epochs=3, shuffle=False, verbose=0)
out = [history.history['loss'], history.history['acc'], model.predict(ids)]
""",
        tolerance=1e-4,
    ),
    Idiom(
        "fit a tagger with padding",
        START
        + """
model = Sequential([Input((6,)), Embedding(20, 4, mask_zero=True),
                    Bidirectional(LSTM(5, return_sequences=True)),
                    TimeDistributed(Dense(4, activation='softmax'))])
same(model)
model.compile('adam', 'sparse_categorical_crossentropy')
history = model.fit(ids, tags, batch_size=3, epochs=3, shuffle=False, verbose=0)
out = history.history['loss']
""",
        tolerance=1e-4,
    ),
    Idiom(
        "the accuracy of a tagger with padding",
        START
        + """
model = Sequential([Input((6,)), Embedding(20, 4, mask_zero=True), GRU(5, return_sequences=True),
                    Dense(4, activation='softmax')])
same(model)
model.compile('sgd', 'sparse_categorical_crossentropy', metrics=['accuracy'], weighted_metrics=['acc'])
out = model.evaluate(ids, tags, batch_size=3, verbose=0)
""",
    ),
    Idiom(
        "categorical_crossentropy, one-hot",
        START + "model = Sequential([Input((5,)), Dense(3, activation='softmax')])\nsame(model)\n"
        "model.compile(optimizer='rmsprop', loss='categorical_crossentropy', metrics=['accuracy'])\n"
        "model.fit(feats, onehot, epochs=2, shuffle=False, verbose=0)\n"
        "out = model.evaluate(feats, onehot, verbose=0)",
        tolerance=1e-4,
    ),
    Idiom(
        "accuracy of several labels",
        START + "model = Sequential([Input((5,)), Dense(3, activation='sigmoid')])\nsame(model)\n"
        "model.compile('sgd', 'binary_crossentropy', metrics=['binary_accuracy'])\n"
        "out = model.evaluate(feats, onehot, verbose=0)",
    ),
    Idiom(
        "accuracy by its name",
        START
        + """
out = []
for width, loss, t in ((1, 'binary_crossentropy', y), (3, 'binary_crossentropy', onehot),
                       (3, 'categorical_crossentropy', onehot),
                       (3, 'sparse_categorical_crossentropy', classes), (1, 'mse', y)):
    model = Sequential([Input((5,)), Dense(width, activation='sigmoid')])
    same(model)
    model.compile('sgd', loss, metrics=['accuracy'])
    out.append(model.evaluate(feats, t, verbose=0))
""",
    ),
    Idiom(
        "optimisers by name",
        START
        + """
out = []
for name in ('sgd', 'SGD', 'adam', 'rmsprop', 'adagrad', 'adadelta', 'adamax', 'nadam', 'adamw'):
    model = Sequential([Input((5,)), Dense(1)])
    same(model)
    model.compile(name, 'mse')
    out.append(model.fit(feats, target, epochs=4, shuffle=False, verbose=0).history['loss'])
""",
        tolerance=1e-4,
    ),
    Idiom(
        "optimisers as objects",
        "from keras.optimizers import *\n"
        + START
        + """
out = []
for optimizer in (SGD(learning_rate=0.05, momentum=0.9), SGD(0.05, momentum=0.9, nesterov=True),
                  Adam(0.01), Adam(learning_rate=0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-6),
                  RMSprop(0.01, rho=0.8), RMSprop(0.01, momentum=0.5, centered=True),
                  Adagrad(0.1), AdamW(0.01, weight_decay=0.1), Adam(0.01, amsgrad=True)):
    model = Sequential([Input((5,)), Dense(1)])
    same(model)
    model.compile(optimizer, 'mse')
    out.append(model.fit(feats, target, epochs=4, shuffle=False, verbose=0).history['loss'])
""",
        tolerance=1e-4,
    ),
    Idiom(
        "clipnorm=, clipvalue=, global_clipnorm=",
        "import keras\n"
        + START
        + """
out = []
for options in ({'clipnorm': 0.1}, {'clipvalue': 0.05}, {'global_clipnorm': 0.2}):
    model = Sequential([Input((5,)), Dense(4), Dense(1)])
    same(model)
    model.compile(keras.optimizers.SGD(learning_rate=0.1, **options), 'mse')
    out.append(model.fit(feats, target, epochs=4, shuffle=False, verbose=0).history['loss'])
""",
    ),
    Idiom(
        "learning-rate schedules",
        "import keras\n"
        + START
        + """
out = []
for rate in (keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=2, decay_rate=0.5),
             keras.optimizers.schedules.PiecewiseConstantDecay([2, 4], [0.1, 0.01, 0.001]),
             keras.optimizers.schedules.CosineDecay(0.1, 5),
             keras.optimizers.schedules.PolynomialDecay(0.1, 4),
             keras.optimizers.schedules.InverseTimeDecay(0.1, 1, 0.5)):
    model = Sequential([Input((5,)), Dense(1)])
    same(model)
    model.compile(keras.optimizers.SGD(learning_rate=rate), 'mse')
    out.append(model.fit(feats, target, batch_size=4, epochs=4, shuffle=False, verbose=0).history['loss'])
""",
    ),
    Idiom(
        "lr=, decay=",
        "import keras\n" + START + "model = Sequential([Input((5,)), Dense(1)])\nsame(model)\n"
        "model.compile(keras.optimizers.SGD(lr=0.1, decay=0.5), 'mse')\n"
        "out = model.fit(feats, target, batch_size=4, epochs=4, shuffle=False, verbose=0).history['loss']",
        "import keras\n" + START + "model = Sequential([Input((5,)), Dense(1)])\nsame(model)\n"
        "rate = keras.optimizers.schedules.InverseTimeDecay(0.1, 1, 0.5)\n"
        "model.compile(keras.optimizers.SGD(learning_rate=rate), 'mse')\n"
        "out = model.fit(feats, target, batch_size=4, epochs=4, shuffle=False, verbose=0).history['loss']",
    ),
    Idiom(
        "the learning rate, read and set",
        START + "model = Sequential([Input((5,)), Dense(1)])\nmodel.compile('adam', 'mse')\n"
        "model.optimizer.learning_rate = 0.05\nout = float(model.optimizer.learning_rate)",
    ),
    Idiom(
        "losses as objects",
        "import keras\n"
        + START
        + """
out = []
for loss, t in ((keras.losses.BinaryCrossentropy(), onehot),
                (keras.losses.BinaryCrossentropy(label_smoothing=0.1), onehot),
                (keras.losses.CategoricalCrossentropy(label_smoothing=0.2), onehot),
                (keras.losses.SparseCategoricalCrossentropy(), classes),
                (keras.losses.MeanSquaredError(), onehot), (keras.losses.MeanAbsoluteError(), onehot),
                (keras.losses.Huber(delta=0.5), onehot), (keras.losses.Hinge(), onehot),
                (keras.losses.KLDivergence(), onehot), (keras.losses.CosineSimilarity(), onehot),
                (keras.losses.LogCosh(), onehot), (keras.losses.Poisson(), onehot)):
    model = Sequential([Input((5,)), Dense(3, activation='softmax')])
    same(model)
    model.compile('sgd', loss)
    out.append(model.evaluate(feats, t, verbose=0))
""",
    ),
    Idiom(
        "from_logits=True",
        "import keras\n"
        + START
        + """
model = Sequential([Input((5,)), Dense(3)])
same(model)
model.compile('adam', keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=['accuracy'])
model.fit(feats, classes, epochs=3, shuffle=False, verbose=0)
out = model.evaluate(feats, classes, verbose=0)
""",
        tolerance=1e-4,
    ),
    Idiom(
        "a loss called on arrays",
        "import keras\nloss = keras.losses.MeanSquaredError()\n"
        "out = [float(loss([[0.0, 1.0]], [[1.0, 1.5]])),"
        " float(keras.losses.BinaryCrossentropy(from_logits=True)([[1.0], [0.0]], [[2.0], [0.5]]))]",
    ),
    Idiom(
        "losses as functions",
        "import keras\nout = [np.array(keras.losses.mean_squared_error(onehot, onehot * 0.5)),"
        " np.array(keras.losses.categorical_crossentropy(onehot, onehot * 0.5 + 0.2)),"
        " np.array(keras.losses.binary_crossentropy(onehot, onehot * 0.5 + 0.2))]",
    ),
    Idiom(
        "losses by name",
        START
        + """
out = []
for loss in ('mse', 'mae', 'mean_squared_error', 'mean_absolute_error', 'huber', 'hinge',
             'squared_hinge', 'kl_divergence', 'cosine_similarity', 'log_cosh', 'msle', 'mape', 'poisson'):
    model = Sequential([Input((5,)), Dense(3, activation='sigmoid')])
    same(model)
    model.compile('sgd', loss)
    out.append(model.evaluate(feats, onehot, verbose=0))
""",
    ),
    Idiom(
        "a loss of one's own",
        "import keras\n"
        + START
        + """
def weighted(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred) * 3.0, axis=-1)
model = Sequential([Input((5,)), Dense(3)])
same(model)
model.compile(optimizer='sgd', loss=weighted)
out = [model.fit(feats, onehot, epochs=2, shuffle=False, verbose=0).history['loss']]
""",
    ),
    Idiom(
        "a loss of one's own by keras.backend",
        "from keras import backend as K\n"
        + START
        + """
def rmse(y_true, y_pred):
    return K.sqrt(K.mean(K.square(y_pred - y_true)))
model = Sequential([Input((5,)), Dense(3)])
same(model)
model.compile(optimizer='sgd', loss=rmse)
out = model.fit(feats, onehot, epochs=2, shuffle=False, verbose=0).history['loss']
""",
        "from keras import ops as K\n"
        + START
        + """
def rmse(y_true, y_pred):
    return K.sqrt(K.mean(K.square(y_pred - y_true)))
model = Sequential([Input((5,)), Dense(3)])
same(model)
model.compile(optimizer='sgd', loss=rmse)
out = model.fit(feats, onehot, epochs=2, shuffle=False, verbose=0).history['loss']
""",
    ),
    Idiom(
        "metrics as objects",
        "import keras\n"
        + START
        + """
model = Sequential([Input((5,)), Dense(1, activation='sigmoid')])
same(model)
model.compile('sgd', 'binary_crossentropy', metrics=['accuracy', keras.metrics.Precision(name='p'),
              keras.metrics.Recall(name='r'), keras.metrics.AUC(name='auc'),
              keras.metrics.BinaryAccuracy(threshold=0.6, name='b'), 'mae'])
out = model.evaluate(feats, y, batch_size=3, verbose=0, return_dict=True)
""",
    ),
    Idiom(
        "metrics of classes",
        "import keras\n"
        + START
        + """
model = Sequential([Input((5,)), Dense(3, activation='softmax')])
same(model)
model.compile('sgd', 'categorical_crossentropy', metrics=[keras.metrics.CategoricalAccuracy(),
              keras.metrics.TopKCategoricalAccuracy(k=2), keras.metrics.CategoricalCrossentropy(),
              keras.metrics.F1Score(average='macro'), 'mse', keras.metrics.RootMeanSquaredError()])
out = model.evaluate(feats, onehot, batch_size=3, verbose=0, return_dict=True)
""",
    ),
    Idiom(
        "metrics used alone",
        "import keras\nm = keras.metrics.Precision()\nm.update_state([0, 1, 1, 1], [1, 0, 1, 1])\n"
        "a = float(m.result())\nm.reset_state()\nm.update_state([1, 0], [1, 1])\n"
        "k = keras.metrics.SparseCategoricalAccuracy()\nk.update_state(classes, onehot)\n"
        "mean = keras.metrics.Mean()\nmean.update_state([1.0, 3.0])\n"
        "out = [a, float(m.result()), float(k.result()), float(mean.result())]",
    ),
    Idiom(
        "a metric of one's own",
        "import keras\n"
        + START
        + """
def closeness(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)
model = Sequential([Input((5,)), Dense(3)])
same(model)
model.compile('sgd', 'mse', metrics=[closeness])
out = [model.evaluate(feats, onehot, verbose=0), list(model.fit(feats, onehot, verbose=0).history)]
""".replace("list(model.fit(feats, onehot, verbose=0).history)", "1"),
    ),
    Idiom(
        "regularisers",
        "from keras import regularizers\n"
        + START
        + """
model = Sequential([Input((6, 3)), LSTM(4, kernel_regularizer=regularizers.l2(0.01),
                    recurrent_regularizer='l1'),
                    Dense(1, kernel_regularizer=regularizers.L1L2(0.01, 0.02), bias_regularizer='l2')])
same(model)
model.compile('sgd', 'mse')
history = model.fit(seq, target, epochs=3, shuffle=False, verbose=0)
out = [history.history['loss'], model.evaluate(seq, target, verbose=0)]
""",
    ),
    # fit ----------------------------------------------------------------------------------------
    Idiom(
        "validation_data=",
        START + "model = Sequential([Input((5,)), Dense(1)])\nsame(model)\n"
        "model.compile('sgd', 'mse', metrics=['mae'])\nhistory = model.fit(feats, target, epochs=2,"
        " shuffle=False, verbose=0, validation_data=(feats[:3], target[:3]))\n"
        "out = history.history",
    ),
    Idiom(
        "validation_split=",
        START + "model = Sequential([Input((5,)), Dense(1)])\nsame(model)\n"
        "model.compile('sgd', 'mse')\nhistory = model.fit(feats, target, epochs=2,"
        " batch_size=8, verbose=0, validation_split=0.25)\nout = history.history",
    ),
    Idiom(
        "class_weight=",
        START + "model = Sequential([Input((5,)), Dense(1, activation='sigmoid')])\nsame(model)\n"
        "model.compile('sgd', 'binary_crossentropy', metrics=['accuracy'])\n"
        "out = model.fit(feats, y, epochs=2, batch_size=3, shuffle=False, verbose=0,"
        " class_weight={0: 1.0, 1: 5.0}).history",
    ),
    Idiom(
        "class_weight= of one-hot targets",
        START + "model = Sequential([Input((5,)), Dense(3, activation='softmax')])\nsame(model)\n"
        "model.compile('sgd', 'categorical_crossentropy')\n"
        "out = model.fit(feats, onehot, epochs=2, shuffle=False, verbose=0,"
        " class_weight={0: 1.0, 1: 5.0, 2: 0.5}).history",
    ),
    Idiom(
        "sample_weight=",
        START + "model = Sequential([Input((5,)), Dense(1)])\nsame(model)\n"
        "model.compile('sgd', 'mse', weighted_metrics=['mae'])\nw = np.arange(8) / 4.0\n"
        "history = model.fit(feats, target, epochs=2, shuffle=False, verbose=0, sample_weight=w)\n"
        "out = [history.history, model.evaluate(feats, target, sample_weight=w, verbose=0)]",
    ),
    Idiom(
        "sample_weight= of positions",
        START + "model = Sequential([Input((6,)), Embedding(20, 4, mask_zero=True),"
        " LSTM(4, return_sequences=True), Dense(4, activation='softmax')])\nsame(model)\n"
        "model.compile('sgd', 'sparse_categorical_crossentropy')\nw = (tags != 1) * 2.0\n"
        "out = model.fit(ids, tags, epochs=2, shuffle=False, verbose=0, sample_weight=w).history",
    ),
    Idiom(
        "history.history, .epoch, .params",
        START + "model = Sequential([Input((5,)), Dense(1)])\nmodel.compile('sgd', 'mse')\n"
        "history = model.fit(feats, target, epochs=3, batch_size=4, verbose=0)\n"
        "out = [sorted(history.history), history.epoch, history.params['epochs'],"
        " history.params['steps']]",
    ),
    Idiom(
        "initial_epoch=",
        START + "model = Sequential([Input((5,)), Dense(1)])\nmodel.compile('sgd', 'mse')\n"
        "out = model.fit(feats, target, epochs=4, initial_epoch=2, verbose=0).epoch",
    ),
    Idiom(
        "a generator of batches",
        START
        + """
def batches():
    while True:
        for start in range(0, 8, 4):
            yield feats[start:start + 4], target[start:start + 4]
model = Sequential([Input((5,)), Dense(1)])
same(model)
model.compile('sgd', 'mse')
out = model.fit(batches(), steps_per_epoch=2, epochs=3, verbose=0).history
""",
    ),
    Idiom(
        "fit_generator",
        START
        + """
def batches():
    while True:
        yield feats, target
model = Sequential([Input((5,)), Dense(1)])
same(model)
model.compile('sgd', 'mse')
out = model.fit_generator(batches(), steps_per_epoch=1, epochs=3, verbose=0).history
""",
        START
        + """
model = Sequential([Input((5,)), Dense(1)])
same(model)
model.compile('sgd', 'mse')
out = model.fit(feats, target, shuffle=False, epochs=3, verbose=0).history
""",
    ),
    Idiom(
        "keras.utils.Sequence",
        "import keras\n"
        + START
        + """
class Batches(keras.utils.Sequence):
    def __len__(self):
        return 2
    def __getitem__(self, index):
        return feats[index * 4:index * 4 + 4], target[index * 4:index * 4 + 4]
model = Sequential([Input((5,)), Dense(1)])
same(model)
model.compile('sgd', 'mse')
out = model.fit(Batches(), epochs=3, shuffle=False, verbose=0).history
""",
    ),
    Idiom(
        "train_on_batch, test_on_batch, predict_on_batch",
        START
        + """
model = Sequential([Input((5,)), Dense(1)])
same(model)
model.compile('sgd', 'mse', metrics=['mae'])
out = []
for start in (0, 4, 0):
    out.append(model.train_on_batch(feats[start:start + 4], target[start:start + 4]))
out += [model.test_on_batch(feats, target), model.predict_on_batch(feats)]
""",
    ),
    Idiom(
        "evaluate",
        START + "model = Sequential([Input((5,)), Dense(1, activation='sigmoid')])\nsame(model)\n"
        "model.compile('sgd', 'binary_crossentropy', metrics=['accuracy'])\n"
        "loss, accuracy = model.evaluate(feats, y, batch_size=3, verbose=0)\nout = [loss, accuracy]",
    ),
    Idiom(
        "predict and argmax",
        START + "model = Sequential([Input((5,)), Dense(3, activation='softmax')])\nsame(model)\n"
        "out = np.argmax(model.predict(feats, batch_size=3, verbose=0), axis=-1)",
    ),
    Idiom(
        "predict_classes",
        START + "model = Sequential([Input((5,)), Dense(3, activation='softmax')])\nsame(model)\n"
        "out = model.predict_classes(feats)",
        START + "model = Sequential([Input((5,)), Dense(3, activation='softmax')])\nsame(model)\n"
        "out = model.predict(feats).argmax(-1)",
    ),
    # Callbacks ----------------------------------------------------------------------------------
    Idiom(
        "EarlyStopping",
        START
        + """
from keras.callbacks import EarlyStopping
model = Sequential([Input((5,)), Dense(1)])
same(model)
model.compile('sgd', 'mse')
stop = EarlyStopping(monitor='val_loss', patience=2, restore_best_weights=True)
history = model.fit(feats, target, epochs=60, shuffle=False, verbose=0, callbacks=[stop],
                    validation_data=(feats[:3], -target[:3]))
out = [history.history['val_loss'], len(history.epoch), model.predict(feats)]
""",
    ),
    Idiom(
        "ModelCheckpoint and load_weights",
        START
        + """
from keras.callbacks import ModelCheckpoint
model = Sequential([Input((5,)), Dense(1)])
same(model)
model.compile('sgd', 'mse')
best = ModelCheckpoint(path('best.weights.h5'), monitor='loss', save_best_only=True,
                       save_weights_only=True, verbose=0)
model.fit(feats, target, epochs=3, shuffle=False, verbose=0, callbacks=[best])
p = model.predict(feats)
same(model)
model.load_weights(path('best.weights.h5'))
out = p - model.predict(feats)
""",
    ),
    Idiom(
        "ModelCheckpoint and load_model",
        START
        + """
from keras.models import load_model
from keras.callbacks import ModelCheckpoint
model = Sequential([Input((6,)), Embedding(20, 4), LSTM(3), Dense(1)])
same(model)
model.compile('sgd', 'mse')
model.fit(ids, target, epochs=2, shuffle=False, verbose=0,
          callbacks=[ModelCheckpoint(path('best.keras'), monitor='loss', save_best_only=True)])
out = load_model(path('best.keras')).predict(ids)
""",
    ),
    Idiom(
        "LambdaCallback",
        "from keras.callbacks import LambdaCallback\n" + START + "seen = []\n"
        "model = Sequential([Input((5,)), Dense(1)])\nmodel.compile('sgd', 'mse')\n"
        "model.fit(feats, target, epochs=2, verbose=0, callbacks=[LambdaCallback("
        "on_epoch_end=lambda epoch, logs: seen.append((epoch, sorted(logs))))])\nout = seen",
    ),
    Idiom(
        "a callback of one's own",
        "import keras\n"
        + START
        + """
class Log(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        seen.append('train')
    def on_epoch_begin(self, epoch, logs=None):
        seen.append(f'epoch {epoch}')
    def on_train_batch_end(self, batch, logs=None):
        seen.append(f'batch {batch}')
    def on_epoch_end(self, epoch, logs=None):
        seen.append(f'end {epoch} {logs["loss"]:.3f}')
        if epoch == 1:
            self.model.stop_training = True
    def on_train_end(self, logs=None):
        seen.append('over')
seen = []
model = Sequential([Input((5,)), Dense(1)])
same(model)
model.compile('sgd', 'mse')
model.fit(feats, target, batch_size=4, epochs=9, shuffle=False, verbose=0, callbacks=[Log()])
out = seen
""",
    ),
    Idiom(
        "ReduceLROnPlateau, LearningRateScheduler",
        "from keras.callbacks import ReduceLROnPlateau, LearningRateScheduler\n"
        + START
        + """
out = []
for callback in (ReduceLROnPlateau(monitor='loss', factor=0.1, patience=1, min_delta=0.5),
                 LearningRateScheduler(lambda epoch, lr: lr * 0.5)):
    model = Sequential([Input((5,)), Dense(1)])
    same(model)
    model.compile('sgd', 'mse')
    history = model.fit(feats, target, epochs=5, shuffle=False, verbose=0, callbacks=[callback])
    out += [history.history['loss'], float(model.optimizer.learning_rate)]
""",
    ),
    Idiom(
        "CSVLogger",
        "from pathlib import Path\nfrom keras.callbacks import CSVLogger\n"
        + START
        + "model = Sequential([Input((5,)),"
        " Dense(1)])\nmodel.compile('sgd', 'mse')\nmodel.fit(feats, target, epochs=2, verbose=0,"
        " callbacks=[CSVLogger(path('log.csv'))])\n"
        "out = [line.split(',')[0] for line in Path(path('log.csv')).read_text().split()]",
    ),
    # Files --------------------------------------------------------------------------------------
    Idiom(
        "save, load_model",
        "import keras\n"
        + START
        + """
model = Sequential([Input((6,)), Embedding(20, 4, mask_zero=True), Bidirectional(GRU(3)), Dense(1)])
same(model)
model.compile('adam', 'mse', metrics=['mae'])
model.save(path('model.keras'))
other = keras.models.load_model(path('model.keras'))
out = [other.predict(ids), other.evaluate(ids, target, verbose=0)]
""",
    ),
    Idiom(
        "save and load a functional model",
        "import keras\n"
        + START
        + """
from keras import Model
x = Input((6, 3))
y_, h, c = LSTM(4, return_sequences=True, return_state=True)(x)
model = Model(x, Dense(1)(concatenate([h, c])))
same(model)
model.save(path('model.keras'))
out = keras.models.load_model(path('model.keras')).predict(seq)
""",
    ),
    Idiom(
        "save_weights, load_weights",
        START + "model = Sequential([Input((5,)), Dense(1)])\nsame(model)\n"
        "model.save_weights(path('w.weights.h5'))\nother = Sequential([Input((5,)), Dense(1)])\n"
        "other.load_weights(path('w.weights.h5'))\nout = other.predict(feats)",
    ),
    Idiom(
        "get_config, from_config",
        START + "layer = LSTM(4, return_sequences=True, activation='relu')\n"
        "config = layer.get_config()\nother = LSTM.from_config(config)\n"
        "out = [config['units'], other.return_sequences]",
    ),
    Idiom(
        "to_json, model_from_json",
        "from keras.models import model_from_json\n" + START + "model = Sequential([Input((6, 3)),"
        " LSTM(4), Dense(1)])\nother = model_from_json(model.to_json())\n"
        "out = same(other).predict(seq)",
    ),
    Idiom(
        "clone_model",
        "import keras\n" + START + "model = Sequential([Input((5,)), Dense(4), Dense(1)])\n"
        "out = same(keras.models.clone_model(model)).predict(feats)",
    ),
    # Data ---------------------------------------------------------------------------------------
    Idiom(
        "pad_sequences",
        "from keras.utils import pad_sequences\nlists = [[1, 2, 3, 4], [5], []]\n"
        "out = [pad_sequences(lists), pad_sequences(lists, maxlen=3, padding='post',"
        " truncating='post', value=9), str(pad_sequences(lists).dtype)]",
    ),
    Idiom(
        "pad_sequences(dtype='float32')",
        "from keras.utils import pad_sequences\nout = [pad_sequences([[0.5, 1.5], [2.5]],"
        " dtype='float32', padding='post', value=-1.0),"
        " pad_sequences([[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]], dtype='float32')]",
    ),
    Idiom(
        "to_categorical",
        "from keras.utils import to_categorical\nout = [to_categorical([0, 2, 1]),"
        " to_categorical(tags, num_classes=5)]",
    ),
    Idiom(
        "Tokenizer",
        """
from keras.preprocessing.text import Tokenizer
tokenizer = Tokenizer(num_words=4, oov_token='<OOV>')
tokenizer.fit_on_texts(texts)
out = [tokenizer.texts_to_sequences(texts + ['a new film']), tokenizer.word_index,
       dict(tokenizer.word_counts), tokenizer.texts_to_matrix(texts, mode='count'),
       tokenizer.sequences_to_texts([[2, 3]])]
""",
        """
words = {'<OOV>': 1, 'good': 2, 'film': 3, 'bad': 4, 'the': 5, 'was': 6, 'a': 7}
matrix = np.zeros((3, 4))
matrix[0, 1:4] = [2, 1, 1]
matrix[1, [1, 3]] = [3, 1]
matrix[2, 2] = 2
out = [[[1, 3, 1, 2], [1, 1, 3, 1], [2, 2], [1, 1, 3]], words,
       {'the': 1, 'film': 2, 'was': 1, 'good': 3, 'a': 1, 'bad': 2}, matrix, ['good film']]
""",
    ),
    Idiom(
        "Tokenizer, then pad_sequences",
        """
from keras.preprocessing.text import Tokenizer
from keras.preprocessing.sequence import pad_sequences
tokenizer = Tokenizer()
tokenizer.fit_on_texts(texts)
vocab_size = len(tokenizer.word_index) + 1
out = [pad_sequences(tokenizer.texts_to_sequences(texts), maxlen=5), vocab_size]
""",
        "out = [np.array([[0, 4, 2, 5, 1], [0, 6, 3, 2, 3], [0, 0, 0, 1, 1]]), 7]",
    ),
    Idiom(
        "text_to_word_sequence, one_hot",
        "from keras.preprocessing.text import text_to_word_sequence\n"
        "out = text_to_word_sequence('The film, was GOOD!')",
        "out = ['the', 'film', 'was', 'good']",
    ),
    Idiom(
        "TextVectorization",
        """
from keras.layers import TextVectorization
layer = TextVectorization(max_tokens=6, output_sequence_length=5)
layer.adapt(texts)
out = [np.array(layer(texts)), len(layer.get_vocabulary())]
""",
        "out = [np.array([[1, 3, 5, 2, 0], [1, 4, 3, 4, 0], [2, 2, 0, 0, 0]]), 6]",
    ),
    Idiom(
        "TimeseriesGenerator",
        "from keras.preprocessing.sequence import TimeseriesGenerator\nseries = np.arange(10.0)\n"
        "batches = TimeseriesGenerator(series, series, length=3, batch_size=4)\n"
        "x_, y_ = batches[0]\nout = [len(batches), x_, y_]",
        "out = [2, np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]), np.array([3, 4, 5, 6])]",
    ),
    Idiom(
        "timeseries_dataset_from_array",
        "from keras.utils import timeseries_dataset_from_array\n"
        "pairs = timeseries_dataset_from_array(np.arange(10.0), np.arange(3.0, 10.0), 3,"
        " batch_size=4)\nout = [[np.array(x_), np.array(y_)] for x_, y_ in pairs]",
        "out = [[np.arange(4.0)[:, None] + np.arange(3), np.arange(3.0, 7.0)],"
        " [np.arange(4.0, 7.0)[:, None] + np.arange(3), np.arange(7.0, 10.0)]]",
    ),
    Idiom(
        "normalize",
        "from keras.utils import normalize\nout = normalize(feats, axis=-1)",
    ),
    Idiom(
        "set_random_seed",
        "import keras\n"
        + START
        + "p = []\nfor run in range(2):\n    keras.utils.set_random_seed(3)\n"
        "    model = Sequential([Input((5,)), Dense(3), Dropout(0.5)])\n"
        "    model.compile('sgd', 'mse')\n    model.fit(feats, onehot, epochs=2, verbose=0)\n"
        "    p.append(model.predict(feats))\nout = p[0] - p[1]",
    ),
    Idiom(
        "clear_session",
        "import keras\nfrom keras import backend as K\nK.clear_session()\n"
        "out = [keras.layers.Dense(2).name, K.epsilon(), K.floatx()]",
    ),
    Idiom(
        "plot_model",
        "import os\nfrom keras.utils import plot_model\n"
        + START
        + "model = Sequential([Input((6, 3)),"
        " LSTM(4), Dense(1)])\nplot_model(model, to_file=path('model.svg'), show_shapes=True)\n"
        "out = os.path.exists(path('model.svg'))",
        "out = True",
    ),
]
