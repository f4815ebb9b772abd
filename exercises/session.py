"""``check``, ``hint``, ``solution`` and ``progress``, and what they remember in this process."""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import pkgutil
from collections import Counter
from typing import Any

import numpy as np

from .exercise import Exercise
from .report import Shown

__all__ = ["check", "exercises", "given", "grading", "hint", "progress", "solution"]

MODE = {"grading": os.environ.get("UNSPOOL_GRADING", "") not in ("", "0")}
TRIED: Counter[str] = Counter()
HINTED: Counter[str] = Counter()
PASSED: set[str] = set()
MATERIAL: dict[str, tuple[Any, ...]] = {}


@functools.cache
def exercises() -> dict[str, Exercise]:
    """All exercises by id, from the files of this folder that are named after a notebook."""
    folder = importlib.import_module(__package__)
    names = sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if m.name[1:3].isdigit())
    modules = [importlib.import_module(f"{__package__}.{name}") for name in names]
    return {exercise.id: exercise for module in modules for exercise in module.EXERCISES}


def find(id: str) -> Exercise:
    """The exercise of an id, or a ValueError that names the ids nearest to it."""
    known = exercises()
    if id not in known:
        near = difflib.get_close_matches(str(id), known, 3, 0.4) or list(known)
        raise ValueError(f"no exercise {id!r}; did you mean {', '.join(map(repr, near))}?")
    return known[id]


def grading(on: bool = True) -> None:
    """Let a check that fails raise AssertionError, as an autograder needs it, or show it again."""
    MODE["grading"] = on


def check(id: str, answer: Any = None) -> Shown:
    """Say whether an answer is right, and what is wrong with it.

    Args:
        id: The exercise's, as "05.lstm".
        answer: What was asked for: a function, a Cell class, a value, a text. None, ``...`` and
            what raises NotImplementedError is not answered yet, which gives a hint.

    Returns:
        The verdict, which a notebook shows; it is true if the answer passed.

    Raises:
        ValueError: There is no such exercise.
        AssertionError: The answer is wrong, in grading mode.

    Example:
        >>> from unspool.exercises import check
        >>> print(check("05.lstm"))
        ✗ 05.lstm Write the LSTM: not yet
        Not answered yet.
        Hint: There are four sums of the same form, three through σ and one through tanh.
    """
    exercise = find(id)
    material: tuple[Any, ...] = ()
    if exercise.given is not None:
        if id not in MATERIAL:
            given(id)
        material = MATERIAL[id]
    shown = exercise.check(answer, np.random.default_rng(), material)
    TRIED[id] += 1
    if shown:
        PASSED.add(id)
    elif MODE["grading"]:
        raise AssertionError(str(shown))
    return shown


def given(id: str, number: int | None = None) -> Any:
    """The material of an exercise that has its own for everybody.

    Args:
        id: The exercise's.
        number: Of one's own, as a student's number: the same number, the same material. None
            draws anew.

    Returns:
        A value, or a tuple of several, as the exercise says. ``check`` goes by the last call.

    Raises:
        ValueError: There is no such exercise, or it needs no material.
    """
    exercise = find(id)
    if exercise.given is None:
        raise ValueError(f"exercise {id!r} has no material of its own; call check({id!r}, answer)")
    MATERIAL[id] = material = exercise.given(np.random.default_rng(number))
    return material[0] if len(material) == 1 else material


def hint(id: str) -> Shown:
    """The next of an exercise's three hints, one per call; after the third, the third again."""
    exercise = find(id)
    HINTED[id] = level = min(HINTED[id] + 1, len(exercise.hints))
    return Shown(
        f"Hint {level} of {len(exercise.hints)}: {exercise.title}", (exercise.hints[level - 1],)
    )


def solution(id: str) -> Shown:
    """The right answer."""
    exercise = find(id)
    return Shown(f"A solution: {exercise.title}", code=exercise.solution_text())


def progress() -> Shown:
    """A table of what was tried and passed since this process began; nothing is kept longer."""
    rows = [("exercise", "", "tries", "hints")]
    for id, exercise in exercises().items():
        if TRIED[id] or HINTED[id] or id[:2] in {i[:2] for i in TRIED}:
            mark = "✓ passed" if id in PASSED else "tried" if TRIED[id] else ""
            rows.append((f"{id} {exercise.title}", mark, str(TRIED[id]), str(HINTED[id])))
    begun = {id[:2] for id in TRIED}
    total = sum(id[:2] in begun for id in exercises())
    return Shown(f"{len(PASSED)} of {total} exercises passed", table=rows)
