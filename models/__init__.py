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

``Corpus`` takes texts and labels in lists, or what ``readers`` returned, and gives ``fit`` its
tasks; ``save_model`` and ``Saved.predict`` lead from a trained model to predictions.

Everywhere ``rng`` is a Generator, a seed, or None, for initial weights and for dropout, and
``dtype`` is that of the parameters.
"""

from .corpus import Corpus
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
from .networks.layers import (
    NAMED_CELLS,
    Dense,
    Dropout,
    Embedding,
    FeedForward,
    evaluating,
    make_layers,
)
from .networks.text_model import TextModel
from .networks.transducer import SplitHead, Transducer
from .networks.window import WindowLanguageModel
from .onnx_export import OnnxSteps, onnx_steps  # teaches unspool.cells.to_onnx the models
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
    labelled_rows,
    load_folder,
    load_labelled,
    load_tagged,
    load_text,
    load_vectors,
    pad_sequences,
    perplexity_of,
    predictions,
    python_manual,
    readers,
    stream_batches,
    text_blocks,
    token_blocks,
    tokenize,
)
from .torch_export import TorchModule, load_torch, to_torch
from .training import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
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
    previous_of,
    save_history,
    schedules,
    span_f1,
    span_scores,
)

__all__ = [
    # Layers and attention.
    "Dense", "Dropout", "Embedding", "FeedForward", "CharacterEncoder", "FeatureEmbedding",
    "embedding_from", "Attention", "DotAttention", "ScaledDotAttention", "BilinearAttention",
    "AdditiveAttention", "AttentionPooling", "evaluating", "make_layers", "NAMED_CELLS",
    # Language models.
    "TextModel", "LanguageModel", "WindowLanguageModel", "Hypothesis", "next_distribution",
    # Classifiers, taggers, translators.
    "Classifier", "Acceptor", "BagClassifier", "TextCNN", "HierarchicalAcceptor", "DeepMoji",
    "final_output", "punctuation_ids", "Transducer", "SplitHead", "Chain", "CRF", "PairwiseCRF",
    "Constraints", "span_constraints", "EncoderDecoder", "Pairs",
    # Text.
    "Corpus", "readers", "load_text", "text_blocks", "load_labelled", "load_folder",
    "load_tagged", "labelled_rows", "load_vectors", "align_vectors", "python_manual", "download",
    "hold_out", "tokenize", "token_blocks", "Vocabulary", "Features", "Labels", "Labelled",
    "predictions", "pad_sequences", "stream_batches", "NGram", "MostFrequentTag", "perplexity_of",
    # Training.
    "fit", "evaluate", "chain_thaw", "Task", "Stream", "Sequences", "Optimizer", "SGD", "Adam",
    "AdamW", "NAdam", "Adamax", "Adagrad", "RMSprop", "Adadelta", "clip_by_global_norm",
    "clip_by_value", "schedules", "save_history", "differences", "previous_of",
    # Models in files.
    "Saved", "save_model", "load_model",
    # Models to and from other engines.
    "TorchModule", "to_torch", "load_torch", "OnnxSteps", "onnx_steps",
    # Metrics.
    "accuracy", "bits_of", "confusion", "label_scores", "span_f1", "span_scores",
]  # fmt: skip
