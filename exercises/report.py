"""What ``check``, ``hint``, ``solution`` and ``progress`` return: text that a notebook shows."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Shown"]

COLOURS = {True: "#2e8b57", False: "#c0504d", None: "#808080"}


@dataclass(frozen=True)
class Shown:
    """A heading, sentences, and lines in columns; true unless an answer has failed.

    Attributes:
        heading: One line.
        sentences: Paragraphs below it.
        code: Lines of a program or equations, shown as they are.
        table: Rows of a table, the first of which is its head.
        passed: True or False of an answer that was checked, None of what is no verdict.
    """

    heading: str
    sentences: tuple[str, ...] = ()
    code: str = ""
    table: Sequence[Sequence[str]] = ()
    passed: bool | None = None

    def __bool__(self) -> bool:
        return self.passed is not False

    def __str__(self) -> str:
        return "\n".join(part for part in (self.heading, *self.sentences, self.block) if part)

    __repr__ = __str__

    @property
    def block(self) -> str:
        """The code, and the table in columns."""
        widths = [max(map(len, column)) for column in zip(*self.table)]
        rows = ["  ".join(x.ljust(w) for x, w in zip(row, widths)).rstrip() for row in self.table]
        return "\n".join([*self.code.rstrip().splitlines(), *rows])

    def _repr_html_(self) -> str:
        parts = [f"<strong>{html.escape(self.heading)}</strong>"]
        parts += [f'<p style="margin:.3em 0">{html.escape(s)}</p>' for s in self.sentences]
        if self.block:
            parts.append(f'<pre style="overflow-x:auto">{html.escape(self.block)}</pre>')
        style = f"border-left:4px solid {COLOURS[self.passed]};padding:.2em .8em;margin:.3em 0"
        return f'<div style="{style}">{"".join(parts)}</div>'
