"""Whatever goes wrong, and wherever: one envelope, the right status, nothing of our insides."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
import structlog
from fastapi import FastAPI

from conftest import HeldClock
from flaky import Flaky
from mooring.wiring import House
from servers.postgres import Server
from web.conftest import sign_in
from web.test_photos import NEW, issue, put, refused

JSON = {"Content-Type": "application/json"}
HOT, PLAIN, BY_HAND = "/photos/confirm", "/albums", "/auth/login"
ANY_ROUTE = pytest.mark.parametrize("path", [HOT, PLAIN, BY_HAND, "/auth/register", "/photos/presigned-url/batch"])


@pytest.fixture(autouse=True)
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged is looked at, not printed: the tracebacks of these tests are long."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def house(app: FastAPI) -> House:
    house: House = app.state.house
    return house


def counted(house: House, name: str, **labels: str) -> float:
    return house.metrics.registry.get_sample_value(name, labels) or 0.0


# ── addresses and methods ──


async def test_an_unknown_address_is_404(client: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/photos/1/2", "/nothing/%ff/%00?x=%00", "/%ea%b0%80", "/albums/1%2f2"):
        assert "details" not in refused(await client.get(path), 404, "NOT_FOUND")


async def test_another_method_is_405_and_told_which(client: httpx.AsyncClient) -> None:
    for method, path, allowed in (
        ("PUT", "/albums", {"GET", "POST"}),
        ("GET", "/photos/presigned-url/batch", {"POST"}),
        ("PUT", "/photos/confirm", {"POST"}),
        ("PUT", "/photos/1", {"GET", "PATCH", "DELETE"}),
        ("POST", "/metrics", {"GET"}),
        ("BREW", "/health", {"GET"}),
    ):
        answer = await client.request(method, path)
        refused(answer, 405, "METHOD_NOT_ALLOWED")
        assert set(answer.headers["allow"].split(", ")) == allowed, path


# ── bodies ──


BAD_BODIES = [
    b"",
    b"{",
    b"{'title': 'x'}",
    b"[]",
    b'"text"',
    b"null",
    b"\xff\xfe",
    b'{"title": "\xff"}',
    b'{"title": "\xed\xa0\x80"}',
    b'{"title": "\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"title": 1e400, "photo_id": 1e400}',
    b'{"photo_id": -1e400, "title": NaN}',
    b'{"photo_id": %s}' % (b"9" * 30),
    b'{"photo_id": %s}' % (b"9" * 5000),
    b"[" * 100_000,
    b'{"title": %s1%s}' % (b"[" * 5000, b"]" * 5000),
    b'{"a":' * 400 + b"1" + b"}" * 400,
    b'{"title": "x", "title ": "x"}',
    b"\x00",
]


@ANY_ROUTE
async def test_a_body_that_is_no_such_json_is_refused(signed_in: httpx.AsyncClient, path: str) -> None:
    for body in BAD_BODIES:
        answer = await signed_in.post(path, content=body, headers=JSON)
        if answer.status_code == 400:
            refused(answer, 400, "BAD_REQUEST")
        else:
            assert refused(answer, 422, "VALIDATION_FAILED")["details"], body[:50]


@pytest.mark.parametrize("deep", [600, 5_000, 100_000])
async def test_a_body_however_deep_is_refused_by_every_route(
    signed_in: httpx.AsyncClient, house: House, app: FastAPI, deep: int
) -> None:
    """By the reader of its JSON, or by its fields: nothing of ours goes down into it."""
    await house.db.execute("UPDATE users SET role = 'admin'")
    await sign_in(signed_in, "owner@example.org")
    capability = (await signed_in.post("/uppy/capabilities", json={"kind": "video"})).json()["capability"]
    taking = [
        (method, re.sub(r"{\w+}", "1", path.replace("{capability}", capability)))
        for path, methods in app.openapi()["paths"].items() for method, operation in methods.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {}) and path != "/events/storage"
    ]  # fmt: skip
    assert len(taking) >= 20
    for method, path in taking:
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            inside = opening * deep + b"1" + closing * deep
            for body in (inside, b'{"title": %s}' % inside, b'{"metadata": %s}' % inside, opening * deep):
                answer = await signed_in.request(method, path, params={"key": "x"}, content=body, headers=JSON)
                assert answer.status_code in (400, 404, 422), (method, path, body[:20])
                assert answer.json()["error"]["message"]
                assert len(answer.content) < 2_000
    assert counted(house, "photo_api_exceptions_total") == 0


OTHER_TYPES = [
    ("application/xml", b"<title>x</title>"),
    ("text/plain", b"title=x"),
    ("multipart/form-data", b"no boundary"),
    ("multipart/form-data; boundary=x", b"--x--"),
    ("application/x-www-form-urlencoded", b"title=x&photo_id=1"),
    ("application/json; charset=utf-16", b"{"),
    ("", b"title"),
    (";;;", b"{"),
]


@pytest.mark.parametrize("path", [HOT, PLAIN])
async def test_another_content_type_is_refused(signed_in: httpx.AsyncClient, path: str) -> None:
    for content_type, body in OTHER_TYPES:
        answer = await signed_in.post(path, content=body, headers={"Content-Type": content_type})
        refused(answer, 422, "VALIDATION_FAILED")


async def test_a_broken_form_is_refused(client: httpx.AsyncClient) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        answer = await client.post("/auth/login", content=b"--y\r\n\r\n", headers={"Content-Type": content_type})
        assert answer.status_code in (400, 422), content_type
        refused(answer, answer.status_code, answer.json()["error"]["code"])


@pytest.mark.parametrize("path", [HOT, PLAIN, BY_HAND])
async def test_a_body_over_the_limit_is_refused_before_it_is_read(signed_in: httpx.AsyncClient, path: str) -> None:
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b" " * 2**16

    answer = await signed_in.post(path, content=b" " * (2 * 2**20 + 1), headers=JSON)
    assert "2097152 bytes" in refused(answer, 413, "BODY_TOO_LARGE")["message"]
    refused(await signed_in.post(path, content=endless(), headers=JSON), 413, "BODY_TOO_LARGE")
    assert asked <= 34, "of a body without a length no more is read than the limit"


async def test_a_body_at_the_limit_is_read(signed_in: httpx.AsyncClient) -> None:
    body = b'{"photo_id": 1}'
    answer = await signed_in.post(HOT, content=body + b" " * (2 * 2**20 - len(body)), headers=JSON)
    refused(answer, 404, "PHOTO_NOT_FOUND")


@pytest.mark.parametrize("path", [HOT, PLAIN, BY_HAND])
async def test_a_client_that_leaves_in_the_middle_is_no_fault_of_ours(
    app: FastAPI, signed_in: httpx.AsyncClient, house: House, path: str
) -> None:
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    answered: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        answered.append(message)

    headers = [(b"authorization", signed_in.headers["authorization"].encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": headers, "client": None, "server": None, "scheme": "http", "http_version": "1.1"}  # fmt: skip
    await app(scope, receive, send)
    assert answered[0]["status"] == 400
    assert counted(house, "photo_api_exceptions_total") == 0


# ── fields ──


async def test_fields_are_named_alike_by_hot_and_plain_routes(signed_in: httpx.AsyncClient) -> None:
    for path in (HOT, PLAIN, "/auth/register"):
        error = refused(await signed_in.post(path, json={"colour": "red"}), 422, "VALIDATION_FAILED")
        assert {"field": "colour", "message": "Extra inputs are not permitted"} in error["details"]
        assert "colour: Extra inputs are not permitted" in error["message"]
        broken = refused(await signed_in.post(path, content=b"{", headers=JSON), 422, "VALIDATION_FAILED")
        assert [detail["field"] for detail in broken["details"]] == ["body"]


async def test_a_field_deep_inside_is_named_by_its_way(signed_in: httpx.AsyncClient) -> None:
    file = {name: value for name, value in NEW.items() if name != "album_id"}
    batch = {"album_id": 1, "files": [file, {**file, "file_size": 0}]}
    error = refused(await signed_in.post("/photos/presigned-url/batch", json=batch), 422, "VALIDATION_FAILED")
    assert [detail["field"] for detail in error["details"]] == ["files.1.file_size"]


async def test_of_many_mistakes_twenty_are_told(signed_in: httpx.AsyncClient) -> None:
    wrong = {"album_id": 1, "files": [{}] * 1000}
    error = refused(await signed_in.post("/photos/presigned-url/batch", json=wrong), 422, "VALIDATION_FAILED")
    assert len(error["details"]) == 20
    assert len(error["message"]) < 300


BAD_ADDRESSES = [
    ("/photos?limit=%00", "limit"),
    ("/photos?limit=0", "limit"),
    ("/photos?limit=1001", "limit"),
    ("/photos?cursor=%ff", "cursor"),
    ("/photos?cursor=9223372036854775808", "cursor"),
    ("/albums?cursor=1%00", "cursor"),
    (f"/albums?cursor={'9' * 5000}", "cursor"),
    ("/photos/upload-tracking?since=%00", "since"),
    ("/photos/upload-tracking?since=2026-01-01T00:00:00", "since"),
    ("/photos/upload-tracking?since=0001-01-01T00:00:00%2B14:00", "since"),
    ("/photos/upload-tracking?until=9999-12-31T23:59:59-14:00", "until"),
    ("/photos/upload-tracking?until=1e400", "until"),
    ("/photos/upload-tracking?since=2030", "since"),
    ("/photos/%00", "photo_id"),
    ("/photos/0", "photo_id"),
    ("/photos/-1", "photo_id"),
    ("/uploads/9223372036854775808", "upload_id"),
    (f"/uploads/{'9' * 5000}/history", "upload_id"),
]


async def test_a_value_in_the_address_that_is_not_valid_is_named(signed_in: httpx.AsyncClient) -> None:
    for path, field in BAD_ADDRESSES:
        error = refused(await signed_in.get(path), 422, "VALIDATION_FAILED")
        assert [detail["field"] for detail in error["details"]] == [field], path


async def test_almost_all_of_the_calendar_can_be_asked_for(signed_in: httpx.AsyncClient) -> None:
    ends = {"since": "0001-01-02T14:00:00%2B14:00", "until": "9999-12-29T00:00:00-14:00"}
    for end in ends.items():
        answer = await signed_in.get("/photos/upload-tracking?" + "=".join(end))
        assert answer.status_code == (422 if end[0] == "since" else 200), answer.text


# ── headers ──


async def test_a_token_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    for token in (b"", b"Bearer", b"Bearer ", b"Basic eDp5", b"Bearer \xff\xfe", b"Bearer x.y.z", b"bearer  "):
        for method, path in (("GET", "/auth/me"), ("POST", HOT)):
            answer = await client.request(method, path, headers=[(b"Authorization", token)])
            refused(answer, 401, "NOT_SIGNED_IN")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_header_sent_twice_breaks_nothing(signed_in: httpx.AsyncClient) -> None:
    real = signed_in.headers.pop("Authorization")
    for path, method in (("/auth/me", "GET"), (HOT, "POST")):
        twice = [("Authorization", "Bearer x"), ("Authorization", real), ("X-Request-ID", "a"), ("X-Request-ID", "b")]
        for headers in (twice, twice[::-1]):
            answer = await signed_in.request(method, path, headers=headers)
            assert answer.status_code in (200, 401, 422)
            assert answer.headers.get_list("x-request-id") in (["a"], ["b"])


async def test_a_host_that_is_none_breaks_nothing(client: httpx.AsyncClient) -> None:
    for host in (b"[", b"a b", b"", b"x:99999999", b"\xff"):
        for path in ("/nothing", "/albums", HOT):
            answer = await client.post(path, headers=[(b"Host", host)])
            assert answer.status_code in (401, 404)
            assert answer.json()["error"]["path"] == path


async def test_a_page_of_another_origin_can_read_every_refusal(signed_in: httpx.AsyncClient, house: House) -> None:
    await house.db.execute("ALTER TABLE albums RENAME TO elsewhere")
    for path, status in (("/nothing", 404), ("/albums", 500), ("/photos?limit=0", 422)):
        answer = await signed_in.get(path, headers={"Origin": "https://page.example"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]


# ── what is our fault ──


@pytest.mark.parametrize(("method", "path", "body"), [("GET", "/albums", None), ("POST", "/photos/presigned-url", NEW)])
async def test_a_bug_is_counted_and_says_nothing_of_our_insides(
    signed_in: httpx.AsyncClient, house: House, log: list[Any], method: str, path: str, body: Any
) -> None:
    """The bug here: code and database no longer agree."""
    await house.db.execute("ALTER TABLE albums RENAME TO elsewhere")
    answer = await signed_in.request(method, path, json=body)
    refused(answer, 500, "INTERNAL_ERROR")
    for word in ("albums a", "elsewhere", "relation", "SELECT", "asyncpg", "Undefined", "Traceback", ".py", "owner_id"):
        assert word not in answer.text
    assert counted(house, "photo_api_exceptions_total") == 1
    assert [line["path"] for line in log if line["event"] == "unexpected_exception"] == [path]
    labels = {"method": method, "handler": path, "status": "500"}
    assert counted(house, "http_requests_total", **labels) == 1
    await house.db.execute("ALTER TABLE elsewhere RENAME TO albums")
    assert (await signed_in.request(method, path, json=body)).status_code == 200
    assert counted(house, "photo_api_exceptions_total") == 1


async def test_an_answer_of_ours_that_is_not_valid_is_our_fault(signed_in: httpx.AsyncClient, house: House) -> None:
    """And not the caller's: no 422 for what they sent rightly."""
    await house.db.execute("ALTER TABLE albums ALTER title DROP NOT NULL")
    await house.db.execute("UPDATE albums SET title = NULL")
    refused(await signed_in.get("/albums"), 500, "INTERNAL_ERROR")
    assert counted(house, "photo_api_exceptions_total") == 1


