"""Recordings over HTTP, field by field as guide 003 has them."""

import asyncio
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from conftest import HeldClock
from mooring.uploads.lifecycle import Move, State, Trigger, advance
from mooring.wiring import House
from web.conftest import sign_in
from web.test_photos import refused
from world import once

BODY = b"not really a recording"
NEW = {
    "originalFilename": "my-recording.mp3",
    "fileSize": len(BODY),
    "contentType": "audio/mpeg",
    "durationSeconds": 180,
}
RECORD_FIELDS = {
    "id",
    "title",
    "userId",
    "songId",
    "uploadId",
    "durationSeconds",
    "processingStatus",
    "s3Key",
    "publicUrl",
    "createdAt",
    "updatedAt",
}


async def issue(client: httpx.AsyncClient, **claim: Any) -> dict[str, Any]:
    answer = await client.post("/records/async/presigned-url", data={**NEW, **claim})
    assert answer.status_code == 200, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


async def put(client: httpx.AsyncClient, issued: dict[str, Any], body: bytes = BODY) -> httpx.Response:
    """As guide 003's client does it: the content type is all it sends."""
    headers = {"Content-Type": issued["uploadHeaders"]["Content-Type"]}
    return await client.put(issued["presignedUrl"], content=body, headers=headers)


async def uploaded(client: httpx.AsyncClient, **claim: Any) -> dict[str, Any]:
    issued = await issue(client, **claim)
    assert (await put(client, issued)).status_code == 200
    return issued


async def create(client: httpx.AsyncClient, issued: dict[str, Any], **more: Any) -> httpx.Response:
    return await client.post("/records/async", json={"title": "Mine", "uploadId": issued["uploadId"], **more})


async def test_from_the_url_to_the_record_as_the_guide_has_it(signed_in: httpx.AsyncClient, clock: HeldClock) -> None:
    issued = await issue(signed_in, originalFilename="내 녹음.mp3")
    assert set(issued) == {"uploadId", "presignedUrl", "s3Key", "expirationTime", "uploadHeaders"}
    assert issued["s3Key"].startswith("recordings/")
    assert issued["expirationTime"] == "2030-01-02T03:19:05Z"
    assert issued["uploadHeaders"] == {"Content-Type": "audio/mpeg"}
    assert (await put(signed_in, issued)).status_code == 200
    answer = await create(signed_in, issued, title="  내 첫 번째 녹음 ", durationSeconds=180)
    assert answer.status_code == 200
    record = answer.json()
    assert set(record) == RECORD_FIELDS
    assert (record["title"], record["userId"], record["songId"]) == ("내 첫 번째 녹음", 1, None)
    assert (record["uploadId"], record["s3Key"]) == (issued["uploadId"], issued["s3Key"])
    assert (record["durationSeconds"], record["processingStatus"]) == (180, "PROCESSING")
    assert record["createdAt"] == record["updatedAt"] == "2030-01-02T03:04:05Z"
    assert record["publicUrl"] is None, "nothing was made of it yet"
    assert (await signed_in.get(f"/records/async/{record['id']}")).json() == record
    assert (await signed_in.get("/records/async/me")).json() == [record]
    assert (await signed_in.delete(f"/records/async/{record['id']}")).status_code == 204
    error = refused(await signed_in.get(f"/records/async/{record['id']}"), 404, "RECORD_NOT_FOUND")
    assert (error["message"], error["path"]) == (f"Record not found: {record['id']}", f"/records/async/{record['id']}")
    assert (await signed_in.get("/records/async/me")).json() == []
    refused(await signed_in.get(f"/uploads/{issued['uploadId']}"), 404, "UPLOAD_NOT_FOUND")


async def test_the_url_is_asked_for_by_json_and_by_either_form(signed_in: httpx.AsyncClient) -> None:
    form = {name: (None, str(value)) for name, value in NEW.items()}
    for sent in ({"json": NEW}, {"data": NEW}, {"files": form}):
        answer = await signed_in.post("/records/async/presigned-url", **sent)
        assert answer.status_code == 200, answer.text
        assert (await put(signed_in, answer.json())).status_code == 200


