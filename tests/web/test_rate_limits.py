"""So many requests from one address, one more is refused; counted here, or by several processes in one Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mooring.app import Application, create_app
from mooring.web import shared_windows
from servers.redis import Redis
from web.conftest import settings_for, sign_in
from web.test_photos import NEW, issue, put, refused

READ = "/auth/me"


@asynccontextmanager
async def serving(
    database_url: str, tmp_path: Path, **settings: Any
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    app = create_app(settings_for(database_url, tmp_path, **settings))
    async with app.router.lifespan_context(app), asked_from(app, "203.0.113.9") as client:
        yield app, client


@asynccontextmanager
async def asked_from(app: FastAPI, address: str | None) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=(address, 4711) if address else None)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


async def statuses(client: httpx.AsyncClient, times: int, path: str = READ) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(times)]


def counted(app: FastAPI, name: str, **labels: str) -> float:
    return app.state.house.metrics.registry.get_sample_value(name, labels) or 0


async def test_one_too_many_is_refused_in_the_envelope_and_told_when_to_come_again(
    database_url: str, tmp_path: Path
) -> None:
    async with serving(database_url, tmp_path, rate_limit_read="5/minute") as (app, client):
        assert await statuses(client, 5) == [401] * 5
        answer = await client.get(READ, headers={"Origin": "https://page.example"})
        refused(answer, 429, "TOO_MANY_REQUESTS")
        assert 1 <= int(answer.headers["retry-after"]) <= 120
        assert answer.headers["access-control-allow-origin"] == "*", "a page can read why"
        async with asked_from(app, "203.0.113.10") as neighbour:
            assert await statuses(neighbour, 6) == [401] * 5 + [429]
        requests = "photo_api_rate_limit_requests_total"
        assert counted(app, requests, endpoint="read", status="allowed") == 10
        assert counted(app, requests, endpoint="read", status="blocked") == 2
        hits = counted(app, "photo_api_rate_limit_hits_total", endpoint="read", client_id="203.0.113.0/24")
        assert hits == 2
        assert counted(app, "http_requests_total", method="GET", handler=READ, status="429") == 2
        assert await statuses(client, 1, "/photos/1/image") == [429]
        assert counted(app, "http_requests_total", method="GET", handler="none", status="429") == 1


async def test_refusals_are_counted_where_runbooks_look_for_them(database_url: str, tmp_path: Path) -> None:
    limits = {"rate_limit_auth": "1/minute", "rate_limit_issue": "1/minute"}
    async with serving(database_url, tmp_path, **limits) as (app, client):
        for path in ("/auth/register", "/auth/login", "/photos/presigned-url"):
            for _ in range(2):
                await client.post(path, json={})
            refusals = counted(app, "http_requests_total", method="POST", handler=path, status="429")
            assert refusals == (1 if path != "/auth/login" else 2), path


async def test_each_class_has_a_limit_of_its_own_and_hot_routes_are_in_it(database_url: str, tmp_path: Path) -> None:
    limits = {f"rate_limit_{name}": "2/minute" for name in ("issue", "confirm", "upload", "share", "read", "write")}
    async with serving(database_url, tmp_path, **limits) as (_, client):
        await sign_in(client, "owner@example.org")
        await client.post("/albums", json={"title": "Summer"})
        calls: list[tuple[str, str, Any]] = [
            ("POST", "/photos/presigned-url", NEW),
            ("POST", "/photos/confirm", {"photo_id": 1}),
            ("POST", "/photos/", None),
            ("GET", "/share/some-token", None),
            ("GET", "/photos", None),
        ]
        for method, path, body in calls:
            seen = [(await client.request(method, path, json=body)).status_code for _ in range(3)]
            assert 429 not in seen[:2], path
            assert seen[2] == 429, path
        assert [(await client.patch("/photos/1", json={})).status_code for _ in range(2)] == [200, 429]


async def test_health_and_metrics_are_never_limited(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path, rate_limit_read="1/hour") as (_, client):
        for path in ("/health", "/health/live", "/metrics"):
            assert await statuses(client, 20, path) == [200] * 20


async def test_limits_can_be_off(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_RATE_LIMITS", "off")
    async with serving(database_url, tmp_path, rate_limit_read="1/hour") as (_, client):
        assert await statuses(client, 10) == [401] * 10


async def test_a_caller_without_an_address_is_limited_too(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path, rate_limit_read="2/hour") as (app, _), asked_from(app, None) as client:
        assert await statuses(client, 3) == [401, 401, 429]


async def test_a_flood_from_everywhere_makes_few_series(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path, rate_limit_read="1/hour") as (app, _):
        for number in range(150):
            async with asked_from(app, f"203.0.{number}.1") as client:
                assert await statuses(client, 2) == [401, 429]
        hits = "photo_api_rate_limit_hits_total{"
        lines = [line for line in app.state.house.metrics.text().decode().splitlines() if line.startswith(hits)]
        assert len(lines) == 101
        assert counted(app, "photo_api_rate_limit_hits_total", endpoint="read", client_id="other") == 50


async def test_the_defaults_let_a_person_drop_a_thousand_photos_at_once(signed_in: httpx.AsyncClient) -> None:
    async def one(number: int) -> int:
        issued = await issue(signed_in, filename=f"{number}.jpg")
        assert (await put(signed_in, issued)).status_code == 200
        return (await signed_in.post("/photos/confirm", json={"photo_id": issued["photo_id"]})).status_code

    answers: set[int] = set()
    for start in range(0, 1000, 50):
        answers |= set(await asyncio.gather(*(one(number) for number in range(start, start + 50))))
    assert answers == {200}


# ── who is under way ──


async def test_requests_under_way_of_the_signed_in_are_counted(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    metrics = app.state.house.metrics
    seen: list[float] = []

    async def looking(**_: Any) -> list[Any]:
        seen.append(counted(app, "photo_api_active_sessions"))
        return []

    page, app.state.house.photos = app.state.house.photos, type("Looking", (), {"page": staticmethod(looking)})()
    await signed_in.get("/photos")
    app.state.house.photos = page
    signed_in.headers["Authorization"] = "Bearer none"
    await signed_in.get("/photos")
    assert (seen, metrics.signed_in) == ([1], 0)


async def test_logins_are_timed_by_how_they_end(client: httpx.AsyncClient, app: FastAPI) -> None:
    await sign_in(client, "ada@example.org")
    await client.post("/auth/login", json={"email": "ada@example.org", "password": "something else"})
    for result in ("success", "failure"):
        assert counted(app, "photo_api_login_duration_seconds_count", result=result) == 1


# ── shared by Redis ──


async def test_processes_share_their_counts_in_redis(database_url: str, tmp_path: Path, redis: Redis) -> None:
    shared = {"rate_limit_store": redis.url, "rate_limit_read": "6/minute"}
    async with (
        serving(database_url, tmp_path, **shared) as (_, one),
        serving(database_url, tmp_path, **shared) as (app, other),
    ):
        assert await statuses(one, 4) == [401] * 4
        assert await statuses(other, 4) == [401] * 2 + [429] * 2
        answer = await one.get(READ)
        refused(answer, 429, "TOO_MANY_REQUESTS")
        assert 1 <= int(answer.headers["retry-after"]) <= 120
        assert counted(app, "photo_api_rate_limit_hits_total", endpoint="read", client_id="203.0.113.0/24") == 2


async def test_many_at_once_are_counted_right_by_redis(
    database_url: str, tmp_path: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_windows, "STORE_SECONDS", 30)  # this asks how many, not how soon
    shared = {"rate_limit_store": redis.url, "rate_limit_read": "20/minute"}
    async with serving(database_url, tmp_path, **shared) as (_, client):
        seen = await asyncio.gather(*(client.get(READ) for _ in range(100)))
        assert sum(answer.status_code == 401 for answer in seen) == 20


async def test_a_redis_that_goes_away_takes_nothing_down(
    database_url: str, tmp_path: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile each process counts alone; when Redis is back, together again."""
    shared = {"rate_limit_store": redis.url, "rate_limit_read": "3/minute"}
    async with serving(database_url, tmp_path, **shared) as (app, client):
        assert await statuses(client, 2) == [401] * 2
        redis.stop()
        assert await statuses(client, 4) == [401] * 3 + [429]
        errors = "photo_api_rate_limit_store_errors_total"
        assert counted(app, errors) == 1, "it is not asked again at once"
        assert (await client.get("/health")).status_code == 200
        redis.start()
        assert isinstance(app, Application)
        assert app.limits is not None
        assert app.limits.shared is not None
        app.limits.shared._away_until = 0
        assert await statuses(client, 4) == [401] * 3 + [429], "it starts anew: that Redis kept nothing"
        assert counted(app, errors) == 1


async def test_a_redis_that_was_never_there_takes_nothing_down(database_url: str, tmp_path: Path) -> None:
    nobody = {"rate_limit_store": "redis://127.0.0.1:1/0", "rate_limit_read": "3/minute"}
    async with serving(database_url, tmp_path, **nobody) as (app, client):
        assert await statuses(client, 4) == [401] * 3 + [429]
        assert counted(app, "photo_api_rate_limit_store_errors_total") == 1


async def test_a_redis_that_does_not_answer_costs_a_moment_once(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_windows, "STORE_SECONDS", 0.05)
    held = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    mute = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{mute.sockets[0].getsockname()[1]}/0"
    try:
        async with serving(database_url, tmp_path, rate_limit_store=url, rate_limit_read="3/minute") as (app, client):
            crowd = await asyncio.gather(*(client.get(READ) for _ in range(100)))
            assert sum(answer.status_code == 401 for answer in crowd) == 3
            assert counted(app, "photo_api_rate_limit_store_errors_total") == 1
    finally:
        held.set()
        mute.close()
        await mute.wait_closed()
