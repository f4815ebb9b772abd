"""The equations of a cell or tape, as text or as LaTeX: of the pass forward, or of the pass back.

``formulas.py`` reads the first off the tape, ``adjoints.py`` the second off a tape of the pass
back; neither is written by hand.
"""

from __future__ import annotations

from typing import Any

from ..autograd import Tape, Tensor
from ..checks import in_ascii, printable
from .adjoints import adjoints_of
from .formulas import Equations
from .structure import read
from .trace import tape_of

__all__ = ["Lines", "equations", "latex_of"]


class Lines(list[str]):
    """Lines of text; ``print`` writes one below the other, in letters that stdout has."""

    def __str__(self) -> str:
        return printable("\n".join(self))


def latex_of(what: Any) -> str:
    """The equations of a cell or tape as one block of LaTeX, as a notebook shows it."""
    lines = [line.replace(" = ", " &= ", 1) for line in equations(what, latex=True)]
    inside = " \\\\\n".join(lines)
    return f"$$\\begin{{aligned}}\n{inside}\n\\end{{aligned}}$$"


def equations(
    what: Any,
    *,
    latex: bool = False,
    inner: bool = False,
    columns: bool = False,
    backward: bool = False,
    ascii: bool = False,
) -> Lines:
    r"""The equations of a cell, or of what is on a tape, read off the tape.

    Args:
        what: A cell or composite of cells, a Tensor, or a Tape.
        latex: Whether to write LaTeX, without the dollars around it, or plain text.
        inner: Whether what is used once but has a name of its own, as the lectures' k_t and
            j_t of the LSTM, gets a line of its own.
        columns: Whether vectors are columns, as in lectures that write W x where the code
            computes x @ W: W there is the transpose of the code's.
        backward: Whether to write the equations of the pass back, backpropagation through time,
            read off a tape of it. δ is the gradient before a gate's function, ``δ_{f,t}`` that
            of the forget gate; L is any function of the outputs y_t.
        ascii: Whether to write letters of ASCII alone, ``sigmoid`` for σ and ``*`` for ⊙: for a
            file or terminal whose encoding lacks them. ``print(equations(cell))`` does so there by
            itself; ``PYTHONUTF8=1`` in the environment gives Python's output all letters.

    Returns:
        A list of lines: one for each gate, each state, and what is used more than once, in the
        order of the tape. The layers of a composite are told apart as in ``W_f^{(1)}``, its
        directions by arrows.

    Raises:
        TypeError: ``what`` is none of these.
        ValueError: It is a Tensor without a tape.

    Example:
        >>> from unspool.cells import LSTM
        >>> from unspool.viz import equations
        >>> print(equations(LSTM(3, 4)))
        f_t = σ(x_t W_f + h_{t-1} U_f + b_f)
        i_t = σ(x_t W_i + h_{t-1} U_i + b_i)
        o_t = σ(x_t W_o + h_{t-1} U_o + b_o)
        g_t = tanh(x_t W_g + h_{t-1} U_g + b_g)
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
        h_t = o_t ⊙ tanh(c_t)
        >>> print(equations(LSTM(3, 4), ascii=True)[4])
        c_t = f_t * c_{t-1} + i_t * g_t
        >>> from unspool.cells import Elman
        >>> print(equations(Elman(3, 4), backward=True))
        δ_t = ∂L/∂h_t ⊙ (1 - h_t^2)
        ∂L/∂h_{t-1} = δ_t Uᵀ + ∂L/∂y_{t-1}
        ∂L/∂x_t = δ_t Wᵀ
        ∂L/∂W = Σ_t x_tᵀ δ_t
        ∂L/∂U = Σ_t h_{t-1}ᵀ δ_t
        ∂L/∂b = Σ_t δ_t
    """
    if backward:
        outside = isinstance(what, (Tape, Tensor))
        tape = tape_of("equations", what, 3)
        found = adjoints_of(tape, latex=latex, inner=inner, columns=columns, outside=outside)
        lines = found.lines(outside=outside)
    else:
        structure = read(tape_of("equations", what, 2))
        written = Equations(structure, latex=latex, generic=True, inner=inner, columns=columns)
        lines = written.lines(outside=isinstance(what, (Tape, Tensor)))
    return Lines(map(in_ascii, lines) if ascii else lines)
