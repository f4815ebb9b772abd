"""Derivatives of functions against closed forms, central differences and PyTorch's torch.func."""

from __future__ import annotations

import dataclasses
import gc
import re
import tracemalloc
import warnings
import weakref
from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

from helpers import needs, numbers
from unspool import Parameter, Tape, Tensor, check_grads, grad, no_grad, scope, unroll
from unspool.autograd import (
    Op,
    apply,
    checkpoint,
    cross_entropy,
    dropout,
    hessian,
    jacobian,
    jvp,
    sigmoid,
    softmax,
    value_and_grad,
    vjp,
)
from unspool.cells import GRU, LSTM, Elman

Pair = namedtuple("Pair", "W b")


def same(a, b, tolerance=1e-12):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def differences(f, x, h=1e-4):
    """d f / d x of an array-valued f, (*y.shape, *x.shape), by differences of fourth order."""
    x = np.array(x, float)
    out = []
    for place in np.ndindex(x.shape):
        at = x[place]
        parts = []
        for k in (1, -1, 2, -2):
            x[place] = at + k * h
            parts.append(np.array(f(x.copy())))
        x[place] = at
        out.append((8 * (parts[0] - parts[1]) - (parts[2] - parts[3])) / (12 * h))
    y_shape = out[0].shape
    return np.moveaxis(np.array(out), 0, -1).reshape(*y_shape, *x.shape)


def bowl(x):
    """A scalar function in which every element meets every other."""
    weights = np.arange(1, x.size + 1, dtype=x.dtype)
    return np.sum(np.sin(np.outer(x, x)) * weights) + np.exp(x[0] * x[-1])


def field(x):
    """A vector field of other length than its argument."""
    return np.concatenate([np.sin(x[:2] * x[1:]), np.reshape(np.prod(x), 1), np.cumsum(x**2)])


# grad ---------------------------------------------------------------------------------------------


def test_grad_of_a_number_an_array_and_a_tensor():
    for x in (2.0, np.float64(2.0), np.array(2.0)):
        g = grad(lambda x: x**3)(x)
        assert type(g) is np.ndarray
        assert g.shape == ()
        assert g == 12
    x = numbers(3)
    value, g = value_and_grad(lambda x: np.sum(np.exp(x)))(x)
    assert type(value) is type(g) is np.ndarray
    same(value, np.exp(x).sum())
    same(g, np.exp(x))
    value, g = value_and_grad(lambda x: np.sum(np.exp(x)))(Tensor(x))
    assert type(value) is type(g) is Tensor
    same(g.data, np.exp(x))


def test_grad_of_several_arguments():
    def f(x, y, z=1.0):
        return np.sum(x * x * y) * z

    x, y = numbers(3), numbers(3, seed=1)
    gx, gy = grad(f, (0, 1))(x, y, z=2.0)
    same(gx, 4 * x * y)
    same(gy, 2 * x * x)
    same(grad(f, 1)(x, y), x * x)
    same(grad(f, -1)(x, y), x * x)
    (only,) = grad(f, [0])(x, y)
    same(only, 2 * x * y)
    gy, gx = grad(f, (1, 0))(x, y)
    same(gx, 2 * x * y)
    same(gy, x * x)
    value, gradients = value_and_grad(f, (0, 1))(x, y)
    same(value, np.sum(x * x * y))
    assert type(gradients) is tuple


def test_value_and_grad_with_auxiliary_data():
    x, w = np.array([1.0, 2.0]), np.array([3.0, 5.0])

    def f(x, w):
        scores = x * w
        return (scores**2).sum(), {"scores": scores, "words": "as it is", "pair": (1, scores.sum())}

    (value, aux), g = value_and_grad(f, has_aux=True)(x, w)
    assert value == 109.0
    assert isinstance(aux["scores"], np.ndarray)
    assert aux["scores"].tolist() == [3.0, 10.0]
    assert aux["words"] == "as it is"
    assert aux["pair"] == (1, 13.0)
    np.testing.assert_array_equal(g, 2 * x * w**2)
    (value, aux), (gx, gw) = value_and_grad(f, (0, 1), has_aux=True)(x, w)
    np.testing.assert_array_equal(gx, 2 * x * w**2)
    np.testing.assert_array_equal(gw, 2 * w * x**2)


def test_auxiliary_data_is_differentiated_around():
    """Where another derivative is taken around, aux stays on its tape."""

    def inner(x, c):
        return (x**2).sum() * c, x * c

    def outer(c):
        (_, aux), g = value_and_grad(inner, has_aux=True)(np.array([1.0, 2.0]), c)
        return aux.sum() + g.sum()

    assert grad(outer)(3.0) == 3 + 6

    # aux depends on the argument of the outer derivative, the value does not
    def closed_over(c):
        (_, aux), _ = value_and_grad(lambda x: (x * x, x * c), has_aux=True)(2.0)
        return aux

    assert grad(closed_over)(1.0) == 2


def test_auxiliary_data_must_be_there():
    with pytest.raises(
        TypeError, match=r"must return \(value, aux\) with has_aux=True, got a Tensor"
    ):
        value_and_grad(lambda x: x.sum(), has_aux=True)(np.ones(2))


def test_containers_come_back_as_they_went_in():
    def f(model, scale):
        first, (second, last) = model["layers"], model["rest"]
        y = np.tanh(np.ones(2) @ first.W + first.b) @ second[0].W + second[0].b
        return np.sum(y * last) * scale["by"]

    one, two = Pair(numbers(2, 3), numbers(3)), Pair(numbers(3, 2, seed=1), numbers(2, seed=2))
    model = {"layers": one, "rest": ([two], 0.5)}
    g, gs = grad(f, (0, 1))(model, {"by": 3.0})
    assert list(g) == ["layers", "rest"]
    assert type(g["layers"]) is Pair
    assert type(g["rest"]) is tuple
    assert type(g["rest"][0]) is list
    assert type(g["rest"][0][0]) is Pair
    h = np.tanh(np.ones(2) @ one.W + one.b)
    y = h @ two.W + two.b
    same(g["rest"][1], 3 * y.sum())
    same(g["rest"][0][0].b, [1.5, 1.5])
    same(g["rest"][0][0].W, np.outer(h, [1.5, 1.5]))
    db = 1.5 * two.W.sum(axis=1) * (1 - h * h)
    same(g["layers"].b, db)
    same(g["layers"].W, np.outer(np.ones(2), db))
    same(gs["by"], 0.5 * y.sum())


