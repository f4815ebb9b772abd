"""Messages: how operands, options, calls and scopes are written in errors and printed tapes.

An operand is recognised by its attributes, not by its class, so that every file of the engine
can import this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..checks import shown
from .coercion import SCALARS
from .context import current_scope, path_text


def is_tensor(x: Any) -> bool:
    """Whether it is a Tensor: nothing else has a record."""
    return hasattr(x, "_record")


def describe(x: Any) -> str:
    """An operand: its name (or the op that made it), shape and dtype; a scalar's value."""
    if type(x) in SCALARS:
        return repr(x)
    if is_tensor(x):
        made = f"the result of {x._record[1]}" if x._record else "a Tensor"
        name = shown(x.name, 200) if x.name else made
        return f"{name} {x.shape} {x.dtype}"
    if isinstance(x, np.ndarray):
        return f"an array {x.shape} {x.dtype}"
    return repr(x)


def operands_text(args: Any) -> str:
    """The Tensors and arrays among arguments, also those inside of lists."""
    found = []
    for x in args:
        if is_tensor(x) or isinstance(x, np.ndarray):
            found.append(describe(x))
        elif isinstance(x, (tuple, list)):
            found.append(operands_text(x))
    return " and ".join(filter(None, found))


def options_text(params: dict[str, Any]) -> str:
    """The metadata of an op, arrays by their shapes: ``" axis=1 keepdims=True"``, ``" [2:5]"``."""
    shown = {k: v for k, v in params.items() if v is not None and v is not False}
    if "index" in shown:
        index = shown["index"]
        return " " + (option_text(index) if isinstance(index, tuple) else f"[{option_text(index)}]")
    return "".join(f" {k}={option_text(v)}" for k, v in shown.items())


def option_text(value: Any) -> str:
    """One metadata value."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape}" if value.size > 4 else str(value.tolist())
    if isinstance(value, slice):
        start, stop, step = (
            "" if x is None else str(x) for x in (value.start, value.stop, value.step)
        )
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if value is Ellipsis:
        return "..."
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(option_text, value))}]"
    return repr(value)


def located(path: tuple[str, ...]) -> str:
    """``" in lstm / t=3 / forget"``, or "" outside of every scope."""
    return f" in {path_text(path)}" if path else ""


def here() -> str:
    """``located`` of the current scope."""
    return located(current_scope.get() or ())


def function_name(function: Callable[..., Any]) -> str:
    """A NumPy function's name as users write it: ``np.tanh``, ``np.linalg.norm``."""
    module = getattr(function, "__module__", None) or "numpy"
    prefix = module.replace("numpy", "np", 1) if module.startswith("numpy") else module
    return f"{'np' if prefix.startswith('np._') else prefix}.{function.__name__}"


def call_text(function: Any, args: Sequence[Any]) -> str:
    """A call: the function (or its name), its operands and the scope."""
    name = function if isinstance(function, str) else function_name(function)
    return f"{name} of {operands_text(args)}{here()}"


def explain(
    error: BaseException, op: str, inputs: Sequence[Any], params: dict[str, Any] | None = None
) -> Exception:
    """NumPy's error with the op, its operands and the scope added."""
    message = str(error).split("\n")[0]
    is_op = hasattr(op, "elementwise")  # else the name of a function that is written with ops
    hint = ""
    shapes = [x.shape for x in inputs if is_tensor(x) or isinstance(x, np.ndarray)]
    if op in ("matmul", "dot") and len(shapes) == 2 and shapes[0] and shapes[1]:
        inner = shapes[1][-2] if len(shapes[1]) > 1 else shapes[1][0]
        if shapes[0][-1] != inner:
            hint = f"; the left has {shapes[0][-1]} columns, the right {inner} rows"
    elif getattr(op, "elementwise", False) and "broadcast" in message and op != "einsum":
        hint = "; from the right, lengths must be equal or 1"
    if any(isinstance(x, tuple) and any(map(is_tensor, x)) for x in inputs):
        message = "an operand is a tuple of Tensors, as the state of a cell is"
        hint = "; unpack it, as in (h,) = state, or h, c = state"
    kinds = (np.linalg.LinAlgError, np.exceptions.AxisError, TypeError, ValueError, IndexError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), ValueError)
    operands = " and ".join(map(describe, inputs)) if is_op else operands_text(inputs)
    return kind(f"{op} of {operands}{options_text(params or {})}{here()}: {message}{hint}")
