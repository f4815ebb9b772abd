"""Keras's optimisers: its names of settings and its defaults over those of ``unspool.models``.

One is given to ``compile``, which builds it over the network's weights. ε stands where Keras has
it: in RMSprop inside of the root, in Adam beside a root that is not corrected for its bias.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ...autograd import Parameter
from ...checks import check_choice, check_float, describe_received
from ..training import optim
from . import schedules as schedules
from .absent import absent
from .schedules import LearningRateSchedule
from .session import plain

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]

Array = optim.Array


class Optimizer(optim.Optimizer):
    """Base of Keras's optimisers: settings first, weights later.

    Args:
        learning_rate: A number, or a schedule of ``keras.optimizers.schedules``.
        weight_decay: A factor λ: w -= lr λ w beside the update.
        clipnorm: The maximum norm of each weight's gradient.
        clipvalue: The maximum absolute value of a gradient's element.
        global_clipnorm: The maximum norm of all gradients together.
        name: A name.
        **old: ``lr`` and ``decay``, as Keras 1 and 2 have them: the rate of update t is
            lr / (1 + decay t).
    """

    decoupled = True
    given: dict[str, Any]

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Remember the arguments, for ``get_config``."""
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **options).arguments
        more = bound.pop("options", {}) | bound.pop("old", {})
        self.given = {name: value for name, value in bound.items() if name != "self"} | more
        return self

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **old: Any,
    ) -> None:
        who = type(self).__name__
        learning_rate = old.pop("lr", learning_rate)
        if decay := old.pop("decay", 0.0):
            learning_rate = schedules.InverseTimeDecay(learning_rate, 1, decay)
        if old:
            raise TypeError(f"{who}: there is no argument {', '.join(old)}")
        self.name = name or who.lower()
        self.schedule: LearningRateSchedule | None = None
        self.rate = 0.0
        self.learning_rate = learning_rate
        self.decay_factor = check_float(who, "weight_decay", weight_decay or 0.0, least=0)
        limits = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        if sum(limit is not None for limit in limits.values()) > 1:
            raise ValueError(f"{who}: give one of {', '.join(limits)}")
        for limit_name, limit in limits.items():
            if limit is not None:
                check_float(who, limit_name, limit, least=0)
        self.clipnorm, self.clipvalue, self.global_clipnorm = limits.values()
        self.built = False
        self.iterations = 0
        self.rule: dict[str, Any] = {}

    def build(self, weights: Iterable[Any]) -> None:
        """Prepare to update these weights, or groups of them."""
        # The rule's own class comes behind this one.
        super().__init__(weights, lr=self.rate, weight_decay=self.decay_factor, **self.rule)
        self.built = True

    @property
    def learning_rate(self) -> float:
        """The present rate; set to a number or a schedule."""
        return self.schedule(self.iterations) if self.schedule is not None else self.rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.schedule = value if isinstance(value, LearningRateSchedule) else None
        if self.schedule is None:
            rate = float(plain(value)) if not isinstance(value, (str, type)) else value
            self.rate = check_float(type(self).__name__, "learning_rate", rate, least=0)

    @property
    def lr(self) -> float:
        """The rate of the next update."""
        return self.learning_rate

    @lr.setter
    def lr(self, value: float) -> None:
        if self.schedule is None:  # with a schedule the loop's own rate does not count
            self.rate = value

    def step(self) -> None:
        """Clip the gradients as asked for, and update the weights."""
        found = optim.gradients(self.parameters)
        if self.clipvalue is not None:
            optim.clip_by_value(self.parameters, self.clipvalue)
        for gradient in found if self.clipnorm is not None else ():
            scale_to(self.clipnorm, optim.global_norm([gradient]), [gradient])
        if self.global_clipnorm is not None:
            scale_to(self.global_clipnorm, optim.global_norm(found), found)
        super().step()
        self.iterations += 1

    def apply_gradients(self, pairs: Iterable[tuple[Any, Parameter]]) -> None:
        """Update weights by gradients: pairs of both."""
        given = list(pairs)
        if not self.built:
            self.build([weight for _, weight in given])
        for gradient, weight in given:
            weight.grad = None if gradient is None else np.array(plain(gradient), weight.dtype)
        self.step()

    def apply(self, gradients: Iterable[Any], weights: Iterable[Parameter]) -> None:
        """``apply_gradients`` of two lists."""
        self.apply_gradients(zip(gradients, weights, strict=True))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name, the rate as it is now."""
        rate = self.rate if self.schedule is None else self.schedule.to_config()
        return self.given | {"name": self.name, "learning_rate": rate}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """A new optimiser of the settings of ``get_config``."""
        settings = dict(config)
        rate = settings.get("learning_rate")
        if isinstance(rate, Mapping):
            settings["learning_rate"] = LearningRateSchedule.from_config(rate)
        return cls(**settings)


def scale_to(limit: float | None, norm: float, gradients: list[Array]) -> None:
    """Scale gradients in place so that their norm is at most the limit."""
    if limit is not None and norm > limit and math.isfinite(norm):
        for gradient in gradients:
            gradient *= limit / norm


class SGD(Optimizer, optim.SGD):
    """Gradient descent, with momentum if that is above 0."""

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rule = {"momentum": momentum, "nesterov": nesterov}


class RMSprop(Optimizer, optim.RMSprop):
    """RMSprop; ``rho`` is the decay of the mean square."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rule = {"alpha": rho, "momentum": momentum, "eps": epsilon, "centered": centered}

    def root(self, v: Array, out: Array) -> None:
        """sqrt(v + ε)."""
        np.add(v, self.eps, out=out)
        np.sqrt(out, out=out)


