"""Corpora: plain, labelled and tagged text from files and tables, NLTK's corpora, and downloads.

A labelled corpus is ``(sequences, labels)``. A tagged corpus is a list per column, as ``(words,
tags)``, of a list per sentence. All files are read by ``text_blocks``: any line ends, with or
without a byte order mark, lines of any length.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import itertools
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from ...checks import (
    check_choice,
    check_float,
    check_items,
    check_path,
    describe_received,
    import_extra,
    shown,
)
from ...files import PathLike, write_atomically
from .complaints import check_classes, number_cure
from .encodings import SAMPLE, guess_encoding

__all__ = [
    "conll2000",
    "download",
    "hold_out",
    "labelled_rows",
    "load_folder",
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


def lines_of(path: PathLike, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a file without their ends, read in blocks; the last one may be empty."""
    begun: list[str] = []  # of a line that reaches over several blocks
    for block in text_blocks(path, encoding, size=1 << 16):
        first, *others = block.split("\n")
        begun.append(first)
        if others:
            yield "".join(begun)
            yield from others[:-1]
            begun = others[-1:]
    yield "".join(begun)


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
                with open(path, "rb") as again:
                    guess = guess_encoding(again.read(SAMPLE))
                raise ValueError(
                    f"{path}: not {encoding} text{place}; give its encoding, which looks like "
                    f"encoding={guess!r}, or convert it to UTF-8"
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


# Tagged text ------------------------------------------------------------------------------------

# The columns of CoNLL-U by name; a line "# global.columns = ..." gives others (CoNLL-U Plus).
CONLLU = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
COLUMNS_LINE = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
# Where tokens are numbered: a range such as 1-2, an empty node such as 2.1, a comment by columns.
NO_WORD = re.compile(r"\d+[-.]\d+|#.*")
DOCUMENT = "-DOCSTART-"
BLANK = " \t\r\v\f"

Column = int | str


class Line(NamedTuple):
    """A line of a tagged text: its number in the file, its text and its columns."""

    number: int
    text: str
    fields: list[str]


def load_tagged(
    path: PathLike,
    columns: Sequence[Column] | None = None,
    *,
    separator: str | None = "\t",
    encoding: str = "utf-8",
) -> tuple[Sentences, ...]:
    """Tagged text: a token per line in columns, with a blank line between sentences.

    Blanks around a column are removed. These are no tokens, and are left out: comments, which begin
    with ``#`` and have no columns; ranges (``1-2``) and empty nodes (``2.1``) of CoNLL-U, where the
    tokens are numbered; ``-DOCSTART-`` of CoNLL-2003.

    Args:
        path: The file.
        columns: Which columns to read, counted from 0; -1 is the last. Names are those of CoNLL-U,
            as "FORM" and "UPOS", or of the file's line ``# global.columns``. None reads words and
            tags: FORM and UPOS of a ``.conllu``, else (0, 1).
        separator: Between columns: a tab, or None for any white space.
        encoding: Of the file.

    Returns:
        For each of the columns the sentences, a list of strings each. A line that lacks a column
        raises a ValueError with the line's number.

    Source: CoNLL-U, universaldependencies.org/format; CoNLL-2000 (Tjong Kim Sang and Buchholz
    2000); CoNLL-2003 (Tjong Kim Sang and De Meulder 2003).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "tagged.tsv")
        ...     _ = path.write_text("The\\tDET\\ncat\\tNOUN\\n\\nGo\\tVERB\\n")
        ...     load_tagged(path)
        ([['The', 'cat'], ['Go']], [['DET', 'NOUN'], ['VERB']])
    """
    if columns is None:
        columns = ("FORM", "UPOS") if Path(path).suffix.lower() == ".conllu" else (0, 1)
    if not len(columns):
        raise ValueError("load_tagged: columns must be numbers of columns, as in (0, 1)")
    found: tuple[Sentences, ...] = tuple([] for _ in columns)
    known: dict[str, str] = {}  # words and tags, each of them once in memory
    places, named = list[int](), tuple[str, ...]()
    for names, lines in tagged_sentences(path, separator, encoding):
        if names != named:
            places, named = [place_of(path, column, names) for column in columns], names
        kept = tokens_of(lines, places)
        if kept:
            for place, sentence in zip(places, found, strict=True):
                fields = (field_of(path, line, place, separator) for line in kept)
                sentence.append([known.setdefault(field, field) for field in fields])
    if not found[0]:
        raise ValueError(f"{path}: there is no token in it")
    if any(map(numbered, found[0])) and all(numbered(words, least=1) for words in found[0]):
        raise ValueError(
            f"{path}: column {columns[0]} holds the numbers of the tokens, 1, 2, ...; expected "
            "words, which CoNLL-U has in column 1: columns=(1, ...)"
        )
    return found


def tagged_sentences(
    path: PathLike, separator: str | None, encoding: str
) -> Iterator[tuple[tuple[str, ...], list[Line]]]:
    """The names of the columns, and the lines without comments, of each sentence."""
    names, lines = CONLLU, list[Line]()
    for number, text in enumerate(lines_of(path, encoding), 1):
        if not text.strip():
            yield names, lines
            lines = []
        elif not is_comment(text, separator, begun=bool(lines)):
            fields = [field.strip(BLANK) for field in text.split(separator)]
            lines.append(Line(number, text, fields))
        elif given := COLUMNS_LINE.match(text):
            names = tuple(given[1].split())
    yield names, lines


def is_comment(line: str, separator: str | None, begun: bool) -> bool:
    """Whether a line is a comment: ``# key = value`` before a sentence, or # without columns."""
    if not line.startswith("#"):
        return False
    if not begun and re.match(r"#\s*\S+ = ", line):
        return True
    return separator is not None and separator not in line and not re.match(r"#\S", line)


def tokens_of(lines: list[Line], places: Sequence[int]) -> list[Line]:
    """The lines of a sentence that are tokens."""
    lines = [line for line in lines if line.fields[0] != DOCUMENT]
    words = [line for line in lines if not NO_WORD.fullmatch(line.fields[0])]
    counted = 0 not in places and numbered([line.fields[0] for line in words], least=1)
    return words if counted else lines


def numbered(words: Sequence[str], least: int = 2) -> bool:
    """Whether these are the numbers 1, 2, 3, ..."""
    return len(words) >= least and all(word == str(i) for i, word in enumerate(words, 1))


def place_of(path: PathLike, column: Column, names: Sequence[str]) -> int:
    """The number of a column, given by its number or name."""
    if not isinstance(column, str):
        return column
    by_name = {name.upper(): place for place, name in reversed([*enumerate(names)])}
    if column.upper() not in by_name:
        raise ValueError(f"{path}: there is no column {column!r}; it has {', '.join(names)}")
    return by_name[column.upper()]


def field_of(path: PathLike, line: Line, place: int, separator: str | None) -> str:
    """A column of a line; a ValueError if it lacks it."""
    fields = line.fields
    if -len(fields) <= place < len(fields) and fields[place]:
        return fields[place]
    between = "white space" if separator is None else repr(separator)
    cure = ""
    if separator is not None and len(line.text.split()) > len(fields):
        cure = f", and {len(line.text.split())} by white space (separator=None)"
    raise ValueError(
        f"{path}, line {line.number}: there is no column {place}; it has {len(fields)} separated "
        f"by {between}{cure}: {shown(repr(line.text))}"
    )


# Labelled text ----------------------------------------------------------------------------------

# Names that stand above columns of texts and labels; a file that begins with one has a header.
HEADINGS = {
    *("category", "class", "comment", "content", "gold", "label", "labels", "message", "polarity"),
    *("rating", "review", "sentence", "sentiment", "stars", "tag", "target", "text", "title"),
    *("topic", "tweet"),
}


def load_labelled(
    path: PathLike,
    label: Column = 0,
    text: Column = 1,
    *,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
) -> tuple[list[str], list[str]]:
    """Labelled texts: a line each, ``label<TAB>text``; or a ``.csv`` with columns and quotes.

    Args:
        path: The file.
        label: The column of the label: its number, counted from 0, or its name in the header.
        text: The column of the text; as the last one of a tab-separated file it may hold tabs.
        separator: Between columns; None for a tab, in a ``.csv`` for a comma, or for a semicolon
            where its first line has no comma.
        header: Whether the first line names the columns; None refuses a first line that looks so.
        encoding: Of the file.

    Returns:
        ``(texts, labels)``. A line without a label or a text raises a ValueError with the line's
        number.
    """
    if label == text or any(isinstance(column, int) and column < 0 for column in (label, text)):
        raise ValueError(
            "load_labelled: label and text must be names of columns, or two columns from 0 on, "
            f"got {label!r} and {text!r}"
        )
    comma = Path(path).suffix.lower() == ".csv"
    held = None if Path(path).is_file() else [*lines_of(path, encoding)]  # a pipe is read once
    between = separator or usual_separator(next(iter(held or lines_of(path, encoding))), comma)

    def rows(skip: int = 0) -> Rows:
        """The rows, read from the file each time: a large one is not held."""
        lines = held or lines_of(path, encoding)
        found = quoted_rows(path, lines, between) if comma else plain_rows(lines, between)
        return itertools.islice(found, skip, None)

    names = [field.strip() for _, fields in itertools.islice(rows(), 1) for field in fields]
    places = [header_place(path, column, names) for column in (label, text)]
    named = isinstance(label, str) or isinstance(text, str)
    if header is None and not named:
        check_no_header(path, rows(), places[0], between.join(names))
    skip = 1 if header or named else 0
    # Where all rows have the same number of columns, those behind the text are columns.
    tabs = not comma and places[1] > places[0] and len({len(f) for _, f in rows(skip)}) > 1
    texts, labels, known = list[str](), list[str](), dict[str, str]()  # a label is held once
    for number, fields in rows(skip):
        of_label, of_text = cells_at(fields, places, between if tabs else None)
        if not of_label or not of_text:
            raise ValueError(
                f"{path}, line {number}: expected a label in column {label} and a text in column "
                f"{text}, separated by {between!r}; got {between.join(fields)[:60]!r}"
            )
        texts.append(of_text)
        labels.append(known.setdefault(of_label, of_label))
    check_classes(path, texts, known, label, text)
    return texts, labels


def cells_at(fields: Sequence[str], places: Sequence[int], between: str | None) -> list[str]:
    """A row's label and text, stripped; empty ones where the row is too short.

    With ``between`` the text takes all fields that follow, joined by it.
    """
    if between is not None and len(fields) > places[1]:
        fields = [*fields[: places[1]], between.join(fields[places[1] :])]
    whole = len(fields) > max(places)
    return [fields[place].strip() if whole else "" for place in places]


def check_no_header(path: PathLike, rows: Rows, label: int, first: str) -> None:
    """Raise ValueError if the first line looks like the names of the columns."""
    if looks_like_header(rows, label):
        raise ValueError(
            f"{path}: its first line, {first[:60]!r}, looks like the names of the columns; write "
            "header=True, or header=False if it is a text"
        )


def usual_separator(first: str, comma: bool) -> str:
    """A tab, or in a .csv a comma, where its first line has none and has semicolons one."""
    if not comma:
        return "\t"
    return ";" if "," not in first and ";" in first else ","


Rows = Iterator[tuple[int, list[str]]]  # number of the line, columns


def quoted_rows(path: PathLike, lines: Iterable[str], separator: str) -> Rows:
    """The rows of a .csv, whose quoted fields may hold separators and line ends."""
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator, strict=True)
    longest = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the module's own is 131,072
    try:
        for row in reader:
            if "".join(row).strip():
                yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(longest)


