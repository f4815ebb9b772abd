"""Models of whole sequences: networks, text as ids, and training.

The tasks of the lectures, and their networks::

    one to one                  FeedForward
    one to many                 LanguageModel, with a first state from a vector
    many to one                 Acceptor, HierarchicalAcceptor, DeepMoji
    many to many, aligned       Transducer, LanguageModel
    many to many, not aligned   EncoderDecoder

``networks`` holds them and their layers, ``text`` tokenisers, vocabularies, corpora and features,
``training`` the loop, optimisers and metrics, and ``keras`` the layers by Keras's names, with
``Sequential``. Imports run from ``text`` over ``networks`` and ``training`` to ``keras``.
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
from .networks.deepmoji import DeepMoji
from .networks.embeddings import CharacterEncoder, FeatureEmbedding, embedding_from
from .networks.encoder_decoder import EncoderDecoder, Pairs
from .networks.generation import Hypothesis, next_distribution
from .networks.hierarchical import HierarchicalAcceptor, punctuation_ids
from .networks.language_model import LanguageModel
from .networks.layers import Dense, Dropout, Embedding, FeedForward, evaluating
from .networks.text_model import TextModel
from .networks.transducer import SplitHead, Transducer
from .networks.window import WindowLanguageModel
from .persist import Saved, load_model, save_model
from .text import (
    Features,
    Labelled,
    Labels,
    MostFrequentTag,
    NGram,
    Vocabulary,
    align_vectors,
    download,
    hold_out,
    load_labelled,
    load_tagged,
    load_text,
    load_vectors,
    pad_sequences,
    perplexity_of,
    predictions,
    python_manual,
    stream_batches,
    tokenize,
)
from .training import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    Sequences,
    Stream,
    Task,
    accuracy,
    bits_of,
    chain_thaw,
    clip_by_global_norm,
    clip_by_value,
    confusion,
    differences,
    evaluate,
    fit,
    label_scores,
    save_history,
    schedules,
    span_f1,
    span_scores,
)

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
    "differences",
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
