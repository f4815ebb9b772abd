"""A text as ids in three parts: read, counted and numbered in one pass.

The ids of a large text are in a file beside the training, mapped into memory: what is held is the
part that is being read. They are made once, and found again by the training that resumes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..files import DAMAGED, load_described, named_errors, save_described, write_atomically
from ..models import Vocabulary, hold_out, text_blocks, token_blocks
from .options import Tokens
from .terminal import note

Ids = NDArray[Any]

DEVELOPMENT = 0.06  # of what is not held out: enough to see when to stop
MOST_DEVELOPMENT = 1 << 18  # tokens: their mean loss is known to a hundredth
LARGE = 8 << 20  # bytes of text from which on the ids are in a file
PIECE = 1 << 16  # ids that are converted at once
PAUSE = 5.0  # seconds between two reports of progress
FORMAT, VERSION = "unspool text", 2


class TextParts(NamedTuple):
    """A text in three contiguous parts, as ids.

    Attributes:
        vocabulary: That of what is not held out.
        train, development, held_out: The parts, (time,) each.
        before: All that is not held out.
    """

    vocabulary: Vocabulary
    train: Ids
    development: Ids
    held_out: Ids
    before: Ids


def split_text(text: str, tokens: Tokens, fraction: float) -> TextParts:
    """Hold out the end of a text, and before it a part for early stopping."""
    lines = (match.group() for match in re.finditer(r"[^\n]*\n|[^\n]+", text))
    return split_blocks(lines, tokens, fraction)


def split_files(
    files: Sequence[Path], encoding: str, tokens: Tokens, fraction: float, folder: Path
) -> TextParts:
    """``split_text`` of the text in files; the ids are in a file in ``folder``.

    That they are of these files and options is what the folder's ``config.json`` says. Ids that
    are damaged are made anew.
    """
    ids, about = folder / "ids.npy", folder / "text.npz"
    found = None
    if ids.exists() and about.exists():
        try:
            found = prepared(ids, about)
        except DAMAGED as error:
            note(f"the text is prepared anew: {error}")
    if found is None:
        about.unlink(missing_ok=True)  # without it the ids count for nothing
        before = stamps_of(files)
        blocks = with_progress(read_files(files, encoding), size_of(files))
        found = count_and_encode(blocks, tokens, fraction, ids)
        if stamps_of(files) != before:
            raise ValueError("the text was changed while it was read; begin again")
        header = {"vocabulary": found[0].to_config(), "checksum": checksum_of(found[1])}
        save_described(about, FORMAT, VERSION, header, {})
    return in_parts(*found, fraction)


def prepared(ids: Path, about: Path) -> tuple[Vocabulary, Ids]:
    """The vocabulary and the ids of a text that was prepared; ValueError if they are damaged."""
    header, _ = load_described(about, FORMAT, VERSION)
    mapped = np.load(ids, mmap_mode="r", allow_pickle=False)
    if checksum_of(mapped) != header.get("checksum"):
        raise ValueError(f"{ids} is damaged, its checksum is not that of {about}")
    return Vocabulary.from_config(header["vocabulary"]), mapped


def checksum_of(ids: Ids) -> int:
    """A CRC-32 of ids, piece by piece."""
    found = 0
    for begin in range(0, len(ids), PIECE):
        found = zlib.crc32(ids[begin : begin + PIECE].tobytes(), found)
    return found


def stamps_of(files: Iterable[Path]) -> list[tuple[int, int]]:
    """What changes with the content of files: their sizes, and when they were last written to."""
    return [(found.st_size, found.st_mtime_ns) for found in map(Path.stat, files)]


def check_regular(files: Iterable[Path]) -> None:
    """Raise ValueError for a pipe or a device, which can be read only once."""
    for path in files:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ValueError(
                f"{path}: it is a pipe or a device, and a training reads its files again where it "
                "is resumed; write its content to a file"
            )


def size_of(files: Iterable[Path]) -> int:
    """The size of files in bytes; of those that are not there 0."""
    return sum(path.stat().st_size for path in files if path.is_file())


def read_files(files: Sequence[Path], encoding: str) -> Iterator[str]:
    """The files as one text, in blocks; a blank line stands between two of them."""
    for i, path in enumerate(files):
        if i:
            yield "\n\n"
        yield from text_blocks(path, encoding)


def with_progress(blocks: Iterable[str], size: int) -> Iterator[str]:
    """Blocks of a text, and every few seconds a line that says how many were read."""
    read, shown = 0, time.monotonic()
    for block in blocks:
        yield block
        read += len(block)
        if time.monotonic() - shown > PAUSE:
            shown = time.monotonic()
            note(f"read {read / 1e6:,.0f} of at most {size / 1e6:,.0f} million characters")


def split_blocks(blocks: Iterable[str], tokens: Tokens, fraction: float) -> TextParts:
    """``split_text`` of a text in blocks."""
    return in_parts(*count_and_encode(blocks, tokens, fraction), fraction)


def count_and_encode(
    blocks: Iterable[str], tokens: Tokens, fraction: float, path: Path | None = None
) -> tuple[Vocabulary, Ids]:
    """The vocabulary of a text, counted on what is not held out, and the ids of its tokens.

    Args:
        blocks: The text.
        tokens: What a token is, and how frequent those of the vocabulary are.
        fraction: The part that is held out.
        path: The file for the ids; None for an array in memory.
    """
    # The number of each token, in the order of their first occurrence.
    numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    numbered = Numbered(path)
    try:
        stream = itertools.chain.from_iterable(token_blocks(blocks, tokens.level, tokens.lower))
        found = map(numbers.__getitem__, stream)
        while len(piece := np.fromiter(itertools.islice(found, PIECE), np.int64)):
            numbered.add(piece)
        if not numbers:
            raise ValueError("the text is empty: there is no token in it")
        size = len(numbered)
        cut = size - round(size * fraction)
        counts = numbered.counts(cut, len(numbers))
        counted = {token: int(n) for token, n in zip(numbers, counts, strict=True) if n}
        vocabulary = Vocabulary.count(
            counted, tokens.minimum_count, level=tokens.level, lower=tokens.lower
        )
        ids = [vocabulary.ids.get(token, vocabulary.unknown) for token in numbers]
        return vocabulary, numbered.as_ids(np.array(ids), len(vocabulary))
    finally:
        numbered.close()


class Numbered:
    """The numbers of a text's tokens, in memory or in a file, a byte each as long as they fit."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.runs: dict[np.dtype[Any], int] = {np.dtype(np.uint8): 0}  # how many have which type
        self.file: IO[bytes] = io.BytesIO()
        if path is not None:
            self.name = path.with_name(f".{path.name}.numbers.part")
            self.file = open(self.name, "w+b")  # noqa: SIM115

    def __len__(self) -> int:
        return sum(self.runs.values())

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Append the numbers of a piece of text."""
        dtype = np.promote_types([*self.runs][-1], np.min_scalar_type(numbers.max()))
        self.runs[dtype] = self.runs.get(dtype, 0) + len(numbers)
        with named_errors(self.path):
            self.file.write(numbers.astype(dtype).tobytes())

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The numbers, piece by piece."""
        self.file.seek(0)
        for dtype, count in self.runs.items():
            for begin in range(0, count, PIECE):
                size = min(PIECE, count - begin) * dtype.itemsize
                yield np.frombuffer(self.file.read(size), dtype)

    def counts(self, before: int, most: int) -> NDArray[np.int64]:
        """How often each number below ``most`` occurs before a position."""
        found, position = np.zeros(most, np.int64), 0
        for piece in self:
            found += np.bincount(piece[: max(before - position, 0)], minlength=most)
            position += len(piece)
        return found

    def as_ids(self, ids: NDArray[np.int64], most: int) -> Ids:
        """The ids of all tokens, given that of each number.

        In a file they take as few bytes as the vocabulary allows.
        """
        if self.path is None:
            found, begin = np.empty(len(self), np.int64), 0
            for piece in self:
                found[begin : begin + len(piece)] = ids[piece]
                begin += len(piece)
            return found
        dtype = np.min_scalar_type(max(most - 1, 0))

        def write(file: Any) -> None:
            header = {"descr": dtype.str, "fortran_order": False, "shape": (len(self),)}
            np.lib.format.write_array_header_1_0(file, header)
            for piece in self:
                file.write(ids[piece].astype(dtype).tobytes())

        write_atomically(self.path, write)
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    def close(self) -> None:
        """Remove the file of numbers."""
        with contextlib.suppress(OSError):  # of a full disk, which was reported before
            self.file.close()
        if self.path is not None:
            self.name.unlink(missing_ok=True)


def in_parts(vocabulary: Vocabulary, ids: Ids, fraction: float) -> TextParts:
    """Ids in three parts; a text that is too short for them raises a ValueError."""
    try:
        before, after = hold_out(ids, fraction)
        train, development = hold_out(before, min(DEVELOPMENT, MOST_DEVELOPMENT / len(before)))
        enough = all(predicted(part, vocabulary) for part in (train, development, after))
    except ValueError:
        enough = False
    if not enough:
        raise ValueError(
            f"{len(ids)} tokens are too few to train on, to see when to stop "
            f"({DEVELOPMENT:.0%}), and to hold out ({fraction:.0%}); give a longer text"
        )
    return TextParts(vocabulary, train, development, after, before)


def count_of(ids: Ids, value: int) -> int:
    """How often an id occurs, counted piece by piece."""
    pieces = (ids[begin : begin + PIECE] for begin in range(0, len(ids), PIECE))
    return sum(int(np.count_nonzero(piece == value)) for piece in pieces)


def predicted(ids: Ids, vocabulary: Vocabulary) -> int:
    """The number of tokens of a text that count: all but the first and <s>, which are given."""
    return len(ids[1:]) - count_of(ids[1:], vocabulary.start)
