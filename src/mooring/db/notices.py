"""What transactions of any process tell (NOTIFY), heard on one connection for all who listen in this process.

Where the connection is lost another is made. What was told meanwhile is not told again: so each beginning is told too,
and whoever listens looks for himself then, or when his time is over."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg
import structlog

from mooring.db.pool import CONNECT_SECONDS, connecting

log = structlog.get_logger()

ANOTHER_TRY_SECONDS = 1.0
PULSE_SECONDS = 10.0  # a connection that only listens would not notice that the other side vanished


class Listener(Protocol):
    channel: str

    def heard(self, what: str, /) -> None: ...

    def began(self) -> None:
        """From now on everything is heard. Something may have been told before."""

    def ended(self) -> None:
        """Nothing is heard until it begins again."""


@dataclass(frozen=True, slots=True)
class Listening:
    url: str
    listeners: Sequence[Listener]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._listen()
                log.warning("notices_lost", why="the connection ended")
            except Exception as failure:
                log.warning("notices_lost", why=repr(failure))
            finally:
                for listener in self.listeners:
                    listener.ended()
            await asyncio.sleep(ANOTHER_TRY_SECONDS)

    async def _listen(self) -> None:
        """As long as the connection lasts."""
        with connecting():
            connection = await asyncpg.connect(
                self.url,
                timeout=CONNECT_SECONDS,
                command_timeout=CONNECT_SECONDS,
                server_settings={"application_name": "mooring notices"},
            )
        is_lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: is_lost.set())
            for listener in self.listeners:
                await connection.add_listener(listener.channel, _telling(listener))
                listener.began()
            while not is_lost.is_set():
                try:
                    await asyncio.wait_for(is_lost.wait(), PULSE_SECONDS)
                except TimeoutError:
                    await connection.execute("SELECT 1")
        finally:
            connection.terminate()


def _telling(listener: Listener) -> Callable[..., None]:
    return lambda _connection, _pid, _channel, what: listener.heard(what)


@dataclass
class Notices:
    """For who waits for one thing to be told."""

    channel: str
    is_heard: asyncio.Event = field(default_factory=asyncio.Event)  # while the connection stands
    _expected: dict[str, set[asyncio.Event]] = field(default_factory=lambda: defaultdict(set))

    @contextmanager
    def expecting(self, what: str) -> Iterator[asyncio.Event]:
        """Set once `what` is told. Begin to expect before you look whether it is so already."""
        told = asyncio.Event()
        self._expected[what].add(told)
        try:
            yield told
        finally:
            self._expected[what].discard(told)
            if not self._expected[what]:
                del self._expected[what]

    def is_expected(self, what: str) -> bool:
        return what in self._expected

    def heard(self, what: str, /) -> None:
        for told in self._expected.get(what, ()):
            told.set()

    def began(self) -> None:
        self.is_heard.set()

    def ended(self) -> None:
        self.is_heard.clear()
