"""Programs of other people's kind: they use NumPy alone, and differentiate as they are.

Each is run on arrays and on Tensors. The gradients are compared with central differences,
computed here and not by the package's own checker.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, grad
from unspool.autograd import hessian, jacobian, value_and_grad

rng = np.random.default_rng(0)


def logistic_regression(w: Any, b: Any, X: Any, y: Any) -> Any:
    """The mean negative log-likelihood of labels y, with an L2 penalty."""
    z = np.dot(X, w) + b
    log_likelihood = y * z - np.logaddexp(0, z)
    return -np.mean(log_likelihood) + 0.1 * np.sum(w**2)


def mlp(layers: Any, X: Any, labels: Any) -> Any:
    """Two hidden layers of tanh and a softmax, the mean cross-entropy."""
    activations = X
    for W, b in layers[:-1]:
        activations = np.tanh(np.dot(activations, W) + b)
    W, b = layers[-1]
    logits = np.dot(activations, W) + b
    top = np.max(logits, axis=1, keepdims=True)
    log_z = top + np.log(np.sum(np.exp(logits - top), axis=1, keepdims=True))
    log_probabilities = logits - log_z
    return -np.mean(log_probabilities[np.arange(len(X)), labels])


def logsumexp(x: Any, axis: int) -> Any:
    top = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.sum(np.exp(x - top), axis=axis))


def mixture(logits: Any, means: Any, log_scales: Any, X: Any) -> Any:
    """The log-likelihood of points X (n, d) under K Gaussians with diagonal covariances."""
    log_weights = logits - logsumexp(logits, axis=0)
    standard = (X[:, None, :] - means) / np.exp(log_scales)
    log_density = -0.5 * np.sum(standard**2 + 2 * log_scales + np.log(2 * np.pi), axis=-1)
    return np.sum(logsumexp(log_weights + log_density, axis=1))


def leap_frog(position: Any, momentum: Any, mass: Any, steps: int = 30, dt: float = 0.05) -> Any:
    """Two bodies on springs, integrated over time; the last position and momentum."""

    def force(q: Any) -> Any:
        stretch = q[1] - q[0]
        length = np.linalg.norm(stretch)
        pull = (length - 1.0) * stretch / length
        return np.stack([pull - 0.1 * q[0], -pull - 0.1 * q[1]])

    for _ in range(steps):
        momentum = momentum + 0.5 * dt * force(position)
        position = position + dt * momentum / mass[:, None]
        momentum = momentum + 0.5 * dt * force(position)
    return np.concatenate([position, momentum])


def energy_after(position: Any, momentum: Any, mass: Any) -> Any:
    end = leap_frog(position, momentum, mass)
    q, p = end[:2], end[2:]
    kinetic = np.sum(p**2 / (2 * mass[:, None]))
    return kinetic + 0.5 * (np.linalg.norm(q[1] - q[0]) - 1.0) ** 2 + 0.05 * np.sum(q**2)


def rnn(parameters: Any, sentence: Any) -> Any:
    """A recurrent language model by hand: the mean nats per predicted token."""
    E, W, U, b, V = (parameters[k] for k in ("E", "W", "U", "b", "V"))
    h = np.zeros(len(U))
    total = 0.0
    for now, after in itertools.pairwise(sentence):
        x = np.take(E, now, axis=0)
        h = np.tanh(np.matmul(x, W) + np.matmul(h, U) + b)
        scores = np.einsum("h,hv->v", h, V)
        scores = scores - np.max(scores)
        total = total + np.log(np.sum(np.exp(scores))) - scores[after]
    return total / (len(sentence) - 1)


X = rng.normal(size=(12, 3))
PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "logistic regression": (
        lambda w, b: logistic_regression(w, b, X, (X[:, 0] > 0).astype(float)),
        (rng.normal(size=3), np.array(0.3)),
    ),
    "mlp": (
        lambda *flat: mlp(list(zip(flat[::2], flat[1::2])), X, np.arange(12) % 3),
        tuple(rng.normal(size=s) * 0.5 for s in [(3, 4), (4,), (4, 4), (4,), (4, 3), (3,)]),
    ),
    "mixture": (
        lambda logits, means, log_scales: mixture(logits, means, log_scales, X),
        (rng.normal(size=2), rng.normal(size=(2, 3)), rng.normal(size=(2, 3)) * 0.3),
    ),
    "leap-frog": (
        energy_after,
        (rng.normal(size=(2, 2)), rng.normal(size=(2, 2)), np.array([1.0, 2.5])),
    ),
    "rnn": (
        lambda E, W, U, b, V: rnn(
            {"E": E, "W": W, "U": U, "b": b, "V": V}, np.array([0, 3, 1, 1, 4, 2, 0])
        ),
        tuple(rng.normal(size=s) * 0.5 for s in [(5, 3), (3, 4), (4, 4), (4,), (4, 5)]),
    ),
}


def central_differences(f: Callable[..., Any], args: tuple[Any, ...], k: int) -> Any:
    """d f / d args[k], moving one number at a time: [f(x + h) - f(x - h)] / 2h."""
    gradient = np.zeros(args[k].shape)
    for place in np.ndindex(args[k].shape):
        found = []
        for h in (1e-5, -1e-5):
            moved = [np.array(x) for x in args]
            moved[k][place] += h
            found.append(float(f(*moved)))
        gradient[place] = (found[0] - found[1]) / 2e-5
    return gradient


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_differentiates_unchanged(name: str):
    f, args = PROGRAMS[name]
    on_arrays = f(*args)
    assert not isinstance(on_arrays, Tensor)
    leaves = [Parameter(x) for x in args]
    on_tensors = f(*leaves)
    assert on_tensors.item() == pytest.approx(float(on_arrays), rel=1e-13)
    on_tensors.backward()
    for k, leaf in enumerate(leaves):
        wanted = central_differences(f, args, k)
        np.testing.assert_allclose(leaf.grad, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_second_derivative_of_a_program(name: str):
    """The gradient, in one direction, is a program too: its differences are Hessian products."""
    f, args = PROGRAMS[name]
    everything = tuple(range(len(args)))
    directions = [np.cos(np.arange(x.size)).reshape(x.shape) for x in args]

    def slope(*xs: Any) -> Any:
        gs = grad(f, everything)(*xs)
        return sum((g * v).sum() for g, v in zip(gs, directions))

    products = grad(slope, everything)(*args)
    for k in everything:
        wanted = central_differences(slope, args, k)
        np.testing.assert_allclose(products[k], wanted, rtol=1e-5, atol=1e-7)


def test_an_mlp_with_its_layers_in_a_list_of_tuples():
    _, flat = PROGRAMS["mlp"]
    layers = list(zip(flat[::2], flat[1::2]))
    labels = np.arange(12) % 3
    value, gradients = value_and_grad(mlp)(layers, X, labels)
    assert float(value) == pytest.approx(float(mlp(layers, X, labels)), rel=1e-13)
    assert [type(pair) for pair in gradients] == [tuple] * 3
    leaves = [Parameter(x) for x in flat]
    mlp(list(zip(leaves[::2], leaves[1::2])), X, labels).backward()
    for leaf, g in zip(leaves, (g for pair in gradients for g in pair), strict=True):
        np.testing.assert_allclose(g, leaf.grad, rtol=1e-12)


def test_logistic_regression_is_learnt_by_newton():
    """Gradient and Hessian of the program, until the gradient vanishes."""
    y = (X @ [1.0, -2.0, 0.5] > 0).astype(float)
    w = np.zeros(3)

    def f(w: Any) -> Any:
        return logistic_regression(w, 0.0, X, y)

    for _ in range(8):
        w = w - np.linalg.solve(hessian(f)(w), grad(f)(w))
    assert np.abs(grad(f)(w)).max() < 1e-12
    p = 1 / (1 + np.exp(-X @ w))
    by_hand = X.T @ (p - y) / len(X) + 0.2 * w
    assert np.abs(by_hand).max() < 1e-12


def test_leap_frog_keeps_the_volume_of_phase_space():
    """The integrator is symplectic, so the determinant of its Jacobian is 1 (Liouville)."""
    _, (q, p, mass) = PROGRAMS["leap-frog"]

    def flow(z: Any) -> Any:
        z = z.reshape(4, 2)
        return leap_frog(z[:2], z[2:], mass).reshape(-1)

    J = jacobian(flow)(np.concatenate([q, p]).reshape(-1))
    assert J.shape == (8, 8)
    assert np.linalg.det(J) == pytest.approx(1.0, abs=1e-10)


def test_the_tape_of_the_recurrent_program():
    f, args = PROGRAMS["rnn"]
    loss = f(*[Parameter(x, name=n) for x, n in zip(args, "EWUbV", strict=True)])
    ops = [r.op for r in Tape(loss)]
    assert ops.count("tanh") == 6  # one a step
    assert ops.count("matmul") == 12
    assert ops.count("einsum") == 6
    assert {t.name for t in Tape(loss).leaves if t.name} == set("EWUbV")
