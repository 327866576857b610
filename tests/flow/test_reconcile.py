from conftest import HeldClock
from mooring.storage.port import Listed
from world import World, once


async def test_an_object_without_a_row_goes_to_the_trash_and_later_for_good(world: World, clock: HeldClock) -> None:
    await world.disk.write("photos/stray.jpg", once(b"stray"), content_type="image/jpeg")
    user, album = await world.owner()
    kept = await world.arrived(user, album)
    clock.forward(hours=2)
    found = await world.reconciliation.run()
    assert found.orphans == ["photos/stray.jpg"]
    assert sorted(await world.keys()) == sorted([kept.object_key, "trash/photos/stray.jpg"])
    audit = await world.db.fetchrow("SELECT object_key, what, trash_key FROM reconciliations")
    assert audit is not None
    assert tuple(audit) == ("photos/stray.jpg", "trashed", "trash/photos/stray.jpg")
    assert await world.reconciliation.purge_trash(clock.forward(days=29)) == 0
    assert await world.reconciliation.purge_trash(clock.forward(days=2)) == 1
    assert await world.keys() == [kept.object_key]


async def test_a_dry_run_only_tells(world: World, clock: HeldClock) -> None:
    await world.disk.write("photos/stray.jpg", once(b"stray"), content_type="image/jpeg")
    clock.forward(hours=2)
    found = await world.reconciliation.run(dry_run=True)
    assert found.orphans == ["photos/stray.jpg"]
    assert await world.keys() == ["photos/stray.jpg"]
    assert await world.db.fetchval("SELECT count(*) FROM reconciliations") == 0


async def test_what_is_younger_than_the_grace_is_not_touched(world: World, clock: HeldClock) -> None:
    await world.disk.write("photos/stray.jpg", once(b"stray"), content_type="image/jpeg")
    clock.forward(minutes=30)
    assert (await world.reconciliation.run()).is_clean
    assert await world.keys() == ["photos/stray.jpg"]


async def test_bytes_that_wait_for_their_confirm_are_accounted_for(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    await world.put(ticket.put)
    clock.forward(hours=2)
    assert (await world.reconciliation.run()).is_clean
    await world.photos.confirm(ticket.photo_id, user_id=user)


async def test_a_row_without_its_object_is_told_and_frees_its_quota(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    lost, kept = await world.arrived(user, album), await world.arrived(user, album)
    await world.disk.delete(lost.object_key)
    clock.forward(hours=2)
    found = await world.reconciliation.run()
    assert found.missing == [lost.id]
    assert await world.state(lost.id) == "REJECTED"
    assert await world.state(kept.id) == "UPLOADED"
    assert await world.quota(user) == (0, kept.file_size, 0)
    assert (await world.reconciliation.run()).is_clean


async def test_an_abandoned_multipart_is_aborted(world: World, clock: HeldClock) -> None:
    id_ = await world.disk.begin_multipart("videos/x.mp4", content_type="video/mp4")
    clock.forward(hours=2)
    found = await world.reconciliation.run()
    assert found.multiparts == ["videos/x.mp4"]
    assert await world.disk.parts("videos/x.mp4", id_) is None


async def test_killed_between_copy_and_delete_the_next_run_does_the_rest(world: World, clock: HeldClock) -> None:
    await world.disk.write("photos/stray.jpg", once(b"stray"), content_type="image/jpeg")
    await world.disk.copy("photos/stray.jpg", "trash/photos/stray.jpg")
    clock.forward(hours=2)
    await world.reconciliation.run()
    listed: list[Listed] = [one async for one in world.disk.list()]
    assert [one.key for one in listed] == ["trash/photos/stray.jpg"]
    assert await world.db.fetchval("SELECT count(*) FROM reconciliations") == 1
