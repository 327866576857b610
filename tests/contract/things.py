"""What the contract's tests put into storage, and how they read it back."""

from collections.abc import AsyncIterator
from datetime import timedelta

from mooring.storage.port import Found, Storage

LIFE = timedelta(minutes=5)
JPEG = "image/jpeg"
KEY = "photos/0b1e_sea.jpg"
MIB = 2**20
AWKWARD = [
    "a b/c d.jpg",
    "photos/바다 사진.jpg",
    "1+1=2.jpg",
    "100%.jpg",
    "a%2Fb/%20.jpg",
    'it\'s "quoted" & <tagged>;,.jpg',
    "~tilde/-_.!*()@$:?#[]{}|\\^`",
    ".hidden/..two dots/...",
    "é is not e\u0301",
    "🌊/\u200b\ufffd",
    "long/" + "한" * 339 + "ab",  # 1024 bytes
]
NO_KEYS = ["", "/a", "a/", "a//b", ".", "a/../b", "../a", "a/.", "a\nb", "a\x00", "a\x7f", "\ud800", "x" * 1025]
NO_KEY = "key|surrogates"  # what such a refusal speaks of


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def kept(storage: Storage, key: str, content: bytes, content_type: str = JPEG) -> Found:
    return await storage.write(key, chunks_of(content), content_type=content_type)


async def content_of(
    storage: Storage, key: str, *, start: int = 0, end: int | None = None, etag: str | None = None
) -> bytes:
    return b"".join([chunk async for chunk in storage.read(key, start=start, end=end, etag=etag)])


async def keys_of(storage: Storage, prefix: str = "") -> list[str]:
    return [listed.key async for listed in storage.list(prefix)]


def without_time(found: Found | None) -> Found | None:
    """What all of a store's answers say alike: the time only `stat` knows everywhere."""
    return found._replace(modified_at=None) if found else None
