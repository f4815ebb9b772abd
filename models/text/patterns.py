"""Regular expressions that can take exponential time, found before they are used.

Python's ``re`` tries the ways in which a text can be matched one after the other. By
``(\\w+\\s?)+`` a word of n letters can be read in 2^n ways, and a text that does not match at its
end takes them all. An expression is safe from this if no word leads from a place in it back to that
place in two ways (Weber and Seidl 1991: it is not exponentially ambiguous). Places are the
characters and classes of the expression; ``follow`` counts the ways from one to the next (Glushkov
1961).

An expression is read here by its documented syntax (``TOKEN``), characters and classes by ``re``
itself. What is left out of it, as conditions ``(?(1)a|b)`` and the flag ``x``, counts as unsafe.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

MOST_PLACES = 150
MOST_COPIES = 8  # of what is repeated {m,n} times; above it is as good as *
SAMPLE = "".join(map(chr, range(128))) + "\xa0éßΩяאक\u093e中“”–\u200d\ufe0f😀"
TOKEN = re.compile(
    r"""
    # What has no place (anchors, flags, remarks), and what a group has matched.
    (?P<skip> \\[AbBZz] | [\^$] | \(\?[aimsu]+\) | \(\?\#[^)]*\) )
    | (?P<back> \\[1-9][0-9]? | \(\?P=\w+\) )
    | (?P<open> \( (?: \?[ims]*(?:-[ims]+)?: | \?<?[=!] | \?P<\w+> | \?> | (?!\?) ) )
    | (?P<close> \) )
    | (?P<bar> \| )
    | (?P<repeat> (?: [*+?] | \{ (?: [0-9]+ (?:,[0-9]*)? | ,[0-9]* ) \} ) [?+]? )
    | (?P<place> \[ \^? \]? (?: \\. | [^\]\\] )* \]
                | \\ (?: x..? | u.{4} | U.{8} | N\{[^}]*\} | [0-7]{1,3} | . ) | [^()\\] )
    """,
    re.VERBOSE | re.DOTALL,
)
LOOKED_AT = ("(?=", "(?!", "(?<=", "(?<!")
Ways = Counter[int]  # the number of ways to a place


class Part(NamedTuple):
    """A part of an expression: the ways into it, out of it, and whether it may be empty."""

    first: Ways
    last: Ways
    empty: bool


NOTHING = Part(Counter(), Counter(), True)


def bounds_of(text: str) -> tuple[float, float]:
    """The bounds of a repetition: ``*``, ``+``, ``?`` or ``{m,n}``."""
    text = {"*": "{0,}", "+": "{1,}", "?": "{0,1}"}.get(text[0], text)
    low, comma, high = text.rstrip("?+").strip("{}").partition(",")
    return int(low or 0), int(high) if high else math.inf if comma else int(low)


@functools.lru_cache(maxsize=64)
def may_explode(pattern: str) -> bool:
    """Whether a regular expression can take exponential time, or is too long to tell.

    Example:
        >>> may_explode(r"(\\w+\\s?)+$"), may_explode(r"\\w+(?:['.-]\\w+)*|[^\\w\\s]")
        (True, False)
    """
    places = Places(pattern)
    try:
        places.alternatives()
    except ValueError:
        return True
    return places.ambiguous()


class Places:
    """The places of an expression, and the ways between them.

    Args:
        pattern: A valid regular expression.

    Raises:
        ValueError: While it is read: it is too long, or has what ``TOKEN`` has not.
    """

    def __init__(self, pattern: str) -> None:
        self.classes: list[frozenset[str]] = []
        self.follow: Counter[tuple[int, int]] = Counter()
        self.sample = sorted({*SAMPLE, *pattern, *pattern.lower(), *pattern.upper()})
        self.flags = re.compile(pattern).flags & (re.ASCII | re.IGNORECASE) | re.DOTALL
        if re.search(r"\(\?[ims]*i", pattern):  # perhaps of one group; more match is safe to assume
            self.flags |= re.IGNORECASE
        self.pattern, self.at = pattern, 0

    def token(self) -> tuple[str | None, str]:
        """The kind and the text of the next token; None at the end."""
        if self.at == len(self.pattern):
            return None, ""
        found = TOKEN.match(self.pattern, self.at)
        if found is None:
            raise ValueError(f"not read: {self.pattern[self.at :]}")
        return found.lastgroup, found.group()

    def next(self) -> tuple[str | None, str]:
        """``token``, which is left behind."""
        found = self.token()
        self.at += len(found[1])
        return found

    def alternatives(self) -> Part:
        """Sequences with a bar between them, up to a closing bracket or the end."""
        parts = [self.sequence()]
        while self.token()[0] == "bar":
            self.next()
            parts.append(self.sequence())
        first = sum((part.first for part in parts), Counter[int]())
        last = sum((part.last for part in parts), Counter[int]())
        return Part(first, last, any(part.empty for part in parts))

    def sequence(self) -> Part:
        """Items one after the other."""
        parts: list[Part] = []
        while self.token()[0] not in (None, "close", "bar"):
            parts.append(self.repeated())
        return self.joined(parts)

    def repeated(self) -> Part:
        """An item and how often it is repeated: in a loop, or as copies where the bound is low."""
        begin = self.at
        part = self.item()
        kind, text = self.token()
        if kind != "repeat":
            return part
        self.next()
        end = self.at
        low, high = bounds_of(text)
        if high > MOST_COPIES:
            self.connect(part.last, part.first)
            return part._replace(empty=part.empty or low == 0)
        copies = [part] if high else []
        for _ in range(1, int(high)):
            self.at = begin
            copies.append(self.item())
        self.at = end
        return self.joined(c._replace(empty=c.empty or i >= low) for i, c in enumerate(copies))

    def item(self) -> Part:
        """A character, a class, a group, or what has no place."""
        kind, text = self.next()
        if kind == "open":
            part = self.alternatives()
            self.next()
            return NOTHING if text in LOOKED_AT else part
        if kind == "place":
            found = re.compile(text, self.flags)
            return self.place(c for c in self.sample if found.fullmatch(c))
        return self.place(self.sample) if kind == "back" else NOTHING

    def place(self, characters: Iterable[str]) -> Part:
        """A new place, where one of these characters is read."""
        if len(self.classes) == MOST_PLACES:
            raise ValueError("too long")
        self.classes.append(frozenset(characters))
        ways = Counter({len(self.classes) - 1: 1})
        return Part(ways, ways, False)

    def joined(self, parts: Iterable[Part]) -> Part:
        """Parts one after the other."""
        first, last, empty = Counter[int](), Counter[int](), True
        for part in parts:
            self.connect(last, part.first)
            if empty:
                first = first + part.first
            last = part.last + last if part.empty else part.last
            empty = empty and part.empty
        return Part(first, last, empty)

    def connect(self, last: Ways, first: Ways) -> None:
        """Ways from the end of one part to the beginning of another."""
        for (p, n), (q, m) in itertools.product(last.items(), first.items()):
            self.follow[p, q] += n * m

    def ambiguous(self) -> bool:
        """Whether a word leads from a place back to it in two ways."""
        after: dict[int, list[int]] = {p: [] for p in range(len(self.classes))}
        for p, q in self.follow:
            after[p].append(q)
        if any(n > 1 and p in reached({q}, after) for (p, q), n in self.follow.items()):
            return True
        pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
        before: dict[tuple[int, int], list[tuple[int, int]]] = {}
        todo = [(p, p) for p in after]
        while todo:
            pair = todo.pop()
            if pair in pairs:
                continue
            pairs[pair] = [
                (a, b)
                for a, b in itertools.product(after[pair[0]], after[pair[1]])
                if self.classes[a] & self.classes[b]
            ]
            for target in pairs[pair]:
                before.setdefault(target, []).append(pair)
            todo += pairs[pair]
        return any(
            any(a != b for a, b in reached({(p, p)}, pairs) & reached({(p, p)}, before))
            for p in after
        )


def reached(start: set[Any], edges: Any) -> set[Any]:
    """All that can be reached over edges, the start included."""
    seen, todo = set(start), list(start)
    while todo:
        for target in edges.get(todo.pop(), ()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen
