"""The pages of the API reference: one for each public module, one for each group of its names.

The groups are the comments inside a module's ``__all__``. A name that several modules hand on is
described once, in its home; the others lead there.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

TOP = (
    "unspool",
    "unspool.autograd",
    "unspool.cells",
    "unspool.models",
    "unspool.models.keras",
    "unspool.viz",
)
# Modules that are imported by their own name.
MORE = ("unspool.viz.plots", "unspool.exercises")


class Group(NamedTuple):
    """The names below one comment in ``__all__``."""

    title: str
    names: list[str]


def is_module(value: Any) -> bool:
    """Whether a value is a module of this package."""
    return isinstance(value, ModuleType) and value.__name__.startswith("unspool")


def public(module: ModuleType) -> list[str]:
    """What a module offers: ``__all__``, or the names that it defines itself."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def members(module: str) -> Iterator[tuple[str, Any]]:
    """The public names of a module with their values."""
    found = importlib.import_module(module)
    for name in public(found):
        yield name, getattr(found, name)


@functools.cache
def modules() -> list[str]:
    """Every module that has a page, in the order of the site.

    Each can be imported afterwards by this name, ``unspool.models.readers`` as well.
    """
    found: list[str] = []

    def enter(name: str) -> None:
        found.append(name)
        for inner, value in members(name):
            if is_module(value) and f"{name}.{inner}" not in (*found, *TOP, *MORE):
                sys.modules.setdefault(f"{name}.{inner}", value)
                enter(f"{name}.{inner}")

    for name in (*TOP, *MORE):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
        else:
            enter(name)
    return found


def groups(module: str) -> list[Group]:
    """The names of a module below the comments of its ``__all__``.

    Modules among them have pages of their own.
    """
    found = importlib.import_module(module)
    names = {name for name in public(found) if not is_module(getattr(found, name))}
    result: list[Group] = []
    inside = False
    for line in inspect.getsource(found).splitlines():
        inside = inside or line.startswith("__all__")
        if inside and line.strip().startswith("#"):
            result.append(Group(line.strip("# ").partition(";")[0].rstrip("."), []))
        elif inside:
            listed = [name for name in re.findall(r'"(\w+)"', line) if name in names]
            if listed and not result:
                result.append(Group("", []))
            if listed:
                result[-1].names.extend(listed)
            inside = not line.startswith("]") and not line.endswith("]")
    result = [group for group in result if group.names]
    if sorted(name for group in result for name in group.names) != sorted(names):
        return [Group("", sorted(names))] if names else []
    return result


def kind(value: Any) -> str:
    """The directive of the Python domain for a value."""
    alias = hasattr(value, "__origin__")  # Python 3.10 takes some for classes
    if inspect.isclass(value) and not alias:
        return "exception" if issubclass(value, BaseException) else "class"
    alias = alias or type(value).__module__ == "typing"
    return "function" if hasattr(value, "__name__") and not alias else "data"


def homes() -> dict[int, str]:
    """Where each value is described, by its id: the deepest module with it under its own name."""
    found: dict[int, tuple[tuple[bool, int], str]] = {}
    for module in modules():
        for name, value in members(module):
            if is_module(value) or kind(value) == "data":
                continue
            rank = (getattr(value, "__name__", "") == name, module.count("."))
            if id(value) not in found or rank > found[id(value)][0]:
                found[id(value)] = (rank, f"{module}.{name}")
    return {key: name for key, (_, name) in found.items()}


def comment_of(module: str, name: str) -> str:
    """What the source says above or beside the assignment of a constant."""
    value_of = vars(importlib.import_module(module))[name]
    for candidate in list(sys.modules.values()):
        if not getattr(candidate, "__name__", "").startswith("unspool"):
            continue
        if vars(candidate).get(name) is not value_of:
            continue
        lines = inspect.getsource(candidate).splitlines()
        for number, line in enumerate(lines):
            if re.match(rf"{name}\b[^=]*= ", line):
                beside = re.search(r"  # (.*)$", line)
                above: list[str] = []
                while number and lines[number - 1].startswith("# "):
                    number -= 1
                    above.insert(0, lines[number][2:])
                return " ".join(above) or (beside[1] if beside else "")
    return ""


