"""How a picture looks: one palette, one set of sizes, and how wide a text is.

The hues are those of Okabe and Ito (2008), which people with any common colour blindness
tell apart. Meaning never hangs on colour alone: a gate has its name, a parameter its label,
a state its letter. The light theme is the one in which pictures are described.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

FONTS = "Helvetica,Arial,DejaVu Sans,sans-serif"

INK = "#22303C"  # text
WIRE = "#51606E"  # ordinary edges
FAINT = "#8A97A3"  # outlines, lines; too pale for text
BAND = "#F3F5F7"  # behind a column
BAND_EDGE = "#D5DBE1"
PAPER = "#FFFFFF"
PANEL = "#E9EEF3"  # inputs and outputs

ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"

# One colour, one meaning: no gate has that of a state, no other scope that of a gate.
STATES = (BLUE, VERMILLION, "#006D5B", "#3D3D8F")
GATES = {
    "forget": "#5B4BB0",
    "input": GREEN,
    "output": "#E6D800",
    "candidate": ORANGE,
    "reset": "#8A5A44",
    "update": SKY,
}
# Scopes of other names, in the order in which a tape shows them.
OTHERS = ("#4F9C9C", "#8A9A3C", "#9A7FA8", "#B59F6B", "#C98B8B", "#7FB59A", GREY)
UNGATED = "#5F7F95"  # of parameters that stand in no scope of their own
# The shade of each role: with what its gate's colour is mixed, and how much remains.
SHADES = ((PAPER, 1.0), (INK, 0.72), (PAPER, 0.5), (INK, 0.86), (PAPER, 0.75), (INK, 0.55))
ROLES = "WUbVE"  # of parameters, by the first letter of their names; others come last

# Gradients from small to large: one hue, darker where there is more, also in grey print.
GRADIENT = ("#E8C5DC", "#DBA0C6", "#CC7DB1", "#A03A80", "#6E1557")
# Values from below zero by way of zero to above: no red against green.
DIVERGING = (BLUE, PAPER, VERMILLION)

OP, NAME, TITLE, NOTE, SMALL = 14, 13, 11, 11, 10  # font sizes
LEAST = 9  # of all sizes, subscripts too
HEADING, CAPTION = 17, 12  # of the title and the text below
MOST_LETTERS = 90  # in a line of text
RADIUS = 12  # of an op's circle
PILL = 10  # half the height of a parameter
GAP = 12  # between two things side by side
TRACK = 9  # between two wires side by side
CORNER = 5  # radius of a wire's corners
SQUARE = 8  # a number in a strip of colours
SHARE = 22  # the height of the largest share in a gradient

_NARROW = set("iljtfrI.,:;'|!()[]{} /\\-·²")
_WIDE = set("mwMW@%&∂‖…—")


def text_width(text: str, size: float = NAME) -> int:
    """About how many points wide a line of text is, rather too many than too few."""
    units = 0.0
    for letter in text:
        if letter in _NARROW:
            units += 0.42
        elif letter in _WIDE or ord(letter) > 0x2E80:
            units += 1.0
        elif letter.isupper():
            units += 0.74
        else:
            units += 0.64
    return int(units * size + 0.999)


def shorten(text: str, most: int = 28) -> str:
    """A text in one line of at most so many letters; what is cut off is marked."""
    words = text.split()
    line = text if words == [text] or not text else " ".join(words) or "·"
    return line if len(line) <= most else line[: most - 1] + "…"


def shorten_names(text: str, most: int = 28) -> str:
    """As many of some names as fit in a line of so many letters; none is cut in two."""
    names = text.split()
    lengths = itertools.accumulate(len(name) + 1 for name in names)
    fitting = sum(length + 1 <= most for length in lengths)
    return text if len(text) <= most else " ".join([*names[:fitting], "…"])


@cache
def mix(colour: str, other: str, share: float) -> str:
    """``share`` of a colour and the rest of another, both ``#rrggbb``."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02X}" for a, b in pairs)


