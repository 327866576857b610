"""What is done with a message, whichever broker brought it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from mooring.errors import DatabaseUnavailable, EventsNotReadable, StorageUnavailable
from mooring.storage.notifications import hear
from mooring.uploads.storage_events import Result, StorageEvents

log = structlog.get_logger()

PAUSES: Sequence[float] = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Receiver:
    events: StorageEvents
    pauses: Sequence[float] = PAUSES

    async def settle(self, message: bytes | str) -> bool:
        """True: it may be forgotten, since all it tells is settled, or it tells nothing. False: it must be kept and
        brought again. That is only said after a few tries, for a broker may bring it again at once."""
        for pause in (*self.pauses, None):
            try:
                await self.events.take(hear(message))
            except EventsNotReadable as wrong:
                log.warning("storage_event_unreadable", why=str(wrong), begins=repr(message[:200]))
                self.events.metrics.told(Result.UNREADABLE, 1)
            except (StorageUnavailable, DatabaseUnavailable) as away:
                log.warning("storage_event_kept", why=away.what or str(away))
                if pause is not None:
                    await asyncio.sleep(pause)
                continue
            except Exception:
                log.exception("storage_event_kept")
                await asyncio.sleep(self.pauses[-1])
                return False
            return True
        return False
