"""The process that takes storage's events from a queue, and does nothing else: any number of them may share one."""

import asyncio
import signal
import sys

import uvloop

from mooring import __version__
from mooring.consumers.address import Source, source_of
from mooring.consumers.receiver import Receiver
from mooring.errors import TriggerOff
from mooring.observe.doorway import doorway_if
from mooring.observe.logs import configure_logs
from mooring.observe.metrics import Metrics
from mooring.settings import Settings
from mooring.wiring import open_house


def listen(settings: Settings, url: str) -> None:
    """Until SIGTERM or Ctrl-C. What is under way then is settled or comes again."""
    source = source_of(url)
    if "event" not in settings.triggers:
        raise TriggerOff("event")
    configure_logs(settings.log_level, secrets=settings.secrets)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_listen(settings, source))


async def _listen(settings: Settings, source: Source) -> None:
    stopping = asyncio.Event()
    for asked in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(asked, stopping.set)
    metrics = Metrics(settings.metrics_top)
    metrics.introduce(version=__version__, environment=settings.environment)
    port, host = settings.events_metrics_port, settings.events_metrics_host
    async with (
        open_house(settings, metrics=metrics) as house,
        doorway_if(port, host, metrics.text, house.status) as where,
    ):
        house.open_doors()
        sys.stderr.write(f"Mooring listens to {source}. Stop it with Ctrl-C.\n")
        sys.stderr.write(f"What it counts: {where}\n" if where else "")
        sys.stderr.flush()
        await consume(settings, source, Receiver(house.storage_events), stopping)
        house.drain()


async def consume(settings: Settings, source: Source, receiver: Receiver, stopping: asyncio.Event) -> None:
    # Each brings a library along that takes long to load.
    if source.kind == "sqs":
        from mooring.consumers.sqs import SqsConsumer

        keys = (settings.s3_access_key_id, settings.s3_secret_access_key, settings.s3_session_token)
        key_id, secret, token = (key.get_secret_value() if key else None for key in keys)
        await SqsConsumer(source, receiver, settings.s3_region, key_id, secret, token).run(stopping)
    elif source.words.get("list"):
        from mooring.consumers.redis_list import RedisListConsumer

        await RedisListConsumer(source, receiver).run(stopping)
    else:
        from mooring.consumers.brokers import BrokerConsumer

        await BrokerConsumer(source, receiver).run(stopping)
