"""Share links over HTTP: what their owner is told, and what a guest gets."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from conftest import HeldClock
from mooring.wiring import House
from web.conftest import sign_in
from web.test_albums import photo_in
from web.test_photos import refused
from world import once

LINKS = "/albums/1/share-links"
PASSWORD = "열려라 참깨"
OWNER = "owner@example.org"


@pytest.fixture
def house(app: FastAPI) -> House:
    house: House = app.state.house
    return house


@pytest.fixture
async def guest(app: FastAPI, signed_in: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with a browser, and no account."""
    async with browser(app) as guest:
        yield guest


def browser(app: FastAPI, address: str = "203.0.113.7") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://testserver")


async def share(client: httpx.AsyncClient, **terms: Any) -> dict[str, Any]:
    answer = await client.post(LINKS, json=terms)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def processed(client: httpx.AsyncClient, house: House) -> int:
    """As a worker leaves it."""
    photo = await photo_in(client)
    for name in ("thumb", "large", "clean"):
        key, body = f"renditions/{photo}_{name}", f"the {name} of {photo}".encode()
        found = await house.storage.write(key, once(body), content_type="image/webp")
        row = (photo, name, key, len(body), found.etag)
        await house.db.execute("INSERT INTO renditions VALUES ($1, $2, $3, 'image/webp', 8, 6, $4, $5)", *row)
    return photo


# ── its owner ──


async def test_a_link_is_made_listed_and_revoked(signed_in: httpx.AsyncClient, guest: httpx.AsyncClient) -> None:
    made = await share(signed_in, expires_in=3600, password=PASSWORD, max_views=5)
    token, url = made.pop("token"), made.pop("url")
    assert (len(token), url) == (43, f"http://testserver/share/{token}")
    assert made == {
        "id": 1,
        "album_id": 1,
        "created_at": "2030-01-02T03:04:05Z",
        "expires_at": "2030-01-02T04:04:05Z",
        "has_password": True,
        "max_views": 5,
        "views": 0,
        "revoked_at": None,
        "is_active": True,
    }
    listed = await signed_in.get(LINKS)
    assert listed.json() == {"share_links": [made], "next_cursor": None}
    assert token not in listed.text
    for _ in range(2):
        assert (await signed_in.delete("/share-links/1")).status_code == 204
    [seen] = (await signed_in.get(LINKS)).json()["share_links"]
    assert (seen["is_active"], seen["revoked_at"]) == (False, "2030-01-02T03:04:05Z")
    refused(await guest.get(url), 410, "SHARE_LINK_GONE")
    refused(await signed_in.delete("/share-links/2"), 404, "SHARE_LINK_NOT_FOUND")
    await sign_in(signed_in, "stranger@example.org")
    refused(await signed_in.delete("/share-links/1"), 404, "SHARE_LINK_NOT_FOUND")


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": 2**63}, "expires_in"),
        ({"expires_in": 10**30}, "expires_in"),
        ({"expires_in": "60"}, "expires_in"),
        ({"expires_in": True}, "expires_in"),
        ({"expires_at": "2031-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2031-01-01"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 1e12}, "expires_at"),
        ({"expires_in": 60, "expires_at": "2031-01-01T00:00:00Z"}, "body"),
        ({"password": ""}, "password"),
        ({"password": "abc"}, "password"),
        ({"password": "x" * 2_000}, "password"),
        ({"password": "nul\x00nul"}, "password"),
        ({"max_views": 0}, "max_views"),
        ({"max_views": -1}, "max_views"),
        ({"max_views": 2**31}, "max_views"),
        ({"max_views": 1.5}, "max_views"),
        ({"token": "A" * 43}, "token"),
    ],
)
async def test_terms_that_are_not_valid_are_named(
    signed_in: httpx.AsyncClient, terms: dict[str, Any], field: str
) -> None:
    error = refused(await signed_in.post(LINKS, json=terms), 422, "VALIDATION_FAILED")
    assert [detail["field"] for detail in error["details"]] == [field]
    assert (await signed_in.get(LINKS)).json()["share_links"] == []


