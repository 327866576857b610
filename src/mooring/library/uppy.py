"""Uploads of a client that is not ours: Uppy's S3 plugin, which speaks with a server of its own makers, Companion.

What says its size goes straight to storage, by URLs of exactly that length. What does not comes through us, and is
counted as it comes: so nothing is stored that no quota has room for (`docs/decisions/0011-uppy.md`)."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

import asyncpg
import structlog

from mooring.accounts.users import user_by_id
from mooring.errors import (
    AlbumNotFound,
    CapabilityNotValid,
    FileEmpty,
    FileTooLarge,
    MooringError,
    NotInParts,
    ObjectNotFound,
    PartSizeNotPossible,
    RecordNotFound,
    UploadNotFound,
)
from mooring.library.capabilities import CapabilityKey, Grant
from mooring.library.photos import ISSUE_PHOTOS
from mooring.library.recordings import ISSUE_RECORDING
from mooring.observe.metrics import Metrics
from mooring.storage.keys import safe_name
from mooring.storage.port import Part
from mooring.uploads import queries, removals
from mooring.uploads.direct import DirectUploads, Landing
from mooring.uploads.in_parts import InParts, is_possible
from mooring.uploads.kinds import Kind
from mooring.uploads.lifecycle import SLOW_PUT, Trigger, Upload
from mooring.uploads.multipart import MOST_PARTS, SMALLEST_PART
from mooring.uploads.open_size import OpenSize
from mooring.uploads.queries import Issued, Verdict, Wanted
from mooring.uploads.service import Claim, Uploads, verdict_error

log = structlog.get_logger()

REMOVE_WAITING = removals.removing(
    "SELECT id FROM uploads WHERE id = ANY ($5::bigint[]) AND processing_status = 'PENDING' FOR UPDATE"
)


@dataclass(frozen=True, slots=True)
class Lane:
    """How a file of one kind is issued, and whose its target is."""

    kind: Kind
    statement: str
    missing: Callable[[int], MooringError]
    owned: str | None = None  # SQL: is target $1 the user's $2? None: there is nothing to own


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
class Uppy:
    uploads: Uploads
    direct: DirectUploads
    key: CapabilityKey
    lanes: Mapping[str, Lane]
    metrics: Metrics
    public_url: str

    async def grant(self, kind: str, *, user_id: int, target_id: int | None, life: timedelta) -> tuple[str, Grant]:
        expires_at = (self.uploads.clock() + life).replace(microsecond=0)
        granted = Grant(user_id, kind, target_id, expires_at)
        await self.check_target(granted)
        return self.key.write(granted), granted

    async def admit(self, capability: str) -> "Door":
        granted = self.key.read(capability, self.uploads.clock())
        user = await user_by_id(self.uploads.db, granted.user_id)
        if user is None or not user.is_active:
            raise CapabilityNotValid("This upload address is no longer good: its account was deactivated.")
        return Door(self, granted, self.lanes[granted.kind], f"{self.public_url}/uppy/{capability}/s3")

    def url(self, capability: str) -> str:
        """What Uppy is told as its Companion's address."""
        return f"{self.public_url}/uppy/{capability}"

    async def check_target(self, granted: Grant) -> None:
        lane = self.lanes[granted.kind]
        if lane.owned and not await self.uploads.db.fetch(lane.owned, granted.target_id, granted.user_id):
            raise lane.missing(granted.target_id or 0)


def uppy_over(uploads: Uploads, kinds: Sequence[Kind], metrics: Metrics, secret: str, public_url: str) -> Uppy:
    issuing = {
        "photo": (ISSUE_PHOTOS, AlbumNotFound, "SELECT 1 FROM albums WHERE id = $1 AND owner_id = $2"),
        "recording": (ISSUE_RECORDING, RecordNotFound, None),
    }
    lanes = {kind.name: Lane(kind, *issuing[kind.name]) for kind in kinds}
    return Uppy(uploads, DirectUploads(uploads), CapabilityKey.derived_from(secret), lanes, metrics, public_url)


