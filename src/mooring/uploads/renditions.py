"""What processing makes of an upload: objects of their own, rows of `renditions`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mooring.db.pool import Executor

# What is written and not adopted by then, never will be.
ADOPTED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Rendition:
    name: str
    object_key: str
    content_type: str
    width: int | None  # None of what is heard
    height: int | None
    size_bytes: int
    etag: str


async def announce(tx: Executor, object_keys: Sequence[str], *, at: datetime) -> None:
    """About to be written: on record for removal, so that nothing is left behind where nobody comes to adopt it."""
    await tx.fetch(
        "INSERT INTO removals (object_key, due_at, until) SELECT key, $2, $2 FROM unnest($1::text[]) AS key",
        object_keys,
        at + ADOPTED_WITHIN,
    )


async def adopt(tx: Executor, upload_id: int, made: Sequence[Rendition], *, at: datetime) -> bool:
    """Off the record, and the upload's own. False where one's time was over: it may be gone."""
    rows = await tx.fetch(
        """
WITH kept AS (
    DELETE FROM removals WHERE object_key = ANY ($3::text[]) AND due_at > $8 RETURNING object_key
)
INSERT INTO renditions (upload_id, name, object_key, content_type, width, height, size_bytes, etag)
SELECT $1, m.name, m.object_key, m.content_type, m.width, m.height, m.size_bytes, m.etag
FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::bigint[], $9::text[])
     AS m(name, object_key, content_type, width, height, size_bytes, etag)
JOIN kept USING (object_key)
RETURNING 1""",
        upload_id,
        [one.name for one in made],
        [one.object_key for one in made],
        [one.content_type for one in made],
        [one.width for one in made],
        [one.height for one in made],
        [one.size_bytes for one in made],
        at,
        [one.etag for one in made],
    )
    return len(rows) == len(made)


async def of(tx: Executor, upload_id: int) -> dict[str, Rendition]:
    """By name."""
    rows = await tx.fetch(
        """SELECT name, object_key, content_type, width, height, size_bytes, etag
           FROM renditions WHERE upload_id = $1""",
        upload_id,
    )
    return {row[0]: Rendition(*row) for row in rows}
