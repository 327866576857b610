from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from conftest import HeldClock
from mooring.app import create_app
from mooring.settings import Settings


def settings_for(database_url: str, folder: Path, **more: Any) -> Settings:
    return Settings(
        database_url=database_url,
        data=folder,
        storage=f"disk:{folder / 'storage'}",
        secret=SecretStr("a secret of the tests, long enough"),
        public_url="http://testserver",
        sweep=False,
        worker=False,
        # What a client PUTs waits for its confirm, unless a test wants to hear the disk tell of it.
        **{"triggers": ["client", "sweep"], **more},
    )


@pytest.fixture
async def app(database_url: str, tmp_path: Path, clock: HeldClock) -> AsyncIterator[FastAPI]:
    app = create_app(settings_for(database_url, tmp_path), clock=clock)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody signed in."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


@pytest.fixture
async def signed_in(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Somebody signed in, the owner of album 1."""
    await sign_in(client, "owner@example.org")
    await client.post("/albums", json={"title": "Summer"})
    return client


async def sign_in(client: httpx.AsyncClient, email: str) -> None:
    who = {"email": email, "password": "correct horse battery"}
    await client.post("/auth/register", json=who)
    tokens = (await client.post("/auth/login", json=who)).json()
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
