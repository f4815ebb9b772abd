r"""How mathematics is written: as text, ``h_{t-1} Uᵀ``, or as LaTeX, ``h_{t-1} \, U^\top``.

A ``Formula`` is a piece of it, and how closely it binds. The two ways differ in their signs and in
what encloses a part; all else is in ``Text``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .marks import ARROWS, HIGH
from .notation import GREEK, SYMBOLS, printable, split_name

__all__ = ["ATOM", "LATEX", "PLUS", "POWER", "PRODUCT", "TEXT", "TIMES", "Formula", "Name", "Text"]

# How closely an op binds; an operand that binds less stands in parentheses.
PLUS, TIMES, PRODUCT, POWER, ATOM = range(1, 6)
# Functions by other names than their ops': those of pictures that are words, and others.
NAMES = {op: sign for op, sign in SYMBOLS.items() if sign.replace(" ", "").isalpha()}
NAMES |= {"arctan2": "atan2", "layer_norm": "LN", "prod": "∏", "relu": "ReLU"}
# Functions for which LaTeX has a command.
COMMANDS = frozenset(
    re.split(" ", "tanh sinh cosh sin cos tan arcsin arccos arctan exp log min max det")
)
SIGNS = {"σ": r"\sigma", "Σ": r"\sum", "∏": r"\prod"}
LATEX_ARROWS = {ARROWS["forward"]: r"\overrightarrow", ARROWS["backward"]: r"\overleftarrow"}
# Signs of LaTeX and HTML stand as their wide twins, which no reader of either takes for one.
_ESCAPES = {c: chr(ord(c) + 0xFEE0) for c in '"#&<>\\^`~'}
_ESCAPES.update({c: f"\\{c}" for c in "{}_$% "}, **{"…": r"\ldots "})


class Formula(NamedTuple):
    """A piece of mathematics, and how closely its outermost op binds."""

    text: str
    rank: int = ATOM

    def within(self, rank: int) -> str:
        """As an operand: in parentheses where it binds less than ``rank``."""
        return self.text if self.rank >= rank else f"({self.text})"


class Name(NamedTuple):
    """What a value is called: ``h`` at ``t-1``, of the layer ``1``; ``bar`` for ``h̃``.

    A layer may begin with an arrow, which stands over the letter.
    """

    base: str
    when: str = ""
    layer: str = ""
    bar: bool = False


class Text:
    """Mathematics as text."""

    space, times, dots, top, bar = " ", " ⊙ ", "…", "ᵀ", "‖"
    delta, sum_over_time = "δ", "Σ_t "

    # Names ----------------------------------------------------------------------------------

    def word(self, text: str) -> str:
        """A word."""
        return printable(text)

    def with_bar(self, letter: str) -> str:
        """The letter of a candidate: h̃."""
        return f"{letter}\u0303"

    def with_arrow(self, letter: str, arrow: str) -> str:
        """A letter that has a direction."""
        return letter + arrow

    def low(self, text: str) -> str:
        """What stands low."""
        return f"_{text}" if text.isalnum() else f"_{{{text}}}"

    def high(self, text: str) -> str:
        """What stands high."""
        return f"^{text}"

    def subscripted(self, letter: str, subscripts: Iterable[str], layer: str) -> str:
        """A letter with an arrow over it, what stands low behind it, and its layer."""
        arrow, index = split_arrow(layer)
        letter = self.with_arrow(letter, arrow) if arrow else letter
        low = ",".join(filter(None, subscripts))
        high = self.high(f"({self.word(index)})") if index else ""
        return letter + (self.low(low) if low else "") + high

    def name(self, name: Name) -> str:
        """A name with its subscripts: ``h_{t-1}``, ``W_f``, ``f_t^{(1)}``."""
        base, sub = split_name(name.base) or (GREEK.get(name.base, shorten(name.base)), "")
        base = self.with_bar(self.word(base)) if name.bar else self.word(base)
        return self.subscripted(base, (sub and self.word(sub), name.when), name.layer)

    # Ops ------------------------------------------------------------------------------------

    def function(self, op: str, operands: Iterable[Formula]) -> Formula:
        """An op as a function of its operands."""
        inside = ", ".join(operand.text for operand in operands)
        return Formula(f"{self.sign(NAMES.get(op, op.replace('_', ' ')))}({inside})")

    def sign(self, name: str) -> str:
        """The name of a function."""
        return name

    def fraction(self, a: Formula, b: Formula) -> Formula:
        """A quotient."""
        return Formula(f"{a.within(TIMES)} / {b.within(POWER)}", TIMES)

    def derivative(self, of: Formula) -> Formula:
        """∂L/∂ of what has a name."""
        return Formula(f"∂L/∂{of.text}")

    def power(self, x: Formula, exponent: str) -> Formula:
        """A power of numbers one by one."""
        base = x.within(ATOM)
        base = f"({base})" if HIGH.search(base) else base  # a name has something there
        raised = self.high(exponent if exponent.isalnum() else f"({exponent})")
        return Formula(base + raised, POWER)

    def root(self, x: Formula) -> Formula:
        """A square root."""
        return Formula(f"√({x.text})")

    def matmul(self, a: Formula, b: Formula) -> Formula:
        """A product of matrices."""
        return Formula(f"{a.within(PRODUCT)}{self.space}{b.within(PRODUCT)}", PRODUCT)

    def multiple(self, number: Formula, x: Formula) -> Formula:
        """A multiple: the number stands in front without a sign."""
        return Formula(f"{number.within(PRODUCT)}{self.space}{x.within(TIMES)}", TIMES)

    def product(self, factors: Iterable[Formula]) -> Formula:
        """A product of numbers one by one."""
        return Formula(self.times.join(factor.within(TIMES) for factor in factors), TIMES)

    def transposed(self, x: Formula) -> Formula:
        """The transpose of a matrix; of a transpose the matrix."""
        if x.rank == POWER and x.text.endswith(self.top):
            return Formula(x.text.removesuffix(self.top))
        return Formula(self.base(x) + self.top, POWER)

    def base(self, x: Formula) -> str:
        """What something stands high behind."""
        return x.within(ATOM)

    def norm(self, x: Formula) -> Formula:
        """‖x‖."""
        return Formula(f"{self.bar}{x.text}{self.bar}".strip())

    def indexed(self, x: Formula, index: str) -> Formula:
        """``x[ids]``; words of an index are words."""
        inside = re.sub("[a-z…]+", lambda found: self.word(found[0]), index)
        return Formula(f"{x.within(ATOM)}[{inside}]")

    def few(self, parts: Sequence[Formula]) -> list[str]:
        """Up to four parts, or the first and the last with dots between."""
        texts = [part.text for part in parts]
        return texts if len(texts) <= 4 else [texts[0], self.dots, texts[-1]]

    def stacked(self, parts: Sequence[Formula]) -> Formula:
        """Vectors one below the other, ``[h; x]``."""
        return Formula(f"[{'; '.join(self.few(parts))}]")

    def block(self, parts: Sequence[Formula], *, beside: bool) -> Formula:
        """A matrix of matrices one below the other, ``[U; W]``, or side by side, ``[U, W]``."""
        return Formula(f"[{(', ' if beside else '; ').join(self.few(parts))}]")


class LaTeX(Text):
    """Mathematics as LaTeX, without the dollars around it."""

    space, times, dots, top, bar = r" \, ", r" \odot ", r"\ldots", r"^\top", r"\Vert "
    delta, sum_over_time = r"\delta", r"\sum_t "

    def word(self, text: str) -> str:
        """A word; a single letter stays italic."""
        if len(text) == 1 and text.isalpha():
            return text
        return text if text.isdigit() else f"\\mathrm{{{escape(text)}}}"

    def with_bar(self, letter: str) -> str:
        return f"\\tilde{{{letter}}}"

    def with_arrow(self, letter: str, arrow: str) -> str:
        return f"{LATEX_ARROWS[arrow]}{{{letter}}}"

    def low(self, text: str) -> str:
        return f"_{text}" if len(text) == 1 else f"_{{{text}}}"

    def high(self, text: str) -> str:
        return f"^{{{text}}}"

    def sign(self, name: str) -> str:
        return SIGNS.get(name) or (f"\\{name}" if name in COMMANDS else self.word(name))

    def fraction(self, a: Formula, b: Formula) -> Formula:
        return Formula(f"\\frac{{{a.text}}}{{{b.text}}}")

    def derivative(self, of: Formula) -> Formula:
        return self.fraction(Formula(r"\partial L"), Formula(rf"\partial {of.text}"))

    def power(self, x: Formula, exponent: str) -> Formula:
        return Formula(f"{{{x.within(ATOM)}}}^{{{exponent}}}", POWER)

    def root(self, x: Formula) -> Formula:
        return Formula(f"\\sqrt{{{x.text}}}")

    def base(self, x: Formula) -> str:
        text = x.within(ATOM)
        return f"{{{text}}}" if "^" in text else text

    def block(self, parts: Sequence[Formula], *, beside: bool) -> Formula:
        inside = (" & " if beside else r" \\ ").join(self.few(parts))
        return Formula(rf"\begin{{bmatrix}} {inside} \end{{bmatrix}}")


TEXT, LATEX = Text(), LaTeX()


def escape(text: str) -> str:
    """Any text as it stands inside of ``\\mathrm{}``."""
    return "".join(_ESCAPES.get(c, c) for c in printable(text))


def split_arrow(layer: str) -> tuple[str, str]:
    """The arrow over a letter that tells its direction, and its layer."""
    arrow = layer[:1] if layer[:1] in LATEX_ARROWS else ""
    return arrow, layer[len(arrow) :].lstrip(".")


def shorten(text: str) -> str:
    """A name of the user's, cut where it is endless."""
    return text if len(text) <= 28 else text[:27] + "…"
