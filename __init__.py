"""unspool: a recurrent cell is written as its equations in NumPy.

The package records the tape of the unrolled network, differentiates it, draws it the way the
textbook does, and trains it. ``autograd`` is what a gradient is, ``cells`` what happens at one
time step, ``models`` what a whole sequence means, ``viz`` what a tape looks like.

Example:
    >>> import numpy as np
    >>> from unspool import Tape, unroll
    >>> from unspool.cells import LSTM
    >>> ys, (h, c) = unroll(LSTM(3, 4, rng=0), np.ones((1, 5, 3), np.float32))
    >>> len(Tape(h)), {record.step for record in Tape(h)}
    (130, {1, 2, 3, 4, 5})
"""

from . import autograd, cells, models, viz
from .autograd import Parameter, Tape, Tensor, check_grads, grad, no_grad, scope
from .cells import unroll
from .viz import draw

__version__ = "0.1.0"

cells.Module.latex = viz.latex_of  # viz reads cells, not the other way round

__all__ = [
    "Tensor", "Parameter", "Tape", "no_grad", "scope", "grad", "check_grads", "unroll", "draw",
    "autograd", "cells", "models", "viz", "__version__",
]  # fmt: skip
