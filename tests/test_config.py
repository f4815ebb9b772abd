"""What a module was made with, as plain data and back."""

from __future__ import annotations

import copy
import functools
import json
import pickle

import numpy as np
import pytest

from unspool import Parameter, unroll
from unspool import cells as cells_
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    ActivatedLSTM,
    Bidirectional,
    Cell,
    Elman,
    InputDropout,
    LayerNormLSTM,
    Module,
    NotConfigurable,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
    VariationalDropout,
    Zoneout,
    register,
)
from unspool.cells import config as config_module
from unspool.models.persist import BoundedGenerator


def both(kind=LSTM, **options):
    return Bidirectional(kind(3, 4, rng=0), kind(3, 4, rng=1), **options)


MODULES = {
    "LSTM": lambda: LSTM(3, 4, rng=0),
    "no bias": lambda: GRU(3, np.int64(4), bias=False, dtype=float),
    "Elman": lambda: Elman(3, 4, "relu", W_init="orthogonal", dtype=np.float16),
    "MGU": lambda: MGU(d_h=4, d_in=3),
    "peephole": lambda: PeepholeLSTM(3, 4),
    "layer norm": lambda: LayerNormLSTM(3, 4),
    "reset after": lambda: ResetAfterGRU(3, 4),
    "activated": lambda: ActivatedLSTM(3, 4, "relu", gate="hard_sigmoid"),
    "stacked": lambda: Stacked((LSTM(3, 4), GRU(4, 4)), dropout=0.1, residual=True, rng=3),
    "both": lambda: Stacked([both(GRU, merge="sum"), LSTM(4, 2)]),
    "wrapped": lambda: Zoneout(
        InputDropout(VariationalDropout(LSTM(3, 4), 0.1, recurrent=0.2, rng=0), 0.3), (0.1, 0.2)
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_comes_back_from_its_configuration(name):
    module = MODULES[name]()
    config = json.loads(json.dumps(module.to_config()))
    other = Module.from_config(config, rng=5)
    assert type(other) is type(module)
    assert other.to_config() == module.to_config()
    shapes = [(n, p.shape, p.dtype) for n, p in module.named_parameters()]
    assert [(n, p.shape, p.dtype) for n, p in other.named_parameters()] == shapes
    other.load_state_dict(module.state_dict())
    xs = np.ones((2, 5, 3), module.parameters()[0].dtype)
    for m in (module, other):
        m.eval()
    np.testing.assert_array_equal(unroll(other, xs)[0].data, unroll(module, xs)[0].data)


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_know_their_arguments(again):
    module = MODULES["both"]()
    assert again(module).to_config() == module.to_config()


def test_the_same_seed_gives_the_same_parameters():
    config = LSTM(3, 4, rng=7).to_config()
    for name, value in LSTM.from_config(config, rng=7).state_dict().items():
        np.testing.assert_array_equal(value, LSTM(3, 4, rng=7).state_dict()[name])


def test_a_module_that_stands_in_two_places_still_does():
    cell = LSTM(3, 4)
    other = Module.from_config(Bidirectional(cell, cell).to_config())
    assert other.forward is other.backward


def test_what_was_changed_later_counts():
    module = Stacked([Elman(3, 4), Elman(4, 4)], residual=False)
    module.members[0].activation = "relu"
    setattr(module, "1", GRU(4, 4))
    for p in module.parameters():
        p.data = p.data.astype(np.float64)
    first, second = module.to_config()["members"]
    assert (first["activation"], first["dtype"]) == ("relu", "float64")
    assert (second["class"], second["dtype"]) == ("GRU", "float64")


class Deep(Module):
    """Its attribute ``layers`` holds modules, its argument their widths."""

    def __init__(self, layers):
        self.layers = [LSTM(1, width) for width in layers]


def test_a_list_of_modules_does_not_replace_the_widths_it_was_made_from():
    assert Deep([2, 3]).arguments() == {"layers": [2, 3]}


class Many(Module):
    """Arguments of every kind."""

    def __init__(self, first, /, second, *rest, scale=2.0, **options):
        self.first, self.second, self.scale = first, second, scale
        self.rest = list(rest)
        self.options = options


def test_arguments_of_every_kind():
    with pytest.raises(NotConfigurable, match=r"Many is the class Many, which is not registered"):
        Many(1, 2).to_config()
    try:
        register(Many)
        for made in (Many(1, 2), Many(1, LSTM(1, 1), 3, [4, None], depth="x"), Many(1, second=GRU)):
            config = made.to_config()
            other = Module.from_config(json.loads(json.dumps(config)))
            assert other.to_config() == config
        assert config == {
            "class": "Many",
            "first": 1,
            "second": {"kind": "GRU"},
            "rest": [],
            "scale": 2.0,
        }
        assert other.second is GRU
        made = Many(functools.partial(Elman, activation="relu"), (1, 2))
        other = Module.from_config(made.to_config())
        assert other.first(2, 3).activation == "relu"
        assert other.second == [1, 2]
        for wrong in (lambda x: x, np.tanh, object(), functools.partial(max), {"a": 1}):
            with pytest.raises(NotConfigurable, match=r"Many\.first is something that"):
                Many(wrong, 2).to_config()
        with pytest.raises(
            ValueError, match=r"'LSTM' is the name of unspool\.cells\.recurrent\.LSTM"
        ):
            register(Many, "LSTM")
    finally:
        config_module.CLASSES.pop("Many", None)
        config_module.NAMES.pop(Many, None)


class Own(Cell):
    """A cell of one's own."""

    def __init__(self, d):
        self.d_in = self.d_h = d
        self.A = Parameter(np.eye(d))

    def forward(self, x, state):
        return (np.tanh(x @ self.A + state[0]),)


def test_a_class_of_ones_own_is_not_named_unless_it_is_registered():
    with pytest.raises(NotConfigurable, match=r"Stacked\.members is the class Own"):
        Stacked([Own(2)]).to_config()


def test_a_class_without_a_constructor_takes_no_arguments():
    class Empty(Module):
        pass

    Empty()
    with pytest.raises(TypeError, match=r"Empty\(\) takes no arguments"):
        Empty(3)


LSTM_CONFIG = LSTM(3, 4).to_config()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "a part of it is unknown here: None"),
        ({"class": "os"}, "a part of it is unknown here: 'os'"),
        ({"class": ["LSTM"]}, "a part of it is unknown here"),
        ([LSTM_CONFIG], "but of a list of 1"),
        ("LSTM", "but of 'LSTM'"),
        ({"kind": "LSTM"}, "but of the class LSTM"),
        (LSTM_CONFIG | {"x": 1}, "LSTM takes no x; its arguments are d_in, d_h, bias"),
        (LSTM_CONFIG | {"d_in": -1}, "LSTM: d_in must be an integer >= 1, got -1"),
        (LSTM_CONFIG | {"dtype": "object"}, "LSTM: dtype must be one of float16, float32, float64"),
        (LSTM_CONFIG | {"rng": 1}, "rng is no setting of a configuration"),
        (LSTM_CONFIG | {"W_init": "zeros"}, "W_init is no setting of a configuration"),
        ({"class": "Stacked", "members": [{"same": 1}]}, "index out of range"),
        ({"class": "Stacked", "members": [{"same": "os"}]}, "no configuration of LSTM"),
        (GRU(3, 4).to_config(), "no configuration of LSTM, but of GRU"),
    ],
)
def test_damaged_configurations(config, message):
    with pytest.raises(ValueError, match=r"this is no configuration of LSTM") as caught:
        LSTM.from_config(config)
    assert message in str(caught.value)


def test_every_public_cell_has_a_name():
    for name in cells_.__all__:
        thing = getattr(cells_, name)
        if isinstance(thing, type) and issubclass(thing, Module):
            base = thing in (Module, Cell, cells_.GatedCell, cells_.Wrapper)
            assert (config_module.CLASSES.get(name) is thing) is not base, name


def places_in(value):
    """Every (container, key) in plain data."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, (dict, list)):
            yield from places_in(item)


WRONG = [None, True, 0, -1, 2.5, 10**6, "", "LSTM", [], [1], {}, {"same": 0}, {"kind": "GRU"}]


def test_a_wrong_value_anywhere_is_a_value_error():
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        config = MODULES[rng.choice([*MODULES])]().to_config()
        places = list(places_in(config))
        container, key = places[rng.integers(len(places))]
        container[key] = copy.deepcopy(WRONG[rng.integers(len(WRONG))])
        try:
            Module.from_config(config, rng=BoundedGenerator(1000))
        except ValueError:
            refused += 1
    assert refused > 150