def test_an_argument_that_does_not_matter_has_gradient_0():
    g = grad(lambda x, y: np.sum(x), (0, 1))(numbers(2), numbers(3, 2))
    same(g[1], np.zeros((3, 2)))
    assert type(g[1]) is np.ndarray
    g = grad(lambda x, y: np.sum(x), 1)(Tensor(numbers(2)), Tensor(numbers(3)))
    assert type(g) is Tensor
    same(g.data, np.zeros(3))
    same(jacobian(lambda x, y: x * 2, (1, 0))(numbers(2), numbers(3))[0], np.zeros((2, 3)))
    same(hessian(lambda x: np.sum(3 * x))(numbers(2)), np.zeros((2, 2)))
    same(jvp(lambda x: Tensor([1.0]), numbers(3), numbers(3))[1], [0.0])
    # In the middle of a nest too: the inner gradient is a constant for the outer derivative.
    assert grad(lambda x: grad(lambda y: y * y)(3.0) + 0 * x)(1.0) == 0
    assert grad(grad(grad(lambda x: x * x)))(1.0) == 0


def test_a_gradient_is_the_readers_own_array():
    x = numbers(3)
    _, pull = vjp(lambda x, y: x + y, x, x)
    seed = np.ones(3)
    a, b = pull(seed)
    a += 5
    same(b, np.ones(3))
    same(seed, np.ones(3))


def test_nested_to_third_order():
    x = 0.7
    same(grad(np.sin)(x), np.cos(x))
    same(grad(grad(np.sin))(x), -np.sin(x))
    same(grad(grad(grad(np.sin)))(x), -np.cos(x))
    f = grad(grad(grad(lambda x: x**5 + np.exp(2 * x))))
    same(f(x), 60 * x**2 + 8 * np.exp(2 * x))
    # d³/dx dy dz of x² y³ z⁴, each by a grad of its own argument
    mixed = grad(grad(grad(lambda x, y, z: x**2 * y**3 * z**4, 0), 1), 2)
    same(mixed(2.0, 3.0, 0.5), 2 * 2.0 * 3 * 3.0**2 * 4 * 0.5**3)


def test_perturbations_are_not_confused():
    # d/dx x · [d/dy (x + y)] = 1; an engine that mixes x's and y's tangents up says 2.
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1
    # d/dx x · [d/dy (x y)] = d/dx x² = 2x
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6
    assert jvp(lambda x: x * jvp(lambda y: x * y, 2.0, 1.0)[1], 3.0, 1.0)[1] == 6
    assert grad(lambda x: x * jvp(lambda y: x * y, 2.0, 1.0)[1])(3.0) == 6
    assert jvp(lambda x: x * grad(lambda y: x * y)(2.0), 3.0, 1.0)[1] == 6
    # The inner function sees what was computed from x, not x itself.
    assert grad(lambda x: grad(lambda y, z=x * x: z * y)(2.0))(3.0) == 6
    assert grad(lambda x: jacobian(lambda y, z=x * x: z * y)(np.ones(2)).sum())(3.0) == 12
    # Three levels: d/dx [d/dy (d/dz x y² z³ at 1) at 2] = 3 · 2y = 12
    assert grad(lambda x: grad(lambda y: grad(lambda z: x * y**2 * z**3)(1.0))(2.0))(5.0) == 12
    # The innermost reads the outermost's argument, and not that of the one between.
    assert grad(lambda x: grad(lambda y: y * grad(lambda z: x * z)(1.0))(2.0))(5.0) == 1


def test_closures_over_outer_tensors():
    p = Parameter([2.0, 3.0])
    g = grad(lambda x: np.sum(p * x * x))(np.array([1.0, 2.0]))  # for p a constant
    assert type(g) is np.ndarray
    same(g, [4.0, 12.0])
    assert p.grad is None
    # A Tensor asks for a Tensor, and the parameter is reached through the gradient.
    g = grad(lambda x: np.sum(p * x * x))(Tensor([1.0, 2.0]))
    np.sum(g * g).backward()
    same(p.grad, [2 * 4 * 2.0, 2 * 12 * 4.0])


def test_no_grad_around_changes_nothing():
    x = numbers(3)
    with no_grad():
        same(grad(bowl)(x), grad(bowl)(x.copy()))
        g, H, J = grad(bowl)(x), hessian(bowl)(x), jacobian(field)(x)
        y, pull = vjp(field, x)
        pulled = pull(np.ones(6))[0]
        dy = jvp(field, x, np.ones(3))[1]
        check_grads(bowl, [x], order=2)
        assert (Tensor([1.0]) * 2)._record is None
    same(g, grad(bowl)(x))
    same(H, hessian(bowl)(x))
    same(J, jacobian(field)(x))
    same(pulled, J.sum(axis=0))
    same(dy, J.sum(axis=1))
    same(y, vjp(field, x)[0])

    # and inside the function it cuts what is under it
    def half(x):
        with no_grad():
            constant = x * x
        return x * constant

    assert grad(half)(3.0) == 9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay(dtype):
    x, v = numbers(3).astype(dtype), numbers(3, seed=1).astype(dtype)
    y, pull = vjp(field, x)
    found = [
        *value_and_grad(bowl)(x),
        y,
        *pull(y),
        pull(np.ones(6))[0],
        *jvp(field, x, v),
        *jvp(field, x, v.astype(float)),
        jacobian(field)(x),
        hessian(bowl)(x),
        grad(lambda x: grad(bowl)(x).sum())(x),
        *grad(lambda x, y: np.sum(x), (0, 1))(x, x),
    ]
    assert [a.dtype for a in found] == [dtype] * len(found)


def test_nothing_is_kept_once_it_was_handed_out():
    gc.collect()
    gc.disable()
    try:
        x = Tensor(numbers(3))
        y, pull = vjp(field, x)
        results = [
            value_and_grad(bowl)(x),
            hessian(bowl)(x),
            jvp(field, x, x),
            (y, pull, pull(y)),
            checkpoint(lambda x: (np.sin(x), x * x), x),
            grad(lambda d: np.sum(d["a"] * d["b"][0]))({"a": x, "b": [x]}),
        ]
        refs = [weakref.ref(x), weakref.ref(results[0][1]), weakref.ref(y)]
        check_grads(bowl, [numbers(3)], order=2)
        del x, y, pull, results
        assert [ref() for ref in refs] == [None, None, None]
        assert gc.collect() == 0
    finally:
        gc.enable()


# vjp, jvp, jacobian, hessian ----------------------------------------------------------------------


def test_jacobian_and_hessian_equal_differences():
    x = numbers(3)
    same(jacobian(field)(x), differences(lambda x: field(Tensor(x)).data, x), 1e-9)
    H = hessian(bowl)(x)
    assert H.shape == (3, 3)
    same(H, H.T)
    same(H, differences(grad(bowl), x), 1e-8)
    X = numbers(2, 3)
    J = jacobian(lambda X: np.tanh(X @ numbers(3, 2, seed=1)))(X)
    assert J.shape == (2, 2, 2, 3)
    T = np.tanh(X @ numbers(3, 2, seed=1))
    same(J, np.einsum("ij,ik,lj->ijkl", 1 - T * T, np.eye(2), numbers(3, 2, seed=1)))
    # The Hessian of x'Ax/2 is the symmetric part of A.
    A = numbers(4, 4)
    same(hessian(lambda x: 0.5 * (x @ A @ x))(numbers(4)), (A + A.T) / 2)
    same(hessian(lambda x: x**4)(2.0), 48.0)


