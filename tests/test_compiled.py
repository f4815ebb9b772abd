"""Loops compiled by numba against recorded ones, in all the ways in which a cell is run.

The tests need the extra ``fast``. Here ``fused`` runs are compiled; what is expected is what the
cell without its promise gives, recorded op by op.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import test_fused as fused_tests
from test_fused import WAYS, close, gradients_of, run, same_tapes, twin

from helpers import needs, numbers
from unspool import Parameter, Tape, Tensor, unroll
from unspool.autograd import grad
from unspool.cells import (
    GRU,
    LSTM,
    MGU,
    Bidirectional,
    Cell,
    Elman,
    PeepholeLSTM,
    ResetAfterGRU,
    Stacked,
    VariationalDropout,
    Zoneout,
    compiled,
    jit,
    kernels,
)
from unspool.models import LanguageModel, Sequences, fit

needs("numba")
KINDS = [Elman, LSTM, GRU, PeepholeLSTM, ResetAfterGRU, MGU]
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory):
    """A cache of compiled loops for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSPOOL_CACHE", str(tmp_path_factory.mktemp("compiled")))
        yield


def cell_of(kind, **options):
    return jit(fused_tests.cell_of(kind, **options))


class Coupled(Cell):
    """An own cell with coupled gates, leaves of several shapes and an output of another width."""

    states = ("h", "c")
    same_every_step = True

    def __init__(self, d_in, d_h, dtype=float, **_):
        self.d_in, self.d_h, self.d_out = d_in, d_h, 2
        rng = np.random.default_rng(0)
        for name, shape in {
            "W_f": (d_in, d_h),
            "U_f": (d_h, d_h),
            "b_f": (d_h,),
            "W_g": (d_in, d_h),
            "U_g": (d_h, d_h),
            "s": (),
            "V": (d_h, 2),
            "p": (1,),
        }.items():
            setattr(self, name, Parameter(rng.standard_normal(shape).astype(dtype)))

    def forward(self, x, state):
        h, c = state
        f = fused_tests.sigmoid(x @ self.W_f + h @ self.U_f + self.p * c + self.b_f)
        g = fused_tests.leaky_relu(x @ self.W_g + (f * h) @ self.U_g * self.s, slope=0.1)
        c = f * c + (1 - f) * np.tanh(g)
        return np.maximum(fused_tests.relu(c) * 0.9, c * f), c

    def output(self, state):
        return state[0] @ self.V


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [*KINDS, Coupled])
def test_numbers_gradients_and_tapes_are_the_recorded_ones(kind, way):
    cell = cell_of(kind)
    assert cell.compiled_threads == 1
    ours, theirs = run(cell, way), run(twin(cell), way)
    for a, b in zip((ours[2], *ours[3]), (theirs[2], *theirs[3]), strict=True):
        close(a.data, b.data)
    expected = gradients_of(cell, theirs)
    fused_tests.same_gradients(gradients_of(cell, ours), expected)
    same_tapes(Tape(ours[2], *ours[3]), Tape(theirs[2], *theirs[3]))


@every_kind
def test_float32(kind):
    cell = cell_of(kind, dtype=np.float32)

    def once(cell):
        xs = Tensor(numbers(3, 9, cell.d_in).astype(np.float32), requires_grad=True)
        return xs, (), *unroll(cell, xs, lengths=[9, 4, 0])

    ours, theirs = once(cell), once(twin(cell))
    np.testing.assert_allclose(ours[2].data, theirs[2].data, rtol=2e-6, atol=2e-6)
    expected = gradients_of(cell, theirs)
    for name, g in gradients_of(cell, ours).items():
        assert g.dtype == np.float32
        assert abs(g - expected[name]).max() <= 2e-6 * max(1, abs(expected[name]).max()), name


def test_tanh_and_the_sigmoid_in_float32():
    """To 3e-7, at every size, and NaN where there is one."""
    numba = kernels.numba_or_none()
    fast = kernels.fast_functions("f")
    x = np.concatenate([np.linspace(-30, 30, 10_001), [1e-30, -1e-4, 1e4, np.inf, -np.inf, np.nan]])
    x = x.astype(np.float32)
    exact = x.astype(float)
    for name, wanted in {
        "tanh": np.tanh(exact),
        "sigmoid": 1 / (1 + np.exp(-np.clip(exact, -700, 700))),
        "relu": np.maximum(exact, 0),
    }.items():
        with np.errstate(all="ignore"):
            found = numba.vectorize(fast[name].py_func)(x)
        np.testing.assert_allclose(found, wanted, 3e-7, 3e-7)


def test_loops_are_compiled_and_shared(monkeypatch):
    runs = []
    block = compiled.CompiledBlock.run
    monkeypatch.setattr(compiled.CompiledBlock, "run", lambda *a: runs.append(a[0]) or block(*a))
    before = len(compiled._made)
    for batch in (2, 3, 5):
        cell = jit(LSTM(7, 5, rng=0))
        ys, _ = unroll(cell, np.ones((batch, 4, 7), np.float32))
        ys.sum().backward()
    assert len(runs) == 6
    assert len(compiled._made) == before + 2  # one forward and one back


