"""Text to ids and back: tokens, vocabularies, and the batches that a model reads.

A text becomes one stream of tokens in which each paragraph stands between ``<s>`` and ``</s>``
(a text of characters is one sequence). ``<s>`` is given, never predicted, so that no model gains
by the easiest guess there is.
"""

from __future__ import annotations

import codecs
import functools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "END",
    "LEVELS",
    "START",
    "UNKNOWN",
    "Level",
    "Vocabulary",
    "characters",
    "hold_out",
    "join_words",
    "load_text",
    "pad_sequences",
    "paragraphs",
    "python_manual",
    "stream_batches",
    "tokenize",
    "words",
]

Ids = NDArray[np.int64]

UNKNOWN, START, END = "<unk>", "<s>", "</s>"
SPECIALS = (UNKNOWN, START, END)

# A word with the apostrophes, hyphens and dots inside of it; an empty call; an operator such as
# ``<=``; or a run of one punctuation mark: the line of 40 asterisks under a heading is one token,
# not 39 easy guesses.
WORD = r"\w+(?:['.-]\w+)*|\(\)|[!<>:+*/%&|^@-]+=+|([^\w\s])\1*"
# An emoji with what modifies it or is joined to it, or two letters that are a flag.
EMOJI = (
    "[\U0001f1e6-\U0001f1ff]{2}"
    r"|[^\w\s](?:[\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d[^\w\s])+"
)
OPERATOR = re.compile(r"\.\.+|[!:]+=+|::")
OPENING_DOUBLE = re.compile(r'(?<![^\s(\[{])"')
OPENING_SINGLE = re.compile(r"(?<![^\s(\[{“])'(?=\S)")
LONE_SINGLE = re.compile(r"(?<!\w)'|'(?!\w)")
BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


# Tokens -----------------------------------------------------------------------------------------


@functools.cache
def word_pattern(ascii_only: bool) -> re.Pattern[str]:
    """WORD, for texts in any script also with EMOJI and the marks that ``\\w`` leaves out.

    Python's ``\\w`` has letters and digits, but neither accents that are characters of their own
    nor the vowel signs of Devanagari or Thai, nor the joiners within words.
    """
    if ascii_only:
        return re.compile(WORD)
    marks = "".join(c for c in map(chr, range(0x20000)) if unicodedata.category(c)[0] == "M")
    return re.compile(EMOJI + "|" + WORD.replace(r"\w+", rf"\w[\w\u200c\u200d{marks}]*"))


def words(text: str) -> list[str]:
    """The words and punctuation marks of a text, in any script.

    Straight quotation marks become opening and closing ones by what stands before them (as in
    the Penn Treebank), so that a model can tell them apart; apostrophes become straight, and
    letters that can be written in several ways take Unicode's normal form C.

    Example:
        >>> words("Don't panic (naïve): x <= 3.5")
        ["Don't", 'panic', '(', 'naïve', ')', ':', 'x', '<=', '3.5']
    """
    text = unicodedata.normalize("NFC", text)
    text = OPENING_DOUBLE.sub("“", text).replace('"', "”")
    text = OPENING_SINGLE.sub("‘", text.replace("’", "'"))
    text = LONE_SINGLE.sub("’", text)
    return [match.group() for match in word_pattern(text.isascii()).finditer(text)]


def characters(text: str) -> list[str]:
    """The characters of a text, white space included."""
    return list(text)


def join_words(tokens: Iterable[str]) -> str:
    """Words as a line of text: the spaces that ``words`` dropped, put where English has them.

    Example:
        >>> join_words(['(', 'see', 'below', ')', ',', 'the', '“', 'with', '”', 'statement', '.'])
        '(see below), the “with” statement.'
    """
    pieces: list[str] = []
    opened = True  # whether the next token follows without a space
    for token in tokens:
        closing = token == "()" or (token[0] in ".,;:!?)]}%…»”’" and not OPERATOR.fullmatch(token))
        pieces.append(token if opened or closing else f" {token}")
        opened = token[-1] in "([{«“‘"
    return "".join(pieces)


