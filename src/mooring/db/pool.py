"""The way to PostgreSQL: a pool that says `DatabaseUnavailable` when it is away, and heals by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import asyncpg

from mooring.errors import DatabaseUnavailable, SetupProblem

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
WAIT_SECONDS = 10.0  # for a free connection; longer than that, "try again" is the better answer

_LOST = (
    OSError,  # TimeoutError is one too
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
_FAILED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Executor(Protocol):
    """What a statement is sent through: a `Database`, or a transaction of one."""

    async def fetch(self, sql: str, /, *args: Any) -> list[Any]: ...


def _ignore() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Database:
    """What services hold. Lost connections and time-outs are `DatabaseUnavailable`; what PostgreSQL itself
    refuses comes through as asyncpg's own error. Both call `on_error`; a broken constraint doesn't, for
    services expect those."""

    pool: asyncpg.Pool
    turns: asyncio.Semaphore  # as many as connections: the pool's own queue lets newcomers past those who wait
    on_error: Callable[[], None] = _ignore

    # Four times the same few lines: on the hot path a shared wrapper would cost more than it saves.

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        try:
            async with asyncio.timeout(STATEMENT_SECONDS), self.turns:
                return await self.pool.fetch(sql, *args)  # type: ignore[no-any-return]
        except _FAILED as error:
            self._judge(error)

    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None:
        try:
            async with asyncio.timeout(STATEMENT_SECONDS), self.turns:
                return await self.pool.fetchrow(sql, *args)
        except _FAILED as error:
            self._judge(error)

    async def fetchval(self, sql: str, *args: object) -> Any:
        try:
            async with asyncio.timeout(STATEMENT_SECONDS), self.turns:
                return await self.pool.fetchval(sql, *args)
        except _FAILED as error:
            self._judge(error)

    async def execute(self, sql: str, *args: object) -> str:
        """PostgreSQL's own word on what it did, as in `UPDATE 3`."""
        try:
            async with asyncio.timeout(STATEMENT_SECONDS), self.turns:
                return await self.pool.execute(sql, *args)  # type: ignore[no-any-return]
        except _FAILED as error:
            self._judge(error)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """`async with db.transaction() as tx:` commits at the end of the block, or rolls all of it back."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.turns.acquire()
            try:
                async with self.pool.acquire(timeout=WAIT_SECONDS) as connection, connection.transaction():
                    yield connection
            finally:
                self.turns.release()
        except _FAILED as error:
            self._judge(error)

    async def ping(self) -> None:
        await self.fetchval("SELECT 1")

    async def close(self) -> None:
        """Let what runs finish, but not for ever."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.pool.close()
        except _FAILED:
            self.pool.terminate()

    def _judge(self, error: Exception) -> NoReturn:
        if not isinstance(error, asyncpg.IntegrityConstraintViolationError):
            self.on_error()
        if is_lost(error):
            raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error
        raise error


def is_lost(error: BaseException) -> bool:
    """Whether this says "the server can't be reached", and not "the statement is wrong"."""
    if type(error) is asyncpg.InterfaceError:
        return "clos" in str(error)  # the connection, or the pool; of misuse it says other things
    # InternalClientError: a statement met the farewell of a dying server on its way in.
    return isinstance(error, _LOST) or type(error) is asyncpg.InternalClientError


async def open_database(
    url: str, *, most: int = 10, least: int = 2, on_error: Callable[[], None] = _ignore
) -> Database:
    """Opens even while the server is away: it may be back by the first statement."""
    turns = asyncio.Semaphore(most)
    try:
        return Database(await open_pool(url, most=most, least=least), turns, on_error)
    except DatabaseUnavailable:
        on_error()
        return Database(await open_pool(url, most=most, least=0), turns, on_error)


async def open_pool(url: str, *, most: int = 10, least: int = 2) -> asyncpg.Pool:
    """`least` connections are open on return and kept open; with 0 none is tried yet."""
    with connecting():
        return await asyncpg.create_pool(
            url,
            min_size=least,
            max_size=most,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            init=_prepare,
            reset=_keep,
            server_settings={"application_name": "mooring", "timezone": "UTC"},
        )


@contextmanager
def connecting() -> Iterator[None]:
    """Tells what a person must correct (`SetupProblem`) from what passes (`DatabaseUnavailable`)."""
    try:
        yield
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise SetupProblem(
            f"PostgreSQL refuses us: {error}. Check user and password in MOORING_DATABASE_URL."
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise SetupProblem(f"PostgreSQL says: {error}. Create it, or correct MOORING_DATABASE_URL.") from error
    except ValueError as error:
        raise SetupProblem(
            "MOORING_DATABASE_URL is no address of a PostgreSQL. It reads like postgresql://user:password@host:5432/database."
        ) from error
    except _FAILED as error:
        raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def _keep(_: asyncpg.Connection) -> None:
    """In place of asyncpg's reset query, a round trip after every statement: our sessions keep nothing."""
