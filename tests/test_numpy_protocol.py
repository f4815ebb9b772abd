"""NumPy's functions on Tensors: they record and differentiate, or say what to write instead."""

from __future__ import annotations

import inspect
import io
import math
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unspool import Parameter, Tape, Tensor, no_grad
from unspool.autograd import check_grads
from unspool.autograd.messages import function_name
from unspool.autograd.numpy_calls import PLAIN
from unspool.autograd.tensor import TABLE

A = np.array([[0.5, -1.2, 2.0], [1.5, 0.3, -0.7]])
B = np.array([[1.0, 2.0, -0.5], [0.2, -1.0, 0.6]])
W = np.array([[0.4, -0.3], [1.1, 0.2], [-0.6, 0.9]])

# Code as someone wrote it for arrays: it mentions NumPy and nothing else.
CODE: dict[str, Callable[..., Any]] = {
    "ufuncs": lambda a, b: np.tanh(a) * np.exp(b) + np.log1p(np.square(a)),
    "where": lambda a, b: np.where(a > b, a * b, np.sin(b)),
    "where by a plain mask": lambda a, b: np.where(A > 0, a, b),
    "concatenate": lambda a, b: np.concatenate([a, b, A], axis=0) ** 2,
    "stack": lambda a, b: np.stack([a, b, a], axis=1).sum(axis=1) * a,
    "vstack and hstack": lambda a, b: np.vstack([a, b])[:2] * np.hstack([a, b])[:, 1:4],
    "einsum": lambda a, b: np.einsum("ij,kj->ik", a, b),
    "norm": lambda a, b: np.linalg.norm(a - b, axis=1) + np.linalg.norm(b),
    "sum": lambda a, b: np.sum(a * b, axis=1) + np.sum(b, axis=0, keepdims=True).sum(),
    "mean and var": lambda a, b: np.mean(a, axis=0) + np.var(b, axis=0) * np.std(a),
    "matmul": lambda a, b: np.matmul(a, W) @ np.matmul(b, W).T,
    "dot": lambda a, b: np.dot(a, b.T) + np.outer(a[0, :2], b[1, 1:]),
    "an array on the left": lambda a, b: A - a / (B * B + b * b),
    "an array on the left of @": lambda a, b: W.T @ a.T + A[:, :2] @ b[:, :2],
    "numbers on the left": lambda a, b: 2 - a + 3 * b + 1 / (4 + a) + 2**b,
    "NumPy's scalars": lambda a, b: np.float64(2) * a + b * np.float64(0.5) - np.int64(1),
    "unary operators": lambda a, b: -a + abs(b) + (+a),
    "remainders": lambda a, b: a % 0.8 + (a // 0.8) * b,
    "divmod": lambda a, b: divmod(a, 0.8)[1] * divmod(a, 0.8)[0] + divmod(5.3, b)[1],
    "divmod and modf": lambda a, b: (
        np.divmod(a, 1.7)[1] + np.modf(b * 0.9)[0] * np.modf(a * 0.9)[1]
    ),
    "indexing": lambda a, b: a[0, ::2] * b[:, [2, 0]][1] + a[A > 0][:2],
    "methods": lambda a, b: a.reshape(3, 2).T.sum(axis=0) + b.max(axis=0) - a.mean(),
    "augmented": lambda a, b: augmented(a, b),
    "a running sum": lambda a, b: sum(row * k for k, row in enumerate(a, 1)) + b[0],
    "maximum": lambda a, b: np.maximum(a, 0) + np.minimum(b, a) + np.clip(a, -1, 1),
    "sorted": lambda a, b: np.sort(a, axis=1) * np.flip(np.cumsum(b, axis=1), axis=1),
    "padding": lambda a, b: np.pad(a, ((0, 0), (1, 1)))[:, 1:-1] + np.roll(b, 1, axis=1),
    "solve": lambda a, b: np.linalg.solve(a @ A.T + 3 * np.eye(2), b),
}


def augmented(a: Any, b: Any) -> Any:
    total = a * 0
    total += b
    total *= a
    total -= 1.5
    return total


@pytest.mark.parametrize("name", CODE)
def test_unchanged_numpy_code(name: str):
    f = CODE[name]
    wanted = f(A.copy(), B.copy())
    y = f(Tensor(A), Tensor(B))
    assert isinstance(y, Tensor)
    assert y.shape == wanted.shape
    np.testing.assert_allclose(y.data, wanted, rtol=1e-13)
    assert len(Tape(y)) > 0
    check_grads(f, (A, B), order=2)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "divmod": lambda a, b: divmod(a, b)[1],
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "@": lambda a, b: a @ b,
}


