"""The walk through backpropagation: what lights up follows the tape, forward and then backward."""

from __future__ import annotations

import io
import re
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest

from helpers import needs, needs_graphviz
from unspool import Parameter, Tape, Tensor, draw, scope, unroll
from unspool.cells import GRU, LSTM, Bidirectional, Cell, Elman, Stacked
from unspool.viz import animation, look, paint
from unspool.viz.animation import animated_svg, clock, frames, moments_of

SVG = "{http://www.w3.org/2000/svg}"


def loss_of(network, steps=3, d_in=3):
    xs = np.random.default_rng(0).normal(size=(steps, d_in))
    ys, _ = unroll(network, Tensor(xs, name="xs"))
    return (ys * ys).sum()


def networks():
    return {
        "elman": Elman(3, 2, rng=0, dtype=float),
        "lstm": LSTM(3, 2, rng=0, dtype=float),
        "stacked": Stacked([GRU(3, 2, rng=0, dtype=float), Elman(2, 2, rng=1, dtype=float)]),
        "bidirectional": Bidirectional(
            Elman(3, 2, rng=0, dtype=float), GRU(3, 2, rng=1, dtype=float)
        ),
    }


# What happens when --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", networks())
def test_every_record_forward_then_backward(name):
    tape = Tape(loss_of(networks()[name]))
    scene = draw(tape, level="op").scene
    records = {n.id: n.records for n in scene.nodes if n.records}
    sequence = frames(scene, by="record")
    order = [records[frame.ids[0]] for frame in sequence if not frame.back]
    assert order == [(i,) for i in range(len(tape))]
    assert [f.ids for f in sequence if f.back] == [f.ids for f in reversed(sequence) if not f.back]
    assert [f.back for f in sequence] == sorted(f.back for f in sequence)


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("level", ["op", "gate", "cell"])
@pytest.mark.parametrize("by", [None, "record", "step"])
def test_nothing_is_there_before_what_it_is_made_of(name, level, by):
    scene = draw(loss_of(networks()[name], steps=9), level=level).scene
    sequence = frames(scene, by)
    moments = moments_of(scene, sequence)
    assert moments.nodes.keys() == {n.id for n in scene.nodes}
    half = len(sequence) // 2
    for ident, (forward, backward) in moments.edges.items():
        tail, head = ident.split("-")
        made = moments.nodes[tail][0]
        assert forward is not None, (tail, head)
        assert made is None or made <= forward, (tail, head)
        assert forward < half
        after = moments.nodes[tail][1]
        if backward is not None and after is not None:
            assert half <= backward <= after, (tail, head)
    for node in scene.nodes:
        if node.kind in ("copy", "constant", "parameter", "state"):
            assert moments.nodes[node.id][0] is None  # there from the beginning
        if node.kind in ("end", "output", "dots"):
            assert moments.nodes[node.id][0] is not None


def test_a_step_lights_up_at_once():
    scene = draw(loss_of(networks()["lstm"]), level="cell").scene
    sequence = frames(scene)
    captions = [f.caption for f in sequence]
    assert captions[:3] == [f"forward · LSTM · t = {t}" for t in (1, 2, 3)]
    assert captions[-3:] == [f"backward · LSTM · t = {t}" for t in (3, 2, 1)]
    kinds = {n.id: n.kind for n in scene.nodes}
    assert sorted(kinds[i] for i in sequence[0].ids) == ["cell", "input"]


def test_captions_are_equations():
    tape = Tape(loss_of(networks()["elman"], steps=1))
    captions = [f.caption for f in frames(draw(tape).scene)]
    assert "forward · elman / t=1 · x_1 W" in captions
    assert "forward · elman / t=1 · h_1 = tanh(x_1 W + h_0 U + b)" in captions
    # On the way back it is the gradient that goes on.
    assert "backward · elman / t=1 · ∂L/∂h_1 → ∂L/∂(x_1 W + h_0 U + b)" in captions
    assert "backward · elman / t=1 · ∂L/∂(x_1 W) → ∂L/∂x_1, ∂L/∂W" in captions
    gates = [f.caption for f in frames(draw(loss_of(networks()["lstm"]), level="gate").scene)]
    assert "forward · lstm / t=2 / forget · f_2 = σ(x_2 W_f + h_1 U_f + b_f)" in gates
    wanted = "∂L/∂f_2 → ∂L/∂x_2, ∂L/∂W_f, ∂L/∂h_1, ∂L/∂U_f, ∂L/∂b_f"
    assert f"backward · lstm / t=2 / forget · {wanted}" in gates


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_a_parameter_lights_up_when_its_gradient_is_whole(level):
    scene = draw(loss_of(networks()["lstm"]), level=level).scene
    sequence = frames(scene)
    moments = moments_of(scene, sequence)
    legend = [n.id for n in scene.nodes if n.kind == "parameter"]
    assert len(legend) == 12
    first = {v: min(f for f in range(len(sequence)) if sequence[f].back) for v in legend}
    for v in legend:
        forward, backward = moments.nodes[v]
        assert forward is None
        assert backward > first[v]
        assert "t=1" in sequence[backward].caption or "t = 1" in sequence[backward].caption


