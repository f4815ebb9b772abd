"""The look of a plot: matplotlib's Figures and Axes in the colours of the drawings.

Nothing opens a window, and matplotlib's settings stay as they were.
"""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..checks import check_choice, check_int, import_extra
from ..files import write_atomically
from .look import (
    BAND_EDGE,
    BLUE,
    DIVERGING,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    THEMES,
    VERMILLION,
    WIRE,
    Theme,
    mix,
    shorten,
)
from .notation import printable
from .series import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

R = TypeVar("R")

LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")  # a line is told by its colour and by its marks
PIXELS = 96  # of an SVG in an inch
MOST_LABELS = 40  # words along an axis; of more every second, third, ... is named


def needs_matplotlib(function: R) -> R:
    """A function whose error, where matplotlib is missing, says what to install."""

    @functools.wraps(function)  # type: ignore[arg-type]
    def plot(*args: Any, **kwargs: Any) -> Any:
        name = plot.__name__
        matplotlib = import_extra(
            f"{name} draws with matplotlib", "plot", "matplotlib", "matplotlib.style"
        )
        check_choice(name, "theme", kwargs.get("theme", "light"), THEMES)
        # What a user has set elsewhere neither shows here nor is changed.
        with matplotlib.style.context(["default", SETTINGS]):
            return function(*args, **kwargs)  # type: ignore[operator]

    return plot  # type: ignore[return-value]


SETTINGS = {
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],
    "svg.fonttype": "none",  # a text stays text, in whatever script
    "svg.hashsalt": "unspool",  # the same plot is the same file
    "pdf.fonttype": 42,
}
# What would tell when, and by which version, a file was written.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


@functools.cache
def plot_class() -> Any:
    """matplotlib's Figure, that a notebook shows by itself and that saves as drawings do."""
    import matplotlib.style
    from matplotlib.figure import Figure

    class Plot(Figure):
        """A matplotlib Figure that no window shows and every notebook does."""

        def render(self, form: str) -> bytes:
            """The plot as "svg", "png" or "pdf"."""
            if form not in METADATA:
                raise ValueError(f"render: the format is {', '.join(METADATA)}, got {form!r}")
            file = io.BytesIO()
            with matplotlib.style.context(["default", SETTINGS]), warnings.catch_warnings():
                if form == "svg":  # its reader has other fonts too
                    warnings.filterwarnings("ignore", "Glyph .* missing from font")
                metadata = METADATA[form] | {"Title": self.alt_text()}
                self.savefig(file, format=form, dpi=144, metadata=metadata)
            return file.getvalue()

        def alt_text(self) -> str:
            """What each panel shows, for readers who do not see it: its title and axes."""
            panels = []
            for ax in self.axes:
                if ax.get_label() != "<colorbar>":
                    axes = " over ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel())))
                    panels.append(": ".join(filter(None, (ax.get_title(loc="left"), axes))))
            return "; ".join(filter(None, panels)) or "plot"

        def save(self, path: str | os.PathLike[str]) -> Path:
            """Write the plot to a file, whole or not at all; the suffix chooses the format."""
            path = Path(path)
            form = path.suffix.lower().lstrip(".")
            if form not in METADATA:
                suffixes = ", ".join(f".{suffix}" for suffix in METADATA)
                raise ValueError(f"save({str(path)!r}): the suffix chooses the format: {suffixes}")
            write_atomically(path, self.render(form))
            return path

        def _repr_svg_(self) -> str:
            return self.render("svg").decode()

    return Plot


