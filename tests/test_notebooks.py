"""The notebooks run from top to bottom, and their committed outputs are what they print."""

from __future__ import annotations

import asyncio
import sys
import warnings
from pathlib import Path

import pytest

from helpers import needs

nbformat = needs("nbformat")
nbclient = needs("nbclient")
needs("ipykernel")

pytestmark = pytest.mark.slow
NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


def printed(notebook):
    """What each code cell wrote to stdout."""
    return [
        "".join(o["text"] for o in cell["outputs"] if o.get("name") == "stdout")
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def shown(notebook):
    """The kinds of what each code cell displayed."""
    return [
        [sorted(o["data"]) for o in cell["outputs"] if "data" in o]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_prints_what_it_shows(path, tmp_path):
    if "unspool.viz.plots" in path.read_text(encoding="utf-8"):
        needs("matplotlib")
    committed = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    for cell in fresh["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    if sys.platform == "win32":
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    client = nbclient.NotebookClient(
        fresh, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own machinery
        client.execute()
    assert printed(fresh) == printed(committed)
    assert shown(fresh) == shown(committed)
    assert any("image/svg+xml" in kinds for cell in shown(committed) for kinds in cell)
