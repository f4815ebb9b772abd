"""What a tape looks like: the unrolled network as the textbook draws it.

``structure`` reads loops, steps, gates and states off a tape; ``view`` chooses what of it is
shown, with ``extent`` (which steps), ``scopes``, ``parameters`` and ``plumbing``, as the Nodes and
Edges of ``graph``. ``layout`` places them: ``template`` lays one time step out, with ``blocks``
for the gates in it and ``layers`` for the placing itself, of Units and Nets (by ``routes``,
``order``, ``positions`` and ``tracks``), ``rows``, ``grid`` and ``zones`` say where all else is,
``nodes``, ``courses``, ``buses`` and ``captions`` write the scene. ``times`` finds which loops
share their columns, ``marks`` what tells names of layers and directions apart. ``paint`` writes a
scene as SVG, ``dot`` as DOT, which ``render`` has Graphviz draw as PNG and PDF; ``style`` and
``look`` have the looks that both share. ``notation`` knows how an op is written, ``equations``
what the ops together compute (``formulas``, ``adjoints``, set by ``writing``); ``trace`` runs a
cell that is to be shown, ``stepwise`` runs again, a step at a time, what a tape computed for all
steps at once; ``words`` and ``weights`` stand beside columns and arrows, ``language`` says what
pictures say, ``lattice`` is a picture of its own; ``page`` puts all views of a tape, its numbers
and a browser's script into one file, ``animation`` lets a drawing light up in the order of its
tape. ``plots`` has the pictures beside the graph, by matplotlib, of the arrays of ``series`` and
in the look of ``axes``.
"""

from __future__ import annotations

import contextlib
import gc
import html
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import graphviz  # type: ignore[import-untyped]
import numpy as np

from ..autograd import Tape, Tensor, describe
from ..checks import check_bool, check_choice, check_int, check_text, unless_none
from ..files import write_atomically
from . import dot, render
from .animation import animate
from .equations import equations, latex_of
from .extent import LAYER, LEVELS
from .language import check_labels, speaking
from .lattice import lattice_scene
from .layout import lay_out
from .look import THEMES, Theme
from .page import make_page
from .paint import PADDING, description_of, svg, title_of
from .scene import Scene
from .stepwise import by_steps
from .structure import Loop, Structure, is_inner, read
from .trace import tape_of
from .view import make_view
from .words import Words, check_words

__all__ = ["Drawing", "draw", "equations", "latex_of", "lattice"]

CELL_STEPS = 3  # over how many steps a cell is unrolled to be drawn
SUFFIXES = (".svg", ".png", ".pdf", ".dot", ".html")


class Walk:
    """A page to be shown in a notebook's cell, in a frame of its own that no script leaves.

    Args:
        page: The page, as HTML.
        height: Of the frame, in pixels.
    """

    def __init__(self, page: str, height: int) -> None:
        self.page, self.height = page, height

    def _repr_html_(self) -> str:
        """The frame for a notebook."""
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" sandbox="allow-scripts" width="100%" '
            f'height="{self.height}" style="border:1px solid #D5DBE1" title="Walk along the tape">'
            "</iframe>"
        )

    def __repr__(self) -> str:
        return f"<Walk: a page of {len(self.page.encode()) / 1000:,.0f} KB>"


