"""What tells the layers and directions of a network apart in names: W^(1), W^(2), h⃗, h⃖.

A name carries a mark where several loops have values of one name: an arrow over its letter for
two directions, and the number of its layer, counted from 1 as time is, or a word for its network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from typing import NamedTuple

ARROWS = {"forward": "\u20d7", "backward": "\u20d6"}  # over the letter before
HIGH = re.compile(r"\^(\([\w.,]+\)|\w{1,3}|[*+−-])$")  # what stands high behind a name
WHOLE, CUT = 5, 3  # letters of a word that may stand in a mark, and of one that is cut


class Mark(NamedTuple):
    """An arrow over a letter, and what stands high behind it."""

    arrow: str = ""
    high: str = ""

    def numbered(self, number: str) -> Mark:
        """This mark with a number among namesakes behind it."""
        return self._replace(high=".".join(filter(None, (self.high, number))))

    def on(self, name: str) -> str:
        """A name with this mark: ``h_2`` as ``h⃗_2^(1)``."""
        letter, low, rest = name.partition("_")
        arrow = self.arrow if len(letter) == 1 else ""
        marked = f"{letter}{arrow}{low}{rest}"
        return f"{marked}^({self.high})" if self.high else marked


def split_mark(name: str) -> tuple[str, str]:
    """A name, and what stands high behind it: ``W_f^(2)`` as ``W_f`` and ``(2)``."""
    found = HIGH.search(name)
    return (name[: found.start()], found[1]) if found else (name, "")


def marks_of(scopes: Sequence[tuple[str, ...]]) -> list[Mark]:
    """For the scopes around each loop the mark that its names bear; none where there is one."""
    if len(scopes) < 2:
        return [Mark()] * len(scopes)
    found = []
    paths = [path[:-1] for path in scopes]  # the last is the cell's kind
    for path in paths:
        arrow, parts = "", []
        for depth, part in enumerate(path):
            near = [other for other in paths if other[:depth] == path[:depth]]
            siblings = {other[depth] for other in near if len(other) > depth}
            if part in ARROWS and siblings >= ARROWS.keys():
                arrow = ARROWS[part]
            elif len(siblings) > 1 and not hasattr(part, "kind"):  # a layer, not what is in it
                parts.append(shown(part, siblings))
        found.append(Mark(arrow, ",".join(parts)))
    if len(set(found)) < len(found):
        return [Mark(mark.arrow, str(n)) for n, mark in enumerate(found, 1)]
    return found


def shown(part: str, siblings: Set[str]) -> str:
    """A scope in a mark: layers from 1 (also lstm, lstm_1), short words whole."""
    kind, _, number = part.rpartition("_")
    if part.isdigit() or (number.isdigit() and kind in siblings):
        return str(int(number) + 1)
    if f"{part}_1" in siblings:
        return "1"
    word = re.sub(r"\W", "", part)
    return word if len(word) <= WHOLE else word[:CUT]
