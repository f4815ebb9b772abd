"""Pretrained word vectors: text files of GloVe, word2vec and fastText."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...checks import check_dtype, check_rng
from ...files import PathLike
from .vocabulary import Vocabulary

LONGEST_LINE = 1 << 20  # characters
SMALL, MOST_PACKED = 1 << 22, 16  # characters in all; and as a multiple of the file's bytes


def load_vectors(
    path: PathLike,
    words: Iterable[str] | None = None,
    *,
    dtype: Any = np.float32,
    encoding: str = "utf-8",
) -> dict[str, NDArray[Any]]:
    """The vectors in a text file of lines ``word v1 v2 ... vd``.

    The first line may be the header of word2vec and fastText, the number of words and d. A ``.gz``
    file is decompressed. Of a word that occurs twice, the first vector is used.

    Args:
        path: The file.
        words: The words to keep, to save memory; None for all.
        dtype: Of the vectors.
        encoding: Of the file.

    Returns:
        Vectors (d,) by word. A malformed line raises a ValueError with the line's number.

    Source: Pennington, Socher and Manning (2014); Mikolov et al. (2013); Bojanowski et al. (2017).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "vectors.txt")
        ...     _ = path.write_text("cat 0.5 1\\ndog 0.25 1\\n")
        ...     load_vectors(path, ["dog"])
        {'dog': array([0.25, 1.  ], dtype=float32)}
    """
    check_dtype("load_vectors", dtype)
    wanted = None if words is None else set(words)
    found: dict[str, NDArray[Any]] = {}
    promised = None
    d = count = 0
    with opened(path, encoding) as file:
        for number, line in enumerate(lines_of(path, file), 1):
            line = line.removeprefix("\ufeff") if number == 1 else line
            fields = line.replace("\t", " ").rstrip(" \r\n").split(" ")
            if number == 1 and len(fields) == 2 and all(f.isdecimal() for f in fields):
                promised, d = (int(field) for field in fields)
                continue
            d = d or len(fields) - 1
            count += 1
            if len(fields) > d + 1:
                fields = with_spaces(fields, d)
            if len(fields) != d + 1 or not d:
                raise ValueError(
                    f"{path}, line {number}: expected a word and {d or 'its'} numbers, got "
                    f"{line.strip()[:60]!r}"
                )
            word = fields[0]
            if word in found or (wanted is not None and word not in wanted):
                continue
            try:
                vector = np.array([float(field) for field in fields[1:]], dtype)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}, {word!r}: {error}") from error
            if not np.isfinite(vector).all():
                raise ValueError(f"{path}, line {number}: the vector of {word!r} is not finite")
            found[word] = vector
    if not count:
        raise ValueError(f"{path}: there is no vector in it")
    if promised is not None and promised != count:
        raise ValueError(
            f"{path}: its first line promises {promised} words, but there are {count}; it is "
            "truncated or malformed"
        )
    return found


def lines_of(path: PathLike, file: IO[str]) -> Iterator[str]:
    """The lines of a file of vectors: of bounded length, and together of bounded size.

    A ``.gz`` of real vectors shrinks to a third. Of zeros it could shrink a thousandfold.
    """
    most = max(SMALL, MOST_PACKED * Path(path).stat().st_size)
    read = number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        read += len(line)
        if len(line) == LONGEST_LINE and not line.endswith("\n"):
            raise ValueError(
                f"{path}, line {number}: it is longer than {LONGEST_LINE:,} characters; expected a "
                "word and its numbers"
            )
        if read > most:
            raise ValueError(
                f"{path}: it unpacks to more than {MOST_PACKED} times its size; unpack it first"
            )
        yield line


@contextmanager
def opened(path: PathLike, encoding: str) -> Iterator[IO[str]]:
    """Open a text file, decompressed if it is a ``.gz``."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of vectors")
    open_text = gzip.open if path.suffix == ".gz" else open
    try:
        # Lines end with \n only: some words contain other line ends.
        with open_text(path, "rt", encoding=encoding, newline="\n") as file:
            yield file
    except LookupError as error:
        raise ValueError(f"{path}: {error}; write the encoding as in utf-8 or latin-1") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not {encoding} text; convert word2vec's binary format to its text format, "
            "or give the encoding, as in encoding='latin-1'"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a readable .gz file, or truncated: {error}") from error


def with_spaces(fields: list[str], d: int) -> list[str]:
    """Join the leading fields of a word with spaces, if one of the surplus fields is no number."""
    for field in fields[1:-d]:
        try:
            float(field)
        except ValueError:
            continue
        return fields
    return [" ".join(fields[:-d]), *fields[-d:]]


def align_vectors(
    vectors: Mapping[str, Any], vocabulary: Vocabulary | Iterable[str], *, rng: Any = None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Initial vectors for an Embedding: a matrix with a row for each word of a vocabulary.

    A word without a vector gets that of the lowercased word; if there is none either, normal
    random numbers with standard deviation 0.1.

    Args:
        vectors: Vectors (d,) by word, as ``load_vectors`` returns.
        vocabulary: A Vocabulary, or the words by id.

    Returns:
        The matrix (words, d) in the vectors' dtype, and booleans (words,): which were found.

    Example:
        >>> vectors = {"cat": np.array([0.5, 1.0])}
        >>> matrix, found = align_vectors(vectors, ["<unk>", "Cat"], rng=0)
        >>> matrix[1], found
        (array([0.5, 1. ]), array([False,  True]))
    """
    words = vocabulary.tokens if isinstance(vocabulary, Vocabulary) else tuple(vocabulary)
    shapes = sorted({np.shape(vector) for vector in vectors.values()})
    if len(shapes) != 1 or len(shapes[0]) != 1:
        raise ValueError(
            "align_vectors: expected vectors (d,) of one width, got "
            + (f"the shapes {shapes[:5]}" if vectors else "none")
        )
    random = check_rng("align_vectors", rng).standard_normal((len(words), *shapes[0])) * 0.1
    matrix = random.astype(np.result_type(*{np.asarray(v).dtype for v in vectors.values()}))
    found = np.zeros(len(words), bool)
    for i, word in enumerate(words):
        vector = vectors.get(word, vectors.get(word.lower()))
        if vector is not None:
            matrix[i], found[i] = vector, True
    return matrix, found
