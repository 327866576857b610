"""The promises of `storage/port.py` about objects, asked of every storage. Temporary URLs and multipart uploads are
asked next door."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from contract.conftest import Place
from contract.things import (
    AWKWARD,
    JPEG,
    KEY,
    LIFE,
    MIB,
    NO_KEY,
    NO_KEYS,
    chunks_of,
    content_of,
    kept,
    keys_of,
    without_time,
)
from mooring.clock import now
from mooring.errors import ObjectChanged, ObjectNotFound, StorageUnavailable
from mooring.storage.port import Part, Storage


async def test_what_is_written_is_found_and_read(storage: Storage) -> None:
    written = await storage.write(KEY, chunks_of(b"the ", b"", b"sea"), content_type=JPEG)
    assert written.size == 7
    assert without_time(written) == without_time(await storage.stat(KEY))
    assert await content_of(storage, KEY) == b"the sea"


async def test_what_is_not_there_is_none_and_not_found(storage: Storage) -> None:
    assert await storage.stat(KEY) is None
    with pytest.raises(ObjectNotFound):
        await content_of(storage, KEY)
    with pytest.raises(ObjectNotFound):
        await content_of(storage, KEY, start=3, end=3)
    with pytest.raises(ObjectNotFound):
        await content_of(storage, KEY, etag="0" * 32)
    with pytest.raises(ObjectNotFound):
        await storage.copy(KEY, "elsewhere")
    assert await keys_of(storage) == []


async def test_a_storage_that_cannot_be_asked_never_says_not_there(place: Place) -> None:
    await kept(place.storage, KEY, b"sea")
    for broken in place.broken.values():
        for ask in [*questions(broken, KEY), broken.ping]:
            with pytest.raises(StorageUnavailable):
                await ask()
        with pytest.raises(StorageUnavailable):
            await broken.stat("never/was")
        with pytest.raises(StorageUnavailable):
            await keys_of(broken)
    await place.storage.ping()


def questions(storage: Storage, key: str) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: storage.stat(key),
        lambda: content_of(storage, key),
        lambda: kept(storage, key, b"sea"),
        lambda: storage.copy(key, "elsewhere"),
        lambda: storage.delete(key),
        lambda: storage.begin_multipart(key, content_type=JPEG),
        lambda: storage.parts(key, "0" * 32),
        lambda: storage.complete_multipart(key, "0" * 32, [Part(1, 1, "0" * 32)]),
        lambda: storage.abort_multipart(key, "0" * 32),
    ]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (3, 5, b"34"),
        (0, 1, b"0"),
        (9, 10, b"9"),
        (9, 99, b"9"),
        (0, 99, b"0123456789"),
        (4, 4, b""),
        (0, 0, b""),
        (10, None, b""),
        (99, 120, b""),
    ],
)
async def test_a_range_is_read(storage: Storage, start: int, end: int | None, expected: bytes) -> None:
    found = await kept(storage, KEY, b"0123456789")
    assert await content_of(storage, KEY, start=start, end=end, etag=found.etag) == expected


async def test_an_empty_object_is_an_object(storage: Storage) -> None:
    written = await storage.write(KEY, chunks_of(), content_type=JPEG)
    assert without_time(written) == without_time(await storage.stat(KEY))
    assert written.size == 0
    assert await content_of(storage, KEY) == b""
    assert await content_of(storage, KEY, start=0, end=5, etag=written.etag) == b""
    assert await keys_of(storage) == [KEY]


@pytest.mark.parametrize(("start", "end"), [(0, None), (1, 2), (2, 2), (99, None)])
async def test_a_read_sees_that_the_object_is_another(storage: Storage, start: int, end: int | None) -> None:
    first = await kept(storage, KEY, b"first")
    second = await kept(storage, KEY, b"other")
    assert first.etag != second.etag
    with pytest.raises(ObjectChanged):
        await content_of(storage, KEY, start=start, end=end, etag=first.etag)
    assert await content_of(storage, KEY, etag=second.etag) == b"other"


async def test_a_reader_may_go_early(storage: Storage) -> None:
    await kept(storage, KEY, b"x" * 3 * MIB)
    reading = storage.read(KEY)
    assert await anext(reading)
    assert isinstance(reading, AsyncGenerator)
    await reading.aclose()
    assert len(await content_of(storage, KEY)) == 3 * MIB


@pytest.mark.parametrize("came", [1, 9 * MIB, 17 * MIB])
async def test_a_write_that_breaks_off_leaves_nothing(storage: Storage, came: int) -> None:
    async def broken(length: int) -> AsyncIterator[bytes]:
        yield b"x" * length
        raise RuntimeError("the client went away")

    before = await kept(storage, "there/before", b"old")
    for key in (KEY, "there/before"):
        with pytest.raises(RuntimeError):
            await storage.write(key, broken(came), content_type=JPEG)
    assert await storage.stat(KEY) is None
    assert without_time(await storage.stat("there/before")) == without_time(before)
    assert [each async for each in storage.open_multiparts()] == []


async def test_a_write_that_is_cancelled_leaves_nothing(storage: Storage) -> None:
    stuck = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 17 * MIB
        stuck.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(storage.write(KEY, endless(), content_type=JPEG))
    await stuck.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await storage.stat(KEY) is None
    assert [each async for each in storage.open_multiparts()] == []


async def test_a_large_write_is_whole_and_takes_little_memory(storage: Storage) -> None:
    async def large() -> AsyncIterator[bytes]:
        for number in range(96):
            yield bytes([number]) * MIB

    tracemalloc.start()
    try:
        written = await storage.write(KEY, large(), content_type=JPEG)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 48 * MIB
    assert without_time(written) == without_time(await storage.stat(KEY))
    assert written.size == 96 * MIB
    assert await content_of(storage, KEY, start=8 * MIB - 1, end=8 * MIB + 1) == b"\x07\x08"
    assert await content_of(storage, KEY, start=96 * MIB - 1) == b"\x5f"


async def test_a_copy_is_the_same_bytes_and_replaces(storage: Storage) -> None:
    for source in ("one", "바다 1+1%20"):
        await kept(storage, source, source.encode())
        await kept(storage, "the target", b"something else")
        await storage.copy(source, "the target")
        assert await content_of(storage, "the target") == source.encode()
        assert await content_of(storage, source) == source.encode()


async def test_a_copy_onto_itself_changes_nothing(storage: Storage) -> None:
    await kept(storage, KEY, b"sea")
    await storage.copy(KEY, KEY)
    assert await content_of(storage, KEY) == b"sea"


async def test_deleting_twice_is_no_error(storage: Storage) -> None:
    await kept(storage, KEY, b"sea")
    await storage.delete(KEY)
    await storage.delete(KEY)
    assert await storage.stat(KEY) is None


@pytest.mark.parametrize("key", AWKWARD)
async def test_a_key_is_text_whatever_is_in_it(storage: Storage, key: str) -> None:
    await kept(storage, key, key.encode())
    assert await content_of(storage, key) == key.encode()
    await storage.copy(key, "copied/" + key[:100])
    assert sorted(await keys_of(storage)) == sorted([key, "copied/" + key[:100]])
    await storage.delete(key)
    assert await storage.stat(key) is None


async def test_keys_that_look_alike_are_different(storage: Storage) -> None:
    alike = ["a b", "a+b", "a%20b", "a%2Bb", "A b", "a/b", "a%2Fb", "é", "e\u0301", "a", "a.", "a%"]
    for key in alike:
        await kept(storage, key, key.encode())
    assert [await content_of(storage, key) for key in alike] == [key.encode() for key in alike]
    assert await keys_of(storage) == sorted(alike, key=str.encode)


@pytest.mark.parametrize("key", NO_KEYS)
async def test_what_is_no_key_is_refused_before_anything_is_touched(storage: Storage, key: str) -> None:
    signing: list[Callable[[], object]] = [
        lambda: storage.presign_put(key, content_type=JPEG, length=1, at=now(), lapses_in=LIFE),
        lambda: storage.presign_get(key, at=now(), lapses_in=LIFE),
        lambda: storage.presign_part(key, "0" * 32, 1, length=1, at=now(), lapses_in=LIFE),
    ]
    for sign in signing:
        with pytest.raises(ValueError, match=NO_KEY):
            sign()
    for ask in questions(storage, key):
        with pytest.raises(ValueError, match=NO_KEY):
            await ask()
    with pytest.raises(ValueError, match=NO_KEY):
        await storage.copy(KEY, key)
    assert await keys_of(storage) == []


async def test_a_list_is_in_the_order_of_bytes_and_holds_to_its_prefix(storage: Storage) -> None:
    keys = ["b", "a/2", "a/10", "a-b", "a", "A", "ab", "a/b/c", "é", "z", "바다", "🌊", "\uffee", "a b", "a%b"]
    for key in keys:
        await kept(storage, key, b"x" * len(key))
    in_order = sorted(keys, key=str.encode)
    listed = [each async for each in storage.list()]
    assert [(each.key, each.size) for each in listed] == [(key, len(key)) for key in in_order]
    assert all(abs(each.modified_at - now()) < timedelta(minutes=1) for each in listed)
    for prefix in ("a", "a/", "a/1", "a/b/c", "a/b/c/", "a ", "a%", "바", "nothing", "é"):
        assert await keys_of(storage, prefix) == [key for key in in_order if key.startswith(prefix)]


async def test_a_list_of_more_than_a_page_is_whole(storage: Storage) -> None:
    keys = [f"many/{number} +%" for number in range(1_003)]
    waiting = iter(keys)

    async def lane() -> None:
        for key in waiting:
            await kept(storage, key, b"")

    await asyncio.gather(*(lane() for _ in range(16)))
    assert await keys_of(storage, "many/") == sorted(keys)


async def test_setting_up_again_changes_nothing(storage: Storage) -> None:
    await kept(storage, KEY, b"sea")
    once = await storage.setup(origins=["http://localhost:8000"])
    assert once[0].done
    assert await storage.setup(origins=["http://localhost:8000"]) == once
    assert await content_of(storage, KEY) == b"sea"
