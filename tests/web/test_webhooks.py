"""Webhooks over HTTP: what is taken, what is refused, what is shown once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from conftest import HeldClock
from mooring.app import create_app
from web.conftest import settings_for, sign_in

HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture
async def app(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[FastAPI]:
    app = create_app(settings_for(database_url, tmp_path, webhook_networks="127.0.0.0/8"), clock=clock)
    async with app.router.lifespan_context(app):
        yield app


async def created(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/webhooks", json={"url": HOOK, **more})
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_webhook_is_made_listed_and_deleted_and_its_secret_shown_once(signed_in: httpx.AsyncClient) -> None:
    made = await created(signed_in)
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert len(secret) == len("whsec_") + 44
    assert made["scope"] == "own"
    assert made["events"] == [
        "upload.arrived", "upload.completed", "upload.failed", "upload.rejected", "upload.incomplete",
    ]  # fmt: skip
    listed = await signed_in.get("/webhooks")
    assert listed.json() == {"webhooks": [made], "next_cursor": None}
    assert (await signed_in.get(f"/webhooks/{made['id']}")).json() == made
    other = await created(signed_in, events=["upload.failed", "upload.arrived", "upload.failed"])
    assert (other["events"], other["secret"] == secret) == (["upload.arrived", "upload.failed"], False)
    page = (await signed_in.get("/webhooks?limit=1")).json()
    assert ([one["id"] for one in page["webhooks"]], page["next_cursor"]) == ([other["id"]], other["id"])
    page = (await signed_in.get(f"/webhooks?limit=1&cursor={page['next_cursor']}")).json()
    assert [one["id"] for one in page["webhooks"]] == [made["id"]]
    assert (await signed_in.delete(f"/webhooks/{made['id']}")).status_code == 204
    assert code_of(await signed_in.get(f"/webhooks/{made['id']}")) == (404, "WEBHOOK_NOT_FOUND")


async def test_the_same_key_makes_one_webhook_and_shows_its_secret_again(
    app: FastAPI, signed_in: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "one"}
    first, second = [await signed_in.post("/webhooks", json={"url": HOOK}, headers=key) for _ in range(2)]
    assert first.json() == second.json()
    assert len((await signed_in.get("/webhooks")).json()["webhooks"]) == 1
    kept = await app.state.house.db.fetchval("SELECT answer FROM idempotency_keys")
    assert first.json()["secret"].removeprefix("whsec_").encode() not in bytes(kept)


async def test_what_arrives_is_listed_as_a_delivery(app: FastAPI, signed_in: httpx.AsyncClient) -> None:
    from web.test_photos import issue, put

    made = await created(signed_in, events=["upload.arrived"])
    photo = await issue(signed_in)
    await put(signed_in, photo)
    await signed_in.post("/photos/confirm", json={"photo_id": photo["photo_id"]})
    where = f"/webhooks/{made['id']}/deliveries"
    [delivery] = (await signed_in.get(where)).json()["deliveries"]
    assert (delivery["type"], delivery["state"]) == ("upload.arrived", "pending")
    assert (delivery["upload_id"], delivery["attempts"]) == (photo["photo_id"], 0)
    assert (await signed_in.get(f"{where}?state=dead")).json() == {"deliveries": [], "next_cursor": None}
    replay = f"{where}/{delivery['id']}/replay"
    assert code_of(await signed_in.post(replay)) == (409, "DELIVERY_NOT_DEAD")
    await app.state.house.db.execute("UPDATE webhook_deliveries SET state = 'dead'")
    assert (await signed_in.post(replay)).json()["state"] == "pending"
    await sign_in(signed_in, "other@example.org")
    for answer in (await signed_in.get(where), await signed_in.post(replay), await signed_in.delete(where[:11])):
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"url": "https://10.0.0.1/"}, (400, "WEBHOOK_URL_NOT_USABLE")),
        ({"url": "https://localhost:1/"}, (201, "")),  # allowed here
        ({"url": "https://169.254.169.254/latest/meta-data"}, (400, "WEBHOOK_URL_NOT_USABLE")),
        ({"url": "https://you:me@127.0.0.1/"}, (400, "WEBHOOK_URL_NOT_USABLE")),
        ({"url": "ftp://127.0.0.1/"}, (400, "WEBHOOK_URL_NOT_USABLE")),
        ({"url": "https://127.0.0.1/\u0000"}, (400, "WEBHOOK_URL_NOT_USABLE")),
        ({"url": "x" * 2001}, (422, "VALIDATION_FAILED")),
        ({"url": ""}, (422, "VALIDATION_FAILED")),
        ({"url": 7}, (422, "VALIDATION_FAILED")),
        ({}, (422, "VALIDATION_FAILED")),
        ({"url": HOOK, "events": []}, (422, "VALIDATION_FAILED")),
        ({"url": HOOK, "events": ["upload.exploded"]}, (422, "VALIDATION_FAILED")),
        ({"url": HOOK, "events": ["upload.failed"] * 100_000}, (422, "VALIDATION_FAILED")),
        ({"url": HOOK, "events": "upload.failed"}, (422, "VALIDATION_FAILED")),
        ({"url": HOOK, "scope": "all"}, (403, "ADMINS_ONLY")),
        ({"url": HOOK, "scope": "theirs"}, (422, "VALIDATION_FAILED")),
        ({"url": HOOK, "secret": "mine"}, (422, "VALIDATION_FAILED")),
    ],
)
async def test_bad_input_is_refused_and_nothing_is_made(
    signed_in: httpx.AsyncClient, body: Any, refusal: tuple[int, str]
) -> None:
    answer = await signed_in.post("/webhooks", json=body)
    if refusal[0] == 201:
        assert answer.status_code == 201
        return
    assert code_of(answer) == refusal
    assert (await signed_in.get("/webhooks")).json()["webhooks"] == []


async def test_the_21st_is_refused(signed_in: httpx.AsyncClient) -> None:
    for _ in range(20):
        await created(signed_in)
    assert code_of(await signed_in.post("/webhooks", json={"url": HOOK})) == (409, "TOO_MANY_WEBHOOKS")


async def test_an_administrator_makes_one_for_everybodys_uploads(app: FastAPI, signed_in: httpx.AsyncClient) -> None:
    await app.state.house.db.execute("UPDATE users SET role = 'admin'")
    await sign_in(signed_in, "owner@example.org")
    assert (await created(signed_in, scope="all"))["scope"] == "all"
