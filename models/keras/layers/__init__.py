"""Layers by Keras's names; each creates its weights from the shape of its first input.

``core`` has those that look at each position by itself, ``cells`` and ``recurrent`` the steps and
their loops over time, ``wrappers`` what stands around another layer, ``merge`` what makes one
tensor of several; ``vectorization`` turns texts into ids.
"""

from ..absent import absent
from ..base import Layer
from .attention import AdditiveAttention, Attention, MultiHeadAttention
from .cells import GRUCell, LSTMCell, SimpleRNNCell
from .convolutional import Conv1D, ZeroPadding1D
from .core import (
    ELU,
    Activation,
    Dense,
    Dropout,
    GaussianNoise,
    Input,
    InputLayer,
    Lambda,
    LeakyReLU,
    Masking,
    ReLU,
    Softmax,
    SpatialDropout1D,
)
from .embeddings import Embedding
from .merge import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from .normalization import BatchNormalization, LayerNormalization
from .pooling import (
    AveragePooling1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
)
from .recurrent import GRU, LSTM, RNN, SimpleRNN
from .reshaping import Flatten, Permute, RepeatVector, Reshape
from .vectorization import TextVectorization
from .wrappers import Bidirectional, TimeDistributed

# Other names of the same layers, of Keras 1 and 2 or in full.
AvgPool1D = AveragePooling1D
Convolution1D = Conv1D
CuDNNGRU, CuDNNLSTM = GRU, LSTM
GlobalAvgPool1D, GlobalMaxPool1D = GlobalAveragePooling1D, GlobalMaxPooling1D
MaxPool1D = MaxPooling1D

__getattr__ = absent(__name__)

__all__ = [
    # Positions by themselves.
    "Layer", "Input", "InputLayer", "Embedding", "Dense", "Activation", "Dropout",
    "SpatialDropout1D", "GaussianNoise", "Masking", "Lambda", "Softmax", "ReLU", "LeakyReLU", "ELU",
    "BatchNormalization", "LayerNormalization",
    # Time.
    "RNN", "SimpleRNN", "LSTM", "GRU", "SimpleRNNCell", "LSTMCell", "GRUCell", "CuDNNLSTM",
    "CuDNNGRU", "Bidirectional", "TimeDistributed", "Conv1D", "Convolution1D", "MaxPooling1D",
    "MaxPool1D", "AveragePooling1D", "AvgPool1D", "GlobalMaxPooling1D", "GlobalMaxPool1D",
    "GlobalAveragePooling1D", "GlobalAvgPool1D", "ZeroPadding1D",
    # Several tensors, other shapes.
    "Attention", "AdditiveAttention", "MultiHeadAttention", "Add", "Subtract", "Multiply",
    "Average", "Maximum", "Minimum", "Concatenate", "Dot", "add", "subtract", "multiply",
    "average", "maximum", "minimum", "concatenate", "dot", "Flatten", "Reshape", "Permute",
    "RepeatVector",
    # Texts.
    "TextVectorization",
]  # fmt: skip
