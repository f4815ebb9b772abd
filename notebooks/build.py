"""The versions of the notebooks: for students, for teachers, for the site, from one source.

Run: ``python notebooks/build.py`` with ``unspool[notebooks]`` installed, or ``make notebooks``. It
writes below build/notebooks:

- ``student``: solutions replaced by ``pass  # your code here``, so that a function returns None,
  which ``check`` answers with a hint; nothing stops on the way to the end;
- ``teacher``: the source, a source for nbgrader too (``nbgrader_config.py`` has the same stub);
- ``site``: the student's version, executed.

A source has no outputs. A solution stands between ``### BEGIN SOLUTION`` and ``### END SOLUTION``
in a cell whose nbgrader metadata says so, and the cell after it calls ``check``. Where its first
cell has ``<!-- badges -->``, links that open it elsewhere are written.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PRINTED = ROOT / "tests" / "data" / "printed"
STUB = "pass  # your code here"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
BADGES = "<!-- badges -->"
Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    """A notebook's JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(notebook: Notebook, path: Path) -> None:
    """Write a notebook as Jupyter writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def text_of(cell: dict[str, Any]) -> str:
    """A cell's source as one text."""
    return "".join(cell["source"])


def cleared(source: str) -> str:
    """A cell's source with each solution replaced by the stub, at the indent of its marker.

    Raises:
        ValueError: A marker has no partner.
    """
    kept: list[str] = []
    inside = False
    for line in source.splitlines():
        marker = line.strip()
        if marker in (BEGIN, END):
            if inside == (marker == BEGIN):
                raise ValueError(f"{marker!r} without its partner in:\n{source}")
            inside = not inside
            if inside:
                kept.append(line.replace(BEGIN, STUB))
        elif not inside:
            kept.append(line)
    if inside:
        raise ValueError(f"{BEGIN!r} without its partner in:\n{source}")
    return "\n".join(kept)


def version(notebook: Notebook, change: Any) -> Notebook:
    """A notebook whose cells' sources are changed."""
    cells = [{**c, "source": change(text_of(c)).splitlines(True)} for c in notebook["cells"]]
    return {**notebook, "cells": cells}


def student(notebook: Notebook) -> Notebook:
    """The student's version."""
    return version(notebook, cleared)


def badges(name: str, repository: str, lite: str) -> str:
    """The links that open a notebook in Colab, from the repository, and in JupyterLite."""
    links = []
    if repository:
        address = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks"
        image = "https://colab.research.google.com/assets/colab-badge.svg"
        links.append(f"[![Open in Colab]({image})]({address}/{name}.ipynb)")
    if lite:
        links.append(f"[Open in JupyterLite]({lite}?path={name}.ipynb)")
    return " ".join(links)


def executed(notebook: Notebook, data: Path = HERE / "data") -> Notebook:
    """A notebook after a run in a folder of its own, beside its data."""
    import nbclient
    import nbformat

    if sys.platform == "win32":
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    node = nbformat.reads(json.dumps(notebook), as_version=4)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own machinery
        if data.is_dir():
            shutil.copytree(data, Path(folder, "data"))
        where = {"metadata": {"path": folder}}
        nbclient.NotebookClient(
            node,
            timeout=600,  # of one cell, where other programs run beside it
            kernel_name="python3",
            resources=where,
            record_timing=False,
            coalesce_streams=True,  # else a text breaks where the kernel happened to flush it
        ).execute()
    return json.loads(nbformat.writes(node))


def printed(notebook: Notebook) -> str:
    """What each code cell printed and showed: texts, and the hashes of pictures that are ours.

    The picture of a cell with the tag "varies" has no hash: it shows what was learned.
    """
    lines = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        lines.append(f"[{cell['id']}]")
        varies = "varies" in cell["metadata"].get("tags", ())
        for output in cell["outputs"]:
            data = {kind: "".join(x) for kind, x in output.get("data", {}).items()}
            images = sorted(kind for kind in data if kind.startswith("image/"))
            if output.get("name") == "stdout":
                lines += "".join(output["text"]).splitlines()
            elif images:
                svg = data.get("image/svg+xml", "")
                ours = 'class="scene"' in svg and not varies
                mark = " " + hashlib.sha256(svg.encode()).hexdigest()[:12] if ours else ""
                lines.append(f"<{', '.join(images)}{mark}>")
            elif "text/latex" in data:
                lines.append("<text/latex>")
            else:
                lines += data.get("text/plain", "").splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def chosen(names: list[str]) -> list[Path]:
    """The sources whose names begin with one of these, or all."""
    paths = sorted(HERE.glob("*.ipynb"))
    return [p for p in paths if not names or p.stem.startswith(tuple(names))]


def build(path: Path, out: Path, repository: str, lite: str, run: bool) -> None:
    """Write the three versions of one notebook."""
    source = read(path)

    def with_badges(lite: str) -> Notebook:
        links = badges(path.stem, repository, lite)
        return version(source, lambda text: re.sub(f"{BADGES}\n*", links and links + "\n\n", text))

    write(student(with_badges("")), out / "student" / path.name)
    write(with_badges(""), out / "teacher" / path.name)
    if run:
        write(executed(student(with_badges(lite))), out / "site" / path.name)


def main() -> None:
    """Build the notebooks that are named, or write what their runs print for the tests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of names, as 05; default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "notebooks")
    parser.add_argument("--repository", default="", help="owner/name on GitHub, for Colab's badge")
    parser.add_argument("--lite", default="", help="address of the site's JupyterLite")
    parser.add_argument("--no-run", action="store_true", help="leave out the site's version")
    parser.add_argument(
        "--printed", action="store_true", help="write tests/data/printed instead of the versions"
    )
    options = parser.parse_args()
    for path in chosen(options.names):
        if options.printed:
            text = printed(executed(read(path)))
            (PRINTED / f"{path.stem}.txt").write_text(text, encoding="utf-8")
        else:
            build(path, options.out, options.repository, options.lite, not options.no_run)
        print(path.stem)


if __name__ == "__main__":
    main()
