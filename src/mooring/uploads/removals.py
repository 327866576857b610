"""Objects that must go: on record in the transaction that gave them up, until no URL can bring them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mooring.db.pool import Executor


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
