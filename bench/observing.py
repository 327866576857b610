"""What watching costs the server: everything that is counted for one request, and the aggregation of the gauges.

python observing.py [--rows N]      # the aggregation over so many uploads, by itself"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg

from asked import Asked
from mooring.clock import now
from mooring.db.migrate import migrate
from mooring.library.growth import count_if_old
from mooring.observe.growth import Counted
from mooring.observe.metrics import Metrics
from mooring.storage.port import Found
from mooring.storage.timed import Timed
from table import Line, at_most

TIMES = 20_000
ROWS = 1_000_000
LAG = timedelta(milliseconds=300)
# Users, albums and links as many as a million uploads would have: 100 uploads of a user, 20 of an album.
_FILL = """
INSERT INTO users (email, password_hash) SELECT n || '@example.org', 'x' FROM generate_series(1, $1 / 100) n;
INSERT INTO albums (owner_id, title, created_at, updated_at)
    SELECT 1 + n % ($1 / 100), 'Summer', now(), now() FROM generate_series(1, $1 / 20) n;
INSERT INTO share_links (album_id, token_hash, created_at)
    SELECT n, decode(md5(n::text), 'hex'), now() FROM generate_series(1, $1 / 100) n;
INSERT INTO uploads (uuid, kind, original_filename, extension, uploader_id, target_id, file_size, content_type,
    directory, object_key, processing_status, reserved_bytes, created_at, expires_at, look_at, described_at,
    completed_at, etag)
    SELECT gen_random_uuid(), 'photo', 'a.jpg', 'jpg', 1 + n % ($1 / 100), 1 + n % ($1 / 20), 2000000, 'image/jpeg',
        'photos', 'photos/' || n, CASE WHEN n % 50 = 0 THEN 'PENDING' ELSE 'COMPLETED' END, 0, now() - interval '1 day',
        now() - interval '1 hour', now(), now(), CASE WHEN n % 50 = 0 THEN NULL ELSE now() END,
        CASE WHEN n % 50 = 0 THEN NULL ELSE 'e' END
    FROM generate_series(1, $1) n;
UPDATE quotas SET used_bytes = 98 * 2000000, photos = 98;
"""


class _NoStorage:
    """Answers at once, so that what stands around it is measured."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None

    async def stat(self, _: str) -> Found:
        return Found(1, "e")


def measure(asked: Asked) -> list[Line]:
    issue, confirm = asyncio.run(_counting())
    seconds = asyncio.run(_aggregate(asked.cluster.create("growth")))
    return [
        at_most("all that is counted for one issue, CPU", issue, 6, "µs"),
        at_most("… for one confirm, with the timing of storage", confirm, 6, "µs"),
        at_most(f"the aggregation of the business gauges over {ROWS:,} uploads", seconds * 1000, 500, "ms"),
    ]


async def _counting() -> tuple[float, float]:
    metrics = Metrics()
    metrics.growth.settle(Counted(1, 1, 1, 1, 1, 1, 1, 1, 1, {"7": 1}))
    bare = _NoStorage()
    timed = Timed(bare, metrics)  # type: ignore[arg-type]

    async def nothing() -> None:
        await bare.stat("k")

    async def issue() -> None:
        metrics.rate_limit_requests.inc("issue", "allowed")
        metrics.signed_in += 1
        metrics.issued(2_000_000)
        metrics.presign("success")
        metrics.signed_in -= 1
        metrics.answered("POST", "/photos/presigned-url", 200, 0.004)

    async def confirm() -> None:
        metrics.rate_limit_requests.inc("confirm", "allowed")
        metrics.signed_in += 1
        await timed.stat("k")
        metrics.arrived("client", LAG)
        metrics.stored("photo", 7, 2_000_000)
        metrics.confirm("success")
        metrics.signed_in -= 1
        metrics.answered("POST", "/photos/confirm", 200, 0.004)

    return await _cpu(issue), await _cpu(confirm) - await _cpu(nothing)


async def _cpu(what: Callable[[], Awaitable[None]]) -> float:
    """Microseconds of processor time, the best of some rounds."""
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(TIMES):
            await what()
        rounds.append((time.process_time() - began) / TIMES * 1e6)
    return min(rounds)


async def _aggregate(url: str) -> float:
    """Seconds, the median of some."""
    await migrate(url)
    connection = await asyncpg.connect(url)
    try:
        for statement in filter(str.strip, _FILL.split(";\n")):
            await connection.execute(statement.replace("$1", str(ROWS)), timeout=600)
        await connection.execute("VACUUM ANALYZE", timeout=600)
        taken = []
        for minute in range(7):
            began = time.perf_counter()
            assert await count_if_old(connection, at=now() + timedelta(minutes=2 * minute), most=100)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)
    finally:
        await connection.close()