async def test_a_link_that_would_be_over_already_is_refused(signed_in: httpx.AsyncClient) -> None:
    for expires_at in ("2030-01-02T03:04:05Z", "2030-01-02T12:04:05+09:00", "1970-01-01T00:00:00Z"):
        answer = await signed_in.post(LINKS, json={"expires_at": expires_at})
        assert "passed" in refused(answer, 422, "VALIDATION_FAILED")["message"]
    assert (await share(signed_in, expires_at="2030-01-02T12:04:06+09:00"))["expires_at"] == "2030-01-02T03:04:06Z"


async def test_a_key_gives_the_same_token_again_and_keeps_no_secret(signed_in: httpx.AsyncClient, house: House) -> None:
    key = {"Idempotency-Key": "k"}
    terms = {"password": "sesame", "max_views": 3}
    made = [await signed_in.post(LINKS, json=terms, headers=key) for _ in range(2)]
    assert [one.status_code for one in made] == [201, 201]
    assert made[0].json() == made[1].json()
    assert len((await signed_in.get(LINKS)).json()["share_links"]) == 1
    other = await signed_in.post(LINKS, json={**terms, "password": "semase"}, headers=key)
    refused(other, 409, "IDEMPOTENCY_KEY_REUSED")
    kept = dict(await house.db.fetchrow("SELECT * FROM idempotency_keys WHERE key = 'k'") or {})
    assert made[0].json()["token"].encode() not in kept["answer"]
    body = made[0].request.content
    assert kept["fingerprint"] != hashlib.sha256(b"POST /albums/1/share-links\n" + body).digest(), (
        "or the password is guessed by it"
    )


