"""Live streams and polling in process: who may, what is refused, how it is counted. Real sockets are in e2e."""

import asyncio
from datetime import datetime
from time import perf_counter
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from conftest import HeldClock
from web.conftest import sign_in
from web.test_photos import issue, put


@pytest.fixture
def ending(app: FastAPI) -> FastAPI:
    """Here an answer is read when it is over: a stream has to end."""
    app.state.house.telling.live.close()
    return app


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def ticket_of(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post("/uploads/stream/ticket")
    assert answer.status_code == 200
    ticket: dict[str, Any] = answer.json()
    return ticket


async def test_a_stream_says_what_it_is_and_ends_by_saying_so(ending: FastAPI, signed_in: httpx.AsyncClient) -> None:
    answer = await signed_in.get("/uploads/stream")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.startswith("retry: 2000\nid: 0-")
    assert answer.text.endswith('event: end\ndata: {"why": "closing"}\n\n')
    assert (await signed_in.head("/uploads/stream")).content == b""
    assert ending.state.house.telling.live.count == 0


async def test_who_is_not_signed_in_hears_nothing(ending: FastAPI, client: httpx.AsyncClient) -> None:
    assert code_of(await client.get("/uploads/stream")) == (401, "NOT_SIGNED_IN")
    assert code_of(await client.get("/uploads/stream?ticket=")) == (401, "NOT_SIGNED_IN")
    assert code_of(await client.post("/uploads/stream/ticket")) == (401, "NOT_SIGNED_IN")


async def test_a_ticket_opens_streams_of_its_owner_until_the_token_ends_and_nothing_else(
    ending: FastAPI, signed_in: httpx.AsyncClient, clock: HeldClock
) -> None:
    ticket = await ticket_of(signed_in)
    assert (datetime.fromisoformat(ticket["expires_at"]) - clock()).total_seconds() == 900
    del signed_in.headers["Authorization"]
    address = f"/uploads/stream?ticket={ticket['ticket']}"
    assert (await signed_in.get(address)).status_code == 200
    assert code_of(await signed_in.get(f"/uploads/1?ticket={ticket['ticket']}")) == (401, "NOT_SIGNED_IN")
    bearer = {"Authorization": f"Bearer {ticket['ticket']}"}
    assert code_of(await signed_in.get("/uploads/stream", headers=bearer)) == (401, "NOT_SIGNED_IN")
    user, rest = ticket["ticket"].split(".", 1)
    for forged in (f"{int(user) + 1}.{rest}", f"{ticket['ticket'][:-1]}x", "1", "x" * 100, "1.1.é"):
        assert code_of(await signed_in.get(f"/uploads/stream?ticket={forged}")) == (401, "NOT_SIGNED_IN")
    clock.forward(seconds=900)
    assert code_of(await signed_in.get(address)) == (401, "NOT_SIGNED_IN")


@pytest.mark.parametrize("id_", ["x", "-1", "1-2-3", "1" * 30, "1;DROP", "%00", "١"])
async def test_a_last_event_that_is_none_is_not_valid(ending: FastAPI, signed_in: httpx.AsyncClient, id_: str) -> None:
    assert code_of(await signed_in.get(f"/uploads/stream?last_event_id={id_}")) == (422, "VALIDATION_FAILED")
    header = {b"Last-Event-ID": id_.encode()}
    assert code_of(await signed_in.get("/uploads/stream", headers=header)) == (422, "VALIDATION_FAILED")


async def test_other_methods_are_not_taken_and_the_address_is_no_upload(signed_in: httpx.AsyncClient) -> None:
    assert code_of(await signed_in.post("/uploads/stream")) == (405, "METHOD_NOT_ALLOWED")
    assert code_of(await signed_in.get("/uploads/stream?surprise=1")) == (422, "VALIDATION_FAILED")


async def test_an_open_stream_is_no_slow_request_and_no_session(app: FastAPI, signed_in: httpx.AsyncClient) -> None:
    metrics, live = app.state.house.metrics, app.state.house.telling.live
    began = perf_counter()
    answering = asyncio.ensure_future(signed_in.get("/uploads/stream"))
    while not live.count:
        await asyncio.sleep(0)
    shown = metrics.registry.get_sample_value
    assert (shown("photo_api_live_streams"), shown("photo_api_active_sessions")) == (1, 0)
    while not any(stream._patience for stream in live.streams["1"]):  # it speaks
        await asyncio.sleep(0)
    is_open = perf_counter()
    while perf_counter() - is_open < 0.1:
        await asyncio.sleep(0)
    live.close()
    assert (await answering).status_code == 200
    stayed_open, all_of_it = perf_counter() - is_open, perf_counter() - began
    assert shown("photo_api_live_streams") == 0
    labels = {"method": "GET", "handler": "/uploads/stream", "status": "200"}
    assert shown("http_requests_total", labels) == 1
    took = shown("http_request_duration_seconds_sum", labels)
    assert took is not None
    assert took < all_of_it - stayed_open + 0.05, "how long it stayed open was taken for a time to answer"


async def test_polling_is_cheap_as_long_as_nothing_changes(signed_in: httpx.AsyncClient) -> None:
    photo = await issue(signed_in)
    first = await signed_in.get(f"/uploads/{photo['photo_id']}")
    etag = {"If-None-Match": first.headers["etag"]}
    again = await signed_in.get(f"/uploads/{photo['photo_id']}", headers=etag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    weak = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}
    assert (await signed_in.get(f"/uploads/{photo['photo_id']}", headers=weak)).status_code == 304
    await put(signed_in, photo)
    await signed_in.post("/photos/confirm", json={"photo_id": photo["photo_id"]})
    changed = await signed_in.get(f"/uploads/{photo['photo_id']}", headers=etag)
    assert (changed.status_code, changed.json()["state"]) == (200, "UPLOADED")
    assert changed.headers["etag"] != first.headers["etag"]
    await sign_in(signed_in, "other@example.org")
    assert (await signed_in.get(f"/uploads/{photo['photo_id']}", headers=etag)).status_code == 404
