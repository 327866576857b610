import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from conftest import HeldClock
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Signed
from mooring.web import errors
from mooring.web.storage import router

KEY = "photos/0b1e_바다.jpg"
JPEG = "image/jpeg"
LIFE = timedelta(minutes=15)


@dataclass
class Served:
    """The door on a loopback port, and a bell that rings whenever a request is done with."""

    app: FastAPI
    url: str = ""
    done: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            self.done.put_nowait(None)


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    app = FastAPI()
    app.include_router(router)
    errors.install(app)
    served = Served(app)
    server = uvicorn.Server(uvicorn.Config(served, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        served.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        serving = asyncio.create_task(server.serve([listening]))
        yield served
        server.should_exit = True
        await serving


@pytest.fixture
async def disk(served: Served, tmp_path: Path, clock: HeldClock) -> DiskStorage:
    disk = DiskStorage(tmp_path / "store", b"a secret of the tests alone......", served.url, clock)
    await disk.setup(origins=[])
    served.app.state.disk = disk
    return disk


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


def put_url(
    disk: DiskStorage, length: int, *, key: str = KEY, sha256: str | None = None, once: bool = True
) -> Signed:
    return disk.presign_put(
        key, content_type=JPEG, length=length, at=disk.clock(), lapses_in=LIFE, sha256=sha256, write_once=once
    )


async def put(
    http: httpx.AsyncClient, signed: Signed, content: bytes | AsyncIterator[bytes]
) -> httpx.Response:
    return await http.put(signed.url, headers=dict(signed.headers), content=content)


def said(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])


def files(disk: DiskStorage) -> list[str]:
    return [name for _, _, names in os.walk(disk.root) for name in names]


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "a b/c+d",
        "100%/50%25.jpg",
        "a%2Fb",
        "사진/바다 하늘.jpg",
        "a?b=c&d#e;f",
        "quote'\"\\",
        "~tilde/…",
        "x" * 700,
    ],
)
async def test_what_was_put_comes_back_under_the_very_same_key(
    disk: DiskStorage, http: httpx.AsyncClient, key: str
) -> None:
    answer = await put(http, put_url(disk, 5, key=key), b"bytes")
    assert (answer.status_code, answer.content) == (200, b"")
    found = await disk.stat(key)
    assert found is not None
    assert answer.headers["ETag"] == f'"{found.etag}"'
    assert [listed.key async for listed in disk.list()] == [key]
    assert (await http.get(disk.presign_get(key, at=disk.clock(), lapses_in=LIFE))).content == b"bytes"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("length=5", "length=6"),
        ("type=image%2Fjpeg", "type=text%2Fhtml"),
        ("&once=1", ""),
        ("once=1", "once=1&once=1"),
        ("sha256=", "sha255="),
        ("expires=1", "expires=2"),
        ("/photos/", "/videos/"),
        ("0b1e", "../0b1e"),
        ("0b1e", "%2e%2e%2f0b1e"),
        ("0b1e", "%FF"),
        ("signature=", "signature=f"),
        ("signature=", "signature=%ED%95%9C&signature="),
        ("&signature=", "&signatur="),
    ],
)
async def test_a_url_altered_anywhere_is_refused(
    disk: DiskStorage, http: httpx.AsyncClient, ours: str, theirs: str
) -> None:
    signed = put_url(disk, 5, sha256=hashlib.sha256(b"bytes").hexdigest())
    assert ours in signed.url
    altered = Signed(signed.url.replace(ours, theirs), signed.headers)
    answer = await put(http, altered, b"bytes")
    assert answer.status_code == 403
    assert "signature" in said(answer)
    assert files(disk) == []


async def test_a_url_serves_only_its_own_method(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    signed = put_url(disk, 5)
    assert (await http.get(signed.url)).status_code == 403
    await put(http, signed, b"bytes")
    shown = disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE)
    assert (await put(http, Signed(shown, {}), b"other")).status_code == 403
    assert (await http.delete(shown)).status_code == 405


