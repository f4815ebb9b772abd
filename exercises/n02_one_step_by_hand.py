"""Exercises of notebook 02: one step by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import sigmoid
from .exercise import Rng, digest
from .kinds import Choice, Function, Value

__all__ = ["EXERCISES"]

Weights = dict[str, Any]

# The numbers of the classwork, with columns: W x.
LABELS = ("ADJ", "DET", "NOUN")
U = np.array([[2, 0], [1, 2]])
W = np.array([[2, 0, -1], [1, -1, 1]])
V = np.array([[1, 0], [-1, 1], [0, 3]])
H_0 = np.array([1, -1])
X_1, X_2, X_3 = np.array([1, 0, 0]), np.array([0, 0, 1]), np.array([0, 1, 0])


def third() -> tuple[np.ndarray, str]:
    """The state after a third step, and its label."""
    h_1 = U @ H_0 + W @ X_1
    h_2 = U @ h_1 + W @ X_2
    h_3 = U @ h_2 + W @ X_3
    return h_3, LABELS[np.argmax(V @ h_3)]


def rows(x: Any, h: Any, W: Any, U: Any) -> Any:
    """W x + U h of a batch whose vectors are rows."""
    return x @ W.T + h @ U.T


def joined(h: Any, x: Any, U: Any, W: Any) -> tuple[Any, Any]:
    """One vector v and one matrix M of which M @ v is U @ h + W @ x."""
    v = np.concatenate([h, x])
    M = np.concatenate([U, W], axis=1)
    return v, M


GATES = ("f", "i", "o", "c")


def draw_step(rng: Rng) -> tuple[Weights, Weights, Weights, np.ndarray, np.ndarray, np.ndarray]:
    """Whole numbers for a step of an LSTM of two units, small enough for paper."""

    def matrix() -> np.ndarray:
        return rng.integers(-2, 3, (2, 2))

    def vector() -> np.ndarray:
        return rng.choice([-1, 1], 2)

    W = {k: matrix() for k in GATES}
    U = {k: matrix() for k in GATES}
    b = {k: vector() for k in GATES}
    return W, U, b, vector(), vector(), rng.choice([-2, -1, 1, 2], 2)


def lstm_step(W: Weights, U: Weights, b: Weights, x: Any, h: Any, c: Any) -> tuple[Any, ...]:
    """The gates i and o, the new memory and the new state."""
    f = sigmoid(W["f"] @ x + U["f"] @ h + b["f"])
    i = sigmoid(W["i"] @ x + U["i"] @ h + b["i"])
    o = sigmoid(W["o"] @ x + U["o"] @ h + b["o"])
    g = np.tanh(W["c"] @ x + U["c"] @ h + b["c"])
    c_new = f * c + i * g
    h_new = o * np.tanh(c_new)
    return i, o, c_new, h_new


EXERCISES = [
    Value(
        id="02.third",
        title="A third step",
        question="The third word is x_3 = [0, 1, 0]. What are h_3 and the label?",
        hints=(
            "The third step begins with the state that the second one left.",
            "U @ h_2 with h_2 = [7, 5], and the second column of W.",
            "h_3 = [14, 17] + [0, -1]; the label belongs to the largest number of V @ h_3.",
        ),
        names=("h_3", "label"),
        solution=third,
        mistakes={
            "The state before is h_1; the third step begins with h_2.": ("U @ h_2", "U @ h_1"),
            "The state before is h_0; the third step begins with h_2.": ("U @ h_2", "U @ H_0"),
            "U @ h_2 is missing: a step adds it to W @ x_3.": ("U @ h_2 + ", ""),
            "W @ x_3 is missing: a step adds it to U @ h_2.": ("U @ h_2 + W @ X_3", "U @ h_2"),
            "U is transposed: the first entry is row 1 of U times h_2.": ("U @ h_2", "h_2 @ U"),
            "x_3 has its 1 at the second place, so W @ x_3 is the second column of W.": (
                "W @ X_3",
                "W @ X_2",
            ),
            "W @ x_1 stands in the place of W @ x_3: x_3 picks the second column of W.": (
                "W @ X_3",
                "W @ X_1",
            ),
            "h_3 went through tanh; the classwork has no activation function.": (
                "h_3 = U @ h_2 + W @ X_3",
                "h_3 = np.tanh(U @ h_2 + W @ X_3)",
            ),
            "h_3 is right. The label is that of the largest score in V @ h_3.": (
                "np.argmax(V @ h_3)",
                "1",
            ),
            "h_3 is right. The scores are V @ h_3, three of them; take the largest.": (
                "np.argmax(V @ h_3)",
                "0",
            ),
        },
    ),
    Function(
        id="02.rows",
        title="From columns to rows",
        question=(
            "Write rows(x, h, W, U): each row of x and h is a vector, W and U are the lecture's. "
            "The rows of the result are W x + U h."
        ),
        hints=(
            "Transpose a product: what becomes of its two sides?",
            "(W x)ᵀ = xᵀ Wᵀ, and a row of the array x is already an xᵀ.",
            "x @ W.T, plus the same for h and U.",
        ),
        solution=rows,
        inputs=lambda rng: (
            rng.normal(size=(4, 3)),
            rng.normal(size=(4, 3)),
            rng.normal(size=(3, 3)),
            rng.normal(size=(3, 3)),
        ),
        cases={
            "U at 0": lambda x, h, W, U: (x, h, W, 0 * U),
            "W at 0": lambda x, h, W, U: (x, h, 0 * W, U),
        },
        mistakes={
            "W is not transposed; here d_in = d_h, so that the shapes fit all the same.": (
                "W.T",
                "W",
            ),
            "U is not transposed; as U is square, the shapes fit all the same.": ("U.T", "U"),
            "Neither matrix is transposed: with rows it is x @ W.T.": (("W.T", "W"), ("U.T", "U")),
            "W belongs to x and U to h; they are exchanged.": (
                "x @ W.T + h @ U.T",
                "x @ U.T + h @ W.T",
            ),
            "The result has the vectors as columns; here each row is one.": (
                "x @ W.T + h @ U.T",
                "W @ x.T + U @ h.T",
            ),
            "The second term is subtracted: a step adds its two terms.": ("W.T + h", "W.T - h"),
        },
    ),
    Function(
        id="02.joined",
        title="One matrix instead of two",
        question=(
            "Write joined(h, x, U, W), which returns a vector v = [h; x] and a matrix M such that "
            "M @ v is U @ h + W @ x."
        ),
        hints=(
            "[h; x] is a longer vector: the numbers of h, then those of x. Nothing is added.",
            "The first k columns of M meet h, the others meet x.",
            "np.concatenate([h, x]), and np.concatenate([U, W], axis=1).",
        ),
        names=("v", "M"),
        solution=joined,
        inputs=lambda rng: (
            rng.normal(size=3),
            rng.normal(size=3),
            rng.normal(size=(3, 3)),
            rng.normal(size=(3, 3)),
        ),
        mistakes={
            "v is h + x: the sum loses which number came from h and which from x.": (
                "np.concatenate([h, x])",
                "h + x",
            ),
            "Nothing is added before the product: U @ h + W @ x is not (U + W) @ (h + x).": (
                ("np.concatenate([h, x])", "h + x"),
                ("np.concatenate([U, W], axis=1)", "U + W"),
            ),
            "M @ v is right, but x stands before h; the lecture has [h; x].": (
                ("[h, x]", "[x, h]"),
                ("[U, W]", "[W, U]"),
            ),
            "W stands before U in M, so that W meets h.": ("[U, W]", "[W, U]"),
            "x stands before h in v, so that U meets x.": ("[h, x]", "[x, h]"),
            "W stands below U; the two stand side by side: axis=1.": (", axis=1", ""),
            "M is U + W; each has columns of its own in M.": (
                "np.concatenate([U, W], axis=1)",
                "U + W",
            ),
            "M is transposed: v is a column, so U and W stand side by side as they are.": (
                "np.concatenate([U, W], axis=1)",
                "np.concatenate([U.T, W.T])",
            ),
            "v is a matrix of two rows, np.stack; join them into one vector.": (
                "np.concatenate([h, x])",
                "np.stack([h, x])",
            ),
        },
    ),
    Choice(
        id="02.slip",
        title="Find the slip",
        question="Five of the six lines are right. Which is not?",
        hints=(
            "Compute each line anew from the numbers that are given, not from the line above.",
            "The first four lines agree with the cell above. Look at where f_t is used.",
            "f_t is [σ(2), σ(24)] wherever it stands.",
        ),
        right=digest("02.slip", "line 5"),
        options={
            "line 1": "Line 1 is right: [1·1 + 1·1, 0·1 + 1·1].",
            "line 2": "Line 2 is right: [0·4 + 0·5, 2·4 + 3·5].",
            "line 3": "Line 3 is right: [2, 1] + [0, 23] + [0, 0].",
            "line 4": "Line 4 is right: the sigmoid function of each number of line 3.",
            "line 5": "",
            "line 6": "Line 6 is right, though it does not follow from the line above it.",
        },
        because=(
            "the second number of f_t is σ(24), as in line 4. The result would change little: "
            "σ(6) = 0.9975, and σ(24) is 1 to ten digits."
        ),
    ),
    Value(
        id="02.lstm",
        title="A step of an LSTM",
        question=(
            'With W, U, b, x, h, c = given("02.lstm", number): what are i_t, o_t, C_t and h_t?'
        ),
        hints=(
            "Six lines: f, i and o through σ, the candidate through tanh, then C_t, then h_t.",
            'i = sigmoid(W["i"] @ x + U["i"] @ h + b["i"]); "c" is the candidate\'s key.',
            "C_t = f * c + i * candidate, and h_t = o * np.tanh(C_t).",
        ),
        names=("i_t", "o_t", "C_t", "h_t"),
        solution=lstm_step,
        given=draw_step,
        tolerance=5e-3,  # three digits, as from paper
        mistakes={
            "i_t and o_t are swapped.": ("return i, o,", "return o, i,"),
            "C_t is f ⊙ c + i ⊙ g; yours has the old memory without f.": ("f * c", "c"),
            "C_t is f ⊙ c + i ⊙ g; in yours f and i are swapped.": (
                "f * c + i * g",
                "i * c + f * g",
            ),
            "C_t is f ⊙ c + i ⊙ g; yours has the candidate without i.": ("i * g", "g"),
            "C_t is f ⊙ c + i ⊙ g; in yours f multiplies the new term too.": (
                "f * c + i * g",
                "f * (c + i * g)",
            ),
            "The candidate goes through tanh, not through σ.": ("g = np.tanh(", "g = sigmoid("),
            "h_t is o ⊙ tanh(C_t); yours lacks the tanh.": ("o * np.tanh(c_new)", "o * c_new"),
            "h_t is o ⊙ tanh(C_t); yours has the old memory c.": ("np.tanh(c_new)", "np.tanh(c)"),
            "h_t is o ⊙ tanh(C_t); yours lacks o.": ("o * np.tanh(c_new)", "np.tanh(c_new)"),
            "The matrices W are transposed: the lecture writes W @ x, not x @ W.": (
                ('W["f"] @ x', 'x @ W["f"]'),
                ('W["i"] @ x', 'x @ W["i"]'),
                ('W["o"] @ x', 'x @ W["o"]'),
                ('W["c"] @ x', 'x @ W["c"]'),
            ),
            "The biases are missing.": tuple((f' + b["{k}"]', "") for k in GATES),
            "The state h is missing in the gates: they see x and h.": tuple(
                (f' + U["{k}"] @ h', "") for k in GATES
            ),
            "The memory c stands where the gates have the state h.": tuple(
                (f'U["{k}"] @ h', f'U["{k}"] @ c') for k in GATES
            ),
        },
    ),
]
