"""The context of an op: the scope that it runs in, and whether it is recorded at all.

A context variable holds the path of the current scope, or None while recording is off. Ops
never mention scopes: ``apply`` reads the variable and stores its value in the record. Each
thread and each asyncio task has a value of its own.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, SupportsIndex, TypeAlias, TypeVar

from ..checks import describe_received

P = ParamSpec("P")
R = TypeVar("R")


class StepName(str):
    """The name of a scope that is a time step; ``step`` is its position, counted from 1."""

    step: int

    def __new__(cls, name: str, step: int) -> StepName:  # noqa: D102
        self = super().__new__(cls, name)
        self.step = step
        return self

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]
        return str(self), self.step


class ClassName(str):
    """The name of a scope in which a cell runs, ``lstm``, or a CRF; ``kind`` is its class, LSTM."""

    kind: str

    def __new__(cls, kind: str) -> ClassName:  # noqa: D102
        self = super().__new__(cls, kind.lower())
        self.kind = kind
        return self

    def __getnewargs__(self) -> tuple[str]:
        return (self.kind,)


class BackwardName(str):
    """The name of the scope of a backward record, ``backward``; ``origin`` is the running number
    of the forward record that it comes from.
    """

    origin: int

    def __new__(cls, name: str, origin: int) -> BackwardName:  # noqa: D102
        self = super().__new__(cls, name)
        self.origin = origin
        return self

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]
        return str(self), self.origin


# Every sequence has the same steps, and making a StepName takes half a scope's time.
step_name = functools.lru_cache(maxsize=1024)(StepName)

Path: TypeAlias = tuple[str, ...]
# The scope of what is recorded now; None within no_grad.
current_scope: ContextVar[Path | None] = ContextVar("unspool_scope", default=())
# Inside of detect_anomaly the function that checks every result; None elsewhere.
anomaly_check: ContextVar[Callable[..., None] | None] = ContextVar(
    "unspool_anomaly_check", default=None
)
# An entry for each block of detect_anomaly that is open in any thread or task: while there is
# none, an op need not look into the context variable.
open_checks: list[None] = []


class ContextDecorator:
    """A context manager that is a decorator too, also of generators and of coroutines."""

    __slots__ = ()

    def fresh(self) -> AbstractContextManager[Any]:
        """A context manager of its own for each call, which may run in another thread."""
        raise NotImplementedError

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """As a decorator: the function, run inside of the context."""
        fresh = self.fresh
        inside: Any
        if inspect.isasyncgenfunction(function):
            kind = type(self).__name__
            raise TypeError(
                f"{kind}: {function.__name__} is an asynchronous generator; write "
                f"`with {kind}(...):` inside of it, around what it computes"
            )
        if inspect.isgeneratorfunction(function):

            def inside(*args: P.args, **kwargs: P.kwargs) -> Any:
                return resumed_inside(fresh, function(*args, **kwargs))

        elif inspect.iscoroutinefunction(function):

            async def inside(*args: P.args, **kwargs: P.kwargs) -> Any:
                with fresh():
                    return await function(*args, **kwargs)

        else:

            def inside(*args: P.args, **kwargs: P.kwargs) -> R:
                with fresh():
                    return function(*args, **kwargs)

        decorated: Callable[P, R] = functools.wraps(function)(inside)
        return decorated


def resumed_inside(
    context: Callable[[], AbstractContextManager[Any]], generator: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """A generator that runs inside of a context, while its consumer runs outside of it."""
    resume: Callable[[Any], Any] = generator.send
    given: Any = None
    try:
        while True:
            try:
                with context():
                    value = resume(given)
            except StopIteration as end:
                return end.value
            try:
                resume, given = generator.send, (yield value)
            except GeneratorExit:
                raise
            except BaseException as error:  # thrown in by the consumer
                resume, given = generator.throw, error
    finally:
        with context():
            generator.close()


class scope(ContextDecorator):
    """Name the ops recorded inside a ``with`` block, for pictures, tapes and error messages.

    Scopes nest, and every record carries the path of the scopes around it. As a decorator it
    names what a function computes.

    Args:
        name: What the block computes, such as ``"forget"``.
        step: The position in time, counted from 1, if the block is a time step. Loops in a
            picture come from these numbers.

    Example:
        >>> import numpy as np
        >>> from unspool import Tape, Tensor, scope
        >>> with scope("t=3", step=3), scope("forget"):
        ...     y = np.tanh(Tensor([0.5]))
        >>> Tape(y)[0].scope, Tape(y)[0].step
        (('t=3', 'forget'), 3)
        >>> @scope("attention")
        ... def attend(x):
        ...     return np.exp(x)
        >>> Tape(attend(Tensor([0.5])))[0].scope
        ('attention',)
    """

    __slots__ = ("_previous", "name")

    def __init__(self, name: str, *, step: SupportsIndex | None = None) -> None:
        if type(name) is not str and not isinstance(name, str):
            raise TypeError(f"scope: the name is a string, not {type(name).__name__} {name!r}")
        if step is not None:
            try:
                position = operator.index(step)
            except TypeError as error:
                got = f"{type(step).__name__} {describe_received(step)}"
                raise TypeError(
                    f"scope {name!r}: step must be an integer >= 1, got {got}"
                ) from error
            if position < 1:
                raise ValueError(f"scope {name!r}: steps are counted from 1, got step={step}")
            name = step_name(name, position)
        self.name = name
        self._previous: Any = None  # a chain: the object may be entered again inside

    def __enter__(self) -> scope:
        path = current_scope.get()
        self._previous = path, self._previous
        if path is not None:
            current_scope.set((*path, self.name))
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        path, self._previous = self._previous
        current_scope.set(path)

    def fresh(self) -> scope:
        """Another scope of this name."""
        return scope(self.name)


class ContextSetting(ContextDecorator):
    """A context manager and decorator that sets a context variable and restores it."""

    __slots__ = ("_previous",)
    variable: ContextVar[Any]

    def value(self, previous: Any) -> Any:
        """The variable's value inside, given the value outside."""
        raise NotImplementedError

    def __init__(self, *given: Any) -> None:
        if given:
            name = type(self).__name__
            raise TypeError(
                f"{name} takes no argument, got {describe_received(given[0])}; write "
                f"`with {name}():`, or @{name}() above a function"
            )
        self._previous: list[Any] = []

    def __enter__(self) -> None:
        self._previous.append(self.variable.get())
        self.variable.set(self.value(self._previous[-1]))

    def __exit__(self, kind: Any, error: BaseException | None, trace: TracebackType | None) -> None:
        self.variable.set(self._previous.pop())

    def fresh(self) -> ContextSetting:
        """Another setting of this kind."""
        return type(self)()


