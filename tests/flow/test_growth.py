"""The business gauges: one aggregation for all instances, bumped in between, corrected by the next."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from conftest import HeldClock
from mooring.accounts.passwords import Passwords
from mooring.library import growth as counting
from mooring.library.growth import Gauges, count_if_old
from mooring.library.share_links import LinkTerms, ShareLinks
from mooring.library.share_pass import ShareKey
from mooring.observe.growth import Counted, Growth
from mooring.uploads.lifecycle import Trigger
from world import BODY, World

SIZE = len(BODY)
NO_TERMS = LinkTerms(lapses_in=None, expires_at=None, password_hash=None, max_views=None)


@dataclass
class Instance:
    gauges: Gauges

    @property
    def now(self) -> Counted:
        assert self.gauges.growth.now is not None
        return self.gauges.growth.now


def instance(world: World, growth: Growth | None = None) -> Instance:
    return Instance(Gauges(world.db, world.clock, growth or Growth()))


async def test_what_is_counted_is_what_is_there(world: World, clock: HeldClock) -> None:
    first, album = await world.owner()
    second, other_album = await world.owner()
    await world.album(second)
    await world.arrived(first, album)
    await world.processed(second, other_album)
    lapsed = await world.issue(first, album)
    refused = await world.issue(first, album)
    await world.put(refused.put)
    await world.uploads.reject(
        await world.uploads.get(refused.photo_id, owner_id=first), "for the test", trigger=Trigger.CLIENT
    )
    gone = await world.arrived(second, other_album)
    await world.photos.delete(gone.id, user_id=second)
    await world.db.execute("UPDATE users SET is_active = false WHERE id = $1", first)
    passwords = Passwords()
    links = ShareLinks(world.db, clock, passwords, ShareKey.derived_from("a secret"), "https://share.example")
    revoked = await links.create(album, NO_TERMS, owner_id=first)
    await links.revoke(revoked.link.id, owner_id=first)
    await links.create(other_album, replace(NO_TERMS, expires_at=clock() + timedelta(minutes=10)), owner_id=second)
    await links.create(other_album, NO_TERMS, owner_id=second)
    passwords.close()
    clock.forward(minutes=16)
    assert lapsed.photo_id
    here = instance(world)
    await here.gauges.refresh()
    assert here.now == Counted(
        users=2, active_users=1, albums=3, shared_albums=1, photos=2, share_links=3, active_share_links=1,
        stored_bytes=2 * SIZE, incomplete=2, bytes_by_user={str(first): SIZE, str(second): SIZE},
    )  # fmt: skip


async def test_one_instance_counts_for_all_and_all_show_the_same(world: World, clock: HeldClock) -> None:
    await world.owner()
    instances = [instance(world) for _ in range(8)]
    await asyncio.gather(*(one.gauges.refresh() for one in instances))
    counted = await world.db.fetchval("SELECT counted->>'users' FROM growth")
    assert counted == "1"
    await world.owner()
    clock.forward(seconds=59)
    for one in instances:
        await one.gauges.refresh()
        assert one.now.users == 1, "not old yet"
    clock.forward(seconds=1)
    who_counted = await asyncio.gather(*(count_if_old(world.db, at=clock(), most=5) for _ in instances))
    assert sum(who_counted) == 1
    for one in instances:
        await one.gauges.refresh()
        assert one.now.users == 2


async def test_events_bump_at_once_and_the_next_aggregation_corrects(world: World, clock: HeldClock) -> None:
    owner, album = await world.owner()
    here = instance(world, world.uploads.metrics.growth)
    await here.gauges.refresh()
    upload = await world.arrived(owner, album)
    await world.arrived(owner, album)
    assert (here.now.photos, here.now.stored_bytes, here.now.bytes_by_user) == (2, 2 * SIZE, {str(owner): 2 * SIZE})
    clock.forward(seconds=30)
    await here.gauges.refresh()
    assert here.now.photos == 2, "an aggregation that was shown already takes nothing back"
    await world.photos.delete(upload.id, user_id=owner)
    assert (here.now.photos, here.now.stored_bytes) == (1, SIZE)
    await world.db.execute("UPDATE users SET is_active = false")  # past us: somebody at psql
    clock.forward(seconds=31)
    await here.gauges.refresh()
    assert (here.now.photos, here.now.users, here.now.active_users) == (1, 1, 0)


async def test_only_the_biggest_users_come_by_name(world: World) -> None:
    owners = [await world.owner() for _ in range(4)]
    for times, (owner, album) in enumerate(owners, 1):
        for _ in range(times):
            await world.arrived(owner, album)
    here = instance(world, Growth(most=2))
    await here.gauges.refresh()
    assert here.now.bytes_by_user == {str(owners[3][0]): 4 * SIZE, str(owners[2][0]): 3 * SIZE}
    assert here.now.stored_bytes == 10 * SIZE


async def test_no_sum_reads_the_uploads(world: World) -> None:
    """The one thing that has a row per upload is asked for the incomplete ones alone, by their index."""
    async with world.db.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")
        plan = await tx.fetch(f"EXPLAIN {counting._COUNT}", world.clock(), counting.EVERY, 10)
    about_uploads = [row[0].strip() for row in plan if "uploads" in row[0]]
    assert len(about_uploads) == 1, about_uploads
    assert "using uploads_incomplete on uploads" in about_uploads[0]


@pytest.mark.parametrize("state", ["PENDING", "REJECTED"])
async def test_what_never_was_stored_changes_no_gauge_when_it_goes(world: World, state: str) -> None:
    owner, album = await world.owner()
    here = instance(world, world.uploads.metrics.growth)
    await here.gauges.refresh()
    ticket = await world.issue(owner, album)
    upload = await world.uploads.get(ticket.photo_id, owner_id=owner)
    if state == "REJECTED":
        await world.uploads.reject(upload, "for the test", trigger=Trigger.CLIENT)
    await world.photos.delete(upload.id, user_id=owner)
    assert (here.now.photos, here.now.stored_bytes) == (0, 0)
