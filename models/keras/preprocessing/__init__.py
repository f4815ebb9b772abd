"""Preparing data; ``sequence`` has ``pad_sequences``."""

from . import sequence

__all__ = ["sequence"]
