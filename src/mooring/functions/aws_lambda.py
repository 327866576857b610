"""The AWS Lambda function: `mooring.functions.aws_lambda.handler`. It stands between storage and the queue of work:
looks up whose each object is, looks at the object, and schedules its work with the arrival.

A container lives for many calls: it has one event loop, one session to storage and at most one connection to the
database, made at its first call."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cache
from typing import Any

import structlog

from mooring.errors import DatabaseUnavailable, EventsNotReadable, TriggerOff
from mooring.functions.small_house import open_storage_events
from mooring.library.figures import Leaving
from mooring.observe.logs import configure_logs
from mooring.observe.since import Since
from mooring.settings import Settings
from mooring.storage.notifications import Heard, hear, hear_value
from mooring.uploads.lifecycle import Trigger
from mooring.uploads.storage_events import Account, StorageEvents

log = structlog.get_logger()


def handler(event: Mapping[str, Any], _: object = None) -> dict[str, Any]:
    """S3's events, EventBridge's or SNS': the counts of what became of them, or an error, and Lambda asks again. Of a
    batch of SQS: which of its messages must come again."""
    return _container().take(event)


class Container:
    def __init__(self, settings: Settings) -> None:
        if Trigger.FUNCTION not in settings.triggers:
            raise TriggerOff(Trigger.FUNCTION)
        self._lines = configure_logs(settings.log_level, secrets=settings.secrets)
        self._loop = asyncio.new_event_loop()
        self._closing = AsyncExitStack()
        opening = self._closing.enter_async_context(open_storage_events(settings, connections=1))
        self._events: StorageEvents = self._loop.run_until_complete(opening)
        self._leaving = Leaving(self._events.uploads.db, self._events.uploads.clock, Since(self._events.metrics))

    def take(self, event: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._loop.run_until_complete(self._counted(event))
        finally:
            self._lines.flush()  # the container may be frozen from here on

    def close(self) -> None:
        self._loop.run_until_complete(self._closing.aclose())
        self._loop.close()

    async def _counted(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Where it fails, what it counted goes with the next call: the database may be what is away."""
        settled = await self._take(event)
        await self._leaving.leave()
        return settled

    async def _take(self, event: Mapping[str, Any]) -> dict[str, Any]:
        messages = [one for one in _records(event) if isinstance(one, dict) and one.get("eventSource") == "aws:sqs"]
        if messages:
            settled = await asyncio.gather(*(self._settle(message) for message in messages))
            failed = [one.get("messageId") for one, well in zip(messages, settled, strict=True) if not well]
            return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}
        account = await self._account(hear_value(event))
        if account.failure:
            raise account.failure
        return {result.value: count for result, count in account.counts.items() if count}

    async def _settle(self, message: Mapping[str, Any]) -> bool:
        """What can't be read never can: it does not come again, and is in the log."""
        try:
            account = await self._account(hear(str(message.get("body"))))
        except EventsNotReadable as wrong:
            log.warning("storage_event_unreadable", message=message.get("messageId"), why=str(wrong))
            return True
        except Exception:
            log.exception("storage_event_kept", message=message.get("messageId"))
            return False
        return account.failure is None

    async def _account(self, heard: Heard) -> Account:
        """Once more where the database was away: the connection of a container that slept is often dead."""
        account = await self._events.account(heard, trigger=Trigger.FUNCTION)
        if isinstance(account.failure, DatabaseUnavailable):
            account = await self._events.account(heard, trigger=Trigger.FUNCTION)
        return account


def _records(event: Mapping[str, Any]) -> Sequence[Any]:
    records = event.get("Records") if isinstance(event, Mapping) else None
    return records if isinstance(records, list) else ()


@cache
def _container() -> Container:
    return Container(Settings())
