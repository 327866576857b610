"""The real app is used for a while, scraped, and each metric held against what was done."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from conftest import HeldClock
from house.test_pages import SHAPES
from mooring.app import create_app
from mooring.errors import StorageUnavailable
from web.conftest import settings_for, sign_in
from web.test_photos import BODY, NEW, issue, put

SIZE = float(len(BODY))
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$", re.M)
LABEL = re.compile(r'(\w+)="([^"]*)"')
Sums = dict[tuple[str, str], float]

# Fed by what no request does; the tests named there hold them against what happened.
ELSEWHERE = {
    "photo_api_processing_duration_seconds": "e2e/test_worker.py",
    "photo_api_processing_jobs_active": "flow/test_jobs.py",
    "photo_api_batch_queue_depth": "web/test_records.py",
    "photo_api_record_presign_duration_seconds": "web/test_records.py",
    "photo_api_record_creation_duration_seconds": "web/test_records.py",
    "photo_api_immediate_processing_total": "web/test_records.py",
    "photo_api_storage_events_total": "web/test_storage_events.py",
    "photo_api_live_streams": "web/test_live.py",
    "photo_api_webhook_deliveries_total": "flow/test_webhooks.py",
    "photo_api_rate_limit_store_errors_total": "web/test_rate_limits.py",
    "photo_api_log_queue_size": "flow/test_shipping.py",
    "photo_api_log_lines_dropped_total": "flow/test_shipping.py",
}


@pytest.fixture
async def app(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[FastAPI]:
    limits = {"rate_limit_write": "8/minute", "metrics_top": 2}
    app = create_app(settings_for(database_url, tmp_path, **limits), clock=clock)
    async with app.router.lifespan_context(app):
        yield app


async def scraped(client: httpx.AsyncClient) -> Sums:
    """By name and labels, as `a=b,c=d`; of histograms the count, and the sum where it is of bytes."""
    text = (await client.get("/metrics")).text
    sums: Sums = defaultdict(float)
    for name, labels, number in SAMPLE.findall(text):
        if not name.endswith("_bucket"):
            sums[name, ",".join(f"{key}={value}" for key, value in LABEL.findall(labels))] = float(number)
    return sums


async def use(client: httpx.AsyncClient, app: FastAPI, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An album, three photos of which one never comes and one is refused, a share link, a guess, a storage that is away
    for a moment, a bug, and somebody who comes too often."""
    house = app.state.house
    await sign_in(client, "owner@example.org")
    await client.post("/auth/login", json={"email": "owner@example.org", "password": "wrong horse battery"})
    await client.post("/albums", json={"title": "Summer"})
    arrives, comes_not, is_other = [await issue(client) for _ in range(3)]
    await client.post("/photos/presigned-url", json={**NEW, "album_id": 99})
    await client.post("/photos/confirm", json={"photo_id": arrives["photo_id"]})
    await put(client, arrives)
    assert (await client.post("/photos/confirm", json={"photo_id": arrives["photo_id"]})).status_code == 200
    row = await house.uploads.get(is_other["photo_id"], owner_id=1)
    await house.uploads.reject(row, "not what was declared", trigger="client")
    image = f"/photos/{arrives['photo_id']}/image"
    await client.get(image)
    await client.get("/photos/99/image")
    share = (await client.post("/albums/1/share-links", json={})).json()
    opened = await client.get(f"/share/{share['token']}")
    assert opened.status_code == 200
    await client.get(f"/share/{'x' * 43}")
    await client.get(f"/share/{share['token']}/photos/99/image")
    await client.delete(f"/share-links/{share['id']}")
    await client.get(f"/share/{share['token']}")

    async def away(*_: object) -> None:
        raise StorageUnavailable("made to fail")

    with monkeypatch.context() as broken:
        broken.setattr(type(house.disk), "stat", away)
        assert (await client.post("/photos/confirm", json={"photo_id": comes_not["photo_id"]})).status_code == 500
    with monkeypatch.context() as broken:
        broken.setattr(type(house.albums), "page", None)
        assert (await client.get("/albums")).status_code == 500
    for _ in range(12):
        await client.patch("/albums/99", json={"title": "x"})
    house.metrics.db_errors.inc()  # a real one takes a server away: flow/test_embedded.py
    clock.forward(minutes=20)
    await house.sweep.once()
    clock.forward(minutes=60)
    await house.gauges.refresh()


