"""The disk store tells of what came, as a bucket does with its events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from conftest import HeldClock
from mooring.app import create_app
from mooring.errors import StorageUnavailable
from mooring.storage.port import Part
from mooring.uploads.storage_events import Doorbell, StorageEvents
from web.conftest import settings_for
from web.test_storage_events import BODY, counted, issue, state, uploaded
from world import once


@pytest.fixture
async def app(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[FastAPI]:
    app = create_app(settings_for(database_url, tmp_path, triggers=["client", "event"]), clock=clock)
    async with app.router.lifespan_context(app):
        yield app


async def until(look: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await look():
            await asyncio.sleep(0)


async def test_a_client_that_dies_after_its_put_needs_no_call_of_its_own(
    app: FastAPI, signed_in: httpx.AsyncClient
) -> None:
    issued = await uploaded(signed_in)

    async def is_here() -> bool:
        return await state(signed_in, issued) == "UPLOADED"

    await until(is_here)
    story = (await signed_in.get(f"/uploads/{issued['photo_id']}/history")).json()["events"]
    assert [(one["what"], one["trigger"]) for one in story] == [("issued", "client"), ("arrived", "event")]
    assert (await signed_in.post("/photos/confirm", json={"photo_id": issued["photo_id"]})).status_code == 200
    assert counted(app, "photo_api_upload_arrivals_total", trigger="event") == 1


async def test_parts_that_were_joined_are_told_of_too(app: FastAPI, signed_in: httpx.AsyncClient) -> None:
    disk, issued = app.state.house.disk, await issue(signed_in)
    key = issued["object_key"]
    multipart = await disk.begin_multipart(key, content_type="image/jpeg")
    at = app.state.house.clock()
    put = disk.presign_part(
        key, multipart, 1, length=len(BODY), at=at, lapses_in=app.state.house.settings.upload_url_life
    )
    sent = await signed_in.put(put.url, content=BODY, headers=put.headers)
    assert await state(signed_in, issued) == "PENDING"
    assert app.state.house.doorbell.is_silent  # a part is no object
    await disk.complete_multipart(key, multipart, [Part(1, len(BODY), sent.headers["etag"].strip('"'))])

    async def is_here() -> bool:
        return await state(signed_in, issued) == "UPLOADED"

    await until(is_here)


async def test_what_comes_through_us_is_not_told_of(app: FastAPI, signed_in: httpx.AsyncClient) -> None:
    """Its arrival is part of its own transaction."""
    await app.state.house.disk.write("photos/ours", once(BODY), content_type="image/jpeg")
    assert app.state.house.doorbell.is_silent


async def test_a_trouble_with_the_event_is_none_of_the_puts(
    app: FastAPI, signed_in: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()

    async def stumble(*_: Any, **__: Any) -> None:
        failed.set()
        raise StorageUnavailable("made to fail")

    with monkeypatch.context() as patched:
        patched.setattr(StorageEvents, "take", stumble)
        lost = await uploaded(signed_in)
        await failed.wait()
    assert await state(signed_in, lost) == "PENDING"
    assert (await signed_in.post("/photos/confirm", json={"photo_id": lost["photo_id"]})).status_code == 200
    heard = await uploaded(signed_in)

    async def is_here() -> bool:
        return await state(signed_in, heard) == "UPLOADED"

    await until(is_here)


def test_a_bell_that_nobody_answers_holds_no_more_than_its_share() -> None:
    bell = Doorbell(most=2)
    for number in range(5):
        bell.ring(f"photos/{number}")
    assert not bell.is_silent
