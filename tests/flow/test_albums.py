"""Albums, and what becomes of the photos when one goes."""

import asyncio
from typing import Any

import asyncpg
import pytest

from mooring.errors import AlbumNotFound, FileNotArrived, MooringError, PhotoNotFound
from mooring.uploads.service import Claim
from world import BODY, World


async def shown(world: World, album_id: int, owner_id: int) -> list[int]:
    page = await world.albums.photos(album_id, owner_id=owner_id, after=None, limit=1000)
    return [photo.upload.id for photo in page]


async def test_a_photo_is_in_several_albums_and_counts_once(world: World) -> None:
    owner, summer = await world.owner()
    winter = await world.album(owner)
    photo = (await world.arrived(owner, summer)).id
    assert await world.albums.add(winter, [photo, photo], owner_id=owner) == [photo]
    assert await world.albums.add(winter, [photo], owner_id=owner) == []
    assert await shown(world, summer, owner) == await shown(world, winter, owner) == [photo]
    assert await world.quota(owner) == (0, len(BODY), 0)
    for album in await world.albums.page(owner_id=owner, before=None, limit=10):
        assert (album.photo_count, album.cover_photo_id) == (1, photo)


async def test_photos_are_added_all_or_none(world: World) -> None:
    owner, album = await world.owner()
    other = await world.album(owner)
    stranger, theirs = await world.owner()
    own = [(await world.arrived(owner, other)).id for _ in range(3)]
    waiting = (await world.issue(owner, other)).photo_id
    foreign = (await world.arrived(stranger, theirs)).id
    for wrong, refusal in ((waiting, FileNotArrived), (foreign, PhotoNotFound), (10**9, PhotoNotFound)):
        with pytest.raises(refusal, match=str(wrong)):
            await world.albums.add(album, [*own, wrong], owner_id=owner)
    with pytest.raises(AlbumNotFound):
        await world.albums.add(theirs, own, owner_id=owner)
    assert await shown(world, album, owner) == []
    assert await world.albums.add(album, own[::-1], owner_id=owner) == own


async def test_an_album_shows_only_what_arrived(world: World) -> None:
    owner, album = await world.owner()
    await world.issue(owner, album)
    photos = [(await world.arrived(owner, album)).id for _ in range(5)]
    assert await shown(world, album, owner) == photos
    first = await world.albums.photos(album, owner_id=owner, after=None, limit=2)
    second = await world.albums.photos(album, owner_id=owner, after=first[-1].upload.id, limit=10)
    assert [photo.upload.id for photo in [*first, *second]] == photos
    found = await world.albums.get(album, owner_id=owner)
    assert (found.photo_count, found.cover_photo_id) == (5, photos[0])


async def test_taking_a_photo_out_keeps_it(world: World) -> None:
    owner, summer = await world.owner()
    winter = await world.album(owner)
    photo = (await world.arrived(owner, summer)).id
    await world.albums.add(winter, [photo], owner_id=owner)
    for album, place in ((winter, summer), (summer, None)):
        await world.albums.take_out(album, photo, owner_id=owner)
        assert (await world.photos.get(photo, user_id=owner)).upload.target_id == place
        with pytest.raises(PhotoNotFound):
            await world.albums.take_out(album, photo, owner_id=owner)
    assert await world.quota(owner) == (0, len(BODY), 0)


async def test_deleting_an_album_deletes_what_is_in_no_other(world: World) -> None:
    owner, summer = await world.owner()
    winter = await world.album(owner)
    kept = (await world.arrived(owner, summer)).id
    gone = (await world.processed(owner, summer)).id
    waiting = await world.issue(owner, summer)
    await world.albums.add(winter, [kept], owner_id=owner)
    await world.albums.delete(summer, owner_id=owner)
    assert await world.quota(owner) == (0, len(BODY), 0)
    assert await shown(world, winter, owner) == [kept]
    assert (await world.photos.get(kept, user_id=owner)).upload.target_id is None
    for photo in (gone, waiting.photo_id):
        with pytest.raises(PhotoNotFound):
            await world.photos.get(photo, user_id=owner)
        assert (await world.story(photo))[-1] == ("deleted", "client")
    assert (await world.sweep.once()).removed == 5, "the file, its three renditions, and what may still come"
    assert await world.keys() == [(await world.photos.get(kept, user_id=owner)).upload.object_key]
    with pytest.raises(AlbumNotFound):
        await world.albums.get(summer, owner_id=owner)


async def test_an_empty_album_is_deleted_too(world: World) -> None:
    owner, album = await world.owner()
    assert await shown(world, album, owner) == []
    await world.albums.delete(album, owner_id=owner)
    for call in (world.albums.get, world.albums.delete):
        with pytest.raises(AlbumNotFound):
            await call(album, owner_id=owner)


