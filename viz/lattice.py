"""A lattice: the labels of a sentence as paths through time, scored by a conditional random field.

Each label at each word is a node with its emission score; each arc has the score of one label
after another. A sequence of labels is a path, its score the sum along it; the best one is drawn
thick (Viterbi).
"""

from __future__ import annotations

from typing import Any

from ..autograd import Tape
from .graph import Curve, Edge, Node, View
from .language import say
from .look import CAPTION, HEADING, NAME, PILL, SMALL, shorten, text_width
from .numbers import short
from .scene import Scene, SceneText
from .structure import read
from .words import LINE, WORD

__all__ = ["lattice_scene"]

MOST_SCORED = 5  # labels whose arcs all have their scores; of more the best path's have
MOST_LABELS, MOST_WORDS = 30, 40
APART = 18  # between the scores on two arcs
HIGH = 17  # half the height of a node


def lattice_scene(what: Any, x: Any, words: Any, targets: Any, title: str, caption: str) -> Scene:
    """The lattice of a CRF, or of a tagger with one.

    Args:
        what: Its ``lattice(x, words)`` gives words, labels, scores and the best path.
        x: A sentence that the tagger reads, or the scores that the CRF reads.
        words: What stands below, or None.
        targets: The right labels, names, or None.
        title, caption: Text above and below.

    Raises:
        TypeError: ``what`` has no lattice.
        ValueError: There are too many words or labels to be read, or another number of targets.
    """
    if not hasattr(what, "lattice"):
        raise TypeError(
            f"lattice: expected a CRF, or a Transducer with one, got {type(what).__name__}; draw() "
            "draws the computation of any network"
        )
    found = what.lattice(x, words)
    steps, labels = found.emissions.shape
    if labels > MOST_LABELS or steps > MOST_WORDS:
        raise ValueError(
            f"lattice: up to {MOST_LABELS} labels over {MOST_WORDS} words can be read, got "
            f"{labels} over {steps}"
        )
    if targets is not None and len(targets) != steps:
        raise ValueError(f"lattice: there are {steps} words, but {len(targets)} targets")
    structure = read(Tape(found.log_partition))
    view = View(structure, "cell", [], [], [], [], [], False, [], {})
    scene = Scene(view)
    best = [int(k) for k in found.best]
    half = max(max(text_width(shorten(name), NAME) for name in found.labels) // 2 + 12, 24)
    row = (min(labels, MOST_SCORED) + 1) * APART
    wide = max(2 * half + 36 * min(labels + 1, 4), *(text_width(w, WORD) + 20 for w in found.words))
    nodes: dict[tuple[int, int], Node] = {}
    for t in range(steps):
        for k, name in enumerate(found.labels):
            x, y = t * wide, -k * row
            node = Node(f"n{t + 1}_{k}", "gate", shorten(name), bold=best[t] == k)
            node.detail = short(float(found.emissions[t, k]), 2)
            node.put(x, y, (half, HIGH, False))
            nodes[t, k] = node
    for t in range(1, steps):
        for a in range(labels):
            for b in range(labels):
                on_path = best[t - 1] == a and best[t] == b
                add_arc(scene, nodes[t - 1, a], nodes[t, b], on_path)
                if on_path or labels <= MOST_SCORED:
                    score = float(found.transitions[t - 1, a, b])
                    add_score(scene, nodes[t - 1, a], nodes[t, b], score, labels, on_path)
    scene.nodes += nodes.values()
    add_words(scene, found, targets, best, wide, row, title, caption)
    told = ", ".join(f"{w}: {found.labels[k]}" for w, k in zip(found.words, best, strict=True))
    scene.title = say("Lattice of {n} labels over {m} words", n=labels, m=steps)
    scene.description = say("A column of labels for each word; the best path is {path}.", path=told)
    scene.outline(10)
    return scene


def add_arc(scene: Scene, a: Node, b: Node, on_path: bool) -> None:
    """An arc; those of the best path are drawn above the others."""
    tensor = scene.view.structure.tape.outputs[0]
    edge = Edge(a, b, 0, tensor, None, "state" if on_path else "arc")
    curve = Curve([(a.x + a.half, a.y), (b.x - b.half, b.y)])
    edge.curve, edge.state = curve, 0 if on_path else -1
    scene.edges.insert(len(scene.edges) if on_path else 0, edge)


def add_score(scene: Scene, a: Node, b: Node, score: float, labels: int, on_path: bool) -> None:
    """The score on an arc, where no other arc's score stands: at 1 / (labels + 1) of its length."""
    share = 1 / (min(labels, MOST_SCORED) + 1)
    x1, x2 = a.x + a.half, b.x - b.half
    text = short(score, 2)
    node = Node(f"{a.id}_{b.id}", "constant", text, bold=on_path)
    x, y = round(x1 + share * (x2 - x1)), round(a.y + share * (b.y - a.y))
    node.put(x, y, (text_width(text, NAME) // 2 + 3, PILL - 2, False))
    scene.nodes.append(node)


def add_words(
    scene: Scene,
    found: Any,
    targets: Any,
    best: list[int],
    wide: int,
    row: int,
    title: str,
    caption: str,
) -> None:
    """Words below the columns, the best and the right labels above, title and caption."""
    low = -row * (len(found.labels) - 1) - HIGH - WORD - 6
    lines = [
        (say("words"), found.words, low),
        (say("best path"), [found.labels[k] for k in best], HIGH + 20),
    ]
    if targets is not None:
        lines.append((say("targets"), [str(name) for name in targets], HIGH + 20 + LINE))
    left = -max(node.half for node in scene.nodes) - 14
    for n, (name, texts, y) in enumerate(lines):
        scene.texts.append(SceneText(f"line{n}", name, left, y, SMALL, "right"))
        for t, text in enumerate(texts):
            scene.texts.append(SceneText(f"line{n}_{t}", text, t * wide, y, WORD, "middle"))
    scene.outline(0)
    if title:
        y = scene.y2 + 22
        scene.texts.append(SceneText("title0", title, scene.x1, y, HEADING, "left", bold=True))
    if caption:
        scene.texts.append(SceneText("caption0", caption, scene.x1, scene.y1 - 16, CAPTION, "left"))