def plain_rows(lines: Iterable[str], separator: str) -> Rows:
    """The rows of lines without quotes; blank lines are left out."""
    return ((n, line.split(separator)) for n, line in enumerate(lines, 1) if line.strip())


def header_place(path: PathLike, column: Column, names: list[str]) -> int:
    """The number of a column, given by its number or by its name in the header."""
    if not isinstance(column, str):
        return column
    lowered = [name.lower() for name in names]
    if column.lower() not in lowered:
        raise ValueError(
            f"{path}: there is no column {column!r}; its first line names "
            f"{', '.join(map(repr, names))[:200]}"
        )
    return lowered.index(column.lower())


def looks_like_header(rows: Rows, label: int) -> bool:
    """Whether the first row has a column's usual name, and a label that no other row has."""
    lowered = ([field.strip().lower() for field in fields] for _, fields in rows)
    first = next(lowered, [])
    if len(first) <= label or not HEADINGS & {*first}:
        return False
    others = [row[label] == first[label] for row in lowered if len(row) > label]
    return len(others) > 0 and not any(others)


def load_folder(path: PathLike, encoding: str = "utf-8") -> tuple[list[str], list[str]]:
    """Labelled texts in a folder: a subfolder for each class, or a file for each class.

    In a subfolder each file is a text. Where there is no subfolder each line of a file is a text;
    files that differ only in the ending are classes by their whole names. Left out are a README,
    hidden files and what systems add (``.DS_Store``, ``__MACOSX``, ``Thumbs.db``).

    Args:
        path: The folder.
        encoding: Of the files.

    Returns:
        ``(texts, labels)``. A folder without text raises a ValueError.
    """
    members = visible(check_path("load_folder", "path", path))
    if not members:
        raise ValueError(f"{path}: the folder is empty; expected a subfolder or a file a class")
    found: list[tuple[str, str]] = []
    folders = [member for member in members if member.is_dir()]
    for folder in folders:
        files = (member for member in visible(folder) if member.is_file())
        found += [(load_text(file, encoding).strip(), folder.name) for file in files]
    if not folders:
        stems = [member.stem for member in members]
        for file in members:  # rt-polarity.pos and rt-polarity.neg are two classes
            label = file.stem if stems.count(file.stem) == 1 else file.name
            lines = (line.strip() for line in lines_of(file, encoding))
            found += [(line, label) for line in lines if line]
    if not found:
        raise ValueError(f"{path}: there is no text in its folders")
    return [text for text, _ in found], [label for _, label in found]