async def test_a_length_that_the_browser_does_not_know_is_none(signed_in: httpx.AsyncClient) -> None:
    """`Math.floor(audio.duration)` of a recording that a browser made is Infinity."""
    for unknown in ("Infinity", "NaN", "", "null", "undefined"):
        await issue(signed_in, durationSeconds=unknown)


async def test_a_type_is_signed_exactly_as_it_will_be_sent(signed_in: httpx.AsyncClient) -> None:
    for content_type in (
        "audio/webm;codecs=opus",
        "audio/webm; codecs=opus",
        "Audio/MPEG",
        "audio/mp4;codecs=mp4a.40.2",
    ):
        issued = await issue(signed_in, contentType=content_type)
        assert issued["uploadHeaders"] == {"Content-Type": content_type}
        headers = {"Content-Type": content_type.partition(";")[0] + ";codecs=other"}
        refusal = await signed_in.put(issued["presignedUrl"], content=BODY, headers=headers)
        refused(refusal, 403, "URL_NOT_VALID")
        assert (await put(signed_in, issued)).status_code == 200


BAD_FILES: list[tuple[dict[str, Any], str]] = [
    ({"originalFilename": ""}, "originalFilename"),
    ({"originalFilename": "a\0.mp3"}, "originalFilename"),
    ({"originalFilename": "x" * 1025}, "originalFilename"),
    ({"fileSize": 0}, "fileSize"),
    ({"fileSize": -5}, "fileSize"),
    ({"fileSize": 2**63}, "fileSize"),
    ({"fileSize": "much"}, "fileSize"),
    ({"fileSize": "22\x0b"}, "fileSize"),
    ({"fileSize": "+22"}, "fileSize"),
    ({"contentType": ""}, "contentType"),
    ({"contentType": "audio/mpeg\r\nX-Evil: 1"}, "contentType"),
    ({"contentType": "audio/mpeg;" + "x" * 100}, "contentType"),
    ({"contentType": "audio/한글"}, "contentType"),
    ({"durationSeconds": -1}, "durationSeconds"),
    ({"durationSeconds": 2**31}, "durationSeconds"),
    ({"durationSeconds": "12.5"}, "durationSeconds"),
    ({"durationSeconds": "1_2"}, "durationSeconds"),
    ({"durationSeconds": "-Infinity"}, "durationSeconds"),
    ({"title": "Mine"}, "title"),
]


async def test_a_field_that_is_not_valid_is_named(signed_in: httpx.AsyncClient) -> None:
    for change, field in BAD_FILES:
        ways: list[dict[str, Any]] = [{"data": {**NEW, **change}}, {"json": {**NEW, **change}}]
        for sent in ways:
            answer = await signed_in.post("/records/async/presigned-url", **sent)
            error = refused(answer, 422, "VALIDATION_FAILED")
            assert [one["field"] for one in error["details"]] == [field], change


