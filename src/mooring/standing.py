"""What `mooring worker` and `mooring events` are alike in: no HTTP for people, and an end when somebody asks for it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from mooring import __version__
from mooring.observe.doorway import doorway_if
from mooring.observe.logs import configure_logs
from mooring.observe.metrics import Metrics
from mooring.settings import Settings
from mooring.wiring import House, open_house


def run(settings: Settings, life: Callable[[], Coroutine[Any, Any, None]]) -> None:
    configure_logs(settings.log_level, secrets=settings.secrets)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(life())


@asynccontextmanager
async def standing(
    settings: Settings, what_it_does: str, *, port: int | None, host: str
) -> AsyncIterator[tuple[House, asyncio.Event]]:
    """A house with its doors open, and what is set when it is asked to stop: by SIGTERM or Ctrl-C."""
    asked_to_stop = asyncio.Event()
    for asked in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(asked, asked_to_stop.set)
    metrics = Metrics(settings.metrics_top)
    metrics.introduce(version=__version__, environment=settings.environment)
    async with (
        open_house(settings, metrics=metrics) as house,
        doorway_if(port, host, metrics.text, house.status) as where,
    ):
        house.open_doors()
        sys.stderr.write(f"Mooring {what_it_does}. Stop it with Ctrl-C.\n")
        sys.stderr.write(f"What it counts: {where}\n" if where else "")
        sys.stderr.flush()
        yield house, asked_to_stop
