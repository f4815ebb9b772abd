"""A trained model in one file: parameters, how it is put together, and what its ids mean.

The file is a ``.npz`` of plain arrays with a JSON header: the parameters by their names, the
settings of the model and of its parts, vocabulary or features, and labels. Nothing is pickled, so
reading one runs nothing; what does not fit is refused before anything of the size it claims is
made.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import cells
from ..cells import Bidirectional, Module, Stacked
from ..cells.composite import StackedCell
from ..files import PathLike, load_described, save_described
from .networks.acceptor import Acceptor, BagClassifier, Classifier, TextCNN
from .networks.attention import ATTENTIONS
from .networks.crf import CRF, Chain, Constraints, PairwiseCRF
from .networks.deepmoji import DeepMoji
from .networks.encoder_decoder import EncoderDecoder
from .networks.hierarchical import HierarchicalAcceptor
from .networks.language_model import LanguageModel
from .networks.layers import Embedding, FeedForward
from .networks.transducer import Transducer
from .networks.window import WindowLanguageModel
from .text.batches import Labels
from .text.features import FeatureEmbedding, Features
from .text.text import SPECIALS, Vocabulary

__all__ = ["Saved", "load_model", "save_model"]

FORMAT = "unspool model"
VERSION = 1


class Saved(NamedTuple):
    """What was in the file of a model.

    Attributes:
        model: The model, in ``eval`` mode.
        vocabulary: Of its tokens, or None.
        features: Of its words, or None.
        labels: Their names, or None.
        notes: What else was written.
    """

    model: Any
    vocabulary: Vocabulary | None
    features: Features | None
    labels: Labels | None
    notes: dict[str, Any]


def save_model(
    path: PathLike,
    model: Module,
    *,
    vocabulary: Vocabulary | None = None,
    features: Features | None = None,
    labels: Labels | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write a model with all that is needed to use it: whole, or not at all.

    A language model, classifier, tagger or encoder-decoder of unspool's own parts is written with
    how it is put together; one with parts of yours is loaded into a model that you made.

    Args:
        path: The file.
        model: The model.
        vocabulary, features: What made ids of its texts.
        labels: The names of its labels.
        notes: Plain values of your own.

    Raises:
        ValueError: Vocabulary, features or labels do not fit the model.
    """
    check_sizes("save_model", model, vocabulary, features, labels)
    try:
        how: Settings | None = recipe(model)
    except LookupError:
        how = None
    header = {
        "model": how,
        "vocabulary": None
        if vocabulary is None
        else {
            "level": vocabulary.level,
            "lower": vocabulary.lower,
            "tokens": vocabulary.tokens,
        },
        "features": None if features is None else features.config(),
        "labels": None if labels is None else labels.names,
        "notes": dict(notes or {}),
    }
    save_described(path, FORMAT, VERSION, header, model.state_dict())