def test_the_layer_is_named_and_long_pictures_go_by_steps():
    scene = draw(loss_of(networks()["stacked"], steps=4), level="cell").scene
    captions = [f.caption for f in frames(scene)]
    assert captions[3:6] == [
        "forward · 0 · GRU · t = 4",
        "forward · 1 · Elman · t = 1",
        "forward · 1 · Elman · t = 2",
    ]
    long = draw(loss_of(networks()["lstm"], steps=6), level="op").scene
    assert len(frames(long)) < 30 < animation.RECORDS < len(frames(long, by="record"))


def test_a_network_without_time():
    x, W = Tensor(np.ones((2, 3)), name="x"), Parameter(np.ones((3, 2)), name="W")
    scene = draw(np.tanh(x @ W).sum()).scene
    for by in (None, "record", "step"):
        assert [len(f.ids) for f in frames(scene, by)] == [1] * 6


def test_the_gradients_own_arrows_come_with_the_gradient():
    loss = loss_of(networks()["elman"])
    tape = Tape(loss)
    scene = draw(tape, level="cell", backward=True, grads=tape.gradients()).scene
    sequence = frames(scene)
    moments = moments_of(scene, sequence)
    arrows = [e for e in scene.edges if e.back]
    assert arrows
    for edge in arrows:
        forward, backward = moments.edges[edge.id]
        assert forward is None
        assert sequence[backward].back


def test_no_gradient_is_told_before_the_backward_pass():
    _, (h, _) = unroll(networks()["lstm"], np.ones((3, 3)))
    tape = Tape(h.sum())
    scene = draw(tape, level="gate", backward=True, grads=tape.gradients()).scene
    sequence = frames(scene)
    moments = moments_of(scene, sequence)
    told = {text.id: text.tensor.name for text in scene.texts if text.tensor is not None}
    assert moments.norms.keys() == told.keys()
    assert all(sequence[number].back for number in moments.norms.values())
    when: dict[str, set[int]] = {}
    for name, state in told.items():
        when.setdefault(state, set()).add(moments.norms[name])
    assert all(len(moment) == 1 for moment in when.values())  # both lines of it
    order = [moment for t in (3, 2, 1, 0) for moment in when[f"h_{t}"]]
    assert order == sorted(order)
    assert scene.grades
    assert not animation.Walk(scene, look.THEMES["light"], sequence).scene.grades


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("shown", [{"fold": True}, {"at": 2}, {"steps": 3}, {"values": True}])
@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_every_view_with_gradients_has_its_moments(name, shown, level):
    tape = Tape(loss_of(networks()[name], steps=7))
    grads = tape.gradients()
    scene = draw(tape, level=level, grads=grads, backward=True, **shown).scene
    sequence = frames(scene)
    moments = moments_of(scene, sequence)
    assert sequence[0].caption.startswith("forward · ")
    assert sequence[-1].caption.startswith("backward · ")
    assert all(sequence[number].back for number in moments.norms.values())


def test_the_clock():
    scene = draw(loss_of(networks()["elman"]), level="cell").scene
    sequence = frames(scene)
    half = len(sequence) // 2
    begins = clock(sequence, 0.5)
    gaps = [b - a for a, b in pairwise([0.0, *begins])]
    wanted = [0.5] * (len(sequence) + 1)
    wanted[half] += animation.PAUSE
    wanted[-1] += animation.PAUSE
    np.testing.assert_allclose(gaps, wanted)
    for seconds in (0, -1, 61, float("nan")):
        with pytest.raises(ValueError, match=r"0\.01 to 60 seconds"):
            clock(sequence, seconds)


# SVG ----------------------------------------------------------------------------------------------


