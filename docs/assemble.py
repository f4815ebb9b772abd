"""Put the site's pages together: those of this folder, the notebooks, the gallery, the reference.

Run by ``make docs`` before Sphinx; files that did not change keep their time, so that Sphinx reads
only what is new.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))
sys.path.insert(0, str(ROOT / "notebooks"))

import build  # noqa: E402
import reference  # noqa: E402

# Files of the repository that are pages of the site.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "README.md": "index.md",
}
# Where the repository is on the web; without it, links to its other files stand as plain text.
REPOSITORY = os.environ.get("UNSPOOL_REPOSITORY", "").rstrip("/")
LITE = "lite/lab/index.html"


def put(path: Path, text: str) -> None:
    """Write a file if its text changed."""
    WRITTEN.add(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def copy(source: Path, path: Path) -> None:
    """Copy a file with its time."""
    WRITTEN.add(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.stat().st_mtime != source.stat().st_mtime:
        shutil.copy2(source, path)


def page_of(target: Path) -> str | None:
    """The page, or the picture, that a file of the repository is on the site."""
    name = target.relative_to(ROOT).as_posix()
    if name in PAGES:
        return PAGES[name]
    if name.startswith("notebooks/") and name.endswith(".ipynb"):
        return name
    if name.startswith("docs/") and target.suffix in (".md", ".svg", ".png"):
        return name.removeprefix("docs/")
    return None


def relinked(text: str, source: Path) -> str:
    """A file's text with its links as they are on the site."""

    def replace(match: re.Match[str]) -> str:
        mark, label, link = match[1], match[2], match[3]
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link) or not path:
            return match[0]
        target = (source.parent / path).resolve()
        if not target.exists():
            if source.parent == DOCS:  # a page that is made; Sphinx finds what is missing
                return match[0]
            raise SystemExit(f"{source}: the link {link} leads nowhere")
        page = page_of(target)
        if page is not None:
            return f"{mark}[{label}]({page}{'#' + anchor if anchor else ''})"
        if REPOSITORY:
            return f"[{label}]({REPOSITORY}/blob/main/{target.relative_to(ROOT).as_posix()})"
        return label if "`" in label else f"`{label}`"

    # Not within code: fenced blocks and literals keep their brackets.
    parts = re.split(r"(^```.*?^```|`[^`\n]+`(?!\]))", text, flags=re.S | re.M)
    return "".join(
        part if n % 2 else re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", replace, part)
        for n, part in enumerate(parts)
    )


def drawn(text: str) -> str:
    """A page with its mermaid diagram as a picture."""

    def replace(match: re.Match[str]) -> str:
        import pygraphviz

        boxes = re.findall(r'^ *(\w+)\["(\w+): (.*)"\]$', match[1], re.M)
        arrows = re.findall(r"^ *(\w+) --> (\w+)$", match[1], re.M)
        dot = (
            'digraph { rankdir=BT; bgcolor=transparent; edge [color="#1F2933" arrowsize=0.7]; '
            'node [shape=box style="rounded,filled" color="#1F2933" fillcolor="#F5F7F9" '
            'fontcolor="#1F2933" fontname=Helvetica fontsize=14 margin="0.18,0.1"]; '
            + "".join(
                f"{name} [label=<<b>{head}</b><br/>{label}>]; " for name, head, label in boxes
            )
            + "".join(f"{a} -> {b}; " for a, b in arrows)
        )
        svg = pygraphviz.AGraph(dot + "}").draw(format="svg", prog="dot")
        put(OUT / "folders.svg", svg.decode())
        alt = "; ".join(f"{a} imports {b}" for a, b in arrows)
        return f"![{alt}](folders.svg)\n"

    return re.sub(r"^```mermaid\n(.*?)^```\n", replace, text, flags=re.S | re.M)


