"""Corpora: plain, labelled and tagged text from files, NLTK's corpora, and downloads.

A labelled corpus is ``(sequences, labels)``. A tagged corpus is a list per column, as ``(words,
tags)``, of a list per sentence.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from ...checks import check_choice, check_float, check_path, import_extra
from ...files import PathLike, write_atomically

__all__ = [
    "conll2000",
    "download",
    "hold_out",
    "load_labelled",
    "load_tagged",
    "load_text",
    "movie_reviews",
    "names",
    "python_manual",
    "sentence_polarity",
    "treebank",
]

Sentences = list[list[str]]
BLOCK = 1 << 20  # bytes that are read at once


# Files ------------------------------------------------------------------------------------------


def load_text(path: PathLike, encoding: str = "utf-8") -> str:
    """The text of a file; line ends become ``\\n``, a byte order mark is dropped.

    A missing file raises FileNotFoundError; an empty one, a folder, and a file in another encoding
    ValueError.
    """
    return "".join(text_blocks(path, encoding))


def text_blocks(path: PathLike, encoding: str = "utf-8", size: int = BLOCK) -> Iterator[str]:
    """The text of a file in blocks, for texts that are large: joined they are ``load_text``'s.

    A block ends with a line, or where a line is long with a word, if it can.

    Args:
        path: The file.
        encoding: Of the file.
        size: Of what is read at once, in bytes.
    """
    path = check_path("load_text", "path", path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, expected a text file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such text file")
    empty, rest = True, ""
    for text in decoded(path, encoding, size):
        rest += text
        end = rest.rfind("\n") + 1 or (rest.rfind(" ") + 1 if len(rest) > 4 * size else 0)
        if end or len(rest) > 8 * size:
            block, rest = rest[: end or len(rest)], rest[end or len(rest) :]
            empty = empty and not block.strip()
            yield block
    if empty and not rest.strip():
        raise ValueError(f"{path}: the file is empty, there is no text to read")
    if rest:
        yield rest


def decoded(path: Path, encoding: str, size: int) -> Iterator[str]:
    """A file's text, line ends as ``\\n``, without a byte order mark."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding)  # refuses codecs that give no text
        decoder = codecs.getincrementaldecoder(encoding)()
    except LookupError as error:
        raise ValueError(f"{path}: {error}; write the encoding as in utf-8 or latin-1") from error
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    read, first = 0, True
    with open(path, "rb") as file:
        while True:
            data = file.read(size)
            kept = len(decoder.getstate()[0])
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeError as error:
                place = ""
                if isinstance(error, UnicodeDecodeError):
                    place = f" at byte {read - kept + error.start}"
                raise ValueError(
                    f"{path}: not {encoding} text{place}; convert it to UTF-8, or give its encoding"
                ) from error
            read += len(data)
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            yield lines.decode(text, final=not data)
            if not data:
                return


