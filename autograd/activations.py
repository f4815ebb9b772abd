"""Activations: the functions between the layers, and those that normalise over an axis.

Each is an op, a NumPy forward beside its gradient rule, and a function that applies it. Given
arrays only, a function returns an array and records nothing. Defaults are PyTorch's; the last
axis is the one that is normalised. ``ACTIVATIONS`` finds them by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks import check_choice
from .arguments import floats, wide
from .context import scope
from .tensor import Array, Op, apply, operand, values

__all__ = [
    "ACTIVATIONS",
    "elu",
    "erf",
    "gelu",
    "hard_sigmoid",
    "hardtanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mish",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
]

inf = np.inf

# Elementwise --------------------------------------------------------------------------------


# 0-d arrays of the operands' dtypes: NumPy takes twice as long over a Python number.
_CAP = {c: np.array(11 if c == "e" else 80, c) for c in "efdg"}  # exp(12) is no float16
_ONE = {c: np.array(1, c) for c in "efdg"}


def _sigmoid(x: Array) -> Array:
    x = floats(x)
    return _sigmoid_into(x, np.empty(x.shape, x.dtype))


def _sigmoid_into(x: Array, out: Array) -> Array:
    # e/(1+e) with e = exp(x) is exact also for tiny results; from x = 80 on it is 1.
    char = out.dtype.char
    e = np.empty(out.shape, char)  # compact, where out may be some columns of an array
    np.minimum(x, _CAP[char], out=e)
    np.exp(e, e)
    return np.divide(e, e + _ONE[char], out)


# The op that ``sigmoid`` records.
SIGMOID = Op(
    "sigmoid", _sigmoid, (lambda g, y, x: g * (y - y * y),), pointwise=True, into=_sigmoid_into
)
RELU = Op(
    "relu",
    lambda x: np.maximum(x, 0),
    (lambda g, y, x: g * (values(y) > 0),),
    pointwise=True,
    into=lambda x, out: np.maximum(x, 0, out=out),
)
LEAKY_RELU = Op(
    "leaky_relu",
    lambda x, slope: np.where(x > 0, x, x * slope),
    (lambda g, y, x, slope: np.where(values(x) > 0, g, g * slope),),
    pointwise=True,
)
ELU = Op(
    "elu",
    lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    (lambda g, y, x, alpha: np.where(values(x) > 0, g, g * alpha * np.exp(np.minimum(x, 0))),),
    pointwise=True,
)
SOFTPLUS = Op(
    "softplus", lambda x: np.logaddexp(x, 0), (lambda g, y, x: g * sigmoid(x),), pointwise=True
)
LOG_SIGMOID = Op(
    "log_sigmoid",
    lambda x: -np.logaddexp(-x, 0),
    (lambda g, y, x: g * sigmoid(-x),),
    pointwise=True,
)
SILU = Op(
    "silu",
    lambda x: x * _sigmoid(x),
    (lambda g, y, x: g * sigmoid(x) * (1 + x * sigmoid(-x)),),
    pointwise=True,
)
HARD_SIGMOID = Op(
    "hard_sigmoid",
    lambda x: np.clip(x / 6 + 0.5, 0, 1),
    (lambda g, y, x: np.where(abs(values(x)) < 3, g / 6, 0),),
    pointwise=True,
)
HARDTANH = Op(
    "hardtanh",
    lambda x, low, high: np.clip(x, low, high),
    (lambda g, y, x, low, high: np.where((values(x) > low) & (values(x) < high), g, 0),),
    pointwise=True,
)
SOFTSIGN = Op(
    "softsign",
    lambda x: x / (1 + abs(x)),
    (lambda g, y, x: g / (1 + abs(x)) / (1 + abs(x)),),  # its square could overflow
    pointwise=True,
)
_erf_of_numbers = np.frompyfunc(math.erf, 1, 1)

# Cody 1969: erf(x) / x as a ratio of polynomials of x², and erfc(x) exp(x²) as one of x, highest
# power first.
_ERF_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
     2.84423683343917062e3),
)  # fmt: skip
_ERFC_FAR = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
     1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3,
     1.23033935480374942e3),
)  # fmt: skip


def _ratio(x: Array, over: tuple[float, ...], under: tuple[float, ...]) -> Array:
    p, q = over[0] * x + over[1], under[0] * x + under[1]
    for a, b in zip(over[2:], under[2:], strict=True):
        p *= x
        p += a
        q *= x
        q += b
    p /= q
    return p


def _erf(x: Array) -> Array:
    if x.size < 500:  # below this size the vectorised calls are slower than math.erf
        return np.asarray(_erf_of_numbers(x), x.dtype)
    at = np.clip(x, -6, 6).astype(np.float64)  # erf(6) is 1 to the last bit
    size, square = abs(at), at * at
    near = at * _ratio(square, *_ERF_NEAR)
    far = 1 - np.exp(-square) * _ratio(size, *_ERFC_FAR)
    return np.where(size <= 0.46875, near, np.copysign(far, at)).astype(x.dtype)


def _erf_rule(g: Any, y: Any, x: Any) -> Any:
    x = np.clip(x, -40, 40)  # exp(-40²) is 0 already, and larger squares could overflow
    return g * np.exp(-x * x) * (2 / math.sqrt(math.pi))


ERF = Op("erf", _erf, (_erf_rule,), pointwise=True)


def sigmoid(x: Any) -> Any:
    """The logistic function 1 / (1 + exp(-x)), to full relative precision at every x."""
    return apply(SIGMOID, (x,))


def relu(x: Any) -> Any:
    """max(x, 0); the gradient at 0 is 0."""
    return apply(RELU, (operand(x),))


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x where x > 0, else ``slope * x``."""
    return apply(LEAKY_RELU, (floats(x),), {"slope": slope})


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2016)."""
    return apply(ELU, (floats(x),), {"alpha": alpha})


def silu(x: Any) -> Any:
    """x * sigmoid(x), also called swish."""
    return apply(SILU, (floats(x),))


def erf(x: Any) -> Any:
    """The error function."""
    return apply(ERF, (floats(x),))


def gelu(x: Any, approximate: str = "none") -> Any:
    """x * Φ(x) with the normal distribution's Φ (Hendrycks and Gimpel 2016).

    Args:
        x: Numbers of any shape.
        approximate: ``"none"`` for the exact Φ, or ``"tanh"`` for the paper's
            Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, which GPT-2 uses.
    """
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    x = floats(x)
    with scope("gelu"):
        if approximate == "tanh":
            u = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
            return x * (np.tanh(u) * 0.5 + 0.5)
        return x * (erf(x * math.sqrt(0.5)) * 0.5 + 0.5)


# Klambauer et al. 2017: with these, mean 0 and variance 1 go on from layer to layer.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def selu(x: Any) -> Any:
    """``scale * elu(x, alpha)``, which keeps mean 0 and variance 1 (Klambauer et al. 2017)."""
    with scope("selu"):
        return elu(x, _SELU_ALPHA) * _SELU_SCALE


def mish(x: Any) -> Any:
    """x * tanh(softplus(x)) (Misra 2019)."""
    x = floats(x)
    with scope("mish"):
        return x * np.tanh(softplus(x))


def softsign(x: Any) -> Any:
    """x / (1 + abs(x))."""
    return apply(SOFTSIGN, (floats(x),))


def hardtanh(x: Any, low: float = -1.0, high: float = 1.0) -> Any:
    """clip(x, low, high); at the bounds the gradient is 0, as PyTorch has it."""
    return apply(HARDTANH, (floats(x),), {"low": low, "high": high})


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), exact at every x."""
    return apply(SOFTPLUS, (floats(x),))


