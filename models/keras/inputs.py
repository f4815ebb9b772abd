"""The inputs of a network, checked against its symbolic ones before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import describe_received
from .data import as_array
from .graph import Graph
from .layers.embeddings import Embedding
from .symbolic import KerasTensor, leaves, shown


def checked_inputs(who: str, graph: Graph | None, x: Any) -> Any:
    """Inputs as arrays: one, or a list of them; a dict for a network without a graph.

    Args:
        who: For messages.
        graph: Of the network, or None for a class of your own, which takes what it takes.
        x: An array; a list, or a dict by the names of the inputs, where there are several.
    """
    if graph is None:
        if isinstance(x, dict):
            return {name: checked_input(who, one) for name, one in x.items()}
        if is_list_of_arrays(x):
            return [checked_input(who, one) for one in x]
        return checked_input(who, x)
    tensors = list(leaves(graph.inputs))
    if isinstance(x, dict):
        missing = [name for name in graph.input_names if name not in x]
        if missing:
            given = ", ".join(map(repr, x))
            raise ValueError(f"{who}: x has no {', '.join(map(repr, missing))}, got {given}")
        x = [x[name] for name in graph.input_names]
    elif len(tensors) == 1:
        if not (is_list_of_arrays(x) and len(x) == 1):  # [x], as Keras takes a single input too
            x = [x]
    elif not isinstance(x, (list, tuple)) or len(x) != len(tensors):
        raise ValueError(
            f"{who}: the network reads {len(tensors)} inputs, {', '.join(graph.input_names)}; give "
            f"a list of as many arrays, got {describe_received(x)}"
        )
    arrays = [fitting(who, graph, t, one) for t, one in zip(tensors, x, strict=True)]
    if len({len(array) for array in arrays}) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"{who}: the inputs have different numbers of instances: {shapes}")
    return arrays if len(arrays) > 1 else arrays[0]


def is_list_of_arrays(x: Any) -> bool:
    """Whether it is a list of arrays with a batch axis each."""
    listed = isinstance(x, (list, tuple)) and bool(len(x))
    return listed and all(isinstance(one, np.ndarray) and one.ndim > 1 for one in x)


def checked_input(who: str, x: Any, texts: bool = False) -> NDArray[Any]:
    """One input as an array of numbers, or of texts."""
    array = as_array(who, "x", x)
    if array.ndim < 1 + (not texts) or not len(array):
        raise ValueError(
            f"{who}: expected x (instances, ...) of 1 instance or more, got {array.shape}"
        )
    if array.dtype.kind not in "fiub" and not (texts and array.dtype.kind in "US"):
        raise TypeError(f"{who}: x must hold numbers, got {array.dtype}")
    return array


def fitting(who: str, graph: Graph, tensor: KerasTensor, x: Any) -> NDArray[Any]:
    """One input as an array of a symbolic input's shape."""
    readers = list(graph.readers(tensor))
    array = checked_input(who, x, any(getattr(r, "reads_texts", False) for r in readers))
    wanted, got = tensor.shape, array.shape
    # The length of sequences may differ from call to call; widths may not.
    time = len(wanted) > 2 or any(isinstance(reader, Embedding) for reader in readers)
    free = (0, 1) if time else (0,)
    if len(got) != len(wanted) or any(
        w not in (None, g) and i not in free for i, (w, g) in enumerate(zip(wanted, got))
    ):
        raise ValueError(f"{who}: the network reads {shown((None, *wanted[1:]))}, got x {got}")
    return array
