"""Pictures beside the graph: gates, states, gradients, attention and training, over time.

What is shown is first read off a tape as plain arrays (``activations``, ``states``,
``sensitivity``), which serve without a picture too; ``plot_...`` draws them with matplotlib, in
the colours of the drawings. A plot is a matplotlib Figure, which a notebook shows by itself;
nothing opens a window, and matplotlib's settings stay as they were.
"""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import autograd
from ..autograd import Tape, Tensor, backpropagate, describe
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
from .numbers import norm_of
from .structure import Structure, read, stem
from .trace import tape_of
from .view import parameter_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "activations",
    "plot_activations",
    "plot_attention",
    "plot_gates",
    "plot_gradient_flow",
    "plot_sensitivity",
    "plot_shares",
    "plot_states",
    "plot_training",
    "sensitivity",
    "shares",
    "states",
]

Array = NDArray[Any]
R = TypeVar("R")

LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")  # a line is told by its colour and by its marks
STEPS = 3  # of a cell that is unrolled to be shown
MOST_LABELS = 40  # words along an axis; of more every second, third, ... is named
UNITS = {
    "loss": "loss (nats)",
    "perplexity": "perplexity",
    "lr": "learning rate",
    "tokens_per_second": "speed (tokens per second)",
    "epoch": "epoch",
    "updates": "updates",
    "seconds": "time (seconds)",
}


# What there is to see, as arrays ----------------------------------------------------------------


def activations(tape: Tape | Tensor, sequence: int = 0) -> dict[str, Array]:
    """What each gate gave at each time step.

    A gate is a scope inside of a time step, and what it gives is its last result.

    Args:
        tape: The tape of an unrolled network, or a Tensor that came of it; of a cell 3 steps.
        sequence: Which sequence of a batch.

    Returns:
        The gate's name -> (T, d_h), in the order of the tape. Those of a composite are named as
        its parameters are: "0.forget", "forward.update"; of a second run "forget (2)".

    Raises:
        ValueError: There is no gate on the tape, or no such sequence.
        TypeError: ``tape`` is none of these.

    Example:
        >>> import numpy as np
        >>> from unspool import unroll
        >>> from unspool.cells import GRU
        >>> ys, _ = unroll(GRU(3, 4, rng=0), np.ones((5, 3), np.float32))
        >>> {gate: values.shape for gate, values in activations(ys).items()}
        {'update': (5, 4), 'reset': (5, 4), 'candidate': (5, 4)}
    """
    structure = read(tape_of("activations", tape, STEPS))
    found: dict[tuple[int, str], dict[int, Array]] = {}
    for record, place, group in zip(
        structure.records, structure.where, structure.group, strict=True
    ):
        if place is not None and group and record.step is not None:
            name, entered = group[0]
            name = name if entered == 1 else f"{name} #{entered}"
            found.setdefault((place[0], name), {})[place[1]] = record.output.data
    if not found:
        raise ValueError(
            "activations: no gate on this tape; a gate is a scope inside of a time step: write "
            "with scope(name): in the cell's forward (states() are there without)"
        )
    paths = [loop.path for loop in structure.loops]
    return by_time("activations", found, paths, sequence)


def states(tape: Tape | Tensor, sequence: int = 0) -> dict[str, Array]:
    """The states of an unrolled network over time.

    Args:
        tape: Its tape, or a Tensor that came of it; of a cell 3 steps.
        sequence: Which sequence of a batch.

    Returns:
        The state's name -> (T, d_h): "h" and "c" of an LSTM; those of a composite are named as
        its parameters are, "0.h", and those of a second run "h (2)".

    Raises:
        ValueError: No state is carried from step to step, or there is no such sequence.
        TypeError: ``tape`` is none of these.

    Example:
        >>> import numpy as np
        >>> from unspool import unroll
        >>> from unspool.cells import Elman
        >>> ys, _ = unroll(Elman(3, 4, rng=0), np.ones((5, 3), np.float32))
        >>> bool((states(ys)["h"] == ys.data).all())
        True
    """
    return over_time("states", read(tape_of("states", tape, STEPS)), lambda x: x.data, sequence)