def notebooks() -> None:
    """The notebooks, those that ``make notebooks`` executed if there are any, and their list."""
    found = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    for path in (ROOT / "notebooks" / "data").rglob("*"):
        if path.is_file():
            copy(path, OUT / "notebooks" / path.relative_to(ROOT / "notebooks"))
    listed = ""
    for path in found:
        made = ROOT / "build" / "notebooks" / "site" / path.name
        if made.exists() and made.stat().st_mtime > path.stat().st_mtime:
            notebook = build.read(made)
        else:
            notebook = build.student(build.read(path))
        title, question = opening(notebook)
        at = f'<a href="../{LITE}?path={path.name}">Run it in the browser</a>, without an install.'
        link = {"cell_type": "markdown", "id": "run-it", "metadata": {}, "source": at}
        notebook["cells"].insert(1, link)
        put(OUT / "notebooks" / path.name, json.dumps(notebook, ensure_ascii=False, indent=1))
        listed += f"- **[{title}]({path.name})** {question}\n"
    pages = "\n".join(path.stem for path in found)
    put(
        OUT / "notebooks" / "index.md",
        f"# Notebooks\n\n"
        "Each answers one question, with code, pictures and exercises. They stand here as they "
        f'ran; <a href="../{LITE}">in the browser</a> they run without an install, and from a '
        "checkout they open in Jupyter (`notebooks/`).\n\n"
        f"{listed}\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n",
    )


def opening(notebook: dict[str, Any]) -> tuple[str, str]:
    """The title of a notebook and the paragraph after it."""
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    blocks = [block.strip() for block in "".join(first["source"]).split("\n\n") if block.strip()]
    title = blocks[0].splitlines()[0].lstrip("# ")
    text = next((block for block in blocks[1:] if not block.startswith(("[!", "#", "|"))), "")
    return title, " ".join(text.split()).strip("*")


def gallery(seconds: float) -> None:
    """Draw every picture of the gallery in both themes, and write the page that shows them."""
    import gallery as pictures

    pictures.SECONDS = seconds
    folder = OUT.parent / "extra" / "gallery"
    stamp = OUT.parent / "gallery.json"
    known = json.loads(stamp.read_text()) if stamp.exists() else {}
    if known.get("seconds") != seconds:
        known = {"seconds": seconds}
    folder.mkdir(parents=True, exist_ok=True)
    text, section = "# Gallery\n\nEvery picture is drawn from the tape of a network that ran.\n", ""
    for one in pictures.PICTURES:
        name = one.make.__name__
        if name not in known:
            known[name] = pictures.write(one, folder)
            stamp.write_text(json.dumps(known))
        if one.section != section:
            section = one.section
            text += f"\n## {section}\n"
        alt = html.escape(f"{one.title}: {' '.join(one.text.split())}")
        text += f"\n### {one.title}\n\n{one.text}\n\n"
        for theme in pictures.THEMES:
            file = f"gallery/{name}.{theme}.svg"
            text += f'<a class="picture only-{theme}" href="{file}"><img src="{file}" '
            text += f'alt="{alt}" loading="lazy"></a>\n'
        more = [
            f'<a href="gallery/{file}">{label}</a>'
            for label, file in known[name].items()
            if not file.endswith(".svg")
        ]
        code = f"```python\n{pictures.code_of(one.make)}\n```"
        links = f"Also as: {', '.join(more)}.\n\n" if more else ""
        text += f"\n{links}<details><summary>Code</summary>\n\n{code}\n\n</details>\n"
    put(OUT / "gallery.md", text)


def main() -> None:
    """Write all of it into a folder."""
    global OUT
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="the folder that Sphinx reads")
    parser.add_argument("--seconds", type=float, default=12.0, help="training of a gallery's model")
    args = parser.parse_args()
    OUT = args.out.resolve()
    (OUT.parent / "extra").mkdir(parents=True, exist_ok=True)
    for path in [*DOCS.glob("*.md"), *(ROOT / name for name in PAGES if name != "README.md")]:
        text = relinked(path.read_text(encoding="utf-8"), path)
        put(OUT / PAGES.get(path.name, path.name), drawn(text))
    for path in (DOCS / "drawings").iterdir():
        copy(path, OUT / "drawings" / path.name)
    notebooks()
    for name, text in reference.pages().items():
        put(OUT / "api" / name, text)
    gallery(args.seconds)
    for path in OUT.rglob("*"):  # what an earlier run left
        if path.is_file() and path not in WRITTEN:
            path.unlink()


OUT = Path()
WRITTEN: set[Path] = set()

if __name__ == "__main__":
    main()
