"""The SQL on uploads, but for the one statement that writes their state (`lifecycle.ADVANCE`)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from mooring.db.plans import unseen
from mooring.db.pool import Executor
from mooring.uploads.lifecycle import COLUMNS, SLOW_PUT, STORED, Upload, upload_of
from mooring.uploads.quota import Plan


class Wanted(NamedTuple):
    """A row to be: thousands are made a second, hence a tuple."""

    uuid: UUID
    uploader_id: int
    target_id: int | None
    filename: str
    extension: str
    content_type: str
    file_size: int
    sha256: str | None
    object_key: str
    at: datetime
    expires_at: datetime


class Verdict(StrEnum):
    ISSUED = "issued"
    NO_TARGET = "no_target"
    OVER_QUOTA = "over_quota"
    OVER_FLIGHT = "over_flight"


class Issued(NamedTuple):
    upload_id: int
    verdict: Verdict


def issuing(
    kind: str, directory: str, *, allowed: str, described: bool, with_it: str, project: str | None = None
) -> str:
    """The statement that issues one upload or a thousand of this kind. `allowed` selects from `wanted` those whose
    target is the uploader's; `with_it` adds what the library records with each of `issued (id, target_id, created_at)`;
    `project` says where the project is found, for kinds that may have one.

    The uploads of one user are granted together or not at all. Quota rows are locked in the order of their ids."""
    return f"""
WITH wanted AS MATERIALIZED (
    SELECT nextval('uploads_id_seq') AS id, w.*
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
                $9::text[], $10::timestamptz[], $11::timestamptz[]) WITH ORDINALITY
         AS w(uuid, uploader_id, target_id, filename, extension, content_type, file_size, sha256,
              object_key, at, expires_at, place)
), allowed AS MATERIALIZED (
    {allowed}
), asked AS (
    SELECT uploader_id, sum(file_size)::bigint AS bytes, count(*)::int AS files FROM allowed GROUP BY uploader_id
), quota AS MATERIALIZED (
    SELECT q.user_id, q.reserved_bytes + q.used_bytes AS bytes, q.in_flight AS files
    FROM quotas q WHERE q.user_id IN (SELECT uploader_id FROM asked) ORDER BY q.user_id FOR UPDATE
), judged AS MATERIALIZED (
    SELECT q.user_id, a.bytes, a.files,
           CASE WHEN q.bytes + a.bytes > p.bytes THEN 'over_quota'
                WHEN q.files + a.files > p.files THEN 'over_flight'
                ELSE 'issued' END AS verdict
    FROM quota q
    JOIN asked a ON a.uploader_id = q.user_id
    JOIN users u ON u.id = q.user_id
    JOIN unnest($12::text[], $13::bigint[], $14::bigint[]) AS p(plan, bytes, files) ON p.plan = u.plan
), granted AS (
    UPDATE quotas q SET reserved_bytes = q.reserved_bytes + j.bytes, in_flight = q.in_flight + j.files
    FROM judged j WHERE q.user_id = j.user_id AND j.verdict = 'issued'
), issued AS (
    INSERT INTO uploads (id, uuid, kind, original_filename, extension, uploader_id, target_id, file_size, content_type,
        checksum_sha256, directory, object_key, reserved_bytes, created_at, expires_at, look_at, described_at,
        part_size{", project_id" if project else ""})
    SELECT w.id, w.uuid, '{kind}', w.filename, w.extension, w.uploader_id, w.target_id, w.file_size, w.content_type,
        w.sha256, '{directory}', w.object_key, w.file_size, w.at, w.expires_at, w.expires_at - $15::interval,
        {"w.at" if described else "NULL"}, $16::bigint{f", {project}" if project else ""}
    FROM allowed w JOIN judged j ON j.user_id = w.uploader_id AND j.verdict = 'issued'
    RETURNING id, target_id, created_at
), logged AS (
    INSERT INTO upload_events (upload_id, what, trigger, at) SELECT id, 'issued', 'client', created_at FROM issued
){with_it}
SELECT w.id, CASE WHEN a.id IS NULL THEN 'no_target' ELSE j.verdict END AS verdict
FROM wanted w LEFT JOIN allowed a ON a.id = w.id LEFT JOIN judged j ON j.user_id = a.uploader_id
ORDER BY w.place
"""


async def issue(
    tx: Executor,
    statement: str,
    wanted: Sequence[Wanted],
    *,
    plans: Sequence[Plan],
    look_before: timedelta,
    part_size: int | None = None,
    also: Sequence[Any] = (),
) -> list[Issued]:
    """`also`: what the library's part of the statement asks for, from $17 on."""
    rows = await tx.fetch(
        statement,
        [w.uuid for w in wanted],
        [w.uploader_id for w in wanted],
        [w.target_id for w in wanted],
        [w.filename for w in wanted],
        [w.extension for w in wanted],
        [w.content_type for w in wanted],
        [w.file_size for w in wanted],
        [w.sha256 for w in wanted],
        [w.object_key for w in wanted],
        [w.at for w in wanted],
        [w.expires_at for w in wanted],
        [plan.name for plan in plans],
        [plan.max_bytes for plan in plans],
        [plan.max_in_flight for plan in plans],
        look_before,
        part_size,
        *also,
    )
    return [Issued(row[0], Verdict(row[1])) for row in rows]


