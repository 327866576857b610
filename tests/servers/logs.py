"""Every line that the suite logs, in this process or in one that it starts, is read: none may hold a secret.

In this process lines are read before the redaction, the last line of defence, has seen them; what other processes wrote
must not show that they needed it."""

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from mooring.observe.logs import Lines, configure_logs
from mooring.observe.redaction import GONE

# Written apart from the redaction's own, and wider: a test fails for nothing rather than for too little.
SECRET = re.compile(
    rb"eyJ[\w-]{10,}\.[\w-]{4,}|\$argon2|horse battery|a secret of the tests|whsec_\w"
    rb"|(?i:[?&~][\w-]*(?:signature|token|hmac|md5|policy)=[^&\s\"]{6})|/share/[\w-]{30,}|/uppy/[\w.-]{30,}"
    rb"|://\w+:[^@/\s\"]+@|[Bb]earer [\w.-]{20,}"
)
_found: list[bytes] = []


class _Shown(io.RawIOBase):
    """Standard output as it is when something is written: pytest changes it for each test."""

    def writable(self) -> bool:
        return True

    def write(self, text: bytes, /) -> int:  # type: ignore[override]
        sys.stdout.write(text.decode())
        return len(text)

    def flush(self) -> None:
        return None


def pytest_configure() -> None:
    msg = Lines.msg

    def read(self: Lines, line: bytes) -> None:
        if SECRET.search(line):
            _found.append(line)
        msg(self, line)

    for level in ("msg", "debug", "info", "warning", "error", "critical", "exception"):
        setattr(Lines, level, read)
    configure_logs("debug", _Shown())  # type: ignore[arg-type]
    structlog.configure(cache_logger_on_first_use=False)  # tests look elsewhere for a while


def secrets_in(text: bytes) -> list[bytes]:
    return [line for line in text.splitlines() if SECRET.search(line) or GONE in line]


def check_written(*files: Path) -> None:
    """What a process that has ended wrote."""
    found = [line for file in files if file.exists() for line in secrets_in(file.read_bytes())]
    assert not found, f"a secret was logged, or had to be taken out: {found}"


@pytest.fixture
def leaks_are_meant() -> Iterator[None]:
    """For the tests of this very rule."""
    yield
    _found.clear()


@pytest.fixture(autouse=True)
def _no_secret_is_logged(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "leaks_are_meant" in request.fixturenames:
        return
    found, _found[:] = _found[:], []
    assert not found, f"a secret was logged: {found}"
