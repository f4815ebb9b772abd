"""The folder of a training, in which the same command resumes.

It holds ``config.json`` (the options of the training), ``checkpoint.npz`` (its state),
``model.npz`` (the best model so far) and ``history.csv``. A training with other options is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..cells import Module
from ..files import json_text, locked, remove_unfinished, write_atomically
from ..models import differences, fit, previous_of, save_history, save_model
from .options import Run
from .terminal import note

FORMAT, VERSION = "unspool training", 2


class Folder:
    """The folder of a training, locked for all others while a ``with`` block uses it.

    Args:
        run: The folder, and how long to train.
        config: The options that say what is trained: plain values by name.

    Attributes:
        model: The file of the best model.

    Raises:
        ValueError: On entering the block: it holds another training (what differs is named), or
            files that are none of a training's; or it cannot be written.
        BlockingIOError: Another process uses it.
    """

    def __init__(self, run: Run, config: Mapping[str, Any]) -> None:
        self.run, self.path, self.config = run, run.out, config
        self.model = self.path / "model.npz"
        self.checkpoint = self.path / "checkpoint.npz"
        self.history = self.path / "history.csv"
        self.used = contextlib.ExitStack()

    def __enter__(self) -> Folder:
        with contextlib.ExitStack() as used:
            try:
                used.enter_context(locked(self.path / ".lock", str(self.path)))
                self.begin()
            except BlockingIOError:
                raise
            except OSError as error:
                raise ValueError(
                    f"{self.path}: cannot be written ({error.strerror}); give a folder that you "
                    "can write to"
                ) from error
            self.used = used.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.used.close()

    def begin(self) -> None:
        """See that the folder is of this training, and write the training's options into it."""
        written = self.path / "config.json"
        before = previous_of(self.checkpoint)
        text = [self.path / "ids.npy", self.path / "text.npz"]  # of a large text
        files = [written, self.checkpoint, before, self.model, self.history, *text]
        there = [file for file in files if file.exists()]
        for file in files:  # also of a file that was never finished
            remove_unfinished(file)
        if self.run.restart:
            for file in there[::-1]:  # the options are replaced below, the last of all
                if file != written:
                    file.unlink()
        elif written in there:
            problems = differences(read_config(written), json.loads(json.dumps(self.config)))
            if problems and {self.checkpoint, before, self.model} & {*there}:
                self.refuse(problems)
            elif problems:  # nothing was trained yet
                for file in {*text} & {*there}:
                    file.unlink()
        elif there:
            raise ValueError(
                f"{there[0]} exists, but no config.json that says of which training; give another "
                "--out, or --restart to overwrite it"
            )
        described = {"format": FORMAT, "version": VERSION, **self.config}
        write_atomically(written, json_text(described, indent=2) + "\n")

    def refuse(self, problems: Sequence[str]) -> NoReturn:
        """Raise an error that names the options in which two trainings differ."""
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"{self.path}: another training is in this folder: {'; '.join(problems[:5])}{more}. "
            "Give the options that it was begun with, another --out, or --restart to begin anew"
        )

    def fit(self, model: Module, *, saved: Mapping[str, Any], **options: Any) -> Any:
        """``fit``, resumed from the checkpoint; the best model is kept in its file.

        ``saved`` are the keyword arguments of ``save_model``.
        """

        def save() -> None:
            try:
                save_model(self.model, model, **saved)
            except OSError as error:
                warnings.warn(
                    f"{self.model} was not written: {error.strerror or error}",
                    RuntimeWarning,
                    stacklevel=2,
                )

        options |= {"epochs": self.run.epochs, "seconds": self.run.seconds}
        options |= {"patience": self.run.patience, "every": self.run.every}
        try:
            history = fit(model, checkpoint=self.checkpoint, save=save, **options)
        except KeyboardInterrupt:
            note(f"interrupted; the same command resumes the training in {self.path}")
            raise
        except ValueError as error:
            cure = "another --out, or --restart"
            text = str(error).replace("another checkpoint=, or resume=False", cure)
            raise ValueError(text) from error
        save_model(self.model, model, **saved)  # where this fails, it is an error
        save_history(self.history, history)
        return history


def configuration(kind: str, files: Iterable[Path], *groups: Any) -> dict[str, Any]:
    """The options of a training by name; of files their names, sizes and checksums."""
    config: dict[str, Any] = {"kind": kind, "files": list(files)}
    for group in groups:
        config |= {field.name: getattr(group, field.name) for field in dataclasses.fields(group)}
    return {name: described(value) for name, value in config.items()}


def described(value: Any) -> Any:
    """A plain value as it is, files as names, sizes and checksums, those in folders too."""
    if isinstance(value, Path):
        value = [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, Path) for item in value):
        return value
    found = []
    for path in value:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            size, checksum = 0, 0
            if file.exists():
                with open(file, "rb") as content:
                    while block := content.read(1 << 20):
                        size, checksum = size + len(block), zlib.crc32(block, checksum)
            found.append(f"{file.name} ({size:,} bytes, checksum {checksum:08x})")
    return found


def read_config(path: Path) -> dict[str, Any]:
    """The options of the training in a folder, without format and version."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged, {error}; --restart begins anew") from error
    if not isinstance(config, dict) or config.pop("format", None) != FORMAT:
        raise ValueError(f"{path}: not the configuration of a training; give another --out")
    version = config.pop("version", 1)
    if version == 1:
        config = from_version_1(config)
    elif version != VERSION:
        raise ValueError(
            f"{path}: version {version} of the format, and this unspool reads up to {VERSION}; "
            "install a newer one, or give another --out"
        )
    if config.get("kind") == "tagger" and "word_column" not in config:  # words were column 0
        label = config.get("label_column")
        config |= {"word_column": None, "label_column": None if label == 1 else label}
    if config.get("kind") == "classifier" and config.get("header") is False:
        config["header"] = None
    return config


def from_version_1(config: dict[str, Any]) -> dict[str, Any]:
    """The options as they are named today."""
    renamed = {"column": "label_column", "extra": "extra_columns", "other": "feature_embedding"}
    negated = {"untied": "tied", "keep_case": "lower", "no_shape": "shape"}
    found: dict[str, Any] = {"encoding": "utf-8"}
    for name, value in config.items():
        if name == "columns" and isinstance(value, list) and len(value) == 2:
            found["label_column"], found["text_column"] = value
        elif name in negated:
            found[negated[name]] = not value
        else:
            found[renamed.get(name, name)] = value
    return found
