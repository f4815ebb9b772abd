"""Derivatives of functions: grad, vjp, jvp, jacobian, hessian.

A function runs on fresh Tensors in place of its arguments, and the backward pass runs on the
tape of its result. If an argument is a Tensor (because another derivative is being taken around
this one), the pass itself is recorded, so that derivatives nest to any order. Arguments and
results may be nested dicts, lists and tuples of arrays.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..checks import check_bool, check_callable, check_int, describe_received
from .backward import backpropagate, reachable, seed_for
from .context import recording
from .messages import describe, is_tensor
from .numpy_calls import PLAIN
from .tensor import Op, Tensor, apply, values
from .trees import flatten, match_leaves, places

IDENTITY = Op("identity", lambda x: x, (lambda g, y, x: g,))

# The arguments of the derivatives being taken around this one: a result that depends on one of
# them must be recorded.
_outer: ContextVar[frozenset[Tensor]] = ContextVar("unspool_outer", default=frozenset())


def alias_of(x: Any) -> Any:
    """A Tensor of its own with the same values, recorded; anything else as it is."""
    if not isinstance(x, Tensor):
        return x
    alias = apply(IDENTITY, (x,))
    alias.name = x.name
    return alias


class Trace:
    """A run of a function on fresh Tensors; any number of backward passes may follow.

    ``wrt`` says which positional arguments to differentiate by; with ``has_aux`` the function
    returns a pair, a result and auxiliary data.

    Attributes:
        leaves: The fresh Tensors.
        outputs: The result's leaves, Tensors.
        aux: The auxiliary data, as it is handed out.
        recorded: Whether results and gradients are Tensors on a tape, as another derivative is
            being taken around this one.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        wrt: Sequence[int],
        kwargs: Any,
        has_aux: bool = False,
    ) -> None:
        name = getattr(f, "__name__", "f")
        arguments = list(args)
        self.leaves: list[Argument] = []
        self.rebuild: list[tuple[int, Callable[[Sequence[Any]], Any]]] = []
        everything, _ = flatten([*args, *kwargs.values()])
        self.recorded = any(map(is_tensor, everything))
        outer = _outer.get()
        with recording():
            for i in wrt:
                arguments[i] = self.fresh(name, args, i)
            if len({i % len(args) for i in wrt}) < len(wrt):
                raise ValueError(f"{name}: argnums {tuple(wrt)} name an argument twice")
            token = _outer.set(outer | frozenset(self.leaves))
            try:
                result = f(*arguments, **kwargs)
            finally:
                _outer.reset(token)
        aux = None
        if has_aux:
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                raise TypeError(
                    f"{name} must return (value, aux) with has_aux=True, got "
                    f"{describe_received(result)}"
                )
            result, aux = result
        found, self.rebuild_output = flatten(result)
        self.check_on_tape(name, found)
        self.outputs = [y if isinstance(y, Tensor) else Tensor(np.asarray(y)) for y in found]
        extra, rebuild_aux = flatten(aux)
        if outer and not self.recorded:
            results = [*self.outputs, *filter(is_tensor, extra)]
            order, ends = reachable(results, gradients_only=True)
            self.recorded = any(t in outer for t in (*(t for _, t in order), *ends))
        self.aux = rebuild_aux([self.value(x) if is_tensor(x) else x for x in extra])

    def fresh(self, name: str, args: Sequence[Any], i: int) -> Any:
        """Argument i with fresh Tensors for leaves."""
        if not -len(args) <= i < len(args):
            raise ValueError(
                f"{name} was called with {len(args)} positional arguments; there is no "
                f"argument {i} to differentiate by"
            )
        found, rebuild = flatten(args[i])
        at = [argument_text(i, place) for place in places(args[i])]
        fresh = [_fresh(x, f"{name}: {where}") for x, where in zip(found, at, strict=True)]
        self.rebuild.append((len(fresh), rebuild))
        self.leaves += fresh
        return rebuild(fresh)

    def check_on_tape(self, name: str, found: Sequence[Any]) -> None:
        """Raise for a result that was detached on the way.

        A float that the argument does not enter into is a constant. But once the argument was
        read, a result without a Tensor has left the tape.
        """
        lost = any(x.was_read for x in self.leaves) and not any(map(is_tensor, found))
        for y in found:
            if not isinstance(y, Tensor) and (lost or np.asarray(y).dtype.kind != "f"):
                raise TypeError(
                    f"{name} returned {type(y).__name__}, not a Tensor: nothing on it can be "
                    "differentiated; compute the result from the argument with np's functions, "
                    "without .item(), .data or float(), and a constant c as c + 0 * x.sum()"
                )

    def value(self, y: Tensor) -> Any:
        """A result as it is handed out."""
        return y if self.recorded else y.data

    def back(self, seeds: Sequence[Any]) -> list[Any]:
        """The gradient of every leaf, for one gradient an output."""
        recorded = self.recorded or any(map(is_tensor, seeds))
        roots = [(y, seed_for(y, seed)) for y, seed in zip(self.outputs, seeds, strict=True)]
        found = carry_back(roots, self.leaves, recorded)
        return [_result(found.get(x), x, recorded) for x in self.leaves]

    def by_argument(self, leaves: Sequence[Any]) -> list[Any]:
        """Values of leaves, put into the containers of the arguments."""
        out = []
        at = 0
        for count, rebuild in self.rebuild:
            out.append(rebuild(leaves[at : at + count]))
            at += count
        return out


