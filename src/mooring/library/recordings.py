"""Recordings: an upload of the kind `recording`, and the record that says what it is.

The record may come before the bytes or after. Nothing is worked on before both are there (`uploads/describing.py`)."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import structlog

from mooring.db.notices import Notices
from mooring.db.pages import newest_first
from mooring.db.pool import Executor
from mooring.errors import (
    DatabaseUnavailable,
    MooringError,
    RecordNotFound,
    RecordOperationFailed,
    RecordPermissionDenied,
)
from mooring.observe.metrics import Metrics
from mooring.storage.port import Signed
from mooring.uploads import queries
from mooring.uploads.describing import describe, describing
from mooring.uploads.judging import verdict_error
from mooring.uploads.kinds import Kind
from mooring.uploads.lifecycle import COLUMNS, STORED, State, Trigger, Upload, upload_of
from mooring.uploads.queries import Verdict, issuing
from mooring.uploads.served import CdnUrl, ServedFile, no_cdn, url_of
from mooring.uploads.service import Claim, Uploads

log = structlog.get_logger()

# Guide 003's words.
Status = Literal["COMPLETED", "PROCESSING", "FAILED"]
# On this channel the database tells of each recording that was worked on, or was refused.
CHANNEL = "mooring_recordings"

ISSUE_RECORDING = issuing(
    "recording", "recordings", allowed="SELECT w.* FROM wanted w", described=False, with_it=""
)  # its record describes it

_RECORD = "r.id, r.title, r.user_id, r.song_id, r.upload_id, r.duration_seconds, r.created_at, r.updated_at"
_AUDIO = "a.object_key, a.etag, a.content_type, a.size_bytes"
_RECORDS = f"""SELECT {_RECORD}, {_AUDIO}, {COLUMNS}
FROM records r JOIN uploads u ON u.id = r.upload_id
LEFT JOIN renditions a ON a.upload_id = r.upload_id AND a.name = 'audio'"""

CREATE_RECORD = describing(
    "recording",
    where="($6::bigint IS NULL OR EXISTS (SELECT FROM songs WHERE id = $6))",
    with_it=""", made AS (
    INSERT INTO records (user_id, song_id, upload_id, title, duration_seconds, created_at, updated_at)
    SELECT uploader_id, $6, id, $5, $7, $3, $3 FROM described RETURNING *
)""",
    answer=f"""SELECT {_RECORD}, NULL, NULL, NULL, NULL, {COLUMNS}
FROM made r JOIN described u ON u.id = r.upload_id""",
)


class Ticket(NamedTuple):
    """What a client needs to upload."""

    upload_id: int
    put: Signed
    expires_at: datetime
    object_key: str


@dataclass(frozen=True, slots=True)
class Description:
    """What its owner says of a recording."""

    upload_id: int
    title: str
    song_id: int | None
    duration_seconds: int | None


@dataclass(frozen=True, slots=True)
class Record:
    id: int
    title: str
    user_id: int
    song_id: int | None
    upload_id: int
    duration_seconds: int | None  # as it was measured; until then, as it was said
    created_at: datetime
    updated_at: datetime
    upload: Upload
    audio: ServedFile | None  # what processing made of it

    @property
    def processing_status(self) -> Status:
        """In guide 003's three words. One whose bytes are still to come is on its way, too."""
        if self.upload.state is State.COMPLETED:
            return "COMPLETED"
        if self.upload.state in (State.PENDING, State.UPLOADED, State.PROCESSING):
            return "PROCESSING"
        return "FAILED"


