"""Every kind of picture that unspool draws, from real models, and a page that shows them.

Run: ``python notebooks/gallery.py --out gallery`` where unspool is installed with the extras
``render`` and ``plot`` (or ``make gallery``). Three small models are trained for it, for
``--seconds`` each; the pictures come in a light and a dark theme, and the page shows the one that
its reader's system prefers.
"""

from __future__ import annotations

import argparse
import functools
import html
import inspect
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unspool import Parameter, Tape, Tensor, draw, scope, unroll
from unspool.autograd import sigmoid
from unspool.cells import GRU, LSTM, Bidirectional, Cell, Elman, Stacked, gradient_flow
from unspool.models import (
    CRF,
    Adam,
    Embedding,
    EncoderDecoder,
    FeedForward,
    LanguageModel,
    Pairs,
    Stream,
    Transducer,
    Vocabulary,
    fit,
    python_manual,
    tokenize,
)
from unspool.viz import lattice
from unspool.viz.plots import (
    plot_activations,
    plot_attention,
    plot_gates,
    plot_gradient_flow,
    plot_sensitivity,
    plot_shares,
    plot_states,
    plot_training,
)
from unspool.viz.render import renderers

THEMES = ("light", "dark")
SECONDS = 12.0  # of training for each model


class Picture(NamedTuple):
    """One entry of the gallery: ``make(theme)`` gives a Drawing or a plot."""

    section: str
    title: str
    text: str
    make: Callable[[str], Any]


PICTURES: list[Picture] = []


def picture(section: str, title: str, text: str) -> Callable[[Callable[[str], Any]], Any]:
    """Put a function from the name of a theme to a picture into the gallery."""

    def enter(make: Callable[[str], Any]) -> Callable[[str], Any]:
        PICTURES.append(Picture(section, title, text, make))
        return make

    return enter


# The models ---------------------------------------------------------------------------------------


class Minimal(Cell):
    """A gated cell of one's own, with one gate: h' = u * h + (1 - u) * tanh(x W + b)."""

    def __init__(self, d_in: int, d_h: int, rng: Any = None) -> None:
        rng = np.random.default_rng(rng)
        self.d_in, self.d_h = d_in, d_h
        self.W = Parameter(rng.normal(size=(d_in, d_h)))
        self.b = Parameter(np.zeros(d_h))
        self.W_u = Parameter(rng.normal(size=(d_in, d_h)))
        self.U_u = Parameter(rng.normal(size=(d_h, d_h)))

    def forward(self, x: Any, state: Any) -> Any:
        """The equation above; ``scope`` names the gate."""
        (h,) = state
        with scope("update"):
            u = sigmoid(x @ self.W_u + h @ self.U_u)
        return (u * h + (1 - u) * np.tanh(x @ self.W + self.b),)


def inputs(steps: int, d: int = 3) -> Tensor:
    """Numbers to run a cell on."""
    return Tensor(np.random.default_rng(1).normal(size=(steps, d)), name="xs")


@functools.cache
def language_models(seconds: float) -> tuple[dict[str, LanguageModel], dict[str, Any], Vocabulary]:
    """Two language models of Python's own manual, their histories, and the vocabulary."""
    words = tokenize(python_manual())[:40_000]
    vocabulary = Vocabulary.count(words, minimum_count=3)
    ids = vocabulary.encode(words)
    models, histories = {}, {}
    for name, cell in (("LSTM", LSTM), ("GRU", GRU)):
        model = LanguageModel(len(vocabulary), 32, cell, rng=0)
        task, held_out = Stream(ids[:-3000], rng=0), Stream(ids[-3000:])
        histories[name] = fit(
            model,
            task,
            Adam(model.parameters(), lr=0.01),
            epochs=8,
            seconds=seconds,
            clip=1.0,
            validation=held_out,
            progress=False,
        )
        models[name] = model
    return models, histories, vocabulary