def carry_back(
    roots: Sequence[tuple[Tensor, Any]], leaves: Iterable[Tensor], recorded: bool
) -> dict[Tensor, Any]:
    """Gradients from the roots back to leaves, on a tape if they are to be differentiated again."""
    found: dict[Tensor, Any] = {}
    if recorded:
        roots = [(y, g if is_tensor(g) else Tensor(g)) for y, g in roots]
    with recording() if recorded else contextlib.nullcontext():
        backpropagate(roots, found.__setitem__, stop=set(leaves))
    return found


def _result(g: Any, x: Tensor, recorded: bool) -> Any:
    """A gradient of x as it is handed out; 0 for None."""
    if g is None:
        g = np.zeros(x.shape, x.dtype)
    if recorded:
        return g if is_tensor(g) else Tensor(g)
    return np.array(g)  # a copy: it may be a view of a shared array


class Argument(Tensor):
    """An access-tracking argument: a Tensor that notes when its values are read."""

    __slots__ = ("was_read",)

    def __init__(self, x: Tensor) -> None:
        self.data, self.grad, self.name, self._record = x.data, None, x.name, x._record
        self.requires_grad, self.was_read = True, False

    @property  # type: ignore[override]
    def data(self) -> Any:
        """The values."""
        self.was_read = True
        return _data.__get__(self)

    @data.setter
    def data(self, array: Any) -> None:
        _data.__set__(self, array)

    def __array_ufunc__(self, ufunc: Any, *args: Any, **kwargs: Any) -> Any:
        call = Tensor.__array_ufunc__
        if ufunc in PLAIN:  # np.float64(1) > x
            call = _without_reading(call)
        return call(self, ufunc, *args, **kwargs)


_data: Any = vars(Tensor)["data"]
Argument.__name__ = "Tensor"  # as it is printed


def _without_reading(method: Any) -> Any:
    @functools.wraps(method)
    def ask(self: Argument, *args: Any, **kwargs: Any) -> Any:
        asked = {x: x.was_read for x in (self, *args) if isinstance(x, Argument)}
        answer = method(self, *args, **kwargs)
        for x, before in asked.items():
            x.was_read = before
        return answer

    return ask


# Comparisons and shapes have gradient 0: choosing a constant by one does not count as reading.
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "bool", "len"):
    setattr(Argument, f"__{_name}__", _without_reading(getattr(Tensor, f"__{_name}__")))
for _name in ("shape", "ndim", "dtype", "size"):
    setattr(Argument, _name, property(_without_reading(getattr(Tensor, _name).fget)))


def _fresh(x: Any, where: str) -> Argument:
    """The fresh Tensor of one leaf of an argument: a leaf, or an alias of an outer Tensor."""
    if isinstance(x, Tensor):
        if x.dtype.kind != "f":
            raise TypeError(f"{where} is {describe(x)}, which has no gradient")
        return Argument(alias_of(x))
    array = np.asarray(x)
    if array.dtype.kind != "f":
        raise not_floats(where, x)
    return Argument(Tensor(array))


