"""How much there is by now: counted by one instance for all, kept in the database, shown by each as its gauges."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from mooring.clock import Clock
from mooring.db.pool import Database, Executor
from mooring.errors import MooringError
from mooring.observe.growth import Counted, Growth

log = structlog.get_logger()

EVERY = timedelta(seconds=60)
LOOK_SECONDS = 5.0  # whether there is a new one

# Whoever locks the row while it is old counts; the others skip it. Three small scans and two of indexes: sums are of
# `quotas`, which has a row per user, never of `uploads`. What that costs is in decision 0012.
_COUNT = """
WITH old AS MATERIALIZED (
    SELECT is_only FROM growth WHERE taken_at <= $1::timestamptz - $2::interval FOR UPDATE SKIP LOCKED
)
UPDATE growth g SET taken_at = $1, counted = (
    SELECT jsonb_build_object(
        'users', q.users, 'active_users', q.users - (SELECT count(*) FROM users WHERE NOT is_active),
        'albums', (SELECT count(*) FROM albums), 'shared_albums', l.shared_albums,
        'photos', q.photos, 'share_links', l.links, 'active_share_links', l.active, 'stored_bytes', q.bytes,
        'incomplete', (SELECT count(*) FROM temp_upload_records WHERE expires_at < $1 AND completed_at IS NULL),
        'bytes_by_user', coalesce((SELECT jsonb_object_agg(user_id, used_bytes) FROM (
            SELECT user_id, used_bytes FROM quotas WHERE used_bytes > 0 ORDER BY used_bytes DESC, user_id LIMIT $3
        ) top), '{}'))
    FROM (SELECT count(*) AS users, coalesce(sum(photos), 0)::bigint AS photos,
                 coalesce(sum(used_bytes), 0)::bigint AS bytes FROM quotas) q,
         (SELECT count(*) AS links, count(*) FILTER (WHERE is_active) AS active,
                 count(DISTINCT album_id) FILTER (WHERE is_active) AS shared_albums
          FROM (SELECT album_id, revoked_at IS NULL AND coalesce(expires_at > $1, true)
                    AND coalesce(views < max_views, true) AS is_active FROM share_links) each) l)
FROM old WHERE g.is_only = old.is_only
RETURNING 1"""


async def count_if_old(tx: Executor, *, at: datetime, most: int) -> bool:
    """Whether it was us who counted."""
    return bool(await tx.fetch(_COUNT, at, EVERY, most))


@dataclass
class Gauges:
    """Keeps the gauges as the database says. `others`: gauges of other areas, read as often."""

    db: Database
    clock: Clock
    growth: Growth
    others: Sequence[Callable[[], Awaitable[None]]] = field(default=())
    _shown: datetime | None = None

    async def for_ever(self) -> None:
        """Until cancelled. What can't be read now is left as it is."""
        while True:
            for read in (self.refresh, *self.others):
                try:
                    await read()
                except MooringError as failure:
                    log.warning("gauges_not_read", why=str(failure))
                except Exception:
                    log.exception("gauges_not_read")
            await asyncio.sleep(LOOK_SECONDS)

    async def refresh(self) -> None:
        await count_if_old(self.db, at=self.clock(), most=self.growth.most)
        rows = await self.db.fetch("SELECT taken_at, counted FROM growth WHERE counted IS NOT NULL")
        if rows and rows[0][0] != self._shown:  # one that was shown already knows less than what was bumped since
            self._shown, counted = rows[0]
            self.growth.settle(Counted(**counted))
