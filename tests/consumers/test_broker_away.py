"""Brokers, the database and we ourselves go away and come back: nothing is lost, and nothing arrives twice."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from consumers import dying
from consumers.listening import consuming, event, every, of, receiver_of, until_arrived, until_empty, uploaded
from mooring.consumers import brokers
from mooring.consumers.receiver import Receiver
from mooring.consumers.redis_list import BEATS
from mooring.library.photos import Ticket
from servers import ours
from servers.brokers import KafkaQueue, Queue, RedisQueue, SqsQueue
from servers.postgres import Server
from servers.waiting import until
from world import World

TESTS = Path(__file__).parents[1]
HEARTBEAT, IT_IS_STILL_LOADING = 12, 14  # of Kafka's protocol


@dataclass(frozen=True)
class Held(Receiver):
    """Handles a message, and goes no further before it may."""

    handled: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def settle(self, message: bytes | str) -> bool:
        is_settled = await super().settle(message)
        self.handled.set()
        await self.may_go_on.wait()
        return is_settled


@dataclass(frozen=True)
class Counting(Receiver):
    kept: list[bytes | str] = field(default_factory=list)

    async def settle(self, message: bytes | str) -> bool:
        is_settled = await super().settle(message)
        if not is_settled:
            self.kept.append(message)
        return is_settled


async def until_logged(lines: list[MutableMapping[str, Any]], what: str, times: int = 1) -> None:
    async def is_logged() -> bool:
        return [line["event"] for line in lines].count(what) >= times

    await until(is_logged)


@asynccontextmanager
async def having_taken_in_the_first(
    tickets: list[Ticket], queue: Queue, world: World, tmp_path: Path
) -> AsyncIterator[list[MutableMapping[str, Any]]]:
    """A consumer at its work, and what it logs. In the end it has taken in all of them."""
    with capture_logs() as lines:
        async with consuming(queue, receiver_of(world), tmp_path):
            await queue.send(event(tickets[0]))
            await until_arrived(world, tickets[:1])
            yield lines
            await until_arrived(world, tickets)
            await until_empty(queue)


@every
async def test_a_broker_that_goes_away_and_comes_back_loses_nothing(queue: Queue, world: World, tmp_path: Path) -> None:
    tickets = await uploaded(world, 3)
    async with consuming(queue, receiver_of(world), tmp_path):
        await queue.send(event(tickets[0]))
        await until_arrived(world, tickets[:1])
        await queue.go_away()
        await queue.come_back()
        await queue.send(event(tickets[1]))
        await until_arrived(world, tickets[:2])
    await queue.send(event(tickets[2]))
    await queue.go_away()
    async with consuming(queue, receiver_of(world), tmp_path):  # it is not there yet when we come
        await queue.come_back()
        await until_arrived(world, tickets)
        await until_empty(queue)


@every
async def test_what_was_handled_while_the_broker_was_away_arrived_once(
    queue: Queue, world: World, tmp_path: Path
) -> None:
    """It can't be told so, brings the message again, and then it can."""
    [ticket] = await uploaded(world, 1)
    receiver = Held(receiver_of(world).events)
    await queue.send(event(ticket))
    async with consuming(queue, receiver, tmp_path):
        async with asyncio.timeout(60):
            await receiver.handled.wait()
        await queue.go_away()
        receiver.may_go_on.set()
        await queue.come_back()
        await until_empty(queue)
    assert await world.story(ticket.photo_id) == [("issued", "client"), ("arrived", "event")]


@asynccontextmanager
async def killed_at_its_work(
    queue: Queue, database_url: str, tmp_path: Path
) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """A consumer that goes no further once it handled a message, and whether it did. In the end it is killed."""
    said = tmp_path / "said"
    words: list[str | Path] = [ours.PYTHON, "-P", "-m", dying.__name__, database_url, tmp_path, queue.url]
    killed = ours.start(words, said, env=os.environ | {"PYTHONPATH": str(TESTS)})

    async def it_is_handled() -> bool:
        assert killed.poll() is None, said.read_text()
        return "handled\n" in said.read_text()

    try:
        yield it_is_handled
    finally:
        killed.kill()
        killed.wait(20)


@every
async def test_who_is_killed_between_handling_and_forgetting_has_it_handled_again(
    queue: Queue, world: World, database_url: str, tmp_path: Path
) -> None:
    [ticket] = await uploaded(world, 1)
    await queue.send(event(ticket))
    async with killed_at_its_work(queue, database_url, tmp_path) as it_is_handled:
        await until(it_is_handled, 60)
    receiver = receiver_of(world)
    async with consuming(queue, receiver, tmp_path):
        await until_empty(queue)
    assert await world.story(ticket.photo_id) == [("issued", "client"), ("arrived", "event")]
    counted = receiver.events.metrics.registry.get_sample_value
    assert counted("photo_api_storage_events_total", {"result": "repeated"}) == 1


@of("nats", "redis_stream", "redis_list")
async def test_what_was_in_the_hands_of_one_who_is_killed_goes_to_another_who_lives_on(
    queue: Queue, world: World, database_url: str, tmp_path: Path
) -> None:
    """Nobody starts anew, and no broker goes away."""
    [ticket] = await uploaded(world, 1)
    async with consuming(queue, receiver_of(world), tmp_path):
        async with killed_at_its_work(queue, database_url, tmp_path) as it_is_handled:

            async def it_got_one_too() -> bool:
                await queue.send(event(ticket))
                return await it_is_handled()

            await until(it_got_one_too, 60)
            assert await queue.held() > 0
        await until_empty(queue)


