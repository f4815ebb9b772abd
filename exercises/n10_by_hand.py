"""Exercises of notebook 10: networks on lists of numbers, without any library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .kinds import Function

__all__ = ["EXERCISES"]

Vector = list[float]
Matrix = list[list[float]]
Gates = dict[str, Matrix]


# The notebook's helpers ---------------------------------------------------------------------------


def dot(a: Vector, b: Vector) -> float:
    """The sum of the products."""
    return sum(x * y for x, y in zip(a, b))


def times(x: Vector, W: Matrix) -> Vector:
    """x W."""
    return [dot(x, column) for column in zip(*W)]  # type: ignore[arg-type]


def back(d: Vector, W: Matrix) -> Vector:
    """d Wᵀ."""
    return [dot(d, row) for row in W]


def add_outer(G: Matrix, x: Vector, d: Vector) -> None:
    """Add xᵀ d to G."""
    for row, a in zip(G, x):
        for j, b in enumerate(d):
            row[j] += a * b


def sigmoid(z: float) -> float:
    """σ(z), for z that are not too negative."""
    return 1 / (1 + math.exp(-z))


def lstm_forward(words: list[int], W: Gates, U: Gates) -> list[tuple[Vector, ...]]:
    """For each step (h and c before, f, i, o, g, the new c and h)."""
    h = c = [0.0] * len(U["f"])
    steps: list[tuple[Vector, ...]] = []
    for w in words:
        z = {k: [a + b for a, b in zip(W[k][w], times(h, U[k]))] for k in "fiog"}
        f, i, o = ([sigmoid(a) for a in z[k]] for k in "fio")
        g = [math.tanh(a) for a in z["g"]]
        new = [a * b + p * q for a, b, p, q in zip(f, c, i, g)]
        out = [a * math.tanh(b) for a, b in zip(o, new)]
        steps.append((h, c, f, i, o, g, new, out))
        h, c = out, new
    return steps


# The solutions ------------------------------------------------------------------------------------


def stable_sigmoid(z: float) -> float:
    """σ(z) for any z."""
    if z >= 0:
        return 1 / (1 + math.exp(-z))
    return math.exp(z) / (1 + math.exp(z))


def slope(f: Callable[[Vector], float], x: Vector, i: int) -> float:
    """The derivative of f(x) with respect to x[i], by central differences."""
    eps = 1e-5
    above, below = x[:], x[:]
    above[i] += eps
    below[i] -= eps
    return (f(above) - f(below)) / (2 * eps)


def classifier(
    words: list[int], c: int, W: Matrix, b: Vector, U: Matrix
) -> tuple[float, Vector, Matrix]:
    """The loss of a feedforward network with a softmax, and the gradients of b and U."""
    h = [sigmoid(b[j] + sum(W[w][j] for w in words)) for j in range(len(b))]
    powers = [math.exp(z) for z in times(h, U)]
    y = [a / sum(powers) for a in powers]
    dz = [a - (k == c) for k, a in enumerate(y)]
    dU = [[x * d for d in dz] for x in h]
    db = [g * x * (1 - x) for g, x in zip(back(dz, U), h)]
    return -math.log(y[c]), db, dU


def mean_rnn(
    words: list[int], y: float, W: Matrix, U: Matrix, v: Vector
) -> tuple[Matrix, Matrix, Vector]:
    """The gradients of a recurrent network whose answer comes from the mean of its states."""
    n = len(words)
    hs = [[0.0] * len(v)]
    for w in words:
        hs.append([math.tanh(a + b) for a, b in zip(W[w], times(hs[-1], U))])
    mean = [sum(column) / n for column in zip(*hs[1:])]
    error = sigmoid(dot(mean, v)) - y
    dU: Matrix = [[0.0] * len(v) for _ in v]
    deltas: Matrix = []
    later = [0.0] * len(v)
    for t in range(n, 0, -1):
        dh = [error * a / n + b for a, b in zip(v, later)]
        delta = [g * (1 - x * x) for g, x in zip(dh, hs[t])]
        add_outer(dU, hs[t - 1], delta)
        deltas.insert(0, delta)
        later = back(delta, U)
    return deltas, dU, [error * m for m in mean]


def lstm_backward(
    steps: list[tuple[Vector, ...]], y: float, U: Gates, v: Vector
) -> tuple[list[Matrix], list[Matrix]]:
    """For f, i, o and g the gradients before the activation at each step, and those of U."""
    error = sigmoid(dot(steps[-1][-1], v)) - y
    dU = {k: [[0.0] * len(v) for _ in v] for k in "fiog"}
    deltas: dict[str, Matrix] = {k: [] for k in "fiog"}
    dh, dc = [error * a for a in v], [0.0] * len(v)
    for h, c, f, i, o, g, new, _ in reversed(steps):
        t = [math.tanh(a) for a in new]
        dc = [d + e * a * (1 - b * b) for d, e, a, b in zip(dc, dh, o, t)]
        d = {
            "f": [e * a * s * (1 - s) for e, a, s in zip(dc, c, f)],
            "i": [e * a * s * (1 - s) for e, a, s in zip(dc, g, i)],
            "o": [e * a * s * (1 - s) for e, a, s in zip(dh, t, o)],
            "g": [e * s * (1 - a * a) for e, s, a in zip(dc, i, g)],
        }
        for k in "fiog":
            add_outer(dU[k], h, d[k])
            deltas[k].insert(0, d[k])
        dh = [sum(parts) for parts in zip(*(back(d[k], U[k]) for k in "fiog"))]
        dc = [e * a for e, a in zip(dc, f)]
    return [deltas[k] for k in "fiog"], [dU[k] for k in "fiog"]


# Their inputs -------------------------------------------------------------------------------------


def hilly(x: Vector) -> float:
    """A function of a list, to be differentiated."""
    return sum(a**3 + 2 * a * b for a, b in zip(x, x[1:] + x[:1]))


def draw_words(rng: np.random.Generator, steps: int) -> list[int]:
    """Ids of a vocabulary of 6."""
    return [int(w) for w in rng.integers(0, 6, steps)]


def lists(rng: np.random.Generator, *shape: int) -> Any:
    """Normal numbers in nested lists."""
    return rng.normal(size=shape).tolist()


def draw_classifier(rng: np.random.Generator) -> tuple[Any, ...]:
    """Three hidden units and three classes, so that a slip in a transpose gives numbers."""
    words = draw_words(rng, 4)
    return words, int(rng.integers(3)), lists(rng, 6, 3), lists(rng, 3), lists(rng, 3, 3)


def draw_rnn(rng: np.random.Generator) -> tuple[Any, ...]:
    """A sentence of 4 words, its label, and weights of 3 units."""
    y = float(rng.integers(2))
    return draw_words(rng, 4), y, lists(rng, 6, 3), lists(rng, 3, 3), lists(rng, 3)


def draw_lstm(rng: np.random.Generator) -> tuple[Any, ...]:
    """The steps of an LSTM of 3 units over 4 words, and what its backward pass needs."""
    W, U = ({k: lists(rng, rows, 3) for k in "fiog"} for rows in (6, 3))
    return lstm_forward(draw_words(rng, 4), W, U), float(rng.integers(2)), U, lists(rng, 3)


def one_word(words: list[int], *rest: Any) -> tuple[Any, ...]:
    """The first word only."""
    return words[:1], *rest


def one_step(steps: list[tuple[Vector, ...]], *rest: Any) -> tuple[Any, ...]:
    """The last step only."""
    return steps[-1:], *rest


EXERCISES = [
    Function(
        id="10.sigmoid",
        title="A sigmoid function that never overflows",
        question="Write σ(z) for any number z, with math.exp of numbers up to 0 only.",
        hints=(
            "math.exp(1000) overflows, math.exp(-1000) is 0. For which z does 1 / (1 + e^-z) fail?",
            "For negative z multiply numerator and denominator by math.exp(z).",
            "Where z < 0: math.exp(z) / (1 + math.exp(z)).",
        ),
        solution=stable_sigmoid,
        inputs=lambda rng: (float(rng.normal()),),
        cases={
            "z = 0": lambda z: (0.0,),
            "z = 1000": lambda z: (1000.0,),
            "z = -1000": lambda z: (-1000.0,),
        },
        names=("σ(z)",),
        mistakes={
            "This is σ(-z): a sign is wrong.": lambda z: stable_sigmoid(-z),
            "This is tanh(z), which goes from -1 to 1; σ goes from 0 to 1.": lambda z: math.tanh(z),
            "This is the derivative σ (1 - σ).": lambda z: stable_sigmoid(z) * stable_sigmoid(-z),
            "This is max(z, 0), the ReLU.": lambda z: max(z, 0.0),
        },
    ),
    Function(
        id="10.slope",
        title="A gradient by differences",
        question="Write the derivative of f(x) with respect to x[i] by central differences.",
        hints=(
            "Move x[i] a little up and a little down, and see how f changes.",
            "Copy the list before you change it: above = x[:].",
            "(f(above) - f(below)) / (2 * eps) with eps = 1e-5.",
        ),
        solution=slope,
        inputs=lambda rng: (hilly, lists(rng, 4), int(rng.integers(4))),
        names=("the derivative",),
        tolerance=1e-6,
        mistakes={
            "Between the two points there are 2 * eps, not eps.": ("(2 * eps)", "eps"),
            "The sign is wrong: it is f above minus f below.": (
                "f(above) - f(below)",
                "f(below) - f(above)",
            ),
            "This is a one-sided difference, whose error is much larger; go to both sides.": (
                "(f(above) - f(below)) / (2 * eps)",
                "(f(above) - f(x)) / eps",
            ),
            "Both lists are the same list, so nothing changes: copy it, as in x[:].": (
                "above, below = x[:], x[:]",
                "above = below = x[:]",
            ),
            "All elements of x were moved; move x[i] alone.": (
                ("above[i] += eps", "above = [a + eps for a in above]"),
                ("below[i] -= eps", "below = [a - eps for a in below]"),
            ),
        },
    ),
    Function(
        id="10.feedforward",
        title="The network of the lab, with a softmax",
        question="Write the loss, the gradient of b and that of U, for the class c.",
        hints=(
            "h = σ(sum of rows + b), z = h U, y = softmax(z). Backward begins with y - onehot.",
            "dz = [a - (k == c) for k, a in enumerate(y)]. Then back(dz, U), and h (1 - h) of σ.",
            "dU is the outer product of h and dz; db is [g * x * (1 - x) for g, x in "
            "zip(back(dz, U), h)].",
        ),
        solution=classifier,
        inputs=draw_classifier,
        cases={
            "one word": one_word,
            "W, b and U at 0": lambda words, c, W, b, U: (
                words,
                c,
                [[0.0] * 3] * 6,
                [0.0] * 3,
                [[0.0] * 3 for _ in range(3)],
            ),
        },
        names=("the loss", "the gradient of b", "the gradient of U"),
        mistakes={
            "The derivative of σ is missing in the gradient of b: times h (1 - h).": (
                "g * x * (1 - x) for",
                "g for",
            ),
            "1 - h² is the derivative of tanh; that of σ is h (1 - h).": (
                "g * x * (1 - x) for",
                "g * (1 - x * x) for",
            ),
            "The hidden layer of the lab is σ, not tanh.": (
                ("h = [sigmoid(", "h = [math.tanh("),
                ("g * x * (1 - x) for", "g * (1 - x * x) for"),
            ),
            "The rows of the words are summed, not averaged.": (
                "sum(W[w][j] for w in words)",
                "sum(W[w][j] for w in words) / len(words)",
            ),
            "σ is applied once, to the sum of the rows and b, not to each row.": (
                "sigmoid(b[j] + sum(W[w][j] for w in words))",
                "sum(sigmoid(b[j] + W[w][j]) for w in words)",
            ),
            "The error is y - onehot; its sign is wrong.": ("a - (k == c)", "(k == c) - a"),
            "Going back multiplies by U transposed: back(dz, U).": ("back(dz, U)", "times(dz, U)"),
            "The gradient of U is transposed: its rows belong to h.": (
                "[[x * d for d in dz] for x in h]",
                "[[x * d for x in h] for d in dz]",
            ),
            "The bias is missing in the sum.": ("b[j] + sum", "sum"),
            "The loss is -log y[c]; its sign is wrong.": ("-math.log", "math.log"),
            "The error is y - onehot; the one-hot vector is missing.": ("a - (k == c)", "a"),
        },
    ),
    Function(
        id="10.rnn",
        title="A recurrent network with mean pooling",
        question=(
            "Write the list of the δ_t, the gradient of U and that of v, if the answer is "
            "σ(mean of the states · v)."
        ),
        hints=(
            "What changes against the last state? Each state now has a way of its own to the loss.",
            "Into each h_t comes error * v / n from above, and what comes back from step t + 1.",
            "dh = [error * a / n + b for a, b in zip(v, later)], with later = back(delta, U).",
        ),
        solution=mean_rnn,
        inputs=draw_rnn,
        cases={
            "one word": one_word,
            "U at 0": lambda words, y, W, U, v: (words, y, W, [[0.0] * 3 for _ in range(3)], v),
        },
        names=("the list of δ_t", "the gradient of U", "the gradient of v"),
        mistakes={
            "The loss reaches every state by the mean, not the last alone.": (
                "error * a / n + b",
                "(error * a / n if t == n else 0.0) + b",
            ),
            "The answer comes from the mean of the states; this is for the last state.": (
                ("sum(column) / n for column in zip(*hs[1:])", "x for x in hs[-1]"),
                ("error * a / n + b", "(error * a if t == n else 0.0) + b"),
            ),
            "Each state has 1 / n of the mean, so of the gradient too.": (
                "error * a / n + b",
                "error * a + b",
            ),
            "What comes back from the next step is missing.": (
                "error * a / n + b",
                "error * a / n",
            ),
            "Going back a step multiplies by U transposed: back(delta, U).": (
                "back(delta, U)",
                "times(delta, U)",
            ),
            "The derivative of tanh is missing: times 1 - h².": ("g * (1 - x * x)", "g"),
            "The gradient of U has the state before the step.": (
                "add_outer(dU, hs[t - 1], delta)",
                "add_outer(dU, hs[t], delta)",
            ),
            "The δ_t are in the order of the backward pass; step 1 comes first.": (
                "deltas.insert(0, delta)",
                "deltas.append(delta)",
            ),
            "The gradient of v has the mean of the states, not the last one.": (
                "[error * m for m in mean]",
                "[error * m for m in hs[-1]]",
            ),
            "The mean is over the n words; h_0 does not count.": ("zip(*hs[1:])", "zip(*hs[:-1])"),
            "The error is σ(...) - y; its sign is wrong.": (
                "sigmoid(dot(mean, v)) - y",
                "y - sigmoid(dot(mean, v))",
            ),
        },
    ),
    Function(
        id="10.lstm",
        title="The LSTM, backward",
        question="Write the gradients before the activations at each step, and those of U.",
        hints=(
            "Two gradients go back from step to step, dh and dc. dc gets a part of dh at each.",
            "With t = tanh(c): dc += dh o (1 - t²). Then f has dc c_before, i has dc g, o has "
            "dh t, g has dc i; each times the derivative of its activation.",
            "To the step before: dh is the sum of back(d[k], U[k]) over the four, dc is dc f.",
        ),
        solution=lstm_backward,
        inputs=draw_lstm,
        cases={"one step": one_step},
        names=("the δ_t of f, i, o, g", "the gradients of U_f, U_i, U_o, U_g"),
        mistakes={
            "The memory's gradient is not carried to the step before: it is dc f there.": (
                "dc = [e * a for e, a in zip(dc, f)]",
                "dc = [0.0] * len(v)",
            ),
            "To the step before, dc is multiplied by the forget gate.": (
                "dc = [e * a for e, a in zip(dc, f)]",
                "dc = [e for e, a in zip(dc, f)]",
            ),
            "Between h and c there is a tanh: dc gets dh o (1 - tanh(c)²).": (
                "e * a * (1 - b * b) for d, e",
                "e * a for d, e",
            ),
            "dc gets the output gate too: dh o (1 - tanh(c)²).": (
                "e * a * (1 - b * b) for d, e",
                "e * (1 - b * b) for d, e",
            ),
            "The forget gate was multiplied by the memory before the step, not the new one.": (
                "zip(dc, c, f)",
                "zip(dc, new, f)",
            ),
            "The output gate was multiplied by tanh(c), not by c.": (
                "zip(dh, t, o)",
                "zip(dh, new, o)",
            ),
            "The input gate was multiplied by the candidate g.": ("zip(dc, g, i)", "zip(dc, c, i)"),
            "The derivative of σ is missing in the gates: times s (1 - s).": (
                "e * a * s * (1 - s)",
                "e * a",
            ),
            "The candidate goes through tanh, whose derivative is 1 - g².": (
                "e * s * (1 - a * a)",
                "e * s * a * (1 - a)",
            ),
            "f belongs to the step before alone: the gates get dc without it.": (
                ("        d = {", "        dc = [e * a for e, a in zip(dc, f)]\n        d = {"),
                ("        dc = [e * a for e, a in zip(dc, f)]\n    return", "    return"),
            ),
            "dh of the step before is what comes through the four matrices, without the old dh.": (
                (
                    "[sum(parts) for parts in zip(*(",
                    "[a + sum(parts) for a, parts in zip(dh, zip(*(",
                ),
                ('"fiog"))]', '"fiog")))]'),
            ),
            "All four gates look at h: dh is the sum over f, i, o and g.": (
                'for k in "fiog"))]',
                'for k in "fio"))]',
            ),
            "Going back multiplies by the transposed matrices: back(d[k], U[k]).": (
                "back(d[k], U[k])",
                "times(d[k], U[k])",
            ),
            "The gradients of U have the state before the step.": (
                "add_outer(dU[k], h, d[k])",
                "add_outer(dU[k], [a * b for a, b in zip(o, t)], d[k])",
            ),
            "The δ_t are in the order of the backward pass; step 1 comes first.": (
                ".insert(0, d[k])",
                ".append(d[k])",
            ),
        },
    ),
]
