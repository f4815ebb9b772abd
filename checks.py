"""Checks of arguments, and of what is installed, shared by all folders.

Every message has four parts: the thing (``LSTM: d_h``), what it must be, what was received, and
where it helps what to write instead. A value of the wrong type raises TypeError, one out of range
ValueError.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import math
import numbers
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "TEXT_CONTROLS",
    "Checked",
    "check_annotated",
    "check_bool",
    "check_callable",
    "check_choice",
    "check_dtype",
    "check_float",
    "check_fraction",
    "check_int",
    "check_items",
    "check_path",
    "check_rng",
    "check_text",
    "describe_received",
    "import_extra",
    "in_ascii",
    "printable",
    "shown",
    "wrong_type",
]

T = TypeVar("T")
PLAIN = (bool, int, float, complex, type(None))
LONGEST = 60  # characters of a value that a message shows


def describe_received(x: Any) -> str:
    """A wrong argument in a message: a plain value as it is, anything else by kind and size.

    Example:
        >>> import numpy as np
        >>> for x in (2.5, "tan", int, [1, 2], np.zeros((3, 4))):
        ...     print(describe_received(x))
        2.5
        'tan'
        the class int
        a list of 2
        an array (3, 4) float64
    """
    if isinstance(x, type):
        return f"the class {x.__name__}"
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, (str, bytes, *PLAIN)):
        text = repr(x)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        kind = type(x).__name__
        name = getattr(x, "name", None) or ("an array" if kind == "ndarray" else f"a {kind}")
        return f"{name} {tuple(x.shape)} {x.dtype}"
    if isinstance(x, (list, tuple, dict, set, frozenset)):
        return f"a {type(x).__name__} of {len(x)}"
    return type(x).__name__


CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160))}
TEXT_CONTROLS = {code: text for code, text in CONTROLS.items() if chr(code) not in "\n\t"}


def shown(text: Any, most: int = LONGEST) -> str:
    r"""A text as messages show it: control characters escaped, and cut where it is long.

    Example:
        >>> shown("a\x1b]0;title\x07b")
        'a\\x1b]0;title\\x07b'
    """
    text = str(text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= most else f"{text[:most]}..."


# Letters of mathematics in ASCII; Greek ones have their names.
ASCII_FORMS = {
    "σ": "sigmoid",
    "Σ": "sum",
    "∏": "prod",
    "√": "sqrt",
    "∂": "d",
    "⊙": "*",
    "·": ".",
    "‖": "||",
    "ᵀ": "^T",
    "²": "^2",
    "³": "^3",
    "−": "-",
    "±": "+-",
    "→": "->",
    "…": "...",
    "\u0303": "~",  # over a letter: a tilde, and arrows to the left and to the right
    "\u20d6": "<",
    "\u20d7": ">",
}


def in_ascii(text: str) -> str:
    """Mathematics in ASCII letters; any other letter is escaped.

    Example:
        >>> in_ascii("δ_t = σ(W x_t) ⊙ h̃")
        'delta_t = sigmoid(W x_t) * h~'
    """
    return "".join(letter if letter.isascii() else plain_letter(letter) for letter in text)


def plain_letter(letter: str) -> str:
    """One letter in ASCII."""
    name = unicodedata.name(letter, "")
    if letter in ASCII_FORMS or not name.startswith("GREEK SMALL LETTER "):
        return ASCII_FORMS.get(letter) or letter.encode("ascii", "backslashreplace").decode()
    return name.removeprefix("GREEK SMALL LETTER ").lower()


def printable(text: str) -> str:
    """A text as stdout can print it: in ASCII, where its encoding lacks a letter."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return in_ascii(text)
    return text


def wrong_type(expected: str, value: Any, cure: str = "") -> TypeError:
    """The error for a value of another kind than was expected.

    Example:
        >>> raise wrong_type("Zoneout: expected a Cell", [1], "wrap layers one by one")
        Traceback (most recent call last):
        ...
        TypeError: Zoneout: expected a Cell, got a list of 1; wrap layers one by one
    """
    return TypeError(f"{expected}, got {describe_received(value)}" + (f"; {cure}" if cure else ""))


