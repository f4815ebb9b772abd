"""Cell, the RNN abstraction, and ``unroll``, the one loop over time.

A recurrent network is two functions (Goldberg 2016, section 10; eq. 3 of the lecture on the
RNN abstraction): s_t = R(s_{t-1}, x_t) and y_t = O(s_t). A Cell defines R as ``forward`` and O
as ``output``; everything else, from masks to pictures, follows from these.
"""

from __future__ import annotations

import functools
import inspect
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np

from ..autograd import ClassName, Op, Parameter, Tensor, apply, describe, one_array, operand, scope
from ..checks import check_bool, check_int, describe_received
from .fused import FusedRun, parts_of, plan_of
from .module import Module
from .sequence import Bools, masked_step, prepare

# The state of a cell, or of a composite of cells: a tuple, also of one.
State: TypeAlias = tuple[Any, ...]

# The end of truncated backpropagation: the value passes, the gradient does not.
CUT = Op("cut", lambda x: x, (None,))
# A run over no steps: the first operand passes, and all that a step would read has a gradient of 0.
NO_STEPS = Op(
    "no_steps",
    lambda x, *read: x,
    lambda g, y, x, *read: [g, *(np.where(False, r, 0) for r in read)],
)


class Width:
    """A width that ``__init__`` has to set; read before that, it raises an error that says so."""

    def __init__(self, name: str, what: str) -> None:
        self.name, self.what = name, what

    def __get__(self, cell: Any, kind: type) -> Any:
        if cell is None:
            return self
        raise AttributeError(
            f"{kind.__name__} has no {self.name}, {self.what}; a Cell's __init__ sets self.d_in, "
            "self.d_h and its Parameters, as in self.d_in, self.d_h = d_in, d_h"
        )


