"""The kinds of exercises: a function, a value, a cell, conditions, a choice."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .. import viz
from ..autograd import Tape, Tensor
from ..cells import Cell
from ..checks import describe_received
from .answers import Faulty, Results, named_results, naming, run_answer
from .exercise import DRAWS, Exercise, Rng, digest

__all__ = ["CellClass", "Choice", "Conditions", "Function", "Value"]


def as_tensor(x: Any, name: str) -> Any:
    """An array of floats as a Tensor of this name, anything else as it is."""
    floats = isinstance(x, np.ndarray) and x.dtype.kind == "f"
    return Tensor(x, name=name) if floats else x


@dataclass(frozen=True, kw_only=True)
class Function(Exercise):
    """A function to write: its results for random inputs are compared.

    Attributes:
        inputs: ``inputs(rng)`` gives the arguments, a tuple.
        cases: Names of cases, as in "every weight at 0 but b", each with a function of the
            arguments that gives them with terms isolated. They are checked before all terms.
        names: Of the results, if the function returns a tuple.
    """

    inputs: Callable[[Rng], tuple[Any, ...]]
    cases: Mapping[str, Callable[..., tuple[Any, ...]]] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def trials(self, rng: Rng, material: tuple[Any, ...]) -> list[tuple[str, Any]]:
        """Each case, then inputs drawn anew."""
        args = self.inputs(rng)
        isolated = [(case, keep(*copy.deepcopy(args))) for case, keep in self.cases.items()]
        return [*isolated, ("", args), *(("", self.inputs(rng)) for _ in range(DRAWS - 1))]

    def adopt(self, answer: Any) -> Any:
        """The function."""
        if not callable(answer) or isinstance(answer, type):
            raise Faulty(f"Expected a function, got {describe_received(answer)}.")
        return answer

    def results(self, answer: Any, inputs: Any) -> Results:
        """What it returns."""
        return named_results(run_answer(answer, *inputs), self.names)

    def equations_of(self, answer: Any) -> list[str]:
        """Of a function that returns Tensors when it is given Tensors in the place of arrays."""
        args = dict(
            zip(inspect.signature(self.solution).parameters, self.inputs(np.random.default_rng(0)))
        )
        with naming(answer):
            result = answer(*(as_tensor(x, name) for name, x in args.items()))
        results = result if isinstance(result, (tuple, list)) else (result,)
        for y, name in zip(results, self.names or ("result",)):
            y.name = name
        return viz.equations(Tape(*results), inner=True)


@dataclass(frozen=True, kw_only=True)
class Value(Exercise):
    """A value to give: a number, an array, a text, or a tuple of them.

    The solution is a function that computes it, from the material if there is some.

    Attributes:
        names: Of the parts, if the answer is a tuple.
    """

    names: tuple[str, ...] = ()
    reveal: ClassVar[bool] = False  # it is the answer

    def trials(self, rng: Rng, material: tuple[Any, ...]) -> list[tuple[str, Any]]:
        """The material alone."""
        return [("", material)]

    def adopt(self, answer: Any) -> Any:
        """A function that gives the value, as the solution is one."""
        if callable(answer):
            raise Faulty(f"Expected a value, got {describe_received(answer)}; call it.")
        return lambda *material: answer

    def results(self, answer: Any, inputs: Any) -> Results:
        """The value by name."""
        return named_results(run_answer(answer, *inputs), self.names)


STEP = {"d_in": 3, "d_h": 4}
BATCH = 5


@dataclass(frozen=True, kw_only=True)
class CellClass(Exercise):
    """A Cell to write: its new state for random weights, input and state is compared.

    The answer is the class; ``answer(d_in, d_h)`` makes a cell, whose parameters have the names
    and shapes of the solution's. Cases come by themselves: every weight at 0 but the biases, but
    those from the input, but those from the state, but those of one gate.
    """

    WHAT: ClassVar = {"b": "the biases", "W": "those of the input", "U": "those of the state"}

    def made(self, answer: Any) -> Cell:
        """A cell of a class."""
        return run_answer(answer, *STEP.values())

    def adopt(self, answer: Any) -> Any:
        """The class, after comparing its states and parameters with the solution's."""
        if isinstance(answer, Cell):
            name = type(answer).__name__
            raise Faulty(f"Expected the class itself, got an instance; write {name} without ().")
        if not (isinstance(answer, type) and issubclass(answer, Cell)):
            raise Faulty(f"Expected a subclass of Cell, got {describe_received(answer)}.")
        cell, right = self.made(answer), self.made(self.solution)
        if cell.states != right.states:
            raise Faulty(f"Expected states = {right.states}, got {cell.states}.")
        shapes = [{k: p.data.shape for k, p in c.named_parameters()} for c in (cell, right)]
        for name, shape in shapes[1].items():
            if name not in shapes[0]:
                raise Faulty(f"The cell has no Parameter {name}; it needs {', '.join(shapes[1])}.")
            if shapes[0][name] != shape:
                raise Faulty(
                    f"Expected {name} of {shape} for d_in = {STEP['d_in']}, d_h = {STEP['d_h']}, "
                    f"got {shapes[0][name]}."
                )
        if more := [name for name in shapes[0] if name not in shapes[1]]:
            raise Faulty(f"The cell has a Parameter {more[0]} too many.")
        return answer

    def trials(self, rng: Rng, material: tuple[Any, ...]) -> list[tuple[str, Any]]:
        """Cases with weights at 0, then all terms."""
        inputs = self.drawn(rng)
        names = list(inputs[0])
        letters = [n for n in "bWU" if any(name.partition("_")[0] == n for name in names)]
        gates = list(dict.fromkeys(name.partition("_")[2] for name in names))
        isolated = [("every weight and bias at 0", only(inputs, []))]
        for letter in letters:
            kept = [name for name in names if name.partition("_")[0] == letter]
            isolated.append((f"every weight at 0 but {self.WHAT[letter]}", only(inputs, kept)))
        for gate in gates if len(gates) > 1 else ():
            kept = [name for name in names if name.partition("_")[2] == gate]
            isolated.append((f"every weight at 0 but {', '.join(kept)}", only(inputs, kept)))
        return [*isolated, ("", inputs), *(("", self.drawn(rng)) for _ in range(DRAWS - 1))]

    def drawn(self, rng: Rng) -> tuple[Any, ...]:
        """Weights by name, an input and a state."""
        cell = self.made(self.solution)
        weights = {k: rng.normal(size=p.data.shape) for k, p in cell.named_parameters()}
        state = tuple(rng.normal(size=(BATCH, cell.d_h)) for _ in cell.states)
        return weights, rng.normal(size=(BATCH, cell.d_in)), state

    def results(self, answer: Any, inputs: Any) -> Results:
        """The new state by its names."""
        weights, x, state = inputs
        cell = self.made(answer)
        for name, p in cell.named_parameters():
            p.data = weights[name]
        run_answer(cell.forward, Tensor(x), tuple(map(Tensor, state)))  # Blank, if it is
        _, new = run_answer(cell, x, state)
        return named_results(dict(zip(cell.states, new, strict=True)))

    def equations_of(self, answer: Any) -> list[str]:
        """A cell's equations, a line for each of its variables."""
        cell = self.made(answer)
        with naming(answer.forward):
            _, state = cell.unroll(np.zeros((2, cell.d_in)))
        return viz.equations(Tape(*state), inner=True)


