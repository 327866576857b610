"""Live status over HTTP: server-sent events, a WebSocket with the same events, and tickets for browsers."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from time import perf_counter
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, Field
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from mooring.errors import OriginNotAllowed
from mooring.hanging_up import hang_up
from mooring.notify.live import Stream
from mooring.notify.transitions import Place, Told
from mooring.web.callers import SignedIn, caller_of
from mooring.web.edge import header
from mooring.web.hot import HotRoutes
from mooring.web.shapes import Asked, read_query

router = APIRouter(tags=["uploads"])
hot = HotRoutes("uploads")

COME_AGAIN_MS = 2000
EXPIRED, GOING_AWAY = 4401, 1001  # WebSocket close codes: our own for 401, and the protocol's
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events until it has a pageful
]
# As clients take a stream apart. `data` is the JSON of a transition, or, of the event `end`, why it ends.
EVENT = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
ANSWERS: Mapping[int | str, dict[str, Any]] = {
    "200": {
        "description": "Events, until the client leaves, its token expires or the server stops",
        "content": {"text/event-stream": {"schema": EVENT}},
    }
}


class StreamAsked(Asked):
    ticket: str | None = Field(None, max_length=100, description="Instead of the Authorization header")
    last_event_id: str | None = Field(None, max_length=40, description="Instead of the header `Last-Event-ID`")


class TransitionOut(BaseModel):
    """One event. `cursor` is what its stream goes on from."""

    id: int
    cursor: Annotated[str, BeforeValidator(str)]
    upload_id: int
    what: str
    state: str | None = Field(description="The upload's state after it; null: it is deleted")
    trigger: str
    at: datetime
    kind: str | None
    filename: str | None
    error_message: str | None


class TicketOut(BaseModel):
    ticket: str
    expires_at: datetime


@router.post("/uploads/stream/ticket")
async def make_stream_ticket(request: Request, caller: SignedIn) -> TicketOut:
    """For a browser, whose EventSource and WebSocket can't send headers: it opens live streams, as `?ticket=`, and
    nothing else, as long as the access token lasts."""
    house = request.app.state.house
    made = house.telling.tickets.issue(caller, house.clock())
    return TicketOut(ticket=made.text, expires_at=made.expires_at)


@hot.get("/uploads/stream", query=StreamAsked, answers=ANSWERS)
async def stream_uploads(request: Request) -> Response:
    """Each transition of the caller's uploads as a server-sent event, within a second. After a break the browser sends
    `Last-Event-ID`, and what it missed comes first."""
    asked = read_query(request, StreamAsked)
    return EventStream(await _open(request, asked))


@router.websocket("/ws/uploads")
async def stream_uploads_by_websocket(websocket: WebSocket) -> None:
    """The same events, each a message of JSON. What the client sends is not read."""
    asked = read_query(websocket, StreamAsked)
    _check_origin(websocket, websocket.app.state.house.settings.cors_origins)
    await _converse(websocket, await _open(websocket, asked))


async def _open(connection: HTTPConnection, asked: StreamAsked) -> Stream:
    house = connection.app.state.house
    caller = house.telling.tickets.read(asked.ticket, house.clock()) if asked.ticket else await caller_of(connection)
    given = header(connection.scope, b"last-event-id")
    since = given.decode("latin-1") if given else asked.last_event_id
    stream: Stream = await house.telling.live.open(
        caller.user_id, since=Place.read(since) if since else None, expires_at=caller.expires_at
    )
    return stream


class EventStream(Response):
    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.status_code = 200
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def say(words: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": words, "more_body": more})

        scope["answered_at"] = perf_counter()  # how long it stays open is no time to answer
        leaving = asyncio.create_task(_wait_until_left(receive, self.stream))
        try:
            async with self.stream.patience():
                await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS]})
                if scope["method"] == "HEAD":
                    self.stream.end("left")
                else:
                    await say(b"retry: %d\nid: %s\n\n" % (COME_AGAIN_MS, str(self.stream.reader.place).encode()))
                async for page in self.stream.pages():
                    await say(b"".join(map(_event, page)) or b": still here\n\n")
                await say(b'event: end\ndata: {"why": "%s"}\n\n' % (self.stream.why or "").encode())
                await say(b"", more=False)
        finally:
            leaving.cancel()
            _part(self.stream, scope)


async def _wait_until_left(receive: Receive, stream: Stream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end("left")


async def _converse(websocket: WebSocket, stream: Stream) -> None:
    leaving: asyncio.Task[None] | None = None
    try:
        with suppress(WebSocketDisconnect):  # it left while we spoke
            async with stream.patience():
                await websocket.accept()
                leaving = asyncio.create_task(_wait_until_hung_up(websocket, stream))
                async for page in stream.pages():
                    for told in page:
                        await websocket.send_text(_message(told))
                if stream.why != "left":
                    await websocket.close(EXPIRED if stream.why == "expired" else GOING_AWAY, stream.why)
    finally:
        if leaving is not None:
            leaving.cancel()
        _part(stream, websocket.scope)


async def _wait_until_hung_up(websocket: WebSocket, stream: Stream) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
    stream.end("left")


def _part(stream: Stream, scope: Scope) -> None:
    stream.close()
    if stream.is_deaf:
        hang_up(scope)


def _check_origin(websocket: WebSocket, allowed: Sequence[str]) -> None:
    """A page of another site could make its visitor's browser open a socket, and CORS does not guard those."""
    origin = websocket.headers.get("origin")
    if origin is None or {"*", origin} & set(allowed):
        return
    if urlsplit(origin).netloc != websocket.headers.get("host"):  # our own pages may
        raise OriginNotAllowed


def _event(told: Told) -> bytes:
    return f"id: {told.place}\ndata: {_message(told)}\n\n".encode()


def _message(told: Told) -> str:
    place, transition = told
    facts: dict[str, Any] = {name: getattr(transition, name) for name in TransitionOut.model_fields if name != "cursor"}
    return TransitionOut(cursor=place, **facts).model_dump_json()
