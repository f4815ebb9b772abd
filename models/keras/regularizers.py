"""Regularisers: terms of the weights that are added to the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...cells import Configured, register
from ...checks import check_choice, check_float, describe_received

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]

Penalty = Callable[[Any], Any]


class Regularizer(Configured):
    """Base: ``regularizer(weight)`` is a number, to be added to the loss."""

    def __call__(self, x: Any) -> Any:
        """The term of a weight."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(x)")


class L1L2(Regularizer):
    """l1 Σ|w| + l2 Σw²."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = check_float(type(self).__name__, "l1", l1 or 0.0, least=0)
        self.l2 = check_float(type(self).__name__, "l2", l2 or 0.0, least=0)

    def __call__(self, x: Any) -> Any:
        """The term of a weight."""
        total: Any = 0.0
        if self.l1:
            total = total + self.l1 * np.sum(np.abs(x))
        if self.l2:
            total = total + self.l2 * np.sum(x * x)
        return total


class L1(L1L2):
    """l1 Σ|w|."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """l2 Σw²."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """L1L2 with the defaults of its name in small letters."""
    return L1L2(l1, l2)


l1, l2 = L1, L2
for _kind in (L1L2, L1, L2):
    register(_kind, f"keras.{_kind.__name__}")
NAMES: dict[str, Callable[[], L1L2]] = {
    "L1": L1,
    "L1L2": l1_l2,
    "L2": L2,
    "l1": L1,
    "l1_l2": l1_l2,
    "l2": L2,
}


def get(identifier: Any, who: str = "regularizers.get") -> Penalty | None:
    """The regulariser of a name; a function itself; None for none."""
    if identifier is None or callable(identifier):
        return identifier
    if isinstance(identifier, str):
        return NAMES[check_choice(who, "regularizer", identifier, NAMES, "a function or None")]()
    raise TypeError(
        f"{who}: expected 'l2', an object of keras.regularizers, a function or None, got "
        f"{describe_received(identifier)}"
    )
