"""What comes in parts over time: resumed, prolonged, swept, given up."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, cast

import pytest

from conftest import HeldClock
from flaky import Flaky
from mooring.errors import (
    FileTooLarge,
    NoSuchPart,
    NotPending,
    PartsMissing,
    QuotaExceeded,
    StorageUnavailable,
    UploadGone,
    UrlNotValid,
    VideoNotFound,
)
from mooring.library.videos import Ticket, record_facts
from mooring.storage.port import Signed, Storage
from mooring.uploads.in_parts import PartUrl
from mooring.uploads.lifecycle import Trigger, Upload
from mooring.uploads.quota import Plan
from mooring.uploads.service import Claim
from world import World, with_plans

BODY = b"".join(bytes([number]) * 1_000 for number in (1, 2)) + b"the end"
FILM = Claim("clip.mp4", "video/mp4", len(BODY))


async def begun(world: World, user: int, claim: Claim = FILM) -> Ticket:
    return await world.videos.ticket(await world.videos.issue(claim, user_id=user), user_id=user)


async def send(world: World, urls: Iterable[PartUrl], numbers: Iterable[int] = (1, 2, 3)) -> None:
    known = dict(urls)
    for number in numbers:
        await world.put(Signed(known[number], {}), BODY[(number - 1) * 1_000 : number * 1_000])


async def whole(world: World, user: int) -> int:
    ticket = await begun(world, user)
    await send(world, ticket.urls)
    return ticket.upload.id


async def joined(world: World, user: int, video_id: int) -> Upload:
    """By somebody who died before the row moved."""
    upload = await world.uploads.get(video_id, owner_id=user)
    assert upload.multipart_id is not None
    parts = await world.disk.parts(upload.object_key, upload.multipart_id)
    await world.disk.complete_multipart(upload.object_key, upload.multipart_id, parts or [])
    return upload


async def is_empty(world: World) -> bool:
    return not await world.keys() and not [each async for each in world.disk.open_multiparts()]


# ── time ──


async def test_an_upload_takes_as_long_as_its_parts_keep_coming(world: World, clock: HeldClock) -> None:
    user = await world.user()
    ticket = await begun(world, user)
    video_id, urls = ticket.upload.id, ticket.urls
    for hour in range(40):
        clock.forward(hours=1)
        await world.sweep.once()
        urls = (await world.videos.more_parts(video_id, [1, 2, 3], user_id=user)).urls
        await send(world, urls, [hour % 2 + 1])
    assert await world.state(video_id) == "PENDING"
    await send(world, urls, [3])
    await world.videos.complete(video_id, user_id=user)
    assert await world.quota(user) == (0, len(BODY), 0)


async def test_a_part_that_takes_long_is_waited_for(world: World, clock: HeldClock) -> None:
    """Prolonged just before it would be given up: an hour beyond its lapse a slow part may still end."""
    user = await world.user()
    video_id = (await begun(world, user)).upload.id
    clock.forward(hours=23, minutes=55)
    await world.videos.more_parts(video_id, None, user_id=user)
    clock.forward(minutes=74)
    await world.sweep.once()
    assert await world.state(video_id) == "PENDING"
    clock.forward(minutes=2)
    await world.sweep.once()
    assert await world.state(video_id) == "RECLAIMED"
    with pytest.raises(UploadGone):
        await world.videos.more_parts(video_id, None, user_id=user)


async def test_fresh_urls_are_good_for_half_a_life_at_least_and_never_longer_than_the_upload(
    world: World, clock: HeldClock
) -> None:
    user = await world.user()
    ticket = await begun(world, user)
    clock.forward(minutes=7)
    early = await world.videos.more_parts(ticket.upload.id, [1], user_id=user)
    assert early.upload.expires_at == ticket.upload.expires_at
    clock.forward(minutes=1)
    late = await world.videos.more_parts(ticket.upload.id, [2], user_id=user)
    assert late.upload.expires_at == clock() + world.uploads.terms.upload_url_life
    assert [what for what, _ in await world.story(ticket.upload.id)] == ["issued", "renewed"]
    clock.forward(minutes=8)
    with pytest.raises(UrlNotValid):
        await send(world, early.urls, [1])
    await send(world, late.urls, [2])


async def test_what_the_lapse_released_is_reserved_anew_if_there_is_room(world: World, clock: HeldClock) -> None:
    tight = World.built(world.db, world.disk, clock, terms=with_plans(Plan("free", len(BODY) + 10, 10)))
    user, album = await tight.owner()
    first = (await begun(tight, user)).upload.id
    clock.forward(minutes=16)
    await tight.sweep.once()
    assert await tight.quota(user) == (0, 0, 0)
    other = await tight.issue(user, album, file_size=100)
    with pytest.raises(QuotaExceeded):
        await tight.videos.more_parts(first, None, user_id=user)
    await tight.photos.delete(other.photo_id, user_id=user)
    await send(tight, (await tight.videos.more_parts(first, None, user_id=user)).urls)
    assert await tight.quota(user) == (len(BODY), 0, 1)
    await tight.videos.complete(first, user_id=user)
    assert await tight.quota(user) == (0, len(BODY), 0)


# ── who went away ──


async def test_the_sweep_joins_what_its_client_left_whole(world: World, clock: HeldClock) -> None:
    user = await world.user()
    video_id = await whole(world, user)
    clock.forward(minutes=14, seconds=50)
    await world.sweep.once()
    assert await world.state(video_id) == "PENDING", "its URLs may still bring a part"
    clock.forward(minutes=1)
    await world.sweep.once()
    assert await world.state(video_id) == "UPLOADED"
    assert (await world.videos.complete(video_id, user_id=user)).upload.state == "UPLOADED"
    assert await world.story(video_id) == [("issued", "client"), ("arrived", "sweep")]
    assert [each async for each in world.disk.open_multiparts()] == []


async def test_what_is_not_whole_is_given_up_with_all_its_parts(world: World, clock: HeldClock) -> None:
    user = await world.user()
    ticket = await begun(world, user)
    await send(world, ticket.urls, [1, 3])
    clock.forward(hours=25)
    await world.sweep.once()
    assert await world.state(ticket.upload.id) == "RECLAIMED"
    assert await is_empty(world)
    assert await world.quota(user) == (0, 0, 0)


async def test_an_event_of_the_joined_object_is_an_arrival_like_any_other(world: World) -> None:
    user = await world.user()
    video_id = await whole(world, user)
    upload = await joined(world, user, video_id)
    arrived = await world.uploads.arrive_at(upload.object_key, trigger=Trigger.EVENT)
    assert arrived is not None
    assert (await world.videos.complete(video_id, user_id=user)).upload.etag == arrived.etag
    assert await world.story(video_id) == [("issued", "client"), ("arrived", "event")]


async def test_what_storage_forgot_is_recordedanew(world: World, clock: HeldClock) -> None:
    user = await world.user()
    ticket = await begun(world, user)
    await send(world, ticket.urls, [1])
    assert ticket.upload.multipart_id is not None
    await world.disk.abort_multipart(ticket.upload.object_key, ticket.upload.multipart_id)
    assert (await world.videos.parts(ticket.upload.id, user_id=user)).parts == []
    clock.forward(minutes=20)
    plan = await world.videos.more_parts(ticket.upload.id, None, user_id=user)
    assert [number for number, _ in plan.urls] == [1, 2, 3]
    assert plan.upload.multipart_id != ticket.upload.multipart_id
    await send(world, plan.urls)
    assert (await world.videos.complete(ticket.upload.id, user_id=user)).upload.state == "UPLOADED"


async def test_what_was_joined_and_never_said_arrives_with_the_next_question(world: World, clock: HeldClock) -> None:
    user = await world.user()
    video_id = await whole(world, user)
    await joined(world, user, video_id)
    clock.forward(minutes=10)
    with pytest.raises(NotPending, match="UPLOADED"):
        await world.videos.more_parts(video_id, None, user_id=user)
    assert await world.state(video_id) == "UPLOADED"


class Together:
    """A storage that begins no multipart before as many as there are have asked."""

    def __init__(self, storage: Storage, asking: int) -> None:
        self._storage = storage
        self._all_here = asyncio.Barrier(asking)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def begin_multipart(self, key: str, *, content_type: str) -> str:
        await self._all_here.wait()
        return await self._storage.begin_multipart(key, content_type=content_type)


async def test_of_several_who_begin_at_once_one_does(world: World) -> None:
    user = await world.user()
    async with world.db.transaction() as tx:
        video_id = await world.videos.issue(FILM, user_id=user, tx=tx)
    together = world.over(cast(Storage, Together(world.disk, 5)))
    tickets = await asyncio.gather(*(together.videos.ticket(video_id, user_id=user) for _ in range(5)))
    [recorded] = {ticket.upload.multipart_id for ticket in tickets}
    assert [each.multipart_id async for each in world.disk.open_multiparts()] == [recorded]
    assert all(ticket.urls == tickets[0].urls for ticket in tickets)


# ── storage away ──


async def test_where_storage_is_away_nothing_is_begun(world: World, unreachable: World) -> None:
    user = await world.user()
    with pytest.raises(StorageUnavailable):
        await unreachable.videos.issue(FILM, user_id=user)
    assert await world.quota(user) == (0, 0, 0)
    assert await world.videos.page(user_id=user, before=None, limit=10) == []


async def test_an_issue_whose_transaction_was_kept_begins_when_storage_is_back(
    world: World, unreachable: World
) -> None:
    user = await world.user()
    async with world.db.transaction() as tx:
        video_id = await unreachable.videos.issue(FILM, user_id=user, tx=tx)
    with pytest.raises(StorageUnavailable):
        await unreachable.videos.ticket(video_id, user_id=user)
    first, second = [await world.videos.ticket(video_id, user_id=user) for _ in range(2)]
    assert first == second
    await send(world, first.urls)
    await world.videos.complete(video_id, user_id=user)


@pytest.mark.parametrize("calls", range(1, 4))
async def test_a_complete_that_storage_failed_is_asked_again(world: World, calls: int) -> None:
    user = await world.user()
    video_id = await whole(world, user)
    flaky = world.over(Flaky(world.disk, fails=calls))
    for _ in range(calls):
        with pytest.raises(StorageUnavailable):
            await flaky.videos.complete(video_id, user_id=user)
        assert await world.state(video_id) == "PENDING"
    assert (await flaky.videos.complete(video_id, user_id=user)).upload.state == "UPLOADED"


async def test_a_deletion_that_storage_failed_is_finished_by_the_sweep(world: World, unreachable: World) -> None:
    user = await world.user()
    ticket = await begun(world, user)
    await send(world, ticket.urls, [1])
    await unreachable.videos.delete(ticket.upload.id, user_id=user)
    with pytest.raises(VideoNotFound):
        await world.videos.get(ticket.upload.id, user_id=user)
    assert not await is_empty(world)
    await world.sweep.once()
    assert await is_empty(world)


# ── the rest ──


async def test_the_job_says_whose_it_is_and_of_which_project(world: World) -> None:
    user = await world.user("premium")
    for project in (456, "project-456", None):
        video_id = await world.videos.issue(FILM, user_id=user, project_id=project)
        await send(world, (await world.videos.ticket(video_id, user_id=user)).urls)
        video = await world.videos.complete(video_id, user_id=user)
        assert video.upload.project_id == project
        payload = await world.db.fetchval("SELECT payload FROM pgqueuer WHERE dedupe_key = $1", str(video_id))
        assert json.loads(payload) == {
            "upload": video_id,
            "kind": "video",
            "user": user,
            "plan": "premium",
            "target": None,
            "project": project,
            "key": video.upload.object_key,
        }


async def test_a_file_of_more_parts_than_there_may_be_has_larger_ones_up_to_their_limit(world: World) -> None:
    user = await world.user("premium")
    with pytest.raises(FileTooLarge):
        await world.videos.issue(FILM._replace(file_size=1_000_001), user_id=user)
    ticket = await begun(world, user, FILM._replace(file_size=100_000))
    assert [number for number, _ in ticket.urls] == [1]  # by the MiB
    with pytest.raises(NoSuchPart):
        await world.videos.more_parts(ticket.upload.id, [2], user_id=user)


async def test_what_is_missing_is_named(world: World) -> None:
    user = await world.user()
    ticket = await begun(world, user)
    await send(world, ticket.urls, [2])
    with pytest.raises(PartsMissing, match=r"parts 1, 3 are missing"):
        await world.videos.complete(ticket.upload.id, user_id=user)
    assert await world.state(ticket.upload.id) == "PENDING"


async def test_what_processing_found_is_shown(world: World) -> None:
    user = await world.user()
    video_id = await whole(world, user)
    facts = {"duration_seconds": 1.5, "width": 1920, "height": 1080, "video_codec": "h264", "audio_codec": None}
    await record_facts(world.db, video_id, facts)
    video = await world.videos.get(video_id, user_id=user)
    assert {name: getattr(video, name) for name in facts} == facts
