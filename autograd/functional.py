"""Derivatives of functions: grad, vjp, jvp, jacobian, hessian, checkpoint.

A function is run on fresh Tensors in place of its arguments and the tape behind its result
is run back. If an argument is a Tensor (because another derivative is being taken around
this one), the pass itself is recorded, so that derivatives nest to any order. Arguments and
results may be nested dicts, lists and tuples of arrays.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from .context import current, recording
from .replay import LEAVES
from .tape import backpropagate, reachable, seed_for
from .tensor import PLAIN, Op, Tensor, apply, came, describe, operands_of, values

__all__ = ["checkpoint", "grad", "hessian", "jacobian", "jvp", "value_and_grad", "vjp"]

IDENTITY = Op("identity", lambda x: x, (lambda g, y, x: g,))

# The arguments of the derivatives being taken around this one: what reaches one of them must
# be recorded.
_outer: ContextVar[frozenset[Tensor]] = ContextVar("unspool_outer", default=frozenset())


# Nested containers ----------------------------------------------------------------------------


def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of nested dicts, lists and tuples, and how to put others in their places."""
    leaves: list[Any] = []
    plan = _walk(tree, leaves)
    return leaves, functools.partial(_build, plan)


# Functions of the module, not closures that call themselves: such a closure is a cycle, and
# would keep the leaves, and the graph behind them, until the garbage collector comes.


