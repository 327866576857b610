"""A consumer under test, what it is told, and what should become of that."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from mooring.consumers.address import source_of
from mooring.consumers.receiver import Receiver
from mooring.library.photos import Ticket
from mooring.listening import consume
from mooring.observe.metrics import Metrics
from mooring.settings import Settings
from mooring.uploads.storage_events import StorageEvents
from servers.brokers import QUEUES, Queue
from servers.waiting import until
from world import World


def of(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("queue", kinds, indirect=True)


every = of(*QUEUES)


def settings_in(folder: Path) -> Settings:
    keys = {"s3_access_key_id": SecretStr("testkey"), "s3_secret_access_key": SecretStr("testsecret")}
    return Settings(data=folder, **keys)  # type: ignore[arg-type]


def receiver_of(world: World) -> Receiver:
    return Receiver(StorageEvents(world.uploads, Metrics()), pauses=(0.01, 0.05))


@asynccontextmanager
async def consuming(queue: Queue, receiver: Receiver, tmp_path: Path) -> AsyncIterator[asyncio.Task[None]]:
    stopping = asyncio.Event()
    source = source_of(queue.url)
    running = asyncio.create_task(consume(settings_in(tmp_path), source, receiver, stopping))
    try:
        yield running
    finally:
        stopping.set()
        async with asyncio.timeout(60):
            await running


async def uploaded(world: World, count: int) -> list[Ticket]:
    user, album = await world.owner("premium")
    tickets = [await world.issue(user, album) for _ in range(count)]
    for ticket in tickets:
        await world.put(ticket.put)
    return tickets


def event(ticket: Ticket, name: str = "ObjectCreated:Put") -> bytes:
    told = {"eventName": name, "s3": {"bucket": {"name": "photos"}, "object": {"key": ticket.object_key}}}
    return json.dumps({"Records": [told]}).encode()


async def until_arrived(world: World, tickets: list[Ticket]) -> None:
    async def all_are_here() -> bool:
        return {await world.state(ticket.photo_id) for ticket in tickets} == {"UPLOADED"}

    await until(all_are_here)


async def until_empty(queue: Queue) -> None:
    async def nothing_is_held() -> bool:
        return await queue.held() == 0

    await until(nothing_is_held)
