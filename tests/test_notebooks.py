"""The notebooks run, and print what tests/data/printed has; in git they have no outputs."""

from __future__ import annotations

import asyncio
import functools
import sys
import tempfile
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from helpers import needs

nbformat = needs("nbformat")
nbclient = needs("nbclient")
needs("ipykernel")

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parent
NOTEBOOKS = sorted((TESTS.parent / "notebooks").glob("*.ipynb"))
PRINTED = TESTS / "data" / "printed"


@functools.cache
def executed(path):
    """A notebook after a run in a folder of its own."""
    notebook = nbformat.read(path, as_version=4)
    if "unspool.viz.plots" in path.read_text(encoding="utf-8"):
        needs("matplotlib")
    if sys.platform == "win32":
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own machinery
        nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(notebook):
    """The text that each code cell printed, and the kinds of what it displayed."""
    text = ""
    for n, cell in enumerate(code_cells(notebook), 1):
        out = "".join(o["text"] for o in cell["outputs"] if o.get("name") == "stdout")
        kinds = [", ".join(sorted(o["data"])) for o in cell["outputs"] if "data" in o]
        text += f"[{n}]\n{out}" + "\n" * (out != "" and out[-1] != "\n")
        text += "".join(f"<{kind}>\n" for kind in kinds)
    return text


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_outputs_in_git(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_is_expected(path):
    notebook = executed(path)
    assert printed(notebook) == (PRINTED / f"{path.stem}.txt").read_text(encoding="utf-8")
    assert "image/svg+xml" in printed(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_pictures_that_a_notebook_shows_are_whole(path):
    """As Jupyter, VS Code and GitHub show them."""
    from test_gallery import check_whole, numbers

    pictures = [
        output["data"]["image/svg+xml"]
        for cell in code_cells(executed(path))
        for output in cell["outputs"]
        if "image/svg+xml" in output.get("data", {})
    ]
    assert pictures
    for svg in pictures:
        assert "<script" not in svg
        root = ET.fromstring(svg)
        assert numbers(root.get("viewBox"))[2:] == pytest.approx(
            numbers(root.get("width") + " " + root.get("height")), abs=0.6
        )
        if 'class="scene"' in svg:
            check_whole(svg, path.name)
