"""Live streams: each hears of its user's transitions as soon as any process has committed one.

A NOTIFY names a user and no more. It wakes that user's streams of this process, and each reads on from where it was. So
a message that was lost, a stream that is slow, a connection that broke and a client that comes back are one case: read
on. Nothing queues in memory but the page that is being sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import structlog

from mooring.clock import Clock
from mooring.db.pool import Executor
from mooring.errors import DatabaseUnavailable, TooManyStreams
from mooring.notify.transitions import Place, Reader, Told
from mooring.uploads.lifecycle import CHANNEL

log = structlog.get_logger()

HEARTBEAT_SECONDS = 15.0
AT_ONCE = 4  # readings: when a lost connection is back, all streams want one
BREATH_SECONDS = 0.1  # between two readings of a stream: a thousand arrivals in a row are a few readings
FAREWELL_SECONDS = 2.0  # for a client that does not read

Why = Literal["expired", "closing", "left"]


@dataclass(frozen=True, slots=True)
class Paced:
    """The database, a few statements at a time: other requests need it too."""

    db: Executor
    turns: asyncio.Semaphore

    async def fetch(self, sql: str, /, *args: Any) -> list[Any]:
        async with self.turns:
            return await self.db.fetch(sql, *args)


@dataclass(eq=False, slots=True)
class Stream:
    live: "Live"
    reader: Reader
    expires_at: datetime | None  # of the token that opened it
    why: Why | None = None  # it is over
    is_deaf: bool = False  # its client does not read
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _patience: asyncio.Timeout | None = None

    def wake(self) -> None:
        self._news.set()

    def end(self, why: Why) -> None:
        self.why = self.why or why
        self._news.set()

    def close(self) -> None:
        self.live.forget(self)

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """What is sent within this block is given up a while after the end."""
        try:
            async with asyncio.timeout(None) as self._patience:
                try:
                    yield
                finally:
                    self._patience = None
        except TimeoutError:
            self.is_deaf = True

    def hurry(self) -> None:
        if self._patience is not None:
            self._patience.reschedule(_now())

    async def pages(self) -> AsyncIterator[Sequence[Told]]:
        """Until it is over. An empty page is a heartbeat."""
        is_behind, not_before = True, 0.0
        while not self._is_over():
            if is_behind:
                await asyncio.sleep(not_before - _now())
                not_before = _now() + BREATH_SECONDS
                self._news.clear()
                try:
                    async for page in self.reader.news(self.live.paced):
                        yield page
                    is_behind = False
                except DatabaseUnavailable as away:  # once more after a heartbeat, or when we can listen again
                    log.info("stream_waits", user_id=self.reader.user_id, why=away.what)
            if await self._news_came():
                is_behind = True
            elif not self._is_over():
                yield ()

    def _is_over(self) -> bool:
        if self.expires_at is not None and self.expires_at <= self.live.clock():
            self.end("expired")
        return self.why is not None

    async def _news_came(self) -> bool:
        """False: not within a heartbeat, or before it expired."""
        if self.why is not None:  # its end may have been said in the breath before a reading
            return True
        wait = self.live.heartbeat
        if self.expires_at is not None:
            wait = min(wait, (self.expires_at - self.live.clock()).total_seconds())
        try:
            async with asyncio.timeout(wait):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


@dataclass
class Live:
    db: Executor
    clock: Clock
    most: int  # streams of one user, in this process
    heartbeat: float = HEARTBEAT_SECONDS
    channel: str = CHANNEL
    is_closing: bool = False
    paced: Paced = field(init=False)
    streams: dict[str, set[Stream]] = field(default_factory=dict)  # by the user, as a NOTIFY writes it

    def __post_init__(self) -> None:
        self.paced = Paced(self.db, asyncio.Semaphore(AT_ONCE))

    @property
    def count(self) -> int:
        return sum(map(len, self.streams.values()))

    async def open(self, user_id: int, *, since: Place | None, expires_at: datetime | None) -> Stream:
        """To be closed. Without `since` it tells what happens from now on."""
        stream = Stream(self, Reader(user_id, since or Place(0)), expires_at)
        mine = self.streams.setdefault(str(user_id), set())
        if len(mine) >= self.most:
            raise TooManyStreams(self.most)
        mine.add(stream)  # before it reads: what happens meanwhile wakes it
        try:
            if since is None:
                stream.reader = await Reader.at_the_end(self.paced, user_id)
        except BaseException:
            stream.close()
            raise
        if self.is_closing:
            stream.end("closing")
        return stream

    def forget(self, stream: Stream) -> None:
        user_id = str(stream.reader.user_id)
        mine = self.streams.get(user_id, set())
        mine.discard(stream)
        if not mine:
            self.streams.pop(user_id, None)

    # ── what the listening connection says ──

    def heard(self, user_id: str, /) -> None:
        for stream in self.streams.get(user_id, ()):
            stream.wake()

    def began(self) -> None:
        """Something may have been told while nobody listened."""
        for stream in self._all():
            stream.wake()

    def ended(self) -> None:
        """Nothing to do: `began` makes up for it."""

    # ── the end ──

    def close(self) -> None:
        """Each says good-bye, so that a graceful stop need not wait for them."""
        self.is_closing = True
        for stream in self._all():
            stream.end("closing")
            asyncio.get_running_loop().call_later(FAREWELL_SECONDS, stream.hurry)

    def _all(self) -> list[Stream]:
        return [stream for mine in self.streams.values() for stream in mine]


def _now() -> float:
    return asyncio.get_running_loop().time()
