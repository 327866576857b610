"""What a function or a command of cron counted: nobody can ask it, so it leaves its figures in the database, and one of
those that serve takes them into its own. Each is taken once, by whichever comes first."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from mooring.clock import Clock
from mooring.db.pool import Database, Executor
from mooring.observe.metrics import Metrics
from mooring.observe.since import Since, add

log = structlog.get_logger()

LIFE = timedelta(hours=1)  # what nobody took until then would be a surge that never was
AT_ONCE = 1000

_TAKE = """
WITH taken AS (
    DELETE FROM counted_elsewhere WHERE id IN (
        SELECT id FROM counted_elsewhere ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING left_at, figures
)
SELECT figures FROM taken WHERE left_at > $1"""


@dataclass(frozen=True)
class Leaving:
    """Of one that nobody can ask."""

    db: Database
    clock: Clock
    since: Since

    async def leave(self) -> None:
        """What can't be left now goes with the next; what was done does not depend on its being counted."""
        told = self.since.told()
        if told is None:
            return
        try:
            statement = "INSERT INTO counted_elsewhere (left_at, figures) VALUES ($1, $2)"
            await self.db.fetch(statement, self.clock(), told)
        except Exception as failure:
            log.warning("figures_not_left", why=str(failure))
            return
        self.since.settled()


@dataclass(frozen=True)
class Taking:
    """Of one that serves."""

    db: Database
    clock: Clock
    metrics: Metrics

    async def take(self) -> None:
        for row in await self.db.fetch(_TAKE, self.clock() - LIFE, AT_ONCE):
            add(row[0], self.metrics)


async def forget(tx: Executor, at: datetime) -> int:
    """A chore of the sweep, for where nobody serves."""
    rows = await tx.fetch("DELETE FROM counted_elsewhere WHERE left_at < $1 RETURNING 1", at - LIFE)
    return len(rows)