def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)), exact at every x."""
    return apply(LOG_SIGMOID, (floats(x),))


def hard_sigmoid(x: Any) -> Any:
    """clip(x / 6 + 1/2, 0, 1)."""
    return apply(HARD_SIGMOID, (floats(x),))


# Normalisation over an axis ----------------------------------------------------------------------


def _shifted(x: Array, axis: int | tuple[int, ...]) -> tuple[Array, Array]:
    top = x.max(axis, keepdims=True, initial=-inf)
    top = np.where(np.isfinite(top), top, 0)  # a row of -inf has no maximum to subtract
    return np.asarray(x - top), top  # 0-d differences are numbers, without out=


def _softmax(x: Array, axis: int) -> Array:
    e, _ = _shifted(x, axis)
    np.exp(e, out=e)
    e /= e.sum(axis, keepdims=True)
    return e


def _logsumexp(x: Array, axis: int | tuple[int, ...], keepdims: bool) -> Array:
    e, top = _shifted(x, axis)
    total = np.exp(e, out=e).sum(axis, keepdims=True)
    empty = total == 0  # an empty sum: its logarithm is -inf, without a warning
    out = np.where(empty, -inf, np.log(np.where(empty, 1, total))) + top
    return out if keepdims else out.squeeze(axis)


def log_softmax_forward(x: Array, axis: int) -> Array:
    """Log-softmax of an array, without an overflow: x less its logsumexp."""
    e, _ = _shifted(x, axis)
    if e.size:  # else the logarithm of an empty sum
        e -= np.log(np.exp(e).sum(axis, keepdims=True))
    return e


def _logsumexp_rule(g: Any, y: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    if not keepdims:
        g, y = np.expand_dims(g, axis), np.expand_dims(y, axis)
    # Dividing by the sum cancels the rounding of y, an error of 6e-5 at 1000 in float32.
    p = np.exp(x - np.where(values(y) == -inf, 0, values(y)))
    total = np.sum(p, axis=axis, keepdims=True)
    # For a row of -inf the sum is 0, and for one with inf NaN, as that element's p is.
    return g * (p / np.where(values(total) > 0, total, 1))


# The op that ``softmax`` records.
SOFTMAX = Op(
    "softmax", _softmax, (lambda g, y, x, axis: y * (g - (g * y).sum(axis, keepdims=True)),)
)
LOG_SOFTMAX = Op(
    "log_softmax",
    log_softmax_forward,
    (lambda g, y, x, axis: g - np.exp(y) * g.sum(axis, keepdims=True),),
)
LOGSUMEXP = Op("logsumexp", _logsumexp, (_logsumexp_rule,))


def _normalised(op: Op, x: Any, axis: Any, **options: Any) -> Any:
    x = floats(x)
    if not x.ndim and axis in (-1, 0):  # as NumPy's sum and max have it
        axis = ()
    y = apply(op, (wide(x),), {"axis": axis, **options})
    return y if x.dtype == y.dtype else y.astype(x.dtype)


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / Σ exp(x) along an axis; 0 at -inf. A row of -inf only is NaN."""
    return _normalised(SOFTMAX, x, axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - logsumexp(x) along an axis."""
    return _normalised(LOG_SOFTMAX, x, axis)


def logsumexp(x: Any, axis: int | tuple[int, ...] = -1, keepdims: bool = False) -> Any:
    """log Σ exp(x) along an axis (or several), -inf for a row of nothing but -inf.

    ``keepdims`` keeps these axes with length 1, as in ``np.sum``.
    """
    return _normalised(LOGSUMEXP, x, axis, keepdims=keepdims)


# Name -> function of one array: the activations that layers and cells choose by name.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "elu": elu,
    "gelu": gelu,
    "hard_sigmoid": hard_sigmoid,
    "hardtanh": hardtanh,
    "identity": lambda x: x,
    "leaky_relu": leaky_relu,
    "log_sigmoid": log_sigmoid,
    "log_softmax": log_softmax,
    "mish": mish,
    "relu": relu,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "tanh": np.tanh,
}
