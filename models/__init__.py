"""What a whole sequence means: layers, language models, text, and how they are trained."""

from .baselines import Bigram, Unigram
from .generation import next_distribution
from .language_model import LanguageModel
from .layers import Dense, Dropout, Embedding, FeedForward, evaluating
from .optim import SGD, Adam, Optimizer, clip_by_global_norm
from .persist import load_language_model, save_language_model
from .text import (
    Vocabulary,
    hold_out,
    load_text,
    pad_sequences,
    python_manual,
    stream_batches,
    tokenize,
)
from .training import Sequences, Stream, Task, evaluate, fit, save_history

__all__ = [
    "SGD",
    "Adam",
    "Bigram",
    "Dense",
    "Dropout",
    "Embedding",
    "FeedForward",
    "LanguageModel",
    "Optimizer",
    "Sequences",
    "Stream",
    "Task",
    "Unigram",
    "Vocabulary",
    "clip_by_global_norm",
    "evaluate",
    "evaluating",
    "fit",
    "hold_out",
    "load_language_model",
    "load_text",
    "next_distribution",
    "pad_sequences",
    "python_manual",
    "save_history",
    "save_language_model",
    "stream_batches",
    "tokenize",
]