@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operators_and_the_dtype_of_the_result(symbol: str, dtype: Any):
    """NumPy's own answer, value and dtype, for every kind of other operand, on both sides."""
    f = OPERATORS[symbol]
    x = np.array([0.5, 1.5, 2.0], dtype)
    others: list[Any] = [
        np.array([1.0, 2.0, 3.0], dtype),
        np.array([1.0, 2.0, 3.0]),
        np.array([1.0, 2.0, 3.0], np.float32),
        np.array([1, 2, 3]),
        np.array([True, True, True]),
    ]
    if symbol != "@":
        others += [2, 2.5, True, np.float64(2), np.float32(2), np.int64(2), np.array(2.0)]
    for other in others:
        for wanted, y in [
            (f(x, other), f(Tensor(x), other)),
            (f(other, x), f(other, Tensor(x))),
        ]:
            assert isinstance(y, Tensor), (symbol, other)
            assert y.dtype == wanted.dtype, (symbol, other)
            np.testing.assert_allclose(y.data, wanted, rtol=1e-6)


def test_python_numbers_are_weak_and_numpy_scalars_are_not():
    x = Parameter(np.ones(2, np.float32))
    for y in (
        2 * x,
        x + 1.5,
        x**2,
        1 - x,
        np.add(x, 2.0),
        np.maximum(x, 0.0),
        x / 3,
        np.clip(x, 0, 1),
    ):
        assert y.dtype == np.float32
    assert (np.where(x > 0, x, 0.0)).dtype == np.float32
    for y in (np.float64(2) * x, x * np.float64(2), np.multiply(x, np.float64(2))):
        assert y.dtype == np.float64  # as NumPy 2 has it
        y.sum().backward()
        assert x.grad.dtype == np.float32  # the gradient has its tensor's dtype
    assert (np.float32(2) * x).dtype == np.float32


def test_clip_keeps_integers():
    for dtype in (np.int64, np.uint8):
        found = np.clip(Tensor(np.array([1, 5], dtype)), None, 3)
        assert found.dtype == dtype
        assert found.data.tolist() == [1, 3]


METHODS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(axis=1, keepdims=True),
    "mean": lambda x: x.mean(axis=0),
    "max": lambda x: x.max(axis=1),
    "min": lambda x: x.min(),
    "prod": lambda x: x.prod(axis=0),
    "var": lambda x: x.var(axis=1, ddof=1),
    "std": lambda x: x.std(),
    "cumsum": lambda x: x.cumsum(axis=1),
    "cumprod": lambda x: x.cumprod(),
    "clip": lambda x: x.clip(-0.6, 0.6),
    "round": lambda x: x.round(1),
    "dot": lambda x: x.dot(W),
    "reshape": lambda x: x.reshape(3, 2),
    "reshape by a tuple": lambda x: x.reshape((1, -1)),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.transpose(),
    "transpose by axes": lambda x: x.transpose(1, 0),
    "transpose by a tuple": lambda x: x.transpose((1, 0)),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "squeeze": lambda x: x[:, None].squeeze(1),
    "repeat": lambda x: x.repeat(2, axis=1),
    "take": lambda x: x.take([0, 0, 2], axis=1),
    "diagonal": lambda x: x.diagonal(),
    "astype": lambda x: x.astype(np.float64),
    "copy": lambda x: x.copy(),
    "trace": lambda x: x.trace(1),
    "ptp": lambda x: x.max(axis=1) - x.min(axis=1) if isinstance(x, np.ndarray) else x.ptp(axis=1),
    "T": lambda x: x.T,
    "mT": lambda x: np.stack([x, x]).mT,
    "sum of some": lambda x: x.sum(axis=0, where=A > 0, initial=1.5),
    "reshape by columns": lambda x: x.reshape(3, 2, order="F") * x.ravel(order="F")[:2],
    "flatten by columns": lambda x: x.flatten(order="F"),
    "std of some": lambda x: x.std(where=A > 0, ddof=1),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_numpys(name: str):
    f = METHODS[name]
    y = f(Tensor(A))
    assert isinstance(y, Tensor)
    np.testing.assert_allclose(y.data, f(A), rtol=1e-13)
    check_grads(f, (A,), order=2)


