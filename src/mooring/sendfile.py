"""uvicorn's HTTP, and a way for files to go from the disk to the client without passing through us.

As every server that does this, it blocks for the moment in which a piece is not in memory yet: so the pieces are
small, and the system is told to read ahead."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from weakref import ref

from mooring.hanging_up import HANG_UP
from mooring.whole import WholeCycle, WholeProtocol

SENDFILE = "mooring.sendfile"  # an ASGI extension: its `send(fd, start, end)` is awaited after http.response.start
PIECE = 2**18

Sendfile = Callable[[int, int, int], Awaitable[None]]


def sendfile_of(scope: Any) -> Sendfile | None:
    """Where the server is another, as in tests in process, there is none."""
    extensions = scope.get("extensions") or {}
    found: Sendfile | None = extensions.get(SENDFILE, {}).get("send")
    return found


class SendfileProtocol(WholeProtocol):
    _writable: asyncio.Event | None = None

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if isinstance(self.cycle, WholeCycle) and self.cycle.scope is self.scope:
            self.scope["extensions"] = {
                # The cycle holds its scope: held in there itself, each request would wait for the collector.
                SENDFILE: {"send": partial(self._sendfile, ref(self.cycle))},
                HANG_UP: {"transport": self.transport},
            }

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._writable is not None:
            self._writable.set()

    async def _sendfile(self, asked_of: "ref[WholeCycle]", fd: int, start: int, end: int) -> None:
        """Returns early where the client went away. uvicorn counts the bytes of an answer: it is told of these."""
        cycle = asked_of()
        if cycle is None:
            return  # answered long ago
        await cycle.send_head()
        await self._written()
        if cycle.disconnected:
            return
        os.posix_fadvise(fd, start, end - start, os.POSIX_FADV_SEQUENTIAL)
        # Our own number for the socket: the loop watches its own for itself.
        to = os.dup(self.transport.get_extra_info("socket").fileno())
        try:
            while start < end and not cycle.disconnected:
                try:
                    sent = os.sendfile(to, fd, start, min(PIECE, end - start))
                except BlockingIOError:
                    await self._room(to)
                    continue
                if not sent:
                    raise OSError("the file became shorter while it was sent")
                start += sent
                cycle.expected_content_length -= sent
                await asyncio.sleep(0)  # others' turn
        except ConnectionError:  # what is sent from now on goes nowhere
            cycle.disconnected = True
            self.transport.close()
        finally:
            os.close(to)

    async def _written(self) -> None:
        """What was written before, the headers above all, is on its way."""
        self.transport.set_write_buffer_limits(0)
        while self.transport.get_write_buffer_size() and not self.transport.is_closing():
            await self.flow.drain()
            await asyncio.sleep(0)
        if not self.transport.is_closing():
            self.transport.set_write_buffer_limits()

    async def _room(self, to: int) -> None:
        loop = asyncio.get_running_loop()
        self._writable = asyncio.Event()
        loop.add_writer(to, self._writable.set)
        try:
            await self._writable.wait()
        finally:
            loop.remove_writer(to)
            self._writable = None
