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
