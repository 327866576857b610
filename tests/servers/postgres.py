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
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import asyncpg
import pytest

from mooring.db.embedded import Embedded
from mooring.db.migrate import migrate
from mooring.db.pool import Database, open_database

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
MEMORY = Path("/dev/shm")
ENOUGH = 8 * 2**30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", choices=["15", "18"], default="18", help="PostgreSQL to run the tests on")


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL that is the tests' own, with a role `mooring` that may make databases."""

    socket_folder: str

    def url(self, database: str, user: str = "mooring") -> str:
        return f"postgresql://{user}@/{database}?host={self.socket_folder}&port=5432"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Short, for a socket's path may have 107 bytes, and passable, for PostgreSQL's own user must get in."""
    with passable_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Server]:
    is_embedded = request.config.getoption("--postgres") == "18"
    with passable_folder() as folder, _embedded(folder) if is_embedded else _debian_15(folder) as server:
        yield server


@pytest.fixture(scope="session")
async def template(postgres: Server) -> str:
    """A database with the schema, copied for every test. What the tests share need not outlive the machine."""
    await _administer(postgres, "ALTER SYSTEM SET fsync = off")
    await _administer(postgres, "ALTER SYSTEM SET max_wal_size = '128MB'")
    await _administer(postgres, "SELECT pg_reload_conf()")
    await _administer(postgres, "CREATE DATABASE template_mooring OWNER mooring")
    await migrate(postgres.url("template_mooring"))
    return "template_mooring"


@pytest.fixture
async def database_url(postgres: Server, template: str) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    await _administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template} OWNER mooring")
    yield postgres.url(name)
    await _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_database_url(postgres: Server) -> AsyncIterator[str]:
    """Without the schema."""
    name = f"test_{uuid4().hex[:12]}"
    await _administer(postgres, f"CREATE DATABASE {name} OWNER mooring")
    yield postgres.url(name)
    await _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, least=1)
    yield database
    await database.close()


def missing(why: str) -> NoReturn:
    """A server that is not here: a person's machine skips its tests, CI must not."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


async def _administer(server: Server, sql: str) -> None:
    connection = await asyncpg.connect(server.url("postgres", user="postgres"))
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@contextmanager
def passable_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mooring-", dir=_roomy()))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _roomy() -> str:
    """In memory, where there is enough: a database is three hundred files, and making them is most of a test's time."""
    if MEMORY.exists() and shutil.disk_usage(MEMORY).free > ENOUGH:
        return str(MEMORY)
    return "/tmp"


@contextmanager
def _embedded(folder: Path) -> Iterator[Server]:
    with Embedded(folder):
        yield Server(str(folder / "postgres" / "socket"))


@contextmanager
def _debian_15(folder: Path) -> Iterator[Server]:
    """Private because nobody but the database's user, and root, can enter its home."""
    if not (DEBIAN_15 / "postgres").exists():
        missing(f"PostgreSQL 15 is not installed in {DEBIAN_15}: apt-get install postgresql-15")
    home = folder / "home"
    home.mkdir(mode=0o700)
    as_user: dict[str, Any] = {"cwd": "/"}
    if os.geteuid() == 0:
        as_user |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(home, "postgres", "postgres")
    subprocess.run(
        [DEBIAN_15 / "initdb", "-D", home / "cluster", "-U", "postgres", "-A", "trust", "--no-sync",
         "--encoding=UTF8", "--locale=C.UTF-8"],
        check=True, stdout=subprocess.DEVNULL, **as_user,
    )  # fmt: skip
    subprocess.run(
        [DEBIAN_15 / "postgres", "--single", "-D", home / "cluster", "postgres"],
        input=b"CREATE ROLE mooring LOGIN CREATEDB;\n", check=True, capture_output=True, **as_user,
    )  # fmt: skip
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [DEBIAN_15 / "postgres", "-D", home / "cluster", "-k", home, "-h", "", "-p", "5432"],
            stdout=log, stderr=log, **as_user,
        )  # fmt: skip
    try:
        while process.poll() is None and not _is_ready(home / "cluster"):
            time.sleep(0.005)
        if process.poll() is not None:
            pytest.fail((folder / "log").read_text())
        yield Server(str(home))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _is_ready(cluster: Path) -> bool:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (OSError, IndexError):
        return False
