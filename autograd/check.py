"""The gradient checker: gradients of the tape against central differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..checks import check_callable, check_float, check_int
from .backward import backpropagate
from .context import recording
from .functional import argument_text, carry_back, not_floats
from .messages import describe
from .tensor import Tensor, operands_of, values
from .trees import flatten, places


def check_grads(
    f: Callable[..., Any],
    args: Any,
    order: int = 1,
    *,
    rtol: float = 1e-6,
    atol: float | None = None,
    step: float = 1e-4,
) -> None:
    """Compare the gradients of ``f(*args)`` with central differences, element by element.

    The result is made a scalar by fixed random weights. The differences are of fourth order
    (two central differences at ``step`` and twice that), good to about ten digits of the
    gradient's own scale, however small, unless the rounding of ``f``'s values is larger.

    Args:
        f: Takes the arguments as Tensors, returns a Tensor or a container of Tensors.
        args: A sequence of arguments; one array, number or dict stands for itself. Arrays of
            floats become Tensors (float64); Tensors that require a gradient, such as a model's
            Parameters, are passed as they are and must be float64, so ``f`` may also reach them
            by itself. Other arguments are passed on unchanged, but may not share a container
            with floats, as ``grad`` refuses that too.
        order: 2 checks the second derivatives too, and so on.
        rtol: Allowed difference, relative to the numerical value, or where that is below 1 to
            the largest in the array, but not more than to 1.
        atol: Allowed absolute difference; None for an estimate of the rounding error of the
            differences, at most 1e-7.
        step: The step of the differences, relative to the larger of 1 and the element.

    Raises:
        AssertionError: A gradient is wrong; the message names the argument, the place in it and
            both numbers.

    Example:
        >>> from unspool import check_grads
        >>> check_grads(lambda x: np.sin(x) * x, [np.array([0.5, -1.0])], order=2)
    """
    check_callable("check_grads", "f", f, "check_grads(f, [x])")
    check_int("check_grads", "order", order)
    _check_tolerances(rtol, atol, step)
    if isinstance(args, (dict, np.ndarray, Tensor)) or not isinstance(args, Iterable):
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
                raise not_floats(f"check_grads: {name}", x)
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
            got = ", ".join(type(y).__name__ for y in outputs) or "nothing"
            raise TypeError(
                f"check_grads: the function must return Tensors of floats, got {got}; compute "
                "the result from the arguments with np's functions"
            )
        return found

    kept = [(x, x.data) for x in leaves if not x.data.flags.writeable]
    try:
        for x, data in kept:
            x.data = data.copy()  # the differences write into it
        _check(run, leaves, names, order, 1, (rtol, atol, step))
    finally:
        for x, data in kept:
            x.data = data


def _check_tolerances(rtol: Any, atol: Any, step: Any) -> None:
    check_float("check_grads", "step", step, above=0)
    check_float("check_grads", "rtol", rtol, least=0)
    if atol is not None:
        check_float("check_grads", "atol", atol, least=0)


def _kind(x: Any) -> str:
    return x.dtype.kind if isinstance(x, Tensor) else np.asarray(x).dtype.kind


def _check(
    run: Callable[[], list[Tensor]],
    leaves: Sequence[Tensor],
    names: Sequence[str],
    order: int,
    level: int,
    tolerances: tuple[float, float | None, float],
) -> None:
    rtol, atol, step = tolerances
    rng = np.random.default_rng(level)
    weights = [rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1, 1], y.shape) for y in run()]

    def scalar() -> float:
        return float(sum((y.data * w).sum() for y, w in zip(run(), weights, strict=True)))

    def gradients(record: bool) -> list[Any]:
        found = carry_back(list(zip(run(), weights, strict=True)), leaves, record)
        return [found[x] if x in found else np.zeros(x.shape) for x in leaves]

    for name, leaf, g in zip(names, leaves, gradients(False), strict=True):
        if g.shape != leaf.shape:
            raise AssertionError(f"{name}: the gradient has shape {g.shape}, expected {leaf.shape}")
        numerical, spread = np.zeros(leaf.shape), np.zeros(leaf.shape)
        for place in np.ndindex(leaf.shape):
            h = step * max(1.0, abs(float(leaf.data[place])))
            numerical[place], spread[place] = _difference(scalar, leaf.data, place, h)
        scale = np.maximum(min(1.0, _largest(numerical)), abs(numerical))
        noise = min(1e-7, 100 * _largest(spread)) if atol is None else atol
        bad = _apart(g, numerical, noise, rtol * scale)
        if len(bad) and atol is None:
            noise += 10 * _rounding(run(), weights) / step
            bad = _apart(g, numerical, min(1e-7, noise), rtol * scale)
        if len(bad):
            at = tuple(bad[0])
            raise AssertionError(
                f"check_grads, order {level}: {name} at {bad[0].tolist()}: the tape gives "
                f"{float(g[at])!r}, central differences {float(numerical[at])!r}"
            )
    if order > level:

        def run_gradients() -> list[Tensor]:
            return [g if isinstance(g, Tensor) else Tensor(g) for g in gradients(True)]

        _check(run_gradients, leaves, names, order, level + 1, tolerances)


def _difference(
    scalar: Callable[[], float], data: Any, place: Any, h: float
) -> tuple[float, float]:
    """The slope, with an error O(h⁴), from those over 2h and 4h; and the difference of these."""
    at = data[place]
    found = []
    try:
        for k in (1, -1, 2, -2):
            data[place] = at + k * h
            found.append(scalar())
    finally:
        data[place] = at
    near, far = (found[0] - found[1]) / (2 * h), (found[2] - found[3]) / (4 * h)
    return (4 * near - far) / 3, abs(near - far)


def _apart(exact: Any, numerical: Any, noise: float, allowed: Any) -> Any:
    """The places where two gradients differ by more than is allowed."""
    with np.errstate(invalid="ignore"):  # inf - inf
        return np.argwhere(~(abs(exact - numerical) <= noise + allowed))


def _rounding(outputs: Sequence[Tensor], weights: Sequence[Any]) -> float:
    """A bound on the rounding error of the weighted sum of the outputs.

    To first order each intermediate number contributes the sum's gradient times its own rounding
    error (Linnainmaa 1976). An op of one operand is assumed to round numbers of its size inside.
    """
    total = 0.0

    def deliver(x: Tensor, g: Any) -> None:
        nonlocal total
        operands = values(operands_of(x))
        inside = _largest(operands[0]) if len(operands) == 1 else 0.0
        if isinstance(g, (np.ndarray, np.floating)):
            total += float((abs(g) * np.maximum(abs(x.data), inside)).sum())

    backpropagate(list(zip(outputs, weights, strict=True)), deliver, keep_all=True)
    return total * float(np.finfo(np.float64).eps)


def _largest(x: Any) -> float:
    """The largest magnitude, NaN left out; 0 for an empty array."""
    return float(np.fmax.reduce(np.abs(x), axis=None, initial=0.0))
