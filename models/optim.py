"""Optimisers: what a gradient does to a parameter. The rules are PyTorch's, number for number.

Parameters are changed in place. A Parameter given twice (a tied weight) is updated once; one
without a gradient, or frozen, is left alone with all that belongs to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import Parameter, Tensor

__all__ = ["SGD", "Adam", "Optimizer", "clip_by_global_norm"]

Array = NDArray[Any]


def number(who: str, name: str, value: Any, below: float = math.inf) -> float:
    """A setting from 0 up to ``below``, or an error that names it."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise TypeError(f"{who}: {name} is a number, got {value!r}")
    if not 0 <= value < below:
        limit = "" if below == math.inf else f" and below {below:g}"
        raise ValueError(f"{who}: {name} is 0 or more{limit}, got {value}")
    return float(value)


class Optimizer:
    """What all optimisers share: the parameters, the rate, and the memory they keep.

    A subclass names its memories in ``slots`` (arrays of a parameter's shape, zero at first) and
    defines ``update``.

    Args:
        parameters: Parameters, such as ``model.parameters()``.
        lr: The learning rate; the attribute may be changed at any time.
        weight_decay: What is added to the gradient, times the parameter (an L2 penalty).

    Raises:
        ValueError: There is no parameter, or a setting is out of its range.
        TypeError: Something among the parameters is none.
    """

    slots: tuple[str, ...] = ()

    def __init__(
        self, parameters: Iterable[Parameter], lr: float, *, weight_decay: float = 0.0
    ) -> None:
        name = type(self).__name__
        if isinstance(parameters, Tensor):
            raise TypeError(f"{name}: give the parameters in a list, as in [W, b]")
        self.parameters = list(dict.fromkeys(parameters))
        for parameter in self.parameters:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"{name}: expected Parameters, got {type(parameter).__name__}")
        if not self.parameters:
            raise ValueError(f"{name}: there is no parameter to train")
        self.lr = number(name, "lr", lr)
        self.weight_decay = number(name, "weight_decay", weight_decay)
        # By parameter: how many updates it had, and its memories.
        self.steps = [0] * len(self.parameters)
        self.memory: list[dict[str, Array]] = [{} for _ in self.parameters]
        self._scratch: dict[Any, Array] = {}

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient and is not frozen."""
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is None or not parameter.requires_grad:
                continue
            if not self.memory[i]:
                self.memory[i] = {name: np.zeros_like(parameter.data) for name in self.slots}
            self.steps[i] += 1
            gradient = parameter.grad
            if self.weight_decay:
                decayed = self.scratch(parameter.data, "gradient")
                np.multiply(parameter.data, self.weight_decay, out=decayed)
                gradient = np.add(decayed, gradient, out=decayed)
            self.update(parameter.data, gradient, self.steps[i], **self.memory[i])

    def update(self, p: Array, g: Array, t: int, **memory: Array) -> None:
        """Change ``p`` in place.

        Args:
            p: The parameter's values.
            g: Its gradient, not to be changed.
            t: The number of this update, from 1.
            **memory: The slots, to be changed in place.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no update(p, g, t)")

    def scratch(self, like: Array, name: str = "") -> Array:
        """An array of the same shape and dtype to write into: one for all parameters."""
        key = (name, like.dtype)
        held = self._scratch.get(key)
        if held is None or held.size < like.size:
            held = self._scratch[key] = np.empty(like.size, like.dtype)
        return held[: like.size].reshape(like.shape)

    def state_dict(self) -> dict[str, Array]:
        """A copy of what the optimiser remembers: plain arrays, by the parameter's number."""
        state = {"lr": np.asarray(self.lr)}
        for i, (steps, memory) in enumerate(zip(self.steps, self.memory, strict=True)):
            state[f"{i}.steps"] = np.asarray(steps)
            state.update({f"{i}.{name}": array.copy() for name, array in memory.items()})
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` returned, of the same optimiser and parameters.

        Raises:
            ValueError: Entries are missing, unexpected or misshapen; all of them are named, and
                nothing is changed.
        """
        expected: dict[str, tuple[int, ...]] = {"lr": ()}
        for i, parameter in enumerate(self.parameters):
            expected[f"{i}.steps"] = ()
            if np.any(state.get(f"{i}.steps", 0)):
                expected.update({f"{i}.{name}": parameter.shape for name in self.slots})
        problems = [f"missing {name}" for name in expected if name not in state]
        for name, value in state.items():
            if name not in expected:
                problems.append(f"unexpected {name}")
            elif np.shape(value) != expected[name]:
                problems.append(f"{name} is {np.shape(value)}, expected {expected[name]}")
        if problems:
            raise ValueError(f"{type(self).__name__}.load_state_dict: {'; '.join(problems)}")
        self.lr = float(state["lr"])
        for i, parameter in enumerate(self.parameters):
            self.steps[i] = int(state[f"{i}.steps"])
            self.memory[i] = {
                name: np.array(state[f"{i}.{name}"], parameter.dtype)
                for name in self.slots
                if self.steps[i]
            }


class SGD(Optimizer):
    """Gradient descent: p -= lr g; with momentum v = m v + g and p -= lr v.

    v begins as the first gradient. Nesterov's form is p -= lr (g + m v).

    Args:
        parameters: Parameters, such as ``model.parameters()``.
        lr: The learning rate.
        momentum: m, from 0 up to 1.
        nesterov: Whether to look ahead along v.
        weight_decay: What is added to the gradient, times the parameter.

    Raises:
        ValueError: A setting is out of its range, or ``nesterov`` is without momentum.

    Source: Polyak (1964) and Nesterov (1983) in the form of Sutskever et al. (2013), as PyTorch
    computes it.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 0.1,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay)
        self.momentum = number("SGD", "momentum", momentum, below=1)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov looks ahead along the momentum; give one, as in 0.9")
        self.nesterov = nesterov
        self.slots = ("v",) if momentum else ()

    def update(self, p: Array, g: Array, t: int, **memory: Array) -> None:
        """The rule above."""
        change = self.scratch(p)
        if not memory:
            np.multiply(g, self.lr, out=change)
        else:
            v = memory["v"]
            v *= self.momentum
            v += g
            if self.nesterov:
                np.multiply(v, self.momentum, out=change)
                change += g
                change *= self.lr
            else:
                np.multiply(v, self.lr, out=change)
        p -= change


class Adam(Optimizer):
    """Steps of about lr, whatever the size of the gradient.

    ::

        m = β1 m + (1 - β1) g
        v = β2 v + (1 - β2) g²
        p -= lr (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε)

    Args:
        parameters: Parameters, such as ``model.parameters()``.
        lr: The learning rate.
        betas: (β1, β2), how long m and v remember; each from 0 up to 1.
        eps: ε.
        weight_decay: What is added to the gradient, times the parameter.

    Raises:
        ValueError: A setting is out of its range.

    Source: Kingma and Ba (2015).
    """

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"Adam: betas are two numbers, as in (0.9, 0.999), got {betas!r}")
        self.betas = tuple(number("Adam", "betas", beta, below=1) for beta in betas)
        self.eps = number("Adam", "eps", eps)

    def update(self, p: Array, g: Array, t: int, **memory: Array) -> None:
        """The rule above."""
        m, v = memory["m"], memory["v"]
        beta_m, beta_v = self.betas
        work = self.scratch(p)
        m *= beta_m
        m += np.multiply(g, 1 - beta_m, out=work)
        np.multiply(g, g, out=work)
        work *= 1 - beta_v
        v *= beta_v
        v += work
        # lr m' / (sqrt(v') + ε), with the corrections taken out of the arrays.
        np.sqrt(v, out=work)
        work *= 1 / math.sqrt(1 - beta_v**t)
        work += self.eps
        np.divide(m, work, out=work)
        work *= self.lr / (1 - beta_m**t)
        p -= work


def clip_by_global_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients down together, in place, so that their joint norm is ``max_norm``.

    As PyTorch's ``clip_grad_norm_``: the factor is max_norm / (norm + 1e-6), where that is below
    1. A norm that is not finite leaves the gradients as they are.

    Args:
        parameters: Those without a gradient do not count, one given twice counts once.
        max_norm: The largest norm, 0 or more.

    Returns:
        The norm before.

    Raises:
        ValueError: ``max_norm`` is negative.

    Source: Pascanu, Mikolov and Bengio (2013).
    """
    max_norm = number("clip_by_global_norm", "max_norm", max_norm)
    gradients = [p.grad for p in dict.fromkeys(parameters) if p.grad is not None]
    norm = global_norm(gradients)
    scale = max_norm / (norm + 1e-6)
    if scale < 1 and math.isfinite(norm):
        for gradient in gradients:
            gradient *= scale
    return norm


def global_norm(gradients: Iterable[Array]) -> float:
    """The root of the sum of all squares."""
    total = 0.0
    for gradient in gradients:
        flat = gradient.ravel(order="K")
        with np.errstate(over="ignore", invalid="ignore"):
            squares = float(np.dot(flat, flat))
        if squares == math.inf:  # float32 holds squares up to 3e38 only
            wide = flat.astype(np.float64)
            squares = float(np.dot(wide, wide))
        total += squares
    return math.sqrt(total)