async def test_storage_down_is_said_and_counted_and_changes_nothing(signed_in: httpx.AsyncClient, house: House) -> None:
    issued = await issue(signed_in)
    await put(signed_in, issued)
    photos = house.photos
    away = replace(photos.uploads, storage=Flaky(photos.uploads.storage, fails=2))
    house.photos = replace(photos, uploads=away)
    photo_id = {"photo_id": issued["photo_id"]}
    for asked in range(1, 3):
        error = refused(await signed_in.post(HOT, json=photo_id), 500, "STORAGE_UNAVAILABLE")
        assert "made to fail" not in str(error)
        assert counted(house, "photo_api_photo_upload_confirm_total", result="failure") == asked
        upload = (await signed_in.get(f"/uploads/{issued['photo_id']}")).json()
        assert (upload["state"], upload["completed_at"]) == ("PENDING", None)
    assert (await signed_in.get("/health")).status_code == 200
    assert (await signed_in.post(HOT, json=photo_id)).status_code == 200
    assert counted(house, "photo_api_photo_upload_confirm_total", result="success") == 1
    assert counted(house, "photo_api_exceptions_total") == 0


async def test_storage_down_in_a_batch_is_said_of_each(signed_in: httpx.AsyncClient, house: House) -> None:
    ids = [(await issue(signed_in))["photo_id"] for _ in range(3)]
    photos = house.photos
    house.photos = replace(photos, uploads=replace(photos.uploads, storage=Flaky(photos.uploads.storage, fails=3)))
    answer = await signed_in.post("/photos/confirm/batch", json={"photo_ids": ids})
    codes = [result["error"]["code"] for result in answer.json()["results"]]
    assert (answer.status_code, codes) == (200, ["STORAGE_UNAVAILABLE"] * 3)


