"""Random expressions over the table, with random shapes that broadcast.

One property compares their gradients with central differences, another with PyTorch, and a
third holds whatever the shapes are: the gradient of a broadcast operand has its shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import needs
from unspool import Parameter, Tape, grad
from unspool.autograd import (
    check_grads,
    gelu,
    jvp,
    log_softmax,
    logsumexp,
    sigmoid,
    silu,
    softmax,
    softplus,
    unbroadcast,
    vjp,
)

bounded = settings(max_examples=250, suppress_health_check=list(HealthCheck))

# Each keeps values of moderate size moderate, and is smooth wherever it is defined, so that
# differences say something. The second member is the same in PyTorch.
UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "tanh": (np.tanh, lambda t, x: t.tanh(x)),
    "sin": (np.sin, lambda t, x: t.sin(x)),
    "arctan": (np.arctan, lambda t, x: t.atan(x)),
    "exp of tanh": (lambda x: np.exp(np.tanh(x)), lambda t, x: t.exp(t.tanh(x))),
    "log1p of square": (lambda x: np.log1p(np.square(x)), lambda t, x: t.log1p(t.square(x))),
    "arcsinh": (np.arcsinh, lambda t, x: t.asinh(x)),
    "root": (lambda x: np.sqrt(x * x + 0.5), lambda t, x: t.sqrt(x * x + 0.5)),
    "sigmoid": (sigmoid, lambda t, x: t.sigmoid(x)),
    "softplus": (softplus, lambda t, x: t.nn.functional.softplus(x)),
    "silu": (silu, lambda t, x: t.nn.functional.silu(x)),
    "gelu": (gelu, lambda t, x: t.nn.functional.gelu(x)),
    "negative": (np.negative, lambda t, x: -x),
    "half the square": (lambda x: np.tanh(x) ** 2 / 2, lambda t, x: t.tanh(x) ** 2 / 2),
}
BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any, Any], Any]]] = {
    "add": (np.add, lambda t, a, b: a + b),
    "subtract": (np.subtract, lambda t, a, b: a - b),
    "multiply": (lambda a, b: np.tanh(a) * b, lambda t, a, b: t.tanh(a) * b),
    "divide": (lambda a, b: a / (1.5 + np.cos(b)), lambda t, a, b: a / (1.5 + t.cos(b))),
    "logaddexp": (np.logaddexp, lambda t, a, b: t.logaddexp(a, b)),
    "hypot": (lambda a, b: np.hypot(a, b * b + 0.5), lambda t, a, b: t.hypot(a, b * b + 0.5)),
    "arctan2": (
        lambda a, b: np.arctan2(a, b * b + 0.5),
        lambda t, a, b: t.atan2(a, b * b + 0.5),
    ),
    "power": (
        lambda a, b: (np.tanh(a) + 1.5) ** np.tanh(b),
        lambda t, a, b: (t.tanh(a) + 1.5) ** t.tanh(b),
    ),
}
# Of one axis, always the last, kept at length 1 so that the result broadcasts with the rest.
ALONG: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "sum": (lambda x: np.sum(x, axis=-1, keepdims=True), lambda t, x: x.sum(-1, keepdim=True)),
    "mean": (lambda x: np.mean(x, axis=-1, keepdims=True), lambda t, x: x.mean(-1, keepdim=True)),
    "var": (
        lambda x: np.var(x, axis=-1, keepdims=True),
        lambda t, x: x.var(-1, correction=0, keepdim=True),
    ),
    "prod": (
        lambda x: np.prod(np.tanh(x), axis=-1, keepdims=True),
        lambda t, x: t.tanh(x).prod(-1, keepdim=True),
    ),
    "logsumexp": (
        lambda x: logsumexp(x, keepdims=True),
        lambda t, x: t.logsumexp(x, -1, keepdim=True),
    ),
    "softmax": (softmax, lambda t, x: t.softmax(x, -1)),
    "log_softmax": (log_softmax, lambda t, x: t.log_softmax(x, -1)),
    "cumsum": (lambda x: np.cumsum(x, axis=-1), lambda t, x: t.cumsum(x, -1)),
    "first": (lambda x: x[..., :1], lambda t, x: x[..., :1]),
    "reversed": (lambda x: x[..., ::-1], lambda t, x: t.flip(x, (-1,))),
    "twice": (
        lambda x: np.concatenate([x, x], axis=-1)[..., : x.shape[-1]],
        lambda t, x: t.cat([x, x], -1)[..., : x.shape[-1]],
    ),
    "gram": (
        lambda x: np.einsum("...i,...j->...ij", np.tanh(x), x).sum(axis=-1),
        lambda t, x: t.einsum("...i,...j->...ij", t.tanh(x), x).sum(-1),
    ),
    "outer product": (
        lambda x: (np.tanh(x)[..., None] @ x[..., None, :])[..., 0],
        lambda t, x: (t.tanh(x)[..., None] @ x[..., None, :])[..., 0],
    ),
}


class Expression:
    """A random program: a list of steps over a growing list of values, the last its result."""

    def __init__(self, arrays: list[Any], steps: list[tuple[str, str, tuple[int, ...]]]) -> None:
        self.arrays, self.steps = arrays, steps

    def __repr__(self) -> str:
        shapes = [x.shape for x in self.arrays]
        return f"Expression(shapes {shapes}, {[(name, at) for _, name, at in self.steps]})"

    def __call__(self, *xs: Any) -> Any:
        values = list(xs)
        for kind, name, at in self.steps:
            table: dict[str, Any] = {"unary": UNARY, "binary": BINARY, "along": ALONG}[kind]
            values.append(table[name][0](*(values[i] for i in at)))
        return values[-1]

    def in_torch(self, torch: Any, *xs: Any) -> Any:
        values = list(xs)
        for kind, name, at in self.steps:
            table: dict[str, Any] = {"unary": UNARY, "binary": BINARY, "along": ALONG}[kind]
            values.append(table[name][1](torch, *(values[i] for i in at)))
        return values[-1]


@st.composite
def shapes_that_broadcast(draw: st.DrawFn, count: int) -> list[tuple[int, ...]]:
    """Subshapes of one shape: fewer axes, some of length 1. The last axis is there in all."""
    full = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    shapes = []
    for _ in range(count):
        own = full[draw(st.integers(0, len(full) - 1)) :]
        shapes.append(tuple(1 if draw(st.booleans()) and i % 2 else n for i, n in enumerate(own)))
    return shapes


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    count = draw(st.integers(1, 3))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = [numbers.uniform(-1.5, 1.5, s) for s in draw(shapes_that_broadcast(count))]
    steps: list[tuple[str, str, tuple[int, ...]]] = []
    for _ in range(draw(st.integers(2, 7))):
        known = st.integers(0, count + len(steps) - 1)
        kind = draw(st.sampled_from(["unary", "binary", "along"]))
        table: dict[str, Any] = {"unary": UNARY, "binary": BINARY, "along": ALONG}[kind]
        places = (draw(known), draw(known)) if kind == "binary" else (draw(known),)
        steps.append((kind, draw(st.sampled_from(sorted(table))), places))
    # The last step joins the first value and the newest, so that the result depends on both.
    steps.append(("binary", "add", (0, count + len(steps) - 1)))
    return Expression(arrays, steps)


@bounded
@given(expressions())
def test_random_expressions_against_central_differences(f: Expression):
    y = f(*[Parameter(x) for x in f.arrays])
    np.testing.assert_allclose(y.data, f(*f.arrays), rtol=1e-12, atol=1e-12)
    check_grads(f, f.arrays, order=2, rtol=1e-5, atol=1e-5)


@bounded
@given(expressions())
def test_random_expressions_against_pytorch(f: Expression):
    torch = needs("torch")
    leaves = [Parameter(x) for x in f.arrays]
    theirs = [torch.tensor(x, requires_grad=True) for x in f.arrays]
    y, z = f(*leaves), f.in_torch(torch, *theirs)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-11, atol=1e-11)
    seed = np.cos(np.arange(y.size)).reshape(y.shape)
    y.backward(seed)
    z.backward(torch.tensor(seed))
    for ours, other in zip(leaves, theirs, strict=True):
        wanted = np.zeros(ours.shape) if other.grad is None else other.grad.numpy()
        found = np.zeros(ours.shape) if ours.grad is None else ours.grad
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


@bounded
@given(expressions())
def test_forward_and_reverse_derivatives_agree(f: Expression):
    """<u, J v> = <Jᵀ u, v>: jvp and vjp are each other's transpose."""
    vs = [np.sin(1.0 + np.arange(x.size)).reshape(x.shape) for x in f.arrays]
    y, dy = jvp(f, tuple(f.arrays), tuple(vs))
    z, pull = vjp(f, *f.arrays)
    np.testing.assert_allclose(y, z, rtol=1e-13)
    u = np.cos(np.arange(y.size)).reshape(y.shape)
    left = float((u * dy).sum())
    right = sum(float((g * v).sum()) for g, v in zip(pull(u), vs, strict=True))
    assert left == pytest.approx(right, rel=1e-9, abs=1e-9)


