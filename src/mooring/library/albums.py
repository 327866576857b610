"""Albums: what photos are shown in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mooring.clock import Clock
from mooring.db.pool import Database, Executor


@dataclass(frozen=True, slots=True)
class Album:
    id: int
    title: str
    description: str | None
    photo_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Albums:
    db: Database
    clock: Clock

    async def create(self, *, owner_id: int, title: str, description: str | None, tx: Executor | None = None) -> Album:
        rows = await (tx or self.db).fetch(
            """INSERT INTO albums (owner_id, title, description, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
               RETURNING id, title, description, 0, created_at, updated_at""",
            owner_id,
            title,
            description,
            self.clock(),
        )
        return Album(*rows[0])

    async def page(self, *, owner_id: int, before: int | None, limit: int) -> Sequence[Album]:
        """Newest first."""
        rows = await self.db.fetch(
            """SELECT a.id, a.title, a.description, (SELECT count(*) FROM album_photos p WHERE p.album_id = a.id),
                      a.created_at, a.updated_at
               FROM albums a WHERE a.owner_id = $1 AND ($2::bigint IS NULL OR a.id < $2) ORDER BY a.id DESC LIMIT $3""",
            owner_id,
            before,
            limit,
        )
        return [Album(*row) for row in rows]
