"""Which file is the image of a photo: of its owner's, and of one in an album that was shared."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from mooring.db.plans import unseen
from mooring.db.pool import Database, Executor
from mooring.library.recent_images import RecentImages
from mooring.uploads.gather import Gatherer
from mooring.uploads.lifecycle import STORED
from mooring.uploads.served import ServedFile


class Size(StrEnum):
    original = "original"
    large = "large"
    thumb = "thumb"


ENDINGS = {
    "image/webp": ".webp",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/avif": ".avif",
    "image/gif": ".gif",
    "video/mp4": ".mp4",
}


@dataclass(frozen=True, slots=True)
class Asked:
    photo_id: int
    user_id: int
    size: Size


@dataclass(frozen=True)
class Images:
    db: Database
    recent: RecentImages = field(default_factory=RecentImages)  # nothing, unless it listens

    async def of_owner(self, photo_id: int, *, user_id: int, size: Size) -> ServedFile | None:
        """As below; those that are asked for at the same time share a statement."""
        shelf = self.recent.shelf(user_id)
        known = self.recent.find(shelf, (photo_id, size))
        if known is not None:
            return known
        found = await self._asking.ask(Asked(photo_id, user_id, size))
        if found is not None:
            self.recent.keep(user_id, shelf, (photo_id, size), found)
        return found

    def forget(self, user_id: int) -> None:
        """Something of theirs was deleted here: that is true at once, and not only when NOTIFY says so."""
        self.recent.forget(user_id)

    @cached_property
    def _asking(self) -> Gatherer[Asked, ServedFile | None]:
        return Gatherer(lambda asked: of_owners(self.db, asked))


async def of_owner(tx: Executor, photo_id: int, user_id: int, size: Size) -> ServedFile | None:
    """The owner's own photo, once it arrived. `large` and `thumb` are the original until processing made them."""
    return (await of_owners(tx, [Asked(photo_id, user_id, size)]))[0]


async def of_owners(tx: Executor, asked: Sequence[Asked]) -> list[ServedFile | None]:
    """The same for many, each with its own answer, in order."""
    rows = await tx.fetch(
        f"""
SELECT a.place, coalesce(r.object_key, u.object_key), coalesce(r.etag, u.etag),
       coalesce(r.content_type, u.content_type), coalesce(r.size_bytes, u.file_size), u.original_filename,
       CASE WHEN r.name IS NULL THEN u.completed_at END, r.name IS NOT NULL
FROM unnest({unseen("bigint")}, $2::bigint[], $3::text[]) WITH ORDINALITY AS a(photo_id, user_id, size, place)
JOIN uploads u ON u.id = a.photo_id AND u.uploader_id = a.user_id AND u.kind = 'photo'
    AND u.processing_status = ANY ($4::text[])
LEFT JOIN renditions r ON r.upload_id = u.id AND r.name = a.size""",
        [one.photo_id for one in asked],
        [one.user_id for one in asked],
        [one.size for one in asked],
        sorted(STORED),
    )
    found = {place: _file(file) for place, *file in rows}
    return [found.get(place) for place in range(1, len(asked) + 1)]


async def in_album(tx: Executor, album_id: int, photo_id: int, size: Size) -> ServedFile | None:
    """For share links: only what processing made. Their `original` is the copy without its owner's secrets, never the
    file that was uploaded; until there is one, there is nothing."""
    rows = await tx.fetch(
        """
SELECT r.object_key, r.etag, r.content_type, r.size_bytes, u.original_filename, NULL::timestamptz, true
FROM album_photos p
JOIN uploads u ON u.id = p.photo_id AND u.processing_status = ANY ($4::text[])
JOIN renditions r ON r.upload_id = u.id AND r.name = $3
WHERE p.album_id = $1 AND p.photo_id = $2""",
        album_id,
        photo_id,
        "clean" if size is Size.original else size,
        sorted(STORED),
    )
    return _file(rows[0]) if rows else None


def _file(row: Sequence[Any]) -> ServedFile:
    object_key, etag, content_type, size_bytes, filename, modified_at, was_made = row
    name = last_segment(filename)
    if was_made:
        name = made_name(name, content_type)
    return ServedFile(object_key, etag, content_type, size_bytes, name, modified_at)


def last_segment(filename: str) -> str:
    """Where it lay on its owner's machine is nobody's business."""
    return re.split(r"[/\\]", filename)[-1]


def made_name(filename: str, content_type: str) -> str:
    """With the ending of what it became."""
    stem, dot, _ = filename.rpartition(".")
    return (stem if dot and stem else filename) + ENDINGS.get(content_type, "")
