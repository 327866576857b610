"""A broker of the tests' own, as a program that may be killed and started again in the middle of a test."""

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@dataclass
class Program:
    command: Sequence[str | Path]
    folder: Path
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    greeting: tuple[bytes, bytes] = (b"", b"")  # what to say on the port, and what a ready one answers
    within: float = 60
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.env or None, cwd=self.folder)
        deadline = time.monotonic() + self.within
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(self.log.read_text()[-2000:])
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def _answers(self) -> bool:
        said, expected = self.greeting
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(said)
                return not expected or connection.recv(64).startswith(expected)
        except OSError:
            return False
