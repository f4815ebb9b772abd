"""Trainings in a folder: of classifiers, taggers and language models, from files of text.

A folder holds ``config.json`` (what the training is), ``checkpoint.npz`` (where it has come to),
``model.npz`` (the best model so far) and ``history.csv``. The same training begun again in the
same folder goes on; another one is refused.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import cells
from ..cells import Bidirectional, Module, Stacked, width_out
from ..files import PathLike, unfinished, write_atomically
from . import persist
from .networks.acceptor import Acceptor, BagClassifier, Classifier, TextCNN
from .networks.crf import CRF
from .networks.embeddings import CharacterEncoder, FeatureEmbedding
from .networks.language_model import LanguageModel
from .networks.layers import Embedding
from .networks.transducer import Transducer
from .text import (
    Features,
    Labelled,
    Labels,
    NGram,
    Vocabulary,
    align_vectors,
    hold_out,
    load_labelled,
    load_tagged,
    load_text,
    load_vectors,
    perplexity_of,
    predictions,
    tokenize,
)
from .text.batches import names_of
from .training import History, Stream, count_targets, evaluate, fit, save_history
from .training.checkpoint import differences
from .training.metrics import accuracy, span_f1, spans

__all__ = ["CELLS", "Folder", "make_classifier", "make_tagger", "network_named"]

Ids = NDArray[np.int64]
Sentences = list[list[str]]
CELLS: dict[str, Any] = {
    name.lower(): thing
    for name, thing in vars(cells).items()
    if isinstance(thing, type) and issubclass(thing, cells.GatedCell) and thing.gates
}


# The folder -------------------------------------------------------------------------------------


class Folder:
    """The folder of a training.

    Args:
        path: The folder; it is made if it is missing.
        config: What the training is: plain values by name.
        restart: Whether to begin anew, whatever there is.

    Attributes:
        model: The file of the best model.

    Raises:
        ValueError: It holds another training (what differs is named), or files that are none of
            a training's; or it cannot be written.
    """

    def __init__(self, path: PathLike, config: Mapping[str, Any], *, restart: bool = False) -> None:
        self.path = Path(path)
        self.model = self.path / "model.npz"
        self.checkpoint = self.path / "checkpoint.npz"
        self.history = self.path / "history.csv"
        described = {"format": "unspool training", **config}
        written = self.path / "config.json"
        files = [written, self.checkpoint, self.model, self.history]
        there = [file for file in files if file.exists()]
        for left in (part for file in there for part in unfinished(file)):
            left.unlink(missing_ok=True)
        if restart:
            for file in there:
                file.unlink()
        elif written in there:
            problems = differences(read_config(written), json.loads(json.dumps(described)))
            if problems:
                told = "; ".join(problems[:5]) + (
                    f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
                )
                raise ValueError(
                    f"{self.path}: another training is in this folder: {told}. "
                    "Give the options that it was begun with, another --out, or --restart to "
                    "begin anew"
                )
        elif there:
            raise ValueError(
                f"{there[0]} is in the way, and there is no config.json to say what of; give "
                "another --out, or --restart to write over it"
            )
        try:
            text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
            write_atomically(written, text)
        except OSError as error:
            raise ValueError(
                f"{self.path}: cannot be written ({error.strerror}); give a folder of yours"
            ) from error

    def fit(self, model: Module, task: Any, *args: Any, what: Any, **options: Any) -> History:
        """``fit``, going on from the checkpoint; the best model is kept in its file.

        Args:
            model, task, *args, **options: Of ``fit``.
            what: The keyword arguments of ``save_model``.
        """

        def save() -> None:
            try:
                persist.save_model(self.model, model, **what)
            except OSError as error:
                warnings.warn(
                    f"{self.model} was not written: {error.strerror or error}",
                    RuntimeWarning,
                    stacklevel=2,
                )

        try:
            history = fit(model, task, *args, checkpoint=self.checkpoint, save=save, **options)
        except ValueError as error:
            cure = "another --out, or --restart"
            text = str(error).replace("another checkpoint=, or resume=False", cure)
            raise ValueError(text) from error
        persist.save_model(self.model, model, **what)  # where this fails, it is an error
        save_history(self.history, history)
        return history


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of a training, or an error that says what is wrong with the file."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged, {error}; --restart begins anew") from error
    if not isinstance(config, dict) or config.get("format") != "unspool training":
        raise ValueError(f"{path} is of something else; give another --out")
    return config


def contents(paths: Iterable[PathLike]) -> list[str]:
    """Names, sizes and checksums of files, those in folders too."""
    found = []
    for path in map(Path, paths):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            data = file.read_bytes() if file.exists() else b""
            found.append(f"{file.name} ({len(data):,} bytes, checksum {zlib.crc32(data):08x})")
    return found


# Networks ---------------------------------------------------------------------------------------


def network_named(name: str, d_in: int, width: int, layers: int, dropout: float, rng: Any) -> Any:
    """A cell by its name in small letters, with "bi" in front in both directions; stacked."""
    both = name not in CELLS and name.startswith("bi")
    cell = CELLS[name.removeprefix("bi") if both else name]
    members: list[Any] = []
    for _ in range(layers):
        below = width_out(members[-1]) if members else d_in
        made = [cell(below, width, rng=rng) for _ in range(1 + both)]
        members.append(Bidirectional(*made) if both else made[0])
    return members[0] if layers == 1 else Stacked(members, dropout=dropout, rng=rng)


def begin_with_vectors(embedding: Embedding, words: Vocabulary, path: str, rng: Any) -> float:
    """Put pretrained vectors into an embedding; the share of the words that have one."""
    wanted = {*words.tokens, *(token.lower() for token in words.tokens)}
    vectors = load_vectors(path, wanted)
    if not vectors:
        raise ValueError(f"{path}: it has no vector of a word of the texts; is it of another kind?")
    matrix, found = align_vectors(vectors, words, rng=rng)
    if matrix.shape[1] != embedding.d:
        raise ValueError(
            f"{path}: its vectors are {matrix.shape[1]} wide, the embedding {embedding.d}; give "
            f"--embedding {matrix.shape[1]}"
        )
    embedding.E.data[...] = matrix
    return float(found.mean())


# Language models --------------------------------------------------------------------------------

DEVELOPMENT = 0.06  # of what is not held out: enough to see when to stop


class Texts(NamedTuple):
    """A text in three contiguous parts, as ids."""

    vocabulary: Vocabulary
    train: NDArray[np.int64]
    development: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @property
    def before(self) -> NDArray[np.int64]:
        """All that is not held out."""
        return np.concatenate([self.train, self.development])


def prepare(text: str, level: str, minimum_count: int, lower: bool, fraction: float) -> Texts:
    """Hold out the end of a text, and set apart what comes before it to see when to stop.

    The vocabulary is that of what is not held out.
    """
    tokens = tokenize(text, level, lower)
    try:
        before, after = hold_out(tokens, fraction)
        vocabulary = Vocabulary.count(before, minimum_count, level=level, lower=lower)
        train, development = hold_out(vocabulary.encode(before), DEVELOPMENT)
        parts = train, development, vocabulary.encode(after)
        enough = all(count_targets(ids[None], None, vocabulary.start) for ids in parts)
    except ValueError:
        enough = False
    if not enough:
        raise ValueError(
            f"{len(tokens)} tokens are too few to train on, to see when to stop "
            f"({DEVELOPMENT:.0%}), and to hold out ({fraction:.0%}); give a longer text"
        )
    return Texts(vocabulary, *parts)


def describe_texts(texts: Texts) -> str:
    """The sizes of the parts and of the vocabulary."""
    unknown = f"{np.mean(texts.held_out == texts.vocabulary.unknown):.1%}"
    return (
        f"vocabulary  {len(texts.vocabulary):,} tokens; {unknown} of those held out are <unk>\n"
        f"tokens      {len(texts.train):,} to train on, {len(texts.development):,} to see when to "
        f"stop, {len(texts.held_out):,} held out at the end"
    )


def baseline_table(texts: Texts) -> list[tuple[str, float]]:
    """The held-out perplexity of counting, on all that is not held out."""
    size, start = len(texts.vocabulary), texts.vocabulary.start
    return [
        (name, NGram(texts.before, size, order, start).perplexity(texts.held_out))
        for order, name in enumerate(("unigram", "bigram, Witten-Bell"), 1)
    ]


def compare_parts(texts: Texts) -> str:
    """Why the validation's perplexity is another: they are other pieces of the text."""
    bigram = NGram(texts.train, len(texts.vocabulary), 2, texts.vocabulary.start)
    there, here = (bigram.perplexity(part) for part in (texts.development, texts.held_out))
    return (
        "the validation perplexity is of another piece of the text: a bigram of the part to train\n"
        f"on has {there:.1f} there and {here:.1f} here"
    )


