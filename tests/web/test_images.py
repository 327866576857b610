"""GET /photos/{id}/image."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from conftest import HeldClock
from mooring.app import create_app
from mooring.db.pool import Database
from mooring.library import images
from mooring.library.images import Asked, of_owners
from mooring.uploads.served import ServedFile
from servers.waiting import until
from web.conftest import settings_for, sign_in
from web.test_photos import issue, put, refused

BODY = b"0123456789" * 10
CDN = "https://cdn.example.com/photos-of-us"


async def photo(client: httpx.AsyncClient, filename: str = "a.jpg") -> str:
    """Its image's address."""
    issued = await issue(client, file_size=len(BODY), filename=filename)
    assert (await put(client, issued, BODY)).status_code == 200
    confirmed = await client.post("/photos/confirm", json={"photo_id": issued["photo_id"]})
    assert confirmed.status_code == 200
    return f"/photos/{issued['photo_id']}/image"


@pytest.fixture
async def image(signed_in: httpx.AsyncClient) -> str:
    return await photo(signed_in)


def accesses(app: FastAPI, result: str) -> float:
    labels = {"access_type": "authenticated", "result": result}
    registry = app.state.house.metrics.registry
    counted = registry.get_sample_value("photo_api_image_access_total", labels) or 0
    assert counted == (registry.get_sample_value("photo_api_image_access_duration_seconds_count", labels) or 0)
    return float(counted)


# ── streamed ──


async def test_the_owner_gets_the_bytes_and_nothing_in_them_can_harm(
    signed_in: httpx.AsyncClient, image: str, app: FastAPI
) -> None:
    answer = await signed_in.get(image)
    assert (answer.status_code, answer.content) == (200, BODY)
    headers = answer.headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-length"] == "100"
    assert headers["etag"].startswith('"')
    assert headers["last-modified"] == "Wed, 02 Jan 2030 03:04:05 GMT"
    assert headers["accept-ranges"] == "bytes"
    assert headers["cache-control"] == "private, no-cache"
    assert headers["vary"] == "Authorization, Cookie"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["content-disposition"] == "inline; filename=\"a.jpg\"; filename*=UTF-8''a.jpg"
    assert accesses(app, "success") == 1


@pytest.mark.parametrize("size", ["original", "large", "thumb"])
async def test_every_size_is_the_original_as_long_as_nothing_was_made(
    signed_in: httpx.AsyncClient, image: str, size: str
) -> None:
    assert (await signed_in.get(image, params={"size": size})).content == BODY


async def test_a_rendition_is_served_as_what_it_is(signed_in: httpx.AsyncClient, image: str, app: FastAPI) -> None:
    house = app.state.house

    async def thumb() -> AsyncIterator[bytes]:
        yield b"webp!"

    written = await house.storage.write("made/1.webp", thumb(), content_type="image/webp")
    await house.db.execute(
        "INSERT INTO renditions (upload_id, name, object_key, content_type, width, height, size_bytes, etag) "
        "VALUES (1, 'thumb', 'made/1.webp', 'image/webp', 1, 1, 5, $1)",
        written.etag,
    )
    answer = await signed_in.get(image, params={"size": "thumb"})
    assert (answer.content, answer.headers["content-type"]) == (b"webp!", "image/webp")
    assert 'filename="a.webp"' in answer.headers["content-disposition"]
    assert "last-modified" not in answer.headers
    assert (await signed_in.get(image)).content == BODY


async def test_a_file_name_is_said_as_rfc_6266_wants_it(signed_in: httpx.AsyncClient) -> None:
    address = await photo(signed_in, 'C:\\Ada\\바다 "1"\u202e\r\nX: y.jpg')
    said = (await signed_in.get(address)).headers["content-disposition"]
    assert said == (
        "inline; filename=\"__ _1____X: y.jpg\"; filename*=UTF-8''%EB%B0%94%EB%8B%A4%20%221%22___X%3A%20y.jpg"
    )


