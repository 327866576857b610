"""Migrations and the pool, on a real database."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from mooring.db.embedded import Embedded
from mooring.db.migrate import Migration, apply, migrate, shipped
from mooring.db.pool import Database, open_database, open_pool
from mooring.errors import DatabaseUnavailable, SetupProblem

FIRST = Migration(1, "first", "CREATE TABLE first (n int)")
SECOND = Migration(2, "second", "CREATE TABLE second (n int)")


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url)


# ── migrations ──


async def test_what_is_shipped_is_applied_once_and_recorded(empty_database_url: str) -> None:
    names = [f"{migration.version:04}_{migration.name}" for migration in shipped()]
    assert await migrate(empty_database_url) == names
    assert await migrate(empty_database_url) == []
    connection = await connect(empty_database_url)
    rows = await connection.fetch("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    await connection.close()
    assert [tuple(row) for row in rows] == [(each.version, each.name, each.checksum) for each in shipped()]


async def test_eight_that_start_at_once_apply_each_migration_once(empty_database_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_database_url) for _ in range(8)))
    assert sorted(name for names in applied for name in names) == sorted(
        f"{migration.version:04}_{migration.name}" for migration in shipped()
    )
    assert sum(1 for names in applied if names) == 1


async def test_a_new_migration_is_applied_on_top(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    assert await apply(connection, [FIRST]) == ["0001_first"]
    assert await apply(connection, [FIRST, SECOND]) == ["0002_second"]
    await connection.close()


async def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    broken = Migration(2, "broken", "CREATE TABLE second (n int); SELECT 1 / 0")
    connection = await connect(empty_database_url)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await apply(connection, [FIRST, broken])
    assert await connection.fetchval("SELECT to_regclass('second')") is None
    assert await apply(connection, [FIRST, SECOND]) == ["0002_second"]
    await connection.close()


async def test_an_applied_migration_that_changed_is_refused(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    await apply(connection, [FIRST])
    with pytest.raises(SetupProblem, match="0001_first has another text"):
        await apply(connection, [Migration(1, "first", "CREATE TABLE first (n bigint)"), SECOND])
    assert await connection.fetchval("SELECT to_regclass('second')") is None
    await connection.close()


async def test_a_database_newer_than_the_code_is_refused(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    await apply(connection, [FIRST, SECOND])
    with pytest.raises(SetupProblem, match="newer than this Mooring: it has migration 0002_second"):
        await apply(connection, [FIRST])
    await connection.close()


async def test_a_postgresql_that_is_too_old_is_refused(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.db.migrate.OLDEST", 99)
    with pytest.raises(SetupProblem, match="Mooring needs 99 or newer"):
        await migrate(empty_database_url)


async def test_a_missing_database_says_what_to_do(empty_database_url: str) -> None:
    elsewhere = empty_database_url.replace("/test_", "/nowhere_")
    with pytest.raises(SetupProblem, match=r"nowhere_.*does not exist.*MOORING_DATABASE_URL"):
        await migrate(elsewhere)
    with pytest.raises(SetupProblem, match="is no address of a PostgreSQL"):
        await migrate("mysql://somewhere")


# ── the pool ──


class Count:
    n = 0

    def __call__(self) -> None:
        self.n += 1


async def test_jsonb_is_python_on_our_side(db: Database) -> None:
    value = {"a": [1, None, "한글"], "b": {"c": 1.5}}
    assert await db.fetchval("SELECT $1::jsonb", value) == value


async def test_a_transaction_commits_or_rolls_all_of_it_back(db: Database) -> None:
    await db.execute("CREATE TABLE notes (n int)")
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO notes VALUES (1)")

    async def half() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO notes VALUES (2)")
            raise KeyError

    with pytest.raises(KeyError):
        await half()
    assert [row["n"] for row in await db.fetch("SELECT n FROM notes")] == [1]


async def test_a_wrong_statement_is_counted_and_a_broken_constraint_is_not(database_url: str) -> None:
    count = Count()
    db = await open_database(database_url, on_error=count)
    await db.execute("CREATE TABLE notes (n int PRIMARY KEY)")
    await db.execute("INSERT INTO notes VALUES (1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        await db.execute("INSERT INTO notes VALUES (1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO notes VALUES (1)")
    assert count.n == 0
    with pytest.raises(asyncpg.UndefinedTableError):
        await db.fetch("SELECT * FROM nowhere")
    with pytest.raises(asyncpg.InterfaceError, match="expects 0 arguments"):
        await db.fetchrow("SELECT 1", 2)
    assert count.n == 2
    await db.close()


async def test_connections_that_are_cut_are_unavailable_once_and_heal(database_url: str) -> None:
    count = Count()
    db = await open_database(database_url, least=1, most=1, on_error=count)
    with pytest.raises(DatabaseUnavailable):
        await db.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
    await db.ping()
    with pytest.raises(DatabaseUnavailable):
        async with db.transaction() as tx:
            await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    await db.ping()
    assert count.n == 2
    await db.close()


async def test_a_connection_that_can_not_be_had_in_time_is_unavailable(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.db.pool.WAIT_SECONDS", 0.05)
    monkeypatch.setattr("mooring.db.pool.STATEMENT_SECONDS", 0.05)
    db = await open_database(database_url, least=1, most=1)
    async with db.transaction():
        with pytest.raises(DatabaseUnavailable):
            await db.ping()
        with pytest.raises(DatabaseUnavailable):
            async with db.transaction():
                pass
    await db.ping()
    await db.close()


async def test_a_database_opened_while_its_server_is_away_works_once_that_is_back(short_folder: Path) -> None:
    server = Embedded(short_folder)
    async with server:
        url = server.url
    with pytest.raises(DatabaseUnavailable):
        await open_pool(url)
    with pytest.raises(DatabaseUnavailable):
        await migrate(url)
    count = Count()
    db = await open_database(url, on_error=count)
    with pytest.raises(DatabaseUnavailable):
        await db.ping()
    assert count.n == 2
    for _ in range(2):  # and again, with connections that died in the pool
        async with server:
            await db.ping()
        with pytest.raises(DatabaseUnavailable):
            await db.ping()
    await db.close()
