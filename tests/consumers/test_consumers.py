"""`mooring events`: what each broker brings is settled and then forgotten, and nothing else is."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.listening import consuming, event, every, receiver_of, settings_in, until_arrived, until_empty, uploaded
from flaky import Flaky
from mooring.consumers.address import source_of
from mooring.consumers.receiver import Receiver
from mooring.errors import SetupProblem
from mooring.listening import consume
from mooring.observe.metrics import Metrics
from mooring.uploads.storage_events import StorageEvents
from servers.brokers import Queue
from world import World


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
    first = Stuck(StorageEvents(world.uploads, Metrics()))
    dying = asyncio.create_task(consume(settings_in(tmp_path), source_of(queue.url), first, asyncio.Event()))
    async with asyncio.timeout(60):
        await reached.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    async with consuming(queue, receiver_of(world), tmp_path):
        await until_arrived(world, tickets)


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
