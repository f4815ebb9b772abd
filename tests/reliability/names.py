"""Hostile names: what a file, a word, a scope or a Tensor could be called."""

from __future__ import annotations

import numpy as np

PIECES = [
    "\x00", "\x07", "\x1b[31m", "\x1b]0;title\x07", "\x1b[2J", "\x9b1m", "\r", "\n", "\t", "\x7f",
    "\x85", "\u2028", "\u202e", "\ufeff", "\ud800", "\udfff", "\ufffe", "\uffff", "<", ">", "<b>",
    "</b>", "<br/>", "<<", ">>", "<>", "]]>", "<![CDATA[", "<!--", "-->", "</svg>", "</script>",
    "<script>alert(1)</script>", "</title>", "\"", "'", "\\", "\\N", "\\n", "\\\"", "\\E", "&",
    "&amp;", "&lt;", "&#0;", "&#x1f;", "{", "}", "{{title}}", "[", "]", "(", ")", "|", "$", "$$",
    "%s", "%", "#", "_", "^", "~", "`", ";", ":", "::", "->", "--", "@", "//", "/*",
    "javascript:", "é", "e\u0301", "क्षि", "ש", "👩\u200d💻", "🇦", "𝑾", "a", "W_f", "x" * 300,
    " ", "  ",
    "\xa0", "\u200b", "http://a", "${x}", "#{x}", "=1+1", "digraph", "node", "strict", "subgraph",
    "\\textbf{x}", "\\input{/etc/passwd}", "con", "..", "../x",
]  # fmt: skip


def hostile_names(count: int, seed: int = 0) -> list[str]:
    """Different names: first each piece by itself, then several in a row."""
    rng = np.random.default_rng(seed)
    found = dict.fromkeys(PIECES[:count])
    while len(found) < count:
        found["".join(rng.choice(PIECES, rng.integers(2, 5)))] = None
    return list(found)
