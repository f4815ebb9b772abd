"""Keras's ``constraints``, which is not here: importing a name says what to do instead."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise ImportError(
        f"unspool.models.keras.constraints has no {name}: "
        "there are no constraints; set the weights in a callback's on_train_batch_end"
    )
