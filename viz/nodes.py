"""Every node and frame of a view at its place."""

from __future__ import annotations

from collections.abc import Hashable

from .blocks import Block
from .graph import Curve, Node, scope_title
from .grid import BESIDE_DOTS, COLUMN_GAP, DELAY
from .language import say
from .look import GAP, PILL
from .scene import Scene, SceneBox
from .units import ASIDE, Path, shifted
from .zones import Zones

DOTS_HIGH = 30  # half the height of what stands for steps left out
PAUSE = 10  # how far beyond a column its pause reaches


class Nodes:
    """Puts nodes and frames into a scene.

    Attributes:
        side_curves: Parameter beside its op -> its wire, and how far that is moved.
    """

    def __init__(self, zones: Zones, out: Scene) -> None:
        self.rows, self.grid, self.zones, self.out = zones.rows, zones.grid, zones, out
        self.view, self.loops = zones.view, zones.loops
        self.spots: dict[Hashable, tuple[int, int, Curve]] = {}  # alike in all columns
        self.side_curves: dict[Node, tuple[Curve, int]] = {}
        out.bars = {v.id for v in self.rows.bars}
        self.emit_columns()
        self.emit_outside()

    def emit_columns(self) -> None:
        """Every column with its frames and nodes."""
        bands = self.emit_bands()
        several = len(self.rows.active) > 1 and self.view.level != "cell"
        for loop in self.rows.active:
            template = self.grid.templates[loop]
            block = template.block
            y0 = self.zones.row_y[loop]
            for t in self.view.shown[loop]:
                x0 = self.grid.origin[loop, t]
                holder = bands[self.rows.block[loop], t]
                if several:
                    left, right = x0 + template.left + 4, x0 + template.right - 4
                    name = f"{holder.id}_{loop}"
                    top = y0 + template.height + self.grid.fold_height(loop) + 8
                    step = SceneBox(name, "step", "", left, y0 - 8, right, top)
                    holder.boxes.append(step)
                    holder = step
                frames = self.emit_frames(block, x0, y0, f"{holder.id}_g", holder.boxes)
                for box in frames.values():
                    box.mirrored = self.loops[loop].reverse
                for v in self.rows.columns.get((loop, t), ()):
                    key = template.keys[v]
                    x, y = block.places[key]
                    item = template.items[key]
                    node = self.node(v, x0 + x, y0 + y, (item.half, item.high, item.round))
                    box = frames.get(v.group, holder)
                    box.nodes.append(node)
                    if v.sides:
                        hang = "above" if key in template.rail else block.pills[key]
                        if item.aside:
                            hang += " right" if self.loops[loop].reverse else " left"
                        box.nodes += self.hang_sides(node, hang, (loop, key), x0)
        self.emit_beside()

    def emit_bands(self) -> dict[tuple[int, int], SceneBox]:
        """The columns' backgrounds."""
        bands: dict[tuple[int, int], SceneBox] = {}
        for (block, t), (x1, x2) in self.grid.column_span.items():
            if t == 0:
                continue
            spans = [self.zones.row_span[self.rows.row[i]] for i in self.rows.in_block[block]]
            low, high = min(a for a, _ in spans), max(b for _, b in spans)
            name = "t" if self.view.generic else f"t{t}"
            if len(self.grid.block_span) > 1:
                name += f"_block{block}"
            title = say("step t") if self.view.generic else f"t={t}"
            bands[block, t] = SceneBox(name, "column", title, x1 - 2, low, x2 + 2, high)
        self.out.boxes += bands.values()
        self.emit_pauses(bands)
        return bands

    def emit_pauses(self, bands: dict[tuple[int, int], SceneBox]) -> None:
        """Where something outside of time stands between two rows the columns pause."""
        timeless = {self.rows.zone[v] for v in self.rows.outside if v not in self.rows.bars}
        for (block, t), band in bands.items():
            rows = [self.rows.row[i] for i in self.rows.in_block[block]]
            for z in sorted(timeless & set(range(min(rows) + 1, max(rows) + 1))):
                low = max(self.zones.row_span[row][1] for row in rows if row < z)
                high = min(self.zones.row_span[row][0] for row in rows if row >= z)
                frame = (band.x1 - PAUSE, low, band.x2 + PAUSE, high)
                self.out.boxes.append(SceneBox(f"pause{block}_{z}_{t}", "pause", "", *frame))

    def emit_frames(
        self, block: Block, x0: int, y0: int, name: str, outermost: list[SceneBox]
    ) -> dict[object, SceneBox]:
        """The boxes of gates: group -> box."""
        frames: dict[object, SceneBox] = {}
        for n, f in enumerate(block.frames):
            title = f.group[-1][0]
            corners = (x0 + f.x1, y0 + f.y1, x0 + f.x2, y0 + f.y2)
            colour = self.view.gates.get(title, "")
            title = scope_title(title)
            box = frames[f.group] = SceneBox(f"{name}{n}", "gate", title, *corners, colour)
            around = frames.get(f.group[:-1])
            (around.boxes if around is not None else outermost).append(box)
        return frames

    def emit_beside(self) -> None:
        """States before and after the loop, delays, and what stands for steps left out."""
        for v in self.rows.beside:
            assert v.place is not None
            assert v.slot is not None
            loop, t = v.place
            size = self.grid.measure.size(v)
            x1, x2 = self.grid.column_span[self.rows.block[loop], t]
            if v.kind == "delay":
                template = self.grid.templates[loop]
                top = self.zones.row_y[loop] + template.height
                rank = self.rows.delays(loop).index(v)
                x = self.grid.origin[v.place] + self.grid.delay_x(v)
                self.node(v, x, top + 14 + DELAY * rank, size)
                continue
            to_right = (v.kind == "end") != self.loops[loop].reverse
            reach = size[0] + (2 if v.kind == "cut" else min(self.grid.gap, COLUMN_GAP) // 2)
            x = x2 + reach if to_right else x1 - reach
            self.node(v, x, self.zones.level(loop, v.slot.number), size)
        for loop, x in self.grid.dots_x.items():
            dots = self.view.dots[loop]
            if dots is not None:
                bottom = self.zones.row_y[loop]
                top = bottom + self.grid.templates[loop].height
                x1, x2 = self.grid.column_span[self.rows.block[loop], 0]
                half = (x2 - x1) // 2 - BESIDE_DOTS
                self.node(dots, x, (bottom + top) // 2, (half, DOTS_HIGH, False))

    def emit_outside(self) -> None:
        """What stands in the zones."""
        for z, block in self.zones.zone_block.items():
            y0 = self.zones.zone_y[z]
            frames = self.emit_frames(block, 0, y0, f"zone{z}_", self.out.boxes)
            for v, item in self.zones.zone_items[z].items():
                x, y = block.places[v]
                node = self.node(v, x, y0 + y, (item.half, item.high, item.round))
                inside = [node, *self.hang_sides(node, block.pills[v], v.id, 0)]
                if v.group in frames:
                    frames[v.group].nodes += inside

    def hang_sides(self, node: Node, hang: str, place: Hashable, x0: int) -> list[Node]:
        """The parameters and constants beside a node, and their wires."""
        out = []
        high = node.high + (self.out.note_size(node.id)[1] if hang == "above" else 0)
        for n, side in enumerate(node.sides):
            half = self.grid.measure.size(side)[0]
            known = self.spots.get((place, n, half, high))
            if known is None:
                x, y, path = spot(node, hang, n, half, high)
                curve = Curve(shifted(path, node.x - x0, node.y))
                known = self.spots[place, n, half, high] = x, y, curve
            x, y, curve = known
            out.append(self.node(side, node.x + x, node.y + y, (half, PILL, False)))
            self.side_curves[side] = (curve, x0)
        return out

    def node(self, v: Node, x: int, y: int, size: tuple[int, int, bool]) -> Node:
        """Put a node into the scene."""
        v.put(x, y, size)
        self.out.nodes.append(v)
        if (v.note or self.grid.measure.values) and v not in self.rows.bars:
            if lines := self.grid.measure.notes(v):
                self.out.notes[v.id] = lines
            if rows := self.grid.measure.strip(v):
                self.out.strips[v.id] = rows
        return v


def spot(v: Node, hang: str, n: int, half: int, high: int) -> tuple[int, int, Path]:
    """Where the n-th thing beside a node hangs, seen from its middle, and the wire from there.

    Args:
        v: The node.
        hang: On which side: left, right, under left, under right, above, above left, above right.
        n: Its number.
        half: Half its width.
        high: How far up the node reaches, with what is written above it.
    """
    sign = -1 if hang.endswith("left") else 1
    if hang.startswith("above "):
        x, y = sign * (half + ASIDE), v.high + 14 + PILL + (2 * PILL + 4) * n
        return x, y, [(x, y - PILL), (4 * sign, v.high - 1)]
    if hang == "above":
        x, y = (2 * half + 6) * n, high + 14 + PILL
        return x, y, [(x, y - PILL), (9, v.high - 4) if n else (0, v.high)]
    if hang.startswith("under") and not n:
        x, y = sign * (half - 6), -v.high - 6 - PILL
        return x, y, [(7 * sign, y + PILL), (7 * sign, 2 - v.high)]
    sign = -1 if (hang == "left") != (n % 2 == 1) else 1
    x, y = sign * (v.half + GAP + half), -(n // 2) * (2 * PILL + 4)
    return x, y, [(x - sign * half, y), (sign * v.half, 0)]
