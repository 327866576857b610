"""A consumer that is cancelled ends, even where a library swallows the cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis.asyncio import Redis

from mooring.consumers import brokers, sqs
from mooring.consumers.address import source_of
from mooring.consumers.brokers import BrokerConsumer
from mooring.consumers.redis_list import RedisListConsumer
from mooring.consumers.sqs import SqsConsumer

Run = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class Swallowing:
    """A library whose calls take as long as you like, and end as if nothing had happened when they are cancelled."""

    subscribers = ()

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    async def __aenter__(self) -> "Swallowing":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def start(self) -> None:
        return None

    stop = start

    async def slowly(self, *_: object, **__: object) -> None:
        self.is_asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    ping = blmove = slowly

    async def nothing(self, *_: object, **__: object) -> None:
        return None

    lmove = sadd = set = nothing

    async def smembers(self, _: object) -> list[bytes]:
        return []

    async def get_queue_url(self, **_: object) -> dict[str, str]:
        return {"QueueUrl": "queue"}

    async def receive_message(self, **_: object) -> dict[str, str]:
        await self.slowly()
        return {}


async def ends_when_cancelled(run: Run, library: Swallowing) -> None:
    before = asyncio.all_tasks()
    running = asyncio.create_task(run(asyncio.Event()))
    async with asyncio.timeout(30):
        await library.is_asked.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=30)
    assert running.cancelled()
    assert asyncio.all_tasks() == before, "nobody of theirs is left"


async def test_of_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Swallowing()

    async def made(*_: object) -> Swallowing:
        return library

    monkeypatch.setattr(brokers, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(brokers, "BROKERS", {"nats": made})
    await ends_when_cancelled(BrokerConsumer(source_of("nats://x?stream=events&subject=events"), None).run, library)  # type: ignore[arg-type]


async def test_of_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Swallowing()
    monkeypatch.setattr(Redis, "from_url", lambda *_, **__: library)
    consumer = RedisListConsumer(source_of("redis://x/0?list=events"), None)  # type: ignore[arg-type]
    await ends_when_cancelled(consumer.run, library)


async def test_of_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Swallowing()

    class Session:
        def create_client(self, *_: object, **__: object) -> Swallowing:
            return library

    monkeypatch.setattr(sqs, "get_session", Session)
    consumer = SqsConsumer(source_of("sqs://queue"), None, "us-east-1", None, None)  # type: ignore[arg-type]
    await ends_when_cancelled(consumer.run, library)
