"""An op as mathematics writes it: ``sigmoid`` is σ, ``1 - z`` is 1−, ``xs[2]`` is [2]."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd import Record, Tensor
from .marks import ARROWS, split_mark

SYMBOLS = {
    "abs": "|·|",
    "add": "+",
    "binary_cross_entropy": "BCE",
    "broadcast_to": "broadcast",
    "concatenate": "concat",
    "cross_entropy": "CE",
    "cumprod": "cumprod",
    "divide": "/",
    "dropout": "dropout",
    "embedding": "lookup",
    "expand_dims": "+axis",
    "layer_norm": "norm",
    "log_softmax": "log softmax",
    "logsumexp": "LSE",
    "matmul": "@",
    "maximum": "max",
    "minimum": "min",
    "multiply": "*",
    "negative": "−",
    "nll_loss": "NLL",
    "norm": "‖·‖",
    "power": "^",
    "prod": "∏",
    "reciprocal": "1/",
    "sigmoid": "σ",
    "sqrt": "√",
    "square": "²",
    "squeeze": "−axis",
    "subtract": "−",
    "sum": "Σ",
    "transpose": "T",
}

# Ops whose operands are read from left to right.
ORDERED = frozenset(["subtract", "divide", "matmul", "power"])
# Ops that take a part out of what comes in from below.
TAKING = frozenset(["getitem", "take", "embedding", "take_along_axis"])
# Ops that work number by number: a state that passes through these alone is a highway.
ADDITIVE = frozenset(
    [
        "add",
        "subtract",
        "multiply",
        "where",
        "cut",
        "clip",
        "maximum",
        "minimum",
        "negative",
        "divide",
        "dropout",
        "relu",
        "tanh",
    ]
)


def is_number(x: Tensor) -> bool:
    """Whether an operand is a plain number of the code, such as the 1 of ``1 - z``."""
    return x._record is None and x.name is None and x.size == 1 and not x.requires_grad


def number_text(x: Tensor) -> str:
    """A number of the code as it was written there."""
    return f"{x.item():g}".replace("-", "−")


def symbol(record: Record) -> str:
    """The op in mathematics, with the plain numbers among its operands written into it."""
    op = str(record.op)
    if op in _PLAIN:
        return _PLAIN[op]
    if op == "getitem":
        return index_text(record.params.get("index"))
    if op == "einsum":
        return str(record.params.get("subscripts", op)).replace("->", "→")
    sign = SYMBOLS.get(op, op.replace("_", " "))
    if not holds_number(record):
        return sign
    first, second = record.inputs
    if is_number(first):
        return f"{number_text(first)} {sign}"
    value = number_text(second)
    if op == "power":
        return {"2": "²", "3": "³"}.get(value, f"^{value}")
    return f"{sign} {value}"


_INFIX = frozenset(["add", "subtract", "multiply", "divide", "power", "maximum", "minimum"])


_PLAIN = {op: sign for op, sign in SYMBOLS.items() if op not in _INFIX}


def holds_number(record: Record) -> bool:
    """Whether one of an op's two operands is a plain number, to be written into its symbol."""
    inputs = record.inputs
    return len(inputs) == 2 and record.op in _INFIX and is_number(inputs[0]) != is_number(inputs[1])


def index_text(index: Any) -> str:
    """An index as it stands in the brackets: ``[:, 2]``."""

    def show(part: Any) -> str:
        if isinstance(part, slice):
            ends = ["" if x is None else str(x) for x in (part.start, part.stop, part.step)]
            return ":".join(ends[:2] if part.step is None else ends)
        if part is Ellipsis:
            return "…"
        if part is None:
            return "new"
        array = np.asarray(part)
        if array.ndim == 0 and array.dtype.kind in "iu":
            return str(int(array))
        return "mask" if array.dtype.kind == "b" else "ids"

    parts = index if isinstance(index, tuple) else (index,)
    return f"[{', '.join(map(show, parts))}]"


OVER = "\u0303" + "".join(ARROWS.values())  # what may stand over a letter
# A short name and what follows it, or any name and a number or the time.
_SUBSCRIPT = re.compile(
    rf"(?P<name>[^\W\d_]{{1,5}}[{OVER}]*)_(?P<low>[^\W_]{{1,4}}(?:[−+]1)?)"
    r"|(?P<long>[^_]{1,24})_(?P<number>\d{1,4}|t(?:[−+]1)?)"
)


# Greek letters that names spell out.
_LETTERS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma "
    "tau upsilon phi chi psi omega"
)
GREEK = dict(zip(_LETTERS.split(), "αβγδεζηθικλμνξοπρστυφχψω", strict=True))
GREEK |= {name.capitalize(): letter.upper() for name, letter in GREEK.items()}


def split_name(name: str) -> tuple[str, str] | None:
    """``W_f`` as W and f, to be set with a subscript; None for names of another form."""
    match = _SUBSCRIPT.fullmatch(name)
    if match is None:
        return None
    base, low = match["name"] or match["long"], match["low"] or match["number"]
    return GREEK.get(base, base), low


_NAMES = re.compile(rf"(?<!\w)([^\W\d_][^\W_]*[{OVER}]*)_(\{{[^{{}}]*\}}|[^\W_]{{1,4}}(?!\w))")


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """A line of text in pieces, each with what stands low behind it: ``h_1 =`` is h, 1 and =."""
    end = 0
    for name in _NAMES.finditer(text):
        yield text[end : name.start()] + GREEK.get(name[1], name[1]), name[2].strip("{}")
        end = name.end()
    if end < len(text):
        yield text[end:], ""


LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def with_low_digits(name: str) -> str:
    """``x_2`` as x₂, where a line of text cannot have letters of two sizes."""
    name, mark = split_mark(name)
    parts = split_name(name)
    low = f"{parts[0]}{parts[1].translate(LOW)}" if parts and parts[1].isdigit() else name
    return low + (f"^{mark}" if mark else "")


def printable(text: str) -> str:
    """A text in which every character can be seen and stand in XML."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _visible(c) for c in text)


def _visible(c: str) -> str:
    """A line break as ⏎, other control characters by their signs, what is no text as �."""
    if c in "\n\u2028\u2029":
        return "⏎"
    code, kind = ord(c), unicodedata.category(c)
    if code < 0x20:
        return chr(0x2400 + code)
    if kind in ("Cc", "Cs", "Co", "Cn"):
        return "\ufffd"
    return c
