"""Files of networks by the names of ``keras.saving``."""

from __future__ import annotations

from typing import Any

from ...cells import register
from .models import load_model

__all__ = ["load_model", "register_keras_serializable", "save_model"]


def save_model(model: Any, filepath: Any, **options: Any) -> None:
    """``model.save(filepath)``."""
    model.save(filepath)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Any:
    """A decorator for layers of one's own: files may name them."""

    def decorate(kind: type) -> type:
        return register(kind, f"{package}.{name or kind.__name__}")

    return decorate
