"""What there is to see beside the graph, as arrays over time: gates, states, gradients, shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import Tape, Tensor, backpropagate, describe
from .marks import Mark
from .numbers import norm_of, shares_of
from .structure import Structure, read, stem
from .trace import tape_of

__all__ = ["activations", "sensitivity", "shares", "states"]

Array = NDArray[Any]
STEPS = 3  # of a cell that is unrolled to be shown


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
    return by_time("activations", structure, found, sequence)


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
    return by_time(who, structure, found, sequence)


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
    found = by_time("plot_gradient_flow", structure, named)
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
    columns = list(zip(structure.where, structure.records, strict=True))
    uses = {
        (place[0], x): None
        for place, record in columns
        for x in record.inputs
        if place is not None and x in structure.parameters
    }
    if not uses:
        raise ValueError(
            "shares: no parameter is used in a time step of this tape; compute it with "
            "unroll(cell, xs), or in a loop with scope(name, step=t)"
        )
    names = {x: Mark(high=number).on(name) for x, (name, number) in structure.parameters.items()}
    given = shares_of(columns, gradients)
    found = {
        (loop, names[x]): {
            t: np.asarray(norm_of(given.get(x, {}).get((loop, t), 0.0)))
            for t in sorted(structure.loops[loop].steps)
        }
        for loop, x in uses
    }
    named = by_time("shares", structure, found)
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
    structure: Structure,
    found: dict[tuple[int, str], dict[int, Array]],
    sequence: int = 0,
) -> dict[str, Array]:
    """What was found at each step, by (loop, name), as arrays (T, d) by full names."""
    series: dict[str, Array] = {}
    for (loop, name), values in found.items():
        # The innermost scope around the steps is the cell's own.
        base = full = ".".join((*structure.loops[loop].path[:-1], name))
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