@pytest.mark.parametrize(
    ("asked", "piece"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-", (90, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=99-500", (99, 100)),
        ("BYTES= 10-19 ", (10, 20)),
        ("bytes=99-999999999999999999", (99, 100)),
    ],
)
async def test_one_range_is_served(
    signed_in: httpx.AsyncClient, image: str, asked: str, piece: tuple[int, int]
) -> None:
    answer = await signed_in.get(image, headers={"Range": asked})
    start, end = piece
    assert (answer.status_code, answer.content) == (206, BODY[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/100"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,5-6", "bytes=0-1, -1", "bytes=9-1", "bytes=-", "bytes=", "bytes=a-b", "lines=0-1", "0-1", "bytes=1"],
)
async def test_several_ranges_and_what_is_none_get_the_whole(
    signed_in: httpx.AsyncClient, image: str, asked: str
) -> None:
    answer = await signed_in.get(image, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, BODY)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=999999999999999999-"])
async def test_a_range_behind_the_end_is_416(signed_in: httpx.AsyncClient, image: str, asked: str) -> None:
    answer = await signed_in.get(image, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == "bytes */100"


NO_DATES = [
    "",
    ",",
    "Mon,",
    "Mon, 01 Jan 99999999999 00:00:00 GMT",
    f"Mon, 01 Jan {'9' * 5000} 00:00:00 GMT",
    "Mon, 01 Jan 2030 00:00:00 +99999999999999999999",
    "Mon, 01 Jan 2030 00:00:00 +2400",
    "Mon, 01 Jan 0000 00:00:00 GMT",
    "Mon, 01 Jan 2030 99999999999999999999:00:00 GMT",
]


async def test_if_range_gives_the_part_only_of_the_same_bytes(signed_in: httpx.AsyncClient, image: str) -> None:
    etag = (await signed_in.head(image)).headers["etag"]
    for validator, status in (
        (etag, 206),
        ('"other"', 200),
        (f"W/{etag}", 200),
        ("Wed, 02 Jan 2030 03:04:05 GMT", 200),
        *((no_date, 200) for no_date in NO_DATES),
    ):
        answer = await signed_in.get(image, headers={"Range": "bytes=0-1", "If-Range": validator})
        assert answer.status_code == status, validator


async def test_what_the_client_has_is_not_sent_again(signed_in: httpx.AsyncClient, image: str) -> None:
    etag = (await signed_in.head(image)).headers["etag"]
    for tags in (etag, f"W/{etag}", f'"a", {etag}', f'"a,b",W/{etag} , "c"', "*"):
        for method in ("GET", "HEAD"):
            answer = await signed_in.request(method, image, headers={"If-None-Match": tags, "Range": "bytes=0-1"})
            assert (answer.status_code, answer.content) == (304, b""), tags
            assert answer.headers["etag"] == etag
            assert answer.headers["cache-control"] == "private, no-cache"
    for tags in ('"other"', "", "nonsense", etag.strip('"')):
        assert (await signed_in.get(image, headers={"If-None-Match": tags})).status_code == 200, tags


async def test_if_modified_since_counts_where_no_etag_is_said(signed_in: httpx.AsyncClient, image: str) -> None:
    for since, status in (
        ("Wed, 02 Jan 2030 03:04:05 GMT", 304),
        ("Thu, 03 Jan 2030 00:00:00 GMT", 304),
        ("Wed, 02 Jan 2030 03:04:04 GMT", 200),
        ("Wed, 02 Jan 2030 03:04:05", 200),
        ("yesterday", 200),
        *((no_date, 200) for no_date in NO_DATES),
    ):
        assert (await signed_in.get(image, headers={"If-Modified-Since": since})).status_code == status, since
    later = {"If-Modified-Since": "Thu, 03 Jan 2030 00:00:00 GMT", "If-None-Match": '"other"'}
    assert (await signed_in.get(image, headers=later)).status_code == 200


async def test_head_tells_what_get_would_and_sends_nothing(signed_in: httpx.AsyncClient, image: str) -> None:
    get, head = await signed_in.get(image), await signed_in.head(image, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content) == (200, b"")
    different = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in different} == {
        k: v for k, v in get.headers.items() if k not in different
    }