async def test_links_made_at_once_with_one_key_are_one(signed_in: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k"}
    made = await asyncio.gather(*(signed_in.post(LINKS, json={"password": PASSWORD}, headers=key) for _ in range(5)))
    assert len({one.json()["token"] for one in made}) == 1


# ── a guest ──


async def test_a_guest_sees_the_album_and_its_images_and_nothing_of_its_owner(
    signed_in: httpx.AsyncClient, guest: httpx.AsyncClient, house: House
) -> None:
    photo = await processed(signed_in, house)
    made = await share(signed_in)
    answer = await guest.get(made["url"])
    assert answer.status_code == 200
    page = answer.json()
    assert set(page) == {"album", "photos", "next_cursor", "pass", "pass_expires_at", "expires_at"}
    assert page["album"] == {"title": "Summer", "description": None, "photo_count": 1}
    assert set(page["photos"][0]) == {
        *("id", "filename", "title", "description", "width", "height", "blurhash"),
        *("image_url", "large_url", "thumb_url"),
    }
    for size, name in (("image", "clean"), ("large", "large"), ("thumb", "thumb")):
        image = await guest.get(page["photos"][0][f"{size}_url"])
        assert (image.status_code, image.content) == (200, f"the {name} of {photo}".encode())
        assert (image.headers["content-type"], image.headers["x-content-type-options"]) == ("image/webp", "nosniff")
    by_hand = f"{made['url']}/photos/{photo}/image"
    assert (await guest.get(by_hand)).content == f"the clean of {photo}".encode()
    head = await guest.head(by_hand)
    assert (head.status_code, head.content, head.headers["etag"]) == (
        200,
        b"",
        (await guest.get(by_hand)).headers["etag"],
    )
    part = await guest.get(by_hand, headers={"Range": "bytes=0-2"})
    assert (part.status_code, part.content) == (206, b"the")
    known = await guest.get(by_hand, headers={"If-None-Match": head.headers["etag"]})
    assert known.status_code == 304
    for one in (answer, image, head, part, known):
        everything = one.text + str(one.headers)
        for secret in (OWNER, "renditions/", "photos/" if one is not answer else "owner", "storage"):
            assert secret not in everything.replace(made["url"] + "/photos/", "")
        assert one.headers["referrer-policy"] == "no-referrer"
        assert "noindex" in one.headers["x-robots-tag"]
    assert answer.headers["cache-control"] == "private, no-store"


async def test_a_photo_of_another_album_is_not_found(
    signed_in: httpx.AsyncClient, guest: httpx.AsyncClient, house: House
) -> None:
    photo = await processed(signed_in, house)
    other = (await signed_in.post("/albums", json={"title": "Other"})).json()["id"]
    made = (await signed_in.post(f"/albums/{other}/share-links", json={})).json()
    assert (await guest.get(made["url"])).json()["photos"] == []
    for missing in (photo, 10**9):
        refused(await guest.get(f"{made['url']}/photos/{missing}/image"), 404, "PHOTO_NOT_FOUND")
    for wrong in ("0", "-1", "x", "9" * 30):
        refused(await guest.get(f"{made['url']}/photos/{wrong}/image"), 422, "VALIDATION_FAILED")
    refused(await guest.get(f"{made['url']}/photos/{photo}/image?size=huge"), 422, "VALIDATION_FAILED")


async def test_a_used_up_link_shows_its_images_to_whoever_opened_it(
    app: FastAPI, signed_in: httpx.AsyncClient, guest: httpx.AsyncClient, house: House, clock: HeldClock
) -> None:
    photo = await processed(signed_in, house)
    url = (await share(signed_in, max_views=1))["url"]
    image = f"{url}/photos/{photo}/image?size=thumb"
    refused(await guest.get(image), 401, "SHARE_LINK_NOT_OPENED")
    answer = await guest.get(url)
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", f"Path=/share/{url[-43:]}", "Max-Age=900"))
    page = answer.json()
    assert (await guest.get(image)).status_code == 200, "by its cookie"
    assert (await guest.get(url)).json() == page, "by its cookie, and no view"
    async with browser(app) as another:
        refused(await another.get(url), 410, "SHARE_LINK_GONE")
        refused(await another.get(image), 410, "SHARE_LINK_GONE")
        assert (await another.get(page["photos"][0]["thumb_url"])).status_code == 200, "by the pass in the address"
        assert (await another.get(url, params={"pass": page["pass"]})).status_code == 200
    clock.forward(minutes=15)
    for path in (image, url, page["photos"][0]["thumb_url"]):
        refused(await guest.get(path), 410, "SHARE_LINK_GONE")


async def test_a_revoked_link_is_closed_for_those_who_have_it_open(
    signed_in: httpx.AsyncClient, guest: httpx.AsyncClient, house: House
) -> None:
    await processed(signed_in, house)
    made = await share(signed_in, password=PASSWORD)
    page = (await guest.post(made["url"], json={"password": PASSWORD})).json()
    thumb = page["photos"][0]["thumb_url"]
    assert (await guest.get(thumb)).status_code == 200
    await signed_in.delete(f"/share-links/{made['id']}")
    for path in (thumb, made["url"], f"{made['url']}?pass={page['pass']}"):
        assert "revoked" in refused(await guest.get(path), 410, "SHARE_LINK_GONE")["message"]


async def test_a_password_comes_by_header_or_by_body(app: FastAPI, signed_in: httpx.AsyncClient, house: House) -> None:
    photo = await processed(signed_in, house)
    url = (await share(signed_in, password=PASSWORD))["url"]
    image = f"{url}/photos/{photo}/image"
    async with browser(app) as guest:
        for call in (guest.get(url), guest.get(image)):
            refused(await call, 401, "PASSWORD_REQUIRED")
        refused(await guest.post(url, json={"password": "wrong"}), 401, "WRONG_PASSWORD")
        assert "set-cookie" not in (await guest.get(url, headers={"X-Share-Password": "wrong"})).headers
        assert (await guest.get(image, headers={b"X-Share-Password": PASSWORD.encode()})).status_code == 200
        refused(await guest.get(image), 401, "PASSWORD_REQUIRED")
        assert (await guest.post(url, json={"password": PASSWORD})).status_code == 200
        assert (await guest.get(image)).status_code == 200
    latin = (await share(signed_in, password="más allá"))["url"]
    for raw in ("más allá".encode(), "más allá".encode("latin-1")):
        async with browser(app) as guest:
            assert (await guest.get(latin, headers=[(b"X-Share-Password", raw)])).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"password": ""}, {"password": "x" * 2_000}, {"password": 1}, {"password": "\x00"}]
)
async def test_a_password_that_can_be_none_is_refused(
    signed_in: httpx.AsyncClient, guest: httpx.AsyncClient, body: Any
) -> None:
    url = (await share(signed_in, password=PASSWORD))["url"]
    refused(await guest.post(url, json=body), 422, "VALIDATION_FAILED")