def walk_of(level="op", network="lstm", **options):
    drawing = draw(loss_of(networks()[network]), level=level, **options)
    sequence = frames(drawing.scene)
    begins = clock(sequence, None)
    return (
        drawing,
        sequence,
        begins,
        animated_svg(drawing.scene, drawing.theme, sequence, begins).decode(),
    )


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_in_the_svg_every_node_lights_up_in_its_frame(level):
    drawing, sequence, begins, svg = walk_of(level)
    moments = moments_of(drawing.scene, sequence)
    root = ET.fromstring(svg)
    seen = {}
    for group in root.iter(f"{SVG}g"):
        classes = group.get("class", "").split()
        title = group.get("data-id")
        if "node" in classes and title in moments.nodes:
            marks = [c.get("class") for c in group.iter() if " h " in f"{c.get('class', '')} "]
            seen[title] = next((c for c in classes if re.fullmatch(r"v\d+", c)), None), marks
    assert seen.keys() == moments.nodes.keys()
    for title, (forward, backward) in moments.nodes.items():
        assert seen[title][0] == (None if forward is None else f"v{forward}")
        if seen[title][1]:  # a name without a frame has nothing to be marked
            wanted = [f"f{forward}"] if forward is not None else []
            wanted += [f"b{backward}"] if backward is not None else []
            assert seen[title][1] == [f"s h {mark}" for mark in wanted]
    marked = {title for title, (_, marks) in seen.items() if marks}
    assert marked >= {v for frame in sequence for v in frame.ids}
    # Every class that is used has its rule, and the rule the right moment.
    over = begins[-1]
    for number, frame in enumerate(sequence):
        kind = "b" if frame.back else "v"
        (rule,) = re.findall(rf"@keyframes \w+?{kind}{number}\{{(.*?)\}}\}}", svg)
        at = float(re.search(r"([\d.]+)%\{opacity:1$|([\d.]+)%\{opacity:1\}", rule + "}")[2])
        assert at == pytest.approx(100 * begins[number] / over, rel=1e-3)


def test_the_svg_is_one_file_the_same_each_time_and_whole_without_motion():
    drawing, *_, svg = walk_of("gate")
    assert svg == walk_of("gate")[3]
    assert "<script" not in svg
    assert not re.search(r'(href|src)="(?!#)', svg)
    assert "@import" not in svg
    assert "url(" not in svg
    assert "prefers-reduced-motion" in svg
    root = ET.fromstring(svg)
    # Where it stands still everything is seen: no attribute hides what the picture shows.
    for group in root.iter(f"{SVG}g"):
        assert group.get("opacity") is None
    plain = ET.fromstring(drawing.render("svg"))
    _, _, width, height = map(float, root.get("viewBox").split())
    _, _, plain_width, plain_height = map(float, plain.get("viewBox").split())
    assert (width, height) == (plain_width, plain_height + animation.STRIP)
    names = re.findall(r"@keyframes (\w+)", svg)
    assert len(names) == len(set(names))
    other = walk_of("cell")[3]
    assert not set(names) & set(re.findall(r"@keyframes (\w+)", other))  # two on one page


def test_names_in_captions_have_their_subscripts():
    line = "forward · h_2 = o_2 ⊙ tanh(c_2) + alpha_12 W_f a_b_c __x__ ids[1_000]"
    told = ET.fromstring(paint.text_element(animation.caption_runs(line, 900), (0, 0)))
    low = [part.text for part in told if float(part.get("dy", 0)) > 0]
    assert low == ["2", "2", "2", "12", "f"]
    assert "".join(told.itertext()) == (
        "forward · h2 = o2 ⊙ tanh(c2) + α12 Wf a_b_c __x__ ids[1_000]"
    )
    back = sum(float(part.get("dy", 0)) for part in told)
    assert back == pytest.approx(0)


def test_hostile_names_stay_texts():
    x = Tensor(np.ones(2), name="</text><script>alert(1)</script>")
    with scope('"]; evil & <b>', step=1):
        y = np.tanh(x)
    y.name = "]]>\x00&lt;"
    drawing = draw(y * 2)
    sequence = frames(drawing.scene)
    svg = animated_svg(drawing.scene, drawing.theme, sequence, clock(sequence, None)).decode()
    root = ET.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    told = [t for t in root.iter(f"{SVG}text") if (t.get("class") or "").startswith("s t")]
    captions = ["".join(t.itertext()) for t in told]
    assert len(captions) == len(sequence)
    assert "script" in captions[0] or "evil" in captions[0]


@needs_graphviz
@pytest.mark.parametrize("name", ["\x00<script>", "a\nb\u2028c", "🙂漢字\u202e", "W_" * 200])
def test_hostile_names_in_a_gif(name, tmp_path):
    image_module = needs("PIL.Image")
    x = Tensor(np.ones(2), name=name)
    with scope(name, step=1):
        y = np.tanh(x)
    y.name = name
    with image_module.open(draw(y * 2).animate(tmp_path / "walk.gif")) as gif:
        assert gif.n_frames == 5


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_the_colours_are_the_themes(theme):
    drawing, *_, svg = walk_of("cell", theme=theme)
    assert f"stroke:{drawing.theme.of(animation.FORWARD)}" in svg
    assert f"stroke:var(--mark,{drawing.theme.of(animation.BACKWARD)})" in svg
    assert f'fill="{drawing.theme.of(animation.PAPER)}"' in svg