def visible(folder: Path) -> list[Path]:
    """The members of a folder that somebody put there, sorted."""
    added = (".", "__MACOSX", "Thumbs.db", "desktop.ini", "README")
    return sorted(member for member in folder.iterdir() if not member.name.startswith(added))


def labelled_rows(
    table: Any, text: str = "text", label: str = "label"
) -> tuple[list[str], list[str]]:
    """Labelled texts of a table: a Hugging Face ``datasets.Dataset``, or a pandas frame.

    Anything whose ``table[name]`` is a column serves. Ids of a ``ClassLabel`` become its names.

    Args:
        table: The table; of a DatasetDict one of its parts, as ``data["train"]``.
        text: The name of the column of texts.
        label: The name of the column of labels.

    Returns:
        ``(texts, labels)``. A missing value raises a ValueError that says where.
    """
    names = getattr(table, "column_names", None)
    names = getattr(table, "columns", names) if names is None else names
    if isinstance(names, dict) or (names is None and isinstance(table, dict)):
        parts = ", ".join(map(repr, names or table))
        raise ValueError(f"labelled_rows: expected one table, got {parts}; take table['train']")
    if names is None:
        raise TypeError(
            "labelled_rows: table must be a datasets.Dataset or a pandas DataFrame, got "
            f"{describe_received(table)}"
        )
    for column in (text, label):
        if column not in [*names]:
            raise ValueError(
                f"labelled_rows: there is no column {column!r}; the table has "
                f"{', '.join(map(repr, names))}; write text= and label="
            )
    texts = list_of_texts("labelled_rows", text, table[text])
    classes = getattr((getattr(table, "features", None) or {}).get(label), "names", None)
    labels = [
        classes[value] if classes and isinstance(value, int) else value for value in table[label]
    ]
    for row, value in enumerate(labels):
        if value is None or value != value:  # NaN, as pandas has it for a missing one
            raise ValueError(f"labelled_rows: {label!r} has no value in row {row}; remove the row")
    return texts, [str(value) for value in labels]


def list_of_texts(who: str, name: str, texts: Any) -> list[str]:
    """Texts as a list: from a list, a pandas Series, a column of a dataset, or an array.

    A string, a whole table and a value that is no text raise an error that says what to write.
    """
    if isinstance(texts, str):
        raise TypeError(f"{who}: {name} must be a list of texts, got one text; write [text]")
    if isinstance(texts, dict) or hasattr(texts, "columns") or hasattr(texts, "column_names"):
        raise TypeError(
            f"{who}: {name} must be a list of texts, got {describe_received(texts)}; take the "
            'column, as in table["text"]'
        )
    found = list(check_items(who, name, texts, "a list of texts"))
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(
                f"{who}: {name} must be a list of texts, got {describe_received(text)} at {i}"
                f"{number_cure(name, text)}"
            )
    return found


# Downloads --------------------------------------------------------------------------------------


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


def conll2000(part: str = "train") -> tuple[Sentences, Sentences, Sentences]:
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
