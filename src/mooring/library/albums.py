"""Albums: what photos are shown in. A photo can be in several of its owner's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from mooring.clock import Clock
from mooring.db.pages import newest_first, oldest_first
from mooring.db.pool import Database, Executor
from mooring.errors import AlbumNotFound, FileNotArrived, PhotoNotFound
from mooring.library.photos import PHOTO, Photo, photo_of
from mooring.observe.growth import Growth
from mooring.uploads.lifecycle import ARRIVED, STORED, State, Trigger
from mooring.uploads.removals import remove, removing

log = structlog.get_logger()

# What arrived counts, as it is what the album shows; its cover is the first of them.
_SHOWN = f"""FROM album_photos h JOIN uploads u ON u.id = h.photo_id
    WHERE h.album_id = a.id AND u.processing_status = ANY ({ARRIVED})"""
_ALBUM = f"""a.id, a.title, a.description, (SELECT count(*) {_SHOWN}),
    (SELECT h.photo_id {_SHOWN} ORDER BY h.photo_id LIMIT 1), a.created_at, a.updated_at"""

REMOVE_PHOTOS_OF_NO_OTHER_ALBUM = removing("""
    SELECT h.photo_id FROM album_photos h WHERE h.album_id = $5 AND NOT EXISTS (
        SELECT FROM album_photos other WHERE other.photo_id = h.photo_id AND other.album_id <> h.album_id)""")


@dataclass(frozen=True, slots=True)
class Album:
    id: int
    title: str
    description: str | None
    photo_count: int
    cover_photo_id: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Albums:
    db: Database
    clock: Clock
    growth: Growth = field(default_factory=Growth)

    async def create(self, *, owner_id: int, title: str, description: str | None, tx: Executor | None = None) -> Album:
        rows = await (tx or self.db).fetch(
            """INSERT INTO albums (owner_id, title, description, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
               RETURNING id, title, description, 0, NULL, created_at, updated_at""",
            owner_id,
            title,
            description,
            self.clock(),
        )
        self.growth.album_created()
        return Album(*rows[0])

    async def get(self, album_id: int, *, owner_id: int) -> Album:
        rows = await self.db.fetch(
            f"SELECT {_ALBUM} FROM albums a WHERE a.id = $1 AND a.owner_id = $2", album_id, owner_id
        )
        if not rows:
            raise AlbumNotFound(album_id)
        return Album(*rows[0])

    async def page(self, *, owner_id: int, before: int | None, limit: int) -> Sequence[Album]:
        """Newest first."""
        rows = await self.db.fetch(
            newest_first(f"SELECT {_ALBUM} FROM albums a", "a.owner_id", "a.id"),
            owner_id,
            before,
            limit,
        )
        return [Album(*row) for row in rows]

    async def change(self, album_id: int, *, owner_id: int, change: dict[str, str | None]) -> Album:
        """`change`: a new title, a new description (None: no more), or both."""
        await self.db.fetch(
            """UPDATE albums SET title = CASE WHEN $3 THEN $4 ELSE title END,
                   description = CASE WHEN $5 THEN $6 ELSE description END, updated_at = $7
               WHERE id = $1 AND owner_id = $2 AND ($3 OR $5)""",
            album_id,
            owner_id,
            "title" in change,
            change.get("title"),
            "description" in change,
            change.get("description"),
            self.clock(),
        )
        return await self.get(album_id, owner_id=owner_id)

    async def delete(self, album_id: int, *, owner_id: int) -> None:
        """With it go the photos that are in no other album; their objects are on record, for the sweep to delete.

        What may still come into the album is waited for or kept out by its lock. Whether a photo is elsewhere is judged
        once all of them are locked, in a statement of its own: it must see what those that were waited for did."""
        async with self.db.transaction() as tx:
            if not await tx.fetch(
                "SELECT 1 FROM albums WHERE id = $1 AND owner_id = $2 FOR UPDATE", album_id, owner_id
            ):
                raise AlbumNotFound(album_id)
            await tx.execute(
                """SELECT 1 FROM uploads WHERE id IN (SELECT photo_id FROM album_photos WHERE album_id = $1)
                   ORDER BY id FOR UPDATE""",
                album_id,
            )
            gone = await remove(tx, REMOVE_PHOTOS_OF_NO_OTHER_ALBUM, album_id, at=self.clock(), trigger=Trigger.CLIENT)
            await tx.execute(
                """UPDATE uploads SET target_id = NULL
                   WHERE target_id = $1 AND id IN (SELECT photo_id FROM album_photos WHERE album_id = $1)""",
                album_id,
            )
            await tx.execute("DELETE FROM albums WHERE id = $1", album_id)
        log.info("album_deleted", album_id=album_id, user_id=owner_id, photos_deleted=len(gone))
        self.growth.album_deleted()
        for upload in gone:
            self.growth.deleted(upload.kind, upload.uploader_id, upload.stored_bytes)
            log.info("upload_deleted", upload_id=upload.id, user_id=owner_id)

    # ── what is in it ──

    async def photos(self, album_id: int, *, owner_id: int, after: int | None, limit: int) -> list[Photo]:
        """What arrived, in the order of the photos' ids, which is the order they were uploaded in."""
        rows = await self.db.fetch(
            oldest_first(
                f"""SELECT {PHOTO}
                    FROM album_photos h JOIN photos p ON p.id = h.photo_id JOIN uploads u ON u.id = p.id""",
                "h.album_id",
                "h.photo_id",
                only="""u.processing_status = ANY ($5::text[])
                    AND EXISTS (SELECT FROM albums WHERE id = $1 AND owner_id = $4)""",
            ),
            album_id,
            after,
            limit,
            owner_id,
            sorted(STORED),
        )
        if not rows:
            await self.get(album_id, owner_id=owner_id)
        return [photo_of(row) for row in rows]

    async def add(
        self, album_id: int, photo_ids: Sequence[int], *, owner_id: int, tx: Executor | None = None
    ) -> list[int]:
        """Photos of the caller's that arrived: all or none. Which of them are new to the album. Locks the album first
        and then the photos, as whoever deletes one of them does."""
        asked = sorted(set(photo_ids))
        rows = await (tx or self.db).fetch(
            """
WITH album AS MATERIALIZED (
    SELECT id FROM albums WHERE id = $1 AND owner_id = $2 FOR KEY SHARE
), own AS MATERIALIZED (
    SELECT u.id, u.processing_status AS state FROM uploads u
    WHERE EXISTS (SELECT FROM album) AND u.id = ANY ($3::bigint[]) AND u.uploader_id = $2 AND u.kind = 'photo'
    ORDER BY u.id FOR KEY SHARE
), added AS (
    INSERT INTO album_photos (album_id, photo_id, added_at)
    SELECT $1, own.id, $4 FROM own
    WHERE (SELECT count(*) FROM own WHERE state = ANY ($5::text[])) = cardinality($3::bigint[])
    ON CONFLICT DO NOTHING RETURNING photo_id
)
SELECT EXISTS (SELECT FROM album), ARRAY(SELECT id FROM own), ARRAY(SELECT state FROM own),
       ARRAY(SELECT photo_id FROM added ORDER BY photo_id)""",
            album_id,
            owner_id,
            asked,
            self.clock(),
            sorted(STORED),
        )
        is_there, ids, states, added = rows[0]
        if not is_there:
            raise AlbumNotFound(album_id)
        _refuse_missing(asked, dict(zip(ids, states, strict=True)))
        return list(added)

    async def take_out(self, album_id: int, photo_id: int, *, owner_id: int) -> None:
        """Only its place goes: the photo stays its owner's, in other albums or in none."""
        rows = await self.db.fetch(
            """
WITH photo AS MATERIALIZED (
    SELECT u.id FROM uploads u
    WHERE u.id = $2 AND u.uploader_id = $3 AND EXISTS (
        SELECT FROM album_photos h JOIN albums a ON a.id = h.album_id
        WHERE h.photo_id = u.id AND h.album_id = $1 AND a.owner_id = $3)
    FOR NO KEY UPDATE
), taken AS (
    DELETE FROM album_photos h USING photo WHERE h.album_id = $1 AND h.photo_id = photo.id RETURNING h.photo_id
), homeless AS (
    UPDATE uploads u SET target_id = NULL FROM taken WHERE u.id = taken.photo_id AND u.target_id = $1
)
SELECT photo_id FROM taken""",
            album_id,
            photo_id,
            owner_id,
        )
        if not rows:
            await self.get(album_id, owner_id=owner_id)
            raise PhotoNotFound(photo_id)


def _refuse_missing(asked: Sequence[int], states: dict[int, Any]) -> None:
    for photo_id in asked:
        state = states.get(photo_id)
        if state == State.PENDING:
            raise FileNotArrived(photo_id)
        if state not in STORED:
            raise PhotoNotFound(photo_id)
