"""Checks of arguments: what passes, and messages that name thing, expected, received and cure."""

from __future__ import annotations

import numpy as np
import pytest

from unspool import Parameter, Tensor
from unspool.cells import LSTM
from unspool.checks import check_choice, check_float, check_fraction, check_int, describe_received


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(2)])
def test_integers_pass_as_ints(value):
    checked = check_int("f", "n", value)
    assert checked == value
    assert type(checked) is int


@pytest.mark.parametrize("value", [0.5, 1, 0, np.float32(0.25), np.int64(1)])
def test_fractions_pass_as_floats(value):
    checked = check_fraction("f", "p", value)
    assert checked == value
    assert type(checked) is float


def test_choices_pass_as_they_are():
    assert check_choice("f", "mode", "min", ("min", "max")) == "min"
    assert check_choice("f", "mode", None, ("min", None)) is None


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: check_int("f", "n", 2.5), TypeError, "f: n must be an integer >= 1, got 2.5"),
        (
            lambda: check_int("f", "n", 2.0),
            TypeError,
            "f: n must be an integer >= 1, got 2.0; write 2",
        ),
        (lambda: check_int("f", "n", True), TypeError, "f: n must be an integer >= 1, got True"),
        (
            lambda: check_int("f", "n", np.True_),
            TypeError,
            "f: n must be an integer >= 1, got True",
        ),
        (lambda: check_int("f", "n", "3"), TypeError, "f: n must be an integer >= 1, got '3'"),
        (lambda: check_int("f", "n", None), TypeError, "f: n must be an integer >= 1, got None"),
        (lambda: check_int("f", "n", np.inf), TypeError, "f: n must be an integer >= 1, got inf"),
        (lambda: check_int("f", "n", -1, 0), ValueError, "f: n must be an integer >= 0, got -1"),
        (
            lambda: check_int("f", "n", 9, 0, 7),
            ValueError,
            "f: n must be an integer from 0 to 7, got 9",
        ),
        (
            lambda: check_float("f", "x", 1, least=0, below=1),
            ValueError,
            "f: x must be a number >= 0 and < 1, got 1",
        ),
        (
            lambda: check_float("f", "x", 0, above=0, most=2),
            ValueError,
            "f: x must be a number > 0 and <= 2, got 0",
        ),
        (lambda: check_float("f", "x", np.nan), ValueError, "f: x must be a number, got nan"),
        (
            lambda: check_float("f", "x", np.inf, least=0),
            ValueError,
            "f: x must be a number >= 0, got inf",
        ),
        (lambda: check_float("f", "x", "1"), TypeError, "f: x must be a number, got '1'"),
        (lambda: check_float("f", "x", True), TypeError, "f: x must be a number, got True"),
        (
            lambda: check_fraction("f", "p", -0.1),
            ValueError,
            "f: p must be a probability from 0 to 1, got -0.1",
        ),
        (
            lambda: check_fraction("f", "at", 2, what="a part of the training"),
            ValueError,
            "f: at must be a part of the training from 0 to 1, got 2",
        ),
        (
            lambda: check_choice("f", "mode", "mxa", ("min", "max")),
            ValueError,
            "f: mode must be one of min, max, got 'mxa'; did you mean 'max'?",
        ),
        (
            lambda: check_choice("f", "mode", 3, ("min", "max"), also="or None"),
            ValueError,
            "f: mode must be one of min, max, or None, got 3",
        ),
        (
            lambda: check_choice("f", "mode", [np.zeros(2)], ("min",)),
            ValueError,
            "f: mode must be one of min, got a list of 1",
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.5, "2.5"),
        (np.float32(0.5), "0.5"),
        ("tan", "'tan'"),
        ("x" * 100, "'" + "x" * 59 + "..."),
        (None, "None"),
        (LSTM, "the class LSTM"),
        (LSTM(1, 1), "LSTM"),
        ([1, 2], "a list of 2"),
        ({}, "a dict of 0"),
        (np.zeros((2, 3)), "an array (2, 3) float64"),
        (np.zeros(()), "an array () float64"),
        (Tensor(np.zeros(2)), "a Tensor (2,) float64"),
        (Parameter(np.zeros(2), name="W"), "W (2,) float64"),
        (max, "builtin_function_or_method"),
    ],
)
def test_what_was_received_is_described(value, text):
    assert describe_received(value) == text
