"""What the layers of a program share: the default dtype, random numbers, and names."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from ...autograd import Tensor, values
from ...checks import check_choice


class Session:
    """The state of this process.

    Attributes:
        rng: Random numbers of layers and models that were given none.
        dtype: Of layers and models that were given none.
        names: How many layers of each kind were named so far.
    """

    def __init__(self) -> None:
        self.rng = np.random.default_rng()
        self.dtype = "float32"
        self.names: Counter[str] = Counter()


SESSION = Session()


def set_random_seed(seed: int) -> None:
    """Begin the random numbers anew: of weights, of dropout, and of the order of the data.

    It is for what was not given ``rng=``; other parts of unspool have no global seed.
    """
    # In place, as layers hold the Generator.
    SESSION.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state


def generator(rng: Any = None) -> np.random.Generator:
    """The Generator of an ``rng`` or seed; None is the session's."""
    return SESSION.rng if rng is None else np.random.default_rng(rng)


def floatx() -> str:
    """The default dtype, "float32" unless ``set_floatx`` was called."""
    return SESSION.dtype


def set_floatx(value: str) -> None:
    """Change the default dtype of the layers that are created from now on."""
    SESSION.dtype = check_choice("set_floatx", "value", value, ("float16", "float32", "float64"))


def epsilon() -> float:
    """1e-7, the distance of clipped probabilities from 0 and 1."""
    return 1e-7


def clear_session() -> None:
    """Count the names of layers from the beginning: dense, dense_1, ..."""
    SESSION.names.clear()


def snake_case(name: str) -> str:
    """TimeDistributed as time_distributed, GlobalMaxPooling1D as global_max_pooling1d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


class CountedName(str):
    """A layer's name that was not given to it: the number in it counts those of its ``kind``."""

    kind: str
    number: int

    def __new__(cls, kind: str, number: int) -> CountedName:  # noqa: D102
        self = super().__new__(cls, f"{kind}_{number}" if number else kind)
        self.kind, self.number = kind, number
        return self

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override]
        return self.kind, self.number


def new_name(kind: str) -> CountedName:
    """A name for a layer of a class: dense, dense_1, ..."""
    name = snake_case(kind)
    SESSION.names[name] += 1
    return CountedName(name, SESSION.names[name] - 1)


def plain(x: Any) -> np.ndarray[Any, Any]:
    """A Tensor, array or list as an array."""
    return np.asarray(x.data if isinstance(x, Tensor) else values(x))
