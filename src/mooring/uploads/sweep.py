"""The sweep: finds bytes nobody told us of, releases what lapsed, gives up what never came, deletes what must go.

Any number of instances may sweep at once: what one takes, the others skip. It looks before it gives up, and where
storage can't tell, everything stays as it is."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from mooring.db.batches import batch_by_batch
from mooring.db.pool import Executor
from mooring.errors import FileNotArrived, MooringError, UploadRejected
from mooring.uploads import queries, removals
from mooring.uploads.in_parts import InParts
from mooring.uploads.lifecycle import SLOW_PUT, Move, State, Trigger, Upload, advance
from mooring.uploads.removals import Removal
from mooring.uploads.service import Uploads

log = structlog.get_logger()

Item = TypeVar("Item")
Result = TypeVar("Result")
Chore = Callable[[datetime], Awaitable[int]]


@dataclass
class Swept:
    """What a sweep did."""

    arrived: int = 0
    rejected: int = 0
    lapsed: int = 0
    reclaimed: int = 0
    removed: int = 0
    unknown: int = 0  # storage could not tell: left as they were


@dataclass(frozen=True)
class Sweep:
    uploads: Uploads
    batch_size: int
    at_once: int
    pause: timedelta
    chores: Sequence[Chore] = field(default=())

    async def for_ever(self) -> None:
        """Until cancelled. A failing sweep is told and tried again."""
        while True:
            await self.once_or_told()
            await asyncio.sleep(self.pause.total_seconds())

    async def once_or_told(self) -> None:
        """What went wrong is in the log."""
        try:
            await self.once()
        except MooringError as failure:
            log.warning("sweep_failed", why=str(failure))
        except Exception:
            log.exception("sweep_failed")

    async def once(self) -> Swept:
        """All that is due now, batch by batch."""
        swept = Swept()
        size = await said_batch_size(self.uploads.db) or self.batch_size
        await batch_by_batch(partial(self._look_for_bytes, swept, size), size)
        await batch_by_batch(partial(self._remove_objects, swept, size), size)
        for chore in self.chores:
            await chore(self.uploads.clock())
        if swept != Swept():
            log.info("swept", **vars(swept))
        return swept

    async def _look_for_bytes(self, swept: Swept, size: int) -> int:
        at = self.uploads.clock()
        reclaim_after = self.uploads.terms.reclaim_after
        due = await queries.take_due(self.uploads.db, at=at, reclaim_after=reclaim_after, limit=size)
        absent = [upload for upload in await self._each(self._look, due, swept) if upload]
        given_up = [up for up in absent if at >= max(up.created_at + reclaim_after, up.expires_at + SLOW_PUT)]
        lapsed = {up.id: up.kind for up in absent if up not in given_up and up.expires_at < at}
        for upload_id in await queries.lapse(self.uploads.db, list(lapsed), at=at) if lapsed else ():
            swept.lapsed += 1
            self.uploads.metrics.ended(lapsed[upload_id], "incomplete")
        await self._reclaim(given_up, swept, at)
        return len(due)

    async def _look(self, upload: Upload, swept: Swept) -> Upload | None:
        """The upload, if its bytes are surely not there."""
        try:
            await InParts(self.uploads).land(upload, trigger=Trigger.SWEEP)
            swept.arrived += 1
        except FileNotArrived:
            return upload
        except UploadRejected:
            swept.rejected += 1
        except MooringError as failure:
            swept.unknown += 1
            log.warning("sweep_cannot_tell", upload_id=upload.id, why=str(failure))
        return None

    async def _reclaim(self, given_up: Sequence[Upload], swept: Swept, at: datetime) -> None:
        if not given_up:
            return
        moves = [Move(upload.id, Trigger.SWEEP) for upload in given_up]
        for upload in await advance(self.uploads.db, State.RECLAIMED, moves, what="reclaimed", at=at):
            swept.reclaimed += 1
            log.info("upload_reclaimed", upload_id=upload.id, user_id=upload.uploader_id, trigger=Trigger.SWEEP)

    async def _remove_objects(self, swept: Swept, size: int) -> int:
        at = self.uploads.clock()
        due = await removals.take_due(self.uploads.db, at=at, limit=size)
        gone = [key for key in await self._each(self._remove, due, swept) if key]
        if gone:
            await removals.settle(self.uploads.db, gone, at=at)
        return len(due)

    async def _remove(self, removal: Removal, swept: Swept) -> str | None:
        storage = self.uploads.storage
        try:
            if removal.multipart_id:
                await storage.abort_multipart(removal.object_key, removal.multipart_id)
            await storage.delete(removal.object_key)
        except MooringError as failure:
            swept.unknown += 1
            log.warning("object_removal_delayed", object_key=removal.object_key, why=str(failure))
            return None
        swept.removed += 1
        return removal.object_key

    async def _each(
        self, do: Callable[[Item, Swept], Awaitable[Result]], items: Iterable[Item], swept: Swept
    ) -> list[Result]:
        gate = asyncio.Semaphore(self.at_once)

        async def one(item: Item) -> Result:
            async with gate:
                return await do(item, swept)

        return await asyncio.gather(*(one(item) for item in items))


async def said_batch_size(tx: Executor) -> int | None:
    """What an administrator said that all instances go by, if one did."""
    rows = await tx.fetch("SELECT size FROM batch")
    return rows[0][0] if rows else None


async def say_batch_size(tx: Executor, size: int) -> None:
    await tx.fetch(
        "INSERT INTO batch (size) VALUES ($1) ON CONFLICT (is_the_only_one) DO UPDATE SET size = excluded.size", size
    )
