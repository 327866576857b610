"""Health, metrics, logs: what those who run the house look at."""

import asyncio
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from conftest import HeldClock
from mooring import __version__
from mooring.app import create_app
from mooring.observe.logs import Lines, configure_logs
from web.conftest import sign_in
from web.test_photos import BODY, NEW, issue, put, refused

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(client: httpx.AsyncClient) -> Samples:
    """As Prometheus reads it."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def handlers(samples: Samples) -> set[str]:
    return {dict(labels)["handler"] for name, labels in samples if name == "http_requests_total"}


# ── health ──


async def test_health_says_whether_requests_are_welcome(client: httpx.AsyncClient, app: FastAPI) -> None:
    health = await client.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert value(await scraped(client), "photo_api_ready") == 1
    app.state.house.drain()
    health = await client.get("/health")
    assert (health.status_code, health.json()) == (503, {"status": "draining"})
    live = await client.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert value(await scraped(client), "photo_api_ready") == 0


async def test_while_draining_requests_are_still_answered(signed_in: httpx.AsyncClient, app: FastAPI) -> None:
    app.state.house.drain()
    issued = await issue(signed_in)
    assert (await put(signed_in, issued)).status_code == 200
    assert (await signed_in.post("/photos/confirm", json={"photo_id": issued["photo_id"]})).status_code == 200


# ── metrics ──


async def test_the_scrape_says_who_this_is(client: httpx.AsyncClient) -> None:
    [labels] = [dict(labels) for name, labels in await scraped(client) if name == "photo_api_app_info"]
    assert labels.pop("node")
    assert labels == {"app": "mooring", "version": __version__, "environment": "dev"}


async def test_requests_are_counted_by_route_and_never_by_address(signed_in: httpx.AsyncClient) -> None:
    before = await scraped(signed_in)
    calls = [
        ("GET", "/photos/1", "/photos/{photo_id}", 404),
        ("GET", "/photos/2?x=1", "/photos/{photo_id}", 404),
        ("DELETE", "/photos/3", "/photos/{photo_id}", 404),
        ("PUT", "/photos/4", "/photos/{photo_id}", 405),
        ("GET", "/uploads/5/history", "/uploads/{upload_id}/history", 404),
        ("GET", "/albums", "/albums", 200),
        ("POST", "/photos/presigned-url", "/photos/presigned-url", 422),
        ("POST", "/photos/confirm", "/photos/confirm", 422),
        ("GET", "/storage/made/up", "/storage/{key:path}", 403),
        ("GET", "/nothing/1", "none", 404),
        ("GET", "/nothing/2", "none", 404),
        ("BREW", "/nothing/3", "none", 404),
        ("STEEP", "/albums", "/albums", 405),
    ]
    for method, path, _, status in calls:
        assert (await signed_in.request(method, path)).status_code == status, path
    after = await scraped(signed_in)
    for labels in {(_method(method), handler, str(status)) for method, _, handler, status in calls}:
        expected = [labels for method, _, handler, status in calls if (_method(method), handler, str(status)) == labels]
        named = dict(zip(("method", "handler", "status"), labels, strict=True))
        for metric in ("http_requests_total", "http_request_duration_seconds_count"):
            assert value(after, metric, **named) - value(before, metric, **named) == len(expected), (metric, named)
    assert requests(after) - requests(before) == len(calls) + 1  # the scrape before is seen only now
    assert not [one for one in handlers(after) if re.search(r"\d|nothing|made", one)]


def requests(samples: Samples) -> float:
    return sum(number for (name, _), number in samples.items() if name == "http_requests_total")


def _method(method: str) -> str:
    return "OTHER" if method in ("BREW", "STEEP") else method


async def test_made_up_addresses_and_methods_make_no_new_series(client: httpx.AsyncClient) -> None:
    await client.request("BREW", "/pot/0")
    series = len(await scraped(client))
    series = len(await scraped(client))  # the scrape's own series is there now
    for number in range(20):
        refused(await client.request(f"BREW{number}", f"/pot/{number}"), 404, "NOT_FOUND")
    assert len(await scraped(client)) == series


async def test_times_fall_into_the_guides_buckets(client: httpx.AsyncClient) -> None:
    await client.get("/health")
    samples = await scraped(client)
    labels = {"method": "GET", "handler": "/health", "status": "200"}
    bounds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]
    found = [value(samples, "http_request_duration_seconds_bucket", le=bound, **labels) for bound in bounds]
    assert found == sorted(found)
    assert found[-1] == 1
    in_all = [dict(one)["le"] for name, one in samples if name == "http_request_duration_seconds_bucket"]
    assert set(in_all) == set(bounds)


async def test_urls_and_confirms_are_counted_by_how_they_ended(signed_in: httpx.AsyncClient) -> None:
    first = await issue(signed_in)
    await signed_in.post("/photos/presigned-url", json={**NEW, "album_id": 99})
    file = {name: value for name, value in NEW.items() if name != "album_id"}
    await signed_in.post("/photos/presigned-url/batch", json={"album_id": 1, "files": [file] * 5})
    await signed_in.post("/photos/presigned-url/batch", json={"album_id": 99, "files": [file] * 3})
    await signed_in.post("/photos/confirm", json={"photo_id": first["photo_id"]})
    await put(signed_in, first)
    await signed_in.post("/photos/confirm", json={"photo_id": first["photo_id"]})
    await signed_in.post("/photos/confirm/batch", json={"photo_ids": [first["photo_id"], 999]})
    samples = await scraped(signed_in)
    urls = "photo_api_presigned_url_generation_total"
    assert (value(samples, urls, result="success"), value(samples, urls, result="failure")) == (6, 4)
    confirms = "photo_api_photo_upload_confirm_total"
    assert (value(samples, confirms, result="success"), value(samples, confirms, result="failure")) == (2, 2)
    uploads = "photo_api_photo_upload_total"
    assert value(samples, uploads, upload_method="presigned", result="success") == 2
    assert value(samples, uploads, upload_method="presigned", result="failure") == 2
    size = "photo_api_photo_upload_file_size_bytes"
    assert value(samples, f"{size}_count", upload_method="presigned") == 6
    assert value(samples, f"{size}_sum", upload_method="presigned") == 6 * len(BODY)


async def test_the_gauge_of_the_incomplete_is_the_databases_count(
    signed_in: httpx.AsyncClient, app: FastAPI, clock: HeldClock
) -> None:
    house = app.state.house
    await issue(signed_in)
    clock.forward(minutes=16)
    await house.gauges.refresh()
    assert value(await scraped(signed_in), "photo_api_temp_upload_incomplete_after_ttl") == 1


async def test_two_houses_count_for_themselves(app: FastAPI, client: httpx.AsyncClient, database_url: str) -> None:
    other = create_app(app.state.house.settings)
    await client.get("/health")
    async with other.router.lifespan_context(other):
        assert b'handler="/health"' not in other.state.house.metrics.text()


# ── the request's name ──


async def test_a_sane_name_is_echoed(client: httpx.AsyncClient) -> None:
    for name in ("a", "A-z_0.9", "0b5a5a3e-5f3b-4d5a-9b1e-1f2a3b4c5d6e", "x" * 64):
        for path in ("/health/live", "/nothing", "/photos/confirm"):
            answer = await client.post(path, headers={"X-Request-ID": name})
            assert answer.headers.get_list("x-request-id") == [name]
            assert answer.json()["error"]["request_id"] == name


async def test_another_one_is_replaced(client: httpx.AsyncClient) -> None:
    seen = set()
    for name in (b"", b"x" * 65, b"a b", b'a"b', b"<script>", b"a\r\nb", b"\xff", b"{}", "이름".encode()):
        answer = await client.get("/health/live", headers=[(b"X-Request-ID", name)])
        [given] = answer.headers.get_list("x-request-id")
        assert re.fullmatch(r"[0-9a-f]{12}-\d+", given)
        seen.add(given)
    assert len(seen) == 9, "no name is given twice"


# ── logs ──


class Log(io.BytesIO):
    """What the process would write, as it would write it, without waiting for its turn."""

    lines: Lines

    def getvalue(self) -> bytes:
        self.lines.flush()
        return super().getvalue()


@pytest.fixture
def log() -> Iterator[Log]:
    stream = Log()
    before = structlog.get_config()
    stream.lines = configure_logs("info", stream)
    structlog.configure(cache_logger_on_first_use=False)  # or the loggers keep this stream after the test
    yield stream
    structlog.configure(**before)


async def lines(log: io.BytesIO, event: str | None = None) -> list[dict[str, Any]]:
    await asyncio.sleep(0)  # a line may wait for the end of the turn it was logged in
    written = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in written if event in (None, line["event"])]


async def test_issue_and_confirm_write_their_lines(signed_in: httpx.AsyncClient, log: io.BytesIO) -> None:
    named = await signed_in.post("/photos/presigned-url", json=NEW, headers={"X-Request-ID": "first"})
    issued = named.json()
    [line] = await lines(log, "photo_presigned")
    assert {**line, "at": ""} == {
        "event": "photo_presigned", "level": "info", "at": "", "request_id": "first",
        "upload_id": issued["photo_id"], "user_id": 1,
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", line["at"])
    photo_id = {"photo_id": issued["photo_id"]}
    await signed_in.post("/photos/confirm", json=photo_id, headers={"X-Request-ID": "too-soon"})
    await put(signed_in, issued)
    await signed_in.post("/photos/confirm", json=photo_id, headers={"X-Request-ID": "second"})
    failed, done = await lines(log, "photo_upload_confirm")
    assert (failed["request_id"], failed["result"], failed["upload_id"]) == ("too-soon", "failure", issued["photo_id"])
    assert "not in storage yet" in failed["why"]
    assert (done["request_id"], done["result"], done["user_id"]) == ("second", "success", 1)


async def test_every_line_of_a_batch_has_the_batches_name(signed_in: httpx.AsyncClient, log: io.BytesIO) -> None:
    file = {name: value for name, value in NEW.items() if name != "album_id"}
    batch = {"album_id": 1, "files": [file] * 3}
    answer = await signed_in.post("/photos/presigned-url/batch", json=batch, headers={"X-Request-ID": "batch"})
    ids = [photo["photo_id"] for photo in answer.json()["photos"]]
    await signed_in.post("/photos/confirm/batch", json={"photo_ids": ids}, headers={"X-Request-ID": "confirms"})
    assert [line["upload_id"] for line in await lines(log, "photo_presigned")] == ids
    assert {line["request_id"] for line in await lines(log, "photo_presigned")} == {"batch"}
    assert sorted(line["upload_id"] for line in await lines(log, "photo_upload_confirm")) == ids
    assert {line["request_id"] for line in await lines(log, "photo_upload_confirm")} == {"confirms"}


async def test_no_line_holds_a_secret(client: httpx.AsyncClient, app: FastAPI, log: io.BytesIO) -> None:
    """Through a whole life, its refusals, and a bug."""
    await sign_in(client, "owner@example.org")
    await client.post("/albums", json={"title": "Summer"})
    who = {"email": "owner@example.org", "password": "wrong horse battery"}
    await client.post("/auth/login", json=who)
    await client.post("/auth/login", json={**who, "password": ["wrong horse battery"]})
    tokens = (await client.post("/auth/login", json={**who, "password": "correct horse battery"})).json()
    await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    issued = await issue(client)
    await put(client, issued, BODY + b"!")
    await put(client, issued)
    await put(client, issued)
    confirmed = (await client.post("/photos/confirm", json={"photo_id": issued["photo_id"]})).json()
    await client.get(confirmed["url"])
    await client.get(confirmed["url"] + "0")
    await app.state.house.db.execute("ALTER TABLE albums RENAME TO elsewhere")
    await client.get("/albums", params={"token": tokens["access_token"]})
    await client.post("/photos/presigned-url", json=NEW)
    assert len(await lines(log, "unexpected_exception")) == 2
    assert {"photo_presigned", "photo_upload_confirm"} <= {line["event"] for line in await lines(log)}
    written = log.getvalue().decode()
    secrets = ["horse battery", "a secret of the tests", tokens["access_token"], tokens["refresh_token"]]
    secrets += [client.headers["Authorization"].removeprefix("Bearer "), "$argon2", "signature="]
    assert [secret for secret in secrets if secret in written] == []
    assert "Traceback" in written, "those who run the house are told in full"
    assert all({"event", "level", "at"} <= set(line) for line in await lines(log))


async def test_a_balancer_may_ask_for_health_by_head(client: httpx.AsyncClient) -> None:
    answer = await client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