def _walk(node: Any, leaves: list[Any]) -> Any:
    """The tree with a leaf's number in its place, and each container as (maker, parts)."""
    kind: Any = type(node)
    if isinstance(node, defaultdict):
        kind = functools.partial(kind, node.default_factory)
    if isinstance(node, dict):
        return kind, {key: _walk(value, leaves) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        parts = [_walk(value, leaves) for value in node]
        return getattr(kind, "_make", kind), parts  # _make: of a namedtuple
    leaves.append(node)
    return len(leaves) - 1


def _build(node: Any, new: Sequence[Any]) -> Any:
    """The tree of a plan, with ``new`` in the places of the leaves."""
    if isinstance(node, int):
        return new[node]
    make, parts = node
    if not isinstance(parts, dict):
        return make([_build(part, new) for part in parts])
    items = {key: _build(part, new) for key, part in parts.items()}
    if make is dict:
        return items
    try:
        made = make(items)
    except Exception as error:  # whatever its __init__ makes of one argument
        raise _not_remade(make, str(error)) from error
    leaves = [key for key, part in parts.items() if isinstance(part, int)]
    if list(made) != list(items) or any(made[key] is not items[key] for key in leaves):
        raise _not_remade(make, "its items are others then")
    return made


def _not_remade(make: Any, why: str) -> TypeError:
    name = getattr(make, "func", make).__name__
    return TypeError(
        f"a {name} cannot be made again with other leaves by {name}({{...}}): {why}; give a plain "
        "dict, dict(x)"
    )


def places(tree: Any, at: str = "") -> list[str]:
    """Where each leaf of a tree stands, as it is written: ``['a'][1]``, or ``.W``."""
    if isinstance(tree, dict):
        return [place for key in tree for place in places(tree[key], f"{at}[{key!r}]")]
    if isinstance(tree, (list, tuple)):
        names = [f".{name}" for name in getattr(tree, "_fields", ())]
        names = names or [f"[{i}]" for i in range(len(tree))]
        return [p for x, name in zip(tree, names, strict=True) for p in places(x, at + name)]
    return [at]


def _kind(tree: Any) -> str:
    """A container, or what stands in the place of one, in a message."""
    if isinstance(tree, dict):
        return f"a dict with {', '.join(map(repr, tree)) or 'nothing'}"
    if isinstance(tree, (list, tuple)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return came(tree)


def _matched(what: str, tree: Any, like: Any) -> list[Any]:
    """The leaves of ``tree`` in the order of those of ``like``, whose structure it must have.

    Dicts match by their keys, lists and tuples by position. ``what`` is the tree in a message.
    """
    if isinstance(like, dict):
        if isinstance(tree, dict) and tree.keys() == like.keys():
            pairs = [(f"{what}[{key!r}]", tree[key], like[key]) for key in like]
            return [leaf for pair in pairs for leaf in _matched(*pair)]
    elif isinstance(like, (list, tuple)):
        if isinstance(tree, (list, tuple)) and len(tree) == len(like):
            names = [f"{what}[{i}]" for i in range(len(like))]
            return [
                leaf for pair in zip(names, tree, like, strict=True) for leaf in _matched(*pair)
            ]
    elif not isinstance(tree, (dict, list, tuple)):
        return [tree]
    raise ValueError(f"{what}: expected {_kind(like)}, got {_kind(tree)}")


def _is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


class _Trace:
    """A run of a function on fresh Tensors, ready to be run back any number of times."""

    def __init__(self, f: Callable[..., Any], args: Sequence[Any], wrt: Sequence[int], kwargs: Any):
        name = getattr(f, "__name__", "f")
        arguments = list(args)
        self.leaves: list[Argument] = []
        self.rebuild: list[tuple[int, Callable[[Sequence[Any]], Any]]] = []
        everything, _ = flatten([*args, *kwargs.values()])
        self.recorded = any(map(_is_tensor, everything))
        with recording():
            for i in wrt:
                if not -len(args) <= i < len(args):
                    raise ValueError(
                        f"{name} was called with {len(args)} positional arguments; there is no "
                        f"argument {i} to differentiate by"
                    )
                found, rebuild = flatten(arguments[i])
                at = [argument_text(i, place) for place in places(arguments[i])]
                fresh = [_fresh(x, f"{name}: {where}") for x, where in zip(found, at, strict=True)]
                arguments[i] = rebuild(fresh)
                self.rebuild.append((len(fresh), rebuild))
                self.leaves += fresh
            if len({i % len(args) for i in wrt}) < len(wrt):
                raise ValueError(f"{name}: argnums {tuple(wrt)} name an argument twice")
            outer = _outer.get()
            token = _outer.set(outer | frozenset(self.leaves))
            try:
                result = f(*arguments, **kwargs)
            finally:
                _outer.reset(token)
        found, self.rebuild_output = flatten(result)
        # Floats that the argument does not enter into are constants. But nothing else where it
        # was read: then it has left its tape on the way.
        lost = any(x.was_read for x in self.leaves) and not any(map(_is_tensor, found))
        for y in found:
            if not isinstance(y, Tensor) and (lost or np.asarray(y).dtype.kind != "f"):
                raise TypeError(
                    f"{name} returned {type(y).__name__}, not a Tensor: nothing on it can be "
                    "differentiated; compute the result from the argument with np's functions, "
                    "without .item(), .data or float(), and a constant c as c + 0 * x.sum()"
                )
        self.outputs = [y if isinstance(y, Tensor) else Tensor(np.asarray(y)) for y in found]
        if outer and not self.recorded:
            order, ends = reachable(self.outputs, gradients_only=True)
            self.recorded = any(t in outer for t in (*(t for _, t in order), *ends))

    def value(self, y: Tensor) -> Any:
        return y if self.recorded else y.data

    def back(self, seeds: Sequence[Any]) -> list[Any]:
        """The gradient of every leaf, for one gradient an output."""
        found: dict[Tensor, Any] = {}
        recorded = self.recorded or any(map(_is_tensor, seeds))
        roots = []
        for y, seed in zip(self.outputs, seeds, strict=True):
            g = seed_for(y, seed)
            roots.append((y, Tensor(g) if recorded and not _is_tensor(g) else g))
        stop = set(self.leaves)

        def deliver(x: Tensor, g: Any) -> None:
            if x in stop:
                found[x] = g

        with recording() if recorded else _nothing:
            backpropagate(roots, deliver, stop=stop)
        return [_result(found.get(x), x, recorded) for x in self.leaves]

    def by_argument(self, leaves: Sequence[Any]) -> list[Any]:
        """Leaves' values put into the containers of the arguments they came from."""
        out = []
        at = 0
        for count, rebuild in self.rebuild:
            out.append(rebuild(leaves[at : at + count]))
            at += count
        return out


def _result(g: Any, x: Tensor, recorded: bool) -> Any:
    """A gradient of x as it is handed out; 0 if there is none."""
    if g is None:
        g = np.zeros(x.shape, x.dtype)
    if recorded:
        return g if _is_tensor(g) else Tensor(g)
    return np.array(g)  # a copy: others may share what it is a view of


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: Any) -> None: ...


_nothing = _Nothing()


class Argument(Tensor):
    """A Tensor in the place of an argument, which knows whether it was read."""

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


# Steps and shapes have the gradient 0: a constant that was chosen by one was not read.
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "bool", "len"):
    setattr(Argument, f"__{_name}__", _without_reading(getattr(Tensor, f"__{_name}__")))
