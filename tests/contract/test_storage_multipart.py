"""The promises of `storage/port.py` about multipart uploads, asked of every storage over real HTTP."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from contract.conftest import Place
from contract.things import AWKWARD, JPEG, KEY, LIFE, MIB, chunks_of, content_of, kept, keys_of, without_time
from mooring.clock import now
from mooring.errors import ObjectNotFound, StorageUnavailable, UrlNotValid
from mooring.storage.port import Part, Storage

LEAST = 5 * MIB  # of every part but the last: S3 has it so


async def send(
    http: httpx.AsyncClient, storage: Storage, key: str, multipart_id: str, number: int, content: bytes
) -> httpx.Response:
    signed = storage.presign_part(key, multipart_id, number, length=len(content), at=now(), lapses_in=LIFE)
    return await http.put(signed.url, headers=dict(signed.headers), content=content)


async def begun(storage: Storage, key: str = KEY) -> str:
    return await storage.begin_multipart(key, content_type=JPEG)


async def there(storage: Storage, multipart_id: str, key: str = KEY) -> list[Part]:
    parts = await storage.parts(key, multipart_id)
    assert parts is not None
    return list(parts)


async def test_parts_in_any_order_become_the_object(storage: Storage, http: httpx.AsyncClient) -> None:
    multipart_id = await begun(storage)
    assert await there(storage, multipart_id) == []
    pieces = {3: b"end", 1: b"a" * LEAST, 2: b"b" * LEAST}
    etags = {}
    for number, content in pieces.items():
        answer = await send(http, storage, KEY, multipart_id, number, content)
        assert answer.status_code == 200
        etags[number] = answer.headers["etag"].strip('"')
    parts = await there(storage, multipart_id)
    assert parts == [Part(number, len(pieces[number]), etags[number]) for number in (1, 2, 3)]
    assert await storage.stat(KEY) is None
    assert await keys_of(storage) == []

    joined = await storage.complete_multipart(KEY, multipart_id, parts[::-1])

    assert joined.size == 2 * LEAST + 3
    assert without_time(joined) == without_time(await storage.stat(KEY))
    assert await content_of(storage, KEY, etag=joined.etag) == pieces[1] + pieces[2] + pieces[3]
    assert await content_of(storage, KEY, start=2 * LEAST - 1, etag=joined.etag) == b"bend"
    assert [(each.key, each.size) async for each in storage.list()] == [(KEY, joined.size)]
    assert await storage.parts(KEY, multipart_id) is None
    assert [each async for each in storage.open_multiparts()] == []


async def test_of_a_part_sent_twice_the_last_counts(storage: Storage, http: httpx.AsyncClient) -> None:
    multipart_id = await begun(storage)
    await send(http, storage, KEY, multipart_id, 1, b"first")
    first = await there(storage, multipart_id)
    await send(http, storage, KEY, multipart_id, 1, b"other")
    second = await there(storage, multipart_id)
    assert first != second
    with pytest.raises(ValueError, match="Part 1"):
        await storage.complete_multipart(KEY, multipart_id, first)
    await storage.complete_multipart(KEY, multipart_id, second)
    assert await content_of(storage, KEY) == b"other"


async def test_a_part_of_another_length_is_refused(storage: Storage, http: httpx.AsyncClient) -> None:
    multipart_id = await begun(storage)
    signed = storage.presign_part(KEY, multipart_id, 1, length=5, at=now(), lapses_in=LIFE)
    for content in (b"longer", b"four", b""):
        answer = await http.put(signed.url, headers=dict(signed.headers), content=content)
        assert answer.status_code in (400, 403)
    assert await there(storage, multipart_id) == []


async def test_a_part_is_for_its_own_number_upload_and_key(storage: Storage, http: httpx.AsyncClient) -> None:
    one, other = await begun(storage), await begun(storage, "photos/other")
    url = storage.presign_part(KEY, one, 1, length=5, at=now(), lapses_in=LIFE).url
    stolen = [url.replace(one, other), url.replace("0b1e_sea.jpg", "other")]
    stolen.append(url.replace("artNumber=1", "artNumber=2").replace("part=1", "part=2"))
    for altered in stolen:
        assert altered != url
        assert (await http.put(altered, content=b"bytes")).status_code in (403, 404)
    answer = await send(http, storage, "photos/other", one, 1, b"bytes")
    assert answer.status_code == 404
    assert await there(storage, one) == []
    assert await there(storage, other, "photos/other") == []


async def test_only_parts_that_are_there_as_given_are_joined(storage: Storage, http: httpx.AsyncClient) -> None:
    multipart_id = await begun(storage)
    await send(http, storage, KEY, multipart_id, 1, b"bytes")
    (part,) = await there(storage, multipart_id)
    wrong = [
        [],
        [part, Part(2, 5, part.etag)],
        [Part(2, 5, part.etag)],
        [Part(1, 6, part.etag)],
        [Part(1, 5, "0" * 32)],
        [part, part],
    ]
    for parts in wrong:
        with pytest.raises(ValueError, match=r"part|Part"):
            await storage.complete_multipart(KEY, multipart_id, parts)
    assert await storage.stat(KEY) is None
    await storage.complete_multipart(KEY, multipart_id, [part])
    assert await content_of(storage, KEY) == b"bytes"


async def test_a_part_that_is_not_named_is_left_out_or_all_is_refused(place: Place, http: httpx.AsyncClient) -> None:
    storage = place.storage
    multipart_id = await begun(storage)
    for number, content in ((2, b"two" * LEAST), (7, b"seven"), (1_000, b"last")):  # a usual Swift has no more
        await send(http, storage, KEY, multipart_id, number, content)
    two, _, last = await there(storage, multipart_id)
    if not place.leaves_parts_out:
        with pytest.raises(ValueError, match="parts"):
            await storage.complete_multipart(KEY, multipart_id, [two, last])
        assert await storage.stat(KEY) is None
        return
    await storage.complete_multipart(KEY, multipart_id, [two, last])
    assert await content_of(storage, KEY, start=3 * LEAST) == b"last"


async def test_joining_replaces_what_was_there(storage: Storage, http: httpx.AsyncClient) -> None:
    before = await kept(storage, KEY, b"old")
    multipart_id = await begun(storage)
    await send(http, storage, KEY, multipart_id, 1, b"new")
    assert without_time(await storage.stat(KEY)) == without_time(before)
    joined = await storage.complete_multipart(KEY, multipart_id, await there(storage, multipart_id))
    assert joined.etag != before.etag
    assert await content_of(storage, KEY) == b"new"


async def test_an_abort_leaves_nothing_and_may_be_repeated(storage: Storage, http: httpx.AsyncClient) -> None:
    multipart_id = await begun(storage)
    await send(http, storage, KEY, multipart_id, 1, b"bytes")
    parts = await there(storage, multipart_id)
    await storage.abort_multipart(KEY, multipart_id)
    await storage.abort_multipart(KEY, multipart_id)
    assert await storage.parts(KEY, multipart_id) is None
    with pytest.raises(ObjectNotFound):
        await storage.complete_multipart(KEY, multipart_id, parts)
    assert (await send(http, storage, KEY, multipart_id, 1, b"bytes")).status_code == 404
    assert [each async for each in storage.open_multiparts()] == []
    assert await storage.stat(KEY) is None


@pytest.mark.parametrize("multipart_id", ["", "0" * 32, "nonsense", "../../etc", "바다", "a b&c"])
async def test_an_upload_that_is_not_open_is_none(storage: Storage, multipart_id: str) -> None:
    found = await kept(storage, KEY, b"sea")
    assert await storage.parts(KEY, multipart_id) is None
    await storage.abort_multipart(KEY, multipart_id)
    with pytest.raises(ObjectNotFound):
        await storage.complete_multipart(KEY, multipart_id, [Part(1, 1, "0" * 32)])
    assert without_time(await storage.stat(KEY)) == without_time(found)


async def test_what_is_joined_is_no_longer_open(storage: Storage, http: httpx.AsyncClient) -> None:
    multipart_id = await begun(storage)
    await send(http, storage, KEY, multipart_id, 1, b"bytes")
    parts = await there(storage, multipart_id)
    await storage.complete_multipart(KEY, multipart_id, parts)
    await storage.delete(KEY)
    with pytest.raises(ObjectNotFound):
        await storage.complete_multipart(KEY, multipart_id, parts)
    assert await storage.stat(KEY) is None


async def test_every_open_upload_is_listed(storage: Storage) -> None:
    opened = {await begun(storage, key): key for key in [*AWKWARD, KEY, KEY, "photos/0b1e"]}
    listed = [each async for each in storage.open_multiparts()]
    assert {each.multipart_id: each.key for each in listed} == opened
    assert len(listed) == len(opened)
    assert all(abs(each.begun_at - now()) < timedelta(minutes=1) for each in listed)
    below = [each.multipart_id async for each in storage.open_multiparts("photos/0b1e")]
    assert set(below) == {multipart_id for multipart_id, key in opened.items() if key.startswith("photos/0b1e")}


@pytest.mark.parametrize(("number", "length"), [(0, 1), (10_001, 1), (-1, 1), (1, -1)])
async def test_parts_are_numbered_from_one_to_ten_thousand(storage: Storage, number: int, length: int) -> None:
    with pytest.raises(ValueError, match=r"part|Part|length"):
        storage.presign_part(KEY, "0" * 32, number, length=length, at=now(), lapses_in=LIFE)


# ── parts through us ──


async def test_a_part_that_comes_through_us_is_a_part_like_any_other(storage: Storage) -> None:
    multipart_id = await begun(storage)
    first = await storage.write_part(KEY, multipart_id, 1, chunks_of(b"a" * MIB, b"b" * 4 * MIB), length=LEAST)
    second = await storage.write_part(KEY, multipart_id, 2, chunks_of(b"x"), length=1)
    second = await storage.write_part(KEY, multipart_id, 2, chunks_of(b"e", b"nd"), length=3)
    assert await there(storage, multipart_id) == [first, second]
    joined = await storage.complete_multipart(KEY, multipart_id, [first, second])
    assert joined.size == LEAST + 3
    assert (await content_of(storage, KEY))[-4:] == b"bend"


@pytest.mark.parametrize("chunks", [[b"12345", b"6"], [b"1", b"23456"], [b"1234"], []])
async def test_a_part_through_us_that_is_longer_or_shorter_is_not_there(storage: Storage, chunks: list[bytes]) -> None:
    multipart_id = await begun(storage)
    with pytest.raises(ValueError, match="5 bytes were announced"):
        await storage.write_part(KEY, multipart_id, 1, chunks_of(*chunks), length=5)
    assert await there(storage, multipart_id) == []


async def test_a_part_through_us_whose_bytes_end_in_an_error_is_not_there(storage: Storage) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"12"
        raise UrlNotValid("made to fail")

    multipart_id = await begun(storage)
    with pytest.raises(UrlNotValid, match="made to fail"):
        await storage.write_part(KEY, multipart_id, 1, broken(), length=5)
    assert await there(storage, multipart_id) == []


async def test_no_part_through_us_without_an_open_multipart(storage: Storage) -> None:
    multipart_id = await begun(storage)
    for number in (0, 10_001):
        with pytest.raises(ValueError, match="from 1 to 10000"):
            await storage.write_part(KEY, multipart_id, number, chunks_of(b"x"), length=1)
    for unknown in ("", "nothing", "한"):
        with pytest.raises(ObjectNotFound):
            await storage.write_part(KEY, unknown, 1, chunks_of(b"x"), length=1)
    await storage.abort_multipart(KEY, multipart_id)
    with pytest.raises(ObjectNotFound):
        await storage.write_part(KEY, multipart_id, 1, chunks_of(b"x"), length=1)


async def test_a_part_through_us_to_a_storage_that_is_away(place: Place) -> None:
    for storage in place.broken.values():
        with pytest.raises(StorageUnavailable):
            await storage.write_part(KEY, "0" * 32, 1, chunks_of(b"x"), length=1)