@pytest.mark.parametrize("batch", [1, 8, 13])
def test_threads_give_the_same_numbers(batch):
    results = []
    for threads in (1, 2):
        cell = jit(fused_tests.cell_of(LSTM), threads=threads)
        cell.compiled_threads = threads  # also on a machine with one processor
        xs = Tensor(numbers(batch, 5, cell.d_in), requires_grad=True)
        results.append(gradients_of(cell, (xs, (), *unroll(cell, xs))))
    fused_tests.same_gradients(*results)


def test_a_batch_is_split_over_threads():
    """Into parts of at least four sequences, and not where a step may mix them."""

    class Biased(OneGate):
        def forward(self, x, state):
            return (super().forward(x, state)[0] + self.each,)

    class Centred(OneGate):
        def forward(self, x, state):
            (h,) = super().forward(x, state)
            return (h - h.mean(axis=0),)

    centred = Centred(fused_tests.D, fused_tests.H)
    cell, biased = jit(cell_of(LSTM), threads=2), Biased(fused_tests.D, fused_tests.H)
    biased.each = Parameter(numbers(9, fused_tests.H))
    for each in (cell, biased, centred):
        each.same_every_step, each.compiled_threads = True, 2
    for each, batch, parts in ((cell, 7, 1), (cell, 9, 2), (biased, 9, 1), (centred, 9, 1)):
        xs = Tensor(numbers(batch, 5, each.d_in), requires_grad=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ys, _ = unroll(each, xs)
        told = [str(w.message) for w in caught]
        assert len(told) == (each is not cell), told
        assert all("a loop over time runs in NumPy: " in text for text in told)
        run = ys._record[4]._record[2]["run"]
        assert len(run.runs) == parts


def test_products_by_another_blas(monkeypatch):
    """SciPy's, where NumPy has no OpenBLAS of its own."""
    monkeypatch.setattr(kernels, "numpy_blas", lambda name: None)
    kernels.product.cache_clear()
    try:
        assert kernels.product("d")[0] == "SciPy"
        cell = cell_of(LSTM)
        ours, theirs = run(cell), run(twin(cell))
        close(ours[2].data, theirs[2].data)
        expected = gradients_of(cell, theirs)
        fused_tests.same_gradients(gradients_of(cell, ours), expected)
    finally:
        kernels.product.cache_clear()


def test_composites_wrappers_and_second_derivatives():
    inner = VariationalDropout(fused_tests.cell_of(LSTM), 0.3, 0.3, rng=1)
    net = Stacked([Bidirectional(fused_tests.cell_of(GRU, 6), fused_tests.cell_of(GRU, 6, 1))])
    assert jit(net) is net
    jit(inner)
    assert inner.cell.compiled_threads == net.members[0].forward.compiled_threads == 1
    assert inner.sampled().compiled_threads == 1
    cell = cell_of(GRU)

    def penalty(cell):
        def loss(xs):
            return np.sum(np.sin(unroll(cell, xs)[0]))

        return grad(lambda xs: np.sum(grad(loss)(xs) ** 2))(numbers(2, 3, cell.d_in))

    np.testing.assert_allclose(penalty(cell), penalty(twin(cell)), rtol=1e-10, atol=1e-12)


def test_what_cannot_be_compiled_says_why_and_runs_as_before():
    class Summed(Cell):
        def __init__(self, d_in, d_h, **_):
            self.d_in, self.d_h, self.W = d_in, d_h, Parameter(numbers(d_in, d_h))

        def forward(self, x, state):
            return (np.tanh(x @ self.W + np.cumsum(state[0], axis=-1)),)

    cell = Summed(fused_tests.D, fused_tests.H)
    match = "Summed runs as before: a loop of machine code has no cumsum in a step"
    with pytest.warns(RuntimeWarning, match=match):
        jit(cell)
    assert cell.compiled_threads == 0
    close(run(cell)[2].data, run(twin(cell))[2].data)
    with pytest.warns(RuntimeWarning, match="Zoneout runs as before: it draws noise"):
        jit(Zoneout(fused_tests.cell_of(LSTM)))
    with pytest.raises(TypeError, match=r"expected a Module, as LSTM\(3, 4\), got 3"):
        jit(3)


class OneGate(Cell):
    """A cell as one writes it, without a promise."""

    def __init__(self, d_in, d_h, rng=0):
        self.d_in, self.d_h = d_in, d_h
        for name, *shape in (("W_f", d_in, d_h), ("W_h", d_in, d_h), ("U", d_h, d_h), ("b", d_h)):
            setattr(self, name, Parameter(numbers(*shape, seed=rng)))

    def forward(self, x, state):
        (h,) = state
        f = fused_tests.sigmoid(x @ self.W_f + h @ self.U + self.b)
        return (f * h + (1 - f) * np.tanh(x @ self.W_h),)


def test_an_own_cell_compiles_without_a_promise():
    cell, recorded = (
        jit(OneGate(fused_tests.D, fused_tests.H)),
        OneGate(fused_tests.D, fused_tests.H),
    )
    assert (cell.same_every_step, cell.compiled_threads) == (True, 1)
    results = [run(each) for each in (cell, recorded)]
    assert [fused_tests.is_fused(r[2]) for r in results] == [True, False]
    expected = gradients_of(recorded, results[1])
    fused_tests.same_gradients(gradients_of(cell, results[0]), expected)
    same_tapes(*(Tape(r[2], *r[3]) for r in results))
    other = jit(OneGate(fused_tests.D, fused_tests.H), only_promised=True)
    assert not other.compiled_threads


def test_an_own_cell_whose_steps_differ_is_recorded():
    class Counting(OneGate):
        count = 0

        def forward(self, x, state):
            Counting.count += 1
            return (super().forward(x, state)[0] * Counting.count,)

    cell = Counting(fused_tests.D, fused_tests.H)
    with pytest.warns(RuntimeWarning, match="Counting runs as before: two steps differ"):
        jit(cell)
    assert (cell.same_every_step, cell.compiled_threads) == (False, 0)


def test_without_the_extra(monkeypatch):
    monkeypatch.setattr("unspool.cells.fast.numba_or_none", lambda: None)
    with pytest.raises(ImportError, match=r'pip install "unspool\[fast\]"'):
        jit(LSTM(2, 3))


SCRIPT = """
import numpy as np
from unspool import unroll
from unspool.cells import LSTM, compiled, jit
cell = jit(LSTM(3, 4, rng=0))
ys, _ = unroll(cell, np.ones((2, 5, 3), np.float32))
ys.sum().backward()
hits = [sum(f.stats.cache_hits.values()) for f in compiled._made.values()]
print(sum(hits), float(abs(cell.U_f.grad).sum()))
"""


def in_a_new_process(folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        capture_output=True,
        text=True,
        env={**os.environ, "UNSPOOL_CACHE": str(folder)},
    )
    assert not done.returncode, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_the_cache_on_disk(tmp_path):
    """The next process compiles nothing; damaged, foreign and read-only caches do no harm."""
    first, second = in_a_new_process(tmp_path), in_a_new_process(tmp_path)
    assert (first[0], second[0]) == ("0", "2")
    for damage in (b"", b"damaged" * 99):
        for path in (tmp_path / "unspool" / "compiled" / "__pycache__").iterdir():
            path.write_bytes(damage)
        assert in_a_new_process(tmp_path) == ["0", first[1]]
    others = tmp_path / "others"
    (others / "unspool" / "compiled").mkdir(parents=True)
    (others / "unspool" / "compiled").chmod(0o777)  # anyone may have written there
    assert in_a_new_process(others) == ["0", first[1]]
    assert not [*(others / "unspool" / "compiled").iterdir()]
    (tmp_path / "file").write_text("no folder")
    assert in_a_new_process(tmp_path / "file") == ["0", first[1]]


def test_fit_compiles_and_a_resumed_run_has_the_same_bits(tmp_path):
    def trained(epochs, path=None, **options):
        model = LanguageModel(vocab_size=6, d=5, dropout=0.2, rng=0)
        task = Sequences([[1, 3, 4, 3, 4, 2], [1, 5, 2]] * 3, rng=0)
        history = fit(model, task, epochs=epochs, checkpoint=path, progress=False, **options)
        return history, [p.data.tobytes() for p in model.parameters()]

    history, whole = trained(4)
    assert [row["jit"] for row in history] == [1] * 4
    trained(2, tmp_path / "ckpt.npz")
    assert trained(4, tmp_path / "ckpt.npz")[1] == whole
    with pytest.raises(ValueError, match="jit was True, now False"):
        trained(4, tmp_path / "ckpt.npz", jit=False)
    history, plain = trained(4, jit=False)
    assert "jit" not in history[0]
    assert plain != whole
    trained(2, tmp_path / "plain.npz", jit=False)
    assert trained(4, tmp_path / "plain.npz")[1] == plain  # as the checkpoint says
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unspool.models.training.loop.jit_available", lambda: False)
        with pytest.raises(ValueError, match=r"needs the extra fast: pip install"):
            trained(4, tmp_path / "ckpt.npz")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(value):
    """A training stops at the first NaN: a compiled loop may not lose it."""
    cell = cell_of(LSTM)
    xs = numbers(2, 4, cell.d_in)
    xs[0, 1, 0] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = unroll(cell, xs)[0].data, unroll(twin(cell), xs)[0].data
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))


@pytest.mark.parametrize("stream", [None, "closed"])
def test_without_a_console_it_compiles_in_silence(stream, monkeypatch):
    if stream:
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    with compiled.progress(None):
        done = True
    assert done
