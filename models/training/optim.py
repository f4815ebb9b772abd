"""Optimisers. Their update rules give PyTorch's numbers.

An update assigns a new array to each Parameter, ``p.data = new``, so that a tape recorded before
still holds the values that it was computed with. A Parameter given twice (a tied weight) is
updated once; one that has no gradient or is frozen is skipped, and its memories stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Parameter, Tensor, describe, operands_of
from ...checks import Checked, check_float, describe_received, shown, wrong_type

Array = NDArray[Any]
# Parameters, or groups of them: {"parameters": [...], "scale": 0.1, "weight_decay": 0.0}.
Parameters = Iterable[Parameter] | Iterable[Mapping[str, Any]]


def groups(
    who: str, parameters: Parameters
) -> Iterator[tuple[list[Parameter], float, float | None]]:
    """For each group its parameters, each once, its factor of lr, and its own decay or None."""
    members: list[Any] = list(parameters)
    if not any(isinstance(member, Mapping) for member in members):
        members = [{"parameters": members}]
    for group in members:
        if not isinstance(group, Mapping):
            raise TypeError(
                f"{who}: expected only groups, as in {{'parameters': [W, b]}}, or only Parameters; "
                f"got {describe_received(group)} among groups"
            )
        unknown = set(group) - {"parameters", "scale", "weight_decay"}
        if unknown or "parameters" not in group:
            raise ValueError(
                f"{who}: a group has 'parameters', and may have 'scale' and 'weight_decay'; got "
                f"{', '.join(map(repr, group))}"
            )
        if isinstance(group["parameters"], Tensor):
            raise TypeError(f"{who}: pass the parameters of a group as a list, as in [W, b]")
        for parameter in (given := list(group["parameters"])):
            check_trainable(who, parameter)
        found = list(dict.fromkeys(given))
        decay = group.get("weight_decay")
        yield (
            found,
            check_float(who, "scale", group.get("scale", 1.0), least=0),
            None if decay is None else check_float(who, "weight_decay", decay, least=0),
        )


def check_trainable(who: str, parameter: Any) -> None:
    """Raise TypeError unless it is a Parameter, or another leaf that requires a gradient."""
    leaf = isinstance(parameter, Tensor) and not operands_of(parameter)
    if not leaf or not (isinstance(parameter, Parameter) or parameter.requires_grad):
        received = describe_received(parameter)
        if isinstance(parameter, Tensor):
            received = f"{describe(parameter)}, which no backward() leaves a gradient at"
        raise TypeError(f"{who}: expected Parameters, got {received}")
    if parameter.dtype == np.float16:
        raise TypeError(
            f"{who}: {describe(parameter)} has too few digits to be trained: small steps and ε "
            "vanish in it; train in float32, and convert what you save by .astype(np.float16)"
        )


class Optimizer(Checked):
    """Base of the optimisers.

    All take ``parameters``, ``lr`` and ``weight_decay``. A subclass names its memories in
    ``slots`` (arrays of a parameter's shape, zero at first) and defines ``update``. Where
    ``decoupled`` is True, weight decay multiplies the parameter by 1 - lr * ``weight_decay`` and
    does not enter the gradient.

    Args:
        parameters: Parameters, such as ``model.parameters()``; or groups of them, each a dict of
            "parameters" and, where they differ, "scale" (a factor of ``lr``, 1 by default) and
            "weight_decay".
        lr: The learning rate; the attribute may be changed at any time.
        weight_decay: The factor of the parameter that is added to the gradient (an L2 penalty).

    Example:
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
            raise TypeError(f"{name}: pass the parameters as a list, as in [W, b]")
        if not isinstance(parameters, Iterable):
            expected = f"Parameters, as {name}(model.parameters(), lr=...)"
            raise wrong_type(f"{name}: expected {expected}", parameters)
        self.lr = check_float(name, "lr", lr, least=0)
        self.weight_decay = check_float(name, "weight_decay", weight_decay, least=0)
        # By parameter: the factor of lr, and the group's own decay or None.
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
        # By parameter: the number of its updates, and its memories.
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
            if gradient.shape != p.shape:
                raise ValueError(
                    f"{type(self).__name__}: the gradient of {describe(parameter)} is "
                    f"{gradient.shape}; it must have the parameter's shape"
                )
            scale, decay = self.settings[i]
            lr = self.lr * scale
            if decay is None:
                decay = self.weight_decay
            new = np.empty_like(p)
            if decay and self.decoupled:
                p = np.multiply(p, 1 - lr * decay, out=new)
            elif decay:
                decayed = self.scratch(p, "gradient")
                np.multiply(p, decay, out=decayed)
                gradient = np.add(decayed, gradient, out=decayed)
            change = self.update(p, gradient, lr, self.steps[i], **self.memory[i])
            parameter.data = np.subtract(p, change, out=new)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
        """The change that is subtracted from a parameter; may be a ``scratch`` array.

        Args:
            p: The parameter's values, which must not be changed, as the gradient.
            g: The gradient.
            lr: The parameter's learning rate.
            t: The number of this update, from 1.
            **memory: The slots, to be changed in place.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no update(p, g, lr, t)")

    def scratch(self, like: Array, name: str = "") -> Array:
        """A reused array of the same shape and dtype to write into; its values are undefined."""
        key = (name, like.dtype)
        held = self._scratch.get(key)
        if held is None or held.size < like.size:
            held = self._scratch[key] = np.empty(like.size, like.dtype)
        return held[: like.size].reshape(like.shape)

    def state_dict(self) -> dict[str, Array]:
        """Copies of the memories, by the parameter's number; the numbers of updates; and lr."""
        state = {"lr": np.asarray(self.lr)}
        for i, (steps, memory) in enumerate(zip(self.steps, self.memory, strict=True)):
            state[f"{i}.steps"] = np.asarray(steps)
            state.update({f"{i}.{name}": array.copy() for name, array in memory.items()})
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of an optimiser of the same class and parameters.

        Missing, unexpected and misshapen entries, and such as are no finite numbers, raise a
        ValueError that names all of them, and nothing is changed.
        """
        self.check_state(state)
        self.lr = float(state["lr"])
        for i, parameter in enumerate(self.parameters):
            self.steps[i] = int(state[f"{i}.steps"])
            self.memory[i] = {
                name: np.array(state[f"{i}.{name}"], parameter.dtype)
                for name in self.slots
                if self.steps[i]
            }

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError unless ``load_state_dict`` could restore this state."""
        if not isinstance(state, Mapping):
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: expected a dict of arrays by name, got "
                f"{describe_received(state)}"
            )
        numbers = ["lr", *(f"{i}.steps" for i in range(len(self.parameters)))]
        expected: dict[str, tuple[int, ...]] = dict.fromkeys(numbers, ())
        for i, parameter in enumerate(self.parameters):
            if np.any(state.get(f"{i}.steps", 0)):
                expected.update({f"{i}.{name}": parameter.shape for name in self.slots})
        problems = [f"missing {name}" for name in expected if name not in state]
        for name, value in state.items():
            if name not in expected:
                problems.append(f"unexpected {shown(name)}")
            elif np.shape(value) != expected[name]:
                problems.append(f"{name} is {np.shape(value)}, expected {expected[name]}")
            elif (array := np.asarray(value)).dtype.kind not in "fiu":
                problems.append(f"{name} holds {array.dtype}, expected numbers")
            elif not np.isfinite(array).all():
                problems.append(f"{name} holds something else than finite numbers")
            elif name in numbers and array < 0:
                problems.append(f"{name} is {array.item()}, expected 0 or more")
            elif name.endswith(".steps") and array.dtype.kind == "f":
                problems.append(f"{name} is {array.item()}, expected an integer")
        if problems:
            raise ValueError(f"{type(self).__name__}.load_state_dict: {'; '.join(problems)}")


