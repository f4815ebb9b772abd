"""setuptools' build backend, with the same bytes from every build of the same files.

A wheel's times are those of ``SOURCE_DATE_EPOCH``, which is set here unless it is set already; a
source archive, whose times and owners setuptools takes from the files, is written again.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  # the hooks that stay as they are

EPOCH = "1577836800"  # 2020-01-01, as good as any that a zip file can hold
os.environ.setdefault("SOURCE_DATE_EPOCH", EPOCH)


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """Write the source archive with sorted members that have one time and no owner."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    path = Path(sdist_directory, name)
    time = int(os.environ["SOURCE_DATE_EPOCH"])
    content = io.BytesIO()
    with (
        tarfile.open(path) as old,
        tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda m: m.name):
            member.mtime, member.pax_headers = time, {}
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    path.write_bytes(gzip.compress(content.getvalue(), mtime=time))
    return name
