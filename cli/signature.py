"""A command line from plain functions: the signature gives the options, the docstring their help.

A function's positional arguments become positional arguments of its command, its keyword-only
arguments become options: ``minimum_count: int = 2`` is ``--minimum-count N``. A parameter whose
type is a dataclass is a group of options, one for each field, whose defaults are those of the
parameter's default. What is written in the signature, a default above all, is written nowhere
else; the help is the line of the argument in the docstring's ``Args:`` with the default behind it.

Types: int, float, str, Path; bool (``--flag`` and ``--no-flag``); Literal (choices);
``Sequence[X]`` (several values); ``X | None``; and ``Annotated[X, read]``, where ``read`` makes
the value of the text, of any type where X is Any, raises a ValueError that says what was expected,
and may list the values that are known for the help, in an attribute ``known``.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import functools
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NoReturn,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from ..checks import shown as printable

METAVARS = {int: "N", float: "X", Path: "PATH"}


class Group(NamedTuple):
    """Commands below one name.

    Args:
        doc: What they are for, as a docstring, perhaps with an ``Example:``.
        metavar: What stands for the name of one of them in the usage.
        commands: By name, functions or further groups.
    """

    doc: str
    metavar: str
    commands: Mapping[str, Callable[..., Any] | Group]


# Docstrings -------------------------------------------------------------------------------------


class Doc(NamedTuple):
    """A docstring in parts: the text up to the first section, ``Args:`` by name, ``Example:``."""

    text: str
    args: dict[str, str]
    example: str

    @property
    def summary(self) -> str:
        """The first sentence, without its full stop."""
        return self.text.partition("\n\n")[0].replace("\n", " ").rstrip(".")


def read_doc(text: str) -> Doc:
    """A Google-style docstring in parts."""
    body, *rest = re.split(r"^([A-Z]\w+):\n", inspect.cleandoc(text), flags=re.MULTILINE)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    lines = textwrap.dedent(sections.get("Args", ""))
    args = {
        name: " ".join(words.split())
        for name, words in re.findall(r"^(\w+):((?:.*\n?)(?:[ \t]+.*\n?)*)", lines, re.MULTILINE)
    }
    return Doc(body.strip(), args, textwrap.dedent(sections.get("Example", "")).strip())


@functools.cache
def doc_of(thing: Any) -> Doc:
    """The docstring of a function; of a dataclass with the ``Args:`` of what it derives from."""
    if thing.__doc__ is None:
        raise ValueError(
            "the options are read from docstrings, which this Python leaves out; run it without "
            "-OO and PYTHONOPTIMIZE=2"
        )
    own = read_doc(thing.__doc__)
    for base in getattr(thing, "__mro__", ())[1:]:
        if dataclasses.is_dataclass(base):
            own = own._replace(args={**read_doc(base.__doc__ or "").args, **own.args})
    return own


@functools.cache
def hints_of(thing: Any) -> dict[str, Any]:
    """The types of the arguments of a function, or of the fields of a dataclass."""
    return get_type_hints(thing, include_extras=True)


# Options ----------------------------------------------------------------------------------------

MISSING = inspect.Parameter.empty  # the default of a required argument


class Option(NamedTuple):
    """An argument of a function, or a field of a dataclass among its arguments."""

    name: str
    hint: Any
    default: Any
    help: str
    positional: bool

    def add_to(self, parser: Any) -> None:
        """Add it to a parser, or to a group of one."""
        settings = argparse_settings(self.hint, self.name)
        flag = "--" + self.name.replace("_", "-")
        text = self.help
        if self.default is not MISSING:
            settings["default"] = self.default
            if "(default: " not in text:  # what None means, or empty, stands in the docstring
                text += f" (default: {shown(self.default, flag)})"
        if self.positional:
            if "nargs" in settings:
                settings["nargs"] = "+" if self.default is MISSING else "*"
            settings["metavar"] = self.name.removesuffix("s").upper()
            names = [self.name]
        else:
            settings["required"] = self.default is MISSING
            names = [flag]
        action = parser.add_argument(*names, **settings)
        action.help = text.replace("%", "%%")  # BooleanOptionalAction adds a default of its own


def options_of(function: Callable[..., Any]) -> list[tuple[str, Any, list[Option]]]:
    """For each parameter of a function its name, the dataclass or None, and its options."""
    parameters = inspect.signature(function).parameters.values()
    hints = hints_of(function)
    found: list[tuple[str, Any, list[Option]]] = []
    for parameter in parameters:
        name, default, group = parameter.name, parameter.default, hints[parameter.name]
        if dataclasses.is_dataclass(group):
            fields = [field.name for field in dataclasses.fields(group)]
            options = [option_of(group, field, getattr(default, field)) for field in fields]
            found.append((name, group, options))
        else:
            positional = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
            found.append((name, None, [option_of(function, name, default, positional)]))
    return found


def option_of(owner: Any, name: str, default: Any, positional: bool = False) -> Option:
    """An option, whose type and help stand in the annotations and docstring of its owner."""
    hint, text = hints_of(owner)[name], doc_of(owner).args.get(name)
    if text is None:
        raise TypeError(f"{owner.__name__}: the argument {name} has no line in the Args: section")
    known = [meta.known for meta in get_args(hint) if hasattr(meta, "known")]
    return Option(name, hint, default, ": ".join([text.rstrip("."), *known]), positional)


def argparse_settings(hint: Any, name: str) -> dict[str, Any]:
    """A type as ``add_argument`` takes it; TypeError if a command line cannot give it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind = {"metavar": "VALUE"} if args[0] is Any else argparse_settings(args[0], name)
        return {**kind, "type": reader(args[1])}
    if origin in (Union, types.UnionType) and len(args) == 2 and args[1] is type(None):
        return argparse_settings(args[0], name)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return {**argparse_settings(args[0], name), "nargs": "*"}
    if origin is Literal:
        return {"choices": args}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if hint is Path:
        return {"type": reader(path_of), "metavar": METAVARS[hint]}
    if hint in (int, float, str):
        return {"type": hint, "metavar": METAVARS.get(hint, name.upper())}
    raise TypeError(f"{name}: a command line cannot give a value of the type {hint}")


