"""One connection that listens: what PostgreSQL NOTIFYs on a channel, for as long as the process lives.

Where the connection is lost another is made. What was told meanwhile nobody hears of, so each beginning is told too:
whoever listens must look for itself then."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import structlog

from mooring.db.pool import CONNECT_SECONDS, connecting

log = structlog.get_logger()

ANOTHER_TRY_SECONDS = 1.0
PULSE_SECONDS = 10.0  # a connection that only listens would not notice that the other side vanished


@dataclass(frozen=True, slots=True)
class Listening:
    url: str
    channel: str
    heard: Callable[[str], None]
    began: Callable[[], None]

    async def for_ever(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._listen()
            except Exception as failure:
                log.warning("listening_lost", channel=self.channel, why=repr(failure))
            await asyncio.sleep(ANOTHER_TRY_SECONDS)

    async def _listen(self) -> None:
        """As long as the connection lasts."""
        with connecting():
            connection = await asyncpg.connect(
                self.url,
                timeout=CONNECT_SECONDS,
                command_timeout=CONNECT_SECONDS,
                server_settings={"application_name": "mooring listening"},
            )
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self.channel, lambda *told: self.heard(told[3]))
            self.began()
            while not lost.is_set():
                try:
                    await asyncio.wait_for(lost.wait(), PULSE_SECONDS)
                except TimeoutError:
                    await connection.execute("SELECT 1")
            log.warning("listening_lost", channel=self.channel, why="the connection ended")
        finally:
            connection.terminate()