def test_jacobian_of_softmax():
    x = numbers(4)
    p = np.exp(x) / np.exp(x).sum()
    same(jacobian(softmax)(x), np.diag(p) - np.outer(p, p))
    assert jacobian(lambda x: x[:0])(x).shape == (0, 4)
    assert type(jacobian(lambda x: x[:0])(Tensor(x))) is Tensor


def test_jacobian_and_hessian_of_containers_and_several_arguments():
    x, y = numbers(2), numbers(3, seed=1)

    def f(x, y):
        return {"outer": np.outer(x, y), "sum": np.sum(x) ** 2}

    J = jacobian(f, (0, 1))(x, y)
    same(J["outer"][0], np.einsum("ik,j->ijk", np.eye(2), y))
    same(J["outer"][1], np.einsum("jk,i->ijk", np.eye(3), x))
    same(J["sum"][0], 2 * x.sum() * np.ones(2))
    same(J["sum"][1], np.zeros(3))
    H = hessian(lambda x, y: np.sum(np.outer(x, y**2)), (0, 1))(x, y)
    same(H[0][0], np.zeros((2, 2)))
    same(H[0][1], np.outer(np.ones(2), 2 * y))
    same(H[1][0], np.outer(2 * y, np.ones(2)))
    same(H[1][1], 2 * x.sum() * np.eye(3))
    of_dict = hessian(lambda p: p["a"] ** 2 * p["b"] ** 3)({"a": 2.0, "b": 3.0})
    found = [of_dict[i][j] for i in "ab" for j in "ab"]
    same(found, [2 * 27.0, 2 * 2 * 27.0, 2 * 2 * 27.0, 4 * 6 * 3.0])


def test_jvp_is_the_jacobian_times_v_and_vjp_its_transpose():
    x, v, u = numbers(3), numbers(3, seed=1), numbers(6, seed=2)
    J = jacobian(field)(x)
    y, dy = jvp(field, x, v)
    assert type(y) is type(dy) is np.ndarray
    same(y, field(Tensor(x)).data)
    same(dy, J @ v)
    same(jvp(field, (x,), (v,))[1], J @ v)
    y, pull = vjp(field, x)
    for scale in (1.0, 2.0, -3.0):  # any number of times
        (g,) = pull(scale * u)
        assert type(g) is np.ndarray
        same(g, scale * (u @ J))
    (g,) = pull(Tensor(u))
    assert type(g) is Tensor
    same(g.data, u @ J)
    assert type(pull(u)[0]) is np.ndarray  # what went before does not matter
    # linear in its gradient: differentiated by it, it is the other product
    same(grad(lambda u: np.sum(pull(u)[0] * v))(u), J @ v)


def test_vjp_and_jvp_of_containers():
    def f(p, x):
        return [np.tanh(x @ p["W"]), np.sum(p["b"] * x)]

    p, x = {"W": numbers(2, 3), "b": numbers(2, seed=1)}, numbers(2, seed=2)
    dp, dx = {"W": numbers(2, 3, seed=3), "b": numbers(2, seed=4)}, numbers(2, seed=5)
    (y, s), (dy, ds) = jvp(f, (p, x), (dp, dx))
    t = np.tanh(x @ p["W"])
    same(y, t)
    same(dy, (1 - t * t) * (dx @ p["W"] + x @ dp["W"]))
    same(s, p["b"] @ x)
    same(ds, dp["b"] @ x + p["b"] @ dx)
    (_, _), pull = vjp(f, p, x)
    u = numbers(3, seed=6)
    gp, gx = pull([u, 2.0])
    inner = u * (1 - t * t)
    same(gp["W"], np.outer(x, inner))
    same(gp["b"], 2 * x)
    same(gx, p["W"] @ inner + 2 * p["b"])


def test_jacobian_jvp_and_hessian_of_dicts_lists_and_tuples_inside_each_other():
    """An MLP's parameters as people keep them, against the same on one flat vector."""
    shapes = [(3, 4), (4,), (4, 2), (2,), ()]
    sizes = [int(np.prod(shape)) for shape in shapes]
    x = numbers(2, 3)

    def nested(flat):
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        W, b, V, c, scale = (np.reshape(p, s) for p, s in zip(parts, shapes, strict=True))
        return {"layers": [(W, b), (V, c)], "scale": scale}

    def flat(p):
        (W, b), (V, c) = p["layers"]
        return np.concatenate([np.reshape(part, -1) for part in (W, b, V, c, p["scale"])])

    def f(p):
        h = x
        for W, b in p["layers"]:
            h = np.tanh(h @ W + b)
        return [h * p["scale"], {"norms": (np.sum(h**2, axis=0), p["scale"] ** 3)}]

    def f_of_flat(v):
        h, rest = f(nested(v))
        return np.concatenate([np.reshape(part, -1) for part in (h, *rest["norms"])])

    at, direction = numbers(sum(sizes)), numbers(sum(sizes), seed=1)
    J = jacobian(f_of_flat)(at)
    same(J, differences(lambda v: f_of_flat(Tensor(v)).data, at), 1e-9)
    h, rest = jacobian(f)(nested(at))
    assert h["layers"][0][0].shape == (2, 2, 3, 4)
    rows = [h, *rest["norms"]]
    rows = [[*r["layers"][0], *r["layers"][1], r["scale"]] for r in rows]
    columns = [
        np.concatenate([np.reshape(r[k], (-1, n)) for r in rows]) for k, n in enumerate(sizes)
    ]
    same(np.concatenate(columns, axis=1), J)
    y, dy = jvp(f, nested(at), nested(direction))
    parts = [dy[0], *dy[1]["norms"]]
    same(np.concatenate([np.reshape(part, -1) for part in parts]), J @ direction)
    assert type(y[1]["norms"]) is tuple
    H = hessian(lambda p: np.sum(f(p)[0]) + f(p)[1]["norms"][1])(nested(at))
    H_flat = hessian(lambda v: np.sum(f(nested(v))[0]) + f(nested(v))[1]["norms"][1])(at)
    same(H["layers"][0][1]["layers"][1][0].reshape(4, 8), H_flat[12:16, 16:24])
    same(H["scale"]["scale"], H_flat[-1, -1])
    same(flat(grad(lambda p: np.sum(f(p)[0]))(nested(at))), J[:4].sum(axis=0))


