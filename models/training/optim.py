"""Optimisers: what a gradient does to a parameter. The rules are PyTorch's, number for number.

Parameters are changed in place. A Parameter given twice (a tied weight) is updated once; one
without a gradient, or frozen, is left alone with all that belongs to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Parameter, Tensor
from ...autograd.tensor import came

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_by_global_norm",
    "clip_by_value",
]

Array = NDArray[Any]
# Parameters, or groups of them: {"parameters": [...], "scale": 0.1, "weight_decay": 0.0}.
Parameters = Iterable[Parameter] | Iterable[Mapping[str, Any]]


def number(who: str, name: str, value: Any, below: float = math.inf) -> float:
    """A setting from 0 up to ``below``, or an error that names it."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
        raise TypeError(f"{who}: {name} is a number, got {value!r}")
    if not 0 <= value < below:
        limit = "" if below == math.inf else f" and below {below:g}"
        raise ValueError(f"{who}: {name} is 0 or more{limit}, got {value}")
    return float(value)


def groups(
    who: str, parameters: Parameters
) -> Iterator[tuple[list[Parameter], float, float | None]]:
    """(parameters, each once, their factor of the rate, their own decay) of each group."""
    members: list[Any] = list(parameters)
    if not any(isinstance(member, Mapping) for member in members):
        members = [{"parameters": members}]
    for group in members:
        if not isinstance(group, Mapping):
            raise TypeError(
                f"{who}: either all are groups, as in {{'parameters': [W, b]}}, or none is; got "
                f"{type(group).__name__} among them"
            )
        unknown = set(group) - {"parameters", "scale", "weight_decay"}
        if unknown or "parameters" not in group:
            raise ValueError(
                f"{who}: a group has 'parameters', and may have 'scale' and 'weight_decay'; got "
                f"{', '.join(map(repr, group))}"
            )
        if isinstance(group["parameters"], Tensor):
            raise TypeError(f"{who}: give the parameters of a group in a list, as in [W, b]")
        found = list(dict.fromkeys(group["parameters"]))
        for parameter in found:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"{who}: expected Parameters, got {type(parameter).__name__}")
        decay = group.get("weight_decay")
        yield (
            found,
            number(who, "scale", group.get("scale", 1.0)),
            None if decay is None else number(who, "weight_decay", decay),
        )


