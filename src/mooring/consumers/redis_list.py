"""Messages of a Redis list, as MinIO writes them. Taking one moves it to a list of what is under way, so that who dies
loses nothing: whoever starts next, or finds Redis again, puts it back."""

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from mooring.consumers.address import Source
from mooring.consumers.cancellation import heed_cancellation
from mooring.consumers.receiver import Receiver

log = structlog.get_logger()

WAIT_SECONDS = 1.0
ANOTHER_TRY_SECONDS = 1.0
FAREWELL_SECONDS = 2.0
TAKERS = 8


@dataclass(frozen=True)
class RedisListConsumer:
    source: Source
    receiver: Receiver

    async def run(self, stopping: asyncio.Event) -> None:
        async with Redis.from_url(self.source.url) as redis:
            await self._put_back(redis, stopping)
            takers = [asyncio.create_task(self._take(redis, stopping)) for _ in range(TAKERS)]
            try:
                await stopping.wait()
                await asyncio.gather(*takers)
            finally:
                for taker in takers:
                    taker.cancel()
                await asyncio.wait(takers, timeout=FAREWELL_SECONDS)  # before their connections are closed

    @property
    def _under_way(self) -> str:
        return f"{self.source.words['list']}:mooring"

    async def _put_back(self, redis: Any, stopping: asyncio.Event) -> None:
        """What another is at in this moment is done twice then, which does no harm."""
        while not stopping.is_set():
            try:
                while await redis.lmove(self._under_way, self.source.words["list"], "RIGHT", "LEFT"):
                    pass
                return
            except (RedisError, OSError) as away:
                await self._wait(away)

    async def _take(self, redis: Any, stopping: asyncio.Event) -> None:
        name, under_way = self.source.words["list"], self._under_way
        while not stopping.is_set():
            heed_cancellation()
            try:
                message = await redis.blmove(name, under_way, WAIT_SECONDS, "LEFT", "RIGHT")
                if message is None:
                    continue
                is_settled = await self.receiver.settle(message)
                async with redis.pipeline(transaction=True) as both:
                    both.lrem(under_way, 1, message)
                    if not is_settled:
                        both.rpush(name, message)
                    await both.execute()
            except (RedisError, OSError) as away:
                await self._wait(away)
                await self._put_back(redis, stopping)  # what it gave away and we did not hear of, or could not tell

    async def _wait(self, away: Exception) -> None:
        log.warning("broker_away", source=str(self.source), why=str(away))
        await asyncio.sleep(ANOTHER_TRY_SECONDS)