def test_every_method_of_a_tensor_is_among_them():
    methods = {n for n, _ in inspect.getmembers(Tensor, inspect.isfunction) if n[0] != "_"}
    no_op = {"item", "numpy", "tolist", "detach", "backward"}
    plain = {"argmax", "argmin", "argsort", "any", "all", "nonzero"}
    assert {name.split(" ")[0] for name in METHODS} - {"T", "mT"} == methods - no_op - plain


# Integers and booleans are plain arrays ---------------------------------------------------------

PLAIN_CALLS: dict[str, Callable[[Any], Any]] = {
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmax method": lambda x: x.argmax(axis=1),
    "argmin": lambda x: np.argmin(x),
    "argsort": lambda x: np.argsort(x, axis=1),
    "argsort method": lambda x: x.argsort(),
    "isfinite": np.isfinite,
    "isnan": np.isnan,
    "greater": lambda x: x > 0,
    "less or equal": lambda x: x <= B,
    "an array on the left": lambda x: x > B,
    "equal": lambda x: x == A,
    "not equal": lambda x: x != 0.3,
    "a number on the left": lambda x: x > 0,
    "logical": lambda x: np.logical_and(x > 0, x < 1),
    "any": lambda x: np.any(x > 1),
    "all method": lambda x: x.all(axis=0),
    "nonzero": lambda x: np.nonzero(x)[0],
    "nonzero method": lambda x: x.nonzero()[1],
    "nanargmax": lambda x: np.nanargmax(x, axis=1),
    "isreal": np.isreal,
    "bincount": lambda x: np.bincount((x > 0).ravel().astype(int)),
    "full_like a number": lambda x: np.full_like(x, 2.0),
    "ix_ of numbers": lambda x: np.ix_([1], np.argmax(x, axis=1))[1],
    "ix_ of booleans": lambda x: np.ix_((x > 0).any(axis=1), [1, 2])[0],
    "diagonal's places": lambda x: np.diag_indices_from(x[:, :2])[0],
    "allclose": lambda x: np.allclose(x, A),
    "count_nonzero": lambda x: np.count_nonzero(x),
    "searchsorted": lambda x: np.searchsorted(np.array([0.0, 1.0]), x),
    "shape": np.shape,
    "ndim": np.ndim,
    "size": np.size,
    "zeros_like": np.zeros_like,
    "ones_like": np.ones_like,
    "where of one argument": lambda x: np.where(x > 0)[0],
    "signbit": np.signbit,
}


@pytest.mark.parametrize("name", PLAIN_CALLS)
def test_integers_and_booleans_are_plain(name: str):
    f = PLAIN_CALLS[name]
    found = f(Parameter(A))
    assert not isinstance(found, Tensor)
    np.testing.assert_array_equal(found, f(A))
    assert np.asarray(found).dtype == np.asarray(f(A)).dtype


def test_a_function_is_either_differentiated_or_plain():
    assert not PLAIN & set(TABLE)


