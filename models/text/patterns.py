"""Regular expressions that can take exponential time, found before they are used.

Python's ``re`` tries the ways in which a text can be matched one after the other. By
``(\\w+\\s?)+`` a word of n letters can be read in 2^n ways, and a text that does not match at its
end takes them all. An expression is safe from this if no word leads from a place in it back to that
place in two ways (Weber and Seidl 1991: it is not exponentially ambiguous). Places are the
characters and classes of the expression; ``follow`` counts the ways from one to the next (Glushkov
1961).
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

if sys.version_info >= (3, 11):
    from re import _constants as sre  # type: ignore[attr-defined]
    from re import _parser as parser  # type: ignore[attr-defined]
else:
    import sre_constants as sre
    import sre_parse as parser

MOST_PLACES = 150
MOST_COPIES = 8  # of what is repeated {m,n} times; above it is as good as *
SAMPLE = "".join(map(chr, range(128))) + "\xa0éßΩяאक\u093e中“”–\u200d\ufe0f😀"
CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
Ways = Counter[int]  # the number of ways to a place


class Part(NamedTuple):
    """A part of an expression: the ways into it, out of it, and whether it may be empty."""

    first: Ways
    last: Ways
    empty: bool


@functools.lru_cache(maxsize=64)
def may_explode(pattern: str) -> bool:
    """Whether a regular expression can take exponential time, or is too long to tell.

    Example:
        >>> may_explode(r"(\\w+\\s?)+$"), may_explode(r"\\w+(?:['.-]\\w+)*|[^\\w\\s]")
        (True, False)
    """
    places = Places(pattern)
    places.sequence(parser.parse(pattern))
    return len(places.classes) > MOST_PLACES or places.ambiguous()


class Places:
    """The places of an expression, and the ways between them."""

    def __init__(self, pattern: str) -> None:
        self.classes: list[frozenset[str]] = []
        self.follow: Counter[tuple[int, int]] = Counter()
        self.sample = sorted({*SAMPLE, *pattern, *pattern.lower(), *pattern.upper()})

    def place(self, characters: Iterable[str]) -> Part:
        """A new place, where one of these characters is read."""
        self.classes.append(frozenset(characters))
        ways = Counter({len(self.classes) - 1: 1})
        return Part(ways, ways, False)

    def sequence(self, items: Any) -> Part:
        """Items one after the other."""
        return self.joined([self.item(op, value) for op, value in items])

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

    def item(self, op: Any, value: Any) -> Part:
        """One item of a parsed expression."""
        name = str(op)
        if len(self.classes) > MOST_PLACES:
            return Part(Counter(), Counter(), True)
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "CATEGORY", "RANGE"):
            return self.place(c for c in self.sample if matches(op, value, c))
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self.repeat(*value)
        if name == "BRANCH":
            parts = [self.sequence(branch) for branch in value[1]]
            first = sum((part.first for part in parts), Counter[int]())
            last = sum((part.last for part in parts), Counter[int]())
            return Part(first, last, any(part.empty for part in parts))
        if name == "SUBPATTERN":
            return self.sequence(value[-1])
        if name == "ATOMIC_GROUP":
            return self.sequence(value)
        if name == "GROUPREF":
            return self.place(self.sample)
        if name == "GROUPREF_EXISTS":
            return self.joined([self.sequence(branch) for branch in value[1:] if branch])
        return Part(Counter(), Counter(), True)  # an anchor, or what is looked at

    def repeat(self, least: int, most: int, body: Any) -> Part:
        """A body repeated: in a loop, or as copies where the bound is low."""
        if most > MOST_COPIES:
            part = self.sequence(body)
            self.connect(part.last, part.first)
            return part._replace(empty=part.empty or least == 0)
        copies = [self.sequence(body) for _ in range(most)]
        return self.joined(
            part._replace(empty=part.empty or i >= least) for i, part in enumerate(copies)
        )

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


def matches(op: Any, value: Any, c: str) -> bool:
    """Whether an item of a character class matches a character; capital letters count as small."""
    name = str(op)
    if name == "ANY":
        return True
    if name in ("LITERAL", "NOT_LITERAL"):
        return (chr(value).lower() == c.lower()) == (name == "LITERAL")
    if name == "RANGE":
        low, high = value
        return any(low <= ord(form) <= high for form in {c, *c.lower()[:1], *c.upper()[:1]})
    if name == "CATEGORY":
        return re.fullmatch(CATEGORIES.get(value, r"(?s:.)"), c) is not None
    items = [item for item in value if str(item[0]) != "NEGATE"]
    return any(matches(item[0], item[1], c) for item in items) == (len(items) == len(value))
