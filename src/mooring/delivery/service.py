"""A file on its way to somebody who may have it: by a CDN where there is one, else through us."""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from typing import Protocol

import structlog

from mooring.delivery.cdn.port import Signer
from mooring.errors import FileLost, MooringError, ObjectChanged, ObjectNotFound, UploadRejected
from mooring.observe.metrics import Metrics
from mooring.uploads import queries
from mooring.uploads.lifecycle import Trigger
from mooring.uploads.served import ServedFile
from mooring.uploads.service import Uploads

log = structlog.get_logger()

MOST_REMEMBERED = 10_000
SHORTEST_LIFE = timedelta(seconds=2)  # with less than that left, the token would be over before it is at the edge
REPLACED = "The object in storage was replaced after it had arrived."


@dataclass(frozen=True, slots=True)
class Redirect:
    url: str
    expires_at: datetime  # of the token in it


class Files(Protocol):
    """A storage whose objects are files of this machine."""

    async def hold(self, key: str, *, etag: str) -> int:
        """The open file, for the caller to close. `ObjectNotFound`; `ObjectChanged` where it no longer has `etag`."""


@dataclass(frozen=True)
class Delivery:
    uploads: Uploads
    metrics: Metrics
    signer: Signer | None = None
    token_life: timedelta = timedelta(seconds=120)
    files: Files | None = None
    remembered: OrderedDict[str, Redirect] = field(default_factory=OrderedDict, repr=False)

    # ── by the CDN ──

    def redirect(
        self, file: ServedFile, *, until: datetime | None = None, shortest: timedelta = SHORTEST_LIFE
    ) -> Redirect | None:
        """None: there is no CDN, or it can't be used now; stream the file. The token never outlives `until`. One is
        handed out for half of its life, so that whoever gets it has the other half to use it in."""
        if self.signer is None:
            return None
        at = self.uploads.clock()
        known = self.remembered.get(file.object_key)
        if (
            known is not None
            and known.expires_at - at >= self.token_life / 2
            and (until is None or known.expires_at <= until)
        ):
            return known
        return self._signed(self.signer, file.object_key, at, until, shortest)

    def cdn_url(self, file: ServedFile, until: datetime | None = None) -> str | None:
        """For an answer that only tells where the file is: nothing is streamed instead, however little is left."""
        redirect = self.redirect(file, until=until, shortest=timedelta.min)
        return redirect.url if redirect else None

    def _signed(
        self, signer: Signer, key: str, at: datetime, until: datetime | None, shortest: timedelta
    ) -> Redirect | None:
        whole = at + self.token_life
        expires_at = (whole if until is None else min(whole, until)).replace(microsecond=0)
        if expires_at - at < shortest:
            return None
        began = perf_counter()
        try:
            redirect = Redirect(signer.url(key, until=expires_at), expires_at)
        except Exception as failure:
            self.metrics.external_failed("cdn")
            log.warning("cdn_signer_failed", object_key=key, why=repr(failure))
            return None
        finally:
            self.metrics.external("cdn", began)
        if until is None or whole <= until:
            self._remember(key, redirect)
        return redirect

    def _remember(self, key: str, redirect: Redirect) -> None:
        self.remembered.pop(key, None)  # to its end again: what is forgotten is what was signed first
        if len(self.remembered) >= MOST_REMEMBERED:
            self.remembered.popitem(last=False)
        self.remembered[key] = redirect

    # ── through us ──

    async def open(self, file: ServedFile, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to, not including, `end`: exactly those we vouched for. When this returns they are
        on their way; what was wrong was raised here."""
        reading = self._read(file, start, end)
        try:
            await anext(reading)
        except (ObjectChanged, ObjectNotFound) as failure:
            raise await self._why_not(file, failure) from None
        return reading

    async def hold(self, file: ServedFile) -> int | None:
        """The same as an open file, for the caller to close; None where there are no files."""
        if self.files is None:
            return None
        try:
            return await self.files.hold(file.object_key, etag=file.etag)
        except (ObjectChanged, ObjectNotFound) as failure:
            raise await self._why_not(file, failure) from None

    async def see(self, file: ServedFile) -> None:
        """Raises what `open` would."""
        found = await self.uploads.storage.stat(file.object_key)
        if found is None:
            raise await self._why_not(file, ObjectNotFound(file.object_key))
        if found.etag != file.etag:
            raise await self._why_not(file, ObjectChanged(file.object_key))

    async def _read(self, file: ServedFile, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        reading = self.uploads.storage.read(file.object_key, start=start, end=end, etag=file.etag)
        async with aclosing(reading) as pieces:
            first = await anext(pieces, b"")
            yield b""  # for `open`: it is begun
            yield first
            async for piece in pieces:
                yield piece

    async def _why_not(self, file: ServedFile, failure: ObjectChanged | ObjectNotFound) -> MooringError:
        """Bytes that nobody verified are never served: who replaced an upload's loses it. The keys of what processing
        made are in nobody's hands, and no key is for those who ask."""
        is_changed = isinstance(failure, ObjectChanged)
        upload = await queries.find_by_key(self.uploads.db, file.object_key) if is_changed else None
        if upload is not None and await self.uploads.reject(upload, REPLACED, trigger=Trigger.CLIENT):
            return UploadRejected(upload.id, REPLACED)
        log.error("file_lost", object_key=file.object_key, why=str(failure))
        return FileLost()
