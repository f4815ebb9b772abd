"""Options that several commands share: their types, and groups of them as dataclasses.

All options of a group except ``Run`` say what is trained: they are stored in the training's
``config.json``, and a training resumes only with the same ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from ..models import NAMED_CELLS, Vocabulary

CELLS = NAMED_CELLS

# Types ------------------------------------------------------------------------------------------


def number(
    kind: type,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> Callable[[str], Any]:
    """A reader of numbers within bounds."""
    bounds = {">=": least, ">": above, "<=": most, "<": below}
    signs = [f"{sign} {bound:g}" for sign, bound in bounds.items() if math.isfinite(bound)]
    expected = f"{'an integer' if kind is int else 'a number'} {' and '.join(signs)}"

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (least <= value <= most and above < value < below):
            raise ValueError(f"expected {expected}, got {text!r}")
        return value

    return read


class Name:
    """A reader of one of some names, in small or capital letters.

    Args:
        names: The names.
        both: Whether bi and the name of a cell is one as well.

    Attributes:
        known: The names as the help shows them.
    """

    def __init__(self, *names: str, both: bool = False) -> None:
        self.names = {*names, *(f"bi{cell}" for cell in CELLS if both)}
        self.known = ", ".join(names) + (
            ", or bi and a cell as in bilstm for both directions" if both else ""
        )

    def __call__(self, text: str) -> str:
        """The name in small letters, or an error that lists the names."""
        if text.lower() not in self.names:
            raise ValueError(f"expected one of {self.known}, got {text!r}")
        return text.lower()


def level_name(text: str) -> str:
    """The name of a level of ``tokenize``."""
    return Vocabulary((), level=text).level


def column(text: str) -> int | str:
    """A column, by its number or its name."""
    return int(text) if re.fullmatch(r"-?\d{1,3}", text) else text


Count = Annotated[int, number(int, least=1)]
CountOrZero = Annotated[int, number(int, least=0)]
Column = Annotated[Any, column]
Seed = Annotated[int, number(int, least=0)]
Positive = Annotated[float, number(float, above=0)]
NotNegative = Annotated[float, number(float, least=0)]
Fraction = Annotated[float, number(float, above=0, below=1)]
FractionOrOne = Annotated[float, number(float, above=0, most=1)]
Probability = Annotated[float, number(float, least=0, below=1)]
CellName = Annotated[str, Name(*CELLS)]
Level = Annotated[str, level_name]


# Data -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Data.

    Args:
        encoding: Encoding of the text files, as in utf-8 or latin-1.
    """

    encoding: str = "utf-8"


@dataclass(frozen=True, kw_only=True)
class Data(Reading):
    """Data.

    Args:
        held_out: Fraction of the text, its end, that is held out of training to evaluate on.
    """

    held_out: Fraction = 0.1


@dataclass(frozen=True, kw_only=True)
class LabelledData(Data):
    """Data.

    Args:
        held_out: Fraction of the examples, drawn at random, that is held out of training to
            choose the best epoch; unused where --dev is given.
        dev: Files with examples to choose the best epoch (default: those held out).
        test: Files with examples to evaluate the trained model on (default: none).
        label_column: Column with the label: its index, counted from 0, or its name.
    """

    dev: Sequence[Path] | None = None
    test: Sequence[Path] | None = None
    label_column: Column


@dataclass(frozen=True, kw_only=True)
class Texts(LabelledData):
    """Data.

    Args:
        text_column: Column with the text: its index, counted from 0, or its name.
        header: Skip the first line of a file, which names its columns (default: refuse a first
            line that looks so, unless columns are given by name).
    """

    label_column: Column = 0
    text_column: Column = 1
    header: bool | None = None

    def notes(self) -> dict[str, Any]:
        """The columns as a saved model has them."""
        return {"label": self.label_column, "text": self.text_column, "header": self.header}

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any], reading: Reading) -> Texts:
        """The columns that a model was trained on; the defaults where it was saved in Python."""
        return cls(
            label_column=notes.get("label", cls.label_column),
            text_column=notes.get("text", cls.text_column),
            header=notes.get("header", cls.header),
            encoding=reading.encoding,
        )


@dataclass(frozen=True, kw_only=True)
class Sentences(LabelledData):
    """Data.

    Args:
        word_column: Column with the word, by index from 0 or by name (default: 0; of a .conllu
            file FORM).
        label_column: Column with the tag, by index from 0 or by name; -1 is the last column
            (default: 1; of a .conllu file UPOS).
        extra_columns: Columns that are read as features beside the word, by index from 0 or by
            name.
        spaces: Separate columns at any white space instead of at tabs.
    """

    word_column: Column | None = None
    label_column: Column | None = None
    extra_columns: Sequence[Column] = ()
    spaces: bool = False

    def columns(self, path: Path) -> list[int | str]:
        """The columns of a file: of the word, the extra ones, and of the tag."""
        conllu = path.suffix.lower() == ".conllu"
        usual: tuple[int | str, int | str] = ("FORM", "UPOS") if conllu else (0, 1)
        word, tag = (
            default if given is None else given
            for given, default in zip((self.word_column, self.label_column), usual, strict=True)
        )
        return [word, *self.extra_columns, tag]

    def notes(self) -> dict[str, Any]:
        """The columns as a saved model has them."""
        extra = [*self.extra_columns]
        columns = {"word": self.word_column, "tag": self.label_column, "extra": extra}
        return {**columns, "separator": self.separator}

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any], reading: Reading) -> Sentences:
        """The columns that a model was trained on; the defaults where it was saved in Python."""
        return cls(
            word_column=notes.get("word", cls.word_column),
            label_column=notes.get("tag", cls.label_column),
            extra_columns=notes.get("extra", cls.extra_columns),
            spaces=notes.get("separator", "\t") is None,
            encoding=reading.encoding,
        )

    @property
    def separator(self) -> str | None:
        """The separator for ``load_tagged``."""
        return None if self.spaces else "\t"


