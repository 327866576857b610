"""Real brokers: RabbitMQ, NATS, Redis, and an SQS; each says how events get into its queue, and what it still holds."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import aio_pika
import nats
import pytest
from aiobotocore.session import get_session
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from redis.asyncio import Redis

from servers.postgres import missing
from servers.programs import Program, free_port

RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Queue(Protocol):
    """One queue of a broker, by itself."""

    @property
    def url(self) -> str: ...
    async def send(self, *messages: bytes) -> None: ...
    async def held(self) -> int:
        """Messages that it would still bring to somebody."""


class RabbitQueue:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.name = f"events-{uuid4().hex[:8]}"
        self.address = f"amqp://guest:guest@127.0.0.1:{program.port}/"

    @property
    def url(self) -> str:
        return f"{self.address}?queue={self.name}"

    async def send(self, *messages: bytes) -> None:
        async with self._queue() as (channel, _):
            for message in messages:
                sent = aio_pika.Message(message, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(sent, self.name)

    async def held(self) -> int:
        async with self._queue() as (_, queue):
            return int(queue.declaration_result.message_count)

    @asynccontextmanager
    async def _queue(self) -> AsyncIterator[tuple[Any, Any]]:
        connection = await aio_pika.connect(self.address)
        async with connection:
            channel = await connection.channel()
            yield channel, await channel.declare_queue(self.name, durable=True)


class NatsQueue:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.name = f"events{uuid4().hex[:8]}"

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.program.port}?stream={self.name}&subject={self.name}.>&claim_after=2"

    async def send(self, *messages: bytes) -> None:
        async with self._stream() as stream:
            for message in messages:
                await stream.publish(f"{self.name}.photos", message)

    async def held(self) -> int:
        async with self._stream() as stream:
            consumer = await stream.consumer_info(self.name, "mooring")
            return int(consumer.num_pending + consumer.num_ack_pending)

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[Any]:
        client = await nats.connect(f"nats://127.0.0.1:{self.program.port}")
        try:
            stream = client.jetstream()
            await stream.add_stream(name=self.name, subjects=[f"{self.name}.>"])
            yield stream
        finally:
            await client.close()


class RedisQueue:
    """`list`, as MinIO writes it, or `stream`."""

    def __init__(self, program: Program, form: str) -> None:
        self.program = program
        self.form = form
        self.name = f"events-{uuid4().hex[:8]}"
        self.address = f"redis://127.0.0.1:{program.port}/0"

    @property
    def url(self) -> str:
        return f"{self.address}?{self.form}={self.name}" + ("&claim_after=1" if self.form == "stream" else "")

    async def send(self, *messages: bytes) -> None:
        async with Redis.from_url(self.address) as redis:
            for message in messages:
                if self.form == "list":
                    await redis.rpush(self.name, message)
                else:
                    await redis.xadd(self.name, {"__data__": message})

    async def held(self) -> int:
        async with Redis.from_url(self.address) as redis:
            if self.form == "list":
                return int(await redis.llen(self.name) + await redis.llen(f"{self.name}:mooring"))
            [group] = await redis.xinfo_groups(self.name)
            return int(group["pending"] + (group["lag"] or 0))


class SqsQueue:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.name = f"events-{uuid4().hex[:8]}"

    @property
    def url(self) -> str:
        return f"sqs://{self.name}?region=us-east-1&endpoint={self.endpoint}"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.program.port}"

    async def send(self, *messages: bytes) -> None:
        async with self._client() as (sqs, url):
            for message in messages:
                await sqs.send_message(QueueUrl=url, MessageBody=message.decode())

    async def held(self) -> int:
        async with self._client() as (sqs, url):
            got = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
            return sum(int(got["Attributes"][name]) for name in names)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[tuple[Any, str]]:
        keys = {"aws_access_key_id": "testkey", "aws_secret_access_key": "testsecret", "region_name": "us-east-1"}
        async with get_session().create_client("sqs", endpoint_url=self.endpoint, **keys) as sqs:
            made = await sqs.create_queue(QueueName=self.name, Attributes={"VisibilityTimeout": "2"})
            yield sqs, made["QueueUrl"]


class KafkaQueue:
    """librdkafka's own test broker: a real listener that speaks Kafka's protocol with its groups and offsets, and
    forgets all at its end. Kafka itself is no package that the tests could install."""

    def __init__(self, broker: Any) -> None:
        self.broker = broker
        self.name = f"events-{uuid4().hex[:8]}"
        [found] = broker.list_topics(timeout=10).brokers.values()
        self.address = f"{found.host}:{found.port}"
        self.sent = 0

    @property
    def url(self) -> str:
        return f"kafka://{self.address}?topic={self.name}"

    async def send(self, *messages: bytes) -> None:
        for message in messages:
            self.broker.produce(self.name, message, partition=0)
        await asyncio.to_thread(self.broker.flush, 20)
        self.sent += len(messages)

    async def held(self) -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, group_id="mooring", enable_auto_commit=False)
        await consumer.start()
        try:
            return self.sent - (await consumer.committed(TopicPartition(self.name, 0)) or 0)
        finally:
            await consumer.stop()


@pytest.fixture(scope="session")
def kafka_server() -> Any:
    return Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "itself", "log_level": 2})


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    if not RABBIT.exists():
        missing("RabbitMQ is not installed: apt-get install rabbitmq-server")
    home, port, distribution = tmp_path_factory.mktemp("rabbit"), free_port(), free_port()
    cookie = home / ".erlang.cookie"
    cookie.write_text(uuid4().hex)
    cookie.chmod(0o400)
    (home / "plugins").write_text("[].")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"mooring{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "ERL_EPMD_PORT": str(free_port()),
    }
    program = Program([RABBIT], home, port, env, greeting=(b"AMQP\0\0\x09\1", b"\1"), within=90)
    program.start()
    yield program
    program.kill()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    found = shutil.which("nats-server")
    if found is None:
        missing("nats-server is not installed: apt-get install nats-server")
    folder, port = tmp_path_factory.mktemp("nats"), free_port()
    program = Program(
        [found, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder], folder, port, greeting=(b"", b"INFO")
    )
    program.start()
    yield program
    program.kill()


@pytest.fixture(scope="session")
def redis_that_remembers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    found = shutil.which("redis-server")
    if found is None:
        missing("redis-server is not installed: apt-get install redis-server")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    remembering = ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always"]
    command = [found, "--port", str(port), "--bind", "127.0.0.1", *remembering]
    program = Program(command, folder, port, greeting=(b"PING\r\n", b"+PONG"))
    program.start()
    yield program
    program.kill()


@pytest.fixture(scope="session")
def sqs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """moto keeps its queues in memory: it can't be killed and remember."""
    folder, port = tmp_path_factory.mktemp("sqs"), free_port()
    command: list[str | Path] = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    program = Program(command, folder, port)
    program.start()
    yield program
    program.kill()


QUEUES = ("amqp", "nats", "redis_stream", "redis_list", "kafka", "sqs")
FORGETFUL = ("kafka", "sqs")  # these keep all in memory, and can't be killed and come back with it


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    """Whose, the test's parameter says."""
    kind = request.param
    server = {
        "amqp": "rabbit_server",
        "nats": "nats_server",
        "kafka": "kafka_server",
        "sqs": "sqs_server",
    }.get(kind, "redis_that_remembers")
    program: Any = request.getfixturevalue(server)
    if kind in FORGETFUL:
        yield SqsQueue(program) if kind == "sqs" else KafkaQueue(program)
        return
    if program.process is None:
        program.start()
    made: dict[str, Callable[[Program], Queue]] = {"amqp": RabbitQueue, "nats": NatsQueue}
    yield made[kind](program) if kind in made else RedisQueue(program, kind.removeprefix("redis_"))
    if program.process is None:
        program.start()