async def test_a_password_header_that_can_be_none_is_wrong(
    signed_in: httpx.AsyncClient, guest: httpx.AsyncClient
) -> None:
    url = (await share(signed_in, password=PASSWORD))["url"]
    for raw in (b"x" * 2_000, b"\xff\xfe", b"\xed\xa0\x80", b""):
        refused(await guest.get(url, headers=[(b"X-Share-Password", raw)]), 401, "WRONG_PASSWORD")


async def test_guessing_is_told_to_wait_and_counted(
    app: FastAPI, signed_in: httpx.AsyncClient, guest: httpx.AsyncClient, house: House
) -> None:
    url = (await share(signed_in))["url"]
    for token in ("x", "x" * 10_240, "%00", "%ed%95%9c", url[-43:].swapcase(), url[-43:] + "="):
        refused(await guest.get(f"/share/{token}"), 404, "SHARE_LINK_NOT_FOUND")
        refused(await guest.get(f"/share/{token}/photos/1/image"), 404, "SHARE_LINK_NOT_FOUND")
    for number in range(18):
        refused(await guest.get(f"/share/{number:043}"), 404, "SHARE_LINK_NOT_FOUND")
    answer = await guest.get("/share/x")
    refused(answer, 429, "TOO_MANY_GUESSES")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    async with browser(app, "2001:db8::1") as elsewhere:
        assert (await elsewhere.get(url)).status_code == 200
    value = house.metrics.registry.get_sample_value
    guesses = "photo_api_share_link_brute_force_attempts_total"
    assert value(guesses, {"client_id": "203.0.113.0/24"}) == 31
    images = "photo_api_share_link_image_access_total"
    assert value(images, {"token_status": "invalid", "photo_in_album": "no"}) == 6
    access = {"access_type": "shared", "result": "denied"}
    assert value("photo_api_image_access_total", access) == 6


async def test_pages_of_a_shared_album_are_one_view(signed_in: httpx.AsyncClient, guest: httpx.AsyncClient) -> None:
    photos = [await photo_in(signed_in) for _ in range(5)]
    url = (await share(signed_in, max_views=1))["url"]
    seen: list[int] = []
    cursor: dict[str, Any] = {}
    for _ in range(3):
        page = (await guest.get(url, params={"limit": 2, **cursor})).json()
        seen += [photo["id"] for photo in page["photos"]]
        assert {photo["image_url"] for photo in page["photos"]} == {None}, "nothing is shown before it is processed"
        cursor = {"cursor": page["next_cursor"]}
    assert (seen, page["next_cursor"]) == (photos, None)


async def test_a_hundred_browsers_at_once_open_a_link_as_often_as_it_may_be(
    app: FastAPI, signed_in: httpx.AsyncClient
) -> None:
    url = (await share(signed_in, max_views=10))["url"]

    async def opening() -> int:
        async with browser(app) as guest:
            return (await guest.get(url)).status_code

    statuses = await asyncio.gather(*(opening() for _ in range(100)))
    assert sorted(statuses) == [200] * 10 + [410] * 90


async def test_no_token_is_in_the_log(signed_in: httpx.AsyncClient, guest: httpx.AsyncClient, house: House) -> None:
    made = await share(signed_in, password="sesame")
    with structlog.testing.capture_logs() as lines:
        await guest.get(made["url"])
        await guest.post(made["url"], json={"password": "sesame"})
        await house.db.execute("ALTER TABLE share_links RENAME TO elsewhere")
        refused(await guest.get(made["url"] + "/photos/1/image"), 500, "INTERNAL_ERROR")
    for line in lines:
        line.pop("exc_info", None)
    assert [line["path"] for line in lines if "path" in line] == ["/share/…/photos/1/image"]
    assert made["token"] not in str(lines)
    assert "sesame" not in str(lines)