def test_hessian_vector_products_two_ways():
    x, v = numbers(4), numbers(4, seed=1)
    H = hessian(bowl)(x)
    backward = grad(lambda x: np.sum(grad(bowl)(x) * v))(x)
    forward = jvp(grad(bowl), x, v)[1]
    same(backward, H @ v)
    same(forward, H @ v)
    # third order: d/dx (v' H v), against differences of v' H v
    third = grad(lambda x: np.sum(jvp(grad(bowl), x, v)[1] * v))(x)
    same(third, differences(lambda x: v @ hessian(bowl)(x) @ v, x), 1e-8)


def cell_loss(xs, cell):
    ys, state = unroll(cell, xs)
    return np.sum(np.sin(ys)) + np.sum(state[-1] ** 2)


cells_of_lectures = pytest.mark.parametrize("kind", [Elman, LSTM, GRU])


@cells_of_lectures
def test_gradient_penalty_through_a_cell(kind):
    cell = kind(2, 3, rng=0, dtype=float)
    xs = numbers(2, 4, 2)

    def penalty():
        return np.sum(grad(cell_loss)(Tensor(xs), cell) ** 2)

    for p in cell.parameters():
        p.grad = None
    penalty().backward()
    for p in cell.parameters():
        # ||d loss / d x||² once more, from first derivatives that are arrays
        def at(data, p=p):
            kept = p.data.copy()
            p.data[...] = data
            value = np.sum(grad(cell_loss)(xs, cell) ** 2)
            p.data[...] = kept
            return value

        same(p.grad, differences(at, p.data), 1e-8)


@cells_of_lectures
def test_hessian_vector_products_through_a_cell(kind):
    """H v by the inputs and by the weights, against differences of gradients along v."""
    cell = kind(2, 3, rng=0, dtype=float)
    xs, v, h = numbers(2, 4, 2), numbers(2, 4, 2, seed=1), 1e-4

    def gradient(xs):
        return grad(cell_loss)(xs, cell)

    backward = grad(lambda xs: np.sum(gradient(xs) * v))(xs)
    forward = jvp(gradient, xs, v)[1]
    wanted = (gradient(xs + h * v) - gradient(xs - h * v)) / (2 * h)
    same(backward, wanted, 1e-6)
    same(forward, wanted, 1e-6)

    weights = cell.parameters()
    directions = [numbers(*p.shape, seed=k) for k, p in enumerate(weights)]

    def gradients_at(step):
        for p, d in zip(weights, directions, strict=True):
            p.data += step * d
        found = Tape(cell_loss(xs, cell)).gradients()
        for p, d in zip(weights, directions, strict=True):
            p.data -= step * d
        return [found[p] for p in weights]

    first = Tape(cell_loss(xs, cell)).gradients(Tensor(1.0))
    along = sum(np.sum(first[p] * d) for p, d in zip(weights, directions, strict=True))
    second = Tape(along).gradients()
    for p, up, down in zip(weights, gradients_at(h), gradients_at(-h), strict=True):
        same(second[p], (up - down) / (2 * h), 1e-6)


def test_hessian_of_a_cells_loss():
    cell = GRU(2, 2, rng=0, dtype=float)
    xs = numbers(1, 3, 2)

    def loss(U):
        h = np.zeros((1, 2))
        for t in range(3):
            z = sigmoid(xs[:, t] @ cell.W_z.data + h @ U)
            r = sigmoid(xs[:, t] @ cell.W_r.data + h @ cell.U_r.data)
            n = np.tanh(xs[:, t] @ cell.W_h.data + (r * h) @ cell.U_h.data)
            h = (1 - z) * h + z * n
        return np.sum(h**2)

    U = cell.U_z.data
    H = hessian(loss)(U)
    same(H, np.transpose(H, (2, 3, 0, 1)))
    same(H, differences(grad(loss), U), 1e-8)
    _, (h,) = unroll(cell, xs)
    np.sum(h**2).backward()
    same(cell.U_z.grad, grad(loss)(U))


def test_against_torch_func():
    torch = needs("torch")
    warnings.simplefilter("ignore", DeprecationWarning)  # torch.func's own, put back by pytest
    f64 = torch.float64
    A = numbers(3, 3, seed=7)
    tA = torch.tensor(A)

    def ours(x, y):
        return np.tanh(A @ x) * np.sum(y**2) + np.exp(x * y)

    def theirs(x, y):
        return torch.tanh(tA @ x) * torch.sum(y**2) + torch.exp(x * y)

    x, y, v, w = (numbers(3, seed=k) for k in range(4))
    tx, ty, tv, tw = (torch.tensor(a, dtype=f64) for a in (x, y, v, w))
    func = torch.func
    value, gradients = value_and_grad(lambda x, y: np.sum(ours(x, y)), (0, 1))(x, y)
    theirs_g, theirs_value = func.grad_and_value(lambda x, y: theirs(x, y).sum(), (0, 1))(tx, ty)
    same(value, theirs_value)
    for a, b in zip(gradients, theirs_g, strict=True):
        same(a, b)
    same(
        grad(lambda x, y: np.sum(ours(x, y)), 1)(x, y),
        func.grad(lambda x, y: theirs(x, y).sum(), 1)(tx, ty),
    )
    for a, b in zip(vjp(ours, x, y)[1](v), func.vjp(theirs, tx, ty)[1](tv), strict=True):
        same(a, b)
    for a, b in zip(jvp(ours, (x, y), (v, w)), func.jvp(theirs, (tx, ty), (tv, tw)), strict=True):
        same(a, b)
    for a, b in zip(jacobian(ours, (0, 1))(x, y), func.jacrev(theirs, (0, 1))(tx, ty), strict=True):
        same(a, b)
    ours_H = hessian(lambda x, y: np.sum(ours(x, y) ** 2), (0, 1))(x, y)
    theirs_H = func.hessian(lambda x, y: (theirs(x, y) ** 2).sum(), (0, 1))(tx, ty)
    for i in range(2):
        for j in range(2):
            same(ours_H[i][j], theirs_H[i][j], 1e-10)
    third = jacobian(hessian(lambda x: np.sum(np.sin(x) * np.sum(A[0] * x**3))))(x)
    same(
        third,
        func.jacrev(func.hessian(lambda x: (torch.sin(x) * (tA[0] * x**3).sum()).sum()))(tx),
        1e-10,
    )


# Errors -------------------------------------------------------------------------------------------


