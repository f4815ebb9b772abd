"""What several test files share: what a test needs, formulas to compare with, small modules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unspool import Parameter
from unspool.viz import render

# What a test needs ------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
needs_graphviz = pytest.mark.skipif(
    not render.renderers(), reason="needs Graphviz: pip install 'unspool[render]'"
)
needs_pygraphviz = pytest.mark.skipif(
    "pygraphviz" not in render.renderers(),
    reason="needs pygraphviz: pip install 'unspool[render]'",
)

INSTALL = {
    "numba": "'unspool[fast]'",
    "PIL": "'unspool[plot]'",
    "matplotlib": "'unspool[plot]'",
    "keras": "'unspool[peers]'",
    "nltk": "'unspool[data]'",
    "onnx": "'unspool[onnx]'",
    "safetensors": "'unspool[io]'",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "tqdm": "'unspool[train]'",
}


def needs(module: str) -> Any:
    """An optional module; the test, or the whole file, is skipped where it is not installed."""
    __tracebackhide__ = True
    package = module.partition(".")[0]
    install = INSTALL.get(package, "'unspool[test]'")
    return pytest.importorskip(module, reason=f"needs {package}: pip install {install}")


def needs_data(name: str) -> Path:
    """A file or folder below $UNSPOOL_DATA; the test is skipped where it is absent."""
    __tracebackhide__ = True
    path = Path(os.environ.get("UNSPOOL_DATA", ""), name)
    if "UNSPOOL_DATA" not in os.environ or not path.exists():
        pytest.skip(f"needs UNSPOOL_DATA set to the folder that holds {name}")
    return path


def needs_corpus(name: str) -> Any:
    """NLTK's own reader of a corpus; the test is skipped where the corpus is absent."""
    __tracebackhide__ = True
    needs("nltk")
    from unspool.models.text.readers import nltk_corpus

    try:
        return nltk_corpus(name)
    except FileNotFoundError:
        pytest.skip(f"needs NLTK_DATA set to the folder that holds NLTK's corpus {name}")


# Formulas ---------------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 0.5 + 0.5 * np.tanh(x / 2)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def lstm(cell: Any, xs: Any) -> Any:
    """The outputs of an LSTM for one sequence ``(time, d_in)``, by its equations."""
    p = {name: x.data for name, x in cell.named_parameters()}
    h = c = np.zeros(cell.d_h)
    hs = []
    for x in xs:
        f, i, o, g = (x @ p[f"W_{k}"] + h @ p[f"U_{k}"] + p[f"b_{k}"] for k in "fiog")
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        hs.append(h)
    return np.array(hs)


def assert_steps_as_pytorch(make: Any, options: dict[str, Any]) -> None:
    """Twenty steps of an optimiser against PyTorch's, where some gradients are missing."""
    torch = needs("torch")
    rng = np.random.default_rng(0)
    ours = [Parameter(rng.standard_normal(shape)) for shape in [(3, 4), (5,), (), (2, 1, 3)]]
    theirs = [torch.nn.Parameter(torch.tensor(p.data.copy())) for p in ours]
    a = make(ours, **options)
    torch.set_default_dtype(torch.float64)  # NAdam keeps its products in the default dtype
    b = getattr(torch.optim, make.__name__)(theirs, **options)
    for step in range(20):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            g = rng.standard_normal(p.shape) * 10.0 ** rng.integers(-4, 3)
            missing = (step + i) % 4 == 3
            p.grad = None if missing else np.asarray(g)
            q.grad = None if missing else torch.tensor(g)
        if step == 10:
            a.lr = b.param_groups[0]["lr"] = 0.003
        a.step()
        b.step()
    torch.set_default_dtype(torch.float32)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12, atol=1e-12)


# Modules ----------------------------------------------------------------------------------------


def filled(module: Any, seed: int = 0, scale: float = 0.6) -> Any:
    """The module with every parameter drawn anew, biases and peepholes too."""
    rng = np.random.default_rng(seed)
    for parameter in module.parameters():
        parameter.data[...] = scale * rng.standard_normal(parameter.shape)
    return module


def flat(state: Any) -> list[Any]:
    """The Tensors of a nested state."""
    if isinstance(state, tuple):
        return [tensor for part in state for tensor in flat(part)]
    return [state]


class OneBatch:
    """A Task of one batch ``(ids, labels, lengths)``."""

    def __init__(self, *batch: Any) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def batches(self, epoch: int) -> Any:
        yield self.batch

    def loss(self, model: Any, batch: Any, carry: Any) -> Any:
        return model.loss(*batch), len(batch[0]), None
