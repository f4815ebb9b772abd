"""The house: files import each other without a circle, and files and functions stay small.

Read from the sources with ``ast``, so that an import inside a function counts too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("autograd", "cells", "models", "viz", "cli", "exercises")
FILES = sorted(
    path
    for path in [
        *ROOT.glob("*.py"),
        *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")),
    ]
)
LONGEST = 700  # lines of a file
MOST_COMPLEX = 25  # cyclomatic complexity of a function


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def file_of(parts: list[str]) -> str | None:
    """The file of a module ``unspool.a.b``, given as ["a", "b"], or None if it is not ours."""
    for path in (ROOT.joinpath(*parts, "__init__.py"), ROOT.joinpath(*parts).with_suffix(".py")):
        if path in FILES:
            return name_of(path)
    return None


def imported_by(path: Path, source: str) -> Iterator[str]:
    """The files of the package that a file imports, anywhere in it."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [(alias.name.split("."), None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["unspool", *package[: len(package) - node.level + 1]] if node.level else []
            base += (node.module or "").split(".") if node.module else []
            modules = [(base, alias.name) for alias in node.names]
        else:
            continue
        for (top, *parts), name in modules:
            if top != "unspool":
                continue
            found = (file_of([*parts, name]) if name else None) or file_of(parts)
            if found is not None and found != name_of(path):
                yield found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of files that reach each other (strongly connected components, Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            group = stack[at:]
            del stack[at:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def imports() -> dict[str, set[str]]:
    return {
        name_of(path): set(imported_by(path, path.read_text(encoding="utf-8"))) for path in FILES
    }


def test_no_circle_between_files():
    found = circles(imports())
    assert not found, "\n".join(" <-> ".join(group) for group in found)


def test_the_folders_import_each_other_as_the_drawing_shows():
    """The arrows of docs/architecture.md, in both directions."""
    drawing = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", drawing, re.MULTILINE))
    folders = {
        (name.split("/")[0], other.split("/")[0])
        for name, imported in imports().items()
        for other in imported
        if "/" in name and "/" in other
    }
    assert drawn == {(a, b) for a, b in folders if a != b}


def imports_past_a_face(graph: dict[str, set[str]]) -> list[str]:
    """The imports from inside another folder that do not go through its ``__init__.py``.

    ``models.keras`` has a face of its own.
    """
    return sorted(
        f"{name} -> {other}"
        for name, imported in graph.items()
        for other in imported
        if "/" in other
        and other.split("/")[0] != name.split("/")[0]
        and other not in (f"{other.split('/')[0]}/__init__.py", "models/keras/__init__.py")
    )


def test_folders_import_each_other_through_their_faces():
    """What several folders need is public in a folder's ``__init__.py``, or in a shared file."""
    assert not imports_past_a_face(imports())


def test_imports_past_a_face_are_found():
    graph = {"models/persist.py": {"cells/__init__.py", "cells/config.py", "models/text/tokens.py"}}
    assert imports_past_a_face(graph) == ["models/persist.py -> cells/config.py"]


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles(graph) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("source", "expected"),
    {
        "from . import tape": {"autograd/tape.py"},
        "from .tape import Tape": {"autograd/tape.py"},
        "def f():\n    from .tape import Tape": {"autograd/tape.py"},
        "import unspool.cells.cell": {"cells/cell.py"},
        "from ..cells import Cell": {"cells/__init__.py"},
        "from unspool import autograd": {"autograd/__init__.py"},
        "import numpy as np\nfrom numpy import linalg": set(),
    }.items(),
)
def test_imports_are_found(source: str, expected: set[str]):
    assert set(imported_by(ROOT / "autograd" / "some.py", source)) == expected


def test_files_are_short():
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert not {name: n for name, n in lines.items() if n > LONGEST}


BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While),
    *(ast.Assert, ast.ExceptHandler, ast.match_case),
)


def complexity(node: ast.AST) -> int:
    """The decisions inside a node: cyclomatic complexity less 1 (McCabe 1976)."""
    count = 0
    for part in ast.walk(node):
        if isinstance(part, BRANCHES):
            count += 1
        elif isinstance(part, ast.comprehension):
            count += 1 + len(part.ifs)
        elif isinstance(part, ast.BoolOp):
            count += len(part.values) - 1
    return count


def test_complexity_counts_decisions():
    source = (
        "def f(x):\n    for y in x:\n        if y and x:\n            return [z for z in y if z]"
    )
    assert complexity(ast.parse(source)) == 5


def test_functions_are_simple():
    complex_ones = {
        f"{name_of(path)}: {node.name}": count
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (count := 1 + complexity(node)) > MOST_COMPLEX
    }
    assert not complex_ones
