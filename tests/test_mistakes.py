"""What beginners write by mistake, and the words that each error must hold.

An error names the thing, says what was expected and what came, and what to write instead.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, draw, grad, no_grad, unroll
from unspool.autograd import cross_entropy
from unspool.cells import GRU, LSTM, Bidirectional, Cell, Elman, Module, Stacked
from unspool.models import (
    CRF,
    SGD,
    Acceptor,
    Adam,
    Corpus,
    Dense,
    Embedding,
    EncoderDecoder,
    Features,
    FeedForward,
    Labelled,
    Labels,
    LanguageModel,
    Sequences,
    Stream,
    Transducer,
    Vocabulary,
    accuracy,
    clip_by_global_norm,
    fit,
    keras,
    labelled_rows,
    load_labelled,
    load_model,
    load_tagged,
    load_text,
    pad_sequences,
    predictions,
    save_model,
    span_scores,
    tokenize,
)
from unspool.viz import equations

XS = np.ones((2, 5, 3), np.float32)
IDS = [[1, 3, 4], [1, 4, 2]]


class Forgetful(Cell):
    """A cell whose state is not unpacked."""

    def __init__(self):
        self.d_in, self.d_h = 3, 2
        self.W, self.U = Parameter(np.ones((3, 2))), Parameter(np.ones((2, 2)))

    def forward(self, x, h):
        return (np.tanh(x @ self.W + h @ self.U),)


class Bare(Cell):
    """A cell whose constructor takes no rng and no dtype."""

    def __init__(self, d_in, d_h):
        self.d_in, self.d_h = d_in, d_h

    def forward(self, x, state):
        return state


class Returning(Forgetful):
    """A cell whose step returns something else than its state."""

    def __init__(self, result):
        super().__init__()
        self.result = result

    def forward(self, x, state):
        y = np.tanh(x @ self.W)
        return {"y": y, "y, state": (y, (y,))}[self.result]


class Holder(Module):
    """A module with an attribute and a weight."""

    def __init__(self, **attributes):
        self.w = Parameter([1.0, 2.0])
        for name, value in attributes.items():
            setattr(self, name, value)


def classifier(**options):
    return Acceptor(LSTM(4, 3, rng=0), 2, embedding=Embedding(9, 4, rng=0), rng=0, **options)


TASK = Labelled(IDS, [0, 1])
WORDS = Vocabulary(["a", "b"])
LABELS = Labels(["neg", "pos"])


def step_twice(cell):
    state = cell.initial_state()
    for _ in range(2):
        state = cell(np.ones(3, np.float32), state)


def stale_optimizer():
    optimizer = Adam(classifier().parameters())
    fit(classifier(), TASK, optimizer, progress=False)


def update_in_place():
    w = Parameter([1.0])
    (w * w).sum().backward()
    w -= 0.1 * w.grad


def replace_a_weight():
    net = Holder()
    net.w = net.w * 2.0


def circle():
    net = Holder(child=Holder())
    net.child.parent = net
    net.parameters()


def metric(value):
    return lambda: fit(classifier(), TASK, validation=TASK, metrics=value, progress=False)


def not_a_number():
    class Task:
        unit = "sequences"

        def __len__(self):
            return 1

        def batches(self, epoch):
            yield np.where(np.arange(3) == 1, np.nan, XS), [0, 1]

        def loss(self, model, batch, carry):
            return model.loss(*batch), 2, None

    fit(Acceptor(LSTM(3, 3, rng=0), 2, rng=0), Task(), progress=False)


MISTAKES = {
    # Cells.
    "state not unpacked": (lambda: unroll(Forgetful(), XS[0]), "tuple", "(h,) = state"),
    "state = cell(x, state)": (
        partial(step_twice, LSTM(3, 4)),
        "(h, c)",
        "y, state = cell(x, state)",
    ),
    "the same with one state": (partial(step_twice, Elman(3, 4)), "(h,)", "y, state = cell"),
    "state without its tuple": (
        lambda: Elman(3, 4)(XS[0, 0], np.zeros(4)),
        "Elman: expected the state (h,), a tuple",
    ),
    "h of another width": (
        lambda: Elman(3, 4)(XS[0, 0], (np.zeros(5),)),
        "state h of (4,)",
        "(5,)",
    ),
    "a batch over time in one step": (lambda: LSTM(3, 4)(XS), "unroll(cell, xs)"),
    "column vectors": (lambda: LSTM(3, 4)(np.ones((3, 1))), "(batch, 3)", "rows", "x.T"),
    "other width of x": (lambda: unroll(LSTM(4, 4), XS), "LSTM", "4", "(2, 5, 3)"),
    "class for a cell": (lambda: Stacked([LSTM, LSTM]), "the class LSTM", "LSTM(3, 4)"),
    "width as text": (lambda: LSTM("3", 4), "LSTM: d_in must be an integer", "'3'"),
    "width of 0": (lambda: LSTM(3, 0), "d_h must be an integer >= 1, got 0"),
    "activation misspelt": (lambda: Elman(3, 4, "tahn"), "did you mean 'tanh'"),
    "one direction": (lambda: Bidirectional(LSTM(3, 4), 5), "backward must be a Cell", "got 5"),
    "lengths of another batch": (lambda: unroll(LSTM(3, 4), XS, lengths=[5]), "lengths", "2"),
    "y in place of the state": (
        lambda: unroll(Returning("y"), XS),
        "a Tensor (2, 2)",
        "return (h,)",
    ),
    "y and the state": (
        lambda: unroll(Returning("y, state"), XS),
        "return (h,) alone",
        "output(state)",
    ),
    "forward without a state": (
        lambda: type("One", (Cell,), {"forward": lambda self, x: x}),
        "One.forward must be forward(self, x, state)",
        "got forward(self, x)",
    ),
    "PyTorch's name of a width": (
        lambda: LSTM(3, hidden_size=4),
        "LSTM takes no hidden_size",
        "d_h=",
    ),
    "Keras's name of a width": (lambda: GRU(3, units=4), "GRU takes no units; write d_h="),
    "an option misspelt": (lambda: LSTM(3, 4, bais=False), "LSTM takes no bais; write bias="),
    "layers as a number": (
        lambda: LSTM(3, 4, num_layers=2),
        "LSTM takes no num_layers",
        "Stacked([",
    ),
    "both ways as a flag": (lambda: LSTM(3, 4, bidirectional=True), "write Bidirectional("),
    "a set of layers": (
        lambda: Holder(parts={LSTM(2, 2)}).parameters(),
        "set",
        "make it a list",
    ),
    "a method's name": (lambda: Holder(size=3), "Holder.size is a method, got 3", "self.size_"),
    "a parent": (circle, "child.parent", "weakref.ref(parent)"),
    # Tensors and gradients.
    "update outside of no_grad": (update_in_place, "with no_grad():"),
    "a weight replaced": (replace_a_weight, "Holder.w is a Parameter", "net.w.data ="),
    "a method that NumPy has as a function": (lambda: Parameter([1.0]).tanh(), "np.tanh(x)"),
    "a method of PyTorch": (lambda: Parameter([1.0]).view(1), "x.reshape(...)"),
    "sigmoid as a method": (lambda: Parameter([1.0]).sigmoid(), "unspool.autograd.sigmoid(x)"),
    "gradient of a vector": (lambda: (Parameter([1.0, 2.0]) * 2).backward(), "scalar", "gradient"),
    "backward of a leaf's data": (lambda: Tensor(2.0).backward(), "requires a gradient"),
    "float of a result": (lambda: float(Parameter(2.0) * 1), "float()", ".item()"),
    "an array of a result": (lambda: np.array(Parameter([2.0]) * 1), "detach", ".data"),
    "words as numbers": (lambda: Tensor(["a"]), "expected real numbers"),
    "integers that want a gradient": (lambda: Parameter([1, 2]), "floating-point", "2.0"),
    "shapes that do not fit": (
        lambda: Parameter(np.ones((2, 3))) @ np.ones((2, 3)),
        "matmul",
        "the left has 3 columns, the right 2 rows",
    ),
    "gradient of a function with an array": (lambda: grad(lambda x: x * 2)(np.ones(2)), "scalar"),
    "targets as vectors": (
        lambda: cross_entropy(Parameter(np.ones((2, 3))), np.eye(3)[:2]),
        "cross_entropy",
    ),
    "a target that is no class": (
        lambda: cross_entropy(Parameter(np.ones((1, 3))), [3]),
        "cross_entropy",
        "3",
    ),
    # Text.
    "texts as tokens": (lambda: Vocabulary.count(["a good film"]), "tokenize(text)"),
    "a text as tokens": (lambda: Vocabulary.count("a good film"), "Vocabulary.count(tokenize"),
    "encode of texts": (lambda: WORDS.encode(["a b"]), "'a b'", "for text in texts"),
    "decode of words": (lambda: WORDS.decode(["a"]), "Vocabulary.decode"),
    "a label as text": (lambda: LABELS.encode("pos"), "Labels.encode", "list of names"),
    "an unknown label": (lambda: LABELS.encode(["good"]), "one of neg, pos", "'good'"),
    "one label": (lambda: Labels.count(["a", "a"]), "two labels or more", "'a'"),
    "level misspelt": (lambda: tokenize("a", "words"), "word, character"),
    "words in place of ids": (lambda: Labelled([["a"]], [0]), "expected ids", "Vocabulary"),
    "names in place of label ids": (lambda: Labelled(IDS, ["a", "b"]), "Labels.encode"),
    "labels of another number": (lambda: Labelled(IDS, [0]), "2 sequences", "labels for 1"),
    "an empty sequence": (lambda: Labelled([[]], [0]), "sequence 0 is empty"),
    "sentence as text": (lambda: Features.count(["the cat"]), "list of strings", "'the cat'"),
    "pad of numbers": (lambda: pad_sequences([1, 2]), "pad_sequences"),
    "texts and labels swapped in number": (lambda: Corpus.labelled(["a"] * 9, ["x"]), "9 and 1"),
    "one text for a list": (lambda: Corpus.labelled("a b", ["x"]), "write [text]"),
    "too few texts": (lambda: Corpus.labelled(["a", "b"], ["x", "y"]), "too few"),
    "labels as numbers": (
        lambda: Corpus.labelled(["a", "b"], [0, 1]),
        "labels must be a list of texts, got 0 at 0",
        "names[i]",
    ),
    "a text that is missing": (
        lambda: Corpus.labelled(["a", None], ["x", "y"]),
        "got None at 1",
        "leave out the rows",
    ),
    "sentences not split": (lambda: Corpus.tagged(["a b"], [["X"]]), "sentence.split()"),
    "a frame for its column": (lambda: Corpus.labelled({"text": ["a"]}, ["x"]), 'table["text"]'),
    "no table": (lambda: labelled_rows([1, 2]), "DataFrame", "a list of 2"),
    # Files.
    "no such file": (lambda: load_text("nothing.txt"), "nothing.txt: no such text file"),
    "a folder for a file": (lambda: load_text("."), "is a folder"),
    "the same column twice": (lambda: load_labelled("x.tsv", 1, 1), "two columns", "1 and 1"),
    "no columns": (lambda: load_tagged("x.tsv", ()), "columns must be"),
    "no such model": (lambda: load_model("nothing.npz"), "nothing.npz"),
    # Models and training.
    "a cell's name misspelt": (lambda: LanguageModel(6, 4, cell="ltsm"), "did you mean 'lstm'"),
    "a cell that does not fit": (lambda: LanguageModel(6, 4, cell=LSTM(3, 4)), "cell=LSTM"),
    "a cell without rng=": (
        lambda: LanguageModel(6, 4, cell=Bare),
        "cell(d_in, d_h, rng=, dtype=)",
    ),
    "one cell for two layers": (
        lambda: LanguageModel(6, 4, cell=LSTM(4, 4), layers=2),
        "one layer only",
        "cell=LSTM",
    ),
    "one cell for encoder and decoder": (
        lambda: EncoderDecoder(5, 5, 4, cell=GRU(4, 4)),
        "one layer only",
    ),
    "class for a network": (
        lambda: Acceptor(LSTM, 2),
        "the class LSTM",
        "LSTM(3, 4)",
        "embedding=",
    ),
    "embedding of another width": (
        lambda: Acceptor(LSTM(4, 3), 2, embedding=Embedding(9, 5)),
        "width 5",
        "d_in = 4",
    ),
    "ids without an embedding": (lambda: Acceptor(LSTM(4, 3), 2).loss(IDS, [0, 1]), "embedding="),
    "an id too high": (lambda: classifier().loss([[9]], [0]), "9"),
    "a target too high": (lambda: classifier().loss(IDS, [0, 2]), "from 0 to 1, got 2"),
    "pooling misspelt": (lambda: classifier(pooling="maximum"), "last, mean, max, sum"),
    "widths of an MLP": (lambda: FeedForward([3]), "[300, 100, 2]"),
    "dropout in percent": (lambda: classifier(dropout=50), "probability from 0 to 1, got 50"),
    "a CRF of other labels": (lambda: Transducer(LSTM(3, 4), 3, crf=CRF(2)), "3 labels", "2"),
    "a text of one token": (lambda: LanguageModel(6, 4).loss([1]), "2"),
    "temperature without end": (
        lambda: LanguageModel(6, 4).generate([1], 2, temperature=float("inf")),
        "temperature must be a number >= 0",
    ),
    "writing without words": (lambda: LanguageModel(6, 4).write("a"), "model.vocabulary ="),
    "a prompt as text": (
        lambda: LanguageModel(6, 4).generate("the cat", 3),
        "expected ids, got words",
        "vocabulary.encode(text, start=True)",
        "model.write",
    ),
    "texts for ids": (
        lambda: classifier().predict(["a film"]),
        "ids are integers",
        "words into ids",
    ),
    "a vocabulary for its size": (
        lambda: LanguageModel(WORDS, 4),
        "vocab_size must be an integer",
        "its length is 5",
    ),
    "capitals": (lambda: Dense(3, 2, "Relu"), "got 'Relu'; did you mean 'relu'?"),
    "model.zero_grad()": (lambda: classifier().zero_grad(), "optimizer.zero_grad()"),
    "model.fit": (lambda: classifier().fit(TASK), "unspool.models.fit(model, task", "models.keras"),
    "model.summary()": (lambda: classifier().summary(), "print(model)"),
    "model.to(device)": (lambda: classifier().to("cuda"), "in memory"),
    "predict_proba": (lambda: classifier().predict_proba(IDS), "model.probabilities(x)"),
    "learning_rate": (
        lambda: Adam(classifier().parameters(), learning_rate=0.1),
        "Adam takes no learning_rate; write lr=",
    ),
    "batch_size": (
        lambda: Labelled(IDS, [0, 1], batch_size=2),
        "Labelled takes no batch_size",
        "batch=",
    ),
    "clipping a model": (lambda: clip_by_global_norm(classifier(), 1.0), "model.parameters()"),
    "saving an array": (lambda: save_model("x.npz", np.ones(3)), "must be a Module", "save_npz"),
    "model before path": (
        lambda: save_model(classifier(), "x.npz"),
        "write save_model(path, model)",
    ),
    "saving before the first call": (
        lambda: save_model("x.npz", keras.Sequential([keras.layers.Dense(2)])),
        "has no weights yet",
        "model.build(",
    ),
    "an optimiser before its model": (stale_optimizer, "not this Acceptor's", "Adam(model.param"),
    "a class for an optimiser": (lambda: fit(classifier(), TASK, Adam), "Adam(model.parameters()"),
    "an optimiser of a model": (lambda: SGD(classifier(), 0.1), "model.parameters()"),
    "learning rate below 0": (lambda: Adam(classifier().parameters(), -1), "lr must be", "-1"),
    "a metric that is none": (metric(["acuracy"]), "accuracy", "'acuracy'"),
    "a metric in brackets": (metric("accuracy"), '["accuracy"]'),
    "a metric of labels": (metric({"f1": span_scores}), "(model, task)", "metrics['f1']"),
    "metrics without validation": (
        lambda: fit(classifier(), TASK, metrics=["accuracy"]),
        "validation=",
    ),
    "arrays for a task": (lambda: fit(classifier(), np.ones((3, 2))), "a Task, as Labelled(x, y"),
    "the model's class": (lambda: fit(Acceptor, TASK), "Acceptor(...)", "the class Acceptor"),
    "sequences of one": (lambda: Sequences([[1]]), "at least 2"),
    "a text as ids": (lambda: Stream("abc"), "Stream"),
    "predictions without a task": (lambda: predictions(classifier(), IDS), "Labelled(sequences)"),
    "accuracy of a model": (lambda: accuracy(classifier(), TASK), "a list of labels"),
    "a NaN in the data": (not_a_number, "comes from xs", "in the data"),
    "a vocabulary of another size": (
        lambda: save_model("x.npz", classifier(), vocabulary=WORDS),
        "5 tokens, the model 9",
    ),
    # Pictures.
    "drawing a class": (lambda: draw(Elman), "the class Elman", "Elman(3, 4)"),
    "equations of a class": (lambda: equations(LSTM), "the class LSTM", "LSTM(3, 4)"),
    "drawing a model without words": (lambda: draw(classifier()), 'words=["the", "cat"]'),
    "equations of a model": (lambda: equations(classifier()), "equations(model.network)"),
    "equations of a layer": (lambda: equations(Dense(2, 3)), "equations(model(x))"),
    "drawing an array": (lambda: draw(np.ones(3)), "a Tensor, a Tape, or a cell"),
    "drawing several": (lambda: draw([Tensor(1.0) * 2]), "Tape(*tensors)"),
    "drawing what is off the tape": (lambda: draw(Tensor([1.0])), "no tape"),
    "a level misspelt": (lambda: draw(LSTM(2, 2), level="gates"), "gate"),
    "a tape of arrays": (lambda: Tape(np.ones(2)), "Tape"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_cure(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, *words = MISTAKES[name]
    with pytest.raises((TypeError, ValueError, AttributeError, OSError, ArithmeticError)) as raised:
        call()
    message = str(raised.value)
    for word in words:
        assert word in message, message
    assert str(tmp_path) not in message


def test_there_are_enough():
    assert len(MISTAKES) >= 120


def test_what_only_looks_like_a_mistake():
    """Each of these is right, and works."""
    with no_grad():
        net = Holder()
        net.w -= 0.5
    assert [name for name, _ in net.named_parameters()] == ["w"]
    module = type("Net", (Holder,), {"forward": lambda self, x: x * self.w})()
    assert module(np.ones(2)).shape == (2,)  # a module with a forward is called by it
    assert len(Corpus.labelled(["a b", "c d"] * 5, ["x", "y"] * 5, rng=0).labels) == 2