@functools.cache
def reverser(seconds: float) -> EncoderDecoder:
    """An encoder-decoder that has learned to write strings of letters backwards."""
    rng = np.random.default_rng(0)
    strings = [rng.integers(3, 29, n) for n in rng.integers(2, 9, 4000)]
    model = EncoderDecoder(29, 29, d=32, bidirectional=True, attention="bilinear", rng=0)
    pairs = Pairs(strings, [np.array([1, *s[::-1], 2]) for s in strings], batch=64, rng=0)
    fit(
        model,
        pairs,
        Adam(model.parameters(), lr=0.01),
        epochs=12,
        seconds=seconds,
        clip=1.0,
        progress=False,
    )
    return model


SENTENCE = "If the value is not a string, a new object is returned."


def sentence() -> tuple[list[str], Any, Any, Any]:
    """Words, and the trained LSTM's embeddings and outputs along them."""
    models, _, vocabulary = language_models(SECONDS)
    words = tokenize(SENTENCE)[:-1]  # from <s> on, without </s>
    model = models["LSTM"].eval()
    embedded = model.embedding(vocabulary.encode(words))
    ys, _ = unroll(model.cell, embedded)
    return words, model, embedded, ys


# One cell, unrolled -------------------------------------------------------------------------------

CELLS = "One cell, unrolled"


@picture(CELLS, "Elman, every operation", "Each operation of the tape once, in columns of time.")
def elman_op(theme: str) -> Any:
    return draw(Elman(3, 4), level="op", theme=theme)


@picture(CELLS, "Elman, folded", "The loop that was unrolled, with a delay on the way back.")
def elman_folded(theme: str) -> Any:
    return draw(Elman(3, 4), level="op", fold=True, theme=theme)


@picture(CELLS, "LSTM, gate by gate", "The memory c runs along the top; weights are shared.")
def lstm_gates(theme: str) -> Any:
    return draw(LSTM(3, 4), level="gate", steps=2, theme=theme)


@picture(CELLS, "LSTM, every operation", "What is inside of the gates.")
def lstm_op(theme: str) -> Any:
    return draw(LSTM(3, 4), level="op", steps=2, theme=theme)


@picture(CELLS, "LSTM, folded", "One step that stands for all.")
def lstm_folded(theme: str) -> Any:
    return draw(LSTM(3, 4), level="gate", fold=True, theme=theme)


@picture(CELLS, "LSTM, one step in detail", "Step 2 of 3, with shapes and values.")
def lstm_step(theme: str) -> Any:
    ys, _ = unroll(LSTM(3, 2, rng=0), inputs(3))
    return draw(ys, level="op", at=2, values=True, theme=theme)


@picture(CELLS, "LSTM, a long sequence", "50 steps: the first, the second, and the last.")
def lstm_long(theme: str) -> Any:
    ys, _ = unroll(LSTM(3, 4, rng=0), inputs(50))
    return draw(ys, level="cell", theme=theme)


@picture(CELLS, "GRU, gate by gate", "In the lectures' form: the reset comes before the product.")
def gru_gates(theme: str) -> Any:
    return draw(GRU(3, 4), level="gate", theme=theme)


@picture(CELLS, "GRU, one step", "The same, every operation of one step.")
def gru_op(theme: str) -> Any:
    return draw(GRU(3, 4), level="op", fold=True, theme=theme)


@picture(CELLS, "A cell of one's own", "Four lines of NumPy in a class, one of them a scope.")
def own_cell(theme: str) -> Any:
    return draw(Minimal(3, 4), level="op", steps=2, theme=theme)


# Networks -----------------------------------------------------------------------------------------

NETWORKS = "Networks"


@picture(NETWORKS, "Stacked", "A row for each layer; what one gives is what the next one reads.")
def stacked(theme: str) -> Any:
    return draw(Stacked([LSTM(3, 4), GRU(4, 4)]), level="cell", steps=4, theme=theme)


@picture(NETWORKS, "Stacked, gate by gate", "The same two layers, one level deeper.")
def stacked_gates(theme: str) -> Any:
    return draw(Stacked([LSTM(3, 4), GRU(4, 4)]), level="gate", steps=2, theme=theme)


@picture(NETWORKS, "Bidirectional", "The backward row runs from right to left.")
def bidirectional(theme: str) -> Any:
    return draw(Bidirectional(LSTM(3, 4), LSTM(3, 4)), level="cell", steps=4, theme=theme)