def paragraphs(text: str) -> list[str]:
    """The parts of a text between blank lines."""
    return [part for part in BLANK_LINES.split(text.strip()) if part]


class Level(NamedTuple):
    """What a token is: how a text is taken apart into sequences and tokens, and put together."""

    sequences: Callable[[str], list[str]]
    tokens: Callable[[str], list[str]]
    join: Callable[[Iterable[str]], str]


LEVELS = {
    "word": Level(paragraphs, words, join_words),
    "character": Level(lambda text: [text], characters, "".join),
}


def level_named(name: str) -> Level:
    """One of LEVELS, or after ``re:`` a regular expression, whose matches are the tokens."""
    if name in LEVELS:
        return LEVELS[name]
    if not name.startswith("re:"):
        raise ValueError(
            f"level is one of {', '.join(LEVELS)}, or re: and a regular expression, got {name!r}"
        )
    try:
        pattern = re.compile(name.removeprefix("re:"))
    except re.error as error:
        raise ValueError(f"level {name!r} is no regular expression: {error}") from error

    def tokens(text: str) -> list[str]:
        return [match.group() for match in pattern.finditer(text) if match.group()]

    return Level(paragraphs, tokens, " ".join)


def tokenize(text: str, level: str = "word", lower: bool = False) -> list[str]:
    """A text as one stream of tokens, each of its sequences between ``<s>`` and ``</s>``.

    Args:
        text: The text.
        level: "word" (a sequence is a paragraph), "character" (the text is one sequence), or
            "re:" and a regular expression, whose matches are the tokens of a paragraph.
        lower: Whether capitals become small letters.

    Raises:
        ValueError: ``level`` is none of these, or there is no token in the text.

    Example:
        >>> tokenize("A title\\n\\nA line.", lower=True)
        ['<s>', 'a', 'title', '</s>', '<s>', 'a', 'line', '.', '</s>']
        >>> tokenize("#b and @c", "re:[#@][a-z]+")
        ['<s>', '#b', '@c', '</s>']
    """
    how = level_named(level)
    stream: list[str] = []
    for part in how.sequences(text.lower() if lower else text):
        tokens = how.tokens(part)
        if tokens:
            stream += [START, *tokens, END]
    if not stream:
        raise ValueError("the text is empty: there is no token in it")
    return stream


# Texts ------------------------------------------------------------------------------------------


def load_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """The text of a file; any end of line becomes ``\\n``, a byte order mark is dropped.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, is empty, or is not in this encoding.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: a folder, where a text file is expected")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such text file")
    try:
        text = codecs.decode(path.read_bytes(), encoding)
    except LookupError as error:
        raise ValueError(f"{path}: {error}; write the encoding as in utf-8 or latin-1") from error
    except UnicodeError as error:
        place = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise ValueError(
            f"{path}: not {encoding} text{place}; convert it to UTF-8, or give its encoding"
        ) from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{path}: the file is empty, there is no text to read")
    return text


def python_manual() -> str:
    """The language reference that Python carries for its ``help()``: some 65,000 words.

    Raises:
        FileNotFoundError: This Python was installed without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise FileNotFoundError(
            "this Python was installed without its manual (pydoc_data.topics); give a text file"
        ) from error
    return "\n\n".join(topics.values())


def hold_out(sequence: Any, fraction: float = 0.1) -> tuple[Any, Any]:
    """A sequence in two: the beginning, and its contiguous last part.

    A split that picks lines here and there would leave near-copies of what is held out in the
    rest.

    Args:
        sequence: Anything that can be sliced: tokens, ids, a text.
        fraction: How much is held out, between 0 and 1.

    Raises:
        ValueError: The fraction is not between 0 and 1, or one of the parts would be empty.

    Example:
        >>> hold_out("abcdefghij", 0.2)
        ('abcdefgh', 'ij')
    """
    if not 0 < fraction < 1:
        raise ValueError(f"hold_out: the fraction is between 0 and 1, got {fraction}")
    cut = len(sequence) - round(len(sequence) * fraction)
    if not 0 < cut < len(sequence):
        raise ValueError(
            f"hold_out: {len(sequence)} items are too few to hold {fraction:g} of them out"
        )
    return sequence[:cut], sequence[cut:]


