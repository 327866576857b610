"""Fixtures of the whole suite. Servers, and the fixtures of the database, live in `tests/servers/`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

pytest_plugins = ["servers.postgres", "servers.swift", "servers.ceph"]


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
