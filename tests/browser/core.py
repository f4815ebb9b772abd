# packages: matplotlib
"""Run by test_browser.py in Pyodide, and in a Python that lacks what Pyodide lacks.

Import, tape, training, files, pictures; what is not there says what to write instead.
"""

import sys

import numpy as np

import unspool
from unspool import Parameter, Tape, check_grads, draw, unroll
from unspool.cells import LSTM, jit, load_npz, save_npz
from unspool.models import Acceptor, Corpus, Embedding, LanguageModel, fit, load_model, save_model
from unspool.viz import equations

assert sys.platform == "emscripten"
print("unspool", unspool.__version__, "numpy", np.__version__, "int", np.dtype(int).name)


def message(error, call):
    """What is said where a call cannot work."""
    try:
        call()
    except error as raised:
        return str(raised)
    raise AssertionError(f"{call} raised no {error}")


# The tape and its gradients.
cell = LSTM(3, 4, rng=0, dtype=np.float64)
xs = np.random.default_rng(0).normal(size=(2, 5, 3))
ys, (h, c) = unroll(cell, xs, lengths=[5, 3])
assert ys.shape == (2, 5, 4)
assert len(Tape(ys)) > 100
check_grads(lambda xs: unroll(cell, xs)[0].sum(), (xs,))
w = Parameter([1.0, 2.0], name="w")
(np.tanh(w) ** 2).sum().backward()
assert np.allclose(w.grad, 2 * np.tanh(w.data) * (1 - np.tanh(w.data) ** 2))

# A model from texts, its training, and its file.
texts = ["a lovely film", "warm and bright", "dull and flat", "what a bore"] * 12
corpus = Corpus.labelled(texts, ["pos", "pos", "neg", "neg"] * 12, rng=0)
embedding = Embedding(len(corpus.vocabulary), 8, rng=0)
model = Acceptor("lstm", len(corpus.labels), "max", embedding=embedding, rng=0)
history = fit(model, corpus.train, epochs=3, checkpoint="training.npz", progress=False)
save_model("films.npz", model, vocabulary=corpus.vocabulary, labels=corpus.labels)
assert len(load_model("films.npz").predict(["a bright film"])) == 1
save_npz("cell.npz", cell.state_dict())
cell.load_state_dict(load_npz("cell.npz"))
language_model = LanguageModel(9, 8, rng=0)
assert len(language_model.generate([1, 2], 4, rng=0)) == 4

# Pictures, in memory and as files.
tape = Tape(unroll(cell, xs)[0].sum())
picture = draw(tape, level="gate", grads=tape.gradients(), backward=True)
assert picture._repr_svg_().startswith("<svg")
picture.save("lstm.svg")
picture.save("lstm.html")
picture.save("lstm.dot")
picture.animate("walk.svg")
assert "srcdoc" in picture.walk()._repr_html_()
assert "tanh" in str(equations(cell))

# What a browser has not says so.
for suffix in ("png", "pdf"):
    said = message(RuntimeError, lambda suffix=suffix: picture.save(f"lstm.{suffix}"))
    assert "browser" in said
    assert ".svg" in said
said = message(ImportError, lambda: jit(cell))
assert "fast" in said
said = message(ImportError, lambda: unspool.cells.to_onnx(cell))
assert "onnx" in said
said = message(FileNotFoundError, unspool.models.python_manual)
assert "pydoc_data" in said

try:
    import matplotlib
except ImportError:
    pass
else:
    matplotlib.use("agg")
    from unspool.viz.plots import plot_activations

    plot_activations()
print("passed")
