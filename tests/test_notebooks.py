"""The notebooks have their form, and run, and print what tests/data/printed has.

The form is checked on the sources, in a moment; the runs are in a job of their own, `make
test-notebooks`, one a version: what is asserted of a run is in one test, so that each runs once.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from helpers import needs
from unspool.exercises import exercises

TESTS = Path(__file__).resolve().parent
FOLDER = TESTS.parent / "notebooks"
SOURCES = sorted(FOLDER.glob("*.ipynb"))
LONGEST, LONGEST_SOLUTION = 15, 25  # lines
WIDEST = 940  # pixels of a picture
HEAVIEST = 300_000  # bytes of an executed notebook
SLOWEST = 60  # seconds of CPU
LABELS = "Aims", "Prerequisites", "Time", "Lectures"

spec = importlib.util.spec_from_file_location("build_notebooks", FOLDER / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)


def cells_of(path, kind=None):
    return [c for c in build.read(path)["cells"] if kind in (None, c["cell_type"])]


def is_solution(cell):
    return cell["metadata"].get("nbgrader", {}).get("solution", False)


def is_check(cell):
    return cell["metadata"].get("nbgrader", {}).get("grade", False)


def parsed(cell):
    """The syntax tree of a cell's Python, its magics left out."""
    lines = build.text_of(cell).splitlines()
    return ast.parse("\n".join(re.sub(r"^(\s*)%.*", r"\1pass", line) for line in lines))


# The sources --------------------------------------------------------------------------------------


def test_there_are_notebooks():
    assert SOURCES


@every_source
def test_a_notebook_has_no_outputs_in_git(path):
    cells = cells_of(path)
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells_of(path, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@every_source
def test_a_lesson_begins_and_ends_as_all_do(path):
    first, setup, *rest = cells_of(path)
    text = build.text_of(first)
    assert re.match(rf"# {path.stem[:2]} .+\n\n\*\*.+\?\*\*\n", text)
    assert build.BADGES in text
    assert re.findall(r"^\*\*(\w+):\*\* .", text, re.M) == list(LABELS)
    assert re.search(r"\*\*Time:\*\* .*\d minutes.*\d s", text)
    assert 'find_spec("unspool")' in build.text_of(setup)
    headings = [
        heading
        for cell in rest
        if cell["cell_type"] == "markdown"
        for heading in re.findall(r"^## (.+)", build.text_of(cell), re.M)
    ]
    assert headings[-2:] == ["Summary", "References"]
    assert any("progress()" in build.text_of(cell) for cell in cells_of(path, "code"))


@every_source
def test_a_section_asks_before_it_runs(path):
    asked = True
    for cell in cells_of(path)[2:]:
        text = build.text_of(cell)
        if cell["cell_type"] == "markdown":
            asked = (asked and not re.search("^## ", text, re.M)) or "**Guess:**" in text
        elif not is_solution(cell) and not is_check(cell) and text.strip() != "progress()":
            assert asked, f"no **Guess:** before\n{text}"


@every_source
def test_code_is_short_and_imports_stand_at_the_top(path):
    for n, cell in enumerate(cells_of(path, "code")):
        lines = build.text_of(cell).splitlines()
        assert len(lines) <= (LONGEST_SOLUTION if is_solution(cell) else LONGEST + 10 * (n == 0))
        assert max(map(len, lines), default=0) <= 100, cell["id"]
        imports = [x for x in ast.walk(parsed(cell)) if isinstance(x, (ast.Import, ast.ImportFrom))]
        assert n == 0 or not imports, cell["id"]


@every_source
def test_a_lesson_has_the_exercises_that_are_registered(path):
    registered = [id for id in exercises() if id.startswith(path.stem[:2])]
    cells = cells_of(path)
    found = []
    for before, cell, after in zip(cells, cells[1:], cells[2:]):
        if not is_solution(cell):
            continue
        id = cell["id"].replace("-", ".", 1)
        found.append(id)
        assert re.search("^### Exercise", build.text_of(before), re.M), id
        assert is_check(after)
        assert after["id"] == f"{cell['id']}-check"
        assert build.BEGIN in build.text_of(cell)
        call = re.match(rf'check\("{id}", (\w+)\)', build.text_of(after))
        assert call, id
        assert call[1] in names_bound({**cell, "source": build.cleared(build.text_of(cell))}), id
        for other in cells[cells.index(after) + 1 :]:
            if other["cell_type"] == "code" and not is_solution(other) and not is_check(other):
                used = {x.id for x in ast.walk(parsed(other)) if isinstance(x, ast.Name)}
                assert call[1] not in used - names_bound(other), f"{other['id']} needs {id}"
    assert sorted(found) == sorted(registered)
    assert 3 <= len(found) <= 6


def names_bound(cell):
    """The top-level names that a cell binds."""
    names = set()
    for node in parsed(cell).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        names |= {
            x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)
        }
    return names


@every_source
def test_pictures_in_text_have_alt_text(path):
    for cell in cells_of(path, "markdown"):
        assert "![](" not in build.text_of(cell)
        for tag in re.findall(r"<img[^>]*>", build.text_of(cell)):
            assert re.search(r'alt="[^"]+"', tag)


# The versions -------------------------------------------------------------------------------------


@every_source
def test_a_students_version_has_no_solution(path):
    source, blank = build.read(path), build.student(build.read(path))
    for cell, other in zip(source["cells"], blank["cells"]):
        if is_solution(cell):
            assert build.STUB in build.text_of(other)
            assert "SOLUTION" not in build.text_of(other)
            compile(build.text_of(other), "student", "exec")
        else:
            assert build.text_of(cell) == build.text_of(other)


