"""Words of the time steps: below the columns what is read, above them what should come out.

Words stand in rows, each in the middle of what it belongs to. Where a network generates, an arrow
leads from each prediction to the word that the next step reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from .graph import Curve, Edge, Node
from .language import say
from .look import SMALL, WIRE, shorten, text_width
from .nodes import Nodes
from .scene import SceneText
from .structure import Loop
from .units import simplify

WORD = 14  # size of the words
LINE = 20  # from one row of words to the next
LANE = 8  # from a column to the arrow that feeds a prediction back

Lines: TypeAlias = Sequence[tuple[str, Sequence[str]]]  # (scope of a loop or "", words)


class Words(NamedTuple):
    """Texts for the time steps, a line for each sequence.

    Attributes:
        words, targets, predictions: Below the columns and above them.
        fed_back: The steps whose prediction is the next step's word.
    """

    words: Lines = ()
    targets: Lines = ()
    predictions: Lines = ()
    fed_back: frozenset[int] = frozenset()


def check_words(name: str, given: Any, loops: Sequence[Loop]) -> Lines:
    """Texts for the time steps as lines; raise unless there is one for each step of a loop."""
    if given is None:
        return []
    if isinstance(given, Mapping):
        lines = [(scope, row) for scope, rows in given.items() for row in rows_of(name, rows)]
        for scope, _ in lines:
            if not any(is_of(loop, scope) for loop in loops):
                known = ", ".join(dict.fromkeys(repr(str(n)) for loop in loops for n in loop.path))
                raise ValueError(
                    f"draw: {name} is for {scope!r}, but no time steps stand in a scope of this "
                    f"name; there are {known or 'none'}"
                )
    else:
        lines = [("", row) for row in rows_of(name, given)]
    for scope, row in lines:
        counts = {max(loop.steps) for loop in loops if not scope or is_of(loop, scope)}
        if len(row) not in counts:
            raise ValueError(
                f"draw: {name} has {len(row)} texts, but {scope or 'this tape'} has "
                f"{' or '.join(map(str, sorted(counts))) or 'no'} time steps"
            )
    return lines


def rows_of(name: str, given: Any) -> list[list[str]]:
    """One list of str, or several, as several."""
    rows = [given] if isinstance(given, Sequence) and given and isinstance(given[0], str) else given
    if isinstance(given, str) or not isinstance(rows, Sequence) or not all(map(is_texts, rows)):
        raise TypeError(
            f"draw: {name} is a list of a str for each time step, or of one such list for each "
            f"sequence, or a dictionary of scope -> list, got {given!r}"
        )
    return [list(row) for row in rows]


def is_texts(row: Any) -> bool:
    """Whether something is a sequence of str."""
    is_list = isinstance(row, Sequence) and not isinstance(row, str)
    return is_list and all(isinstance(word, str) for word in row)


def is_of(loop: Loop, scope: str) -> bool:
    """Whether a loop's steps stand in a scope of this name."""
    return any(name == scope for name in loop.path)


class WordRows:
    """Puts rows of words into a scene.

    Args:
        nodes: Where everything is.
        words: The texts.
    """

    def __init__(self, nodes: Nodes, words: Words) -> None:
        self.rows, self.grid, self.out, self.loops = nodes.rows, nodes.grid, nodes.out, nodes.loops
        self.number = 0
        if not (words.words or words.targets or words.predictions):
            return
        self.out.outline(0)
        below, above = self.out.y1 - WORD - 2, self.out.y2 + WORD + 2
        inputs = self.emit("words", words.words, min, below, -LINE)
        outputs = self.emit("predictions", words.predictions, max, above, LINE)
        above += LINE * self.depth(words.predictions)
        self.emit("targets", words.targets, max, above, LINE)
        for t in sorted(words.fed_back):
            self.feed_back(t, inputs, outputs)

    def block_of(self, scope: str, choose: Any) -> int:
        """The columns' block that a line of words belongs to: the first, the last, or a scope's."""
        blocks = [
            self.rows.block[i] for i in self.rows.active if not scope or is_of(self.loops[i], scope)
        ]
        return int(choose(blocks, default=-1))

    def depth(self, lines: Lines) -> int:
        """How many lines stand above each other at most."""
        scopes = [scope for scope, _ in lines]
        return max(map(scopes.count, scopes), default=0)

    def emit(
        self, name: str, lines: Lines, choose: Any, y: int, by: int
    ) -> dict[tuple[int, int], SceneText]:
        """Lines of words from a height on; returns the first line's texts by (block, step)."""
        found: dict[tuple[int, int], SceneText] = {}
        counts: dict[str, int] = {}
        for scope, line in lines:
            block, n = self.block_of(scope, choose), counts.get(scope, 0)
            counts[scope] = n + 1
            if block < 0:
                continue
            for (place, t), (x1, x2) in self.grid.column_span.items():
                if place == block and 1 <= t <= len(line):
                    most = max((x2 - x1 + self.grid.gap // 2) // 8, 6)
                    x = self.middle(block, t, choose)
                    ident = f"word{self.number}_{t}"
                    word = SceneText(
                        ident, shorten(line[t - 1], most), x, y + by * n, WORD, "middle"
                    )
                    found.setdefault((block, t), word)
                    if line[t - 1]:
                        self.out.texts.append(word)
            if not n:
                x = self.grid.block_span[block][0] - 12
                label = SceneText(f"word{self.number}", say(name), x, y, SMALL, "right", WIRE)
                self.out.texts.append(label)
            self.number += 1
        return found

    def middle(self, block: int, t: int, choose: Any) -> int:
        """The middle of the lowest or the highest node in a column."""
        found = [
            (v.y, v.x)
            for i in self.rows.in_block[block]
            for v in self.rows.columns.get((i, t), ())
            if v.half
        ]
        x1, x2 = self.grid.column_span[block, t]
        height = choose((y for y, _ in found), default=0)
        xs = [x for y, x in found if y == height]
        return xs[0] if len(xs) == 1 else (x1 + x2) // 2

    def feed_back(
        self,
        t: int,
        inputs: dict[tuple[int, int], SceneText],
        outputs: dict[tuple[int, int], SceneText],
    ) -> None:
        """The arrow from a prediction to the next step's word, beside the column."""
        for (block, step), above in outputs.items():
            below = inputs.get((block, t + 1))
            if step != t or below is None:
                continue
            lane = self.grid.column_span[block, t][1] + LANE
            begin = above.x + text_width(above.text, WORD) // 2 + 3
            end = below.x - text_width(below.text, WORD) // 2 - 3
            path = simplify([(begin, above.y), (lane, above.y), (lane, below.y), (end, below.y)])
            tail, head = Node(above.id, "word", above.text), Node(below.id, "word", below.text)
            result = self.rows.view.structure.tape.outputs[0]
            edge = Edge(tail, head, 0, result, None, "feedback", curve=Curve(path))
            self.out.edges.append(edge)
