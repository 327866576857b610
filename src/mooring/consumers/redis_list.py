"""Messages of a Redis list, as MinIO writes them. Taking one moves it to a list of what this consumer has under way, so
that who dies loses nothing. Each says that it lives, again and again; what is left of one who has not said so for
`claim_after` seconds is put back by any other. A living one, however slow, keeps what it has."""

import asyncio
from dataclasses import dataclass, field
from socket import gethostname
from typing import Any
from uuid import uuid4

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
BEATS = 4  # in `claim_after` seconds


@dataclass(frozen=True)
class RedisListConsumer:
    source: Source
    receiver: Receiver
    name: str = field(default_factory=lambda: f"{gethostname()}-{uuid4().hex[:8]}")

    async def run(self, stopping: asyncio.Event) -> None:
        async with Redis.from_url(self.source.url) as redis:
            await self._begin(redis, stopping)
            takers = [asyncio.create_task(self._take(redis, stopping)) for _ in range(TAKERS)]
            keeping = asyncio.create_task(self._keep(redis))
            try:
                await stopping.wait()
                await asyncio.gather(*takers)
            finally:
                for task in (*takers, keeping):
                    task.cancel()
                await asyncio.wait((*takers, keeping), timeout=FAREWELL_SECONDS)  # before their connections are closed

    @property
    def _list(self) -> str:
        return self.source.words["list"]

    @property
    def _under_way(self) -> str:
        return self._under_way_at(self.name)

    @property
    def _consumers(self) -> str:
        return f"{self._list}:mooring:consumers"

    def _under_way_at(self, name: str) -> str:
        return f"{self._list}:mooring:{name}"

    def _life_of(self, name: str) -> str:
        return f"{self._list}:mooring:{name}:lives"

    @property
    def _silence(self) -> float:
        return float(self.source.words["claim_after"])

    async def _begin(self, redis: Any, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self._beat(redis)
                await self._put_back(redis, f"{self._list}:mooring")  # where it was before each had a list of its own
                return
            except (RedisError, OSError) as away:
                await self._wait(away)

    async def _keep(self, redis: Any) -> None:
        while True:
            heed_cancellation()
            try:
                await asyncio.sleep(self._silence / BEATS)
                await self._beat(redis)
            except (RedisError, OSError) as away:
                await self._wait(away)

    async def _beat(self, redis: Any) -> None:
        """Says that we live, and looks who does not."""
        await redis.sadd(self._consumers, self.name)
        await redis.set(self._life_of(self.name), "1", px=int(self._silence * 1000))
        for name in await redis.smembers(self._consumers):
            if await redis.exists(self._life_of(name.decode())):
                continue
            await self._put_back(redis, self._under_way_at(name.decode()))
            await redis.srem(self._consumers, name)  # who was only silent says its name again

    async def _put_back(self, redis: Any, under_way: str) -> None:
        while await redis.lmove(under_way, self._list, "RIGHT", "LEFT"):
            heed_cancellation()

    async def _take(self, redis: Any, stopping: asyncio.Event) -> None:
        is_unsure = False
        while not stopping.is_set():
            heed_cancellation()
            try:
                if is_unsure:  # of what Redis gave away and we did not hear of, or could not tell
                    await self._put_back(redis, self._under_way)  # what others here are at is done twice: no harm
                    is_unsure = False
                message = await redis.blmove(self._list, self._under_way, WAIT_SECONDS, "LEFT", "RIGHT")
                if message is None:
                    continue
                is_settled = await self.receiver.settle(message)
                async with redis.pipeline(transaction=True) as both:
                    both.lrem(self._under_way, 1, message)
                    if not is_settled:
                        both.rpush(self._list, message)
                    await both.execute()
            except (RedisError, OSError) as away:
                is_unsure = True
                await self._wait(away)

    async def _wait(self, away: Exception) -> None:
        log.warning("broker_away", source=str(self.source), why=str(away))
        await asyncio.sleep(ANOTHER_TRY_SECONDS)
