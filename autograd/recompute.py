"""Checkpoints: memory for time, by computing a part of the graph again in the backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..checks import check_callable
from .backward import backpropagate
from .context import current_scope, recording
from .functional import alias_of
from .messages import describe, is_tensor
from .tensor import Op, Tensor, apply, operands_of
from .trees import flatten


def checkpoint(f: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """``f(*args, **options)``, whose records are computed again when its gradient is needed.

    The backward pass runs ``f`` again, so the results of the ops inside are held in memory only
    then (Chen et al. 2016). ``f`` must compute the same again: give it its random numbers, or
    an integer as the seed that it draws them from.

    Args:
        f: Returns a Tensor, or a tuple (nested, as a cell's ``(y, state)``) of Tensors of one
            dtype.
        *args: Tensors, or nested containers of them, and other arguments.
        **options: Arguments other than Tensors.

    Returns:
        What ``f`` returns; the tape holds one record ``checkpoint`` in place of those inside.

    Raises:
        ValueError: From the backward pass, if ``f`` returns another result the second time.

    Example:
        >>> import numpy as np
        >>> from unspool import Parameter
        >>> from unspool.autograd import checkpoint
        >>> x = Parameter([0.5])
        >>> checkpoint(lambda x: np.exp(np.sin(x)), x).sum().backward()
        >>> x.grad.round(6)
        array([1.417424])
    """
    check_callable("checkpoint", "f", f, "checkpoint(f, x)")
    for option, x in options.items():
        if any(map(is_tensor, flatten(x)[0])):
            raise TypeError(
                f"checkpoint: {option}= holds a Tensor; give Tensors to the function by position"
            )
    if current_scope.get() is None:
        return f(*args, **options)
    leaves, rebuild = flatten(args)
    # An alias of each argument marks where f begins; f closes over all else that it reads.
    with recording():
        inside = [alias_of(x) for x in leaves]
        outputs, rebuild_output = flatten(f(*rebuild(inside), **options))
    aliases = {x for x in inside if is_tensor(x)}
    given = [x for x in leaves if is_tensor(x)]
    first = min((x._record[0] for x in aliases), default=None)
    captured = _captured(outputs, aliases, first)
    shapes = [y.shape for y in outputs]
    data = _joined([y.data for y in outputs])
    del inside, aliases, outputs

    def rule(g: Any, y: Any, *inputs: Any) -> list[Any]:
        with recording():
            fresh = [alias_of(x) for x in given]
            for alias in fresh:  # Tape.gradients() wants a gradient of every argument
                alias.requires_grad = alias.dtype.kind == "f"
            replaced = iter(fresh)
            given_again = rebuild([next(replaced) if is_tensor(x) else x for x in leaves])
            again, _ = flatten(f(*given_again, **options))
            if [np.shape(y) for y in again] != shapes or not _same(_joined(again), data):
                raise ValueError(
                    f"checkpoint: {getattr(f, '__name__', 'f')} gave another result the second "
                    "time; give it randomness as an integer seed, or draw the mask outside and "
                    "pass it in, and change nothing that it reads before the backward pass"
                )
            result = _joined(again)
        found: dict[Tensor, Any] = {}
        targets = [*fresh, *captured]
        backpropagate([(result, g)], lambda x, gx: found.__setitem__(x, gx), stop=set(targets))
        return [found.get(x) for x in targets]

    op = Op("checkpoint", lambda *_: data, rule)
    whole = apply(op, (*given, *captured))
    if len(shapes) == 1:
        return rebuild_output([whole])
    parts = []
    at = 0
    for shape in shapes:
        n = math.prod(shape)
        parts.append(whole[at : at + n].reshape(shape))
        at += n
    return rebuild_output(parts)


def _joined(ys: Sequence[Any]) -> Any:
    """Several results flattened and concatenated; a single one as it is."""
    return ys[0] if len(ys) == 1 else np.concatenate([y.reshape(-1) for y in ys])


def _same(result: Tensor, kept: Any) -> bool:
    """Whether two results are equal, to the bit or up to rounding by another order of sums."""
    if np.array_equal(result.data, kept, equal_nan=True):
        return True
    rounding = float(np.finfo(kept.dtype).eps) ** 0.5
    scale = np.abs(kept[np.isfinite(kept)]).max(initial=0)
    return np.allclose(result.data, kept, rounding, rounding * scale, equal_nan=True)


def _captured(outputs: Sequence[Any], aliases: set[Tensor], first: int | None) -> list[Tensor]:
    """The Tensors made before ``f`` ran that its results depend on, other than its arguments."""
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(f"checkpoint: the function must return Tensors, got {type(y).__name__}")
    if len({y.dtype for y in outputs}) != 1:
        found = ", ".join(map(describe, outputs)) or "none"
        raise TypeError(f"checkpoint: the function must return Tensors of one dtype, got {found}")
    seen: set[Tensor] = set()
    captured = []
    stack = list(outputs)
    while stack:
        t = stack.pop()
        if t in seen or t in aliases or not t.requires_grad:
            continue
        seen.add(t)
        record = t._record
        if record is None or (first is not None and record[0] < first):
            captured.append(t)
        else:
            stack.extend(x for x in operands_of(t) if isinstance(x, Tensor))
    return captured
