"""Bytes that come through us instead of by a URL: stored first, then issued and arrived in one transaction.

How many there are is known only at the end, and a row declares its size. So the object comes before its row, and until
the row is there a removal accounts for it: whatever dies in between, the sweep finds it on record."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from mooring.db.pool import Executor
from mooring.errors import MooringError, QuotaExceeded, StorageUnavailable, TooManyInFlight
from mooring.uploads import removals
from mooring.uploads.judging import verdict_error
from mooring.uploads.lifecycle import SLOW_PUT, Move, Trigger, Upload
from mooring.uploads.queries import Verdict, Wanted
from mooring.uploads.service import Uploads

log = structlog.get_logger()


@dataclass
class Landing:
    """A file that is in storage. `upload` stays None until it is taken in."""

    wanted: Wanted
    etag: str
    due_at: datetime  # of the removal that accounts for it
    upload: Upload | None = None


@dataclass(frozen=True)
class DirectUploads:
    uploads: Uploads

    async def check_room(self, uploader_id: int, at_least: int) -> None:
        """Refuses early what must be refused at the end; what decides is the statement that issues."""
        plans = self.uploads.terms.plans
        rows = await self.uploads.db.fetch(
            """SELECT q.reserved_bytes + q.used_bytes + $2 > p.bytes, q.in_flight >= p.files
               FROM quotas q JOIN users u ON u.id = q.user_id
               JOIN unnest($3::text[], $4::bigint[], $5::bigint[]) AS p(plan, bytes, files) ON p.plan = u.plan
               WHERE q.user_id = $1""",
            uploader_id,
            at_least,
            [plan.name for plan in plans],
            [plan.max_bytes for plan in plans],
            [plan.max_in_flight for plan in plans],
        )
        is_full, is_busy = rows[0]
        if is_full:
            raise QuotaExceeded
        if is_busy:
            raise TooManyInFlight

    @asynccontextmanager
    async def landing(self, wanted: Wanted, chunks: AsyncIterator[bytes]) -> AsyncIterator[Landing]:
        """When the block begins the object is in storage. Who leaves it without `take_in`, or by an error, leaves
        nothing there. The clock starts at `wanted.at`; what is not taken in by then never will be."""
        due_at = wanted.at + self.uploads.terms.reclaim_after
        await removals.promise(self.uploads.db, wanted.object_key, due_at=due_at)
        try:
            found = await self.uploads.storage.write(wanted.object_key, chunks, content_type=wanted.content_type)
            landing = Landing(wanted._replace(file_size=found.size), found.etag, due_at)
            yield landing
        except BaseException:
            await asyncio.shield(self._drop(wanted.object_key))
            raise
        if landing.upload is None:
            await self._drop(wanted.object_key)

    async def take_in(
        self, tx: Executor, statement: str, landing: Landing, *, also: Sequence[Any] = ()
    ) -> Upload | None:
        """Issued, arrived, and no longer to be removed. None where what it was meant for is not the uploader's."""
        wanted = landing.wanted
        [issued] = await self.uploads.issue(tx, statement, [wanted], also=also)
        if issued.verdict is Verdict.NO_TARGET:
            return None
        if refusal := verdict_error(issued.verdict):
            raise refusal
        if not await removals.take_back(tx, wanted.object_key, due_at=landing.due_at):
            raise StorageUnavailable(f"{wanted.object_key} took longer than {self.uploads.terms.reclaim_after}")
        move = Move(issued.upload_id, Trigger.CLIENT, etag=landing.etag)
        [landing.upload] = await self.uploads.mark_arrived(tx, [move])
        return landing.upload

    async def _drop(self, object_key: str) -> None:
        """At once if database and storage let us, else by the sweep. Not where an answer was lost and the transaction
        was none the less done: then nothing is on record any more."""
        at = self.uploads.clock()
        try:
            if await removals.hasten(self.uploads.db, object_key, at=at, until=at + SLOW_PUT):
                await self.uploads.storage.delete(object_key)
        except MooringError as failure:
            log.warning("object_removal_delayed", object_key=object_key, why=str(failure))
