"""The cells of the lectures, written as their equations: Elman, LSTM, GRU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import ACTIVATIONS, Parameter, Tensor, scope, sigmoid
from ..checks import check_choice, check_int
from .cell import Cell, State
from .config import register
from .initial import Initialiser, initialiser

# Names of ACTIVATIONS, the lectures' first; a softmax is no function of single elements.
USUAL = ("tanh", "relu", "sigmoid", "identity")
ELEMENTWISE = (
    *USUAL,
    *(name for name in ACTIVATIONS if name not in (*USUAL, "softmax", "log_softmax")),
)


def suffixed(letter: str, gate: str) -> str:
    """W_f of W and f, W of W alone."""
    return f"{letter}_{gate}" if gate else letter


class GatedCell(Cell):
    """Base of cells that have a W, U and b for each of their gates.

    A subclass names its ``gates`` ("" for a cell that is one equation) and writes ``forward``.
    Without biases b is a constant 0, so that the equations stay as they are.

    Args:
        d_in: The width of the input.
        d_h: The width of each state.
        bias: Whether there are biases. They begin at 0, those in ``ones`` at 1.
        rng: A Generator, a seed, or None, for the weights.
        dtype: Of the parameters.
        W_init: The initialiser of every W (d_in, d_h): "orthogonal", "uniform", "identity",
            "zeros", "glorot_uniform", "glorot_normal", ``"he_..."``, ``"lecun_..."``, or a
            function of (rng, d_in, d_out, dtype).
        U_init: The initialiser of every U (d_h, d_h).
    """

    gates: tuple[str, ...] = ()
    ones: tuple[str, ...] = ()

    if TYPE_CHECKING:  # W_f, U_f, b_f, ...

        def __getattr__(self, name: str) -> Tensor: ...

    def __init__(
        self,
        d_in: int,
        d_h: int,
        *,
        bias: bool = True,
        rng: Any = None,
        dtype: Any = np.float32,
        W_init: str | Initialiser = "glorot_uniform",
        U_init: str | Initialiser = "orthogonal",
    ) -> None:
        who = type(self).__name__
        self.d_in, self.d_h = check_int(who, "d_in", d_in), check_int(who, "d_h", d_h)
        rng = np.random.default_rng(rng)
        make_W, make_U = initialiser(W_init), initialiser(U_init)
        for gate in self.gates:
            W, U, b = (suffixed(letter, gate) for letter in "WUb")
            setattr(self, W, Parameter(make_W(rng, d_in, d_h, dtype)))
            setattr(self, U, Parameter(make_U(rng, d_h, d_h, dtype)))
            start = np.full(d_h, float(bias and b in self.ones), dtype)
            setattr(self, b, Parameter(start) if bias else Tensor(start, name="0"))


@register
class Elman(GatedCell):
    """The simple recurrent network: h' = g(x W + h U + b).

    Args:
        d_in: The width of the input.
        d_h: The width of the hidden state h.
        activation: g: "tanh", "relu", "sigmoid", "identity", or another name in
            ``autograd.ACTIVATIONS``.
        **options: ``bias``, ``rng``, ``dtype``, ``W_init``, ``U_init`` as in ``GatedCell``.

    Source: Elman (1990); the lectures' h_t = g(U h_{t-1} + W x_t), with row vectors here.
    """

    same_every_step = True
    gates = ("",)
    activations = ELEMENTWISE

    def __init__(self, d_in: int, d_h: int, activation: str = "tanh", **options: Any) -> None:
        self.activation = check_choice("Elman", "activation", activation, self.activations)
        super().__init__(d_in, d_h, **options)

    def forward(self, x: Any, state: Any) -> State:
        """h' = g(x W + h U + b)."""
        (h,) = state
        g = ACTIVATIONS[self.activation]
        h = g(x @ self.W + h @ self.U + self.b)
        return (h,)


class FourGates:
    """The LSTMs' gates f, i, o and candidate g, and their state (h, c); b_f begins at 1."""

    states: tuple[str, ...] = ("h", "c")
    gates: tuple[str, ...] = ("f", "i", "o", "g")
    ones: tuple[str, ...] = ("b_f",)


@register
class LSTM(FourGates, GatedCell):
    """Long short-term memory, with a forget gate and without peepholes.

    ::

        f = σ(x W_f + h U_f + b_f)         forget: what stays of the memory c
        i = σ(x W_i + h U_i + b_i)         input: what is added to it
        o = σ(x W_o + h U_o + b_o)         output: what is shown of it
        g = tanh(x W_g + h U_g + b_g)      candidate
        c' = f * c + i * g
        h' = o * tanh(c')

    The state is (h, c). The lectures write k = f * c and j = i * g. b_f begins at 1, so that a
    new cell remembers (Gers et al. 2000; Jozefowicz et al. 2015); the other biases at 0.

    Args: those of ``GatedCell``.

    Source: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).
    """

    same_every_step = True

    def forward(self, x: Any, state: Any) -> State:
        """The equations above."""
        h, c = state
        with scope("forget"):
            f = sigmoid(x @ self.W_f + h @ self.U_f + self.b_f)
        with scope("input"):
            i = sigmoid(x @ self.W_i + h @ self.U_i + self.b_i)
        with scope("output"):
            o = sigmoid(x @ self.W_o + h @ self.U_o + self.b_o)
        with scope("candidate"):
            g = np.tanh(x @ self.W_g + h @ self.U_g + self.b_g)
        k, j = f * c, i * g
        k.name, j.name = "k", "j"  # as the lectures call them
        c = k + j
        h = o * np.tanh(c)
        return h, c


@register
class GRU(GatedCell):
    """The gated recurrent unit, with the reset before the product.

    ::

        z = σ(x W_z + h U_z + b_z)             update
        r = σ(x W_r + h U_r + b_r)             reset
        h~ = tanh(x W_h + (r * h) U_h + b_h)   candidate
        h' = (1 - z) * h + z * h~

    PyTorch, cuDNN and Keras compute another function: there the reset comes after the product
    and z keeps the old state. That one is ``ResetAfterGRU``.

    Args: those of ``GatedCell``.

    Source: Cho et al. (2014) in the form of Chung et al. (2014), as in the lectures.
    """

    same_every_step = True
    gates = ("z", "r", "h")

    def forward(self, x: Any, state: Any) -> State:
        """The equations above."""
        (h,) = state
        with scope("update"):
            z = sigmoid(x @ self.W_z + h @ self.U_z + self.b_z)
        with scope("reset"):
            r = sigmoid(x @ self.W_r + h @ self.U_r + self.b_r)
        with scope("candidate"):
            candidate = np.tanh(x @ self.W_h + (r * h) @ self.U_h + self.b_h)
        h = (1 - z) * h + z * candidate
        return (h,)