class Cell(Module):
    """The equations of one time step. A cell of one's own defines ``forward`` and nothing more.

    A subclass sets ``self.d_in``, ``self.d_h`` and its Parameters, names its states in
    ``states`` and defines ``forward(x, state) -> state``.

    Attributes:
        states: The names of the states, by default one, as in ``states = ("h", "c")`` for two.
            The first is the output unless ``output`` is overridden.
        d_in: The width of the input.
        d_h: The width of each state.
        d_out: The width of the output, where it differs from d_h.
        same_every_step: Whether ``forward`` and ``output`` run the same ops at every step: no
            ``if`` on values, no random numbers, no counters, no constant that changes from step
            to step. Then one step is traced, and a run over time is one fused record, which is
            faster and has the same tape. A subclass that overrides ``forward`` or ``output``
            has to set it again. ``jit(cell)`` promises it for that cell.
        noise_at_each_step: Whether each step of a training draws random numbers.

    Example:
        >>> import numpy as np
        >>> from unspool import Parameter, unroll
        >>> from unspool.cells import Cell
        >>> class Leaky(Cell):
        ...     def __init__(self, d_in, d_h):
        ...         self.d_in, self.d_h = d_in, d_h
        ...         self.W = Parameter(np.full((d_in, d_h), 0.5))
        ...     def forward(self, x, state):
        ...         (h,) = state
        ...         return (0.9 * h + np.tanh(x @ self.W),)
        >>> ys, (h,) = unroll(Leaky(3, 2), np.ones((1, 4, 3)))
        >>> ys.shape, h.shape
        ((1, 4, 2), (1, 2))
        >>> class Counting(Leaky):  # two states, and every step computes the same
        ...     states = ("h", "c")
        ...     same_every_step = True
        ...     def forward(self, x, state):
        ...         h, c = state
        ...         c = c + np.tanh(x @ self.W)
        ...         return 0.9 * h + c, c
        >>> ys, (h, c) = unroll(Counting(3, 2), np.ones((1, 4, 3)))
        >>> h.shape, c.shape
        ((1, 2), (1, 2))
    """

    states: tuple[str, ...] = ("h",)
    same_every_step: bool = False
    noise_at_each_step: bool = False
    compiled_threads: int = 0  # of the compiled loop, which ``jit`` asks for; 0 for NumPy's
    d_in: int = Width("d_in", "the width of its input")  # type: ignore[assignment]
    d_h: int = Width("d_h", "the width of each state")  # type: ignore[assignment]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        if isinstance(step := own.get("forward"), FunctionType):
            check_step(cls.__name__, step)
        if ("forward" in own or "output" in own) and "same_every_step" not in own:
            cls.same_every_step = False

    def forward(self, x: Any, state: Any) -> State:
        """R: the input (batch, d_in) and the old state to the new state, a tuple."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no forward(x, state) -> state, the equations of a step"
        )

    def output(self, state: Any) -> Any:
        """O: the state to the output, by default the first of the state."""
        return state[0]

    def initial_state(self, batch: int | None = None) -> State:
        """Zeros, (batch, d_h) for each state, or (d_h,) without a batch."""
        shape = (self.d_h,) if batch is None else (batch, self.d_h)
        own = next((p for p in vars(self).values() if isinstance(p, (Parameter, Module))), None)
        if isinstance(own, Parameter):  # the first of named_places, found without a walk
            dtype = own.data.dtype
        else:
            dtype = next((p.data.dtype for _, p in self.named_places()), np.dtype(np.float32))
        return tuple(Tensor(np.zeros(shape, dtype), name=f"{s}_0") for s in self.states)

    def sampled(self, batch: int | None = None) -> Cell:
        """The cell with its noise drawn for one sequence, or one batch of ``batch`` sequences.

        ``unroll`` calls it once; a loop of one's own over ``cell(x, state)`` begins with
        ``cell = cell.sampled()``. A cell without noise that lasts over time returns itself.
        """
        return self

    def __call__(self, x: Any, state: State | None = None) -> tuple[Tensor, State]:
        """One step: ``(y, state)``.

        Args:
            x: (batch, d_in) or (d_in,).
            state: The state before the step, or None for the initial one.
        """
        if not isinstance(x, Tensor):
            x = Tensor(one_array(type(self).__name__, x, operand))
        shape = x.data.shape
        if not shape or shape[-1] != self.d_in or len(shape) > 2:
            raise ValueError(
                f"{type(self).__name__}: expected x of (batch, {self.d_in}) or ({self.d_in},), got "
                f"{describe(x)}" + self._cure_of_shape(shape)
            )
        if state is None:
            state = self.initial_state(shape[0] if len(shape) == 2 else None)
        state = self.checked_state(state, shape[:-1])
        new = self.next_state(x, state)
        return self.output(new), new

    def next_state(self, x: Any, state: Any) -> State:
        """The state that ``forward`` returns, checked: a tuple of Tensors of the right width."""
        new = self.forward(x, state)
        if type(new) is not tuple or len(new) != len(state):
            raise TypeError(
                f"{type(self).__name__}.forward must return the new state as a tuple, "
                f"{wanted(self.states)}, got {describe_received(new)}"
                f"{cure_of_state(new, self.states)}"
            )
        width = (self.d_h,) if type(self).initial_state is Cell.initial_state else None
        for k, s in enumerate(new):
            if not isinstance(s, Tensor):
                raise TypeError(
                    f"{type(self).__name__}.forward must return Tensors, got {type(s).__name__} "
                    f"for {self.states[k]}, which is not on the tape; compute it from x and the "
                    "state with NumPy's functions"
                )
            if width and s.data.shape[-1:] != width:
                raise ValueError(
                    f"{type(self).__name__}.forward must return {self.states[k]} of "
                    f"width d_h = {self.d_h}, got {describe(s)}"
                )
        return new

    def _cure_of_shape(self, shape: tuple[int, ...]) -> str:
        """What to write where an input of another shape was given."""
        if len(shape) > 2:
            return "; unroll(cell, xs) runs over time"
        columns = len(shape) == 2 and shape[0] == self.d_in
        return "; vectors are rows here, a batch of them (batch, d): write x.T" if columns else ""

    def checked_state(self, state: Any, batch: tuple[int, ...]) -> State:
        """The state as a checked tuple of Tensors."""
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], tuple):
            raise ValueError(
                f"{type(self).__name__}: expected the state {wanted(self.states)}, got a pair of "
                "an output and a state: a cell returns (y, state); write y, state = cell(x, state)"
            )
        if not isinstance(state, (tuple, list)) or len(state) != len(self.states):
            raise ValueError(
                f"{type(self).__name__}: expected the state {wanted(self.states)}, a tuple, got "
                f"{describe_received(state)}"
            )
        usual = type(self).initial_state is Cell.initial_state
        checked = []
        for name, s in zip(self.states, state, strict=True):
            s = s if isinstance(s, Tensor) else Tensor(operand(s), name=f"{name}_0")
            if usual and s.data.shape != (*batch, self.d_h):
                raise ValueError(
                    f"{type(self).__name__}: expected the state {name} of {(*batch, self.d_h)}, "
                    f"got {describe(s)}"
                )
            checked.append(s)
        return tuple(checked)

    def unroll(
        self,
        xs: Any,
        state: State | None = None,
        *,
        lengths: Any = None,
        mask: Any = None,
        reverse: bool = False,
        truncate: int | None = None,
    ) -> tuple[Tensor, State]:
        """The cell over time; see ``unspool.unroll``."""
        name = type(self).__name__
        xs, real = prepare(name, xs, self.d_in, lengths, mask)
        batched = xs.ndim == 3
        steps = xs.shape[-2]
        if truncate is not None:
            check_int(f"unroll({name})", "truncate", truncate)
        check_bool(f"unroll({name})", "reverse", reverse)
        if state is None:
            state = self.initial_state(len(xs) if batched else None)
        state = self.checked_state(state, xs.shape[:-2])
        cell = self.sampled(len(xs) if batched else None)
        if not steps:
            return self.no_steps(xs, state)
        if real is not None and real.all():
            real = None
        options: dict[str, Any] = {"real": real, "reverse": reverse, "truncate": truncate}
        record: Any = functools.partial(cell.record_steps, **options)
        plan, leaves = plan_of(cell, xs, state)
        if isinstance(plan, str):
            *final, ys = record(xs, state, cell.checked_step)
        else:
            parts = parts_of(cell, plan, xs, state, cell.compiled_threads)
            compiled = bool(cell.compiled_threads)
            run = FusedRun(parts, leaves, xs, state, record, compiled=compiled, **options)
            *final, ys = run.outputs()
            ys.name = "ys"
            last = 1 if reverse else steps
            for s, label, given in zip(final, self.states, plan.state_names, strict=True):
                s.name = given or f"{label}_{last}"
        return ys, tuple(final)

    def no_steps(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """A run over no steps: no outputs, and the state as it was."""
        read = (xs, *self.parameters())
        y = self.output(state)
        nothing = Tensor(np.zeros((*xs.shape[:-1], y.shape[-1]), y.dtype))
        ys = apply(NO_STEPS, (nothing, *state, *read))
        final = tuple(apply(NO_STEPS, (s, *read)) for s in state)
        for s, given in zip((ys, *final), ("ys", *(s.name for s in state)), strict=True):
            s.name = given
        return ys, final

    def checked_step(self, x: Any, state: Any) -> tuple[State, Any]:
        """One step: the new state and the output."""
        new = self.next_state(x, state)
        return new, self.output(new)

    def record_steps(
        self,
        xs: Any,
        state: Any,
        step: Any,
        *,
        real: Bools | None,
        reverse: bool,
        truncate: int | None,
    ) -> list[Any]:
        """The loop over time, op by op: the final state and ys.

        Args:
            xs: The input.
            state: The state before.
            step: ``step(x, state)`` gives the new state and the output.
            real: Whether there is input, (batch, time) or (time,); None for everywhere.
            reverse: Whether the last position is read first.
            truncate: The number of steps between cuts of the gradient, or None.
        """
        batched, steps = xs.ndim == 3, xs.shape[-2]
        order = list(reversed(range(steps)) if reverse else range(steps))
        # The real sequences at each step, (batch, 1); None where all are.
        masks: list[Bools | None] = [None] * steps
        if real is not None:
            masks = [None if m.all() else m for m in np.moveaxis(real, -1, 0)[..., None]]
        outputs: list[Any] = [None] * steps
        with scope(ClassName(type(self).__name__)):
            for count, t in enumerate(order):
                with scope(f"t={t + 1}", step=t + 1):
                    if truncate and count and count % truncate == 0:
                        state = tuple(apply(CUT, (s,)) for s in state)
                    x = xs[:, t] if batched else xs[t]
                    x.name = f"x_{t + 1}"
                    new, y = step(x, state)
                    state, y = masked_step(masks[t], new, y, state)
                    for s, label in zip(state, self.states, strict=True):
                        if s.name is None:
                            s.name = f"{label}_{t + 1}"
                    outputs[t] = y
            ys: Any = np.stack(outputs, axis=1 if batched else 0)
            ys.name = "ys"
            return [*state, ys]


def unroll(
    module: Any,
    xs: Any,
    state: State | None = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
    truncate: int | None = None,
) -> tuple[Tensor, State]:
    """Run a cell, or a composite of cells, over a sequence.

    Args:
        module: A Cell, Stacked or Bidirectional.
        xs: (batch, time, d_in), or (time, d_in) for a single sequence.
        state: The state before the first step; None for the module's initial one.
        lengths: (batch,) integers from 0 to time: where each sequence ends.
        mask: (batch, time) booleans in place of ``lengths``; holes are allowed.
        reverse: Read from each sequence's end to its beginning; ``ys`` stay aligned with
            ``xs``.
        truncate: The number of steps after which the gradient is cut (truncated BPTT); on the
            tape each cut is a record of the op ``cut``.

    Returns:
        ``(ys, state)``: the outputs (batch, time, d_out), 0 at padded positions, and the
        state after the last real step of each sequence.

    Source: the RNN abstraction RNN*(x_{1:n}; s_0) of Goldberg (2016).

    Example:
        >>> import numpy as np
        >>> from unspool import unroll
        >>> from unspool.cells import LSTM
        >>> ys, (h, c) = unroll(LSTM(3, 4), np.ones((2, 5, 3), np.float32), lengths=[5, 2])
        >>> ys.shape, h.shape, bool((ys[1, 2:].data == 0).all())
        ((2, 5, 4), (2, 4), True)
    """
    if isinstance(module, type) or not hasattr(module, "unroll"):
        raise not_unrolled("unroll: module must be", module)
    result: tuple[Tensor, State] = module.unroll(
        xs, state, lengths=lengths, mask=mask, reverse=reverse, truncate=truncate
    )
    return result


def not_unrolled(what: str, module: Any) -> TypeError:
    """The error for something that cannot be unrolled, or the class of a cell."""
    cure = "; make one, as in LSTM(3, 4)" if isinstance(module, type) else ""
    return TypeError(
        f"{what} a Cell, Stacked or Bidirectional, got {describe_received(module)}{cure}"
    )


def detached(state: Any) -> Any:
    """A state, also that of a composite, detached from its tape: the carry to the next batch.

    Without it the graph of all earlier batches is kept and differentiated again.

    Example:
        >>> import numpy as np
        >>> from unspool import unroll
        >>> from unspool.cells import LSTM, detached
        >>> cell, state = LSTM(3, 4), None
        >>> for xs in np.zeros((10, 2, 5, 3), np.float32):  # one long text in ten pieces
        ...     ys, state = unroll(cell, xs, state)
        ...     ys.sum().backward()
        ...     state = detached(state)
    """
    if isinstance(state, (tuple, list)):
        return tuple(detached(s) for s in state)
    return state.detach() if isinstance(state, Tensor) else state


def check_step(who: str, forward: FunctionType) -> None:
    """Raise TypeError unless a cell's ``forward`` can be called with x and the state."""
    try:
        inspect.signature(forward).bind(None, None, None)
    except TypeError:
        raise TypeError(
            f"{who}.forward must be forward(self, x, state), got forward"
            f"{inspect.signature(forward)}; unpack the state inside, as in (h,) = state"
        ) from None


def cure_of_state(new: Any, states: tuple[str, ...]) -> str:
    """What to write where a step returned something else than the state."""
    if isinstance(new, Tensor) and len(states) == 1:
        return f"; write return {wanted(states)}"
    if type(new) is tuple and len(new) == 2 and isinstance(new[1], tuple):
        return f"; write return {wanted(states)} alone, the output is what output(state) returns"
    return ""


def wanted(states: tuple[str, ...]) -> str:
    """A state as messages show it: ``(h,)``, ``(h, c)``."""
    return f"({', '.join(states)}{',' if len(states) == 1 else ''})"
