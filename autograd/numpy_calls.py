"""NumPy's call forms: from ``np.sum(x, 1, keepdims=True)`` to an op, its operands and its metadata.

NumPy hands every call with a Tensor to ``call_numpy``. It looks the function up in the table,
matches positional and named arguments with the row's, refuses options that Tensors do not have,
and applies the op.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .arguments import requires_gradient
from .context import current_scope
from .messages import call_text, explain, function_name
from .tensor import TABLE, Op, Params, Tensor, apply, operand, provides, values

numpy: Any = np

# Functions with integer, boolean or shape results: they run on the arrays.
PLAIN: set[Callable[..., Any]] = set()
# Functions of floats that have no gradient rule: they run on the arrays where none is asked for.
UNRULED: set[Callable[..., Any]] = set()
# Of PLAIN, the position of ``out`` among the positional arguments.
OUT_PLACES: dict[Callable[..., Any], int] = {}
# NumPy function -> the fallback of its row, of the same signature, for calls with these OPTIONS.
WIDER: dict[Any, Callable[..., Any]] = {}
OPTIONS = frozenset({"correction", "initial", "mean", "order", "where"})


@provides
def call_numpy(function: Callable[..., Any], args: Sequence[Any], kwargs: Params) -> Any:
    """A NumPy function called with Tensors: find its row and apply it."""
    row = TABLE.get(function)
    if row is None:
        return call_without_row(function, args, kwargs)
    if not kwargs and len(args) == 1 and type(row) is Op and isinstance(args[0], Tensor):
        return apply(row, tuple(args))
    names, alike, _ = signature_of(function)
    if len(args) > alike:
        kwargs = {**dict(zip(names[alike:], args[alike:], strict=False)), **kwargs}
        args = args[:alike]
    if not isinstance(row, Op):
        return call_stand_in(function, row, args, kwargs)
    count = len(row.rules) if isinstance(row.rules, tuple) else len(args)
    arrays, rest = tuple(args[:count]), args[count:]
    params = {**dict(zip(row.names, rest, strict=False)), **kwargs}
    for name in names[len(arrays) : count]:  # np.sum(a=x)
        arrays += (params.pop(name),)
    wider = WIDER.get(function)
    params = checked_options(function, row, args, params, wider is not None)
    if wider and not OPTIONS.isdisjoint(params):
        return call_stand_in(function, wider, arrays, params)
    return apply(row, tuple(map(operand, arrays)), params)


def call_without_row(function: Callable[..., Any], args: Sequence[Any], kwargs: Params) -> Any:
    """Run a function without gradients on the arrays, or raise for one that lacks a rule."""
    if function in PLAIN:
        place = OUT_PLACES.get(function, len(args))
        if "out" in kwargs or any(x is not None for x in args[place : place + 1]):
            raise refused_option(function, args, "out")
        return function(*values(tuple(args)), **values(kwargs))
    wanted = current_scope.get() is not None and requires_gradient((*args, *kwargs.values()))
    if function in UNRULED and not wanted:
        return function(*values(tuple(args)), **values(kwargs))
    if function.__name__ == "clip":  # the method of an array; np.clip has a row
        raise TypeError(
            f"{call_text('array.clip', args)}: an array's own method takes no Tensors; write "
            "np.clip(array, low, high)"
        )
    raise TypeError(
        f"{call_text(function, (*args, *kwargs.values()))}: it has no gradient rule for "
        "Tensors; call it on x.data if no gradient is needed, or write it with functions that "
        f"have one{_WRITES if function is numpy.copyto else ''}"
    )


def checked_options(
    function: Callable[..., Any], row: Op, args: Sequence[Any], params: Params, has_wider: bool
) -> Params:
    """The metadata of a call as plain values, without the options that change nothing."""
    own = set(row.names) - OPTIONS  # for these None is a value
    for name, value in params.items():
        if name != "out" and requires_gradient(value) and current_scope.get() is not None:
            raise TypeError(
                f"{call_text(function, args)} has no gradient for its {name}=; compute with it "
                f"outside of {function_name(function)}, or give its values, {name}=x.detach()"
            )
    params = {k: values(v) for k, v in params.items() if v is not None or k in own}
    for name in sorted(params, key="out".__ne__):  # out= first: a @= t has axes= too
        if name in row.names and (has_wider or name not in OPTIONS):
            continue
        if not changes_nothing(function, name, params.pop(name)):
            raise refused_option(function, args, name, row.names)
    return params


def positional(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """A function's positional arguments, or None if it takes any number of them."""
    if isinstance(function, np.ufunc):
        return None
    parameters = list(inspect.signature(function).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


# NumPy has the signatures of functions written in C, ufuncs too, from 2.4 on.
WRITTEN_IN_C = {"concatenate": "arrays axis out", "dot": "a b out"}


@functools.cache
def signature_of(function: Callable[..., Any]) -> tuple[tuple[str, ...], int, Params]:
    """NumPy's signature of a function that has a row.

    Returns:
        NumPy's names of positional arguments; how many of them stand at the same positions in
        the row (or its stand-in), so that the others must go by name; NumPy's defaults.
    """
    row = TABLE[function]
    try:
        signature = inspect.signature(function)
    except ValueError:
        names = tuple(WRITTEN_IN_C.get(function.__name__, "").split())
        return names, len(names) - 1 if names else sys.maxsize, {}
    defaults = {k: p.default for k, p in signature.parameters.items()}
    theirs = positional(function)
    if theirs is None:
        return (), sys.maxsize, defaults
    names = tuple(p.name for p in theirs)
    if isinstance(row, Op):
        ours = [*names[: len(row.rules) if isinstance(row.rules, tuple) else 1], *row.names]
    else:
        own = positional(row)
        if own is None:
            return names, sys.maxsize, defaults
        ours = [p.name for p in own]
    alike = 0
    for p, name in zip(theirs, ours, strict=False):
        if p.default is not p.empty and p.name != name:
            break
        alike += 1
    return names, alike, defaults


# Options that change nothing, beside those that equal NumPy's default.
NEUTRAL_OPTIONS = frozenset(
    {
        ("out", None), ("dtype", None), ("where", True), ("casting", "same_kind"),
        ("casting", "safe"), ("order", "K"), ("order", "A"), ("order", "C"), ("subok", True),
        ("subok", False), ("copy", True), ("kind", "stable"), ("stable", True),
    }
)  # fmt: skip


def changes_nothing(function: Callable[..., Any], name: str, value: Any) -> bool:
    """Whether a call would be the same without an option."""
    default = signature_of(function)[2].get(name, inspect.Parameter.empty)
    if value is default:
        return True
    return type(value) in (bool, int, float, str, type(None)) and (
        (type(default) is type(value) and default == value) or (name, value) in NEUTRAL_OPTIONS
    )


def call_stand_in(
    function: Callable[..., Any], stand_in: Callable[..., Any], args: Sequence[Any], kwargs: Params
) -> Any:
    """Call the stand-in of a NumPy function; its errors are reported under NumPy's name."""
    try:
        return stand_in(*args, **kwargs)
    except (ValueError, TypeError, IndexError) as error:
        if "unexpected keyword argument" in str(error):
            needed = {k: v for k, v in kwargs.items() if not changes_nothing(function, k, v)}
            if len(needed) < len(kwargs):
                return call_stand_in(function, stand_in, args, needed)
            raise refused_option(function, args, str(error).split("'")[1]) from error
        if "positional argument" in str(error):
            counts = str(error).partition("() ")[2]
            raise TypeError(f"{call_text(function, args)} {counts}") from error
        if error.__cause__ is None:
            raise
        raise explain(error.__cause__, function.__name__, args) from error.__cause__


_WRITES = (
    ". If np.full_like or np.nan_to_num of an array called it: write np.broadcast_to(x, shape), or "
    "np.where(mask, x, array)"
)
_CURES = {
    "out": "a Tensor is never overwritten; use the result, and a = a + t in place of a += t",
    "copy": "a Tensor is never overwritten; leave copy= out and use the result",
    "dtype": "write x.astype(dtype) first",
    "where": "select first, x[mask], or replace the others by a number that changes nothing, "
    "np.where(mask, x, number)",
}


def refused_option(
    function: Callable[..., Any], args: Sequence[Any], name: str, known: Sequence[str] = ()
) -> TypeError:
    """The error for an option that a function does not take for Tensors."""
    cure = _CURES.get(name) or f"it takes {', '.join(known) or 'no options'}"
    return TypeError(f"{call_text(function, args)} takes no {name}= for Tensors: {cure}")