def held_out_perplexity(model: LanguageModel, texts: Texts) -> float:
    """The model's, read from the first token to the last, the state carried on."""
    task = Stream(texts.held_out, batch=1, steps=100, ignore=texts.vocabulary.start)
    return perplexity_of(evaluate(model, task))


# Labelled examples ------------------------------------------------------------------------------


class Examples(NamedTuple):
    """Texts, or the columns of tagged sentences, and their labels, or tags."""

    inputs: Sequence[Any]
    labels: Sequence[Any]

    def at(self, places: Iterable[int]) -> Examples:
        """Those at these places."""
        chosen = list(places)
        return Examples([self.inputs[i] for i in chosen], [self.labels[i] for i in chosen])

    def parts(self, fraction: float, seed: int) -> tuple[Examples, Examples]:
        """In two parts, drawn at random, each in its old order."""
        order = np.random.default_rng(seed).permutation(len(self.inputs))
        if not 0 < round(fraction * len(order)) < len(order):
            raise ValueError(
                f"{len(order)} examples are too few to hold {fraction:g} of them out; give more, "
                "or a file of others to develop on"
            )
        return tuple(self.at(sorted(part)) for part in hold_out(order, fraction))  # type: ignore[return-value]


def with_others(labels: Labels, found: Iterable[Any]) -> Labels:
    """Labels that were learnt, and behind them those that were not, which are named in a warning.

    CoNLL-2000's test part has two I-LST, of which the other part has none.

    Raises:
        ValueError: None of those found was learnt.
    """
    names = names_of(found)
    others = sorted(names - {*labels.names})
    if not others:
        return labels
    if len(others) == len(names):
        labels.encode(others)  # raises
    warnings.warn(
        f"{', '.join(map(repr, others[:5]))}{', ...' * (len(others) > 5)}: not learnt, and counted "
        "as errors",
        RuntimeWarning,
        stacklevel=2,
    )
    return Labels([*labels.names, *others])


