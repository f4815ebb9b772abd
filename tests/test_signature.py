"""A command line from functions: types, defaults, help and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from unspool.cli.signature import Group, build_parser, call, parse, read_doc


def even(text: str) -> int:
    if int(text) % 2:
        raise ValueError(f"expected an even number, got {text!r}")
    return int(text)


even.known = "2, 4"


@dataclass(frozen=True, kw_only=True)
class Base:
    """Shared options.

    Args:
        width: Number of units, 100 % of them.
        deep: Make it deep.
    """

    width: int
    deep: bool = False


@dataclass(frozen=True, kw_only=True)
class Wide(Base):
    """Shared options.

    Args:
        width: Number of wide units.
        rate: Factor of the rate.
    """

    rate: float = 0.5


def paint(
    files: Sequence[Path],
    *,
    wide: Wide = Wide(width=7),
    colour: Literal["red", "blue"] = "red",
    count: Annotated[int, even] = 2,
    names: Sequence[str] = ("a", "b"),
    sizes: Sequence[int] = (),
    bright: bool = True,
    limit: int | None = None,
) -> dict:
    """Paint files.

    In colours.

    Args:
        files: Files to paint.
        colour: Colour of the paint.
        count: Number of layers
            of paint.
        names: Names of painters.
        sizes: Sizes of brushes (default: any).
        bright: Use bright paint.
        limit: Number of hours (default: no limit).

    Example:
        tool paint a.txt --bright
        tool paint b.txt
    """
    return {**locals()}


def size(*, depth: int) -> int:
    """Print a size.

    Args:
        depth: Depth in metres.
    """
    return depth


TOOL = Group("A tool.", "COMMAND", {"paint": paint, "more": Group("More.", "WHAT", {"size": size})})


def result(*argv):
    return call(parse(build_parser("tool", TOOL, "1.0"), argv))


def refusal(capsys, *argv):
    with pytest.raises(SystemExit) as end:
        result(*argv)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_defaults_are_those_of_the_signature():
    assert result("paint", "x") == {
        "files": [Path("x")],
        "wide": Wide(width=7),
        "colour": "red",
        "count": 2,
        "names": ("a", "b"),
        "sizes": (),
        "bright": True,
        "limit": None,
    }


def test_values_have_the_types_of_the_signature():
    argv = "paint x --width 3 --deep --rate 1e-1 y --colour blue --count 4 --names c --sizes 1 2"
    found = result(*argv.split(), "--no-bright", "--limit", "9")
    assert found == {
        "files": [Path("x"), Path("y")],
        "wide": Wide(width=3, deep=True, rate=0.1),
        "colour": "blue",
        "count": 4,
        "names": ["c"],
        "sizes": [1, 2],
        "bright": False,
        "limit": 9,
    }
    assert result("paint", "x", "--names")["names"] == []
    assert result("more", "size", "--depth", "3") == 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            "paint x --count 3",
            "tool paint: argument --count: expected an even number, got '3'; see",
        ),
        ("paint x --width a", "tool paint: argument --width: invalid int value: 'a'; see"),
        ("paint x --colour pink", "argument --colour: invalid choice: 'pink' (choose from"),
        ("paint", "tool paint: the following arguments are required: FILE; see tool paint --help"),
        ("more size", "tool more size: the following arguments are required: --depth; see"),
        ("more", "tool more: the following arguments are required: WHAT; see tool more --help"),
        (
            "more size --depth 3 4",
            "tool more size: unrecognized arguments: 4; see tool more",
        ),
        ("paint x --dull", "tool paint: unrecognized arguments: --dull; see tool paint --help"),
    ],
)
def test_an_error_is_one_line_that_names_the_option(argv, message, capsys):
    text = refusal(capsys, *argv.split())
    assert text.startswith("tool")
    assert message in text
    assert text.count("\n") == 1


HELP = """\
usage: tool paint [options] FILE [FILE ...]

Paint files.

In colours.

positional arguments:
  FILE                  Files to paint

options:
  -h, --help            show this help message and exit
  --colour {red,blue}   Colour of the paint (default: red)
  --count N             Number of layers of paint: 2, 4 (default: 2)
  --names [NAMES ...]   Names of painters (default: a b)
  --sizes [N ...]       Sizes of brushes (default: any)
  --bright, --no-bright
                        Use bright paint (default: --bright)
  --limit N             Number of hours (default: no limit)

shared options:
  --width N             Number of wide units (default: 7)
  --deep, --no-deep     Make it deep (default: --no-deep)
  --rate X              Factor of the rate (default: 0.5)

examples:
  tool paint a.txt --bright
  tool paint b.txt
"""


def test_the_help_is_the_docstring(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        result("paint", "--help")
    assert capsys.readouterr().out == HELP
    with pytest.raises(SystemExit):
        result("--help")
    assert "    paint       Paint files\n    more        More\n" in capsys.readouterr().out


def test_a_percent_sign_in_help_and_description(capsys):
    def half(*, base: Base = Base(width=1)):
        """Take 50 % of it.

        Example:
            tool half  # 50 %
        """

    with pytest.raises(SystemExit):
        build_parser("tool", Group("100 %.", "C", {"half": half}), "1").parse_args(["half", "-h"])
    out = capsys.readouterr().out
    assert "Number of units, 100 % of them (default: 1)" in out
    assert "\nTake 50 % of it.\n" in out
    assert "  tool half  # 50 %\n" in out


def test_docstrings_in_parts():
    doc = read_doc("""One line
    that goes on.

    Args:
        a: First: with a colon,
            and a second line.
        b_c: Other.

    Raises:
        ValueError: Never.
    """)
    assert doc.text == "One line\nthat goes on."
    assert doc.summary == "One line that goes on"
    assert doc.args == {"a": "First: with a colon, and a second line.", "b_c": "Other."}
    assert doc.example == ""


def test_what_cannot_be_a_command():
    def undocumented(*, x: int = 1):
        """Do it."""

    def odd(*, x: complex = 1j):
        """Do it.

        Args:
            x: Something.
        """

    with pytest.raises(TypeError, match="undocumented: the argument x has no line in the Args:"):
        build_parser("tool", Group("A.", "C", {"a": undocumented}), "1")
    with pytest.raises(TypeError, match="x: a command line cannot give a value of the type"):
        build_parser("tool", Group("A.", "C", {"a": odd}), "1")
