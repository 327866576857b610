"""Every line that the suite logs, in this process or in one that it starts, is read: none may hold a secret.

In this process lines are read before the redaction, the last line of defence, has seen them; what other processes of
ours write (`servers.ours` starts them) must not show that they needed it."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest
import structlog

from mooring.observe.logs import Lines, configure_logs
from mooring.observe.redaction import GONE

# Written apart from the redaction's own, and wider: a test fails for nothing rather than for too little. People are
# told what an address reads like with the word `password` in it.
SECRET = re.compile(
    rb"eyJ[\w-]{10,}\.[\w-]{4,}|\$argon2|horse battery|a secret of the tests|whsec_\w"
    rb"|(?i:[?&~][\w-]*(?:signature|token|hmac|md5|policy)=[^&\s\"]{6})|/share/[\w-]{30,}|/uppy/[\w.-]{30,}"
    rb"|://\w+:(?!password@)[^@/\s\"]+@|[Bb]earer [\w.-]{20,}"
)
_found: list[bytes] = []
_writing: list["_Writing"] = []


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


def read(text: bytes) -> None:
    _found.extend(secrets_in(text))


@dataclass(eq=False)
class _Writing:
    """A process, and what it writes to."""

    process: "subprocess.Popen[bytes]"
    files: list[BinaryIO]

    def read_on(self) -> bool:
        """Whole lines only while it lives. Whether there will be more."""
        is_over = self.process.poll() is not None
        for file in self.files:
            text = file.read()
            end = len(text) if is_over else text.rfind(b"\n") + 1
            file.seek(end - len(text), io.SEEK_CUR)
            read(text[:end])
            if is_over:
                file.close()
        return not is_over


def read_to_the_end(process: "subprocess.Popen[bytes]", *files: Path) -> None:
    """Now opened, for a test may delete them; read when tests end."""
    _writing.append(_Writing(process, [file.open("rb") for file in files]))


def secrets_found() -> list[bytes]:
    """Since somebody last asked."""
    _writing[:] = [one for one in _writing if one.read_on()]
    found, _found[:] = _found[:], []
    return found


def check_written() -> None:
    found = secrets_found()
    assert not found, f"a secret was logged, or had to be taken out: {found}"


def pytest_sessionfinish() -> None:
    """What lived through all tests has ended now."""
    check_written()


@pytest.fixture
def leaks_are_meant() -> Iterator[None]:
    """For the tests of this very rule."""
    yield
    secrets_found()


@pytest.fixture(autouse=True)
def _no_secret_is_logged() -> Iterator[None]:
    """Ends after all fixtures of the test, and so after the processes that they end."""
    yield
    check_written()
