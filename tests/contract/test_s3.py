"""What only S3 has, on real servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from contract.things import KEY, MIB, content_of, kept
from mooring.errors import ObjectNotFound
from mooring.storage.s3 import S3Storage
from mooring.storage.s3_calls import Calls


async def test_what_is_too_large_for_one_copy_is_copied_in_parts(s3: S3Storage) -> None:
    content = b"".join(bytes([number]) * MIB for number in range(13))
    await kept(s3, "바다/a+b", content, "image/webp")
    small = replace(s3, copy_bytes=6 * MIB)
    try:
        await small.copy("바다/a+b", "the copy")
        with pytest.raises(ObjectNotFound):
            await small.copy("nothing", "another")
    finally:
        await small.close()
    copied = await s3.stat("the copy")
    assert copied is not None
    assert copied.etag.endswith("-3")
    assert await content_of(s3, "the copy") == content
    async with calling(s3) as calls:
        assert (await calls.ask("HEAD", "the copy")).headers["Content-Type"] == "image/webp"
    assert [each async for each in s3.open_multiparts()] == []


async def test_a_closed_storage_opens_again_when_it_is_asked(s3: S3Storage) -> None:
    await kept(s3, KEY, b"sea")
    await s3.close()
    await s3.close()
    assert await content_of(s3, KEY) == b"sea"


async def test_setting_up_says_what_the_storage_lacks_and_what_to_do(s3: S3Storage, kind: str) -> None:
    bucket, cors, lifecycle = await s3.setup(origins=["https://photos.example.com"])
    assert (bucket.name, cors.name, lifecycle.name) == ("bucket", "cors", "lifecycle")
    assert bucket.done
    assert (cors.done, lifecycle.done) == ((True, True) if kind == "ceph" else (False, False))
    assert "https://photos.example.com" in cors.message
    if kind == "swift":
        assert "501" in cors.message
        assert "reconcile" in lifecycle.message


async def test_other_peoples_rules_stay_where_there_are_rules(s3: S3Storage, kind: str) -> None:
    if kind == "swift":
        assert not any(step.done for step in (await s3.setup(origins=["http://one.example.com"]))[1:])
        return
    theirs = (
        "<CORSConfiguration><CORSRule><ID>theirs</ID><AllowedOrigin>http://their.example.com</AllowedOrigin>"
        "<AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
    )
    async with calling(s3) as calls:
        await calls.ask("PUT", query={"cors": ""}, body=theirs.encode())
        for origin in ("http://one.example.com", "http://two.example.com"):
            assert all(step.done for step in await s3.setup(origins=[origin]))
        rules = (await calls.ask("GET", query={"cors": ""})).body.decode()
    assert rules.count("<CORSRule>") == 2
    assert "their.example.com" in rules
    assert "two.example.com" in rules
    assert "one.example.com" not in rules


@asynccontextmanager
async def calling(s3: S3Storage) -> AsyncIterator[Calls]:
    """Past the port, to see what the storage keeps."""
    calls = Calls(s3.bucket, s3.clock)
    try:
        yield calls
    finally:
        await calls.close()
