"""Keras's names and conventions over this package's layers: a network as a list of layers.

A layer is given the width of its output, and infers that of its input from the first data.
``Sequential`` passes the mask of ``Embedding(mask_zero=True)`` from layer to layer, so that
padding, in front or behind, changes no result. Sequences are (batch, time, features). The modules
have Keras's names, so that import lines work with ``keras`` replaced::

    from unspool.models.keras.models import Sequential
    from unspool.models.keras.layers import LSTM, Dense, Embedding

Differences from Keras 3: padded positions of an RNN's sequence output are 0 instead of a
repetition; Conv1D reads 0 at padded positions and passes the mask on, and the max pooling uses it;
a GRU has one bias where Keras has two of which only the sum counts; random numbers come from
``Sequential(rng=)``.
"""

from . import callbacks, layers, losses, metrics, models, optimizers, preprocessing, utils
from .callbacks import History
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
    Layer,
    Recurrent,
    SimpleRNN,
)
from .models import Sequential
from .preprocessing.sequence import pad_sequences

__all__ = [
    "Sequential", "Layer", "Embedding", "Dense", "Dropout", "Conv1D", "GlobalMaxPooling1D",
    "GlobalAveragePooling1D", "Recurrent", "SimpleRNN", "LSTM", "GRU", "Bidirectional",
    "History", "pad_sequences", "callbacks", "layers", "losses", "metrics", "models",
    "optimizers", "preprocessing", "utils",
]  # fmt: skip
