"""Pictures beside the graph: gates, states, gradients, attention and training, over time.

What is shown is first read off a tape as plain arrays (``activations``, ``states``,
``sensitivity``), which serve without a picture too; ``plot_...`` draws them with matplotlib, in
the colours of the drawings. A plot is a matplotlib Figure, which a notebook shows by itself;
nothing opens a window, and matplotlib's settings stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import autograd
from ..autograd import Tape, Tensor
from .axes import (
    Canvas,
    check_words,
    dress,
    heat_map,
    legend,
    line_style,
    name_places,
    needs_matplotlib,
    number_places,
)
from .look import BAND_EDGE, shorten
from .series import Array, activations, check_sequence, gradient_norms, sensitivity, shares, states

if TYPE_CHECKING:
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

UNITS = {
    "loss": "loss (nats)",
    "perplexity": "perplexity",
    "lr": "learning rate",
    "tokens_per_second": "speed (tokens per second)",
    "epoch": "epoch",
    "updates": "updates",
    "seconds": "time (seconds)",
}


def plot_over_time(
    who: str, series: Mapping[str, Array], words: Any, canvas: Canvas, label: str
) -> Figure:
    """A heat map for each series (T, d), units upwards and time to the right."""
    steps = max(len(values) for values in series.values())
    words = check_words(who, "words", words, steps)
    size = (min(max(0.3 * steps + 2.2, 5.0), 16.0), 0.9 + 1.55 * len(series))
    figure, axes = canvas.panels(len(series), size)
    for one, (name, values) in zip(axes, series.items(), strict=True):
        last = one is axes[-1]
        dress(one, canvas.look, name, ("" if words else "time step t") if last else "", "unit")
        heat_map(one, canvas.look, values.T, label)
        name_places(one.xaxis, words, steps, upright=True)
        number_places(one.yaxis, values.shape[1], most=8)
        if not last and canvas.ax is None:
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
    width: int | None = None,
    theme: str = "light",
) -> Figure:
    """The gates over a sentence: a heat map of units and words for each of them.

    Args:
        tape: The tape of an unrolled network, or a Tensor that came of it; of a cell 3 steps.
        words: One for each time step; without them steps are numbered.
        gates: Which ones, by the names of ``activations``; all by default.
        sequence: Which sequence of a batch.
        ax: matplotlib Axes to draw into, one for each gate; by default a new Figure.
        width: How many pixels wide a new Figure is; by default as its content needs.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: There are no gates, or no such gate, theme or sequence, or the numbers of
            words or Axes are others.
    """
    series = chosen("plot_gates", "the gates", activations(tape, sequence), gates)
    return plot_over_time("plot_gates", series, words, Canvas(ax, width, theme), "activation")


@needs_matplotlib
def plot_states(
    tape: Tape | Tensor,
    words: Sequence[str] | None = None,
    *,
    names: Sequence[str] | str | None = None,
    sequence: int = 0,
    ax: Any = None,
    width: int | None = None,
    theme: str = "light",
) -> Figure:
    """The states over time: a heat map of units and words for each of them.

    Args and errors are those of ``plot_gates``; ``names`` are those of ``states``.
    """
    series = chosen("plot_states", "the states", states(tape, sequence), names)
    return plot_over_time("plot_states", series, words, Canvas(ax, width, theme), "value")


@needs_matplotlib
def plot_gradient_flow(
    runs: Any,
    *,
    state: str = "h",
    words: Sequence[str] | None = None,
    ax: Any = None,
    width: int | None = None,
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
        width: How many pixels wide a new Figure is; by default as its content needs.
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
    canvas = Canvas(ax, width, theme)
    look, (figure, (one,)) = canvas.look, canvas.panels(1, (6.4, 3.8))
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


@needs_matplotlib
def plot_sensitivity(
    ys: Any,
    xs: Tensor | None = None,
    words: Sequence[str] | None = None,
    *,
    outputs: Sequence[str] | None = None,
    sequence: int = 0,
    ax: Any = None,
    width: int | None = None,
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
        width: How many pixels wide a new Figure is; by default as its content needs.
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
        Canvas(ax, width, theme),
    )


@needs_matplotlib
def plot_attention(
    weights: Any,
    source: Sequence[str] | None = None,
    target: Sequence[str] | None = None,
    *,
    sequence: int = 0,
    ax: Any = None,
    width: int | None = None,
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
        width: How many pixels wide a new Figure is; by default as its content needs.
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
        Canvas(ax, width, theme),
    )


def plot_matrix(
    who: str,
    matrix: Array,
    across: tuple[str, Any, str],
    down: tuple[str, Any, str],
    title: str,
    scale: tuple[str, tuple[float, float]],
    canvas: Canvas,
) -> Figure:
    """A matrix with words on both sides, the first row on top."""
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"{who}: expected a matrix, got an array {matrix.shape}")
    rows, columns = matrix.shape
    columns_named = check_words(who, across[0], across[1], columns)
    rows_named = check_words(who, down[0], down[1], rows)
    size = (min(max(0.34 * columns + 2.6, 3.6), 14.0), min(max(0.3 * rows + 1.7, 2.8), 12.0))
    figure, (one,) = canvas.panels(1, size)
    dress(one, canvas.look, title, across[2], down[2])
    heat_map(one, canvas.look, matrix, *scale)
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
    width: int | None = None,
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
        width: How many pixels wide a new Figure is; by default as its content needs.
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
        Canvas(ax, width, theme),
    )


@needs_matplotlib
def plot_activations(
    functions: Any = ("sigmoid", "tanh", "relu"),
    *,
    span: float = 5.0,
    ax: Any = None,
    width: int | None = None,
    theme: str = "light",
) -> Figure:
    """Activation functions, and below them their derivatives, computed by the tape.

    Where the derivative is near 0, a gradient that comes back through it vanishes.

    Args:
        functions: Names, of ``unspool.autograd`` or of NumPy; or name -> function of yours.
        span: From -span to span.
        ax: Two matplotlib Axes to draw into; by default a new Figure.
        width: How many pixels wide a new Figure is; by default as its content needs.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: There is no such function, or ``span`` is not above 0.
    """
    if not span > 0:
        raise ValueError(f"plot_activations: span is a number above 0, got {span!r}")
    canvas, known = Canvas(ax, width, theme), named_functions(functions)
    look = canvas.look
    x = Tensor(np.linspace(-span, span, 401), requires_grad=True)
    values = {name: function(x) for name, function in known.items()}
    slopes = {name: Tape(y).gradients(np.ones(y.shape))[x] for name, y in values.items()}
    figure, axes = canvas.panels(2, (6.4, 5.6))
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
    width: int | None = None,
    theme: str = "light",
) -> Figure:
    """Training curves, of several runs together; dashed, what validation gave.

    Args:
        runs: Name -> the History that ``fit`` returned; or one History alone.
        what: The column that is shown: "loss", "perplexity", "lr", ...
        over: The column to the right: "epoch", "updates" or "seconds".
        ax: matplotlib Axes to draw into; by default a new Figure.
        width: How many pixels wide a new Figure is; by default as its content needs.
        theme: "light", "dark" or "print".

    Returns:
        The Figure.

    Raises:
        ImportError: There is no matplotlib; the message says what to install.
        ValueError: A history is empty, or has no such column.
    """
    from matplotlib.ticker import MaxNLocator

    histories = named_runs("plot_training", runs)
    canvas = Canvas(ax, width, theme)
    look, (figure, (one,)) = canvas.look, canvas.panels(1, (6.4, 3.8))
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
