"""What watching costs the server: everything that is counted for one request, the aggregation of the gauges, and a log
service that does not answer.

python observing.py [--rows N]      # the aggregation over so many uploads, by itself"""

import asyncio
import socket
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import asyncpg

import contenders
from asked import Asked
from load import Round, press, write_asks
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
SLOWER = 1.5  # times, at most, of p99
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
        *_beside_a_dead_log_service(asked),
    ]


def _beside_a_dead_log_service(asked: Asked) -> list[Line]:
    """All three of one database, in turn, each round begun by another."""
    url = asked.cluster.create("shipping")
    asyncio.run(migrate(url))
    contenders.seed_mooring(url)
    asks = write_asks("shipping", contenders.issues(contenders.mooring_tokens()))
    with ExitStack() as running:
        stub = running.enter_context(contenders.stub_storage())
        hanging, refusing = running.enter_context(_hanging()), running.enter_context(_refusing())
        services = {"none": {}, "hangs": _shipping_to(hanging), "refuses": _shipping_to(refusing)}
        servers = {name: running.enter_context(contenders.mooring(url, stub, **env)) for name, env in services.items()}
        seen: dict[str, list[Round]] = {name: [] for name in servers}
        for server in servers.values():
            press(server, asks, seconds=1)
        for number in range(asked.rounds):
            names = list(servers)
            for name in (*names[number % len(names) :], *names[: number % len(names)]):
                seen[name].append(press(servers[name], asks, seconds=asked.seconds))
    return [
        _ratio("`POST /photos/presigned-url` beside a log service that hangs, p99 against none", seen, "hangs"),
        _ratio("… beside one that refuses connections", seen, "refuses"),
    ]


def _shipping_to(port: int) -> dict[str, str]:
    return {
        "MOORING_LOG_SERVICE_URL": f"http://127.0.0.1:{port}/v2/log",
        "MOORING_LOG_SERVICE_APP_KEY": "the app key of the bench",
        "MOORING_LOG_SERVICE_STOP_SECONDS": "0",
    }


@contextmanager
def _hanging() -> Iterator[int]:
    """Its connections come about, for the kernel makes them, and nobody ever looks at one."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        yield server.getsockname()[1]


@contextmanager
def _refusing() -> Iterator[int]:
    """Bound, so that no other takes its place, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _ratio(what: str, seen: dict[str, list[Round]], name: str) -> Line:
    beside, alone = seen[name], seen["none"]
    ratio = statistics.median(one.p99_ms / other.p99_ms for one, other in zip(beside, alone, strict=True))
    each = [statistics.median(one.p99_ms for one in rounds) for rounds in (beside, alone)]
    return at_most(what, ratio, SLOWER, "×", f"{each[0]:.1f} ms against {each[1]:.1f} ms")


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