def python_manual() -> str:
    """The language reference in Python's own ``help()``: some 65,000 words.

    A Python that was installed without it raises FileNotFoundError.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise FileNotFoundError(
            "this Python was installed without its manual (pydoc_data.topics); give a text file"
        ) from error
    return "\n\n".join(topics.values())


def hold_out(sequence: Any, fraction: float = 0.1) -> tuple[Any, Any]:
    """Split a sequence: the beginning, and a contiguous last part that is held out.

    A random choice of lines would leave near-copies of held-out lines in the training data.

    Args:
        sequence: Anything that can be sliced: tokens, ids, a text.
        fraction: The held-out fraction, between 0 and 1.

    Example:
        >>> hold_out("abcdefghij", 0.2)
        ('abcdefgh', 'ij')
    """
    check_float("hold_out", "fraction", fraction, above=0, below=1)
    cut = len(sequence) - round(len(sequence) * fraction)
    if not 0 < cut < len(sequence):
        raise ValueError(
            f"hold_out: {len(sequence)} items are too few to hold out {fraction:g} of them"
        )
    return sequence[:cut], sequence[cut:]


def load_tagged(
    path: PathLike,
    columns: Sequence[int] = (0, 1),
    *,
    separator: str | None = "\t",
    encoding: str = "utf-8",
) -> tuple[Sentences, ...]:
    """Tagged text: a token per line in columns, with a blank line between sentences.

    Lines that begin with ``# `` and have no tab are comments, as in CoNLL-U.

    Args:
        path: The file.
        columns: Which columns to read, counted from 0; -1 is the last.
        separator: Between columns: a tab, or None for any white space.
        encoding: Of the file.

    Returns:
        For each of the columns the sentences, a list of strings each. A line that lacks a column
        raises a ValueError with the line's number.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "tagged.tsv")
        ...     _ = path.write_text("The\\tDET\\ncat\\tNOUN\\n\\nGo\\tVERB\\n")
        ...     load_tagged(path)
        ([['The', 'cat'], ['Go']], [['DET', 'NOUN'], ['VERB']])
    """
    if not len(columns):
        raise ValueError("load_tagged: columns must be numbers of columns, as in (0, 1)")
    found: tuple[Sentences, ...] = tuple([[]] for _ in columns)
    for number, line in enumerate(load_text(path, encoding).split("\n"), 1):
        fields = line.split(separator)
        if not line.strip():
            if found[0][-1]:
                for sentences in found:
                    sentences.append([])
            continue
        if separator is not None and line.startswith("# ") and separator not in line:
            continue
        for column, sentences in zip(columns, found, strict=True):
            if not -len(fields) <= column < len(fields) or not fields[column].strip():
                between = "white space" if separator is None else repr(separator)
                cure = ""
                if separator is not None and len(line.split()) > len(fields):
                    cure = f", and {len(line.split())} by white space (separator=None)"
                raise ValueError(
                    f"{path}, line {number}: there is no column {column}; it has {len(fields)} "
                    f"separated by {between}{cure}: {line[:60]!r}"
                )
            sentences[-1].append(fields[column])
    for sentences in found:
        if not sentences[-1]:
            del sentences[-1]
    if not found[0]:
        raise ValueError(f"{path}: there is no token in it")
    return found


def load_labelled(
    path: PathLike,
    label: int = 0,
    text: int = 1,
    *,
    separator: str | None = None,
    header: bool = False,
    encoding: str = "utf-8",
) -> tuple[list[str], list[str]]:
    """Labelled texts: a line each, ``label<TAB>text``; or a ``.csv`` with columns and quotes.

    Args:
        path: The file.
        label: The column of the label, counted from 0.
        text: The column of the text; as the last one of a tab-separated file it may hold tabs.
        separator: Between columns; None for a comma in a ``.csv``, else a tab.
        header: Whether the first line names the columns.
        encoding: Of the file.

    Returns:
        ``(texts, labels)``. A line without a label or a text raises a ValueError with the line's
        number.
    """
    if min(label, text) < 0 or label == text:
        raise ValueError(
            f"load_labelled: label and text must be two columns from 0 on, got {label} and {text}"
        )
    comma = Path(path).suffix.lower() == ".csv"
    separator = separator or ("," if comma else "\t")
    lines = load_text(path, encoding).split("\n")
    most = max(label, text)
    rows: list[tuple[int, list[str]]]
    if comma:
        reader = csv.reader((line + "\n" for line in lines), delimiter=separator, strict=True)
        rows = []
        try:
            rows += [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    else:
        rows = [(n, line.split(separator, most)) for n, line in enumerate(lines, 1)]
    texts, labels = [], []
    for number, fields in rows[1:] if header else rows:
        if not "".join(fields).strip():
            continue
        if len(fields) <= most or not fields[label].strip() or not fields[text].strip():
            raise ValueError(
                f"{path}, line {number}: expected a label in column {label} and a text in column "
                f"{text}, separated by {separator!r}; got {separator.join(fields)[:60]!r}"
            )
        labels.append(fields[label].strip())
        texts.append(fields[text].strip())
    if not texts:
        raise ValueError(f"{path}: there is no labelled text in it")
    return texts, labels


def download(url: str, path: PathLike, sha256: str, *, timeout: float = 60.0) -> Path:
    """Download a file, unless it exists; a file with another checksum is never written.

    Args:
        url: The address.
        path: The file to write.
        sha256: The expected checksum, 64 hexadecimal digits.
        timeout: In seconds.

    Raises:
        ValueError: The checksum differs from the file's.
        OSError: The download failed.
    """
    path, wanted = Path(path), sha256.lower()
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        raise ValueError(f"download: sha256 must be 64 hexadecimal digits, got {sha256!r}")
    if path.exists():
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != wanted:
            raise ValueError(
                f"{path} has the sha256 {found}, expected {wanted}; delete it to download it again"
            )
        return path

    def write(file: IO[bytes]) -> None:
        digest = hashlib.sha256()
        with urllib.request.urlopen(url, timeout=timeout) as source:
            while block := source.read(1 << 20):
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != wanted:
            raise ValueError(
                f"download: {url} has the sha256 {digest.hexdigest()}, expected {wanted}; it is "
                "another version, or damaged"
            )

    try:
        write_atomically(path, write)
    except urllib.error.URLError as error:
        raise OSError(f"download: {url} could not be fetched: {error.reason}") from error
    return path


# NLTK -------------------------------------------------------------------------------------------


def nltk_corpus(name: str) -> Any:
    """A corpus of NLTK; an error names the package to install or the corpus to download."""
    nltk = import_extra(f"the corpus {name} is read through NLTK", "data", "nltk")
    folders = [folder for folder in os.environ.get("NLTK_DATA", "").split(os.pathsep) if folder]
    nltk.data.path[:0] = [folder for folder in folders if folder not in nltk.data.path]
    try:
        corpus = getattr(nltk.corpus, name)
        corpus.ensure_loaded()
    except LookupError as error:
        raise FileNotFoundError(
            f"NLTK's corpus {name} is not here; run python -m nltk.downloader {name}, or set "
            f"NLTK_DATA to the folder that has it (searched: {', '.join(nltk.data.path)})"
        ) from error
    return corpus


def by_label(labels: Iterable[str], items: Callable[[str], list[Any]]) -> tuple[Any, list[str]]:
    """The items of each label, and the labels, one an item."""
    pairs = [(item, label) for label in labels for item in items(label)]
    return [item for item, _ in pairs], [label for _, label in pairs]


def names() -> tuple[list[str], list[str]]:
    """First names, and "female" or "male" (Kantrowitz and Ross): 7,944, sorted by label."""
    words = nltk_corpus("names").words
    return by_label(
        ("female", "male"), lambda label: [name.strip() for name in words(f"{label}.txt")]
    )


def sentence_polarity() -> tuple[Sentences, list[str]]:
    """Sentences of film reviews as tokens, and "neg" or "pos" (Pang and Lee 2005): 10,662."""
    corpus = nltk_corpus("sentence_polarity")
    return by_label(
        corpus.categories(), lambda label: [list(s) for s in corpus.sents(categories=label)]
    )


def movie_reviews() -> tuple[Sentences, list[str]]:
    """Film reviews as tokens, and "neg" or "pos" (Pang and Lee 2004): 2,000."""
    corpus = nltk_corpus("movie_reviews")
    return by_label(
        corpus.categories(),
        lambda label: [list(corpus.words(name)) for name in corpus.fileids(label)],
    )


def conll2000(part: str) -> tuple[Sentences, Sentences, Sentences]:
    """Chunks of the Wall Street Journal (Tjong Kim Sang and Buchholz 2000).

    Args:
        part: "train" (8,936 sentences) or "test" (2,012).

    Returns:
        Words, parts of speech by a tagger, and chunk tags in IOB2.
    """
    check_choice("conll2000", "part", part, ("train", "test"))
    corpus = nltk_corpus("conll2000")
    words, tags, chunks = unzipped(corpus.iob_sents(f"{part}.txt"))
    return words, tags, chunks


def treebank() -> tuple[Sentences, Sentences]:
    """NLTK's sample of the Penn Treebank: 3,914 sentences, words and parts of speech.

    Empty elements, whose tag is ``-NONE-``, are left out.
    """
    corpus = nltk_corpus("treebank")
    sentences = ([pair for pair in s if pair[1] != "-NONE-"] for s in corpus.tagged_sents())
    words, tags = unzipped(s for s in sentences if s)
    return words, tags


def unzipped(sentences: Any) -> list[Sentences]:
    """The columns of sentences of (word, tag, ...)."""
    return [list(map(list, column)) for column in zip(*(zip(*s) for s in sentences if s))]
