"""Killed at any moment: the old file or the new one, and the same numbers after resuming."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from reliability.campaigns import TEXT, command, posix, python, times
from unspool.files import load_npz, locked, save_npz, write_atomically
from unspool.models import load_model

pytestmark = [pytest.mark.slow, posix]

TRAIN = ["train", "lm", "text.txt", "--out", "run", "--width", "8", "--epochs", "2"]
OPTIONS = ["--every", "0", "--minimum-count", "1", "--steps", "10", "--batch", "4"]

# Kills its process at a certain call of os.write's kin, fsync or rename.
AT_A_CALL = """
import os, signal, sys
import unspool.cli.data as data, unspool.cli.train as train, unspool.files as files
from unspool.__main__ import main
train.LARGE = int(os.environ.get("LARGE", train.LARGE))
kind, at = sys.argv[1], int(sys.argv[2])
count = 0
def counted(call):
    def replacement(*args, **options):
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return replacement
if kind == "write":
    write = files.np.lib.format.write_array
    files.np.lib.format.write_array = counted(write)
elif kind == "numbers":
    data.PIECE = 50
    data.Numbered.add = counted(data.Numbered.add)
elif kind:
    setattr(os, kind, counted(getattr(os, kind)))
sys.exit(main(sys.argv[3:]))
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "text.txt").write_text(TEXT)
    assert command(folder, *TRAIN, *OPTIONS).returncode == 0
    return load_npz(folder / "run" / "model.npz")


def resumed(folder, undisturbed):
    """Resume a training that was killed, and compare what it ends with."""
    if (folder / "run" / "model.npz").exists():
        load_model(folder / "run" / "model.npz")
    run = command(folder, *TRAIN, *OPTIONS)
    assert run.returncode == 0, run.stderr
    for name, array in load_npz(folder / "run" / "model.npz").items():
        np.testing.assert_array_equal(array, undisturbed[name])
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {"config.json", "checkpoint.npz", "model.npz", "history.csv"}


def test_killed_at_random(tmp_path, undisturbed, campaign):
    draw = random.Random(0)
    (tmp_path / "text.txt").write_text(TEXT)
    for _ in range(times(5)):
        process = subprocess.Popen(
            [sys.executable, "-m", "unspool", *TRAIN, *OPTIONS],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(draw.uniform(0.4, 2.0))
        process.kill()
        campaign["killed" if process.wait() < 0 else "ended"] += 1
    resumed(tmp_path, undisturbed)


@pytest.mark.parametrize("kind", ["write", "fsync", "replace", "link"])
def test_killed_at_every_call_of_a_save(kind, tmp_path, undisturbed, campaign):
    (tmp_path / "text.txt").write_text(TEXT)
    for at in range(1, 1 + times(3)):
        run = python(
            AT_A_CALL, tmp_path, kind, at * (9 if kind == "write" else 1), *TRAIN, *OPTIONS
        )
        campaign["killed" if run.returncode == -signal.SIGKILL else "ended"] += 1
    assert campaign["killed"]
    resumed(tmp_path, undisturbed)


def test_killed_while_a_large_text_is_prepared(tmp_path, undisturbed, campaign):
    (tmp_path / "text.txt").write_text(TEXT)
    large = {"env": os.environ | {"LARGE": "100"}}
    for kind, at in [("numbers", 1), ("numbers", 6), *(("replace", i) for i in (1, 2, 3, 4))]:
        run = python(AT_A_CALL, tmp_path, kind, at, *TRAIN, *OPTIONS, **large)
        assert run.returncode == -signal.SIGKILL
        campaign["killed"] += 1
    run = python(AT_A_CALL, tmp_path, "", 0, *TRAIN, *OPTIONS, **large)
    assert run.returncode == 0, run.stderr
    for name, array in load_npz(tmp_path / "run" / "model.npz").items():
        np.testing.assert_array_equal(array, undisturbed[name])
    names = {path.name for path in (tmp_path / "run").iterdir()}
    files = {"config.json", "checkpoint.npz", "model.npz", "history.csv", "ids.npy", "text.npz"}
    assert names == files


def test_two_at_one_folder(tmp_path, campaign):
    (tmp_path / "text.txt").write_text(TEXT)
    with locked(tmp_path / "run" / ".lock", "run"):
        for options in ([], ["--restart"], ["--width", "16", "--restart"]):
            second = command(tmp_path, *TRAIN, *OPTIONS, *options)
            assert second.returncode == 2
            assert f"run is in use by process {os.getpid()} on " in second.stderr
            assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
            campaign["refused"] += 1


def test_a_lock_dies_with_its_process(tmp_path):
    code = "import time; from unspool.files import locked\nwith locked('a.lock', 'a'):\n"
    code += "    print('held', flush=True)\n    time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError, match=f"a is in use by process {process.pid} on "):
        locked(tmp_path / "a.lock", "a").__enter__()
    process.kill()
    process.communicate()
    with locked(tmp_path / "a.lock", "a"):
        pass
    assert not (tmp_path / "a.lock").exists()


def test_nobody_removes_the_unfinished_file_of_a_living_writer(tmp_path, campaign):
    from unspool.files import remove_unfinished, unfinished

    path = tmp_path / "file.npz"

    def write(file):
        file.write(b"new")
        remove_unfinished(path)
        assert len(unfinished(path)) == 1

    (tmp_path / ".file.npz.dead.part").write_bytes(b"")
    write_atomically(path, write)
    assert path.read_bytes() == b"new"
    assert not unfinished(path)

    stop = threading.Event()

    def remove():
        while not stop.is_set():
            remove_unfinished(path)

    other = threading.Thread(target=remove)
    other.start()
    try:
        for i in range(times(200)):
            save_npz(path, {"i": np.array(i)})
            campaign["written"] += 1
    finally:
        stop.set()
        other.join()
    assert load_npz(path)["i"] == times(200) - 1


def test_ctrl_c_inside_of_saves(tmp_path, campaign):
    """Each leaves the old file or the new one, and a process that goes on."""
    code = """
import os, signal, sys, numpy as np
from unspool.files import load_npz, save_npz, unfinished
arrays = {str(i): np.full(40_000, i) for i in range(20)}
save_npz("a.npz", arrays)
rng, stopped = np.random.default_rng(0), 0
for i in range(int(sys.argv[1])):
    signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(1e-4, 0.02)))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        save_npz("a.npz", {**arrays, "i": np.array(i)})
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        stopped += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert load_npz("a.npz")["7"][0] == 7
print(stopped, [name for name in os.listdir() if name != "a.npz" and not name.endswith(".part")])
"""
    run = python(code, tmp_path, times(40))
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    stopped, left = run.stdout.split(" ", 1)
    campaign["stopped"] += int(stopped)
    assert int(stopped) > 3
    assert left.strip() == "[]"


def test_threads_train_as_one_does(campaign):
    """Trainings side by side in threads give the numbers of each by itself."""
    from unspool.models import LanguageModel, Stream, fit

    def train(seed):
        model = LanguageModel(9, 6 + seed, rng=seed)
        ids = np.random.default_rng(seed).integers(1, 9, 200)
        fit(model, Stream(ids, 4, 7, rng=seed), epochs=2, progress=False)
        return model.state_dict()

    alone = [train(seed) for seed in range(8)]
    found = [None] * 8
    for _ in range(times(1)):
        threads = [
            threading.Thread(target=lambda i=i: found.__setitem__(i, train(i))) for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one, other in zip(alone, found, strict=True):
            for name, array in one.items():
                np.testing.assert_array_equal(array, other[name])
            campaign["trainings"] += 1