for _name in ("shape", "ndim", "dtype", "size"):
    setattr(Argument, _name, property(_without_reading(vars(Tensor)[_name].fget)))


def _fresh(x: Any, where: str) -> Argument:
    """A Tensor of its own for one leaf of an argument: a leaf, or an alias of an outer Tensor."""
    if isinstance(x, Tensor):
        if x.dtype.kind != "f":
            raise TypeError(f"{where} is {describe(x)}, which has no gradient")
        alias: Tensor = apply(IDENTITY, (x,))
        alias.name = x.name
        return Argument(alias)
    array = np.asarray(x)
    if array.dtype.kind != "f":
        raise no_floats(where, x)
    return Argument(Tensor(array))


def argument_text(i: int, place: str) -> str:
    """A leaf in a message: its argument, and its place in it."""
    return f"argument {i} {place}" if place else f"argument {i}"


def no_floats(where: str, x: Any) -> TypeError:
    """The error for a leaf that has no gradient among those that are differentiated by."""
    dtype = x.dtype if isinstance(x, Tensor) else np.asarray(x).dtype
    if dtype.kind in "iub":
        return TypeError(
            f"{where} holds {dtype}, and a gradient is asked of it; write it as floats (2.0, or "
            ".astype(float)), or give what is constant in another argument"
        )
    return TypeError(
        f"{where} is {came(x)}, and a gradient is asked of it; that may be floats, arrays and "
        "Tensors of them, and dicts, lists and tuples of these; give all else in another argument"
    )


def _wrt(argnums: int | Sequence[int]) -> tuple[list[int], bool]:
    if isinstance(argnums, (int, np.integer)):
        return [int(argnums)], True
    return [int(i) for i in argnums], False


