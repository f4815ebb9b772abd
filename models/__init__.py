"""What a whole sequence means: layers, language models, text, and how they are trained.

The shapes of the lectures, and where they are found::

    one to one                  FeedForward
    one to many                 LanguageModel, its first state made of a vector
    many to one                 Acceptor, HierarchicalAcceptor, DeepMoji
    many to many, aligned       Transducer, LanguageModel
    many to many, not aligned   EncoderDecoder

``unspool.models.keras`` holds the layers by Keras's names, and ``Sequential``.
"""

from . import onnx_export  # noqa: F401  # teaches unspool.cells.to_onnx the models
from .networks.acceptor import Acceptor, BagClassifier, Classifier, TextCNN, final_output
from .networks.attention import (
    AdditiveAttention,
    Attention,
    AttentionPooling,
    BilinearAttention,
    DotAttention,
    ScaledDotAttention,
)
from .networks.crf import CRF, Chain, Constraints, PairwiseCRF, span_constraints
from .networks.deepmoji import DeepMoji, chain_thaw
from .networks.encoder_decoder import EncoderDecoder, Pairs
from .networks.generation import Hypothesis, next_distribution
from .networks.hierarchical import HierarchicalAcceptor, punctuation_ids
from .networks.language_model import LanguageModel
from .networks.layers import Dense, Dropout, Embedding, FeedForward, evaluating
from .networks.text_model import TextModel
from .networks.transducer import SplitHead, Transducer
from .networks.window import WindowLanguageModel
from .persist import Saved, load_model, save_model
from .text.baselines import NGram, perplexity_of
from .text.batches import Labelled, Labels, predictions
from .text.features import CharacterEncoder, FeatureEmbedding, Features
from .text.readers import download, load_labelled, load_tagged
from .text.tag_baseline import MostFrequentTag
from .text.text import (
    Vocabulary,
    hold_out,
    load_text,
    pad_sequences,
    python_manual,
    stream_batches,
    tokenize,
)
from .text.vectors import align_vectors, embedding_from, load_vectors
from .training import schedules
from .training.metrics import accuracy, bits_of, confusion, label_scores, span_f1, span_scores
from .training.optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_by_global_norm,
    clip_by_value,
)
from .training.training import Sequences, Stream, Task, evaluate, fit, save_history

__all__ = [
    "CRF",
    "SGD",
    "Acceptor",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdditiveAttention",
    "Attention",
    "AttentionPooling",
    "BagClassifier",
    "BilinearAttention",
    "Chain",
    "CharacterEncoder",
    "Classifier",
    "Constraints",
    "DeepMoji",
    "Dense",
    "DotAttention",
    "Dropout",
    "Embedding",
    "EncoderDecoder",
    "FeatureEmbedding",
    "Features",
    "FeedForward",
    "HierarchicalAcceptor",
    "Hypothesis",
    "Labelled",
    "Labels",
    "LanguageModel",
    "MostFrequentTag",
    "NGram",
    "Optimizer",
    "Pairs",
    "PairwiseCRF",
    "RMSprop",
    "Saved",
    "ScaledDotAttention",
    "Sequences",
    "SplitHead",
    "Stream",
    "Task",
    "TextCNN",
    "TextModel",
    "Transducer",
    "Vocabulary",
    "WindowLanguageModel",
    "accuracy",
    "align_vectors",
    "bits_of",
    "chain_thaw",
    "clip_by_global_norm",
    "clip_by_value",
    "confusion",
    "download",
    "embedding_from",
    "evaluate",
    "evaluating",
    "final_output",
    "fit",
    "hold_out",
    "label_scores",
    "load_labelled",
    "load_model",
    "load_tagged",
    "load_text",
    "load_vectors",
    "next_distribution",
    "pad_sequences",
    "perplexity_of",
    "predictions",
    "punctuation_ids",
    "python_manual",
    "save_history",
    "save_model",
    "schedules",
    "span_constraints",
    "span_f1",
    "span_scores",
    "stream_batches",
    "tokenize",
]