def check_int(
    who: str, name: str, value: Any, least: int | None = 1, most: int | None = None
) -> int:
    """An integer within bounds, as an int.

    Args:
        who: The function or class, for messages.
        name: The argument's name.
        value: A Python or NumPy integer; booleans are refused.
        least: The smallest one allowed, or None.
        most: The largest one allowed, or None.

    Example:
        >>> check_int("LSTM", "d_h", 0)
        Traceback (most recent call last):
        ...
        ValueError: LSTM: d_h must be an integer >= 1, got 0
    """
    bounds = "" if least is None else f" >= {least}" if most is None else f" from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        cure = f"; write {int(value)}" if is_real(value) and value == value // 1 else ""
        if isinstance(value, Sized) and not isinstance(value, str):
            cure = f"; its length is {len(value)}"
        raise TypeError(
            f"{who}: {name} must be an integer{bounds}, got {describe_received(value)}{cure}"
        )
    found = int(value)
    if (least is not None and found < least) or (most is not None and found > most):
        raise ValueError(
            f"{who}: {name} must be an integer{bounds}, got {describe_received(found)}"
        )
    return found


def is_real(value: Any) -> bool:
    """Whether a value is a finite real number, and no boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def check_float(
    who: str,
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    what: str = "a number",
) -> float:
    """A finite real number within bounds, as a float.

    Args:
        who: The function or class, for messages.
        name: The argument's name.
        value: A Python or NumPy number; booleans are refused.
        least: The smallest one allowed.
        above: A bound that the number must exceed.
        most: The largest one allowed.
        below: A bound that the number must stay under.
        what: What kind of number it is, for messages.

    Example:
        >>> check_float("Adam", "lr", -1, least=0)
        Traceback (most recent call last):
        ...
        ValueError: Adam: lr must be a number >= 0, got -1
    """
    bounds = {">=": least, ">": above, "<=": most, "<": below}
    signs = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)
    if least is not None and most is not None:
        signs = f"from {least:g} to {most:g}"
    expected = f"{what} {signs}".rstrip()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{who}: {name} must be {expected}, got {describe_received(value)}")
    found = float(value)
    fits = (
        (least is None or found >= least)
        and (above is None or found > above)
        and (most is None or found <= most)
        and (below is None or found < below)
    )
    if not (fits and math.isfinite(found)):
        raise ValueError(f"{who}: {name} must be {expected}, got {describe_received(value)}")
    return found


def check_fraction(who: str, name: str, value: Any, what: str = "a probability") -> float:
    """A number from 0 to 1, such as the probability of dropout.

    Example:
        >>> check_fraction("Dropout", "p", 1.5)
        Traceback (most recent call last):
        ...
        ValueError: Dropout: p must be a probability from 0 to 1, got 1.5
    """
    return check_float(who, name, value, least=0, most=1, what=what)


def check_choice(who: str, name: str, value: T, choices: Iterable[Any], also: str = "") -> T:
    """One of several names.

    Args:
        who: The function or class, for messages.
        name: The argument's name.
        value: What must be among them.
        choices: The names.
        also: What is allowed besides them, for messages, as in "a function or None".

    Example:
        >>> check_choice("Elman", "activation", "tan", ["tanh", "relu"])
        Traceback (most recent call last):
        ...
        ValueError: Elman: activation must be one of tanh, relu, got 'tan'; did you mean 'tanh'?
    """
    names = list(choices)
    if any(type(value) is type(known) and value == known for known in names):
        return value
    texts = {str(name).lower(): str(name) for name in names}
    close: list[str] = []
    if isinstance(value, str):
        close = [texts[name] for name in difflib.get_close_matches(value.lower(), texts, 1)]
    cure = f"; did you mean {close[0]!r}?" if close else ""
    allowed = ", ".join([*map(str, names), *([also] if also else [])])
    raise ValueError(
        f"{who}: {name} must be one of {allowed}, got {describe_received(value)}{cure}"
    )


def check_bool(who: str, name: str, value: Any) -> bool:
    """True or False, also as 1 or 0, and NumPy's.

    Example:
        >>> check_bool("unroll", "reverse", "no")
        Traceback (most recent call last):
        ...
        TypeError: unroll: reverse must be True or False, got 'no'
    """
    if not isinstance(value, (bool, np.bool_, int)) or value not in (False, True):
        raise TypeError(f"{who}: {name} must be True or False, got {describe_received(value)}")
    return bool(value)


def check_text(who: str, name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{who}: {name} must be a string, got {describe_received(value)}")
    return value


def check_path(who: str, name: str, value: Any) -> Path:
    """The path of a file or folder."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise TypeError(f"{who}: {name} must be a path, got {describe_received(value)}")
    return Path(value)


