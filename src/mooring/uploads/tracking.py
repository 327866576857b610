"""Issued but never completed: totals, by user, by album (guide 000)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mooring.db.pool import Executor


@dataclass(frozen=True, slots=True)
class IncompleteRecord:
    upload_id: int
    album_id: int | None
    user_id: int
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Incomplete:
    total_count: int
    by_user_id: Mapping[int, int]
    by_album_id: Mapping[int, int]
    sample_records: Sequence[IncompleteRecord]


# `expires_at >= since` follows from `issued_at >= since`, and lets the index skip what is older.
INCOMPLETE = """
    FROM temp_upload_records
    WHERE expires_at < $1 AND completed_at IS NULL
      AND ($2::bigint IS NULL OR user_id = $2)
      AND ($3::timestamptz IS NULL OR (issued_at >= $3 AND expires_at >= $3))
      AND ($4::timestamptz IS NULL OR issued_at < $4)
"""


async def aggregate_incomplete_after_ttl(
    tx: Executor,
    *,
    now: datetime,
    limit: int = 100,
    user_id: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Incomplete:
    """All uploads whose URL lapsed before `now` and that never arrived; `since` and `until` bound when they were
    issued, `limit` the records shown."""
    which = (now, user_id, since, until)
    groups = await tx.fetch(
        f"""SELECT grouping(user_id) = 0 AS is_user, grouping(album_id) = 0 AS is_album, user_id, album_id, count(*)
            {INCOMPLETE}
            GROUP BY GROUPING SETS ((), (user_id), (album_id)) ORDER BY count(*) DESC, user_id, album_id""",
        *which,
    )
    sample = await tx.fetch(
        f"""SELECT upload_id, album_id, user_id, issued_at, expires_at {INCOMPLETE}
            ORDER BY expires_at, upload_id LIMIT $5""",
        *which,
        limit,
    )
    return Incomplete(
        total_count=sum(row[4] for row in groups if not row[0] and not row[1]),
        by_user_id={row[2]: row[4] for row in groups if row[0]},
        by_album_id={row[3]: row[4] for row in groups if row[1] and row[3] is not None},
        sample_records=[IncompleteRecord(*row) for row in sample],
    )


async def count_incomplete(tx: Executor, *, now: datetime) -> int:
    """The gauge's number: one index-only scan."""
    rows = await tx.fetch(
        "SELECT count(*) FROM temp_upload_records WHERE expires_at < $1 AND completed_at IS NULL", now
    )
    return int(rows[0][0])