@picture(
    NETWORKS,
    "A language model with tied weights",
    "E embeds the words and scores them: one parameter, used twice.",
)
def language_model(theme: str) -> Any:
    loss = LanguageModel(12, 4, GRU, rng=0).loss([1, 4, 5, 2])
    return draw(loss, level="gate", theme=theme)


@picture(
    NETWORKS,
    "A tagger with a conditional random field",
    "A bidirectional network scores the tags of each word, the CRF those of the sentence.",
)
def tagger(theme: str) -> Any:
    network = Bidirectional(GRU(4, 3, rng=0), GRU(4, 3, rng=1))
    model = Transducer(network, 3, embedding=Embedding(9, 4, rng=2), crf=CRF(3), rng=3)
    return draw(model.loss(np.array([[4, 5, 6]]), np.array([[0, 1, 2]])), level="cell", theme=theme)


@picture(
    NETWORKS,
    "Encoder and decoder with attention",
    "The encoder's last state goes over; the decoder looks back at all that was read.",
)
def encoder_decoder(theme: str) -> Any:
    model = EncoderDecoder(9, 9, d=4, attention="dot", cell=GRU, rng=0)
    return draw(model.loss([3, 4, 5], [1, 4, 2]), level="cell", theme=theme)


@picture(NETWORKS, "A feedforward network", "No time steps: drawn in layers.")
def feedforward(theme: str) -> Any:
    network = FeedForward([4, 8, 3], "relu", rng=0)
    return draw(network(Tensor(np.ones((2, 4)), name="x")), theme=theme)


# Numbers and gradients ----------------------------------------------------------------------------

NUMBERS = "Numbers and gradients"


@picture(
    NUMBERS,
    "The gradient on its way back",
    "The wider and darker an edge, the more gradient comes back along it: here it vanishes.",
)
def vanishing(theme: str) -> Any:
    _, (h,) = unroll(Elman(3, 8, rng=0, U_init="uniform"), inputs(4))
    tape = Tape(h.sum())
    return draw(tape, level="cell", backward=True, grads=tape.gradients(), theme=theme)


@picture(NUMBERS, "Gradients in the gates", "Forward and backward pass of an LSTM in one picture.")
def lstm_backward(theme: str) -> Any:
    _, (h, _) = unroll(LSTM(3, 4, rng=0), inputs(2))
    tape = Tape(h.sum())
    return draw(tape, level="gate", backward=True, grads=tape.gradients(), theme=theme)


@picture(NUMBERS, "Values and gradients", "Numbers beside every operation.")
def values(theme: str) -> Any:
    _, (h,) = unroll(Elman(2, 2, rng=0), inputs(2, 2))
    tape = Tape((h * h).sum())
    return draw(tape, level="op", values=True, grads=tape.gradients(), theme=theme)


@picture(NUMBERS, "Truncated backpropagation", "The state goes on, the gradient is cut.")
def truncated(theme: str) -> Any:
    _, (h,) = unroll(Elman(3, 4, rng=0), inputs(4), truncate=2)
    tape = Tape(h.sum())
    return draw(tape, level="cell", backward=True, grads=tape.gradients(), theme=theme)


# Beside the graph ---------------------------------------------------------------------------------

BESIDE = "Beside the graph"


@picture(BESIDE, "Gates over a sentence", "A language model of Python's manual reads a sentence.")
def gates_plot(theme: str) -> Any:
    words, _, _, ys = sentence()
    return plot_gates(ys, words, theme=theme)


@picture(BESIDE, "Hidden states over time", "h and c of the same model.")
def states_plot(theme: str) -> Any:
    words, _, _, ys = sentence()
    return plot_states(ys, words, theme=theme)


@picture(BESIDE, "What each output depends on", "The norms of ∂y_t/∂x_s, of the same model.")
def sensitivity_plot(theme: str) -> Any:
    words, _, embedded, ys = sentence()
    return plot_sensitivity(ys, embedded, words, theme=theme)


@picture(BESIDE, "Vanishing gradients", "‖∂L/∂h_t‖ of three cells that begin alike.")
def flow_plot(theme: str) -> Any:
    flows = {}
    for make in (Elman, LSTM, GRU):
        _, (h, *_) = unroll(make(3, 16, rng=0, U_init="uniform"), inputs(30))
        flows[make.__name__] = gradient_flow(h.sum())
    return plot_gradient_flow(flows, theme=theme)


