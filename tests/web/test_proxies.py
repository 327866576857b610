"""Limits and throttles count the true client, and nobody can pretend to be another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from mooring.app import create_app
from web.conftest import settings_for
from web.test_photos import refused


@asynccontextmanager
async def served(database_url: str, tmp_path: Path, peer: str) -> AsyncIterator[httpx.AsyncClient]:
    """Asked from `peer`."""
    app = create_app(settings_for(database_url, tmp_path, trusted_proxies="10.0.0.0/8", rate_limit_read="3/minute"))
    transport = httpx.ASGITransport(app, client=(peer, 4711))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client


def by(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def test_behind_our_proxy_each_client_has_a_limit_of_their_own(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, "10.0.0.1") as client:
        for address in ("203.0.113.1", "203.0.113.2", "2001:db8::1"):
            statuses = [(await client.get("/auth/me", headers=by(address))).status_code for _ in range(4)]
            assert statuses == [401, 401, 401, 429]
        answer = await client.get("/auth/me", headers=by("2001:db8::2"))
        refused(answer, 429, "TOO_MANY_REQUESTS")  # of the same /64
        spoofed = await client.get("/auth/me", headers=by("198.51.100.7, 203.0.113.1"))
        refused(spoofed, 429, "TOO_MANY_REQUESTS")


async def test_without_a_proxy_the_header_is_nobodys_word(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, "203.0.113.1") as client:
        statuses = [
            (await client.get("/auth/me", headers=by(f"198.51.100.{number}"))).status_code for number in range(4)
        ]
        assert statuses == [401, 401, 401, 429]


async def test_guessing_passwords_is_throttled_by_the_true_address(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, "10.0.0.1") as client:
        who = {"email": "ada@example.org", "password": "correct horse battery"}
        await client.post("/auth/register", json=who)
        wrong = {**who, "password": "a guess that is wrong"}
        for _ in range(10):
            refused(await client.post("/auth/login", json=wrong, headers=by("203.0.113.1")), 401, "WRONG_CREDENTIALS")
        refused(await client.post("/auth/login", json=who, headers=by("203.0.113.1")), 429, "TOO_MANY_ATTEMPTS")
        assert (await client.post("/auth/login", json=who, headers=by("203.0.113.2"))).status_code == 200
