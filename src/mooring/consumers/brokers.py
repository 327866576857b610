"""Messages of RabbitMQ, NATS, Kafka and Redis, all through faststream.

A message is acknowledged once what it tells is settled; before that the broker keeps it. Where the broker goes away it
is connected to anew: some libraries do so themselves and some only believe they do, so that is watched."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from socket import gethostname
from typing import Any
from uuid import uuid4

import structlog
from faststream import AckPolicy

from mooring.consumers.address import Source
from mooring.consumers.cancellation import heed_cancellation
from mooring.consumers.receiver import Receiver

log = structlog.get_logger()

AT_ONCE = 32
ANOTHER_TRY_SECONDS = 1.0
LOOK_SECONDS = 2.0
START_SECONDS = 15.0
MISSED_LOOKS = 3
quiet = logging.getLogger("mooring.consumers")
quiet.addHandler(logging.NullHandler())
quiet.propagate = False

Broker = Any  # four of them, without a class that says what we need
Handle = Callable[[Any], Any]


async def _as_it_is(message: Any) -> Any:
    """In place of a decoder: whoever receives it reads the bytes."""
    return message


USUAL: Mapping[str, Any] = {
    "decoder": _as_it_is,
    "apply_types": False,
    "logger": quiet,
    "ack_policy": AckPolicy.MANUAL,
    "graceful_timeout": 5.0,  # for what is under way when we leave; what is not settled by then comes again
}


async def rabbit(source: Source, handle: Handle) -> Broker:
    from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue

    words = source.words
    exchange = RabbitExchange(words["exchange"], type=ExchangeType.TOPIC, durable=True) if words["exchange"] else None
    queue = RabbitQueue(words["queue"], durable=True, routing_key=words["routing_key"] if exchange else "")
    broker = RabbitBroker(source.url, default_channel=Channel(prefetch_count=AT_ONCE), reconnect_interval=1.0, **USUAL)
    broker.subscriber(queue, exchange)(handle)
    return broker


async def nats(source: Source, handle: Handle) -> Broker:
    """JetStream, for plain NATS keeps nothing for who is away."""
    from faststream.nats import JStream, NatsBroker, PullSub
    from nats.js.api import ConsumerConfig

    words = source.words
    broker = NatsBroker(source.url, max_reconnect_attempts=-1, reconnect_time_wait=1, **USUAL)
    stream = JStream(words["stream"], subjects=[words["subject"]])
    config = ConsumerConfig(ack_wait=float(words["claim_after"]), max_ack_pending=1000)
    pull = PullSub(batch_size=AT_ONCE, timeout=2.0)
    broker.subscriber(words["subject"], stream=stream, durable=words["durable"], pull_sub=pull, config=config)(handle)
    return broker


async def kafka(source: Source, handle: Handle) -> Broker:
    """In order: what can't be settled is sought again, and nothing behind it is committed meanwhile."""
    from aiokafka.client import AIOKafkaClient
    from faststream.kafka import KafkaBroker

    words, hosts = source.words, source.host.split(",")
    soon = int(START_SECONDS * 500 / len(hosts))
    knock = AIOKafkaClient(bootstrap_servers=hosts, request_timeout_ms=soon)
    try:  # faststream leaves open what it could not start, so it only starts where somebody is in
        await knock.bootstrap()
    finally:
        await knock.close()
    told = logging.Logger("mooring.consumers.kafka")
    broker = KafkaBroker(hosts, **{**USUAL, "logger": told})
    silence = int(float(words["claim_after"]) * 1000)
    group: Mapping[str, Any] = {
        "group_id": words["group"],
        "auto_offset_reset": "earliest",
        "session_timeout_ms": silence,
        "heartbeat_interval_ms": silence // 3,
    }
    reading = broker.subscriber(words["topic"], **group)
    reading(handle)
    told.addHandler(_Ending(reading, source))
    return broker