class Adam(Optimizer, optim.Adam):
    """Adam; ``amsgrad`` divides by the largest mean square so far."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rule = {"betas": (beta_1, beta_2), "eps": epsilon, "amsgrad": bool(amsgrad)}

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
        """The rule, with ε beside the root of v before its correction."""
        self.eps = self.rule["eps"] / math.sqrt(1 - self.betas[1] ** t)
        return super().update(p, g, lr, t, **memory)


class AdamW(Adam, optim.AdamW):
    """Adam with decoupled weight decay."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options
        )


class Adagrad(Optimizer, optim.Adagrad):
    """Adagrad."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rule = {"initial_accumulator_value": initial_accumulator_value, "eps": epsilon}


class Adadelta(Optimizer, optim.Adadelta):
    """Adadelta; ``rho`` is the decay of the mean squares."""

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **options: Any
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rule = {"rho": rho, "eps": epsilon}


class Nadam(Optimizer, optim.NAdam):
    """Adam with Nesterov's momentum."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rule = {"betas": (beta_1, beta_2), "eps": epsilon, "momentum_decay": 1.0}


class Adamax(Optimizer, optim.Adamax):
    """Adam with the largest gradient of late in the place of the mean square."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rule = {"betas": (beta_1, beta_2), "eps": epsilon}


# The names that compile(optimizer=) accepts, in small letters.
BY_NAME: dict[str, Callable[[], Optimizer]] = {
    kind.__name__.lower(): kind
    for kind in (SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Nadam, RMSprop)
}


def get(identifier: Any, who: str = "optimizers.get") -> Any:
    """The optimiser of a name, an Optimizer itself, or a function from weights to one."""
    if isinstance(identifier, str):
        return BY_NAME[check_choice(who, "optimizer", identifier.lower(), BY_NAME)]()
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return BY_NAME[identifier.__name__.lower()]()
    if isinstance(identifier, optim.Optimizer) or callable(identifier):
        return identifier
    raise TypeError(
        f"{who}: optimizer must be one of {', '.join(BY_NAME)}, an object such as "
        "keras.optimizers.Adam(learning_rate=0.01), or a function from the parameters to an "
        f"Optimizer; got {describe_received(identifier)}"
    )


def from_config(name: str, config: Mapping[str, Any]) -> Any:
    """The optimiser of a class's name and the settings of its ``get_config``."""
    kinds = {kind.__name__: kind for kind in BY_NAME.values()}  # type: ignore[attr-defined]
    kind = kinds[check_choice("optimizers.from_config", "name", name, kinds)]
    return kind.from_config(config)  # type: ignore[attr-defined]


__getattr__ = absent(__name__)
