"""Keras's ``applications``, which is not here: importing a name says what to do instead."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"unspool.models.keras.applications has no {name}: "
        "it holds pretrained networks for images, for which use Keras or PyTorch"
    )
