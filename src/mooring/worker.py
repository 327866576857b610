"""The process that works on what arrived, and does nothing else: any number of them may share a queue."""

import asyncio

from mooring.settings import Settings
from mooring.standing import run, standing


def work(settings: Settings) -> None:
    """Until SIGTERM or Ctrl-C; then let what is under way finish, or hand it back, and return."""
    run(settings, lambda: _work(settings))


async def _work(settings: Settings) -> None:
    what_it_does = f"works on what arrives, {settings.worker_concurrency} at a time"
    port, host = settings.worker_metrics_port, settings.worker_metrics_host
    async with standing(settings, what_it_does, port=port, host=host) as (house, asked_to_stop):
        working = [asyncio.create_task(one.run()) for one in house.workers]
        await asked_to_stop.wait()
        house.drain()
        await house.stop_work()
        for one in working:
            one.cancel()
        await asyncio.gather(*working, return_exceptions=True)