async def test_a_form_brings_each_field_once_and_no_file(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    where = "/records/async/presigned-url"
    for name in ("originalFilename", "fileSize", "contentType"):
        missing = {key: value for key, value in NEW.items() if key != name}
        error = refused(await signed_in.post(where, data=missing), 422, "VALIDATION_FAILED")
        assert error["details"] == [{"field": name, "message": "Field required"}]
    error = refused(await signed_in.post(where, data={**NEW, "fileSize": ["22", "23"]}), 422, "VALIDATION_FAILED")
    assert error["details"] == [{"field": "fileSize", "message": "This field is there twice."}]
    file = {"originalFilename": ("a.mp3", BODY, "audio/mpeg")}
    rest = {name: value for name, value in NEW.items() if name not in file}
    error = refused(await signed_in.post(where, data=rest, files=file), 422, "VALIDATION_FAILED")
    assert error["details"][0]["field"] == "originalFilename"
    assert "URL" in error["details"][0]["message"]
    headers = {"Content-Type": "multipart/form-data"}
    assert (await signed_in.post(where, content=b"x", headers=headers)).status_code == 400
    assert await app.state.house.db.fetchval("SELECT count(*) FROM uploads") == 0


async def test_too_large_then_another_type_is_refused(signed_in: httpx.AsyncClient) -> None:
    where = "/records/async/presigned-url"
    wrong = {**NEW, "fileSize": 10**12, "contentType": "video/mp4"}
    refused(await signed_in.post(where, json=wrong), 413, "FILE_TOO_LARGE")
    refused(await signed_in.post(where, json={**wrong, "fileSize": 5}), 400, "TYPE_NOT_ALLOWED")
    refused(await signed_in.post(where, json={**NEW, "contentType": "audio/mpeg, text/html"}), 400, "TYPE_NOT_ALLOWED")


BAD_RECORDS: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "title"),
    ({"title": "   \t\n "}, "title"),
    ({"title": "x" * 256}, "title"),
    ({"title": "a\0b"}, "title"),
    ({"title": None}, "title"),
    ({"uploadId": 0}, "uploadId"),
    ({"uploadId": -1}, "uploadId"),
    ({"uploadId": "1"}, "uploadId"),
    ({"uploadId": 2**63}, "uploadId"),
    ({"songId": 0}, "songId"),
    ({"durationSeconds": -1}, "durationSeconds"),
    ({"durationSeconds": 2**31}, "durationSeconds"),
    ({"durationSeconds": 1.5}, "durationSeconds"),
    ({"userId": 7}, "userId"),
]


async def test_a_record_that_is_not_valid_is_refused(signed_in: httpx.AsyncClient) -> None:
    issued = await issue(signed_in)
    for change, field in BAD_RECORDS:
        error = refused(await create(signed_in, issued, **change), 422, "VALIDATION_FAILED")
        assert [one["field"] for one in error["details"]] == [field], change
    assert (await create(signed_in, issued)).status_code == 200


async def test_what_is_somebody_elses_or_no_recording_is_refused_in_the_guides_words(
    signed_in: httpx.AsyncClient,
) -> None:
    issued = await uploaded(signed_in)
    record = (await create(signed_in, issued)).json()
    error = refused(await create(signed_in, issued), 400, "RECORD_OPERATION_FAILED")
    assert error["message"] == f"Upload {issued['uploadId']} already has a record: {record['id']}."
    refused(await create(signed_in, {"uploadId": 999}), 400, "RECORD_OPERATION_FAILED")
    photo = {"album_id": 1, "filename": "a.jpg", "content_type": "image/jpeg", "file_size": 9}
    photo_id = (await signed_in.post("/photos/presigned-url", json=photo)).json()["photo_id"]
    error = refused(await create(signed_in, {"uploadId": photo_id}), 400, "RECORD_OPERATION_FAILED")
    assert error["message"] == f"Upload {photo_id} is a photo, not a recording."
    waiting = await issue(signed_in)
    refused(await create(signed_in, waiting, songId=7), 400, "RECORD_OPERATION_FAILED")
    await sign_in(signed_in, "other@example.org")
    refused(await create(signed_in, waiting), 403, "RECORD_PERMISSION_DENIED")
    refused(await signed_in.get(f"/records/async/{record['id']}"), 403, "RECORD_PERMISSION_DENIED")
    refused(await signed_in.delete(f"/records/async/{record['id']}"), 403, "RECORD_PERMISSION_DENIED")
    refused(await signed_in.delete("/records/async/999"), 404, "RECORD_NOT_FOUND")
    refused(await signed_in.get("/records/async/0"), 422, "VALIDATION_FAILED")
    assert (await signed_in.get("/records/async/me")).json() == []