@pytest.mark.parametrize(
    "f",
    sorted(PLAIN - {np.empty_like}, key=function_name),  # what is in empty memory is by chance
    ids=function_name,
)
def test_what_is_plain_holds_none_of_the_numbers(f: Any):
    """Else a Tensor's values would go on as constants without a word."""
    t = Parameter(np.full(2, 0.7321), name="t")
    ids, ones = np.array([0, 1]), np.ones(2)
    for args in ((t,), (t, t), (ids, t), (ones, t), (t, 2), (2, t), (t, ids), (t, ones, t)):
        try:
            result = f(*args)
        except Exception:  # whatever NumPy says of such arguments
            continue
        parts = result if isinstance(result, (tuple, list)) else [result]
        assert not any(
            isinstance(part, (np.ndarray, float)) and np.isin(0.7321, part) for part in parts
        ), f"{function_name(f)}{args}"


def test_plain_results_index_and_choose():
    x = Parameter(A)
    best = x[np.arange(2), np.argmax(x, axis=1)]
    best.sum().backward()
    np.testing.assert_array_equal(x.grad, A.max(axis=1, keepdims=True) == A)
    x.grad = None
    x[x > 0].sum().backward()
    np.testing.assert_array_equal(x.grad, A > 0)
    ids = Tensor([1, 0])
    assert x[ids].shape == (2, 3)
    assert x[0, ids].shape == (2,)
    assert A[ids].shape == (2, 3)
    assert [10, 20, 30][Tensor(1)] == 20


# Nothing detaches in silence --------------------------------------------------------------------


# Where NumPy keeps what dispatches to us.
HOUSES = [np, np.linalg, np.fft, np.strings, np.char, np.emath, np.lib.stride_tricks]
DISPATCHES = (np.ufunc, type(np.sum))
# NumPy deprecates names now and then: to look at one, or to call it here, is no fault of ours.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    PUBLIC = {
        f"{house.__name__}.{name}": f
        for house in HOUSES
        for name in dir(house)
        if name[0] != "_" and isinstance(f := getattr(house, name), DISPATCHES)
    }
    NAMES = {name: getattr(np, name) for name in dir(np) if name[0] != "_"}


def test_what_numpy_dispatches_is_found():
    assert len(PUBLIC) > 400
    assert {"numpy.tanh", "numpy.einsum", "numpy.linalg.norm", "numpy.fft.fft"} <= set(PUBLIC)
    of_houses = set(map(id, PUBLIC.values()))
    methods = {np.ndarray.astype, operator.getitem}  # rows that are no functions of NumPy
    assert all(id(f) in of_houses for f in {*TABLE, *PLAIN} - methods)


# How many arguments these need; NumPy itself says it from 2.4 on.
WITHOUT_SIGNATURE = {
    "numpy.busday_count": 2,
    "numpy.busday_offset": 2,
    "numpy.copyto": 2,
    "numpy.datetime_as_string": 1,
    "numpy.is_busday": 1,
    "numpy.putmask": 3,
}


@pytest.mark.parametrize(
    "name", [n for n, f in PUBLIC.items() if f not in TABLE and f not in PLAIN]
)
def test_a_function_without_a_rule_says_so(name: str):
    """Every function that NumPy dispatches has a row, gives plain arrays, or is refused."""
    function = PUBLIC[name]
    t = Parameter(np.full((2, 2), 0.5), name="weights")
    if isinstance(function, np.ufunc):
        required = function.nin
    elif name in WITHOUT_SIGNATURE:
        required = WITHOUT_SIGNATURE[name]
    else:
        parameters = inspect.signature(function).parameters.values()
        required = sum(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters)
    with pytest.raises(TypeError) as caught:
        function(*[t] * required)
    assert f".{function.__name__} of weights (2, 2) float64" in str(caught.value)
    assert "no gradient rule" in str(caught.value)