async def test_whose_it_is_not_finds_nothing(signed_in: httpx.AsyncClient, image: str, app: FastAPI) -> None:
    pending = (await issue(signed_in))["photo_id"]
    refused(await signed_in.get(f"/photos/{pending}/image"), 404, "PHOTO_NOT_FOUND")
    refused(await signed_in.get("/photos/999/image"), 404, "PHOTO_NOT_FOUND")
    await sign_in(signed_in, "stranger@example.org")
    refused(await signed_in.get(image), 404, "PHOTO_NOT_FOUND")
    assert (await signed_in.head(image)).status_code == 404
    assert (accesses(app, "denied"), accesses(app, "success")) == (4, 0)
    del signed_in.headers["Authorization"]
    refused(await signed_in.get(image), 401, "NOT_SIGNED_IN")


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("/photos/0/image", "photo_id"),
        ("/photos/x/image", "photo_id"),
        ("/photos/9223372036854775808/image", "photo_id"),
        ("/photos/" + "9" * 5000 + "/image", "photo_id"),
        ("/photos/1/image?size=huge", "size"),
        ("/photos/1/image?size=clean", "size"),
    ],
)
async def test_what_is_no_photo_and_no_size_is_told(signed_in: httpx.AsyncClient, address: str, field: str) -> None:
    error = refused(await signed_in.get(address), 422, "VALIDATION_FAILED")
    assert [detail["field"] for detail in error["details"]] == [field]


async def test_another_method_is_told_what_there_is(signed_in: httpx.AsyncClient, image: str) -> None:
    refused(await signed_in.delete(image), 405, "METHOD_NOT_ALLOWED")
    refused(await signed_in.post(image), 405, "METHOD_NOT_ALLOWED")


async def test_bytes_that_were_replaced_are_refused_and_their_upload_rejected(
    signed_in: httpx.AsyncClient, image: str, app: FastAPI
) -> None:
    house = app.state.house

    async def other() -> AsyncIterator[bytes]:
        yield b"x" * len(BODY)

    key = await house.db.fetchval("SELECT object_key FROM uploads")
    await house.storage.write(key, other(), content_type="image/jpeg")
    refused(await signed_in.get(image), 409, "UPLOAD_REJECTED")
    refused(await signed_in.get(image), 404, "PHOTO_NOT_FOUND")
    shown = (await signed_in.get("/photos/1")).json()
    assert (shown["state"], shown["error_message"]) == (
        "REJECTED",
        "The object in storage was replaced after it had arrived.",
    )


async def test_bytes_that_are_gone_are_404(signed_in: httpx.AsyncClient, image: str, app: FastAPI) -> None:
    house = app.state.house
    await house.storage.delete(await house.db.fetchval("SELECT object_key FROM uploads"))
    refused(await signed_in.get(image), 404, "FILE_LOST")
    assert (await signed_in.head(image)).status_code == 404


async def test_the_openapi_tells_of_it(client: httpx.AsyncClient) -> None:
    operation = (await client.get("/openapi.json")).json()["paths"]["/photos/{photo_id}/image"]["get"]
    asked = {one["name"]: (one["in"], one["required"], one["schema"]["type"]) for one in operation["parameters"]}
    assert asked == {"photo_id": ("path", True, "integer"), "size": ("query", False, "string")}
    assert {"200", "206", "302", "304", "416", "default"} == set(operation["responses"])


# ── by a CDN ──


