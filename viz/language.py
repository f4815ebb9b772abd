"""What a picture says in words, in a language of one's own: a dictionary from the English.

Keys are what stands in an English picture: the names of scopes (``forget``, ``encoder``), what ops
are called (``lookup``, ``concat``), and the phrases below, with ``{places}`` for what is filled in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

__all__ = ["PHRASES", "check_labels", "say", "speaking"]

# What pictures say besides the names of scopes and ops.
PHRASES = frozenset(
    [
        "A box stands for all time steps.",
        "Bars: each step's share of ∂L/∂W",
        "Norm of the gradient (log scale)",
        "Norm of the gradient, the largest of all steps (log scale)",
        "Parameters",
        "Strips: values below 0 in blue (print: dark), above in orange (light)",
        "The gradient stops here: backpropagation through time is truncated.",
        "delay",
        "each shared by {uses}",
        "first {state}",
        "input and output layers",
        "layer {n}",
        "no gradient is drawn: give grads=tape.gradients()",
        "outside of time",
        "predictions",
        "step t",
        "targets",
        "words",
        "{n} outside",
        "{n} step",
        "{n} steps",
        "{n} to {m}",
        "{n} use",
        "{n} uses",
    ]
)

labels_here: ContextVar[Mapping[str, str]] = ContextVar(
    "unspool_labels", default=MappingProxyType({})
)


def say(text: str, **values: Any) -> str:
    """A text in the picture's language, its places filled in."""
    known = labels_here.get().get(text, text)
    return known.format(**values) if values else known


@contextmanager
def speaking(labels: Mapping[str, str] | None) -> Iterator[None]:
    """A block in which pictures are labelled by a dictionary."""
    token = labels_here.set(labels or {})
    try:
        yield
    finally:
        labels_here.reset(token)


def check_labels(labels: Any) -> None:
    """Raise unless labels are a dictionary of texts whose places are those of the English."""
    if labels is None:
        return
    wanted = 'draw: labels is a dictionary of texts, such as {"forget": "Vergessen"}'
    if not isinstance(labels, Mapping):
        raise TypeError(f"{wanted}; got {labels!r}")
    for english, own in labels.items():
        if not isinstance(english, str) or not isinstance(own, str):
            raise TypeError(f"{wanted}; got {english!r}: {own!r}")
        for place in ("{n}", "{m}", "{uses}", "{state}"):
            if english in PHRASES and english.count(place) != own.count(place):
                raise ValueError(
                    f"draw: labels has {own!r} for {english!r}, expected a text with {place} in it"
                )
