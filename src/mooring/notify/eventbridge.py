"""Transitions on an EventBridge bus: the same messages, ten to a call, and each with a try of its own."""

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from mooring.db.pool import Database
from mooring.notify.delivering import Due
from mooring.notify.posting import Answered
from mooring.notify.webhooks import EVENTS
from mooring.uploads.gather import Gatherer

SOURCE = "mooring"
MOST = 10  # entries that PutEvents takes


def opened(
    region: str, *, endpoint: str | None, access_key: str | None, secret_key: str | None, session_token: str | None
) -> AbstractAsyncContextManager[Any]:
    """A client. Without keys AWS' own ways are tried: a role, a file."""
    client: AbstractAsyncContextManager[Any] = get_session().create_client(
        "events",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=session_token,
        config=AioConfig(connect_timeout=5, read_timeout=10, retries={"max_attempts": 1}),
    )
    return client


@dataclass(frozen=True)
class ByEventBridge:
    client: Any

    async def __call__(self, due: Due) -> Answered:
        return await self._gathered.ask(due)

    @cached_property
    def _gathered(self) -> Gatherer[Due, Answered]:
        """Deliveries that are due at once share a call."""
        return Gatherer(self.put, lanes=1, most=MOST)

    async def put(self, several: Sequence[Due]) -> list[Answered]:
        """What became of each. A failure of the call is everybody's, one of an entry its own."""
        try:
            said = await self.client.put_events(Entries=[_entry(due) for due in several])
        except (BotoCoreError, ClientError, OSError) as failure:
            return [Answered(None, f"{type(failure).__name__}: {failure}"[:300]) for _ in several]
        return [_judged(entry) for entry in said["Entries"]]


def _entry(due: Due) -> dict[str, object]:
    message = json.loads(due.body)
    return {
        "EventBusName": due.bus,
        "Source": SOURCE,
        "DetailType": due.type,
        "Time": due.created_at,
        "Resources": [],
        "Detail": json.dumps({"message_id": due.message_id, **message["data"]}),
    }


def _judged(entry: dict[str, str]) -> Answered:
    if entry.get("EventId"):
        return Answered(200)
    return Answered(None, f"{entry.get('ErrorCode')}: {entry.get('ErrorMessage')}"[:300])


async def announce(db: Database, bus: str, at: datetime) -> None:
    """From now on transitions are written down for this bus too."""
    await db.fetch(
        """INSERT INTO webhooks (scope, bus, events, created_at) VALUES ('all', $1, $2, $3)
           ON CONFLICT (bus) DO NOTHING""",
        bus,
        list(EVENTS),
        at,
    )
