"""What a worker does with an upload that arrived: read it, have its recipe run, keep what was made.

Safe to be done twice, also at once: `begin` and `finish` are moves of the upload, and only one `finish` counts. What is
written to storage is on record for removal first, and taken off it by the transaction that finishes, so that a worker
killed anywhere leaves nothing behind for ever."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import IO, Any
from uuid import uuid4

import structlog

from mooring.db.pool import Executor
from mooring.errors import DatabaseUnavailable, ObjectChanged, ObjectNotFound, StorageUnavailable
from mooring.observe.metrics import Metrics
from mooring.observe.words import Outcome
from mooring.processing.sandbox import NOT_THE_FILE, Made, Progress, Sandbox, Spoiled, nameless
from mooring.storage.threads import off_loop
from mooring.uploads import queries, renditions
from mooring.uploads.lifecycle import Move, State, Trigger, Upload, advance
from mooring.uploads.renditions import Rendition
from mooring.uploads.service import Uploads

log = structlog.get_logger()

PIECE = 2**18
LONGEST_PAUSE = timedelta(minutes=5)
_ENDINGS = {
    "image/webp": "webp",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "audio/mp4": "m4a",
    "video/mp4": "mp4",
    "application/json": "json",
}
PROGRESS_SECONDS = 1.0  # kept no more often
_AWAY = (StorageUnavailable, DatabaseUnavailable)

# What became of a try; why, for the log; when to try again, if at all.
Ended = tuple[Outcome, str, timedelta | None]
# Keeps the facts that a recipe found, in the transaction that finishes.
Record = Callable[[Executor, int, Mapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Work:
    uploads: Uploads
    sandbox: Sandbox
    record: Mapping[str, Record]  # by kind
    metrics: Metrics
    attempts: int
    pause: timedelta

    async def process(self, job: Mapping[str, Any], tried: int) -> timedelta | None:
        """The job of one upload, which was put back so often. Answers when to try again, or None where it is over."""
        started = perf_counter()
        try:
            upload = await self.begin(job["upload"])
            if upload is None:
                return None
            outcome, why, again = await self._try(upload)
        except _AWAY as away:  # says nothing of the upload: never its failure, and no try of it
            outcome, why, again = "retry", away.what or away.message, self._pause_after(tried)
        self.metrics.processed(job["kind"], outcome, perf_counter() - started)
        tell = log.info if outcome == "success" else log.warning
        tell("upload_processed", upload_id=job["upload"], user_id=job["user"], result=outcome, why=why)
        return again

    def _pause_after(self, tries: int) -> timedelta:
        return min(self.pause * (1 << min(tries, 10)), LONGEST_PAUSE)

    async def begin(self, upload_id: int) -> Upload | None:
        """The upload, if there is anything to do. One that is PROCESSING was left by a worker that died, or is tried
        again."""
        moves = [Move(upload_id, Trigger.WORKER)]
        begun = await advance(self.uploads.db, State.PROCESSING, moves, what="begun", at=self.uploads.clock())
        if begun:
            return begun[0]
        now = (await queries.find(self.uploads.db, [upload_id])).get(upload_id)
        return now if now and now.state is State.PROCESSING else None

    async def _try(self, upload: Upload) -> Ended:
        """Whatever goes wrong that nobody thought of is a failed try: a job that raised would be enqueued anew for
        ever."""
        try:
            return await self._work_on(upload)
        except _AWAY:
            raise
        except Exception as wrong:
            log.exception("upload_not_processed", upload_id=upload.id, user_id=upload.uploader_id)
            return await self._spoiled(upload, Spoiled(NOT_THE_FILE, is_final=False, why=repr(wrong)))

    async def _work_on(self, upload: Upload) -> Ended:
        with ExitStack() as closing:
            original = closing.enter_context(nameless())
            wrong = await self._fetch(upload, original)
            if wrong:
                await self.uploads.reject(upload, wrong, trigger=Trigger.WORKER)
                return "rejected", wrong, None
            progress = self._progress_of(upload.id)
            result = await self.sandbox.develop(upload.kind, original, upload.content_type, closing, progress)
            if isinstance(result, Spoiled):
                return await self._spoiled(upload, result)
            await self.finish(upload, await self._keep(result.made), result.facts)
            return "success", "", None

    async def _spoiled(self, upload: Upload, result: Spoiled) -> Ended:
        why = f"{result.reason} {result.why}".strip()
        if not result.is_final:
            failed = await queries.count_failed_try(self.uploads.db, upload.id)
            if failed < self.attempts:
                return "retry", why, self._pause_after(max(0, failed - 1))
        await self.fail(upload, result.reason)
        return "failure", why, None

    async def _fetch(self, upload: Upload, original: IO[bytes]) -> str | None:
        """The bytes that were verified at arrival, and no others; or what is wrong with them."""
        digest = hashlib.sha256()
        try:
            async for piece in self.uploads.storage.read(upload.object_key, etag=upload.etag):
                await off_loop(original.write, piece)
                if upload.checksum_sha256:
                    digest.update(piece)
        except ObjectChanged:
            return "The file was replaced after it arrived."
        except ObjectNotFound:
            return "The file is no longer in storage."
        await off_loop(original.flush)
        if upload.checksum_sha256 not in (None, digest.hexdigest()):
            return "The bytes do not have the SHA-256 that was declared."
        return None

    def _progress_of(self, upload_id: int) -> Progress:
        kept_at = perf_counter()

        async def keep(percent: int) -> None:
            nonlocal kept_at
            if perf_counter() - kept_at < PROGRESS_SECONDS:
                return
            kept_at = perf_counter()
            with suppress(DatabaseUnavailable):  # the next one tells as much
                await queries.keep_progress(self.uploads.db, upload_id, percent)

        return keep

    async def _keep(self, made: Sequence[Made]) -> list[Rendition]:
        keys = [f"renditions/{uuid4()}_{one.name}.{_ENDINGS[one.content_type]}" for one in made]
        await renditions.announce(self.uploads.db, keys, at=self.uploads.clock())
        kept = []
        for key, one in zip(keys, made, strict=True):
            found = await self.uploads.storage.write(key, _pieces(one.file), content_type=one.content_type)
            rendition = Rendition(one.name, key, one.content_type, one.width, one.height, found.size, found.etag)
            kept.append(rendition)
        return kept

    async def finish(self, upload: Upload, made: Sequence[Rendition], facts: Mapping[str, Any]) -> None:
        """All of it or nothing. Where another worker was first, what we made is removed when its time is over."""
        at = self.uploads.clock()
        async with self.uploads.db.transaction() as tx:
            moves = [Move(upload.id, Trigger.WORKER)]
            if not await advance(tx, State.COMPLETED, moves, what="completed", at=at):
                return
            if not await renditions.adopt(tx, upload.id, made, at=at):
                raise StorageUnavailable("what was made is too old to be kept")
            await self.record[upload.kind](tx, upload.id, facts)

    async def fail(self, upload: Upload, reason: str) -> None:
        moves = [Move(upload.id, Trigger.WORKER, error=reason)]
        await advance(self.uploads.db, State.FAILED, moves, what="failed", at=self.uploads.clock())


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := await off_loop(file.read, PIECE):
        yield piece
