"""How often somebody came within a time: counted here, or in a Redis that all processes share.

A sliding window made of two: the requests of this one, and of the one before as many as still lie within the time, as
if they had come evenly. So nobody gets twice the limit at the turn of a minute, and a client costs one number."""

import math
import time
from collections.abc import Callable, Mapping

import structlog
from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

log = structlog.get_logger()

MOST_CLIENTS = 50_000  # counted singly, of one class within one window; who comes after them shares one count
OTHERS = "others"
STORE_SECONDS = 0.25  # for an answer of Redis; an API that waits longer for its limits is worse than none
AWAY_SECONDS = 5.0  # after it failed, this process counts alone before it asks again


class Window:
    __slots__ = ("_before", "_ends", "_now", "_time", "amount", "seconds")

    def __init__(self, limit: RateLimitItem, clock: Callable[[], float] = time.monotonic) -> None:
        self.amount = limit.amount
        self.seconds = limit.get_expiry()
        self._time = clock
        self._ends = clock() + self.seconds
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def hit(self, client: str) -> int:
        """0: come in. Else the seconds to wait; then it was not counted."""
        at = self._time()
        if at >= self._ends:
            self._turn(at)
        count = self._now.get(client)
        if count is None:
            if len(self._now) >= MOST_CLIENTS:
                client = OTHERS
            count = self._now.get(client, 0)
        before = self._before.get(client, 0) if self._before else 0
        if count + before * (self._ends - at) / self.seconds + 1 > self.amount:
            return self._wait(count, before, self._ends - at)
        self._now[client] = count + 1
        return 0

    def _turn(self, at: float) -> None:
        passed = 1 + int((at - self._ends) / self.seconds)
        self._before = self._now if passed == 1 else {}
        self._now = {}
        self._ends += passed * self.seconds

    def _wait(self, count: int, before: int, left: float) -> int:
        """Until there is room for one more: enough of the window before has gone by, or of this one in the next."""
        room = self.amount - 1 - count
        if before and room >= 0:
            return max(1, math.ceil(left - room * self.seconds / before))
        return max(1, math.ceil(left + self.seconds * (1 - (self.amount - 1) / max(1, count))))


class Here:
    """The counts of this process alone."""

    def __init__(self, limits: Mapping[str, RateLimitItem]) -> None:
        self.windows = {name: Window(limit) for name, limit in limits.items()}

    def hit(self, name: str, client: str) -> int:
        return self.windows[name].hit(client)


class Shared:
    """The counts of all processes, in a Redis. While it is away each counts alone: limits never take the API down."""

    def __init__(self, url: str, limits: Mapping[str, RateLimitItem], on_error: Callable[[], None]) -> None:
        self._limits = limits
        self._here = Here(limits)
        self._on_error = on_error
        self._away_until = 0.0
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=32,
            timeout=STORE_SECONDS,
            socket_timeout=STORE_SECONDS,
            socket_connect_timeout=STORE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="mooring",
            connection_pool=self._pool,  # type: ignore[arg-type]  # its options say less than it takes
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, name: str, client: str) -> int:
        if time.monotonic() < self._away_until:
            return self._here.hit(name, client)
        try:
            return await self._ask(self._limits[name], name, client)
        except (StorageError, OSError) as failure:
            self._away_until = time.monotonic() + AWAY_SECONDS
            self._on_error()
            log.warning("rate_limit_store_away", why=str(failure))
            return self._here.hit(name, client)

    async def close(self) -> None:
        await self._pool.aclose()

    async def _ask(self, limit: RateLimitItem, name: str, client: str) -> int:
        if await self._limiter.hit(limit, name, client):
            return 0
        stats = await self._limiter.get_window_stats(limit, name, client)
        return max(1, math.ceil(stats.reset_time - time.time()))
