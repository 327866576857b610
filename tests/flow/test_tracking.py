import re
from datetime import timedelta
from pathlib import Path

import pytest

from conftest import HeldClock
from mooring.clock import now
from mooring.uploads.tracking import aggregate_incomplete_after_ttl, count_incomplete
from world import World

# Guide 000 §3.5, to the letter.
STATEMENTS = Path(__file__).with_name("guide_000.sql").read_text().split(";\n")
COUNT, BY_USER, BY_ALBUM, TODAY = (statement for statement in STATEMENTS if statement.strip())


@pytest.fixture
async def lapsed(world: World, clock: HeldClock) -> tuple[int, int, int]:
    """Two users; five incomplete uploads (one of last week), one complete, one waiting. The guide asks real time."""
    clock.at = now() - timedelta(days=8)
    first, album = await world.owner()
    second, other = await world.owner()
    await world.issue(first, album)
    clock.at = now() - timedelta(minutes=30)
    for user, place in ((first, album), (first, album), (second, other), (second, other)):
        await world.issue(user, place)
    await world.arrived(first, album)
    clock.at = now()
    await world.issue(first, album)
    return first, second, album


async def test_the_guides_statements_run_as_written_and_agree_with_the_aggregate(
    world: World, clock: HeldClock, lapsed: tuple[int, int, int]
) -> None:
    ours = await aggregate_incomplete_after_ttl(world.db, now=clock(), limit=100)
    assert await world.db.fetchval(COUNT) == ours.total_count == 5 == await count_incomplete(world.db, now=clock())
    assert {row[0]: row[1] for row in await world.db.fetch(BY_USER)} == ours.by_user_id
    assert {row[0]: row[1] for row in await world.db.fetch(BY_ALBUM)} == ours.by_album_id
    midnight = clock.at.replace(hour=0, minute=0, second=0, microsecond=0)
    today = await aggregate_incomplete_after_ttl(world.db, now=clock(), since=midnight)
    rows = [tuple(row) for row in await world.db.fetch(TODAY)]
    assert sorted(row[0] for row in rows) == sorted(record.upload_id for record in today.sample_records)


async def test_a_user_sees_only_their_own(world: World, clock: HeldClock, lapsed: tuple[int, int, int]) -> None:
    first, _, album = lapsed
    own = await aggregate_incomplete_after_ttl(world.db, now=clock(), user_id=first)
    assert (own.total_count, own.by_user_id, own.by_album_id) == (3, {first: 3}, {album: 3})
    assert {record.user_id for record in own.sample_records} == {first}


async def test_since_until_and_limit_bound_what_is_counted_and_shown(
    world: World, clock: HeldClock, lapsed: tuple[int, int, int]
) -> None:
    week = clock() - timedelta(days=7)
    assert (await aggregate_incomplete_after_ttl(world.db, now=clock(), since=week)).total_count == 4
    assert (await aggregate_incomplete_after_ttl(world.db, now=clock(), until=week)).total_count == 1
    few = await aggregate_incomplete_after_ttl(world.db, now=clock(), limit=2)
    assert (few.total_count, len(few.sample_records)) == (5, 2)


async def test_now_may_be_any_moment(world: World, clock: HeldClock, lapsed: tuple[int, int, int]) -> None:
    later = await aggregate_incomplete_after_ttl(world.db, now=clock() + timedelta(hours=1))
    assert later.total_count == 6


async def test_the_count_is_one_index_only_scan(world: World, lapsed: tuple[int, int, int]) -> None:
    async with world.db.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in await tx.fetch(f"EXPLAIN {COUNT}"))
    assert re.search(r"Index Only Scan using uploads_incomplete", plan), plan