class SGD(Optimizer):
    """Gradient descent: p -= lr g; with momentum v = m v + g and p -= lr v.

    v starts as the first gradient. Nesterov's form is p -= lr (g + m v).

    Args:
        momentum: m, from 0 to below 1.
        nesterov: Whether to use Nesterov's form, which needs a momentum.

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
        self.momentum = check_float("SGD", "momentum", momentum, least=0, below=1)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum; give one, as in momentum=0.9")
        self.nesterov = nesterov
        self.slots = ("v",) if momentum else ()

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
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
        return change


class Adam(Optimizer):
    """Steps of about lr, independent of the gradient's scale.

    ::

        m = β1 m + (1 - β1) g
        v = β2 v + (1 - β2) g²
        p -= lr (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε)

    Args:
        betas: (β1, β2), the decays of m and v; each from 0 to below 1.
        eps: ε.
        amsgrad: Whether v in the last line is the largest that v has been.

    Source: Kingma and Ba (2015); amsgrad: Reddi, Kale and Kumar (2018).
    """

    slots: tuple[str, ...] = ("m", "v")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(parameters, lr, weight_decay=weight_decay)
        name = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"{name}: betas must be two numbers, as (0.9, 0.999), got {betas!r}")
        self.betas = tuple(check_float(name, "betas", beta, least=0, below=1) for beta in betas)
        self.eps = check_float(name, "eps", eps, least=0)
        if amsgrad:
            self.slots = (*self.slots, "largest")

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
        """The rule above."""
        m, v = memory["m"], memory["v"]
        beta_m, beta_v = self.betas
        work = self.scratch(p)
        average(m, beta_m, g, work)
        average(v, beta_v, np.multiply(g, g, out=work), work)
        if "largest" in memory:
            v = np.maximum(memory["largest"], v, out=memory["largest"])
        # lr m' / (sqrt(v') + ε), with the bias corrections as scalars.
        np.sqrt(v, out=work)
        work *= 1 / math.sqrt(1 - beta_v**t)
        work += self.eps
        np.divide(m, work, out=work)
        work *= lr / (1 - beta_m**t)
        return work


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr λ p first, λ the ``weight_decay``.

    In Adam an L2 penalty is divided by sqrt(v) with the gradient, so that parameters with large
    gradients decay little; here all decay at the same rate.

    Args: those of ``Adam``.

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
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
        )


class NAdam(Adam):
    """Adam that looks ahead, as Nesterov's momentum does.

    ::

        m, v                   as Adam's
        μ_t = β1 (1 - 0.96^(t ψ) / 2)
        m' = μ_(t+1) m / (1 - μ_1 ... μ_(t+1)) + (1 - μ_t) g / (1 - μ_1 ... μ_t)
        p -= lr m' / (sqrt(v / (1 - β2^t)) + ε)

    Args:
        parameters, lr, betas, eps, weight_decay: As in ``Adam``.
        momentum_decay: ψ, how fast μ rises to β1.

    Source: Dozat (2016).
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.002,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.momentum_decay = check_float("NAdam", "momentum_decay", momentum_decay, least=0)
        self._products = [1.0]  # [t]: μ_1 ... μ_t

    def mu(self, t: int) -> float:
        """μ_t."""
        return self.betas[0] * (1 - 0.96 ** (t * self.momentum_decay) / 2)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
        """The rule above."""
        m, v = memory["m"], memory["v"]
        beta_m, beta_v = self.betas
        while len(self._products) < t + 2:
            self._products.append(self._products[-1] * self.mu(len(self._products)))
        work, ahead = self.scratch(p), self.scratch(p, "ahead")
        average(m, beta_m, g, work)
        average(v, beta_v, np.multiply(g, g, out=work), work)
        np.multiply(m, self.mu(t + 1) / (1 - self._products[t + 1]), out=ahead)
        ahead += np.multiply(g, (1 - self.mu(t)) / (1 - self._products[t]), out=work)
        np.sqrt(v, out=work)
        work *= 1 / math.sqrt(1 - beta_v**t)
        work += self.eps
        np.divide(ahead, work, out=work)
        work *= lr
        return work


