"""Keras's names and conventions over this package's layers.

A layer is given the width of its output, and infers that of its input from the first data.
Sequences are (batch, time, features). The modules have Keras's names, so that import lines work
with ``keras`` replaced::

    from unspool.models.keras.models import Sequential
    from unspool.models.keras.layers import LSTM, Dense, Embedding

Names, positions and defaults are those of Keras 3, and those of Keras 1 and 2 where they are gone
there (``input_length=``, ``Tokenizer``, ``fit_generator``). What differs:

====================================  ========================================================
here                                  Keras 3
====================================  ========================================================
padded positions of a recurrent       the last real output again
layer's sequence are 0
"accuracy" after a hinge loss         compares -1 and 1 with a threshold of 1/2
compares signs
Conv1D reads 0 at padding and passes  the mask ends there
its mask on; MaxPooling1D too
GlobalMaxPooling1D skips padding      padding counts
``dropout=`` of a recurrent layer     a mask for each sequence; see ``VariationalDropout``
has one mask for a batch
a GRU has one b for z and for r,      two of each, of which the sum counts; ``get_weights``,
which moves twice as far              ``count_params`` and ``summary`` show two here too
``weights`` lists a matrix for each   the gates side by side, as ``get_weights`` does in both
gate
a NaN in the loss ends ``fit`` with   training goes on
an error that says where it arose
files are unspool's own, whatever     ``.keras`` and ``.h5``
their names end in
random numbers come from ``rng=``,    from a global state
or the session's ``set_random_seed``
``trainable`` counts at once          at the next ``compile``
====================================  ========================================================

The order in which to read: ``symbolic`` and ``base`` (what a layer is), ``layers``, ``graph`` and
``models`` (networks of them), ``objective`` and ``training`` (losses and ``fit``); ``session`` and
``notes`` hold what they share.
"""

from . import (
    activations,
    applications,
    backend,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    preprocessing,
    regularizers,
    saving,
    utils,
)
from .absent import absent
from .base import Layer
from .callbacks import Callback, History
from .initializers import Initializer
from .layers import (
    GRU,
    LSTM,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    SimpleRNN,
)
from .losses import Loss
from .metrics import Metric
from .models import Model, Sequential
from .optimizers import Optimizer
from .preprocessing.sequence import pad_sequences
from .regularizers import Regularizer
from .symbolic import KerasTensor

__all__ = [
    "Sequential", "Model", "Input", "Layer", "Embedding", "Dense", "Dropout", "Conv1D",
    "GlobalMaxPooling1D", "GlobalAveragePooling1D", "SimpleRNN", "LSTM", "GRU", "Bidirectional",
    "KerasTensor", "Callback", "History", "Initializer", "Loss", "Metric", "Optimizer",
    "Regularizer", "pad_sequences", "activations", "applications", "backend", "callbacks",
    "constraints", "datasets", "initializers", "layers", "losses", "metrics", "models", "ops",
    "optimizers", "preprocessing", "regularizers", "saving", "utils",
]  # fmt: skip


__getattr__ = absent(__name__)
