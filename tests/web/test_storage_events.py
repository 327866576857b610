"""`POST /events/storage`: who may tell, what is made of it, and that none of it is believed."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from conftest import HeldClock
from flaky import Flaky
from mooring.app import create_app
from mooring.errors import DatabaseUnavailable
from mooring.uploads.storage_events import StorageEvents
from web.conftest import settings_for, sign_in

SECRET = "storage's own secret"
TELLING = {"Authorization": f"Bearer {SECRET}"}
BODY = b"\xff\xd8\xff and so on"


@pytest.fixture
async def app(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[FastAPI]:
    """Where storage may tell. Its own disk is silent: what is told is told by the tests."""
    settings = settings_for(database_url, tmp_path, events_secret=SecretStr(SECRET), triggers=["client", "event"])
    app = create_app(settings, clock=clock)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(autouse=True)
def silent_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mooring.uploads.storage_events.Doorbell.ring", lambda *_: None)


def record(key: str, name: str = "ObjectCreated:Put", at: str = "2030-01-02T03:04:05Z") -> dict[str, Any]:
    return {"eventName": name, "eventTime": at, "s3": {"bucket": {"name": "photos"}, "object": {"key": key}}}


async def issue(client: httpx.AsyncClient, **claim: Any) -> dict[str, Any]:
    asked = {"album_id": 1, "filename": "a.jpg", "content_type": "image/jpeg", "file_size": len(BODY)} | claim
    issued: dict[str, Any] = (await client.post("/photos/presigned-url", json=asked)).json()
    return issued


async def uploaded(client: httpx.AsyncClient, **claim: Any) -> dict[str, Any]:
    issued = await issue(client, **claim)
    put = await client.put(issued["upload_url"], content=BODY, headers=issued["upload_headers"])
    assert put.status_code == 200
    return issued


async def tell(client: httpx.AsyncClient, said: object, headers: dict[str, str] = TELLING) -> httpx.Response:
    return await client.post("/events/storage", content=json.dumps(said), headers=headers)


async def state(client: httpx.AsyncClient, issued: dict[str, Any]) -> str:
    return str((await client.get(f"/uploads/{issued['photo_id']}")).json()["state"])


def counted(app: FastAPI, name: str, **labels: str) -> float:
    return app.state.house.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_what_storage_tells_arrives_once_however_often_it_is_told(
    app: FastAPI, signed_in: httpx.AsyncClient, clock: HeldClock
) -> None:
    issued = await uploaded(signed_in)
    clock.forward(seconds=3)
    once = await tell(signed_in, {"Records": [record(issued["object_key"]), record(issued["object_key"])]})
    again = await tell(signed_in, record(issued["object_key"]))
    assert (once.status_code, again.status_code) == (200, 200)
    assert once.json() == {
        "received": 2, "arrived": 1, "repeated": 1, "unknown": 0, "ignored": 0, "rejected": 0, "unreadable": [],
    }  # fmt: skip
    assert (again.json()["arrived"], again.json()["repeated"]) == (0, 1)
    assert await state(signed_in, issued) == "UPLOADED"
    story = (await signed_in.get(f"/uploads/{issued['photo_id']}/history")).json()["events"]
    assert [(one["what"], one["trigger"]) for one in story] == [("issued", "client"), ("arrived", "event")]
    assert counted(app, "photo_api_upload_arrivals_total", trigger="event") == 1
    assert counted(app, "photo_api_upload_arrival_lag_seconds_sum", trigger="event") == 3
    assert counted(app, "photo_api_storage_events_total", result="repeated") == 2


async def test_a_confirm_before_or_after_the_event_is_the_same_arrival(
    app: FastAPI, signed_in: httpx.AsyncClient
) -> None:
    first, second = await uploaded(signed_in), await uploaded(signed_in)
    assert (await signed_in.post("/photos/confirm", json={"photo_id": first["photo_id"]})).status_code == 200
    assert (await tell(signed_in, [record(one["object_key"]) for one in (first, second)])).json()["arrived"] == 1
    assert (await signed_in.post("/photos/confirm", json={"photo_id": second["photo_id"]})).status_code == 200
    assert counted(app, "photo_api_upload_arrivals_total", trigger="client") == 1
    assert counted(app, "photo_api_upload_arrivals_total", trigger="event") == 1


async def test_keys_are_found_raw_and_encoded(signed_in: httpx.AsyncClient) -> None:
    raw, encoded, odd = [(await uploaded(signed_in, filename="한글 이름+1%.jpg"))["object_key"] for _ in range(3)]
    oddly = odd[:-4] + "%2Ejpg"
    told = await tell(signed_in, [record(raw), record(quote_plus(encoded)), record(oddly)])
    assert told.json()["arrived"] == 3


async def test_without_the_secret_nobody_is_heard(signed_in: httpx.AsyncClient) -> None:
    """A signed-in user's own token is no secret of storage's either."""
    issued = await uploaded(signed_in)
    for given in (
        signed_in.headers["Authorization"],
        "",
        SECRET,
        "Bearer",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        "Basic §§",
        "Basic " + b64encode(f"{SECRET}:".encode()).decode(),
    ):
        headers = httpx.Headers({"Authorization": given}, encoding="latin-1")
        told = await signed_in.post("/events/storage", json=record(issued["object_key"]), headers=headers)
        assert (told.status_code, told.json()["error"]["code"]) == (401, "EVENTS_SECRET_REQUIRED"), given
        assert told.headers["www-authenticate"] == "Bearer"
    assert await state(signed_in, issued) == "PENDING"


async def test_a_storage_that_has_only_an_address_puts_the_secret_there(signed_in: httpx.AsyncClient) -> None:
    issued = await uploaded(signed_in)
    basic = {"Authorization": "Basic " + b64encode(f"ceph:{SECRET}".encode()).decode()}
    assert (await tell(signed_in, record(issued["object_key"]), basic)).json()["arrived"] == 1


@pytest.mark.parametrize("more", [{"triggers": ["client", "sweep"]}, {"events_secret": None, "triggers": ["event"]}])
async def test_switched_off_it_says_so(
    database_url: str, tmp_path: Path, clock: HeldClock, more: dict[str, Any]
) -> None:
    settings = settings_for(database_url, tmp_path, **{"events_secret": SecretStr(SECRET), **more})
    app = create_app(settings, clock=clock)
    async with app.router.lifespan_context(app):
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")
        async with http:
            told = await tell(http, record("photos/x"))
    assert (told.status_code, told.json()["error"]["code"]) == (403, "TRIGGER_OFF")


async def test_with_the_client_switched_off_a_confirm_says_so(
    database_url: str, tmp_path: Path, clock: HeldClock
) -> None:
    app = create_app(settings_for(database_url, tmp_path, triggers=["event"]), clock=clock)
    async with app.router.lifespan_context(app):
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")
        async with http:
            await sign_in(http, "owner@example.org")
            await http.post("/albums", json={"title": "Summer"})
            issued = await issue(http)
            one = await http.post("/photos/confirm", json={"photo_id": issued["photo_id"]})
            many = await http.post("/photos/confirm/batch", json={"photo_ids": [issued["photo_id"]]})
    assert (one.status_code, one.json()["error"]["code"]) == (403, "TRIGGER_OFF")
    assert many.json()["results"][0]["error"]["code"] == "TRIGGER_OFF"


async def test_of_a_thousand_records_a_broken_one_is_named_and_the_others_count(signed_in: httpx.AsyncClient) -> None:
    issued = [await uploaded(signed_in) for _ in range(3)]
    records: list[Any] = [record(f"photos/somebody-elses-{number}.jpg") for number in range(999)]
    records[100], records[500], records[998] = (record(one["object_key"]) for one in issued)
    records.insert(700, {"s3": {"object": {}}, "eventName": "ObjectCreated:Put"})
    told = (await tell(signed_in, {"Records": records})).json()
    assert (told["received"], told["arrived"], told["unknown"]) == (1000, 3, 996)
    assert told["unreadable"] == [{"record": "Records[700]", "reason": "its key is missing"}]
    assert {await state(signed_in, one) for one in issued} == {"UPLOADED"}


async def test_nothing_is_believed_without_a_look(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    """No object, other bytes, a deletion's event, an upload that is gone, and names that are none."""
    absent, longer, kept, deleted = [await issue(signed_in) for _ in range(4)]

    async def more_than_declared() -> AsyncIterator[bytes]:
        yield BODY + b"!"

    await app.state.house.storage.write(longer["object_key"], more_than_declared(), content_type="image/jpeg")
    for one in (kept, deleted):
        await signed_in.put(one["upload_url"], content=BODY, headers=one["upload_headers"])
    assert (await signed_in.delete(f"/photos/{deleted['photo_id']}")).status_code == 204
    uuid = absent["object_key"][7:43]
    told = await tell(
        signed_in,
        [
            record(absent["object_key"]),
            record(longer["object_key"]),
            record(kept["object_key"], "ObjectRemoved:Delete"),
            record(deleted["object_key"]),
            *(record(name) for name in (f"photos/{uuid}_\0", f"photos/{uuid}_\x7f", "../" * 99, "é" * 999, "photos/")),
        ],
    )
    assert told.json() == {
        "received": 9, "arrived": 0, "repeated": 0, "unknown": 7, "ignored": 1, "rejected": 1, "unreadable": [],
    }  # fmt: skip
    assert await state(signed_in, absent) == "PENDING"
    assert await state(signed_in, longer) == "REJECTED"
    assert await state(signed_in, kept) == "PENDING"