async def test_each_metric_says_what_was_done(
    client: httpx.AsyncClient, app: FastAPI, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(client, app, clock, monkeypatch)
    found = await scraped(client)
    wrong = {series: (found[series], number) for series, number in EXPECTED.items() if found[series] != number}
    assert wrong == {}, "found, expected"
    seen = {_base(name) for name, _ in EXPECTED} | {"photo_api_app_info"}
    assert any(name == "photo_api_app_info" and "environment=dev" in labels for name, labels in found)
    assert seen | ELSEWHERE.keys() == SHAPES.keys()
    assert all((Path(__file__).parents[1] / file).exists() for file in ELSEWHERE.values())


def _base(name: str) -> str:
    return re.sub(r"_(count|sum)$", "", name)


def _requests(handler: str, *counts: tuple[str, int, float]) -> dict[tuple[str, str], float]:
    labels = {f"method={method},handler={handler},status={status}": number for method, status, number in counts}
    return {
        (name, label): number
        for name in ("http_requests_total", "http_request_duration_seconds_count")
        for label, number in labels.items()
    }


EXPECTED: dict[tuple[str, Any], float] = {
    ("photo_api_ready", ""): 1,
    **_requests("/photos/confirm", ("POST", 200, 1), ("POST", 404, 1), ("POST", 500, 1)),
    **_requests("/auth/register", ("POST", 201, 1)),
    ("photo_api_login_duration_seconds_count", "result=success"): 1,
    ("photo_api_login_duration_seconds_count", "result=failure"): 1,
    ("photo_api_active_sessions", ""): 0,
    ("photo_api_rate_limit_requests_total", "endpoint=write,status=allowed"): 8,
    ("photo_api_rate_limit_requests_total", "endpoint=write,status=blocked"): 7,
    ("photo_api_rate_limit_hits_total", "endpoint=write,client_id=127.0.0.0/24"): 7,
    ("photo_api_exceptions_total", ""): 1,
    ("photo_api_db_errors_total", ""): 1,
    ("photo_api_presigned_url_generation_total", "result=success"): 3,
    ("photo_api_presigned_url_generation_total", "result=failure"): 1,
    ("photo_api_photo_upload_file_size_bytes_count", "upload_method=presigned"): 3,
    ("photo_api_photo_upload_file_size_bytes_sum", "upload_method=presigned"): 3 * SIZE,
    ("photo_api_photo_upload_confirm_total", "result=success"): 1,
    ("photo_api_photo_upload_confirm_total", "result=failure"): 2,
    ("photo_api_photo_upload_total", "upload_method=presigned,result=success"): 1,
    ("photo_api_photo_upload_total", "upload_method=presigned,result=failure"): 2,
    ("photo_api_photo_upload_size_total_bytes", "user_id=1"): SIZE,
    ("photo_api_upload_arrivals_total", "trigger=client"): 1,
    ("photo_api_upload_arrival_lag_seconds_count", "trigger=client"): 1,
    ("photo_api_upload_outcomes_total", "kind=photo,outcome=arrived"): 1,
    ("photo_api_upload_outcomes_total", "kind=photo,outcome=rejected"): 1,
    ("photo_api_upload_outcomes_total", "kind=photo,outcome=incomplete"): 1,
    ("photo_api_image_access_total", "access_type=authenticated,result=success"): 1,
    ("photo_api_image_access_total", "access_type=authenticated,result=denied"): 1,
    ("photo_api_image_access_duration_seconds_count", "access_type=authenticated,result=success"): 1,
    ("photo_api_share_link_access_total", "token_status=valid,result=success"): 1,
    ("photo_api_share_link_access_total", "token_status=invalid,result=denied"): 1,
    ("photo_api_share_link_access_total", "token_status=expired,result=denied"): 1,
    ("photo_api_share_link_access_duration_seconds_count", "token_status=valid,result=success"): 1,
    ("photo_api_share_link_brute_force_attempts_total", "client_id=127.0.0.0/24"): 1,
    ("photo_api_share_link_image_access_total", "token_status=valid,photo_in_album=no"): 1,
    ("photo_api_external_request_errors_total", "service=object_storage"): 1,
    ("photo_api_external_request_errors_total", "service=cdn"): 0,
    ("photo_api_external_request_errors_total", "service=log_service"): 0,
    # Confirms: too soon, there, away; the refused object; the image; a look of the sweep, and its removals.
    ("photo_api_external_request_duration_seconds_count", "service=object_storage"): 7,
    ("photo_api_temp_upload_incomplete_after_ttl", ""): 2,
    ("photo_api_users_total", "status=total"): 1,
    ("photo_api_users_total", "status=active"): 1,
    ("photo_api_albums_total", "type=total"): 1,
    ("photo_api_albums_total", "type=shared"): 0,
    ("photo_api_photos_total", ""): 1,
    ("photo_api_share_links_total", "status=total"): 1,
    ("photo_api_share_links_total", "status=active"): 0,
    ("photo_api_object_storage_usage_bytes", ""): SIZE,
    ("photo_api_object_storage_usage_by_user_bytes", "user_id=1"): SIZE,
}
