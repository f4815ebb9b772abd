"""Complaints about texts and labels that cannot be what they were taken for."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Sequence
from typing import Any

MANY = 50  # texts from which on labels that differ in most of them are none


def check_classes(
    path: Any, texts: Sequence[str], labels: Collection[str], label: Any, text: Any
) -> None:
    """Raise ValueError where there is no text, or most of many have a label of their own.

    Args:
        path: The file, for messages.
        texts: The texts.
        labels: The different labels.
        label: The column of the labels.
        text: The column of the texts.
    """
    if not texts:
        raise ValueError(f"{path}: there is no labelled text in it")
    if len(texts) < MANY or len(labels) <= len(texts) / 2:
        return
    swapped = len(set(texts)) < len(labels)
    cure = f"write label={text!r}, text={label!r}" if swapped else "name the column of labels"
    raise ValueError(
        f"{path}: column {label} holds {len(labels):,} different labels for {len(texts):,} texts, "
        f"and a class has many texts; {cure}"
    )


def number_cure(name: str, value: Any) -> str:
    """What to write where labels are numbers, or texts are missing."""
    if isinstance(value, numbers.Integral):
        return f"; write [names[i] for i in {name}], or [str(i) for i in {name}]"
    return "; leave out the rows that hold none" if value is None or value != value else ""