@dataclass(frozen=True)
class Door:
    """What one capability opens. Whoever has it is nobody else, and sees nothing else."""

    uppy: Uppy
    granted: Grant
    lane: Lane
    url: str

    # ── in one go ──

    async def ticket(self, told: Told, *, takes_put: bool) -> Ticket:
        wanted = self._want(told)
        if not (told.file_size and takes_put):
            await self.uppy.direct.check_room(self.granted.user_id, wanted.file_size)
            return Ticket("POST", f"{self.url}/form", {}, wanted.object_key)
        [issued] = await self.uppy.uploads.issue_gathered(self.lane.statement, [wanted])
        self._check(issued)
        put = self.uppy.uploads.signed_put(wanted, at=wanted.at)
        return Ticket("PUT", put.url, put.headers, wanted.object_key)

    async def receive(self, told: Told, key: str, chunks: AsyncIterator[bytes], *, at_least: int) -> Upload:
        """A form. Uppy sends one again whose answer it did not get: that makes one upload, of the first to end. Each
        try has an object of its own, so that none writes over what another brought."""
        uuid = queries.uuid_in(key)
        if uuid is None:
            raise ObjectNotFound(key)
        wanted = self._want(told._replace(file_size=at_least))
        own_key = f"{self.lane.kind.directory}/{uuid}_{token_hex(4)}_{safe_name(told.filename)}"
        wanted = wanted._replace(uuid=uuid, object_key=own_key)
        await self.uppy.check_target(self.granted)
        await self.uppy.direct.check_room(self.granted.user_id, wanted.file_size)
        async with self.uppy.direct.landing(wanted, self._bounded(chunks)) as landing:
            return await self._take_in(landing)

    async def _take_in(self, landing: Landing) -> Upload:
        if not landing.wanted.file_size:
            raise FileEmpty
        try:
            async with self.uppy.uploads.db.transaction() as tx:
                upload = await self.uppy.direct.take_in(tx, self.lane.statement, landing)
        except asyncpg.UniqueViolationError:
            return await self._by_uuid(landing.wanted.uuid)
        if upload is None:
            raise self.lane.missing(self.granted.target_id or 0)
        self._log("upload_received", upload)
        return upload

    async def arrived(self, key: str) -> Upload:
        """For a page that has nothing but the capability: the confirm of what Uppy PUT straight to storage."""
        uuid = queries.uuid_in(key)
        if uuid is None:
            raise ObjectNotFound(key)
        return await self.uppy.uploads.land(await self._by_uuid(uuid), trigger=Trigger.CLIENT)

    # ── in parts ──

    async def begin(self, told: Told) -> Upload:
        wanted = self._want(told)
        if told.file_size:
            issue = self._parts.uploads.issue
            part_size = part_size_of(told.file_size, told.part_size)
            [issued] = await issue(self.uppy.uploads.db, self.lane.statement, [wanted], part_size=part_size)
        else:
            async with self.uppy.uploads.db.transaction() as tx:
                issued = await self._open.issue(tx, self.lane.statement, wanted)
        self._check(issued)
        upload = await self._parts.open(await self._get(issued.upload_id, wanted.object_key))
        self._log("upload_begun", upload)
        return upload

    async def sign(self, upload_id: int, key: str, number: int) -> PartTicket:
        upload = await self._get(upload_id, key)
        if await self._open.is_open(upload_id):
            url = f"{self.url}/multipart/{upload_id}/{number}?key={quote(key, safe='')}"
            return PartTicket(url, self.uppy.uploads.terms.upload_url_life + SLOW_PUT)
        plan = await self._parts.more(upload.id, [number], owner_id=self.granted.user_id)
        [part] = plan.urls
        return PartTicket(part.url, plan.upload.expires_at - self.uppy.uploads.clock() + SLOW_PUT)

    async def receive_part(
        self, upload_id: int, key: str, number: int, chunks: AsyncIterator[bytes], *, length: int
    ) -> Part:
        upload = await self._get(upload_id, key)
        if not await self._open.is_open(upload_id):
            raise NotInParts(upload_id)
        return await self._open.receive(upload, self.lane.kind, number, chunks, length=length)

    async def sent(self, upload_id: int, key: str) -> Sequence[Part]:
        upload = await self._get(upload_id, key)
        return (await self._parts.sent(upload.id, owner_id=self.granted.user_id)).parts

    async def complete(self, upload_id: int, key: str, named: Mapping[int, str]) -> Upload:
        upload = await self._get(upload_id, key)
        if await self._open.is_open(upload_id):
            await self._open.settle(upload, named)
        return await self._parts.complete(upload_id, trigger=Trigger.CLIENT, owner_id=self.granted.user_id, named=named)

    async def abort(self, upload_id: int, key: str) -> None:
        """Only what still waits: Uppy also gives up where it merely lost the answer to its `complete`."""
        uploads = self.uppy.uploads
        upload = await self._get(upload_id, key)
        at = uploads.clock()
        for gone in await removals.remove(uploads.db, REMOVE_WAITING, [upload.id], at=at, trigger=Trigger.CLIENT):
            self._log("upload_deleted", gone)
            await uploads.discard_object(gone)

    # ── whose ──

    def _want(self, told: Told) -> Wanted:
        claim = Claim(told.filename, told.content_type, told.file_size or 1)
        granted = self.granted
        return self.uppy.uploads.want(self.lane.kind, claim, uploader_id=granted.user_id, target_id=granted.target_id)

    async def _get(self, upload_id: int, key: str) -> Upload:
        """By both, as it was answered: neither alone is an upload of this capability."""
        return self._own(await self.uppy.uploads.get(upload_id, owner_id=self.granted.user_id), key)

    async def _by_uuid(self, uuid: UUID) -> Upload:
        upload = await queries.find_by_uuid(self.uppy.uploads.db, uuid)
        if upload is None or upload.uploader_id != self.granted.user_id:
            raise ObjectNotFound(str(uuid))
        return self._own(upload, upload.object_key)

    def _own(self, upload: Upload, key: str) -> Upload:
        granted = self.granted
        if (upload.object_key, upload.kind, upload.target_id) != (key, granted.kind, granted.target_id):
            raise UploadNotFound(upload.id)
        return upload

    def _check(self, issued: Issued) -> None:
        if issued.verdict is not Verdict.ISSUED:
            raise verdict_error(issued.verdict) or self.lane.missing(self.granted.target_id or 0)

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
    def _parts(self) -> InParts:
        return InParts(self.uppy.uploads)

    @property
    def _open(self) -> OpenSize:
        return OpenSize(self._parts)


def part_size_of(file_size: int, said: int | None) -> int:
    """How Uppy cuts a file: in as many parts as may be, of 5 MiB at least, unless its option `getChunkSize` says
    otherwise; then the page says so too."""
    usual = max(SMALLEST_PART, -(-file_size // MOST_PARTS))
    part_size = max(said, usual) if said else usual
    if not is_possible(file_size, part_size):
        raise PartSizeNotPossible(part_size)
    return part_size