# Vocabularies -----------------------------------------------------------------------------------


class Vocabulary:
    """Tokens and their ids.

    ``<unk>`` (0) stands for every token that is not here, ``<s>`` (1) begins a sequence,
    ``</s>`` (2) ends it; the others follow.

    Args:
        tokens: The tokens by id, from 3 on, or with the three special ones in front.
        level: What a text is cut into: "word", "character" or a regular expression, as in
            ``tokenize``.
        lower: Whether capitals become small letters.

    Attributes:
        tokens: All tokens, by id.
        unknown: The id of ``<unk>``.
        start: The id of ``<s>``.
        end: The id of ``</s>``.

    Raises:
        ValueError: A token stands twice, or ``level`` is none of these.

    Example:
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
        given = tuple(tokens)
        self.tokens = given if given[: len(SPECIALS)] == SPECIALS else (*SPECIALS, *given)
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self.ids) < len(self.tokens):
            twice = next(token for token, n in Counter(self.tokens).items() if n > 1)
            raise ValueError(f"Vocabulary: the token {twice!r} stands in it twice")
        self.level = level
        self.lower = lower
        self._how = level_named(level)

    @classmethod
    def count(
        cls,
        tokens: Iterable[str],
        minimum_count: int = 1,
        *,
        level: str = "word",
        lower: bool = False,
    ) -> Vocabulary:
        """The vocabulary of a stream of tokens, the most frequent first, then by the alphabet.

        Args:
            tokens: A text as ``tokenize`` returns it.
            minimum_count: How often a token must occur; rarer ones are ``<unk>``.
            level: As ``tokenize`` was called.
            lower: As ``tokenize`` was called.

        Raises:
            ValueError: ``minimum_count`` is below 1.
        """
        if minimum_count < 1:
            raise ValueError(f"Vocabulary: minimum_count is 1 or more, got {minimum_count}")
        counts = Counter(tokens)
        for special in SPECIALS:
            counts.pop(special, None)
        kept = [token for token, n in counts.items() if n >= minimum_count]
        kept.sort(key=lambda token: (-counts[token], token))
        return cls(kept, level=level, lower=lower)

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
            text: A string, which is cut into tokens, or the tokens.
            start: Whether to put ``<s>`` in front.
            end: Whether to put ``</s>`` behind.
        """
        if isinstance(text, str):
            tokens: Iterable[str] = self._how.tokens(text.lower() if self.lower else text)
        else:
            tokens = text
        ids = [self.ids.get(token, self.unknown) for token in tokens]
        return np.array([self.start] * start + ids + [self.end] * end, np.int64)

    def decode(self, ids: Any) -> str:
        """The text of ids, (time,): sequences become paragraphs, ``<unk>`` stays to be seen.

        Raises:
            ValueError: An id is outside of the vocabulary, or there is more than one axis.
            TypeError: The ids are not integers.
        """
        array = np.asarray(ids)
        if array.ndim != 1:
            raise ValueError(f"Vocabulary.decode: ids are (time,), got {array.shape}")
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"Vocabulary.decode: ids are integers, got {array.dtype}")
        parts: list[list[str]] = [[]]
        for i in array.tolist():
            if not 0 <= i < len(self):
                raise ValueError(f"Vocabulary.decode: id {i} is outside of 0..{len(self) - 1}")
            if i == self.end:
                parts.append([])
            elif i != self.start:
                parts[-1].append(self.tokens[i])
        return "\n\n".join(self._how.join(part) for part in parts).rstrip("\n")


# Batches ----------------------------------------------------------------------------------------


