"""Values of S3's headers."""

import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime

from mooring.errors import StorageUnavailable
from mooring.storage.s3_calls import Answer

_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}


def type_of(content_type: str) -> str:
    if not (content_type.isascii() and content_type.isprintable()):
        raise ValueError(f"No header can say this content type: {content_type!r}.")
    return content_type


def size_of(answer: Answer) -> int:
    try:
        return int(answer.headers["Content-Length"])
    except (KeyError, ValueError):
        raise StorageUnavailable("an answer without a Content-Length") from None


def length_of(length: int) -> str:
    if length < 0:
        raise ValueError(f"A length is not negative: {length}.")
    return str(length)


def base64_of(sha256: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"A SHA-256 is 64 hex digits: {sha256!r}.")
    return b64encode(bytes.fromhex(sha256)).decode()


def hex_of(checksum: str) -> str | None:
    """None for a multipart's: `…-N` is a checksum of checksums, not of the bytes."""
    return b64decode(checksum).hex() if re.fullmatch(r"[A-Za-z0-9+/]{43}=", checksum) else None


def time_of(said: str) -> datetime | None:
    """As in `Wed, 01 Jan 2025 00:00:00 GMT`, read without the library that knows all forms: every confirm reads one. It
    only measures, so one that can't be read says nothing."""
    try:
        day, hour, minute, second = int(said[5:7]), int(said[17:19]), int(said[20:22]), int(said[23:25])
        return datetime(int(said[12:16]), _MONTHS[said[8:11]], day, hour, minute, second, tzinfo=UTC)
    except (ValueError, KeyError):
        return None
