"""Tokens of a text: words, characters, or the matches of a regular expression.

A text becomes one stream of tokens in which each paragraph stands between ``<s>`` and ``</s>``
(a text of characters is one sequence). ``<s>`` is an input and never predicted.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ...checks import check_bool, check_text, describe_received
from .patterns import may_explode

UNKNOWN, START, END = "<unk>", "<s>", "</s>"
SPECIALS = (UNKNOWN, START, END)

# A word that a corpus left out (the Penn Treebank, WikiText), and WikiText's @-@ in a word; a word
# with inner apostrophes, hyphens and dots; an empty call; an operator such as ``<=``; or a run of
# one punctuation mark: 40 asterisks under a heading are one token, not 39 easy guesses.
# An operator is looked for where a run of its signs begins: a run without = is read once.
WORD = r"<unk>|@[-.,]@|\w+(?:['.-]\w+)*|\(\)|(?<![!<>:+*/%&|^@-])[!<>:+*/%&|^@-]+=+|([^\w\s])\1*"
# An emoji with its modifiers and joined emoji, or two letters that form a flag.
EMOJI = (
    "[\U0001f1e6-\U0001f1ff]{2}"
    r"|[^\w\s](?:[\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d[^\w\s])+"
)
OPERATOR = re.compile(r"\.\.+|[!:]+=+|::")
OPENING_DOUBLE = re.compile(r'(?<![^\s(\[{])"')
OPENING_SINGLE = re.compile(r"(?<![^\s(\[{“])'(?=\S)")
LONE_SINGLE = re.compile(r"(?<!\w)'|'(?!\w)")
BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
LINES = re.compile(r"[^\n]*\n|[^\n]+")


@functools.cache
def word_pattern(ascii_only: bool) -> re.Pattern[str]:
    """WORD; for texts that are not ASCII also EMOJI and the marks that ``\\w`` lacks.

    Python's ``\\w`` matches letters and digits, but neither combining accents, nor the vowel signs
    of Devanagari or Thai, nor the joiners within words.
    """
    if ascii_only:
        return re.compile(WORD)
    marks = "".join(c for c in map(chr, range(0x20000)) if unicodedata.category(c)[0] == "M")
    return re.compile(EMOJI + "|" + WORD.replace(r"\w+", rf"\w[\w\u200c\u200d{marks}]*"))


def normal_form(text: str) -> str:
    """A text in Unicode's normal form C, in linear time.

    The accents of one letter are sorted in quadratic time; of more than 30, which no language has,
    each 30 are sorted by themselves (as in Unicode's stream-safe format, UAX #15).
    """
    if text.isascii():
        return text
    pieces = accents().split(text)
    for i, piece in enumerate(pieces):
        step = 30 if i % 2 else max(len(piece), 1)
        parts = (piece[begin : begin + step] for begin in range(0, len(piece), step))
        pieces[i] = "".join(unicodedata.normalize("NFC", part) for part in parts)
    return "".join(pieces)


@functools.cache
def accents() -> re.Pattern[str]:
    """More than 30 accents behind each other."""
    found = "".join(c for c in map(chr, range(0x20000)) if unicodedata.combining(c))
    return re.compile(f"([{found}]{{31,}})")


def words(text: str) -> list[str]:
    """The words and punctuation marks of a text, in any script.

    ``<unk>``, as corpora write a word that they left out, is one token. Straight quotation marks
    become opening and closing ones, by the character before them (as in the Penn Treebank);
    apostrophes become straight; the text is in Unicode's normal form C.

    Example:
        >>> words("Don't panic (naïve): x <= 3.5")
        ["Don't", 'panic', '(', 'naïve', ')', ':', 'x', '<=', '3.5']
    """
    text = normal_form(text)
    text = OPENING_DOUBLE.sub("“", text).replace('"', "”")
    text = OPENING_SINGLE.sub("‘", text.replace("’", "'"))
    text = LONE_SINGLE.sub("’", text)
    return [match.group() for match in word_pattern(text.isascii()).finditer(text)]


def characters(text: str) -> list[str]:
    """The characters of a text, including white space."""
    return list(text)


def join_words(tokens: Iterable[str]) -> str:
    """Words as a line of text, with spaces as in English: the inverse of ``words``.

    Example:
        >>> join_words(['(', 'see', 'below', ')', ',', 'the', '“', 'with', '”', 'statement', '.'])
        '(see below), the “with” statement.'
    """
    pieces: list[str] = []
    opened = True  # whether the next token follows without a space
    for token in filter(None, tokens):
        closing = token == "()" or (token[0] in ".,;:!?)]}%…»”’" and not OPERATOR.fullmatch(token))
        pieces.append(token if opened or closing else f" {token}")
        opened = token[-1] in "([{«“‘"
    return "".join(pieces)


def paragraphs(text: str) -> list[str]:
    """The parts of a text between blank lines."""
    return [part for part in BLANK_LINES.split(text.strip()) if part]


class Level(NamedTuple):
    """A tokeniser: text to sequences, a sequence to tokens, and tokens to text."""

    sequences: Callable[[str], list[str]]
    tokens: Callable[[str], list[str]]
    join: Callable[[Iterable[str]], str]


LEVELS = {
    "word": Level(paragraphs, words, join_words),
    "character": Level(lambda text: [text], characters, "".join),
}


def level_named(name: str) -> Level:
    """A tokeniser by name: one of LEVELS, or ``re:`` and a regular expression for a token."""
    check_text("tokenize", "level", name)
    if name in LEVELS:
        return LEVELS[name]
    if not name.startswith("re:"):
        raise ValueError(
            f"level must be one of {', '.join(LEVELS)}, or re: and a regular expression; "
            f"got {describe_received(name)}"
        )
    try:
        pattern = re.compile(name.removeprefix("re:"))
    except re.error as error:
        raise ValueError(
            f"level {describe_received(name)} is no valid regular expression: {error}"
        ) from error
    if may_explode(pattern.pattern):
        raise ValueError(
            f"level {describe_received(name)} can take exponential time, as a text can be read by "
            "it in many ways: leave out a + or * inside of another, conditions and the flag x"
        )

    def tokens(text: str) -> list[str]:
        return [match.group() for match in pattern.finditer(text) if match.group()]

    return Level(paragraphs, tokens, " ".join)


def tokenize(text: str, level: str = "word", lower: bool = False) -> list[str]:
    """A text as one stream of tokens, each of its sequences between ``<s>`` and ``</s>``.

    Args:
        text: The text.
        level: "word" (a sequence is a paragraph), "character" (the text is one sequence), or
            "re:" and a regular expression that matches a token of a paragraph.
        lower: Whether to lowercase the text.

    Example:
        >>> tokenize("A title\\n\\nA line.", lower=True)
        ['<s>', 'a', 'title', '</s>', '<s>', 'a', 'line', '.', '</s>']
        >>> tokenize("#b and @c", "re:[#@][a-z]+")
        ['<s>', '#b', '@c', '</s>']
    """
    how = level_named(level)
    check_text("tokenize", "text", text)
    check_bool("tokenize", "lower", lower)
    stream: list[str] = []
    for part in how.sequences(text.lower() if lower else text):
        tokens = how.tokens(part)
        if tokens:
            stream += [START, *tokens, END]
    if not stream:
        raise ValueError("the text is empty: there is no token in it")
    return stream


def token_blocks(
    blocks: Iterable[str], level: str = "word", lower: bool = False
) -> Iterator[list[str]]:
    """The tokens of a text that comes in blocks, as ``text_blocks`` gives them, block by block.

    Together they are those of ``tokenize``.

    Args:
        blocks: A text in parts, each of which ends where a line, or else a word, ends.
        level, lower: As in ``tokenize``. A paragraph is held in memory as a whole where a token is
            the match of a regular expression, as that could reach across lines.

    Example:
        >>> [*token_blocks(["A title\\n\\nA", " line."])]
        [['<s>', 'A', 'title', '</s>'], ['<s>', 'A'], ['line', '.'], ['</s>']]
    """
    how = level_named(level)
    begun = False
    whole = level not in LEVELS
    parts = ((block, False) for block in blocks)
    for part, ends in parts if level == "character" else paragraph_parts(blocks, whole):
        tokens = how.tokens(part.lower() if lower else part)
        if tokens and not begun:
            begun, tokens = True, [START, *tokens]
        if begun and ends:
            begun, tokens = False, [*tokens, END]
        if tokens:
            yield tokens
    if begun:
        yield [END]


def paragraph_parts(blocks: Iterable[str], whole: bool) -> Iterator[tuple[str, bool]]:
    """Paragraphs, or their parts of whole lines, each with whether its paragraph ends with it."""
    lines: list[str] = []
    at_start = True  # of a line
    ended = False  # a blank line has followed
    for block in blocks:
        for line in (match.group() for match in LINES.finditer(block)):
            if at_start and line.isspace():
                ended = bool(lines)
            else:
                if ended:
                    yield "".join(lines).removesuffix("\n"), True
                    lines, ended = [], False
                lines.append(line if lines else line.lstrip())
            at_start = line.endswith("\n")
        if lines and not whole and not ended:
            yield "".join(lines), False
            lines = [""]  # the paragraph goes on
    if lines:
        yield "".join(lines).rstrip(), True
