"""The adaptive optimisers, groups, clipping by value, and schedules."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from helpers import assert_steps_as_pytorch, needs
from unspool import Parameter, Tensor
from unspool.autograd import mse_loss
from unspool.cells import LSTM, load_npz, save_npz
from unspool.models import Adam, LanguageModel, Sequences, fit
from unspool.models.keras import Dense as KerasDense
from unspool.models.keras import Sequential
from unspool.models.training.optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adamax,
    AdamW,
    NAdam,
    RMSprop,
    clip_by_value,
)
from unspool.models.training.schedules import (
    Plateau,
    cosine,
    exponential,
    in_turn,
    linear,
    plateaus,
    product,
    step,
    warm_up,
)

# Rules ------------------------------------------------------------------------------------------


# The rules again, out of place and for one parameter: from all gradients so far to the path.


def adagrad(p, gradients, lr=0.01, lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, decay=0):
    squares = np.full_like(p, initial_accumulator_value)
    for k, gradient in enumerate(gradients):
        g = gradient + decay * p
        squares = squares + g**2
        p = p - lr / (1 + k * lr_decay) * g / (np.sqrt(squares) + eps)
    return p


def averages(history, keep):
    """The moving average from 0 over a list, as its sum."""
    n = len(history)
    return sum((1 - keep) * keep ** (n - 1 - k) * item for k, item in enumerate(history))


def rmsprop(p, gradients, lr=0.01, alpha=0.99, momentum=0.0, centered=False, eps=1e-8, decay=0):
    seen, ratios = [], []
    for gradient in gradients:
        seen.append(gradient + decay * p)
        variance = averages([g**2 for g in seen], alpha)
        if centered:
            variance = variance - averages(seen, alpha) ** 2
        ratios.append(seen[-1] / (np.sqrt(variance) + eps))
        n = len(ratios)
        p = p - lr * sum(momentum ** (n - 1 - k) * r for k, r in enumerate(ratios))
    return p


def adadelta(p, gradients, lr=1.0, rho=0.9, eps=1e-6, decay=0):
    squares, changes = [], []
    for gradient in gradients:
        g = gradient + decay * p
        squares.append(g**2)
        size = np.sqrt(averages([c**2 for c in changes], rho) + eps)
        changes.append(size * g / np.sqrt(averages(squares, rho) + eps))
        p = p - lr * changes[-1]
    return p


def adamw(p, gradients, lr=0.001, betas=(0.9, 0.999), eps=1e-8, decay=0.01):
    for t in range(1, len(gradients) + 1):
        m = averages(gradients[:t], betas[0]) / (1 - betas[0] ** t)
        v = averages([g**2 for g in gradients[:t]], betas[1]) / (1 - betas[1] ** t)
        p = p * (1 - lr * decay) - lr * m / (np.sqrt(v) + eps)
    return p


def amsgrad(p, gradients, lr=0.001, betas=(0.9, 0.999), eps=1e-8, amsgrad=True, decay=0):
    seen, largest = [], 0.0
    for t, gradient in enumerate(gradients, 1):
        seen.append(gradient + decay * p)
        largest = np.maximum(largest, averages([g**2 for g in seen], betas[1]))
        m = averages(seen, betas[0]) / (1 - betas[0] ** t)
        p = p - lr * m / (np.sqrt(largest / (1 - betas[1] ** t)) + eps)
    return p


def nadam(p, gradients, lr=0.002, betas=(0.9, 0.999), eps=1e-8, momentum_decay=0.004, decay=0):
    seen = []
    for t, gradient in enumerate(gradients, 1):
        seen.append(gradient + decay * p)
        mu = [betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in range(1, t + 2)]
        m = mu[t] * averages(seen, betas[0]) / (1 - np.prod(mu))
        m = m + (1 - mu[t - 1]) * seen[-1] / (1 - np.prod(mu[:t]))
        v = averages([g**2 for g in seen], betas[1]) / (1 - betas[1] ** t)
        p = p - lr * m / (np.sqrt(v) + eps)
    return p


def adamax(p, gradients, lr=0.002, betas=(0.9, 0.999), eps=1e-8, decay=0):
    seen = []
    for t, gradient in enumerate(gradients, 1):
        seen.append(gradient + decay * p)
        sizes = [betas[1] ** (t - 1 - k) * (abs(g) + eps) for k, g in enumerate(seen)]
        p = p - lr / (1 - betas[0] ** t) * averages(seen, betas[0]) / np.max(sizes, axis=0)
    return p


RULES = {
    "Adagrad": (Adagrad, adagrad, {}),
    "Adagrad's settings": (
        Adagrad,
        adagrad,
        {"lr": 0.3, "lr_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ),
    "RMSprop": (RMSprop, rmsprop, {}),
    "momentum": (RMSprop, rmsprop, {"lr": 0.02, "momentum": 0.8}),
    "centered": (RMSprop, rmsprop, {"alpha": 0.9, "centered": True, "eps": 1e-3}),
    "both": (RMSprop, rmsprop, {"alpha": 0.7, "momentum": 0.5, "centered": True}),
    "Adadelta": (Adadelta, adadelta, {}),
    "Adadelta's settings": (Adadelta, adadelta, {"lr": 0.4, "rho": 0.6, "eps": 1e-3}),
    "AdamW": (AdamW, adamw, {}),
    "AdamW's settings": (AdamW, adamw, {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-2}),
    "AMSGrad": (Adam, amsgrad, {"lr": 0.1, "betas": (0.7, 0.6), "amsgrad": True}),
    "NAdam": (NAdam, nadam, {}),
    "NAdam's settings": (
        NAdam,
        nadam,
        {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "momentum_decay": 0.3},
    ),
    "Adamax": (Adamax, adamax, {}),
    "Adamax's settings": (Adamax, adamax, {"lr": 0.1, "betas": (0.7, 0.6), "eps": 1e-2}),
}
# None is the class's own weight decay: 0, and 0.01 for AdamW.
DECAYS = [None, 0.0, 0.3]


def with_decay(options, decay):
    return options if decay is None else {**options, "weight_decay": decay}


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("name", RULES)
def test_rules_against_formulas(name, decay):
    make, formula, options = RULES[name]
    rng = np.random.default_rng(0)
    start = rng.standard_normal((3, 4))
    gradients = [
        rng.standard_normal((3, 4)) * 10.0 ** rng.integers(-3, 3, (3, 4)) for _ in range(20)
    ]
    p = Parameter(start.copy())
    data, copy = p.data, p.data.copy()
    optimizer = make([p], **with_decay(options, decay))
    for gradient in gradients:
        p.grad = gradient.copy()
        optimizer.step()
        np.testing.assert_array_equal(p.grad, gradient)  # read, not changed
    np.testing.assert_array_equal(data, copy)  # a tape may hold it
    expected = formula(start, gradients, **options, **({} if decay is None else {"decay": decay}))
    np.testing.assert_allclose(p.data, expected, rtol=1e-12, atol=1e-12)
    assert np.abs(p.data - start).max() > 1e-3


# What PyTorch 2.13 makes of (1, -2, 0.5) by six gradients, in float64, with weight_decay=0.1.
SAVED = {
    "Adagrad": [0.9802197698548161, -2.005651585123382, 0.4633678781304429],
    "Adagrad's settings": [0.6225100892424652, -2.2430583218336206, 0.4048167696910434],
    "RMSprop": [0.8057181158444066, -2.055190663974795, 0.18612344533689196],
    "momentum": [-0.04123123512338269, -2.782062284361544, -0.23637544916029177],
    "centered": [0.9309772733229094, -2.0189654600282823, 0.368508736240356],
    "both": [0.9147416551434365, -2.0395036107661197, 0.27916806202578565],
    "Adadelta": [0.9908262262533555, -1.9989039647437292, 0.47977648126923517],
    "Adadelta's settings": [0.9428454746959267, -1.9864332585862279, 0.4080632173054248],
    "AdamW": [0.9965419226261233, -2.0016663227445064, 0.5020522851677566],
    "AdamW's settings": [0.6718988698397744, -2.0683046052212735, 0.48733851243171933],
    "AMSGrad": [0.6820590963771764, -2.1849658865052186, -0.004508719814839114],
    "NAdam": [0.9946139579708856, -2.001011046159538, 0.4902205054352057],
    "NAdam's settings": [0.6915324532278976, -2.0334710085486085, 0.05151880989114459],
    "Adamax": [0.9944944488666426, -2.005191783434375, 0.48821312289207713],
    "Adamax's settings": [0.6886593089731987, -2.2036268227231393, -0.07623573069391472],
}
GRADIENTS = [
    np.array([0.5 * (-1) ** t + 0.1 * t, 10 * math.sin(t + 1.0), 1e-3 * (t - 2)]) for t in range(6)
]


@pytest.mark.parametrize("name", RULES)
def test_rules_against_saved_numbers(name, tmp_path):
    make, _, options = RULES[name]
    first_p = Parameter([1.0, -2.0, 0.5])
    first = make([first_p, Parameter([0.0])], **options, weight_decay=0.1)
    for gradient in GRADIENTS[:3]:
        first_p.grad = gradient
        first.step()
    # The rest by another one that takes over the state, through a file.
    save_npz(tmp_path / "optimizer.npz", first.state_dict())
    p = Parameter(first_p.data)
    second = make([p, Parameter([0.0])], **{**options, "lr": 99}, weight_decay=0.1)
    second.load_state_dict(load_npz(tmp_path / "optimizer.npz"))
    for gradient in GRADIENTS[3:]:
        p.grad = gradient
        second.step()
    np.testing.assert_allclose(p.data, SAVED[name], rtol=1e-12)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("name", RULES)
def test_rules_against_pytorch(name, decay):
    make, _, options = RULES[name]
    assert_steps_as_pytorch(make, with_decay(options, decay))


@pytest.mark.parametrize("name", RULES)
def test_dtype_layout_and_zero_gradients(name):
    make, formula, options = RULES[name]
    p = Parameter(np.ones((4, 3), np.float32))
    p.data = np.ones((3, 4), np.float32).T  # not contiguous
    optimizer = make([p], **options)
    g = np.zeros((4, 3), np.float32)
    g[:, 1] = 0.5
    for _ in range(5):
        p.grad = g.copy()
        optimizer.step()
    assert p.data.dtype == np.float32
    assert all(a.dtype == np.float32 for a in optimizer.memory[0].values())
    expected = formula(np.ones((4, 3)), [g.astype(float)] * 5, **options)
    np.testing.assert_allclose(p.data, expected, rtol=2e-4)


def test_centered_stays_finite_where_the_variance_rounds_below_zero():
    p = Parameter(np.ones(200, np.float32))
    p.grad = np.linspace(0.1, 1, 200, dtype=np.float32)
    optimizer = RMSprop([p], alpha=0.5, centered=True)
    below = False
    for _ in range(100):
        optimizer.step()
        v, m = optimizer.memory[0]["v"], optimizer.memory[0]["m"]
        below = below or bool((v < m * m).any())
    assert below  # what the test is about does happen
    assert np.isfinite(p.data).all()


def test_bad_settings():
    p = Parameter([1.0])
    for make, options, message in [
        (Adagrad, {"lr_decay": -1}, "Adagrad: lr_decay must be a number >= 0, got -1"),
        (
            Adagrad,
            {"initial_accumulator_value": -1},
            "initial_accumulator_value must be a number >= 0",
        ),
        (Adagrad, {"eps": -1}, "Adagrad: eps must be a number >= 0"),
        (RMSprop, {"alpha": 1.0}, "RMSprop: alpha must be a number >= 0 and < 1, got 1"),
        (RMSprop, {"momentum": 1.0}, "RMSprop: momentum must be a number >= 0 and < 1"),
        (RMSprop, {"eps": -1}, "RMSprop: eps must be a number >= 0"),
        (Adadelta, {"rho": 1.5}, "Adadelta: rho must be a number >= 0 and < 1"),
        (Adadelta, {"eps": math.nan}, "Adadelta: eps must be a number >= 0, got nan"),
        (AdamW, {"betas": (0.9,)}, "AdamW: betas must be two numbers"),
        (AdamW, {"weight_decay": -0.1}, "AdamW: weight_decay must be a number >= 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            make([p], **options)


def test_a_state_of_other_settings_is_refused():
    p = Parameter([1.0])
    p.grad = np.array([1.0])
    plain, centered = RMSprop([p]), RMSprop([p], centered=True)
    plain.step()
    with pytest.raises(ValueError, match=r"RMSprop.load_state_dict: missing 0\.m"):
        centered.load_state_dict(plain.state_dict())


# Groups -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        SGD,
        functools.partial(SGD, momentum=0.5),
        functools.partial(SGD, momentum=0.5, nesterov=True),
        Adam,
        functools.partial(Adam, amsgrad=True),
        AdamW,
        NAdam,
        Adamax,
        Adagrad,
        RMSprop,
        functools.partial(RMSprop, momentum=0.5),
        Adadelta,
    ],
)
def test_groups_are_optimisers_of_their_own(make):
    start = np.array([1.0, -2.0])
    parts = [Parameter(start.copy()) for _ in range(3)]
    alone = [Parameter(start.copy()) for _ in range(3)]
    together = make(
        [
            {"parameters": iter([parts[0], parts[0]]), "scale": 0.25},
            {"parameters": [parts[1]], "weight_decay": 0},
            {"parameters": [parts[2]]},
        ],
        lr=0.5,
        weight_decay=0.1,
    )
    apart = [
        make([alone[0]], lr=0.125, weight_decay=0.1),
        make([alone[1]], lr=0.5, weight_decay=0),
        make([alone[2]], lr=0.5, weight_decay=0.1),
    ]
    assert together.parameters == parts
    for k in range(6):
        for p in (*parts, *alone):
            p.grad = np.array([0.3, (-1.0) ** k])
        if k == 3:  # a schedule scales all groups
            together.lr = 0.25
            for optimizer in apart:
                optimizer.lr /= 2
        together.step()
        for optimizer in apart:
            optimizer.step()
    for p, q in zip(parts, alone, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    assert len({p.data[0] for p in parts}) == 3


def test_groups_that_are_none():
    p, q = Parameter([1.0], name="W"), Parameter([1.0])
    with pytest.raises(ValueError, match="SGD: W is in two groups"):
        SGD([{"parameters": [q, p]}, {"parameters": [p]}])
    with pytest.raises(TypeError, match=r"expected only groups, .* or only Parameters; got"):
        SGD([{"parameters": [p]}, q])
    with pytest.raises(ValueError, match=r"a group has 'parameters', .*; got 'params', 'lr'"):
        SGD([{"params": [p], "lr": 0.1}])
    with pytest.raises(ValueError, match="got 'parameters', 'lr'"):
        SGD([{"parameters": [p], "lr": 0.1}])
    with pytest.raises(TypeError, match="the parameters of a group as a list"):
        SGD([{"parameters": p}])
    with pytest.raises(TypeError, match="expected Parameters, got 'W'"):
        SGD([{"parameters": ["W"]}])
    with pytest.raises(ValueError, match="SGD: scale must be a number >= 0, got -1"):
        SGD([{"parameters": [p], "scale": -1}])
    with pytest.raises(
        TypeError, match=r"expected Parameters, as SGD\(model\.parameters.*got LSTM"
    ):
        SGD(LSTM(1, 1))
    with pytest.raises(
        ValueError, match=r"SGD: there is no parameter .* a Parameter\(\.\.\.\), not"
    ):
        SGD([{"parameters": []}])


# Clipping ---------------------------------------------------------------------------------------


def test_clipping_by_value():
    p, q, none = Parameter(np.zeros(5)), Parameter(0.0), Parameter([1.0])
    p.grad, q.grad = np.array([-3.0, 0.5, 2.0, math.nan, math.inf]), np.array(-7.0)
    held = p.grad
    clip_by_value([p, q, none, p], 1.5)
    assert p.grad is held
    np.testing.assert_array_equal(p.grad, [-1.5, 0.5, 1.5, math.nan, 1.5])
    assert q.grad == -1.5
    assert none.grad is None
    with pytest.raises(ValueError, match="clip_by_value: limit must be a number >= 0, got -1"):
        clip_by_value([p], -1)


def test_clipping_by_value_against_pytorch():
    torch = needs("torch")
    g = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    p, q = Parameter(np.zeros_like(g)), torch.nn.Parameter(torch.zeros(g.shape))
    p.grad, q.grad = g.copy(), torch.tensor(g)
    clip_by_value([p], 0.7)
    torch.nn.utils.clip_grad_value_([q], 0.7)
    np.testing.assert_array_equal(p.grad, q.grad.numpy())
    assert p.grad.dtype == np.float32
    assert (p.grad != g).any()


# By name ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adagrad", "rmsprop", "adamw", "adadelta"])
def test_keras_knows_them_by_name(name):
    kind = {"adagrad": Adagrad, "rmsprop": RMSprop, "adamw": AdamW, "adadelta": Adadelta}[name]
    x = np.random.default_rng(0).standard_normal((12, 3))
    model = Sequential([KerasDense(1)], rng=0)
    model.compile(name, "mse")
    losses = model.fit(x, x[:, :1] + 5, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert isinstance(model.optimizer, kind)
    assert model.optimizer.lr == 0.001


# Schedules --------------------------------------------------------------------------------------

TIMES = np.linspace(0, 1, 21)


def test_schedules_against_formulas():
    np.testing.assert_allclose([exponential(0.01)(t) for t in TIMES], 10 ** (-2 * TIMES))
    np.testing.assert_allclose([linear(0.2, 0.6)(t) for t in TIMES], 0.2 + 0.4 * TIMES)
    np.testing.assert_allclose(
        [cosine(0.1)(t) for t in TIMES], 0.1 + 0.9 * np.cos(np.pi * TIMES / 2) ** 2, atol=1e-15
    )
    # 0.5 and 0.75 are on the grid: the fall is there, not after.
    falls = (TIMES >= 0.5).astype(int) + (TIMES >= 0.75)
    np.testing.assert_allclose([step()(t) for t in TIMES], np.array([1, 0.1, 0.01])[falls])
    warm = [warm_up(0.25, start=0.5)(t) for t in TIMES]
    np.testing.assert_allclose(warm, np.minimum(0.5 + 2 * TIMES, 1))
    both = product(warm_up(0.5), cosine())
    np.testing.assert_allclose(
        [both(t) for t in TIMES],
        np.minimum(2 * TIMES, 1) * np.cos(np.pi * TIMES / 2) ** 2,
        atol=1e-15,
    )
    assert product()(0.3) == 1


def test_schedules_in_turn():
    rate = in_turn(linear(0, 1), linear(1, 1), linear(1, 0), at=[0.25, 0.5])
    np.testing.assert_allclose(
        [rate(t) for t in TIMES], np.interp(TIMES, [0, 0.25, 0.5, 1], [0, 1, 1, 0])
    )
    assert [warm_up(0, cosine())(t) for t in TIMES] == [cosine()(t) for t in TIMES]
    assert [warm_up(1)(t) for t in (0, 0.5, 1)] == [0, 0.5, 1]
    nested = warm_up(0.5, warm_up(0.5, start=0.2))
    assert [nested(t) for t in (0.25, 0.5, 0.75)] == pytest.approx([0.5, 0.2, 1])


def test_schedules_against_pytorch():
    torch = needs("torch")
    theirs = torch.optim.lr_scheduler
    n = 40
    for ours, make in [
        (step([0.25, 0.5, 0.75], 0.3), lambda o: theirs.StepLR(o, n // 4, 0.3)),
        (step([0.2, 0.9]), lambda o: theirs.MultiStepLR(o, [8, 36])),
        (exponential(0.02), lambda o: theirs.ExponentialLR(o, 0.02 ** (1 / n))),
        (cosine(0.05), lambda o: theirs.CosineAnnealingLR(o, n, 0.05)),
        (linear(0.1, 0.8), lambda o: theirs.LinearLR(o, 0.1, 0.8, n)),
        (warm_up(0.25, start=0.2), lambda o: theirs.LinearLR(o, 0.2, 1, 10)),
        (
            product(step([0.5]), linear(0.5, 1)),
            lambda o: theirs.ChainedScheduler(
                [theirs.MultiStepLR(o, [20]), theirs.LinearLR(o, 0.5, 1, n)]
            ),
        ),
    ]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = make(optimizer)
        for k in range(n):
            assert ours(k / n) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
            optimizer.step()
            schedule.step()


def test_fit_takes_a_schedule():
    task = Sequences([[1, 3, 4, 2], [1, 3, 2]], 1, rng=0)
    model = LanguageModel(5, 4, rng=0)
    seen = []
    rule = warm_up(0.5, cosine(), start=0.1)
    optimizer = AdamW(model.parameters(), lr=0.01)

    def schedule(progress):
        seen.append(progress)
        return rule(progress)

    history = fit(model, task, optimizer, epochs=4, schedule=schedule, progress=False)
    assert seen == [k / 8 for k in range(8)]
    rates = [0.01 * rule(k / 8) for k in (1, 3, 5, 7)]
    assert [row["lr"] for row in history] == pytest.approx(rates, rel=1e-14)
    assert rates[0] < rates[1] > rates[3]


PLATEAUS = {
    "defaults": {},
    "impatient": {"factor": 0.5, "patience": 0},
    "resting": {"factor": 0.3, "patience": 2, "cooldown": 3, "threshold": 0.01},
    "bounded": {"factor": 0.2, "patience": 1, "least": 0.01},
}


@pytest.mark.parametrize("name", PLATEAUS)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_plateau_against_pytorch(name, mode):
    torch = needs("torch")
    options = PLATEAUS[name]
    ours = Plateau(**options)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    named = {"factor": 0.1, "patience": 10, "threshold": 1e-4, "cooldown": 0, **options}
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, min_lr=named.pop("least", 0.0), eps=0, **named
    )
    rng = np.random.default_rng(0)
    for t in range(200):
        value = 3 / (t + 1) + 0.1 * rng.random()
        ours.see(value if mode == "min" else -1 / value)
        theirs.step(value if mode == "min" else 1 / value)
        assert ours(t / 200) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        again = Plateau(**options)
        again.load_state_dict(ours.state_dict())
        ours = again
    assert ours(1) < 1


def test_a_plateau_is_found_where_it_was_put():
    inner, outer = Plateau(), Plateau()
    whole = product(warm_up(0.1, in_turn(cosine(), inner, at=[0.5])), outer)
    assert list(plateaus(whole)) == [inner, outer]
    assert list(plateaus(cosine())) == list(plateaus(None)) == []
    inner.now = 0.5
    assert whole(1.0) == 0.5


def test_bad_plateaus():
    for options, message in [
        ({"factor": 1.0}, "Plateau: factor must be a number >= 0 and < 1, got 1"),
        ({"patience": -1}, "Plateau: patience must be an integer >= 0, got -1"),
        ({"threshold": -1}, "Plateau: threshold must be a number >= 0"),
        ({"cooldown": -1}, "Plateau: cooldown must be an integer >= 0"),
        ({"least": -1}, "Plateau: least must be a number >= 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            Plateau(**options)


def test_bad_schedules():
    for make, message in [
        (
            lambda: step([0.5, 1.5]),
            r"step: at must be a fraction of the training from 0 to 1, got 1\.5",
        ),
        (lambda: step([0.5, 0.5]), r"step: at must be in rising order, got \[0\.5, 0\.5\]"),
        (lambda: step(factor=-1), "step: factor must be a number >= 0"),
        (lambda: exponential(0), "exponential: end must be above 0"),
        (lambda: cosine(-1), "cosine: end must be a number >= 0"),
        (lambda: linear(-1), "linear: start must be a number >= 0"),
        (lambda: warm_up(2), "warm_up: part must be a fraction of the training from 0 to 1"),
        (lambda: warm_up(start=-1), "warm_up: start must be a number >= 0"),
        (lambda: in_turn(cosine(), cosine(), at=[]), "at must have 1 times for 2 schedules, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="step: at must be a list"):
        step(0.5)
    for rule in (step(), exponential(), cosine(), linear(), warm_up()):
        with pytest.raises(ValueError, match="progress must be a fraction of the training"):
            rule(1.1)


def test_float16_is_not_trained_and_its_losses_are_float32():
    with pytest.raises(TypeError, match=r"W \(2,\) float16 has too few digits.*float32"):
        Adam([Parameter(np.ones(2, np.float16), name="W")])
    x = np.full((2, 300), 300, np.float16)  # 300² is beyond float16
    loss = mse_loss(Tensor(x, requires_grad=True), np.zeros(x.shape))
    assert loss.dtype == np.float32
    assert loss.item() == 90_000