MAKES_ARRAYS = [
    f for f in NAMES.values()
    if callable(f)
    and not isinstance(f, (*DISPATCHES, type)) and f not in (np.test, np.info, np.empty)
]  # fmt: skip


@pytest.mark.parametrize("f", MAKES_ARRAYS, ids=lambda f: getattr(f, "__name__", str(f)))
def test_no_other_function_of_numpy_detaches(f: Any):
    """What NumPy does not dispatch raises, or its result holds none of the numbers."""
    t = Parameter(np.full(2, 0.7321), name="t")
    for args in ((t,), ([t, t],), (t, t), (2, t), ((2,), t), (t, t, t)):
        try:
            result = f(*args)
        except Exception:  # by whomever it is raised: nothing is computed without a word
            continue
        assert not isinstance(result, (np.ndarray, float)) or 0.7321 not in np.asarray(result)


def scalar() -> Any:
    return (Parameter([1.0, 2.0], name="p") * 2).sum()


def vector() -> Any:
    return Parameter([1.0, 2.0], name="p") * 2


def assign(array: Any, index: Any, value: Any) -> None:
    array[index] = value


def augment(array: Any, value: Any) -> None:
    array += value


DETACHING: dict[str, tuple[Callable[[], Any], str]] = {
    "np.array of a list": (lambda: np.array([vector(), vector()]), "np.stack"),
    "np.array of scalars": (lambda: np.array([scalar(), scalar()]), "np.stack"),
    "np.array of a mixture": (lambda: np.array([scalar(), 1.0]), "np.stack"),
    "np.array": (lambda: np.array(vector()), ".data"),
    "np.asarray": (lambda: np.asarray(vector()), ".data"),
    "np.asarray of a parameter": (lambda: np.asarray(Parameter([1.0], name="W")), ".data"),
    "np.ascontiguousarray": (lambda: np.ascontiguousarray(vector()), ".data"),
    "np.float64": (lambda: np.float64(scalar()), ".data"),
    "dot of an array": (lambda: np.ones(2).dot(vector()), ".data"),
    "slice of an array": (lambda: assign(np.ones(3), slice(0, 2), vector()), ".data"),
    "rows of an array": (lambda: assign(np.ones((2, 2)), 0, vector()), ".data"),
    "augmented array": (lambda: augment(np.ones(2), vector()), "never overwritten"),
    "out": (lambda: np.add(vector(), 1, out=np.ones(2)), "never overwritten"),
    "out of a function": (lambda: np.sum(vector(), out=np.ones(())), "never overwritten"),
    "out of a plain function": (lambda: np.isfinite(vector(), out=np.ones(2, bool)), "out"),
    "out in its place": (lambda: np.isposinf(vector(), Tensor([1.0, 0.0])), "never overwritten"),
    "out in its place behind axis": (lambda: np.any(vector(), 0, Tensor(0)), "never overwritten"),
    "out of np.argmax": (lambda: np.argmax(np.ones(2), 0, Tensor(0)), "never overwritten"),
    "clip of an array": (lambda: np.ones(2).clip(vector(), 1), "np.clip(array, low, high)"),
    "float": (lambda: float(scalar()), ".item()"),
    "int": (lambda: int(scalar()), ".item()"),
    "complex": (lambda: complex(scalar()), ".item()"),
    "math.tanh": (lambda: math.tanh(scalar()), ".item()"),
    "math.floor": (lambda: math.floor(scalar()), ".item()"),
    "percent": (lambda: "%.3f" % scalar(), ".item()"),  # noqa: UP031
    "a list of them in a function": (lambda: np.sum([scalar(), scalar()]), "np.stack"),
    "a list of them in a ufunc": (lambda: np.tanh([scalar(), scalar()]), "np.stack"),
    "t[i] = v": (lambda: assign(vector(), 0, 1.0), "np.where"),
    "t[i] = v on a leaf": (lambda: assign(Tensor([1.0, 2.0]), 0, 1.0), "np.concatenate"),
    "no rule": (lambda: np.unwrap(vector()), "x.data"),
    "no rule, of a ufunc": (lambda: np.strings.isdigit(vector()), "x.data"),
    "reduce of a ufunc": (lambda: np.add.reduce(vector()), "np.sum"),
    "outer of a ufunc": (lambda: np.multiply.outer(vector(), vector()), "np.outer"),
    "at of a ufunc": (lambda: np.add.at(np.ones(2), [0], scalar()), "np.add.at"),
    "copyto": (lambda: np.copyto(np.ones(2), vector()), "np.copyto"),
    "put": (lambda: np.put(np.ones(2), [0], scalar()), "np.put"),
    "fill of a masked array": (
        lambda: np.putmask(np.ones(2), [True, False], vector()),
        "np.putmask",
    ),
    "np.r_": (lambda: np.r_[vector(), 1.0], ".data"),
    "np.c_": (lambda: np.c_[vector(), vector()], ".data"),
    "full": (lambda: np.full(2, scalar()), ".data"),
    "logspace": (lambda: np.logspace(0, scalar(), 3), "np.logspace"),
    "arange": (lambda: np.arange(scalar()), ".data"),
    "a random number's mean": (lambda: np.random.default_rng(0).normal(scalar()), ".data"),
    "savetxt": (lambda: np.savetxt(io.StringIO(), vector()), "np.savetxt"),
    "object array": (lambda: np.array(vector(), dtype=object), ".data"),
    "fft": (lambda: np.fft.fft(vector()), "np.fft.fft"),
    "initial of a sum": (lambda: np.sum(np.exp(vector()), initial=scalar()), "initial=x.detach()"),
    "initial of max": (lambda: vector().max(initial=scalar()), "initial=x.detach()"),
    "mean of var": (lambda: np.var(vector(), mean=vector()[:1]), "outside of np.var"),
    "padding": (lambda: np.pad(vector(), 1, constant_values=scalar()), "constant_values=x.detach"),
    "two paddings": (lambda: np.pad(vector(), 1, constant_values=(0, scalar())), "of np.pad"),
    "what stands for NaN": (lambda: np.nan_to_num(vector(), nan=scalar()), "nan=x.detach()"),
    "a third operand": (lambda: np.dot(vector(), vector(), vector()), "never overwritten"),
}


