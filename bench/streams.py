"""A thousand people with a page open: what their live streams weigh, and how soon one hears of its own upload."""

import asyncio
import base64
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx

import contenders
from asked import Asked
from contenders import FILE, LONG, SECRET, query
from ground import Server
from mooring.accounts.tokens import AccessTokens
from mooring.db.migrate import migrate
from table import Line, at_most

PEOPLE, WARMING, TOLD = 1000, 50, 30
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[[Server, str], Awaitable[Stream]]


def measure(asked: Asked) -> list[Line]:
    url = asked.cluster.create("streams")
    asyncio.run(migrate(url))
    everybody = f"FROM generate_series(1, {PEOPLE}) AS n"
    query(
        url,
        f"INSERT INTO users (id, email, password_hash) SELECT n, n || '@example.com', 'none' {everybody}",
        "INSERT INTO albums (id, owner_id, title, created_at, updated_at) "
        f"SELECT n, n, 'Summer', now(), now() {everybody}",
    )
    lines = []
    for name, opening in (("server-sent events", _listen), ("WebSockets", _converse)):
        with ExitStack() as running:  # each on a server of its own: memory is not given back
            stub = running.enter_context(contenders.stub_storage())
            server = running.enter_context(contenders.mooring(url, stub))
            lines += asyncio.run(_measure(server, name, opening))
    return lines


async def _measure(server: Server, name: str, opening: Open) -> list[Line]:
    ours = AccessTokens.signed_with(SECRET, LONG)
    tokens = [ours.mint(user, "user", "free", datetime.now(UTC)) for user in range(1, PEOPLE + 1)]
    _close(await asyncio.gather(*(opening(server, token) for token in tokens[:WARMING])))
    await asyncio.sleep(0.5)
    before = server.rss_mb()
    streams = [await opening(server, token) for token in tokens]
    each = (server.rss_mb() - before) * 1024 / PEOPLE
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        waits = [
            await _told(http, tokens[place], streams[place], place + 1) for place in range(0, PEOPLE, PEOPLE // TOLD)
        ]
    _close(streams)
    details = f"median {statistics.median(waits) * 1e3:.0f} ms of {len(waits)}"
    return [
        at_most(f"{PEOPLE:,} live streams by {name}, memory of each", each, 60, "KB"),
        at_most("… from a confirm until its owner hears of it, the longest", max(waits), 1, "s", details),
    ]


async def _told(http: httpx.AsyncClient, token: str, stream: Stream, user: int) -> float:
    """From the moment the confirm is sent: it is often heard of before it is answered."""
    http.headers["Authorization"] = f"Bearer {token}"
    photo_id = await _sent(http, "/photos/presigned-url", {"album_id": user, **FILE})
    hearing = asyncio.create_task(_heard(stream[0], f'"upload_id":{photo_id},'.encode()))
    began = time.perf_counter()
    await _sent(http, "/photos/confirm", {"photo_id": photo_id})
    return await asyncio.wait_for(hearing, 10) - began


async def _sent(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> int:
    answer = await http.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code} {answer.text}")
    return int(answer.json()["photo_id"])


async def _heard(reader: asyncio.StreamReader, what: bytes) -> float:
    await reader.readuntil(what)
    return time.perf_counter()


async def _listen(server: Server, token: str) -> Stream:
    stream = await _asked(server, f"GET /uploads/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n")
    await stream[0].readuntil(b"id: ")
    return stream


async def _converse(server: Server, token: str) -> Stream:
    upgrade = UPGRADE.format(key=base64.b64encode(os.urandom(16)).decode())
    asked = f"GET /ws/uploads HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n{upgrade}"
    stream = await _asked(server, asked)
    await stream[0].readuntil(b"101")
    return stream


async def _asked(server: Server, asked: str) -> Stream:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"{asked}\r\n".encode())
    return reader, writer


def _close(streams: Sequence[Stream]) -> None:
    for _, writer in streams:
        writer.close()
