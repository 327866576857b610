"""Objects that must go: on record in the transaction that gave them up, until no URL can bring them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mooring.db.pool import Executor
from mooring.uploads.lifecycle import COLUMNS, SLOW_PUT, STORED, Trigger, Upload, upload_of


def removing(which: str) -> str:
    """The statement that deletes uploads for good: with it quotas are freed and objects marked for removal.
    `which` selects their ids; what it asks for is $5. Uploads are locked before quotas, in the order of their ids."""
    return f"""
WITH locked AS MATERIALIZED (
    SELECT id FROM uploads WHERE id IN ({which}) ORDER BY id FOR UPDATE
), gone AS (
    DELETE FROM uploads u USING locked l WHERE u.id = l.id
    RETURNING {COLUMNS}, u.reserved_bytes,
        u.processing_status = ANY ($4::text[]) AS is_stored
), owed AS (
    SELECT uploader_id, sum(reserved_bytes)::bigint AS held,
           coalesce(sum(file_size) FILTER (WHERE is_stored), 0)::bigint AS used,
           count(*) FILTER (WHERE is_stored AND kind = 'photo') AS photos,
           count(*) FILTER (WHERE reserved_bytes > 0)::int AS files
    FROM gone GROUP BY uploader_id
), quota AS MATERIALIZED (
    SELECT q.* FROM quotas q WHERE q.user_id IN (SELECT uploader_id FROM owed) ORDER BY q.user_id FOR UPDATE
), freed AS (
    UPDATE quotas q
    SET reserved_bytes = quota.reserved_bytes - o.held,
        used_bytes = quota.used_bytes - o.used,
        photos = quota.photos - o.photos,
        in_flight = quota.in_flight - o.files
    FROM owed o JOIN quota ON quota.user_id = o.uploader_id WHERE q.user_id = o.uploader_id
), logged AS (
    INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
    SELECT id, uploader_id, 'deleted', $2, $1 FROM gone ORDER BY id
), doomed AS (
    INSERT INTO removals (object_key, multipart_id, due_at, until)
    SELECT object_key, multipart_id, $1::timestamptz, greatest(expires_at, $1) + $3 FROM gone
    ON CONFLICT (object_key) DO UPDATE SET due_at = excluded.due_at
)
SELECT {COLUMNS.replace("u.", "g.")} FROM gone g"""


REMOVE = removing("SELECT unnest($5::bigint[])")


async def remove(tx: Executor, statement: str, asked: object, *, at: datetime, trigger: Trigger) -> list[Upload]:
    """What a statement of `removing` deleted."""
    rows = await tx.fetch(statement, at, trigger, SLOW_PUT, sorted(STORED), asked)
    return [upload_of(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Removal:
    object_key: str
    multipart_id: str | None
    until: datetime


async def take_due(tx: Executor, *, at: datetime, limit: int) -> list[Removal]:
    """Taking one puts it off, so that instances share the work and one that dies only delays it."""
    rows = await tx.fetch(
        """
WITH due AS MATERIALIZED (
    SELECT object_key FROM removals WHERE due_at <= $1 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE removals r SET due_at = $1 + interval '10 minutes' FROM due WHERE r.object_key = due.object_key
RETURNING r.object_key, r.multipart_id, r.until""",
        at,
        limit,
    )
    return [Removal(*row) for row in rows]


async def settle(tx: Executor, object_keys: Sequence[str], *, at: datetime) -> None:
    """These objects are deleted. As long as a URL can bring one back, it is deleted once more when none can."""
    await tx.fetch(
        """
WITH over AS (DELETE FROM removals WHERE object_key = ANY ($1::text[]) AND until <= $2)
UPDATE removals SET due_at = until WHERE object_key = ANY ($1::text[]) AND until > $2""",
        object_keys,
        at,
    )


async def promise(tx: Executor, object_key: str, *, due_at: datetime) -> None:
    """On record before there is an object: whoever makes it takes it back, or it goes."""
    await tx.fetch("INSERT INTO removals (object_key, due_at, until) VALUES ($1, $2, $2)", object_key, due_at)


async def take_back(tx: Executor, object_key: str, *, due_at: datetime) -> bool:
    """Whether the promise was still as it was made: a sweep that has begun to keep it has changed when it is due."""
    rows = await tx.fetch("DELETE FROM removals WHERE object_key = $1 AND due_at = $2 RETURNING 1", object_key, due_at)
    return bool(rows)


async def hasten(tx: Executor, object_key: str, *, at: datetime, until: datetime) -> bool:
    """Due now. False where the promise was taken back."""
    rows = await tx.fetch(
        "UPDATE removals SET due_at = $2, until = $3 WHERE object_key = $1 RETURNING 1", object_key, at, until
    )
    return bool(rows)
