"""The plots beside the graph: their numbers are the tape's, and their texts are texts."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from helpers import needs, sigmoid
from unspool import Parameter, Tape, Tensor, scope, unroll
from unspool.autograd import jacobian
from unspool.cells import GRU, LSTM, Bidirectional, Cell, Elman, Stacked, gradient_flow
from unspool.models import Adam, LanguageModel, Sequences, fit
from unspool.models.networks.encoder_decoder import EncoderDecoder
from unspool.viz import axes, plots
from unspool.viz.plots import (
    activations,
    plot_activations,
    plot_attention,
    plot_gates,
    plot_gradient_flow,
    plot_sensitivity,
    plot_shares,
    plot_states,
    plot_training,
    sensitivity,
    shares,
    states,
)

matplotlib = needs("matplotlib")
from matplotlib.figure import Figure  # noqa: E402

WORDS = ["the", "cat", "$x$", "<script>alert(1)</script>", "\x00a\nb"]


def sentence(steps=5, d_in=3, seed=1, batch=None):
    shape = (steps, d_in) if batch is None else (batch, steps, d_in)
    return np.random.default_rng(seed).normal(size=shape)


# What there is to see ---------------------------------------------------------------------------


def test_activations_are_those_of_the_equations():
    cell = LSTM(3, 4, rng=0, dtype=float)
    p = {name: parameter.data for name, parameter in cell.named_parameters()}
    xs = sentence()
    ys, _ = unroll(cell, xs)
    h = c = np.zeros(4)
    wanted = {"forget": [], "input": [], "output": [], "candidate": []}
    hs, cs = [], []
    for x in xs:
        f, i, o, g = (x @ p[f"W_{n}"] + h @ p[f"U_{n}"] + p[f"b_{n}"] for n in "fiog")
        f, i, o, g = sigmoid(f), sigmoid(i), sigmoid(o), np.tanh(g)
        c = f * c + i * g
        h = o * np.tanh(c)
        for name, value in zip(wanted, (f, i, o, g), strict=True):
            wanted[name].append(value)
        hs.append(h)
        cs.append(c)
    found = activations(ys)
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12)
    np.testing.assert_allclose(states(ys)["h"], hs, rtol=1e-12)
    # The last memory leads to no output: it is on the tape of the state.
    _, (_, c_last) = unroll(cell, xs)
    np.testing.assert_allclose(states(Tape(c_last))["c"], cs, rtol=1e-12)


@pytest.mark.parametrize("make", [Elman, LSTM, GRU])
@pytest.mark.parametrize("sequence", [0, 1, -1])
def test_a_sequence_of_a_batch_is_that_sequence_alone(make, sequence):
    cell = make(3, 4, rng=0, dtype=float)
    xs = sentence(batch=3)
    together, alone = unroll(cell, xs)[0], unroll(cell, xs[sequence])[0]
    for read in (states, activations) if make is not Elman else (states,):
        a, b = read(together, sequence), read(alone)
        assert list(a) == list(b)
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-12)


def test_composites_name_their_layers_and_time_is_the_position():
    network = Stacked(
        [Bidirectional(GRU(3, 4, rng=0), GRU(3, 4, rng=1)), LSTM(8, 2, rng=2)],
    )
    ys, _ = unroll(network, sentence().astype(np.float32))
    found = states(ys)
    assert list(found) == ["0.forward.h", "0.backward.h", "1.h", "1.c"]
    assert [v.shape for v in found.values()] == [(5, 4), (5, 4), (5, 2), (5, 2)]
    gates = activations(ys)
    assert list(gates)[:4] == [
        "0.forward.update",
        "0.forward.reset",
        "0.forward.candidate",
        "0.backward.update",
    ]
    # The backward direction has seen nothing at the last position: h = (1 - z) * 0 + z * h~.
    back = {name: gates[f"0.backward.{name}"][-1] for name in ("update", "candidate")}
    np.testing.assert_allclose(
        found["0.backward.h"][-1], back["update"] * back["candidate"], rtol=1e-6
    )


def test_a_second_run_on_one_tape_has_a_name_of_its_own():
    cell = Elman(3, 2, rng=0, dtype=float)
    a, _ = unroll(cell, sentence(seed=1))
    b, _ = unroll(cell, sentence(seed=2))
    found = states(Tape(a, b))
    assert list(found) == ["h", "h (2)"]
    np.testing.assert_allclose(found["h"], a.data, rtol=1e-12)
    np.testing.assert_allclose(found["h (2)"], b.data, rtol=1e-12)


def test_states_of_a_loop_of_ones_own_need_no_names():
    s, seen = Tensor(np.ones(2)), []
    for t in range(1, 4):
        with scope(f"step {t}", step=t):
            s = s * 0.5
        seen.append(s.data)
    (values,) = states(s).values()
    np.testing.assert_array_equal(values, seen)


@pytest.mark.parametrize("make", [Elman, LSTM, GRU])
def test_sensitivity_is_the_norm_of_the_jacobians(make):
    cell = make(3, 4, rng=0, dtype=float)
    xs = Tensor(sentence())
    blocks = jacobian(lambda x: unroll(cell, x)[0])(xs.data)  # (T, d_h, S, d_in)
    wanted = np.sqrt(np.square(blocks).sum(axis=(1, 3)))
    found = sensitivity(unroll(cell, xs)[0], xs)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert (found[np.triu_indices(5, 1)] == 0).all()
    assert (found[np.tril_indices(5)] > 0).all()


def test_sensitivity_of_one_sequence_of_a_batch_and_of_results():
    network = Bidirectional(Elman(3, 2, rng=0, dtype=float), Elman(3, 2, rng=1, dtype=float))
    batch = sentence(batch=3)
    xs = Tensor(batch)
    embedded = xs * 2  # on the tape itself
    found = sensitivity(unroll(network, embedded)[0], embedded, sequence=1)
    alone = Tensor(batch[1] * 2)
    np.testing.assert_allclose(found, sensitivity(unroll(network, alone)[0], alone), rtol=1e-12)
    assert (found > 0).all()  # both directions together see everything


class Plain(Cell):
    def __init__(self):
        self.d_in = self.d_h = 2

    def forward(self, x, state):
        return (np.tanh(x + state[0]),)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: activations(unroll(Plain(), sentence(d_in=2))[0]), ValueError, "scope\\(name\\)"),
        (lambda: activations([1, 2]), TypeError, "got list"),
        (lambda: states(Tensor(1.0) * 2), ValueError, "carried from one time step"),
        (lambda: states(unroll(Plain(), sentence(d_in=2, batch=3))[0], 3), ValueError, "3 seq"),
        (lambda: sensitivity(Tensor(np.ones((2, 2))), np.ones((2, 2))), TypeError, "xs is a Te"),
        (lambda: sensitivity(Tensor(np.ones(2)), Tensor(np.ones(2))), ValueError, r"\(2,\)"),
        (
            lambda: sensitivity(Tensor(np.ones((2, 2))) * 1, Tensor(np.ones((2, 2)))),
            ValueError,
            "does not lead to",
        ),
    ],
)
def test_what_cannot_be_read_says_why(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Plots --------------------------------------------------------------------------------------------


def every_plot(theme="light", words=None):
    """One of each kind."""
    words = WORDS if words is None else words
    xs = Tensor(sentence(len(words)))
    lstm, elman = LSTM(3, 4, rng=0, dtype=float), Elman(3, 4, rng=0, dtype=float)
    ys, (h, _) = unroll(lstm, xs)
    es, _ = unroll(elman, xs)
    history = [{"epoch": n, "loss": 1 / n, "validation_loss": 1.1 / n} for n in (1, 2, 3)]
    return {
        "gates": plot_gates(ys, words, theme=theme),
        "states": plot_states(ys, words, theme=theme),
        "flow": plot_gradient_flow(
            {"LSTM $1$": h.sum(), "Elman": gradient_flow(es[-1].sum())}, words=words, theme=theme
        ),
        "sensitivity": plot_sensitivity(ys, xs, words, theme=theme),
        "attention": plot_attention(np.eye(len(words)), words, words, theme=theme),
        "training": plot_training({"a": history, "b": history}, theme=theme),
    }


def texts(svg):
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter() if t.tag.endswith("}text")]


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_every_plot_names_its_axes_and_shows_itself(theme):
    for name, figure in every_plot(theme).items():
        assert isinstance(figure, Figure)
        svg = figure._repr_svg_()
        shown = texts(svg)
        assert figure.axes[0].get_title("left") in shown
        labelled = [ax for ax in figure.axes if ax.get_ylabel()]
        assert labelled == figure.axes, name  # the bars of colours too
        if name != "training":
            assert "<script>alert(…" in shown or "<script>alert(1…" in shown, shown
            assert "$x$" in shown
            assert "<script" not in svg


@pytest.mark.slow
def test_plots_are_the_same_each_time(tmp_path):
    words = WORDS[:4]  # what DejaVu Sans has no glyph for is warned of in bitmaps
    first, second = every_plot(words=words), every_plot(words=words)
    for name, form in (("gates", "svg"), ("attention", "pdf"), ("flow", "svg"), ("flow", "png")):
        assert first[name].render(form) == second[name].render(form), (name, form)
    path = first["flow"].save(tmp_path / "new" / "flow.svg")
    assert path.read_text() == first["flow"]._repr_svg_()
    with pytest.raises(ValueError, match=r"\.svg, \.pdf, \.png"):
        first["flow"].save(tmp_path / "flow.bmp")
    with pytest.raises(ValueError, match="got 'bmp'"):
        first["flow"].render("bmp")


@pytest.mark.slow
def test_the_users_settings_are_neither_used_nor_changed():
    with matplotlib.rc_context({"axes.titlesize": 40, "font.size": 30, "image.cmap": "jet"}):
        before = dict(matplotlib.rcParams)
        loud = every_plot()["gates"].render("svg")
        assert dict(matplotlib.rcParams) == before
    assert loud == every_plot()["gates"].render("svg")


def test_no_window_and_no_pyplot():
    code = (
        "import sys, numpy as np\n"
        "from unspool.viz.plots import plot_attention\n"
        "plot_attention(np.eye(3)).render('png')\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(ImportError, match=r'plot_attention .*pip install "unspool\[plot\]"'):
        plot_attention(np.eye(2))
    ys, _ = unroll(GRU(3, 4, rng=0, dtype=float), sentence())
    assert activations(ys)  # the numbers are there without


def test_gates_are_drawn_as_they_are():
    ys, _ = unroll(LSTM(3, 4, rng=0, dtype=float), sentence())
    figure = plot_gates(ys, list("abcde"), gates=["output", "candidate"])
    output, candidate = figure.axes[:2]
    assert [ax.get_title("left") for ax in (output, candidate)] == ["output", "candidate"]
    image = output.get_images()[0]
    np.testing.assert_array_equal(image.get_array(), activations(ys)["output"].T)
    assert image.get_clim() == (0, 1)
    assert candidate.get_images()[0].get_clim() == (-1, 1)  # 0 is the colour of the paper
    assert [t.get_text() for t in candidate.get_xticklabels()] == list("abcde")


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_more_looks_like_more_to_every_eye(theme):
    """Brightness runs one way from 0, and in black and white also from below 0."""
    for low in (0.0, -1.0):
        values = np.linspace(low, 1, 40)[None]
        image = plot_states_of(values, theme).axes[0].get_images()[0]
        red, green, blue, _ = image.cmap(image.norm(values[0])).T
        steps = np.diff(0.299 * red + 0.587 * green + 0.114 * blue)
        above = steps if low == 0 or theme == "print" else steps[20:]
        assert (above < 0).all() or (above > 0).all()


def plot_states_of(values, theme):
    canvas = axes.Canvas(None, None, theme)
    return plots.plot_over_time("plot_states", {"h": values.T}, None, canvas, "value")


def test_plots_are_as_wide_as_asked_for():
    ys, _ = unroll(GRU(2, 3, rng=0), np.ones((3, 2), np.float32))
    history = [{"epoch": 1, "loss": 2.0}]
    calls = [
        (plot_gates, ys),
        (plot_states, ys),
        (plot_gradient_flow, ys.sum()),
        (plot_sensitivity, np.eye(3)),
        (plot_attention, np.eye(3)),
        (plot_shares, ys.sum()),
        (plot_activations, "tanh"),
        (plot_training, history),
    ]
    assert {plot.__name__ for plot, _ in calls} == {n for n in plots.__all__ if "plot_" in n}
    for plot, what in calls:
        svg = ET.fromstring(plot(what, width=700)._repr_svg_())
        assert svg.get("width") == "525pt", plot.__name__  # 700 pixels, 96 to the inch


def test_plots_go_into_given_axes():
    figure = Figure()
    above, below = figure.subplots(2, 1)
    ys, (h, _) = unroll(LSTM(3, 4, rng=0, dtype=float), sentence())
    assert plot_states(ys, ax=[above, below]) is figure
    assert [ax.get_title("left") for ax in (above, below)] == ["h", "c"]
    assert plot_gradient_flow(h.sum(), ax=figure.add_subplot()) is figure
    with pytest.raises(ValueError, match="expected 4 matplotlib Axes"):
        plot_gates(ys, ax=above)
    with pytest.raises(ValueError, match="expected 1 matplotlib Axes"):
        plot_attention(np.eye(2), ax="here")


def test_the_flow_of_gradients():
    cell = Elman(1, 1, dtype=float)
    cell.W.data[...], cell.U.data[...] = 0, 0.5
    _, (h,) = unroll(cell, np.ones((4, 1)))
    cut, _ = unroll(cell, np.ones((4, 1)), truncate=2)
    figure = plot_gradient_flow(
        {"loss": h.sum(), "tape": Tape(h.sum()), "norms": [1.0, 2.0], "cut": cut[-1].sum()}
    )
    (ax,) = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    np.testing.assert_allclose(lines["loss"], [0.125, 0.25, 0.5, 1])
    np.testing.assert_allclose(lines["tape"], lines["loss"])
    np.testing.assert_allclose(lines["norms"], [1, 2])
    # Behind the cut the gradient is 0, which a logarithmic scale does not have.
    assert np.isnan(lines["cut"]).tolist() == [True, True, False, False]
    assert ax.get_yscale() == "log"
    assert len({line.get_color() for line in ax.get_lines()}) == 4
    assert len({line.get_marker() for line in ax.get_lines()}) == 4


def test_attention_of_a_model_without_its_padding():
    model = EncoderDecoder(8, 8, d=6, attention="bilinear", rng=0)
    source, target = np.array([[3, 4, 5], [6, 7, 0]]), np.array([[1, 5, 4, 2], [1, 7, 2, 0]])
    weights = model.attention_matrix(source, target, [3, 2], [4, 3])
    figure = plot_attention(weights, ["six", "seven"], ["seven", "</s>"], sequence=1)
    shown = figure.axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(shown, weights[1, :2, :2])
    np.testing.assert_allclose(shown.sum(axis=1), 1, rtol=1e-6)
    assert plot_attention(Tensor(weights)).axes[0].get_images()[0].get_array().shape == (3, 3)


def test_curves_of_a_training():
    model = LanguageModel(6, 4, rng=0)
    task = Sequences([np.array([1, 2, 3, 4, 2]), np.array([1, 4, 3, 2])], rng=0)
    history = fit(model, task, Adam(model.parameters()), epochs=3, validation=task, progress=False)
    figure = plot_training(history, what="perplexity", over="updates")
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert list(lines) == ["training", "validation"]
    np.testing.assert_array_equal(
        lines["training"].get_xydata(), [(row["updates"], row["perplexity"]) for row in history]
    )
    assert lines["validation"].get_linestyle() == "--"
    named = plot_training({"one": history, "two": history}).axes[0].get_legend().get_texts()
    assert [t.get_text() for t in named] == [
        "one",
        "one validation",
        "two",
        "two validation",
    ]
    assert plot_training(history, what="lr").axes[0].get_ylabel() == "learning rate"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plot_attention(np.eye(2), theme="sepia"),
            "one of light, dark, print, got 'sepia'",
        ),
        (lambda: plot_attention(np.ones(3)), r"got \(3,\)"),
        (lambda: plot_attention(np.eye(2), width=0), "width must be an integer >= 1, got 0"),
        (
            lambda: plot_attention(np.eye(2), width=9, ax=Figure().subplots()),
            "width=9 is for a new Figure",
        ),
        (lambda: plot_attention(np.eye(2), ["a", "b", "c"]), "one for each of 2, got 3"),
        (lambda: plot_attention(np.eye(2), "ab"), "got the text 'ab'"),
        (lambda: plot_attention(np.ones((2, 3, 3)), sequence=2), "2 sequences, got sequence=2"),
        (lambda: plot_sensitivity(np.ones((0, 0))), r"got an array \(0, 0\)"),
        (lambda: plot_training([]), "has no row"),
        (lambda: plot_training({}), "no run to show"),
        (lambda: plot_training({"a": [{"epoch": 1}]}), "of a has the columns epoch, got 'loss'"),
        (lambda: plot_gradient_flow(np.ones((2, 2))), r"an array \(2, 2\)"),
        (lambda: plot_gradient_flow({}), "no run to show"),
        (
            lambda: plot_gradient_flow(unroll(Elman(3, 2), sentence())[1][0].sum(), state="c"),
            "the states are x, h, got 'c'",
        ),
        (
            lambda: plot_gates(unroll(LSTM(3, 2), sentence())[0], gates="forgot"),
            "the gates are forget, input, output, candidate, got 'forgot'",
        ),
        (lambda: plot_gates(unroll(LSTM(3, 2), sentence())[0], ["a"]), "one for each of 5, got 1"),
    ],
)
def test_bad_requests_say_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2, 45])
def test_any_length(steps):
    words = [f"word{n}" for n in range(steps)]
    for name, figure in every_plot(words=words).items():
        width, height = figure.get_size_inches()
        assert 2 < min(width, height) <= max(width, height) <= 16, name
        named = [t.get_text() for t in figure.axes[0].get_xticklabels()]
        assert len(named) <= axes.MOST_LABELS + 1


@pytest.mark.slow
def test_extremes_are_shown():
    hot = np.array([[np.nan, 1e300], [0.0, 1e-300]])
    plot_sensitivity(hot).render("svg")
    plot_sensitivity(np.zeros((2, 2))).render("svg")
    plot_gradient_flow([0.0, 0.0]).render("svg")
    plot_gradient_flow([1e-200, 1e200, np.inf, np.nan]).render("svg")


def test_the_flow_of_a_loop_of_ones_own_is_drawn():
    """By its structure, not by names such as h_t."""
    W, h = Parameter(np.eye(2) / 2, name="W"), Tensor(np.ones(2))
    for t in range(1, 5):
        with scope("step", step=t):
            h = np.tanh(h @ W)
    norms = plots.gradient_norms(h.sum())
    assert list(norms) == ["s"]
    assert norms["s"].shape == (4,)
    assert np.all(np.diff(norms["s"]) > 0)  # it vanishes on its way back
    figure = plot_gradient_flow(h.sum())
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), norms["s"])


@pytest.mark.parametrize(
    "network",
    [LSTM(3, 2, rng=0), Stacked([GRU(3, 2, rng=0), Elman(2, 2, rng=1)]),
     Bidirectional(Elman(3, 2, rng=0), GRU(3, 2, rng=1))],
)  # fmt: skip
def test_norms_read_off_the_structure_are_gradient_flows(network):
    ys, _ = unroll(network, sentence())
    loss = (ys * ys).sum()
    wanted = gradient_flow(loss).norms
    found = plots.gradient_norms(loss)
    assert list(found) == list(wanted)
    for name, norms in found.items():
        np.testing.assert_allclose(norms, np.ravel(wanted[name]), rtol=1e-5)


# Shares by step, curves of activations ------------------------------------------------------------


def test_the_shares_of_the_steps_are_those_of_a_weight_of_each_steps_own():
    rng = np.random.default_rng(0)
    xs, W, U = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=(2, 2))

    def loss(*weights):
        """An Elman network whose steps have matrices of their own, by hand."""
        h = np.zeros(2)
        for t in range(4):
            h = np.tanh(xs[t] @ weights[t] + h @ weights[4 + t])
        return (h * h).sum()

    ways = [W] * 4 + [U] * 4
    own = []
    for k, matrix in enumerate(ways):
        slopes = np.zeros_like(matrix)
        for place in np.ndindex(*matrix.shape):
            up, down = (list(ways), list(ways))
            up[k], down[k] = matrix.copy(), matrix.copy()
            up[k][place] += 1e-6
            down[k][place] -= 1e-6
            slopes[place] = (loss(*up) - loss(*down)) / 2e-6
        own.append(np.linalg.norm(slopes))
    cell = Elman(3, 2, bias=False, rng=0, dtype=float)
    cell.W.data, cell.U.data = W, U
    _, (h,) = unroll(cell, xs)
    found = shares((h * h).sum())
    np.testing.assert_allclose(found["W"], own[:4], rtol=1e-6)
    np.testing.assert_allclose(found["U"], own[4:], rtol=1e-6, atol=1e-9)


def test_shares_have_full_names_and_zeros():
    xs = np.ones((3, 2), np.float32)
    ys, _ = unroll(Stacked([Elman(2, 3, rng=0), GRU(3, 2, rng=0)]), xs)
    found = shares(ys[0].sum())
    assert list(found)[:3] == ["0.W", "0.U", "0.b"]
    assert "1.W_z" in found
    assert not found["0.W"][1:].any()  # a loss at the first step owes the later ones nothing
    with pytest.raises(ValueError, match="no parameter is used in a time step"):
        shares(np.tanh(Parameter([1.0])).sum())


def test_plot_shares_has_a_row_for_each_parameter_and_words():
    ys, _ = unroll(GRU(2, 3, rng=0), np.ones((3, 2), np.float32))
    figure = plot_shares(ys.sum(), ["a", "b", "c"], names=["U_z", "W_h"])
    (ax, *_) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["U_z", "W_h"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    image = ax.images[0].get_array()
    assert image.shape == (2, 3)
    assert image.max() == 1
    with pytest.raises(ValueError, match="the parameters are"):
        plot_shares(ys.sum(), names="V")


def test_plot_activations_shows_functions_and_their_derivatives():
    figure = plot_activations(["tanh", "sigmoid"], span=2)
    curves = [{line.get_label(): line.get_data() for line in ax.lines} for ax in figure.axes]
    x, y = curves[0]["tanh"]
    np.testing.assert_allclose(y, np.tanh(x))
    assert (x[0], x[-1]) == (-2, 2)
    np.testing.assert_allclose(curves[1]["tanh"][1], 1 / np.cosh(x) ** 2, rtol=1e-6)
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(curves[1]["sigmoid"][1], s * (1 - s), rtol=1e-6)
    own = plot_activations({"cube": lambda x: x**3}, theme="dark")
    assert own.axes[0].get_legend().get_texts()[0].get_text() == "cube"
    for wrong, options in (("tanhh", {}), ("tanh", {"span": 0})):
        with pytest.raises(ValueError, match="plot_activations: "):
            plot_activations(wrong, **options)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_no_text_of_a_plot_is_smaller_than_nine_points(theme):
    ys, _ = unroll(GRU(2, 3, rng=0), np.ones((3, 2), np.float32))
    for figure in (
        plot_shares(ys.sum(), theme=theme),
        plot_activations(theme=theme),
        plot_states(ys, theme=theme),
        plot_gradient_flow({"a": ys.sum()}, theme=theme),
    ):
        texts = [t for t in figure.findobj(lambda x: hasattr(x, "get_fontsize")) if t.get_text()]
        assert min(t.get_fontsize() for t in texts) >= 9


def test_a_plot_has_alt_text():
    tape = Tape(unroll(LSTM(2, 3, rng=0), np.ones((4, 2)))[0])
    figure = plot_gates(tape, gates=["input", "forget"])
    title = re.search("<title>(.*?)</title>", figure._repr_svg_())[1]
    assert title == "input: unit; forget: unit over time step t"
    assert title.encode() in figure.render("png")
