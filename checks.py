"""Checks of arguments, and of what is installed, shared by all folders.

Every message has four parts: the thing (``LSTM: d_h``), what it must be, what was received, and
where it helps what to write instead. A value of the wrong type raises TypeError, one out of range
ValueError.
"""

from __future__ import annotations

import difflib
import importlib
import math
import numbers
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "check_choice",
    "check_float",
    "check_fraction",
    "check_int",
    "describe_received",
    "import_extra",
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


def wrong_type(expected: str, value: Any, cure: str = "") -> TypeError:
    """The error for a value of another kind than was expected.

    Example:
        >>> raise wrong_type("Zoneout: expected a Cell", [1], "wrap layers one by one")
        Traceback (most recent call last):
        ...
        TypeError: Zoneout: expected a Cell, got a list of 1; wrap layers one by one
    """
    return TypeError(f"{expected}, got {describe_received(value)}" + (f"; {cure}" if cure else ""))


def check_int(who: str, name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """An integer within bounds, as an int.

    Args:
        who: The function or class, for messages.
        name: The argument's name.
        value: A Python or NumPy integer; booleans are refused.
        least: The smallest one allowed.
        most: The largest one allowed, or None.

    Example:
        >>> check_int("LSTM", "d_h", 0)
        Traceback (most recent call last):
        ...
        ValueError: LSTM: d_h must be an integer >= 1, got 0
    """
    expected = f">= {least}" if most is None else f"from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        cure = f"; write {int(value)}" if is_real(value) and value == value // 1 else ""
        raise TypeError(
            f"{who}: {name} must be an integer {expected}, got {describe_received(value)}{cure}"
        )
    found = int(value)
    if found < least or (most is not None and found > most):
        raise ValueError(f"{who}: {name} must be an integer {expected}, got {found}")
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
    close = difflib.get_close_matches(value, map(str, names), 1) if isinstance(value, str) else ()
    cure = f"; did you mean {close[0]!r}?" if close else ""
    allowed = ", ".join([*map(str, names), *([also] if also else [])])
    raise ValueError(
        f"{who}: {name} must be one of {allowed}, got {describe_received(value)}{cure}"
    )


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
