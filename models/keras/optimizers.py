"""Keras's optimisers: its names of settings and its defaults over those of ``unspool.models``.

Each function returns a value for ``compile(optimizer=)``: a function from the parameters to an
Optimizer. ε is placed as in the rules there, for RMSprop outside the root.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...autograd import Parameter
from ..training import optim
from ..training.optim import Optimizer

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "RMSprop"]

Factory = Callable[[list[Parameter]], Optimizer]


def SGD(learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> Factory:
    """Gradient descent, with momentum if that is above 0."""
    return partial(optim.SGD, lr=learning_rate, momentum=momentum, nesterov=nesterov)


def RMSprop(
    learning_rate: float = 0.001,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
) -> Factory:
    """RMSprop; ``rho`` is the decay of the mean square."""
    return partial(
        optim.RMSprop,
        lr=learning_rate,
        alpha=rho,
        momentum=momentum,
        eps=epsilon,
        centered=centered,
    )


def Adam(
    learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> Factory:
    """Adam."""
    return partial(optim.Adam, lr=learning_rate, betas=(beta_1, beta_2), eps=epsilon)


def AdamW(
    learning_rate: float = 0.001,
    weight_decay: float = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> Factory:
    """Adam with decoupled weight decay."""
    return partial(
        optim.AdamW,
        lr=learning_rate,
        weight_decay=weight_decay,
        betas=(beta_1, beta_2),
        eps=epsilon,
    )


def Adagrad(
    learning_rate: float = 0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7
) -> Factory:
    """Adagrad."""
    return partial(
        optim.Adagrad,
        lr=learning_rate,
        initial_accumulator_value=initial_accumulator_value,
        eps=epsilon,
    )


def Adadelta(learning_rate: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7) -> Factory:
    """Adadelta; ``rho`` is the decay of the mean squares."""
    return partial(optim.Adadelta, lr=learning_rate, rho=rho, eps=epsilon)


# The names that compile(optimizer=) accepts, in small letters.
BY_NAME: dict[str, Callable[[], Factory]] = {
    make.__name__.lower(): make for make in (SGD, Adadelta, Adagrad, Adam, AdamW, RMSprop)
}
