"""Forward-only migrations: `migrations/NNNN_name.sql`, in order, each once, each all or nothing."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from mooring.db.pool import CONNECT_SECONDS, connecting, is_lost
from mooring.errors import DatabaseUnavailable, SetupProblem

OLDEST = 15
LOCK = 0x6D6F6F72  # any number, as long as nobody else in this database locks the same

_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version    integer PRIMARY KEY,
        name       text NOT NULL,
        checksum   text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )"""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(url: str) -> list[str]:
    """Bring the database to this code's schema; the names of what was applied. Many may call it at once."""
    with connecting():
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        return await apply(connection, shipped())
    except asyncpg.InsufficientPrivilegeError as error:
        raise SetupProblem(
            f"PostgreSQL says: {error}. Let the role of MOORING_DATABASE_URL own the database, "
            "or grant it CREATE on the schema public."
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if is_lost(error):
            raise DatabaseUnavailable(f"{type(error).__name__}: {error}") from error
        raise
    finally:
        await connection.close(timeout=CONNECT_SECONDS)


def shipped() -> list[Migration]:
    found = []
    for file in files("mooring.db").joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            version, name = file.name.removesuffix(".sql").split("_", 1)
            found.append(Migration(int(version), name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


async def apply(connection: asyncpg.Connection, migrations: list[Migration]) -> list[str]:
    if connection.get_server_version().major < OLDEST:
        raise SetupProblem(
            f"This PostgreSQL is {connection.get_server_version().major}; Mooring needs {OLDEST} or newer. "
            "Upgrade it, or leave MOORING_DATABASE_URL unset to use the embedded one."
        )
    # A rival waits here and then finds nothing left to do. The lock goes with the session, however that ends.
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=None)
    await connection.execute(_TABLE)
    applied = await connection.fetch("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    _check(migrations, {row["version"]: (row["name"], row["checksum"]) for row in applied})
    known = {row["version"] for row in applied}
    due = [migration for migration in migrations if migration.version not in known]
    for migration in due:
        await _run(connection, migration)
    return [f"{migration.version:04}_{migration.name}" for migration in due]


def _check(migrations: list[Migration], applied: dict[int, tuple[str, str]]) -> None:
    ours = {migration.version: migration for migration in migrations}
    for version, (name, checksum) in applied.items():
        if version not in ours:
            raise SetupProblem(
                f"The database is newer than this Mooring: it has migration {version:04}_{name}, "
                "which this version doesn't know. Run the newer Mooring, or restore the database from before."
            )
        if ours[version].checksum != checksum:
            raise SetupProblem(
                f"Migration {version:04}_{name} has another text than when it was applied to this database. "
                "Applied migrations never change: install the release anew, put changes into a new migration."
            )


async def _run(connection: asyncpg.Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            migration.version, migration.name, migration.checksum,
        )  # fmt: skip
