"""What storage tells, taken: each object that is said to have come is looked up, looked at, and arrived if it is
there."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from mooring.errors import (
    DatabaseUnavailable,
    FileNotArrived,
    MooringError,
    StorageUnavailable,
    UploadGone,
    UploadNotFound,
    UploadRejected,
)
from mooring.observe.metrics import Metrics
from mooring.storage.notifications import Heard, Told, Unreadable
from mooring.uploads.lifecycle import State, Trigger
from mooring.uploads.service import Uploads

log = structlog.get_logger()

AT_ONCE = 32  # of one message's records
MOST_NAMED = 20


class Result(StrEnum):
    ARRIVED = "arrived"
    REPEATED = "repeated"  # somebody was first, perhaps this very message
    UNKNOWN = "unknown"  # no upload of ours, or no object there
    IGNORED = "ignored"  # about anything else than an object that came
    REJECTED = "rejected"  # other bytes than were declared
    UNREADABLE = "unreadable"
    FAILED = "failed"  # storage or database can't tell: to be told again


@dataclass
class Account:
    """What became of what was told."""

    unreadable: Sequence[Unreadable] = ()  # the first of them
    counts: Counter[Result] = field(default_factory=Counter)
    failure: MooringError | None = None  # the last of them

    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class StorageEvents:
    uploads: Uploads
    metrics: Metrics

    async def take(self, heard: Heard, *, trigger: Trigger = Trigger.EVENT) -> Account:
        """Whatever can be settled is, and stays so. Where something can't, that is raised at the end
        (`StorageUnavailable`, `DatabaseUnavailable`), so that the sender tells us again: repeating does no harm."""
        account = await self.account(heard, trigger=trigger)
        if account.failure:
            raise account.failure
        return account

    async def account(self, heard: Heard, *, trigger: Trigger) -> Account:
        """The same, for senders that are told of each message by itself."""
        account = Account(heard.unreadable[:MOST_NAMED])
        account.counts[Result.IGNORED] += heard.ignored
        account.counts[Result.UNREADABLE] += len(heard.unreadable)
        try:
            await self._settle_all(heard.told, account, trigger)
        finally:
            for result, count in account.counts.items():
                self.metrics.told(result, count)
            for record, reason in account.unreadable:
                log.warning("storage_event_unreadable", record=record, why=reason)
        return account

    async def _settle_all(self, all_told: Sequence[Told], account: Account, trigger: Trigger) -> None:
        """A bug over one of them is raised when the others are settled."""
        waiting = iter(all_told)

        async def settle_some() -> None:
            for told in waiting:
                account.counts[await self._settle(told, account, trigger)] += 1

        if len(all_told) == 1:  # as most storages tell
            await settle_some()
            return
        lanes = [settle_some() for _ in range(min(AT_ONCE, len(all_told)))]
        for bug in await asyncio.gather(*lanes, return_exceptions=True):
            if bug is not None:
                raise bug

    async def _settle(self, told: Told, account: Account, trigger: Trigger) -> Result:
        try:
            upload = await self.uploads.find_named(told.names)
            if upload is None:
                return Result.UNKNOWN
            if upload.state is not State.PENDING:
                return Result.UNKNOWN if upload.state is State.RECLAIMED else Result.REPEATED
            taken_in = await self.uploads.take_in(upload, trigger=trigger, told_at=told.at)
        except (StorageUnavailable, DatabaseUnavailable) as failure:
            account.failure = failure
            log.warning("storage_event_failed", object_key=told.names[0], why=failure.what)
            return Result.FAILED
        except UploadRejected:
            return Result.REJECTED
        except (FileNotArrived, UploadGone, UploadNotFound):
            return Result.UNKNOWN
        return Result.ARRIVED if taken_in else Result.REPEATED


class Doorbell:
    """Rung by the disk store for each object that came by its URLs, and heard within the same process. What nobody
    hears in time is left to the sweep."""

    def __init__(self, most: int = 10_000) -> None:
        self._rung: asyncio.Queue[str] = asyncio.Queue(most)

    def ring(self, object_key: str) -> None:
        if not self._rung.full():
            self._rung.put_nowait(object_key)

    @property
    def is_silent(self) -> bool:
        return self._rung.empty()

    async def answer(self, events: StorageEvents) -> None:
        """Until cancelled."""
        while True:
            keys = [await self._rung.get()]
            while not self._rung.empty() and len(keys) < AT_ONCE:
                keys.append(self._rung.get_nowait())
            try:
                await events.take(Heard([Told((key,)) for key in keys]))
            except MooringError as failure:
                log.warning("disk_event_lost", count=len(keys), why=str(failure))  # the sweep finds them
            except Exception:
                log.exception("disk_event_lost", count=len(keys))
