"""Mistakes in calls raise at once, and the message names the thing, what came, and the cure."""

from __future__ import annotations

import builtins
import warnings

import numpy as np
import pytest

import unspool
import unspool.autograd as A
from reliability.mistakes import MISTAKES
from unspool import cells, models

pytestmark = pytest.mark.slow


def set_weight(value):
    lstm = cells.LSTM(3, 4, rng=0)
    lstm.W_f = value


def test_every_mistake_is_refused_in_words(campaign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {
        **vars(builtins), **vars(A), **vars(models), **vars(cells), **vars(unspool),
        "A": A, "np": np, "setW": set_weight, "lstm": cells.LSTM(4, 4, rng=0),
        "x3": np.ones((2, 3, 4), np.float32), "W": np.ones((2, 4, 5)),
    }  # fmt: skip
    wrong = []
    for call, kind, words in MISTAKES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                eval(call, dict(names))
        except Exception as error:
            campaign["refused"] += 1
            message = str(error)
            missing = [word for word in words if word not in message]
            kinds = {k.__name__ for k in type(error).__mro__}
            if missing or kind not in kinds or len(message) > 1500:
                wrong.append(f"{call}: {type(error).__name__} {message!r:.200} lacks {missing}")
        else:
            wrong.append(f"{call}: accepted")
    assert not wrong, "\n".join(wrong)
    assert campaign["refused"] >= 400
