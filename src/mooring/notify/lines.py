"""A line for each webhook. Its head has jobs, no more than may be sent at once; the rest waits without one, so that
what is due to others is next in the queue however long this line is.

Before a worker takes a job, what is too much is set aside. Whoever is through with a delivery calls the next of its
line. The sweep calls one of each, should they who ought to have done so be dead."""

from collections.abc import Mapping, Sequence

from mooring.db.pool import Executor

FRONT = 50  # jobs that are looked at in one go
# Whoever waited has more to send than others: those others go first. Below all that `jobs/turns.py` gives.
CALLED = -500_000_000


async def too_many(tx: Executor, busy: Mapping[int, int], most: int) -> Sequence[int]:
    """Jobs at the front of the queue that would not be sent yet: so many are under way to their webhook, or are before
    them. A look and no more, for the queue tells every worker of each DELETE, also of one that finds nothing."""
    rows = await tx.fetch(
        f"""
SELECT line.job FROM (
    SELECT j.id AS job, d.webhook_id, row_number() OVER (PARTITION BY d.webhook_id ORDER BY d.id) AS place
    FROM (SELECT id, dedupe_key FROM pgqueuer
          WHERE entrypoint = 'deliver_webhook' AND status = 'queued' AND execute_after <= now()
          ORDER BY priority DESC, id LIMIT {FRONT}) j
    -- OFFSET 0: each by its key, and never all that were ever sent
    CROSS JOIN LATERAL (
        SELECT id, webhook_id FROM webhook_deliveries
        WHERE id = substr(j.dedupe_key, length('delivery:') + 1)::bigint AND state = 'pending' OFFSET 0) d
) line LEFT JOIN unnest($1::bigint[], $2::int[]) AS at_work(webhook_id, busy) USING (webhook_id)
WHERE line.place + coalesce(at_work.busy, 0) > $3""",
        list(busy),
        list(busy.values()),
        most,
    )
    return [row[0] for row in rows]


async def set_aside(tx: Executor, jobs: Sequence[int]) -> set[int]:
    """Theirs wait from now on. Answers whose they are."""
    rows = await tx.fetch(
        """
WITH gone AS (
    DELETE FROM pgqueuer WHERE id IN (
        SELECT id FROM pgqueuer WHERE id = ANY ($1::bigint[]) AND status = 'queued' ORDER BY id FOR UPDATE SKIP LOCKED)
    RETURNING substr(dedupe_key, length('delivery:') + 1)::bigint AS delivery
)
UPDATE webhook_deliveries d SET waits = true FROM gone WHERE d.id = gone.delivery AND d.state = 'pending'
RETURNING d.webhook_id""",
        jobs,
    )
    return {row[0] for row in rows}


async def call(tx: Executor, webhook_id: int, count: int) -> None:
    await tx.fetch(
        _calling(
            """SELECT id FROM webhook_deliveries WHERE webhook_id = $1 AND waits
               ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"""
        ),
        webhook_id,
        count,
    )


async def call_one_of_each(tx: Executor) -> None:
    await tx.fetch(_calling("SELECT min(id) FROM webhook_deliveries WHERE waits GROUP BY webhook_id"))


def _calling(whom: str) -> str:
    return f"""
WITH called AS (UPDATE webhook_deliveries SET waits = false WHERE id IN ({whom}) RETURNING id)
{enqueueing("d.id IN (SELECT id FROM called)", CALLED)}"""


def enqueueing(which: str, priority: int = 0) -> str:
    """The same job that the database makes for each delivery."""
    return f"""
    INSERT INTO pgqueuer (priority, entrypoint, dedupe_key, payload, status)
    SELECT {priority}, CASE WHEN w.bus IS NULL THEN 'deliver_webhook' ELSE 'publish_event' END, 'delivery:' || d.id,
           convert_to(json_build_object('delivery', d.id)::text, 'UTF8'), 'queued'
    FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE {which}
    ON CONFLICT (dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL DO NOTHING
    RETURNING 1"""