async def test_somebody_elses_album_is_not_there(world: World) -> None:
    owner, album = await world.owner()
    photo = (await world.arrived(owner, album)).id
    stranger = await world.user()
    calls: list[Any] = [
        world.albums.get(album, owner_id=stranger),
        world.albums.change(album, owner_id=stranger, change={"title": "Mine"}),
        world.albums.photos(album, owner_id=stranger, after=None, limit=10),
        world.albums.add(album, [photo], owner_id=stranger),
        world.albums.take_out(album, photo, owner_id=stranger),
        world.albums.delete(album, owner_id=stranger),
    ]
    for call in calls:
        with pytest.raises(AlbumNotFound):
            await call
    assert await shown(world, album, owner) == [photo]
    assert (await world.albums.get(album, owner_id=owner)).title == "Summer"


async def test_two_albums_deleted_at_once_leave_nothing_behind(world: World) -> None:
    """Each by itself would keep the photo for the other's sake."""
    owner, summer = await world.owner("premium")
    for _ in range(20):
        first, second = await world.album(owner), await world.album(owner)
        photo = (await world.arrived(owner, first)).id
        await world.albums.add(second, [photo], owner_id=owner)
        await asyncio.gather(*(world.albums.delete(album, owner_id=owner) for album in (first, second)))
    assert await shown(world, summer, owner) == []
    assert await world.quota(owner) == (0, 0, 0)
    assert await world.photos.page(user_id=owner, before=None, limit=10) == []


async def test_a_photo_put_elsewhere_while_its_album_goes_is_kept_or_refused(world: World) -> None:
    owner, kept = await world.owner("premium")
    added = []
    for _ in range(20):
        album = await world.album(owner)
        photo = (await world.arrived(owner, album)).id
        outcome, _ = await asyncio.gather(
            world.albums.add(kept, [photo], owner_id=owner),
            world.albums.delete(album, owner_id=owner),
            return_exceptions=True,
        )
        assert isinstance(outcome, list | PhotoNotFound), outcome
        added += outcome if isinstance(outcome, list) else []
    assert await shown(world, kept, owner) == added
    assert await world.quota(owner) == (0, len(added) * len(BODY), 0)


async def test_whoever_deletes_waits_for_the_photo_that_is_being_put_elsewhere(world: World, database_url: str) -> None:
    """The same, with the order in our hands."""
    owner, kept = await world.owner()
    album = await world.album(owner)
    photo = (await world.arrived(owner, album)).id
    async with world.db.transaction() as tx:
        await world.albums.add(kept, [photo], owner_id=owner, tx=tx)
        deleting = asyncio.create_task(world.albums.delete(album, owner_id=owner))
        await until_somebody_waits(database_url)
    await deleting
    assert await shown(world, kept, owner) == [photo]


async def test_whoever_deletes_waits_for_the_upload_that_is_being_issued(world: World, database_url: str) -> None:
    owner, album = await world.owner()
    async with world.db.transaction() as tx:
        await world.photos.issue_batch([Claim("a.jpg", "image/jpeg", len(BODY))], user_id=owner, album_id=album, tx=tx)
        deleting = asyncio.create_task(world.albums.delete(album, owner_id=owner))
        await until_somebody_waits(database_url)
    await deleting
    assert await world.db.fetchval("SELECT count(*) FROM uploads") == 0
    assert await world.quota(owner) == (0, 0, 0)


async def test_an_upload_into_an_album_that_goes_is_told_there_is_none(world: World, database_url: str) -> None:
    owner, album = await world.owner()
    async with world.db.transaction() as tx:
        await tx.execute("DELETE FROM albums WHERE id = $1", album)
        issuing = asyncio.create_task(world.issue(owner, album))
        await until_somebody_waits(database_url)
    with pytest.raises(AlbumNotFound):
        await issuing
    assert await world.quota(owner) == (0, 0, 0)


async def test_an_album_deleted_under_uploads_leaves_no_byte_behind(world: World) -> None:
    owner, _ = await world.owner("premium")
    for _ in range(5):
        album = await world.album(owner)

        async def upload(album: int = album) -> None:
            await world.arrived(owner, album)

        async def delete(album: int = album) -> None:
            await asyncio.sleep(0)
            await world.albums.delete(album, owner_id=owner)

        outcomes = await asyncio.gather(*(upload() for _ in range(20)), delete(), return_exceptions=True)
        wrong = [outcome for outcome in outcomes if outcome and not isinstance(outcome, MooringError)]
        assert wrong == []
    assert await world.db.fetchval("SELECT count(*) FROM uploads") == 0
    assert await world.quota(owner) == (0, 0, 0)
    await world.sweep.once()
    assert await world.keys() == []


async def until_somebody_waits(database_url: str) -> None:
    """For a lock that another holds."""
    watching = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(10):
            while not await watching.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0)
    finally:
        await watching.close()
