"""A trained model in one file: parameters, how it is put together, and what its ids mean.

The file is a ``.npz`` of plain arrays with a JSON header: the parameters by their names, the
configuration of the model (``Module.to_config``), vocabulary or features, and labels. Nothing is
pickled, so reading one runs no code; a claimed size is checked before memory is allocated.

Version 1 named parts in another way; ``upgraded`` turns its header into the present one.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cells import Module, NotConfigurable
from ..checks import shown, wrong_type
from ..files import PathLike, load_described, save_described
from .networks.embeddings import FeatureEmbedding
from .networks.illustration import Illustrated
from .networks.text_model import TextModel
from .text import (
    SPECIALS,
    Features,
    Labelled,
    Labels,
    Vocabulary,
    level_named,
    list_of_texts,
    predictions,
    words,
)

FORMAT = "unspool model"
VERSION = 2
# The exceptions of constructors that get wrong arguments.
DAMAGED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class Saved(NamedTuple):
    """The contents of a model's file; ``predict`` uses them on new texts.

    Attributes:
        model: The model, in ``eval`` mode.
        vocabulary: Of its tokens, or None.
        features: Of its words, or None.
        labels: Their names, or None.
        notes: Plain values of your own.
    """

    model: Any
    vocabulary: Vocabulary | None
    features: Features | None
    labels: Labels | None
    notes: dict[str, Any]

    def predict(self, texts: Iterable[Any]) -> list[Any]:
        """The model's answer to each of some new texts.

        Args:
            texts: A list of texts, or of lists of words; or a column of a table.

        Returns:
            Of a classifier the name of each text's class; of a tagger a list of (word, tag) for
            each; of a language model the most probable next token after each.

        Raises:
            TypeError: ``texts`` is one text.
            ValueError: A text has no token, or the file has no vocabulary to read texts with.
        """
        known = self.features if self.features is not None else self.vocabulary
        if known is None or (self.labels is None and not isinstance(self.model, TextModel)):
            lacks = "vocabulary or features" if known is None else "labels"
            raise ValueError(
                f"predict: this {type(self.model).__name__} was saved without {lacks}; write "
                "save_model(path, model, vocabulary=..., labels=...)"
            )
        reads = getattr(self.model, "predict", None)
        if self.labels and (not reads or "lengths" not in inspect.signature(reads).parameters):
            raise ValueError(
                f"predict: {type(self.model).__name__}.predict takes no lengths, and how its texts "
                "were padded is not in the file; encode and pad them as in training, and write "
                "saved.model.predict(...)"
            )
        given = texts if isinstance(texts, str) else list(texts)
        if self.labels is None or all(isinstance(text, str) for text in given):
            given = list_of_texts("predict", "texts", texts if isinstance(texts, str) else given)
        words = [words_of(text, known) for text in given]
        for text, found in zip(given, words, strict=True):
            if not found and self.labels is not None:
                raise ValueError(f"predict: there is no token in the text {shown(text)!r}")
        if not words:
            return []
        if self.labels is None:
            return [self.next_token(sentence) for sentence in words]
        best = predictions(self.model, Labelled([known.encode(found) for found in words]))
        if np.ndim(best[0]) == 0:
            return self.labels.decode(best)
        tags = (self.labels.decode(ids) for ids in best)
        return [list(zip(*pair, strict=True)) for pair in zip(words, tags, strict=True)]

    def next_token(self, tokens: list[str]) -> str:
        """A language model's most probable token after others; not ``<unk>`` and not ``<s>``."""
        assert self.vocabulary is not None
        ids = self.vocabulary.encode(tokens, start=True)
        hidden = [self.vocabulary.unknown, self.vocabulary.start]
        (best,) = self.model.generate(ids, 1, temperature=0, exclude=hidden)
        return self.vocabulary.tokens[best]


def words_of(text: Any, known: Vocabulary | Features) -> list[str]:
    """The tokens of a text as a vocabulary reads them, or of a list of words."""
    if isinstance(known, Features):
        return words(text) if isinstance(text, str) else [*text]
    if not isinstance(text, str):
        return [token.lower() if known.lower else token for token in text]
    return level_named(known.level).tokens(text.lower() if known.lower else text)


