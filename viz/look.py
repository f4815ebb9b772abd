"""How a picture looks: one palette, one set of sizes, and how wide a text is.

The hues are those of Okabe and Ito (2008), which people with any common colour blindness
tell apart. Meaning never hangs on colour alone: a gate has its name, a parameter its label,
a state its letter.
"""

from __future__ import annotations

from collections.abc import Iterable

FONTS = "Helvetica,Arial,DejaVu Sans,sans-serif"

INK = "#22303C"  # text
WIRE = "#51606E"  # ordinary edges
FAINT = "#8A97A3"  # captions, outlines
BAND = "#F3F5F7"  # behind a column
BAND_EDGE = "#D5DBE1"
PAPER = "#FFFFFF"

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#C9B400"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"

GATES = {
    "forget": VERMILLION,
    "input": GREEN,
    "output": BLUE,
    "candidate": ORANGE,
    "reset": PURPLE,
    "update": SKY,
}
# Scopes of other names, in the order in which a tape shows them.
OTHERS = (SKY, PURPLE, GREEN, ORANGE, BLUE, VERMILLION, YELLOW, GREY)
STATES = (BLUE, VERMILLION, GREEN, PURPLE)

# Gradients from small to large: one hue, darker where there is more, also in grey print.
GRADIENT = ("#E8C5DC", "#D99BC3", "#C46BA5", "#A03A80", "#6E1557")

OP, NAME, TITLE, NOTE, SMALL = 14, 13, 11, 11, 10  # font sizes
RADIUS = 12  # of an op's circle
PILL = 10  # half the height of a parameter
GAP = 12  # between two things side by side
TRACK = 9  # between two wires side by side
CORNER = 5  # radius of a wire's corners

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
    line = text
    if any(c.isspace() for c in text):
        line = " ".join(text.split()) or "·"
    return line if len(line) <= most else line[: most - 1] + "…"


def mix(colour: str, other: str, share: float) -> str:
    """``share`` of a colour and the rest of another, both ``#rrggbb``."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02X}" for a, b in pairs)


def tint(colour: str, share: float = 0.16) -> str:
    """A colour as a background."""
    return mix(colour, PAPER, share)


def gate_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each scope: the gates of the textbooks have theirs, others take turns."""
    colours: dict[str, str] = {}
    for name in names:
        if name not in colours:
            taken = sum(known not in GATES for known in colours)
            colours[name] = GATES.get(name) or OTHERS[taken % len(OTHERS)]
    return colours


def parameter_colour(base: str, number: int) -> str:
    """The shade of the so-many-th parameter of a gate: all of one hue, no two alike."""
    shares = (1.0, 0.72, 0.5, 0.86, 0.6)
    return mix(base, INK if number % 2 else PAPER, shares[number % len(shares)])
