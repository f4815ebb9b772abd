"""Build the site on which the notebooks run in the browser: JupyterLite, Pyodide, and our wheel.

Run by ``make lite``. The wheels of unspool and of the package graphviz become part of the site;
NumPy, matplotlib and the others are Pyodide's own, which the browser loads.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks"))

import build  # noqa: E402

# What a notebook needs beside unspool itself: what is in its code, and the extra of that name.
EXTRAS = {"plot": r"viz\.plots|matplotlib", "data": r"\breaders\.|nltk", "train": r"tqdm"}
SETTINGS = {
    "jupyter-lite-schema-version": 0,
    "jupyter-config-data": {"appName": "unspool in the browser", "disabledExtensions": []},
}


def with_install(notebook: dict[str, object]) -> dict[str, object]:
    """A notebook that begins by installing unspool from the site's own wheel."""
    cells = list(notebook["cells"])  # type: ignore[call-overload]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    extras = ",".join(extra for extra, pattern in EXTRAS.items() if re.search(pattern, code))
    name = f"unspool[{extras}]" if extras else "unspool"
    install = {
        "cell_type": "code",
        "execution_count": None,
        "id": "install",
        "metadata": {},
        "outputs": [],
        "source": f"%pip install -q {name}",
    }
    first = next(n for n, cell in enumerate(cells) if cell["cell_type"] == "code")
    return {**notebook, "cells": [*cells[:first], install, *cells[first:]]}


def write_contents(folder: Path) -> list[str]:
    """Put the students' notebooks and their data into a folder; returns the notebooks' names."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        build.write(with_install(build.student(build.read(path))), folder / path.name)
    data = ROOT / "notebooks" / "data"
    if data.exists():
        shutil.copytree(data, folder / "data")
    return sorted(path.name for path in folder.glob("*.ipynb"))


def main() -> None:
    """Build the site."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheels", type=Path, help="the folder with the wheel of unspool")
    parser.add_argument("out", type=Path, help="the folder of the site")
    args = parser.parse_args()
    work = ROOT / ".cache" / "lite"
    names = write_contents(work / "files")
    (work / "jupyter-lite.json").write_text(json.dumps(SETTINGS, indent=2))
    wheels = work / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    locked = ["--constraint", str(ROOT / ".ci" / "locked.txt"), "--no-deps"]
    subprocess.run([*pip, *locked, "--dest", wheels, "graphviz"], check=True)
    shutil.copy2(*args.wheels.glob("unspool-*.whl"), wheels)
    shutil.rmtree(args.out, ignore_errors=True)
    command = [sys.executable, "-m", "jupyterlite_core", "build", "--contents", work / "files"]
    for wheel in sorted(wheels.glob("*.whl")):
        command += ["--piplite-wheels", wheel]
    command += ["--no-sourcemaps", "--lite-dir", work, "--output-dir", args.out.resolve()]
    subprocess.run(command, check=True, cwd=work)
    shown = {path.name for path in (args.out / "files").glob("*.ipynb")}
    if shown != set(names):
        sys.exit(f"notebooks {sorted(set(names) - shown)} are missing in {args.out}")
    index = json.loads((args.out / "pypi" / "all.json").read_text())
    if {"unspool", "graphviz"} - set(index):
        sys.exit(f"the site's wheels are {sorted(index)}, of unspool and graphviz one is missing")
    print(f"{len(names)} notebooks in {args.out}")


if __name__ == "__main__":
    main()
