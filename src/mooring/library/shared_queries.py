"""The SQL behind a shared album: never a word of its owner, of object keys or of folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mooring.db.pages import oldest_first
from mooring.db.pool import Executor
from mooring.library.images import last_segment
from mooring.uploads.lifecycle import ARRIVED


@dataclass(frozen=True, slots=True)
class Link:
    id: int
    album_id: int
    token_hash: bytes
    password_hash: str | None
    max_views: int | None
    views: int
    expires_at: datetime | None
    revoked_at: datetime | None
    has_photo: bool  # the one that was asked for is in the album

    @property
    def is_guarded(self) -> bool:
        """Its images ask for a pass: without one, whoever guesses their numbers would need no password and no view."""
        return self.password_hash is not None or self.max_views is not None

    @property
    def is_used_up(self) -> bool:
        return self.max_views is not None and self.views >= self.max_views


@dataclass(frozen=True, slots=True)
class SharedAlbum:
    title: str
    description: str | None
    photo_count: int


@dataclass(frozen=True, slots=True)
class SharedPhoto:
    id: int
    filename: str
    title: str | None
    description: str | None
    width: int | None
    height: int | None
    blurhash: str | None
    sizes: Sequence[str]  # those that processing made


async def link_by_token(tx: Executor, token_hash: bytes, photo_id: int | None) -> Link | None:
    rows = await tx.fetch(
        """SELECT id, album_id, token_hash, password_hash, max_views, views, expires_at, revoked_at,
                  EXISTS (SELECT FROM album_photos p WHERE p.album_id = l.album_id AND p.photo_id = $2)
           FROM share_links l WHERE token_hash = $1""",
        token_hash,
        photo_id,
    )
    return Link(*rows[0]) if rows else None


async def count_view(tx: Executor, link_id: int, *, at: datetime) -> bool:
    """The WHERE is the limit: of a hundred who open the link at once, as many get in as there are views left."""
    rows = await tx.fetch(
        """UPDATE share_links SET views = views + 1
           WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
             AND (max_views IS NULL OR views < max_views)
           RETURNING 1""",
        link_id,
        at,
    )
    return bool(rows)


async def album(tx: Executor, album_id: int) -> SharedAlbum | None:
    rows = await tx.fetch(
        f"""SELECT a.title, a.description,
                   (SELECT count(*) FROM album_photos h JOIN uploads u ON u.id = h.photo_id
                    WHERE h.album_id = a.id AND u.processing_status = ANY ({ARRIVED}))
            FROM albums a WHERE a.id = $1""",
        album_id,
    )
    return SharedAlbum(*rows[0]) if rows else None


async def photos(tx: Executor, album_id: int, *, after: int | None, limit: int) -> list[SharedPhoto]:
    """What arrived, as the album's owner sees it listed."""
    rows = await tx.fetch(
        oldest_first(
            """SELECT u.id, u.original_filename, p.title, p.description, p.width, p.height, p.blurhash,
                   ARRAY(SELECT CASE r.name WHEN 'clean' THEN 'original' ELSE r.name END
                         FROM renditions r WHERE r.upload_id = u.id)
            FROM album_photos h JOIN photos p ON p.id = h.photo_id JOIN uploads u ON u.id = p.id""",
            "h.album_id",
            "h.photo_id",
            only=f"u.processing_status = ANY ({ARRIVED})",
        ),
        album_id,
        after,
        limit,
    )
    return [SharedPhoto(id_, last_segment(filename), *others) for id_, filename, *others in rows]
