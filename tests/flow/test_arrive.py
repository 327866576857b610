import asyncio

import pytest

from conftest import HeldClock
from mooring.errors import FileNotArrived, PhotoNotFound, StorageUnavailable, UploadRejected
from mooring.uploads.lifecycle import State, Trigger
from world import BODY, World


async def test_a_confirm_before_the_put_changes_nothing(world: World) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    with pytest.raises(FileNotArrived):
        await world.photos.confirm(ticket.photo_id, user_id=user)
    assert await world.state(ticket.photo_id) == "PENDING"
    assert await world.quota(user) == (len(BODY), 0, 1)


async def test_an_arrival_completes_the_ledger_settles_the_quota_and_tells_its_story_once(
    world: World, clock: HeldClock
) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    found = await world.put(ticket.put)
    arrived_at = clock.forward(seconds=7)
    upload = await world.photos.confirm(ticket.photo_id, user_id=user)
    clock.forward(seconds=7)
    again = await world.photos.confirm(ticket.photo_id, user_id=user)
    assert upload == again
    assert (upload.state, upload.completed_at, upload.etag) == (State.UPLOADED, arrived_at, found.etag)
    assert await world.story(ticket.photo_id) == [("issued", "client"), ("arrived", "client")]
    assert await world.quota(user) == (0, len(BODY), 0)


async def test_fifty_who_knock_at_once_by_four_doors_are_one_arrival(world: World) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    await world.put(ticket.put)
    knocks = [
        *(world.uploads.arrive(ticket.photo_id, trigger=Trigger.CLIENT) for _ in range(20)),
        *(world.uploads.arrive_at(ticket.object_key, trigger=Trigger.EVENT) for _ in range(20)),
        *(world.uploads.arrive(ticket.photo_id, trigger=Trigger.FUNCTION) for _ in range(10)),
    ]
    answers = await asyncio.gather(*knocks)
    assert {answer.state for answer in answers if answer} == {State.UPLOADED}
    assert [what for what, _ in await world.story(ticket.photo_id)] == ["issued", "arrived"]
    assert await world.quota(user) == (0, len(BODY), 0)


async def test_somebody_elses_photo_is_not_there(world: World) -> None:
    user, album = await world.owner()
    stranger = await world.user()
    ticket = await world.issue(user, album)
    await world.put(ticket.put)
    with pytest.raises(PhotoNotFound):
        await world.photos.confirm(ticket.photo_id, user_id=stranger)
    assert await world.state(ticket.photo_id) == "PENDING"


async def test_an_event_for_no_object_of_ours_is_no_error(world: World) -> None:
    for key in ("photos/x", "", "photos/00000000-0000-4000-8000-000000000000_a.jpg", "../photos", "é" * 2000):
        assert await world.uploads.arrive_at(key, trigger=Trigger.EVENT) is None


async def test_other_bytes_than_declared_are_rejected_removed_and_released(world: World) -> None:
    """Where a storage let other bytes pass, we do not."""
    user, album = await world.owner()
    ticket = await world.issue(user, album)

    async def longer() -> object:
        yield BODY + b"and more"

    await world.disk.write(ticket.object_key, longer(), content_type="image/jpeg")  # type: ignore[arg-type]
    with pytest.raises(UploadRejected, match=f"{len(BODY)} bytes were declared"):
        await world.photos.confirm(ticket.photo_id, user_id=user)
    with pytest.raises(UploadRejected):
        await world.photos.confirm(ticket.photo_id, user_id=user)
    assert await world.state(ticket.photo_id) == "REJECTED"
    assert await world.keys() == []
    assert await world.quota(user) == (0, 0, 0)
    assert [what for what, _ in await world.story(ticket.photo_id)] == ["issued", "rejected"]


async def test_storage_that_cannot_tell_leaves_the_upload_pending(world: World, unreachable: World) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    with pytest.raises(StorageUnavailable):
        await unreachable.photos.confirm(ticket.photo_id, user_id=user)
    assert await world.state(ticket.photo_id) == "PENDING"
    await world.put(ticket.put)
    await world.photos.confirm(ticket.photo_id, user_id=user)


async def test_a_batch_of_confirms_answers_each_for_itself(world: World) -> None:
    user, album = await world.owner()
    first, second = await world.issue(user, album), await world.issue(user, album)
    await world.put(first.put)
    came, waits, unknown = await world.photos.confirm_batch([first.photo_id, second.photo_id, 999_999], user_id=user)
    assert getattr(came, "state", None) is State.UPLOADED
    assert isinstance(waits, FileNotArrived)
    assert isinstance(unknown, PhotoNotFound)
