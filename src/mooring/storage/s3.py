"""Objects in a bucket of anything that speaks S3. How it is spoken to: `docs/decisions/0003-s3-calls.md`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from urllib.parse import quote, unquote_plus

from mooring import clock as real
from mooring.clock import Clock
from mooring.errors import ObjectChanged, ObjectNotFound, StorageUnavailable
from mooring.storage import s3_xml as xml
from mooring.storage.disposition import disposition
from mooring.storage.keys import check_key
from mooring.storage.parts import check_part
from mooring.storage.port import Found, Listed, OpenMultipart, Part, Signed, Step
from mooring.storage.s3_bucket import Bucket
from mooring.storage.s3_calls import Answer, Calls
from mooring.storage.s3_headers import base64_of, hex_of, length_of, size_of, time_of, type_of
from mooring.storage.s3_multipart import S3Multiparts, refuse_broken, succeeded
from mooring.storage.s3_setup import prepare
from mooring.storage.s3_sign import Signer

_MIB = 2**20
_WITH_CHECKSUM = {"x-amz-checksum-mode": "ENABLED"}


@dataclass(frozen=True)
class S3Storage:
    """Holds keys, not connections, until its first call."""

    bucket: Bucket
    clock: Clock = real.now
    part_bytes: int = 8 * _MIB  # of what we write ourselves; what fits one part is written in one go
    copy_bytes: int = 5 * 2**30  # the most that S3 copies in one go

    # ── temporary URLs ──

    def presign_put(
        self,
        key: str,
        *,
        content_type: str,
        length: int,
        at: datetime,
        lapses_in: timedelta,
        sha256: str | None = None,
        write_once: bool = True,
    ) -> Signed:
        check_key(key)
        headers = {"Content-Type": type_of(content_type)}
        if sha256 is not None:
            headers["x-amz-checksum-sha256"] = base64_of(sha256)
        if write_once:
            headers["If-None-Match"] = "*"
        signed = {**headers, "Content-Length": length_of(length)}
        return Signed(self._signer.url("PUT", key, at=at, lapses_in=lapses_in, headers=signed), headers)

    def presign_get(
        self,
        key: str,
        *,
        at: datetime,
        lapses_in: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> str:
        check_key(key)
        query = {}
        if filename is not None:
            query["response-content-disposition"] = disposition("attachment", filename)
        if content_type is not None:
            query["response-content-type"] = type_of(content_type)
        return self._signer.url("GET", key, at=at, lapses_in=lapses_in, query=query)

    def presign_part(
        self, key: str, multipart_id: str, number: int, *, length: int, at: datetime, lapses_in: timedelta
    ) -> Signed:
        check_key(key)
        check_part(number, length)
        query = {"partNumber": str(number), "uploadId": multipart_id}
        signed = {"Content-Length": length_of(length)}
        return Signed(self._signer.url("PUT", key, at=at, lapses_in=lapses_in, query=query, headers=signed), {})

    # ── objects ──

    async def stat(self, key: str) -> Found | None:
        answer = await self._head(key)
        if answer is None:
            return None
        sha256 = hex_of(answer.headers.get("x-amz-checksum-sha256", ""))
        return Found(size_of(answer), answer.etag, sha256, time_of(answer.headers.get("Last-Modified", "")))

    async def read(
        self, key: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        check_key(key)
        if end is not None and end <= start:
            await self._see(key, etag)
            return
        headers = {}
        is_partial = start > 0 or end is not None
        if is_partial:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if etag is not None:
            headers["If-Match"] = f'"{etag}"'
        async with self._calls.stream(key, good=(200, 206, 404, 409, 412, 416), headers=headers) as (
            answer,
            chunks,
        ):
            if answer.status == 404:
                raise ObjectNotFound(key)
            if answer.status == 412:
                raise ObjectChanged(key)
            refuse_broken(answer, key)
            if answer.status == 416:  # it begins behind the end, as every range of an empty object does
                await self._see(key, etag)
                return
            if is_partial and answer.status == 200 and size_of(answer):
                raise StorageUnavailable(f"GET {key}: {headers['Range']} was asked for, all of it came")
            try:
                async for chunk in chunks:
                    start += len(chunk)
                    yield chunk
            except StorageUnavailable:
                await self._see_what_broke(key, start)
                raise

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str) -> Found:
        check_key(key)
        async with aclosing(_in_pieces(chunks, self.part_bytes)) as pieces:
            first = await anext(pieces, b"")
            second = await anext(pieces, None)
            if second is None:
                answer = await self._calls.ask("PUT", key, headers={"Content-Type": content_type}, body=first)
                return Found(len(first), answer.etag)
            async with self._multipart(key, content_type) as multipart_id:
                parts = [await self._multiparts.put(key, multipart_id, 1, first)]
                parts.append(await self._multiparts.put(key, multipart_id, 2, second))
                del first, second
                async for piece in pieces:
                    parts.append(await self._multiparts.put(key, multipart_id, len(parts) + 1, piece))
                return await self._multiparts.join(key, multipart_id, parts)

    async def copy(self, source: str, target: str) -> None:
        check_key(target)
        answer = await self._head(source)
        if answer is None:
            raise ObjectNotFound(source)
        if source == target:
            return  # S3 refuses to copy an object onto itself
        origin = {"x-amz-copy-source": quote(f"/{self.bucket.name}/{source}")}
        if size_of(answer) > self.copy_bytes:
            await self._copy_in_parts(origin, answer, target)
            return
        copied = await self._calls.ask("PUT", target, good=(200, 404), headers=origin)
        if copied.status == 404:
            raise ObjectNotFound(source)
        succeeded(copied, f"copy {source} to {target}")

    async def delete(self, key: str) -> None:
        check_key(key)
        await self._calls.ask("DELETE", key, good=(200, 204, 404))

    async def list(self, prefix: str = "") -> AsyncIterator[Listed]:
        """Names that are no keys of ours, such as the `folder/` that consoles make, are passed over."""
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        while True:
            page = xml.read((await self._calls.ask("GET", query=query)).body)
            encoded = page.findtext("EncodingType") == "url"  # not every storage hears the wish
            for entry in page.findall("Contents"):
                key = unquote_plus(xml.text(entry, "Key")) if encoded else xml.text(entry, "Key")
                if _is_key(key):
                    modified_at = datetime.fromisoformat(xml.text(entry, "LastModified"))
                    yield Listed(key, int(xml.text(entry, "Size")), modified_at)
            if page.findtext("IsTruncated") != "true":
                return
            query["continuation-token"] = xml.text(page, "NextContinuationToken")

    # ── multipart ──

    async def begin_multipart(self, key: str, *, content_type: str) -> str:
        return await self._multiparts.begin(key, content_type=content_type)

    async def write_part(
        self, key: str, multipart_id: str, number: int, chunks: AsyncIterator[bytes], *, length: int
    ) -> Part:
        check_key(key)
        return await self._multiparts.stream(key, multipart_id, number, chunks, length=length)

    async def parts(self, key: str, multipart_id: str) -> Sequence[Part] | None:
        return await self._multiparts.parts(key, multipart_id)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Found:
        return await self._multiparts.complete(key, multipart_id, parts)

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        await self._multiparts.abort(key, multipart_id)

    def open_multiparts(self, prefix: str = "") -> AsyncIterator[OpenMultipart]:
        return self._multiparts.all(prefix)

    # ── the place itself ──

    async def setup(self, *, origins: Sequence[str], events: str | None = None) -> Sequence[Step]:
        return await prepare(self._calls, origins, events)

    async def ping(self) -> None:
        await self._calls.ask("HEAD")

    async def close(self) -> None:
        await self._calls.close()

    @cached_property
    def _calls(self) -> Calls:
        return Calls(self.bucket, self.clock)

    @cached_property
    def _signer(self) -> Signer:
        return self._calls.signer

    @cached_property
    def _multiparts(self) -> S3Multiparts:
        return S3Multiparts(self._calls)

    async def _head(self, key: str) -> Answer | None:
        check_key(key)
        answer = await self._calls.ask("HEAD", key, good=(200, 404), headers=_WITH_CHECKSUM)
        if answer.status == 404:
            await self._calls.see_bucket()
            return None
        return answer

    async def _see(self, key: str, etag: str | None) -> None:
        """What a read that brings no byte must still find out."""
        found = await self.stat(key)
        if found is None:
            raise ObjectNotFound(key)
        if etag is not None and found.etag != etag:
            raise ObjectChanged(key)

    async def _see_what_broke(self, key: str, at: int) -> None:
        """In the middle of an object Swift can only hang up; to who begins where it did, it says why."""
        headers = {"Range": f"bytes={at}-"}
        async with self._calls.stream(key, good=(200, 206, 404, 409, 416), headers=headers) as (answer, _):
            refuse_broken(answer, key)

    async def _copy_in_parts(self, origin: dict[str, str], answer: Answer, target: str) -> None:
        source = {**origin, "x-amz-copy-source-if-match": f'"{answer.etag}"'}
        size, step = size_of(answer), min(self.copy_bytes, 2**30)
        content_type = answer.headers.get("Content-Type", "application/octet-stream")
        async with self._multipart(target, content_type) as multipart_id:
            parts = []
            for number, start in enumerate(range(0, size, step), 1):
                piece = range(start, min(start + step, size))
                parts.append(await self._multiparts.copy(target, multipart_id, number, source=source, piece=piece))
            await self._multiparts.join(target, multipart_id, parts)

    @asynccontextmanager
    async def _multipart(self, key: str, content_type: str) -> AsyncIterator[str]:
        """One of our own: however its block fails, nothing of it is left."""
        multipart_id = await self._multiparts.begin(key, content_type=content_type)
        try:
            yield multipart_id
        except BaseException:
            with suppress(
                StorageUnavailable
            ):  # what went wrong first is what is told; lifecycle and reconcile clean up
                await asyncio.shield(self._multiparts.abort(key, multipart_id))
            raise


async def _in_pieces(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """Pieces of exactly `size`, but the last, whatever the chunks' lengths."""
    held = bytearray()
    async for chunk in chunks:
        rest = memoryview(chunk)
        while len(held) + len(rest) >= size:
            room = size - len(held)
            held += rest[:room]
            rest = rest[room:]
            yield bytes(held)
            held.clear()
        held += rest
    if held:
        yield bytes(held)


def _is_key(name: str) -> bool:
    try:
        check_key(name)
    except ValueError:
        return False
    return True