class Canvas(NamedTuple):
    """Where a plot goes: Axes that were given, or a new Figure so many pixels wide; its theme."""

    ax: Any
    width: int | None
    theme: str

    @property
    def look(self) -> Theme:
        """Its colours."""
        return THEMES[self.theme]

    def panels(self, count: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
        """A Figure with so many Axes, one below the other, by default of a size in inches."""
        if self.width is not None:
            width = check_int("plot", "width", self.width)
            if self.ax is not None:
                raise ValueError(
                    f"plot: width={width} is for a new Figure, and ax is in one; give one of them"
                )
            size = (width / PIXELS, size[1])
        if self.ax is None:
            figure = plot_class()(figsize=size, layout="constrained", facecolor=self.look.of(PAPER))
            return figure, list(figure.subplots(count, 1, squeeze=False)[:, 0])
        given = [self.ax] if hasattr(self.ax, "plot") else list(np.ravel(self.ax))
        if len(given) != count or not all(hasattr(one, "plot") for one in given):
            raise ValueError(
                f"ax: expected {count} matplotlib Axes, one for each panel, got {len(given)} of "
                f"{type(given[0]).__name__ if given else 'nothing'}"
            )
        return given[0].figure, given


def dress(ax: Axes, theme: Theme, title: str, x: str, y: str) -> None:
    """Title, names of the axes, and the theme's colours."""
    ink, line = theme.of(INK), theme.of(FAINT)
    ax.set_facecolor(theme.of(PAPER))
    ax.set_title(plain(title, 90), color=ink, fontsize=11, fontweight="bold", loc="left")
    ax.set_xlabel(plain(x), color=theme.of(WIRE), fontsize=10)
    ax.set_ylabel(plain(y), color=theme.of(WIRE), fontsize=10)
    ax.tick_params(which="both", color=line, labelcolor=ink, labelsize=9)
    for side, spine in ax.spines.items():
        spine.set_color(line)
        spine.set_visible(side in ("left", "bottom"))


def plain(text: str, most: int = 40) -> str:
    """A text that is shown as it is, in one line: no mathematics between dollar signs."""
    return printable(shorten(text, most)).replace("$", r"\$")


def number_places(axis: Any, count: int, most: int = 20) -> None:
    """Numbers from 1 along an axis, about so many of them at most."""
    every = next(n for n in (1, 5, 10, 20, 50, 100, 200, 500, count) if count <= most * n)
    places = [0, *range(every - 1, count, every)] if every > 1 else list(range(count))
    axis.set_ticks(places, [str(place + 1) for place in places])


def name_places(axis: Any, words: Sequence[str] | None, count: int, upright: bool = False) -> None:
    """Words along an axis, or numbers from 1."""
    if words is None:
        number_places(axis, count)
    else:
        places = list(range(0, count, -(-count // MOST_LABELS)))
        names = [plain(str(words[place]), 16) for place in places]
        turn = {"rotation": 90} if upright and max(map(len, names), default=0) > 3 else {}
        axis.set_ticks(places, names, **turn)


def check_words(who: str, what: str, words: Any, count: int) -> Sequence[str] | None:
    """Words, one for each of so many places."""
    if words is None:
        return None
    if isinstance(words, str) or len(words) != count:
        got = f"the text {words!r}" if isinstance(words, str) else f"{len(words)}"
        raise ValueError(f"{who}: {what} is a list of words, one for each of {count}, got {got}")
    return list(words)


def heat_map(
    ax: Axes, theme: Theme, values: Array, label: str, scale: tuple[float, float] | None = None
) -> None:
    """A matrix as colours, with the bar that explains them.

    From 0 upwards in one hue, darker (on dark paper lighter) where there is more; with numbers
    below 0 from one hue to another by way of the paper.
    """
    from matplotlib.colors import LinearSegmentedColormap

    finite = values[np.isfinite(values)]
    paper, ink = theme.of(PAPER), theme.of(INK)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0:
        high = max(high, -low, 1.0 if scale is None else 0.0)
        low, colours = -high, [theme.of(DIVERGING[0]), paper, theme.of(DIVERGING[2])]
        if theme.grey:  # two hues would be one grey
            colours = [paper, mix(paper, ink, 0.5), ink]
    else:
        low, high = scale or (0.0, max(high, 1.0))
        colours = [paper, theme.of(BLUE), mix(theme.of(BLUE), ink, 0.35)]
    colour_map = LinearSegmentedColormap.from_list("unspool", colours).with_extremes(
        bad=theme.of(BAND_EDGE)
    )
    image = ax.imshow(
        values, cmap=colour_map, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
    )
    for spine in ax.spines.values():
        spine.set_visible(True)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.015, aspect=12)
    bar.set_label(plain(label), color=theme.of(WIRE), fontsize=9)
    bar.ax.tick_params(color=theme.of(FAINT), labelcolor=ink, labelsize=9)
    bar.outline.set_edgecolor(theme.of(FAINT))  # type: ignore[operator]


def line_style(theme: Theme, number: int, points: int) -> dict[str, Any]:
    """Colour and marks of the n-th line."""
    return {
        "color": theme.of(LINES[number % len(LINES)]),
        "marker": MARKERS[number % len(MARKERS)],
        "markevery": max(points // 12, 1),
        "markersize": 4.5,
        "linewidth": 1.8,
    }


def legend(ax: Axes, theme: Theme, names: Sequence[str]) -> None:
    """Which line is which, if there are several."""
    if list(names) == [""]:
        return
    box = ax.legend(frameon=False, fontsize=9, labelcolor=theme.of(INK))
    for text in box.get_texts():
        text.set_text(plain(text.get_text()))
