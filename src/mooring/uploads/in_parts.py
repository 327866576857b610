"""Files that come in parts: the same life, with one more thing in storage, a multipart upload.

The row is there first. Its multipart is begun in storage and then put on record, with no transaction open meanwhile;
one whose record never came is closed by reconciling. `complete` joins the parts, once storage has every one of them
as it was planned, and ends in the ordinary `land`: so whatever dies in between, the next who asks (the client, an
event, the sweep) finds either the parts or the object, and goes on from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import structlog

from mooring.db.pool import Executor
from mooring.errors import (
    FileTooLarge,
    NoSuchPart,
    NotInParts,
    NotPending,
    ObjectNotFound,
    PartsDiffer,
    PartsMissing,
    UploadNotFound,
)
from mooring.storage.port import Part
from mooring.uploads import queries
from mooring.uploads.judging import as_settled
from mooring.uploads.lifecycle import COLUMNS, State, Trigger, Upload, upload_of
from mooring.uploads.multipart import LARGEST_PART, MOST_PARTS, UNTOLD, Cut
from mooring.uploads.queries import Wanted
from mooring.uploads.service import Uploads

log = structlog.get_logger()

MOST_URLS = 1_000  # signed at once


class PartUrl(NamedTuple):
    number: int
    url: str


class Plan(NamedTuple):
    """How to send a file, or what is left of it."""

    upload: Upload
    urls: Sequence[PartUrl]

    @property
    def cut(self) -> Cut:
        return cut_of(self.upload)


class Sent(NamedTuple):
    upload: Upload
    parts: Sequence[Part]  # in storage


@dataclass(frozen=True)
class InParts:
    uploads: Uploads

    # ── plan ──

    def size_for(self, wanted: Wanted, kind: str) -> int | None:
        """The size of its parts. None: it is small enough for one PUT."""
        terms = self.uploads.terms.parts
        if wanted.file_size <= terms.above:
            return None
        size = terms.size_for(wanted.file_size)
        if size > LARGEST_PART:
            raise FileTooLarge(kind, wanted.file_size, LARGEST_PART * terms.most)
        return size

    async def plan(self, upload: Upload) -> Plan:
        """The URLs it was issued with, the first thousand of them: asked again, the same."""
        upload = await self.open(upload)
        numbers = cut_of(upload).numbers[:MOST_URLS]
        return Plan(upload, self.sign(upload, numbers, at=upload.expires_at - self.uploads.terms.upload_url_life))

    async def open(self, upload: Upload) -> Upload:
        """With its multipart in storage and on record."""
        return upload if upload.multipart_id else await self._begin(upload)

    def sign(self, upload: Upload, numbers: Sequence[int], *, at: datetime) -> list[PartUrl]:
        """Each for one part of exactly its length. They lapse when the upload does."""
        if upload.part_size == UNTOLD and numbers:
            raise PartsDiffer(
                "Nobody said how large this file is: only the address for Uppy that began it takes its parts."
            )
        cut, multipart_id = cut_of(upload), upload.multipart_id
        assert multipart_id is not None  # noqa: S101
        wrong = next((number for number in numbers if number not in cut.numbers), None)
        if wrong is not None:
            raise NoSuchPart(wrong, cut.count)
        lapses_in = upload.expires_at - at
        presign = self.uploads.storage.presign_part
        return [
            PartUrl(
                number,
                presign(
                    upload.object_key, multipart_id, number, length=cut.length(number), at=at, lapses_in=lapses_in
                ).url,
            )
            for number in numbers
        ]

    # ── go on ──

    async def sent(self, upload_id: int, *, owner_id: int, kind: str | None = None) -> Sent:
        upload = await self._waiting(upload_id, owner_id, kind)
        return Sent(upload, await self._there(upload) or [])

    async def more(
        self, upload_id: int, numbers: Sequence[int] | None, *, owner_id: int, kind: str | None = None
    ) -> Plan:
        """Fresh URLs for these parts, or for those that storage does not have. They are good for half of an upload
        URL's life at least: where less is left of the upload's time, it is prolonged, as by `renew`."""
        upload = await self._waiting(upload_id, owner_id, kind)
        at, life = self.uploads.clock(), self.uploads.terms.upload_url_life
        if upload.expires_at - at < life / 2:
            upload = await self._still_open(await self.uploads.prolong(upload_id, owner_id=owner_id, at=at))
        upload = await self.open(upload)
        if numbers is None:
            there = await self._there(upload) or []
            numbers = cut_of(upload).missing(part.number for part in there)[:MOST_URLS]
        return Plan(upload, self.sign(upload, numbers, at=at))

    # ── complete ──

    async def complete(
        self,
        upload_id: int,
        *,
        trigger: Trigger,
        owner_id: int,
        kind: str | None = None,
        named: Mapping[int, str] | None = None,
    ) -> Upload:
        """Every part is there: join them. `named`: what the client thinks it sent, as numbers and ETags. The answer is
        the same however often it is asked. What came in one PUT is only looked at."""
        upload = await self._own(upload_id, owner_id, kind)
        if upload.state is State.PENDING and upload.part_size:
            there = await self._there(upload)
            if there is not None:
                _refuse_others(upload, there, named)
                await self._join(upload, there)
        return await self.uploads.land(upload, trigger=trigger)

    async def land(self, upload: Upload, *, trigger: Trigger) -> Upload:
        """As `Uploads.land`. But where no URL can bring a part any more and all of them are there, they are joined
        first: the client went away before it could say so."""
        if upload.multipart_id and upload.state is State.PENDING and upload.expires_at < self.uploads.clock():
            there = await self._there(upload)
            if there and not _flaw(upload, there):
                await self._join(upload, there)
        return await self.uploads.land(upload, trigger=trigger)

    async def _join(self, upload: Upload, parts: Sequence[Part]) -> None:
        assert upload.multipart_id is not None  # noqa: S101
        try:
            await self.uploads.storage.complete_multipart(upload.object_key, upload.multipart_id, parts)
        except ObjectNotFound:  # joined by another, or given up: `land` will see
            return
        except ValueError:
            raise PartsDiffer("Parts were sent again while they were joined. Complete once more.") from None
        log.info("parts_joined", upload_id=upload.id, user_id=upload.uploader_id, parts=len(parts))

    # ── what there is ──

    async def _there(self, upload: Upload) -> Sequence[Part] | None:
        """None: nothing is open. It was not begun, or it is joined, or storage gave it up."""
        if upload.multipart_id is None:
            return None
        return await self.uploads.storage.parts(upload.object_key, upload.multipart_id)

    async def _still_open(self, upload: Upload) -> Upload:
        """What storage forgot (it may clean up after days) is begun anew. What it has joined, arrives."""
        if upload.multipart_id is None or await self._there(upload) is not None:
            return upload
        if await self.uploads.storage.stat(upload.object_key) is None:
            return await self._begin(upload)
        arrived = await self.uploads.land(upload, trigger=Trigger.CLIENT)
        raise NotPending(arrived.id, arrived.state)

    async def _begin(self, upload: Upload) -> Upload:
        """Of several who do this at once, one puts its multipart on record; the others close theirs."""
        storage, key = self.uploads.storage, upload.object_key
        multipart_id = await storage.begin_multipart(key, content_type=upload.content_type)
        begun = await _put_on_record(self.uploads.db, upload.id, multipart_id, instead_of=upload.multipart_id)
        if begun is not None:
            return begun
        await storage.abort_multipart(key, multipart_id)
        now = (await queries.find(self.uploads.db, [upload.id])).get(upload.id)
        if now is None:
            raise UploadNotFound(upload.id)
        if now.state is not State.PENDING:
            raise NotPending(now.id, now.state)
        return now

    async def _waiting(self, upload_id: int, owner_id: int, kind: str | None) -> Upload:
        upload = await self._own(upload_id, owner_id, kind)
        if upload.part_size is None:
            raise NotInParts(upload_id)
        if as_settled(upload).state is not State.PENDING:
            raise NotPending(upload_id, upload.state)
        return upload

    async def _own(self, upload_id: int, owner_id: int, kind: str | None) -> Upload:
        upload = await self.uploads.get(upload_id, owner_id=owner_id)
        if kind not in (None, upload.kind):
            raise UploadNotFound(upload_id)
        return upload


async def _put_on_record(tx: Executor, upload_id: int, multipart_id: str, *, instead_of: str | None) -> Upload | None:
    """What storage calls it. None where somebody else was first, or the upload waits no longer."""
    rows = await tx.fetch(
        f"""
