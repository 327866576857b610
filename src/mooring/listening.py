"""The process that takes storage's events from a queue, and does nothing else: any number of them may share one."""

import asyncio

from mooring.consumers.address import Source, source_of
from mooring.consumers.receiver import Receiver
from mooring.errors import TriggerOff
from mooring.settings import Settings
from mooring.standing import run, standing


def listen(settings: Settings, url: str) -> None:
    """Until SIGTERM or Ctrl-C. What is under way then is settled or comes again."""
    source = source_of(url)
    if "event" not in settings.triggers:
        raise TriggerOff("event")
    run(settings, lambda: _listen(settings, source))


async def _listen(settings: Settings, source: Source) -> None:
    port, host = settings.events_metrics_port, settings.events_metrics_host
    async with standing(settings, f"listens to {source}", port=port, host=host) as (house, stopping):
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
