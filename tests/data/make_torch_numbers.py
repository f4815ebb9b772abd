"""Write torch_ops.npz: PyTorch's results and gradients in float64, for tests without PyTorch.

Run it where PyTorch is installed: ``python tests/data/make_torch_numbers.py``. The tests also
read the cases from here and compare with PyTorch live, on other random numbers.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

IDS = np.array([[0, 3, 3], [1, 3, 0]])
POSITIONS = np.array([[2, 0, 0], [1, 1, 3]])
TARGETS = np.array([0, 3, 1, 1, 2])
IGNORED = np.array([0, -100, 1, 1, 2])
WEIGHT = np.array([0.5, 2.0, 1.0, 0.3])
POSITIVE = np.array([3.0, 0.5, 1.0, 2.0])
BELIEFS = np.random.default_rng(5).choice([0.0, 1.0, 0.3, 0.8], (5, 4))

Draw = Callable[[np.random.Generator], list[Any]]


def normal(*shapes: tuple[int, ...]) -> Draw:
    return lambda rng: [rng.normal(size=shape) for shape in shapes]


def tied(*shapes: tuple[int, ...]) -> Draw:
    """Whole numbers from -2 to 2: ties, zeros and bounds are among them."""
    return lambda rng: [rng.integers(-2, 3, shape).astype(float) for shape in shapes]


def log_probabilities(*shape: int) -> Draw:
    return lambda rng: [np.log(rng.dirichlet(np.ones(shape[-1]), shape[:-1]))]


def invertible(*more: tuple[int, ...]) -> Draw:
    return lambda rng: [
        rng.normal(size=(2, 3, 3)) + 3 * np.eye(3),
        *(rng.normal(size=shape) for shape in more),
    ]


X = normal((4, 5))
CONV = normal((2, 7, 3), (3, 3, 2), (2,))

# name -> inputs, and the function of torch, its functional module F, and the inputs as tensors
CASES: dict[str, tuple[Draw, Callable[..., Any]]] = {
    "relu": (tied((3, 4)), lambda t, F, x: F.relu(x)),
    "leaky_relu": (tied((3, 4)), lambda t, F, x: F.leaky_relu(x, 0.2)),
    "elu": (tied((3, 4)), lambda t, F, x: F.elu(x, 0.5)),
    "silu": (X, lambda t, F, x: F.silu(x)),
    "gelu": (X, lambda t, F, x: F.gelu(x)),
    "gelu_tanh": (X, lambda t, F, x: F.gelu(x, approximate="tanh")),
    "selu": (X, lambda t, F, x: F.selu(x)),
    "mish": (X, lambda t, F, x: F.mish(x)),
    "softsign": (X, lambda t, F, x: F.softsign(x)),
    "hardtanh": (tied((3, 4)), lambda t, F, x: F.hardtanh(x)),
    "softplus": (X, lambda t, F, x: F.softplus(x)),
    "sigmoid": (X, lambda t, F, x: t.sigmoid(x)),
    "log_sigmoid": (X, lambda t, F, x: F.logsigmoid(x)),
    "hard_sigmoid": (
        lambda rng: [3.0 * rng.integers(-2, 3, (3, 4)) / 2],
        lambda t, F, x: F.relu6(x + 3) / 6,  # F.hardsigmoid's gradient has 1/6 in float32
    ),
    "erf": (X, lambda t, F, x: t.erf(x)),
    "softmax": (X, lambda t, F, x: F.softmax(x, -1)),
    "softmax_0": (X, lambda t, F, x: F.softmax(x, 0)),
    "log_softmax": (X, lambda t, F, x: F.log_softmax(x, -1)),
    "logsumexp": (normal((2, 3, 4)), lambda t, F, x: t.logsumexp(x, (0, 2))),
    "layer_norm": (normal((2, 3, 4), (4,), (4,)), lambda t, F, x, g, b: (
        F.layer_norm(x, (4,), g, b)
    )),
    "embedding": (normal((4, 3)), lambda t, F, E: F.embedding(t.tensor(IDS), E)),
    "conv1d": (CONV, lambda t, F, x, W, b: conv1d(F, x, W, b)),
    "conv1d_stride": (CONV, lambda t, F, x, W, b: conv1d(F, x, W, b, stride=2, dilation=2)),
    "conv1d_same": (CONV, lambda t, F, x, W, b: conv1d(F, x, W, b, padding="same")),
    "cross_entropy": (normal((5, 4)), lambda t, F, x: F.cross_entropy(x, t.tensor(TARGETS))),
    "cross_entropy_all": (normal((5, 4)), lambda t, F, x: F.cross_entropy(
        x, t.tensor(IGNORED), t.tensor(WEIGHT), ignore_index=-100, label_smoothing=0.1
    )),
    "cross_entropy_none": (normal((5, 4)), lambda t, F, x: F.cross_entropy(
        x, t.tensor(IGNORED), t.tensor(WEIGHT), ignore_index=-100, label_smoothing=0.1,
        reduction="none",
    )),
    "cross_entropy_sum": (normal((5, 4)), lambda t, F, x: F.cross_entropy(
        x, t.tensor(TARGETS), t.tensor(WEIGHT), reduction="sum"
    )),
    "nll_loss": (log_probabilities(5, 4), lambda t, F, x: F.nll_loss(
        x, t.tensor(IGNORED), t.tensor(WEIGHT), ignore_index=-100
    )),
    "binary_cross_entropy": (normal((5, 4)), lambda t, F, x: F.binary_cross_entropy_with_logits(
        x, t.tensor(BELIEFS)
    )),
    "binary_cross_entropy_positive": (normal((5, 4)), lambda t, F, x: (
        F.binary_cross_entropy_with_logits(
            x, t.tensor(BELIEFS), t.tensor(WEIGHT), pos_weight=t.tensor(POSITIVE), reduction="sum"
        )
    )),
    "mse_loss": (normal((3, 4), (3, 4)), lambda t, F, x, y: F.mse_loss(x, y)),
    "l1_loss": (tied((3, 4), (3, 4)), lambda t, F, x, y: F.l1_loss(x, y)),
    "huber_loss": (normal((3, 4), (3, 4)), lambda t, F, x, y: F.huber_loss(x, y, delta=0.7)),
    "kl_divergence": (log_probabilities(5, 4), lambda t, F, x: F.kl_div(
        x, t.tensor(BELIEFS), reduction="sum"  # its "mean" is this by the size, with a warning
    ) / x.numel()),
    "std": (X, lambda t, F, x: t.std(x, 1)),
    "prod": (tied((4, 3)), lambda t, F, x: t.prod(x, 1)),
    "cumprod": (tied((4, 5)), lambda t, F, x: t.cumprod(x, 1)),
    "cumsum": (X, lambda t, F, x: t.cumsum(x, 0)),
    "norm": (tied((6, 2)), lambda t, F, x: t.linalg.vector_norm(x, dim=1)),
    "max_ties": (tied((5, 4)), lambda t, F, x: t.amax(x, 1)),
    "maximum_ties": (tied((5, 4), (5, 4)), lambda t, F, a, b: t.maximum(a, b)),
    "minimum_ties": (tied((5, 4), (5, 4)), lambda t, F, a, b: t.minimum(a, b)),
    "clip": (tied((5, 4)), lambda t, F, x: t.clamp(x, -1, 1)),
    "abs": (tied((5, 4)), lambda t, F, x: t.abs(x)),
    "logaddexp": (normal((3, 4), (4,)), lambda t, F, a, b: t.logaddexp(a, b)),
    "arctan2": (normal((3, 4), (3, 1)), lambda t, F, a, b: t.atan2(a, b)),
    "hypot": (normal((3, 4), (4,)), lambda t, F, a, b: t.hypot(a, b)),
    "matmul": (normal((3, 1, 2, 4), (2, 4, 3)), lambda t, F, a, b: a @ b),
    "einsum": (normal((2, 3, 4), (2, 2, 4)), lambda t, F, a, b: t.einsum("bij,bkj->bik", a, b)),
    "take_along_axis": (normal((2, 4)), lambda t, F, x: t.gather(x, 1, t.tensor(POSITIONS))),
    "sort": (X, lambda t, F, x: t.sort(x, dim=1).values),
    "tril": (normal((2, 3, 3)), lambda t, F, x: t.tril(x)),
    "roll": (X, lambda t, F, x: t.roll(x, 1, 1)),
    "pad_reflect": (normal((2, 2, 4)), lambda t, F, x: F.pad(x, (2, 1), mode="reflect")),
    "pad_edge": (normal((2, 2, 4)), lambda t, F, x: F.pad(x, (2, 1), mode="replicate")),
    "inv": (invertible(), lambda t, F, x: t.linalg.inv(x)),
    "det": (invertible(), lambda t, F, x: t.linalg.det(x)),
    "solve": (invertible((2, 3, 2)), lambda t, F, a, b: t.linalg.solve(a, b)),
    "svdvals": (normal((2, 3, 4)), lambda t, F, x: t.linalg.svdvals(x)),
    "spectral_norm": (normal((3, 4)), lambda t, F, x: t.linalg.matrix_norm(x, 2)),
    "nuclear_norm": (normal((3, 4)), lambda t, F, x: t.linalg.matrix_norm(x, "nuc")),
    "svd_u": (normal((4, 2)), lambda t, F, x: t.linalg.svd(x, full_matrices=False)[0].abs()),
    "svd_v": (normal((2, 2, 4)), lambda t, F, x: t.linalg.svd(x, full_matrices=False)[2].abs()),
    "quantile": (X, lambda t, F, x: t.quantile(x, t.tensor([0.25, 0.6], dtype=x.dtype), dim=1)),
    "median": (X, lambda t, F, x: x.median(dim=1).values),
}  # fmt: skip


def conv1d(F: Any, x: Any, W: Any, b: Any, **options: Any) -> Any:
    """PyTorch has channels before time, and its filter as (out, in, width)."""
    return F.conv1d(x.transpose(1, 2), W.permute(2, 1, 0), b, **options).transpose(1, 2)


def torch_numbers(name: str, rng: np.random.Generator) -> tuple[list[Any], Any, list[Any], Any]:
    """Inputs, result, gradients of the inputs, and the gradient of the result they start from."""
    import torch

    draw, function = CASES[name]
    inputs = draw(rng)
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in inputs]
    y = function(torch, torch.nn.functional, *leaves)
    seed = rng.normal(size=tuple(y.shape))
    y.backward(torch.tensor(seed, dtype=torch.float64).reshape(y.shape))
    return inputs, y.detach().numpy(), [x.grad.numpy() for x in leaves], np.asarray(seed)


def main() -> None:
    saved = {}
    for name in CASES:
        inputs, y, gradients, seed = torch_numbers(name, np.random.default_rng(0))
        saved[f"{name}/y"], saved[f"{name}/seed"] = y, seed
        for k, (x, g) in enumerate(zip(inputs, gradients, strict=True)):
            saved[f"{name}/x{k}"], saved[f"{name}/g{k}"] = x, g
    path = pathlib.Path(__file__).with_name("torch_ops.npz")
    np.savez_compressed(path, **saved)
    print(f"{path.name}: {len(CASES)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
