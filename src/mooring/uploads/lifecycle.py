"""What an upload can be, what may become of it, and the one statement that writes it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from mooring.db.plans import unseen
from mooring.db.pool import Executor
from mooring.jobs.queue import enqueueing


class State(StrEnum):
    PENDING = "PENDING"
    UPLOADED = "UPLOADED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    RECLAIMED = "RECLAIMED"


class Trigger(StrEnum):
    """Who knocked."""

    CLIENT = "client"
    EVENT = "event"
    FUNCTION = "function"
    SWEEP = "sweep"
    WORKER = "worker"
    ADMIN = "admin"


MOVES: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.UPLOADED, State.REJECTED, State.RECLAIMED}),
    State.UPLOADED: frozenset({State.PROCESSING, State.REJECTED}),
    State.PROCESSING: frozenset({State.COMPLETED, State.FAILED, State.REJECTED}),
    State.FAILED: frozenset({State.UPLOADED}),
    State.COMPLETED: frozenset({State.REJECTED}),
    State.REJECTED: frozenset(),
    State.RECLAIMED: frozenset(),
}
# In these the object is kept and counts as used.
STORED = frozenset({State.UPLOADED, State.PROCESSING, State.COMPLETED, State.FAILED})
ARRIVED = f"ARRAY[{', '.join(repr(str(state)) for state in sorted(STORED))}]"  # the same as SQL writes it
# Into these the object is given up.
GIVEN_UP = frozenset({State.REJECTED, State.RECLAIMED})
# A PUT that began before its URL lapsed may end this much later.
SLOW_PUT = timedelta(hours=1)


# Every event but `issued` is told here, and names its user; migration 0008 does it.
CHANNEL = "mooring_uploads"


def sources(to: State) -> list[State]:
    return [state for state, targets in MOVES.items() if to in targets]


class Upload(NamedTuple):
    """A row. As a tuple it is made in half the time of a frozen dataclass, and every confirm makes two."""

    id: int
    kind: str
    state: State
    uploader_id: int
    target_id: int | None
    original_filename: str
    content_type: str
    file_size: int
    checksum_sha256: str | None
    object_key: str
    multipart_id: str | None
    part_size: int | None  # None: it comes in one PUT
    etag: str | None
    error_message: str | None
    created_at: datetime
    expires_at: datetime
    completed_at: datetime | None
    progress: int | None  # of processing, in percent, where it is known
    project_id: int | str | None  # what it belongs to in the client's own application

    @property
    def stored_bytes(self) -> int:
        """What of it counts as used."""
        return self.file_size if self.state in STORED else 0


COLUMNS = """u.id, u.kind, u.processing_status, u.uploader_id, u.target_id, u.original_filename, u.content_type,
    u.file_size, u.checksum_sha256, u.object_key, u.multipart_id, u.part_size, u.etag, u.processing_error_message,
    u.created_at, u.expires_at, u.completed_at, u.progress, u.project_id"""


def upload_of(row: Sequence[Any]) -> Upload:
    id_, kind, state, *others = row
    return Upload(id_, kind, State(state), *others)


class Move(NamedTuple):
    upload_id: int
    trigger: Trigger
    etag: str | None = None
    error: str | None = None
    detail: Mapping[str, Any] | None = None
    came_at: datetime | None = None  # when the bytes were there, where somebody says so


# The WHERE of `moved` is the lock: of two rivals one updates the row, the other none. Rows are locked in the order of
# their ids, uploads before quotas, so that two groups never wait for each other. What was renewed after the sweep
# looked, or may still get the end of a slow PUT, is not reclaimed. Amounts are reckoned from the locked row of `quota`:
# from `q`, the CHECKs would first judge what comes of the snapshot's row, where less may be than is taken away.
ADVANCE = f"""
WITH asked AS (
    SELECT * FROM unnest({unseen("bigint")}, $2::text[], $3::text[], $4::jsonb[], $10::text[])
               AS a(id, etag, error, detail, trigger)
), locked AS MATERIALIZED (
    SELECT u.id, u.processing_status AS was, u.reserved_bytes AS held
    FROM uploads u WHERE u.id = ANY ({unseen("bigint")}) ORDER BY u.id FOR UPDATE
), moved AS (
    UPDATE uploads u
    SET processing_status = $5,
        processing_error_message = a.error,
        reserved_bytes = 0,
        etag = coalesce(u.etag, a.etag),
        progress = CASE WHEN $5 = 'COMPLETED' THEN 100 END,
        failed_tries = 0,
        completed_at = CASE WHEN $5 = 'UPLOADED' THEN coalesce(u.completed_at, $8) ELSE u.completed_at END
    FROM asked a JOIN locked l ON l.id = a.id
    WHERE u.id = a.id AND u.processing_status = ANY ($6::text[])
      AND ($5 <> 'RECLAIMED' OR u.expires_at + $11 <= $8)
    RETURNING {COLUMNS}, u.described_at, a.detail, a.trigger, l.held,
        ($5 = ANY ($9::text[]))::int - (l.was = ANY ($9::text[]))::int AS more_stored
), owed AS (
    SELECT uploader_id, sum(held) AS held, sum(file_size * more_stored) AS more_used,
        sum(more_stored) FILTER (WHERE kind = 'photo') AS more_photos, count(*) FILTER (WHERE held > 0) AS landed
    FROM moved GROUP BY uploader_id HAVING sum(held) <> 0 OR sum(more_stored) <> 0
), quota AS MATERIALIZED (
    SELECT q.* FROM quotas q WHERE q.user_id IN (SELECT uploader_id FROM owed) ORDER BY q.user_id FOR UPDATE
), settled AS (
    UPDATE quotas q
    SET reserved_bytes = quota.reserved_bytes - o.held,
        used_bytes = quota.used_bytes + o.more_used,
        photos = quota.photos + coalesce(o.more_photos, 0),
        in_flight = quota.in_flight - o.landed
    FROM owed o JOIN quota ON quota.user_id = o.uploader_id WHERE q.user_id = o.uploader_id
), logged AS (
    INSERT INTO upload_events (upload_id, user_id, what, trigger, at, detail)
    SELECT id, uploader_id, $7, trigger, $8, detail FROM moved ORDER BY id
)
SELECT {COLUMNS.replace("u.", "m.")} FROM moved m
"""


def _and(more: str) -> str:
    """The same statement, with one thing more that happens in it."""
    return f", {more}\nSELECT".join(ADVANCE.rsplit("\nSELECT", 1))


# What arrived, or is to be tried again, is due for a worker.
ADVANCE_AND_ENQUEUE = _and(f"due AS ({enqueueing('moved')}\n)")
ADVANCE_AND_DOOM = _and("""doomed AS (
    INSERT INTO removals (object_key, multipart_id, due_at, until)
    SELECT object_key, multipart_id, $8, greatest(expires_at, $8) + $11 FROM moved
    ON CONFLICT (object_key) DO NOTHING
)""")


async def advance(
    tx: Executor, to: State, moves: Sequence[Move], *, what: str, at: datetime, only_from: State | None = None
) -> list[Upload]:
    """Move each upload that may move; answer those that did. With it, in the same statement: the quota follows the
    state, the story gets its line, what is due for a worker gets its job, and an object that is given up is marked for
    removal. A missing one in the answer is no error: somebody else was first. `only_from`: the state it was judged
    in."""
    statement = ADVANCE_AND_DOOM if to in GIVEN_UP else ADVANCE
    rows = await tx.fetch(
        ADVANCE_AND_ENQUEUE if to is State.UPLOADED else statement,
        [move.upload_id for move in moves],
        [move.etag for move in moves],
        [move.error for move in moves],
        [move.detail for move in moves],
        to,
        [state for state in sources(to) if only_from in (None, state)],
        what,
        at,
        sorted(STORED),
        [move.trigger for move in moves],
        SLOW_PUT,
    )
    return [upload_of(row) for row in rows]