def over_time(
    who: str, structure: Structure, measure: Callable[[Tensor], Array], sequence: int = 0
) -> dict[str, Array]:
    """What is measured of each state at each step, by full names."""
    records = structure.records
    found: dict[tuple[int, str], dict[int, Array]] = {}
    for loop in structure.loops:
        for slot in structure.slots[loop.index]:
            for step, positions in loop.steps.items():
                named = [i for i in positions if records[i].output.name == f"{slot.name}_{step}"]
                made = named or [i for i in positions if structure.key[i] in slot.keys]
                if made:
                    value = measure(records[made[-1]].output)
                    found.setdefault((loop.index, slot.name), {})[step] = value
    if not found:
        raise ValueError(
            f"{who}: nothing on this tape is carried from one time step to the next; compute it "
            "with unroll(cell, xs), or in a loop with scope(name, step=t)"
        )
    return by_time(who, found, [loop.path for loop in structure.loops], sequence)


def gradient_norms(loss: Tensor | Tape) -> dict[str, Array]:
    """‖∂L/∂s_t‖ (T,) of each state s, and of what else has a name in each step, such as x_t.

    By full names; 0 where no gradient arrives.
    """
    tape = loss if isinstance(loss, Tape) else Tape(loss)
    gradients, structure = tape.gradients(), read(tape)

    def norm(x: Tensor) -> Array:
        return np.asarray(norm_of(gradients[x]) if x in gradients else 0.0)

    named: dict[tuple[int, str], dict[int, Array]] = {}
    for record, place in zip(structure.records, structure.where, strict=True):
        name = record.output.name or ""
        label = stem(name)
        if place is not None and label and name == f"{label}_{place[1]}":
            named.setdefault((place[0], label), {})[place[1]] = norm(record.output)
    found = by_time("plot_gradient_flow", named, [loop.path for loop in structure.loops], 0)
    if any(structure.slots) or not named:
        found |= over_time("plot_gradient_flow", structure, norm)
    return {name: values[:, 0] for name, values in found.items()}


def shares(loss: Tensor | Tape) -> dict[str, Array]:
    """How much of each parameter's gradient comes from each time step.

    The gradient of a shared parameter is the sum of what its uses give; a step's share is the
    norm of its part of that sum.

    Args:
        loss: A loss computed from an ``unroll``, or its tape.

    Returns:
        The parameter's name -> (T,), in the order of first use. Those of a composite's cells are
        named as its parameters are: "0.W_f".

    Raises:
        ValueError: No parameter is used in a time step.

    Example:
        >>> import numpy as np
        >>> from unspool import unroll
        >>> from unspool.cells import Elman
        >>> ys, _ = unroll(Elman(3, 4, rng=0), np.ones((5, 3), np.float32))
        >>> {name: norms.shape for name, norms in shares(ys.sum()).items()}
        {'W': (5,), 'U': (5,), 'b': (5,)}
    """
    tape = loss if isinstance(loss, Tape) else Tape(loss)
    gradients, structure = tape.gradients(), read(tape)
    sums: dict[tuple[int, Tensor], dict[int, Array]] = {}
    for record, place in zip(structure.records, structure.where, strict=True):
        used = [x for x in record.inputs if x in structure.parameters]
        if place is None or not used:
            continue
        g = gradients.get(record.output)
        given = record.operand_gradients(g) if g is not None else {}
        for x in used:
            by_step = sums.setdefault((place[0], x), {})
            share = np.asarray(given[x]) if x in given else np.zeros(x.shape)
            by_step[place[1]] = by_step[place[1]] + share if place[1] in by_step else share
    if not sums:
        raise ValueError(
            "shares: no parameter is used in a time step of this tape; compute it with "
            "unroll(cell, xs), or in a loop with scope(name, step=t)"
        )
    found = {
        (loop, parameter_name(structure, x, marked=False)): {
            t: np.asarray(norm_of(by_step[t]) if t in by_step else 0.0)
            for t in sorted(structure.loops[loop].steps)
        }
        for (loop, x), by_step in sums.items()
    }
    named = by_time("shares", found, [loop.path for loop in structure.loops], 0)
    return {name: norms[:, 0] for name, norms in named.items()}


