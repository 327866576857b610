"""One of several server processes, and what the others count: whichever is asked for `/metrics` answers for all.
And what none of them outlives: the process that started them."""

import asyncio
import os
import signal
import socket
import sys
import time
from itertools import count
from threading import Thread

from mooring.errors import SiblingsNotHeard
from mooring.observe.exposition import Family, joined, text_of
from mooring.observe.frames import Channel, packed, unpacked
from mooring.observe.metrics import LEAST, SUMMED, Metrics

ANSWER_SECONDS = 2.0  # the parent waits for less than that


class Siblings:
    def __init__(self, end: socket.socket, metrics: Metrics) -> None:
        self._end = end
        self._metrics = metrics
        metrics.rank_elsewhere()
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[list[list[object]]]] = {}
        self._channel: Channel | None = None
        self._hearing: asyncio.Task[None] | None = None

    def end_with_parent(self, most_to_stop: float) -> None:
        """Whatever the event loop is at. The end of our input is the parent's: every system tells of it, however early
        it came, and of the parent's whole process, where Linux' death signal is about one of its threads."""
        Thread(target=self._outlive_nobody, args=[most_to_stop], daemon=True).start()

    def _outlive_nobody(self, most_to_stop: float) -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        if self._channel is not None:  # else no request is under way, and a start may wait for ever
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(most_to_stop)
        os.kill(os.getpid(), signal.SIGKILL)

    async def join(self) -> None:
        """Once requests are welcome."""
        self._channel = await Channel.on(self._end)
        self._hearing = asyncio.create_task(self._hear(self._channel))
        self._channel.say(say="ready")

    async def leave(self) -> None:
        if self._hearing is not None and self._channel is not None:
            self._hearing.cancel()
            await asyncio.wait([self._hearing])
            await self._channel.close()

    async def text(self) -> bytes:
        """What all of us count. What we say here is what the parent keeps of us: no figure that was shown once is ever
        forgotten, so that no counter falls. Ours alone would be a fall too: rather none, where the parent is late."""
        if self._channel is None:
            raise SiblingsNotHeard
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        own = self._metrics.families()
        self._say(self._channel, "ask", own, id=number)
        try:
            others = await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            raise SiblingsNotHeard from None
        finally:
            del self._asked[number]
        return text_of(joined([own, *map(unpacked, others)], summed=SUMMED, least=LEAST))

    async def _hear(self, channel: Channel) -> None:
        async for told in channel.said():
            if told["say"] == "tell":
                self._say(channel, "counts", self._metrics.families(), round=told["round"])
            elif (answer := self._asked.get(told["id"])) and not answer.done():  # it may have waited long enough
                answer.set_result(told["processes"])

    def _say(self, channel: Channel, what: str, own: list[Family], **more: int) -> None:
        channel.say(say=what, families=packed(own), ranked=self._metrics.hand_on(), **more)
