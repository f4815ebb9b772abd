"""Trainings that stop and go on: bit for bit, from files that are whole or the ones before."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from helpers import posix
from unspool import Parameter
from unspool.cells import (
    GRU,
    LSTM,
    Bidirectional,
    Elman,
    Module,
    VariationalDropout,
    load_npz,
    save_npz,
)
from unspool.files import load_described, save_described, unfinished
from unspool.models import (
    CRF,
    SGD,
    Acceptor,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    BagClassifier,
    Dropout,
    Embedding,
    EncoderDecoder,
    LanguageModel,
    Pairs,
    RMSprop,
    Sequences,
    Stream,
    TextCNN,
    Transducer,
    fit,
)
from unspool.models.text.batches import Labelled
from unspool.models.training.checkpoint import (
    FORMAT,
    VERSION,
    generators,
    packed,
    random_states,
    set_random_states,
    unpacked,
)
from unspool.models.training.schedules import Plateau, cosine, product, warm_up

CYCLE = np.tile([1, 3, 4, 5, 6, 7, 2], 30)
SENTENCES = [[1, *range(3, 3 + n), 2] for n in (1, 2, 3, 5, 4, 2, 3)]
TIMES = ("seconds", "tokens_per_second")


# The trainings under test: a model, a task, an optimiser, and what else fit is given.


def words(d=6):
    return Embedding(9, d, rng=1)


def language_model():
    cell = functools.partial(LSTM)
    model = LanguageModel(9, 10, cell=cell, layers=2, dropout=0.3, rng=0)
    task = Stream(CYCLE, 3, 7, reset=0.3, rng=1)
    options = {"validation": Stream(CYCLE[:40], 2, 7), "clip": 1.0, "schedule": cosine()}
    return model, task, Adam(model.parameters(), 0.02), options


def sequences():
    model = LanguageModel(9, 10, cell=GRU, tied=False, dropout=0.2, rng=0)
    optimizer = AdamW(
        [
            {"parameters": [model.embedding.E], "scale": 0.1},
            {"parameters": model.parameters()[1:], "weight_decay": 0.1},
        ],
        0.01,
    )
    plateau = Plateau(0.5, patience=0, threshold=0.05, cooldown=1)
    options = {"validation": Sequences(SENTENCES), "schedule": product(warm_up(0.3), plateau)}
    return model, Sequences(SENTENCES, 2, rng=3), optimizer, options | {"clip_value": 0.05}


def variational():
    def cell(d_in, d_h, rng=None, dtype=np.float32):
        return VariationalDropout(Elman(d_in, d_h, rng=rng, dtype=dtype), 0.2, 0.2, rng=rng)

    model = LanguageModel(9, 10, cell=cell, rng=0)
    return model, Sequences(SENTENCES, 3, rng=3), SGD(model.parameters(), 0.3, momentum=0.9), {}


def acceptor():
    network = Bidirectional(LSTM(6, 5, rng=0), LSTM(6, 5, rng=1))
    model = Acceptor(network, 2, embedding=words(), dropout=0.2, rng=4)
    task = Labelled(SENTENCES, [0, 1, 1, 0, 1, 0, 1], 2, rng=0)

    def accuracy(model, task):
        return float(np.mean([model.predict(x, n) == y for x, y, n in [next(task.batches(0))]]))

    options = {"validation": task, "metrics": {"accuracy": accuracy}, "mode": "max"}
    return (
        model,
        task,
        RMSprop(model.parameters(), 0.01, centered=True, momentum=0.5),
        {
            **options,
            "monitor": "validation_accuracy",
        },
    )


def bag():
    model = BagClassifier(words(), 3, hidden=[4], dropout=0.2, rng=4)
    task = Labelled(SENTENCES, [0, 1, 2, 0, 1, 2, 1], 2)  # without a seed of its own
    return model, task, Adagrad(model.parameters(), 0.1), {}


def cnn():
    model = TextCNN(6, 3, widths=(2, 3), filters=4, embedding=words(), dropout=0.2, rng=4)
    task = Labelled(SENTENCES, [0, 1, 2, 0, 1, 2, 1], 2, rng=8)
    return model, task, Adadelta(model.parameters()), {}


def tagger():
    network = Bidirectional(GRU(6, 5, rng=0), GRU(6, 5, rng=1))
    model = Transducer(network, 3, embedding=words(), crf=CRF(3), dropout=0.2, rng=4)
    task = Labelled(SENTENCES, [np.array(s) % 3 for s in SENTENCES], 2, rng=0)
    return model, task, Adam(model.parameters(), 0.02), {"validation": task}


def pairs():
    model = EncoderDecoder(9, 9, 6, bidirectional=True, attention="additive", dropout=0.2, rng=0)
    task = Pairs(SENTENCES, SENTENCES, 2, sampling=0.4, rng=5)
    return model, task, Adam(model.parameters(), 0.02), {}


TRAININGS = {
    made.__name__: made
    for made in (language_model, sequences, variational, acceptor, bag, cnn, tagger, pairs)
}


class Stopped(Exception):
    pass


def stopping(task, after):
    """Let a task raise instead of computing the loss of a batch to learn from."""
    loss = type(task).loss

    def counted(self, model, batch, carry):
        nonlocal after
        if model.training:
            if not after:
                raise Stopped
            after -= 1
        return loss(self, model, batch, carry)

    return counted


def plain(history):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in history]


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


# Bit for bit ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("stops", [[1], [2, 3], [5, 1, 1, 4], [9]])
def test_a_training_goes_on_bit_for_bit(name, stops, tmp_path, monkeypatch):
    path = tmp_path / "training.npz"
    call = {"epochs": 4, "checkpoint": path, "every": 0, "progress": False}
    for after in stops:
        model, task, optimizer, options = TRAININGS[name]()
        with monkeypatch.context() as patch:
            patch.setattr(type(task), "loss", stopping(task, after))
            with pytest.raises(Stopped):
                fit(model, task, optimizer, **call, **options)
    model, task, optimizer, options = TRAININGS[name]()
    history = fit(model, task, optimizer, **call, **options)

    other, whole_task, whole_optimizer, others = TRAININGS[name]()
    whole_task.seed = task.seed  # what the first call drew, where the user gave none
    if "validation" in options:
        others["validation"].seed = options["validation"].seed
    whole = fit(other, whole_task, whole_optimizer, epochs=4, progress=False, **others)
    assert plain(history) == plain(whole)
    assert_same(model.state_dict(), other.state_dict())
    assert_same(optimizer.state_dict(), whole_optimizer.state_dict())
    assert random_states(generators(model)) == random_states(generators(other))
    assert len(history) == 4
    assert history[-1]["updates"] == 4 * len(task)
    assert history[-1]["seconds"] > history[0]["seconds"]


def test_between_passes_only(tmp_path, monkeypatch, capsys):
    """A long pause between checkpoints: a stopped pass is learnt anew from its beginning."""
    path = tmp_path / "training.npz"
    call = {"epochs": 3, "checkpoint": path, "every": 1e9, "progress": False}
    model, task, optimizer, options = language_model()
    with monkeypatch.context() as patch:
        patch.setattr(Stream, "loss", stopping(task, 2 * len(task) + 3))
        with pytest.raises(Stopped):
            fit(model, task, optimizer, **call, **options)
    model, task, optimizer, options = language_model()
    history = fit(model, task, optimizer, **(call | {"progress": True}), **options)
    assert f", after update {2 * len(task)}\n" in capsys.readouterr().err
    other, task, optimizer, options = language_model()
    assert plain(history) == plain(fit(other, task, optimizer, epochs=3, progress=False, **options))
    assert_same(model.state_dict(), other.state_dict())


def test_a_finished_training_is_read_and_a_longer_one_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "training.npz"
    call = {"checkpoint": path, "progress": False}
    model, task, optimizer, options = sequences()
    del options["schedule"]  # which would know how long the training is
    history = fit(model, task, optimizer, epochs=2, **call, **options)
    again, task, optimizer, _ = sequences()
    with monkeypatch.context() as patch:
        patch.setattr(Sequences, "loss", stopping(task, 0))
        assert fit(again, task, optimizer, epochs=2, **call, **options) == history
    assert_same(again.state_dict(), model.state_dict())
    longer, task, optimizer, _ = sequences()
    history = fit(longer, task, optimizer, epochs=5, **call, **options)
    other, task, optimizer, _ = sequences()
    assert plain(history) == plain(fit(other, task, optimizer, epochs=5, progress=False, **options))
    assert_same(longer.state_dict(), other.state_dict())
    anew, task, optimizer, _ = sequences()
    history = fit(anew, task, optimizer, epochs=2, resume=False, **call, **options)
    assert_same(anew.state_dict(), model.state_dict())
    assert len(history) == 2


def test_patience_is_remembered(tmp_path):
    path = tmp_path / "training.npz"
    task = sequences()[1]

    def call(epochs, patience):
        model = sequences()[0]
        return fit(
            model,
            task,
            SGD(model.parameters(), 0.0),  # which never gets better than after the first pass
            epochs=epochs,
            validation=task,
            patience=patience,
            checkpoint=path,
            progress=False,
        )

    assert len(call(2, 3)) == 2
    assert len(call(9, 3)) == 4
    assert len(call(9, 3)) == 4
    assert len(call(9, 5)) == 6


def test_it_says_that_it_goes_on(tmp_path, capsys):
    for epochs in (1, 2):
        model, task, optimizer, options = sequences()
        fit(model, task, optimizer, epochs=epochs, checkpoint=tmp_path / "t.npz", **options)
    err = capsys.readouterr().err
    assert err.count("resuming from") == 1
    assert f"resuming from {tmp_path / 't.npz'}, after update 4\n" in err


# Gone astray ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("how", ["overflow", "NaN"])
def test_a_training_that_goes_astray_has_its_last_good_model(name, how, tmp_path, monkeypatch):
    """It stops, says where it began, and the checkpoint is still that of a good moment."""
    model, task, optimizer, options = TRAININGS[name]()
    loss, count, good, named = type(task).loss, 0, [], []
    best_first = {**options, "validation": None, "metrics": None, "monitor": "validation_loss"}

    def spoiled(self, model, batch, carry):
        nonlocal count
        if model.training:
            count += 1
            if count == len(task) + 2:
                matrices = [(n, p) for n, p in model.named_parameters() if p.ndim > 1]
                for path, matrix in matrices[-1:] if how == "NaN" else matrices:
                    named.append(path)
                    matrix.data[...] = np.nan if how == "NaN" else 3e38
        return loss(self, model, batch, carry)

    monkeypatch.setattr(type(task), "loss", spoiled)
    path = tmp_path / "training.npz"
    with pytest.raises(FloatingPointError) as error, np.errstate(all="ignore"):
        fit(
            model,
            task,
            optimizer,
            epochs=3,
            save=lambda: good.append(model.state_dict()),
            checkpoint=path,
            every=0,
            progress=False,
            **best_first,
        )
    message = str(error.value)
    assert f"in epoch 2, batch 2 (update {len(task) + 2})" in message
    assert "its parameters of epoch 1 again" in message
    if how == "NaN":
        assert f"not finite before this batch: {named[0]}" in message
    else:
        assert "; it began at: " in message
    assert len(good) == 1
    assert_same(model.state_dict(), good[0])
    state = load_described(path, FORMAT, VERSION)[1]
    assert all(np.isfinite(array).all() for array in state.values())


def test_where_a_nan_began_is_said_also_of_dropout(monkeypatch):
    """Only where dropout leaves most elements does their sum overflow: they are drawn once more."""
    drop = Dropout(0.5, rng=0)

    class Model(Module):
        def __init__(self):
            self.p = Parameter(np.full(8, 2e38, np.float32))
            self.drop = drop

        def loss(self, batch):
            return np.sum(self.drop(self.p * batch)) * 1e-38

    class Task:
        def __len__(self):
            return 60

        def batches(self, epoch):
            return iter([np.float32(0.16)] * 60)  # five elements of 6.4e37 fit, six do not

        def loss(self, model, batch, carry):
            return model.loss(batch), 1, None

    model = Model()
    with pytest.raises(FloatingPointError, match=r"the loss is inf .*; it began at: sum"):
        fit(model, Task(), SGD(model.parameters(), 0.0), epochs=1, progress=False)


# Killed -----------------------------------------------------------------------------------------

PROGRAM = """
import os, signal, sys
import numpy as np
from unspool.cells import LSTM
from unspool.models import Adam, LanguageModel, Stream, fit
from unspool.models.training.schedules import Plateau, cosine, product

