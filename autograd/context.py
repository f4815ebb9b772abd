"""Where an op happens: the scope it stands in, and whether it is recorded at all.

A context variable holds the path of the current scope, or None while nothing is recorded. Ops
never mention scopes: ``apply`` reads the variable and puts what it finds on the record. Each
thread and each asyncio task has a value of its own.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, SupportsIndex, TypeAlias, TypeVar

__all__ = ["detect_anomaly", "no_grad", "scope"]

P = ParamSpec("P")
R = TypeVar("R")


class StepName(str):
    """The name of a scope that is a time step; ``step`` is its position, counted from 1."""

    step: int

    def __new__(cls, name: str, step: int) -> StepName:
        self = super().__new__(cls, name)
        self.step = step
        return self

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]
        return str(self), self.step


class ClassName(str):
    """The name of a scope in which a cell runs, ``lstm``; ``kind`` is its class, ``LSTM``."""

    kind: str

    def __new__(cls, kind: str) -> ClassName:
        self = super().__new__(cls, kind.lower())
        self.kind = kind
        return self

    def __getnewargs__(self) -> tuple[str]:
        return (self.kind,)


# The names of the same steps come again in every sequence, and making one takes half a scope's
# time.
step_name = functools.lru_cache(maxsize=1024)(StepName)

Path: TypeAlias = tuple[str, ...]
current: ContextVar[Path | None] = ContextVar("unspool_scope", default=())
watched: ContextVar[bool] = ContextVar("unspool_detect_anomaly", default=False)
# An entry for each block of detect_anomaly that is open in any thread or task: while there is
# none, an op need not ask whether it is watched.
watches: list[None] = []


class scope:
    """Name the ops recorded inside a ``with`` block, for pictures, tapes and error messages.

    Scopes nest, and every record carries the path of the scopes around it.

    Args:
        name: What the block computes, such as ``"forget"``.
        step: The position in time, counted from 1, if the block is a time step. Loops in a
            picture come from these numbers.

    Raises:
        TypeError: ``name`` is not a string, or ``step`` is not an integer.
        ValueError: ``step`` is below 1.

    Example:
        >>> import numpy as np
        >>> from unspool import Tape, Tensor, scope
        >>> with scope("t=3", step=3), scope("forget"):
        ...     y = np.tanh(Tensor([0.5]))
        >>> Tape(y)[0].scope, Tape(y)[0].step
        (('t=3', 'forget'), 3)
    """

    __slots__ = ("_previous", "name")

    def __init__(self, name: str, *, step: SupportsIndex | None = None) -> None:
        if type(name) is not str and not isinstance(name, str):
            raise TypeError(f"scope: the name is a string, not {type(name).__name__} {name!r}")
        if step is not None:
            position = operator.index(step)
            if position < 1:
                raise ValueError(f"scope {name!r}: steps are counted from 1, got step={step}")
            name = step_name(name, position)
        self.name = name
        self._previous: Any = None  # a chain: the object may be entered again inside

    def __enter__(self) -> scope:
        path = current.get()
        self._previous = path, self._previous
        if path is not None:
            current.set((*path, self.name))
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        path, self._previous = self._previous
        current.set(path)


class _Setting:
    """A context manager that is also a decorator: sets a variable on entry and puts it back."""

    __slots__ = ("_previous",)
    variable: ContextVar[Any]

    def value(self, previous: Any) -> Any:
        raise NotImplementedError

    def __init__(self) -> None:
        self._previous: list[Any] = []

    def __enter__(self) -> None:
        self._previous.append(self.variable.get())
        self.variable.set(self.value(self._previous[-1]))

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        self.variable.set(self._previous.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with type(self)():
                return function(*args, **kwargs)

        return inside


class no_grad(_Setting):
    """Record nothing inside the block: results are Tensors without a tape behind them.

    Usable as a context manager and, called, as a decorator (``@no_grad()``).

    Example:
        >>> from unspool import Tensor, no_grad
        >>> x = Tensor([1.0], requires_grad=True)
        >>> with no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
    """

    __slots__ = ()
    variable = current

    def value(self, previous: Path | None) -> Path | None:
        """None: nothing is recorded."""
        return None


class recording(_Setting):
    """Record inside the block also where a ``no_grad`` is around it (what gradients need)."""

    __slots__ = ()
    variable = current

    def value(self, previous: Path | None) -> Path | None:
        """The scope around, or the outermost one."""
        return () if previous is None else previous


class detect_anomaly(_Setting):
    """Raise at the first record that makes a NaN or an infinity out of finite numbers.

    Inside the block the result of every op, and in a backward pass every gradient, is
    checked. The FloatingPointError names the op, its operands and the scope. An infinity among
    the operands (a mask of ``-inf``, say) is no anomaly of the op that reads it. A NaN is
    one as soon as an op computes a NaN from it, and the error names the leaf that it stood in;
    ops that only move it may do so, as ``np.where`` may take it out again.

    Example:
        >>> import numpy as np
        >>> from unspool import Tensor
        >>> from unspool.autograd import detect_anomaly
        >>> with detect_anomaly(), np.errstate(divide="ignore"):
        ...     np.log(Tensor([0.0], name="p"))
        Traceback (most recent call last):
        ...
        FloatingPointError: log of p (1,) float64: 1 of 1 results is not finite (-inf at [0])
    """

    __slots__ = ()
    variable = watched

    def __enter__(self) -> None:
        watches.append(None)
        super().__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        super().__exit__(kind, error, trace)
        watches.pop()

    def value(self, previous: bool) -> bool:
        """On."""
        return True


def path_text(path: tuple[str, ...]) -> str:
    """A scope's path as error messages show it: ``lstm / t=3 / forget``."""
    names = []
    for name in path:
        step = getattr(name, "step", None)
        names.append(name if step is None or str(step) in name else f"{name}={step}")
    return " / ".join(names)


def step_of(path: tuple[str, ...]) -> int | None:
    """The innermost time step of a scope's path, or None outside of time."""
    for name in reversed(path):
        if isinstance(name, StepName):
            return name.step
    return None
