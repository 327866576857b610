"""How a file gets to whoever may have it."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from conftest import HeldClock
from mooring.delivery import service
from mooring.delivery.service import REPLACED, Delivery
from mooring.errors import FileLost, StorageUnavailable, UploadRejected
from mooring.library.images import Size, of_owner
from mooring.observe.metrics import Metrics
from mooring.uploads.lifecycle import Move, State, Trigger, Upload, advance
from mooring.uploads.served import ServedFile
from world import BODY, World, once

FILE = ServedFile("photos/a.jpg", "etag", "image/jpeg", 7, "a.jpg")


@dataclass
class Counting:
    """Signs nothing, and says when it was asked to."""

    signed: list[tuple[str, datetime]] = field(default_factory=list)
    fails: bool = False

    def url(self, key: str, *, until: datetime) -> str:
        if self.fails:
            raise RuntimeError("no key today")
        self.signed.append((key, until))
        return f"https://cdn/{key}?{len(self.signed)}"


@pytest.fixture
def signer() -> Counting:
    return Counting()


@pytest.fixture
def delivery(world: World, signer: Counting) -> Delivery:
    return Delivery(world.uploads, Metrics(), signer)


def url_of(delivery: Delivery, file: ServedFile = FILE, *, until: datetime | None = None) -> str | None:
    redirect = delivery.redirect(file, until=until)
    return redirect.url if redirect else None


def errors(delivery: Delivery) -> float:
    labels = {"service": "cdn"}
    name = "photo_api_external_request_errors_total"
    return delivery.metrics.registry.get_sample_value(name, labels) or 0


# ── by the CDN ──


async def test_a_url_is_handed_out_for_half_of_its_life(delivery: Delivery, signer: Counting, clock: HeldClock) -> None:
    first = url_of(delivery)
    clock.forward(seconds=60)
    assert url_of(delivery) == first
    clock.forward(seconds=1)
    assert url_of(delivery) != first
    assert signer.signed[1][1] == clock() + timedelta(seconds=120)


async def test_each_object_has_a_url_of_its_own(delivery: Delivery) -> None:
    assert url_of(delivery) != url_of(delivery, FILE._replace(object_key="photos/b.jpg"))


async def test_a_url_never_outlives_the_right_to_it(delivery: Delivery, signer: Counting, clock: HeldClock) -> None:
    common = url_of(delivery)
    soon = clock() + timedelta(seconds=90, milliseconds=500)
    short = delivery.redirect(FILE, until=soon)
    assert short is not None
    assert short.url != common
    assert signer.signed[-1][1] == short.expires_at == soon.replace(microsecond=0)
    assert url_of(delivery) == common, "a shortened one is nobody else's"
    assert url_of(delivery, until=clock() + timedelta(seconds=120)) == common


async def test_a_right_that_is_as_good_as_over_gets_no_url(delivery: Delivery, clock: HeldClock) -> None:
    assert url_of(delivery, until=clock() + timedelta(seconds=1)) is None
    assert url_of(delivery, until=clock() - timedelta(hours=1)) is None
    assert errors(delivery) == 0


async def test_a_signer_that_fails_is_counted_and_the_file_streamed(delivery: Delivery, signer: Counting) -> None:
    signer.fails = True
    assert url_of(delivery) is None
    assert errors(delivery) == 1
    signer.fails = False
    assert url_of(delivery) is not None
    assert errors(delivery) == 1


async def test_without_a_cdn_there_is_no_redirect(world: World) -> None:
    assert Delivery(world.uploads, Metrics()).redirect(FILE) is None


async def test_only_so_many_are_remembered(
    delivery: Delivery, signer: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_REMEMBERED", 3)
    files = [FILE._replace(object_key=f"photos/{number}.jpg") for number in range(4)]
    for file in files:
        url_of(delivery, file)
    assert list(delivery.remembered) == [file.object_key for file in files[1:]]
    url_of(delivery, files[3])
    assert len(signer.signed) == 4


async def test_a_confirmed_photos_url_is_the_cdns_and_never_outlives_the_right_to_it(
    world: World, delivery: Delivery, signer: Counting, clock: HeldClock
) -> None:
    upload = await world.arrived(*await world.owner())
    photos = replace(world.photos, cdn_url=delivery.cdn_url)
    assert photos.url(upload) == f"https://cdn/{upload.object_key}?1"
    assert photos.url(upload, until=clock() + timedelta(seconds=120)) == photos.url(upload), "signed once for all"
    for left in (119, 1, 0, -5):
        until = clock() + timedelta(seconds=left)
        assert photos.url(upload, until=until) == f"https://cdn/{upload.object_key}?{len(signer.signed)}"
        assert signer.signed[-1][1] == until, "nothing is streamed instead, and no URL of storage outlives it either"
    signer.fails = True
    delivery.remembered.clear()
    assert photos.url(upload) == world.photos.url(upload)


# ── through us ──


async def arrived(world: World) -> tuple[Upload, ServedFile]:
    user, album = await world.owner()
    upload = await world.arrived(user, album)
    file = await of_owner(world.db, upload.id, user, Size.original)
    assert file is not None
    return upload, file


async def content(reading: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in reading])


async def test_the_bytes_come_whole_and_in_part(world: World, delivery: Delivery) -> None:
    _, file = await arrived(world)
    await delivery.see(file)
    assert await content(await delivery.open(file)) == BODY
    assert await content(await delivery.open(file, start=3, end=9)) == BODY[3:9]


async def test_what_was_replaced_after_it_arrived_is_rejected_and_not_served(world: World, delivery: Delivery) -> None:
    for look in (delivery.see, delivery.open):
        upload, file = await arrived(world)
        await world.disk.write(upload.object_key, once(b"x" * len(BODY)), content_type="image/jpeg")
        with pytest.raises(UploadRejected, match=REPLACED):
            await look(file)
        assert await world.state(upload.id) == "REJECTED"
        assert (await world.story(upload.id))[-1] == ("rejected", "client")
        assert await world.quota(upload.uploader_id) == (0, 0, 0)
        assert upload.object_key not in await world.keys()
        with pytest.raises(FileLost):
            await look(file)


async def test_what_is_gone_is_lost_and_nothing_is_decided_by_it(world: World, delivery: Delivery) -> None:
    for look in (delivery.see, delivery.open):
        upload, file = await arrived(world)
        await world.disk.delete(upload.object_key)
        with pytest.raises(FileLost) as lost:
            await look(file)
        assert file.object_key not in str(lost.value)
        assert await world.state(upload.id) == "UPLOADED"


async def test_what_was_made_of_an_upload_and_is_another_now_does_not_reject_it(
    world: World, delivery: Delivery
) -> None:
    upload, file = await arrived(world)
    await world.disk.write("made/thumb.webp", once(b"thumb"), content_type="image/webp")
    thumb = file._replace(object_key="made/thumb.webp", etag="what it was")
    with pytest.raises(FileLost):
        await delivery.open(thumb)
    assert await world.state(upload.id) == "UPLOADED"


async def test_a_failed_uploads_file_is_served_but_not_when_it_was_replaced(world: World, delivery: Delivery) -> None:
    upload, file = await arrived(world)
    for state in (State.PROCESSING, State.FAILED):
        move = Move(upload.id, Trigger.WORKER, error="can't be decoded" if state is State.FAILED else None)
        await advance(world.db, state, [move], what=state.lower(), at=world.clock())
    assert await content(await delivery.open(file)) == BODY
    await world.disk.write(upload.object_key, once(b"x"), content_type="image/jpeg")
    with pytest.raises(FileLost):
        await delivery.open(file)


async def test_a_storage_that_does_not_answer_decides_nothing(world: World, unreachable: World) -> None:
    upload, file = await arrived(world)
    delivery = Delivery(unreachable.uploads, Metrics())
    for look in (delivery.see, delivery.open):
        with pytest.raises(StorageUnavailable):
            await look(file)
    assert await world.state(upload.id) == "UPLOADED"


async def test_an_open_file_is_held_to_the_same_rules(world: World) -> None:
    delivery = Delivery(world.uploads, Metrics(), files=world.disk)
    upload, file = await arrived(world)
    fd = await delivery.hold(file)
    assert fd is not None
    with os.fdopen(fd, "rb") as held:
        assert held.read() == BODY
    await world.disk.write(upload.object_key, once(b"x" * len(BODY)), content_type="image/jpeg")
    with pytest.raises(UploadRejected, match=REPLACED):
        await delivery.hold(file)
    with pytest.raises(FileLost):
        await delivery.hold(file)
    assert await Delivery(world.uploads, Metrics()).hold(file) is None


async def test_a_reader_may_go_before_the_end(world: World, delivery: Delivery) -> None:
    _, file = await arrived(world)
    reading = await delivery.open(file)
    await reading.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(reading)
