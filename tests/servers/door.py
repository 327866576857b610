"""A way to a server that keeps all in memory: it can be shut in front of it, and opened again."""

import asyncio
from contextlib import suppress

from servers.programs import free_port


class Door:
    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.port = free_port()
        self._listening: asyncio.Server | None = None
        self._through: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._listening = await asyncio.start_server(self._let_through, "127.0.0.1", self.port)

    async def shut(self) -> None:
        """New connections are refused, and those that there are break."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for end in self._through:
            end.transport.abort()

    async def _let_through(self, caller: asyncio.StreamReader, to_caller: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self.behind)
        ends = {to_caller, to_server}
        self._through |= ends
        try:
            await asyncio.gather(_carry(caller, to_server), _carry(server, to_caller))
        finally:
            self._through -= ends
            for end in ends:
                end.transport.abort()


async def _carry(read: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while some := await read.read(65536):
            to.write(some)
            await to.drain()
    to.close()
