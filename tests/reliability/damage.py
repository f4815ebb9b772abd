"""Structural damage: a sound zip whose header or arrays are other than they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

# What may stand in the place of a value of a header.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 5, 2**31, 2**64, 10**30, 0.5, -0.5, 1e308, float("nan"),
    float("inf"), "", "x", "re:(\\w+\\s?)+$", "re:(", "\x1b]0;t\x07", "é" * 3000, [], [1], [[]],
    ["a", "a"], {}, {"class": "LSTM"}, {"kind": "os"}, {"same": 0}, {"same": "a"}, {"array": "x"},
    {"tensor": 3}, {"dict": 1}, {"dict": [[1]]}, {"list": 3}, {"tuple": [1, 2]},
]  # fmt: skip


def nested(depth: int) -> Any:
    """A list in a list, and so on."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in plain data, that of the whole left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)) and item:
            yield from places(item, (*path, key))


def damage_header(header: dict[str, Any], rng: np.random.Generator) -> str:
    """Change one place of a header; what was done."""
    found = list(places(header))
    # A vocabulary has thousands of places; the few others shall be met as often.
    *path, key = (
        found[rng.integers(len(found))]
        if rng.random() < 0.5
        else (min((found[rng.integers(len(found))] for _ in range(6)), key=len))
    )
    parent: Any = header
    for step in path:
        parent = parent[step]
    at = ".".join(map(str, (*path, key)))
    what = rng.integers(10)
    if what == 0:
        del parent[key]
        return f"without {at}"
    if what == 1 and isinstance(parent, dict):
        parent["more"] = parent.pop(key)
        return f"{at} renamed"
    if what == 2 and isinstance(parent, list):
        parent.insert(0, parent[key])
        return f"{at} twice"
    if what == 3:
        parent[key] = nested(int(rng.choice([5, 400, 900])))
        return f"{at} nested"
    value = VALUES[rng.integers(len(VALUES))]
    parent[key] = value
    return f"{at} = {value!r:.40}"


def damage_array(arrays: dict[str, Any], rng: np.random.Generator) -> str:
    """Change one array; what was done."""
    name = list(arrays)[rng.integers(len(arrays))]
    array = arrays[name]
    if array.dtype.kind not in "fiub":  # damaged before
        array = np.zeros(array.shape)
    changes: dict[str, Any] = {
        "missing": lambda a: None,
        "transposed": lambda a: np.ascontiguousarray(a.T) if a.ndim > 1 else a[None],
        "flat": lambda a: a.reshape(-1),
        "shorter": lambda a: a[:-1] if a.ndim else a[None],
        "longer": lambda a: np.concatenate([a, a]) if a.ndim else np.stack([a, a]),
        "empty": lambda a: a.reshape(-1)[:0],
        "scalar": lambda a: np.asarray(a.reshape(-1)[0] if a.size else 0),
        "text": lambda a: np.full(a.shape, "x"),
        "bytes": lambda a: np.full(a.shape, b"x"),
        "complex": lambda a: a.astype(complex),
        "bool": lambda a: a.astype(bool),
        "int": lambda a: a.astype(np.int64),
        "half": lambda a: a.astype(np.float16),
        "double": lambda a: a.astype(np.float64),
        "huge": lambda a: np.full(a.shape, 1e308),
        "record": lambda a: np.zeros(a.shape, [("a", "<i4"), ("b", "<f4")]),
        "date": lambda a: np.zeros(a.shape, "<M8[s]"),
        "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
        "NaN": lambda a: spoiled(a, np.nan),
        "inf": lambda a: spoiled(a, -np.inf),
        "negative": lambda a: -np.abs(a) - 1 if a.dtype.kind == "f" else a,
    }
    what = list(changes)[rng.integers(len(changes))]
    if what == "missing":
        del arrays[name]
    else:
        arrays[name] = changes[what](array)
    if rng.random() < 0.1:
        arrays["x" * int(rng.choice([1, 3000]))] = np.zeros(3)
        what += " and one more"
    return f"{name} {what}"


def spoiled(array: Any, value: float) -> Any:
    """A copy with one element changed, of floats where it was of integers."""
    copy = np.array(array, array.dtype if array.dtype.kind == "f" else float)
    if copy.size:
        copy.reshape(-1)[copy.size // 2] = value
    return copy


def damaged(sound: dict[str, Any], target: Path, rng: np.random.Generator) -> str:
    """Write a damaged copy of a file with a header, given its arrays; what was done."""
    arrays = dict(sound)
    header = json.loads(arrays.pop("header").tobytes())
    done = []
    for _ in range(1 + int(rng.random() < 0.1)):
        if arrays and rng.random() < 0.4:
            done.append(damage_array(arrays, rng))
        else:
            done.append(damage_header(header, rng))
    text = json.dumps(header).encode()
    np.savez(target, **{"header": np.frombuffer(text, np.uint8), **arrays})
    return ", ".join(done)
