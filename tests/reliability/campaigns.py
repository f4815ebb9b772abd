"""What the campaigns share: how long they are, and how a program is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOAK = bool(os.environ.get("UNSPOOL_SOAK"))  # make soak: ten times as long
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX's signals and limits")


def times(count: int) -> int:
    """A number of cases; ten times as many in a soak."""
    return count * 10 if SOAK else count


def python(code: str, cwd: Path, *args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        **options,
    )


def command(cwd: Path, *args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    kept = {"capture_output": True, "encoding": "utf-8", "errors": "replace", "timeout": 120}
    return subprocess.run(
        [sys.executable, "-m", "unspool", *map(str, args)], cwd=cwd, **kept | options
    )


TEXT = "\n\n".join(
    " ".join((["to", "be", "or", "not", "the", "cat", "sat", "on", "a", "mat"] * 5)[i : i + 9])
    for i in range(40)
)
