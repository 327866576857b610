"""A small world for tests of the services: people, albums, a real database, a real disk, a clock in hand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mooring.clock import Clock
from mooring.db.notices import Notices
from mooring.db.pool import Database
from mooring.library.albums import Albums
from mooring.library.direct_photos import DirectPhotos
from mooring.library.photos import ISSUE_PHOTOS, Photos, Ticket
from mooring.library.recordings import CHANNEL, Description, Record, Recordings
from mooring.library.recordings import Ticket as RecordingTicket
from mooring.library.videos import Videos
from mooring.observe.metrics import Metrics
from mooring.storage.disk import DiskStorage
from mooring.storage.port import Found, Signed, Storage
from mooring.uploads import queries
from mooring.uploads.direct import DirectUploads
from mooring.uploads.in_parts import InParts
from mooring.uploads.in_parts import Plan as PartPlan
from mooring.uploads.judging import verdict_error
from mooring.uploads.kinds import photo, recording, video
from mooring.uploads.lifecycle import Upload
from mooring.uploads.multipart import PartTerms
from mooring.uploads.quota import Plan
from mooring.uploads.reconcile import Reconciliation
from mooring.uploads.service import Claim, Terms, Uploads
from mooring.uploads.sweep import Sweep

BODY = b"\xff\xd8\xff not really a picture"
TERMS = Terms(
    upload_url_life=timedelta(minutes=15),
    download_url_life=timedelta(minutes=2),
    reclaim_after=timedelta(hours=24),
    plans=(Plan("free", 10_000, 20), Plan("premium", 1_000_000, 2_000)),
    parts=PartTerms(above=2_000, least=1_000, most=10),
)


async def once(body: bytes) -> AsyncIterator[bytes]:
    yield body


@dataclass(frozen=True)
class World:
    db: Database
    disk: DiskStorage
    clock: Clock
    metrics: Metrics
    uploads: Uploads
    albums: Albums
    photos: Photos
    direct: DirectPhotos
    in_parts: InParts
    recordings: Recordings
    videos: Videos
    sweep: Sweep
    reconciliation: Reconciliation

    @classmethod
    def built(
        cls,
        db: Database,
        disk: DiskStorage,
        clock: Clock,
        *,
        storage: Storage | None = None,
        terms: Terms = TERMS,
        metrics: Metrics | None = None,
    ) -> "World":
        metrics = metrics or Metrics()
        uploads = Uploads(db, storage or disk, clock, terms, metrics)
        photos = Photos(uploads, photo(1_000_000), metrics)
        return cls(
            db=db,
            disk=disk,
            clock=clock,
            metrics=metrics,
            uploads=uploads,
            albums=Albums(db, clock),
            photos=photos,
            in_parts=InParts(uploads),
            videos=Videos(uploads, video(1_000_000), metrics),
            direct=DirectPhotos(photos, DirectUploads(uploads)),
            recordings=Recordings(uploads, recording(1_000_000), metrics, Notices(CHANNEL), timedelta(0)),
            sweep=Sweep(uploads, batch_size=5, at_once=3, pause=timedelta(seconds=30)),
            reconciliation=Reconciliation(uploads, timedelta(hours=1), timedelta(days=30)),
        )

    def over(self, storage: Storage) -> "World":
        """The same world, with another way to its storage."""
        return World.built(
            self.db, self.disk, self.clock, storage=storage, terms=self.uploads.terms, metrics=self.metrics
        )

    # ── people and albums ──

    async def user(self, plan: str = "free") -> int:
        return int(
            await self.db.fetchval(
                "INSERT INTO users (email, password_hash, plan) VALUES (gen_random_uuid()::text, 'x', $1) RETURNING id",
                plan,
            )
        )

    async def album(self, owner_id: int) -> int:
        return (await self.albums.create(owner_id=owner_id, title="Summer", description=None)).id

    async def owner(self, plan: str = "free") -> tuple[int, int]:
        user_id = await self.user(plan)
        return user_id, await self.album(user_id)

    # ── what a client does ──

    async def issue(self, user_id: int, album_id: int, body: bytes = BODY, **claim: Any) -> Ticket:
        claimed = Claim(**{"filename": "a.jpg", "content_type": "image/jpeg", "file_size": len(body), **claim})
        return await self.photos.issue(claimed, user_id=user_id, album_id=album_id)

    async def issue_in_parts(self, user_id: int, album_id: int, size: int, *, part_size: int) -> PartPlan:
        claim = Claim("a.jpg", "image/jpeg", size)
        wanted = self.uploads.want(self.photos.kind, claim, uploader_id=user_id, target_id=album_id)
        [issued] = await self.uploads.issue(self.db, ISSUE_PHOTOS, [wanted], part_size=part_size)
        if refusal := verdict_error(issued.verdict):
            raise refusal
        return await self.in_parts.plan(await self.uploads.get(issued.upload_id, owner_id=user_id))

    async def put(self, put: Signed, body: bytes = BODY, content_type: str = "image/jpeg") -> Found:
        """The bytes at the URL, past HTTP but through the door that HTTP uses."""
        key, query = key_and_query(put.url)
        return await self.disk.receive(key, query, content_type=content_type, length=len(body), chunks=once(body))

    async def arrived(self, user_id: int, album_id: int, body: bytes = BODY) -> Upload:
        ticket = await self.issue(user_id, album_id, body)
        await self.put(ticket.put, body)
        return await self.photos.confirm(ticket.photo_id, user_id=user_id)

    async def issue_recording(self, user_id: int, body: bytes = BODY, **claim: Any) -> RecordingTicket:
        claimed = Claim(**{"filename": "a.mp3", "content_type": "audio/mpeg", "file_size": len(body), **claim})
        return await self.recordings.issue(claimed, user_id=user_id)

    async def describe(self, upload_id: int, user_id: int, title: str = "Mine", **more: Any) -> Record:
        asked = Description(upload_id, title, more.get("song_id"), more.get("duration_seconds"))
        return await self.recordings.create(asked, user_id=user_id)

    async def processed(self, user_id: int, album_id: int) -> Upload:
        """As a worker leaves it: with its renditions, which are told from it by their bytes."""
        upload = await self.arrived(user_id, album_id)
        for name in ("thumb", "large", "clean"):
            await self.make_rendition(upload.id, name)
        return upload

    async def make_rendition(self, upload_id: int, name: str) -> None:
        key, body = f"renditions/{upload_id}_{name}", f"the {name} of {upload_id}".encode()
        found = await self.disk.write(key, once(body), content_type="image/webp")
        await self.db.execute(
            "INSERT INTO renditions VALUES ($1, $2, $3, 'image/webp', 8, 6, $4, $5)",
            upload_id,
            name,
            key,
            len(body),
            found.etag,
        )

    # ── what is so ──

    async def state(self, upload_id: int) -> str:
        return str(await self.db.fetchval("SELECT processing_status FROM uploads WHERE id = $1", upload_id))

    async def story(self, upload_id: int) -> list[tuple[str, str]]:
        return [(event.what, event.trigger) for event in await queries.history(self.db, upload_id)]

    async def quota(self, user_id: int) -> tuple[int, int, int]:
        """Reserved, used, in flight."""
        row = await self.db.fetchrow(
            "SELECT reserved_bytes, used_bytes, in_flight FROM quotas WHERE user_id = $1", user_id
        )
        assert row is not None
        return tuple(row)

    async def keys(self) -> list[str]:
        return [listed.key async for listed in self.disk.list()]


def key_and_query(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return unquote(parts.path.removeprefix("/storage/")), parts.query


def disk_at(folder: Path, clock: Clock) -> DiskStorage:
    return DiskStorage(folder, b"a secret of the tests", "http://testserver", clock)


def with_plans(*plans: Plan) -> Terms:
    return replace(TERMS, plans=plans)