def entry(module: str, name: str, home: dict[int, str]) -> str:
    """The description of one name."""
    value = getattr(importlib.import_module(module), name)
    full, what = f"{module}.{name}", kind(value)
    given = [f"   :module: {module}", ""]
    if what == "data":
        text = comment_of(module, name) or f"``{value!r}``"
        lines = [f".. py:data:: {name}", *given, f"   {text[:1].upper()}{text[1:].rstrip('.')}."]
        if isinstance(value, dict):
            lines += ["", "   Keys: " + ", ".join(f"``{key}``" for key in value) + "."]
    elif home[id(value)] != full:
        same = f"   The same as :py:obj:`{home[id(value)]}`."
        lines = [f".. py:{what}:: {name}", *given, same]
    elif type(value).__name__ == "ufunc":
        first = next(line for line in value.__doc__.splitlines()[1:] if line)
        lines = [f".. py:function:: {name}(x)", *given, f"   NumPy's function: {first}"]
    else:
        lines = [f".. auto{what}:: {full}"]
        if what == "class":
            lines += ["   :members:", "   :show-inheritance:"]
    return "\n".join(lines) + "\n"


def heading(text: str, mark: str = "=") -> str:
    """A title in reStructuredText."""
    return f"{text}\n{mark * len(text)}\n"


def slug(title: str) -> str:
    """A group's title as the name of a file."""
    return re.sub(r"[^a-z]+", "-", title.lower().replace("'", "")).strip("-")


def summary(value: Any) -> str:
    """The first sentence of a docstring."""
    text = inspect.getdoc(value) or ""
    first = text.split("\n\n")[0].replace("\n", " ")
    return re.match(r"(?:``.*?``|.)*?(?:[.!?](?= [A-Z])|$)", first)[0]


def table(module: str, names: list[str]) -> str:
    """The names of a group with the first sentence of each."""
    rows = [".. list-table::", "   :widths: 30 70", ""]
    for name in names:
        value = getattr(importlib.import_module(module), name)
        text = comment_of(module, name) if kind(value) == "data" else summary(value)
        rows += [f"   * - :py:obj:`~{module}.{name}`", f"     - {text}"]
    return "\n".join(rows) + "\n"


def tree(pages: list[str], hidden: bool = True) -> str:
    """A table of contents."""
    lines = [".. toctree::", "   :maxdepth: 1", *(["   :hidden:"] if hidden else []), ""]
    return "\n".join([*lines, *(f"   {page}" for page in pages)]) + "\n"


def module_pages(module: str, home: dict[int, str]) -> Iterator[tuple[str, str]]:
    """The page of a module and those of its groups: names of files and texts."""
    parts = groups(module)
    inner = [other for other in modules() if other.rpartition(".")[0] == module != "unspool"]
    text = f"{heading(module)}\n.. automodule:: {module}\n   :no-members:\n\n"
    several = len(parts) > 1
    pages = [f"{module}/{slug(part.title)}" for part in parts] if several else []
    if inner:
        text += f"{heading('Modules', '-')}\n" + ".. list-table::\n   :widths: 45 55\n\n"
        for other in inner:
            first = summary(importlib.import_module(other))
            text += f"   * - :doc:`{other}`\n     - {first}\n"
        text += "\n"
    for part in parts:
        if several:
            title = heading(f":doc:`{part.title} <{module}/{slug(part.title)}>`", "-")
            text += f"{title}\n{table(module, part.names)}\n"
        else:
            text += "\n".join(entry(module, name, home) for name in part.names) + "\n"
    if pages or inner:
        text += tree([*pages, *inner])
    yield f"{module}.rst", text
    for part in parts if several else ():
        body = "\n".join(entry(module, name, home) for name in part.names)
        page = f"{heading(part.title)}\nIn :py:mod:`{module}`.\n\n{body}"
        yield f"{module}/{slug(part.title)}.rst", page


def pages() -> dict[str, str]:
    """Every page of the reference, by the name of its file."""
    home = homes()
    found: dict[str, str] = {}
    for module in modules():
        found.update(module_pages(module, home))
    outer = [
        module
        for module in modules()
        if module.rpartition(".")[0] not in modules() or module.rpartition(".")[0] == "unspool"
    ]
    rows = "".join(
        f"   * - :doc:`{module}`\n     - {summary(importlib.import_module(module))}\n"
        for module in outer
    )
    found["index.rst"] = (
        f"{heading('API reference')}\n"
        "Every public name, with the types of its arguments. Vectors are rows, and a batch comes\n"
        "first: ``x`` is (batch, time, features).\n\n"
        f".. list-table::\n   :widths: 30 70\n\n{rows}\n{tree(outer)}"
    )
    return found
