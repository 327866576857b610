"""Objects as files of this machine: the port, and the other end of the temporary URLs."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from mooring.clock import Clock
from mooring.errors import ChecksumDiffers, ObjectExists, ObjectNotFound, StorageUnavailable
from mooring.storage.disk_draft import PIECE, Draft, sweep
from mooring.storage.disk_files import DiskFiles, found
from mooring.storage.disk_multipart import DiskMultiparts
from mooring.storage.disk_urls import DiskUrls, PutTerms, Shown
from mooring.storage.keys import check_key
from mooring.storage.parts import check_part, exactly
from mooring.storage.port import Found, Listed, OpenMultipart, Part, Signed, Step
from mooring.storage.threads import each, off_loop

_PAGE = 500


def _unheard(_: str) -> None:
    return None


@dataclass(frozen=True)
class DiskStorage:
    root: Path
    secret: bytes
    public_url: str
    clock: Clock
    # Told the key of each object that a client brought, as a bucket tells with its events. It must not wait or fail.
    tell: Callable[[str], None] = _unheard

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
        return self._urls.put(
            key,
            content_type=content_type,
            length=length,
            at=at,
            lapses_in=lapses_in,
            sha256=sha256,
            write_once=write_once,
        )

    def presign_get(
        self,
        key: str,
        *,
        at: datetime,
        lapses_in: timedelta,
        filename: str | None = None,
        content_type: str | None = None,
    ) -> str:
        return self._urls.get(key, at=at, lapses_in=lapses_in, filename=filename, content_type=content_type)

    def presign_part(
        self, key: str, multipart_id: str, number: int, *, length: int, at: datetime, lapses_in: timedelta
    ) -> Signed:
        return self._urls.part(key, multipart_id, number, length=length, at=at, lapses_in=lapses_in)

    async def receive(
        self,
        key: str,
        query: str,
        *,
        content_type: str | None,
        length: int | None,
        chunks: AsyncIterator[bytes],
    ) -> Found:
        """A PUT to one of these URLs."""
        terms = self._urls.read_put(key, query, at=self.clock())
        terms.check_headers(content_type=content_type, length=length)
        if terms.write_once and await self.stat(key):
            raise ObjectExists  # known before a gigabyte was read; the link below is what decides
        came = await self._keep(terms.exactly(chunks), self._namer(key, terms), sha256=terms.sha256)
        if terms.multipart_id is None:
            self.tell(key)
        return came

    async def show(self, key: str, query: str) -> Shown:
        """A GET or HEAD of one of these URLs."""
        terms = self._urls.read_get(key, query, at=self.clock())
        facts = await off_loop(self._files.stat, key)
        if facts is None:
            raise ObjectNotFound(key)
        return Shown(
            path=self._files.path(key),
            facts=facts,
            etag=found(facts).etag,
            filename=terms.get("filename"),
            content_type=terms.get("type", "application/octet-stream"),
        )

    async def hold(self, key: str, *, etag: str) -> int:
        """The open file of exactly these bytes, for the caller to close."""
        return await off_loop(self._files.hold, key, etag=etag)

    # ── objects ──

    async def stat(self, key: str) -> Found | None:
        facts = await off_loop(self._files.stat, key)
        return None if facts is None else found(facts)

    async def read(
        self, key: str, *, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        async for piece in each(self._files.read(key, start=start, end=end, etag=etag), 1):
            yield piece

    async def write(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str) -> Found:
        # The type is not kept: the database knows it, and says it in each URL for GET.
        check_key(key)
        return await self._keep(chunks, lambda draft: self._files.publish(draft, key, replace=True))

    async def copy(self, source: str, target: str) -> None:
        await off_loop(self._files.copy, source, target)

    async def delete(self, key: str) -> None:
        await off_loop(self._files.delete, key)

    async def list(self, prefix: str = "") -> AsyncIterator[Listed]:
        async for listed in each(self._files.list(prefix), _PAGE):
            yield listed

    # ── multipart ──

    async def begin_multipart(self, key: str, *, content_type: str) -> str:
        return await off_loop(self._multiparts.begin, key)

    async def write_part(
        self, key: str, multipart_id: str, number: int, chunks: AsyncIterator[bytes], *, length: int
    ) -> Part:
        check_part(number, length)
        kept = await self._keep(
            exactly(chunks, length), lambda draft: self._multiparts.add(draft, key, multipart_id, number)
        )
        return Part(number, length, kept.etag)

    async def parts(self, key: str, multipart_id: str) -> Sequence[Part] | None:
        return await off_loop(self._multiparts.parts, key, multipart_id)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Found:
        joined = await off_loop(self._multiparts.complete, key, multipart_id, parts)
        self.tell(key)
        return joined

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        await off_loop(self._multiparts.abort, key, multipart_id)

    async def open_multiparts(self, prefix: str = "") -> AsyncIterator[OpenMultipart]:
        async for multipart in each(self._multiparts.all(prefix), _PAGE):
            yield multipart

    # ── the place itself ──

    async def setup(self, *, origins: Sequence[str], events: str | None = None) -> Sequence[Step]:
        """Folders made, leftovers of crashes removed. `origins`: the application's own CORS covers them. `events`: it
        tells of what came within its process, and nobody else."""
        try:
            gone = await off_loop(self._prepare)
        except StorageUnavailable as problem:
            return [Step("folder", False, f"{self.root} can't be used: {problem.what}")]
        return [
            Step("folder", True, f"{self.root} is ready."),
            Step("leftovers", True, f"{gone} unfinished files of earlier runs removed."),
        ]

    async def ping(self) -> None:
        await off_loop(self._try)

    async def close(self) -> None:
        """Nothing is held open."""

    @cached_property
    def _files(self) -> DiskFiles:
        return DiskFiles(self.root, self.clock)

    @cached_property
    def _multiparts(self) -> DiskMultiparts:
        return DiskMultiparts(self._files)

    @cached_property
    def _urls(self) -> DiskUrls:
        return DiskUrls(self.secret, self.public_url)

    def _namer(self, key: str, terms: PutTerms) -> Callable[[Draft], Found]:
        multipart_id = terms.multipart_id
        if multipart_id is not None:
            return lambda draft: self._multiparts.add(draft, key, multipart_id, terms.part)
        return lambda draft: self._files.publish(draft, key, replace=not terms.write_once)

    async def _keep(
        self, chunks: AsyncIterator[bytes], give_name: Callable[[Draft], Found], *, sha256: str | None = None
    ) -> Found:
        """All that comes becomes a file, or nothing does."""
        draft = Draft(self._files.tmp, hashing=sha256 is not None)
        try:
            await off_loop(draft.open)
            pieces, size = [], 0
            async for chunk in chunks:
                pieces.append(chunk)
                size += len(chunk)
                if size >= PIECE:
                    await off_loop(draft.write, pieces)
                    pieces, size = [], 0
            if pieces:
                await off_loop(draft.write, pieces)
            if sha256 is not None and draft.sha256() != sha256:
                raise ChecksumDiffers
            return await off_loop(give_name, draft)
        finally:
            await off_loop(draft.discard)

    def _prepare(self) -> int:
        for folder in (self._files.base, self._files.objects, self._files.multipart, self._files.tmp):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._try()
        return sweep(self._files.tmp) + self._multiparts.sweep()

    def _try(self) -> None:
        """A file is really made, written, linked and removed: permission, space, kind of file system."""
        self._files.be_there()
        draft = Draft(self._files.tmp)
        try:
            draft.open()
            draft.write([b"mooring"])
            second = draft.path.with_suffix(".link")
            os.link(draft.path, second)
            second.unlink()
        finally:
            draft.discard()