def sensitivity(ys: Tensor, xs: Tensor, sequence: int = 0) -> Array:
    """How much each output depends on each input: ‖∂y_t/∂x_s‖, the Frobenius norm.

    One pass back for every element of ``ys``; meant for a sentence, not for a corpus.

    Args:
        ys: (T, d_out), or (batch, T, d_out).
        xs: (S, d_in), or (batch, S, d_in): what ``ys`` was computed from, such as the embedded
            words.
        sequence: Which sequence of a batch.

    Returns:
        (T, S). Left to right, nothing depends on what comes after it: 0 where s > t.

    Raises:
        ValueError: ``xs`` does not lead to ``ys``, or the shapes are others.
        TypeError: One of them is no Tensor.

    Example:
        >>> import numpy as np
        >>> from unspool import Tensor, unroll
        >>> from unspool.cells import Elman
        >>> cell = Elman(1, 1, activation="identity", dtype=float)
        >>> cell.W.data[...], cell.U.data[...] = 1, 0.5
        >>> xs = Tensor(np.ones((3, 1)))
        >>> sensitivity(unroll(cell, xs)[0], xs)
        array([[1.  , 0.  , 0.  ],
               [0.5 , 1.  , 0.  ],
               [0.25, 0.5 , 1.  ]])
    """
    for name, x in (("ys", ys), ("xs", xs)):
        if not isinstance(x, Tensor):
            raise TypeError(f"sensitivity: {name} is a Tensor, got {type(x).__name__}")
        if x.ndim not in (2, 3) or x.ndim != ys.ndim:
            raise ValueError(
                "sensitivity: expected ys and xs of (time, width), or both of (batch, time, "
                f"width), got {ys.shape} and {xs.shape}"
            )
    if ys.ndim == 3:
        check_sequence("sensitivity", sequence, len(ys.data))
    here: Any = sequence if ys.ndim == 3 else ()
    steps, width = ys.shape[-2:]
    squares = np.zeros((steps, xs.shape[-2]), ys.dtype)
    found: dict[Tensor, Array] = {}
    for t in range(steps):
        for k in range(width):
            seed = np.zeros(ys.shape, ys.dtype)
            seed[here][t, k] = 1
            found.clear()
            backpropagate([(ys, seed)], found.__setitem__, every=True, stop=(xs,))
            if xs not in found:
                raise ValueError(f"sensitivity: {describe(xs)} does not lead to {describe(ys)}")
            squares[t] += np.square(found[xs][here]).sum(axis=-1)
    result: Array = np.sqrt(squares)
    return result


def check_sequence(who: str, sequence: int, batch: int) -> None:
    """Raise unless a batch has such a sequence."""
    if not -batch <= sequence < batch:
        raise ValueError(f"{who}: the batch has {batch} sequences, got sequence={sequence}")


def by_time(
    who: str,
    found: dict[tuple[int, str], dict[int, Array]],
    paths: Sequence[tuple[str, ...]],
    sequence: int,
) -> dict[str, Array]:
    """What was found at each step, by (loop, name), as arrays (T, d) by full names."""
    series: dict[str, Array] = {}
    for (loop, name), values in found.items():
        # The innermost scope around the steps is the cell's own.
        base = full = ".".join((*paths[loop][:-1], name))
        run = 1
        while full in series:
            run += 1
            full = f"{base} ({run})"
        first = next(iter(values.values()))
        if first.ndim > 1:
            check_sequence(who, sequence, len(first))
        rows = [np.atleast_1d(v[sequence] if v.ndim > 1 else v) for _, v in sorted(values.items())]
        series[full] = np.stack(rows)
    return series


# The look of a plot -----------------------------------------------------------------------------


def needs_matplotlib(function: R) -> R:
    """A function whose error, where matplotlib is missing, says what to install."""

    @functools.wraps(function)  # type: ignore[arg-type]
    def plot(*args: Any, **kwargs: Any) -> Any:
        try:
            import matplotlib.style
        except ImportError as error:
            raise ImportError(
                f'{plot.__name__} draws with matplotlib: pip install "unspool[plot]"'
            ) from error
        theme = kwargs.get("theme", "light")
        if theme not in THEMES:
            raise ValueError(
                f"{plot.__name__}: theme is one of {', '.join(map(repr, THEMES))}, got {theme!r}"
            )
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


