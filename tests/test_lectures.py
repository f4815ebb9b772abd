"""The numbers that the lectures work out by hand, computed by the package.

The lectures write column vectors, ``W x``; the package has rows, ``x @ W``, so that every
weight here is the transpose of the lecture's.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, cells, unroll
from unspool.autograd import binary_cross_entropy, sigmoid, softmax

# F. Sadeque, CSE440: Natural Language Processing II (BRAC University), Lecture 6: Neural Nets
# and RNN, the classwork on an RNN without an activation.
U = np.array([[2.0, 0.0], [1.0, 2.0]])
W = np.array([[2.0, 0.0, -1.0], [1.0, -1.0, 1.0]])
V = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, 3.0]])
h_0 = np.array([1.0, -1.0])
x_1, x_2 = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
LABELS = ["ADJ", "DET", "NOUN"]


def test_classwork_as_its_equations():
    h = Tensor(h_0, name="h_0")
    scores, labels = [], []
    for x in (x_1, x_2):
        h = U @ h + W @ x
        z = V @ h
        scores.append(z.data.tolist())
        labels.append(LABELS[softmax(z).argmax()])
    assert scores == [[4.0, -4.0, 0.0], [7.0, -2.0, 15.0]]
    assert labels == ["ADJ", "NOUN"]


def test_classwork_by_an_elman_cell():
    cell = cells.Elman(3, 2, activation="identity", dtype=np.float64)
    cell.load_state_dict({"W": W.T, "U": U.T, "b": np.zeros(2)})
    hs, (h,) = unroll(cell, np.stack([x_1, x_2]), (h_0,))
    assert hs.data.tolist() == [[4.0, 0.0], [7.0, 5.0]]
    assert h.data.tolist() == [7.0, 5.0]
    z = hs @ V.T
    assert z.data.tolist() == [[4.0, -4.0, 0.0], [7.0, -2.0, 15.0]]
    assert [LABELS[i] for i in softmax(z).argmax(axis=-1)] == ["ADJ", "NOUN"]


# The same lecture, the practice on the forget gate of an LSTM.
W_f, U_f = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.0, 0.0], [2.0, 3.0]])
f_by_hand = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-24))]


def test_forget_gate_as_its_equation():
    x, h = np.array([1.0, 1.0]), np.array([4.0, 5.0])
    z = W_f @ Tensor(x) + U_f @ h
    assert z.data.tolist() == [2.0, 24.0]
    f = sigmoid(z)
    assert f.data.tolist() == pytest.approx(f_by_hand, rel=1e-15)
    kept = f * np.array([1.0, 5.0])  # C_{t-1} = [1, 5]
    assert kept.data.tolist() == pytest.approx([f_by_hand[0], 5 * f_by_hand[1]], rel=1e-15)


def test_forget_gate_on_the_tape_of_an_lstm():
    cell = cells.LSTM(2, 2, dtype=np.float64, rng=0)
    state = cell.state_dict() | {"W_f": W_f.T, "U_f": U_f.T, "b_f": np.zeros(2)}
    cell.load_state_dict(state)
    _, (h, _) = cell(np.array([1.0, 1.0]), (np.array([4.0, 5.0]), np.array([1.0, 5.0])))
    (f,) = [r for r in Tape(h) if r.op == "sigmoid" and r.scope[-1] == "forget"]
    assert f.inputs[0].data.tolist() == [2.0, 24.0]
    assert f.output.data.tolist() == pytest.approx(f_by_hand, rel=1e-15)


def test_gated_memory():
    """F. Bravo-Marquez, Recurrent Neural Networks (2023), Gated Architectures (after Goldberg)."""
    g = Tensor([0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    x = np.array([10.0, 11.0, 12.0, 13.0, 14.0, 15.0])
    s = np.array([8.0, 9.0, 3.0, 7.0, 5.0, 8.0])
    new = g * x + (1 - g) * s
    assert new.data.tolist() == [8.0, 11.0, 3.0, 7.0, 5.0, 15.0]


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("z", [-2.0, 0.0, 0.7])
def test_gradient_of_the_cross_entropy_of_a_sigmoid(z: float, y: float):
    """NLP Lab 10, RNNs and LSTMs, Computing the Gradient: dL/dz = a - y, dL/dw_j = (a - y) x_j."""
    leaf = Parameter(z, name="z")
    a = sigmoid(leaf)
    loss = -(y * np.log(a) + (1 - y) * np.log(1 - a))
    loss.backward()
    by_hand = 1 / (1 + math.exp(-z)) - y
    assert leaf.grad == pytest.approx(by_hand, rel=1e-14)
    found = Tape(loss).gradients()
    assert found[a] == pytest.approx(-(y / a.item() + (y - 1) / (1 - a.item())), rel=1e-14)

    leaf.grad = None
    binary_cross_entropy(leaf, y).backward()
    assert leaf.grad == pytest.approx(by_hand, rel=1e-14)

    w, x = Parameter([0.5, -1.0]), np.array([2.0, 3.0])
    binary_cross_entropy(w @ x + (z + 2.0), y).backward()  # w·x + b = z with b = z + 2
    assert w.grad.tolist() == pytest.approx((by_hand * x).tolist(), rel=1e-13)
