"""One upload's life on a page: issue, arrive, retry, renew, remove. The sweep and the work
on what arrived are beside it."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import structlog

from mooring.clock import Clock
from mooring.db.pool import Database, Executor
from mooring.errors import (
    FileNotArrived,
    MooringError,
    NotFailed,
    TriggerOff,
    UploadNotFound,
    UploadRejected,
)
from mooring.observe.metrics import Metrics
from mooring.storage.keys import safe_name
from mooring.storage.port import Signed, Storage
from mooring.uploads import queries, removals
from mooring.uploads.downloads import Downloads
from mooring.uploads.gather import Gatherer
from mooring.uploads.judging import as_settled, what_is_wrong, why_not_renewed
from mooring.uploads.kinds import Kind
from mooring.uploads.lifecycle import Move, State, Trigger, Upload, advance
from mooring.uploads.multipart import USUAL_PARTS, PartTerms
from mooring.uploads.queries import Event, Issued, Verdict, Wanted
from mooring.uploads.quota import Plan
from mooring.uploads.uuids import uuid_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Terms:
    """How long, and how much."""

    upload_url_life: timedelta
    download_url_life: timedelta
    reclaim_after: timedelta
    plans: Sequence[Plan]
    look_before: timedelta = timedelta(seconds=30)
    triggers: AbstractSet[str] = frozenset({Trigger.CLIENT, Trigger.EVENT, Trigger.FUNCTION, Trigger.SWEEP})
    parts: PartTerms = USUAL_PARTS


class Claim(NamedTuple):
    """What a client says it will upload."""

    filename: str
    content_type: str
    file_size: int
    sha256: str | None = None


@dataclass(frozen=True)
class Uploads:
    db: Database
    storage: Storage
    clock: Clock
    terms: Terms
    metrics: Metrics

    @cached_property
    def _finding(self) -> Gatherer[int, Upload | None]:
        return Gatherer(self._find_all)

    @cached_property
    def _finding_named(self) -> Gatherer[Sequence[str], Upload | None]:
        return Gatherer(self._find_all_named)

    @cached_property
    def _arriving(self) -> Gatherer[Move, Upload | None]:
        return Gatherer(self._arrive_all)

    @cached_property
    def downloads(self) -> Downloads:
        return Downloads(self.storage, self.clock, self.terms.download_url_life)

    # ── issue ──

    def want(self, kind: Kind, claim: Claim, *, uploader_id: int, target_id: int | None) -> Wanted:
        kind.check(content_type=claim.content_type, file_size=claim.file_size)
        at = self.clock()
        uuid = uuid_of(at)
        _, dot, extension = claim.filename.rpartition(".")
        return Wanted(
            uuid=uuid,
            uploader_id=uploader_id,
            target_id=target_id,
            filename=claim.filename,
            extension=extension[:10].lower() if dot else "",
            content_type=claim.content_type,
            file_size=claim.file_size,
            sha256=claim.sha256,
            object_key=f"{kind.directory}/{uuid}_{safe_name(claim.filename)}",
            at=at,
            expires_at=at + self.terms.upload_url_life,
        )

    async def issue(
        self,
        tx: Executor,
        statement: str,
        wanted: Sequence[Wanted],
        *,
        part_size: int | None = None,
        also: Sequence[Any] = (),
    ) -> list[Issued]:
        """All of one user's, or none of them. `part_size`: they come in parts (`in_parts.py`)."""
        terms = self.terms
        return await queries.issue(
            tx, statement, wanted, plans=terms.plans, look_before=terms.look_before, part_size=part_size, also=also
        )

    async def issue_gathered(self, statement: str, wanted: Sequence[Wanted]) -> list[Issued]:
        """For asks that came independently: where several of one user do not fit together, each gets its own try, since
        one that fits alone must not fail for its neighbours."""
        issued = await self.issue(self.db, statement, wanted)
        if len(wanted) == 1:
            return issued
        return [
            one
            if one.verdict in (Verdict.ISSUED, Verdict.NO_TARGET)
            else (await self.issue(self.db, statement, [row]))[0]
            for one, row in zip(issued, wanted, strict=True)
        ]

    def signed_put(self, upload: Wanted | Upload, *, at: datetime, write_once: bool = True) -> Signed:
        """`write_once` is a header more that the client must send, at storages that know it."""
        return self.storage.presign_put(
            upload.object_key,
            content_type=upload.content_type,
            length=upload.file_size,
            at=at,
            lapses_in=self.terms.upload_url_life,
            sha256=upload.sha256 if isinstance(upload, Wanted) else upload.checksum_sha256,
            write_once=write_once,
        )

    # ── arrive ──

    async def arrive(
        self, upload_id: int, *, trigger: Trigger, owner_id: int | None = None, kind: str | None = None
    ) -> Upload:
        """Somebody says that the bytes are there. Believed after a look in storage; the answer is the same however
        often, by whomever and in whatever order it is asked."""
        if trigger not in self.terms.triggers:
            raise TriggerOff(trigger)
        upload = await self._finding.ask(upload_id)
        if upload is None or owner_id not in (None, upload.uploader_id) or kind not in (None, upload.kind):
            raise UploadNotFound(upload_id)
        return await self.land(upload, trigger=trigger)

    async def arrive_at(self, object_key: str, *, trigger: Trigger) -> Upload | None:
        """The same, by the object's name; None where it is none of ours."""
        upload = await self.find_named([object_key])
        return await self.land(upload, trigger=trigger) if upload else None

    async def find_named(self, names: Sequence[str]) -> Upload | None:
        """The upload whose object has one of these names."""
        return await self._finding_named.ask(names)

    async def land(self, upload: Upload, *, trigger: Trigger, told_at: datetime | None = None) -> Upload:
        """`told_at`: when the bytes came, by what storage told."""
        return await self.take_in(upload, trigger=trigger, told_at=told_at) or await self._settled_by_another(upload)

    async def take_in(self, upload: Upload, *, trigger: Trigger, told_at: datetime | None = None) -> Upload | None:
        """None where it is settled already: of several who knock, one takes it in."""
        if upload.state is not State.PENDING:
            return None
        found = await self.storage.stat(upload.object_key)
        if found is None:
            raise FileNotArrived(upload.id)
        wrong = what_is_wrong(upload, found)
        if wrong:
            if not await self.reject(upload, wrong, trigger=trigger):
                return None
            raise UploadRejected(upload.id, wrong)
        move = Move(upload.id, trigger, etag=found.etag, came_at=told_at or found.modified_at)
        arrived = await self._arriving.ask(move)
        if arrived is not None and trigger is not Trigger.CLIENT:  # a client's confirm has a line of its own
            log.info("upload_arrived", upload_id=upload.id, user_id=upload.uploader_id, trigger=trigger)
        return arrived

    async def reject(self, upload: Upload, reason: str, *, trigger: Trigger) -> bool:
        """Whether it could still be: a look that is out of date must not take what arrived meanwhile."""
        move = Move(upload.id, trigger, error=reason)
        if not await advance(self.db, State.REJECTED, [move], what="rejected", at=self.clock(), only_from=upload.state):
            return False
        self.metrics.ended(upload.kind, "rejected")
        self.metrics.growth.deleted(upload.kind, upload.uploader_id, upload.stored_bytes)
        log.warning("upload_rejected", upload_id=upload.id, user_id=upload.uploader_id, trigger=trigger, reason=reason)
        await self.discard_object(upload)
        return True

    async def discard_object(self, upload: Upload) -> None:
        """At once if storage lets us; else the sweep does it, since the removal is on record."""
        try:
            if upload.multipart_id:
                await self.storage.abort_multipart(upload.object_key, upload.multipart_id)
            await self.storage.delete(upload.object_key)
        except MooringError as failure:
            log.warning("object_removal_delayed", upload_id=upload.id, why=str(failure))

    async def _settled_by_another(self, upload: Upload) -> Upload:
        if upload.state is not State.PENDING:
            return as_settled(upload)
        now = (await queries.find(self.db, [upload.id])).get(upload.id)
        if now is None:
            raise UploadNotFound(upload.id)
        return as_settled(now)

    async def _find_all(self, upload_ids: Sequence[int]) -> list[Upload | None]:
        found = await queries.find(self.db, upload_ids)
        return [found.get(upload_id) for upload_id in upload_ids]

    async def _find_all_named(self, asked: Sequence[Sequence[str]]) -> list[Upload | None]:
        found = await queries.find_by_keys(self.db, [name for names in asked for name in names])
        return [next((found[name] for name in names if name in found), None) for names in asked]

    async def _arrive_all(self, asked: Sequence[Move]) -> list[Upload | None]:
        """Where several ask for one upload, the first is the one that moves it."""
        first: dict[int, Move] = {}
        for move in asked:
            first.setdefault(move.upload_id, move)
        moved = await self.mark_arrived(self.db, list(first.values()))
        by_id = {upload.id: upload for upload in moved}
        return [by_id.get(move.upload_id) if first[move.upload_id] is move else None for move in asked]

    async def mark_arrived(self, tx: Executor, moves: Sequence[Move]) -> list[Upload]:
        """The bytes were seen. Every arrival passes here, whoever knocked. A FAILED upload arrived long ago."""
        at = self.clock()
        arrived = await advance(tx, State.UPLOADED, moves, what="arrived", at=at, only_from=State.PENDING)
        moved = {move.upload_id: move for move in moves}
        for upload in arrived:
            move = moved[upload.id]
            self.metrics.arrived(move.trigger, at - move.came_at if move.came_at else None)
            self.metrics.stored(upload.kind, upload.uploader_id, upload.file_size)
        return arrived

    # ── once more ──

    async def retry(self, upload_id: int) -> Upload:
        """Processing failed, and somebody thinks that it would not again."""
        moves = [Move(upload_id, Trigger.ADMIN)]
        retried = await advance(self.db, State.UPLOADED, moves, what="retried", at=self.clock(), only_from=State.FAILED)
        if retried:
            log.info("upload_retried", upload_id=upload_id, user_id=retried[0].uploader_id)
            return retried[0]
        now = (await queries.find(self.db, [upload_id])).get(upload_id)
        raise NotFailed(upload_id, now.state) if now else UploadNotFound(upload_id)

    # ── look and renew ──

    async def get(self, upload_id: int, *, owner_id: int) -> Upload:
        upload = await self._finding.ask(upload_id)
        if upload is None or upload.uploader_id != owner_id:
            raise UploadNotFound(upload_id)
        return upload

    async def history(self, upload_id: int, *, owner_id: int) -> list[Event]:
        await self.get(upload_id, owner_id=owner_id)
        return await queries.history(self.db, upload_id)

    async def renew(self, upload_id: int, *, owner_id: int) -> tuple[Upload, Signed | None]:
        """No URL for what comes in parts: each of them has its own, by `in_parts.py`."""
        at = self.clock()
        upload = await self.prolong(upload_id, owner_id=owner_id, at=at)
        return upload, None if upload.part_size else self.signed_put(upload, at=at)

    async def prolong(self, upload_id: int, *, owner_id: int, at: datetime) -> Upload:
        upload = await self.get(upload_id, owner_id=owner_id)
        expires_at = at + self.terms.upload_url_life
        look_at = expires_at - self.terms.look_before
        renewed = await queries.renew(
            self.db, upload_id, at=at, expires_at=expires_at, look_at=look_at, plans=self.terms.plans
        )
        if renewed is None:
            raise why_not_renewed(await self.get(upload_id, owner_id=owner_id))
        log.info("upload_renewed", upload_id=upload.id, user_id=owner_id)
        return renewed

    # ── remove ──

    async def remove(self, upload_id: int, *, owner_id: int) -> None:
        upload = await self.get(upload_id, owner_id=owner_id)
        for gone in await removals.remove(
            self.db, removals.REMOVE, [upload.id], at=self.clock(), trigger=Trigger.CLIENT
        ):
            self.metrics.growth.deleted(gone.kind, gone.uploader_id, gone.stored_bytes)
            log.info("upload_deleted", upload_id=gone.id, user_id=gone.uploader_id)
            await self.discard_object(gone)
