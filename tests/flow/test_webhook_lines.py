"""A line for each webhook: who does not answer keeps nobody else waiting, and nobody in that line is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import pytest

from conftest import HeldClock
from flow.test_webhooks import KEY, RULES, deliver_all, delivering, jobs, made
from mooring.jobs.worker import Worker
from mooring.notify import lines
from mooring.notify.delivering import AT_ONCE, Delivering
from mooring.notify.lines import FRONT, enqueueing
from mooring.notify.webhooks import Webhooks
from mooring.observe.metrics import Metrics
from servers.receiver import Receiver, receiving
from servers.waiting import until
from world import World

SEATS = 10


@pytest.fixture
def webhooks(world: World) -> Webhooks:
    return Webhooks(world.db, world.clock, KEY, RULES)


@contextmanager
def somebody_elses_server() -> Iterator[Receiver]:
    yield from receiving()


@asynccontextmanager
async def sending(database_url: str, how: Delivering) -> AsyncIterator[None]:
    """As `telling.py` has it."""
    gauge = Metrics().processing_active
    handlers = {"deliver_webhook": how.deliver}
    worker = Worker(database_url, handlers, SEATS, gauge, before_taking=how.shorten_lines)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        await worker.stop(0)
        await asyncio.wait_for(running, 20)


async def due(world: World, webhook_id: int, count: int) -> None:
    """So many deliveries to it, as if so many uploads of its owner had arrived."""
    await world.db.execute(
        """INSERT INTO webhook_deliveries (webhook_id, event_id, upload_id, type, body, created_at)
           SELECT $1, -n, 0, 'upload.arrived', '{}', $3 FROM generate_series(1, $2::int) n""",
        webhook_id,
        count,
        world.clock(),
    )
    await world.db.execute(enqueueing(f"d.webhook_id = {webhook_id}"))


async def bounces(world: World) -> int:
    """What was taken and put back."""
    return int(await world.db.fetchval("SELECT count(*) FROM pgqueuer_log WHERE status = 'queued'"))


async def delivered(world: World, count: int) -> None:
    async def all_are() -> bool:
        return bool(
            await world.db.fetchval("SELECT count(*) = $1 FROM webhook_deliveries WHERE state = 'delivered'", count)
        )

    await until(all_are)


async def test_two_thousand_for_one_who_does_not_answer_do_not_delay_anothers(
    world: World, webhooks: Webhooks, receiver: Receiver, database_url: str
) -> None:
    hanging, _ = await made(webhooks, await world.user(), receiver.url())
    receiver.gate.clear()
    await due(world, hanging, 2000)
    user, album = await world.owner()
    with somebody_elses_server() as other:
        await made(webhooks, user, other.url())
        async with sending(database_url, delivering(world, seconds=60)):

            async def it_hangs() -> bool:
                return len(receiver.received) == AT_ONCE

            async def it_came() -> bool:
                return len(other.received) == 1

            await until(it_hangs)
            await world.arrived(user, album)
            await until(it_came, 5)
            assert await bounces(world) <= SEATS - AT_ONCE
            assert len(receiver.received) == AT_ONCE
            receiver.gate.set()


async def test_all_who_waited_have_their_turn_though_no_sweep_looks_after_them(
    world: World, webhooks: Webhooks, receiver: Receiver, database_url: str
) -> None:
    count = 9 * FRONT
    id_, _ = await made(webhooks, await world.user(), receiver.url())
    await due(world, id_, count)
    async with sending(database_url, delivering(world)):
        await delivered(world, count)
    assert len(receiver.received) == count
    assert await bounces(world) < count / 10
    assert await jobs(world.db) == []
    assert await world.db.fetchval("SELECT count(*) FROM webhook_deliveries WHERE waits") == 0


async def test_two_workers_share_a_line(
    world: World, webhooks: Webhooks, receiver: Receiver, database_url: str
) -> None:
    id_, _ = await made(webhooks, await world.user(), receiver.url())
    await due(world, id_, 4 * FRONT)
    async with sending(database_url, delivering(world)), sending(database_url, delivering(world)):
        await delivered(world, 4 * FRONT)
    assert len(receiver.received) == 4 * FRONT


async def test_who_was_through_while_the_rest_was_set_aside_leaves_nobody_uncalled(
    world: World, webhooks: Webhooks, receiver: Receiver, database_url: str
) -> None:
    """They looked before anybody waited, and the last of them ended before it was known."""
    id_, _ = await made(webhooks, await world.user(), receiver.url())
    await due(world, id_, 5)
    how = delivering(world)
    how.busy[id_] = AT_ONCE
    slow = await asyncpg.connect(database_url)
    async with slow.transaction():
        await slow.execute("SELECT FROM webhook_deliveries FOR UPDATE")
        shortening = asyncio.ensure_future(how.shorten_lines())

        async def it_is_under_way() -> bool:
            return bool(await slow.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

        await until(it_is_under_way)
        how.busy[id_] = 0
    await asyncio.wait_for(shortening, 20)
    await slow.close()
    assert len(await jobs(world.db)) == AT_ONCE
    assert await deliver_all(world, how) == [None] * AT_ONCE
    assert len(await jobs(world.db)) == 5, "the last was not called"


async def test_the_sweep_calls_where_all_who_should_have_called_are_dead(
    world: World, webhooks: Webhooks, receiver: Receiver, clock: HeldClock
) -> None:
    both = [(await made(webhooks, await world.user(), receiver.url()))[0] for _ in range(2)]
    for id_ in both:
        await due(world, id_, 3)
    how = delivering(world)
    how.busy.update(dict.fromkeys(both, AT_ONCE))
    await how.shorten_lines()
    assert await jobs(world.db) == []
    assert await webhooks.keep(clock()) == 0, "who waits has not lost a job"
    heads = await world.db.fetch("SELECT min(id) FROM webhook_deliveries GROUP BY webhook_id ORDER BY 1")
    assert [job["delivery"] for job in await jobs(world.db)] == [row[0] for row in heads]
    how.busy.clear()
    assert await deliver_all(world, how) == [None, None]
    assert len(await jobs(world.db)) == 6


async def test_what_is_tried_again_later_is_not_called_before_its_time(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    id_, _ = await made(webhooks, await world.user(), receiver.url())
    await due(world, id_, AT_ONCE + 1)
    await world.db.execute("UPDATE pgqueuer SET execute_after = now() + interval '5 minutes' WHERE id % 5 <> 0")
    how = delivering(world)
    how.busy[id_] = AT_ONCE
    await how.shorten_lines()
    assert len(await jobs(world.db)) == AT_ONCE
    assert await world.db.fetchval("SELECT count(*) FROM webhook_deliveries WHERE waits") == 1


async def test_who_brought_little_goes_before_whoever_was_called_from_a_line(
    world: World, webhooks: Webhooks, receiver: Receiver
) -> None:
    """Many webhooks that do not answer can fill every seat. The next that is free is not for one of them."""
    how = delivering(world)
    for _ in range(3):
        id_, _ = await made(webhooks, await world.user(), receiver.url())
        await due(world, id_, 2 * AT_ONCE)
        how.busy[id_] = AT_ONCE
        await how.shorten_lines()
        how.busy.clear()
        await lines.call(world.db, id_, AT_ONCE)
    user, album = await world.owner()
    id_, _ = await made(webhooks, user, receiver.url())
    await world.arrived(user, album)
    rows = await world.db.fetch(
        """SELECT d.webhook_id FROM pgqueuer j JOIN webhook_deliveries d ON j.dedupe_key = 'delivery:' || d.id
           WHERE j.entrypoint = 'deliver_webhook' ORDER BY j.priority DESC, j.id"""
    )
    assert (rows[0][0], len(rows)) == (id_, 3 * AT_ONCE + 1)
