"""Initialisers by Keras's names: functions of a shape, over those of ``unspool.cells``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cells import INITIALISERS, Configured, register, truncated_normal
from ...checks import check_choice, describe_received
from .session import floatx, generator, plain

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "Zeros",
    "get",
]

Array = NDArray[Any]
Shape = Sequence[int]


class Initializer(Configured):
    """Base: ``initializer(shape)`` gives an array; a subclass defines ``draw``.

    Args:
        seed: Each call gives the numbers of this seed; None for those of the layer's ``rng``.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Numbers of a shape."""
        raise NotImplementedError(f"{type(self).__name__} defines no draw(rng, shape)")

    def __call__(self, shape: Shape, dtype: Any = None, rng: Any = None) -> Array:
        """An array of a shape and dtype."""
        chosen = generator(rng if self.seed is None else self.seed)
        return np.asarray(self.draw(chosen, tuple(shape)), dtype or floatx())


class Constant(Initializer):
    """One number, or an array of the weight's shape."""

    def __init__(self, value: Any = 0.0) -> None:
        super().__init__()
        self.value = value

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """The value, broadcast."""
        value = plain(self.value)
        if value.ndim and value.shape != shape:
            raise ValueError(f"Constant: expected values {shape}, got {value.shape}")
        return np.broadcast_to(value, shape).copy()


class Zeros(Initializer):
    """Zeros."""

    def __init__(self) -> None:
        super().__init__()

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Zeros."""
        return np.zeros(shape)


class Ones(Initializer):
    """Ones."""

    def __init__(self) -> None:
        super().__init__()

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Ones."""
        return np.ones(shape)


class RandomUniform(Initializer):
    """Uniform from ``minval`` to ``maxval``."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Uniform numbers."""
        return rng.uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Normal."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Normal numbers."""
        return self.mean + self.stddev * rng.standard_normal(shape)


class TruncatedNormal(RandomNormal):
    """Normal, drawn again where more than two standard deviations from the mean."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Normal numbers, truncated; ``stddev`` is that before truncation."""
        cut = truncated_normal(rng, shape) * 0.8796256610342398
        return self.mean + self.stddev * cut


class Matrix(Initializer):
    """Base of the initialisers that ``unspool.cells`` has for a matrix.

    For a weight of more axes, such as a convolution's (width, features, filters), the widths are
    width * features and width * filters: Keras's fans.
    """

    function: Callable[..., Array]

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """The matrix in the weight's shape."""
        *window, d_in, d_out = shape if len(shape) > 1 else (math.prod(shape),) * 2
        width = math.prod(window)
        return type(self).function(rng, width * d_in, width * d_out, np.float64, shape)


class GlorotUniform(Matrix):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)): the default."""

    function = staticmethod(INITIALISERS["glorot_uniform"])


class GlorotNormal(Matrix):
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    function = staticmethod(INITIALISERS["glorot_normal"])


class HeUniform(Matrix):
    """Uniform in ±sqrt(6 / fan_in), for relu."""

    function = staticmethod(INITIALISERS["he_uniform"])


class HeNormal(Matrix):
    """Truncated normal of variance 2 / fan_in, for relu."""

    function = staticmethod(INITIALISERS["he_normal"])


class LecunUniform(Matrix):
    """Uniform in ±sqrt(3 / fan_in), for selu."""

    function = staticmethod(INITIALISERS["lecun_uniform"])


class LecunNormal(Matrix):
    """Truncated normal of variance 1 / fan_in, for selu."""

    function = staticmethod(INITIALISERS["lecun_normal"])


class Orthogonal(Initializer):
    """Orthonormal rows or columns, times ``gain``; the default of recurrent kernels."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """All axes but the last are rows."""
        flat = INITIALISERS["orthogonal"](rng, math.prod(shape[:-1]), shape[-1], np.float64)
        return self.gain * flat.reshape(shape)


class Identity(Initializer):
    """Ones on the diagonal, times ``gain``; for several gates only the first gate's is one."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """The matrix."""
        if len(shape) != 2:
            raise ValueError(f"Identity: is for matrices, got the shape {shape}")
        return self.gain * INITIALISERS["identity"](rng, *shape, np.float64)


KINDS: list[type[Initializer]] = [
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    Zeros,
]
for _kind in KINDS:
    register(_kind, f"keras.{_kind.__name__}")
NAMES: dict[str, type[Initializer]] = {
    "constant": Constant,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "identity": Identity,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
    "normal": RandomNormal,
    "one": Ones,
    "ones": Ones,
    "orthogonal": Orthogonal,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "uniform": RandomUniform,
    "zero": Zeros,
    "zeros": Zeros,
}


def get(identifier: Any, who: str = "initializers.get") -> Callable[..., Array]:
    """The initialiser of a name; an Initializer; or a function of ``(shape, dtype)``."""
    if isinstance(identifier, str):
        known = {kind.__name__: kind for kind in KINDS} | NAMES
        return known[check_choice(who, "initializer", identifier, known, "a function")]()
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier):
        return lambda shape, dtype=None, rng=None: np.asarray(
            plain(identifier(shape, dtype=dtype)), dtype
        )
    raise TypeError(
        f"{who}: expected the name of an initialiser, such as 'glorot_uniform', or an object of "
        f"keras.initializers, got {describe_received(identifier)}"
    )