# The derivatives --------------------------------------------------------------------------------


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns ``(f(...), gradient)``; see ``grad``."""
    wrt, single = _wrt(argnums)

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        trace = _Trace(f, args, wrt, kwargs)
        if len(trace.outputs) != 1 or trace.outputs[0].size != 1:
            shapes = ", ".join(str(y.shape) for y in trace.outputs)
            raise ValueError(
                f"grad: {getattr(f, '__name__', 'f')} must return one scalar, got {shapes}; reduce "
                "it with .sum() or .mean(), or use jacobian or vjp"
            )
        gradients = trace.by_argument(trace.back([None]))
        return trace.value(trace.outputs[0]), gradients[0] if single else tuple(gradients)

    return derivative


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The gradient of a scalar function, as a function of the same arguments.

    Args:
        f: Takes arrays or containers of arrays, computes on Tensors, returns a scalar Tensor.
        argnums: By which positional argument to differentiate, or by which several.

    Returns:
        A function whose result has the shape of the argument (a tuple for several): arrays
        for arrays, Tensors where an argument is a Tensor, so that ``grad(grad(f))`` works. An
        argument that does not matter has gradient 0, also where the result is a plain number
        that was computed from the other arguments, or chosen by comparing this one itself.

        A gradient that is an array is a constant, for Parameters that ``f`` closes over too: a
        penalty on it, added to a loss, has no effect on them. There give the argument as a
        Tensor, ``grad(f)(Tensor(x))``, and the ``backward()`` of the loss reaches them.

    Raises:
        ValueError: ``f`` returns no scalar.
        TypeError: The argument holds anything but floats, or ``f`` returns no number, or one that
            it took off the tape (``.item()``).

    Example:
        >>> from unspool import grad
        >>> grad(lambda x: x**3)(2.0)
        array(12.)
        >>> grad(grad(lambda x: x**3))(2.0)
        array(12.)
    """
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

    Raises:
        ValueError: From ``pull``, the containers or shapes are others than y's.

    Example:
        >>> import numpy as np
        >>> from unspool.autograd import vjp
        >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
        >>> pull(np.array([1.0, 10.0]))
        (array([ 2., 40.]),)
    """
    trace = _Trace(f, xs, range(len(xs)), {})
    like = trace.rebuild_output(trace.outputs)

    def pull(g: Any) -> tuple[Any, ...]:
        seeds = _matched("pull: the gradient", g, like)
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

    Raises:
        ValueError: The directions' containers or shapes are others than the arguments'.
    """
    arguments = xs if isinstance(xs, (tuple, list)) else (xs,)
    given = vs if isinstance(vs, (tuple, list)) else (vs,)
    directions = _matched("jvp: the directions", given, arguments)
    trace = _Trace(f, arguments, range(len(arguments)), {})
    nested = trace.recorded or any(map(_is_tensor, directions))
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
        one = np.ones((), total.dtype)
        with recording() if nested else _nothing:
            backpropagate(
                [(total, Tensor(one) if nested else one)],
                lambda x, g: found.__setitem__(x, g),
                stop=set(us),
            )
    dys = [_result(found.get(u), u, nested) for u in us]
    ys = [y if nested else y.data for y in trace.outputs]
    return trace.rebuild_output(ys), trace.rebuild_output(dys)


