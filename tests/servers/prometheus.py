"""Prometheus, Alertmanager and node_exporter of the tests' own, each on a port that nobody else has."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from servers.nginx import free_port
from servers.postgres import missing


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--picture", action="store_true", help="use the house for minutes, and keep the picture for docs/")


@contextmanager
def prometheus_in(folder: Path, *, port: int | None = None) -> Iterator[str]:
    """By the `prometheus.yml` there; gives its address."""
    port = port or free_port()
    words = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
        "--log.level=warn",
    ]
    with _running("prometheus", words, f"http://127.0.0.1:{port}", "/-/ready", folder) as url:
        yield url


@contextmanager
def alertmanager_in(folder: Path, port: int) -> Iterator[str]:
    words = [
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with _running("prometheus-alertmanager", words, f"http://127.0.0.1:{port}", "/-/ready", folder) as url:
        yield url


@contextmanager
def node_exporter_in(folder: Path, port: int) -> Iterator[str]:
    words = [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with _running("prometheus-node-exporter", words, f"http://127.0.0.1:{port}", "/", folder) as url:
        yield url


@contextmanager
def _running(name: str, words: Sequence[str], url: str, ready: str, folder: Path) -> Iterator[str]:
    program = shutil.which(name)
    if program is None:
        missing(f"{name} is not installed: apt-get install {name}")
    log = folder / f"{name}.log"
    with log.open("wb") as said, subprocess.Popen([program, *words], stdout=said, stderr=said, cwd=folder) as process:
        try:
            deadline = time.monotonic() + 20
            while not _answers(url + ready):
                assert process.poll() is None, f"{name} ended: {log.read_text()}"
                assert time.monotonic() < deadline, f"{name} does not answer: {log.read_text()}"
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
