"""What an administrator asks of the work on uploads: how much at a time, now, and how it stands."""

import asyncio
from dataclasses import dataclass, field

from mooring.db.pool import Database
from mooring.jobs.queue import PROCESS
from mooring.observe.metrics import Metrics
from mooring.uploads.sweep import Sweep, say_batch_size

# Webhooks wait in the same queue, for workers of their own.
OF_UPLOADS = f"entrypoint IN ({', '.join(repr(name) for name in PROCESS.values())})"
DUE = f"SELECT count(*) FROM pgqueuer WHERE status = 'queued' AND execute_after <= now() AND {OF_UPLOADS}"


@dataclass(frozen=True, slots=True)
class Statistics:
    active_jobs: int  # of all workers
    queue_depth: int  # jobs that are due and wait for a worker
    processing_count: int
    failed_count: int
    completed_count: int


@dataclass
class Batch:
    db: Database
    sweep: Sweep
    metrics: Metrics
    _sweeping: "asyncio.Task[None] | None" = field(default=None, repr=False)

    async def set_size(self, size: int) -> None:
        """How many uploads each sweep takes at a time, in every instance, from its next sweep on."""
        await say_batch_size(self.db, size)

    def trigger(self) -> None:
        """A sweep now, here, and never two beside each other."""
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self.sweep.once_or_told())

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])

    async def show_depth(self) -> None:
        """In this process' metrics."""
        self.metrics.queue_depth.set(int((await self.db.fetch(DUE))[0][0]))

    async def statistics(self) -> Statistics:
        row = await self.db.fetchrow(
            f"""
SELECT (SELECT count(*) FROM pgqueuer WHERE status = 'picked' AND {OF_UPLOADS}),
       ({DUE}),
       (SELECT count(*) FROM uploads WHERE processing_status = 'PROCESSING'),
       (SELECT count(*) FROM uploads WHERE processing_status = 'FAILED'),
       (SELECT count(*) FROM uploads WHERE processing_status = 'COMPLETED')"""
        )
        return Statistics(*(row or ()))
