"""What delivering needs of a CDN, and the addresses that every CDN has."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit


class Signer(Protocol):
    def url(self, key: str, *, until: datetime) -> str:
        """Where the edge serves this object, and no other, up to `until`; of a broken second, never later. No I/O.
        Whatever it raises, the file is streamed instead."""


@dataclass(frozen=True)
class Edge:
    """Where the CDN serves the bucket: an object's address is this, a slash and its key."""

    base_url: str

    def address(self, key: str) -> str:
        return f"{self._base}/{quote(key)}"

    def path(self, key: str) -> str:
        """The same as the edge sees it: decoded, without scheme and host."""
        return f"{self._path}/{key}"

    @cached_property
    def _base(self) -> str:
        return self.base_url.rstrip("/")

    @cached_property
    def _path(self) -> str:
        return unquote(urlsplit(self._base).path)


def seconds(until: datetime) -> int:
    return int(until.timestamp())