def panels(ax: Any, count: int, size: tuple[float, float], theme: str) -> tuple[Figure, list[Axes]]:
    """A Figure with so many Axes, one below the other; or those that were given."""
    if ax is None:
        figure = plot_class()(figsize=size, layout="constrained", facecolor=THEMES[theme].of(PAPER))
        return figure, list(figure.subplots(count, 1, squeeze=False)[:, 0])
    given = [ax] if hasattr(ax, "plot") else list(np.ravel(ax))
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


# Plots --------------------------------------------------------------------------------------------


def plot_over_time(
    who: str, series: Mapping[str, Array], words: Any, ax: Any, theme: str, label: str
) -> Figure:
    """A heat map for each series (T, d), units upwards and time to the right."""
    steps = max(len(values) for values in series.values())
    words = check_words(who, "words", words, steps)
    size = (min(max(0.3 * steps + 2.2, 5.0), 16.0), 0.9 + 1.55 * len(series))
    figure, axes = panels(ax, len(series), size, theme)
    for one, (name, values) in zip(axes, series.items(), strict=True):
        last = one is axes[-1]
        dress(one, THEMES[theme], name, ("" if words else "time step t") if last else "", "unit")
        heat_map(one, THEMES[theme], values.T, label)
        name_places(one.xaxis, words, steps, upright=True)
        number_places(one.yaxis, values.shape[1], most=8)
        if not last and ax is None:
            one.set_xticklabels([])
    return figure


def chosen(
    who: str, what: str, series: dict[str, Array], names: Sequence[str] | str | None
) -> dict[str, Array]:
    """Those of some series that are asked for."""
    if names is None:
        return series
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in series:
            raise ValueError(f"{who}: {what} are {', '.join(series)}, got {name!r}")
    return {name: series[name] for name in names}


@needs_matplotlib
def plot_gates(
    tape: Tape | Tensor,
    words: Sequence[str] | None = None,
    *,
    gates: Sequence[str] | str | None = None,
    sequence: int = 0,
    ax: Any = None,
    theme: str = "light",
) -> Figure:
    """The gates over a sentence: a heat map of units and words for each of them.

    Args:
        tape: The tape of an unrolled network, or a Tensor that came of it; of a cell 3 steps.
        words: One for each time step; without them steps are numbered.
        gates: Which ones, by the names of ``activations``; all by default.
        sequence: Which sequence of a batch.
        ax: matplotlib Axes to draw into, one for each gate; by default a new Figure.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: There are no gates, or no such gate, theme or sequence, or the numbers of
            words or Axes are others.
    """
    series = chosen("plot_gates", "the gates", activations(tape, sequence), gates)
    return plot_over_time("plot_gates", series, words, ax, theme, "activation")


@needs_matplotlib
def plot_states(
    tape: Tape | Tensor,
    words: Sequence[str] | None = None,
    *,
    names: Sequence[str] | str | None = None,
    sequence: int = 0,
    ax: Any = None,
    theme: str = "light",
) -> Figure:
    """The states over time: a heat map of units and words for each of them.

    Args and errors are those of ``plot_gates``; ``names`` are those of ``states``.
    """
    series = chosen("plot_states", "the states", states(tape, sequence), names)
    return plot_over_time("plot_states", series, words, ax, theme, "value")


