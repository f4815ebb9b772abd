"""What a tape looks like: the unrolled network as the textbook draws it.

``structure`` reads loops, steps, gates and states off a tape; ``view`` chooses what of it is
shown; ``layout`` places it, with ``template`` for one time step, ``blocks`` for the gates in
it and ``layers`` for the placing itself; ``dot`` writes it down and ``render`` has Graphviz
draw it. ``notation`` knows how an op is written, ``equations`` what the ops together compute,
``look`` the colours and sizes; ``trace`` runs a cell that is to be shown; ``page`` puts all
views of a tape, its numbers and a browser's script into one file, ``animation`` lets a drawing
light up in the order of its tape. ``plots`` has the pictures beside the graph, by matplotlib.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import graphviz
import numpy as np

from ..autograd import Record, Tape, Tensor
from ..autograd.tensor import describe
from ..files import write_atomically
from . import dot, render
from .animation import animate
from .equations import equations
from .layout import lay_out
from .look import THEMES, Theme
from .page import make_page
from .paint import svg
from .scene import Scene
from .trace import tape_of
from .view import LEVELS, make_view

__all__ = ["Drawing", "draw", "equations"]

CELL_STEPS = 3  # over how many steps a cell is unrolled to be drawn
SUFFIXES = (".svg", ".png", ".pdf", ".dot", ".html")


class Drawing:
    """A picture of a network. A notebook shows it by itself.

    Attributes:
        scene: What stands where: for tests, and for other ways of showing it.
        theme: Its colours, as ``look.Theme`` gives them.
        page: ``page()`` is the HTML that ``save("x.html")`` writes: all views of the tape, to be
            opened, stepped through and asked for numbers, in one file that needs no network.

    Example:
        >>> from unspool.cells import LSTM
        >>> from unspool.viz import draw
        >>> drawing = draw(LSTM(3, 4), level="cell")
        >>> print(drawing.source.splitlines()[0])
        digraph unspool {
    """

    def __init__(
        self,
        scene: Scene,
        what: str,
        theme: Theme = THEMES["light"],
        page: Callable[[], str] | None = None,
    ) -> None:
        self.scene = scene
        self.page = page or partial(make_page, scene.view.structure.tape, theme=theme)
        self.theme = theme
        self._what = what

    @cached_property
    def source(self) -> str:
        """The picture as DOT text, with all positions; the same tape gives the same text."""
        return dot.source(self.scene, self.theme)

    @property
    def graph(self) -> graphviz.Source:
        """The DOT text for the package graphviz; ``neato_no_op=2`` keeps all positions."""
        return graphviz.Source(self.source, engine="neato")

    def render(self, form: str) -> bytes:
        """The picture as "svg", "png" or "pdf".

        Raises:
            ValueError: It is another format.
            RuntimeError: For PNG and PDF: no Graphviz is installed, or it failed; the message
                says what to install.
            TimeoutError: Graphviz took too long and was stopped.
        """
        if form not in ("svg", "png", "pdf"):
            raise ValueError(f"render: the format is svg, png, pdf, got {form!r}")
        if form == "svg":
            return svg(self.scene, self.theme).encode()
        scene = self.scene
        return render.render(self.source, form, (scene.x2 - scene.x1, scene.y2 - scene.y1))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, whole or not at all.

        Args:
            path: Its suffix chooses the format: .svg, .png, .pdf, .dot or .html. Folders are made.

        Returns:
            The path.

        Raises:
            ValueError: The suffix is another.
            RuntimeError: For .png and .pdf: no Graphviz is installed, or it failed.
            TimeoutError: Graphviz took too long and was stopped.
        """
        path = Path(path)
        form = path.suffix.lower()
        if form not in SUFFIXES:
            raise ValueError(
                f"save({str(path)!r}): the suffix chooses the format: {', '.join(SUFFIXES)}"
            )
        if form in (".dot", ".html"):
            data = (self.source if form == ".dot" else self.page()).encode()
        else:
            data = self.render(form[1:])
        write_atomically(path, data)
        return path

    def animate(
        self, path: str | os.PathLike[str], *, by: str | None = None, seconds: float | None = None
    ) -> Path:
        """Write a walk through forward and backward pass, in the order of the tape.

        Args:
            path: Its suffix chooses the format: .svg (a style sheet moves it) or .gif (needs the
                extra ``plot``).
            by: "record", or "step": all of a time step at once. By default records, but steps
                for cells and where more than 120 records are shown.
            seconds: How long a frame lasts; by default a round takes about 20 seconds.

        Returns:
            The path.

        Raises:
            ValueError: The suffix or ``by`` is another, a frame is too short or too long, or
                there would be more than 600.
            ImportError: For a GIF, the extra ``plot`` is missing.
            RuntimeError: For a GIF, no Graphviz is installed, or it failed.
        """
        return animate(self, path, by=by, seconds=seconds)

    def _repr_svg_(self) -> str:
        """The picture for a notebook."""
        return svg(self.scene, self.theme)

    def __repr__(self) -> str:
        nodes, edges = len(self.scene.nodes), len(self.scene.edges)
        return f"<Drawing of {self._what}: {nodes} nodes, {edges} edges>"


def draw(
    what: Any,
    *,
    level: str = "op",
    fold: bool = False,
    steps: int | None = None,
    at: int | None = None,
    backward: bool = False,
    values: bool = False,
    grads: Mapping[Tensor, Any] | None = None,
    title: str = "",
    caption: str = "",
    theme: str = "light",
) -> Drawing:
    """Draw a network as the textbook does: time from left to right, layers upwards.

        Time steps, gates and layers come from the scopes of the records, never from guessing; a
        network without steps is drawn in layers.

        Args:
            what: A Tensor (all that led to it), a Tape, or a cell or composite of cells, which is
                unrolled over zeros.
            level: "op" shows every record of the tape once, "gate" one box for each gate, "cell"
                one box for each step.
            fold: Whether to show one step that stands for all, its states coming back by a delay.
            steps: How many steps to show: by default all of up to 6, else the first two and the
                last. For a cell over how many it is unrolled (3), all of which are shown.
            at: Show this step only, in detail.
            backward: Whether the gradients' ways back are drawn; needs ``grads``.
            values: Whether shapes and small values stand beside the ops.
            grads: What ``tape.gradients()`` returned: the norm of the gradient then stands beside
                every state. Without it no gradient is drawn.
            title: A line above the picture.
            caption: Text below it; long lines are broken.
            theme: The colours: "light", "dark", or "print" (black and white).

        Returns:
            A Drawing: ``.source`` is DOT, ``.save(path)`` writes a file.

        Raises:
            TypeError: ``what`` is none of these, or an option has the wrong type.
            ValueError: An option does not fit, a Tensor has no tape, or ``grads`` belong to another
                loss.

        Example:
            >>> import graphviz
    import numpy as np
            >>> from unspool import Tape, unroll
            >>> from unspool.cells import GRU
            >>> ys, _ = unroll(GRU(3, 4), np.ones((20, 3), np.float32))
            >>> draw(ys, level="cell")
            <Drawing of 20 steps, level cell: 21 nodes, 11 edges>
    """
    if level not in LEVELS:
        raise ValueError(f'draw: level is "op", "gate" or "cell", got {level!r}')
    if theme not in tuple(THEMES):
        raise ValueError(f'draw: theme is "light", "dark" or "print", got {theme!r}')
    for name, text in (("title", title), ("caption", caption)):
        if not isinstance(text, str):
            raise TypeError(f"draw: {name} is a text, got {text!r}")
    check_count("steps", steps)
    check_count("at", at)
    if fold and at is not None:
        raise ValueError(
            "draw: fold=True shows one step for all, at= one of many; give one of them"
        )
    if not isinstance(what, (Tape, Tensor)) and hasattr(what, "unroll"):
        steps = steps or max(CELL_STEPS, at or 0)
    tape = tape_of("draw", what, steps or 0)
    check_time(tape, fold=fold, steps=steps, at=at)
    check_gradients(tape, grads)
    with without_collection():
        view = make_view(tape, level=level, fold=fold, steps=steps, at=at)
        scene = lay_out(
            view,
            values=values,
            gradients=grads,
            backward=backward,
            title=title,
            caption=caption,
        )
        longest = max((len(loop.steps) for loop in view.structure.loops), default=0)
        what_it_is = f"{longest} step{'s' * (longest != 1)}" if longest else f"{len(tape)} records"
        page = partial(
            make_page,
            tape,
            level=level,
            fold=fold,
            steps=steps,
            at=at,
            backward=backward,
            values=values,
            gradients=grads,
            title=title,
            caption=caption,
            theme=THEMES[theme],
        )
        return Drawing(scene, f"{what_it_is}, level {view.level}", THEMES[theme], page)


def check_count(name: str, value: Any) -> None:
    """Raise unless an option is None or a whole number from 1."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"draw: {name} is a whole number from 1, got {value!r}")
    if value < 1:
        raise ValueError(f"draw: {name} is a whole number from 1, got {value}")


def check_time(tape: Tape, *, fold: bool, steps: int | None, at: int | None) -> None:
    """Raise if an option asks for steps that the tape does not have."""
    present = {step for record in tape if (step := outermost_step(record)) is not None}
    asked = "fold=True" if fold else f"at={at}" if at else f"steps={steps}" if steps else ""
    if asked and not present:
        raise ValueError(
            f"draw: {asked}, but this tape has no time steps; unroll declares them, and "
            "scope(name, step=t) in a loop of your own"
        )
    if at is not None and at not in present:
        raise ValueError(
            f"draw: at={at}, but this tape has the steps {min(present)} to {max(present)}"
        )


def outermost_step(record: Record) -> int | None:
    """The step of a record's outermost time scope."""
    return next((name.step for name in record.scope if hasattr(name, "step")), None)


def check_gradients(tape: Tape, grads: Any) -> None:
    """Raise unless gradients are of this tape's Tensors, its outputs among them."""
    if grads is None:
        return
    if not isinstance(grads, Mapping):
        raise TypeError(
            f"draw: grads is what tape.gradients() returned, got {type(grads).__name__}"
        )
    if not any(output in grads for output in tape.outputs):
        outputs = ", ".join(map(describe, tape.outputs))
        raise ValueError(
            f"draw: grads holds no gradient of what is drawn, {outputs}: it belongs to another "
            "tape or loss; give what gradients() of the same tape returned, as in draw(tape, "
            "grads=tape.gradients())"
        )


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Pause the cyclic collector: of the many small objects of a picture none are garbage.

    With 1,000 steps of an LSTM this takes a third off the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
