"""The queue as SQL: what makes a job due does so in its own statement. What a job is; who goes first is in `turns.py`.

The tables are pgqueuer's; `worker.py` takes from them with that library."""

from datetime import datetime, timedelta

from mooring.db.batches import batch_by_batch
from mooring.db.pool import Executor
from mooring.jobs import turns
from mooring.jobs.turns import FREE, PREMIUM, RECORDING_FIRST

# The job that each kind of upload is due when it arrived.
PROCESS = {"photo": "process_photo", "recording": "process_recording", "video": "process_video"}
LEFT_ALONE = timedelta(minutes=1)  # arrived so long ago, and without a job: it lost its own
LOG_LIFE = timedelta(days=7)
_UNIQUE = "(dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL"
_NAMES = " ".join(f"WHEN '{kind}' THEN '{name}'" for kind, name in PROCESS.items())
_KINDS = ", ".join(f"'{kind}'" for kind in PROCESS)


def enqueueing(rows: str) -> str:
    """An INSERT of one job for each of these uploads, if it has none yet. The job carries the whole context, so that
    whoever takes it need not guess."""
    return f"""
    INSERT INTO pgqueuer (priority, entrypoint, dedupe_key, payload, status)
    SELECT CASE p.plan WHEN 'premium' THEN {PREMIUM} ELSE {FREE} END
            + CASE d.kind WHEN 'recording' THEN {RECORDING_FIRST} ELSE 0 END, CASE d.kind {_NAMES} END, d.id::text,
        convert_to(json_build_object('upload', d.id, 'kind', d.kind, 'user', d.uploader_id, 'plan', p.plan,
                                     'target', d.target_id, 'project', d.project_id,
                                     'key', d.object_key)::text, 'UTF8'), 'queued'
    FROM {rows} d JOIN users p ON p.id = d.uploader_id
    WHERE d.described_at IS NOT NULL AND d.kind IN ({_KINDS})
    ON CONFLICT {_UNIQUE} DO NOTHING"""


_LEFT_OVER = f"""
WITH left_over AS (
    SELECT u.* FROM uploads u
    WHERE u.processing_status IN ('UPLOADED', 'PROCESSING') AND u.completed_at < $1 AND u.described_at IS NOT NULL
      AND NOT EXISTS (
        SELECT FROM pgqueuer j WHERE j.dedupe_key = u.id::text AND j.status IN ('queued', 'picked'))
    ORDER BY u.completed_at LIMIT $2
){enqueueing("left_over")}
RETURNING dedupe_key"""


async def keep(tx: Executor, at: datetime, *, limit: int) -> int:
    """A chore of the sweep: nobody starves, nothing is forgotten, the log does not grow for ever."""
    await turns.age(tx, list(PROCESS.values()))
    await purge_log(tx, limit=limit)
    return len(await enqueue_left_over(tx, arrived_before=at - LEFT_ALONE, limit=limit))


async def enqueue_left_over(tx: Executor, *, arrived_before: datetime, limit: int) -> list[int]:
    """Uploads that wait for a worker and have no job: what a crash, or somebody who emptied the queue, left."""
    return [int(row[0]) for row in await tx.fetch(_LEFT_OVER, arrived_before, limit)]


async def purge_log(tx: Executor, *, limit: int) -> int:
    """pgqueuer writes a line for each job taken and done, and keeps them all."""

    async def purge() -> int:
        rows = await tx.fetch(
            """DELETE FROM pgqueuer_log WHERE id IN (
                   SELECT id FROM pgqueuer_log WHERE created < now() - $1::interval ORDER BY created LIMIT $2)
               RETURNING 1""",
            LOG_LIFE,
            limit,
        )
        return len(rows)

    return await batch_by_batch(purge, limit)
