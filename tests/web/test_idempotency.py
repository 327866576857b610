"""`Idempotency-Key`: the same call twice is one call."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from conftest import HeldClock
from flaky import Flaky
from web.conftest import sign_in
from web.test_photos import NEW, issue, put, refused

FILE = {name: value for name, value in NEW.items() if name != "album_id"}
CREATING: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("/albums", {"title": "Winter"}, {"title": "Spring"}),
    ("/photos/presigned-url", NEW, {**NEW, "filename": "b.jpg"}),
    ("/photos/presigned-url/batch", {"album_id": 1, "files": [FILE] * 3}, {"album_id": 1, "files": [FILE] * 2}),
]
ROWS = "SELECT (SELECT count(*) FROM uploads) + (SELECT count(*) FROM albums)"

creating = pytest.mark.parametrize(("path", "body", "other"), CREATING, ids=[path for path, *_ in CREATING])


async def call(client: httpx.AsyncClient, path: str, body: dict[str, Any], key: str = "k") -> httpx.Response:
    return await client.post(path, json=body, headers={"Idempotency-Key": key})


async def rows(app: FastAPI) -> int:
    return int(await app.state.house.db.fetchval(ROWS))


@creating
async def test_the_same_call_twice_creates_once_and_answers_alike(
    signed_in: httpx.AsyncClient, app: FastAPI, clock: HeldClock, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    first = await call(signed_in, path, body)
    assert first.status_code in (200, 201)
    after = await rows(app)
    clock.forward(minutes=1)
    second = await call(signed_in, path, body)
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    refused(await call(signed_in, path, other), 409, "IDEMPOTENCY_KEY_REUSED")
    assert await rows(app) == after
    assert (await call(signed_in, path, body, key="K")).content != first.content
    assert (await signed_in.post(path, json=body)).content != first.content


@creating
async def test_twenty_at_once_create_once(
    signed_in: httpx.AsyncClient, app: FastAPI, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    before = await rows(app)
    answers = await asyncio.gather(*(call(signed_in, path, body) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.content for answer in answers}) == 1
    assert await rows(app) - before == len(body.get("files", [0]))


@creating
async def test_after_a_day_the_key_is_new_again(
    signed_in: httpx.AsyncClient, clock: HeldClock, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    first = await call(signed_in, path, body)
    clock.forward(hours=24)
    await sign_in(signed_in, "owner@example.org")
    assert (await call(signed_in, path, body)).content == first.content
    clock.forward(seconds=1)
    anew = await call(signed_in, path, other)
    assert (anew.status_code, anew.content != first.content) == (first.status_code, True)


async def test_another_users_key_is_another_key(signed_in: httpx.AsyncClient) -> None:
    first = (await call(signed_in, "/albums", {"title": "Winter"})).json()
    await sign_in(signed_in, "stranger@example.org")
    second = (await call(signed_in, "/albums", {"title": "Winter"})).json()
    assert second["id"] != first["id"]
    assert (await call(signed_in, "/albums", {"title": "Winter"})).json() == second


async def test_the_same_key_at_another_address_is_refused(signed_in: httpx.AsyncClient) -> None:
    await call(signed_in, "/photos/presigned-url", NEW)
    refused(await call(signed_in, "/albums", {"title": "Winter"}), 409, "IDEMPOTENCY_KEY_REUSED")
    refused(await call(signed_in, "/photos/confirm", {"photo_id": 1}), 409, "IDEMPOTENCY_KEY_REUSED")


async def test_what_failed_is_not_remembered(signed_in: httpx.AsyncClient) -> None:
    refused(await call(signed_in, "/photos/presigned-url", {**NEW, "album_id": 2}), 404, "ALBUM_NOT_FOUND")
    refused(await call(signed_in, "/photos/presigned-url", {**NEW, "file_size": 10**10}), 413, "FILE_TOO_LARGE")
    refused(await call(signed_in, "/photos/presigned-url", {**NEW, "file_size": 0}), 422, "VALIDATION_FAILED")
    await signed_in.post("/albums", json={"title": "Winter"})
    assert (await call(signed_in, "/photos/presigned-url", {**NEW, "album_id": 2})).status_code == 200


async def test_a_confirm_is_remembered_once_it_came_true(signed_in: httpx.AsyncClient, clock: HeldClock) -> None:
    issued = await issue(signed_in)
    body = {"photo_id": issued["photo_id"]}
    refused(await call(signed_in, "/photos/confirm", body), 404, "FILE_NOT_ARRIVED")
    await put(signed_in, issued)
    first = await call(signed_in, "/photos/confirm", body)
    assert first.status_code == 200
    clock.forward(minutes=1)
    assert (await call(signed_in, "/photos/confirm", body)).content == first.content
    assert (await signed_in.post("/photos/confirm", json=body)).content != first.content, "a later URL"
    other = await issue(signed_in)
    refused(await call(signed_in, "/photos/confirm", {"photo_id": other["photo_id"]}), 409, "IDEMPOTENCY_KEY_REUSED")


async def test_twenty_confirms_at_once_answer_alike_and_arrive_once(signed_in: httpx.AsyncClient) -> None:
    issued = await issue(signed_in)
    await put(signed_in, issued)
    batch = {"photo_ids": [issued["photo_id"]]}
    for path, body in (("/photos/confirm", {"photo_id": issued["photo_id"]}), ("/photos/confirm/batch", batch)):
        answers = await asyncio.gather(*(call(signed_in, path, body, key=path) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
    history = (await signed_in.get(f"/uploads/{issued['photo_id']}/history")).json()
    assert [event["what"] for event in history["events"]] == ["issued", "arrived"]


async def test_a_confirm_that_could_not_be_judged_is_not_remembered(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    issued = await issue(signed_in)
    await put(signed_in, issued)
    photos = app.state.house.photos
    away = Flaky(photos.uploads.storage, fails=1)
    app.state.house.photos = replace(photos, uploads=replace(photos.uploads, storage=away))
    body = {"photo_id": issued["photo_id"]}
    refused(await call(signed_in, "/photos/confirm", body), 500, "STORAGE_UNAVAILABLE")
    assert (await call(signed_in, "/photos/confirm", body)).status_code == 200


@pytest.mark.parametrize("path", ["/albums", "/photos/presigned-url", "/photos/presigned-url/batch", "/photos/confirm"])
async def test_a_key_has_1_to_255_characters(signed_in: httpx.AsyncClient, path: str) -> None:
    bodies = {created: body for created, body, _ in CREATING}
    body = bodies.get(path, {"photo_id": 1})
    for key in ("", "k" * 256, "k" * 5000):
        refused(await call(signed_in, path, body, key), 400, "IDEMPOTENCY_KEY_NOT_USABLE")
    for key in ("k", "k" * 255, "'; DROP TABLE uploads --", "%00"):
        assert (await call(signed_in, path, body, key)).status_code in (200, 201, 404)


async def test_a_key_of_any_bytes_is_only_a_name(signed_in: httpx.AsyncClient) -> None:
    for key in (b"\xff\xfe", "열쇠".encode(), b"a\tb"):
        answers = [
            await signed_in.post("/albums", json={"title": "x"}, headers=[(b"Idempotency-Key", key)]) for _ in range(2)
        ]
        assert answers[0].status_code == 201
        assert answers[0].content == answers[1].content


async def test_a_batch_of_confirms_is_remembered_once_all_of_it_came_true(signed_in: httpx.AsyncClient) -> None:
    first, second = await issue(signed_in), await issue(signed_in)
    await put(signed_in, first)
    batch = {"photo_ids": [first["photo_id"], second["photo_id"]]}
    answer = await call(signed_in, "/photos/confirm/batch", batch)
    assert [bool(one["error"]) for one in answer.json()["results"]] == [False, True]
    await put(signed_in, second)
    answer = await call(signed_in, "/photos/confirm/batch", batch)
    assert [one["error"] for one in answer.json()["results"]] == [None, None]
    assert (await call(signed_in, "/photos/confirm/batch", batch)).content == answer.content