@picture(BESIDE, "Shares by step", "Which steps a weight's gradient comes from: the last ones.")
def shares_plot(theme: str) -> Any:
    _, (h, *_) = unroll(LSTM(3, 16, rng=0), inputs(20))
    return plot_shares(h.sum(), theme=theme)


@picture(BESIDE, "Activations", "Curves, and their derivatives: where those are flat, none passes.")
def activations_plot(theme: str) -> Any:
    return plot_activations(["sigmoid", "tanh", "relu"], theme=theme)


@picture(BESIDE, "Attention", "A network that writes words backwards, and where it looks.")
def attention_plot(theme: str) -> Any:
    letters = "unspool"
    source = np.array([ord(letter) - ord("a") + 3 for letter in letters])
    weights = reverser(SECONDS).attention_matrix(source, [1, *source[::-1], 2])
    return plot_attention(weights, list(letters), [*letters[::-1], "</s>"], theme=theme)


@picture(BESIDE, "Training", "Two language models of Python's manual; dashed, on held-out text.")
def training_plot(theme: str) -> Any:
    _, histories, _ = language_models(SECONDS)
    return plot_training(histories, what="perplexity", over="seconds", theme=theme)


# In motion, and to be opened ----------------------------------------------------------------------

MOTION = "In motion, and to be opened"


@picture(MOTION, "A walk through time", "Forward, then back: .animate(), as SVG and as GIF.")
def walk_cells(theme: str) -> Any:
    ys, _ = unroll(LSTM(3, 4, rng=0), inputs(5))
    return draw((ys * ys).sum(), level="cell", theme=theme)


@picture(MOTION, "A walk through the gates", "Record by record, in the order of the tape.")
def walk_gates(theme: str) -> Any:
    _, (h, _) = unroll(LSTM(3, 4, rng=0), inputs(2))
    return draw((h * h).sum(), level="gate", theme=theme)


@picture(MOTION, "The page", "Zoom, open and close, step through: one file without requests.")
def page(theme: str) -> Any:
    _, (h, _) = unroll(LSTM(3, 4, rng=0), inputs(8))
    tape = Tape((h * h).sum())
    return draw(tape, level="gate", grads=tape.gradients(), theme=theme)


# Words --------------------------------------------------------------------------------------------

OVER_WORDS = "Over words"


@picture(OVER_WORDS, "A loss at each step", "Words below, targets and predictions above.")
def sentence_losses(theme: str) -> Any:
    models, _, vocabulary = language_models(SECONDS)
    model = models["GRU"]
    model.vocabulary = vocabulary
    return draw(model, words="If the value", theme=theme)


@picture(OVER_WORDS, "Generation", "Each predicted word is the next input.")
def generation(theme: str) -> Any:
    models, _, vocabulary = language_models(SECONDS)
    model = models["GRU"]
    model.vocabulary = vocabulary
    return draw(model, words="If the", generate=3, theme=theme)


@picture(OVER_WORDS, "The lattice of a CRF", "Labels over words, scores on arcs, the best path.")
def crf_lattice(theme: str) -> Any:
    network = Bidirectional(GRU(4, 3, rng=0), GRU(4, 3, rng=1))
    model = Transducer(network, 3, embedding=Embedding(9, 4, rng=2), crf=CRF(3), rng=3)
    model.crf.T.data = np.random.default_rng(0).normal(size=(3, 3)).round(1).astype("f")
    return lattice(model, [4, 5, 6], theme=theme)


ANIMATED = {"walk_cells", "walk_gates"}
PAGES = {"page"}
README = ("lstm_gates", "vanishing", "encoder_decoder", "walk_cells")


# The index ----------------------------------------------------------------------------------------

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #22303c; --faint: #51606e; --band: #f3f5f7;
  --line: #d5dbe1; }
