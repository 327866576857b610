"""A file that may be handed to whoever asked: all that delivering it needs to know."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from mooring.uploads.service import Uploads


class ServedFile(NamedTuple):
    object_key: str
    etag: str  # as it was when we last vouched for the bytes: only they are delivered
    content_type: str
    size_bytes: int
    filename: str  # for people, without folders
    modified_at: datetime | None = None  # where it is known


CdnUrl = Callable[[ServedFile, datetime | None], str | None]


def no_cdn(_file: ServedFile, _until: datetime | None) -> None:
    return None


def url_of(file: ServedFile, uploads: Uploads, cdn_url: CdnUrl, until: datetime | None) -> str:
    """Where the file can be fetched for a while: at the CDN, or, without one, in storage. `until`: when the right to it
    ends, which no token of a CDN outlives."""
    return cdn_url(file, until) or uploads.downloads.url(file.object_key, file.content_type)
