"""Files in parts over every storage: what is promised of an upload holds whoever keeps its bytes."""

from collections.abc import Iterable
from dataclasses import replace

import httpx
import pytest

from contract.conftest import Place
from mooring.clock import now
from mooring.db.pool import Database
from mooring.errors import ObjectChanged, PartsDiffer, PartsMissing
from mooring.library.videos import Ticket, Videos
from mooring.observe.metrics import Metrics
from mooring.uploads.in_parts import PartUrl
from mooring.uploads.kinds import video
from mooring.uploads.multipart import SMALLEST_PART, PartTerms
from mooring.uploads.quota import Plan
from mooring.uploads.reconcile import Reconciliation
from mooring.uploads.service import Claim, Uploads
from world import TERMS

BODY = b"".join(bytes([number]) * SMALLEST_PART for number in (1, 2)) + b"the end"
FILM = Claim("긴 영화.mp4", "video/mp4", len(BODY))
ROOMY = replace(TERMS, plans=(Plan("free", 2**30, 10),), parts=PartTerms(above=0, least=SMALLEST_PART))


@pytest.fixture
def videos(place: Place, db: Database) -> Videos:
    metrics = Metrics()
    return Videos(Uploads(db, place.storage, now, ROOMY, metrics), video(2**30), metrics)


@pytest.fixture
async def user(db: Database) -> int:
    return int(await db.fetchval("INSERT INTO users (email, password_hash) VALUES ('a', 'x') RETURNING id"))


async def begun(videos: Videos, user: int) -> Ticket:
    return await videos.ticket(await videos.issue(FILM, user_id=user), user_id=user)


async def send(http: httpx.AsyncClient, urls: Iterable[PartUrl], numbers: Iterable[int] = (1, 2, 3)) -> dict[int, str]:
    known, etags = dict(urls), {}
    for number in numbers:
        answer = await http.put(known[number], content=BODY[(number - 1) * SMALLEST_PART : number * SMALLEST_PART])
        assert answer.status_code == 200, answer.text
        etags[number] = answer.headers["etag"].strip('"')
    return etags


async def test_from_the_plan_to_the_film(videos: Videos, user: int, http: httpx.AsyncClient) -> None:
    ticket = await begun(videos, user)
    video_id = ticket.upload.id
    with pytest.raises(PartsMissing):
        await videos.complete(video_id, user_id=user)
    etags = await send(http, ticket.urls, [3, 1])
    with pytest.raises(PartsMissing, match="parts 2 are"):
        await videos.complete(video_id, user_id=user)
    for content in (BODY[:10], BODY[: SMALLEST_PART + 1]):
        assert (await http.put(dict(ticket.urls)[2], content=content)).status_code in (400, 403)
    there = await videos.parts(video_id, user_id=user)
    assert [(part.number, part.etag) for part in there.parts] == [(1, etags[1]), (3, etags[3])]
    more = await videos.more_parts(video_id, None, user_id=user)
    assert [number for number, _ in more.urls] == [2]
    etags |= await send(http, more.urls, [2])
    with pytest.raises(PartsDiffer):
        await videos.complete(video_id, user_id=user, named={**etags, 2: "0" * 32})
    completed = await videos.complete(video_id, user_id=user, named=etags)
    assert (completed.upload.state, completed.upload.file_size) == ("UPLOADED", len(BODY))
    assert await videos.complete(video_id, user_id=user) == completed
    url = videos.url(completed, "original")
    assert url is not None
    assert (await http.get(url)).content == BODY
    piece = await http.get(url, headers={"Range": f"bytes={SMALLEST_PART - 1}-{SMALLEST_PART}"})
    assert (piece.status_code, piece.content) == (206, b"\1\2")


@pytest.mark.parametrize("number", [1, 3])
async def test_after_it_arrived_no_part_changes_what_is_served(
    videos: Videos, user: int, http: httpx.AsyncClient, place: Place, number: int
) -> None:
    """Swift takes a part of what was joined long ago, and then has a broken object: that is said, and not that storage
    is away, or a worker would wait for it for ever."""
    ticket = await begun(videos, user)
    await send(http, ticket.urls)
    upload = (await videos.complete(ticket.upload.id, user_id=user)).upload
    again = BODY[(number - 1) * SMALLEST_PART : number * SMALLEST_PART].replace(b"\1", b"\7").replace(b"end", b"END")
    taken = await http.put(dict(ticket.urls)[number], content=again)
    read = b""
    try:
        async for piece in place.storage.read(upload.object_key, etag=upload.etag):
            read += piece
    except ObjectChanged:
        assert taken.status_code == 200
        assert BODY.startswith(read)
    else:
        assert taken.status_code == 404
        assert read == BODY


async def test_giving_up_leaves_nothing(videos: Videos, user: int, http: httpx.AsyncClient, place: Place) -> None:
    on_its_way, arrived = await begun(videos, user), await begun(videos, user)
    await send(http, on_its_way.urls, [1, 2])
    await send(http, arrived.urls)
    await videos.complete(arrived.upload.id, user_id=user)
    for ticket in (on_its_way, arrived):
        await videos.delete(ticket.upload.id, user_id=user)
    assert [each async for each in place.storage.list()] == []
    assert [each async for each in place.storage.open_multiparts()] == []
    quota = await videos.uploads.db.fetchrow("SELECT reserved_bytes, used_bytes, in_flight FROM quotas")
    assert quota is not None
    assert tuple(quota) == (0, 0, 0)


async def test_reconciling_closes_what_nobody_put_on_record(
    videos: Videos, user: int, place: Place, http: httpx.AsyncClient
) -> None:
    """Whoever began it died before the row knew. What the row knows is left alone."""
    ticket = await begun(videos, user)
    await place.storage.begin_multipart(ticket.upload.object_key, content_type="video/mp4")
    at_once = Reconciliation(videos.uploads, grace=ROOMY.look_before * -1, trash_life=ROOMY.reclaim_after)
    found = await at_once.run()
    assert found.multiparts == [ticket.upload.object_key]
    assert [each.multipart_id async for each in place.storage.open_multiparts()] == [ticket.upload.multipart_id]
    await send(http, ticket.urls)
    await videos.complete(ticket.upload.id, user_id=user)
