"""What holds for every test: one thread for the linear algebra, no network, skips by reason."""

from __future__ import annotations

import collections
import os
import random
import socket
import zlib

import hypothesis
import pytest

# Before NumPy is imported: one thread per process, also in the processes that tests start.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

# The same examples in every run; another program of Hypothesis's may look further.
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("repeatable")

LOCAL = ("127.0.0.1", "localhost", "::1")


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """A connection to another machine is an error."""
    connect = socket.socket.connect

    def local_connect(self, address):
        if isinstance(address, tuple) and address[0] not in LOCAL:
            raise AssertionError(f"a test connects to {address[0]}: expected this machine only")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local_connect)
        yield


@pytest.fixture(autouse=True)
def the_same_numbers_in_every_run(request, monkeypatch):
    """What takes a seed and is given none draws from one of the test's name: no test is red by
    chance, one run in a thousand, with nobody able to see it again."""
    entropy = zlib.crc32(request.node.nodeid.encode())
    seeds, default_rng = np.random.SeedSequence(entropy), np.random.default_rng

    def seeded_rng(seed=None):
        return default_rng(seeds.spawn(1)[0] if seed is None else seed)

    monkeypatch.setattr(np.random, "default_rng", seeded_rng)
    np.random.seed(entropy)  # noqa: NPY002 (what is seeded is NumPy's old generator)
    random.seed(entropy)


@pytest.fixture
def campaign(record_property):
    """Counts of what a campaign met: ``campaign["refused"] += 1``; printed at the end."""
    counts = collections.Counter()
    yield counts
    record_property("campaign", ", ".join(f"{n} {what}" for what, n in counts.items()))


def pytest_terminal_summary(terminalreporter):
    reports = [r for group in ("passed", "failed") for r in terminalreporter.stats.get(group, [])]
    counted = [
        (r.nodeid, dict(r.user_properties)["campaign"]) for r in reports if r.user_properties
    ]
    if counted:
        terminalreporter.section("campaigns")
        for nodeid, counts in sorted(counted):
            terminalreporter.write_line(f"{nodeid.partition('::')[2]}: {counts}")
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in skipped
    )
    if reasons:
        terminalreporter.section("skipped, by reason")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:5} {reason}")
