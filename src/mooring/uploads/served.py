"""A file that may be handed to whoever asked: all that delivering it needs to know."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ServedFile:
    object_key: str
    etag: str  # as it was when we last vouched for the bytes: only they are delivered
    content_type: str
    size_bytes: int
    filename: str  # for people, without folders
    modified_at: datetime | None = None  # where it is known