@pytest.mark.parametrize("name", DETACHING)
def test_what_would_leave_the_tape_raises_with_the_cure(name: str):
    call, cure = DETACHING[name]
    with pytest.raises(TypeError) as caught:
        call()
    assert cure in str(caught.value)


def test_metadata_may_be_a_tensor_where_no_gradient_is_asked_of_it():
    x, c = Parameter([1.0, 2.0]), Parameter(3.0)
    assert np.pad(x, 1, constant_values=c.detach()).data.tolist() == [3, 1, 2, 3]
    with no_grad():
        assert np.sum(x, initial=c).item() == 6.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: assign(np.ones(2), 0, scalar()),
        lambda: assign(np.ones((2, 2)), (0, 0), scalar()),
        lambda: np.fromiter(vector(), float),
        lambda: np.ones(2).fill(scalar()),
    ],
)
def test_where_numpy_puts_its_own_error_before_ours(call: Callable[[], Any]):
    """For one element NumPy raises a ValueError of its own; its cause is ours, with the cure."""
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    ours = caught.value if isinstance(caught.value, TypeError) else caught.value.__cause__
    assert isinstance(ours, TypeError)
    assert ".item()" in str(ours) or ".data" in str(ours)


def test_an_array_keeps_its_values_when_an_assignment_is_refused():
    a = np.ones(2)
    for index in (0, slice(None)):
        with pytest.raises((TypeError, ValueError)):
            a[index] = vector()
    with pytest.raises(TypeError):
        a += vector()
    assert a.tolist() == [1.0, 1.0]