@dataclass(frozen=True)
class Recordings:
    uploads: Uploads
    kind: Kind
    metrics: Metrics
    notices: Notices
    patience: timedelta
    cdn_url: CdnUrl = no_cdn

    # ── issue ──

    async def issue(self, claim: Claim, *, user_id: int, tx: Executor | None = None) -> Ticket:
        with self.metrics.record_presign():
            wanted = self.uploads.want(self.kind, claim, uploader_id=user_id, target_id=None)
            [issued] = await self.uploads.issue(tx or self.uploads.db, ISSUE_RECORDING, [wanted])
            if issued.verdict is not Verdict.ISSUED:
                raise verdict_error(issued.verdict) or RecordOperationFailed("No URL could be issued.")
            # Guide 003's client sends the type alone: any other header that is signed would have storage refuse it.
            put = self.uploads.signed_put(wanted, at=wanted.at, write_once=False)
        log.info("record_presigned", upload_id=issued.upload_id, user_id=user_id)
        return Ticket(issued.upload_id, put, wanted.expires_at, wanted.object_key)

    # ── create ──

    async def look_for_bytes(self, upload_id: int, *, user_id: int) -> None:
        """Who asks for a record says by it that the bytes are there: look. Where they are not, or storage can't tell,
        the record waits for an event or the sweep; what is wrong with the upload, `create` says."""
        try:
            await self.uploads.arrive(upload_id, trigger=Trigger.CLIENT, owner_id=user_id, kind=self.kind.name)
        except DatabaseUnavailable:
            raise
        except MooringError as refusal:
            log.info("recording_not_arrived", upload_id=upload_id, user_id=user_id, why=str(refusal))

    async def create(self, asked: Description, *, user_id: int, tx: Executor | None = None) -> Record:
        """With the record, in the same statement, its upload is described; and where the bytes are there, its job is
        due."""
        rows = await describe(
            tx or self.uploads.db,
            CREATE_RECORD,
            asked.upload_id,
            uploader_id=user_id,
            at=self.uploads.clock(),
            asked=[asked.title, asked.song_id, asked.duration_seconds],
        )
        if not rows:
            raise await self._why_not(tx or self.uploads.db, asked, user_id)
        record = _record_of(rows[0])
        log.info("record_created", record_id=record.id, upload_id=record.upload_id, user_id=user_id)
        return record

    async def _why_not(self, tx: Executor, asked: Description, user_id: int) -> MooringError:
        upload = (await queries.find(tx, [asked.upload_id])).get(asked.upload_id)
        if upload is None:
            return RecordOperationFailed(f"Upload not found: {asked.upload_id}.")
        if upload.uploader_id != user_id:
            return RecordPermissionDenied(f"upload: {upload.id}", user_id)
        if upload.kind != self.kind.name:
            return RecordOperationFailed(f"Upload {upload.id} is a {upload.kind}, not a {self.kind.name}.")
        known = await tx.fetch("SELECT id FROM records WHERE upload_id = $1", upload.id)
        if known:
            return RecordOperationFailed(f"Upload {upload.id} already has a record: {known[0][0]}.")
        if upload.state is State.REJECTED:
            return RecordOperationFailed(f"Upload {upload.id} was rejected: {upload.error_message}")
        if upload.state is State.RECLAIMED:
            return RecordOperationFailed(f"Upload {upload.id} lapsed long ago. Ask for a new URL.")
        return RecordOperationFailed(f"Song not found: {asked.song_id}.")

    async def settled(self, record_id: int, upload_id: int, *, user_id: int) -> Record:
        """As it is when it was worked on, or when our patience is over. A worker of any process may be at it."""
        with self.notices.expecting(str(upload_id)) as told:
            record = await self.get(record_id, user_id=user_id)
            if record.upload.state in (State.UPLOADED, State.PROCESSING) and self.patience:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.patience.total_seconds()):
                        await told.wait()
                record = await self.get(record_id, user_id=user_id)
        self.metrics.immediately(is_completed=record.upload.state is State.COMPLETED)
        return record

    # ── look ──

    async def get(self, record_id: int, *, user_id: int) -> Record:
        rows = await self.uploads.db.fetch(f"{_RECORDS} WHERE r.id = $1", record_id)
        if not rows:
            raise RecordNotFound(record_id)
        record = _record_of(rows[0])
        if record.user_id != user_id:
            raise RecordPermissionDenied(f"record: {record_id}", user_id)
        return record

    async def page(self, *, user_id: int, before: int | None, limit: int) -> list[Record]:
        """Newest first, each with all that is shown of it, in one statement."""
        rows = await self.uploads.db.fetch(
            newest_first(_RECORDS, "r.user_id", "r.id"),
            user_id,
            before,
            limit,
        )
        return [_record_of(row) for row in rows]

    def public_url(self, record: Record, *, until: datetime | None = None) -> str | None:
        """Where what processing made of it can be heard for a while, at a CDN no longer than `until`. Never the file
        that came: whoever has the URL that it was sent to can put something else there (`write_once` above)."""
        if record.audio is None or record.upload.state not in STORED:
            return None
        return url_of(record.audio, self.uploads, self.cdn_url, until)

    async def delete(self, record_id: int, *, user_id: int) -> None:
        """Its upload goes, and with it the record, every object, and what they counted for."""
        record = await self.get(record_id, user_id=user_id)
        await self.uploads.remove(record.upload_id, owner_id=user_id)
        log.info("record_deleted", record_id=record_id, upload_id=record.upload_id, user_id=user_id)


def _record_of(row: Sequence[Any]) -> Record:
    id_, title, user_id, song_id, upload_id, seconds, created_at, updated_at, key, etag, media, size, *rest = row
    upload = upload_of(rest)
    audio = ServedFile(key, etag, media, size, upload.original_filename) if key else None
    return Record(id_, title, user_id, song_id, upload_id, seconds, created_at, updated_at, upload, audio)


async def record_facts(tx: Executor, upload_id: int, facts: Mapping[str, Any]) -> None:
    """What processing found. It is told in the transaction that finishes the upload, whose moment is the story's."""
    await tx.fetch(
        """UPDATE records SET duration_seconds = $2, codec = $3, sample_rate = $4, channels = $5,
               updated_at = (SELECT at FROM upload_events WHERE upload_id = $1 ORDER BY id DESC LIMIT 1)
           WHERE upload_id = $1""",
        upload_id,
        round(facts["duration_seconds"]),
        facts["codec"],
        facts["sample_rate"],
        facts["channels"],
    )
