"""``unspool draw``: a cell, unrolled over time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..autograd import Tape
from ..cells import unroll
from ..viz import draw
from .options import CELLS, CellName, Count
from .terminal import reconfigure


def draw_cell(
    cell: CellName,
    *,
    steps: Count = 3,
    level: Literal["cell", "gate", "op"] = "op",
    fold: bool = False,
    at: Count | None = None,
    backward: bool = False,
    values: bool = False,
    input_size: Count = 3,
    hidden_size: Count = 4,
    out: Path | None = None,
) -> None:
    """Draw a cell, unrolled over time or folded.

    Without --out the picture is printed as DOT text.

    Args:
        cell: Recurrent cell.
        steps: Number of time steps to unroll.
        level: Level of detail: each cell, each gate, or each op is a node.
        fold: Draw the loop over time as one step, not unrolled.
        at: Number of the time step, from 1, to draw in detail (default: all steps alike).
        backward: Draw the backward pass and its gradients too.
        values: Show the values of the arrays.
        input_size: Number of features in the input.
        hidden_size: Number of units in the hidden state.
        out: File for the picture: .svg, .png, .pdf, .html or .dot (default: standard output).

    Example:
        unspool draw lstm --steps 3 --level op --out lstm.svg
        unspool draw gru --level gate --fold --out gru.pdf
        unspool draw elman --steps 20 --level cell > elman.dot
    """
    net = CELLS[cell](input_size, hidden_size, rng=0)
    options: dict[str, Any] = {"level": level, "fold": fold, "at": at}
    options |= {"values": values, "steps": steps}
    if backward:
        ys, _ = unroll(net, np.ones((steps, input_size), np.float32))
        grads = Tape(ys).gradients(np.ones(ys.shape))
        picture = draw(ys, backward=True, grads=grads, **options)
    else:
        picture = draw(net, **options)
    if out is None:
        reconfigure(sys.stdout, encoding="utf-8")  # as DOT is
        print(picture.source)
    else:
        picture.save(out)
