"""How often somebody came within a time, counted for all processes together in a Redis."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping

import structlog
from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from mooring.web.windows import Here

log = structlog.get_logger()

STORE_SECONDS = 0.25  # for an answer of Redis; an API that waits longer for its limits is worse than none
AT_ONCE = 32  # more wait for their turn: a crowd here is no failure there
AWAY_SECONDS = 5.0  # after it failed, this process counts alone before it asks again


class Shared:
    """The counts of all processes, in a Redis. While it is away each counts alone: limits never take the API down."""

    def __init__(self, url: str, limits: Mapping[str, RateLimitItem], on_error: Callable[[], None]) -> None:
        self._limits = limits
        self._here = Here(limits)
        self._on_error = on_error
        self._away_until = 0.0
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._pool = ConnectionPool.from_url(
            url,
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
        async with self._turns:
            if time.monotonic() < self._away_until:
                return self._here.hit(name, client)
            try:
                return await self._ask(self._limits[name], name, client)
            except (StorageError, OSError) as failure:
                self._is_away(failure)
                return self._here.hit(name, client)

    async def close(self) -> None:
        await self._pool.aclose()

    def _is_away(self, failure: Exception) -> None:
        if time.monotonic() < self._away_until:
            return  # another who asked meanwhile has said so
        self._away_until = time.monotonic() + AWAY_SECONDS
        self._on_error()
        log.warning("rate_limit_store_away", why=str(failure))

    async def _ask(self, limit: RateLimitItem, name: str, client: str) -> int:
        if await self._limiter.hit(limit, name, client):
            return 0
        stats = await self._limiter.get_window_stats(limit, name, client)
        return max(1, math.ceil(stats.reset_time - time.time()))