def test_what_is_on_no_tape_may_be_taken_as_an_array():
    plain = Tensor([1.0, 2.0])
    assert np.asarray(plain).tolist() == [1.0, 2.0]
    assert np.array([plain, plain]).shape == (2, 2)
    assert float(Tensor(2.0)) == 2.0
    assert int(Tensor(3)) == 3
    assert math.exp(Tensor(0.0)) == 1.0
    assert np.asarray(plain, dtype=np.float32).dtype == np.float32
    with no_grad():
        assert np.asarray(Parameter([1.0]) * 2).tolist() == [2.0]
    assert np.asarray((Parameter([1.0]) * 2).detach()).tolist() == [2.0]
    assert (Parameter([1.0]) * 2).item() == 2.0
    assert (Parameter([1.0]) * 2).data.tolist() == [2.0]
    a = np.zeros(2)
    a[:] = plain
    assert a.tolist() == [1.0, 2.0]


def test_round_stays_on_the_tape():
    x = Parameter([1.26, -2.5])
    y = round(x, 1)
    assert y.data.tolist() == [1.3, -2.5]
    assert round(x).data.tolist() == [1.0, -2.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_text_of_a_tensor_on_a_tape():
    t, v = scalar(), vector()
    assert f"{t:.2f}" == "6.00"
    assert f"{v:.1f}" == "[2.0 4.0]"
    assert f"{t}" == str(t) == "Tensor(6., op='sum')"
    assert str(v) == repr(v) == "Tensor([2., 4.], op='multiply')"
    assert repr(Parameter([1.0], name="W")) == "Parameter([1.], name='W', requires_grad=True)"
    assert repr(Tensor([1.0])) == "Tensor([1.])"


def test_print_of_a_tensor_on_a_tape(capsys: pytest.CaptureFixture[str]):
    print(vector())
    assert capsys.readouterr().out == "Tensor([2., 4.], op='multiply')\n"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: np.sum(t, dtype=np.float32), ["np.sum", "dtype", "astype"]),
        (lambda t: np.var(t, where=t > 0, dtype=float), ["np.var", "dtype", "astype"]),
        (lambda t: np.sort(t, kind="heapsort"), ["np.sort", "kind", "axis"]),
        (lambda t: np.sort(t, -1, "heapsort"), ["np.sort", "kind", "axis"]),
        (lambda t: np.take(t, [-1], None, None, "clip"), ["np.take", "mode", "indices, axis"]),
        (lambda t: np.nanmax(t, None, None, False, 99.0), ["np.nanmax", "initial", "axis"]),
        (lambda t: np.nanmin(t, None, None, False, 9.0), ["np.nanmin", "initial", "axis"]),
        (lambda t: np.round(t, 1, np.ones(2)), ["np.round", "out", "never overwritten"]),
        (lambda t: np.around(t, 1, np.ones(2)), ["np.around", "out", "never overwritten"]),
        (lambda t: np.fix(t, np.ones(2)), ["np.fix", "out", "never overwritten"]),
        (lambda t: np.copy(t, "F"), ["np.copy", "order"]),
        (lambda t: np.ptp(t, 0, np.ones(())), ["np.ptp", "out", "never overwritten"]),
        (lambda t: np.concatenate([t], 0, np.ones(2)), ["np.concatenate", "out"]),
        (lambda t: np.clip(t, 0, 1, np.ones(2)), ["np.clip", "out", "never overwritten"]),
        (lambda t: np.nan_to_num(t, copy=False), ["np.nan_to_num", "copy", "never overwritten"]),
        (lambda t: np.nan_to_num(t, False), ["np.nan_to_num", "copy", "never overwritten"]),
        (lambda t: np.clip(t, 0, 1, dtype=float), ["np.clip", "dtype"]),
        (lambda t: np.add(t, 1, where=np.array([True, False])), ["np.add", "where", "np.where"]),
        (lambda t: np.copy(t, order="F"), ["np.copy", "order"]),
        (lambda t: np.concatenate([t, t], dtype=float), ["np.concatenate", "dtype"]),
        (lambda t: np.nanmax(t, where=t > 0), ["np.nanmax", "where", "changes nothing"]),
        (lambda t: np.linalg.svd(t[None]), ["np.linalg.svd", "no gradient rule"]),
        (lambda t: np.quantile(t, 0.5, weights=[1.0, 2.0]), ["np.quantile", "weights"]),
    ],
)
def test_options_without_a_rule_are_named(call: Callable[[Any], Any], words: list[str]):
    with pytest.raises(TypeError) as caught:
        call(vector())
    for word in words:
        assert word in str(caught.value)


