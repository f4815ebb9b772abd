"""Exercises of notebook 01: a neuron, a layer, a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import sigmoid
from .exercise import Rng
from .kinds import Function, Value

__all__ = ["EXERCISES"]


def slope(z: Any) -> Any:
    """The derivative of the sigmoid function at z."""
    a = 1 / (1 + np.exp(-z))
    return a * (1 - a)


def stable(z: Any) -> Any:
    """Softmax of each row, for scores of any size."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def gradient(w: Any, b: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """The gradient of a neuron's binary cross-entropy with respect to w and b."""
    a = sigmoid(w @ x + b)
    return (a - y) * x, a - y


def draw_neuron(rng: Rng) -> tuple[Any, ...]:
    """Weights, a bias, an input and the label 1."""
    return rng.normal(size=3), rng.normal(size=()), rng.normal(size=3), np.array(1.0)


def smallest() -> float:
    """The smallest cross-entropy of three classes when probabilities are taken for scores."""
    scores = np.array([1.0, 0, 0])  # the surest of all probabilities
    return -np.log(np.exp(scores[0]) / np.exp(scores).sum())


# Which of three gradients is wrong.

Loss = Callable[..., Any]
Gradients = Callable[..., dict[str, Any]]


def loss(w: Any, b: Any, x: Any) -> Any:
    """The binary cross-entropy of a neuron whose label is 1."""
    return -np.log(1 / (1 + np.exp(-(w @ x + b))))


def draw_gradients(rng: Rng) -> tuple[Loss, Gradients]:
    """The loss, and its three gradients, one of which is wrong."""
    wrong = rng.choice(["w", "b", "x"])
    fault = rng.integers(3)

    def gradients(w: Any, b: Any, x: Any) -> dict[str, Any]:
        a = 1 / (1 + np.exp(-(w @ x + b)))
        found = {"w": (a - 1) * x, "b": a - 1, "x": (a - 1) * w}
        found[wrong] = (-found[wrong], found[wrong] * a * (1 - a), found[wrong] + 1)[fault]
        return found

    return loss, gradients


def wrong_one(loss: Loss, gradients: Gradients) -> str:
    """The name of the gradient that differs from central differences."""
    point = {"w": np.array([0.5, -1.0]), "b": np.array(0.2), "x": np.array([1.0, 2.0])}
    given = gradients(**point)
    for name, value in point.items():
        for i in np.ndindex(value.shape):
            step = np.zeros(value.shape)
            step[i] = 1e-5
            above, below = (loss(**{**point, name: value + d}) for d in (step, -step))
            if not np.isclose((above - below) / 2e-5, given[name][i]):
                return name
    return "none"


RIGHT = "∂L/∂{0} is right: change a number of {0} by ±0.00001 and compare the two losses."

