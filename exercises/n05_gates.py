"""Exercises of notebook 05: gates."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import sigmoid
from ..cells import GRU, LSTM, GatedCell
from .kinds import CellClass, Conditions, Value

__all__ = ["EXERCISES"]


class MyLSTM(LSTM):
    """The LSTM of the lectures."""

    def forward(self, x: Any, state: Any) -> Any:
        """One step."""
        h, c = state
        f = sigmoid(x @ self.W_f + h @ self.U_f + self.b_f)
        i = sigmoid(x @ self.W_i + h @ self.U_i + self.b_i)
        o = sigmoid(x @ self.W_o + h @ self.U_o + self.b_o)
        g = np.tanh(x @ self.W_g + h @ self.U_g + self.b_g)
        c = f * c + i * g
        h = o * np.tanh(c)
        return h, c


class MyGRU(GRU):
    """The GRU of the lectures."""

    def forward(self, x: Any, state: Any) -> Any:
        """One step."""
        (h,) = state
        z = sigmoid(x @ self.W_z + h @ self.U_z + self.b_z)
        r = sigmoid(x @ self.W_r + h @ self.U_r + self.b_r)
        candidate = np.tanh(x @ self.W_h + (r * h) @ self.U_h + self.b_h)
        h = (1 - z) * h + z * candidate
        return (h,)


class Coupled(GatedCell):
    """An LSTM whose input gate is 1 - f."""

    states = ("h", "c")
    gates = ("f", "o", "g")

    def forward(self, x: Any, state: Any) -> Any:
        """One step."""
        h, c = state
        f = sigmoid(x @ self.W_f + h @ self.U_f + self.b_f)
        o = sigmoid(x @ self.W_o + h @ self.U_o + self.b_o)
        g = np.tanh(x @ self.W_g + h @ self.U_g + self.b_g)
        c = f * c + (1 - f) * g
        h = o * np.tanh(c)
        return h, c


# x is (value, write): where write is 1 the unit shall store the sign of value, else keep its own.


def storing() -> LSTM:
    """A unit that stores a bit."""
    cell = LSTM(2, 1, rng=0, dtype=float)
    for p in cell.parameters():
        p.data = np.zeros_like(p.data)
    cell.W_g.data = np.array([[10.0], [0.0]])  # the candidate is the value's sign
    cell.W_i.data, cell.b_i.data = np.array([[0.0], [20.0]]), np.array([-10.0])  # open to write
    cell.W_f.data, cell.b_f.data = np.array([[0.0], [-20.0]]), np.array([10.0])  # shut to write
    cell.b_o.data = np.array([10.0])  # always shown
    return cell


def is_unit(cell: Any, rng: np.random.Generator) -> bool:
    """Whether it is an LSTM of widths 2 and 1."""
    return isinstance(cell, LSTM) and (cell.d_in, cell.d_h) == (2, 1)


def states_after(cell: LSTM, *inputs: tuple[float, float]) -> np.ndarray:
    """c after each of the inputs (value, write), and h after the last."""
    state = None
    seen = []
    for x in inputs:
        y, state = cell(np.array(x), state)
        seen.append(state[1].data.item())
    return np.array([*seen, y.item()])


def writes(cell: LSTM, rng: np.random.Generator) -> bool:
    """Whether c has the sign of the first value that is written."""
    return all(sign * states_after(cell, (sign, 1.0))[0] > 0.5 for sign in (1.0, -1.0))


def keeps(cell: LSTM, rng: np.random.Generator) -> bool:
    """Whether c keeps its sign for 50 values that are not written."""
    noise = [(float(v), 0.0) for v in rng.choice([-1.0, 1.0], 50)]
    return all(s * states_after(cell, (s, 1.0), *noise)[-2] > 0.5 for s in (1.0, -1.0))


def overwrites(cell: LSTM, rng: np.random.Generator) -> bool:
    """Whether a second value replaces the first, also after the first was written three times."""
    return all(s * states_after(cell, *[(-s, 1.0)] * 3, (s, 1.0))[-2] > 0.5 for s in (1.0, -1.0))


def shows(cell: LSTM, rng: np.random.Generator) -> bool:
    """Whether h shows the bit."""
    return all(s * states_after(cell, (s, 1.0), (-s, 0.0))[-1] > 0.5 for s in (1.0, -1.0))


UNIT = "Expected an LSTM(2, 1): the input is (value, write), and one unit stores the bit."
WRITES = "After (1, 1) the memory c should be near 1, after (-1, 1) near -1: look at i and g."
KEEPS = (
    "The bit is lost, or overwritten, while write is 0: there f should be near 1 and i near 0. "
    "What are the biases b_f and b_i then?"
)
OVERWRITES = "An old bit gets in the way of a new one: where write is 1, f should be near 0."
SHOWS = "The bit is in c, but h does not show it: look at o."


# Which two gates are swapped: a step of an unknown cell, beside the cell that it should be.

Step = Callable[[Any, Any], tuple[Any, Any]]


def draw_swapped(rng: np.random.Generator) -> tuple[LSTM, Step]:
    """A cell, and a step of it with two gates swapped."""
    cell = LSTM(3, 2, rng=rng, dtype=float)
    for gate in "fio":
        getattr(cell, f"b_{gate}").data = rng.normal(size=2)
    return cell, swapped_step(cell, *rng.choice(list("fio"), 2, replace=False))


def swapped_step(cell: LSTM, a: str, b: str) -> Step:
    """A step of the cell with the gates a and b swapped."""
    other = LSTM(cell.d_in, cell.d_h, rng=0, dtype=float)
    for name, p in other.named_parameters():
        letter, gate = name.split("_")
        source = f"{letter}_{ {a: b, b: a}.get(gate, gate) }"
        p.data = getattr(cell, source).data

    def step(x: Any, state: Any) -> tuple[Any, Any]:
        h, c = other(x, state)[1]
        return h.data, c.data

    return step


def which_two(cell: LSTM, step: Step) -> str:
    """The two gates that are swapped."""
    x, h, c = np.ones(3), np.ones(2), np.ones(2)
    value = {}
    for gate in "fio":
        W, U, b = (getattr(cell, f"{letter}_{gate}") for letter in "WUb")
        value[gate] = sigmoid(x @ W + h @ U + b)
    g = np.tanh(x @ cell.W_g + h @ cell.U_g + cell.b_g)
    seen = step(x, (h, c))[1]
    for names in itertools.permutations("fio"):
        f, i, _ = (value[name] for name in names)
        moved = [gate for gate, name in zip("fio", names) if gate != name]
        if len(moved) == 2 and np.allclose(seen, f * c + i * g):
            return " ".join(moved)
    return "none"


ORDER = "These two are right; write them in the order f, i, o."
SWAP = "Were {0} and {1} swapped, c' would be {2} ⊙ c + {3} ⊙ g. Compute it and compare."

EXERCISES = [
    CellClass(
        id="05.lstm",
        title="Write the LSTM",
        question="Write forward(x, state) of an LSTM with the parameters W_f, U_f, b_f, ...",
        hints=(
            "There are four sums of the same form, three through σ and one through tanh.",
            "f = sigmoid(x @ self.W_f + h @ self.U_f + self.b_f), and so on for i, o and g.",
            "The new memory is f * c + i * g; the new h is o times the tanh of the new memory.",
        ),
        solution=MyLSTM,
        mistakes={
            "The forget and the input gate are swapped in c'.": ("f * c + i * g", "i * c + f * g"),
            "The input and the output gate are swapped.": (
                ("f * c + i * g", "f * c + o * g"),
                ("h = o *", "h = i *"),
            ),
            "The forget and the output gate are swapped.": (
                ("f * c + i * g", "o * c + i * g"),
                ("h = o *", "h = f *"),
            ),
            "The candidate g goes through σ; it goes through tanh, so that it can be negative.": (
                "g = np.tanh(",
                "g = sigmoid(",
            ),
            "The old memory goes into c' whole: it is multiplied by the forget gate f.": (
                "f * c +",
                "c +",
            ),
            "The candidate goes into c' whole: it is multiplied by the input gate i.": (
                "i * g",
                "g",
            ),
            "h' has c' without its tanh.": ("o * np.tanh(c)", "o * c"),
            "h' has no output gate: it is o ⊙ tanh(c').": ("o * np.tanh(c)", "np.tanh(c)"),
            "h' is made from the old memory c; it is made from the new one.": (
                ("c = f * c", "old, c = c, f * c"),
                ("np.tanh(c)", "np.tanh(old)"),
            ),
            "The biases are missing.": (
                (" + self.b_f", ""),
                (" + self.b_i", ""),
                (" + self.b_o", ""),
                (" + self.b_g", ""),
            ),
            "The memory c stands where the sums have the state h.": ("h @", "c @"),
            "The matrices U are transposed.": tuple(
                (f"self.U_{k}", f"self.U_{k}.T") for k in "fiog"
            ),
            "The new state is returned as (c', h'); it is (h', c').": (
                "return h, c",
                "return c, h",
            ),
        },
    ),
    CellClass(
        id="05.gru",
        title="Write the GRU",
        question="Write forward(x, state) of a GRU with the parameters W_z, U_z, b_z, ...",
        hints=(
            "Two gates of the LSTM's form, z and r, and a candidate through tanh.",
            "The reset gate multiplies the old state before the product: (r * h) @ self.U_h.",
            "The new state is (1 - z) * h + z * candidate, and forward returns a tuple of one.",
        ),
        solution=MyGRU,
        mistakes={
            "z and 1 - z are swapped: in the lectures z chooses the candidate.": (
                "(1 - z) * h + z * candidate",
                "z * h + (1 - z) * candidate",
            ),
            "The reset comes after the product, as in PyTorch; here it is (r ⊙ h) U_h.": (
                "(r * h) @ self.U_h",
                "r * (h @ self.U_h)",
            ),
            "The reset gate is missing in the candidate.": ("(r * h) @", "h @"),
            "The reset and the update gate are swapped.": (
                ("z = sig", "Z = sig"),
                ("r = sig", "z = sig"),
                ("Z = sig", "r = sig"),
            ),
            "The candidate goes through σ; it goes through tanh.": (
                "candidate = np.tanh(",
                "candidate = sigmoid(",
            ),
            "The old state goes into h' whole: it is multiplied by 1 - z.": ("(1 - z) * h", "h"),
            "The reset gate multiplies the input too; it multiplies the state alone.": (
                "x @ self.W_h",
                "(r[..., :1] * x) @ self.W_h",
            ),
        },
    ),
    CellClass(
        id="05.coupled",
        title="Couple the gates",
        question="Write an LSTM whose input gate is 1 - f: what is forgotten makes room.",
        hints=(
            "Which line of the LSTM uses i?",
            "Put 1 - f in its place; W_i, U_i and b_i are gone.",
            "c = f * c + (1 - f) * g",
        ),
        solution=Coupled,
        mistakes={
            "f and 1 - f are swapped: f multiplies the old memory.": (
                "f * c + (1 - f) * g",
                "(1 - f) * c + f * g",
            ),
            "The input gate is f itself; it is 1 - f.": ("(1 - f) * g", "f * g"),
            "The candidate goes into c' whole; it is multiplied by 1 - f.": ("(1 - f) * g", "g"),
            "The coupled gate is 1 - o; it is 1 - f.": ("(1 - f)", "(1 - o)"),
            "h' has c' without its tanh.": ("o * np.tanh(c)", "o * c"),
        },
    ),
    Conditions(
        id="05.bit",
        title="Store a bit",
        question="Set the weights of an LSTM(2, 1) so that it stores the value when write is 1.",
        hints=(
            "Large weights make gates of 0 and 1. Which gates must listen to write?",
            "With write at 0, f should be 1 and i 0; with write at 1 the other way round.",
            "b_f = 10, with -20 for write in W_f; b_i = -10, with 20 in W_i; 10 for the value in "
            "W_g; b_o = 10.",
        ),
        solution=storing,
        conditions={
            UNIT: is_unit,
            WRITES: writes,
            KEEPS: keeps,
            OVERWRITES: overwrites,
            SHOWS: shows,
        },
        mistakes={
            UNIT: lambda: LSTM(1, 1),
            WRITES: ("[20.0]]), np.array([-10.0])", "[0.0]]), np.array([-10.0])"),
            KEEPS: ("np.array([10.0])  # shut", "np.array([0.0])  # shut"),
            OVERWRITES: ("[-20.0]]), np.array([10.0])", "[0.0]]), np.array([10.0])"),
            SHOWS: ("cell.b_o.data = np.array([10.0])", "cell.b_o.data = np.array([-10.0])"),
        },
    ),
    Value(
        id="05.swapped",
        title="Which gates are swapped?",
        question=(
            'In cell, step = given("05.swapped") the step has two gates of the cell swapped. '
            'Which, as in "f i", in the order f, i, o?'
        ),
        hints=(
            "Compute the three gates yourself from the cell's weights, for one x, h and c.",
            "c' of step is a gate times c plus a gate times g. Which two gates fit?",
            "f i: i ⊙ c + f ⊙ g. f o: o ⊙ c + i ⊙ g. i o: f ⊙ c + o ⊙ g.",
        ),
        solution=which_two,
        given=draw_swapped,
        mistakes={
            ORDER: lambda cell, step: which_two(cell, step)[::-1],
            SWAP.format("f", "i", "i", "f"): lambda cell, step: "f i",
            SWAP.format("f", "o", "o", "i"): lambda cell, step: "f o",
            SWAP.format("i", "o", "f", "o"): lambda cell, step: "i o",
        },
    ),
]