@dataclass(frozen=True, kw_only=True)
class Words:
    """Tokens.

    Args:
        lower: Convert the text to lowercase.
        minimum_count: Number of times that a token must occur in the training data; a rarer one
            is replaced by <unk>.
    """

    lower: bool
    minimum_count: Count


@dataclass(frozen=True, kw_only=True)
class Tokens(Words):
    """Tokens.

    Args:
        level: Kind of tokens: word, character, or re:PATTERN for the matches of a regular
            expression.
    """

    level: Level = "word"
    minimum_count: Count = 2


@dataclass(frozen=True, kw_only=True)
class WordFeatures(Words):
    """Words and their features.

    Args:
        minimum_count: Number of times that a word must occur in the training data; a rarer one is
            replaced by <unk>.
        suffixes: Lengths, in letters, of the suffixes to use as features.
        prefixes: Lengths, in letters, of the prefixes to use as features.
        shape: Use the shape of a word as a feature, such as Xx for The.
        letters: Number of letters of each word that a character-level RNN reads as a feature;
            0 uses no such RNN.
    """

    lower: bool = True
    minimum_count: Count = 1
    suffixes: Sequence[Count] = (2, 3)
    prefixes: Sequence[Count] = ()
    shape: bool = True
    letters: CountOrZero = 0


# Networks ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Network:
    """Network.

    Args:
        model: Recurrent cell.
        layers: Number of stacked recurrent layers.
        width: Number of units in the hidden state of each layer.
        dropout: Probability of dropping a unit in training.
    """

    model: CellName
    layers: Count = 1
    width: Count
    dropout: Probability


@dataclass(frozen=True, kw_only=True)
class LanguageNetwork(Network):
    """Network.

    Args:
        width: Number of units in the embedding and in the hidden state of each layer.
        tied: Share the weights of the embedding and of the softmax layer.
    """

    model: CellName = "lstm"
    width: Count = 128
    tied: bool = True
    dropout: Probability = 0.3


@dataclass(frozen=True, kw_only=True)
class EmbeddedNetwork(Network):
    """Network.

    Args:
        embedding: Number of units in the embedding of a token.
        vectors: File of pretrained word vectors, in the format of GloVe, to initialize the
            embedding (default: random initialization).
        frozen: Keep the word embedding as it was initialized, and do not train it.
    """

    embedding: Count = 100
    vectors: Path | None = None
    frozen: bool = False
    width: Count = 100


@dataclass(frozen=True, kw_only=True)
class ClassifierNetwork(EmbeddedNetwork):
    """Network.

    Args:
        model: Bag of words, convolutional network or recurrent cell.
        width: Number of units in the hidden state of each layer; of cnn, number of filters of
            each size.
        pooling: Pooling of the outputs over time into one vector (default: max; for bag mean).
    """

    model: Annotated[str, Name("bag", "cnn", *CELLS, both=True)] = "bilstm"
    pooling: Literal["last", "mean", "max", "sum"] | None = None
    dropout: Probability = 0.5


@dataclass(frozen=True, kw_only=True)
class TaggerNetwork(EmbeddedNetwork):
    """Network.

    Args:
        feature_embedding: Number of units in the embedding of each feature other than the word.
        crf: Predict the tags of a sentence jointly, by a CRF.
        constraints: Scheme of spans that the predicted tags must follow; implies --crf (default:
            none).
        word_dropout: Probability of replacing a word by <unk> in training.
    """

    model: Annotated[str, Name(*CELLS, both=True)] = "bilstm"
    feature_embedding: Count = 25
    crf: bool = False
    constraints: Literal["BIO", "IOB1", "BIOES", "BILOU", "BMES"] | None = None
    dropout: Probability = 0.4
    word_dropout: Probability = 0.1


# Training ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Training:
    """Training.

    Args:
        batch: Number of examples in each batch.
        lr: Initial learning rate of Adam, which decays during training.
        clip: Largest norm of the gradient; a larger gradient is scaled down to it.
        seed: Seed of the random number generator.
    """

    batch: Count = 32
    lr: Positive
    clip: Positive = 5.0
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True)
class StreamTraining(Training):
    """Training.

    Args:
        batch: Number of parts of the text that are read in parallel.
        steps: Number of time steps of truncated backpropagation through time.
    """

    batch: Count = 20
    lr: Positive = 0.01
    clip: Positive = 1.0
    steps: Count = 35


@dataclass(frozen=True, kw_only=True)
class Run:
    """Folder and duration (may change when the training is resumed).

    Args:
        out: Folder for the best model, the checkpoint and the history.
        restart: Delete the training that is in the folder, and begin anew.
        every: Seconds between checkpoints; 0 writes one after each batch.
        epochs: Number of passes over the training data, at most.
        seconds: Seconds of training, at most (default: no limit).
        patience: Number of epochs without improvement before training stops.
    """

    out: Path
    restart: bool = False
    every: NotNegative = 60.0
    epochs: Count
    seconds: Positive | None = None
    patience: Count = 5