@pytest.fixture
async def by_cdn(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[FastAPI]:
    cdn: dict[str, Any] = {"cdn": "nginx", "cdn_url": CDN, "cdn_key": SecretStr("a secret")}
    app = create_app(settings_for(database_url, tmp_path, **cdn), clock=clock)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def owner(by_cdn: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(by_cdn, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        await sign_in(client, "owner@example.org")
        await client.post("/albums", json={"title": "Summer"})
        yield client


async def test_with_a_cdn_the_owner_is_sent_there(owner: httpx.AsyncClient, by_cdn: FastAPI) -> None:
    image = await photo(owner)
    for method in ("GET", "HEAD"):
        answer = await owner.request(method, image)
        assert (answer.status_code, answer.content) == (302, b"")
        assert answer.headers["location"].startswith(f"{CDN}/photos/")
        assert answer.headers["cache-control"] == "private, max-age=60"
        assert answer.headers["vary"] == "Authorization, Cookie"
    assert accesses(by_cdn, "success") == 2
    refused(await owner.get("/photos/999/image"), 404, "PHOTO_NOT_FOUND")


async def test_a_redirect_is_kept_for_less_than_its_token_lasts(owner: httpx.AsyncClient, clock: HeldClock) -> None:
    image = await photo(owner)
    first = (await owner.get(image)).headers["location"]
    clock.forward(seconds=60)
    again = await owner.get(image)
    assert again.headers["location"] == first
    assert again.headers["cache-control"] == "private, max-age=30"
    clock.forward(seconds=1)
    assert (await owner.get(image)).headers["location"] != first


async def test_a_token_ends_with_the_session_it_was_made_for(owner: httpx.AsyncClient, clock: HeldClock) -> None:
    image = await photo(owner)
    clock.forward(seconds=900 - 20)
    answer = await owner.get(image)
    assert answer.headers["location"].endswith(f"expires={int(clock().timestamp()) + 20}")
    assert answer.headers["cache-control"] == "private, max-age=10"
    clock.forward(seconds=19)
    assert (await owner.get(image)).status_code == 200, "too short to be sent away: streamed"


async def listened_for(app: FastAPI) -> None:
    async def is_listening() -> bool:
        return bool(app.state.house.images.recent._is_listening)

    await until(is_listening)


async def test_an_image_is_looked_up_once_until_something_happens_to_it(
    owner: httpx.AsyncClient, by_cdn: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    async def counted(db: Database, asked: Sequence[Asked]) -> list[ServedFile | None]:
        looks.append(asked)
        return await of_owners(db, asked)

    monkeypatch.setattr(images, "of_owners", counted)
    await listened_for(by_cdn)
    image = await photo(owner)
    first = [(await owner.get(image)).headers["location"] for _ in range(3)]
    assert len(set(first)) == 1
    asked_for_it = len(looks)
    assert asked_for_it <= 2, "word of its arrival may have come after the first look"
    await by_cdn.state.house.db.execute("SELECT pg_notify('mooring_uploads', '1')")

    async def it_is_looked_up_again() -> bool:
        await owner.get(image)
        return len(looks) > asked_for_it

    await until(it_is_looked_up_again)


async def test_what_was_deleted_is_gone_at_once_here_and_soon_elsewhere(
    owner: httpx.AsyncClient, by_cdn: FastAPI, database_url: str, tmp_path: Path, clock: HeldClock
) -> None:
    kept, deleted = await photo(owner), await photo(owner)
    other = create_app(by_cdn.state.house.settings, clock=clock)
    async with other.router.lifespan_context(other):
        transport = httpx.ASGITransport(other, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://testserver", headers=owner.headers
        ) as elsewhere:
            for app in (by_cdn, other):
                await listened_for(app)
            for client in (owner, elsewhere):
                for image in (kept, deleted):
                    assert (await client.get(image)).status_code == 302
            assert (await owner.delete(deleted.removesuffix("/image"))).status_code == 204
            refused(await owner.get(deleted), 404, "PHOTO_NOT_FOUND")

            async def it_is_gone() -> bool:
                return (await elsewhere.get(deleted)).status_code == 404

            await until(it_is_gone)
            assert (await elsewhere.get(kept)).status_code == 302
            assert (await owner.delete("/albums/1")).status_code == 204
            refused(await owner.get(kept), 404, "PHOTO_NOT_FOUND")


async def test_a_confirmed_photo_is_at_the_cdn(owner: httpx.AsyncClient) -> None:
    await photo(owner)
    confirmed = (await owner.post("/photos/confirm", json={"photo_id": 1})).json()
    assert confirmed["url"].startswith(f"{CDN}/photos/")
    assert (await owner.get("/photos/1")).json()["url"] == confirmed["url"]


async def test_a_signer_that_fails_does_not_keep_the_owner_from_the_image(
    owner: httpx.AsyncClient, by_cdn: FastAPI
) -> None:
    class Failing:
        def url(self, key: str, *, until: object) -> str:
            raise OSError("the key is gone")

    house = by_cdn.state.house
    image = await photo(owner)
    house.delivery = replace(house.delivery, signer=Failing(), remembered=OrderedDict())
    assert (await owner.get(image)).content == BODY
    errors = house.metrics.registry.get_sample_value("photo_api_external_request_errors_total", {"service": "cdn"})
    assert errors == 1
