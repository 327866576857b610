"""The databases of the bench, all in one PostgreSQL: the embedded default as Mooring ships it, fsync on.

Where BENCH_DATABASE_URL names another PostgreSQL on this machine (its superuser), that one is used."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from ground import OTHER_CORES, WORK
from mooring.db.embedded import Embedded
from mooring.db.programs import database_user, programs

BINARIES = programs(database_user()) / "bin"


@dataclass(frozen=True)
class Cluster:
    url: str  # of any database in it

    def database(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def create(self, name: str) -> str:
        """Its address."""
        name = f"bench_{name}"
        asyncio.run(self._create(name))
        return self.database(name)

    async def _create(self, name: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            if await connection.fetchval("SHOW fsync") != "on":
                raise SystemExit("This PostgreSQL has fsync off; what is measured here are durable rows.")
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()

    def pin(self, cores: Collection[int]) -> None:
        """It runs on these cores from now on; sessions that begin later inherit that from the postmaster."""
        postmaster = asyncio.run(self._postmaster())
        for task in [postmaster, *_children(postmaster)]:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(task, cores)

    async def _postmaster(self) -> int:
        connection = await asyncpg.connect(self.url)
        try:
            session = await connection.fetchval("SELECT pg_backend_pid()")
            return _parent(session)
        finally:
            await connection.close()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    given = os.environ.get("BENCH_DATABASE_URL")
    with contextlib.nullcontext(given) if given else _embedded() as url:
        cluster = Cluster(url)
        cluster.pin(OTHER_CORES)
        yield cluster


@contextlib.contextmanager
def _embedded() -> Iterator[str]:
    folder = WORK / "data"
    if folder.exists():
        with Embedded(folder):
            pass  # adopts and stops what a killed run may have left behind
        shutil.rmtree(folder)
    with Embedded(folder) as server:
        yield server.url
    shutil.rmtree(folder)