class Drawing:
    """A picture of a network. A notebook shows it by itself.

    Attributes:
        scene: What stands where: for tests, and for other ways of showing it.
        theme: Its colours, as ``look.Theme`` gives them.
        labels: What it says in another language, as ``draw`` takes it.
        tape: What is drawn.

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
        labels: Mapping[str, str] | None = None,
        tape: Tape | None = None,
        **page: Any,
    ) -> None:
        self.scene, self.theme, self.labels = scene, theme, labels
        # That of the scene may be a step-by-step one.
        self.tape = scene.view.structure.tape if tape is None else tape
        self._what, self._page = what, page

    def page(self) -> str:
        """The HTML that ``save("x.html")`` writes.

        It has all views of the tape, to be opened, stepped through and asked for numbers, in one
        file that needs no network.
        """
        with speaking(self.labels):
            return make_page(self.tape, theme=self.theme, **self._page)

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
            with without_collection(), speaking(self.labels):
                return svg(self.scene, self.theme)
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
        with speaking(self.labels):
            return animate(self.scene, self.theme, path, by=by, seconds=seconds)

    def walk(self, height: int = 640) -> Walk:
        """The page in a notebook's cell: the walk forward and back, and numbers to be changed.

        A tape with one scalar output, a loss, gets its backward pass if ``draw`` was not given
        ``grads``.

        Args:
            height: Of the page, in pixels.
        """
        outputs = self.tape.outputs
        with_loss = len(outputs) == 1 and not outputs[0].ndim and outputs[0].dtype.kind == "f"
        if with_loss and self._page.get("gradients") is None:
            self._page["gradients"] = self.tape.gradients()
        return Walk(self.page(), height)

    @property
    def alt(self) -> str:
        """The picture in words, as screen readers say it: for ``alt=`` of an image."""
        with speaking(self.labels):
            return f"{title_of(self.scene)}. {description_of(self.scene)}"

    def _repr_svg_(self) -> str:
        """The picture for a notebook."""
        return self.render("svg").decode()

    def __repr__(self) -> str:
        nodes, edges = len(self.scene.nodes), len(self.scene.edges)
        return f"<Drawing of {self._what}: {nodes} nodes, {edges} edges>"


def draw(
    what: Any,
    *,
    level: str | None = None,
    fold: bool = False,
    steps: int | None = None,
    at: int | None = None,
    backward: bool = False,
    values: bool = False,
    grads: Mapping[Tensor, Any] | None = None,
    words: Any = None,
    targets: Any = None,
    predictions: Any = None,
    generate: int | None = None,
    width: int | None = None,
    weights: bool | None = None,
    legend: bool = True,
    scale: tuple[float, float] | None = None,
    keep: str = "first",
    labels: Mapping[str, str] | None = None,
    title: str = "",
    caption: str = "",
    theme: str = "light",
) -> Drawing:
    """Draw a network as the textbook does: time from left to right, layers upwards.

    Time steps, gates and layers come from the scopes of the records, never from guessing; a
    network without steps is drawn in layers.

    Args:
        what: A Tensor (all that led to it), a Tape, a cell or composite of cells, which is
            unrolled over zeros, or a model of words (a language model, classifier, tagger or
            encoder-decoder), which reads ``words``.
        level: "op" shows every record of the tape once, "gate" one box for each gate, "cell"
            one box for each step; at these two, layers and losses that run once over a whole
            sequence are shown at each step; "layer" one box for all steps of a loop, and none of
            ``fold``, ``steps``, ``at`` and ``words``. By default the finest that fits ``width``;
            of a model "cell".
        fold: Whether to show one step that stands for all, its states coming back by a delay.
        steps: How many steps to show: by default all of up to 6, else the first two and the
            last. For a cell over how many it is unrolled (3), all of which are shown.
        at: Show this step only, in detail.
        backward: Whether the gradients' ways back are drawn; needs ``grads``.
        values: Whether shapes and small values stand beside the ops.
        grads: What ``tape.gradients()`` returned: the norm of the gradient then stands beside
            every state. Without it no gradient is drawn.
        words, targets, predictions: Texts below and above the time steps, such as tokens: a str
            for each step, or a list of them for each sequence of a batch. Of several loops words
            stand below the first, the others above the last, unless a dictionary gives them by
            the name of a loop's scope: ``{"encoder": [...], "decoder": [...]}``. A model takes a
            text, tokens or ids, and has predictions of its own.
        generate: Of a model: how many words it writes, each fed back as the next input.
        width: How many pixels wide the picture may be (a notebook's cell is 978): coarser levels
            and fewer steps are taken, as far as these are not given, and text never shrinks.
        weights: Whether the names of weights stand beside the arrows into cells, at level "cell"
            and without numbers; by default in cells of one weight for each arrow (U, W), not of
            gates (W_fiog).
        legend: Whether the parameters and the scale of the gradients stand below.
        scale: The decades of the gradients' norms that the colours stand for, such as (-4, 0) for
            0.0001 to 1: pictures of one scale can be compared. By default one that fits.
        keep: Whether the "first" or the "last" steps of a long loop are shown.
        labels: What the picture says in another language: a dictionary from the names of scopes,
            or what an English picture shows for them, and from its phrases
            (``viz.language.PHRASES``). The controls of the page stay English.
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
        >>> import numpy as np
        >>> from unspool import Tape, unroll
        >>> from unspool.cells import GRU
        >>> ys, _ = unroll(GRU(3, 4), np.ones((20, 3), np.float32))
        >>> draw(ys, level="cell")
        <Drawing of 20 steps, level cell: 21 nodes, 11 edges>
    """
    if level is not None:
        check_choice("draw", "level", level, (*LEVELS, LAYER))
    check_choice("draw", "keep", keep, ("first", "last"))
    check_texts("draw", theme, title, caption)
    options = {"fold": fold, "backward": backward, "values": values, "legend": legend}
    for name, flag in options.items():
        check_bool("draw", name, flag)
    counts = {"steps": steps, "at": at, "width": width, "generate": generate}
    for name, count in counts.items():
        unless_none(check_int)("draw", name, count)
    check_scale(scale)
    check_labels(labels)
    if fold and at is not None:
        raise ValueError(
            "draw: fold=True shows one step for all, at= one of many; give one of them"
        )
    feeds: Sequence[int] = ()
    is_model = hasattr(what, "illustration")
    if is_model:
        level = level or ("cell" if width is None else None)
        seen = what.illustration(words=words, targets=targets, generate=generate)
        what, words, targets, feeds = seen.output, seen.words, seen.targets, seen.fed_back
        predictions = seen.predictions if predictions is None else predictions
    elif generate is not None:
        raise TypeError(
            f"draw: generate={generate} is for a model that writes words, got {type(what).__name__}"
        )
    tape = tape_of("draw", what, steps or max(CELL_STEPS, at or 0))
    with without_collection():
        structure = read(tape)
    loops = structure.loops
    if is_model and not loops:  # a window or a bag: no step has a word
        words = targets = predictions = None
    check_time(loops, level=level, fold=fold, steps=steps, at=at)
    check_gradients(tape, grads)
    texts = Words(
        check_words("words", words, loops),
        check_words("targets", targets, loops),
        check_words("predictions", predictions, loops),
        frozenset(feeds),
    )
    tries = candidates(level, steps, width, fold=fold, whole=fold or at is not None)
    with without_collection(), speaking(labels):
        scene = first_that_fits(
            structure,
            grads,
            tries,
            width,
            shown={"steps": steps, "at": at, "keep": keep},
            values=values,
            backward=backward,
            title=title,
            caption=caption,
            words=texts,
            weights=weights,
            legend=legend,
            scale=scale,
        )
        view = scene.view
        longest = max((len(loop.steps) for loop in loops), default=0)
        what_it_is = f"{longest} step{'s' * (longest != 1)}" if longest else f"{len(tape)} records"
        return Drawing(
            scene,
            f"{what_it_is}, level {view.level}",
            THEMES[theme],
            labels,
            tape,
            level="cell" if view.level == LAYER else view.level,
            fold=view.generic,
            steps=steps,
            at=at,
            backward=backward,
            values=values,
            gradients=grads,
            title=title,
            caption=caption,
            words=texts._replace(fed_back=frozenset()),  # there such an arrow is no operand
            keep=keep if keep == "last" else None,
        )


def first_that_fits(
    structure: Structure,
    grads: Mapping[Tensor, Any] | None,
    tries: list[tuple[str, int | None, bool]],
    width: int | None,
    *,
    shown: Mapping[str, Any],
    words: Words,
    **look: Any,
) -> Scene:
    """The finest picture that is no wider than ``width`` pixels, or with a warning the narrowest.

    Args:
        structure: The tape, read.
        grads: The gradients of its Tensors, or None.
        tries: What ``candidates`` gave.
        width: In pixels; None for any.
        shown: Options of ``make_view``.
        words: What stands below and above the columns.
        look: Further options of ``lay_out``.
    """
    split: dict[bool, tuple[Structure, Mapping[Tensor, Any] | None]] = {}
    inner = [is_inner(loop.path) for loop in structure.loops]
    closable = any(inner) and not all(inner)  # a CRF by itself shows its steps
    for level, count, fold in tries:
        closed = closable and level in ("cell", LAYER)
        part, known = read(structure.tape, closed) if closed else structure, grads
        if level not in ("op", LAYER):
            if closed not in split:
                split[closed] = by_steps(part, grads)
            part, known = split[closed]
        options = {**shown, "steps": count or shown["steps"]}
        view = make_view(part, level=level, fold=fold, **options)
        texts = Words() if fold or level == LAYER else words
        scene = lay_out(view, gradients=known, words=texts, **look)
        pixels = math.ceil((scene.x2 - scene.x1 + 2 * PADDING) * 4 / 3)
        if width is None or pixels <= width:
            return scene
    warnings.warn(
        f"draw: nothing fits width={width}; the narrowest picture, at level {level!r}, is "
        f"{pixels} pixels wide",
        stacklevel=3,
    )
    return scene


def candidates(
    level: str | None, steps: int | None, width: int | None, *, fold: bool, whole: bool
) -> list[tuple[str, int | None, bool]]:
    """(level, number of steps, fold) to be tried for a width, the finest first.

    ``whole`` is a picture whose steps cannot be fewer; without a width there is one choice.
    """
    levels = [level] if level else list(LEVELS)
    if width is None:
        return [(levels[0], None, fold)]
    if whole or steps:
        return [(one, None, fold) for one in levels]
    # One step alone shows no time, a folded picture none of its numbers, a layer neither: the
    # last resorts.
    unfolded = [(one, count, False) for one in levels for count in (None, 3, 2)]
    resorts = [(levels[-1], 1, False), (levels[-1], None, True)]
    return [*unfolded, *resorts, *([] if level else [(LAYER, None, False)])]


def lattice(
    tagger: Any,
    x: Any,
    *,
    words: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    title: str = "",
    caption: str = "",
    theme: str = "light",
) -> Drawing:
    """Draw what a conditional random field scores: labels over words, and the best path.

    Args:
        tagger: A Transducer with a CRF, or a CRF by itself.
        x: What it reads: of a Transducer a sentence, as a text, words or ids; of a CRF the scores
            of the labels ("emissions"), (time, labels).
        words: What stands below each position; by default the sentence, or t=1, t=2, ...
        targets: The right labels, shown above; None for none.
        labels: What the picture says in another language, as in ``draw``.
        title, caption: A line of text above and below.
        theme: "light", "dark", or "print".

    Returns:
        A Drawing; its page is that of the forward algorithm.

    Raises:
        TypeError: It has no lattice.
        ValueError: It has no CRF, there are too many words or labels to be read, or another number
            of words or targets than positions.

    Source: Lafferty, McCallum and Pereira (2001); the best path: Viterbi (1967).
    """
    check_texts("lattice", theme, title, caption)
    check_labels(labels)
    with speaking(labels):
        scene = lattice_scene(tagger, x, words, targets, title, caption)
    return Drawing(scene, scene.title.lower(), THEMES[theme], labels)


def check_texts(who: str, theme: Any, title: Any, caption: Any) -> None:
    """Raise unless a theme is one of those known, and texts are texts."""
    check_choice(who, "theme", theme, THEMES)
    check_text(who, "title", title)
    check_text(who, "caption", caption)


def check_scale(scale: Any) -> None:
    """Raise unless a scale is None or two powers of ten, the lower first."""
    if scale is None:
        return
    wanted = "draw: scale is two powers of ten, the lower first, such as (-4, 0)"
    if not isinstance(scale, (tuple, list)) or len(scale) != 2:
        raise TypeError(f"{wanted}; got {scale!r}")
    if not all(isinstance(n, (int, float, np.number)) and -300 <= n <= 300 for n in scale):
        raise TypeError(f"{wanted}; got {scale!r}")
    if scale[0] >= scale[1]:
        raise ValueError(f"{wanted}; got {scale!r}")


def check_time(
    loops: list[Loop], *, level: str | None, fold: bool, steps: int | None, at: int | None
) -> None:
    """Raise if an option asks for steps that the tape does not have, or the level does not show."""
    present = {t for loop in loops for t in loop.steps}
    asked = "fold=True" if fold else f"at={at}" if at else f"steps={steps}" if steps else ""
    if level == LAYER and (fold or at):
        raise ValueError(f'draw: {asked}, but level="layer" shows no step by itself; leave it out')
    if asked and not present:
        raise ValueError(
            f"draw: {asked}, but this tape has no time steps; unroll declares them, and "
            "scope(name, step=t) in a loop of your own"
        )
    if at is not None and at not in present:
        raise ValueError(
            f"draw: at={at}, but this tape has the steps {min(present)} to {max(present)}"
        )


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

    With 1,000 steps of an LSTM this takes a third off the time. Afterwards they count as old, or
    the next object to be made would have all of them looked through.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()