# GIF ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_graphviz
def test_the_gif_shows_the_frames(tmp_path):
    image_module = needs("PIL.Image")
    needs("matplotlib")
    drawing = draw(loss_of(networks()["lstm"]), level="cell")
    path = drawing.animate(tmp_path / "new" / "walk.gif", seconds=0.5)
    assert path.read_bytes() == drawing.animate(tmp_path / "b.gif", seconds=0.5).read_bytes()
    gif = image_module.open(io.BytesIO(path.read_bytes()))
    sequence = frames(drawing.scene)
    assert gif.n_frames == len(sequence) + 1  # the beginning too
    assert gif.info["loop"] == 0
    pictures, times = [], []
    for n in range(gif.n_frames):
        gif.seek(n)
        pictures.append(np.asarray(gif.convert("RGB")).astype(int))
        times.append(gif.info["duration"])
    half = len(sequence) // 2
    wanted = [500] * (len(sequence) + 1)
    wanted[half] += round(1000 * animation.PAUSE)
    wanted[-1] += round(1000 * animation.PAUSE)
    assert times == wanted
    # Ink comes step by step: the picture darkens until the forward pass is over.
    strip = round(
        animation.STRIP * pictures[0].shape[1] / (drawing.scene.x2 - drawing.scene.x1 + 8)
    )
    # Neither what lights up nor what is still faint is as dark as ink.
    ink = [(p[:-strip].max(axis=-1) < 110).sum() for p in pictures[: half + 1]]
    assert all(a < b for a, b in pairwise(ink))
    whole = np.asarray(image_module.open(io.BytesIO(drawing.render("png"))).convert("RGB"))
    assert ink[-1] > 0.9 * (whole.max(axis=-1) < 110).sum()
    # The backward pass is seen in its colour, and leaves a trace.
    back = np.array([int(drawing.theme.of(animation.BACKWARD)[i : i + 2], 16) for i in (1, 3, 5)])
    close = [(np.abs(p - back).sum(axis=-1) < 24).sum() for p in pictures]
    assert max(close[: half + 1]) < min(close[half + 1 :])


class Leaky(Cell):
    """h_t = 0.9 h_{t-1} + tanh(x_t W), as a student may write it."""

    def __init__(self, d_in, d_h):
        self.d_in = d_in
        self.d_h = d_h
        self.W = Parameter(np.random.default_rng(0).normal(size=(d_in, d_h)), name="W")

    def forward(self, x, state):
        (h,) = state
        return (0.9 * h + np.tanh(x @ self.W),)


@pytest.mark.slow
@needs_graphviz
@pytest.mark.parametrize("level", ["cell", "gate", "op"])
@pytest.mark.parametrize("network", [Elman(3, 2, rng=0), LSTM(3, 4, rng=0), Leaky(3, 2)])
def test_all_frames_of_a_gif_with_gradients_have_one_canvas(network, level, tmp_path):
    image_module = needs("PIL.Image")
    needs("matplotlib")
    ys, _ = unroll(network, np.ones((2, 3), np.float32))
    loss = ys.sum()
    gradients = Tape(loss).gradients()
    for backward in (False, True):
        drawing = draw(loss, level=level, grads=gradients, backward=backward)
        scene = drawing.scene
        sequence = frames(scene, "step")
        film = animation.Film(scene, drawing.theme, sequence)
        pictures = [image_module.open(io.BytesIO(one)) for one in film.pictures()]
        assert len(pictures) == len(sequence) + 1
        (size,) = {one.size for one in pictures}
        # What is in the scene at a place is there in the bitmap: the frame of the first column.
        scale = size[0] / film.size()[0]
        band = next(box for box in scene.boxes if box.kind == "column")
        x = (band.x1 - scene.x1 + animation.PADDING) * scale
        y = ((scene.y2 - band.y1 - 20) + animation.PADDING) * scale
        row = np.asarray(pictures[-1].convert("L")).astype(int)[round(y)]
        assert row[round(x - 5 * scale)] > row[round(x + 5 * scale)]
    path = drawing.animate(tmp_path / "walk.gif", by="step")
    with image_module.open(path) as gif:
        assert gif.n_frames == len(sequence) + 1


@needs_graphviz
def test_without_pillow_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    drawing = draw(loss_of(networks()["elman"]), level="cell")
    with pytest.raises(ImportError, match=r'pip install "unspool\[plot\]"'):
        drawing.animate(tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_bad_requests_say_what_was_expected(tmp_path, monkeypatch):
    drawing = draw(loss_of(networks()["elman"]))
    with pytest.raises(ValueError, match=r"\.svg, \.gif"):
        drawing.animate(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match='"record" or "step", got \'layer\''):
        drawing.animate(tmp_path / "a.svg", by="layer")
    monkeypatch.setattr(animation, "MOST", 10)
    with pytest.raises(ValueError, match=r'frames, and more than 10 .* by="step"'):
        drawing.animate(tmp_path / "a.svg", by="record")
    assert list(tmp_path.iterdir()) == []