def named(x):
    return x * 2.0


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: grad(named)(3), TypeError, "named: argument 0 holds int64, and a gradient is "),
        (lambda: grad(named)(True), TypeError, "argument 0 holds bool"),
        (lambda: jvp(named, [np.arange(3)], [np.ones(3)]), TypeError, "holds int64.*floats"),
        (lambda: vjp(named, {"a": np.arange(2)}), TypeError, r"argument 0 \['a'\] holds int64"),
        (lambda: grad(named)(Tensor([1, 2], name="ids")), TypeError, r"ids \(2,\) int64, which"),
        (lambda: grad(named)(np.ones(3)), ValueError, r"named must return one scalar, got \(3,\)"),
        (lambda: grad(lambda x: (x, x))(1.0), ValueError, r"one scalar, got \(\), \(\)"),
        (lambda: hessian(named)(np.ones(2)), ValueError, r"one scalar, got \(2,\).*\.sum\(\)"),
        (lambda: grad(lambda x: None)(1.0), TypeError, "returned NoneType, not a Tensor"),
        (lambda: grad(lambda x: x.data)(1.0), TypeError, "returned ndarray, not a Tensor"),
        (lambda: grad(lambda x: x.item())(1.0), TypeError, r"returned float, .* \.item\(\)"),
        (lambda: grad(lambda x: (x * x).item())(1.0), TypeError, "returned float, not a Tensor"),
        (lambda: grad(grad(lambda x: x.data * 2))(1.0), TypeError, "returned .*, not a Tensor"),
        (lambda: jacobian(lambda x: [x, 1])(1.0), TypeError, "returned int, not a Tensor"),
        (lambda: grad(named, 1)(1.0), ValueError, "named was called with 1 .* no argument 1"),
        (lambda: grad(named, -2)(1.0), ValueError, "there is no argument -2"),
        (lambda: jacobian(named, (0, 3))(1.0), ValueError, "there is no argument 3"),
        (lambda: grad(np.add, (0, -2))(1.0, 2.0), ValueError, r"\(0, -2\) name an argument twice"),
        (lambda: vjp(field, np.ones(3))[1](np.ones(3)), ValueError, r"must have its shape.*\(3,\)"),
        (
            lambda: vjp(named, 1.0)[1]([1.0]),
            ValueError,
            "the result of multiply.*, got a list of 1",
        ),
        (lambda: jvp(named, np.ones(2), np.ones(3)), ValueError, r"direction \(3,\).*shape \(2,\)"),
        (
            lambda: jvp(np.add, (1.0, 2.0), (1.0,)),
            ValueError,
            "expected a tuple of 2, got a tuple of 1",
        ),
        (lambda: grad(lambda x: Tensor(3))(1.0), ValueError, "not floating-point"),
        (lambda: checkpoint(lambda x: 1.0, Tensor([1.0])), TypeError, "return Tensors, got float"),
        (lambda: checkpoint(lambda x: (), Tensor([1.0])), TypeError, "one dtype, got none"),
        (
            lambda: checkpoint(lambda x: (x, x.astype(np.float32)), Tensor([1.0], name="x")),
            TypeError,
            r"Tensors of one dtype, got x \(1,\) float64, the result of astype \(1,\) float32",
        ),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@dataclasses.dataclass
class Settings:
    rate: float = 0.5


@pytest.mark.parametrize(
    ("leaf", "shown"),
    [
        (None, "None"),
        ("tanh", "'tanh'"),
        (np.tanh, "ufunc"),
        (Settings(), "Settings"),
        (np.array([1j]), r"an array \(1,\) complex128"),
    ],
)
def test_a_leaf_without_a_gradient_is_named_by_its_place(leaf, shown):
    x = np.ones(2)
    trees = {
        r"\['a'\]\[1\]": {"a": (x, leaf)},
        r"\[0\]\.b": [Pair(x, leaf)],
        r"\[2\]": (x, {}, leaf),
    }
    for place, tree in trees.items():
        message = f"argument 1 {place} is {shown}, and .*floats, arrays.*dicts, lists and tuples"
        with pytest.raises(TypeError, match=f"named: {message}"):
            grad(named, 1)(x, tree)
        with pytest.raises(TypeError, match=f"check_grads: {message}"):
            check_grads(named, [x, tree])
    with pytest.raises(TypeError, match=f"argument 0 is {shown}, and a gradient is asked of it"):
        grad(named)(leaf)


class Attributes(dict):
    __getattr__ = dict.__getitem__


class Frozen(dict):
    def __init__(self, *, W, b):
        super().__init__(W=W, b=b)


def test_dicts_of_other_classes_keep_them():
    def loss(p):
        return np.sum(p["W"] ** 2) * p["b"]

    p = {"W": np.array([1.0, 2.0]), "b": 3.0}
    plain = grad(loss)(p)
    found = [
        grad(loss)(OrderedDict(p)),
        grad(loss)(defaultdict(lambda: 7.0, p)),
        grad(lambda p: np.sum(p.W**2) * p.b)(Attributes(p)),
        grad(lambda p: np.sum(p.inner.W**2) * p.inner.b)(Attributes(inner=Attributes(p))).inner,
    ]
    for g, kind in zip(found, (OrderedDict, defaultdict, Attributes, Attributes), strict=True):
        assert type(g) is kind
        assert list(g) == ["W", "b"]
        same(g["W"], plain["W"])
        same(g["b"], plain["b"])
    assert found[1]["another"] == 7.0
    with pytest.raises(TypeError, match=r"a Frozen cannot be rebuilt .*Frozen\(\{.*plain dict"):
        grad(loss)(Frozen(**p))


def test_containers_are_matched_by_their_keys():
    x = np.array([1.0, 2.0, 3.0])
    ones, zeros = np.ones(3), np.zeros(3)
    _, pull = vjp(lambda a: {"u": 2 * a, "v": (3 * a, {"w": 5 * a})}, x)
    same(pull({"v": (ones, {"w": zeros}), "u": zeros})[0], 3 * ones)
    same(pull({"v": [zeros, {"w": ones}], "u": zeros})[0], 5 * ones)
    f = lambda p: 10 * p["a"] + p["b"]  # noqa: E731
    assert jvp(f, ({"a": 1.0, "b": 1.0},), ({"b": 1.0, "a": 0.0},))[1] == 1
    assert jvp(f, {"a": 1.0, "b": 1.0}, {"b": 1.0, "a": 0.0})[1] == 1
    inner = (ones, {"w": ones})
    for wrong, message in (
        ({"u": ones, "x": inner}, "gradient: expected a dict with 'u', 'v', got a dict with 'u', "),
        ({"u": ones}, "gradient: expected a dict with 'u', 'v', got a dict with 'u'"),
        ([ones, inner], "gradient: expected a dict with 'u', 'v', got a list of 2"),
        (ones, r"expected a dict with 'u', 'v', got an array \(3,\) float64"),
        ({"u": ones, "v": ones}, r"gradient\['v'\]: expected a tuple of 2, got an array"),
        ({"u": ones, "v": (ones,)}, r"gradient\['v'\]: expected a tuple of 2, got a tuple of 1"),
        (
            {"u": ones, "v": (ones, {})},
            r"\['v'\]\[1\]: .* a dict with 'w', got a dict with nothing",
        ),
        ({"u": [ones], "v": inner}, r"\['u'\]: expected the result of .*, got a list of 1"),
    ):
        with pytest.raises(
            ValueError, match=f"pull: the {message}" if "grad" in message else message
        ):
            pull(wrong)
    with pytest.raises(
        ValueError, match=r"directions\[0\]: expected a dict with 'a', 'b', got a li"
    ):
        jvp(f, ({"a": 1.0, "b": 1.0},), ([1.0, 2.0],))
    with pytest.raises(ValueError, match=r"directions\[0\]: .* got a dict with 'a', 'c'"):
        jvp(f, ({"a": 1.0, "b": 1.0},), ({"a": 1.0, "c": 2.0},))


