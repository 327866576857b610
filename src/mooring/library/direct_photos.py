"""Photos that come through us: looked at as they come, stored, then taken into their album."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from mooring.db.pool import Executor
from mooring.errors import AlbumNotFound, FileTooLarge, QuotaExceeded, TooManyInFlight, TypeNotAllowed
from mooring.library.photos import ISSUE_PHOTOS, Photos
from mooring.uploads.direct import DirectUploads, Landing
from mooring.uploads.lifecycle import Upload
from mooring.uploads.service import Claim
from mooring.uploads.signatures import ENOUGH, picture_type

log = structlog.get_logger()


async def never() -> bool:
    return False


@dataclass(frozen=True)
class DirectPhotos:
    photos: Photos
    direct: DirectUploads

    @asynccontextmanager
    async def receiving(
        self,
        filename: str,
        chunks: AsyncIterator[bytes],
        *,
        at_least: int,
        user_id: int,
        album_id: int,
        was_taken_in: Callable[[], Awaitable[bool]] = never,
    ) -> AsyncIterator[Landing]:
        """The file, in storage; `take_in` makes a photo of it, and without that it is gone when the block ends.
        `at_least`: bytes it is known to have before it is read. In guide 001 §8's order: too large, type, album.
        `was_taken_in`: it is sent once more, and gets its answer of then whatever has become of album and quota."""
        metrics, kind = self.photos.metrics, self.photos.kind
        try:
            if at_least > kind.max_bytes:
                raise FileTooLarge(kind.name, None, kind.max_bytes)
            beginning, whole = await _look(self._bounded(chunks))
            content_type = picture_type(beginning)
            if content_type is None:
                raise TypeNotAllowed(kind.name, None, kind.content_types)
            size = max(at_least, len(beginning))
            await self._check_target(user_id, album_id, size, was_taken_in)
            claim = Claim(filename, content_type, file_size=size)
            wanted = self.photos.uploads.want(kind, claim, uploader_id=user_id, target_id=album_id)
            async with self.direct.landing(wanted, whole) as landing:
                yield landing
        except BaseException:
            metrics.direct("failure")
            raise
        if landing.upload is not None:
            metrics.direct("success", landing.upload.file_size)
            log.info("photo_uploaded", upload_id=landing.upload.id, user_id=user_id)

    async def take_in(
        self, landing: Landing, *, title: str | None, description: str | None, tx: Executor | None = None
    ) -> Upload:
        if tx is None:
            async with self.photos.uploads.db.transaction() as own:
                return await self.take_in(landing, title=title, description=description, tx=own)
        upload = await self.direct.take_in(tx, ISSUE_PHOTOS, landing)
        if upload is None:
            raise AlbumNotFound(landing.wanted.target_id or 0)
        if title is not None or description is not None:
            sql = "UPDATE photos SET title = $2, description = $3 WHERE id = $1"
            await tx.fetch(sql, upload.id, title, description)
        return upload

    async def _check_target(
        self, user_id: int, album_id: int, size: int, was_taken_in: Callable[[], Awaitable[bool]]
    ) -> None:
        """Before a byte is stored. All of it may change before the last one came: `ISSUE_PHOTOS` looks again."""
        try:
            await self._check_album(album_id, user_id)
            await self.direct.check_room(user_id, size)
        except (AlbumNotFound, QuotaExceeded, TooManyInFlight):
            if not await was_taken_in():
                raise

    async def _check_album(self, album_id: int, user_id: int) -> None:
        sql = "SELECT 1 FROM albums WHERE id = $1 AND owner_id = $2"
        if not await self.photos.uploads.db.fetch(sql, album_id, user_id):
            raise AlbumNotFound(album_id)

    async def _bounded(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        came = 0
        async for chunk in chunks:
            came += len(chunk)
            if came > self.photos.kind.max_bytes:
                raise FileTooLarge(self.photos.kind.name, None, self.photos.kind.max_bytes)
            yield chunk


async def _look(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first bytes, and all of them."""
    beginning = b""
    async for chunk in chunks:
        beginning += chunk
        if len(beginning) >= ENOUGH:
            break

    async def whole() -> AsyncIterator[bytes]:
        yield beginning
        async for chunk in chunks:
            yield chunk

    return beginning, whole()