@media (prefers-color-scheme: dark) { :root { --paper: #12171c; --ink: #e6ebf0; --faint: #a9b6c2;
  --band: #1d242b; --line: #3a444e; } }
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.5rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 Helvetica, Arial, "DejaVu Sans", sans-serif; }
nav a { margin-right: 1.2em; } a { color: inherit; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
figure { margin: 2rem 0; } figcaption { margin-bottom: .6rem; }
figcaption b { display: block; } figcaption span { color: var(--faint); }
.sheet { overflow-x: auto; } .sheet img { display: block; max-width: 100%; height: auto; }
details { margin-top: .5rem; color: var(--faint); }
pre { background: var(--band); padding: .7rem 1rem; overflow-x: auto; font-size: 13px; }
"""


def code_of(make: Callable[[str], Any]) -> str:
    """What makes a picture, as it would be written elsewhere."""
    lines = inspect.getsource(make).splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("def ")) + 1
    code = textwrap.dedent("\n".join(lines[begin:]))
    return code.replace(", theme=theme", "").replace("return ", "")


def figure(one: Picture, files: dict[str, str]) -> str:
    """An entry of the index."""
    name = one.make.__name__
    links = [f'<a href="{file}">{html.escape(label)}</a>' for label, file in files.items()]
    title, text = html.escape(one.title), html.escape(one.text)
    return f"""<figure id="{name}">
<figcaption><b>{title}</b> <span>{text}</span></figcaption>
<div class="sheet"><picture><source media="(prefers-color-scheme: dark)" srcset="{name}.dark.svg">
<img src="{name}.light.svg" alt="{title}: {text}" loading="lazy"></picture></div>
<details><summary>{" · ".join(links)} · code</summary>
<pre>{html.escape(code_of(one.make))}</pre></details>
</figure>
"""


def index(entries: list[tuple[Picture, dict[str, str]]]) -> str:
    """The page that shows them all."""
    sections = dict.fromkeys(one.section for one, _ in entries)
    parts = []
    for number, section in enumerate(sections, 1):
        inside = "".join(figure(one, files) for one, files in entries if one.section == section)
        parts.append(f'<h2 id="section{number}">{html.escape(section)}</h2>\n{inside}')
    links = "".join(
        f'<a href="#section{number}">{html.escape(section)}</a>'
        for number, section in enumerate(sections, 1)
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>unspool: the gallery</title><style>{STYLE}</style></head>
<body><h1>unspool: the gallery</h1>
<p>Every picture is drawn from the tape of a network that ran, by the code below it.</p>
<nav>{links}</nav>
{"".join(parts)}</body></html>
"""


def write(one: Picture, out: Path) -> dict[str, str]:
    """A picture's files, by what they are called in the index."""
    name = one.make.__name__
    files = {}
    for theme in THEMES:
        drawing = one.make(theme)
        path = out / f"{name}.{theme}.svg"
        if name in ANIMATED:
            drawing.animate(path)
        else:
            drawing.save(path)
        files[f"SVG, {theme}"] = path.name
    if name in ANIMATED and renderers():
        files["GIF"] = one.make("light").animate(out / f"{name}.gif").name
    if name in PAGES:
        files["the page"] = one.make("light").save(out / f"{name}.html").name
    return files


def write_readme(folder: Path) -> None:
    """The pictures that stand in the README, in the light theme."""
    for one in PICTURES:
        name = one.make.__name__
        if name in README:
            drawing = one.make("light")
            path = folder / f"{name}.svg"
            print(drawing.animate(path) if name in ANIMATED else drawing.save(path))


def main() -> None:
    """Write the gallery."""
    global SECONDS
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gallery"), help="the folder")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="training of each model")
    names = [one.make.__name__ for one in PICTURES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--readme", type=Path, help="write the README's pictures here, no others")
    args = parser.parse_args()
    if args.readme:
        write_readme(args.readme)
        return
    SECONDS = args.seconds
    began = time.perf_counter()
    args.out.mkdir(parents=True, exist_ok=True)
    entries = []
    for one in (one for one in PICTURES if one.make.__name__ in args.only):
        entries.append((one, write(one, args.out)))
        print(f"{time.perf_counter() - began:5.1f} s  {one.make.__name__}", flush=True)
    (args.out / "index.html").write_text(index(entries), encoding="utf-8")
    print(f"{len(entries)} pictures; open {args.out / 'index.html'}")


if __name__ == "__main__":
    main()
