"""Idioms of courses, as ``keras_idioms`` lists them: they run, and give Keras's numbers.

Keras 3 runs on PyTorch; where it is not installed the comparisons are skipped, and the programs run
all the same.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_idioms import IDIOMS, Idiom, prelude

from helpers import needs

pytestmark = pytest.mark.slow


def ours(code: str) -> str:
    """A program with ``keras`` replaced in its import lines."""
    code = re.sub(
        r"^(\s*)import keras\.(\S+) as", r"\1import unspool.models.keras.\2 as", code, flags=re.M
    )
    code = re.sub(
        r"^(\s*)import keras\b", r"\1import unspool.models.keras as keras", code, flags=re.M
    )
    return re.sub(r"^(\s*)from keras\b", r"\1from unspool.models.keras", code, flags=re.M)


def run(code: str, folder: Path) -> Any:
    """What a program leaves in ``out``."""
    space = prelude(folder)
    exec(compile(code, "<idiom>", "exec"), space)
    return space["out"]


def plain(x: Any) -> Any:
    """Tensors of any library as arrays, below lists and dicts."""
    if isinstance(x, dict):
        return {key: plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(value) for value in x]
    if hasattr(x, "detach"):
        x = x.detach()
        x = x.cpu().numpy() if hasattr(x, "cpu") else x.numpy()
    return x


def compare(got: Any, expected: Any, tolerance: float, where: str = "out") -> None:
    """Raise AssertionError at the first difference."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys(), where
        for key in expected:
            compare(got[key], expected[key], tolerance, f"{where}[{key!r}]")
    elif isinstance(expected, list) and not np.isscalar(got):
        assert len(got) == len(expected), where
        for i, (a, b) in enumerate(zip(got, expected)):
            compare(a, b, tolerance, f"{where}[{i}]")
    elif expected is None or isinstance(expected, (str, bool)):
        assert got == expected, where
    else:
        a, b = np.asarray(got), np.asarray(expected)
        assert a.shape == b.shape, where
        limit = tolerance * max(np.abs(b).max(initial=0.0), 1e-2)
        np.testing.assert_allclose(a, b, rtol=0, atol=limit, err_msg=where)


def finite(x: Any) -> bool:
    """Whether all numbers in a tree are finite."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (list, tuple)):
        return all(map(finite, x))
    array = np.asarray(x)
    return array.dtype.kind not in "fiu" or bool(np.isfinite(array).all())


def test_there_are_many_and_each_has_a_name():
    assert len(IDIOMS) >= 155
    assert len({idiom.name for idiom in IDIOMS}) == len(IDIOMS)


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda idiom: idiom.name)
def test_it_runs(idiom: Idiom, tmp_path: Path):
    assert finite(plain(run(ours(idiom.code), tmp_path)))


@pytest.mark.parametrize("idiom", IDIOMS, ids=lambda idiom: idiom.name)
@pytest.mark.filterwarnings("default")  # Keras's own
def test_it_gives_keras_numbers(idiom: Idiom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "torch")
    needs("keras")
    for name in ("keras", "ours"):
        (tmp_path / name).mkdir()
    expected = plain(run(idiom.instead or idiom.code, tmp_path / "keras"))
    compare(plain(run(ours(idiom.code), tmp_path / "ours")), expected, idiom.tolerance)
