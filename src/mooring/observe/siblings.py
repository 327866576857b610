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

import structlog

from mooring.observe.exposition import joined, text_of
from mooring.observe.frames import Channel, packed, unpacked
from mooring.observe.metrics import LEAST, SUMMED, Metrics

log = structlog.get_logger()

ANSWER_SECONDS = 2.0  # the parent waits for less than that


class Siblings:
    def __init__(self, end: socket.socket, metrics: Metrics) -> None:
        self._end = end
        self._metrics = metrics
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
        forgotten, so that no counter falls."""
        own = self._metrics.families()
        if self._channel is None:
            return text_of(own)
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._channel.say(say="ask", id=number, families=packed(own))
        try:
            others = await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            log.warning("siblings_not_heard")
            others = []
        finally:
            del self._asked[number]
        return text_of(joined([own, *map(unpacked, others)], summed=SUMMED, least=LEAST))

    async def _hear(self, channel: Channel) -> None:
        async for told in channel.said():
            if told["say"] == "tell":
                channel.say(say="counts", round=told["round"], families=packed(self._metrics.families()))
            elif (answer := self._asked.get(told["id"])) and not answer.done():  # it may have waited long enough
                answer.set_result(told["processes"])
