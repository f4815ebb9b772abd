"""Files, shared by all folders: atomic writes, and named arrays as ``.npz`` or ``.safetensors``.

An ``.npz`` is the zip of ``.npy`` members that ``numpy.savez`` writes, so NumPy reads it too.
Arrays of objects are refused both ways: nothing is pickled, so loading a file runs no code.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .checks import describe_received

__all__ = [
    "Arrays",
    "PathLike",
    "load_arrays",
    "load_described",
    "load_npz",
    "load_safetensors",
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
DEFLATE = 1100  # a byte of a zip unpacks to at most 1,032


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
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp lets only the owner read
        if previous is not None:
            keep_as(path, previous)
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # an error of a full disk names no file
        raise


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
    except OSError:
        second.unlink(missing_ok=True)


def unfinished(path: PathLike) -> list[Path]:
    """Temporary files beside ``path``, left by writers that were killed."""
    path = Path(path)
    return [
        found
        for found in path.parent.iterdir()
        if found.name.startswith(f".{path.name}.") and found.suffix == ".part"
    ]


def save_arrays(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write named arrays, atomically: to ``.safetensors`` if the path ends so, else as ``.npz``."""
    if Path(path).suffix == ".safetensors":
        save_safetensors(path, arrays)
    else:
        save_npz(path, arrays)


def load_arrays(path: PathLike) -> Arrays:
    """Read named arrays from a ``.safetensors`` or ``.npz`` file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged or a pickle.
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
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in plain.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_atomically(path, write, previous=previous)


def load_npz(path: PathLike) -> Arrays:
    """Read named arrays.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, no ``.npz`` file, truncated, damaged, or holds pickled objects.
    """
    check_is_file(path)
    most = DEFLATE * Path(path).stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                info.filename.removesuffix(".npy"): read_member(archive, info, most)
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
    text = np.frombuffer(json.dumps(described, ensure_ascii=False).encode(), np.uint8)
    save_npz(path, {HEADER: text, **arrays}, previous=previous)


def load_described(
    path: PathLike, format: str, versions: int | Collection[int]
) -> tuple[dict[str, Any], Arrays]:
    """Read ``(header, arrays)`` from a file of ``save_described``.

    Args:
        path: The file.
        format: The kind of file.
        versions: The version, or versions, that can be read; the header's ``version`` is one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated, damaged, or of another format or version.
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
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> NDArray[Any]:
    """One array of an ``.npz`` file, whose header is checked before memory is allocated.

    A few bytes could ask for terabytes otherwise; ``most`` is the number of bytes that all arrays
    of a file of this size can have.
    """
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in read_header:
            raise ValueError(f"{info.filename} has the .npy version {version}, expected 1.0 or 2.0")
        shape, _, dtype = read_header[version](member)
        header = member.tell()
    if dtype.hasobject:
        raise ValueError(f"{info.filename} holds pickled objects, which could run any code")
    claimed = header + dtype.itemsize * int(np.prod(shape, dtype=object))
    if claimed != info.file_size or claimed > most:
        raise ValueError(
            f"{info.filename} claims {dtype} {shape}, {claimed} bytes, and has {info.file_size}"
        )
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

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is truncated or damaged, or has a dtype that NumPy lacks.
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
    """The package, or an error that names the extra to install."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            '.safetensors files need the package safetensors: pip install "unspool[io]"'
        ) from error
    return safetensors


def plain_arrays(who: str, arrays: Mapping[str, Any]) -> Arrays:
    """The values as arrays; one that holds objects raises TypeError."""
    plain = {name: np.asarray(value) for name, value in arrays.items()}
    for name, array in plain.items():
        if array.dtype.hasobject:
            raise TypeError(f"{who}: {name!r} holds objects; only plain arrays are saved")
    return plain