@needs_matplotlib
def plot_gradient_flow(
    runs: Any,
    *,
    state: str = "h",
    words: Sequence[str] | None = None,
    ax: Any = None,
    theme: str = "light",
) -> Figure:
    """‖∂L/∂h_t‖ over t, of several cells together, on a logarithmic scale.

    A line that falls to the left is a gradient that vanishes on its way back through time. Where
    the gradient is 0 or infinite, which has no place on this scale, the line is interrupted.

    Args:
        runs: Name -> a loss computed from an ``unroll``, what ``gradient_flow`` returned for
            it, or its norms (T,); or one of these alone.
        state: Which state, by the names of ``states(loss)``; of a single one whatever its name.
        words: One for each time step; without them steps are numbered.
        ax: matplotlib Axes to draw into; by default a new Figure.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: There is no such state or theme, nothing to show, or another number of words.

    Source: the curves of Bengio, Simard and Frasconi (1994) and Pascanu et al. (2013).
    """
    lines = {name: norms_of(run, state) for name, run in named_runs("plot_gradient_flow", runs)}
    steps = max(len(line) for line in lines.values())
    words = check_words("plot_gradient_flow", "words", words, steps)
    look = THEMES[theme]
    figure, (one,) = panels(ax, 1, (6.4, 3.8), theme)
    letter = shorten(state.rpartition(".")[2])
    dress(
        one,
        look,
        "The gradient on its way back through time",
        "" if words else "time step t",
        f"‖∂L/∂{letter}ₜ‖",
    )
    one.set_yscale("log")
    one.grid(axis="y", color=look.of(BAND_EDGE), linewidth=0.6)
    for number, (name, line) in enumerate(lines.items()):
        heights = np.where((line > 0) & np.isfinite(line), line, np.nan)
        one.plot(np.arange(len(line)), heights, **line_style(look, number, len(line)), label=name)
    name_places(one.xaxis, words, steps, upright=True)
    legend(one, look, list(lines))
    return figure


def norms_of(run: Any, state: str) -> Array:
    """‖∂L/∂h_t‖ (T,) of a loss, a Tape, a Flow, or as it was given."""
    known = gradient_norms(run) if isinstance(run, (Tensor, Tape)) else getattr(run, "norms", None)
    if isinstance(known, Mapping):
        if state == "h" and "h" not in known and len(known) == 1:
            return next(iter(known.values()))  # a loop of one's own calls its state otherwise
        return chosen("plot_gradient_flow", "the states", dict(known), state)[state]
    norms = np.asarray(run, float)
    if norms.ndim != 1 or not norms.size:
        raise ValueError(
            "plot_gradient_flow: a run is a loss, what gradient_flow returned, or norms (T,), got "
            f"an array {norms.shape}"
        )
    return norms


def named_runs(who: str, runs: Any) -> list[tuple[str, Any]]:
    """Several runs with their names, or the one without a name."""
    if not isinstance(runs, Mapping):
        return [("", runs)]
    if not runs:
        raise ValueError(f"{who}: there is no run to show")
    return [(str(name), run) for name, run in runs.items()]


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


@needs_matplotlib
def plot_sensitivity(
    ys: Any,
    xs: Tensor | None = None,
    words: Sequence[str] | None = None,
    *,
    outputs: Sequence[str] | None = None,
    sequence: int = 0,
    ax: Any = None,
    theme: str = "light",
) -> Figure:
    """‖∂y_t/∂x_s‖ as a matrix: how much each output owes to each word.

    Args:
        ys: The outputs (T, d_out) or (batch, T, d_out); or the matrix that ``sensitivity`` gave.
        xs: What they were computed from, (S, d_in) or (batch, S, d_in), such as embedded words.
        words: One for each input; without them they are numbered.
        outputs: One for each output; by default ``words``, where there are as many.
        sequence: Which sequence of a batch.
        ax: matplotlib Axes to draw into; by default a new Figure.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: As in ``sensitivity``, or the numbers of words are others.
    """
    matrix = np.asarray(ys) if xs is None else sensitivity(ys, xs, sequence)
    if outputs is None and words is not None and len(matrix) == len(words):
        outputs = words
    top = float(matrix.max(initial=0.0)) or 1.0
    return plot_matrix(
        "plot_sensitivity",
        matrix,
        ("words", words, "input s"),
        ("outputs", outputs, "output t"),
        "What each output depends on",
        ("‖∂yₜ/∂xₛ‖", (0.0, top)),
        ax,
        theme,
    )


