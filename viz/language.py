"""What a picture says in words, in a language of one's own: a dictionary from the English.

Keys are the names of scopes (``forget``, ``encoder``, ``lstm``), or what an English picture shows
for them (``LSTM``); what ops are called (``lookup``, ``concat``); and the phrases below, with
``{places}`` for what is filled in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

__all__ = ["PHRASES", "check_labels", "say", "say_path", "say_scope", "speaking"]

# What pictures say besides the names of scopes and ops.
PHRASES = frozenset(
    [
        "A box stands for all time steps.",
        "A column of labels for each word; the best path is {path}.",
        "A node shows all steps of a loop.",
        "A node shows each gate.",
        "A node shows each step's cell.",
        "A node shows every operation.",
        "Arrows against time show the gradient's way back.",
        "Bars: each step's share of ∂L/∂W",
        "Computation graph of {n} operations",
        "Lattice of {n} labels over {m} words",
        "Network",
        "Norm of the gradient (log scale)",
        "Norm of the gradient, the largest of all steps (log scale)",
        "One step stands for all; its states come back to it with a delay.",
        "Parameters",
        "Parameters: {names}.",
        "Strips: values below 0 in blue (print: dark), above in orange (light)",
        "The gradient stops here: backpropagation through time is truncated.",
        "Time runs from left to right, {steps}; inputs are below.",
        "best path",
        "const",
        "delay",
        "each shared by {uses}",
        "first {state}",
        "input and output layers",
        "layer {n}",
        "mask",
        "no gradient is drawn: give grads=tape.gradients()",
        "outside of time",
        "predictions",
        "step t",
        "t={t} is shown; other operations are in t={others}",
        "targets",
        "words",
        "{norm} of {gradient}",
        "{n} layers or passes.",
        "{n} outside",
        "{n} records",
        "{n} step",
        "{n} steps",
        "{n} to {m}",
        "{n} use",
        "{n} uses",
        "{steps} with some steps left out",
        "{what} unrolled over {n} time step",
        "{what} unrolled over {n} time steps",
        'Level "{level}" joins what stands in scopes, and there are none: with scope("name") '
        'around a part, with scope("step", step=t) in a loop over time.',
        'No time steps: with scope("step", step=t) in its loop a network is drawn in columns.',
        '{n} nodes are more than a renderer can bear; shown at level "{level}"',
        '{n} nodes are more than a renderer can bear; shown at level "{level}", most steps left '
        "out",
        "{n} nodes are more than a renderer can bear; only the last {m} records are shown",
    ]
)

PLACE = re.compile(r"\{\w+\}")
labels_here: ContextVar[Mapping[str, str]] = ContextVar(
    "unspool_labels", default=MappingProxyType({})
)


def say(text: str, **values: Any) -> str:
    """A text in the picture's language, its places filled in."""
    known = labels_here.get().get(text, text)
    return known.format(**values) if values else known


def say_scope(name: str, shown: str) -> str:
    """What stands for a scope: labels know it by its name, or by what an English picture shows."""
    return labels_here.get().get(str(name)) or say(shown)


def say_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes of a path in the picture's language."""
    return tuple(map(say, path))


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
        for place in PLACE.findall(english) if english in PHRASES else ():
            if english.count(place) != own.count(place):
                raise ValueError(
                    f"draw: labels has {own!r} for {english!r}, expected a text with {place} in it"
                )
