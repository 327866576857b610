"""Videos: issued in one PUT or in parts, joined, shown to their owner with what was made of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

import structlog

from mooring.db.pages import newest_first
from mooring.db.pool import Executor
from mooring.errors import FileNotArrived, MooringError, RenditionNotFound, UploadNotFound, VideoNotFound
from mooring.library.images import last_segment, made_name
from mooring.observe.metrics import Metrics
from mooring.storage.port import Signed
from mooring.uploads.in_parts import InParts, PartUrl, Plan, Sent
from mooring.uploads.judging import verdict_error
from mooring.uploads.kinds import Kind
from mooring.uploads.lifecycle import COLUMNS, STORED, State, Trigger, Upload, upload_of
from mooring.uploads.queries import issuing
from mooring.uploads.served import CdnUrl, ServedFile, no_cdn, url_of
from mooring.uploads.service import Claim, Uploads

log = structlog.get_logger()

ORIGINAL = "original"
ISSUE_VIDEO = issuing(
    "video",
    "videos",
    allowed="SELECT w.* FROM wanted w",
    described=True,
    with_it=""", video AS (
    INSERT INTO videos (id, metadata) SELECT id, $17::jsonb FROM issued)""",
    project="$18::jsonb",
)
# Of `uploads u` and `videos v`.
VIDEO = f"""{COLUMNS}, v.metadata, v.duration_seconds, v.width, v.height, v.video_codec, v.audio_codec,
    ARRAY(SELECT jsonb_build_array(r.name, r.object_key, r.etag, r.content_type, r.width, r.height, r.size_bytes)
          FROM renditions r WHERE r.upload_id = u.id ORDER BY r.name)"""


class Made(NamedTuple):
    """What processing made of it."""

    name: str
    object_key: str
    etag: str
    content_type: str
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Video:
    upload: Upload
    metadata: Mapping[str, Any]
    # None until it was processed.
    duration_seconds: float | None
    width: int | None
    height: int | None
    video_codec: str | None
    audio_codec: str | None
    made: Sequence[Made]

    def file(self, name: str) -> ServedFile | None:
        """The original, once it arrived, or what was made under this name."""
        upload, filename = self.upload, last_segment(self.upload.original_filename)
        if upload.state not in STORED:
            return None
        if name == ORIGINAL:
            return ServedFile(
                upload.object_key,
                upload.etag or "",
                upload.content_type,
                upload.file_size,
                filename,
                upload.completed_at,
            )
        one = next((made for made in self.made if made.name == name), None)
        if one is None:
            return None
        filename = made_name(filename, one.content_type)
        return ServedFile(one.object_key, one.etag, one.content_type, one.size_bytes, filename)


class Ticket(NamedTuple):
    """What a client needs to upload: one PUT, or the parts."""

    upload: Upload
    put: Signed | None
    urls: Sequence[PartUrl]


@dataclass(frozen=True)
class Videos:
    uploads: Uploads
    kind: Kind
    metrics: Metrics
    cdn_url: CdnUrl = no_cdn

    @cached_property
    def in_parts(self) -> InParts:
        return InParts(self.uploads)

    # ── upload ──

    async def issue(
        self,
        claim: Claim,
        *,
        user_id: int,
        project_id: int | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tx: Executor | None = None,
    ) -> int:
        """Its id; `ticket` has the URLs. What comes in parts is begun in storage, but not while a `tx` is open: then
        `ticket` does that, as often as it takes. Without one nothing is left of it where storage is away."""
        try:
            video_id = await self._issue(claim, user_id, (metadata or {}, project_id), tx)
            if tx is None:
                await self._begin(video_id, user_id)
        except BaseException:
            self.metrics.presign("failure")
            raise
        log.info("video_presigned", upload_id=video_id, user_id=user_id)
        return video_id

    async def _issue(self, claim: Claim, user_id: int, also: Sequence[Any], tx: Executor | None) -> int:
        wanted = self.uploads.want(self.kind, claim, uploader_id=user_id, target_id=None)
        size = self.in_parts.size_for(wanted, self.kind.name)
        [issued] = await self.uploads.issue(tx or self.uploads.db, ISSUE_VIDEO, [wanted], part_size=size, also=also)
        if refusal := verdict_error(issued.verdict):
            raise refusal
        return issued.upload_id

    async def _begin(self, video_id: int, user_id: int) -> None:
        upload = await self.uploads.get(video_id, owner_id=user_id)
        if upload.part_size is None:
            return
        try:
            await self.in_parts.open(upload)
        except MooringError:
            await self.uploads.remove(video_id, owner_id=user_id)
            raise

    async def ticket(self, video_id: int, *, user_id: int) -> Ticket:
        try:
            upload = (await self.get(video_id, user_id=user_id)).upload
            if upload.part_size is None:
                ticket = Ticket(upload, self.uploads.signed_put(upload, at=upload.created_at), ())
            else:
                plan = await self.in_parts.plan(upload)
                ticket = Ticket(plan.upload, None, plan.urls)
        except BaseException:
            self.metrics.presign("failure")
            raise
        self.metrics.presign("success")
        return ticket

    async def parts(self, video_id: int, *, user_id: int) -> Sent:
        """Those that are in storage."""
        with _said_of(video_id):
            return await self.in_parts.sent(video_id, owner_id=user_id, kind=self.kind.name)

    async def more_parts(self, video_id: int, numbers: Sequence[int] | None, *, user_id: int) -> Plan:
        """Fresh URLs for these, or for those that storage does not have."""
        with _said_of(video_id):
            return await self.in_parts.more(video_id, numbers, owner_id=user_id, kind=self.kind.name)

    async def complete(self, video_id: int, *, user_id: int, named: Mapping[int, str] | None = None) -> Video:
        try:
            with _said_of(video_id):
                await self.in_parts.complete(
                    video_id, trigger=Trigger.CLIENT, owner_id=user_id, kind=self.kind.name, named=named
                )
        except MooringError as refusal:
            log.info("video_upload_complete", upload_id=video_id, user_id=user_id, result="failure", why=str(refusal))
            raise
        log.info("video_upload_complete", upload_id=video_id, user_id=user_id, result="success")
        return await self.get(video_id, user_id=user_id)

    # ── look ──

    async def get(self, video_id: int, *, user_id: int) -> Video:
        rows = await self.uploads.db.fetch(
            f"SELECT {VIDEO} FROM videos v JOIN uploads u ON u.id = v.id WHERE v.id = $1 AND u.uploader_id = $2",
            video_id,
            user_id,
        )
        if not rows:
            raise VideoNotFound(video_id)
        return video_of(rows[0])

    async def page(self, *, user_id: int, before: int | None, limit: int) -> list[Video]:
        """Newest first. Those that still wait for their bytes too: whoever lost an id finds it here and goes on."""
        rows = await self.uploads.db.fetch(
            newest_first(
                f"SELECT {VIDEO} FROM uploads u JOIN videos v ON v.id = u.id AND u.kind = 'video'",
                "u.uploader_id",
                "u.id",
                only="u.processing_status <> $4",
            ),
            user_id,
            before,
            limit,
            State.RECLAIMED,
        )
        return [video_of(row) for row in rows]

    async def file(self, video_id: int, name: str, *, user_id: int) -> ServedFile:
        video = await self.get(video_id, user_id=user_id)
        file = video.file(name)
        if file is not None:
            return file
        raise FileNotArrived(video_id) if video.upload.state is State.PENDING else RenditionNotFound(video_id, name)

    def url(self, video: Video, name: str, *, until: datetime | None = None) -> str | None:
        """Where the file can be fetched for a while, by whoever has the URL; at a CDN no longer than `until`."""
        file = video.file(name)
        return url_of(file, self.uploads, self.cdn_url, until) if file else None

    # ── remove ──

    async def delete(self, video_id: int, *, user_id: int) -> None:
        """Also one that is still on its way: nothing of its parts is left."""
        await self.get(video_id, user_id=user_id)
        with _said_of(video_id):
            await self.uploads.remove(video_id, owner_id=user_id)


@contextmanager
def _said_of(video_id: int) -> Iterator[None]:
    try:
        yield
    except UploadNotFound:
        raise VideoNotFound(video_id) from None


def video_of(row: Sequence[Any]) -> Video:
    *upload, metadata, seconds, width, height, video_codec, audio_codec, made = row
    return Video(
        upload_of(upload),
        metadata,
        seconds,
        width,
        height,
        video_codec,
        audio_codec,
        [Made(*one) for one in made],
    )


async def record_facts(tx: Executor, video_id: int, facts: Mapping[str, Any]) -> None:
    """What processing found."""
    await tx.fetch(
        """UPDATE videos SET duration_seconds = $2, width = $3, height = $4, video_codec = $5, audio_codec = $6
           WHERE id = $1""",
        video_id,
        facts["duration_seconds"],
        facts["width"],
        facts["height"],
        facts["video_codec"],
        facts["audio_codec"],
    )
