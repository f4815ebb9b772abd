"""Import, pictures and notebooks where Pyodide runs: in it, and in a Python without what it lacks.

Pyodide is a folder with its ``pyodide.mjs`` and its wheels of NumPy, matplotlib and IPython, which
UNSPOOL_PYODIDE names (``make test-browser``); Node runs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CORE = TESTS / "browser" / "core.py"


# A Python without what Pyodide lacks --------------------------------------------------------------

# Measured in Pyodide 0.27 and 314: no processes, no threads, and these modules.
ABSENT = (
    *("fcntl", "msvcrt", "resource", "termios", "_posixsubprocess", "_multiprocessing"),
    *("pydoc_data", "tkinter", "curses", "readline"),
    *("numba", "onnx", "onnxruntime", "pygraphviz", "torch"),
)
LACKING = f"""
import importlib.abc, os, sys, threading
import subprocess, platform  # as far as they are there

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in {ABSENT}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
sys.platform = "emscripten"

def no_processes(*args, **options):
    raise OSError(138, "emscripten does not support processes.")

def no_threads(*args, **options):
    raise RuntimeError("can't start new thread")

subprocess.Popen = os.fork = no_processes
threading.Thread.start = no_threads
os.environ["PATH"] = ""
del os.link, os.sched_getaffinity
"""


def test_what_a_browser_lacks_is_not_needed(tmp_path):
    """The same program as in Pyodide; matplotlib is left to that."""
    program = LACKING + CORE.read_text(encoding="utf-8").replace(
        "import matplotlib\n", "raise ImportError\n", 1
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("passed\n")
    assert {"lstm.svg", "lstm.html", "lstm.dot", "walk.svg", "films.npz"} <= {
        path.name for path in tmp_path.iterdir()
    }


# Pyodide ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pyodide():
    """A function that runs a program in Pyodide, with the wheels that the site has."""
    folder = os.environ.get("UNSPOOL_PYODIDE")
    if not folder:
        pytest.skip("needs UNSPOOL_PYODIDE set to a folder of Pyodide: make test-browser")
    if shutil.which("node") is None:
        pytest.skip("needs node: apt-get install nodejs")
    wheels = sorted(Path(folder, "wheels").glob("*.whl"))
    assert {path.name.partition("-")[0] for path in wheels} == {"unspool", "graphviz"}

    def run(program, where, seconds=900):
        done = subprocess.run(
            ["node", TESTS / "browser" / "run.mjs", folder, program, where, *wheels],
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout

    return run


@pytest.mark.slow
def test_the_core_runs_in_pyodide(pyodide, tmp_path):
    assert pyodide(CORE, tmp_path).endswith("passed\n")
    assert (tmp_path / "lstm.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.slow
def test_pictures_are_the_same_there(pyodide, tmp_path):
    """Byte for byte, although integers have 32 bits there."""
    pyodide(CORE, tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    program = LACKING + CORE.read_text(encoding="utf-8")
    subprocess.run([sys.executable, "-c", program], cwd=here, check=True, capture_output=True)
    for name in ("lstm.svg", "walk.svg", "lstm.dot"):
        assert (tmp_path / name).read_bytes() == (here / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_pyodide(pyodide, path, tmp_path):
    shutil.copy(path, tmp_path / "notebook.ipynb")
    data = path.parent / "data"
    if data.exists():
        shutil.copytree(data, tmp_path / "data")
    assert "passed in" in pyodide(TESTS / "browser" / "notebook.py", tmp_path)