def check_callable(who: str, name: str, value: Any, example: str = "") -> Any:
    """A function; ``example`` shows one in the message."""
    if not callable(value):
        cure = f"; write {example}" if example else ""
        raise TypeError(f"{who}: {name} must be a function, got {describe_received(value)}{cure}")
    return value


def check_items(who: str, name: str, value: Any, what: str) -> Iterable[Any]:
    """Several values: a list, an array or another iterable.

    Args:
        who: The function or class, for messages.
        name: The argument's name.
        value: What must be iterable.
        what: What it holds, as in "a list of tokens".
    """
    scalar = isinstance(value, np.ndarray) and value.ndim == 0
    if not isinstance(value, Iterable) or scalar:
        raise TypeError(f"{who}: {name} must be {what}, got {describe_received(value)}")
    return value


def check_rng(who: str, value: Any, name: str = "rng") -> np.random.Generator:
    """A random number generator: a Generator as it is, a seed or None as a new one.

    Example:
        >>> check_rng("LSTM", "zero")
        Traceback (most recent call last):
        ...
        TypeError: LSTM: rng must be a numpy.random.Generator, a seed (an integer >= 0), or None, \
got 'zero'
    """
    try:
        return np.random.default_rng(value)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{who}: {name} must be a numpy.random.Generator, a seed (an integer >= 0), or None, "
            f"got {describe_received(value)}"
        ) from error


def check_dtype(who: str, value: Any, name: str = "dtype") -> np.dtype[Any]:
    """A floating-point type.

    Example:
        >>> check_dtype("LSTM", "nonsense")
        Traceback (most recent call last):
        ...
        TypeError: LSTM: dtype must be a floating-point type, as np.float32, got 'nonsense'
    """
    try:
        found = np.dtype(value) if value is not None else None
    except TypeError:
        found = None
    if found is None or found.kind != "f":
        raise TypeError(
            f"{who}: {name} must be a floating-point type, as np.float32, got "
            f"{describe_received(value)}"
        )
    return found


# Constructors -----------------------------------------------------------------------------------

# The checks that an annotation, or the name of an argument, asks for in every constructor.
BY_ANNOTATION: dict[str, Callable[[str, str, Any], Any]] = {"bool": check_bool}
BY_NAME: dict[str, Callable[[str, str, Any], Any]] = {
    "rng": lambda who, name, value: None if value is None else check_rng(who, value, name),
    "dtype": lambda who, name, value: check_dtype(who, value, name),
}


def unless_none(check: Callable[[str, str, Any], Any]) -> Callable[[str, str, Any], Any]:
    """A check that lets None pass."""
    return lambda who, name, value: None if value is None else check(who, name, value)


@functools.cache
def checks_of(function: Callable[..., Any]) -> tuple[tuple[int | None, str, Any], ...]:
    """(position, name, check) of the arguments that have one; ``self`` is not counted.

    Where None is the default it is allowed.
    """
    found = []
    _, *parameters = inspect.signature(function).parameters.values()
    for position, parameter in enumerate(parameters):
        kind = getattr(parameter.annotation, "__name__", parameter.annotation)
        check = BY_NAME.get(parameter.name) or BY_ANNOTATION.get(kind)
        if check is not None:
            by_position = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            if parameter.default is None:
                check = unless_none(check)
            found.append((position if by_position else None, parameter.name, check))
    return tuple(found)


