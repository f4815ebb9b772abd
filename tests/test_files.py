"""Files that are whole or not there, and files that say what they are."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from unspool import files
from unspool.files import (
    load_arrays,
    load_described,
    save_arrays,
    save_described,
    unfinished,
    write_atomically,
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"\x00\n", b"\x00\n"), ("é\n", "é\n".encode()), (lambda file: file.write(b"abc"), b"abc")],
    ids=["bytes", "text", "function"],
)
def test_a_file_is_written_with_its_folder(tmp_path, content, expected):
    path = tmp_path / "new" / "file"
    write_atomically(path, content)
    assert path.read_bytes() == expected
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
def test_a_file_has_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "atomic", b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")}
    assert len(modes) == 1


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fails(file):
        file.write(b"new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, fails)
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_temporary_files_of_killed_writers_are_found(tmp_path):
    left = tmp_path / ".file.abc.part"
    left.write_bytes(b"")
    (tmp_path / ".other.abc.part").write_bytes(b"")
    assert unfinished(tmp_path / "file") == [left]


def test_arrays_by_suffix(tmp_path):
    for name in ("a.npz", "a", "a.safetensors"):
        if name.endswith("safetensors"):
            pytest.importorskip("safetensors")
        save_arrays(tmp_path / name, {"W": np.arange(6.0).reshape(2, 3).T})
        assert (load_arrays(tmp_path / name)["W"] == np.arange(6.0).reshape(2, 3).T).all()


def test_a_described_file_says_what_it_is(tmp_path):
    path = tmp_path / "thing.npz"
    save_described(path, "thing", 2, {"name": "é"}, {"W": np.ones(2)})
    for versions in (2, (1, 2), {2, 3}):
        header, arrays = load_described(path, "thing", versions)
        assert header == {"format": "thing", "version": 2, "name": "é"}
        assert list(arrays) == ["W"]
    with pytest.raises(ValueError, match=r"thing\.npz is of version 2, .* reads version 1 or 3"):
        load_described(path, "thing", (3, 1))
    with pytest.raises(ValueError, match=r"is no other: it has the format 'thing'"):
        load_described(path, "other", 2)
    with pytest.raises(ValueError, match="is a folder, expected a file"):
        load_described(tmp_path, "thing", 2)


@pytest.mark.parametrize("version", [True, 2.0, "2", None])
def test_a_version_is_an_integer(tmp_path, version):
    save_described(tmp_path / "a.npz", "thing", version, {}, {})
    with pytest.raises(ValueError, match="this unspool reads version 1 or 2"):
        load_described(tmp_path / "a.npz", "thing", (1, 2))


# Windows ----------------------------------------------------------------------------------------


class Msvcrt:
    """``msvcrt.locking``, whose locks end with the descriptor, for one process on Linux."""

    LK_NBLCK = 2

    def __init__(self):
        self.held = {}

    def locking(self, fd, mode, count):
        assert (mode, count) == (self.LK_NBLCK, 1)
        assert os.lseek(fd, 0, os.SEEK_CUR) >= 1 << 30, "what is locked cannot be read"
        file = os.fstat(fd)
        holder = self.held.get((file.st_dev, file.st_ino))
        if holder not in (None, fd) and holder in open_descriptors(file):
            raise PermissionError(errno.EACCES, "Permission denied")
        self.held[file.st_dev, file.st_ino] = fd


def open_descriptors(file):
    """The descriptors by which this process has a file open."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(fd), file):
                found.append(fd)
    return found


@pytest.fixture
def windows(monkeypatch):
    """Windows as files.py knows it: no open file is removed, renamed or replaced."""
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc")

    def check_closed(*paths):
        for path in paths:
            if os.path.exists(path) and open_descriptors(os.stat(path)):
                raise PermissionError(errno.EACCES, "used by another process", str(path))

    def checked(call, count):
        def replacement(*args, **options):
            check_closed(*args[:count])
            return call(*args, **options)

        return replacement

    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt())
    monkeypatch.setattr(os, "replace", checked(os.replace, 2))
    monkeypatch.setattr(Path, "unlink", checked(Path.unlink, 1))


@pytest.mark.usefixtures("windows")
def test_windows_writes_files_that_are_closed_first(tmp_path):
    path = tmp_path / "a.npz"
    files.save_npz(path, {"a": np.ones(2)})
    files.save_npz(path, {"a": np.zeros(2)}, previous=tmp_path / "before.npz")
    np.testing.assert_array_equal(files.load_npz(path)["a"], [0, 0])
    np.testing.assert_array_equal(files.load_npz(tmp_path / "before.npz")["a"], [1, 1])
    with pytest.raises(ZeroDivisionError):
        files.write_atomically(path, lambda file: 1 / 0)
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "before.npz"]


@pytest.mark.usefixtures("windows")
def test_windows_waits_for_a_reader(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    reader = open(path)  # noqa: SIM115
    threading.Timer(0.3, reader.close).start()
    files.write_atomically(path, "new")
    assert reader.closed
    assert path.read_text() == "new"
    with open(path), pytest.raises(PermissionError, match=r"a\.txt"):
        files.write_atomically(path, "newer")
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.usefixtures("windows")
def test_windows_locks(tmp_path):
    path = tmp_path / "a.lock"
    with files.locked(path, "a"):
        with pytest.raises(BlockingIOError, match=f"a is in use by process {os.getpid()} on "):
            files.locked(path, "a").__enter__()
        assert path.read_text().startswith("process ")
    assert not path.exists()
    with contextlib.ExitStack() as other:
        with files.locked(path, "a"):
            other.enter_context(open(path))  # somebody waits for it: it stays
        assert path.exists()
    with files.locked(path, "a"):
        pass
    assert not path.exists()


@pytest.mark.usefixtures("windows")
def test_windows_keeps_the_unfinished_file_of_a_living_writer(tmp_path):
    path, dead = tmp_path / "a.txt", tmp_path / ".a.txt.dead.part"
    young = tmp_path / ".a.txt.closed.part"  # which will get its name now
    for left in (dead, young):
        left.write_text("")
    os.utime(dead, (0, 0))

    def write(file):
        [own] = set(files.unfinished(path)) - {dead, young}
        os.utime(own, (0, 0))
        files.remove_unfinished(path)
        assert {*files.unfinished(path)} == {own, young}
        file.write(b"new")

    files.write_atomically(path, write)
    assert path.read_text() == "new"


def test_a_lock_file_that_is_removed_between_opening_and_locking(tmp_path, monkeypatch):
    path, hold = tmp_path / "a.lock", files.hold

    def removed_once(file):
        monkeypatch.setattr(files, "hold", hold)
        path.unlink()
        return hold(file)

    monkeypatch.setattr(files, "hold", removed_once)
    with files.locked(path, "a"), pytest.raises(BlockingIOError):
        files.locked(path, "a").__enter__()
