"""Exercises of notebook 03: the same function again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Parameter, Tape
from ..cells import Cell, Elman
from .exercise import Rng, digest
from .kinds import CellClass, Choice, Conditions, Function, Value

__all__ = ["EXERCISES"]


def rnn_star(step: Callable[..., Any], output: Callable[..., Any], s: Any, xs: Any) -> Any:
    """The outputs y_1 ... y_n of a recurrent network."""
    ys = []
    for x in xs:
        s = step(s, x)
        ys.append(output(s))
    return ys


def draw_network(rng: Rng) -> tuple[Any, ...]:
    """R and O, a first state and five inputs."""
    U, W, V = rng.normal(size=(3, 3, 3))

    def step(s: Any, x: Any) -> Any:
        return np.tanh(s @ U + x @ W)

    def output(s: Any) -> Any:
        return s @ V

    return step, output, rng.normal(size=3), rng.normal(size=(5, 3))


class MyElman(Cell):
    """The simple recurrent network of the lectures."""

    def __init__(self, d_in: int, d_h: int) -> None:
        rng = np.random.default_rng(0)
        self.d_in, self.d_h = d_in, d_h
        self.W = Parameter(rng.normal(size=(d_in, d_h)))
        self.U = Parameter(rng.normal(size=(d_h, d_h)))
        self.b = Parameter(np.zeros(d_h))

    def forward(self, x: Any, state: Any) -> Any:
        """One step."""
        (h,) = state
        h = np.tanh(x @ self.W + h @ self.U + self.b)
        return (h,)


def draw_steps(rng: Rng) -> tuple[int]:
    """A number of steps."""
    return (int(rng.integers(20, 200)),)


def records(steps: int) -> int:
    """How many records the tape of so many steps has, its outputs stacked."""
    ys, _ = MyElman(3, 2).unroll(np.zeros((steps, 3)))
    return len(Tape(ys))


def counting() -> Elman:
    """A network whose state counts words."""
    cell = Elman(4, 4, activation="identity", rng=0, dtype=float)
    cell.W.data = np.eye(4)
    cell.U.data = np.eye(4)
    cell.b.data = np.zeros(4)
    return cell


def last_state(cell: Elman, words: list[int]) -> np.ndarray:
    """The state after words, a number each; -1 for an input of zeros."""
    _, (h,) = cell.unroll(np.array([np.eye(5)[word][:4] for word in words]))
    return h.data


def is_network(cell: Any, rng: Rng) -> bool:
    """Whether it is an Elman network of the right widths and activation."""
    return (
        isinstance(cell, Elman)
        and (cell.d_in, cell.d_h) == (4, 4)
        and cell.activation == "identity"
    )


def begins_at_zero(cell: Elman, rng: Rng) -> bool:
    """Whether nothing is counted where no word is."""
    return bool(np.allclose(last_state(cell, [-1] * 3), 0))


def sees(cell: Elman, rng: Rng) -> bool:
    """Whether one word makes a 1 at its place."""
    return all(np.allclose(last_state(cell, [k]), np.eye(4)[k]) for k in range(4))


def keeps(cell: Elman, rng: Rng) -> bool:
    """Whether a word is still counted after many steps."""
    return all(np.allclose(last_state(cell, [k] + [-1] * 50), np.eye(4)[k]) for k in range(4))


def counts(cell: Elman, rng: Rng) -> bool:
    """Whether the state is the number of times that each word came."""
    words = rng.integers(0, 4, 30)
    expected = np.bincount(words, minlength=4)
    return bool(np.allclose(last_state(cell, list(words)), expected))


NETWORK = 'Expected an Elman(4, 4, activation="identity"): four words, four counts.'
ZERO = "Without any word the state should stay 0: what is the bias?"
SEES = "One word should add 1 at its own place: a one-hot x picks a row of W."
KEEPS = "A word is lost, or goes to another place, in the steps that follow: h @ U should be h."
COUNTS = "The counts of a longer text are not right."

SHAPES = {
    "one to one": "a recurrent network is not needed there, as one vector comes and one goes.",
    "one to many": "there the input is one vector, and a sequence comes out.",
    "many to one": "there a sequence comes in, and one answer goes out after its end.",
    "many to many, aligned": "there each position of the input has an output of its own.",
    "many to many, not aligned": "there both are sequences, and their lengths need not agree.",
}

EXERCISES = [
    Function(
        id="03.star",
        title="The loop over time",
        question=(
            "Write rnn_star(step, output, s, xs), the list of outputs y_1 ... y_n, where s is the "
            "state before the first step, s_i = step(s_{i-1}, x_i) and y_i = output(s_i)."
        ),
        hints=(
            "A loop over xs that keeps one state and collects the outputs.",
            "In the loop: first the new state from the old one and x, then the output from it.",
            "s = step(s, x), then ys.append(output(s)); return ys after the loop.",
        ),
        solution=rnn_star,
        inputs=draw_network,
        cases={
            "one input": lambda step, output, s, xs: (step, output, s, xs[:1]),
            "the first state 0": lambda step, output, s, xs: (step, output, 0 * s, xs),
        },
        mistakes={
            "y_i is made from the state before the step; it is made from the new one.": (
                "s = step(s, x)\n        ys.append(output(s))",
                "ys.append(output(s))\n        s = step(s, x)",
            ),
            "Every step begins with s_0: the new state has to be kept for the next step.": (
                ("s = step(s, x)", "new = step(s, x)"),
                ("output(s))", "output(new))"),
            ),
            "The states are returned; the outputs are made from them.": ("output(s))", "s)"),
            "The first state is ignored: the first step begins with s.": (
                "ys = []",
                "ys, s = [], 0 * s",
            ),
            "The inputs are taken from the last to the first.": ("in xs", "in xs[::-1]"),
            "The last input is not used: go over all of xs.": ("in xs", "in xs[:-1]"),
            "return stands inside of the loop, so that it ends after the first step.": (
                "    return ys",
                "        return ys",
            ),
            "Only the last output is returned; y_1 to y_n are asked for.": (
                "return ys",
                "return ys[-1]",
            ),
            "step gets its arguments in another order: the state first, then the input.": (
                "step(s, x)",
                "step(x, s)",
            ),
            "The output goes into the next step; it is the state that does.": (
                "ys.append(output(s))",
                "s = output(s)\n        ys.append(s)",
            ),
        },
    ),
    CellClass(
        id="03.cell",
        title="A cell of your own",
        question="Write forward(x, state) of a simple recurrent network with W, U and b.",
        hints=(
            "Two products, one for the input and one for the state, and a bias.",
            "The sum goes through tanh. The state comes in and goes out as a tuple.",
            "return (np.tanh(x @ self.W + h @ self.U + self.b),)",
        ),
        solution=MyElman,
        mistakes={
            "The state is not used: add h @ self.U.": (" + h @ self.U", ""),
            "The input is not used: add x @ self.W.": ("x @ self.W + ", ""),
            "The bias is missing.": (" + self.b", ""),
            "tanh is missing, so that the network is linear.": ("np.tanh(", "1.0 * ("),
            "The sum goes through σ; this network has tanh.": (
                "np.tanh(x @ self.W + h @ self.U + self.b)",
                "1 / (1 + np.exp(-(x @ self.W + h @ self.U + self.b)))",
            ),
            "U is transposed: with rows it is h @ self.U.": ("self.U +", "self.U.T +"),
            "h itself is added; it is multiplied by U.": ("h @ self.U", "h"),
            "tanh goes over the products one by one; it goes over their sum.": (
                "np.tanh(x @ self.W + h @ self.U + self.b)",
                "np.tanh(x @ self.W) + np.tanh(h @ self.U) + np.tanh(self.b)",
            ),
            "The old state is added after tanh.": (
                "np.tanh(x @ self.W + h @ self.U + self.b)",
                "h + np.tanh(x @ self.W + h @ self.U + self.b)",
            ),
            "The bias is added after tanh; it stands inside.": (" + self.b)", ") + self.b"),
        },
    ),
    Value(
        id="03.records",
        title="How long is the tape?",
        question=(
            'steps = given("03.records", number) is a number of steps. How many records has the '
            "tape of so many steps, if their outputs are stacked at the end?"
        ),
        hints=(
            "Count the lines of one step in the printed tape, then those outside of the steps.",
            "Each step takes its input from the sequence, multiplies twice, adds twice, and tanh.",
            "Six records a step, and one that stacks the outputs.",
        ),
        solution=records,
        given=draw_steps,
        tolerance=1e-9,
        mistakes={
            "At the end the outputs are stacked: that is one record more.": lambda n: 6 * n,
            "The record that takes x_t out of the sequence is missing, one a step.": (
                lambda n: 5 * n + 1
            ),
            "That is more than a step has: the parameters are not recorded again.": (
                lambda n: 7 * n + 1
            ),
            "Every step has records of its own: the tape grows with the number of steps.": (
                lambda n: 7
            ),
            "The first record of a step takes x_t out of the sequence; the stack comes on top.": (
                lambda n: 5 * n
            ),
            "A step is six records, not one.": lambda n: n,
            "The stack stands once on the tape, not once a step.": lambda n: 7 * n,
        },
    ),
    Choice(
        id="03.shapes",
        title="Which shape?",
        question="Which shape has each of the five tasks?",
        hints=(
            "Ask of each task: is the input a sequence? Is the output one?",
            "If both are: does every input have an output of its own, in its place?",
            "A tag for each word is aligned, a translation is not.",
        ),
        right=tuple(
            digest("03.shapes", shape)
            for shape in (
                "many to one",
                "many to many, aligned",
                "one to many",
                "many to many, not aligned",
                "one to one",
            )
        ),
        options={shape: f"Not {shape}: {why}" for shape, why in SHAPES.items()},
        because=(
            "a review gets one verdict, each word one tag, a picture a sentence, a sentence "
            "another sentence, and one vector one label."
        ),
    ),
    Conditions(
        id="03.count",
        title="Forget nothing",
        question=(
            "Set the weights of an Elman network without activation function so that its state "
            "counts how often each of four words has come."
        ),
        hints=(
            "The new state is x @ W + h @ U + b. It should be x + h.",
            "Which matrix, multiplied by a vector, gives the vector itself?",
            "W and U are np.eye(4), and b is np.zeros(4).",
        ),
        solution=counting,
        conditions={
            NETWORK: is_network,
            ZERO: begins_at_zero,
            SEES: sees,
            KEEPS: keeps,
            COUNTS: counts,
        },
        mistakes={
            NETWORK: lambda: Elman(4, 4),
            ZERO: ("np.zeros(4)", "np.ones(4)"),
            SEES: ("cell.W.data = np.eye(4)", "cell.W.data = np.ones((4, 4))"),
            KEEPS: ("cell.U.data = np.eye(4)", "cell.U.data = 0.9 * np.eye(4)"),
        },
    ),
]
