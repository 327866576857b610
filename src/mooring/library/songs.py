"""Songs: what people record themselves with. Administrators keep the list."""

from dataclasses import dataclass
from datetime import datetime

from mooring.clock import Clock
from mooring.db.pool import Database, Executor


@dataclass(frozen=True, slots=True)
class Song:
    id: int
    title: str
    artist: str | None
    duration_seconds: int | None
    created_at: datetime


@dataclass(frozen=True)
class Songs:
    db: Database
    clock: Clock

    async def create(
        self, *, title: str, artist: str | None, duration_seconds: int | None, tx: Executor | None = None
    ) -> Song:
        rows = await (tx or self.db).fetch(
            """INSERT INTO songs (title, artist, duration_seconds, created_at) VALUES ($1, $2, $3, $4)
               RETURNING id, title, artist, duration_seconds, created_at""",
            title,
            artist,
            duration_seconds,
            self.clock(),
        )
        return Song(*rows[0])

    async def page(self, *, after: int | None, limit: int) -> list[Song]:
        """In the order they were added in."""
        rows = await self.db.fetch(
            """SELECT id, title, artist, duration_seconds, created_at FROM songs
               WHERE $1::bigint IS NULL OR id > $1 ORDER BY id LIMIT $2""",
            after,
            limit,
        )
        return [Song(*row) for row in rows]