def test_a_constant_that_a_comparison_chose_has_gradient_0():
    hinge = lambda z: 0.0 if z > 1 else 1 - z  # noqa: E731
    assert grad(hinge)(2.0) == 0
    assert grad(hinge)(0.5) == -1
    assert grad(grad(lambda z: 0.0 if 1 < z else z**3))(2.0) == 0  # noqa: SIM300
    assert grad(lambda x, y: 5.0 if x > y else x * y, (0, 1))(2.0, 1.0) == (0, 0)
    assert grad(lambda z: 0.0 if np.float64(1) < z else 1 - z)(2.0) == 0
    assert grad(lambda z: 0.0 if np.greater(z, 1) else 1 - z)(2.0) == 0
    assert grad(lambda x: 2.0 if x else x)(1.0) == 0
    assert (
        grad(lambda x: 2.0 * len(x) * x.shape[0] * x.ndim * x.size)(np.ones(3)).tolist() == [0] * 3
    )
    assert grad(lambda x: 0.0 if (x > 0).all() else np.sum(x))(np.ones(2)).tolist() == [0, 0]
    for read in (
        lambda z: z.item() if z > 1 else z,
        lambda z: float(z.data),
        lambda z: 1.0 if z.item() > 1 else z,
        lambda z: (z * z).item() if z > 0 else z,
        lambda z: np.square(z).item() if np.float64(0) < z else z,
    ):
        with pytest.raises(TypeError, match=r"\.item\(\).*a constant c as c \+ 0 \* x"):
            grad(read)(2.0)


