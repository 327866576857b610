"""Files in parts whose size nobody said. Such a part can't be given a URL of exactly its length, so it comes through
us: its length is reserved before a byte of it is stored, and the file is as large as what came so far. When it is
complete its size is settled, and from then on it is a file in parts like any other (`in_parts.py`).

Until then its `part_size` is `UNTOLD`, and its row says one byte more than came: no part is taken for the whole."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from mooring.db.pool import Executor
from mooring.errors import (
    FileTooLarge,
    MooringError,
    NotPending,
    PartsDiffer,
    PartsMissing,
    QuotaExceeded,
    StorageUnavailable,
)
from mooring.storage.port import Part
from mooring.uploads.in_parts import InParts
from mooring.uploads.judging import as_settled
from mooring.uploads.kinds import Kind
from mooring.uploads.lifecycle import State, Upload
from mooring.uploads.multipart import UNTOLD
from mooring.uploads.quota import Plan

NOTHING_YET = 1  # with so many bytes it is issued: a row has at least one


@dataclass(frozen=True)
class OpenSize:
    parts: InParts

    async def receive(
        self, upload: Upload, kind: Kind, number: int, chunks: AsyncIterator[bytes], *, length: int
    ) -> Part:
        """A part that is sent again is reserved again, until the file is complete: what storage has is never more than
        what is reserved."""
        upload = (await self.parts.more(upload.id, [], owner_id=upload.uploader_id)).upload
        await self._grow(upload, kind, by=length)
        assert upload.multipart_id is not None  # noqa: S101
        try:
            return await self.parts.uploads.storage.write_part(
                upload.object_key, upload.multipart_id, number, chunks, length=length
            )
        except StorageUnavailable:  # can't tell whether the part is there
            raise
        except Exception:  # of the body: it surely is not
            await grow(self.parts.uploads.db, upload.id, by=-length, plans=self.parts.uploads.terms.plans)
            raise

    async def settle(self, upload: Upload, named: Mapping[int, str]) -> None:
        """The client says that this is all, and so it is, if storage has these parts and no others."""
        try:
            parts = (await self.parts.sent(upload.id, owner_id=upload.uploader_id)).parts
        except NotPending:  # another was first, and its arrival is the answer to both
            return
        if not parts:
            await self._refuse_unless_settled(upload, PartsMissing(upload.id, [1]))
            return
        part_size = _part_size(upload.id, parts, named)
        total = sum(part.size for part in parts)
        if not await settle(self.parts.uploads.db, upload.id, file_size=total, part_size=part_size):
            more = PartsDiffer("More came than was counted. Start this upload anew.")
            await self._refuse_unless_settled(upload, more)

    async def _refuse_unless_settled(self, upload: Upload, refusal: MooringError) -> None:
        now = await self.parts.uploads.get(upload.id, owner_id=upload.uploader_id)
        if now.part_size == UNTOLD:
            raise refusal

    async def _grow(self, upload: Upload, kind: Kind, *, by: int) -> None:
        uploads = self.parts.uploads
        most = kind.max_bytes + NOTHING_YET
        if await grow(uploads.db, upload.id, by=by, plans=uploads.terms.plans, most=most):
            return
        now = await self._still_waiting(upload)
        if now.file_size + by > most:
            raise FileTooLarge(kind.name, None, kind.max_bytes)
        raise QuotaExceeded

    async def _still_waiting(self, upload: Upload) -> Upload:
        now = as_settled(await self.parts.uploads.get(upload.id, owner_id=upload.uploader_id))
        if now.state is not State.PENDING:
            raise NotPending(now.id, now.state)
        return now


def _part_size(upload_id: int, parts: Sequence[Part], named: Mapping[int, str]) -> int:
    """All parts are of one size, but for the last: so clients cut files, and so their order can be held against
    something."""
    missing = [number for number in range(1, len(parts) + 1) if parts[number - 1].number != number]
    missing += [number for number in named if number > len(parts)]
    if missing:
        raise PartsMissing(upload_id, missing)
    first = parts[0].size
    for part in parts:
        if named.get(part.number) != part.etag:
            raise PartsDiffer(f"Part {part.number} in storage is not the one you name. Send it again.")
        if part.size > first or (part.size < first and part is not parts[-1]):
            raise PartsDiffer(f"Part {part.number} has {part.size} bytes, the first one {first}. Send it again.")
    return first


async def grow(tx: Executor, upload_id: int, *, by: int, plans: Sequence[Plan], most: int = 2**63 - 1) -> bool:
    """So many bytes more are on their way, or after all not: False where there is no room, or it waits no longer."""
    rows = await tx.fetch(
        f"""
WITH upload AS MATERIALIZED (
    SELECT id, uploader_id FROM uploads
    WHERE id = $1 AND processing_status = 'PENDING' AND part_size = {UNTOLD} AND reserved_bytes > 0
      AND file_size + $2::bigint <= $3::bigint FOR UPDATE
), quota AS MATERIALIZED (
    SELECT q.* FROM quotas q WHERE q.user_id = (SELECT uploader_id FROM upload) FOR UPDATE
), granted AS MATERIALIZED (
    SELECT q.user_id, q.reserved_bytes FROM quota q JOIN users u ON u.id = q.user_id
    JOIN unnest($4::text[], $5::bigint[]) AS p(plan, bytes) ON p.plan = u.plan
    WHERE $2 < 0 OR q.reserved_bytes + q.used_bytes + $2 <= p.bytes
), reserved AS (
    UPDATE quotas q SET reserved_bytes = g.reserved_bytes + $2 FROM granted g WHERE q.user_id = g.user_id
)
UPDATE uploads u SET file_size = u.file_size + $2, reserved_bytes = u.reserved_bytes + $2
FROM upload up JOIN granted g ON g.user_id = up.uploader_id WHERE u.id = up.id
RETURNING 1""",
        upload_id,
        by,
        most,
        [plan.name for plan in plans],
        [plan.max_bytes for plan in plans],
    )
    return bool(rows)


async def settle(tx: Executor, upload_id: int, *, file_size: int, part_size: int) -> bool:
    """This is its size. Never more than was counted, so that nothing is to be asked of the plan."""
    rows = await tx.fetch(
        f"""
WITH upload AS MATERIALIZED (
    SELECT id, uploader_id, reserved_bytes AS held, CASE WHEN reserved_bytes > 0 THEN $2::bigint ELSE 0 END AS keeps
    FROM uploads
    WHERE id = $1 AND processing_status = 'PENDING' AND part_size = {UNTOLD} AND file_size >= $2::bigint FOR UPDATE
), quota AS MATERIALIZED (
    SELECT q.* FROM quotas q WHERE q.user_id = (SELECT uploader_id FROM upload) FOR UPDATE
), released AS (
    UPDATE quotas q SET reserved_bytes = quota.reserved_bytes - up.held + up.keeps
    FROM upload up JOIN quota ON quota.user_id = up.uploader_id WHERE q.user_id = up.uploader_id
)
UPDATE uploads u SET file_size = $2, part_size = $3, reserved_bytes = up.keeps
FROM upload up WHERE u.id = up.id
RETURNING 1""",
        upload_id,
        file_size,
        part_size,
    )
    return bool(rows)
