"""Check the built site: every public name has its place, every link inside leads somewhere.

Run by ``make docs`` after Sphinx.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))


class Page(HTMLParser):
    """The anchors and the links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.blind: list[str] = []  # pictures without words
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep ids, and what is linked or shown."""
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        link = given.get("href") or given.get("src")
        if link and tag in ("a", "img", "script", "link", "iframe"):
            self.links.append(link)
        if tag == "img" and not given.get("alt"):
            self.blind.append(str(given.get("src")))


def names_in(inventory: bytes) -> set[str]:
    """The names of an ``objects.inv``, Sphinx's list of everything that can be linked."""
    *_, packed = inventory.split(b"\n", 4)
    lines = zlib.decompress(packed).decode().splitlines()
    return {line.split(" py:")[0] for line in lines if " py:" in line}


def missing_names(inventory: bytes, public: Iterable[str]) -> list[str]:
    """The public names that are not described anywhere."""
    return sorted(set(public) - names_in(inventory))


def broken(site: Path) -> list[str]:
    """The links to pages, pictures and anchors that are not there, and pictures without words."""
    pages = {
        path: Page(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
        if not {"lite", "gallery", "_static"} & set(path.relative_to(site).parts[:-1])
    }
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name}: {picture} has no alt text" for picture in page.blind]
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            inside = target.relative_to(site.resolve()) if target != path else name
            if inside.parts[:1] == ("lite",) and not (site / "lite").exists():
                continue
            if not target.exists():
                found.append(f"{name}: {link} leads nowhere")
            elif target in pages and unquote(parts.fragment) not in {"", *pages[target].anchors}:
                found.append(f"{name}: {link} has no such anchor")
    return found


def main() -> None:
    """Exit with what is wrong."""
    import reference

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("site", type=Path, help="the folder that Sphinx wrote")
    site = parser.parse_args().site.resolve()
    public = [f"{module}.{name}" for module in reference.modules() for name, _ in members(module)]
    missing = missing_names((site / "objects.inv").read_bytes(), public)
    problems = [f"{name} is described nowhere" for name in missing] + broken(site)
    if problems:
        sys.exit("\n".join(problems))
    count = len(list(site.rglob("*.html")))
    print(f"{count} pages, {len(public)} public names, every link inside leads somewhere")


def members(module: str) -> Iterable[tuple[str, object]]:
    """The public names of a module that are not modules themselves."""
    import reference

    return ((n, v) for n, v in reference.members(module) if not reference.is_module(v))


if __name__ == "__main__":
    main()
