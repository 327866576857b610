"""`mooring events`: what each broker brings is settled and then forgotten, and nothing else is."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from flaky import Flaky
from mooring.consumers.address import source_of
from mooring.consumers.receiver import Receiver
from mooring.errors import SetupProblem
from mooring.library.photos import Ticket
from mooring.listening import consume
from mooring.observe.metrics import Metrics
from mooring.settings import Settings
from mooring.uploads.storage_events import StorageEvents
from servers.brokers import FORGETFUL, QUEUES, Queue
from servers.waiting import until
from world import World

every = pytest.mark.parametrize("queue", QUEUES, indirect=True)
that_remembers = pytest.mark.parametrize("queue", [name for name in QUEUES if name not in FORGETFUL], indirect=True)


def receiver_of(world: World) -> Receiver:
    return Receiver(StorageEvents(world.uploads, Metrics()), pauses=(0.01, 0.05))


@asynccontextmanager
async def consuming(queue: Queue, receiver: Receiver, tmp_path: Path) -> AsyncIterator[asyncio.Task[None]]:
    keys = {"s3_access_key_id": SecretStr("testkey"), "s3_secret_access_key": SecretStr("testsecret")}
    stopping = asyncio.Event()
    source = source_of(queue.url)
    running = asyncio.create_task(consume(Settings(data=tmp_path, **keys), source, receiver, stopping))  # type: ignore[arg-type]
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


@every
async def test_what_comes_is_settled_and_forgotten(queue: Queue, world: World, tmp_path: Path) -> None:
    """Doubled, out of order, broken and strange messages among them; what was sent before we came, too."""
    tickets = await uploaded(world, 5)
    receiver = receiver_of(world)
    await queue.send(event(tickets[0]), event(tickets[0]), b"no event at all", b'{"Event": "s3:TestEvent"}')
    async with consuming(queue, receiver, tmp_path):
        await until_arrived(world, tickets[:1])
        await queue.send(*(event(ticket) for ticket in reversed(tickets)), event(tickets[4], "ObjectRemoved:Delete"))
        await until_arrived(world, tickets)
        await until_empty(queue)
    for ticket in tickets:
        assert await world.story(ticket.photo_id) == [("issued", "client"), ("arrived", "event")]
    counted = receiver.events.metrics.registry.get_sample_value
    assert counted("photo_api_storage_events_total", {"result": "arrived"}) == 5
    assert counted("photo_api_storage_events_total", {"result": "unreadable"}) == 1
    assert counted("photo_api_storage_events_total", {"result": "ignored"}) == 2


@every
async def test_what_can_not_be_told_is_brought_again(queue: Queue, world: World, tmp_path: Path) -> None:
    """The storage is away for longer than one message is held."""
    tickets = await uploaded(world, 2)
    away = replace(world.uploads, storage=Flaky(world.disk, fails=8))
    async with consuming(queue, receiver_of(replace(world, uploads=away)), tmp_path):
        await queue.send(*(event(ticket) for ticket in tickets))
        await until_arrived(world, tickets)
        await until_empty(queue)


@every
async def test_who_dies_over_a_message_leaves_it_to_the_next(queue: Queue, world: World, tmp_path: Path) -> None:
    tickets, reached = await uploaded(world, 1), asyncio.Event()

    class Stuck(Receiver):
        async def settle(self, message: bytes | str) -> bool:
            reached.set()
            await asyncio.Event().wait()
            return True

    await queue.send(event(tickets[0]))
    keys = {"s3_access_key_id": SecretStr("testkey"), "s3_secret_access_key": SecretStr("testsecret")}
    settings = Settings(data=tmp_path, **keys)  # type: ignore[arg-type]
    first = Stuck(StorageEvents(world.uploads, Metrics()))
    dying = asyncio.create_task(consume(settings, source_of(queue.url), first, asyncio.Event()))
    async with asyncio.timeout(60):
        await reached.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    async with consuming(queue, receiver_of(world), tmp_path):
        await until_arrived(world, tickets)


@that_remembers
async def test_a_broker_that_goes_away_and_comes_back_loses_nothing(queue: Any, world: World, tmp_path: Path) -> None:
    tickets = await uploaded(world, 3)
    async with consuming(queue, receiver_of(world), tmp_path):
        await queue.send(event(tickets[0]))
        await until_arrived(world, tickets[:1])
        await asyncio.to_thread(queue.program.kill)
        await asyncio.to_thread(queue.program.start)
        await queue.send(event(tickets[1]))
        await until_arrived(world, tickets[:2])
    await queue.send(event(tickets[2]))
    await asyncio.to_thread(queue.program.kill)
    async with consuming(queue, receiver_of(world), tmp_path):  # it is not there yet when we come
        await asyncio.to_thread(queue.program.start)
        await until_arrived(world, tickets)
        await until_empty(queue)


@pytest.mark.parametrize(
    "written",
    ["", "sqs://", "ftp://host", "amqp://host", "nats://host?stream=x", "kafka://host", "redis://host/0",
     "redis://host?list=a&stream=b", "amqp://?queue=x"],
)  # fmt: skip
def test_a_url_that_says_too_little_is_one_sentence(written: str) -> None:
    with pytest.raises(SetupProblem, match=r"://.+\.$"):
        source_of(written)


def test_a_source_is_named_without_its_password() -> None:
    source = source_of("amqps://user:secret@host:5671/vhost?queue=events&heartbeat=30")
    assert (source.kind, source.host, source.words["queue"]) == ("amqp", "host:5671", "events")
    assert source.url == "amqps://user:secret@host:5671/vhost?heartbeat=30"
    assert "secret" not in f"{source} {source!r}"
