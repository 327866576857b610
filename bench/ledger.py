"""The three totals of guide 000 §3.5, word for word, over ten million uploads of which 2 % never arrived: on
Mooring's table with its one covering partial index, and on the guide's table with the guide's plain indexes.

Rows are put in the fastest way: tables unlogged, constraints and the indexes that nobody measures left out.
Neither changes how the totals are read."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from mooring.db.migrate import migrate

USERS, ALBUMS = 5_000, 20_000
EVERY = 50  # one in so many is incomplete: 2 %

TOTALS = {
    "count": """
SELECT COUNT(*) AS incomplete_count
FROM temp_upload_records
WHERE expires_at < NOW()
  AND completed_at IS NULL;""",
    "by user": """
SELECT user_id, COUNT(*) AS incomplete_count
FROM temp_upload_records
WHERE expires_at < NOW()
  AND completed_at IS NULL
GROUP BY user_id;""",
    "by album": """
SELECT album_id, COUNT(*) AS incomplete_count
FROM temp_upload_records
WHERE expires_at < NOW()
  AND completed_at IS NULL
GROUP BY album_id;""",
}

# The same uploads for both: issued over the last year, in order, users and albums scattered.
STORY = f"""
    SELECT n, 1 + (n * 7919) % {USERS} AS user_id, 1 + (n * 104729) % {ALBUMS} AS album_id,
           began + n * step AS issued_at, began + n * step + interval '15 minutes' AS expires_at,
           CASE WHEN n % {EVERY} <> 0 THEN began + n * step + interval '20 seconds' END AS completed_at
    FROM generate_series(1, $1::bigint) AS n,
         (SELECT now() - interval '366 days' AS began, interval '365 days' / $1::bigint AS step) AS year"""

GUIDE_TABLE = """
    CREATE UNLOGGED TABLE temp_upload_records (
        upload_id bigint, album_id bigint NOT NULL, user_id bigint NOT NULL,
        issued_at timestamptz NOT NULL, expires_at timestamptz NOT NULL, completed_at timestamptz)"""
GUIDE_INDEXES = ("album_id", "user_id", "issued_at", "expires_at")

FILL_OURS = f"""
    INSERT INTO uploads (id, uuid, kind, original_filename, extension, uploader_id, target_id, file_size,
        content_type, directory, object_key, processing_status, reserved_bytes,
        created_at, expires_at, look_at, described_at, completed_at, etag)
    SELECT n, gen_random_uuid(), 'photo', 'IMG_' || n || '.jpg', 'jpg', user_id, album_id, 3000000,
        'image/jpeg', 'photos', 'photos/' || gen_random_uuid() || '_IMG_' || n || '.jpg',
        CASE WHEN completed_at IS NULL THEN 'RECLAIMED' ELSE 'COMPLETED' END, 0,
        issued_at, expires_at, expires_at, issued_at, completed_at,
        CASE WHEN completed_at IS NOT NULL THEN 'd41d8cd98f00b204e9800998ecf8427e' END
    FROM ({STORY}) AS story"""
FILL_GUIDE = f"""
    INSERT INTO temp_upload_records
    SELECT n, album_id, user_id, issued_at, expires_at, completed_at FROM ({STORY}) AS story"""

BARE = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT c.conname, c.conrelid::regclass AS of FROM pg_constraint c
               WHERE c.contype IN ('c', 'f', 'u', 'p') AND 'uploads'::regclass IN (c.conrelid, c.confrelid)
               ORDER BY c.contype = 'p' LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', one.of, one.conname);
    END LOOP;
    FOR one IN SELECT indexrelid::regclass AS name FROM pg_index WHERE indrelid = 'uploads'::regclass LOOP
        EXECUTE format('DROP INDEX %s', one.name);
    END LOOP;
    ALTER TABLE uploads SET UNLOGGED;
END $$"""


@dataclass(frozen=True)
class Found:
    ours_ms: dict[str, float]
    guides_ms: dict[str, float]
    our_index_mb: float
    guides_indexes_mb: float
    incomplete: int

    def times_faster(self, total: str) -> float:
        return self.guides_ms[total] / self.ours_ms[total]

    def details(self, total: str) -> str:
        return f"{self.ours_ms[total]:.1f} ms against {self.guides_ms[total]:.0f} ms"


async def measure(ours: str, guides: str, rows: int) -> Found:
    await asyncio.gather(_make_ours(ours, rows), _make_guides(guides, rows))
    our, guide = await asyncpg.connect(ours), await asyncpg.connect(guides)
    try:
        await _same_answers(our, guide, rows)
        return Found(
            ours_ms={name: await _milliseconds(our, sql, times=9) for name, sql in TOTALS.items()},
            guides_ms={name: await _milliseconds(guide, sql, times=5) for name, sql in TOTALS.items()},
            our_index_mb=await _index_mb(our, "uploads"),
            guides_indexes_mb=await _index_mb(guide, "temp_upload_records"),
            incomplete=rows // EVERY,
        )
    finally:
        await our.close()
        await guide.close()


async def _make_ours(url: str, rows: int) -> None:
    await migrate(url)
    connection = await asyncpg.connect(url)
    try:
        index = await connection.fetchval("SELECT pg_get_indexdef('uploads_incomplete'::regclass)")
        await connection.execute(BARE)
        await connection.execute(FILL_OURS, rows)
        await connection.execute(index)
        await connection.execute("VACUUM (ANALYZE) uploads")
    finally:
        await connection.close()


async def _make_guides(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(GUIDE_TABLE)
        await connection.execute(FILL_GUIDE, rows)
        for column in GUIDE_INDEXES:
            await connection.execute(f"CREATE INDEX ON temp_upload_records ({column})")
        await connection.execute("VACUUM (ANALYZE) temp_upload_records")
    finally:
        await connection.close()


async def _same_answers(our: asyncpg.Connection, guide: asyncpg.Connection, rows: int) -> None:
    for name, sql in TOTALS.items():
        if sorted(map(tuple, await our.fetch(sql))) != sorted(map(tuple, await guide.fetch(sql))):
            raise SystemExit(f"The ledger's two tables disagree about the total {name!r}.")
    if await our.fetchval(TOTALS["count"]) != rows // EVERY:
        raise SystemExit("The ledger holds other rows than were meant.")


async def _milliseconds(connection: asyncpg.Connection, sql: str, *, times: int) -> float:
    took: Sequence[float] = [await _once(connection, sql) for _ in range(times)]
    return statistics.median(took)


async def _once(connection: asyncpg.Connection, sql: str) -> float:
    began = time.perf_counter()
    await connection.fetch(sql)
    return (time.perf_counter() - began) * 1e3


async def _index_mb(connection: asyncpg.Connection, table: str) -> float:
    return float(await connection.fetchval("SELECT pg_indexes_size($1::regclass)", table)) / 2**20