# Classifiers ------------------------------------------------------------------------------------


def read_texts(
    paths: Iterable[PathLike], label: int = 0, text: int = 1, header: bool = False
) -> Examples:
    """Labelled texts from files and folders.

    A file has ``label<TAB>text`` on each line (a ``.csv`` commas and quotes), or the columns that
    are named, perhaps below a line of their names. In a folder each
    sub-folder is a class, and each file in it a text; or, where it has no sub-folder, each file
    is a class, and each line in it a text. A README is neither.
    """
    texts: list[str] = []
    labels: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            found = [*texts_of_folder(path)]
            if not found:
                raise ValueError(f"{path}: there is no text in its folders")
            new, names = [words for words, _ in found], [name for _, name in found]
        else:
            new, names = load_labelled(path, label, text, header=header)
        texts += new
        labels += names
    return Examples(texts, labels)


def texts_of_folder(path: Path) -> Iterable[tuple[str, str]]:
    """(text, label) of each file in the sub-folders, or of each line of the files."""
    members = sorted(p for p in path.iterdir() if not p.name.startswith((".", "README")))
    folders = [member for member in members if member.is_dir()]
    stems = [member.stem for member in members]
    if not members:
        raise ValueError(f"{path}: the folder is empty; expected a sub-folder or a file a class")
    for folder in folders:
        for file in sorted(p for p in folder.iterdir() if p.is_file()):
            yield load_text(file).strip(), folder.name
    for file in [] if folders else members:
        for line in load_text(file).split("\n"):
            if line.strip():  # rt-polarity.pos and rt-polarity.neg are two classes
                yield line.strip(), file.stem if stems.count(file.stem) == 1 else file.name


