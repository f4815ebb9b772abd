"""The checker: gradients of the tape against central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .context import recording
from .functional import argument_text, flatten, no_floats, places
from .tape import backpropagate
from .tensor import Tensor, describe

__all__ = ["check_grads"]


def check_grads(
    f: Callable[..., Any],
    args: Any,
    order: int = 1,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-7,
    step: float = 1e-4,
) -> None:
    """Compare the gradients of ``f(*args)`` with central differences, element by element.

    The result is made a scalar by fixed random weights. The differences are of fourth order
    (two central differences at ``step`` and twice that), good to about ten digits.

    Args:
        f: Takes the arguments as Tensors, returns a Tensor or a container of Tensors.
        args: A sequence of arguments. Arrays of floats become Tensors (float64); Tensors that
            require a gradient, such as a model's Parameters, are passed as they are and must be
            float64, so ``f`` may also reach them by itself. All else is passed on untouched, but
            may not stand in one container with floats, as ``grad`` would not take that.
        order: 2 checks the second derivatives too, and so on.
        rtol: Allowed difference, relative to the larger of 1 and the numerical value.
        atol: Allowed absolute difference.
        step: The distance of the differences, relative to the larger of 1 and the element.

    Raises:
        AssertionError: A gradient is wrong; the message names the argument, the place in it and
            both numbers.
        ValueError: There is nothing to check, or a Tensor is not float64.
        TypeError: ``f`` returns no Tensor of floats, or a container holds floats and others.

    Example:
        >>> import numpy as np
        >>> from unspool import check_grads
        >>> check_grads(lambda x: np.sin(x) * x, [np.array([0.5, -1.0])], order=2)
    """
    if isinstance(args, (np.ndarray, Tensor, float)):
        args = (args,)
    leaves: list[Any] = []
    arguments: list[Any] = []
    names: list[str] = []
    for i, arg in enumerate(args):
        found, rebuild = flatten(arg)
        made = []
        floats = [_kind(x) == "f" for x in found]
        for x, place, is_float in zip(found, places(arg), floats, strict=True):
            name = argument_text(i, place)
            if any(floats) and not is_float:  # a container that holds both
                raise no_floats(f"check_grads: {name}", x)
            if is_float and not isinstance(x, Tensor):
                x = Tensor(np.array(x, dtype=np.float64), requires_grad=True)
            if is_float and x.requires_grad:
                if x.dtype != np.float64:
                    raise ValueError(f"check_grads: {describe(x)} must be float64 for differences")
                leaves.append(x)
                names.append(name + (f" ({x.name})" if x.name else ""))
            made.append(x)
        arguments.append(rebuild(made))
    if not leaves:
        raise ValueError("check_grads: no argument holds floats, so there is no gradient to check")

    def run() -> list[Tensor]:
        with recording():
            outputs, _ = flatten(f(*arguments))
        found = [y for y in outputs if isinstance(y, Tensor) and y.dtype.kind == "f"]
        if not found:
            came = ", ".join(type(y).__name__ for y in outputs) or "nothing"
            raise TypeError(
                f"check_grads: the function must return Tensors of floats, got {came}; compute "
                "the result from the arguments with np's functions"
            )
        return found

    _check(run, leaves, names, order, 1, (rtol, atol, step))


def _kind(x: Any) -> str:
    return x.dtype.kind if isinstance(x, Tensor) else np.asarray(x).dtype.kind


def _check(
    run: Callable[[], list[Tensor]],
    leaves: Sequence[Tensor],
    names: Sequence[str],
    order: int,
    level: int,
    tolerances: tuple[float, float, float],
) -> None:
    rtol, atol, step = tolerances
    rng = np.random.default_rng(level)
    weights = [rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1, 1], y.shape) for y in run()]

    def scalar() -> float:
        return float(sum((y.data * w).sum() for y, w in zip(run(), weights, strict=True)))

    def gradients(record: bool) -> list[Any]:
        found: dict[Tensor, Any] = {}
        with recording():
            roots = [(y, Tensor(w) if record else w) for y, w in zip(run(), weights, strict=True)]
            backpropagate(roots, lambda x, g: found.__setitem__(x, g), stop=leaves)
        zeros = [np.zeros(x.shape) for x in leaves]
        return [found.get(x, zero) for x, zero in zip(leaves, zeros, strict=True)]

    for name, leaf, g in zip(names, leaves, gradients(False), strict=True):
        if g.shape != leaf.shape:
            raise AssertionError(f"{name}: the gradient has shape {g.shape}, expected {leaf.shape}")
        for place in np.ndindex(leaf.shape):
            h = step * max(1.0, abs(float(leaf.data[place])))
            numerical = _difference(scalar, leaf.data, place, h)
            exact = float(g[place])
            if not abs(exact - numerical) <= atol + rtol * max(1.0, abs(numerical)):
                raise AssertionError(
                    f"check_grads, order {level}: {name} at {list(place)}: the tape gives "
                    f"{exact!r}, central differences {numerical!r}"
                )
    if order > level:

        def run_gradients() -> list[Tensor]:
            return [g if isinstance(g, Tensor) else Tensor(g) for g in gradients(True)]

        _check(run_gradients, leaves, names, order, level + 1, tolerances)


def _difference(scalar: Callable[[], float], data: Any, place: Any, h: float) -> float:
    """(8 [f(h) - f(-h)] - [f(2h) - f(-2h)]) / 12h: error O(h⁴)."""
    at = data[place]
    found = []
    try:
        for k in (1, -1, 2, -2):
            data[place] = at + k * h
            found.append(scalar())
    finally:
        data[place] = at
    return (8 * (found[0] - found[1]) - (found[2] - found[3])) / (12 * h)
