"""Files, shared by all folders: atomic writes, and named arrays as ``.npz`` or ``.safetensors``.

An ``.npz`` is the zip of ``.npy`` members that ``numpy.savez`` writes, so NumPy reads it too.
Arrays of objects are refused both ways: nothing is pickled, so loading a file runs no code.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
import struct
import time
import tokenize
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .checks import describe_received, import_extra, shown

__all__ = [
    "DAMAGED",
    "Arrays",
    "MessageStream",
    "PathLike",
    "json_text",
    "load_arrays",
    "load_described",
    "load_npz",
    "load_safetensors",
    "locked",
    "named_errors",
    "remove_unfinished",
    "save_arrays",
    "save_described",
    "save_npz",
    "save_safetensors",
    "unfinished",
    "write_atomically",
]

PathLike = str | os.PathLike[str]
Arrays = dict[str, NDArray[Any]]
HEADER = "header"  # the array of bytes that holds a described file's JSON
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
DAY = 86_400.0  # seconds
WINDOWS = os.name == "nt"
JUST_NOW = 60.0  # seconds
LOCKED_BYTE = 1 << 30  # behind the end of the file
TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # of a lock that another one holds
SMALL, MOST_PACKED = 1 << 26, 32  # a zip unpacks to at most 64 MB, or 32 times its size


def write_atomically(
    path: PathLike,
    content: bytes | str | Callable[[IO[bytes]], Any],
    *,
    previous: PathLike | None = None,
) -> None:
    """Write a file so that at every moment the old one or the new one is there, whole.

    Args:
        path: The file; missing parent folders are created.
        content: Bytes, text (written as UTF-8), or a function that is called with the open
            binary file.
        previous: A name in the same folder under which the old file stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path  # none yet

    def finish() -> None:
        if previous is not None:
            keep_as(path, previous)
        replace(temporary, path)

    try:
        while True:
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
            file = open(temporary, "xb")  # noqa: SIM115
            # Locked, nobody else removes it while this process lives; or has it just been?
            if hold(file) is not False and os.fstat(file.fileno()).st_nlink:
                break
            file.close()
        with named_errors(path), file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
            if not WINDOWS:  # it renames no open file
                finish()
        if WINDOWS:
            finish()
    except BaseException as error:
        if temporary != path:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)
        raise


