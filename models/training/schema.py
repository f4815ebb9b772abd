"""The schema of a checkpoint's state: checked as a whole before anything of it is used.

A check is a function of a value and its place in the file. It raises ValueError, or TypeError, and
says what was expected there and what was found.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor
from ...checks import check_float, check_int, check_text, describe_received

Check = Callable[[Any, str], Any]
WHO = "its state"


def wrong(place: str, expected: str, value: Any) -> ValueError:
    """The error for a value of another kind."""
    return ValueError(f"{WHO}: {place} must be {expected}, got {describe_received(value)}")


def count(value: Any, place: str) -> None:
    """An integer from 0 on."""
    check_int(WHO, place, value, least=0, most=2**62)


def finite(value: Any, place: str) -> None:
    """A finite number."""
    check_float(WHO, place, value)


def number(value: Any, place: str) -> None:
    """A number; infinite where nothing was measured yet."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or math.isnan(value):
        raise wrong(place, "a number", value)


def flag(value: Any, place: str) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise wrong(place, "True or False", value)


def text(value: Any, place: str) -> None:
    """A short string."""
    if len(check_text(WHO, place, value)) > 100:
        raise wrong(place, "a short text", value)


def fields(checks: Mapping[str, Check], more: bool = False) -> Check:
    """A dict with these keys, and with ``more`` also others, which are not checked."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise wrong(place, "a dict", value)
        if missing := [key for key in checks if key not in value]:
            raise ValueError(f"{WHO}: {place} has no {missing[0]}")
        if not more and (unknown := [key for key in value if key not in checks]):
            raise ValueError(f"{WHO}: {place} has an unknown {describe_received(unknown[0])}")
        for key, part in checks.items():
            part(value[key], f"{place}.{key}")

    return check


def each(part: Check) -> Check:
    """A list of values that pass a check."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list):
            raise wrong(place, "a list", value)
        for i, item in enumerate(value):
            part(item, f"{place}.{i}")

    return check


def parts(checks: Sequence[Check]) -> Check:
    """A list with a value for each of some checks."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list) or len(value) != len(checks):
            raise wrong(place, f"a list of {len(checks)}", value)
        for i, (part, item) in enumerate(zip(checks, value, strict=True)):
            part(item, f"{place}.{i}")

    return check


def rows(columns: Sequence[str]) -> Check:
    """The rows of a history: numbers by name, in all rows the same names, these among them."""

    def check(value: Any, place: str) -> None:
        each(fields(dict.fromkeys(columns, finite), more=True))(value, place)
        for i, row in enumerate(value):
            if row.keys() != value[0].keys():
                raise ValueError(f"{WHO}: {place}.{i} has other columns than the first row")
            for key, item in row.items():
                check_text(WHO, f"{place}.{i}'s column", key)
                if not isinstance(item, numbers.Real):
                    raise wrong(f"{place}.{i}.{key}", "a number", item)

    return check


def arrays_like(expected: Mapping[str, NDArray[Any]]) -> Check:
    """Finite arrays with the names, shapes and types of these."""
    return fields({name: array_like(array) for name, array in expected.items()})


def array_like(expected: NDArray[Any]) -> Check:
    """A finite array of this shape and type."""
    form = expected.shape, expected.dtype

    def check(value: Any, place: str) -> None:
        if not isinstance(value, np.ndarray) or (value.shape, value.dtype) != form:
            raise wrong(place, f"an array {expected.shape} {expected.dtype}", value)
        check_finite(value, place)

    return check


def check_finite(array: NDArray[Any], place: str) -> None:
    """Raise ValueError if an array holds anything but finite numbers."""
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ValueError(f"{WHO}: {place} holds something else than finite numbers")


def carry(value: Any, place: str) -> None:
    """Anything that a checkpoint can hold, with finite numbers in its arrays."""
    stack = [(value, place)]
    while stack:
        item, where = stack.pop()
        if isinstance(item, (Tensor, np.ndarray)):
            check_finite(item.data if isinstance(item, Tensor) else item, where)
        elif isinstance(item, (list, tuple)):
            stack += [(part, f"{where}.{i}") for i, part in enumerate(item)]
        elif isinstance(item, dict):
            stack += [(part, f"{where}.{key}") for key, part in item.items()]


def random_state(value: Any, place: str) -> None:
    """A state that one of NumPy's bit generators takes."""
    name = value.get("bit_generator") if isinstance(value, dict) else None
    kind = getattr(np.random, name, None) if isinstance(name, str) else None
    if not isinstance(kind, type) or not issubclass(kind, np.random.BitGenerator):
        raise wrong(place, "the state of a random number generator", value)
    try:
        kind(0).state = value
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{WHO}: {place} is no state of a {name}: {error}") from error
