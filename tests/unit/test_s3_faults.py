"""What an answer of S3 means when it is a bad one: from a server on loopback that says what the test tells it to.
Whether real storages keep their promises is asked in `tests/contract`."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from mooring.errors import ObjectNotFound, StorageUnavailable
from mooring.storage import s3_calls
from mooring.storage.port import Part
from mooring.storage.s3 import S3Storage
from mooring.storage.s3_bucket import Bucket


@dataclass
class Told:
    """Answers in the order they were told; the last one stays."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        await request.read()
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, text=body, content_type="application/xml")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def storage(told: Told) -> AsyncIterator[S3Storage]:
    runner = web.ServerRunner(web.Server(told))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    storage = S3Storage(Bucket("b", "us-east-1", f"http://127.0.0.1:{runner.addresses[0][1]}", "key", "secret"))
    yield storage
    await storage.close()
    await runner.cleanup()


def error(code: str) -> str:
    return f"<Error><Code>{code}</Code></Error>"


async def test_what_a_moment_heals_is_tried_again(told: Told, storage: S3Storage) -> None:
    told.answers = [(503, error("SlowDown")), (500, error("InternalError")), (204, "")]
    await storage.delete("a")
    assert told.asked == ["DELETE /b/a"] * 3


@pytest.mark.parametrize("status", [301, 400, 401, 403, 409, 429, 500, 503])
async def test_no_other_answer_says_not_there(told: Told, storage: S3Storage, status: int) -> None:
    told.answers = [(status, "")]
    with pytest.raises(StorageUnavailable) as raised:
        await storage.stat("a")
    assert str(status) in raised.value.what
    assert str(status) not in raised.value.message


async def test_a_missing_bucket_does_not_say_that_its_objects_are_not_there(told: Told, storage: S3Storage) -> None:
    told.answers = [(404, "")]
    with pytest.raises(StorageUnavailable):
        await storage.stat("a")
    told.answers = [(404, error("NoSuchBucket"))]
    with pytest.raises(StorageUnavailable):
        await storage.delete("a")


async def test_a_failure_under_a_200_is_a_failure(told: Told, storage: S3Storage) -> None:
    parts = '<ListPartsResult><Part><PartNumber>1</PartNumber><Size>5</Size><ETag>"e"</ETag></Part></ListPartsResult>'
    told.answers = [(200, parts), (404, ""), (200, f"  \n{error('InternalError')}")]
    with pytest.raises(StorageUnavailable):
        await storage.complete_multipart("a", "id", [Part(1, 5, "e")])


async def test_an_upload_that_went_away_while_it_was_joined_is_not_open(told: Told, storage: S3Storage) -> None:
    parts = '<ListPartsResult><Part><PartNumber>1</PartNumber><Size>5</Size><ETag>"e"</ETag></Part></ListPartsResult>'
    told.answers = [(200, parts), (404, ""), (404, error("NoSuchUpload")), (404, "")]
    with pytest.raises(ObjectNotFound):
        await storage.complete_multipart("a", "id", [Part(1, 5, "e")])


@pytest.mark.parametrize(
    "answer",
    [
        "not xml",
        "",
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult><Contents><Key>&a;</Key></Contents></ListBucketResult>',
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    ],
)
async def test_a_list_that_makes_no_sense_is_no_empty_list(told: Told, storage: S3Storage, answer: str) -> None:
    told.answers = [(200, answer)]
    with pytest.raises(StorageUnavailable):
        await anext(storage.list())


async def test_names_that_are_no_keys_are_passed_over(told: Told, storage: S3Storage) -> None:
    entry = "<Contents><Key>{}</Key><Size>1</Size><LastModified>2030-01-02T03:04:05.000Z</LastModified></Contents>"
    told.answers = [(200, f"<ListBucketResult>{entry.format('folder/')}{entry.format('folder/a')}</ListBucketResult>")]
    assert [each.key async for each in storage.list()] == ["folder/a"]


async def test_a_storage_that_ignores_a_range_is_not_believed(told: Told, storage: S3Storage) -> None:
    told.answers = [(200, "0123456789")]
    with pytest.raises(StorageUnavailable):
        await anext(storage.read("a", start=3, end=5))


async def test_a_name_that_is_never_found_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    assert s3_calls._TIMEOUT.connect == 30
    monkeypatch.setattr(s3_calls, "_TIMEOUT", aiohttp.ClientTimeout(total=None, connect=0.05))
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    storage = S3Storage(Bucket("b", "us-east-1", "http://storage.example", "key", "secret"))
    async with asyncio.timeout(20):
        with pytest.raises(StorageUnavailable):
            await storage.stat("a")
    await storage.close()
