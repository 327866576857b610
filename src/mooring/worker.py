"""The process that works on what arrived, and does nothing else: any number of them may share a queue."""

import asyncio
import signal
import sys

import uvloop

from mooring import __version__
from mooring.observe.doorway import doorway_if
from mooring.observe.logs import configure_logs
from mooring.observe.metrics import Metrics
from mooring.settings import Settings
from mooring.wiring import open_house


def work(settings: Settings) -> None:
    """Until SIGTERM or Ctrl-C; then let what is under way finish, or hand it back, and return."""
    configure_logs(settings.log_level, secrets=settings.secrets)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(settings))


async def _work(settings: Settings) -> None:
    asked_to_stop = asyncio.Event()
    for asked in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(asked, asked_to_stop.set)
    metrics = Metrics(settings.metrics_top)
    metrics.introduce(version=__version__, environment=settings.environment)
    port, host = settings.worker_metrics_port, settings.worker_metrics_host
    async with (
        open_house(settings, metrics=metrics) as house,
        doorway_if(port, host, metrics.text, house.status) as where,
    ):
        working = [asyncio.create_task(one.run()) for one in house.workers]
        house.open_doors()
        sys.stderr.write(f"Mooring works on what arrives, {house.worker.concurrency} at a time. Stop it with Ctrl-C.\n")
        sys.stderr.write(f"What it counts: {where}\n" if where else "")
        sys.stderr.flush()
        await asked_to_stop.wait()
        house.drain()
        await house.stop_work()
        for one in working:
            one.cancel()
        await asyncio.gather(*working, return_exceptions=True)
