"""What server processes say to the one that started them, and it to them: JSON, a line each, on a socket pair."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

from mooring.observe.exposition import Family

LONGEST = 64 * 2**20  # of a line: some thousand series are some hundred kilobytes


class Channel:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def on(cls, end: socket.socket) -> "Channel":
        return cls(*await asyncio.open_connection(sock=end, limit=LONGEST))

    def say(self, **what: Any) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(what).encode() + b"\n")

    async def said(self) -> AsyncIterator[dict[str, Any]]:
        """Until the other end is gone."""
        try:
            while line := await self._reader.readline():
                yield json.loads(line)
        except (OSError, ValueError):  # half a line, from one that died while it wrote
            return

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def packed(families: Iterable[Family]) -> list[Any]:
    return [[one.name, one.type, one.documentation, list(one.samples.items())] for one in families]


def unpacked(families: Iterable[Any]) -> list[Family]:
    return [
        Family(name, kind, what, {(own, tuple(map(tuple, labels))): number for (own, labels), number in samples})
        for name, kind, what, samples in families
    ]
