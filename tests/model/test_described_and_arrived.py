"""A recording is due for a worker when its record was made and its bytes came: two statements, of which neither may
miss the other. They meet in the database: the second begins while the first is not yet committed, has its snapshot from
before, and finds the row locked."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from itertools import permutations

import pytest

from mooring.db.pool import Executor
from mooring.errors import RecordOperationFailed
from mooring.jobs import queue
from mooring.library.recordings import Description, Ticket
from mooring.uploads import queries
from mooring.uploads.lifecycle import Move, State, Trigger, advance
from mooring.uploads.removals import REMOVE, remove
from world import World

from .conftest import Stage
from .test_statements_meet import stuck_or_done

Statement = Callable[[World, Executor, Ticket, int], Awaitable[object]]


async def is_described(world: World, tx: Executor, it: Ticket, user: int) -> None:
    with suppress(RecordOperationFailed):  # it is gone, given up, or was described by another
        await world.recordings.create(Description(it.upload_id, "Mine", None, None), user_id=user, tx=tx)


async def is_described_again(world: World, tx: Executor, it: Ticket, user: int) -> None:
    await is_described(world, tx, it, user)


async def arrives(world: World, tx: Executor, it: Ticket, _: int) -> None:
    move = Move(it.upload_id, Trigger.EVENT, etag="made up")
    await advance(tx, State.UPLOADED, [move], what="arrived", at=world.clock(), only_from=State.PENDING)


async def arrives_again(world: World, tx: Executor, it: Ticket, user: int) -> None:
    await arrives(world, tx, it, user)


async def is_rejected(world: World, tx: Executor, it: Ticket, _: int) -> None:
    move = Move(it.upload_id, Trigger.EVENT, error="Not what was declared.")
    await advance(tx, State.REJECTED, [move], what="rejected", at=world.clock(), only_from=State.PENDING)


async def is_reclaimed(world: World, tx: Executor, it: Ticket, _: int) -> None:
    move = Move(it.upload_id, Trigger.SWEEP)
    await advance(tx, State.RECLAIMED, [move], what="reclaimed", at=world.clock())


async def lapses(world: World, tx: Executor, it: Ticket, _: int) -> None:
    await queries.lapse(tx, [it.upload_id], at=world.clock())


async def is_deleted(world: World, tx: Executor, it: Ticket, _: int) -> None:
    await remove(tx, REMOVE, [it.upload_id], at=world.clock(), trigger=Trigger.CLIENT)


async def is_found_left_over(world: World, tx: Executor, _: Ticket, __: int) -> None:
    await queue.enqueue_left_over(tx, arrived_before=world.clock() + timedelta(days=1), limit=10)


STATEMENTS: list[Statement] = [
    is_described,
    is_described_again,
    arrives,
    arrives_again,
    is_rejected,
    is_reclaimed,
    lapses,
    is_deleted,
    is_found_left_over,
]


@pytest.mark.parametrize("first", STATEMENTS, ids=lambda statement: statement.__name__)
def test_whichever_two_meet_there_is_one_job_when_both_facts_are_there(stage: Stage, first: Statement) -> None:
    for second in STATEMENTS:
        for before in ((), (is_described,), (arrives,)):
            stage.runner.run(_met(stage, before, first, second))


def test_three_that_wait_for_the_first_make_one_job(stage: Stage) -> None:
    for order in permutations([is_described, is_described_again, arrives, arrives_again]):
        stage.runner.run(_met(stage, (), *order))


async def _met(stage: Stage, before: tuple[Statement, ...], first: Statement, *others: Statement) -> None:
    await stage.scene(people=0)
    world, user = stage.world, await stage.world.user()
    it = await world.issue_recording(user)
    stage.clock.forward(hours=30)
    for each in before:
        await each(world, world.db, it, user)
    waiting: list[asyncio.Future[object]] = []
    async with world.db.transaction() as tx:
        await first(world, tx, it, user)
        for other in others:
            waiting.append(asyncio.ensure_future(other(world, world.db, it, user)))
            await stuck_or_done(world.db, *waiting)
    await asyncio.gather(*waiting)
    await _hold(world, it)


async def _hold(world: World, it: Ticket) -> None:
    rows = await world.db.fetch("SELECT processing_status, described_at, completed_at FROM uploads")
    jobs = [row[0] for row in await world.db.fetch("SELECT dedupe_key FROM pgqueuer")]
    is_due = [row[0] == State.UPLOADED and row[1] is not None for row in rows]
    if rows:  # a deleted one may leave a job, whose worker finds nothing to do
        assert jobs == [str(it.upload_id) for due in is_due if due]
    assert len(jobs) <= 1
    described = [it.upload_id for row in rows if row[1] is not None]
    assert [row[0] for row in await world.db.fetch("SELECT upload_id FROM records")] == described
    story = [what for what, _ in await world.story(it.upload_id)]
    assert len(set(story)) == len(story), story