def check_annotated(kind: type, args: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Check the arguments of a constructor: what is annotated as bool, ``rng`` and ``dtype``.

    A base's constructor that gets them by ``**options`` is asked too.

    Args:
        kind: The class.
        args: The positional arguments.
        options: The named ones.
    """
    constructors = [vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base)]
    taken: dict[str, Any] = {}
    for depth, constructor in enumerate(constructors):
        taken |= names_of(constructor)
        for position, name, check in checks_of(constructor):
            if name in options:
                check(kind.__name__, name, options[name])
            elif position is not None and position < len(args) and depth == 0:
                check(kind.__name__, name, args[position])
        if not any(p.kind is p.VAR_KEYWORD for p in names_of(constructor).values()):
            check_names(kind.__name__, options, taken)
            return


@functools.cache
def names_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function by name."""
    return inspect.signature(function).parameters


# Other libraries' names of arguments, and ours; or how it is written here.
OTHER_NAMES = {
    "batch_size": ("batch",),
    "embedding_dim": ("d",),
    "hidden_dim": ("d_h", "d"),
    "hidden_size": ("d_h", "d"),
    "in_features": ("d_in",),
    "input_dim": ("d_in", "n"),
    "input_size": ("d_in",),
    "learning_rate": ("lr",),
    "nonlinearity": ("activation",),
    "num_classes": ("d_out", "n_labels"),
    "num_embeddings": ("n",),
    "num_labels": ("n_labels", "d_out"),
    "num_layers": ("layers",),
    "num_tags": ("n_labels", "labels"),
    "out_features": ("d_out",),
    "output_dim": ("d_out", "d"),
    "random_state": ("rng",),
    "rate": ("p", "dropout"),
    "seed": ("rng",),
    "units": ("d_h", "d_out", "d"),
    "use_bias": ("bias",),
}
OTHER_WAYS = {
    "batch_first": "batches always come first",
    "bidirectional": "write Bidirectional(LSTM(3, 4), LSTM(3, 4))",
    "device": "all arrays are in memory",
    "num_layers": "write Stacked([LSTM(3, 4), LSTM(4, 4)])",
    "return_sequences": "unroll returns all outputs and the last state",
}


def check_names(who: str, options: Mapping[str, Any], taken: Iterable[str]) -> None:
    """Raise TypeError for an argument that a constructor does not take, with the name it has here.

    Example:
        >>> check_names("LSTM", {"hidden_size": 4}, ["d_in", "d_h", "rng"])
        Traceback (most recent call last):
        ...
        TypeError: LSTM takes no hidden_size; write d_h=
    """
    names = [name for name in taken if name not in ("self", "args", "options")]
    for name in options:
        if name in names:
            continue
        ours = [own for own in OTHER_NAMES.get(name, ()) if own in names]
        ours = ours or difflib.get_close_matches(name, names, 1)
        if ours or name in OTHER_WAYS:
            cure = f"write {ours[0]}=" if ours else OTHER_WAYS[name]
        else:
            cure = f"its arguments are {', '.join(names)}"
        raise TypeError(f"{who} takes no {name}; {cure}")


class Checked:
    """Base of classes whose arguments are checked before their constructor runs."""

    def __new__(cls, *args: Any, **options: Any) -> Any:  # noqa: D102
        check_annotated(cls, args, options)
        return super().__new__(cls)


def import_extra(what: str, extra: str, *modules: str) -> Any:
    """Import a package that an extra installs; an ImportError says how.

    Args:
        what: What needs it, for the message.
        extra: The name of the extra.
        modules: The package, and those of its modules that are needed.

    Returns:
        The package.
    """
    try:
        for module in modules:
            importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'{what}: pip install "unspool[{extra}]"') from error
    return sys.modules[modules[0]]
