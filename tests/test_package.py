"""What is tested is what users install, and what its docstrings show is true."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.metadata
import itertools
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import unspool

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(unspool.__path__, "unspool.")
    if not module.name.endswith("__main__")
)


def test_the_installed_package_is_tested_not_the_checkout():
    """But for an editable install, which is the checkout."""
    url = importlib.metadata.distribution("unspool").read_text("direct_url.json") or "{}"
    editable = json.loads(url).get("dir_info", {}).get("editable", False)
    assert (Path(unspool.__file__).resolve().parent == ROOT) == editable


def test_the_wheel_carries_every_module_and_the_type_marker():
    installed = Path(unspool.__file__).parent
    for folder in (".", "autograd", "cells", "cli", "models", "viz"):
        pattern = "*.py" if folder == "." else "**/*.py"
        here = {p.relative_to(ROOT) for p in (ROOT / folder).glob(pattern)}
        there = {p.relative_to(installed) for p in (installed / folder).glob(pattern)}
        assert here == there, folder
    assert (installed / "py.typed").is_file()


@pytest.mark.parametrize("name", ["unspool", *MODULES])
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize("name", ["unspool", *MODULES])
def test_public_names_exist_and_are_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if callable(thing) and getattr(thing, "__module__", "").startswith("unspool"):
            assert thing.__doc__, public


def test_imports_run_one_way():
    """autograd <- cells <- models <- cli, exercises; viz imports cells only in a function."""
    shared = {"checks", "files"}  # at the root: they import nothing of the package but each other
    allowed = {
        "autograd": {"autograd", *shared},
        "cells": {"autograd", "cells", *shared},
        "cli": {"autograd", "cells", "cli", "models", "viz", *shared},
        "exercises": {"autograd", "cells", "exercises", "models", "viz", *shared},
        "models": {"autograd", "cells", "models", "viz", *shared},
        "viz": {"autograd", "viz", *shared},
    }
    for name in shared:
        imports = re.findall(r"^\s*from \.(\w+)", (ROOT / f"{name}.py").read_text(), re.M)
        assert set(imports) <= shared - {name}, f"{name}.py imports {imports}"
    for folder, others in allowed.items():
        for path in (ROOT / folder).rglob("*.py"):
            root = len(path.relative_to(ROOT).parts)  # how many dots lead to the package's root
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.level == root:
                    lazy = {"cells"} if folder == "viz" and node not in tree.body else set()
                    names = [node.module] if node.module else [alias.name for alias in node.names]
                    for name in names:
                        assert name.split(".")[0] in others | lazy, f"{path} imports {name}"


def test_imports_between_folders_of_models_run_one_way():
    """text <- networks <- training <- persist <- keras, imports inside functions included."""
    order = ["text", "networks", "training", "persist", "keras"]
    for n, folder in enumerate(order):
        for path in (ROOT / "models" / folder).rglob("*.py"):
            dots = len(path.relative_to(ROOT / "models").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level == dots:
                    names = [node.module] if node.module else [alias.name for alias in node.names]
                    assert {name.split(".")[0] for name in names} <= set(order[: n + 1]), path


def test_core_needs_numpy_and_graphviz_only():
    code = (
        "import sys, unspool, unspool.cli, unspool.viz;"
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'torch','matplotlib','tqdm','pygraphviz','scipy','numba','nltk','onnx','safetensors'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_code_in_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "matmul" in capsys.readouterr().out
    assert (tmp_path / "simple.svg").read_text().count("<svg") == 1
    # What loads a model is for another process.
    printed = []
    for block in blocks:
        if "load_model" in block:
            command = [sys.executable, "-c", block]
            printed.append(subprocess.run(command, capture_output=True, text=True, check=True))
    labels, tags, text = (result.stdout.strip() for result in printed)
    assert labels == "['pos', 'neg']"
    assert tags == (
        "[[('The', 'DET'), ('bird', 'NOUN'), ('sees', 'VERB'), ('a', 'DET'), ('cat', 'NOUN')]]"
    )
    assert text.startswith("the cat sees the dog and the dog sees the")


def test_from_texts_to_predictions_is_short():
    """Training and prediction in 12 lines or fewer."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    pairs = [(a, b) for a, b in itertools.pairwise(blocks) if "load_model" in b]
    assert len(pairs) == 3
    for pair in pairs:
        lines = [line for block in pair for line in block.splitlines() if line.strip()]
        assert len(lines) <= 12


def test_what_the_readme_links_to_is_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


def test_the_names_in_the_readme_exist():
    """Those of the table from the lecture to the code, and of all else with its module."""
    names = set(re.findall(r"`(?:unspool\.)?((?:autograd|cells|models|viz)\.[\w.]+\w)", README))
    assert len(names) > 40
    for name in names:
        found = unspool
        for part in name.split("."):
            found = getattr(found, part, None) or importlib.import_module(
                f"{found.__name__}.{part}"
            )


def test_the_cell_of_the_readme_is_short():
    """A cell of one's own in under 15 lines."""
    block = next(b for b in re.findall(r"```python\n(.*?)```", README, re.S) if "(Cell)" in b)
    cell = re.search(r"class .*?(?=\n\S)", block, re.S)
    assert cell is not None
    assert len(cell.group().splitlines()) < 15