class _Ending(logging.Handler):
    """What Kafka refuses, the library tells nobody but its log, and reads on: often in vain, and for ever. So its
    reading ends here, which the watch sees."""

    def __init__(self, reading: Any, source: Source) -> None:
        super().__init__(logging.ERROR)
        self.reading, self.source = reading, source

    def emit(self, record: logging.LogRecord) -> None:
        from aiokafka.errors import CommitFailedError, KafkaError

        why = record.exc_info[1] if record.exc_info else None
        # A commit that came too late ends nothing: the message comes again, to us or to who has its partition now.
        if self.reading.running and isinstance(why, KafkaError) and not isinstance(why, CommitFailedError):
            log.warning("broker_refused", source=str(self.source), why=f"{type(why).__name__}: {why}")
            self.reading.running = False


async def redis_stream(source: Source, handle: Handle) -> Broker:
    """New messages by one subscriber, and by another those that somebody took and did not settle in a while. The group
    begins with what is there already, which the library leaves out."""
    from faststream.redis import RedisBroker, StreamSub
    from redis.asyncio import Redis
    from redis.exceptions import ResponseError

    words = source.words
    async with Redis.from_url(source.url) as redis:
        with suppress(ResponseError):  # it is there
            await redis.xgroup_create(words["stream"], words["group"], id="0", mkstream=True)
    broker = RedisBroker(source.url, **USUAL)
    of_us: Mapping[str, Any] = {"group": words["group"], "consumer": f"{gethostname()}-{uuid4().hex[:8]}"}
    broker.subscriber(stream=StreamSub(words["stream"], max_records=1, polling_interval=1000, **of_us))(handle)
    idle = int(float(words["claim_after"]) * 1000)
    broker.subscriber(stream=StreamSub(words["stream"], min_idle_time=idle, polling_interval=1000, **of_us))(handle)
    return broker


BROKERS: Mapping[str, Callable[[Source, Handle], Awaitable[Broker]]] = {
    "amqp": rabbit,
    "nats": nats,
    "kafka": kafka,
    "redis": redis_stream,
}


@dataclass(frozen=True)
class BrokerConsumer:
    source: Source
    receiver: Receiver

    async def run(self, stopping: asyncio.Event) -> None:
        leaving: set[asyncio.Task[None]] = set()
        try:
            await self._connect_and_watch(stopping, leaving)
        finally:
            for late in leaving:
                late.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)

    async def _connect_and_watch(self, stopping: asyncio.Event, leaving: set[asyncio.Task[None]]) -> None:
        while not stopping.is_set():
            broker = None
            try:
                async with asyncio.timeout(START_SECONDS):
                    broker = await BROKERS[self.source.kind](self.source, self._handle)
                    await broker.start()
                log.info("broker_connected", source=str(self.source))
                await self._watch(broker, stopping)
            except Exception as away:
                log.warning("broker_away", source=str(self.source), why=f"{type(away).__name__}: {away}")
            finally:
                if broker is not None:
                    await self._leave(broker, leaving)
            heed_cancellation()
            if not stopping.is_set():
                await asyncio.sleep(ANOTHER_TRY_SECONDS)

    async def _handle(self, message: Any) -> None:
        if await self.receiver.settle(message.body):
            await message.ack()
        else:
            await message.nack()

    async def _watch(self, broker: Broker, stopping: asyncio.Event) -> None:
        """Returns when it should be connected to anew, or when we stop."""
        missed = 0
        while missed < MISSED_LOOKS and not stopping.is_set():
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                is_well = await _answers(broker) and all(one.running for one in broker.subscribers)
                heed_cancellation()
                missed = 0 if is_well else missed + 1
        if missed:
            log.warning("broker_away", source=str(self.source), why="it does not answer")

    async def _leave(self, broker: Broker, leaving: set[asyncio.Task[None]]) -> None:
        """Who does not answer isn't waited for long, but left to the end: half left, its connections would stay."""
        task = asyncio.create_task(self._stop(broker))
        leaving.add(task)
        task.add_done_callback(leaving.discard)
        await asyncio.wait([task], timeout=START_SECONDS)
        if not task.done():
            log.warning("broker_not_left", source=str(self.source), why="it does not answer")

    async def _stop(self, broker: Broker) -> None:
        try:
            await broker.stop()
        except Exception as trouble:
            log.warning("broker_not_left", source=str(self.source), why=repr(trouble))


async def _answers(broker: Broker) -> bool:
    try:
        return bool(await broker.ping(timeout=LOOK_SECONDS))
    except Exception:
        return False