class Optimizer:
    """What all optimisers share: the parameters, the rate, and the memory they keep.

    A subclass names its memories in ``slots`` (arrays of a parameter's shape, zero at first) and
    defines ``update``. Where ``decoupled`` is True, the decay shrinks the parameter itself, by
    lr times ``weight_decay``, and the gradient stays as it is.

    Args:
        parameters: Parameters, such as ``model.parameters()``; or groups of them, each a dict of
            "parameters" and, where they differ, "scale" (times ``lr`` is the group's rate, 1 by
            default) and "weight_decay".
        lr: The learning rate; the attribute may be changed at any time.
        weight_decay: What is added to the gradient, times the parameter (an L2 penalty).

    Raises:
        ValueError: There is no parameter, one is in two groups, or a setting is out of its range.
        TypeError: Something among the parameters is none.

    Example:
        >>> import numpy as np
        >>> from unspool import Parameter
        >>> from unspool.models import SGD
        >>> E, W = Parameter([1.0]), Parameter([1.0])
        >>> optimizer = SGD([{"parameters": [E], "scale": 0.1}, {"parameters": [W]}], lr=0.5)
        >>> E.grad = W.grad = np.array([1.0])
        >>> optimizer.step()
        >>> E.data, W.data
        (array([0.95]), array([0.5]))
    """

    slots: tuple[str, ...] = ()
    decoupled = False

    def __init__(self, parameters: Parameters, lr: float, *, weight_decay: float = 0.0) -> None:
        name = type(self).__name__
        if isinstance(parameters, Tensor):
            raise TypeError(f"{name}: give the parameters in a list, as in [W, b]")
        if not isinstance(parameters, Iterable):
            raise TypeError(
                f"{name}: expected Parameters, as {name}(model.parameters(), lr=...), got "
                f"{came(parameters)}"
            )
        self.lr = number(name, "lr", lr)
        self.weight_decay = number(name, "weight_decay", weight_decay)
        # Of each parameter, its factor of the rate, and its decay where the group has its own.
        settings: dict[Parameter, tuple[float, float | None]] = {}
        for members, scale, decay in groups(name, parameters):
            for parameter in members:
                if parameter in settings:
                    raise ValueError(f"{name}: {parameter.name or 'a parameter'} is in two groups")
            settings.update(dict.fromkeys(members, (scale, decay)))
        if not settings:
            raise ValueError(
                f"{name}: there is no parameter to train; a Module's are its attributes that are "
                "a Parameter(...), not plain arrays"
            )
        self.parameters = list(settings)
        self.settings = list(settings.values())
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
            p, gradient = parameter.data, parameter.grad
            scale, decay = self.settings[i]
            lr = self.lr * scale
            if decay is None:
                decay = self.weight_decay
            if decay and self.decoupled:
                p *= 1 - lr * decay
            elif decay:
                decayed = self.scratch(p, "gradient")
                np.multiply(p, decay, out=decayed)
                gradient = np.add(decayed, gradient, out=decayed)
            self.update(p, gradient, lr, self.steps[i], **self.memory[i])

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> None:
        """Change ``p`` in place.

        Args:
            p: The parameter's values.
            g: Its gradient, not to be changed.
            lr: Its rate.
            t: The number of this update, from 1.
            **memory: The slots, to be changed in place.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no update(p, g, lr, t)")

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
        parameters: Parameters,
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

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> None:
        """The rule above."""
        change = self.scratch(p)
        if not memory:
            np.multiply(g, lr, out=change)
        else:
            v = memory["v"]
            v *= self.momentum
            v += g
            if self.nesterov:
                np.multiply(v, self.momentum, out=change)
                change += g
                change *= lr
            else:
                np.multiply(v, lr, out=change)
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
        parameters: Parameters,
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay)
        name = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"{name}: betas are two numbers, as in (0.9, 0.999), got {betas!r}")
        self.betas = tuple(number(name, "betas", beta, below=1) for beta in betas)
        self.eps = number(name, "eps", eps)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> None:
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
        work *= lr / (1 - beta_m**t)
        p -= work


class AdamW(Adam):
    """Adam whose decay is apart from the gradient: p -= lr λ p first, λ the ``weight_decay``.

    Adam divides an L2 penalty by sqrt(v) along with the gradient, so that what has large gradients
    decays little; here everything decays at the same rate.

    Args:
        parameters: Parameters, such as ``model.parameters()``.
        lr: The learning rate.
        betas: (β1, β2), how long m and v remember; each from 0 up to 1.
        eps: ε.
        weight_decay: λ.

    Raises:
        ValueError: A setting is out of its range.

    Source: Loshchilov and Hutter (2019).
    """

    decoupled = True

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)


class Adagrad(Optimizer):
    """Small steps for what had large gradients: a rate for each element, which only falls.

    ::

        s = s + g²
        p -= lr / (1 + (t - 1) d) g / (sqrt(s) + ε)

    Args:
        parameters: Parameters, such as ``model.parameters()``.
        lr: The learning rate.
        lr_decay: d, how much the rate falls by itself.
        initial_accumulator_value: s in the beginning.
        eps: ε.
        weight_decay: What is added to the gradient, times the parameter.

    Raises:
        ValueError: A setting is out of its range.

    Source: Duchi, Hazan and Singer (2011).
    """

    slots = ("s",)

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.01,
        *,
        lr_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay)
        self.lr_decay = number("Adagrad", "lr_decay", lr_decay)
        self.initial = number("Adagrad", "initial_accumulator_value", initial_accumulator_value)
        self.eps = number("Adagrad", "eps", eps)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> None:
        """The rule above."""
        s = memory["s"]
        if t == 1:
            s += self.initial
        work = self.scratch(p)
        s += np.multiply(g, g, out=work)
        np.sqrt(s, out=work)
        work += self.eps
        np.divide(g, work, out=work)
        work *= lr / (1 + (t - 1) * self.lr_decay)
        p -= work


class RMSprop(Optimizer):
    """Adagrad that forgets: the gradient by the root of its recent mean square.

    ::

        v = α v + (1 - α) g²
        r = g / (sqrt(v) + ε)                        p -= lr r
        centered:   m = α m + (1 - α) g              r = g / (sqrt(v - m²) + ε)
        momentum μ: b = μ b + r                      p -= lr b

    Where rounding takes v - m² below 0, it counts as 0 (PyTorch's root is not a number there).

    Args:
        parameters: Parameters, such as ``model.parameters()``.
        lr: The learning rate.
        alpha: α, how long v and m remember; from 0 up to 1.
        momentum: μ, from 0 up to 1.
        centered: Whether to divide by the deviation from the mean.
        eps: ε, outside the root.
        weight_decay: What is added to the gradient, times the parameter.

    Raises:
        ValueError: A setting is out of its range.

    Source: Tieleman and Hinton (2012); centered: Graves (2013).
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.01,
        *,
        alpha: float = 0.99,
        momentum: float = 0.0,
        centered: bool = False,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay)
        self.alpha = number("RMSprop", "alpha", alpha, below=1)
        self.momentum = number("RMSprop", "momentum", momentum, below=1)
        self.eps = number("RMSprop", "eps", eps)
        self.slots = ("v",) + ("m",) * bool(centered) + ("b",) * bool(momentum)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> None:
        """The rule above."""
        v, work = memory["v"], self.scratch(p)
        np.multiply(g, g, out=work)
        work *= 1 - self.alpha
        v *= self.alpha
        v += work
        if "m" in memory:
            m = memory["m"]
            m *= self.alpha
            m += np.multiply(g, 1 - self.alpha, out=work)
            np.multiply(m, m, out=work)
            np.subtract(v, work, out=work)
            np.maximum(work, 0, out=work)
            np.sqrt(work, out=work)
        else:
            np.sqrt(v, out=work)
        work += self.eps
        np.divide(g, work, out=work)
        if "b" in memory:
            b = memory["b"]
            b *= self.momentum
            b += work
            np.multiply(b, lr, out=work)
        else:
            work *= lr
        p -= work