async def find(tx: Executor, upload_ids: Sequence[int]) -> dict[int, Upload]:
    rows = await tx.fetch(f"SELECT {COLUMNS} FROM uploads u WHERE u.id = ANY ({unseen('bigint')})", upload_ids)
    return {row[0]: upload_of(row) for row in rows}


async def find_by_key(tx: Executor, object_key: str) -> Upload | None:
    return (await find_by_keys(tx, [object_key])).get(object_key)


async def find_by_keys(tx: Executor, object_keys: Iterable[str]) -> dict[str, Upload]:
    """Names come from outside and may be anything: what can be none of ours is not asked for."""
    ours = {key: uuid for key in object_keys if (uuid := uuid_in(key)) and key.isprintable()}
    if not ours:
        return {}
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM uploads u WHERE u.uuid = ANY ({unseen('uuid')}) AND u.object_key = ANY ($2::text[])",
        list(ours.values()),
        list(ours),
    )
    return {upload.object_key: upload for upload in map(upload_of, rows)}


def uuid_in(object_key: str) -> UUID | None:
    """`photos/<uuid>_name` → the uuid."""
    try:
        return UUID(object_key.partition("/")[2][:36])
    except ValueError:
        return None


async def stored(tx: Executor, *, after: int, arrived_before: datetime, limit: int) -> list[Upload]:
    """Uploads whose object must be there, by id."""
    rows = await tx.fetch(
        f"""SELECT {COLUMNS} FROM uploads u
            WHERE u.id > $1 AND u.completed_at < $2 AND u.processing_status = ANY ($3::text[])
            ORDER BY u.id LIMIT $4""",
        after,
        arrived_before,
        sorted(STORED),
        limit,
    )
    return [upload_of(row) for row in rows]


async def renew(
    tx: Executor,
    upload_id: int,
    *,
    at: datetime,
    expires_at: datetime,
    look_at: datetime,
    plans: Sequence[Plan],
) -> Upload | None:
    """A new lapse for a pending upload. Where the reservation was released at the old one, it is made anew, if the plan
    still has room: None where it has not, or where the upload is no longer pending."""
    rows = await tx.fetch(
        f"""
WITH upload AS MATERIALIZED (
    SELECT id, uploader_id, file_size, reserved_bytes FROM uploads
    WHERE id = $1 AND processing_status = 'PENDING' FOR UPDATE
), quota AS MATERIALIZED (
    SELECT q.* FROM quotas q WHERE q.user_id = (SELECT uploader_id FROM upload) FOR UPDATE
), granted AS MATERIALIZED (
    SELECT up.id, up.uploader_id, up.file_size - up.reserved_bytes AS more
    FROM upload up JOIN quota q ON q.user_id = up.uploader_id JOIN users u ON u.id = up.uploader_id
    JOIN unnest($5::text[], $6::bigint[], $7::bigint[]) AS p(plan, bytes, files) ON p.plan = u.plan
    WHERE up.reserved_bytes > 0
       OR (q.reserved_bytes + q.used_bytes + up.file_size <= p.bytes AND q.in_flight + 1 <= p.files)
), reserved AS (
    UPDATE quotas q SET reserved_bytes = q.reserved_bytes + g.more, in_flight = q.in_flight + 1
    FROM granted g WHERE q.user_id = g.uploader_id AND g.more > 0
), logged AS (
    INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
    SELECT id, uploader_id, 'renewed', 'client', $2 FROM granted
)
UPDATE uploads u SET expires_at = $3, look_at = $4, reserved_bytes = u.file_size
FROM granted g WHERE u.id = g.id
RETURNING {COLUMNS}""",
        upload_id,
        at,
        expires_at,
        look_at,
        [plan.name for plan in plans],
        [plan.max_bytes for plan in plans],
        [plan.max_in_flight for plan in plans],
    )
    return upload_of(rows[0]) if rows else None


