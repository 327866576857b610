"""A real Ceph gateway for the whole run, where pytest is told `--ceph`: it takes 12 s to start."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers.postgres import missing
from servers.s3 import S3Server, started

SCRIPT = Path(__file__).with_name("ceph_rgw.sh")
PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ceph", action="store_true", help="hold Ceph against the storage's contract, too")


@pytest.fixture(scope="session")
def ceph() -> Iterator[S3Server]:
    if not all(map(shutil.which, PROGRAMS)):
        missing("Ceph is not here: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd")
    monitor, gateway = free_ports()
    # A short path, since its sockets' names have a limit.
    with tempfile.TemporaryDirectory(prefix="ceph-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = ("bash", SCRIPT, Path(folder, "ceph"), monitor, gateway)
        with started(command, Path(folder, "log"), within=100):
            yield S3Server(f"http://127.0.0.1:{gateway}", "testkey", "testsecret")


def free_ports() -> tuple[str, str]:
    with ExitStack() as both:
        monitor, gateway = (both.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        return str(monitor.getsockname()[1]), str(gateway.getsockname()[1])
