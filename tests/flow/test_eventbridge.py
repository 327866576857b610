"""Transitions on an EventBridge bus. The bus is moto's: it delivers by rule, to a queue that is looked into here."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session

from conftest import HeldClock
from flow.test_webhook_lines import somebody_elses_server
from flow.test_webhooks import caller, jobs
from mooring.db.pool import Database
from mooring.notify.addresses import Rules
from mooring.notify.delivering import SCHEDULE, Delivering
from mooring.notify.eventbridge import MOST, ByEventBridge, announce, opened
from mooring.notify.signing import WebhookKey
from mooring.notify.webhooks import EVENTS, Webhooks
from mooring.observe.metrics import Metrics
from mooring.settings import Settings
from mooring.telling import open_telling
from servers.programs import Program
from servers.receiver import Receiver
from servers.waiting import until
from world import World

BUS = "orak-processing-bus"
KEYS: dict[str, Any] = {"access_key": "testkey", "secret_key": "testsecret", "session_token": None}


@pytest.fixture
async def events(sqs_server: Program) -> AsyncIterator[Any]:
    async with opened("us-east-1", endpoint=f"http://127.0.0.1:{sqs_server.port}", **KEYS) as client:
        yield client


@pytest.fixture
async def delivered(events: Any, sqs_server: Program) -> AsyncIterator[Any]:
    """What a rule of the bus sends to a queue: a way to read it."""
    async with get_session().create_client(
        "sqs", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{sqs_server.port}",
        aws_access_key_id="testkey", aws_secret_access_key="testsecret",
    ) as sqs:  # fmt: skip
        queue = (await sqs.create_queue(QueueName="heard"))["QueueUrl"]
        named = await sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        await events.create_event_bus(Name=BUS)
        await events.put_rule(Name="all", EventBusName=BUS, EventPattern=json.dumps({"source": ["mooring"]}))
        target = {"Id": "1", "Arn": named["Attributes"]["QueueArn"]}
        await events.put_targets(Rule="all", EventBusName=BUS, Targets=[target])

        async def heard() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            while came := (await sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)).get("Messages"):
                found += [json.loads(message["Body"]) for message in came]
                for message in came:
                    await sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return found

        yield heard
        await events.remove_targets(Rule="all", EventBusName=BUS, Ids=["1"])
        await events.delete_rule(Name="all", EventBusName=BUS)
        await events.delete_event_bus(Name=BUS)
        await sqs.delete_queue(QueueUrl=queue)


@dataclass
class Counting:
    """A bus that refuses each entry whose upload is named, once."""

    client: Any
    refuses: set[int] = field(default_factory=set)
    calls: list[int] = field(default_factory=list)

    async def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls.append(len(Entries))
        refused = [json.loads(entry["Detail"])["upload_id"] in self.refuses for entry in Entries]
        self.refuses.clear()
        kept = [entry for entry, no in zip(Entries, refused, strict=True) if not no]
        said = iter((await self.client.put_events(Entries=kept))["Entries"])
        no = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Too many."}
        return {"Entries": [no if one else next(said) for one in refused]}


def publishing(world: World, client: Any) -> Delivering:
    return Delivering(world.db, world.clock, Metrics(), ByEventBridge(client), most=None)


async def published(db: Database, how: Delivering) -> list[Any]:
    return await asyncio.gather(*(how.deliver(job, 0) for job in await jobs(db, "publish_event")))


async def test_every_users_transitions_reach_the_bus_with_their_whole_context_ten_to_a_call(
    world: World, events: Any, delivered: Any, clock: HeldClock
) -> None:
    await announce(world.db, BUS, clock())
    await announce(world.db, BUS, clock())
    uploads = [await world.arrived(*await world.owner("premium")) for _ in range(MOST + 3)]
    bus = Counting(events)
    assert await published(world.db, publishing(world, bus)) == [None] * len(uploads)
    assert sum(bus.calls) == len(uploads)
    assert max(bus.calls) <= MOST
    assert len(bus.calls) < len(uploads), "each had a call of its own"
    heard = {one["detail"]["upload_id"]: one for one in await delivered()}
    assert set(heard) == {upload.id for upload in uploads}
    first = uploads[0]
    about = heard[first.id]
    assert (about["source"], about["detail-type"]) == ("mooring", "upload.arrived")
    context = {"kind": "photo", "user_id": first.uploader_id, "plan": "premium", "target_id": first.target_id}
    assert about["detail"].items() >= (context | {"object_key": first.object_key, "state": "UPLOADED"}).items()
    assert about["detail"]["message_id"].startswith("evt_")


async def test_of_a_call_that_fails_in_part_only_what_failed_is_tried_again(
    world: World, events: Any, delivered: Any, clock: HeldClock
) -> None:
    await announce(world.db, BUS, clock())
    uploads = [await world.arrived(*await world.owner()) for _ in range(4)]
    how = publishing(world, Counting(events, refuses={uploads[1].id}))
    assert await how.deliver((await jobs(world.db, "publish_event"))[1], 0) == SCHEDULE[0]
    assert sorted(map(str, await published(world.db, how))) == ["None"] * 4
    assert sorted(one["detail"]["upload_id"] for one in await delivered()) == [upload.id for upload in uploads]
    rows = await world.db.fetch("SELECT upload_id, attempts FROM webhook_deliveries ORDER BY upload_id")
    assert [tuple(row) for row in rows] == [(one.id, 2 if one is uploads[1] else 1) for one in uploads]


async def test_a_bus_that_cant_be_reached_is_tried_again_and_seen_by_administrators(
    world: World, clock: HeldClock
) -> None:
    await announce(world.db, BUS, clock())
    await world.arrived(*await world.owner())
    async with opened("us-east-1", endpoint="http://127.0.0.1:9", **KEYS) as nowhere:
        assert await published(world.db, publishing(world, nowhere)) == [SCHEDULE[0]]
    webhooks = Webhooks(world.db, world.clock, WebhookKey(b"x"), Rules())
    user = await world.user()
    [bus] = await webhooks.page(caller(user, is_admin=True), before=None, limit=10)
    assert (bus.url, bus.scope) == (f"eventbridge://{BUS}", "all")
    [waiting] = await webhooks.deliveries(
        bus.id, caller=caller(user, is_admin=True), state="pending", before=None, limit=10
    )
    assert "EndpointConnectionError" in (waiting.error or "")
    assert await webhooks.page(caller(user), before=None, limit=10) == []
    await webhooks.delete(bus.id, caller=caller(user, is_admin=True))
    assert await published(world.db, publishing(world, None)) == [None]


async def test_a_bus_that_does_not_answer_keeps_no_webhook_waiting(
    world: World, receiver: Receiver, database_url: str, tmp_path: Path
) -> None:
    """As the process wires it: more of the bus is due than a worker has seats."""
    settings = Settings(
        data=tmp_path, webhook_networks="127.0.0.0/8", webhook_concurrency=2,
        eventbridge_bus=BUS, eventbridge_endpoint=receiver.url(path=""),
        s3_access_key_id="testkey", s3_secret_access_key="testsecret",
    )  # fmt: skip
    receiver.gate.clear()
    user, album = await world.owner()
    async with AsyncExitStack() as closing:
        telling = await open_telling(
            settings, world.clock, Metrics(), world.db, "a secret of the tests", database_url, closing
        )
        for _ in range(4):
            await world.arrived(user, album)
        working = [asyncio.create_task(one.run()) for one in telling.deliverers]

        async def the_bus_hangs() -> bool:
            return bool(receiver.received)

        async def the_webhook_came() -> bool:
            return bool(other.received)

        await until(the_bus_hangs)
        with somebody_elses_server() as other:
            await telling.webhooks.create(other.url(), "own", EVENTS, caller=caller(user))
            await world.arrived(user, album)
            await until(the_webhook_came, 5)
        receiver.gate.set()
        await asyncio.gather(*(one.stop(0) for one in telling.deliverers))
        await asyncio.wait_for(asyncio.gather(*working), 20)
