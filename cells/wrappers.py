"""Noise against overfitting, around any cell: dropout on inputs, in the recurrence, zoneout.

A wrapper is a Cell itself, so it stacks, runs in both directions, saves and draws like one. Its
parameters are the cell's, named ``cell.W_f``. In ``eval()`` dropout wrappers are the cell itself.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor, dropout, scope
from ..checks import check_fraction, wrong_type
from .cell import Cell, State
from .composite import Stacked
from .config import register


class Wrapper(Cell):
    """A cell around another one. By itself it changes nothing; subclasses override ``forward``."""

    def __init__(self, cell: Cell, *, rng: Any = None) -> None:
        name = type(self).__name__
        if not isinstance(cell, Cell) or isinstance(cell, Stacked):
            layers = f"Stacked([{name}(LSTM(3, 4)), {name}(LSTM(4, 4))])"
            raise wrong_type(f"{name} wraps one Cell", cell, f"wrap layers singly, as in {layers}")
        self.cell = cell
        self.states = cell.states
        self.d_in = cell.d_in
        self.d_h = cell.d_h
        self.d_out = getattr(cell, "d_out", cell.d_h)
        self.rng = np.random.default_rng(rng)

    @property
    def compiled_threads(self) -> int:  # type: ignore[override]
        """The wrapped cell's."""
        return self.cell.compiled_threads

    def forward(self, x: Any, state: Any) -> State:
        """The wrapped cell's."""
        return self.cell.forward(x, state)

    def output(self, state: Any) -> Any:
        """The wrapped cell's."""
        return self.cell.output(state)

    def initial_state(self, batch: int | None = None) -> State:
        """The wrapped cell's."""
        return self.cell.initial_state(batch)

    def checked_state(self, state: Any, batch: tuple[int, ...]) -> State:
        """The wrapped cell's."""
        return self.cell.checked_state(state, batch)

    def sampled(self, batch: int | None = None) -> Cell:
        """A copy around the wrapped cell's; see ``Cell``."""
        drawn = copy.copy(self)
        drawn.cell = self.cell.sampled(batch)
        return drawn


@register
class InputDropout(Wrapper):
    """Dropout on the inputs, drawn anew for every element of every step.

    Args:
        cell: A Cell.
        p: The probability with which an element of x is dropped in training; the others are
            divided by 1 - p.

    Source: Zaremba, Sutskever and Vinyals (2014): on the connections that are not recurrent.
    """

    noise_at_each_step = True

    def __init__(self, cell: Cell, p: float = 0.5, *, rng: Any = None) -> None:
        super().__init__(cell, rng=rng)
        self.p = check_fraction("InputDropout", "p", p)

    def sampled(self, batch: int | None = None) -> Cell:
        """In ``eval()`` the wrapped cell itself; see ``Cell``."""
        return super().sampled(batch) if self.training else self.cell.sampled(batch)

    def forward(self, x: Any, state: Any) -> State:
        """R(s, dropout(x))."""
        x = dropout(x, self.p, training=self.training, rng=self.rng)
        return self.cell.forward(x, state)