def load_model(path: PathLike, model: Module | None = None) -> Saved:
    """Read what ``save_model`` wrote.

    Args:
        path: The file.
        model: What to load the parameters into, where the model has parts of your own; it has
            to be put together as the one that was saved.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is cut off, damaged, or no such model, or ``model`` is needed or wrong.

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
        header, arrays = load_described(path, FORMAT, VERSION)
        for name, array in arrays.items():
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{name} holds something else than finite numbers")
        words, features, labels = (header.get(n) for n in ("vocabulary", "features", "labels"))
        vocabulary = None if words is None else read_vocabulary(words)
        columns = None if features is None else Features.from_config(features)
        names = None if labels is None else Labels(labels)
        if model is None:
            rng = Frugal(arrays)
            model = made(header.get("model"), rng)
            rng.left = math.inf  # from now on it is dropout's, should the model learn on
        check_sizes("load_model", model, vocabulary, columns, names)
        model.load_state_dict(arrays)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, KeyError, MemoryError, RecursionError, OverflowError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{str(path)!r} is no readable model of unspool: {reason}") from error
    return Saved(model.eval(), vocabulary, columns, names, header.get("notes") or {})


def check_sizes(
    who: str,
    model: Any,
    vocabulary: Vocabulary | None,
    features: Features | None,
    labels: Labels | None,
) -> None:
    """Raise if what makes ids and labels has other sizes than the model."""
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


# How a model is put together --------------------------------------------------------------------
#
# Each function ending in ``_settings`` gives what its kind of model was made with, by the names of
# its constructor: numbers, strings, and parts that have settings of their own.

Settings = dict[str, Any]


def dtype_of(module: Module) -> str:
    """That of its first parameter, which the others share."""
    return str(module.parameters()[0].dtype)


def cell_options(cell: Any) -> Settings:
    """What a cell was made with besides its widths."""
    options: Settings = {"bias": any(name.startswith("b") for name, _ in cell.named_parameters())}
    if hasattr(cell, "activation"):
        options["activation"] = cell.activation
    return options


def cell_settings(cell: Any) -> Settings:
    return {"d_in": cell.d_in, "d_h": cell.d_h, "dtype": dtype_of(cell), **cell_options(cell)}


def language_model_settings(model: LanguageModel) -> Settings:
    layer = model.cell.members[0] if isinstance(model.cell, Stacked) else model.cell
    return {
        "vocab_size": model.vocab_size,
        "d": model.d,
        "layers": model.layers,
        "tied": model.tied,
        "dropout": model.dropout.p,
        "dtype": dtype_of(model),
        "cell": layer,
    }


def encoder_decoder_settings(model: EncoderDecoder) -> Settings:
    names = {kind: name for name, kind in ATTENTIONS.items()}
    kept = ("source_size", "target_size", "d", "layers", "bidirectional", "start", "end")
    return {
        **{name: getattr(model, name) for name in kept},
        "attention": None if model.attention is None else names[type(model.attention)],
        "dropout": model.dropout.p,
        "dtype": dtype_of(model),
        "cell": model.decoder.members[0],
    }


def head_settings(head: FeedForward) -> Settings:
    return {
        "hidden": [layer.d_out for layer in head.layers[:-1]],
        "activation": head.layers[0].activation if len(head.layers) > 1 else "tanh",
        "dtype": dtype_of(head),
    }


def classifier_settings(model: Classifier, *names: str) -> Settings:
    return {
        **{name: getattr(model, name) for name in (*names, "d_out", "embedding", "objective")},
        "dropout": model.dropout.p,
        **head_settings(model.head),
    }


def cnn_settings(model: TextCNN) -> Settings:
    filters = next(iter(model.W.values())).shape[-1]
    widths = [int(k) for k in model.W]
    return {"widths": widths, "filters": filters, **classifier_settings(model, "d_in")}


def transducer_settings(model: Transducer) -> Settings:
    settings: Settings = {
        "network": model.network,
        "n_labels": model.n_labels,
        "embedding": model.embedding,
        "crf": model.crf,
        "dropout": model.dropout.p,
    }
    if isinstance(model.head, FeedForward):
        return settings | head_settings(model.head)
    return settings | {"split": model.head is not None, "dtype": dtype_of(model)}


def deepmoji_settings(model: DeepMoji) -> Settings:
    settings = classifier_settings(model, "pooling")
    embedding, first = settings.pop("embedding"), model.layers[0].forward
    sizes = {"vocab_size": embedding.n, "d": embedding.d, "cells": first.d_h}
    return {**settings, **sizes, "layers": len(model.layers)}


def window_settings(model: WindowLanguageModel) -> Settings:
    return {
        "vocab_size": model.vocab_size,
        "d": model.d,
        "window": model.window,
        "hidden": [layer.d_out for layer in model.hidden.layers],
        "activation": model.hidden.layers[0].activation,
        "dropout": model.dropout.p,
        "dtype": dtype_of(model),
    }


def crf_settings(crf: Chain) -> Settings:
    given = crf.constraints
    constraints = None if given is None else [part.tolist() for part in given]
    labels = crf.n_labels if crf.labels is None else list(crf.labels)
    return {"labels": labels, "constraints": constraints, "dtype": dtype_of(crf)}


def make_of_cells(kind: Any, cell: Settings, **settings: Any) -> Any:
    """A model that makes its cells itself: their widths and dtype are its own."""
    if not isinstance(cell, dict) or cell.get("part") not in CELLS:
        raise ValueError(f"its cell is unknown here: {cell!r}")
    options = {k: v for k, v in cell.items() if k not in ("part", "d_in", "d_h", "dtype")}
    return kind(cell=functools.partial(CELLS[cell["part"]], **options), **settings)


def make_crf(
    constraints: Any, rng: Any, d_in: int | None = None, **settings: Any
) -> CRF | PairwiseCRF:
    """A PairwiseCRF where there is a ``d_in``."""
    if constraints is not None:
        constraints = Constraints(*(np.array(part, bool) for part in constraints))
    if d_in is None:
        return CRF(constraints=constraints, **settings)
    return PairwiseCRF(constraints=constraints, d_in=d_in, rng=rng, **settings)


def make_features(rng: Any, **settings: Any) -> FeatureEmbedding:
    return FeatureEmbedding.from_config(settings, rng=rng)


def make_bidirectional(rng: Any, **settings: Any) -> Bidirectional:
    return Bidirectional(**settings)


# The cells that a file may name: those of this package that are made of two widths.
CELLS: dict[str, Any] = {
    name: thing
    for name, thing in vars(cells).items()
    if isinstance(thing, type) and issubclass(thing, cells.GatedCell) and thing.gates
}
# Of each part that a file may name: its class, what it was made with, and what makes it of that.
PARTS: dict[str, tuple[Any, Callable[[Any], Settings], Callable[..., Any]]] = {
    **{name: (cell, cell_settings, cell) for name, cell in CELLS.items()},
    "Stacked": (
        (Stacked, StackedCell),
        lambda m: {"members": m.members, "dropout": m.dropout, "residual": m.residual},
        Stacked,
    ),
    "Bidirectional": (
        Bidirectional,
        lambda m: {"forward": m.forward, "backward": m.backward, "merge": m.merge},
        make_bidirectional,
    ),
    "Embedding": (Embedding, lambda m: {"n": m.n, "d": m.d, "dtype": dtype_of(m)}, Embedding),
    "FeatureEmbedding": (FeatureEmbedding, lambda m: m.config(), make_features),
    "CRF": (CRF, crf_settings, make_crf),
    "PairwiseCRF": (PairwiseCRF, lambda m: {**crf_settings(m), "d_in": m.d_in}, make_crf),
    "LanguageModel": (
        LanguageModel,
        language_model_settings,
        functools.partial(make_of_cells, LanguageModel),
    ),
    "EncoderDecoder": (
        EncoderDecoder,
        encoder_decoder_settings,
        functools.partial(make_of_cells, EncoderDecoder),
    ),
    "WindowLanguageModel": (WindowLanguageModel, window_settings, WindowLanguageModel),
    "Acceptor": (Acceptor, lambda m: classifier_settings(m, "network", "pooling"), Acceptor),
    "BagClassifier": (
        BagClassifier,
        lambda m: classifier_settings(m, "d_in", "pooling"),
        BagClassifier,
    ),
    "TextCNN": (TextCNN, cnn_settings, TextCNN),
    "HierarchicalAcceptor": (
        HierarchicalAcceptor,
        lambda m: classifier_settings(m, "words", "spans", "punctuation", "pooling"),
        HierarchicalAcceptor,
    ),
    "DeepMoji": (DeepMoji, deepmoji_settings, DeepMoji),
    "Transducer": (Transducer, transducer_settings, Transducer),
}
UNMADE = ("cell", "letters")  # arguments from which a part makes its own parts


def recipe(value: Any) -> Any:
    """A part and its settings as JSON holds them.

    Raises:
        LookupError: It is none of PARTS.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {key: recipe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [recipe(item) for item in value]
    for name, (kinds, settings, _) in PARTS.items():
        if type(value) in (kinds if isinstance(kinds, tuple) else (kinds,)):
            return {"part": name, **recipe(settings(value))}
    raise LookupError(f"{type(value).__name__} is no part of unspool's own")


def made(value: Any, rng: Frugal) -> Any:
    """The part that a recipe describes."""
    if value is None:
        raise ValueError(
            "it has parts of your own; make the model as it was made, and write "
            "load_model(path, model)"
        )
    if not isinstance(value, dict) or value.get("part") not in PARTS:
        found = value.get("part") if isinstance(value, dict) else value
        raise ValueError(f"a part of it is unknown here: {found!r}")
    settings = {}
    for key, item in value.items():
        if isinstance(item, dict) and key not in UNMADE:
            item = made(item, rng)
        elif key == "members":
            item = [made(member, rng) for member in item]
        if key == "dtype" and item not in ("float16", "float32", "float64"):
            raise ValueError(f"its numbers are {item}")
        settings[key] = item
    return PARTS[settings.pop("part")][2](rng=rng, **settings)


class Frugal(np.random.Generator):
    """Draws the weights of a model that is to be filled from arrays: no more than these have."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(np.random.PCG64(0))
        self.left: float = sum(array.size for array in arrays.values())

    def spend(self, size: Any) -> None:
        count = math.prod(size)
        if count > self.left:
            raise ValueError(f"it asks for {count:,} numbers more than it has")
        self.left -= count

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = ()) -> Any:
        """As of any Generator, where there are as many numbers left."""
        self.spend(size)
        return super().uniform(low, high, size)

    def standard_normal(self, size: Any = (), *args: Any, **options: Any) -> Any:
        """As of any Generator, where there are as many numbers left."""
        self.spend(size)
        return super().standard_normal(size, *args, **options)


def read_vocabulary(words: Mapping[str, Any]) -> Vocabulary:
    """A vocabulary from the header."""
    tokens = words["tokens"]
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError("its vocabulary is no list of tokens")
    if tuple(tokens[: len(SPECIALS)]) != SPECIALS:
        raise ValueError(f"its vocabulary does not begin with {', '.join(SPECIALS)}")
    return Vocabulary(tokens, level=words["level"], lower=bool(words["lower"]))
