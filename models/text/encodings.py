"""A guess at the encoding of a text, for the error that refuses bytes that are not UTF-8.

Text in a legacy encoding cannot be told with certainty, so a guess is only offered, never used.
"""

from __future__ import annotations

import re
from collections.abc import Callable

SAMPLE = 1 << 16  # bytes that are looked at
MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
KANA = re.compile("[\u3040-\u30ff]")
HANGUL = re.compile("[\uac00-\ud7a3]")
HAN = re.compile("[\u4e00-\u9fff]")
RUN = re.compile(rb"[\x80-\xff]+")


def guess_encoding(data: bytes) -> str:
    """The probable encoding of bytes that are not UTF-8, by Python's name.

    A byte order mark or the zeros of UTF-16; else by the bytes from 128 on: alone among ASCII
    letters they are accented letters of Western Europe, in long runs Cyrillic, or pairs of bytes
    of an East Asian encoding.

    Example:
        >>> guess_encoding("naïve café".encode("latin-1"))
        'cp1252'
        >>> guess_encoding("мама мыла раму".encode("cp1251"))
        'cp1251'
    """
    data = data[:SAMPLE]
    for mark, name in MARKS.items():
        if data.startswith(mark):
            return name
    if data.count(0) > len(data) // 5:
        return "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
    runs = RUN.findall(data)
    high = b"".join(runs)
    if len(high) < 2 * len(runs):  # most stand alone
        return "cp1252" if text_of(data, "cp1252") is not None else "latin-1"
    if (found := east_asian(data, len(high))) is not None:
        return found
    # Small letters are the frequent ones: in KOI8-R from C0 to DF, in Windows-1251 from E0 on.
    small = sum(0xC0 <= byte <= 0xDF for byte in high)
    return "koi8-r" if small > len(high) / 2 else "cp1251"


def text_of(data: bytes, encoding: str) -> str | None:
    """The text, or None where the bytes are not of this encoding; a cut end does not count."""
    for end in range(min(4, len(data))):
        try:
            return data[: len(data) - end].decode(encoding)
        except UnicodeDecodeError as error:
            if error.start < len(data) - 4:
                return None
    return None


def east_asian(data: bytes, high: int) -> str | None:
    """The encoding in which most characters are frequent ones of its language, or None."""

    def share(encoding: str, letters: re.Pattern[str], leads: range = range(256)) -> float:
        found = letters.findall(text_of(data, encoding) or "")
        return 2 * sum(letter.encode(encoding)[0] in leads for letter in found) / high

    # GB 2312 and Big5 begin with the frequent characters, where Windows-1251 has capitals.
    tests: list[tuple[str, Callable[[], bool]]] = [
        ("shift_jis", lambda: share("shift_jis", KANA) > 0.25 and share("euc_jp", KANA) < 0.25),
        ("euc_jp", lambda: share("euc_jp", KANA) > 0.25),
        ("cp949", lambda: share("euc_kr", HANGUL) > 0.7),
        ("gb18030", lambda: share("gb2312", HAN, range(0xB0, 0xD8)) > 0.6),
        ("big5", lambda: share("big5", HAN, range(0xA4, 0xC7)) > 0.6),
    ]
    return next((name for name, test in tests if test()), None)