CONSTANT = {
    "a function of the other argument": lambda x, y: (x * 2).sum(),
    "of Python's numbers": lambda x, y: 3.0,
    "of nothing": lambda x, y: np.float32(1),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_a_result_without_the_argument_has_gradient_0(name):
    f, x, y = CONSTANT[name], np.ones(3), np.full((2, 2), 0.5, np.float32)
    zeros = np.zeros_like(y)
    found = [grad(f, 1)(x, y), jacobian(f, 1)(x, y), value_and_grad(f, 1)(x, y)[1]]
    found.append(grad(f, (0, 1))(x, y)[1] if name != "of nothing" else zeros)
    for g in found:
        assert type(g) is np.ndarray
        assert g.dtype == np.float32
        np.testing.assert_array_equal(g, zeros)
    value, _ = value_and_grad(f, 1)(x, y)
    assert value == f(x, y)
    assert hessian(f, 1)(x, y).tolist() == np.zeros((2, 2, 2, 2)).tolist()
    y_out, pull = vjp(lambda y: f(x, y), y)
    assert y_out == value
    assert pull(1.0)[0].tolist() == zeros.tolist()
    assert jvp(lambda y: f(x, y), y, zeros + 1)[1] == 0.0


def test_what_does_not_matter_in_containers_has_gradient_0():
    p = {"W": np.ones((2, 2)), "b": [np.ones(2), (np.ones(3),)]}
    g = grad(lambda p: (p["W"] ** 2).sum())(p)
    assert g["W"].tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert [g["b"][0].tolist(), g["b"][1][0].tolist()] == [[0.0] * 2, [0.0] * 3]
    g = grad(lambda x, p: (x * 2).sum(), 1)(np.ones(2), p)
    assert g["W"].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    rows = jacobian(lambda x, y: {"x": x * 2, "y": [y * 3]}, 1)(np.ones(2), np.ones(1))
    assert rows["x"].tolist() == [[0.0], [0.0]]
    assert rows["y"][0].tolist() == [[3.0]]
    # Inside of another derivative too.
    assert grad(lambda x: x * grad(lambda y: 2.0)(x))(3.0) == 0.0
    assert grad(lambda x: x * value_and_grad(lambda y: x * x)(3.0)[0])(2.0) == 12.0


def test_an_error_in_the_function_leaves_nothing_behind():
    with pytest.raises(ZeroDivisionError):
        grad(lambda x: grad(lambda y: y / (1 // 0))(x))(1.0)
    assert type(grad(np.sin)(1.0)) is np.ndarray
    assert (Tensor([1.0]) * 2)._record is not None


# checkpoint ---------------------------------------------------------------------------------------


def piece(x, p):
    return np.tanh(x * p["a"]) + p["b"] * np.sin(x)


def test_checkpoint_gives_the_same_value_and_gradients():
    def run(call, order):
        x = Parameter(numbers(3))
        p = {"a": Parameter(numbers(3, seed=1)), "b": Parameter(numbers(3, seed=2))}
        y = call(piece, call(piece, x, p), p)
        if order == 1:
            np.sum(y * y).backward()
        else:
            g = grad(lambda x: np.sum(call(piece, call(piece, x, p), p) ** 2))(x)
            np.sum(g * g).backward()
        return [y.data, x.grad, p["a"].grad, p["b"].grad]

    for order in (1, 2):
        plain = run(lambda f, *args: f(*args), order)
        for a, b in zip(run(checkpoint, order), plain, strict=True):
            same(a, b)
    x = numbers(3)
    p = {"a": numbers(3, seed=1), "b": numbers(3, seed=2)}
    check_grads(lambda x, p: checkpoint(piece, x, p), [x, p], order=2)
    same(
        hessian(lambda x: np.sum(checkpoint(piece, x, p)))(x),
        hessian(lambda x: np.sum(piece(x, p)))(x),
    )


def test_checkpoint_reaches_what_the_function_closes_over():
    p, q, unused = Parameter([2.0]), Parameter([3.0]), Parameter([4.0])
    z = p * p  # made before: neither an argument nor a leaf
    x = Tensor([0.5], requires_grad=True)
    y = checkpoint(lambda x, u: np.sin(x * z) * q, x, unused)
    y.backward()
    same(p.grad, np.cos(0.5 * 4) * 0.5 * 3 * 2 * 2)
    same(q.grad, np.sin(2.0))
    same(x.grad, np.cos(2.0) * 4 * 3)
    assert unused.grad is None
    for q.grad in (None,):
        checkpoint(lambda: q * q).backward()  # nothing is given at all
        same(q.grad, [6.0])


def test_checkpoint_asked_for_every_gradient():
    x, p = Tensor([1.0, 2.0], name="x"), Parameter([3.0, 4.0], name="p")
    ids = Tensor([1, 0])
    y = checkpoint(lambda x, ids: (np.sin(x) * p)[ids.data], x, ids).sum()
    gradients = Tape(y).gradients()
    same(gradients[x], np.cos(x.data) * p.data)
    same(gradients[p], np.sin(x.data))
    assert ids not in gradients


@pytest.mark.parametrize("kind", [Elman, LSTM, GRU])
def test_checkpoint_of_a_cell(kind):
    def run(call, times):
        cell = kind(2, 3, rng=0, dtype=float)
        for _ in range(times):
            for p in cell.parameters():
                p.grad = None
            xs = Tensor(numbers(2, 4, 2), requires_grad=True)
            state, ys = cell.initial_state(2), []
            for t in range(4):
                y, state = call(cell, xs[:, t], state)
                ys.append(y)
            assert type(state) is tuple
            np.sum(np.stack(ys) ** 2 * numbers(4, 2, 3)).backward()
        return [np.stack(ys).data, xs.grad, *(p.grad for p in cell.parameters())]

    plain = run(lambda f, *args: f(*args), 1)
    for times in (1, 3):
        for a, b in zip(run(checkpoint, times), plain, strict=True):
            same(a, b)


def test_checkpoint_is_one_record():
    x = Tensor([0.5, 1.0], name="x")
    with scope("block"):
        y = checkpoint(lambda x: np.exp(np.sin(np.cos(x))), x)
    assert str(Tape(y)) == (
        "#  scope  op          operands  result\n1  block  checkpoint  x (2,)    v1 (2,)"
    )
    several = checkpoint(lambda x: {"a": np.sin(x), "b": (np.sum(x), np.outer(x, x))}, x)
    tape = Tape(several["a"], several["b"][0], several["b"][1])
    assert [record.op for record in tape].count("checkpoint") == 1
    assert {record.op for record in tape} == {"checkpoint", "getitem", "reshape"}
    assert several["b"][0].shape == ()
    same(several["b"][1].data, np.outer(x.data, x.data))
    with no_grad():
        assert checkpoint(np.sin, x)._record is None


def test_checkpoint_takes_less_memory():
    n, pieces, length = 20_000, 10, 20

    def chain(x):
        for _ in range(length):
            x = np.sin(x)
        return x

    def peak(call):
        x = Parameter(np.full(n, 0.5))
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            y = x
            for _ in range(pieces):
                y = call(chain, y)
            y.sum().backward()
            return tracemalloc.get_traced_memory()[1] / (8 * n), x.grad
        finally:
            tracemalloc.stop()
            gc.enable()

    plain, gradient = peak(lambda f, x: f(x))
    pieced, same_gradient = peak(checkpoint)
    same(gradient, same_gradient)
    assert plain > pieces * length  # in arrays of the size of x: one a record
    assert pieced < pieces + length + 15


def test_checkpoint_of_what_does_not_compute_the_same_again():
    rng = np.random.default_rng(0)
    sizes = iter([2, 3])
    w = Parameter(numbers(50))
    noisy = [
        lambda a: dropout(a, 0.5, rng=rng),
        lambda a: dropout(a, 0.5, rng=None),
        lambda a: (a * 2, a + 1e-3 * rng.standard_normal(50)),
        lambda a: np.where(rng.random(50) > 0.5, np.nan, a),
        lambda a: a[: next(sizes)],
    ]
    for f in noisy:
        y = checkpoint(f, w)
        y = y[1] if type(y) is tuple else y
        with pytest.raises(
            ValueError, match=r"gave another result the second time; .* integer seed"
        ):
            np.sum(y).backward()
        assert w.grad is None
    # What is written into between the runs is found as well.
    y = checkpoint(lambda a: a * a, w)
    w.data += 1
    with pytest.raises(ValueError, match=r"lambda.* gave another result .* change nothing"):
        np.sum(y).backward()


def test_checkpoint_of_randomness_that_comes_again():
    w = Parameter(numbers(50))
    mask = np.random.default_rng(0).random(50) > 0.5
    for f in (
        lambda a: dropout(a * a, 0.5, rng=7),
        lambda a: np.where(mask, a * a, np.nan),
        lambda a: np.where(mask, a * a, np.inf),
    ):
        w.grad = None
        np.sum(checkpoint(f, w)).backward()
        found, w.grad = w.grad, None
        np.sum(f(w)).backward()
        np.testing.assert_array_equal(found, w.grad)
    # A sum in another order, for instance, is the same but for its rounding.
    order = iter([1, -1])
    x = Parameter(numbers(1000))
    y = checkpoint(lambda a: np.sum((a * a)[:: next(order)]), x)
    y.backward()
    same(x.grad, 2 * x.data)


def test_checkpoint_takes_options():
    x = Parameter(numbers(2, 3))
    y = checkpoint(np.sum, x, axis=0, keepdims=True)
    assert y.shape == (1, 3)
    y.sum().backward()
    same(x.grad, np.ones((2, 3)))
    with no_grad():
        assert checkpoint(np.sum, x, axis=0).shape == (3,)
    for option in (x, [1, {"inner": x}]):
        with pytest.raises(TypeError, match=r"checkpoint: by= holds a Tensor; .* by position"):
            checkpoint(lambda x, by: x, x, by=option)


# check_grads --------------------------------------------------------------------------------------

wrong_sine = Op("wrong_sine", np.sin, (lambda g, y, x: g * np.cos(x) * 1.001,))
wrong_shape = Op("wrong_shape", np.sin, (lambda g, y, x: np.sum(g * np.cos(x)),))
# Its first derivative is right, and says nothing of how it depends on x.
wrong_second = Op("wrong_second", np.sin, (lambda g, y, x: g * np.cos(getattr(x, "data", x)),))


def numbers_in(error):
    found = re.search(r"tape gives (\S+), central differences (\S+)", str(error.value))
    assert found, str(error.value)
    return [float(part) for part in found.groups()]


def test_check_grads_finds_a_wrong_gradient():
    def f(a, b):
        return np.sum(a) + np.sum(apply(wrong_sine, (b["y"],)) * np.array([[0.0], [2.0]]))

    b = {"x": np.ones(2), "y": np.array([[0.1], [0.2]])}
    with pytest.raises(AssertionError, match=r"order 1: argument 1 \['y'\] at \[1, 0\]") as error:
        check_grads(f, [np.ones(2), b])
    tape, numerical = numbers_in(error)
    assert abs(tape / numerical - 1.001) < 1e-8
    p = Parameter([0.1, 0.2], name="W_f")
    with pytest.raises(AssertionError, match=r"argument 0 \(W_f\) at \[0\]"):
        check_grads(lambda p: apply(wrong_sine, (p,)), [p])
    check_grads(lambda p: apply(wrong_sine, (p,)), [p], rtol=0.01)  # within what is allowed


def test_check_grads_finds_a_wrong_second_derivative():
    x = np.array([0.4, 0.5])
    check_grads(lambda x: apply(wrong_second, (x,)), [x])
    with pytest.raises(AssertionError, match=r"check_grads, order 2: argument 0 at \[0\]") as error:
        check_grads(lambda x: apply(wrong_second, (x,)), [x], order=2)
    tape, numerical = numbers_in(error)
    assert tape == 0
    assert abs(numerical) > 0.1
    check_grads(np.sin, [x], order=3)


def test_check_grads_finds_a_nan_and_a_wrong_shape():
    nan = Op("nan", np.sin, (lambda g, y, x: g * np.nan,))
    with pytest.raises(AssertionError, match="the tape gives nan"):
        check_grads(lambda x: apply(nan, (x,)), [np.ones(2)])
    with pytest.raises(AssertionError, match=r"argument 0: the gradient has shape \(\), exp.*\(2,"):
        check_grads(lambda x: apply(wrong_shape, (x,)), [np.ones(2)])


def test_check_grads_of_what_cannot_be_checked():
    with pytest.raises(ValueError, match="no argument holds floats"):
        check_grads(lambda n: Tensor([1.0]) * n, [3])
    with pytest.raises(ValueError, match=r"W \(2,\) float32 must be float64"):
        check_grads(np.sum, [Parameter(np.ones(2, np.float32), name="W")])
    with pytest.raises(TypeError, match="must return Tensors of floats, got ndarray"):
        check_grads(lambda x: x.data * 2, [np.ones(2)])
    with pytest.raises(TypeError, match="got nothing"):
        check_grads(lambda x: (), [np.ones(2)])


five_sines = Op("five_sines", np.sin, (lambda g, y, x: g * np.cos(x) * 5,))


@pytest.mark.parametrize("scale", [1e-15, 1e-9, 1e-6, 1.0, 1e6])
def test_check_grads_at_every_scale(scale):
    x = np.array([0.1, -0.2])
    check_grads(lambda x: scale * np.sin(x), [x], order=2)
    with pytest.raises(AssertionError, match=r"argument 0 at \[0\]: the tape gives"):
        check_grads(lambda x: scale * apply(five_sines, (x,)), [x])


def test_check_grads_of_small_gradients_beside_large_ones():
    x = np.array([0.1, -0.2])
    check_grads(lambda y, x: np.sin(y) + 1e-9 * np.sin(x), [x, x], order=2)
    with pytest.raises(AssertionError, match=r"argument 1 at \[0\]: the tape gives"):
        check_grads(lambda y, x: np.sin(y) + 1e-9 * apply(five_sines, (x,)), [x, x])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (1 + 1e-8 * np.sin(x)) - 1,
        lambda x: (1 + 1e-25 * np.sin(x)) - 1,
        lambda x: (100 + 1e-4 * np.sin(x)) - 100,
        lambda x: cross_entropy(np.stack([20 + x, 0 * x]), 0),
        lambda x: cross_entropy(np.stack([35 + x, 0 * x]), 0),
        lambda x: np.tanh(8 + x),
        lambda x: 3 * x,
        lambda x: 0 * x,
    ],
)
def test_check_grads_does_not_take_rounding_for_an_error(f):
    for x in numbers(50):
        check_grads(f, x, order=2)


def test_check_grads_allows_what_it_is_told():
    f = lambda x: 1e-3 * apply(five_sines, (x,))  # noqa: E731
    check_grads(f, [np.ones(2)], atol=0.01)
    with pytest.raises(AssertionError, match="the tape gives"):
        check_grads(f, [np.ones(2)], atol=0.001)


def test_check_grads_of_a_dict_a_number_and_what_is_read_only():
    check_grads(lambda p: p["a"] * np.sin(p["b"]), {"a": np.ones(2), "b": 0.5}, order=2)
    with pytest.raises(AssertionError, match=r"argument 0 \['a'\] at \[1\]"):
        check_grads(lambda p: apply(wrong_sine, (p["a"],))[1], {"a": np.array([0.0, 0.1])})
    check_grads(np.sin, np.float32(2))
    check_grads(np.sin, np.float64(2))
    with pytest.raises(ValueError, match="no argument holds floats"):
        check_grads(np.sin, 3)
    for data in (np.ones(3), np.broadcast_to(1.0, (3,))):
        data.flags.writeable = False
        p = Tensor(data, requires_grad=True)
        check_grads(np.sin, [p], order=2)
        check_grads(lambda _, p=p: p * p, [p])  # reached by itself
        with pytest.raises(AssertionError):
            check_grads(lambda p: apply(wrong_sine, (p,)), p)
        assert p.data is data
        assert data.tolist() == [1.0] * 3


def test_check_grads_leaves_parameters_as_they_were():
    cell = LSTM(2, 2, rng=0, dtype=float)
    before = {name: (p, p.data, p.data.copy()) for name, p in cell.named_parameters()}
    xs = numbers(1, 3, 2)
    seen = set()

    def f(xs, *_):
        seen.add(cell.U_f.data.tobytes())  # the function reaches the cell by itself
        ys, state = unroll(cell, xs)
        return ys, state

    check_grads(f, [xs, *cell.parameters()])
    assert len(seen) == 1 + 4 * cell.U_f.size
    for name, p in cell.named_parameters():
        kept, data, values = before[name]
        assert p is kept
        assert p.data is data
        assert np.array_equal(data, values)
        assert p.grad is None
    p = Parameter([1.0, 2.0])

    def fails(p):
        if p.data[1] != 2.0:
            raise ZeroDivisionError
        return p * p

    with pytest.raises(ZeroDivisionError):
        check_grads(fails, [p])
    assert p.data.tolist() == [1.0, 2.0]


def test_check_grads_takes_arrays_of_any_kind_and_leaves_them():
    x = numbers(3)
    x.flags.writeable = False
    check_grads(np.sin, x, order=2)
    check_grads(np.sin, 0.5)
    check_grads(np.sin, np.array(0.5, np.float32))  # as float64, of which it holds a copy
    check_grads(lambda x, name, n: np.sin(x)[n], [x, "a word", np.arange(2)])
    check_grads(lambda x: np.sin(x), [np.zeros((0, 2))])
    cell = GRU(2, 2, rng=0, dtype=float)
    check_grads(lambda xs, U: unroll(cell, xs)[0], [numbers(1, 2, 2), cell.U_h], order=2)
