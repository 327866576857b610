import asyncio

import pytest

from mooring.errors import AlbumNotFound, FileTooLarge, QuotaExceeded, TooManyInFlight, TypeNotAllowed
from mooring.uploads.quota import Plan
from mooring.uploads.service import Claim
from world import BODY, World, with_plans


async def test_an_issue_leaves_photo_ledger_and_story_and_reserves_the_quota(world: World) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album, filename="한글 이름.jpg")
    row = await world.db.fetchrow("SELECT * FROM temp_upload_records WHERE upload_id = $1", ticket.photo_id)
    assert row is not None
    assert (row["album_id"], row["user_id"], row["completed_at"]) == (album, user, None)
    assert row["expires_at"] == ticket.expires_at == row["issued_at"] + world.uploads.terms.upload_url_life
    assert await world.db.fetchval("SELECT photo_id FROM album_photos WHERE album_id = $1", album) == ticket.photo_id
    assert await world.story(ticket.photo_id) == [("issued", "client")]
    assert await world.quota(user) == (len(BODY), 0, 1)
    photo = await world.photos.get(ticket.photo_id, user_id=user)
    assert photo.upload.original_filename == "한글 이름.jpg"
    assert ticket.object_key.startswith("photos/")
    assert ticket.object_key.endswith("한글_이름.jpg")


async def test_an_album_of_somebody_else_is_not_there(world: World) -> None:
    user, _ = await world.owner()
    _, other_album = await world.owner()
    with pytest.raises(AlbumNotFound):
        await world.issue(user, other_album)
    with pytest.raises(AlbumNotFound):
        await world.issue(user, 999_999)
    assert await world.quota(user) == (0, 0, 0)


async def test_too_large_is_said_before_a_wrong_type(world: World) -> None:
    user, album = await world.owner()
    with pytest.raises(FileTooLarge):
        await world.issue(user, album, file_size=1_000_001, content_type="text/html")
    with pytest.raises(TypeNotAllowed):
        await world.issue(user, album, content_type="text/html")
    assert await world.db.fetchval("SELECT count(*) FROM uploads") == 0


async def test_two_hundred_parallel_issues_at_the_limit_let_not_one_byte_over(world: World) -> None:
    tight = World.built(world.db, world.disk, world.clock, terms=with_plans(Plan("free", 1_000, 1_000)))
    user, album = await tight.owner()
    asked = [tight.issue(user, album, file_size=30) for _ in range(200)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, QuotaExceeded)]
    assert (len(answers) - len(refused), len(refused)) == (33, 167)
    assert await tight.quota(user) == (990, 0, 33)


async def test_many_users_issue_at_once_and_nobody_fails_for_a_neighbour(world: World) -> None:
    owners = [await world.owner() for _ in range(8)]
    claims = [world.issue(user, album) for user, album in owners for _ in range(15)]
    stranger = world.issue(owners[0][0], owners[1][1])
    *answers, refused = await asyncio.gather(*claims, stranger, return_exceptions=True)
    assert isinstance(refused, AlbumNotFound)
    assert len({answer.photo_id for answer in answers if not isinstance(answer, BaseException)}) == 120
    assert [await world.quota(user) for user, _ in owners] == [(15 * len(BODY), 0, 15)] * 8


async def test_uploads_in_flight_are_limited_too(world: World) -> None:
    user, album = await world.owner()
    tickets = [await world.issue(user, album) for _ in range(20)]
    with pytest.raises(TooManyInFlight):
        await world.issue(user, album)
    await world.put(tickets[0].put)
    await world.photos.confirm(tickets[0].photo_id, user_id=user)
    await world.issue(user, album)


async def test_a_batch_is_all_or_nothing_and_in_order(world: World) -> None:
    user, album = await world.owner("premium")
    claims = [Claim(f"{number}.jpg", "image/jpeg", 10 + number) for number in range(1000)]
    tickets = await world.photos.issue_batch(claims, user_id=user, album_id=album)
    ids = [ticket.photo_id for ticket in tickets]
    rows = await world.db.fetch("SELECT original_filename FROM uploads ORDER BY array_position($1::bigint[], id)", ids)
    assert [row[0] for row in rows] == [claim.filename for claim in claims]
    reserved = sum(claim.file_size for claim in claims)
    assert await world.quota(user) == (reserved, 0, 1000)
    with pytest.raises(QuotaExceeded):
        await world.photos.issue_batch(
            [*claims[:3], Claim("x.jpg", "image/jpeg", 990_000)], user_id=user, album_id=album
        )
    assert await world.quota(user) == (reserved, 0, 1000)


@pytest.mark.parametrize(
    "filename",
    [
        "../../etc/passwd",
        "..\\..\\boot.ini",
        "a\nb\x1b[31m.jpg",
        "x" * 300,
        "한" * 100 + ".jpg",
        " ",
        "con.jpg/",
        "%2e%2e%2f.png",
    ],
)
async def test_a_file_name_is_text_and_never_a_path(world: World, filename: str) -> None:
    user, album = await world.owner()
    ticket = await world.issue(user, album, filename=filename)
    await world.put(ticket.put)
    upload = await world.photos.confirm(ticket.photo_id, user_id=user)
    assert upload.original_filename == filename
    assert await world.keys() == [ticket.object_key]
    assert ticket.object_key.count("/") == 1
