"""Tokens to ids and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import class_ids
from ...cells import Configured, register
from ...checks import check_int, check_items, describe_received
from .tokens import SPECIALS, level_named

Ids = NDArray[np.int64]


@register
class Vocabulary(Configured):
    """Tokens and their ids.

    ``<unk>`` (0) stands for tokens out of the vocabulary, ``<s>`` (1) begins a sequence, ``</s>``
    (2) ends it; the others follow.

    Args:
        tokens: The tokens by id, from 3 on, or with the three special ones in front.
        level, lower: The tokeniser, as in ``tokenize``.

    Attributes:
        tokens: All tokens, by id.
        unknown: The id of ``<unk>``.
        start: The id of ``<s>``.
        end: The id of ``</s>``.

    Example:
        >>> from unspool.models import Vocabulary, tokenize
        >>> vocabulary = Vocabulary.count(tokenize("to be or not to be"), minimum_count=2)
        >>> vocabulary.tokens
        ('<unk>', '<s>', '</s>', 'be', 'to')
        >>> vocabulary.encode("to be, Hamlet", start=True)
        array([1, 4, 3, 0, 0])
        >>> vocabulary.decode([1, 4, 3, 0])
        'to be <unk>'
    """

    unknown, start, end = range(len(SPECIALS))

    def __init__(self, tokens: Iterable[str], *, level: str = "word", lower: bool = False) -> None:
        given = tuple(check_items("Vocabulary", "tokens", tokens, "a list of tokens"))
        self.tokens = given if given[: len(SPECIALS)] == SPECIALS else (*SPECIALS, *given)
        if not all(isinstance(token, str) for token in self.tokens):
            wrong = next(token for token in self.tokens if not isinstance(token, str))
            raise TypeError(f"Vocabulary: tokens must be strings, got {describe_received(wrong)}")
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self.ids) < len(self.tokens):
            twice = next(token for token, n in Counter(self.tokens).items() if n > 1)
            raise ValueError(f"Vocabulary: the token {describe_received(twice)} occurs twice")
        self.level = level
        self.lower = lower
        self._how = level_named(level)

    @classmethod
    def count(
        cls,
        tokens: Iterable[str] | Mapping[str, int],
        minimum_count: int = 1,
        *,
        level: str = "word",
        lower: bool = False,
    ) -> Vocabulary:
        """The vocabulary of a text, most frequent tokens first, ties in alphabetical order.

        Args:
            tokens: A text, as ``tokenize`` returns it, or the number of each token in a dict; whole
                texts raise a TypeError.
            minimum_count: The least frequency of a token; rarer ones are ``<unk>``.
            level, lower: As ``tokenize`` was called.
        """
        check_int("Vocabulary", "minimum_count", minimum_count)
        if isinstance(tokens, str) and level != "character":
            raise TypeError(
                f"Vocabulary.count: tokens must be a list of tokens, got the text "
                f"{describe_received(tokens)}; write Vocabulary.count(tokenize(text))"
            )
        counts = Counter(check_items("Vocabulary.count", "tokens", tokens, "a list of tokens"))
        texts = [token for token in counts if is_text(token, level)]
        if len(texts) * 2 > len(counts):
            raise TypeError(
                f"Vocabulary.count: tokens must be a list of tokens, got texts as "
                f"{describe_received(texts[0])}; write Vocabulary.count(token for text in texts "
                f"for token in tokenize(text{how_called(level)}))"
            )
        for special in SPECIALS:
            counts.pop(special, None)
        kept = [token for token, n in counts.items() if n >= minimum_count]
        kept.sort(key=lambda token: (-counts[token], token))
        return cls(kept, level=level, lower=lower)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments; the tokens also where they were given as a string."""
        return super().arguments() | {"tokens": self.tokens}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self.ids

    def __repr__(self) -> str:
        lower = ", lower=True" if self.lower else ""
        return f"Vocabulary({len(self):,} tokens, level={self.level!r}{lower})"

    def encode(self, text: str | Iterable[str], start: bool = False, end: bool = False) -> Ids:
        """The ids of a text, or of tokens: (time,).

        Args:
            text: A string, or its tokens; a list of texts raises a TypeError.
            start: Whether to prepend ``<s>``.
            end: Whether to append ``</s>``.
        """
        if isinstance(text, str):
            tokens = self._how.tokens(text.lower() if self.lower else text)
        else:
            what = "a string, or a list of tokens"
            tokens = list(check_items("Vocabulary.encode", "text", text, what))
            for token in tokens:
                if token not in self.ids and is_text(token, self.level):
                    raise TypeError(
                        f"Vocabulary.encode: text must be {what}, got {describe_received(token)} "
                        "as a token; write [vocabulary.encode(text) for text in texts]"
                    )
        edges = [self.start] * start, [self.end] * end
        return np.array([*edges[0], *self.lookup(tokens), *edges[1]], np.int64)

    def lookup(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens, ``unknown`` for those that are not in the vocabulary."""
        return [self.ids.get(token, self.unknown) for token in tokens]

    def decode(self, ids: Any) -> str:
        """The text of ids, (time,): sequences become paragraphs, and ``<unk>`` is kept."""
        array = class_ids(ids, len(self), "Vocabulary.decode", "tokens")
        if array.ndim != 1:
            raise ValueError(f"Vocabulary.decode: ids must be (time,), got {array.shape}")
        parts: list[list[str]] = [[]]
        for i in array.tolist():
            if i == self.end:
                parts.append([])
            elif i != self.start:
                parts[-1].append(self.tokens[i])
        while len(parts) > 1 and not parts[-1]:
            parts.pop()
        return "\n\n".join(self._how.join(part) for part in parts)


def is_text(token: Any, level: str) -> bool:
    """Whether something that is given as a token is a text of several.

    No word has a space, and no character is longer than one; what a regular expression matches can
    be anything.
    """
    if not isinstance(token, str):
        return False
    if level == "character":
        return len(token) > 1 and token not in SPECIALS
    return level == "word" and len(token.split()) > 1


def how_called(level: str) -> str:
    """The argument of ``tokenize`` for a level, in a message."""
    return "" if level == "word" else f", {level!r}"