def text_task(
    texts: Examples, vocabulary: Vocabulary, labels: Labels, batch: int = 64, rng: Any = 0
) -> Labelled:
    """The examples as a Task of ids."""
    ids = text_ids(texts.inputs, vocabulary)
    return Labelled(ids, labels.encode(texts.labels), batch, rng=rng)


def text_ids(texts: Iterable[str], vocabulary: Vocabulary) -> Iterable[Ids]:
    """The ids of each text, or an error that shows the one that has no token."""
    for text in texts:
        ids = vocabulary.encode(text)
        if not len(ids):
            raise ValueError(
                f"there is no token (--level {vocabulary.level}) in the text {text[:60]!r}; leave "
                "it out"
            )
        yield ids


def make_classifier(
    model: str,
    texts: Examples,
    labels: Labels,
    *,
    level: str = "word",
    lower: bool = True,
    minimum_count: int = 2,
    embedding: int = 100,
    width: int = 100,
    layers: int = 1,
    pooling: str | None = None,
    dropout: float = 0.5,
    vectors: str | None = None,
    frozen: bool = False,
    seed: int = 0,
) -> tuple[Classifier, Vocabulary, float | None]:
    """A classifier for texts, the vocabulary of these, and the share of it that has vectors.

    Args:
        model: "bag", "cnn", or a network as in ``network_named``.
        texts: What it is to learn from.
        labels: The classes.
        level, lower, minimum_count: Of the vocabulary.
        embedding: The width of the embedding.
        width: Of states, or how many filters there are of each width.
        layers: How many layers are stacked.
        pooling: Of ``Acceptor`` or ``BagClassifier``; None for "max", of a bag for "mean".
        dropout: The probability of it.
        vectors: A file of pretrained vectors.
        frozen: Whether the embedding stays as it is.
        seed: Of all that is random.
    """
    tokens = (token for text in texts.inputs for token in tokenize(text, level, lower))
    vocabulary = Vocabulary.count(tokens, minimum_count, level=level, lower=lower)
    rng = np.random.default_rng(seed)
    E = Embedding(len(vocabulary), embedding, rng=rng)
    share = None if vectors is None else begin_with_vectors(E, vocabulary, vectors, rng)
    if frozen:
        E.freeze()
    made: Classifier
    if model == "bag":
        made = BagClassifier(
            E, len(labels), pooling or "mean", hidden=[width], dropout=dropout, rng=rng
        )
    elif model == "cnn":
        made = TextCNN(embedding, len(labels), filters=width, embedding=E, dropout=dropout, rng=rng)
    else:
        network = network_named(model, embedding, width, layers, dropout, rng)
        made = Acceptor(
            network, len(labels), pooling or "max", embedding=E, dropout=dropout, rng=rng
        )
    return made, vocabulary, share


# Taggers ----------------------------------------------------------------------------------------


def read_columns(
    path: PathLike, columns: Sequence[int], separator: str | None = "\t"
) -> tuple[Sentences, ...]:
    """``load_tagged``, whose errors name the command line's options."""
    try:
        return load_tagged(path, columns, separator=separator)
    except ValueError as error:
        raise ValueError(str(error).replace("separator=None", "--spaces")) from error


