"""Initial values of weights, by their names in the literature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice

Generator = np.random.Generator
Initialiser: TypeAlias = Callable[[Generator, int, int, Any], NDArray[Any]]


def glorot_uniform(rng: Generator, d_in: int, d_out: int, dtype: Any = np.float32) -> NDArray[Any]:
    """Uniform in ±sqrt(6 / (d_in + d_out)) (Glorot and Bengio 2010); Keras's default for W."""
    limit = np.sqrt(6.0 / max(d_in + d_out, 1))
    return rng.uniform(-limit, limit, (d_in, d_out)).astype(dtype)


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


INITIALISERS: dict[str, Initialiser] = {
    function.__name__: function
    for function in (glorot_uniform, orthogonal, uniform, identity, zeros)
}


def initialiser(name: str | Initialiser) -> Initialiser:
    """The initialiser of this name; a function of ``(rng, d_in, d_out, dtype)`` is returned."""
    if callable(name):
        return name
    return INITIALISERS[check_choice("GatedCell", "an initialiser", name, INITIALISERS)]
