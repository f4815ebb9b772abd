"""Keras's ``datasets``, which are not here: importing one says what to do instead."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"unspool.models.keras.datasets has no {name}: nothing is downloaded; read files with "
        "unspool.models.load_labelled, or NLTK's corpora with unspool.models.text.readers"
    )
