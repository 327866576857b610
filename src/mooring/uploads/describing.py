"""An upload is described once it is recorded what it is a file of. Photos and videos are at their issue; of a recording
that is said later, before its bytes came or after. Work is due when both facts are there, and whichever statement
writes the second one enqueues it: both are columns of one row, so neither can miss the other."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mooring.db.pool import Executor
from mooring.jobs.queue import enqueueing
from mooring.uploads.lifecycle import COLUMNS, State


def describing(kind: str, *, where: str, with_it: str, answer: str) -> str:
    """The statement that describes one upload of this kind, once, and of its uploader's alone: $1 its id, $2 the
    uploader's, $3 when. `where` says on what more it depends, `with_it` adds what the library records of `described`
    (an upload); what they ask for is $5 and the following.

    The WHERE is the lock: of fifty rivals one finds an upload that is not described. A rival that is just letting the
    bytes arrive is waited for, and then the row is the one it left."""
    return f"""
WITH described AS (
    UPDATE uploads u SET described_at = $3
    WHERE u.id = $1 AND u.uploader_id = $2 AND u.kind = '{kind}' AND u.described_at IS NULL
      AND u.processing_status = ANY ($4::text[]) AND {where}
    RETURNING {COLUMNS}, u.described_at
), logged AS (
    INSERT INTO upload_events (upload_id, user_id, what, trigger, at)
    SELECT id, uploader_id, 'described', 'client', $3 FROM described
), arrived AS (
    SELECT * FROM described WHERE processing_status = 'UPLOADED'
), due AS ({enqueueing("arrived")}
){with_it}
{answer}"""


# What can still be described: not what was given up. What was worked on has been described.
UNDESCRIBED = (State.PENDING, State.UPLOADED)


async def describe(
    tx: Executor, statement: str, upload_id: int, *, uploader_id: int, at: datetime, asked: Sequence[Any]
) -> list[Any]:
    """The answer's rows of a statement of `describing`; none where nothing was described."""
    return await tx.fetch(statement, upload_id, uploader_id, at, UNDESCRIBED, *asked)