async def test_bytes_that_are_others_than_declared_make_no_record(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    issued = await issue(signed_in)
    await app.state.disk.write(issued["s3Key"], once(b"other"), content_type="audio/mpeg")
    error = refused(await create(signed_in, issued), 400, "RECORD_OPERATION_FAILED")
    assert error["message"].startswith(f"Upload {issued['uploadId']} was rejected: 22 bytes were declared, 5 arrived.")


@pytest.mark.parametrize("state", ["UPLOADED", "PROCESSING", "FAILED", "COMPLETED"])
async def test_a_second_put_never_changes_what_is_heard(signed_in: httpx.AsyncClient, app: FastAPI, state: str) -> None:
    """Guide 003's client can't say that it writes once, so its URL takes other bytes for as long as it lasts."""
    house = app.state.house
    issued = await uploaded(signed_in)
    record_id = (await create(signed_in, issued)).json()["id"]
    await move(house, issued["uploadId"], to=State(state))

    async def heard() -> bytes | None:
        [listed] = (await signed_in.get("/records/async/me")).json()
        shown = (await signed_in.get(f"/records/async/{record_id}")).json()
        assert shown == listed
        return (await signed_in.get(shown["publicUrl"])).content if shown["publicUrl"] else None

    first = await heard()
    assert (await put(signed_in, issued, b"x" * len(BODY))).status_code == 200
    assert (await heard()) == first == (b"the sound" if state == "COMPLETED" else None)


async def move(house: House, upload_id: int, *, to: State) -> None:
    """As a worker does it."""
    ways = {State.FAILED: [State.PROCESSING, State.FAILED], State.COMPLETED: [State.PROCESSING, State.COMPLETED]}
    for state in ways.get(to, [to] if to is State.PROCESSING else []):
        one = Move(upload_id, Trigger.WORKER, error="No." if state is State.FAILED else None)
        assert await advance(house.db, state, [one], what=state.lower(), at=house.clock())
    if to is State.COMPLETED:
        key = f"renditions/{upload_id}_audio"
        found = await house.storage.write(key, once(b"the sound"), content_type="audio/mp4")
        await house.db.execute(
            "INSERT INTO renditions (upload_id, name, object_key, content_type, size_bytes, etag)"
            " VALUES ($1, 'audio', $2, 'audio/mp4', $3, $4)",
            upload_id, key, found.size, found.etag,
        )  # fmt: skip


async def test_pages_of_the_bare_list_are_told_in_headers(signed_in: httpx.AsyncClient) -> None:
    ids = [(await create(signed_in, await issue(signed_in))).json()["id"] for _ in range(5)]
    seen: list[int] = []
    where: str | None = "/records/async/me?limit=2"
    while where:
        page = await signed_in.get(where)
        seen += [record["id"] for record in page.json()]
        assert ("x-next-cursor" in page.headers) == ("next" in page.links)
        where = page.links["next"]["url"] if "next" in page.links else None
    assert seen == ids[::-1]
    refused(await signed_in.get("/records/async/me?limit=0"), 422, "VALIDATION_FAILED")
    refused(await signed_in.get("/records/async/me?cursor=x"), 422, "VALIDATION_FAILED")


# ── the same key ──


async def test_the_same_form_with_another_boundary_is_the_same_call(signed_in: httpx.AsyncClient) -> None:
    form = {name: (None, str(value)) for name, value in NEW.items()}
    key = {"Idempotency-Key": "k"}
    answers = [await signed_in.post("/records/async/presigned-url", files=form, headers=key) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[0].request.headers["content-type"] != answers[1].request.headers["content-type"]
    other = await signed_in.post("/records/async/presigned-url", data={**NEW, "fileSize": 5}, headers=key)
    refused(other, 409, "IDEMPOTENCY_KEY_REUSED")


async def test_twenty_at_once_with_one_key_are_one_record(
    signed_in: httpx.AsyncClient, app: FastAPI, clock: HeldClock
) -> None:
    issued = await uploaded(signed_in)
    body = {"title": "Mine", "uploadId": issued["uploadId"]}

    async def call() -> httpx.Response:
        return await signed_in.post("/records/async", json=body, headers={"Idempotency-Key": "k"})

    answers = await asyncio.gather(*(call() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    clock.forward(minutes=1)
    assert len({answer.content for answer in [*answers, await call()]}) == 1
    assert await app.state.house.db.fetchval("SELECT count(*) FROM records") == 1
    refused(await create(signed_in, issued), 400, "RECORD_OPERATION_FAILED")


async def test_fifty_at_once_without_a_key_are_one_record_too(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    issued = await uploaded(signed_in)
    answers = await asyncio.gather(*(create(signed_in, issued) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 49]
    assert await app.state.house.db.fetchval("SELECT count(*) FROM records") == 1


async def test_a_call_that_died_while_it_waited_is_finished_by_the_next_with_its_key(
    signed_in: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await uploaded(signed_in)
    key = {"Idempotency-Key": "k"}
    body = {"title": "Mine", "uploadId": issued["uploadId"]}

    async def dies(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, structlog.testing.capture_logs():
        patch.setattr(type(app.state.house.recordings), "settled", dies)
        assert (await signed_in.post("/records/async", json=body, headers=key)).status_code == 500
    answer = await signed_in.post("/records/async", json=body, headers=key)
    assert (answer.status_code, answer.json()["uploadId"]) == (200, issued["uploadId"])
    assert answer.content == (await signed_in.post("/records/async", json=body, headers=key)).content


# ── songs ──


async def make_admin(client: httpx.AsyncClient, app: FastAPI) -> None:
    await app.state.house.db.execute("UPDATE users SET role = 'admin'")
    await sign_in(client, "owner@example.org")


async def test_songs_are_added_by_an_administrator_and_recorded_by_all(
    signed_in: httpx.AsyncClient, app: FastAPI
) -> None:
    refused(await signed_in.post("/songs", json={"title": "Arirang"}), 403, "ADMINS_ONLY")
    await make_admin(signed_in, app)
    added = await signed_in.post("/songs", json={"title": "Arirang", "artist": "Traditional", "durationSeconds": 200})
    assert added.status_code == 201
    song = added.json()
    assert set(song) == {"id", "title", "artist", "durationSeconds", "createdAt"}
    refused(await signed_in.post("/songs", json={"title": "  "}), 422, "VALIDATION_FAILED")
    await signed_in.post("/songs", json={"title": "Another"})
    page = (await signed_in.get("/songs?limit=1")).json()
    assert page == {"songs": [song], "nextCursor": song["id"]}
    rest = (await signed_in.get(f"/songs?cursor={song['id']}")).json()
    assert ([one["title"] for one in rest["songs"]], rest["nextCursor"]) == (["Another"], None)
    record = (await create(signed_in, await issue(signed_in), songId=song["id"])).json()
    assert record["songId"] == song["id"]


# ── batch administration ──


async def test_batch_administration_is_an_administrators(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    for method, path in (("PUT", "/batch/size?size=5"), ("POST", "/batch/trigger"), ("GET", "/batch/statistics")):
        refused(await signed_in.request(method, path), 403, "ADMINS_ONLY")
    await make_admin(signed_in, app)
    assert (await signed_in.put("/batch/size?size=7")).json() == {"batchSize": 7}
    assert await app.state.house.db.fetchval("SELECT size FROM batch") == 7
    for size in ("0", "-1", "10001", "x", ""):
        refused(await signed_in.put(f"/batch/size?size={size}"), 422, "VALIDATION_FAILED")
    assert (await signed_in.post("/batch/trigger")).json() == {"status": "triggered"}
    statistics = (await signed_in.get("/batch/statistics")).json()
    assert statistics == {
        "activeJobs": 0,
        "maxConcurrentJobs": 2,
        "processingCount": 0,
        "failedCount": 0,
        "completedCount": 0,
        "batchEnabled": False,
        "queueDepth": 0,
    }