def argument_text(i: int, place: str) -> str:
    """A leaf in a message: its argument and its place there."""
    return f"argument {i} {place}" if place else f"argument {i}"


def not_floats(where: str, x: Any) -> TypeError:
    """The error for an argument that is not floating-point."""
    dtype = x.dtype if isinstance(x, Tensor) else np.asarray(x).dtype
    if dtype.kind in "iub":
        return TypeError(
            f"{where} holds {dtype}, and a gradient is asked of it; write it as floats (2.0, or "
            ".astype(float)), or pass constants in another argument"
        )
    return TypeError(
        f"{where} is {describe_received(x)}, and a gradient is asked of it; that may be floats, "
        "arrays and Tensors of them, and dicts, lists and tuples of these; give others in another "
        "argument"
    )


def _wrt(who: str, f: Any, argnums: int | Sequence[int]) -> tuple[list[int], bool]:
    """Checked positions of arguments, and whether it is a single one."""
    check_callable(who, "f", f, f"{who}(f)(x)")
    single = not isinstance(argnums, (tuple, list, range))
    numbers: Any = (argnums,) if single else argnums
    return [check_int(who, "argnums", i, least=None) for i in numbers], single


# The derivatives --------------------------------------------------------------------------------


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns ``(value, gradient)`` of a scalar function.

    Args:
        f, argnums: As in ``grad``.
        has_aux: Whether ``f`` returns ``(value, aux)``. The result is then
            ``((value, aux), gradient)``; ``aux`` may be any object, Tensors in it come back as
            the value does.

    Example:
        >>> from unspool.autograd import value_and_grad
        >>> def loss(w, x):
        ...     scores = x @ w
        ...     return (scores**2).sum(), {"scores": scores}
        >>> (value, aux), g = value_and_grad(loss, has_aux=True)(np.array([1.0, 2.0]), np.eye(2))
        >>> value, aux["scores"], g
        (array(5.), array([1., 2.]), array([2., 4.]))
    """
    check_bool("value_and_grad", "has_aux", has_aux)
    wrt, single = _wrt("value_and_grad", f, argnums)

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        trace = Trace(f, args, wrt, kwargs, has_aux)
        if len(trace.outputs) != 1 or trace.outputs[0].size != 1:
            shapes = ", ".join(str(y.shape) for y in trace.outputs)
            raise ValueError(
                f"grad: {getattr(f, '__name__', 'f')} must return one scalar, got {shapes}; reduce "
                "it with .sum() or .mean(), or use jacobian or vjp"
            )
        gradients = trace.by_argument(trace.back([None]))
        value = trace.value(trace.outputs[0])
        gradient = gradients[0] if single else tuple(gradients)
        return ((value, trace.aux) if has_aux else value), gradient

    return derivative


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function of the same arguments.

    Args:
        f: Takes arrays or containers of arrays, computes on Tensors, returns a scalar Tensor.
        argnums: The positional argument to differentiate by, or several of them.

    Returns:
        A function whose result has the shape of the argument (a tuple for several): arrays
        for arrays, Tensors where an argument is a Tensor, so that ``grad(grad(f))`` works. An
        argument that the result does not depend on has gradient 0, also where the result is a
        plain number computed from the other arguments, or chosen by comparing this one.

        A gradient that is an array is a constant, also for Parameters that ``f`` closes over: a
        gradient penalty made of it has no effect on them. Give the argument as a Tensor,
        ``grad(f)(Tensor(x))``, and the ``backward()`` of the loss reaches them.

    Raises:
        TypeError: The argument holds anything but floats, or ``f`` returns no number, or one that
            it detached (``.item()``).

    Example:
        >>> from unspool import grad
        >>> grad(lambda x: x**3)(2.0)
        array(12.)
        >>> grad(grad(lambda x: x**3))(2.0)
        array(12.)
    """
    _wrt("grad", f, argnums)
    both = value_and_grad(f, argnums)

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return derivative


