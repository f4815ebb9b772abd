"""``jit``: the loops of a module's cells, compiled by numba."""

from __future__ import annotations

import os
import warnings
from typing import Any, TypeVar

import numpy as np

from ..autograd import Tensor, no_grad
from ..checks import check_int, describe_received
from .adjoint import backward_of
from .cell import Cell
from .fused import plan_of
from .kernels import NotCompiled, numba_or_none
from .module import Module
from .source import Source

__all__ = ["jit", "jit_available"]

M = TypeVar("M", bound=Module)


def jit_available() -> bool:
    """Whether the extra ``fast`` (numba and SciPy) is installed, so that ``jit`` can compile."""
    return numba_or_none() is not None


def jit(module: M, *, threads: int | None = None, only_promised: bool = False) -> M:
    """Compile the loops over time of a module's cells, and return the module.

    The equations of each cell become a loop of machine code, forward and back, at its first run
    on each dtype; that takes a few seconds, and is kept on disk for the next process (in
    ``UNSPOOL_CACHE`` or ``XDG_CACHE_HOME``, by default ``~/.cache``). Numbers differ from NumPy's
    by rounding. Tapes, pictures and second derivatives stay what they are.

    A step may consist of products by weights, pointwise ops, and ops along a row, the last axis:
    ``layer_norm``, ``softmax``, sums, means, variances, deviations, maxima and minima with
    ``keepdims``, ``np.concatenate``, ``np.split`` and slices.

    A cell of your own needs no ``same_every_step``: to ask for its compilation is to promise that
    its steps run the same ops, whatever the numbers. Two steps are traced and compared.

    Args:
        module: A cell, a composite of cells, or a model.
        threads: The number of threads that the sequences of a batch are split over, at least four
            for each; None for 1.
        only_promised: Whether cells without ``same_every_step`` are left as they are.

    Raises:
        ImportError: The extra ``fast`` is not installed.

    Warns:
        RuntimeWarning: A cell's loop cannot be compiled, and why; it runs as before. So do
            ``InputDropout`` and ``Zoneout`` while they draw noise at each step. What numba alone
            refuses is noticed at the first run.

    Example:
        >>> import numpy as np
        >>> from unspool import unroll
        >>> from unspool.cells import LSTM, jit, jit_available
        >>> cell = LSTM(3, 4, rng=0)
        >>> before, _ = unroll(cell, np.ones((2, 5, 3), np.float32))
        >>> if jit_available():
        ...     cell = jit(cell)
        >>> after, _ = unroll(cell, np.ones((2, 5, 3), np.float32))
        >>> bool(abs(after.data - before.data).max() < 1e-5)
        True
    """
    if not isinstance(module, Module):
        raise TypeError(f"jit: expected a Module, as LSTM(3, 4), got {describe_received(module)}")
    threads = 1 if threads is None else check_int("jit", "threads", threads)
    if not jit_available():
        raise ImportError('jit compiles with numba and SciPy: pip install "unspool[fast]"')
    for cell in module.modules():
        if not isinstance(cell, Cell):
            continue
        reason = None
        if cell.noise_at_each_step:
            reason = "it draws noise at each step of a training"
        elif not any(isinstance(m, Cell) for m in [*cell.modules()][1:]):
            if not cell.same_every_step and only_promised:
                continue
            asked = {} if cell.same_every_step else {"same_every_step": True}
            vars(cell).update(asked, compiled_threads=min(threads, os.cpu_count() or 1))
            if reason := why_not(cell):
                for name in (*asked, "compiled_threads"):
                    delattr(cell, name)
        if reason:
            warnings.warn(
                f"jit: the loop of {type(cell).__name__} runs as before: {reason}",
                RuntimeWarning,
                stacklevel=2,
            )
    return module


def why_not(cell: Cell) -> str | None:
    """Why the loop of a cell cannot be compiled, or None."""
    state = tuple(s if isinstance(s, Tensor) else Tensor(s) for s in cell.initial_state(2))
    dtype: Any = next((s.dtype for s in state), np.dtype(np.float32))
    xs = Tensor(np.zeros((2, 1, cell.d_in), dtype), requires_grad=True)
    with no_grad():
        plan, _ = plan_of(cell, xs, state)
    if isinstance(plan, str):
        return plan
    back = backward_of(plan, ys=True, masked=False)
    try:
        for phases, adjoint in ((plan.phases(False), None), (back.phases, back)):
            Source(plan, phases, adjoint, dtype.char)
    except NotCompiled as reason:
        return str(reason)
    return None
