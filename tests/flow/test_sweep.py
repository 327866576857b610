import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from conftest import HeldClock
from flaky import Flaky
from mooring.errors import UploadGone
from mooring.uploads.sweep import Swept
from world import BODY, World, key_and_query, once


async def test_sweep_keeps_what_came_and_reclaims_what_did_not(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    came, missed = await world.issue(user, album), await world.issue(user, album)
    await world.put(came.put)
    clock.forward(hours=25)
    swept = await world.sweep.once()
    assert (swept.arrived, swept.reclaimed) == (1, 1)
    assert await world.state(came.photo_id) == "UPLOADED"
    assert await world.state(missed.photo_id) == "RECLAIMED"
    assert await world.story(came.photo_id) == [("issued", "client"), ("arrived", "sweep")]
    assert await world.story(missed.photo_id) == [("issued", "client"), ("reclaimed", "sweep")]
    assert await world.quota(user) == (0, len(BODY), 0)
    with pytest.raises(UploadGone):
        await world.photos.confirm(missed.photo_id, user_id=user)


async def test_a_client_that_vanished_after_its_put_is_found_near_the_lapse(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    await world.put(ticket.put)
    clock.forward(minutes=14)
    assert await world.sweep.once() == Swept()
    clock.forward(seconds=40)
    assert (await world.sweep.once()).arrived == 1


async def test_a_put_that_began_in_time_and_ended_late_still_counts(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    clock.forward(minutes=14)
    key, query = key_and_query(ticket.put.url)

    async def slowly() -> AsyncIterator[bytes]:
        yield BODY[:5]
        clock.forward(minutes=2)
        await world.sweep.once()
        yield BODY[5:]

    await world.disk.receive(key, query, content_type="image/jpeg", length=len(BODY), chunks=slowly())
    assert [what for what, _ in await world.story(ticket.photo_id)] == ["issued", "lapsed"]
    await world.photos.confirm(ticket.photo_id, user_id=user)
    assert await world.quota(user) == (0, len(BODY), 0)


async def test_a_lapse_releases_the_quota_and_the_sweep_finds_what_came_late(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    clock.forward(minutes=16)
    assert (await world.sweep.once()).lapsed == 1
    assert await world.quota(user) == (0, 0, 0)
    assert await world.state(ticket.photo_id) == "PENDING"
    await world.disk.write(ticket.object_key, once(BODY), content_type="image/jpeg")
    clock.forward(minutes=16)
    assert (await world.sweep.once()).arrived == 1
    assert await world.quota(user) == (0, len(BODY), 0)


async def test_storage_that_cannot_tell_expires_nothing(world: World, unreachable: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    await world.put(ticket.put)
    clock.forward(hours=30)
    swept = await unreachable.sweep.once()
    assert (swept.unknown, swept.reclaimed) == (1, 0)
    assert await world.state(ticket.photo_id) == "PENDING"
    assert await world.sweep.once() == Swept()
    clock.forward(minutes=11)
    assert (await world.sweep.once()).arrived == 1


async def test_instances_that_sweep_at_once_share_the_work_and_ask_storage_once_each(
    world: World, clock: HeldClock
) -> None:
    user, album = await world.owner("premium")
    for _ in range(30):
        ticket = await world.issue(user, album)
        await world.put(ticket.put)
    clock.forward(minutes=20)
    counting = Counting(world)
    instances = [replace(world.over(counting).sweep, batch_size=4) for _ in range(5)]
    swept = await asyncio.gather(*(instance.once() for instance in instances))
    assert sum(one.arrived for one in swept) == 30
    assert counting.stats == 30
    assert counting.most_at_once <= 5 * world.sweep.at_once


class Counting:
    """The disk, with the calls of `stat` counted."""

    def __init__(self, world: World) -> None:
        self._disk = world.disk
        self.stats = self.now = self.most_at_once = 0

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return getattr(self._disk, name)

    async def stat(self, key: str):  # type: ignore[no-untyped-def]
        self.stats += 1
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            return await self._disk.stat(key)
        finally:
            self.now -= 1


async def test_one_instance_asks_no_more_than_its_share_at_once(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    for _ in range(20):
        await world.issue(user, album)
    clock.forward(minutes=20)
    counting = Counting(world)
    await world.over(counting).sweep.once()
    assert counting.most_at_once <= world.sweep.at_once


async def test_looks_become_rarer_and_end_with_the_reclaim(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    counting = Counting(world)
    sweep = world.over(counting).sweep
    for _ in range(25 * 60 * 2):
        clock.forward(seconds=30)
        await sweep.once()
        if await world.state(ticket.photo_id) == "RECLAIMED":
            break
    assert await world.state(ticket.photo_id) == "RECLAIMED"
    assert counting.stats < 20


async def test_bytes_that_come_after_the_reclaim_are_deleted(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    clock.forward(hours=24, seconds=1)
    await world.sweep.once()
    assert await world.state(ticket.photo_id) == "RECLAIMED"
    await world.disk.write(ticket.object_key, once(BODY), content_type="image/jpeg")
    clock.forward(hours=2)
    await world.sweep.once()
    assert await world.keys() == []
    assert await world.db.fetchval("SELECT count(*) FROM removals") == 0


async def test_a_removal_that_failed_is_done_later(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    upload = await world.arrived(user, album)
    await world.over(Flaky(world.disk, fails=1)).photos.delete(upload.id, user_id=user)
    assert await world.keys() == [upload.object_key]
    assert await world.quota(user) == (0, 0, 0)
    assert (await world.sweep.once()).removed == 1
    assert await world.keys() == []


async def test_an_old_url_cannot_bring_back_a_deleted_photo(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    await world.put(ticket.put)
    await world.photos.confirm(ticket.photo_id, user_id=user)
    await world.photos.delete(ticket.photo_id, user_id=user)
    assert await world.keys() == []
    await world.put(ticket.put)
    clock.forward(hours=2)
    await world.sweep.once()
    assert await world.keys() == []
