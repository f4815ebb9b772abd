"""A trained language model in one file: parameters, configuration and vocabulary.

The file is a ``.npz`` of plain arrays: the parameters by their names, and ``config``, a JSON text
as bytes. Nothing is pickled, so reading one runs nothing; what does not fit is refused before
anything of the size it claims is made.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import cells
from ..cells import Cell, load_npz, save_npz
from .language_model import LanguageModel
from .text import LEVELS, SPECIALS, Vocabulary

__all__ = ["load_language_model", "save_language_model"]

PathLike = str | os.PathLike[str]
FORMAT = "unspool language model"
VERSION = 1
CONFIG = "config"
# The cells that a file may name: those of this package that are made of two widths.
CELLS: dict[str, type[Cell]] = {
    name: thing
    for name, thing in vars(cells).items()
    if isinstance(thing, type) and issubclass(thing, cells.GatedCell) and name != "GatedCell"
}


def save_language_model(path: PathLike, model: LanguageModel, vocabulary: Vocabulary) -> None:
    """Write a model with its vocabulary: whole, or not at all.

    A cell of unspool, or ``functools.partial`` of one with plain options, is written by name; a
    model of another cell is loaded with ``load_language_model(path, cell=...)``.

    Raises:
        ValueError: The vocabulary is not of the model's size.
    """
    if len(vocabulary) != model.vocab_size:
        raise ValueError(
            f"save_language_model: the vocabulary has {len(vocabulary)} tokens, the model "
            f"{model.vocab_size}"
        )
    config = {
        "format": FORMAT,
        "version": VERSION,
        "model": {
            "vocab_size": model.vocab_size,
            "d": model.d,
            "cell": cell_name(model.make_cell),
            "layers": model.layers,
            "tied": model.tied,
            "dropout": model.dropout.p,
            "dtype": model.embedding.E.dtype.name,
        },
        "vocabulary": {
            "level": vocabulary.level,
            "lower": vocabulary.lower,
            "tokens": vocabulary.tokens,
        },
    }
    text = json.dumps(config, ensure_ascii=False).encode()
    save_npz(path, {**model.state_dict(), CONFIG: np.frombuffer(text, np.uint8)})


def load_language_model(
    path: PathLike, *, cell: Callable[..., Any] | None = None
) -> tuple[LanguageModel, Vocabulary]:
    """Read what ``save_language_model`` wrote: the model, in ``eval`` mode, and its vocabulary.

    Args:
        path: The file.
        cell: The cell of the model, where it is not one of unspool's own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is cut off, damaged, or no such model, or ``cell`` is needed or wrong.
    """
    try:
        arrays = load_npz(path)
        config = read_config(arrays)
        given, words = part(config, "model"), part(config, "vocabulary")
        vocabulary = read_vocabulary(words)
        settings = read_settings(given, arrays, len(vocabulary), cell)
        model = LanguageModel(**settings)
        model.load_state_dict(arrays)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, MemoryError, RecursionError, OverflowError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{str(path)!r} is no readable language model of unspool: {reason}"
        ) from error
    return model.eval(), vocabulary


def cell_name(make: Callable[..., Any]) -> dict[str, Any] | None:
    """A cell of this package with its options, as JSON holds it; None for any other."""
    options: dict[str, Any] = {}
    if isinstance(make, functools.partial) and not make.args:
        options, make = dict(make.keywords), make.func
    plain = all(isinstance(value, (str, bool, int, float)) for value in options.values())
    name = getattr(make, "__name__", "")
    return {"name": name, "options": options} if plain and CELLS.get(name) is make else None


def read_config(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Take the configuration out of the arrays."""
    raw = arrays.pop(CONFIG, None)
    if raw is None or raw.dtype != np.uint8 or raw.ndim != 1:
        raise ValueError("it has no configuration")
    config = json.loads(raw.tobytes().decode())
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError("its configuration is of something else")
    if config.get("version") != VERSION:
        raise ValueError(
            f"it is of version {config.get('version')!r}, this unspool reads version {VERSION}"
        )
    return config


def part(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"its configuration has no {name!r}")
    return value


def setting(given: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """One entry of the configuration, of the right type."""
    value = given.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"its configuration has {name}={value!r}")
    return value


def read_vocabulary(words: Mapping[str, Any]) -> Vocabulary:
    tokens = setting(words, "tokens", list)
    if not all(isinstance(token, str) for token in tokens) or tuple(tokens[:3]) != SPECIALS:
        raise ValueError("its vocabulary is no list of tokens that begins with <unk>, <s>, </s>")
    level = setting(words, "level", str)
    if level not in LEVELS and not level.startswith("re:"):
        raise ValueError(f"its vocabulary is of level {level!r}")
    return Vocabulary(tokens, level=level, lower=setting(words, "lower", bool))


def read_settings(
    given: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    vocab_size: int,
    cell: Callable[..., Any] | None,
) -> dict[str, Any]:
    """The arguments of LanguageModel, held against the arrays that are really there."""
    d, layers = setting(given, "d", int), setting(given, "layers", int)
    E = arrays.get("embedding.E")
    if E is None or E.shape != (vocab_size, d) or setting(given, "vocab_size", int) != vocab_size:
        shape = None if E is None else E.shape
        raise ValueError(f"its embedding is {shape}, for {vocab_size} tokens of width {d}")
    if setting(given, "dtype", str) not in ("float16", "float32", "float64"):
        raise ValueError(f"its numbers are {given['dtype']}")
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{name} holds something else than finite numbers")
    if cell is None:
        named = given.get("cell")
        if named is None:
            raise ValueError(
                "it was trained with a cell of your own; load it with cell=..., as it was made"
            )
        if not isinstance(named, dict) or named.get("name") not in CELLS:
            raise ValueError(f"its cell is unknown here: {named!r}")
        cell = functools.partial(CELLS[named["name"]], **part(named, "options"))
        # Every layer has at least one recurrent matrix (d, d): no more is made than was there.
        if not 1 <= layers <= len(arrays) or layers * d * d > sum(a.size for a in arrays.values()):
            raise ValueError(f"its arrays are too few for {layers} layers of width {d}")
    return {
        "vocab_size": vocab_size,
        "d": d,
        "cell": cell,
        "layers": layers,
        "tied": setting(given, "tied", bool),
        "dropout": setting(given, "dropout", (int, float)),
        "dtype": given["dtype"],
    }