checkpoint, out, at, where = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

if where == "write":  # killed in the middle of a file: half of it is there
    whole, count = os.fsync, 0
    def fsync(handle):
        global count
        count += 1
        if count == at:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
            die()
        whole(handle)
    os.fsync = fsync
if where == "replace":  # killed when the file is written, and has not its name yet
    whole, count = os.replace, 0
    def replace(*args):
        global count
        count += 1
        if count == at:
            die()
        whole(*args)
    os.replace = replace
model = LanguageModel(9, 12, cell=LSTM, layers=2, dropout=0.3, rng=0)
text = np.tile([1, 3, 4, 5, 6, 7, 2, 8], 60)
task = Stream(text, 4, 6, reset=0.2, rng=1)
if where == "batch":
    loss, count = Stream.loss, 0
    def counted(self, *args):
        global count
        count += 1
        if count == at:
            die()
        return loss(self, *args)
    Stream.loss = counted
history = fit(
    model, task, Adam(model.parameters(), 0.02), epochs=3,
    validation=Stream(text[:90], 2, 6), clip=1.0,
    schedule=product(cosine(0.1), Plateau(0.5, 0)),
    checkpoint=checkpoint, every=0, progress=False,
)
from unspool.cells import save_npz
rows = [[v for k, v in row.items() if k not in ("seconds", "tokens_per_second")] for row in history]
save_npz(out, {**model.state_dict(), "history": np.array(rows)})
"""


def start(folder, out, at=0, where=""):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "training.npz", out, str(at), where],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def finished(process):
    _, err = process.communicate(timeout=100)
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the program comes to when nobody kills it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert finished(start(folder, "out.npz"))
    return load_npz(folder / "out.npz")


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    ("where", "at"),
    [("batch", 1), ("batch", 30), ("write", 1), ("write", 2), ("write", 21), ("replace", 13)],
)
def test_killed_at_a_place(where, at, tmp_path, undisturbed):
    assert not finished(start(tmp_path, "out.npz", at, where))
    assert not (tmp_path / "out.npz").exists()
    left = unfinished(tmp_path / "training.npz")
    assert len(left) == (where != "batch")
    assert (tmp_path / "training.npz").exists() == (at > 1)
    if at > 1:
        load_described(tmp_path / "training.npz", FORMAT, VERSION)  # whole
    assert finished(start(tmp_path, "out.npz"))
    assert_same(load_npz(tmp_path / "out.npz"), undisturbed)
    if at > 1:
        assert not unfinished(tmp_path / "training.npz")


@pytest.mark.slow
@posix
def test_killed_again_and_again_at_any_moment(tmp_path, undisturbed):
    rng = random.Random(0)
    kills = 0
    while True:
        process = start(tmp_path, "out.npz")
        try:
            begun = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < begun:
                if (tmp_path / "training.npz").exists():
                    break
                time.sleep(0.01)
            if kills < 4:  # later than the imports, before the end
                time.sleep(rng.uniform(0.3, 0.8) if kills else rng.uniform(0, 0.1))
                process.send_signal(signal.SIGKILL)
                kills += 1
            if finished(process):
                break
        finally:
            process.kill()
            process.wait()
    assert_same(load_npz(tmp_path / "out.npz"), undisturbed)


# A full disk ------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_checkpoint_and_training_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "training.npz"
    model, task, optimizer, options = sequences()
    del options["schedule"]
    fit(model, task, optimizer, epochs=1, checkpoint=path, progress=False, **options)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    model, task, optimizer, _ = sequences()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.warns(RuntimeWarning, match=r"was not written, the one before stays.*No space"):
            history = fit(
                model, task, optimizer, epochs=3, checkpoint=path, progress=False, **options
            )
    assert len(history) == 3
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["training.npz"]
    other, task, optimizer, _ = sequences()
    whole = fit(other, task, optimizer, epochs=3, checkpoint=path, progress=False, **options)
    assert plain(whole) == plain(history)
    assert_same(model.state_dict(), other.state_dict())


LIMITED = """
import resource, sys
import numpy as np
from unspool.models import LanguageModel, Sequences, fit
model = LanguageModel(9, 12, rng=0)
task = Sequences([[1, 3, 4, 2], [1, 5, 2]], 1, rng=0)
fit(model, task, epochs=1, checkpoint="t.npz", progress=False)
old = open("t.npz", "rb").read()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
history = fit(model, task, epochs=3, checkpoint="t.npz", progress=False)
assert len(history) == 3 and open("t.npz", "rb").read() == old
import os
assert os.listdir() == ["t.npz"], os.listdir()
print("the end")
"""


@posix
def test_the_kernel_refuses_to_write(tmp_path):
    """A limit on the size of files: the write itself fails, as on a full disk."""
    result = subprocess.run(
        [sys.executable, "-c", LIMITED],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "the end\n"
    assert "the checkpoint t.npz was not written, the one before stays" in result.stderr
    assert "File too large" in result.stderr


# What does not fit ------------------------------------------------------------------------------


def trained(path, **changes):
    """A training with one thing or the other in another way."""
    model = LanguageModel(9, changes.pop("d", 8), cell=changes.pop("cell", LSTM), rng=0)
    if changes.pop("frozen", False):
        model.embedding.freeze()
    task = Sequences(changes.pop("sequences", SENTENCES), changes.pop("batch", 2), rng=0)
    make = changes.pop("optimizer", Adam)
    options = {"validation": Sequences(SENTENCES), "clip": 1.0, "epochs": 1, **changes}
    return fit(
        model,
        task,
        make(model.parameters(), options.pop("lr", 0.01)),
        checkpoint=path,
        progress=False,
        **options,
    )


OTHER = {
    "width": ({"d": 10}, r"model\.embedding\.E was float32 \(9, 8\), now float32 \(9, 10\)"),
    "cell": ({"cell": GRU}, r"model\.cell\.W_z is new, now float32 \(8, 8\)"),
    "lost": ({"cell": Elman}, r"model\.cell\.W_f was float32 \(8, 8\), and is absent now"),
    "frozen": ({"frozen": True}, r"E was float32 \(9, 8\), now float32 \(9, 8\) frozen"),
    "batch": ({"batch": 3}, r"task\.batch was 2, now 3; task, batches was 4, now 3"),
    "data": ({"sequences": SENTENCES[::-1]}, r"task\.sequences was \[.*checksum"),
    "rate": ({"lr": 0.1}, r"optimizer\.lr was 0\.01, now 0\.1"),
    "optimizer": ({"optimizer": SGD}, "optimizer was Adam, now SGD"),
    "clip": ({"clip": 2.0}, r"clip was 1\.0, now 2\.0"),
    "validation": ({"validation": None}, "validation was Sequences, now None"),
    "monitor": ({"monitor": "loss"}, "monitor was validation_loss, now loss"),
    "plateau": ({"schedule": Plateau()}, r"schedule, plateaus was \[\], now \[\[0\.1, 10"),
}


@pytest.mark.parametrize("name", OTHER)
def test_the_checkpoint_of_another_training(name, tmp_path):
    changes, message = OTHER[name]
    path = tmp_path / "t.npz"
    trained(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message) as error:
        trained(path, **changes)
    text = str(error.value)
    assert text.startswith(f"fit: {path} is the checkpoint of another training: ")
    assert text.endswith(". Give another checkpoint=, or resume=False to begin anew")
    assert path.read_bytes() == before
    assert len(trained(path, resume=False, **changes)) == 1


def test_what_may_change(tmp_path):
    trained(tmp_path / "t.npz")
    assert len(trained(tmp_path / "t.npz", epochs=2, patience=3, seconds=100, every=5)) == 2


def test_files_that_are_no_checkpoints(tmp_path):
    path = tmp_path / "t.npz"
    trained(path)
    whole = path.read_bytes()
    for content in (whole[:-100], whole[: len(whole) // 2], b"", b"a text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"fit: .*t\.npz.*resume=False to begin anew"):
            trained(path)
    path.write_bytes(whole)
    header, arrays = load_described(path, FORMAT, VERSION)
    save_npz(path, arrays)
    with pytest.raises(ValueError, match="is no unspool checkpoint: it has no header"):
        trained(path)
    save_described(path, "x", VERSION, header | {"format": "unspool model"}, arrays)
    with pytest.raises(ValueError, match="it has the format 'unspool model'"):
        trained(path)
    save_described(path, FORMAT, VERSION, header | {"version": 99}, arrays)
    with pytest.raises(ValueError, match="is of version 99, this unspool reads version 1"):
        trained(path)
    save_npz(path, {**arrays, "header": np.frombuffer(b"[1", np.uint8)})
    with pytest.raises(ValueError, match="its header is damaged"):
        trained(path)
    del header["state"]
    save_described(path, FORMAT, VERSION, header, arrays)
    with pytest.raises(ValueError, match="is damaged: it has no state"):
        trained(path)
    with pytest.raises(ValueError, match="is a folder"):
        trained(tmp_path)


def test_bad_settings_of_checkpoints(tmp_path, monkeypatch):
    trained(tmp_path / "new" / "folder" / "t.npz")
    assert (tmp_path / "new" / "folder" / "t.npz").exists()
    with pytest.raises(OSError, match=r"t\.npz"):
        trained(tmp_path / "new" / "folder" / "t.npz" / "t.npz")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(PermissionError, match="no checkpoint can be written in"):
            trained(tmp_path / "t.npz")
    with pytest.raises(ValueError, match="fit: every must be a number >= 0, got -1"):
        trained(tmp_path / "t.npz", every=-1)


class Odd:
    """A task that carries what no checkpoint holds."""

    def __len__(self):
        return 2

    def batches(self, epoch):
        return iter(SENTENCES[:2])

    def loss(self, model, batch, carry):
        return model.loss(batch), len(batch) - 1, (carry, {1, 2})


def test_what_a_checkpoint_cannot_hold(tmp_path):
    model = LanguageModel(9, 4, rng=0)
    with pytest.raises(TypeError, match=r"state\.pass\.carry\.1 is a set"):
        fit(model, Odd(), checkpoint=tmp_path / "t.npz", every=0, progress=False)


# The parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_kind_of_generator_goes_on(kind, tmp_path):
    def make():
        return np.random.Generator(getattr(np.random, kind)(3))

    rng = make()
    rng.random(1000, np.float32)
    rng.integers(5, dtype=np.uint32)
    arrays = {}
    text = json.dumps(packed(random_states([rng]), "rngs", arrays))
    save_npz(tmp_path / "a.npz", arrays)
    other = make()
    set_random_states([other], unpacked(json.loads(text), load_npz(tmp_path / "a.npz")))
    np.testing.assert_array_equal(other.standard_normal(700), rng.standard_normal(700))
    assert other.integers(7, size=9, dtype=np.uint32).tolist() == (
        rng.integers(7, size=9, dtype=np.uint32).tolist()
    )


def test_generators_are_found_once_and_in_order():
    shared, own = np.random.default_rng(0), np.random.default_rng(1)
    cell = VariationalDropout(LSTM(3, 3), 0.1, rng=own)
    model = Acceptor(cell, 2, rng=shared)
    assert generators(model, {"a": [(own, shared)]}) == [own, shared]
    circle = [own]
    circle.append(circle)
    assert generators(circle, np.random, LSTM, None, "text") == [own]


def test_floats_come_back_as_they_were(tmp_path):
    values = {"a": [0.1, 1e-300, float("inf"), 2**70, None, True], "b": (1, ["é"], {})}
    arrays = {}
    again = unpacked(json.loads(json.dumps(packed(values, "v", arrays))), arrays)
    assert again == values
    assert type(again["b"]) is tuple
    assert np.isnan(unpacked(json.loads(json.dumps(packed(np.nan, "v", {}))), {}))