NOTHING_ASKED: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x, axis=None, dtype=None, out=None),
    "sum by name": lambda x: np.sum(a=x, axis=0),
    "solve by names": lambda x: np.linalg.solve(b=x, a=3 * np.eye(2)),
    "mean": lambda x: np.mean(x, 0, None, None, True),
    "max": lambda x: np.max(x, 0, None, True),
    "nanmax": lambda x: np.nanmax(x, 0, None, True),
    "ptp": lambda x: np.ptp(x, 0, None, True),
    "sort": lambda x: np.sort(x, kind=None),
    "sort, stable": lambda x: np.sort(x, 0, "stable", None),
    "take": lambda x: np.take(x, [1, -1], 0, None, "raise"),
    "take by name": lambda x: np.take(x, indices=[1], mode="raise"),
    "copy": lambda x: np.copy(x, "K", subok=False),
    "copy by rows": lambda x: np.copy(x, order="C"),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3), subok=False),
    "round": lambda x: np.round(x, 1, None),
    "clip": lambda x: np.clip(x, -1, 1, None),
    "clip by name": lambda x: np.clip(x, -1, 1, out=None, casting="same_kind", where=True),
    "dot": lambda x: np.dot(x, W, None),
    "concatenate": lambda x: np.concatenate([x, x], 0, None, dtype=None, casting="same_kind"),
    "stack": lambda x: np.stack([x, x], 1, None),
    "vstack": lambda x: np.vstack([x, x], dtype=None),
    "einsum": lambda x: np.einsum(
        "ij->j", x, out=None, dtype=None, order="K", casting="safe", optimize=False
    ),
    "multi_dot": lambda x: np.linalg.multi_dot([x, W, x], out=None),
    "trace": lambda x: np.trace(x, 0, 0, 1, None, None),
    "nan_to_num": lambda x: np.nan_to_num(x, True, 0.0),
    "interp": lambda x: np.interp(x, [-3, 0, 3], [0, 1, 5], period=None),
    "average": lambda x: np.average(x, 0, None, False),
    "meshgrid": lambda x: np.meshgrid(x[0], x[1], copy=True)[0],
    "nansum": lambda x: np.nansum(x, 0, None, None, True),
    "nanmean": lambda x: np.nanmean(x, 0, None, None, True),
    "a ufunc": lambda x: np.exp(x, where=True, casting="same_kind", order="K", dtype=None),
    "divmod": lambda x: np.divmod(x, 0.9, where=True)[1],
}
if hasattr(np, "cumulative_sum"):  # from NumPy 2.1 on
    NOTHING_ASKED["cumulative_sum"] = lambda x: np.cumulative_sum(x, axis=0, dtype=None, out=None)


@pytest.mark.parametrize("name", NOTHING_ASKED)
def test_options_that_ask_for_nothing_are_let_through(name: str):
    f = NOTHING_ASKED[name]
    found = f(Tensor(A))
    assert isinstance(found, Tensor)
    np.testing.assert_allclose(found.data, f(A), rtol=1e-13)
    check_grads(f, (A,))


def test_a_tensor_keeps_its_values_when_nan_to_num_is_refused():
    t = Parameter([math.nan, 2.0])
    with pytest.raises(TypeError):
        np.nan_to_num(t, copy=False)
    assert math.isnan(t.data[0])
