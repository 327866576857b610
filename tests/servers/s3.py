"""An S3 server of the tests' own, whichever it is."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from select import select
from uuid import uuid4

import pytest

from mooring.storage.s3_bucket import Bucket


@dataclass(frozen=True)
class S3Server:
    endpoint: str
    access_key: str
    secret_key: str

    def new_bucket(self) -> Bucket:
        """A name that nobody has yet; the bucket itself is not made."""
        return Bucket(f"test-{uuid4().hex[:12]}", "us-east-1", self.endpoint, self.access_key, self.secret_key)


@contextmanager
def started(command: Sequence[str | Path], log: Path, *, within: float) -> Iterator[str]:
    """A program that prints a line when it is ready, and ends when its standard input does. Gives the line."""
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    with process:  # leaving it closes the pipes and waits
        assert process.stdout
        ready, _, _ = select([process.stdout], [], [], within)
        line = process.stdout.readline().decode().strip() if ready else ""
        if not line:
            process.kill()
            pytest.fail(f"{command[0]} did not start: {log.read_text()[-2000:]}")
        yield line
