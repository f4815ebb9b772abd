"""An answer of a student: run, recognised as blank, and compared in numbers.

An answer is somebody else's program, unfinished as often as not. Nothing that goes wrong in it
leaves this file as an exception of ours: it is ``Blank`` or ``Faulty``, with one sentence.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..checks import describe_received

__all__ = ["Blank", "Faulty", "compare", "is_blank", "named_results", "naming", "run_answer"]

Results = dict[str, Any]
OURS = ("unspool", "numpy")  # frames of these modules are not the student's


class Blank(Exception):
    """Nothing has been written yet."""


class Faulty(Exception):
    """The answer raised an error, or is of the wrong type or shape; the message says which."""


def is_blank(answer: Any) -> bool:
    """Whether an answer, or a part of it, is None, ``...`` or an empty text."""
    if isinstance(answer, (tuple, list)):
        return any(map(is_blank, answer))
    return answer is None or answer is ... or (isinstance(answer, str) and not answer.strip())


def run_answer(f: Callable[..., Any], *args: Any) -> Any:
    """What a student's function returns; an overflow is seen in the numbers, not in a warning.

    Raises:
        Blank: It raises NotImplementedError, or returns nothing.
        Faulty: It raises another error.
    """
    try:
        with np.errstate(all="ignore"):
            result = f(*args)
    except NotImplementedError:
        raise Blank from None
    except Exception as error:
        raise Faulty(describe_error(error)) from None
    if is_blank(result):
        raise Blank
    return result


@contextlib.contextmanager
def naming(f: Callable[..., Any]) -> Iterator[None]:
    """Name the Tensors of a function after its variables, so that equations have its letters.

    What it returns keeps the name that it gets outside.
    """
    code = f.__code__  # type: ignore[attr-defined]
    before = sys.getprofile()

    def name_locals(frame: Any, event: str, result: Any) -> None:
        if event == "return" and frame.f_code is code:
            returned = result if isinstance(result, (tuple, list)) else (result,)
            for name, value in frame.f_locals.items():
                inner = all(value is not other for other in returned)
                if inner and isinstance(value, Tensor) and value.name is None:
                    value.name = name

    sys.setprofile(name_locals)
    try:
        yield
    finally:
        sys.setprofile(before)


def describe_error(error: BaseException) -> str:
    """An error in one line, with the student's line in which it arose."""
    message = " ".join(str(error).split())
    frames = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in OURS
    ]
    where = ""
    if frames:
        last = traceback.extract_tb(error.__traceback__)
        inner = [f for f in last if f.filename == frames[-1].f_code.co_filename][-1]
        where = f" in line {inner.lineno}" + (f", {inner.line}" if inner.line else "")
    return f"Your code raises {type(error).__name__}{where}: {message}"


def named_results(result: Any, names: Sequence[str] = ()) -> Results:
    """The parts of a result under their names; Tensors as arrays.

    Args:
        result: A value, a tuple or list of values, or a dict of them.
        names: Of the parts; without them those of a tuple are "part 1", ...

    Raises:
        Faulty: There are not as many parts as names.
    """
    if isinstance(result, Mapping):
        return {str(name): plain(value) for name, value in result.items()}
    if len(names) > 1:
        if not isinstance(result, (tuple, list)) or len(result) != len(names):
            wanted = ", ".join(names)
            raise Faulty(f"Expected a tuple ({wanted}), got {describe_received(result)}.")
        return {name: plain(value) for name, value in zip(names, result, strict=True)}
    if isinstance(result, tuple):
        return {f"part {n}": plain(value) for n, value in enumerate(result, 1)}
    return {names[0] if names else "the result": plain(result)}


def plain(value: Any) -> Any:
    """A Tensor's array, and a text without its accidents of case and spacing."""
    if isinstance(value, Tensor):
        return value.data
    return " ".join(value.lower().split()) if isinstance(value, str) else value


def kind_of(x: np.ndarray) -> str:
    """What an array holds: numbers (booleans too), text, or other objects."""
    return "numbers" if x.dtype.kind in "biuf" else "text" if x.dtype.kind == "U" else "objects"


def as_array(value: Any) -> np.ndarray:
    """An array, of objects where the parts have no common shape."""
    try:
        return np.asarray(value)
    except ValueError:
        return np.array([None])


def compare(found: Results, expected: Results, tolerance: float, reveal: bool = True) -> str | None:
    """The first difference between two results in a sentence, or None where they agree.

    Args:
        found: The student's, by name.
        expected: The right ones.
        tolerance: Relative, and a tenth of it absolute.
        reveal: Whether the sentence says what is expected.

    Raises:
        Faulty: A result is of another type or shape.
    """
    if len(expected) == 1 < len(found):
        raise Faulty(f"Expected one result, got {len(found)}.")
    if found.keys() != expected.keys():
        raise Faulty(f"Expected {', '.join(expected)}, got {', '.join(found) or 'nothing'}.")
    for name, wanted in expected.items():
        x, y = as_array(found[name]), as_array(wanted)
        if kind_of(x) != kind_of(y):
            raise Faulty(f"Expected {kind_of(y)} for {name}, got {describe_received(found[name])}.")
        if x.shape != y.shape:
            turned = x.ndim > 1 and x.T.shape == y.shape
            raise Faulty(
                f"Expected the shape {y.shape} for {name}, got {x.shape}"
                + ("; it is transposed." if turned else ".")
            )
        if kind_of(y) != "numbers":
            different = x != y
        else:
            different = ~np.isclose(x, y, rtol=tolerance, atol=tolerance / 10, equal_nan=True)
        if np.any(different):
            at = tuple(np.argwhere(different)[0])
            place = f"{name}[{', '.join(map(str, at))}]" if at else name
            right = f", expected {shown(y[at])}" if reveal else ", which is not right"
            return f"{place} is {shown(x[at])}{right}."
    return None


def shown(x: Any) -> str:
    """A number with four digits, anything else as it is."""
    return f"{x:.4g}" if np.asarray(x).dtype.kind == "f" else str(x)
