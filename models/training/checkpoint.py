"""Checkpoints: files from which ``fit`` resumes a training bit for bit.

A checkpoint is a ``.npz`` of plain arrays with a JSON header: the parameters and the best ones so
far, the optimiser's state, the position in the data and the carry, the states of all random
generators, and the history. Nothing is pickled, and writing is atomic. The header also holds the
run's fingerprint, its model, optimiser, data and settings, by which another run's file is refused.
"""

from __future__ import annotations

import json
import types
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...autograd import Tensor
from ...cells import Module
from ...checks import describe_received, shown
from ...files import PathLike, load_described, remove_unfinished, save_described
from .optim import Optimizer
from .schema import Check

Arrays = dict[str, NDArray[Any]]
FORMAT = "unspool checkpoint"
VERSION = 1
PLAIN = (bool, int, float, str, type(None))


def save_checkpoint(path: PathLike, fingerprint: Mapping[str, Any], state: Any) -> None:
    """Write a checkpoint, atomically.

    Args:
        path: The file.
        fingerprint: Of the run, made of ``describe_...``.
        state: Plain values, Tensors, arrays, and containers of them.
    """
    path = Path(path)
    arrays: Arrays = {}
    parts = {"training": dict(fingerprint), "state": packed(state, "state", arrays)}
    header = json.loads(json.dumps(parts))  # as it will be read
    header["checksum"] = checksum([header, arrays])
    save_described(path, FORMAT, VERSION, header, arrays, previous=previous_of(path))


def load_checkpoint(path: PathLike, fingerprint: Mapping[str, Any], check: Check) -> Any:
    """Read the state from a checkpoint of a run with this fingerprint.

    Temporary files of killed writers are removed.

    Args:
        path: The file.
        fingerprint: Of the run.
        check: The schema of the state.

    Raises:
        ValueError: The file is damaged (and whether the checkpoint before it is sound), or it is
            of another run, and the differences are named.
    """
    path = Path(path)
    try:
        state = read_state(path, fingerprint, check)
    except AnotherTraining:
        raise
    except ValueError as error:
        before = previous_of(path)
        try:
            read_state(before, fingerprint, check)
        except (ValueError, OSError):
            raise error from None
        raise ValueError(
            f"{error}. The checkpoint before it is sound: rename {before.name} to {path.name} to "
            "resume from that"
        ) from error
    remove_unfinished(path)
    remove_unfinished(previous_of(path))
    return state


class AnotherTraining(ValueError):
    """A checkpoint is sound, and of another training."""


def read_state(path: Path, fingerprint: Mapping[str, Any], check: Check) -> Any:
    """The checked state of a checkpoint."""
    header, arrays = load_described(path, FORMAT, VERSION)
    try:
        problems = differences(header["training"], fingerprint)
        state = unpacked(header["state"], arrays)
        if not problems:
            check(state, "state")
            check_checksum(header, arrays)
    except KeyError as error:
        missing = shown(error.args[0])
        raise ValueError(f"{path} is damaged: it has no {missing}") from error
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if problems:
        more = f"; and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise AnotherTraining(
            f"{path} is the checkpoint of another training: {'; '.join(problems[:20])}{more}"
        )
    return state


def check_checksum(header: Mapping[str, Any], arrays: Arrays) -> None:
    """Raise ValueError where values are other than those written; old files have no checksum."""
    parts = {name: header[name] for name in ("training", "state")}
    if "checksum" in header and header["checksum"] != checksum([parts, arrays]):
        raise ValueError("its values are not those that were written")


def previous_of(path: PathLike) -> Path:
    """The checkpoint before the last one: ``run.npz`` has ``run.previous.npz``."""
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


# Values -----------------------------------------------------------------------------------------


