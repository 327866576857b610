"""Real brokers: RabbitMQ, NATS, Redis, and an SQS; each says how events get into its queue, and what it still holds."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
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

from servers import ours
from servers.door import Door
from servers.postgres import missing
from servers.programs import Program, free_port
from servers.serving import until

RABBIT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Queue(Protocol):
    """One queue of a broker, by itself."""

    @property
    def url(self) -> str: ...
    async def send(self, *messages: bytes) -> None: ...
    async def held(self) -> int:
        """Messages that it would still bring to somebody."""

    async def go_away(self) -> None:
        """Nobody reaches the broker. It keeps what it has."""

    async def come_back(self) -> None: ...


@dataclass
class OfAProgram:
    """A queue of a broker that remembers: it may be killed."""

    program: Program

    async def go_away(self) -> None:
        await asyncio.to_thread(self.program.kill)

    async def come_back(self) -> None:
        await asyncio.to_thread(self.program.start)


class RabbitQueue(OfAProgram):
    def __init__(self, program: Program) -> None:
        super().__init__(program)
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


class NatsQueue(OfAProgram):
    def __init__(self, program: Program) -> None:
        super().__init__(program)
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


# In one look, for a message goes from one to the other and back.
ALL_LISTS = """
local held = 0
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
    if redis.call('TYPE', key).ok == 'list' then held = held + redis.call('LLEN', key) end
end
return held"""


class RedisQueue(OfAProgram):
    """`list`, as MinIO writes it, or `stream`."""

    def __init__(self, program: Program, form: str) -> None:
        super().__init__(program)
        self.form = form
        self.name = f"events-{uuid4().hex[:8]}"
        self.address = f"redis://127.0.0.1:{program.port}/0"

    @property
    def url(self) -> str:
        return f"{self.address}?{self.form}={self.name}&claim_after=1"

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
                return int(await redis.eval(ALL_LISTS, 0, f"{self.name}*"))
            [group] = await redis.xinfo_groups(self.name)
            return int(group["pending"] + (group["lag"] or 0))


class SqsQueue:
    """The consumer comes to it through a door; the tests send past that, so that they can while it is shut."""

    def __init__(self, program: Program) -> None:
        self.door = Door(program.port)
        self.name = f"events-{uuid4().hex[:8]}"
        self.endpoint = f"http://127.0.0.1:{program.port}"

    @property
    def url(self) -> str:
        return f"sqs://{self.name}?region=us-east-1&endpoint=http://127.0.0.1:{self.door.port}"

    async def go_away(self) -> None:
        await self.door.shut()

    async def come_back(self) -> None:
        await self.door.open()

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


@dataclass(frozen=True)
class KafkaBroker:
    """librdkafka's own test broker: a real listener that speaks Kafka's protocol with its groups and offsets, and
    forgets all at its end. Kafka itself is no package that the tests could install."""

    process: "subprocess.Popen[bytes]"
    said: Path

    @property
    def address(self) -> str:
        return self.said.read_text().partition("\n")[0]

    def tell(self, line: str) -> None:
        assert self.process.stdin
        before = self._lines()
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        self.wait_for(before + 1)

    def wait_for(self, lines: int) -> None:
        until(lambda: self._lines() >= lines, 60)

    def _lines(self) -> int:
        return self.said.read_text().count("\n")

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class KafkaQueue:
    claim_after = 2

    def __init__(self, broker: KafkaBroker) -> None:
        self.broker = broker
        self.name = f"events-{uuid4().hex[:8]}"
        self.producer = Producer({"bootstrap.servers": broker.address, "log_level": 2})
        self.sent = 0

    @property
    def url(self) -> str:
        return f"kafka://{self.broker.address}?topic={self.name}&claim_after={self.claim_after}"

    async def send(self, *messages: bytes) -> None:
        self.send_once_it_answers(*messages)
        await asyncio.to_thread(self.producer.flush, 40)

    async def go_away(self) -> None:
        self.broker.tell("go")

    async def come_back(self) -> None:
        self.broker.tell("come")

    async def is_silent_for_longer_than_it_remembers(self) -> None:
        await asyncio.sleep(self.claim_after + 1)

    def send_once_it_answers(self, *messages: bytes) -> None:
        for message in messages:
            self.producer.produce(self.name, message, partition=0)
        self.sent += len(messages)

    async def held(self) -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.address, group_id="mooring", enable_auto_commit=False)
        await consumer.start()
        try:
            return self.sent - (await consumer.committed(TopicPartition(self.name, 0)) or 0)
        finally:
            await consumer.stop()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    folder = tmp_path_factory.mktemp("kafka")
    command: list[str | Path] = [ours.PYTHON, Path(__file__).with_name("kafka_process.py")]
    with ours.start(command, folder / "said", folder / "log", stdin=subprocess.PIPE) as process:
        broker = KafkaBroker(process, folder / "said")
        broker.wait_for(1)
        yield broker
        process.kill()


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
        "RUNNING_UNDER_SYSTEMD": "true",  # else it is a child of what we start, and outlives it
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
    """moto keeps its queues in memory: it can't be killed and remember, but the way to it can be shut."""
    folder, port = tmp_path_factory.mktemp("sqs"), free_port()
    command: list[str | Path] = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    program = Program(command, folder, port)
    program.start()
    yield program
    program.kill()


QUEUES = ("amqp", "nats", "redis_stream", "redis_list", "kafka", "sqs")


@pytest.fixture
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    """Whose, the test's parameter says."""
    kind = request.param
    servers = {"amqp": "rabbit_server", "nats": "nats_server", "kafka": "kafka_server", "sqs": "sqs_server"}
    server: Any = request.getfixturevalue(servers.get(kind, "redis_that_remembers"))
    if kind == "kafka":
        yield KafkaQueue(server)
        server.thaw()
        server.tell("come")
        return
    if kind == "sqs":
        sqs = SqsQueue(server)
        await sqs.come_back()
        yield sqs
        await sqs.go_away()
        return
    if server.process is None:
        server.start()
    made: dict[str, Callable[[Program], Queue]] = {"amqp": RabbitQueue, "nats": NatsQueue}
    yield made[kind](server) if kind in made else RedisQueue(server, kind.removeprefix("redis_"))
    if server.process is None:
        server.start()
