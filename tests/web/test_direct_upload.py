from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from conftest import HeldClock
from mooring.app import create_app
from web.conftest import settings_for, sign_in
from web.test_photos import refused

JPEG = b"\xff\xd8\xff\xe0 a picture, almost " + b"." * 100
LIMIT = 200_000


@pytest.fixture
async def app(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[FastAPI]:
    app = create_app(settings_for(database_url, tmp_path, photo_max_bytes=LIMIT), clock=clock)
    async with app.router.lifespan_context(app):
        yield app


def form(*parts: tuple[str, bytes | str], boundary: str = "x", name: str = "a.jpg", end: str = "--") -> dict[str, Any]:
    """Parts in their order, which httpx' own forms don't keep; the part `file` is a file."""
    body = b""
    for field, value in parts:
        filename = f'; filename="{name}"\r\nContent-Type: text/html' if field == "file" else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{filename}\r\n\r\n'.encode()
        body += (value.encode() if isinstance(value, str) else value) + b"\r\n"
    body += f"--{boundary}{end}\r\n".encode()
    return {"content": body, "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"}}


async def in_pieces(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    """Without a length."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def left(app: FastAPI) -> tuple[int, list[str], int]:
    """Rows, objects, bytes that count."""
    house = app.state.house
    rows = await house.db.fetchval("SELECT count(*) FROM uploads")
    used = await house.db.fetchval("SELECT sum(reserved_bytes + used_bytes)::bigint FROM quotas")
    return rows, [listed.key async for listed in house.storage.list()], used


NOTHING = (0, list[str](), 0)


def counted(app: FastAPI, name: str, **labels: str) -> float:
    registry: CollectorRegistry = app.state.house.metrics.registry
    return registry.get_sample_value(name, labels) or 0


@pytest.mark.parametrize("path", ["/photos/", "/photos"])
async def test_a_form_makes_a_photo(signed_in: httpx.AsyncClient, app: FastAPI, path: str) -> None:
    sent = form(("album_id", "1"), ("title", "Meer"), ("file", JPEG), ("description", "am Abend"), name="바다 1.txt")
    answer = await signed_in.post(path, **sent)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (set(made), made["filename"]) == ({"photo_id", "filename", "url"}, "바다 1.txt")
    assert (await signed_in.get(made["url"])).content == JPEG
    photo = (await signed_in.get(f"/photos/{made['photo_id']}")).json()
    seen = {name: photo[name] for name in ("album_id", "title", "description", "content_type", "file_size", "state")}
    assert seen == {"album_id": 1, "title": "Meer", "description": "am Abend", "content_type": "image/jpeg",
                    "file_size": len(JPEG), "state": "UPLOADED"}  # fmt: skip
    events = (await signed_in.get(f"/uploads/{made['photo_id']}/history")).json()["events"]
    assert [(event["what"], event["trigger"]) for event in events] == [("issued", "client"), ("arrived", "client")]
    assert counted(app, "photo_api_photo_upload_total", upload_method="direct", result="success") == 1
    assert counted(app, "photo_api_photo_upload_file_size_bytes_sum", upload_method="direct") == len(JPEG)
    assert [photo["id"] for photo in (await signed_in.get("/photos/")).json()["photos"]] == [made["photo_id"]]


async def test_the_forms_of_httpx_and_of_browsers_work(signed_in: httpx.AsyncClient) -> None:
    """Their fields come before their files."""
    data = {"album_id": "1", "title": "", "description": ""}
    answer = await signed_in.post("/photos/", data=data, files={"file": ("a.jpg", JPEG, "image/jpeg")})
    assert answer.status_code == 201, answer.text
    photo = (await signed_in.get(f"/photos/{answer.json()['photo_id']}")).json()
    assert (photo["title"], photo["description"]) == (None, None), "what a browser's user left empty"
    alone = await signed_in.post("/photos/?album_id=1", files={"file": ("a.jpg", JPEG)})
    assert alone.status_code == 201, alone.text


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
async def test_it_does_not_matter_where_the_network_cuts(signed_in: httpx.AsyncClient, size: int) -> None:
    """Nor that the file holds what looks like a boundary."""
    picture = JPEG + b"\r\n--xy\r\n--\r\n\r\n--x\r" + b"\r\n-" * 50
    sent = form(("album_id", "1"), ("file", picture), ("title", "Meer"), boundary="x" * 20)
    answer = await signed_in.post("/photos/", content=in_pieces(sent["content"], size), headers=sent["headers"])
    assert answer.status_code == 201, answer.text
    assert (await signed_in.get(answer.json()["url"])).content == picture


async def test_the_checks_come_in_the_guides_order(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    """401, 413, 400, 404: each request below has every later mistake too."""
    wrong = form(("album_id", "999"), ("file", b"<html>" + b" " * (LIMIT + 70_000)))
    token = signed_in.headers.pop("Authorization")
    refused(await signed_in.post("/photos/", **wrong), 401, "NOT_SIGNED_IN")
    signed_in.headers["Authorization"] = token
    refused(await signed_in.post("/photos/", **wrong), 413, "FILE_TOO_LARGE")
    wrong = form(("album_id", "999"), ("file", b"<html>"), name="a.jpg")
    refused(await signed_in.post("/photos/", **wrong), 400, "TYPE_NOT_ALLOWED")
    wrong = form(("album_id", "999"), ("file", JPEG))
    refused(await signed_in.post("/photos/", **wrong), 404, "ALBUM_NOT_FOUND")
    assert await left(app) == NOTHING
    assert counted(app, "photo_api_photo_upload_total", upload_method="direct", result="failure") == 3


@pytest.mark.parametrize("declared", [True, False])
async def test_the_first_byte_too_many_is_refused_and_nothing_left(
    signed_in: httpx.AsyncClient, app: FastAPI, declared: bool
) -> None:
    asked = 0

    async def unending(sent: bytes) -> AsyncIterator[bytes]:
        nonlocal asked
        async for piece in in_pieces(sent):
            asked += len(piece)
            yield piece

    for size, status in ((LIMIT + 1, 413), (LIMIT, 201)):
        sent = form(("album_id", "1"), ("file", JPEG.ljust(size, b"\0")))
        if not declared:
            sent["content"] = unending(sent["content"] + b"\r\n" * 10**6 * (status == 413))
        answer = await signed_in.post("/photos/", **sent)
        assert answer.status_code == status, answer.text
        if status == 413:
            refused(answer, 413, "FILE_TOO_LARGE")
            assert await left(app) == NOTHING
            assert asked < LIMIT + 3000, "what comes after it is not even read"


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (form(("file", JPEG)), "album_id"),
        (form(("file", JPEG), ("album_id", "1")), "album_id"),
        (form(("album_id", ""), ("file", JPEG)), "album_id"),
        (form(("album_id", "0"), ("file", JPEG)), "album_id"),
        (form(("album_id", "one"), ("file", JPEG)), "album_id"),
        (form(("album_id", "1"), ("album_id", "1"), ("file", JPEG)), "album_id"),
        (form(("album_id", "1"), ("file", JPEG), ("file", JPEG)), "file"),
        (form(("album_id", "1"), ("file", JPEG), name=""), "file"),
        (form(("album_id", "1"), ("file", JPEG), name="x" * 1025), "file"),
        (form(("album_id", "1"), ("file", JPEG), ("title", "x" * 256)), "title"),
        (form(("album_id", "1"), ("file", JPEG), ("title", b"\xff")), "title"),
        (form(("album_id", "1"), ("title", "a\0b"), ("file", JPEG)), "title"),
        (form(("album_id", "1"), ("file", JPEG), ("colour", "red")), "colour"),
        (form(("album_id", "1"), ("file", JPEG), ("album_id", "2")), "album_id"),
        (form(("album_id", "1")), "body"),
        (form(("album_id", "1"), ("file", JPEG), end=""), "body"),
        (form(("album_id", "1"), ("description", "x" * 70_000), ("file", JPEG)), "body"),
        (form(("album_id", "1"), ("file", JPEG), ("description", "x" * 70_000)), "body"),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, "body"),
        ({"content": b"--y\r\n\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, "body"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "body"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=" + "x" * 300}}, "body"),
        ({"content": JPEG, "headers": {"Content-Type": "image/jpeg"}}, "body"),
        ({"json": {"album_id": 1}}, "body"),
    ],
)
async def test_a_form_that_is_not_valid_names_its_field_and_leaves_nothing(
    signed_in: httpx.AsyncClient, app: FastAPI, sent: dict[str, Any], field: str
) -> None:
    error = refused(await signed_in.post("/photos/", **sent), 422, "VALIDATION_FAILED")
    assert [detail["field"] for detail in error["details"]] == [field]
    assert await left(app) == NOTHING


async def test_query_and_form_may_not_differ(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    sent = form(("album_id", "2"), ("file", JPEG))
    refused(await signed_in.post("/photos/?album_id=1", **sent), 422, "VALIDATION_FAILED")
    assert await left(app) == NOTHING
    assert (await signed_in.post("/photos/?album_id=2", **sent)).status_code == 404
    assert (await signed_in.post("/photos/?album_id=0", **sent)).status_code == 422


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(app: FastAPI, signed_in: httpx.AsyncClient) -> None:
    sent = form(("album_id", "1"), ("file", JPEG * 100))
    messages = [
        {"type": "http.request", "body": sent["content"][:5000], "more_body": True},
        {"type": "http.disconnect"},
    ]
    answered: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        answered.append(message)

    headers = [(b"authorization", signed_in.headers["authorization"].encode()),
               (b"content-type", sent["headers"]["Content-Type"].encode())]  # fmt: skip
    scope = {"type": "http", "method": "POST", "path": "/photos/", "raw_path": b"/photos/", "query_string": b"",
             "headers": headers, "client": None, "server": None, "scheme": "http", "http_version": "1.1"}  # fmt: skip
    await app(scope, receive, send)
    assert answered[0]["status"] == 400
    assert await left(app) == NOTHING
    assert counted(app, "photo_api_exceptions_total") == 0


async def test_the_same_key_gives_the_same_photo_once(
    signed_in: httpx.AsyncClient, app: FastAPI, clock: HeldClock
) -> None:
    """Though every try has another boundary."""
    answers = []
    for boundary in ("first", "second"):
        sent = form(("album_id", "1"), ("title", "Meer"), ("file", JPEG), boundary=boundary)
        sent["headers"]["Idempotency-Key"] = "a key"
        answers.append(await signed_in.post("/photos/", **sent))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    rows, objects, used = await left(app)
    assert (rows, len(objects), used) == (1, 1, len(JPEG))
    for other in (
        form(("album_id", "1"), ("title", "Meer"), ("file", JPEG + b"!")),
        form(("album_id", "1"), ("title", "See"), ("file", JPEG)),
        form(("album_id", "1"), ("title", "Meer"), ("file", JPEG), name="b.jpg"),
    ):
        other["headers"]["Idempotency-Key"] = "a key"
        refused(await signed_in.post("/photos/", **other), 409, "IDEMPOTENCY_KEY_REUSED")
    assert await left(app) == (rows, objects, used)


@pytest.mark.parametrize("meanwhile", ["full", "busy", "album deleted", "taken out"])
async def test_the_same_key_gives_the_same_photo_whatever_came_meanwhile(
    signed_in: httpx.AsyncClient, app: FastAPI, meanwhile: str
) -> None:
    """What would refuse it now did not then. With another key, or without one, it does."""
    key = {"Idempotency-Key": "a key"}

    async def send(**headers: str) -> httpx.Response:
        sent = form(("album_id", "1"), ("file", JPEG))
        return await signed_in.post("/photos/", content=sent["content"], headers=sent["headers"] | headers)

    first = await send(**key)
    assert first.status_code == 201
    db = app.state.house.db
    match meanwhile:
        case "full":
            await db.execute("UPDATE quotas SET used_bytes = $1", 10 * 2**30 - len(JPEG) + 1)
        case "busy":
            await db.execute("UPDATE quotas SET in_flight = 1000000")
        case "album deleted":
            assert (await signed_in.delete("/albums/1")).status_code == 204
        case _:
            assert (await signed_in.delete(f"/albums/1/photos/{first.json()['photo_id']}")).status_code == 204
            assert (await signed_in.delete("/albums/1")).status_code == 204
    before = await left(app)
    again = await send(**key)
    assert (again.status_code, again.content) == (201, first.content)
    assert await left(app) == before
    for headers in ({}, {"Idempotency-Key": "another"}):
        assert (await send(**headers)).status_code in (403, 404, 429)
    assert await left(app) == before


async def test_a_key_of_somebody_else_or_of_long_ago_opens_nothing(
    signed_in: httpx.AsyncClient, app: FastAPI, clock: HeldClock
) -> None:
    sent = form(("album_id", "1"), ("file", JPEG))
    sent["headers"]["Idempotency-Key"] = "a key"
    assert (await signed_in.post("/photos/", **sent)).status_code == 201
    await sign_in(signed_in, "stranger@example.org")
    refused(await signed_in.post("/photos/", **sent), 404, "ALBUM_NOT_FOUND")
    clock.forward(hours=24, seconds=1)
    await sign_in(signed_in, "owner@example.org")
    await app.state.house.db.execute("UPDATE quotas SET used_bytes = $1", 10 * 2**30)
    refused(await signed_in.post("/photos/", **sent), 403, "QUOTA_EXCEEDED")


async def test_over_the_quota_nothing_is_left(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    await app.state.house.db.execute("UPDATE quotas SET used_bytes = $1", 10 * 2**30 - len(JPEG) + 1)
    refused(await signed_in.post("/photos/", **form(("album_id", "1"), ("file", JPEG))), 403, "QUOTA_EXCEEDED")
    assert (await left(app))[:2] == (0, [])


# ── title and description ──


async def test_title_and_description_are_changed_kept_and_cleared(signed_in: httpx.AsyncClient) -> None:
    made = (await signed_in.post("/photos/", **form(("album_id", "1"), ("title", "Meer"), ("file", JPEG)))).json()
    address = f"/photos/{made['photo_id']}"
    for changes, expected in (
        ({"description": "am Abend"}, ("Meer", "am Abend")),
        ({"title": "  See "}, ("See", "am Abend")),
        ({}, ("See", "am Abend")),
        ({"title": None, "description": ""}, (None, "")),
        ({"title": "바다", "description": None}, ("바다", None)),
    ):
        answer = await signed_in.patch(address, json=changes)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["title"], answer.json()["description"]) == expected
        assert {**answer.json(), "url": ""} == {**(await signed_in.get(address)).json(), "url": ""}


async def test_a_change_that_is_none_or_not_the_callers_is_refused(signed_in: httpx.AsyncClient) -> None:
    made = (await signed_in.post("/photos/", **form(("album_id", "1"), ("file", JPEG)))).json()
    address = f"/photos/{made['photo_id']}"
    for changes in ({"title": ""}, {"title": "x" * 256}, {"title": 1}, {"title": "a\0"}, {"file_size": 1}):
        refused(await signed_in.patch(address, json=changes), 422, "VALIDATION_FAILED")
    await sign_in(signed_in, "stranger@example.org")
    refused(await signed_in.patch(address, json={"title": "mine"}), 404, "PHOTO_NOT_FOUND")
    refused(await signed_in.patch("/photos/999", json={"title": "mine"}), 404, "PHOTO_NOT_FOUND")
    signed_in.headers.pop("Authorization")
    refused(await signed_in.patch(address, json={"title": "mine"}), 401, "NOT_SIGNED_IN")
