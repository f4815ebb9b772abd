"""What holds for every test: one thread for the linear algebra, no network, skips by reason."""

from __future__ import annotations

import collections
import os
import socket

import pytest

# Before NumPy is imported: one thread per process, also in the processes that tests start.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

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


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in skipped
    )
    if reasons:
        terminalreporter.section("skipped, by reason")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:5} {reason}")
