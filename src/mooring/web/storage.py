"""The HTTP end of the disk store's temporary URLs. `app.state.disk` is the store, or None where S3 is."""

from collections.abc import AsyncIterator
from typing import Protocol
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response

from mooring.errors import ObjectNotFound, UrlNotValid
from mooring.storage.disk_urls import Shown
from mooring.storage.port import Found

router = APIRouter(include_in_schema=False)

# Whatever was uploaded, a browser that opens it here runs none of it as a page of ours.
HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}


class Door(Protocol):
    """What these routes need of the disk store."""

    async def receive(
        self,
        key: str,
        query: str,
        *,
        content_type: str | None,
        length: int | None,
        chunks: AsyncIterator[bytes],
    ) -> Found: ...

    async def show(self, key: str, query: str) -> Shown: ...


@router.put("/storage/{key:path}")
async def put_object(request: Request) -> Response:
    found = await _door(request).receive(
        _key(request),
        _query(request),
        content_type=request.headers.get("content-type"),
        length=_length(request.headers),
        chunks=_body(request),
    )
    return Response(headers={"ETag": f'"{found.etag}"'})


@router.api_route("/storage/{key:path}", methods=["GET", "HEAD"])
async def get_object(request: Request) -> Response:
    shown = await _door(request).show(_key(request), _query(request))
    response = _File(
        shown.path,
        headers={"ETag": f'"{shown.etag}"', **HARMLESS},
        media_type=shown.content_type,
        filename=shown.filename,
        stat_result=shown.facts,
    )
    return _unless_known(request.headers, response)


class _File(FileResponse):
    chunk_size = 2**20  # the usual 64 KiB spends more on hops to a thread than on the bytes


def _door(request: Request) -> Door:
    door: Door | None = getattr(request.app.state, "disk", None)
    if door is None:
        raise ObjectNotFound(_key(request))
    return door


def _key(request: Request) -> str:
    """From the path as it was sent: decoded once, and not twice."""
    raw: bytes = request.scope["raw_path"]
    return unquote_to_bytes(raw.partition(b"/storage/")[2]).decode(errors="replace")


def _query(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    return query.decode(errors="replace")


def _length(headers: Headers) -> int | None:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:  # nobody will read the answer; it keeps what came from becoming an object
        raise UrlNotValid("The connection ended before the body did.") from None


def _unless_known(headers: Headers, response: FileResponse) -> Response:
    known = headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    if known.strip() != "*" and response.headers["etag"] not in tags:
        return response
    kept = ("etag", "last-modified", *(name.lower() for name in HARMLESS))
    return Response(status_code=304, headers={name: response.headers[name] for name in kept})
