"""What a request wants of a file: RFC 9110's conditions and ranges, as far as images need them."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from mooring.uploads.served import ServedFile
from mooring.web.edge import header
from mooring.web.shapes import reply

_ONE_RANGE = re.compile(rb"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
_TAG = re.compile(rb'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Piece:
    """From `start` up to, not including, `end`."""

    start: int
    end: int


def is_known(scope: Scope, file: ServedFile) -> bool:
    """The client has these very bytes: 304."""
    if header(scope, b"if-none-match") is not None:
        return names_tag(scope, file.etag)
    since = header(scope, b"if-modified-since")
    return since is not None and file.modified_at is not None and not _is_after(file.modified_at, since)


def names_tag(scope: Scope, etag: str) -> bool:
    """`If-None-Match` says that the client has what this is the tag of."""
    tags = header(scope, b"if-none-match") or b""
    return tags.strip() == b"*" or quoted(etag) in _TAG.findall(tags)


def reply_if_new(request: Request, answer: BaseModel) -> Response:
    """The answer, with a tag of its own; or 304 to who has it."""
    whole = reply(answer)
    etag = hashlib.sha256(whole.body).hexdigest()[:32]
    response = Response(status_code=304) if names_tag(request.scope, etag) else whole
    response.headers["ETag"] = quoted(etag).decode()
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def wanted_piece(scope: Scope, file: ServedFile) -> Piece | None:
    """None: the whole file. That is also the answer to several ranges at once, which a server may ignore, and to what
    can't be understood. A piece that begins at the end or behind it can't be satisfied: 416."""
    asked = _ONE_RANGE.fullmatch(header(scope, b"range") or b"")
    unless_it_is = header(scope, b"if-range")
    if asked is None or scope["method"] != "GET" or unless_it_is not in (None, quoted(file.etag)):
        return None
    first, last = asked.groups()
    if not first:
        return Piece(max(0, file.size_bytes - int(last)), file.size_bytes) if last else None
    start, end = int(first), int(last) + 1 if last else file.size_bytes
    return Piece(start, min(end, file.size_bytes)) if not last or start < end else None


def quoted(etag: str) -> bytes:
    return b'"%s"' % etag.encode()


def http_date(at: datetime) -> bytes:
    return format_datetime(at, usegmt=True).encode()


def _is_after(modified_at: datetime, since: bytes) -> bool:
    """By the second, which is all that HTTP can say."""
    try:
        said = parsedate_to_datetime(since.decode("latin-1"))
    except (ValueError, OverflowError, IndexError, TypeError):  # by what is wrong with it, and by the Python
        return True
    return said.tzinfo is None or modified_at.replace(microsecond=0) > said
