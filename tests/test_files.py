"""Files that are whole or not there, and files that say what they are."""

from __future__ import annotations

import os
import stat

import numpy as np
import pytest

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
