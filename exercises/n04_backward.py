"""Exercises of notebook 04: the way back through time."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kinds import Conditions, Function

__all__ = ["EXERCISES"]

Array = np.ndarray


def terms_of_U(
    xs: Array, h0: Array, W: Array, U: Array, b: Array, g: Array
) -> tuple[Array, Array, Array]:
    """The contributions of three steps to the gradient of U."""
    h1 = np.tanh(xs[0] @ W + h0 @ U + b)
    h2 = np.tanh(xs[1] @ W + h1 @ U + b)
    h3 = np.tanh(xs[2] @ W + h2 @ U + b)
    d3 = g * (1 - h3**2)
    d2 = (d3 @ U.T) * (1 - h2**2)
    d1 = (d2 @ U.T) * (1 - h1**2)
    return np.outer(h0, d1), np.outer(h1, d2), np.outer(h2, d3)


def draw_step(rng: np.random.Generator) -> tuple[Array, ...]:
    """Inputs, a state, weights and a gradient of three steps of width 2, moderate in size."""
    shapes = (3, 2), (2,), (2, 2), (2, 2), (2,), (2,)
    return tuple(0.7 * rng.normal(size=shape) for shape in shapes)


# A matrix that keeps the length of every gradient. A row vector g becomes g @ U.T at each step.


def turning() -> Array:
    """A rotation of the first two units by 36 degrees."""
    a = np.pi / 5
    return np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])


def as_matrix(U: Any) -> Array:
    """An answer as an array of floats."""
    return np.asarray(getattr(U, "data", U), dtype=float)


def is_square(U: Any, rng: np.random.Generator) -> bool:
    """Whether it has 3 rows and 3 columns."""
    try:
        return as_matrix(U).shape == (3, 3)
    except (TypeError, ValueError):
        return False


def is_given(U: Any, rng: np.random.Generator) -> bool:
    """Whether anything has been set."""
    return bool(np.any(as_matrix(U)))


def is_mixing(U: Any, rng: np.random.Generator) -> bool:
    """Whether an element beside the diagonal is not 0."""
    return not np.allclose(as_matrix(U), np.diag(np.diag(as_matrix(U))))


def after(U: Any, rng: np.random.Generator, steps: int = 40) -> float:
    """The largest norm of some gradients of norm 1 after steps."""
    gradients = rng.normal(size=(20, 3))
    gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)
    return float(
        np.linalg.norm(gradients @ np.linalg.matrix_power(as_matrix(U).T, steps), axis=1).max()
    )


def never_explodes(U: Any, rng: np.random.Generator) -> bool:
    """Whether no gradient grows for good."""
    return after(U, rng) < 100


def never_vanishes(U: Any, rng: np.random.Generator) -> bool:
    """Whether some gradient does not vanish."""
    return after(U, rng) > 0.01


def keeps_length(U: Any, rng: np.random.Generator) -> bool:
    """Whether every gradient keeps its length at each step."""
    return np.allclose(as_matrix(U) @ as_matrix(U).T, np.eye(3), atol=1e-6)


SQUARE = "Expected a matrix with 3 rows and 3 columns, as in np.array([[...], [...], [...]])."
GIVEN = "Not answered yet: U is 0, and a gradient times 0 is 0."
MIXING = "U is diagonal: each unit is alone. Give one with an element beside the diagonal."
EXPLODES = "A gradient explodes: after 40 steps it is more than 100 times as long."
VANISHES = "Every gradient vanishes: after 40 steps less than a hundredth of its length is left."
CHANGES = (
    "Some gradients change their length on the way: U Uᵀ is not the identity matrix. "
    "Are the rows of length 1, and at right angles to each other?"
)


def fraction_of_first(u: float, T: int) -> float:
    """The fraction of the gradient of w that comes from step 1."""
    contributions = [u ** (T - t) for t in range(1, T + 1)]
    return contributions[0] / sum(contributions)


def forget_bias(n: float) -> float:
    """The bias for which half of the gradient is left after n steps."""
    f = 0.5 ** (1 / n)  # so that f ** n is 0.5
    return float(np.log(f / (1 - f)))  # the inverse of the sigmoid function


def reaches(T: int, k: int) -> list[int]:
    """For each step the first step that the gradient of its loss reaches."""
    return [(t - 1) // k * k + 1 for t in range(1, T + 1)]


EXERCISES = [
    Function(
        id="04.bptt",
        title="Backpropagation through three steps",
        question="Write the terms of the gradient of U that steps 1, 2 and 3 contribute.",
        hints=(
            "First forward: h1, h2, h3. Then backward, from δ_3 = g ⊙ (1 - h3²) to δ_1.",
            "One step back: d2 = (d3 @ U.T) * (1 - h2**2). The term of step t is made of h before "
            "the step and δ of the step.",
            "The terms are np.outer(h0, d1), np.outer(h1, d2) and np.outer(h2, d3).",
        ),
        solution=terms_of_U,
        inputs=draw_step,
        cases={
            "W and U at 0": lambda xs, h0, W, U, b, g: (xs, h0, 0 * W, 0 * U, b, g),
            "xs at 0": lambda xs, h0, W, U, b, g: (0 * xs, h0, W, U, b, g),
        },
        names=("the term of step 1", "the term of step 2", "the term of step 3"),
        mistakes={
            "Going back a step multiplies by the transposed matrix: d3 @ U.T.": ("@ U.T", "@ U"),
            "The derivative of tanh is missing: δ_t = ∂L/∂h_t ⊙ (1 - h_t²).": (
                (" * (1 - h3**2)", ""),
                (" * (1 - h2**2)", ""),
                (" * (1 - h1**2)", ""),
            ),
            "The derivative of tanh is 1 - h², not 1 - h.": ("**2)", ")"),
            "The term of step t has the state before the step, h_{t-1}, not h_t.": (
                "return np.outer(h0, d1), np.outer(h1, d2), np.outer(h2, d3)",
                "return np.outer(h1, d1), np.outer(h2, d2), np.outer(h3, d3)",
            ),
            "The terms are transposed: U goes from h_{t-1} (rows) to δ_t (columns).": (
                "return np.outer(h0, d1), np.outer(h1, d2), np.outer(h2, d3)",
                "return np.outer(d1, h0), np.outer(d2, h1), np.outer(d3, h2)",
            ),
            "The terms come in the order of the backward pass; step 1 comes first.": (
                "return np.outer(h0, d1), np.outer(h1, d2), np.outer(h2, d3)",
                "return np.outer(h2, d3), np.outer(h1, d2), np.outer(h0, d1)",
            ),
            "Each step has g itself; only step 3 has: to steps 2 and 1 it comes through U.T.": (
                ("(d3 @ U.T)", "g"),
                ("(d2 @ U.T)", "g"),
            ),
            "These have ∂L/∂h_t; the terms have δ_t, which is ∂L/∂h_t ⊙ (1 - h_t²).": (
                "return np.outer(h0, d1), np.outer(h1, d2), np.outer(h2, d3)",
                "return np.outer(h0, d2 @ U.T), np.outer(h1, d3 @ U.T), np.outer(h2, g)",
            ),
            "The state before step 1 is h0, which need not be 0.": (
                ("h0 @ U", "0 * h0 @ U"),
                ("np.outer(h0, d1)", "np.outer(0 * h0, d1)"),
            ),
            "The factors of tanh are shifted: δ_t has 1 - h_t² of its own step.": (
                ("1 - h1**2", "1 - h0**2"),
                ("1 - h2**2", "1 - h1**2"),
                ("1 - h3**2", "1 - h2**2"),
            ),
            "These are the terms of W, with x_t; those of U have h_{t-1}.": (
                "return np.outer(h0, d1), np.outer(h1, d2), np.outer(h2, d3)",
                "return np.outer(xs[0], d1), np.outer(xs[1], d2), np.outer(xs[2], d3)",
            ),
        },
    ),
    Conditions(
        id="04.length",
        title="A gradient that keeps its length",
        question="Give a matrix U (3, 3), not diagonal, that keeps the length of every gradient.",
        hints=(
            "Going back a step, a gradient g becomes g @ U.T. Which matrices keep lengths?",
            "Rotations, reflections and permutations do: matrices with U Uᵀ = 1.",
            "A permutation is the shortest: each row and each column has one 1.",
        ),
        solution=turning,
        conditions={
            SQUARE: is_square,
            GIVEN: is_given,
            MIXING: is_mixing,
            EXPLODES: never_explodes,
            VANISHES: never_vanishes,
            CHANGES: keeps_length,
        },
        mistakes={
            SQUARE: lambda: np.eye(2),
            GIVEN: lambda: np.zeros((3, 3)),
            MIXING: lambda: np.eye(3),
            EXPLODES: ("return ", "return 1.2 * "),
            VANISHES: ("return ", "return 0.8 * "),
            CHANGES: lambda: np.array([[0.0, 2.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        },
    ),
    Function(
        id="04.first",
        title="The contribution of step 1",
        question="Which fraction of ∂L/∂w comes from step 1, if h_t = w + u h_{t-1} and L = h_T?",
        hints=(
            "The use of w at step t changes h_t by 1; how much does that change h_T?",
            "By u for each step in between: step t contributes u ** (T - t).",
            "The first of them, u ** (T - 1), divided by the sum of all.",
        ),
        solution=fraction_of_first,
        inputs=lambda rng: (float(rng.uniform(0.5, 1.5)), int(rng.integers(4, 12))),
        cases={"T = 1": lambda u, T: (u, 1)},
        names=("the fraction",),
        mistakes={
            "This is the contribution itself; divide it by the sum of all.": (
                " / sum(contributions)",
                "",
            ),
            "From step 1 to step T there are T - 1 steps, not T.": (
                "contributions[0] /",
                "u * contributions[0] /",
            ),
            "This is the contribution of the last step.": ("contributions[0]", "contributions[-1]"),
            "Divide by the sum of the contributions, not by their number.": (
                "sum(contributions)",
                "T",
            ),
            "The last step contributes 1: the powers of u in the sum begin at 0.": (
                "sum(contributions)",
                "(u * sum(contributions))",
            ),
            "All steps would contribute alike if u were 1; step t contributes u ** (T - t).": (
                "contributions[0] / sum(contributions)",
                "1 / T",
            ),
            "The sum has T contributions: that of step 1, too.": (
                "sum(contributions)",
                "(sum(contributions[1:]) or 1)",
            ),
        },
    ),
    Function(
        id="04.halflife",
        title="A bias for a half-life",
        question="For which b_f is half of the gradient left after n steps of f = σ(b_f)?",
        hints=(
            "After n steps f ** n is left.",
            "f ** n = 1/2 gives f = 0.5 ** (1 / n). Then turn f = σ(b_f) around.",
            "b_f = log(f / (1 - f)).",
        ),
        solution=forget_bias,
        inputs=lambda rng: (float(rng.uniform(2, 50)),),
        cases={"n = 1, where f is 1/2": lambda n: (1.0,)},
        names=("b_f",),
        mistakes={
            "This is the gate f; its bias is log(f / (1 - f)).": (
                "np.log(f / (1 - f))",
                "f",
            ),
            "This is the sigmoid function of f; turn it around: b_f = log(f / (1 - f)).": (
                "np.log(f / (1 - f))",
                "1 / (1 + np.exp(-f))",
            ),
            "This is the logarithm of f; the bias is that of f / (1 - f).": (
                "np.log(f / (1 - f))",
                "np.log(f)",
            ),
            "The sign is wrong: a gate near 1 needs a positive bias.": (
                "f / (1 - f)",
                "(1 - f) / f",
            ),
            "The gates are multiplied, not added: 1 - f is not 1 / (2 n).": (
                "0.5 ** (1 / n)",
                "1 - 0.5 / n",
            ),
            "This leaves 1/e after n steps; half of it means f ** n = 1/2.": (
                "0.5 ** (1 / n)",
                "np.exp(-1 / n)",
            ),
            "After n steps f ** n is left: f is the n-th root of 1/2, not its n-th power.": (
                "0.5 ** (1 / n)",
                "0.5 ** n",
            ),
        },
    ),
    Function(
        id="04.truncated",
        title="How far back",
        question="Which is the first step that the gradient of each step's loss reaches?",
        hints=(
            "Write the pieces side by side: for k = 3 they are 1 2 3, 4 5 6, ...",
            "The gradient goes back to the first step of its own piece.",
            "The piece of step t begins at (t - 1) // k * k + 1.",
        ),
        solution=reaches,
        inputs=lambda rng: (int(rng.integers(9, 15)), int(rng.integers(3, 5))),
        cases={
            "one piece": lambda T, k: (k, k),
            "pieces of one step": lambda T, k: (T, 1),
        },
        names=("the list",),
        mistakes={
            "Every step goes k steps back: the pieces do not move with the step, they are fixed.": (
                "(t - 1) // k * k + 1",
                "max(1, t - k + 1)",
            ),
            "Steps are counted from 1: the piece of step t begins at (t - 1) // k * k + 1.": (
                "(t - 1) // k * k + 1",
                "t // k * k",
            ),
            "This is the step before the piece; add 1.": (
                "(t - 1) // k * k + 1",
                "(t - 1) // k * k",
            ),
            "Step k still belongs to the first piece: divide t - 1, not t.": (
                "(t - 1) // k * k + 1",
                "t // k * k + 1",
            ),
            "Nothing is cut: every loss reaches step 1.": ("(t - 1) // k * k + 1", "1"),
            "This is the number of the piece, not the step at which it begins.": (
                "(t - 1) // k * k + 1",
                "(t - 1) // k + 1",
            ),
            "This is the last step of each piece.": (
                "(t - 1) // k * k + 1",
                "min(T, (t - 1) // k * k + k)",
            ),
            "This is how many steps it goes back, not which step it reaches.": (
                "(t - 1) // k * k + 1",
                "(t - 1) % k",
            ),
        },
    ),
]
