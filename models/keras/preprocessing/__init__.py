"""Preparing data: ``sequence`` has ``pad_sequences``, ``text`` the ``Tokenizer``."""

from . import sequence, text

__all__ = ["sequence", "text"]
