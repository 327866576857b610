"""Photos: issued into an album, confirmed, shown to their owner."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import structlog

from mooring.db.pages import newest_first
from mooring.db.pool import Executor
from mooring.errors import AlbumNotFound, DatabaseUnavailable, MooringError, PhotoNotFound, UploadNotFound
from mooring.observe.metrics import Metrics
from mooring.storage.port import Signed
from mooring.uploads.gather import Gatherer
from mooring.uploads.judging import verdict_error
from mooring.uploads.kinds import Kind
from mooring.uploads.lifecycle import ARRIVED, COLUMNS, Trigger, Upload, upload_of
from mooring.uploads.queries import Issued, Verdict, Wanted, issuing
from mooring.uploads.served import CdnUrl, ServedFile, no_cdn, url_of
from mooring.uploads.service import Claim, Uploads

log = structlog.get_logger()

ISSUE_PHOTOS = issuing(
    "photo",
    "photos",
    # The lock is the one that the foreign key takes at the end. Taken here, a vanishing album is no target, and whoever
    # deletes one, album before quotas too, never waits for us while we wait for them. Once per album: per upload it
    # costs a tenth of the whole statement.
    allowed="""SELECT w.* FROM wanted w JOIN (
        SELECT id, owner_id FROM albums WHERE id IN (SELECT target_id FROM wanted) FOR KEY SHARE
    ) a ON a.id = w.target_id AND a.owner_id = w.uploader_id""",
    described=True,
    with_it=""", photo AS (
    INSERT INTO photos (id) SELECT id FROM issued
), in_album AS (
    INSERT INTO album_photos (album_id, photo_id, added_at) SELECT target_id, id, created_at FROM issued
)""",
)


class Ticket(NamedTuple):
    """What a client needs to upload."""

    photo_id: int
    put: Signed
    expires_at: datetime
    object_key: str


class Photo(NamedTuple):
    upload: Upload
    title: str | None
    description: str | None
    # None until it was processed.
    width: int | None = None
    height: int | None = None
    blurhash: str | None = None
    camera: str | None = None
    taken_at: datetime | None = None


# Of `uploads u` and `photos p`.
PHOTO = f"{COLUMNS}, p.title, p.description, p.width, p.height, p.blurhash, p.camera, p.taken_at"
_PAGE = newest_first(
    f"SELECT {PHOTO} FROM uploads u JOIN photos p ON p.id = u.id",
    "u.uploader_id",
    "u.id",
    only=f"u.processing_status = ANY ({ARRIVED})",
)


@dataclass(frozen=True)
class Photos:
    uploads: Uploads
    kind: Kind
    metrics: Metrics
    cdn_url: CdnUrl = no_cdn

    @cached_property
    def _issuing(self) -> Gatherer[Wanted, Issued]:
        return Gatherer(lambda wanted: self.uploads.issue_gathered(ISSUE_PHOTOS, wanted))

    async def issue(self, claim: Claim, *, user_id: int, album_id: int, tx: Executor | None = None) -> Ticket:
        try:
            wanted = self.uploads.want(self.kind, claim, uploader_id=user_id, target_id=album_id)
            issued = await (self._issuing.ask(wanted) if tx is None else self._issue_one(tx, wanted))
            ticket = self._ticket(wanted, issued)
        except BaseException:
            self.metrics.presign("failure")
            raise
        self.metrics.presign("success")
        return ticket

    async def issue_batch(
        self, claims: Sequence[Claim], *, user_id: int, album_id: int, tx: Executor | None = None
    ) -> list[Ticket]:
        """All or none, in one statement."""
        try:
            wanted = [self.uploads.want(self.kind, claim, uploader_id=user_id, target_id=album_id) for claim in claims]
            issued = await self.uploads.issue(tx or self.uploads.db, ISSUE_PHOTOS, wanted)
            tickets = [self._ticket(one, row) for one, row in zip(wanted, issued, strict=True)]
        except BaseException:
            self.metrics.presign("failure", len(claims))
            raise
        self.metrics.presign("success", len(claims))
        return tickets

    async def _issue_one(self, tx: Executor, wanted: Wanted) -> Issued:
        return (await self.uploads.issue(tx, ISSUE_PHOTOS, [wanted]))[0]

    def _ticket(self, wanted: Wanted, issued: Issued) -> Ticket:
        if issued.verdict is not Verdict.ISSUED:
            raise verdict_error(issued.verdict) or AlbumNotFound(wanted.target_id or 0)
        put = self.uploads.signed_put(wanted, at=wanted.at)
        self.metrics.issued(wanted.file_size)
        log.info("photo_presigned", upload_id=issued.upload_id, user_id=wanted.uploader_id)
        return Ticket(issued.upload_id, put, wanted.expires_at, wanted.object_key)

    # ── confirm ──

    async def confirm(self, photo_id: int, *, user_id: int) -> Upload:
        try:
            upload = await self.uploads.arrive(photo_id, trigger=Trigger.CLIENT, owner_id=user_id, kind=self.kind.name)
        except MooringError as refusal:
            self.metrics.confirm("failure")
            log.info("photo_upload_confirm", upload_id=photo_id, user_id=user_id, result="failure", why=str(refusal))
            raise PhotoNotFound(photo_id) if isinstance(refusal, UploadNotFound) else refusal from None
        self.metrics.confirm("success")
        log.info("photo_upload_confirm", upload_id=photo_id, user_id=user_id, result="success")
        return upload

    async def confirm_batch(
        self, photo_ids: Sequence[int], *, user_id: int, at_once: int = 16
    ) -> list[Upload | MooringError]:
        """Each gets its own answer, in order; the database's absence is everybody's."""
        gate = asyncio.Semaphore(at_once)

        async def one(photo_id: int) -> Upload | MooringError:
            async with gate:
                try:
                    return await self.confirm(photo_id, user_id=user_id)
                except DatabaseUnavailable:
                    raise
                except MooringError as refusal:
                    return refusal

        return await asyncio.gather(*(one(photo_id) for photo_id in photo_ids))

    def url(self, upload: Upload, *, until: datetime | None = None) -> str:
        """Where the file can be fetched for a while: at the CDN no longer than `until`, or, without one, in storage."""
        served = ServedFile(
            upload.object_key, upload.etag or "", upload.content_type, upload.file_size, upload.original_filename
        )
        return url_of(served, self.uploads, self.cdn_url, until)

    # ── look ──

    async def get(self, photo_id: int, *, user_id: int) -> Photo:
        rows = await self.uploads.db.fetch(
            f"""SELECT {PHOTO} FROM photos p JOIN uploads u ON u.id = p.id
                WHERE p.id = $1 AND u.uploader_id = $2""",
            photo_id,
            user_id,
        )
        if not rows:
            raise PhotoNotFound(photo_id)
        return photo_of(rows[0])

    async def page(self, *, user_id: int, before: int | None, limit: int) -> list[Photo]:
        """What arrived, newest first."""
        rows = await self.uploads.db.fetch(_PAGE, user_id, before, limit)
        return [photo_of(row) for row in rows]

    async def edit(self, photo_id: int, *, user_id: int, changes: Mapping[str, str | None]) -> Photo:
        """`changes`: `title`, `description` or both; None clears, what is not named stays."""
        rows = await self.uploads.db.fetch(
            f"""UPDATE photos p
                SET title = CASE WHEN $3 THEN $4 ELSE p.title END,
                    description = CASE WHEN $5 THEN $6 ELSE p.description END
                FROM uploads u WHERE u.id = p.id AND p.id = $1 AND u.uploader_id = $2
                RETURNING {PHOTO}""",
            photo_id,
            user_id,
            "title" in changes,
            changes.get("title"),
            "description" in changes,
            changes.get("description"),
        )
        if not rows:
            raise PhotoNotFound(photo_id)
        return photo_of(rows[0])

    async def delete(self, photo_id: int, *, user_id: int) -> None:
        await self.get(photo_id, user_id=user_id)
        await self.uploads.remove(photo_id, owner_id=user_id)


def photo_of(row: Sequence[Any]) -> Photo:
    *upload, title, description, width, height, blurhash, camera, taken_at = row
    return Photo(upload_of(upload), title, description, width, height, blurhash, camera, taken_at)


async def record_facts(tx: Executor, photo_id: int, facts: Mapping[str, Any]) -> None:
    """What processing found."""
    await tx.fetch(
        "UPDATE photos SET width = $2, height = $3, blurhash = $4, camera = $5, taken_at = $6 WHERE id = $1",
        photo_id,
        facts["width"],
        facts["height"],
        facts["blurhash"],
        facts["camera"],
        datetime.fromisoformat(facts["taken_at"]) if facts["taken_at"] else None,
    )