@of("redis_list")
async def test_a_slow_consumer_of_a_list_that_lives_keeps_what_it_has(
    queue: RedisQueue, world: World, tmp_path: Path
) -> None:
    """For longer than one is waited for who is silent."""
    [ticket] = await uploaded(world, 1)
    slow, other = Held(receiver_of(world).events), receiver_of(world)
    await queue.send(event(ticket))
    async with consuming(queue, slow, tmp_path), Redis.from_url(queue.address) as redis:
        async with asyncio.timeout(60):
            await slow.handled.wait()
        async with consuming(queue, other, tmp_path):

            async def looks() -> int:
                return int((await redis.info("commandstats"))["cmdstat_smembers"]["calls"])

            before = await looks()

            async def each_looked_for_long() -> bool:
                return await looks() >= before + 2 * 2 * BEATS

            await until(each_looked_for_long)
            assert await queue.held() == 1
            slow.may_go_on.set()
            await until_empty(queue)
    counted = other.events.metrics.registry.get_sample_value
    assert counted("photo_api_storage_events_total", {"result": "repeated"}) is None


@of("redis_list")
async def test_what_was_under_way_in_the_one_list_of_former_times_is_taken(
    queue: RedisQueue, world: World, tmp_path: Path
) -> None:
    tickets = await uploaded(world, 1)
    async with Redis.from_url(queue.address) as redis:
        await redis.rpush(f"{queue.name}:mooring", event(tickets[0]))
    async with consuming(queue, receiver_of(world), tmp_path):
        await until_arrived(world, tickets)
        await until_empty(queue)


@asynccontextmanager
async def without_database(postgres: Server, url: str) -> AsyncIterator[None]:
    name = urlsplit(url).path.removeprefix("/")
    administrator = await asyncpg.connect(postgres.url("postgres", user="postgres"))
    try:
        await administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        yield
    finally:
        await administrator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await administrator.close()


@every
async def test_what_comes_while_the_database_is_away_is_handled_when_it_is_back(
    queue: Queue, world: World, postgres: Server, database_url: str, tmp_path: Path
) -> None:
    tickets = await uploaded(world, 2)
    receiver = Counting(receiver_of(world).events, pauses=(0.01, 0.05))
    async with consuming(queue, receiver, tmp_path):
        async with without_database(postgres, database_url):
            await queue.send(*(event(ticket) for ticket in tickets))

            async def each_was_brought_again() -> bool:
                return len(receiver.kept) >= 4

            await until(each_was_brought_again)
        await until_arrived(world, tickets)
        await until_empty(queue)


@of("kafka", "sqs")
async def test_nothing_is_forgotten_before_it_was_handled(queue: Queue, world: World, tmp_path: Path) -> None:
    [ticket] = await uploaded(world, 1)
    receiver = Held(receiver_of(world).events)
    await queue.send(event(ticket))
    async with consuming(queue, receiver, tmp_path):
        async with asyncio.timeout(60):
            await receiver.handled.wait()
        assert await queue.held() == 1
        receiver.may_go_on.set()
        await until_empty(queue)


@of("sqs")
async def test_what_was_sent_while_sqs_could_not_be_reached_is_handled(
    queue: SqsQueue, world: World, tmp_path: Path
) -> None:
    tickets = await uploaded(world, 2)
    async with having_taken_in_the_first(tickets, queue, world, tmp_path) as lines:
        await queue.go_away()
        await queue.send(event(tickets[1]))
        await until_logged(lines, "broker_away")
        assert await queue.held() == 1
        await queue.come_back()


@of("kafka")
async def test_what_was_published_while_kafka_was_silent_is_handled(
    queue: KafkaQueue, world: World, tmp_path: Path
) -> None:
    """Longer than it remembers us when it hears nothing."""
    tickets = await uploaded(world, 3)
    async with having_taken_in_the_first(tickets, queue, world, tmp_path):
        queue.broker.freeze()
        queue.send_once_it_answers(event(tickets[1]))
        await queue.is_silent_for_longer_than_it_remembers()
        queue.broker.thaw()
        await until_arrived(world, tickets[:2])
        await queue.send(event(tickets[2]))


@of("kafka")
async def test_kafka_that_is_silent_for_long_is_left_and_found_again(
    queue: KafkaQueue, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leaving it takes too long, and so does coming to it, until it speaks."""
    monkeypatch.setattr(brokers, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(brokers, "START_SECONDS", 1.0)
    tickets = await uploaded(world, 2)
    async with having_taken_in_the_first(tickets, queue, world, tmp_path) as lines:
        queue.broker.freeze()
        queue.send_once_it_answers(event(tickets[1]))
        await until_logged(lines, "broker_not_left")
        await until_logged(lines, "broker_away", times=2)
        queue.broker.thaw()
        monkeypatch.setattr(brokers, "START_SECONDS", 15.0)


@of("kafka")
async def test_kafka_whose_refusal_ends_the_reading_is_connected_to_anew(
    queue: KafkaQueue, world: World, tmp_path: Path
) -> None:
    """It has come back, and is not yet ready to know who belongs to which group."""
    tickets = await uploaded(world, 2)
    async with having_taken_in_the_first(tickets, queue, world, tmp_path) as lines:
        queue.broker.tell(f"refuse {HEARTBEAT} {IT_IS_STILL_LOADING}")
        await until_logged(lines, "broker_refused")
        await queue.send(event(tickets[1]))