@needs_matplotlib
def plot_attention(
    weights: Any,
    source: Sequence[str] | None = None,
    target: Sequence[str] | None = None,
    *,
    sequence: int = 0,
    ax: Any = None,
    theme: str = "light",
) -> Figure:
    """Attention: where each step of a target looks in the source.

    Args:
        weights: (T', T) or (batch, T', T): what ``EncoderDecoder.attention_matrix`` gave, or the
            second result of calling an ``Attention``. Row t belongs to the prediction of the
            target's token t + 1.
        source: The words read; what stands behind them is padding and is not shown.
        target: The words predicted (without ``<s>``); what stands behind them is not shown.
        sequence: Which sequence of a batch.
        ax: matplotlib Axes to draw into; by default a new Figure.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: ``weights`` is no such matrix, or has fewer rows or columns than words.
    """
    matrix: Array = weights.data if isinstance(weights, Tensor) else np.asarray(weights)
    if matrix.ndim == 3:
        check_sequence("plot_attention", sequence, len(matrix))
        matrix = matrix[sequence]
    if matrix.ndim != 2:
        raise ValueError(
            f"plot_attention: expected weights (target, source) or a batch of them, got "
            f"{matrix.shape}"
        )
    rows = len(matrix) if target is None else min(len(target), len(matrix))
    columns = matrix.shape[1] if source is None else min(len(source), matrix.shape[1])
    return plot_matrix(
        "plot_attention",
        matrix[:rows, :columns],
        ("source", source, "read"),
        ("target", target, "predicted"),
        "Attention",
        ("weight", (0.0, 1.0)),
        ax,
        theme,
    )


def plot_matrix(
    who: str,
    matrix: Array,
    across: tuple[str, Any, str],
    down: tuple[str, Any, str],
    title: str,
    scale: tuple[str, tuple[float, float]],
    ax: Any,
    theme: str,
) -> Figure:
    """A matrix with words on both sides, the first row on top."""
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"{who}: expected a matrix, got an array {matrix.shape}")
    rows, columns = matrix.shape
    columns_named = check_words(who, across[0], across[1], columns)
    rows_named = check_words(who, down[0], down[1], rows)
    size = (min(max(0.34 * columns + 2.6, 3.6), 14.0), min(max(0.3 * rows + 1.7, 2.8), 12.0))
    figure, (one,) = panels(ax, 1, size, theme)
    dress(one, THEMES[theme], title, across[2], down[2])
    heat_map(one, THEMES[theme], matrix, *scale)
    name_places(one.xaxis, columns_named, columns, upright=True)
    name_places(one.yaxis, rows_named, rows)
    return figure


@needs_matplotlib
def plot_shares(
    loss: Any,
    words: Sequence[str] | None = None,
    *,
    names: Sequence[str] | str | None = None,
    ax: Any = None,
    theme: str = "light",
) -> Figure:
    """Which steps a shared parameter's gradient comes from: a row for each parameter.

    The norm of each step's part, beside that of the parameter's largest: where only the last
    columns are dark, the network learns from the last words alone.

    Args:
        loss: A loss computed from an ``unroll``, its tape, or what ``shares`` returned.
        words: One for each time step; without them steps are numbered.
        names: Which parameters, by the names of ``shares``; all by default.
        ax: matplotlib Axes to draw into; by default a new Figure.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: As in ``shares``, or there is no such parameter, or another number of words.
    """
    found = dict(loss) if isinstance(loss, Mapping) else shares(loss)
    found = chosen("plot_shares", "the parameters", found, names)
    steps = max(len(norms) for norms in found.values())
    rows = np.full((len(found), steps), np.nan)
    for row, norms in zip(rows, found.values(), strict=True):
        row[: len(norms)] = norms / (norms.max() or 1.0)
    return plot_matrix(
        "plot_shares",
        rows,
        ("words", words, "" if words else "time step t"),
        ("names", list(found), ""),
        "Each step's share in a parameter's gradient",
        ("beside the largest", (0.0, 1.0)),
        ax,
        theme,
    )