def read_sentences(
    paths: Iterable[PathLike], tag: int, extra: Sequence[int], separator: str | None = "\t"
) -> Examples:
    """Tagged sentences from files, their columns (words, extra ones) and their tags."""
    inputs: list[tuple[list[str], ...]] = []
    tags: Sentences = []
    for path in paths:
        *columns, new = read_columns(path, (0, *extra, tag), separator)
        inputs += zip(*columns, strict=True)
        tags += new
    return Examples(inputs, tags)


def sentence_task(
    sentences: Examples, features: Features, labels: Labels, batch: int = 64, rng: Any = 0
) -> Labelled:
    """The examples as a Task of ids."""
    ids = [features.encode(*columns) for columns in sentences.inputs]
    return Labelled(ids, [labels.encode(tags) for tags in sentences.labels], batch, rng=rng)


def make_tagger(
    model: str,
    sentences: Examples,
    labels: Labels,
    *,
    suffixes: Sequence[int] = (2, 3),
    prefixes: Sequence[int] = (),
    shape: bool = True,
    letters: int = 0,
    lower: bool = True,
    minimum_count: int = 1,
    embedding: int = 100,
    other: int = 25,
    width: int = 100,
    layers: int = 1,
    crf: bool = False,
    constraints: str | None = None,
    dropout: float = 0.4,
    word_dropout: float = 0.1,
    vectors: str | None = None,
    frozen: bool = False,
    seed: int = 0,
) -> tuple[Transducer, Features, float | None]:
    """A tagger of words, the features of these sentences, and the share of words with vectors.

    Args:
        model: A network as in ``network_named``.
        sentences: What it is to learn from.
        labels: The tags.
        suffixes, prefixes, shape, letters, lower, minimum_count: Of ``Features``.
        embedding: The width of a word's vector.
        other: The width of the vectors of the other columns.
        width: Of states.
        layers: How many layers are stacked.
        crf: Whether labels are chosen together.
        constraints: "BIO" or "BIOES", what the CRF's label sequences have to keep to, or None.
        dropout, word_dropout: The probabilities of them.
        vectors: A file of pretrained vectors of words.
        frozen: Whether the words' vectors stay as they are.
        seed: Of all that is random.
    """
    columns = [list(column) for column in zip(*sentences.inputs, strict=True)]
    features = Features.count(
        *columns,
        suffixes=suffixes,
        prefixes=prefixes,
        shape=shape,
        letters=letters,
        lower=lower,
        minimum_count=minimum_count,
    )
    rng = np.random.default_rng(seed)
    encoder = None
    if letters:
        encoder = CharacterEncoder(len(features.vocabularies[-1]), other, other, rng=rng)
    widths = [embedding] + [other] * (len(features.sizes) - 1)
    words = FeatureEmbedding(
        features.sizes, widths, letters=encoder, word_dropout=word_dropout, rng=rng
    )
    share = None
    if vectors is not None:
        known = features.vocabularies[0]
        share = begin_with_vectors(words.columns[0], known, vectors, rng)
    if frozen:
        words.columns[0].freeze()
    network = network_named(model, words.d, width, layers, dropout, rng)
    chain = CRF(labels.names, constraints) if crf or constraints else None
    tagger = Transducer(network, len(labels), embedding=words, crf=chain, dropout=dropout, rng=rng)
    return tagger, features, share


def mark_spans(labels: Labels) -> bool:
    """Whether labels mark spans, as B-NP, I-NP and O do."""
    try:
        spans(labels.names)
    except ValueError:
        return False
    return any(name != "O" for name in labels.names)


def measures(labels: Labels, gold: Sequence[Any]) -> dict[str, Callable[[Any, Any], float]]:
    """The metrics for ``fit``: accuracy, and of labels that mark spans their F1."""

    def share(model: Any, task: Any) -> float:
        found = predictions(model, task)
        return accuracy(task.labels, found)

    def f1(model: Any, task: Any) -> float:
        return span_f1(gold, [labels.decode(ids) for ids in predictions(model, task)])

    return {"accuracy": share, **({"f1": f1} if mark_spans(labels) else {})}
