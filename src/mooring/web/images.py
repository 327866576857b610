"""Images over HTTP: by way of the CDN, or as a stream with ranges and conditions."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mooring.delivery.service import Delivery, Redirect
from mooring.errors import PhotoNotFound
from mooring.library.images import Size
from mooring.sendfile import sendfile_of
from mooring.storage.disposition import disposition
from mooring.uploads.served import ServedFile
from mooring.web.callers import signed_in
from mooring.web.hot import HotRoutes
from mooring.web.ranges import Piece, http_date, is_known, quoted, wanted_piece
from mooring.web.shapes import Id, read_query
from mooring.web.storage import HARMLESS

hot = HotRoutes("photos")

Headers = list[tuple[bytes, bytes]]

HARMLESS_BYTES: Headers = [(name.lower().encode(), value.encode()) for name, value in HARMLESS.items()]
# Whose answer it is depends on who asks; a browser keeps the bytes, but asks each time whether it may show them.
FOR_ONE: Headers = [(b"cache-control", b"private, no-cache"), (b"vary", b"Authorization, Cookie")]


class AskedImage(BaseModel):
    photo_id: Id
    size: Size = Size.original


@hot.get("/photos/{photo_id}/image", query=AskedImage)
async def get_image(request: Request) -> Response:
    """The photo's image, for its owner: 302 to the CDN where there is one, else the bytes. `large` and `thumb` are the
    original until processing made them."""
    caller = await signed_in(request)
    asked = read_query(request, AskedImage)
    file = await request.app.state.house.images.of_owner(asked.photo_id, user_id=caller.user_id, size=asked.size)
    return await send(request, file, access_type="authenticated", until=caller.expires_at)


async def send(
    request: Request,
    file: ServedFile | None,
    *,
    access_type: Literal["authenticated", "shared"],
    until: datetime | None = None,
) -> Response:
    """The answer to GET or HEAD, counted. None is denied: 404. `until`: when the right to see it ends, and with it any
    URL that is given away."""
    metrics, began = request.app.state.house.metrics, request.scope["began"]
    if file is None:
        metrics.image_access(access_type, "denied", perf_counter() - began)
        raise PhotoNotFound(int(request.path_params["photo_id"]))
    response = await deliver(request, file, until=until)
    metrics.image_access(access_type, "success", perf_counter() - began)
    return response


async def deliver(request: Request, file: ServedFile, *, until: datetime | None = None) -> Response:
    """Any file, to GET or HEAD."""
    house = request.app.state.house
    redirect = house.delivery.redirect(file, until=until)
    return _elsewhere(redirect, house.clock()) if redirect else await _here(request.scope, file, house.delivery)


def _elsewhere(redirect: Redirect, at: datetime) -> Response:
    """A browser may go there again by itself, as long as the token then has half of its rest left."""
    seconds = int((redirect.expires_at - at).total_seconds()) // 2
    return Plain(
        302,
        [
            (b"location", redirect.url.encode()),
            (b"cache-control", b"private, max-age=%d" % seconds),
            (b"vary", b"Authorization, Cookie"),
            (b"content-length", b"0"),
        ],
    )


async def _here(scope: Scope, file: ServedFile, delivery: Delivery) -> Response:
    headers: Headers = [(b"etag", quoted(file.etag)), *FOR_ONE, *HARMLESS_BYTES]
    if file.modified_at is not None:
        headers.append((b"last-modified", http_date(file.modified_at)))
    if is_known(scope, file):
        return Plain(304, headers)
    size = file.size_bytes
    piece = wanted_piece(scope, file)
    if piece is not None and piece.start >= size:
        return Plain(416, [*headers, (b"content-range", b"bytes */%d" % size), (b"content-length", b"0")])
    headers += [(b"content-type", file.content_type.encode()), (b"accept-ranges", b"bytes")]
    headers.append((b"content-disposition", disposition("inline", file.filename).encode()))
    if scope["method"] == "HEAD":
        await delivery.see(file)
        return Plain(200, [*headers, (b"content-length", b"%d" % size)])
    return await _bytes(scope, file, piece, headers, delivery)


async def _bytes(scope: Scope, file: ServedFile, piece: Piece | None, headers: Headers, delivery: Delivery) -> Response:
    start, end = (0, file.size_bytes) if piece is None else (piece.start, piece.end)
    status = 200 if piece is None else 206
    headers.append((b"content-length", b"%d" % (end - start)))
    if piece is not None:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, file.size_bytes)))
    sendfile = sendfile_of(scope)
    fd = await delivery.hold(file) if sendfile else None
    if sendfile is None or fd is None:
        return Streamed(status, headers, await delivery.open(file, start=start, end=end))
    return Sent(status, headers, partial(sendfile, fd, start, end), fd)


class Plain(Response):
    """Headers alone, ready as they are."""

    def __init__(self, status: int, headers: Headers) -> None:
        self.body = b""
        self.status_code = status
        self.background = None
        self.raw_headers = headers


class Streamed(StreamingResponse):
    """Bytes as they come. A client that goes away ends the reading too."""

    def __init__(self, status: int, headers: Headers, reading: AsyncGenerator[bytes, None]) -> None:
        super().__init__(reading, status)
        self.reading = reading
        self.raw_headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.reading):
            await super().__call__(scope, receive, send)


class Sent(Plain):
    """An open file, past us."""

    def __init__(self, status: int, headers: Headers, sending: Callable[[], Awaitable[None]], fd: int) -> None:
        super().__init__(status, headers)
        self.sending = sending
        self.fd = fd

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self.sending()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            os.close(self.fd)