@needs_matplotlib
def plot_activations(
    functions: Any = ("sigmoid", "tanh", "relu"),
    *,
    span: float = 5.0,
    ax: Any = None,
    theme: str = "light",
) -> Figure:
    """Activation functions, and below them their derivatives, computed by the tape.

    Where the derivative is near 0, a gradient that comes back through it vanishes.

    Args:
        functions: Names, of ``unspool.autograd`` or of NumPy; or name -> function of yours.
        span: From -span to span.
        ax: Two matplotlib Axes to draw into; by default a new Figure.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: There is no such function, or ``span`` is not above 0.
    """
    if not span > 0:
        raise ValueError(f"plot_activations: span is a number above 0, got {span!r}")
    look, known = THEMES[theme], named_functions(functions)
    x = Tensor(np.linspace(-span, span, 401), requires_grad=True)
    values = {name: function(x) for name, function in known.items()}
    slopes = {name: Tape(y).gradients(np.ones(y.shape))[x] for name, y in values.items()}
    figure, axes = panels(ax, 2, (6.4, 5.6), theme)
    rows = (("Activation", "f(x)", values), ("Derivative", "f′(x)", slopes))
    for one, (title, label, curves) in zip(axes, rows, strict=True):
        dress(one, look, title, "x" if one is axes[-1] else "", label)
        one.grid(axis="y", color=look.of(BAND_EDGE), linewidth=0.6)
        for number, (name, ys) in enumerate(curves.items()):
            style = line_style(look, number, len(x.data))
            one.plot(x.data, ys.data if isinstance(ys, Tensor) else ys, **style, label=name)
    legend(axes[0], look, list(known))
    return figure


def named_functions(functions: Any) -> dict[str, Callable[[Any], Any]]:
    """Functions by name: of autograd, of NumPy, or as they are given."""
    if isinstance(functions, Mapping):
        return dict(functions)
    names = [functions] if isinstance(functions, str) else list(functions)
    found: dict[str, Any] = {}
    for name in names:
        found[name] = function = getattr(autograd, name, getattr(np, name, None))
        if not callable(function):
            raise ValueError(
                "plot_activations: functions are names of unspool.autograd or NumPy, such as "
                f"'sigmoid', or a dictionary of functions, got {name!r}"
            )
    return found


@needs_matplotlib
def plot_training(
    runs: Any,
    *,
    what: str = "loss",
    over: str = "epoch",
    ax: Any = None,
    theme: str = "light",
) -> Figure:
    """Training curves, of several runs together; dashed, what validation gave.

    Args:
        runs: Name -> the History that ``fit`` returned; or one History alone.
        what: The column that is shown: "loss", "perplexity", "lr", ...
        over: The column to the right: "epoch", "updates" or "seconds".
        ax: matplotlib Axes to draw into; by default a new Figure.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: A history is empty, or has no such column.
    """
    from matplotlib.ticker import MaxNLocator

    look = THEMES[theme]
    histories = named_runs("plot_training", runs)
    figure, (one,) = panels(ax, 1, (6.4, 3.8), theme)
    dress(one, look, "Training", UNITS.get(over, over), UNITS.get(what, what))
    one.grid(axis="y", color=look.of(BAND_EDGE), linewidth=0.6)
    names = []
    for number, (name, history) in enumerate(histories):
        style = line_style(look, number, len(history))
        columns = [(what, name, "-"), (f"validation_{what}", f"{name} validation", "--")]
        if history and columns[1][0] in history[0] and not name:
            columns[0] = (what, "training", "-")
        for column, label, dashes in columns:
            if column.startswith("validation") and (not history or column not in history[0]):
                continue
            x, y = curve(history, over, name), curve(history, column, name)
            names.append(label.strip())
            one.plot(x, y, linestyle=dashes, **style, label=names[-1])
    if over in ("epoch", "updates"):
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(one, look, names)
    return figure


def curve(history: Any, column: str, name: str = "") -> Array:
    """One column of a training's History, (epochs,)."""
    of = f" of {name}" if name else ""
    if not isinstance(history, Sequence) or not history:
        raise ValueError(f"plot_training: the history{of} has no row; give what fit returned")
    if column not in history[0]:
        known = ", ".join(history[0])
        raise ValueError(f"plot_training: the history{of} has the columns {known}, got {column!r}")
    return np.array([row[column] for row in history], float)