async def test_a_file_name_cannot_smuggle_in_another_parameter(
    disk: DiskStorage, http: httpx.AsyncClient
) -> None:
    honest = disk.presign_get(
        KEY, at=disk.clock(), lapses_in=LIFE, filename="a\ntype=text/html&type=text/html"
    )
    for written in ("%0A", "%26"):
        assert (await http.get(honest.replace(written, "&"))).status_code == 403


async def test_a_lapsed_url_is_refused_and_says_so(
    disk: DiskStorage, http: httpx.AsyncClient, clock: HeldClock
) -> None:
    signed, shown = put_url(disk, 5), disk.presign_get(KEY, at=clock(), lapses_in=LIFE)
    clock.forward(minutes=15)
    assert (await put(http, signed, b"bytes")).status_code == 200
    clock.forward(seconds=1)
    for answer in (await put(http, signed, b"bytes"), await http.get(shown)):
        assert answer.status_code == 403
        assert "lapsed at 2030-01-02T03:19:05" in said(answer)


async def test_a_put_that_began_in_time_may_end_late(
    disk: DiskStorage, http: httpx.AsyncClient, clock: HeldClock
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"by"
        while not list((disk.root / "tmp").iterdir()):
            await asyncio.sleep(0)
        clock.forward(days=1)
        yield b"tes"

    assert (await put(http, put_url(disk, 5), slow())).status_code == 200


async def test_another_type_is_refused_and_named(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    signed = put_url(disk, 5)
    for headers in ({"Content-Type": "text/html"}, {}):
        answer = await http.put(signed.url, headers=headers, content=b"bytes")
        assert answer.status_code == 403
        assert "Content-Type 'image/jpeg'" in said(answer)
    assert files(disk) == []


@pytest.mark.parametrize("body", [b"", b"byte", b"bytes!", b"x" * 3_000_000])
async def test_another_length_is_refused_declared_or_not(
    disk: DiskStorage, http: httpx.AsyncClient, body: bytes
) -> None:
    for content in (body, chunked(body)):
        answer = await put(http, put_url(disk, 5), content)
        assert answer.status_code == 403
        assert "exactly 5 bytes" in said(answer)
    assert files(disk) == []


async def test_a_chunked_body_of_the_right_length_is_taken(
    disk: DiskStorage, http: httpx.AsyncClient
) -> None:
    assert (await put(http, put_url(disk, 5), chunked(b"by", b"", b"tes"))).status_code == 200


async def test_other_bytes_than_declared_are_refused(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    signed = put_url(disk, 5, sha256=hashlib.sha256(b"bytes").hexdigest().upper())
    answer = await put(http, signed, b"bites")
    assert answer.status_code == 400
    assert "SHA-256" in said(answer)
    assert files(disk) == []
    assert (await put(http, signed, b"bytes")).status_code == 200


async def test_a_second_put_is_refused_and_changes_nothing(
    disk: DiskStorage, http: httpx.AsyncClient
) -> None:
    signed = put_url(disk, 5)
    first = await put(http, signed, b"first")
    second = await put(http, signed, b"other")
    assert (first.status_code, second.status_code) == (200, 412)
    assert b"".join([piece async for piece in disk.read(KEY)]) == b"first"
    assert len(files(disk)) == 1


async def test_of_two_puts_at_once_one_wins(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    signed = put_url(disk, 5)

    async def together(letter: bytes) -> AsyncIterator[bytes]:
        yield letter
        while len(list((disk.root / "tmp").iterdir())) < 2:
            await asyncio.sleep(0)  # neither ends before both have passed the first look
        yield letter * 4

    answers = await asyncio.gather(*(put(http, signed, together(letter)) for letter in (b"a", b"b")))
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    winner = b"aaaaa" if answers[0].status_code == 200 else b"bbbbb"
    assert b"".join([piece async for piece in disk.read(KEY)]) == winner
    assert len(files(disk)) == 1


async def test_a_url_without_write_once_replaces_and_each_time_has_another_etag(
    disk: DiskStorage, http: httpx.AsyncClient
) -> None:
    etags = {(await put(http, put_url(disk, 5, once=False), b"bytes")).headers["ETag"] for _ in range(10)}
    assert len(etags) == 10


async def test_a_dropped_connection_leaves_nothing(disk: DiskStorage, served: Served) -> None:
    signed = put_url(disk, 3_000_000)
    where = urlsplit(signed.url)
    while not served.done.empty():
        served.done.get_nowait()
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"PUT {where.path}?{where.query} HTTP/1.1\r\nHost: x\r\nContent-Type: {JPEG}\r\n"
    head += "Content-Length: 3000000\r\n\r\n"
    head += "Content-Length: 3000000\r\n\r\n"
    writer.write(head.encode() + b"x" * 2_000_000)
    await writer.drain()
    while not list((disk.root / "tmp").iterdir()):
        await asyncio.sleep(0)
    writer.close()
    await served.done.get()
    assert files(disk) == []


async def test_parts_come_by_their_urls_and_are_joined(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    multipart_id = await disk.begin_multipart(KEY, content_type=JPEG)

    def part_url(number: int, length: int) -> Signed:
        return disk.presign_part(KEY, multipart_id, number, length=length, at=disk.clock(), lapses_in=LIFE)

    assert (await put(http, part_url(2, 3), b"two!")).status_code == 403
    assert (await put(http, part_url(2, 3), b"old")).status_code == 200
    assert (await put(http, part_url(2, 3), b"two")).status_code == 200
    one = await put(http, part_url(1, 4), b"one,")
    parts = await disk.parts(KEY, multipart_id) or []
    assert [(part.number, part.size) for part in parts] == [(1, 4), (2, 3)]
    assert one.headers["ETag"] == f'"{parts[0].etag}"'
    assert await disk.stat(KEY) is None
    await disk.complete_multipart(KEY, multipart_id, parts)
    assert (await http.get(disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE))).content == b"one,two"
    assert (await put(http, part_url(2, 3), b"new")).status_code == 404
    assert len(files(disk)) == 1


async def test_what_is_served_is_harmless_to_a_browser(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    await put(http, put_url(disk, 5), b"bytes")
    shown = disk.presign_get(
        KEY, at=disk.clock(), lapses_in=LIFE, filename='바"다\r\n.html', content_type="text/html"
    )
    for answer in (await http.get(shown), await http.head(shown)):
        assert answer.status_code == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        disposition = "attachment; filename*=utf-8''%EB%B0%94%22%EB%8B%A4%0D%0A.html"
        assert answer.headers["Content-Disposition"] == disposition
        assert answer.headers["Content-Length"] == "5"
        assert answer.headers["Content-Type"].startswith("text/html")
    plain = await http.get(disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE))
    assert plain.headers["Content-Type"] == "application/octet-stream"
    assert "Content-Disposition" not in plain.headers


async def test_ranges_and_conditions_are_honoured(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    etag = (await put(http, put_url(disk, 10), b"0123456789")).headers["ETag"]
    shown = disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE)

    async def get(**headers: str) -> httpx.Response:
        return await http.get(
            shown, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    some = await get(Range="bytes=2-4")
    assert (some.status_code, some.content, some.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert (await get(Range="bytes=-3", If_Range=etag)).content == b"789"
    assert (await get(Range="bytes=-3", If_Range='"other"')).content == b"0123456789"
    assert (await get(Range="bytes=10-")).status_code == 416
    known = await get(If_None_Match=f'"other", {etag}')
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
    assert (await get(If_None_Match='"other"')).status_code == 200


async def test_what_is_not_there_is_404_and_a_store_that_is_gone_500(
    disk: DiskStorage, http: httpx.AsyncClient
) -> None:
    shown = disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE)
    assert (await http.get(shown)).status_code == 404
    (disk.root / "objects").rmdir()
    assert (await http.get(shown)).status_code == 500
    assert (await put(http, put_url(disk, 5), b"bytes")).status_code == 500


async def test_without_a_disk_store_there_is_nothing_here(
    disk: DiskStorage, served: Served, http: httpx.AsyncClient
) -> None:
    signed = put_url(disk, 5)
    served.app.state.disk = None
    assert (await put(http, signed, b"bytes")).status_code == 404
