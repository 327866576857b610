"""Files whose size nobody said, and forms that come twice: what is stored is reserved, whatever dies in between."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from conftest import HeldClock
from flaky import Flaky
from mooring.errors import (
    MooringError,
    NotPending,
    PartsDiffer,
    QuotaExceeded,
    StorageUnavailable,
    UploadNotFound,
    UrlNotValid,
)
from mooring.library.capabilities import CapabilityKey, Grant
from mooring.library.uppy import uppy_over
from mooring.library.uppy_door import Door, Told
from mooring.observe.metrics import Metrics
from mooring.uploads.kinds import photo
from mooring.uploads.lifecycle import Trigger, Upload
from mooring.uploads.quota import Plan
from world import World, once, with_plans

TOLD = Told("a.jpg", "image/jpeg")
SECRET = "a secret of the tests"
Opened = tuple[World, int, Door]


async def door_of(world: World, user_id: int, album_id: int) -> Door:
    """With photos of at most 1 000 000 bytes; parts may be as small as a test likes, for the disk does not mind."""
    uppy = uppy_over(world.uploads, [photo(1_000_000)], Metrics(), SECRET, "http://testserver")
    at = world.clock().replace(year=2031)
    return await uppy.admit(CapabilityKey.derived_from(SECRET).write(Grant(user_id, "photo", album_id, at)))


@pytest.fixture
async def opened(world: World) -> Opened:
    user_id, album_id = await world.owner()
    return world, user_id, await door_of(world, user_id, album_id)


async def send(door: Door, upload: Upload, number: int, body: bytes) -> str:
    part = await door.receive_part(upload.id, upload.object_key, number, once(body), length=len(body))
    return part.etag


async def test_the_reservation_grows_with_the_parts_and_is_settled_at_the_end(opened: Opened) -> None:
    world, user_id, door = opened
    upload = await door.begin(TOLD)
    assert await world.quota(user_id) == (1, 0, 1)
    first, second = await send(door, upload, 1, b"x" * 10), await send(door, upload, 2, b"end")
    assert await world.quota(user_id) == (14, 0, 1)
    second = await send(door, upload, 2, b"END")  # once more: counted once more, for now
    assert await world.quota(user_id) == (17, 0, 1)
    done = await door.complete(upload.id, upload.object_key, {1: first, 2: second})
    assert (done.file_size, done.part_size) == (13, 10)
    assert await world.quota(user_id) == (0, 13, 0)
    assert await world.story(upload.id) == [("issued", "client"), ("arrived", "client")]


async def test_many_parts_at_once_are_not_let_one_byte_over(world: World) -> None:
    user_id, album_id = await world.owner()
    tight = World.built(
        world.db, world.disk, world.clock, terms=with_plans(Plan("free", 100, 5), Plan("premium", 9, 9))
    )
    door = await door_of(tight, user_id, album_id)
    upload = await door.begin(TOLD)
    sent = await asyncio.gather(*(send(door, upload, n, b"x" * 10) for n in range(1, 31)), return_exceptions=True)
    refused = [one for one in sent if isinstance(one, BaseException)]
    assert (len(refused), {type(one) for one in refused}) == (21, {QuotaExceeded})
    assert await world.quota(user_id) == (91, 0, 1)
    assert len(await door.sent(upload.id, upload.object_key)) == 9


async def test_a_part_whose_client_leaves_is_given_back_and_one_that_may_be_there_is_not(opened: Opened) -> None:
    world, user_id, door = opened
    upload = await door.begin(TOLD)

    async def leaving() -> AsyncIterator[bytes]:
        yield b"x"
        raise UrlNotValid("The connection ended before the body did.")

    with pytest.raises(UrlNotValid):
        await door.receive_part(upload.id, upload.object_key, 1, leaving(), length=10)
    assert await world.quota(user_id) == (1, 0, 1)
    away = await door_of(world.over(Flaky(world.disk, fails=1)), user_id, upload.target_id or 0)
    with pytest.raises(StorageUnavailable):
        await send(away, upload, 1, b"x" * 10)
    assert await world.quota(user_id) == (11, 0, 1)
    etag = await send(door, upload, 1, b"x" * 10)
    await door.complete(upload.id, upload.object_key, {1: etag})
    assert await world.quota(user_id) == (0, 10, 0)


async def test_the_sweep_never_takes_what_came_so_far_for_the_whole(opened: Opened, clock: HeldClock) -> None:
    world, user_id, door = opened
    upload = await door.begin(TOLD)
    await send(door, upload, 1, b"x" * 10)
    clock.forward(minutes=16)
    await world.sweep.once()
    assert (await world.state(upload.id), await world.quota(user_id)) == ("PENDING", (0, 0, 0))
    etag = await send(door, upload, 2, b"end")  # late, but never lost: all of it is reserved anew
    assert await world.quota(user_id) == (14, 0, 1)
    [first, _] = await door.sent(upload.id, upload.object_key)
    await door.complete(upload.id, upload.object_key, {1: first.etag, 2: etag})
    assert await world.quota(user_id) == (0, 13, 0)


async def test_what_is_never_completed_is_given_up_with_its_parts(opened: Opened, clock: HeldClock) -> None:
    world, user_id, door = opened
    upload = await door.begin(TOLD)
    await send(door, upload, 1, b"x" * 10)
    for _ in range(3):
        clock.forward(hours=25)
        await world.sweep.once()
    assert (await world.state(upload.id), await world.quota(user_id)) == ("RECLAIMED", (0, 0, 0))
    assert [one async for one in world.disk.open_multiparts()] == []


async def test_nobody_else_signs_its_parts_or_completes_it(opened: Opened) -> None:
    world, user_id, door = opened
    upload = await door.begin(TOLD)
    await send(door, upload, 1, b"x" * 10)
    with pytest.raises(PartsDiffer):
        await world.in_parts.more(upload.id, [1], owner_id=user_id)
    assert (await world.in_parts.more(upload.id, None, owner_id=user_id)).urls == []
    with pytest.raises(PartsDiffer):
        await world.in_parts.complete(upload.id, trigger=Trigger.CLIENT, owner_id=user_id)
    assert await world.state(upload.id) == "PENDING"


async def test_of_complete_and_abort_at_once_one_wins(opened: Opened) -> None:
    world, user_id, door = opened
    for _ in range(5):
        upload = await door.begin(TOLD)
        etag = await send(door, upload, 1, b"x" * 10)
        completed, _ = await asyncio.gather(
            door.complete(upload.id, upload.object_key, {1: etag}),
            door.abort(upload.id, upload.object_key),
            return_exceptions=True,
        )
        if isinstance(completed, Upload):
            await world.uploads.remove(upload.id, owner_id=user_id)
        else:
            assert isinstance(completed, MooringError)
            with pytest.raises(UploadNotFound):
                await world.uploads.get(upload.id, owner_id=user_id)
        assert await world.quota(user_id) == (0, 0, 0)
        await world.sweep.once()
        assert await world.keys() == []


async def test_two_who_complete_at_once_complete_once(opened: Opened) -> None:
    world, user_id, door = opened
    upload = await door.begin(TOLD)
    etag = await send(door, upload, 1, b"x" * 10)
    both = await asyncio.gather(*(door.complete(upload.id, upload.object_key, {1: etag}) for _ in range(4)))
    assert {one.state for one in both} == {"UPLOADED"}
    assert await world.quota(user_id) == (0, 10, 0)
    with pytest.raises(NotPending):
        await send(door, upload, 1, b"x")


async def test_of_forms_sent_twice_at_once_one_becomes_the_upload(opened: Opened) -> None:
    world, user_id, door = opened
    ticket = await door.ticket(TOLD, takes_put=False)
    both = await asyncio.gather(*(door.receive(TOLD, ticket.key, once(b"jpeg"), at_least=1) for _ in range(4)))
    assert len({one.id for one in both}) == 1
    assert await world.keys() == [both[0].object_key]
    assert await world.quota(user_id) == (0, 4, 0)
    doomed = await world.db.fetch("SELECT object_key FROM removals")
    assert both[0].object_key not in {row[0] for row in doomed}


@pytest.mark.parametrize("begin", [lambda door: door.begin(TOLD), lambda door: door.begin(TOLD._replace(file_size=9))])
async def test_a_storage_that_is_away_leaves_nothing_begun(
    world: World, unreachable: World, begin: Callable[[Door], object]
) -> None:
    user_id, album_id = await world.owner()
    with pytest.raises(StorageUnavailable):
        await begin(await door_of(unreachable, user_id, album_id))  # type: ignore[misc]
    assert await world.db.fetchval("SELECT count(*) FROM uploads") == 0
    assert await world.quota(user_id) == (0, 0, 0)
