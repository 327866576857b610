import pytest

from conftest import HeldClock
from mooring.errors import NotPending, QuotaExceeded, UploadGone, UploadNotFound, UrlNotValid
from mooring.uploads.quota import Plan
from world import BODY, World, with_plans


async def test_a_renewed_url_is_for_the_same_upload_and_the_same_quota(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    clock.forward(minutes=20)
    with pytest.raises(UrlNotValid):
        await world.put(ticket.put)
    upload, put = await world.uploads.renew(ticket.photo_id, owner_id=user)
    assert put is not None
    assert (upload.id, upload.object_key) == (ticket.photo_id, ticket.object_key)
    assert upload.expires_at == clock() + world.uploads.terms.upload_url_life
    assert await world.quota(user) == (len(BODY), 0, 1)
    await world.put(put)
    await world.photos.confirm(ticket.photo_id, user_id=user)
    assert await world.quota(user) == (0, len(BODY), 0)
    assert [what for what, _ in await world.story(ticket.photo_id)] == ["issued", "renewed", "arrived"]


async def test_what_the_lapse_released_is_reserved_anew_if_there_is_room(world: World, clock: HeldClock) -> None:
    tight = World.built(world.db, world.disk, clock, terms=with_plans(Plan("free", 100, 10)))
    user, album = await tight.owner()
    first = await tight.issue(user, album, file_size=80)
    clock.forward(minutes=16)
    await tight.sweep.once()
    assert await tight.quota(user) == (0, 0, 0)
    second = await tight.issue(user, album, file_size=80)
    with pytest.raises(QuotaExceeded):
        await tight.uploads.renew(first.photo_id, owner_id=user)
    await tight.photos.delete(second.photo_id, user_id=user)
    await tight.uploads.renew(first.photo_id, owner_id=user)
    assert await tight.quota(user) == (80, 0, 1)


async def test_only_ones_own_and_only_while_it_waits(world: World, clock: HeldClock) -> None:
    user, album = await world.owner()
    arrived = await world.arrived(user, album)
    with pytest.raises(NotPending, match="UPLOADED"):
        await world.uploads.renew(arrived.id, owner_id=user)
    ticket = await world.issue(user, album)
    with pytest.raises(UploadNotFound):
        await world.uploads.renew(ticket.photo_id, owner_id=await world.user())
    clock.forward(hours=25)
    await world.sweep.once()
    with pytest.raises(UploadGone):
        await world.uploads.renew(ticket.photo_id, owner_id=user)


async def test_a_renewed_upload_is_not_reclaimed_while_its_new_url_may_bring_bytes(
    world: World, clock: HeldClock
) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album)
    clock.forward(hours=23, minutes=55)
    await world.uploads.renew(ticket.photo_id, owner_id=user)
    clock.forward(minutes=10)
    await world.sweep.once()
    assert await world.state(ticket.photo_id) == "PENDING"
    clock.forward(minutes=59)  # past the lapse; a PUT that began in time may still be under way
    await world.sweep.once()
    assert await world.state(ticket.photo_id) == "PENDING"
    clock.forward(minutes=7)
    await world.sweep.once()
    assert await world.state(ticket.photo_id) == "RECLAIMED"