async def test_database_down_is_said_and_counted_and_passes(
    signed_in: httpx.AsyncClient, house: House, postgres: Server, database_url: str, clock: HeldClock
) -> None:
    issued = await issue(signed_in)
    await put(signed_in, issued)
    before = counted(house, "photo_api_db_errors_total")
    name = database_url.partition("@/")[2].partition("?")[0]
    calls = [
        ("GET", "/albums", None),
        ("POST", "/albums", {"title": "x"}),
        ("POST", "/photos/presigned-url", NEW),
        ("POST", HOT, {"photo_id": issued["photo_id"]}),
        ("POST", "/photos/confirm/batch", {"photo_ids": [issued["photo_id"]]}),
        ("GET", "/photos", None),
    ]
    async with taken_away(postgres, name):
        for method, path, body in calls:
            for headers in ({}, {"Idempotency-Key": f"key of {method} {path}"}):
                answer = await signed_in.request(method, path, json=body, headers=headers)
                refused(answer, 500, "DATABASE_UNAVAILABLE")
                assert name not in answer.text
        health = await signed_in.get("/health")
        assert (health.status_code, health.json()) == (503, {"status": "database unavailable"})
        assert (await signed_in.get("/health/live")).status_code == 200
        assert (await signed_in.get("/metrics")).status_code == 200
    assert counted(house, "photo_api_db_errors_total") >= before + 2 * len(calls)
    assert counted(house, "photo_api_exceptions_total") == 0
    assert (await signed_in.get("/health")).json() == {"status": "ok"}
    for method, path, body in calls:
        assert (await signed_in.request(method, path, json=body)).status_code in (200, 201)
    await sign_in(signed_in, "another@example.org")