def path_of(text: str) -> Path:
    """A path; an empty one, as of a variable of the shell that is not set, is refused."""
    if not text:
        raise ValueError("expected a path, got ''")
    return Path(text)


def reader(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A function from text to a value whose ValueError is shown as it is."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def shown(default: Any, flag: str) -> str:
    """A default as it would be given."""
    if isinstance(default, bool):
        return flag if default else flag.replace("--", "--no-", 1)
    if isinstance(default, (list, tuple)):
        return " ".join(map(str, default)) or "none"
    return f"{default:g}" if isinstance(default, float) else str(default)


# Parsers ----------------------------------------------------------------------------------------


class Formatter(argparse.HelpFormatter):
    """Paragraphs are wrapped one by one, indented lines stay as they are."""

    def add_argument(self, action: argparse.Action) -> None:
        """Leave room for the indentation of the names of commands, which argparse forgets."""
        super().add_argument(action)
        if action.nargs == argparse.PARSER:
            self._action_max_length += self._indent_increment

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = [
            part if re.search("^ ", part, re.MULTILINE) else textwrap.fill(part, width)
            for part in text.split("\n\n")
        ]
        return "\n\n".join(parts)


class Parser(argparse.ArgumentParser):
    """argparse with errors of one line, that shows ``[options]`` in place of each of them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=Formatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {printable(message, 1000)}; see {self.prog} --help\n")

    def describe(self, doc: Doc) -> None:
        """Take description and examples from a docstring."""
        self.description = doc.text
        if doc.example:
            title = "examples" if "\n" in doc.example else "example"
            self.epilog = f"{title}:\n" + textwrap.indent(doc.example, "  ")

    def add(self, command: Callable[..., Any] | Group) -> None:
        """Become the parser of a function or of a group of commands."""
        if isinstance(command, Group):
            self.describe(read_doc(command.doc))
            below = self.add_subparsers(metavar=command.metavar, required=True, title="commands")
            for name, member in command.commands.items():
                text = member.doc if isinstance(member, Group) else member.__doc__ or ""
                summary = read_doc(text).summary.replace("%", "%%")
                below.add_parser(name, help=summary).add(member)
            return
        self.describe(doc_of(command))
        self.set_defaults(command=command, parser=self)
        positionals = ""
        for _, group, options in options_of(command):
            where = self.add_argument_group(title_of(group)) if group else self
            for option in options:
                option.add_to(where)
                if option.positional:
                    positionals += " " + usage_of(self._actions[-1])
        self.usage = f"{self.prog} [options]{positionals}"


def title_of(group: Any) -> str:
    """The title of a group of options, in small letters as argparse has its own."""
    summary = doc_of(group).summary
    return summary[:1].lower() + summary[1:]


def usage_of(action: argparse.Action) -> str:
    """A positional argument in a line of usage."""
    form = {"+": "{0} [{0} ...]", "*": "[{0} ...]"}.get(str(action.nargs), "{0}")
    return form.format(action.metavar)


def build_parser(name: str, commands: Group, version: str) -> Parser:
    """The parser of a program with commands."""
    parser = Parser(prog=name)
    parser.add_argument("--version", action="version", version=f"{name} {version}")
    parser.add(commands)
    return parser


def parse(parser: Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments, of which several files may stand on both sides of an option."""
    args, rest = parser.parse_known_args(argv)
    if any(text.startswith("-") for text in rest) or (rest and "files" not in args):
        of_command = getattr(args, "parser", parser)
        of_command.error(f"unrecognized arguments: {' '.join(rest)}{cure_of(of_command, rest)}")
    if rest:
        args.files = [*args.files, *map(path_of, rest)]
    return args


# Options of other programs, and ours.
OTHER_OPTIONS = {
    "--batch-size": "--batch",
    "--cell": "--model",
    "--hidden": "--width",
    "--hidden-size": "--width",
    "--learning-rate": "--lr",
    "--num-layers": "--layers",
    "--output": "--out",
    "--temp": "--temperature",
}


def cure_of(parser: Parser, rest: Sequence[str]) -> str:
    """The option that was meant by the first one that a command does not take."""
    known = [name for action in parser._actions for name in action.option_strings]
    wrong = next((text.partition("=")[0] for text in rest if text.startswith("--")), "")
    meant = OTHER_OPTIONS.get(wrong, "")
    close = [meant] if meant in known else difflib.get_close_matches(wrong, known, 1)
    return f", did you mean {close[0]}?" if close else ""


def call(args: argparse.Namespace) -> Any:
    """Call a command's function with its options."""
    positional, keywords = [], {}
    for name, group, options in options_of(args.command):
        values = {option.name: getattr(args, option.name) for option in options}
        if group:
            keywords[name] = group(**values)
        elif options[0].positional:
            positional.append(values[name])
        else:
            keywords[name] = values[name]
    return args.command(*positional, **keywords)
