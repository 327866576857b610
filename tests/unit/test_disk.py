"""What the disk store promises beyond the port's contract."""

import asyncio
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from conftest import HeldClock
from mooring.errors import ObjectChanged, ObjectNotFound, StorageUnavailable
from mooring.storage import disk_multipart
from mooring.storage.disk import DiskStorage
from mooring.storage.disk_draft import Draft
from mooring.storage.disk_files import DiskFiles
from mooring.storage.port import Part, Storage
from servers import ours


@pytest.fixture
async def disk(tmp_path: Path, clock: HeldClock) -> DiskStorage:
    disk = DiskStorage(tmp_path / "store", b"a secret of the tests alone......", "http://localhost", clock)
    await disk.setup(origins=[])
    return disk


async def write(storage: Storage, key: str, content: bytes = b"bytes") -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    return (await storage.write(key, chunks(), content_type="image/jpeg")).etag


async def content(storage: Storage, key: str) -> bytes:
    return b"".join([piece async for piece in storage.read(key)])


def files(disk: DiskStorage) -> list[str]:
    return sorted(name for _, _, names in os.walk(disk.root) for name in names)


async def test_an_etag_is_new_for_every_rewrite_even_after_a_deletion(disk: DiskStorage) -> None:
    etags = set()
    for deleted_between in [True, False] * 20:
        etags.add(await write(disk, "a"))
        if deleted_between:
            await disk.delete("a")
    assert len(etags) == 40


async def test_an_etag_survives_moving_the_store_with_its_times(disk: DiskStorage, tmp_path: Path) -> None:
    etag = await write(disk, "photos/a")
    subprocess.run(["cp", "-a", disk.root, tmp_path / "restored"], check=True)
    restored = DiskStorage(tmp_path / "restored", disk.secret, disk.public_url, disk.clock)
    found = await restored.stat("photos/a")
    assert found is not None
    assert found.etag == etag


async def test_an_object_is_as_old_as_the_clock_says(disk: DiskStorage, clock: HeldClock) -> None:
    await write(disk, "a")
    clock.forward(days=2)
    await write(disk, "b")
    ages = [clock() - listed.modified_at async for listed in disk.list()]
    assert [round(age.total_seconds(), 2) for age in ages] == [2 * 86400, 0]


async def test_a_missing_store_is_not_an_empty_one(disk: DiskStorage) -> None:
    (disk.root / "objects").rename(disk.root / "elsewhere")
    with pytest.raises(StorageUnavailable):
        await disk.stat("a")
    with pytest.raises(StorageUnavailable):
        await disk.delete("a")
    with pytest.raises(StorageUnavailable):
        await content(disk, "a")
    with pytest.raises(StorageUnavailable):
        await write(disk, "a")
    with pytest.raises(StorageUnavailable):
        _ = [listed async for listed in disk.list()]
    with pytest.raises(StorageUnavailable):
        await disk.ping()
    assert files(disk) == []


