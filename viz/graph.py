"""The graph that a picture shows: nodes, and the operands as edges.

``view`` makes them of what the tape says, and the layout writes into them where they stand: one
type for a node and one for an edge, from the tape to the painter.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from ..autograd import ClassName, Tensor
from .language import say, say_scope
from .notation import printable
from .structure import Group, Key, Slot, Structure
from .units import Path


@dataclass(slots=True, eq=False)
class Node:
    """A node of the picture.

    Attributes:
        id: Its name in DOT, the same on each run.
        kind: ``op gate cell input output state end cut copy parameter constant dots delay``.
        label: What stands in it.
        place: (loop, step) of the column that it stands in, or None.
        key: Its place in that column, the same in each step.
        group: The scopes around it inside of the column.
        tensor: What it holds or makes.
        note: A name that stands beside it (``x_1`` beside ``[0]``).
        detail: A second line inside it.
        colour: Its hue.
        sides: Parameters and constants that stand beside it.
        records: Positions of the records that it stands for.
        bold: Whether it is an output of the tape.
        slot: The state whose value it is.
        equation: What it computes, for the text shown on hover; lines for several results.
        x, y: Its middle, once it has a place; in points, y upwards.
        half, high, round: Half its width and height, and whether it is a circle.
    """

    id: str
    kind: str
    label: str
    place: tuple[int, int] | None = None
    key: Key = ()
    group: Group = ()
    tensor: Tensor | None = None
    note: str = ""
    detail: str = ""
    colour: str = ""
    sides: tuple[Node, ...] = ()
    records: tuple[int, ...] = ()
    bold: bool = False
    slot: Slot | None = None
    equation: str = ""
    x: int = 0
    y: int = 0
    half: int = 0
    high: int = 0
    round: bool = False

    def put(self, x: int, y: int, size: tuple[int, int, bool]) -> None:
        """Give it a place, and half its width and height."""
        self.x, self.y = x, y
        self.half, self.high, self.round = size


@dataclass(slots=True, eq=False)
class Curve:
    """A wire's corners, relative to a column; one for all columns in which it is repeated.

    ``free`` is a smooth line, for what fits no channel.
    """

    points: Path
    free: bool = False


NOWHERE = Curve([])
JOIN = "join"  # the key of what merges two directions at each step begins with it


@dataclass(slots=True, eq=False)
class Edge:
    """An operand: from where it is made to where it is used.

    Attributes:
        kind: ``data``, ``state`` (across a step's boundary), ``side`` (a parameter beside its
            op), ``hidden`` (standing for steps that are not shown), ``delay``, ``feedback`` (a
            prediction that the next step reads), ``arc`` (of a lattice).
        origin: The state of another loop that goes on as this one.
        curve, dx: Its course, and how far to the right that is moved.
        label, label_at: A name beside it.
        state: Of which of its loop's states it is a part, or -1.
        grade: How large its gradient is, from 0 to 4, or -1.
        back: Whether it is the gradient's way back, from head to tail.
    """

    tail: Node
    head: Node
    operand: int
    tensor: Tensor
    slot: Slot | None
    kind: str
    origin: Slot | None = None
    curve: Curve = NOWHERE
    dx: int = 0
    label: str = ""
    label_at: tuple[int, int] = (0, 0)
    state: int = -1
    grade: int = -1
    back: bool = False

    @property
    def ends(self) -> tuple[Node, Node]:
        """From where to where it leads, in the direction of what flows there."""
        return (self.head, self.tail) if self.back else (self.tail, self.head)

    @property
    def id(self) -> str:
        """Tail and head, in that direction."""
        tail, head = self.ends
        return f"{tail.id}-{head.id}"


class Shared(NamedTuple):
    """A parameter that is shown once by itself: used in many places, or beside time steps."""

    node: Node
    uses: str
    family: str
    loop: int | None
    in_steps: bool = False


@dataclass(slots=True, eq=False)
class View:
    """The graph to be placed.

    Attributes:
        structure: The tape it was made from.
        level: Its level of detail.
        shown: For each loop the steps that have a column, from left to right.
        dots: For each loop the node that stands for the steps without one.
        generic: Whether the one step shown stands for all (a folded picture).
        titles: For each loop what its cell is called.
        gates: Scope -> colour.
        remark: What is shown otherwise than asked for, and why.
    """

    structure: Structure
    level: str
    nodes: list[Node]
    edges: list[Edge]
    shown: list[list[int]]
    dots: list[Node | None]
    shared: list[Shared]
    generic: bool
    titles: list[str]
    gates: dict[str, str]
    remark: str = ""


def cell_title(path: tuple[str, ...], step: str = "") -> str:
    """What the cell of a loop is called: ``LSTM``; a loop of one's own as its steps are called."""
    known = {"lstm": "LSTM", "gru": "GRU", "elman": "Elman", "rnn": "RNN"}
    if not path:
        name = step or "cell"
        return say_scope(name, name.replace("_", " "))
    name = path[-1]
    return say_scope(name, getattr(name, "kind", None) or known.get(name) or name.replace("_", " "))


def loop_label(path: tuple[str, ...], title: str, others: Collection[tuple[str, ...]] = ()) -> str:
    """The text at the left of a row: ``1 · forward · LSTM``; an only layer has no number.

    ``others`` are the paths of all loops.
    """

    def has_others(n: int) -> bool:
        beside = (other for other in others if other[:n] == path[:n] and len(other) > n + 1)
        return any(other[n] != path[n] for other in beside)

    numbered = [has_others(n) or not others for n in range(len(path))]
    path = (*(x for x, n in zip(path[:-1], numbered) if n or not x.isdigit()), *path[-1:])
    parts = [scope_title(name) for name in path[:-1]]
    return " · ".join([*parts, title])


def scope_title(name: str) -> str:
    """What a scope is called: by its class, or a word; layers count from 1, as time does."""
    if name.isdigit():
        return say("layer {n}", n=int(name) + 1)
    return say(name.kind if isinstance(name, ClassName) else name.replace("_", " "))


dtype_text = cache(str)  # NumPy takes its time to name one


def hover_text(v: Node) -> str:
    """What is shown on hover: a Tensor's name, shape and dtype, and what it is computed from."""
    if v.tensor is None:
        return v.detail
    x = v.tensor
    text = f"{printable(x.name) + ' ' if x.name else ''}{x.shape} {dtype_text(x.dtype)}"
    return f"{text}\n{v.equation}" if v.equation else text
