"""Word vectors that others have trained: GloVe's and word2vec's text files."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..networks.layers import Embedding
from .text import Vocabulary

__all__ = ["align_vectors", "embedding_from", "load_vectors"]

PathLike = str | os.PathLike[str]


def load_vectors(
    path: PathLike, words: Iterable[str] | None = None, *, dtype: Any = np.float32
) -> dict[str, NDArray[Any]]:
    """The vectors of words, from a text file: ``word v1 v2 ... vd`` a line.

    The first line may be word2vec's header, the number of words and d. A file whose name ends in
    ``.gz`` is unpacked on the way. Where a word stands twice, its first vector counts.

    Args:
        path: The file, in UTF-8.
        words: Which words to keep, so that a large file does not fill the memory; None for all.
        dtype: Of the vectors.

    Returns:
        From words to vectors (d,).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, cut off or no text; or a line has too many or too few numbers, or
            something else: the message has its number.

    Source: Pennington, Socher and Manning (2014); Mikolov et al. (2013).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "vectors.txt")
        ...     _ = path.write_text("cat 0.5 1\\ndog 0.25 1\\n")
        ...     load_vectors(path, ["dog"])
        {'dog': array([0.25, 1.  ], dtype=float32)}
    """
    wanted = None if words is None else set(words)
    found: dict[str, NDArray[Any]] = {}
    promised = None
    d = count = 0
    with opened(path) as lines:
        for number, line in enumerate(lines, 1):
            fields = line.rstrip(" \n").split(" ")
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
            f"{path}: its first line promises {promised} words, but there are {count}; it is cut "
            "off, or was put together wrongly"
        )
    return found


@contextmanager
def opened(path: PathLike) -> Iterator[IO[str]]:
    """A text file to be read line by line, unpacked if it is a ``.gz``."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of vectors")
    open_text = gzip.open if path.suffix == ".gz" else open
    try:
        # A line ends with \n alone: there are words with other line ends in them.
        with open_text(path, "rt", encoding="utf-8", newline="\n") as file:
            yield file
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 text; of word2vec's files the ones in text format are read"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a readable .gz file, or cut off: {error}") from error


def with_spaces(fields: list[str], d: int) -> list[str]:
    """The word with the spaces in it as one field, where what is too much is no number."""
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
    """A matrix with a row for each word of a vocabulary: what an Embedding begins with.

    A word without a vector of its own has that of its small letters; one without this either
    gets random numbers, normal with a standard deviation of 0.1.

    Args:
        vectors: From words to vectors (d,), such as ``load_vectors`` returns.
        vocabulary: A Vocabulary, or the words by id.
        rng: A Generator, a seed, or None.

    Returns:
        The matrix (words, d), of the vectors' dtype, and booleans (words,): which were found.

    Raises:
        ValueError: There is no vector, or they differ in shape.

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
    random = np.random.default_rng(rng).standard_normal((len(words), *shapes[0])) * 0.1
    matrix = random.astype(np.result_type(*{np.asarray(v).dtype for v in vectors.values()}))
    found = np.zeros(len(words), bool)
    for i, word in enumerate(words):
        vector = vectors.get(word, vectors.get(word.lower()))
        if vector is not None:
            matrix[i], found[i] = vector, True
    return matrix, found


def embedding_from(matrix: Any, *, frozen: bool = False) -> Embedding:
    """An Embedding that begins with given vectors.

    Args:
        matrix: (n, d), such as ``align_vectors`` returns; copied.
        frozen: Whether training leaves them as they are; ``unfreeze()`` lets it tune them.

    Raises:
        ValueError: The matrix has other axes, or holds NaN or infinity.
        TypeError: It holds no floats.
    """
    array = np.asarray(matrix)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"embedding_from: expected a matrix (n, d), got {array.shape}")
    if array.dtype.kind != "f":
        raise TypeError(f"embedding_from: expected floats, got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("embedding_from: the matrix holds NaN or infinity")
    made = Embedding(*array.shape, rng=0, dtype=array.dtype)
    made.E.data[...] = array
    return made.freeze() if frozen else made
