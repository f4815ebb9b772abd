"""A tape for the page's own engine: its leaves in full, the ops' metadata, the seeds.

``assets/ops.js`` has a row for each op that is named here, a forward and its rules. A tape of these
ops alone is computed again in the page whenever one of its numbers is changed; any other stays
a walk through the numbers that Python computed, and says why.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..autograd import Record, Tape, Tensor, arrays_of, operands_of

__all__ = [
    "OPS",
    "differentiable",
    "encoded",
    "leaf_arrays",
    "metadata",
    "reason_against",
    "seeds_of",
]

PLAIN = (
    "abs add copy cut divide exp log log_sigmoid matmul maximum minimum multiply negative "
    "power ravel reciprocal relu sigmoid silu softplus sqrt square subtract tanh where"
)
# The ops of assets/ops.js, and which of their metadata it reads.
OPS: dict[str, str] = {
    **dict.fromkeys(PLAIN.split(" "), ""),
    **dict.fromkeys(("max", "mean", "min", "sum"), "axis keepdims"),
    **dict.fromkeys(
        ("concatenate", "expand_dims", "log_softmax", "softmax", "squeeze", "stack"), "axis"
    ),
    "astype": "dtype",
    "binary_cross_entropy": "targets positive",
    "broadcast_to": "shape",
    "cross_entropy": "targets share total",
    "dropout": "keep",
    "elu": "alpha",
    "embedding": "ids",
    "getitem": "index",
    "layer_norm": "axis eps",
    "leaky_relu": "slope",
    "reshape": "shape",
    "swapaxes": "axis1 axis2",
    "transpose": "axes",
}
ARRAYS = frozenset(["ids", "keep", "positive", "share", "targets"])
# Metadata that the script does not read, at the values at which they change nothing.
USUAL = {"dtype": None, "weight": None, "smoothing": 0.0, "order": "C"}
MOST_NUMBERS = 200_000  # of all leaves together


def encoded(array: Any) -> dict[str, Any]:
    """An array as JSON: its shape, and its numbers in base64 under the name of their type."""
    array = np.asarray(array)
    kind = "f4" if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else "f8"
    kind = "i4" if array.dtype.kind in "iub" else kind
    data = np.ascontiguousarray(array, dtype=f"<{kind}").tobytes()
    return {"s": list(array.shape), kind: base64.b64encode(data).decode()}


def metadata(record: Record) -> dict[str, Any] | None:
    """A record's metadata as JSON; None for what the page's engine does not know."""
    known = OPS.get(str(record.op))
    if known is None:
        return None
    out: dict[str, Any] = {}
    for name, value in record.params.items():
        if name in known.split():
            found = index_of(value) if name == "index" else plain(name, value)
            if found is None and value is not None:
                return None
            out[name] = found
        elif name not in USUAL or not is_usual(value, USUAL[name]):
            return None
    return out


def is_usual(value: Any, usual: Any) -> bool:
    """Whether an option has the value at which it changes nothing."""
    return value is None if usual is None else bool(np.ndim(value) == 0 and value == usual)


def plain(name: str, value: Any) -> Any:
    """A number, a tuple of numbers, or an array, as JSON."""
    if name in ARRAYS:
        return encoded(value)
    if name == "dtype":
        return str(value) if str(value) in ("float32", "float64") else None
    if isinstance(value, (bool, int, float, type(None))):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in value):
        return [int(n) for n in value]
    return None


def index_of(index: Any) -> list[Any] | None:
    """An index in parts; None for several arrays, for one beside numbers, and for masks."""
    parts = index if isinstance(index, tuple) else (index,)
    out: list[Any] = []
    for part in parts:
        if isinstance(part, slice):
            ends = (part.start, part.stop, part.step)
            out.append([None if end is None else int(end) for end in ends])
        elif part is None or part is Ellipsis:
            out.append("..." if part is Ellipsis else None)
        elif isinstance(part, (int, np.integer)) and not isinstance(part, bool):
            out.append(int(part))
        else:
            array = np.asarray(part)
            if array.dtype.kind not in "iu":
                return None
            out.append(encoded(array) if array.ndim else int(array))
    arrays = sum(isinstance(part, dict) for part in out)
    numbers = any(isinstance(part, int) for part in out)
    return None if arrays > 1 or (arrays and numbers) else out


def leaf_arrays(tape: Tape) -> dict[Tensor, Any]:
    """The array of each leaf as it was when the ops ran: an update gives a Parameter another."""
    out: dict[Tensor, Any] = {}
    for record in tape:
        for x, array in zip(record.inputs, arrays_of(record.output), strict=True):
            if x._record is None:
                out.setdefault(x, x.data if array is None else np.asarray(array))
    return out


def differentiable(tape: Tape) -> set[Tensor]:
    """The Tensors that can have a gradient: floats that are no constants of the code."""
    operands = (x for record in tape for x in operands_of(record.output))
    return {x for x in (*operands, *tape.outputs) if isinstance(x, Tensor) and x.dtype.kind == "f"}


def seeds_of(tape: Tape, gradients: Mapping[Tensor, Any] | None) -> dict[Tensor, Any]:
    """The gradients that the pass back began with: those of the outputs."""
    found = {}
    for output in tape.outputs:
        g = None if gradients is None else gradients.get(output)
        if g is not None:
            found[output] = np.asarray(g.data if isinstance(g, Tensor) else g)
    return found


def reason_against(tape: Tape, gradients: Mapping[Tensor, Any] | None) -> str:
    """Why the page cannot compute a tape again, or nothing."""
    unknown = {str(record.op): None for record in tape if metadata(record) is None}
    if unknown:
        names = ", ".join(list(unknown)[:3]) + (", …" if len(unknown) > 3 else "")
        return f"{names} {'is' if len(unknown) == 1 else 'are'} not among the page's own ops"
    if sum(np.size(array) for array in leaf_arrays(tape).values()) > MOST_NUMBERS:
        return f"its leaves hold more than {MOST_NUMBERS:,} numbers"
    used = {x for record in tape for x in record.inputs}
    if any(output in used for output in tape.outputs):
        return "one of its outputs leads to another"
    seeds = seeds_of(tape, gradients)
    if gradients is None or not seeds:
        return ""
    again = tape.gradients(
        [seeds.get(output) for output in tape.outputs]
        if len(tape.outputs) > 1
        else seeds[tape.outputs[0]]
    )
    for x, g in again.items():
        given = gradients.get(x)
        data = given.data if isinstance(given, Tensor) else given
        if data is None or not np.allclose(data, g, 1e-4, 1e-6, equal_nan=True):
            return "its gradients are not those of its outputs alone"
    return ""
