"""What is told of a CDN's URLs: none outlives what it was made for."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI

from conftest import HeldClock
from mooring.uploads.lifecycle import State
from web.conftest import sign_in
from web.test_direct_upload import JPEG, form
from web.test_images import CDN, by_cdn, owner, photo
from web.test_photos import refused
from web.test_records import create, move, uploaded
from web.test_share import browser, processed, share
from web.test_videos import issue as issue_video
from web.test_videos import send_small

__all__ = ["by_cdn", "owner"]
SESSION = 900


def at_the_cdn(answer: Any) -> Iterator[str]:
    """Every URL of it that stands in a JSON answer."""
    match answer:
        case dict():
            for value in answer.values():
                yield from at_the_cdn(value)
        case list():
            for value in answer:
                yield from at_the_cdn(value)
        case str() if answer.startswith(CDN):
            yield answer


def end_of(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["expires"][0])


async def test_no_url_in_an_answer_outlives_the_session_that_asked(
    owner: httpx.AsyncClient, by_cdn: FastAPI, clock: HeldClock
) -> None:
    house = by_cdn.state.house
    await photo(owner)
    await send_small(owner, video := await issue_video(owner))
    record = (await create(owner, issued := await uploaded(owner))).json()["id"]
    await move(house, issued["uploadId"], to=State.COMPLETED)

    async def urls() -> list[list[str]]:
        answers = [
            await owner.post("/photos/confirm", json={"photo_id": 1}),
            await owner.post("/photos/confirm/batch", json={"photo_ids": [1]}),
            await owner.post("/photos/", **form(("album_id", "1"), ("file", JPEG))),
            *[await owner.get(path) for path in ("/photos?limit=1", "/photos/1", "/albums/1/photos?limit=1")],
            await owner.patch("/photos/1", json={"title": "Sea"}),
            await owner.post(f"/api/videos/{video['videoId']}/complete"),
            *[await owner.get(path) for path in ("/api/videos", f"/api/videos/{video['videoId']}")],
            *[await owner.get(path) for path in ("/records/async/me", f"/records/async/{record}")],
        ]
        assert {answer.status_code for answer in answers} <= {200, 201}
        return [list(at_the_cdn(answer.json())) for answer in answers]

    began, whole = clock(), await urls()
    assert [len(found) for found in whole] == [1] * 12
    assert {end_of(url) for found in whole for url in found} == {int(clock().timestamp()) + 120}
    for left in (119, 20, 1):
        clock.at = began + timedelta(seconds=SESSION - left)
        short = await urls()
        assert [len(found) for found in short] == [1] * 12
        assert {end_of(url) for found in short for url in found} == {int(clock().timestamp()) + left}


async def test_whoever_signs_in_again_gets_the_whole_life(owner: httpx.AsyncClient, clock: HeldClock) -> None:
    """A shortened one is nobody else's."""
    await photo(owner)
    clock.forward(seconds=SESSION - 20)
    short = (await owner.get("/photos/1")).json()["url"]
    await sign_in(owner, "owner@example.org")
    listed = [(await owner.get("/photos")).json()["photos"][0]["url"] for _ in range(2)]
    assert (end_of(short), end_of(listed[0])) == (int(clock().timestamp()) + 20, int(clock().timestamp()) + 120)
    assert listed[0] == listed[1]


async def test_a_guest_is_sent_to_the_cdn_for_as_long_as_the_link_lasts(
    owner: httpx.AsyncClient, by_cdn: FastAPI, clock: HeldClock
) -> None:
    shown = await processed(owner, by_cdn.state.house)
    link = await share(owner, expires_in=20)
    image = f"{link['url']}/photos/{shown}/image"
    async with browser(by_cdn) as guest:
        for method in ("GET", "HEAD"):
            answer = await guest.request(method, image)
            assert (answer.status_code, answer.content) == (302, b"")
            where = answer.headers["location"]
            assert where.startswith(f"{CDN}/renditions/{shown}_clean?")
            assert end_of(where) == int(clock().timestamp()) + 20
            assert answer.headers["cache-control"] == "private, max-age=10"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "noindex" in answer.headers["x-robots-tag"]
        everything = str(answer.headers)
        assert link["token"] not in everything.replace(link["url"], "")
        assert (await owner.delete(f"/share-links/{link['id']}")).status_code == 204
        refused(await guest.get(image), 410, "SHARE_LINK_GONE")


@pytest.mark.parametrize(("left", "status"), [(2, 302), (1, 200)])
async def test_a_link_that_is_as_good_as_over_streams(
    owner: httpx.AsyncClient, by_cdn: FastAPI, left: int, status: int
) -> None:
    shown = await processed(owner, by_cdn.state.house)
    link = await share(owner, expires_in=left)
    async with browser(by_cdn) as guest:
        answer = await guest.get(f"{link['url']}/photos/{shown}/image")
    assert answer.status_code == status
    assert answer.headers["referrer-policy"] == "no-referrer"