async def lapse(tx: Executor, upload_ids: Sequence[int], *, at: datetime) -> list[int]:
    """The URL lapsed and nothing came: release what was reserved. It waits on, for bytes that are late."""
    rows = await tx.fetch(
        """
WITH locked AS MATERIALIZED (
    SELECT id, uploader_id, reserved_bytes FROM uploads
    WHERE id = ANY ($1::bigint[]) AND processing_status = 'PENDING' AND reserved_bytes > 0 AND expires_at < $2
    ORDER BY id FOR UPDATE
), owed AS (
    SELECT uploader_id, sum(reserved_bytes)::bigint AS bytes, count(*)::int AS files FROM locked GROUP BY uploader_id
), quota AS MATERIALIZED (
    SELECT q.* FROM quotas q WHERE q.user_id IN (SELECT uploader_id FROM owed) ORDER BY q.user_id FOR UPDATE
), released AS (
    UPDATE quotas q SET reserved_bytes = quota.reserved_bytes - o.bytes, in_flight = quota.in_flight - o.files
    FROM owed o JOIN quota ON quota.user_id = o.uploader_id WHERE q.user_id = o.uploader_id
), logged AS (
    INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
    SELECT id, uploader_id, 'lapsed', 'sweep', $2 FROM locked ORDER BY id
)
UPDATE uploads u SET reserved_bytes = 0 FROM locked l WHERE u.id = l.id RETURNING u.id""",
        upload_ids,
        at,
    )
    return [row[0] for row in rows]


async def take_due(tx: Executor, *, at: datetime, reclaim_after: timedelta, limit: int) -> list[Upload]:
    """Pending uploads whose bytes it is time to look for. Taking one says when to look again, so that instances share
    the work and a crash only delays it: soon after the lapse, then ever less often, and last when it is given up."""
    rows = await tx.fetch(
        f"""
WITH due AS MATERIALIZED (
    SELECT id FROM uploads WHERE processing_status = 'PENDING' AND look_at <= $1
    ORDER BY look_at LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE uploads u
SET look_at = CASE
    WHEN $1 < u.expires_at THEN u.expires_at + interval '1 second'
    WHEN $1 < greatest(u.created_at + $2, u.expires_at + $4) THEN
        least(greatest(u.created_at + $2, u.expires_at + $4), $1 + greatest($1 - u.expires_at, interval '1 minute'))
    ELSE $1 + interval '10 minutes' END
FROM due WHERE u.id = due.id
RETURNING {COLUMNS}""",
        at,
        reclaim_after,
        limit,
        SLOW_PUT,
    )
    return [upload_of(row) for row in rows]


async def keep_progress(tx: Executor, upload_id: int, percent: int) -> None:
    """Whoever is not at work on it any more says nothing."""
    await tx.fetch(
        "UPDATE uploads SET progress = $2 WHERE id = $1 AND processing_status = 'PROCESSING'", upload_id, percent
    )


async def count_failed_try(tx: Executor, upload_id: int) -> int:
    """How often it has failed with this one. 0: somebody else came to an end with it."""
    rows = await tx.fetch(
        """UPDATE uploads SET failed_tries = failed_tries + 1
           WHERE id = $1 AND processing_status = 'PROCESSING' RETURNING failed_tries""",
        upload_id,
    )
    return int(rows[0][0]) if rows else 0


@dataclass(frozen=True, slots=True)
class Event:
    what: str
    trigger: str
    at: datetime
    detail: Mapping[str, Any] | None


async def history(tx: Executor, upload_id: int) -> list[Event]:
    rows = await tx.fetch(
        "SELECT what, trigger, at, detail FROM upload_events WHERE upload_id = $1 ORDER BY id", upload_id
    )
    return [Event(*row) for row in rows]
