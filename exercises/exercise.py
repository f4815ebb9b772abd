"""An exercise: what is asked, the right answer, and known mistakes.

The right answer is a function or class in the file of its notebook, so that it is linted, tested
and shown as the solution. A mistake is an edit of its source, ``("old", "new")``, or an object.
What an answer computes from random inputs is compared with what the right answer computes from
them, then with each mistake: no numbers are stored.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .answers import Blank, Faulty, Results, compare, is_blank, run_answer
from .report import Shown

__all__ = ["DRAWS", "Exercise", "Rng", "digest"]

Rng = np.random.Generator
DRAWS = 2  # of random inputs, so that no two answers agree by chance


def digest(id: str, text: str) -> str:
    """A short answer as it stands in an exercise: a hash, salted with the exercise's id."""
    plain = " ".join(text.lower().split())
    return hashlib.sha256(f"unspool {id} {plain}".encode()).hexdigest()[:16]


def source_of(solution: Any) -> str:
    """The source of a function or class, from the left margin."""
    return textwrap.dedent(inspect.getsource(solution))


def edited(solution: Any, *edits: tuple[str, str]) -> Any:
    """A function or class anew from its source, after replacing text in it.

    Raises:
        ValueError: The source has no such text.
    """
    source = source_of(solution)
    for old, new in edits:
        if old not in source:
            raise ValueError(f"{solution.__name__}: no {old!r} in its source")
        source = source.replace(old, new)
    names = {**vars(sys.modules[solution.__module__]), "__name__": "answer"}
    exec(compile(source, "<answer>", "exec"), names)
    return names[solution.__name__]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What every kind of exercise has.

    Attributes:
        id: The notebook's number and a name, as in "05.lstm".
        title: A few words.
        question: What is asked, in a sentence.
        hints: Three: where to look, how to begin, nearly the answer.
        solution: The right answer, a function or class.
        mistakes: A sentence for each known mistake, and the mistake: an edit ("old", "new") of
            the solution's source, a tuple of edits, or a wrong solution.
        given: ``given(rng)`` draws the material of an exercise that has some, a tuple; the
            student gets it by ``given(id)``, the solution as its arguments.
        tolerance: Relative, of the comparison.
    """

    id: str
    title: str
    question: str
    hints: tuple[str, str, str]
    solution: Any = None
    mistakes: Mapping[str, Any] = field(default_factory=dict)
    given: Callable[[Rng], tuple[Any, ...]] | None = None
    tolerance: float = 1e-5
    reveal: ClassVar[bool] = True  # what is expected, of inputs that are drawn anew

    def trials(self, rng: Rng, material: tuple[Any, ...]) -> list[tuple[str, Any]]:
        """The inputs by the names of their cases; "" for inputs of which all terms are present."""
        raise NotImplementedError

    def results(self, answer: Any, inputs: Any) -> Results:
        """The numbers of an answer for inputs."""
        raise NotImplementedError

    def adopt(self, answer: Any) -> Any:
        """The answer as ``results`` takes it; raises Faulty for a wrong type."""
        return answer

    def equations_of(self, answer: Any) -> list[str]:
        """An answer's equations, read off its tape; none where an answer has no tape."""
        return []

    def equations_beside(self, answer: Any) -> list[tuple[str, str, str]]:
        """The answer's equations and the solution's line by line, ≠ where they differ."""
        try:
            both = [run_answer(self.equations_of, c) for c in (answer, self.solution)]
        except (Blank, Faulty):  # an answer that runs on arrays alone
            return []
        mine, theirs = ({line.partition(" = ")[0]: line for line in lines} for lines in both)
        rows = [(mine.get(left, ""), line) for left, line in theirs.items()]
        rows += [(line, "") for left, line in mine.items() if left not in theirs]
        return [(a, "" if a == b else "≠", b) for a, b in rows]

    @functools.cached_property
    def planted(self) -> dict[str, Any]:
        """The wrong answers, by their sentences."""
        wrong = {}
        for sentence, mistake in self.mistakes.items():
            if isinstance(mistake, tuple):
                edits = (mistake,) if isinstance(mistake[0], str) else mistake
                mistake = edited(self.solution, *edits)
            wrong[sentence] = mistake
        return wrong

    def solution_text(self) -> str:
        """What ``solution`` shows."""
        return source_of(self.solution)

    def check(self, answer: Any, rng: Rng, material: tuple[Any, ...] = ()) -> Shown:
        """The verdict on an answer, from fresh random inputs."""
        try:
            if is_blank(answer):
                raise Blank
            sentences = self.faults(answer, rng, material)
        except Blank:
            return self.verdict("Not answered yet.", f"Hint: {self.hints[0]}")
        except Faulty as fault:
            return self.verdict(str(fault))
        if not sentences:
            return Shown(f"✓ {self.id} {self.title}: passed", passed=True)
        return self.verdict(*sentences, table=self.equations_beside(answer))

    def verdict(self, *sentences: str, table: Any = ()) -> Shown:
        """A verdict on an answer that is not right."""
        head = [("your equations", "", "expected")] if table else []
        heading = f"✗ {self.id} {self.title}: not yet"
        return Shown(heading, sentences, table=[*head, *table], passed=False)

    def faults(self, answer: Any, rng: Rng, material: tuple[Any, ...]) -> list[str]:
        """What is wrong with an answer, the narrowest term first; empty if it is right."""
        answer = self.adopt(answer)
        trials = self.trials(rng, material)
        right = [self.results(self.solution, copy.deepcopy(inputs)) for _, inputs in trials]
        found = []
        sentences: list[str] = []
        for (case, inputs), expected in zip(trials, right, strict=True):
            found.append(self.results(answer, copy.deepcopy(inputs)))
            try:
                difference = compare(found[-1], expected, self.tolerance, self.reveal)
            except Faulty as fault:  # of shape, as a known mistake may be
                difference, case = str(fault), ""
            if difference and not sentences:
                sentences.append(f"With {case}: {difference}" if case else difference)
        if sentences:
            sentences += self.recognise(trials, found)
        return sentences

    def recognise(self, trials: list[tuple[str, Any]], found: list[Results]) -> list[str]:
        """The sentence of the known mistake that gives the same numbers."""
        for sentence, wrong in self.planted.items():
            if all(
                self.gives(wrong, inputs, results)
                for (_, inputs), results in zip(trials, found, strict=True)
            ):
                return [sentence]
        return []

    def gives(self, wrong: Any, inputs: Any, found: Results) -> bool:
        """Whether a wrong answer, which may fail for these inputs, has the results found."""
        try:
            expected = self.results(wrong, copy.deepcopy(inputs))
            return compare(found, expected, self.tolerance) is None
        except (Blank, Faulty):
            return False
