"""The structure of a Module as text: parts, settings, shapes and numbers of parameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..autograd import Parameter
from .config import NotConfigurable

PLAIN = (bool, int, float, str, type(None))


class Line(NamedTuple):
    """One Module of a summary; the number of its own parameters, None if it has none."""

    title: str
    shapes: str
    size: int | None


def summary(module: Any) -> str:
    """A line for each Module, indented below the one that holds it.

    Parameters of one shape stand together, ``W_f W_i (3, 4)``. One that has stood before is tied:
    it is named by its first place and not counted again. The last line has the numbers of trained
    and of frozen ones.
    """
    lines = list(_lines(module, type(module).__name__, 0, {}, set()))
    wide = [max(len(line.title) for line in lines), max(len(line.shapes) for line in lines)]
    numbers = ["" if line.size is None else f"{line.size:,}" for line in lines]
    places = max(map(len, numbers))
    rows = [
        f"{line.title:{wide[0]}}  {line.shapes:{wide[1]}}  {number:>{places}}".rstrip()
        for line, number in zip(lines, numbers, strict=True)
    ]
    frozen = sum(p.size for p in module.parameters() if not p.requires_grad)
    total = f"{module.size():,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
    return "\n".join([*rows, total])


def _lines(
    module: Any, name: str, depth: int, first: dict[Parameter, str], seen: set[int]
) -> Iterator[Line]:
    kind = type(module).__name__
    label = "  " * depth + (f"{name}  " if depth else "") + kind + settings(module)
    if id(module) in seen:
        yield Line(f"{label}, above", "", None)
        return
    seen.add(id(module))
    by_shape: dict[str, list[str]] = {}
    count, below = 0, []
    for own, child in module.children():
        if not isinstance(child, Parameter):
            below.append((own, child))
        elif child in first:
            by_shape.setdefault(f"= {first[child]}", []).append(own)
        else:
            first[child] = f"{name}.{own}" if depth else own
            count += child.size
            by_shape.setdefault(str(child.shape), []).append(own)
    shapes = "   ".join(f"{' '.join(names)} {shape}" for shape, names in by_shape.items())
    yield Line(label, shapes, count if by_shape else None)
    for own, child in below:
        yield from _lines(child, own, depth + 1, first, seen)


def settings(module: Any) -> str:
    """The constructor's arguments that differ from its defaults: ``(10, 4, layers=2)``."""
    try:
        found = module.arguments()
    except NotConfigurable:
        return ""
    parameters = inspect.signature(type(module).__init__).parameters
    written: list[str] = []
    for name, value in found.items():
        known = parameters.get(name)
        parts = value if isinstance(value, (list, tuple)) else [value]
        if name == "dtype" or len(parts) > 8 or not all(isinstance(x, PLAIN) for x in parts):
            continue
        if known is None or known.default is inspect.Parameter.empty:
            written.append(f"{value!r}" if known else f"{name}={value!r}")
        elif value != known.default:
            written.append(f"{name}={value!r}")
    return f"({', '.join(written)})" if written else ""
