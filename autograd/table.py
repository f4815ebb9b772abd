"""A table that is printed in columns, and shown as HTML in a notebook: the form of a tape."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..checks import printable, shown

LONGEST = 500  # characters of a cell
MOST_NUMBERS = 6  # of an array that is written out
MOST_ROWS = 200  # of a table in a notebook: the first and the last ones
STYLE = "font-variant-numeric:tabular-nums;white-space:nowrap"


class Table:
    """Rows under their heads; a column without an entry is left out.

    Args:
        heads: A name for each column; the first always stays.
        rows: An entry for each column: a str, an array of numbers, or None.
        caption: What it is a table of.
    """

    def __init__(self, heads: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> None:
        columns = [
            (head, list(column))
            for head, column in zip(heads, zip(*rows, strict=True), strict=True)
            if head == heads[0]
            or any(x is not None and (not isinstance(x, str) or x) for x in column)
        ]
        self.caption = caption
        self.heads = [head for head, _ in columns]
        self.numeric = [any(not isinstance(x, (str, type(None))) for x in c) for _, c in columns]
        cells = [
            [shown(x, LONGEST) if isinstance(x, str) else numbers_text(x) for x in c]
            for _, c in columns
        ]
        self.rows: list[tuple[str, ...]] = list(zip(*cells, strict=True))

    def __str__(self) -> str:
        """The columns, in letters that stdout can print."""
        rows = [tuple(map(printable, row)) for row in (self.heads, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(row, widths, self.numeric, strict=True)
            ).rstrip()
            for row in rows
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The table for a notebook; of a long one the first and the last rows."""
        most = len(self.rows)
        rows: list[tuple[str, ...]] = list(self.rows)
        if most > MOST_ROWS:
            left_out = (f"… {most - MOST_ROWS:,} more", *[""] * (len(self.heads) - 1))
            rows[MOST_ROWS // 2 : most - MOST_ROWS // 2] = [left_out]

        def line(kind: str, texts: Sequence[str]) -> str:
            inside = "".join(
                f'<{kind} style="text-align:{"right" if number else "left"}">'
                f"{html.escape(text)}</{kind}>"
                for text, number in zip(texts, self.numeric, strict=True)
            )
            return f"<tr>{inside}</tr>"

        body = "".join(line("td", row) for row in rows)
        return (
            f'<table style="{STYLE}"><caption>{html.escape(self.caption)}</caption>'
            f"<thead>{line('th', self.heads)}</thead><tbody>{body}</tbody></table>"
        )


def numbers_text(x: Any) -> str:
    """A few numbers in four digits, or the size and norm of many; nothing for None."""
    if x is None:
        return ""
    array = np.asarray(x)
    if array.size > MOST_NUMBERS:
        norm = float(np.linalg.norm(array.astype(float)))
        return f"‖·‖ = {norm:.4g}"
    texts = [f"{v:.4g}" for v in array.ravel().tolist()]
    return texts[0] if array.ndim == 0 else f"[{' '.join(texts)}]"
