"""How much of a tape is shown: which steps, what a renderer can bear, and what to say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from ..autograd import Tape
from .language import say
from .structure import Loop, Structure, read

LEVELS = ("op", "gate", "cell")
LAYER = "layer"  # coarser than these: without time
SHOWN_WHOLE = 6  # loops of so many steps are shown whole unless asked otherwise
ELIDED_TO = 3  # longer ones as 1, 2, ..., T
MOST_NODES = 60_000  # above, a simpler view is shown
MANY = 60  # records without time steps, of which there may be some
LAST = 2_000  # records of a tape that has no simpler view


def choose_steps(
    loop: Loop, steps: int | None, at: int | None, fold: bool, keep: str = "first"
) -> list[int]:
    """The steps of a loop that are shown, in the order of time.

    Of a loop that is too long ``keep`` tells which steps stand beside the last or the first.
    """
    present = sorted(loop.steps)
    if fold:
        order = loop.order
        return [order[min(1, len(order) - 1)]]
    if at is not None:
        return [at] if at in loop.steps else []
    wanted = steps
    if wanted is None:
        wanted = len(present) if len(present) <= SHOWN_WHOLE else ELIDED_TO
    if wanted >= len(present):
        return present
    if keep == "last":
        return [*present[: wanted > 1], *present[len(present) - max(wanted - 1, 1) :]]
    if wanted == 1:
        return present[:1]
    return [*present[: wanted - 1], present[-1]]


def without_scopes(structure: Structure, level: str) -> str:
    """What would help where there are no time steps, or nothing that a level could join."""
    if structure.loops:
        return ""
    named = any(structure.group)
    if level != "op" and not named:
        return say(
            'Level "{level}" joins what stands in scopes, and there are none: with scope("name") '
            'around a part, with scope("step", step=t) in a loop over time.',
            level=level,
        )
    if len(structure.records) > MANY:
        return say(
            'No time steps: with scope("step", step=t) in its loop a network is drawn in columns.'
        )
    return ""


def unlike_steps(structure: Structure) -> str:
    """Which steps compute something else than the one that a folded picture shows of them."""
    parts = []
    for loop in structure.loops:
        (shown,) = choose_steps(loop, None, None, True)
        keys = {t: Counter(structure.key[i] for i in loop.steps[t]) for t in loop.steps}
        others = sorted(t for t in keys if keys[t] != keys[shown])
        if others:
            some = ", ".join(map(str, others[:6])) + (", …" if len(others) > 6 else "")
            told = "t={t} is shown; other operations are in t={others}"
            parts.append(say(told, t=shown, others=some))
    return "; ".join(parts)


class Part(Tape):
    """The last records of a tape that is too long to be drawn."""

    def __init__(self, tape: Tape, count: int) -> None:
        self.outputs, self._records = tape.outputs, tape[len(tape) - count :]
        self.columns = getattr(tape, "columns", {})


def bearable(
    structure: Structure, level: str, fold: bool, steps: int | None, at: int | None
) -> tuple[Structure, str, int | None, str]:
    """What of a picture a renderer can bear, and what to say where that is less than asked for."""
    count = 0
    for simpler in LEVELS[LEVELS.index(level) :]:
        number = count_nodes(structure, simpler, fold, steps, at)
        count = count or number
        if number <= MOST_NODES:
            break
    n = f"{count:,}"
    if number <= MOST_NODES:
        simplified = '{n} nodes are more than a renderer can bear; shown at level "{level}"'
        remark = "" if simpler == level else say(simplified, n=n, level=simpler)
        return structure, simpler, steps, remark
    if count_nodes(structure, simpler, fold, None, at) <= MOST_NODES:
        elided = (
            '{n} nodes are more than a renderer can bear; shown at level "{level}", most steps '
            "left out"
        )
        return structure, simpler, None, say(elided, n=n, level=simpler)
    part = read(Part(structure.tape, LAST))
    cut = "{n} nodes are more than a renderer can bear; only the last {m} records are shown"
    return part, level, None, say(cut, n=n, m=f"{LAST:,}")


def count_nodes(
    structure: Structure, level: str, fold: bool, steps: int | None, at: int | None
) -> int:
    """How many nodes the records make at a level, nearly."""
    chosen = [choose_steps(loop, steps, at, fold) for loop in structure.loops]
    visible = {(loop, t) for loop, shown in enumerate(chosen) for t in shown}
    units: set[Hashable] = set()
    for i, place in enumerate(structure.where):
        if place is None or place in visible:
            group = structure.group[i][:1]
            if level == "cell" and place is not None:
                units.add(place)
            else:
                units.add((place, group) if group and level != "op" else i)
    return len(units)