def pad_sequences(
    sequences: Iterable[Any],
    length: int | None = None,
    *,
    padding: str = "post",
    truncating: str = "post",
    value: int = 0,
) -> Ids:
    """Sequences of ids as one array, the shorter ones filled up.

    Args:
        sequences: (time,) each; or (time, columns), with as many columns in each.
        length: The length of all; that of the longest if None.
        padding: Where the filling goes: "post" behind (as ``lengths`` wants it), "pre" in front.
        truncating: Where too long a sequence is cut: "post" or "pre".
        value: The filling.

    Returns:
        (batch, length), or (batch, length, columns).

    Raises:
        ValueError: ``padding`` or ``truncating`` is none of these, or a sequence is of another
            shape than the others.
        TypeError: A sequence holds no integers.

    Example:
        >>> pad_sequences([[5, 6, 7], [8]])
        array([[5, 6, 7],
               [8, 0, 0]])
        >>> pad_sequences([[5, 6, 7], [8]], 2, padding="pre", truncating="pre")
        array([[6, 7],
               [0, 8]])
    """
    for name, choice in (("padding", padding), ("truncating", truncating)):
        if choice not in ("pre", "post"):
            raise ValueError(f'pad_sequences: {name} is "pre" or "post", got {choice!r}')
    rows = [np.asarray(sequence) for sequence in sequences]
    for i, row in enumerate(rows):
        if row.ndim < 1 or row.shape[1:] != rows[0].shape[1:]:
            raise ValueError(
                "pad_sequences: sequences are (time,), or (time, columns) with as many columns in "
                f"each; sequence {i} is {row.shape}, sequence 0 {rows[0].shape}"
            )
        if row.size and row.dtype.kind not in "iu":
            raise TypeError(f"pad_sequences: sequence {i} holds {row.dtype}, expected integers")
    if length is None:
        length = max(map(len, rows), default=0)
    elif length < 0:
        raise ValueError(f"pad_sequences: length is 0 or more, got {length}")
    columns = rows[0].shape[1:] if rows else ()
    out = np.full((len(rows), length, *columns), value, np.int64)
    for i, row in enumerate(rows):
        kept = row[:length] if truncating == "post" else row[max(len(row) - length, 0) :]
        if padding == "post":
            out[i, : len(kept)] = kept
        else:
            out[i, length - len(kept) :] = kept
    return out


def one_text(who: str, ids: Any) -> NDArray[Any]:
    """The ids of one text as an array; a list of sequences is refused."""
    if isinstance(ids, (list, tuple)) and ids and np.ndim(ids[0]):
        raise ValueError(
            f"{who}: expected the ids of one text, (time,), got sequences; np.concatenate(ids) "
            "makes one text of them, and the task Sequences(ids) learns from each"
        )
    return np.asarray(ids)


def stream_batches(ids: Any, batch: int, steps: int) -> Iterator[tuple[Ids, Ids | None]]:
    """A long text as batches for truncated backpropagation through time.

    The text is cut into ``batch`` rows of equal length, which are read side by side, ``steps``
    predictions at a time. Each chunk begins with the token with which the one before ended, and
    so does each row: every token but the first is predicted once.

    Args:
        ids: (time,).
        batch: How many rows; fewer where the text is too short for that many.
        steps: How many predictions a chunk has; the last one may have fewer.

    Yields:
        (ids, lengths): ids (batch, up to steps + 1), and lengths (batch,) where the last row
        is shorter than the others, else None.

    Raises:
        ValueError: ``batch`` or ``steps`` is below 1, or there are fewer than 2 ids.

    Example:
        >>> for chunk, lengths in stream_batches(range(8), batch=2, steps=3):
        ...     print(chunk.tolist(), lengths)
        [[0, 1, 2, 3], [4, 5, 6, 7]] None
        [[3, 4], [7, 0]] [2 1]
    """
    array = one_text("stream_batches", ids)
    if batch < 1 or steps < 1:
        raise ValueError(f"stream_batches: batch and steps are 1 or more, got {batch} and {steps}")
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"stream_batches: ids are (time,) of at least 2, got {array.shape}")
    predicted = len(array) - 1
    width = -(-predicted // batch)
    count = -(-predicted // width)
    rows = pad_sequences([array[r * width : (r + 1) * width + 1] for r in range(count)], width + 1)
    ends = np.full(count, width + 1)
    ends[-1] = predicted - (count - 1) * width + 1
    for begin in range(0, width, steps):
        chunk = rows[:, begin : begin + steps + 1]
        lengths = np.clip(ends - begin, 0, chunk.shape[1])
        yield chunk, (None if (lengths == chunk.shape[1]).all() else lengths)
