"""Text to ids and back: tokens, vocabularies, batches, corpora, features of words, baselines."""

from . import readers
from .baselines import MostFrequentTag, NGram, perplexity_of
from .batches import Labelled, Labels, predictions
from .features import Features, word_shape
from .padding import one_text, pad_sequences, stream_batches
from .readers import (
    download,
    hold_out,
    labelled_rows,
    list_of_texts,
    load_folder,
    load_labelled,
    load_tagged,
    load_text,
    python_manual,
    text_blocks,
)
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
    token_blocks,
    tokenize,
    words,
)
from .vectors import align_vectors, load_vectors
from .vocabulary import Vocabulary

__all__ = [
    "readers", "load_text", "text_blocks", "load_labelled", "load_folder", "load_tagged",
    "labelled_rows", "list_of_texts", "load_vectors", "align_vectors", "python_manual", "download",
    "hold_out", "tokenize", "token_blocks", "words", "characters", "paragraphs", "join_words",
    "Level", "LEVELS", "level_named", "UNKNOWN", "START", "END", "SPECIALS", "Vocabulary",
    "Features", "word_shape", "Labels", "Labelled", "predictions", "pad_sequences",
    "stream_batches", "one_text", "NGram", "MostFrequentTag", "perplexity_of",
]  # fmt: skip
