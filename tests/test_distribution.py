"""The wheel and the source archive: what they hold, and that every build has the same bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import unspool
from helpers import needs

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(unspool.__file__).parent
# For those who have the repository.
NOT_SHIPPED = {".gitignore", ".pre-commit-config.yaml", ".github/workflows/site.yml"}

pytestmark = pytest.mark.slow


def tracked() -> list[str]:
    """The files of the checkout, or all files of an unpacked source archive."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        command = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return [name for name in run.stdout.splitlines() if (ROOT / name).is_file()]
    made = {"PKG-INFO", "setup.cfg"}
    names = (p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if p.is_file())
    return [n for n in names if n not in made and not n.startswith((".venv", ".cache", "unspool."))]


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """Two folders with a wheel and a source archive each, built from two copies of the tree."""
    needs("build")
    needs("setuptools")
    folders = []
    for n, time in enumerate((1_600_000_000, 1_700_000_000)):
        tree = tmp_path_factory.mktemp(f"tree{n}")
        for name in tracked():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
            os.utime(tree / name, (time, time))
        out = tmp_path_factory.mktemp(f"dist{n}")
        env = {k: v for k, v in os.environ.items() if k not in ("SOURCE_DATE_EPOCH", "PYTHONPATH")}
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
        run = subprocess.run(command, cwd=out, env=env, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        folders.append(out)
    return folders


def test_every_build_has_the_same_bytes(builds):
    first, second = (
        {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
        for folder in builds
    )
    assert sorted(Path(name).suffix for name in first) == [".gz", ".whl"]
    assert first == second


def test_the_wheel_holds_the_package_and_no_more(builds):
    (path,) = builds[0].glob("*.whl")
    names = set(zipfile.ZipFile(path).namelist())
    about = f"unspool-{unspool.__version__}.dist-info/"
    folders = ("autograd/", "cells/", "cli/", "exercises/", "models/", "viz/")
    ours = {
        name
        for name in tracked()
        if name.startswith(folders) or ("/" not in name and name.endswith((".py", ".typed")))
    }
    described = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"}
    assert names == {f"unspool/{name}" for name in ours} | {
        about + name for name in described | {"licenses/LICENSE"}
    }


def test_the_source_archive_holds_what_builds_tests_and_reads_it(builds):
    (path,) = builds[0].glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    made = {name for name in names if name.startswith("unspool.egg-info/")}
    assert names - made == set(tracked()) - NOT_SHIPPED | {"PKG-INFO", "setup.cfg"}


def test_the_version_is_stated_once():
    texts = [
        (ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "__init__.py")
    ]
    assert sum(text.count(f'"{unspool.__version__}"') for text in texts) == 1