def vjp(f: Callable[..., Any], *xs: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of ``f(*xs)``, and the function from its gradient to those of ``xs``.

    Returns:
        ``(y, pull)``; ``pull(g)``, with ``g`` of y's shape (and containers, by their keys), is
        a tuple of one gradient for each of ``xs``. It may be called any number of times.

    Example:
        >>> from unspool.autograd import vjp
        >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
        >>> pull(np.array([1.0, 10.0]))
        (array([ 2., 40.]),)
    """
    check_callable("vjp", "f", f, "vjp(f, x)")
    trace = Trace(f, xs, range(len(xs)), {})
    like = trace.rebuild_output(trace.outputs)

    def pull(g: Any) -> tuple[Any, ...]:
        seeds = match_leaves("pull: the gradient", g, like)
        return tuple(trace.by_argument(trace.back(seeds)))

    return trace.rebuild_output([trace.value(y) for y in trace.outputs]), pull


def jvp(f: Callable[..., Any], xs: Any, vs: Any) -> tuple[Any, Any]:
    """The value of ``f(*xs)`` and its derivative in the direction ``vs``.

    The pullback is linear in the gradient ``u`` it is given; differentiated by ``u`` in turn
    it is the pushforward.

    Args:
        f: Takes Tensors, returns a Tensor (or a container of them).
        xs: A tuple of arguments (a single array stands for a tuple of one).
        vs: Their directions, of the same shapes, in the same containers.

    Returns:
        ``(y, dy)``.
    """
    check_callable("jvp", "f", f, "jvp(f, x, v)")
    arguments = xs if isinstance(xs, (tuple, list)) else (xs,)
    given = vs if isinstance(vs, (tuple, list)) else (vs,)
    directions = match_leaves("jvp: the directions", given, arguments)
    trace = Trace(f, arguments, range(len(arguments)), {})
    nested = trace.recorded or any(map(is_tensor, directions))
    for x, v in zip(trace.leaves, directions, strict=True):
        if x.shape != np.shape(values(v)):
            raise ValueError(
                f"jvp: the direction {np.shape(values(v))} must have the shape {x.shape}"
            )
    with recording():
        us = [Tensor(np.zeros(y.shape, y.dtype), requires_grad=True) for y in trace.outputs]
        pulled = trace.back(us)
        total = sum((np.sum(g * v) for g, v in zip(pulled, directions, strict=True)), Tensor(0.0))
    found: dict[Tensor, Any] = {}
    if total.requires_grad:
        found = carry_back([(total, np.ones((), total.dtype))], us, nested)
    dys = [_result(found.get(u), u, nested) for u in us]
    ys = [y if nested else y.data for y in trace.outputs]
    return trace.rebuild_output(ys), trace.rebuild_output(dys)


def jacobian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """All first derivatives: for y = f(x) an array of shape ``y.shape + x.shape``.

    One pass back for each element of y. Containers of results hold containers of arguments.
    ``argnums`` is as in ``grad``.
    """
    wrt, single = _wrt("jacobian", f, argnums)

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        trace = Trace(f, args, wrt, kwargs)
        stack: Any = np.stack
        results = []
        for k, y in enumerate(trace.outputs):
            rows = []
            for i in range(y.size):
                seeds = [np.zeros(other.shape, other.dtype) for other in trace.outputs]
                seeds[k].reshape(-1)[i] = 1
                rows.append(trace.back(seeds))
            blocks = [
                stack([row[j] for row in rows]).reshape((*y.shape, *x.shape))
                if rows
                else _result(np.zeros((*y.shape, *x.shape), x.dtype), x, trace.recorded)
                for j, x in enumerate(trace.leaves)
            ]
            by_argument = trace.by_argument(blocks)
            results.append(by_argument[0] if single else tuple(by_argument))
        return trace.rebuild_output(results)

    return derivative


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """All second derivatives of a scalar function: shape ``x.shape + x.shape``.

    ``argnums`` is as in ``grad``.

    Example:
        >>> from unspool.autograd import hessian
        >>> hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
        array([[ 6.,  0.],
               [ 0., 12.]])
    """
    _wrt("hessian", f, argnums)
    return jacobian(grad(f, argnums), argnums)