@dataclass(frozen=True)
class Theme:
    """What the colours of a picture are on another ground.

    Pictures are described in the colours above, those of the light theme; a theme puts others
    in their place as the picture is written.

    Attributes:
        name: How ``draw(theme=)`` calls it.
        neutrals: What stands for INK, WIRE, FAINT, BAND, BAND_EDGE, PAPER and PANEL.
        gradient: What stands for GRADIENT, more of it ever farther from the paper.
        keep: How much of a hue is kept; the rest is INK's.
        grey: Whether hues are told by their brightness alone, as in a black-and-white print.
    """

    name: str
    neutrals: tuple[str, ...] = (INK, WIRE, FAINT, BAND, BAND_EDGE, PAPER, PANEL)
    gradient: tuple[str, ...] = GRADIENT
    keep: float = 1.0
    grey: bool = False

    def of(self, colour: str) -> str:
        """What stands for a colour of the light theme."""
        if colour in NEUTRALS:
            return self.neutrals[NEUTRALS.index(colour)]
        if colour in GRADIENT:
            return self.gradient[GRADIENT.index(colour)]
        if self.grey:
            level = round(0.75 * luminance(colour))
            return f"#{level:02X}{level:02X}{level:02X}"
        return mix(colour, self.neutrals[0], self.keep)

    def letters(self, colour: str) -> str:
        """A hue for text and thin lines: nearer to the ink, so that they can be read."""
        return mix(self.of(colour), self.of(INK), 0.75)

    def tint(self, colour: str, share: float = 0.16) -> str:
        """A colour as a background."""
        return mix(self.of(colour), self.of(PAPER), share)

    def diverging(self, share: float) -> str:
        """The colour of a value from -1 by way of 0 to 1; INK for a NaN.

        Along DIVERGING, or in black and white from dark to light.
        """
        if share != share:
            return self.of(INK)
        if self.grey:
            return mix(PAPER, "#333333", (max(min(share, 1.0), -1.0) + 1) / 2)
        return self.tint(DIVERGING[0] if share < 0 else DIVERGING[2], min(abs(share), 1.0))


@dataclass(frozen=True)
class Faint(Theme):
    """A theme of which a share is seen, the rest is paper."""

    share: float = 1.0

    def of(self, colour: str) -> str:
        """What is seen of it."""
        return mix(super().of(colour), super().of(PAPER), self.share)


NEUTRALS = (INK, WIRE, FAINT, BAND, BAND_EDGE, PAPER, PANEL)
THEMES = {
    theme.name: theme
    for theme in (
        Theme("light"),
        Theme(
            "dark",
            ("#E6EBF0", "#A9B6C2", "#7D8A96", "#1D242B", "#3A444E", "#12171C", "#2A343D"),
            ("#6E3A5C", "#8A4371", "#A04C83", "#D673B2", "#F8C6E4"),
            keep=0.72,
        ),
        Theme(
            "print",
            ("#000000", "#333333", "#777777", "#FFFFFF", "#999999", "#FFFFFF", "#EEEEEE"),
            ("#D0D0D0", "#A6A6A6", "#7C7C7C", "#4A4A4A", "#000000"),
            grey=True,
        ),
    )
}


def luminance(colour: str) -> float:
    """How bright a colour ``#rrggbb`` looks, from 0 to 255."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def wrap(text: str, width: int, size: int) -> list[str]:
    """A text in lines of at most so many points and MOST_LETTERS, broken between words.

    Line breaks are kept.
    """
    lines = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".lstrip()
            if line and (text_width(longer, size) > width or len(longer) > MOST_LETTERS):
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def gate_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each scope: the gates of the textbooks have theirs, others take turns."""
    colours: dict[str, str] = {}
    for name in names:
        if name not in colours:
            taken = sum(known not in GATES for known in colours)
            colours[name] = GATES.get(name) or OTHERS[taken % len(OTHERS)]
    return colours


def parameter_colour(base: str, name: str) -> str:
    """The shade of a gate's parameter by its role: W, U, b, V and E each have theirs."""
    role = ROLES.find(name[:1].replace("w", "W").replace("u", "U"))
    return mix(base, *SHADES[role])
