"""Arrays in a file, ``.npz`` or ``.safetensors``: written whole or not at all, read without
running anything.

An ``.npz`` is the file that ``numpy.savez`` writes (a zip of ``.npy`` members), so NumPy reads it
too. Objects are refused both ways: nothing is pickled.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
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
HEADER = "header"  # the name of the array that holds a file's description


def write_atomically(path: PathLike, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file so that at every moment the old one or the new one is there, whole.

    Args:
        path: The file; its folder is made if it is missing.
        write: Called with the open binary file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp's files are the owner's alone
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk does not say which file it has no room for
        raise


def unfinished(path: PathLike) -> list[Path]:
    """What writers of this file left beside it when they were killed."""
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
        ValueError: It is neither, is cut off or damaged, or is a pickle.
    """
    if Path(path).suffix in (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"):
        raise ValueError(
            f"{path}: a pickle can run any code and is not read; where it is yours, open it with "
            "torch.load(path, weights_only=True) and give the dict, or save it as .safetensors"
        )
    if Path(path).suffix == ".safetensors":
        return load_safetensors(path)
    return load_npz(path)


def save_npz(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write named arrays, atomically and without pickle.

    Raises:
        TypeError: An array holds objects.
    """
    plain = plain_arrays("save_npz", arrays)

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in plain.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_atomically(path, write)


def load_npz(path: PathLike) -> Arrays:
    """Read named arrays.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, no ``.npz`` file, cut off or damaged, or holds pickled objects.
    """
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder, where a file is expected")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    most = 1100 * Path(path).stat().st_size  # deflate makes at most 1032 bytes of one
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                info.filename.removesuffix(".npy"): read_member(archive, info, most)
                for info in archive.infolist()
            }
    except DAMAGED as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"{path}: not a readable .npz file, or cut off: {reason}") from error


def save_described(
    path: PathLike, format: str, version: int, header: Mapping[str, Any], arrays: Mapping[str, Any]
) -> None:
    """Write named arrays and what they are, as ``save_npz`` does.

    Args:
        path: The file.
        format: What kind of file it is.
        version: Of the format.
        header: What JSON can hold: written as the bytes of an array ``header``.
        arrays: The arrays, none of that name.
    """
    described = {"format": format, "version": version, **header}
    text = np.frombuffer(json.dumps(described, ensure_ascii=False).encode(), np.uint8)
    save_npz(path, {HEADER: text, **arrays})


def load_described(path: PathLike, format: str, version: int) -> tuple[dict[str, Any], Arrays]:
    """Read what ``save_described`` wrote: the header, and the arrays.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is cut off or damaged, or of another format or version.
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
        raise ValueError(f"{path} is no {format}: it is of the format {found!r}")
    if header.get("version") != version:
        raise ValueError(
            f"{path} is of version {header.get('version')!r}, this unspool reads version {version}"
        )
    return header, arrays


# What zipfile, zlib and NumPy raise at bytes that are not what they should be.
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
    """One array of an ``.npz`` file, after a look at what its header promises.

    Else a few bytes could ask for terabytes of memory; ``most`` is how many bytes all arrays of
    such a file can have.
    """
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in read_header:
            raise ValueError(f"{info.filename} is of the .npy version {version}, which is not read")
        shape, _, dtype = read_header[version](member)
        header = member.tell()
    if dtype.hasobject:
        raise ValueError(f"{info.filename} holds pickled objects, which could run any code")
    promised = header + dtype.itemsize * int(np.prod(shape, dtype=object))
    if promised != info.file_size or promised > most:
        raise ValueError(
            f"{info.filename} promises {dtype} {shape}, {promised} bytes, and has {info.file_size}"
        )
    with archive.open(info) as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


def save_safetensors(path: PathLike, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as ``.safetensors``, atomically.

    Every array is written in C order from memory of its own: the format knows no strides (its
    NumPy writer would take a transposed array's memory as it lies), and PyTorch's side refuses
    names that share memory.

    Raises:
        ImportError: The extra ``io`` is not installed.
        TypeError: An array holds objects.
    """
    package = safetensors_package()
    plain = plain_arrays("save_safetensors", arrays)
    content = package.numpy.save({n: np.array(array, order="C") for n, array in plain.items()})
    write_atomically(path, lambda file: file.write(content))


def load_safetensors(path: PathLike) -> Arrays:
    """Read named arrays from a ``.safetensors`` file; bfloat16 becomes float32.

    Raises:
        ImportError: The extra ``io`` is not installed.
        FileNotFoundError: There is no such file.
        ValueError: It is no such file, is cut off or damaged, or has a type NumPy lacks.
    """
    package = safetensors_package()
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        entries = package.deserialize(Path(path).read_bytes())
    except package.SafetensorError as error:
        raise ValueError(
            f"{path}: not a readable .safetensors file, or cut off: {error}"
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
        found[name] = array.reshape(shape).copy()  # a copy: what was read is read-only
    return found


SAFETENSORS_TYPES = {
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    "BOOL": "?",
}


def safetensors_package() -> Any:
    """The package, or an error that says which extra to install."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            '.safetensors files need the package safetensors: pip install "unspool[io]"'
        ) from error
    return safetensors


def plain_arrays(who: str, arrays: Mapping[str, Any]) -> Arrays:
    """The values as arrays, or an error if one holds objects."""
    plain = {name: np.asarray(value) for name, value in arrays.items()}
    for name, array in plain.items():
        if array.dtype.hasobject:
            raise TypeError(f"{who}: {name!r} holds objects; only plain arrays are saved")
    return plain