EXERCISES = [
    Function(
        id="01.slope",
        title="The slope of σ",
        question="Write slope(z), the derivative of the sigmoid function, for an array z.",
        hints=(
            "Write σ(z) as (1 + exp(-z)) to the power of -1 and use the chain rule.",
            "exp(-z) / (1 + exp(-z))² is a product: one factor is σ(z). What is the other?",
            "With a = σ(z) it is a * (1 - a).",
        ),
        solution=slope,
        inputs=lambda rng: (rng.normal(size=(3, 4)),),
        mistakes={
            "That is σ(z) itself; its slope is largest at 0 and falls to both sides.": (
                "return a * (1 - a)",
                "return a",
            ),
            "That is 1 - σ(z), or exp(-z) / (1 + exp(-z)); a factor is missing.": (
                "a * (1 - a)",
                "1 - a",
            ),
            "The factors are a and 1 - a of a = σ(z); yours are z and 1 - z.": (
                "a * (1 - a)",
                "z * (1 - z)",
            ),
            "1 - a² is the slope of tanh, where a = tanh(z).": ("a * (1 - a)", "1 - a**2"),
            "That is the slope of tanh.": ("a * (1 - a)", "1 - np.tanh(z) ** 2"),
            "The sign is wrong: σ rises everywhere, so its slope is positive.": (
                "a * (1 - a)",
                "a * (a - 1)",
            ),
            "σ(z)², or 1 / (1 + exp(-z))², lacks the inner derivative, exp(-z).": (
                "a * (1 - a)",
                "a**2",
            ),
        },
    ),
    Function(
        id="01.softmax",
        title="Softmax without overflow",
        question=(
            "Write stable(z): softmax of each row of z, an array (batch, classes), for scores of "
            "any size."
        ),
        hints=(
            "Which number can be subtracted from all scores of a row without changing softmax?",
            "Subtract the largest score of the row: then no exponent is above 0.",
            "z.max(axis=-1, keepdims=True) has a column for each row; the sum is taken likewise.",
        ),
        solution=stable,
        inputs=lambda rng: (rng.normal(size=(4, 3)) + 1000 * np.arange(4)[:, None],),
        cases={"scores around 0": lambda z: (z - z.mean(axis=-1, keepdims=True),)},
        mistakes={
            "exp overflows; subtract the largest score of each row before.": (
                "z - z.max(axis=-1, keepdims=True)",
                "z",
            ),
            "The largest score is subtracted above the line and not below it.": (
                "e / e.sum(",
                "e / np.exp(z).sum(",
            ),
            "The largest score of all rows is subtracted; each row needs its own, or exp is 0.": (
                "z.max(axis=-1, keepdims=True)",
                "z.max()",
            ),
            "Divided by the largest score the probabilities are others; subtract it.": (
                "z - z.max(",
                "z / z.max(",
            ),
            "All rows together sum to 1; each row should: sum over axis=-1.": (
                "e.sum(axis=-1, keepdims=True)",
                "e.sum()",
            ),
            "The columns sum to 1; the classes of a row should: axis=-1.": (
                "e.sum(axis=-1, keepdims=True)",
                "e.sum(axis=0, keepdims=True)",
            ),
            "The rows do not sum to 1: divide by the sum.": (
                " / e.sum(axis=-1, keepdims=True)",
                "",
            ),
            "That is the logarithm of softmax.": (
                "return e / e.sum(axis=-1, keepdims=True)",
                "return z - z.max(axis=-1, keepdims=True) - np.log(e.sum(axis=-1, keepdims=True))",
            ),
        },
    ),
    Function(
        id="01.gradient",
        title="The gradient of a neuron",
        question=(
            "Write gradient(w, b, x, y), which returns ∂L/∂w and ∂L/∂b of a neuron with the "
            "sigmoid function and binary cross-entropy."
        ),
        hints=(
            "Begin with ∂L/∂z. Then z = w · x + b: what is ∂z/∂w_j, and what is ∂z/∂b?",
            "∂L/∂z = a - y, with a = sigmoid(w @ x + b).",
            "∂L/∂w is that number times the vector x; ∂L/∂b is the number itself.",
        ),
        names=("∂L/∂w", "∂L/∂b"),
        solution=gradient,
        inputs=draw_neuron,
        cases={"the label 0": lambda w, b, x, y: (w, b, x, 0 * y)},
        mistakes={
            "The sign is wrong: it is a - y, the loss falls against the gradient.": (
                ("(a - y) * x", "(y - a) * x"),
                (", a - y", ", y - a"),
            ),
            "∂L/∂w has no x: w_j is multiplied by x_j, so ∂z/∂w_j = x_j.": (
                "(a - y) * x",
                "(a - y) * np.ones(3)",
            ),
            "∂L/∂w is ∂L/∂z times x; yours is times w, which is ∂L/∂x.": (
                "(a - y) * x",
                "(a - y) * w",
            ),
            "a (1 - a) is a factor too many: it cancels with the derivative of the loss.": (
                ("(a - y) * x", "(a - y) * a * (1 - a) * x"),
                (", a - y", ", (a - y) * a * (1 - a)"),
            ),
            "The sigmoid function is missing: a is σ(z), not z.": (
                "sigmoid(w @ x + b)",
                "w @ x + b",
            ),
            "w * x is a vector; z is the sum of its numbers, w @ x.": ("w @ x", "w * x"),
            "A factor 2 is of the squared error; here the loss is cross-entropy.": (
                ("(a - y) * x", "2 * (a - y) * x"),
                (", a - y", ", 2 * (a - y)"),
            ),
            "The bias is missing in z.": (" + b)", ")"),
            "The label is missing: it is a - y, not a.": (
                ("(a - y) * x", "a * x"),
                (", a - y", ", a"),
            ),
            "∂z/∂b is 1: ∂L/∂b is a - y, without b.": (", a - y", ", (a - y) * b"),
            "∂L/∂b is one number, not multiplied by the input.": (", a - y", ", (a - y) * x"),
        },
    ),
    Value(
        id="01.wrong",
        title="One of three gradients is wrong",
        question=(
            'With loss, gradients = given("01.wrong"): which of the gradients with respect to '
            '"w", "b" and "x" is wrong?'
        ),
        hints=(
            "A derivative is nearly (L(w + ε) - L(w - ε)) / 2ε, for one number at a time.",
            "Take some w, b and x, change one number of one of them by 0.00001 both ways.",
            '(loss(w, b + e, x) - loss(w, b - e, x)) / (2 * e) beside gradients(w, b, x)["b"].',
        ),
        solution=wrong_one,
        given=draw_gradients,
        mistakes={RIGHT.format(name): (lambda *_, name=name: name) for name in "wbx"},
    ),
    Value(
        id="01.twice",
        title="Softmax twice",
        question=(
            "A network gives probabilities, not scores, to cross_entropy. Below which loss can it "
            "not get, with three classes?"
        ),
        hints=(
            "cross_entropy applies softmax to what it gets. What are the best probabilities?",
            "The surest are 1, 0 and 0. Give them to cross_entropy as if they were scores.",
            "-log(e¹ / (e¹ + e⁰ + e⁰)): compute that number.",
        ),
        tolerance=5e-3,
        solution=smallest,
        mistakes={
            "A loss of 0 needs scores that are far apart; probabilities differ by 1 at most.": (
                lambda: 0.0
            ),
            "log 3 is the loss of equal probabilities; the network can learn more than that.": (
                lambda: np.log(3)
            ),
            "That is the largest loss, where the surest class is a wrong one.": (
                "scores[0]",
                "scores[1]",
            ),
            "That is for two classes; here are three.": ("[1.0, 0, 0]", "[1.0, 0]"),
            "That is the probability of the right class; the loss is its negative logarithm.": (
                "-np.log(np.exp(scores[0]) / np.exp(scores).sum())",
                "np.exp(scores[0]) / np.exp(scores).sum()",
            ),
            "A loss is positive: the negative logarithm of a probability.": ("-np.log", "np.log"),
        },
    ),
]
