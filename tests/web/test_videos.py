"""Videos over HTTP: in one PUT, in parts, resumed, completed, streamed, given up."""

import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from conftest import HeldClock
from mooring.app import create_app
from web.conftest import settings_for, sign_in
from web.test_photos import refused

MIB = 2**20
PART = 5 * MIB
SMALL = b"not really a film"
LARGE = b"".join(bytes([number]) * PART for number in (1, 2)) + b"the end"  # three parts
NEW = {"filename": "clip.mp4", "contentType": "video/mp4", "fileSize": len(SMALL)}


@pytest.fixture
async def app(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[FastAPI]:
    settings = settings_for(database_url, tmp_path, multipart_above_bytes=PART, multipart_part_bytes=PART)
    app = create_app(settings, clock=clock)
    async with app.router.lifespan_context(app):
        yield app


async def issue(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    answer = await client.post("/api/videos/presigned-url", json={**NEW, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def issue_large(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    return await issue(client, fileSize=len(LARGE), **more)


async def send(client: httpx.AsyncClient, plan: dict[str, Any], numbers: Iterable[int] = (1, 2, 3)) -> dict[int, str]:
    """Their ETags, as storage answers them."""
    etags = {}
    urls = {part["number"]: part["url"] for part in plan["parts"]}
    for number in numbers:
        answer = await client.put(urls[number], content=LARGE[(number - 1) * PART : number * PART])
        assert answer.status_code == 200, answer.text
        etags[number] = answer.headers["etag"]
    return etags


async def send_small(client: httpx.AsyncClient, issued: dict[str, Any]) -> None:
    put = await client.put(issued["uploadUrl"], content=SMALL, headers=issued["uploadHeaders"])
    assert put.status_code == 200
    assert (await complete(client, issued["videoId"])).status_code == 200


async def complete(client: httpx.AsyncClient, video_id: int, body: Any = None) -> httpx.Response:
    return await client.post(f"/api/videos/{video_id}/complete", json={} if body is None else body)


async def large(client: httpx.AsyncClient) -> int:
    """One that arrived."""
    plan = await issue_large(client)
    await send(client, plan)
    assert (await complete(client, plan["videoId"])).status_code == 200
    return int(plan["videoId"])


# ── upload ──


async def test_a_small_video_is_one_put(signed_in: httpx.AsyncClient) -> None:
    issued = await issue(signed_in, projectId=456, metadata={"title": "여름", "tags": ["sea", 1, None, 1.5]})
    assert set(issued) == {
        "videoId", "uploadUrl", "uploadHeaders", "uploadId", "partSize", "partCount", "parts", "expiresAt",
    }  # fmt: skip
    assert issued["parts"] is issued["uploadId"] is None
    put = await signed_in.put(issued["uploadUrl"], content=SMALL, headers=issued["uploadHeaders"])
    assert put.status_code == 200
    video = (await complete(signed_in, issued["videoId"])).json()
    assert (video["state"], video["projectId"], video["fileSize"]) == ("UPLOADED", 456, len(SMALL))
    assert video["metadata"] == {"title": "여름", "tags": ["sea", 1, None, 1.5]}
    assert (await signed_in.get(video["url"])).content == SMALL


async def test_a_large_video_comes_in_parts(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    plan = await issue_large(signed_in, projectId="film-7")
    assert (plan["partSize"], plan["partCount"], plan["uploadUrl"]) == (PART, 3, None)
    assert [part["number"] for part in plan["parts"]] == [1, 2, 3]
    etags = await send(signed_in, plan, (3, 1, 2))
    named = {"parts": [{"number": number, "etag": etag} for number, etag in etags.items()]}
    answer = await complete(signed_in, plan["videoId"], named)
    assert answer.status_code == 200
    assert answer.json()["state"] == "UPLOADED"
    assert (await complete(signed_in, plan["videoId"])).json() == answer.json()
    streamed = await signed_in.get(f"/api/videos/{plan['videoId']}/stream")
    assert streamed.content == LARGE
    payload = await app.state.house.db.fetchval("SELECT payload FROM pgqueuer")
    job = json.loads(payload)
    assert (job["upload"], job["kind"], job["project"], job["plan"]) == (plan["videoId"], "video", "film-7", "free")
    assert job["key"].endswith("clip.mp4")


async def test_who_lost_all_but_the_id_goes_on(signed_in: httpx.AsyncClient, clock: HeldClock) -> None:
    plan = await issue_large(signed_in)
    await send(signed_in, plan, [2])
    clock.forward(hours=3)
    await sign_in(signed_in, "owner@example.org")
    video_id = (await signed_in.get("/api/videos")).json()["videos"][0]["videoId"]
    there = (await signed_in.get(f"/api/videos/{video_id}/parts")).json()
    assert [(part["number"], part["size"]) for part in there["parts"]] == [(2, PART)]
    assert (there["partSize"], there["partCount"], there["uploadId"]) == (PART, 3, plan["uploadId"])
    more = (await signed_in.post(f"/api/videos/{video_id}/parts")).json()
    assert [part["number"] for part in more["parts"]] == [1, 3]
    await send(signed_in, more, [1, 3])
    assert (await complete(signed_in, video_id)).json()["state"] == "UPLOADED"
    assert (await signed_in.get(f"/api/videos/{video_id}/stream")).content == LARGE


async def test_a_part_of_another_length_is_refused_by_storage(signed_in: httpx.AsyncClient) -> None:
    plan = await issue_large(signed_in)
    for content in (LARGE[: PART - 1], LARGE[: PART + 1], b""):
        answer = await signed_in.put(plan["parts"][0]["url"], content=content)
        refused(answer, 403, "URL_NOT_VALID")
    last = await signed_in.put(plan["parts"][2]["url"], content=LARGE[:PART])
    refused(last, 403, "URL_NOT_VALID")


async def test_the_same_key_gives_the_same_plan(signed_in: httpx.AsyncClient, clock: HeldClock) -> None:
    key = {"Idempotency-Key": "once"}
    for size in (len(SMALL), len(LARGE)):
        key["Idempotency-Key"] += "!"
        first = await issue(signed_in, headers=key, fileSize=size)
        clock.forward(minutes=3)
        assert await issue(signed_in, headers=key, fileSize=size) == first
        other = await signed_in.post("/api/videos/presigned-url", json={**NEW, "fileSize": size + 1}, headers=key)
        refused(other, 409, "IDEMPOTENCY_KEY_REUSED")
    assert len((await signed_in.get("/api/videos")).json()["videos"]) == 2


async def test_of_ten_thousand_parts_a_thousand_urls_come_at_a_time(
    database_url: str, tmp_path: Path, clock: HeldClock
) -> None:
    settings = settings_for(
        database_url, tmp_path, multipart_above_bytes=0, multipart_part_bytes=PART, multipart_max_parts=10_000,
        quota_free_bytes=2**40,
    )  # fmt: skip
    app = create_app(settings, clock=clock)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client,
    ):
        await sign_in(client, "owner@example.org")
        plan = await issue(client, fileSize=10_000 * PART)
        assert (plan["partSize"], plan["partCount"], len(plan["parts"])) == (PART, 10_000, 1_000)
        more = await client.post(f"/api/videos/{plan['videoId']}/parts", json={"numbers": [1_001, 10_000]})
        assert [part["number"] for part in more.json()["parts"]] == [1_001, 10_000]
        grown = await issue(client, fileSize=10_000 * PART + 1)
        assert (grown["partSize"], grown["partCount"]) == (PART + MIB, 8_334)


# ── bad input ──


NOT_TO_BE_ISSUED: list[tuple[dict[str, Any], int, str]] = [
    ({"fileSize": 0}, 422, "VALIDATION_FAILED"),
    ({"fileSize": 200 * 2**30}, 413, "FILE_TOO_LARGE"),
    ({"fileSize": 50 * 2**30}, 403, "QUOTA_EXCEEDED"),
    ({"contentType": "image/jpeg"}, 400, "TYPE_NOT_ALLOWED"),
    ({"filename": "a\0b"}, 422, "VALIDATION_FAILED"),
    ({"projectId": ""}, 422, "VALIDATION_FAILED"),
    ({"projectId": "x" * 256}, 422, "VALIDATION_FAILED"),
    ({"projectId": 2**63}, 422, "VALIDATION_FAILED"),
    ({"projectId": True}, 422, "VALIDATION_FAILED"),
    ({"projectId": {"id": 1}}, 422, "VALIDATION_FAILED"),
    ({"project_id": 1}, 422, "VALIDATION_FAILED"),
    ({"metadata": []}, 422, "VALIDATION_FAILED"),
    ({"metadata": {"much": "x" * 16_384}}, 422, "VALIDATION_FAILED"),
    ({"metadata": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}}}, 422, "VALIDATION_FAILED"),
    ({"metadata": {"a": "nul \0"}}, 422, "VALIDATION_FAILED"),
    ({"metadata": {"nul \0": 1}}, 422, "VALIDATION_FAILED"),
    ({"checksumSha256": "abc"}, 422, "VALIDATION_FAILED"),
]


async def test_what_can_not_be_issued(signed_in: httpx.AsyncClient) -> None:
    for change, status, code in NOT_TO_BE_ISSUED:
        refused(await signed_in.post("/api/videos/presigned-url", json={**NEW, **change}), status, code)
    assert (await signed_in.get("/api/videos")).json() == {"videos": [], "nextCursor": None}


@pytest.mark.parametrize("deep", [8, 600, 900, 5_000, 100_000])
async def test_metadata_however_deep_is_refused(signed_in: httpx.AsyncClient, deep: int) -> None:
    """That of a thousand is read as JSON; that of a hundred thousand is not."""
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('[1,{"b":0,"a":', "}]")):
        inside = opening * deep + "1" + closing * deep
        body = json.dumps(NEW)[:-1] + f', "metadata": {{"a": {inside}}}}}'
        answer = await signed_in.post(
            "/api/videos/presigned-url", content=body, headers={"Content-Type": "application/json"}
        )
        if answer.status_code == 400:
            assert "parsing" in refused(answer, 400, "BAD_REQUEST")["message"]
            continue
        error = refused(answer, 422, "VALIDATION_FAILED")
        assert [detail["field"] for detail in error["details"]] == ["metadata"]
        assert "at most 8 deep" in error["message"]


async def test_metadata_is_json_that_can_be_kept(signed_in: httpx.AsyncClient) -> None:
    for value in ("NaN", "Infinity", "-Infinity", "1e400", r'"\ud800"'):
        body = json.dumps(NEW)[:-1] + f', "metadata": {{"a": [{value}]}}}}'
        answer = await signed_in.post(
            "/api/videos/presigned-url", content=body, headers={"Content-Type": "application/json"}
        )
        refused(answer, 422, "VALIDATION_FAILED")


NO_NUMBERS = [[], [0], [1, 1], [10_001], [-1], ["1"], [1.5], list(range(1, 1_002)), "1", {"1": 1}, [None]]


async def test_no_part_has_such_a_number(signed_in: httpx.AsyncClient) -> None:
    plan = await issue_large(signed_in)
    for numbers in NO_NUMBERS:
        answer = await signed_in.post(f"/api/videos/{plan['videoId']}/parts", json={"numbers": numbers})
        refused(answer, 422, "VALIDATION_FAILED")


async def test_a_part_behind_the_end_is_none_of_the_plan(signed_in: httpx.AsyncClient) -> None:
    plan = await issue_large(signed_in)
    answer = await signed_in.post(f"/api/videos/{plan['videoId']}/parts", json={"numbers": [3, 4]})
    assert "parts 1 to 3" in refused(answer, 400, "NO_SUCH_PART")["message"]


async def test_a_video_is_whole_or_not_completed(signed_in: httpx.AsyncClient) -> None:
    plan = await issue_large(signed_in)
    video_id = plan["videoId"]
    assert "parts 1, 2, 3 are missing" in refused(await complete(signed_in, video_id), 409, "PARTS_MISSING")["message"]
    etags = await send(signed_in, plan, [1, 3])
    assert "parts 2 are missing" in refused(await complete(signed_in, video_id), 409, "PARTS_MISSING")["message"]
    etags |= await send(signed_in, plan, [2])
    listed = [{"number": number, "etag": etag} for number, etag in etags.items()]
    for parts, status, code in (
        ([], 422, "VALIDATION_FAILED"),
        ([*listed, listed[0]], 422, "VALIDATION_FAILED"),
        ([{"number": number, "etag": "x"} for number in range(1, 10_002)], 422, "VALIDATION_FAILED"),
        ([{"number": 0, "etag": "x"}], 422, "VALIDATION_FAILED"),
        ([*listed, {"number": 4, "etag": "x"}], 400, "NO_SUCH_PART"),
        (listed[:2], 409, "PARTS_MISSING"),
        ([*listed[:2], {"number": 2, "etag": "other"}], 409, "PARTS_DIFFER"),
    ):
        refused(await complete(signed_in, video_id, {"parts": parts}), status, code)
    assert (await complete(signed_in, video_id, {"parts": listed})).json()["state"] == "UPLOADED"


async def test_a_part_that_was_sent_again_is_not_the_one_that_was_named(signed_in: httpx.AsyncClient) -> None:
    plan = await issue_large(signed_in)
    etags = await send(signed_in, plan)
    again = await signed_in.put(plan["parts"][0]["url"], content=b"\0" * PART)
    assert again.status_code == 200
    named = {"parts": [{"number": number, "etag": etag} for number, etag in etags.items()]}
    answer = refused(await complete(signed_in, plan["videoId"], named), 409, "PARTS_DIFFER")
    assert answer["message"].startswith("Part 1 ")


CALLS = [
    ("GET", ""),
    ("GET", "/parts"),
    ("POST", "/parts"),
    ("POST", "/complete"),
    ("GET", "/stream"),
    ("HEAD", "/stream"),
    ("DELETE", ""),
]


async def test_what_is_not_ones_own_video_is_not_there(signed_in: httpx.AsyncClient) -> None:
    theirs = (await issue_large(signed_in))["videoId"]
    photo = {"album_id": 1, "filename": "a.jpg", "content_type": "image/jpeg", "file_size": 10}
    a_photo = (await signed_in.post("/photos/presigned-url", json=photo)).json()["photo_id"]
    for method, call in CALLS:
        for video_id in (a_photo, 999):
            await _is_not_there(await signed_in.request(method, f"/api/videos/{video_id}{call}"))
        for strange in ("0", "x", "9223372036854775808"):
            assert (await signed_in.request(method, f"/api/videos/{strange}{call}")).status_code == 422
    await sign_in(signed_in, "stranger@example.org")
    for method, call in CALLS:
        await _is_not_there(await signed_in.request(method, f"/api/videos/{theirs}{call}"))
    del signed_in.headers["Authorization"]
    for method, call in CALLS:
        assert (await signed_in.request(method, f"/api/videos/{theirs}{call}")).status_code == 401


async def _is_not_there(answer: httpx.Response) -> None:
    if answer.request.method == "HEAD":
        assert answer.status_code == 404
        return
    refused(answer, 404, "VIDEO_NOT_FOUND")


async def test_what_comes_in_one_put_has_no_parts(signed_in: httpx.AsyncClient) -> None:
    video_id = (await issue(signed_in))["videoId"]
    refused(await signed_in.get(f"/api/videos/{video_id}/parts"), 409, "UPLOAD_NOT_IN_PARTS")
    refused(await signed_in.post(f"/api/videos/{video_id}/parts"), 409, "UPLOAD_NOT_IN_PARTS")
    refused(await complete(signed_in, video_id), 404, "FILE_NOT_ARRIVED")
    renewed = (await signed_in.post(f"/uploads/{video_id}/renew")).json()
    put = await signed_in.put(renewed["upload_url"], content=SMALL, headers=renewed["upload_headers"])
    assert put.status_code == 200
    assert (await complete(signed_in, video_id)).status_code == 200


async def test_what_arrived_takes_no_more_parts(signed_in: httpx.AsyncClient) -> None:
    video_id = await large(signed_in)
    refused(await signed_in.get(f"/api/videos/{video_id}/parts"), 409, "UPLOAD_NOT_PENDING")
    refused(await signed_in.post(f"/api/videos/{video_id}/parts"), 409, "UPLOAD_NOT_PENDING")


# ── time ──


async def test_a_renewal_of_parts_brings_no_single_url(signed_in: httpx.AsyncClient, clock: HeldClock) -> None:
    plan = await issue_large(signed_in)
    clock.forward(hours=2)
    await sign_in(signed_in, "owner@example.org")
    renewed = (await signed_in.post(f"/uploads/{plan['videoId']}/renew")).json()
    assert renewed["upload_url"] is renewed["upload_headers"] is None
    more = (await signed_in.post(f"/api/videos/{plan['videoId']}/parts")).json()
    assert more["expiresAt"] == renewed["expires_at"]
    await send(signed_in, more)
    assert (await complete(signed_in, plan["videoId"])).status_code == 200


async def test_what_lapsed_long_ago_is_gone(signed_in: httpx.AsyncClient, clock: HeldClock, app: FastAPI) -> None:
    plan = await issue_large(signed_in)
    await send(signed_in, plan, [1])
    clock.forward(hours=25)
    await app.state.house.sweep.once()
    await sign_in(signed_in, "owner@example.org")
    for call in ("parts", "complete"):
        refused(await signed_in.post(f"/api/videos/{plan['videoId']}/{call}"), 410, "UPLOAD_GONE")
    assert (await signed_in.get("/api/videos")).json()["videos"] == []


# ── look ──


async def test_videos_are_listed_by_keyset(signed_in: httpx.AsyncClient) -> None:
    issued = [(await issue(signed_in))["videoId"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await signed_in.get("/api/videos", params=query)).json()
        seen += [video["videoId"] for video in page["videos"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == issued[::-1]
    await sign_in(signed_in, "stranger@example.org")
    assert (await signed_in.get("/api/videos")).json()["videos"] == []


async def test_a_film_is_streamed_by_ranges(signed_in: httpx.AsyncClient) -> None:
    path = f"/api/videos/{await large(signed_in)}/stream"
    whole = await signed_in.get(path)
    assert (whole.status_code, whole.headers["content-type"], whole.content) == (200, "video/mp4", LARGE)
    assert whole.headers["accept-ranges"] == "bytes"
    piece = await signed_in.get(path, headers={"Range": f"bytes={PART - 2}-{PART + 1}"})
    assert (piece.status_code, piece.content) == (206, b"\1\1\2\2")
    assert piece.headers["content-range"] == f"bytes {PART - 2}-{PART + 1}/{len(LARGE)}"
    assert (await signed_in.get(path, headers={"Range": "bytes=-7"})).content == b"the end"
    head = await signed_in.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(LARGE)), b"")
    known = await signed_in.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert known.status_code == 304
    beyond = await signed_in.get(path, headers={"Range": f"bytes={len(LARGE)}-"})
    assert beyond.status_code == 416


async def test_a_rendition_is_streamed_when_it_is_made(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    video_id = await large(signed_in)
    path = f"/api/videos/{video_id}/stream"
    for name in ("720p", "poster"):
        refused(await signed_in.get(path, params={"rendition": name}), 404, "RENDITION_NOT_FOUND")
    refused(await signed_in.get(path, params={"rendition": "4k"}), 422, "VALIDATION_FAILED")
    await make(app, video_id, "poster", "image/jpeg", b"a picture")
    await make(app, video_id, "720p", "video/mp4", b"a smaller film")
    poster = await signed_in.get(path, params={"rendition": "poster"})
    assert (poster.content, poster.headers["content-type"]) == (b"a picture", "image/jpeg")
    assert 'filename="clip.jpg"' in poster.headers["content-disposition"]
    small = await signed_in.get(path, params={"rendition": "720p"}, headers={"Range": "bytes=2-8"})
    assert (small.status_code, small.content) == (206, b"smaller")
    video = (await signed_in.get(f"/api/videos/{video_id}")).json()
    assert [one["name"] for one in video["renditions"]] == ["720p", "poster"]
    assert (await signed_in.get(video["posterUrl"])).content == b"a picture"
    assert (await signed_in.get(video["renditions"][0]["url"])).content == b"a smaller film"


async def make(app: FastAPI, video_id: int, name: str, content_type: str, body: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    house, key = app.state.house, f"renditions/{video_id}_{name}"
    found = await house.storage.write(key, chunks(), content_type=content_type)
    await house.db.execute(
        """INSERT INTO renditions (upload_id, name, object_key, content_type, width, height, size_bytes, etag)
           VALUES ($1, $2, $3, $4, 1280, 720, $5, $6)""",
        video_id, name, key, content_type, len(body), found.etag,
    )  # fmt: skip


async def test_what_is_not_there_yet_is_not_streamed(signed_in: httpx.AsyncClient) -> None:
    plan = await issue_large(signed_in)
    refused(await signed_in.get(f"/api/videos/{plan['videoId']}/stream"), 404, "FILE_NOT_ARRIVED")


# ── give up ──


async def test_a_deleted_video_leaves_nothing(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    house = app.state.house
    on_its_way, arrived = await issue_large(signed_in), await large(signed_in)
    await send(signed_in, on_its_way, [1, 2])
    for video_id in (on_its_way["videoId"], arrived):
        assert (await signed_in.delete(f"/api/videos/{video_id}")).status_code == 204
        refused(await signed_in.get(f"/api/videos/{video_id}"), 404, "VIDEO_NOT_FOUND")
    assert [listed async for listed in house.storage.list()] == []
    assert [begun async for begun in house.storage.open_multiparts()] == []
    quota = await house.db.fetchrow("SELECT reserved_bytes, used_bytes, in_flight FROM quotas")
    assert tuple(quota) == (0, 0, 0)
    late = await signed_in.put(on_its_way["parts"][2]["url"], content=b"the end")
    refused(late, 404, "OBJECT_NOT_FOUND")