class Adamax(Adam):
    """Adam with the largest gradient in place of the root of the mean square.

    ::

        m = β1 m + (1 - β1) g
        u = max(β2 u, |g| + ε)
        p -= lr / (1 - β1^t) m / u

    Args: those of ``Adam``.

    Source: Kingma and Ba (2015), section 7.1.
    """

    slots = ("m", "u")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.002,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
        """The rule above."""
        m, u = memory["m"], memory["u"]
        beta_m, beta_u = self.betas
        work = self.scratch(p)
        average(m, beta_m, g, work)
        np.abs(g, out=work)
        work += self.eps
        u *= beta_u
        np.maximum(u, work, out=u)
        np.divide(m, u, out=work)
        work *= lr / (1 - beta_m**t)
        return work


class Adagrad(Optimizer):
    """A learning rate per element, which falls with the sum of its squared gradients.

    ::

        s = s + g²
        p -= lr / (1 + (t - 1) d) g / (sqrt(s) + ε)

    Args:
        lr_decay: d, by which lr falls with t.
        initial_accumulator_value: The initial s.
        eps: ε.

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
        self.lr_decay = check_float("Adagrad", "lr_decay", lr_decay, least=0)
        self.initial = check_float(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value, least=0
        )
        self.eps = check_float("Adagrad", "eps", eps, least=0)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
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
        return work


class RMSprop(Optimizer):
    """The gradient divided by the root of a running mean of its square.

    ::

        v = α v + (1 - α) g²
        r = g / (sqrt(v) + ε)                        p -= lr r
        centered:   m = α m + (1 - α) g              r = g / (sqrt(v - m²) + ε)
        momentum μ: b = μ b + r                      p -= lr b

    Where rounding makes v - m² negative, it is set to 0 (PyTorch returns NaN).

    Args:
        alpha: α, the decay of v and m; from 0 to below 1.
        momentum: μ, from 0 to below 1.
        centered: Whether to divide by the standard deviation.
        eps: ε, outside the root.

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
        self.alpha = check_float("RMSprop", "alpha", alpha, least=0, below=1)
        self.momentum = check_float("RMSprop", "momentum", momentum, least=0, below=1)
        self.eps = check_float("RMSprop", "eps", eps, least=0)
        self.slots = ("v",) + ("m",) * bool(centered) + ("b",) * bool(momentum)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
        """The rule above."""
        v, work = memory["v"], self.scratch(p)
        average(v, self.alpha, np.multiply(g, g, out=work), work)
        if "m" in memory:
            m = memory["m"]
            average(m, self.alpha, g, work)
            np.multiply(m, m, out=work)
            np.subtract(v, work, out=work)
            np.maximum(work, 0, out=work)
            self.root(work, work)
        else:
            self.root(v, work)
        np.divide(g, work, out=work)
        if "b" in memory:
            b = memory["b"]
            b *= self.momentum
            b += work
            np.multiply(b, lr, out=work)
        else:
            work *= lr
        return work

    def root(self, v: Array, out: Array) -> None:
        """sqrt(v) + ε, written into ``out``; Keras has ε inside of the root."""
        np.sqrt(v, out=out)
        out += self.eps


