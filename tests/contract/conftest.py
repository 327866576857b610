"""Every place that keeps the storage's promises. Each test gets an empty one of each, on a real server."""

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from flaky import Flaky
from mooring.clock import now
from mooring.observe.metrics import Metrics
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Storage
from mooring.storage.s3 import S3Storage
from mooring.storage.timed import Timed
from servers.disk_door import Door, open_door
from servers.s3 import S3Server

WRAPPERS: Mapping[str, Callable[[Storage], Storage]] = {
    "disk": lambda storage: storage,
    "flaky": lambda storage: Flaky(storage, fails=0),
    "timed": lambda storage: Timed(storage, Metrics()),
}


@dataclass(frozen=True)
class Place:
    storage: Storage
    broken: Mapping[str, Storage] = field(repr=False)  # ways of not being usable
    checks_sha256: bool = True  # Ceph 16 takes other bytes than declared: the arrival's own check is all there is
    leaves_parts_out: bool = True  # Ceph 16 joins all parts that came or refuses: whoever completes names them all


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    ceph = ["ceph"] if metafunc.config.getoption("--ceph") else []
    if "place" in metafunc.fixturenames:
        metafunc.parametrize("kind", ["disk", "flaky", "timed", "swift", *ceph])
    elif "s3" in metafunc.fixturenames:
        metafunc.parametrize("kind", ["swift", *ceph])


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> S3Server | None:
    if kind in WRAPPERS:
        return None
    server: S3Server = request.getfixturevalue(kind)
    return server


@pytest.fixture(scope="session")
async def door() -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door


@pytest.fixture
async def place(kind: str, server: S3Server | None, door: Door, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as until_the_end:
        if server is None:
            disk = await door.open_to(tmp_path / "there", now)
            gone = DiskStorage(tmp_path / "gone", disk.secret, disk.public_url, now)
            # Wrappers must do nothing else than what they are for.
            wrapped = WRAPPERS[kind]
            yield Place(wrapped(disk), {"folder gone": wrapped(gone)})
            return
        storage = await made(server, until_the_end)
        broken = {
            "nobody listens": S3Storage(replace(storage.bucket, endpoint=f"http://127.0.0.1:{dead_port()}")),
            "wrong secret": S3Storage(replace(storage.bucket, secret_key="wrong")),
            "unknown key": S3Storage(replace(storage.bucket, access_key="nobody")),
            "bucket gone": S3Storage(server.new_bucket()),
        }
        for each in broken.values():
            until_the_end.push_async_callback(each.close)
        yield Place(storage, broken, checks_sha256=kind != "ceph", leaves_parts_out=kind != "ceph")


@pytest.fixture
async def s3(server: S3Server) -> AsyncIterator[S3Storage]:
    """For what only S3 has."""
    async with AsyncExitStack() as until_the_end:
        yield await made(server, until_the_end)


@pytest.fixture
def storage(place: Place) -> Storage:
    return place.storage


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


async def made(server: S3Server, until_the_end: AsyncExitStack) -> S3Storage:
    storage = S3Storage(server.new_bucket())
    until_the_end.push_async_callback(storage.close)
    steps = await storage.setup(origins=["http://localhost:8000"])
    assert steps[0].done, steps
    return storage


def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port: int = nobody.getsockname()[1]
        return port