@register
class VariationalDropout(Wrapper):
    """Dropout on the inputs and on the state, with the same masks at every step of a sequence.

    A mask on a matrix's input is a mask on its rows: (x * m) W = x (diag(m) W). So one mask for x
    is applied to the rows of every W, one for h to the rows of every U, once per sequence. Paths of
    h around the matrices, such as (1 - z) * h in a GRU, stay unmasked: divided by 1 - p at each
    step, they would grow without bound. The masks are shared by the sequences of a batch.

    In a loop of one's own over single steps, begin with ``cell = cell.sampled()``.

    Args:
        cell: A Cell.
        inputs: The probability with which a feature of x is dropped in training.
        recurrent: The same for h.
        names: The first letters of the matrices applied to x, and of those applied to h.

    Source: Gal and Ghahramani (2016), with one mask for all gates ("tied weights") and, as in
    Merity, Keskar and Socher (2018), for the batch.
    """

    def __init__(
        self,
        cell: Cell,
        inputs: float = 0.0,
        recurrent: float = 0.0,
        *,
        rng: Any = None,
        names: Sequence[str] = ("W", "U"),
    ) -> None:
        super().__init__(cell, rng=rng)
        self.inputs = check_fraction("VariationalDropout", "inputs", inputs)
        self.recurrent = check_fraction("VariationalDropout", "recurrent", recurrent)
        self.names = tuple(names)
        inner = cell
        while isinstance(inner, Wrapper):
            inner = inner.cell
        for start, width, p in self._kinds():
            if p and not matrices(inner, start, width):
                have = ", ".join(dict(inner.named_parameters()))
                raise ValueError(
                    f"VariationalDropout: {type(inner).__name__} has no matrix {start}... of "
                    f"{width} rows; its parameters are {have}; "
                    'give the first letters of the matrices for x and h, as in names=("W", "U")'
                )

    def _kinds(self) -> list[tuple[str, int, float]]:
        to_x, to_h = self.names
        return [(to_x, self.d_in, self.inputs), (to_h, self.d_h, self.recurrent)]

    def sampled(self, batch: int | None = None) -> Cell:
        """The cell with rows of its matrices dropped, drawn for one sequence or batch."""
        cell = self.cell.sampled(batch)
        if not self.training:
            return cell
        masks = [
            (start, dropout(np.ones((width, 1)), p, rng=self.rng))
            for start, width, p in self._kinds()
            if p
        ]
        with scope("dropout"):
            return with_rows_dropped(cell, masks)

    def forward(self, x: Any, state: Any) -> State:
        """R(s * m_h, x * m_x), with masks for this one step; over a sequence see ``sampled``."""
        return self.sampled().forward(x, state)


def matrices(cell: Cell, start: str, rows: int) -> list[str]:
    """The names of a cell's own matrices with this first letter and number of rows."""
    return [
        name
        for name, value in vars(cell).items()
        if isinstance(value, Tensor) and name.startswith(start) and value.shape[:-1] == (rows,)
    ]


def with_rows_dropped(cell: Cell, masks: list[tuple[str, Any]]) -> Cell:
    """A copy of the cell, or of the one it wraps, with masks (rows, 1) on its matrices."""
    drawn = copy.copy(cell)
    if isinstance(cell, Wrapper):
        drawn.cell = with_rows_dropped(cell.cell, masks)
        return drawn
    for start, mask in masks:
        for name in matrices(cell, start, len(mask)):
            W = getattr(cell, name)
            vars(drawn)[name] = W * mask.astype(W.dtype)  # a Tensor where a Parameter was
    return drawn


@register
class Zoneout(Wrapper):
    """Each element of the state keeps its old value with probability p, instead of the new one.

    In training s' = m * s + (1 - m) * R(s, x) with a mask m drawn anew at each step; in
    ``eval()`` m is its mean p.

    Args:
        cell: A Cell.
        p: One probability for every state, or a tuple of one for each, as (p_h, p_c).

    Source: Krueger et al. (2017).
    """

    noise_at_each_step = True

    def __init__(self, cell: Cell, p: float | Sequence[float] = 0.1, *, rng: Any = None) -> None:
        super().__init__(cell, rng=rng)
        each = tuple(p) if isinstance(p, Sequence) else (p,) * len(self.states)
        if len(each) != len(self.states):
            raise ValueError(
                f"Zoneout: p must be one probability or {len(self.states)}, one for each of "
                f"({', '.join(self.states)}), got {len(each)}"
            )
        self.p = tuple(check_fraction("Zoneout", "p", value) for value in each)

    @property
    def same_every_step(self) -> bool:  # type: ignore[override]
        """In ``eval()``, where nothing is drawn, if it is so of the wrapped cell."""
        return not self.training and self.cell.same_every_step

    def forward(self, x: Any, state: Any) -> State:
        """m * s + (1 - m) * R(s, x)."""
        new = self.cell.forward(x, state)
        with scope("zoneout"):
            if self.training:
                return tuple(
                    np.where(self.rng.random(s.shape) < p, old, s)
                    for p, old, s in zip(self.p, state, new, strict=True)
                )
            return tuple(
                p * old + (1 - p) * s for p, old, s in zip(self.p, state, new, strict=True)
            )
