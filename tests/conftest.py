"""No test reaches the network; at the end of a run the skips are counted by reason."""

from __future__ import annotations

import collections
import socket

import pytest

LOCAL = ("127.0.0.1", "localhost", "::1")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A connection to another machine is an error."""
    connect = socket.socket.connect

    def local_connect(self, address):
        if isinstance(address, tuple) and address[0] not in LOCAL:
            raise AssertionError(f"a test connects to {address[0]}: expected this machine only")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_connect)


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = collections.Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in skipped
    )
    if reasons:
        terminalreporter.section("skipped, by reason")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:5} {reason}")
