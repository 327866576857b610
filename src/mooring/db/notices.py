"""What transactions of any process tell (NOTIFY), heard on a connection of its own.

Who waits for a notice also looks for himself when his time is over: one that came while the connection was lost is not
told again."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import asyncpg
import structlog

from mooring.db.pool import CONNECT_SECONDS, STATEMENT_SECONDS, connecting

log = structlog.get_logger()

ANOTHER_TRY_SECONDS = 1.0


@dataclass
class Notices:
    url: str
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

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._listen()
            except Exception as failure:
                log.warning("notices_lost", channel=self.channel, why=repr(failure))
            finally:
                self.is_heard.clear()
            await asyncio.sleep(ANOTHER_TRY_SECONDS)

    async def _listen(self) -> None:
        with connecting():
            connection = await asyncpg.connect(
                self.url,
                timeout=CONNECT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                server_settings={"application_name": "mooring notices"},
            )
        is_lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: is_lost.set())
            await connection.add_listener(self.channel, self._tell)
            self.is_heard.set()
            await is_lost.wait()
        finally:
            connection.terminate()

    def _tell(self, _: object, __: int, ___: str, what: object) -> None:
        for told in self._expected.get(str(what), ()):
            told.set()