async def test_links_are_never_followed(disk: DiskStorage, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (disk.root / "objects" / "away%").symlink_to(outside)
    (disk.root / "objects" / "file").symlink_to(outside / "secret")
    for key in ("away/secret", "file"):
        with pytest.raises(StorageUnavailable):
            await disk.stat(key)
        with pytest.raises(StorageUnavailable):
            await content(disk, key)
    with pytest.raises(StorageUnavailable):
        await write(disk, "away/new")
    with pytest.raises(StorageUnavailable):
        await disk.delete("away/secret")
    assert [listed async for listed in disk.list()] == []
    assert os.listdir(outside) == ["secret"]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """As far as writing is concerned: files of this process can't grow beyond `size`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_nothing_behind(disk: DiskStorage) -> None:
    with full_disk(2**21), pytest.raises(StorageUnavailable) as raised:
        await write(disk, "a", b"x" * (2**21 + 1))
    assert "EFBIG" in raised.value.what or "too large" in raised.value.what
    assert files(disk) == []


async def test_a_cancelled_write_leaves_nothing_behind(disk: DiskStorage) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 2**20
            begun.set()

    writing = asyncio.create_task(disk.write("a", endless(), content_type="image/jpeg"))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert files(disk) == []


CRASH = """
import asyncio, os, signal, sys
from pathlib import Path
from mooring.clock import now
from mooring.storage.disk import DiskStorage

async def chunks():
    yield b"x" * 2**21
    yield b"x" * 2**21
    os.kill(os.getpid(), signal.SIGKILL)

disk = DiskStorage(Path(sys.argv[1]), b"", "", now)
asyncio.run(disk.write("a", chunks(), content_type="image/jpeg"))
"""


async def test_setup_removes_what_a_crash_left_and_nothing_that_is_being_written(disk: DiskStorage) -> None:
    assert ours.run([ours.PYTHON, "-c", CRASH, disk.root]).returncode == -9
    assert len(files(disk)) == 1
    draft = Draft(disk.root / "tmp")
    draft.open()
    try:
        steps = await disk.setup(origins=[])
        assert all(step.done for step in steps)
        assert "1 unfinished" in steps[-1].message
        assert files(disk) == [draft.path.name]
    finally:
        draft.discard()


async def test_setup_says_why_a_folder_cannot_be_used(tmp_path: Path, clock: HeldClock) -> None:
    (tmp_path / "file").touch()
    steps = await DiskStorage(tmp_path / "file" / "store", b"", "", clock).setup(origins=[])
    assert [step.done for step in steps] == [False]
    assert "file" in steps[0].message


async def test_reading_stands_by_the_object_it_began_with(disk: DiskStorage) -> None:
    old = await write(disk, "a", b"old" * 2**20)
    reading = disk.read("a", etag=old)
    first = await anext(reading)
    new = await write(disk, "a", b"new" * 2**20)
    rest = [piece async for piece in reading]
    assert b"".join([first, *rest]) == b"old" * 2**20
    with pytest.raises(ObjectChanged):
        await anext(disk.read("a", etag=old))
    assert (await anext(disk.read("a", etag=new)))[:3] == b"new"


async def multipart_of(disk: DiskStorage, *contents: bytes) -> tuple[str, list[Part]]:
    multipart_id = await disk.begin_multipart("a", content_type="video/mp4")
    for number, part in enumerate(contents, 1):
        draft = Draft(disk.root / "tmp")
        draft.open()
        draft.write([part])
        disk._multiparts.add(draft, "a", multipart_id, number)
        draft.discard()
    return multipart_id, list(await disk.parts("a", multipart_id) or [])


async def test_of_two_completions_at_once_one_joins_and_its_etag_stays(disk: DiskStorage) -> None:
    multipart_id, parts = await multipart_of(disk, b"one" * 2**20, b"two")
    answers = await asyncio.gather(
        *(disk.complete_multipart("a", multipart_id, parts) for _ in range(3)), return_exceptions=True
    )
    joined = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert [type(answer) for answer in answers if answer not in joined] == [ObjectNotFound] * 2
    assert joined == [await disk.stat("a")]
    assert await content(disk, "a") == b"one" * 2**20 + b"two"
    assert files(disk) == ["a"]


async def test_a_part_that_was_sent_again_meanwhile_is_not_joined(disk: DiskStorage) -> None:
    multipart_id, parts = await multipart_of(disk, b"one", b"two")
    stale = Part(2, 3, "1-3")
    for chosen in ([parts[0], stale], [], [parts[0], parts[0]], [*parts, Part(3, 3, "1-3")]):
        with pytest.raises(ValueError, match=r"[Pp]art"):
            await disk.complete_multipart("a", multipart_id, chosen)
    assert await disk.stat("a") is None
    await disk.complete_multipart("a", multipart_id, parts[1:])
    assert await content(disk, "a") == b"two"


@pytest.mark.parametrize("multipart_id", ["", "..", "../objects", "f" * 32, "/etc"])
async def test_an_unknown_multipart_id_is_simply_not_open(disk: DiskStorage, multipart_id: str) -> None:
    assert await disk.parts("a", multipart_id) is None
    await disk.abort_multipart("a", multipart_id)
    with pytest.raises(ObjectNotFound):
        await disk.complete_multipart("a", multipart_id, [Part(1, 1, "1-1")])


async def test_a_multipart_upload_is_open_for_its_own_key_only(disk: DiskStorage) -> None:
    multipart_id, _ = await multipart_of(disk, b"one")
    assert await disk.parts("b", multipart_id) is None
    await disk.abort_multipart("b", multipart_id)
    assert [one.key async for one in disk.open_multiparts()] == ["a"]
    assert [one.key async for one in disk.open_multiparts("b")] == []
    await disk.abort_multipart("a", multipart_id)
    assert [one async for one in disk.open_multiparts()] == []
    assert files(disk) == []


# ── killed while parts are joined ──


class Killed(BaseException):
    pass


async def begun_with_parts(disk: DiskStorage) -> tuple[str, list[Part]]:
    multipart_id = await disk.begin_multipart("film", content_type="video/mp4")
    for number, body in enumerate((b"one", b"two"), 1):
        url = disk.presign_part("film", multipart_id, number, length=3, at=disk.clock(), lapses_in=timedelta(minutes=1))
        await disk.receive("film", url.url.partition("?")[2], content_type=None, length=3, chunks=one(body))
    return multipart_id, list(await disk.parts("film", multipart_id) or [])


async def one(body: bytes) -> AsyncIterator[bytes]:
    yield body


def dying_in(monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(where, name, die)


async def test_what_was_joined_is_not_joined_again_by_who_follows_the_killed(
    disk: DiskStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object may have arrived meanwhile: another, of the same bytes, would not be the one that was verified."""
    multipart_id, parts = await begun_with_parts(disk)
    with monkeypatch.context() as dying:
        dying_in(dying, disk_multipart, "_remove")
        with pytest.raises(Killed):
            await disk.complete_multipart("film", multipart_id, parts)
    joined = await disk.stat("film")
    assert joined is not None
    assert await disk.parts("film", multipart_id) is None
    with pytest.raises(ObjectNotFound):
        await disk.complete_multipart("film", multipart_id, parts)
    assert await disk.stat("film") == joined
    await disk.setup(origins=[])
    assert [each async for each in disk.open_multiparts()] == []
    assert await content(disk, "film") == b"onetwo"


async def test_who_was_killed_before_the_object_was_there_is_followed(
    disk: DiskStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    multipart_id, parts = await begun_with_parts(disk)
    with monkeypatch.context() as dying:
        dying_in(dying, DiskFiles, "publish")
        with pytest.raises(Killed):
            await disk.complete_multipart("film", multipart_id, parts)
    assert await disk.parts("film", multipart_id) == parts
    await disk.setup(origins=[])
    await disk.complete_multipart("film", multipart_id, parts)
    assert await content(disk, "film") == b"onetwo"
    assert [each async for each in disk.open_multiparts()] == []


async def test_an_abort_closes_what_was_joined_too(disk: DiskStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    multipart_id, parts = await begun_with_parts(disk)
    with monkeypatch.context() as dying:
        dying_in(dying, disk_multipart, "_remove")
        with pytest.raises(Killed):
            await disk.complete_multipart("film", multipart_id, parts)
    await disk.abort_multipart("film", multipart_id)
    assert [each async for each in disk.open_multiparts()] == []
    assert await content(disk, "film") == b"onetwo"