async def test_what_is_no_event_is_a_clear_sentence(client: httpx.AsyncClient) -> None:
    for body, status, code in (
        (b"x" * 10_000_000, 413, "BODY_TOO_LARGE"),
        (b"{", 422, "EVENTS_NOT_READABLE"),
        (b"\xff\xfe", 422, "EVENTS_NOT_READABLE"),
        (b'{"hello": "world"}', 422, "EVENTS_NOT_READABLE"),
        (b"[" * 50_000, 422, "EVENTS_NOT_READABLE"),
    ):
        told = await client.post("/events/storage", content=body, headers=TELLING)
        assert (told.status_code, told.json()["error"]["code"]) == (status, code), body[:20]


@pytest.mark.parametrize("fault", ["storage", "database"])
async def test_who_can_not_tell_asks_to_be_told_again_and_keeps_what_arrived(
    app: FastAPI, signed_in: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    house = app.state.house
    issued = [await uploaded(signed_in) for _ in range(3)]
    told = [record(one["object_key"]) for one in issued]
    if fault == "storage":
        events = StorageEvents(replace(house.uploads, storage=Flaky(house.storage, fails=1)), house.metrics)
    else:
        uploads = replace(house.uploads)
        finds, calls = uploads.find_named, iter(range(9))

        async def stumbling(names: Any) -> Any:
            if next(calls) == 1:
                raise DatabaseUnavailable("made to fail")
            return await finds(names)

        monkeypatch.setattr(type(uploads), "find_named", lambda _, names: stumbling(names))
        events = StorageEvents(uploads, house.metrics)
    monkeypatch.setattr(house, "storage_events", events)
    refused = await tell(signed_in, told)
    assert (refused.status_code, refused.json()["error"]["code"]) == (500, f"{fault.upper()}_UNAVAILABLE")
    assert sorted([await state(signed_in, one) for one in issued]) == ["PENDING", "UPLOADED", "UPLOADED"]
    again = (await tell(signed_in, told)).json()
    assert (again["arrived"], again["repeated"]) == (1, 2)
    assert counted(app, "photo_api_storage_events_total", result="failed") == 1


async def test_many_senders_at_once_are_one_arrival_each(app: FastAPI, signed_in: httpx.AsyncClient) -> None:
    issued = [await uploaded(signed_in) for _ in range(5)]
    told = [record(one["object_key"]) for one in issued]
    answers = await asyncio.gather(*(tell(signed_in, told) for _ in range(8)))
    assert sum(answer.json()["arrived"] for answer in answers) == 5
    assert counted(app, "photo_api_upload_arrivals_total", trigger="event") == 5
    jobs = await app.state.house.db.fetchval("SELECT count(*) FROM pgqueuer")
    assert jobs == 5
