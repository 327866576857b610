"""Fixtures of the whole suite. Servers, and the fixtures of the database, live in `tests/servers/`."""

import os
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

pytest_plugins = [
    "servers.logs",
    "servers.ours",
    "servers.postgres",
    "servers.swift",
    "servers.ceph",
    "servers.redis",
    "servers.browser",
    "servers.prometheus",
    "servers.brokers",
    "servers.receiver",
    "servers.collector",
]


def refuse_to_fork() -> None:
    raise RuntimeError("A fork of the tests' own process can hang, and then holds its pipes open: start a new process.")


os.register_at_fork(before=refuse_to_fork)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is set, nothing may be left out: there a skipped test is a failed one."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"Skipped, and CI is set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class HeldClock:
    """A clock in the test's hand."""

    at: datetime = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> datetime:
        self.at += timedelta(**by)
        return self.at


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@dataclass
class Seconds:
    """As `perf_counter` counts them, in the test's hand."""

    at: float = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()