class Adadelta(Optimizer):
    """Steps in the parameter's own unit, scaled by running means of steps and gradients.

    ::

        v = ρ v + (1 - ρ) g²
        d = g sqrt(u + ε) / sqrt(v + ε)
        u = ρ u + (1 - ρ) d²
        p -= lr d

    Args:
        lr: The learning rate; 1 is the paper's rule.
        rho: ρ, the decay of v and u; from 0 to below 1.
        eps: ε, inside the roots; it sets the size of the first steps.

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
        self.rho = check_float("Adadelta", "rho", rho, least=0, below=1)
        self.eps = check_float("Adadelta", "eps", eps, least=0)

    def update(self, p: Array, g: Array, lr: float, t: int, **memory: Array) -> Array:
        """The rule above."""
        v, u = memory["v"], memory["u"]
        work, change = self.scratch(p), self.scratch(p, "change")
        average(v, self.rho, np.multiply(g, g, out=work), work)
        np.add(v, self.eps, out=work)
        np.sqrt(work, out=work)
        np.add(u, self.eps, out=change)
        np.sqrt(change, out=change)
        change /= work
        change *= g
        average(u, self.rho, np.multiply(change, change, out=work), work)
        change *= lr
        return change


def average(mean: Array, decay: float, new: Array, work: Array) -> None:
    """mean = decay mean + (1 - decay) new, in place; ``work`` may be ``new`` itself."""
    mean *= decay
    mean += np.multiply(new, 1 - decay, out=work)


def clip_by_value(parameters: Iterable[Tensor], limit: float) -> None:
    """Clip each element of the gradients to ±limit, in place; a NaN stays NaN.

    Unlike ``clip_by_global_norm`` this may change the direction of the step.

    Args:
        parameters: Those without a gradient are skipped.
        limit: The maximum absolute value, 0 or more.
    """
    limit = check_float("clip_by_value", "limit", limit, least=0)
    for parameter in parameters:
        if parameter.grad is not None:
            np.clip(parameter.grad, -limit, limit, out=parameter.grad)


def clip_by_global_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients in place so that their joint norm is at most ``max_norm``.

    As PyTorch's ``clip_grad_norm_``: the factor is max_norm / (norm + 1e-6), if below 1. A NaN or
    infinite norm leaves the gradients unchanged.

    Args:
        parameters: Those without a gradient are skipped; one given twice counts once.
        max_norm: The maximum norm, 0 or more.

    Returns:
        The norm before.

    Source: Pascanu, Mikolov and Bengio (2013).
    """
    max_norm = check_float("clip_by_global_norm", "max_norm", max_norm, least=0)
    found = gradients(parameters)
    norm = global_norm(found)
    scale = max_norm / (norm + 1e-6)
    if scale < 1 and math.isfinite(norm):
        for gradient in found:
            gradient *= scale
    return norm


def gradients(parameters: Iterable[Tensor]) -> list[Array]:
    """The existing gradients of these parameters, each once."""
    if isinstance(parameters, Tensor) or not isinstance(parameters, Iterable):
        raise TypeError(
            f"the parameters are a list, as model.parameters() or [W, b], got "
            f"{describe_received(parameters)}"
        )
    return [p.grad for p in dict.fromkeys(parameters) if p.grad is not None]


def global_norm(gradients: Iterable[Array]) -> float:
    """The root of the sum of all squares."""
    total = 0.0
    for gradient in gradients:
        flat = gradient.ravel(order="K")
        with np.errstate(over="ignore", invalid="ignore"):
            squares = float(np.dot(flat, flat))
        if squares == math.inf:  # beyond float32's 3e38
            wide = flat.astype(np.float64)
            squares = float(np.dot(wide, wide))
        total += squares
    return math.sqrt(total)
