"""Bytes that come through us: one life like any other, and at no time an object that nobody accounts for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from conftest import HeldClock
from flaky import Flaky
from mooring.errors import (
    AlbumNotFound,
    DatabaseUnavailable,
    FileTooLarge,
    MooringError,
    QuotaExceeded,
    StorageUnavailable,
    TypeNotAllowed,
)
from mooring.uploads import removals
from mooring.uploads.lifecycle import Upload
from world import BODY, World, once


async def send(
    world: World, user_id: int, album_id: int, body: bytes | AsyncIterator[bytes] = BODY, at_least: int = 1
) -> Upload:
    chunks = once(body) if isinstance(body, bytes) else body
    async with world.direct.receiving(
        "a.jpg", chunks, at_least=at_least, user_id=user_id, album_id=album_id
    ) as landing:
        return await world.direct.take_in(landing, title="Sea", description=None)


async def left(world: World, user_id: int) -> tuple[int, list[str], tuple[int, int, int]]:
    """Rows, objects and quota."""
    return await world.db.fetchval("SELECT count(*) FROM uploads"), await world.keys(), await world.quota(user_id)


NOTHING = (0, list[str](), (0, 0, 0))


async def promises(world: World) -> int:
    return int(await world.db.fetchval("SELECT count(*) FROM removals"))


async def test_it_has_the_life_and_the_ledger_of_any_upload(world: World, clock: HeldClock) -> None:
    user_id, album_id = await world.owner()
    upload = await send(world, user_id, album_id)
    assert await world.story(upload.id) == [("issued", "client"), ("arrived", "client")]
    assert (upload.state, upload.file_size, upload.content_type) == ("UPLOADED", len(BODY), "image/jpeg")
    assert (upload.created_at, upload.completed_at) == (clock(), clock())
    assert await world.quota(user_id) == (0, len(BODY), 0)
    assert await world.keys() == [upload.object_key]
    assert await promises(world) == 0
    ledger = "SELECT album_id, user_id, completed_at FROM temp_upload_records WHERE upload_id = $1"
    assert await world.db.fetchrow(ledger, upload.id) == (album_id, user_id, clock())
    shown = await world.photos.get(upload.id, user_id=user_id)
    assert (shown.title, shown.description) == ("Sea", None)
    assert [album.photo_count for album in await world.albums.page(owner_id=user_id, before=None, limit=9)] == [1]
    assert await world.photos.confirm(upload.id, user_id=user_id) == upload, "a confirm that comes too is no harm"


async def test_it_began_when_its_first_byte_came(world: World, clock: HeldClock) -> None:
    user_id, album_id = await world.owner()
    began = clock()

    async def slowly() -> AsyncIterator[bytes]:
        yield BODY * 3
        clock.forward(minutes=90)
        await world.sweep.once()
        await world.reconciliation.run()
        yield BODY

    upload = await send(world, user_id, album_id, slowly())
    assert (upload.created_at, upload.completed_at) == (began, clock())
    clock.forward(days=2)
    await world.sweep.once()
    assert await world.keys() == [upload.object_key], "neither sweep nor reconciling takes what is on its way, or there"


async def test_a_sender_that_leaves_in_the_middle_leaves_nothing(world: World, clock: HeldClock) -> None:
    user_id, album_id = await world.owner()

    async def torn() -> AsyncIterator[bytes]:
        yield BODY * 10
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await send(world, user_id, album_id, torn())
    assert await left(world, user_id) == NOTHING
    await world.sweep.once()
    clock.forward(hours=2)
    await world.sweep.once()
    assert await promises(world) == 0


async def test_a_request_that_is_cancelled_leaves_nothing(world: World) -> None:
    user_id, album_id = await world.owner()
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield BODY * 10
        begun.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(send(world, user_id, album_id, endless()))
    await begun.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert await left(world, user_id) == NOTHING


async def test_a_byte_too_many_leaves_nothing(world: World) -> None:
    user_id, album_id = await world.owner("premium")
    limit = world.photos.kind.max_bytes

    async def bytes_of(size: int) -> AsyncIterator[bytes]:
        yield BODY
        yield b"x" * (size - len(BODY))

    with pytest.raises(FileTooLarge):
        await send(world, user_id, album_id, bytes_of(limit + 1))
    with pytest.raises(FileTooLarge):
        await send(world, user_id, album_id, at_least=limit + 1)
    assert await left(world, user_id) == NOTHING
    assert (await send(world, user_id, album_id, bytes_of(limit))).file_size == limit


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xd8", BODY[::-1]])
async def test_what_is_no_picture_is_never_stored(world: World, body: bytes) -> None:
    user_id, album_id = await world.owner()
    with pytest.raises(TypeNotAllowed):
        await send(world, user_id, album_id, body)
    assert await left(world, user_id) == NOTHING
    assert await promises(world) == 0


async def test_nothing_is_stored_for_an_album_of_somebody_else(world: World) -> None:
    user_id, _ = await world.owner()
    _, theirs = await world.owner()
    with pytest.raises(AlbumNotFound):
        await send(world, user_id, theirs)
    assert await left(world, user_id) == NOTHING
    assert await promises(world) == 0


async def test_an_album_that_goes_meanwhile_takes_the_photo_along(world: World) -> None:
    user_id, album_id = await world.owner()

    async def meanwhile() -> AsyncIterator[bytes]:
        yield BODY * 3
        await world.db.execute("DELETE FROM albums WHERE id = $1", album_id)

    with pytest.raises(AlbumNotFound):
        await send(world, user_id, album_id, meanwhile())
    assert await left(world, user_id) == NOTHING


async def test_what_is_known_to_be_over_the_quota_is_refused_unread(world: World) -> None:
    user_id, album_id = await world.owner()

    async def unread() -> AsyncIterator[bytes]:
        yield BODY * 3
        pytest.fail("it was read")

    with pytest.raises(QuotaExceeded):
        await send(world, user_id, album_id, unread(), at_least=10_001)
    assert await promises(world) == 0


async def test_many_at_once_at_the_limit_let_not_one_byte_over(world: World) -> None:
    user_id, album_id = await world.owner()
    body = BODY + b"x" * (1_000 - len(BODY))
    sent = await asyncio.gather(*(send(world, user_id, album_id, body) for _ in range(15)), return_exceptions=True)
    refused = [one for one in sent if isinstance(one, MooringError)]
    assert [type(one) for one in refused] == [QuotaExceeded] * 5
    assert await world.quota(user_id) == (0, 10_000, 0)
    assert len(await world.keys()) == 10


async def test_storage_that_fails_leaves_nothing(world: World) -> None:
    user_id, album_id = await world.owner()
    with pytest.raises(StorageUnavailable):
        await send(world.over(Flaky(world.disk, fails=1)), user_id, album_id)
    assert await left(world, user_id) == NOTHING


async def test_an_object_whose_maker_died_goes_and_until_then_is_accounted_for(world: World, clock: HeldClock) -> None:
    """What `kill -9` between object and row leaves: the object and the promise of its removal."""
    key = "photos/0b1e_left.jpg"
    await removals.promise(world.db, key, due_at=clock() + timedelta(hours=24))
    await world.disk.write(key, once(BODY), content_type="image/jpeg")
    clock.forward(hours=23)
    await world.sweep.once()
    assert (await world.reconciliation.run()).is_clean
    assert await world.keys() == [key]
    clock.forward(hours=2)
    await world.sweep.once()
    assert (await world.keys(), await promises(world)) == ([], 0)


async def test_one_that_takes_longer_than_its_promise_is_refused(world: World, clock: HeldClock) -> None:
    """The sweep may have taken the object away: no row may say that it is there."""
    user_id, album_id = await world.owner()
    with pytest.raises(StorageUnavailable):  # noqa: PT012
        async with world.direct.receiving(
            "a.jpg", once(BODY), at_least=1, user_id=user_id, album_id=album_id
        ) as landing:
            clock.forward(hours=25)
            await world.sweep.once()
            await world.direct.take_in(landing, title=None, description=None)
    assert await left(world, user_id) == NOTHING


async def test_a_sweep_that_has_it_in_hand_is_not_overtaken(world: World, clock: HeldClock) -> None:
    """Taken by the sweep, not yet deleted: the promise is still there, and no longer ours to take back."""
    user_id, album_id = await world.owner()
    with pytest.raises(StorageUnavailable):  # noqa: PT012
        async with world.direct.receiving(
            "a.jpg", once(BODY), at_least=1, user_id=user_id, album_id=album_id
        ) as landing:
            at = clock.forward(hours=25)
            assert len(await removals.take_due(world.db, at=at, limit=10)) == 1
            await world.direct.take_in(landing, title=None, description=None)
    assert (await left(world, user_id))[0] == 0


async def test_a_commit_whose_answer_was_lost_keeps_its_object(world: World) -> None:
    user_id, album_id = await world.owner()
    with pytest.raises(DatabaseUnavailable):  # noqa: PT012
        async with world.direct.receiving(
            "a.jpg", once(BODY), at_least=1, user_id=user_id, album_id=album_id
        ) as landing:
            upload = await world.direct.take_in(landing, title=None, description=None)
            raise DatabaseUnavailable
    assert await world.state(upload.id) == "UPLOADED"
    assert await world.keys() == [upload.object_key]


async def test_a_transaction_that_is_rolled_back_leaves_nothing(world: World) -> None:
    user_id, album_id = await world.owner()
    with pytest.raises(DatabaseUnavailable):  # noqa: PT012
        async with (
            world.direct.receiving("a.jpg", once(BODY), at_least=1, user_id=user_id, album_id=album_id) as landing,
            world.db.transaction() as tx,
        ):
            await world.direct.take_in(landing, title=None, description=None, tx=tx)
            raise DatabaseUnavailable
    assert await left(world, user_id) == NOTHING


async def test_what_nobody_takes_in_is_gone(world: World) -> None:
    """As where an Idempotency-Key has its answer already."""
    user_id, album_id = await world.owner()
    async with world.direct.receiving("a.jpg", once(BODY), at_least=1, user_id=user_id, album_id=album_id):
        assert len(await world.keys()) == 1
    assert await left(world, user_id) == NOTHING
