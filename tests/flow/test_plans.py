"""What is asked thousands of times a second is planned once for a connection, and not at every call."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest

from mooring.db.pool import Database, Executor
from mooring.library.images import Asked, Size, of_owners
from mooring.library.photos import ISSUE_PHOTOS, Photo
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


async def photos(world: World, tx: Any) -> list[Photo]:
    return await replace(world.photos, uploads=replace(world.uploads, db=tx)).page(user_id=1, before=None, limit=20)


async def album(world: World, tx: Any) -> list[Photo]:
    return await replace(world.albums, db=tx).photos(1, owner_id=1, after=None, limit=20)


@pytest.mark.parametrize("asking", [issue, arrive, find, image, photos, album], ids=lambda asking: asking.__name__)
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
    assert {tuple(counts) for counts in plans} == {(3, FIRST)}


@dataclass
class Explaining:
    """In place of a database: what it is asked is run, and how that was done is kept."""

    db: Database
    plan: str = ""

    async def fetch(self, sql: str, /, *args: Any) -> list[Any]:
        self.plan = "\n".join(row[0] for row in await self.db.fetch(f"EXPLAIN (ANALYZE) {sql}", *args))
        return await self.db.fetch(sql, *args)


@pytest.mark.parametrize(("asking", "first", "last"), [(photos, 1, 4000), (album, 16001, 20000)])
async def test_a_page_never_walks_past_other_peoples_rows(world: World, asking: Asking, first: int, last: int) -> None:
    """A fifth of all photos is ours, which makes a look through all of them seem a good idea: the fifth that it would
    come to last."""
    mine, _ = await world.owner()
    theirs, _ = await world.owner()
    await world.db.execute(
        """WITH made AS (
               INSERT INTO uploads (uuid, kind, original_filename, extension, uploader_id, target_id, file_size,
                   content_type, directory, object_key, reserved_bytes, created_at, expires_at, look_at, described_at,
                   processing_status, completed_at, etag)
               SELECT gen_random_uuid(), 'photo', 'a.jpg', 'jpg',
                   CASE WHEN n BETWEEN $3 AND $4 THEN $1::bigint ELSE $2::bigint END, 1, 1,
                   'image/jpeg', 'photos', 'photos/' || n, 0, now(), now(), now(), now(), 'COMPLETED', now(), 'e'
               FROM generate_series(1, 20000) n RETURNING id, uploader_id
           ), photo AS (INSERT INTO photos (id) SELECT id FROM made)
           INSERT INTO album_photos (album_id, photo_id, added_at)
           SELECT a.id, made.id, now() FROM made JOIN albums a ON a.owner_id = made.uploader_id""",
        mine,
        theirs,
        first,
        last,
    )
    explaining = Explaining(world.db)
    for learns in ("SELECT 1", "ANALYZE"):
        await world.db.execute(learns)
        page = await asking(world, explaining)
        assert len(page) == 20
        walked_past = sum(map(int, re.findall(r"Rows Removed by Filter: ([0-9]+)", explaining.plan)))
        assert walked_past < 100, explaining.plan
        assert "Sort" not in explaining.plan, "nor through all of ours"


async def test_a_page_of_videos_is_no_walk_through_photos(world: World) -> None:
    user, album = await world.owner("premium")
    for _ in range(30):
        await world.issue(user, album)
    explaining = Explaining(world.db)
    uploads: Any = replace(world.uploads, db=explaining)  # type: ignore[arg-type]
    assert await replace(world.videos, uploads=uploads).page(user_id=user, before=None, limit=20) == []
    assert "videos_of_user" in explaining.plan, explaining.plan
