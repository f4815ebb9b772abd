"""The site's pages: their code runs, their comparisons are true, every public name has a place."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import unspool
from helpers import needs

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
CODE = r"^```(?:python|\{code-cell\} python3)\n(.*?)^```$"


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Pages of code ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["index", "own_cell", "own_op"])
def test_the_code_of_a_page_runs(page, in_a_folder):
    """All of it in one namespace; the last line of a cell shows what it gives."""
    space: dict = {}
    cells = re.findall(CODE, PAGES[page], re.S | re.M)
    assert cells
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for cell in cells:
            exec(compile(cell, page, "exec"), space)
    assert "False" not in printed.getvalue()  # what is printed to be seen to be true


# Tables of two libraries --------------------------------------------------------------------------


def rows(page):
    """The code of the columns of every row: [(theirs, ours), ...]."""
    found = []
    for line in PAGES[page].splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            _, _, theirs, ours, _ = re.split(r"(?<!\\)\|", line)
            found.append((theirs.strip(), ours.strip()))
    return [
        tuple(text.replace(r"\|", "|").strip("`") for text in row)
        for row in found
        if any(text.startswith("`") for text in row)
    ]


def run(code, space):
    """Run a line; what it gives if it is an expression."""
    if not code:
        return None
    tree = ast.parse(code)
    if isinstance(tree.body[-1], ast.Expr) and len(tree.body) == 1:
        return eval(code, space)
    exec(code, space)
    return None


def numbers(value):
    """A result as arrays or plain values, or None where there is nothing to compare."""
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "cpu"):
        value = value.cpu()
    if isinstance(value, unspool.Tensor):
        value = value.data
    if isinstance(value, (list, tuple)):
        return [numbers(part) for part in value]
    if isinstance(value, (str, int, float)):
        return value
    if hasattr(value, "shape"):
        return np.asarray(value)
    return None


def same(ours, theirs):
    """Raise AssertionError where two results differ."""
    if isinstance(ours, list) and isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
    elif isinstance(ours, str):
        assert ours == theirs
    elif ours is not None and theirs is not None:
        assert np.shape(ours) == np.shape(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)


def compare(page, left, shared=()):
    """Run a page's lines in two namespaces; returns how many results were compared.

    Names in ``shared`` go from the left one to ours, as arrays travel from a library to another.
    """
    (prelude, *_) = re.findall(CODE, PAGES[page], re.S | re.M)
    theirs_space, ours_space = {}, {}
    exec(prelude, ours_space)
    if left:
        exec(prelude, theirs_space)
    compared = 0
    for theirs, ours in rows(page):
        a = numbers(run(theirs, theirs_space)) if left else None
        ours_space.update({name: theirs_space[name] for name in shared if name in theirs_space})
        if not left and any(re.search(rf"\b{name}\b", ours) for name in shared):
            continue
        b = numbers(run(ours, ours_space))
        if a is not None and b is not None:
            same(b, a)
            compared += 1
    return compared


def test_what_numpy_users_write():
    assert compare("from_numpy", left=True) >= 9


def test_what_pytorch_users_write():
    assert compare("from_pytorch", left=False, shared=("weights",)) == 0


def test_what_keras_users_write():
    assert compare("from_keras", left=False, shared=("weights", "arrays")) == 0


@pytest.mark.slow
def test_what_pytorch_users_wrote_gives_the_same():
    torch = needs("torch")
    torch.manual_seed(0)
    assert compare("from_pytorch", left=True, shared=("weights",)) >= 25


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Keras's own
def test_what_keras_users_wrote_gives_the_same(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    keras = needs("keras")
    keras.utils.set_random_seed(0)
    assert compare("from_keras", left=True, shared=("weights", "arrays")) >= 8


def test_a_difference_is_found():
    with pytest.raises(AssertionError):
        same(np.zeros(2), np.array([0.0, 0.1]))
    with pytest.raises(AssertionError):
        same([1.0], [1.0, 2.0])


# The reference ------------------------------------------------------------------------------------


sys.path.insert(0, str(DOCS))
import check  # noqa: E402

import reference  # noqa: E402

sys.path.remove(str(DOCS))


def described(text):
    """The names that a page describes."""
    found = {name for _, name in re.findall(r"^\.\. auto(\w+):: ([\w.]+)$", text, re.M)}
    for name, module in re.findall(
        r"^\.\. py:\w+:: (\w+)(?:\(x\))?\n   :module: (\S+)$", text, re.M
    ):
        found.add(f"{module}.{name}")
    return found


def test_every_public_name_is_described_once():
    texts = reference.pages()
    names = [name for text in texts.values() for name in described(text)]
    names = [name for name in names if name not in reference.modules()]
    public = {
        f"{module}.{name}" for module in reference.modules() for name, _ in check.members(module)
    }
    assert len(names) == len(set(names))
    assert set(names) == public
    assert {"unspool.Tensor", "unspool.cells.LSTM", "unspool.models.readers.names"} <= public


def test_a_name_that_several_modules_hand_on_has_one_home():
    page = reference.pages()["unspool.rst"]
    assert "The same as :py:obj:`unspool.autograd.Tensor`." in page


def test_names_stand_below_the_comments_of_their_module():
    titles = {group.title: group.names for group in reference.groups("unspool.cells")}
    assert "LSTM" in titles["Cells"]
    assert "jit" in titles["Around them"]


def test_every_public_name_says_what_it_is():
    silent = [
        f"{module}.{name}"
        for module in reference.modules()
        for name, value in check.members(module)
        if not (
            reference.comment_of(module, name)
            if reference.kind(value) == "data"
            else reference.summary(value)
        )
    ]
    assert silent == ["unspool.__version__"]


def test_a_missing_name_is_found():
    header = b"# Sphinx inventory version 2\n# Project: x\n# Version: 1\n# zlib\n"
    inventory = header + zlib.compress(b"a.b py:function 1 a.html#$ -\n")
    assert check.missing_names(inventory, ["a.b", "a.c"]) == ["a.c"]


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="#here">x</a><a href="b.html#gone">x</a><img src="no.svg"></p>'
        '<a href="c.html">x</a><a href="https://example.org">x</a>'
    )
    (tmp_path / "b.html").write_text("<p id='there'></p>")
    assert check.broken(tmp_path) == [
        "a.html: no.svg has no alt text",
        "a.html: b.html#gone has no such anchor",
        "a.html: no.svg leads nowhere",
        "a.html: c.html leads nowhere",
    ]


# The lectures -------------------------------------------------------------------------------------


def test_what_the_lectures_teach_stands_in_sections_that_there_are():
    """Each row of docs/lectures.md names a notebook and a heading of it."""
    place = re.compile(r"\| \[\d\d\]\(\.\./notebooks/(\w+)\.ipynb\): (.+) \|$")
    count = 0
    for line in PAGES["lectures"].splitlines():
        if not line.startswith("| ") or line.startswith("| slide"):
            continue
        name, section = place.search(line).groups()
        source = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
        text = "\n".join("".join(cell["source"]) for cell in source["cells"])
        assert re.search(rf"^##+ {re.escape(section)}$", text, re.MULTILINE), line
        count += 1
    assert count > 100