UPDATE uploads u SET multipart_id = $2
WHERE u.id = $1 AND u.processing_status = 'PENDING' AND u.part_size IS NOT NULL
  AND u.multipart_id IS NOT DISTINCT FROM $3
RETURNING {COLUMNS}""",
        upload_id,
        multipart_id,
        instead_of,
    )
    return upload_of(rows[0]) if rows else None


def cut_of(upload: Upload) -> Cut:
    if upload.part_size is None:
        raise NotInParts(upload.id)
    return Cut(upload.file_size, upload.part_size)


def is_possible(file_size: int, part_size: int) -> bool:
    """For whoever lets its clients choose the size of the parts."""
    return 0 < part_size <= LARGEST_PART and Cut(file_size, part_size).count <= MOST_PARTS


def _refuse_others(upload: Upload, there: Sequence[Part], named: Mapping[int, str] | None) -> None:
    flaw = _flaw(upload, there)
    if flaw:
        raise flaw
    if named is None:
        return
    cut = cut_of(upload)
    unknown = next((number for number in named if number not in cut.numbers), None)
    if unknown is not None:
        raise NoSuchPart(unknown, cut.count)
    missing = cut.missing(named)
    if missing:
        raise PartsMissing(upload.id, missing)
    for part in there:
        if part.etag != named[part.number]:
            raise PartsDiffer(f"Part {part.number} in storage is not the one you name. Send it again.")


def _flaw(upload: Upload, there: Sequence[Part]) -> PartsMissing | PartsDiffer | None:
    """Why these parts are not the file that was declared."""
    cut = cut_of(upload)
    missing = cut.missing(part.number for part in there)
    if missing:
        return PartsMissing(upload.id, missing)
    for part in there:
        if part.number not in cut.numbers or part.size != cut.length(part.number):
            return PartsDiffer(f"Part {part.number} has {part.size} bytes, which is not its length. Send it again.")
    return None
