"""Trees: nested dicts, lists and tuples of arrays, taken apart into leaves and built again."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from ..checks import describe_received
from .messages import describe, is_tensor


def flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of nested dicts, lists and tuples, and a function that rebuilds the tree."""
    leaves: list[Any] = []
    try:
        plan = _walk(tree, leaves)
    except RecursionError:
        raise ValueError(
            "an argument holds itself, or is nested too deep: give lists and dicts of arrays"
        ) from None
    return leaves, functools.partial(_build, plan)


# Module functions, not recursive closures: such a closure is a reference cycle, and would keep
# the leaves, and the graph behind them, until the garbage collector runs.


def _walk(node: Any, leaves: list[Any]) -> Any:
    """The plan of a tree: a leaf is its number, a container is (maker, parts)."""
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
    """The tree of a plan, with ``new`` for leaves."""
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
    except Exception as error:  # its __init__ may take other arguments
        raise _not_remade(make, str(error)) from error
    leaves = [key for key, part in parts.items() if isinstance(part, int)]
    if list(made) != list(items) or any(made[key] is not items[key] for key in leaves):
        raise _not_remade(make, "its items would differ")
    return made


def _not_remade(make: Any, why: str) -> TypeError:
    name = getattr(make, "func", make).__name__
    return TypeError(
        f"a {name} cannot be rebuilt with other leaves by {name}({{...}}): {why}; give a plain "
        "dict, dict(x)"
    )


def places(tree: Any, at: str = "") -> list[str]:
    """The place of each leaf of a tree, as code: ``['a'][1]``, or ``.W``."""
    if isinstance(tree, dict):
        return [place for key in tree for place in places(tree[key], f"{at}[{key!r}]")]
    if isinstance(tree, (list, tuple)):
        names = [f".{name}" for name in getattr(tree, "_fields", ())]
        names = names or [f"[{i}]" for i in range(len(tree))]
        return [p for x, name in zip(tree, names, strict=True) for p in places(x, at + name)]
    return [at]


def _kind(tree: Any) -> str:
    """A container in a message; for anything else its type or value."""
    if isinstance(tree, dict):
        return f"a dict with {', '.join(map(repr, tree)) or 'nothing'}"
    if isinstance(tree, (list, tuple)):
        return f"a {type(tree).__name__} of {len(tree)}"
    return describe(tree) if is_tensor(tree) else describe_received(tree)


def match_leaves(what: str, tree: Any, like: Any) -> list[Any]:
    """The leaves of ``tree`` in the order of those of ``like``, whose structure it must have.

    Dicts match by their keys, lists and tuples by position. ``what`` is the tree in a message.
    """
    if isinstance(like, dict):
        if isinstance(tree, dict) and tree.keys() == like.keys():
            pairs = [(f"{what}[{key!r}]", tree[key], like[key]) for key in like]
            return [leaf for pair in pairs for leaf in match_leaves(*pair)]
    elif isinstance(like, (list, tuple)):
        if isinstance(tree, (list, tuple)) and len(tree) == len(like):
            names = [f"{what}[{i}]" for i in range(len(like))]
            return [
                leaf for pair in zip(names, tree, like, strict=True) for leaf in match_leaves(*pair)
            ]
    elif not isinstance(tree, (dict, list, tuple)):
        return [tree]
    raise ValueError(f"{what}: expected {_kind(like)}, got {_kind(tree)}")
