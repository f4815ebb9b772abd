"""The networks that ``unspool train`` makes of its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..cells import Stacked
from ..models import (
    CRF,
    Acceptor,
    BagClassifier,
    CharacterEncoder,
    Classifier,
    Embedding,
    FeatureEmbedding,
    Features,
    LanguageModel,
    TextCNN,
    Transducer,
    Vocabulary,
    align_vectors,
    load_vectors,
    make_layers,
    tokenize,
)
from .examples import LabelledParts
from .options import (
    CELLS,
    ClassifierNetwork,
    EmbeddedNetwork,
    LanguageNetwork,
    TaggerNetwork,
    Tokens,
    WordFeatures,
)


def make_language_model(options: LanguageNetwork, vocab_size: int, seed: int) -> LanguageModel:
    """A language model of these options."""
    return LanguageModel(
        vocab_size,
        options.width,
        CELLS[options.model],
        options.layers,
        tied=options.tied,
        dropout=options.dropout,
        rng=seed,
    )


def make_classifier(
    options: ClassifierNetwork, tokens: Tokens, parts: LabelledParts, seed: int
) -> tuple[Classifier, Vocabulary]:
    """A classifier of texts, and the vocabulary of those that it is to learn from."""
    level, lower = tokens.level, tokens.lower
    stream = (token for text in parts.train.inputs for token in tokenize(text, level, lower))
    vocabulary = Vocabulary.count(stream, tokens.minimum_count, level=level, lower=lower)
    rng = np.random.default_rng(seed)
    embedding = Embedding(len(vocabulary), options.embedding, rng=rng)
    begin_with_vectors(embedding, options, vocabulary, rng)
    settings: dict[str, Any] = {"embedding": embedding, "dropout": options.dropout, "rng": rng}
    count, pooling = len(parts.labels), options.pooling
    if options.model == "cnn":
        return TextCNN(options.embedding, count, filters=options.width, **settings), vocabulary
    if options.model == "bag":
        bag = BagClassifier(
            settings.pop("embedding"), count, pooling or "mean", hidden=[options.width], **settings
        )
        return bag, vocabulary
    network = make_network(options, options.embedding, rng)
    return Acceptor(network, count, pooling or "max", **settings), vocabulary


def make_tagger(
    options: TaggerNetwork, words: WordFeatures, parts: LabelledParts, seed: int
) -> tuple[Transducer, Features]:
    """A tagger of words, and the features of the sentences that it is to learn from."""
    columns = ([*column] for column in zip(*parts.train.inputs, strict=True))
    features = Features.count(*columns, **vars(words))
    rng, small = np.random.default_rng(seed), options.feature_embedding
    letters = None
    if words.letters:
        letters = CharacterEncoder(len(features.vocabularies[-1]), small, small, rng=rng)
    widths = [options.embedding] + [small] * (len(features.sizes) - 1)
    embedding = FeatureEmbedding(
        features.sizes, widths, letters=letters, word_dropout=options.word_dropout, rng=rng
    )
    begin_with_vectors(embedding.columns[0], options, features.vocabularies[0], rng)
    network = make_network(options, embedding.d, rng)
    crf = (
        CRF(parts.labels.names, options.constraints) if options.crf or options.constraints else None
    )
    tagger = Transducer(
        network, len(parts.labels), embedding=embedding, crf=crf, dropout=options.dropout, rng=rng
    )
    return tagger, features


def make_network(options: ClassifierNetwork | TaggerNetwork, d_in: int, rng: Any) -> Any:
    """Layers of a cell, with "bi" before its name of two, one in each direction."""
    both = options.model not in CELLS
    cell = CELLS[options.model.removeprefix("bi") if both else options.model]
    members = make_layers("train", cell, d_in, options.width, options.layers, both=both, rng=rng)
    if options.layers == 1:
        return members[0]
    return Stacked(members, dropout=options.dropout, rng=rng)


def begin_with_vectors(
    embedding: Embedding, options: EmbeddedNetwork, words: Vocabulary, rng: Any
) -> None:
    """Set an embedding to pretrained vectors, and freeze it, where the options say so."""
    if options.vectors is not None:
        matrix, found = align_vectors(
            read_vectors(options.vectors, words, options.embedding), words, rng=rng
        )
        embedding.E.data[...] = matrix
        print(f"vectors     for {found.mean():.1%} of the vocabulary")
    if options.frozen:
        embedding.freeze()


def read_vectors(path: Path, words: Vocabulary, width: int) -> dict[str, Any]:
    """The pretrained vectors of words, of this width."""
    vectors = load_vectors(path, {*words.tokens, *(token.lower() for token in words.tokens)})
    if not vectors:
        raise ValueError(
            f"{path}: it has no vector for any word of the texts; is it a file of word vectors?"
        )
    found = len(next(iter(vectors.values())))
    if found != width:
        raise ValueError(
            f"{path}: its vectors are {found} wide, the embedding {width}; give --embedding {found}"
        )
    return vectors
