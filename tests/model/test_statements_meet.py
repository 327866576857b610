"""Two statements that write the same upload meet in the database: the second finds the rows locked, and when it may
go on they are no longer what its snapshot shows."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from mooring.db.pool import Database, Executor
from mooring.uploads import queries
from mooring.uploads.lifecycle import Move, State, Trigger, advance
from mooring.uploads.removals import REMOVE, remove

from .conftest import Stage
from .laws import hold
from .scene import Known, Scene
from .situations import Situation, overdue, released

Statement = Callable[[Scene, Executor, Known], Awaitable[object]]


async def arrives(scene: Scene, tx: Executor, it: Known) -> None:
    move = Move(it.id, Trigger.EVENT, etag="made up")
    await advance(tx, State.UPLOADED, [move], what="arrived", at=scene.clock())


async def is_rejected(scene: Scene, tx: Executor, it: Known) -> None:
    move = Move(it.id, Trigger.EVENT, error="Not what was declared.")
    await advance(tx, State.REJECTED, [move], what="rejected", at=scene.clock(), only_from=State.PENDING)


async def is_reclaimed(scene: Scene, tx: Executor, it: Known) -> None:
    await advance(tx, State.RECLAIMED, [Move(it.id, Trigger.SWEEP)], what="reclaimed", at=scene.clock())


async def lapses(scene: Scene, tx: Executor, it: Known) -> None:
    await queries.lapse(tx, [it.id], at=scene.clock())


async def is_renewed(scene: Scene, tx: Executor, it: Known) -> None:
    at, terms = scene.clock(), scene.world.uploads.terms
    lapses_at = at + terms.upload_url_life
    await queries.renew(tx, it.id, at=at, expires_at=lapses_at, look_at=lapses_at, plans=terms.plans)


async def is_deleted(scene: Scene, tx: Executor, it: Known) -> None:
    it.delete_asked = True
    await remove(tx, REMOVE, [it.id], at=scene.clock(), trigger=Trigger.CLIENT)


async def is_looked_for(scene: Scene, tx: Executor, it: Known) -> None:
    await queries.take_due(tx, at=scene.clock(), reclaim_after=timedelta(hours=24), limit=5)


STATEMENTS: list[Statement] = [
    arrives,
    is_rejected,
    is_reclaimed,
    lapses,
    is_renewed,
    is_deleted,
    is_looked_for,
]


@pytest.mark.parametrize("before", [overdue, released], ids=lambda situation: situation.__name__)
@pytest.mark.parametrize("first", STATEMENTS, ids=lambda statement: statement.__name__)
def test_who_had_to_wait_sees_what_became_of_the_row(stage: Stage, before: Situation, first: Statement) -> None:
    for second in STATEMENTS:
        stage.runner.run(_met(stage, before, first, second))


async def _met(stage: Stage, before: Situation, first: Statement, second: Statement) -> None:
    scene = await stage.scene()
    it = await before(scene)
    it.ever_meddled = it.meddled = True  # what is said of its bytes here is made up
    async with scene.world.db.transaction() as tx:
        await first(scene, tx, it)
        waiting = asyncio.ensure_future(second(scene, scene.world.db, it))
        await stuck_or_done(scene.world.db, waiting)
    await waiting
    await hold(scene)


async def stuck_or_done(db: Database, *waiting: "asyncio.Future[object]") -> None:
    """Each of them waits for a lock, or came through."""
    while sum(not one.done() for one in waiting) > await db.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ):
        pass
