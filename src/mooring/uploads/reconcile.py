"""Holds database and storage against each other, both ways, and cleans up what neither a URL nor a row accounts for.

Nothing younger than the grace is touched. What goes is on record first (`reconciliations`), and objects go to the
trash before they go for good."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from mooring.db.pool import Executor
from mooring.errors import ObjectNotFound
from mooring.storage.port import Listed, OpenMultipart
from mooring.uploads import queries
from mooring.uploads.lifecycle import STORED, Move, State, Trigger, Upload, advance
from mooring.uploads.service import Uploads

log = structlog.get_logger()

TRASH = "trash/"
PAGE = 1000


@dataclass
class Found:
    """What did not match: objects nobody accounts for, uploads whose object is missing, multiparts nobody waits for."""

    orphans: list[str] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    multiparts: list[str] = field(default_factory=list)
    checked_objects: int = 0
    checked_uploads: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.orphans or self.missing or self.multiparts)


@dataclass(frozen=True)
class Reconciliation:
    uploads: Uploads
    grace: timedelta
    trash_life: timedelta

    async def run(self, *, dry_run: bool = False) -> Found:
        found = Found()
        at = self.uploads.clock()
        async for page in _pages(self.uploads.storage.list()):
            await self._objects(page, found, at, dry_run)
        await self._rows(found, at, dry_run)
        async for multipart in self.uploads.storage.open_multiparts():
            await self._multipart(multipart, found, at, dry_run)
        return found

    async def _objects(self, page: Sequence[Listed], found: Found, at: datetime, dry_run: bool) -> None:
        old = [one.key for one in page if one.modified_at < at - self.grace and not one.key.startswith(TRASH)]
        found.checked_objects += len(page)
        known = await _accounted_for(self.uploads.db, old)
        for key in old:
            if key not in known and (dry_run or await self._trash(key, at)):
                found.orphans.append(key)

    async def _trash(self, key: str, at: datetime) -> bool:
        """Record, copy, delete: killed anywhere, the next run does the rest, and the end of what is in the trash is on
        record before it is there. False where the object is gone already: a sweep or another run was first."""
        trash_key = TRASH + key
        await _record(self.uploads.db, key, "trashed", at, trash_key=trash_key, purge_at=at + self.trash_life)
        try:
            await self.uploads.storage.copy(key, trash_key)
        except ObjectNotFound:
            return False
        await self.uploads.storage.delete(key)
        log.warning("object_trashed", object_key=key)
        return True

    async def _rows(self, found: Found, at: datetime, dry_run: bool) -> None:
        after = 0
        while page := await queries.stored(self.uploads.db, after=after, arrived_before=at - self.grace, limit=PAGE):
            after = page[-1].id
            found.checked_uploads += len(page)
            for upload in page:
                if await self._is_missing(upload):
                    found.missing.append(upload.id)
                    if not dry_run:
                        await self._give_up(upload, at)

    async def _is_missing(self, upload: Upload) -> bool:
        """Storage is asked first and the database once more: a deletion takes the row before the object."""
        if await self.uploads.storage.stat(upload.object_key) is not None:
            return False
        now = (await queries.find(self.uploads.db, [upload.id])).get(upload.id)
        return now is not None and now.state in STORED

    async def _give_up(self, upload: Upload, at: datetime) -> None:
        await _record(self.uploads.db, upload.object_key, "object_missing", at, upload_id=upload.id)
        move = Move(upload.id, Trigger.SWEEP, error="The file is no longer in storage.")
        await advance(self.uploads.db, State.REJECTED, [move], what="rejected", at=at)
        log.error("object_missing", upload_id=upload.id, user_id=upload.uploader_id)

    async def _multipart(self, multipart: OpenMultipart, found: Found, at: datetime, dry_run: bool) -> None:
        if multipart.begun_at >= at - self.grace or await _awaited(self.uploads.db, multipart, at):
            return
        found.multiparts.append(multipart.key)
        if not dry_run:
            await _record(self.uploads.db, multipart.key, "multipart_aborted", at)
            await self.uploads.storage.abort_multipart(multipart.key, multipart.multipart_id)

    async def purge_trash(self, at: datetime) -> int:
        """A chore of the sweep."""
        rows = await self.uploads.db.fetch(
            """SELECT id, trash_key FROM reconciliations
               WHERE purge_at <= $1 AND purged_at IS NULL ORDER BY purge_at LIMIT $2""",
            at,
            PAGE,
        )
        for id_, trash_key in rows:
            await self.uploads.storage.delete(trash_key)
            await self.uploads.db.execute("UPDATE reconciliations SET purged_at = $2 WHERE id = $1", id_, at)
        return len(rows)


async def _pages(objects: AsyncIterator[Listed]) -> AsyncIterator[list[Listed]]:
    page: list[Listed] = []
    async for one in objects:
        page.append(one)
        if len(page) == PAGE:
            yield page
            page = []
    yield page


async def _accounted_for(tx: Executor, keys: Sequence[str]) -> set[str]:
    """Objects of uploads that wait for them or have them, what was made of them, and those whose removal is already on
    record."""
    rows = await tx.fetch(
        """
SELECT object_key FROM uploads
WHERE uuid = ANY ($1::uuid[]) AND object_key = ANY ($2::text[])
  AND processing_status <> ALL ('{REJECTED,RECLAIMED}')
UNION ALL SELECT object_key FROM renditions WHERE object_key = ANY ($2::text[])
UNION ALL SELECT object_key FROM removals WHERE object_key = ANY ($2::text[])""",
        [uuid for uuid in map(queries.uuid_in, keys) if uuid],
        keys,
    )
    return {row[0] for row in rows}


async def _awaited(tx: Executor, multipart: OpenMultipart, at: datetime) -> bool:
    """By an upload's client; or, until its removal is due, it is one that comes through us and is still on its way."""
    rows = await tx.fetch(
        """
SELECT 1 FROM uploads WHERE object_key = $1 AND multipart_id = $2 AND uuid = $3 AND processing_status = 'PENDING'
UNION ALL SELECT 1 FROM removals WHERE object_key = $1 AND multipart_id IS NULL AND due_at > $4""",
        multipart.key,
        multipart.multipart_id,
        queries.uuid_in(multipart.key),
        at,
    )
    return bool(rows)


async def _record(
    tx: Executor,
    object_key: str,
    what: str,
    at: datetime,
    *,
    upload_id: int | None = None,
    trash_key: str | None = None,
    purge_at: datetime | None = None,
) -> None:
    await tx.fetch(
        """
INSERT INTO reconciliations (object_key, what, upload_id, at, trash_key, purge_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (trash_key) WHERE purged_at IS NULL DO UPDATE SET purge_at = excluded.purge_at""",
        object_key,
        what,
        upload_id,
        at,
        trash_key,
        purge_at,
    )
