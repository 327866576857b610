"""The app with a log service: its lines arrive there; without one that answers nobody waits."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time

import httpx
import pytest
import structlog
from pydantic import SecretStr, ValidationError

from flow.test_shipping import hanging
from mooring.app import create_app
from mooring.observe.logs import configure_logs
from mooring.settings import Settings
from servers.collector import APP_KEY, Collector
from web.conftest import settings_for, sign_in
from web.test_photos import issue


@pytest.fixture(autouse=True)
def _lines_of_a_server(tmp_path: Path) -> Iterator[None]:
    before = structlog.get_config()
    with (tmp_path / "out").open("wb") as out:
        configure_logs("info", out)
        structlog.configure(cache_logger_on_first_use=False)
        yield
        structlog.configure(**before)


@asynccontextmanager
async def serving(database_url: str, folder: Path, url: str | None, **more: object) -> AsyncIterator[httpx.AsyncClient]:
    service = {"log_service_url": url, "log_service_app_key": SecretStr(APP_KEY), **more} if url else {}
    app = create_app(settings_for(database_url, folder, **service))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            await sign_in(client, "owner@example.org")
            await client.post("/albums", json={"title": "Summer"})
            yield client


async def test_what_is_logged_is_there_when_the_process_ends(
    database_url: str, tmp_path: Path, collector: Collector
) -> None:
    async with serving(database_url, tmp_path, collector.url) as client:
        issued = await issue(client)
        await client.post("/photos/confirm", json={"photo_id": issued["photo_id"]}, headers={"X-Request-ID": "mine"})
    written = [json.loads(one) for one in (tmp_path / "out").read_bytes().splitlines()]
    assert [json.loads(one["body"]) for one in collector.logs] == written
    [confirm] = [one for one in collector.logs if one["event"] == "photo_upload_confirm"]
    assert (confirm["upload_id"], confirm["request_id"]) == (str(issued["photo_id"]), "mine")


async def test_no_request_waits_for_a_service_that_hangs(database_url: str, tmp_path: Path) -> None:
    """CPU, for the clock of a busy machine says nothing: a line that is not sent costs no more than one that isn't
    meant to be. That requests come back at all while nothing is ever answered there, is the other half."""

    async def once(client: httpx.AsyncClient) -> float:
        began = process_time()
        for _ in range(100):
            await issue(client)
        return process_time() - began

    async def cpu(client: httpx.AsyncClient) -> float:
        return min([await once(client) for _ in range(3)])

    async with serving(database_url, tmp_path / "a", None) as without:
        await cpu(without)
        alone = await cpu(without)
    async with (
        hanging() as url,
        serving(database_url, tmp_path / "b", url, log_service_queue=100, log_service_stop_seconds=0) as client,
    ):
        await cpu(client)
        beside = await cpu(client)
        scrape = (await client.get("/metrics")).text
        assert "photo_api_log_queue_size 100.0" in scrape
        assert 'photo_api_log_lines_dropped_total{reason="full"} ' in scrape
    assert beside < 1.5 * alone


@pytest.mark.parametrize("given", [{"url": "https://x/v2/log"}, {"url": "ftp://x", "key": "k"}, {"version": "a b"}])
def test_a_log_service_that_can_not_be_is_refused(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"url": "URL", "key": "APP_KEY", "version": "VERSION"}
    for name, value in given.items():
        monkeypatch.setenv(f"MOORING_LOG_SERVICE_{names[name]}", value)
    with pytest.raises(ValidationError, match=r"(?i)log_service"):
        Settings()