def only(inputs: tuple[Any, ...], kept: list[str]) -> tuple[Any, ...]:
    """Inputs of a cell with the weights that are not kept at 0."""
    weights, *rest = inputs
    return ({k: w if k in kept else np.zeros_like(w) for k, w in weights.items()}, *rest)


@dataclass(frozen=True, kw_only=True)
class Conditions(Exercise):
    """An answer of which there are many, as weights that store a bit or a model that fits.

    The solution is a function that makes a right answer. A mistake's sentence is a condition's.

    Attributes:
        conditions: Sentences, shown if ``condition(answer, rng)`` is false, in this order.
    """

    conditions: Mapping[str, Callable[[Any, Rng], bool]]

    def faults(self, answer: Any, rng: Rng, material: tuple[Any, ...]) -> list[str]:
        """The first condition that does not hold."""
        for sentence, holds in self.conditions.items():
            if not run_answer(holds, answer, rng):
                return [sentence]
        return []


@dataclass(frozen=True, kw_only=True)
class Choice(Exercise):
    """A short answer among options, or a list of them, one for each of several questions.

    Attributes:
        right: The ``digest`` of the right option, or a tuple of them.
        options: Each option with a sentence that is said when it was chosen wrongly.
        because: Shown with the solution.
    """

    right: str | tuple[str, ...]
    options: Mapping[str, str]
    because: str

    def faults(self, answer: Any, rng: Rng, material: tuple[Any, ...]) -> list[str]:
        """What is said of the first option that is wrong."""
        several = isinstance(self.right, tuple)
        answers = list(answer) if several and isinstance(answer, (list, tuple)) else [answer]
        right = self.right if isinstance(self.right, tuple) else (self.right,)
        if len(answers) != len(right):
            raise Faulty(f"Expected a list of {len(right)}, got {describe_received(answer)}.")
        for n, (given, wanted) in enumerate(zip(answers, right, strict=True), 1):
            options = {" ".join(o.lower().split()): said for o, said in self.options.items()}
            text = " ".join(given.lower().split()) if isinstance(given, str) else None
            if text not in options:
                names = ", ".join(map(repr, self.options))
                raise Faulty(f"Expected one of {names}, got {describe_received(given)}.")
            if digest(self.id, text) != wanted:
                return [f"Answer {n}: {options[text]}" if several else options[text]]
        return []

    def solved(self) -> str | list[str]:
        """The right answer, found among the options by its hash."""
        by_hash = {digest(self.id, option): option for option in self.options}
        return (
            by_hash[self.right] if isinstance(self.right, str) else [by_hash[r] for r in self.right]
        )

    def solution_text(self) -> str:
        """The answer and its reason."""
        return f"{self.solved()!r}: {self.because}"