class Adadelta(Optimizer):
    """Steps in the parameter's own unit: as large as the recent ones, by the recent gradients.

    ::

        v = ρ v + (1 - ρ) g²
        d = g sqrt(u + ε) / sqrt(v + ε)
        u = ρ u + (1 - ρ) d²
        p -= lr d

    Args:
        parameters: Parameters, such as ``model.parameters()``.
        lr: The learning rate; 1 is the paper's rule.
        rho: ρ, how long v and u remember; from 0 up to 1.
        eps: ε, inside the roots; it also sets the size of the first steps.
        weight_decay: What is added to the gradient, times the parameter.

    Raises:
        ValueError: A setting is out of its range.

    Source: Zeiler (2012).
    """

    slots = ("v", "u")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1.0,
        *,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay)
        self.rho = number("Adadelta", "rho", rho, below=1)
        self.eps = number("Adadelta", "eps", eps)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> None:
        """The rule above."""
        v, u = memory["v"], memory["u"]
        work, change = self.scratch(p), self.scratch(p, "change")
        np.multiply(g, g, out=work)
        work *= 1 - self.rho
        v *= self.rho
        v += work
        np.add(v, self.eps, out=work)
        np.sqrt(work, out=work)
        np.add(u, self.eps, out=change)
        np.sqrt(change, out=change)
        change /= work
        change *= g
        np.multiply(change, change, out=work)
        work *= 1 - self.rho
        u *= self.rho
        u += work
        change *= lr
        p -= change


def clip_by_value(parameters: Iterable[Tensor], limit: float) -> None:
    """Bring each element of the gradients between -limit and limit, in place.

    Unlike ``clip_by_global_norm`` it may turn the direction of the step. A NaN stays one.

    Args:
        parameters: Those without a gradient are passed over.
        limit: The largest absolute value, 0 or more.

    Raises:
        ValueError: ``limit`` is negative.
    """
    limit = number("clip_by_value", "limit", limit)
    for parameter in parameters:
        if parameter.grad is not None:
            np.clip(parameter.grad, -limit, limit, out=parameter.grad)


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
    found = gradients(parameters)
    norm = global_norm(found)
    scale = max_norm / (norm + 1e-6)
    if scale < 1 and math.isfinite(norm):
        for gradient in found:
            gradient *= scale
    return norm


def gradients(parameters: Iterable[Tensor]) -> list[Array]:
    """The gradients that there are, each once."""
    return [p.grad for p in dict.fromkeys(parameters) if p.grad is not None]


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
