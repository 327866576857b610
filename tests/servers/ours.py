"""Processes of our own code. What they write, the suite reads: no line may hold a secret.

One that is started in another way does not start, so that no test forgets it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from servers.logs import read, read_to_the_end

PYTHON = Path(sys.executable)
COMMAND = PYTHON.with_name("mooring")
Words = Sequence[str | Path]

_somebody_reads = ContextVar("_somebody_reads", default=False)
# What it says our own code reads, and logs what it complains of.
_READ_BY_ITS_PARENT = "mooring.processing.child"
_NOT_OURS = ("pip",)  # modules that this Python runs too


def start(command: Words, out: Path, err: Path | None = None, **options: Any) -> "subprocess.Popen[bytes]":
    """It writes to these files; both to one where none is named for errors."""
    files = [out, err] if err else [out]
    with ExitStack() as closing:
        to_out, *to_err = [closing.enter_context(file.open("wb")) for file in files]
        closing.enter_context(_reading())
        process = subprocess.Popen(command, stdout=to_out, stderr=to_err[0] if to_err else to_out, **options)
    read_to_the_end(process, *files)
    return process


def run(command: Words, **options: Any) -> "subprocess.CompletedProcess[str]":
    with _reading():
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    read((done.stdout + done.stderr).encode())
    return done


@contextmanager
def _reading() -> Iterator[None]:
    before = _somebody_reads.set(True)
    try:
        yield
    finally:
        _somebody_reads.reset(before)


def pytest_configure() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, told: tuple[Any, ...]) -> None:
    if event != "subprocess.Popen" or _somebody_reads.get() or "PYTEST_CURRENT_TEST" not in os.environ:
        return
    if _is_ours([str(word) for word in told[1]]):
        pytest.fail(f"Nobody would read what this writes; start it with servers.ours: {told[1]}")


def _is_ours(words: Sequence[str]) -> bool:
    if words[0] not in (str(PYTHON), str(COMMAND)):
        return False
    return not (_READ_BY_ITS_PARENT in words or (words[1:2] == ["-m"] and words[2] in _NOT_OURS))
