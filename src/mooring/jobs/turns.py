"""Who goes first. Jobs wait in lines, the higher goes first; in each line everybody has a turn, however many jobs they
brought, and of equals the older goes.

A job is enqueued at the head of its line: that costs the request that made it due nothing. Before a worker takes a job
it gives their turns to those that have none yet. The turn of somebody's first job is now; of each next one, a turn
later: start-time fair queueing. So one's five hundred videos do not delay another's first by more than the job that is
being done.
"""

from datetime import timedelta

from mooring.db.pool import Database, Executor

# Plans, and in each of them recordings before others: somebody waits for those, and they take no time.
FREE, PREMIUM = 0, 800_000_000
RECORDING_FIRST = 400_000_000
LINES = (FREE, FREE + RECORDING_FIRST, PREMIUM, PREMIUM + RECORDING_FIRST)
# Where those go who waited long: with the same kind of job, or with those before all others.
ABOVE = {FREE: PREMIUM, FREE + RECORDING_FIRST: PREMIUM + RECORDING_FIRST, PREMIUM: PREMIUM + RECORDING_FIRST}
WIDTH = 400_000_000  # turns in a line
OLD = timedelta(minutes=1)  # whose job waited so long, and has none at work, goes up a line: nobody starves
AT_ONCE = 1000
_LOCK = 0x7475726E  # "turn"

# Where a line is: at the last turn that was taken, as the queue's log has it, but not behind all who wait.
_PLACES = f"""
SELECT l.line, least(p.turn, q.turn + (p.turn IS NOT NULL)::int) AS turn
FROM unnest($1::int[]) AS l(line),
LATERAL (SELECT min(priority) AS turn
         FROM (SELECT status, priority FROM pgqueuer_log ORDER BY id DESC LIMIT {AT_ONCE}) recent
         WHERE status = 'picked' AND priority < l.line AND priority > l.line - {WIDTH}) p,
LATERAL (SELECT max(j.priority) AS turn FROM pgqueuer j
         WHERE j.status = 'queued' AND j.priority < l.line AND j.priority > l.line - {WIDTH}) q"""

# A line in which nobody was for long begins anew.
_FORGET = f"""
DELETE FROM turns t USING ({_PLACES}) place WHERE t.line = place.line AND place.turn IS NULL"""

_GIVE = f"""
WITH new AS MATERIALIZED (
    SELECT id, priority AS line, entrypoint, (convert_from(payload, 'UTF8')::json ->> 'user')::bigint AS user_id
    FROM pgqueuer WHERE status = 'queued' AND priority = ANY ($1::int[]) AND entrypoint = ANY ($2::text[])
    ORDER BY id LIMIT $3
), places AS MATERIALIZED ({_PLACES}
), given AS MATERIALIZED (
    SELECT n.*, greatest(n.line - {WIDTH} + 1, least(coalesce(p.turn, n.line - 1), t.last - 1) + 1
                         - row_number() OVER (PARTITION BY n.line, n.entrypoint, n.user_id ORDER BY n.id)::int) AS turn
    FROM new n JOIN places p USING (line) LEFT JOIN turns t USING (line, entrypoint, user_id)
), kept AS (
    INSERT INTO turns (line, entrypoint, user_id, last)
    SELECT line, entrypoint, user_id, min(turn) FROM given GROUP BY line, entrypoint, user_id
    ON CONFLICT (line, entrypoint, user_id) DO UPDATE SET last = excluded.last
)
UPDATE pgqueuer j SET priority = g.turn FROM given g WHERE j.id = g.id AND j.status = 'queued' RETURNING 1"""


async def give(db: Database, names: list[str]) -> int:
    """Their turns to the jobs of these names that have none. One worker at a time: each must see what the last gave."""
    given = 0
    while await _somebody_is_new(db, names):
        async with db.transaction() as tx:
            await tx.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await tx.execute(_FORGET, LINES)
            given += len(await tx.fetch(_GIVE, LINES, names, AT_ONCE))
    return given


async def _somebody_is_new(tx: Executor, names: list[str]) -> bool:
    [[is_so]] = await tx.fetch(
        """SELECT EXISTS (SELECT FROM pgqueuer
                          WHERE status = 'queued' AND priority = ANY ($1::int[]) AND entrypoint = ANY ($2::text[]))""",
        LINES,
        names,
    )
    return bool(is_so)


async def age(tx: Executor, names: list[str]) -> int:
    """One job of each who waits though nothing of theirs is at work: others fill all seats. It goes up a line. The
    queue's time is the database's own."""
    rows = await tx.fetch(
        f"""
WITH front AS MATERIALIZED (
    SELECT j.*, l.above
    FROM unnest($4::int[], $5::int[]) AS l(line, above),
    LATERAL (SELECT id, entrypoint, priority, created, convert_from(payload, 'UTF8')::json ->> 'user' AS user_id
             FROM pgqueuer
             WHERE status = 'queued' AND execute_after <= now() AND entrypoint = ANY ($3::text[])
               AND priority <= l.line AND priority > l.line - {WIDTH}
             ORDER BY priority DESC, id LIMIT $2) j
), first AS (
    SELECT DISTINCT ON (user_id, entrypoint) * FROM front ORDER BY user_id, entrypoint, priority DESC, id
)
UPDATE pgqueuer j SET priority = f.above
FROM first f
WHERE j.id = f.id AND j.status = 'queued' AND f.created < now() - $1::interval AND NOT EXISTS (
    SELECT FROM pgqueuer p
    WHERE p.status = 'picked' AND p.entrypoint = f.entrypoint
      AND convert_from(p.payload, 'UTF8')::json ->> 'user' = f.user_id)
RETURNING 1""",
        OLD,
        AT_ONCE,
        names,
        list(ABOVE),
        list(ABOVE.values()),
    )
    return len(rows)
