from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from conftest import HeldClock
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Signed
from servers.disk_door import KEY, LIFE, Door, open_door, put, put_url


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


async def test_a_url_serves_only_its_own_method(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    signed = put_url(disk, 5)
    assert (await http.get(signed.url)).status_code == 403
    await put(http, signed, b"bytes")
    shown = disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE)
    assert (await put(http, Signed(shown, {}), b"other")).status_code == 403
    assert (await http.delete(shown)).status_code == 405


async def test_a_file_name_cannot_smuggle_in_another_parameter(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    honest = disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE, filename="a\ntype=text/html&type=text/html")
    for written in ("%0A", "%26"):
        assert (await http.get(honest.replace(written, "&"))).status_code == 403


async def test_what_is_served_is_harmless_to_a_browser(disk: DiskStorage, http: httpx.AsyncClient) -> None:
    await put(http, put_url(disk, 5), b"bytes")
    shown = disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE, filename='바"다\r\n.html', content_type="text/html")
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
        return await http.get(shown, headers={name.replace("_", "-"): value for name, value in headers.items()})

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
    disk: DiskStorage, door: Door, http: httpx.AsyncClient
) -> None:
    signed = put_url(disk, 5)
    door.app.state.disk = None
    assert (await put(http, signed, b"bytes")).status_code == 404


@pytest.mark.parametrize("content_type", ["text/html\r\nSet-Cookie: a=b", "사진/jpeg"])
def test_a_type_that_is_no_header_is_never_signed(content_type: str) -> None:
    disk = DiskStorage(Path(), b"secret", "http://localhost", HeldClock())
    with pytest.raises(ValueError, match="header"):
        disk.presign_get(KEY, at=disk.clock(), lapses_in=LIFE, content_type=content_type)
    with pytest.raises(ValueError, match="header"):
        disk.presign_put(KEY, at=disk.clock(), lapses_in=LIFE, content_type=content_type, length=1)
