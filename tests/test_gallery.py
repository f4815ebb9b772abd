"""The gallery: every kind of picture from real models, whole, on a page that needs nothing else."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

import unspool
from helpers import needs
from unspool.viz.look import LEAST, NAME, NOTE, text_width
from unspool.viz.scene import name_width

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "notebooks" / "gallery.py"
SVG = "{http://www.w3.org/2000/svg}"

needs("matplotlib")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("gallery", SCRIPT)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """The gallery as `make gallery` writes it, of models that have hardly been trained."""
    out = tmp_path_factory.mktemp("gallery")
    command = [sys.executable, "-W", "error", str(SCRIPT), "--out", str(out), "--seconds", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=out)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


class Links(HTMLParser):
    """What a page points to, and whether its elements are closed."""

    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.ids, self.images = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[name] for name in ("href", "src", "srcset") if name in values]
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "img":
            self.images.append(values)
        if tag not in ("meta", "img", "source", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_index_shows_every_picture_and_needs_nothing_else(gallery, module):
    page = Links((gallery / "index.html").read_text(encoding="utf-8"))
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:  # a file beside it
            assert re.fullmatch(r"[\w.]+", link)
            assert (gallery / link).is_file(), link
    shown = {image["src"] for image in page.images}
    assert shown == {f"{one.make.__name__}.light.svg" for one in module.PICTURES}
    assert all(len(image["alt"]) > 20 for image in page.images)
    files = {path.name for path in gallery.iterdir()} - {"index.html"}
    assert files == set(page.links) - {link for link in page.links if link.startswith("#")}


def test_there_is_every_kind_of_model_and_of_picture(module):
    names = {one.make.__name__ for one in module.PICTURES}
    models = {
        "elman_op", "lstm_gates", "gru_gates", "stacked", "bidirectional", "language_model",
        "tagger", "encoder_decoder", "own_cell", "feedforward",
    }  # fmt: skip
    levels = {"lstm_folded", "lstm_long", "lstm_op", "lstm_step", "lstm_backward", "values"}
    plots = {f"{name}_plot" for name in ("gates", "states", "flow", "sensitivity", "attention")}
    assert names >= models | levels | plots | {"training_plot", "walk_cells", "page"}


def test_the_code_shown_is_code(module):
    for one in module.PICTURES:
        code = module.code_of(one.make)
        compile(code, one.make.__name__, "exec")
        assert "theme" not in code


def numbers(text):
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


def corners(shape):
    """The points that a shape reaches."""
    kind = shape.tag.removeprefix(SVG)
    if kind == "circle":
        r = float(shape.get("r"))
        return [(-r, -r), (r, r)]
    if kind == "rect":
        x, y, width, height = (float(shape.get(k)) for k in ("x", "y", "width", "height"))
        return [(x, y), (x + width, y + height)]
    if kind == "path":
        values = numbers(shape.get("d"))
        return list(zip(values[::2], values[1::2], strict=True))
    if kind == "text":
        x, y = float(shape.get("x")), float(shape.get("y"))
        size = float(shape.get("font-size", NAME))
        wide = 0.8 * text_width("".join(shape.itertext()), size)  # which rather exceeds it
        start = (
            x - {"start": 0, "middle": wide / 2, "end": wide}[shape.get("text-anchor", "middle")]
        )
        return [(start, y - 0.7 * size), (start + wide, y)]
    return []


def points_of(element, dx=0.0, dy=0.0):
    """Every point that an element and those in it reach: (element, x, y)."""
    move = re.fullmatch(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", ""))
    assert move or not element.get("transform")
    dx, dy = (dx + float(move[1]), dy + float(move[2])) if move else (dx, dy)
    yield from ((element, x + dx, y + dy) for x, y in corners(element))
    for child in element:
        yield from points_of(child, dx, dy)


def check_whole(svg, name):
    """Raise unless all that a picture shows is within its borders."""
    root = ET.fromstring(svg)
    left, top, width, height = numbers(root.get("viewBox"))
    assert numbers(root.get("width")) == [width], name
    assert numbers(root.get("height")) == [height], name
    points = list(points_of(next(g for g in root.iter(f"{SVG}g") if g.get("class") == "scene")))
    for element, x, y in points:
        what = (name, element.tag, "".join(element.itertext()))
        assert left - 1 <= x <= left + width + 1, what
        assert top - 1 <= y <= top + height + 1, what
    assert len(points) > 20


def test_no_picture_is_clipped(gallery):
    for path in sorted(gallery.glob("*.svg")):
        svg = path.read_text(encoding="utf-8")
        if 'class="scene"' in svg:
            check_whole(svg, path.name)


def test_both_themes_show_the_same_on_another_paper(gallery):
    for light in sorted(gallery.glob("*.light.svg")):
        texts = []
        for path, paper in (
            (light, "#ffffff"),
            (Path(str(light).replace(".light", ".dark")), "#12171c"),
        ):
            svg = path.read_text(encoding="utf-8")
            assert paper in svg.lower(), path.name
            texts.append(["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}text")])
        assert texts[0] == texts[1], light.name


def test_the_pictures_of_the_readme_are_what_is_drawn_now(module, tmp_path):
    module.write_readme(tmp_path)
    kept = SCRIPT.parent / "pictures"
    assert {p.name for p in kept.iterdir()} == {p.name for p in tmp_path.iterdir()}
    assert {p.stem for p in kept.iterdir()} == set(module.README)
    for path in kept.iterdir():
        assert path.stat().st_size < 150_000, path.name
        texts = [
            [t for text in root.iter(f"{SVG}text") if (t := "".join(text.itertext()))]
            for root in (ET.parse(p).getroot() for p in (path, tmp_path / path.name))
        ]
        assert texts[0] == texts[1], path.name


# At the widths of a slide, a notebook and a page --------------------------------------------------

WIDTHS = {"slide": 1280, "notebook": 978, "site": 736}  # pixels; a slide has 960 × 540 points
POINTS = 0.75  # of a pixel


def fitted(module, monkeypatch, name, width, theme):
    """A picture of the gallery as it is drawn for a width, and whether it fits."""

    def draw(what, **options):
        for given in ("level", "steps"):
            options.pop(given, None)
        return unspool.draw(what, **options, width=width)

    monkeypatch.setattr(module, "draw", draw)
    make = next(one.make for one in module.PICTURES if one.make.__name__ == name)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        drawing = make(theme)
    return drawing, not said


def texts_of(scene):
    """Lines of text as (text, x1, y1, x2, y2), rather smaller than they are."""
    for t in scene.texts:
        wide, tall = 0.8 * text_width(t.text, t.size), 0.35 * t.size
        x = t.x - {"left": 0, "middle": wide / 2, "right": wide}[t.anchor]
        yield t.text, x, t.y - tall, x + wide, t.y + tall
    for e in scene.edges:
        if e.label:
            (x, y), wide = e.label_at, 0.4 * name_width(e.label)
            yield e.label, x - wide, y - 4, x + wide, y + 4
    for n in scene.nodes:
        for line, text in enumerate(reversed(scene.notes.get(n.id, []))):
            x, y = n.x + scene.beside + 3, n.y + n.high + 4 + (NOTE + 1) * line
            y += sum(len(rows) for rows in [scene.strips.get(n.id, [])]) * 8
            yield text, x, y + 1, x + 0.8 * text_width(text, NOTE), y + NOTE - 2


def frames_of(boxes):
    """All frames, outer and inner."""
    for box in boxes:
        yield box
        yield from frames_of(box.boxes)


def check_texts(scene, name):
    """Raise where a text stands on another, on a node or on the border of a frame."""
    texts = list(texts_of(scene))
    nodes = [
        (n.id, n.x - n.half, n.y - n.high, n.x + n.half, n.y + n.high)
        for n in scene.nodes
        if n.id not in scene.bars
    ]
    borders = []
    for b in frames_of(scene.boxes):
        borders += [(b.id, x, b.y1, x, b.y2) for x in (b.x1, b.x2)]
        borders += [(b.id, b.x1, y, b.x2, y) for y in (b.y1, b.y2)]
    for k, (what, x1, y1, x2, y2) in enumerate(texts):
        for other, a1, b1, a2, b2 in (*texts[k + 1 :], *nodes, *borders):
            apart = x2 <= a1 or a2 <= x1 or y2 <= b1 or b2 <= y1
            assert apart, (name, what, other)


DRAWN = [
    "elman_op", "elman_folded", "lstm_gates", "lstm_op", "lstm_folded", "lstm_step", "lstm_long",
    "gru_gates", "gru_op", "own_cell", "stacked", "stacked_gates", "bidirectional",
    "language_model", "tagger", "encoder_decoder", "feedforward", "vanishing", "lstm_backward",
    "values", "truncated", "walk_cells", "walk_gates", "page", "sentence_losses", "generation",
    "crf_lattice",
]  # fmt: skip


def test_every_drawing_of_the_gallery_is_looked_at(module):
    names = [one.make.__name__ for one in module.PICTURES]
    assert [name for name in names if not name.endswith("_plot")] == DRAWN


@pytest.mark.parametrize("where", WIDTHS)
@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_fits_slides_notebooks_and_pages(name, where, module, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.1)
    width = WIDTHS[where]
    for theme in ("light", "dark", "print"):
        if name == "crf_lattice":  # it has one size
            monkeypatch.undo()
            drawing, fits = module.crf_lattice(theme), True
        else:
            drawing, fits = fitted(module, monkeypatch, name, width, theme)
        svg = drawing._repr_svg_()
        check_whole(svg, name)
        shown = numbers(re.search(r'width="([\d.]+)pt"', svg)[1])[0] / POINTS
        assert fits, name
        assert shown <= width, (name, shown)
        sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"', svg)]
        assert min(sizes) >= LEAST, (name, theme)
        if theme == "light":  # the others have the same places
            check_texts(drawing.scene, name)
