"""The HTTP door of the disk store on a loopback port, and what tests send through it."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from mooring.clock import Clock
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Signed
from mooring.web import errors
from mooring.web.storage import router

KEY = "photos/0b1e_바다.jpg"
JPEG = "image/jpeg"
LIFE = timedelta(minutes=15)


@dataclass
class Door:
    """Serves whichever store is behind it; `done` gets an entry whenever a request is over."""

    app: FastAPI
    url: str = ""
    done: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            self.done.put_nowait(None)

    async def open_to(self, root: Path, clock: Clock) -> DiskStorage:
        """A store behind this door."""
        disk = DiskStorage(root, b"a secret of the tests alone......", self.url, clock)
        await disk.setup(origins=[])
        self.app.state.disk = disk
        return disk


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    app = FastAPI()
    app.include_router(router)
    errors.install(app)
    door = Door(app)
    server = uvicorn.Server(uvicorn.Config(door, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        door.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        serving = asyncio.create_task(server.serve([listening]))
        yield door
        server.should_exit = True
        await serving


def put_url(disk: DiskStorage, length: int, *, key: str = KEY, sha256: str | None = None, once: bool = True) -> Signed:
    return disk.presign_put(
        key, content_type=JPEG, length=length, at=disk.clock(), lapses_in=LIFE, sha256=sha256, write_once=once
    )


async def put(http: httpx.AsyncClient, signed: Signed, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
    return await http.put(signed.url, headers=dict(signed.headers), content=content)


def said(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])


def files(disk: DiskStorage) -> list[str]:
    return [name for _, _, names in os.walk(disk.root) for name in names]


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
