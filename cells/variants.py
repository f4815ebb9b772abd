"""Relatives of the LSTM and the GRU, each a class of its own: a variant is another function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import ACTIVATIONS, Parameter, Tensor, layer_norm, scope, sigmoid
from ..checks import check_choice
from .cell import State
from .config import register
from .recurrent import FourGates, GatedCell

Activation = Callable[[Any], Any]


@register
class PeepholeLSTM(FourGates, GatedCell):
    """An LSTM whose gates see the memory.

    ::

        f = σ(x W_f + h U_f + p_f * c + b_f)       forget
        i = σ(x W_i + h U_i + p_i * c + b_i)       input
        g = tanh(x W_g + h U_g + b_g)              candidate
        c' = f * c + i * g
        o = σ(x W_o + h U_o + p_o * c' + b_o)      output: it sees the new memory
        h' = o * tanh(c')

    The state is (h, c). The peepholes p begin at 0, where it is the plain LSTM, and b_f at 1.

    Args: those of ``GatedCell``.

    Source: Gers and Schmidhuber (2000), in the form of Graves (2013): a peephole is a vector, and
    gradients flow through it too.
    """

    same_every_step = True

    def __init__(self, d_in: int, d_h: int, *, dtype: Any = np.float32, **options: Any) -> None:
        super().__init__(d_in, d_h, dtype=dtype, **options)
        self.p_f = Parameter(np.zeros(d_h, dtype))
        self.p_i = Parameter(np.zeros(d_h, dtype))
        self.p_o = Parameter(np.zeros(d_h, dtype))

    def forward(self, x: Any, state: Any) -> State:
        """The equations above."""
        h, c = state
        with scope("forget"):
            f = sigmoid(x @ self.W_f + h @ self.U_f + self.p_f * c + self.b_f)
        with scope("input"):
            i = sigmoid(x @ self.W_i + h @ self.U_i + self.p_i * c + self.b_i)
        with scope("candidate"):
            g = np.tanh(x @ self.W_g + h @ self.U_g + self.b_g)
        c = f * c + i * g
        with scope("output"):
            o = sigmoid(x @ self.W_o + h @ self.U_o + self.p_o * c + self.b_o)
        h = o * np.tanh(c)
        return h, c


@register
class LayerNormLSTM(FourGates, GatedCell):
    """An LSTM whose sums are normalised, so that their scale does not drift over time.

    ::

        f = σ(LN(x W_f; v_f) + LN(h U_f; u_f) + b_f)         forget
        i = σ(LN(x W_i; v_i) + LN(h U_i; u_i) + b_i)         input
        o = σ(LN(x W_o; v_o) + LN(h U_o; u_o) + b_o)         output
        g = tanh(LN(x W_g; v_g) + LN(h U_g; u_g) + b_g)      candidate
        c' = f * c + i * g
        h' = o * tanh(LN(c'; v_c) + b_c)

    LN(a; v) = v * (a - mean(a)) / sqrt(variance(a) + 1e-5). The state is (h, c). The gains v and
    u begin at 1, b_f at 1, the other biases at 0.

    Args: those of ``GatedCell``.

    Source: Ba, Kiros and Hinton (2016), eq. 29 to 31, with two differences: each gate's sum is
    normalised by itself (theirs are the four gates' sums as one vector), and the two biases of a
    gate's two normalisations are one b.
    """

    same_every_step = True

    def __init__(
        self, d_in: int, d_h: int, *, bias: bool = True, dtype: Any = np.float32, **options: Any
    ) -> None:
        super().__init__(d_in, d_h, bias=bias, dtype=dtype, **options)
        for gate in self.gates:
            setattr(self, f"v_{gate}", Parameter(np.ones(d_h, dtype)))
            setattr(self, f"u_{gate}", Parameter(np.ones(d_h, dtype)))
        self.v_c = Parameter(np.ones(d_h, dtype))
        zeros = np.zeros(d_h, dtype)
        self.b_c = Parameter(zeros) if bias else Tensor(zeros, name="0")

    def forward(self, x: Any, state: Any) -> State:
        """The equations above."""
        LN = layer_norm
        h, c = state
        with scope("forget"):
            f = sigmoid(LN(x @ self.W_f, self.v_f) + LN(h @ self.U_f, self.u_f) + self.b_f)
        with scope("input"):
            i = sigmoid(LN(x @ self.W_i, self.v_i) + LN(h @ self.U_i, self.u_i) + self.b_i)
        with scope("output"):
            o = sigmoid(LN(x @ self.W_o, self.v_o) + LN(h @ self.U_o, self.u_o) + self.b_o)
        with scope("candidate"):
            g = np.tanh(LN(x @ self.W_g, self.v_g) + LN(h @ self.U_g, self.u_g) + self.b_g)
        c = f * c + i * g
        h = o * np.tanh(LN(c, self.v_c, self.b_c))
        return h, c


@register
class ResetAfterGRU(GatedCell):
    """The GRU of PyTorch, cuDNN and Keras: the reset after the product, and z keeps the old.

    ::

        z = σ(x W_z + h U_z + b_z)                       update
        r = σ(x W_r + h U_r + b_r)                       reset
        n = tanh(x W_n + b_n + r * (h U_n + c_n))        candidate
        h' = (1 - z) * n + z * h

    The lectures' form is ``GRU``; no choice of weights turns one into the other.

    Args: those of ``GatedCell``.

    Source: Cho et al. (2014) as changed in cuDNN, so that the products of a step need no r.
    """

    same_every_step = True
    gates = ("z", "r", "n")

    def __init__(
        self, d_in: int, d_h: int, *, bias: bool = True, dtype: Any = np.float32, **options: Any
    ) -> None:
        super().__init__(d_in, d_h, bias=bias, dtype=dtype, **options)
        zeros = np.zeros(d_h, dtype)
        self.c_n = Parameter(zeros) if bias else Tensor(zeros, name="0")

    def forward(self, x: Any, state: Any) -> State:
        """The equations above."""
        (h,) = state
        with scope("update"):
            z = sigmoid(x @ self.W_z + h @ self.U_z + self.b_z)
        with scope("reset"):
            r = sigmoid(x @ self.W_r + h @ self.U_r + self.b_r)
        with scope("candidate"):
            n = np.tanh(x @ self.W_n + self.b_n + r * (h @ self.U_n + self.c_n))
        h = (1 - z) * n + z * h
        return (h,)


@register
class MGU(GatedCell):
    """The minimal gated unit: a GRU whose one gate f is update and reset at once.

    ::

        f = σ(x W_f + h U_f + b_f)             forget
        h~ = tanh(x W_h + (f * h) U_h + b_h)   candidate
        h' = (1 - f) * h + f * h~

    b_f begins at 1.

    Args: those of ``GatedCell``.

    Source: Zhou, Wu, Zhang and Zhou (2016).
    """

    same_every_step = True
    gates = ("f", "h")
    ones = ("b_f",)

    def forward(self, x: Any, state: Any) -> State:
        """The equations above."""
        (h,) = state
        with scope("forget"):
            f = sigmoid(x @ self.W_f + h @ self.U_f + self.b_f)
        with scope("candidate"):
            candidate = np.tanh(x @ self.W_h + (f * h) @ self.U_h + self.b_h)
        h = (1 - f) * h + f * candidate
        return (h,)


class Activated:
    """The settings of a cell with other activations than tanh and σ.

    Args:
        d_in, d_h: The widths of the input and of the state.
        activation: φ: a name in ``autograd.ACTIVATIONS``, or a function.
        gate: γ: the same, for the gates.
        **options: Those of ``GatedCell``.
    """

    def __init__(
        self,
        d_in: int,
        d_h: int,
        activation: str | Activation = "tanh",
        gate: str | Activation = "sigmoid",
        **options: Any,
    ) -> None:
        who = type(self).__name__
        for name, value in (("activation", activation), ("gate", gate)):
            if not callable(value):
                check_choice(who, name, value, ACTIVATIONS, "a function")
        self.activation, self.gate = activation, gate
        super().__init__(d_in, d_h, **options)  # type: ignore[call-arg]

    def functions(self) -> tuple[Activation, Activation]:
        """φ and γ."""
        both = (self.activation, self.gate)
        phi, gamma = (f if callable(f) else ACTIVATIONS[f] for f in both)
        return phi, gamma


@register
class ActivatedLSTM(Activated, FourGates, GatedCell):
    """An LSTM with other activations, as in Keras's ``LSTM(activation="relu")``.

    ::

        f = γ(x W_f + h U_f + b_f)         forget
        i = γ(x W_i + h U_i + b_i)         input
        o = γ(x W_o + h U_o + b_o)         output
        g = φ(x W_g + h U_g + b_g)         candidate
        c' = f * c + i * g
        h' = o * φ(c')

    The state is (h, c). With a φ that is not bounded, c and h may grow without bound.

    Args: those of ``Activated``.

    Source: Hochreiter and Schmidhuber (1997), whose g and h are other functions than tanh too.
    """

    same_every_step = True

    def forward(self, x: Any, state: Any) -> State:
        """The equations above."""
        h, c = state
        phi, gamma = self.functions()
        with scope("forget"):
            f = gamma(x @ self.W_f + h @ self.U_f + self.b_f)
        with scope("input"):
            i = gamma(x @ self.W_i + h @ self.U_i + self.b_i)
        with scope("output"):
            o = gamma(x @ self.W_o + h @ self.U_o + self.b_o)
        with scope("candidate"):
            g = phi(x @ self.W_g + h @ self.U_g + self.b_g)
        c = f * c + i * g
        h = o * phi(c)
        return h, c


@register
class ActivatedGRU(Activated, ResetAfterGRU):
    """A ``ResetAfterGRU`` with other activations, as in Keras's ``GRU(activation="relu")``.

    ::

        z = γ(x W_z + h U_z + b_z)                       update
        r = γ(x W_r + h U_r + b_r)                       reset
        n = φ(x W_n + b_n + r * (h U_n + c_n))           candidate
        h' = (1 - z) * n + z * h

    Args: those of ``Activated``.

    Source: as of ``ResetAfterGRU``.
    """

    same_every_step = True

    def forward(self, x: Any, state: Any) -> State:
        """The equations above."""
        (h,) = state
        phi, gamma = self.functions()
        with scope("update"):
            z = gamma(x @ self.W_z + h @ self.U_z + self.b_z)
        with scope("reset"):
            r = gamma(x @ self.W_r + h @ self.U_r + self.b_r)
        with scope("candidate"):
            n = phi(x @ self.W_n + self.b_n + r * (h @ self.U_n + self.c_n))
        h = (1 - z) * n + z * h
        return (h,)