@contextlib.contextmanager
def named_errors(path: PathLike | None) -> Iterator[None]:
    """Inside of the block an OSError that names no file, as of a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if path is not None and error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def replace(source: Path, target: Path) -> None:
    """Rename a file to the name of another.

    Windows does not while somebody reads the other one, as virus scanners do for a moment: it is
    tried for two seconds.
    """
    for _ in range(20 if WINDOWS else 0):
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(0.1)
        else:
            return
    os.replace(source, target)


def keep_as(path: Path, other: PathLike) -> None:
    """Give a file a second name, which costs no copy; that name's old file goes.

    Where the file system has no second names nothing is kept.
    """
    second = path.with_name(f".{Path(other).name}.{os.getpid()}.part")
    try:
        second.unlink(missing_ok=True)
        os.link(path, second)
        os.replace(second, other)
        second.unlink(missing_ok=True)  # rename leaves it where both are one file
    except (OSError, AttributeError):  # Pyodide has no os.link
        second.unlink(missing_ok=True)


def unfinished(path: PathLike) -> list[Path]:
    """Temporary files beside ``path``, of writers at work and of writers that were killed."""
    path = Path(path)
    return [
        found
        for found in path.parent.iterdir()
        if found.name.startswith(f".{path.name}.") and found.suffix == ".part"
    ]


def remove_unfinished(path: PathLike) -> None:
    """Remove the temporary files beside ``path`` that were left by writers that were killed.

    Those of a writer that lives are locked, and stay. Where the file system has no locks, those
    younger than a day stay too; on Windows, where a file is closed before it gets its name, those
    younger than a minute.
    """
    for found in unfinished(path):
        with contextlib.suppress(OSError):
            age = abs(time.time() - found.stat().st_mtime)  # the clock may have been set back
            if WINDOWS and age < JUST_NOW:
                continue
            with open(found, "r+b") as file:
                held = hold(file)
                if held or (held is None and age > DAY):
                    if WINDOWS:  # it removes no open file
                        file.close()
                    found.unlink(missing_ok=True)


# Locks ------------------------------------------------------------------------------------------


def hold(file: IO[bytes]) -> bool | None:
    """Lock an open file for this process, until it is closed: the system frees it at its death.

    Returns:
        Whether it is locked now: False if another one holds it; None if the file system has no
        locks (some network ones).
    """
    try:
        if WINDOWS:
            import msvcrt

            file.seek(LOCKED_BYTE)  # Windows lets nobody read what is locked
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            finally:
                file.seek(0)
        else:
            import fcntl

            # Over NFS Linux makes it a lock of the server's, which all machines see; it needs a
            # file that is open for writing.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Pyodide, where no other process is
        return True
    except OSError as error:
        return False if error.errno in TAKEN else None
    return True


def is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is still the one of this name.

    The name is opened: NFS asks the server then, while what ``stat`` gives may be a minute old.
    """
    if WINDOWS:  # it removes no open file
        return True
    try:
        with open(path, "rb") as named:
            return os.path.samestat(os.fstat(file.fileno()), os.fstat(named.fileno()))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked(path: PathLike, what: str) -> Iterator[None]:
    """Hold a lock while a block runs; where the process dies, the system gives it back.

    Args:
        path: The lock's file, which is there while the lock is held.
        what: What must not be used twice, for messages.

    Raises:
        BlockingIOError: Another one holds it; the message says who.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = open(path, "a+b")  # noqa: SIM115
        state = hold(file)
        if state is False:
            file.seek(0)
            holder = shown(file.read(200).decode(errors="replace")) or "another process"
            file.close()
            raise BlockingIOError(f"{what} is in use by {holder}; wait for its end, or end it")
        if is_at(file, path):
            break
        file.close()  # its last holder has just removed it
    with file:
        if state is None:
            warnings.warn(
                f"{what}: the file system has no locks, and nothing keeps a second one out",
                RuntimeWarning,
                stacklevel=3,
            )
        file.truncate(0)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {platform.node()}, since {now}".encode())
        file.flush()
        try:
            yield
        finally:
            if WINDOWS:  # it removes no open file, nor one that another process has opened
                file.close()
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


# Streams ----------------------------------------------------------------------------------------


class MessageStream:
    """A text stream for messages, whose failure ends nothing.

    The stream may be None (a process without a console), closed, on a full disk, or a pipe that
    nobody reads. What cannot be written is dropped.

    Args:
        stream: Such as ``sys.stderr``.

    Attributes:
        error: The first error, or None.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.error: Exception | None = None

    def attempt(self, name: str, *args: Any) -> None:
        """Call a method of the stream."""
        if self.stream is None or self.error is not None:
            return
        try:
            getattr(self.stream, name)(*args)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self.error = error

    def write(self, text: str) -> int:
        """Write a text."""
        self.attempt("write", text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.attempt("flush")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        try:
            return self.stream is not None and self.stream.isatty()
        except ValueError:
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


# Named arrays -----------------------------------------------------------------------------------


def save_arrays(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write named arrays, atomically: to ``.safetensors`` if the path ends so, else as ``.npz``."""
    if Path(path).suffix == ".safetensors":
        save_safetensors(path, arrays)
    else:
        save_npz(path, arrays)


def load_arrays(path: PathLike) -> Arrays:
    """Read named arrays from a ``.safetensors`` or ``.npz`` file.

    One that is truncated, damaged or a pickle raises a ValueError.
    """
    if Path(path).suffix in PICKLES:
        raise ValueError(
            f"{path}: a pickle can run any code and is not read; if you trust it, open it with "
            "torch.load(path, weights_only=True) and pass the dict, or save it as .safetensors"
        )
    if Path(path).suffix == ".safetensors":
        return load_safetensors(path)
    return load_npz(path)


def save_npz(
    path: PathLike, arrays: Mapping[str, Any], *, previous: PathLike | None = None
) -> None:
    """Write named arrays atomically and without pickle; arrays of objects raise TypeError.

    ``previous`` is a name in the same folder under which the old file stays.
    """
    plain = plain_arrays("save_npz", arrays)

    def write(file: IO[bytes]) -> None:
        archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        try:
            for name, array in plain.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            archive.close()
        finally:
            archive.fp = None  # after an interrupt close() would raise an error of its own

    write_atomically(path, write, previous=previous)


def load_npz(path: PathLike) -> Arrays:
    """Read named arrays.

    A folder, a file of another kind, one that is truncated or damaged, and pickled objects raise
    a ValueError.
    """
    check_is_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive, Path(path).stat().st_size)
            return {
                info.filename.removesuffix(".npy"): read_member(archive, info)
                for info in archive.infolist()
            }
    except DAMAGED as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"{path}: not a readable .npz file, or truncated: {reason}") from error


def check_is_file(path: PathLike) -> None:
    """Raise unless there is a file at this path."""
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder, expected a file")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")


def save_described(
    path: PathLike,
    format: str,
    version: int,
    header: Mapping[str, Any],
    arrays: Mapping[str, Any],
    *,
    previous: PathLike | None = None,
) -> None:
    """Write named arrays with a JSON header, as ``save_npz`` does.

    Args:
        path: The file.
        format: The kind of file, as in "unspool model".
        version: The version of this format.
        header: Anything that JSON can hold; it becomes the array ``header``.
        arrays: The arrays; none may have that name.
        previous: A name in the same folder under which the old file stays.
    """
    described = {"format": format, "version": version, **header}
    text = np.frombuffer(json_text(described).encode(), np.uint8)
    save_npz(path, {HEADER: text, **arrays}, previous=previous)


def json_text(value: Any, **options: Any) -> str:
    """Plain data as JSON that UTF-8 can hold; ``options`` are those of ``json.dumps``.

    The name of a file may hold bytes that are no UTF-8, which Python has as lone surrogates; they
    are escaped.
    """
    text = json.dumps(value, ensure_ascii=False, **options)
    return re.sub(r"[\ud800-\udfff]", lambda match: json.dumps(match[0])[1:-1], text)


def load_described(
    path: PathLike, format: str, versions: int | Collection[int]
) -> tuple[dict[str, Any], Arrays]:
    """Read ``(header, arrays)`` from a file of ``save_described``.

    Args:
        path: The file.
        format: The kind of file.
        versions: The version, or versions, that can be read; the header's ``version`` is one.

    One that is truncated, damaged, or of another format or version raises a ValueError.
    """
    arrays = load_npz(path)
    raw = arrays.pop(HEADER, None)
    if raw is None or raw.dtype != np.uint8 or raw.ndim != 1:
        raise ValueError(f"{path} is no {format}: it has no header")
    try:
        header = json.loads(raw.tobytes().decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no {format}: its header is damaged: {error}") from error
    if not isinstance(header, dict) or header.get("format") != format:
        found = header.get("format") if isinstance(header, dict) else type(header).__name__
        raise ValueError(f"{path} is no {format}: it has the format {describe_received(found)}")
    known = [versions] if isinstance(versions, int) else sorted(versions)
    found = header.get("version")
    if type(found) is not int or found not in known:
        raise ValueError(
            f"{path} is of version {describe_received(found)}, this unspool reads version "
            f"{' or '.join(map(str, known))}"
        )
    return header, arrays


# The exceptions that zipfile, zlib and NumPy raise when they read damaged bytes.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)


def check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError, before memory is taken, for a file that is none of ours.

    A few bytes could ask for terabytes: by an array's header, by zeros, which shrink a
    thousandfold, or by members that overlap. Our own files are not compressed; in others weights
    shrink by a tenth, and text to a third.

    Args:
        archive: The open file.
        size: Its size in bytes.
    """
    members, most = archive.infolist(), max(SMALL, MOST_PACKED * size)
    for info in members:
        check_header(archive, info, most)
    if (packed := sum(info.compress_size for info in members)) > size:
        raise ValueError(f"its members overlap: they are {packed:,} bytes, the file {size:,}")
    if (unpacked := sum(info.file_size for info in members)) > most:
        raise ValueError(f"it unpacks to {unpacked:,} bytes, the file is {size:,}; save it anew")
    if len({info.filename for info in members}) < len(members):
        raise ValueError("two of its members have one name")


def check_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> None:
    """Raise ValueError if an array is pickled, or not as large as its header says."""
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    name = shown(info.filename)
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in read_header:
            raise ValueError(f"{name} has the .npy version {version}, expected 1.0 or 2.0")
        shape, _, dtype = read_header[version](member)
        header = member.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects, which could run any code")
    claimed = header + dtype.itemsize * int(np.prod(shape, dtype=object))
    if claimed != info.file_size or claimed > most:
        raise ValueError(
            f"{name} claims {dtype} {shape}, {claimed} bytes, and has {info.file_size}"
        )


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """One array of an ``.npz`` file."""
    with archive.open(info) as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


def save_safetensors(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as ``.safetensors`` (extra ``io``), atomically.

    Every array is copied to C order: the format has no strides (its NumPy writer would store a
    transposed array's memory as it lies), and PyTorch's reader refuses names that share memory.
    """
    package = safetensors_package()
    plain = plain_arrays("save_safetensors", arrays)
    content = package.numpy.save({n: np.array(array, order="C") for n, array in plain.items()})
    write_atomically(path, content)


def load_safetensors(path: PathLike) -> Arrays:
    """Read named arrays from a ``.safetensors`` file (extra ``io``); bfloat16 becomes float32.

    One that is truncated or damaged, or has a dtype that NumPy lacks, raises a ValueError.
    """
    package = safetensors_package()
    check_is_file(path)
    try:
        entries = package.deserialize(Path(path).read_bytes())
    except package.SafetensorError as error:
        raise ValueError(
            f"{path}: not a readable .safetensors file, or truncated: {error}"
        ) from error
    found: Arrays = {}
    for name, entry in entries:
        kind, shape, data = entry["dtype"], entry["shape"], entry["data"]
        if kind == "BF16":  # the upper half of a float32
            array = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif kind in SAFETENSORS_TYPES:
            array = np.frombuffer(data, SAFETENSORS_TYPES[kind])
        else:
            raise ValueError(f"{path}: {name} is {kind}, for which NumPy has no type")
        found[name] = array.reshape(shape).copy()  # frombuffer's arrays are read-only
    return found


SAFETENSORS_TYPES = {
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    "BOOL": "?",
}


def safetensors_package() -> Any:
    """The package safetensors, or an error that names the extra to install."""
    what = ".safetensors files need the package safetensors"
    return import_extra(what, "io", "safetensors", "safetensors.numpy")


def plain_arrays(who: str, arrays: Mapping[str, Any]) -> Arrays:
    """The values as arrays; one that holds objects raises TypeError."""
    plain = {name: np.asarray(value) for name, value in arrays.items()}
    for name, array in plain.items():
        if array.dtype.hasobject:
            raise TypeError(f"{who}: {name!r} holds objects; only plain arrays are saved")
    return plain
