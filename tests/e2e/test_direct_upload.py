"""A file as large as they come, through a real server: its memory stays what it was."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

from e2e.test_s3 import pytest_generate_tests, server, serving_from
from servers.s3 import S3Server
from servers.serving import Mooring, Person, Serving, until

__all__ = ["pytest_generate_tests", "server"]

GIB = 2**30
MOST_GROWTH = 16 * 2**20
IN_PARTS, MOST_GROWTH_IN_PARTS = 256 * 2**20, 48 * 2**20
HEAD = (
    b'--x\r\nContent-Disposition: form-data; name="album_id"\r\n\r\n%d\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="large.jpg"\r\n\r\n\xff\xd8\xff'
)
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def form(person: Person, size: int, process: psutil.Process, seen: list[int]) -> Iterator[bytes]:
    """In pieces that hold what looks like the end of a part; the server's memory is looked at as they go."""
    yield HEAD % person.album_id
    deceiving = b"\r\n--y\r\n\r\n--x-\r\n\r\n"
    piece = os.urandom(2**16 - len(deceiving)) + deceiving
    for number in range(size // len(piece)):
        if number % 256 == 0:
            seen.append(process.memory_info().rss)
        yield piece
    yield b"\r\n--x--\r\n"


def test_memory_stays_flat_at_a_gigabyte(mooring: Mooring) -> None:
    serving = mooring.serve(MOORING_PHOTO_MAX_BYTES=str(2 * GIB))
    assert growth_at(GIB, serving) < MOST_GROWTH


def test_memory_stays_flat_where_the_file_goes_on_to_s3(server: S3Server, mooring: Mooring) -> None:
    """There it goes in parts of 8 MiB: two of them, and copies on their way, are in memory, whatever its size."""
    mooring.env["MOORING_PHOTO_MAX_BYTES"] = str(2 * GIB)
    assert growth_at(IN_PARTS, serving_from(server, mooring)) < MOST_GROWTH_IN_PARTS


def growth_at(size: int, serving: Serving) -> int:
    """How much more memory it takes than a small file."""
    person = serving.sign_in()
    process = psutil.Process(serving.process.pid)
    seen: list[int] = []
    first = person.http.post("/photos/", content=form(person, 2**20, process, seen), headers=FORM)
    assert first.status_code == 201, first.text
    before = process.memory_info().rss
    answer = person.http.post("/photos/", content=form(person, size, process, seen), headers=FORM, timeout=300)
    assert answer.status_code == 201, answer.text
    photo = person.http.get(f"/photos/{answer.json()['photo_id']}").json()
    assert photo["file_size"] == size + 3
    print(f"{before / 2**20:.0f} MB before, at most {max(seen) / 2**20:.0f} MB during")
    person.http.delete(f"/photos/{answer.json()['photo_id']}")
    return max(seen) - int(before)


def test_who_is_cut_off_in_the_middle_leaves_nothing(mooring: Mooring) -> None:
    serving = mooring.serve()
    person = serving.sign_in()
    process = psutil.Process(serving.process.pid)

    def torn() -> Iterator[bytes]:
        pieces = form(person, 2**24, process, [])
        for _ in range(100):
            yield next(pieces)
        raise ConnectionAbortedError

    with suppress(ConnectionAbortedError):
        person.http.post("/photos/", content=torn(), headers=FORM)
    until(lambda: not files(mooring.data / "storage") or None)
    assert person.http.get("/photos").json()["photos"] == []


def files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