def packed(value: Any, name: str, arrays: Arrays) -> Any:
    """A value as JSON; its arrays are added to ``arrays``, named by their path."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Tensor):
        arrays[name] = value.data
        return {"tensor": name, "name": value.name}
    if isinstance(value, (np.ndarray, np.generic)):
        arrays[name] = np.asarray(value)
        return {"array": name}
    if isinstance(value, dict):
        keys = list(value)
        items = [packed(value[key], f"{name}.{key}", arrays) for key in keys]
        return {"dict": [[key, item] for key, item in zip(keys, items, strict=True)]}
    if isinstance(value, (list, tuple)):
        items = [packed(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": items}
    raise TypeError(
        f"a checkpoint holds Tensors, arrays, plain values, and tuples, lists and dicts of them; "
        f"{name} is a {type(value).__name__}"
    )


def unpacked(value: Any, arrays: Mapping[str, Any]) -> Any:
    """The inverse of ``packed``."""
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return Tensor(arrays[value["tensor"]], name=value["name"])
    if "array" in value:
        return arrays[value["array"]]
    if "dict" in value:
        return {key: unpacked(item, arrays) for key, item in value["dict"]}
    if "list" in value:
        return [unpacked(item, arrays) for item in value["list"]]
    return tuple(unpacked(item, arrays) for item in value["tuple"])


# Random states ----------------------------------------------------------------------------------


def parts(owners: Iterable[Any]) -> Iterator[Any]:
    """All objects in the attributes of objects and in containers, each once, in order."""
    seen: set[int] = set()
    stack = [*owners][::-1]
    while stack:
        value = stack.pop()
        if id(value) in seen or isinstance(value, (*PLAIN, Tensor, np.ndarray, np.generic)):
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, (list, tuple)):
            stack.extend(reversed(value))
        elif isinstance(value, dict):
            stack.extend(reversed([*value.values()]))
        elif not isinstance(value, (type, types.ModuleType, types.FunctionType)):
            stack.extend(reversed([*getattr(value, "__dict__", {}).values()]))


def generators(*owners: Any) -> list[np.random.Generator]:
    """The Generators in these objects."""
    return [part for part in parts(owners) if isinstance(part, np.random.Generator)]


def seeded(*owners: Any) -> list[Any]:
    """The objects in these, or among them, that have an int ``seed``."""
    return [part for part in parts(owners) if isinstance(getattr(part, "seed", None), int)]


def random_states(rngs: Iterable[np.random.Generator]) -> list[Any]:
    """The state of each Generator: plain values and arrays."""
    return [rng.bit_generator.state for rng in rngs]


def set_random_states(rngs: Iterable[np.random.Generator], states: Iterable[Any]) -> None:
    """Restore the state of each Generator."""
    for rng, state in zip(rngs, states, strict=True):
        rng.bit_generator.state = state


# The fingerprint of a run ------------------------------------------------------------------------


def describe_model(model: Module) -> dict[str, Any]:
    """Its class, and each parameter's shape, dtype, and whether it is frozen."""
    described: dict[str, Any] = {"model": type(model).__name__}
    for name, parameter in model.named_parameters():
        frozen = "" if parameter.requires_grad else " frozen"
        described[f"model.{name}"] = f"{parameter.dtype} {parameter.shape}{frozen}"
    return described


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Its class and settings."""
    described = described_object("optimizer", optimizer, skip=("parameters", "steps", "memory"))
    return described | {"optimizer, parameters": len(optimizer.parameters)}


def describe_task(name: str, task: Any) -> dict[str, Any]:
    """Its class, its settings, and a checksum of its data; not its seed."""
    if task is None:
        return {name: None}
    return described_object(name, task, skip=("seed",)) | {f"{name}, batches": len(task)}


def described_object(name: str, value: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Its class, and its public attributes as ``name.attribute``."""
    described: dict[str, Any] = {name: type(value).__name__}
    for key, item in getattr(value, "__dict__", {}).items():
        if key not in skip and not key.startswith("_"):
            described[f"{name}.{key}"] = described_value(item)
    return described


def described_value(value: Any) -> Any:
    """A plain value unchanged, anything else as its size and checksum."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (list, tuple)) and len(value) < 9:
        items = [described_value(item) for item in value]
        if all(isinstance(item, (*PLAIN, list)) for item in items):
            return items
    size = ""
    if isinstance(value, np.ndarray):
        size = f" {value.shape}"
    elif isinstance(value, (list, tuple, dict)):
        size = f" of {len(value)}"
    return f"{type(value).__name__}{size}, checksum {checksum(value):08x}"


def checksum(value: Any, start: int = 0) -> int:
    """A CRC-32 of a value; functions, Tensors and Generators count by their type.

    Integers of 4 and 8 bytes count alike: which of them NumPy makes depends on the system.
    """
    if isinstance(value, np.ndarray) and value.dtype == np.int32:
        value = value.astype(np.int64)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        start = zlib.crc32(f"{value.dtype}{value.shape}".encode(), start)
        return zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data, start)
    if isinstance(value, (*PLAIN, np.generic)):
        return zlib.crc32(repr(value).encode(), start)
    start = zlib.crc32(type(value).__name__.encode(), start)
    if isinstance(value, dict):
        value = [*value.items()]
    if isinstance(value, (list, tuple, np.ndarray)):
        for item in value:
            start = checksum(item, start)
    return start


def differences(saved: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The differences between two fingerprints, in words."""
    if not isinstance(saved, Mapping):
        raise ValueError(f"it describes its training by {describe_received(saved)}")
    words = []
    for name in [*given, *(name for name in saved if name not in given)]:
        if name not in saved:
            words.append(f"{name} is new, now {shown(given[name])}")
        elif name not in given:
            words.append(f"{shown(name)} was {shown(saved[name])}, and is absent now")
        elif saved[name] != given[name]:
            words.append(f"{name} was {shown(saved[name])}, now {shown(given[name])}")
    return words
