"""The promises of `storage/port.py` about temporary URLs, asked of every storage over real HTTP."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote, unquote, urlsplit

import httpx
import pytest

from contract.conftest import Place
from contract.things import AWKWARD, JPEG, KEY, LIFE, chunks_of, content_of, kept, without_time
from mooring.clock import now
from mooring.storage.port import Signed, Storage

SEA = b"the sea, the sea"
SHA256 = hashlib.sha256(SEA).hexdigest()
HOUR = timedelta(hours=1)


def for_sea(storage: Storage, key: str = KEY, *, sha256: str | None = None, write_once: bool = True) -> Signed:
    return storage.presign_put(
        key, content_type=JPEG, length=len(SEA), at=now(), lapses_in=LIFE, sha256=sha256, write_once=write_once
    )


async def put(
    http: httpx.AsyncClient,
    signed: Signed,
    content: bytes | AsyncIterator[bytes] = SEA,
    *,
    content_type: str | None = None,
) -> httpx.Response:
    headers = httpx.Headers(dict(signed.headers))
    if content_type is not None:
        headers["Content-Type"] = content_type
    return await http.put(signed.url, headers=headers, content=content)


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256.upper()])
async def test_a_put_of_just_this_is_taken(storage: Storage, http: httpx.AsyncClient, sha256: str | None) -> None:
    answer = await put(http, for_sea(storage, sha256=sha256))
    assert answer.status_code == 200
    found = await storage.stat(KEY)
    assert found is not None
    assert found.size == len(SEA)
    assert found.sha256 in (None, SHA256)
    assert answer.headers["etag"].strip('"') == found.etag
    assert await content_of(storage, KEY, etag=found.etag) == SEA


@pytest.mark.parametrize("key", AWKWARD)
async def test_urls_reach_any_key(storage: Storage, http: httpx.AsyncClient, key: str) -> None:
    assert (await put(http, for_sea(storage, key))).status_code == 200
    assert await content_of(storage, key) == SEA
    answer = await http.get(storage.presign_get(key, at=now(), lapses_in=LIFE, filename=key[:50]))
    assert (answer.status_code, answer.content) == (200, SEA)


@pytest.mark.parametrize("sha256", [None, SHA256])
async def test_other_than_what_was_signed_for_is_refused(
    storage: Storage, http: httpx.AsyncClient, sha256: str | None
) -> None:
    signed = for_sea(storage, sha256=sha256)
    refused = {
        "another type": await put(http, signed, content_type="text/html"),
        "a type with more to it": await put(http, signed, content_type=f"{JPEG}; charset=utf-8"),
        "longer": await put(http, signed, SEA + b"!"),
        "shorter": await put(http, signed, SEA[:-1]),
        "nothing": await put(http, signed, b""),
        "longer, in chunks": await put(http, signed, chunks_of(SEA, b"!")),
        "shorter, in chunks": await put(http, signed, chunks_of(SEA[:5], SEA[5:-1])),
    }
    assert {how: answer.status_code for how, answer in refused.items() if answer.status_code not in (400, 403)} == {}
    assert await storage.stat(KEY) is None
    assert (await put(http, signed)).status_code == 200  # the URL itself is as good as before


async def test_no_type_at_all_is_refused(storage: Storage, http: httpx.AsyncClient) -> None:
    signed = for_sea(storage)
    headers = {name: value for name, value in signed.headers.items() if name.lower() != "content-type"}
    assert (await put(http, Signed(signed.url, headers))).status_code in (400, 403)
    assert await storage.stat(KEY) is None


async def test_bytes_of_another_checksum_are_refused(place: Place, http: httpx.AsyncClient) -> None:
    answer = await put(http, for_sea(place.storage, sha256=SHA256), SEA.upper())
    assert answer.status_code == (400 if place.checks_sha256 else 200)
    assert (await place.storage.stat(KEY) is None) == place.checks_sha256


async def test_a_declared_checksum_cannot_be_left_out_or_replaced(storage: Storage, http: httpx.AsyncClient) -> None:
    signed = for_sea(storage, sha256=SHA256)
    for name in signed.headers:
        without = {each: value for each, value in signed.headers.items() if each != name}
        if name.lower().startswith("x-amz-"):
            assert (await put(http, Signed(signed.url, without), SEA.upper())).status_code in (400, 403)
    assert await storage.stat(KEY) is None


async def test_a_body_that_breaks_off_becomes_no_object(storage: Storage) -> None:
    signed = for_sea(storage)
    where = urlsplit(signed.url)
    head = {"Host": where.netloc, **signed.headers, "Content-Length": str(len(SEA))}
    request = f"PUT {where.path}?{where.query} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in head.items())
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(request.encode() + b"\r\n" + SEA[:5])
    writer.write_eof()
    await reader.read()  # until the server, too, has closed
    writer.close()
    await writer.wait_closed()
    assert await storage.stat(KEY) is None


async def test_a_second_put_is_refused_where_once_was_said(storage: Storage, http: httpx.AsyncClient) -> None:
    signed = for_sea(storage)
    assert (await put(http, signed)).status_code == 200
    found = await storage.stat(KEY)
    assert (await put(http, signed)).status_code == 412
    assert (await put(http, for_sea(storage), SEA.upper())).status_code == 412
    assert without_time(await storage.stat(KEY)) == without_time(found)
    assert await content_of(storage, KEY) == SEA


async def test_the_once_cannot_be_left_out(storage: Storage, http: httpx.AsyncClient) -> None:
    signed = for_sea(storage)
    assert (await put(http, signed)).status_code == 200
    headers = {name: value for name, value in signed.headers.items() if name.lower() != "if-none-match"}
    assert (await put(http, Signed(signed.url, headers), SEA.upper())).status_code in (403, 412)
    assert await content_of(storage, KEY) == SEA


async def test_a_second_put_replaces_where_it_may(storage: Storage, http: httpx.AsyncClient) -> None:
    signed = for_sea(storage, write_once=False)
    assert (await put(http, signed)).status_code == 200
    assert (await put(http, signed, SEA.upper())).status_code == 200
    assert await content_of(storage, KEY) == SEA.upper()


async def test_a_url_that_lapsed_is_refused(storage: Storage, http: httpx.AsyncClient) -> None:
    await kept(storage, "old", SEA)
    at = now() - HOUR
    late = storage.presign_put(KEY, content_type=JPEG, length=len(SEA), at=at, lapses_in=LIFE)
    assert (await put(http, late)).status_code == 403
    assert await storage.stat(KEY) is None
    assert (await http.get(storage.presign_get("old", at=at, lapses_in=LIFE))).status_code == 403
    multipart_id = await storage.begin_multipart(KEY, content_type=JPEG)
    part = storage.presign_part(KEY, multipart_id, 1, length=len(SEA), at=at, lapses_in=LIFE)
    assert (await put(http, part)).status_code == 403
    assert await storage.parts(KEY, multipart_id) == []
    long = storage.presign_put(KEY, content_type=JPEG, length=len(SEA), at=at, lapses_in=HOUR + LIFE)
    assert (await put(http, long)).status_code == 200


async def test_a_url_is_for_its_own_key_method_and_terms(storage: Storage, http: httpx.AsyncClient) -> None:
    await kept(storage, "photos/another", SEA)
    signed = for_sea(storage)
    name = quote(KEY.rpartition("/")[2])
    altered = [signed.url.replace(name, "another"), signed.url.replace(name, "../" + name), signed.url[:-1] + "g"]
    for found in re.finditer(r"[?&][^=]+=([^&]+)", signed.url):
        end = found.end()
        swapped = "1" if signed.url[end - 1] != "1" else "2"
        altered.append(signed.url[: end - 1] + swapped + signed.url[end:])
    for url in altered:
        assert 400 <= (await put(http, Signed(url, signed.headers))).status_code < 500, url
    for method in ("GET", "DELETE", "POST"):
        answer = await http.request(method, signed.url, headers=dict(signed.headers))
        assert answer.status_code in (403, 404, 405, 501)
    reading = storage.presign_get(KEY, at=now(), lapses_in=LIFE)
    assert (await put(http, Signed(reading, signed.headers))).status_code in (403, 405)
    assert await storage.stat(KEY) is None
    assert await content_of(storage, "photos/another") == SEA


async def test_a_get_serves_the_whole_and_ranges(storage: Storage, http: httpx.AsyncClient) -> None:
    found = await kept(storage, KEY, SEA)
    url = storage.presign_get(KEY, at=now(), lapses_in=LIFE, content_type="image/webp")
    whole = await http.get(url)
    assert (whole.status_code, whole.content) == (200, SEA)
    assert whole.headers["content-type"] == "image/webp"
    assert whole.headers["etag"].strip('"') == found.etag
    part = await http.get(url, headers={"Range": "bytes=4-6"})
    assert (part.status_code, part.content) == (206, b"sea")
    assert part.headers["content-range"] == f"bytes 4-6/{len(SEA)}"
    assert (await http.get(url, headers={"Range": "bytes=99-"})).status_code == 416


async def test_a_get_of_what_is_not_there_is_404(storage: Storage, http: httpx.AsyncClient) -> None:
    assert (await http.get(storage.presign_get(KEY, at=now(), lapses_in=LIFE))).status_code == 404


@pytest.mark.parametrize("filename", ["sea.jpg", "바다 사진.jpg", '100% "sea" \'n;a=b.jpg', "한" * 100, "a+b&c.jpg"])
async def test_a_get_says_what_to_save_it_as(storage: Storage, http: httpx.AsyncClient, filename: str) -> None:
    await kept(storage, KEY, SEA)
    answer = await http.get(storage.presign_get(KEY, at=now(), lapses_in=LIFE, filename=filename))
    assert answer.status_code == 200
    assert saved_as(answer.headers["content-disposition"]) == filename


def saved_as(disposition: str) -> str:
    """As a browser reads it: what says its encoding goes first."""
    kind, _, rest = disposition.partition(";")
    assert kind == "attachment"
    if (encoded := re.search(r"filename\*=utf-8''([^;\s]+)", rest, re.IGNORECASE)) is not None:
        return unquote(encoded[1], errors="strict")
    plain = re.fullmatch(r' filename="([^"\\]*)"', rest)
    assert plain
    return plain[1]


@pytest.mark.parametrize("content_type", ["text/plain\r\nX-Evil: 1", "바다"])
async def test_a_type_that_no_header_can_say_is_no_type(storage: Storage, content_type: str) -> None:
    with pytest.raises(ValueError, match="type"):
        storage.presign_put(KEY, content_type=content_type, length=1, at=now(), lapses_in=LIFE)
    with pytest.raises(ValueError, match="type"):
        storage.presign_get(KEY, at=now(), lapses_in=LIFE, content_type=content_type)


@pytest.mark.parametrize(("length", "sha256"), [(-1, None), (1, "00"), (1, "g" * 64)])
async def test_terms_that_nobody_can_meet_are_refused(storage: Storage, length: int, sha256: str | None) -> None:
    with pytest.raises(ValueError, match=r"length|SHA-256"):
        storage.presign_put(KEY, content_type=JPEG, length=length, at=now(), lapses_in=LIFE, sha256=sha256)