class taken_away:
    """A database that is not there for a while: its connections are cut, and no new one finds it."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    async def __aenter__(self) -> None:
        admin = await asyncpg.connect(self.server.url("postgres", user="postgres"))
        try:
            await admin.execute(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
            cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1"
            await admin.fetch(cut, self.name)
            await admin.execute(f"ALTER DATABASE {self.name} RENAME TO {self.name}_away")
            await admin.execute(f"ALTER DATABASE {self.name}_away ALLOW_CONNECTIONS true")
        finally:
            await admin.close()

    async def __aexit__(self, *_: object) -> None:
        admin = await asyncpg.connect(self.server.url("postgres", user="postgres"))
        try:
            await admin.execute(f"ALTER DATABASE {self.name}_away RENAME TO {self.name}")
        finally:
            await admin.close()


async def test_many_at_once_each_get_their_own_envelope(signed_in: httpx.AsyncClient) -> None:
    names = [f"request-{number}" for number in range(50)]
    calls = (signed_in.get(f"/nothing/{name}", headers={"X-Request-ID": name}) for name in names)
    for name, answer in zip(names, await asyncio.gather(*calls), strict=True):
        error = refused(answer, 404, "NOT_FOUND")
        assert (error["request_id"], error["path"]) == (name, f"/nothing/{name}")
