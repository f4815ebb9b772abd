"""Layers by Keras's names; each creates its weights from the shape of its first input.

``core`` has those that look at each position by itself, ``cells`` and ``recurrent`` the steps and
their loops over time, ``wrappers`` what stands around another layer, ``merge`` what makes one
tensor of several; ``vectorization`` turns texts into ids.
"""

from typing import Any

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

IMAGES = "unspool's layers are for sequences; for images use Keras or PyTorch"
ABSENT = {
    "Conv2D": IMAGES,
    "Conv2DTranspose": IMAGES,
    "Conv3D": IMAGES,
    "ConvLSTM1D": IMAGES,
    "ConvLSTM2D": IMAGES,
    "MaxPooling2D": IMAGES,
    "AveragePooling2D": IMAGES,
    "GlobalAveragePooling2D": IMAGES,
    "GlobalMaxPooling2D": IMAGES,
    "UpSampling1D": "use Lambda(lambda x: np.repeat(x, 2, axis=1))",
    "UpSampling2D": IMAGES,
    "SeparableConv1D": "use Conv1D",
    "DepthwiseConv1D": "use Conv1D",
    "Conv1DTranspose": "use RepeatVector or Lambda(lambda x: np.repeat(x, 2, axis=1)), and Conv1D",
    "Cropping1D": "use Lambda(lambda x: x[:, 1:-1])",
    "PReLU": "use LeakyReLU, or a layer of your own with add_weight",
    "ThresholdedReLU": "use ReLU",
    "ActivityRegularization": "use kernel_regularizer=",
    "AlphaDropout": "use Dropout",
    "GaussianDropout": "use Dropout or GaussianNoise",
    "GroupNormalization": "use LayerNormalization",
    "UnitNormalization": "use Lambda with keras.ops",
    "Normalization": "subtract mean and divide by deviation in NumPy, before fit",
    "Rescaling": "multiply in NumPy, before fit",
    "StringLookup": "use TextVectorization, or unspool.models.Vocabulary",
    "IntegerLookup": "use unspool.models.Vocabulary",
    "CategoryEncoding": "use keras.utils.to_categorical",
    "Hashing": "use unspool.models.Vocabulary",
    "GroupQueryAttention": "use MultiHeadAttention",
}


def __getattr__(name: str) -> Any:
    if name in ABSENT:
        raise ImportError(f"unspool.models.keras.layers has no {name}: {ABSENT[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
