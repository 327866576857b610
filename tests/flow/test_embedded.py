"""The embedded PostgreSQL lives as long as it has users, and comes back when it is killed. For real."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from mooring.db.embedded import Embedded, psql
from mooring.db.pool import Database, open_database
from mooring.errors import DatabaseUnavailable
from servers import ours
from servers.serving import until

USER = Path(__file__).parents[1] / "servers" / "embedded_user.py"


@dataclass
class Another:
    """Another process that uses the server in a folder."""

    process: subprocess.Popen[bytes]
    out: Path

    @property
    def said(self) -> str:
        return until(lambda: self.out.read_text().rpartition("\n")[0], 60)

    def leave(self) -> int:
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Callable[[Path], Another]]:
    started: list[Another] = []

    def start(folder: Path) -> Another:
        out = tmp_path / f"{len(started)}.out"
        process = ours.start([ours.PYTHON, "-W", "error", USER, folder], out, stdin=subprocess.PIPE)
        started.append(Another(process, out))
        return started[-1]

    yield start
    for user in started:
        user.leave()


def server_pid(folder: Path) -> int:
    return int((folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def fetchval(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


# ── what it is ──


async def test_it_is_a_postgresql_18_that_loses_nothing_and_listens_to_no_network(short_folder: Path) -> None:
    with Embedded(short_folder) as server:
        connection = await asyncpg.connect(server.url)
        show = {name: await connection.fetchval(f"SHOW {name}") for name in
                ("fsync", "data_checksums", "full_page_writes", "synchronous_commit", "listen_addresses",
                 "server_encoding", "timezone")}  # fmt: skip
        assert show == {
            "fsync": "on",
            "data_checksums": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "listen_addresses": "",
            "server_encoding": "UTF8",
            "timezone": "UTC",
        }
        assert connection.get_server_version().major == 18
        assert await connection.fetchval("SELECT lower('ÉCOLE')") == "école"
        assert await connection.fetchval("SELECT current_setting('is_superuser')") == "off"
        await connection.close()


def test_psql_opens_on_it_and_starts_it_where_needed(short_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert psql(short_folder, ("-XAtc", "SELECT current_database() || ' ' || current_user")) == 0
    assert capfd.readouterr().out == "mooring mooring\n"
    assert psql(short_folder, ("-Xc", "SELECT nothing")) == 1


def test_psql_opens_on_any_address_and_shows_its_password_to_nobody(
    short_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Embedded(short_folder) as server:
        url = server.url.replace("//mooring@", "//mooring:secr%2Fet@")
        assert psql(url, ("-XAtc", r"\! tr '\0' ' ' < /proc/$PPID/cmdline; echo; echo $PGPASSWORD")) == 0
    command, password = capfd.readouterr().out.splitlines()
    assert "postgresql://mooring@/mooring" in command
    assert "secr" not in command
    assert password == "secr/et"


# ── its users ──


async def test_the_second_user_shares_it_and_the_last_one_stops_it(short_folder: Path) -> None:
    first, second = Embedded(short_folder), Embedded(short_folder)
    url = first.start()
    pid = server_pid(short_folder)
    assert second.start() == url
    assert server_pid(short_folder) == pid
    first.stop()
    assert await fetchval(url, "SELECT 1") == 1
    second.stop()
    assert not lives(pid)
    first.stop()  # once more is no error
    assert [path.name for path in (short_folder / "postgres" / "socket").iterdir()] == []


async def test_the_starter_may_go_before_those_who_joined(
    short_folder: Path, another: Callable[[Path], Another]
) -> None:
    starter = another(short_folder)
    url = starter.said
    with Embedded(short_folder):
        pid = server_pid(short_folder)
        assert starter.leave() == 0
        assert await fetchval(url, "SELECT 1") == 1
    assert not lives(pid)


def test_many_that_start_at_once_on_a_fresh_folder_share_one_server(
    short_folder: Path, another: Callable[[Path], Another]
) -> None:
    users = [another(short_folder / "data") for _ in range(4)]
    assert len({user.said for user in users}) == 1
    pid = server_pid(short_folder / "data")
    log = (short_folder / "data" / "postgres" / "log").read_text()
    assert log.count("starting PostgreSQL") == 1
    for user in users:
        assert lives(pid)
        assert user.leave() == 0
    assert not lives(pid)


async def test_users_that_come_and_go_at_once_never_find_it_gone(short_folder: Path) -> None:
    async def visit() -> None:
        for _ in range(4):
            async with Embedded(short_folder) as server:
                assert await fetchval(server.url, "SELECT 1") == 1

    await asyncio.gather(*(visit() for _ in range(4)))
    assert not (short_folder / "postgres" / "cluster" / "postmaster.pid").exists()


def test_what_a_killed_user_left_running_is_adopted_and_stopped(
    short_folder: Path, another: Callable[[Path], Another]
) -> None:
    killed = another(short_folder)
    assert killed.said
    killed.process.kill()
    killed.process.wait()
    pid = server_pid(short_folder)
    assert lives(pid)
    with Embedded(short_folder):
        assert server_pid(short_folder) == pid
    assert not lives(pid)


# ── its deaths ──


async def test_what_was_committed_is_there_after_a_kill_of_the_server(short_folder: Path) -> None:
    with Embedded(short_folder) as server:
        await fetchval(server.url, "CREATE TABLE notes AS SELECT 7 AS n")
        os.kill(server_pid(short_folder), signal.SIGKILL)
    with Embedded(short_folder) as server:
        assert await fetchval(server.url, "SELECT n FROM notes") == 7


@pytest.mark.parametrize("watchers", ["both", "only the one that did not start it"])
async def test_a_server_killed_under_its_users_is_brought_back_once(short_folder: Path, watchers: str) -> None:
    async with Embedded(short_folder) as starter, Embedded(short_folder) as neighbour:
        users = (starter, neighbour) if watchers == "both" else (neighbour,)
        watching = [asyncio.create_task(user.watch()) for user in users]
        db = await open_database(neighbour.url)
        for kills in (1, 2):
            killed = server_pid(short_folder)
            os.kill(killed, signal.SIGKILL)
            await comes_back(db)
            assert (short_folder / "postgres" / "log").read_text().count("starting PostgreSQL") == 1 + kills
        for task in watching:
            task.cancel()
        await db.close()
        pid = server_pid(short_folder)
    assert not lives(pid)


async def test_a_server_that_somebody_else_stopped_is_brought_back_too(short_folder: Path) -> None:
    async with Embedded(short_folder) as server:
        watching = asyncio.create_task(server.watch())
        db = await open_database(server.url)
        os.kill(server_pid(short_folder), signal.SIGINT)
        await comes_back(db)
        watching.cancel()
        await db.close()


async def comes_back(db: Database) -> None:
    """Is missed at least once, then answers again."""
    async with asyncio.timeout(20):
        while await _answers(db):
            pass
        while not await _answers(db):
            await asyncio.sleep(0)


async def _answers(db: Database) -> bool:
    try:
        await db.ping()
    except DatabaseUnavailable:
        return False
    return True
