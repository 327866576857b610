import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from conftest import HeldClock
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Signed
from servers.disk_door import JPEG, KEY, LIFE, Door, chunked, files, open_door, put, put_url, said


@pytest.fixture(scope="module")
async def door() -> AsyncIterator[Door]:
    async with open_door() as door:
        yield door


@pytest.fixture
async def disk(door: Door, tmp_path: Path, clock: HeldClock) -> DiskStorage:
    return await door.open_to(tmp_path / "store", clock)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


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


async def test_a_chunked_body_of_the_right_length_is_taken(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    assert (await put(http, put_url(disk, 5), chunked(b"by", b"", b"tes"))).status_code == 200


async def test_other_bytes_than_declared_are_refused(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    signed = put_url(disk, 5, sha256=hashlib.sha256(b"bytes").hexdigest().upper())
    answer = await put(http, signed, b"bites")
    assert answer.status_code == 400
    assert "SHA-256" in said(answer)
    assert files(disk) == []
    assert (await put(http, signed, b"bytes")).status_code == 200


async def test_a_second_put_is_refused_and_changes_nothing(disk: DiskStorage, http: httpx.AsyncClient) -> None:
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


async def test_a_dropped_connection_leaves_nothing(disk: DiskStorage, door: Door) -> None:
    signed = put_url(disk, 3_000_000)
    where = urlsplit(signed.url)
    while not door.done.empty():
        door.done.get_nowait()
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"PUT {where.path}?{where.query} HTTP/1.1\r\nHost: x\r\nContent-Type: {JPEG}\r\n"
    head += "Content-Length: 3000000\r\n\r\n"
    head += "Content-Length: 3000000\r\n\r\n"
    writer.write(head.encode() + b"x" * 2_000_000)
    await writer.drain()
    while not list((disk.root / "tmp").iterdir()):
        await asyncio.sleep(0)
    writer.close()
    await door.done.get()
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
