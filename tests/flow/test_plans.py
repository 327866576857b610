"""What is asked thousands of times a second is planned once for a connection, and not at every call."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from mooring.db.pool import Executor
from mooring.library.images import Asked, Size, of_owners
from mooring.library.photos import ISSUE_PHOTOS
from mooring.uploads import queries
from mooring.uploads.lifecycle import Move, State, Trigger, advance
from mooring.uploads.service import Claim
from world import World

FIRST = 5  # so often PostgreSQL tries how plans for the values at hand compare

Asking = Callable[[World, Executor], Awaitable[Any]]


async def issue(world: World, tx: Executor) -> None:
    claim = Claim("a.jpg", "image/jpeg", 1)
    wanted = world.uploads.want(world.photos.kind, claim, uploader_id=1, target_id=1)
    await world.uploads.issue(tx, ISSUE_PHOTOS, [wanted])


async def arrive(world: World, tx: Executor) -> None:
    moves = [Move(1, Trigger.CLIENT, etag="e")]
    await advance(tx, State.UPLOADED, moves, what="arrived", at=world.clock(), only_from=State.PENDING)


async def find(_: World, tx: Executor) -> None:
    await queries.find(tx, [1])


async def image(_: World, tx: Executor) -> None:
    await of_owners(tx, [Asked(1, 1, Size.thumb)])


@pytest.mark.parametrize("asking", [issue, arrive, find, image], ids=lambda asking: asking.__name__)
async def test_a_hot_statement_is_planned_once(world: World, database_url: str, asking: Asking) -> None:
    await world.owner()
    connection = await asyncpg.connect(database_url)
    try:
        for _ in range(FIRST + 3):
            await asking(world, connection)
        plans = await connection.fetch(
            """SELECT generic_plans, custom_plans FROM pg_prepared_statements
               WHERE statement LIKE '%uploads%' AND statement NOT LIKE '%pg_prepared_statements%'"""
        )
    finally:
        await connection.close()
    assert [tuple(counts) for counts in plans] == [(3, FIRST)]
