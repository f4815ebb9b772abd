"""Lines on the terminal."""

from __future__ import annotations

import sys
from typing import Any


def note(message: object) -> None:
    """Print an error, a warning or a remark as one line on stderr."""
    text = " ".join(str(message).split()) or type(message).__name__
    print(f"unspool: {text}", file=sys.stderr)


def reconfigure(stream: Any, **options: str) -> None:
    """Change how a text stream encodes, where it is one of the process's own."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(**options)