def test_a_solution_is_cleared_at_its_indent():
    source = "def f(x):\n    ### BEGIN SOLUTION\n    y = 2\n    ### END SOLUTION\n    return y"
    assert build.cleared(source) == ("def f(x):\n    pass  # your code here\n    return y")
    for broken in ("### BEGIN SOLUTION", "### END SOLUTION", "### BEGIN SOLUTION\n" * 2):
        with pytest.raises(ValueError, match="without its partner"):
            build.cleared(broken)


def test_badges_are_written_where_addresses_are_known():
    assert build.badges("05_gates", "", "") == ""
    colab = build.badges("05_gates", "a/b", "")
    assert "/github/a/b/blob/main/notebooks/05_gates.ipynb" in colab
    assert build.badges("05_gates", "", "x.html") == (
        "[Open in JupyterLite](x.html?path=05_gates.ipynb)"
    )


def test_versions_are_written(tmp_path):
    build.build(SOURCES[0], tmp_path, "a/b", "", run=False)
    for name in ("student", "teacher"):
        notebook = build.read(tmp_path / name / SOURCES[0].name)
        text = "".join(map(build.text_of, notebook["cells"]))
        assert "colab" in text
        assert (build.BEGIN in text) == (name == "teacher")


# The runs -----------------------------------------------------------------------------------------

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def same(found, expected):
    """Whether two texts agree, their numbers within 2 %, or 1 in the last digit printed."""
    if expected.startswith("<"):  # a picture's kind and hash
        return found == expected
    if [x.split() for x in NUMBER.split(found)] != [x.split() for x in NUMBER.split(expected)]:
        return False
    for a, b in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
        digits = len(b.partition("e")[0].partition(".")[2])
        power = int(b.partition("e")[2] or 0)
        last = 10.0 ** (power - digits) * (0 if digits == power == 0 else 1)
        if abs(float(a) - float(b)) > max(0.02 * abs(float(b)), 1.01 * last):
            return False
    return True


def different(found, expected):
    """The lines that differ, for a message."""
    a, b = found.splitlines(), expected.splitlines()
    pairs = [f"{x!r} was expected to be {y!r}" for x, y in zip(a, b) if not same(x, y)]
    return pairs + ([f"{len(a)} lines, expected {len(b)}"] if len(a) != len(b) else [])


@pytest.mark.parametrize(
    ("found", "expected", "agree"),
    [
        ("loss 0.6931", "loss 0.6932", True),
        ("loss 0.6931", "loss 0.7931", False),
        ("loss 1.23e-07", "loss 1.24e-07", True),
        ("loss 1.23e-07", "loss 1.23e-08", False),
        ("h_3 (2,)", "h_4 (2,)", False),
        ("a 1.0", "b 1.0", False),
        ("1000 words", "1010 words", True),
        ("<image/svg+xml 3fa1>", "<image/svg+xml 3fb1>", False),
    ],
)
def test_numbers_are_compared_with_tolerance(found, expected, agree):
    assert same(found, expected) is agree
    assert bool(different(found, expected)) is not agree


def run(notebook):
    """An executed notebook, and the seconds of CPU of its kernel."""
    needs("nbformat")
    needs("nbclient")
    needs("ipykernel")
    before = os.times()
    done = build.executed(notebook)
    after = os.times()
    used = after.children_user - before.children_user
    return done, used + after.children_system - before.children_system


def check_pictures(notebook, path):
    """As Jupyter, VS Code and GitHub show them."""
    from test_gallery import check_whole, numbers

    for output in (o for c in notebook["cells"] for o in c.get("outputs", ())):
        svg = "".join(output.get("data", {}).get("image/svg+xml", ""))
        if not svg:
            continue
        assert "<script" not in svg
        root = ET.fromstring(svg)
        assert numbers(root.get("viewBox"))[2:] == pytest.approx(
            numbers(root.get("width") + " " + root.get("height")), abs=0.6
        )
        if 'class="scene"' in svg:
            check_whole(svg, path.name)
        pixels = numbers(root.get("width"))[0] * (4 / 3 if "pt" in root.get("width") else 1)
        assert pixels <= WIDEST
        assert "<title" in svg or "aria-label" in svg


@pytest.mark.notebook
@every_source
def test_a_notebook_runs_and_prints_what_is_expected(path):
    if "unspool.viz.plots" in path.read_text(encoding="utf-8"):
        needs("matplotlib")
    notebook, seconds = run(build.read(path))
    expected = (build.PRINTED / f"{path.stem}.txt").read_text(encoding="utf-8")
    assert different(build.printed(notebook), expected) == []
    check_pictures(notebook, path)
    for cell in notebook["cells"]:
        if is_check(cell):
            [output] = cell["outputs"]
            assert "passed" in "".join(output["data"]["text/plain"]), cell["id"]
    assert seconds < SLOWEST


@pytest.mark.notebook
@every_source
def test_a_students_version_runs_to_its_end(path):
    if "unspool.viz.plots" in path.read_text(encoding="utf-8"):
        needs("matplotlib")
    notebook, _ = run(build.student(build.read(path)))
    for cell in notebook["cells"]:
        if is_check(cell):
            [output] = cell["outputs"]
            text = "".join(output["data"]["text/plain"])
            assert "not yet" in text, cell["id"]
            assert "Your code raises" not in text, cell["id"]
    assert len(str(notebook).encode()) <= HEAVIEST
