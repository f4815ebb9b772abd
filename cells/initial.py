"""Initial values of weights, by their names in the literature.

Those that depend on the widths take a ``shape`` too, for weights of more axes than (d_in, d_out).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice

Generator = np.random.Generator
Shape = tuple[int, ...]
Initialiser: TypeAlias = Callable[[Generator, int, int, Any], NDArray[Any]]


def glorot_uniform(
    rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32, shape: Shape | None = None
) -> NDArray[Any]:
    """Uniform in ±sqrt(6 / (d_in + d_out)) (Glorot and Bengio 2010); Keras's default for W."""
    return within(rng, 6.0 / max(d_in + d_out, 1), shape or (d_in, d_out), dtype)


def glorot_normal(
    rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32, shape: Shape | None = None
) -> NDArray[Any]:
    """Truncated normal of variance 2 / (d_in + d_out) (Glorot and Bengio 2010)."""
    return normal(rng, 2.0 / max(d_in + d_out, 1), shape or (d_in, d_out), dtype)


def he_uniform(
    rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32, shape: Shape | None = None
) -> NDArray[Any]:
    """Uniform in ±sqrt(6 / d_in), for relu (He et al. 2015)."""
    return within(rng, 6.0 / max(d_in, 1), shape or (d_in, d_out), dtype)


def he_normal(
    rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32, shape: Shape | None = None
) -> NDArray[Any]:
    """Truncated normal of variance 2 / d_in, for relu (He et al. 2015)."""
    return normal(rng, 2.0 / max(d_in, 1), shape or (d_in, d_out), dtype)


def lecun_uniform(
    rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32, shape: Shape | None = None
) -> NDArray[Any]:
    """Uniform in ±sqrt(3 / d_in), for selu (LeCun et al. 1998)."""
    return within(rng, 3.0 / max(d_in, 1), shape or (d_in, d_out), dtype)


def lecun_normal(
    rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32, shape: Shape | None = None
) -> NDArray[Any]:
    """Truncated normal of variance 1 / d_in, for selu (LeCun et al. 1998)."""
    return normal(rng, 1.0 / max(d_in, 1), shape or (d_in, d_out), dtype)


def within(rng: Generator, square: float, shape: Shape, dtype: Any) -> NDArray[Any]:
    """Uniform in ±sqrt(square)."""
    limit = np.sqrt(square)
    return rng.uniform(-limit, limit, shape).astype(dtype)


def normal(rng: Generator, variance: float, shape: Shape, dtype: Any) -> NDArray[Any]:
    """Truncated normal of a variance."""
    return (truncated_normal(rng, shape) * np.sqrt(variance)).astype(dtype)


def truncated_normal(rng: Generator, shape: Shape) -> NDArray[Any]:
    """Normal numbers within two standard deviations, scaled to variance 1."""
    numbers = rng.standard_normal(shape)
    while (outside := np.abs(numbers) > 2).any():
        numbers[outside] = rng.standard_normal((int(outside.sum()),))
    return np.asarray(numbers / 0.8796256610342398)  # the deviation of a normal cut at ±2


def orthogonal(rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32) -> NDArray[Any]:
    """A matrix with orthonormal rows or columns (Saxe et al. 2014); Keras's default for U."""
    tall = rng.standard_normal((max(d_in, d_out), min(d_in, d_out)))
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diag(r) < 0, -1, 1)  # else not uniform over the orthogonal matrices
    return (q if d_in >= d_out else q.T).astype(dtype)


def uniform(rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Uniform in ±1/sqrt(d_out); PyTorch's default for recurrent layers."""
    limit = 1.0 / np.sqrt(max(d_out, 1))
    return rng.uniform(-limit, limit, (d_in, d_out)).astype(dtype)


def identity(rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Ones on the diagonal, for the U of an Elman network with relu (Le, Jaitly, Hinton 2015)."""
    return np.eye(d_in, d_out, dtype=dtype)


def zeros(rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Zeros: gates that begin half open."""
    return np.zeros((d_in, d_out), dtype)


# Nonlinearity -> the factor that keeps the variance of the activations from layer to layer.
GAINS = {
    "identity": 1.0,
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": np.sqrt(2.0),
    "leaky_relu": np.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, slope: float = 0.01) -> float:
    """The factor for the standard deviation of weights before a nonlinearity.

    Args:
        nonlinearity: "identity" (or "linear"), "sigmoid", "tanh", "relu", "leaky_relu", "selu".
        slope: That of leaky_relu below 0: its gain is sqrt(2 / (1 + slope²)).

    Returns:
        PyTorch's numbers (Glorot and Bengio 2010; He et al. 2015).

    Example:
        >>> calculate_gain("tanh")
        1.6666666666666667
    """
    gain = float(GAINS[check_choice("calculate_gain", "the nonlinearity", nonlinearity, GAINS)])
    return gain / float(np.sqrt(1 + slope**2)) if nonlinearity == "leaky_relu" else gain


# Initial weights by name, each a function of (rng, d_in, d_out, dtype).
INITIALISERS: dict[str, Initialiser] = {
    function.__name__: function
    for function in (
        glorot_uniform,
        glorot_normal,
        he_uniform,
        he_normal,
        lecun_uniform,
        lecun_normal,
        orthogonal,
        uniform,
        identity,
        zeros,
    )
}


def initialiser(name: str | Initialiser) -> Initialiser:
    """The initialiser of this name; a function of ``(rng, d_in, d_out, dtype)`` is returned."""
    if callable(name):
        return name
    return INITIALISERS[check_choice("GatedCell", "an initialiser", name, INITIALISERS)]
