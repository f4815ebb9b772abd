"""Text to ids and back: tokens, vocabularies, batches, corpora, features of words, baselines."""

from .baselines import MostFrequentTag, NGram, perplexity_of
from .batches import Labelled, Labels, predictions
from .features import Features, word_shape
from .padding import one_text, pad_sequences, stream_batches
from .readers import download, hold_out, load_labelled, load_tagged, load_text, python_manual
from .tokens import (
    END,
    LEVELS,
    SPECIALS,
    START,
    UNKNOWN,
    Level,
    characters,
    join_words,
    level_named,
    paragraphs,
    tokenize,
    words,
)
from .vectors import align_vectors, load_vectors
from .vocabulary import Vocabulary

__all__ = [
    "END",
    "LEVELS",
    "SPECIALS",
    "START",
    "UNKNOWN",
    "Features",
    "Labelled",
    "Labels",
    "Level",
    "MostFrequentTag",
    "NGram",
    "Vocabulary",
    "align_vectors",
    "characters",
    "download",
    "hold_out",
    "join_words",
    "level_named",
    "load_labelled",
    "load_tagged",
    "load_text",
    "load_vectors",
    "one_text",
    "pad_sequences",
    "paragraphs",
    "perplexity_of",
    "predictions",
    "python_manual",
    "stream_batches",
    "tokenize",
    "word_shape",
    "words",
]