def save_model(
    path: PathLike,
    model: Module,
    *,
    vocabulary: Vocabulary | None = None,
    features: Features | None = None,
    labels: Labels | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write a model with all that is needed to use it, atomically.

    A model of unspool's own classes, and of those that you registered with
    ``unspool.cells.register``, is written with its configuration; one with other parts is loaded
    into a model that you made.

    Args:
        path: The file.
        model: The model.
        vocabulary, features, labels, notes: As in ``Saved``; None for those that the model has as
            attributes, as one that was loaded has.
    """
    if not isinstance(model, Module):
        cure = "write save_model(path, model)" if isinstance(path, Module) else "arrays: save_npz"
        raise wrong_type("save_model: model must be a Module", model, cure)
    if isinstance(model, Illustrated):
        known = model.vocabulary
        if vocabulary is None and features is None:
            vocabulary = known if isinstance(known, Vocabulary) else None
            features = known if isinstance(known, Features) else None
        labels = model.labels if labels is None else labels
    check_sizes("save_model", model, vocabulary, features, labels)
    if getattr(model, "built", True) is False:  # Keras's layers have weights from their first call
        raise ValueError(
            f"save_model: this {type(model).__name__} has no weights yet; call it on a batch, fit "
            "it, or write model.build((None, time)), before it is saved"
        )
    config: Any = None
    why = None
    try:
        config = model.to_config()
    except NotConfigurable as error:
        why = str(error)
    header = {
        "model": config,
        "own": why,
        "vocabulary": None if vocabulary is None else vocabulary.to_config(),
        "features": None if features is None else features.to_config(),
        "labels": None if labels is None else labels.names,
        "notes": dict(notes or {}),
    }
    save_described(path, FORMAT, VERSION, header, model.state_dict())


def load_model(path: PathLike, model: Module | None = None) -> Saved:
    """Read a file of ``save_model``.

    Args:
        path: The file.
        model: A model to load the parameters into, where the saved one has parts that are not
            registered; it has to be put together in the same way.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, or no such model, or ``model`` is needed or wrong.

    Example:
        >>> import os, tempfile
        >>> from unspool.models import LanguageModel, Vocabulary, load_model, save_model
        >>> words = Vocabulary(["to", "be"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.npz")
        ...     save_model(path, LanguageModel(5, 8, rng=0), vocabulary=words)
        ...     saved = load_model(path)
        >>> saved.model, saved.vocabulary
        (LanguageModel(584 parameters), Vocabulary(5 tokens, level='word'))
    """
    try:
        header, arrays = load_described(path, FORMAT, (1, VERSION))
        if header["version"] == 1:
            header = upgraded(header)
        for name, array in arrays.items():
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{shown(name)} holds something else than finite numbers")
        tokens, features, labels = (header.get(n) for n in ("vocabulary", "features", "labels"))
        vocabulary = None if tokens is None else read_vocabulary(tokens)
        columns = None if features is None else Features.from_config(features)
        names = None if labels is None else Labels(labels)
        if model is None:
            model = made(header, arrays)
        check_sizes("load_model", model, vocabulary, columns, names)
        model.load_state_dict(arrays)
    except FileNotFoundError:
        raise
    except DAMAGED as error:
        reason = str(error) or type(error).__name__
        reason = reason.removeprefix(f"{path}: ").removeprefix(f"{path} is ")
        raise ValueError(f"{str(path)!r} is no readable model of unspool: {reason}") from error
    if isinstance(model, Illustrated):  # it can be drawn over words
        model.vocabulary, model.labels = vocabulary or columns, names
    return Saved(model.eval(), vocabulary, columns, names, header.get("notes") or {})


def check_sizes(
    who: str,
    model: Any,
    vocabulary: Vocabulary | None,
    features: Features | None,
    labels: Labels | None,
) -> None:
    """Raise ValueError if vocabulary, features or labels have other sizes than the model."""
    embedding = getattr(model, "embedding", None)
    n = getattr(model, "vocab_size", getattr(embedding, "n", None))
    if vocabulary is not None and n is not None and len(vocabulary) != n:
        raise ValueError(f"{who}: the vocabulary has {len(vocabulary)} tokens, the model {n}")
    if features is not None and isinstance(embedding, FeatureEmbedding):
        sizes = [column.n for column in embedding.columns]
        if features.sizes != sizes:
            raise ValueError(f"{who}: the features are {features.sizes}, the model's are {sizes}")
    outputs = getattr(model, "n_labels", getattr(model, "d_out", None))
    if labels is not None and outputs not in (None, len(labels), 1 if len(labels) == 2 else None):
        raise ValueError(f"{who}: there are {len(labels)} labels, but the model has {outputs}")


# Files are not trusted ----------------------------------------------------------------------------


def made(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Module:
    """The model of a header's configuration, which may not ask for more than the arrays hold."""
    config, own = header.get("model"), header.get("own")
    if config is None:
        which = f" ({shown(own, 300)})" if isinstance(own, str) else ""
        raise ValueError(
            f"it has parts of your own{which}; make the model as it was made, and write "
            "load_model(path, model)"
        )
    # Truncated normals are drawn again where they are outside: 5 % more numbers, of a few 64.
    rng = BoundedGenerator(int(1.1 * sum(array.size for array in arrays.values())) + 64)
    check_numbers(config, most=max(int(rng.left), 1 << 10))
    model = Module.from_config(config, rng=rng)
    rng.left = math.inf  # from now on it serves dropout, should training go on
    return model


def check_numbers(config: Any, most: int) -> None:
    """Raise ValueError if an integer in a configuration is larger than a width could be."""
    if isinstance(config, int) and abs(config) > most:
        raise ValueError(f"it asks for {config:,} of something, but has only {most:,} numbers")
    if isinstance(config, (dict, list)):
        for item in config.values() if isinstance(config, dict) else config:
            check_numbers(item, most)


class BoundedGenerator(np.random.Generator):
    """Draws initial weights, at most as many as the arrays that will replace them have.

    Args:
        most: How many numbers may be drawn in all.
    """

    def __init__(self, most: int) -> None:
        super().__init__(np.random.PCG64(0))
        self.left: float = most

    def spend(self, size: Any) -> None:
        """Count numbers before they are drawn."""
        count = math.prod(size)
        if count > self.left:
            raise ValueError(f"it asks for {count:,} numbers more than it has")
        self.left -= count

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = ()) -> Any:
        """As of any Generator, within the bound."""
        self.spend(size)
        return super().uniform(low, high, size)

    def standard_normal(self, size: Any = (), *args: Any, **options: Any) -> Any:
        """As of any Generator, within the bound."""
        self.spend(size)
        return super().standard_normal(size, *args, **options)


def read_vocabulary(config: Mapping[str, Any]) -> Vocabulary:
    """A vocabulary from the header; its special tokens have to be in front."""
    tokens, _, _ = (config[name] for name in ("tokens", "level", "lower"))
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError("its vocabulary is no list of tokens")
    if tuple(tokens[: len(SPECIALS)]) != SPECIALS:
        raise ValueError(f"its vocabulary does not begin with {', '.join(SPECIALS)}")
    return Vocabulary.from_config(config)


# Version 1 ----------------------------------------------------------------------------------------


def upgraded(header: Mapping[str, Any]) -> dict[str, Any]:
    """A header of version 1 as one of the present version."""
    header = dict(header)
    header["model"] = upgraded_part(header.get("model"))
    if (words := header.get("vocabulary")) is not None:
        header["vocabulary"] = {"class": "Vocabulary"} | words
    if (features := header.get("features")) is not None:
        columns = [{"class": "Vocabulary", "tokens": tokens} for tokens in features["vocabularies"]]
        header["features"] = {"class": "Features"} | features | {"vocabularies": columns}
    return header


def upgraded_part(value: Any) -> Any:
    """A part of version 1: its class was its "part", a cell to be made the settings of one."""
    if isinstance(value, list):
        return [upgraded_part(item) for item in value]
    if not isinstance(value, dict):
        return value
    part = dict(value)
    settings = {"class": part.pop("part")}
    for name, item in part.items():
        if name == "cell":
            item = {"part": item} if isinstance(item, str) else dict(item)  # of a CharacterEncoder
            options = {k: v for k, v in item.items() if k not in ("part", "d_in", "d_h", "dtype")}
            item = {"kind": item["part"], **options}
        elif name == "letters" and item is not None:
            item = {"part": "CharacterEncoder", "dtype": part["dtype"], **item}
        settings[name] = item if name == "cell" else upgraded_part(item)
    return settings
