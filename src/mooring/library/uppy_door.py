"""What one capability opens to Uppy: files in one go, and in parts."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import asyncpg
import structlog

from mooring.db.pool import Database
from mooring.errors import (
    AlbumNotFound,
    FileTooLarge,
    MooringError,
    NotPending,
    ObjectNotFound,
    UploadNotFound,
    UrlNotValid,
)
from mooring.library.capabilities import Grant
from mooring.observe.metrics import Metrics
from mooring.observe.words import Result
from mooring.storage.keys import safe_name
from mooring.storage.port import Part
from mooring.uploads import queries, removals
from mooring.uploads.direct import DirectUploads, Landing
from mooring.uploads.in_parts import InParts, is_possible
from mooring.uploads.judging import verdict_error
from mooring.uploads.kinds import Kind
from mooring.uploads.lifecycle import COLUMNS, SLOW_PUT, State, Trigger, Upload, upload_of
from mooring.uploads.multipart import LARGEST_PART, MOST_PARTS, SMALLEST_PART, UNTOLD
from mooring.uploads.open_size import NOTHING_YET, OpenSize
from mooring.uploads.queries import Verdict, Wanted
from mooring.uploads.service import Claim, Uploads

log = structlog.get_logger()

REMOVE_WAITING = removals.removing(
    "SELECT id FROM uploads WHERE id = ANY ($5::bigint[]) AND processing_status = 'PENDING' FOR UPDATE"
)


@dataclass(frozen=True, slots=True)
class Lane:
    """How a file of one kind is issued, and whose its target is."""

    kind: Kind
    statement: str
    owned: str | None = None  # SQL: is target $1 the user's $2? None: there is nothing to own
    also: Callable[[Grant], Sequence[Any]] = lambda _: ()  # what the statement asks for besides

    def target_id(self, granted: Grant) -> int | None:
        return granted.target if self.owned and isinstance(granted.target, int) else None

    async def check_target(self, db: Database, granted: Grant) -> None:
        if self.owned and not await db.fetch(self.owned, self.target_id(granted), granted.user_id):
            raise AlbumNotFound(self.target_id(granted) or 0)


class Told(NamedTuple):
    """What Uppy tells of a file, and what a page may have it tell besides."""

    filename: str
    content_type: str
    file_size: int | None = None
    part_size: int | None = None


class Ticket(NamedTuple):
    """How to send a file in one go."""

    method: str
    url: str
    headers: Mapping[str, str]
    key: str


class PartTicket(NamedTuple):
    url: str
    lapses_in: timedelta


@dataclass(frozen=True)
class Door:
    """What one capability opens. Whoever has it is nobody else, and sees nothing else."""

    uploads: Uploads
    direct: DirectUploads
    metrics: Metrics
    lane: Lane
    granted: Grant
    url: str

    # ── in one go ──

    async def ticket(self, told: Told, *, takes_put: bool) -> Ticket:
        if not (told.file_size and takes_put):
            wanted = self._want(told)
            await self.direct.check_room(self.granted.user_id, wanted.file_size)
            return Ticket("POST", f"{self.url}/form", {}, wanted.object_key)
        with self._presigning(told):
            wanted = self._want(told)
            await self._issue(wanted)
        put = self.uploads.signed_put(wanted, at=wanted.at)
        return Ticket("PUT", put.url, put.headers, wanted.object_key)

    @contextmanager
    def _presigning(self, told: Told) -> Iterator[None]:
        """Photos have counters of their own (guide 001 §9), whoever uploads them."""
        result: Result = "failure"
        try:
            yield
            result = "success"
        finally:
            if self.lane.kind.name == "photo":
                self.metrics.presign(result)
        if self.lane.kind.name == "photo" and told.file_size:
            self.metrics.issued(told.file_size)

    async def receive(self, told: Told, key: str, chunks: AsyncIterator[bytes], *, at_least: int) -> Upload:
        try:
            upload = await self._receive(told, key, chunks, at_least)
        except BaseException:
            self._direct("failure")
            raise
        self._direct("success", upload.file_size)
        return upload

    def _direct(self, result: Result, file_size: int | None = None) -> None:
        if self.lane.kind.name == "photo":
            self.metrics.direct(result, file_size)

    async def _receive(self, told: Told, key: str, chunks: AsyncIterator[bytes], at_least: int) -> Upload:
        """A form. Uppy sends one again whose answer it did not get: that makes one upload, of the first to end. Each
        try has an object of its own, so that none writes over what another brought."""
        uuid = queries.uuid_in(key)
        if uuid is None:
            raise ObjectNotFound(key)
        with suppress(ObjectNotFound):
            known = await self._by_uuid(uuid)
            async for _ in self._bounded(chunks):  # whoever sends it reads no answer before
                pass
            return known
        wanted = self._want(told._replace(file_size=at_least))
        own_key = f"{self.lane.kind.directory}/{uuid}_{token_hex(4)}_{safe_name(told.filename)}"
        wanted = wanted._replace(uuid=uuid, object_key=own_key)
        await self.lane.check_target(self.uploads.db, self.granted)
        await self.direct.check_room(self.granted.user_id, wanted.file_size)
        async with self.direct.landing(wanted, self._bounded(chunks)) as landing:
            return await self._take_in(landing)

    async def _take_in(self, landing: Landing) -> Upload:
        try:
            async with self.uploads.db.transaction() as tx:
                upload = await self.direct.take_in(tx, self.lane.statement, landing, also=self._also)
        except asyncpg.UniqueViolationError:
            return await self._by_uuid(landing.wanted.uuid)
        if upload is None:
            raise AlbumNotFound(self._target_id or 0)
        self._log("upload_received", upload)
        return upload

    async def arrived(self, key: str) -> Upload:
        """For a page that has nothing but the capability: the confirm of what Uppy PUT straight to storage."""
        uuid = queries.uuid_in(key)
        if uuid is None:
            raise ObjectNotFound(key)
        upload = await self._by_uuid(uuid)
        upload = await self.uploads.arrive(upload.id, trigger=Trigger.CLIENT, owner_id=self.granted.user_id)
        self._log("upload_confirmed", upload)
        return upload

    # ── in parts ──

    async def begin(self, told: Told) -> Upload:
        with self._presigning(told):
            wanted = self._want(told)
            upload_id = await self._issue(wanted, part_size_of(self.lane.kind, told))
        upload = await self._get(upload_id, wanted.object_key)
        try:
            upload = await self._parts.open(upload)
        except MooringError:
            await self.abort(upload_id, wanted.object_key)
            raise
        self._log("upload_begun", upload)
        return upload

    async def sign(self, upload_id: int, key: str, number: int) -> PartTicket:
        upload = await self._get(upload_id, key)
        if upload.part_size == UNTOLD:
            url = f"{self.url}/multipart/{upload_id}/{number}?key={quote(key, safe='')}"
            return PartTicket(url, self.uploads.terms.upload_url_life + SLOW_PUT)
        plan = await self._parts.more(upload.id, [number], owner_id=self.granted.user_id)
        [part] = plan.urls
        return PartTicket(part.url, plan.upload.expires_at - self.uploads.clock() + SLOW_PUT)

    async def receive_part(
        self, upload_id: int, key: str, number: int, chunks: AsyncIterator[bytes], *, length: int
    ) -> Part:
        upload = await self._get(upload_id, key)
        if upload.state is not State.PENDING:
            raise NotPending(upload_id, upload.state)
        if upload.part_size != UNTOLD:
            raise UrlNotValid("This address takes parts of files whose size was not told. Ask for the URL of this one.")
        return await self._open.receive(upload, self.lane.kind, number, chunks, length=length)

    async def sent(self, upload_id: int, key: str) -> Sequence[Part]:
        upload = await self._get(upload_id, key)
        return (await self._parts.sent(upload.id, owner_id=self.granted.user_id)).parts

    async def complete(self, upload_id: int, key: str, named: Mapping[int, str]) -> Upload:
        upload = await self._get(upload_id, key)
        if upload.part_size == UNTOLD:
            await self._open.settle(upload, named)
        return await self._parts.complete(upload_id, trigger=Trigger.CLIENT, owner_id=self.granted.user_id, named=named)

    async def abort(self, upload_id: int, key: str) -> None:
        """Only what still waits: Uppy also gives up where it merely lost the answer to its `complete`."""
        uploads = self.uploads
        upload = await self._get(upload_id, key)
        at = uploads.clock()
        for gone in await removals.remove(uploads.db, REMOVE_WAITING, [upload.id], at=at, trigger=Trigger.CLIENT):
            self._log("upload_deleted", gone)
            await uploads.discard_object(gone)

    # ── whose ──

    def _want(self, told: Told) -> Wanted:
        claim = Claim(told.filename, told.content_type, told.file_size or NOTHING_YET)
        want, user_id = self.uploads.want, self.granted.user_id
        return want(self.lane.kind, claim, uploader_id=user_id, target_id=self._target_id)

    async def _get(self, upload_id: int, key: str) -> Upload:
        """By both, as it was answered: neither alone is an upload of this capability."""
        return self._own(await self.uploads.get(upload_id, owner_id=self.granted.user_id), key)

    async def _by_uuid(self, uuid: UUID) -> Upload:
        found = await self.uploads.db.fetch(
            f"SELECT {COLUMNS} FROM uploads u WHERE u.uuid = $1 AND u.uploader_id = $2", uuid, self.granted.user_id
        )
        if not found:
            raise ObjectNotFound(str(uuid))
        upload = upload_of(found[0])
        return self._own(upload, upload.object_key)

    def _own(self, upload: Upload, key: str) -> Upload:
        if (upload.object_key, upload.kind, upload.target_id) != (key, self.granted.kind, self._target_id):
            raise UploadNotFound(upload.id)
        return upload

    async def _issue(self, wanted: Wanted, part_size: int | None = None) -> int:
        issue, statement = self.uploads.issue, self.lane.statement
        [issued] = await issue(self.uploads.db, statement, [wanted], part_size=part_size, also=self._also)
        if issued.verdict is not Verdict.ISSUED:
            raise verdict_error(issued.verdict) or AlbumNotFound(self._target_id or 0)
        return issued.upload_id

    async def _bounded(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        came, kind = 0, self.lane.kind
        async for chunk in chunks:
            came += len(chunk)
            if came > kind.max_bytes:
                raise FileTooLarge(kind.name, None, kind.max_bytes)
            yield chunk

    def _log(self, what: str, upload: Upload) -> None:
        log.info(what, upload_id=upload.id, user_id=upload.uploader_id, client="uppy")

    @property
    def _target_id(self) -> int | None:
        return self.lane.target_id(self.granted)

    @property
    def _also(self) -> Sequence[Any]:
        return self.lane.also(self.granted)

    @property
    def _parts(self) -> InParts:
        return InParts(self.uploads)

    @property
    def _open(self) -> OpenSize:
        return OpenSize(self._parts)


def part_size_of(kind: Kind, told: Told) -> int:
    """How Uppy cuts a file: in as many parts as may be, of 5 MiB at least, unless its option `getChunkSize` says
    otherwise; then the page says so too."""
    if told.file_size is None:
        return UNTOLD
    part_size = max(told.part_size or 0, SMALLEST_PART, -(-told.file_size // MOST_PARTS))
    if not is_possible(told.file_size, part_size):
        raise FileTooLarge(kind.name, told.file_size, LARGEST_PART * MOST_PARTS)
    return part_size