@bounded
@given(expressions())
def test_the_tape_lists_the_program_in_order(f: Expression):
    y = f(*[Parameter(x) for x in f.arrays])
    tape = Tape(y)
    indices = [r.index for r in tape]
    assert indices == sorted(set(indices))
    assert tape[-1].output is y
    made = set(tape.leaves)
    for record in tape:
        assert set(record.inputs) <= made  # nothing is used before it is there
        made.add(record.output)
    gradients = tape.gradients(np.ones(y.shape))
    assert gradients.keys() <= made
    for t, g in gradients.items():
        assert (g.shape, g.dtype) == (t.shape, t.dtype)


@bounded
@given(
    shapes_that_broadcast(2),
    st.sampled_from(["add", "subtract", "multiply", "divide", "maximum", "power", "where"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_gradients_of_broadcast_operands_have_their_shape_and_sum(
    shapes: list[tuple[int, ...]], name: str, dtype: Any
):
    """Broadcasting by hand first, and unbroadcasting the gradient, is the same."""
    numbers = np.random.default_rng(0)
    a, b = (numbers.uniform(0.5, 2.0, s).astype(dtype) for s in shapes)
    full = np.broadcast_shapes(*shapes)
    mask = numbers.uniform(size=full) < 0.5

    def f(x: Any, y: Any) -> Any:
        return np.where(mask, x, y) if name == "where" else getattr(np, name)(x, y)

    seed = numbers.normal(size=full).astype(dtype)
    small = [Parameter(a), Parameter(b)]
    f(*small).backward(seed)
    big = [Parameter(np.broadcast_to(x, full)) for x in (a, b)]
    f(*big).backward(seed)
    for one, other in zip(small, big, strict=True):
        assert one.grad.shape == one.shape
        assert one.grad.dtype == dtype
        wanted = unbroadcast(other.grad, shape=one.shape)
        np.testing.assert_allclose(one.grad, wanted, rtol=1e-5 if dtype == np.float32 else 1e-12)


@bounded
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=6), st.floats(-1000, 1000))
def test_softmax_and_logsumexp_do_not_mind_a_shift(row: list[float], shift: float):
    x = np.array(row)
    np.testing.assert_allclose(softmax(x + shift), softmax(x), rtol=1e-11, atol=1e-13)
    assert softmax(x).sum() == pytest.approx(1.0, rel=1e-14)
    assert logsumexp(x + shift) == pytest.approx(logsumexp(x) + shift, rel=1e-12, abs=1e-11)
    g = grad(lambda x: logsumexp(x))(x + shift)
    assert g.sum() == pytest.approx(1.0, rel=1e-13)