class no_grad(ContextSetting):
    """Record nothing inside the block: results are Tensors without a tape behind them.

    Usable as a context manager and, called, as a decorator (``@no_grad()``), also of generators
    and of coroutines.

    Example:
        >>> from unspool import Tensor, no_grad
        >>> x = Tensor([1.0], requires_grad=True)
        >>> with no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
    """

    __slots__ = ()
    variable = current_scope

    def value(self, previous: Path | None) -> Path | None:
        """None: recording is off."""
        return None


class recording(ContextSetting):
    """Record inside the block even within a ``no_grad``, as derivatives need it."""

    __slots__ = ()
    variable = current_scope

    def value(self, previous: Path | None) -> Path | None:
        """The enclosing scope, or the outermost one."""
        return () if previous is None else previous


def path_text(path: tuple[str, ...]) -> str:
    """A scope's path as errors show it: ``lstm / t=3 / forget``."""
    names = []
    for name in path:
        step = getattr(name, "step", None)
        names.append(name if step is None or str(step) in name else f"{name}={step}")
    return " / ".join(names)


def split_scope(path: tuple[str, ...]) -> tuple[tuple[str, ...], int, tuple[str, ...]] | None:
    """A scope's path as (around the outermost time step, the step, inside of it), or None."""
    for i, name in enumerate(path):
        if isinstance(name, StepName):
            return path[:i], name.step, path[i + 1 :]
    return None


def without_steps(path: tuple[str, ...]) -> tuple[str, ...]:
    """A scope's path without its time steps."""
    return tuple(name for name in path if not isinstance(name, StepName))


def origin_of(path: tuple[str, ...]) -> int | None:
    """The number of the record that a backward record comes from; None for a forward one."""
    return path[0].origin if path and isinstance(path[0], BackwardName) else None


def backward_scope(path: Path, origin: int, end: int | None = None) -> Path:
    """The path of a backward record: ``backward``, and the forward record's own up to ``end``."""
    return (BackwardName("backward", origin), *path[:end])


def scope_of_sum(path: Path, operand: Path) -> int:
    """Where what a record gives one of its operands is added: in its step, or in a scope there.

    Args:
        path: The scope of the record.
        operand: The scope of the record that made the operand.

    Returns:
        How many names of ``path``: those up to its time step, and those that both share.
    """
    end = max((n for n, name in enumerate(path, 1) if isinstance(name, StepName)), default=0)
    if step_of(path[:end]) != step_of(operand[:end]) or path[:end] != operand[:end]:
        return end
    shared = zip(path[end:], operand[end:], strict=False)
    return end + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], shared))


def step_of(path: tuple[str, ...]) -> int | None:
    """The innermost time step of a scope's path, or None outside of time."""
    for name in reversed(path):
        if isinstance(name, StepName):
            return name.step
    return None
