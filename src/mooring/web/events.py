"""Storage tells what came. Whoever knows the secret may; what it says is looked up and looked at, never believed."""

import hmac
from base64 import b64decode
from typing import Any

from pydantic import BaseModel, Field, RootModel
from starlette.requests import Request
from starlette.responses import Response

from mooring.errors import NotTheSender, TriggerOff
from mooring.settings import Settings
from mooring.storage.notifications import hear
from mooring.uploads.storage_events import Account, Result
from mooring.web.edge import header
from mooring.web.hot import HotRoutes
from mooring.web.shapes import reply

hot = HotRoutes("events")
_NUMBERS = (Result.ARRIVED, Result.REPEATED, Result.UNKNOWN, Result.IGNORED, Result.REJECTED)


class StorageNotification(RootModel[dict[str, Any] | list[dict[str, Any]]]):
    """S3's (of Amazon, MinIO, Ceph), EventBridge's, SNS', Google's or a CloudEvent; one or many."""


class UnreadableRecord(BaseModel):
    record: str
    reason: str


class EventsTaken(BaseModel):
    received: int
    arrived: int
    repeated: int = Field(description="Somebody was first, perhaps this very message")
    unknown: int = Field(description="No upload of ours, or no object there")
    ignored: int = Field(description="About anything else than an object that came")
    rejected: int = Field(description="Other bytes than were declared")
    unreadable: list[UnreadableRecord] = Field(description="The first 20")


@hot.post("/events/storage", body=StorageNotification, answer=EventsTaken, by="storage")
async def take_storage_events(request: Request) -> Response:
    """What storage tells: each object is looked at, whatever the event says. May be repeated. 500 where something could
    not be told, to be sent again; what arrived stays so."""
    house = request.app.state.house
    _check_sender(request, house.settings)
    account = await house.storage_events.take(hear(await request.body()))
    return reply(_shown(account))


def _check_sender(request: Request, settings: Settings) -> None:
    """Not every storage can send a header of its own: those put `user:secret@` into the address, which is Basic."""
    if settings.events_secret is None or "event" not in settings.triggers:
        raise TriggerOff("event")
    scheme, _, given = (header(request.scope, b"authorization") or b"").partition(b" ")
    if scheme.lower() == b"basic":
        given = _password(given)
    elif scheme.lower() != b"bearer":
        raise NotTheSender
    if not hmac.compare_digest(given.strip(), settings.events_secret.get_secret_value().encode()):
        raise NotTheSender


def _password(credentials: bytes) -> bytes:
    try:
        return b64decode(credentials, validate=True).partition(b":")[2]
    except ValueError:
        raise NotTheSender from None


def _shown(account: Account) -> EventsTaken:
    return EventsTaken(
        received=account.total(),
        unreadable=[UnreadableRecord(record=one.record, reason=one.reason) for one in account.unreadable],
        **{result.value: account.counts[result] for result in _NUMBERS},
    )