def jacobian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """All first derivatives: for y = f(x) an array of shape ``y.shape + x.shape``.

    One pass back for each element of y. Containers of results hold containers of arguments.
    """
    wrt, single = _wrt(argnums)

    @functools.wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        trace = _Trace(f, args, wrt, kwargs)
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

    Example:
        >>> import numpy as np
        >>> from unspool.autograd import hessian
        >>> hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
        array([[ 6.,  0.],
               [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)


# Memory for time ----------------------------------------------------------------------------------


def checkpoint(f: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """``f(*args, **options)``, forgetting how it was computed until its gradient is asked for.

    The pass back runs ``f`` again, so the results of the ops inside are held in memory only
    then (Chen et al. 2016). ``f`` must compute the same again: give it its random numbers, or
    an integer as the seed that it draws them from.

    Args:
        f: Returns a Tensor, or a tuple (nested, as a cell's ``(y, state)``) of Tensors of one
            dtype.
        *args: Tensors, or nested containers of them, and other arguments.
        **options: Arguments other than Tensors.

    Returns:
        What ``f`` returns; the tape holds one record ``checkpoint`` in place of those inside.

    Raises:
        TypeError: ``f`` returns something else, or an option holds a Tensor.
        ValueError: From the pass back, if ``f`` did not give the same again.

    Example:
        >>> import numpy as np
        >>> from unspool import Parameter
        >>> from unspool.autograd import checkpoint
        >>> x = Parameter([0.5])
        >>> checkpoint(lambda x: np.exp(np.sin(x)), x).sum().backward()
        >>> x.grad.round(6)
        array([1.417424])
    """
    for option, x in options.items():
        if any(map(_is_tensor, flatten(x)[0])):
            raise TypeError(
                f"checkpoint: {option}= holds a Tensor; give Tensors to the function by position"
            )
    if current.get() is None:
        return f(*args, **options)
    leaves, rebuild = flatten(args)
    # An alias of each argument marks where f begins; what else f reaches, it closes over.
    with recording():
        inside = [_alias(x) for x in leaves]
        outputs, rebuild_output = flatten(f(*rebuild(inside), **options))
    aliases = {x for x in inside if _is_tensor(x)}
    given = [x for x in leaves if _is_tensor(x)]
    first = min((x._record[0] for x in aliases), default=None)
    captured = _captured(outputs, aliases, first)
    shapes = [y.shape for y in outputs]
    data = _joined([y.data for y in outputs])
    del inside, aliases, outputs

    def rule(g: Any, y: Any, *inputs: Any) -> list[Any]:
        with recording():
            fresh = [_alias(x) for x in given]
            for alias in fresh:  # who asks for every gradient on a tape gets these too
                alias.requires_grad = alias.dtype.kind == "f"
            replaced = iter(fresh)
            given_again = rebuild([next(replaced) if _is_tensor(x) else x for x in leaves])
            again, _ = flatten(f(*given_again, **options))
            if [np.shape(y) for y in again] != shapes or not _same(_joined(again), data):
                raise ValueError(
                    f"checkpoint: {getattr(f, '__name__', 'f')} gave another result the second "
                    "time; give it randomness as an integer seed, or draw the mask outside and "
                    "pass it in, and change nothing that it reads before the pass back"
                )
            result = _joined(again)
        found: dict[Tensor, Any] = {}
        targets = [*fresh, *captured]
        backpropagate([(result, g)], lambda x, gx: found.__setitem__(x, gx), stop=set(targets))
        return [found.get(x) for x in targets]

    op = Op("checkpoint", lambda *_: data, rule)
    whole = apply(op, (*given, *captured))
    if len(shapes) == 1:
        return rebuild_output([whole])
    parts = []
    at = 0
    for shape in shapes:
        n = math.prod(shape)
        parts.append(whole[at : at + n].reshape(shape))
        at += n
    return rebuild_output(parts)


def _joined(ys: Sequence[Any]) -> Any:
    """Results as one: a single one as it is, several flat, one behind the other."""
    return ys[0] if len(ys) == 1 else np.concatenate([y.reshape(-1) for y in ys])


def _same(result: Tensor, kept: Any) -> bool:
    """Whether a result came again: to the bit, or but for sums in another order."""
    if np.array_equal(result.data, kept, equal_nan=True):
        return True
    rounding = float(np.finfo(kept.dtype).eps) ** 0.5
    scale = np.abs(kept[np.isfinite(kept)]).max(initial=0)
    return np.allclose(result.data, kept, rounding, rounding * scale, equal_nan=True)


def _alias(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    alias = apply(IDENTITY, (x,))
    alias.name = x.name
    return alias


def _captured(outputs: Sequence[Any], aliases: set[Tensor], first: int | None) -> list[Tensor]:
    """The Tensors made before ``f`` ran that its results depend on, other than its arguments."""
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(f"checkpoint: the function must return Tensors, got {type(y).__name__}")
    if len({y.dtype for y in outputs}) != 1:
        found = ", ".join(map(describe, outputs)) or "none"
        raise TypeError(f"checkpoint: the function must return Tensors of one dtype, got {found}")
    seen: set[Tensor] = set()
    captured = []
    stack = list(outputs)
    while stack:
        t = stack.pop()
        if t in seen or t in aliases or not t.requires_grad:
            continue
        seen.add(t)
        record = t._record
        if record is None or (first is not None and record[0] < first and record[1] is not LEAVES):
            captured.append(t)
        else:
            stack.extend(x for x in operands_of(t) if isinstance(x, Tensor))
    return captured
